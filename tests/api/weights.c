/* SPDX-License-Identifier: Apache-2.0
 * train/weights.h: weights DEVICE. State dicts of PyTorch in and out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "golden.h"
#include "platform/platform.h"
#include "train/config.h"
#include "train/infer.h"
#include "train/weights.h"

static int failures;

#define CHECK(x) ((x) ? (void)0 : (failures++, (void)printf("FAILED line %d: %s; %s\n", __LINE__, #x, pv_fault_text())))

static char dir[64];

static const char *in_dir(const char *name)
{
    static char path[6][160];
    static int k;
    k = (k + 1) % 6;
    snprintf(path[k], sizeof path[k], "%s/%s", dir, name);
    return path[k];
}

/* The statement must fail with that kind and say that. */
#define FAILS(kind, part, statement) \
    do { \
        pv_fault_clear(); \
        pv_fail_quiet(true); \
        bool done = (statement); \
        pv_fail_quiet(false); \
        if (done || pv_fault_kind() != (kind) || !strstr(pv_fault_text(), part)) { \
            failures++; \
            printf("FAILED line %d: '%s' does not say '%s'\n", __LINE__, pv_fault_text(), part); \
        } \
        pv_fault_clear(); \
    } while (0)

static pv_json *config_of(const char *method, int channels, int classes, const char *more)
{
    char a[32], b[32];
    snprintf(a, sizeof a, "net.channels=%d", channels);
    snprintf(b, sizeof b, "net.classes=%d", classes);
    const char *sets[] = {a, b, "net.filters=1", "data.prep=none", more};
    struct pv_config_args ca = {.preset = "tiny", .method = method, .labeled = -1, .iters = -1, .batch = -1, .seed = -1,
                                .patch = {16, 16, 16}, .sets = sets, .num_sets = more ? 5 : 4};
    return pv_config_resolve(&ca);
}

/* ---- comparing files ---- */

static char *bytes_of(pv_st_file *f, const struct pv_st_tensor *t)
{
    char *v = pv_alloc(t->bytes + 1);
    if (!pv_st_read_raw(f, t, v))
        v[0] = 0;
    return v;
}

/* Same names, types, shapes and bits; num_batches_tracked (which PyTorch counts) only by name and shape. */
static bool same_weights(const char *a, const char *b)
{
    pv_st_file *f = pv_st_open(a), *g = pv_st_open(b);
    bool ok = f && g && pv_st_count(f) == pv_st_count(g);
    for (size_t i = 0; ok && i < pv_st_count(f); i++) {
        const struct pv_st_tensor *t = pv_st_at(f, i), *u = pv_st_find(g, t->name);
        ok = u && t->type == u->type && t->ndim == u->ndim &&
             !memcmp(t->shape, u->shape, sizeof t->shape[0] * (size_t)t->ndim);
        if (!ok)
            printf("%s differs in type or shape\n", t->name);
        if (ok && !strstr(t->name, "num_batches_tracked")) {
            char *x = bytes_of(f, t), *y = bytes_of(g, u);
            ok = memcmp(x, y, t->bytes) == 0;
            pv_free(x);
            pv_free(y);
        }
    }
    pv_st_close(&f);
    pv_st_close(&g);
    return ok;
}

/* A copy of a file: names behind `prefix_a` (encoders: blocks one to five and their steps down) or `prefix_b`, type
 * `type`, without `leave_out`, and the tensor `bend` with one more axis of length 1. */
struct edit { const char *prefix_a, *prefix_b, *leave_out, *bend; enum pv_st_type type; };

static void copy_file(const char *from, const char *to, struct edit e)
{
    pv_st_file *f = pv_st_open(from);
    pv_st_writer *w = pv_st_writer_new();
    void *keep[512];
    int n = 0;
    for (size_t i = 0; i < pv_st_count(f); i++) {
        const struct pv_st_tensor *t = pv_st_at(f, i);
        if (e.leave_out && pv_streq(t->name, e.leave_out))
            continue;
        bool front = strstr(t->name, "_dw.") || (!strstr(t->name, "_up.") && !strstr(t->name, "block_six") &&
            !strstr(t->name, "block_seven") && !strstr(t->name, "block_eight") && !strstr(t->name, "block_nine") &&
            !strstr(t->name, "out_conv"));
        char *name = pv_asprintf("%s%s", front ? e.prefix_a : e.prefix_b, t->name);
        int64_t shape[9] = {0};
        memcpy(shape, t->shape, sizeof t->shape[0] * (size_t)t->ndim);
        int ndim = t->ndim;
        if (e.bend && pv_streq(t->name, e.bend))
            shape[ndim++] = 1;
        void *data;
        enum pv_st_type type = t->type == PV_ST_F32 ? e.type : t->type;
        int64_t len = pv_st_len(t);
        if (type == PV_ST_F64) {
            data = pv_array(double, len);
            pv_st_read_f64(f, t, data);
        } else if (type == PV_ST_F16) {
            float *v = pv_array(float, len);
            pv_st_read_f32(f, t, v);
            uint16_t *h = pv_array(uint16_t, len);
            for (int64_t k = 0; k < len; k++)
                h[k] = pv_f32_to_f16(v[k]);
            pv_free(v);
            data = h;
        } else {
            data = bytes_of(f, t);
        }
        keep[n++] = data;
        pv_st_put(w, name, type, ndim, shape, data);
        pv_free(name);
    }
    CHECK(pv_st_write(w, to));
    pv_st_writer_free(&w);
    for (int i = 0; i < n; i++)
        pv_free(keep[i]);
    pv_st_close(&f);
}

