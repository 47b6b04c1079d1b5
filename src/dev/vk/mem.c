/* SPDX-License-Identifier: Apache-2.0
 * Vulkan memory: one buffer per allocation (the pool keeps them few), uploads through staging blocks of the
 * batch being recorded, blocking reads through one mapped block, late reads through small mapped blocks. */
#include <string.h>

#include "dev/vk/vk.h"

static int memory_type(const struct vk_dev *d, uint32_t allowed, VkMemoryPropertyFlags need,
                       VkMemoryPropertyFlags like)
{
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t i = 0; i < d->mem.memoryTypeCount; i++) {
            VkMemoryPropertyFlags have = d->mem.memoryTypes[i].propertyFlags;
            VkMemoryPropertyFlags want = need | (pass ? 0 : like);
            if (allowed & (1u << i) && (have & want) == want)
                return (int)i;
        }
    return -1;
}

struct vk_block *vk_block_new(pv_dev *dev, VkDeviceSize bytes, VkMemoryPropertyFlags need,
                              VkMemoryPropertyFlags like)
{
    struct vk_dev *d = dev->impl;
    struct vk_block *b = pv_new(struct vk_block);
    b->bytes = bytes;
    VkBufferCreateInfo ci = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO, .size = bytes,
        .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                 VK_BUFFER_USAGE_TRANSFER_DST_BIT, .sharingMode = VK_SHARING_MODE_EXCLUSIVE};
    if (d->vkCreateBuffer(d->dev, &ci, NULL, &b->buf) != VK_SUCCESS)
        goto error;
    VkMemoryRequirements req;
    d->vkGetBufferMemoryRequirements(d->dev, b->buf, &req);
    int type = memory_type(d, req.memoryTypeBits, need, like);
    if (type < 0)
        goto error;
    VkMemoryAllocateInfo ai = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO, .allocationSize = req.size,
                               .memoryTypeIndex = (uint32_t)type};
    if (d->vkAllocateMemory(d->dev, &ai, NULL, &b->mem) != VK_SUCCESS)
        goto error;
    if (d->vkBindBufferMemory(d->dev, b->buf, b->mem, 0) != VK_SUCCESS)
        goto error;
    if (need & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT &&
        d->vkMapMemory(d->dev, b->mem, 0, VK_WHOLE_SIZE, 0, &b->map) != VK_SUCCESS)
        goto error;
    return b;
error:
    vk_block_free(d, &b);
    return NULL;
}

void vk_block_free(struct vk_dev *d, struct vk_block **bp)
{
    struct vk_block *b = *bp;
    *bp = NULL;
    if (!b)
        return;
    if (b->buf)
        d->vkDestroyBuffer(d->dev, b->buf, NULL);
    if (b->mem)
        d->vkFreeMemory(d->dev, b->mem, NULL);
    pv_free(b);
}

bool vk_mem_alloc(pv_dev *dev, struct pv_mem *m, uint64_t bytes)
{
    m->handle = vk_block_new(dev, bytes, 0, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT);
    if (!m->handle)
        return false;
    vk_fill(dev, m, 0, bytes, 0);
    return true;
}

void vk_mem_free(pv_dev *dev, struct pv_mem *m)
{
    struct vk_block *b = m->handle;
    vk_block_free(dev->impl, &b);
}

/* Room for `bytes` in the current batch's staging memory. */
static struct vk_block *staging(pv_dev *dev, struct vk_batch *batch, VkDeviceSize bytes, VkDeviceSize *at)
{
    for (struct vk_block *b = batch->staging; b; b = b->next)
        if (b->bytes - b->used >= bytes) {
            *at = b->used;
            b->used = pv_round_up(b->used + bytes, 64) < b->bytes ? pv_round_up(b->used + bytes, 64) : b->bytes;
            return b;
        }
    VkDeviceSize size = bytes > (4u << 20) ? bytes : 4u << 20;
    struct vk_block *b = vk_block_new(dev, size, VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT |
                                      VK_MEMORY_PROPERTY_HOST_COHERENT_BIT, 0);
    if (!b) {
        vk_ok(dev, VK_ERROR_OUT_OF_HOST_MEMORY, "staging memory");
        return NULL;
    }
    b->next = batch->staging;
    batch->staging = b;
    b->used = pv_round_up(bytes, 64) < size ? pv_round_up(bytes, 64) : size;
    *at = 0;
    return b;
}

static void transfer_access(pv_dev *dev, struct vk_batch *b, struct pv_mem *src, struct pv_mem *dst)
{
    bool barrier = false;
    if (src)
        vk_access(dev, b, src, true, false, &barrier);
    if (dst)
        vk_access(dev, b, dst, false, true, &barrier);
    if (barrier)
        vk_barrier(dev, b);
    if (src)
        vk_mark(dev, src, true, false);
    if (dst)
        vk_mark(dev, dst, false, true);
    b->commands++;
}

