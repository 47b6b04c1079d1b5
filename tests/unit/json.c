/* SPDX-License-Identifier: Apache-2.0
 * json.h: what is accepted and refused, round trips, editing, and mutated input. */
#include "unit.h"

#include <locale.h>
#include <math.h>

#include "base/json.h"
#include "base/rng.h"

static pv_json *must(const char *text)
{
    pv_json *j = pv_json_parse(text, "test");
    assert_non_null(j);
    return j;
}

static void assert_text(const pv_json *j, const char *expected)
{
    char *text = pv_json_text(j, false);
    assert_string_equal(text, expected);
    pv_free(text);
}

static void round_trip(const char *text, const char *expected)
{
    pv_json *j = must(text);
    assert_text(j, expected);
    pv_json_free(j);
}

static void values(void **state)
{
    round_trip(" {\"a\" : [1, 2.50, -0.0, true, false, null, \"x\"], \"b\": {} , \"c\":[]}\n",
               "{\"a\":[1,2.5,-0,true,false,null,\"x\"],\"b\":{},\"c\":[]}");
    round_trip("\xEF\xBB\xBF[]", "[]");         /* byte order mark */
    round_trip("\"\\u00e9\\n\\\"\\\\ \\u0001\"", "\"\xC3\xA9\\n\\\"\\\\ \\u0001\"");
    round_trip(
        "[0.1, 1e22, 123456789012345680, 5e-324, 1.7976931348623157e308, 0.30000000000000004]",
        "[0.1,1e+22,1.2345678901234568e+17,5e-324,1.7976931348623157e+308,0.30000000000000004]");
    round_trip("[100000, 1e15, 999999999999999, -42]", "[100000,1e+15,999999999999999,-42]");
    round_trip("3.1415926535897932384626433832795028841971693993751058209749445923078164",
               "3.141592653589793");
}

static void not_finite(void **state)
{
    pv_json *j = must(
        "{\"NaN\": NaN, \"a\": [1, NaN, -Infinity,Infinity], \"s\": \"NaN Infinity \\\" NaN\"}");
    assert_true(isnan(pv_json_num(j, "NaN", 0)));
    const pv_json *a = pv_json_get(j, "a");
    assert_true(pv_json_number_value(pv_json_at(a, 0)) == 1);
    assert_true(isnan(pv_json_number_value(pv_json_at(a, 1))));
    assert_true(pv_json_is_number(pv_json_at(a, 1)));
    assert_true(pv_json_number_value(pv_json_at(a, 2)) == -INFINITY);
    assert_true(pv_json_number_value(pv_json_at(a, 3)) == INFINITY);
    assert_string_equal(pv_json_str(j, "s", ""), "NaN Infinity \" NaN");
    pv_json *copy = pv_json_copy(j);
    assert_text(copy, "{\"NaN\":null,\"a\":[1,null,null,null],\"s\":\"NaN Infinity \\\" NaN\"}");
    pv_json_free(copy);
    pv_json_free(j);
    j = pv_json_array();
    pv_json_add_num(j, NAN);
    pv_json_add_num(j, INFINITY);
    pv_json_add_num(j, 1e300);
    pv_json_add_num(j, -3e9);
    assert_text(j, "[null,null,1e+300,-3000000000]");
    pv_json_free(j);
    j = must("[1e999, -1e999]");
    assert_true(pv_json_number_value(pv_json_at(j, 0)) == INFINITY);
    pv_json_free(j);
}

