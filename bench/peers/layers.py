#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every convolution of a list of shapes, protovox beside oneDNN, alternating within one measurement.

    python3 bench/peers/layers.py --onednn NAME=build/bench/peers/bench_onednn[,LIBRARY_FOLDER][,+] [--onednn ...]
        [--protovox build/src/cli/protovox] [--device opencl:0] [--shapes vnet] [--threads 2] [--rounds 5]
        [--ways FOLDER] [--out bench/results/NAME.json]

The round that does not count fills protovox's kernel caches and lets every oneDNN search: which implementation in which
formats is fastest for each layer and pass. Every other round is one process of each side with these choices (--like);
of a layer the median of the rounds' medians counts. All sides get the same processors, number of threads and pages
(no transparent huge pages). LIBRARY_FOLDER goes in front of the libraries' search path, so that one program measures
several versions; `+` lets a run begin with weights, and end with their gradients, in PyTorch's order, as a training
step has them (NAME_plain takes the ways of NAME). --ways keeps the searches' results, and reads those that are there
instead of searching again; --rounds 0 only searches.

Ratios are how many times protovox is faster. `sum` adds the layers of the list, each once; `net` (list vnet) as often
as the V-Net has them. `best` is against the fastest oneDNN of each layer."""
import argparse
import ctypes
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from ops import CONVS, shapes
from result import write

HERE = os.path.dirname(os.path.abspath(__file__))
SLACK = 0.95
KEY = ('op', 'ci', 'co', 'k', 'stride', 'input', 'n', 'phase')
TIMES = ('ms_min', 'ms_q1', 'ms_median', 'ms_q3', 'ms_max', 'reps')
IN_VNET = {('conv', 32, 32): 4, ('conv', 64, 64): 6, ('conv', 128, 128): 6, ('conv', 256, 256): 3}


def name_of(key):
    op, ci, co, k, stride, size, n, phase = key
    return f'{op} {ci}-{co} k{k}/{stride} {size}' + (f' x{n}' if n > 1 else '') + f' {phase}'


class Side:
    """A program that writes a result of kind "ops"; its rounds."""

    def __init__(self, a, name, program, env):
        self.a, self.name, self.program, self.env = a, name, program, dict(os.environ, **env)
        self.rounds, self.first, self.more = [], None, []

    def measure(self, shapes_file, *more, out=None):
        with tempfile.NamedTemporaryFile(suffix='.json') as f:
            out = out or f.name
            subprocess.run([*self.program, '--shapes', shapes_file, '--reps', str(self.a.reps), '--seconds',
                            str(self.a.seconds), '--window', str(self.a.window), '--out', out, *self.more, *more],
                           check=True, env=self.env, stdout=subprocess.DEVNULL)
            with open(out) as r:
                return json.load(r)

    def begin(self, shapes_file):
        self.measure(shapes_file)

    def round(self, shapes_file):
        self.rounds.append(self.measure(shapes_file))

    def result(self):
        """One result of all rounds: times of a row are the rounds' medians."""
        o = {k: v for k, v in self.rounds[0].items() if k != 'rows'}
        o.update(name=self.name, shapes=self.a.shapes, rows=[])
        o.pop('command', None)
        tables = [{tuple(r[k] for k in KEY): r for r in one['rows']} for one in self.rounds]
        for key, r in tables[0].items():
            same = [t[key] for t in tables]
            v = [t['ms_median'] for t in same]
            q = statistics.quantiles(v, n=4, method='inclusive') if len(v) > 1 else v * 3
            row = {k: x for k, x in r.items() if k not in TIMES}
            row.update(ms_min=min(t['ms_min'] for t in same), ms_q1=q[0], ms_median=q[1], ms_q3=q[2],
                       ms_max=max(t['ms_max'] for t in same), reps=sum(t['reps'] for t in same), rounds_ms=v)
            for rate in ('gflops', 'gbs', 'share_of_fma_peak'):
                if rate in r:
                    row[rate] = r[rate] * r['ms_median'] / q[1]
            o['rows'].append(row)
        return o


class OneDNN(Side):
    def __init__(self, a, spec):
        name, command = spec.split('=', 1)
        parts = command.split(',')
        env = {'OMP_NUM_THREADS': str(a.threads)}
        plain = parts[-1] == '+'            # weights in PyTorch's order before and after each run
        parts = parts[:-1] if plain else parts
        if len(parts) > 1:
            env['LD_LIBRARY_PATH'] = parts[1] + ':' + os.environ.get('LD_LIBRARY_PATH', '')
            runtime = os.path.join(parts[1], 'libintelocl.so')      # what SYCL calls a CPU
            if os.path.exists(runtime):
                env['OCL_ICD_FILENAMES'] = runtime
        super().__init__(a, name, [parts[0]], env)
        self.plain = ['--plain-weights'] if plain else []

    def begin(self, shapes_file):
        ways = os.path.join(self.a.ways, self.name.removesuffix('_plain') + '.json')
        if not os.path.exists(ways):
            self.measure(shapes_file, out=ways)
        with open(ways) as f:
            self.first = json.load(f)
        self.more = ['--like', ways, *self.plain]

    def result(self):
        o = super().result()
        o['checked'] = self.first['checked']
        tried = {tuple(r[k] for k in KEY): r.get('tried') for r in self.first['rows']}
        for r in o['rows']:
            r['tried'] = tried[tuple(r[k] for k in KEY)]
        return o


