#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The ops of `protovox bench ops` in PyTorch: same shapes, same phases, a result of the same form (docs/bench.md).

    python3 bench/peers/ops.py --shapes vnet --device cpu|cuda [--tf32] [--half] [--channels-last] --out F.json

fp32 allows no TF32; --half keeps feature maps and weights in fp16. Times run until the device is idle. Where PyTorch is
missing or has no such device the result says so and the exit code is 0."""
import argparse
import os
import statistics
import sys
import time

from result import write

HERE = os.path.dirname(os.path.abspath(__file__))
CONVS = ('conv', 'up', 'stem', 'head')
PASSES = {'batch_norm': 3, 'instance_norm': 3, 'dropout': 2, 'max_pool': 1, 'resize_up': 9, 'softmax': 2, 'entropy': 1,
          'cosine': 1, 'cross_entropy': 1, 'dice': 1, 'sgd': 5, 'ema': 3}


def shapes(name):
    path = os.path.join(HERE, '..', 'shapes', name + '.txt')
    with open(path if os.path.exists(path) else name) as f:
        for line in f:
            w = line.split('#')[0].split()
            if not w:
                continue
            l = {'op': w[0], 'ci': int(w[1]), 'k': 0, 'stride': 1}
            rest = w[2:]
            if w[0] in CONVS:
                l.update(co=int(w[2]), k=int(w[3]), stride=int(w[4]))
                rest = w[5:]
            l['input'] = rest[0]
            l['n'] = int(rest[1]) if len(rest) > 1 else 1
            yield l


class Bench:
    def __init__(self, a, torch):
        self.a, self.torch, self.device = a, torch, torch.device(a.device)
        self.rows = []
        torch.manual_seed(1)
        if a.threads:
            torch.set_num_threads(a.threads)
        torch.backends.cuda.matmul.allow_tf32 = a.tf32
        torch.backends.cudnn.allow_tf32 = a.tf32
        torch.backends.cudnn.benchmark = True

    def sync(self):
        if self.device.type == 'cuda':
            self.torch.cuda.synchronize()

    def tensor(self, *size, grad=True, half=None):
        t = self.torch.rand(*size, device=self.device) * 2 - 1
        if self.a.half if half is None else half:
            t = t.half()
        if self.a.channels_last and len(size) == 5:
            t = t.to(memory_format=self.torch.channels_last_3d)
        return t.requires_grad_(grad)

    def time(self, l, phase, call):
        v, start = [], time.perf_counter()
        for i in range(self.a.reps + 2):
            self.sync()
            t0 = time.perf_counter()
            call()
            self.sync()
            if i >= 2:
                v.append((time.perf_counter() - t0) * 1e3)
                if len(v) >= 3 and time.perf_counter() - start > self.a.seconds:
                    break
        q = statistics.quantiles(v, n=4, method='inclusive')
        r = {'op': l['op'], 'ci': l['ci']}
        if l['k']:
            r.update(co=l['co'], k=l['k'], stride=l['stride'])
        r.update(input=l['input'], n=l['n'], phase=phase, impl='torch', ms_min=min(v), ms_q1=q[0], ms_median=q[1],
                 ms_q3=q[2], ms_max=max(v), reps=len(v))
        self.work(l, r)
        self.rows.append(r)

    def work(self, l, r):
        voxels = l['n']
        for s in l['input'].split('x'):
            voxels *= int(s)
        if not l['k']:
            p = PASSES[l['op']]
            r['gbs'] = 4e-6 * voxels * l['ci'] * (2 * p + 1 if r['phase'] == 'bwd' else p) / r['ms_median']
            return
        places = voxels if l['op'] == 'up' else voxels / l['stride'] ** 3
        out = 8 * voxels if l['op'] == 'up' else places
        r['gflops'] = 2e-6 * l['k'] ** 3 * places * l['ci'] * l['co'] / r['ms_median']
        r['gbs'] = (2e-6 if self.a.half else 4e-6) * (voxels * l['ci'] + out * l['co'] +
                                                      l['k'] ** 3 * l['ci'] * l['co']) / r['ms_median']

    def both(self, l, call, grads, phases):
        """Forward, and the gradients of `grads`, one phase each."""
        self.time(l, 'fwd', call)
        y = call()
        dy = self.torch.zeros_like(y)
        for g, phase in zip(grads, phases):
            self.time(l, phase, lambda: self.torch.autograd.grad(y, g, dy, retain_graph=True))

    def measure(self, l):
        torch, size = self.torch, [int(s) for s in l['input'].split('x')]
        F, op, n, ci = torch.nn.functional, l['op'], l['n'], l['ci']
        if op in CONVS:
            k, co = l['k'], l['co']
            x, b = self.tensor(n, ci, *size, grad=op != 'stem'), self.tensor(co)
            w = self.tensor(*((ci, co) if op == 'up' else (co, ci)), k, k, k)
            pad = (k - 1) // 2 if l['stride'] == 1 else 0
            call = (lambda: F.conv_transpose3d(x, w, b, stride=k)) if op == 'up' else \
                   (lambda: F.conv3d(x, w, b, stride=l['stride'], padding=pad))
            if op == 'stem':
                self.both(l, call, [[w]], ['bwd weight'])
            else:
                self.both(l, call, [[x], [w]], ['bwd data', 'bwd weight'])
            return
        if self.a.half and op != 'batch_norm':
            return
        if op in ('sgd', 'ema'):
            count = ci * size[0] * size[1] * size[2]
            w, g, m = (self.tensor(count, grad=False) for _ in range(3))
            if op == 'ema':
                self.time(l, 'fwd', lambda: w.mul_(0.99).add_(g, alpha=0.01))
                return
            w.grad = g
            sgd = torch.optim.SGD([w], lr=1e-9, momentum=0.9, weight_decay=1e-4)
            self.time(l, 'fwd', sgd.step)
            return
        x = self.tensor(n, ci, *size)
        if op in ('batch_norm', 'instance_norm'):
            w, b = self.tensor(ci, half=False), self.tensor(ci, half=False)
            mean, var = torch.zeros(ci, device=self.device), torch.ones(ci, device=self.device)
            call = (lambda: F.relu(F.batch_norm(x, mean, var, w, b, True))) if op == 'batch_norm' else \
                   (lambda: F.leaky_relu(F.instance_norm(x, weight=w, bias=b), 0.01))
            self.both(l, call, [[x, w, b]], ['bwd'])
            return
        y = torch.randint(0, ci, (n, *size), device=self.device)
        p = torch.softmax(x, 1).detach().requires_grad_(True)
        q = self.tensor(2, ci)

        def dice():
            total = 0
            for c in range(1, ci):
                g = (y == c).float()
                total = total + 1 - (2 * (p[:, c] * g).sum() + 1e-5) / ((p[:, c] ** 2).sum() + g.sum() + 1e-5)
            return total / (ci - 1)

        def cosine():
            return 20 * torch.einsum('ncxyz,kc->nkxyz', F.normalize(x, dim=1), F.normalize(q, dim=1))

        calls = {'dropout': (lambda: F.dropout(x), [x]), 'max_pool': (lambda: F.max_pool3d(x, 2), [x]),
                 'resize_up': (lambda: F.interpolate(x, scale_factor=2, mode='trilinear', align_corners=False), [x]),
                 'softmax': (lambda: torch.softmax(x, 1), [x]), 'cross_entropy': (lambda: F.cross_entropy(x, y), [x]),
                 'entropy': (lambda: -(p * torch.log(p + 1e-6)).sum(1), [p]), 'cosine': (cosine, [x, q]),
                 'dice': (dice, [p])}
        self.both(l, calls[op][0], [calls[op][1]], ['bwd'])


def result(a):
    precision = 'half' if a.half else 'tf32' if a.tf32 else 'fp32'
    name = a.name or f'torch {a.device} {precision}' + (' channels last' if a.channels_last else '')
    o = {'kind': 'ops', 'program': 'bench/peers/ops.py', 'date': time.strftime('%Y-%m-%d %H:%M:%S'), 'name': name,
         'precision': precision, 'shapes': a.shapes, 'device': {'id': a.device},
         'command': 'bench/peers/ops.py ' + ' '.join(sys.argv[1:])}
    try:
        import torch
    except ImportError as e:
        return dict(o, skipped=f'PyTorch is missing ({e})')
    o['torch'] = torch.__version__
    if a.device == 'cuda' and not torch.cuda.is_available():
        return dict(o, skipped='PyTorch sees no GPU')
    o['device']['name'] = torch.cuda.get_device_name() if a.device == 'cuda' else 'cpu'
    if a.device == 'cuda':
        o['device']['driver'] = f'CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}'
    b = Bench(a, torch)
    for l in shapes(a.shapes):
        if a.op in (None, l['op']):
            b.measure(l)
    return dict(o, rows=b.rows)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--shapes', default='vnet')
    p.add_argument('--device', default='cpu')
    p.add_argument('--op')
    p.add_argument('--name')
    p.add_argument('--reps', type=int, default=20)
    p.add_argument('--seconds', type=float, default=1)
    p.add_argument('--threads', type=int, default=0)
    p.add_argument('--tf32', action='store_true')
    p.add_argument('--half', action='store_true')
    p.add_argument('--channels-last', action='store_true')
    p.add_argument('--out')
    a = p.parse_args()
    o = result(a)
    for r in o.get('rows', []):
        print(f"{r['op']:14} {r['input']:13} {r['phase']:10} {r['ms_median']:9.3f} ms")
    if 'skipped' in o:
        print('skipped:', o['skipped'])
    if a.out:
        write(a.out, o)


if __name__ == '__main__':
    main()
