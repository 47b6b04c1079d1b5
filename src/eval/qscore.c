/* SPDX-License-Identifier: Apache-2.0
 * The matching score in double; a few hundred volumes, 16 channels: no need for more than two loops. */
#include "eval/qscore.h"

#include <math.h>
#include <stddef.h>

static double distance2(const float *p, const float *q, int channels)
{
    double s = 0;
    for (int k = 0; k < channels; k++) {
        double d = (double)p[k] - q[k];
        s += d * d;
    }
    return s;
}

double pv_matching_score(const float *labelled, int num_labelled, const float *unlabelled, int num_unlabelled,
                         int classes, int channels, double *per_class)
{
    double sum = 0;
    int num = 0;
    for (int c = 0; c < classes; c++) {
        double score = 0, pairs = 0;
        for (int i = 0; i < num_labelled; i++) {
            const float *p = labelled + ((size_t)i * (size_t)classes + (size_t)c) * (size_t)channels;
            for (int j = 0; j < num_unlabelled && !isnan(p[0]); j++) {
                const float *q = unlabelled + ((size_t)j * (size_t)classes + (size_t)c) * (size_t)channels;
                if (isnan(q[0]))
                    continue;
                score += exp(-distance2(p, q, channels));
                pairs++;
            }
        }
        if (per_class)
            per_class[c] = pairs > 0 ? score / pairs : NAN;
        if (pairs > 0) {
            sum += score / pairs;
            num++;
        }
    }
    return num ? sum / num : NAN;
}
