# SPDX-License-Identifier: Apache-2.0
"""Shared by the make_steps_*.py generators: whole training steps of a method on a small network, in float64, against
tests/device/golden_steps.c. Weights and images come from the counter formulas of torchnets.py.

    s = Steps('mt', config, labeled=1, unlabeled=1)      config: dict as in config.json (method, net, train, ...)
    student, teacher = s.net(0), s.net(1)     index: order of registration in the method's init
    for i in range(5):
        image, label = s.batch(i)
        s.given(i, 'boxes', numbers)         random choices by the names that the method uses
        noise = s.field(i, 'noise', shape, scale=0.1)
        ...
        s.log(i, 'loss', loss)               by the method's log names
        s.state(i, 'thresholds', tensor)     registered states after the step, if there are any
    s.save()                                 -> steps/mt.safetensors"""
import json
import os

import numpy as np
import torch
import torchnets
from safetensors.numpy import save_file

HERE = os.path.dirname(os.path.abspath(__file__))


class Steps:
    def __init__(self, name, config, labeled, unlabeled):
        self.name, self.config = name, config
        self.nl, self.nu = labeled, unlabeled
        self.t = {}
        self.num = 0

    def net(self, index, net=None, **args):
        """The network registered as number `index`: `net`, or torchnets.make by the configuration (args override)."""
        c = self.config['net']
        if net is None:
            kind = args.pop('name', c['name'])
            net = torchnets.make(kind, **{'filters': c['filters'], 'classes': c['classes'], **args})
        return torchnets.fill(net.double(), 10000 * (index + 1))

    def batch(self, step, n=None):
        """image [n, channels, x, y, z], label [n, 1, x, y, z] int64; the method does not see labels of the unlabelled
        samples, which come last."""
        c = self.config['net']
        size = tuple(self.config['train']['patch'])
        image, label = torchnets.batch(step, self.nl + self.nu if n is None else n, size[3 - c['dims']:], c['classes'],
                                       c['channels'])
        return image, label[:, None]

    def put_batch(self, step, image=None, label=None):
        """Other images or labels (sparse ones with 255) than batch() gives."""
        if image is not None:
            self.t[f'{step}.image'] = image.numpy().astype(np.float32)
        if label is not None:
            self.t[f'{step}.label'] = label.numpy().astype(np.int32)

    def sparse(self, step, label, planes):
        """label with 255 off the planes: planes[i] = (x, y, z) of labelled sample i, -1: none along that axis."""
        self.t[f'{step}.planes'] = np.array(planes, np.int32)
        known = torch.zeros(label.shape, dtype=torch.bool)
        for i, p in enumerate(planes):
            for axis, at in enumerate(p):
                if at >= 0:
                    known[i, 0].select(axis, at).fill_(True)
        return torch.where(known, label, torch.full_like(label, 255))

    def given(self, step, name, value):
        v = value if torch.is_tensor(value) else torch.as_tensor(value, dtype=torch.float64)
        kind = np.float32 if v.is_floating_point() else np.int32
        v = v.reshape(1) if v.dim() == 0 else v
        self.t[f'{step}.given.{name}'] = np.ascontiguousarray(v.numpy().astype(kind))

    def field(self, step, name, shape, scale, clip=1e9):
        """A given float tensor clamp(scale * counter, -clip, clip) that C computes too; for noise."""
        seed = 5000 + 100 * step + len([k for k in self.t if k.startswith(f'{step}.field.')])
        self.t[f'{step}.field.{name}'] = np.array([seed, scale, clip] + list(shape), np.float64)
        v = np.clip(scale * torchnets.counter(int(np.prod(shape)), seed), -clip, clip)
        return torch.from_numpy(np.float32(v).astype(np.float64).reshape(shape))

    def _scalar(self, key, value):
        v = torch.as_tensor(value, dtype=torch.float64).detach().reshape(-1)
        assert torch.isfinite(v).all(), key
        self.t[key] = np.ascontiguousarray(v.numpy())

    def log(self, step, name, value):
        self.num = max(self.num, step + 1)
        self._scalar(f'{step}.log.{name}', value)

    def state(self, step, name, value):
        self._scalar(f'{step}.state.{name}', value)

    def save(self):
        path = os.path.join(HERE, 'steps', self.name + '.safetensors')
        meta = {'config': json.dumps(self.config), 'steps': str(self.num), 'labeled': str(self.nl),
                'unlabeled': str(self.nu)}
        save_file(self.t, path, metadata=meta)
        print(path, os.path.getsize(path), 'bytes')
        for i in range(self.num):
            print(i, {k.split('.', 2)[2]: float(v[0]) for k, v in self.t.items() if k.startswith(f'{i}.log.')})
