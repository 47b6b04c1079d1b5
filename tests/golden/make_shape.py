#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes shape.safetensors: resizing, pooling and gathering by PyTorch, OpenCV, SciPy and NumPy in float64.

    make_shape.py       (any torch, opencv-python-headless, scipy, numpy; the file lies beside this script)

resizeI.setup [dims, mode (0 nearest, 1 linear, 2 align_corners)], poolI.setup [dims]; .x .dy .y .dx
[n, c, x, y, z].
gatherI.setup [dims, mode (0 nearest, 1 linear, 2 cubic), border (0 value, 1 reflect, 2 replicate), fill], .params
[num, 11]: sample, scaled 2, angle, rot90, flip 3, first 3; .x [n, c, x, y, z], .y [num, c, x, y, z].
"""
import json
import os
import struct

import cv2
import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional as F

RESIZE = [((3, 4, 5), (5, 7, 9)), ((5, 7, 6), (2, 3, 4)), ((1, 3, 2), (4, 1, 5)), ((2, 3, 2), (4, 6, 4)),
          ((4, 4, 3), (4, 9, 1)), ((5, 4), (9, 3)), ((3, 7), (6, 14))]
MODES = [dict(mode='nearest'), dict(mode='linear', align_corners=False), dict(mode='linear', align_corners=True)]
POOL = [(4, 6, 2), (5, 4, 7), (2, 3, 2), (5, 6), (4, 7)]
NONE = dict(sample=0, scaled=(0, 0), angle=0, rot90=0, flip=(0, 0, 0), first=(0, 0, 0))
GATHER = [      # mode, border, fill, output size, parameters
    (0, 0, -1, (4, 3, 5), [dict(first=(-1, 2, 1)), dict(sample=1, first=(3, -2, -3), flip=(1, 0, 1))]),
    (0, 1, 0, (9, 8, 7), [dict(first=(-2, -3, -1), rot90=k, flip=f) for k, f in
                          ((0, (0, 1, 0)), (1, (0, 0, 0)), (2, (1, 0, 0)), (3, (0, 1, 1)), (1, (1, 0, 0)))]),
    (0, 2, 0, (7, 7, 5), [dict(first=(-3, 1, -2), scaled=(7, 9)), dict(sample=1, rot90=3, scaled=(3, 5))]),
    (1, 1, 0, (8, 9, 4), [dict(first=(-1, -2, 0), scaled=(9, 6), flip=(0, 1, 0)), dict(scaled=(4, 4), rot90=1)]),
    (2, 1, 0, (9, 9, 4), [dict(first=(-1, -2, 0), scaled=(10, 8), flip=(1, 0, 0)),
                          dict(sample=1, first=(-1, -1, 1), scaled=(9, 11), rot90=3),
                          dict(first=(-2, -2, 0), scaled=(6, 5)), dict(scaled=(3, 4), first=(-1, -1, 0))]),
    (2, 0, 0.5, (6, 8, 4), [dict(first=(-1, 0, 0)), dict(first=(1, 1, -1), scaled=(8, 13), rot90=2)]),
    (0, 0, 0, (6, 5, 4), [dict(angle=a) for a in (-20, 7, 13, 19)]),
    (1, 0, 0.25, (6, 5, 4), [dict(angle=a) for a in (-17, 4, 90)] + [dict(sample=1, angle=45, rot90=1)]),
    (1, 1, 0, (6, 5, 4), [dict(angle=-20), dict(angle=35)]),
    (0, 2, 0, (6, 5, 4), [dict(angle=17), dict(angle=-8, flip=(1, 0, 0))]),
    (0, 0, 3, (6, 7), [dict(first=(-1, 1), rot90=1, flip=(0, 1)), dict(first=(0, -2), rot90=2, scaled=(9, 4)),
                       dict(angle=15)]),
    (2, 2, 0, (8, 5), [dict(first=(-1, 1), rot90=3, flip=(1, 0), scaled=(5, 9))]),
]
GATHER_IN = (6, 5, 4)


def numbers(generator, *shape):
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def volume(t):
    """Two spatial axes are y and z."""
    return t.detach().reshape(t.shape[:2] + (1,) * (5 - t.dim()) + t.shape[2:])


def with_grad(name, dims, setup, x, fn, generator, out):
    x.requires_grad_()
    y = fn(x)
    dy = numbers(generator, *y.shape)
    y.backward(dy)
    out[name + '.setup'] = torch.tensor([dims] + setup, dtype=torch.float64)
    for key, t in (('x', x), ('y', y), ('dy', dy), ('dx', x.grad)):
        out[f'{name}.{key}'] = volume(t)


def resize(out, generator):
    count = 0
    for size, to in RESIZE:
        for m, how in enumerate(MODES):
            how = dict(how)
            if how['mode'] == 'linear':
                how['mode'] = 'trilinear' if len(size) == 3 else 'bilinear'
            with_grad(f'resize{count}', len(size), [m], numbers(generator, 1, 1, *size),
                      lambda x: F.interpolate(x, size=to, **how), generator, out)
            count += 1


def pool(out, generator):
    for i, size in enumerate(POOL):
        fn = F.max_pool3d if len(size) == 3 else F.max_pool2d
        with_grad(f'pool{i}', len(size), [], numbers(generator, 1, 2, *size), lambda x: fn(x, 2), generator, out)


def turn(v, p, mode, border, fill):
    """One channel, step by step."""
    if p['scaled'] != (0, 0):
        inter = [cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC][mode]
        rows, columns = p['scaled']
        v = np.stack([cv2.resize(v[:, :, k], (columns, rows), interpolation=inter) for k in range(v.shape[2])], 2)
    if p['angle']:
        v = ndimage.rotate(v, p['angle'], axes=(0, 1), reshape=False, order=mode, cval=fill,
                           mode=['constant', 'mirror', 'nearest'][border])
    v = np.rot90(v, p['rot90'], axes=(0, 1))
    return np.flip(v, [i for i in range(3) if p['flip'][i]])


def gather(out, generator):
    for i, (mode, border, fill, size, params) in enumerate(GATHER):
        flat = len(size) == 2       # a plane is made as a volume with a z of 1; to us it is one with an x of 1
        x = numbers(generator, 2, 1, *GATHER_IN)[..., :1 if flat else None].numpy()
        result, rows = [], []
        for p in params:
            p = {**NONE, **p}
            row = dict(p)
            if flat:
                size = size[:2] + (1,)
                for key in ('flip', 'first'):
                    p[key], row[key] = p[key][:2] + (0,), (0,) + p[key][:2]
            rows.append([row['sample'], *row['scaled'], row['angle'], row['rot90'], *row['flip'], *row['first']])
            v = turn(x[p['sample'], 0], p, mode, border, fill)
            pad = [(max(0, -p['first'][k]), max(0, p['first'][k] + size[k] - v.shape[k])) for k in range(3)]
            kind = [dict(mode='constant', constant_values=fill), dict(mode='reflect'), dict(mode='edge')][border]
            v = np.pad(v, pad, **kind)
            at = [max(0, f) for f in p['first']]
            result.append(v[None, at[0]:at[0] + size[0], at[1]:at[1] + size[1], at[2]:at[2] + size[2]])
        y = np.stack(result)
        if flat:
            x, y = np.moveaxis(x, -1, 2), np.moveaxis(y, -1, 2)
        out[f'gather{i}.setup'] = torch.tensor([3 - flat, mode, border, fill], dtype=torch.float64)
        out[f'gather{i}.params'] = torch.tensor(rows, dtype=torch.float64)
        out[f'gather{i}.x'] = torch.from_numpy(x.copy())
        out[f'gather{i}.y'] = torch.from_numpy(y)


def write(path, tensors):
    header, data = {}, b''
    for k in sorted(tensors):
        raw = tensors[k].contiguous().numpy().astype('<f8').tobytes()
        header[k] = {'dtype': 'F64', 'shape': list(tensors[k].shape),
                     'data_offsets': [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % 8)
    with open(path, 'wb') as f:
        f.write(struct.pack('<Q', len(text)) + text + data)


def main():
    generator = torch.Generator().manual_seed(21)
    out = {}
    resize(out, generator)
    pool(out, generator)
    gather(out, generator)
    write(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'shape.safetensors'), out)


if __name__ == '__main__':
    main()
