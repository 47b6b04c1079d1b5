/* SPDX-License-Identifier: Apache-2.0
 * What unit tests share: cmocka with its required headers, and a folder for files that are made. */
#ifndef UNIT_H
#define UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "platform/platform.h"

/* "unit_tmp.PID" in the working folder, made empty at first call; unit_tmp_remove() deletes it. */
static inline const char *unit_tmp(void)
{
    static char dir[64];
    if (!dir[0]) {
        snprintf(dir, sizeof dir, "unit_tmp.%d", pv_pid());
        assert_true(pv_mkdirs(dir));
    }
    return dir;
}

/* Path of a file in it; valid until the fourth next call. */
static inline const char *unit_path(const char *name)
{
    static char path[4][512];
    static int k;
    k = (k + 1) % 4;
    snprintf(path[k], sizeof path[k], "%s/%s", unit_tmp(), name);
    return path[k];
}

static inline int unit_tmp_remove(void **state)
{
    (void)state;
    pv_remove_tree(unit_tmp());
    return 0;
}

/* Runs one statement that must fail: no output, and the fault must be of that kind and say that
 * text. */
#define UNIT_FAILS(kind, text, statement)                                                        \
    do {                                                                                         \
        pv_fault_clear();                                                                        \
        pv_fail_quiet(true);                                                                     \
        statement;                                                                               \
        pv_fail_quiet(false);                                                                    \
        assert_int_equal(pv_fault_kind(), kind);                                                 \
        if (!strstr(pv_fault_text(), text))                                                      \
            fail_msg("'%s' does not say '%s'", pv_fault_text(), text);                           \
        pv_fault_clear();                                                                        \
    } while (0)

#endif
