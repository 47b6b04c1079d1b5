#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The example of docs/library.md against what is installed: installed.py BUILD CC EXAMPLE.c DEVICE

Installs BUILD into an empty folder, compiles the example with nothing but the installed header and pkg-config file,
as strict C11 and as C++, links it with the shared and with the static library, and runs both."""
import gzip
import os
import shutil
import struct
import subprocess
import sys
import tempfile

SKIP = 77


def run(*command, **more):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
    if done.returncode:
        sys.exit(f'{" ".join(command)}\nfailed ({done.returncode}):\n{done.stdout}')
    return done.stdout


def find(top, name):
    return [os.path.join(here, name) for here, _, names in os.walk(top) if name in names]


def main():
    build, compiler, example, device = sys.argv[1:]
    pkg_config = shutil.which('pkg-config') or shutil.which('pkgconf')
    meson = shutil.which('meson')
    if not pkg_config or not meson:
        print('skipped: needs meson and pkg-config on the path')
        sys.exit(SKIP)
    cc = compiler.split()
    with tempfile.TemporaryDirectory() as top:
        dest = os.path.join(top, 'dest')
        run(meson, 'install', '-C', build, '--no-rebuild', '--quiet', '--destdir', dest)
        pc, header = find(dest, 'protovox.pc'), find(dest, 'protovox.h')
        if len(pc) != 1 or len(header) != 1:
            sys.exit(f'installed {pc} and {header}; there must be one of each')
        env = dict(os.environ)
        env['PKG_CONFIG_PATH'] = os.path.dirname(pc[0]) + os.pathsep + env.get('PKG_CONFIG_PATH', '')
        version = run(pkg_config, '--modversion', 'protovox', env=env).strip()
        cflags = run(pkg_config, '--cflags', 'protovox', env=env).split()
        strict = ['-Wall', '-Wextra', '-Wpedantic', '-Wno-unused-parameter', '-Werror']
        run(*cc, '-std=c11', *strict, *cflags, '-fsyntax-only', example)
        if subprocess.run([*cc, '-x', 'c++', '-fsyntax-only', os.devnull], stderr=subprocess.DEVNULL).returncode == 0:
            run(*cc, '-x', 'c++', '-std=c++11', *strict, *cflags, '-fsyntax-only', example)
        kinds = 0
        for kind, lib, more in (('shared', 'libprotovox.so', []), ('static', 'libprotovox.a', ['--static'])):
            at = find(dest, lib)
            if not at:
                continue
            kinds += 1
            libs = run(pkg_config, *more, '--libs', 'protovox', env=env).split()
            if kind == 'static':
                libs = [at[0] if x == '-lprotovox' else x for x in libs]
            work = os.path.join(top, kind)
            os.mkdir(work)
            program = os.path.join(work, 'example')
            run(*cc, example, '-o', program, *cflags, *libs)
            env['LD_LIBRARY_PATH'] = os.path.dirname(at[0]) if kind == 'shared' else ''
            said = run(program, device, cwd=work, env=env)
            if 'step 10 of 10' not in said or 'is written' not in said:
                sys.exit(f'the example said {said!r}')
            with gzip.open(os.path.join(work, 'label.nii.gz')) as f:
                raw = f.read()
            sizes = struct.unpack_from('<8h', raw, 40)
            if sizes[1:4] != (32, 32, 32) or len(raw) < 352 + 32 ** 3:
                sys.exit(f'label.nii.gz has sides {sizes} and {len(raw)} bytes')
            print(f'{kind}: protovox {version}, {len(raw)} bytes of label')
        if kinds == 0:
            sys.exit('no library was installed')


if __name__ == '__main__':
    main()
