/* SPDX-License-Identifier: Apache-2.0
 * base.h and hash.h: faults, log, memory, strings, values, whole files. */
#include "unit.h"

#include <locale.h>
#include <math.h>

#include "base/hash.h"

/* ---- faults and log ---- */

static void first_fault_is_kept(void **state)
{
    pv_fault_clear();
    assert_int_equal(pv_fault_kind(), PV_FAULT_NONE);
    assert_string_equal(pv_fault_text(), "");
    pv_fail_quiet(true);
    assert_false(pv_fail(PV_FAULT_INPUT, "case %d", 7));
    assert_null(pv_fail_null(PV_FAULT_DEVICE, "later"));
    pv_fail_quiet(false);
    assert_int_equal(pv_fault_kind(), PV_FAULT_INPUT);
    assert_string_equal(pv_fault_text(), "case 7");
    pv_fault_clear();
    assert_string_equal(pv_fault_text(), "");
    UNIT_FAILS(PV_FAULT_USAGE, "again", pv_fail(PV_FAULT_USAGE, "again"));
    char longer[3000];
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    UNIT_FAILS(PV_FAULT_USAGE, longer, pv_fail(PV_FAULT_USAGE, "%s", longer));
}

static void fail_elsewhere(void *arg)
{
    const char *text;
    pv_fail_quiet(true);
    pv_fail(PV_FAULT_DEVICE, "elsewhere");
    *(bool *)arg = pv_fault_mine(&text) == PV_FAULT_DEVICE && pv_streq(text, "elsewhere");
}

static void faults_of_a_thread(void **state)
{
    const char *text;
    bool theirs = false;
    pv_fault_clear();
    pv_thread *t = pv_thread_start(fail_elsewhere, &theirs);
    pv_thread_join(&t);
    assert_true(theirs);
    assert_int_equal(pv_fault_mine(&text), PV_FAULT_NONE);
    assert_string_equal(text, "");
    pv_fail_quiet(true);
    pv_fail(PV_FAULT_INPUT, "here");
    pv_fail(PV_FAULT_USAGE, "later");
    pv_fail_quiet(false);
    assert_int_equal(pv_fault_mine(&text), PV_FAULT_INPUT);
    assert_string_equal(text, "here");
    assert_string_equal(pv_fault_text(), "elsewhere");
    pv_fault_clear();
    assert_int_equal(pv_fault_mine(&text), PV_FAULT_NONE);
}

struct heard { struct pv_strs lines; int levels[4]; };

static void hear(void *user, enum pv_log_level level, const char *line)
{
    struct heard *h = user;
    pv_strs_add(&h->lines, line);
    h->levels[level]++;
}

static void hear_and_log(void *user, enum pv_log_level level, const char *line)
{
    hear(user, level, line);
    pv_fail_quiet(true);
    pv_fail(PV_FAULT_INTERNAL, "the sink itself failed");
    pv_fail_quiet(false);
}

static void sinks_get_lines(void **state)
{
    struct heard a = {0}, b = {0};
    pv_fault_clear();
    pv_log_level_set(PV_LOG_ERROR);         /* stderr stays quiet, sinks do not */
    pv_log_sink(hear, &a);
    pv_log_sink(hear, &b);
    pv_info("one %s\n", "line");
    pv_warn("two");
    pv_log(PV_LOG_DEBUG, "no");
    pv_log_sink(NULL, &a);
    pv_info("three");
    pv_log_sink(hear_and_log, &b);          /* replaces b's */
    pv_info("four");
    pv_log_sink(NULL, NULL);
    pv_info("five");
    pv_log_level_set(PV_LOG_INFO);
    assert_int_equal(a.lines.n, 2);
    assert_string_equal(a.lines.v[0], "one line");
    assert_string_equal(a.lines.v[1], "warning: two");
    assert_int_equal(a.levels[PV_LOG_WARN], 1);
    assert_int_equal(b.lines.n, 4);
    assert_string_equal(b.lines.v[3], "four");
    assert_int_equal(pv_fault_kind(), PV_FAULT_INTERNAL);
    pv_fault_clear();
    pv_strs_free(&a.lines);
    pv_strs_free(&b.lines);
    UNIT_FAILS(PV_FAULT_INTERNAL, "log",
               for (uintptr_t i = 1; i <= 9; i++) pv_log_sink(hear, (void *)i));
    pv_log_sink(NULL, NULL);
}

