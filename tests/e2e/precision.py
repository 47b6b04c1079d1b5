#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Training in mixed precision: losses near those of fp32; a step whose gradients halves cannot hold is left out, the
scale halves and training goes on; a run that goes on keeps its bits, the scale's too; methods with two networks and two
steps an iteration; the option of predict.
    precision.py PROTOVOX PHANTOMS DEVICE [--small]"""
import json
import math

from e2e import SMALL, losses, main, metrics, phantoms, refuses, run, safetensors, same_runs

N = 4 if SMALL else 8


def train(out, *more, method='sup', iters=N):
    return run('train', '--data', 'data', '--out', out, '--method', method, '--preset', 'tiny', '--labeled', 2,
               '--quiet', '--iters', iters, '--patch', '16x16x16' if SMALL else '32x32x16', '--set',
               f'net.filters={2 if SMALL else 8}', 'data.prep=none', f'train.reference_iters={iters}', *more)


def column(out, name):
    return [float(r[name]) for r in metrics(out)]


def near_fp32():
    phantoms('data', size='24x24x24' if SMALL else '40x40x24', train=4, test=1)
    train('fp32')
    train('mixed', '--precision', 'mixed')
    assert json.load(open('fp32/config.json'))['precision']['mode'] == 'fp32'
    assert json.load(open('mixed/config.json'))['precision']['mode'] == 'mixed'
    a, b = losses('fp32'), losses('mixed')
    apart = [abs(x - y) / x for x, y in zip(a, b)]
    print('        losses', a[-1], b[-1], 'apart at most', max(apart))
    assert a != b and len(a) == len(b) == N, (a, b)
    # operands differ by 2^-11 of their size; steps let that grow. In the small run normalisation by single voxels lets
    # even the rounding of two fp32 devices grow to 3e-3 in the fourth step.
    assert apart[0] < 2e-3 and max(apart[:3] if SMALL else apart) < 2e-2, apart
    assert 'scale' not in metrics('fp32')[0]
    assert column('mixed', 'scale') == [65536] * N and column('mixed', 'skipped') == [0] * N


def skips_and_recovers():
    """From a scale that no half holds: not one weight moves until it has come down."""
    train('high', 'precision.scale=4294967296', '--precision', 'mixed', iters=24)
    scale, skipped, loss = column('high', 'scale'), column('high', 'skipped'), losses('high')
    print('        skipped', skipped[-1], 'scale', scale[-1])
    first = max(i for i in range(24) if skipped[i] == i)        # steps left out in a row
    assert first >= 2 and skipped[-1] < 20, (scale, skipped)
    for i in range(24):         # half with every step that was left out, else the same
        assert math.isclose(scale[i], 2.0 ** (32 - skipped[i]), rel_tol=1e-6), (scale, skipped)
    assert all(math.isfinite(v) for v in loss)
    kept = safetensors('high/final.safetensors')[1]
    momentum = [k for k in kept if k.startswith('optim.')]
    assert momentum and all(math.isfinite(v) for k in momentum for v in memoryview(kept[k][2]).cast('f'))
    train('stuck', 'precision.scale=4294967296', '--precision', 'mixed', '--stop-after', first, iters=24)
    train('start', 'precision.scale=4294967296', '--precision', 'mixed', '--stop-after', 1, iters=24)
    a, b = (safetensors(f'{o}/latest.safetensors')[1] for o in ('stuck', 'start'))
    moved = [k for k in a if k.startswith('net.') and 'running' not in k and 'num_batches' not in k and a[k] != b[k]]
    assert not moved, moved


def goes_on():
    grow = ['precision.scale=1024', 'precision.growth=2', '--precision', 'mixed']
    train('whole', *grow)
    assert column('whole', 'scale')[:4] == [1024, 1024, 2048, 2048], column('whole', 'scale')
    train('parts', *grow, '--stop-after', 3)
    run('train', '--data', 'data', '--out', 'parts', '--resume', '--quiet')
    same_runs('whole', 'parts')
    state = [safetensors(f'{o}/final.safetensors')[1]['state.loss_scale'] for o in ('whole', 'parts')]
    assert state[0] == state[1]
    resume = ['train', '--data', 'data', '--out', 'whole', '--resume']
    refuses(2, 'precision.mode is "mixed"', args=resume + ['--precision', 'fp32'])


def methods():
    for method in ('cps', 'crln'):
        train(method, '--precision', 'mixed', '--stop-after', 2, method=method)
        assert column(method, 'skipped') == [0, 0] and all(math.isfinite(v) for v in losses(method)), metrics(method)


def predicts():
    for out, option in (('same', []), ('mixed', ['--precision', 'mixed']), ('fp32', ['--precision', 'fp32'])):
        run('predict', '--run', 'mixed', '--input', 'data/imagesTr', '--out', f'labels-{out}', '--quiet',
            '--probabilities', *option)
    names = ['labels-%s/phantom_000_prob.nii.gz' % o for o in ('same', 'mixed', 'fp32')]
    same, mixed, fp32 = (open(n, 'rb').read() for n in names)
    assert same == mixed and mixed != fp32
    refuses(2, '--precision is fp32 or mixed', "'half'", args=['predict', '--run', 'mixed', '--input', 'data/imagesTr',
                                                               '--out', 'other', '--precision', 'half'])
    refuses(2, 'precision.mode', 'fp32, mixed', args=['train', '--data', 'data', '--out', 'bad', '--precision', 'half'])


TESTS = [near_fp32, skips_and_recovers, goes_on]
if not SMALL:
    TESTS += [methods, predicts]
main(TESTS)
