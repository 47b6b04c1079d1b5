/* SPDX-License-Identifier: Apache-2.0
 * Semantic matching score between labelled and unlabelled volumes (DuCiSC, equation 12):
 *   Q = mean over classes c, labelled volumes i, unlabelled volumes j of exp(-|p_i^c - q_j^c|^2)
 * with p, q the mean feature of class c in a volume. */
#ifndef EVAL_QSCORE_H
#define EVAL_QSCORE_H

/* labelled [num_labelled][classes][channels], unlabelled [num_unlabelled][classes][channels]. A class that a
 * volume does not have is NaN in its first channel; its pairs are left out. per_class (may be NULL) gets
 * `classes` means over pairs, NaN without any; the result is the mean over classes that have one, which is
 * the formula above where nothing is missing; NaN if none has. */
double pv_matching_score(const float *labelled, int num_labelled, const float *unlabelled, int num_unlabelled,
                         int classes, int channels, double *per_class);

#endif
