/* SPDX-License-Identifier: Apache-2.0
 * The .h5 volumes of the public PyTorch code: data sets `image` and `label` in the root, arrays
 * [x][y][z] (or [channel][x][y][z]; two axes are one plane, x = 1), any integer or real type, any
 * filter that the library has. They carry no geometry: the spacing is 1.
 *
 * The library is not safe for threads and prints errors: one lock, its printing is off. */
#include "pv_config.h"

#include "data/file.h"

#if !PV_HAVE_HDF5

const struct pv_format pv_format_hdf5 = {
    .name = "hdf5", .endings = {".h5", ".hdf5"},
    .missing = "this program was built without HDF5; build it with -Dhdf5=enabled, or convert the "
               "file to .nii.gz"};

#else

#include <hdf5.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include "base/base.h"
#include "platform/platform.h"

static pv_mutex *lock(void)
{
    static _Atomic(pv_mutex *) slot;
    pv_mutex *m = atomic_load(&slot);
    if (!m) {
        pv_mutex *mine = pv_mutex_new();
        if (!mine)
            return NULL;
        if (atomic_compare_exchange_strong(&slot, &m, mine))
            m = mine;
        else
            pv_mutex_free(&mine);
    }
    pv_mutex_lock(m);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    return m;
}

struct opened {
    hid_t file, set, space;
    int rank;
    hsize_t dim[4];
    bool real;              /* else integers */
};

static void close_all(struct opened *o)
{
    if (o->space >= 0)
        H5Sclose(o->space);
    if (o->set >= 0)
        H5Dclose(o->set);
    if (o->file >= 0)
        H5Fclose(o->file);
}

static bool open_set(const char *path, const char *key, struct opened *o)
{
    *o = (struct opened){.file = -1, .set = -1, .space = -1};
    FILE *f = pv_is_dir(path) ? NULL : pv_fopen(path, "rb");
    if (!f)
        return pv_fail(PV_FAULT_INPUT, "cannot read %s: %s", path,
                       pv_is_dir(path) ? "it is a folder" : pv_os_error());
    fclose(f);
    o->file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (o->file < 0)
        return pv_fail(PV_FAULT_INPUT, "%s is not an HDF5 file or damaged: get the file again from "
                       "where it came", path);
    if (H5Lexists(o->file, key, H5P_DEFAULT) <= 0)
        return pv_fail(PV_FAULT_INPUT, "%s holds no data set '%s'; it needs 'image' and, where there are "
                       "annotations, 'label'", path, key);
    if ((o->set = H5Dopen2(o->file, key, H5P_DEFAULT)) < 0)
        return pv_fail(PV_FAULT_INPUT, "%s: '%s' cannot be opened by HDF5 %d.%d: it is no data set, damaged, or in "
                       "a newer format (write it again with h5py's libver='earliest')", path, key,
                       H5_VERS_MAJOR, H5_VERS_MINOR);
    hid_t type = H5Dget_type(o->set);
    H5T_class_t class = H5Tget_class(type);
    H5Tclose(type);
    o->space = H5Dget_space(o->set);
    o->rank = H5Sget_simple_extent_ndims(o->space);
    if ((class != H5T_INTEGER && class != H5T_FLOAT) || o->rank < 2 || o->rank > 4)
        return pv_fail(PV_FAULT_INPUT, "%s: '%s' is not an array of numbers with 2 to 4 axes", path, key);
    o->real = class == H5T_FLOAT;
    H5Sget_simple_extent_dims(o->space, o->dim, NULL);
    uint64_t voxels = 1;
    for (int i = 0; i < o->rank; i++) {
        if (o->dim[i] < 1 || o->dim[i] > INT_MAX || voxels > (uint64_t)INT64_MAX / 64 / o->dim[i])
            return pv_fail(PV_FAULT_INPUT, "%s: '%s' has an impossible size", path, key);
        voxels *= o->dim[i];
    }
    return true;
}

static void describe(const struct opened *o, const struct pv_read *p, struct pv_volume *v)
{
    v->channels = o->rank == 4 ? (int)o->dim[0] : 1;
    for (int a = 0; a < 3; a++) {
        int from = a + o->rank - 3;
        v->size[a] = from >= 0 ? (int)o->dim[from] : 1;
        v->spacing[a] = 1;
    }
    if (p->zyx) {
        int x = v->size[2];
        v->size[2] = v->size[0];
        v->size[0] = x;
    }
    pv_geometry_plain(&v->geo, v->size, v->spacing);
}

/* [z][y][x] to [x][y][z] for one channel of `v` (whose size is x, y, z), elements of 1 or 4 bytes. */
static void turn(const struct pv_volume *v, const void *from, void *to, bool words)
{
    size_t n[3] = {(size_t)v->size[0], (size_t)v->size[1], (size_t)v->size[2]}, at = 0;
    for (size_t z = 0; z < n[2]; z++)
        for (size_t y = 0; y < n[1]; y++)
            for (size_t x = 0; x < n[0]; x++, at++) {
                size_t dst = (x * n[1] + y) * n[2] + z;
                if (words)
                    ((float *)to)[dst] = ((const float *)from)[at];
                else
                    ((uint8_t *)to)[dst] = ((const uint8_t *)from)[at];
            }
}

static bool turn_all(const char *path, enum pv_part part, struct pv_volume *v)
{
    size_t n = pv_volume_voxels(v);
    struct pv_volume turned = *v;
    turned.image = NULL;
    turned.label = NULL;
    if (!pv_volume_room(path, part, &turned))
        return false;
    if (part == PV_LABEL)
        turn(v, v->label, turned.label, false);
    for (int c = 0; part == PV_IMAGE && c < v->channels; c++)
        turn(v, v->image + (size_t)c * n, turned.image + (size_t)c * n, true);
    pv_free_big(v->image);
    pv_free_big(v->label);
    *v = turned;
    return true;
}

