#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""protovox bench: results of ops and steps, and comparisons of results against numbers worked out here.
    bench.py PROTOVOX PHANTOMS DEVICE"""
import json
import math
import os
import statistics
import subprocess
import sys
import xml.dom.minidom

from e2e import DEVICE, LIMIT, PROGRAM, main, phantoms, refuses, run, write

USAGE, INPUT = 2, 3


def save(path, o):
    write(path, json.dumps(o))
    return path


def load(path):
    with open(path) as f:
        return json.load(f)


def row(op, times, **more):
    q = statistics.quantiles(times, n=4, method='inclusive')
    return dict({'op': op, 'ci': 16, 'input': '8x8x8', 'n': 1, 'phase': 'fwd', 'ms_min': min(times), 'ms_q1': q[0],
                 'ms_median': q[1], 'ms_q3': q[2], 'ms_max': max(times), 'reps': len(times)}, **more)


def ops(rows, **more):
    device = {'id': 'opencl:0', 'name': 'a device', 'driver': '1.0'}
    return dict({'kind': 'ops', 'device': device, 'rows': rows}, **more)


def check_times(t):
    assert 0 < t['ms_min'] <= t['ms_q1'] <= t['ms_median'] <= t['ms_q3'] <= t['ms_max'], t
    assert t['reps'] >= 1, t


def ops_are_measured():
    write('shapes', 'conv 16 16 3 1 8x8x8 # one\n\ncosine 16 8x8x8 2\nentropy 2 8x8x8\nsoftmax 3 8x8x8\n')
    for name in ('a.json', 'b.json'):
        run('bench', 'ops', '--device', DEVICE, '--shapes', 'shapes', '--reps', 3, '--out', name,
            says=['conv', 'GFLOP/s'])
    o = load('a.json')
    assert [(r['op'], r['phase']) for r in o['rows']] == [
        ('conv', 'fwd'), ('conv', 'bwd data'), ('conv', 'bwd weight'), ('cosine', 'fwd'), ('cosine', 'bwd'),
        ('entropy', 'fwd'), ('entropy', 'bwd'), ('softmax', 'fwd'), ('softmax', 'bwd')], o['rows']
    for r in o['rows']:
        check_times(r)
    flop = 2 * 27 * 16 * 16 * 8 ** 3
    r = o['rows'][0]
    assert math.isclose(r['gflops'], flop * 1e-9 / (r['ms_median'] * 1e-3), rel_tol=1e-6), r
    run('bench', 'compare', 'a.json', 'again=b.json', '--svg', 'c.svg', '--markdown', 'c.md', '--out', 'c.json',
        says=['geometric mean', 'conv 16-16 k3/1 8x8x8 fwd', 'cosine 16 8x8x8 x2 bwd', 'again'])
    c = load('c.json')
    assert [s['name'] for s in c['sides']] == [DEVICE, 'again'], c['sides']
    assert len(c['rows']) == 9 and c['totals'][1]['common'] == 9, c
    text = xml.dom.minidom.parse('c.svg').documentElement.toxml()
    assert text.count('<circle') == 9 + 1, text       # and the one of the legend
    with open('c.md') as f:
        table = [t for t in f if t.startswith('|')]
    assert len(table) == 2 + 9 + 2 and all(t.count('|') == table[0].count('|') for t in table), table


def steps_are_measured():
    args = ['bench', 'step', '--device', DEVICE, '--patch', '32x32x32', '--set', 'net.filters=4', '--reps', 2]
    run(*args, '--out', 's.json', says=['training step', 'inference', 'launches'])
    s = load('s.json')
    check_times(s['train'])
    check_times(s['infer'])
    assert s['train']['peak_bytes'] > s['infer']['peak_bytes'] > 0, s
    peers = {'kind': 'peers step', 'net': 'vnet', 'patch': '32x32x32', 'filters': 4, 'batch': 1, 'sides': [
        {'name': 'torch', 'about': {'torch': '2', 'device': 'cpu'}, 'train_ms': [3, 1, 2, 4], 'infer_ms': [1, 1],
         'peak_bytes': 2 * s['train']['peak_bytes']}]}
    run('bench', 'compare', 's.json', save('p.json', peers), '--out', 'c.json', says=['torch', 'MiB', '2.00x'])
    rows = load('c.json')['rows']
    train = rows[0]['values'][1]
    assert (train['lo'], train['mid'], train['hi']) == (1.75, 2.5, 3.25), train
    assert math.isclose(train['ratio']['mid'], 2.5 / s['train']['ms_median'], rel_tol=1e-9), rows[0]
    assert math.isclose(train['ratio']['lo'], 1.75 / s['train']['ms_q3'], rel_tol=1e-9), rows[0]


RIVAL = """#!/usr/bin/env python3
import json, os, sys
option = dict(zip(sys.argv[1::2], sys.argv[2::2]))
with open('calls', 'a') as f:
    f.write(json.dumps([sorted(option), os.environ['OMP_NUM_THREADS']]) + chr(10))
