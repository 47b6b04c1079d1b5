# SPDX-License-Identifier: Apache-2.0
"""The terms of DuCiSC (paper 001, Eq. 2 to 11) in PyTorch, for make_loss_ducisc.py and make_steps_ducisc.py. Inputs
come by the names of the named losses (src/method/ducisc_named.c)."""
import torch
from torch.nn import functional as F

MARGIN = 1e-4       # no voxel may be closer to its threshold


def ones(x):
    """The axes behind the second, for views."""
    return (1,) * (x.dim() - 2)


def pick(args, prefix):
    return [args[f'{prefix}{i}'] for i in range(4)]


def shrink(y, size):
    """Labels at another size, nearest voxel."""
    return F.interpolate(y.double(), size=tuple(size), mode='nearest').long()


def hot(y, classes):
    """[n, 1, ...] to [n, classes, ...]; 255 is nothing."""
    return torch.stack([(y[:, 0] == c).double() for c in range(classes)], 1)


def dice(p, g, m):
    """Over the batch, foreground classes, linear denominators."""
    losses = []
    for c in range(1, p.shape[1]):
        a, b = p[:, c][m], g[:, c][m]
        losses.append(1 - (2 * (a * b).sum() + 1e-8) / (a.sum() + b.sum() + 1e-8))
    return sum(losses) / len(losses)


def sup(**a):
    total = 0
    for z in pick(a, 'z'):
        y = shrink(a['labels'], z.shape[2:])[:, 0]
        known = y != 255
        c = z.shape[1]
        ce = F.cross_entropy(z, y, ignore_index=255) if known.any() else 0 * z.sum()
        total = total + 0.5 * (ce + dice(torch.softmax(z, 1), hot(y[:, None], c), known))
    return total / 4


def reliable(teacher, thresholds, kind, fixed):
    p = torch.softmax(teacher, 1)
    if kind == 'none':
        return torch.ones_like(p[:, 0], dtype=torch.bool)
    if kind == 'fixed':
        assert (p.max(1)[0] - fixed).abs().min() > MARGIN
        return p.max(1)[0] > fixed
    th = thresholds.view(1, -1, *ones(p))
    assert (p - th).abs().min() > MARGIN
    return (p > th).any(1)


def masks(a, kind, fixed):
    th = a['thresholds'].reshape(4, -1)
    return [reliable(t, th[i], kind, fixed) for i, t in enumerate(pick(a, 'teacher'))]


def cs_ulb(kind='adaptive', fixed=0.95):
    def f(**a):
        kept = masks(a, kind, fixed)
        total = 0
        for z, t, m in zip(pick(a, 'z'), pick(a, 'teacher'), kept):
            y = t.argmax(1)
            if not m.any():
                total = float('nan') + total
                continue
            ce = F.cross_entropy(z, y, reduction='none')[m].mean()
            total = total + 0.5 * (ce + dice(torch.softmax(z, 1), hot(y[:, None], z.shape[1]), m))
        total = torch.as_tensor(total) / 4
        out = {'loss': total if torch.isfinite(total) else sum(z.sum() for z in pick(a, 'z')) * 0}
        if kind != 'none':
            out.update({f'kept{i}': m.double()[:, None] for i, m in enumerate(kept)})
        return out
    return f


def target(labels, teacher, sigma):
    classes = teacher.shape[1]
    s = sigma.view(-1, 1, *ones(teacher))
    y = s * hot(labels, classes) + (1 - s) * hot(teacher.argmax(1, keepdim=True), classes)
    return torch.where(labels == 255, torch.zeros(()), y)


def soft(y, size):
    return F.interpolate(y, size=tuple(size), mode='trilinear' if y.dim() == 5 else 'bilinear',
                         align_corners=False)


def cs_mix(kind='adaptive', fixed=0.95, ce=False):
    def f(**a):
        full = target(a['labels'], a['teacher3'], a['sigma'])
        total, dead = 0, False
        for z, m in zip(pick(a, 'z'), masks(a, kind, fixed)):
            y = soft(full, z.shape[2:])
            m = m & (shrink(a['labels'], z.shape[2:])[:, 0] != 255)
            dead = dead or not m.any()
            logp = torch.log_softmax(z, 1)
            term = -(y * logp).sum(1) if ce else (torch.xlogy(y, y) - y * logp).mean(1)
            total = total + 0.5 * (term[m].sum() / max(int(m.sum()), 1) + dice(torch.softmax(z, 1), y, m))
        return {'loss': total * 0 if dead else total / 4, 'target': full}
    return f