void vk_write(pv_dev *dev, struct pv_mem *m, uint64_t off, const void *src, size_t bytes)
{
    struct vk_dev *d = dev->impl;
    const size_t piece = 64u << 20;
    while (bytes) {
        size_t part = bytes < piece ? bytes : piece;
        struct vk_batch *b = vk_begin(dev);
        VkDeviceSize at;
        struct vk_block *s = b ? staging(dev, b, part, &at) : NULL;
        if (!s)
            return;
        memcpy((char *)s->map + at, src, part);
        transfer_access(dev, b, NULL, m);
        VkBufferCopy region = {.srcOffset = at, .dstOffset = off, .size = part};
        d->vkCmdCopyBuffer(b->cmd, s->buf, ((struct vk_block *)m->handle)->buf, 1, &region);
        off += part;
        src = (const char *)src + part;
        bytes -= part;
        if (part == piece)
            vk_submit(dev);
    }
}

void vk_fill(pv_dev *dev, struct pv_mem *m, uint64_t off, uint64_t bytes, uint32_t word)
{
    struct vk_dev *d = dev->impl;
    struct vk_batch *b = bytes ? vk_begin(dev) : NULL;
    if (!b)
        return;
    transfer_access(dev, b, NULL, m);
    d->vkCmdFillBuffer(b->cmd, ((struct vk_block *)m->handle)->buf, off, bytes, word);
}

void vk_copy(pv_dev *dev, struct pv_mem *dm, uint64_t doff, struct pv_mem *sm, uint64_t soff, uint64_t bytes)
{
    struct vk_dev *d = dev->impl;
    struct vk_batch *b = bytes ? vk_begin(dev) : NULL;
    if (!b)
        return;
    transfer_access(dev, b, sm, dm);
    VkBufferCopy region = {.srcOffset = soff, .dstOffset = doff, .size = bytes};
    d->vkCmdCopyBuffer(b->cmd, ((struct vk_block *)sm->handle)->buf, ((struct vk_block *)dm->handle)->buf, 1,
                       &region);
}

/* Makes earlier writes visible to the host once the batch has finished. */
static void to_host(struct vk_dev *d, struct vk_batch *b)
{
    VkMemoryBarrier mb = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT, .dstAccessMask = VK_ACCESS_HOST_READ_BIT};
    d->vkCmdPipelineBarrier(b->cmd, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &mb, 0,
                            NULL, 0, NULL);
}

static struct vk_block *readback_block(pv_dev *dev, VkDeviceSize bytes)
{
    return vk_block_new(dev, bytes, VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT,
                        VK_MEMORY_PROPERTY_HOST_CACHED_BIT);
}

void vk_read(pv_dev *dev, struct pv_mem *m, uint64_t off, void *dst, size_t bytes)
{
    struct vk_dev *d = dev->impl;
    const size_t piece = 16u << 20;
    if (!d->readback)
        d->readback = readback_block(dev, piece);
    if (!d->readback) {
        vk_ok(dev, VK_ERROR_OUT_OF_HOST_MEMORY, "readback memory");
        return;
    }
    while (bytes) {
        size_t part = bytes < piece ? bytes : piece;
        struct vk_batch *b = vk_begin(dev);
        if (!b)
            return;
        transfer_access(dev, b, m, NULL);
        VkBufferCopy region = {.srcOffset = off, .dstOffset = 0, .size = part};
        d->vkCmdCopyBuffer(b->cmd, ((struct vk_block *)m->handle)->buf, d->readback->buf, 1, &region);
        to_host(d, b);
        vk_submit(dev);
        if (!vk_wait(dev, d->serial))
            return;
        memcpy(dst, d->readback->map, part);
        off += part;
        dst = (char *)dst + part;
        bytes -= part;
    }
}

struct late { struct vk_block *block; uint64_t serial; };

bool vk_read_begin(pv_dev *dev, struct pv_mem *m, uint64_t off, struct pv_ticket *t)
{
    struct vk_dev *d = dev->impl;
    struct vk_block **p = &d->late, *b = NULL;
    while (*p && (*p)->bytes < t->bytes)
        p = &(*p)->next;
    if (*p) {
        b = *p;
        *p = b->next;
    } else {
        b = readback_block(dev, t->bytes > 1024 ? t->bytes : 1024);
    }
    struct vk_batch *batch = b ? vk_begin(dev) : NULL;
    if (!batch) {
        vk_ok(dev, VK_ERROR_OUT_OF_HOST_MEMORY, "readback memory");
        return false;
    }
    transfer_access(dev, batch, m, NULL);
    VkBufferCopy region = {.srcOffset = off, .dstOffset = 0, .size = t->bytes};
    d->vkCmdCopyBuffer(batch->cmd, ((struct vk_block *)m->handle)->buf, b->buf, 1, &region);
    to_host(d, batch);
    struct late *l = pv_new(struct late);
    l->block = b;
    l->serial = batch->serial;
    t->impl = l;
    return true;
}

bool vk_read_ready(pv_dev *dev, struct pv_ticket *t)
{
    struct vk_dev *d = dev->impl;
    struct late *l = t->impl;
    vk_poll(dev);
    return d->done >= l->serial;
}

void vk_read_end(pv_dev *dev, struct pv_ticket *t, void *dst)
{
    struct vk_dev *d = dev->impl;
    struct late *l = t->impl;
    if (dst) {
        if (l->serial > d->serial)
            vk_submit(dev);
        if (vk_wait(dev, l->serial))
            memcpy(dst, l->block->map, t->bytes);
    }
    l->block->next = d->late;
    d->late = l->block;
    pv_free(l);
}
