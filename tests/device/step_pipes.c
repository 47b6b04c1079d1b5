/* SPDX-License-Identifier: Apache-2.0
 * Compiles the Vulkan pipelines of kernels that step_kernels saw with a driver that needs no device (RADV's null
 * device), and prints what the driver says of them: entry, constants, "name=value;..." by tab.
 * No memory is mapped and nothing runs. */
#include <stdio.h>
#include <string.h>

#include "pv_config.h"
#include "step_kernels.h"

#if PV_HAVE_VULKAN
#include "dev/vk/vk.h"

static struct {
    const struct vk_loader *l;
    VkDevice dev;
    PFN_vkCreateShaderModule module;
    PFN_vkCreateDescriptorSetLayout set_layout;
    PFN_vkCreatePipelineLayout layout;
    PFN_vkCreateComputePipelines pipelines;
    PFN_vkGetPipelineExecutableStatisticsKHR statistics;
} v;

static bool open_device(void)
{
    v.l = vk_load(NULL);
    VkPhysicalDevice phys;
    uint32_t n = 1;
    if (!v.l || v.l->vkEnumeratePhysicalDevices(v.l->instance, &n, &phys) < 0 || n == 0)
        return false;
    const char *ext = VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME;
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR feature = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR,
        .pipelineExecutableInfo = VK_TRUE};
    float priority = 1;
    VkDeviceQueueCreateInfo q = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, .queueCount = 1,
                                 .pQueuePriorities = &priority};
    VkDeviceCreateInfo ci = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, .pNext = &feature,
        .queueCreateInfoCount = 1, .pQueueCreateInfos = &q, .enabledExtensionCount = 1,
        .ppEnabledExtensionNames = &ext};
    if (v.l->vkCreateDevice(phys, &ci, NULL, &v.dev) != VK_SUCCESS)
        return false;
#define GET(f, name) (v.f = (PFN_##name)v.l->vkGetDeviceProcAddr(v.dev, #name))
    return GET(module, vkCreateShaderModule) && GET(set_layout, vkCreateDescriptorSetLayout) &&
           GET(layout, vkCreatePipelineLayout) && GET(pipelines, vkCreateComputePipelines) &&
           GET(statistics, vkGetPipelineExecutableStatisticsKHR);
}

static bool make_layout(int num, VkPipelineLayout *out)
{
    VkDescriptorSetLayoutBinding bind[PV_MAX_BIND];
    for (int i = 0; i < num; i++)
        bind[i] = (VkDescriptorSetLayoutBinding){(uint32_t)i, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1,
                                                 VK_SHADER_STAGE_COMPUTE_BIT, NULL};
    VkDescriptorSetLayoutCreateInfo si = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
                                          .bindingCount = (uint32_t)num, .pBindings = bind};
    VkDescriptorSetLayout set;
    if (v.set_layout(v.dev, &si, NULL, &set) != VK_SUCCESS)
        return false;
    VkPushConstantRange push = {VK_SHADER_STAGE_COMPUTE_BIT, 0, PV_MAX_ARGS};
    VkPipelineLayoutCreateInfo li = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO, .setLayoutCount = 1,
        .pSetLayouts = &set, .pushConstantRangeCount = 1, .pPushConstantRanges = &push};
    return v.layout(v.dev, &li, NULL, out) == VK_SUCCESS;
}

enum { SUBGROUP = 64 };

/* form: behind the name; VK_SUBGROUP_FORM: with sub-groups of SUBGROUP. */
static bool compile(const struct pv_kernel *k, const int32_t *spec, const char *form, VkPipeline *out)
{
    char *name = pv_asprintf("%s__%s%s", k->file, k->entry, form);
    const void *words;
    size_t bytes;
    bool owned, found = pv_kernel_source("spv", name, &words, &bytes, &owned);
    pv_free(name);
    VkPipelineLayout layout;
    if (!found || !make_layout((int)strlen(k->bind), &layout))
        return false;
    VkShaderModuleCreateInfo mi = {.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = bytes,
                                   .pCode = words};
    VkShaderModule module;
    VkSpecializationMapEntry map[PV_MAX_SPEC + 1];
    int32_t values[PV_MAX_SPEC + 1];
    uint32_t n = 0;
    for (; k->spec && k->spec[n]; n++) {
        map[n] = (VkSpecializationMapEntry){n, n * 4, 4};
        values[n] = spec[n];
    }
    map[n] = (VkSpecializationMapEntry){VK_SUBGROUP_SPEC, n * 4, 4};
    values[n++] = SUBGROUP;
    VkSpecializationInfo si = {.mapEntryCount = n, .pMapEntries = map, .dataSize = n * 4u, .pData = values};
    if (v.module(v.dev, &mi, NULL, &module) != VK_SUCCESS)
        return false;
    VkComputePipelineCreateInfo ci = {.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .flags = VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .stage = VK_SHADER_STAGE_COMPUTE_BIT, .module = module, .pName = "main", .pSpecializationInfo = &si},
        .layout = layout};
    return v.pipelines(v.dev, VK_NULL_HANDLE, 1, &ci, NULL, out) == VK_SUCCESS;
}

static int one_form(const struct pv_kernel *k, const int32_t *spec, const char *form)
{
    VkPipeline pipe;
    if (!compile(k, spec, form, &pipe)) {
        printf("%s\t%s does not compile\n", k->entry, k->file);
        return 1;
    }
    VkPipelineExecutableInfoKHR ei = {.sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, .pipeline = pipe};
    VkPipelineExecutableStatisticKHR st[32];
    uint32_t n = PV_COUNT(st);
    memset(st, 0, sizeof st);
    for (uint32_t i = 0; i < n; i++)
        st[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR;
    v.statistics(v.dev, &ei, &n, st);
    printf("%s\t", k->entry);
    for (int i = 0; k->spec && k->spec[i]; i++)
        printf("%s%s=%d", i ? " " : "", k->spec[i], spec[i]);
    if (*form)
        printf("%sPV_SUBGROUP=%d", k->spec ? " " : "", SUBGROUP);
    printf("\t");
    for (uint32_t i = 0; i < n; i++)
        printf("%s=%llu;", st[i].name, (unsigned long long)st[i].value.u64);
    printf("\n");
    return 0;
}

int step_pipe(const struct pv_kernel *k, const int32_t *spec)
{
    if (!v.dev && !open_device()) {
        printf("no Vulkan driver that gives statistics\n");
        return 77;
    }
    char *name = pv_asprintf("%s__%s" VK_SUBGROUP_FORM, k->file, k->entry);
    const bool two = pv_kernel_there("spv", name);
    pv_free(name);
    int code = one_form(k, spec, "");
    return two && !code ? one_form(k, spec, VK_SUBGROUP_FORM) : code;
}
#else
int step_pipe(const struct pv_kernel *k, const int32_t *spec)
{
    printf("built without Vulkan\n");
    return 77;
}
#endif
