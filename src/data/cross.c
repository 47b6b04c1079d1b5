/* SPDX-License-Identifier: Apache-2.0
 * Cross-annotation (cross.h). */
#include "data/cross.h"

#include <stddef.h>
#include <string.h>

#include "base/base.h"
#include "data/volume.h"

bool pv_cross_box(const uint8_t *label, const int size[3], int lo[3], int hi[3])
{
    bool any = false;
    const uint8_t *v = label;
    for (int x = 0; x < size[0]; x++) {
        for (int y = 0; y < size[1]; y++) {
            for (int z = 0; z < size[2]; z++, v++) {
                if (*v == 0 || *v == PV_LABEL_IGNORE)
                    continue;
                const int p[3] = {x, y, z};
                for (int a = 0; a < 3; a++) {
                    lo[a] = any ? pv_min(lo[a], p[a]) : p[a];
                    hi[a] = any ? pv_max(hi[a], p[a]) : p[a];
                }
                any = true;
            }
        }
    }
    for (int a = 0; !any && a < 3; a++) {
        lo[a] = 0;
        hi[a] = size[a] - 1;
    }
    return any;
}

void pv_cross_slices(const int lo[3], const int hi[3], int k, struct pv_cross *c)
{
    *c = (struct pv_cross){0};
    for (int a = 0; a < 3; a++) {
        for (int j = 1; j <= pv_min(k, PV_CROSS_MOST); j++) {
            int s = (lo[a] * (k + 1) + (hi[a] - lo[a]) * j) / (k + 1);
            if (c->num[a] == 0 || c->slice[a][c->num[a] - 1] != s)
                c->slice[a][c->num[a]++] = s;
        }
    }
}

bool pv_cross_has(const struct pv_cross *c, int axis, int i)
{
    for (int j = 0; j < c->num[axis]; j++)
        if (c->slice[axis][j] == i)
            return true;
    return false;
}

void pv_cross_keep(const struct pv_cross *c, const int size[3], uint8_t *label)
{
    uint8_t *row = label;
    for (int x = 0; x < size[0]; x++) {
        for (int y = 0; y < size[1]; y++, row += size[2]) {
            if (pv_cross_has(c, 0, x) || pv_cross_has(c, 1, y))
                continue;
            for (int z = 0; z < size[2]; z++)
                if (!pv_cross_has(c, 2, z))
                    row[z] = PV_LABEL_IGNORE;
        }
    }
}
