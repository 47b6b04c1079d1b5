#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes optim.safetensors: five steps of PyTorch's optimisers, and its learning rates, in float64.

    make_optim.py        (needs torch and safetensors; the file lies beside this script)

CASE.setup: SGD [lr, momentum, weight decay, nesterov], Adam [lr, beta1, beta2, eps, weight decay]; CASE.g [step, i]
gradients, CASE.w0 [i] the start, CASE.w [step, i] after each step. Settings are exact in fp32. lr.KIND [it]:
learning rates from 1; ramp [it]: weights of a ramp; ema [it]: factors of a teacher.
"""
import math
import os

import torch
from safetensors.torch import save_file
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import LambdaLR, PolynomialLR, StepLR

STEPS, LENGTH = 5, 7
SGD_CASES = {           # lr, momentum, weight decay, nesterov
    'plain': (0.0625, 0.0, 0.03125, False),
    'momentum': (0.0625, 0.875, 0.0, False),
    'decay': (0.0625, 0.875, 0.03125, False),
    'nesterov': (0.0625, 0.875, 0.03125, True),
}
ADAM_CASES = {          # lr, betas, eps, weight decay
    'adam': (0.03125, 0.875, 0.96875, 2.0 ** -20, 0.0),
    'adam_decay': (0.03125, 0.875, 0.96875, 2.0 ** -20, 0.0625),
}
ITERATIONS = 40


def steps(name, make, setup, generator, out):
    w = torch.randn(LENGTH, dtype=torch.float64, generator=generator).requires_grad_()
    optimiser = make([w])
    out[f'{name}.setup'] = torch.tensor(setup, dtype=torch.float64)
    out[f'{name}.w0'] = w.detach().clone()
    gradients = torch.randn(STEPS, LENGTH, dtype=torch.float64, generator=generator)
    seen = []
    for g in gradients:
        w.grad = g.clone()
        optimiser.step()
        seen.append(w.detach().clone())
    out[f'{name}.g'], out[f'{name}.w'] = gradients, torch.stack(seen)


def rates(make):
    optimiser = SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler, seen = make(optimiser), []
    for _ in range(ITERATIONS):
        seen.append(optimiser.param_groups[0]['lr'])
        optimiser.step()
        scheduler.step()
    return torch.tensor(seen, dtype=torch.float64)


def main():
    generator, out = torch.Generator().manual_seed(32), {}
    for name, (lr, momentum, decay, nesterov) in SGD_CASES.items():
        steps(name, lambda p: SGD(p, lr=lr, momentum=momentum, weight_decay=decay, nesterov=nesterov),
              [lr, momentum, decay, float(nesterov)], generator, out)
    for name, (lr, b1, b2, eps, decay) in ADAM_CASES.items():
        steps(name, lambda p: Adam(p, lr=lr, betas=(b1, b2), eps=eps, weight_decay=decay), [lr, b1, b2, eps, decay],
              generator, out)
    out['lr.step'] = rates(lambda o: StepLR(o, 7, 0.25))
    out['lr.poly'] = rates(lambda o: PolynomialLR(o, 30, 0.9))
    out['lr.poly_epoch'] = rates(lambda o: LambdaLR(o, lambda it: max((1 - it // 4 / 10) ** 0.9, 0.25)))

    def ramp(it):                           # in units of 3 iterations, 8 of them
        phase = 1 - min(it // 3, 8) / 8
        return math.exp(-5 * phase * phase)

    out['ramp'] = torch.tensor([ramp(it) for it in range(ITERATIONS)], dtype=torch.float64)
    out['ema'] = torch.tensor([min(1 - 1 / (it + 1), 0.9) for it in range(ITERATIONS)], dtype=torch.float64)
    save_file(out, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'optim.safetensors'))


if __name__ == '__main__':
    main()
