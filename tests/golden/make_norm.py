#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes norm.safetensors: PyTorch's normalisation layers with activation, residual and skip, in float64.

    make_norm.py        (any torch; the file lies beside this script)

Per case NAME: NAME.setup [kind (1 batch, 2 instance), dims, train, slope, momentum], NAME.x and NAME.dy
[steps, n, c, x, y, z], what PyTorch made of them (y, dx of each step, running_mean and running_var [steps, c] after
it, dgamma and dbeta [c] summed over all steps) and, where the case has them, gamma, beta, residual, skip and their
gradients. running_mean0, running_var0: at the start.
"""
import json
import os
import struct

import torch
from torch import nn
from torch.nn import functional as F

SIZE = (2, 2, 2, 3, 2)      # n, c, x, y, z
CASES = {                   # layer, steps, train, slope, momentum, residual, skip
    'batch': (nn.BatchNorm3d, 3, True, 0.0, 0.1, False, False),
    'batch2d': (nn.BatchNorm2d, 1, True, 0.01, 0.3, False, True),
    'eval': (nn.BatchNorm3d, 1, False, 0.2, 0.1, True, False),
    'instance': (nn.InstanceNorm3d, 1, True, 0.0, 0.1, False, False),
    'affine': (nn.InstanceNorm3d, 1, True, 0.01, 0.1, True, True),
}


def numbers(generator, *shape):
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def run(name, generator, out):
    kind, steps, train, slope, momentum, with_residual, with_skip = CASES[name]
    size = SIZE if kind is not nn.BatchNorm2d else SIZE[:2] + SIZE[3:]
    batch = kind is not nn.InstanceNorm3d
    layer = kind(SIZE[1], momentum=momentum, affine=batch or name == 'affine').double().train(train)

    def put(key, tensors):
        stacked = torch.stack(tensors).detach()
        full = (len(tensors),) + SIZE[:2] + (1,) * (len(size) == 4) + size[2:]
        out[f'{name}.{key}'] = stacked.reshape(full) if stacked.dim() > 2 else stacked

    out[f'{name}.setup'] = torch.tensor([1 if batch else 2, len(size) - 2, float(train), slope, momentum],
                                        dtype=torch.float64)
    if layer.affine:
        for p in (layer.weight, layer.bias):
            p.data += numbers(generator, SIZE[1])
        out[f'{name}.gamma'], out[f'{name}.beta'] = layer.weight.data.clone(), layer.bias.data.clone()
    if batch:
        layer.running_mean += numbers(generator, SIZE[1])
        layer.running_var += numbers(generator, SIZE[1]).abs()
        out[f'{name}.running_mean0'] = layer.running_mean.clone()
        out[f'{name}.running_var0'] = layer.running_var.clone()
    seen = {}
    for _ in range(steps):
        x = (2 * numbers(generator, *size) + 0.5).requires_grad_()
        dy = numbers(generator, *size)
        extra = {k: numbers(generator, *size).requires_grad_()
                 for k, there in (('residual', with_residual), ('skip', with_skip)) if there}
        v = layer(x)
        if with_residual:
            v = v + extra['residual']
        assert v.abs().min() > 1e-3, 'too close to the kink of the activation'
        y = F.leaky_relu(v, slope)
        if with_skip:
            y = y + extra['skip']
        y.backward(dy)
        values = {'x': x, 'dy': dy, 'y': y, 'dx': x.grad, **extra}
        values.update({'d' + k: t.grad for k, t in extra.items()})
        if batch:
            values.update(running_mean=layer.running_mean.clone(), running_var=layer.running_var.clone())
        for k, t in values.items():
            seen.setdefault(k, []).append(t)
    for k, tensors in seen.items():
        put(k, tensors)
    if layer.affine:
        out[f'{name}.dgamma'], out[f'{name}.dbeta'] = layer.weight.grad, layer.bias.grad


def write(path, tensors):
    header, data = {}, b''
    for k in sorted(tensors):
        raw = tensors[k].contiguous().numpy().astype('<f8').tobytes()
        header[k] = {'dtype': 'F64', 'shape': list(tensors[k].shape),
                     'data_offsets': [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % 8)
    with open(path, 'wb') as f:
        f.write(struct.pack('<Q', len(text)) + text + data)


def main():
    generator = torch.Generator().manual_seed(20)
    out = {}
    for name in CASES:
        run(name, generator, out)
    write(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'norm.safetensors'), out)


if __name__ == '__main__':
    main()
