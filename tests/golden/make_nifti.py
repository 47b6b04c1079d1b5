#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Small NIfTI files of every kind that src/data/nifti.c reads, and what nibabel sees in them.

    make_nifti.py FOLDER        (tests/golden/nifti; needs numpy and nibabel)

Writes NAME.nii or NAME.nii.gz and expected.safetensors with, for each file: NAME.data [c, x, y, z],
NAME.affine [3, 4], NAME.ras and NAME.ras_affine: the same after nibabel's as_closest_canonical.
"""
import gzip
import json
import os
import struct
import sys

import nibabel as nib
import numpy as np

OBLIQUE = np.array([[0.1, -0.55, 0.2, 11.5], [0.6, 0.12, 0.05, -7.25], [-0.08, 0.1, -1.9, 30], [0, 0, 0, 1]])
LPS = np.diag([-0.8, -0.8, 2.5, 1.0])
ROLLED = np.array([[0, 0, 2.0, 5], [-1.5, 0, 0, 6], [0, 1.25, 0, -7], [0, 0, 0, 1]])


def make(kind, data, affine, endian, qform=False):
    """The bytes of a file whose voxels are `data` as they are."""
    cls = nib.Nifti2Image if kind == 2 else nib.Nifti1Image
    header = cls.header_class(endianness=endian)
    header.set_data_dtype(data.dtype)
    image = cls(data, affine, header)
    image.header.set_xyzt_units('mm')
    if qform:
        image.set_qform(affine, code=1)
        image.set_sform(None, code=0)
    return bytearray(image.to_bytes())


def scaled(raw, slope, inter):
    """nibabel would choose its own scaling when it writes, so the fields are set afterwards."""
    order = '<' if raw[0] else '>'
    if 540 in (raw[0] | raw[1] << 8, raw[3] | raw[2] << 8):
        struct.pack_into(order + 'dd', raw, 176, slope, inter)
    else:
        struct.pack_into(order + 'ff', raw, 112, slope, inter)
    return raw


def save(raw, path):
    """gzip without a time, so that a second run gives the same bytes."""
    with open(path, 'wb') as f:
        if path.endswith('.gz'):
            with gzip.GzipFile('', 'wb', 9, f, mtime=0) as g:
                g.write(raw)
        else:
            f.write(raw)


def main():
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)
    r = np.random.default_rng(7)
    size = (5, 4, 3)

    def ints(dtype, shape=size):
        i = np.iinfo(dtype)
        return r.integers(i.min, i.max, shape, dtype=dtype, endpoint=True)

    real = r.normal(size=size) * 100
    cases = {
        'i16_slope.nii.gz': scaled(make(1, ints('int16'), OBLIQUE, '<'), 0.5, -3.25),
        'f64.nii': make(1, real, LPS, '<', qform=True),
        'big_f32.nii.gz': make(1, real.astype('>f4'), ROLLED, '>'),
        'big_i16.nii': scaled(make(1, ints('int16').astype('>i2'), OBLIQUE, '>'), 0.125, 2.0),
        'two_u16.nii.gz': scaled(make(2, ints('uint16'), ROLLED, '<'), 3.0, 0.0),
        'two_big_f64.nii': make(2, real.astype('>f8'), OBLIQUE, '>'),
        'four_u8.nii.gz': scaled(make(1, ints('uint8', size + (3,)), LPS, '<', qform=True), 0.01, -1.0),
        'i8.nii.gz': make(1, ints('int8'), LPS, '<'),
        'i32.nii.gz': make(1, ints('int32'), np.eye(4), '<'),
        'u32.nii.gz': make(1, ints('uint32').astype('>u4'), np.eye(4), '>'),
        'i64.nii.gz': make(2, ints('int64'), ROLLED, '<', qform=True),
        'u64.nii.gz': make(2, ints('uint64').astype('>u8'), LPS, '>'),
        'u8_zero_slope.nii': scaled(make(1, ints('uint8'), LPS, '<'), 0.0, 5.0),
        'plane.nii.gz': make(1, ints('uint8', (6, 5)), np.diag([0.5, 0.75, 1, 1]), '<'),
    }
    expected = {}
    for name, raw in cases.items():
        path = os.path.join(out, name)
        save(raw, path)
        seen = nib.load(path)
        for key, view in (('', seen), ('ras', nib.as_closest_canonical(seen))):
            a = view.get_fdata(dtype=np.float64)
            a = a.reshape(a.shape + (1,) * (4 - a.ndim)) if a.ndim > 2 else a[:, :, None, None]
            stem = name.split('.')[0]
            expected[f'{stem}.{key or "data"}'] = np.moveaxis(a, 3, 0).astype('<f4')
            expected[f'{stem}.{key + "_" if key else ""}affine'] = view.affine[:3].astype('<f8')
    write_safetensors(os.path.join(out, 'expected.safetensors'), expected)


def write_safetensors(path, arrays):
    header, parts, at = {}, [], 0
    for name, a in arrays.items():
        raw = np.ascontiguousarray(a).tobytes()
        header[name] = {'dtype': {'<f4': 'F32', '<f8': 'F64', '|u1': 'U8', '<i4': 'I32'}[a.dtype.str],
                        'shape': list(a.shape), 'data_offsets': [at, at + len(raw)]}
        parts.append(raw)
        at += len(raw)
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    with open(path, 'wb') as f:
        f.write(struct.pack('<Q', len(text)) + text + b''.join(parts))


if __name__ == '__main__':
    main()
