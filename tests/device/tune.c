/* SPDX-License-Identifier: Apache-2.0
 * The table of measured implementations: what is taken, refused, kept for the run, on disk and in config.json; and that
 * convolutions with a table give what their implementations give, without a trace of the trials.
 *
 *     tune DEVICE [--class fat|simt] */
#include "ops/tune.h"

#include <stdio.h>
#include <string.h>

#include "ops/conv.h"
#include "ops/norm.h"
#include "platform/platform.h"

static int wrong;

static void check(bool ok, const char *what)
{
    if (!ok) {
        printf("wrong: %s\n", what);
        wrong++;
    }
}

/* ---- choices among four made-up implementations ---- */

enum { LEN = 400000 };
struct fake { pv_dev *dev; float *right, *bad; int runs[4], prepared; };
static const char *const names[] = {"slow", "refuses", "wrong", "quick"};

/* slow and quick write the right values, slow after a wait; wrong, the quickest, one that is not. */
static bool fake_run(void *user, int i, pv_tensor *const *out)
{
    struct fake *f = user;
    f->runs[i]++;
    if (i == 1)
        return false;
    if (i == 0)
        for (uint64_t end = pv_clock_ns() + 30000000; pv_clock_ns() < end;)
            ;
    if (i == 2)
        pv_tensor_write(out[0], f->bad);
    else
        pv_tensor_write(out[0], f->right);
    return true;
}

static void fake_prepare(void *user, int num)
{
    struct fake *f = user;
    check(num > 1 && f->runs[0] == 0, "prepared before anything is run");
    f->prepared++;
    for (uint64_t end = pv_clock_ns() + 300000000; pv_clock_ns() < end;)
        ;
}

static const char *choose(pv_tune *t, struct fake *f, const char *key, int num)
{
    pv_tensor *like = pv_tensor_new(f->dev, pv_flat(LEN), PV_F32);
    memset(f->runs, 0, sizeof f->runs);
    f->prepared = 0;
    const char *got = pv_tune_choose(t, &(struct pv_tune_case){.key = key, .impl = names, .num = num, .run = fake_run,
                                                               .prepare = fake_prepare, .user = f, .like = {like}});
    pv_tensor_put(&like);
    return got;
}

static int trials(const struct fake *f) { return f->runs[0] + f->runs[1] + f->runs[2] + f->runs[3]; }

static void made_up(pv_dev *dev)
{
    struct fake f = {.dev = dev, .right = pv_array(float, LEN), .bad = pv_array(float, LEN)};
    for (int i = 0; i < LEN; i++) {
        f.right[i] = (float)(i % 7);
        f.bad[i] = (float)(i % 7 + (i % 9 == 0));
    }
    check(pv_streq(choose(NULL, &f, "a", 4), "slow") && trials(&f) == 0, "no table: the default, nothing run");
    pv_tune *off = pv_tune_new(dev, PV_TUNE_OFF);
    check(pv_streq(choose(off, &f, "a", 4), "slow") && trials(&f) == 0, "off: the default, nothing run");

    pv_tune *t = pv_tune_new(dev, PV_TUNE_AGAIN);
    pv_log_level_set(PV_LOG_NONE);          /* it warns of the wrong one */
    check(pv_streq(choose(t, &f, "a", 4), "quick"), "the fastest right one");
    pv_log_level_set(PV_LOG_WARN);
    check(f.runs[0] > 1 && f.runs[1] == 1 && f.runs[2] == 1 && f.runs[3] > 1, "refused and wrong ones are not timed");
    check(f.prepared == 1 && pv_tune_seconds(t) > 0.09, "prepared once");
    double seconds = pv_tune_seconds(t);
    check(pv_streq(choose(t, &f, "a", 4), "quick") && trials(&f) + f.prepared == 0, "known: nothing run");
    pv_log_level_set(PV_LOG_NONE);          /* it warns of this too */
    check(pv_streq(choose(t, &f, "a", 3), "slow") && trials(&f) == 0, "known, but not there: the default");
    pv_log_level_set(PV_LOG_WARN);
    check(pv_tune_seconds(t) == seconds, "nothing measured");
    check(pv_streq(choose(t, &f, "b", 1), "slow") && trials(&f) == 0, "one implementation: nothing run");
    check(pv_tune_count(t) == 1 && pv_tune_seconds(t) > 0, "one choice");

    pv_json *j = pv_tune_json(t);
    pv_tune_read(off, j);
    check(pv_streq(choose(off, &f, "a", 4), "quick") && trials(&f) == 0, "taken from the configuration");
    pv_json_set_str(j, "device", "another");
    pv_tune *other = pv_tune_new(dev, PV_TUNE_OFF);
    pv_tune_read(other, j);
    check(pv_streq(choose(other, &f, "a", 4), "slow"), "not from another device's");
    pv_json_free(j);

    pv_tune_store(t);
    pv_tune *disk = pv_tune_new(dev, PV_TUNE_ON), *again = pv_tune_new(dev, PV_TUNE_AGAIN);
    check(pv_streq(choose(disk, &f, "a", 4), "quick") && trials(&f) == 0, "taken from disk");
    check(pv_streq(choose(again, &f, "a", 2), "slow") && f.runs[0] > 0, "again: measured");
    pv_tune_free(&t);
    pv_tune_free(&off);
    pv_tune_free(&other);
    pv_tune_free(&disk);
    pv_tune_free(&again);
    pv_free(f.right);
    pv_free(f.bad);
}

/* ---- convolutions ---- */

