/* SPDX-License-Identifier: Apache-2.0
 * eval/components.h against a flood fill, and what is kept of ties and classes. */
#include "unit.h"

#include "base/rng.h"
#include "eval/components.h"

static bool adjacent(const int d[3], int neighbours)
{
    int sum = abs(d[0]) + abs(d[1]) + abs(d[2]);
    switch (neighbours) {
    case 4: return d[0] == 0 && sum == 1;
    case 8: return d[0] == 0 && sum > 0;
    case 6: return sum == 1;
    case 18: return sum == 1 || sum == 2;
    default: return sum > 0;
    }
}

/* Numbers the component of voxel i by a stack; the slow and obvious way. */
static void flood(const uint8_t *label, const int s[3], int start, uint8_t value, int neighbours, uint32_t name,
                  uint32_t *id, int *stack)
{
    int top = 0;
    stack[top++] = start;
    id[start] = name;
    while (top > 0) {
        int i = stack[--top], x = i / s[2] / s[1], y = i / s[2] % s[1], z = i % s[2];
        for (int k = 0; k < 27; k++) {
            const int d[3] = {k / 9 - 1, k / 3 % 3 - 1, k % 3 - 1}, p[3] = {x + d[0], y + d[1], z + d[2]};
            bool inside = p[0] >= 0 && p[0] < s[0] && p[1] >= 0 && p[1] < s[1] && p[2] >= 0 && p[2] < s[2];
            int j = inside ? (p[0] * s[1] + p[1]) * s[2] + p[2] : 0;
            if (!inside || !adjacent(d, neighbours) || label[j] != value || id[j])
                continue;
            id[j] = name;
            stack[top++] = j;
        }
    }
}

static void as_flood_fill(void **state)
{
    static const int kinds[] = {4, 6, 8, 18, 26};
    for (uint64_t k = 0; k < 300; k++) {
        struct pv_rng r = pv_rng_make(12, k);
        int s[3], neighbours = kinds[k % 5];
        for (int a = 0; a < 3; a++)
            s[a] = 1 + (int)pv_rng_below(&r, k % 7 == 0 ? 2 : 15);
        int n = s[0] * s[1] * s[2];
        double density = k % 11 == 0 ? 1 : pv_rng_uniform(&r);
        uint8_t *label = pv_array(uint8_t, n);
        for (int i = 0; i < n; i++)
            label[i] = pv_rng_uniform(&r) < density ? 3 : (uint8_t)pv_rng_below(&r, 3);
        uint32_t *wanted = pv_array(uint32_t, n), *got = pv_array(uint32_t, n), names = 0;
        int *stack = pv_array(int, n);
        for (int i = 0; i < n; i++)
            if (label[i] == 3 && !wanted[i])
                flood(label, s, i, 3, neighbours, ++names, wanted, stack);
        memset(got, 0xEE, (size_t)n * sizeof *got);
        assert_int_equal(pv_components(label, s, 3, neighbours, got), names);
        assert_memory_equal(got, wanted, (size_t)n * sizeof *got);

        uint32_t best = 1, *size = pv_array(uint32_t, names + 1);
        uint8_t *kept = pv_array(uint8_t, n);
        for (int i = 0; i < n; i++)
            size[wanted[i]]++;
        for (uint32_t c = 2; c <= names; c++)
            best = size[c] > size[best] ? c : best;
        for (int i = 0; i < n; i++)
            kept[i] = label[i] == 3 && wanted[i] != best ? 0 : label[i];
        assert_true(pv_keep_largest(label, s, 3, neighbours));
        assert_memory_equal(label, kept, (size_t)n);
        pv_free(label);
        pv_free(wanted);
        pv_free(got);
        pv_free(stack);
        pv_free(size);
        pv_free(kept);
    }
}

static void ties_and_classes(void **state)
{
    const int s[3] = {1, 1, 12};
    uint8_t v[12] = {1, 0, 2, 1, 1, 0, 1, 1, 2, 2, 0, 2};
    const uint8_t kept[12] = {0, 0, 0, 1, 1, 0, 0, 0, 2, 2, 0, 0};
    assert_true(pv_keep_largest_classes(v, s, 4, 6));       /* 1: the first of two pairs; no 3 */
    assert_memory_equal(v, kept, sizeof v);
    uint8_t none[12] = {0};
    assert_true(pv_keep_largest(none, s, 1, 26));
    uint32_t id[12];
    assert_int_equal(pv_components(none, s, 1, 26, id), 0);
    assert_int_equal(pv_components(none, s, 0, 26, id), 1);
}

/* A comb whose teeth are one only in the last row: many names that meet late. */
static void names_that_meet_late(void **state)
{
    enum { TEETH = 400, N = 2 * TEETH - 1 };
    const int s[3] = {1, 3, N};
    uint8_t *v = pv_array(uint8_t, 3 * N);
    uint32_t *id = pv_array(uint32_t, 3 * N);
    for (int z = 0; z < N; z++)
        v[z] = v[N + z] = z % 2 == 0;
    assert_int_equal(pv_components(v, s, 1, 26, id), TEETH);
    assert_int_equal(id[N + 2 * 7], 8);
    memset(v + 2 * N, 1, N);
    assert_int_equal(pv_components(v, s, 1, 6, id), 1);
    for (int i = 0; i < 3 * N; i++)
        assert_int_equal(id[i], v[i]);
    pv_free(v);
    pv_free(id);
}

static void refusals(void **state)
{
    const int s[3] = {1, 1, 2}, huge[3] = {65536, 65536, 1};
    uint8_t v[2] = {1, 1};
    uint32_t id[2];
    UNIT_FAILS(PV_FAULT_USAGE, "7 voxels", assert_int_equal(pv_components(v, s, 1, 7, id), -1));
    UNIT_FAILS(PV_FAULT_USAGE, "0 voxels", assert_false(pv_keep_largest(v, s, 1, 0)));
    UNIT_FAILS(PV_FAULT_INPUT, "65536", assert_int_equal(pv_components(v, huge, 1, 6, id), -1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_flood_fill),
        cmocka_unit_test(ties_and_classes),
        cmocka_unit_test(names_that_meet_late),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
