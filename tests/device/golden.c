/* SPDX-License-Identifier: Apache-2.0
 * Formulas and comparisons that tests against PyTorch share. */
#include "golden.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/safetensors.h"
#include "platform/platform.h"

int golden_failures;

void golden_expect(bool ok, const char *what, double got, double want)
{
    if (!ok) {
        golden_failures++;
        printf("FAILED %s: %.9g, PyTorch %.9g\n", what, got, want);
    }
}

double golden_counter(uint64_t i, uint64_t seed)
{
    uint64_t z = (i + 1) * 0x9E3779B97F4A7C15ull + seed * 0xD1B54A32D192ED03ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    z ^= z >> 31;
    return (double)(z >> 40) / 8388608.0 - 1;
}

static double bound_of(const struct pv_param *q)
{
    double fan = 1;
    for (int d = 1; d < q->ndim; d++)
        fan *= q->shape[d];
    return 1 / sqrt(fan);
}

void golden_fill(pv_net *n, uint64_t seed)
{
    pv_params *p = n->p;
    const struct pv_param *weight = NULL;
    for (int i = 0; i < p->num; i++) {
        struct pv_param *q = &p->v[i];
        if (q->buffer)
            continue;
        bool is_weight = pv_ends(q->name, ".weight"), is_bias = pv_ends(q->name, ".bias");
        if (is_weight)
            weight = q;
        bool many = weight && weight->ndim > 1;
        double centre = is_weight && !many, width = !is_weight && !is_bias ? 0.5 : many ? bound_of(weight) : 0.1;
        float *v = pv_array(float, q->len);
        for (int k = 0; k < q->len; k++)
            v[k] = (float)(centre + width * golden_counter((uint64_t)k, seed));
        pv_param_write(p, i, v);
        pv_free(v);
        seed++;
    }
}

void golden_batch(int step, int dims, int n, const int s[3], int classes, int channels, float *image,
                  int32_t *label)
{
    int64_t i = 0, voxels = (int64_t)s[0] * s[1] * s[2];
    for (int b = 0; b < n; b++) {
        int cx = dims == 2 ? 0 : 12 + b + step % 3, cy = 16 - b, cz = 15 + step % 2, r = 8 + b, m = classes - 1;
        for (int x = 0; x < s[0]; x++)
            for (int y = 0; y < s[1]; y++)
                for (int z = 0; z < s[2]; z++, i++) {
                    int d2 = (x - cx) * (x - cx) + (y - cy) * (y - cy) + (z - cz) * (z - cz);
                    label[i] = 0;
                    for (int k = 1; k < classes; k++)
                        if (d2 * m * m <= r * (classes - k) * r * (classes - k))
                            label[i] = k;
                }
    }
    for (int b = 0; b < n; b++)
        for (int c = 0; c < channels; c++)
            for (int64_t v = 0; v < voxels; v++) {
                int64_t e = (b * channels + c) * voxels + v;
                image[e] = (float)((double)(float)golden_counter((uint64_t)e, 1000 + (uint64_t)step) +
                                   label[b * voxels + v]);
            }
}

/* ---- files ---- */

pv_st_file *golden_open(const char *name)
{
    const char *folder = getenv("PV_GOLDEN");
    char *path = pv_path_join(folder ? folder : ".", name);
    pv_st_file *f = pv_st_open(path);
    pv_free(path);
    if (!f)
        exit(1);
    return f;
}

double *golden_get(pv_st_file *f, const char *name, int64_t *n)
{
    const struct pv_st_tensor *t = pv_st_find(f, name);
    double *v = t ? pv_array(double, pv_st_len(t) + 1) : NULL;
    if (!t || !pv_st_read_f64(f, t, v)) {
        printf("FAILED: no %s in the golden file\n", name);
        exit(1);
    }
    if (n)
        *n = pv_st_len(t);
    return v;
}

/* ---- comparisons ---- */

