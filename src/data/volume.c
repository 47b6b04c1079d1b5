/* SPDX-License-Identifier: Apache-2.0
 * Volumes and their geometry (volume.h). */
#include "data/volume.h"

#include <math.h>
#include <nifti2_io.h>
#include <string.h>

#include "base/base.h"

size_t pv_volume_voxels(const struct pv_volume *v)
{
    return (size_t)v->size[0] * (size_t)v->size[1] * (size_t)v->size[2];
}

void pv_volume_free(struct pv_volume *v)
{
    if (!v)
        return;
    pv_free_big(v->image);
    pv_free_big(v->label);
    *v = (struct pv_volume){0};
}

void pv_geometry_plain(struct pv_geometry *g, const int size[3], const double spacing[3])
{
    *g = (struct pv_geometry){.qfac = 1, .sform_code = NIFTI_XFORM_ALIGNED_ANAT,
                              .xyz_units = NIFTI_UNITS_MM};
    for (int a = 0; a < 3; a++) {
        g->file_size[a] = size[a];
        g->pixdim[a] = spacing[a];
        g->sform[a][a] = spacing[a];
        g->qform[a][a] = spacing[a];
        g->axis[a] = a;
    }
}

/* The transform of the file's own axes. */
static void file_affine(const struct pv_geometry *g, double m[3][4])
{
    if (g->sform_code > 0) {
        memcpy(m, g->sform, sizeof g->sform);
    } else if (g->qform_code > 0) {
        memcpy(m, g->qform, sizeof g->qform);
    } else {
        memset(m, 0, sizeof g->sform);
        for (int a = 0; a < 3; a++)
            m[a][a] = g->pixdim[a];
    }
}

void pv_geometry_affine(const struct pv_geometry *g, double out[3][4])
{
    double m[3][4];
    file_affine(g, m);
    for (int r = 0; r < 3; r++) {
        out[r][3] = m[r][3];
        for (int a = 0; a < 3; a++) {
            double step = m[r][g->axis[a]];
            if (g->flip[a]) {
                out[r][3] += step * (g->file_size[g->axis[a]] - 1);
                step = -step;
            }
            out[r][a] = step;
        }
    }
}

bool pv_geometry_to_ras(struct pv_geometry *g)
{
    if (g->sform_code <= 0 && g->qform_code <= 0)
        return false;
    double m[3][4];
    file_affine(g, m);
    nifti_dmat44 r = {0};
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 4; j++)
            r.m[i][j] = m[i][j];
    r.m[3][3] = 1;
    int code[3];
    nifti_dmat44_to_orientation(r, &code[0], &code[1], &code[2]);
    bool seen[3] = {false};
    for (int f = 0; f < 3; f++) {
        if (code[f] < NIFTI_L2R || code[f] > NIFTI_S2I || seen[(code[f] - NIFTI_L2R) / 2])
            return false;
        seen[(code[f] - NIFTI_L2R) / 2] = true;
    }
    for (int f = 0; f < 3; f++) {
        int a = (code[f] - NIFTI_L2R) / 2;
        g->axis[a] = f;
        g->flip[a] = (code[f] - NIFTI_L2R) % 2 != 0;
    }
    return true;
}

void pv_geometry_regrid(struct pv_geometry *g, const int size[3], double affine[3][4])
{
    int code = g->sform_code > 0 ? g->sform_code : g->qform_code > 0 ? g->qform_code : NIFTI_XFORM_ALIGNED_ANAT;
    struct pv_geometry out = {.qfac = 1, .sform_code = code, .xyz_units = g->xyz_units, .nifti2 = g->nifti2};
    for (int a = 0; a < 3; a++) {
        out.file_size[a] = size[a];
        out.axis[a] = a;
        out.pixdim[a] = sqrt(affine[0][a] * affine[0][a] + affine[1][a] * affine[1][a] +
                             affine[2][a] * affine[2][a]);
        out.qform[a][a] = out.pixdim[a];
    }
    memcpy(out.sform, affine, sizeof out.sform);
    *g = out;
}

double pv_geometry_distance(const struct pv_geometry *a, const struct pv_geometry *b)
{
    double p[3][4], q[3][4], most = 0;
    pv_geometry_affine(a, p);
    pv_geometry_affine(b, q);
    for (int r = 0; r < 3; r++) {
        for (int c = 0; c < 4; c++)
            most = fmax(most, fabs(p[r][c] - q[r][c]));
        most = fmax(most, fabs(a->pixdim[a->axis[r]] - b->pixdim[b->axis[r]]));
    }
    return most;
}
