/* SPDX-License-Identifier: Apache-2.0
 * Squared distances axis by axis: the least, over a line, of what the axes before gave plus the squared step. */
#include "ops/edt.h"

static void along(double *y, double *line, int len, int64_t step)
{
    for (int i = 0; i < len; i++)
        line[i] = y[i * step];
    for (int i = 0; i < len; i++) {
        double best = PV_EDT_FAR;
        for (int j = 0; j < len; j++) {
            const double d = line[j] + (double)(i - j) * (i - j);
            if (d < best)
                best = d;
        }
        y[i * step] = best;
    }
}

void ref_edt2(const double *x, double *y, int rows, const int s[3])
{
    const int64_t v = (int64_t)s[0] * s[1] * s[2], steps[] = {(int64_t)s[1] * s[2], s[2], 1};
    double *line = pv_array(double, pv_max(s[0], pv_max(s[1], s[2])));
    for (int64_t i = 0; i < rows * v; i++)
        y[i] = x[i] == 0 ? 0 : PV_EDT_FAR;
    for (int r = 0; r < rows; r++, y += v)
        for (int axis = 0; axis < 3; axis++)
            for (int64_t i = 0; i < v; i++)
                if (i / steps[axis] % s[axis] == 0)
                    along(y + i, line, s[axis], steps[axis]);
    pv_free(line);
}
