/* SPDX-License-Identifier: Apache-2.0
 * Host memory that devices copy from and to without the host waiting: buffers that the driver pins, mapped once and
 * kept. (Copies from other memory may make the host wait, or copy once more.) */
#include <string.h>

#include "dev/ocl/ocl.h"

enum { BLOCK = 16 << 20, LATE = 4096, MOST_BLOCKS = 16 };

/* Mapped by a queue of its own, behind no other work. Plain memory where the driver has none to pin. */
static struct ocl_stage *stage_new(struct ocl_dev *d, size_t bytes)
{
    struct ocl_stage *s = pv_new(struct ocl_stage);
    cl_int e;
    s->bytes = bytes;
    if (!d->mapping)
        d->mapping = d->cl->clCreateCommandQueue(d->ctx, d->id, 0, &e);
    if (d->mapping)
        s->mem = d->cl->clCreateBuffer(d->ctx, CL_MEM_READ_WRITE | CL_MEM_ALLOC_HOST_PTR, bytes, NULL, &e);
    if (s->mem)
        s->map = d->cl->clEnqueueMapBuffer(d->mapping, s->mem, CL_TRUE, CL_MAP_READ | CL_MAP_WRITE, 0, bytes, 0, NULL,
                                           NULL, &e);
    if (s->mem && !s->map) {
        d->cl->clReleaseMemObject(s->mem);
        s->mem = NULL;
    }
    if (!s->map)
        s->map = pv_alloc(bytes);
    return s;
}

static void stage_free(struct ocl_dev *d, struct ocl_stage *s)
{
    if (s->event)
        d->cl->clReleaseEvent(s->event);
    if (s->mem) {
        d->cl->clEnqueueUnmapMemObject(d->mapping, s->mem, s->map, 0, NULL, NULL);
        d->cl->clReleaseMemObject(s->mem);
    } else {
        pv_free(s->map);
    }
    pv_free(s);
}

/* Whether all copies out of it have ended, which makes it empty. */
static bool emptied(struct ocl_dev *d, struct ocl_stage *s)
{
    cl_int status = CL_COMPLETE;
    if (s->event)
        d->cl->clGetEventInfo(s->event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status, NULL);
    if (status > CL_COMPLETE)
        return false;
    if (s->event)
        d->cl->clReleaseEvent(s->event);
    s->event = NULL;
    s->used = 0;
    return true;
}

/* A block with room for `bytes`, at most BLOCK. The one in use comes first; where all of MOST_BLOCKS are under way, the
 * oldest, which is the last in the list, is waited for. */
static struct ocl_stage *with_room(struct ocl_dev *d, size_t bytes)
{
    struct ocl_stage **p = &d->staging, **last = NULL, *s;
    int n = 0;
    if (*p && (*p)->bytes - (*p)->used >= bytes)
        return *p;
    for (; (s = *p); last = p, p = &s->next, n++)
        if (emptied(d, s))
            break;
    if (!s && n >= MOST_BLOCKS) {
        p = last;
        s = *p;
        d->cl->clWaitForEvents(1, &s->event);
        emptied(d, s);
    }
    if (s)
        *p = s->next;
    else
        s = stage_new(d, BLOCK);
    s->next = d->staging;
    return d->staging = s;
}

void ocl_upload(pv_dev *dev, cl_mem to, uint64_t off, const void *src, size_t bytes)
{
    struct ocl_dev *d = dev->impl;
    for (size_t part; bytes && !dev->failed; off += part, src = (const char *)src + part, bytes -= part) {
        part = bytes < BLOCK ? bytes : BLOCK;
        struct ocl_stage *s = with_room(d, part);
        char *at = (char *)s->map + s->used;
        cl_event event = NULL;
        memcpy(at, src, part);
        if (!ocl_ok(dev, d->cl->clEnqueueWriteBuffer(d->queue, to, CL_FALSE, off, part, at, 0, NULL, &event),
                    "clEnqueueWriteBuffer"))
            return;
        if (s->event)           /* the queue works in order: the last one counts */
            d->cl->clReleaseEvent(s->event);
        s->event = event;
        s->used = pv_round_up(s->used + part, 64) < s->bytes ? pv_round_up(s->used + part, 64) : s->bytes;
    }
}

bool ocl_read_begin(pv_dev *dev, struct pv_mem *m, uint64_t off, struct pv_ticket *t)
{
    struct ocl_dev *d = dev->impl;
    struct ocl_stage **p = &d->late;
    while (*p && (*p)->bytes < t->bytes)
        p = &(*p)->next;
    struct ocl_stage *s = *p;
    if (s)
        *p = s->next;
    else
        s = stage_new(d, t->bytes > LATE ? t->bytes : LATE);
    t->impl = s;
    if (ocl_ok(dev, d->cl->clEnqueueReadBuffer(d->queue, m->handle, CL_FALSE, off, t->bytes, s->map, 0, NULL,
                                               &s->event), "clEnqueueReadBuffer"))
        return true;
    stage_free(d, s);
    return false;
}

bool ocl_read_ready(pv_dev *dev, struct pv_ticket *t)
{
    struct ocl_dev *d = dev->impl;
    struct ocl_stage *s = t->impl;
    cl_int status = CL_COMPLETE;
    d->cl->clGetEventInfo(s->event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status, NULL);
    return status <= CL_COMPLETE;
}

void ocl_read_end(pv_dev *dev, struct pv_ticket *t, void *dst)
{
    struct ocl_dev *d = dev->impl;
    struct ocl_stage *s = t->impl;
    cl_int e = d->cl->clWaitForEvents(1, &s->event);
    if (dst && ocl_ok(dev, e, "clWaitForEvents"))
        memcpy(dst, s->map, t->bytes);
    d->cl->clReleaseEvent(s->event);
    s->event = NULL;
    s->next = d->late;
    d->late = s;
}

void ocl_staging_close(struct ocl_dev *d)
{
    struct ocl_stage **const lists[] = {&d->staging, &d->late};
    for (int i = 0; i < 2; i++)
        while (*lists[i]) {
            struct ocl_stage *s = *lists[i];
            *lists[i] = s->next;
            stage_free(d, s);
        }
    if (d->mapping) {
        d->cl->clFinish(d->mapping);
        d->cl->clReleaseCommandQueue(d->mapping);
    }
}
