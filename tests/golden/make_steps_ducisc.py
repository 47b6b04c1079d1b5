#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes steps/ducisc.safetensors, ducisc_plain (the paper's reading) and ducisc_acdc (2D, four classes). Needs
torch, numpy, safetensors."""
import ducisc_terms
import torch
from ducisc_terms import cs_mix, cs_ulb, distance, hot, prototype, shrink, soft, sup, target, thresholds
from steps import Steps

torch.set_default_dtype(torch.float64)
ducisc_terms.MARGIN = 0     # with 32,768 voxels one is always close
# pseudo labels at 1/8 are 32 voxels an image: one that is nearly a tie moves a prototype, so the rate is small
LR = 0.0003


def config(net, **options):
    flat = net == 'unet2d'
    return {'method': 'ducisc', 'net': {'name': net, 'dims': 2 if flat else 3, 'channels': 1,
                                        'classes': 4 if flat else 2, 'filters': 8, 'dropout': 0, 'init': 'default'},
            'train': {'iters': 12, 'reference_iters': 12000, 'patch': [1, 64, 48] if flat else [32, 32, 16],
                      'seed': 1, 'labeled_batch': 2, 'unlabeled_batch': 2},
            'optim': {'lr': LR, 'momentum': 0.9, 'weight_decay': 1e-4, 'schedule': 'constant'},
            'method_options': options}


def scales(out):
    return out.heads + [out.logits]


def maps(out, kind):
    return [out.feat[f'{kind}{i}'] for i in (1, 2, 3, 4)]


def numbered(name, values):
    return {f'{name}{i}': v for i, v in enumerate(values)}


def train(name, options, warmup, beta, normalised, form, pairing, absent, ce, proto=0.1, net='vnet', feats='up'):
    """Steps of warm-up, then some with everything."""
    weights = {'sup': 1, 'proto_ulb': proto, 'proto_mix': proto, 'cs_ulb': 0.3, 'cs_mix': 0.1}
    c = config(net, **options)
    classes = c['net']['classes']
    s = Steps(name, c, 2, 2)
    student = s.net(0, heads=True)
    teacher = s.net(1, heads=True)
    opt = torch.optim.SGD(student.parameters(), lr=LR, momentum=0.9, weight_decay=1e-4)
    th = torch.full((4, classes), 1 / classes)
    sigmas = ((0.3, 0.7), (0.5, 0.26), (0.4, 0.6), (0.74, 0.45), (0.35, 0.52))
    for i in range(5):
        image, label = s.batch(i)
        y, unlabeled = label[:2].int(), image[2:]
        sigma = torch.tensor(sigmas[i])
        s.given(i, 'sigma', sigma)
        share = sigma.view(2, 1, *[1] * c['net']['dims'])
        mixed = share * image[:2] + (1 - share) * unlabeled
        ol, ou = student(image[:2]), student(unlabeled)
        with torch.no_grad():
            ot = teacher(unlabeled)
        om = student(mixed)
        loss = {'sup': sup(**numbered('z', scales(ol)), labels=y)}
        if i >= warmup:
            frozen = {**numbered('teacher', scales(ot)), 'thresholds': th}
            full = target(y, ot.logits, sigma)
            ulb = cs_ulb()(**numbered('z', scales(ou)), **frozen)
            loss['cs_ulb'] = ulb['loss']
            loss['cs_mix'] = cs_mix(ce=ce)(**numbered('z', scales(om)), **frozen, labels=y, sigma=sigma)['loss']
            ulb_pairs, mix_pairs = [], []
            for fl, fu, fm, zt in zip(maps(ol, feats), maps(ou, feats), maps(om, feats), scales(ot)):
                pl = prototype(fl, hot(shrink(y, fl.shape[2:]), classes))
                ulb_pairs.append((pl, prototype(fu, hot(zt.argmax(1, keepdim=True), classes))))
                mix_pairs.append((pl, prototype(fm, soft(full, fm.shape[2:]))))
            loss['proto_ulb'] = distance(ulb_pairs, form, pairing, absent, classes)
            loss['proto_mix'] = distance(mix_pairs, form, pairing, absent, classes)
            s.log(i, 'kept', ulb['kept3'].mean())
        plain = sum(weights[k] * v for k, v in loss.items())
        back = sum(weights[k] * v / v.detach() for k, v in loss.items() if float(v.detach()) != 0) if normalised \
            else plain
        opt.zero_grad()
        back.backward()
        opt.step()
        a = min(1 - 1 / (i + 1), 0.99)
        for t, p in zip(teacher.parameters(), student.parameters()):
            t.data.mul_(a).add_(p.data, alpha=1 - a)
        s.log(i, 'loss', plain)
        for k, v in loss.items():
            s.log(i, 'loss_' + k, v)
        if i >= warmup:
            with torch.no_grad():
                th = torch.stack([thresholds(beta, 0, 0.95)(zs, zt, old)['thresholds']
                                  for zs, zt, old in zip(scales(ou), scales(ot), th)])
            for k in range(classes):
                s.log(i, f'threshold_{k}', th[3, k])
        s.state(i, 'thresholds', th)
    s.save()


if __name__ == '__main__':
    train('ducisc', {'warmup': 2000, 'threshold_beta': 0.5}, 2, 0.5, True, 'mean', 'batch', 'scale', False)
    train('ducisc_plain', {'warmup': 1000, 'threshold_beta': 0.9, 'loss_mode': 'plain', 'prototypes': 'sum',
                           'pairing': 'image', 'absent': 'class', 'mix_loss': 'ce', 'w_proto_ulb': 0.003,
                           'w_proto_mix': 0.003}, 1, 0.9, False, 'sum', 'image', 'class', True, 0.003)
    train('ducisc_acdc', {'warmup': 1000, 'threshold_beta': 0.8, 'features': 'dec', 'mix_loss': 'ce',
                          'absent': 'class'}, 1, 0.8, True, 'mean', 'batch', 'class', True, net='unet2d', feats='dec')
