/* SPDX-License-Identifier: Apache-2.0
 * Between conv.c (shapes, tape), conv_run.c (launches) and ref/conv.c (plain C). */
#ifndef OPS_CONV_IMPL_H
#define OPS_CONV_IMPL_H

#include "ops/norm_impl.h"
#include "ops/op.h"

/* One convolution: `fine` is the grid of the larger side (input of conv, output of conv_up), `coarse` the
 * other: coarse voxel o meets fine voxels o * stride + tap - pad. */
/* Simt kernels: one voxel per work-item; tiles in local memory; matrix products; those on matrix units (mixed
 * precision, read what is not rounded): all three in conv_tile.c, their weight gradients in conv_coop.c. */
enum conv_how { CONV_DIRECT, CONV_TILE, CONV_GEMM, CONV_COOP };     /* CONV_COOP: "coop" or "mma" */
struct conv_desc {
    int dims, ci, co;           /* of the op: conv ci at fine, co at coarse; conv_up ci at coarse, co at fine */
    int k[3], pad[3], stride;
    int up;                     /* 1: conv_up */
    bool half;                  /* operands are rounded to half precision, products summed in fp32 */
    enum conv_how how;
};
static inline int conv_taps(const struct conv_desc *d) { return d->k[0] * d->k[1] * d->k[2]; }

/* What a kernel reads: t, normalised on the way if there is a table (norm_pending). */
struct conv_in { pv_tensor *t; struct norm_pending norm; };

enum conv_pack_kind { PACK_FWD, PACK_DGRAD, PACK_STEM, PACK_WINO_FWD, PACK_WINO_DGRAD, PACK_BLAS_FWD, PACK_BLAS_DGRAD,
                      PACK_WINOG_FWD, PACK_WINOG_DGRAD };
/* Packed copy of w (d->half: rounded) and b for the kernels; borrowed, cached on w while its version holds. */
pv_tensor *conv_packed(pv_tensor *w, pv_tensor *b, const struct conv_desc *d, enum conv_pack_kind kind);

/* They are packed again at the next use. */
void conv_forget_packed(pv_tensor *w);

/* coarse (+)= gather from fine over `nin` channels; weights as packed. `fresh`: coarse gets its only content here, so
 * that kernels that can leave statistics with it. False: nothing is done, because a large map is split into launches
 * whose kernels do not normalise what they read. */
bool conv_run_down(const char *label, const struct conv_in *fine, pv_tensor *packed, pv_tensor *coarse,
                   const struct conv_desc *d, bool bias, bool accum, bool fresh);
/* fine (+)= from coarse. */
bool conv_run_up(const char *label, const struct conv_in *coarse, pv_tensor *packed, pv_tensor *fine,
                 const struct conv_desc *d, bool bias, bool accum, bool fresh);
/* dw[coarse channel][fine channel][tap] (+)= sum fine * coarse. */
bool conv_run_wgrad(const char *label, const struct conv_in *fine_in, const struct conv_in *coarse_in, pv_tensor *dw,
                    const struct conv_desc *d, bool accum);
/* out[c] (+)= sum over samples and voxels of BLOCKED x. */
void conv_run_chan_sum(const char *label, pv_tensor *x, pv_tensor *out, bool accum);

void stem_run_fwd(const char *label, pv_tensor *padded, pv_tensor *packed, pv_tensor *y,
                  const struct conv_desc *d, bool bias);
void stem_run_wgrad(const char *label, pv_tensor *padded, pv_tensor *dy, pv_tensor *dw,
                    const struct conv_desc *d, bool accum);
/* PLAIN x with a zero border of d->pad; a new reference. */
pv_tensor *stem_pad(pv_tensor *x, const struct conv_desc *d);

void head_run_fwd(pv_tensor *x, pv_tensor *w, pv_tensor *b, pv_tensor *y);
void head_run_dgrad(pv_tensor *dy, pv_tensor *w, pv_tensor *dx, bool accum);
void head_run_wgrad(pv_tensor *x, pv_tensor *dy, pv_tensor *dw, bool accum_w, pv_tensor *db, bool accum_b);

/* Winograd (conv_wino.c). `kind`: layers it exists for; `can`: the kernels take this one, whose memory is there (says
 * why not under PV_DEBUG=ops); `gains`: they are faster than the direct ones. */
