# SPDX-License-Identifier: Apache-2.0
"""Copy-paste (BCP) in PyTorch and SciPy, shared by make_loss_bcp.py, make_steps_bcp.py and their MPER twins."""
import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage


def dice_mask(p, y, m):
    """1 - mean over samples and classes of (2 sum p g m + e) / (sum p m + sum g m + e), e = 1e-5."""
    g = torch.stack([(y[:, 0] == c).double() for c in range(p.shape[1])], 1)
    dims = tuple(range(2, p.dim()))
    inter, total = (p * g * m).sum(dims), (p * m).sum(dims) + (g * m).sum(dims)
    return 1 - ((2 * inter + 1e-5) / (total + 1e-5)).mean()


def dice_mc(p, y, m, background=True, known=None):
    """Mean over classes of 1 - (2 sum p g m + e) / (sum p^2 m + sum g m + e) over the batch, e = 1e-10."""
    loss = 0
    for c in range(p.shape[1]):
        q, g = p[:, c:c + 1], (y == c).double()
        w = m if c or background else known
        loss = loss + 1 - (2 * (q * g * w).sum() + 1e-10) / ((q * q * w).sum() + (g * w).sum() + 1e-10)
    return loss / p.shape[1]


def mix(w_outer=1.0, w_inner=0.5, dice='mask', background=True):
    def f(z, outer, inner, mask):
        logp, p = F.log_softmax(z, 1), F.softmax(z, 1)
        loss = 0
        for y, part, w in ((outer, mask, w_outer), (inner, 1 - mask, w_inner)):
            known = (y != 255).double()
            m = part * known
            safe = torch.where(y == 255, torch.zeros_like(y), y).long()
            ce = -logp.gather(1, safe)
            d = dice_mask(p, y, m) if dice == 'mask' else dice_mc(p, y, m, background, known)
            loss = loss + w * (d + (ce * m).sum() / (m.sum() + 1e-16)) / 2
        return loss
    return f


def joint(dice='mask'):
    def f(z, labels):
        known = (labels != 255).double()
        p = F.softmax(z, 1)
        ce = F.cross_entropy(z, labels[:, 0].long(), ignore_index=255) if known.sum() else 0 * z.sum()
        return (ce + (dice_mask if dice == 'mask' else dice_mc)(p, labels, known)) / 2
    return f


def largest(y, classes):
    """The largest component of each class and sample; the first one of equally large ones."""
    out = np.zeros_like(y)
    for i in range(y.shape[0]):
        for c in range(1, classes):
            comp, n = ndimage.label(y[i, 0] == c, np.ones((3,) * (y.ndim - 2)))
            if n:
                sizes = ndimage.sum(np.ones_like(comp), comp, range(1, n + 1))
                start = ndimage.minimum(np.arange(comp.size).reshape(comp.shape), comp, range(1, n + 1))
                best = min(range(n), key=lambda k: (-sizes[k], start[k])) + 1
                out[i, 0][comp == best] = c
    return out


def pseudo(keep=True, margin=0):
    def f(teacher):
        top = teacher.topk(2, 1)[0]
        assert float((top[:, 0] - top[:, 1]).min()) > margin, 'a voxel is nearly a tie'
        y = teacher.argmax(1, keepdim=True).int()
        return {'labels': torch.from_numpy(largest(y.numpy(), teacher.shape[1])) if keep else y}
    return f


def box_mask(n, size, first, side):
    """1 outside the box, 0 inside."""
    m = torch.ones((n, 1) + tuple(size), dtype=torch.float64)
    m[(slice(None), slice(None)) + tuple(slice(a, a + b) for a, b in zip(first, side))] = 0
    return m
