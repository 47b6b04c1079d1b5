#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes loss/supervised.safetensors and loss/mt.consistency.safetensors. Needs torch, numpy, safetensors."""
import torch
from named import Golden
from torch.nn import functional as F

gen = torch.Generator().manual_seed(3)
S = (4, 3, 5)


def normal(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=gen)


def labels(n, classes, ignored=False):
    y = torch.randint(0, classes, (n, 1) + S, generator=gen, dtype=torch.int32)
    if ignored:
        y[torch.rand(y.shape, generator=gen) < 0.3] = 255
    return y


def supervised(form):
    """Half cross-entropy over known voxels, half Dice with unknown voxels masked out."""
    def f(logits, labels):
        y = labels[:, 0].long()
        known = (y != 255)
        ce = F.cross_entropy(logits, y, ignore_index=255) if known.any() else (logits * 0).sum()
        p = torch.softmax(logits, 1)
        c = p.shape[1]
        g = torch.stack([(y == k).double() for k in range(c)], 1)
        m = known.double()[:, None]
        p, g = p * m, g * m
        axes = (0, 2, 3, 4)
        if form == 'mask':
            axes = (2, 3, 4)
            d = 1 - ((2 * (p * g).sum(axes) + 1e-5) / (p.sum(axes) + g.sum(axes) + 1e-5)).mean()
        else:
            i = (p * g).sum(axes)
            eps = {'sq': 1e-5, 'lin': 1e-8, 'mc': 1e-10}[form]
            s = p.sum(axes) + g.sum(axes) if form == 'lin' else (p * p).sum(axes) + (g * g).sum(axes)
            per = 1 - (2 * i + eps) / (s + eps)
            d = per.mean() if form == 'mc' else per[1:].mean()
        return {'loss': 0.5 * (ce + d), 'ce': ce, 'dice': d}
    return f


def mse(student, teacher):
    return ((torch.softmax(student, 1) - torch.softmax(teacher, 1)) ** 2).mean()


g = Golden('supervised')
for form in ('sq', 'lin', 'mask', 'mc'):
    for classes in (2, 3):
        for ignored in (False, True):
            g.case(f'{form}{classes}{"i" if ignored else ""}', supervised(form), ('logits',), {'dice': form},
                   logits=2 * normal(2, classes, *S), labels=labels(2, classes, ignored))
g.case('absent', supervised('sq'), ('logits',), {'dice': 'sq'}, logits=normal(1, 2, *S),
       labels=torch.zeros(1, 1, *S, dtype=torch.int32))
g.case('plane', supervised('sq'), ('logits',), {'dice': 'sq'}, logits=normal(2, 2, 1, 6, 5),
       labels=torch.ones(2, 1, 1, 6, 5, dtype=torch.int32))
g.save()

g = Golden('mt.consistency')
for classes in (2, 3):
    g.case(f'c{classes}', mse, ('student',), None,
           student=2 * normal(2, classes, *S), teacher=2 * normal(2, classes, *S))
same = normal(1, 2, *S)
g.case('equal', mse, ('student',), None, student=same, teacher=same.clone())
g.save()