struct result { float *y, *dx, *dw; int64_t ny, nx, nw; };

static float *read_all(pv_tensor *t, int64_t *n)
{
    *n = t ? pv_shape_count(&t->h) : 0;
    float *v = pv_array(float, *n + 1);
    if (t && !pv_tensor_read(t, v))
        check(false, "reading");
    return v;
}

static pv_tensor *ramp(pv_dev *dev, struct pv_shape h, int period, bool grad)
{
    int64_t n = pv_shape_count(&h);
    float *v = pv_array(float, n);
    for (int64_t i = 0; i < n; i++)
        v[i] = (float)(i * 37 % period) / (float)period - 0.5f;
    pv_tensor *t = pv_tensor_new(dev, h, PV_F32);
    if (t)
        pv_tensor_write(t, v);
    pv_free(v);
    if (t)
        t->needs_grad = grad;
    return t;
}

/* Normalisation, 3x3x3, 2x2x2 down and up again; adding to gradients that are there. */
static struct result network(pv_dev *dev, pv_tune *tune, const char *force)
{
    const int s[3] = {6, 8, 12};
    pv_tape *t = pv_tape_new(dev);
    t->recording = true;
    t->tune = tune;
    t->force_impl = force;
    pv_tensor *x = ramp(dev, pv_blocked(3, 2, 16, s), 101, true), *w = ramp(dev, pv_flat(16 * 32 * 27), 89, true);
    pv_tensor *b = ramp(dev, pv_flat(32), 31, true), *w2 = ramp(dev, pv_flat(32 * 16 * 8), 97, true);
    pv_tensor *w3 = ramp(dev, pv_flat(16 * 32 * 8), 83, true);
    pv_tensor *h = pv_norm_act(t, x, &(struct pv_norm_params){.kind = PV_NORM_BATCH, .train = true});
    pv_tensor *c = pv_conv(t, h, w, b, 32, 3, 1, 1), *d = pv_conv(t, c, w2, NULL, 16, 2, 2, 0);
    pv_tensor *u = pv_conv_up(t, d, w3, NULL, 32, 2), *y = pv_add(t, u, c);
    pv_tensor *dy = ramp(dev, pv_blocked(3, 2, 32, s), 103, false);
    struct result r = {.y = read_all(y, &r.ny)};
    pv_backward_from(t, 1, &y, &dy);
    r.dx = read_all(x ? x->grad : NULL, &r.nx);
    r.dw = read_all(w ? w->grad : NULL, &r.nw);
    pv_tensor *all[] = {x, w, b, w2, w3, h, c, d, u, y, dy};
    pv_tape_free(&t);
    for (size_t i = 0; i < PV_COUNT(all); i++)
        pv_tensor_put(&all[i]);
    return r;
}

static bool same(const struct result *a, const struct result *b)
{
    return a->ny == b->ny && a->nx == b->nx && a->nw == b->nw && !memcmp(a->y, b->y, sizeof(float) * (size_t)a->ny) &&
           !memcmp(a->dx, b->dx, sizeof(float) * (size_t)a->nx) && !memcmp(a->dw, b->dw, sizeof(float) * (size_t)a->nw);
}

static void drop(struct result *r)
{
    pv_free(r->y);
    pv_free(r->dx);
    pv_free(r->dw);
}

/* Every choice of the table becomes NAME where it is a choice between two. */
static pv_tune *all_are(pv_dev *dev, const pv_tune *t, const char *name)
{
    pv_json *j = pv_tune_json(t), *c = pv_json_get(j, "choices");
    for (size_t i = 0; i < pv_json_count(c); i++)
        pv_json_set_str(c, pv_json_key_at(c, i), name);
    pv_tune *new = pv_tune_new(dev, PV_TUNE_OFF);
    pv_tune_read(new, j);
    pv_json_free(j);
    return new;
}

static void convolutions(pv_dev *dev)
{
    pv_tune *t = pv_tune_new(dev, PV_TUNE_AGAIN);
    struct result measuring = network(dev, t, NULL), later = network(dev, t, NULL);
    struct result direct = network(dev, NULL, "direct");
    pv_tune *forced = all_are(dev, t, "direct");
    struct result by_table = network(dev, forced, NULL);
    bool several = pv_dev_get_info(dev)->cls == PV_FAT;
    printf("%d choices in %.2f s\n", pv_tune_count(t), pv_tune_seconds(t));
    check(!several || pv_tune_count(t) >= 8, "forward, data and weight gradients of three layers are choices");
    check(same(&measuring, &later), "the step that measures has the bits of the next");
    check(same(&direct, &by_table), "a table of 'direct' has the bits of --impl direct");
    check(measuring.ny > 0 && measuring.nx > 0 && measuring.nw > 0, "results");
    drop(&measuring);
    drop(&later);
    drop(&direct);
    drop(&by_table);
    pv_tune_free(&t);
    pv_tune_free(&forced);
}

int main(int argc, char **argv)
{
    struct pv_dev_opts o = {.guard = true, .poison = true};
    if (argc > 3 && pv_streq(argv[2], "--class"))
        o.force_class = argv[3];
    pv_log_level_set(PV_LOG_WARN);
    pv_dev *dev = argc > 1 ? pv_dev_open(argv[1], &o) : NULL;
    if (!dev)
        return 2;
    made_up(dev);
    convolutions(dev);
    check(pv_dev_guard_check(dev) && pv_dev_finish(dev), "the device");
    pv_dev_close(&dev);
    printf("%d wrong\n", wrong);
    return wrong > 0;
}
