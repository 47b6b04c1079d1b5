/* SPDX-License-Identifier: Apache-2.0
 * The configuration of a run: JSON, resolved from preset, method, file and options, written to config.json as it
 * was used. A preset inherits another and may hold changes for single methods under "methods". Order: base,
 * inherited preset with its part for the method, the preset with its own, --config, options, --set. */
#ifndef TRAIN_CONFIG_H
#define TRAIN_CONFIG_H

#include "base/json.h"

struct pv_config_args {
    const char *preset;             /* name or path of a .json; NULL: "auto" */
    const char *method, *net;       /* NULL: the preset's, "sup", "vnet" */
    const char *tune;               /* "off", "on", "again" (ops/tune.h); NULL: the preset's */
    const char *precision;          /* "fp32", "mixed"; NULL: the preset's */
    const char *init;               /* weights to start from; NULL: none */
    const char *file;               /* --config; NULL: none */
    const pv_json *over;            /* settings like those of file, over them; NULL: none */
    int64_t labeled, iters, batch, seed;    /* < 0: the preset's. batch: labelled and unlabelled each */
    int64_t accumulate;         /* batches per iteration, <= 0: the preset's */
    int patch[3];                   /* [0] == 0: the preset's */
    const char *const *sets;        /* "a.b=c" */
    size_t num_sets;
};

/* NULL after a fault: unknown preset, method, network, key, or a value that makes no sense. */
pv_json *pv_config_resolve(const struct pv_config_args *a);
/* Resuming: false (PV_FAULT_USAGE) if an option that was given differs from config.json of the run. */
bool pv_config_same(const struct pv_config_args *a, const char *config_path);
/* Checks a finished configuration (also one that was read back). */
bool pv_config_check(const pv_json *c, const char *name);
/* "xz" -> bits 0 and 2; false (PV_FAULT_USAGE) if something else stands there. NULL is "". */
bool pv_config_mirror(const char *axes, unsigned *bits);
void pv_config_patch(const pv_json *c, const char *key, int out[3]);    /* "train.patch", "eval.stride" */
void pv_config_set_shape(pv_json *c, const char *key, const int v[3]);

/* Names and descriptions of the built-in presets; ends with a NULL name. */
struct pv_preset_info { const char *name; char *about; };
struct pv_preset_info *pv_preset_list(void);                            /* free with pv_preset_list_free */
void pv_preset_list_free(struct pv_preset_info *l);

#endif
