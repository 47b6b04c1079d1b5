/* SPDX-License-Identifier: Apache-2.0
 * How many commands go to a device at once (dev/batches.h). */
#include "unit.h"

#include "dev/batches.h"

#define MS(x) ((uint64_t)((x) * 1000000ull))

static void quick_batches_grow_up_to_the_most(void **state)
{
    uint64_t t = MS(5000);
    int most = PV_BATCH_FIRST;
    for (int want = 32; want <= 128; want *= 2, t += MS(10)) {
        most = pv_batches_next(most, most, t, t - MS(1), t + MS(9));
        assert_int_equal(most, want);
    }
    for (int i = 0; i < 3; i++, t += MS(10))
        most = pv_batches_next(most, most, t, t - MS(1), t + MS(9));
    assert_int_equal(most, PV_BATCH_MOST);
    assert_int_equal(pv_batches_next(100, 100, t, 0, t), PV_BATCH_MOST);    /* not past it either */
}

static void slow_batches_shrink_down_to_the_least(void **state)
{
    uint64_t t = MS(5000);
    int most = PV_BATCH_MOST;
    for (int want = 64; want >= 4; want /= 2, t += MS(300)) {
        most = pv_batches_next(most, 1, t, t - MS(1), t + MS(300));     /* one long command is enough */
        assert_int_equal(most, want);
    }
    assert_int_equal(pv_batches_next(most, most, t, 0, t + MS(9000)), PV_BATCH_LEAST);
    assert_int_equal(pv_batches_next(5, 5, t, 0, t + MS(9000)), PV_BATCH_LEAST);
}

/* Time in the queue is another batch's. */
static void waiting_behind_another_is_not_slow(void **state)
{
    const uint64_t t = MS(5000);
    assert_int_equal(pv_batches_next(32, 32, t, t + MS(900), t + MS(1100)), 32);
    assert_int_equal(pv_batches_next(32, 32, t, t + MS(900), t + MS(1151)), 16);
    /* nor quick, though it ended soon after the one before */
    assert_int_equal(pv_batches_next(32, 32, t, t + MS(60), t + MS(63)), 32);
    assert_int_equal(pv_batches_next(32, 32, t, t + MS(60), t + MS(62)), 64);
}

static void limits_between(void **state)
{
    const uint64_t t = MS(5000);
    assert_int_equal(pv_batches_next(16, 16, t, 0, t + MS(250)), 16);       /* not more than that */
    assert_int_equal(pv_batches_next(16, 16, t, 0, t + MS(250) + 1), 8);
    assert_int_equal(pv_batches_next(16, 16, t, 0, t + MS(62.5)), 16);      /* not less than a quarter */
    assert_int_equal(pv_batches_next(16, 16, t, 0, t + MS(62.5) - 1), 32);
    /* one that was not full, because somebody waited for it, says nothing of how a full one would do */
    assert_int_equal(pv_batches_next(16, 15, t, 0, t + MS(1)), 16);
    assert_int_equal(pv_batches_next(16, 17, t, 0, t + MS(1)), 32);     /* submitted before the limit sank */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quick_batches_grow_up_to_the_most),
        cmocka_unit_test(slow_batches_shrink_down_to_the_least),
        cmocka_unit_test(waiting_behind_another_is_not_slow),
        cmocka_unit_test(limits_between),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
