/* SPDX-License-Identifier: Apache-2.0
 * NIfTI-1 and NIfTI-2 in one file (.nii, .nii.gz). The meaning of headers (byte order, quaternions,
 * orientation) is nifti_clib's; bytes and their checksums are gz.h's, because the library replaces
 * NaN without telling, writes without looking at errors, and prints. Headers are checked before the
 * library sees them, so that it has nothing to print.
 *
 * Left out: pairs of .hdr and .img, ANALYZE, complex and colour voxels, header extensions. */
#include <math.h>
#include <nifti2_io.h>
#include <string.h>

#include "base/base.h"
#include "data/file.h"
#include "data/gz.h"

enum { SLAB = 16 };     /* planes of k that are turned at a time: one cache line of z */

struct head {
    struct pv_geometry geo;
    int channels, datatype, bytes;      /* of a voxel */
    bool swap;
    double slope, inter;
    uint64_t offset;                    /* of the voxels in the file */
};

static bool no_nifti(const char *path, const char *why)
{
    return pv_fail(PV_FAULT_INPUT, "%s is not a NIfTI file that can be used: %s", path, why);
}

/* Both versions in the form of the larger one. */
struct raw {
    int version;
    bool swap;
    nifti_1_header n1;
    nifti_2_header n2;
    int64_t dim[8], offset;
    double pixdim[8], slope, inter;
    int datatype;
};

static bool read_raw(pv_in *in, const char *path, struct raw *r)
{
    int32_t size;
    if (!pv_in_read(in, &size, 4))
        return false;
    int32_t other = size;
    nifti_swap_4bytes(1, &other);
    r->swap = other == 348 || other == 540;
    if (r->swap)
        size = other;
    if (size != 348 && size != 540)
        return no_nifti(path, "it does not begin with a NIfTI header; convert it, for example with "
                              "dcm2niix or ITK-SNAP");
    if (size == 348) {
        if (!pv_in_read(in, (char *)&r->n1 + 4, sizeof r->n1 - 4))
            return false;
        if (memcmp(r->n1.magic, "n+1", 4) != 0)
            return no_nifti(path, memcmp(r->n1.magic, "ni1", 4) == 0
                                      ? "it is the header of a pair of files; convert it to one .nii.gz"
                                      : "it is an ANALYZE header or damaged; convert it to .nii.gz");
        if (r->swap)
            swap_nifti_header(&r->n1, 1);
        r->n1.sizeof_hdr = 348;
        r->version = 1;
        r->datatype = r->n1.datatype;
        r->slope = r->n1.scl_slope;
        r->inter = r->n1.scl_inter;
        float offset = r->n1.vox_offset;
        r->offset = offset >= 0 && offset < 0x1p31f ? (int64_t)offset : -1;
        for (int i = 0; i < 8; i++) {
            r->dim[i] = r->n1.dim[i];
            r->pixdim[i] = r->n1.pixdim[i];
        }
    } else {
        if (!pv_in_read(in, (char *)&r->n2 + 4, sizeof r->n2 - 4))
            return false;
        if (memcmp(r->n2.magic, "n+2", 4) != 0)
            return no_nifti(path, "its NIfTI-2 header is damaged or belongs to a pair of files");
        if (r->swap)
            swap_nifti_header(&r->n2, 2);
        r->n2.sizeof_hdr = 540;
        r->version = 2;
        r->datatype = r->n2.datatype;
        r->slope = r->n2.scl_slope;
        r->inter = r->n2.scl_inter;
        r->offset = r->n2.vox_offset;
        memcpy(r->dim, r->n2.dim, sizeof r->dim);
        memcpy(r->pixdim, r->n2.pixdim, sizeof r->pixdim);
    }
    return true;
}

static bool known_type(int datatype)
{
    switch (datatype) {
    case DT_UINT8: case DT_INT8: case DT_INT16: case DT_UINT16: case DT_INT32: case DT_UINT32:
    case DT_INT64: case DT_UINT64: case DT_FLOAT32: case DT_FLOAT64:
        return true;
    default:
        return false;
    }
}

