#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Small .h5 volumes as h5py writes them, for src/data/hdf5.c.

    make_h5.py FOLDER       (tests/golden/h5; needs numpy and h5py)

Element number k of an array (in C order) is k / 4 for real images, k - 50 for whole ones and k % 3 for
labels; what is different stands below. The formats are the oldest that h5py offers (its own choice, which the
published volumes have) and, for f16.h5, that of HDF5 1.10. new.h5 claims a layout that no library knows yet.
"""
import os
import sys

import h5py
import numpy as np


def write(path, image, label, libver='earliest'):
    with h5py.File(path, 'w', libver=libver) as f:
        f.create_dataset('image', data=image, compression='gzip', track_times=False)
        if label is not None:
            f.create_dataset('label', data=label, compression='gzip', track_times=False)


def main():
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)
    real = np.arange(4 * 5 * 6).reshape(4, 5, 6) / 4
    whole = np.arange(2 * 4 * 5 * 6).reshape(2, 4, 5, 6) - 50
    label = np.arange(4 * 5 * 6).reshape(4, 5, 6) % 3
    large, half, minus = label.astype('i8'), label.astype('f4'), label.astype('i2')
    large[1, 2, 3] = 300
    half[1, 2, 3] = 0.5
    minus[1, 2, 3] = -1
    write(os.path.join(out, 'f64.h5'), real, label.astype('u1'))
    write(os.path.join(out, 'i16_channels.h5'), whole.astype('>i2'), large)
    write(os.path.join(out, 'u8_plane.h5'), (np.arange(30).reshape(5, 6)).astype('u1'), half)
    write(os.path.join(out, 'f16.h5'), real.astype('f2'), label.astype('f8'), ('v110', 'v110'))
    write(os.path.join(out, 'minus.h5'), real.astype('f4'), minus)
    new = os.path.join(out, 'new.h5')
    write(new, real[:1].astype('f4'), None)
    with open(new, 'r+b') as f:
        raw, layout = f.read(), b'\x03\x02\x04'      # layout message 3: chunks of 3 + 1 axes
        assert raw.count(layout) == 1
        f.seek(raw.index(layout))
        f.write(b'\x63')


if __name__ == '__main__':
    main()