enum { THREADS = 6, EACH = 100 };
static int inside, overlaps;

static void hear_slowly(void *user, enum pv_log_level level, const char *line)
{
    overlaps += inside++ != 0;
    pv_sleep_ms(0);         /* lets another thread in, if the lock does */
    hear(user, level, line);
    inside--;
}

static void log_and_fail(void *arg)
{
    pv_fail_quiet(true);
    for (int i = 0; i < EACH; i++) {
        pv_log(PV_LOG_INFO, "thread %d line %d end", *(int *)arg, i);
        pv_fail(PV_FAULT_INPUT, "thread %d fault %d end", *(int *)arg, i);
        assert_true(pv_fault_kind() == PV_FAULT_INPUT);
    }
}

static void threads_may_fail(void **state)
{
    struct heard h = {0};
    pv_thread *t[THREADS];
    int id[THREADS], next[THREADS] = {0}, who, line, end;
    pv_fault_clear();
    pv_log_level_set(PV_LOG_ERROR);
    pv_log_sink(hear_slowly, &h);
    for (int i = 0; i < THREADS; i++) {
        id[i] = i;
        assert_non_null(t[i] = pv_thread_start(log_and_fail, &id[i]));
    }
    for (int i = 0; i < THREADS; i++)
        pv_thread_join(&t[i]);
    pv_log_sink(NULL, NULL);
    pv_log_level_set(PV_LOG_INFO);
    assert_int_equal(overlaps, 0);
    assert_int_equal(h.lines.n, THREADS * EACH);
    for (size_t i = 0; i < h.lines.n; i++) {
        end = 0;
        assert_int_equal(sscanf(h.lines.v[i], "thread %d line %d end%n", &who, &line, &end), 2);
        assert_int_equal(end, strlen(h.lines.v[i]));
        assert_int_equal(line, next[who]++);
    }
    end = 0;
    assert_int_equal(sscanf(pv_fault_text(), "thread %d fault %d end%n", &who, &line, &end), 2);
    assert_int_equal(line, 0);
    assert_int_equal(end, strlen(pv_fault_text()));
    pv_fault_clear();
    pv_strs_free(&h.lines);
}

/* ---- memory ---- */

static void memory(void **state)
{
    void *p = pv_alloc(0);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % 16, 0);
    p = pv_realloc(p, 1000);
    memset(p, 1, 1000);
    p = pv_realloc(p, 0);
    assert_non_null(p);
    pv_free(p);
    pv_free(NULL);
    int *z = pv_array(int, 1000);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(z[i], 0);
    pv_free(z);
    for (size_t n = 0; n < 300; n += 7) {
        char *big = pv_alloc_big(n, "a volume");
        assert_int_equal((uintptr_t)big % 64, 0);
        memset(big, 1, n);
        pv_free_big(big);
    }
    pv_free_big(NULL);
    UNIT_FAILS(PV_FAULT_INPUT, "case LA_081",
               assert_null(pv_alloc_big(SIZE_MAX - 3, "case LA_081")));
    UNIT_FAILS(PV_FAULT_INPUT, "memory", assert_null(pv_alloc_big(PTRDIFF_MAX - 3, "case LA_081")));
}

/* ---- strings ---- */

static void assert_text(char *owned, const char *expected)
{
    assert_string_equal(owned, expected);
    pv_free(owned);
}

