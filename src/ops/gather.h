/* SPDX-License-Identifier: Apache-2.0
 * Crop, flip, rotate and resize on the device, in one pass: random augmentation whose parameters are drawn on the
 * host. */
#ifndef OPS_GATHER_H
#define OPS_GATHER_H

#include "tape/tape.h"

enum pv_gather_mode {
    PV_GATHER_NEAREST,      /* cv2.INTER_NEAREST: voxel floor(i * in / scaled) */
    PV_GATHER_LINEAR,       /* cv2.INTER_LINEAR: at (i + 1/2) in / scaled - 1/2, edges replicated */
    PV_GATHER_CUBIC,        /* cv2.INTER_CUBIC: the same with Keys' cubic convolution, a = -0.75 */
};
enum pv_gather_border {
    PV_BORDER_VALUE,        /* `fill` (numpy.pad constant) */
    PV_BORDER_REFLECT,      /* ... 2 1 | 0 1 2 ... (numpy.pad reflect) */
    PV_BORDER_REPLICATE,    /* ... 0 0 | 0 1 2 ... (numpy.pad edge) */
};

/* One output sample. The input sample is, in this order:
 *   1. resized in the x-y plane to scaled[] (cv2.resize of each z; {0, 0}: its own size);
 *   2. turned by `angle` degrees about its centre in that plane, size kept, as scipy.ndimage.rotate(v, angle,
 *      axes=(0, 1), reshape=False) with order 0 (NEAREST: to the nearest voxel, half up) or 1 (LINEAR); CUBIC stays
 *      Keys' cubic. Positions are rounded to 2^-16 of the voxel's distance from the centre. Voxels from outside:
 *      border, as scipy's modes "constant", "mirror", "nearest";
 *   3. turned by rot90 quarters: numpy.rot90(v, rot90, axes=(0, 1));
 *   4. mirrored along the axes of flip: numpy.flip;
 *   5. cropped: output voxel 0 is its voxel first[]; what lies outside it is border, so that negative first[] pads.
 * Steps 1 and 2 are one interpolation. In 2D (x is 1) the plane is y-z and `scaled` its sides;
 * flip[0] and first[0] are not used. */
struct pv_gather_params {
    int sample;             /* of x */
    int scaled[2];
    float angle;
    int rot90;
    bool flip[3];
    int first[3];
};

/* PLAIN x [nx, c, ...] -> [num, c, size[0], size[1], size[2]] (2D: size[0] is 1); I32 x with PV_GATHER_NEAREST
 * only. `fill` is the value outside for PV_BORDER_VALUE. The result is a constant: no gradient. In-plane sides up
 * to 4096. One channel of one sample must fit a binding. NULL x gives NULL. */
pv_tensor *pv_gather(pv_tape *t, pv_tensor *x, int num, const struct pv_gather_params *p, const int size[3],
                     enum pv_gather_mode mode, enum pv_gather_border border, float fill);

#endif
