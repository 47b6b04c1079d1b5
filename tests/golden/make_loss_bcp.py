#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes loss/bcp.*.safetensors, float64. Needs torch, numpy, scipy, safetensors."""
import torch
from bcp_terms import box_mask, joint, mix, pseudo
from named import Golden

gen = torch.Generator().manual_seed(71)
SOLID, FLAT = (6, 5, 7), (9, 12)


def logits(n, classes, size=FLAT, scale=2.0):
    return scale * torch.randn(n, classes, *size, dtype=torch.float64, generator=gen)


def labels(n, classes, size=FLAT, ignored=0.0):
    y = torch.randint(0, classes, (n, 1) + size, generator=gen, dtype=torch.int32)
    y[torch.rand(y.shape, generator=gen) < ignored] = 255
    return y


def box(n, size=FLAT, first=None):
    side = [int(2 * s / 3) for s in size]
    return box_mask(n, size, first or [s - b - 1 for s, b in zip(size, side)], side)


def case_mix(name, n, classes, size=FLAT, ignored=0.0, mask=None, outer=None, inner=None, **o):
    options = {'w_outer': o.get('w_outer', 1), 'w_inner': o.get('w_inner', 0.5), 'dice': o.get('dice', 'mask'),
               'mask_background': int(o.get('background', True))}
    g.case(name, mix(**o), ('z',), options, z=logits(n, classes, size),
           outer=labels(n, classes, size, ignored) if outer is None else outer,
           inner=labels(n, classes, size, ignored) if inner is None else inner,
           mask=box(n, size) if mask is None else mask)


g = Golden('bcp.mix')
case_mix('solid', 2, 2, SOLID)
case_mix('swapped', 1, 2, w_outer=0.5, w_inner=1.0)
case_mix('c3', 2, 3)
case_mix('sparse', 2, 3, ignored=0.4)
case_mix('equal', 2, 2, w_inner=1.0)
case_mix('one_part', 2, 2, w_inner=0.0)
case_mix('mc', 2, 4, dice='mc')
case_mix('mc_sparse', 2, 3, dice='mc', ignored=0.3)
case_mix('mc_background', 2, 4, dice='mc', background=False)
case_mix('no_object', 2, 2, outer=torch.zeros(2, 1, *FLAT, dtype=torch.int32))
case_mix('mc_no_object', 2, 3, dice='mc', inner=torch.zeros(2, 1, *FLAT, dtype=torch.int32))
case_mix('unknown', 1, 2, outer=torch.full((1, 1) + FLAT, 255, dtype=torch.int32))
case_mix('no_box', 1, 2, mask=torch.ones(1, 1, *FLAT, dtype=torch.float64))
g.save()

g = Golden('bcp.pretrain')
for classes in (2, 3):
    for ignored in (0.0, 0.3):
        g.case(f'c{classes}{"i" if ignored else ""}', joint(), ('z',), None, z=logits(2, classes),
               labels=labels(2, classes, FLAT, ignored))
g.case('solid', joint(), ('z',), None, z=logits(1, 2, SOLID), labels=labels(1, 2, SOLID))
g.case('no_object', joint(), ('z',), None, z=logits(2, 2), labels=torch.zeros(2, 1, *FLAT, dtype=torch.int32))
g.case('mc', joint('mc'), ('z',), {'dice': 'mc'}, z=logits(2, 4), labels=labels(2, 4))
g.save()


def rare(n, classes, size, share):
    """Logits whose foreground is sparse, so that there are many components."""
    z = torch.randn(n, classes, *size, dtype=torch.float64, generator=gen)
    z[:, 0] = torch.where(torch.rand(n, *size, generator=gen) < share, -9.0, 9.0).double()
    return z


g = Golden('bcp.pseudo')
for name, z in (('solid', rare(2, 2, (7, 8, 9), 0.12)), ('solid4', rare(1, 4, (7, 8, 9), 0.4)),
                ('flat', rare(3, 2, (14, 15), 0.3)), ('flat4', rare(2, 4, (14, 15), 0.7)),
                ('dense', logits(2, 3, SOLID)), ('nothing', rare(2, 2, SOLID, 0.0)), ('all', rare(1, 2, FLAT, 2.0))):
    g.case(name, pseudo(margin=1e-5), (), {'largest': 1}, teacher=z)
    if name == 'flat4':
        g.case(name + '_raw', pseudo(False, 1e-5), (), {'largest': 0}, teacher=z)
tie = torch.zeros(1, 2, 5, 7, dtype=torch.float64)
tie[:, 0] = 3
for at in ((0, 4), (0, 5), (2, 0), (2, 1), (4, 3), (4, 5)):     # two pairs of equal size: the first stays
    tie[0, 1, at[0], at[1]] = 6
g.case('tie', pseudo(), (), {'largest': 1}, teacher=tie)
g.save()
