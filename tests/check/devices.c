/* SPDX-License-Identifier: Apache-2.0
 * Several devices in one process: all that are named are opened at once and run cases in turn, each as if it were
 * alone.
 *
 *     devices DEVICE DEVICE [DEVICE...]
 *
 * A device may be named twice. Skipped where one is missing. */
#include <stdio.h>
#include <string.h>

#include "check/check.h"
#include "dev/dev.h"

enum { MOST = 4, CASES = 2 };
static const char *const ops[] = {"conv3", "norm_batch", "dice", "softmax", "sgd"};

int main(int argc, char **argv)
{
    pv_dev *dev[MOST];
    int num = argc - 1, failed = 0, passed = 0;
    if (num < 2 || num > MOST)
        return 2;
    pv_log_level_set(PV_LOG_ERROR);
    for (int i = 0; i < num; i++) {
        const struct pv_dev_opts how = {.poison = true, .guard = true};
        dev[i] = pv_dev_open(argv[1 + i], &how);
        if (!dev[i]) {
            printf("no %s here\n", argv[1 + i]);
            return 77;
        }
    }
    for (int c = 0; c < CASES; c++)
        for (size_t k = 0; k < PV_COUNT(ops); k++)
            for (int i = 0; i < num; i++) {
                const struct pv_check_opts o = {.op = ops[k], .cases = CASES, .only_case = c, .seed = 41,
                                                .small = true};
                const struct pv_check_result r = pv_check_run(dev[i], &o);
                passed += r.passed;
                failed += r.failed + (r.passed == 0);
            }
    for (int i = num - 1; i >= 0; i--) {
        const bool last = i == 0;
        failed += pv_dev_failed(dev[i]);
        pv_dev_close(&dev[i]);
        const struct pv_check_opts o = {.op = "softmax", .cases = 1, .only_case = 0, .seed = 42, .small = true};
        if (!last)      /* closing one leaves the others as they were */
            failed += pv_check_run(dev[i - 1], &o).failed;
    }
    printf("%d devices, %d cases passed, %d failed\n", num, passed, failed);
    return failed > 0;
}
