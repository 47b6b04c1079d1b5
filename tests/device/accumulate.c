/* SPDX-License-Identifier: Apache-2.0
 * accumulate DEVICE [--class C]: a step of several batches (train.accumulate). The same batch given twice moves the
 * weights, student's and teacher's, to the bits of the batch given once; two batches move them by the mean of what each
 * moves; nothing moves before the last. CRLN's scalar moves by the mean over both batches too. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "method/crln.h"
#include "train/config.h"

enum { SIDE = 16, VOXELS = SIDE * SIDE * SIDE, SAMPLES = 4, STEPS = 2 };

static pv_tensor *image[2], *label[2], *noise;

/* A bright cube at another place in each of the two batches. */
static void make_batches(pv_dev *dev)
{
    static float x[SAMPLES * VOXELS];
    static int32_t y[SAMPLES * VOXELS];
    const int side[3] = {SIDE, SIDE, SIDE};
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < SAMPLES * VOXELS; i++) {
            int v = i % VOXELS, a = v / (SIDE * SIDE), b = v / SIDE % SIDE, c = v % SIDE, n = i / VOXELS;
            bool in = a >= 4 && a < 12 && b >= 2 + n && b < 9 + n && c >= 3 + 2 * k && c < 11 + 2 * k;
            x[i] = (float)in + 0.1f * (float)(i % 7 - 3);
            y[i] = n < 2 ? in : PV_IGNORE;
        }
        image[k] = pv_tensor_new(dev, pv_plain(3, SAMPLES, 1, side), PV_F32);
        label[k] = pv_tensor_new(dev, pv_plain(3, SAMPLES, 1, side), PV_I32);
        pv_tensor_write(image[k], x);
        pv_tensor_write_i32(label[k], y);
    }
    noise = pv_tensor_zeros(dev, pv_plain(3, 2, 1, side), PV_F32);
}

static void drop_logs(struct pv_run *r)
{
    for (int i = 0; i < r->num_logs; i++)
        if (r->logs[i].ticket)
            pv_read_end(&r->logs[i].ticket, &(float){0});
    r->num_logs = 0;
}

static float *weights(const struct pv_run *r, int net)
{
    const pv_params *p = r->nets[net].net->p;
    float *v = pv_array(float, p->len);
    pv_tensor_read(p->flat, v);
    return v;
}

/* Weights of network `net` after `steps` steps of `parts` batches, number which[part] each; *len of them. NULL: a
 * fault, or weights that moved early. */
static float *train(pv_dev *dev, const char *method, int parts, const int *which, int steps, const char *const plan[4],
                    int net, size_t *len)
{
    char accumulate[32];
    snprintf(accumulate, sizeof accumulate, "train.accumulate=%d", parts);
    const char *sets[] = {"net.filters=4", "net.dropout=0", accumulate, "optim.weight_decay=0", plan[0], plan[1],
                          plan[2], plan[3]};
    const struct pv_config_args a = {.method = method, .labeled = 2, .iters = 100, .batch = 2, .seed = 7,
                                     .patch = {SIDE, SIDE, SIDE}, .sets = sets, .num_sets = PV_COUNT(sets)};
    const struct pv_given given = {.name = "noise", .t = noise};
    pv_json *config = pv_config_resolve(&a);
    struct pv_run *r = config ? pv_run_new(dev, config, false) : NULL;
    bool ok = r != NULL && r->parts == parts;
    for (int i = 0; ok && i < steps; i++) {
        float *before = weights(r, net);
        ok = pv_run_begin_step(r, i);
        r->given = &given;
        r->num_given = 1;
        do {
            const int k = which[r->part];
            r->method->step(r, &(struct pv_patches){2, 2, image[k], label[k]});
            drop_logs(r);
            float *now = weights(r, net);
            bool same = !memcmp(before, now, r->nets[net].net->p->len * sizeof *now);
            if (same == pv_run_last_part(r))
                ok = !printf("%s: the weights %s with part %d of %d\n", method, same ? "stay" : "move", r->part + 1,
                             parts);
            pv_free(now);
        } while (ok && pv_run_next_part(r));
        pv_free(before);
    }
    ok = ok && !pv_dev_failed(dev) && pv_fault_kind() == PV_FAULT_NONE;
    *len = ok ? r->nets[net].net->p->len : 0;
    float *v = ok ? weights(r, net) : NULL;
    pv_run_free(&r);
    pv_json_free(config);
    return v;
}

