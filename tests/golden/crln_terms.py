# SPDX-License-Identifier: Apache-2.0
"""The terms of CRLN (paper 002, Eq. 2 and 8 to 16; methods.md 4) in PyTorch, for make_loss_crln.py and
make_steps_crln.py. Inputs come by the names of the named losses (src/method/crln_named.c)."""
import numpy as np
import torch
from torch.nn import functional as F

MARGIN = 1e-4       # no voxel may be closer to a threshold or to another label


def clear(p, *thresholds):
    """Fails where a value is close to a threshold."""
    for t in thresholds:
        assert (p - t).abs().min() > MARGIN


def segment(z, labels):
    """Half of cross-entropy and Dice with squared denominators, foreground, over the batch."""
    y = labels[:, 0].long()
    known = y != 255
    p = torch.softmax(z, 1)
    ce = F.cross_entropy(z, y, ignore_index=255) if known.any() else 0 * z.sum()
    dice = 0
    for c in range(1, z.shape[1]):
        a, b = p[:, c][known], (y[known] == c).double()
        dice = dice + 1 - (2 * (a * b).sum() + 1e-5) / ((a * a).sum() + (b * b).sum() + 1e-5)
    return 0.5 * (ce + dice / (z.shape[1] - 1))


def sup(w_map=1):
    return lambda z, cue, labels: segment(z, labels) + w_map * segment(cue, labels)


def op(z, cue, a, labels):
    return segment(z + (1 - a) * cue, labels)


def pseudo(z, cue, a):
    p = torch.softmax(z + (1 - a) * cue, 1)
    top = p.sort(1, descending=True)[0]
    clear(top[:, 0] - top[:, 1], 0)
    conf, label = p.max(1, keepdim=True)
    return {'label': label.int(), 'conf': conf}


def unsup(tau=0.97, form='share'):
    def f(z, labels, conf):
        clear(conf, tau)
        y = labels[:, 0].long()
        known = y != 255
        sure = (conf[:, 0] >= tau) & known
        ce = F.cross_entropy(z, torch.where(known, y, 0), reduction='none') * known
        if form == 'filter':
            loss = (ce * sure).sum() / y.numel()
        else:
            share = sure.flatten(1).sum(1).double() / known.flatten(1).sum(1).clamp(min=1)
            live = int((ce > 0).sum())
            loss = (ce.flatten(1).sum(1) * share).sum() / max(live, 1)
        return {'loss': loss, 'kept': sure.sum().double() / max(int(known.sum()), 1)}
    return f


def ranked(words, count):
    """Random 32-bit words to whole numbers below count."""
    return [(int(w) % 2 ** 32) * count >> 32 for w in words]


def contrast(z, rep, valid, prototypes, choose, tau, temperature, xi, positive, reduction):
    """valid [n, C, ...] bool. choose(c, hard, valid, odds): numbers of the anchors of class c [q] and of their
    negatives [q, m] among the lists of voxels, or None. Voxels are numbered sample after sample."""
    c_num, d = z.shape[1], rep.shape[1]
    p = torch.softmax(z, 1)
    rows = rep.movedim(1, -1).reshape(-1, d)
    fixed = rows.detach()
    inside = [valid[:, c].reshape(-1) for c in range(c_num)]
    hard = [i & (p[:, c].reshape(-1) < tau) for c, i in enumerate(inside)]
    present = [c for c in range(c_num) if inside[c].any()]
    lists = [i.nonzero()[:, 0] for i in inside]
    drawn = {}
    total = 0 * rep.sum()
    means = {c: fixed[inside[c]].mean(0) for c in present}
    for c in range(c_num):
        odds = torch.zeros(c_num, dtype=torch.float64)
        for k in present:
            if k != c:
                m = means.get(c, torch.zeros(d, dtype=torch.float64))
                odds[k] = torch.exp(F.cosine_similarity(m, means[k], dim=0, eps=1e-8) / temperature)
        anchors, negatives = choose(c, hard[c].nonzero()[:, 0], lists, odds)
        drawn[c] = anchors
        if c not in present or len(present) < 2 or not hard[c].any():
            continue
        goal = means[c]
        if prototypes is not None and positive != 'mean':
            own = prototypes.reshape(c_num, d, -1)[c].mean(-1)
            goal = own if positive == 'prototype' else (goal + xi * own) / (1 + xi)
        r = rows[anchors]
        plus = F.cosine_similarity(r, goal[None], dim=1, eps=1e-8) / temperature
        minus = F.cosine_similarity(r[:, None], fixed[negatives], dim=2, eps=1e-8) / temperature
        scores = torch.cat([plus[:, None], minus], 1)
        loss = F.cross_entropy(scores, torch.zeros(len(r), dtype=torch.long), reduction='none')
        total = total + (loss.sum() if reduction == 'sum' else loss.mean() / len(present))
    return total, drawn


def choose_by(anchor_words, negative_words, queries, negatives):
    """The rule of pv_voxel_draw for given words."""
    def pick(words, lists, odds):
        out = []
        for r, s in words:
            r = (int(r) % 2 ** 32 >> 8) / 2 ** 24 * float(odds.sum())
            total, k = 0.0, None
            for i, w in enumerate(odds.tolist()):
                if w > 0 and (k is None or r >= total):
                    k = i
                total += w
            if k is None or len(lists[k]) == 0:
                out.append(-1)
            else:
                out.append(int(lists[k][ranked([s], len(lists[k]))[0]]))
        return torch.tensor(out)

    def choose(c, hard, lists, odds):
        a = pick(anchor_words[0, 0, c].tolist(), [hard], torch.ones(1))
        n = pick(negative_words[0, 0, c].tolist(), lists, odds)
        return a, n.reshape(queries, negatives)
    return choose


