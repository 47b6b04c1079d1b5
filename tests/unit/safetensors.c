/* SPDX-License-Identifier: Apache-2.0
 * safetensors.h: round trips, conversions, exact bytes, and files made to do harm. */
#include "unit.h"

#include <math.h>

#include "base/rng.h"
#include "base/safetensors.h"

/* ---- half and bfloat16 ---- */

/* Value of a finite half by its definition. */
static double half_value(unsigned h)
{
    int e = h >> 10 & 31, m = h & 1023;
    double v = e ? ldexp(1024 + m, e - 25) : ldexp(m, -24);
    return h & 0x8000 ? -v : v;
}

static double bf16_value(unsigned h)
{
    int e = h >> 7 & 255, m = h & 127;
    double v = e ? ldexp(128 + m, e - 134) : ldexp(m, -133);
    return h & 0x8000 ? -v : v;
}

static float float_from(uint32_t u)
{
    float v;
    memcpy(&v, &u, sizeof v);
    return v;
}

static void every_half(void **state)
{
    for (unsigned h = 0; h < 65536; h++) {
        float v = pv_f16_to_f32((uint16_t)h), b = pv_bf16_to_f32((uint16_t)h);
        assert_int_equal(signbit(v) != 0, h >> 15);
        assert_int_equal(signbit(b) != 0, h >> 15);
        if ((h & 0x7fff) > 0x7c00) {
            assert_true(isnan(v));
            uint32_t bits;
            memcpy(&bits, &v, sizeof bits);
            assert_true(bits & 0x400000);                       /* made quiet, as processors do */
            assert_int_equal(pv_f32_to_f16(v), h | 0x200);
        } else {
            assert_int_equal(pv_f32_to_f16(v), h);
            assert_true((h & 0x7fff) == 0x7c00 ? isinf(v) : v == half_value(h));
        }
        if ((h & 0x7fff) > 0x7f80) {
            assert_true(isnan(b));
            assert_int_equal(pv_f32_to_bf16(b), h | 0x40);
        } else {
            assert_int_equal(pv_f32_to_bf16(b), h);
            assert_true((h & 0x7fff) == 0x7f80 ? isinf(b) : b == bf16_value(h));
        }
    }
}

/* The nearest of the neighbours of `got`, ties to the even one; beyond the largest, as if the range
 * went on. */
static void assert_nearest(float v, unsigned got, double (*value)(unsigned), unsigned inf)
{
    double x = fabs((double)v), limit = 2 * value(inf - 1) - value(inf - 2);
    unsigned g = got & 0x7fff;
    assert_int_equal(got >> 15, signbit(v) != 0);
    assert_true(g <= inf);
    double mine = g == inf ? limit : value(g);
    double up = g == inf ? INFINITY : g + 1 == inf ? limit : value(g + 1);
    double down = g ? value(g - 1) : -1;
    assert_true(x >= limit || fabs(mine - x) <= fabs(up - x));
    assert_true(fabs(mine - x) <= fabs(down - x) || x >= limit);
    if (fabs(mine - x) == fabs(up - x) || (g && fabs(mine - x) == fabs(down - x)))
        assert_int_equal(g & 1, 0);
}

