/* SPDX-License-Identifier: Apache-2.0
 * Layers: which parameters an op uses, and how it is called. */
#ifndef NN_LAYERS_H
#define NN_LAYERS_H

#include "nn/params.h"
#include "ops/norm.h"

/* DEFAULT: PyTorch's. KAIMING: kaiming_normal_ weights of convolutions and transposed ones, default biases.
 * KAIMING_CONV: the same for convolutions only (CRLN). XAVIER_CONV: xavier_normal_ weights of convolutions (the second
 * network of CPS in SSL4MIS). */
enum pv_init_scheme { PV_SCHEME_DEFAULT, PV_SCHEME_KAIMING, PV_SCHEME_KAIMING_CONV, PV_SCHEME_XAVIER_CONV };
/* By its name in configurations: default, kaiming, kaiming_conv, xavier_conv; false, without a fault, if it is none. */
bool pv_init_scheme_find(const char *name, enum pv_init_scheme *s);

struct pv_conv_layer { int w, b, co, k, stride, pad; bool up, head; };
struct pv_norm_layer { enum pv_norm_kind kind; int gamma, beta, mean, var; };

/* Declare parameters "NAME.weight", "NAME.bias" (b < 0 without bias). */
struct pv_conv_layer pv_conv_declare(pv_params *p, const char *name, int dims, int ci, int co, int k, int stride,
                                     bool bias, enum pv_init_scheme s);
struct pv_conv_layer pv_up_declare(pv_params *p, const char *name, int dims, int ci, int co, int k, bool bias,
                                   enum pv_init_scheme s);
struct pv_conv_layer pv_head_declare(pv_params *p, const char *name, int dims, int ci, int co,
                                     enum pv_init_scheme s);
/* "NAME.weight", "NAME.bias", "NAME.running_mean", "NAME.running_var" for batch norm; nothing for instance norm
 * without affine and for none. */
struct pv_norm_layer pv_norm_declare(pv_params *p, const char *name, enum pv_norm_kind kind, int c);

pv_tensor *pv_conv_call(pv_tape *t, const pv_params *p, const struct pv_conv_layer *l, pv_tensor *x);

/* What surrounds a normalisation in a call; zero means plain norm + ReLU. */
struct pv_norm_extra {
    float slope;                        /* leaky ReLU; 1: no activation */
    pv_tensor *residual, *skip;         /* borrowed */
    enum pv_drop_kind drop;
    float drop_p;
};
/* train: batch statistics, running ones updated. */
pv_tensor *pv_norm_call(pv_tape *t, const pv_params *p, const struct pv_norm_layer *l, pv_tensor *x, bool train,
                        const struct pv_norm_extra *e);

/* Replaces *x by y (one reference each): x = f(x) chains. */
static inline void pv_chain(pv_tensor **x, pv_tensor *y)
{
    pv_tensor_put(x);
    *x = y;
}

#endif
