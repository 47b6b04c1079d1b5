/* SPDX-License-Identifier: Apache-2.0
 * Which kernels a training step of the V-Net launches in class simt, without any device: one step of a method on a
 * device that only counts (pv_dev_plan) with the limits of a large GPU.
 *
 *     step_kernels [--pipelines] [--mixed] [--winog] [METHOD [PATCH]]       (mt, 112x112x80)
 *
 * One line per kernel and constants, and for convolutions per layer, tab-separated: file, entry, constants "A=1 B=2",
 * work-items of a work-group, launches, work-groups, bytes bound (each buffer once), floating-point operations of
 * convolutions (2 per product, borders and spare lanes included; 0 for others).
 * --mixed: in mixed precision with the matrix units of an NVIDIA GPU. --winog: only Winograd's kernels, of a step in
 * which they take what they can. --pipelines: instead, what the first Vulkan driver says of each kernel's pipeline
 * (step_pipes.c). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "method/method.h"
#include "ops/args/conv.h"
#include "ops/args/conv_tile.h"
#include "ops/args/winog.h"
#include "step_kernels.h"

enum { MOST = 512 };
static struct seen {
    const struct pv_kernel *k;
    int32_t spec[PV_MAX_SPEC];
    uint64_t launches, groups, bytes;
    double flops;
} seen[MOST];
static int num_seen;
static struct pv_backend hooked;

static double conv_flops(const struct pv_kernel *k, const void *args)
{
    if (k->args_bytes == sizeof(struct a_tile) && !strncmp(k->file, "conv_", 5) && !pv_streq(k->entry, "gemm_sum")) {
        const struct a_tile *a = args;      /* of all slabs */
        return 2.0 * 256 * a->n * a->cb * a->kb * a->kx * a->ky * a->kz * a->x * a->y * a->z;
    }
    if (pv_streq(k->entry, "tile_wgrad") || pv_streq(k->entry, "conv_wgrad") || pv_streq(k->entry, "mma_wgrad")) {
        const struct a_wgrad *a = args;
        return 2.0 * 256 * a->bb * a->vb * a->kx * a->ky * a->kz * a->planes * a->y * a->z;
    }
    if (pv_streq(k->entry, "conv_fwd") || pv_streq(k->entry, "conv_up")) {
        const struct a_conv *a = args;      /* conv_up: an eighth of the taps meets a voxel */
        double voxels = pv_streq(k->entry, "conv_up") ? a->fx / 8.0 * a->fy * a->fz : (double)a->x * a->y * a->z;
        return 2.0 * 256 * a->n * a->cb * a->kb * a->kx * a->ky * a->kz * voxels;
    }
    if (pv_streq(k->entry, "stem_fwd")) {
        const struct a_stem *a = args;
        return 2.0 * 16 * a->n * a->kb * a->ci * a->kx * a->k * a->k * a->x * a->y * a->z;
    }
    if (pv_streq(k->entry, "stem_wgrad")) {
        const struct a_stem *a = args;
        return 2.0 * 16 * a->kb * a->ci * a->kx * a->k * a->k * a->planes * a->y * a->z;
    }
    return 0;
}

/* Winograd's kernels: operations, and where a launch reads or writes a part of what it is bound to, bytes: a voxel of
 * the map once. */
static void winog_cost(const struct pv_kernel *k, const void *args, double *flops, uint64_t *bytes)
{
    if (pv_streq(k->entry, "winog_gemm")) {
        const struct a_winog_g *a = args;
        *flops = 2.0 * 256 * a->cb * a->kb * a->count * a->nf;
    } else if (pv_streq(k->entry, "winog_wgemm")) {
        const struct a_winog_p *a = args;
        *flops = 2.0 * 256 * a->cb * a->kb * a->count * 64;
    } else if (pv_streq(k->entry, "winog_in") || pv_streq(k->entry, "winog_out") || pv_streq(k->entry, "winog_dy")) {
        const struct a_winog *a = args;     /* 64 frequencies for 8 voxels, additions along x, y and z */
        int add = k->entry[6] == 'i' ? 64 + 64 + 64 : k->entry[6] == 'o' ? 64 + 32 + 16 + 8 : 8 + 16 + 32;
        *flops = add * 16.0 * a->nb * a->count;
        *bytes = (64 + (a->accum ? 16u : 8u)) * 64u * (uint64_t)a->nb * (uint64_t)a->count;
    }
}

