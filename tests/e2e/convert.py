#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""protovox convert as a user runs it: convert.py PROTOVOX PHANTOMS DEVICE [--class C]

Data to .h5 and back with the same voxels, labels, lists and geometry where there is one; weights of a run out, into
another run, into a training; the messages of what is wrong."""
import gzip
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile

failures = []


def expect(ok, what):
    if not ok:
        failures.append(what)


def voxels(path):
    """Header fields that must survive, and the bytes of the voxels."""
    with gzip.open(path) as f:
        raw = f.read()
    start = int(struct.unpack_from('<f', raw, 108)[0])
    return {'dim': struct.unpack_from('<8h', raw, 40), 'type': struct.unpack_from('<h', raw, 70),
            'pixdim': struct.unpack_from('<8f', raw, 76), 'codes': struct.unpack_from('<2h', raw, 252),
            'sform': struct.unpack_from('<12f', raw, 280)}, raw[start:]


def tensors(path):
    with open(path, 'rb') as f:
        size, = struct.unpack('<Q', f.read(8))
        header = json.loads(f.read(size))
    return {k: v['shape'] for k, v in header.items() if k != '__metadata__'}


def main():
    program, make, device, *more = sys.argv[1:]
    program, make = os.path.abspath(program), os.path.abspath(make)
    with tempfile.TemporaryDirectory() as top:
        def call(code, *args):
            done = subprocess.run([program, *args], cwd=top, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, timeout=300)
            expect(done.returncode == code, f'{" ".join(args)} gave {done.returncode}, not {code}: {done.stdout}')
            return done.stdout

        def says(text, part):
            expect(part in text, f'{part!r} is not in {text!r}')

        def same(a, b, geometry=True):
            ha, va = voxels(os.path.join(top, a))
            hb, vb = voxels(os.path.join(top, b))
            expect(va == vb, f'{a} and {b} differ in voxels')
            expect(ha['dim'] == hb['dim'] and ha['type'] == hb['type'], f'{a} and {b} differ in size or type')
            expect(not geometry or ha == hb, f'{a} and {b} lie elsewhere: {ha} {hb}')

        def text(*name):
            with open(os.path.join(top, *name)) as f:
                return f.read()

        subprocess.run([make, 'nnunet', 'set', '24x20x16', '3', '1', '11'], cwd=top, check=True)
        os.remove(os.path.join(top, 'set/labelsTr/phantom_002.nii.gz'))     # an unannotated case

        # data
        out = call(0, 'convert', '--data', 'set', '--to', 'nifti', '--out', 'copy')
        says(out, '3 training, 0 validation and 1 test')
        for name in ('imagesTr/phantom_000_0000', 'imagesTr/phantom_002_0000', 'imagesTs/phantom_003_0000',
                     'labelsTr/phantom_001', 'labelsTs/phantom_003'):
            same(f'set/{name}.nii.gz', f'copy/{name}.nii.gz')
        expect(not os.path.exists(os.path.join(top, 'copy/labelsTr/phantom_002.nii.gz')), 'a label was invented')
        expect(text('copy/train.list') == text('set/train.list'), 'train.list differs')
        expect(text('copy/test.list') == text('set/test.list'), 'test.list differs')
        a, b = json.loads(text('set/dataset.json')), json.loads(text('copy/dataset.json'))
        expect(a == b, f'dataset.json differs: {a} {b}')
        says(call(2, 'convert', '--data', 'set', '--to', 'nifti', '--out', 'copy'), 'replace files with --overwrite')
        says(call(2, 'convert', '--data', 'set', '--to', 'nifti', '--out', 'set'), 'is the data set itself')
        call(0, 'convert', '--data', 'set', '--to', 'nifti', '--out', 'copy', '--overwrite')
        says(call(2, 'convert', '--data', 'set', '--to', 'nifty', '--out', 'x'), "not 'nifty'")
        says(call(2, 'convert', '--data', 'set', '--to', 'nifti', '--out', 'x', '--spacing', '1x1x1'),
             'leave --spacing')
        says(call(3, 'convert', '--data', 'none', '--to', 'nifti', '--out', 'x'), 'there is no folder none')
        says(call(2, 'convert', '--out', 'x'), 'one of --export, --import, --data')

        out = subprocess.run([program, 'convert', '--data', 'set', '--to', 'h5', '--layout', 'la', '--out', 'h5'],
                             cwd=top, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if 'without HDF5' in out.stdout:
            print('built without HDF5: .h5 is left out')
        else:
            expect(out.returncode == 0, out.stdout)
            says(out.stdout, 'hold only')
            expect(os.path.exists(os.path.join(top, 'h5/2018LA_Seg_Training Set/phantom_000/mri_norm2.h5')), 'no .h5')
            says(call(2, 'convert', '--data', 'set', '--to', 'h5', '--layout', 'le', '--out', 'x'), 'data, la and')
            says(call(2, 'convert', '--data', 'h5', '--to', 'nifti', '--out', 'x', '--spacing', '1x1'),
                 '--spacing takes')
            # the case without a label has none in its .h5 either
            says(call(3, 'convert', '--data', 'h5', '--to', 'nifti', '--out', 'x'), "no data set 'label'")
            shutil.rmtree(os.path.join(top, 'h5/2018LA_Seg_Training Set/phantom_002'))
            with open(os.path.join(top, 'h5/train.list'), 'w') as f:
                f.write('phantom_001\nphantom_000\n')
            call(0, 'convert', '--data', 'h5', '--to', 'nifti', '--out', 'back', '--spacing', '0.5x0.75x2')
            for name in ('imagesTr/phantom_000_0000', 'imagesTs/phantom_003_0000', 'labelsTr/phantom_001',
                         'labelsTs/phantom_003'):
                same(f'set/{name}.nii.gz', f'back/{name}.nii.gz', False)
                got = voxels(os.path.join(top, f'back/{name}.nii.gz'))[0]['pixdim'][1:4]
                expect(got == (0.5, 0.75, 2), f'spacing {got}')
            expect(text('back/train.list') == 'phantom_001\nphantom_000\n', 'the order of train.list is lost')
            for layout in ('data', 'pancreas'):
                call(0, 'convert', '--data', 'back', '--to', 'h5', '--layout', layout, '--out', layout)
                call(0, 'convert', '--data', layout, '--to', 'nifti', '--spacing', '0.5x0.75x2', '--out',
                     layout + '_back')
                same('back/imagesTr/phantom_001_0000.nii.gz', layout + '_back/imagesTr/phantom_001_0000.nii.gz')

        # weights
        train = ['train', '--data', 'set', '--preset', 'demo', '--patch', '16x16x16', '--batch', '1', '--labeled', '2',
                 '--iters', '2', '--set', 'net.filters=2', '--quiet', '--device', device, *more]
        call(0, *train, '--method', 'mt', '--out', 'run')
        says(call(0, 'convert', '--run', 'run', '--export', 'a.safetensors'), 'networks: student, teacher')
        names = tensors(os.path.join(top, 'a.safetensors'))
        expect(names.get('block_one.conv.0.weight') == [2, 1, 3, 3, 3] and names.get('out_conv.bias') == [2] and
               names.get('block_one.conv.1.num_batches_tracked') == [] and len(names) == 205, f'exported {names}')
        says(call(0, 'convert', '--import', 'a.safetensors', '--net', 'vnet', '--preset', 'demo', '--out', 'in',
                  '--set', 'train.patch=[16,16,16]'), '2 filters, 1 channels, 2 classes')
        call(0, 'convert', '--run', 'in', '--export', 'b.safetensors')
        with open(os.path.join(top, 'a.safetensors'), 'rb') as f, open(os.path.join(top, 'b.safetensors'), 'rb') as g:
            expect(f.read() == g.read(), 'weights are not the same after import and export')
        says(call(2, 'convert', '--import', 'a.safetensors', '--out', 'in'), 'already holds a run')
        says(call(2, 'convert', '--import', 'a.pth', '--out', 'x'), 'save_file')
        says(call(3, 'convert', '--import', 'a.safetensors', '--net', 'resvnet', '--out', 'x'), 'another network')
        says(call(2, 'convert', '--run', 'run', '--network', 'x', '--export', 'c.safetensors'), 'student, teacher')
        says(call(3, 'convert', '--run', 'none', '--export', 'c.safetensors'), 'not a run folder')
        predict = ['--input', 'set/imagesTs', '--quiet', '--device', device, *more]
        call(0, 'predict', '--run', 'run', *predict, '--out', 'p1')
        call(0, 'predict', '--run', 'in', *predict, '--out', 'p2')
        same('p1/phantom_003.nii.gz', 'p2/phantom_003.nii.gz')

        # training from weights: at learning rate 0 they stay, in all networks
        call(0, *train, '--method', 'mt', '--out', 'from', '--init', 'a.safetensors', '--set', 'optim.lr=0')
        for network in ('student', 'teacher'):
            call(0, 'convert', '--run', 'from', '--network', network, '--export', network + '.safetensors')
        start = {}
        for name in ('a', 'student', 'teacher'):
            with open(os.path.join(top, name + '.safetensors'), 'rb') as f:
                raw = f.read()
            size, = struct.unpack_from('<Q', raw)
            header = json.loads(raw[8:8 + size])
            start[name] = {k: raw[8 + size + v['data_offsets'][0]:8 + size + v['data_offsets'][1]]
                           for k, v in header.items() if k.endswith(('weight', 'bias'))}
        expect(start['a'] == start['student'], 'the student did not start from the weights')
        near = all(abs(x - y) <= 1e-6 * max(1, abs(x)) for k in start['a'] for x, y in zip(
            struct.unpack(f'<{len(start["a"][k]) // 4}f', start['a'][k]),
            struct.unpack(f'<{len(start["a"][k]) // 4}f', start['teacher'][k])))
        expect(near, 'the teacher did not start from the weights')
        says(call(3, *train, '--method', 'mt', '--out', 'bad', '--init', 'a.safetensors', '--set', 'net.filters=4'),
             'this network needs')
    for f in failures:
        print(f)
    print(f'{len(failures)} failures')
    sys.exit(1 if failures else 0)


if __name__ == '__main__':
    main()
