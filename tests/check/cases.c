/* SPDX-License-Identifier: Apache-2.0
 * What the cases of every op are made of: among the first eight there must be 2D maps, odd sides, sides of 1, several
 * samples, and for feature maps channel counts above 16 and such that 16 does not divide. Ops on flat arrays need odd
 * lengths. */
#include <stdio.h>
#include <string.h>

#include "check/check.h"

enum { CASES = 8 };
static struct seen { bool spatial, blocked, plane, odd, one, samples, wide, ragged, flat, odd_length; } seen;

static void input(void *user, const char *op, int number, const pv_tensor *t)
{
    const struct pv_shape *h = &t->h;
    if (h->layout == PV_FLAT) {
        seen.flat = true;
        seen.odd_length = seen.odd_length || h->n % 2;
        return;
    }
    seen.spatial = true;
    seen.plane = seen.plane || h->dims == 2;
    for (int i = 0; i < 3; i++) {
        seen.odd = seen.odd || (h->s[i] > 1 && h->s[i] % 2);
        seen.one = seen.one || (h->dims == 3 && h->s[i] == 1 && pv_voxels(h) > 1);
    }
    seen.samples = seen.samples || h->n > 1;
    if (h->layout == PV_BLOCKED) {
        seen.blocked = true;
        seen.wide = seen.wide || h->c > 16;
        seen.ragged = seen.ragged || h->c % 16;
    }
}

static int lacks(const char *op, bool has, const char *what)
{
    if (!has)
        printf("%s: no case has %s\n", op, what);
    return !has;
}

/* Their sides are 2 at least. */
static bool kernel_of_2(const char *op)
{
    return pv_starts(op, "conv2s2") || pv_starts(op, "mixed_conv2s2") || pv_starts(op, "max_pool");
}

/* One shape by their nature: a line through a cube, a ball. */
static bool one_shape(const char *op) { return pv_streq(op, "largest_winding") || pv_streq(op, "edt_ball"); }

int main(void)
{
    pv_dev *dev = pv_dev_open("ref:0", &(struct pv_dev_opts){.guard = true, .poison = true});
    int wrong = 0, num = 0;
    for (int f = 0; dev && pv_check_families[f].name; f++)
        for (int i = 0; pv_check_families[f].ops[i]; i++) {
            const struct pv_check_op *const ops[] = {pv_check_families[f].ops[i], NULL};
            const struct pv_check_family one[] = {{"one", ops}, {NULL, NULL}};
            const struct pv_check_opts how = {.families = one, .cases = CASES, .only_case = -1, .seed = 1,
                                              .input = input};
            const char *op = ops[0]->name;
            memset(&seen, 0, sizeof seen);
            num++;
            wrong += pv_check_run(dev, &how).failed;
            if (seen.spatial)
                wrong += lacks(op, seen.plane || pv_streq(op, "row_linear") || pv_streq(op, "row_swap"), "a 2D map") +
                         lacks(op, seen.odd, "an odd side") + lacks(op, seen.samples, "two samples") +
                         lacks(op, seen.one || kernel_of_2(op) || one_shape(op), "a side of 1");
            else if (seen.flat)
                wrong += lacks(op, seen.odd_length, "an odd length");
            if (seen.blocked)
                wrong += lacks(op, seen.wide, "more than 16 channels") +
                         lacks(op, seen.ragged, "channels that 16 does not divide");
        }
    pv_dev_close(&dev);
    printf("%d ops\n", num);
    return wrong > 0 || num == 0;
}
