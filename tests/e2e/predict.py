#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prediction and evaluation of files: geometry, sliding window, mirroring and ensembles against the same written in
plain Python from the predictions of single windows, orientation, h5 data, scores.
    predict.py PROTOVOX PHANTOMS DEVICE"""
import json
import os
import shutil
import signal

from e2e import Nifti, Process, losses, main, metrics, phantoms, refuses, run, same_tensors

SIZE, PATCH, STRIDE = [40, 40, 24], [32, 32, 16], [16, 16, 8]
TRAIN = ['--preset', 'tiny', '--labeled', 4, '--quiet', '--set', 'net.filters=4', 'data.prep=none', 'net.dropout=0',
         'optim.lr=0.05', 'optim.schedule=poly', 'optim.weight_decay=0']
TOLERANCE = 2e-6        # sums of at most 8 probabilities in another order, in float


def train(out, *more, data='data', iters=40):
    run('train', '--data', data, '--out', out, '--iters', iters, *TRAIN, f'train.reference_iters={iters}', *more)


def predict(out, *inputs, runs=('run',), more=()):
    run('predict', '--run', *runs, '--input', *inputs, '--out', out, '--quiet', *more)
    return out


def labels_in(folder):
    """All files but the folder's note on whose they are."""
    found = sorted(os.listdir(folder))
    found.remove('predict.json')
    return found


def volume(path):
    return Nifti.read(path)


def at(size, x, y, z):
    return (x * size[1] + y) * size[2] + z


def setup():
    phantoms('data')
    train('run', iters=80)
    train('run2', '--set', 'train.seed=5')
    predict('labels', 'data/imagesTs', more=['--probabilities'])
    label = volume('labels/phantom_004.nii.gz').v
    assert 50 < sum(label) < len(label) / 2, f'{sum(label)} voxels of lesion do not test much'
    assert labels_in('labels') == [f'phantom_00{i}{s}.nii.gz' for i in (4, 5) for s in ('', '_prob')]


def labels_are_the_most_probable():
    for i in (4, 5):
        label, prob = volume(f'labels/phantom_00{i}.nii.gz'), volume(f'labels/phantom_00{i}_prob.nii.gz')
        assert label.kind == 'B' and prob.kind == 'f' and prob.channels == 2 and label.size == SIZE
        n = len(label.v)
        assert all(abs(prob.v[k] + prob.v[n + k] - 1) < TOLERANCE for k in range(n))
        assert label.v == [int(prob.v[n + k] > prob.v[k]) for k in range(n)]


def named_channels():
    """Preparation by the channel's name is the same for predict as for training and evaluate."""
    for name in ('rescale_to_0_1', 'CT'):
        data, out = 'data-' + name, 'run-' + name
        shutil.copytree('data', data)
        with open(data + '/dataset.json') as f:
            about = json.load(f)
        about['channel_names'] = {'0': name}
        with open(data + '/dataset.json', 'w') as f:
            json.dump(about, f)
        train(out, 'data.prep=auto', data=data, iters=150)
        run('evaluate', '--run', out, '--data', data, '--save', '--quiet')
        predict('labels-' + name, data + '/imagesTs', runs=[out])
        for i in (4, 5):
            a = volume(f'labels-{name}/phantom_00{i}.nii.gz').v
            assert sum(a) > 20 and a == volume(f'{out}/test/phantom_00{i}.nii.gz').v, (name, i, sum(a))
    # what rescale_to_0_1 asks for is what prep minmax does for any channel
    shutil.copytree('run-rescale_to_0_1', 'run-minmax')
    with open('run-minmax/config.json') as f:
        config = json.load(f)
    assert config['data']['prep'] == 'auto'
    config['data']['prep'] = 'minmax'
    with open('run-minmax/config.json', 'w') as f:
        json.dump(config, f)
    predict('labels-minmax', 'data/imagesTs', runs=['run-minmax'])
    for i in (4, 5):
        name = f'phantom_00{i}.nii.gz'
        assert volume('labels-minmax/' + name).v == volume('labels-rescale_to_0_1/' + name).v, name


