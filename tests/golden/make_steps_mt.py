#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes steps/sup.safetensors and steps/mt.safetensors. Needs torch, numpy, safetensors."""
import math

import torch
from steps import Steps
from torch.nn import functional as F

torch.set_default_dtype(torch.float64)


def config(method, **options):
    return {'method': method, 'net': {'name': 'vnet', 'dims': 3, 'channels': 1, 'classes': 2, 'filters': 8,
                                      'dropout': 0, 'init': 'default'},
            'train': {'iters': 12, 'reference_iters': 6000, 'patch': [32, 32, 16], 'seed': 1, 'labeled_batch': 2,
                      'unlabeled_batch': 2},
            'optim': {'lr': 0.001, 'momentum': 0.9, 'weight_decay': 1e-4, 'schedule': 'poly', 'power': 0.9},
            'method_options': options}


def supervised(logits, label):
    ce = F.cross_entropy(logits, label[:, 0])
    p, g = torch.softmax(logits, 1)[:, 1], (label[:, 0] == 1).double()
    return ce, 1 - (2 * (p * g).sum() + 1e-5) / ((p * p).sum() + (g * g).sum() + 1e-5)


def sgd(net):
    return torch.optim.SGD(net.parameters(), lr=0.001, momentum=0.9, weight_decay=1e-4)


def set_lr(opt, i):
    for group in opt.param_groups:
        group['lr'] = 0.001 * (1 - i / 12) ** 0.9


def ema(teacher, student, i, alpha=0.99):
    a = min(1 - 1 / (i + 1), alpha)
    for t, s in zip(teacher.parameters(), student.parameters()):
        t.data.mul_(a).add_(s.data, alpha=1 - a)


def sup():
    s = Steps('sup', config('sup'), 2, 0)
    net = s.net(0)
    opt = sgd(net)
    for i in range(5):
        image, label = s.batch(i)
        set_lr(opt, i)
        ce, dice = supervised(net(image).logits, label)
        loss = 0.5 * (ce + dice)
        opt.zero_grad()
        loss.backward()
        opt.step()
        s.log(i, 'loss', loss)
        s.log(i, 'loss_ce', ce)
        s.log(i, 'loss_dice', dice)
    s.save()


def mt():
    # a ramp of 12 iterations in units of 2 (rescaled by 12 / 6000), so that the weight moves within five steps
    s = Steps('mt', config('mt', rampup=6000, ramp_unit=1000, consistency=5), 2, 2)
    student, teacher = s.net(0), s.net(1)
    opt = sgd(student)
    for i in range(5):
        image, label = s.batch(i)
        noise = s.field(i, 'noise', (2, 1, 32, 32, 16), 0.3, 0.2)
        set_lr(opt, i)
        with torch.no_grad():
            target = torch.softmax(teacher(image[2:] + noise).logits, 1)
        z = student(image).logits
        ce, dice = supervised(z[:2], label[:2])
        cons = ((torch.softmax(z[2:], 1) - target) ** 2).mean()
        t = min(i // 2, 6) / 6
        w = 5 * math.exp(-5 * (1 - t) ** 2)
        sup_loss = 0.5 * (ce + dice)
        loss = sup_loss + w * cons
        opt.zero_grad()
        loss.backward()
        opt.step()
        ema(teacher, student, i)
        for k, v in {'loss': loss, 'loss_sup': sup_loss, 'loss_consistency': cons, 'consistency_weight': w}.items():
            s.log(i, k, v)
    s.save()


if __name__ == '__main__':
    sup()
    mt()
