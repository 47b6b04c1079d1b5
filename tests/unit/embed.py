#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""platform/embed.py: what it inlines and refuses, and that its C compiles to the same bytes.

    embed.py ROOT CC...
"""
import os
import re
import struct
import subprocess
import sys
import tempfile

ROOT, CC = os.path.abspath(sys.argv[1]), sys.argv[2:]
EMBED = os.path.join(ROOT, 'platform', 'embed.py')


def put(path, content):
    if os.path.dirname(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'wb') as f:
        f.write(content if isinstance(content, bytes) else content.encode('utf-8'))


def run(*files, dirs='common,more'):
    return subprocess.run([sys.executable, EMBED, 'out dir/o.c', 'o.d', 'table', dirs, *files],
                          capture_output=True, text=True, check=False)


def embedded(*files, dirs='common,more'):
    """[(name, bytes, size)] as the C file has them."""
    r = run(*files, dirs=dirs)
    assert r.returncode == 0, r.stderr
    with open('out dir/o.c', encoding='utf-8') as f:
        c = f.read()
    arrays = {}
    for kind, name, body in re.findall(r'static const (\S+(?: char)?) (\w+)\[\] = {([^}]*)}', c):
        numbers = [int(n.strip().rstrip('u')) for n in body.split(',')]
        arrays[name] = (bytes(numbers) if kind == 'unsigned char'
                        else struct.pack(f'<{len(numbers)}I', *numbers))
    return [(n, arrays[a], int(s)) for n, a, s in re.findall(r'{"(\w+)", (\w+), (\d+)}', c)]


def text(content, **others):
    """k.cl with this content, embedded."""
    put('k.cl', content)
    (name, data, size), = embedded('k.cl', **others)
    assert name == 'k' and data[size] == 0 and len(data) == size + 1
    return data[:size].decode('utf-8')


def expect(got, wanted):
    assert got == wanted, f'got {got!r}, wanted {wanted!r}'


def check_includes():
    expect(text('a\n'), 'a\n')
    expect(text('a'), 'a\n')
    expect(text(''), '')
    expect(text('caf\u00e9\r\nb\r\n'), 'caf\u00e9\nb\n')
    put('common/plain.h', 'plain\n')
    put('common/guard.h', '/* licence */\n// more\n#ifndef G_H\n#define G_H\nguarded\n#endif\n')
    put('common/once.h', '/* x */\n#pragma once\nonce\n')
    put('more/late.h', '  #  include "once.h"  // why\n#include "plain.h"\nlate\n')
    put('common/half.h', '#ifndef A\n#define B\nhalf\n#endif\n')
    guarded = '/* licence */\n// more\n#ifndef G_H\n#define G_H\nguarded\n#endif\n'
    expect(text('#include "plain.h"\n#include "plain.h"\nx\n'), 'plain\nplain\nx\n')
    expect(text('#include "guard.h"\n#include "guard.h"\nx\n'), guarded + 'x\n')
    expect(text('#include "once.h"\n#include "once.h"\nx\n'), '/* x */\nonce\nx\n')
    expect(text('#include "late.h"\n#include "once.h"\n'), '/* x */\nonce\nplain\nlate\n')
    expect(text('#include "half.h"\n' * 2), '#ifndef A\n#define B\nhalf\n#endif\n' * 2)
    expect(text('#include <math.h>\n/* \n#include "none.h"\n*/\n// #include "none.h"\n'),
           '#include <math.h>\n/* \n#include "none.h"\n*/\n// #include "none.h"\n')
    expect(text('a // /*\n#include "plain.h"\n/* b */ /* c\n#include "none.h"\n*/\n'
                '#include "plain.h"\n'),
           'a // /*\nplain\n/* b */ /* c\n#include "none.h"\n*/\nplain\n')
    put('sub/k2.cl', '#include "plain.h"\n')        # beside the file before the folders
    put('sub/plain.h', 'beside\n')
    expect(embedded('sub/k2.cl'), [('k2', b'beside\n\0', 7)])
    # each kernel file starts afresh
    put('k.cl', '#include "once.h"\n')
    put('k3.cl', '#include "once.h"\n')
    expect([d for _, d, _ in embedded('k.cl', 'k3.cl')], [b'/* x */\nonce\n\0'] * 2)
    # a guarded circle ends
    put('common/c1.h', '#ifndef C1\n#define C1\n#include "c2.h"\none\n#endif\n')
    put('common/c2.h', '#pragma once\n#include "c1.h"\ntwo\n')
    expect(text('#include "c1.h"\n'), '#ifndef C1\n#define C1\ntwo\none\n#endif\n')


def check_depfile():
    put('k.cl', '#include "late.h"\n')
    put('w.spv', spirv())
    embedded('k.cl', 'w.spv')
    with open('o.d', encoding='utf-8') as f:
        target, rest = f.read().split(': ')
    expect(target, 'out\\ dir/o.c')
    expect(rest.split(), ['k.cl', 'more/late.h', 'common/once.h', 'common/plain.h', 'w.spv'])


def spirv(order='<'):
    return struct.pack(order + '6I', 0x07230203, 0x10300, 0, 5, 0, 0xdeadbeef)


def check_refusals():
    def refused(says, *files):
        r = run(*files)
        assert r.returncode == 1 and says in r.stderr, (r.returncode, r.stderr)
    put('k.cl', 'x\n#include "none.h"\n')
    refused('k.cl:2: there is no "none.h"', 'k.cl')
    put('common/self.h', '#include "self.h"\n')
    put('k.cl', '#include "self.h"\n')
    refused('includes itself', 'k.cl')
    put('k.cl', 'x\n')
    put('sub/k.cl', 'x\n')
    refused('same name', 'k.cl', 'sub/k.cl')
    refused('none.cl', 'none.cl')
    for bad in (b'', spirv()[:-1], spirv()[:16], b'x' * 24):
        put('bad.spv', bad)
        refused('not a SPIR-V file', 'bad.spv')
    put('bad.cl', b'\xff\n')
    refused('utf-8', 'bad.cl')
    put('bad.cl', b'a\0b\n')
    refused('not a text', 'bad.cl')
    expect(subprocess.run([sys.executable, EMBED], capture_output=True, check=False).returncode, 2)


MAIN = r'''
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "base/embed.h"
extern const struct pv_embedded table[];
int main(void)
{
    for (const struct pv_embedded *e = table; e->name; e++) {
        uint32_t word = 0, sum = 0;
        memcpy(&word, e->data, 4);
        for (size_t i = 0; i < e->size; i++)
            sum = sum * 31 + ((const unsigned char *)e->data)[i];
        printf("%s %zu %u %u %d\n", e->name, e->size, (unsigned)word, (unsigned)sum,
               (int)((uintptr_t)e->data % 4 == 0));
    }
    return 0;
}
'''


def compiled():
    """What a program prints that holds the embedded files."""
    subprocess.run([*CC, '-std=c11', '-Wall', '-Wextra', '-Werror', '-I', os.path.join(ROOT, 'src'),
                    'main.c', 'out dir/o.c', '-o', 'main.exe'], check=True)
    return subprocess.run([os.path.abspath('main.exe')], capture_output=True, text=True,
                          check=True).stdout


def check_compiled():
    def total(data):
        s = 0
        for b in data:
            s = (s * 31 + b) & 0xffffffff
        return s
    large = ''.join(f'line {i} \u00e9 "quoted" \\ %d\n' for i in range(20000))
    put('big.cl', large)
    put('little.spv', spirv('<'))
    put('foreign.spv', spirv('>'))      # made on a machine of the other byte order
    put('main.c', MAIN)
    assert run('big.cl', 'little.spv', 'foreign.spv').returncode == 0
    rows = [line.split() for line in compiled().splitlines()]
    data = large.encode('utf-8')
    expect(rows[0][:2] + [rows[0][3]], ['big', str(len(data)), str(total(data))])
    native = struct.pack('=6I', *struct.unpack('<6I', spirv()))
    for row, name in zip(rows[1:], ('little', 'foreign')):
        expect(row, [name, '24', str(0x07230203), str(total(native)), '1'])
    expect(len(rows), 3)
    assert run().returncode == 0        # no files: a table of its end alone
    expect(compiled(), '')


with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    os.mkdir('out dir')
    check_includes()
    check_depfile()
    check_refusals()
    check_compiled()
    os.chdir(ROOT)