def channels_in_files():
    """CASE_0000, CASE_0001: any of them names the case; one that is missing or too many is named in the error."""
    shutil.copytree('data', 'two')
    for d in ('imagesTr', 'imagesTs'):
        for name in os.listdir('two/' + d):
            image = volume(f'two/{d}/{name}')
            Nifti(SIZE, [2 - v for v in image.v], **({'sform': image.sform} if image.sform else {})).write(
                f'two/{d}/' + name.replace('_0000', '_0001'))
    with open('two/dataset.json') as f:
        about = json.load(f)
    about['channel_names'] = {'0': 'a', '1': 'b'}
    with open('two/dataset.json', 'w') as f:
        json.dump(about, f)
    train('run-two', data='two', iters=2)
    case = 'two/imagesTs/phantom_004_'
    predict('two-all', 'two/imagesTs', runs=['run-two'])
    predict('two-first', case + '0000.nii.gz', runs=['run-two'])
    predict('two-second', case + '0001.nii.gz', runs=['run-two'])
    labels = [volume(f'two-{d}/phantom_004.nii.gz').v for d in ('all', 'first', 'second')]
    assert labels[0] == labels[1] == labels[2]

    def lone(folder, *channels):
        os.makedirs(folder)
        for c in channels:
            shutil.copy(f'two/imagesTs/phantom_004_000{c}.nii.gz', folder)
        return folder

    def wrong(*words, run, given):
        refuses(3, *words, args=['predict', '--run', run, '--input', given, '--out', 'lone-out', '--quiet'])
        assert labels_in('lone-out') == []
    wrong('only0/phantom_004_0001.nii.gz is missing', '2 channels', run='run-two', given=lone('only0', 0))
    wrong('only1/phantom_004_0000.nii.gz is missing', run='run-two', given=lone('only1', 1))
    wrong('only1/phantom_004_0000.nii.gz is missing', run='run-two', given='only1/phantom_004_0001.nii.gz')
    for given in ('only1', 'only1/phantom_004_0001.nii.gz'):        # and for one channel: not with the wrong one
        wrong('only1/phantom_004_0000.nii.gz is missing', 'channel 0', 'phantom_004_0001_0000.nii.gz', run='run',
              given=given)
    wrong('channel 1 of the case of', 'takes 1', 'leave it out', run='run', given=case + '0001.nii.gz')
    # numbers that go on beyond all channels count scans
    os.makedirs('counted')
    for i in (1, 12):
        shutil.copy(case + '0000.nii.gz', f'counted/scan_{i:04}.nii.gz')
    predict('counted-out', 'counted')
    for i in (1, 12):
        assert volume(f'counted-out/scan_{i:04}.nii.gz').v == volume('labels/phantom_004.nii.gz').v


def cut(v, size, start, patch):
    """Voxels of a window; zeros outside of the volume."""
    out = []
    for x in range(start[0], start[0] + patch[0]):
        for y in range(start[1], start[1] + patch[1]):
            inside = 0 <= x < size[0] and 0 <= y < size[1]
            out += [v[at(size, x, y, z)] if inside and 0 <= z < size[2] else 0.0
                    for z in range(start[2], start[2] + patch[2])]
    return out


def sliding_window():
    """Every window predicted as a volume of its own, and their mean."""
    image = volume('data/imagesTs/phantom_004_0000.nii.gz')
    starts = [(x, y, z) for x in (0, 8) for y in (0, 8) for z in (0, 8)]
    os.makedirs('windows')
    for i, s in enumerate(starts):
        Nifti(PATCH, cut(image.v, SIZE, s, PATCH)).write(f'windows/w{i}.nii.gz')
    predict('windows-out', 'windows', more=['--probabilities'])
    n, total, count = len(image.v), [0.0] * len(image.v), [0] * len(image.v)
    for i, s in enumerate(starts):
        p = volume(f'windows-out/w{i}_prob.nii.gz').v[PATCH[0] * PATCH[1] * PATCH[2]:]
        k = 0
        for x in range(s[0], s[0] + PATCH[0]):
            for y in range(s[1], s[1] + PATCH[1]):
                for z in range(s[2], s[2] + PATCH[2]):
                    total[at(SIZE, x, y, z)] += p[k]
                    count[at(SIZE, x, y, z)] += 1
                    k += 1
    whole = volume('labels/phantom_004_prob.nii.gz').v[n:]
    worst = max(abs(whole[k] - total[k] / count[k]) for k in range(n))
    assert worst < TOLERANCE, worst
    assert min(count) == 1 and max(count) == 8


