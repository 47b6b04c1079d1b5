/* SPDX-License-Identifier: Apache-2.0
 * Arguments of bench.cl / bench.comp. */
#ifndef ARGS_BENCH_H
#define ARGS_BENCH_H

#include "ops/args/types.h"

/* peak_fma */
struct a_peak {
    KU32 off[1];
    KI32 steps;                 /* of 12 fused multiply-adds per lane (simt: 16 per component) */
    KF32 b, c;
};

/* mem_read, mem_copy: `span` floats per work-group, a multiple of 1024 */
struct a_mem {
    KU32 off[2];
    KI32 span;
};

#endif