/* ---- tests ---- */

/* What PyTorch saved is in the run, bit by bit, and gives PyTorch's logits. */
static void from_pytorch(pv_dev *dev, const char *golden)
{
    pv_json *c = config_of("mt", 2, 3, NULL);
    struct pv_run *r = pv_run_new(dev, c, true);
    pv_net *want = pv_net_new(dev, &r->net);
    golden_fill(want, 100);
    CHECK(pv_weights_read(r, golden));
    CHECK(r->num_nets == 2);
    for (int k = 0; k < r->num_nets; k++) {
        pv_params *p = r->nets[k].net->p;
        int wrong = 0, stats = 0;
        for (int i = 0; i < p->num; i++) {
            float *a = pv_array(float, p->v[i].len), *b = pv_array(float, p->v[i].len);
            CHECK(pv_param_read(p, i, a) && pv_param_read(want->p, i, b));
            bool same = memcmp(a, b, sizeof *a * (size_t)p->v[i].len) == 0;
            wrong += !same && !p->v[i].buffer;
            stats += !same && p->v[i].buffer;
            pv_free(a);
            pv_free(b);
        }
        CHECK(wrong == 0);
        CHECK(stats == 58);     /* means and variances of 29 norms differ from their start */
    }
    int s[3] = {16, 16, 16};
    float image[2 * 16 * 16 * 16];
    int32_t label[16 * 16 * 16];
    golden_batch(0, 3, 1, s, 3, 2, image, label);
    pv_tensor *x = pv_tensor_new(dev, pv_plain(3, 1, 2, s), PV_F32);
    pv_tensor_write(x, image);
    struct pv_net_out out;
    r->tape->recording = false;
    CHECK(pv_net_forward(r->nets[1].net, r->tape, x, 0, 0, &out));
    pv_st_file *f = golden_open("weights/logits.safetensors");
    golden_compare(f, "logits", out.logits, 1, 2e-6);       /* fp32 of 30 layers: 2e-7; ref:0 4e-8 */
    pv_st_close(&f);
    pv_net_out_free(&out);
    pv_tensor_put(&x);
    pv_net_free(&want);

    CHECK(pv_weights_write(r, NULL, in_dir("out.safetensors")));
    CHECK(same_weights(golden, in_dir("out.safetensors")));
    CHECK(pv_weights_write(r, "teacher", in_dir("teacher.safetensors")));
    CHECK(same_weights(golden, in_dir("teacher.safetensors")));
    FAILS(PV_FAULT_USAGE, "it has student, teacher", pv_weights_write(r, "x", in_dir("x.safetensors")));
    pv_run_free(&r);
    pv_json_free(c);
}

static void spellings(pv_dev *dev, const char *golden)
{
    static const struct edit edits[] = {
        {"encoder.", "decoder.", NULL, NULL, PV_ST_F32}, {"module.", "module.", NULL, NULL, PV_ST_F32},
        {"module.encoder.", "module.decoder.", NULL, NULL, PV_ST_F32}, {"model.", "model.", NULL, NULL, PV_ST_F32},
        {"", "", "block_one.conv.1.num_batches_tracked", NULL, PV_ST_F64},
    };
    pv_json *c = config_of("sup", 2, 3, NULL);
    struct pv_run *r = pv_run_new(dev, c, true);
    for (size_t i = 0; i < PV_COUNT(edits); i++) {
        copy_file(golden, in_dir("spelt.safetensors"), edits[i]);
        pv_params *p = r->nets[0].net->p;
        float *zero = pv_array(float, p->len);
        pv_tensor_write(p->flat, zero);
        pv_free(zero);
        CHECK(pv_weights_read(r, in_dir("spelt.safetensors")));
        CHECK(pv_weights_write(r, NULL, in_dir("flat.safetensors")));
        CHECK(same_weights(golden, in_dir("flat.safetensors")));
    }
    copy_file(golden, in_dir("half.safetensors"), (struct edit){"", "", NULL, NULL, PV_ST_F16});
    CHECK(pv_weights_read(r, in_dir("half.safetensors")));
    CHECK(pv_weights_write(r, NULL, in_dir("flat.safetensors")));
    CHECK(!same_weights(golden, in_dir("flat.safetensors")));

    const char *bad = in_dir("bad.safetensors");
    copy_file(golden, bad, (struct edit){"", "", "block_six_up.conv.0.bias", NULL, PV_ST_F32});
    FAILS(PV_FAULT_INPUT, "there is no tensor 'block_six_up.conv.0.bias'", pv_weights_read(r, bad));
    copy_file(golden, bad, (struct edit){"", "", NULL, "block_nine.conv.1.weight", PV_ST_F32});
    FAILS(PV_FAULT_INPUT, "'block_nine.conv.1.weight' has shape [1, 1], this network needs [1]",
          pv_weights_read(r, bad));
    FAILS(PV_FAULT_INPUT, "none.safetensors", pv_weights_read(r, in_dir("none.safetensors")));
    pv_run_free(&r);
    pv_json_free(c);

    c = config_of("sup", 2, 3, "net.name=resvnet");
    r = pv_run_new(dev, c, true);
    FAILS(PV_FAULT_INPUT, "the file holds another network (check --net", pv_weights_read(r, golden));
    pv_run_free(&r);
    pv_json_free(c);
    c = config_of("sup", 1, 3, NULL);
    r = pv_run_new(dev, c, true);
    FAILS(PV_FAULT_INPUT, "has shape [1, 2, 3, 3, 3], this network needs [1, 1, 3, 3, 3]", pv_weights_read(r, golden));
    pv_run_free(&r);
    pv_json_free(c);
}

