/* SPDX-License-Identifier: Apache-2.0
 * Labels for image files. */
#include "train/predict.h"

#include <stdlib.h>
#include <string.h>

#include "data/file.h"
#include "eval/components.h"
#include "platform/platform.h"
#include "train/batch.h"

enum { MOST_CHANNELS = 8 };         /* as net.channels */

/* The number behind the stem's last '_' where it has four digits, else -1. */
static int channel_of(const char *base, size_t stem)
{
    int c = 0;
    if (stem <= 5 || base[stem - 5] != '_')
        return -1;
    for (size_t i = stem - 4; i < stem; i++) {
        if (base[i] < '0' || base[i] > '9')
            return -1;
        c = c * 10 + base[i] - '0';
    }
    return c;
}

/* The path with another number there; pv_free it. */
static char *with_channel(const char *path, int c)
{
    const char *base = pv_path_base(path);
    size_t stem = pv_stem_length(base);
    return pv_asprintf("%.*s%.*s%04d%s", (int)(base - path), path, (int)stem - 4, base, c, base + stem);
}

static bool channel_there(const char *path, int c)
{
    char *other = with_channel(path, c);
    bool there = pv_file_exists(other);
    pv_free(other);
    return there;
}

size_t pv_case_name(const char *path, int channels, int *channel)
{
    const char *base = pv_path_base(path);
    size_t n = pv_stem_length(base);
    int c = channel_of(base, n);
    *channel = c >= 0 && c < channels && (c == 0 || channel_there(path, 0)) ? c : -1;
    return *channel >= 0 ? n - 5 : n;
}

void pv_case_files(const char *path, int channels, struct pv_strs *files)
{
    int channel;
    pv_case_name(path, channels, &channel);
    if (channel < 0)
        pv_strs_add(files, path);
    for (int c = 0; channel >= 0 && c < channels; c++) {
        char *file = with_channel(path, c);
        if (c == 0 || pv_file_exists(file))
            pv_strs_add(files, file);
        pv_free(file);
    }
}

/* Whether such names count scans: beside it lies one of a number that no channel has. */
static bool counts_scans(const char *path)
{
    const char *base = pv_path_base(path);
    size_t keep = pv_stem_length(base) - 4, n;
    char *dir = pv_path_dir(path), **names;
    bool found = false;
    if (pv_list_dir(dir, &names, &n)) {
        for (size_t i = 0; i < n; i++) {
            found = found || (strncmp(names[i], base, keep) == 0 &&
                              channel_of(names[i], pv_stem_length(names[i])) >= MOST_CHANNELS &&
                              pv_stem_length(names[i]) == keep + 4);
            free(names[i]);
        }
        free(names);
    }
    pv_free(dir);
    return found;
}

/* A file that was read by itself although its name says that it is a channel of a case: right if it holds several or
 * the names count scans. */
static bool is_whole(const char *path, int channels, int held)
{
    const char *base = pv_path_base(path);
    size_t stem = pv_stem_length(base);
    int c = channel_of(base, stem);
    if (c < 1 || c >= MOST_CHANNELS || pv_format_of(path) != &pv_format_nifti || held > 1 ||
        (channels == 1 && counts_scans(path)))
        return true;
    char *first = with_channel(path, 0);
    if (channels > 1 && !pv_file_exists(first))
        pv_fail(PV_FAULT_INPUT, "%s is missing: %s is channel %d of its case, and the network takes %d", first, path, c,
                channels);
    else if (pv_file_exists(first))
        pv_fail(PV_FAULT_INPUT, "%s is channel %d of the case of %s, and the network takes %d: leave it out, or, if it "
                "is a scan by itself, name it %.*s_0000%s", path, c, first, channels, (int)stem, base, base + stem);
    else
        pv_fail(PV_FAULT_INPUT, "%s is missing: %s is channel %d of its case, and the network takes channel 0; if it "
                "is a scan by itself, name it %.*s_0000%s", first, path, c, (int)stem, base, base + stem);
    pv_free(first);
    return false;
}

