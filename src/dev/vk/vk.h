/* SPDX-License-Identifier: Apache-2.0
 * Inside the Vulkan backend (Vulkan 1.1, compute only). Work is recorded into a few command buffers
 * ("batches") used in turn; each holds the descriptor pools and staging memory that its commands need. */
#ifndef DEV_VK_H
#define DEV_VK_H

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan.h>

#include "dev/dev_impl.h"

#define VK_INSTANCE_FUNCTIONS(X) \
    X(vkDestroyInstance) X(vkEnumeratePhysicalDevices) X(vkGetPhysicalDeviceProperties2) \
    X(vkGetPhysicalDeviceFeatures2) X(vkGetPhysicalDeviceMemoryProperties) \
    X(vkGetPhysicalDeviceQueueFamilyProperties) X(vkEnumerateDeviceExtensionProperties) X(vkCreateDevice) \
    X(vkGetDeviceProcAddr)
#define VK_DEVICE_FUNCTIONS(X) \
    X(vkDestroyDevice) X(vkGetDeviceQueue) X(vkQueueSubmit) X(vkQueueWaitIdle) X(vkAllocateMemory) \
    X(vkFreeMemory) X(vkMapMemory) X(vkCreateBuffer) X(vkDestroyBuffer) X(vkGetBufferMemoryRequirements) \
    X(vkBindBufferMemory) X(vkCreateShaderModule) X(vkDestroyShaderModule) X(vkCreatePipelineCache) \
    X(vkDestroyPipelineCache) X(vkGetPipelineCacheData) X(vkCreateComputePipelines) X(vkDestroyPipeline) \
    X(vkCreatePipelineLayout) X(vkDestroyPipelineLayout) X(vkCreateDescriptorSetLayout) \
    X(vkDestroyDescriptorSetLayout) X(vkCreateDescriptorPool) X(vkDestroyDescriptorPool) \
    X(vkResetDescriptorPool) X(vkAllocateDescriptorSets) X(vkUpdateDescriptorSets) X(vkCreateCommandPool) \
    X(vkDestroyCommandPool) X(vkAllocateCommandBuffers) X(vkBeginCommandBuffer) X(vkEndCommandBuffer) \
    X(vkResetCommandBuffer) X(vkCmdBindPipeline) X(vkCmdBindDescriptorSets) X(vkCmdPushConstants) \
    X(vkCmdDispatch) X(vkCmdDispatchBase) X(vkCmdPipelineBarrier) X(vkCmdCopyBuffer) X(vkCmdFillBuffer) \
    X(vkCreateFence) \
    X(vkDestroyFence) X(vkWaitForFences) X(vkResetFences) X(vkGetFenceStatus) X(vkCreateQueryPool) \
    X(vkDestroyQueryPool) X(vkCmdResetQueryPool) X(vkCmdWriteTimestamp) X(vkGetQueryPoolResults)

struct vk_loader {
    PFN_vkGetInstanceProcAddr vkGetInstanceProcAddr;
    VkInstance instance;
    bool validate;
#define X(f) PFN_##f f;
    VK_INSTANCE_FUNCTIONS(X)
#undef X
};
/* The loader with an instance, made once per process; NULL with the reason in `why` (may be NULL). */
const struct vk_loader *vk_load(struct pv_str *why);
int vk_validation_errors(void);         /* messages of the validation layer so far (PV_VALIDATE=1) */

/* Shaders with reductions exist twice; this stands behind the name of the one with sub-groups, whose size is a
 * constant. */
#define VK_SUBGROUP_FORM "__sub"
enum { VK_SUBGROUP_SPEC = PV_MAX_SPEC };

enum { VK_BATCHES = 3, VK_SETS = 256, VK_QUERIES = 1024, VK_MAX_SPEC = PV_MAX_SPEC };

/* A buffer with memory of its own, mapped if it is host-visible. */
struct vk_block {
    VkBuffer buf;
    VkDeviceMemory mem;
    VkDeviceSize bytes;
    void *map;
    struct vk_block *next;
    VkDeviceSize used;                  /* staging: bytes handed out in this batch */
};

struct vk_batch {
    VkCommandBuffer cmd;
    VkFence fence;
    bool recording, pending;
    uint64_t serial;
    VkDescriptorPool *pools;
    int num_pools, cur_pool, sets_left;
    struct vk_block *staging;
    VkQueryPool queries;
    int num_queries;
    struct { const char *label, *kernel; } timed[VK_QUERIES / 2];
    int commands;
    uint64_t submitted;                 /* ns */
};

struct vk_pipe {
    const struct pv_kernel *k;
    int32_t spec[PV_MAX_SPEC];
    VkPipeline pipe;
    struct vk_pipe *next;
};