static void texts(void **state)
{
    assert_text(pv_strdup("abc"), "abc");
    assert_text(pv_asprintf("%d-%s", 5, "x"), "5-x");
    assert_true(pv_streq(NULL, NULL));
    assert_true(pv_streq("a", "a"));
    assert_false(pv_streq("a", NULL));
    assert_false(pv_streq(NULL, "a"));
    assert_false(pv_streq("a", "b"));
    assert_true(pv_starts("file.nii", "file"));
    assert_false(pv_starts("fi", "file"));
    assert_true(pv_ends("file.nii.gz", ".nii.gz"));
    assert_false(pv_ends("gz", ".nii.gz"));

    struct pv_str s = {0};
    struct pv_str expected = {0};
    for (int i = 0; i < 500; i++) {
        pv_str_addf(&s, "%d,", i);
        pv_str_add(&expected, "");
        char n[16];
        snprintf(n, sizeof n, "%d", i);
        pv_str_add(&expected, n);
        pv_str_addn(&expected, ",xyz", 1);
        assert_int_equal(strlen(s.text), s.len);
    }
    assert_string_equal(s.text, expected.text);
    assert_true(s.cap > s.len);
    pv_str_free(&s);
    pv_str_free(&expected);
    assert_null(s.text);
    assert_int_equal(s.len, 0);
    pv_str_free(&s);
}

static void paths(void **state)
{
    assert_text(pv_path_join("a", "b"), "a/b");
    assert_text(pv_path_join("a/", "b"), "a/b");
    assert_text(pv_path_join("", "b"), "b");
    assert_text(pv_path_join("a", "/b"), "/b");
    assert_text(pv_path_join("/", "b"), "/b");
    assert_text(pv_path_join("a", ""), "a");
    assert_string_equal(pv_path_base("a/b.nii"), "b.nii");
    assert_string_equal(pv_path_base("b.nii"), "b.nii");
    assert_string_equal(pv_path_base("a/"), "");
    assert_text(pv_path_dir("a/b/c"), "a/b");
    assert_text(pv_path_dir("a//c"), "a");
    assert_text(pv_path_dir("c"), ".");
    assert_text(pv_path_dir("/c"), "/");
    assert_text(pv_path_dir("//c"), "/");
}

static void lists(void **state)
{
    struct pv_strs l = {0};
    assert_int_equal(pv_strs_find(&l, "a"), -1);
    pv_strs_split(&l, ",a, b;;c ,", ", ;");
    pv_strs_split(&l, "", ",");
    assert_int_equal(l.n, 3);
    assert_string_equal(l.v[0], "a");
    assert_string_equal(l.v[2], "c");
    for (int i = 0; i < 100; i++)
        pv_strs_add(&l, "more");
    pv_strs_add(&l, "last");
    assert_int_equal(l.n, 104);
    assert_int_equal(pv_strs_find(&l, "b"), 1);
    assert_int_equal(pv_strs_find(&l, "last"), 103);
    assert_int_equal(pv_strs_find(&l, "B"), -1);
    pv_strs_free(&l);
    assert_int_equal(l.n, 0);
    pv_strs_free(&l);
}

/* ---- values ---- */

static void whole_numbers(void **state)
{
    static const char *const good[] = {
        "0", "-1", "+7", "9223372036854775807", "-9223372036854775808", "007"};
    static const int64_t value[] = {0, -1, 7, INT64_MAX, INT64_MIN, 7};
    static const char *const wrong[] = {
        "", " 1", "1 ", "1x", "-", "+-1", "9223372036854775808", "1.0", "x", "0x10", "1e3"};
    int64_t v;
    for (size_t i = 0; i < PV_COUNT(good); i++) {
        assert_true(pv_parse_i64(good[i], &v));
        assert_true(v == value[i]);
    }
    v = 42;
    for (size_t i = 0; i < PV_COUNT(wrong); i++)
        assert_false(pv_parse_i64(wrong[i], &v));
    assert_true(v == 42);
}

