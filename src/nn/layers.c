/* SPDX-License-Identifier: Apache-2.0
 * Declaring and calling layers. */
#include "nn/layers.h"

#include <math.h>
#include <stdio.h>

#include "ops/conv.h"

bool pv_init_scheme_find(const char *name, enum pv_init_scheme *s)
{
    static const char *const names[] = {"default", "kaiming", "kaiming_conv", "xavier_conv"};
    for (size_t i = 0; i < PV_COUNT(names); i++)
        if (pv_streq(name, names[i])) {
            *s = (enum pv_init_scheme)i;
            return true;
        }
    return false;
}

static int weight(pv_params *p, const char *name, int dims, int a, int b, int k, struct pv_init init)
{
    char key[96];
    snprintf(key, sizeof key, "%s.weight", name);
    return pv_param_add(p, key, dims + 2, (int[]){a, b, k, k, k}, init);
}

/* Of a convolution [co][ci][..] with `volume` taps. */
static struct pv_init conv_init(enum pv_init_scheme s, int ci, int co, int volume)
{
    if (s == PV_SCHEME_XAVIER_CONV)
        return (struct pv_init){PV_INIT_NORMAL, sqrt(2.0 / ((ci + co) * volume)), 0};
    return (struct pv_init){s == PV_SCHEME_DEFAULT ? PV_INIT_FAN_IN : PV_INIT_KAIMING, 0, ci * volume};
}

static int bias(pv_params *p, const char *name, int co, int fan_in)
{
    char key[96];
    snprintf(key, sizeof key, "%s.bias", name);
    return pv_param_add(p, key, 1, &co, (struct pv_init){PV_INIT_FAN_IN, 0, fan_in});
}

static int volume(int dims, int k) { return dims == 3 ? k * k * k : k * k; }

struct pv_conv_layer pv_conv_declare(pv_params *p, const char *name, int dims, int ci, int co, int k, int stride,
                                     bool has_bias, enum pv_init_scheme s)
{
    int fan_in = ci * volume(dims, k);
    struct pv_conv_layer l = {.co = co, .k = k, .stride = stride, .pad = k == 2 ? 0 : (k - 1) / 2, .b = -1};
    l.w = weight(p, name, dims, co, ci, k, conv_init(s, ci, co, volume(dims, k)));
    if (has_bias)
        l.b = bias(p, name, co, fan_in);
    return l;
}

struct pv_conv_layer pv_up_declare(pv_params *p, const char *name, int dims, int ci, int co, int k, bool has_bias,
                                   enum pv_init_scheme s)
{
    /* PyTorch computes fan_in of a transposed weight [ci][co][k..] from its second axis */
    int fan_in = co * volume(dims, k);
    struct pv_conv_layer l = {.co = co, .k = k, .stride = 2, .up = true, .b = -1};
    l.w = weight(p, name, dims, ci, co, k,
                 (struct pv_init){s == PV_SCHEME_KAIMING ? PV_INIT_KAIMING : PV_INIT_FAN_IN, 0, fan_in});
    if (has_bias)
        l.b = bias(p, name, co, fan_in);
    return l;
}

struct pv_conv_layer pv_head_declare(pv_params *p, const char *name, int dims, int ci, int co,
                                     enum pv_init_scheme s)
{
    struct pv_conv_layer l = {.co = co, .k = 1, .stride = 1, .head = true};
    l.w = weight(p, name, dims, co, ci, 1, conv_init(s, ci, co, 1));
    l.b = bias(p, name, co, ci);
    return l;
}

struct pv_norm_layer pv_norm_declare(pv_params *p, const char *name, enum pv_norm_kind kind, int c)
{
    struct pv_norm_layer l = {kind, -1, -1, -1, -1};
    if (kind != PV_NORM_BATCH)
        return l;
    char key[96];
    snprintf(key, sizeof key, "%s.weight", name);
    l.gamma = pv_param_add(p, key, 1, &c, (struct pv_init){PV_INIT_CONST, 1, 0});
    snprintf(key, sizeof key, "%s.bias", name);
    l.beta = pv_param_add(p, key, 1, &c, (struct pv_init){PV_INIT_CONST, 0, 0});
    snprintf(key, sizeof key, "%s.running_mean", name);
    l.mean = pv_stat_add(p, key, c, 0);
    snprintf(key, sizeof key, "%s.running_var", name);
    l.var = pv_stat_add(p, key, c, 1);
    return l;
}

pv_tensor *pv_conv_call(pv_tape *t, const pv_params *p, const struct pv_conv_layer *l, pv_tensor *x)
{
    pv_tensor *w = pv_param_tensor(p, l->w), *b = pv_param_tensor(p, l->b);
    if (l->head)
        return pv_head(t, x, w, b, l->co);
    if (l->up)
        return pv_conv_up(t, x, w, b, l->co, l->k);
    return pv_conv(t, x, w, b, l->co, l->k, l->stride, l->pad);
}

pv_tensor *pv_norm_call(pv_tape *t, const pv_params *p, const struct pv_norm_layer *l, pv_tensor *x, bool train,
                        const struct pv_norm_extra *e)
{
    struct pv_norm_params q = {.kind = l->kind, .train = train, .gamma = pv_param_tensor(p, l->gamma),
        .beta = pv_param_tensor(p, l->beta), .running_mean = pv_param_tensor(p, l->mean),
        .running_var = pv_param_tensor(p, l->var)};
    if (e) {
        q.slope = e->slope;
        q.residual = e->residual;
        q.skip = e->skip;
        q.drop = e->drop;
        q.drop_p = e->drop_p;
    }
    return pv_norm_act(t, x, &q);
}
