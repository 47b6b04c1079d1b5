/* SPDX-License-Identifier: Apache-2.0
 * Dynamic loss scaling: are all gradients finite, and the scale that follows from it. State: ops/args/loss_scale.h. */
#include "common/group.h"
#include "ops/args/loss_scale.h"

#ifdef PV_FAT
#define WG WG1
#define LANES 1
#else
#define WG WG64
#define LANES 64
#endif

/* all = 1 if any of the group's work-items has 1. */
#ifdef PV_FAT
#define ANY(mine, all) all = (mine);
#else
GROUP_FOLD(group_or, uint, JOIN_OR, 1)
#define ANY(mine, all) \
    __local uint any_[64]; \
    all = (int)group_or((uint)(mine), any_);
#endif

/* grad_bad: part[group] = 1 if one of its LS_CHUNK elements of g is infinite or no number, else 0. */
__kernel WG void grad_bad(GC(float) g, G(float) part, struct a_grad_bad a)
{
    const int group = GROUP(), first = group * LS_CHUNK, end = min(first + LS_CHUNK, a.count);
    int bad = 0, all = 0;
    g += a.off[0];
    for (int i = first + LOCAL(); i < end; i += LANES)
        bad |= (as_uint(g[i]) & 0x7f800000u) == 0x7f800000u;
    ANY(bad, all)
    if (LOCAL() == 0 && first < a.count)
        part[a.off[1] + group] = all;
}

/* scale_judge: skip = whether any part is not 0; bad |= skip; tried = 1. One group. */
__kernel WG void scale_judge(GC(float) part, G(float) s, struct a_scale_judge a)
{
    int bad = 0, all = 0;
    part += a.off[0];
    for (int i = LOCAL(); i < a.count; i += LANES)
        bad |= part[i] != 0.0f;
    ANY(bad, all)
    if (LOCAL() == 0) {
        s += a.off[1];
        s[LS_SKIP] = all;
        s[LS_TRIED] = 1.0f;
        if (all)
            s[LS_BAD] = 1.0f;
    }
}

/* scale_next: after a bad iteration half the scale, after `growth` good ones twice as much. One work-item. */
__kernel WG1 void scale_next(G(float) s, struct a_scale_next a)
{
    s += a.off[0];
    float scale = s[LS_SCALE], good = s[LS_GOOD];
    if (s[LS_BAD] != 0.0f) {
        scale = fmax(scale * 0.5f, a.least);
        good = 0;
        s[LS_SKIPPED] += 1.0f;
    } else if (s[LS_TRIED] != 0.0f) {
        good += 1.0f;
        if (good >= a.growth) {
            scale = fmin(scale * 2.0f, a.most);
            good = 0;
        }
    }
    s[LS_SCALE] = scale;
    s[LS_INVERSE] = 1.0f / scale;
    s[LS_GOOD] = good;
    s[LS_BAD] = s[LS_TRIED] = s[LS_SKIP] = 0;
}
