/* SPDX-License-Identifier: Apache-2.0
 * Vulkan command recording. Barriers: every allocation remembers the barrier epoch of its last read and
 * write; a command that reads what this epoch wrote, or writes what it read or wrote, gets a barrier first
 * and opens a new epoch. A batch starts with a barrier, which also orders it after earlier batches. */
#include <string.h>

#include "base/hash.h"
#include "dev/batches.h"
#include "dev/vk/vk.h"
#include "platform/platform.h"

enum { STALL_NS = 2000000000 };

static const VkPipelineStageFlags both_stages =
    VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;

void vk_barrier(pv_dev *dev, struct vk_batch *b)
{
    struct vk_dev *d = dev->impl;
    VkMemoryBarrier mb = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
        .dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT |
                         VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT};
    d->vkCmdPipelineBarrier(b->cmd, both_stages, both_stages, 0, 1, &mb, 0, NULL, 0, NULL);
    d->epoch++;
}

void vk_access(pv_dev *dev, struct vk_batch *b, struct pv_mem *m, bool read, bool write, bool *barrier)
{
    struct vk_dev *d = dev->impl;
    if ((read && m->write_epoch == d->epoch) ||
        (write && (m->write_epoch == d->epoch || m->read_epoch == d->epoch)))
        *barrier = true;
}

void vk_mark(pv_dev *dev, struct pv_mem *m, bool read, bool write)
{
    struct vk_dev *d = dev->impl;
    if (read)
        m->read_epoch = d->epoch;
    if (write)
        m->write_epoch = d->epoch;
}

static void collect_times(pv_dev *dev, struct vk_batch *b)
{
    struct vk_dev *d = dev->impl;
    uint64_t t[VK_QUERIES];
    if (b->num_queries && d->vkGetQueryPoolResults(d->dev, b->queries, 0, (uint32_t)b->num_queries, sizeof t,
            t, 8, VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT) == VK_SUCCESS)
        for (int i = 0; i < b->num_queries / 2; i++)
            pv_prof_add(dev, b->timed[i].label, b->timed[i].kernel,
                        (uint64_t)((double)(t[2 * i + 1] - t[2 * i]) * d->ns_per_tick));
    b->num_queries = 0;
}

static void adapt(pv_dev *dev, const struct vk_batch *b)
{
    struct vk_dev *d = dev->impl;
    const int was = d->most_commands;
    uint64_t now = pv_clock_ns();
    d->most_commands = pv_batches_next(was, b->commands, b->submitted, d->retired, now);
    d->retired = now;
    if (d->most_commands != was)
        pv_debug("sync", "%s: batches of %d commands", dev->info.id, d->most_commands);
}

static void retire(pv_dev *dev, struct vk_batch *b)
{
    struct vk_dev *d = dev->impl;
    b->pending = false;
    adapt(dev, b);
    if (b->serial > d->done)
        d->done = b->serial;
    collect_times(dev, b);
}

static bool wait_batch(pv_dev *dev, struct vk_batch *b)
{
    struct vk_dev *d = dev->impl;
    if (!b->pending)
        return !dev->failed;
    VkResult r;
    while ((r = d->vkWaitForFences(d->dev, 1, &b->fence, VK_TRUE, STALL_NS)) == VK_TIMEOUT)
        pv_debug("sync", "%s: waiting for work", dev->info.id);
    if (!vk_ok(dev, r, "vkWaitForFences"))
        return false;
    retire(dev, b);
    return true;
}

struct vk_batch *vk_begin(pv_dev *dev)
{
    struct vk_dev *d = dev->impl;
    if (dev->failed)
        return NULL;
    struct vk_batch *b = &d->batch[d->cur];
    if (b->recording && (b->commands >= d->most_commands || b->num_queries + 2 > VK_QUERIES)) {
        vk_submit(dev);
        b = &d->batch[d->cur];
    }
    if (b->recording)
        return b;
    if (!wait_batch(dev, b))
        return NULL;
    for (int i = 0; i < b->num_pools; i++)
        d->vkResetDescriptorPool(d->dev, b->pools[i], 0);
    b->cur_pool = 0;
    b->sets_left = b->num_pools ? VK_SETS : 0;
    for (struct vk_block *s = b->staging; s; s = s->next)
        s->used = 0;
    VkCommandBufferBeginInfo bi = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                   .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
    if (!vk_ok(dev, d->vkResetFences(d->dev, 1, &b->fence), "vkResetFences") ||
        !vk_ok(dev, d->vkBeginCommandBuffer(b->cmd, &bi), "vkBeginCommandBuffer"))
        return NULL;
    b->recording = true;
    b->commands = 0;
    b->serial = d->serial + 1;
    if (d->timestamps)
        d->vkCmdResetQueryPool(b->cmd, b->queries, 0, VK_QUERIES);
    vk_barrier(dev, b);
    return b;
}

