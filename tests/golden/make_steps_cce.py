#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes steps/cce.safetensors, cce_released (what the public code trains), cce_acdc (2D, four classes) and mcf. Needs
torch, numpy, safetensors."""
import math

import cce_terms
import torch
from cce_terms import cosine, cps, disagree, efs, pgl, rectify, supervised, teach, une
from steps import Steps

torch.set_default_dtype(torch.float64)
cce_terms.MARGIN = 0        # with 16,384 voxels one is always close
LR = 0.0003     # masks decide by voxel: a voxel close to its threshold must not move the rest


def config(method, flat, **options):
    return {'method': method, 'net': {'name': 'unet2d' if flat else 'vnet', 'dims': 2 if flat else 3, 'channels': 1,
                                      'classes': 4 if flat else 2, 'filters': 8, 'dropout': 0, 'init': 'kaiming'},
            'train': {'iters': 12, 'reference_iters': 6000, 'patch': [1, 64, 48] if flat else [32, 32, 16],
                      'seed': 1, 'labeled_batch': 2, 'unlabeled_batch': 2},
            'optim': {'lr': LR, 'momentum': 0.9, 'weight_decay': 1e-4, 'schedule': 'step', 'step': 1500,
                      'gamma': 0.1},
            'method_options': options}


def ramp(i):
    """12 iterations in units of 2: 6000 and 1000 at reference length."""
    return math.exp(-5 * (1 - min(i // 2, 6) / 6) ** 2)


def train(name, method, terms, flat=False, **options):
    """terms(i, outputs of a, of b, labels): dict of (weight, value) and of values that are only logged."""
    s = Steps(name, config(method, flat, **options), 2, 2)
    nets = [s.net(0, name='unet2d' if flat else 'resvnet'), s.net(1, name='unet2d' if flat else 'vnet')]
    opts = [torch.optim.SGD(n.parameters(), lr=LR, momentum=0.9, weight_decay=1e-4) for n in nets]
    for i in range(5):
        image, label = s.batch(i)
        out = [n(image) for n in nets]
        logs = terms(i, out[0], out[1], label[:2].int())
        loss = sum(v[0] * v[1] for v in logs.values() if isinstance(v, tuple))
        for o in opts:
            for group in o.param_groups:
                group['lr'] = LR * 0.1 ** (i // 3)
            o.zero_grad()
        loss.backward()
        for o in opts:
            o.step()
        s.log(i, 'loss', loss)
        for k, v in logs.items():
            s.log(i, k, v[1] if isinstance(v, tuple) else v)
    s.save()


def labelled(a, b, y, sure):
    za, zb = a.logits[:2], b.logits[:2]
    m = disagree(za, zb, y, sure)
    return supervised(za, y), supervised(zb, y), rectify(za, y, m), rectify(zb, y, m)


def paper(gamma):
    def f(i, a, b, y):
        (sa, _), (sb, _), ra, rb = labelled(a, b, y, 0.6)
        za, zb = a.logits[2:], b.logits[2:]
        filtered = efs(gamma)(za, zb)
        contrast = pgl(gamma)(za, zb, a.feat['dec4'][2:]) + pgl(gamma, net='b')(za, zb, b.feat['dec4'][2:])
        return {'loss_sup': (1, sa + sb), 'loss_cr': (0.5, ra + rb), 'loss_cps': (1, cps(za, zb)),
                'loss_efs': (1, filtered['loss']), 'kept': filtered['kept'].mean(),
                'loss_une': (1, une()(za, zb) + une()(zb, za)), 'loss_pgl': (2 * ramp(i), contrast),
                'pgl_weight': 2 * ramp(i)}
    return f


def released(i, a, b, y):
    (sa, _), (sb, _), ra, rb = labelled(a, b, y, 0.6)
    return {'loss_sup': (1, sa + sb), 'loss_cr': (0.5, ra + rb), 'loss_une': (1, une('hard')(a.logits, b.logits)),
            'loss_cos': (1, cosine(a.logits, b.logits))}


def mcf(i, a, b, y):
    (sa, da), (sb, db), ra, rb = labelled(a, b, y, 0)
    w = 0.5 * ramp(i)
    return {'loss_sup_a': (1, sa), 'loss_sup_b': (1, sb), 'loss_cr_a': (0.5, ra), 'loss_cr_b': (0.5, rb),
            'consistency_weight': w, 'loss_consistency': (w, teach(0.1)(a.logits[2:], b.logits[2:], da, db))}


if __name__ == '__main__':
    ramped = {'w_pgl': 2, 'pgl_rampup': 6000, 'pgl_ramp_unit': 1000}
    train('cce', 'cce', paper(70), **ramped)
    train('cce_released', 'cce', released, reading='released')
    train('cce_acdc', 'cce', paper(80), True, gamma=80, net_a='unet2d', net_b='unet2d', **ramped)
    train('mcf', 'mcf', mcf, consistency=0.5, rampup=6000, ramp_unit=1000)
