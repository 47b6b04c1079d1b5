#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Convolutions by CLBlast, which is opened at run time: the checker's cases really are its products; without the
library, on another class and on Vulkan the implementation is refused with a reason. Exits 77 (skipped) where it is
missing.

    clblast.py PROTOVOX DEVICE SELFTEST_OPTIONS...
    clblast.py PROTOVOX DEVICE --failing LIBRARY        (failing_clblast.c)
    clblast.py PROTOVOX --refusals"""
import json
import os
import re
import subprocess
import sys


def run(args, **env):
    r = subprocess.run(args, env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       encoding='utf-8', errors='replace')
    return r.returncode, r.stdout


def devices(protovox, **env):
    r = subprocess.run([protovox, 'devices', '--json'], env={**os.environ, **env}, stdout=subprocess.PIPE, check=False)
    return json.loads(r.stdout)


def check(protovox, device, options):
    here = [d for d in devices(protovox) if d['id'] == device]
    if not here[0]['clblast']:
        print(run([protovox, 'devices'])[1])
        print('skipped: CLBlast is not installed (libclblast1)')
        return 77
    assert os.path.isfile(here[0]['clblast']), here
    code, text = run([protovox, 'selftest', '--device', device, '--impl', 'clblast'] + options, PV_DEBUG='kern,ops')
    lines = text.splitlines()
    print('\n'.join(x for x in lines if not x.startswith('debug ')))
    print('\n'.join(sorted(set(x for x in lines if 'no clblast' in x))))
    products = {}
    for x in lines:
        m = re.match(r'debug kern: (.*) CLBlastSgemm', x)
        if m:
            products[m[1]] = products.get(m[1], 0) + 1
    print(products)
    assert code == 0, code
    labels = ['conv fwd', 'conv bwd data', 'conv bwd weight']
    if '--family' in options:
        labels += ['conv_up fwd', 'conv_up bwd data', 'conv_up bwd weight']
    assert all(products.get(x, 0) > 0 for x in labels), products
    return 0


def refusals(protovox):
    nowhere = {'PV_CLBLAST_LIB': 'no_such_library_of_ours'}
    code, text = run([protovox, 'devices'], **nowhere)
    assert 'PV_CLBLAST_LIB names no_such_library_of_ours, which cannot be opened' in text, text
    tried = 0
    for d in devices(protovox, **nowhere):
        assert d.get('clblast', '') == '', d
        classes = {'opencl': ['simt', 'fat'], 'vulkan': ['simt']}.get(d['id'].split(':')[0], [])
        for c in classes:
            code, text = run([protovox, 'selftest', '--device', d['id'], '--class', c, '--op', 'conv1', '--impl',
                              'clblast'], PV_DEBUG='ops', **nowhere)
            why = ('it is for devices of class simt' if c == 'fat' else 'is for OpenCL devices' if 'vulkan' in d['id']
                   else 'which cannot be opened')
            assert code == 2 and why in text and "named 'clblast'" in text, (code, text)
            tried += 1
    if not tried:
        print('skipped: no OpenCL or Vulkan device')
        return 77
    print(tried, 'refusals')
    return 0


def failing(protovox, device, library):
    """A library that does not work at all is left alone; one that stops working ends the work with a clear fault."""
    real = [d for d in devices(protovox) if d['id'] == device][0]['clblast']
    args = [protovox, 'selftest', '--device', device, '--class', 'simt', '--op', 'conv1', '--impl', 'clblast',
            '--case', '1']
    code, text = run(args, PV_CLBLAST_LIB=library, GOOD_PRODUCTS='0', PV_DEBUG='kern')
    assert code == 0 and text.count('its first matrix product failed') == 1 and 'CLBlastSgemm' not in text, (code, text)
    if not real:
        print('skipped: CLBlast is not installed (libclblast1)')
        return 77
    code, text = run(args, PV_CLBLAST_LIB=library, GOOD_PRODUCTS='3')
    assert code == 4 and 'status -1024' in text, (code, text)
    assert "conv bwd data: CLBlast's product of 18 x 16 x 32 failed" in text, text
    return 0


def main(protovox, what, *more):
    if what == '--refusals':
        return refusals(protovox)
    if more[0] == '--failing':
        return failing(protovox, what, more[1])
    return check(protovox, what, list(more))


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
