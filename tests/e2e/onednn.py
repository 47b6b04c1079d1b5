#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench_onednn, where it was built: every way of oneDNN against a plain loop, results, and --like.
    onednn.py BENCH_ONEDNN"""
import json
import os
import subprocess
import sys
import tempfile

PROGRAM = sys.argv[1]


def run(*args, code=0):
    r = subprocess.run([PROGRAM, *args], env=dict(os.environ, OMP_NUM_THREADS='1'), stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True, timeout=600)
    assert r.returncode == code, (args, r.returncode, r.stdout)
    return r.stdout


def main():
    if not os.path.exists(PROGRAM):
        print('skipped: bench/peers/onednn.c was not built (-Donednn names no folder)')
        sys.exit(77)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        with open('shapes', 'w') as f:
            f.write('stem 1 16 3 1 8x8x8\nsoftmax 2 8x8x8\nconv 16 16 3 1 8x6x4 2\nup 32 16 2 2 4x4x4\n'
                    'head 16 2 1 1 8x8x8\n')
        results = []
        for more in ([], ['--like', '0.json']):
            run('--shapes', 'shapes', '--reps', '5', '--seconds', '0', '--out', f'{len(results)}.json', *more)
            with open(f'{len(results)}.json') as f:
                results.append(json.load(f))
        a, b = results
        for o in results:
            assert o['kind'] == 'ops' and o['threads'] == 1 and o['onednn'].startswith('3.'), o
            assert 0 < o['checked']['largest_error'] <= 2e-6, o['checked']
            assert [(r['op'], r['phase']) for r in o['rows']] == [('stem', 'fwd'), ('stem', 'bwd weight')] + [
                (op, phase) for op in ('conv', 'up', 'head') for phase in ('fwd', 'bwd data', 'bwd weight')], o['rows']
            for r in o['rows']:
                assert r['reps'] == 5 and 0 < r['ms_min'] <= r['ms_median'] <= r['ms_max'], r
                assert r['way'] == f"{r['impl']} {r['formats']}" and 'ref' not in r['impl'], r
        assert a['checked']['results'] > 100 and b['checked']['results'] == len(b['rows']), b['checked']
        assert [r['way'] for r in a['rows']] == [r['way'] for r in b['rows']]
        for r in a['rows']:
            assert r['way'] in [t['way'] for t in r['tried']], r
        with open('shapes', 'a') as f:
            f.write('conv 16 32 3 1 4x4x4\n')
        assert 'has no fwd of conv 16 -> 32' in run('--shapes', 'shapes', '--like', '0.json', code=3)
    assert 'takes 5 to' in run('--reps', '4', code=2)


if __name__ == '__main__':
    main()
