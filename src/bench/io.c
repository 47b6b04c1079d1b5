/* SPDX-License-Identifier: Apache-2.0
 * Files, augmentation and the loader, without a device. Files are read right after they were written or read before:
 * from the system's cache, so that it is our readers that are measured and not a disk. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "bench/bench.h"
#include "data/loader.h"
#include "data/phantom.h"
#include "platform/platform.h"

enum { MOST = 256, VOLUMES = 3, GROUP = 4 };        /* GROUP: batches that are timed together */

struct io {
    const struct pv_bench_io_args *a;
    pv_json *rows;
    const char *dir;                /* for our files */
};

/* `mb`, `samples`: what one repetition moves or makes; 0: does not apply. */
static void add_row(struct io *io, const char *op, const char *phase, const int size[3], int n, double *v, int reps,
                    double mb, double samples)
{
    pv_json *r = pv_json_object();
    char shape[64];
    snprintf(shape, sizeof shape, "%dx%dx%d", size[0], size[1], size[2]);
    pv_json_set_str(r, "op", op);
    pv_json_set_str(r, "input", shape);
    pv_json_set_num(r, "n", n);
    pv_json_set_str(r, "phase", phase);
    struct pv_spread s = pv_bench_put_times(r, v, reps);
    if (mb > 0)
        pv_json_set_num(r, "mbs", mb / s.median * 1e3);
    if (samples > 0)
        pv_json_set_num(r, "samples_per_s", samples / s.median * 1e3);
    pv_json_add(io->rows, r);
}

/* Whether there is time for another repetition; the first three are always made. */
static bool more(const struct io *io, int done, uint64_t since)
{
    return done < io->a->reps && done < MOST && (done < 3 || (double)(pv_clock_ns() - since) * 1e-9 < io->a->seconds);
}

static double since_ms(uint64_t t0)
{
    return (double)(pv_clock_ns() - t0) * 1e-6;
}

/* ---- files ---- */

/* Image and label of v as one file (.h5) or two. */
static bool write_files(const struct pv_volume *v, char *const path[2])
{
    if (!path[1])
        return pv_volume_write(path[0], PV_IMAGE | PV_LABEL, v);
    return pv_volume_write(path[0], PV_IMAGE, v) && pv_volume_write(path[1], PV_LABEL, v);
}

static bool read_files(char *const path[2])
{
    struct pv_volume image = {0}, label = {0};
    bool ok = pv_volume_read(path[0], PV_IMAGE, NULL, &image) &&
              pv_volume_read(path[1] ? path[1] : path[0], PV_LABEL, NULL, &label);
    pv_volume_free(&image);
    pv_volume_free(&label);
    return ok;
}

static bool files(struct io *io, const struct pv_volume *v)
{
    static const char *const endings[] = {"nii", "nii.gz", "h5"};
    double mb = (double)pv_volume_voxels(v) * (4.0 * v->channels + 1) * 1e-6;
    bool ok = true;
    for (size_t e = 0; e < PV_COUNT(endings) && ok; e++) {
        char *image = pv_asprintf("%s/image.%s", io->dir, endings[e]), *label = NULL;
        const struct pv_format *f = pv_format_of(image);
        double w[MOST], r[MOST];
        int n = 0;
        if (!f || f->missing) {
            pv_info("%s is left out: %s", endings[e], f ? f->missing : "no such format");
            pv_free(image);
            continue;
        }
        if (!pv_streq(endings[e], "h5"))
            label = pv_asprintf("%s/label.%s", io->dir, endings[e]);
        char *const path[2] = {image, label};
        for (uint64_t t0 = pv_clock_ns(); ok && more(io, n, t0); n++) {
            uint64_t t1 = pv_clock_ns();
            ok = write_files(v, path);
            w[n] = since_ms(t1);
        }
        if (ok)
            add_row(io, "write", endings[e], v->size, 1, w, n, mb, 1);
        n = 0;
        for (uint64_t t0 = pv_clock_ns(); ok && more(io, n, t0); n++) {
            uint64_t t1 = pv_clock_ns();
            ok = read_files(path);
            r[n] = since_ms(t1);
        }
        if (ok)
            add_row(io, "read", endings[e], v->size, 1, r, n, mb, 1);
        pv_free(image);
        pv_free(label);
    }
    return ok;
}

/* ---- augmentation ---- */

static void augment(struct io *io, const struct pv_volume *v)
{
    static const struct { const char *name; int rot, flip; } kinds[] = {
        {"cut", 0, -1}, {"quarter turn", 1, -1}, {"half turn", 2, -1}, {"mirror x", 0, 0}, {"turn, mirror y", 3, 1}};
    const int *p = io->a->patch;
    size_t voxels = (size_t)p[0] * (size_t)p[1] * (size_t)p[2];
    float *image = pv_alloc(voxels * sizeof *image);
    int32_t *label = pv_alloc(voxels * sizeof *label);
    const struct pv_aug_params params = {.patch = {p[0], p[1], p[2]}};
    for (size_t k = 0; k < PV_COUNT(kinds); k++) {
        double t[MOST];
        int n = 0;
        for (uint64_t t0 = pv_clock_ns(); more(io, n, t0); n++) {
            int size[3] = {v->size[0], v->size[1], v->size[2]};
            if (kinds[k].rot & 1) {         /* the place is drawn in the turned volume */
                size[0] = v->size[1];
                size[1] = v->size[0];
            }
            struct pv_aug aug = pv_aug_draw(&params, size, 1, (uint64_t)n, 0);
            aug.rot = kinds[k].rot;
            aug.flip = kinds[k].flip;
            uint64_t t1 = pv_clock_ns();
            for (int c = 0; c < v->channels; c++)
                pv_aug_f32(&aug, v->size, v->image + (size_t)c * pv_volume_voxels(v), 0, image);
            pv_aug_label(&aug, v->size, v->label, 0, label);
            t[n] = since_ms(t1);
        }
        add_row(io, "augment", kinds[k].name, p, 1, t, n, (double)voxels * 4 * (v->channels + 1) * 1e-6, 1);
    }
    pv_free(image);
    pv_free(label);
}

