/* SPDX-License-Identifier: Apache-2.0
 * protovox devices: what there is to compute on. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cli/cli.h"

static const char *const type_names[] = {"CPU", "GPU", "other"};

static const char *class_text(enum pv_dev_class c)
{
    return c == PV_FAT ? "fat" : c == PV_SIMT ? "simt" : "ref";
}

static const char *kernels_text(enum pv_dev_class c)
{
    return c == PV_FAT ? "fat kernels: float16 tiles in registers, one work-item each"
         : c == PV_SIMT ? "simt kernels: many small work-items" : "no kernels: plain C references in double";
}

static pv_json *to_json(const struct pv_dev_info *d)
{
    pv_json *o = pv_json_object(), *l = pv_json_object();
    pv_json_set_str(o, "id", d->id);
    pv_json_set_str(o, "name", d->name);
    pv_json_set_str(o, "vendor", d->vendor);
    pv_json_set_str(o, "driver", d->driver);
    pv_json_set_str(o, "api", d->api);
    pv_json_set_str(o, "type", type_names[d->type]);
    pv_json_set_str(o, "class", class_text(d->cls));
    pv_json_set_str(o, "kernels", kernels_text(d->cls));
    pv_json_set_num(l, "memory", (double)d->limits.memory);
    pv_json_set_num(l, "max_alloc", (double)d->limits.max_alloc);
    pv_json_set_num(l, "max_binding", (double)d->limits.max_binding);
    pv_json_set_num(l, "max_work_group", d->limits.max_wg);
    pv_json_set_num(l, "local_bytes", d->limits.local_bytes);
    pv_json_set_num(l, "subgroup", d->limits.subgroup);
    pv_json_set_num(l, "compute_units", d->limits.compute_units);
    pv_json_set_bool(l, "fp16", d->limits.fp16);
    pv_json_set_bool(l, "fp64", d->limits.fp64);
    pv_json_set(o, "limits", l);
    return o;
}

extern const struct pv_command pv_cmd_devices;

static int run(int argc, char **argv)
{
    bool json = false;
    const struct pv_opt opts[] = {{"json", PV_OPT_FLAG, &json, NULL, "print JSON"}, {0}};
    int code;
    if (pv_parse_opts(&pv_cmd_devices, opts, argc, argv, &code) != PV_PARSED)
        return code;
    int n, usable = 0;
    struct pv_str missing = {0};
    struct pv_dev_info *d = pv_dev_list(&n, &missing);
    pv_json *all = pv_json_array();
    for (int i = 0; i < n; i++) {
        usable += d[i].cls != PV_REF;
        if (json) {
            pv_json_add(all, to_json(&d[i]));
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
               kernels_text(d[i].cls));
    }
    if (json) {
        char *text = pv_json_text(all, true);
        printf("%s\n", text);
        pv_free(text);
    }
    pv_json_free(all);
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
    "  protovox devices\n  protovox devices --json", run};
