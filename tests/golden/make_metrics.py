#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes metrics_eval.safetensors and stats_eval.json from medpy, scipy and numpy, for tests/unit.

    python3 -m venv V && V/bin/pip install numpy scipy medpy && V/bin/python make_metrics.py

metrics_eval.safetensors: per case NAME.pred and NAME.ref, bit planes of the labels [planes, ceil(n / 8)] (label
7 of the reference stands for 255, to be ignored), NAME.size [3], NAME.spacing [3], and NAME.expect
[spacings, classes, values]: spacing 1 first, then the case's own; values in the order of VALUES. Distances are
NaN where medpy raises an error. A case whose name begins with "flat" was given to medpy as a 2D image.
stats_eval.json: lists with NaN, and what numpy and scipy say of them.
"""
import json
import os
import struct

import numpy as np
from medpy.metric import binary
from scipy import ndimage, special, stats

HERE = os.path.dirname(os.path.abspath(__file__))
VALUES = ('dice', 'jaccard', 'hd95', 'asd', 'assd', 'hd', 'nsd', 'sensitivity', 'precision', 'ravd', 'tp', 'fp',
          'fn')
IGNORED = 7
TOLERANCE = 1.0


# ---- volumes ----

def ball(s, centre, radius):
    grid = np.meshgrid(*(np.arange(n) for n in s), indexing='ij')
    return sum(((g - c) / r) ** 2 for g, c, r in zip(grid, centre, np.broadcast_to(radius, 3))) <= 1


def box(s, begin, end):
    v = np.zeros(s, bool)
    v[tuple(slice(b, e) for b, e in zip(begin, end))] = True
    return v


def blobs(rng, s, sigma, share):
    v = ndimage.gaussian_filter(rng.standard_normal(s), sigma)
    return v > np.quantile(v, 1 - share)


def volumes():
    rng = np.random.default_rng(2024)
    s = (18, 22, 16)
    yield 'ellipsoids', ball(s, (8, 10, 7), (5, 7, 4)), ball(s, (9, 11.5, 8), (5, 6, 5)), (0.7, 0.7, 1.25)
    yield 'borders', box(s, (0, 0, 0), (6, 9, 16)), box(s, (10, 3, 5), (18, 22, 16)), (1.5, 0.625, 3)
    yield 'thin', box(s, (0, 4, 3), (18, 5, 4)), box(s, (17, 0, 15), (18, 22, 16)), (1, 2, 5)
    yield 'single', box(s, (3, 4, 5), (4, 5, 6)), box(s, (12, 20, 1), (13, 21, 2)), (0.3, 0.9, 2.2)
    yield 'one_in_full', box(s, (9, 9, 9), (10, 10, 10)), np.ones(s, bool), (1.1, 1.2, 1.3)
    yield 'nested', ball(s, (9, 11, 8), 3), ball(s, (9, 11, 8), 7), (0.625, 0.625, 0.625)
    shell = ball(s, (9, 11, 8), 7) & ~ball(s, (9, 11, 8), 5)
    yield 'shell', shell, ball(s, (8, 11, 8), (6, 7, 5)), (0.9, 0.8, 2.5)
    yield 'same', ball(s, (9, 11, 8), 6), ball(s, (9, 11, 8), 6), (0.5, 0.5, 0.5)
    yield 'parts', blobs(rng, s, 1.2, 0.15), blobs(rng, s, 1.2, 0.1), (0.97, 0.97, 2.5)
    yield 'far_parts', ball(s, (2, 3, 2), 2) | ball(s, (9, 11, 8), 3), ball(s, (9, 11, 8), 4), (0.9, 0.9, 1.7)
    yield 'noise', rng.random((9, 10, 11)) < 0.3, rng.random((9, 10, 11)) < 0.4, (1.3, 0.4, 0.7)
    yield 'sparse', rng.random((13, 11, 17)) < 0.004, rng.random((13, 11, 17)) < 0.003, (1.3, 0.4, 0.7)
    yield 'tenths', box(s, (3, 3, 3), (9, 9, 9)), box(s, (3, 3, 13), (9, 9, 15)), (0.2, 0.3, 0.1)
    yield 'side_one', blobs(rng, (1, 21, 17), (0, 2, 2), 0.3), blobs(rng, (1, 21, 17), (0, 2, 2), 0.3), (4, 1.5, 2)
    yield 'line', blobs(rng, (1, 40, 1), (0, 2, 0), 0.4), blobs(rng, (1, 40, 1), (0, 2, 0), 0.3), (4, 1.5, 2)
    yield 'flat_x', blobs(rng, (1, 25, 30), (0, 2, 2), 0.3), blobs(rng, (1, 25, 30), (0, 2, 2), 0.3), (9, 1.5, 0.6)
    yield 'flat_z', blobs(rng, (25, 30, 1), (2, 2, 0), 0.3), blobs(rng, (25, 30, 1), (2, 2, 0), 0.3), (1.5, 0.6, 9)
    yield 'flat_thin', box((1, 9, 20), (0, 4, 2), (1, 5, 10)), box((1, 9, 20), (0, 4, 6), (1, 5, 18)), (9, 1.5, 0.6)
    yield 'no_pred', np.zeros((4, 5, 6), bool), box((4, 5, 6), (1, 1, 1), (3, 3, 3)), (1, 2, 3)
    yield 'no_ref', box((4, 5, 6), (1, 1, 1), (3, 3, 3)), np.zeros((4, 5, 6), bool), (1, 2, 3)
    yield 'nothing', np.zeros((4, 5, 6), bool), np.zeros((4, 5, 6), bool), (1, 2, 3)
    yield 'classes', labels(rng, s, 0), labels(rng, s, 1), (0.7, 0.8, 2.1)
    ref = labels(rng, s, 1)
    ref[blobs(rng, s, 2, 0.2)] = IGNORED
    yield 'ignored', labels(rng, s, 0), ref, (0.7, 0.8, 2.1)


def labels(rng, s, shift):
    """Three classes that touch, and one that only one of the two volumes has."""
    v = np.zeros(s, np.uint8)
    v[ball(s, (8 + shift, 11, 8), (7, 8, 6))] = 1
    v[ball(s, (8 + shift, 11, 8 - shift), (4, 5, 4))] = 2
    v[ball(s, (12, 6 + 2 * shift, 8), (5, 4, 7))] = 3
    if shift:
        v[box(s, (0, 0, 0), (3, 2, 2))] = 4
    return v


# ---- what medpy says ----

def surface(mask, footprint):
    return mask & ~ndimage.binary_erosion(mask, footprint)


def surface_dice(a, b, spacing):
    footprint = ndimage.generate_binary_structure(a.ndim, 1)
    sa, sb = surface(a, footprint), surface(b, footprint)
    da = ndimage.distance_transform_edt(~sb, spacing)[sa]
    db = ndimage.distance_transform_edt(~sa, spacing)[sb]
    most = TOLERANCE * (1 + 1e-9)
    return ((da <= most).sum() + (db <= most).sum()) / (len(da) + len(db))


def or_nan(function, *args):
    try:
        return function(*args)
    except (RuntimeError, ZeroDivisionError):
        return np.nan


def expect(a, b, spacing, valid):
    tp, fp, fn = (int((m & valid).sum()) for m in (a & b, a & ~b, b & ~a))
    a, b = a & valid, b & valid
    either = a.any() or b.any()
    return [binary.dc(a, b) if either else np.nan, binary.jc(a, b) if either else np.nan,
            or_nan(binary.hd95, a, b, spacing), or_nan(binary.asd, a, b, spacing),
            or_nan(binary.assd, a, b, spacing), or_nan(binary.hd, a, b, spacing),
            surface_dice(a, b, spacing) if a.any() and b.any() else 0.0 if either else np.nan,
            binary.sensitivity(a, b) if b.any() else np.nan, binary.precision(a, b) if a.any() else np.nan,
            or_nan(binary.ravd, a, b), tp, fp, fn]


def pack(v):
    flat, planes = v.ravel(), max(1, int(v.max()).bit_length())
    return np.stack([np.packbits(flat >> k & 1, bitorder='little') for k in range(planes)])


def write_safetensors(path, tensors):
    names = {np.dtype(np.uint8): 'U8', np.dtype(np.int32): 'I32', np.dtype(np.float64): 'F64'}
    header, data = {}, b''
    for name, v in sorted(tensors.items(), key=lambda item: (-item[1].itemsize, item[0])):
        raw = np.ascontiguousarray(v).tobytes()
        header[name] = {'dtype': names[v.dtype], 'shape': list(v.shape),
                        'data_offsets': [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % 8)
    with open(path, 'wb') as f:
        f.write(struct.pack('<Q', len(text)) + text + data)


def make_metrics():
    out = {}
    for name, pred, ref, spacing in volumes():
        pred, ref = pred.astype(np.uint8), ref.astype(np.uint8)
        num = max(1, int(pred.max()), int(ref[ref != IGNORED].max(initial=0)))
        valid = ref != IGNORED
        rows = []
        for spc in ((1., 1., 1.), spacing):
            a, b, v = pred, ref, valid
            if name.startswith('flat'):
                axis = pred.shape.index(1)
                a, b, v = (m.squeeze(axis) for m in (a, b, v))
                spc = tuple(np.delete(spc, axis))
            rows.append([expect(a == c, b == c, spc, v) for c in range(1, num + 1)])
        out[name + '.pred'], out[name + '.ref'] = pack(pred), pack(ref)
        out[name + '.size'] = np.array(pred.shape, np.int32)
        out[name + '.spacing'] = np.array(spacing, np.float64)
        out[name + '.expect'] = np.array(rows, np.float64)
    write_safetensors(os.path.join(HERE, 'metrics_eval.safetensors'), out)


# ---- statistics ----

PERCENTILES = (0, 2.5, 5, 33.3, 50, 75, 95, 97.5, 99.9, 100)


def samples():
    rng = np.random.default_rng(7)
    yield 'two', [3.5, -1.25]
    yield 'one', [0.875]
    yield 'five', [4, 1, 3, 3, 2]
    yield 'dice', list(np.round(rng.beta(20, 2, 20), 4))
    yield 'even', list(np.round(rng.normal(10, 3, 12), 3))
    yield 'large', list(1e9 + np.round(rng.random(9), 6))
    yield 'many', list(np.round(rng.exponential(2, 60), 3))


def pairs():
    rng = np.random.default_rng(8)
    for n, shift, digits in ((2, 1, 4), (5, 0.5, 4), (8, 3, 4), (20, 0.2, 6), (25, -0.3, 6), (26, 0.3, 6),
                             (40, 1, 6), (80, 0.15, 6), (12, 0.3, 0), (30, 0.4, 1), (60, -0.9, 0)):
        a = rng.normal(5, 1, n)
        b = a - shift - rng.normal(0, 0.7, n)
        yield f'n{n}_{digits}', np.round(a, digits).tolist(), np.round(b, digits).tolist()
    yield 'zeros', [1, 2, 3, 4, 5, 6], [1, 2, 3.5, 3, 5.25, 9]
    yield 'all_zero', [1, 2, 3], [1, 2, 3]
    yield 'constant', [2, 3, 4], [1, 2, 3]
    yield 'strong', list(np.arange(30.) + 100), list(np.arange(30.) + np.round(rng.normal(0, 0.1, 30), 3))


def num(v):
    return float(v) if np.isfinite(v) else {True: 'nan', False: 'inf' if v > 0 else '-inf'}[bool(np.isnan(v))]


def pair_json(name, a, b):
    a, b = np.array(a, float), np.array(b, float)
    d = a - b
    nonzero = np.abs(d[d != 0])
    exact = len(nonzero) <= 25 and len(np.unique(nonzero)) == len(nonzero)
    out = {'name': name, 'a': a.tolist(), 'b': b.tolist(), 'exact': exact, 'n': len(nonzero), 't': {}, 'w': {}}
    for side in ('two-sided', 'greater', 'less'):
        with np.errstate(all='ignore'):
            t = stats.ttest_rel(a, b, alternative=side)
            w = stats.wilcoxon(a, b, zero_method='wilcox', correction=not exact, alternative=side,
                               method='exact' if exact else 'approx')
        out['t'][side], out['w'][side] = num(t.pvalue), num(w.pvalue)
    out['t']['t'], out['t']['df'] = num(t.statistic), len(a) - 1
    ranks = stats.rankdata(nonzero)
    out['w']['plus'] = float(ranks[d[d != 0] > 0].sum())
    out['w']['minus'] = float(ranks[d[d != 0] < 0].sum())
    return out


def make_stats():
    out = {'samples': [], 'pairs': [pair_json(*p) for p in pairs()], 'beta': [], 'gauss': []}
    for name, v in samples():
        out['samples'].append({
            'name': name, 'v': [float(x) for x in v], 'mean': float(np.mean(v)), 'std': float(np.std(v)),
            'sample_std': num(np.std(v, ddof=1)) if len(v) > 1 else 'nan', 'median': float(np.median(v)),
            'percentiles': [[q, float(np.percentile(v, q))] for q in PERCENTILES]})
    for a, b in ((0.5, 0.5), (1, 1), (2, 3), (9.5, 0.5), (40, 0.5), (0.5, 40), (150, 200), (1e-2, 5)):
        for x in (0, 1e-8, 0.01, 0.3, 0.5, 0.7, 0.99, 1):
            out['beta'].append([a, b, x, float(special.betainc(a, b, x))])
    for patch in ((6, 5, 4), (1, 8, 7)):
        impulse = np.zeros(patch)
        impulse[tuple(p // 2 for p in patch)] = 1
        for scale in (1 / 8, 1 / 30):
            g = ndimage.gaussian_filter(impulse, [p * scale for p in patch], order=0, mode='constant', cval=0)
            g /= g.max()
            g[g == 0] = g[g != 0].min()
            out['gauss'].append({'patch': patch, 'scale': scale, 'v': g.ravel().tolist()})
    with open(os.path.join(HERE, 'stats_eval.json'), 'w', encoding='ascii') as f:
        json.dump(out, f, separators=(',', ':'))
        f.write('\n')


if __name__ == '__main__':
    make_metrics()
    make_stats()
