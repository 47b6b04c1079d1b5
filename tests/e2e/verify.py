#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""protovox verify as a user runs it: verify.py PROTOVOX PHANTOMS

Exit codes, text and JSON for a good set, one with a warning and one with errors in many cases."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

failures = []


def expect(ok, what):
    if not ok:
        failures.append(what)


def main():
    program, make = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    with tempfile.TemporaryDirectory() as top:
        def call(code, *args):
            done = subprocess.run([program, 'verify', *args], cwd=top, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  text=True, timeout=120)
            expect(done.returncode == code, f'{args} gave {done.returncode}, not {code}: {done.stdout}{done.stderr}')
            expect(done.stderr == '' or code == 2, f'{args} printed on stderr: {done.stderr}')
            return done.stdout if code != 2 else done.stderr

        def report(code):
            text = call(code, '--data', 'set', '--json')
            try:
                return json.loads(text)
            except ValueError:
                expect(False, f'no JSON: {text}')
                return {'findings': [], 'errors': -1, 'warnings': -1, 'notes': -1, 'cases': [], 'classes': []}

        subprocess.run([make, 'nnunet', 'set', '24x20x16', '8', '1', '3'], cwd=top, check=True)
        good = report(0)
        expect((good['errors'], good['warnings'], good['notes']) == (0, 0, 0), f'findings in a good set: {good}')
        expect(len(good['cases']) == 9 and good['cases'][0]['size'] == [24, 20, 16] and
               good['cases'][8]['split'] == 'test', f'cases {good["cases"]}')
        expect([c['name'] for c in good['classes']] == ['background', 'lesion'] and good['classes'][1]['cases'] == 9 and
               sum(c['voxels'] for c in good['classes']) == 9 * 24 * 20 * 16, f'classes {good["classes"]}')
        text = call(0, '--data', 'set')
        expect('8 training' in text and 'ready to train' in text and 'to do' not in text, text)

        shutil.copy(os.path.join(top, 'set/imagesTr/phantom_001_0000.nii.gz'),
                    os.path.join(top, 'set/imagesTr/phantom_000_0000.nii.gz'))
        one = report(0)
        expect((one['errors'], one['warnings']) == (0, 1) and one['findings'][0]['check'] == 'duplicate' and
               one['findings'][0]['case'] == 'phantom_001' and one['findings'][0]['todo'], f'findings {one}')

        for i in range(7):
            with open(os.path.join(top, f'set/imagesTr/phantom_00{i}_0000.nii.gz'), 'r+b') as f:
                f.truncate(400)
        many = report(3)
        expect(many['errors'] == 7 and all(f['grade'] == 'error' and f['check'] == 'file' for f in many['findings']),
               f'findings {many}')
        text = call(3, '--data', 'set')
        expect(text.count('error (file)') == 5 and '... and 2 more' in text and text.count('to do:') == 1, text)
        expect('7 errors, 0 warnings, 0 notes: correct the errors' in text, text)

        expect('needs --data' in call(2), 'no word about --data')
        expect('fold' in call(2, '--data', 'set', '--fold', '-2'), 'no word about --fold')
        expect('there is no folder' in call(3, '--data', 'nothing'), 'no word about the folder')
    for f in failures:
        print(f)
    print(f'{len(failures)} failures')
    sys.exit(1 if failures else 0)


if __name__ == '__main__':
    main()
