#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes loss/crln.*.safetensors, float64. Needs torch, numpy, safetensors."""
import torch
from crln_terms import cps, op, pseudo, sup, unsup
from named import Golden, rounded

gen = torch.Generator().manual_seed(47)
SIZE = (4, 5, 6)


def normal(*shape, scale=1.0):
    return scale * torch.randn(*shape, dtype=torch.float64, generator=gen)


def labels(n, classes, ignored=0.0, size=SIZE):
    y = torch.randint(0, classes, (n, 1) + size, generator=gen, dtype=torch.int32)
    y[torch.rand(y.shape, generator=gen) < ignored] = 255
    return y


def cues(n, classes, size=SIZE):
    return torch.relu(normal(n, classes, *size, scale=1.5))


def retry(make):
    """Draws until no voxel sits on a threshold."""
    while True:
        try:
            return make()
        except AssertionError:
            pass


g = Golden('crln.sup')
for name, n, c, ignored, w in (('c2', 2, 2, 0, 1), ('c3', 2, 3, 0.3, 0.4), ('one', 1, 2, 0.9, 1), ('off', 1, 2, 0, 0)):
    g.case(name, sup(w), ('z', 'cue'), {'w_map': w}, z=normal(n, c, *SIZE, scale=2), cue=cues(n, c),
           labels=labels(n, c, ignored))
g.case('absent', sup(), ('z', 'cue'), None, z=normal(1, 2, *SIZE), cue=cues(1, 2),
       labels=torch.zeros(1, 1, *SIZE, dtype=torch.int32))
g.case('empty', sup(), ('z', 'cue'), None, z=normal(1, 2, *SIZE), cue=cues(1, 2),
       labels=torch.full((1, 1) + SIZE, 255, dtype=torch.int32))
g.save()

g = Golden('crln.op')
for name, n, c, a in (('c2', 2, 2, 0.0), ('c3', 1, 3, 0.7), ('over', 2, 2, 1.4), ('below', 1, 2, -0.3)):
    g.case(name, op, ('z', 'cue', 'a'), None, z=normal(n, c, *SIZE, scale=2), cue=cues(n, c), labels=labels(n, c, 0.1),
           a=torch.tensor([a], dtype=torch.float64))
g.save()

g = Golden('crln.pseudo')
for name, n, c, a in (('c2', 2, 2, 0.0), ('c4', 2, 4, 0.4), ('one', 1, 2, 1.0)):
    retry(lambda: g.case(name, pseudo, (), None, z=normal(n, c, *SIZE), cue=cues(n, c),
                         a=torch.tensor([a], dtype=torch.float64)))
g.save()

g = Golden('crln.unsup')
for form in ('share', 'filter'):
    for name, n, c, ignored, tau in (('c2', 2, 2, 0, 0.8), ('c3', 3, 3, 0.3, 0.6), ('one', 1, 2, 0, 0.97),
                                     ('nothing', 2, 2, 0.1, 1.5), ('outside', 2, 2, 1, 0.7)):
        def case():
            y = labels(n, c, ignored)
            conf = (0.5 + 0.5 * torch.rand(y.shape, generator=gen, dtype=torch.float64)) * (y != 255)
            g.case(f'{form}_{name}', unsup(tau, form), ('z',), {'tau': tau, 'form': form},
                   z=normal(n, c, *SIZE, scale=2), labels=y, conf=conf)
        retry(case)
g.save()


def words(*shape):
    return torch.randint(-2 ** 31, 2 ** 31, (1, 1) + shape, generator=gen).int()


g = Golden('crln.cps')


def case_cps(name, c, grads=('rep_l', 'rep_u'), n=(2, 1), r=3, d=5, known=True, absent=(), lone=False, size=(3, 4, 4),
             queries=4, negatives=6, **o):
    """absent: classes that no labelled or pseudo-labelled voxel has."""
    def case():
        y = [labels(k, c, 0.1, size) for k in n]
        for a in absent:
            for t in y:
                t[t == a] = 255
        if lone:
            for t in y:
                t[t != 255] = 1
        conf = (0.4 + 0.6 * torch.rand(y[1].shape, generator=gen, dtype=torch.float64)) * (y[1] != 255)
        a = {}
        for s, k, t in zip('lu', n, y):
            a.update({f'z_{s}': normal(k, c, *size, scale=1.5), f'rep_{s}': normal(k, r, *size), f'labels_{s}': t})
        if known:
            a['prototypes'] = normal(c, r, d)
        given = {'tau': 0.8, 'tau_weak': 0.7, 'queries': queries, 'negatives': negatives, **o}
        g.case(name, cps(**given), grads, given, **a, conf_u=rounded(conf), anchor_words=words(c, queries, 2),
               negative_words=words(c, queries * negatives, 2))
    retry(case)


case_cps('c2', 2)
case_cps('c3', 3, size=(5, 6), queries=9, negatives=11)
case_cps('mean_only', 2, positive='mean')
case_cps('prototype', 3, positive='prototype', xi=0.9)
case_cps('early', 2, known=False)
case_cps('sum', 3, reduction='sum', temperature=0.3, xi=0.3)
case_cps('one', 2, n=(1, 1), queries=1, negatives=1)
case_cps('wide', 2, n=(1, 2), r=18, d=4, size=(2, 3, 4))
case_cps('many', 2, queries=20, negatives=5)
case_cps('absent', 3, absent=(1,))
case_cps('lone', 2, lone=True)
case_cps('easy', 2, tau=-1.0)        # no anchors
case_cps('unsure', 2, tau_weak=1.2)  # no pseudo labels
case_cps('nothing', 2, absent=(0, 1))
g.save()
