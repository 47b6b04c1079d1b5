/* SPDX-License-Identifier: Apache-2.0
 * train --seeds: the same training with several seeds. */
#ifndef CLI_SEEDS_H
#define CLI_SEEDS_H

#include "train/config.h"
#include "train/train.h"

/* Trains into OUT/seed-N for every seed of the list "1,2,3", scores each run on the test cases, and writes
 * OUT/seeds.json. With a->resume, finished seeds are left alone, others go on, and those that have not begun get the
 * settings of the first that has. a->config is not used; `c` without a seed. */
enum pv_train_state pv_train_seeds(const char *list, const struct pv_train_args *a, const struct pv_config_args *c);

#endif
