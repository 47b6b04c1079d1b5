#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compiles the kernels of a V-Net step (step_kernels) with the AMD, NVIDIA and Intel compilers that are installed, no
device needed, and holds registers, spills and local memory against budgets.txt beside this file. All other kernels of
class simt must compile too.

    budgets.py STEP_KERNELS KERNELS_CL SRC [--only CHIP,...] [--markdown FILE]

Exits 77 where no compiler is there; a missing one is named with its reason. AMD: clang-15 with rocm-device-libs, newer
chips clang-22 with libclc-22. NVIDIA: clang-15 with libclc-15, then ptxas: the front end is not the driver's, the back
end is. Intel: ocloc. Vulkan: the step's shaders through RADV's null device (ACO). PV_LIBCLC22: folder with libclc-22's
files, where it cannot be installed beside libclc-15. Kernels on matrix units (class Units) are compiled for NVIDIA's
chips that have them, and what they multiply by is counted: in machine code where there is an nvdisasm (of CUDA, or
PyPI's nvidia-cuda-nvdisasm), else in PTX only. --markdown replaces the tables of docs/gpu.md."""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROCM, LIBCLC = 'rocm', 'libclc'
# Limits of a compute unit, multiprocessor or Xe core.
# AMD: built-ins; registers of a SIMD per lane, granule; wave; most waves of a SIMD; SIMDs; local bytes
AMD = {'gfx90a': (ROCM, 512, 8, 64, 8, 4, 65536), 'gfx1030': (ROCM, 1024, 16, 32, 16, 2, 65536),
       'gfx1100': (LIBCLC, 1536, 24, 32, 16, 2, 65536)}
# NVIDIA: most warps, most blocks, local bytes (1 KiB a block is the driver's); 65536 registers each
NVIDIA = {'sm_75': (32, 16, 65536), 'sm_86': (48, 16, 102400), 'sm_90': (64, 32, 233472)}
# Intel: hardware threads, local bytes
INTEL = {'tgllp': (112, 65536), 'dg2': (128, 131072)}
# Vulkan on AMD, RADV's names: registers of a SIMD per lane, granule; wave; most waves of a SIMD; SIMDs; local bytes
ACO = {'navi21': (512, 8, 64, 16, 2, 65536), 'gfx1100': (768, 12, 64, 16, 2, 65536)}
# GPU, chip, fp32 TFLOP/s, GB/s: makers' data sheets
GPUS = [('MI210', 'gfx90a', 22.6, 1638), ('RX 6900 XT', 'gfx1030', 23.0, 512), ('RTX 3090', 'sm_86', 35.6, 936),
        ('H100 SXM', 'sm_90', 66.9, 3350), ('Arc A770', 'dg2', 19.7, 560)]
# files of other devices' kernels, of other methods than V-Net's, with what they need to compile
FAT_ONLY = {'conv2', 'wino', 'wino_deep', 'wino_wgrad'}
ALSO = {'conv': ['S=1', 'S=2'], 'conv_up': [''], 'conv_wgrad': ['S=1', 'S=2'], 'mma_probe': ['UNIT=0'],
        'conv_mma': ['NB=1 S=1 UP=0 UNIT=0', 'NB=4 S=2 UP=1 UNIT=0'], 'conv_mma_wgrad': ['NB=4 S=1 UNIT=0']}
# NVIDIA with matrix units: the kernels' constant UNIT, machine instruction, how many of them are a unit's product;
# most warps, most blocks, local bytes; GPU, TFLOP/s of halves summed in fp32, GB/s
UNITS = {'sm_75': (8, 'HMMA.1688.F32', 2, (32, 16, 65536), 'RTX 2080 Ti', 53.8, 616),
         'sm_80': (16, 'HMMA.16816.F32', 1, (64, 32, 167936), 'A100 SXM', 312, 2039),
         'sm_86': (16, 'HMMA.16816.F32', 1, (48, 16, 102400), 'RTX 3090', 71, 936),
         'sm_90': (16, 'HMMA.16816.F32', 1, (64, 32, 233472), 'H100 SXM', 989, 3350)}


class Failed(Exception):
    pass


def call(command, env=None):
    r = subprocess.run(command, capture_output=True, text=True, env=env)
    if r.returncode:
        raise Failed(f'{" ".join(command)}\n{(r.stdout + r.stderr)[-3000:]}')
    return r.stdout + r.stderr


def defines(folders, constants):
    return ['-D' + c for c in ['PV_SIMT=1'] + constants.split()] + ['-I' + f for f in folders]


def source(folders, name, constants):
    """Clang's arguments; __OPENCL_VERSION__ is what drivers define."""
    return (['-x', 'cl', '-cl-std=CL1.2', '-O3', '-D__OPENCL_VERSION__=120'] + defines(folders, constants) +
            [os.path.join(folders[0], name + '.cl')])


def reduces(folders, path, seen):
    """Whether a file or what it includes has reductions over work-groups (common/group.h)."""
    with open(path) as f:
        text = f.read()
    seen.add(path)
    found = 'PV_SHUFFLE' in text
    for name in re.findall(r'#include "([^"]+)"', text):
        for at in [os.path.join(f, name) for f in folders]:
            if not found and at not in seen and os.path.exists(at):
                found = reduces(folders, at, seen)
    return found


class Amd:
    table = AMD

    def form(self, chip):
        """Constants of the form of reductions with sub-groups (dev/ocl/subgroup.c)."""
        return f'PV_SHUFFLE=2 PV_SUBGROUP={self.table[chip][3]}'

    def __init__(self, clang15, clang22, rocm, libclc):
        self.clang15, self.clang22, self.rocm, self.libclc = clang15, clang22, rocm, libclc

    def missing(self, chip):
        if AMD[chip][0] == ROCM:
            return None if self.clang15 and self.rocm else 'no clang-15 with rocm-device-libs'
        return None if self.clang22 and self.libclc else 'no clang-22 with libclc-22 (PV_LIBCLC22)'

    def measure(self, chip, folders, name, constants, tmp):
        """{entry: (registers, spilled, local)}: vector registers; scratch bytes and spilled registers."""
        command = [self.clang15, '--rocm-device-lib-path=' + str(self.rocm)]
        if AMD[chip][0] == LIBCLC:
            command = [self.clang22, '-nogpulib', '-Xclang', '-mlink-builtin-bitcode', '-Xclang', self.libclc]
        out = call(command + ['-target', 'amdgcn-amd-amdhsa', '-mcpu=' + chip, '-Rpass-analysis=kernel-resource-usage',
                              '-o', os.path.join(tmp, 'k.hsaco')] + source(folders, name, constants))
        found = {}
        for part in out.split('Function Name: ')[1:]:
            def value(word):
                number = re.search(r'\s' + word + r'[^:]*: (\d+)', part)     # functions have no LDS
                return int(number[1]) if number else 0
            found[part.split()[0]] = (value('VGPRs') + value('AGPRs'), value('ScratchSize') + value('SGPRs Spill') +
                                      value('VGPRs Spill'), value('LDS Size'))
        return found

    def files(self, chip):
        """Registers of a SIMD, in units of what its wavefronts had before RDNA 3."""
        total, _, wave = self.table[chip][-6:-3]
        return total * wave / 32768

    def occupancy(self, chip, registers, local, items):
        total, granule, wave, most, simds, lds = self.table[chip][-6:]
        waves = min(most, total // (-(-max(registers, 1) // granule) * granule))
        per = -(-items // wave)
        groups = min(simds * waves // per, simds * most if per == 1 else 16, lds // local if local else 1 << 30)
        return min(1, groups * per / (simds * most))


class Aco(Amd):
    table = {'aco ' + c: row for c, row in ACO.items()}

    def form(self, chip):
        return 'PV_SUBGROUP=64'         # RADV's choice (step_pipes)

    def __init__(self, program):
        icd = glob.glob('/usr/share/vulkan/icd.d/radeon_icd*.json')
        self.program, self.icd, self.found = program, icd[0] if icd else None, {}

    def missing(self, chip):
        return None if self.icd else 'no RADV (mesa-vulkan-drivers)'

    def measure(self, chip, folders, name, constants, tmp):
        """Vector registers; spilled registers and scratch bytes; local bytes. Of the step's kernels only."""
        if chip not in self.found:
            env = dict(os.environ, VK_ICD_FILENAMES=self.icd, VK_DRIVER_FILES=self.icd, RADV_DEBUG='nocache',
                       RADV_FORCE_FAMILY=chip.split()[1])
            self.found[chip] = {}
            said = call([self.program, '--pipelines'], env) + call([self.program, '--pipelines', '--winog'], env)
            for line in said.splitlines():
                entry, spec, said = line.split('\t')
                said = dict(cell.split('=') for cell in said.strip(';').split(';'))
                self.found[chip].setdefault(spec, {})[entry] = (
                    int(said['VGPRs']), int(said['Spilled VGPRs']) + int(said['Spilled SGPRs']) +
                    int(said['Scratch size']), int(said['LDS size']))
        return self.found[chip].get(constants, {})


class Nvidia:
    def __init__(self, clang, libclc, ptxas):
        self.clang, self.libclc, self.ptxas, self.ptx = clang, libclc, ptxas, {}

    def form(self, chip):
        return 'PV_SHUFFLE=1 PV_SUBGROUP=32'

    def missing(self, chip):
        if not self.clang or not self.libclc:
            return 'no clang-15 with libclc-15'
        return None if self.ptxas else 'no ptxas'

    def measure(self, chip, folders, name, constants, tmp):
        """Registers; bytes of stack and spills; local bytes."""
        ptx = os.path.join(tmp, f'{name} {constants}.ptx')
        target = ['-Xclang', 'sm_75']
        if 'UNIT=16' in constants:
            target = ['-Xclang', 'sm_80', '-Xclang', '-target-feature', '-Xclang', '+ptx70']
        # libclc-15 lacks get_global_offset(), for which NVIDIA's OpenCL has registers
        offset = '-DLAUNCH_OFFSET(i)=({uint v_;__asm__("mov.u32 %0, %%envreg4;":"=r"(v_));v_;})'
        if ptx not in self.ptx:
            call([self.clang, offset, '-target', 'nvptx64-nvidia-nvcl', '-Xclang', '-target-cpu'] + target + [
                  '-nogpulib', '-Xclang', '-finclude-default-header', '-Wno-linker-warnings', '-Xclang',
                  '-mlink-builtin-bitcode', '-Xclang', self.libclc, '-S', '-o', ptx] + source(folders, name, constants))
            self.ptx[ptx] = True
        out = call([self.ptxas, '-v', '-arch=' + chip, ptx, '-o', os.path.join(tmp, 'k.cubin')])
        found = {}
        for part in out.split("Compiling entry function '")[1:]:
            stack = re.search(r'(\d+) bytes stack frame, (\d+) bytes spill stores', part)
            smem = re.search(r'(\d+) bytes smem', part)
            found[part.split("'")[0]] = (int(re.search(r'Used (\d+) registers', part)[1]),
                                         int(stack[1]) + int(stack[2]), int(smem[1]) if smem else 0)
        return found

    def occupancy(self, chip, registers, local, items):
        return nvidia_occupancy(NVIDIA[chip], registers, local, items)


def nvidia_occupancy(chip, registers, local, items):
    warps, blocks, smem = chip
    per = -(-items // 32)
    by_registers = 65536 // (-(-registers * 32 // 256) * 256) // 4 * 4 // per
    groups = min(by_registers, blocks, warps // per, smem // (local + 1024))
    return min(1, groups * per / warps)


class Units:
    """Kernels on matrix units, of the step in mixed precision: {(chip, constants): found of Nvidia.measure}."""
    def __init__(self, nvidia, program, folders):
        self.nvidia, self.folders, self.found, self.failures = nvidia, folders, {}, []
        self.step = {k: v for k, v in read_step([program, '--mixed']).items() if 'UNIT=' in k[2]}
        where = os.environ.get('PATH', '').split(os.pathsep) + ['/usr/local/cuda/bin']
        for path in sys.path:
            where += glob.glob(os.path.join(path, 'nvidia', '*', 'bin'))
        self.nvdisasm = shutil.which('nvdisasm', path=os.pathsep.join(where))

    def count(self, chip, name, constants, tmp):
        """What is wrong with the products of the program that was compiled last, in words; '' if nothing is."""
        unit, instruction, parts = UNITS[chip][:3]
        with open(os.path.join(tmp, f'{name} {constants}.ptx')) as f:
            asked = len(re.findall(rf'mma\.sync\.aligned\.m16n8k{unit}\.row\.col\.f32\.f16\.f16\.f32', f.read()))
        nb = int((re.search(r'NB=(\d)', constants) or [0, 0])[1])
        one = parts * {0: 1, 1: 4, 2: 8, 4: 16}[nb]          # of a step; 0: the probe
        words = [] if asked and asked % one == 0 else [f'{asked} mma.sync in PTX, not a multiple of {one}']
        if self.nvdisasm:
            code = call([self.nvdisasm, os.path.join(tmp, 'k.cubin')])
            units = re.findall(r'\bHMMA\.\S+', code)
            if not units or len(units) % one or set(units) != {instruction}:
                words += [f'{len(units)} {sorted(set(units))} in machine code, not a multiple of {one} {instruction}']
        return ', '.join(words)

    def measure(self, tmp):
        programs = sorted({(k[0], k[2]) for k in self.step} | {('mma_probe', 'UNIT=16')})
        for chip, row in UNITS.items():
            for name, constants in programs:
                mine = constants.replace('UNIT=16', f'UNIT={row[0]}')
                try:
                    self.found[chip, constants] = self.nvidia.measure(chip, self.folders, name, mine, tmp)
                    wrong = self.count(chip, name, mine, tmp)
                    self.failures += [f'{name} {mine} for {chip}: {wrong}'] if wrong else []
                except Failed as e:
                    self.failures.append(f'{name} {mine} does not compile for {chip}: {e}')

    def report(self, budgets):
        print('matrix units: products counted in', 'machine code' if self.nvdisasm else 'PTX only, no nvdisasm')
        bad = 0
        for (_, entry, constants) in sorted(self.step):
            for chip in UNITS:
                found, budget = self.found.get((chip, constants), {}).get(entry), budgets.get((entry, constants))
                why = 'no row in budgets.txt' if not budget else 'not found' if not found else \
                    over(chip, self.nvidia, found, budget)
                bad += bool(why)
                print(f'{entry + " " + constants:36} {chip:8} {found}{"  OVER: " + why if why else ""}')
        return bad

    def tables(self, budgets):
        out = ['| kernel | budget: local, registers | ' + ' | '.join(f'{r[4]} ({c})' for c, r in UNITS.items()) + ' |',
               '|' + '---|' * (2 + len(UNITS))]
        roofs = ['| kernel | launches | GFLOP | MB | FLOP/byte | ' + ' | '.join(r[4] for r in UNITS.values()) + ' |',
                 '|' + '---|' * (5 + len(UNITS))]
        total = [0.0] * len(UNITS)
        for (_, entry, constants), row in sorted(self.step.items()):
            name = entry + ' ' + constants.replace(' UNIT=16', '')
            cells, times = [], []
            for i, (chip, unit) in enumerate(UNITS.items()):
                f = self.found[chip, constants][entry]
                use = round(100 * nvidia_occupancy(unit[3], f[0], f[2], row[0]))
                cells.append(f'{f[0]}, {f[2]}, {"spills " + str(f[1]) + ", " if f[1] else ""}{use} %')
                compute, move = row[4] / unit[5] * 1e-9, row[3] / unit[6] * 1e-6
                total[i] += max(compute, move)
                times.append(f'{"compute" if compute > move else "bandwidth"}, {max(compute, move):.3f}')
            out.append(f'| {name} | {budgets[entry, constants][0]:.0f}, {budgets[entry, constants][2]:.0f} | ' +
                       ' | '.join(cells) + ' |')
            roofs.append(f'| {name} | {row[1]} | {row[4] * 1e-9:.2f} | {row[3] * 1e-6:.1f} | {row[4] / row[3]:.2f} | ' +
                         ' | '.join(times) + ' |')
        roofs.append('| sum | | | | | ' + ' | '.join(f'{t:.2f}' for t in total) + ' |')
        return '\n'.join(out + [''] + roofs)


class Intel:
    def __init__(self, ocloc):
        self.ocloc = ocloc

    def form(self, chip):
        return 'PV_SHUFFLE=3 PV_SUBGROUP=0'

    def missing(self, chip):
        return None if self.ocloc else 'no ocloc (intel-opencl-icd)'

    def measure(self, chip, folders, name, constants, tmp):
        """SIMD width (a kernel that needs many registers gets a narrow one); spilled bytes; local bytes unknown."""
        dump = tempfile.mkdtemp(dir=tmp)
        options = ' '.join(['-cl-std=CL1.2'] + defines(folders, constants))
        call([self.ocloc, 'compile', '-file', os.path.join(folders[0], name + '.cl'), '-device', chip, '-options',
              options, '-out_dir', dump], dict(os.environ, IGC_ShaderDumpEnable='1', IGC_DumpToCustomDir=dump))
        found = {}
        for path in glob.glob(os.path.join(dump, '*_simd*.asm')):
            with open(path) as f:
                head = f.read(4000)
            spill = re.search(r'spill (?:size|mem used) (\d+)', head)
            again, simd = re.search(r'_asm[0-9a-f]+_?(\d*)_simd(\d+)_', path).groups()
            entry, rank = re.search(r'\.kernel (\S+)', head)[1].strip('"'), (int(again or 0), int(simd))
            if entry not in found or found[entry][0] < rank:    # the last attempt is what is kept
                found[entry] = (rank, int(spill[1]) if spill else 0)
        shutil.rmtree(dump)
        return {entry: (rank[1], spill, None) for entry, (rank, spill) in found.items()}

    def occupancy(self, chip, simd, local, items):
        threads, slm = INTEL[chip]
        per = -(-items // simd)
        return min(1, min(threads // per, slm // local if local else 1 << 30) * per / threads)


def compilers(program):
    """Chips and the compiler of each."""
    clang15, clang22 = shutil.which('clang-15'), shutil.which('clang-22')
    ptxas = shutil.which('ptxas') or shutil.which('ptxas', path='/usr/local/cuda/bin')
    rocm = glob.glob('/usr/lib/*/amdgcn/bitcode') + glob.glob('/opt/rocm/amdgcn/bitcode')
    libclc22 = glob.glob(os.path.join(os.environ.get('PV_LIBCLC22', '/usr/lib/clc'), 'amdgcn-amd-amdhsa.bc'))
    libclc15 = glob.glob('/usr/lib/clc/nvptx64--nvidiacl.bc')
    amd = Amd(clang15, clang22, rocm[0] if rocm else None, libclc22[0] if libclc22 else None)
    nvidia = Nvidia(clang15, libclc15[0] if libclc15 else None, ptxas)
    intel, aco = Intel(shutil.which('ocloc')), Aco(program)
    every = ((amd, AMD), (aco, Aco.table), (nvidia, NVIDIA), (intel, INTEL))
    return {chip: compiler for compiler, chips in every for chip in chips}


def read_budgets():
    """(entry, constants): work-items, local bytes, AMD and NVIDIA registers, least SIMD width, operations a float."""
    rows = {}
    with open(os.path.join(HERE, 'budgets.txt')) as f:
        for line in f:
            cells = [c.strip() for c in line.split('|')]
            if len(cells) == 6 and not line.startswith('#'):
                entry, _, constants = cells[0].partition(' ')
                rows[entry, constants.strip()] = [None if c == '-' else float(c) for c in cells[1:]]
    return rows


def read_step(program):
    """Kernels of the step: (file, entry, constants): [work-items, launches, groups, bytes, flops]."""
    step = {}
    for line in call(program).splitlines():
        cells = line.split('\t')
        row = step.setdefault(tuple(cells[:3]), [int(cells[3]), 0, 0, 0, 0])
        for i in range(1, 5):
            row[i] += int(cells[3 + i])
    return step


def over(chip, compiler, found, budget):
    """What of a kernel exceeds its budget, in words."""
    first, spilled, local = found
    most_local, amd, nvidia, simd, _ = budget
    bad = ['spills'] if spilled else []
    if isinstance(compiler, Intel):
        bad += ['SIMD width'] if first < simd else []
    elif first > (amd * compiler.files(chip) if isinstance(compiler, Amd) else nvidia):
        bad += ['registers']
    if local is not None and local > -(-most_local // 512) * 512:      # what ACO says is rounded up
        bad += ['local memory']
    return ' '.join(bad)


def measure_all(chips, folders, step, tmp):
    """{(chip, file, constants): {entry: ...}} of the step's programs, others on one chip; failures as text."""
    programs, others = {(k[0], k[2]) for k in step}, set()
    for path in glob.glob(os.path.join(folders[0], '*.cl')):
        name = os.path.basename(path)[:-3]
        if name not in FAT_ONLY and name not in {p[0] for p in programs}:
            others |= {(name, c) for c in ALSO.get(name, [''])}
    results, failures = {}, []
    for name, constants in sorted(programs):        # the form with sub-groups too
        for chip, compiler in chips.items():
            if reduces(folders, os.path.join(folders[0], name + '.cl'), set()):
                both = f'{constants} {compiler.form(chip)}'.strip()
                try:
                    results[chip, name, both] = compiler.measure(chip, folders, name, both, tmp)
                except Failed as e:
                    failures.append(f'{name} {both} does not compile for {chip}: {e}')
    first = {id(compiler): chip for chip, compiler in reversed(chips.items())}      # one chip of each compiler
    for name, constants in sorted(programs | others):
        for chip, compiler in chips.items():
            if (name, constants) in others and chip != first[id(compiler)]:
                continue
            try:
                results[chip, name, constants] = compiler.measure(chip, folders, name, constants, tmp)
            except Failed as e:
                failures.append(f'{name} {constants} does not compile for {chip}: {e}')
    return results, failures


def report(chips, step, budgets, results):
    bad = 0
    for (chip, name, constants), found in sorted(results.items()):      # whatever runs: 32 KiB, which every device has
        for entry, (_, _, local) in found.items():
            if local and local > 32768:
                print(f'{entry} of {name} {constants}: {local} bytes of local memory for {chip}')
                bad += 1
    for (name, entry, constants), row in sorted(step.items()):
        if (entry, constants) not in budgets:
            print(f'{entry} {constants}: no row in budgets.txt')
            bad += 1
            continue
        for chip, compiler in chips.items():
            forms = [constants, f'{constants} {compiler.form(chip)}'.strip()]
            for form in forms if (chip, name, forms[1]) in results else forms[:1]:
                found = results.get((chip, name, form), {}).get(entry)
                if not found and form == constants:
                    print(f'{entry} {constants}: {chip} has no such kernel')
                    bad += 1
                if not found:           # of the program, but without a reduction (shaders)
                    continue
                why = over(chip, compiler, found, budgets[entry, constants])
                bad += bool(why)
                print(f'{entry + " " + form:36} {chip:8} {found[0]:4} {found[1]:5} '
                      f'{"-" if found[2] is None else found[2]:>6}{"  OVER: " + why if why else ""}')
    return bad


def tables(chips, step, budgets, results):
    shown = [g for g in GPUS if g[1] in chips]
    out = ['| kernel | budget: local, AMD, NVIDIA, SIMD | ' + ' | '.join(f'{g[0]} ({g[1]})' for g in shown) + ' |',
           '|' + '---|' * (2 + len(shown))]
    for (name, entry, constants), row in sorted(step.items()):
        b = budgets[entry, constants]
        local = max([f[2] or 0 for f in (results.get((c, name, constants), {}).get(entry) for c in chips) if f] + [0])
        cells = []
        for _, chip, _, _ in shown:
            f = results.get((chip, name, constants), {}).get(entry)
            use = round(100 * chips[chip].occupancy(chip, f[0], local, row[0])) if f else 0
            simd = isinstance(chips[chip], Intel)
            cells.append(f'{"SIMD " if simd else ""}{f[0]}{"" if simd else ", " + str(f[2])}, '
                         f'{"spills " + str(f[1]) + ", " if f[1] else ""}{use} %' if f else '-')
        limits = ', '.join(f'{v:.0f}' for v in b[:4])
        out.append(f'| {(entry + " " + constants).strip()} | {limits} | ' + ' | '.join(cells) + ' |')
    out += ['', '| kernel | launches | GFLOP | MB | FLOP/byte | ' + ' | '.join(g[0] for g in GPUS) + ' |',
            '|' + '---|' * (5 + len(GPUS))]
    total = [0.0] * len(GPUS)
    for (name, entry, constants), row in sorted(step.items(), key=lambda s: -s[1][4] / 25 - s[1][3]):
        flops = row[4] or budgets[entry, constants][4] * row[3] / 4
        cells = []
        for i, (_, _, peak, band) in enumerate(GPUS):
            compute, move = flops / peak * 1e-9, row[3] / band * 1e-6
            total[i] += max(compute, move)
            cells.append(f'{"compute" if compute > move else "bandwidth"}, {max(compute, move):.3f}')
        out.append(f'| {(entry + " " + constants).strip()} | {row[1]} | {flops * 1e-9:.2f} | {row[3] * 1e-6:.1f} | '
                   f'{flops / max(row[3], 1):.2f} | ' + ' | '.join(cells) + ' |')
    out.append(f'| sum | {sum(r[1] for r in step.values())} | | | | ' + ' | '.join(f'{t:.2f}' for t in total) + ' |')
    return '\n'.join(out)


def replace(path, name, text):
    """What stands in a file between <!-- name --> and <!-- end of name -->."""
    with open(path) as f:
        before, rest = f.read().split(f'<!-- {name} -->\n', 1)
    after = rest.split(f'<!-- end of {name} -->', 1)[1]
    with open(path, 'w') as f:
        f.write(f'{before}<!-- {name} -->\n{text}\n<!-- end of {name} -->{after}')


def main():
    args, options = sys.argv[1:], {}
    for i in range(3, len(args) - 1, 2):
        options[args[i]] = args[i + 1]
    folders = args[1:3]
    chips = compilers(args[0])
    if '--only' in options:
        chips = {c: chips[c] for c in options['--only'].split(',')}
    for chip in [c for c in chips if chips[c].missing(c)]:
        print(f'{chip} skipped: {chips.pop(chip).missing(chip)}')
    if not chips:
        sys.exit(77)
    step, winog, budgets = read_step([args[0]]), read_step([args[0], '--winog']), read_budgets()
    both = {**step, **winog}
    nvidia = [c for c in chips.values() if isinstance(c, Nvidia)]
    units = Units(nvidia[0], args[0], folders) if nvidia else None
    with tempfile.TemporaryDirectory() as tmp:
        results, failures = measure_all(chips, folders, both, tmp)
        if units:
            units.measure(tmp)
            failures += units.failures
    for f in failures:
        print(f)
    bad = report(chips, both, budgets, results) + (units.report(budgets) if units else 0)
    if '--markdown' in options:
        replace(options['--markdown'], 'tables', tables(chips, step, budgets, results))
        replace(options['--markdown'], 'winograd tables', tables(chips, winog, budgets, results))
        if units:
            replace(options['--markdown'], 'matrix tables', units.tables(budgets))
    if bad or failures:
        sys.exit(f'{bad} over their budgets, {len(failures)} do not compile')


if __name__ == '__main__':
    main()