static void real_numbers(void **state)
{
    static const char *const good[] = {"0.5", "-1e-3", "1e308", ".5",
                                       "5.",  "+2",    "inf",   "-Infinity"};
    static const double value[] = {0.5, -1e-3, 1e308, 0.5, 5, 2, INFINITY, -INFINITY};
    static const char *const wrong[] = {"",     " 1",    "1 ",     "1,5", "1e", "x",
                                        "0x10", "1e999", "nan(1)", "-",   "."};
    double v;
    for (size_t i = 0; i < PV_COUNT(good); i++) {
        assert_true(pv_parse_f64(good[i], &v));
        assert_true(v == value[i]);
    }
    assert_true(pv_parse_f64("nan", &v));
    assert_true(isnan(v));
    for (size_t i = 0; i < PV_COUNT(wrong); i++)
        assert_false(pv_parse_f64(wrong[i], &v));
}

static void other_values(void **state)
{
    uint64_t size;
    assert_true(pv_parse_size("12", &size) && size == 12);
    assert_true(pv_parse_size("3K", &size) && size == 3072);
    assert_true(pv_parse_size("512m", &size) && size == 512u << 20);
    assert_true(pv_parse_size("4G", &size) && size == 4ull << 30);
    assert_true(pv_parse_size("17179869183G", &size));
    assert_false(pv_parse_size("17179869184G", &size));
    assert_false(pv_parse_size("18446744073709551616", &size));
    assert_false(pv_parse_size("-1", &size));
    assert_false(pv_parse_size("1T", &size));
    assert_false(pv_parse_size("1MB", &size));
    assert_false(pv_parse_size("", &size));
    assert_false(pv_parse_size("K", &size));

    bool b = false;
    assert_true(pv_parse_bool("TRUE", &b) && b);
    assert_true(pv_parse_bool("off", &b) && !b);
    assert_true(pv_parse_bool("1", &b) && b);
    assert_false(pv_parse_bool("maybe", &b));
    assert_false(pv_parse_bool("", &b));
    assert_false(pv_parse_bool("tru", &b));

    int s[3] = {9, 9, 9};
    assert_false(pv_parse_shape("1x2", s));
    assert_false(pv_parse_shape("1x2x3x4", s));
    assert_false(pv_parse_shape("0x2x3", s));
    assert_false(pv_parse_shape("-1x2x3", s));
    assert_false(pv_parse_shape("1x2x99999999999", s));
    assert_false(pv_parse_shape("1x 2x3", s));
    assert_false(pv_parse_shape("", s));
    assert_int_equal(s[0], 9);
    assert_true(pv_parse_shape("112x96X80", s));
    assert_int_equal(s[0], 112);
    assert_int_equal(s[1], 96);
    assert_int_equal(s[2], 80);
}

/* A host program may have set a locale that writes 1,5. */
static void comma_locale(void **state)
{
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8",
                                        "German_Germany.1252"};
    const char *got = NULL;
    for (size_t i = 0; i < PV_COUNT(names) && !got; i++)
        got = setlocale(LC_ALL, names[i]);
    double v = 0;
    bool ok = pv_parse_f64("1.25e2", &v), comma = pv_parse_f64("1,25", &v);
    setlocale(LC_ALL, "C");
    if (!got)
        skip();
    assert_true(ok && v == 125);
    assert_false(comma);
}

static void nearest_names(void **state)
{
    static const char *const names[] = {"vnet", "resvnet", "unet3d", "unet2d", "mfcons"};
    const size_t n = PV_COUNT(names);
    assert_string_equal(pv_nearest("vent", names, n), "vnet");
    assert_string_equal(pv_nearest("Resvnt", names, n), "resvnet");
    assert_string_equal(pv_nearest("unet3", names, n), "unet3d");
    assert_string_equal(pv_nearest("mfc", names, n), "mfcons");
    assert_string_equal(pv_nearest("vnet", names, n), "vnet");
    assert_null(pv_nearest("transformer", names, n));
    assert_null(pv_nearest("", names, n));
    assert_null(pv_nearest("x", names, 0));
    char longer[200];
    memset(longer, 'v', sizeof longer);
    longer[199] = '\0';
    assert_null(pv_nearest(longer, names, n));
    const char *const one[] = {longer};
    assert_null(pv_nearest("vnet", one, 1));
}

/* ---- files ---- */

