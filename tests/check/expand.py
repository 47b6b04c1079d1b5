#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""expand.py OUT FILE INCLUDE_DIR...: FILE with its #include "..." lines replaced, for PV_KERN_DIR."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'platform'))
import embed  # noqa: E402

out, path, dirs = sys.argv[1], sys.argv[2], sys.argv[3:]
embed.write(out, embed.expand(path, dirs, [], set(), {os.path.realpath(path)}))
