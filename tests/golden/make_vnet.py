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

import torchnets

FILTERS, PATCH, BATCH, STEPS, CLASSES = 8, 32, 2, 10, 2


def loss_of(logits, label):
    """Half cross-entropy, half Dice with squared denominators on the foreground, eps 1e-5."""
    ce = nn.functional.cross_entropy(logits, label)
    p, g = torch.softmax(logits, 1)[:, 1], label.double()
    dice = 1 - (2 * (p * g).sum() + 1e-5) / ((p * p).sum() + (g * g).sum() + 1e-5)
    return 0.5 * (ce + dice)


def main():
    torch.set_default_dtype(torch.float64)
    net = torchnets.make('vnet', filters=FILTERS, classes=CLASSES)
    out = {}
    opt = torch.optim.SGD(net.parameters(), lr=0.002, momentum=0.9, weight_decay=1e-4)
    losses = []
    for step in range(STEPS):
        image, label = torchnets.batch(step, BATCH, (PATCH,) * 3, CLASSES)
        logits = net(image).logits
        loss = loss_of(logits, label)
        opt.zero_grad()
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            out['logits'] = logits.detach().numpy().reshape(-1)[::61].astype(np.float32)
            out['grad_norms'] = np.array([p.grad.norm().item() for p in net.parameters()])
            out['running'] = torchnets.running(net).astype(np.float32)
        opt.step()
    out['losses'] = np.array(losses)
    out['names'] = np.frombuffer('\n'.join(n for n, _ in net.named_parameters()).encode(), np.uint8)
    out['count'] = np.array([torchnets.count(torchnets.VNet())], np.int64)
    save_file({k: np.ascontiguousarray(v) for k, v in out.items()}, sys.argv[1])
    print(losses, out['count'])


if __name__ == '__main__':
    main()
