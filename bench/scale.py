#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How the cost of a V-Net step and of an inference grows with the work: voxels, batch, filters, classes, one at a time.

    python3 bench/scale.py [--protovox build/src/cli/protovox] [--device opencl:0] [--reps 5] [--only voxels,batch]
                           [--out bench/results/NAME.json] [--markdown NAME.md]

Every point is one `protovox bench step` (method sup, no split); the base, 112x112x80, batch 1, 16 filters, 2 classes,
belongs to every axis. Units of work: voxels of a patch, samples, multiply-adds of all convolutions (filters: their
number grows with the square of the filters), classes. `per unit` is the time per unit of work relative to the base;
the exponent is the slope of a line through (log work, log time): 1 is linear, below 1 less than linear. Classes only
reach the last layer and the loss, so their exponent is near 0 unless something grows that should not."""
import argparse
import json
import math
import os
import subprocess
import sys
import time

SIDES = ('train', 'infer')


def sizes(text):
    return [tuple(int(s) for s in t.split('x')) for t in text.split(',')]


def numbers(text):
    return [int(t) for t in text.split(',')]


def macs(patch, filters, classes):
    """Multiply-adds of a forward pass of the V-Net's convolutions, one channel."""
    convs, total = (1, 2, 3, 3, 3), 0
    for level in range(5):
        f, voxels = filters << level, math.prod(s >> level for s in patch)
        back = (1, 2, 3, 3, 0)[level]
        total += 27 * voxels * f * (f * (convs[level] - 1 + back) + (f if level else 1))
        if level < 4:       # down and up: 2x2x2 at the coarse grid
            total += 2 * voxels * f * 2 * f
    return total + math.prod(patch) * filters * classes


class Point:
    def __init__(self, patch, batch, filters, classes):
        self.patch, self.batch, self.filters, self.classes = patch, batch, filters, classes

    def key(self):
        return self.patch, self.batch, self.filters, self.classes

    def work(self, axis):
        return {'voxels': math.prod(self.patch), 'batch': self.batch, 'classes': self.classes,
                'filters': macs(self.patch, self.filters, self.classes)}[axis]

    def value(self, axis):
        return 'x'.join(map(str, self.patch)) if axis == 'voxels' else str(getattr(self, axis))


def measure(a, p):
    args = [a.protovox, 'bench', 'step', '--device', a.device, '--patch', p.value('voxels'), '--batch', str(p.batch),
            '--set', f'net.filters={p.filters}', '--set', f'net.classes={p.classes}', '--reps', str(a.reps),
            '--no-split', '--json']
    o = json.loads(subprocess.run(args, check=True, stdout=subprocess.PIPE).stdout)
    keys = ('ms_median', 'ms_q1', 'ms_q3', 'ms_min', 'ms_max', 'reps', 'peak_bytes')
    return o, {s: {k: o[s][k] for k in keys} for s in SIDES}


def exponent(points):
    """Slope of the least-squares line through the logarithms of (work, time)."""
    x, y = [math.log(w) for w, _ in points], [math.log(t) for _, t in points]
    mx, my = sum(x) / len(x), sum(y) / len(y)
    return sum((u - mx) * (v - my) for u, v in zip(x, y)) / sum((u - mx) ** 2 for u in x)


def axis_rows(axis, points, base, results):
    rows, b = [], results[base.key()]
    for p in points:
        r = {'value': p.value(axis), 'work': p.work(axis),
             'multiply_adds': p.batch * macs(p.patch, p.filters, p.classes)}
        for s in SIDES:
            t = results[p.key()][s]
            r[s] = dict(t, per_unit=t['ms_median'] / p.work(axis) / (b[s]['ms_median'] / base.work(axis)))
        rows.append(r)
    rows.sort(key=lambda r: r['work'])
    return {'axis': axis, 'rows': rows,
            'exponent': {s: exponent([(r['work'], r[s]['ms_median']) for r in rows]) for s in SIDES}}


def text_of(result):
    d = result['device']
    lines = [f'{d["name"]}, {d["driver"]}; base {result["base"]}; medians of {result["reps"]} steps.', '',
             '| | | step ms | per unit | inference ms | per unit | peak MiB |', '|---|---|---|---|---|---|---|']
    for x in result['axes']:
        for r in x['rows']:
            t, i = r['train'], r['infer']
            lines.append(f'| {x["axis"]} | {r["value"]} | {t["ms_median"]:.1f} | {t["per_unit"]:.2f} | '
                         f'{i["ms_median"]:.1f} | {i["per_unit"]:.2f} | {t["peak_bytes"] / 2 ** 20:.0f} |')
        lines.append(f'| {x["axis"]} | exponent | {x["exponent"]["train"]:.2f} | | {x["exponent"]["infer"]:.2f} | | |')
    return '\n'.join(lines) + '\n'


def write(path, text):
    os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
    with open(path, 'w') as f:
        f.write(text)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--protovox', default='build/src/cli/protovox')
    p.add_argument('--device', default='opencl:0')
    p.add_argument('--reps', type=int, default=5)
    p.add_argument('--base', default='112x112x80', help='patch of the base')
    p.add_argument('--base-filters', type=int, default=16)
    p.add_argument('--voxels', type=sizes, default='48x48x48,64x64x64,80x80x80,96x96x96,128x128x128')
    p.add_argument('--batch', type=numbers, default='2,4')
    p.add_argument('--filters', type=numbers, default='8,32')
    p.add_argument('--classes', type=numbers, default='3,5,9')
    p.add_argument('--only', default='voxels,batch,filters,classes')
    p.add_argument('--out')
    p.add_argument('--markdown')
    a = p.parse_args()
    patch = sizes(a.base)[0]
    base = Point(patch, 1, a.base_filters, 2)
    axes = {'voxels': [Point(v, 1, a.base_filters, 2) for v in a.voxels],
            'batch': [Point(patch, n, a.base_filters, 2) for n in a.batch],
            'filters': [Point(patch, 1, n, 2) for n in a.filters],
            'classes': [Point(patch, 1, a.base_filters, n) for n in a.classes]}
    axes = {k: v for k, v in axes.items() if k in a.only.split(',')}
    if not axes or not all(axes.values()):
        p.error('--only takes voxels, batch, filters, classes, each with a value beside the base')
    start, results = time.monotonic(), {}
    for q in [base] + [q for v in axes.values() for q in v]:
        if q.key() not in results:
            o, results[q.key()] = measure(a, q)
            print(f'[{time.monotonic() - start:4.0f} s] {q.value("voxels")} batch {q.batch}, {q.filters} filters, '
                  f'{q.classes} classes: {o["train"]["ms_median"]:.1f} ms', file=sys.stderr, flush=True)
    result = {'kind': 'scale', 'program': o['program'], 'date': time.strftime('%Y-%m-%d %H:%M:%S'),
              'device': o['device'], 'net': o['net'], 'method': o['method'], 'reps': a.reps,
              'base': f'{a.base}, batch 1, {a.base_filters} filters, 2 classes',
              'axes': [axis_rows(k, [base] + [q for q in v if q.key() != base.key()], base, results)
                       for k, v in axes.items()],
              'command': 'python3 bench/scale.py ' + ' '.join(
                  os.path.basename(w) if w.startswith('/') else w for w in sys.argv[1:])}
    print(text_of(result), end='')
    if a.out:
        write(a.out, json.dumps(result, indent=1) + '\n')
    if a.markdown:
        write(a.markdown, text_of(result))


if __name__ == '__main__':
    sys.exit(main())
