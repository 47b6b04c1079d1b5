#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compiles kernel files into the program: writes a C file with an array per file and a table.

    embed.py OUT.c DEPFILE SYMBOL INCLUDE_DIR[,INCLUDE_DIR...] FILE...

The table is `const struct pv_embedded SYMBOL[]` (src/base/embed.h), ended by a row of NULL.
FILE.spv becomes 32-bit words. Anything else is text: its #include "..." lines are replaced by the
files they name (looked for beside the including file, then in the include folders), because drivers
cannot open our files at run time. A file with an include guard or #pragma once comes once, any
other each time it is named. #include <...> stays.
DEPFILE lists every file read, for Make and Ninja.
"""
import os
import re
import struct
import sys

INCLUDE = re.compile(r'\s*#\s*include\s*"([^"]*)"')
PRAGMA_ONCE = re.compile(r'\s*#\s*pragma\s+once\b')
GUARD = re.compile(r'#\s*ifndef\s+(\w+)\s*\n\s*#\s*define\s+(\w+)\b')
COMMENT = re.compile(r'/\*.*?\*/|//[^\n]*', re.S)
SPIRV_MAGIC = 0x07230203


class Problem(Exception):
    pass


def read_text(path, seen):
    seen.append(path)
    with open(path, encoding='utf-8', newline=None) as f:   # one kind of line end on every system
        text = f.read()
    if '\0' in text:
        raise Problem(f'{path}: not a text file')
    return text if not text or text.endswith('\n') else text + '\n'


def comes_once(text):
    bare = COMMENT.sub('', text)
    if any(PRAGMA_ONCE.match(line) for line in bare.splitlines()):
        return True
    guard = GUARD.match(bare.lstrip())
    return bool(guard) and guard.group(1) == guard.group(2)


def inside_comment(line, inside):
    """Whether a block comment is open at the end of the line."""
    i = 0
    while True:
        if inside:
            i = line.find('*/', i)
            if i < 0:
                return True
            inside, i = False, i + 2
        else:
            block, rest = line.find('/*', i), line.find('//', i)
            if block < 0 or 0 <= rest < block:
                return False
            inside, i = True, block + 2


def find(name, beside, dirs):
    for folder in [beside] + dirs:
        path = os.path.join(folder, name) if folder else name
        if os.path.isfile(path):
            return os.path.normpath(path)
    return None


def expand(path, dirs, seen, once, chain):
    text = read_text(path, seen)
    once_only = comes_once(text)
    if once_only:
        if os.path.realpath(path) in once:
            return ''
        once.add(os.path.realpath(path))
    out, inside = [], False
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        include = None if inside else INCLUDE.match(line)
        if include:
            target = find(include.group(1), os.path.dirname(path), dirs)
            if target is None:
                raise Problem(f'{path}:{number}: there is no "{include.group(1)}" beside it or in '
                              + ', '.join(dirs))
            if os.path.realpath(target) in chain:
                if os.path.realpath(target) not in once:
                    raise Problem(f'{path}:{number}: "{include.group(1)}" includes itself')
                continue
            out.append(expand(target, dirs, seen, once, chain | {os.path.realpath(target)}))
        elif not inside and PRAGMA_ONCE.match(line):
            continue
        else:
            out.append(line)
            inside = inside_comment(line, inside)
    return ''.join(out)


def rows(items, per_line):
    return ',\n'.join(','.join(items[i:i + per_line]) for i in range(0, len(items), per_line))


def text_array(symbol, data):
    numbers = [str(b) for b in range(256)]
    items = [numbers[b] for b in data + b'\0']
    return f'static const unsigned char {symbol}[] = {{\n{rows(items, 24)}\n}};\n'


def word_array(symbol, path, data):
    if len(data) < 20 or len(data) % 4:
        raise Problem(f'{path}: not a SPIR-V file')
    for order in '<>':
        words = struct.unpack(f'{order}{len(data) // 4}I', data)
        if words[0] == SPIRV_MAGIC:
            items = [f'{w}u' for w in words]
            return f'static const uint32_t {symbol}[] = {{\n{rows(items, 8)}\n}};\n'
    raise Problem(f'{path}: not a SPIR-V file')


def write(path, text):
    with open(path, 'w', encoding='utf-8', newline='\n') as f:
        f.write(text)


def make_escape(path):
    return path.replace('\\', '/').replace('$', '$$').replace('#', '\\#').replace(' ', '\\ ')


def main(argv):
    if len(argv) < 5:
        print(__doc__, file=sys.stderr)
        return 2
    out, depfile, symbol, dirs, files = argv[1], argv[2], argv[3], argv[4].split(','), argv[5:]
    dirs = [d for d in dirs if d]
    seen, arrays, table, stems = [], [], [], {}
    try:
        for i, path in enumerate(files):
            stem = os.path.splitext(os.path.basename(path))[0]
            if stem in stems:
                raise Problem(f'{path} and {stems[stem]} have the same name')
            stems[stem] = path
            if path.endswith('.spv'):
                seen.append(path)
                with open(path, 'rb') as f:
                    data = f.read()
                arrays.append(word_array(f'data_{i}', path, data))
            else:
                data = expand(path, dirs, seen, set(), {os.path.realpath(path)}).encode('utf-8')
                arrays.append(text_array(f'data_{i}', data))
            table.append(f'    {{"{stem}", data_{i}, {len(data)}}},\n')
        declaration = f'const struct pv_embedded {symbol}[]'
        write(out, ''.join(['/* Made by platform/embed.py. */\n#include "base/embed.h"\n\n'
                            '#include <stdint.h>\n\n', *arrays,
                            f'\nextern {declaration};\n{declaration} = {{\n', *table,
                            '    {NULL, NULL, 0},\n};\n']))
        prerequisites = ' '.join(make_escape(p) for p in dict.fromkeys(seen))
        write(depfile, f'{make_escape(out)}: {prerequisites}\n')
    except (Problem, OSError, UnicodeDecodeError) as e:
        print(f'embed.py: {e}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv))
