#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A PyTorch V-Net that waits for work: one line of JSON per answer. Driven by step.py, one process per PyTorch.

    python3 torch_worker.py --patch 112x112x80 --batch 1 [--device cpu|cuda|meta] [--channels-last] [--amp] [--tf32]
                            [--dropout]

Reads commands from stdin: "train" (one step: forward, cross-entropy + Dice, backward, SGD with momentum), "infer" (one
forward pass in evaluation mode and softmax), "about", "saved" (bytes that autograd keeps), "peak" (bytes of a step),
"quit". The network is the one of tests/golden/torchnets.py; its ReLUs work in place, and its dropout layers are left
out, both in PyTorch's favour. On the device meta (shapes without numbers) only "saved" means something. With
--dropout the V-Net has its channel dropout behind the fifth and the ninth block.
"""
import argparse
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'tests', 'golden'))

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
import torchnets  # noqa: E402


def libraries():
    """Which BLAS and oneDNN files this process has mapped."""
    names = set()
    try:
        with open('/proc/self/maps') as f:
            for line in f:
                path = line.split()[-1]
                base = os.path.basename(path)
                if any(k in base.lower() for k in ('blas', 'mkl', 'dnnl', 'gomp', 'iomp', 'cudnn')):
                    names.add(os.path.basename(os.path.realpath(path)))
    except OSError:
        pass
    return sorted(names)


def storage(t):
    """(identity, bytes) of what holds the elements; tensors without memory (device meta) have one too."""
    s = t.untyped_storage() if hasattr(t, 'untyped_storage') else t.storage()
    return s._cdata, s.nbytes()


class Worker:
    def __init__(self, a):
        self.a = a
        self.device = torch.device(a.device)
        size = tuple(int(s) for s in a.patch.split('x'))
        torch.manual_seed(1)
        if a.threads:
            torch.set_num_threads(a.threads)
        torch.backends.cuda.matmul.allow_tf32 = a.tf32
        torch.backends.cudnn.allow_tf32 = a.tf32
        torch.backends.cudnn.benchmark = True
        self.net = torchnets.make(a.net, filters=a.filters, classes=a.classes).float()
        for m in self.net.modules():
            if isinstance(m, torch.nn.ReLU):
                m.inplace = True
        if a.dropout:
            for block in (self.net.block_five, self.net.block_nine):
                block.register_forward_hook(lambda m, x, y: F.dropout3d(y, 0.5, m.training))
        self.image = torch.randn((a.batch, 1) + size)
        self.label = torch.randint(0, a.classes, (a.batch,) + size)
        if a.channels_last:
            self.net = self.net.to(memory_format=torch.channels_last_3d)
            self.image = self.image.to(memory_format=torch.channels_last_3d)
        self.net.to(self.device)
        self.image, self.label = self.image.to(self.device), self.label.to(self.device)
        self.optim = torch.optim.SGD(self.net.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)
        self.scaler = torch.amp.GradScaler('cuda') if a.amp else None

    def sync(self):
        if self.device.type == 'cuda':
            torch.cuda.synchronize()

    def loss(self, logits):
        ce = F.cross_entropy(logits, self.label)
        p = torch.softmax(logits, 1)
        dice = 0
        for c in range(1, self.a.classes):
            g = (self.label == c).float()
            q = p[:, c]
            dice = dice + 1 - (2 * (q * g).sum() + 1e-5) / ((q * q).sum() + (g * g).sum() + 1e-5)
        return 0.5 * (ce + dice / (self.a.classes - 1))

    def forward(self):
        with torch.autocast('cuda' if self.device.type == 'cuda' else 'cpu', enabled=self.a.amp):
            return self.net(self.image).logits

    def train(self):
        self.net.train()
        self.sync()
        t0 = time.perf_counter()
        self.optim.zero_grad(set_to_none=True)
        loss = self.loss(self.forward().float())
        if self.scaler:
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optim)
            self.scaler.update()
        else:
            loss.backward()
            self.optim.step()
        self.sync()
        return {'ms': (time.perf_counter() - t0) * 1e3, 'loss': float(loss)}

    def infer(self):
        self.net.eval()
        self.sync()
        t0 = time.perf_counter()
        with torch.no_grad():
            torch.softmax(self.forward().float(), 1)
        self.sync()
        return {'ms': (time.perf_counter() - t0) * 1e3}

    def saved(self):
        """Bytes of what one training step keeps, by part, every storage counted once: parameters, gradients, momentum,
        buffers, input, label, output (logits), and what else autograd saves for the backward pass. Views, and results
        that replace their input, share a storage. Transient memory (of libraries, of the backward pass) is left out."""
        seen = {}               # the hook's results keep the storages, so that no identity is used twice

        def pack(t):
            seen.update([storage(t)])
            return t

        self.net.train()
        self.optim.zero_grad(set_to_none=True)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            logits = self.forward().float()
            loss = self.loss(logits)
        params = list(self.net.parameters())
        parts = {'input': [self.image], 'label': [self.label], 'output': [logits], 'parameters': params,
                 'buffers': list(self.net.buffers())}
        for own in parts.values():
            for t in own:
                seen.pop(storage(t)[0], None)
        out = {'saved_bytes': sum(seen.values()), 'saved_storages': len(seen)}
        loss.backward()
        self.optim.step()
        parts['gradients'] = [p.grad for p in params if p.grad is not None]
        parts['momentum'] = [self.optim.state[p]['momentum_buffer'] for p in params if p in self.optim.state]
        for name, own in parts.items():
            out[name + '_bytes'] = sum(dict(map(storage, own)).values())
        out['total_bytes'] = sum(v for k, v in out.items() if k.endswith('_bytes'))
        return out

    def peak(self):
        """Bytes of a training step: what the allocator of CUDA counted since the start, else what is kept (saved)."""
        if self.device.type == 'cuda':
            return {'peak_bytes': torch.cuda.max_memory_allocated()}
        return {'peak_bytes': self.saved()['total_bytes']}

    def about(self):
        return {'torch': torch.__version__, 'threads': torch.get_num_threads(), 'libraries': libraries(),
                'device': torch.cuda.get_device_name() if self.device.type == 'cuda' else 'cpu',
                'cuda': torch.version.cuda, 'tf32': self.a.tf32, 'amp': self.a.amp,
                'channels_last': self.a.channels_last, 'parameters': torchnets.count(self.net)}


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('--patch', default='112x112x80')
    p.add_argument('--batch', type=int, default=1)
    p.add_argument('--net', default='vnet')
    p.add_argument('--filters', type=int, default=16)
    p.add_argument('--classes', type=int, default=2)
    p.add_argument('--device', default='cpu')
    p.add_argument('--threads', type=int, default=0)
    p.add_argument('--channels-last', action='store_true')
    p.add_argument('--amp', action='store_true')
    p.add_argument('--tf32', action='store_true')
    p.add_argument('--dropout', action='store_true')
    w = Worker(p.parse_args())
    for line in sys.stdin:
        command = line.strip()
        if command == 'quit':
            break
        if command in ('train', 'infer', 'about', 'saved', 'peak'):
            print(json.dumps(getattr(w, command)()), flush=True)
        else:
            print(json.dumps({'error': f'unknown command {command}'}), flush=True)


if __name__ == '__main__':
    main()
