/* SPDX-License-Identifier: Apache-2.0
 * Labels for image files. */
#include "train/predict.h"

#include <string.h>

#include "data/file.h"
#include "eval/components.h"
#include "train/batch.h"

size_t pv_case_name(const char *path, int channels, int *channel)
{
    const char *base = pv_path_base(path);
    size_t n = pv_stem_length(base);
    *channel = -1;
    if (n > 5 && base[n - 5] == '_') {
        int c = 0;
        for (size_t i = n - 4; i < n; i++) {
            if (base[i] < '0' || base[i] > '9')
                return n;
            c = c * 10 + base[i] - '0';
        }
        if (c >= channels)
            return n;
        *channel = c;
        return n - 5;
    }
    return n;
}

/* Channels 1 and on from the files beside `path`, whose name ends in _0000. */
static bool read_others(const char *path, int channels, const struct pv_read *how, struct pv_volume *v)
{
    size_t n = pv_volume_voxels(v);
    float *all = pv_alloc_big(sizeof(float) * n * (size_t)channels, path);
    bool ok = all != NULL;
    if (ok)
        memcpy(all, v->image, sizeof(float) * n);
    const char *base = pv_path_base(path);
    size_t stem = pv_stem_length(base) - 4;
    for (int c = 1; ok && c < channels; c++) {
        char *next = pv_asprintf("%.*s%.*s%04d%s", (int)(base - path), path, (int)stem, base, c, base + stem + 4);
        struct pv_volume w = {0};
        ok = pv_volume_read(next, PV_IMAGE, how, &w);
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
    if (!pv_volume_read(path, PV_IMAGE, how, v))
        return false;
    if (channel != 0 || v->channels == channels || channels == 1 || read_others(path, channels, how, v))
        return true;
    pv_volume_free(v);
    return false;
}

bool pv_predict_volume(struct pv_model *const *m, int num, const char *what, struct pv_volume *vol,
                       const struct pv_infer_opts *o, uint8_t **label, float **prob)
{
    int s[3], classes = m[0]->run->net.classes;
    float *p = NULL;
    *label = NULL;
    if (prob)
        *prob = NULL;
    if (!pv_infer_volume(m, num, what, vol, o, &p, s))
        return false;
    size_t n = (size_t)s[0] * (size_t)s[1] * (size_t)s[2];
    uint8_t *out = pv_alloc_big(n, "labels");
    bool ok = out != NULL;
    if (ok)
        pv_slide_labels(p, classes, n, out);
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
