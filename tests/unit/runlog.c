/* SPDX-License-Identifier: Apache-2.0
 * train/runlog.h: log.txt holds what was logged before its folder was known, in order, and goes on or begins anew. */
#include "unit.h"

#include "train/runlog.h"

static char *session(const char *before, const char *during, bool more)
{
    char *text;
    size_t size;
    struct pv_str lines = {0};
    pv_log_keep(&lines);
    pv_info("%s one", before);
    pv_log_keep_end(&lines);
    pv_train_log *l = pv_train_log_new(lines.text);
    pv_str_free(&lines);
    pv_info("%s two", before);
    assert_true(pv_train_log_open(l, unit_tmp(), 0, more, true));
    pv_info("%s", during);
    assert_true(pv_train_log_close(&l));
    assert_true(pv_read_file(unit_path("log.txt"), &text, &size));
    return text;
}

/* Each line begins with a time. */
static void holds(const char *text, int n, const char *const *lines)
{
    int found = 0;
    for (const char *p = text; *p; found++) {
        const char *end = strchr(p, '\n');
        assert_non_null(end);
        assert_true(found < n && strchr("0123456789", *p) && (size_t)(end - p) > strlen(lines[found]));
        assert_memory_equal(end - strlen(lines[found]), lines[found], strlen(lines[found]));
        p = end + 1;
    }
    assert_int_equal(found, n);
}

static void every_line(void **state)
{
    const char *const lines[] = {"early one", "early two", "first", "later one", "later two", "second"};
    char *text = session("early", "first", false);
    holds(text, 3, lines);
    pv_free(text);
    text = session("later", "second", true);
    holds(text, 6, lines);
    pv_free(text);
    text = session("later", "second", false);
    holds(text, 3, lines + 3);
    pv_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_line)};
    return cmocka_run_group_tests(tests, NULL, unit_tmp_remove);
}
