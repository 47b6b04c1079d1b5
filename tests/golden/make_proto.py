#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes proto.safetensors: prototypes, cosines and distances in PyTorch, float64, gradients by autograd.

    make_proto.py        (needs torch and safetensors; the file lies beside this script)

Names are CASE.VALUE. f, g: feature maps [n, d, x, y, z]; w: weights [n, k, x, y, z]; p, q: prototypes [sets, k, d];
idx: int32 [n, 1, x, y, z]; dy: gradient of the result; dX: gradient of X. Numbers that C takes as fp32 are exact
there.
"""
import os

import torch
from safetensors.torch import save_file
from torch.nn import functional as F

N, D, K, GRID = 2, 5, 3, (3, 2, 4)
EPS = 2.0 ** -17


class Case:
    """Collects the tensors of one case; leaves get gradients."""

    def __init__(self, name, out, generator):
        self.name, self.out, self.generator, self.leaves = name, out, generator, {}

    def put(self, key, value):
        self.out[f'{self.name}.{key}'] = value.detach().clone().contiguous()
        return value

    def numbers(self, *shape):
        return torch.randn(*shape, dtype=torch.float64, generator=self.generator)

    def leaf(self, key, value):
        self.leaves[key] = self.put(key, value).clone().requires_grad_()
        return self.leaves[key]

    def finish(self, y):
        """y and its random gradient, walked back."""
        dy = self.put('dy', self.numbers(*y.shape))
        self.put('y', y)
        y.backward(dy)
        for key, leaf in self.leaves.items():
            self.put('d' + key, leaf.grad)


def weighted_mean(f, w, pooled):
    over = 'nkxyz,ndxyz->kd' if pooled else 'nkxyz,ndxyz->nkd'
    total = w.sum(dim=(0, 2, 3, 4) if pooled else (2, 3, 4))
    mean = torch.einsum(over, w, f) / (total.unsqueeze(-1) + EPS)
    return torch.where(total.unsqueeze(-1) > 0, mean, torch.zeros_like(mean)), total


def cosines(f, p):
    """[n, k, x, y, z]; p [sets, k, d]"""
    rows = p.expand(f.shape[0], -1, -1)[..., None, None, None]
    return F.cosine_similarity(f.unsqueeze(1), rows, dim=2, eps=1e-8)


def pool_case(c, pooled):
    f = c.leaf('f', c.numbers(N, D, *GRID))
    w = torch.rand(N, K, *GRID, dtype=torch.float64, generator=c.generator)
    w[0, K - 1] = 0                         # absent in one image
    w[:, 0] = 0                             # absent in both
    w = c.leaf('w', w)
    y, total = weighted_mean(f, w, pooled)
    c.put('sums', total)
    c.finish(y)


def cosine_case(c, sets):
    f, p = c.leaf('f', c.numbers(N, D, *GRID)), c.leaf('p', c.numbers(sets, K, D))
    c.finish(20 * cosines(f, p))


def absent_case(c):
    """A class without voxels has prototype 0."""
    f = c.leaf('f', c.numbers(N, D, *GRID))
    p = c.numbers(1, K, D)
    p[0, 1] = 0
    c.finish(20 * cosines(f, c.put('p', p)))


def max_case(c, sets, each):
    f, p = c.leaf('f', c.numbers(N, D, *GRID)), c.leaf('p', c.numbers(sets, K * each, D))
    best, at = (10 * cosines(f, p)).unflatten(1, (K, each)).max(dim=2)
    c.put('winners', at.to(torch.int32))
    c.finish(best)


def distance_case(c, normalise, per, sets):
    f, p = c.leaf('f', c.numbers(N, D, *GRID)), c.put('p', c.numbers(sets, K, D))
    idx = c.put('idx', torch.randint(-1, K - 1, (N, 1, *GRID), generator=c.generator).to(torch.int32))
    u = F.normalize(f, dim=1) if normalise else f
    rows = p.expand(N, -1, -1)[..., None, None, None]
    far = (u.unsqueeze(1) - rows).norm(dim=2)           # [n, k, x, y, z]
    chosen = [far[:, k][idx[:, 0] == k] for k in range(K)]
    if per:
        y = sum(v.mean() for v in chosen if v.numel())
    else:
        y = torch.cat(chosen).mean()
    c.finish(y.reshape(1))


def flat_case(c):
    p, q = c.leaf('p', c.numbers(2, K, D)), c.leaf('q', c.numbers(2, K, D))
    mix = 0.75 * p.mean(dim=0) + 0.25 * q.mean(dim=0)
    c.put('mix', mix)
    c.finish(((mix - q[1].detach()) ** 2).mean().reshape(1))


def update_case(c):
    """The momentum update: rows without voxels stay."""
    f, p = c.put('f', c.numbers(N, D, *GRID)), c.put('p', c.numbers(K, D))
    idx = c.put('idx', torch.randint(-1, K - 1, (N, 1, *GRID), generator=c.generator).to(torch.int32))
    for k in range(K):
        mine = f.movedim(1, -1)[idx[:, 0] == k]
        if len(mine):
            p[k] = 0.75 * p[k] + 0.25 * mine.mean(dim=0)
    c.put('moved', p)


def consistency_case(c):
    """Labelled features make prototypes, these are fused with fixed ones and compared with both feature maps."""
    f, w = c.leaf('f', c.numbers(N, D, *GRID)), torch.rand(N, K, *GRID, dtype=torch.float64, generator=c.generator)
    g, q = c.put('g', c.numbers(N, D, *GRID)), c.put('q', c.numbers(N, K, D))
    fused = 0.75 * weighted_mean(f, c.put('w', w), False)[0] + 0.25 * q
    c.finish(torch.stack([20 * cosines(f, fused), 20 * cosines(g, fused)]))


def main():
    generator, out = torch.Generator().manual_seed(31), {}

    def case(name):
        return Case(name, out, generator)

    pool_case(case('pool'), False)
    pool_case(case('pool_batch'), True)
    c = case('unit')
    c.finish(F.normalize(c.leaf('f', c.numbers(N, D, *GRID)), dim=1))
    cosine_case(case('cosine'), 1)
    cosine_case(case('cosine_sets'), N)
    absent_case(case('absent'))
    max_case(case('max'), 1, 2)
    max_case(case('max_sets'), N, 4)
    distance_case(case('distance'), False, False, 1)
    distance_case(case('distance_unit'), True, False, N)
    distance_case(case('distance_per'), True, True, 1)
    flat_case(case('flat'))
    update_case(case('update'))
    consistency_case(case('consistency'))
    save_file(out, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'proto.safetensors'))


if __name__ == '__main__':
    main()
