/* SPDX-License-Identifier: Apache-2.0
 * Prediction through the library, and weights of a run. */
#include <string.h>

#include "api/api.h"
#include "data/file.h"
#include "train/predict.h"
#include "train/weights.h"

enum { MOST_RUNS = 16 };

struct pv_predictor {
    pv_json *json;              /* opts borrows its texts */
    struct pv_model *model[MOST_RUNS];
    int num;
    struct pv_infer_opts opts;
};

static const char *const keys[] = {"run", "weights", "stride", "batch", "mirror", "gaussian", "largest", NULL};

static bool open_runs(pv_predictor *p, pv_dev *dev)
{
    const pv_json *run = pv_json_get(p->json, "run"), *one = pv_json_is_array(run) ? pv_json_at(run, 0) : run;
    const char *weights = pv_json_str(p->json, "weights", NULL);
    for (; one; one = pv_json_is_array(run) ? pv_json_next(one) : NULL) {
        if (!pv_json_is_string(one) || p->num == MOST_RUNS)
            return pv_fail(PV_FAULT_USAGE, "prediction: run is a folder or a list of at most %d", MOST_RUNS);
        p->model[p->num] = pv_model_open(dev, pv_json_string_value(one), weights);
        if (!p->model[p->num++])
            return false;
    }
    return p->num > 0 ? pv_models_agree(p->model, p->num) : pv_fail(PV_FAULT_USAGE, "prediction needs \"run\"");
}

pv_predictor *pv_predictor_open(pv_device *d, const char *json)
{
    pv_api_begin();
    pv_predictor *p = pv_new(pv_predictor);
    p->json = pv_api_config(json, "prediction", keys);
    bool ok = p->json && pv_api_shape(p->json, "stride", p->opts.stride);
    if (ok) {
        p->opts.batch = (int)pv_json_num(p->json, "batch", 0);
        p->opts.mirror = pv_json_str(p->json, "mirror", NULL);
        p->opts.gaussian = pv_json_get(p->json, "gaussian") ? pv_json_flag(p->json, "gaussian", false) : -1;
        p->opts.largest = (int)pv_json_num(p->json, "largest", -1);
        p->opts.quiet = true;
        ok = (p->opts.batch >= 0 && p->opts.batch <= 256) || pv_fail(PV_FAULT_USAGE, "prediction: batch is 1 to 256");
    }
    if (!pv_api_end(ok && open_runs(p, d->dev)))
        pv_predictor_close(&p);
    return p;
}

void pv_predictor_progress(pv_predictor *p, pv_progress_function progress, void *user)
{
    p->opts.progress = progress;
    p->opts.user = user;
}

int pv_predictor_channels(const pv_predictor *p) { return p->model[0]->run->net.channels; }
int pv_predictor_classes(const pv_predictor *p) { return p->model[0]->run->net.classes; }

bool pv_predict_file(pv_predictor *p, const char *input, const char *output)
{
    pv_api_begin();
    return pv_api_end(pv_predict_case(p->model, p->num, input, output, NULL, &p->opts));
}

bool pv_predict_array(pv_predictor *p, const float *image, const int size[3], const double spacing[3],
                      uint8_t *label, float *prob)
{
    pv_api_begin();
    const char *what = "the array";
    struct pv_volume v = {.channels = pv_predictor_channels(p)};
    uint8_t *l = NULL;
    float *pr = NULL;
    bool ok = true;
    for (int a = 0; a < 3; a++) {
        v.size[a] = size[a];
        v.spacing[a] = spacing ? spacing[a] : 1;
        ok = ok && size[a] >= 1 && v.spacing[a] > 0;
    }
    if (!ok)
        pv_fail(PV_FAULT_USAGE, "an array to predict has sides of at least one voxel and spacings above 0");
    ok = ok && pv_volume_room(what, PV_IMAGE, &v);
    size_t n = ok ? pv_volume_voxels(&v) : 0;
    if (ok) {
        pv_geometry_plain(&v.geo, v.size, v.spacing);
        memcpy(v.image, image, sizeof *image * n * (size_t)v.channels);
        ok = pv_volume_check_finite(what, &(struct pv_read){0}, &v) &&
             pv_predict_volume(p->model, p->num, what, &v, &p->opts, &l, prob ? &pr : NULL);
    }
    if (ok) {
        memcpy(label, l, n);
        if (prob)
            memcpy(prob, pr, sizeof *prob * n * (size_t)pv_predictor_classes(p));
    }
    pv_free_big(l);
    pv_free_big(pr);
    pv_volume_free(&v);
    return pv_api_end(ok);
}

void pv_predictor_close(pv_predictor **pp)
{
    pv_predictor *p = *pp;
    if (!p)
        return;
    for (int i = 0; i < p->num; i++)
        pv_model_free(&p->model[i]);
    pv_json_free(p->json);
    pv_free(p);
    *pp = NULL;
}

bool pv_weights_export(pv_device *d, const char *run, const char *network, const char *path)
{
    pv_api_begin();
    struct pv_model *m = pv_model_open(d->dev, run, NULL);
    bool ok = m && pv_weights_write(m->run, network, path);
    pv_model_free(&m);
    return pv_api_end(ok);
}
