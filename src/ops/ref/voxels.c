/* SPDX-License-Identifier: Apache-2.0
 * References of drawing voxels and reading their features. */
#include "ops/voxels_impl.h"

#include "base/base.h"
#include "base/rng.h"
#include "ops/args/voxels.h"

static int pick_channel(const double *weights, int c, uint32_t r)
{
    double all = 0, sum = 0;
    int found = -1;
    for (int k = 0; k < c; k++)
        all += weights ? weights[k] : 1;
    double u = (r >> 8) * 0x1p-24 * all;
    for (int k = 0; k < c; k++) {
        double w = weights ? weights[k] : 1;
        if (w > 0 && (found < 0 || u >= sum))
            found = k;
        sum += w;
    }
    return found;
}

/* Which of n v voxels draw i takes by trying places of channel k; -1: none of them is in. */
static int64_t try_places(const double *mask, int n, int c, int64_t v, int k, const struct voxel_key *key,
                          int num, int i)
{
    for (int t = 0; t < VX_TRIES; t += 4) {
        const uint32_t index = (uint32_t)i + (uint32_t)(t / 4 + 1) * (uint32_t)num;
        const uint32_t ctr[] = {key->step, key->stream, key->sample0, index};
        uint32_t r[4];
        pv_philox(r, ctr, key->key);
        for (int j = 0; j < 4; j++) {
            int64_t e = (int64_t)(((uint64_t)r[j] * (uint64_t)(n * v)) >> 32);
            if (mask[(e / v * c + k) * v + e % v] != 0)
                return e;
        }
    }
    return -1;
}

void ref_voxel_draw(const double *mask, int n, int c, int64_t v, const double *weights, const double *words,
                    const struct voxel_key *key, int num, double *out)
{
    int64_t *list = pv_array(int64_t, n * c * v);       /* [c]: numbers of the voxels that are in */
    int64_t *count = pv_array(int64_t, c);
    for (int k = 0; k < c; k++)
        for (int64_t e = 0; e < n * v; e++)
            if (mask[(e / v * c + k) * v + e % v] != 0)
                list[k * n * v + count[k]++] = e;
    for (int i = 0; i < num; i++) {
        const uint32_t ctr[] = {key->step, key->stream, key->sample0, (uint32_t)i};
        uint32_t r[4];
        pv_philox(r, ctr, key->key);
        for (int j = 0; words && j < 2; j++)
            r[j] = (uint32_t)(int64_t)words[2 * i + j];
        int k = pick_channel(weights, c, r[0]);
        bool none = k < 0 || count[k] == 0;
        int64_t e = none || words ? -1 : try_places(mask, n, c, v, k, key, num, i);
        if (!none && e < 0)
            e = list[k * n * v + (int64_t)(((uint64_t)r[1] * (uint64_t)count[k]) >> 32)];
        out[i] = (double)e;
    }
    pv_free(list);
    pv_free(count);
}

void ref_voxel_rows(const double *f, int n, int d, int64_t v, int64_t first, const double *idx, int num, double *rows)
{
    for (int i = 0; i < num; i++) {
        int64_t e = (int64_t)idx[i] - first;
        for (int k = 0; k < d && e >= 0 && e < n * v; k++)
            rows[i * d + k] = f[(e / v * d + k) * v + e % v];
    }
}

void ref_voxel_rows_bwd(const double *drows, int n, int d, int64_t v, int64_t first, const double *idx, int num,
                        double *df)
{
    for (int i = 0; i < num; i++) {
        int64_t e = (int64_t)idx[i] - first;
        for (int k = 0; k < d && e >= 0 && e < n * v; k++)
            df[(e / v * d + k) * v + e % v] += drows[i * d + k];
    }
}
