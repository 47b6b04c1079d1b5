#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bad input ends with one clear line that names the file or option and what to do, the right exit code, and nothing
lost: wrong options, damaged and mismatched data, damaged checkpoints, full disks, folders that cannot be written.
    bad.py PROTOVOX PHANTOMS DEVICE"""
import gzip
import json
import os
import re
import shutil
import struct

from e2e import (Nifti, Process, copy_data, losses, main, metrics, phantoms, refuses, run, same_runs, same_tensors,
                 steps, write)

USAGE, INPUT, NO_DEVICE = 2, 3, 4
N = 8
BASE = ['--preset', 'tiny', '--labeled', 2, '--iters', N, '--quiet', '--set', 'net.filters=4', 'data.prep=none']
IMAGE, LABEL = 'imagesTr/phantom_000_0000.nii.gz', 'labelsTr/phantom_000.nii.gz'


def train(data, out, *more):
    return ['train', '--data', data, '--out', out] + BASE + list(more)


def again(out, *more):
    return ['train', '--data', 'data', '--out', out, '--resume', '--quiet'] + list(more)


def setup():
    phantoms('data', size='40x40x24')
    run(*train('data', 'whole'))
    run(*train('data', 'half', '--stop-after', 4))
    write('text', 'not a data set\n')


def options():
    t = train('data', 'none')
    refuses(USAGE, "no command 'trian'", 'did you mean train?', args=['trian'])
    refuses(USAGE, "no command 'trian'", 'did you mean train?', args=['help', 'trian'])
    assert run('help', 'train') == run('train', '--help') != run('help')
    refuses(USAGE, "no option '--iter'", '--iters', args=t + ['--iter', 5])
    refuses(USAGE, '--iters', 'whole number', "'five'", args=t + ['--iters', 'five'])
    refuses(USAGE, '--iters needs a value', args=t + ['--iters'])
    refuses(USAGE, '--seed takes a whole number from 0', "'-2'", args=t + ['--seed', -2])
    refuses(USAGE, '--resume takes no value', args=t + ['--resume=false'])
    refuses(USAGE, 'eval.stride 32x32x32 is larger than train.patch 16x16x16',
            args=t + ['--patch', '16x16x16', '--set', 'eval.stride=[32,32,32]'])
    refuses(USAGE, '--data and --out', args=['train', '--data', 'data'])
    refuses(USAGE, "no method 'mtt'", 'did you mean mt?', args=t + ['--method', 'mtt'])
    refuses(USAGE, "no preset 'tinny'", 'did you mean tiny?', args=t + ['--preset', 'tinny'])
    refuses(USAGE, "no network 'vnett'", 'vnet', args=t + ['--net', 'vnett'])
    refuses(USAGE, "no setting 'optim.rate'", args=t + ['--set', 'optim.rate=1'])
    refuses(USAGE, "did you mean optim.lr?", args=t + ['--set', 'optim.lrr=1'])
    refuses(USAGE, "'optim.lr' must be a number", args=t + ['--set', 'optim.lr=fast'])
    refuses(USAGE, 'optim.lr is -1', 'from 0', args=t + ['--set', 'optim.lr=-1'])
    refuses(USAGE, "method sup has no option 'ema'", args=t + ['--set', 'method_options.ema=1'])
    refuses(USAGE, "method_options.images of cps is 'some'", 'unlabeled, all',
            args=t + ['--method', 'cps', '--set', 'method_options.images=some'])
    refuses(USAGE, 'method_options.scale_low of fixmatch goes from 0.1 to 1, not 2',
            args=t + ['--method', 'fixmatch', '--set', 'data.prep=minmax', 'method_options.scale_low=2'])
    refuses(USAGE, 'multiples of 16', '30x32x16', '--patch', args=t + ['--patch', '30x32x16'])
    refuses(USAGE, '--patch', '112x112x80', args=t + ['--patch', '32'])
    refuses(USAGE, '128x128x128', '40x40x24', 'smaller --patch', args=t + ['--patch', '128x128x128'])
    refuses(USAGE, '--iters, --batch and --accumulate', args=t + ['--batch', 0])
    refuses(USAGE, '--limit', 'memory', args=t + ['--limit', 'space=3'])
    assert 'ref:0' in refuses(USAGE, "no device 'gpu'; known are", args=t + ['--device', 'gpu'])
    assert 'ref:0' in refuses(NO_DEVICE, "no device 'opencl:9'; known are", args=t + ['--device', 'opencl:9'])
    refuses(INPUT, '99', 'at most 4', '--labeled', args=t + ['--labeled', 99])
    refuses(USAGE, '--weights', 'best, final or latest',
            args=['predict', '--run', 'whole', '--input', 'data/imagesTs', '--out', 'o', '--weights', 'last'])
    refuses(USAGE, 'xyz', "'up'",
            args=['predict', '--run', 'whole', '--input', 'data/imagesTs', '--out', 'o', '--mirror', 'up'])
    refuses(USAGE, 'stride 64', 'at most the patch',
            args=['predict', '--run', 'whole', '--input', 'data/' + IMAGE, '--out', 'o', '--stride', '64x64x64'])
    refuses(USAGE, 'train, val or test', "'tset'",
            args=['evaluate', '--run', 'whole', '--data', 'data', '--split', 'tset'])
    refuses(USAGE, "'dise'", 'dice', args=['evaluate', '--pred', 'data/labelsTs', '--ref', 'data/labelsTs',
                                           '--metrics', 'dise'])
    assert not os.path.exists('none/config.json')


def places():
    t = train('data', 'none')
    refuses(INPUT, 'no folder nowhere', args=train('nowhere', 'none'))
    refuses(INPUT, 'no folder nowhere', args=train('nowhere', 'some/where/none'))
    assert not os.path.exists('none') and not os.path.exists('some')      # nothing stays of what did not begin
    os.mkdir('mine')
    refuses(INPUT, 'no folder nowhere', args=train('nowhere', 'mine'))
    assert os.listdir('mine') == []
    refuses(INPUT, 'data/imagesTr is no data set', 'dataset.json', args=train('data/imagesTr', 'none'))
    refuses(INPUT, 'text/run cannot be made', 'Not a directory', 'another with --out', args=train('data', 'text/run'))
    refuses(USAGE, 'whole already holds a run', '--resume', '--overwrite', args=train('data', 'whole'))
    refuses(INPUT, 'nowhere', 'no run to resume', args=['train', '--data', 'data', '--out', 'nowhere', '--resume'])
    refuses(INPUT, 'nowhere.json', args=t + ['--config', 'nowhere.json'])
    refuses(INPUT, 'text', 'line 1', args=t + ['--config', 'text'])
    refuses(INPUT, 'data is not a run folder', 'config.json',
            args=['predict', '--run', 'data', '--input', 'data/imagesTs', '--out', 'o'])
    refuses(INPUT, 'text/o cannot be made', args=['predict', '--run', 'whole', '--input', 'data/imagesTs', '--out',
                                                  'text/o'])
    refuses(INPUT, 'nowhere.nii.gz', 'No such file',
            args=['predict', '--run', 'whole', '--input', 'nowhere.nii.gz', '--out', 'o'])
    refuses(INPUT, 'data/dataset.json', 'unknown kind of file', '.nii.gz',
            args=['predict', '--run', 'whole', '--input', 'data/dataset.json', '--out', 'o'])
    # before a single case is read
    for out, args in (('evaluation_test.csv', []), ('evaluation_test.json', []), ('analysis.json', ['--analysis'])):
        os.makedirs('taken/' + out)
        os.environ['PV_DEBUG'] = 'data'
        text = refuses(INPUT, f'cannot write taken/{out}: it is a folder',
                       args=['evaluate', '--run', 'whole', '--data', 'data', '--out', 'taken', *args])
        del os.environ['PV_DEBUG']
        assert 'phantom_00' not in text and os.listdir('taken') == [out], text
        os.rmdir('taken/' + out)
    if os.geteuid() != 0:       # nothing is forbidden to root
        os.chmod('taken', 0o555)
        refuses(INPUT, 'cannot write taken/evaluation_test.csv: Permission denied',
                args=['evaluate', '--run', 'whole', '--data', 'data', '--out', 'taken'])
        os.chmod('taken', 0o755)
    refuses(INPUT, 'no val cases', args=['evaluate', '--run', 'whole', '--data', 'data', '--split', 'val'])
    refuses(INPUT, 'folders of label files', args=['evaluate', '--pred', 'nowhere', '--ref', 'data/labelsTs'])
    refuses(INPUT, 'has no reference', 'phantom_004',
            args=['evaluate', '--pred', 'data/labelsTs', '--ref', 'data/labelsTr'])
    os.makedirs('empty', exist_ok=True)
    refuses(INPUT, 'empty', 'no label files', args=['evaluate', '--pred', 'empty', '--ref', 'data/labelsTs'])


def damage(name, change):
    """A copy of the data set with one file changed; returns the folder and the file's path."""
    copy_data('data', 'damaged')
    path = 'damaged/' + name
    with open(path, 'rb') as f:
        raw = f.read()
    with open(path, 'wb') as f:
        f.write(change(raw))
    return path


