/* SPDX-License-Identifier: Apache-2.0
 * protovox.h by itself: api DEVICE. Every step is small, so that it runs on slow devices too. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/protovox.h"
#include "base/base.h"
#include "base/json.h"
#include "data/file.h"
#include "platform/platform.h"

static int failures;

#define CHECK(x) \
    ((x) ? (void)0 : (failures++, (void)printf("FAILED line %d: %s; error '%s'\n", __LINE__, #x, pv_error())))

static char dir[64];

/* A configuration with %s for the test's folder. */
static const char *in_dir(const char *format)
{
    static char text[4][1024];
    static int k;
    k = (k + 1) % 4;
    snprintf(text[k], sizeof text[k], format, dir, dir, dir);
    return text[k];
}

#define RUN(name, more) in_dir("{\"data\": \"%s/data\", \"out\": \"%s/" name "\", \"preset\": \"demo\", " \
    "\"patch\": [16, 16, 16], \"method\": \"mt\", \"labeled\": 1, \"batch\": 1, \"iters\": 4, " \
    "\"settings\": {\"net\": {\"filters\": 4}}" more "}")

struct steps { int64_t done, total, stop_at; int calls; };

static bool on_step(void *user, int64_t done, int64_t total)
{
    struct steps *s = user;
    s->done = done;
    s->total = total;
    s->calls++;
    return done != s->stop_at;
}

static bool same_file(const char *a, const char *b)
{
    char *x = NULL, *y = NULL;
    size_t n = 0, m = 0;
    bool ok = pv_read_file(a, &x, &n) && pv_read_file(b, &y, &m) && n == m && memcmp(x, y, n) == 0;
    pv_free(x);
    pv_free(y);
    return ok;
}

/* ---- what is refused ---- */

static void fails(bool failed, enum pv_error_kind kind, const char *part)
{
    if (!failed || pv_error_code() != kind || !strstr(pv_error(), part)) {
        failures++;
        printf("FAILED: expected '%s' (%d), got '%s' (%d)\n", part, kind, pv_error(), pv_error_code());
    }
}

static void refused(pv_context *c, pv_device *d)
{
    fails(!pv_context_new("{\"log\": 3}", NULL, NULL), PV_ERROR_USAGE, "log is none");
    fails(!pv_context_new("{\"lgo\": \"none\"}", NULL, NULL), PV_ERROR_USAGE, "did you mean log?");
    fails(!pv_context_new("{", NULL, NULL), PV_ERROR_INPUT, "context");
    fails(!pv_context_new("[1]", NULL, NULL), PV_ERROR_USAGE, "JSON object");
    fails(!pv_device_open(c, "no such device"), PV_ERROR_USAGE, "no such device");
    fails(!pv_training_open(d, "{\"data\": \"x\"}", NULL, NULL), PV_ERROR_USAGE, "\"out\"");
    fails(!pv_training_open(d, "{\"data\": 1, \"out\": \"x\"}", NULL, NULL), PV_ERROR_USAGE, "data is a text");
    fails(!pv_training_open(d, RUN("bad", ", \"lists\": 7"), NULL, NULL), PV_ERROR_USAGE, "lists is a text");
    fails(!pv_training_open(d, RUN("bad", ", \"metod\": \"mt\""), NULL, NULL), PV_ERROR_USAGE, "did you mean method?");
    fails(!pv_training_open(d, RUN("bad", ", \"seed\": -1"), NULL, NULL), PV_ERROR_USAGE, "seed");
    fails(!pv_training_open(d, in_dir("{\"data\": \"%s/none\", \"out\": \"%s/bad\"}"), NULL, NULL), PV_ERROR_INPUT,
          "there is no folder");
    fails(!pv_training_open(d, in_dir("{\"data\": \"%s/data\", \"out\": \"%s/bad\", \"patch\": [1.5, 2, 3]}"), NULL,
                            NULL), PV_ERROR_USAGE, "patch is three sizes");
    fails(!pv_training_open(d, in_dir("{\"data\": \"%s/data\", \"out\": \"%s/bad\", \"settings\": {\"optim\": "
                                      "{\"rl\": 1}}}"), NULL, NULL), PV_ERROR_USAGE, "optim.rl");
    fails(!pv_training_open(d, in_dir("{\"data\": \"%s/data\", \"out\": \"%s/bad\", \"resume\": true}"), NULL, NULL),
          PV_ERROR_INPUT, "no run to resume");
    fails(!pv_predictor_open(d, "{}"), PV_ERROR_USAGE, "\"run\"");
    fails(!pv_predictor_open(d, in_dir("{\"run\": \"%s/bad\"}")), PV_ERROR_INPUT, "not a run folder");
    fails(!pv_phantoms_make(dir, 0, 1, (int[3]){16, 16, 16}, 1), PV_ERROR_USAGE, "at least one");
    fails(!pv_phantoms_make(dir, 1, 1, (int[3]){1, 16, 16}, 1), PV_ERROR_USAGE, "sides");
}