static void rounding_is_to_nearest_even(void **state)
{
    struct pv_rng r = pv_rng_make(1, 9);
    for (int i = 0; i < 300000; i++) {
        float v = float_from(pv_rng_u32(&r));
        if (i % 2)          /* the range of half, with exact ties among it */
            v = float_from((pv_rng_u32(&r) & 0x80000fff ? 0x30000000u : 0x31000000u)
                           + (pv_rng_u32(&r) % 0x18000000u & (i % 4 == 1 ? ~0xfffu : ~0u)));
        if (isnan(v))
            continue;
        assert_nearest(v, pv_f32_to_f16(v), half_value, 0x7c00);
        assert_nearest(v, pv_f32_to_bf16(v), bf16_value, 0x7f80);
    }
    assert_int_equal(pv_f32_to_f16(65504.0f), 0x7bff);
    assert_int_equal(pv_f32_to_f16(65519.99f), 0x7bff);
    assert_int_equal(pv_f32_to_f16(65520.0f), 0x7c00);
    assert_int_equal(pv_f32_to_f16(-INFINITY), 0xfc00);
    assert_int_equal(pv_f32_to_f16(0x1p-25f), 0);
    assert_int_equal(pv_f32_to_f16(0x1.000002p-25f), 1);
    assert_int_equal(pv_f32_to_f16(0x1.8p-24f), 2);
    assert_int_equal(pv_f32_to_f16(-0.0f), 0x8000);
    assert_int_equal(pv_f32_to_bf16(3.4e38f), 0x7f80);
    assert_int_equal(pv_f32_to_bf16(float_from(0x3f808000)), 0x3f80);
    assert_int_equal(pv_f32_to_bf16(float_from(0x3f818000)), 0x3f82);
    assert_int_equal(pv_f32_to_bf16(float_from(0x7f800001)), 0x7fc0);
}

/* ---- files ---- */

static const int64_t none[1] = {0};

static void exact_bytes(void **state)
{
    const char *path = unit_path("t.safetensors");
    const int64_t s2[] = {2};
    const float a[] = {1.0f, -2.0f};
    const uint8_t b[] = {7};
    pv_st_writer *w = pv_st_writer_new();
    pv_st_meta_set(w, "format", "npz");
    pv_st_put(w, "b", PV_ST_U8, 0, none, b);
    pv_st_put(w, "a", PV_ST_F32, 1, s2, a);
    assert_true(pv_st_write(w, path));
    assert_true(pv_st_write(w, path));      /* a writer can be used again */
    pv_st_writer_free(&w);
    assert_null(w);
    pv_st_writer_free(&w);
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"npz\"},"
        "\"b\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]},"
        "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[1,9]}}";
    static const unsigned char data[] = {7, 0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0};
    size_t len = strlen(header), padded = (len + 7) / 8 * 8, size;
    assert_true(len % 8 != 0);
    char *file;
    assert_true(pv_read_file(path, &file, &size));
    assert_int_equal(size, 8 + padded + sizeof data);
    assert_int_equal((unsigned char)file[0], padded & 255);
    assert_int_equal((unsigned char)file[1], padded >> 8);
    for (int i = 2; i < 8; i++)
        assert_int_equal(file[i], 0);
    assert_memory_equal(file + 8, header, len);
    for (size_t i = len; i < padded; i++)
        assert_int_equal(file[8 + i], ' ');
    assert_memory_equal(file + 8 + padded, data, sizeof data);
    pv_free(file);
}