def smaller_than_the_patch():
    """Padded with zeros, the odd voxel behind."""
    size, before = [21, 35, 10], [5, 0, 3]
    image = volume('data/imagesTs/phantom_004_0000.nii.gz')
    small = cut(image.v, SIZE, [3, 2, 1], size)
    Nifti(size, small).write('small.nii.gz')
    for i, y in enumerate((0, 3)):
        Nifti(PATCH, cut(small, size, [-before[0], y, -before[2]], PATCH)).write(f'padded{i}.nii.gz')
    predict('small', 'small.nii.gz', 'padded0.nii.gz', 'padded1.nii.gz', more=['--probabilities'])
    got, parts = volume('small/small_prob.nii.gz'), [volume(f'small/padded{i}_prob.nii.gz').v for i in (0, 1)]
    assert got.size == size
    n, m, worst = size[0] * size[1] * size[2], PATCH[0] * PATCH[1] * PATCH[2], 0
    for x in range(size[0]):
        for y in range(size[1]):
            for z in range(size[2]):
                p = [v[m + at(PATCH, x + before[0], y - s, z + before[2])] for v, s in zip(parts, (0, 3))
                     if 0 <= y - s < PATCH[1]]
                worst = max(worst, abs(got.v[n + at(size, x, y, z)] - sum(p) / len(p)))
    assert worst < TOLERANCE, worst


def mirroring():
    """The mean over the volume and its mirror images along x and z; windows lie symmetrically."""
    image = volume('data/imagesTs/phantom_004_0000.nii.gz')
    os.makedirs('mirror')
    flips = [(a, False, b) for a in (False, True) for b in (False, True)]
    for i, f in enumerate(flips):
        Nifti(SIZE, image.turned((0, 1, 2), f)[1]).write(f'mirror/m{i}.nii.gz')
    predict('mirror-out', 'mirror', more=['--probabilities'])
    predict('mirrored', 'data/imagesTs/phantom_004_0000.nii.gz', more=['--probabilities', '--mirror', 'xz'])
    n, parts = len(image.v), []
    for i, f in enumerate(flips):
        p = volume(f'mirror-out/m{i}_prob.nii.gz')
        parts.append(Nifti(SIZE, p.v[n:]).turned((0, 1, 2), f)[1])
    got, plain = volume('mirrored/phantom_004_prob.nii.gz').v[n:], volume('labels/phantom_004_prob.nii.gz').v[n:]
    worst = max(abs(got[k] - sum(p[k] for p in parts) / 4) for k in range(n))
    assert worst < TOLERANCE, worst
    assert max(abs(a - b) for a, b in zip(got, plain)) > 0.01


def ensemble():
    predict('labels2', 'data/imagesTs', runs=['run2'], more=['--probabilities'])
    predict('both', 'data/imagesTs', runs=['run', 'run2'], more=['--probabilities'])
    for i in (4, 5):
        a, b, c = (volume(f'{d}/phantom_00{i}_prob.nii.gz').v for d in ('labels', 'labels2', 'both'))
        assert max(abs((x + y) / 2 - z) for x, y, z in zip(a, b, c)) < TOLERANCE
        assert max(abs(x - y) for x, y in zip(a, b)) > 0.01
    train('run3', '--patch', '32x32x32', iters=1)
    refuses(2, 'run and run3 cannot form an ensemble', 'patch 32x32x32',
            args=['predict', '--run', 'run', 'run3', '--input', 'data/imagesTs', '--out', 'o'])


def note(folder):
    with open(folder + '/predict.json') as f:
        return json.load(f)


def names(folder):
    return [f['name'] for f in note(folder)['files']]


def content(folder):
    return {n: open(f'{folder}/{n}', 'rb').read() for n in os.listdir(folder) if n != 'predict.json'}


