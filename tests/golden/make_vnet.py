#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes vnet.safetensors: a V-Net with 8 filters, batch 2, patch 32x32x32, trained ten SGD steps in float64.

Weights and images come from a counter formula that the C test computes too, so that only results are stored:
losses of ten steps, logits and the norm of every gradient at the first, running statistics after it, and the names
of the state dict. The learning rate is small enough that rounding does not grow: with 0.01 PyTorch in fp32 is itself
2e-4 away from fp64 after five steps. Needs torch, numpy and safetensors.

usage: make_vnet.py OUT.safetensors
"""
import sys

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import nn

FILTERS, PATCH, BATCH, STEPS, CLASSES = 8, 32, 2, 10, 2


def counter(n, seed):
    """n numbers in [-1, 1): the top 24 bits of splitmix64 of (index, seed)."""
    i = np.arange(1, n + 1, dtype=np.uint64)
    with np.errstate(over='ignore'):
        z = i * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed) * np.uint64(0xD1B54A32D192ED03)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float64) / 2 ** 23 - 1


def convs(num, ci, co):
    layers = []
    for i in range(num):
        layers += [nn.Conv3d(ci if i == 0 else co, co, 3, padding=1), nn.BatchNorm3d(co), nn.ReLU()]
    return nn.Sequential(*layers)


class Step(nn.Module):
    """Names as in the public code: every step holds a sequence called conv."""

    def __init__(self, seq):
        super().__init__()
        self.conv = seq

    def forward(self, x):
        return self.conv(x)


def down(ci, co):
    return Step(nn.Sequential(nn.Conv3d(ci, co, 2, stride=2), nn.BatchNorm3d(co), nn.ReLU()))


def up(ci, co):
    return Step(nn.Sequential(nn.ConvTranspose3d(ci, co, 2, stride=2), nn.BatchNorm3d(co), nn.ReLU()))


class VNet(nn.Module):
    def __init__(self, f, classes):
        super().__init__()
        words = ['one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine']
        counts = [1, 2, 3, 3, 3, 3, 3, 2, 1]
        for b, (w, n) in enumerate(zip(words, counts)):
            c = f << min(b, 8 - b)
            setattr(self, 'block_' + w, Step(convs(n, 1 if b == 0 else c, c)))
            if b < 4:
                setattr(self, f'block_{w}_dw', down(c, 2 * c))
            elif b < 8:
                setattr(self, f'block_{w}_up', up(c, c // 2))
        self.out_conv = nn.Conv3d(f, classes, 1)

    def forward(self, x):
        x1 = self.block_one(x)
        x2 = self.block_two(self.block_one_dw(x1))
        x3 = self.block_three(self.block_two_dw(x2))
        x4 = self.block_four(self.block_three_dw(x3))
        x5 = self.block_five(self.block_four_dw(x4))
        y = self.block_six(self.block_five_up(x5) + x4)
        y = self.block_seven(self.block_six_up(y) + x3)
        y = self.block_eight(self.block_seven_up(y) + x2)
        y = self.block_nine(self.block_eight_up(y) + x1)
        return self.out_conv(y)


def fill(net):
    """Parameter i of the state dict: bound * counter(seed 100 + i); norms 1 + 0.1 c and 0.1 c."""
    index = 0
    for name, p in net.named_parameters():
        c = counter(p.numel(), 100 + index).reshape(p.shape)
        module = net.get_submodule(name.rsplit('.', 1)[0])
        if isinstance(module, nn.BatchNorm3d):
            c = 1 + 0.1 * c if name.endswith('weight') else 0.1 * c
        else:
            w = module.weight
            c = c / np.sqrt(w.shape[1] * w.shape[2] * w.shape[3] * w.shape[4])
        p.data = torch.from_numpy(np.float32(c).astype(np.float64))
        index += 1


def batch(step):
    n = BATCH * PATCH ** 3
    image = np.float32(counter(n, 1000 + step)).astype(np.float64).reshape(BATCH, 1, PATCH, PATCH, PATCH)
    g = np.arange(PATCH)
    x, y, z = np.meshgrid(g, g, g, indexing='ij')
    label = np.zeros((BATCH, PATCH, PATCH, PATCH), np.int64)
    for b in range(BATCH):
        cx, cy, cz, r = 12 + b + step % 3, 16 - b, 15 + step % 2, 8 + b
        inside = (x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2 <= r * r
        label[b] = inside
        image[b, 0] += inside
    return torch.from_numpy(np.float32(image).astype(np.float64)), torch.from_numpy(label)


def loss_of(logits, label):
    """Half cross-entropy, half Dice with squared denominators on the foreground, eps 1e-5."""
    ce = nn.functional.cross_entropy(logits, label)
    p, g = torch.softmax(logits, 1)[:, 1], label.double()
    dice = 1 - (2 * (p * g).sum() + 1e-5) / ((p * p).sum() + (g * g).sum() + 1e-5)
    return 0.5 * (ce + dice)


def main():
    torch.set_default_dtype(torch.float64)
    net = VNet(FILTERS, CLASSES)
    fill(net)
    out = {}
    opt = torch.optim.SGD(net.parameters(), lr=0.002, momentum=0.9, weight_decay=1e-4)
    losses = []
    for step in range(STEPS):
        image, label = batch(step)
        logits = net(image)
        loss = loss_of(logits, label)
        opt.zero_grad()
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            out['logits'] = logits.detach().numpy().reshape(-1)[::61].astype(np.float32)
            out['grad_norms'] = np.array([p.grad.norm().item() for p in net.parameters()])
            out['running'] = np.concatenate([b.detach().numpy().reshape(-1)[:2] for n, b in net.named_buffers()
                                             if 'running' in n]).astype(np.float32)
        opt.step()
    out['losses'] = np.array(losses)
    out['names'] = np.frombuffer('\n'.join(n for n, _ in net.named_parameters()).encode(), np.uint8)
    full = VNet(16, 2)
    out['count'] = np.array([sum(p.numel() for p in full.parameters())], np.int64)
    save_file({k: np.ascontiguousarray(v) for k, v in out.items()}, sys.argv[1])
    print(losses, out['count'])


if __name__ == '__main__':
    main()