/* Sizes, type and offset; what the library would stumble over is refused here. */
static bool check_raw(pv_in *in, const char *path, struct raw *r, struct head *h)
{
    if (r->dim[0] < 1 || r->dim[0] > 7)
        return no_nifti(path, "its header has an impossible number of axes");
    uint64_t voxels = 1;
    for (int i = 1; i < 8; i++) {
        if (i > r->dim[0])
            r->dim[i] = 1;
        if (r->dim[i] < 1 || r->dim[i] > INT32_MAX || voxels > (uint64_t)INT64_MAX / 64 / (uint64_t)r->dim[i])
            return no_nifti(path, "its header has an impossible size");
        voxels *= (uint64_t)r->dim[i];
    }
    int64_t t = r->dim[4], u = r->dim[5];
    if (r->dim[6] > 1 || r->dim[7] > 1 || (t > 1 && u > 1))
        return no_nifti(path, "it has more than four axes; write one file per channel");
    if (t * u > 4096)
        return no_nifti(path, "it has more than 4096 channels");
    if (!known_type(r->datatype)) {
        pv_fail(PV_FAULT_INPUT,
                "%s has voxels of type %s (%d); write it with one integer or real number per voxel",
                path, nifti_datatype_string(r->datatype), r->datatype);
        return false;
    }
    int swapsize, least = r->version == 1 ? 352 : 544;
    nifti_datatype_sizes(r->datatype, &h->bytes, &swapsize);
    if (r->offset == 0)
        r->offset = least;
    if (r->offset < least || (uint64_t)r->offset > pv_in_most(in))
        return no_nifti(path, "its voxels begin at an impossible place; the header is damaged");
    if (voxels * (uint64_t)h->bytes > pv_in_most(in) - (uint64_t)r->offset)
        return pv_fail(PV_FAULT_INPUT,
                       "%s ends early: its header tells of %lld x %lld x %lld voxels, more than the file "
                       "can hold: get the file again from where it came",
                       path, (long long)r->dim[1], (long long)r->dim[2], (long long)r->dim[3]);
    h->channels = (int)(t * u);
    h->datatype = r->datatype;
    h->swap = r->swap;
    h->offset = (uint64_t)r->offset;
    bool scaled = isfinite(r->slope) && r->slope != 0;
    h->slope = scaled ? r->slope : 1;
    h->inter = scaled && isfinite(r->inter) ? r->inter : 0;
    return true;
}

static bool finite_rows(double m[3][4])
{
    for (int i = 0; i < 12; i++)
        if (!isfinite(m[i / 4][i % 4]))
            return false;
    return true;
}

static void copy_rows(double out[3][4], const nifti_dmat44 *m)
{
    for (int i = 0; i < 12; i++)
        out[i / 4][i % 4] = m->m[i / 4][i % 4];
}

/* Lets the library make an image of the header and takes the geometry from it. */
static bool convert(const char *path, struct raw *r, struct pv_geometry *g)
{
    for (int i = 0; i < 8; i++) {
        double p = r->pixdim[i];
        if (i > 0)      /* the sign means something in pixdim[0] only */
            p = isfinite(p) && p != 0 ? fabs(p) : 1;
        r->n1.pixdim[i] = (float)p;
        r->n2.pixdim[i] = p;
        r->n1.dim[i] = (short)(r->version == 1 ? r->dim[i] : 0);
        r->n2.dim[i] = r->dim[i];
    }
    nifti_image *nim = r->version == 1 ? nifti_convert_n1hdr2nim(r->n1, NULL)
                                       : nifti_convert_n2hdr2nim(r->n2, NULL);
    if (!nim)
        return no_nifti(path, "its header is damaged");
    const double pixdim[3] = {nim->dx, nim->dy, nim->dz};
    *g = (struct pv_geometry){
        .file_size = {(int)nim->nx, (int)r->dim[2], (int)r->dim[3]},
        .qfac = nim->qfac < 0 ? -1 : 1,
        .qform_code = nim->qform_code, .sform_code = nim->sform_code,
        .quatern = {nim->quatern_b, nim->quatern_c, nim->quatern_d},
        .qoffset = {nim->qoffset_x, nim->qoffset_y, nim->qoffset_z},
        .xyz_units = nim->xyz_units, .nifti2 = r->version == 2, .axis = {0, 1, 2}};
    for (int a = 0; a < 3; a++)
        g->pixdim[a] = a < r->dim[0] && pixdim[a] > 0 ? pixdim[a] : 1;
    copy_rows(g->qform, &nim->qto_xyz);
    copy_rows(g->sform, &nim->sto_xyz);
    nifti_image_free(nim);
    if ((g->sform_code > 0 && !finite_rows(g->sform)) || (g->qform_code > 0 && !finite_rows(g->qform)))
        return no_nifti(path, "its place in the world is not finite; repair the header");
    return true;
}

