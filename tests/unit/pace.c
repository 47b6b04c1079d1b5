/* SPDX-License-Identifier: Apache-2.0
 * Seconds of steps, the pace, and how far the host runs ahead (train/pace.h). */
#include "unit.h"

#include "train/pace.h"

#define S(x) ((uint64_t)((x) * 1e9))

static void steps_found_together_share_the_time(void **state)
{
    struct pv_pace p = {.last_ns = S(100)};
    assert_true(pv_pace_ended(&p, 1, 1, S(160)) == 60);
    assert_true(pv_pace_ended(&p, 4, 3, S(172)) == 4);      /* not 12, 0, 0 */
    assert_true(pv_pace_ended(&p, 5, 1, S(176.5)) == 4.5);
}

static void pace_needs_two_real_times(void **state)
{
    struct pv_pace p = {.last_ns = S(100)};
    pv_pace_ended(&p, 4, 4, S(160));        /* all at once: nothing is known but the time of compiling */
    assert_true(p.steps == 4 && p.per_step == 0);
    pv_pace_ended(&p, 5, 1, S(164));
    assert_true(p.per_step == 4);
    pv_pace_ended(&p, 7, 2, S(169));
    assert_true(p.per_step == 3);
    struct pv_pace q = {.last_ns = S(10)};      /* of a run that goes on at 39 */
    pv_pace_ended(&q, 40, 1, S(70));
    assert_true(q.per_step == 0);
    pv_pace_ended(&q, 41, 1, S(75));
    assert_true(q.per_step == 0);           /* the second may have waited for compilers too */
    pv_pace_ended(&q, 42, 1, S(77));
    assert_true(q.per_step == 2);
}

static void pace_is_that_of_the_last_steps(void **state)
{
    struct pv_pace p = {0};
    for (int i = 1; i <= 60; i++)
        pv_pace_ended(&p, i, 1, S(i * 10.0));
    assert_true(p.per_step == 10);
    for (int i = 1; i <= 110; i++)
        pv_pace_ended(&p, 60 + i, 1, S(600 + i));
    assert_true(p.per_step > 0.99 && p.per_step < 1.01);
}

static void host_is_a_second_ahead(void **state)
{
    struct pv_pace p = {0};
    assert_int_equal(pv_pace_ahead(&p, 1, 12), 2);      /* not known yet */
    assert_int_equal(pv_pace_ahead(&p, 3, 12), 2);
    p.per_step = 4.5;
    assert_int_equal(pv_pace_ahead(&p, 1, 12), 2);
    assert_int_equal(pv_pace_ahead(&p, 8, 12), 2);      /* of 0.56 s each; a signal waits for them */
    assert_int_equal(pv_pace_ahead(&p, 32, 12), 7);
    p.per_step = 0.2;
    assert_int_equal(pv_pace_ahead(&p, 1, 12), 5);
    p.per_step = 1e-6;
    assert_int_equal(pv_pace_ahead(&p, 1, 12), 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_found_together_share_the_time),
        cmocka_unit_test(pace_needs_two_real_times),
        cmocka_unit_test(pace_is_that_of_the_last_steps),
        cmocka_unit_test(host_is_a_second_ahead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
