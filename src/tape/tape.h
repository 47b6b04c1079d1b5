/* SPDX-License-Identifier: Apache-2.0
 * The tape: what was computed, in order, and the way back.
 *
 * Ops record a node when the tape is recording and an input needs a gradient. pv_backward() walks the nodes
 * from last to first. Gradient rule: the first contribution writes, later ones add; an op asks for the
 * place of a gradient with pv_grad_slot() and must honour `accum`, or hands over a finished tensor with
 * pv_grad_give(). */
#ifndef TAPE_H
#define TAPE_H

#include "tensor/tensor.h"

enum { PV_NODE_IN = 10, PV_NODE_OUT = 4, PV_NODE_SAVED = 12, PV_NODE_AUX = 160 };

struct pv_node {
    const char *op;
    void (*backward)(pv_tape *t, struct pv_node *n);
    pv_tensor *in[PV_NODE_IN];          /* inputs whose gradients may be wanted */
    pv_tensor *out[PV_NODE_OUT];
    pv_tensor *saved[PV_NODE_SAVED];    /* held by pv_tensor_save */
    int num_in, num_out, num_saved;
    struct pv_node *prev;
    char aux[PV_NODE_AUX] __attribute__((aligned(8)));   /* the op's parameters */
};

struct pv_tape {
    pv_dev *dev;
    bool recording;
    bool mixed;                 /* convolutions round their operands to half (docs/precision.md) */
    uint64_t seed;              /* of the run */
    uint64_t step;              /* training step: part of the key of every random number */
    uint32_t pass;              /* forward pass within the step, counted by the caller */
    uint32_t layer;             /* counts layers with random numbers within a pass */
    int first_sample;           /* global number of the first sample (data parallel) */
    const char *force_impl;     /* name of the implementation that ops must use, NULL = first that fits */
    struct pv_tune *tune;       /* measured choices (ops/tune.h), NULL: each op's default; borrowed */
    struct pv_node *last;
    int num_nodes;
};

pv_tape *pv_tape_new(pv_dev *dev);
void pv_tape_free(pv_tape **t);
void pv_tape_clear(pv_tape *t);         /* forgets all nodes (a step without backward, a failure) */
/* Starts forward pass `pass`: random numbers of layers are keyed by it and by their order in the pass. */
void pv_tape_pass(pv_tape *t, uint32_t pass);

/* Whether an op with these inputs must record. NULL inputs are ignored. */
bool pv_tape_wants(const pv_tape *t, int num, pv_tensor *const *in);
/* A new node; inputs and outputs are referenced, outputs marked as needing gradients. `aux_bytes` of aux are
 * copied. Only call if pv_tape_wants(). */
struct pv_node *pv_tape_record(pv_tape *t, const char *op, void (*backward)(pv_tape *, struct pv_node *),
                               int num_in, pv_tensor *const *in, int num_out, pv_tensor *const *out,
                               const void *aux, size_t aux_bytes);
void pv_node_save(struct pv_node *n, pv_tensor *t);     /* appends to saved; t may be NULL */

/* In backward: */
static inline pv_tensor *pv_out_grad(const struct pv_node *n, int i) { return n->out[i]->grad; }
/* The gradient of x to write to, made if needed; *accum tells whether to add. NULL: x needs none. Borrowed. */
pv_tensor *pv_grad_slot(pv_tape *t, pv_tensor *x, bool *accum);
/* Hands g (one reference) over as a contribution to x's gradient; adds and frees it if there is one already.
 * g may be the same memory as a gradient that its owner no longer needs. */
void pv_grad_give(pv_tape *t, pv_tensor *x, pv_tensor *g);
/* True if out i's gradient belongs to the node alone, so that it may be overwritten and given on. */
bool pv_grad_is_own(const struct pv_node *n, int i);

/* Seeds d(loss) = seed (device scalar; NULL: 1) and walks back, freeing the nodes. */
void pv_backward(pv_tape *t, pv_tensor *loss, pv_tensor *seed);
/* The same with a given gradient for every listed output (checks). Gradients are borrowed. */
void pv_backward_from(pv_tape *t, int num, pv_tensor *const *out, pv_tensor *const *grad);

/* Adding tensors of one shape, set by ops/ at start because the tape lies below it: dst += src. */
extern void (*pv_tape_add)(pv_tensor *dst, pv_tensor *src);

#endif