static void round_trip_of_types(void **state)
{
    const char *path = unit_path("types.safetensors");
    const int64_t shape[] = {3, 1, 2}, empty[] = {4, 0, 2};
    const double f64[] = {0.1, -1e300, 0, -3, 4, INFINITY};
    const float f32[] = {0.1f, -1e30f, 0, -3, 4, NAN};
    const uint16_t f16[] = {0x3c00, 0xc000, 1, 0x7bff, 0x8000, 0x7c00};
    const uint16_t bf16[] = {0x3f80, 0xc000, 1, 0x7f7f, 0x8000, 0x7f80};
    const int64_t i64[] = {0, -1, INT64_MAX, INT64_MIN, 1 << 30, 5};
    const int32_t i32[] = {0, -1, INT32_MAX, INT32_MIN, 1 << 30, 5};
    const int16_t i16[] = {0, -1, INT16_MAX, INT16_MIN, 300, 5};
    const int8_t i8[] = {0, -1, INT8_MAX, INT8_MIN, 30, 5};
    const uint8_t u8[] = {0, 1, 255, 128, 30, 5}, bits[] = {0, 1, 1, 0, 1, 2};
    const void *data[] = {
        [PV_ST_F64] = f64, [PV_ST_F32] = f32,  [PV_ST_F16] = f16, [PV_ST_BF16] = bf16,
        [PV_ST_I64] = i64, [PV_ST_I32] = i32,  [PV_ST_I16] = i16, [PV_ST_I8] = i8,
        [PV_ST_U8] = u8,   [PV_ST_BOOL] = bits};
    pv_st_writer *w = pv_st_writer_new();
    for (int t = 0; t < 10; t++) {
        char name[32];
        snprintf(name, sizeof name, "net.%s \"\xC3\xA9\"", pv_st_type_name((enum pv_st_type)t));
        pv_st_put(w, name, (enum pv_st_type)t, 3, shape, data[t]);      /* the name is copied */
    }
    pv_st_put(w, "empty", PV_ST_F32, 3, empty, NULL);
    pv_st_meta_set(w, "step", "12");
    pv_st_meta_set(w, "step", "13");
    assert_true(pv_st_write(w, path));
    pv_st_writer_free(&w);

    pv_st_file *f = pv_st_open(path);
    assert_non_null(f);
    assert_string_equal(pv_st_path(f), path);
    assert_int_equal(pv_st_count(f), 11);
    assert_null(pv_st_at(f, 11));
    assert_null(pv_st_find(f, "net"));
    assert_null(pv_st_find(f, "__metadata__"));
    assert_string_equal(pv_st_meta(f, "step"), "13");
    assert_null(pv_st_meta(f, "none"));
    double as_f64[6];
    float as_f32[6];
    int32_t as_i32[6];
    unsigned char raw[48];
    for (int t = 0; t < 10; t++) {
        const struct pv_st_tensor *x = pv_st_at(f, (size_t)t);
        assert_ptr_equal(pv_st_find(f, x->name), x);
        assert_int_equal(x->type, t);
        assert_int_equal(x->ndim, 3);
        assert_memory_equal(x->shape, shape, sizeof shape);
        assert_int_equal(pv_st_len(x), 6);
        assert_int_equal(x->bytes, 6 * pv_st_type_size(x->type));
        assert_true(pv_st_read_raw(f, x, raw));
        assert_memory_equal(raw, data[t], (size_t)x->bytes);
        assert_true(pv_st_read_f64(f, x, as_f64));
        assert_true(pv_st_read_f32(f, x, as_f32));
        for (int i = 0; i < 6; i++) {
            double v = t == PV_ST_F64    ? f64[i]
                       : t == PV_ST_F32  ? f32[i]
                       : t == PV_ST_F16  ? pv_f16_to_f32(f16[i])
                       : t == PV_ST_BF16 ? pv_bf16_to_f32(bf16[i])
                       : t == PV_ST_I64  ? (double)i64[i]
                       : t == PV_ST_I32  ? i32[i]
                       : t == PV_ST_I16  ? i16[i]
                       : t == PV_ST_I8   ? i8[i]
                       : t == PV_ST_U8   ? u8[i]
                                         : bits[i] != 0;
            assert_true(as_f64[i] == v || (isnan(v) && isnan(as_f64[i])));
            assert_true(as_f32[i] == (float)v || (isnan(v) && isnan(as_f32[i])));
        }
        if (t >= PV_ST_I32) {
            assert_true(pv_st_read_i32(f, x, as_i32));
            for (int i = 0; i < 6; i++)
                assert_true(as_i32[i] == as_f64[i]);
        } else {
            UNIT_FAILS(PV_FAULT_INPUT, "32 bits", assert_false(pv_st_read_i32(f, x, as_i32)));
        }
    }
    assert_int_equal(pv_st_len(pv_st_find(f, "empty")), 0);
    assert_true(pv_st_read_f32(f, pv_st_find(f, "empty"), NULL));
    assert_true(pv_st_read_raw(f, pv_st_find(f, "empty"), NULL));
    pv_st_close(&f);
    assert_null(f);
    pv_st_close(&f);
}

