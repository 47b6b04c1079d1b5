/* SPDX-License-Identifier: Apache-2.0
 * VK_KHR_cooperative_matrix: is it there, in which sizes, and what a device must be made with to use it. */
#include <stdio.h>
#include <string.h>

#include "dev/vk/vk.h"

/* Newer than the headers that are asked for; numbers of the Vulkan registry. */
#ifndef VK_KHR_cooperative_matrix
#define VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR ((VkStructureType)1000506000)
#define VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR ((VkStructureType)1000506001)
typedef struct {
    VkStructureType sType;
    void *pNext;
    VkBool32 cooperativeMatrix, cooperativeMatrixRobustBufferAccess;
} VkPhysicalDeviceCooperativeMatrixFeaturesKHR;
typedef struct {
    VkStructureType sType;
    void *pNext;
    uint32_t MSize, NSize, KSize;
    int32_t AType, BType, CType, ResultType;
    VkBool32 saturatingAccumulation;
    int32_t scope;
} VkCooperativeMatrixPropertiesKHR;
typedef VkResult(VKAPI_PTR *PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR)(
    VkPhysicalDevice, uint32_t *, VkCooperativeMatrixPropertiesKHR *);
#endif
enum { HALF = 0, SINGLE = 1, SUBGROUP = 3 };    /* VkComponentTypeKHR, VkScopeKHR */

static const char *const extensions[] = {"VK_KHR_cooperative_matrix", "VK_KHR_vulkan_memory_model",
                                         "VK_KHR_shader_float16_int8"};

/* One feature each, chained. */
struct chain {
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrix;
    VkPhysicalDeviceVulkanMemoryModelFeatures model;
    VkPhysicalDeviceShaderFloat16Int8Features half;
};

/* Its first member is the chain's head. */
static void *make_chain(struct chain *c)
{
    *c = (struct chain){
        .matrix = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR},
        .model = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES},
        .half = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES}};
    c->matrix.pNext = &c->model;
    c->model.pNext = &c->half;
    return &c->matrix;
}

/* A sub-group must have one size, or the driver would choose it kernel by kernel. */
static bool one_size(const struct vk_dev *d, const VkExtensionProperties *all, uint32_t n)
{
    VkPhysicalDeviceSubgroupSizeControlPropertiesEXT size = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES_EXT};
    VkPhysicalDeviceProperties2 p = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &size};
    if (!vk_has_extension(all, n, "VK_EXT_subgroup_size_control"))
        return true;
    d->l->vkGetPhysicalDeviceProperties2(d->phys, &p);
    return size.minSubgroupSize == size.maxSubgroupSize;
}

static bool pick(const struct vk_dev *d, int subgroup, struct pv_matrix *out)
{
    PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR get =
        (PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR)d->l->vkGetInstanceProcAddr(
            d->l->instance, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR");
    VkCooperativeMatrixPropertiesKHR p[64];
    uint32_t n = PV_COUNT(p);
    for (uint32_t i = 0; i < n; i++)
        p[i] = (VkCooperativeMatrixPropertiesKHR){.sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR};
    VkResult r = get ? get(d->phys, &n, p) : VK_ERROR_EXTENSION_NOT_PRESENT;
    if (r != VK_SUCCESS && r != VK_INCOMPLETE)
        return false;
    *out = (struct pv_matrix){.subgroup = subgroup, .impl = "coop"};
    for (uint32_t i = 0; i < n; i++) {
        const VkCooperativeMatrixPropertiesKHR *q = &p[i];
        const int a = (int)q->MSize, b = (int)q->NSize, c = (int)q->KSize;
        bool kind = q->AType == HALF && q->BType == HALF && q->CType == SINGLE && q->ResultType == SINGLE &&
                    q->scope == SUBGROUP && !q->saturatingAccumulation;
        pv_debug("ops", "cooperative matrix %dx%dx%d, types %d %d %d %d, scope %d", a, b, c, (int)q->AType,
                 (int)q->BType, (int)q->CType, (int)q->ResultType, (int)q->scope);
        if (kind && a > 0 && b > 0 && c > 0 && 64 % a == 0 && 16 % b == 0 && 16 % c == 0 &&
            64 / a * (16 / b) % (128 / subgroup) == 0 && a * b * c > out->m * out->n * out->k) {
            out->m = a;
            out->n = b;
            out->k = c;
        }
    }
    return out->m > 0;
}

void *vk_matrix_find(pv_dev *dev, const VkExtensionProperties *all, uint32_t n, const char **ext, uint32_t *num_ext)
{
    struct vk_dev *d = dev->impl;
    const int subgroup = (int)dev->info.limits.subgroup;
    const void *words;
    size_t bytes;
    bool owned = false;
    const char *why = NULL;
    d->matrix = (struct pv_matrix){0};
    for (size_t i = 0; i < PV_COUNT(extensions) && !why; i++)
        if (!vk_has_extension(all, n, extensions[i]))
            why = extensions[i];
    struct chain *c = pv_new(struct chain);
    VkPhysicalDeviceFeatures2 f = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = make_chain(c)};
    if (!why)
        d->l->vkGetPhysicalDeviceFeatures2(d->phys, &f);
    if (why) {
        pv_debug("ops", "%s: matrix units are not used: the driver has no %s", dev->info.id, why);
    } else if (!c->matrix.cooperativeMatrix || !c->model.vulkanMemoryModel || !c->half.shaderFloat16) {
        pv_debug("ops", "%s: matrix units are not used: the driver lacks a feature that they need", dev->info.id);
    } else if (subgroup < 4 || subgroup > 128 || 128 % subgroup || !one_size(d, all, n)) {
        pv_debug("ops", "%s: matrix units are not used: sub-groups of no fixed size", dev->info.id);
    } else if (!pv_kernel_source("spv", "conv_coop__conv_coop", &words, &bytes, &owned)) {
        pv_debug("ops", "%s: matrix units are not used: the glslc that this program was built with was too old",
                 dev->info.id);
    } else if (!pick(d, subgroup, &d->matrix)) {
        d->matrix = (struct pv_matrix){0};
        pv_debug("ops", "%s: matrix units are not used: none multiplies halves into fp32 in a size that fits",
                 dev->info.id);
    } else {
        pv_debug("ops", "%s: matrix units of %dx%dx%d, sub-groups of %d", dev->info.id, d->matrix.m, d->matrix.n,
                 d->matrix.k, subgroup);
        for (size_t i = 0; i < PV_COUNT(extensions); i++)
            ext[(*num_ext)++] = extensions[i];
        c->matrix.cooperativeMatrixRobustBufferAccess = VK_FALSE;
        c->model.vulkanMemoryModelDeviceScope = VK_FALSE;
        c->model.vulkanMemoryModelAvailabilityVisibilityChains = VK_FALSE;
        c->half.shaderInt8 = VK_FALSE;
    }
    if (owned)
        pv_free((void *)(uintptr_t)words);
    if (!d->matrix.m)
        pv_free(c);
    return d->matrix.m ? c : NULL;
}

bool vk_matrix(const pv_dev *dev, struct pv_matrix *out)
{
    *out = ((const struct vk_dev *)dev->impl)->matrix;
    return out->m > 0;
}
