/* SPDX-License-Identifier: Apache-2.0
 * Speed of ops and of whole steps on a device, beside what the device was measured to reach in the same run.
 * Results are JSON objects ("kind": "ops" or "step"); pv_bench_print makes a table of one. Times are wall-clock
 * milliseconds from the first call to the device being idle. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include "base/json.h"
#include "dev/dev.h"

/* Best of a few runs: fused multiply-adds (2 FLOP each) of the widest vectors, and memory traffic over buffers of
 * `bytes` each (0: 256 MiB, less where the device's limits ask for it). GFLOP/s and GB/s; 0 after a failure. */
struct pv_peak { double fma, read, copy; };     /* copy: bytes read + written */
struct pv_peak pv_bench_peak(pv_dev *dev, uint64_t bytes);

/* Of `n` sorted or unsorted times; sorts them. Quartiles are those of linear interpolation (NumPy's default). */
struct pv_spread { double min, q1, median, q3, max; };
struct pv_spread pv_spread_of(double *v, int n);
/* Sorts `n` times in ms and sets ms_min, ms_q1, ms_median, ms_q3, ms_max, reps. */
struct pv_spread pv_bench_put_times(pv_json *o, double *v, int n);

/* A list of layer shapes as text, one per line, '#' begins a comment:
 *     OP CHANNELS_IN CHANNELS_OUT SIDE STRIDE XxYxZ [N]        conv, up, stem, head: kernel side, input size
 *     OP CHANNELS XxYxZ [N]                                    everything else
 * Known OPs are those of shapes.c. */
struct pv_layer {
    const char *op;
    bool conv;                  /* has the long form; weights have gradients of their own */
    int ci, co, k, stride, n, s[3];     /* co, k, stride are 1 in the short form */
};
/* `list`: name of a built-in list, or a file; `op`: only this one, NULL: all. pv_free the array; NULL after a fault. */
struct pv_layer *pv_layers_read(const char *list, const char *op, int *num);
double pv_layer_gflop(const struct pv_layer *l);        /* of the direct formula; 0 unless conv */
/* 10^9 bytes that must move once: convolutions read x and write y; others make `passes` over their input forwards and
 * one more than twice as many backwards. */
double pv_layer_gbyte(const struct pv_layer *l, int passes, bool backward);
/* A row of a result without times, and its times (of n repetitions) with what follows from them. */
pv_json *pv_layer_row(const struct pv_layer *l, const char *phase, const char *impl);
void pv_layer_put_times(pv_json *row, const struct pv_layer *l, double *v, int n, int passes, double fma_peak);

struct pv_bench_ops_args {
    const char *shapes;         /* name of a built-in list ("vnet"), or a file */
    const char *op, *impl;      /* only this op; force this implementation. NULL: all, the ops' own choice */
    const char *phase;          /* only "fwd", "bwd", "bwd data", "bwd weight"; NULL: all */
    int reps;                   /* per shape and phase; fewer where one takes long */
    double seconds;             /* at most about this long per shape and phase */
    double window;              /* ms of runs one after another that are waited for once; 0: each is waited for */
};
/* Runs of a sample: as many as fill the window (ms) where one takes `ms`, whose outputs take 256 MiB at most. */
enum { PV_BENCH_MOST_RUNS = 64 };
int pv_bench_runs(const struct pv_layer *l, double ms, double window);
pv_json *pv_bench_ops_run(pv_dev *dev, const struct pv_bench_ops_args *a);  /* NULL after a fault */

struct pv_bench_step_args {
    pv_json *config;            /* resolved; borrowed */
    int reps, warmup;
    bool train, infer;
};
/* Times on `dev`; then, if `profiled` is not NULL (the same device opened with profiling), one more step and
 * inference there, split by op. */
pv_json *pv_bench_step_run(pv_dev *dev, pv_dev *profiled, const struct pv_bench_step_args *a);

struct pv_bench_io_args {
    const char *data;           /* a data set; NULL: phantoms of `size` that are made and removed */
    const char *work;           /* folder for our files; NULL: the working folder */
    int size[3], patch[3];
    int batch, threads;         /* of the loader: samples, and at most so many threads; 0: one per processor */
    int reps;
    double seconds;             /* at most about this long per row */
};
pv_json *pv_bench_io_run(const struct pv_bench_io_args *a);    /* kind "io"; NULL after a fault */

/* Members that every result has: device, driver, version, date, peaks. dev NULL: the processor, without peaks. */
pv_json *pv_bench_result(const char *kind, pv_dev *dev, const struct pv_peak *p);
void pv_bench_print(const pv_json *result);

#endif
