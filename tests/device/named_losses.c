/* SPDX-License-Identifier: Apache-2.0
 * named_losses DEVICE [--class C]: every file of golden/loss/ (named losses against independent PyTorch writings,
 * float64). A file's metadata "loss" names the loss, its cases hold in.*, options, and the expected out.* and grad.*.
 *
 * Tolerances: values 1e-5 relative (1e-7 of what the inputs' scale allows for values that are zero); maps and
 * gradients 1e-4, relative L2 and largest difference over largest value. On ref:0 1e-7: it computes in double, but
 * constants such as weights and 1 / classes reach every device as fp32. Every expected tensor must
 * come out, and every gradient that comes out must be expected. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "method/named.h"
#include "platform/platform.h"

static int failures, compared;

static void compare(const char *file, const char *prefix, pv_st_file *f, const struct pv_named_value *v, bool ref)
{
    char *key = pv_asprintf("%s%s", prefix, v->name);
    const struct pv_st_tensor *s = pv_st_find(f, key);
    int64_t n = 1;
    for (int i = 0; i < v->ndim; i++)
        n *= v->shape[i];
    if (!s) {
        if (pv_starts(v->name, "grad.")) {
            failures++;
            printf("FAILED %s: gradient %s is not expected\n", file, key);
        }
        pv_free(key);
        return;
    }
    if (pv_st_len(s) != n) {
        failures++;
        printf("FAILED %s: %s has %lld elements, PyTorch %lld\n", file, key, (long long)n, (long long)pv_st_len(s));
        pv_free(key);
        return;
    }
    double *want = pv_array(double, n), d2 = 0, w2 = 0, worst = 0, top = 0;
    pv_st_read_f64(f, s, want);
    for (int64_t i = 0; i < n; i++) {
        double e = fabs(v->v[i] - want[i]);
        if (!(e <= 1e300))
            e = 1e300;
        d2 += e * e;
        w2 += want[i] * want[i];
        worst = fmax(worst, e);
        top = fmax(top, fabs(want[i]));
    }
    bool scalar = n == 1 && pv_starts(v->name, "out.");
    double tol = ref ? 1e-7 : scalar ? 1e-5 : 1e-4, err = top > 0 ? fmax(sqrt(d2 / w2), worst / top) : worst * 1e3;
    compared++;
    if (!(err <= tol)) {
        failures++;
        printf("FAILED %s: %s differs by %.2e (largest value %.4g)\n", file, key, err, top);
    }
    pv_free(want);
    pv_free(key);
}

static void one_file(pv_dev *dev, const char *path, const char *file)
{
    pv_st_file *f = pv_st_open(path);
    const struct pv_named_loss *l = f ? pv_named_find(pv_st_meta(f, "loss") ? pv_st_meta(f, "loss") : "?") : NULL;
    struct pv_strs cases = {0};
    int before = compared;
    if (!l) {
        failures++;
        printf("FAILED %s: no loss\n", file);
        pv_st_close(&f);
        return;
    }
    pv_named_cases(f, &cases);
    for (size_t i = 0; i < cases.n; i++) {
        struct pv_named_result r = {0};
        pv_fault_clear();
        if (!pv_named_run(dev, l, f, cases.v[i], NULL, &r)) {
            failures++;
            printf("FAILED %s: case %s: %s\n", file, cases.v[i], pv_fault_text());
            continue;
        }
        for (int k = 0; k < r.n; k++)
            compare(file, cases.v[i], f, &r.v[k], pv_dev_is_ref(dev));
        for (size_t k = 0; k < pv_st_count(f); k++) {       /* what PyTorch has and we have not */
            const char *name = pv_st_at(f, k)->name;
            size_t len = strlen(cases.v[i]);
            if (!pv_starts(name, cases.v[i]) || (len == 0 && name[0] == '/') || pv_starts(name + len, "in."))
                continue;
            if (!pv_starts(name + len, "out.") && !pv_starts(name + len, "grad."))
                continue;
            bool there = false;
            for (int j = 0; j < r.n; j++)
                there = there || pv_streq(r.v[j].name, name + len);
            if (!there) {
                failures++;
                printf("FAILED %s: %s did not come out\n", file, name);
            }
        }
        pv_named_result_free(&r);
    }
    printf("%-40s %3d cases %4d tensors\n", file, (int)cases.n, compared - before);
    if (compared == before) {
        failures++;
        printf("FAILED %s: nothing was compared\n", file);
    }
    pv_strs_free(&cases);
    pv_st_close(&f);
}

int main(int argc, char **argv)
{
    const char *device = argc > 1 ? argv[1] : "auto", *cls = NULL;
    for (int i = 2; i + 1 < argc; i += 2)
        if (pv_streq(argv[i], "--class"))
            cls = argv[i + 1];
    pv_dev *dev = pv_dev_open(device, &(struct pv_dev_opts){.force_class = cls, .poison = true, .guard = true});
    char *dir = pv_path_join(getenv("PV_GOLDEN"), "loss"), **names;
    size_t n;
    if (!dev || !pv_list_dir(dir, &names, &n))
        return 1;
    for (size_t i = 0; i < n; i++) {
        if (pv_ends(names[i], ".safetensors")) {
            char *path = pv_path_join(dir, names[i]);
            one_file(dev, path, names[i]);
            pv_free(path);
        }
        free(names[i]);
    }
    free(names);
    if (!pv_dev_guard_check(dev) || pv_dev_failed(dev))
        failures++;
    pv_dev_close(&dev);
    pv_free(dir);
    printf("%d compared, %s\n", compared, failures ? "FAILED" : "passed");
    return failures != 0 || compared == 0;
}
