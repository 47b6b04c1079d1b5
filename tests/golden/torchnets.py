# SPDX-License-Identifier: Apache-2.0
"""The networks in PyTorch, written independently of the C ones, and the formulas that fill them.

Names of parameters and their order are those of the public code. Dropout is left out: its masks come from another
generator. Weights and images come from a counter formula that the C tests compute too (tests/device/golden.h), so
that golden files hold results only. Import from a generator in this folder:

    net = torchnets.make('vnet', filters=8, classes=2, heads=True)   # float64, filled
    image, label = torchnets.batch(step, n=2, size=(32, 32, 32), classes=2)
    # prototypes=16, size=(32, 32, 32): CRLN's heads, out.rep and out.cue
    out = net(image)        # out.logits, out.heads (1/8, 1/4, 1/2), out.feat['up1'..'up4', 'dec1'..'dec4']
"""
import math
from collections import OrderedDict
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
    """The first two entries of every running mean and variance, in the order of the state dict. Without the map head
    of DIM's first level, whose result nothing uses: the C code does not compute it."""
    return np.concatenate([b.detach().numpy().reshape(-1)[:2] for n, b in net.named_buffers()
                           if 'running' in n and 'attn_convs0.0' not in n] or [np.zeros(0)])


def count(net):
    return sum(p.numel() for p in net.parameters())


def make(name, **options):
    """A filled float64 network in training mode."""
    kinds = {'vnet': VNet, 'resvnet': ResVNet, 'unet3d': UNet3D, 'unet2d': UNet2D}
    return fill(kinds[name](**options).double())


def results(logits, feat, heads=()):
    return SimpleNamespace(logits=logits, feat=feat, heads=list(heads))


# ---- CRLN's heads (methods.md 4.1) ----

