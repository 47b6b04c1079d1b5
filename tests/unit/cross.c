/* SPDX-License-Identifier: Apache-2.0
 * data/cross.h: boxes, slices, what stays annotated, and how preparation, store and loader carry it. */
#include "unit.h"

#include "data/cross.h"
#include "data/loader.h"
#include "data/phantom.h"

enum { X = 9, Y = 7, Z = 5, VOXELS = X * Y * Z };

static size_t at(int x, int y, int z) { return (size_t)((x * Y + y) * Z + z); }

static const int size[3] = {X, Y, Z};

static void box_of_the_object(void **state)
{
    uint8_t v[VOXELS] = {0};
    int lo[3], hi[3];
    v[at(2, 1, 0)] = 1;
    v[at(7, 4, 3)] = 2;
    v[at(8, 6, 4)] = PV_LABEL_IGNORE;       /* not annotated is not object */
    assert_true(pv_cross_box(v, size, lo, hi));
    assert_true(lo[0] == 2 && lo[1] == 1 && lo[2] == 0 && hi[0] == 7 && hi[1] == 4 && hi[2] == 3);
    struct pv_cross c;
    pv_cross_slices(lo, hi, 1, &c);
    for (int a = 0; a < 3; a++) {           /* int((min + max) / 2) */
        assert_int_equal(c.num[a], 1);
        assert_int_equal(c.slice[a][0], (lo[a] + hi[a]) / 2);
    }
    uint8_t one[VOXELS] = {0};
    one[at(0, 6, 4)] = 1;
    assert_true(pv_cross_box(one, size, lo, hi));
    assert_true(lo[0] == 0 && hi[0] == 0 && lo[1] == 6 && hi[1] == 6 && lo[2] == 4 && hi[2] == 4);
}

static void without_object_the_middle(void **state)
{
    uint8_t v[VOXELS] = {0};
    int lo[3], hi[3];
    struct pv_cross c;
    for (int k = 0; k < 2; k++) {
        assert_false(pv_cross_box(v, size, lo, hi));
        pv_cross_slices(lo, hi, 1, &c);
        assert_true(c.slice[0][0] == (X - 1) / 2 && c.slice[1][0] == (Y - 1) / 2 && c.slice[2][0] == (Z - 1) / 2);
        memset(v, PV_LABEL_IGNORE, sizeof v);
    }
}

static void several_slices_per_axis(void **state)
{
    const int lo[3] = {10, 0, 5}, hi[3] = {30, 1, 5};
    struct pv_cross c;
    pv_cross_slices(lo, hi, 3, &c);
    assert_int_equal(c.num[0], 3);          /* 10 + 20 j / 4 */
    assert_true(c.slice[0][0] == 15 && c.slice[0][1] == 20 && c.slice[0][2] == 25);
    assert_int_equal(c.num[1], 1);          /* 0 + j / 4, all of them 0 */
    assert_int_equal(c.num[2], 1);
    assert_int_equal(c.slice[2][0], 5);
    assert_true(pv_cross_has(&c, 0, 20) && !pv_cross_has(&c, 0, 21) && pv_cross_has(&c, 1, 0));
}

static void off_the_slices_nothing_is_known(void **state)
{
    uint8_t v[VOXELS], was[VOXELS];
    for (int i = 0; i < VOXELS; i++)
        was[i] = v[i] = (uint8_t)(i % 3);
    const struct pv_cross c = {.num = {2, 1, 1}, .slice = {{1, 8}, {3}, {0}}};
    pv_cross_keep(&c, size, v);
    int known = 0;
    for (int x = 0; x < X; x++)
        for (int y = 0; y < Y; y++)
            for (int z = 0; z < Z; z++) {
                bool on = x == 1 || x == 8 || y == 3 || z == 0;
                assert_int_equal(v[at(x, y, z)], on ? was[at(x, y, z)] : PV_LABEL_IGNORE);
                known += on;
            }
    assert_int_equal(known, VOXELS - 7 * 6 * 4);
}

/* ---- on the way to a batch ---- */

enum { SIDE = 20, CASES = 3 };
static pv_dataset *ds;
static pv_store *store;

static void make_sparse(void *user, int index, struct pv_volume *v)
{
    int lo[3], hi[3];
    struct pv_cross c;
    if (!v->label)
        return;
    pv_cross_box(v->label, v->size, lo, hi);
    pv_cross_slices(lo, hi, 1, &c);
    pv_cross_keep(&c, v->size, v->label);
}

static pv_store *open_store(const char *prep)
{
    struct pv_store_item all[CASES];
    for (int i = 0; i < CASES; i++)
        all[i] = (struct pv_store_item){.index = i, .label = true};
    const struct pv_store_params p = {.budget = 64 << 20, .prep = pv_prep_find(prep), .edit = make_sparse};
    pv_store *s = pv_store_open(ds, all, CASES, &p);
    assert_non_null(s);
    return s;
}

static int set_up(void **state)
{
    const int s[3] = {SIDE, SIDE - 2, SIDE - 4};
    assert_true(pv_phantom_write(unit_path("set"), CASES, 0, s, 5));
    ds = pv_dataset_open(unit_path("set"), NULL);
    assert_non_null(ds);
    store = open_store("none");
    return 0;
}

static int tear_down(void **state)
{
    pv_store_close(&store);
    pv_dataset_free(&ds);
    return unit_tmp_remove(state);
}

