#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Training with measured kernels: the choices stand in config.json, a run that goes on makes the same ones and ends
with the bits of one that was never stopped, and nothing is measured twice.
    tune.py PROTOVOX PHANTOMS DEVICE"""
import glob
import json
import os

from e2e import main, phantoms, refuses, run, same_runs

N = 6


def train(out, *more):
    return ['train', '--data', 'data', '--out', out, '--method', 'sup', '--preset', 'tiny', '--labeled', 2,
            '--iters', N, '--patch', '32x32x16', '--set', 'net.filters=16', 'data.prep=none',
            f'train.reference_iters={N}'] + list(more)


def tuning(out):
    return json.load(open(out + '/config.json')).get('tuning')


def measured(text):
    return text.count('debug tune: conv')


def off_by_default():
    os.environ['PV_CACHE'] = os.path.abspath('cache')       # in the test's own folder
    os.environ['PV_DEBUG'] = 'tune'
    phantoms('data', train=4, test=1)
    assert measured(run(*train('plain', '--stop-after', 1))) == 0 and tuning('plain') is None
    refuses(2, 'tuning.mode', 'sometimes', 'again', args=train('bad', '--tune', 'sometimes'))


def whole():
    text = run(*train('whole', '--tune', 'on'))
    t = tuning('whole')
    assert t['mode'] == 'on' and t['device'] and measured(text) == len(t['choices']) > 8, (text, t)
    assert set(t['choices'].values()) <= {'direct', 'wino', 'deep', 'two', 'tile', 'gemm', 'winog', 'clblast'}, t
    assert f"kernels of {len(t['choices'])} layers by measurement" in text, text


def goes_on():
    """The disk knows the choices; for the second half only config.json does."""
    text = run(*train('half', '--tune', 'on', '--stop-after', N // 2))
    assert measured(text) == 0 and tuning('half') == tuning('whole'), text
    config = json.load(open('half/config.json'))
    key = [k for k, v in config['tuning']['choices'].items() if v != 'direct'][0]
    for f in glob.glob('cache/*.tune'):
        os.remove(f)
    text = run('train', '--data', 'data', '--out', 'half', '--resume')
    assert measured(text) == 0 and tuning('half') == tuning('whole'), text
    same_runs('whole', 'half')
    # a run's own table comes first, whatever it holds
    run(*train('edited', '--tune', 'on', '--stop-after', 1))
    config = json.load(open('edited/config.json'))
    assert set(config['tuning']['choices']) == set(tuning('whole')['choices'])
    config['tuning']['choices'][key] = 'direct'
    json.dump(config, open('edited/config.json', 'w'))
    run('train', '--data', 'data', '--out', 'edited', '--resume', '--stop-after', 2)
    assert tuning('edited')['choices'][key] == 'direct'
    refuses(2, 'tuning.mode is "on" there',
            args=['train', '--data', 'data', '--out', 'edited', '--resume', '--tune', 'off'])


def predicts():
    text = run('evaluate', '--run', 'whole', '--data', 'data', '--split', 'test')
    assert measured(text) == 0, text


main([off_by_default, whole, goes_on, predicts])