static bool read_head(pv_in *in, const char *path, const struct pv_read *p, struct head *h,
                      struct pv_volume *v)
{
    struct raw r = {0};
    *h = (struct head){0};
    static atomic_bool silent;
    if (!atomic_exchange(&silent, true))
        nifti_set_debug_level(0);
    if (!read_raw(in, path, &r) || !check_raw(in, path, &r, h) || !convert(path, &r, &h->geo))
        return false;
    uint64_t past = r.version == 1 ? 348 : 540;
    if (h->offset > past && !pv_in_read(in, NULL, h->offset - past))
        return false;
    if (p->turn_as && memcmp(p->turn_as->file_size, h->geo.file_size, sizeof h->geo.file_size) == 0) {
        memcpy(h->geo.axis, p->turn_as->axis, sizeof h->geo.axis);
        memcpy(h->geo.flip, p->turn_as->flip, sizeof h->geo.flip);
    } else if (p->ras) {
        pv_geometry_to_ras(&h->geo);
    }
    v->geo = h->geo;
    v->channels = h->channels;
    double m[3][4];
    pv_geometry_affine(&v->geo, m);
    for (int a = 0; a < 3; a++) {
        v->size[a] = h->geo.file_size[h->geo.axis[a]];
        double s = sqrt(m[0][a] * m[0][a] + m[1][a] * m[1][a] + m[2][a] * m[2][a]);
        v->spacing[a] = s > 0 ? s : h->geo.pixdim[h->geo.axis[a]];
    }
    return true;
}

#define TO_DOUBLE(type)                                         \
    do {                                                        \
        const type *from = raw;                                 \
        for (size_t i = 0; i < n; i++)                          \
            out[i] = (double)from[i];                           \
    } while (0)

static void to_double(const void *raw, int datatype, size_t n, double *out)
{
    switch (datatype) {
    case DT_UINT8: TO_DOUBLE(uint8_t); break;
    case DT_INT8: TO_DOUBLE(int8_t); break;
    case DT_INT16: TO_DOUBLE(int16_t); break;
    case DT_UINT16: TO_DOUBLE(uint16_t); break;
    case DT_INT32: TO_DOUBLE(int32_t); break;
    case DT_UINT32: TO_DOUBLE(uint32_t); break;
    case DT_INT64: TO_DOUBLE(int64_t); break;
    case DT_UINT64: TO_DOUBLE(uint64_t); break;
    case DT_FLOAT32: TO_DOUBLE(float); break;
    default: TO_DOUBLE(double); break;
    }
}

/* Where file voxel (0, 0, 0) goes in memory [x][y][z], and the steps along i, j, k there. */
static void memory_strides(const struct pv_geometry *g, const int size[3], int64_t *start,
                           int64_t step[3])
{
    const int64_t of_memory[3] = {(int64_t)size[1] * size[2], size[2], 1};
    *start = 0;
    for (int a = 0; a < 3; a++) {
        step[g->axis[a]] = g->flip[a] ? -of_memory[a] : of_memory[a];
        if (g->flip[a])
            *start += of_memory[a] * (size[a] - 1);
    }
}

/* Puts nk planes (doubles, i fastest) from k0 into their places. *bad: first label that is none. */
static bool place(const struct pv_volume *v, const double *in, int channel, int k0, int nk,
                  enum pv_part part, size_t *bad, double *bad_value)
{
    const int *n = v->geo.file_size;
    int64_t start, step[3];
    memory_strides(&v->geo, v->size, &start, step);
    size_t plane = (size_t)n[0] * (size_t)n[1];
    float *image = v->image ? v->image + (size_t)channel * pv_volume_voxels(v) : NULL;
    for (int j = 0; j < n[1]; j++) {
        for (int i = 0; i < n[0]; i++) {
            const double *from = in + (size_t)j * (size_t)n[0] + (size_t)i;
            size_t at = (size_t)(start + i * step[0] + j * step[1] + k0 * step[2]);
            if (part == PV_IMAGE) {
                for (int k = 0; k < nk; k++)
                    image[(int64_t)at + k * step[2]] = (float)from[(size_t)k * plane];
                continue;
            }
            for (int k = 0; k < nk; k++) {
                double x = from[(size_t)k * plane], whole = floor(x + 0.5);
                if (!(whole >= 0 && whole <= 255) || fabs(x - whole) > 1e-3) {
                    *bad = (size_t)((int64_t)at + k * step[2]);
                    *bad_value = x;
                    return false;
                }
                v->label[(int64_t)at + k * step[2]] = (uint8_t)whole;
            }
        }
    }
    return true;
}

