// SPDX-License-Identifier: Apache-2.0
// Dynamic loss scaling; formulas and work-items as in kernels_cl/loss_scale.cl.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/group.glsl"
#include "ops/args/loss_scale.h"

#ifdef ENTRY_scale_next
layout(local_size_x = 1) in;
BUF_X(0, s)
ARGS(a_scale_next)
void main()
{
    int o = OFF(0);
    float scale = s[o + LS_SCALE], good = s[o + LS_GOOD];
    if (s[o + LS_BAD] != 0.0) {
        scale = max(scale * 0.5, a.least);
        good = 0.0;
        s[o + LS_SKIPPED] += 1.0;
    } else if (s[o + LS_TRIED] != 0.0) {
        good += 1.0;
        if (good >= a.growth) {
            scale = min(scale * 2.0, a.most);
            good = 0.0;
        }
    }
    s[o + LS_SCALE] = scale;
    s[o + LS_INVERSE] = 1.0 / scale;
    s[o + LS_GOOD] = good;
    s[o + LS_BAD] = 0.0;
    s[o + LS_TRIED] = 0.0;
    s[o + LS_SKIP] = 0.0;
}
#else
WG64
GROUP_FOLD(group_or, uint, JOIN_OR, 1, words, word)
bool any_of(bool mine) { return group_or(mine ? 1u : 0u) != 0u; }
#endif

#ifdef ENTRY_grad_bad
BUF_R(0, g)
BUF_W(1, part)
ARGS(a_grad_bad)
void main()
{
    int group = GROUP(), first = group * LS_CHUNK, end = min(first + LS_CHUNK, a.count);
    bool bad = false;
    for (int i = first + LOCAL(); i < end; i += 64)
        bad = bad || (floatBitsToUint(g[OFF(0) + i]) & 0x7f800000u) == 0x7f800000u;
    bad = any_of(bad);
    if (LOCAL() == 0 && first < a.count)
        part[OFF(1) + group] = bad ? 1.0 : 0.0;
}
#endif

#ifdef ENTRY_scale_judge
BUF_R(0, part)
BUF_X(1, s)
ARGS(a_scale_judge)
void main()
{
    bool bad = false;
    for (int i = LOCAL(); i < a.count; i += 64)
        bad = bad || part[OFF(0) + i] != 0.0;
    bad = any_of(bad);
    if (LOCAL() == 0) {
        s[OFF(1) + LS_SKIP] = bad ? 1.0 : 0.0;
        s[OFF(1) + LS_TRIED] = 1.0;
        if (bad)
            s[OFF(1) + LS_BAD] = 1.0;
    }
}
#endif
