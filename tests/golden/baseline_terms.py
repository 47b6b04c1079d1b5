# SPDX-License-Identifier: Apache-2.0
"""The terms of the baselines of docs/methods/baselines.md in PyTorch, for make_loss_baselines.py and
make_steps_baselines.py. Written from the papers' formulas."""
import math

import torch
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


def uamt(share):
    def f(student, teacher, passes):
        p, h = uncertainty(passes, student.shape[0])
        kept = clear(h, share * math.log(student.shape[1])) < share * math.log(student.shape[1])
        loss = kept_mse(torch.softmax(student, 1), torch.softmax(teacher, 1), kept)
        return {'loss': loss, 'kept': kept.double()[:, None]}
    return f


def cross(a, b):
    return F.cross_entropy(a, b.argmax(1)) + F.cross_entropy(b, a.argmax(1))


def ict(mix):
    def f(student, first, second):
        target = (1 - mix) * torch.softmax(first, 1) + mix * torch.softmax(second, 1)
        return ((torch.softmax(student, 1) - target) ** 2).mean()
    return f
