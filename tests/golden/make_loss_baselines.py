#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes loss/*.safetensors of the baselines (docs/methods/baselines.md). Needs torch, numpy, safetensors. Inputs are
drawn again where a value lies close to a threshold."""
import baseline_terms as terms
import torch
from named import Golden, rounded

torch.manual_seed(900)
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

    def case(name, share, n=2, c=2, t=4, size=S, scale=1.0):
        drawn(g, name, terms.uamt(share), lambda: {
            'student': normal(n, c, *size), 'teacher': normal(n, c, *size),
            'passes': normal(t * n, c, *size, scale=scale)}, ('student',), {'threshold': share})
    case('two', 0.9)
    case('three', 0.85, c=3)
    case('batch1', 0.95, n=1, t=8)
    case('all', 1.01)
    case('none', 0.001)
    case('plane', 0.9, size=(6, 5))
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


if __name__ == '__main__':
    uamt()
    cps()
    ict()
