/* SPDX-License-Identifier: Apache-2.0
 * batches.h. */
#include "dev/batches.h"

#include "base/base.h"

int pv_batches_next(int most, int commands, uint64_t submitted, uint64_t before, uint64_t now)
{
    uint64_t from = submitted > before ? submitted : before;
    if (now - from > PV_BATCH_LONG_NS)
        return pv_max(PV_BATCH_LEAST, most / 2);
    if (now - submitted < PV_BATCH_LONG_NS / 4 && commands >= most)
        return pv_min(PV_BATCH_MOST, most * 2);
    return most;
}
