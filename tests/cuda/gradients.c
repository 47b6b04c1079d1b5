/* SPDX-License-Identifier: Apache-2.0
 * bench/cuda on emulated calls: its own check of kernels and convolutions, first losses in every precision and layout,
 * rows for every op, the V-Net step's gradients against differences of its loss along the gradient of a parameter
 * tensor, and the update. */
#include "../../bench/cuda/vnet.c"

#include <stdio.h>
#include <stdlib.h>

static void fails(const char *what, double got, double want)
{
    fprintf(stderr, "%s: %g, expected %g\n", what, got, want);
    exit(1);
}

/* In double, from the logits: differences of the step's own fp32 loss would drown in its rounding. */
static double loss_of(struct vnet *n)
{
    const struct k_loss o = {0.5f, 0.5f, 0};
    float loss = NAN;
    int v = n->a->patch[0] * n->a->patch[1] * n->a->patch[2], c = n->classes;
    if (!forward(n, true) || !CU(k_loss(n->z, n->label, o, n->part, n->sums, n->loss, n->a->batch, c, v)) ||
        !CU(cudaMemcpy(&loss, n->loss, 4, cudaMemcpyDeviceToHost)))
        exit(1);
    double ce = 0, inter[8] = {0}, square[8] = {0}, count[8] = {0}, dice = 0;
    for (int i = 0; i < n->a->batch * v; i++) {
        const float *z = n->z + (size_t)(i / v) * (size_t)(c * v) + i % v;
        double sum = 0;
        for (int k = 0; k < c; k++)
            sum += exp(z[k * v]);
        ce -= z[n->label[i] * v] - log(sum);
        for (int k = 0; k < c; k++) {
            double p = exp(z[k * v]) / sum;
            inter[k] += k == n->label[i] ? p : 0;
            square[k] += p * p;
            count[k] += k == n->label[i];
        }
    }
    for (int k = 1; k < c; k++)
        dice += 1 - (2 * inter[k] + 1e-5) / (square[k] + count[k] + 1e-5);
    double want = 0.5 * ce / (n->a->batch * v) + 0.5 * dice / (c - 1);
    if (!(fabs(loss - want) < 1e-5 * want))
        fails("loss", loss, want);
    return want;
}

/* Device memory is the processor's here. The derivative along the gradient g is |g|. */
static void along(struct vnet *n, const char *name, size_t at, size_t count, const float *g)
{
    double norm = 0, worst = 1e9, was = 0;
    for (size_t i = 0; i < count; i++)
        norm += (double)g[i] * g[i];
    norm = sqrt(norm);
    /* kinks of ReLUs want small steps, rounding large ones */
    for (double h = 1.6e-2; h > 2e-6 && norm > 0 && fabs(worst) > 0.03 * norm; h /= 4) {
        double l[2];
        float *w = n->w + at, *old = pv_array(float, count);
        memcpy(old, w, count * sizeof *w);
        for (int s = 0; s < 2; s++) {
            for (size_t i = 0; i < count; i++)
                w[i] = old[i] + (float)((s ? -h : h) * g[i] / norm);
            l[s] = loss_of(n);
        }
        memcpy(w, old, count * sizeof *w);
        pv_free(old);
        double d = (l[0] - l[1]) / (2 * h);
        if (fabs(d - norm) < fabs(worst)) {
            worst = d - norm;
            was = d;
        }
    }
    printf("%-24s |g| %.5f, difference quotient %.5f\n", name, norm, was);
    /* 5 %: with so few voxels some ReLU always turns over within the step */
    if (!(norm > 0) || !(fabs(worst) <= 0.05 * norm))
        fails(name, was, norm);
}

