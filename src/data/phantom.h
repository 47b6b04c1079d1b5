/* SPDX-License-Identifier: Apache-2.0
 * Made-up volumes for `protovox demo` and tests: one to three lesions of irregular shape in an organ, in
 * a noisy volume with uneven brightness, beside structures that look like lesions but lie elsewhere or are
 * thin. Labels: 0 background, 1 lesion. */
#ifndef DATA_PHANTOM_H
#define DATA_PHANTOM_H

#include <stdbool.h>
#include <stdint.h>

#include "data/volume.h"

/* Volume `index` of the family `seed`: image of mean 0 and deviation 1, label. Sides of at least 16. */
bool pv_phantom_make(uint64_t seed, int index, const int size[3], struct pv_volume *v);
/* An nnU-Net folder with dataset.json, train.list, test.list and both parts' labels: cases phantom_000 and
 * so on, the last num_test of which are for testing. Those of an earlier call are removed. */
bool pv_phantom_write(const char *dir, int num_train, int num_test, const int size[3], uint64_t seed);

#endif
