#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes loss/mper.*.safetensors, float64. Needs torch, numpy, scipy, safetensors."""
import torch
from bcp_terms import box_mask
from mper_terms import contrast, proto, update
from named import Golden

gen = torch.Generator().manual_seed(83)
SOLID, FLAT = (4, 3, 5), (6, 8)


def normal(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=gen)


def labels(n, classes, size, ignored=0.0):
    y = torch.randint(0, classes, (n, 1) + size, generator=gen, dtype=torch.int32)
    y[torch.rand(y.shape, generator=gen) < ignored] = 255
    return y


def box(n, size):
    side = [int(2 * s / 3) for s in size]
    return box_mask(n, size, [s - b - 1 for s, b in zip(size, side)], side)


def retry(make):
    """Draws until no voxel sits on a threshold."""
    while True:
        try:
            return make()
        except AssertionError:
            pass


def case_proto(name, n, classes, each, d, size=FLAT, tau=0.1, ignored=0.0, **form):
    options = {'each': each, 'tau': tau, 'dice': form.get('dice', 'mask'), 'w_outer': form.get('w_outer', 1),
               'w_inner': form.get('w_inner', 0.5)}
    retry(lambda: g.case(name, proto(each, tau, **form), ('f',), options, f=normal(n, d, *size),
                         prototypes=normal(classes, each, d), outer=labels(n, classes, size, ignored),
                         inner=labels(n, classes, size, ignored), mask=box(n, size)))


g = Golden('mper.proto')
case_proto('solid', 1, 2, 3, 16, SOLID)
case_proto('c4', 2, 4, 3, 8, dice='mc')
case_proto('one', 2, 2, 1, 5, w_outer=0.5, w_inner=1.0)
case_proto('sparse', 1, 3, 2, 20, ignored=0.3)
case_proto('warm', 1, 2, 5, 8, tau=1.0)
g.save()

g = Golden('mper.contrast')
for name, n, k, d, size, tau, ignore0 in (('solid', 1, 6, 16, SOLID, 0.1, True), ('all', 2, 6, 8, FLAT, 0.1, False),
                                          ('c4', 2, 12, 16, FLAT, 0.1, True), ('warm', 1, 4, 5, FLAT, 1.0, True)):
    retry(lambda: g.case(name, contrast(tau, ignore0), ('f',), {'tau': tau, 'ignore0': int(ignore0)},
                         f=normal(n, d, *size), prototypes=normal(k, d)))
first = normal(1, 8)
g.case('nothing', contrast(), ('f',), {'tau': 0.1, 'ignore0': 1}, prototypes=torch.cat([first, -first, 0.1 - first]),
       f=first.view(1, 8, 1, 1) * (1 + torch.rand(1, 1, *FLAT, dtype=torch.float64, generator=gen)) +
       0.01 * normal(1, 8, *FLAT))
g.save()


def case_update(name, n, classes, each, d, size=FLAT, label=None, low=0.5, **o):
    options = {'each': each, 'eta': o.get('eta', 0.99), 'alpha': o.get('alpha', 0.9), 'update': o.get('parts', 'both'),
               'background': int(o.get('background', False))}

    def make():
        sure = low + (1 - low) * torch.rand(n, 1, *size, dtype=torch.float64, generator=gen)
        g.case(name, update(each, **o), (), options, f=normal(n, d, *size), prototypes=normal(classes, each, d),
               label=labels(n, classes, size, 0.1) if label is None else label, mask=box(n, size), sure=sure)
    retry(make)


g = Golden('mper.update')
case_update('solid', 1, 2, 3, 16, SOLID, eta=0.5)
case_update('c4', 2, 4, 3, 8, eta=0.9, alpha=0.6)
case_update('labeled', 2, 2, 3, 8, parts='labeled', eta=0.3)
case_update('unlabeled', 2, 2, 3, 8, parts='unlabeled', eta=0.3, alpha=0.7)
case_update('background', 2, 3, 2, 8, background=True, eta=0.5)
case_update('unsure', 1, 2, 2, 8, low=0.1, alpha=0.9999, eta=0.5, parts='unlabeled')
case_update('absent', 2, 3, 2, 8, label=torch.ones(2, 1, *FLAT, dtype=torch.int32), eta=0.5, background=True)
case_update('slow', 1, 2, 1, 5, eta=0.999)
g.save()