/* ---- loader ---- */

static bool loader(struct io *io, pv_store *store, int threads)
{
    int items[VOLUMES], n = pv_min(pv_store_count(store), VOLUMES), batch = io->a->batch, half = (batch + 1) / 2;
    for (int i = 0; i < n; i++)
        items[i] = i;
    const int *p = io->a->patch;
    struct pv_loader_params lp = {.store = store, .labeled = items, .num_labeled = n, .unlabeled = items,
        .num_unlabeled = n, .labeled_bs = half, .unlabeled_bs = batch - half, .replacement = true,
        .aug = {.patch = {p[0], p[1], p[2]}, .rotate = true, .flip = true}, .seed = 1, .threads = threads};
    pv_loader *l = pv_loader_start(&lp);
    double t[MOST];
    int reps = 0;
    bool ok = l != NULL;
    for (int i = 0; i < 2 * GROUP && ok; i++)       /* what was made ahead while nobody waited */
        ok = pv_loader_next(l) != NULL;
    for (uint64_t t0 = pv_clock_ns(); ok && more(io, reps, t0); reps++) {
        uint64_t t1 = pv_clock_ns();
        for (int i = 0; i < GROUP && ok; i++)
            ok = pv_loader_next(l) != NULL;
        t[reps] = since_ms(t1) / GROUP;
    }
    pv_loader_stop(&l);
    if (!ok)
        return false;
    char phase[32];
    snprintf(phase, sizeof phase, "%d thread%s", threads, threads == 1 ? "" : "s");
    add_row(io, "loader", phase, p, batch, t, reps, 0, batch);
    return true;
}

static bool loaders(struct io *io, const pv_dataset *ds)
{
    int train[4096], most = io->a->threads > 0 ? io->a->threads : pv_cpu_count(), n = 0;
    struct pv_store_item items[VOLUMES];
    if (ds->num_split[PV_TRAIN] > (int)PV_COUNT(train))
        return pv_fail(PV_FAULT_INPUT, "%s: bench io takes data sets of up to %d training cases", ds->dir,
                       (int)PV_COUNT(train));
    int count = pv_dataset_split(ds, PV_TRAIN, train);
    for (int i = 0; i < count && n < VOLUMES; i++)
        if (ds->cases[train[i]].has_label)
            items[n++] = (struct pv_store_item){train[i], true};
    pv_store *s = pv_store_open(ds, items, n, &(struct pv_store_params){0});
    bool ok = s != NULL;
    for (int threads = 1; ok; threads = pv_min(2 * threads, most)) {
        ok = loader(io, s, threads);
        if (threads == most)
            break;
    }
    pv_store_close(&s);
    return ok;
}

/* ---- all ---- */

static bool first_volume(const pv_dataset *ds, struct pv_volume *v)
{
    for (int i = 0; i < ds->num_cases; i++)
        if (ds->cases[i].split == PV_TRAIN && ds->cases[i].has_label)
            return pv_case_load(ds, i, PV_IMAGE | PV_LABEL, NULL, v);
    return pv_fail(PV_FAULT_INPUT, "%s: has no training case with a label", ds->dir);
}

pv_json *pv_bench_io_run(const struct pv_bench_io_args *a)
{
    char *dir = pv_asprintf("%s/bench-io.%d", a->work ? a->work : ".", pv_pid()), *data = pv_path_join(dir, "phantoms");
    pv_json *result = pv_bench_result("io", NULL, NULL);
    struct io io = {a, pv_json_array(), dir};
    pv_json_set(result, "rows", io.rows);
    struct pv_volume v = {0};
    pv_dataset *ds = NULL;
    bool ok = pv_mkdirs(dir) || pv_fail(PV_FAULT_INPUT, "cannot make the folder %s: %s; name another with --work", dir,
                                        pv_os_error());
    ok = ok && (a->data || pv_phantom_write(data, VOLUMES, 0, a->size, 1));
    ok = ok && (ds = pv_dataset_open(a->data ? a->data : data, NULL)) && first_volume(ds, &v) && files(&io, &v);
    if (ok) {
        augment(&io, &v);
        ok = loaders(&io, ds);
    }
    pv_volume_free(&v);
    pv_dataset_free(&ds);
    pv_remove_tree(dir);
    pv_free(data);
    pv_free(dir);
    if (!ok) {
        pv_json_free(result);
        return NULL;
    }
    return result;
}