static void fail_there(void *arg)
{
    pv_device_open(*(pv_context **)arg, "nowhere");
    CHECK(strstr(pv_error(), "nowhere") && pv_error_code() == PV_ERROR_USAGE);
}

static void errors_of_threads(pv_context *c)
{
    fails(!pv_device_open(c, "here"), PV_ERROR_USAGE, "here");
    pv_thread *t = pv_thread_start(fail_there, &c);
    pv_thread_join(&t);
    CHECK(strstr(pv_error(), "'here'"));
    char *text = pv_devices(c);         /* success leaves the last error */
    CHECK(strstr(pv_error(), "'here'"));
    pv_string_free(text);
}

/* ---- what works ---- */

static void devices(pv_context *c, const pv_device *d)
{
    char *text = pv_devices(c);
    pv_json *j = pv_json_parse(text, "devices");
    const pv_json *list = pv_json_get(j, "devices");
    bool found = false;
    for (const pv_json *o = pv_json_at(list, 0); o; o = pv_json_next(o))
        found = found || (pv_streq(pv_json_str(o, "id", ""), pv_device_id(d)) &&
                          pv_json_num(pv_json_get(o, "limits"), "memory", 0) > 0);
    CHECK(found);
    CHECK(pv_json_is_string(pv_json_get(j, "missing")));
    pv_json_free(j);
    pv_string_free(text);
}

/* Cancelled after two of four steps and resumed, a run ends with the bits of one that was not. */
static void training(pv_device *d)
{
    struct steps s = {.stop_at = -1};
    double loss = -1;
    int64_t step = -1;
    pv_training *t = pv_training_open(d, RUN("whole", ""), on_step, &s);
    CHECK(t != NULL);
    if (!t)
        return;
    CHECK(pv_training_total(t) == 4 && pv_training_done(t) == 0);
    CHECK(!pv_training_value(t, "loss", &loss, &step));
    CHECK(pv_training_step(t, 1) == PV_MORE && pv_training_done(t) == 1 && s.calls == 1);
    CHECK(pv_training_step(t, 0) == PV_DONE && s.done == 4 && s.total == 4);
    CHECK(pv_training_step(t, 1) == PV_DONE && s.calls == 4);
    CHECK(pv_training_value(t, "loss", &loss, &step) && loss > 0 && loss < 5 && step == 4);
    CHECK(!pv_training_value(t, "nothing", &loss, &step));
    pv_training_close(&t);
    CHECK(t == NULL);
    fails(!pv_training_open(d, RUN("whole", ""), NULL, NULL), PV_ERROR_USAGE, "already holds a run");

    s = (struct steps){.stop_at = 2};
    t = pv_training_open(d, RUN("parts", ""), on_step, &s);
    CHECK(t && pv_training_step(t, 0) == PV_CANCELLED && pv_training_done(t) == 2);
    pv_training_close(&t);
    s.stop_at = 3;
    t = pv_training_open(d, in_dir("{\"data\": \"%s/data\", \"out\": \"%s/parts\", \"resume\": true}"), on_step, &s);
    CHECK(t && pv_training_done(t) == 2 && pv_training_total(t) == 4);
    CHECK(t && pv_training_step(t, 0) == PV_CANCELLED && pv_training_done(t) == 3);
    CHECK(t && pv_training_step(t, 0) == PV_DONE && pv_training_done(t) == 4);
    pv_training_close(&t);
    char a[128], b[128];
    snprintf(a, sizeof a, "%s/a.safetensors", dir);
    snprintf(b, sizeof b, "%s/b.safetensors", dir);
    CHECK(pv_weights_export(d, in_dir("%s/whole"), NULL, a));
    CHECK(pv_weights_export(d, in_dir("%s/parts"), "student", b));
    if (!pv_starts(pv_device_id(d), "ref"))    /* which computes in double, and checkpoints hold floats */
        CHECK(same_file(a, b));
    CHECK(pv_weights_export(d, in_dir("%s/parts"), "teacher", b));
    CHECK(!same_file(a, b));
    fails(!pv_weights_export(d, in_dir("%s/parts"), "x", b), PV_ERROR_USAGE, "student, teacher");
}

