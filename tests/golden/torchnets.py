# SPDX-License-Identifier: Apache-2.0
"""The networks in PyTorch, written independently of the C ones, and the formulas that fill them.

Names of parameters and their order are those of the public code. Dropout is left out: its masks come from another
generator. Weights and images come from a counter formula that the C tests compute too (tests/device/golden.h), so
that golden files hold results only. Import from a generator in this folder:

    net = torchnets.make('vnet', filters=8, classes=2, heads=True)   # float64, filled
    image, label = torchnets.batch(step, n=2, size=(32, 32, 32), classes=2)
    out = net(image)        # out.logits, out.heads (1/8, 1/4, 1/2), out.feat['up1'..'up4', 'dec1'..'dec4']
"""
import math
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


# ---- formulas ----

def counter(n, seed):
    """n numbers in [-1, 1): the top 24 bits of splitmix64 of (index, seed)."""
    i = np.arange(1, n + 1, dtype=np.uint64)
    with np.errstate(over='ignore'):
        z = i * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed) * np.uint64(0xD1B54A32D192ED03)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float64) / 2 ** 23 - 1


def field(shape, seed):
    """A float64 tensor of counter(seed), rounded to fp32."""
    v = np.float32(counter(int(np.prod(shape)), seed)).astype(np.float64)
    return torch.from_numpy(v.reshape(shape))


def fill(net, seed=100):
    """Parameter i from c = counter(seed + i), by its shape and name:
    weights of several axes and their biases c / sqrt(product of the weight's axes but the first); weights of one axis
    (norms) 1 + 0.1 c and their biases 0.1 c; anything else (prototypes, scalars) c / 2. Rounded to fp32."""
    for index, (name, p) in enumerate(net.named_parameters()):
        c = counter(p.numel(), seed + index).reshape(p.shape)
        stem, _, last = name.rpartition('.')
        weight = getattr(net.get_submodule(stem), 'weight', None)
        if last not in ('weight', 'bias'):
            c = c / 2
        elif weight.dim() > 1:
            c = c / math.sqrt(math.prod(weight.shape[1:]))
        else:
            c = 1 + 0.1 * c if last == 'weight' else 0.1 * c
        p.data = torch.from_numpy(np.float32(c).astype(np.float64))
    return net


