/* SPDX-License-Identifier: Apache-2.0
 * Vulkan devices: listing, opening, closing. */
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "dev/vk/vk.h"
#include "platform/platform.h"
#include "pv_config.h"

enum { MAX_PHYS = 32 };

bool vk_ok(pv_dev *dev, VkResult r, const char *call)
{
    if (r == VK_SUCCESS)
        return true;
    if (r == VK_ERROR_OUT_OF_DEVICE_MEMORY || r == VK_ERROR_OUT_OF_HOST_MEMORY)
        dev->oom = true;
    pv_dev_fail(dev, "%s failed with Vulkan result %d%s", call, (int)r,
                r == VK_ERROR_DEVICE_LOST ? " (device lost: the driver reset it, perhaps because a kernel ran "
                "too long)" : dev->oom ? " (out of memory)" : "");
    return false;
}

/* Index of a queue family with compute, those without graphics first; -1 if none. */
static int compute_family(const struct vk_loader *l, VkPhysicalDevice p, uint32_t *stamp_bits)
{
    VkQueueFamilyProperties fam[32];
    uint32_t n = 32;
    l->vkGetPhysicalDeviceQueueFamilyProperties(p, &n, fam);
    int best = -1;
    for (uint32_t i = 0; i < n; i++)
        if (fam[i].queueFlags & VK_QUEUE_COMPUTE_BIT &&
            (best < 0 || !(fam[i].queueFlags & VK_QUEUE_GRAPHICS_BIT))) {
            best = (int)i;
            *stamp_bits = fam[i].timestampValidBits;
        }
    return best;
}

static uint32_t least3(const uint32_t v[3])
{
    uint32_t a = v[0] < v[1] ? v[0] : v[1];
    return a < v[2] ? a : v[2];
}

static bool describe(const struct vk_loader *l, VkPhysicalDevice p, struct pv_dev_info *o)
{
    VkPhysicalDeviceProperties2 basic = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2};
    l->vkGetPhysicalDeviceProperties2(p, &basic);
    uint32_t bits;
    if (basic.properties.apiVersion < VK_API_VERSION_1_1 || compute_family(l, p, &bits) < 0)
        return false;
    VkPhysicalDeviceDriverProperties driver = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES};
    VkPhysicalDeviceSubgroupProperties sub = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES};
    VkPhysicalDeviceMaintenance3Properties m3 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES, .pNext = &sub};
    if (basic.properties.apiVersion >= VK_API_VERSION_1_2)
        sub.pNext = &driver;
    VkPhysicalDeviceProperties2 props = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                         .pNext = &m3};
    l->vkGetPhysicalDeviceProperties2(p, &props);
    VkPhysicalDeviceFeatures2 feat = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2};
    l->vkGetPhysicalDeviceFeatures2(p, &feat);
    const VkPhysicalDeviceProperties *b = &props.properties;
    const VkPhysicalDeviceLimits *lim = &b->limits;

    memset(o, 0, sizeof *o);
    snprintf(o->name, sizeof o->name, "%s", b->deviceName);
    snprintf(o->vendor, sizeof o->vendor, "vendor %04x device %04x", b->vendorID, b->deviceID);
    snprintf(o->driver, sizeof o->driver, "%s %s (%u.%u.%u)", driver.driverName, driver.driverInfo,
             VK_API_VERSION_MAJOR(b->driverVersion), VK_API_VERSION_MINOR(b->driverVersion),
             VK_API_VERSION_PATCH(b->driverVersion));
    snprintf(o->api, sizeof o->api, "Vulkan %u.%u.%u", VK_API_VERSION_MAJOR(b->apiVersion),
             VK_API_VERSION_MINOR(b->apiVersion), VK_API_VERSION_PATCH(b->apiVersion));
    o->type = b->deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU ? PV_DEV_CPU
            : b->deviceType == VK_PHYSICAL_DEVICE_TYPE_OTHER ? PV_DEV_OTHER : PV_DEV_GPU;
    o->cls = PV_SIMT;
    VkPhysicalDeviceMemoryProperties mem;
    l->vkGetPhysicalDeviceMemoryProperties(p, &mem);
    uint64_t heap = 0;
    for (uint32_t i = 0; i < mem.memoryHeapCount; i++)
        if (mem.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT && mem.memoryHeaps[i].size > heap)
            heap = mem.memoryHeaps[i].size;
    uint32_t align = (uint32_t)lim->minStorageBufferOffsetAlignment;
    align = align < 16 ? 16 : align;
    o->limits = (struct pv_limits){
        .memory = heap, .max_alloc = m3.maxMemoryAllocationSize,
        .max_binding = lim->maxStorageBufferRange - (uint64_t)align,
        .max_wg = lim->maxComputeWorkGroupInvocations, .local_bytes = lim->maxComputeSharedMemorySize,
        .bind_align = align, .max_groups = least3(lim->maxComputeWorkGroupCount),
        .subgroup = sub.subgroupSize, .fp64 = feat.features.shaderFloat64};
    return true;
}

static int find(const struct vk_loader *l, VkPhysicalDevice *phys, struct pv_dev_info *info, int max)
{
    VkPhysicalDevice all[MAX_PHYS];
    uint32_t n = MAX_PHYS;
    VkResult r = l->vkEnumeratePhysicalDevices(l->instance, &n, all);
    if (r != VK_SUCCESS && r != VK_INCOMPLETE)
        return 0;
    int out = 0;
    for (uint32_t i = 0; i < n && out < max; i++) {
        struct pv_dev_info o;
        if (!describe(l, all[i], &o))
            continue;
        if (phys)
            phys[out] = all[i];
        if (info)
            info[out] = o;
        out++;
    }
    return out;
}