void vk_submit(pv_dev *dev)
{
    struct vk_dev *d = dev->impl;
    struct vk_batch *b = &d->batch[d->cur];
    if (!b->recording || dev->failed)
        return;
    b->recording = false;
    VkSubmitInfo si = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1,
                       .pCommandBuffers = &b->cmd};
    if (!vk_ok(dev, d->vkEndCommandBuffer(b->cmd), "vkEndCommandBuffer") ||
        !vk_ok(dev, d->vkQueueSubmit(d->queue, 1, &si, b->fence), "vkQueueSubmit"))
        return;
    b->pending = true;
    b->submitted = pv_clock_ns();
    d->serial = b->serial;
    d->cur = (d->cur + 1) % VK_BATCHES;
}

void vk_poll(pv_dev *dev)
{
    struct vk_dev *d = dev->impl;
    for (int i = 0; i < VK_BATCHES; i++) {
        struct vk_batch *b = &d->batch[i];
        if (b->pending && d->vkGetFenceStatus(d->dev, b->fence) == VK_SUCCESS)
            retire(dev, b);
    }
}

bool vk_wait(pv_dev *dev, uint64_t serial)
{
    struct vk_dev *d = dev->impl;
    for (int i = 0; i < VK_BATCHES; i++)
        if (d->batch[i].pending && d->batch[i].serial <= serial && !wait_batch(dev, &d->batch[i]))
            return false;
    return !dev->failed;
}

void vk_finish(pv_dev *dev)
{
    struct vk_dev *d = dev->impl;
    if (!dev->failed)
        vk_submit(dev);
    if (!dev->failed)
        vk_wait(dev, d->serial);
    else        /* what was submitted still uses memory that is freed after this */
        d->vkQueueWaitIdle(d->queue);
    if (!dev->failed && d->l->validate && vk_validation_errors())
        pv_dev_fail(dev, "the validation layer reported %d errors", vk_validation_errors());
}

void vk_profile(pv_dev *dev) {}     /* times are collected as batches finish */

/* ---- pipelines ---- */

/* The shader of k, `form` behind its name; VK_NULL_HANDLE after a failure. */
static VkShaderModule load_shader(pv_dev *dev, const struct pv_kernel *k, const char *form)
{
    struct vk_dev *d = dev->impl;
    char *name = pv_asprintf("%s__%s%s", k->file, k->entry, form);
    const void *words;
    size_t bytes;
    bool owned = false;
    VkShaderModule module = VK_NULL_HANDLE;
    if (pv_kernel_source("spv", name, &words, &bytes, &owned)) {
        VkShaderModuleCreateInfo mi = {.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = bytes,
                                       .pCode = words};
        vk_ok(dev, d->vkCreateShaderModule(d->dev, &mi, NULL, &module), "vkCreateShaderModule");
    } else {
        pv_dev_fail(dev, "shader %s is missing", name);
    }
    if (owned)
        pv_free((void *)(uintptr_t)words);
    pv_free(name);
    return dev->failed ? VK_NULL_HANDLE : module;
}

static bool has_subgroup_form(const struct vk_dev *d, const struct pv_kernel *k)
{
    if (!d->subgroup)
        return false;
    char *name = pv_asprintf("%s__%s" VK_SUBGROUP_FORM, k->file, k->entry);
    bool there = pv_kernel_there("spv", name);
    pv_free(name);
    return there;
}

