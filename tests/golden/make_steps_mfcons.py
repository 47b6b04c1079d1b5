#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes steps/mfcons.safetensors and steps/mfcons4.safetensors (four forward passes, the other readings): whole steps
of MF-ConS by the formulas of make_loss_mfcons.py. Needs torch, numpy, safetensors."""
import math

import make_loss_mfcons as terms
import torch
from make_steps_mt import config, ema, set_lr, sgd
from steps import Steps

torch.set_default_dtype(torch.float64)
terms.STRICT = False


def planes(step):
    """Planes of the two labelled images; in step 3 the second image has none."""
    p = [(5 + 7 * step % 27, 11 + i, 3 + (2 * step + i) % 12) for i in range(2)]
    return [p[0], (-1, -1, -1)] if step == 2 else p


def keep_mask(step):
    """Cubes of 8 voxels, half of them kept by a fixed pattern."""
    k = torch.zeros(4, 1, 4, 4, 2)
    flat = k.view(-1)
    for i in range(flat.numel()):
        flat[i] = (i * 2654435761 + 97 * step) % 1009 % 5 > 1
    return k


def steps(name, forwards, how, pooled, one, fill, **options):
    s = Steps(name, config('mfcons', consistency=2, forwards=forwards, **options), 2, 2)
    student, teacher = s.net(0), s.net(1)
    opt = sgd(student)
    for i in range(5):
        image, label = s.batch(i)
        label = s.sparse(i, label, planes(i))
        set_lr(opt, i)
        cubes = keep_mask(i)
        s.given(i, 'mask', cubes)
        keep = cubes.repeat_interleave(8, 2).repeat_interleave(8, 3).repeat_interleave(8, 4)
        noise_t = s.field(i, 'noise_teacher', image.shape, 0.1, 0.2)
        noise_s = s.field(i, 'noise_student', image.shape, 0.1, 0.2)
        ramp = math.exp(-5 * (1 - i / 12) ** 2)
        with torch.no_grad():
            t, tn = teacher(image), teacher(image + noise_t)
        first = student(image + noise_s if forwards == 4 else image)
        second = first if forwards == 4 else student(image + noise_s)
        dark = image.amin((1, 2, 3, 4), keepdim=True) if fill == 'min' else 0
        third = student(torch.where(keep > 0, image, torch.as_tensor(dark)))
        sup = terms.partial_ce(how)(first.logits[:2], label[:2])
        fpm = terms.fpm(1 / (1 + ramp), 20.0, 'pooled' if pooled else 'image', one)(
            first.feat['dec3'][:2], first.logits[:2], label[:2], t.feat['dec3'][2:], t.logits[2:])['loss']
        niop = terms.niop(0.1)(third.logits, t.logits)
        sta = (second.logits - tn.logits).abs().mean()
        loss = sup + 2 * ramp * (niop + fpm + sta)
        opt.zero_grad()
        loss.backward()
        opt.step()
        ema(teacher, student, i)
        for k, v in {'loss': loss, 'loss_sup': sup, 'loss_niop': niop, 'loss_fpm': fpm, 'loss_sta': sta,
                     'consistency_weight': 2 * ramp, 'mask_probability': 0.25 + 0.25 * ramp}.items():
            s.log(i, k, v)
    s.save()


if __name__ == '__main__':
    steps('mfcons', 5, 'image', False, 'confidence', 'zero')
    steps('mfcons4', 4, 'pooled', True, 'one', 'min', supervised='pooled', pairing='pooled', annotated='one',
          mask_fill='min')
