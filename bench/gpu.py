#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Everything on a machine with a GPU, in one command: what there is, selftest on every API, ops and steps of ours and
of every rival found there, comparisons, a short training. Writes one folder.

    python3 bench/gpu.py --build build --out bench/results/NAME [--data DIR] [--python venv/bin/python] [--quick]

Devices are all GPUs that protovox lists (--device names others, and may be repeated). Rivals: PyTorch of every Python
given (default: python3), on CUDA in fp32, TF32 and half or AMP with channels last, else on the processor with --cpu;
and bench/cuda if it was built. A part that fails is recorded and the others go on. In the folder:

    summary.md         device, driver, date, every command with its exit code, the tables
    environment.json   the same for programs; commands.sh: to do it again
    results/*.json     what each command measured (docs/bench.md); logs/*.log: what it printed
    ops.*, step-*.*    comparisons: table (.md), chart (.svg), numbers (.json)
    training/          the run folder: curves, checkpoints, scores

--quick takes a small patch, few shapes and repetitions: to see that all of it works, not for figures. --only WORD runs
the parts whose name contains it."""
import argparse
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
QUICK_SHAPES = """conv 16 16 3 1 16x16x16
conv 16 32 2 2 16x16x16
up 32 16 2 2 8x8x8
stem 1 16 3 1 16x16x16
head 16 2 1 1 16x16x16
batch_norm 16 16x16x16
softmax 2 16x16x16
entropy 2 16x16x16
cosine 16 16x16x16
cross_entropy 2 16x16x16
dice 2 16x16x16
sgd 1 1x1x4096
"""
PROBE = ('import json, torch; c = torch.cuda.is_available(); '
         'print(json.dumps({"torch": torch.__version__, "cuda": torch.version.cuda, "gpu": c, '
         '"name": torch.cuda.get_device_name() if c else "cpu"}))')


class Session:
    def __init__(self, a):
        self.a, self.parts = a, []
        self.program = a.program or os.path.join(a.build, 'src', 'cli', 'protovox')
        self.cuda = os.path.join(a.build, 'bench', 'cuda', 'bench_cuda')
        for d in ('results', 'logs'):
            os.makedirs(self.path(d), exist_ok=True)
        self.started = time.monotonic()
        self.environment = {'date': time.strftime('%Y-%m-%d %H:%M:%S'), 'system': platform.platform(),
                            'processors': os.cpu_count(), 'quick': a.quick, 'command': shlex.join(sys.argv)}

    def path(self, *parts):
        return os.path.join(self.a.out, *parts)

    def result(self, name):
        return self.path('results', name + '.json')

    def run(self, name, *command, limit=None):
        """Runs one command into a log; returns its text, or None if it failed or was left out."""
        if self.a.only and self.a.only not in name:
            return None
        command = [str(c) for c in command]
        print(f'[{time.monotonic() - self.started:6.0f} s] {name}', flush=True)
        t0 = time.monotonic()
        try:
            p = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               timeout=limit or self.a.limit)
            code, text = p.returncode, p.stdout.decode('utf-8', 'replace')
        except subprocess.TimeoutExpired as e:
            code, text = 'timeout', (e.stdout or b'').decode('utf-8', 'replace')
        except OSError as e:
            code, text = 'missing', str(e)
        with open(self.path('logs', name + '.log'), 'w') as f:
            f.write('$ ' + shlex.join(command) + '\n' + text)
        self.parts.append({'name': name, 'command': shlex.join(command), 'code': code,
                           'seconds': round(time.monotonic() - t0, 1)})
        if code != 0:
            print('    failed:', code, '|', (text.strip().split('\n') or [''])[-1][:160], flush=True)
        self.write()
        return text if code == 0 else None

    # ---- what there is ----

    def look(self):
        env = self.environment
        for name, command in (('nvidia-smi', ['nvidia-smi']), ('rocm-smi', ['rocm-smi']), ('clinfo', ['clinfo', '-l']),
                              ('vulkaninfo', ['vulkaninfo', '--summary']), ('lscpu', ['lscpu'])):
            if shutil.which(command[0]):
                self.run('look-' + name, *command, limit=60)
        p = subprocess.run(['git', '-C', HERE, 'rev-parse', 'HEAD'], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        env['commit'] = p.stdout.decode().strip() or None
        p = subprocess.run([self.program, 'devices', '--json'], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        env['devices'] = json.loads(p.stdout) if p.stdout else []
        ids = [d['id'] for d in env['devices']]
        for d in self.a.device:
            if d not in ids:
                sys.exit(f'error: there is no device {d}; known are {", ".join(ids) or "none"}')
        self.devices = self.a.device or [d['id'] for d in env['devices'] if d['type'] == 'GPU']
        env['used'] = self.devices
        if not self.devices:
            sys.exit('error: protovox lists no GPU here (protovox devices); --device names another device')
        self.pythons = []
        for python in self.a.python or ['python3']:
            p = subprocess.run([python, '-c', PROBE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) \
                if shutil.which(python) else None
            if p and p.returncode == 0:
                about = json.loads(p.stdout)
                if about['gpu'] or self.a.cpu:
                    self.pythons.append((python, about))
        env['pytorch'] = [about for _, about in self.pythons]
        env['bench_cuda'] = os.path.exists(self.cuda)
        self.write()

    # ---- ours ----

    def selftests(self):
        for d in self.devices:
            for cls in (['simt', 'fat'] if d.startswith('opencl') and self.a.both_classes else [None]):
                name = f'selftest-{d.replace(":", "")}' + (f'-{cls}' if cls else '')
                self.run(name, self.program, 'selftest', '--device', d, '--cases', self.a.cases,
                         *(['--small'] if self.a.quick else []), *(['--class', cls] if cls else []))

    def rivals(self):
        """(name, options of peers/ops.py, options of torch_worker.py) of one PyTorch."""
        for i, (python, about) in enumerate(self.pythons):
            tag = f'torch{about["torch"].split("+")[0]}' + (f'-{i}' if i else '')
            if not about['gpu']:
                yield python, tag + '-cpu', ['--device', 'cpu'], ['--device', 'cpu']
                continue
            cuda = ['--device', 'cuda']
            yield python, tag + '-fp32', cuda, cuda
            yield python, tag + '-tf32', cuda + ['--tf32'], cuda + ['--tf32']
            yield (python, tag + '-half', cuda + ['--half', '--tf32', '--channels-last'],
                   cuda + ['--amp', '--tf32', '--channels-last'])

    def compare(self, name, results, common):
        """`common`: what the names of all results begin with."""
        results = [r for r in results if os.path.exists(self.result(r))]
        if results:
            files = [f'{r[len(common):]}={self.result(r)}' for r in results]
            self.run('compare-' + name, self.program, 'bench', 'compare', *files, '--svg',
                     self.path(name + '.svg'), '--markdown', self.path(name + '.md'), '--out',
                     self.path(name + '.json'))

    def ops(self, shapes, label):
        done = []
        reps = ['--reps', 3 if self.a.quick else 20]
        for d in self.devices:
            done.append(f'{label}-{d.replace(":", "")}')
            self.run(done[-1], self.program, 'bench', 'ops', '--device', d, '--shapes', shapes, *reps, '--out',
                     self.result(done[-1]))
        if os.path.exists(self.cuda):
            for p in ('fp32', 'tf32', 'half'):
                done.append(f'{label}-cuda-{p}')
                self.run(done[-1], self.cuda, 'ops', '--precision', p, '--shapes', shapes, *reps, '--out',
                         self.result(done[-1]))
        for python, tag, options, _ in self.rivals():
            done.append(f'{label}-{tag}')
            self.run(done[-1], python, os.path.join(HERE, 'peers', 'ops.py'), '--shapes', shapes, *reps, *options,
                     '--name', tag, '--out', self.result(done[-1]))
        self.compare(label, done, label + '-')

    def steps(self, batch):
        a, done = self.a, []
        size = ['--patch', a.patch, '--batch', batch]
        for d in self.devices:
            where = d.replace(':', '')
            for method, tune in [('sup', 'off'), ('sup', 'on')] + ([('mt', 'on')] if batch == 1 else []):
                name = f'step-b{batch}-{where}' + ('' if method == 'sup' else '-' + method) + \
                       ('-tuned' if tune == 'on' else '')
                if method == 'sup':
                    done.append(name)
                self.run(name, self.program, 'bench', 'step', '--device', d, *size, '--method', method, '--tune', tune,
                         '--set', f'net.filters={a.filters}', '--reps', 2 if a.quick else 10, '--out',
                         self.result(name))
        if os.path.exists(self.cuda):
            for p in ('fp32', 'tf32', 'half'):
                done.append(f'step-b{batch}-cuda-{p}')
                self.run(done[-1], self.cuda, 'step', '--precision', p, *size, '--filters', a.filters, '--reps',
                         2 if a.quick else 10, '--out', self.result(done[-1]))
        torch = [f'{tag}={",".join([python] + options)}' for python, tag, _, options in self.rivals()]
        if torch:                       # alternating with the first of our devices
            done.append(f'step-b{batch}-peers')
            self.run(done[-1], sys.executable, os.path.join(HERE, 'peers', 'step.py'), '--protovox', self.program,
                     '--device', self.devices[0], *size, '--filters', a.filters, '--rounds', 1 if a.quick else 5,
                     *[w for t in torch for w in ('--torch', t)], '--out', self.result(done[-1]))
        self.compare(f'step-b{batch}', done, f'step-b{batch}-')

    def io(self):
        self.run('io', self.program, 'bench', 'io', '--work', self.a.out, '--patch', self.a.patch, '--size',
                 '40x36x24' if self.a.quick else '176x144x88', *(['--data', self.a.data] if self.a.data else []),
                 '--reps', 3 if self.a.quick else 20, '--out', self.result('io'))

    def training(self):
        d = self.devices[0]
        if not self.a.data:             # on phantoms: that it learns, not how fast
            self.run('training', self.program, 'demo', '--out', self.path('training'), '--device', d,
                     *(['--quick'] if self.a.quick else []), limit=self.a.train_limit)
            return
        runs = []
        for method in self.a.methods.split(','):
            run = self.path('training', method)
            small = ['--patch', self.a.patch, '--set', f'net.filters={self.a.filters}'] if self.a.quick else []
            self.run('training-' + method, self.program, 'train', '--data', self.a.data, '--out', run, '--device', d,
                     '--preset', self.a.preset, '--labeled', self.a.labeled, '--iters', self.a.iters,
                     '--method', method, '--overwrite', *small, limit=self.a.train_limit)
            if self.run('evaluation-' + method, self.program, 'evaluate', '--run', run, '--data', self.a.data,
                        '--device', d, limit=self.a.train_limit):
                runs.append(run)
            self.run('report-' + method, self.program, 'report', '--run', run)
        if len(runs) > 1:
            self.run('evaluation-compare', self.program, 'evaluate', '--compare', *runs)

    # ---- what is kept ----

    def write(self):
        with open(self.path('environment.json'), 'w') as f:
            json.dump(dict(self.environment, parts=self.parts), f, indent=1)
            f.write('\n')
        with open(self.path('commands.sh'), 'w') as f:
            f.write('#!/bin/sh\n' + ''.join(p['command'] + '\n' for p in self.parts))
        env = self.environment
        lines = ['# Measured with bench/gpu.py', '', f"{env['date']}, {env['system']}, {env['processors']} processors, "
                 f"commit {env.get('commit')}.", '']
        if env['quick']:
            lines += ['**--quick: small settings that show that everything runs. No figures.**', '']
        lines += [f"- {d['id']}{' (used)' if d['id'] in env.get('used', []) else ''}: {d['name']}, {d['api']}, driver "
                  f"{d['driver']}" for d in env.get('devices', [])]
        lines += [f"- PyTorch {t['torch']}, CUDA {t['cuda']}, {t['name']}" for t in env.get('pytorch', [])]
        lines += [f"- bench/cuda {'was built' if env.get('bench_cuda') else 'was not built'}", '',
                  '| part | exit code | seconds |', '|---|---|---|']
        lines += [f"| [{p['name']}](logs/{p['name']}.log) | {p['code']} | {p['seconds']} |" for p in self.parts]
        for name in ('ops', 'ops-peers', 'ops-peers-large', 'step-b1', 'step-b4'):
            if os.path.exists(self.path(name + '.md')):
                with open(self.path(name + '.md')) as f:
                    lines += ['', f'## {name}', '', f.read().strip(), '', f'![chart of {name}]({name}.svg)']
        with open(self.path('summary.md'), 'w') as f:
            f.write('\n'.join(lines) + '\n')


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--build', default='build', help='build folder')
    p.add_argument('--program', help='protovox, if not that of the build folder')
    p.add_argument('--out', required=True)
    p.add_argument('--device', action='append', default=[], metavar='ID', help='opencl:0 and so on; default: all GPUs')
    p.add_argument('--python', action='append', default=[], help='a Python with PyTorch; may be repeated')
    p.add_argument('--cpu', action='store_true', help='PyTorch without a GPU counts as a rival')
    p.add_argument('--data', help='data set for the training (default: the demo on phantoms)')
    p.add_argument('--methods', default='sup,mt')
    p.add_argument('--preset', default='la')
    p.add_argument('--labeled', type=int, default=8)
    p.add_argument('--iters', type=int, default=1000)
    p.add_argument('--patch', default='112x112x80')
    p.add_argument('--filters', type=int, default=16)
    p.add_argument('--cases', type=int, default=8, help='of the selftest, per op')
    p.add_argument('--both-classes', action='store_true', help='selftest of both classes of OpenCL kernels')
    p.add_argument('--limit', type=int, default=3600, help='seconds that one part may take')
    p.add_argument('--train-limit', type=int, default=24 * 3600)
    p.add_argument('--quick', action='store_true')
    p.add_argument('--only', metavar='WORD')
    a = p.parse_args()
    if a.quick:
        a.patch, a.filters, a.cases, a.iters, a.preset, a.labeled = '32x32x16', 4, 1, 4, 'tiny', 2
    s = Session(a)
    s.look()
    s.selftests()
    shapes = 'vnet'
    if a.quick:
        shapes = s.path('shapes.txt')
        with open(shapes, 'w') as f:
            f.write(QUICK_SHAPES)
    s.ops(shapes, 'ops')
    s.steps(1)
    if not a.quick:
        s.steps(4)
        s.ops('peers', 'ops-peers')
        s.ops('peers-large', 'ops-peers-large')
    s.io()
    s.training()
    s.write()
    failed = [q['name'] for q in s.parts if q['code'] != 0]
    print(f'{len(s.parts)} parts, {len(failed)} failed{": " if failed else ""}{", ".join(failed)}; see '
          f'{s.path("summary.md")}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
