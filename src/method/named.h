/* SPDX-License-Identifier: Apache-2.0
 * Named losses: single terms of the methods, evaluated on given tensors, forward and gradients, on any device.
 * `protovox loss` and the golden tests (tests/golden/loss/) use them. A method's file defines its terms beside the
 * functions that its step calls and ends with a list of them; a row in named.c joins the lists.
 *
 * Files hold for every case "CASE.in.NAME" (inputs); expected or computed are "CASE.out.NAME" and
 * "CASE.grad.NAME" (gradient of output "loss" by an input). Options are metadata "CASE.OPTION". A file that is not
 * split into cases leaves "CASE." out. */
#ifndef METHOD_NAMED_H
#define METHOD_NAMED_H

#include "base/safetensors.h"
#include "method/method.h"

/* PLAIN F32 [n, c, x, y, z]; LABEL: PLAIN I32 [n, 1, x, y, z]; MAP: a feature map, stored as PLAIN in files, BLOCKED
 * on the device; FLAT: any shape, [k, d] for prototypes. Four axes mean 2D: [n, c, y, z]. */
enum pv_arg_kind { PV_ARG_PLAIN, PV_ARG_LABEL, PV_ARG_MAP, PV_ARG_FLAT };
struct pv_named_arg {
    const char *name;           /* NULL ends */
    enum pv_arg_kind kind;
    const char *shape;          /* "[n, classes, x, y, z]", for --list */
    bool grad, optional;        /* a gradient is returned; may be absent */
    const char *help;
};
struct pv_named_opt { const char *name; double def; const char *text_def, *help; };     /* as pv_method_opt */

struct pv_named_call;
struct pv_named_loss {
    const char *name;           /* "METHOD.TERM" */
    const char *summary;        /* formula in a line, with paper and equation */
    const struct pv_named_arg *args;
    const struct pv_named_opt *opts;        /* NULL: none */
    void (*eval)(struct pv_named_call *c);
};
extern const struct pv_named_loss *const *const pv_named_lists[];          /* named.c, NULL-terminated */
const struct pv_named_loss *pv_named_find(const char *name);               /* PV_FAULT_USAGE with near names */

/* ---- for eval ---- */
struct pv_named_call {
    const struct pv_named_loss *loss;
    pv_tape *tape;              /* recording */
    struct pv_scope scope;      /* released after the gradients were read */
    struct pv_named_data *data;
};
pv_tensor *pv_named_in(struct pv_named_call *c, const char *name);         /* borrowed; NULL if optional and absent */
double pv_named_num(const struct pv_named_call *c, const char *name);
bool pv_named_is(const struct pv_named_call *c, const char *name, const char *word);
/* Result; borrowed (keep it in the scope). "loss" (one element) is what gradients are of. */
void pv_named_out(struct pv_named_call *c, const char *name, pv_tensor *t);

/* ---- evaluating ---- */
struct pv_named_value { char name[80]; int ndim; int64_t shape[5]; double *v; };    /* name: "out.loss", "grad.z" */
struct pv_named_result { int n; struct pv_named_value v[40]; };
/* Evaluates one case of a file: prefix "" or "CASE.". Missing or misshapen inputs are faults naming file and tensor.
 * sets: "option=value" that override the file's metadata. */
bool pv_named_run(pv_dev *dev, const struct pv_named_loss *l, pv_st_file *f, const char *prefix,
                  const struct pv_strs *sets, struct pv_named_result *out);
void pv_named_result_free(struct pv_named_result *r);
/* The distinct prefixes of a file ("" for plain names). */
void pv_named_cases(pv_st_file *f, struct pv_strs *prefixes);

#endif
