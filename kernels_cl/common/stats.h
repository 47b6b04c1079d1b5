/* SPDX-License-Identifier: Apache-2.0
 * Statistics of channels that kernels leave of a unit of what they write (struct pv_stats), as norm.cl's norm_stat. */
#ifndef COMMON_STATS_H
#define COMMON_STATS_H

/* s, q: sums of deviations from `first` and of their squares of `count` values, in four channels; to: [mean, sum of
 * squared deviations][16] at these channels. */
#define PUT_STATS(to, first, s, q, count) { \
        const float4 mean_ = (s) / (float)(count); \
        ST4(to) = (first) + mean_; \
        ST4((to) + 16) = fmax((q) - (s) * mean_, (float4)(0.0f)); \
    }

#endif
