#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A whole V-Net step and inference: protovox beside PyTorch, alternating within one measurement.

    python3 bench/peers/step.py --protovox build/src/cli/protovox --out bench/results/NAME.json \\
        --torch debian=/usr/bin/python3 --torch newest=/path/to/venv/bin/python [--batch 1] [--rounds 5]

Every round measures protovox (a fresh process with warm kernel cache: two steps to warm up, then one) and then one
step and one inference of every PyTorch, whose processes stay and wait in between. The first round of each is not
counted. Medians of the rounds are compared. Extra options of a worker stand behind a comma:
newest-cl=/path/python,--channels-last
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from result import write

HERE = os.path.dirname(os.path.abspath(__file__))
OPENBLAS = '/usr/lib/x86_64-linux-gnu/openblas-pthread'


class Torch:
    def __init__(self, spec, a):
        self.name, command = spec.split('=', 1)
        parts = command.split(',')
        env = dict(os.environ, OMP_WAIT_POLICY='passive', OMP_NUM_THREADS=str(os.cpu_count()))
        if os.path.isdir(OPENBLAS):         # Debian's PyTorch takes the system's BLAS: not the slow reference one
            env['LD_LIBRARY_PATH'] = OPENBLAS + ':' + env.get('LD_LIBRARY_PATH', '')
        args = [parts[0], os.path.join(HERE, 'torch_worker.py'), '--patch', a.patch, '--batch', str(a.batch),
                '--net', a.net, '--filters', str(a.filters), '--threads', str(os.cpu_count())] + parts[1:]
        self.p = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env,
                                  stderr=subprocess.DEVNULL)
        self.about = self.ask('about')
        self.train, self.infer = [], []

    def ask(self, command):
        self.p.stdin.write(command + '\n')
        self.p.stdin.flush()
        line = self.p.stdout.readline()
        if not line:
            sys.exit(f'{self.name}: the worker died at "{command}"')
        return json.loads(line)

    def round(self, counted):
        t, i = self.ask('train')['ms'], self.ask('infer')['ms']
        if counted:
            self.train.append(t)
            self.infer.append(i)

    def result(self):
        return {'name': self.name, 'about': self.about, 'train_ms': self.train, 'infer_ms': self.infer,
                'peak_bytes': self.ask('peak')['peak_bytes']}

    def close(self):
        self.p.stdin.write('quit\n')
        self.p.stdin.close()
        self.p.wait()


class Ours:
    name = 'protovox'

    def __init__(self, a):
        self.a, self.train, self.infer, self.peaks, self.last = a, [], [], [], {}

    def round(self, counted):
        with tempfile.NamedTemporaryFile(suffix='.json') as f:
            args = [self.a.protovox, 'bench', 'step', '--device', self.a.device, '--patch', self.a.patch, '--batch',
                    str(self.a.batch), '--net', self.a.net, '--set', f'net.filters={self.a.filters}', '--reps', '1',
                    '--no-split', '--out', f.name]
            subprocess.run(args, check=True, stdout=subprocess.DEVNULL)
            self.last = json.load(open(f.name))
        if counted:
            self.train.append(self.last['train']['ms_median'])
            self.infer.append(self.last['infer']['ms_median'])
            self.peaks.append(self.last['peak'])

    def result(self):
        return {'name': self.name, 'about': {k: self.last[k] for k in ('program', 'device')}, 'train_ms': self.train,
                'infer_ms': self.infer, 'peaks': self.peaks, 'peak_bytes': self.last['train']['peak_bytes']}

    def close(self):
        pass


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('--protovox', default='build/src/cli/protovox')
    p.add_argument('--device', default='opencl:0')
    p.add_argument('--torch', action='append', default=[], metavar='NAME=PYTHON[,OPTION...]')
    p.add_argument('--patch', default='112x112x80')
    p.add_argument('--batch', type=int, default=1)
    p.add_argument('--net', default='vnet')
    p.add_argument('--filters', type=int, default=16)
    p.add_argument('--rounds', type=int, default=5)
    p.add_argument('--out')
    a = p.parse_args()
    sides = [Ours(a)] + [Torch(t, a) for t in a.torch]
    for r in range(a.rounds + 1):
        for s in sides:
            s.round(r > 0)
    result = {'kind': 'peers step', 'date': time.strftime('%Y-%m-%d %H:%M:%S'), 'patch': a.patch, 'batch': a.batch,
              'net': a.net, 'filters': a.filters, 'classes': 2, 'method': 'sup', 'rounds': a.rounds,
              'sides': [s.result() for s in sides],
              'command': 'python3 bench/peers/step.py ' + ' '.join(
                  os.path.basename(w) if w.startswith('/') else w.split('=')[0] if '=/' in w else w
                  for w in sys.argv[1:])}
    ours = result['sides'][0]
    print(f'{a.net} {a.patch}, batch {a.batch}: medians of {a.rounds} alternating rounds, ms (ratio to protovox)')
    for s in result['sides']:
        line = f"{s['name']:12}"
        for key in ('train_ms', 'infer_ms'):
            m, o = statistics.median(s[key]), statistics.median(ours[key])
            s['median_' + key] = m
            s['ratio_' + key] = m / o
            line += f"  {key[:-3]} {m:8.1f} ({m / o:5.2f}) [{min(s[key]):.0f}..{max(s[key]):.0f}]"
        print(line)
    if a.out:
        write(a.out, result)
    for s in sides:
        s.close()


if __name__ == '__main__':
    main()