def cps(tau=0.97, tau_weak=0.7, queries=4, negatives=6, temperature=0.5, xi=0.6, positive='both', reduction='mean'):
    def f(z_l, rep_l, labels_l, z_u, rep_u, labels_u, conf_u, anchor_words, negative_words, prototypes=None):
        z, rep = torch.cat([z_l, z_u]), torch.cat([rep_l, rep_u])
        clear(torch.softmax(z, 1), tau)
        clear(conf_u, tau_weak)
        labels = torch.cat([labels_l, labels_u])[:, 0]
        count = torch.cat([torch.ones_like(labels_l, dtype=torch.bool), conf_u >= tau_weak])[:, 0]
        valid = torch.stack([(labels == c) & count for c in range(z.shape[1])], 1)
        loss, drawn = contrast(z, rep, valid, prototypes, choose_by(anchor_words, negative_words, queries, negatives),
                               tau, temperature, xi, positive, reduction)
        return {'loss': loss, **{f'anchors{c}': v.double() for c, v in drawn.items()}}
    return f


# ---- strong views ----

def centre(side, patch):
    """The first voxel that is kept, in the side's own numbers, after padding and cutting from the middle."""
    pad = max((patch - side) // 2 + 3, 0)
    return int(np.round((side + 2 * pad - patch) / 2.0)) - pad, pad


def cubic(t):
    """Keys' weights (a = -0.75) of the voxels at -1, 0, 1, 2 for a place t behind 0."""
    a = -0.75

    def near(x):
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x):
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.array([far(t + 1), near(t), near(1 - t), far(2 - t)])


def resize(v, side, axis, kind):
    """One axis to `side` voxels as cv2 does: nearest voxel, or cubic with edges repeated."""
    old = v.shape[axis]
    if kind == 'nearest':
        return np.take(v, [i * old // side for i in range(side)], axis)
    out = []
    for i in range(side):
        at = (i + 0.5) * old / side - 0.5
        base = int(np.floor(at))
        w = cubic(at - base)
        out.append(sum(w[k] * np.take(v, min(max(base - 1 + k, 0), old - 1), axis) for k in range(4)))
    return np.stack(out, axis)


def cut(v, sides, patch, mode, fill=0):
    """Pads the first two axes and cuts the patch from their middle."""
    for axis in (0, 1):
        first, pad = centre(sides[axis], patch[axis])
        width = [(0, 0)] * v.ndim
        width[axis] = (pad, pad)
        v = np.pad(v, width, mode='reflect') if mode == 'reflect' else np.pad(v, width, constant_values=fill)
        v = np.take(v, range(first + pad, first + pad + patch[axis]), axis)
    return v


def min_max(v):
    return (v - v.min()) / max(v.max() - v.min(), 1e-8)


def strong(image, label, conf, choice, noise):
    """image, conf [n, 1, x, y, z] float64 and label int; choice: by the names of the method's random choices, numbers
    per sample. Returns the three as tensors."""
    n, patch = image.shape[0], image.shape[2:]
    x, y, p = ([t[i, 0].numpy() for i in range(n)] for t in (image, label, conf))
    for i in range(n):
        sides = [int(s * choice['scale'][i]) for s in patch[:2]]
        v = min_max(x[i])
        for axis in (0, 1):
            v = resize(v, sides[axis], axis, 'cubic')
            y[i] = resize(y[i], sides[axis], axis, 'nearest')
            p[i] = resize(p[i], sides[axis], axis, 'nearest')
        x[i] = min_max(cut(v, sides, patch, 'reflect'))
        y[i] = cut(y[i], sides, patch, 'constant', 255)
        p[i] = cut(p[i], sides, patch, 'constant', 0)
    order = list(range(n))
    for i in range(n - 1, 0, -1):
        j = choice['cutmix_from'][i]
        order[i], order[j] = order[j], order[i]
    ratio = np.sqrt(1 - sorted(choice['cutmix_lambda'])[3])
    mixed = []
    for i in range(n):
        lo, hi = [], []
        for k in (0, 1):
            mid, half = patch[k] // 8 + choice['cutmix_centre'][2 * i + k], int(patch[k] * ratio) // 2
            lo.append(max(mid - half, 0))
            hi.append(min(mid + half, patch[k]))
        parts = []
        for v in (x, y, p):
            w = v[i].copy()
            w[lo[0]:hi[0], lo[1]:hi[1]] = v[order[i]][lo[0]:hi[0], lo[1]:hi[1]]
            parts.append(w)
        mixed.append(parts)
    out = []
    for i, (a, b, c) in enumerate(mixed):
        if choice['intensity_on'][i] < 0.8:
            a = np.clip(a * choice['intensity'][i], 0, 1)
        if choice['noise_on'][i] < 0.5:
            a = a + noise[i, 0].numpy()
        if choice['turn_on'][i] < 0.5:
            a, b, c = (np.flip(np.rot90(v, choice['turn'][i], axes=(0, 1)), choice['flip'][i]) for v in (a, b, c))
        out.append((min_max(a), b, c))
    return [torch.stack([torch.from_numpy(np.ascontiguousarray(o[k])) for o in out])[:, None] for k in range(3)]