static int count_known(const int32_t *v, size_t n)
{
    int k = 0;
    for (size_t i = 0; i < n; i++)
        k += v[i] != PV_LABEL_IGNORE;
    return k;
}

/* Turned, mirrored and cut patches hold the dense label where they know one, and know it on whole planes. */
static void batches_carry_the_slices(void **state)
{
    const int items[CASES] = {0, 1, 2};
    struct pv_loader_params p = {.store = store, .labeled = items, .num_labeled = CASES, .labeled_bs = 2, .seed = 3,
        .pad_label = PV_LABEL_IGNORE, .aug = {.patch = {12, 12, 8}, .rotate = true, .flip = true}};
    enum { PATCH = 12 * 12 * 8 };
    pv_loader *l = pv_loader_start(&p);
    int with = 0;
    for (int step = 0; step < 12; step++) {
        const struct pv_batch *b = pv_loader_next(l);
        assert_non_null(b);
        for (int i = 0; i < 2; i++) {
            struct pv_volume v;
            int32_t dense[PATCH];
            const int32_t *sparse = b->label + i * PATCH;
            assert_true(pv_case_load(ds, pv_store_case(store, b->samples[i].item), PV_LABEL, NULL, &v));
            pv_aug_label(&b->samples[i].aug, v.size, v.label, PV_LABEL_IGNORE, dense);
            pv_volume_free(&v);
            int planes[3] = {0}, known = count_known(sparse, PATCH);
            for (int k = 0; k < PATCH; k++)
                if (sparse[k] != PV_LABEL_IGNORE)
                    assert_int_equal(sparse[k], dense[k]);
            for (int a = 0; a < 3; a++)
                for (int s = 0; s < p.aug.patch[a]; s++) {
                    bool whole = true;
                    for (int k = 0; k < PATCH; k++) {
                        const int q[3] = {k / 96, k / 8 % 12, k % 8};
                        whole = whole && (q[a] != s || sparse[k] != PV_LABEL_IGNORE);
                    }
                    planes[a] += whole;
                }
            for (int a = 0; a < 3; a++)
                assert_in_range(planes[a], 0, 1);
            int want = PATCH - (12 - planes[0]) * (12 - planes[1]) * (8 - planes[2]);
            assert_int_equal(known, want);
            with += known > 0;
        }
    }
    assert_true(with > 6);
    pv_loader_stop(&l);
}

/* Beyond the volume nothing is known, unless annotation is dense. */
static void padding_is_not_annotated(void **state)
{
    const int items[CASES] = {0, 1, 2};
    enum { PATCH = 24 * 24 * 24 };
    for (int fill = 0; fill <= PV_LABEL_IGNORE; fill += PV_LABEL_IGNORE) {
        struct pv_loader_params p = {.store = store, .labeled = items, .num_labeled = CASES, .labeled_bs = 1,
                                     .pad_label = fill, .aug = {.patch = {24, 24, 24}}};
        pv_loader *l = pv_loader_start(&p);
        const struct pv_batch *b = pv_loader_next(l);
        assert_non_null(b);
        int known = count_known(b->label, PATCH);
        if (fill)
            assert_in_range(known, 1, SIDE * (SIDE - 2) + SIDE * (SIDE - 4) + (SIDE - 2) * (SIDE - 4));
        else
            assert_true(known > PATCH / 2);
        pv_loader_stop(&l);
    }
}

/* Half resolution: the annotated voxels of a cube of eight vote; a plane stays a plane. */
static void halving_votes_among_annotated(void **state)
{
    pv_store *half = open_store("la-small");
    for (int i = 0; i < CASES; i++) {
        struct pv_volume dense;
        int lo[3], hi[3];
        struct pv_cross c;
        assert_true(pv_case_load(ds, i, PV_LABEL, NULL, &dense));
        pv_cross_box(dense.label, dense.size, lo, hi);
        pv_cross_slices(lo, hi, 1, &c);
        const struct pv_volume *v = pv_store_get(half, i, NULL);
        assert_non_null(v);
        const int *s = v->size, *d = dense.size;
        for (int x = 0; x < s[0]; x++)
            for (int y = 0; y < s[1]; y++)
                for (int z = 0; z < s[2]; z++) {
                    int votes[2] = {0};
                    for (int k = 0; k < 8; k++) {
                        int p[3] = {2 * x + (k >> 2), 2 * y + (k >> 1 & 1), 2 * z + (k & 1)};
                        if (pv_cross_has(&c, 0, p[0]) || pv_cross_has(&c, 1, p[1]) || pv_cross_has(&c, 2, p[2]))
                            votes[dense.label[(p[0] * d[1] + p[1]) * d[2] + p[2]]]++;
                    }
                    int want = votes[0] + votes[1] == 0 ? PV_LABEL_IGNORE : votes[1] >= votes[0];
                    assert_int_equal(v->label[(x * s[1] + y) * s[2] + z], want);
                }
        pv_store_put(half, i);
        pv_volume_free(&dense);
    }
    pv_store_close(&half);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(box_of_the_object),
        cmocka_unit_test(without_object_the_middle),
        cmocka_unit_test(several_slices_per_axis),
        cmocka_unit_test(off_the_slices_nothing_is_known),
        cmocka_unit_test(batches_carry_the_slices),
        cmocka_unit_test(padding_is_not_annotated),
        cmocka_unit_test(halving_votes_among_annotated),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
