/* SPDX-License-Identifier: Apache-2.0
 * The list of sub-commands, in the order of help. */
#include "cli/cli.h"

#define COMMANDS(ROW) \
    ROW(demo) \
    ROW(devices) \
    ROW(selftest) \
    ROW(verify) \
    ROW(train) \
    ROW(predict) \
    ROW(evaluate) \
    ROW(report) \
    ROW(convert) \
    ROW(select) \
    ROW(bench) \
    ROW(loss)

#define DECLARE(name) extern const struct pv_command pv_cmd_##name;
#define POINTER(name) &pv_cmd_##name,

COMMANDS(DECLARE)

const struct pv_command *const pv_commands[] = {COMMANDS(POINTER) NULL};
