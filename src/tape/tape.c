/* SPDX-License-Identifier: Apache-2.0
 * Recording and walking back. A node's outputs are referenced as saved, so that a forward result that nobody
 * else holds can give its memory back when it knows how to be remade. */
#include "tape/tape.h"

#include <string.h>

void (*pv_tape_add)(pv_tensor *dst, pv_tensor *src);

pv_tape *pv_tape_new(pv_dev *dev)
{
    pv_tape *t = pv_new(pv_tape);
    t->dev = dev;
    t->recording = true;
    return t;
}

static void free_node(struct pv_node *n)
{
    for (int i = 0; i < n->num_in; i++)
        pv_tensor_unsave(&n->in[i]);
    for (int i = 0; i < n->num_saved; i++)
        pv_tensor_unsave(&n->saved[i]);
    for (int i = 0; i < n->num_out; i++)
        pv_tensor_unsave(&n->out[i]);
    pv_free(n);
}

void pv_tape_clear(pv_tape *t)
{
    while (t->last) {
        struct pv_node *n = t->last;
        t->last = n->prev;
        free_node(n);
    }
    t->num_nodes = 0;
}

void pv_tape_free(pv_tape **tp)
{
    if (!*tp)
        return;
    pv_tape_clear(*tp);
    pv_free(*tp);
    *tp = NULL;
}

void pv_tape_pass(pv_tape *t, uint32_t pass)
{
    t->pass = pass;
    t->layer = 0;
}

bool pv_tape_wants(const pv_tape *t, int num, pv_tensor *const *in)
{
    for (int i = 0; t->recording && i < num; i++)
        if (in[i] && in[i]->needs_grad)
            return true;
    return false;
}

struct pv_node *pv_tape_record(pv_tape *t, const char *op, void (*backward)(pv_tape *, struct pv_node *),
                               int num_in, pv_tensor *const *in, int num_out, pv_tensor *const *out,
                               const void *aux, size_t aux_bytes)
{
    struct pv_node *n = pv_new(struct pv_node);
    n->op = op;
    n->backward = backward;
    n->num_in = num_in;
    n->num_out = num_out;
    for (int i = 0; i < num_in; i++)
        n->in[i] = pv_tensor_save(in[i]);
    for (int i = 0; i < num_out; i++) {
        n->out[i] = pv_tensor_save(out[i]);
        if (out[i])
            out[i]->needs_grad = true;
    }
    if (aux_bytes)
        memcpy(n->aux, aux, aux_bytes);
    n->prev = t->last;
    t->last = n;
    t->num_nodes++;
    return n;
}

void pv_node_save(struct pv_node *n, pv_tensor *x)
{
    n->saved[n->num_saved++] = pv_tensor_save(x);
}

/* A gradient that several tensors share is copied before one of them adds to it. */
static void unshare(pv_tape *t, pv_tensor *x)
{
    if (!x->grad || x->grad->refs == 1 || x->grad->h.layout == PV_FLAT)
        return;
    pv_tensor *own = pv_tensor_new(t->dev, x->h, x->type);
    pv_tensor_copy(own, x->grad);
    pv_tensor_put(&x->grad);
    x->grad = own;
}

pv_tensor *pv_grad_slot(pv_tape *t, pv_tensor *x, bool *accum)
{
    *accum = false;
    if (!x || !x->needs_grad || pv_dev_failed(t->dev))
        return NULL;
    if (!x->grad)
        x->grad = pv_tensor_new(t->dev, x->h, x->type);
    *accum = x->grad_valid;
    if (*accum)
        unshare(t, x);
    if (x->grad)
        pv_tensor_put(&x->grad->sums);
    x->grad_valid = true;
    return x->grad;
}

void pv_grad_give(pv_tape *t, pv_tensor *x, pv_tensor *g)
{
    if (x && g && x->needs_grad && !pv_dev_failed(t->dev)) {
        if (!x->grad) {
            x->grad = g;
            x->grad_valid = true;
            return;
        }
        pv_tensor_put(&x->grad->sums);
        if (x->grad_valid) {
            unshare(t, x);
            pv_tape_add(x->grad, g);
        } else {
            pv_tensor_copy(x->grad, g);
        }
        x->grad_valid = true;
    }
    pv_tensor_put(&g);
}

bool pv_grad_is_own(const struct pv_node *n, int i)
{
    return n->out[i]->grad && n->out[i]->grad->refs == 1;
}

/* Weights packed for the forward passes are not needed on the way back. */
static void drop_packed(pv_tape *t)
{
    for (struct pv_node *n = t->last; n; n = n->prev)
        for (int i = 0; i < n->num_in; i++)
            pv_tensor_drop_packed(n->in[i], true);
}

static void walk(pv_tape *t)
{
    drop_packed(t);
    while (t->last) {
        struct pv_node *n = t->last;
        bool wanted = false;
        for (int i = 0; i < n->num_out; i++)
            wanted = wanted || (n->out[i] && n->out[i]->grad && n->out[i]->grad_valid);
        if (wanted && !pv_dev_failed(t->dev))
            n->backward(t, n);
        for (int i = 0; i < n->num_out; i++)
            if (n->out[i]) {
                pv_tensor_put(&n->out[i]->grad);
                n->out[i]->grad_valid = false;
            }
        t->last = n->prev;
        t->num_nodes--;
        free_node(n);
    }
}

void pv_backward_from(pv_tape *t, int num, pv_tensor *const *out, pv_tensor *const *grad)
{
    for (int i = 0; i < num; i++)
        if (out[i] && out[i]->needs_grad && grad[i])
            pv_grad_give(t, out[i], pv_tensor_ref(grad[i]));
    walk(t);
}

void pv_backward(pv_tape *t, pv_tensor *loss, pv_tensor *seed)
{
    pv_tensor *one = seed ? pv_tensor_ref(seed) : loss ? pv_tensor_scalar(t->dev, 1) : NULL;
    pv_backward_from(t, 1, &loss, &one);
    pv_tensor_put(&one);
}
