#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The part of docs/developing.md that a program can check, over all our source files.

    style.py ROOT

No tabs, no blanks at line ends, at most 120 columns, at most 800 lines, SPDX on the first line
(after #!), UTF-8, a newline at the end, nothing left "to do", no path of one machine in what is
shipped. First checks itself on planted violations.
"""
import os
import re
import sys
import tempfile

FOLDERS = ('platform', 'src', 'kernels_cl', 'shaders', 'tests', 'bench')
SHIPPED = ('src', 'kernels_cl', 'shaders')
ENDINGS = ('.c', '.h', '.cl', '.comp', '.glsl', '.cu', '.py', '.sh')
WITH_LICENCE = ('.c', '.h', '.cl', '.comp', '.py', '.sh')
MOST_COLUMNS, MOST_LINES = 120, 800
UNFINISHED = re.compile(r'\b(' + '|'.join(('TO' 'DO', 'FIX' 'ME', 'X' 'XX')) + r')\b')
MACHINE = re.compile(r'/(?:work|home|Users|root)/|/tmp/\w')


def check_text(path, raw):
    shipped = path.split('/')[0] in SHIPPED
    try:
        text = raw.decode('utf-8')
    except UnicodeDecodeError:
        yield 1, 'not UTF-8'
        return
    lines = text.split('\n')
    if lines[-1]:
        yield len(lines), 'no newline at the end'
    else:
        lines.pop()
    if len(lines) > MOST_LINES:
        yield len(lines), f'more than {MOST_LINES} lines'
    if path.endswith(WITH_LICENCE):
        first = 1 if lines and lines[0].startswith('#!') else 0
        if len(lines) <= first or 'SPDX-License-Identifier: Apache-2.0' not in lines[first]:
            yield first + 1, 'the first line must have SPDX-License-Identifier: Apache-2.0'
    for number, line in enumerate(lines, 1):
        if '\t' in line:
            yield number, 'tab'
        if line != line.rstrip():
            yield number, 'blank at the end'
        if len(line) > MOST_COLUMNS:
            yield number, f'{len(line)} columns, more than {MOST_COLUMNS}'
        if UNFINISHED.search(line):
            yield number, 'unfinished: ' + UNFINISHED.search(line).group()
        if shipped and MACHINE.search(line):
            yield number, 'path of one machine: ' + MACHINE.search(line).group()


def check(root):
    errors, count = [], 0
    for top in FOLDERS:
        for here, folders, names in os.walk(os.path.join(root, top)):
            folders[:] = sorted(d for d in folders if not d.startswith(('.', 'build', '__')))
            for name in sorted(names):
                if not name.endswith(ENDINGS):
                    continue
                count += 1
                full = os.path.join(here, name)
                path = os.path.relpath(full, root).replace(os.sep, '/')
                with open(full, 'rb') as f:
                    raw = f.read()
                errors += [f'{path}:{n}: {what}' for n, what in check_text(path, raw)]
    return errors, count


def self_check():
    head = '/* SPDX-License-Identifier: Apache-2.0 */\n'
    planted = [     # file, text, part of the error or None
        ('src/a.c', head + '\tint a;\n', 'a.c:2: tab'),
        ('src/a.c', head + 'int a; \n', 'blank at the end'),
        ('src/a.c', head + 'int a;\r\n', 'blank at the end'),
        ('src/a.h', head + 'x' * 121 + '\n', '121 columns'),
        ('src/a.h', head + 'int a;', 'no newline'),
        ('src/a.h', head * 801, 'more than 800'),
        ('src/a.h', '\n' + head, 'first line'),
        ('src/a.h', '', 'first line'),
        ('src/a.py', '#!/bin/x\nimport a\n', 'a.py:2: the first line'),
        ('kernels_cl/deep/a.cl', 'int a;\n', 'first line'),
        ('shaders/a.comp', 'int a;\n', 'first line'),
        ('platform/a.sh', '#!/bin/sh\n', 'first line'),
        ('tests/a.c', head + '/* FIX' 'ME */\n', 'unfinished'),
        ('src/a.c', head + '/* TO' 'DO: x */\n', 'unfinished'),
        ('src/a.c', head + '"/wo' 'rk/data"\n', 'path of one machine'),
        ('src/a.c', head + '"/tm' 'p/file"\n', 'path of one machine'),
        ('src/a.c', head.encode() + b'/* \xe9 */\n', 'not UTF-8'),
        ('src/a.c', head + 'x' * 120 + '\n' + '\u00e9' * 120 + '\n', None),
        ('src/a.py', '#!/bin/x\n' + head + '"X' 'XXXXX /tmp/ TODOS"\n', None),
        ('tests/a.c', head + '"/tm' 'p/file"\n', None),
        ('bench/build/a.c', 'junk', None),
        ('src/a.txt', '\t', None),
    ]
    for name, text, expected in planted:
        with tempfile.TemporaryDirectory() as root:
            full = os.path.join(root, name)
            os.makedirs(os.path.dirname(full))
            with open(full, 'wb') as f:
                f.write(text if isinstance(text, bytes) else text.encode('utf-8'))
            errors, _ = check(root)
            wanted = 0 if expected is None else 1
            if len(errors) != wanted or (expected and expected not in errors[0]):
                sys.exit(f'self-check: {name} {text[:60]!r} gave {errors}')


def main():
    self_check()
    errors, count = check(sys.argv[1])
    for e in errors:
        print(e)
    if count == 0:
        sys.exit('no source files found')
    sys.exit(1 if errors else 0)


if __name__ == '__main__':
    main()
