#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""protovox demo and report as a user runs them: demo.py PROTOVOX HTML_CHECK DEVICE

A short demonstration, its page and its folders; interruption; pages of one run and of two; damaged folders; the line of
progress on a terminal and in a file."""
import csv
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

PROGRAM, CHECK, DEVICE = [os.path.abspath(p) for p in sys.argv[1:3]] + sys.argv[3:4]
LIMIT = 240

spec = importlib.util.spec_from_file_location('html_check', CHECK)
html_check = importlib.util.module_from_spec(spec)
spec.loader.exec_module(html_check)


def run(*args, code=0, says=()):
    done = subprocess.run([PROGRAM, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=LIMIT)
    where = f'protovox {" ".join(args)}:\n{done.stdout}\n{done.stderr}'
    assert done.returncode == code, f'{done.returncode}, not {code}: {where}'
    errors = [line for line in done.stderr.split('\n') if line.startswith('error: ')]
    assert len(errors) == (1 if code else 0), where
    for s in says:
        assert s in ('\n'.join(errors) if code else done.stdout + done.stderr), f'does not say {s!r}: {where}'
    return done


def page(path, pictures, headings):
    """A page that html_check finds nothing wrong with, with those headings in that order."""
    with open(path, encoding='utf-8', newline='') as f:
        text = f.read()
    p = html_check.check(text)
    assert not p.errors, f'{path}: {p.errors}'
    assert p.pictures == pictures, f'{path}: {p.pictures} pictures, not {pictures}'
    found = re.findall(r'<h2>([^<]*)</h2>', text)
    assert found == headings, f'{path}: {found}'
    return text


def png_size(path):
    with open(path, 'rb') as f:
        data = f.read()
    assert html_check.png_problem(data) is None, path
    return int.from_bytes(data[16:20], 'big'), int.from_bytes(data[20:24], 'big')


def copy(name, source='demo/sup', without=()):
    """A run without its weights."""
    shutil.copytree(source, name, ignore=shutil.ignore_patterns('final.safetensors', *without))
    return name


def damage(path, edit):
    with open(path, 'rb') as f:
        data = f.read()
    with open(path, 'wb') as f:
        f.write(edit(data))


PER_CASE = 6        # pictures: image, reference, prediction of the planes and of the slices
ONE = ['Results', 'Curves', 'Cases in pictures', 'Intervals', 'Reproduction', 'Model card']
TWO = ['Comparison', 'Curves', 'Cases in pictures', 'Run sup', 'Run mt', 'Model card']


def demonstration():
    done = run('demo', '--quick', '--json', '--out', 'demo', '--device', DEVICE)
    result = json.loads(done.stdout)
    text = page(result['report'], 2 * 3 * PER_CASE, TWO)
    assert '<h1>protovox demo</h1>' in text and 'A quick run' in text
    for method in ('sup', 'mt'):
        folder = f'demo/{method}'
        with open(f'{folder}/evaluation_test.json') as f:
            evaluation = json.load(f)
        cases = [c['metrics']['1']['Dice'] for c in evaluation['metric_per_case']]
        assert len(cases) == 3 and all(0 <= d <= 1 for d in cases)
        mean = sum(cases) / 3
        assert abs(result[method]['dice'] - mean) < 1e-9
        assert f'<b>{100 * mean:.2f} % <small>' in text and f'Dice of {method}, mean of 3' in text
        for c, dice in zip(evaluation['metric_per_case'], cases):
            assert f'<h3>{c["case"]}<small>by {method}: Dice {100 * dice:.2f} %</small></h3>' in text
        names = set(os.listdir(folder))
        assert {'config.json', 'log.txt', 'metrics.csv', 'final.safetensors', 'evaluation_test.csv',
                'pictures_test.safetensors'} <= names and 'latest.safetensors' not in names, names
        assert sum(n.startswith('events.out.tfevents.') for n in names) == 1
        width, height = png_size(f'{folder}/progress.png')
        assert width == 1200 and height > 600
        own = page(f'{folder}/report.html', 3 * PER_CASE, ONE)
        assert f'<h1>{method} on phantoms</h1>' in own and '>6 of 6</dd>' in own
        assert f'3 test cases of phantoms, predicted with final.safetensors after 6 iterations' in own
        with open(f'{folder}/metrics.csv') as f:
            assert len(f.readlines()) == 7
    # training is the same as that of protovox train
    with open('demo/mt/config.json') as f:
        config = json.load(f)
    command = config['command'].split()
    assert command[:2] == ['protovox', 'train']
    command[command.index('--out') + 1] = 'again'
    run(*command[1:], '--device', DEVICE)
    for name in ('metrics.csv',):
        rows = [[row.rsplit(',', 1)[0] for row in open(f'{d}/{name}')] for d in ('demo/mt', 'again')]
        assert rows[0] == rows[1], 'protovox train with the command of the page trains something else'


def other_folders_stay():
    os.mkdir('mine')
    with open('mine/notes.txt', 'w') as f:
        f.write('x')
    run('demo', '--quick', '--out', 'mine', '--device', DEVICE, code=2, says=['mine', '--out'])
    run('demo', '--quick', '--out', 'mine/notes.txt', '--device', DEVICE, code=2, says=['is a file'])
    run('demo', '--seed', '-1', code=2, says=['--seed'])
    with open('demo/mt/final.safetensors', 'rb') as f:      # a result is not replaced by a quick one
        weights = f.read()
    run('demo', '--quick', '--out', 'demo', '--device', DEVICE, code=2, says=['demo', '--overwrite', '--out'])
    with open('demo/mt/final.safetensors', 'rb') as f:
        assert f.read() == weights
    assert os.listdir('mine') == ['notes.txt']


def keep():
    copy('kept')


def interrupted(pause):
    """Code and text of a demo that gets SIGINT `pause` seconds after its new run began."""
    p = subprocess.Popen([PROGRAM, 'demo', '--out', 'demo', '--overwrite', '--device', DEVICE], text=True,
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        end = time.monotonic() + LIMIT      # the run that was there is gone once the new one begins
        while p.poll() is None and (os.path.exists('demo/sup/final.safetensors')
                                    or not os.path.exists('demo/sup/metrics.csv')):
            assert time.monotonic() < end, 'the demo does not train'
            time.sleep(0.02)
        time.sleep(pause)
        p.send_signal(signal.SIGINT)
        text = p.communicate(timeout=LIMIT)[0]
    finally:
        p.kill()
    assert p.returncode == 130, f'{p.returncode}: {text}'
    return text


def interruption():
    text, tries = interrupted(0), 1
    while ('while volumes were loaded' in text or 'iteration 0;' in text) and tries < 6:    # too early: no step yet
        text = interrupted(0.3 * tries)
        tries += 1
    assert 'stopped after iteration' in text and 'demo was interrupted' in text, text
    names = os.listdir('demo/sup')
    assert 'latest.safetensors' in names and 'final.safetensors' not in names
    for n in ('evaluation_test.json', 'evaluation_test.csv', 'pictures_test.safetensors'):
        assert n not in names, f'{n} of the run before is still there'
    page('demo/sup/report.html', 0, ['Curves', 'Reproduction', 'Model card'])
    # a page of it can be made at any time
    os.remove('demo/sup/report.html')
    os.remove('demo/sup/progress.png')
    run('report', '--run', 'demo/sup', says=['demo/sup/report.html'])
    page('demo/sup/report.html', 0, ['Curves', 'Reproduction', 'Model card'])
    png_size('demo/sup/progress.png')


def pages_of_runs():
    run('report', '--run', 'demo/mt', 'kept', '--out', 'two.html', '--title', 'A & B', says=['two.html'])
    text = page('two.html', 2 * 3 * PER_CASE, TWO[:3] + ['Run mt', 'Run kept', 'Model card'])
    assert '<h1>A &amp; B</h1>' in text and 'kept against mt' in text
    hidden = page_text('report', '--run', 'demo/mt', 'kept', '--out', 'hidden.html', '--anonymous')
    found = re.search(r'phantom_\d|demo/|kept', hidden)
    assert not found, hidden[found.start() - 80:][:200]
    assert 'case-001' in hidden and 'by A: Dice' in hidden
    assert 'B against A' in hidden
    page('hidden.html', 2 * 3 * PER_CASE, TWO[:3] + ['Run A', 'Run B', 'Model card'])
    names_stay_hidden()
    page_text('report', '--run', 'demo/mt', '--out', 'plain.html', '--no-images')
    page('plain.html', 0, ONE)
    # a run that was never evaluated has no results but is listed
    copy('curves', 'kept', ['evaluation*', 'pictures*'])
    text = page_text('report', '--run', 'kept', 'curves', '--out', 'half.html')
    assert '<td>not evaluated</td>' in text


def names_stay_hidden():
    """Names of the run and of its data, in the page of one run, wherever they may come from."""
    shutil.copytree('demo/mt', 'SMITH')
    with open('SMITH/config.json') as f:
        config = json.load(f)
    config['dataset']['name'] = 'JONES'
    config['command'] = ('protovox train --data /x/JONES --out=SMITH --lists x/Dr MILLER --preset my/BROWN.json --init '
                         'WHITE --iters 6 --config GREEN.json')
    config['init'], config['preset'] = '/x/WHITE', 'my/BROWN.json'
    with open('SMITH/config.json', 'w') as f:
        json.dump(config, f)
    hidden = page_text('report', '--run', 'SMITH', '--out', 'one.html', '--anonymous')
    hidden = hidden.split('</style>')[1]
    found = re.search(r'smith|jones|miller|brown|white|green|phantom_\d', hidden, re.I)
    assert not found, hidden[found.start() - 80:][:200]
    assert hidden.count('--data DATA --out=RUN --lists LISTS --preset F.json --init F.safetensors --iters 6 --config '
                        'F.json') == 2, hidden
    assert '<h1>mt: run A</h1>' in hidden and '3 test cases, predicted with' in hidden
    plain = page_text('report', '--run', 'SMITH', '--out', 'one.html')
    assert 'Run SMITH' in plain and '<h1>mt on JONES</h1>' in plain


def page_text(*args):
    run(*args)
    with open(args[args.index('--out') + 1], encoding='utf-8') as f:
        return f.read()


def bad_input():
    run('report', code=2, says=['--run'])
    run('report', '--run', 'kept', 'demo/mt', code=2, says=['--out'])
    run('report', '--run', *['kept'] * 9, '--out', 'x.html', code=2, says=['8 runs'])
    run('report', '--run', 'kept', 'demo/mt', './kept/', '--out', 'x.html', code=2, says=['./kept/ is given twice'])
    run('report', '--run', 'nowhere', code=3, says=['nowhere', 'config.json'])
    run('report', '--run', 'kept', '--out', 'nowhere/x.html', code=3, says=['nowhere/x.html'])

    def refused(name, file, edit, *says):
        copy(name, 'kept')
        os.remove(f'{name}/report.html')
        damage(f'{name}/{file}', edit)
        run('report', '--run', name, code=3, says=[f'{name}/{file}', *says])
        assert not os.path.exists(f'{name}/report.html')

    copy('none', 'kept', ['metrics.csv'])
    run('report', '--run', 'none', code=3, says=['none has no metrics.csv', 'protovox train'])
    refused('bare', 'metrics.csv', lambda d: d.split(b'\n')[0] + b'\n', 'no complete row')
    refused('words', 'metrics.csv', lambda d: d.replace(b'\n3,', b'\n3,many,'), 'words/metrics.csv:4')
    refused('noise', 'metrics.csv', lambda d: b'\0\xff' + d, 'metrics.csv:1')
    refused('config', 'config.json', lambda d: d[:-9])
    refused('json', 'evaluation_test.json', lambda d: d[:500])
    refused('other', 'evaluation_test.json', lambda d: b'{}', 'evaluate')
    refused('cut', 'pictures_test.safetensors', lambda d: d[:-100])
    refused('swapped', 'pictures_test.safetensors', lambda d: d.replace(b'\x89PNG', b'GIF8', 1))
    # what a crash leaves of the last line is no reason to refuse
    copy('crash', 'kept')
    damage('crash/metrics.csv', lambda d: d[:-7])
    run('report', '--run', 'crash')


def on_a_terminal(columns):
    """What training writes to a terminal of that width, without the escape that clears a line."""
    import fcntl
    import pty
    import struct
    import termios
    try:
        main, sub = pty.openpty()
    except OSError as e:
        print('line of progress not tried, there are no terminals here:', e)
        return None
    fcntl.ioctl(sub, termios.TIOCSWINSZ, struct.pack('HHHH', 24, columns, 0, 0))
    p = subprocess.Popen([PROGRAM, 'train', '--data', 'demo/data', '--preset', 'demo', '--iters', '14',
                          '--out', 'tty', '--overwrite', '--device', DEVICE], stdin=sub, stdout=sub, stderr=sub)
    os.close(sub)
    data = b''
    try:
        while True:
            data += os.read(main, 4096)
    except OSError:         # the other side is closed
        pass
    os.close(main)
    assert p.wait(timeout=LIMIT) == 0, data
    return data.decode().replace('\x1b[K', '')


def line_of_progress():
    for columns in (80, 50):
        seen = on_a_terminal(columns)
        if seen is None:
            break
        lines = [s for s in re.split(r'[\r\n]+', seen) if re.match(r'(\[[#.]+\] )?\d+/14 ', s)]
        assert lines, 'no progress on a terminal'
        with open('tty/metrics.csv', newline='') as f:      # a line tells of an iteration that has ended
            loss = {r['iter']: float(r['loss']) for r in csv.DictReader(f)}
        for s in lines:
            k, at, rest = re.search(r'(\d+)/14(?:  ([\d.]+) s/it)?(.*)', s).groups()
            assert int(k) >= 1 and (at is None or (int(k) > 2 and float(at) > 0)), s
            shown = re.search(r'loss (\d+\.\d{4})', rest)
            assert not shown or abs(float(shown.group(1)) - loss[k]) < 6e-5, (s, loss)
        assert max(len(s) for s in lines) < columns, lines
        assert lines[0].startswith('[') == (columns == 80), lines
        assert re.search(r'14/14  \d+\.\d+ s/it  loss \d\.\d{4}', lines[-1]), lines[-1]
        assert not lines[-1].endswith(' ') and re.search(r'(\.\d{4}|s/it|left)$', lines[-1]), lines[-1]
    done = run('train', '--data', 'demo/data', '--preset', 'demo', '--method', 'sup', '--iters', '12', '--out', 'file',
               '--device', DEVICE)
    assert '\r' not in done.stderr and '\x1b' not in done.stderr
    lines = [s for s in done.stderr.split('\n') if re.match(r'\d+/12\b', s)]
    assert 1 <= len(lines) < 12 and lines[-1].startswith('12/12  '), done.stderr
    quiet = run('train', '--data', 'demo/data', '--preset', 'demo', '--iters', '2', '--out', 'quiet', '--quiet',
                '--device', DEVICE)
    assert not re.search(r'^\d+/2\b', quiet.stderr, re.M), quiet.stderr


def main():
    here = os.getcwd()
    with tempfile.TemporaryDirectory(prefix='pv-e2e-') as tmp:
        os.chdir(tmp)
        try:
            for test in (demonstration, other_folders_stay, keep, interruption, pages_of_runs, bad_input,
                         line_of_progress):
                start = time.monotonic()
                test()
                print(f'{time.monotonic() - start:6.1f} s  {test.__name__.replace("_", " ")}', flush=True)
        finally:
            os.chdir(here)


if __name__ == '__main__':
    main()