static bool read_voxels(pv_in *in, const char *path, const struct head *h, enum pv_part part,
                        struct pv_volume *v)
{
    const int *n = h->geo.file_size;
    size_t plane = (size_t)n[0] * (size_t)n[1], most = (size_t)pv_min(SLAB, n[2]) * plane;
    bool ok = false;
    double *values = pv_alloc_big(most * sizeof *values, path);
    void *raw = pv_alloc_big(most * (size_t)h->bytes, path);
    if (!values || !raw || !pv_volume_room(path, part, v))
        goto done;
    for (int c = 0; c < h->channels; c++) {
        for (int k = 0; k < n[2]; k += SLAB) {
            int nk = pv_min(SLAB, n[2] - k);
            size_t count = (size_t)nk * plane, bad;
            double bad_value;
            if (!pv_in_read(in, raw, count * (size_t)h->bytes))
                goto done;
            if (h->swap && h->bytes > 1)
                nifti_swap_Nbytes((int64_t)count, h->bytes, raw);
            to_double(raw, h->datatype, count, values);
            if (h->slope != 1 || h->inter != 0)
                for (size_t i = 0; i < count; i++)
                    values[i] = values[i] * h->slope + h->inter;
            if (!place(v, values, c, k, nk, part, &bad, &bad_value)) {
                pv_volume_bad_label(path, bad_value, v, bad);
                goto done;
            }
        }
    }
    ok = pv_in_finish(in);
done:
    pv_free_big(values);
    pv_free_big(raw);
    return ok;
}

static bool nifti_info(const char *path, enum pv_part part, const struct pv_read *p, struct pv_volume *v)
{
    struct head h;
    pv_in *in = pv_in_open(path, p->cancel);
    bool ok = in && read_head(in, path, p, &h, v);
    pv_in_close(&in);
    return ok;
}

static bool nifti_read(const char *path, enum pv_part part, const struct pv_read *p, struct pv_volume *v)
{
    struct head h;
    pv_in *in = pv_in_open(path, p->cancel);
    bool ok = in && read_head(in, path, p, &h, v);
    if (ok && part == PV_LABEL && h.channels != 1)
        ok = pv_fail(PV_FAULT_INPUT, "%s has %d channels; a label file has one", path, h.channels);
    ok = ok && read_voxels(in, path, &h, part, v);
    pv_in_close(&in);
    if (ok && part == PV_LABEL)
        v->channels = 0;
    return ok && (part == PV_LABEL || pv_volume_check_finite(path, p, v));
}

/* The header of a float or uint8 file with that geometry; returns its length with the four bytes
 * that say "no extensions". */
static size_t make_head(const struct pv_geometry *g, int channels, int datatype, unsigned char *out)
{
    bool large = g->nifti2;
    for (int a = 0; a < 3; a++)
        large |= g->file_size[a] > INT16_MAX;
    nifti_2_header h = {.sizeof_hdr = 540, .magic = "n+2\0\r\n\032\n", .datatype = (int16_t)datatype,
                        .bitpix = (int16_t)(datatype == DT_UINT8 ? 8 : 32), .vox_offset = 544,
                        .scl_slope = 1, .qform_code = g->qform_code, .sform_code = g->sform_code,
                        .quatern_b = g->quatern[0], .quatern_c = g->quatern[1],
                        .quatern_d = g->quatern[2], .qoffset_x = g->qoffset[0],
                        .qoffset_y = g->qoffset[1], .qoffset_z = g->qoffset[2],
                        .xyzt_units = g->xyz_units};
    h.dim[0] = channels > 1 ? 4 : 3;
    h.pixdim[0] = g->qfac;
    for (int i = 1; i < 8; i++) {
        h.dim[i] = i < 4 ? g->file_size[i - 1] : i == 4 ? channels : 1;
        h.pixdim[i] = i < 4 ? g->pixdim[i - 1] : 1;
    }
    memcpy(h.srow_x, g->sform[0], sizeof h.srow_x);
    memcpy(h.srow_y, g->sform[1], sizeof h.srow_y);
    memcpy(h.srow_z, g->sform[2], sizeof h.srow_z);
    if (large) {
        memcpy(out, &h, sizeof h);
        memset(out + sizeof h, 0, 4);
        return sizeof h + 4;
    }
    nifti_1_header s = {.sizeof_hdr = 348, .magic = "n+1", .datatype = h.datatype, .bitpix = h.bitpix,
                        .vox_offset = 352, .scl_slope = 1, .qform_code = (short)h.qform_code,
                        .sform_code = (short)h.sform_code, .quatern_b = (float)h.quatern_b,
                        .quatern_c = (float)h.quatern_c, .quatern_d = (float)h.quatern_d,
                        .qoffset_x = (float)h.qoffset_x, .qoffset_y = (float)h.qoffset_y,
                        .qoffset_z = (float)h.qoffset_z, .xyzt_units = (char)h.xyzt_units, .regular = 'r'};
    for (int i = 0; i < 8; i++) {
        s.dim[i] = (short)h.dim[i];
        s.pixdim[i] = (float)h.pixdim[i];
    }
    for (int i = 0; i < 4; i++) {
        s.srow_x[i] = (float)h.srow_x[i];
        s.srow_y[i] = (float)h.srow_y[i];
        s.srow_z[i] = (float)h.srow_z[i];
    }
    memcpy(out, &s, sizeof s);
    memset(out + sizeof s, 0, 4);
    return sizeof s + 4;
}

