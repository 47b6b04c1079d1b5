#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""protovox on a machine without drivers or loaders: no_device.py PROTOVOX

It starts, says for OpenCL and for Vulkan what is missing and how to get it, and exits with 4 where a device is needed.
Drivers are hidden by the loaders' own variables, loaders by PV_OPENCL_LIB and PV_VULKAN_LIB."""
import json
import os
import subprocess
import sys
import tempfile


def main():
    program = os.path.abspath(sys.argv[1])
    built = {'OpenCL': True, 'Vulkan': True}
    failures = []

    with tempfile.TemporaryDirectory() as top:
        nothing = os.path.join(top, 'nothing')
        os.mkdir(nothing)
        base = {k: v for k, v in os.environ.items()
                if not k.startswith(('OCL_ICD', 'VK_', 'PV_OPENCL', 'PV_VULKAN', 'RUSTICL'))}
        base['PV_CACHE'] = 'off'
        drivers = {'OCL_ICD_VENDORS': nothing, 'OPENCL_VENDOR_PATH': nothing,
                   'VK_ICD_FILENAMES': os.path.join(nothing, 'no.json'),
                   'VK_DRIVER_FILES': os.path.join(nothing, 'no.json')}
        loaders = {'PV_OPENCL_LIB': os.path.join(nothing, 'libOpenCL.so.1'),
                   'PV_VULKAN_LIB': os.path.join(nothing, 'libvulkan.so.1')}

        def call(hide, expected, *args):
            done = subprocess.run([program, *args], cwd=top, env={**base, **hide}, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, timeout=120)
            if done.returncode != expected:
                failures.append(f'{" ".join(args)} with {sorted(hide)} gave {done.returncode}, not {expected}: '
                                f'{done.stdout}{done.stderr}')
            return done

        def says(done, *parts):
            for p in parts:
                if p not in done.stdout + done.stderr:
                    failures.append(f'{" ".join(done.args[1:])} does not say {p!r}: {done.stdout}{done.stderr}')

        def hint(api, hide):
            """What it must say for an interface."""
            if not built[api]:
                return [f'{api}: this program was built without it', f'-D{api.lower()}=enabled']
            if hide is loaders:
                return [f'PV_{api.upper()}_LIB names', nothing, 'Unset it']
            return [f'{api}: ', 'apt-get install']

        first = call(drivers, 4, 'devices')
        for api in built:
            built[api] = f'{api}: this program was built without it' not in first.stderr
        for hide in (drivers, loaders):
            call(hide, 0, '--version')
            says(call(hide, 0, '--help'), 'devices', 'train')
            says(call(hide, 0, 'train', '--list'), 'vnet', 'mt')
            done = call(hide, 4, 'devices')
            says(done, 'ref:0', 'no OpenCL or Vulkan device', *hint('OpenCL', hide), *hint('Vulkan', hide))
            ids = [d['id'] for d in json.loads(call(hide, 4, 'devices', '--json').stdout)]
            if ids != ['ref:0']:
                failures.append(f'devices are {ids}')
            for device in ('auto', 'opencl:0', 'vulkan:0'):
                done = call(hide, 4, 'train', '--data', 'none', '--out', 'run', '--device', device)
                says(done, *hint('OpenCL', hide), *hint('Vulkan', hide))
                if 'Traceback' in done.stderr or os.path.exists(os.path.join(top, 'run')):
                    failures.append('a run was begun without a device')
            done = call(hide, 0, 'selftest', '--device', 'ref:0', '--op', 'softmax', '--cases', '1')
            says(done, 'softmax', ' 0 failed')
        # one of the two loaders is enough to be asked about the other
        one = {**drivers, 'PV_VULKAN_LIB': loaders['PV_VULKAN_LIB']}
        done = call(one, 4, 'devices')
        if built['Vulkan']:
            says(done, 'PV_VULKAN_LIB names')
        if 'PV_OPENCL_LIB' in done.stderr:
            failures.append('PV_OPENCL_LIB is blamed although it is not set')
    for f in failures:
        print(f)
    print(f'built with {[a for a in built if built[a]]}: {len(failures)} failures')
    sys.exit(1 if failures else 0)


if __name__ == '__main__':
    main()
