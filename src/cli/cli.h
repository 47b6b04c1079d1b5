/* SPDX-License-Identifier: Apache-2.0
 * Sub-commands and their options. A command is a row in commands.c; options are tables beside the command that
 * uses them, and help, parsing and "did you mean" come from the table. */
#ifndef CLI_H
#define CLI_H

#include "base/base.h"
#include "dev/dev.h"

enum pv_opt_type { PV_OPT_STR, PV_OPT_INT, PV_OPT_NUM, PV_OPT_FLAG, PV_OPT_SHAPE, PV_OPT_LIST };

/* --name VALUE. STR: const char **, INT: int64_t *, NUM: double *, FLAG: bool * (no value), SHAPE: int[3],
 * LIST: struct pv_strs * (takes every following word that is not an option; may be repeated). */
struct pv_opt {
    const char *name;           /* without dashes; NULL ends the table */
    enum pv_opt_type type;
    void *to;
    const char *value;          /* name of the value in help, "N" */
    const char *help;
};

struct pv_command {
    const char *name, *summary;
    const char *usage;          /* lines of "protovox NAME ..." examples for --help */
    int (*run)(int argc, char **argv);      /* arguments behind the name; returns the exit code */
};
extern const struct pv_command *const pv_commands[];    /* NULL-terminated */

/* Parses argv by the table (and --help). PV_PARSED: go on; otherwise return *code. */
enum pv_parse { PV_PARSED, PV_PARSE_EXIT };
enum pv_parse pv_parse_opts(const struct pv_command *c, const struct pv_opt *opts, int argc, char **argv,
                            int *code);

/* Options that choose and restrict a device; a command adds PV_DEVICE_OPTS(dev_args) to its table. */
struct pv_dev_args { const char *device, *cls, *limit; };
#define PV_DEVICE_OPTS(a) \
    {"device", PV_OPT_STR, &(a).device, "NAME", \
     "opencl:0, vulkan:0, auto (default), or part of a device's name"}, \
    {"class", PV_OPT_STR, &(a).cls, "fat|simt", "force the class of kernels"}, \
    {"limit", PV_OPT_STR, &(a).limit, "LIST", \
     "lower limits of the device: binding=64K,alloc=1M,memory=1G,wg=256,local=32K,groups=1K,work=1M,subgroup=0"}
/* Opens the device; `base` gives further options (may be NULL). NULL after a fault. */
pv_dev *pv_open_device(const struct pv_dev_args *a, const struct pv_dev_opts *base);

int pv_exit_code(void);         /* of the fault raised, 1 if none was */

#endif
