/* SPDX-License-Identifier: Apache-2.0
 * Weights of Winograd's F(2x2x2, 3x3x3), fat class: G g = g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2 along each
 * axis, and its transpose. */
#ifndef COMMON_WINO_G_H
#define COMMON_WINO_G_H

/* TAP(i): block of tap i. PUT(f, v) takes frequency f of 64 = 16 x + 4 y + z; z = 3 is negated: y1 subtracts m3. */
#define WINO_G(TAP, PUT) { \
    float16 p_[36], q_[16]; \
    UNROLL for (int i = 0; i < 9; i++) { \
        const float16 g0 = TAP(i), g1 = TAP(9 + i), g2 = TAP(18 + i); \
        const float16 s = (g0 + g2) * 0.5f, m = g1 * 0.5f; \
        p_[i] = g0; \
        p_[9 + i] = s + m; \
        p_[18 + i] = s - m; \
        p_[27 + i] = g2; \
    } \
    UNROLL for (int x = 0; x < 4; x++) { \
        UNROLL for (int i = 0; i < 3; i++) { \
            const float16 g0 = p_[x * 9 + i], g1 = p_[x * 9 + 3 + i], g2 = p_[x * 9 + 6 + i]; \
            const float16 s = (g0 + g2) * 0.5f, m = g1 * 0.5f; \
            q_[i] = g0; \
            q_[4 + i] = s + m; \
            q_[8 + i] = s - m; \
            q_[12 + i] = g2; \
        } \
        UNROLL for (int y = 0; y < 4; y++) { \
            const float16 g0 = q_[y * 4], g1 = q_[y * 4 + 1], g2 = q_[y * 4 + 2]; \
            const float16 s = (g0 + g2) * 0.5f, m = g1 * 0.5f; \
            PUT((x * 4 + y) * 4, g0); \
            PUT((x * 4 + y) * 4 + 1, s + m); \
            PUT((x * 4 + y) * 4 + 2, s - m); \
            PUT((x * 4 + y) * 4 + 3, -g2); \
        } \
    } \
}

/* Along one axis G' u = u0 + (u1 + u2) / 2, (u1 - u2) / 2, (u1 + u2) / 2 + u3. */
#define G_BACK(u0, u1, u2, u3, to0, to1, to2) { \
    const float16 m_ = 0.5f * ((u1) + (u2)), e_ = 0.5f * ((u1) - (u2)), last_ = (u3); \
    to0 = (u0) + m_; \
    to1 = e_; \
    to2 = m_ + last_; \
}

/* p: [4 x][4 y][3], z done; to: 27 blocks `step` floats apart. p is overwritten. */
void g_back_xy(float16 *p, float *to, int step);
void g_back_xy(float16 *p, float *to, int step)
{
    UNROLL for (int x = 0; x < 4; x++)
        UNROLL for (int w = 0; w < 3; w++) {
            float16 *v = p + x * 12 + w;
            G_BACK(v[0], v[3], v[6], v[9], v[0], v[3], v[6])
        }
    UNROLL for (int i = 0; i < 9; i++) {
        float *o = to + i * step;
        G_BACK(p[i], p[12 + i], p[24 + i], p[36 + i], PST(o), PST(o + 9 * step), PST(o + 18 * step))
    }
}

#endif
