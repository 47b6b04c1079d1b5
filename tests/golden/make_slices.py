#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes slices.safetensors: slices turned by NumPy or SciPy, then resized by scipy.ndimage.zoom, order 0. Needs numpy,
scipy, safetensors."""
import os

import numpy as np
from safetensors.numpy import save_file
from scipy import ndimage

rng = np.random.default_rng(3)
CASES = [((7, 9), (16, 16), 0, -1, 0), ((9, 7), (16, 12), 1, 0, 0), ((8, 11), (5, 6), 2, 1, 0),
         ((11, 6), (20, 17), 3, 0, 0), ((6, 6), (6, 6), 0, 1, 0), ((13, 10), (24, 24), 0, -1, 17),
         ((10, 14), (24, 20), 0, -1, -20), ((12, 12), (12, 12), 0, -1, -1), ((9, 16), (6, 8), 0, -1, 13)]
out = {}
for i, (s, to, rot, flip, angle) in enumerate(CASES):
    x = rng.integers(1, 250, s).astype(np.uint8)
    y = ndimage.rotate(x, angle, order=0, reshape=False) if angle else np.rot90(x, rot)
    if flip >= 0:
        y = np.flip(y, flip)
    z = ndimage.zoom(y, (to[0] / y.shape[0], to[1] / y.shape[1]), order=0)
    assert z.shape == to, (z.shape, to)
    out[f'{i}.what'] = np.array([*s, *to, rot, flip, angle], np.int32)
    out[f'{i}.image'], out[f'{i}.result'] = x, np.ascontiguousarray(z)
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'slices.safetensors')
save_file(out, path)
print(path, os.path.getsize(path), 'bytes')