static void int32_takes_what_is_whole(void **state)
{
    const char *path = unit_path("i32.safetensors");
    const int64_t shape[] = {3};
    const double in[][3] = {{1, -2147483648.0, 2147483647}, {1, 1.5, 0}, {0, 0, 2147483648.0},
                            {0, NAN, 0}, {-2147483649.0, 0, 0}};
    for (size_t i = 0; i < PV_COUNT(in); i++) {
        int32_t out[3];
        pv_st_writer *w = pv_st_writer_new();
        pv_st_put(w, "x", PV_ST_F64, 1, shape, in[i]);
        assert_true(pv_st_write(w, path));
        pv_st_writer_free(&w);
        pv_st_file *f = pv_st_open(path);
        const struct pv_st_tensor *t = pv_st_find(f, "x");
        if (i == 0) {
            assert_true(pv_st_read_i32(f, t, out));
            assert_true(out[0] == 1 && out[1] == INT32_MIN && out[2] == INT32_MAX);
        } else {
            UNIT_FAILS(PV_FAULT_INPUT, "32 bits", assert_false(pv_st_read_i32(f, t, out)));
        }
        pv_st_close(&f);
    }
}

/* Larger than every internal piece, read in both ways. */
static void large_tensors(void **state)
{
    const char *path = unit_path("large.safetensors");
    const int64_t n = (18 << 20) + 3, shape[] = {n, 2};
    uint16_t *h = pv_alloc_big((size_t)n * 4, "test");
    uint16_t *raw = pv_alloc_big((size_t)n * 4, "test");
    float *v = pv_alloc_big((size_t)n * 8, "test");
    for (int64_t i = 0; i < 2 * n; i++)
        h[i] = (uint16_t)(i * 31 & 0x7bff);
    pv_st_writer *w = pv_st_writer_new();
    pv_st_put(w, "first", PV_ST_F16, 1, (const int64_t[]){3}, h);
    pv_st_put(w, "x", PV_ST_F16, 2, shape, h);
    assert_true(pv_st_write(w, path));
    pv_st_writer_free(&w);
    pv_st_file *f = pv_st_open(path);
    const struct pv_st_tensor *x = pv_st_find(f, "x");
    assert_int_equal(pv_st_len(x), 2 * n);
    assert_true(pv_st_read_raw(f, x, raw));
    assert_true(pv_st_read_f32(f, x, v));
    assert_memory_equal(raw, h, (size_t)n * 4);
    for (int64_t i = 0; i < 2 * n; i += 997)
        assert_true(v[i] == pv_f16_to_f32(h[i]));
    assert_true(v[2 * n - 1] == pv_f16_to_f32(h[2 * n - 1]));
    /* the file is cut while it is open */
    FILE *cut = pv_fopen(path, "r+b");
    assert_true(pv_truncate(cut, n * 2));
    fclose(cut);
    UNIT_FAILS(PV_FAULT_INPUT, "shorter", assert_false(pv_st_read_raw(f, x, raw)));
    UNIT_FAILS(PV_FAULT_INPUT, "shorter", assert_false(pv_st_read_f32(f, x, v)));
    pv_st_close(&f);
    pv_free_big(h);
    pv_free_big(raw);
    pv_free_big(v);
}

static void write_raw(const char *path, uint64_t header_bytes, const char *header,
                      size_t data_bytes)
{
    struct pv_str s = {0};
    char head[8];
    for (int i = 0; i < 8; i++)
        head[i] = (char)(unsigned char)(header_bytes >> 8 * i);
    pv_str_addn(&s, head, 8);
    pv_str_add(&s, header);
    for (size_t i = 0; i < data_bytes; i++)
        pv_str_addn(&s, "x", 1);
    assert_true(pv_write_file(path, s.text, s.len));
    pv_str_free(&s);
}

#define T(type, shape, from, to) \
    "{\"dtype\":\"" type "\",\"shape\":[" shape "],\"data_offsets\":[" #from "," #to "]}"

