/* SPDX-License-Identifier: Apache-2.0
 * Macros of the simt convolutions: four float4 sums of 16 output channels, names acc0..acc3; a, wt, kb in scope. */
#define FMA16(u, w) \
    acc0 = fma((float4)(u), LD4(w), acc0); acc1 = fma((float4)(u), LD4((w) + 4), acc1); \
    acc2 = fma((float4)(u), LD4((w) + 8), acc2); acc3 = fma((float4)(u), LD4((w) + 12), acc3);
#define TAP16(s, w) \
    for (int q = 0; q < 4; q++) { \
        const float4 u = LD4((s) + q * 4); \
        FMA16(u.x, (w) + q * 64) FMA16(u.y, (w) + q * 64 + 16) \
        FMA16(u.z, (w) + q * 64 + 32) FMA16(u.w, (w) + q * 64 + 48) \
    }
#define START16(dst) \
    float4 acc0 = (float4)(0.0f), acc1 = acc0, acc2 = acc0, acc3 = acc0; \
    if (a.accum) { \
        acc0 = LD4(dst); acc1 = LD4((dst) + 4); acc2 = LD4((dst) + 8); acc3 = LD4((dst) + 12); \
    } else if (a.bias >= 0) { \
        GC(float) bias = wt + a.bias + kb * a.wb; \
        acc0 = LD4(bias); acc1 = LD4(bias + 4); acc2 = LD4(bias + 8); acc3 = LD4(bias + 12); \
    }
#define STORE16(dst) ST4(dst) = acc0; ST4((dst) + 4) = acc1; ST4((dst) + 8) = acc2; ST4((dst) + 12) = acc3;