bool wino_kind(const pv_tensor *src, const struct conv_desc *d);
bool wino_gains(const pv_tensor *src, const pv_tensor *dst);
bool wino_can(const pv_tensor *src, const pv_tensor *dst);
/* Frequency weights for wino_run: room for them (a new reference), and filling it from packed ones. */
pv_tensor *wino_new_weights(pv_tensor *w, const struct conv_desc *d, bool dgrad);
void wino_weights(pv_tensor *packed, pv_tensor *u, const struct conv_desc *d, bool dgrad);
/* `fresh`: dst gets its only content here, so statistics are left with it. */
void wino_run(const char *label, const struct conv_in *src, pv_tensor *u, pv_tensor *dst, bool bias, bool accum,
              bool fresh);
bool wino_can_wgrad(const pv_tensor *x, const pv_tensor *dy, const pv_tensor *dw);
void wino_run_wgrad(const char *label, const struct conv_in *x, pv_tensor *dy, pv_tensor *dw, bool accum,
                    pv_tensor *db, bool accum_bias);     /* db may be NULL */

/* The same for many channels at few voxels (conv_deep.c), from weights that are not packed; b may be NULL. They return
 * false where they cannot take a layer. */
bool deep_kind(const pv_tensor *src, const struct conv_desc *d);
bool deep_gains(const pv_tensor *src, const pv_tensor *dst, bool grads);
bool deep_run(const char *label, const struct conv_in *src, pv_tensor *w, pv_tensor *b, pv_tensor *dst,
              const struct conv_desc *d, bool dgrad, bool accum, bool fresh);
bool deep_run_wgrad(const char *label, const struct conv_in *x, pv_tensor *dy, pv_tensor *dw, bool accum, pv_tensor *db,
                    bool accum_bias);

/* Winograd for class simt (conv_winog.c); as above. What is read is not normalised on the way. */
bool winog_kind(const pv_tensor *src, const struct conv_desc *d);
bool winog_can(const pv_tensor *src, const pv_tensor *dst);
pv_tensor *winog_new_weights(pv_tensor *w, const struct conv_desc *d);
void winog_weights(pv_tensor *packed, pv_tensor *u, const struct conv_desc *d, bool dgrad);
void winog_run(const char *label, pv_tensor *src, pv_tensor *u, pv_tensor *dst, bool bias, bool accum);
bool winog_can_wgrad(const pv_tensor *x, const pv_tensor *dy, const pv_tensor *dw);
void winog_run_wgrad(const char *label, pv_tensor *x, pv_tensor *dy, pv_tensor *dw, bool accum);

/* Side 2, stride 2 (conv_two.c), both ways. `kind`: layers the kernels exist for. They return false where they cannot
 * take a layer (why: PV_DEBUG=ops). `fresh`: dst gets its only content here, so statistics are left with it. */
bool two_kind(const pv_tensor *fine, const pv_tensor *coarse, const struct conv_desc *d);
bool two_run(const char *label, const struct conv_in *in, pv_tensor *packed, pv_tensor *dst, const struct conv_desc *d,
             bool upward, bool bias, bool accum, bool fresh);
bool two_run_wgrad(const char *label, const struct conv_in *fine, const struct conv_in *coarse, pv_tensor *dw,
                   const struct conv_desc *d, bool accum, pv_tensor *db, bool accum_bias);     /* db may be NULL */

/* Matrix products by a library (conv_blas.c), for what gemm_kind() takes and every weight gradient. `there`: whether
 * the device has it (why not: PV_DEBUG=ops); `can`: this layer is taken; `in_trial`: it may be measured. The first of
 * the two latter compiles the library's kernels. Pads are those of the walk. */
bool blas_there(const pv_dev *dev);
bool blas_in_trial(pv_dev *dev);
bool blas_can(const pv_tensor *src, const pv_tensor *dst, const struct conv_desc *d, bool upward);
/* Weights as a matrix, biases behind it: room for them (a new reference), and filling it from packed ones. */
pv_tensor *blas_new_weights(pv_tensor *w, const struct conv_desc *d, bool dgrad);
void blas_weights(pv_tensor *packed, pv_tensor *m, const struct conv_desc *d, bool dgrad);
void blas_run(const char *label, pv_tensor *src, pv_tensor *weights, pv_tensor *dst, const struct conv_desc *d,
              bool upward, bool bias, bool accum);
