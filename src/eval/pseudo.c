/* SPDX-License-Identifier: Apache-2.0
 * Pseudo-label quality: counts per class, then ratios. */
#include "eval/pseudo.h"

#include <math.h>

struct pv_pseudo pv_pseudo_quality(const float *confidence, double threshold, const uint8_t *pred,
                                   const uint8_t *ref, size_t n, int num_classes, int ignore)
{
    uint64_t both[256] = {0}, in_pred[256] = {0}, in_ref[256] = {0}, right = 0;
    struct pv_pseudo r = {.kept = NAN, .accuracy = NAN, .mean_dice = NAN};
    for (size_t i = 0; i < n; i++) {
        if (ref[i] == ignore)
            continue;
        r.num_voxels++;
        if (!(confidence[i] > threshold))
            continue;
        r.num_kept++;
        in_pred[pred[i]]++;
        in_ref[ref[i]]++;
        both[pred[i]] += pred[i] == ref[i];
        right += pred[i] == ref[i];
    }
    if (r.num_voxels)
        r.kept = (double)r.num_kept / (double)r.num_voxels;
    if (r.num_kept)
        r.accuracy = (double)right / (double)r.num_kept;
    double sum = 0;
    int num = 0;
    for (int c = 0; c < 256; c++) {
        uint64_t all = in_pred[c] + in_ref[c];
        r.dice[c] = c < num_classes && all ? 2 * (double)both[c] / (double)all : NAN;
        if (c > 0 && !isnan(r.dice[c])) {
            sum += r.dice[c];
            num++;
        }
    }
    if (num)
        r.mean_dice = sum / num;
    return r;
}
