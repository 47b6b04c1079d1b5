/* SPDX-License-Identifier: Apache-2.0
 * Methods: what to forward, which losses, what state is kept. A method sees tensors, never files.
 *
 * A run holds the networks, optimisers and other state that the method registered; everything registered is saved
 * and restored by the trainer, averaged across ranks as declared, and freed with the run. */
#ifndef METHOD_H
#define METHOD_H

#include "base/json.h"
#include "net/net.h"
#include "optim/loss_scale.h"
#include "optim/optim.h"
#include "optim/schedule.h"
#include "tape/tape.h"

struct pv_run;

/* One batch on the device: labelled samples first. */
struct pv_patches {
    int num_labeled, num_unlabeled;
    pv_tensor *image;           /* PLAIN F32 [n][channels][patch] */
    pv_tensor *label;           /* PLAIN I32 [n][1][patch]; ignored voxels PV_IGNORE; unlabelled samples: all */
};
enum { PV_IGNORE = 255 };

/* A phase of training. Lengths are in iterations of the reference schedule and rescaled with --iters. */
struct pv_stage {
    const char *name;
    double length;              /* share of the run's iterations, or iterations at reference length if >= 1 */
    int labeled, unlabeled;     /* samples per batch */
};
enum { PV_MAX_STAGES = 4, PV_MAX_NETS = 6, PV_MAX_STATES = 16, PV_MAX_LOGS = 24, PV_MOST_PARTS = 64 };

/* An option of a method: default here, preset and command line override it ("method.NAME"). iterations: the value
 * counts iterations at reference length and is rescaled with --iters. */
struct pv_method_opt {
    const char *name;
    double def;
    const char *text_def;       /* set for options that are words */
    bool iterations;
    const char *help;
    const char *words;          /* of a word: those that are allowed, "a, b, c"; NULL: the method looks */
    double lo, hi;              /* of a number: its range; both 0: the method looks */
};

struct pv_method {
    const char *name, *summary;
    const struct pv_method_opt *opts;           /* ended by a NULL name; NULL: none */
    bool unlabeled;                             /* uses unlabelled samples */
    size_t state_size;                          /* run->state, zeroed */
    /* Registers networks and state. The configuration is run->config. */
    bool (*init)(struct pv_run *r);
    /* Fills stages, returns how many; NULL: one stage with the configured batch. */
    int (*stages)(struct pv_run *r, struct pv_stage s[PV_MAX_STAGES]);
    bool (*stage_begin)(struct pv_run *r, int stage);  /* optional; also called on resume with run->resumed set */
    /* Optional: before the first step of stage number prepare_stage, after stage_begin, one pass over the labelled
     * samples in batches like the stage's without its unlabelled ones, `number` of `count`. May wait for the device.
     * False: a fault. */
    int prepare_stage;
    bool (*prepare)(struct pv_run *r, const struct pv_patches *b, int number, int count);
    /* One batch of an optimisation step, mostly the only one (pv_run.parts): calls below that move weights do nothing
     * before the last. Device failures are asked by the trainer afterwards. */
    void (*step)(struct pv_run *r, const struct pv_patches *b);
    /* Class probabilities PLAIN [n][classes][patch] for evaluation; a new reference. */
    pv_tensor *(*predict)(struct pv_run *r, pv_tensor *image);
    void (*free)(struct pv_run *r);                    /* optional: what is not registered */
};
extern const struct pv_method *const pv_methods[];          /* methods.c, NULL-terminated */
const struct pv_method *pv_method_find(const char *name);   /* PV_FAULT_USAGE with the known names */

/* How ranks combine a state that is not a gradient. */
enum pv_combine { PV_COMBINE_SAME, PV_COMBINE_MEAN };

struct pv_run_net {
    char name[24];
    pv_net *net;
    pv_tensor *momentum;        /* FLAT, NULL for networks without optimiser */
    bool first;                 /* the optimiser has not stepped yet */
    double lr_scale;
    bool nesterov;
};
struct pv_run_state { char name[32]; pv_tensor *t; enum pv_combine combine; };
struct pv_run_log { char name[32]; pv_ticket *ticket; double value; };

/* Random choices handed in by tests: see pv_run_given. */
struct pv_given { char name[40]; pv_tensor *t; int n; double *v; };