static void whole_files(void **state)
{
    char *data;
    size_t size;
    const char *path = unit_path("sub/f");
    UNIT_FAILS(PV_FAULT_INPUT, "sub/f", assert_false(pv_read_file(path, &data, &size)));
    assert_null(data);
    UNIT_FAILS(PV_FAULT_INPUT, "no folder", assert_false(pv_write_file(path, "x", 1)));
    assert_true(pv_mkdirs(unit_path("sub")));
    for (size_t n = 0; n < 20000; n = n * 3 + 1) {
        char *block = pv_zalloc(n + 1);
        for (size_t i = 0; i < n; i++)
            block[i] = (char)(i * 7);
        assert_true(pv_write_file(path, block, n));
        assert_true(pv_read_file(path, &data, &size));
        assert_int_equal(size, n);
        assert_memory_equal(data, block, n + 1);
        pv_free(data);
        pv_free(block);
    }
    UNIT_FAILS(PV_FAULT_INPUT, "folder",
               assert_false(pv_read_file(unit_path("sub"), &data, &size)));
    UNIT_FAILS(PV_FAULT_INPUT, "sub", assert_false(pv_write_file(unit_path("sub"), "x", 1)));
    assert_true(pv_is_dir(unit_path("sub")));
    char **names;
    assert_true(pv_list_dir(unit_path("sub"), &names, &size));
    assert_int_equal(size, 1);
    free(names[0]);
    free(names);
    assert_true(pv_list_dir(unit_tmp(), &names, &size));
    assert_int_equal(size, 1);
    free(names[0]);
    free(names);
}

static const char *shared_path;

static void write_often(void *arg)
{
    char block[5000];
    memset(block, *(int *)arg, sizeof block);
    for (int i = 0; i < 30; i++)
        pv_write_file(shared_path, block, sizeof block);
}

static void writers_do_not_mix(void **state)
{
    int a = 'a', b = 'b';
    char *data;
    size_t size;
    shared_path = unit_path("shared");
    assert_true(pv_write_file(shared_path, "", 0));
    pv_thread *t = pv_thread_start(write_often, &a), *u = pv_thread_start(write_often, &b);
    for (int i = 0; i < 50; i++) {
        assert_true(pv_read_file(shared_path, &data, &size));
        assert_true(size == 0 || size == 5000);
        for (size_t k = 1; k < size; k++)
            assert_int_equal(data[k], data[0]);
        pv_free(data);
    }
    pv_thread_join(&t);
    pv_thread_join(&u);
    assert_int_equal(pv_fault_kind(), PV_FAULT_NONE);
}

static void hashes(void **state)
{
    assert_true(pv_hash(PV_HASH_START, "", 0) == 0xcbf29ce484222325ull);
    assert_true(pv_hash(PV_HASH_START, "a", 1) == 0xaf63dc4c8601ec8cull);
    assert_true(pv_hash(PV_HASH_START, "foobar", 6) == 0x85944171f73967e8ull);
    assert_true(pv_hash_str(PV_HASH_START, "a") == pv_hash(PV_HASH_START, "a\0", 2));
    assert_true(pv_hash_u64(PV_HASH_START, 0x0807060504030201ull)
                == pv_hash(PV_HASH_START, "\1\2\3\4\5\6\7\10", 8));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_fault_is_kept),
        cmocka_unit_test(faults_of_a_thread),
        cmocka_unit_test(sinks_get_lines),
        cmocka_unit_test(threads_may_fail),
        cmocka_unit_test(memory),
        cmocka_unit_test(texts),
        cmocka_unit_test(paths),
        cmocka_unit_test(lists),
        cmocka_unit_test(whole_numbers),
        cmocka_unit_test(real_numbers),
        cmocka_unit_test(other_values),
        cmocka_unit_test(comma_locale),
        cmocka_unit_test(nearest_names),
        cmocka_unit_test(whole_files),
        cmocka_unit_test(writers_do_not_mix),
        cmocka_unit_test(hashes),
    };
    return cmocka_run_group_tests(tests, NULL, unit_tmp_remove);
}