static void hostile_headers(void **state)
{
    static const struct { const char *header, *says; } cases[] = {
        {"{\"a\":" T("F32", "2", 0, 8), "not valid JSON"},
        {"[]", "not JSON"},
        {"  {}", "not JSON"},
        {"{\"a\":1}", "needs exactly"},
        {"{\"a\":{}}", "needs exactly"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":1}}",
         "needs exactly"},
        {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
         "needs exactly"},
        {"{\"a\":{\"dtype\":1,\"shape\":[2],\"data_offsets\":[0,8]}}", "needs exactly"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]}}", "needs exactly"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":{}}}", "needs exactly"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", "data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,8]}}", "data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[\"0\",8]}}", "data_offsets"},
        {"{\"a\":" T("F33", "2", 0, 8) "}", "type F33, which is not supported"},
        {"{\"a\":" T("F32", "2", 8, 0) "}", "wrong data_offsets"},
        {"{\"a\":" T("F32", "2", -8, 0) "}", "wrong data_offsets"},
        {"{\"a\":" T("F32", "2", 0.5, 8.5) "}", "wrong data_offsets"},
        {"{\"a\":" T("F32", "2", NaN, 8) "}", "wrong data_offsets"},
        {"{\"a\":" T("F32", "2", 0, 1e300) "}", "wrong data_offsets"},
        {"{\"a\":" T("F32", "2", 0, 18446744073709551616) "}", "wrong data_offsets"},
        {"{\"a\":" T("F32", "4", 0, 16) "}", "beyond the end"},
        {"{\"a\":" T("F32", "3", 0, 8) "}", "do not match"},
        {"{\"a\":" T("F32", "", 0, 8) "}", "do not match"},
        {"{\"a\":" T("F32", "0", 0, 8) "}", "do not match"},
        {"{\"a\":" T("F32", "-2", 0, 8) "}", "whole numbers"},
        {"{\"a\":" T("F32", "2.5", 0, 8) "}", "whole numbers"},
        {"{\"a\":" T("F32", "null", 0, 8) "}", "whole numbers"},
        {"{\"a\":" T("F32", "4294967296,4294967296", 0, 0) "}", "larger than any file"},
        {"{\"a\":" T("F32", "4503599627370496,1024,0", 0, 0) "}", "larger than any file"},
        {"{\"a\":" T("U8", "4294967296,4294967296", 0, 0) "}", "larger than any file"},
        {"{\"a\":" T("F32", "1,1,1,1,1,1,1,1,2", 0, 8) "}", "8 dimensions"},
        {"{\"a\":" T("U8", "4", 0, 4) "}", "behind the last"},
        {"{}", "behind the last"},
        {"{\"a\":" T("U8", "4", 4, 8) "}", "hole"},
        {"{\"a\":" T("U8", "3", 0, 3) ",\"b\":" T("U8", "4", 4, 8) "}", "hole"},
        {"{\"a\":" T("U8", "8", 0, 8) ",\"b\":" T("U8", "4", 4, 8) "}", "overlaps"},
        {"{\"a\":" T("U8", "8", 0, 8) ",\"b\":" T("U8", "8", 0, 8) "}", "overlaps"},
        {"{\"b\":" T("U8", "8", 0, 8) ",\"a\":" T("U8", "0", 4, 4) "}", "overlaps"},
        {"{\"a\":" T("U8", "4", 0, 4) ",\"a\":" T("U8", "4", 4, 8) "}", "is there twice"},
        {"{\"a\":" T("U8", "8", 0, 8) ",\"__metadata__\":1}", "not an object"},
        {"{\"a\":" T("U8", "8", 0, 8) ",\"__metadata__\":{\"k\":1}}", "not texts"},
        {"{\"a\":" T("U8", "8", 0, 8) ",\"__metadata__\":{\"k\":\"1\",\"j\":\"\",\"k\":\"1\"}}",
         "twice"},
        {"{\"a\":" T("U8", "8", 0, 8) ",\"__metadata__\":{},\"__metadata__\":{}}", "twice"},
    };
    static const char *const good[] = {
        "{\"a\":" T("F32", "2", 0, 8) "}   \n ",
        "{\"b\":" T("U8", "4", 4, 8) ",\"z\":" T("F32", "0", 4, 4)
            ",\"a\":" T("U8", "2,2", 0, 4) "}",
        "{\"__metadata__\":{\"k\":\"v\"},\"a\":" T("F64", "", 0, 8) "}",
        "{\"a\":" T("I8", "1,1,1,1,2,2,2,1", 0, 8) "}",
    };
    const char *path = unit_path("bad.safetensors");
    for (size_t i = 0; i < PV_COUNT(cases); i++) {
        write_raw(path, strlen(cases[i].header), cases[i].header, 8);
        UNIT_FAILS(PV_FAULT_INPUT, cases[i].says, assert_null(pv_st_open(path)));
        UNIT_FAILS(PV_FAULT_INPUT, "bad.safetensors", assert_null(pv_st_open(path)));
    }
    for (size_t i = 0; i < PV_COUNT(good); i++) {
        write_raw(path, strlen(good[i]), good[i], 8);
        pv_st_file *f = pv_st_open(path);
        assert_non_null(f);
        pv_st_close(&f);
    }
}

