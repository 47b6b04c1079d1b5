#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Takes the C code of a docs page: exercise.py PAGE.md OUT.c"""
import re
import sys

with open(sys.argv[1], encoding='utf-8') as f:
    blocks = re.findall(r'^```c\n(.*?)^```$', f.read(), re.M | re.S)
assert len(blocks) == 1, f'{sys.argv[1]} has {len(blocks)} blocks of C'
with open(sys.argv[2], 'w', encoding='utf-8') as f:
    f.write(blocks[0])
