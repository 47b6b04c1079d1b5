/* SPDX-License-Identifier: Apache-2.0
 * protovox devices: what there is to compute on. */
#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "cli/cli.h"

static const char *const type_names[] = {"CPU", "GPU", "other"};

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
            pv_json_add(all, pv_device_json(&d[i]));
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
