#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes steps/bcp.safetensors and bcp_acdc (2D, four classes, the ACDC form). Needs torch, numpy, scipy,
safetensors."""
import torch
from bcp_terms import box_mask, joint, mix, pseudo
from steps import Steps

torch.set_default_dtype(torch.float64)
LR = 0.001
CORNERS = ((3, 7, 2), (0, 1, 4), (9, 2, 0), (5, 10, 5), (1, 4, 3))


def config(method, net, n, lr, **options):
    flat = net == 'unet2d'
    return {'method': method, 'net': {'name': net, 'dims': 2 if flat else 3, 'channels': 1, 'classes': 4 if flat else 2,
                                      'filters': 8, 'dropout': 0, 'init': 'default'},
            'train': {'iters': 5, 'reference_iters': 5000, 'patch': [1, 64, 48] if flat else [32, 32, 16], 'seed': 1,
                      'labeled_batch': n, 'unlabeled_batch': n},
            'optim': {'lr': lr, 'momentum': 0.9, 'weight_decay': 1e-4, 'schedule': 'step', 'step': 2000, 'gamma': 0.5,
                      'stagewise': True},
            'method_options': options}


class CopyPaste:
    """What the steps of BCP and MPER share: boxes, mixtures, the teacher."""

    def __init__(self, name, method, net, n, pretrain, lr=LR, **options):
        self.s = Steps(name, config(method, net, n, lr, pretrain=1000 * pretrain, **options), n, n)
        self.student, self.teacher = self.s.net(0), self.s.net(1)
        self.opt = torch.optim.SGD(self.student.parameters(), lr=lr, momentum=0.9, weight_decay=1e-4)
        self.lr, self.pretrain, self.n, self.flat = lr, pretrain, n, net == 'unet2d'

    def begin(self, i):
        image, label = self.s.batch(i)
        size = image.shape[2:]
        first = (0,) + CORNERS[i][1:] if self.flat else CORNERS[i]
        self.s.given(i, 'box', torch.tensor(first, dtype=torch.int32))
        side = [int(2 * v / 3) for v in size]
        h = self.n // 2
        self.mask = box_mask(h, size, first[1:] if self.flat else first, side)
        self.opt.param_groups[0]['lr'] = self.lr * 0.5 ** ((i if i < self.pretrain else i - self.pretrain) // 2)
        cut = [(image[k * h:(k + 1) * h], label[k * h:(k + 1) * h].int()) for k in range(4)]
        return cut          # a, b, unlabelled a, unlabelled b

    def paste(self, outer, inner):
        return torch.where(self.mask > 0, outer, inner)

    def pretrain_loss(self, cut, dice, parts):
        (a, ya), (b, yb) = cut[:2]
        z = self.student(self.paste(a, b)).logits
        if parts:
            return mix(1, 1, dice, self.background)(z, ya, yb, self.mask)
        return joint(dice)(z, self.paste(ya, yb))

    def label(self, x):
        with torch.no_grad():
            z = self.teacher(x).logits
        return pseudo(True)(z)['labels'], torch.softmax(z, 1).max(1, keepdim=True)[0]

    def copy(self):
        self.teacher.load_state_dict(self.student.state_dict())

    def step(self, loss):
        self.opt.zero_grad()
        loss.backward()
        self.opt.step()

    def teach(self, alpha):
        for t, p in zip(self.teacher.parameters(), self.student.parameters()):
            t.data.mul_(alpha).add_(p.data, alpha=1 - alpha)


def bcp(name, net, n, pretrain, dice, parts, background, **options):
    c = CopyPaste(name, 'bcp', net, n, pretrain, dice=dice, pretrain_loss='parts' if parts else 'joint',
                  mask_background=int(background), ema=0.9, u_weight=0.4, **options)
    c.background = background
    for i in range(5):
        cut = c.begin(i)
        if i < pretrain:
            loss = c.pretrain_loss(cut, dice, parts)
            c.s.log(i, 'loss_pretrain', loss)
        else:
            if i == pretrain:
                c.copy()
            (a, ya), (b, yb), (ua, _), (ub, _) = cut
            pa, pb = c.label(ua)[0], c.label(ub)[0]
            print('foreground', float((pa > 0).double().mean()), float((pb > 0).double().mean()))
            l = mix(1, 0.4, dice, background)(c.student(c.paste(a, ua)).logits, ya, pa, c.mask)
            u = mix(0.4, 1, dice, background)(c.student(c.paste(ub, b)).logits, pb, yb, c.mask)
            loss = l + u
            c.s.log(i, 'loss_l', l)
            c.s.log(i, 'loss_u', u)
        c.s.log(i, 'loss', loss)
        c.step(loss)
        if i >= pretrain:
            c.teach(0.9)
    c.s.save()


if __name__ == '__main__':
    bcp('bcp', 'vnet', 2, 2, 'mask', False, True)
    bcp('bcp_acdc', 'unet2d', 4, 1, 'mc', True, False, ema_stats=1)
