/* SPDX-License-Identifier: Apache-2.0
 * Between proto.c (shapes, tape), proto_run.c (launches) and ref/proto.c (plain C). */
#ifndef OPS_PROTO_IMPL_H
#define OPS_PROTO_IMPL_H

#include "ops/op.h"

/* Parameters of the ops on maps, also what backward keeps. */
struct proto_desc {
    int n, d, k;                /* samples, channels of f, prototypes of a set (or channels of a class map) */
    int kk;                     /* prototypes per class (cosine_max), 0 otherwise; rows of a set: k * max(kk, 1) */
    int sets;                   /* 1 or n */
    int64_t voxels;
    float scale, eps;
    bool pooled, mean, norm, per;
};
static inline int proto_rows(const struct proto_desc *s) { return s->k * (s->kk ? s->kk : 1); }

/* ---- launches ---- */

enum proto_pack_mode { PROTO_COPY, PROTO_UNIT, PROTO_MEAN };
/* Rows of p padded to whole blocks, a new reference; *c receives a constant per row (kernels_cl/proto_aux.cl,
 * proto_pack), a new reference. m, wsum: PROTO_MEAN only. */
pv_tensor *proto_pack(const char *label, pv_tensor *p, pv_tensor *m, pv_tensor *wsum, const struct proto_desc *s,
                      enum proto_pack_mode mode, pv_tensor **c);

/* out [n][k] (+)= <f, q_k> + c_k; or, with r (PLAIN [n][1], made here), scaled cosines. out NULL: r only. */
void proto_run_dots(const char *label, pv_tensor *f, pv_tensor *q, pv_tensor *c, pv_tensor *r, pv_tensor *out,
                    const struct proto_desc *s, bool accum);
void proto_run_cosmax(const char *label, pv_tensor *f, pv_tensor *q, pv_tensor *r, pv_tensor *out,
                      pv_tensor *win, const struct proto_desc *s);

/* df (+)= alpha f + sum_k beta_k q (kernels_cl/proto.cl, proto_apply). y and r given: gradient of a cosine with
 * dy = w. map given: alpha. sel: rows chosen per voxel among s->kk per channel. w may be NULL: no second term. */
struct proto_apply {
    pv_tensor *f, *w, *y, *r, *map, *sel, *q, *out;
    bool accum;
};
void proto_run_apply(const char *label, const struct proto_apply *p, const struct proto_desc *s);

/* out [sets][rows][d] = sum_v w_k r f (r may be NULL: 1; sel may be NULL, else class maps w, see proto_pool),
 * divided by W + eps if s->mean; wsum [sets][rows] may be NULL. sets is 1 if s->pooled, else n. */
void proto_run_pool(const char *label, pv_tensor *f, pv_tensor *w, pv_tensor *r, pv_tensor *sel, pv_tensor *out,
                    pv_tensor *wsum, const struct proto_desc *s);
void proto_run_assign(const char *label, pv_tensor *f, pv_tensor *idx, pv_tensor *sums, pv_tensor *counts,
                      const struct proto_desc *s);
/* dp (+)= gradient of cosines from h = sum dy f / |f|, c of PROTO_UNIT. */
void proto_run_dcos(const char *label, pv_tensor *h, pv_tensor *p, pv_tensor *c, pv_tensor *dp,
                    const struct proto_desc *s, bool accum);

void proto_run_l2(const char *label, pv_tensor *f, pv_tensor *r, pv_tensor *y, const struct proto_desc *s);
void proto_run_l2_bwd(const char *label, pv_tensor *f, pv_tensor *dy, pv_tensor *r, pv_tensor *df,
                      const struct proto_desc *s, bool accum);

/* Distance maps dd, tt, r (r only if s->norm), then loss and coef [k]. */
void proto_run_dist(const char *label, pv_tensor *f, pv_tensor *q, pv_tensor *idx, pv_tensor *r, pv_tensor *dd,
                    pv_tensor *tt, const struct proto_desc *s);
void proto_run_dist_sum(const char *label, pv_tensor *dd, pv_tensor *idx, pv_tensor *loss, pv_tensor *coef,
                        const struct proto_desc *s);
void proto_run_dist_coef(const char *label, pv_tensor *dd, pv_tensor *tt, pv_tensor *r, pv_tensor *idx,
                         pv_tensor *coef, pv_tensor *dl, pv_tensor *alpha, pv_tensor *beta,
                         const struct proto_desc *s);

/* FLAT: value[0] = mul * |p - q|^2; dp (+)= 2 mul dl (p - q); out (+)= g p[i mod period] + h q (h 0: q unused);
 * out = g * sum over sets; EMA. */
void proto_run_dist2(pv_tensor *p, pv_tensor *q, pv_tensor *wp, pv_tensor *wq, float mul, pv_tensor *value,
                     pv_tensor *valid);
void proto_run_dist2_bwd(pv_tensor *p, pv_tensor *q, float mul, pv_tensor *dl, pv_tensor *valid, pv_tensor *dp,
                         bool accum);
void proto_run_lin(const char *label, pv_tensor *p, float g, pv_tensor *q, float h, int period, pv_tensor *out,
                   bool accum);
void proto_run_mean(pv_tensor *p, int sets, pv_tensor *out);
void proto_run_ema(pv_tensor *p, pv_tensor *sums, pv_tensor *counts, float eta);

/* ---- references: dense arrays of double. f [n][d][v], maps [n][k][v], p [sets][rows][d], I32 as double ---- */
void ref_proto_pool(const double *f, const double *w, double *p, double *wsum, const struct proto_desc *s);
void ref_proto_pool_bwd(const double *f, const double *w, const double *p, const double *wsum, const double *dp,
                        double *df, bool af, double *dw, bool aw, const struct proto_desc *s);
void ref_proto_l2(const double *f, double *y, const struct proto_desc *s);
void ref_proto_l2_bwd(const double *f, const double *dy, double *df, bool accum, const struct proto_desc *s);
/* win NULL: one channel per prototype. */
void ref_proto_cosine(const double *f, const double *p, double *y, double *win, const struct proto_desc *s);
void ref_proto_cosine_bwd(const double *f, const double *p, const double *win, const double *dy, double *df,
                          bool af, double *dp, bool ap, const struct proto_desc *s);
/* Inner products [n][k]. */
void ref_proto_dots(const double *f, const double *p, double *y, const struct proto_desc *s);
void ref_proto_dots_bwd(const double *f, const double *p, const double *dy, double *df, bool af, double *dp, bool ap,
                        const struct proto_desc *s);
void ref_proto_assign(const double *f, const double *idx, double *sums, double *counts, const struct proto_desc *s);
/* coef [k]: what the mean multiplies the distances of index j with. */
void ref_proto_dist(const double *f, const double *p, const double *idx, double *loss, double *coef,
                    const struct proto_desc *s);
void ref_proto_dist_bwd(const double *f, const double *p, const double *idx, const double *coef, double dl,
                        double *df, bool accum, const struct proto_desc *s);

#endif
