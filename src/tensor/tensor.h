/* SPDX-License-Identifier: Apache-2.0
 * Tensors: a shape, a type, a layout and a reference to device memory.
 *
 * Layouts on OpenCL and Vulkan devices:
 *   PLAIN    [n][c][x][y][z]                         images, logits, probabilities, labels, masks
 *   BLOCKED  [n][ceil(c/16)][x+2bx][y+2by][z+2bz][16] feature maps. The border (1 voxel on each side of
 *            every spatial axis that the network's kernels reach over) and the lanes beyond c are zero:
 *            every kernel relies on it, none writes anything else there.
 *   FLAT     [n]                                     parameters, gradients, prototypes, statistics
 * On the reference device all three are [n][c][x][y][z] in double, without border or blocks.
 *
 * Two-dimensional maps have dims 2: x is 1 and has no border.
 *
 * Tensors are reference-counted. Functions borrow what they are given and return references that the
 * caller owns, unless they say otherwise. */
#ifndef TENSOR_H
#define TENSOR_H

#include "dev/dev.h"

enum pv_layout { PV_PLAIN, PV_BLOCKED, PV_FLAT };
enum pv_dtype { PV_F32, PV_F16, PV_I32 };   /* PV_F16: storage only */
enum { PV_LANES = 16 };

struct pv_shape {
    enum pv_layout layout;
    int dims;                   /* 3 or 2 */
    int n, c;
    int s[3];                   /* x, y, z */
    int b[3];                   /* border per axis, 0 unless BLOCKED */
};
struct pv_shape pv_plain(int dims, int n, int c, const int s[3]);
struct pv_shape pv_blocked(int dims, int n, int c, const int s[3]);
struct pv_shape pv_flat(int n);
bool pv_shape_eq(const struct pv_shape *a, const struct pv_shape *b);      /* all fields */
bool pv_same_grid(const struct pv_shape *a, const struct pv_shape *b);     /* n and s */
static inline int pv_blocks(int c) { return (c + PV_LANES - 1) / PV_LANES; }
static inline int64_t pv_voxels(const struct pv_shape *h) { return (int64_t)h->s[0] * h->s[1] * h->s[2]; }
int64_t pv_shape_count(const struct pv_shape *h);       /* logical elements: n * c * voxels */
int64_t pv_shape_plane(const struct pv_shape *h);       /* stored elements of one x-plane of one block / channel */
int64_t pv_shape_block(const struct pv_shape *h);       /* of one block (BLOCKED) or channel (PLAIN) */
int64_t pv_shape_sample(const struct pv_shape *h);      /* of one sample */
int64_t pv_shape_stored(const struct pv_shape *h);      /* of all */
char *pv_shape_text(const struct pv_shape *h, char out[80]);

typedef struct pv_tensor pv_tensor;
typedef struct pv_tape pv_tape;

/* How to compute a tensor's content again, so that its memory can be given up between forward and
 * backward. `fn` writes dst->buf from in[]. */
struct pv_remake {
    void (*fn)(pv_tensor *dst, struct pv_remake *r);
    pv_tensor *in[6];
    int num_in;
    unsigned own_pins;          /* bit i: fn pins in[i] itself, the others are pinned for it */
    char aux[96];
};

/* Channel statistics that the op which made a BLOCKED map left behind: for every unit of voxels (of unit[] voxels
 * along each axis, fewer at the ends) [samples][blocks][units in order x, y, z][mean, sum of squared deviations][16].
 * samples, grid: n and the map's sides, or 1 and sides of as many voxels as all samples have, in any order. */
struct pv_stats { pv_tensor *part; int samples, grid[3], unit[3]; };

/* data: NULL while given up. many: was asked for again after it had been given up. */
struct pv_packed { int kind; bool many; uint64_t version; pv_tensor *data; struct pv_packed *next; };

struct pv_tensor {
    struct pv_shape h;
    enum pv_dtype type;
    pv_dev *dev;
    pv_buf *buf;                /* NULL while given up (pv_tensor_pin brings it back) */
    size_t off;                 /* first element, in elements of buf */
    int refs;
    int saved, pins;            /* of refs: held by the tape only for backward; users right now */
    struct pv_remake *remake;
    struct pv_stats *stats;     /* of the content; NULL: unknown. Owned */
    /* A gradient: sums of parts of the content, FLAT [n][blocks][parts][16], by the op that wrote it. NULL: unknown */
    pv_tensor *sums;
    /* ---- gradients (tape.h) ---- */
    bool needs_grad;
    bool grad_valid;            /* grad holds a first contribution */
    pv_tensor *grad;
    /* ---- parameters: packed copies of a weight, valid while *version has not changed ---- */
    const uint64_t *version;
    struct pv_packed *packed;
};