void golden_compare(pv_st_file *f, const char *name, pv_tensor *t, int stride, double tol)
{
    int64_t k;
    double *want = golden_get(f, name, &k), scale = 0, worst = 0;
    int64_t m = t ? pv_shape_count(&t->h) : 0;
    double *got = pv_array(double, m + 1);
    bool size = t && (m + stride - 1) / stride == k && pv_tensor_read_f64(t, got);
    for (int64_t i = 0; i < k; i++)
        scale = fmax(scale, fabs(want[i]));
    for (int64_t i = 0; size && i < k; i++) {
        double d = fabs(got[i * stride] - want[i]) / scale;
        worst = d > worst || isnan(d) ? d : worst;     /* a NaN stays */
    }
    printf("%s: largest difference / largest value %.1e\n", name, worst);
    golden_expect(size && worst < tol, name, size ? worst : (double)m, size ? 0 : (double)k);
    pv_free(want);
    pv_free(got);
}

void golden_names(pv_st_file *f, const char *name, const pv_net *n)
{
    const struct pv_st_tensor *t = pv_st_find(f, name);
    char *want = pv_zalloc(t ? t->bytes + 1 : 1);
    if (t)
        pv_st_read_raw(f, t, want);
    struct pv_str got = {0};
    for (int i = 0; i < n->p->num; i++)
        if (!n->p->v[i].buffer)
            pv_str_addf(&got, "%s%s", got.len ? "\n" : "", n->p->v[i].name);
    if (!pv_streq(want, got.text)) {
        golden_failures++;
        printf("FAILED: the parameters' names differ from PyTorch's:\n%s\n--- PyTorch's:\n%s\n", got.text, want);
    }
    pv_str_free(&got);
    pv_free(want);
}

static double norm_of(pv_tensor *t)
{
    double *v = pv_array(double, t->h.n), s = 0;
    pv_tensor_read_f64(t, v);
    for (int j = 0; j < t->h.n; j++)
        s += v[j] * v[j];
    pv_free(v);
    return sqrt(s);
}

void golden_grad_norms(pv_st_file *f, const char *name, const pv_net *n, double tol, double least)
{
    int64_t k;
    double *want = golden_get(f, name, &k), largest = 0, worst = 0;
    int g = 0;
    for (int64_t i = 0; i < k; i++)
        largest = fmax(largest, want[i]);
    for (int i = 0; i < n->p->num; i++) {
        const struct pv_param *q = &n->p->v[i];
        if (q->buffer)
            continue;
        if (g == k)
            break;
        double got = q->t->grad_valid ? norm_of(q->t->grad) : -1;
        if (want[g] > 1e-3 * largest)
            worst = fmax(worst, fabs(got - want[g]) / want[g]);
        golden_expect(fabs(got - want[g]) <= tol * fabs(want[g]) + least * largest && (got < 0) == (want[g] < 0),
                      q->name, got, want[g]);
        g++;
    }
    golden_expect(g == k, "number of gradients", g, (double)k);
    printf("%s: largest relative difference %.1e\n", name, worst);
    pv_free(want);
}

void golden_running(pv_st_file *f, const char *name, const pv_net *n, double tol)
{
    int64_t k, j = 0;
    double *want = golden_get(f, name, &k);
    for (int i = 0; i < n->p->num; i++) {
        const struct pv_param *q = &n->p->v[i];
        if (!q->buffer || strstr(q->name, "attn_convs0.0"))
            continue;
        double *v = pv_array(double, q->len);
        pv_tensor_read_f64(q->t, v);
        for (int e = 0; e < 2 && e < q->len && j < k; e++, j++)
            golden_expect(fabs(v[e] - want[j]) <= tol * fabs(want[j]) + 0.1 * tol, q->name, v[e], want[j]);
        pv_free(v);
    }
    golden_expect(j == k, "number of running statistics", (double)j, (double)k);
    pv_free(want);
}
