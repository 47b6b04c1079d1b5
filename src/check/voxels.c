/* SPDX-License-Identifier: Apache-2.0
 * Cases of ops/voxels.h. Tolerances: draws are whole numbers, features are copies; gradients are sums of few. */
#include "ops/voxels.h"

#include "check/plain.h"

/* Fixed: a handful of voxels; several segments of words; two runs of words where bindings are 64 KiB. Channel 0 is
 * empty in every third case; weights of some channels are 0. In every fourth case so few voxels are in that tries
 * miss. */
static void voxel_draw(struct pv_check *k)
{
    static const struct ck_size fixed[] = {{3, 1, 2, {1, 3, 5}}, {3, 3, 2, {20, 21, 19}}, {3, 1, 1, {30, 31, 32}}};
    int c = pv_ck_case(k), num = pv_ck_int(k, 1, pv_ck_most(k, 200, 30));
    struct ck_size z = ck_plain_size(k, c + 20);
    if (c < (int)PV_COUNT(fixed) && (c == 0 || !pv_ck_small(k)))
        z = fixed[c];
    int64_t v = (int64_t)z.s[0] * z.s[1] * z.s[2], count = z.n * z.c * v;
    double *m = pv_array(double, count), *w = pv_array(double, z.c), *words = pv_array(double, 2 * num);
    for (int64_t i = 0; i < count; i++)
        m[i] = (pv_ck_int(k, 0, c % 4 == 3 ? 99 : 2) == 0) * (c % 3 == 2 && i / v % z.c == 0 && z.c > 1 ? 0 : 0.5);
    for (int i = 0; i < z.c; i++)
        w[i] = pv_ck_int(k, 0, 3) ? (float)pv_ck_uniform(k, 0.1, 2) : 0;
    for (int i = 0; i < 2 * num; i++)
        words[i] = pv_ck_int(k, INT32_MIN, INT32_MAX);
    pv_tensor *mask = pv_ck_values(k, ck_shape(&z, z.c), PV_F32, m, 0);
    pv_tensor *weights = c % 2 ? pv_ck_values(k, pv_flat(z.c), PV_F32, w, 0) : NULL;
    pv_tensor *given = pv_ck_values(k, pv_flat(2 * num), PV_I32, words, 0);
    pv_ck_output(k, "drawn", pv_voxel_draw(pv_ck_tape(k), mask, weights, num, NULL), PV_CK_NO_DY);
    pv_ck_output(k, "given", pv_voxel_draw(pv_ck_tape(k), mask, weights, num, given), PV_CK_NO_DY);
    pv_free(m);
    pv_free(w);
    pv_free(words);
}

/* Two maps on one grid, numbers from -1 to one too many; case 1 has many equal ones, case 2 two blocks of channels in
 * samples that 64 KiB do not hold. */
static void voxel_rows(struct pv_check *k)
{
    static const struct { int n, d, s[3]; } fixed[] = {{1, 3, {1, 2, 2}}, {2, 16, {2, 2, 1}}, {2, 20, {9, 10, 11}}};
    int c = pv_ck_case(k), dims = c % 4 == 3 ? 2 : 3, s[3], n = pv_ck_int(k, 1, 3), d = pv_ck_int(k, 1, 35);
    int num = pv_ck_int(k, 1, pv_ck_most(k, 60, 9)), maps = c % 3 == 2 ? 1 : 2;
    pv_ck_sides(k, dims, 8, s);
    if (c < (int)PV_COUNT(fixed) && (c == 0 || !pv_ck_small(k))) {
        n = fixed[c].n;
        d = fixed[c].d;
        for (int i = 0; i < 3; i++)
            s[i] = fixed[c].s[i];
    }
    pv_tensor *f[2];
    for (int i = 0; i < maps; i++)
        f[i] = pv_ck_input(k, pv_blocked(dims, n + i, d, s), -1, 1, i == 1 && c % 5 == 4 ? 0 : PV_CK_GRAD);
    pv_tensor *idx = pv_ck_labels(k, pv_flat(num), -1, (n * maps + maps - 1) * s[0] * s[1] * s[2]);
    pv_ck_output(k, "rows", pv_voxel_rows(pv_ck_tape(k), maps, f, idx), 0);
}

static const struct pv_check_op
    op_draw = {"voxel_draw", voxel_draw, 3, 0, 0, NULL},
    op_rows = {"voxel_rows", voxel_rows, 3, 2e-7, 1e-6, NULL};

const struct pv_check_op *const pv_check_voxels[] = {&op_draw, &op_rows, NULL};