static void gradients(bool nhwc)
{
    const struct cu_step_args a = {{32, 16, 16}, 2, 2, 3, 1, 1, true, true};
    const struct k_loss o = {0.5f, 0.5f, 0};
    struct cu c;
    char *why, name[64];
    if (!cu_open(&c, CU_FP32, nhwc, &why))
        exit(1);
    struct vnet *n = pv_new(struct vnet);
    *n = (struct vnet){.c = &c, .a = &a, .classes = a.classes, .ok = true};
    cudnnCreateActivationDescriptor(&n->relu);
    cudnnSetActivationDescriptor(n->relu, CUDNN_ACTIVATION_RELU, CUDNN_NOT_PROPAGATE_NAN, 0);
    build(n);
    buffers(n);
    initialise(n);
    make_data(n);
    if (!search_all(n))
        exit(1);
    loss_of(n);
    if (!backward(n, &o))
        exit(1);
    float *g = pv_alloc(n->num * sizeof *g);
    memcpy(g, n->g, n->num * sizeof *g);
    for (int i = 0; i < n->num_units; i += nhwc ? 7 : 3) {
        snprintf(name, sizeof name, "unit %d weights", i);
        along(n, name, n->u[i].w, n->u[i].conv.w_count, g + n->u[i].w);
        snprintf(name, sizeof name, "unit %d norm", i);
        along(n, name, n->u[i].scale, 2 * (size_t)n->u[i].conv.co, g + n->u[i].scale);
    }
    along(n, "head weights", n->head_w, n->head.w_count, g + n->head_w);
    along(n, "head bias", n->head_b, (size_t)n->classes, g + n->head_b);
    double before = n->w[0], grad = g[0] + 1e-4 * before;
    if (!update(n))
        exit(1);
    if (!(fabs(n->w[0] - (before - 1e-3 * grad)) < 1e-6 * fabs(before)))
        fails("update", n->w[0], before - 1e-3 * grad);
    pv_free(g);
    pv_free(n);
}

static void steps(enum cu_precision p, bool nhwc)
{
    const struct cu_step_args a = {{16, 16, 16}, 1, 1, 2, 1, 1, true, true};
    struct cu c;
    char *why;
    pv_json *checked = pv_json_object();
    if (!cu_open(&c, p, nhwc, &why) || !cu_check(&c, checked))
        exit(1);
    char *text = pv_json_text(checked, false);
    pv_json *o = cu_bench_step(&c, &a);
    if (!o)
        exit(1);
    double first = pv_json_num(pv_json_get(o, "train"), "loss_first", NAN);
    printf("%s%s: loss %.6f; %s\n", cu_precision_name(p), nhwc ? " channels last" : "", first, text);
    static double fp32;
    if (p == CU_FP32 && !nhwc)
        fp32 = first;
    if (!(fabs(first - fp32) <= (p == CU_HALF ? 5e-3 : 1e-5)) && !nhwc)     /* channels last has other weights */
        fails("first loss", first, fp32);
    pv_json_free(o);
    pv_json_free(checked);
    pv_free(text);
}

static void all_ops(const char *list, enum cu_precision p)
{
    const struct pv_bench_ops_args a = {.shapes = list, .reps = 1, .seconds = 0};
    struct cu c;
    char *why;
    if (!cu_open(&c, p, false, &why))
        exit(1);
    pv_json *o = cu_bench_ops(&c, &a);
    int rows = 0, skipped = 0;
    for (const pv_json *r = pv_json_at(pv_json_get(o, "rows"), 0); r; r = pv_json_next(r)) {
        const char *why_not = pv_json_str(r, "skipped", NULL);
        bool expected = pv_streq(pv_json_str(r, "op", ""), "max_pool") || p != CU_FP32;
        if (why_not && !expected)
            fails(why_not, 0, 0);
        skipped += why_not != NULL;
        rows++;
    }
    printf("%s: %d rows, %d skipped\n", cu_precision_name(p), rows, skipped);
    if (rows - skipped < (p == CU_FP32 ? 30 : 13) || skipped < 1)
        fails("rows", rows - skipped, 30);
    pv_json_free(o);
    if (c.used != 0)
        fails("bytes left behind by ops", (double)c.used, 0);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    steps(CU_FP32, false);
    steps(CU_TF32, false);
    steps(CU_HALF, false);
    steps(CU_HALF, true);
    all_ops(argv[1], CU_FP32);
    all_ops(argv[1], CU_HALF);
    gradients(false);
    gradients(true);
    return 0;
}