static void run(pv_dev *dev, const struct pv_resolved *r)
{
    struct seen *s = seen;
    double flops = conv_flops(r->k, r->args);
    uint64_t bytes = 0;
    for (int i = 0; i < r->num_bind; i++) {
        bool again = false;
        for (int j = 0; j < i; j++)
            again = again || (r->bind[j].mem == r->bind[i].mem && r->bind[j].off == r->bind[i].off);
        bytes += again ? 0 : r->bind[i].bytes * (r->k->bind[i] == 'x' ? 2u : 1u);
    }
    winog_cost(r->k, r->args, &flops, &bytes);
    const size_t spec_bytes = sizeof s->spec[0] * (size_t)r->num_spec;
    while (s < seen + num_seen && !(s->k == r->k && !memcmp(s->spec, r->spec, spec_bytes) &&
                                    s->flops / (double)s->launches == flops))
        s++;
    if (s == seen + MOST) {
        printf("more than %d rows\n", MOST);
        exit(1);
    }
    if (s == seen + num_seen) {
        num_seen++;
        s->k = r->k;
        memcpy(s->spec, r->spec, spec_bytes);
    }
    s->launches++;
    s->groups += (uint64_t)r->groups[0] * r->groups[1] * r->groups[2];
    s->bytes += bytes;
    s->flops += flops;
}

static bool units(const pv_dev *dev, struct pv_matrix *out)
{
    (void)dev;
    *out = (struct pv_matrix){.m = 16, .n = 8, .k = 16, .subgroup = 32, .impl = "mma"};
    return true;
}

static bool step(struct pv_run *r)
{
    int nl, nu;
    if (!pv_run_begin_step(r, 0))
        return false;
    pv_run_batch_size(r, r->stage, &nl, &nu);
    struct pv_patches b = {.num_labeled = nl, .num_unlabeled = nu};
    b.image = pv_tensor_new(r->dev, pv_plain(3, nl + nu, 1, r->net.patch), PV_F32);
    b.label = pv_tensor_new(r->dev, pv_plain(3, nl + nu, 1, r->net.patch), PV_I32);
    bool ok = b.image && b.label;
    if (ok)
        r->method->step(r, &b);
    pv_tensor_put(&b.image);
    pv_tensor_put(&b.label);
    return ok && !pv_dev_failed(r->dev);
}

int main(int argc, char **argv)
{
    bool pipelines = false, mixed = false, winog = false;
    for (; argc > 1 && pv_starts(argv[1], "--"); argc--, argv++) {
        pipelines = pipelines || pv_streq(argv[1], "--pipelines");
        mixed = mixed || pv_streq(argv[1], "--mixed");
        winog = winog || pv_streq(argv[1], "--winog");
    }
    const char *method = argc > 1 ? argv[1] : "mt";
    int p[3] = {112, 112, 80};
    if (argc > 2 && sscanf(argv[2], "%dx%dx%d", &p[0], &p[1], &p[2]) != 3)
        return 2;
    const struct pv_dev_info gpu = {.id = "plan", .name = "a large GPU", .type = PV_DEV_GPU, .cls = PV_SIMT,
        .limits = {.memory = 80ull << 30, .max_alloc = 4ull << 30, .max_binding = 4ull << 30, .max_wg = 1024,
                   .local_bytes = 32768, .bind_align = 256, .max_groups = 65535, .compute_units = 128}};
    pv_dev *dev = pv_dev_plan(&gpu, gpu.limits.memory);
    char text[640];
    snprintf(text, sizeof text, "{\"method\": \"%s\", \"net\": {\"name\": \"vnet\", \"dims\": 3, \"channels\": 1,"
             " \"classes\": 2, \"filters\": 16, \"dropout\": 0.5, \"init\": \"default\"}, \"train\": {\"iters\": 10,"
             " \"patch\": [%d, %d, %d], \"seed\": 1, \"labeled_batch\": 2, \"unlabeled_batch\": 2}, \"optim\": {\"lr\":"
             " 0.01, \"momentum\": 0.9, \"weight_decay\": 0.0001, \"schedule\": \"constant\"}, \"precision\":"
             " {\"mode\": \"%s\"}}", method, p[0], p[1], p[2], mixed ? "mixed" : "fp32");
    pv_json *config = pv_json_parse(text, "step");
    struct pv_run *r = config ? pv_run_new(dev, config, false) : NULL;
    hooked = *dev->be;
    hooked.run = run;
    hooked.matrix = mixed ? units : hooked.matrix;
    dev->be = &hooked;
    if (r && winog)
        r->tape->force_impl = "winog";
    if (!r || !step(r)) {
        printf("the step of %s failed\n", method);
        return 1;
    }
    int status = 0;
    for (struct seen *s = seen; s < seen + num_seen && status != 77; s++) {
        if (winog && !pv_starts(s->k->file, "winog"))
            continue;
        if (pipelines) {
            int said = step_pipe(s->k, s->spec);
            status = said ? said : status;
            continue;
        }
        printf("%s\t%s\t", s->k->file, s->k->entry);
        for (int i = 0; s->k->spec && s->k->spec[i]; i++)
            printf("%s%s=%d", i ? " " : "", s->k->spec[i], s->spec[i]);
        printf("\t%u\t%llu\t%llu\t%llu\t%.0f\n", s->k->wg[0] * (s->k->wg[1] ? s->k->wg[1] : 1) *
               (s->k->wg[2] ? s->k->wg[2] : 1), (unsigned long long)s->launches, (unsigned long long)s->groups,
               (unsigned long long)s->bytes, s->flops);
    }
    pv_run_free(&r);
    pv_json_free(config);
    return status;
}
