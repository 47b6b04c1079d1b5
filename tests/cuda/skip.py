#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench_cuda where CUDA sees no GPU (CUDA_VISIBLE_DEVICES is emptied): a reason, a result that says so, exit code 0.
    skip.py BENCH_CUDA"""
import json
import os
import subprocess
import sys
import tempfile

PROGRAM = sys.argv[1]
ENV = dict(os.environ, CUDA_VISIBLE_DEVICES='')


def run(*args):
    return subprocess.run([PROGRAM, *args], env=ENV, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def skips(folder, kind, *args):
    out = os.path.join(folder, 'r.json')
    r = run(kind, *args, '--out', out)
    assert r.returncode == 0 and 'skipped: there is no NVIDIA GPU' in r.stdout, (r.returncode, r.stdout)
    with open(out) as f:
        o = json.load(f)
    assert o['kind'] == kind and 'no NVIDIA GPU' in o['skipped'] and o['device']['id'] == 'cuda:0', o
    assert 'rows' not in o and 'train' not in o, o
    return o


def refuses(*args):
    r = run(*args)
    assert r.returncode == 2 and r.stdout.count('error: ') == 1, (args, r.returncode, r.stdout)


def main():
    if not os.path.exists(PROGRAM):
        print('skipped: bench/cuda was not built (no nvcc, cuDNN or cuBLAS)')
        sys.exit(77)
    with tempfile.TemporaryDirectory() as folder:
        assert skips(folder, 'ops')['precision'] == 'fp32'
        assert skips(folder, 'step', '--precision', 'half', '--batch', '2')['name'] == 'cuda half channels last'
        skips(folder, 'check', '--precision', 'tf32')
    refuses()
    refuses('ops', '--precision', 'fp16')
    refuses('step', '--patch', '30x32x32')
    refuses('step', '--reps', '0')


if __name__ == '__main__':
    main()
