/* SPDX-License-Identifier: Apache-2.0
 * golden_steps DEVICE FILE [--class C] [--steps N]: whole steps of a method on a small network against an independent
 * PyTorch writing in float64 (golden/steps.py): every logged loss of every step, and registered states.
 *
 * Tolerances: 1e-4 relative for the first three steps, 1e-3 after: rounding grows from step to step. Values near zero
 * count against the size of the total loss. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/safetensors.h"
#include "golden.h"
#include "method/method.h"
#include "platform/platform.h"

enum { MAX_GIVEN = 32 };

static int failures, compared;

static void *must(void *p, const char *what)
{
    if (!p) {
        printf("FAILED: %s\n", what);
        exit(1);
    }
    return p;
}

static double meta_num(pv_st_file *f, const char *key, double def)
{
    double v;
    const char *t = pv_st_meta(f, key);
    return t && pv_parse_f64(t, &v) ? v : def;
}

static double *read_all(pv_st_file *f, const struct pv_st_tensor *s)
{
    double *v = pv_array(double, pv_st_len(s));
    must(pv_st_read_f64(f, s, v) ? v : NULL, s->name);
    return v;
}

static pv_tensor *plain_tensor(pv_dev *dev, pv_st_file *f, const struct pv_st_tensor *s)
{
    int dims = s->ndim - 2, sides[3] = {1, 1, 1};
    for (int i = 0; i < dims; i++)
        sides[3 - dims + i] = (int)s->shape[2 + i];
    if (dims == 3 && sides[0] == 1)
        dims = 2;
    bool whole = s->type == PV_ST_I32;
    struct pv_shape h = pv_plain(dims, (int)s->shape[0], (int)s->shape[1], sides);
    pv_tensor *t = pv_tensor_new(dev, h, whole ? PV_I32 : PV_F32);
    must(t, s->name);
    if (whole) {
        int32_t *v = pv_array(int32_t, pv_st_len(s));
        pv_st_read_i32(f, s, v);
        pv_tensor_write_i32(t, v);
        pv_free(v);
    } else {
        double *v = read_all(f, s);
        pv_tensor_write_f64(t, v);
        pv_free(v);
    }
    return t;
}

/* Steps.field of golden/steps.py: [seed, scale, clip, n, c, x, y, z]. */
static pv_tensor *field_tensor(pv_dev *dev, const double *d, int len)
{
    int sides[3] = {1, 1, 1}, dims = len - 5;
    for (int i = 0; i < dims; i++)
        sides[3 - dims + i] = (int)d[5 + i];
    if (dims == 3 && sides[0] == 1)
        dims = 2;
    struct pv_shape h = pv_plain(dims, (int)d[3], (int)d[4], sides);
    pv_tensor *t = must(pv_tensor_new(dev, h, PV_F32), "field");
    float *v = pv_array(float, pv_shape_count(&h));
    for (int64_t i = 0; i < pv_shape_count(&h); i++)
        v[i] = (float)fmin(fmax(d[1] * golden_counter((uint64_t)i, (uint64_t)d[0]), -d[2]), d[2]);
    pv_tensor_write(t, v);
    pv_free(v);
    return t;
}

static int load_given(pv_dev *dev, pv_st_file *f, int step, struct pv_given *g)
{
    char prefix[32], field[32];
    int n = 0;
    snprintf(prefix, sizeof prefix, "%d.given.", step);
    snprintf(field, sizeof field, "%d.field.", step);
    for (size_t i = 0; i < pv_st_count(f) && n < MAX_GIVEN; i++) {
        const struct pv_st_tensor *s = pv_st_at(f, i);
        bool is_field = pv_starts(s->name, field);
        if (!pv_starts(s->name, prefix) && !is_field)
            continue;
        g[n] = (struct pv_given){.n = (int)pv_st_len(s), .v = read_all(f, s)};
        snprintf(g[n].name, sizeof g[n].name, "%s", s->name + strlen(prefix));
        if (s->ndim >= 4 || is_field)
            g[n].t = is_field ? field_tensor(dev, g[n].v, g[n].n) : plain_tensor(dev, f, s);
        n++;
    }
    return n;
}

static void expect(const char *what, int step, double got, double want, double scale)
{
    double err = fabs(got - want) / fmax(fabs(want), 1e-3 * scale), tol = step < 3 ? 1e-4 : 1e-3;
    compared++;
    printf("step %d %-28s %.8g  PyTorch %.8g  error %.1e\n", step + 1, what, got, want, err);
    if (!(err <= tol)) {
        failures++;
        printf("FAILED\n");
    }
}

static void compare_logs(pv_st_file *f, struct pv_run *r, int step)
{
    char key[64];
    double scale = 0;
    snprintf(key, sizeof key, "%d.log.loss", step);
    const struct pv_st_tensor *total = pv_st_find(f, key);
    if (total) {
        double *v = read_all(f, total);
        scale = fabs(v[0]);
        pv_free(v);
    }
    int found = 0, want = 0;
    for (int i = 0; i < r->num_logs; i++) {
        struct pv_run_log *l = &r->logs[i];
        if (l->ticket) {
            float v = NAN;
            pv_read_end(&l->ticket, &v);
            l->value = v;
        }
        snprintf(key, sizeof key, "%d.log.%s", step, l->name);
        const struct pv_st_tensor *s = pv_st_find(f, key);
        if (!s)
            continue;
        double *v = read_all(f, s);
        expect(l->name, step, l->value, v[0], scale);
        pv_free(v);
        found++;
    }
    r->num_logs = 0;
    snprintf(key, sizeof key, "%d.log.", step);
    for (size_t i = 0; i < pv_st_count(f); i++)
        want += pv_starts(pv_st_at(f, i)->name, key);
    if (found != want || !want) {
        failures++;
        printf("FAILED: step %d logged %d of PyTorch's %d values\n", step + 1, found, want);
    }
}

