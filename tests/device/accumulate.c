/* SPDX-License-Identifier: Apache-2.0
 * accumulate DEVICE [--class C]: a step of several batches (train.accumulate). The same batch given twice moves the
 * weights, student's and teacher's, to the bits of the batch given once; two batches move them by the mean of what each
 * moves; nothing moves before the last. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "method/method.h"
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
static float *train(pv_dev *dev, const char *method, int parts, const int *which, int steps, bool plain, int net,
                    size_t *len)
{
    char accumulate[32];
    snprintf(accumulate, sizeof accumulate, "train.accumulate=%d", parts);
    const char *sets[] = {"net.filters=4", "net.dropout=0", accumulate, plain ? "optim.lr=1" : "optim.lr=0.05",
                          plain ? "optim.momentum=0" : "optim.momentum=0.9", "optim.weight_decay=0"};
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

static bool same_twice(pv_dev *dev, const char *method, int net)
{
    const int first[2] = {0, 0};
    size_t n, m;
    float *once = train(dev, method, 1, first, STEPS, false, net, &n);
    float *twice = train(dev, method, 2, first, STEPS, false, net, &m);
    bool ok = once && twice && n == m && !memcmp(once, twice, n * sizeof *once);
    printf("%s, network %d, the same batch twice: %s\n", method, net, ok ? "the same bits" : "FAILED: other bits");
    pv_free(once);
    pv_free(twice);
    return ok;
}

static bool mean_of_two(pv_dev *dev)
{
    const int one[1] = {0}, other[1] = {1}, both[2] = {0, 1};
    size_t n, m, l;
    float *a = train(dev, "sup", 1, one, 1, true, 0, &n), *b = train(dev, "sup", 1, other, 1, true, 0, &m);
    float *c = train(dev, "sup", 2, both, 1, true, 0, &l);
    double apart = 0, moved = 0;
    bool ok = a && b && c && n == m && n == l;
    for (size_t i = 0; ok && i < n; i++) {
        double mean = 0.5 * ((double)a[i] + b[i]), half = 0.5 * ((double)a[i] - b[i]);
        apart += ((double)c[i] - mean) * ((double)c[i] - mean);
        moved += half * half;
    }
    double e = moved > 0 ? sqrt(apart / moved) : 1;
    ok = ok && e < 1e-5;
    printf("sup, two batches: %.2g of half their difference from the mean%s\n", e, ok ? "" : " FAILED");
    pv_free(a);
    pv_free(b);
    pv_free(c);
    return ok;
}

int main(int argc, char **argv)
{
    const struct pv_dev_opts o = {.force_class = argc == 4 ? argv[3] : NULL};
    pv_dev *dev = argc >= 2 ? pv_dev_open(argv[1], &o) : NULL;
    if (!dev)
        return 1;
    make_batches(dev);
    bool ok = same_twice(dev, "sup", 0) && same_twice(dev, "mt", 0) && same_twice(dev, "mt", 1) &&
              same_twice(dev, "cps", 1) && mean_of_two(dev);
    for (int k = 0; k < 2; k++) {
        pv_tensor_put(&image[k]);
        pv_tensor_put(&label[k]);
    }
    pv_tensor_put(&noise);
    pv_dev_close(&dev);
    return ok ? 0 : 1;
}
