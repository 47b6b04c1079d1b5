#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes loss/*.safetensors of the baselines (docs/methods/baselines.md). Needs torch, numpy, safetensors. Inputs are
drawn again where a value lies close to a threshold. Names on the command line choose."""
import sys

import baseline_terms as terms
import torch
from named import Golden, rounded

torch.set_default_dtype(torch.float64)
S = (4, 3, 5)


def normal(*shape, scale=1.0):
    return rounded(scale * torch.randn(*shape))


def logits(n, c, size=S, scale=2.0):
    """Without ties of the largest two."""
    while True:
        z = normal(n, c, *size, scale=scale)
        top = z.topk(2, 1).values
        if (top[:, 0] - top[:, 1]).min() > 2e-3:
            return z


def drawn(golden, name, f, make, grads, options=None):
    for _ in range(200):
        v = make()
        try:
            f(**v)
        except AssertionError:
            continue
        golden.case(name, f, grads, options, **v)
        return
    raise SystemExit(f'{name}: every draw was close to a threshold')


def uamt():
    g = Golden('uamt.consistency')

    def case(name, share, n=2, c=2, t=4, size=S, scale=1.0, target='pass'):
        drawn(g, name, terms.uamt(share, target), lambda: {
            'student': normal(n, c, *size), 'teacher': normal(n, c, *size),
            'passes': normal(t * n, c, *size, scale=scale)}, ('student',), {'threshold': share, 'target': target})
    case('two', 0.9)
    case('three', 0.85, c=3)
    case('batch1', 0.95, n=1, t=8)
    case('all', 1.01)
    case('none', 0.001)
    case('plane', 0.9, size=(6, 5))
    case('mean', 0.9, target='mean')
    g.save()


def cps():
    g = Golden('cps.cross')
    for name, n, c, size in (('two', 2, 2, S), ('three', 2, 3, S), ('batch1', 1, 2, S), ('plane', 2, 2, (6, 5))):
        g.case(name, terms.cross, ('a', 'b'), None, a=logits(n, c, size), b=logits(n, c, size))
    one = logits(1, 2)
    one[:, 0] += 10
    g.case('absent', terms.cross, ('a', 'b'), None, a=one, b=one.clone())
    g.save()


def ict():
    g = Golden('ict.consistency')
    for name, mix, n, c, size in (('two', 0.25, 2, 2, S), ('three', 0.75, 2, 3, S), ('batch1', 0.125, 1, 2, S),
                                  ('first', 0, 2, 2, S), ('plane', 0.5, 3, 2, (6, 5))):
        g.case(name, terms.ict(mix), ('student',), {'mix': mix}, student=normal(n, c, *size),
               first=normal(n, c, *size), second=normal(n, c, *size))
    g.save()


def acmt():
    g = Golden('acmt.consistency')
    for name, share, n, c, size in (('two', 0.75, 2, 2, S), ('three', 0.7, 2, 3, S), ('batch1', 0.9, 1, 2, S),
                                    ('all', 0.001, 1, 2, (3, 3, 3)), ('none', 1.01, 2, 2, S),
                                    ('plane', 0.8, 2, 2, (6, 5))):
        drawn(g, name, terms.acmt(share), lambda: {'student': normal(n, c, *size), 'teacher': normal(n, c, *size)},
              ('student',), {'threshold': share})
    g.save()


def cpcl():
    for name, term in (('l2u', terms.l2u), ('u2l', terms.u2l)):
        g = Golden('cpcl.' + name)

        def case(label, n=2, c=2, size=(6, 4, 4), d=5, unknown=0.0, absent=False, options=None, **args):
            y = torch.randint(0, c, (n, 1) + size).int()
            y[torch.rand(y.shape) < unknown] = 255
            small = tuple(max(1, k // 2) for k in size)
            v = {'feat_l': normal(n, d, *small) + 0.3, 'logits_l': logits(n, c, size), 'labels': y,
                 'feat_u': normal(n, d, *small) + 0.3, 'logits_u': logits(n, c, size)}
            if absent:
                v['labels'][:] = 0
                v['logits_u'][:, 0] = v['logits_u'][:, 1] + 1 + v['logits_u'][:, 0].abs()
            g.case(label, term(**args), ('feat_l',), options, **v)
        case('two')
        case('three', c=3, d=17, size=(4, 4, 2), scale=10.0, options={'scale': 10})
        case('batch1', n=1)
        case('plane', size=(6, 4))
        case('odd', size=(7, 5, 3))
        case('pooled', n=3, pairing='pooled', options={'pairing': 'pooled'})
        case('fixed', proto='fixed', options={'prototypes': 'fixed'})
        case('unknown', unknown=0.4)
        case('nothing', unknown=2.0)
        case('absent', absent=True)
        if name == 'u2l':
            case('twice', form='twice', options={'u2l': 'twice'})
        g.save()
    g = Golden('cpcl.sta')
    for name, n, c, size in (('two', 2, 2, S), ('three', 1, 3, S), ('plane', 2, 2, (6, 5))):
        g.case(name, terms.logit_mse, ('student',), None, student=normal(n, c, *size), teacher=normal(n, c, *size))
    g.save()


def dtc():
    size = (7, 7, 8)
    x, y, z = torch.meshgrid(*[torch.arange(k) for k in size], indexing='ij')
    ball = ((x - 3) ** 2 + (y - 3) ** 2 + (z - 4) ** 2 < 9).int()
    speck = ball.clone()
    speck[6, 6, 7] = 1
    shell = ball + ((x - 3) ** 2 + (y - 3) ** 2 + (z - 4) ** 2 < 3).int()      # two classes
    unknown = ball.clone()
    unknown[:, :, 5:] = 255

    def case(golden, name, classes, *labels, options=None, **args):
        v = torch.stack(labels)[:, None]
        golden.case(name, terms.dtc_sup(**args), ('logits',), options,
                    logits=normal(len(labels), 2 * (classes - 1), *v.shape[2:]), labels=v)
    g = Golden('dtc.sup')
    case(g, 'two', 2, ball, speck)
    case(g, 'three', 3, shell, 2 * ball)
    case(g, 'unknown', 2, unknown, speck)
    case(g, 'absent', 2, 0 * ball, ball)
    case(g, 'full', 2, 0 * ball + 1)
    case(g, 'flat', 2, ball[3], shell[3].clamp(max=1), options={'beta': 1}, beta=1.0)
    case(g, 'touching', 2, (x < 3).int(), ((x > 1) & (z < 7)).int())
    g.save()
    g = Golden('dtc.consistency')

    def logits_of(n, c, size, scale):
        v = normal(n, c, *size)
        v[:, :c // 2] *= scale
        return v
    for name, n, c, s, scale, k in (('gentle', 2, 2, S, 1.0, 2.0), ('steep', 2, 2, S, 0.001, 1500.0),
                                    ('saturated', 1, 2, S, 1.0, 1500.0), ('three', 2, 4, S, 0.01, 100.0),
                                    ('plane', 2, 2, (6, 5), 0.1, 10.0)):
        g.case(name, terms.dtc_task(k), ('logits',), {'steepness': k}, logits=logits_of(n, c, s, scale))
    g.save()


if __name__ == '__main__':
    every = {f.__name__: f for f in (uamt, cps, ict, acmt, cpcl, dtc)}
    for number, chosen in enumerate(every):
        torch.manual_seed(900 + number)
        if chosen in (sys.argv[1:] or every):
            every[chosen]()