def volumes():
    def cut(raw):
        return raw[:len(raw) * 2 // 3]

    def flip(raw):
        return raw[:len(raw) // 2] + bytes([raw[len(raw) // 2] ^ 0x55]) + raw[len(raw) // 2 + 1:]

    def cut_inside(raw):
        return gzip.compress(gzip.decompress(raw)[:-1000], 1)

    def nan(raw):
        v = bytearray(gzip.decompress(raw))
        v[352 + 4 * 100:352 + 4 * 101] = struct.pack('<f', float('nan'))
        return gzip.compress(bytes(v), 1)

    def seven(raw):
        v = bytearray(gzip.decompress(raw))
        v[352 + 5] = 7
        return gzip.compress(bytes(v), 1)

    bad = ('damaged', 'ends early', 'get the file again')
    for name in (IMAGE, LABEL):
        for change in (cut, flip, cut_inside):
            path = damage(name, change)
            text = refuses(INPUT, path, args=train('damaged', 'none'))
            assert any(b in text for b in bad), text
    path = damage(IMAGE, lambda raw: b'nothing')
    refuses(INPUT, path, 'NIfTI', args=train('damaged', 'none'))
    path = damage(IMAGE, lambda raw: b'')
    refuses(INPUT, path, args=train('damaged', 'none'))
    path = damage(IMAGE, nan)
    refuses(INPUT, path, '1 of', 'NaN', '(20, 2, 0)', 'data.bad_to_zero=true', args=train('damaged', 'none'))
    text = run(*train('damaged', 'zeroed', '--stop-after', 1, '--set', 'data.bad_to_zero=true'))
    assert 'warning' in text and path in text, text
    path = damage(LABEL, seven)
    refuses(INPUT, path, '7', 'dataset.json', args=train('damaged', 'none'))

    # a label on another grid: other size, other place
    copy_data('data', 'damaged')
    n = Nifti([40, 40, 23], [0] * (40 * 40 * 23))
    n.write('damaged/' + LABEL)
    refuses(INPUT, LABEL, IMAGE, '40 x 40 x 23', '40 x 40 x 24', 'resample', args=train('damaged', 'none'))
    n = Nifti.read('data/' + LABEL)
    n.pixdim, n.quatern, n.sform = [1, 1, 2.5], None, [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 2.5, 0]]
    n.write('damaged/' + LABEL)
    refuses(INPUT, LABEL, IMAGE, '2.5', 'data.copy_geometry=true', args=train('damaged', 'none'))
    run(*train('damaged', 'copied', '--set', 'data.copy_geometry=true', '--stop-after', 1))
    run(*train('data', 'copied2', '--stop-after', 1))
    assert losses('copied') == losses('copied2')
    os.remove('damaged/' + LABEL)
    refuses(INPUT, 'phantom_000', 'label', args=train('damaged', 'none'))
    assert not os.path.exists('none/latest.safetensors') and not os.path.exists('none/final.safetensors')


def data_sets():
    copy_data('data', 'damaged')
    with open('damaged/train.list', 'a') as f:
        f.write('phantom_00x\n')
    refuses(INPUT, 'damaged/train.list, line 5', 'phantom_00x', 'did you mean', args=train('damaged', 'none'))
    write('damaged/train.list', 'phantom_000\nphantom_001\nphantom_004\n')
    refuses(INPUT, 'damaged/test.list', 'phantom_004', 'also a training case', args=train('damaged', 'none'))
    write('damaged/train.list', '\n')
    refuses(INPUT, 'damaged/train.list names no case', args=train('damaged', 'none'))
    copy_data('data', 'damaged')
    os.remove('damaged/' + IMAGE)
    refuses(INPUT, 'train.list', 'phantom_000', args=train('damaged', 'none'))
    copy_data('data', 'damaged')
    shutil.rmtree('damaged/labelsTr')
    refuses(INPUT, 'damaged', 'none of the 4 training cases has a label', 'labelsTr', args=train('damaged', 'none'))
    copy_data('data', 'damaged')
    write('damaged/dataset.json', '{"labels": ')
    refuses(INPUT, 'damaged/dataset.json', args=train('damaged', 'none'))
    write('damaged/dataset.json', '{"channel_names": {"0": "MRI"}, "labels": {"background": 0}, '
                                  '"file_ending": ".nii.gz"}')
    refuses(INPUT, 'damaged/dataset.json', 'labels', args=train('damaged', 'none'))


def one_bad_file_of_many():
    copy_data('data', 'damaged')
    os.makedirs('in', exist_ok=True)
    for i in range(3):
        shutil.copy(f'data/imagesTr/phantom_00{i}_0000.nii.gz', f'in/scan_200{i}.nii.gz')
    with open('in/scan_2001.nii.gz', 'r+b') as f:
        f.truncate(1000)
    refuses(INPUT, 'in/scan_2001.nii.gz', '1 of 3 files', lines=2,
            args=['predict', '--run', 'whole', '--input', 'in', '--out', 'labelled'])
    assert sorted(os.listdir('labelled')) == ['predict.json', 'scan_2000.nii.gz', 'scan_2002.nii.gz']
    refuses(USAGE, 'in/scan_2000.nii.gz', 'another --out',
            args=['predict', '--run', 'whole', '--input', 'in/scan_2000.nii.gz', '--out', './in', '--overwrite'])
    os.makedirs('in2', exist_ok=True)
    shutil.copy('in/scan_2000.nii.gz', 'in2')
    refuses(USAGE, 'two inputs are named scan_2000',
            args=['predict', '--run', 'whole', '--input', 'in/scan_2000.nii.gz', 'in2', '--out', 'o'])


def checkpoints():
    latest = 'run/latest.safetensors'

    def damaged(change):
        copy_data('half', 'run')
        with open(latest, 'rb') as f:
            raw = f.read()
        with open(latest, 'wb') as f:
            f.write(change(raw))

    def bit(raw):
        return raw[:-5] + bytes([raw[-5] ^ 1]) + raw[-4:]

    def predicts(*words):
        refuses(INPUT, latest, *words, args=['predict', '--run', 'run', '--input', 'data/imagesTs', '--out', 'o'])

    for change, word in ((lambda raw: raw[:len(raw) // 2], 'incomplete'), (bit, 'checksum'),
                         (lambda raw: b'\xff' * 8 + raw[8:], 'impossible'), (lambda raw: b'', 'shorter')):
        damaged(change)
        refuses(INPUT, latest, word, 'remove it', 'begins anew', args=again('run'))
        predicts(word)
    shutil.copy('half/latest.safetensors', 'run/best.safetensors')
    refuses(INPUT, latest, 'shorter', 'goes on from run/best.safetensors', args=again('run'))
    os.remove(latest)
    run(*again('run'), says=['4 iterations are done already'])
    os.remove('run/best.safetensors')
    same_runs('whole', 'run')

    run(*train('data', 'mt', '--method', 'mt', '--stop-after', 1))
    run(*train('data', 'wide', '--set', 'net.filters=5', '--stop-after', 1))
    copy_data('half', 'run')
    shutil.copy('mt/latest.safetensors', latest)
    refuses(INPUT, latest, 'method mt', 'this run is sup', args=again('run'))
    predicts('method mt')
    shutil.copy('wide/latest.safetensors', latest)
    refuses(INPUT, latest, 'another network', 'put the right file back', args=again('run'))
    predicts('another network')
    copy_data('half', 'run')
    os.remove('run/config.json')
    refuses(INPUT, 'run', 'config.json', args=again('run'))
    write('run/config.json', '{"method": "sup", ')
    refuses(INPUT, 'run/config.json', args=again('run'))
    with open('half/config.json') as f:
        config = json.load(f)
    config['cases']['labeled'][0] = 'phantom_777'
    with open('run/config.json', 'w') as f:
        json.dump(config, f)
    refuses(INPUT, 'phantom_777', 'config.json', args=again('run'))
    os.remove('run/config.json')
    os.remove(latest)
    refuses(INPUT, 'run', 'config.json', args=['predict', '--run', 'run', '--input', 'data/imagesTs', '--out', 'o'])


def full_disk():
    """No file may become larger than a checkpoint's half: the run ends, what it had stays, and it goes on later."""
    import resource
    size = os.path.getsize('half/latest.safetensors') // 2

    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    copy_data('half', 'run')
    refuses(INPUT, 'run/latest.safetensors', 'File too large', args=again('run', '--stop-after', 6), before=small_files)
    assert steps('run/latest.safetensors') == 4 and not [n for n in os.listdir('run') if '.tmp-' in n]
    same_tensors('half/latest.safetensors', 'run/latest.safetensors')
    text = refuses(INPUT, 'run/final.safetensors', args=again('run'), before=small_files)
    assert 'nothing before iteration 4 is lost' in text, text
    run(*again('run'))
    same_runs('whole', 'run')

    def no_config():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    refuses(INPUT, 'tight', 'File too large', args=train('data', 'tight'), before=no_config)
    copy_data('half', 'run')

    def one_row():
        resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))
    refuses(INPUT, 'run', 'File too large', args=again('run', '--device', 'ref:0'), before=one_row)     # no compiler
    run(*again('run'))
    same_runs('whole', 'run')


def full_tmpfs():
    """The same on a file system without room, where this may be mounted."""
    one = os.path.getsize('half/latest.safetensors')
    os.makedirs('disk', exist_ok=True)
    if os.system(f'mount -t tmpfs -o size={one * 7 // 4} tmpfs disk 2>mount.txt') != 0:
        print('        left out: no tmpfs can be mounted here')
        return
    try:
        # before anything is trained: not one checkpoint, one but not two
        shutil.copytree('half', 'disk/run')
        refuses(INPUT, 'disk/run: a checkpoint of this training needs', 'are free', 'make room',
                args=again('disk/run', '--stop-after', 6))
        refuses(INPUT, 'disk/more: a checkpoint of this training needs', 'another --out',
                args=train('data', 'disk/more'))
        assert os.listdir('disk') == ['run'] and steps('disk/run/latest.safetensors') == 4
        shutil.rmtree('disk/run')
        text = refuses(INPUT, 'disk/run/final.safetensors', 'No space left', 'needed', 'make room',
                       args=train('data', 'disk/run', 'checkpoint.every=4'))
        assert 'warning: disk/run: up to' in text and 'goes on from there' in text, text
        assert steps('disk/run/latest.safetensors') == 4
        copy_data('disk/run', 'run')
    finally:
        os.system('umount disk')
    run(*again('run'))
    same_runs('whole', 'run')


def what_is_there_stays():
    """Whatever is wrong with a new run, --overwrite leaves the old one; a page that cannot be written ends nothing."""
    shutil.copytree('whole', 'old')
    for more, code in ((['--labeled', 99], INPUT), (['--patch', '128x128x128'], USAGE)):
        run(*train('data', 'old', '--overwrite', *more), code=code)
        same_tensors('whole/final.safetensors', 'old/final.safetensors')
    run(*train('nowhere', 'old', '--overwrite'), code=INPUT)
    same_tensors('whole/final.safetensors', 'old/final.safetensors')
    assert os.path.exists('old/metrics.csv') and os.path.exists('old/report.html')
    os.remove('old/progress.png')
    os.makedirs('old/progress.png/full')
    run(*train('data', 'old', '--overwrite', '--iters', 3), says=['progress.png', 'protovox report --run old makes'])
    assert steps('old/final.safetensors') == 3


def sizes_that_were_given():
    """Preset auto takes from the data only what was left open."""
    auto = ['train', '--data', 'data', '--labeled', 2, '--iters', 1, '--quiet', '--overwrite', '--out', 'auto', '--set',
            'net.filters=2']

    def said():
        with open('auto/log.txt') as f:
            return f.read()

    def used(*more):
        run(*auto, *more)
        with open('auto/config.json') as f:
            c = json.load(f)
        assert 'by_data' not in c
        return c['train']['patch'], c['eval']['stride']
    # nothing is said to come from the data that did not
    both = 'patch 32x32x16, by the size of the volumes', 'stride 16x16x8, half the patch'
    assert used() == ([32, 32, 16], [16, 16, 8]) and both[0] in said() and both[1] in said()
    assert used('--patch', '16x32x16') == ([16, 32, 16], [8, 16, 8])
    assert 'by the size' not in said() and 'stride 8x16x8, half the patch' in said()
    assert used('--set', 'eval.stride=[8,8,8]') == ([32, 32, 16], [8, 8, 8])
    assert both[0] in said() and 'half the patch' not in said() and 'padded' not in said()
    used('--patch', '48x32x16')
    assert 'warning: no labelled volume holds a patch of 48x32x16 (at most 40x40x24' in said(), said()


def predictions_that_are_missing():
    shutil.copytree('data/labelsTs', 'some')
    gone = sorted(os.listdir('some'))[0]
    os.remove('some/' + gone)
    e = ['evaluate', '--pred', 'some', '--ref', 'data/labelsTs']
    refuses(INPUT, 'have no prediction', gone, '--partial', args=e)
    run(*e, '--partial')


def memory():
    """Lack of device memory says what would fit, and that does fit."""
    t = train('data', 'mem', '--overwrite', '--stop-after', 1)
    need = int(re.search(r'at most (\d+) MiB of device memory are needed', run(*t)).group(1))
    limit = ['--limit', f'memory={need - 2}M']
    text = refuses(NO_DEVICE, 'MiB of device memory', f'has {need - 2} MiB',
                   'what fits: --batch 1 --accumulate 2 (', args=t + limit)
    least = int(re.search(r'training needs (\d+) MiB', text).group(1))
    assert need <= least <= 1.3 * need, (need, least)
    run(*t, '--limit', f'memory={least + 1}M')
    options = re.findall(r'(--[a-z][^(]*) \(\d+ MiB\)', text)
    assert [o.split()[0] for o in options] == ['--batch', '--patch', '--set'], text
    for o in options:
        run(*t, *o.split(), *limit)
    refuses(NO_DEVICE, 'of device memory', 'has 1 MiB', 'another device', args=t + ['--limit', 'memory=1M'])
    told = json.loads(run('devices', '--method', 'mt', '--preset', 'la', '--json'))
    assert any(d.get('training_bytes', 0) > 1e9 and d['training_fits'] in (True, False) for d in told), told
    run('devices', '--method', 'fixmatch', '--preset', 'acdc', says=['fixmatch acdc cannot be trained: ', '3D data'])
    told = json.loads(run('devices', '--method', 'fixmatch', '--preset', 'acdc', '--json'))
    assert any('3D data' in d.get('training_error', '') for d in told), told

    def little(args, start, step):
        """What is said just below the least memory that suffices, and that limit."""
        last = None
        for mib in range(start, 300, step):
            q = Process(args + ['--limit', f'memory={mib}M'])
            code = q.wait()
            if code == 0:
                return last
            errors = [e for e in q.text().split('\n') if e.startswith('error: ')]
            assert code == NO_DEVICE and len(errors) == 2 and 'out of device memory' in errors[0], q.text()
            last = errors[1], ['--limit', f'memory={mib}M']
        raise AssertionError(f'300 MiB do not suffice: {args}')

    p = ['predict', '--run', 'whole', '--input', 'data/imagesTs', '--out', 'mem-labels', '--overwrite']
    refuses(NO_DEVICE, 'does not hold the network of whole', '--device', lines=2, args=p + ['--limit', 'memory=1M'])
    said, limit = little(p, 4, 2)
    assert '4 windows of 32x32x16' in said and said.endswith('try --batch 1'), said
    run(*p, '--batch', 1, *limit)


main([setup, options, places, volumes, data_sets, one_bad_file_of_many, checkpoints, full_disk, full_tmpfs,
      what_is_there_stays, sizes_that_were_given, predictions_that_are_missing, memory])
