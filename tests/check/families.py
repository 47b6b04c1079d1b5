#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""families.py PROTOVOX NAME...: the families that tests/check/meson.build runs must be those that the checker has."""
import subprocess
import sys

said = subprocess.run([sys.argv[1], 'selftest', '--list'], stdout=subprocess.PIPE, check=True, text=True).stdout
have = {line.split(':')[0] for line in said.splitlines() if line.count(':') == 1 and line.split(':')[1].strip()}
run = set(sys.argv[2:])
for name in sorted(have - run):
    print(f'family {name} is not run: add it to tests/check/meson.build')
for name in sorted(run - have):
    print(f'tests/check/meson.build runs family {name}, which does not exist')
sys.exit(not have or have != run)
