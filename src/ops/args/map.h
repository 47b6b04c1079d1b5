/* SPDX-License-Identifier: Apache-2.0
 * Arguments of map.cl / map.comp, and its functions f(x, y, z) with constants p, q. Gradients are functions too: of
 * the upstream gradient first, then of the op's operands. */
#ifndef ARGS_MAP_H
#define ARGS_MAP_H

#include "ops/args/plain.h"

#define MAP_COPY 0              /* x */
#define MAP_NEG 1
#define MAP_ABS 2
#define MAP_EXP 3
#define MAP_LOG 4               /* ln max(x, p) */
#define MAP_SQRT 5
#define MAP_SQUARE 6
#define MAP_POW 7               /* x^p, x >= 0 */
#define MAP_SIGMOID 8
#define MAP_CLAMP 9             /* to [p, q] */
#define MAP_SCALE 10            /* p x + q */
#define MAP_GT 11               /* x > p */
#define MAP_GE 12               /* x >= p */
#define MAP_FINITE 13
/* gradients of unary functions: x upstream, y operand */
#define MAP_D_ABS 14
#define MAP_D_EXP 15
#define MAP_D_LOG 16
#define MAP_D_SQRT 17
#define MAP_D_SQUARE 18
#define MAP_D_POW 19
#define MAP_D_SIGMOID 20        /* x e / (1 + e)^2, e = exp(-|y|) */
#define MAP_D_CLAMP 21
/* binary */
#define MAP_ADD 22
#define MAP_SUB 23
#define MAP_MUL 24
#define MAP_DIV 25
#define MAP_MIN 26
#define MAP_MAX 27
#define MAP_GREATER 28
#define MAP_GREATER_EQUAL 29
#define MAP_EQUAL 30
#define MAP_AND 31
#define MAP_OR 32
#define MAP_XOR 33
#define MAP_KEEP 34             /* y != 0 ? x : 0 */
#define MAP_DROP 35             /* y != 0 ? 0 : x */
/* three operands */
#define MAP_D_DIV 36            /* -x y / z^2 */
#define MAP_D_MIN 37            /* x where y < z, x / 2 where y = z, else 0 */
#define MAP_D_MAX 38            /* x where y > z, x / 2 where y = z, else 0 */
#define MAP_SELECT 39           /* x != 0 ? y : z */
/* more unary ones and their gradients */
#define MAP_GELU 40             /* x P(x), P the normal distribution */
#define MAP_D_GELU 41           /* x (P(y) + y p(y)) */
#define MAP_TANH 42
#define MAP_D_TANH 43           /* x 4 e / (1 + e)^2, e = exp(-2 |y|) */

/* erfc(x) = t exp(-x^2 + MAP_ERFC_G(t)), t = 1 / (1 + x / 2), 0 <= x <= 11: a Chebyshev fit of degree 9 in t; in
 * fp32 the absolute error is below 4e-7. GLSL has no erf. */
#define MAP_ERFC_G(t) (-1.265468717f + t * (0.9990603924f + t * (0.3829245567f + t * (0.05253269896f + \
    t * (-0.05186151713f + t * (0.0203504879f + t * (-0.8185365796f + t * (1.248985052f + \
    t * (-0.7201575637f + t * 0.1521712840f)))))))))

/* Operand i of sample s, channel k, voxel v lies at s * s_i + k * k_i + v * v_i. map_full writes out at
 * s * os + k * ok + v; map_chan sums over channels into s * os + v; map_part sums chunks into
 * part[((n0 + s) * c + k) * tc + ch0 + ch]. */
struct a_map {
    KU32 off[4];                /* x, y, z, out */
    PLAIN_ARGS
    KI32 c, op, num;            /* channels, function, operands */
    KI32 sx, kx, vx, sy, ky, vy, sz, kz, vz;
    KI32 os, ok;
    KI32 tc, accum;
    KF32 p, q;
};

/* map_cast: kind 0 int to float, 1 float to int, 2 int == value, 3 int != value. */
struct a_cast {
    KU32 off[2];
    KI32 count, kind, value;
};

#endif
