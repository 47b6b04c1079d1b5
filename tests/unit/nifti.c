/* SPDX-License-Identifier: Apache-2.0
 * data/file.h: NIfTI files of every kind against nibabel (golden/make_nifti.py), writing back with
 * the same geometry, HDF5, and files that are damaged or made to do harm. */
#include "unit.h"

#include <math.h>
#include <zlib.h>

#include "base/rng.h"
#include "base/safetensors.h"
#include "data/file.h"
#include "pv_config.h"

static const struct pv_read ras = {.ras = true};

static char *golden_in(const char *folder, const char *name)
{
    assert_non_null(pv_env("PV_GOLDEN"));
    return pv_asprintf("%s/%s/%s", pv_env("PV_GOLDEN"), folder, name);
}

static char *golden(const char *name)
{
    return golden_in("nifti", name);
}

/* pv_write_file without waiting for the disk. */
static void spit(const char *path, const void *data, size_t n)
{
    FILE *f = pv_fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* ---- against nibabel ---- */

static const char *const kinds[] = {
    "i16_slope.nii.gz", "f64.nii", "big_f32.nii.gz", "big_i16.nii", "two_u16.nii.gz", "two_big_f64.nii",
    "four_u8.nii.gz", "i8.nii.gz", "i32.nii.gz", "u32.nii.gz", "i64.nii.gz", "u64.nii.gz",
    "u8_zero_slope.nii", "plane.nii.gz"};

static void assert_as_expected(pv_st_file *expected, const char *name, const struct pv_volume *v,
                               bool turned)
{
    char *stem = pv_asprintf("%.*s.%s", (int)pv_stem_length(name), name, turned ? "ras" : "data");
    const struct pv_st_tensor *t = pv_st_find(expected, stem);
    assert_non_null(t);
    assert_int_equal(t->shape[0], v->channels);
    for (int a = 0; a < 3; a++)
        assert_int_equal(t->shape[a + 1], v->size[a]);
    size_t n = pv_volume_voxels(v) * (size_t)v->channels;
    float *want = pv_array(float, n);
    assert_true(pv_st_read_f32(expected, t, want));
    for (size_t i = 0; i < n; i++)      /* both scale in double and round once */
        if (fabsf(want[i] - v->image[i]) > 1e-6f * fabsf(want[i]))
            fail_msg("%s: voxel %zu is %g, not %g", name, i, (double)v->image[i], (double)want[i]);
    pv_free(want);
    pv_free(stem);
    stem = pv_asprintf("%.*s.%s", (int)pv_stem_length(name), name, turned ? "ras_affine" : "affine");
    double affine[12], mine[3][4];
    assert_non_null(t = pv_st_find(expected, stem));
    assert_true(pv_st_read_f64(expected, t, affine));
    pv_geometry_affine(&v->geo, mine);
    for (int i = 0; i < 12; i++)        /* quaternions are stored in float */
        if (fabs(affine[i] - mine[i / 4][i % 4]) > 2e-6 * (1 + fabs(affine[i])))
            fail_msg("%s: affine entry %d is %g, not %g", stem, i, mine[i / 4][i % 4], affine[i]);
    for (int a = 0; a < 3; a++)
        assert_true(fabs(v->spacing[a] - sqrt(affine[a] * affine[a] + affine[4 + a] * affine[4 + a] +
                                              affine[8 + a] * affine[8 + a])) < 1e-5);
    pv_free(stem);
}

static void reads_what_nibabel_reads(void **state)
{
    char *path = golden("expected.safetensors");
    pv_st_file *expected = pv_st_open(path);
    assert_non_null(expected);
    for (size_t i = 0; i < PV_COUNT(kinds); i++) {
        char *file = golden(kinds[i]);
        struct pv_volume v, w;
        assert_true(pv_volume_read(file, PV_IMAGE, NULL, &v));
        assert_as_expected(expected, kinds[i], &v, false);
        assert_true(pv_volume_info(file, PV_IMAGE, NULL, &w));
        assert_null(w.image);
        assert_memory_equal(w.size, v.size, sizeof v.size);
        assert_int_equal(w.channels, v.channels);
        pv_volume_free(&v);
        assert_true(pv_volume_read(file, PV_IMAGE, &ras, &v));
        assert_as_expected(expected, kinds[i], &v, true);
        pv_volume_free(&v);
        pv_free(file);
    }
    pv_st_close(&expected);
    pv_free(path);
}

/* ---- writing ---- */

static void assert_same_geometry(const struct pv_geometry *a, const struct pv_geometry *b)
{
    assert_true(pv_geometry_distance(a, b) == 0);
    assert_memory_equal(a->file_size, b->file_size, sizeof a->file_size);
    assert_int_equal(a->qform_code, b->qform_code);
    assert_int_equal(a->sform_code, b->sform_code);
    assert_int_equal(a->xyz_units, b->xyz_units);
    assert_int_equal(a->nifti2, b->nifti2);
    for (int i = 0; i < 3; i++) {
        assert_true(a->quatern[i] == b->quatern[i] && a->qoffset[i] == b->qoffset[i]);
        assert_true(a->pixdim[i] == b->pixdim[i]);
    }
    assert_true(a->qfac == b->qfac);
    assert_memory_equal(a->qform, b->qform, sizeof a->qform);
}

/* Image and labels written from a volume that was turned to RAS lie as the file did. */
static void writes_where_the_input_lay(void **state)
{
    static const char *const out[] = {"out.nii", "out.nii.gz"};
    for (size_t i = 0; i < PV_COUNT(kinds); i++) {
        char *file = golden(kinds[i]);
        struct pv_volume in, turned, back;
        assert_true(pv_volume_read(file, PV_IMAGE, NULL, &in));
        assert_true(pv_volume_read(file, PV_IMAGE, &ras, &turned));
        size_t n = pv_volume_voxels(&in);
        for (size_t k = 0; k < PV_COUNT(out); k++) {
            const char *path = unit_path(out[k]);
            assert_true(pv_volume_write(path, PV_IMAGE, &turned));
            assert_true(pv_volume_read(path, PV_IMAGE, NULL, &back));
            assert_same_geometry(&back.geo, &in.geo);
            assert_int_equal(back.channels, in.channels);
            assert_memory_equal(back.image, in.image, n * (size_t)in.channels * sizeof(float));
            pv_volume_free(&back);

            turned.label = pv_alloc_big(n, "label");
            in.label = pv_alloc_big(n, "label");
            for (size_t j = 0; j < n; j++) {        /* the same function of the voxel's value */
                turned.label[j] = turned.image[j] > 0;
                in.label[j] = in.image[j] > 0;
            }
            assert_true(pv_volume_write(path, PV_LABEL, &turned));
            assert_true(pv_volume_read(path, PV_LABEL, NULL, &back));
            assert_same_geometry(&back.geo, &in.geo);
            assert_memory_equal(back.label, in.label, n);
            assert_null(back.image);
            pv_volume_free(&back);
            pv_free_big(turned.label);
            pv_free_big(in.label);
            turned.label = in.label = NULL;
        }
        UNIT_FAILS(PV_FAULT_USAGE, "not both",
                   assert_false(pv_volume_write(unit_path("x.nii"), PV_IMAGE | PV_LABEL, &in)));
        pv_volume_free(&in);
        pv_volume_free(&turned);
        pv_free(file);
    }
    struct pv_volume v = {.channels = 1, .size = {2, 2, 2}, .spacing = {1, 1, 1}};
    pv_geometry_plain(&v.geo, v.size, v.spacing);
    assert_true(pv_volume_room("v", PV_LABEL, &v));
    memset(v.label, 1, 8);
    UNIT_FAILS(PV_FAULT_INPUT, "no folder",
               assert_false(pv_volume_write(unit_path("none/x.nii"), PV_LABEL, &v)));
    UNIT_FAILS(PV_FAULT_INPUT, "unknown kind",
               assert_false(pv_volume_write(unit_path("x.mha"), PV_LABEL, &v)));
    pv_volume_free(&v);
}

/* Larger than the planes that are turned at a time, with sizes that do not divide. */
static void larger_than_a_slab(void **state)
{
    struct pv_volume v = {.channels = 2, .size = {19, 23, 37}, .spacing = {1, 1, 2}}, back;
    pv_geometry_plain(&v.geo, v.size, v.spacing);
    assert_true(pv_volume_room("v", PV_IMAGE, &v));
    size_t n = pv_volume_voxels(&v) * 2;
    for (size_t i = 0; i < n; i++)
        v.image[i] = (float)i;
    assert_true(pv_volume_write(unit_path("slab.nii.gz"), PV_IMAGE, &v));
    assert_true(pv_volume_read(unit_path("slab.nii.gz"), PV_IMAGE, NULL, &back));
    assert_memory_equal(v.image, back.image, n * sizeof(float));
    pv_volume_free(&back);
    pv_volume_free(&v);
}

/* ---- voxels that are not numbers, labels that are none ---- */

static void plain(struct pv_volume *v, enum pv_part part)
{
    *v = (struct pv_volume){.channels = 1, .size = {3, 4, 5}, .spacing = {1, 1, 1}};
    pv_geometry_plain(&v->geo, v->size, v->spacing);
    assert_true(pv_volume_room("v", part, v));
    memset(part == PV_IMAGE ? (void *)v->image : (void *)v->label, 0, 60 * (part == PV_IMAGE ? 4 : 1));
}

static void bad_voxels(void **state)
{
    const struct pv_read zero = {.bad_to_zero = true};
    struct pv_volume v, back;
    plain(&v, PV_IMAGE);
    v.image[(1 * 4 + 2) * 5 + 3] = NAN;
    v.image[(2 * 4 + 0) * 5 + 0] = -INFINITY;
    assert_true(pv_volume_write(unit_path("nan.nii.gz"), PV_IMAGE, &v));
    UNIT_FAILS(PV_FAULT_INPUT, "2 of 60 voxels are NaN, infinite or too large, the first at (1, 2, 3)",
               assert_false(pv_volume_read(unit_path("nan.nii.gz"), PV_IMAGE, NULL, &back)));
    assert_null(back.image);
    pv_log_level_set(PV_LOG_ERROR);
    assert_true(pv_volume_read(unit_path("nan.nii.gz"), PV_IMAGE, &zero, &back));
    pv_log_level_set(PV_LOG_INFO);
    assert_int_equal(back.num_bad, 2);
    assert_int_equal(back.first_bad[1], 1);
    assert_int_equal(back.first_bad[2], 2);
    assert_int_equal(back.first_bad[3], 3);
    for (int i = 0; i < 60; i++)
        assert_true(back.image[i] == 0);
    pv_volume_free(&back);

    v.image[33] = 0.5f;
    v.image[40] = 0;
    assert_true(pv_volume_write(unit_path("frac.nii"), PV_IMAGE, &v));
    UNIT_FAILS(PV_FAULT_INPUT, "label 0.5 at voxel (1, 2, 3)",
               assert_false(pv_volume_read(unit_path("frac.nii"), PV_LABEL, NULL, &back)));
    v.image[33] = 256;
    assert_true(pv_volume_write(unit_path("frac.nii"), PV_IMAGE, &v));
    UNIT_FAILS(PV_FAULT_INPUT, "label 256",
               assert_false(pv_volume_read(unit_path("frac.nii"), PV_LABEL, NULL, &back)));
    v.image[33] = 255;
    assert_true(pv_volume_write(unit_path("frac.nii"), PV_IMAGE, &v));
    assert_true(pv_volume_read(unit_path("frac.nii"), PV_LABEL, NULL, &back));
    assert_int_equal(back.label[33], 255);
    assert_int_equal(back.label[34], 0);
    pv_volume_free(&back);
    pv_volume_free(&v);
    char *four = golden("four_u8.nii.gz");
    UNIT_FAILS(PV_FAULT_INPUT, "3 channels", assert_false(pv_volume_read(four, PV_LABEL, NULL, &back)));
    pv_free(four);
}

/* ---- damaged files ---- */

struct bytes { char *p; size_t n; };

static struct bytes bytes_of(const char *name)
{
    struct bytes b;
    char *path = golden(name);
    assert_true(pv_read_file(path, &b.p, &b.n));
    pv_free(path);
    return b;
}

/* Reads what `b` is changed to at `at`; a text NULL means that it must succeed. */
static void with_change(struct bytes b, size_t at, const void *what, size_t n, const char *text)
{
    struct pv_volume v;
    char *copy = pv_alloc(b.n);
    memcpy(copy, b.p, b.n);
    memcpy(copy + at, what, n);
    spit(unit_path("bad.nii"), copy, b.n);
    if (text)
        UNIT_FAILS(PV_FAULT_INPUT, text,
                   assert_false(pv_volume_read(unit_path("bad.nii"), PV_IMAGE, NULL, &v)));
    else
        assert_true(pv_volume_read(unit_path("bad.nii"), PV_IMAGE, NULL, &v));
    pv_volume_free(&v);
    pv_free(copy);
}

static void headers_that_lie(void **state)
{
    struct bytes b = bytes_of("f64.nii"), two = bytes_of("two_big_f64.nii");
    const int16_t none = 0, eight = 8, large = 32767, minus = -4, rgb = 128, complex = 32, wild = 77;
    const float nan = NAN, far = 1e30f, before = 100, huge = 2e9f, zero = 0;
    with_change(b, 0, "junk", 4, "does not begin with a NIfTI header");
    with_change(b, 0, "<nifti_image", 12, "does not begin with a NIfTI header");
    with_change(b, 344, "ni1", 4, "pair of files");
    with_change(b, 344, "\0\0\0", 4, "ANALYZE");
    with_change(b, 40, &none, 2, "number of axes");
    with_change(b, 40, &eight, 2, "number of axes");
    with_change(b, 42, &none, 2, "impossible size");
    with_change(b, 42, &minus, 2, "impossible size");
    with_change(b, 42, &large, 2, "ends early");
    with_change(b, 70, &rgb, 2, "type RGB24 (128)");
    with_change(b, 70, &complex, 2, "type COMPLEX64 (32)");
    with_change(b, 70, &wild, 2, "(77)");
    with_change(b, 108, &nan, 4, "impossible place");
    with_change(b, 108, &far, 4, "impossible place");
    with_change(b, 108, &huge, 4, "impossible place");
    with_change(b, 108, &before, 4, "impossible place");
    with_change(b, 108, &zero, 4, NULL);            /* as nibabel: behind the header */
    with_change(b, 112, &nan, 4, NULL);             /* no scaling */
    with_change(b, 80, &nan, 4, NULL);              /* a voxel size that is none counts as 1 */
    with_change(b, 256, &nan, 4, NULL);             /* and a quaternion as 0 */
    with_change(two, 4, "n+1", 3, "NIfTI-2 header is damaged");
    const unsigned char most[8] = {0x7f, 255, 255, 255, 255, 255, 255, 255};
    with_change(two, 24, most, 8, "impossible size");
    const unsigned char two_gib[8] = {0, 0, 0, 0, 0x7f, 255, 255, 255};
    with_change(two, 24, two_gib, 8, "ends early");
    with_change(two, 400, "\x7f\xf8", 2, "not finite");
    /* five axes: a vector per voxel is channels, two more axes are not */
    const int16_t dims[8] = {5, 5, 4, 1, 1, 3, 1, 1}, six[8] = {6, 5, 4, 1, 1, 1, 3, 1};
    with_change(b, 40, dims, 16, NULL);
    with_change(b, 40, six, 16, "more than four axes");
    pv_free(b.p);
    pv_free(two.p);
}

static void files_that_are_none(void **state)
{
    struct pv_volume v;
    UNIT_FAILS(PV_FAULT_INPUT, "cannot read",
               assert_false(pv_volume_read(unit_path("absent.nii.gz"), PV_IMAGE, NULL, &v)));
    UNIT_FAILS(PV_FAULT_INPUT, "unknown kind of file",
               assert_false(pv_volume_read(unit_path("a.png"), PV_IMAGE, NULL, &v)));
    assert_true(pv_mkdirs(unit_path("dir.nii")));
    UNIT_FAILS(PV_FAULT_INPUT, "folder",
               assert_false(pv_volume_read(unit_path("dir.nii"), PV_IMAGE, NULL, &v)));
    spit(unit_path("empty.nii"), "", 0);
    UNIT_FAILS(PV_FAULT_INPUT, "ends early",
               assert_false(pv_volume_read(unit_path("empty.nii"), PV_IMAGE, NULL, &v)));
    atomic_bool cancel = true;
    const struct pv_read stopped = {.cancel = &cancel};
    char *path = golden(kinds[0]);
    pv_fault_clear();
    assert_false(pv_volume_read(path, PV_IMAGE, &stopped, &v));
    assert_int_equal(pv_fault_kind(), PV_FAULT_NONE);       /* stopping is no fault */
    pv_free(path);
}

/* Cut off anywhere, and with any byte changed: refused or read, never worse. A .gz behind whose
 * header a byte changed is refused, or is the same (some bits at the end mean nothing). */
static void damaged_anywhere(void **state)
{
    struct pv_rng r = pv_rng_make(3, 1);
    pv_fail_quiet(true);
    for (size_t i = 0; i < PV_COUNT(kinds); i++) {
        struct bytes b = bytes_of(kinds[i]);
        bool gz = pv_ends(kinds[i], ".gz");
        const char *path = unit_path(gz ? "hurt.nii.gz" : "hurt.nii");
        struct pv_volume v, good;
        char *file = golden(kinds[i]);
        assert_true(pv_volume_read(file, PV_IMAGE, NULL, &good));
        pv_free(file);
        for (size_t n = 0; n < b.n; n += 97) {
            spit(path, b.p, n);
            pv_fault_clear();
            assert_false(pv_volume_read(path, PV_IMAGE, NULL, &v));
            assert_int_equal(pv_fault_kind(), PV_FAULT_INPUT);
            assert_non_null(strstr(pv_fault_text(), "hurt.nii"));
        }
        spit(path, b.p, b.n - 1);
        assert_false(pv_volume_read(path, PV_IMAGE, NULL, &v));
        for (int k = 0; k < 150; k++) {
            size_t at = pv_rng_below(&r, (uint32_t)b.n);
            char old = b.p[at];
            b.p[at] = (char)(old ^ (1 + (int)pv_rng_below(&r, 255)));
            spit(path, b.p, b.n);
            pv_fault_clear();
            bool ok = pv_volume_read(path, k % 4 ? PV_IMAGE : PV_LABEL, k % 3 ? NULL : &ras, &v);
            assert_int_equal(ok, pv_fault_kind() == PV_FAULT_NONE);
            if (gz && at >= 10 && ok && k % 4 && k % 3)
                assert_memory_equal(v.image, good.image, 4 * pv_volume_voxels(&v) * (size_t)v.channels);
            pv_volume_free(&v);
            b.p[at] = old;
        }
        pv_volume_free(&good);
        pv_free(b.p);
    }
    pv_fail_quiet(false);
    pv_fault_clear();
}

/* Voxels that are right but a checksum that is wrong; and gzip members that follow each other. */
static void checksums_and_members(void **state)
{
    struct bytes b = bytes_of("i8.nii.gz");
    struct pv_volume v;
    b.p[b.n - 8] ^= 1;
    spit(unit_path("crc.nii.gz"), b.p, b.n);
    UNIT_FAILS(PV_FAULT_INPUT, "crc.nii.gz is damaged",
               assert_false(pv_volume_read(unit_path("crc.nii.gz"), PV_IMAGE, NULL, &v)));
    b.p[b.n - 8] ^= 1;
    struct pv_str s = {0};
    pv_str_addn(&s, b.p, b.n);
    pv_str_addn(&s, "\0\0\0 trailing", 12);
    spit(unit_path("tail.nii.gz"), s.text, s.len);
    assert_true(pv_volume_read(unit_path("tail.nii.gz"), PV_IMAGE, NULL, &v));
    pv_volume_free(&v);
    pv_str_free(&s);
    pv_free(b.p);

    b = bytes_of("f64.nii");
    for (size_t cut = 300; cut <= 400; cut += 50) {
        gzFile g = gzopen(unit_path("two.nii.gz"), "wb");
        assert_int_equal(gzwrite(g, b.p, (unsigned)cut), cut);
        gzclose(g);
        g = gzopen(unit_path("two.nii.gz"), "ab");
        assert_int_equal(gzwrite(g, b.p + cut, (unsigned)(b.n - cut)), b.n - cut);
        gzclose(g);
        struct pv_volume w;
        char *path = golden("f64.nii");
        assert_true(pv_volume_read(path, PV_IMAGE, NULL, &v));
        assert_true(pv_volume_read(unit_path("two.nii.gz"), PV_IMAGE, NULL, &w));
        assert_memory_equal(v.image, w.image, pv_volume_voxels(&v) * sizeof(float));
        pv_volume_free(&v);
        pv_volume_free(&w);
        pv_free(path);
    }
    pv_free(b.p);
}

/* ---- HDF5 ---- */

static void hdf5(void **state)
{
    struct pv_volume v = {.channels = 1, .size = {5, 6, 40}, .spacing = {1, 1, 1}}, back;
    pv_geometry_plain(&v.geo, v.size, v.spacing);
    assert_true(pv_volume_room("v", PV_IMAGE, &v) && pv_volume_room("v", PV_LABEL, &v));
    size_t n = pv_volume_voxels(&v);
    for (size_t i = 0; i < n; i++) {
        v.image[i] = (float)i * 0.25f;
        v.label[i] = (uint8_t)(i % 7);
    }
    const char *path = unit_path("a.h5");
    if (!PV_HAVE_HDF5) {
        UNIT_FAILS(PV_FAULT_INPUT, "built without HDF5",
                   assert_false(pv_volume_write(path, PV_IMAGE, &v)));
        pv_volume_free(&v);
        skip();
    }
    assert_true(pv_volume_write(path, PV_IMAGE | PV_LABEL, &v));
    assert_true(pv_volume_read(path, PV_IMAGE, NULL, &back));
    assert_int_equal(back.channels, 1);
    assert_memory_equal(back.size, v.size, sizeof v.size);
    assert_memory_equal(back.image, v.image, n * sizeof(float));
    pv_volume_free(&back);
    assert_true(pv_volume_read(path, PV_LABEL, NULL, &back));
    assert_memory_equal(back.label, v.label, n);
    pv_volume_free(&back);
    const struct pv_read zyx = {.zyx = true};
    assert_true(pv_volume_read(path, PV_IMAGE, &zyx, &back));
    assert_int_equal(back.size[0], 40);
    assert_int_equal(back.size[2], 5);
    for (int x = 0; x < 40; x++)
        for (int y = 0; y < 6; y++)
            for (int z = 0; z < 5; z++)
                assert_true(back.image[(x * 6 + y) * 5 + z] == v.image[(z * 6 + y) * 40 + x]);
    pv_volume_free(&back);
    v.image[70] = INFINITY;
    assert_true(pv_volume_write(path, PV_IMAGE, &v));
    UNIT_FAILS(PV_FAULT_INPUT, "1 of 1200 voxels", assert_false(pv_volume_read(path, PV_IMAGE, NULL, &back)));
    UNIT_FAILS(PV_FAULT_INPUT, "no data set 'label'", assert_false(pv_volume_read(path, PV_LABEL, NULL, &back)));
    char *raw;
    size_t bytes;
    assert_true(pv_read_file(path, &raw, &bytes));
    spit(unit_path("b.h5"), raw, bytes / 2);
    pv_free(raw);
    UNIT_FAILS(PV_FAULT_INPUT, "b.h5", assert_false(pv_volume_read(unit_path("b.h5"), PV_IMAGE, NULL, &back)));
    UNIT_FAILS(PV_FAULT_INPUT, "cannot read",
               assert_false(pv_volume_read(unit_path("absent.h5"), PV_IMAGE, NULL, &back)));
    pv_volume_free(&v);
}

/* What h5py wrote (golden/make_h5.py). */
static void hdf5_of_others(void **state)
{
    static const struct { const char *name; int channels, x; double scale, shift; bool label; } good[] = {
        {"f64.h5", 1, 4, 0.25, 0, true}, {"f16.h5", 1, 4, 0.25, 0, true},
        {"i16_channels.h5", 2, 4, 1, -50, false}, {"u8_plane.h5", 1, 1, 1, 0, false},
    };
    static const struct { const char *name, *text; } bad[] = {
        {"i16_channels.h5", "label 300 at voxel (1, 2, 3)"},
        {"u8_plane.h5", "label 0.5 at voxel (1, 2, 3)"},
        {"minus.h5", "label -1 at voxel (1, 2, 3)"},
    };
    struct pv_volume v;
    if (!PV_HAVE_HDF5)
        skip();
    for (size_t i = 0; i < PV_COUNT(good); i++) {
        char *path = golden_in("h5", good[i].name);
        assert_true(pv_volume_read(path, PV_IMAGE, NULL, &v));
        assert_int_equal(v.channels, good[i].channels);
        assert_true(v.size[0] == good[i].x && v.size[1] == 5 && v.size[2] == 6 && v.spacing[1] == 1);
        for (size_t k = 0; k < pv_volume_voxels(&v) * (size_t)v.channels; k++)
            assert_true(v.image[k] == (float)((double)k * good[i].scale + good[i].shift));
        pv_volume_free(&v);
        if (good[i].label) {
            assert_true(pv_volume_read(path, PV_LABEL, NULL, &v));
            for (int k = 0; k < 4 * 5 * 6; k++)
                assert_int_equal(v.label[k], k % 3);
            pv_volume_free(&v);
        }
        pv_free(path);
    }
    char *newer = golden_in("h5", "new.h5");
    UNIT_FAILS(PV_FAULT_INPUT, "newer format", assert_false(pv_volume_read(newer, PV_IMAGE, NULL, &v)));
    UNIT_FAILS(PV_FAULT_INPUT, "holds no data set 'label'",
               assert_false(pv_volume_read(newer, PV_LABEL, NULL, &v)));
    pv_free(newer);
    for (size_t i = 0; i < PV_COUNT(bad); i++) {
        char *path = golden_in("h5", bad[i].name);
        UNIT_FAILS(PV_FAULT_INPUT, bad[i].text, assert_false(pv_volume_read(path, PV_LABEL, NULL, &v)));
        pv_free(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_nibabel_reads),
        cmocka_unit_test(writes_where_the_input_lay),
        cmocka_unit_test(larger_than_a_slab),
        cmocka_unit_test(bad_voxels),
        cmocka_unit_test(headers_that_lie),
        cmocka_unit_test(files_that_are_none),
        cmocka_unit_test(damaged_anywhere),
        cmocka_unit_test(checksums_and_members),
        cmocka_unit_test(hdf5),
        cmocka_unit_test(hdf5_of_others),
    };
    return cmocka_run_group_tests_name("nifti", tests, NULL, unit_tmp_remove);
}