static void compare_states(pv_st_file *f, struct pv_run *r, int step)
{
    for (int i = 0; i < r->num_states; i++) {
        char key[64];
        snprintf(key, sizeof key, "%d.state.%s", step, r->states[i].name);
        const struct pv_st_tensor *s = pv_st_find(f, key);
        if (!s)
            continue;
        double *want = read_all(f, s), *got = pv_array(double, pv_st_len(s)), scale = 0;
        if (r->states[i].t->h.n != pv_st_len(s) || !pv_tensor_read_f64(r->states[i].t, got)) {
            failures++;
            printf("FAILED: state %s has another length\n", key);
        }
        for (int64_t k = 0; k < pv_st_len(s); k++)
            scale = fmax(scale, fabs(want[k]));
        for (int64_t k = 0; k < pv_st_len(s) && k < 64; k++)
            expect(r->states[i].name, step, got[k], want[k], 10 * scale);
        pv_free(want);
        pv_free(got);
    }
}

/* Steps.sparse of golden/steps.py: [labelled samples][3] planes that stay. */
static void make_sparse(pv_st_file *f, int step, const int s[3], int32_t *label)
{
    char key[32];
    snprintf(key, sizeof key, "%d.planes", step);
    const struct pv_st_tensor *t = pv_st_find(f, key);
    double *p = t ? read_all(f, t) : NULL;
    for (int i = 0; t && i < t->shape[0]; i++)
        for (int x = 0; x < s[0]; x++)
            for (int y = 0; y < s[1]; y++)
                for (int z = 0; z < s[2]; z++, label++)
                    if (x != (int)p[3 * i] && y != (int)p[3 * i + 1] && z != (int)p[3 * i + 2])
                        *label = PV_IGNORE;
    pv_free(p);
}

static struct pv_patches make_batch(pv_dev *dev, pv_st_file *f, const struct pv_run *r, int step, int nl, int nu)
{
    int n = nl + nu, s[3];
    memcpy(s, r->net.patch, sizeof s);
    int64_t voxels = (int64_t)s[0] * s[1] * s[2];
    float *image = pv_array(float, n * r->net.channels * voxels);
    int32_t *label = pv_array(int32_t, n * voxels);
    golden_batch(step, r->net.dims, n, s, r->net.classes, r->net.channels, image, label);
    for (int64_t i = nl * voxels; i < n * voxels; i++)
        label[i] = PV_IGNORE;
    make_sparse(f, step, s, label);
    struct pv_patches b = {.num_labeled = nl, .num_unlabeled = nu};
    char key[32];
    snprintf(key, sizeof key, "%d.image", step);
    const struct pv_st_tensor *t = pv_st_find(f, key);
    b.image = t ? plain_tensor(dev, f, t) : pv_tensor_new(dev, pv_plain(r->net.dims, n, r->net.channels, s), PV_F32);
    if (!t)
        pv_tensor_write(b.image, image);
    snprintf(key, sizeof key, "%d.label", step);
    t = pv_st_find(f, key);
    b.label = t ? plain_tensor(dev, f, t) : pv_tensor_new(dev, pv_plain(r->net.dims, n, 1, s), PV_I32);
    if (!t)
        pv_tensor_write_i32(b.label, label);
    pv_free(image);
    pv_free(label);
    return b;
}

int main(int argc, char **argv)
{
    const char *cls = NULL;
    int steps = 1000;
    if (argc < 3)
        return 2;
    for (int i = 3; i + 1 < argc; i += 2) {
        if (pv_streq(argv[i], "--class"))
            cls = argv[i + 1];
        if (pv_streq(argv[i], "--steps"))
            steps = atoi(argv[i + 1]);
    }
    char *path = pv_asprintf("%s/steps/%s", getenv("PV_GOLDEN"), argv[2]);
    pv_st_file *f = must(pv_st_open(path), path);
    pv_dev *dev = must(pv_dev_open(argv[1], &(struct pv_dev_opts){.force_class = cls, .poison = true}), argv[1]);
    pv_json *config = must(pv_json_parse(pv_st_meta(f, "config"), path), "config");
    struct pv_run *r = must(pv_run_new(dev, config, false), "run");
    int nl = (int)meta_num(f, "labeled", 1), nu = (int)meta_num(f, "unlabeled", 0);
    steps = pv_min(steps, (int)meta_num(f, "steps", 1));
    for (int i = 0; i < r->num_nets; i++)
        golden_fill(r->nets[i].net, 10000 * (uint64_t)(i + 1));
    for (int step = 0; step < steps && !pv_dev_failed(dev); step++) {
        struct pv_given given[MAX_GIVEN];
        r->num_given = load_given(dev, f, step, given);
        r->given = given;
        struct pv_patches b = make_batch(dev, f, r, step, nl, nu);
        if (!pv_run_begin_step(r, step)) {
            failures++;
            break;
        }
        r->method->step(r, &b);
        pv_dev_finish(dev);
        compare_logs(f, r, step);
        compare_states(f, r, step);
        pv_tensor_put(&b.image);
        pv_tensor_put(&b.label);
        for (int i = 0; i < r->num_given; i++) {
            pv_tensor_put(&given[i].t);
            pv_free(given[i].v);
        }
        r->num_given = 0;
    }
    failures += pv_dev_failed(dev) || pv_fault_kind() != PV_FAULT_NONE;
    pv_run_free(&r);
    pv_json_free(config);
    pv_st_close(&f);
    pv_dev_close(&dev);
    pv_free(path);
    printf("%d compared, %s\n", compared, failures ? "FAILED" : "passed");
    return failures != 0 || compared == 0;
}
