#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes loss/cce.*.safetensors and loss/mcf.consistency.safetensors, float64. Needs torch, numpy, safetensors."""
import torch
from cce_terms import cosine, cps, cr, efs, pgl, teach, une
from named import Golden

gen = torch.Generator().manual_seed(41)
S = (4, 3, 5)


def normal(*shape, scale=2.0):
    return scale * torch.randn(*shape, dtype=torch.float64, generator=gen)


def labels(n, classes, ignored=0.0, size=S):
    y = torch.randint(0, classes, (n, 1) + size, generator=gen, dtype=torch.int32)
    y[torch.rand(y.shape, generator=gen) < ignored] = 255
    return y


def draw(make):
    """Again until no value sits on a threshold."""
    while True:
        try:
            return make()
        except AssertionError as e:
            if e.args:
                raise


AB = ('a', 'b')

g = Golden('cce.cr')
for classes in (2, 3):
    for mask in ('xor', 'or'):
        draw(lambda: g.case(f'{mask}{classes}', cr(0.6, mask), AB, {'mask': mask}, a=normal(2, classes, *S),
                            b=normal(2, classes, *S), labels=labels(2, classes, 0.2)))
draw(lambda: g.case('mcf', cr(0, 'xor'), AB, {'sure': 0}, a=normal(2, 2, *S), b=normal(2, 2, *S), labels=labels(2, 2)))
same = normal(1, 2, *S)
draw(lambda: g.case('agree', cr(0.6, 'xor'), AB, None, a=same, b=same.clone(), labels=labels(1, 2)))
draw(lambda: g.case('flat', cr(0.7, 'xor'), AB, {'sure': 0.7}, a=normal(2, 4, 6, 7), b=normal(2, 4, 6, 7),
                    labels=labels(2, 4, 0, (6, 7))))
g.save()

g = Golden('cce.cps')
for classes in (2, 3):
    g.case(f'c{classes}', cps, AB, None, a=normal(2, classes, *S), b=normal(2, classes, *S))
g.case('one', cps, AB, None, a=same, b=same.clone())
g.save()

g = Golden('cce.efs')
for classes in (2, 3):
    for ignore in ('or', 'and'):
        for label in ('cross', 'own', 'union'):
            draw(lambda: g.case(f'{label}_{ignore}{classes}', efs(70, ignore, label), AB,
                                {'gamma': 70, 'ignore': ignore, 'label': label}, a=normal(2, classes, *S),
                                b=normal(2, classes, *S)))
# the median of 105 values is one of them: it is kept
draw(lambda: g.case('tie', efs(50, 'or'), AB, {'gamma': 50}, a=normal(1, 2, 7, 3, 5), b=normal(1, 2, 7, 3, 5)))
draw(lambda: g.case('all', efs(100, 'or'), AB, {'gamma': 100}, a=normal(1, 2, *S), b=normal(1, 2, *S)))
# each keeps only its lowest entropy, at different voxels: nothing is left
a, b = normal(1, 2, *S, scale=1.0), normal(1, 2, *S, scale=1.0)
a[0, 0, 0, 0, 0] += 5
b[0, 0, 1, 0, 0] += 5
draw(lambda: g.case('nothing', efs(0, 'or'), AB, {'gamma': 0}, a=a, b=b))
g.save()

g = Golden('cce.une')
for classes in (2, 3):
    for label in ('soft', 'hard'):
        for detach in (0, 1):
            g.case(f'{label}{classes}{"d" if detach else ""}', une(label, 0.5, detach), ('p',),
                   {'label': label, 'detach': detach}, p=normal(2, classes, *S), q=normal(2, classes, *S))
g.case('hot', une('soft', 2.0), ('p',), {'temperature': 2.0}, p=normal(1, 2, *S), q=normal(1, 2, *S))
g.case('far', une(), ('p',), None, p=normal(1, 2, *S, scale=25.0), q=normal(1, 2, *S, scale=25.0))
g.case('equal', une(), ('p',), None, p=same, q=same.clone())
g.save()

g = Golden('cce.pgl')


def pair(n, classes, scale):
    a = normal(n, classes, *S)
    return a, a + normal(n, classes, *S, scale=scale)


def only_background(n, scale):
    """Both see class 0 or B does: nobody reliable sees class 1."""
    a = normal(n, 2, *S)
    a[:, 0] = a[:, 1] + 0.5 + normal(n, *S).abs()
    b = a + normal(n, 2, *S, scale=scale)
    b[:, 1, :2] = b[:, 0, :2] + 1
    return a, b


def opposite(n, classes, scale):
    a = normal(n, classes, *S, scale=scale)
    return a, -a


def case_pgl(name, logits, options, channels=5):
    o = {'gamma': 60, 'normalise': 1, 'separation': 1.0, 'live': 0, 'net': 'a', **options}

    def make():
        a, b = logits()
        g.case(name, pgl(o['gamma'], o['normalise'], o['separation'], o['live'], o['net']), ('f',), o, a=a, b=b,
               f=normal(len(a), channels, *S))
    draw(make)


for classes in (2, 3):
    for normalise in (1, 0):
        for live in (0, 1):
            for net in AB:
                case_pgl(f'c{classes}{"n" if normalise else ""}{"l" if live else ""}{net}',
                         lambda: pair(2, classes, 0.7), {'normalise': normalise, 'live': live, 'net': net})
case_pgl('apart', lambda: pair(1, 2, 0.3), {'gamma': 80, 'separation': -0.5, 'live': 1}, 20)
case_pgl('pull', lambda: pair(1, 2, 0.3), {'gamma': 80, 'separation': 0})
case_pgl('absent', lambda: only_background(1, 0.2), {'gamma': 70, 'live': 1})
case_pgl('nothing', lambda: opposite(1, 2, 1.0), {'gamma': 70, 'live': 1})
g.save()

g = Golden('cce.cosine')
for classes in (2, 4):
    g.case(f'c{classes}', cosine, AB, None, a=normal(2, classes, *S), b=normal(2, classes, *S))
g.save()

g = Golden('mcf.consistency')
for name, da, db in (('a_wins', 0.2, 0.4), ('b_wins', 0.5, 0.4), ('even', 0.25, 0.25)):
    g.case(name, teach(0.1), AB, None, a=normal(2, 2, *S, scale=1.0), b=normal(2, 2, *S, scale=1.0),
           dice_a=torch.tensor([da], dtype=torch.float64), dice_b=torch.tensor([db], dtype=torch.float64))
g.case('c3', teach(0.5), AB, {'temperature': 0.5}, a=normal(1, 3, *S), b=normal(1, 3, *S),
       dice_a=torch.tensor([0.3], dtype=torch.float64), dice_b=torch.tensor([0.1], dtype=torch.float64))
g.save()
