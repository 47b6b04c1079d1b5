/* SPDX-License-Identifier: Apache-2.0
 * events.h: published CRC-32C vectors, files read by a parser that shares nothing with the writer, resuming. */
#include "unit.h"

#include <math.h>

#include "base/rng.h"
#include "report/events.h"

/* ---- an independent reader ---- */

static uint32_t slow_crc(const uint8_t *p, size_t n)
{
    uint32_t c = 0xFFFFFFFF;
    for (size_t i = 0; i < 8 * n; i++) {
        uint32_t bit = (c ^ p[i / 8] >> i % 8) & 1;
        c = c >> 1 ^ (bit ? 0x82F63B78 : 0);
    }
    return c ^ 0xFFFFFFFF;
}

static uint32_t slow_masked(const uint8_t *p, size_t n)
{
    uint64_t c = slow_crc(p, n), turned = (c << 32 | c) >> 15 & 0xFFFFFFFF;
    return (uint32_t)((turned + 0xA282EAD8) % 0x100000000);
}

static uint64_t little(const uint8_t *p, int n)
{
    uint64_t v = 0;
    while (n-- > 0)
        v = v * 256 + p[n];
    return v;
}

static uint64_t varint(const uint8_t **p)
{
    uint64_t v = 0, scale = 1;
    for (;; scale *= 128) {
        uint8_t b = *(*p)++;
        v += (b & 127) * scale;
        if (b < 128)
            return v;
    }
}

struct scalar { char tag[32]; float value; };
struct event { double time; int64_t step; char version[32]; int num; struct scalar scalars[8]; };

static void read_value(const uint8_t *p, const uint8_t *end, struct scalar *s)
{
    assert_int_equal(*p++, 0x0A);
    uint64_t n = varint(&p);
    assert_in_range(n, 0, 31);
    memcpy(s->tag, p, (size_t)n);
    p += n;
    assert_int_equal(*p++, 0x15);
    uint32_t bits = (uint32_t)little(p, 4);
    memcpy(&s->value, &bits, 4);
    assert_ptr_equal(p + 4, end);
}

static void read_event(const uint8_t *p, const uint8_t *end, struct event *e)
{
    *e = (struct event){0};
    while (p < end) {
        uint64_t n;
        switch (*p++) {
        case 0x09: {
            uint64_t bits = little(p, 8);
            memcpy(&e->time, &bits, 8);
            p += 8;
            break;
        }
        case 0x10: e->step = (int64_t)varint(&p); break;
        case 0x1A:
            n = varint(&p);
            assert_in_range(n, 1, 31);
            memcpy(e->version, p, (size_t)n);
            p += n;
            break;
        case 0x2A:
            n = varint(&p);
            for (const uint8_t *stop = p + n; p < stop;) {
                assert_int_equal(*p++, 0x0A);
                n = varint(&p);
                assert_in_range(e->num, 0, 7);
                read_value(p, p + n, &e->scalars[e->num++]);
                p += n;
            }
            break;
        default: fail_msg("field %02x", p[-1]);
        }
    }
    assert_ptr_equal(p, end);
}

/* Every record of a file must be whole; returns how many. */
static int read_all(const char *path, struct event *e, int most)
{
    char *text;
    size_t size;
    assert_true(pv_read_file(path, &text, &size));
    const uint8_t *p = (const uint8_t *)text, *end = p + size;
    int n = 0;
    while (p < end) {
        assert_true(end - p >= 16);
        uint64_t len = little(p, 8);
        assert_int_equal(little(p + 8, 4), slow_masked(p, 8));
        assert_true(len <= (uint64_t)(end - p - 16));
        assert_int_equal(little(p + 12 + len, 4), slow_masked(p + 12, (size_t)len));
        assert_in_range(n, 0, most - 1);
        read_event(p + 12, p + 12 + len, &e[n++]);
        p += 16 + len;
    }
    pv_free(text);
    return n;
}

/* Names of the event files in a folder; the caller frees the list. */
static struct pv_strs files_in(const char *dir)
{
    char **names;
    size_t n;
    struct pv_strs l = {0};
    assert_true(pv_list_dir(dir, &names, &n));
    for (size_t i = 0; i < n; i++) {
        if (strstr(names[i], "tfevents"))
            pv_strs_add(&l, names[i]);
        free(names[i]);
    }
    free(names);
    return l;
}

static const char *fresh_dir(const char *name)
{
    const char *dir = unit_path(name);
    pv_remove_tree(dir);
    assert_true(pv_mkdirs(dir));
    return dir;
}

/* ---- tests ---- */

