/* SPDX-License-Identifier: Apache-2.0
 * png.h. */
#include "report/png.h"

#include <png.h>
#include <setjmp.h>
#include <string.h>

enum { MOST_SIDE = 32768 };

bool pv_image_make(struct pv_image *im, int w, int h, int channels)
{
    *im = (struct pv_image){.w = w, .h = h, .channels = channels};
    if (channels != 1 && channels != 3 && channels != 4)
        return pv_fail(PV_FAULT_INTERNAL, "an image of %d channels", channels);
    if (w < 1 || h < 1 || w > MOST_SIDE || h > MOST_SIDE)
        return pv_fail(PV_FAULT_INPUT, "cannot make an image of %d x %d pixels: sides are 1 to %d", w, h,
                       MOST_SIDE);
    size_t bytes = (size_t)w * (size_t)h * (size_t)channels;
    im->pixels = pv_alloc_big(bytes, "image");
    if (!im->pixels)
        return false;
    memset(im->pixels, 0, bytes);
    return true;
}

void pv_image_free(struct pv_image *im)
{
    if (!im)
        return;
    pv_free_big(im->pixels);
    pv_str_free(&im->png);
    *im = (struct pv_image){0};
}

struct sink {
    struct pv_str *out;
    char why[128];
    jmp_buf back;
};

static void put(png_structp png, png_bytep data, size_t n)
{
    struct sink *s = png_get_io_ptr(png);
    pv_str_addn(s->out, (const char *)data, n);
}

static void no_flush(png_structp png)
{
}

static _Noreturn void on_error(png_structp png, png_const_charp text)
{
    struct sink *s = png_get_error_ptr(png);
    strncpy(s->why, text, sizeof s->why - 1);
    longjmp(s->back, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    pv_debug("data", "PNG: %s", text);
}

/* No variable of this function changes between setjmp and a jump back. */
static bool encode(const struct pv_image *im, struct sink *s, png_structp png, png_infop info)
{
    static const int type[] = {[1] = PNG_COLOR_TYPE_GRAY, [3] = PNG_COLOR_TYPE_RGB, [4] = PNG_COLOR_TYPE_RGBA};
    if (setjmp(s->back))
        return false;
    png_set_write_fn(png, s, put, no_flush);
    png_set_IHDR(png, info, (png_uint_32)im->w, (png_uint_32)im->h, 8, type[im->channels], PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_set_sRGB(png, info, PNG_sRGB_INTENT_PERCEPTUAL);
    /* flat drawings and empty overlays shrink best unfiltered, pictures with filters */
    png_set_filter(png, PNG_FILTER_TYPE_BASE, im->channels == 1 ? PNG_ALL_FILTERS : PNG_FILTER_NONE);
    png_set_compression_level(png, 9);
    png_write_info(png, info);
    for (int y = 0; y < im->h; y++)
        png_write_row(png, im->pixels + (size_t)y * (size_t)im->w * (size_t)im->channels);
    png_write_end(png, NULL);
    return true;
}

bool pv_png_encode(const struct pv_image *im, struct pv_str *out)
{
    if (!im->pixels && im->png.len) {
        pv_str_addn(out, im->png.text, im->png.len);
        return true;
    }
    struct sink s = {.out = out};
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &s, on_error, on_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    if (!info)
        strcpy(s.why, "libpng does not start");
    bool ok = info && encode(im, &s, png, info);
    png_destroy_write_struct(&png, &info);
    return ok || pv_fail(PV_FAULT_INTERNAL, "cannot encode a PNG of %d x %d: %s", im->w, im->h, s.why);
}

bool pv_image_pack(struct pv_image *im)
{
    if (!im->pixels)
        return true;
    struct pv_str png = {0};
    bool ok = pv_png_encode(im, &png);
    if (!ok) {
        pv_str_free(&png);
        return false;
    }
    pv_free_big(im->pixels);
    im->pixels = NULL;
    im->png = png;
    return true;
}

bool pv_png_write(const char *path, const struct pv_image *im)
{
    struct pv_str bytes = {0};
    bool ok = pv_png_encode(im, &bytes) && pv_write_file(path, bytes.text, bytes.len);
    pv_str_free(&bytes);
    return ok;
}
