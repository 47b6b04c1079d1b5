/* SPDX-License-Identifier: Apache-2.0
 * Sub-groups for reductions (kernels_cl/common/group.h). OpenCL has no one way to exchange values in a sub-group that
 * all drivers know, so each known way is tried on a small kernel; one that does not build, or whose bits are not
 * those of the tree in local memory, is not used. Class simt only. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dev/ocl/ocl.h"
#include "platform/platform.h"

enum { ITEMS = 64, GROUPS = 3 };
enum { NVIDIA = 1, AMD, INTEL, KHRONOS, IMITATED };     /* PV_SHUFFLE */

/* Joins t as the tree does, `step` elements each, down to `stop` items. */
static void fold(float *t, int step, int stop)
{
    for (int h = ITEMS / 2; h >= stop; h /= 2)
        for (int i = 0; i < h * step; i++)
            t[i] += t[i + h * step];
}

/* sub_probe's results: for each group the sum, and the quads of x, x + 1, x + 2, x + 3. */
static void expect(const float *x, float *sum, float *quads)
{
    float t[ITEMS * 4];
    memcpy(t, x, sizeof *t * ITEMS);
    fold(t, 1, 1);
    *sum = t[0];
    for (int i = 0; i < ITEMS * 4; i++)
        t[i] = x[i / 4] + (float)(i % 4);
    fold(t, 4, 4);
    memcpy(quads, t, sizeof *t * 16);
}

static bool same(const float *x, const float *out)
{
    for (int g = 0; g < GROUPS; g++) {
        float sum, quads[16];
        expect(x + g * ITEMS, &sum, quads);
        for (int l = 0; l < ITEMS; l++) {
            const float *o = out + (g * ITEMS + l) * 5;
            if (memcmp(o, &sum, sizeof sum) || memcmp(o + 1, quads + l % 4 * 4, 4 * sizeof *quads))
                return false;
        }
    }
    return true;
}

static bool take(pv_dev *dev, int form, int size)
{
    static const char *const names[] = {"", "NVIDIA's", "AMD's", "cl_intel_subgroups", "cl_khr_subgroup_shuffle",
                                        "imitated"};
    struct ocl_dev *d = dev->impl;
    float x[GROUPS * ITEMS], out[GROUPS * ITEMS * 5];
    uint32_t bits = 1;
    for (int i = 0; i < GROUPS * ITEMS; i++) {          /* other bits in any other order */
        bits = bits * 1664525u + 1013904223u;
        x[i] = ((float)(bits >> 8) / 16777216.0f - 0.5f) * (float)(1 << bits % 11);
    }
    memset(out, 0, sizeof out);
    char options[OCL_SUBGROUP_OPTIONS], why[1024];
    snprintf(options, sizeof options, " -DPV_SHUFFLE=%d -DPV_SUBGROUP=%d%s", form, size,
             form == KHRONOS ? " -cl-std=CL3.0" : "");
    const struct ocl_probe p = {.name = "sub_probe", .options = options, .num = 2, .from = {x, out},
                                .bytes = {sizeof x, sizeof out}, .items = ITEMS, .groups = GROUPS};
    if (ocl_probe(dev, &p, out, why, sizeof why) && !same(x, out))
        snprintf(why, sizeof why, "other results than in local memory");
    if (why[0]) {
        pv_debug("ops", "%s: sub-groups, %s: not used: %s", dev->info.id, names[form], why);
        return false;
    }
    pv_debug("ops", "%s: reductions with sub-groups, %s", dev->info.id, names[form]);
    memcpy(d->subgroup_options, options, sizeof options);
    dev->subgroup = size ? size : -1;
    return true;
}

static void find(pv_dev *dev)
{
    struct ocl_dev *d = dev->impl;
    const char *ask = pv_env("PV_SUBGROUP");
    const int imitated = ask ? atoi(ask) : 0;
    const char *why = NULL;
    if (dev->opts.lower.subgroup == 1 || (ask && pv_streq(ask, "off")))
        why = "forbidden";
    else if (dev->info.cls != PV_SIMT)
        why = "they belong to class simt";
    else if (dev->info.limits.max_wg < ITEMS)
        why = "no work-groups of 64";
    if (why)
        pv_debug("ops", "%s: reductions without sub-groups: %s", dev->info.id, why);
    if (why || (imitated >= 4 && imitated <= ITEMS && ITEMS % imitated == 0 && take(dev, IMITATED, imitated)))
        return;
    const int size = (int)dev->info.limits.subgroup;
    char *ext = ocl_extensions(d->cl, d->id);
    const bool tries[] = {false, strstr(dev->info.vendor, "NVIDIA") && size == 32,
                          strstr(dev->info.vendor, "Advanced Micro Devices") && (size == 32 || size == 64),
                          strstr(ext, "cl_intel_subgroups"), strstr(ext, "cl_khr_subgroup_shuffle")};
    pv_free(ext);
    bool found = false;
    for (int form = NVIDIA; form <= KHRONOS && !found; form++)
        found = tries[form] && take(dev, form, form <= AMD ? size : 0);
    if (!found)
        pv_debug("ops", "%s: reductions without sub-groups", dev->info.id);
}

const char *ocl_subgroup_options(pv_dev *dev)
{
    struct ocl_dev *d = dev->impl;
    if (!d->subgroup_asked)
        find(dev);
    d->subgroup_asked = true;
    return d->subgroup_options;
}