static void checksums(void **state)
{
    uint8_t b[48];
    assert_int_equal(pv_crc32c("123456789", 9), 0xE3069283);
    assert_int_equal(pv_crc32c("", 0), 0);
    memset(b, 0, 32);                                   /* RFC 3720, section B.4 */
    assert_int_equal(pv_crc32c(b, 32), 0x8A9136AA);
    memset(b, 255, 32);
    assert_int_equal(pv_crc32c(b, 32), 0x62A8AB43);
    for (int i = 0; i < 32; i++)
        b[i] = (uint8_t)i;
    assert_int_equal(pv_crc32c(b, 32), 0x46DD794E);
    for (int i = 0; i < 32; i++)
        b[i] = (uint8_t)(31 - i);
    assert_int_equal(pv_crc32c(b, 32), 0x113FDB5C);
    struct pv_rng r = pv_rng_make(6, 1);
    for (size_t n = 0; n < sizeof b; n++) {
        for (size_t i = 0; i < n; i++)
            b[i] = (uint8_t)pv_rng_u32(&r);
        assert_int_equal(pv_crc32c(b, n), slow_crc(b, n));
        assert_int_equal(pv_crc32c_masked(b, n), slow_masked(b, n));
    }
}

static void what_is_written(void **state)
{
    const char *dir = fresh_dir("events");
    pv_events *e = pv_events_open(dir, -1);
    assert_non_null(e);
    const char *name = pv_path_base(pv_events_path(e));
    assert_true(pv_starts(name, "events.out.tfevents.") && pv_ends(name, ".protovox"));
    assert_int_equal(strlen(name), strlen("events.out.tfevents.1234567890.protovox"));
    char *path = pv_strdup(pv_events_path(e));
    const char *tags[] = {"loss/total", "lr", "b\xC3\xA9ta"};
    const double values[] = {0.5, 1e-5, -3};
    assert_true(pv_events_scalars(e, 1, tags, values, 3));
    assert_true(pv_events_scalar(e, 300, "nan", NAN));
    assert_true(pv_events_scalar(e, 70000000000, "big", 1e300));
    assert_true(pv_events_scalar(e, -2, "", -1e300));
    assert_true(pv_events_scalars(e, 5, NULL, NULL, 0));
    struct event v[8];
    assert_int_equal(read_all(path, v, 8), 6);      /* before it is closed */
    assert_true(pv_events_close(&e));
    assert_null(e);
    assert_true(pv_events_close(&e));
    assert_int_equal(read_all(path, v, 8), 6);
    assert_string_equal(v[0].version, "brain.Event:2");
    assert_int_equal(v[0].num, 0);
    assert_int_equal(v[1].step, 1);
    assert_int_equal(v[1].num, 3);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(v[1].scalars[i].tag, tags[i]);
        assert_true(v[1].scalars[i].value == (float)values[i]);
    }
    assert_int_equal(v[2].step, 300);
    assert_true(isnan(v[2].scalars[0].value));
    assert_true(v[3].step == 70000000000 && v[3].scalars[0].value == INFINITY);
    assert_true(v[4].step == -2 && v[4].scalars[0].value == -INFINITY && v[4].scalars[0].tag[0] == '\0');
    assert_true(v[5].step == 5 && v[5].num == 0);
    for (int i = 0; i < 6; i++) {
        assert_true(v[i].version[0] == '\0' || i == 0);
        assert_true(fabs(v[i].time - (double)pv_unix_time()) < 60);
        assert_true(i == 0 || v[i].time >= v[i - 1].time);
    }
    pv_free(path);
}

static void write_steps(const char *dir, int64_t resume, int first, int last)
{
    pv_events *e = pv_events_open(dir, resume);
    assert_non_null(e);
    for (int s = first; s <= last; s++)
        assert_true(pv_events_scalar(e, s, "loss", s * 0.5));
    assert_true(pv_events_close(&e));
}

static void resuming(void **state)
{
    const char *dir = fresh_dir("resume");
    write_steps(dir, 7, 1, 10);         /* nothing there yet: a new file */
    write_steps(dir, 6, 7, 8);
    struct pv_strs l = files_in(dir);
    assert_int_equal(l.n, 1);
    char *path = pv_path_join(dir, l.v[0]);
    struct event v[16];
    assert_int_equal(read_all(path, v, 16), 9);
    for (int i = 1; i <= 8; i++)
        assert_true(v[i].step == i && v[i].scalars[0].value == (float)i * 0.5f);
    write_steps(dir, 100, 101, 101);    /* beyond the end: nothing is cut */
    assert_int_equal(read_all(path, v, 16), 10);
    assert_true(v[9].step == 101);
    write_steps(dir, 0, 1, 1);          /* from the start: the version stays */
    assert_int_equal(read_all(path, v, 16), 2);
    assert_string_equal(v[0].version, "brain.Event:2");
    pv_free(path);
    pv_strs_free(&l);
}

