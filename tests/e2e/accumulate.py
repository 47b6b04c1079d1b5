#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Several batches per iteration (--accumulate): rows of metrics.csv are iterations, each batch is another one, a run
that goes on keeps its bits, methods with stages, two networks or two steps an iteration take it, wrong numbers are
refused.
    accumulate.py PROTOVOX PHANTOMS DEVICE"""
import json
import math

from e2e import losses, main, metrics, phantoms, refuses, run, same_runs

N = 4


def train(out, *more, method='sup'):
    return run('train', '--data', 'data', '--out', out, '--method', method, '--preset', 'tiny', '--labeled', 2,
               '--quiet', '--iters', N, '--patch', '16x16x16', '--set', 'net.filters=4', 'data.prep=none',
               f'train.reference_iters={N}', *more)


def passes(out):
    with open(f'{out}/training.json') as f:
        return json.load(f)['volume_passes']


def counts():
    phantoms('data', size='24x24x24', train=4, test=1)
    train('one')
    train('two', '--accumulate', 2)
    with open('two/config.json') as f:
        assert json.load(f)['train']['accumulate'] == 2
    assert len(losses('one')) == len(losses('two')) == N
    assert [r['lr'] for r in metrics('one')] == [r['lr'] for r in metrics('two')]
    assert passes('two') == 2 * passes('one') > 0
    # the first row is the mean of the first two batches at the start's weights: the first of them is one's first
    assert losses('one')[0] != losses('two')[0] and abs(losses('one')[0] - losses('two')[0]) < 0.2
    text = open('two/report.html').read()
    row = '2 per iteration, gradients averaged'
    assert row in text and 'gradients averaged' not in open('one/report.html').read()


def goes_on():
    for more in ([], ['--precision', 'mixed']):
        train('whole', '--accumulate', 2, '--overwrite', *more)
        train('parts', '--accumulate', 2, '--stop-after', 2, '--overwrite', *more)
        run('train', '--data', 'data', '--out', 'parts', '--resume', '--quiet')
        same_runs('whole', 'parts')
    assert [float(r['scale']) for r in metrics('whole')] == [65536] * N


def methods():
    for method in ('mt', 'crln', 'mper', 'ducisc', 'cce'):
        train(method, '--accumulate', 2, '--batch', 2, method=method)
        assert len(losses(method)) == N and all(math.isfinite(v) for v in losses(method)), metrics(method)


def mistakes():
    t = ['train', '--data', 'data', '--out', 'no', '--preset', 'tiny', '--method', 'sup']
    refuses(2, '--accumulate must be at least 1', args=t + ['--accumulate', 0])
    refuses(2, '--accumulate takes a whole number', args=t + ['--accumulate', -3])
    refuses(2, 'train.accumulate is 65', args=t + ['--accumulate', 65])
    refuses(2, 'train.accumulate', args=['train', '--data', 'data', '--out', 'two', '--resume', '--accumulate', 3])


main([counts, goes_on, methods, mistakes])
