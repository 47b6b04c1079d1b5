#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Device memory of a training step: what protovox uses at its peak against what PyTorch keeps for the same step.

    python3 bench/peers/memory.py --torch venv/bin/python [--torch python3] [--batch 1] [--method mt]
        [--protovox build/src/cli/protovox] [--device opencl:0] [--patch 112x112x80] [--out bench/results/NAME.json]

PyTorch runs one step of the network of torch_worker.py (cross-entropy + Dice, SGD with momentum) with hooks on the
tensors that autograd saves; every storage counts once, with parameters, gradients, momentum, buffers, input, label and
output. Its ReLUs work in place, and it has the V-Net's two dropout layers as protovox's step has them; what it keeps
without them is counted too (`without_dropout`). What libraries (oneDNN, cuDNN) take as workspace and what its backward
pass needs in between is not counted, which favours it. Of protovox, everything is: `peak_bytes` of `protovox bench
step` is the peak of its device allocations with activations, workspaces and gradients in flight.

--shapes runs PyTorch's step on its meta device: the same storages of the same sizes without memory or arithmetic.

--method mt: a step on --batch labelled and as many unlabelled samples. PyTorch's side is then the student's step on all
of them, plus parameters, buffers and output of a teacher; the step's own losses are not counted twice."""
import argparse
import json
import os
import subprocess
import sys
import time

from result import write
from step import Torch

PARTS = ('saved', 'parameters', 'gradients', 'momentum', 'buffers', 'input', 'label', 'output', 'teacher')


def ours(a):
    args = [a.protovox, 'bench', 'step', '--device', a.device, '--method', a.method, '--net', a.net, '--patch', a.patch,
            '--batch', str(a.batch), '--set', f'net.filters={a.filters}', '--train', '--no-split', '--reps', '1',
            '--json']
    o = json.loads(subprocess.run(args, check=True, stdout=subprocess.PIPE).stdout)
    return {'program': o['program'], 'device': o['device'], 'labeled': o['labeled'], 'unlabeled': o['unlabeled'],
            'peak_bytes': o['train']['peak_bytes'], 'reserved_bytes': o['train']['reserved_bytes']}


def ask(a, python, samples, *options):
    if a.shapes:
        options += '--device', 'meta'
    t = Torch(','.join([f'{python}={python}', *options]),
              argparse.Namespace(patch=a.patch, batch=samples, net=a.net, filters=a.filters))
    answers = t.about, t.ask('saved')
    t.close()
    return answers


def theirs(a, python, samples):
    about, o = ask(a, python, samples, '--dropout')
    side = {'torch': about['torch'], 'parameters': about['parameters'], 'samples': samples}
    bare = ask(a, python, samples)[1]['saved_bytes'] - o['saved_bytes']
    if a.method == 'mt':
        o['teacher_bytes'] = o['parameters_bytes'] + o['buffers_bytes'] + o['output_bytes'] * a.batch // samples
        o['total_bytes'] += o['teacher_bytes']
    side['without_dropout_bytes'] = o['total_bytes'] + bare
    return dict(side, **o)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--protovox', default='build/src/cli/protovox')
    p.add_argument('--device', default='opencl:0')
    p.add_argument('--torch', action='append', metavar='PYTHON', help='default: python3')
    p.add_argument('--method', default='sup', choices=('sup', 'mt'))
    p.add_argument('--patch', default='112x112x80')
    p.add_argument('--batch', type=int, default=1)
    p.add_argument('--net', default='vnet', choices=('vnet',))
    p.add_argument('--filters', type=int, default=16)
    p.add_argument('--shapes', action='store_true')
    p.add_argument('--out')
    a = p.parse_args()
    side = ours(a)
    rivals = [theirs(a, python, side['labeled'] + side['unlabeled']) for python in a.torch or ['python3']]
    result = {'kind': 'memory', 'date': time.strftime('%Y-%m-%d %H:%M:%S'), 'net': a.net, 'patch': a.patch,
              'filters': a.filters, 'method': a.method, 'batch': a.batch, 'shapes': a.shapes,
              'protovox': side, 'torch': rivals, 'command': 'python3 bench/peers/memory.py ' + ' '.join(
                  os.path.basename(w) if w.startswith('/') else w for w in sys.argv[1:])}
    print(f'{a.net} {a.patch}, {a.filters} filters, {a.method}, {side["labeled"]} + {side["unlabeled"]} samples: MiB')
    for r in rivals:
        r['ratio'] = side['peak_bytes'] / r['total_bytes']
        r['ratio_without_dropout'] = side['peak_bytes'] / r['without_dropout_bytes']
        for part in PARTS:
            if part + '_bytes' in r:
                print(f'{part:>14} {r[part + "_bytes"] / 2 ** 20:10.1f}')
        print(f'{"PyTorch " + r["torch"]:>14} {r["total_bytes"] / 2 ** 20:10.1f}')
        print(f'{"protovox, peak":>14} {side["peak_bytes"] / 2 ** 20:10.1f}   {r["ratio"]:.3f} of it, '
              f'{r["ratio_without_dropout"]:.3f} without dropout')
    if a.out:
        write(a.out, result)


if __name__ == '__main__':
    sys.exit(main())
