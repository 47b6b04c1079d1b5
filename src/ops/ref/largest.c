/* SPDX-License-Identifier: Apache-2.0
 * Largest connected components by flooding from each voxel that has no component yet. */
#include "ops/largest.h"

/* Gives component `id` to all voxels connected with `start`; returns how many there are. */
static int flood(const double *label, int *comp, int *stack, const int s[3], int start, int id)
{
    int n = 0, top = 0;
    stack[top++] = start;
    comp[start] = id;
    while (top > 0) {
        const int v = stack[--top], z = v % s[2], y = v / s[2] % s[1], x = v / (s[2] * s[1]);
        n++;
        for (int k = 0; k < 27; k++) {
            const int u = x + k / 9 - 1, w = y + k / 3 % 3 - 1, t = z + k % 3 - 1;
            if (u < 0 || u >= s[0] || w < 0 || w >= s[1] || t < 0 || t >= s[2])
                continue;
            const int at = (u * s[1] + w) * s[2] + t;
            if (!comp[at] && label[at] == label[start]) {
                comp[at] = id;
                stack[top++] = at;
            }
        }
    }
    return n;
}

void ref_largest(const double *label, double *out, int n, const int s[3], int classes)
{
    const int v = s[0] * s[1] * s[2];
    int *comp = pv_array(int, v), *stack = pv_array(int, v);
    for (int i = 0; i < n; i++, label += v, out += v) {
        int size[PV_LARGEST_CLASSES] = {0}, best[PV_LARGEST_CLASSES] = {0}, num = 0;
        for (int k = 0; k < v; k++)
            comp[k] = 0;
        for (int k = 0; k < v; k++) {
            const int c = (int)label[k];
            if (c <= 0 || c >= classes || comp[k])
                continue;
            const int found = flood(label, comp, stack, s, k, ++num);
            if (found > size[c]) {
                size[c] = found;
                best[c] = num;
            }
        }
        for (int k = 0; k < v; k++)
            out[k] = comp[k] && comp[k] == best[(int)label[k]] ? label[k] : 0;
    }
    pv_free(comp);
    pv_free(stack);
}
