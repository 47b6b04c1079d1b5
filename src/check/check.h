/* SPDX-License-Identifier: Apache-2.0
 * The checker behind `protovox selftest` and tests/check: every op, on a device and each implementation,
 * against the plain C reference in double.
 *
 * An op's body builds one case through the op's public call: it draws sizes, makes inputs and registers
 * outputs. The engine runs the body on ref:0 and on the device with the same draws and inputs, walks the tape
 * back from random output gradients, and compares outputs and input gradients. Per case: outputs and memory
 * start as NaN, guard zones lie around every buffer, borders and spare lanes must stay zero, inputs must keep
 * their values, gradients are checked written and accumulated, and a second run must give the same bits. On
 * ref:0 alone, gradients are checked against central differences. */
#ifndef CHECK_H
#define CHECK_H

#include "tape/tape.h"

struct pv_check;

struct pv_check_op {
    const char *name;
    void (*body)(struct pv_check *k);
    int fixed;                      /* how many case numbers have fixed sizes; later ones are random */
    double tol;                     /* relative L2, and max difference / max value, of outputs */
    double tol_grad;                /* the same for gradients */
    const char *const *impls;       /* implementations to force in turn, NULL-terminated; NULL: none */
    bool (*has)(const pv_dev *dev, const char *impl);   /* whether a device has it; NULL: all have all */
    bool rounds;                    /* its values change in steps: no finite differences */
};
/* A NULL-terminated list per family in check/NAME.c, joined in check/list.c, which a row of NULL ends. */
struct pv_check_family { const char *name; const struct pv_check_op *const *ops; };
extern const struct pv_check_family pv_check_families[];

/* ---- for bodies ---- */
enum { PV_CK_GRAD = 1, PV_CK_NO_DY = 2, PV_CK_IS_DY = 4 };
pv_tape *pv_ck_tape(struct pv_check *k);
int pv_ck_case(const struct pv_check *k);               /* case number, from 0 */
bool pv_ck_small(const struct pv_check *k);             /* slow device: few voxels and channels */
static inline int pv_ck_most(const struct pv_check *k, int most, int small) { return pv_ck_small(k) ? small : most; }
int pv_ck_int(struct pv_check *k, int lo, int hi);      /* uniform in [lo, hi] */
double pv_ck_uniform(struct pv_check *k, double lo, double hi);
/* Random spatial sizes of at most `most` voxels per side (small: 4); with probability a half one side is 1. */
void pv_ck_sides(struct pv_check *k, int dims, int most, int s[3]);
/* Dimensions of a convolution's case: every fourth is 2D; on slow devices case 2. */
int pv_ck_conv_dims(const struct pv_check *k);
/* Sizes of a convolution's case on slow devices: few products, but among cases 0 to 2 channels of one and two blocks on
 * either side, one and two samples, sides of 1 and odd ones, each tiling of the CPU kernels. Gradients are written in
 * case 0, added in case 1, both in case 2, which costs least. up: a third of the sides. */
void pv_ck_small_conv(struct pv_check *k, bool up, int s[3], int *n, int *ci, int *co);
/* y and z of convolutions of one tap, which cost little: results of cases 0 to 2 have these, for tiles of rows. */
void pv_ck_small_one(const struct pv_check *k, const int yz[3][2], int stride, int s[3], int *n, int *co);
/* Inputs, uniform in [lo, hi); borrowed. PV_CK_GRAD: its gradient is checked. PV_CK_IS_DY: the body hands it to
 * pv_backward_from. BLOCKED ones of odd cases have no memory before they are pinned, except for gradients. */
pv_tensor *pv_ck_input(struct pv_check *k, struct pv_shape h, double lo, double hi, int flags);
pv_tensor *pv_ck_labels(struct pv_check *k, struct pv_shape h, int lo, int hi);     /* I32 in [lo, hi] */
/* An input with given content (n values in dense order, copied). */
pv_tensor *pv_ck_values(struct pv_check *k, struct pv_shape h, enum pv_dtype type, const double *v, int flags);
/* Registers a result and takes over its reference. NULL fails the case. PV_CK_NO_DY: no gradient enters here. */
void pv_ck_output(struct pv_check *k, const char *name, pv_tensor *t, int flags);
/* Keeps a tensor alive until the run's end (intermediate results); returns it. */
pv_tensor *pv_ck_keep(struct pv_check *k, pv_tensor *t);
/* Loosens this case's tolerances by a factor (say why where it is called). */
void pv_ck_loosen(struct pv_check *k, double factor);

/* ---- running ---- */
struct pv_check_opts {
    const struct pv_check_family *families;     /* NULL: pv_check_families */
    const char *family;             /* name, NULL = all */
    const char *op;                 /* name or part of it, NULL = all */
    const char *impl;               /* only this implementation of the ops that have several */
    int cases;                      /* per op, at least the fixed ones */
    int only_case;                  /* -1 = all */
    uint64_t seed;
    bool small;                     /* pv_ck_small(); no second run for equal bits */
    bool finite_differences;        /* check ref:0 by itself instead of a device */
    void (*row)(void *user, const char *op, const char *impl, int passed, int failed, double worst, double s);
    /* Every input of the first run of every case; may be NULL. */
    void (*input)(void *user, const char *op, int number, const pv_tensor *t);
    void *user;
};
struct pv_check_result { int passed, failed; };
/* `dev` should have been opened with guard and poison (without them it works in longer batches, which is what checkers
 * of synchronisation need). Failures are printed with a line that reproduces them. */
struct pv_check_result pv_check_run(pv_dev *dev, const struct pv_check_opts *o);

#endif
