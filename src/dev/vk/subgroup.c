/* SPDX-License-Identifier: Apache-2.0
 * Sub-groups for reductions (shaders/common/group.glsl): only of a size that is known and the same in every pipeline,
 * and full, which takes VK_EXT_subgroup_size_control. */
#include "dev/vk/vk.h"

bool vk_has_extension(const VkExtensionProperties *all, uint32_t n, const char *name)
{
    for (uint32_t i = 0; i < n; i++)
        if (pv_streq(all[i].extensionName, name))
            return true;
    return false;
}

void *vk_subgroup_find(pv_dev *dev, const VkExtensionProperties *all, uint32_t n, const char **ext, uint32_t *num_ext,
                       VkPhysicalDeviceSubgroupSizeControlFeaturesEXT *f)
{
    enum { SHUFFLE = VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_SHUFFLE_BIT, ITEMS = 64 };
    struct vk_dev *d = dev->impl;
    VkPhysicalDeviceSubgroupSizeControlPropertiesEXT size = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES_EXT};
    VkPhysicalDeviceSubgroupProperties sub = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES};
    VkPhysicalDeviceProperties2 p = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &sub};
    VkPhysicalDeviceFeatures2 f2 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = f};
    const bool control = vk_has_extension(all, n, "VK_EXT_subgroup_size_control");
    *f = (VkPhysicalDeviceSubgroupSizeControlFeaturesEXT){
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES_EXT};
    if (control) {
        sub.pNext = &size;
        d->l->vkGetPhysicalDeviceFeatures2(d->phys, &f2);
    }
    d->l->vkGetPhysicalDeviceProperties2(d->phys, &p);
    const uint32_t s = sub.subgroupSize;
    const bool stage = sub.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT;
    const char *why = NULL;
    d->subgroup = 0;
    d->subgroup_asked = control && size.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT &&
                        size.maxComputeWorkgroupSubgroups >= ITEMS / (s ? s : 1);
    if (dev->opts.lower.subgroup == 1)
        why = "a limit forbids them";
    else if (!stage || (sub.supportedOperations & SHUFFLE) != SHUFFLE)
        why = "the driver does not shuffle in compute shaders";
    else if (!control || !f->subgroupSizeControl || !f->computeFullSubgroups)
        why = "the driver cannot promise full ones of one size";
    else if (s < 4 || s > ITEMS || ITEMS % s || (!d->subgroup_asked && size.minSubgroupSize != size.maxSubgroupSize))
        why = "no size that fits";
    if (why) {
        pv_debug("ops", "%s: reductions without sub-groups: %s", dev->info.id, why);
        return NULL;
    }
    pv_debug("ops", "%s: reductions with sub-groups of %u", dev->info.id, s);
    d->subgroup = dev->subgroup = (int)s;
    ext[(*num_ext)++] = "VK_EXT_subgroup_size_control";
    return f;
}