/* Into a run folder that predicts, and out of its checkpoint again. */
static void runs(pv_dev *dev, const char *golden)
{
    pv_json *c = config_of("sup", 1, 2, "net.filters=16");
    CHECK(pv_weights_fit(dev, c, golden));
    CHECK(pv_json_number_value(pv_json_path(c, "net.channels")) == 2);
    CHECK(pv_json_number_value(pv_json_path(c, "net.classes")) == 3);
    CHECK(pv_json_number_value(pv_json_path(c, "net.filters")) == 1);
    CHECK(pv_weights_to_run(dev, c, golden, in_dir("run"), false));
    FAILS(PV_FAULT_USAGE, "already holds a run", pv_weights_to_run(dev, c, golden, in_dir("run"), false));
    CHECK(pv_weights_to_run(dev, c, golden, in_dir("run"), true));
    struct pv_model *m = pv_model_open(dev, in_dir("run"), NULL);
    CHECK(m && m->steps == 0 && pv_weights_write(m->run, NULL, in_dir("back.safetensors")));
    CHECK(same_weights(golden, in_dir("back.safetensors")));
    pv_model_free(&m);
    pv_json_free(c);
    /* a checkpoint of another method, whose network has another name */
    c = config_of("mt", 2, 3, NULL);
    struct pv_run *r = pv_run_new(dev, c, true);
    CHECK(pv_weights_read(r, in_dir("run/final.safetensors")));
    CHECK(pv_weights_write(r, "teacher", in_dir("again.safetensors")));
    CHECK(same_weights(golden, in_dir("again.safetensors")));
    pv_run_free(&r);
    pv_json_free(c);
}

/* Every network finds its widths in its own export. */
static void all_networks(pv_dev *dev)
{
    for (int i = 0; pv_net_kinds[i]; i++) {
        char net[64];
        snprintf(net, sizeof net, "net.name=%s", pv_net_kinds[i]->name);
        bool flat = pv_net_kinds[i]->dims == 2;
        const char *sets[] = {net, "net.filters=2", "net.channels=3", "net.classes=4",
                              flat ? "net.dims=2" : "net.dims=3"};
        struct pv_config_args ca = {.preset = flat ? "acdc" : "tiny", .method = "sup",
                                    .labeled = -1, .iters = -1, .batch = -1, .seed = -1, .sets = sets,
                                    .num_sets = PV_COUNT(sets)};
        pv_json *c = pv_config_resolve(&ca);
        struct pv_run *r = c ? pv_run_new(dev, c, true) : NULL;
        CHECK(r && pv_weights_write(r, NULL, in_dir("net.safetensors")));
        pv_run_free(&r);
        pv_json_free(c);
        ca.num_sets = 1;
        c = pv_config_resolve(&ca);
        CHECK(c && pv_weights_fit(dev, c, in_dir("net.safetensors")));
        CHECK(pv_json_number_value(pv_json_path(c, "net.channels")) == 3);
        CHECK(pv_json_number_value(pv_json_path(c, "net.classes")) == 4);
        CHECK(pv_json_number_value(pv_json_path(c, "net.filters")) == 2);
        CHECK(pv_weights_to_run(dev, c, in_dir("net.safetensors"), in_dir("net"), true));
        pv_json_free(c);
        if (failures)
            printf("(%s)\n", pv_net_kinds[i]->name);
    }
}

int main(int argc, char **argv)
{
    pv_dev *dev = pv_dev_open(argc > 1 ? argv[1] : "ref:0", NULL);
    if (!dev || !pv_env("PV_GOLDEN"))
        return 1;
    snprintf(dir, sizeof dir, "weights_tmp.%d", pv_pid());
    CHECK(pv_mkdirs(dir));
    char *golden = pv_path_join(pv_env("PV_GOLDEN"), "weights/vnet.safetensors");
    from_pytorch(dev, golden);
    spellings(dev, golden);
    runs(dev, golden);
    all_networks(dev);
    pv_free(golden);
    pv_remove_tree(dir);
    CHECK(!pv_dev_failed(dev));
    pv_dev_close(&dev);
    failures += golden_failures;
    printf("%d failures\n", failures);
    return failures != 0;
}
