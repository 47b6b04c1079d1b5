#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sparse labels and active cross-annotation: rounds with labels that play the annotator, stopped in any way and
resumed; rounds that wait for a person; protovox select; evaluation with dense labels all the same.
    active.py PROTOVOX PHANTOMS DEVICE [--small]"""
import json
import os
import shutil
import signal

from e2e import (SMALL, Nifti, Process, copy_data, losses, main, metrics, phantoms, refuses, run, same_runs,
                 same_tensors, steps, write)

N, TRAIN, SIZE, PATCH = 10, 8, '24x24x24', '16x16x16'
SETTINGS = ['--preset', 'tiny', '--iters', N, '--quiet', '--patch', PATCH, '--set', 'net.filters=2', 'data.prep=none',
            f'train.reference_iters={N}', 'checkpoint.every=0', 'checkpoint.minutes=0', 'eval.stride=[8,8,8]']
ROUNDS = ['active.rounds=2', 'active.warmup=3', 'active.every=4']       # before iterations 3 and 7


def train(out, *more, method='mfcons', data='data', sets=ROUNDS, labeled=6):
    who = ['train', '--data', data, '--out', out, '--method', method, '--labeled', labeled]
    return who + SETTINGS + sets + list(more)


def again(out, *more, data='data'):
    return ['train', '--data', data, '--out', out, '--resume', '--quiet'] + list(more)


def read(path):
    with open(path) as f:
        return json.load(f)


def cases(out):
    c = read(out + '/config.json')['cases']
    return c['labeled'], c['unlabeled'], c.get('rounds', [])


def rounds_grow_the_pool():
    phantoms('data', size=SIZE, train=TRAIN, test=2)
    text = run(*train('whole', '--simulate'))
    assert 'round 1 labelled 2 cases, 4 in all' in text and 'round 2 labelled 2 cases, 6 in all' in text, text
    first, pool, rounds = cases('whole')
    assert len(first) == 2 and len(pool) == TRAIN - 2 and [r['iteration'] for r in rounds] == [3, 7]
    left = [c for c in pool]
    for k, r in enumerate(rounds):
        m = read(f'whole/active-{k + 1}.json')
        assert r['labeled'] == [c['id'] for c in m['chosen']] and m['iteration'] == r['iteration']
        scores = [c['score'] for c in m['ranking']]
        assert sorted(c['id'] for c in m['ranking']) == sorted(left)
        assert scores == sorted(scores, reverse=True) and all(0 < s < 1 for s in scores)
        assert all(len(c['slices'][a]) == 1 and 0 <= c['slices'][a][0] < 24 for c in m['chosen'] for a in 'ijk')
        left = [c for c in left if c not in r['labeled']]
    known = {int(r['iter']): float(r['labeled_cases']) for r in metrics('whole') if r.get('labeled_cases')}
    assert known == {3: 4, 7: 6}, known
    assert len(losses('whole')) == N


def resumed_runs_end_with_the_same_bits():
    for stop in (3, 5) if SMALL else (2, 3, 4, 7, 9):
        run(*train(f'stop{stop}', '--simulate', '--stop-after', stop))
        run(*again(f'stop{stop}'))
        same_runs('whole', f'stop{stop}')
        assert cases('whole') == cases(f'stop{stop}')
    if SMALL:
        return
    # killed after the first round was written but before any later checkpoint: it is chosen again
    p = Process(train('killed', '--simulate', '--set', 'checkpoint.every=2'))
    assert p.until(lambda: os.path.exists('killed/active-1.json'))
    p.send(signal.SIGKILL)
    p.wait()
    run(*again('killed'))
    same_tensors('whole/final.safetensors', 'killed/final.safetensors')
    assert cases('whole') == cases('killed')
    # interrupted while cases are ranked, which takes a while with so many windows
    p = Process(train('interrupted', '--simulate', '--set', 'checkpoint.every=3', 'eval.stride=[2,2,2]'))
    assert p.until(lambda: os.path.exists('interrupted/latest.safetensors'))
    p.send(signal.SIGINT)
    assert p.wait() == 130, p.text()
    assert not os.path.exists('interrupted/active-1.json') and steps('interrupted/latest.safetensors') == 3
    run(*again('interrupted', '--stop-after', 4))
    assert [r['iteration'] for r in cases('interrupted')[2]] == [3]


def other_choices():
    run(*train('random', '--simulate', sets=ROUNDS + ['active.strategy=random']))
    run(*train('random2', '--simulate', '--seed', 5, sets=ROUNDS + ['active.strategy=random']))
    a, b = cases('random')[2], cases('random2')[2]
    assert a != b and a != cases('whole')[2]
    assert losses('random')[:3] == losses('whole')[:3]      # the same until the first round
    if SMALL:
        return
    # a method without unlabelled data, the last round labels the whole set
    run(*train('sup', '--simulate', method='sup', labeled=TRAIN, sets=ROUNDS + ['data.annotation=cross',
                                                                                'active.initial=4']))
    first, _, rounds = cases('sup')
    assert len(first) == 4 and sum(len(r['labeled']) for r in rounds) == 4
    run(*train('all', '--simulate', method='mt', labeled=TRAIN, sets=ROUNDS + ['active.initial=4']))
    assert len(losses('all')) == N
    # the budget at once and in rounds: same number of labelled cases
    run(*train('once', sets=[]))
    assert len(cases('once')[0]) == 6 and cases('once')[2] == []


def painted(source, target, slices):
    """The dense label on slices i, j, k of the file, 255 elsewhere."""
    n = Nifti.read(source)
    nx, ny, nz = n.size
    n.v = [v if x in slices['i'] or y in slices['j'] or z in slices['k'] else 255
           for (x, y, z), v in zip(((x, y, z) for x in range(nx) for y in range(ny) for z in range(nz)), n.v)]
    n.write(target)


def a_person_paints():
    copy_data('data', 'clinic')
    os.mkdir('truth')
    for i in range(2, TRAIN):
        shutil.move(f'clinic/labelsTr/phantom_{i:03d}.nii.gz', 'truth')
    args = train('person', data='clinic', sets=ROUNDS + ['data.annotation=sparse'])
    run(*args, says=['round 1: paint the slices that person/active-1.json lists of'])
    for k in (1, 2):
        chosen = read(f'person/active-{k}.json')['chosen']
        assert len(chosen) == 2 and not os.path.exists('person/final.safetensors')
        refuses(3, 'waits for labels of ' + chosen[0]['id'], args=again('person', data='clinic'))
        for c in chosen:
            name = c['id'] + '.nii.gz'
            painted(f'truth/{name}', f'clinic/labelsTr/{name}', c['slices'])
        run(*again('person', data='clinic'), says=['round 2: paint'] if k == 1 else ['iterations done'])
    assert len(cases('person')[0]) == 2 and len(losses('person')) == N
    # painted labels are not taken for dense ones
    refuses(3, '255', 'data.annotation=sparse',
            args=train('x', data='clinic', sets=['data.annotation=dense'], labeled=0))


def evaluation_is_dense():
    run('evaluate', '--run', 'whole', '--data', 'data', '--split', 'test', '--out', 'scores')
    run('predict', '--run', 'whole', '--input', 'data/imagesTs', '--out', 'predicted', '--quiet')
    run('evaluate', '--pred', 'predicted', '--ref', 'data/labelsTs', '--out', 'scores2')

    def dice(folder):
        name = [f for f in sorted(os.listdir(folder)) if f.endswith('.csv')][0]
        with open(os.path.join(folder, name)) as f:
            return [line.split(',')[2] for line in f]
    a, b = dice('scores'), dice('scores2')
    assert len(a) >= 3 and a == b, (a, b)


def select():
    known = cases('whole')[0] + [i for r in cases('whole')[2] for i in r['labeled']]
    unseen = sorted(set(f'phantom_{i:03d}' for i in range(TRAIN)) - set(known))
    base = ['select', '--run', 'whole', '--data', 'data', '--budget', 1, '--quiet']
    refuses(3, 'every training case has a label', '--simulate', args=base + ['--out', 's.json'])
    run(*base, '--out', 's.json', '--simulate', '--labels', 'paint', '--slices', 2)
    s = read('s.json')
    assert sorted(c['id'] for c in s['ranking']) == unseen and len(s['chosen']) == 1
    c = s['chosen'][0]
    assert c['score'] == max(r['score'] for r in s['ranking'])
    v = Nifti.read(f'paint/{c["id"]}.nii.gz')
    like = Nifti.read(f'data/imagesTr/{c["id"]}_0000.nii.gz')
    assert v.geometry() == like.geometry() and v.kind == 'B'
    nx, ny, nz = v.size
    free = (nx - len(c['slices']['i'])) * (ny - len(c['slices']['j'])) * (nz - len(c['slices']['k']))
    assert v.v.count(255) == free and v.v.count(0) == nx * ny * nz - free
    run(*base, '--out', 'p.json', '--simulate', '--labels', 'filled', '--prefill')
    run('predict', '--run', 'whole', '--input', f'data/imagesTr/{c["id"]}_0000.nii.gz', '--out', 'p', '--quiet')
    f, p = Nifti.read(f'filled/{c["id"]}.nii.gz'), Nifti.read(f'p/{c["id"]}.nii.gz')
    assert all(a == b for a, b in zip(f.v, p.v) if a != 255) and f.v.count(255) == (nx - 1) * (ny - 1) * (nz - 1)
    run(*base, '--out', 'r1.json', '--simulate', '--strategy', 'random', '--seed', 1)
    run(*base, '--out', 'r2.json', '--simulate', '--strategy', 'random', '--seed', 1)
    assert read('r1.json') == read('r2.json') and read('r1.json')['ranking'] != s['ranking']
    # cases without label file are ranked without --simulate
    run('select', '--run', 'person', '--data', 'clinic', '--budget', 9, '--out', 'c.json', '--quiet',
        says=['only 2 unlabelled cases are left'])
    assert len(read('c.json')['chosen']) == 2
    for args, word in ((['--budget', 0], 'budget'), (['--strategy', 'best'], 'entropy or random'), (['--prefill'],
                       '--labels'), (['--slices', 99], 'slices')):
        refuses(2, word, args=base + ['--out', 'x.json', '--simulate'] + args)


def wrong_settings():
    refuses(2, 'active.rounds', args=again('whole', '--set', 'active.rounds=3'))
    copy_data('whole', 'over')
    run(*train('over', '--overwrite', '--stop-after', 1, sets=[]))
    assert not os.path.exists('over/active-1.json')
    refuses(2, 'cannot share 2 labelled cases', args=train('x', '--simulate', labeled=2))
    refuses(2, 'every training case', '--simulate', args=train('x'))
    refuses(2, 'round 2', 'active.warmup', args=train('x', '--simulate', sets=ROUNDS + ['active.every=40']))
    refuses(2, 'active.rounds', args=train('x', '--simulate', sets=[]))
    refuses(2, 'dense, cross, sparse', args=train('x', sets=['data.annotation=some']))
    refuses(2, 'active.strategy', args=train('x', '--simulate', sets=ROUNDS + ['active.strategy=best']))
    copy_data('data', 'less')
    os.remove('less/labelsTr/phantom_004.nii.gz')
    refuses(3, '1 of the 8 training cases', args=train('x', '--simulate', data='less'))
    write('empty.json', '{"active": {"rounds": "two"}}')
    refuses(2, 'active.rounds', args=['train', '--data', 'data', '--out', 'x', '--method', 'mfcons', '--config',
                                      'empty.json'])


if __name__ == '__main__':
    main([rounds_grow_the_pool, resumed_runs_end_with_the_same_bits, other_choices, a_person_paints,
          evaluation_is_dense, select, wrong_settings])
