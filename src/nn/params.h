/* SPDX-License-Identifier: Apache-2.0
 * Parameters of one network: fp32 masters in PyTorch's registration order in one flat buffer, with a flat buffer
 * of gradients beside it and another of statistics (batch norm's running mean and variance). Optimiser, EMA,
 * checkpoints and gradient exchange work on the flat buffers; ops see views. */
#ifndef NN_PARAMS_H
#define NN_PARAMS_H

#include "base/safetensors.h"
#include "tensor/tensor.h"

/* How a parameter starts. FAN_IN: uniform in +-1/sqrt(fan_in), PyTorch's default for convolutions and their
 * biases; KAIMING: normal with variance 2 / fan_in (torch kaiming_normal_, fan_in, ReLU); NORMAL: normal with
 * standard deviation `value`. */
enum pv_init_kind { PV_INIT_CONST, PV_INIT_FAN_IN, PV_INIT_KAIMING, PV_INIT_NORMAL };
struct pv_init { enum pv_init_kind kind; double value; int fan_in; };

struct pv_param {
    char *name;                 /* state-dict key, "block_one.conv.0.weight" */
    int ndim, shape[5];
    int len;
    size_t first;               /* element in its flat buffer */
    bool buffer;                /* statistics: not trained, in `stats` */
    struct pv_init init;
    pv_tensor *t;               /* view; its grad is a view of the flat gradients (parameters only) */
};

typedef struct pv_params pv_params;
struct pv_params {
    pv_dev *dev;
    struct pv_param *v;
    int num, cap;
    size_t len, stats_len;      /* elements */
    pv_tensor *flat, *grad, *stats;     /* grad: NULL until pv_params_want_grad */
    uint64_t version;           /* bumped by whoever writes parameters: packed copies depend on it */
    bool ready;
};

pv_params *pv_params_new(pv_dev *dev);
void pv_params_free(pv_params **p);

/* Declaring, before pv_params_finish(); return the index. `name` is copied. */
int pv_param_add(pv_params *p, const char *name, int ndim, const int *shape, struct pv_init init);
int pv_stat_add(pv_params *p, const char *name, int len, double value);
/* Makes the buffers and views and fills them by the inits; the random numbers depend on (seed, net, index). */
bool pv_params_finish(pv_params *p, uint64_t seed, const char *net);
/* Gives parameters gradients (a network that is trained). Networks without are teachers: ops record nothing. */
bool pv_params_want_grad(pv_params *p);
void pv_params_zero_grad(pv_params *p);     /* marks all gradients as empty; queues nothing */
void pv_params_changed(pv_params *p);       /* after writing p->flat */

static inline pv_tensor *pv_param_tensor(const pv_params *p, int i) { return i < 0 ? NULL : p->v[i].t; }

/* Calls fn for every longest run of parameters whose gradients hold something: [first, first + n) elements. */
void pv_params_grad_runs(pv_params *p, void (*fn)(void *user, size_t first, int n), void *user);

bool pv_params_copy(pv_params *dst, const pv_params *src, bool stats);      /* same network */

/* Host copies, index i. Reading waits. */
bool pv_param_read(const pv_params *p, int i, float *dst);
void pv_param_write(pv_params *p, int i, const float *src);

/* Adds all parameters and statistics to a safetensors file under prefix + name; *keep receives memory that must
 * live until pv_st_write and is freed by the caller with pv_free. Also writes num_batches_tracked (0) where PyTorch
 * expects it if `torch`. */
bool pv_params_put(const pv_params *p, pv_st_writer *w, const char *prefix, bool torch, void **keep);
/* The tensor of parameter `name` under any of the names that pv_params_get tries; NULL, without a fault, if none. */
const struct pv_st_tensor *pv_params_find(const pv_st_file *f, const char *prefix, const char *name);
/* Reads them back. Names are tried with the prefix, then flat, then with "encoder." / "decoder." and "module."
 * in front; missing or differently shaped tensors are a fault that names file, tensor, both shapes. */
bool pv_params_get(pv_params *p, pv_st_file *f, const char *prefix);

#endif
