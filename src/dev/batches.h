/* SPDX-License-Identifier: Apache-2.0
 * How many commands go to a device at once. A desktop's driver resets a device whose queue shows no end of a batch for
 * some seconds (Windows: 2), and small batches cost time: as many commands as the device is fast. */
#ifndef DEV_BATCHES_H
#define DEV_BATCHES_H

#include <stdint.h>

enum { PV_BATCH_LEAST = 4, PV_BATCH_FIRST = 16, PV_BATCH_MOST = 128, PV_BATCH_LONG_NS = 250000000 };

/* Commands of batches to come, where they had `most` and one of `commands`, handed over at `submitted`, was seen to
 * have ended at `now`, after another at `before` (0: none yet); all in ns of one clock. Half as many after one that
 * seems to have taken more than PV_BATCH_LONG_NS (since it was handed over or the one before was seen to end), twice as
 * many after a full one that was seen to end within a quarter of that after it was handed over. Either time is an upper
 * bound: batches never grow by mistake. Within [PV_BATCH_LEAST, PV_BATCH_MOST]. */
int pv_batches_next(int most, int commands, uint64_t submitted, uint64_t before, uint64_t now);

#endif