def folders_do_not_mix():
    """Labels of other weights are refused, or replaced: those that predict wrote, nothing else."""
    images = [f'data/imagesTs/phantom_00{i}_0000.nii.gz' for i in (4, 5)]
    again = ['predict', '--run', 'run2', '--input', images[1], '--out', 'mixed', '--quiet']
    os.makedirs('mixed')
    shutil.copy('labels/phantom_005.nii.gz', 'mixed/mine.nii.gz')
    predict('mixed', images[0])
    assert names('mixed') == ['phantom_004.nii.gz'] and len(note('mixed')['weights'][0]['hash']) == 16
    shutil.copytree('run', 'moved')
    predict('mixed', images[1], runs=['moved'])                         # the same weights elsewhere
    assert names('mixed') == ['phantom_004.nii.gz', 'phantom_005.nii.gz']
    assert note('mixed')['weights'][0]['run'] == 'moved'
    before = {n: open('mixed/' + n, 'rb').read() for n in os.listdir('mixed')}
    refuses(2, 'mixed holds predictions of other weights', 'moved/final.safetensors after 80', '--out', '--overwrite',
            args=again)
    assert before == {n: open('mixed/' + n, 'rb').read() for n in os.listdir('mixed')}
    run(*again, '--overwrite')
    assert labels_in('mixed') == ['mine.nii.gz', 'phantom_005.nii.gz'] and names('mixed') == ['phantom_005.nii.gz']
    assert volume('mixed/phantom_005.nii.gz').v == volume('labels2/phantom_005.nii.gz').v
    # a file of unknown origin stays and is not taken for ours
    shutil.copy(images[0], 'mine.nii.gz')
    refuses(2, 'mixed/mine.nii.gz is there already', 'does not say of what', '--out', '--overwrite',
            args=['predict', '--run', 'run2', '--input', images[1], 'mine.nii.gz', '--out', 'mixed'])
    assert names('mixed') == ['phantom_005.nii.gz']
    assert volume('mixed/mine.nii.gz').v == volume('labels/phantom_005.nii.gz').v


def only_the_same_is_skipped():
    """Labels of another image or with other settings never pass for those that were asked for."""
    for who, i in (('a', 4), ('b', 5), ('c', 4)):
        os.makedirs('patient-' + who)
        shutil.copy(f'data/imagesTs/phantom_00{i}_0000.nii.gz', f'patient-{who}/scan_0000.nii.gz')

    def args(who, *more, out='pat'):
        return ['predict', '--run', 'run', '--input', f'patient-{who}/scan_0000.nii.gz', '--out', out, *more]
    run(*args('a'))
    first = content('pat')
    one, = note('pat')['files']
    size = os.path.getsize('patient-a/scan_0000.nii.gz')
    assert one['inputs'][0]['bytes'] == size and one['settings']['mirror'] == '' and one['holds'] == 'labels', one
    assert one['settings']['stride'] == STRIDE and one['settings']['patch'] == PATCH, one
    run(*args('a'), says=['pat/scan.nii.gz is there already'])
    run(*args('c'), says=['is there already'])                          # the same file elsewhere
    run(*args('a', '--batch', 1, '--mirror', '', '--stride', '16x16x8'), says=['is there already'])
    remedy = ['pat/scan.nii.gz is there already', 'name another --out', '--overwrite']
    refuses(2, 'made of patient-a/scan_0000.nii.gz', 'another image than patient-b/scan_0000.nii.gz', *remedy,
            args=args('b'))
    for more, word in ((['--mirror', 'x'], 'mirror "", not "x"'), (['--stride', '8x16x8'], 'stride [16,16,8]'),
                       (['--largest', 26], 'largest 0, not 26'), (['--precision', 'mixed'], 'precision')):
        refuses(2, 'other settings', word, *remedy, args=args('a', *more))
    assert content('pat') == first and note('pat')['files'] == [one]
    # one clash: nothing is predicted
    refuses(2, *remedy, args=['predict', '--run', 'run', '--input', 'data/imagesTs', 'patient-b', '--out', 'pat'])
    assert content('pat') == first
    # what an older version wrote
    shutil.copytree('pat', 'old')
    old = note('old')
    old['files'] = ['scan.nii.gz']
    with open('old/predict.json', 'w') as f:
        json.dump(old, f)
    refuses(2, 'old/scan.nii.gz is there already', 'does not say of what', '--overwrite', args=args('a', out='old'))
    # probabilities belong to their labels
    run(*args('a', '--probabilities'))
    assert names('pat') == ['scan.nii.gz', 'scan_prob.nii.gz'] and content('pat')['scan.nii.gz'] == first['scan.nii.gz']
    run(*args('a', '--probabilities'), says=['is there already'])
    run(*args('b', '--overwrite'))
    assert names('pat') == ['scan.nii.gz'] and labels_in('pat') == ['scan.nii.gz']
    assert volume('pat/scan.nii.gz').v == volume('labels/phantom_005.nii.gz').v
    # an input that is damaged does not leave the labels of another one as its own
    with open('patient-c/scan_0000.nii.gz', 'r+b') as f:
        f.truncate(1000)
    refuses(3, 'patient-c/scan_0000.nii.gz', args=args('c', '--overwrite'))
    assert names('pat') == []
    refuses(2, 'does not say of what', args=args('c'))
    os.makedirs('nothing/here')
    refuses(3, 'nothing holds no image files', args=['predict', '--run', 'run', '--input', 'patient-a', 'nothing',
                                                     '--out', 'pat'])