static void shortest_numbers(void **state)
{
    struct pv_rng r = pv_rng_make(1, 1);
    for (int i = 0; i < 3000; i++) {
        uint64_t bits = (uint64_t)pv_rng_u32(&r) << 32 | pv_rng_u32(&r);
        double v, back;
        memcpy(&v, &bits, sizeof v);
        if (i % 3 == 1)
            v = (float)pv_rng_uniform(&r);
        if (i % 3 == 2)
            v = pv_rng_below(&r, 100000) / 1000.0;
        if (!isfinite(v))
            continue;
        pv_json *j = pv_json_array();
        pv_json_add_num(j, v);
        char *text = pv_json_text(j, false), shorter[400];
        pv_json *again = must(text);
        back = pv_json_number_value(pv_json_at(again, 0));
        assert_memory_equal(&back, &v, sizeof v);
        /* one digit less does not read back */
        int digits = 0;
        for (const char *p = text; *p && *p != 'e'; p++)
            digits += *p >= '0' && *p <= '9' && (digits > 0 || *p != '0');
        if (v != floor(v) && digits > 1) {
            snprintf(shorter, sizeof shorter, "%.*g", digits - 1, v);
            assert_true(strtod(shorter, NULL) != v);
        }
        pv_json_free(again);
        pv_json_free(j);
        pv_free(text);
    }
}

static void comma_locale(void **state)
{
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8",
                                        "German_Germany.1252"};
    const char *got = NULL;
    for (size_t i = 0; i < PV_COUNT(names) && !got; i++)
        got = setlocale(LC_ALL, names[i]);
    if (!got)
        skip();
    pv_json *j =
        pv_json_parse("[1.5, 0.1000000000000000000000000000000000000000000000000001]", "test");
    char *text = j ? pv_json_text(j, false) : NULL;
    setlocale(LC_ALL, "C");
    assert_non_null(text);
    assert_string_equal(text, "[1.5,0.1]");
    pv_free(text);
    pv_json_free(j);
}

static void errors_name_file_and_line(void **state)
{
    static const struct { const char *text, *says; } cases[] = {
        {"", "test, line 1: not valid JSON"},
        {"  \n\n", "line 3"},
        {"{\"a\": 1,\n\"b\": 2,\n}", "test, line 3: not valid JSON"},
        {"{\"a\": 1\n\"b\": 2}", "test, line 2"},
        {"[1, 2", "test, line 1"},
        {"[1, 2]]", "at: ]"},
        {"[1]\n x", "test, line 2"},
        {"{\"a\": \"open\n}", "line 1: a string without closing quote at: \"open"},
        {"\"open", "without closing quote"},
        {"\"open\\", "without closing quote"},
        {"\"open\\\"", "without closing quote"},
        {"[\n007]", "line 2: not a number at: 007"},
        {"[1.]", "not a number"},
        {"[.5]", "not valid"},
        {"[-]", "not a number"},
        {"[1e]", "not a number"},
        {"[+1]", "not valid"},
        {"[1.2.3]", "not a number"},
        {"[0x10]", "not a number"},
        {"[1_0]", "not valid"},
        {"[NaNs]", "not a number"},
        {"[1e5 NaN]", "not valid JSON (a comma, quote or bracket is missing or too many) at: NaN]"},
        {"[Inf]", "not a number"},
        {"[-NaN]", "not a number"},
        {"[nan]", "not valid"},
        {"{a: 1}", "not valid"},
        {"{1: 1}", "not valid"},
        {"['x']", "not valid"},
        {"[true false]", "not valid"},
        {"[1,,2]", "not valid"},
        {"{\"a\" 1}", "not valid"},
        {"\"\\x\"", "not valid"},
        {"\"\\ud800\"", "not valid"},
        {"{\"a\"}", "not valid"},
        {"// comment\n1", "not valid"},
    };
    for (size_t i = 0; i < PV_COUNT(cases); i++)
        UNIT_FAILS(PV_FAULT_INPUT, cases[i].says,
                   assert_null(pv_json_parse(cases[i].text, "test")));
}

static void size_is_bounded(void **state)
{
    struct pv_str s = {0};
    for (int i = 0; i < 200; i++)
        pv_str_add(&s, i % 2 ? "[" : "{\"a\":");
    pv_str_add(&s, "1");
    for (int i = 199; i >= 0; i--)
        pv_str_add(&s, i % 2 ? "]" : "}");
    pv_json *j = must(s.text), *copy = pv_json_copy(j);
    assert_text(copy, s.text);
    pv_json_free(copy);
    pv_json_free(j);
    s.len = 0;
    for (int i = 0; i < 100000; i++)
        pv_str_add(&s, "[");
    UNIT_FAILS(PV_FAULT_INPUT, "nested too deeply", assert_null(pv_json_parse(s.text, "test")));
    s.len = 0;
    pv_str_add(&s, "[\"\"");
    for (int i = 0; i < 4000001; i++)
        pv_str_add(&s, ",\"\"");
    pv_str_add(&s, "]");
    UNIT_FAILS(PV_FAULT_INPUT, "too many values", assert_null(pv_json_parse(s.text, "test")));
    s.len = 0;
    for (int i = 0; i < 4000002; i++)
        pv_str_add(&s, "0 ");
    UNIT_FAILS(PV_FAULT_INPUT, "too many values", assert_null(pv_json_parse(s.text, "test")));
    pv_str_free(&s);
}