def prototype(f, w):
    """[n, d, ...] and [n, classes, ...] to [n, classes, d], and which classes are there."""
    total = w.flatten(2).sum(2)
    p = torch.einsum('nkv,ndv->nkd', w.flatten(2), f.flatten(2))
    return p / torch.where(total > 0, total, torch.ones(()).double())[:, :, None], total > 0


def distance(pairs, form, pairing, absent, classes):
    """pairs: for each scale prototypes of the labelled and of the others."""
    values = []
    for (p, have_p), (q, have_q) in pairs:
        if absent == 'scale':
            if not (have_p.all() and have_q.all()):
                values.append(None)
                continue
            if pairing == 'batch':
                p, q = p.mean(0, keepdim=True), q.mean(0, keepdim=True)
            d2 = (p - q) ** 2
            values.append(d2.sum() / classes / len(d2) if form == 'sum' else d2.mean())
        elif pairing == 'image':
            both = have_p & have_q
            d2 = torch.stack([((p[i, k] - q[i, k]) ** 2).sum() for i in range(len(p)) for k in range(classes)
                              if both[i, k]]) if both.any() else torch.zeros(0)
            if form == 'sum':
                values.append(d2.sum() / classes / len(p))
            else:
                values.append(d2.mean() / p.shape[2] if both.any() else None)
        else:
            d2 = []
            for k in range(classes):
                if have_p[:, k].any() and have_q[:, k].any():
                    d2.append(((p[have_p[:, k], k].mean(0) - q[have_q[:, k], k].mean(0)) ** 2).sum())
            d2 = torch.stack(d2) if d2 else torch.zeros(0)
            if form == 'sum':
                values.append(d2.sum() / classes)
            else:
                values.append(d2.mean() / p.shape[2] if len(d2) else None)
    there = [v for v in values if v is not None]
    if not there:
        return torch.zeros((), dtype=torch.float64)
    return sum(there) if form == 'sum' else sum(there) / len(there)


def proto_ulb(form, pairing, absent):
    def f(**a):
        pairs = []
        classes = a['teacher0'].shape[1]
        for l, u, t in zip(pick(a, 'l'), pick(a, 'u'), pick(a, 'teacher')):
            wl = hot(shrink(a['labels'], l.shape[2:]), classes)
            wu = hot(t.argmax(1, keepdim=True), classes)
            pairs.append((prototype(l, wl), prototype(u, wu)))
        return distance(pairs, form, pairing, absent, classes)
    return f


def proto_mix(form, pairing, absent):
    def f(**a):
        pairs = []
        full = target(a['labels'], a['teacher3'], a['sigma'])
        classes = full.shape[1]
        for l, m in zip(pick(a, 'l'), pick(a, 'm')):
            wl = hot(shrink(a['labels'], l.shape[2:]), classes)
            pairs.append((prototype(l, wl), prototype(m, soft(full, m.shape[2:]))))
        return distance(pairs, form, pairing, absent, classes)
    return f


def thresholds(beta, lo, hi):
    def f(student, teacher, thresholds):
        p, y = torch.softmax(student, 1), teacher.argmax(1)
        new = []
        for c, old in enumerate(thresholds.reshape(-1)):
            m = y == c
            moved = (beta * old + (1 - beta) * p[:, c][m].mean()).clamp(lo or 1 / p.shape[1], hi) if m.any() else old
            new.append(moved)
        return {'thresholds': torch.stack(new)}
    return f


def total(mode, w):
    def f(sup, proto_ulb, proto_mix, cs_ulb, cs_mix):
        out = 0 * sup.sum()
        for x, v in zip((sup, proto_ulb, proto_mix, cs_ulb, cs_mix), (1,) + w):
            if mode == 'plain':
                out = out + v * x.sum()
            elif float(x) != 0:
                out = out + v * (x / x.detach()).sum()
        return out
    return f