def geometry():
    """Files that lie obliquely, mirrored, with other voxel sizes: labels lie where the image lies."""
    image = volume('data/imagesTs/phantom_004_0000.nii.gz')
    q = dict(pixdim=(0.75, 1.25, 3.5), quatern=(0.1, -0.25, 0.5), offset=(-17.5, 8.25, 101))
    s = dict(pixdim=(0.75, 1.25, 3.5), sform=[[-0.5, 0.25, 1, -90], [0.25, -1, 0.5, 126], [0.125, 0.25, -3, -72]])
    files = {'oblique': q, 'left': {**q, 'qfac': -1.0}, 'sheared': s, 'both': {**q, **s}, 'none': {}}
    os.makedirs('place')
    for name, g in files.items():
        Nifti(SIZE, image.v, **g).write(f'place/{name}_0000.nii.gz')
    Nifti(SIZE, image.v, **q).write('place/plain.nii')
    predict('placed', 'place')
    assert labels_in('placed') == sorted([f'{n}.nii.gz' for n in files] + ['plain.nii.gz'])
    expected = volume('labels/phantom_004.nii.gz').v
    for name in files:
        a, b = volume(f'place/{name}_0000.nii.gz'), volume(f'placed/{name}.nii.gz')
        assert a.geometry() == b.geometry(), f'{name}: {a.geometry()}\n{b.geometry()}'
        assert b.v == expected, name
    assert volume('placed/plain.nii.gz').geometry() == volume('place/plain.nii').geometry()


def orientation():
    """data.orient=ras: a volume whose file runs along other axes is predicted alike."""
    train('ras', '--set', 'data.orient=ras')
    image = volume('data/imagesTs/phantom_004_0000.nii.gz')
    one = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]
    Nifti(SIZE, image.v, sform=one).write('upright.nii.gz')
    axis, flip = (2, 0, 1), (True, False, True)         # of the file, by axes of the volume
    size, v = image.turned(axis, flip)
    m = [[0.0] * 4 for _ in range(3)]
    for a in range(3):
        m[axis[a]][a] = -1.0 if flip[a] else 1.0
        m[axis[a]][3] += size[a] - 1 if flip[a] else 0
    Nifti(size, v, sform=m).write('turned.nii.gz')
    predict('ras-out', 'upright.nii.gz', 'turned.nii.gz', runs=['ras'])
    a, b = volume('ras-out/upright.nii.gz'), volume('ras-out/turned.nii.gz')
    assert b.geometry() == volume('turned.nii.gz').geometry()
    assert sum(a.v) > 10 and a.turned(axis, flip) == (b.size, b.v)


