# SPDX-License-Identifier: Apache-2.0
"""The terms of MCF and of the dual network of paper 003 (Eq. 2 to 20) in PyTorch, for make_loss_cce.py and
make_steps_cce.py. a and b are the logits of the two networks."""
import torch
from torch.nn import functional as F

MARGIN = 1e-5       # no value may be closer to its threshold, unless it is equal


def clear(x, limit):
    d = (x - limit).abs()
    assert d[d > 0].min() > MARGIN if (d > 0).any() else True
    return x


def hot(y, classes):
    return torch.stack([(y == c).double() for c in range(classes)], 1)


def supervised(z, labels):
    """CE and Dice; labels [n, 1, ...]. Returns (CE + Dice, Dice)."""
    y = labels[:, 0].long()
    ce = F.cross_entropy(z, y, ignore_index=255)
    p, g, losses = torch.softmax(z, 1), hot(y, z.shape[1]), []
    m = y != 255
    for c in range(1, z.shape[1]):
        a, b = p[:, c][m], g[:, c][m]
        losses.append(1 - (2 * (a * b).sum() + 1e-5) / ((a * a).sum() + (b * b).sum() + 1e-5))
    dice = sum(losses) / len(losses)
    return ce + dice, dice


def confident(z, sure):
    """[n, foreground classes, ...]: predicted with at least that probability."""
    p = torch.softmax(z.detach(), 1)
    clear(p[:, 1:], sure)
    return (hot(p.argmax(1), z.shape[1])[:, 1:] > 0) & (p[:, 1:] >= sure)


def disagree(a, b, labels, sure, mask='xor'):
    ca, cb = confident(a, sure), confident(b, sure)
    m = (ca | cb) if mask == 'or' else (ca ^ cb)
    return (m & (labels != 255)).double()


def rectify(z, labels, m):
    p, y = torch.softmax(z, 1)[:, 1:], hot(labels[:, 0], z.shape[1])[:, 1:]
    return (m * (p - y) ** 2).sum() / (m.sum() + 1e-16)


def cr(sure, mask):
    def f(a, b, labels):
        m = disagree(a, b, labels, sure, mask)
        return {'loss': rectify(a, labels, m) + rectify(b, labels, m), 'mask': m}
    return f


def cps(a, b):
    return F.cross_entropy(b, a.argmax(1)) + F.cross_entropy(a, b.argmax(1))


def entropy(z):
    p = torch.softmax(z.detach(), 1)
    return -(torch.xlogy(p, p) / torch.log(torch.tensor(2.0, dtype=torch.float64))).sum(1)


def thresholds(a, b, gamma):
    """(entropy, percentile) of each."""
    out = []
    for z in (a, b):
        e = entropy(z)
        flat = e.flatten().sort()[0]
        at = gamma / 100 * (len(flat) - 1)
        low = int(at)
        tau = flat[low] if at == low else flat[low] + (at - low) * (flat[low + 1] - flat[low])
        out.append((clear(e, tau), tau))
    return out


def efs(gamma, ignore='or', label='cross'):
    def f(a, b):
        (ea, ta), (eb, tb) = thresholds(a, b, gamma)
        high = (ea > ta) & (eb > tb) if ignore == 'and' else (ea > ta) | (eb > tb)
        ya, yb = a.argmax(1), b.argmax(1)
        one = torch.where(ya > 0, ya, yb)
        for_a, for_b = {'cross': (yb, ya), 'own': (ya, yb), 'union': (one, one)}[label]
        kept = ~high
        loss = sum(F.cross_entropy(z, y, reduction='none')[kept].mean() if kept.any() else 0 * z.sum()
                   for z, y in ((a, for_a), (b, for_b)))
        return {'loss': loss, 'kept': kept.double()[:, None], 'tau_a': ta, 'tau_b': tb}
    return f


def une(label='soft', temperature=0.5, detach=False):
    def f(p, q):
        q = q.detach()
        logp, logq = torch.log_softmax(p, 1), torch.log_softmax(q, 1)
        if label == 'hard':
            ce = F.cross_entropy(p, q.argmax(1), reduction='none')
        else:
            ce = -(torch.softmax(q / temperature, 1) * logp).sum(1)
        d = (logq.exp() * (logq - logp)).sum(1)
        w = torch.exp(-(d.detach() if detach else d))
        return (w * ce + d).mean()
    return f


def pgl(gamma, normalise=True, separation=1.0, live=False, net='a'):
    def f(a, b, f):
        (ea, ta), (eb, tb) = thresholds(a, b, gamma)
        sure = (a.argmax(1) == b.argmax(1)) & (ea < ta) & (eb < tb)
        own = (a if net == 'a' else b).argmax(1)
        rows = f.movedim(1, -1)             # [n, ..., d]
        u = F.normalize(rows, dim=-1) if normalise else rows
        centre, total = {}, f.sum() * 0
        for c in range(a.shape[1]):
            mine = sure & (a.argmax(1) == c)
            if mine.any():
                p = rows[mine].mean(0)
                centre[c] = p / p.norm() if normalise else p
        for c, p in centre.items():
            open_ = ~sure & (own == c)
            if open_.any():
                total = total + (u[open_] - p.detach()).norm(dim=-1).mean()
        pairs = [(c, d) for c in centre for d in centre if c < d]
        if pairs and separation:
            apart = sum((centre[c] - centre[d]).norm() for c, d in pairs) / len(pairs)
            total = total + separation * (apart if live else apart.detach())
        return total
    return f


def cosine(a, b):
    return (1 - F.cosine_similarity(torch.softmax(a, 1), torch.softmax(b, 1), dim=1)).mean()


def teach(temperature):
    """MCF: the winner's sharpened probabilities for the loser."""
    def sharpen(z):
        p = torch.softmax(z.detach(), 1) ** (1 / temperature)
        return p / p.sum(1, keepdim=True)

    def f(a, b, dice_a, dice_b):
        if float(dice_b) < float(dice_a):
            return ((torch.softmax(a, 1) - sharpen(b)) ** 2).mean()
        return ((torch.softmax(b, 1) - sharpen(a)) ** 2).mean()
    return f