def batch(step, n=2, size=(32, 32, 32), classes=2, channels=1):
    """Images counter(1000 + step) plus the label, labels: nested balls of shrinking radius. Sizes of two axes are
    2D. Sample b, step t: centre (12 + b + t mod 3, 16 - b, 15 + t mod 2), radius (8 + b) (classes - k) / (classes - 1)
    for label k; in 2D the plane x = 0 of centre x = 0."""
    dims = len(size)
    shape = (n, channels) + tuple(size)
    image = np.float32(counter(int(np.prod(shape)), 1000 + step)).astype(np.float64).reshape(shape)
    full = (1,) * (3 - dims) + tuple(size)
    x, y, z = np.meshgrid(*[np.arange(s) for s in full], indexing='ij')
    label = np.zeros((n,) + full, np.int64)
    for b in range(n):
        cx, cy, cz, r = 12 + b + step % 3, 16 - b, 15 + step % 2, 8 + b
        if dims == 2:
            cx = 0
        d2 = (x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2
        for k in range(1, classes):
            label[b][d2 * (classes - 1) ** 2 <= (r * (classes - k)) ** 2] = k
    label = label.reshape((n,) + tuple(size))
    image = np.float32(image + label[:, None]).astype(np.float64)
    return torch.from_numpy(image), torch.from_numpy(label)


def running(net):
    """The first two entries of every running mean and variance, in the order of the state dict."""
    return np.concatenate([b.detach().numpy().reshape(-1)[:2] for n, b in net.named_buffers() if 'running' in n]
                          or [np.zeros(0)])


def count(net):
    return sum(p.numel() for p in net.parameters())


def make(name, **options):
    """A filled float64 network in training mode."""
    kinds = {'vnet': VNet, 'resvnet': ResVNet, 'unet3d': UNet3D, 'unet2d': UNet2D}
    return fill(kinds[name](**options).double())


def results(logits, feat, heads=()):
    return SimpleNamespace(logits=logits, feat=feat, heads=list(heads))


# ---- V-Net (methods.md 1.1) ----

class Step(nn.Module):
    """Names as in the public code: every step holds a sequence called conv."""

    def __init__(self, *seq):
        super().__init__()
        self.conv = nn.Sequential(*seq)

    def forward(self, x):
        return self.conv(x)


def convs(num, ci, co):
    layers = []
    for i in range(num):
        layers += [nn.Conv3d(ci if i == 0 else co, co, 3, padding=1), nn.BatchNorm3d(co), nn.ReLU()]
    return Step(*layers)


def down(ci, co):
    return Step(nn.Conv3d(ci, co, 2, stride=2), nn.BatchNorm3d(co), nn.ReLU())


def up(ci, co):
    return Step(nn.ConvTranspose3d(ci, co, 2, stride=2), nn.BatchNorm3d(co), nn.ReLU())


class VDecoder(nn.Module):
    """Modules block_five_up to out_conv and what is computed with them; a base class, so that names stay flat."""

    def add_decoder(self, f, classes, heads, names=('five', 'six', 'seven', 'eight', 'nine')):
        for i in range(4):
            c = f << (4 - i)
            if i > 0:
                setattr(self, 'block_' + names[i], convs((3, 3, 2)[i - 1], c, c))
            setattr(self, f'block_{names[i]}_up', up(c, c // 2))
        self.block_nine = convs(1, f, f)
        self.out_conv = nn.Conv3d(f, classes, 1)
        if heads:
            for i in range(3):
                setattr(self, f'out_conv_ds{i + 1}', nn.Conv3d(f << (3 - i), classes, 1))
        self.with_heads = heads

    def decode(self, x1, x2, x3, x4, x5):
        feat, heads = {}, []
        y = x5
        for i, (w, nxt, skip) in enumerate(zip(('five', 'six', 'seven', 'eight'), ('six', 'seven', 'eight', 'nine'),
                                               (x4, x3, x2, x1))):
            y = getattr(self, f'block_{w}_up')(y) + skip
            feat[f'up{i + 1}'] = y
            if self.with_heads and i < 3:
                heads.append(getattr(self, f'out_conv_ds{i + 1}')(y))
            y = getattr(self, 'block_' + nxt)(y)
            feat[f'dec{i + 1}'] = y
        return results(self.out_conv(y), feat, heads)


class VNet(VDecoder):
    def __init__(self, filters=16, classes=2, channels=1, heads=False):
        super().__init__()
        for i, (w, n) in enumerate(zip(('one', 'two', 'three', 'four'), (1, 2, 3, 3))):
            c = filters << i
            setattr(self, 'block_' + w, convs(n, channels if i == 0 else c, c))
            setattr(self, f'block_{w}_dw', down(c, 2 * c))
        self.block_five = convs(3, filters * 16, filters * 16)
        self.add_decoder(filters, classes, heads)

    def forward(self, x):
        x1 = self.block_one(x)
        x2 = self.block_two(self.block_one_dw(x1))
        x3 = self.block_three(self.block_two_dw(x2))
        x4 = self.block_four(self.block_three_dw(x3))
        x5 = self.block_five(self.block_four_dw(x4))
        return self.decode(x1, x2, x3, x4, x5)


# ---- ResNet34-style encoder (methods.md 1.2) ----

class BasicBlock(nn.Module):
    def __init__(self, ci, co, stride):
        super().__init__()
        self.conv1 = nn.Conv3d(ci, co, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm3d(co)
        self.conv2 = nn.Conv3d(co, co, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm3d(co)
        self.downsample = None
        if stride != 1:
            self.downsample = nn.Sequential(nn.Conv3d(ci, co, 1, stride=stride, bias=False), nn.BatchNorm3d(co))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (self.downsample(x) if self.downsample else x))


class ResEncoder(nn.Module):
    def __init__(self, filters, channels):
        super().__init__()
        self.conv1 = nn.Conv3d(channels, filters, 7, padding=3, bias=False)
        self.bn1 = nn.BatchNorm3d(filters)
        for i, n in enumerate((3, 4, 6, 3)):
            c = filters << i
            setattr(self, f'layer{i + 1}', nn.Sequential(
                *[BasicBlock(c if j == 0 else 2 * c, 2 * c, 2 if j == 0 else 1) for j in range(n)]))

    def forward(self, x):
        out = [F.relu(self.bn1(self.conv1(x)))]
        for i in range(4):
            out.append(getattr(self, f'layer{i + 1}')(out[-1]))
        return out


class ResVNet(VDecoder):
    def __init__(self, filters=16, classes=2, channels=1, heads=False):
        super().__init__()
        self.resnet_encoder = ResEncoder(filters, channels)
        self.add_decoder(filters, classes, heads)

    def forward(self, x):
        return self.decode(*self.resnet_encoder(x))


# ---- 3D U-Net (methods.md 1.3) ----

class TwoConvs(nn.Module):
    def __init__(self, ci, co):
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv3d(ci, co, 3, padding=1), nn.InstanceNorm3d(co), nn.ReLU())
        self.conv2 = nn.Sequential(nn.Conv3d(co, co, 3, padding=1), nn.InstanceNorm3d(co), nn.ReLU())

    def forward(self, x):
        return self.conv2(self.conv1(x))


class Up3D(nn.Module):
    def __init__(self, ci, co, deconv):
        super().__init__()
        self.conv = TwoConvs(ci + co, co)
        if deconv:
            self.up = nn.ConvTranspose3d(ci, ci, 3, stride=2, padding=1, output_padding=1)
            self.bn1 = nn.BatchNorm3d(ci)
        self.deconv = deconv

    def forward(self, skip, x):
        if self.deconv:
            x = F.relu(self.bn1(self.up(x)))
        else:
            x = F.interpolate(x, scale_factor=2, mode='trilinear', align_corners=False)
        x = torch.cat([skip, x], 1)
        return x, self.conv(x)


class UNet3D(nn.Module):
    def __init__(self, filters=16, classes=2, channels=1, deconv=False, heads=False):
        super().__init__()
        f = [filters << i for i in range(5)]
        for i in range(4):
            setattr(self, f'conv{i + 1}', TwoConvs(channels if i == 0 else f[i - 1], f[i]))
        self.center = TwoConvs(f[3], f[4])
        for i in (4, 3, 2, 1):
            setattr(self, f'up_concat{i}', Up3D(f[i], f[i - 1], deconv))
        self.final = nn.Conv3d(f[0], classes, 1)
        for i in range(3 if heads else 0):
            setattr(self, f'out_conv_ds{i + 1}', nn.Conv3d(f[3 - i], classes, 1))
        self.with_heads = heads

    def forward(self, x):
        skips, feat, heads = [], {}, []
        for i in range(4):
            skips.append(getattr(self, f'conv{i + 1}')(x))
            x = F.max_pool3d(skips[-1], 2)
        x = self.center(x)
        for i in (4, 3, 2, 1):
            feat[f'up{5 - i}'], x = getattr(self, f'up_concat{i}')(skips[i - 1], x)
            feat[f'dec{5 - i}'] = x
            if self.with_heads and i > 1:
                heads.append(getattr(self, f'out_conv_ds{5 - i}')(x))
        return results(self.final(x), feat, heads)


# ---- 2D U-Net (methods.md 1.4) ----

class ConvBlock(nn.Module):
    """Position 3 of the sequence is the dropout of the public code."""

    def __init__(self, ci, co):
        super().__init__()
        self.conv_conv = nn.Sequential(
            nn.Conv2d(ci, co, 3, padding=1), nn.BatchNorm2d(co), nn.LeakyReLU(0.01), nn.Identity(),
            nn.Conv2d(co, co, 3, padding=1), nn.BatchNorm2d(co), nn.LeakyReLU(0.01))

    def forward(self, x):
        return self.conv_conv(x)


class Down2D(nn.Module):
    def __init__(self, ci, co):
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), ConvBlock(ci, co))

    def forward(self, x):
        return self.maxpool_conv(x)


class Up2D(nn.Module):
    def __init__(self, ci, co):
        super().__init__()
        self.conv1x1 = nn.Conv2d(ci, co, 1)
        self.conv = ConvBlock(2 * co, co)

    def forward(self, x, skip):
        x = F.interpolate(self.conv1x1(x), scale_factor=2, mode='bilinear', align_corners=True)
        x = torch.cat([skip, x], 1)
        return x, self.conv(x)


class Encoder2D(nn.Module):
    def __init__(self, channels, f):
        super().__init__()
        self.in_conv = ConvBlock(channels, f[0])
        for i in range(1, 5):
            setattr(self, f'down{i}', Down2D(f[i - 1], f[i]))

    def forward(self, x):
        out = [self.in_conv(x)]
        for i in range(1, 5):
            out.append(getattr(self, f'down{i}')(out[-1]))
        return out


class Decoder2D(nn.Module):
    """Deep supervision (DuCiSC on ACDC, no public code): 1x1 heads on the first three levels."""

    def __init__(self, f, classes, heads):
        super().__init__()
        for i in range(4):
            setattr(self, f'up{i + 1}', Up2D(f[4 - i], f[3 - i]))
        self.out_conv = nn.Conv2d(f[0], classes, 3, padding=1)
        for i in range(3 if heads else 0):
            setattr(self, f'out_conv_ds{i + 1}', nn.Conv2d(f[3 - i], classes, 1))
        self.with_heads = heads

    def forward(self, x):
        y, feat, heads = x[4], {}, []
        for i in range(4):
            feat[f'up{i + 1}'], y = getattr(self, f'up{i + 1}')(y, x[3 - i])
            feat[f'dec{i + 1}'] = y
            if self.with_heads and i < 3:
                heads.append(getattr(self, f'out_conv_ds{i + 1}')(y))
        return results(self.out_conv(y), feat, heads)


class UNet2D(nn.Module):
    def __init__(self, filters=16, classes=4, channels=1, heads=False):
        super().__init__()
        f = [filters << i for i in range(5)]
        self.encoder = Encoder2D(channels, f)
        self.decoder = Decoder2D(f, classes, heads)

    def forward(self, x):
        return self.decoder(self.encoder(x))


if __name__ == '__main__':
    for net, want in ((VNet(), 9448866), (VNet(heads=True), 9449320), (ResVNet(), 17930354), (UNet3D(), 5884050),
                      (UNet3D(deconv=True), 8235570), (UNet2D(), 1813764)):
        print(type(net).__name__, count(net), want)
        assert count(net) == want