struct vk_dev {
    const struct vk_loader *l;
    VkPhysicalDevice phys;
    VkDevice dev;
    VkQueue queue;
    uint32_t family;
    VkPhysicalDeviceMemoryProperties mem;
    VkDeviceSize bind_align;
    double ns_per_tick;
    bool timestamps, sync;
    struct pv_matrix matrix;            /* m 0: none */
    int subgroup;                       /* work-items of the full sub-groups that reductions use; 0: none */
    bool subgroup_asked;                /* a pipeline must ask for that size */
    VkCommandPool cmd_pool;
    struct vk_batch batch[VK_BATCHES];
    int cur, most_commands;             /* the batch that is recorded, where it is submitted */
    uint64_t retired;                   /* ns, when a batch was last seen to have ended */
    uint64_t serial, done;              /* last submitted and last finished batch */
    uint64_t epoch;                     /* counts barriers */
    VkDescriptorSetLayout set_layout[PV_MAX_BIND + 1];
    VkPipelineLayout layout[PV_MAX_BIND + 1];
    VkPipelineCache cache;
    uint64_t cache_key;
    bool cache_dirty;
    struct vk_pipe *pipes[256];
    struct vk_block *late;              /* free blocks for late reads */
    struct vk_block *readback;
#define X(f) PFN_##f f;
    VK_DEVICE_FUNCTIONS(X)
#undef X
};

bool vk_ok(pv_dev *dev, VkResult r, const char *call);      /* raises the sticky failure */

/* matrix.c: looks for matrix units before the device is made; then appends to its extensions (at most three) and gives
 * its features, pv_free them after. NULL: there are none, or this program cannot use them. */
void *vk_matrix_find(pv_dev *dev, const VkExtensionProperties *all, uint32_t n, const char **ext, uint32_t *num_ext);
bool vk_matrix(const pv_dev *dev, struct pv_matrix *out);

/* subgroup.c: the same for reductions by shuffles (common/group.glsl): sets d->subgroup, appends at most one
 * extension and fills f, which must live on until the device is made; its address, or NULL if they cannot be used. */
void *vk_subgroup_find(pv_dev *dev, const VkExtensionProperties *all, uint32_t n, const char **ext, uint32_t *num_ext,
                       VkPhysicalDeviceSubgroupSizeControlFeaturesEXT *f);
bool vk_has_extension(const VkExtensionProperties *all, uint32_t n, const char *name);

/* mem.c */
struct vk_block *vk_block_new(pv_dev *dev, VkDeviceSize bytes, VkMemoryPropertyFlags need,
                              VkMemoryPropertyFlags like);   /* NULL: out of memory, not logged */
void vk_block_free(struct vk_dev *d, struct vk_block **b);
bool vk_mem_alloc(pv_dev *dev, struct pv_mem *m, uint64_t bytes);
void vk_mem_free(pv_dev *dev, struct pv_mem *m);
void vk_write(pv_dev *dev, struct pv_mem *m, uint64_t off, const void *src, size_t bytes);
void vk_read(pv_dev *dev, struct pv_mem *m, uint64_t off, void *dst, size_t bytes);
void vk_fill(pv_dev *dev, struct pv_mem *m, uint64_t off, uint64_t bytes, uint32_t word);
void vk_copy(pv_dev *dev, struct pv_mem *dm, uint64_t doff, struct pv_mem *sm, uint64_t soff, uint64_t bytes);
bool vk_read_begin(pv_dev *dev, struct pv_mem *m, uint64_t off, struct pv_ticket *t);
bool vk_read_ready(pv_dev *dev, struct pv_ticket *t);
void vk_read_end(pv_dev *dev, struct pv_ticket *t, void *dst);

/* run.c */
struct vk_batch *vk_begin(pv_dev *dev);                     /* the batch being recorded; NULL after failure */
void vk_submit(pv_dev *dev);
bool vk_wait(pv_dev *dev, uint64_t serial);                 /* until that batch has finished */
void vk_poll(pv_dev *dev);                                  /* updates d->done */
void vk_access(pv_dev *dev, struct vk_batch *b, struct pv_mem *m, bool read, bool write, bool *barrier);
void vk_barrier(pv_dev *dev, struct vk_batch *b);
void vk_mark(pv_dev *dev, struct pv_mem *m, bool read, bool write);
void vk_run(pv_dev *dev, const struct pv_resolved *r);
void vk_finish(pv_dev *dev);
void vk_cache_save(pv_dev *dev);
void vk_profile(pv_dev *dev);
bool vk_run_open(pv_dev *dev);
void vk_run_close(pv_dev *dev);

#endif