/* Channels 1 and on from the files beside `path`, whose name ends in _0000. */
static bool read_others(const char *path, int channels, const struct pv_read *how, struct pv_volume *v)
{
    size_t n = pv_volume_voxels(v);
    float *all = pv_alloc_big(sizeof(float) * n * (size_t)channels, path);
    bool ok = all != NULL;
    if (ok)
        memcpy(all, v->image, sizeof(float) * n);
    for (int c = 1; ok && c < channels; c++) {
        char *next = with_channel(path, c);
        struct pv_volume w = {0};
        ok = (pv_file_exists(next) ||
              pv_fail(PV_FAULT_INPUT, "%s is missing: the network takes %d channels, and %s is channel 0", next,
                      channels, path)) && pv_volume_read(next, PV_IMAGE, how, &w);
        if (ok && memcmp(w.size, v->size, sizeof w.size))
            ok = pv_fail(PV_FAULT_INPUT, "%s does not have the size of %s", next, path);
        if (ok)
            memcpy(all + (size_t)c * n, w.image, sizeof(float) * n);
        pv_volume_free(&w);
        pv_free(next);
    }
    if (ok) {
        pv_free_big(v->image);
        v->image = all;
        v->channels = channels;
    } else {
        pv_free_big(all);
    }
    return ok;
}

bool pv_case_read(const char *path, int channels, const struct pv_read *how, struct pv_volume *v)
{
    int channel;
    pv_case_name(path, channels, &channel);
    char *first = channel > 0 ? with_channel(path, 0) : pv_strdup(path);
    bool ok = pv_volume_read(first, PV_IMAGE, how, v);
    bool done = ok && (channel < 0 || v->channels == channels || channels == 1);
    if (ok)
        ok = done ? channel >= 0 || is_whole(path, channels, v->channels) : read_others(first, channels, how, v);
    if (!ok)
        pv_volume_free(v);
    pv_free(first);
    return ok;
}

bool pv_predict_volume(struct pv_model *const *m, int num, const char *what, struct pv_volume *vol,
                       const struct pv_infer_opts *o, uint8_t **label, float **prob)
{
    int s[3], classes = m[0]->run->net.classes;
    float *p = NULL;
    uint8_t *out = NULL;
    *label = NULL;
    if (prob)
        *prob = NULL;
    bool ok = prob ? pv_infer_volume(m, num, what, vol, o, &p, s) : pv_infer_labels(m, num, what, vol, o, &out, s);
    if (ok && prob) {
        size_t n = (size_t)s[0] * (size_t)s[1] * (size_t)s[2];
        out = pv_alloc_big(n, "labels");
        ok = out != NULL;
        if (ok)
            pv_slide_labels(p, classes, n, out);
    }
    int largest = o->largest >= 0 ? o->largest : (int)pv_json_num(pv_json_get(m[0]->config, "eval"), "largest", 0);
    if (ok && largest)
        ok = pv_keep_largest_classes(out, s, classes, largest);
    if (ok) {
        *label = out;
        out = NULL;
        if (prob) {
            *prob = p;
            p = NULL;
        }
    }
    pv_free_big(out);
    pv_free_big(p);
    return ok;
}

bool pv_predict_case(struct pv_model *const *m, int num, const char *input, const char *out, const char *prob_out,
                     const struct pv_infer_opts *o)
{
    struct pv_load load = pv_config_load(m[0]->config);
    struct pv_volume v = {0}, grid;
    float *prob = NULL;
    uint8_t *label = NULL;
    if (!pv_case_read(input, m[0]->run->net.channels, &load.read, &v))
        return false;
    grid = v;                   /* size and geometry of the file, before preparation changes them */
    bool ok = pv_predict_volume(m, num, pv_path_base(input), &v, o, &label, prob_out ? &prob : NULL);
    grid.image = NULL;
    grid.label = label;
    ok = ok && pv_volume_write(out, PV_LABEL, &grid);
    if (ok && prob_out) {
        grid.label = NULL;
        grid.image = prob;
        grid.channels = m[0]->run->net.classes;
        ok = pv_volume_write(prob_out, PV_IMAGE, &grid);
    }
    pv_free_big(prob);
    pv_free_big(label);
    pv_volume_free(&v);
    return ok;
}