static void resuming_damage(void **state)
{
    const char *dir = fresh_dir("damage");
    write_steps(dir, -1, 1, 4);
    struct pv_strs l = files_in(dir);
    char *path = pv_path_join(dir, l.v[0]), *text;
    size_t size;
    assert_true(pv_read_file(path, &text, &size));
    /* cut anywhere: what was whole stays, and the next record follows it */
    size_t record = (size - 40) / 4;
    assert_int_equal(40 + 4 * record, size);        /* 16 + 9 + 15 of the version; four of one length */
    for (size_t cut = 0; cut <= size; cut++) {
        assert_true(pv_write_file(path, text, cut));
        write_steps(dir, 50, 51, 51);
        struct event v[8];
        int whole = cut < 40 ? 0 : 1 + (int)((cut - 40) / record), n = read_all(path, v, 8);
        assert_int_equal(n, (whole ? whole : 1) + 1);
        assert_string_equal(v[0].version, "brain.Event:2");
        assert_int_equal(v[n - 1].step, 51);
        assert_true(n == 2 || v[n - 2].step == n - 2);
    }
    /* a flipped bit anywhere ends what is kept */
    for (size_t i = 0; i < size; i++) {
        text[i] ^= 4;
        assert_true(pv_write_file(path, text, size));
        text[i] ^= 4;
        write_steps(dir, 50, 51, 51);
        struct event v[8];
        int whole = i < 40 ? 0 : 1 + (int)((i - 40) / record);
        assert_int_equal(read_all(path, v, 8), (whole ? whole : 1) + 1);
    }
    pv_free(text);
    pv_free(path);
    pv_strs_free(&l);
}

static void other_files(void **state)
{
    const char *dir = fresh_dir("others");
    static const char *const names[] = {"events.out.tfevents.0000000001.protovox",
                                        "events.out.tfevents.0000000002.protovox",
                                        "events.out.tfevents.0000000003.otherhost", "log.txt"};
    write_steps(dir, -1, 1, 6);
    struct pv_strs l = files_in(dir);
    char *path = pv_path_join(dir, l.v[0]), *text, *copy[4];
    size_t size;
    assert_true(pv_read_file(path, &text, &size));
    for (int i = 0; i < 4; i++) {
        copy[i] = pv_path_join(dir, names[i]);
        assert_true(pv_write_file(copy[i], text, size));
    }
    pv_remove(path);
    write_steps(dir, 3, 4, 5);
    struct event v[16];
    assert_int_equal(read_all(copy[0], v, 16), 4);      /* cut */
    assert_int_equal(read_all(copy[1], v, 16), 6);      /* cut and continued */
    assert_true(v[4].step == 4 && v[5].step == 5);
    for (int i = 2; i < 4; i++) {
        char *now;
        size_t n;
        assert_true(pv_read_file(copy[i], &now, &n));
        assert_int_equal(n, size);
        assert_memory_equal(now, text, n);
        pv_free(now);
    }
    /* a new run beside old files does not touch them */
    write_steps(dir, -1, 1, 1);
    assert_int_equal(read_all(copy[1], v, 16), 6);
    struct pv_strs after = files_in(dir);
    assert_int_equal(after.n, 4);
    write_steps(dir, -1, 1, 1);                         /* in the same second */
    struct pv_strs more = files_in(dir);
    assert_int_equal(more.n, 5);
    pv_strs_free(&more);
    pv_strs_free(&after);
    pv_strs_free(&l);
    for (int i = 0; i < 4; i++)
        pv_free(copy[i]);
    pv_free(path);
    pv_free(text);
}

static void no_folder(void **state)
{
    UNIT_FAILS(PV_FAULT_INPUT, "nowhere", assert_null(pv_events_open(unit_path("nowhere"), -1)));
    UNIT_FAILS(PV_FAULT_INPUT, "nowhere", assert_null(pv_events_open(unit_path("nowhere"), 5)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checksums),       cmocka_unit_test(what_is_written), cmocka_unit_test(resuming),
        cmocka_unit_test(resuming_damage), cmocka_unit_test(other_files),     cmocka_unit_test(no_folder),
    };
    return cmocka_run_group_tests(tests, NULL, unit_tmp_remove);
}
