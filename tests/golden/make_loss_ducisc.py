#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes loss/ducisc.*.safetensors, float64. Needs torch, numpy, safetensors."""
import torch
from ducisc_terms import cs_mix, cs_ulb, proto_mix, proto_ulb, sup, thresholds, total
from named import Golden

gen = torch.Generator().manual_seed(31)
SOLID, FLAT = (8, 8, 8), (8, 16)      # 3D, and 2D to keep files small
CHANNELS = (3, 2, 2, 1)


def sizes(size):
    return [tuple(s // k for s in size) for k in (8, 4, 2, 1)]


def normal(*shape, scale=1.0):
    return scale * torch.randn(*shape, dtype=torch.float64, generator=gen)


def logits(n, classes, size=FLAT):
    return [normal(n, classes, *s, scale=2.0) for s in sizes(size)]


def labels(n, classes, ignored=0.0, size=FLAT):
    y = torch.randint(0, classes, (n, 1) + size, generator=gen, dtype=torch.int32)
    y[torch.rand(y.shape, generator=gen) < ignored] = 255
    return y


def named(prefix, tensors):
    return {f'{prefix}{i}': t for i, t in enumerate(tensors)}


Z = tuple(f'z{i}' for i in range(4))

g = Golden('ducisc.sup')
for classes in (2, 3):
    for ignored in (0.0, 0.3):
        g.case(f'c{classes}{"i" if ignored else ""}', sup, Z, None, **named('z', logits(2, classes)),
               labels=labels(2, classes, ignored))
g.case('solid', sup, Z, None, **named('z', logits(1, 2, SOLID)), labels=labels(1, 2, 0.2, SOLID))
g.case('absent', sup, Z, None, **named('z', logits(2, 2)), labels=torch.zeros(2, 1, *FLAT, dtype=torch.int32))
g.case('empty', sup, Z, None, **named('z', logits(1, 2)), labels=torch.full((1, 1) + FLAT, 255, dtype=torch.int32))
g.save()


def th(classes, lo, hi):
    return lo + (hi - lo) * torch.rand(4 * classes, generator=gen, dtype=torch.float64)


def retry(make):
    """Draws until no voxel sits on a threshold."""
    while True:
        try:
            return make()
        except AssertionError:
            pass


def case_ulb(g, name, n, classes, lo, hi, kind='adaptive', fixed=0.95, size=FLAT):
    retry(lambda: g.case(name, cs_ulb(kind, fixed), Z, {'thresholds': kind, 'fixed': fixed},
                         **named('z', logits(n, classes, size)), **named('teacher', logits(n, classes, size)),
                         thresholds=th(classes, lo, hi)))


g = Golden('ducisc.cs_ulb')
case_ulb(g, 'c2', 2, 2, 0.5, 0.9)
case_ulb(g, 'c3', 2, 3, 0.34, 0.9)
case_ulb(g, 'low', 1, 2, 0.5, 0.501)
case_ulb(g, 'solid', 1, 2, 0.5, 0.8, size=SOLID)
case_ulb(g, 'nothing', 1, 2, 0.999999, 0.9999999)
case_ulb(g, 'none', 2, 2, 0.9, 0.95, 'none')
case_ulb(g, 'fixed', 2, 3, 0.5, 0.6, 'fixed', 0.7)
g.save()

g = Golden('ducisc.cs_mix')


def case_mix(name, n, classes, lo, hi, ignored=0.0, kind='adaptive', ce=False, size=FLAT):
    retry(lambda: g.case(name, cs_mix(kind, 0.95, ce), Z, {'thresholds': kind, 'mix_loss': 'ce' if ce else 'kl'},
                         **named('z', logits(n, classes, size)), **named('teacher', logits(n, classes, size)),
                         labels=labels(n, classes, ignored, size), thresholds=th(classes, lo, hi),
                         sigma=0.25 + 0.5 * torch.rand(n, generator=gen, dtype=torch.float64)))


for classes in (2, 3):
    for ce in (False, True):
        case_mix(f'c{classes}{"ce" if ce else "kl"}', 2, classes, 1 / classes, 0.9, 0, ce=ce)
case_mix('solid', 1, 2, 0.5, 0.8, size=SOLID)
case_mix('sparse', 2, 2, 0.5, 0.6, 0.5)
case_mix('none', 2, 2, 0.5, 0.6, 0, 'none')
case_mix('nothing', 1, 2, 0.999999, 0.9999999)
g.save()


def features(n, size=FLAT):
    return [normal(n, c, *s) for c, s in zip(CHANNELS, sizes(size))]


readings = [(f, p, a) for f in ('mean', 'sum') for p in ('batch', 'image') for a in ('scale', 'class')]
g, h = Golden('ducisc.proto_ulb'), Golden('ducisc.proto_mix')
for form, pairing, absent in readings:
    o = {'prototypes': form, 'pairing': pairing, 'absent': absent}
    name = f'{form}_{pairing}_{absent}'
    # at 1/8 there are two pixels, so that every image lacks a class
    y, t = labels(2, 3), logits(2, 3)
    l, u, m = named('l', features(2)), named('u', features(2)), named('m', features(2))
    g.case(f'{name}_3', proto_ulb(form, pairing, absent), tuple(l) + tuple(u), o, **l, **u, labels=y,
           **named('teacher', t))
    h.case(f'{name}_3', proto_mix(form, pairing, absent), tuple(l) + tuple(m), o, **l, **m, labels=y, teacher3=t[3],
           sigma=torch.tensor([0.3, 0.7], dtype=torch.float64))
    if absent == 'scale' and (form, pairing) != ('mean', 'batch'):
        continue
    # the object is only in the first labelled image
    y = labels(2, 2)
    y[1] = 0
    l, u, m = named('l', features(2)), named('u', features(2)), named('m', features(2))
    t = logits(2, 2)
    g.case(f'{name}_lone', proto_ulb(form, pairing, absent), tuple(l) + tuple(u), o, **l, **u, labels=y,
           **named('teacher', t))
    h.case(f'{name}_lone', proto_mix(form, pairing, absent), tuple(l) + tuple(m), o, **l, **m, labels=y,
           teacher3=t[3], sigma=torch.tensor([0.4, 0.6], dtype=torch.float64))
# nothing to compare: the object is nowhere in the labels, background nowhere in the teacher
l, u = named('l', features(1)), named('u', features(1))
t = [torch.stack([z[:, 0].abs() * -1, z[:, 1].abs() + 1], 1) for z in logits(1, 2)]
zeros = torch.zeros(1, 1, *FLAT, dtype=torch.int32)
for absent in ('scale', 'class'):
    g.case(f'nothing_{absent}', lambda **a: 0 * a['l0'].sum(), tuple(l) + tuple(u), {'absent': absent}, **l, **u,
           labels=zeros, **named('teacher', t))
m = named('m', features(1))
h.case('one', proto_mix('mean', 'batch', 'scale'), tuple(l) + tuple(m), {}, **l, **m, labels=labels(1, 2),
       teacher3=t[3], sigma=torch.tensor([0.5], dtype=torch.float64))
l, u = named('l', features(1, SOLID)), named('u', features(1, SOLID))
g.case('solid', proto_ulb('mean', 'batch', 'scale'), tuple(l) + tuple(u), {}, **l, **u,
       labels=labels(1, 2, 0, SOLID), **named('teacher', logits(1, 2, SOLID)))
sparse = labels(2, 2, 0.6)
l, m = named('l', features(2)), named('m', features(2))
h.case('sparse', proto_mix('sum', 'image', 'class'), tuple(l) + tuple(m),
       {'prototypes': 'sum', 'pairing': 'image', 'absent': 'class'}, **l, **m, labels=sparse,
       teacher3=normal(2, 2, *FLAT), sigma=torch.tensor([0.35, 0.65], dtype=torch.float64))
g.save()
h.save()

g = Golden('ducisc.thresholds')
for classes in (2, 4):
    for beta in (0.99, 0.5):
        g.case(f'c{classes}_{beta}', thresholds(beta, 0, 0.95), (), {'beta': beta},
               student=normal(2, classes, 4, 6, 5, scale=3), teacher=normal(2, classes, 4, 6, 5),
               thresholds=1 / classes + 0.3 * torch.rand(classes, generator=gen, dtype=torch.float64))
sure = torch.zeros(1, 3, 4, 4, 4, dtype=torch.float64)
sure[:, 1] = 9          # class 1 everywhere, the others absent; clipped above
g.case('top', thresholds(0.1, 0, 0.95), (), {'beta': 0.1}, student=sure, teacher=sure,
       thresholds=torch.tensor([0.4, 0.5, 0.6], dtype=torch.float64))
g.case('floor', thresholds(0.1, 0.45, 0.9), (), {'beta': 0.1, 'min': 0.45, 'max': 0.9}, student=-sure, teacher=sure,
       thresholds=torch.tensor([0.5, 0.5, 0.5], dtype=torch.float64))
g.save()

g = Golden('ducisc.total')
TERMS = ('sup', 'proto_ulb', 'proto_mix', 'cs_ulb', 'cs_mix')
for mode in ('normalised', 'plain'):
    for name, values in (('all', (0.7, 0.02, 0.3, 1.4, 0.9)), ('dead', (0.7, 0, 0.3, 0, 0.9))):
        w = (0.1, 0.2, 0.3, 0.4)
        g.case(f'{mode}_{name}', total(mode, w), TERMS, {'loss_mode': mode, 'w_proto_ulb': 0.1, 'w_proto_mix': 0.2,
                                                         'w_cs_ulb': 0.3, 'w_cs_mix': 0.4},
               **{k: torch.tensor([v], dtype=torch.float64) for k, v in zip(TERMS, values)})
g.save()