static VkPipeline get_pipeline(pv_dev *dev, const struct pv_resolved *r)
{
    struct vk_dev *d = dev->impl;
    size_t slot = ((uintptr_t)r->k >> 4) % PV_COUNT(d->pipes);
    for (struct vk_pipe *p = d->pipes[slot]; p; p = p->next)
        if (p->k == r->k && !memcmp(p->spec, r->spec, sizeof(int32_t) * (size_t)r->num_spec))
            return p->pipe;

    const bool sub = has_subgroup_form(d, r->k);
    VkShaderModule module = load_shader(dev, r->k, sub ? VK_SUBGROUP_FORM : "");
    if (!module)
        return VK_NULL_HANDLE;
    VkSpecializationMapEntry map[PV_MAX_SPEC + 1];
    int32_t values[PV_MAX_SPEC + 1];
    const uint32_t n = (uint32_t)r->num_spec + sub;
    for (uint32_t i = 0; i < n; i++) {
        const bool last = i == (uint32_t)r->num_spec;
        map[i] = (VkSpecializationMapEntry){last ? VK_SUBGROUP_SPEC : i, i * 4, 4};
        values[i] = last ? d->subgroup : r->spec[i];
    }
    VkSpecializationInfo spec = {.mapEntryCount = n, .pMapEntries = map, .dataSize = n * 4u, .pData = values};
    VkPipelineShaderStageRequiredSubgroupSizeCreateInfoEXT size = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO_EXT,
        .requiredSubgroupSize = (uint32_t)d->subgroup};
    VkComputePipelineCreateInfo ci = {.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .flags = VK_PIPELINE_CREATE_DISPATCH_BASE,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .pNext = sub && d->subgroup_asked ? &size : NULL,
                  .flags = sub ? VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT_EXT : 0,
                  .stage = VK_SHADER_STAGE_COMPUTE_BIT, .module = module, .pName = "main",
                  .pSpecializationInfo = &spec},
        .layout = d->layout[r->num_bind]};
    VkPipeline pipe;
    VkResult res = d->vkCreateComputePipelines(d->dev, d->cache, 1, &ci, NULL, &pipe);
    d->vkDestroyShaderModule(d->dev, module, NULL);
    if (res != VK_SUCCESS) {
        pv_dev_fail(dev, "%s: no pipeline for %s/%s (Vulkan result %d)", r->label, r->k->file, r->k->entry,
                    (int)res);
        return VK_NULL_HANDLE;
    }
    d->cache_dirty = true;
    struct vk_pipe *p = pv_new(struct vk_pipe);
    p->k = r->k;
    memcpy(p->spec, r->spec, sizeof(int32_t) * (size_t)r->num_spec);
    p->pipe = pipe;
    p->next = d->pipes[slot];
    d->pipes[slot] = p;
    return pipe;
}

static VkDescriptorSet get_set(pv_dev *dev, struct vk_batch *b, int num_bind)
{
    struct vk_dev *d = dev->impl;
    if (b->sets_left == 0) {
        if (b->cur_pool + 1 < b->num_pools) {
            b->cur_pool++;
        } else {
            VkDescriptorPoolSize size = {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, VK_SETS * PV_MAX_BIND};
            VkDescriptorPoolCreateInfo ci = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                .maxSets = VK_SETS, .poolSizeCount = 1, .pPoolSizes = &size};
            VkDescriptorPool pool;
            if (!vk_ok(dev, d->vkCreateDescriptorPool(d->dev, &ci, NULL, &pool), "vkCreateDescriptorPool"))
                return VK_NULL_HANDLE;
            b->pools = pv_realloc(b->pools, sizeof *b->pools * (size_t)(b->num_pools + 1));
            b->pools[b->num_pools] = pool;
            b->cur_pool = b->num_pools++;
        }
        b->sets_left = VK_SETS;
    }
    b->sets_left--;
    VkDescriptorSetAllocateInfo ai = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
        .descriptorPool = b->pools[b->cur_pool], .descriptorSetCount = 1,
        .pSetLayouts = &d->set_layout[num_bind]};
    VkDescriptorSet set = VK_NULL_HANDLE;
    vk_ok(dev, d->vkAllocateDescriptorSets(d->dev, &ai, &set), "vkAllocateDescriptorSets");
    return set;
}

