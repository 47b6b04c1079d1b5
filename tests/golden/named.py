# SPDX-License-Identifier: Apache-2.0
"""Shared by the make_loss_*.py generators: golden files of named losses (src/method/named.h).

    g = Golden('mfcons.niop')
    g.case('plain', function, grads=('student',), options={'beta': 0.1}, student=tensor, teacher=tensor)
    g.save()        -> loss/mfcons.niop.safetensors

function(**inputs) returns the loss, or a dict of outputs, usually with 'loss'. Tensors are float64 (rounded to float32
first, as files hold) or int32 labels. Gradients of inputs come from autograd; an input of `grads` that the loss does
not depend on gets zeros."""
import os

import numpy as np
import torch
from safetensors.numpy import save_file

HERE = os.path.dirname(os.path.abspath(__file__))


def rounded(t):
    return t.float().double() if t.is_floating_point() else t


class Golden:
    def __init__(self, loss):
        self.loss, self.t, self.meta = loss, {}, {'loss': loss}

    def case(self, name, function, grads=(), options=None, **inputs):
        live = {}
        for k, v in inputs.items():
            if v is None:
                continue
            v = rounded(v)
            live[k] = v.clone().requires_grad_() if k in grads else v
            kind = np.float32 if v.is_floating_point() else np.int32
            self.t[f'{name}.in.{k}'] = np.ascontiguousarray(v.numpy().astype(kind))
        value = function(**live)
        value = value if isinstance(value, dict) else {'loss': value}
        for k, v in value.items():
            v = torch.as_tensor(v, dtype=torch.float64).detach()
            assert torch.isfinite(v).all(), (name, k)
            self.t[f'{name}.out.{k}'] = np.ascontiguousarray(v.reshape(-1).numpy() if v.dim() == 0 else v.numpy())
        loss = value.get('loss')
        if torch.is_tensor(loss) and loss.requires_grad:
            loss.backward()
        for k in grads:
            if k in live:
                g = live[k].grad if live[k].grad is not None else torch.zeros_like(live[k])
                assert torch.isfinite(g).all(), (name, k)
                self.t[f'{name}.grad.{k}'] = np.ascontiguousarray(g.numpy())
        for k, v in (options or {}).items():
            self.meta[f'{name}.{k}'] = str(v)

    def save(self):
        path = os.path.join(HERE, 'loss', self.loss + '.safetensors')
        save_file(self.t, path, metadata=self.meta)
        print(path, os.path.getsize(path), 'bytes,', len(self.t), 'tensors')
