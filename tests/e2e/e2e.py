# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests share: running the program, and reading what it writes with nothing but Python's own
library. Every script is called NAME.py PROTOVOX PHANTOMS DEVICE [--small] and works in a temporary folder."""
import csv
import glob
import gzip
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time

PROGRAM, PHANTOMS, DEVICE = [os.path.abspath(p) for p in sys.argv[1:3]] + sys.argv[3:4]
SMALL = '--small' in sys.argv
LIMIT = 600         # seconds that any one command may take: nothing here takes more than a few


# ---- running ----

def command(args):
    args = [str(a) for a in args]
    needs_device = args[0] in ('train', 'predict', 'select') or (args[0] == 'evaluate' and '--run' in args)
    return [PROGRAM] + args + (['--device', DEVICE] if needs_device and '--device' not in args else [])


class Process:
    """A command in the background; what it prints goes to a file."""

    def __init__(self, args, before=None):
        self.args = [str(a) for a in args]
        self.out = tempfile.TemporaryFile(dir='.')
        self.p = subprocess.Popen(command(args), stdin=subprocess.DEVNULL, stdout=self.out, stderr=subprocess.STDOUT,
                                  preexec_fn=before)
        self.end = time.monotonic() + LIMIT

    def running(self):
        if time.monotonic() > self.end:
            self.p.kill()
            self.p.wait()
            raise AssertionError(f'{self} hangs:\n{self.text()}')
        return self.p.poll() is None

    def until(self, condition):
        """Polls until the condition holds; False if the command ended before."""
        while self.running():
            if condition():
                return True
            time.sleep(0.001)
        return False

    def send(self, sig):
        self.p.send_signal(sig)

    def wait(self):
        while self.running():
            time.sleep(0.002)
        return self.p.returncode

    def text(self):
        fd = self.out.fileno()      # its position is shared with the command
        return os.pread(fd, os.fstat(fd).st_size, 0).decode('utf-8', 'replace')

    def __str__(self):
        return 'protovox ' + ' '.join(self.args)


def run(*args, code=0, says=(), before=None):
    """Runs a command to its end; checks exit code and that every text of `says` is in what it prints."""
    p = Process(args, before)
    got = p.wait()
    text = p.text()
    assert got == code, f'{p}: exit code {got}, expected {code}\n{text}'
    for s in says:
        assert s in text, f'{p}: does not say "{s}":\n{text}'
    return text


def refuses(code, *words, args, lines=1, before=None):
    """The command must end with that code and an error of one line that holds all words (of `lines` lines where
    there is more to say)."""
    text = run(*args, code=code, before=before)
    errors = [t for t in text.split('\n') if t.startswith('error: ')]
    where = f'protovox {" ".join(str(a) for a in args)}:\n{text}'
    assert len(errors) == lines, f'{len(errors)} error lines in {where}'
    assert max(len(e) for e in errors) < 500, where
    for w in words:
        assert w in '\n'.join(errors), f'no "{w}" in the error of {where}'
    return text


def main(tests):
    """Runs functions in order, all in one temporary folder; --only=WORD: the first and those with WORD in the name."""
    only = [a[7:] for a in sys.argv if a.startswith('--only=')]
    tests = [t for i, t in enumerate(tests) if i == 0 or not only or only[0] in t.__name__]
    here = os.getcwd()
    with tempfile.TemporaryDirectory(prefix='pv-e2e-') as tmp:
        os.chdir(tmp)
        try:
            for t in tests:
                start = time.monotonic()
                t()
                print(f'{time.monotonic() - start:6.1f} s  {t.__name__.replace("_", " ")}', flush=True)
        finally:
            os.chdir(here)


# ---- data ----

def phantoms(folder, size='40x40x24', train=4, test=2, seed=7, kind='nnunet'):
    subprocess.run([PHANTOMS, kind, folder, size, str(train), str(test), str(seed)], check=True, timeout=LIMIT)
    return folder


def copy_data(source, target):
    if os.path.exists(target):
        shutil.rmtree(target)
    shutil.copytree(source, target)
    return target


def write(path, text):
    with open(path, 'w') as f:
        f.write(text)


class Nifti:
    """A NIfTI-1 file of float32 or uint8 voxels: v[x][y][z] as a flat list with z running fastest."""
    FIELDS = '<i10s18sihbB8h3f4h8f3fhbB4f2i80s24s2h6f12f16s4s'

    def __init__(self, size, voxels, pixdim=(1, 1, 1), sform=None, quatern=None, offset=(0, 0, 0), qfac=1.0):
        self.size, self.v, self.pixdim, self.qfac = list(size), voxels, list(pixdim), qfac
        self.sform, self.quatern, self.offset = sform, quatern, list(offset)
        self.kind = 'f'

    def write(self, path):
        nx, ny, nz = self.size
        q = self.quatern or [0, 0, 0]
        rows = self.sform or [[0] * 4] * 3
        head = struct.pack(self.FIELDS, 348, b'', b'', 0, 0, 114, 0, 3, nx, ny, nz, 1, 1, 1, 1, 0, 0, 0, 0, 16, 32, 0,
                           self.qfac, *self.pixdim, 1, 1, 1, 1, 352, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, b'', b'',
                           1 if self.quatern else 0, 2 if self.sform else 0, *q, *self.offset, *rows[0], *rows[1],
                           *rows[2], b'', b'n+1\0')
        data = [self.v[(x * ny + y) * nz + z] for z in range(nz) for y in range(ny) for x in range(nx)]
        with gzip.GzipFile(path, 'wb', 1) if path.endswith('.gz') else open(path, 'wb') as f:
            f.write(head + bytes(4) + struct.pack(f'<{len(data)}f', *data))

    @classmethod
    def read(cls, path):
        with gzip.open(path) if path.endswith('.gz') else open(path, 'rb') as f:
            raw = f.read()
        h = struct.unpack(cls.FIELDS, raw[:348])
        assert h[0] == 348 and h[-1] == b'n+1\0', path
        dim, datatype, pixdim = h[7:15], h[19], h[22:30]
        qform_code, sform_code = h[44], h[45]
        n = cls(dim[1:4], None, pixdim[1:4], [h[52:56], h[56:60], h[60:64]] if sform_code else None,
                h[46:49] if qform_code else None, h[49:52], pixdim[0])
        n.codes, n.units, n.channels = (qform_code, sform_code), h[35], dim[4] if dim[0] == 4 else 1
        n.kind = {2: 'B', 16: 'f'}[datatype]
        nx, ny, nz = n.size
        count = nx * ny * nz * n.channels
        at = int(h[30])
        flat = struct.unpack(f'<{count}{n.kind}', raw[at:at + count * struct.calcsize(n.kind)])
        n.v = [flat[((c * nz + z) * ny + y) * nx + x] for c in range(n.channels) for x in range(nx)
               for y in range(ny) for z in range(nz)]
        return n

    def geometry(self):
        return (self.size, self.pixdim, self.qfac, self.codes, self.sform, self.quatern, self.offset, self.units)

    def turned(self, axis, flip):
        """Voxels with axis a of the result running along axis[a] of this one, backwards where flip[a]."""
        size = [self.size[axis[a]] for a in range(3)]
        out = []
        for x in range(size[0]):
            for y in range(size[1]):
                for z in range(size[2]):
                    at = [0, 0, 0]
                    for a, i in enumerate((x, y, z)):
                        at[axis[a]] = size[a] - 1 - i if flip[a] else i
                    out.append(self.v[(at[0] * self.size[1] + at[1]) * self.size[2] + at[2]])
        return size, out


# ---- what a run leaves ----

def safetensors(path):
    """(metadata, {name: (type, shape, bytes)})"""
    with open(path, 'rb') as f:
        raw = f.read()
    n = struct.unpack('<Q', raw[:8])[0]
    head = json.loads(raw[8:8 + n])
    meta = head.pop('__metadata__')
    for name, t in head.items():
        a, b = t['data_offsets']
        assert 8 + n + b <= len(raw), f'{path} is incomplete'
        head[name] = (t['dtype'], t['shape'], raw[8 + n + a:8 + n + b])
    return meta, head


def steps(path):
    """Steps that a checkpoint holds, -1 if there is none."""
    try:
        f = open(path, 'rb')
    except FileNotFoundError:
        return -1
    with f:
        n = struct.unpack('<Q', f.read(8))[0]
        return int(json.loads(f.read(n))['__metadata__']['steps'])


def metrics(folder):
    """Rows of metrics.csv as written, without the column of times."""
    with open(folder + '/metrics.csv', newline='') as f:
        rows = list(csv.DictReader(f))
    for r in rows:
        r.pop('seconds')
    return rows


def losses(folder):
    return [float(r['loss']) for r in metrics(folder) if r['loss']]


def events(folder):
    """[(step, {tag: value})] of all event files, without times; the checksums are not looked at."""
    out = []

    def fields(b):
        at = 0

        def varint():
            nonlocal at
            v = shift = 0
            while True:
                v |= (b[at] & 127) << shift
                shift += 7
                at += 1
                if b[at - 1] < 128:
                    return v
        while at < len(b):
            key = varint()
            if key & 7 == 0:
                yield key >> 3, varint()
            else:
                n = varint() if key & 7 == 2 else {1: 8, 5: 4}[key & 7]
                at += n
                yield key >> 3, b[at - n:at]
    for path in sorted(glob.glob(folder + '/events.out.tfevents.*')):
        with open(path, 'rb') as f:
            raw = f.read()
        at = 0
        while at < len(raw):
            n = struct.unpack('<Q', raw[at:at + 8])[0]
            step, values = 0, {}
            for key, v in fields(raw[at + 12:at + 12 + n]):
                if key == 2:
                    step = v
                elif key == 5:
                    for _, value in fields(v):
                        f = dict(fields(value))
                        values[f[1].decode()] = struct.unpack('<f', f[2])[0]
            values.pop('seconds', None)
            if values:
                out.append((step, values))
            at += 12 + n + 4
        assert at == len(raw), path
    return out


def same_tensors(a, b):
    x, y = safetensors(a)[1], safetensors(b)[1]
    assert x.keys() == y.keys(), (a, b)
    different = [k for k in x if x[k] != y[k]]
    assert not different, f'{len(different)} of {len(x)} tensors differ between {a} and {b}, such as {different[0]}'


def same_runs(a, b, validated=False):
    """Two finished runs must have the same weights, losses and events, bit for bit."""
    same_tensors(a + '/final.safetensors', b + '/final.safetensors')
    if validated:
        same_tensors(a + '/best.safetensors', b + '/best.safetensors')
    x, y = metrics(a), metrics(b)
    assert x == y, f'{a} and {b} differ in metrics.csv:\n{x}\n{y}'
    x, y = events(a), events(b)
    assert x == y, f'{a} and {b} differ in their events:\n{x}\n{y}'
    left = [n for n in os.listdir(b) if '.tmp-' in n or n == 'latest.safetensors']
    assert not left, f'{b} still holds {left}'


def needs(condition, why):
    """Ends the test as skipped."""
    if not condition:
        print('skipped:', why)
        sys.exit(77)