void vk_run(pv_dev *dev, const struct pv_resolved *r)
{
    struct vk_dev *d = dev->impl;
    VkPipeline pipe = get_pipeline(dev, r);
    struct vk_batch *b = pipe ? vk_begin(dev) : NULL;
    VkDescriptorSet set = b ? get_set(dev, b, r->num_bind) : VK_NULL_HANDLE;
    if (!set)
        return;
    uint32_t *off = r->args;
    VkDescriptorBufferInfo info[PV_MAX_BIND];
    VkWriteDescriptorSet write[PV_MAX_BIND];
    bool barrier = false;
    for (int i = 0; i < r->num_bind; i++) {
        const struct pv_bound *m = &r->bind[i];
        struct vk_block *block = m->mem->handle;
        VkDeviceSize at = m->off / d->bind_align * d->bind_align;
        off[i] = (uint32_t)((m->off - at) / 4);
        info[i] = (VkDescriptorBufferInfo){block->buf, at, pv_round_up(m->off - at + m->bytes, 4)};
        write[i] = (VkWriteDescriptorSet){.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET, .dstSet = set,
            .dstBinding = (uint32_t)i, .descriptorCount = 1,
            .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .pBufferInfo = &info[i]};
        vk_access(dev, b, m->mem, m->read, m->write, &barrier);
    }
    if (barrier && !r->follows)
        vk_barrier(dev, b);
    for (int i = 0; i < r->num_bind; i++)
        vk_mark(dev, r->bind[i].mem, r->bind[i].read, r->bind[i].write);
    d->vkUpdateDescriptorSets(d->dev, (uint32_t)r->num_bind, write, 0, NULL);
    d->vkCmdBindPipeline(b->cmd, VK_PIPELINE_BIND_POINT_COMPUTE, pipe);
    d->vkCmdBindDescriptorSets(b->cmd, VK_PIPELINE_BIND_POINT_COMPUTE, d->layout[r->num_bind], 0, 1, &set, 0,
                               NULL);
    d->vkCmdPushConstants(b->cmd, d->layout[r->num_bind], VK_SHADER_STAGE_COMPUTE_BIT, 0, r->k->args_bytes,
                          r->args);
    if (d->timestamps)
        d->vkCmdWriteTimestamp(b->cmd, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, b->queries,
                               (uint32_t)b->num_queries);
    if (r->follows)     /* the validation layer of 2023 does not look at these */
        d->vkCmdDispatchBase(b->cmd, r->base[0], r->base[1], r->base[2], r->groups[0], r->groups[1], r->groups[2]);
    else
        d->vkCmdDispatch(b->cmd, r->groups[0], r->groups[1], r->groups[2]);
    if (d->timestamps) {
        d->vkCmdWriteTimestamp(b->cmd, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, b->queries,
                               (uint32_t)b->num_queries + 1);
        b->timed[b->num_queries / 2].label = r->label;
        b->timed[b->num_queries / 2].kernel = r->k->entry;
        b->num_queries += 2;
    }
    b->commands++;
    if (d->sync)
        vk_finish(dev);
}

/* ---- opening and closing ---- */

