#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes net_NAME.safetensors for every case of CASES: a small network (torchnets.py) in float64, one forward pass in
training mode, a backward pass from given gradients of its outputs, one forward pass in evaluation mode.

Holds the names of the parameters, their number at full size, samples of logits, heads, features, CRLN's representation
and cue, norms of all gradients and samples of every eighth, running statistics, samples of the logits in evaluation.
Channel c of output k has the gradient (counter(3000 + k) / 4 + s) / number of elements, s = (-1)^c where the label is
not 0, -(-1)^c where it is; coarser outputs take the label at every so many-th voxel; CRLN's rep and cue are the last
outputs, the cue's gradient is 100 times that, because little of it reaches the queries. `fp32` says what
rounding does to that: largest relative difference of a gradient's norm, of a sampled gradient (of its largest value),
of the outputs, over one run in fp32 and eight in float64 with image and parameters changed by a factor 1 + 3e-7 N(0,
1), which moves the outputs as much as fp32 does (1e-5): one run says little, because a few ReLUs near zero decide.
Needs torch, numpy and safetensors.

usage: make_nets.py FOLDER [NAME...]
"""
import copy
import os
import sys

import numpy as np
import torch
from safetensors.numpy import save_file

import torchnets

# name: kind, options of the small network, batch, size, options of the full-size one
CASES = {
    'vnet_heads': ('vnet', dict(filters=8, classes=2, heads=True), 2, (32, 32, 16), dict(heads=True)),
    'resvnet': ('resvnet', dict(filters=8, classes=3, channels=2), 2, (32, 32, 16), {}),
    'unet3d': ('unet3d', dict(filters=8, classes=2, heads=True), 2, (32, 32, 16), {}),
    'unet3d_deconv': ('unet3d', dict(filters=8, classes=3, deconv=True), 2, (32, 16, 32), dict(deconv=True)),
    'vnet_crln': ('vnet', dict(filters=8, classes=2, prototypes=4, size=(32, 32, 16)), 2, (32, 32, 16),
                  dict(prototypes=16, size=(112, 112, 80))),
    'unet3d_crln': ('unet3d', dict(filters=8, classes=3, deconv=True, prototypes=4, size=(32, 16, 32),
                                   scrambled=True), 2, (32, 16, 32),
                    dict(deconv=True, prototypes=16, size=(112, 112, 80))),
    'unet2d': ('unet2d', dict(filters=8, classes=4, heads=True), 3, (48, 32), {}),
}


def sample(t, most=500):
    """Every so many-th element, beginning with the first, at most about `most`: the C side finds the stride from
    the two numbers of elements."""
    v = t.detach().numpy().reshape(-1)
    return v[::max(1, -(-v.size // most))].astype(np.float32)


def given(out, label, k, times=1):
    """Float32 numbers."""
    step = [a // b for a, b in zip(label.shape[1:], out.shape[2:])]
    inside = (label[(slice(None),) + tuple(slice(None, None, f) for f in step)] > 0).numpy()[:, None]
    c = np.arange(out.shape[1]).reshape((1, -1) + (1,) * len(step))
    s = np.where(inside, 1.0, -1.0) * np.where(c % 2 == 0, 1.0, -1.0)
    v = (torchnets.field(tuple(out.shape), 3000 + k).numpy() / 4 + s) * times / out.numel()
    return torch.from_numpy(np.float32(v)).to(out.dtype)


def passes(net, image, label):
    result = net(image)
    out = {'logits': sample(result.logits)}
    outputs = [result.logits] + result.heads
    for i, h in enumerate(result.heads):
        out[f'head{i}'] = sample(h)
    if hasattr(result, 'cue'):
        outputs += [result.rep, result.cue]
        out['rep'], out['cue'] = sample(result.rep), sample(result.cue)
    for i in range(4):
        out[f'up{i + 1}'] = sample(result.feat[f'up{i + 1}'])
        out[f'dec{i + 1}'] = sample(result.feat[f'dec{i + 1}'])
    times = [100 if o is getattr(result, 'cue', None) else 1 for o in outputs]
    torch.autograd.backward(outputs, [given(o, label, k, times[k]) for k, o in enumerate(outputs)])
    norms = np.array([-1 if p.grad is None else p.grad.double().norm().item() for p in net.parameters()])
    out['grad_norms'] = norms
    for i, p in enumerate(net.parameters()):
        if i % 8 == 0 and norms[i] > 1e-3 * norms.max():
            out[f'grad{i}'] = sample(p.grad, 100)
    out['running'] = torchnets.running(net)
    result = net.eval()(image)
    out['eval'] = sample(result.logits)
    if hasattr(result, 'cue'):
        out['eval_cue'] = sample(result.cue)
    return out


def differences(a, b):
    """Of gradients' norms (relative), of sampled gradients, of outputs (both relative to their largest value)."""
    big = a['grad_norms'] > 1e-3 * a['grad_norms'].max()
    norms = np.abs(b['grad_norms'] / a['grad_norms'] - 1)[big].max()
    other = {k: np.abs(b[k] - a[k]).max() / np.abs(a[k]).max() for k in a if k not in ('grad_norms', 'running')}
    return np.array([norms, max(v for k, v in other.items() if k.startswith('grad')),
                     max(v for k, v in other.items() if not k.startswith('grad'))])


def moved(x, noise):
    return 1 + 3e-7 * torch.randn(x.shape, generator=noise, dtype=torch.float64)


def run(kind, options, n, size, full):
    net = torchnets.make(kind, **options)
    single, copies = copy.deepcopy(net).float(), [copy.deepcopy(net) for _ in range(8)]
    image, label = torchnets.batch(0, n, size, options['classes'], options.get('channels', 1))
    out = passes(net, image, label)
    other = [passes(single, image.float(), label)]
    noise = torch.Generator().manual_seed(1)
    for changed in copies:
        with torch.no_grad():
            for p in changed.parameters():
                p.mul_(moved(p, noise))
        other.append(passes(changed, image * moved(image, noise), label))
    out['fp32'] = np.max([differences(out, o) for o in other], axis=0)
    out['names'] = np.frombuffer('\n'.join(name for name, _ in net.named_parameters()).encode(), np.uint8)
    classes = {} if kind != 'unet2d' else {'classes': 4}
    out['count'] = np.array([torchnets.count(type(net)(**classes, **full))], np.int64)
    return out


def main():
    for name, case in CASES.items():
        if len(sys.argv) > 2 and name not in sys.argv[2:]:
            continue
        out = run(*case)
        save_file({k: np.ascontiguousarray(v) for k, v in out.items()},
                  os.path.join(sys.argv[1], f'net_{name}.safetensors'))
        print(name, out['count'], 'parameters; fp32 differs by', out['fp32'])


if __name__ == '__main__':
    main()
