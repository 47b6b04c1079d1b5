#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains methods with one budget, evaluates them on the test cases and keeps a table.

    bench/table.py --data DIR --work FOLDER [--methods sup,mt] [--seeds 1337,1,2] [--preset la-small] [--labeled 8]
                   [--iters N] [--device opencl:0] [--program build/src/cli/protovox] [--out docs/results.md]

Every run lies in FOLDER/METHOD-SEED and is resumed where it stopped, so that the script may be killed and started
again; a run that is finished and evaluated is not repeated. After each run FOLDER/rows.json and the table are written
anew. With several seeds of `sup`, every method gets a paired one-sided t-test over test cases (means over seeds).
A method may carry settings, joined by `:` (`crln:optim.lr=0.01`): a row of its own."""
import argparse
import json
import math
import os
import subprocess
import sys

METRICS = (('dice', 'Dice'), ('jaccard', 'IoU'), ('hd95', 'HD95'), ('asd', 'ASD'))


def run(*command):
    print('+', *command, flush=True)
    subprocess.run(command, check=True)


def cases_of(folder):
    """{case: {metric: value}} of evaluation_test.json, mean over classes; and the number of empty predictions."""
    with open(os.path.join(folder, 'evaluation_test.json')) as f:
        evaluation = json.load(f)
    out = {}
    for case in evaluation['metric_per_case']:
        classes = case['metrics'].values()
        out[case['case']] = {}
        for key, name in METRICS:
            v = [c[name] for c in classes if isinstance(c.get(name), (int, float)) and math.isfinite(c[name])]
            out[case['case']][key] = sum(v) / len(v) if v else math.nan
    return out, sum(evaluation['empty_predictions'].values())


def one(a, method, seed):
    folder = os.path.join(a.work, f'{method.replace(":", "_")}-{seed}')
    name, *settings = method.split(':')
    done = os.path.join(folder, 'row.json')
    if os.path.exists(done):
        with open(done) as f:
            return json.load(f)
    there = os.path.exists(os.path.join(folder, 'config.json'))
    if not os.path.exists(os.path.join(folder, 'final.safetensors')):
        run(a.program, 'train', '--data', a.data, '--out', folder, '--quiet', '--device', a.device,
            *(['--resume'] if there else ['--preset', a.preset, '--method', name, '--labeled', str(a.labeled),
                                          '--seed', str(seed), *(['--iters', str(a.iters)] if a.iters else []),
                                          *[w for v in settings for w in ('--set', v)]]))
    scores = os.path.join(folder, 'evaluation_test.json')
    if not os.path.exists(scores):
        run(a.program, 'evaluate', '--run', folder, '--data', a.data, '--split', 'test', '--device', a.device,
            '--quiet')
    with open(os.path.join(folder, 'config.json')) as f:
        config = json.load(f)
    with open(os.path.join(folder, 'training.json')) as f:
        summary = json.load(f)
    cases, empty = cases_of(folder)
    row = {'method': method, 'seed': seed, 'cases': cases, 'empty': empty, 'iters': config['train']['iters'],
           'device': config['device'], 'summary': summary, 'command': config.get('command', '')}
    with open(done + '.tmp', 'w') as f:
        json.dump(row, f, indent=1)
    os.replace(done + '.tmp', done)
    return row


def mean_sd(v):
    m = sum(v) / len(v)
    return m, math.sqrt(sum((x - m) ** 2 for x in v) / len(v))


def student_p(t, n):
    """P(T > t), Student's t with n degrees of freedom, by Simpson's rule."""
    if t < 0:
        return 1 - student_p(-t, n)
    c = math.exp(math.lgamma((n + 1) / 2) - math.lgamma(n / 2)) / math.sqrt(n * math.pi)
    steps, h = 2000, t / 2000
    s = sum((1 if k in (0, steps) else 4 if k % 2 else 2) * (1 + (k * h) ** 2 / n) ** (-(n + 1) / 2)
            for k in range(steps + 1))
    return max(0.0, 0.5 - c * s * h / 3)


def paired(rows, base):
    """One-sided paired t-test of Dice per case, means over seeds."""
    def per_case(group):
        names = group[0]['cases']
        return {n: sum(r['cases'][n]['dice'] for r in group) / len(group) for n in names}
    x, y = per_case(rows), per_case(base)
    d = [x[n] - y[n] for n in x if n in y]
    m = sum(d) / len(d)
    sd = math.sqrt(sum((v - m) ** 2 for v in d) / (len(d) - 1))
    return m, student_p(m / (sd / math.sqrt(len(d))), len(d) - 1) if sd > 0 else math.nan


def write_table(a, rows):
    by = {}
    for r in rows:
        by.setdefault(r['method'], []).append(r)
    lines = [
        '# Results on the left atrium, small budget', '',
        f'Preset `{a.preset}`, {rows[0]["iters"]} iterations, {a.labeled} labelled cases, the other training cases '
        'unlabelled, test cases of the set; scored on the input grid in voxels.',
        'Mean and standard deviation over cases (of all seeds). The difference and p (one-sided, paired t-test over '
        'cases, Dice averaged over seeds) are against `sup`; empty: predictions without any object.', '',
        '| method | seeds | Dice % | of each seed | Jaccard % | 95HD | ASD | empty | against sup | p | s/iteration '
        '| volume passes | peak MiB |',
        '|---|---|---|---|---|---|---|---|---|---|---|---|---|']
    for method, group in by.items():
        cells = []
        for m, k in (('dice', 100), ('jaccard', 100), ('hd95', 1), ('asd', 1)):
            v = [c[m] * k for r in group for c in r['cases'].values() if not math.isnan(c[m])]
            cells.append('%.2f ± %.2f' % mean_sd(v) if v else '-')
        each = [mean_sd([100 * c['dice'] for c in r['cases'].values()])[0] for r in group]
        cells.insert(1, ', '.join(f'{v:.2f}' for v in each))
        diff = p = '-'
        if method != 'sup' and 'sup' in by:
            d, q = paired(group, by['sup'])
            diff, p = f'{100 * d:+.2f}', f'{q:.3f}'
        s = group[0]['summary']
        lines.append(f'| `{method}` | {", ".join(str(r["seed"]) for r in group)} | ' + ' | '.join(cells) +
                     f' | {sum(r["empty"] for r in group)} | {diff} | {p} | {s["seconds_per_iteration"]:.2f} '
                     f'| {s["volume_passes"]} | '
                     f'{s["peak_bytes"] / 2 ** 20:.0f} |')
    dev = rows[0]['device']
    lines += ['', f'Device: {dev["name"]}, {dev["driver"]}. Made by `bench/table.py`; commands of the runs:', '', '```']
    lines += sorted({r['command'] for r in rows if r['command']}) + ['```', '']
    with open(a.out, 'w') as f:
        f.write('\n'.join(lines))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--data', required=True)
    p.add_argument('--work', required=True)
    p.add_argument('--methods', default='sup,mt')
    p.add_argument('--seeds', default='1337')
    p.add_argument('--preset', default='la-small')
    p.add_argument('--labeled', type=int, default=8)
    p.add_argument('--iters', type=int, default=0, help='instead of the preset\'s; schedules are rescaled')
    p.add_argument('--device', default='opencl:0')
    p.add_argument('--program', default='build/src/cli/protovox')
    p.add_argument('--out', default='docs/results.md')
    a = p.parse_args()
    os.makedirs(a.work, exist_ok=True)
    rows = []
    for seed in a.seeds.split(','):
        for method in a.methods.split(','):
            rows.append(one(a, method, int(seed)))
            with open(os.path.join(a.work, 'rows.json'), 'w') as f:
                json.dump(rows, f, indent=1)
            write_table(a, rows)
    return 0


if __name__ == '__main__':
    sys.exit(main())