/* Content undefined (NaN with the device's poison option), border and spare lanes zero. NULL: device failed. */
pv_tensor *pv_tensor_new(pv_dev *dev, struct pv_shape h, enum pv_dtype type);
/* Without memory: the first pin makes the content by the remake that is set next. */
pv_tensor *pv_tensor_lazy(pv_dev *dev, struct pv_shape h, enum pv_dtype type);
pv_tensor *pv_tensor_zeros(pv_dev *dev, struct pv_shape h, enum pv_dtype type);
pv_tensor *pv_tensor_scalar(pv_dev *dev, float value);
/* n elements of a FLAT tensor from `first`, sharing memory. */
pv_tensor *pv_tensor_view(pv_tensor *flat, size_t first, int n);
/* Samples [first, first + n) of a PLAIN or BLOCKED tensor, sharing memory; no gradient flows through it. */
pv_tensor *pv_tensor_samples(pv_tensor *t, int first, int n);
/* The elements of a PLAIN or FLAT tensor in another PLAIN or FLAT shape of as many, sharing memory; no gradient flows
 * through it. */
pv_tensor *pv_tensor_reshaped(pv_tensor *t, struct pv_shape h);
pv_tensor *pv_tensor_ref(pv_tensor *t);                 /* NULL gives NULL */
void pv_tensor_put(pv_tensor **t);                      /* gives up one reference, sets NULL; NULL safe */

/* Saved references: a tensor that has a remake and is only held by them gives its memory back. */
pv_tensor *pv_tensor_save(pv_tensor *t);
void pv_tensor_unsave(pv_tensor **t);
bool pv_tensor_pin(pv_tensor *t);                       /* memory is there until unpin; false: device failed */
void pv_tensor_unpin(pv_tensor *t);
void pv_tensor_forget(pv_tensor *t);                    /* gives memory up that can be made again; NULL safe */
/* Gives up packed copies (all, or those that were used once so far); they are made again when asked for. NULL safe. */
void pv_tensor_drop_packed(pv_tensor *t, bool all);
/* Gives the memory of a map up for good if the node that made it is all that holds it and does not read it. */
void pv_tensor_drop_unread(pv_tensor *t);
/* Takes over the reference s->part. */
void pv_tensor_set_stats(pv_tensor *t, const struct pv_stats *s);
/* Takes over `r` (made with pv_new; its inputs are references the remake owns). */
void pv_tensor_set_remake(pv_tensor *t, struct pv_remake *r);

size_t pv_tensor_bytes(const pv_tensor *t);             /* stored, on its device */
double *pv_ref_data(const pv_tensor *t);                /* reference device only */

/* Host copies are dense [n][c][x][y][z]. Writing queues (src is free on return), reading waits. F16 tensors
 * convert; I32 tensors round. */
void pv_tensor_write(pv_tensor *t, const float *src);
void pv_tensor_write_f64(pv_tensor *t, const double *src);
void pv_tensor_write_i32(pv_tensor *t, const int32_t *src);
bool pv_tensor_read(pv_tensor *t, float *dst);
bool pv_tensor_read_f64(pv_tensor *t, double *dst);
bool pv_tensor_read_i32(pv_tensor *t, int32_t *dst);
void pv_tensor_zero(pv_tensor *t);
void pv_tensor_copy(pv_tensor *dst, pv_tensor *src);    /* same shape and type */

/* ---- launching on tensors ---- */
/* Binds all of t, or samples [first, first + n), as buffer i. */
void pv_bind(struct pv_launch *l, int i, pv_tensor *t);
void pv_bind_samples(struct pv_launch *l, int i, pv_tensor *t, int first, int n);
/* Binds stored elements [first, first + count) of t. */
void pv_bind_range(struct pv_launch *l, int i, pv_tensor *t, int64_t first, int64_t count);
/* How many of `left` units, starting at unit `first` of each tensor, one launch can take so that every
 * binding stays within the device's limit and one segment. unit[k]: stored elements of a unit in t[k]; 0: t[k]
 * is bound whole and does not count. extra[k]: elements read beyond the last unit (halo). At least 1 (then
 * pv_run reports what does not fit). */
int pv_units_per_launch(pv_dev *dev, int num, pv_tensor *const *t, const int64_t *unit, const int64_t *extra,
                        int64_t first, int left);

#endif