class Mlp(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class PairAttention(nn.Module):
    """Queries [B, C, R, d] on tokens [B, N, d]: their update and the scores [B, C, R, N]."""

    def __init__(self, d):
        super().__init__()
        self.fc_q, self.fc_kv, self.proj = nn.Linear(d, d), nn.Linear(d, 2 * d), nn.Linear(d, d)

    def forward(self, q, tokens, scrambled):
        q = self.fc_q(q)
        if scrambled:       # the public code's reshape: the flat list of rows is cut into [R, C]
            b, c, r, d = q.shape
            q = q.reshape(b, r, c, d).transpose(1, 2)
        key, value = self.fc_kv(tokens).chunk(2, -1)
        scores = torch.einsum('bcrd,bnd->bcrn', q, key) / math.sqrt(q.shape[-1])
        return self.proj(torch.einsum('bcrn,bnd->bcrd', scores.softmax(-1), value)), scores


class Pairwise(nn.Module):
    """Without DropPath: q and the scores are doubled where the public code adds DropPath(x) to x."""

    def __init__(self, d, voxels):
        super().__init__()
        self.norm1, self.norm1_query = nn.LayerNorm(d), nn.LayerNorm(d)
        self.attn = PairAttention(d)
        self.norm2 = nn.LayerNorm(d)
        self.mlp = Mlp(d)
        self.norm3 = nn.LayerNorm(voxels)

    def forward(self, q, tokens, scrambled):
        q, scores = self.attn(self.norm1_query(q), self.norm1(tokens), scrambled)
        q = 2 * q
        scores = 2 * scores
        return q + self.mlp(self.norm2(q)), scores + self.norm3(scores)


class Separable(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.block = nn.Sequential(OrderedDict(
            depthwise=nn.Conv3d(c, c, 3, padding=1, groups=c, bias=False), bn_depth=nn.BatchNorm3d(c),
            relu1=nn.ReLU(), pointwise=nn.Conv3d(c, c, 1, bias=False), bn_point=nn.BatchNorm3d(c), relu2=nn.ReLU()))

    def forward(self, x):
        return self.block(x)


class Dynamic(nn.Module):
    """Dynamic interaction on the maps at 1/4 and 1/2: the rectification cue [B, C, X, Y, Z]."""

    def __init__(self, filters, classes, prototypes, size):
        super().__init__()
        dims = (4 * filters, 2 * filters)
        self.proj_layers = nn.ModuleList([nn.Conv3d(d, d, 1) for d in dims])
        self.norm_layers = nn.ModuleList([nn.LayerNorm(d) for d in dims])
        self.pairwise_interaction = nn.ModuleList(
            [Pairwise(d, math.prod(s // f for s in size)) for d, f in zip(dims, (4, 2))])
        self.attn_convs0 = nn.ModuleList([Separable(prototypes) for _ in dims])
        self.attn_convs1 = nn.ModuleList([nn.Conv3d(prototypes, 1, 1) for _ in dims])
        self.query_convs = nn.ModuleList([nn.Conv2d(d, dims[1], 1) for d in dims])
        self.class_prototype = nn.Parameter(torch.zeros(1, classes, prototypes, dims[0]))
        self.block_1 = Step(nn.ConvTranspose3d(classes, classes, 2, stride=2), nn.ReLU())

    def forward(self, feats, scrambled):
        q = self.class_prototype.expand(feats[0].shape[0], -1, -1, -1)
        for i, x in enumerate(feats):
            tokens = self.norm_layers[i](self.proj_layers[i](x).flatten(2).transpose(1, 2))
            q, scores = self.pairwise_interaction[i](q, tokens, scrambled)
            b, c, r, _ = scores.shape
            maps = self.attn_convs0[i](scores.reshape((b * c, r) + x.shape[2:]))
            cue = self.attn_convs1[i](maps).reshape((b, c) + x.shape[2:])
            q = self.query_convs[i](q.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.block_1(cue)


class Rectifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.zeros(1))


class CrlnHeads:
    """Mixed into networks: modules representation, dynamic, op; results get rep and cue."""

    def add_crln(self, filters, classes, prototypes, size, scrambled):
        self.prototypes, self.scrambled = prototypes, scrambled
        if prototypes:
            self.representation = nn.Sequential(
                nn.Conv3d(filters, prototypes, 3, padding=1, bias=False), nn.BatchNorm3d(prototypes), nn.ReLU(),
                nn.Conv3d(prototypes, prototypes, 1))
            self.dynamic = Dynamic(filters, classes, prototypes, size)
            self.op = Rectifier()

    def crln(self, out):
        if self.prototypes:
            out.rep = self.representation(out.feat['dec4'])
            out.cue = self.dynamic([out.feat['dec2'], out.feat['dec3']], self.scrambled)
        return out


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


class VNet(VDecoder, CrlnHeads):
    def __init__(self, filters=16, classes=2, channels=1, heads=False, prototypes=0, size=None, scrambled=False):
        super().__init__()
        for i, (w, n) in enumerate(zip(('one', 'two', 'three', 'four'), (1, 2, 3, 3))):
            c = filters << i
            setattr(self, 'block_' + w, convs(n, channels if i == 0 else c, c))
            setattr(self, f'block_{w}_dw', down(c, 2 * c))
        self.block_five = convs(3, filters * 16, filters * 16)
        self.add_decoder(filters, classes, heads)
        self.add_crln(filters, classes, prototypes, size, scrambled)

    def forward(self, x):
        x1 = self.block_one(x)
        x2 = self.block_two(self.block_one_dw(x1))
        x3 = self.block_three(self.block_two_dw(x2))
        x4 = self.block_four(self.block_three_dw(x3))
        x5 = self.block_five(self.block_four_dw(x4))
        return self.crln(self.decode(x1, x2, x3, x4, x5))


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


class UNet3D(nn.Module, CrlnHeads):
    def __init__(self, filters=16, classes=2, channels=1, deconv=False, heads=False, prototypes=0, size=None,
                 scrambled=False):
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
        self.add_crln(filters, classes, prototypes, size, scrambled)

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
        return self.crln(results(self.final(x), feat, heads))


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
                      (UNet3D(deconv=True), 8235570), (UNet2D(), 1813764),
                      (VNet(prototypes=16, size=(112, 112, 80)), 9813367)):
        print(type(net).__name__, count(net), want)
        assert count(net) == want
