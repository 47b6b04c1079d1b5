#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes loss.safetensors: losses and pointwise functions on logits and probabilities, by PyTorch and NumPy in
float64; gradients by autograd.

    make_loss.py        (any torch with numpy; the file lies beside this script)

A case is OP/VARIANT. Its entries: inputs by name ([n, c, x, y, z] or [k]; labels are I32), `setup` (parameters,
order as in tests/unit/golden_loss.c), `value`, `dy` (gradient of the value) and `d.INPUT` for every input with a
gradient. Inputs that lie on a threshold, a tie or a corner are drawn again.
"""
import json
import math
import os
import struct

import numpy
import torch
from torch.nn import functional as F

N, C, SIDES = 2, 3, (1, 3, 2)
FULL, ONE = (N, C) + SIDES, (N, 1) + SIDES
gen = torch.Generator().manual_seed(7)
out = {}


def normal(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=gen)


def uniform(*shape, lo=0.0, hi=1.0):
    return lo + (hi - lo) * torch.rand(*shape, dtype=torch.float64, generator=gen)


def labels(lo=0, hi=C - 1):
    return torch.randint(lo, hi + 1, ONE, generator=gen, dtype=torch.int32)


def bits(*shape):
    return torch.randint(0, 2, shape, generator=gen).double()


def probabilities():
    return torch.softmax(1.5 * normal(*FULL), 1)


def apart(x, *values):
    """x, drawn by the function x until it keeps a distance from the values."""
    while True:
        t = x()
        if all((t - v).abs().min() > 1e-3 for v in values):
            return t


def case(name, function, setup=(), grads=(), **inputs):
    """function(**inputs) -> value; grads: names of inputs that get gradients."""
    live = {k: t.clone().requires_grad_() if k in grads else t for k, t in inputs.items()}
    value = function(**live)
    if value.dim() == 0:
        value = value.reshape(1)
    for k, t in inputs.items():
        out[f'{name}.{k}'] = t
    out[f'{name}.value'] = value.detach()
    if len(setup):
        out[f'{name}.setup'] = torch.tensor([float(s) for s in setup], dtype=torch.float64)
    if grads:
        dy = normal(*value.shape)
        value.backward(dy)
        out[f'{name}.dy'] = dy
        for k in grads:
            out[f'{name}.d.{k}'] = live[k].grad


# ---- softmax ----

def softmax_cases():
    case('softmax/plain', lambda z: F.softmax(z, 1), grads=['z'], z=3 * normal(*FULL))
    case('softmax/far', lambda z: F.softmax(z, 1), grads=['z'], z=200 * normal(*FULL))
    case('log_softmax/plain', lambda z: F.log_softmax(z, 1), grads=['z'], z=3 * normal(*FULL))
    z = normal(*FULL)
    top = z.topk(2, 1).values
    assert (top[:, 0] - top[:, 1]).min() > 1e-4
    case('argmax/plain', lambda z: z.argmax(1, keepdim=True).int(), z=z)
    case('max_prob/plain', lambda z: z.max(1, keepdim=True).values, z=z)
    case('onehot/plain', lambda labels: F.one_hot(labels[:, 0].long(), C).permute(0, 4, 1, 2, 3).double(), [C],
         labels=labels())
    nat, two, unit = 1, math.log(2), math.log(C)
    for base, scale in enumerate((nat, two, unit)):
        for eps in (0.0, 1e-6):
            case(f'entropy/base{base}_eps{eps:g}',
                 lambda p: -(p * torch.log(p + eps)).sum(1, keepdim=True) / scale, [base, eps], ['p'],
                 p=probabilities())
    case('entropy/ends', lambda p: -torch.xlogy(p, p).sum(1, keepdim=True), [0, 0],
         p=F.one_hot(labels()[:, 0].long(), C).permute(0, 4, 1, 2, 3).double())


# ---- reductions: the number of a kind is enum pv_red_kind ----

def mean(terms, m, eps, c):
    return (terms * m).sum() / m.sum() / c


def sample_mean(terms, m, eps, c):
    per = [(terms[s] * m[s]).sum() / m[s].sum() if m[s].sum() > 0 else terms.new_zeros(()) for s in range(N)]
    return sum(per) / N / c


def sample_mean_kept(terms, m, eps, c):
    per = [(terms[s] * m[s]).sum() / m[s].sum() for s in range(N) if m[s].sum() > 0]
    return sum(per) / len(per) / c


def total(terms, m, eps, c):
    return (terms * m).sum() / c


def mean_all(terms, m, eps, c):
    return (terms * m).sum() / terms.numel() / c


def masked_eps(terms, m, eps, c):
    return (terms * m).sum() / (c * m.sum() + eps)


KINDS = (mean, sample_mean, sample_mean_kept, total, mean_all, masked_eps)


def masks():
    """No mask; zeros and ones; weights; one sample empty."""
    empty = bits(*ONE)
    empty[1] = 0
    return {'': None, '_mask': bits(*ONE), '_weights': uniform(*ONE), '_empty': empty}


def reduced(name, terms, inputs, grads, valid=None, setup=()):
    """Cases of one loss under every reduction. terms(**inputs) [n, 1, ...]; valid(**inputs): 0 where skipped."""
    for kind, function in enumerate(KINDS):
        for number, (mask_name, mask) in enumerate(masks().items()):
            if number and number != 3 and number % 2 != kind % 2:
                continue
            per_channel = number == 1 and kind in (1, 5)
            eps = 0.3 if number == 1 else 1e-16
            drawn = inputs()

            def value(mask=None, **given):
                t = terms(**given)
                m = torch.ones_like(t) if mask is None else mask
                if valid:
                    m = m * valid(**given)
                return function(t, m, eps, C if per_channel else 1)
            if mask is not None:
                drawn['mask'] = mask
            case(f'{name}/{function.__name__}{mask_name}{"_c" * per_channel}', value,
                 [kind, eps, per_channel, *setup], grads, **drawn)


def nll(z, labels):
    safe = labels.clamp(0, C - 1)[:, 0].long()
    return F.cross_entropy(z, safe, reduction='none')[:, None]


def loss_cases():
    far = labels(-1, C)     # -1 and C are no classes
    reduced('ce_hard', nll, lambda: {'z': 2 * normal(*FULL), 'labels': far}, ['z'],
            lambda z, labels: ((labels >= 0) & (labels < C) & (labels != 1)).double(), [1])
    y = labels()
    case('ce_hard/torch', lambda z, labels: F.cross_entropy(z, labels[:, 0].long(), ignore_index=2),
         [0, 0, 0, 2], ['z'], z=normal(*FULL), labels=y)
    case('ce_hard_map/torch',
         lambda z, labels, mask: mask * F.cross_entropy(z, labels[:, 0].long(), ignore_index=0,
                                                        reduction='none')[:, None],
         [0], ['z'], z=normal(*FULL), labels=y, mask=uniform(*ONE))
    reduced('ce_soft', lambda z, y: -(y * F.log_softmax(z, 1)).sum(1, keepdim=True),
            lambda: {'z': 2 * normal(*FULL), 'y': uniform(*FULL)}, ['z'])
    case('ce_soft_map/plain', lambda z, y: -(y * F.log_softmax(z, 1)).sum(1, keepdim=True), [], ['z'],
         z=normal(*FULL), y=probabilities())
    some = F.one_hot(labels()[:, 0].long(), C).permute(0, 4, 1, 2, 3).double()
    some[0] = probabilities()[0]        # zeros in sample 1: 0 log 0
    reduced('kl_soft', lambda z, y: F.kl_div(F.log_softmax(z, 1), y, reduction='none').sum(1, keepdim=True),
            lambda: {'z': 2 * normal(*FULL), 'y': some}, ['z'])
    case('kl_soft/torch', lambda z, y: F.kl_div(F.log_softmax(z, 1), y, reduction='mean'), [4, 0, 1], ['z'],
         z=normal(*FULL), y=some)
    case('kl_soft_map/plain', lambda z, y, mask: mask * torch.where(
        y > 0, y * (torch.where(y > 0, y, torch.ones_like(y)).log() - F.log_softmax(z, 1)),
        torch.zeros_like(y)).sum(1, keepdim=True), [], ['z'], z=normal(*FULL), y=some, mask=bits(*ONE))
    case('kl_map/exact', lambda p, q: (q * torch.log(q / p)).sum(1, keepdim=True), [0], ['p'],
         p=probabilities(), q=probabilities())
    case('kl_map/eps', lambda p, q: (q * ((q + 1e-3).log() - (p + 1e-3).log())).sum(1, keepdim=True), [1e-3], ['p'],
         p=probabilities(), q=some)
    reduced('mse', lambda a, b: ((a - b) ** 2).sum(1, keepdim=True),
            lambda: {'a': normal(*FULL), 'b': normal(*FULL)}, ['a', 'b'])
    reduced('mae', lambda a, b: (a - b).abs().sum(1, keepdim=True), lambda: dict(zip(
        'ab', apart(lambda: torch.stack([normal(*FULL), normal(*FULL)]), 0))), ['a', 'b'])
    case('mse/torch', lambda a, b: F.mse_loss(a, b), [4, 0, 1], ['a', 'b'], a=normal(*FULL), b=normal(*FULL))
    case('mae/torch', lambda a, b: F.l1_loss(a, b), [4, 0, 1], ['a'], a=normal(*FULL), b=normal(*FULL))
    same = normal(*FULL)
    case('mae/equal', lambda a, b: F.l1_loss(a, b), [4, 0, 1], ['a', 'b'], a=same, b=same.clone())


# ---- Dice ----

def dice_sq(p, g, m, eps, classes):
    per = []
    for k in classes:
        i = (p[:, k] * g[:, k] * m[:, 0]).sum()
        s = (p[:, k] ** 2 * m[:, 0]).sum() + (g[:, k] ** 2 * m[:, 0]).sum()
        per.append(1 - (2 * i + eps) / (s + eps))
    return sum(per) / len(per)


def dice_lin(p, g, m, eps, classes):
    per = []
    for k in classes:
        i = (p[:, k] * g[:, k] * m[:, 0]).sum()
        per.append(1 - (2 * i + eps) / ((p[:, k] * m[:, 0]).sum() + (g[:, k] * m[:, 0]).sum() + eps))
    return sum(per) / len(per)


def dice_mask(p, g, m, eps, classes):
    i = (p * g * m).flatten(2).sum(2)
    s = (p * m).flatten(2).sum(2) + (g * m).flatten(2).sum(2)
    return 1 - ((2 * i + eps) / (s + eps))[:, list(classes)].mean()


def dice_cases():
    forms = (('sq', dice_sq, 1e-5, (1, 2)), ('lin', dice_lin, 1e-8, (1, 2)), ('mask', dice_mask, 1e-5, range(C)),
             ('mc', dice_sq, 1e-10, range(C)))
    for number, (name, function, eps, own) in enumerate(forms):
        for chosen in (0, 0b101):
            classes = own if not chosen else [k for k in range(C) if chosen >> k & 1]
            for soft in (False, True):
                for mask_name, mask in masks().items():
                    if mask is not None and soft == (mask_name == '_mask'):
                        continue
                    hard = labels(-1, C)

                    def value(p, target, mask=None):
                        m = torch.ones(ONE, dtype=torch.float64) if mask is None else mask
                        g = target if soft else torch.cat([(target == k).double() for k in range(C)], 1)
                        return function(p, g, m, eps, classes)
                    more = {} if mask is None else {'mask': mask}
                    case(f'dice/{name}{chosen}{"_soft" * soft}{mask_name}', value, [number, 0, chosen], ['p'],
                         p=probabilities(), target=probabilities() if soft else hard, **more)
    one = uniform(N, 1, *SIDES)         # a single channel is class 0
    case('dice/single', lambda p, target: dice_sq(p, 1.0 - target, torch.ones_like(p), 0.5, [0]), [0, 0.5, 0],
         ['p'], p=one, target=bits(*ONE).int())


# ---- sums, scalars, percentiles ----

def scalars(k):
    return {f'l{i}': uniform(1, lo=0.5, hi=2) for i in range(k)}


def reduce_cases():
    case('sum/plain', lambda x: x.sum(), [], ['x'], x=normal(*FULL))
    case('sum/mask', lambda x, mask: (x * mask).sum(), [], ['x'], x=normal(*FULL), mask=uniform(*ONE))
    case('sum/flat', lambda x: x.sum(), [], ['x'], x=normal(17))
    case('mean/plain', lambda x: x.mean(), [], ['x'], x=normal(*FULL))
    case('mean/mask', lambda x, mask: x[mask.expand(FULL) > 0].mean(), [], ['x'], x=normal(*FULL), mask=bits(*ONE))
    case('sum_samples/plain', lambda x: x.flatten(1).sum(1), [], ['x'], x=normal(*FULL))
    case('sum_samples/mask', lambda x, mask: (x * mask).flatten(1).sum(1), [], ['x'], x=normal(*FULL),
         mask=uniform(*ONE))
    case('sum_classes/plain', lambda x: x.sum((0, 2, 3, 4)), [], ['x'], x=normal(*FULL))
    case('sum_classes/mask', lambda x, mask: (x * mask).sum((0, 2, 3, 4)), [], ['x'], x=normal(*FULL),
         mask=bits(*ONE))
    case('count/plain', lambda x: torch.count_nonzero(x).double(), x=bits(*FULL) - bits(*FULL))
    for q in (0, 12.5, 30, 50, 70, 80, 100 / 3, 95, 100):
        case(f'percentile/{q:.4g}', lambda x: torch.tensor(numpy.percentile(x.numpy(), q)), [q], x=normal(*FULL))
        mask = bits(*FULL)
        case(f'percentile/{q:.4g}_mask',
             lambda x, mask: torch.tensor(numpy.percentile(x[mask != 0].numpy(), q)), [q], x=normal(*FULL), mask=mask)
    case('percentile/ties', lambda x: torch.tensor(numpy.percentile(x.numpy(), 40)), [40], x=bits(*FULL))
    w = (1.0, 0.25, -0.5)
    every = ['l0', 'l1', 'l2']
    case('scalar_sum/plain', lambda l0, l1, l2: w[0] * l0 + w[1] * l1 + w[2] * l2, w, every, **scalars(3))
    case('scalar_sum/device', lambda l0, l1, l2, w1: w[0] * l0 + w[1] * w1 * l1 + w[2] * l2, w, every,
         w1=uniform(1), **scalars(3))

    def self_normalised(**terms):
        value = 0
        for k, weight in zip(every, w):
            if torch.isfinite(terms[k]) and terms[k] != 0:
                value = value + weight * terms[k] / terms[k].detach()
        return value + 0 * sum(torch.nan_to_num(t, 0, 0, 0) for t in terms.values())
    case('self_normalised/plain', self_normalised, w, every, **scalars(3))
    for name, dead in (('zero', 0.0), ('nan', math.nan), ('inf', math.inf)):
        terms = scalars(3)
        terms['l1'] = torch.tensor([dead], dtype=torch.float64)
        case(f'self_normalised/{name}', self_normalised, w, every, **terms)


# ---- pointwise: [number, a, b] as in enum pv_unary, pv_binary ----

def map_cases():
    unary = [
        ('neg', lambda x: -x, 0, 0, lambda: normal(*FULL)),
        ('abs', lambda x: x.abs(), 0, 0, lambda: apart(lambda: normal(*FULL), 0)),
        ('exp', lambda x: x.exp(), 0, 0, lambda: normal(*FULL)),
        ('log', lambda x: x.clamp(min=0.25).log(), 0.25, 0, lambda: apart(lambda: uniform(*FULL), 0.25)),
        ('sqrt', lambda x: x.sqrt(), 0, 0, lambda: uniform(*FULL, lo=0.01)),
        ('square', lambda x: x * x, 0, 0, lambda: normal(*FULL)),
        ('pow', lambda x: x ** 2.5, 2.5, 0, lambda: uniform(*FULL, lo=0.01)),
        ('sigmoid', lambda x: torch.sigmoid(x), 0, 0, lambda: 4 * normal(*FULL)),
        ('clamp', lambda x: x.clamp(-0.5, 0.75), -0.5, 0.75, lambda: apart(lambda: normal(*FULL), -0.5, 0.75)),
        ('scale', lambda x: -1.5 * x + 0.25, -1.5, 0.25, lambda: normal(*FULL)),
        ('gt', lambda x: (x > 0.125).double(), 0.125, 0, lambda: apart(lambda: normal(*FULL), 0.125)),
        ('ge', lambda x: (x >= 0.125).double(), 0.125, 0, lambda: apart(lambda: normal(*FULL), 0.125)),
        ('finite', lambda x: torch.isfinite(x).double(), 0, 0,
         lambda: torch.where(bits(*FULL) > 0, normal(*FULL), torch.tensor(math.inf, dtype=torch.float64))),
    ]
    for number, (name, f, a, b, draw) in enumerate(unary):
        case(f'unary/{name}', f, [number, a, b], ['x'] if number < 10 else [], x=draw())
    binary = [
        ('add', torch.add), ('sub', torch.sub), ('mul', torch.mul), ('div', torch.div), ('min', torch.minimum),
        ('max', torch.maximum), ('greater', torch.gt), ('greater_equal', torch.ge), ('equal', torch.eq),
        ('and', torch.logical_and), ('or', torch.logical_or), ('xor', torch.logical_xor),
    ]
    shapes = {'full': FULL, 'one': ONE, 'scalar': (1,), 'sample': (N,)}

    def spread(t):
        return t.reshape(N, 1, 1, 1, 1) if t.shape == (N,) else t

    for number, (name, f) in enumerate(binary):
        for which, (kx, ky) in enumerate((('full', 'full'), ('full', 'one'), ('one', 'full'), ('full', 'scalar'),
                                          ('scalar', 'full'), ('full', 'sample'), ('sample', 'full'))):
            if name not in ('mul', 'div') and which not in (0, 1 + number % 6):
                continue
            smooth = number < 6
            while True:
                if number in (8, 9, 10, 11):
                    x, y = bits(*shapes[kx]), bits(*shapes[ky])
                    break
                x, y = normal(*shapes[kx]), uniform(*shapes[ky], lo=0.5, hi=2)
                if (spread(x) - spread(y)).abs().min() > 1e-3:
                    break
            case(f'binary/{name}_{kx}_{ky}', lambda x, y: f(spread(x), spread(y)).double().expand(FULL).clone(),
                 [number], ['x', 'y'] if smooth else [], x=x, y=y)
    tie = bits(*FULL)
    for number, f in ((4, torch.minimum), (5, torch.maximum)):
        case(f'binary/tie{number}', lambda x, y: f(x, y), [number], ['x', 'y'], x=tie, y=bits(*FULL))
    for kc, kx, ky in (('full', 'full', 'full'), ('one', 'full', 'one'), ('full', 'scalar', 'full'),
                       ('one', 'full', 'scalar'), ('sample', 'one', 'full')):
        case(f'select/{kc}_{kx}_{ky}', lambda cond, x, y: torch.where(spread(cond) != 0, spread(x), spread(y)), [],
             ['x', 'y'], cond=bits(*shapes[kc]), x=normal(*shapes[kx]), y=normal(*shapes[ky]))
    case('to_f32/plain', lambda x: x.double(), x=labels(-3, 300))
    case('to_i32/plain', lambda x: x.int(), x=5 * normal(*FULL))
    case('label_equal/plain', lambda x: (x == 1).double(), [1], x=labels())
    case('label_known/plain', lambda x: (x != 1).double(), [1], x=labels())


def write(path, tensors):
    header, data = {}, b''
    for k in sorted(tensors):
        t = tensors[k].detach().contiguous().numpy()
        raw = t.astype('<i4' if t.dtype == numpy.int32 else '<f8').tobytes()
        header[k] = {'dtype': 'I32' if t.dtype == numpy.int32 else 'F64', 'shape': list(t.shape),
                     'data_offsets': [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % 8)
    with open(path, 'wb') as f:
        f.write(struct.pack('<Q', len(text)) + text + data)


def main():
    softmax_cases()
    loss_cases()
    dice_cases()
    reduce_cases()
    map_cases()
    write(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'loss.safetensors'), out)


if __name__ == '__main__':
    main()
