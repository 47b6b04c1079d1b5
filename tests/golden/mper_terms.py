# SPDX-License-Identifier: Apache-2.0
"""Terms of MPER (paper 004) in PyTorch, shared by make_loss_mper.py and make_steps_mper.py. Prototypes are
[classes, K, d]."""
import torch
import torch.nn.functional as F
from bcp_terms import mix


def cosines(f, p):
    """[n, classes, K, ...]"""
    z = F.normalize(f, dim=1)
    return torch.einsum('nd...,ckd->nck...', z, F.normalize(p, dim=-1))


def scores(f, p, tau):
    return cosines(f, p).max(2)[0] / tau


def proto(each, tau=0.1, margin=1e-4, **form):
    def g(f, prototypes, outer, inner, mask):
        p = prototypes.reshape(-1, each, f.shape[1])
        if each > 1:
            top = cosines(f, p).detach().topk(2, 2)[0]
            assert float((top[:, :, 0] - top[:, :, 1]).min()) > margin, 'two prototypes are nearly as near'
        z = scores(f, p, tau)
        return {'loss': mix(**form)(z, outer, inner, mask), 'scores': z}
    return g


def contrast(tau=0.1, ignore0=True, margin=1e-4):
    def g(f, prototypes):
        p = prototypes.reshape(-1, f.shape[1])
        s = torch.einsum('nd...,kd->nk...', F.normalize(f, dim=1), F.normalize(p, dim=1))
        top = s.detach().topk(2, 1)[0]
        assert float((top[:, 0] - top[:, 1]).min()) > margin, 'two prototypes are nearly as near'
        nearest = s.argmax(1)
        loss = F.cross_entropy(s / tau, nearest, reduction='none')
        keep = nearest != 0 if ignore0 else torch.ones_like(nearest, dtype=torch.bool)
        return {'loss': loss[keep].mean() if keep.any() else 0 * loss.sum(), 'nearest': nearest[:, None]}
    return g


def update(each, eta=0.99, alpha=0.9, parts='both', background=False, margin=1e-4):
    def g(f, prototypes, label, mask, sure):
        p = prototypes.reshape(-1, each, f.shape[1]).clone()
        s = cosines(f, p)
        flat = s.flatten(1, 2).topk(2, 1)[0]
        assert float((flat[:, 0] - flat[:, 1]).min()) > margin and float((sure - alpha).abs().min()) > margin
        cls, k = s.max(2)[0].argmax(1), s.argmax(2)             # [n, ...], [n, classes, ...]
        y = label[:, 0].long()
        ok = cls == y
        rows = f.movedim(1, -1)
        pseudo, known = mask[:, 0] == 0, mask[:, 0] == 1
        regions = []
        if parts in ('both', 'unlabeled'):
            regions.append(pseudo & (sure[:, 0] > alpha))
        if parts in ('both', 'labeled'):
            regions.append(known)
        for region in regions:
            for c in range(0 if background else 1, p.shape[0]):
                for j in range(each):
                    here = ok & region & (y == c) & (k[:, c] == j)
                    if here.any():
                        p[c, j] = eta * p[c, j] + (1 - eta) * rows[here].mean(0)
        return {'prototypes': p.reshape(prototypes.shape)}
    return g