static void getters(void **state)
{
    pv_json *j = must(
        "{\"n\": 2.5, \"s\": \"text\", \"t\": true, \"f\": false, \"a\": [1, \"x\"],"
        " \"o\": {\"k\": 1}, \"z\": null, \"N\": 7, \"dup\": 1, \"dup\": 2}");
    assert_true(pv_json_num(j, "n", 9) == 2.5);
    assert_true(pv_json_num(j, "N", 9) == 7);           /* case matters */
    assert_true(pv_json_num(j, "s", 9) == 9);
    assert_true(pv_json_num(j, "none", 9) == 9);
    assert_true(pv_json_num(j, "dup", 9) == 1);
    assert_string_equal(pv_json_str(j, "s", "d"), "text");
    assert_string_equal(pv_json_str(j, "n", "d"), "d");
    assert_null(pv_json_str(j, "none", NULL));
    assert_true(pv_json_flag(j, "t", false));
    assert_false(pv_json_flag(j, "f", true));
    assert_true(pv_json_flag(j, "n", true));
    assert_null(pv_json_get(j, "none"));
    assert_null(pv_json_get(NULL, "none"));
    assert_null(pv_json_get(pv_json_get(j, "a"), "x"));
    assert_int_equal(pv_json_count(j), 10);
    assert_int_equal(pv_json_count(pv_json_get(j, "a")), 2);
    assert_int_equal(pv_json_count(pv_json_get(j, "s")), 0);
    assert_string_equal(pv_json_key_at(j, 1), "s");
    assert_null(pv_json_key_at(j, 10));
    assert_null(pv_json_at(j, 10));
    assert_true(pv_json_is_object(j));
    assert_true(pv_json_is_array(pv_json_get(j, "a")));
    assert_false(pv_json_is_array(j));
    assert_true(pv_json_is_string(pv_json_get(j, "s")));
    assert_true(pv_json_is_number(pv_json_get(j, "n")));
    assert_false(pv_json_is_number(pv_json_get(j, "z")));
    assert_true(isnan(pv_json_number_value(pv_json_get(j, "s"))));
    assert_null(pv_json_string_value(pv_json_get(j, "n")));
    assert_string_equal(pv_json_string_value(pv_json_get(j, "s")), "text");
    size_t n = 0;
    for (const pv_json *c = pv_json_at(j, 0); c; c = pv_json_next(c))
        assert_ptr_equal(pv_json_key(c), pv_json_key_at(j, n++));
    assert_int_equal(n, 10);
    pv_json_free(j);
    pv_json_free(NULL);
}

static void setters(void **state)
{
    pv_json *j = pv_json_object(), *a = pv_json_array();
    pv_json_set_num(j, "lr", 0.1);
    pv_json_set_str(j, "name", "old");
    pv_json_set_bool(j, "on", true);
    pv_json_set_str(j, "name", "new");
    pv_json_set_num(j, "lr", 3);
    pv_json_set_num(j, "LR", 4);
    pv_json_set_str(j, "none", NULL);
    pv_json_add_str(a, "x");
    pv_json_add_num(a, 1e6);
    pv_json_add(a, pv_json_object());
    pv_json_set(j, "list", a);
    assert_text(j, "{\"lr\":3,\"name\":\"new\",\"on\":true,\"LR\":4,\"none\":null,"
                "\"list\":[\"x\",1000000,{}]}");
    pv_json_remove(j, "on");
    pv_json_remove(j, "on");
    pv_json_remove(j, "lr");
    assert_text(j, "{\"name\":\"new\",\"LR\":4,\"none\":null,\"list\":[\"x\",1000000,{}]}");
    char *text = pv_json_text(j, true);
    assert_string_equal(
        text,
        "{\n  \"name\": \"new\",\n  \"LR\": 4,\n  \"none\": null,\n"
        "  \"list\": [\"x\", 1000000, {}]\n}");
    pv_free(text);
    pv_json_free(j);
    j = must("{\"patch\":[112,112,80],\"e\":{},\"m\":[[1,2],[3]]}");
    text = pv_json_text(j, true);
    assert_string_equal(
        text,
        "{\n  \"patch\": [112, 112, 80],\n  \"e\": {},\n  \"m\": [\n    [1, 2],\n    [3]\n  ]\n}");
    pv_free(text);
    pv_json_free(j);
}

