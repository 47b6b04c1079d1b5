// SPDX-License-Identifier: Apache-2.0
// Sums of 16 output channels of one voxel: acc0..acc3 += 16 input channels at src[from] times weights at wt[at].
#define MAC(f, at) acc0 += (f) * wt[at]; acc1 += (f) * wt[(at) + 1]; acc2 += (f) * wt[(at) + 2]; \
    acc3 += (f) * wt[(at) + 3];
#define TAP4(u, at) MAC(u.x, at) MAC(u.y, (at) + 4) MAC(u.z, (at) + 8) MAC(u.w, (at) + 12)
#define TAP16(from, at) { \
    vec4 u0 = src[from], u1 = src[(from) + 1], u2 = src[(from) + 2], u3 = src[(from) + 3]; \
    TAP4(u0, at) TAP4(u1, (at) + 16) TAP4(u2, (at) + 32) TAP4(u3, (at) + 48) }