bool blas_can_wgrad(const pv_tensor *fine, const pv_tensor *coarse, const pv_tensor *dw, const struct conv_desc *d);
void blas_run_wgrad(const char *label, pv_tensor *fine, pv_tensor *coarse, pv_tensor *dw, const struct conv_desc *d,
                    bool accum);

/* Launches l over as many samples at a time as fit. Buffers 0 to 4: in, packed weights, dst, the table that normalises
 * what is read (`row` elements a sample; 0: one for all), statistics (`units` elements a sample; NULL: none). groups[2]
 * is `planes` a sample. */
void conv_launch_samples(struct pv_launch *l, const struct conv_in *in, pv_tensor *packed, pv_tensor *dst, int64_t row,
                         pv_tensor *stats, int64_t units, int planes);

/* Sums of slabs: part [slabs][coarse blocks][fine blocks][taps][16][16] into dw, part [slabs][blocks][16] into db. */
void conv_sum_slabs(const char *label, pv_tensor *part, int slabs, pv_tensor *dw, int fine, int coarse, int taps,
                    bool accum);
void conv_sum_channels(const char *label, pv_tensor *part, int slabs, pv_tensor *db, bool accum);

/* Binds buffer 3 of a launch of class simt that is bound but for it: s->part, room for statistics of all of `fresh` in
 * units of s, if it is not NULL and the room can be bound. True: the launch is to write them. */
bool conv_stats_room(struct pv_launch *l, const pv_tensor *fresh, struct pv_stats *s);

/* Tiled simt kernels (conv_tile.c). `kind`: walks they exist for; `gains`: tiles are expected to be faster than matrix
 * products. A launch that is set up but for kernel and groups; false: the direct kernel must do it. `in`: src, and what
 * normalises it; n0: its first sample. `fresh`: dst, if the launch makes all of its content, with which statistics are
 * left; else NULL. */
struct a_conv;
struct a_wgrad;
bool tile_kind(const struct conv_desc *d);
bool gemm_kind(const struct conv_desc *d, bool upward);
bool coop_kind(const pv_dev *dev, const struct conv_desc *d, bool upward);
/* Name of the implementation on matrix units. NULL: the device has none, or imitates them and is not `forced`. */
const char *coop_name(const pv_dev *dev, bool forced);
bool tile_gains(const pv_tensor *src, const pv_tensor *dst);
bool conv_tile_run(pv_dev *dev, struct pv_launch *l, const struct a_conv *a, const struct conv_desc *d, bool upward,
                   const struct conv_in *in, int n0, pv_tensor *fresh);
/* Whether the kernels of d->how normalise what they read by a table of `rows` rows: of a walk, of a weight gradient. */
bool conv_may_normalise(const struct conv_desc *d, bool upward, int rows);
bool conv_grads_may_normalise(const struct conv_desc *d);
/* The same for weight gradients. Slabs of planes, and rows of the parts of a plane (a->rows), for `pairs` of blocks. */
bool conv_tile_wgrad(pv_dev *dev, struct pv_launch *l, struct a_wgrad *a, const struct conv_desc *d, int slabs);
int conv_tile_slabs(struct a_wgrad *a, int planes, int pairs);

/* Weight gradients on matrix units (conv_coop.c), which read what is not rounded: any layer of mixed precision, of any
 * size. `slabs` as conv_tile_slabs, after a->bb and a->vb are set. */
bool coop_grads_kind(const pv_dev *dev, const struct conv_desc *d);
int coop_slabs(const pv_dev *dev, struct a_wgrad *a, const struct conv_desc *d, int planes);
void coop_wgrad(pv_dev *dev, struct pv_launch *l, struct a_wgrad *a, const struct conv_desc *d, int slabs);

/* References: dense arrays of double on any grids. fine [n][cf][..], coarse [n][cc][..],
 * w [cc][cf][taps]. */
void ref_conv_down(const double *fine, const double *w, const double *b, double *coarse, int n, int cf, int cc,
                   const int sf[3], const int sc[3], const struct conv_desc *d, bool accum);
void ref_conv_up(const double *coarse, const double *w, const double *b, double *fine, int n, int cf, int cc,
                 const int sf[3], const int sc[3], const struct conv_desc *d, bool accum);
void ref_conv_wgrad(const double *fine, const double *coarse, double *dw, int n, int cf, int cc,
                    const int sf[3], const int sc[3], const struct conv_desc *d, bool accum);
void ref_chan_sum(const double *x, double *out, int n, int c, int64_t voxels, bool accum);

#endif