/* Planes k0 .. k0 + nk of one channel in the file's order. */
static void gather(const struct pv_volume *v, int channel, int k0, int nk, bool image, void *out)
{
    const int *n = v->geo.file_size;
    int64_t start, step[3];
    memory_strides(&v->geo, v->size, &start, step);
    size_t plane = (size_t)n[0] * (size_t)n[1];
    for (int j = 0; j < n[1]; j++) {
        for (int i = 0; i < n[0]; i++) {
            size_t to = (size_t)j * (size_t)n[0] + (size_t)i;
            int64_t at = start + i * step[0] + j * step[1] + k0 * step[2];
            for (int k = 0; k < nk; k++, at += step[2], to += plane) {
                if (image)
                    ((float *)out)[to] = v->image[(size_t)channel * pv_volume_voxels(v) + (size_t)at];
                else
                    ((uint8_t *)out)[to] = v->label[at];
            }
        }
    }
}

static bool nifti_write(const char *path, int parts, const struct pv_volume *v)
{
    bool image = parts == PV_IMAGE;
    if (parts != PV_IMAGE && parts != PV_LABEL)
        return pv_fail(PV_FAULT_USAGE, "%s: a NIfTI file holds an image or labels, not both", path);
    for (int a = 0; a < 3; a++)
        if (v->size[a] != v->geo.file_size[v->geo.axis[a]])
            return pv_fail(PV_FAULT_INTERNAL, "%s: the volume has not the size of its geometry", path);
    const int *n = v->geo.file_size;
    int channels = image ? v->channels : 1;
    size_t plane = (size_t)n[0] * (size_t)n[1], bytes = image ? 4 : 1;
    unsigned char head[560];
    size_t head_bytes = make_head(&v->geo, channels, image ? DT_FLOAT32 : DT_UINT8, head);
    bool gzip = path[strlen(path) - 1] == 'z' || path[strlen(path) - 1] == 'Z';
    uint64_t total = head_bytes + (uint64_t)channels * plane * (uint64_t)n[2] * bytes;
    void *buf = pv_alloc_big((size_t)pv_min(SLAB, n[2]) * plane * bytes, path);
    pv_out *o = buf ? pv_out_open(path, gzip, gzip ? 0 : total) : NULL;
    if (!o)
        goto error;
    if (!pv_out_write(o, head, head_bytes))
        goto error;
    for (int c = 0; c < channels; c++) {
        for (int k = 0; k < n[2]; k += SLAB) {
            int nk = pv_min(SLAB, n[2] - k);
            gather(v, c, k, nk, image, buf);
            if (!pv_out_write(o, buf, (size_t)nk * plane * bytes))
                goto error;
        }
    }
    pv_free_big(buf);
    return pv_out_commit(&o);
error:
    pv_out_cancel(&o);
    pv_free_big(buf);
    return false;
}

const struct pv_format pv_format_nifti = {
    .name = "nifti", .endings = {".nii.gz", ".nii"},
    .info = nifti_info, .read = nifti_read, .write = nifti_write};