n, rows = sum(1 for _ in open('calls')), []
for line in open(option['--shapes']):
    op, ci, co, k, stride, size, samples = line.split()
    for phase in ('fwd', 'bwd data', 'bwd weight'):
        if (op, phase) != ('stem', 'bwd data'):
            ms = 1e6 * n if phase == 'fwd' else 1e-6
            rows.append({'op': op, 'ci': int(ci), 'co': int(co), 'k': int(k), 'stride': int(stride), 'input': size,
                         'n': int(samples), 'phase': phase, 'way': 'a way', 'ms_min': ms, 'ms_q1': ms, 'ms_median': ms,
                         'ms_q3': ms, 'ms_max': ms, 'reps': 5, 'gflops': 6 / ms})
json.dump({'kind': 'ops', 'rows': rows, 'checked': {'results': 7}}, open(option['--out'], 'w'))
"""


def layers_alternate():
    """bench/peers/layers.py with a rival of known times: n 10^6 ms forward in its n-th call, nothing backward."""
    write('rival', RIVAL)
    os.chmod('rival', 0o755)
    write('layers', 'stem 1 16 3 1 8x8x8\nsoftmax 2 8x8x8\nconv 16 32 2 2 8x8x8 2\n')
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'bench', 'peers', 'layers.py')
    text = subprocess.run([sys.executable, script, '--protovox', PROGRAM, '--device', DEVICE, '--shapes', 'layers',
                           '--onednn', 'rival=./rival', '--rounds', '3', '--reps', '5', '--seconds', '0.1', '--threads',
                           '1', '--ways', 'ways', '--out', 'l.json'], check=True, stdout=subprocess.PIPE,
                          timeout=LIMIT).stdout.decode()
    with open('calls') as f:
        calls = [json.loads(line) for line in f]
    first = ['--out', '--reps', '--seconds', '--shapes', '--window']
    assert calls == [[first, '1']] + [[['--like'] + first, '1']] * 3, calls
    o = load('l.json')
    ours, rival = o['sides']
    assert len(ours['rows']) == len(rival['rows']) == 5 and rival['checked'] == {'results': 7}, o
    for r in ours['rows']:
        check_times(r)
        assert math.isclose(r['ms_median'], statistics.median(r['rounds_ms']), rel_tol=1e-12), r
    r = rival['rows'][0]
    assert r['rounds_ms'] == [2e6, 3e6, 4e6] and r['ms_median'] == 3e6 and r['reps'] == 15, r
    assert (r['ms_q1'], r['ms_q3'], r['gflops']) == (2.5e6, 3.5e6, 2e-6), r
    for t, a, b in zip(o['table'], ours['rows'], rival['rows']):
        assert t['ratio'] == {'rival': b['ms_median'] / a['ms_median'], 'best': t['ratio']['rival']}, t
        each = [y / x for x, y in zip(a['rounds_ms'], b['rounds_ms'])]
        assert t['spread']['rival'] == [min(each), max(each)], t
    assert o['slower'] == ['stem 1-16 k3/1 8x8x8 bwd weight', 'conv 16-32 k2/2 8x8x8 x2 bwd data',
                           'conv 16-32 k2/2 8x8x8 x2 bwd weight'], o['slower']
    sums = [sum(r['ms_median'] for r in s['rows']) for s in o['sides']]
    assert math.isclose(o['sum_ratio']['rival'], sums[1] / sums[0], rel_tol=1e-9) and 'net_ratio' not in o, o
    assert text.count('SLOWER') == 3, text
    run('bench', 'compare', 'l.json', '--out', 'c.json', says=['conv 16-32 k2/2 8x8x8 x2 bwd data', 'rival'])
    c = load('c.json')
    assert [s['name'] for s in c['sides']] == ['protovox', 'rival'] and c['totals'][1]['common'] == 5, c
    assert math.isclose(c['totals'][1]['sum_ratio'], sums[1] / sums[0], rel_tol=1e-9), c


def growth_is_measured():
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'bench', 'scale.py')
    text = subprocess.run([sys.executable, script, '--protovox', PROGRAM, '--device', DEVICE, '--reps', '1', '--base',
                           '16x16x16', '--base-filters', '4', '--voxels', '32x16x16', '--batch', '2', '--filters', '8',
                           '--classes', '3', '--out', 'scale.json', '--markdown', 'scale.md'], check=True,
                          stdout=subprocess.PIPE, timeout=LIMIT).stdout.decode()
    o = load('scale.json')
    assert [x['axis'] for x in o['axes']] == ['voxels', 'batch', 'filters', 'classes'], o
    for x in o['axes']:
        a, b = x['rows']
        for side in ('train', 'infer'):
            ta, tb = a[side]['ms_median'], b[side]['ms_median']
            slope = math.log(tb / ta) / math.log(b['work'] / a['work'])
            assert math.isclose(x['exponent'][side], slope, rel_tol=1e-9), x
            assert a[side]['per_unit'] == 1 and b[side]['peak_bytes'] > 0, x
            assert math.isclose(b[side]['per_unit'], tb / b['work'] / (ta / a['work']), rel_tol=1e-9), x
    voxels, batch, filters, classes = ([r['work'] for r in x['rows']] for x in o['axes'])
    assert voxels == [4096, 8192] and batch == [1, 2] and classes == [2, 3] and 3.5 < filters[1] / filters[0] < 4, o
    assert all(x['rows'][1]['train']['peak_bytes'] > x['rows'][0]['train']['peak_bytes'] for x in o['axes'][:3]), o
    with open('scale.md') as f:
        assert f.read() == text and text.count('| exponent |') == 4, text


def reading_is_measured():
    text = run('bench', 'io', '--size', '24x20x16', '--patch', '16x16x16', '--reps', 3, '--batch', 2, '--threads', 2,
               '--out', 'io.json', says=['nii.gz', 'loader'])
    rows = load('io.json')['rows']
    kinds = ['nii', 'nii.gz'] + [k for k in ['h5'] if 'h5 is left out' not in text]
    assert [r['phase'] for r in rows if r['op'] == 'read'] == kinds, rows
    assert [r['phase'] for r in rows if r['op'] == 'loader'] == ['1 thread', '2 threads'], rows
    for r in rows:
        check_times(r)
        samples, voxels = r['n'], math.prod(int(s) for s in r['input'].split('x'))
        assert math.isclose(r['samples_per_s'], samples / r['ms_median'] * 1e3, rel_tol=1e-6), r
        bytes_per_voxel = {'read': 5, 'write': 5, 'augment': 8}.get(r['op'])
        if bytes_per_voxel:
            assert math.isclose(r['mbs'], voxels * bytes_per_voxel * 1e-3 / r['ms_median'], rel_tol=1e-6), r
    assert not [n for n in os.listdir('.') if n.startswith('bench-io')]
    phantoms('set', size='20x20x16', train=2, test=1)
    run('bench', 'io', '--data', 'set', '--patch', '16x16x16', '--reps', 3, '--threads', 1, '--work', 'set',
        says=['20x20x16', '1 thread'])
    assert not [n for n in os.listdir('set') if n.startswith('bench-io')]
    refuses(USAGE, '--size', args=['bench', 'io', '--size', '8x20x16'])
    refuses(INPUT, 'missing', args=['bench', 'io', '--data', 'missing'])


def comparison_is_right():
    base = [[10, 11, 12, 13], [5, 5, 6], [2, 2]]
    other = [[20, 24, 21, 22], [3, 2, 1], [8, 8]]
    names = ['conv', 'dice', 'softmax']
    save('1.json', ops([row(n, t) for n, t in zip(names, base)] + [row('ema', [1, 2])]))
    # the slower implementation of one op does not count; an op of one side only is left out
    more = [row('conv', [99, 99], impl='slow'), row('sgd', [1, 2]), {'op': 'dice', 'input': '8x8x8', 'skipped': 'no'}]
    save('2.json', ops([row(n, t) for n, t in zip(names, other)] + more, name='other'))
    save('3.json', {'kind': 'ops', 'name': 'gpu', 'skipped': 'no GPU here'})
    run('bench', 'compare', '3.json', '1.json', '2.json', '--out', 'c.json', '--svg', 'c.svg',
        says=['gpu: unknown device: skipped, no GPU here', 'opencl:0: a device, 1.0 (ratios are to this one'])
    c = load('c.json')
    assert c['base'] == 1 and [s['name'] for s in c['sides']] == ['gpu', 'opencl:0', 'other'], c
    logs = []
    for r, b, o in zip(c['rows'], base, other):
        gpu, one, two = r['values']
        assert gpu == {} and 'ratio' not in one, r
        qb, qo = (statistics.quantiles(t, n=4, method='inclusive') for t in (b, o))
        expected = (qo[0] / qb[2], qo[1] / qb[1], qo[2] / qb[0])
        got = tuple(two['ratio'][k] for k in ('lo', 'mid', 'hi'))
        assert all(math.isclose(g, e, rel_tol=1e-12) for g, e in zip(got, expected)), (r, expected)
        logs.append(math.log(expected[1]))
    assert c['rows'][3]['values'][2] == {}, c['rows'][3]
    t = c['totals'][2]
    assert t['common'] == 3 and math.isclose(t['geometric_mean'], math.exp(sum(logs) / 3), rel_tol=1e-12), t
    sums = [sum(statistics.median(v) for v in s) for s in (base, other)]
    assert math.isclose(t['sum_ratio'], sums[1] / sums[0], rel_tol=1e-12), t


def bad_results_are_refused():
    save('good.json', ops([row('conv', [1, 2])]))
    bad = [('not JSON', '{', 'bad.json'), ('no kind', '{}', 'no member `kind`'), ('list', '[1]', 'kind'),
           ('kind', '{"kind": "events"}', "kind 'events'", 'known are ops'), ('rows', '{"kind": "ops"}', '`rows`'),
           ('times', '{"kind": "ops", "rows": [{"op": "a", "input": "1x1x1"}]}', 'row 1', 'ms_median'),
           ('zero', json.dumps(ops([row('conv', [1, 2], ms_median=0)])), 'row 1', 'positive'),
           ('text', json.dumps(ops([row('conv', [1, 2], ms_median='fast')])), 'row 1', 'ms_median'),
           ('order', json.dumps(ops([row('a', [1, 2]), row('b', [1, 2], ms_q1=9)])), 'row 2', 'not in order'),
           ('op', '{"kind": "ops", "rows": [3]}', 'row 1', 'op and input'),
           ('net', '{"kind": "step"}', 'net and patch'),
           ('step', '{"kind": "step", "net": "vnet", "patch": "1x1x1"}', '`train`'),
           ('no sides', '{"kind": "peers ops"}', '`sides`'),
           ('rows', '{"kind": "peers ops", "sides": [{"name": "a"}]}', '`rows`'),
           ('sides', '{"kind": "peers step", "net": "vnet", "patch": "8x8x8"}', '`sides`')]
    for _, text, *words in bad:
        write('bad.json', text)
        refuses(INPUT, 'bad.json', *words, args=['bench', 'compare', 'good.json', 'bad.json'])
    refuses(INPUT, 'missing.json', args=['bench', 'compare', 'good.json', 'missing.json'])
    refuses(INPUT, 'one result only', args=['bench', 'compare', 'good.json'])
    save('far.json', ops([row('dice', [1, 2])], name='far'))
    refuses(INPUT, 'no measurement in common', 'dice', args=['bench', 'compare', 'good.json', 'far.json'])
    refuses(USAGE, 'before any option', args=['bench', 'compare', '--svg', 'c.svg'])
    refuses(USAGE, "no option 'far.json'", args=['bench', 'compare', 'good.json', '--json', 'far.json'])
    refuses(INPUT, 'none/c.svg', args=['bench', 'compare', 'good.json', 'good.json', '--svg', 'none/c.svg'])
    refuses(USAGE, 'ops, step', args=['bench', 'all'])
    refuses(INPUT, 'list:2', 'CHANNELS', args=['bench', 'ops', '--device', 'ref:0', '--shapes', list_of('conv 16')])
    refuses(USAGE, 'known are vnet, peers, peers-large',
            args=['bench', 'ops', '--device', 'ref:0', '--shapes', 'vnets'])


def list_of(line):
    write('list', '# shapes\n' + line + '\n')
    return os.path.join('.', 'list')


def methods_get_a_table():
    """Its figures are those of evaluate; what is finished is not done again."""
    data = phantoms('set')
    table = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'bench', 'table.py')
    command = [sys.executable, table, '--data', data, '--work', 'runs', '--preset', 'tiny',
               '--methods', 'sup,mt:optim.lr=0.001', '--labeled', '2', '--iters', '3', '--device', DEVICE,
               '--program', PROGRAM, '--out', 'table.md']
    subprocess.run(command, check=True, timeout=LIMIT)
    with open('table.md') as f:
        lines = [line for line in f if line.startswith('| `')]
    assert len(lines) == 2, lines
    for line, method in zip(lines, ('sup', 'mt:optim.lr=0.001')):
        folder = f'runs/{method.replace(":", "_")}-1337'
        o = load(f'{folder}/evaluation_test.json')
        assert load(f'{folder}/config.json')['optim']['lr'] == (0.0005 if method == 'sup' else 0.001)
        cells = [c.strip() for c in line.split('|')[1:-1]]
        assert cells[0] == f'`{method}`' and cells[7] == str(o['empty_predictions']['1']), line
        dice = f"{100 * o['mean']['1']['Dice']:.2f} ± {100 * o['std']['1']['Dice']:.2f}"
        assert cells[2] == dice, (line, dice)
    at = os.path.getmtime(f'{folder}/row.json')
    subprocess.run(command, check=True, timeout=LIMIT)
    assert os.path.getmtime(f'{folder}/row.json') == at


if __name__ == '__main__':
    main([ops_are_measured, steps_are_measured, layers_alternate, growth_is_measured, reading_is_measured,
          comparison_is_right, bad_results_are_refused, methods_get_a_table])