static bool stop_at_once(void *user, int64_t done, int64_t total) { return false; }

static void prediction(pv_device *d)
{
    pv_predictor *p = pv_predictor_open(d, in_dir("{\"run\": \"%s/whole\", \"stride\": [8, 16, 8]}"));
    CHECK(p != NULL);
    if (!p)
        return;
    CHECK(pv_predictor_channels(p) == 1 && pv_predictor_classes(p) == 2);
    char in[128], out[128];
    snprintf(in, sizeof in, "%s/data/imagesTs/phantom_003_0000.nii.gz", dir);
    snprintf(out, sizeof out, "%s/label.nii.gz", dir);
    CHECK(pv_predict_file(p, in, out));
    struct pv_volume image, label;
    CHECK(pv_volume_read(in, PV_IMAGE, NULL, &image) && pv_volume_read(out, PV_LABEL, NULL, &label));
    size_t n = pv_volume_voxels(&image), wrong = 0;
    uint8_t *own = malloc(n);
    float *prob = malloc(2 * n * sizeof *prob);
    CHECK(own && prob && pv_predict_array(p, image.image, image.size, image.spacing, own, prob));
    CHECK(memcmp(own, label.label, n) == 0);
    for (size_t i = 0; i < n; i++) {
        float sum = prob[i] + prob[n + i];
        wrong += !(sum > 0.9999f && sum < 1.0001f) || own[i] != (prob[n + i] > prob[i]);
    }
    CHECK(wrong == 0);
    CHECK(pv_predict_array(p, image.image, image.size, NULL, own, NULL));
    fails(!pv_predict_array(p, image.image, (int[3]){0, 1, 1}, NULL, own, NULL), PV_ERROR_USAGE, "at least one voxel");
    fails(!pv_predict_file(p, in_dir("%s/none.nii.gz"), out), PV_ERROR_INPUT, "none.nii.gz");
    pv_predictor_progress(p, stop_at_once, NULL);
    fails(!pv_predict_file(p, in, out), PV_ERROR_STOPPED, "interrupted");
    pv_predictor_progress(p, NULL, NULL);
    CHECK(pv_predict_file(p, in, out));
    pv_predictor_close(&p);

    p = pv_predictor_open(d, in_dir("{\"run\": [\"%s/whole\", \"%s/parts\"], \"weights\": \"final\", "
                                    "\"mirror\": \"z\"}"));
    CHECK(p && pv_predict_array(p, image.image, image.size, NULL, own, prob));
    pv_predictor_close(&p);
    fails(!pv_predictor_open(d, in_dir("{\"run\": \"%s/whole\", \"weights\": \"latest\"}")), PV_ERROR_INPUT, "latest");
    free(own);
    free(prob);
    pv_volume_free(&image);
    pv_volume_free(&label);
}

struct lines { int n, errors; };

static void hear(void *user, int level, const char *line)
{
    struct lines *l = user;
    l->n++;
    l->errors += level == 0;
}

int main(int argc, char **argv)
{
    struct lines heard = {0};
    snprintf(dir, sizeof dir, "api_tmp.%d", pv_pid());
    CHECK(pv_streq(pv_error(), "") && pv_error_code() == PV_ERROR_NONE);
    CHECK(strchr(pv_version(), '.') != NULL);
    pv_context *c = pv_context_new(NULL, hear, &heard);
    pv_device *d = pv_device_open(c, argc > 1 ? argv[1] : "ref:0");
    CHECK(d != NULL);
    if (!d)
        return 1;
    char data[96];
    snprintf(data, sizeof data, "%s/data", dir);
    CHECK(pv_phantoms_make(data, 3, 1, (int[3]){24, 20, 16}, 5));
    devices(c, d);
    refused(c, d);
    errors_of_threads(c);
    training(d);
    CHECK(heard.n > heard.errors && heard.errors > 10);
    prediction(d);
    pv_device_close(&d);
    pv_context_free(&c);
    CHECK(c == NULL && d == NULL);
    pv_remove_tree(dir);
    printf("%d failures\n", failures);
    return failures != 0;
}
