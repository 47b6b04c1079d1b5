#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Several seeds in one command, and comparisons of evaluated runs.
    scores.py PROTOVOX PHANTOMS DEVICE"""
import csv
import json
import math
import os
import shutil
import statistics

from e2e import main, phantoms, refuses, run, same_runs, steps

TEST = 3
SETTINGS = ['--preset', 'tiny', '--labeled', 2, '--iters', 4, '--patch', '16x16x16', '--quiet', '--set',
            'net.filters=4', 'data.prep=none', 'train.reference_iters=4', 'eval.stride=[8,8,8]']


def train(out, *more):
    return ['train', '--data', 'data', '--out', out, '--method', 'sup'] + SETTINGS + list(more)


def seeds_are_separate_runs():
    phantoms('data', size='24x24x24', train=3, test=TEST)
    text = run(*train('runs', '--seeds', '1,2'), says=['seed 2 (2 of 2): runs/seed-2', 'written to runs/seeds.json'])
    run(*train('single', '--seed', 2))
    same_runs('single', 'runs/seed-2')
    with open('runs/seeds.json') as f:
        told = json.load(f)
    means = []
    for one, seed in zip(told['seeds'], (1, 2)):
        assert one['seed'] == seed and one['cases'] == TEST, one
        v = dice(f'runs/seed-{seed}')
        means.append(statistics.mean(v))
        assert math.isclose(one['Dice']['mean'], means[-1], abs_tol=1e-3), (one, v)
    all_seeds = told['over_seeds']['Dice']
    assert math.isclose(all_seeds['mean'], statistics.mean(means), abs_tol=1e-3), (told, means)
    assert math.isclose(all_seeds['sd'], statistics.stdev(means), abs_tol=1e-3), (told, means)
    assert f"{all_seeds['mean']:.2f}" in text.split('\nmean')[1], text


def dice(folder):
    """Of every case, in percent, in the order of the file."""
    with open(folder + '/evaluation_test.csv') as f:
        return [100 * float(r['dice']) for r in csv.DictReader(f) if r['case'] not in ('mean', 'std')]


def seeds_go_on():
    """One is done, one was stopped, one has not begun: --resume needs no settings."""
    shutil.copytree('runs', 'on')
    os.remove('on/seeds.json')
    shutil.rmtree('on/seed-2')
    run(*train('on/seed-2', '--seed', 2, '--stop-after', 2))
    run('train', '--data', 'data', '--out', 'on', '--seeds', '1,2,3', '--resume', '--quiet',
        says=['seed 1: done already', 'resumed'])
    same_runs('runs/seed-2', 'on/seed-2')
    run(*train('single3', '--seed', 3))
    same_runs('single3', 'on/seed-3')
    assert steps('on/seed-3/final.safetensors') == 4 and os.path.exists('on/seeds.json')


def comparison():
    """Three pairs: Student's t with two degrees of freedom has a closed form, the signed-rank test eight signs."""
    a, b = dice('runs/seed-1'), dice('runs/seed-2')
    d = [y - x for x, y in zip(a, b)]
    t = statistics.mean(d) / (statistics.stdev(d) / math.sqrt(TEST))
    one_sided = 0.5 - t / (2 * math.sqrt(2 + t * t))
    order = sorted(range(TEST), key=lambda i: abs(d[i]))
    assert len({abs(x) for x in d}) == TEST and 0 not in d, d
    w = sum(r + 1 for r, i in enumerate(order) if d[i] > 0)
    signs = [sum(r + 1 for r in range(TEST) if s >> r & 1) for s in range(8)]
    exact = sum(x >= w for x in signs) / 8
    told = json.loads(run('evaluate', '--compare', 'runs/seed-1', 'runs/seed-2', '--json'))
    pair = [p for p in told['pairs'] if p['metric'] == 'Dice'][0]
    assert told['against'] == 'runs/seed-1' and pair['n'] == TEST and pair['better'] == sum(x > 0 for x in d), told
    for got, want in ((pair['difference'], statistics.mean(d)), (pair['p_t'], one_sided),
                      (pair['p_wilcoxon'], exact)):
        assert math.isclose(got, want, rel_tol=1e-3, abs_tol=1e-3), (got, want, pair)
    # of a distance less is better: the same values the other way round
    back = json.loads(run('evaluate', '--compare', 'runs/seed-2', 'runs/seed-1', '--json'))
    for m in ('Dice', 'HD95', 'ASD'):
        x, y = ([p for p in j['pairs'] if p['metric'] == m][0] for j in (told, back))
        assert math.isclose(x['p_t'] + y['p_t'], 1, abs_tol=1e-9) and x['difference'] == -y['difference'], (x, y)
    text = run('evaluate', '--compare', 'runs/seed-1', 'runs/seed-2/evaluation_test.json')
    assert 'paired over cases' in text and f'{statistics.mean(d):+.2f}' in text, text


def bad_input():
    refuses(2, '--seeds is a list', args=train('x', '--seeds', '1,1'))
    refuses(2, 'exclude each other', args=train('x', '--seeds', '1,2', '--seed', 3))
    refuses(2, 'already holds a run', args=train('runs', '--seeds', '1,2'))
    refuses(2, 'method is "sup" there', args=train('runs', '--seeds', '1,2', '--resume', '--method', 'mt'))
    refuses(3, 'no run to resume', args=['train', '--data', 'data', '--out', 'x', '--seeds', '1,2', '--resume'])
    refuses(3, 'data holds no evaluation', args=['evaluate', '--compare', 'runs/seed-1', 'data'])
    refuses(3, 'no evaluation of split val', args=['evaluate', '--compare', 'runs/seed-1', '--split', 'val'])
    refuses(2, 'leave --run', args=['evaluate', '--compare', 'runs/seed-1', '--run', 'runs/seed-1'])


main([seeds_are_separate_runs, seeds_go_on, comparison, bad_input])