class Ours(Side):
    def __init__(self, a):
        threads = str(a.threads)
        super().__init__(a, 'protovox', [a.protovox, 'bench', 'ops', '--device', a.device],
                         {'POCL_MAX_PTHREAD_COUNT': threads, 'POCL_CPU_MAX_CU_COUNT': threads})


def same_conditions(a):
    """For this process and those it starts: the first processors, and no huge pages."""
    about = {'threads': a.threads, 'processors': os.cpu_count(), 'window_ms': a.window}
    if hasattr(os, 'sched_setaffinity'):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:a.threads])
        pr_set_thp_disable = 41
        about['huge_pages'] = ctypes.CDLL(None).prctl(pr_set_thp_disable, 1, 0, 0, 0) != 0
    return about


def compare(a, sides):
    """Rows, sums, and the layers that are slower than the slack allows."""
    tables = [{tuple(r[k] for k in KEY): r for r in s['rows']} for s in sides]
    rivals = [s['name'] for s in sides[1:]]
    rows, sums = [], {name: [0, 0, 0, 0] for name in rivals + ['best']}
    for key, ours in tables[0].items():
        times = IN_VNET.get(key[:3], 1) if key[3] == 3 else 1
        theirs = [t[key] for t in tables[1:]]
        row = {'name': name_of(key), 'ms': [r['ms_median'] for r in [ours] + theirs], 'ratio': {}, 'spread': {},
               'way': [r['way'] for r in theirs]}
        for name, r in [*zip(rivals, theirs), ('best', min(theirs, key=lambda r: r['ms_median']))]:
            row['ratio'][name] = r['ms_median'] / ours['ms_median']
            each = [t / o for t, o in zip(r['rounds_ms'], ours['rounds_ms'])]
            row['spread'][name] = [min(each), max(each)]
            for i, (ms, weight) in enumerate([(r['ms_median'], 1), (ours['ms_median'], 1), (r['ms_median'], times),
                                              (ours['ms_median'], times)]):
                sums[name][i] += ms * weight
        rows.append(row)
    result = {'table': rows, 'sum_ratio': {n: s[0] / s[1] for n, s in sums.items()},
              'slower': [r['name'] for r in rows if r['ratio']['best'] < SLACK]}
    if a.shapes == 'vnet':
        result['net_ratio'] = {n: s[2] / s[3] for n, s in sums.items()}
    return result


def report(a, o):
    names = [s['name'] for s in o['sides']]
    print(f'{a.shapes}: medians of {a.rounds} alternating rounds, ms; how many times protovox is faster '
          '[least..most of a round]')
    for r in o['table']:
        print(f"{r['name']:36}" + ''.join(f'  {n} {ms:8.3f}' for n, ms in zip(names, r['ms'])) +
              ''.join(f"  {x:6.2f}" for x in r['ratio'].values()) +
              '  [{:.2f}..{:.2f}]'.format(*r['spread']['best']) + ('  SLOWER' if r['name'] in o['slower'] else ''))
    for what in ('sum', 'net'):
        if what + '_ratio' in o:
            print(f'{what}: ' + ', '.join(f'{n} {x:.3f}' for n, x in o[what + '_ratio'].items()))
    print(f'slower than {SLACK}: ' + (', '.join(o['slower']) or 'none'))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--protovox', default='build/src/cli/protovox')
    p.add_argument('--device', default='opencl:0')
    p.add_argument('--onednn', action='append', default=[], required=True, metavar='NAME=PROGRAM[,FOLDER]')
    p.add_argument('--shapes', default='vnet')
    p.add_argument('--threads', type=int, default=os.cpu_count())
    p.add_argument('--rounds', type=int, default=5)
    p.add_argument('--reps', type=int, default=10, help='of a layer in a round, at least 5')
    p.add_argument('--seconds', type=float, default=0.3, help='per layer and round, about')
    p.add_argument('--window', type=float, default=10, help='ms of runs one after another that are waited for once '
                   '(0: every run is waited for)')
    p.add_argument('--ways', help='folder for the searches of oneDNN')
    p.add_argument('--out')
    a = p.parse_args()
    start, conditions = time.monotonic(), same_conditions(a)
    with tempfile.TemporaryDirectory() as tmp:
        a.ways = a.ways or tmp
        os.makedirs(a.ways, exist_ok=True)
        layers = os.path.join(tmp, 'shapes.txt')
        with open(layers, 'w') as f:
            for l in shapes(a.shapes):
                if l['op'] in CONVS:
                    f.write(f"{l['op']} {l['ci']} {l['co']} {l['k']} {l['stride']} {l['input']} {l['n']}\n")
        sides = [Ours(a)] + [OneDNN(a, spec) for spec in a.onednn]
        for s in sides:
            s.begin(layers)
            print(f'{time.monotonic() - start:6.0f} s  {s.name} is ready', flush=True)
        for r in range(a.rounds):
            for s in sides:
                s.round(layers)
            print(f'{time.monotonic() - start:6.0f} s  round {r + 1}', flush=True)
    if not a.rounds:
        return
    o = {'kind': 'peers ops', 'program': 'bench/peers/layers.py', 'date': time.strftime('%Y-%m-%d %H:%M:%S'),
         'shapes': a.shapes, 'rounds': a.rounds, 'conditions': conditions, 'sides': [s.result() for s in sides],
         'command': 'python3 bench/peers/layers.py ' + ' '.join(
             ','.join(os.path.basename(x) for x in w.split(',')) if w.startswith('/') else
             w.split('=')[0] if '=' in w else w for w in sys.argv[1:])}
    o.update(compare(a, o['sides']))
    report(a, o)
    if a.out:
        write(a.out, o)


if __name__ == '__main__':
    main()
