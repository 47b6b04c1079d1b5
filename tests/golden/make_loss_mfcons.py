#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes loss/mfcons.*.safetensors: the terms of MF-ConS (Wu et al., MICCAI 2024) by their formulas. Needs torch,
numpy, safetensors. Inputs are drawn again where a value lies on a change of sign or a tie of classes."""
import torch
from named import Golden, rounded
from torch.nn import functional as F

torch.manual_seed(20240)
torch.set_default_dtype(torch.float64)
GAP = 2e-3
STRICT = True       # steps of whole networks cannot avoid small differences


def clear(d, gap):
    assert not STRICT or d.abs().min() > gap


def logits(n, c, size, scale=2.0):
    while True:
        z = rounded(scale * torch.randn(n, c, *size))
        top = z.topk(2, 1).values
        if (top[:, 0] - top[:, 1]).abs().min() > GAP:
            return z


def planes(n, c, size, empty=()):
    """Labels on one plane per axis, 255 elsewhere; nothing for the images of `empty`."""
    y = torch.full((n, 1) + size, 255, dtype=torch.int32)
    truth = torch.randint(0, c, (n, 1) + size).int()
    for i in range(n):
        if i in empty:
            continue
        for a in range(len(size)):
            at = [i, 0] + [slice(None)] * len(size)
            at[2 + a] = size[a] // 2
            y[tuple(at)] = truth[tuple(at)]
    return y


# ---- supervised ----

def partial_ce(how):
    def f(logits, labels):
        n = logits.shape[0]
        logp = torch.log_softmax(logits, 1)
        means, total, count = [], 0.0, 0
        for i in range(n):
            known = labels[i, 0] != 255
            k = int(known.sum())
            if k == 0:
                means.append(None)
                continue
            one = -logp[i].movedim(0, -1)[known].gather(1, labels[i, 0][known].long()[:, None]).sum()
            means.append(one / k)
            total, count = total + one, count + k
        there = [m for m in means if m is not None]
        if not there:
            return (logits * 0).sum()
        if how == 'pooled':
            return total / count
        return sum(there) / (len(there) if how == 'kept' else n)
    return f


def sup():
    g = Golden('mfcons.sup')
    s = (5, 4, 3)
    for how in ('image', 'kept', 'pooled'):
        o = {'supervised': how}
        g.case(f'{how}', partial_ce(how), ('logits',), o, logits=logits(2, 2, s), labels=planes(2, 2, s))
        g.case(f'{how}_one_empty', partial_ce(how), ('logits',), o, logits=logits(3, 2, s),
               labels=planes(3, 2, s, (1,)))
        g.case(f'{how}_empty', partial_ce(how), ('logits',), o, logits=logits(1, 2, s), labels=planes(1, 2, s, (0,)))
        g.case(f'{how}_three', partial_ce(how), ('logits',), o, logits=logits(2, 3, s), labels=planes(2, 3, s))
    dense = torch.randint(0, 2, (1, 1) + s).int()
    g.case('dense', partial_ce('image'), ('logits',), {}, logits=logits(1, 2, s), labels=dense)
    g.case('flat', partial_ce('image'), ('logits',), {}, logits=logits(2, 2, (6, 5)), labels=planes(2, 2, (6, 5)))
    g.save()


# ---- masked prediction and stability ----

def niop(beta):
    def f(student, teacher):
        q = torch.softmax(teacher, 1)
        power = (1 / beta) * torch.log_softmax(teacher, 1)
        sharp = torch.exp(power - torch.logsumexp(power, 1, keepdim=True))
        if student.shape[1] == 2 and beta >= 0.5:       # the paper's binary form, where it does not underflow
            a = q ** (1 / beta)
            assert torch.allclose(sharp, a / (a + (1 - q) ** (1 / beta)))
        d = torch.softmax(student, 1) - sharp
        clear(d, 1e-5)
        return d.abs().mean()
    return f


def sta(student, teacher):
    d = student - teacher
    clear(d, GAP / 4)
    return d.abs().mean()


def drawn(golden, name, f, options, n, c, size, teacher=2.0):
    for _ in range(100):
        z, q = logits(n, c, size), logits(n, c, size, teacher)
        try:
            f(student=z, teacher=q)
        except AssertionError:
            continue
        golden.case(name, f, ('student',), options, student=z, teacher=q)
        return
    raise SystemExit(f'{name}: no draw without a change of sign')


def pairs():
    g = Golden('mfcons.niop')
    drawn(g, 'beta0.1', niop(0.1), {'beta': 0.1}, 2, 2, (4, 3, 5))
    drawn(g, 'beta0.5', niop(0.5), {'beta': 0.5}, 1, 2, (4, 3, 5))
    drawn(g, 'large', niop(0.1), {}, 1, 2, (4, 4, 3), teacher=30.0)
    drawn(g, 'three', niop(0.1), {}, 2, 3, (3, 3, 3))
    drawn(g, 'flat', niop(0.1), {}, 2, 2, (6, 5))
    g.save()
    g = Golden('mfcons.sta')
    drawn(g, 'two', sta, {}, 2, 2, (4, 3, 5))
    drawn(g, 'three', sta, {}, 1, 3, (4, 3, 3))
    drawn(g, 'one', sta, {}, 1, 2, (1, 2, 3))
    g.save()


def masks():
    g = Golden('mfcons.mask')
    x = torch.randn(2, 2, 6, 5, 4)
    keep = (torch.rand(2, 1, 6, 5, 4) > 0.4).double()
    for fill in ('zero', 'min'):
        def f(image, keep):
            v = torch.stack([i.min() if fill == 'min' else torch.tensor(0.0) for i in image])
            return {'masked': torch.where(keep > 0, image, v[:, None, None, None, None])}
        g.case(fill, f, (), {'mask_fill': fill}, image=x, keep=keep)
    g.case('all', lambda image, keep: {'masked': image * 0}, (), {}, image=x, keep=keep * 0)
    g.save()


# ---- prototypes ----

def prototypes(f, onehot, weight, pooled):
    """[sets, k, d]: sum Y M F / (sum Y M + 1e-5), 0 for an absent class."""
    n, k = onehot.shape[:2]
    out = []
    for group in ([list(range(n))] if pooled else [[i] for i in range(n)]):
        rows = []
        for j in range(k):
            top, bottom = 0, 0
            for i in group:
                w = onehot[i, j] * weight[i, j]
                top = top + (w * f[i]).flatten(1).sum(1)
                bottom = bottom + w.sum()
            rows.append(top / (bottom + 1e-5) if bottom > 0 else top * 0)
        out.append(torch.stack(rows))
    return torch.stack(out)


def cosines(f, protos):
    n, d = f.shape[:2]
    p = protos if protos.shape[0] == n else protos.expand(n, -1, -1)
    out = []
    for i in range(n):
        rows = [F.cosine_similarity(f[i], c.reshape(d, *[1] * (f.dim() - 2)).expand_as(f[i]), dim=0, eps=1e-8)
                for c in p[i]]
        out.append(torch.stack(rows))
    return torch.stack(out)


def fpm(gamma=0.5, scale=20.0, pairing='image', annotated='confidence', prototypes_='trained'):
    def f(feat_l, logits_l, labels, feat_u, logits_u):
        size, c = logits_l.shape[2:], logits_l.shape[1]
        mode = 'trilinear' if len(size) == 3 else 'bilinear'
        fl = F.interpolate(feat_l, size=size, mode=mode, align_corners=False)
        fu = F.interpolate(feat_u, size=size, mode=mode, align_corners=False)
        pl, pu = torch.softmax(logits_l, 1).detach(), torch.softmax(logits_u, 1)

        def onehot(y):
            return torch.stack([(y == j).double() for j in range(c)], 1)
        y = labels[:, 0]
        mixed = torch.where(y != 255, y.long(), pl.argmax(1))
        yl, yu = onehot(mixed), onehot(pu.argmax(1))
        ml = pl.clone()
        if annotated == 'one':
            ml[(y != 255)[:, None].expand_as(ml)] = 1
        cl = prototypes(fl, yl, ml, pairing == 'pooled')
        cu = prototypes(fu, yu, pu, pairing == 'pooled')
        if prototypes_ == 'fixed':
            cl = cl.detach()
        cf = gamma * cl + (1 - gamma) * cu
        ppl = torch.softmax(scale * cosines(fl, cf), 1)
        ppu = torch.softmax(scale * cosines(fu, cf), 1)
        clear(ppu - pu, 1e-5)
        a, b = (ppl - yl).abs().mean(), (ppu - pu).abs().mean()
        return {'loss': a + b, 'labeled': a, 'unlabeled': b, 'fused': cf.reshape(-1)}
    return f


def protos():
    g = Golden('mfcons.fpm')

    def case(name, f, options, n=2, c=2, size=(6, 4, 4), d=5, labels=None, half=True, shift=None):
        for _ in range(100):
            small = tuple(max(1, k // 2) for k in size) if half else size
            v = {'feat_l': torch.randn(n, d, *small) + 0.3, 'logits_l': logits(n, c, size),
                 'labels': planes(n, c, size) if labels is None else labels, 'feat_u': torch.randn(n, d, *small) + 0.3,
                 'logits_u': logits(n, c, size)}
            if shift:
                shift(v)
            v = {k: rounded(x) for k, x in v.items()}
            try:
                f(**v)
            except AssertionError:
                continue
            g.case(name, f, ('feat_l', 'logits_l'), options, **v)
            return
        raise SystemExit(f'{name}: no draw without a change of sign')

    case('plain', fpm(), {})
    case('early', fpm(gamma=0.984375), {'gamma': 0.984375})
    case('pooled', fpm(pairing='pooled'), {'pairing': 'pooled'})
    case('one', fpm(annotated='one'), {'annotated': 'one'})
    case('fixed', fpm(prototypes_='fixed'), {'prototypes': 'fixed'})
    case('three', fpm(scale=10.0), {'scale': 10}, c=3, d=4)
    case('channels', fpm(), {}, d=17, size=(4, 4, 2))
    case('batch1', fpm(), {}, n=1)
    case('flat', fpm(), {}, size=(6, 4), d=4)
    case('odd', fpm(), {}, size=(7, 5, 3))

    def no_object_l(v):         # nothing annotated, predicted background only
        v['labels'][:] = 255
        v['logits_l'][:, 0] = v['logits_l'][:, 1] + 1 + v['logits_l'][:, 0].abs()

    def no_object(v):
        no_object_l(v)
        v['logits_u'][:, 0] = v['logits_u'][:, 1] + 1 + v['logits_u'][:, 0].abs()
    case('absent_l', fpm(gamma=0.75), {'gamma': 0.75}, shift=no_object_l)
    case('absent', fpm(), {}, shift=no_object)
    case('absent_pooled', fpm(pairing='pooled'), {'pairing': 'pooled'}, shift=no_object)
    case('empty', fpm(), {}, labels=torch.full((2, 1, 6, 4, 4), 255, dtype=torch.int32))
    case('one_empty', fpm(annotated='one'), {'annotated': 'one'}, labels=planes(2, 2, (6, 4, 4), (1,)))
    g.save()


if __name__ == '__main__':
    sup()
    pairs()
    masks()
    protos()
