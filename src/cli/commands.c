/* SPDX-License-Identifier: Apache-2.0
 * The list of sub-commands. */
#include "cli/cli.h"

extern const struct pv_command pv_cmd_devices, pv_cmd_selftest;

const struct pv_command *const pv_commands[] = {
    &pv_cmd_devices,
    &pv_cmd_selftest,
    NULL,
};
