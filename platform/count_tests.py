#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads Meson's testlog.json, names what was skipped and what failed, prints the closing line
'N passed, N failed, N skipped' and exits 1 if something failed or nothing ran. Tests of PoCL and lavapipe, which the
test script installs, count as failed where they were skipped."""
import json
import sys

ALWAYS = ('pocl', 'lavapipe', 'both apis')


def main():
    passed, failed, skipped = [], [], []
    with open(sys.argv[1], encoding='utf-8') as f:
        for line in f:
            t = json.loads(line)
            group = {'OK': passed, 'EXPECTEDFAIL': passed, 'SKIP': skipped}.get(t['result'], failed)
            if group is skipped and any(word in t['name'].lower() for word in ALWAYS):
                group = failed
            group.append(t)
    for t in skipped:
        reason = [x for x in t.get('stdout', '').splitlines() if x.strip()]
        print('skipped:', t['name'], '-', reason[-1] if reason else 'no reason given')
    for t in failed:
        print('failed:', t['name'], '-', t['result'])
    print(f'{len(passed)} passed, {len(failed)} failed, {len(skipped)} skipped')
    return 1 if failed or not passed else 0


if __name__ == '__main__':
    sys.exit(main())
