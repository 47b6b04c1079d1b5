/* SPDX-License-Identifier: Apache-2.0
 * protovox devices: what there is to compute on. */
#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "cli/cli.h"
#include "train/config.h"
#include "train/memory.h"

static const char *const type_names[] = {"CPU", "GPU", "other"};

extern const struct pv_command pv_cmd_devices;

static void say_clblast(void)
{
    struct pv_str why = {0};
    const char *library = pv_gemm_library(&why);
    printf("%-10s %s%s (optional; OpenCL GPUs, with --tune on)\n", "CLBlast", library ? library : "not used: ",
           library ? "" : why.text);
    pv_str_free(&why);
}

/* What the training would take of each device. */
static void say_need(const struct pv_dev_info *d, const pv_json *config, pv_json *out)
{
    uint64_t need;
    char *why = NULL;
    bool fits = pv_train_memory(d, config, d->limits.memory, &need, NULL);
    bool runs = fits || pv_train_memory(d, config, UINT64_MAX, &need, &why);
    if (d->cls == PV_REF)
        return;
    if (!runs) {
        if (out)
            pv_json_set_str(out, "training_error", why ? why : "");
        else
            printf("           %s %s cannot be trained: %s\n", pv_json_str(config, "method", ""),
                   pv_json_str(config, "preset", ""), why ? why : "");
        pv_free(why);
    } else if (out) {
        pv_json_set_num(out, "training_bytes", (double)need);
        pv_json_set_bool(out, "training_fits", fits);
    } else {
        printf("           %s %s needs %.0f MiB: %s\n", pv_json_str(config, "method", ""),
               pv_json_str(config, "preset", ""), (double)need / 1048576, fits ? "fits" : "does not fit");
    }
}

static int run(int argc, char **argv)
{
    bool json = false;
    struct pv_config_args ca = {.labeled = -1, .iters = -1, .batch = -1, .seed = -1};
    struct pv_strs sets = {0};
    const struct pv_opt opts[] = {
        {"method", PV_OPT_STR, &ca.method, "NAME", "say what training it takes of each device's memory"},
        {"preset", PV_OPT_STR, &ca.preset, "NAME", "with --method: as for train"},
        {"net", PV_OPT_STR, &ca.net, "NAME", "likewise"},
        {"patch", PV_OPT_SHAPE, ca.patch, "XxYxZ", "likewise"},
        {"batch", PV_OPT_INT, &ca.batch, "N", "likewise"},
        {"set", PV_OPT_LIST, &sets, "A.B=C", "likewise"},
        {"json", PV_OPT_FLAG, &json, NULL, "print JSON"},
        {0}};
    int code;
    if (pv_parse_opts(&pv_cmd_devices, opts, argc, argv, &code) != PV_PARSED)
        return code;
    ca.sets = (const char *const *)sets.v;
    ca.num_sets = sets.n;
    bool need = ca.method || ca.preset || ca.net || ca.patch[0] || ca.batch >= 0 || sets.n;
    pv_json *config = need ? pv_config_resolve(&ca) : NULL;
    pv_strs_free(&sets);
    if (need && !config)
        return pv_exit_code();
    int n, usable = 0;
    struct pv_str missing = {0};
    struct pv_dev_info *d = pv_dev_list(&n, &missing);
    pv_json *all = pv_json_array();
    for (int i = 0; i < n; i++) {
        usable += d[i].cls != PV_REF;
        if (json) {
            pv_json *one = pv_device_json(&d[i]);
            if (config)
                say_need(&d[i], config, one);
            pv_json_add(all, one);
            continue;
        }
        const struct pv_limits *l = &d[i].limits;
        printf("%-10s %s\n", d[i].id, d[i].name);
        printf("           %s, %s, driver %s\n", type_names[d[i].type], d[i].api, d[i].driver);
        uint64_t alloc = l->max_alloc < l->memory ? l->max_alloc : l->memory;
        uint64_t bind = l->max_binding < l->memory ? l->max_binding : l->memory;
        printf("           memory %.1f GiB, one allocation %.1f GiB, one binding %.0f MiB\n",
               (double)l->memory / 1073741824, (double)alloc / 1073741824, (double)bind / 1048576);
        printf("           work-group %u, local memory %u KiB\n           %s\n", l->max_wg, l->local_bytes / 1024,
               pv_device_kernels(d[i].cls));
        if (config)
            say_need(&d[i], config, NULL);
    }
    if (json) {
        char *text = pv_json_text(all, true);
        printf("%s\n", text);
        pv_free(text);
    } else {
        say_clblast();
    }
    pv_json_free(all);
    pv_json_free(config);
    if (missing.text)
        fprintf(stderr, "%s", missing.text);
    pv_str_free(&missing);
    pv_free(d);
    if (usable == 0) {
        pv_fail(PV_FAULT_DEVICE, "no OpenCL or Vulkan device: only the slow reference device can be used");
        return PV_FAULT_DEVICE;
    }
    return 0;
}

const struct pv_command pv_cmd_devices = {"devices", "list OpenCL and Vulkan devices and their limits",
    "  protovox devices\n"
    "  protovox devices --method mt --preset la      (memory that training takes)\n  protovox devices --json", run};
