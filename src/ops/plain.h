/* SPDX-License-Identifier: Apache-2.0
 * Walking PLAIN and FLAT tensors in launches that fit the device's bindings, and the sums behind every loss.
 * Not for use above ops/.
 *
 * Element (s, k, v) of a view - sample, channel, voxel - is stored at base + s * ss + k * ks + v * vs. */
#ifndef OPS_PLAIN_H
#define OPS_PLAIN_H

#include "ops/args/plain.h"
#include "ops/op.h"
#include "ops/reduce.h"

enum { PLAIN_VIEWS = 8 };

struct plain_view {
    pv_tensor *t;               /* NULL: not used; a stand-in is bound */
    bool whole;                 /* all of t is bound for every launch */
    int64_t base, ss, ks;
    int vs, c;                  /* c: channels that the kernel reads from k = 0 */
};
/* All channels of PLAIN x. FLAT x counts as one sample and one channel. NULL gives an unused view. */
struct plain_view plain_all(pv_tensor *x);
struct plain_view plain_whole(pv_tensor *x);

/* Launches: start with n, v, num and view[] set, then while (plain_next()). Whole samples if they fit, else
 * runs of whole chunks of one sample. view[0] is read by the kernel. */
struct plain_walk {
    pv_dev *dev;
    int n;
    int64_t v;
    int num;
    struct plain_view view[PLAIN_VIEWS];
    int n0, nn;                 /* this launch: samples */
    int64_t v0;                 /* first voxel, a multiple of PLAIN_CHUNK */
    int nv;
};
bool plain_next(struct plain_walk *w);
void plain_bind(const struct plain_walk *w, struct pv_launch *l);
#define PLAIN_SET(a, w) \
    ((a).n = (w).nn, (a).v = (w).nv, (a).n0 = (w).n0, (a).ch0 = (int)((w).v0 / PLAIN_CHUNK))

static inline int plain_chunks(int64_t v) { return (int)((v + PLAIN_CHUNK - 1) / PLAIN_CHUNK); }
/* Samples and voxels per channel of PLAIN or FLAT x. */
static inline int plain_n(const pv_tensor *x) { return x->h.layout == PV_FLAT ? 1 : x->h.n; }
static inline int64_t plain_v(const pv_tensor *x) { return x->h.layout == PV_FLAT ? x->h.n : pv_voxels(&x->h); }
/* A 4-byte PLAIN tensor of that type on x's grid with c channels (0: any). */
bool plain_is(const pv_tensor *t, const pv_tensor *grid, int c, enum pv_dtype type);

/* A kernel for both classes: [0] fat, work-groups of one; [1] simt, work-groups of 64. */
#define PLAIN_KERNEL(var, file, entry, bind, args) \
    static const struct pv_kernel var[2] = {{file, entry, bind, sizeof(struct args), {1, 1, 1}, NULL}, \
                                            {file, entry, bind, sizeof(struct args), {64, 1, 1}, NULL}}
static inline const struct pv_kernel *plain_kernel(const struct pv_kernel *both, const pv_dev *dev)
{
    return both + (pv_dev_get_info(dev)->cls != PV_FAT);
}
/* One work-item per voxel (simt) or per chunk (fat) of `rows` rows of nv voxels. */
void plain_run_voxels(const struct plain_walk *w, struct pv_launch *l, int rows);
/* One work-group per chunk of `rows` rows. */
void plain_run_chunks(const struct plain_walk *w, struct pv_launch *l, int rows);

/* ---- sums ---- */

/* Partial sums [rows][chunks of v]. */
pv_tensor *plain_parts(pv_dev *dev, int rows, int64_t v);
/* out[r] (+)= scale * sum_{j < cols} part[r * rs + (j / inner) * so + j % inner]. */
struct plain_rows { int rows, cols, inner, so, rs; float scale; bool accum; };
void plain_row_sum(const char *label, pv_tensor *part, pv_tensor *out, struct plain_rows r);

/* From sums [n][rows]: `c` sums of terms, then (masked) the sum of the mask, else `count` voxels each.
 * Makes the scalar loss and coef[n] = d loss / d (sum of terms of sample n), so that loss = sum coef * terms. */
struct plain_red { int n, rows, c; bool masked; int64_t count; int channels; struct pv_reduction red; };
pv_tensor *plain_finish(const char *label, pv_tensor *part, int64_t v, struct plain_red r, pv_tensor **coef);
/* The same on the reference device. */
double plain_ref_finish(const double *sums, double *coef, struct plain_red r);

#endif
