#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes steps/crln_unet.safetensors (the paper's readings, U-Net, three classes, scrambled rows). Needs torch,
numpy, safetensors.

Voxels of the contrast are given by their numbers: a pseudo label that is nearly a tie must not change which are drawn.
They are taken where nothing is close to a threshold."""
import numpy as np
import torch
from crln_terms import contrast, segment, strong, unsup
import crln_terms
from steps import Steps

torch.set_default_dtype(torch.float64)
crln_terms.MARGIN = 0       # with 32,768 voxels one is always close; their shares hardly matter
# The share of pseudo labels above a threshold sees the smallest change of a weight, so the rate is small, but not the
# scalar's.
LR, OP_LR, PATCH, SURE = 0.00002, 5000, (32, 32, 16), 0.01


def config(net, classes, r, scrambled, **options):
    return {'method': 'crln', 'net': {'name': net, 'dims': 3, 'channels': 1, 'classes': classes, 'filters': 8,
                                      'dropout': 0, 'init': 'default', 'prototypes': r, 'scrambled': scrambled},
            'train': {'iters': 12, 'reference_iters': 12000, 'patch': list(PATCH), 'seed': 1, 'labeled_batch': 2,
                      'unlabeled_batch': 2},
            'optim': {'lr': LR, 'momentum': 0.9, 'weight_decay': 5e-4, 'nesterov': True, 'schedule': 'poly_epoch',
                      'epoch': 2000, 'power': 0.9, 'floor': 1e-6},
            'method_options': {'op_lr': OP_LR, **options}}


def choices(rng, n):
    """The random numbers of a step, by the names of the method's random choices."""
    c = {'weak_brightness': rng.uniform(0.75, 1.25, 2 + n), 'scale': rng.uniform(0.5, 1.5, n),
         'cutmix_lambda': rng.uniform(0, 1, 7), 'intensity': rng.uniform(0.75, 1.25, n)}
    for name in ('intensity_on', 'noise_on', 'turn_on'):
        c[name] = rng.uniform(0, 1, n)
    c['cutmix_centre'] = np.array([rng.integers(0, PATCH[k % 2] - PATCH[k % 2] // 8) for k in range(2 * n)])
    c['cutmix_from'] = np.array([rng.integers(0, k + 1) for k in range(n)])
    c['turn'], c['flip'] = rng.integers(0, 4, n), rng.integers(0, 2, n)
    return c


def train(name, net, classes, r, scrambled, options, form, xi, positive, reduction, seed, steps=5):
    tau, tau_weak, queries, negatives = options['tau'], options['tau_weak'], options['queries'], options['negatives']
    s = Steps(name, config(net, classes, r, scrambled, **options), 2, 2)
    rectify, learned = options['rectify_from'] // 1000, options['positive_from'] // 1000
    shape = dict(prototypes=r, size=PATCH, scrambled=scrambled)
    if net != 'vnet':
        shape.update(name='unet3d', deconv=True)
    student, teacher = s.net(0, **shape), s.net(1, **shape)
    a = student.op.a
    settings = dict(lr=LR, momentum=0.9, weight_decay=5e-4, nesterov=True)
    opt = torch.optim.SGD([p for p in student.parameters() if p is not a], **settings)
    opt_a = torch.optim.SGD([a], **settings)
    rng = np.random.default_rng(seed)
    for i in range(steps):
        rate = max(LR * (1 - (i // 2) / 6) ** 0.9, 1e-6)
        for o in (opt, opt_a):
            o.param_groups[0]['lr'] = rate * (OP_LR if o is opt_a else 1)
        image, label = s.batch(i)
        c = choices(rng, 2)
        for k, v in c.items():
            c[k] = np.float32(v).astype(float) if v.dtype.kind == 'f' else v
            s.given(i, k, torch.from_numpy(c[k]))
        noise = s.field(i, 'noise', (2, 1) + PATCH, 0.1, 0.2)
        weak = (image * torch.from_numpy(c['weak_brightness'])[:, None, None, None, None]).clamp(0, 1)
        y = label[:2]
        with torch.no_grad():
            out = teacher(weak[2:])
            z = out.logits + (1 - a) * out.cue if i >= rectify else out.logits
            conf, guess = torch.softmax(z, 1).max(1, keepdim=True)
        x_u, y_u, p_u = strong(weak[2:], guess, conf, c, noise)

        ol = student(weak[:2])
        before = [v.clone() for v in student.dynamic.buffers()]
        ou = student(x_u)
        terms = {'sup': segment(ol.logits, y), 'map': segment(ol.cue, y)}
        u = unsup(tau, form)(ou.logits, y_u, p_u)
        terms['unsup'] = u['loss']
        z, rep = torch.cat([ol.logits, ou.logits]), torch.cat([ol.rep, ou.rep])
        labels, known = torch.cat([y, y_u])[:, 0], torch.cat([torch.ones_like(p_u), p_u])[:, 0]
        valid = torch.stack([(labels == k) & (known >= tau_weak) for k in range(classes)], 1)
        safe = (known - tau_weak).abs() > SURE
        near = (torch.softmax(z, 1) - tau).abs() < SURE

        def choose(k, hard, lists, odds, safe=safe, near=near):
            ok = [(safe & ~near[:, j]).reshape(-1) for j in range(classes)]
            hard = hard[ok[k][hard]]
            others = torch.cat([v[ok[j][v]] for j, v in enumerate(lists) if j != k])
            pick = torch.from_numpy(rng.integers(0, len(hard), queries))
            return hard[pick], others[torch.from_numpy(rng.integers(0, len(others), (queries, negatives)))]

        drawn = []

        def note(*args):
            drawn.append(choose(*args))
            return drawn[-1]

        xi_now = np.float32(rng.uniform()) if xi is None else xi
        if xi is None:
            s.given(i, 'xi', torch.tensor([float(xi_now)]))
        terms['cps'], _ = contrast(z, rep, valid,
                                    teacher.dynamic.class_prototype.data if i >= learned else None, note, tau,
                                   0.5, float(xi_now), positive, reduction)
        s.given(i, 'anchors', torch.stack([d[0] for d in drawn])[None, None, None].int())
        s.given(i, 'negatives', torch.stack([d[1] for d in drawn])[None, None].int())
        weights = {'sup': 1, 'map': 1, 'unsup': 0.5, 'cps': options.get('w_cps', 0.5)}
        loss = sum(weights[k] * v for k, v in terms.items())
        opt.zero_grad()
        loss.backward()
        opt.step()
        for v, b in zip(student.dynamic.buffers(), before):
            v.copy_(b)      # the method leaves the interaction out of strong views: no new statistics
        m = min(1 - 1 / (i + 1), 0.99)
        for t, p in zip(teacher.parameters(), student.parameters()):
            t.data.mul_(m).add_(p.data, alpha=1 - m)

        student.eval()
        with torch.no_grad():
            out = student(weak[:2])
        student.train()
        op = segment(out.logits + (1 - a) * out.cue, y)
        opt_a.zero_grad()
        op.backward()
        opt_a.step()
        s.log(i, 'loss', loss)
        for k, v in terms.items():
            s.log(i, 'loss_' + k, v)
        s.log(i, 'kept', u['kept'])
        s.log(i, 'loss_op', op)
        s.log(i, 'a', float(a))
        print(i, 'sure', [float(v) for v in (p_u[y_u != 255].min(), p_u.median(), p_u.max())],
              'cue', float(out.cue.max()), 'in', [int(valid[:, k].sum()) for k in range(classes)],
              'labels', [int((y_u == k).sum()) for k in range(classes)])
    s.save()


if __name__ == '__main__':
    train('crln_unet', 'unet3d_deconv', 3, 3, True,
          {'rectify_from': 1000, 'positive_from': 0, 'tau': 0.5, 'tau_weak': 0.4, 'queries': 5, 'negatives': 8,
           'unsup': 'filter', 'cps_reduction': 'sum', 'xi_mode': 'uniform', 'w_cps': 0.02}, 'filter', None, 'both',
          'sum', 5, 3)
