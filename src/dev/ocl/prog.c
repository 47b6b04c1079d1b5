/* SPDX-License-Identifier: Apache-2.0
 * Programs and kernels: built from the embedded source with the class and constants as -D, kept in memory by
 * options and on disk by source, options, device and driver, unless the driver does so itself. Binaries are stored
 * after the first launches, because CPU runtimes finish code generation then. */
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "dev/ocl/ocl.h"
#include "platform/platform.h"
#include "pv_config.h"

static cl_program from_cache(pv_dev *dev, uint64_t hash, const char *options)
{
    struct ocl_dev *d = dev->impl;
    void *data;
    size_t bytes;
    if (dev->opts.no_cache || d->keeps_programs || !pv_cache_load(hash, "clbin", &data, &bytes))
        return NULL;
    cl_int e, status;
    const unsigned char *bin = data;
    cl_program p = d->cl->clCreateProgramWithBinary(d->ctx, 1, &d->id, &bytes, &bin, &status, &e);
    pv_free(data);
    if (p && e != CL_SUCCESS)
        d->cl->clReleaseProgram(p);
    if (!p || e != CL_SUCCESS)
        return NULL;
    if (d->cl->clBuildProgram(p, 1, &d->id, options, NULL, NULL) != CL_SUCCESS) {
        d->cl->clReleaseProgram(p);
        return NULL;
    }
    return p;
}

static struct ocl_program *get_program(pv_dev *dev, const struct pv_kernel *k, const char *options)
{
    struct ocl_dev *d = dev->impl;
    char *key = pv_asprintf("%s %s", k->file, options);
    for (struct ocl_program *p = d->programs; p; p = p->next)
        if (pv_streq(p->key, key)) {
            pv_free(key);
            return p;
        }
    const void *text;
    size_t bytes;
    bool owned;
    if (!pv_kernel_source("cl", k->file, &text, &bytes, &owned)) {
        pv_dev_fail(dev, "kernel source %s.cl is missing", k->file);
        pv_free(key);
        return NULL;
    }
    uint64_t hash = pv_hash(d->driver_hash, text, bytes);
    hash = pv_hash_str(hash, key);
    uint64_t t0 = pv_clock_ns();
    bool cached = true;
    cl_program prog = from_cache(dev, hash, options);
    cl_int e = CL_SUCCESS;
    if (!prog) {
        cached = false;
        const char *src = text;
        prog = d->cl->clCreateProgramWithSource(d->ctx, 1, &src, &bytes, &e);
        if (ocl_ok(dev, e, "clCreateProgramWithSource")) {
            e = d->cl->clBuildProgram(prog, 1, &d->id, options, NULL, NULL);
            /* on a signal LLVM removes the temporary files of a compiler at work: we stop in order, so once more */
            if (e != CL_SUCCESS && pv_stop_requested())
                e = d->cl->clBuildProgram(prog, 1, &d->id, options, NULL, NULL);
            if (e != CL_SUCCESS) {
                char log[4096];
                size_t n = 0;
                log[0] = 0;
                d->cl->clGetProgramBuildInfo(prog, d->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &n);
                char *all = pv_alloc(n + 1);
                d->cl->clGetProgramBuildInfo(prog, d->id, CL_PROGRAM_BUILD_LOG, n, all, NULL);
                all[n] = 0;
                snprintf(log, sizeof log, "%.900s", all);
                pv_debug("kern", "build log of %s.cl:\n%s", k->file, all);
                pv_free(all);
                if (strstr(options, "-DPV_SHUFFLE")) {      /* small programs did: those built so far stay */
                    pv_warn("%s: %s.cl does not build with sub-groups; going on without them", dev->info.id, k->file);
                    d->subgroup_options[0] = 0;
                    dev->subgroup = 0;
                    d->cl->clReleaseProgram(prog);
                    pv_free(key);
                    if (owned)
                        pv_free((void *)(uintptr_t)text);
                    return NULL;
                }
                pv_dev_fail(dev, "%s.cl does not build with '%s': %s\n%s", k->file, options,
                            ocl_error_name(e), log);
            }
        }
    }
    if (owned)
        pv_free((void *)(uintptr_t)text);
    if (dev->failed) {
        if (prog)
            d->cl->clReleaseProgram(prog);
        pv_free(key);
        return NULL;
    }
    pv_debug("kern", "program %s: %s in %.3f s", key, cached ? "loaded" : "built",
             (double)(pv_clock_ns() - t0) * 1e-9);
    struct ocl_program *p = pv_new(struct ocl_program);
    p->key = key;
    p->hash = hash;
    p->prog = prog;
    p->dirty = !cached;
    p->next = d->programs;
    d->programs = p;
    return p;
}

