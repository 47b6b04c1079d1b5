#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a command on one driver, alone in its process: run_on.py [--finds TEXT] DRIVER COMMAND... with DEVICE in the
command replaced by the device's name. Exits 77 (skipped) with a reason where the driver is missing.

DRIVERs: pocl, pocl-simt, rusticl, oclgrind, oclgrind-fat, lavapipe, validation (lavapipe under the validation layer
with synchronisation checks), ref. oclgrind fails if its log is not empty; --finds: if TEXT is not in it."""
import glob
import os
import subprocess
import sys
import tempfile

SKIP = 77


def first(*patterns):
    for p in patterns:
        found = sorted(glob.glob(p))
        if found:
            return found[0]
    return None


def library(*names):
    folders = ['/usr/lib', '/usr/lib/*-linux-*', '/usr/lib64', '/usr/local/lib']
    return first(*[os.path.join(d, n) for n in names for d in folders])


def skip(why):
    print('skipped:', why)
    sys.exit(SKIP)


def setup(driver, env, log):
    """Environment for the driver; returns the device's name and further arguments."""
    if driver.startswith('pocl'):
        lib = library('libpocl.so.2', 'libpocl.so')
        if not lib:
            skip('PoCL is not installed (pocl-opencl-icd)')
        env['OCL_ICD_VENDORS'] = lib
        return 'opencl:0', ['--class', 'simt'] if driver == 'pocl-simt' else []
    if driver == 'rusticl':
        lib = library('libRusticlOpenCL.so.1')
        if not lib:
            skip('rusticl is not installed (mesa-opencl-icd)')
        env.update(OCL_ICD_VENDORS=lib, RUSTICL_ENABLE='llvmpipe')
        env.setdefault('PV_CLBLAST_LIB', 'none')    # minutes to compile its kernels; PoCL runs them
        return 'opencl:0', []
    if driver.startswith('oclgrind'):
        lib = library('oclgrind/liboclgrind-rt-icd.so')
        if not lib:
            skip('Oclgrind is not installed (oclgrind)')
        env.update(OCL_ICD_VENDORS=lib, OCLGRIND_DATA_RACES='1', OCLGRIND_UNINITIALIZED='1',
                   OCLGRIND_CHECK_API='1', OCLGRIND_MAX_ERRORS='5', OCLGRIND_LOG=log, PV_CACHE='off')
        return 'opencl:0', ['--class', 'fat'] if driver == 'oclgrind-fat' else []
    if driver in ('lavapipe', 'validation'):
        icd = first('/usr/share/vulkan/icd.d/lvp_icd*.json')
        if not icd:
            skip('lavapipe is not installed (mesa-vulkan-drivers)')
        env.update(VK_ICD_FILENAMES=icd, VK_DRIVER_FILES=icd)
        if driver == 'validation':
            if not first('/usr/share/vulkan/explicit_layer.d/VkLayer_khronos_validation.json'):
                skip('the validation layer is not installed (vulkan-validationlayers)')
            env['PV_VALIDATE'] = '1'
            env['VK_LAYER_SYNCVAL_SHADER_ACCESSES_HEURISTIC'] = 'true'      # layers of 2025 ask for it
        return 'vulkan:0', []
    if driver == 'ref':
        return 'ref:0', []
    sys.exit(f'unknown driver {driver}')


def main():
    args = sys.argv[1:]
    finds = args[1] if args[0] == '--finds' else None
    driver, command = (args[2], args[3:]) if finds else (args[0], args[1:])
    env = dict(os.environ)
    with tempfile.TemporaryDirectory() as tmp:
        log = os.path.join(tmp, 'log')
        device, more = setup(driver, env, log)
        command = [device if c == 'DEVICE' else c for c in command] + more
        code = subprocess.run(command, env=env).returncode
        found = ''
        if os.path.exists(log):
            with open(log) as f:
                found = f.read()
        print(found[:4000])
        if finds:
            print('found' if finds in found else f'Oclgrind did not find: {finds}')
            code = code or finds not in found
        elif found:
            print('Oclgrind found errors')
            code = code or 1
    sys.exit(code)


if __name__ == '__main__':
    main()
