#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Several seeds in one command, and comparisons of evaluated runs.
    scores.py PROTOVOX PHANTOMS DEVICE"""
import csv
import itertools
import json
import math
import os
import re
import shutil
import statistics

from e2e import Nifti, main, phantoms, refuses, run, safetensors, same_runs, steps

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
    two_sided = min(1, 2 * min(one_sided, 1 - one_sided))
    assert math.isclose(pair['p_t_two'], two_sided, rel_tol=1e-3, abs_tol=1e-3), (pair, two_sided)
    text = run('evaluate', '--compare', 'runs/seed-1', 'runs/seed-2/evaluation_test.json')
    assert 'paired over cases; p: one-sided' in text and f'{statistics.mean(d):+.2f}' in text, text
    run('report', '--run', 'runs/seed-1', 'runs/seed-2', '--out', 'two.html')
    page = html_text('two.html')
    assert 'one-sided / two-sided' in page and '\xb1: standard deviation over cases, divided by n' in page
    for p in ([pair['p_t'], pair['p_t_two']], [pair['p_wilcoxon'], pair['p_wilcoxon_two']]):
        both = ' / '.join(f'{v:.4f}' for v in p)
        assert both in text and f'<td>{both}</td>' in page, (both, text)


def html_text(path):
    with open(path, encoding='utf-8') as f:
        return f.read().replace('\xa0', ' ')


def one_spread_everywhere():
    """evaluate, --compare and the page print the same mean and standard deviation: divided by n, as numpy does."""
    v = dice('runs/seed-1')
    mean, sd = f'{statistics.mean(v):.2f}', f'{statistics.pstdev(v):.2f}'
    assert sd != f'{statistics.stdev(v):.2f}', v
    run('evaluate', '--run', 'runs/seed-1', '--data', 'data', '--quiet',
        says=[f'{mean} +- {sd} ', 'standard deviation over cases (divided by n)'])
    text = run('evaluate', '--compare', 'runs/seed-1')
    assert f'{mean} \xb1 {sd} ' in text and 'over cases, divided by n;' in text, text
    page = html_text('runs/seed-1/report.html')
    assert f'<b>{mean} <small>\xb1 {sd}</small></b>' in page and f'{mean} \xb1 {sd}</td>' in page
    run('report', '--run', 'runs/seed-1', 'runs/seed-2', '--out', 'both.html')
    assert f'{mean} \xb1 {sd}</td>' in html_text('both.html')
    # the interval is around the mean of the cases, not the bootstrap's, and holds 95 % of 27 equally likely means
    low, high = re.search(rf'<td>{mean} \[([0-9.]+), ([0-9.]+)\]</td>', page).groups()
    likely = sorted(statistics.mean(c) for c in itertools.product(v, repeat=TEST))
    assert math.isclose(float(low), likely[0], abs_tol=6e-3) and math.isclose(float(high), likely[-1], abs_tol=6e-3)
    assert f'{low} to {high}' in text and '2000 bootstrap samples' in page, (text, low, high)
    with open('runs/seed-1/evaluation_test.json') as f:
        assert json.load(f)['settings']['bootstrap_resamples'] == 100


def analysis():
    """Pseudo labels against what predict writes; the score and the features by their properties."""
    told = json.loads(run('evaluate', '--run', 'runs/seed-1', '--data', 'data', '--analysis', '--features', 40,
                          '--out', 'an', '--json'))
    assert told['labeled'] == ['phantom_000', 'phantom_001'] and told['unlabeled'] == ['phantom_002'], told
    run('predict', '--run', 'runs/seed-1', '--input', 'data/imagesTr/phantom_002_0000.nii.gz', '--out', 'p',
        '--probabilities', '--quiet')
    prob, pred = Nifti.read('p/phantom_002_prob.nii.gz').v, Nifti.read('p/phantom_002.nii.gz').v
    ref = Nifti.read('data/labelsTr/phantom_002.nii.gz').v
    n = len(ref)
    most = [max(prob[c * n + i] for c in range(len(prob) // n)) for i in range(n)]
    assert len(prob) == 2 * n and len(told['pseudo_labels']) > 5
    kept_before = 1
    for row in told['pseudo_labels']:
        kept = [i for i in range(n) if most[i] > row['threshold']]
        assert abs(row['kept'] - len(kept) / n) < 2 / n and row['kept'] <= kept_before, row
        kept_before = row['kept']
        if len(kept) > 100:
            right = sum(pred[i] == ref[i] for i in kept) / len(kept)
            both = sum(pred[i] == ref[i] == 1 for i in kept)
            dice_kept = 2 * both / max(1, sum((pred[i] == 1) + (ref[i] == 1) for i in kept))
            assert abs(row['accuracy'] - right) < 2 / len(kept), (row, right)
            assert abs(row['dice'] - dice_kept) < 0.01, (row, dice_kept)
    q = told['matching_score']
    known = [v for v in q['per_class'] if v is not None and v == v]
    assert known and math.isclose(q['q'], sum(known) / len(known), rel_tol=1e-9) and 0 < q['q'] <= 1, q
    meta, tensors = safetensors('an/features_train.safetensors')
    assert meta['feature'] == 'up4' and len(tensors) == 6, (meta, list(tensors))
    kind, shape, _ = tensors['unlabeled.features']
    assert kind == 'F32' and shape[0] == tensors['unlabeled.class'][1][0] <= 40 and shape[1] == 4, shape
    text = run('evaluate', '--run', 'runs/seed-1', '--data', 'data', '--analysis', '--by-reference')
    assert 'semantic matching score Q' in text and os.path.exists('runs/seed-1/analysis.json')
    refuses(2, 'belong to --analysis', args=['evaluate', '--run', 'runs/seed-1', '--data', 'data', '--features', 3])


def bad_input():
    refuses(2, '--seeds is a list', args=train('x', '--seeds', '1,1'))
    refuses(2, 'exclude each other', args=train('x', '--seeds', '1,2', '--seed', 3))
    refuses(2, 'already holds a run', args=train('runs', '--seeds', '1,2'))
    refuses(2, 'method is "sup" there', args=train('runs', '--seeds', '1,2', '--resume', '--method', 'mt'))
    refuses(3, 'no run to resume', args=['train', '--data', 'data', '--out', 'x', '--seeds', '1,2', '--resume'])
    refuses(3, 'data holds no evaluation', args=['evaluate', '--compare', 'runs/seed-1', 'data'])
    refuses(3, 'no evaluation of split val', args=['evaluate', '--compare', 'runs/seed-1', '--split', 'val'])
    # what there is instead
    refuses(3, 'no evaluation of split val, but one of test',
            args=['evaluate', '--compare', 'runs/seed-1', '--split', 'val'])
    refuses(3, 'runs holds no evaluation itself', 'runs/seed-1, runs/seed-2',
            args=['evaluate', '--compare', 'runs/seed-1', 'runs'])
    refuses(2, "no metric 'bogus'", 'known are dice, jaccard, hd95',
            args=['evaluate', '--compare', 'runs/seed-1', 'runs/seed-2', '--metrics', 'bogus'])
    refuses(2, 'nothing of --metrics nsd', 'it has dice, jaccard, hd95, asd',
            args=['evaluate', '--compare', 'runs/seed-1', 'runs/seed-2', '--metrics', 'nsd'])
    told = json.loads(run('evaluate', '--compare', 'runs/seed-1', 'runs/seed-2', '--metrics', 'asd,dice', '--json'))
    assert [p['metric'] for p in told['pairs']] == ['Dice', 'ASD'], told
    # a run against itself, under whatever name
    shutil.copytree('runs/seed-1', 'twin')
    for other in ('runs/seed-1', './runs/seed-1/', 'runs/seed-1/evaluation_test.json', 'twin'):
        refuses(2, f'runs/seed-1 and {other} are the same evaluation',
                args=['evaluate', '--compare', 'runs/seed-1', other])
    refuses(2, 'runs/seed-2 and twin/../runs/seed-2 are the same evaluation',
            args=['evaluate', '--compare', 'runs/seed-1', 'runs/seed-2', 'twin/../runs/seed-2'])
    refuses(2, 'leave --run', args=['evaluate', '--compare', 'runs/seed-1', '--run', 'runs/seed-1'])


main([seeds_are_separate_runs, seeds_go_on, comparison, one_spread_everywhere, analysis, bad_input])
