# SPDX-License-Identifier: Apache-2.0
"""Where the rivals' results go."""
import json
import os


def write(path, result):
    """A JSON file; its folder is made."""
    os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
    with open(path, 'w') as f:
        json.dump(result, f, indent=1)
        f.write('\n')