struct pv_run {
    const struct pv_method *method;
    pv_dev *dev;
    pv_tape *tape;
    struct pv_tune *tune;       /* measured choices of kernels ("tuning" of the configuration), NULL: defaults */
    pv_tensor *loss_scale;      /* mixed precision: a registered state (optim/loss_scale.h), NULL: none; borrowed */
    pv_json *config;            /* borrowed: the resolved configuration */
    struct pv_net_config net;   /* of the configuration, for pv_run_add_net */
    bool inference;             /* no optimisers, no gradients */
    bool resumed;
    int64_t iter, iters;        /* this step from 0; steps of the whole run */
    int part, parts;            /* of this step: batches one after another whose gradients are averaged */
    int64_t draw;               /* iter * parts + part: keys batches and random numbers */
    int64_t stage_iter, stage_iters;
    int stage, num_stages;
    struct pv_stage stages[PV_MAX_STAGES];
    int64_t stage_first[PV_MAX_STAGES + 1];
    double scale;               /* iters / reference iterations: multiplies options that count iterations */
    uint64_t seed;
    int classes;
    struct pv_run_net nets[PV_MAX_NETS];
    int num_nets;
    struct pv_run_state states[PV_MAX_STATES];
    int num_states;
    struct pv_run_log logs[PV_MAX_LOGS];
    int num_logs;
    const struct pv_given *given;               /* of this step, borrowed; NULL outside tests */
    int num_given;
    int64_t volume_passes;      /* patches that went through a network, forward, so far */
    void *state;
};

/* ---- for the trainer ---- */
/* `config` stays the caller's. Runs the method's init; NULL after a fault. */
struct pv_run *pv_run_new(pv_dev *dev, pv_json *config, bool inference);
void pv_run_free(struct pv_run **r);
/* Sets iter, stage and the tape's keys; calls stage_begin when a stage starts (or the run resumes in it). */
bool pv_run_begin_step(struct pv_run *r, int64_t iter);
/* The next batch of the same step (train.accumulate); false, and nothing changed, after the last. */
bool pv_run_next_part(struct pv_run *r);
bool pv_run_last_part(const struct pv_run *r);
void pv_run_batch_size(const struct pv_run *r, int stage, int *labeled, int *unlabeled);

/* ---- for methods ---- */
struct pv_scope { pv_tensor **t; int n, room; };      /* pv_keep */
/* A network of the run's configuration under `name` (also the label of its initialisation); trained ones get
 * gradients and SGD. `change` (may be NULL) edits the configuration first. NULL after a fault. */
pv_net *pv_run_add_net(struct pv_run *r, const char *name, bool trained, void (*change)(struct pv_net_config *c));
/* A FLAT or PLAIN state tensor of n floats with the given start value; borrowed. */
pv_tensor *pv_run_add_state(struct pv_run *r, const char *name, int n, float value, enum pv_combine combine);
double pv_run_opt(const struct pv_run *r, const char *name);       /* rescaled if it counts iterations */
const char *pv_run_opt_text(const struct pv_run *r, const char *name);
bool pv_run_opt_is(const struct pv_run *r, const char *name, const char *text);
double pv_run_lr(const struct pv_run *r);                          /* of the configured schedule, now */

/* Forward passes. Counts volume passes; `pass` numbers the pass within the step for random numbers. */
bool pv_run_forward(struct pv_run *r, pv_net *n, pv_tensor *x, uint32_t pass, int flags, unsigned want,
                    struct pv_net_out *out);
/* SGD on all trained networks of the run (or only `n`): walks back from `loss`, steps, clears gradients. In mixed
 * precision gradients are scaled in between, by one number for the whole iteration. With several parts each adds its
 * share of the gradients, and only the last one steps, as pv_run_ema() moves only then. */
void pv_run_backward(struct pv_run *r, pv_tensor *loss);
/* The same, ending the scope before the walk: what only it held (`loss` may be part of it) makes room for gradients. */
void pv_run_backward_end(struct pv_run *r, struct pv_scope *s, pv_tensor *loss);
void pv_run_step(struct pv_run *r, pv_net *n);
void pv_run_ema(struct pv_run *r, pv_net *teacher, pv_net *student, double alpha);
/* Logs a device scalar; it is read some steps later. The host variant takes a value. Names are columns of
 * metrics.csv. */
void pv_run_log(struct pv_run *r, const char *name, pv_tensor *scalar);
void pv_run_log_value(struct pv_run *r, const char *name, double v);

/* ---- random choices ----
 * Tests compare whole steps with PyTorch, so every random choice of a step has a name and can be handed in. */
/* The tensor handed in for this step under `name`, or NULL: then the method draws. Borrowed. */
pv_tensor *pv_run_given(const struct pv_run *r, const char *name);
/* x + clamp(sigma g, -clip, clip), or x + the given tensor. A new reference; a layer of the current pass. */
pv_tensor *pv_run_noise(struct pv_run *r, const char *name, pv_tensor *x, double sigma, double clip);
/* n host numbers, uniform in [lo, hi), keyed by (seed, step, name), or the given ones. */
void pv_run_uniforms(struct pv_run *r, const char *name, int n, double lo, double hi, double *v);
/* n numbers of Beta(a, b), likewise. */
void pv_run_betas(struct pv_run *r, const char *name, int n, double a, double b, double *v);
/* n whole numbers in [0, below[i]), likewise. */
void pv_run_below(struct pv_run *r, const char *name, int n, const int *below, int *v);

/* References released together: x = pv_keep(&s, op(...)). */
pv_tensor *pv_keep(struct pv_scope *s, pv_tensor *t);
void pv_scope_end(struct pv_scope *s);

#endif
