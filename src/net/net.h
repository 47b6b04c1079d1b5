/* SPDX-License-Identifier: Apache-2.0
 * Whole networks by name. A network turns a PLAIN image batch into PLAIN logits and, on request, feature maps. */
#ifndef NET_H
#define NET_H

#include "nn/layers.h"

enum { PV_NET_LEVELS = 5 };

struct pv_net_config {
    char name[16];              /* row of pv_net_kinds: "vnet" */
    int dims;                   /* 3 or 2 */
    int channels, classes;      /* of the image; of the logits, background included */
    int filters;                /* at full resolution, 16 in all papers */
    int patch[3];               /* checked against the divisor; CRLN's heads have weights for each of its voxels */
    /* Probability at the V-Net's two places. unet3d takes 0.6 of it, unet2d 0.1 to 1 of it by level: 0.5 gives what
     * the papers use. 0: no dropout layers. */
    double dropout;
    bool heads;                 /* deep-supervision heads */
    /* CRLN's heads with this many prototypes per class and channels of the representation (R), 0: none. vnet, unet3d,
     * unet3d_deconv. */
    int prototypes;
    bool scrambled;             /* the index quirk of CRLN's public code: rows of prototypes are mixed over classes */
    enum pv_init_scheme init;
    uint64_t seed;
    char label[32];             /* distinguishes initialisations of equal networks: "student", "b" */
};

/* Feature maps, BLOCKED. UP1..UP4: after the skip addition (U-Nets: concatenation) of each decoder step, from 1/8 to
 * full resolution; DEC1..DEC4: output of the decoder block behind it (DEC4 after its dropout). methods.md 1.1:
 * x5_up..x8_up and x6..x9. */
enum pv_feat { PV_FEAT_UP1, PV_FEAT_UP2, PV_FEAT_UP3, PV_FEAT_UP4, PV_FEAT_DEC1, PV_FEAT_DEC2, PV_FEAT_DEC3,
               PV_FEAT_DEC4,
               /* with config.prototypes: the representation, BLOCKED [n][R] at full resolution, and the rectification
                * cue M >= 0, PLAIN [n][classes] at full resolution, for images of the training patch's size */
               PV_FEAT_REP, PV_FEAT_CUE, PV_FEATS };
#define PV_WANT(f) (1u << (f))

/* Results; references owned by the holder. */
struct pv_net_out {
    pv_tensor *logits;                  /* PLAIN [n][classes][...] */
    pv_tensor *feat[PV_FEATS];          /* the wanted ones */
    pv_tensor *heads[3];                /* with config.heads: logits at 1/8, 1/4, 1/2; of the maps after the skip
                                           additions (V-Net decoder), of the decoder's outputs (U-Nets) */
};
void pv_net_out_free(struct pv_net_out *o);

enum { PV_NET_TRAIN = 1, PV_NET_DROPOUT = 2 };      /* batch statistics; dropout active */

typedef struct pv_net pv_net;
struct pv_net_kind {
    const char *name, *summary;
    size_t layers_size;
    /* Declares parameters and fills layers. */
    bool (*build)(pv_net *net);
    bool (*forward)(pv_net *net, pv_tape *t, pv_tensor *x, int flags, unsigned want, struct pv_net_out *out);
    int divisor[3];             /* patch sides must be multiples */
    int dims;                   /* 2 or 3: the only ones; 0: both */
    bool crln;                  /* can have CRLN's heads */
};
extern const struct pv_net_kind *const pv_net_kinds[];     /* nets.c, NULL-terminated */
const struct pv_net_kind *pv_net_find(const char *name);   /* PV_FAULT_USAGE with the known names */

struct pv_net {
    const struct pv_net_kind *kind;
    struct pv_net_config c;
    pv_params *p;
    void *layers;
};

pv_net *pv_net_new(pv_dev *dev, const struct pv_net_config *c);     /* NULL after a fault */
void pv_net_free(pv_net **n);
/* x PLAIN [n][channels][...]. `out` is filled on success and left empty on failure. */
bool pv_net_forward(pv_net *n, pv_tape *t, pv_tensor *x, int flags, unsigned want, struct pv_net_out *out);
/* logits + (1 - a) cue, a FLAT [1] (CRLN eq. 8 as its code does it, on logits). Gradients: all three. */
pv_tensor *pv_rectify(pv_tape *t, pv_tensor *logits, pv_tensor *cue, pv_tensor *a);
/* The same with the network's own scalar, the parameter "op.a". config.prototypes only. */
pv_tensor *pv_net_rectify(const pv_net *n, pv_tape *t, pv_tensor *logits, pv_tensor *cue);
/* Trainable elements. */
size_t pv_net_count(const pv_net *n);

#endif