bool vk_run_open(pv_dev *dev)
{
    struct vk_dev *d = dev->impl;
    VkCommandPoolCreateInfo pi = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
        .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT, .queueFamilyIndex = d->family};
    if (!vk_ok(dev, d->vkCreateCommandPool(d->dev, &pi, NULL, &d->cmd_pool), "vkCreateCommandPool"))
        return false;
    d->most_commands = PV_BATCH_FIRST;
    for (int i = 0; i < VK_BATCHES; i++) {
        struct vk_batch *b = &d->batch[i];
        VkCommandBufferAllocateInfo ai = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
            .commandPool = d->cmd_pool, .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY, .commandBufferCount = 1};
        VkFenceCreateInfo fi = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
        VkQueryPoolCreateInfo qi = {.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
            .queryType = VK_QUERY_TYPE_TIMESTAMP, .queryCount = VK_QUERIES};
        if (!vk_ok(dev, d->vkAllocateCommandBuffers(d->dev, &ai, &b->cmd), "vkAllocateCommandBuffers") ||
            !vk_ok(dev, d->vkCreateFence(d->dev, &fi, NULL, &b->fence), "vkCreateFence") ||
            (d->timestamps &&
             !vk_ok(dev, d->vkCreateQueryPool(d->dev, &qi, NULL, &b->queries), "vkCreateQueryPool")))
            return false;
    }
    for (int n = 1; n <= PV_MAX_BIND; n++) {
        VkDescriptorSetLayoutBinding bind[PV_MAX_BIND];
        for (int i = 0; i < n; i++)
            bind[i] = (VkDescriptorSetLayoutBinding){.binding = (uint32_t)i, .descriptorCount = 1,
                .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT};
        VkDescriptorSetLayoutCreateInfo si = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
            .bindingCount = (uint32_t)n, .pBindings = bind};
        VkPushConstantRange range = {VK_SHADER_STAGE_COMPUTE_BIT, 0, PV_MAX_ARGS};
        if (!vk_ok(dev, d->vkCreateDescriptorSetLayout(d->dev, &si, NULL, &d->set_layout[n]),
                   "vkCreateDescriptorSetLayout"))
            return false;
        VkPipelineLayoutCreateInfo li = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
            .setLayoutCount = 1, .pSetLayouts = &d->set_layout[n], .pushConstantRangeCount = 1,
            .pPushConstantRanges = &range};
        if (!vk_ok(dev, d->vkCreatePipelineLayout(d->dev, &li, NULL, &d->layout[n]), "vkCreatePipelineLayout"))
            return false;
    }
    void *data = NULL;
    size_t bytes = 0;
    if (!dev->opts.no_cache)
        pv_cache_load(d->cache_key, "vkpipe", &data, &bytes);
    VkPipelineCacheCreateInfo ci = {.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO,
                                    .initialDataSize = data ? bytes : 0, .pInitialData = data};
    bool ok = vk_ok(dev, d->vkCreatePipelineCache(d->dev, &ci, NULL, &d->cache), "vkCreatePipelineCache");
    pv_free(data);
    return ok;
}

void vk_cache_save(pv_dev *dev)
{
    struct vk_dev *d = dev->impl;
    size_t bytes = 0;
    if (dev->opts.no_cache || !d->cache_dirty ||
        d->vkGetPipelineCacheData(d->dev, d->cache, &bytes, NULL) != VK_SUCCESS || bytes == 0)
        return;
    void *data = pv_alloc(bytes);
    if (d->vkGetPipelineCacheData(d->dev, d->cache, &bytes, data) == VK_SUCCESS)
        pv_cache_store(d->cache_key, "vkpipe", data, bytes);
    pv_free(data);
    d->cache_dirty = false;
}

void vk_run_close(pv_dev *dev)
{
    struct vk_dev *d = dev->impl;
    d->vkQueueWaitIdle(d->queue);
    for (size_t s = 0; s < PV_COUNT(d->pipes); s++)
        while (d->pipes[s]) {
            struct vk_pipe *p = d->pipes[s];
            d->pipes[s] = p->next;
            d->vkDestroyPipeline(d->dev, p->pipe, NULL);
            pv_free(p);
        }
    for (int i = 0; i < VK_BATCHES; i++) {
        struct vk_batch *b = &d->batch[i];
        for (int j = 0; j < b->num_pools; j++)
            d->vkDestroyDescriptorPool(d->dev, b->pools[j], NULL);
        pv_free(b->pools);
        while (b->staging) {
            struct vk_block *s = b->staging;
            b->staging = s->next;
            vk_block_free(d, &s);
        }
        if (b->queries)
            d->vkDestroyQueryPool(d->dev, b->queries, NULL);
        if (b->fence)
            d->vkDestroyFence(d->dev, b->fence, NULL);
    }
    while (d->late) {
        struct vk_block *b = d->late;
        d->late = b->next;
        vk_block_free(d, &b);
    }
    vk_block_free(d, &d->readback);
    for (int n = 1; n <= PV_MAX_BIND; n++) {
        if (d->layout[n])
            d->vkDestroyPipelineLayout(d->dev, d->layout[n], NULL);
        if (d->set_layout[n])
            d->vkDestroyDescriptorSetLayout(d->dev, d->set_layout[n], NULL);
    }
    if (d->cache)
        d->vkDestroyPipelineCache(d->dev, d->cache, NULL);
    if (d->cmd_pool)
        d->vkDestroyCommandPool(d->dev, d->cmd_pool, NULL);
}
