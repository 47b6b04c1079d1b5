#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""2D networks: volumes as stacks of slices, training on slices, prediction slice by slice on the file's grid,
copy-paste methods over their stage border.
    slices.py PROTOVOX PHANTOMS DEVICE"""
import csv
import os

from e2e import Nifti, losses, main, phantoms, refuses, run, same_runs

SIZE = [36, 28, 16]         # the axis with the fewest voxels counts slices: z
CASE = 'phantom_004'
BASE = ['--preset', 'acdc', '--labeled', 2, '--patch', '1x32x32', '--quiet', '--set', 'net.classes=2', 'net.filters=4',
        'net.dropout=0.1', 'train.labeled_batch=6', 'train.unlabeled_batch=6']


def train(out, *more, method='sup', data='data'):
    run('train', '--data', data, '--out', out, '--method', method, *BASE, *more)


def predict(folder, out):
    run('predict', '--run', 'run', '--input', folder, '--out', out, '--quiet', '--probabilities')
    return {f: Nifti.read(f'{out}/{f}') for f in sorted(os.listdir(out)) if f.endswith('.gz')}


def setup():
    phantoms('data', size='x'.join(map(str, SIZE)))
    train('run', '--iters', 150, '--set', 'optim.lr=0.05')
    got = losses('run')
    assert sum(got[-20:]) < 0.7 * sum(got[:20]), f'losses {got[:20]} to {got[-20:]} do not fall'


def scores():
    run('evaluate', '--run', 'run', '--data', 'data', '--split', 'test', '--quiet')
    with open('run/evaluation_test.csv', newline='') as f:
        rows = list(csv.DictReader(f))
    dice = [float(r['dice']) for r in rows if r['case'].startswith('phantom')]
    assert len(dice) == 2 and min(dice) > 0.2, f'Dice {dice}: the lesions are not found'


def on_the_files_grid():
    got = predict('data/imagesTs', 'labels')
    image = Nifti.read(f'data/imagesTs/{CASE}_0000.nii.gz')
    label, prob = got[CASE + '.nii.gz'], got[CASE + '_prob.nii.gz']
    assert label.size == SIZE and label.geometry()[:3] == image.geometry()[:3]
    n = len(label.v)
    assert 20 < sum(label.v) < n / 2, f'{sum(label.v)} voxels of lesion do not test much'
    assert label.v == [int(prob.v[n + k] > prob.v[k]) for k in range(n)]


def any_axis_order():
    """The slice axis is found wherever it is; in-plane axes keep their order."""
    os.makedirs('turned')
    image = Nifti.read(f'data/imagesTs/{CASE}_0000.nii.gz')
    label = Nifti.read(f'labels/{CASE}.nii.gz')
    orders = {'zxy': [2, 0, 1], 'xzy': [0, 2, 1]}
    for name, axis in orders.items():
        size, v = image.turned(axis, [False] * 3)
        Nifti(size, v).write(f'turned/{name}.nii.gz')
    got = predict('turned', 'turned-out')
    for name, axis in orders.items():
        size, want = label.turned(axis, [False] * 3)
        assert got[name + '.nii.gz'].size == size and got[name + '.nii.gz'].v == want, name


def slice_by_slice():
    """With the slices in another order every slice has the label that it had."""
    os.makedirs('back')
    image = Nifti.read(f'data/imagesTs/{CASE}_0000.nii.gz')
    label = Nifti.read(f'labels/{CASE}.nii.gz')
    back = [False, False, True]
    Nifti(SIZE, image.turned([0, 1, 2], back)[1]).write('back/v.nii.gz')
    assert predict('back', 'back-out')['v.nii.gz'].v == label.turned([0, 1, 2], back)[1]


def over_the_stage_border():
    """bcp and mper in one go, and interrupted before, at and after the start of self-training (2 of 8 iterations)."""
    for method in ('bcp', 'mper'):
        train(method, '--iters', 8, method=method)
        for i, stop in enumerate((1, 2, 3)):
            again = ['--resume'] if i else []
            run('train', '--data', 'data', '--out', method + '2', '--stop-after', stop,
                *(again + ['--quiet'] if i else ['--method', method, '--iters', 8] + BASE))
        run('train', '--data', 'data', '--out', method + '2', '--resume', '--quiet')
        same_runs(method, method + '2')
        assert len(losses(method)) == 8


def h5():
    """Public .h5 files hold z first or last: the stack is found all the same."""
    phantoms('h5', size='x'.join(map(str, SIZE)), kind='h5')
    train('from-h5', '--iters', 2, data='h5')
    assert len(losses('from-h5')) == 2


def refused():
    start = ['train', '--data', 'data', '--out', 'x', '--iters', 2, '--method', 'bcp'] + BASE
    refuses(2, 'slices', 'data.prep', args=start + ['--set', 'data.prep=none'])
    refuses(2, 'slices', 'net.dims', args=start + ['--set', 'net.dims=3', 'net.name=vnet'])
    refuses(2, '1xYxZ', '--patch 1x256x256', '--net vnet', args=start + ['--patch', '2x32x32'])
    volumes = ['train', '--data', 'nowhere', '--out', 'x', '--quiet']       # all of it before data are read
    refuses(2, 'unet2d segments slices', '--preset acdc', args=volumes + ['--net', 'unet2d'])
    refuses(2, '1xYxZ', '96x96x96', args=volumes + ['--net', 'unet2d', '--set', 'net.dims=2', 'data.prep=slices'])
    refuses(2, 'unet3d segments volumes', '--net unet2d', args=volumes + ['--preset', 'acdc', '--net', 'unet3d'])
    for patch in ('1x32x32', '32x32x1'):
        refuses(2, 'multiples of 16', patch, 'for slices', 'unet2d', args=volumes + ['--patch', patch])
    assert not os.path.exists('x/config.json')
    refuses(2, 'even number', '--batch', args=start + ['--set', 'train.labeled_batch=3'])
    refuses(2, 'method_options.dice', 'mask, mc', args=start + ['--set', 'method_options.dice=round'])


if __name__ == '__main__':
    main([setup, scores, on_the_files_grid, any_axis_order, slice_by_slice, over_the_stage_border, h5, refused])
