#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes weights/vnet.safetensors, a state dict of a V-Net with 1 filter, 2 channels and 3 classes as PyTorch saves it
(torchnets.fill, running statistics filled too, flat names, num_batches_tracked), and weights/logits.safetensors, what
that network says in eval mode about one image of 16x16x16 (torchnets.batch, step 0). Needs torch, numpy, safetensors.

usage: make_weights.py FOLDER
"""
import os
import sys

import numpy as np
import torch
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file

import torchnets


def main():
    torch.set_default_dtype(torch.float64)
    net = torchnets.make('vnet', filters=1, classes=3, channels=2)
    for i, (name, b) in enumerate(net.named_buffers()):
        if b.dtype == torch.int64:
            b.fill_(1234)
        else:
            c = torchnets.field(tuple(b.shape), 500 + i) / 4
            b.copy_(torch.from_numpy(np.float32(c + ('var' in name))).double())
    net.eval()
    image, _ = torchnets.batch(0, n=1, size=(16, 16, 16), classes=3, channels=2)
    with torch.no_grad():
        logits = net(image).logits
    state = {k: v.float().contiguous() if v.is_floating_point() else v for k, v in net.state_dict().items()}
    save_file(state, os.path.join(sys.argv[1], 'vnet.safetensors'), metadata={'format': 'pt'})
    save_arrays({'logits': np.float32(logits.numpy())}, os.path.join(sys.argv[1], 'logits.safetensors'))
    print(len(state), 'tensors;', ', '.join(list(state)[:4]), '...', list(state)[-1], logits.abs().mean().item())


if __name__ == '__main__':
    main()
