#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turned, mirrored, padded and cut volumes by plain numpy, for src/data/augment.c.

    make_augment.py FILE        (tests/golden/augment.safetensors; needs numpy)

For case k: k.what i32 [14] = size 3, patch 3, quarter turns, mirrored axis (-1: none), zeros per side 3,
origin 3; k.image f32 [size], k.patch f32 [patch]. The rule for zeros is written out here a second time.
"""
import json
import struct
import sys

import numpy as np

CASES = [       # size, patch, turns, mirrored axis
    ((9, 7, 6), (4, 4, 4), 0, -1),
    ((9, 7, 6), (4, 4, 4), 1, 0),
    ((9, 7, 6), (4, 3, 5), 1, -1),
    ((9, 7, 6), (4, 4, 4), 2, 1),
    ((9, 7, 6), (4, 4, 4), 3, 0),
    ((9, 7, 6), (3, 4, 2), 3, 1),
    ((9, 12, 6), (8, 8, 6), 1, 1),      # a side equal to the patch: every axis gets zeros
    ((9, 13, 9), (8, 8, 8), 2, 0),      # one voxel more than the patch: none
    ((5, 9, 4), (8, 8, 8), 3, 0),       # smaller than the patch
    ((12, 8, 20), (8, 8, 8), 0, 1),     # 4 more than an equal side: one zero; 12 more: none
    ((10, 11, 3), (8, 8, 16), 1, -1),
    ((16, 16, 1), (8, 8, 1), 2, 1),
]


def zeros_per_side(size, patch):
    if not any(s <= p for s, p in zip(size, patch)):
        return [0, 0, 0]
    return [max((p - s) // 2 + 3, 0) for s, p in zip(size, patch)]


def main():
    r = np.random.default_rng(11)
    arrays = {}
    for k, (size, patch, turns, axis) in enumerate(CASES):
        image = r.normal(size=size).astype('<f4')
        a = np.rot90(image, turns, axes=(0, 1))
        if axis >= 0:
            a = np.flip(a, axis)
        pad = zeros_per_side(a.shape, patch)
        a = np.pad(a, [(p, p) for p in pad])
        origin = [int(r.integers(0, s - p)) for s, p in zip(a.shape, patch)]
        if k % 3 == 0:
            origin = [0, 0, 0]
        if k % 3 == 1:
            origin = [s - p - 1 for s, p in zip(a.shape, patch)]
        cut = a[tuple(slice(o, o + p) for o, p in zip(origin, patch))]
        assert cut.shape == patch
        arrays[f'{k}.what'] = np.array([*size, *patch, turns, axis, *pad, *origin], dtype='<i4')
        arrays[f'{k}.image'] = image
        arrays[f'{k}.patch'] = np.ascontiguousarray(cut)
    header, parts, at = {}, [], 0
    for name, a in arrays.items():
        raw = a.tobytes()
        header[name] = {'dtype': 'I32' if a.dtype.kind == 'i' else 'F32', 'shape': list(a.shape),
                        'data_offsets': [at, at + len(raw)]}
        parts.append(raw)
        at += len(raw)
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    with open(sys.argv[1], 'wb') as f:
        f.write(struct.pack('<Q', len(text)) + text + b''.join(parts))


if __name__ == '__main__':
    main()
