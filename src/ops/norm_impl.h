/* SPDX-License-Identifier: Apache-2.0
 * Between norm.c (checks, tape), norm_run.c (launches) and ref/norm.c (plain C). */
#ifndef OPS_NORM_IMPL_H
#define OPS_NORM_IMPL_H

#include "ops/norm.h"
#include "ops/op.h"

/* One call without its tensors; kept in nodes and remakes. */
struct norm_desc {
    enum pv_norm_kind kind;
    enum pv_drop_kind drop;
    int32_t batch_stats;        /* statistics come from x */
    float eps, momentum, slope;
    uint32_t keep;              /* random numbers below it survive */
    float keep_scale;           /* factor of survivors */
    uint32_t key[2], step, stream, sample;
};

/* A result of pv_norm_act that has no memory yet and is nothing but act(norm(x)): whoever can compute that on the fly
 * reads x and the table instead. rows: tables, one for all samples or one for each. */
struct norm_pending { pv_tensor *x, *table; float slope; int rows; };
bool norm_is_pending(const pv_tensor *y, struct norm_pending *p);

/* The table: FLAT [rows][blocks][scale, bias, mean, rstd][16], a row for all samples or one for each. */
static inline int norm_rows(const struct norm_desc *d, const struct pv_shape *h)
{
    return d->kind == PV_NORM_INSTANCE ? h->n : 1;
}
static inline int norm_table_size(const struct norm_desc *d, const struct pv_shape *h)
{
    return norm_rows(d, h) * pv_blocks(h->c) * 64;
}

/* What a table is made from. running_*: read in evaluation, updated with batch statistics; may be NULL. */
struct norm_stats { pv_tensor *gamma, *beta, *running_mean, *running_var; };

/* Where gradients go; NULL where none is wanted. `in_place`: dy's content stands in dx. */
struct norm_grads {
    pv_tensor *dx, *dres, *dgamma, *dbeta;
    bool add_x, add_res, add_gamma, add_beta, in_place;
};

void norm_run_table(pv_tensor *x, pv_tensor *table, const struct norm_stats *s, const struct norm_desc *d);
/* Pins the skip itself: it may be pending. */
void norm_run_apply(pv_tensor *x, pv_tensor *table, pv_tensor *res, pv_tensor *skip, pv_tensor *y,
                    const struct norm_desc *d);
/* dgamma, dbeta, and the table that norm_run_grad_apply needs with batch statistics (a new reference, NULL where
 * there is none). */
pv_tensor *norm_run_grad_table(pv_tensor *dy, pv_tensor *x, pv_tensor *table, pv_tensor *res,
                               const struct norm_grads *g, const struct norm_desc *d);
void norm_run_grad_apply(pv_tensor *dy, pv_tensor *x, pv_tensor *table, pv_tensor *res, pv_tensor *back,
                         const struct norm_grads *g, const struct norm_desc *d);

/* References on dense doubles [n][c][voxels] of x's shape h; tables as above. */
void ref_norm_table(const double *x, double *table, const double *gamma, const double *beta, double *running_mean,
                    double *running_var, const struct pv_shape *h, const struct norm_desc *d);
void ref_norm_apply(const double *x, const double *table, const double *res, const double *skip, double *y,
                    const struct pv_shape *h, const struct norm_desc *d);
/* The whole backward; dx may be dy. Pointers to what is not wanted are NULL. */
struct ref_norm_grads { double *dx, *dres, *dgamma, *dbeta; };
void ref_norm_grad(const double *dy, const double *x, const double *table, const double *res,
                   const struct ref_norm_grads *out, const struct norm_grads *g, const struct pv_shape *h,
                   const struct norm_desc *d);

#endif
