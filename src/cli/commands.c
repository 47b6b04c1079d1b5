/* SPDX-License-Identifier: Apache-2.0
 * The list of sub-commands. */
#include "cli/cli.h"

extern const struct pv_command pv_cmd_bench, pv_cmd_devices, pv_cmd_evaluate, pv_cmd_predict, pv_cmd_selftest,
    pv_cmd_train;

const struct pv_command *const pv_commands[] = {
    &pv_cmd_devices,
    &pv_cmd_selftest,
    &pv_cmd_train,
    &pv_cmd_predict,
    &pv_cmd_evaluate,
    &pv_cmd_bench,
    NULL,
};
