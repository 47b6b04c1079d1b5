#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Training that is stopped in any way and goes on with --resume ends with the bits of training that was never
stopped: killed at random moments and while a checkpoint is written, SIGTERM, SIGINT, --stop-after.
    resume.py PROTOVOX PHANTOMS DEVICE [--small]"""
import csv
import json
import os
import random
import re
import shutil
import signal
import time

from e2e import (DEVICE, SMALL, Process, events, losses, main, metrics, phantoms, refuses, run, safetensors, same_runs,
                 same_tensors, steps, write)

N = 6 if SMALL else 24
METHODS = ['sup'] if SMALL else ['sup', 'mt']
SETTINGS = ['--preset', 'tiny', '--labeled', 2, '--iters', N, '--quiet', '--patch', '16x16x16' if SMALL else '32x32x16',
            '--set', 'net.filters=%d' % (2 if SMALL else 8), 'data.prep=none', f'train.reference_iters={N}']


def train(method, out, *more):
    return ['train', '--data', 'data', '--out', out, '--method', method] + SETTINGS + list(more)


def again(out, *more):
    return ['train', '--data', 'data', '--out', out, '--resume', '--quiet'] + list(more)


def every(n):
    return ['--set', f'checkpoint.every={n}', 'checkpoint.minutes=0']


def latest(out):
    return steps(out + '/latest.safetensors')


def being_written(out):
    return any('.tmp-' in n for n in os.listdir(out)) if os.path.isdir(out) else False


def caught(args, out, condition):
    """A run in which the condition has come true; one that ends before it was looked at is tried again."""
    for _ in range(5):
        if os.path.isdir(out):
            shutil.rmtree(out)
        p = Process(args)
        if p.until(condition):
            return p
        assert p.wait() == 0, p.text()
    raise AssertionError(f'{p} always ends too early')


def after(seconds):
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def times_are_of_the_device(folder):
    """Seconds of the steps, from end to end, are those of the run: none ends before the device has done it."""
    with open(folder + '/metrics.csv', newline='') as f:
        seconds = [float(r['seconds']) for r in csv.DictReader(f) if r['loss']]
    with open(folder + '/training.json') as f:
        whole = json.load(f)['seconds']
    assert len(seconds) == N and min(seconds) > 0 and abs(sum(seconds) - whole) <= 1e-3 * whole, (seconds, whole)


def never_stopped():
    phantoms('data', size='24x24x24' if SMALL else '40x40x24', train=4, test=1)
    for m in METHODS:
        text = run(*train(m, f'{m}-whole', *every(0)))
        assert f'{N} iterations done: {m}-whole/final.safetensors' in text, text
        times_are_of_the_device(f'{m}-whole')
        assert len(losses(f'{m}-whole')) == N and [s for s, _ in events(f'{m}-whole')] == list(range(1, N + 1))


def same_seed_same_bits():
    run(*train('sup', 'sup-twice', *every(0)))
    same_runs('sup-whole', 'sup-twice')
    run(*train('sup', 'sup-other', '--seed', 2, '--stop-after', 1))
    assert losses('sup-other')[0] != losses('sup-whole')[0]


def kill(method, seed, kills):
    """Kills a run `kills` times: at any moment from the start on, a little after a checkpoint, while one is written."""
    rng, out, halves, done = random.Random(seed), f'{method}-killed', 0, -1
    for k in range(kills):
        there = os.path.exists(out + '/config.json')
        p = Process(again(out) if there else train(method, out, *every(1)))
        if k % 4 == 0:
            p.until(after(rng.uniform(0, 1)))
        elif p.until(lambda: latest(out) > done):
            p.until(after(rng.uniform(0, 0.1)) if k % 4 == 1 else lambda: being_written(out))
        p.send(signal.SIGKILL)
        code = p.wait()
        if code == 0:
            break
        assert code == -signal.SIGKILL, f'{code}: {p.text()}'
        halves += being_written(out)
        now = latest(out)
        assert now >= done, f'the checkpoint of iteration {done} was lost'
        if now > done:
            safetensors(out + '/latest.safetensors')        # whole, whatever happened
        done = now
    assert halves > 0 or SMALL, 'no kill came while a checkpoint was written'
    if not os.path.exists(out + '/final.safetensors'):
        run(*again(out), says=['resumed', f'{done} iterations are done already'])
    same_runs(f'{method}-whole', out)
    print(f'        {method}: {k + 1} kills, {halves} of them while a checkpoint was written')


def killed_at_any_moment():
    for i, m in enumerate(METHODS):
        kill(m, 10 + i, 3 if SMALL else 8)


def one_writer_per_folder():
    out = 'sup-held'
    p = caught(train('sup', out, *every(1)), out, lambda: latest(out) > 0)
    p.send(signal.SIGSTOP)      # it holds the folder for as long as the test needs
    for args in (again(out), train('sup', out, '--overwrite', *every(1))):
        refuses(2, f'{out} is in use', 'name another --out', args=args)
    p.send(signal.SIGCONT)
    assert p.wait() == 0, p.text()
    same_runs('sup-whole', out)


def killed_before_the_first_checkpoint():
    """Nothing of the lost steps may be left in what was logged."""
    out = 'sup-lost'
    p = caught(train('sup', out, *every(N - 1)), out, lambda: os.path.isdir(out) and events_so_far(out) >= 2)
    p.send(signal.SIGKILL)
    p.wait()
    assert latest(out) == -1
    run(*again(out), says=['no checkpoint yet'])
    same_runs('sup-whole', out)


def events_so_far(out):
    """Records of the event file; the last may be incomplete."""
    n = 0
    for name in os.listdir(out):
        if name.startswith('events.'):
            with open(f'{out}/{name}', 'rb') as f:
                raw, at = f.read(), 0
            while at + 12 <= len(raw):
                at += 16 + int.from_bytes(raw[at:at + 8], 'little')
                n += at <= len(raw)
    return n


def logs_are_cut_to_the_checkpoint():
    """Killed some steps behind a checkpoint, and something half-written at the end of every log."""
    out = 'sup-logs'
    p = caught(train('sup', out, *every(4)), out, lambda: latest(out) >= 4 and events_so_far(out) % 4 >= 2)
    p.send(signal.SIGKILL)
    p.wait()
    done = latest(out)
    with open(out + '/metrics.csv', 'a') as f:
        f.write(f'{done + 1},0.1,0.1\n{done + 2},0.')
    name = next(n for n in os.listdir(out) if n.startswith('events.'))
    with open(f'{out}/{name}', 'ab') as f:
        f.write(b'\x20\0\0\0\0\0\0\0\x12')
    run(*again(out))
    same_runs('sup-whole', out)
    with open(out + '/log.txt') as f:
        log = f.read()
    assert f'{done} iterations are done already' in log and 'error: error:' not in log, log


def signals():
    for sig, method in ((signal.SIGTERM, METHODS[-1]), (signal.SIGINT, 'sup')):
        out = f'{method}-{sig.name}'
        p = caught(train(method, out, *every(2)), out, lambda: latest(out) > 0)
        p.send(sig)
        code, text = p.wait(), p.text()
        done = latest(out)
        assert code == 130, f'{code}\n{text}'
        assert f'stopped after iteration {done}; go on with: protovox train --resume' in text, text
        assert text.count('stopping after the iterations that the device has begun') == 1, text
        assert len(losses(out)) == done and 'error' not in text
        run(*again(out))
        same_runs(f'{method}-whole', out)


def long_runs_say_how_long():
    """Once the pace is known; a signal then stops it soon."""
    many = 10 ** 6
    loud = [a for a in train('sup', 'long', *every(0)) if a != '--quiet'] + ['--iters', many]
    p = Process(loud)
    assert p.until(lambda: f' for {many} iterations at ' in p.text()), p.text()
    p.send(signal.SIGINT)
    assert p.wait() == 130, p.text()
    found = re.search(r'about (?:(\d+) h )?(\d+) min for \d+ iterations at ([\d.]+) s each; fewer with --iters',
                      p.text())
    hours, minutes, each = found.groups()
    told = int(hours or 0) * 3600 + int(minutes) * 60
    assert abs(told - many * float(each)) <= 0.06 * told + 60, found.group()
    assert len(losses('long')) == latest('long')
    assert ' for ' not in run(*train('sup', 'short', *every(0)))


def signals_at_the_start():
    """Before there is anything to lose: no checkpoint or a good one, no hang, and the same command works again."""
    for i, wait in enumerate((0.03, 0.1, 0.3)):
        p = Process(train('sup', f'sup-early{i}', *every(0)))
        p.until(after(wait))
        p.send(signal.SIGTERM)
        code = p.wait()
        assert code in (130, -signal.SIGTERM), f'{code}: {p.text()}'
    out = 'sup-early2'
    run(*again(out) if os.path.exists(out + '/config.json') else train('sup', out, *every(0)))
    same_runs('sup-whole', out)


def iterations_row(out):
    run('report', '--run', out)
    with open(out + '/report.html', encoding='utf-8') as f:
        return re.search('<dt>Iterations</dt><dd>([^<]*)<', f.read()).group(1)


def more_logged_than_saved(out):
    """What a run leaves that is killed some steps behind its checkpoint: curves go further than the weights."""
    copy = out + '-ahead'
    shutil.copytree(out, copy)
    assert iterations_row(copy) == f'2 of {N}'
    with open(copy + '/metrics.csv') as f:
        last = f.read().rstrip().split('\n')[-1]
    assert last.startswith('2,'), last
    with open(copy + '/metrics.csv', 'a') as f:
        f.write(''.join(f'{i}{last[1:]}\n' for i in (3, 4)))
    assert iterations_row(copy).startswith(f'2 of {N} saved, 4 logged'), iterations_row(copy)
    os.remove(copy + '/latest.safetensors')
    assert iterations_row(copy).startswith(f'0 of {N} saved, 4 logged'), iterations_row(copy)


def stop_after():
    for method in METHODS:
        out = f'{method}-parts'
        run(*train(method, out, *every(0), '--stop-after', 2), says=['stopped after iteration 2'])
        assert latest(out) == 2 and len(metrics(out)) == 2
        more_logged_than_saved(out)
        run(*again(out, '--stop-after', 2), says=['stopped after iteration 2'])
        assert latest(out) == 2
        run(*again(out, '--stop-after', 5))
        assert latest(out) == 5
        run(*again(out))
        same_runs(f'{method}-whole', out)
        run(*again(out))                    # nothing is left to do
        same_runs(f'{method}-whole', out)


def checkpoints_by_time():
    out = 'sup-minutes'
    p = caught(train('sup', out, '--set', 'checkpoint.every=0', 'checkpoint.minutes=0.0005'), out,
               lambda: latest(out) > 1)
    p.send(signal.SIGKILL)
    p.wait()
    run(*again(out))
    same_runs('sup-whole', out)


def once(rows):
    return [r for i, r in enumerate(rows) if i == 0 or r != rows[i - 1]]


def validation():
    """Signals come in the middle of validations: when the volume has been read, as debug lines tell."""
    write('data/train.list', 'phantom_000\nphantom_001\nphantom_002\n')
    write('data/val.list', 'phantom_003\n')
    settings = ['--set', 'eval.every=2', 'eval.stride=[4,4,4]', 'eval.batch=1', *every(3)[1:], '--stop-after', 6]
    run(*train('sup', 'val-whole', *settings), says=['iteration 2: validation Dice'])
    out, pending = 'val-stopped', 0
    os.environ['PV_DEBUG'] = 'data'
    for k in range(4):
        p = Process(train('sup', out, *settings) if k == 0 else again(out, '--stop-after', 6))
        p.until(lambda: p.text().count('labelsTr/phantom_003') > k // 2)
        p.send(signal.SIGTERM if k % 2 == 0 else signal.SIGKILL)
        code = p.wait()
        if code == 0:
            break
        assert code == (130 if k % 2 == 0 else -9), p.text()
        if code == 130:
            assert 'stopped after iteration' in p.text(), p.text()
            pending += safetensors(out + '/latest.safetensors')[0]['pending'] == '1'
    del os.environ['PV_DEBUG']
    assert pending > 0, 'no signal came during a validation'
    run(*again(out, '--stop-after', 6))
    # a kill between a validation that was made up for and the checkpoint behind it leaves its row twice
    assert metrics('val-whole') == once(metrics(out)) and events('val-whole') == once(events(out))
    same_tensors('val-whole/latest.safetensors', out + '/latest.safetensors')
    same_tensors('val-whole/best.safetensors', out + '/best.safetensors')


def other_settings_are_refused():
    run(*again('sup-whole', '--iters', N, '--set', 'net.filters=8'))
    refuses(2, 'train.iters is 24', 'sup-whole/config.json', args=again('sup-whole', '--iters', 50))
    refuses(2, 'net.filters is 8', args=again('sup-whole', '--set', 'net.filters=4'))
    refuses(2, 'method is "sup"', args=again('sup-whole', '--method', 'mt'))
    refuses(2, '--resume', '--overwrite', args=train('sup', 'sup-whole'))
    same_runs('sup-whole', 'sup-twice')
    run(*train('sup', 'sup-twice', '--overwrite', *every(0), '--stop-after', 3))
    assert len(metrics('sup-twice')) == 3 and not os.path.exists('sup-twice/final.safetensors')
    assert [s for s, _ in events('sup-twice')] == [1, 2, 3]


def logged(out):
    with open(out + '/log.txt') as f:
        return f.read()


def typed(out):
    with open(out + '/config.json') as f:
        return json.load(f)['command']


def log_holds_every_line():
    """From the start of the command, over all its parts; a checkpoint of another version is said to be one."""
    out = 'logged'
    start = train('mt', out, 'data.labeled=4', *every(0))
    run(*start, '--stop-after', 1)
    first, command = logged(out), typed(out)
    assert command.endswith('--stop-after 1 --device ' + DEVICE) and '--resume' not in command, command
    assert first.index('warning: every training case is labelled') < first.index('mt on') < first.index('stopped after')
    run(*again(out, '--stop-after', 2))
    second = logged(out)
    assert typed(out) == command            # the one that made the run, not the last
    assert second.startswith(first) and '1 iterations are done already' in second[len(first):], second
    os.remove(out + '/latest.safetensors')
    run(*again(out, '--stop-after', 1))
    third = logged(out)
    assert third.startswith(second) and 'no checkpoint yet' in third[len(second):], third
    path, version = out + '/latest.safetensors', safetensors(out + '/latest.safetensors')[0]['version']
    older = '9' + version[1:]
    with open(path, 'rb') as f:
        raw = f.read()
    with open(path, 'wb') as f:
        f.write(raw.replace(f'"version":"{version}"'.encode(), f'"version":"{older}"'.encode()))
    warning = f'warning: the checkpoint was written by protovox {older}, this is {version}'
    run(*again(out, '--stop-after', 2), says=[warning])
    assert warning in logged(out)[len(third):]
    assert 'was written by' not in run(*again(out, '--stop-after', 3))      # the newest one is ours again
    run(*start, '--overwrite', '--stop-after', 1)
    assert '--overwrite' in typed(out)
    assert logged(out).count('every training case') == logged(out).count('mt on') == 1


TESTS = [never_stopped, one_writer_per_folder, killed_at_any_moment, signals]
if not SMALL:
    TESTS += [same_seed_same_bits, long_runs_say_how_long, signals_at_the_start,
              killed_before_the_first_checkpoint,
              logs_are_cut_to_the_checkpoint, stop_after, checkpoints_by_time, other_settings_are_refused,
              log_holds_every_line, validation]
main(TESTS)
