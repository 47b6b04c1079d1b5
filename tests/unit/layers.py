#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Folders depend only downwards: src/layers.txt must allow every #include of our own headers.

    layers.py ROOT

Looks at src/**/*.[ch] and platform/*.[ch]. A header of the own folder may be named from the
including file or from that folder ("dev_impl.h", "args/types.h"), one of another folder as
"folder/name.h". First checks itself on planted violations.
"""
import os
import re
import sys
import tempfile

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)', re.M)
GENERATED = {'pv_config.h'}


def read(path):
    with open(path, encoding='utf-8', errors='replace') as f:
        return f.read()


def read_layers(path, errors):
    """{folder: set of folders it may include}; columns are two blanks apart."""
    layers = {}
    for number, line in enumerate(read(path).splitlines(), 1):
        if not line.strip() or line.startswith('#'):
            continue
        columns = re.split(r'\s{2,}', line.strip())
        if len(columns) < 3:
            errors.append(f'layers.txt:{number}: needs three columns')
            continue
        name, allowed = columns[0], set() if columns[1] == '-' else set(columns[1].split())
        for a in sorted(allowed - set(layers)):
            errors.append(f'layers.txt:{number}: {name} may not include {a}, which stands no lower')
        layers[name] = allowed | {name}
    return layers


def sources(root):
    """(folder, path) of every file that is checked."""
    for top in ('platform', 'src'):
        for here, folders, names in os.walk(os.path.join(root, top)):
            folders.sort()
            parts = os.path.relpath(here, root).replace(os.sep, '/').split('/')
            for name in sorted(names):
                if name.endswith(('.c', '.h')):
                    yield (parts + ['.'])[0 if top == 'platform' else 1], os.path.join(here, name)


def in_own_folder(root, folder, path, name):
    tops = (os.path.dirname(path), os.path.join(root, 'src', folder))
    return any(os.path.isfile(os.path.join(top, name)) for top in tops)


def check(root):
    errors = []
    layers = read_layers(os.path.join(root, 'src', 'layers.txt'), errors)
    count = 0
    for folder, path in sources(root):
        count += 1
        shown = os.path.relpath(path, root).replace(os.sep, '/')
        if folder not in layers:
            errors.append(f'{shown}: the folder {folder} has no line in src/layers.txt')
            continue
        for own, system in INCLUDE.findall(read(path)):
            name = own or system
            target = name.split('/')
            if system and target[0] not in layers:
                continue
            if '..' in target:
                errors.append(f'{shown}: includes {name}; name it from src/ or the root')
            elif own in GENERATED or in_own_folder(root, folder, path, name):
                continue
            elif len(target) == 1:
                errors.append(f'{shown}: {name} is not in its folder')
            elif target[0] not in layers:
                errors.append(f'{shown}: includes {name}, but {target[0]} is not in src/layers.txt')
            elif target[0] not in layers[folder]:
                errors.append(f'{shown}: {folder} may not include {target[0]} ({name})')
    return errors, count


LAYERS = '''# folder  may include  duty
platform  -  os
base  platform  strings
dev  platform base  devices
'''


def self_check():
    planted = [     # file, text, part of the error or None
        ('src/base/a.c', '#include "dev/dev.h"\n', 'base may not include dev'),
        ('src/base/a.c', '#include <dev/dev.h>\n', 'base may not include dev'),
        ('src/base/sub/a.h', '  #  include "dev/dev.h"\n', 'base may not include dev'),
        ('platform/posix.c', '#include "base/base.h"\n', 'platform may not include base'),
        ('src/dev/a.c', '#include "../base/base.h"\n', 'name it from'),
        ('src/dev/a.c', '#include "other/x.h"\n', 'other is not in'),
        ('src/dev/a.c', '#include "lost.h"\n', 'lost.h is not in its folder'),
        ('src/new/a.c', '\n', 'the folder new has no line'),
        ('src/a.c', '\n', 'has no line'),
        ('src/layers.txt', LAYERS + 'low  high  x\nhigh  low  x\n', 'stands no lower'),
        ('src/layers.txt', LAYERS + 'low platform\n', 'needs three columns'),
        ('src/dev/vk/a.c', '#include "dev/dev.h"\n#include "base/base.h"\n#include "a.h"\n'
         '#include "platform/platform.h"\n#include <stdio.h>\n#include <sys/stat.h>\n'
         '#include "vk/a.h"\n#include "pv_config.h"\n', None),
    ]
    for name, text, expected in planted:
        with tempfile.TemporaryDirectory() as root:
            for path, content in (('src/layers.txt', LAYERS), ('src/dev/vk/a.h', ''), (name, text)):
                full = os.path.join(root, path)
                os.makedirs(os.path.dirname(full), exist_ok=True)
                with open(full, 'w', encoding='utf-8') as f:
                    f.write(content)
            errors, _ = check(root)
            if (not errors) != (expected is None) or (expected and expected not in errors[0]):
                sys.exit(f'self-check: {name} {text!r} gave {errors}')


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