static void hostile_lengths(void **state)
{
    static const uint64_t lengths[] = {0,         1,         3,          100,
                                       100000001, INT64_MAX, UINT64_MAX, UINT64_MAX - 7};
    const char *path = unit_path("length.safetensors");
    for (size_t i = 0; i < PV_COUNT(lengths); i++) {
        write_raw(path, lengths[i], "{}", 0);
        UNIT_FAILS(PV_FAULT_INPUT, "header length", assert_null(pv_st_open(path)));
    }
    write_raw(path, 2, "{}", 0);
    pv_st_file *f = pv_st_open(path);
    assert_non_null(f);
    assert_int_equal(pv_st_count(f), 0);
    assert_null(pv_st_find(f, "a"));
    assert_null(pv_st_meta(f, "a"));
    pv_st_close(&f);
    assert_true(pv_write_file(path, "{}", 2));
    UNIT_FAILS(PV_FAULT_INPUT, "shorter than 8", assert_null(pv_st_open(path)));
    assert_true(pv_write_file(path, "\4\0\0\0\0\0\0\0{\0}\0", 12));
    UNIT_FAILS(PV_FAULT_INPUT, "not JSON", assert_null(pv_st_open(path)));
    UNIT_FAILS(PV_FAULT_INPUT, "none.safetensors",
               assert_null(pv_st_open(unit_path("none.safetensors"))));
    UNIT_FAILS(PV_FAULT_INPUT, unit_tmp(), assert_null(pv_st_open(unit_tmp())));
    write_raw(path, 100000001, "{}", 0);        /* long enough a file, but sparse */
    FILE *sparse = pv_fopen(path, "r+b");
    assert_true(pv_truncate(sparse, 200000000));
    fclose(sparse);
    UNIT_FAILS(PV_FAULT_INPUT, "header length", assert_null(pv_st_open(path)));
    struct pv_str deep = {0};
    for (int i = 0; i < 5000; i++)
        pv_str_add(&deep, "{\"a\":");
    write_raw(path, deep.len, deep.text, 0);
    pv_str_free(&deep);
    UNIT_FAILS(PV_FAULT_INPUT, "deeply", assert_null(pv_st_open(path)));
}

/* A larger than 4 GiB offset (the file is sparse). */
static void far_offsets(void **state)
{
    const char *path = unit_path("far.safetensors");
    static const char header[] = "{\"far\":" T("I32", "1", 5000000000, 5000000004) ",\"big\":"
                                 T("U8", "5,1000000000", 0, 5000000000) "}";
    write_raw(path, strlen(header), header, 0);
    FILE *f = pv_fopen(path, "r+b");
    assert_true(pv_fseek64(f, (int64_t)(8 + strlen(header)) + 5000000000));
    assert_int_equal(fwrite("\x15\0\0\0", 1, 4, f), 4);
    assert_int_equal(fclose(f), 0);
    pv_st_file *st = pv_st_open(path);
    assert_non_null(st);
    int32_t v = 0;
    assert_true(pv_st_read_i32(st, pv_st_find(st, "far"), &v));
    assert_int_equal(v, 0x15);
    assert_true(pv_st_len(pv_st_find(st, "big")) == 5000000000);
    pv_st_close(&st);
    pv_remove(path);
}

