/* SPDX-License-Identifier: Apache-2.0
 * What results share, and their tables. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "platform/platform.h"
#include "pv_config.h"

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double quantile(const double *sorted, int n, double q)
{
    double at = q * (n - 1);
    int i = (int)at, next = pv_min(i + 1, n - 1);
    return sorted[i] + (at - i) * (sorted[next] - sorted[i]);
}

struct pv_spread pv_spread_of(double *v, int n)
{
    if (n < 1)
        return (struct pv_spread){0};
    qsort(v, (size_t)n, sizeof *v, by_value);
    return (struct pv_spread){v[0], quantile(v, n, 0.25), quantile(v, n, 0.5), quantile(v, n, 0.75), v[n - 1]};
}

struct pv_spread pv_bench_put_times(pv_json *o, double *v, int n)
{
    struct pv_spread s = pv_spread_of(v, n);
    pv_json_set_num(o, "ms_min", s.min);
    pv_json_set_num(o, "ms_q1", s.q1);
    pv_json_set_num(o, "ms_median", s.median);
    pv_json_set_num(o, "ms_q3", s.q3);
    pv_json_set_num(o, "ms_max", s.max);
    pv_json_set_num(o, "reps", n);
    return s;
}

pv_json *pv_bench_result(const char *kind, pv_dev *dev, const struct pv_peak *p)
{
    const struct pv_dev_info *d = dev ? pv_dev_get_info(dev) : NULL;
    pv_json *o = pv_json_object(), *dv = pv_json_object(), *pk;
    char now[32];
    pv_time_text(now);
    pv_json_set_str(o, "kind", kind);
    pv_json_set_str(o, "program", "protovox " PV_VERSION);
    pv_json_set_str(o, "date", now);
    pv_json_set(o, "device", dv);
    if (!d) {
        pv_json_set_str(dv, "id", "host");
        pv_json_set_num(dv, "compute_units", pv_cpu_count());
        return o;
    }
    pv_json_set_str(dv, "id", d->id);
    pv_json_set_str(dv, "name", d->name);
    pv_json_set_str(dv, "driver", d->driver);
    pv_json_set_str(dv, "class", d->cls == PV_FAT ? "fat" : d->cls == PV_SIMT ? "simt" : "ref");
    pv_json_set_num(dv, "compute_units", d->limits.compute_units);
    pk = pv_json_object();
    pv_json_set_num(pk, "fma_gflops", p->fma);
    pv_json_set_num(pk, "read_gbs", p->read);
    pv_json_set_num(pk, "copy_gbs", p->copy);
    pv_json_set(o, "peak", pk);
    return o;
}

static void print_ops(const pv_json *rows)
{
    printf("\n%-14s %-18s %-13s %2s  %-10s %9s %9s %8s %6s %7s\n", "op", "channels k/stride", "input", "n", "phase",
           "min ms", "median", "GFLOP/s", "peak", "GB/s");
    for (const pv_json *r = pv_json_at(rows, 0); r; r = pv_json_next(r)) {
        char ch[32], gf[16] = "", share[16] = "";
        int k = (int)pv_json_num(r, "k", 0);
        if (k) {
            snprintf(ch, sizeof ch, "%d -> %d %d/%d", (int)pv_json_num(r, "ci", 0), (int)pv_json_num(r, "co", 0), k,
                     (int)pv_json_num(r, "stride", 1));
            snprintf(gf, sizeof gf, "%.0f", pv_json_num(r, "gflops", 0));
            snprintf(share, sizeof share, "%.0f %%", 100 * pv_json_num(r, "share_of_fma_peak", 0));
        } else {
            snprintf(ch, sizeof ch, "%d", (int)pv_json_num(r, "ci", 0));
        }
        printf("%-14s %-18s %-13s %2d  %-10s %9.3f %9.3f %8s %6s %7.1f\n", pv_json_str(r, "op", ""), ch,
               pv_json_str(r, "input", ""), (int)pv_json_num(r, "n", 1), pv_json_str(r, "phase", ""),
               pv_json_num(r, "ms_min", 0), pv_json_num(r, "ms_median", 0), gf, share, pv_json_num(r, "gbs", 0));
    }
}

static void print_part(const pv_json *result, const char *key, const char *title)
{
    const pv_json *p = pv_json_get(result, key);
    if (!p)
        return;
    printf("\n%s: median %.1f ms, min %.1f, max %.1f over %d (%.1f a sample; first %.0f ms); peak memory %.1f MiB\n",
           title, pv_json_num(p, "ms_median", 0), pv_json_num(p, "ms_min", 0), pv_json_num(p, "ms_max", 0),
           (int)pv_json_num(p, "reps", 0), pv_json_num(p, "ms_median_per_sample", 0), pv_json_num(p, "ms_first", 0),
           pv_json_num(p, "peak_bytes", 0) / 1048576);
    const pv_json *split = pv_json_get(p, "split");
    if (!split)
        return;
    double busy = pv_json_num(p, "kernel_ms", 0);
    printf("  with profiling %.1f ms, of which kernels %.1f in %d launches, gaps %.1f\n",
           pv_json_num(p, "ms_profiled", 0), busy, (int)pv_json_num(p, "launches", 0),
           pv_json_num(p, "host_gap_ms", 0));
    for (const pv_json *r = pv_json_at(split, 0); r; r = pv_json_next(r))
        printf("  %-20s %-18s %9.2f ms %5.1f %% %6d launches\n", pv_json_str(r, "op", ""), pv_json_str(r, "kernel", ""),
               pv_json_num(r, "ms", 0), 100 * pv_json_num(r, "ms", 0) / (busy > 0 ? busy : 1),
               (int)pv_json_num(r, "launches", 0));
}

static void print_io(const pv_json *o)
{
    printf("%d processors\n\n%-9s %-15s %-13s %3s %9s %9s %9s %9s\n",
           (int)pv_json_num(pv_json_get(o, "device"), "compute_units", 0), "what", "how", "voxels", "n", "min ms",
           "median", "MB/s", "samples/s");
    for (const pv_json *r = pv_json_at(pv_json_get(o, "rows"), 0); r; r = pv_json_next(r)) {
        char mbs[16] = "";
        if (pv_json_get(r, "mbs"))
            snprintf(mbs, sizeof mbs, "%.0f", pv_json_num(r, "mbs", 0));
        printf("%-9s %-15s %-13s %3d %9.3f %9.3f %9s %9.1f\n", pv_json_str(r, "op", ""), pv_json_str(r, "phase", ""),
               pv_json_str(r, "input", ""), (int)pv_json_num(r, "n", 1), pv_json_num(r, "ms_min", 0),
               pv_json_num(r, "ms_median", 0), mbs, pv_json_num(r, "samples_per_s", 0));
    }
}

void pv_bench_print(const pv_json *o)
{
    if (pv_streq(pv_json_str(o, "kind", ""), "io")) {
        print_io(o);
        return;
    }
    const pv_json *d = pv_json_get(o, "device"), *p = pv_json_get(o, "peak");
    printf("%s: %s, %s, %s kernels\n", pv_json_str(d, "id", ""), pv_json_str(d, "name", ""),
           pv_json_str(d, "driver", ""), pv_json_str(d, "class", ""));
    printf("measured peaks: %.0f GFLOP/s, reading %.1f GB/s, copying %.1f GB/s\n", pv_json_num(p, "fma_gflops", 0),
           pv_json_num(p, "read_gbs", 0), pv_json_num(p, "copy_gbs", 0));
    if (pv_streq(pv_json_str(o, "kind", ""), "ops")) {
        print_ops(pv_json_get(o, "rows"));
        return;
    }
    printf("%s, %s with %d filters, %s, %d labelled + %d unlabelled\n", pv_json_str(o, "method", ""),
           pv_json_str(o, "net", ""), (int)pv_json_num(o, "filters", 0), pv_json_str(o, "patch", ""),
           (int)pv_json_num(o, "labeled", 0), (int)pv_json_num(o, "unlabeled", 0));
    print_part(o, "train", "training step");
    print_part(o, "infer", "inference");
}