/* Whether its program has reductions over work-groups (common/group.h). */
static bool reduces(const struct pv_kernel *k)
{
    static const char word[] = "PV_SHUFFLE";
    const void *text;
    size_t bytes;
    bool owned, found = false;
    if (!pv_kernel_source("cl", k->file, &text, &bytes, &owned))
        return false;
    for (const char *s = text, *end = s + bytes; !found && (s = memchr(s, word[0], (size_t)(end - s))); s++)
        found = (size_t)(end - s) >= sizeof word - 1 && !memcmp(s, word, sizeof word - 1);
    if (owned)
        pv_free((void *)(uintptr_t)text);
    return found;
}

static char *options_of(pv_dev *dev, const struct pv_resolved *r)
{
    struct pv_str options = {0};
    const char *sub = reduces(r->k) ? ocl_subgroup_options(dev) : "";
    pv_str_addf(&options, "%s%s%s", ocl_standard(sub), dev->info.cls == PV_FAT ? "-DPV_FAT=1" : "-DPV_SIMT=1", sub);
    if (((struct ocl_dev *)dev->impl)->oclgrind)    /* its checks know not all instructions of optimised code */
        pv_str_addf(&options, " -cl-opt-disable -DPV_NO_HINTS=1");
    for (int i = 0; i < r->num_spec; i++)
        pv_str_addf(&options, " -D%s=%d", r->k->spec[i], r->spec[i]);
    return options.text;
}

cl_kernel ocl_get_kernel(pv_dev *dev, const struct pv_resolved *r)
{
    struct ocl_dev *d = dev->impl;
    size_t slot = ((uintptr_t)r->k >> 4) % PV_COUNT(d->kernels);
    for (struct ocl_kernel *c = d->kernels[slot]; c; c = c->next)
        if (c->k == r->k && !memcmp(c->spec, r->spec, sizeof(int32_t) * (size_t)r->num_spec))
            return c->kern;

    struct ocl_program *p = NULL;
    for (int i = 0; i < 2 && !p && !dev->failed; i++) {     /* again where a program does not build with sub-groups */
        char *options = options_of(dev, r);
        p = get_program(dev, r->k, options);
        pv_free(options);
    }
    if (!p)
        return NULL;
    cl_int e;
    cl_kernel kern = d->cl->clCreateKernel(p->prog, r->k->entry, &e);
    if (e != CL_SUCCESS) {
        pv_dev_fail(dev, "kernel %s of %s: %s", r->k->entry, p->key, ocl_error_name(e));
        return NULL;
    }
    /* A cached binary may lack the finished code of this kernel; storing it again costs little. */
    p->dirty = true;
    struct ocl_kernel *c = pv_new(struct ocl_kernel);
    c->k = r->k;
    memcpy(c->spec, r->spec, sizeof(int32_t) * (size_t)r->num_spec);
    c->kern = kern;
    c->next = d->kernels[slot];
    d->kernels[slot] = c;
    return kern;
}

void ocl_programs_save(pv_dev *dev)
{
    struct ocl_dev *d = dev->impl;
    if (dev->opts.no_cache || d->keeps_programs)
        return;
    for (struct ocl_program *p = d->programs; p; p = p->next) {
        size_t bytes = 0;
        if (!p->dirty || d->cl->clGetProgramInfo(p->prog, CL_PROGRAM_BINARY_SIZES, sizeof bytes, &bytes,
                                                 NULL) != CL_SUCCESS || bytes == 0)
            continue;
        unsigned char *bin = pv_alloc(bytes);
        if (d->cl->clGetProgramInfo(p->prog, CL_PROGRAM_BINARIES, sizeof bin, &bin, NULL) == CL_SUCCESS) {
            void *old;
            size_t old_bytes = 0;
            bool same = pv_cache_load(p->hash, "clbin", &old, &old_bytes) && old_bytes == bytes &&
                        !memcmp(old, bin, bytes);
            pv_free(old);
            if (!same)
                pv_cache_store(p->hash, "clbin", bin, bytes);
            p->dirty = false;
        }
        pv_free(bin);
    }
}

void ocl_programs_free(struct ocl_dev *d)
{
    for (size_t s = 0; s < PV_COUNT(d->kernels); s++)
        while (d->kernels[s]) {
            struct ocl_kernel *c = d->kernels[s];
            d->kernels[s] = c->next;
            d->cl->clReleaseKernel(c->kern);
            pv_free(c);
        }
    while (d->programs) {
        struct ocl_program *p = d->programs;
        d->programs = p->next;
        d->cl->clReleaseProgram(p->prog);
        pv_free(p->key);
        pv_free(p);
    }
}