static const char *const moving[4] = {"optim.lr=0.05", "optim.momentum=0.9", "optim.lr=0.05", "optim.lr=0.05"},
    *const plain[4] = {"optim.lr=1", "optim.momentum=0", "optim.lr=1", "optim.lr=1"},
    /* gradients of parts are half as large when they become halves: the smallest round otherwise */
    *const mixed[4] = {"optim.lr=0.05", "optim.momentum=0.9", "precision.mode=\"mixed\"", "precision.scale=65536"};

/* |a - b| over |a - from|. */
static double apart(const float *a, const float *b, const float *from, size_t n)
{
    double d = 0, m = 0;
    for (size_t i = 0; i < n; i++) {
        d += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        m += ((double)a[i] - from[i]) * ((double)a[i] - from[i]);
    }
    return m > 0 ? sqrt(d / m) : 1;
}

/* most: 0 for the same bits, else of what the weights moved by. */
static bool same_twice(pv_dev *dev, const char *method, const char *const plan[4], int net, double most)
{
    const int first[2] = {0, 0};
    size_t n, m, l;
    float *from = train(dev, method, 1, first, 0, plan, net, &l);
    float *once = train(dev, method, 1, first, STEPS, plan, net, &n);
    float *twice = train(dev, method, 2, first, STEPS, plan, net, &m);
    bool ok = from && once && twice && n == m && n == l;
    double e = ok ? apart(once, twice, from, n) : 1;
    ok = ok && e <= most && (most > 0 || !memcmp(once, twice, n * sizeof *once));
    printf("%s (%s), network %d, the same batch twice: %.2g apart, at most %.2g%s\n", method, plan[2], net, e, most,
           ok ? "" : " FAILED");
    pv_free(from);
    pv_free(once);
    pv_free(twice);
    return ok;
}

static bool mean_of_two(pv_dev *dev)
{
    const int one[1] = {0}, other[1] = {1}, both[2] = {0, 1};
    size_t n, m, l;
    float *a = train(dev, "sup", 1, one, 1, plain, 0, &n), *b = train(dev, "sup", 1, other, 1, plain, 0, &m);
    float *c = train(dev, "sup", 2, both, 1, plain, 0, &l);
    double off = 0, moved = 0;
    bool ok = a && b && c && n == m && n == l;
    for (size_t i = 0; ok && i < n; i++) {
        double mean = 0.5 * ((double)a[i] + b[i]), half = 0.5 * ((double)a[i] - b[i]);
        off += ((double)c[i] - mean) * ((double)c[i] - mean);
        moved += half * half;
    }
    double e = moved > 0 ? sqrt(off / moved) : 1;
    ok = ok && e < 1e-5;
    printf("sup, two batches: %.2g of half their difference from the mean%s\n", e, ok ? "" : " FAILED");
    pv_free(a);
    pv_free(b);
    pv_free(c);
    return ok;
}

/* ---- CRLN's scalar ---- */

static pv_tensor *op_a(const pv_net *n)
{
    for (int i = 0; i < n->p->num; i++)
        if (pv_streq(n->p->v[i].name, "op.a"))
            return n->p->v[i].t;
    return NULL;
}

