/* SPDX-License-Identifier: Apache-2.0
 * Arguments of loss_scale.cl / loss_scale.comp, and the state's layout. */
#ifndef ARGS_LOSS_SCALE_H
#define ARGS_LOSS_SCALE_H

#include "ops/args/types.h"

#define LS_CHUNK 16384          /* elements of a work-group of grad_bad */

#define LS_SCALE 0              /* of the gradients of this iteration */
#define LS_INVERSE 1
#define LS_GOOD 2               /* iterations with finite gradients since the last change */
#define LS_BAD 3                /* 1: an optimiser step of this iteration was left out */
#define LS_TRIED 4              /* 1: there was an optimiser step in this iteration */
#define LS_SKIP 5               /* 1: the step that was judged last is left out */
#define LS_SKIPPED 6            /* iterations with a step left out so far */
#define LS_SIZE 8

struct a_grad_bad {             /* grad_bad: part[group] = 1 if an element of the chunk is not finite, else 0 */
    KU32 off[2];                /* g, part */
    KI32 count;
};

struct a_scale_judge {          /* scale_judge: skip, bad, tried of the state from part[0 .. count) */
    KU32 off[2];                /* part, state */
    KI32 count;
};

struct a_scale_next {           /* scale_next: the next iteration's scale */
    KU32 off[1];                /* state */
    KF32 growth;                /* good iterations before the scale doubles */
    KF32 least, most;           /* of the scale */
};

#endif
