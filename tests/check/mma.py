#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Convolutions on NVIDIA's matrix units by OpenCL, imitated (PV_MMA=imitate): the checker finds every fault that is
planted in the fragments, the probe refuses units that multiply otherwise, and what no driver can build is not used.

    mma.py PROTOVOX DEVICE EXPAND KERNELS_CL SRC"""
import os
import subprocess
import sys
import tempfile

# file, text, what stands there instead: registers, lanes, rows and columns of fragments change places
FAULTS = [('conv_mma.cl', '{x_.x, x_.y, x_.z, x_.w}', '{x_.x, x_.z, x_.y, x_.w}'),
          ('conv_mma.cl', '{x_.x, x_.y, x_.z, x_.w}', '{x_.y, x_.x, x_.z, x_.w}'),
          ('conv_mma.cl', 'wv[2 * p][1] = w_.y', 'wv[2 * p][1] = w_.z'),
          ('conv_mma.cl', 'acc[(i) / 2][2 * (b)][(i) % 2 * 2], acc', 'acc[(i) / 2][2 * (b) + 1][(i) % 2 * 2], acc'),
          ('conv_mma_wgrad.cl', 'g % 4 * 4 + g / 4 * 2 + i % 2', 'g * 2 + i % 2'),
          ('conv_mma_wgrad.cl', 'ROUND_INPUT(x, y)', 'ROUND_INPUT(x, z)'),
          ('conv_mma_wgrad.cl', 'half_pair(u[0].j, u[1].j)', 'half_pair(u[1].j, u[0].j)'),
          ('conv_mma_wgrad.cl', 'v < s->count ? n', 'v < s->count + 1 ? n'),
          ('conv_mma.cl', '(g ^ (g / 2 & 1)) * 4 + t', 'g * 4 + t'),
          ('conv_mma.cl', 'k % 2 + row / 8 * 2 + k / 8 * 4]', 'k % 2 + row / 8 * 4 + k / 8 * 2]')]
REFUSED = [('mma_probe.cl', 'g + i % 2 * 8, col = t + i / 2 * 8', 'g + i / 2 * 8, col = t + i % 2 * 8'),
           ('mma_probe.cl', 'LOCAL() / 4, t = LOCAL() % 4 * 2', 'LOCAL() % 8, t = LOCAL() / 8 * 2'),
           ('mma_probe.cl', 'holds_b = col * 4 + k % 8 / 2', 'holds_b = k % 8 / 2 * 8 + col')]
protovox, device, expand, kernels, src = sys.argv[1:6]


def selftest(**env):
    args = [protovox, 'selftest', '--device', device, '--class', 'simt', '--op', 'mixed_conv1', '--impl', 'mma',
            '--cases', '2', '--seed', '20']
    r = subprocess.run(args, env={**os.environ, 'PV_DEBUG': 'ops,kern', **env}, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, encoding='utf-8', errors='replace')
    return r.returncode, r.stdout


def with_fault(fault):
    name, text, other = fault
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, name)
        subprocess.run([sys.executable, expand, path, os.path.join(kernels, name), kernels, src], check=True)
        with open(path, encoding='utf-8') as f:
            source = f.read()
        assert source.count(text) == 1, (text, source.count(text))
        with open(path, 'w', encoding='utf-8') as f:
            f.write(source.replace(text, other))
        return selftest(PV_KERN_DIR=folder, PV_CACHE='off')


code, out = selftest()
assert code == 0 and 'matrix units of 16x8x16, imitated' in out, (code, out)
assert 'program conv_mma ' in out and 'program conv_mma_wgrad ' in out, out
for f in FAULTS:
    code, out = with_fault(f)
    assert code == 4 and 'program conv_mma ' in out, (f, code, out)
    print('found:', f[2])
for f in REFUSED:
    code, out = with_fault(f)
    assert code == 2 and 'are not used: wrong results' in out, (f, code, out)
    print('refused:', f[2])
code, out = with_fault(('mma_probe.cl', 'const int g = ', 'const int g = no_such_name + '))
assert code == 2 and 'are not used: CL_BUILD_PROGRAM_FAILURE' in out, (code, out)
for ask, why in (('', 'not a GPU of NVIDIA'), ('off', 'PV_MMA=off')):
    code, out = selftest(PV_MMA=ask)
    assert code == 2 and why in out, (code, out)