/* CRLN's Eq. 16 on the labelled images of batch k, with the scalar at v. */
static double op_loss(struct pv_run *r, pv_net *student, int k, float v)
{
    struct pv_scope s = {0};
    struct pv_net_out o = {0};
    bool recording = r->tape->recording;
    r->tape->recording = false;
    pv_tensor_write(op_a(student), &v);
    pv_tensor *x = pv_keep(&s, pv_tensor_samples(image[k], 0, 2)), *y = pv_keep(&s, pv_tensor_samples(label[k], 0, 2));
    pv_net_forward(student, r->tape, x, 0, PV_WANT(PV_FEAT_CUE), &o);
    pv_tensor *z = pv_keep(&s, pv_net_rectify(student, r->tape, o.logits, o.feat[PV_FEAT_CUE]));
    pv_tensor *loss = crln_segment(r->tape, &s, z, y);
    double l = NAN;
    if (loss)
        pv_tensor_read_f64(loss, &l);
    pv_net_out_free(&o);
    pv_scope_end(&s);
    r->tape->recording = recording;
    return l;
}

/* One step of two batches; then, with the weights that it left, the slope of Eq. 16 of each batch where the scalar was:
 * it must have moved by their mean. */
static bool scalar_of_all(pv_dev *dev)
{
    const float h = 0.25f, lr = 0.05f;
    const char *sets[] = {"net.filters=4", "net.dropout=0", "train.accumulate=2", "optim.weight_decay=0",
                          "optim.lr=0.05", "optim.nesterov=false", "method_options.weak_brightness=0",
                          "method_options.w_unsup=0", "method_options.w_cps=0"};
    const struct pv_config_args a = {.method = "crln", .labeled = 2, .iters = 100, .batch = 2, .seed = 7,
                                     .patch = {SIDE, SIDE, SIDE}, .sets = sets, .num_sets = PV_COUNT(sets)};
    pv_json *config = pv_config_resolve(&a);
    struct pv_run *r = config ? pv_run_new(dev, config, false) : NULL;
    pv_net *student = r ? r->nets[0].net : NULL;
    float from = 0, to = 0;
    bool ok = student && op_a(student) && pv_run_begin_step(r, 0);
    if (ok) {
        pv_tensor_read(op_a(student), &from);
        do {
            r->method->step(r, &(struct pv_patches){2, 2, image[r->part], label[r->part]});
            drop_logs(r);
        } while (pv_run_next_part(r));
        pv_tensor_read(op_a(student), &to);
    }
    double slope[2] = {0, 0};
    for (int k = 0; ok && k < 2; k++)
        slope[k] = (op_loss(r, student, k, from + h) - op_loss(r, student, k, from - h)) / (2 * h);
    double mean = 0.5 * (slope[0] + slope[1]), half = 0.5 * fabs(slope[0] - slope[1]), moved = (from - to) / lr;
    ok = ok && !pv_dev_failed(dev) && fabs(moved - mean) < 0.05 * half;
    printf("crln: slopes of the batches %.6f and %.6f, the scalar moved by %.6f%s\n", slope[0], slope[1], moved,
           ok ? "" : " FAILED");
    pv_run_free(&r);
    pv_json_free(config);
    return ok;
}

int main(int argc, char **argv)
{
    const struct pv_dev_opts o = {.force_class = argc == 4 ? argv[3] : NULL};
    pv_dev *dev = argc >= 2 ? pv_dev_open(argv[1], &o) : NULL;
    if (!dev)
        return 1;
    make_batches(dev);
    bool ok = same_twice(dev, "sup", moving, 0, 0) && same_twice(dev, "mt", moving, 0, 0) &&
              same_twice(dev, "mt", moving, 1, 0) && same_twice(dev, "cps", moving, 1, 0) &&
              same_twice(dev, "sup", mixed, 0, 1e-3) && mean_of_two(dev) && scalar_of_all(dev);
    for (int k = 0; k < 2; k++) {
        pv_tensor_put(&image[k]);
        pv_tensor_put(&label[k]);
    }
    pv_tensor_put(&noise);
    pv_dev_close(&dev);
    return ok ? 0 : 1;
}