def scores():
    run('evaluate', '--run', 'run', '--data', 'data', '--split', 'test', '--save', '--out', 'scored', '--quiet')
    run('evaluate', '--pred', 'scored/test', '--ref', 'data/labelsTs', '--out', 'scored2')
    run('evaluate', '--pred', 'labels-only', '--ref', 'data/labelsTs', '--out', 'scored3', code=3)
    os.makedirs('labels-only')
    for i in (4, 5):
        shutil.copy(f'labels/phantom_00{i}.nii.gz', 'labels-only')
    run('evaluate', '--pred', 'labels-only', '--ref', 'data/labelsTs', '--out', 'scored3')
    tables = []
    for path in ('scored/evaluation_test.csv', 'scored2/evaluation.csv', 'scored3/evaluation.csv'):
        with open(path) as f:
            lines = [line.split(',') for line in f.read().strip().split('\n')]
        tables.append([dict(zip(lines[0], line)) for line in lines[1:]])
    keys = [k for k in tables[0][0] if k in tables[1][0] and 'file' not in k and k != 'class']
    assert 'dice' in keys and 'hd95' in keys and 'case' in keys, keys
    for other in tables[1:]:
        assert [[r[k] for k in keys] for r in tables[0]] == [[r[k] for k in keys] for r in other], tables
    for i in (4, 5):
        p, r = volume(f'labels/phantom_00{i}.nii.gz').v, volume(f'data/labelsTs/phantom_00{i}.nii.gz').v
        dice = 2 * sum(a and b for a, b in zip(p, r)) / (sum(p) + sum(r))
        got = [float(row['dice']) for row in tables[0] if row['case'] == f'phantom_00{i}']
        assert len(got) == 1 and abs(got[0] - dice) < 1e-5 and dice > 0.1, (got, dice)


def h5():
    """The same volumes in the .h5 layout of the public code: same training, same labels, same scores."""
    p = Process(['predict', '--run', 'run', '--input', 'nothing.h5', '--out', 'o'])
    p.wait()
    if 'built without HDF5' in p.text():
        print('        left out: built without HDF5')
        return
    phantoms('h5', kind='h5')
    train('nii5', iters=3)
    train('h55', data='h5', iters=3)
    same_tensors('nii5/final.safetensors', 'h55/final.safetensors')
    assert losses('nii5') == losses('h55') and metrics('nii5') == metrics('h55')
    shutil.copy('h5/data/phantom_004/mri_norm2.h5', 'phantom_004.h5')
    predict('h5-out', 'phantom_004.h5')
    assert volume('h5-out/phantom_004.nii.gz').v == volume('labels/phantom_004.nii.gz').v
    run('evaluate', '--run', 'run', '--data', 'h5', '--split', 'test', '--out', 'scored-h5', '--quiet')
    with open('scored-h5/evaluation_test.csv') as f, open('scored/evaluation_test.csv') as g:
        assert [line.split(',')[2:] for line in f][1:] == [line.split(',')[2:] for line in g][1:]


def interrupted():
    """What is labelled already stays and is not done again."""
    os.environ['PV_DEBUG'] = 'data'
    for _ in range(5):          # one that ends before it was looked at is tried again
        shutil.rmtree('part', ignore_errors=True)
        p = Process(['predict', '--run', 'run', '--input', 'data/imagesTs', 'data/imagesTr', '--out', 'part',
                     '--mirror', 'xyz', '--batch', 1])
        p.until(lambda: 'part/phantom_004.nii.gz' in p.text() and 'phantom_005_0000' in p.text())
        p.send(signal.SIGINT)
        code = p.wait()
        if code != 0:
            break
    del os.environ['PV_DEBUG']
    assert code == 130 and 'interrupted while predicting' in p.text() and 'error' not in p.text(), f'{code} {p.text()}'
    done = labels_in('part')
    assert 0 < len(done) < 6
    text = run('predict', '--run', 'run', '--input', 'data/imagesTs', 'data/imagesTr', '--out', 'part', '--mirror',
               'xyz')
    assert text.count('is there already') == len(done) and len(labels_in('part')) == 6


main([setup, labels_are_the_most_probable, named_channels, channels_in_files, sliding_window, smaller_than_the_patch,
      mirroring, ensemble, folders_do_not_mix, only_the_same_is_skipped, geometry, orientation, scores, h5,
      interrupted])