/* Integers are read as int32 (beyond it HDF5 takes the nearest) and real numbers as float, so that
 * nothing wraps around into 0..255. */
static bool read_label(const char *path, struct opened *o, struct pv_volume *v)
{
    size_t n = pv_volume_voxels(v);
    void *wide = pv_alloc_big(n * 4, path);
    bool ok = wide && pv_volume_room(path, PV_LABEL, v);
    if (ok && H5Dread(o->set, o->real ? H5T_NATIVE_FLOAT : H5T_NATIVE_INT32, H5S_ALL, H5S_ALL,
                      H5P_DEFAULT, wide) < 0)
        ok = pv_fail(PV_FAULT_INPUT, "%s: 'label' cannot be read; the file is damaged: get it again from "
                     "where it came", path);
    for (size_t i = 0; ok && i < n; i++) {
        double x = o->real ? (double)((float *)wide)[i] : (double)((int32_t *)wide)[i];
        if (!(x >= 0 && x <= 255) || floor(x) != x)
            ok = pv_volume_bad_label(path, x, v, i);
        else
            v->label[i] = (uint8_t)x;
    }
    pv_free_big(wide);
    return ok;
}

static bool hdf5_open_read(const char *path, enum pv_part part, const struct pv_read *p, bool voxels,
                           struct pv_volume *v)
{
    struct opened o;
    pv_mutex *m = lock();
    bool ok = open_set(path, part == PV_IMAGE ? "image" : "label", &o);
    if (ok) {
        describe(&o, &(struct pv_read){0}, v);
        if (part == PV_LABEL && v->channels != 1)
            ok = pv_fail(PV_FAULT_INPUT, "%s: 'label' has four axes; it has three", path);
    }
    if (ok && p->cancel && atomic_load(p->cancel))
        ok = false;
    if (ok && voxels && part == PV_LABEL)
        ok = read_label(path, &o, v);
    if (ok && voxels && part == PV_IMAGE) {
        ok = pv_volume_room(path, part, v);
        if (ok && H5Dread(o.set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, v->image) < 0)
            ok = pv_fail(PV_FAULT_INPUT, "%s: 'image' cannot be read; the file is damaged: get it again "
                         "from where it came", path);
    }
    if (ok)
        describe(&o, p, v);
    close_all(&o);
    if (m)
        pv_mutex_unlock(m);
    if (ok && voxels && p->zyx)
        ok = turn_all(path, part, v);
    if (part == PV_LABEL)
        v->channels = 0;
    return ok && (part == PV_LABEL || !voxels || pv_volume_check_finite(path, p, v));
}

static bool hdf5_info(const char *path, enum pv_part part, const struct pv_read *p, struct pv_volume *v)
{
    return hdf5_open_read(path, part, p, false, v);
}

static bool hdf5_read(const char *path, enum pv_part part, const struct pv_read *p, struct pv_volume *v)
{
    return hdf5_open_read(path, part, p, true, v);
}

/* One compressed data set in chunks of about 32 voxels a side. */
static bool put(hid_t file, const char *key, int rank, const hsize_t *dim, hid_t type, const void *data)
{
    hsize_t chunk[4];
    for (int i = 0; i < rank; i++)
        chunk[i] = rank == 4 && i == 0 ? 1 : dim[i] < 32 ? dim[i] : 32;
    hid_t space = H5Screate_simple(rank, dim, NULL), how = H5Pcreate(H5P_DATASET_CREATE);
    bool ok = space >= 0 && how >= 0 && H5Pset_chunk(how, rank, chunk) >= 0 && H5Pset_deflate(how, 4) >= 0;
    hid_t set = ok ? H5Dcreate2(file, key, type, space, H5P_DEFAULT, how, H5P_DEFAULT) : -1;
    ok = set >= 0 && H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0;
    if (set >= 0 && H5Dclose(set) < 0)
        ok = false;
    if (how >= 0)
        H5Pclose(how);
    if (space >= 0)
        H5Sclose(space);
    return ok;
}

static bool hdf5_write(const char *path, int parts, const struct pv_volume *v)
{
    static atomic_uint serial;
    char *temp = pv_asprintf("%s.tmp-%d-%u", path, pv_pid(), atomic_fetch_add(&serial, 1));
    hsize_t dim[4] = {(hsize_t)v->channels};
    for (int a = 0; a < 3; a++)
        dim[a + 1] = (hsize_t)v->size[a];
    int skip = v->channels > 1 ? 0 : 1;
    pv_mutex *m = lock();
    hid_t file = H5Fcreate(temp, H5F_ACC_EXCL, H5P_DEFAULT, H5P_DEFAULT);
    bool ok = file >= 0;
    if (ok && (parts & PV_IMAGE))
        ok = put(file, "image", 4 - skip, dim + skip, H5T_NATIVE_FLOAT, v->image);
    if (ok && (parts & PV_LABEL))
        ok = put(file, "label", 3, dim + 1, H5T_NATIVE_UINT8, v->label);
    if (file >= 0 && H5Fclose(file) < 0)
        ok = false;
    if (m)
        pv_mutex_unlock(m);
    if (!ok || !pv_replace_file(temp, path)) {
        ok = pv_fail(PV_FAULT_INPUT, "cannot write %s: is there room and may this folder be written?", path);
        pv_remove(temp);
    }
    pv_free(temp);
    return ok;
}

const struct pv_format pv_format_hdf5 = {
    .name = "hdf5", .endings = {".h5", ".hdf5"},
    .info = hdf5_info, .read = hdf5_read, .write = hdf5_write};

#endif
