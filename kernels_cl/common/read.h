/* SPDX-License-Identifier: Apache-2.0
 * Fat kernels that normalise what they read: act((x - mean) * scale + bias), act(v) = v > 0 ? v : slope v, with the
 * table of norm.cl. */
#ifndef COMMON_READ_H
#define COMMON_READ_H

typedef __global const float *GCP;

struct read_norm { float16 scale, bias, mean; float slope; };
#define NORMED(x) fma((x) - m.mean, m.scale, m.bias)
#define ACTIVE(v) select((v) * m.slope, v, (v) > (float16)(0.0f))

/* Of one block; the identity if `norm` is 0. */
struct read_norm read_table(GCP table, int norm, float slope);
struct read_norm read_table(GCP table, int norm, float slope)
{
    struct read_norm m = {(float16)(1.0f), (float16)(0.0f), (float16)(0.0f), 1.0f};
    if (norm) {
        m.scale = LD16(table);
        m.bias = LD16(table + 16);
        m.mean = LD16(table + 32);
        m.slope = slope;
    }
    return m;
}

/* to[i] = normalised from[i * step], i < num, step in floats. */
void read_row(GCP from, int step, int num, int norm, struct read_norm m, float *to);
void read_row(GCP from, int step, int num, int norm, struct read_norm m, float *to)
{
    if (!norm)
        for (int i = 0; i < num; i++)
            PST(to + i * 16) = LD16(from + i * step);
    else if (m.slope == 0.0f)
        for (int i = 0; i < num; i++)
            PST(to + i * 16) = fmax(NORMED(LD16(from + i * step)), (float16)(0.0f));
    else
        for (int i = 0; i < num; i++) {
            const float16 v = NORMED(LD16(from + i * step));
            PST(to + i * 16) = ACTIVE(v);
        }
}

/* Statistics of values that come one after another, as deviations from the first. */
struct spread { float16 first, sum, squares; };
#define SPREAD_ADD(s, v) { \
        const float16 dev_ = (v) - (s).first; \
        (s).sum += dev_; \
        (s).squares = fma(dev_, dev_, (s).squares); \
    }
/* [mean, sum of squared deviations][16] of `num` values. */
void spread_put(struct spread s, int num, __global float *to);
void spread_put(struct spread s, int num, __global float *to)
{
    const float16 mean = s.sum / (float)num;
    ST16(to) = s.first + mean;
    ST16(to + 16) = fmax(s.squares - s.sum * mean, (float16)(0.0f));
}

#endif
