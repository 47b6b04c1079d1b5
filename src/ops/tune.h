/* SPDX-License-Identifier: Apache-2.0
 * Which of several implementations an op uses for a shape, by measurement. A table of choices belongs to a run: it is
 * filled the first time that the run meets a shape, kept on disk by device, driver, version and kernels, and written to
 * config.json by the trainer, so that a run that goes on uses the choices it had. Without a table (NULL) every op uses
 * its default for the shape, which is as good as the rules in its file.
 *
 * Measuring waits for the device, computes into scratch memory only, and compares with the default implementation
 * before anything is timed. PV_DEBUG=tune says what was measured and why an implementation was refused. */
#ifndef OPS_TUNE_H
#define OPS_TUNE_H

#include "base/json.h"
#include "tensor/tensor.h"

typedef struct pv_tune pv_tune;

enum pv_tune_mode {
    PV_TUNE_OFF,                /* only what pv_tune_read() brings, else defaults */
    PV_TUNE_ON,                 /* measure what neither the run nor the disk knows */
    PV_TUNE_AGAIN               /* as if there were nothing on disk */
};
/* "off", "on", "again"; false: another word (no fault). */
bool pv_tune_mode_of(const char *word, enum pv_tune_mode *mode);

pv_tune *pv_tune_new(pv_dev *dev, enum pv_tune_mode mode);
void pv_tune_free(pv_tune **t);                         /* NULL safe */

/* One choice. `impl`: names, the default first; they live as long as the table. */
struct pv_tune_case {
    const char *key;            /* op, shape, whatever else the choice depends on */
    const char *const *impl;
    int num;
    /* Implementation i into out; false: it does not take this shape. Must leave nothing else changed. */
    bool (*run)(void *user, int i, pv_tensor *const *out);
    void (*prepare)(void *user, int num);   /* once before anything is run, not counted as measuring; may be NULL */
    void *user;
    pv_tensor *like[2];         /* tensors of the shapes of out; the second may be NULL. Not touched */
};
/* The name to use: known, else measured, else the default. NULL table: the default. */
const char *pv_tune_choose(pv_tune *t, const struct pv_tune_case *c);

/* Number of choices measured or found on disk so far: more than before means that there is something to write. */
int pv_tune_count(const pv_tune *t);
double pv_tune_seconds(const pv_tune *t);               /* spent on measuring */
/* The table for config.json and back: {"device": ..., "choices": {KEY: NAME}}. A table of another device or driver is
 * not taken over. */
pv_json *pv_tune_json(const pv_tune *t);
void pv_tune_read(pv_tune *t, const pv_json *j);
void pv_tune_store(pv_tune *t);                         /* what was measured, to disk */

#endif
