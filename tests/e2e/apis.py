#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""OpenCL and Vulkan train alike: losses of PoCL and lavapipe within 1e-4 for 5 steps and 1e-3 for 20, relative to 1.
    apis.py PROTOVOX PHANTOMS
Preset tiny with 4 filters and a learning rate of 0.0005: at 0.01 a change of the learning rate by 1e-7 alone moves the
loss by 1e-3 within six steps on one and the same device (16 values to a normalisation in the deepest level)."""
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
sys.argv[3:] = ['auto']

import run_on                                                               # noqa: E402
from e2e import losses, main, phantoms, run, safetensors                    # noqa: E402


def start(driver, *args):
    """Runs a command on that driver alone."""
    env = {}
    device, more = run_on.setup(driver, env, tempfile.gettempdir())
    os.environ.update(env)
    text = run(*args, '--device', device, *more)
    for k in env:
        del os.environ[k]
    return text


def on(driver, method, iters):
    out = f'{method}-{driver}'
    start(driver, 'train', '--data', 'data', '--out', out, '--method', method, '--preset', 'tiny', '--labeled', 2,
          '--iters', iters, '--quiet', '--set', 'net.filters=4', 'data.prep=none', 'optim.lr=0.0005',
          'train.reference_iters=20')
    return losses(out)


def alike(method, iters):
    a, b = on('pocl', method, iters), on('lavapipe', method, iters)
    assert len(a) == len(b) == iters
    distance = [abs(x - y) for x, y in zip(a, b)]
    print(f'        {method}: ' + ' '.join(f'{d:.0e}' for d in distance))
    assert a[0] != a[-1] and max(distance[:5]) < 1e-4 and max(distance) < 1e-3, (a, b)


def twenty_steps():
    phantoms('data')
    alike('sup', 20)


def five_steps_with_a_teacher():
    alike('mt', 5)


def a_failed_device_closes():
    """With work under way a kernel asks for more than is allowed: an error, no crash."""
    env = {}
    device, more = run_on.setup('lavapipe', env, tempfile.gettempdir())
    os.environ.update(env)
    for groups in (30, 48):     # in the forward and in the backward pass
        text = run('train', '--data', 'data', '--out', 'failed', '--overwrite', '--preset', 'tiny', '--labeled', 2,
                   '--quiet', '--set', 'net.filters=4', 'data.prep=none', '--device', device, '--limit',
                   f'groups={groups}', *more, code=4)
        assert 'work-groups' in text, text
    for k in env:
        del os.environ[k]


def checkpoints_travel():
    """A run of one device goes on on another, with a warning."""
    text = start('pocl', 'train', '--data', 'data', '--out', 'mt-lavapipe', '--resume')
    assert 'another device (llvmpipe' in text and 'mt on opencl:0' in text, text
    assert 'llvmpipe' not in safetensors('mt-lavapipe/final.safetensors')[0]['device']


main([twenty_steps, a_failed_device_closes, five_steps_with_a_teacher, checkpoints_travel])
