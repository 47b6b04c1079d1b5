#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes steps/mper.safetensors (public code), mper_paper and mper_acdc (2D, four classes). Needs torch, numpy, scipy,
safetensors."""
import math

import torch
from bcp_terms import mix
from make_steps_bcp import CopyPaste
from mper_terms import contrast, scores, update

torch.set_default_dtype(torch.float64)
# voxels between two prototypes change sides by rounding and move both, so rates are small


def centres(f, k, seed):
    """k directions that share the features of one image out among them."""
    x = torch.nn.functional.normalize(f.movedim(1, -1).reshape(-1, f.shape[1]), dim=1)
    gen = torch.Generator().manual_seed(seed)
    c = x[torch.randperm(len(x), generator=gen)[:k]]
    for _ in range(10):
        own = (x @ torch.nn.functional.normalize(c, dim=1).T).argmax(1)
        c = torch.stack([x[own == i].mean(0) if (own == i).any() else c[i] for i in range(k)])
    return c


def mper(name, net, n, pretrain, dice, parts, each, eta, alpha, ignore0, gamma, lam, proto=1, background=False,
         move='both', stats=0, seed=0, lr=0.0003):
    c = CopyPaste(name, 'mper', net, n, pretrain, lr, dice=dice, pretrain_loss='parts' if parts else 'joint', ema=0.9,
                  ema_stats=stats, prototypes=each, eta=eta, alpha=alpha, ignore0=int(ignore0), gamma=gamma,
                  rampup=3000, ramp_unit=1000, update=move, update_background=int(background), w_proto=proto,
                  **{'lambda': lam})
    c.background = True
    classes = c.s.config['net']['classes']
    for i in range(5):
        cut = c.begin(i)
        if i < pretrain:
            loss = c.pretrain_loss(cut, dice, parts)
            c.s.log(i, 'loss_pretrain', loss)
        else:
            if i == pretrain:
                c.copy()
                with torch.no_grad():
                    p = centres(c.teacher(cut[2][0]).feat['dec4'], classes * each, seed)
                p = p.reshape(classes, each, -1).float().double()
                c.s.given(i, 'prototypes', p.flatten())
            (a, ya), (b, yb), (ua, _), (ub, _) = cut
            (pa, sa), (pb, sb) = c.label(ua), c.label(ub)
            w = lam * math.exp(-5 * (1 - min(i - pretrain, 3) / 3) ** 2)
            linear = second = cont = 0
            for outer, inner, yo, yi, wo, wi, known, sure in (
                    (a, ua, ya, pa, 1, 0.5, c.mask, sa), (ub, b, pb, yb, 0.5, 1, 1 - c.mask, sb)):
                o = c.student(c.paste(outer, inner))
                f = o.feat['dec4']
                form = {'w_outer': wo, 'w_inner': wi, 'dice': dice}
                linear = linear + mix(**form)(o.logits, yo, yi, c.mask)
                if proto:
                    second = second + mix(**form)(scores(f, p, 0.1), yo, yi, c.mask)
                cont = cont + contrast(0.1, ignore0, -1)(f, p)['loss']
                if move != 'none':
                    p = update(each, eta, alpha, move, background, -1)(f.detach(), p, c.paste(yo, yi), known,
                                                                       sure)['prototypes']
            loss = linear + w * (proto * second + gamma * cont)
            c.s.log(i, 'loss_linear', linear)
            c.s.log(i, 'lambda', w)
            if proto:
                c.s.log(i, 'loss_proto', second)
            if gamma:
                c.s.log(i, 'loss_contrast', cont)
            c.s.state(i, 'prototypes', p)
        c.s.log(i, 'loss', loss)
        c.step(loss)
        if i >= pretrain:
            c.teach(0.9)
    c.s.save()


if __name__ == '__main__':
    mper('mper', 'vnet', 2, 2, 'mask', False, 3, 0.99, 0.52, True, 0.1, 1.0, seed=1, lr=0.0001)
    mper('mper_paper', 'vnet', 2, 1, 'mask', False, 2, 0.999, 0.52, False, 0.02, 1.0, background=True,
         move='unlabeled', seed=1, lr=0.0001)
    mper('mper_acdc', 'unet2d', 4, 1, 'mc', True, 3, 0.95, 0.3, True, 0.1, 0.5, move='labeled', stats=1)
