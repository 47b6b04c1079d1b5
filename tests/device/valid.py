#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every shader is valid SPIR-V for Vulkan 1.1: valid.py SPIRV_VAL FILE..."""
import subprocess
import sys

bad = [f for f in sys.argv[2:] if subprocess.run([sys.argv[1], '--target-env', 'vulkan1.1', f]).returncode]
print(len(sys.argv) - 2, 'shaders,', len(bad), 'not valid', *bad)
sys.exit(bool(bad) or len(sys.argv) < 3)