static void strings_stay_valid(void **state)
{
    static const char *const in[] = {"caf\xE9",      "\xC3\xA9",         "\xC0\x80",
                                     "\xED\xA0\x80", "\xF0\x9F\x98\x80", "\xF5\x80\x80\x80",
                                     "a\xE2\x82",    "\x7F\t\x1F",       "\xE0\x80\x80"};
    static const char *const out[] = {"\"caf\xEF\xBF\xBD\"",
                                      "\"\xC3\xA9\"",
                                      "\"\xEF\xBF\xBD\xEF\xBF\xBD\"",
                                      "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"",
                                      "\"\xF0\x9F\x98\x80\"",
                                      "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"",
                                      "\"a\xEF\xBF\xBD\xEF\xBF\xBD\"",
                                      "\"\x7F\\t\\u001f\"",
                                      "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""};
    for (size_t i = 0; i < PV_COUNT(in); i++) {
        pv_json *a = pv_json_array();
        pv_json_add_str(a, in[i]);
        char *text = pv_json_text(pv_json_at(a, 0), false);
        assert_string_equal(text, out[i]);
        pv_free(text);
        pv_json_free(a);
    }
}

static void dotted_paths(void **state)
{
    pv_json *j = must("{\"optim\": {\"lr\": 0.1}, \"n\": 1}");
    assert_true(pv_json_number_value(pv_json_path(j, "optim.lr")) == 0.1);
    assert_ptr_equal(pv_json_path(j, "n"), pv_json_get(j, "n"));
    assert_null(pv_json_path(j, "optim.none"));
    assert_null(pv_json_path(j, "n.x"));
    assert_null(pv_json_path(j, ""));
    assert_true(pv_json_path_set(j, "optim.lr", "1e-3"));
    assert_true(pv_json_path_set(j, "a.b.c", "true"));
    assert_true(pv_json_path_set(j, "a.b.d", "LA_081"));
    assert_true(pv_json_path_set(j, "a.b.e", "[1, 2]"));
    assert_true(pv_json_path_set(j, "a.f", "007"));
    assert_true(pv_json_path_set(j, "a.g", "null"));
    assert_true(pv_json_path_set(j, "a.h", ""));
    assert_true(pv_json_path_set(j, "a.i", "{\"k\": \"v\"}"));
    assert_true(pv_json_path_set(j, "a.j", "112x112x80"));
    assert_true(pv_json_path_set(j, "a.k", "\"quoted\""));
    assert_text(j, "{\"optim\":{\"lr\":0.001},\"n\":1,\"a\":{\"b\":{\"c\":true,\"d\":\"LA_081\","
                "\"e\":[1,2]},\"f\":\"007\",\"g\":null,\"h\":\"\",\"i\":{\"k\":\"v\"},"
                "\"j\":\"112x112x80\",\"k\":\"quoted\"}}");
    assert_int_equal(pv_fault_kind(), PV_FAULT_NONE);       /* a plain text is no fault */
    UNIT_FAILS(PV_FAULT_USAGE, "n.x", assert_false(pv_json_path_set(j, "n.x", "1")));
    UNIT_FAILS(PV_FAULT_USAGE, "names no setting", assert_false(pv_json_path_set(j, ".", "1")));
    pv_json_free(j);
}

static void merging(void **state)
{
    pv_json *base = must("{\"a\":1,\"o\":{\"x\":1,\"y\":[1,2]},\"p\":{\"q\":1}}");
    pv_json *over =
        must("{\"o\":{\"y\":[3],\"z\":{\"w\":1}},\"a\":{\"b\":2},\"p\":5,\"new\":null}");
    pv_json_merge(base, over);
    pv_json_merge(base, NULL);
    pv_json_free(over);
    assert_text(base,
                "{\"a\":{\"b\":2},\"o\":{\"x\":1,\"y\":[3],\"z\":{\"w\":1}},\"p\":5,\"new\":null}");
    pv_json_free(base);
}

static void files(void **state)
{
    const char *path = unit_path("j.json");
    UNIT_FAILS(PV_FAULT_INPUT, "j.json", assert_null(pv_json_read(path)));
    pv_json *j = must("{\"a\":[1,{\"b\":2}],\"c\":\"\xC3\xA9\"}");
    assert_true(pv_json_write(path, j));
    pv_json *again = pv_json_read(path);
    char *text = pv_json_text(j, false);
    assert_text(again, text);
    pv_free(text);
    pv_json_free(again);
    pv_json_free(j);
    char *data;
    size_t size;
    assert_true(pv_read_file(path, &data, &size));
    assert_true(pv_ends(data, "}\n"));
    pv_free(data);
    assert_true(pv_write_file(path, "[1\0, 2]", 7));
    UNIT_FAILS(PV_FAULT_INPUT, "zero bytes", assert_null(pv_json_read(path)));
    assert_true(pv_write_file(path, "[1,\n\n x]", 8));
    UNIT_FAILS(PV_FAULT_INPUT, "j.json, line 3", assert_null(pv_json_read(path)));
}

/* Whatever the bytes: no crash, and what is accepted prints and reads back the same. */
static void mutated_input(void **state)
{
    static const char seed[] =
        "{\"a\": [1, -2.5e3, NaN, -Infinity, \"\\u00e9\\\"x\"], \"b\": {\"c\": null},"
        " \"d\": [[], {}, true, false], \"e\": \"\xC3\xA9\"}";
    static const char pool[] = "{}[],:\"\\0123456789.-+eENaIntrufls \n\t\x80\xFF";
    struct pv_rng r = pv_rng_make(11, 12);
    int accepted = 0;
    pv_fail_quiet(true);
    for (int i = 0; i < 20000; i++) {
        char text[sizeof seed];
        memcpy(text, seed, sizeof seed);
        for (uint32_t k = pv_rng_below(&r, 4); k-- > 0;)
            text[pv_rng_below(&r, sizeof seed - 1)] = pool[pv_rng_below(&r, sizeof pool - 1)];
        if (pv_rng_below(&r, 8) == 0)
            text[pv_rng_below(&r, sizeof seed - 1)] = '\0';
        pv_json *j = pv_json_parse(text, "mutated");
        if (!j)
            continue;
        accepted++;
        char *once = pv_json_text(j, i % 2);
        pv_json *again = pv_json_parse(once, "printed");
        assert_non_null(again);
        char *twice = pv_json_text(again, i % 2);
        assert_string_equal(once, twice);
        pv_free(once);
        pv_free(twice);
        pv_json_free(again);
        pv_json_free(j);
    }
    pv_fail_quiet(false);
    pv_fault_clear();
    assert_in_range(accepted, 2000, 18000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),
        cmocka_unit_test(not_finite),
        cmocka_unit_test(shortest_numbers),
        cmocka_unit_test(comma_locale),
        cmocka_unit_test(errors_name_file_and_line),
        cmocka_unit_test(size_is_bounded),
        cmocka_unit_test(getters),
        cmocka_unit_test(setters),
        cmocka_unit_test(strings_stay_valid),
        cmocka_unit_test(dotted_paths),
        cmocka_unit_test(merging),
        cmocka_unit_test(files),
        cmocka_unit_test(mutated_input),
    };
    return cmocka_run_group_tests(tests, NULL, unit_tmp_remove);
}
