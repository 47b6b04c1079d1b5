# SPDX-License-Identifier: Apache-2.0
"""The terms of the baselines of docs/methods/baselines.md in PyTorch, for make_loss_baselines.py and
make_steps_baselines.py. Written from the papers' formulas."""
import math

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional as F

MARGIN = 1e-5       # no value may be closer to its threshold


def clear(x, limit):
    assert (x - limit).abs().min() > MARGIN
    return x


def ramp(t, length):
    return math.exp(-5 * (1 - min(t, length) / length) ** 2)


def hot(y, classes):
    return torch.stack([(y == c).double() for c in range(classes)], 1)


def supervised(form):
    """Half CE plus half Dice: sq over foreground classes, mc over all, both with squared denominators."""
    def f(z, labels):
        y = labels[:, 0].long()
        p, g = torch.softmax(z, 1), hot(y, z.shape[1])
        eps, first = (1e-5, 1) if form == 'sq' else (1e-10, 0)
        d = [1 - (2 * (p[:, c] * g[:, c]).sum() + eps) / ((p[:, c] ** 2).sum() + (g[:, c] ** 2).sum() + eps)
             for c in range(first, z.shape[1])]
        return 0.5 * (F.cross_entropy(z, y) + sum(d) / len(d))
    return f


def kept_mse(p, q, mask):
    """Mean over the channels of kept voxels; mask [n, ...]."""
    m = mask.double()[:, None].expand_as(p)
    return (m * (p - q) ** 2).sum() / (m.sum() + 1e-16)


def uncertainty(passes, n):
    """passes: logits [T n, c, ...]. Mean probability over T and its entropy."""
    p = torch.softmax(passes, 1).reshape((-1, n) + passes.shape[1:]).mean(0)
    return p, -(p * torch.log(p + 1e-6)).sum(1)


def uamt(share, target='pass'):
    def f(student, teacher, passes):
        p, h = uncertainty(passes, student.shape[0])
        kept = clear(h, share * math.log(student.shape[1])) < share * math.log(student.shape[1])
        loss = kept_mse(torch.softmax(student, 1), p if target == 'mean' else torch.softmax(teacher, 1), kept)
        return {'loss': loss, 'kept': kept.double()[:, None]}
    return f


def cross(a, b):
    return F.cross_entropy(a, b.argmax(1)) + F.cross_entropy(b, a.argmax(1))


def ict(mix):
    def f(student, first, second):
        target = (1 - mix) * torch.softmax(first, 1) + mix * torch.softmax(second, 1)
        return ((torch.softmax(student, 1) - target) ** 2).mean()
    return f


def acmt(share):
    def f(student, teacher):
        p = torch.softmax(student, 1)
        h = -(p.detach() * torch.log(p.detach() + 1e-6)).sum(1) / math.log(p.shape[1])
        kept = clear(h, share) >= share
        return {'loss': kept_mse(p, torch.softmax(teacher, 1), kept), 'kept': kept.double()[:, None]}
    return f


# ---- CPCL: prototypes ----

def up(f, size):
    return F.interpolate(f, size=size, mode='trilinear' if len(size) == 3 else 'bilinear', align_corners=False)


def prototypes(f, weight, pooled):
    """weight [n, k, ...] -> [n, k, d]: sum w F / (sum w + 1e-5); pooled: one set for all."""
    top, bottom = torch.einsum('nkv,ndv->nkd', weight.flatten(2), f.flatten(2)), weight.flatten(2).sum(2)
    if pooled:
        top, bottom = top.sum(0, keepdim=True), bottom.sum(0, keepdim=True)
    p = top / (bottom[..., None] + 1e-5)
    return p.expand(f.shape[0], -1, -1)


def by_cosine(f, p, scale):
    rows = [F.cosine_similarity(f, p[:, k].reshape(p.shape[0], -1, *[1] * (f.dim() - 2)).expand_as(f), dim=1, eps=1e-8)
            for k in range(p.shape[1])]
    return scale * torch.stack(rows, 1)


def l2u(scale=20.0, pairing='image', proto='trained'):
    def f(feat_l, logits_l, labels, feat_u, logits_u):
        size, c = logits_u.shape[2:], logits_u.shape[1]
        fl = up(feat_l, size)
        w = hot(labels[:, 0], c) * torch.softmax(logits_l, 1).detach()
        p = prototypes(fl.detach() if proto == 'fixed' else fl, w, pairing == 'pooled')
        pred = torch.softmax(by_cosine(up(feat_u, size), p, scale), 1)
        return ((pred - torch.softmax(logits_u, 1)) ** 2).mean()
    return f


def u2l(scale=20.0, pairing='image', proto='trained', form='ce'):
    def f(feat_l, logits_l, labels, feat_u, logits_u):
        size, c = logits_u.shape[2:], logits_u.shape[1]
        q = torch.softmax(logits_u, 1)
        p = prototypes(up(feat_u, size), hot(q.argmax(1), c) * q, pairing == 'pooled')
        fl = up(feat_l.detach() if proto == 'fixed' else feat_l, size)
        z = by_cosine(fl, p, scale)
        y = labels[:, 0].long()
        if (y == 255).all():
            return 0 * z.sum()
        return F.cross_entropy(torch.softmax(z, 1) if form == 'twice' else z, y, ignore_index=255)
    return f


def logit_mse(student, teacher):
    return ((student - teacher) ** 2).mean()


# ---- DTC: signed distances ----

def signed_distance(mask):
    """Of one object, [-1, 1], negative inside; scipy's exact distance transform."""
    m = mask.numpy() > 0
    if not m.any() or m.all():
        return torch.zeros(mask.shape)
    inside, outside = ndimage.distance_transform_edt(m), ndimage.distance_transform_edt(~m)
    around = ndimage.generate_binary_structure(m.ndim, 1)
    edge = m & ndimage.binary_dilation(~m, around)      # object voxels that share a face with the surroundings
    d = outside / outside.max() - inside / inside.max()
    return torch.from_numpy(np.where(edge, 0, d))


def dtc_sup(beta=0.3):
    def f(logits, labels):
        c = logits.shape[1] // 2
        level, p = torch.tanh(logits[:, :c]), torch.sigmoid(logits[:, c:])
        y, known = labels[:, 0], (labels != 255).double()
        obj = torch.stack([(y == k + 1).double() for k in range(c)], 1)
        sdf = torch.stack([torch.stack([signed_distance(o) for o in one]) for one in obj])
        dice = [1 - (2 * (known[:, 0] * p[:, k] * obj[:, k]).sum() + 1e-5) /
                ((known[:, 0] * p[:, k] ** 2).sum() + (known[:, 0] * obj[:, k]).sum() + 1e-5) for k in range(c)]
        distance = (known * (level - sdf) ** 2).sum() / (known.sum() * c)
        return {'loss': sum(dice) / c + beta * distance, 'dice': sum(dice) / c, 'distance': distance, 'sdf': sdf}
    return f


def dtc_task(steepness):
    def f(logits):
        c = logits.shape[1] // 2
        mask = torch.sigmoid(-steepness * torch.tanh(logits[:, :c]))
        return ((mask - torch.sigmoid(logits[:, c:])) ** 2).mean()
    return f
