/* SPDX-License-Identifier: Apache-2.0
 * batches DEVICE (Vulkan): one long chain of launches gives the right numbers while command buffers grow with quick
 * kernels, shrink with slow ones and grow again. Each launch needs the one before, and their order matters: x <- 1 - x,
 * x <- 3 - x, x <- 1 - x ... adds 2 every other time. Sums are whole numbers, exact in fp32. */
#include <stdio.h>

#include "dev/batches.h"
#include "dev/vk/vk.h"
#include "ops/map.h"
#include "platform/platform.h"

enum { QUICK = 100, MOST_SLOW = 16 << 20, MOST_LAUNCHES = 2000, SLOW_NS = 20000000 };

static struct chain {
    pv_tensor *x, *c[2];
    int n, steps;
} quick = {.n = QUICK}, slow = {.n = 1 << 16};

static pv_tensor *full(pv_dev *dev, int n, float value)
{
    pv_tensor *t = pv_tensor_new(dev, pv_flat(n), PV_F32);
    float *v = pv_array(float, n);
    for (int i = 0; i < n; i++)
        v[i] = value;
    if (t)
        pv_tensor_write(t, v);
    pv_free(v);
    return t;
}

static bool start(pv_dev *dev, struct chain *k)
{
    k->x = pv_tensor_zeros(dev, pv_flat(k->n), PV_F32);
    k->c[0] = full(dev, k->n, 1);
    k->c[1] = full(dev, k->n, 3);
    return k->x && k->c[0] && k->c[1];
}

static void stop(struct chain *k)
{
    pv_tensor_put(&k->x);
    pv_tensor_put(&k->c[0]);
    pv_tensor_put(&k->c[1]);
    k->steps = 0;
}

static void launch(pv_tape *t, struct chain *k)
{
    pv_tensor *x = pv_binary(t, PV_SUB, k->c[k->steps % 2], k->x);
    pv_tensor_put(&k->x);
    k->x = x;
    k->steps++;
}

/* Elements for which a launch takes SLOW_NS or more. */
static bool start_slow(pv_tape *t, struct chain *k)
{
    for (;; k->n *= 2) {
        bool ok = start(t->dev, k);
        uint64_t least = UINT64_MAX;
        for (int i = 0; ok && i < 3; i++) {
            uint64_t from = pv_clock_ns();
            launch(t, k);
            ok = pv_dev_finish(t->dev);
            uint64_t took = pv_clock_ns() - from;
            if (i && took < least)      /* the first compiles */
                least = took;
        }
        if (!ok || least >= SLOW_NS || k->n >= MOST_SLOW)
            return ok;
        stop(k);
    }
}

/* Elements that are not what k->steps launches give. */
static int wrong(const struct chain *k)
{
    const float want = (float)(k->steps % 2 ? 1 - (k->steps - 1) : k->steps);
    float *v = pv_array(float, k->n);
    int n = 0;
    pv_tensor_read(k->x, v);
    for (int i = 0; i < k->n; i++)
        n += v[i] != want;
    if (n)
        printf("after %d launches %d of %d elements are not %g, the first is %g\n", k->steps, n, k->n, want, v[0]);
    pv_free(v);
    return n;
}

/* Launches until batches hold `until` commands or more (fewer); the limits hold all the time. */
static bool go(pv_tape *t, struct chain *k, const char *name, int until, bool more)
{
    const struct vk_dev *d = t->dev->impl;
    const int was = d->most_commands, first = k->steps;
    while (k->steps - first < MOST_LAUNCHES && (more ? d->most_commands < until : d->most_commands > until)) {
        launch(t, k);
        if (pv_dev_failed(t->dev) || d->most_commands < PV_BATCH_LEAST || d->most_commands > PV_BATCH_MOST ||
            d->batch[d->cur].commands > PV_BATCH_MOST)
            return !printf("%s: %d commands in a batch of %d\n", name, d->batch[d->cur].commands, d->most_commands);
    }
    printf("%s: batches of %d commands became %d in %d launches\n", name, was, d->most_commands, k->steps - first);
    return more ? d->most_commands >= until : d->most_commands <= until;
}

int main(int argc, char **argv)
{
    pv_dev *dev = argc == 2 ? pv_dev_open(argv[1], NULL) : NULL;
    if (!dev)
        return 1;
    pv_tape *t = pv_tape_new(dev);
    bool ok = start(dev, &quick) && start_slow(t, &slow);
    ok = ok && go(t, &quick, "quick kernels", 2 * PV_BATCH_FIRST, true) &&
         go(t, &slow, "slow kernels", PV_BATCH_FIRST / 2, false) &&
         go(t, &quick, "quick kernels", PV_BATCH_FIRST, true);
    ok = ok && wrong(&quick) == 0 && wrong(&slow) == 0;
    stop(&quick);
    stop(&slow);
    pv_tape_free(&t);
    ok = pv_dev_finish(dev) && ok;
    pv_dev_close(&dev);
    return ok ? 0 : 1;
}
