#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes steps/*.safetensors of the baselines (docs/methods/baselines.md): whole steps by the formulas of
baseline_terms.py. Names on the command line choose. Needs torch, numpy, safetensors."""
import sys

import baseline_terms as terms
import crln_terms
import numpy as np
import torch
from baseline_terms import ramp
from make_steps_mt import config, ema, set_lr, sgd
from steps import Steps
from torch.nn import functional as F

torch.set_default_dtype(torch.float64)
terms.MARGIN = 0        # with 16,384 voxels one is always close
SIZE = (32, 32, 16)


def options(**more):
    """Ramps of 12 iterations in units of 2: 6000 and 1000 at reference length."""
    return {'rampup': 6000, 'ramp_unit': 1000, **more}


def weight(i, most):
    return most * ramp(i // 2, 6)


def soft(net, x):
    with torch.no_grad():
        return torch.softmax(net(x).logits, 1)


def steps(name, method, terms_of, **opts):
    """terms_of(s, i, student, teacher, image, label) -> [(log name, weight, value)] and logs."""
    s = Steps(name, config(method, **opts), 2, 2)
    student, teacher = s.net(0), s.net(1)
    opt = sgd(student)
    for i in range(5):
        image, label = s.batch(i)
        set_lr(opt, i)
        parts, logs = terms_of(s, i, student, teacher, image, label)
        loss = sum(w * v for _, w, v in parts)
        opt.zero_grad()
        loss.backward()
        opt.step()
        ema(teacher, student, i)
        for k, v in {'loss': loss, **{k: v for k, _, v in parts}, **logs}.items():
            s.log(i, k, v)
    s.save()


def uamt():
    def f(s, i, student, teacher, image, label):
        z = student(image).logits
        double = torch.cat([image[2:], image[2:]])
        passes = []
        for k in range(2):
            noise = s.field(i, f'noise_{k}', (4, 1) + SIZE, 0.3, 0.2)
            with torch.no_grad():
                passes.append(teacher(double + noise).logits)
        p, h = terms.uncertainty(torch.cat(passes), 2)
        share = 0.97 + 0.03 * ramp(i, 12)
        kept = h < share * torch.log(torch.tensor(2.0))
        target = soft(teacher, image[2:] + s.field(i, 'noise', (2, 1) + SIZE, 0.3, 0.2))
        cons = terms.kept_mse(torch.softmax(z[2:], 1), target, kept)
        w = weight(i, 5)
        return ([('loss_sup', 1, terms.supervised('sq')(z[:2], label[:2])), ('loss_consistency', w, cons)],
                {'consistency_weight': w, 'kept': kept.double().mean()})
    steps('uamt', 'uamt', f, **options(consistency=5, passes=4, threshold=0.97))


def cps():
    s = Steps('cps', config('cps', **options(consistency=2)), 2, 2)
    nets = [s.net(0), s.net(1)]
    opts = [sgd(n) for n in nets]
    for i in range(5):
        image, label = s.batch(i)
        z = [n(image).logits for n in nets]
        sup = [terms.supervised('mc')(v[:2], label[:2]) for v in z]
        cross, w = terms.cross(z[0][2:], z[1][2:]), weight(i, 2)
        loss = sup[0] + sup[1] + w * cross
        for o in opts:
            set_lr(o, i)
            o.zero_grad()
        loss.backward()
        for o in opts:
            o.step()
        for k, v in {'loss': loss, 'loss_sup_a': sup[0], 'loss_sup_b': sup[1], 'loss_cross': cross,
                     'consistency_weight': w}.items():
            s.log(i, k, v)
    s.save()


def ict():
    """Two pairs: images 2, 3 with 4, 5."""
    s = Steps('ict', config('ict', **options(consistency=5)), 2, 4)
    student, teacher = s.net(0), s.net(1)
    opt = sgd(student)
    for i in range(5):
        image, label = s.batch(i)
        set_lr(opt, i)
        mix = torch.tensor([0.1875 + 0.125 * i, 0.9375 - 0.0625 * i])
        s.given(i, 'mix', mix)
        m = mix[:, None, None, None, None]
        target = (1 - m) * soft(teacher, image[2:4]) + m * soft(teacher, image[4:])
        z = student(torch.cat([image[:2], (1 - m) * image[2:4] + m * image[4:]])).logits
        sup = terms.supervised('mc')(z[:2], label[:2])
        cons, w = ((torch.softmax(z[2:], 1) - target) ** 2).mean(), weight(i, 5)
        loss = sup + w * cons
        opt.zero_grad()
        loss.backward()
        opt.step()
        ema(teacher, student, i)
        for k, v in {'loss': loss, 'loss_sup': sup, 'loss_consistency': cons, 'consistency_weight': w}.items():
            s.log(i, k, v)
    s.save()


def acmt():
    def f(s, i, student, teacher, image, label):
        z = student(image).logits
        noise = s.field(i, 'noise', (2, 1) + SIZE, 0.3, 0.2)
        with torch.no_grad():
            target = teacher(image[2:] + noise).logits
        r = terms.acmt(0.75 + 0.2 * ramp(i, 12))(z[2:], target)
        w = weight(i, 5)
        return ([('loss_sup', 1, terms.supervised('mc')(z[:2], label[:2])), ('loss_consistency', w, r['loss'])],
                {'consistency_weight': w, 'kept': r['kept'].mean()})
    steps('acmt', 'acmt', f, **options(consistency=5))


def cpcl_steps(name, how, proto, form, **more):
    def f(s, i, student, teacher, image, label):
        noise = s.field(i, 'noise', (4, 1) + SIZE, 0.3, 0.2)
        with torch.no_grad():
            noisy, u = teacher(image + noise).logits, teacher(image[2:])
        o = student(image)
        v = dict(feat_l=o.feat['dec3'][:2], logits_l=o.logits[:2], labels=label[:2], feat_u=u.feat['dec3'],
                 logits_u=u.logits)
        w = weight(i, 0.5)
        return ([('loss_sup', 1, terms.supervised('mc')(o.logits[:2], label[:2])),
                 ('loss_sta', w, terms.logit_mse(o.logits, noisy)),
                 ('loss_l2u', w, terms.l2u(20.0, how, proto)(**v)),
                 ('loss_u2l', 10 * w, terms.u2l(20.0, how, proto, form)(**v))], {'consistency_weight': w})
    steps(name, 'cpcl', f, **options(consistency=0.5, **more))


def cpcl():
    cpcl_steps('cpcl', 'image', 'trained', 'ce')
    cpcl_steps('cpcl_code', 'pooled', 'fixed', 'twice', pairing='pooled', prototypes='fixed', u2l='twice')


def dtc_steps(name, flat, steepness):
    c = config('dtc', **options(consistency=5, beta=0.5, steepness=steepness))
    if flat:
        c['net'].update(name='unet2d', dims=2, classes=4)
        c['train']['patch'] = [1, 64, 48]
    s = Steps(name, c, 2, 2)
    net = s.net(0, classes=2 * (c['net']['classes'] - 1))
    opt = sgd(net)
    for i in range(5):
        image, label = s.batch(i)
        set_lr(opt, i)
        z, w = net(image).logits, weight(i, 5)
        r, task = terms.dtc_sup(0.5)(z[:2], label[:2].int()), terms.dtc_task(steepness)(z)
        loss = r['loss'] + w * task
        opt.zero_grad()
        loss.backward()
        opt.step()
        for k, v in {'loss': loss, 'loss_dice': r['dice'], 'loss_sdf': r['distance'], 'loss_consistency': task,
                     'consistency_weight': w}.items():
            s.log(i, k, v)
    s.save()


def dtc():
    dtc_steps('dtc', False, 1500.0)
    dtc_steps('dtc_acdc', True, 20.0)


def choices(s, i):
    """Random choices of the views in step i, two unlabelled images; everything on in some image."""
    c = {'scale': [0.71 + 0.15 * i, 1.37 - 0.2 * i], 'cutmix_lambda': [0.1 * k + 0.02 * i for k in range(7)],
         'cutmix_from': [0, i % 2], 'cutmix_centre': [(5 + 9 * i) % 28, 20 - i, 3 + i, (17 + 5 * i) % 28],
         'intensity_on': [0.1, 0.9 if i % 2 else 0.3], 'intensity': [0.8 + 0.1 * i, 1.2 - 0.05 * i],
         'noise_on': [0.2 + 0.2 * i, 0.4], 'turn_on': [0.7 - 0.15 * i, 0.3], 'turn': [i % 4, (i + 2) % 4],
         'flip': [i % 2, 1 - i // 2 % 2]}
    for name, v in c.items():
        s.given(i, name, torch.tensor(v))
    return {k: [x if isinstance(x, int) else float(np.float32(x)) for x in v] for k, v in c.items()}


def fixmatch_steps(name, own, form, tau, **more):
    """A small learning rate: a voxel decides by its confidence, and a strong view shows it several times."""
    c = config('fixmatch', **options(consistency=2, tau=tau, **more))
    c['optim']['lr'] = 0.0001
    s = Steps(name, c, 2, 2)
    student = s.net(0)
    teacher = student if own else s.net(1)
    opt, gap = sgd(student), 1.0
    for i in range(5):
        image, label = s.batch(i)
        set_lr(opt, i)
        opt.param_groups[0]['lr'] *= 0.1
        factor = torch.tensor([0.85, 1.1, 0.95, 1.2]) + 0.02 * i
        s.given(i, 'weak_brightness', factor)
        weak = (image * factor.float().double()[:, None, None, None, None]).clamp(0, 1)
        noise = s.field(i, 'noise', (2, 1) + SIZE, 0.1, 0.2)
        o = student(weak[:2])
        conf, y = soft(teacher, weak[2:]).max(1, keepdim=True)
        gap = min(gap, float((conf - tau).abs().min()))
        x, y, conf = crln_terms.strong(weak[2:], y, conf, choices(s, i), noise)
        ce = F.cross_entropy(student(x).logits, y[:, 0].long(), ignore_index=255, reduction='none')
        sure, known = (conf[:, 0] >= tau).double(), (y[:, 0] != 255).double()
        if form == 'filter':
            unsup = (sure * ce).mean()
        else:
            share = (sure * known).flatten(1).sum(1) / known.flatten(1).sum(1)
            unsup = (share[:, None, None, None] * ce).sum() / (ce > 0).double().sum()
        sup, w = terms.supervised('sq')(o.logits, label[:2]), weight(i, 2)
        loss = sup + w * unsup
        opt.zero_grad()
        loss.backward()
        opt.step()
        if not own:
            ema(teacher, student, i)
        for k, v in {'loss': loss, 'loss_sup': sup, 'loss_unsup': unsup, 'consistency_weight': w,
                     'kept': (sure * known).sum() / known.sum()}.items():
            s.log(i, k, v)
    print('closest to the threshold:', gap)
    s.save()


def fixmatch():
    fixmatch_steps('fixmatch', False, 'filter', 0.77)
    fixmatch_steps('fixmatch_self', True, 'share', 0.77, teacher='self', unsup='share')


if __name__ == '__main__':
    every = {'uamt': uamt, 'cps': cps, 'ict': ict, 'cpcl': cpcl, 'dtc': dtc, 'fixmatch': fixmatch, 'acmt': acmt}
    for name in sys.argv[1:] or every:
        every[name]()