static void writer_mistakes(void **state)
{
    const char *path = unit_path("mistake.safetensors");
    const int64_t s[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1}, negative[] = {-1}, huge[] = {INT64_MAX, 2};
    const float v[2] = {0};
    const struct { const char *name; int ndim; const int64_t *shape; } cases[] = {
        {"a", 9, s}, {"a", -1, s}, {"a", 1, negative}, {"a", 2, huge}, {"__metadata__", 1, s},
        {"good", 1, s},
    };
    for (size_t i = 0; i < PV_COUNT(cases); i++) {
        pv_st_writer *w = pv_st_writer_new();
        pv_st_put(w, "good", PV_ST_F32, 1, s, v);
        pv_st_put(w, cases[i].name, PV_ST_F32, cases[i].ndim, cases[i].shape, v);
        UNIT_FAILS(PV_FAULT_INTERNAL, cases[i].name, assert_false(pv_st_write(w, path)));
        assert_false(pv_file_exists(path));
        pv_st_writer_free(&w);
    }
    pv_st_writer *w = pv_st_writer_new();
    assert_true(pv_st_write(w, path));
    pv_st_writer_free(&w);
    pv_st_file *f = pv_st_open(path);
    assert_int_equal(pv_st_count(f), 0);
    pv_st_close(&f);
}

/* Whatever bytes change: no crash, and every tensor of an accepted file can be read. */
static void mutated_files(void **state)
{
    static const char header[] = "{\"__metadata__\":{\"k\":\"v\"},\"a\":" T("F32", "2,3", 0, 24)
        ",\"b\":" T("U8", "8", 24, 32) ",\"c\":" T("I64", "", 32, 40) "}";
    static const char pool[] = "{}[],:\"\\0123456789.-eabcFIU\0\xFF";
    struct pv_rng r = pv_rng_make(21, 22);
    char file[8 + sizeof header - 1 + 40];
    const char *path = unit_path("mutated.safetensors");
    int accepted = 0;
    for (int i = 0; i < 3000; i++) {
        memset(file, 0, sizeof file);
        file[0] = (char)(unsigned char)(sizeof header - 1);
        memcpy(file + 8, header, sizeof header - 1);
        size_t size = sizeof file;
        for (uint32_t k = pv_rng_below(&r, 4); k-- > 0;)
            file[pv_rng_below(&r, 20) ? 8 + pv_rng_below(&r, sizeof header - 1)
                                      : pv_rng_below(&r, 8)] =
                pool[pv_rng_below(&r, sizeof pool - 1)];
        if (pv_rng_below(&r, 10) == 0)
            size = pv_rng_below(&r, sizeof file);
        FILE *out = pv_fopen(path, "wb");
        assert_int_equal(fwrite(file, 1, size, out), size);
        fclose(out);
        pv_fail_quiet(true);
        pv_st_file *f = pv_st_open(path);
        pv_fail_quiet(false);
        if (!f)
            continue;
        accepted++;
        for (size_t k = 0; k < pv_st_count(f); k++) {
            const struct pv_st_tensor *t = pv_st_at(f, k);
            double v[40];
            assert_in_range(pv_st_len(t), 0, 40);
            assert_true(pv_st_read_f64(f, t, v));
        }
        pv_st_close(&f);
    }
    pv_fault_clear();
    assert_in_range(accepted, 300, 2700);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half),
        cmocka_unit_test(rounding_is_to_nearest_even),
        cmocka_unit_test(exact_bytes),
        cmocka_unit_test(round_trip_of_types),
        cmocka_unit_test(int32_takes_what_is_whole),
        cmocka_unit_test(large_tensors),
        cmocka_unit_test(hostile_headers),
        cmocka_unit_test(hostile_lengths),
        cmocka_unit_test(far_offsets),
        cmocka_unit_test(writer_mistakes),
        cmocka_unit_test(mutated_files),
    };
    return cmocka_run_group_tests(tests, NULL, unit_tmp_remove);
}