static int vk_list(struct pv_dev_info *out, int max, struct pv_str *missing)
{
    const struct vk_loader *l = vk_load(missing);
    if (!l)
        return 0;
    int n = find(l, NULL, out, max < MAX_PHYS ? max : MAX_PHYS);
    if (n == 0 && missing)
        pv_str_addf(missing, "Vulkan: the loader is there, but no driver offers a Vulkan 1.1 device. Install "
                    "your GPU's driver, or for the CPU on Debian: apt-get install mesa-vulkan-drivers\n");
    return n;
}

static bool create_device(pv_dev *dev, struct vk_dev *d)
{
    const struct vk_loader *l = d->l;
    uint32_t bits = 0;
    d->family = (uint32_t)compute_family(l, d->phys, &bits);
    const char *ext[5];
    uint32_t num_ext = 0, have = 0;
    l->vkEnumerateDeviceExtensionProperties(d->phys, NULL, &have, NULL);
    VkExtensionProperties *props = pv_array(VkExtensionProperties, have + 1);
    l->vkEnumerateDeviceExtensionProperties(d->phys, NULL, &have, props);
    if (vk_has_extension(props, have, "VK_KHR_portability_subset"))
        ext[num_ext++] = "VK_KHR_portability_subset";
    void *features = vk_matrix_find(dev, props, have, ext, &num_ext);
    VkPhysicalDeviceSubgroupSizeControlFeaturesEXT sizes;
    void *chain = vk_subgroup_find(dev, props, have, ext, &num_ext, &sizes);
    sizes.pNext = features;
    pv_free(props);
    float priority = 1;
    VkDeviceQueueCreateInfo q = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
        .queueFamilyIndex = d->family, .queueCount = 1, .pQueuePriorities = &priority};
    VkDeviceCreateInfo ci = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, .pNext = chain ? chain : features,
        .queueCreateInfoCount = 1, .pQueueCreateInfos = &q, .enabledExtensionCount = num_ext,
        .ppEnabledExtensionNames = ext};
    VkResult r = l->vkCreateDevice(d->phys, &ci, NULL, &d->dev);
    pv_free(features);
    if (r != VK_SUCCESS)
        return pv_fail(PV_FAULT_DEVICE, "%s (%s): no Vulkan device: result %d", dev->info.id, dev->info.name,
                       (int)r);
#define X(f) if (!(d->f = (PFN_##f)l->vkGetDeviceProcAddr(d->dev, #f))) \
        return pv_fail(PV_FAULT_DEVICE, "%s: the driver has no " #f, dev->info.id);
    VK_DEVICE_FUNCTIONS(X)
#undef X
    d->vkGetDeviceQueue(d->dev, d->family, 0, &d->queue);
    VkPhysicalDeviceProperties2 p2 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2};
    l->vkGetPhysicalDeviceProperties2(d->phys, &p2);
    d->ns_per_tick = p2.properties.limits.timestampPeriod;
    d->timestamps = dev->opts.profile && bits > 0;
    d->bind_align = dev->info.limits.bind_align;
    d->cache_key = pv_hash(PV_HASH_START, p2.properties.pipelineCacheUUID, VK_UUID_SIZE);
    d->cache_key = pv_hash_str(d->cache_key, PV_VERSION);
    d->cache_key = pv_hash_u64(d->cache_key, p2.properties.driverVersion);
    l->vkGetPhysicalDeviceMemoryProperties(d->phys, &d->mem);
    return true;
}

static void vk_close(pv_dev *dev)
{
    struct vk_dev *d = dev->impl;
    if (d->dev) {
        vk_run_close(dev);
        d->vkDestroyDevice(d->dev, NULL);
    }
    pv_free(d);
    dev->impl = NULL;
}

static bool vk_open(pv_dev *dev, int index)
{
    const struct vk_loader *l = vk_load(NULL);
    VkPhysicalDevice phys[MAX_PHYS];
    if (!l || find(l, phys, NULL, MAX_PHYS) <= index)
        return pv_fail(PV_FAULT_DEVICE, "%s is gone", dev->info.id);
    struct vk_dev *d = pv_new(struct vk_dev);
    d->l = l;
    d->phys = phys[index];
    d->sync = pv_env("PV_SYNC") != NULL;
    d->epoch = 1;
    dev->impl = d;
    if (create_device(dev, d) && vk_run_open(dev))
        return true;
    if (d->dev && d->vkDestroyDevice)
        vk_close(dev);
    else
        pv_free(d);
    return false;
}

const struct pv_backend pv_backend_vk = {
    .name = "vulkan", .list = vk_list, .open = vk_open, .close = vk_close, .alloc = vk_mem_alloc,
    .free = vk_mem_free, .write = vk_write, .read = vk_read, .fill = vk_fill, .copy = vk_copy,
    .read_begin = vk_read_begin, .read_ready = vk_read_ready, .read_end = vk_read_end, .run = vk_run,
    .flush = vk_submit, .finish = vk_finish, .cache_save = vk_cache_save, .profile = vk_profile, .matrix = vk_matrix,
};
