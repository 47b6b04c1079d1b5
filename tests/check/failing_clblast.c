/* SPDX-License-Identifier: Apache-2.0
 * A library like CLBlast whose products fail after the first GOOD_PRODUCTS (environment), which CLBlast itself does. */
#include <dlfcn.h>
#include <stddef.h>
#include <stdlib.h>

typedef int gemm_fn(int, int, int, size_t, size_t, size_t, float, void *, size_t, size_t, void *, size_t, size_t, float,
                    void *, size_t, size_t, void **, void **, void *);

gemm_fn CLBlastSgemmWithTempBuffer;
int CLBlastSGemmTempBufferSize(int layout, int ta, int tb, size_t m, size_t n, size_t k, size_t a_off, size_t a_ld,
                               size_t b_off, size_t b_ld, size_t c_off, size_t c_ld, void **queue, size_t *bytes);
int CLBlastClearCache(void);

static void *symbol(const char *name)
{
    void *lib = dlopen("libclblast.so.1", RTLD_NOW | RTLD_LOCAL);
    return lib ? dlsym(lib, name) : NULL;
}

int CLBlastSgemmWithTempBuffer(int layout, int ta, int tb, size_t m, size_t n, size_t k, float alpha, void *a,
                               size_t a_off, size_t a_ld, void *b, size_t b_off, size_t b_ld, float beta, void *c,
                               size_t c_off, size_t c_ld, void **queue, void **event, void *room)
{
    static int calls;
    const char *good = getenv("GOOD_PRODUCTS");
    gemm_fn *real = NULL;
    *(void **)&real = symbol("CLBlastSgemmWithTempBuffer");
    if (!real || calls++ >= (good ? atoi(good) : 0))
        return -1024;
    return real(layout, ta, tb, m, n, k, alpha, a, a_off, a_ld, b, b_off, b_ld, beta, c, c_off, c_ld, queue, event,
                NULL);
}

int CLBlastSGemmTempBufferSize(int layout, int ta, int tb, size_t m, size_t n, size_t k, size_t a_off, size_t a_ld,
                               size_t b_off, size_t b_ld, size_t c_off, size_t c_ld, void **queue, size_t *bytes)
{
    *bytes = 0;
    return 0;
}

int CLBlastClearCache(void)
{
    int (*real)(void) = NULL;
    *(void **)&real = symbol("CLBlastClearCache");
    return real ? real() : 0;
}
