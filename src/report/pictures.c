/* SPDX-License-Identifier: Apache-2.0
 * pictures.h. Metadata "pictures": a JSON list of {id, score, mosaic, strip}, each picture with width, height, factor
 * and tiles [x, y, w, h, axis, slice]. */
#include "report/pictures.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/safetensors.h"

enum { MOST_CASES = 40, MOST_SIDE = 32768, STRIP_TILES = 12 };
static const char format[] = "protovox pictures 1";

static void drop(struct pv_case_pictures *c)
{
    pv_free(c->id);
    pv_layers_free(&c->mosaic);
    pv_layers_free(&c->strip);
    *c = (struct pv_case_pictures){0};
}

void pv_pictures_free(struct pv_pictures *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->num; i++)
        drop(&p->cases[i]);
    pv_free(p->cases);
    *p = (struct pv_pictures){0};
}

static struct pv_case_pictures *new_case(struct pv_pictures *p)
{
    if (p->num == p->cap) {
        p->cap = p->cap ? 2 * p->cap : 16;
        p->cases = pv_realloc(p->cases, p->cap * sizeof *p->cases);
    }
    struct pv_case_pictures *c = &p->cases[p->num++];
    *c = (struct pv_case_pictures){0};
    return c;
}

static bool worse(double a, double b)
{
    return isnan(a) || isnan(b) ? isnan(a) && !isnan(b) : a < b;
}

/* The kept case with the largest score. */
static size_t best_of(const struct pv_pictures *p)
{
    size_t best = 0;
    for (size_t i = 1; i < p->num; i++)
        if (worse(p->cases[best].score, p->cases[i].score))
            best = i;
    return best;
}

bool pv_pictures_add(struct pv_pictures *p, const struct pv_overlay *o, double score)
{
    size_t most = p->most ? p->most : MOST_CASES;
    if (p->num == most) {
        size_t out = best_of(p);
        p->dropped++;
        if (!worse(score, p->cases[out].score))
            return true;
        drop(&p->cases[out]);
        memmove(&p->cases[out], &p->cases[out + 1], (--p->num - out) * sizeof *p->cases);
    }
    struct pv_case_pictures *c = new_case(p);
    c->id = pv_strdup(o->id ? o->id : "");
    c->score = score;
    if (pv_overlay_mosaic(o, &c->mosaic) && pv_layers_pack(&c->mosaic) && pv_overlay_strip(o, STRIP_TILES, &c->strip) &&
        pv_layers_pack(&c->strip))
        return true;
    drop(c);
    p->num--;
    return false;
}

const struct pv_case_pictures *pv_pictures_find(const struct pv_pictures *p, const char *id)
{
    for (size_t i = 0; i < p->num; i++)
        if (pv_streq(p->cases[i].id, id))
            return &p->cases[i];
    return NULL;
}

/* ---- writing ---- */

static struct pv_image *layer_of(struct pv_layers *l, int k)
{
    return k == 0 ? &l->base : k == 1 ? &l->ref : &l->pred;
}
static const char *const layer_name[] = {"base", "ref", "pred"};

static pv_json *put_layers(pv_st_writer *w, const struct pv_layers *l, size_t index, const char *kind)
{
    for (int k = 0; k < 3; k++) {
        const struct pv_image *im = layer_of((struct pv_layers *)(uintptr_t)l, k);
        if (!im->png.len)
            continue;
        char *name = pv_asprintf("%zu.%s.%s", index, kind, layer_name[k]);
        pv_st_put(w, name, PV_ST_U8, 1, &(int64_t){(int64_t)im->png.len}, im->png.text);
        pv_free(name);
    }
    pv_json *j = pv_json_object(), *tiles = pv_json_array();
    pv_json_set_num(j, "width", l->base.w);
    pv_json_set_num(j, "height", l->base.h);
    pv_json_set_num(j, "factor", l->factor);
    for (int i = 0; i < l->num_tiles; i++) {
        const struct pv_tile *t = &l->tile[i];
        const int v[] = {t->x, t->y, t->w, t->h, t->axis, t->slice};
        pv_json *one = pv_json_array();
        for (size_t k = 0; k < PV_COUNT(v); k++)
            pv_json_add_num(one, v[k]);
        pv_json_add(tiles, one);
    }
    pv_json_set(j, "tiles", tiles);
    return j;
}

bool pv_pictures_write(const struct pv_pictures *p, const char *path)
{
    pv_st_writer *w = pv_st_writer_new();
    pv_json *list = pv_json_array();
    for (size_t i = 0; i < p->num; i++) {
        const struct pv_case_pictures *c = &p->cases[i];
        pv_json *one = pv_json_object();
        pv_json_set_str(one, "id", c->id);
        pv_json_set_num(one, "score", c->score);
        pv_json_set(one, "mosaic", put_layers(w, &c->mosaic, i, "mosaic"));
        pv_json_set(one, "strip", put_layers(w, &c->strip, i, "strip"));
        pv_json_add(list, one);
    }
    char *text = pv_json_text(list, false);
    char dropped[32];
    snprintf(dropped, sizeof dropped, "%zu", p->dropped);
    pv_st_meta_set(w, "format", format);
    pv_st_meta_set(w, "pictures", text);
    pv_st_meta_set(w, "dropped", dropped);
    bool ok = pv_st_write(w, path);
    pv_st_writer_free(&w);
    pv_free(text);
    pv_json_free(list);
    return ok;
}

/* ---- reading ---- */

static uint32_t big_endian(const char *p)
{
    const uint8_t *b = (const uint8_t *)p;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* The head of a PNG file: signature, IHDR with the size. */
static bool png_size_is(const struct pv_str *s, int w, int h)
{
    static const char head[] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    return s->len > 33 && memcmp(s->text, head, 16) == 0 && big_endian(s->text + 16) == (uint32_t)w &&
           big_endian(s->text + 20) == (uint32_t)h;
}

static bool get_layer(pv_st_file *f, struct pv_image *im, size_t index, const char *kind, int k, int w, int h)
{
    char name[64];
    snprintf(name, sizeof name, "%zu.%s.%s", index, kind, layer_name[k]);
    const struct pv_st_tensor *t = pv_st_find(f, name);
    if (!t)
        return k > 0 || pv_fail(PV_FAULT_INPUT, "%s: the picture %s is missing", pv_st_path(f), name);
    char *bytes = pv_alloc_big(t->bytes + 1, name);
    if (!bytes)
        return false;
    bool ok = pv_st_read_raw(f, t, bytes);
    if (ok)
        pv_str_addn(&im->png, bytes, t->bytes);
    pv_free_big(bytes);
    im->w = w;
    im->h = h;
    return ok && (png_size_is(&im->png, w, h) || pv_fail(PV_FAULT_INPUT, "%s: %s is not a PNG of %d x %d pixels; "
                  "evaluate the run again", pv_st_path(f), name, w, h));
}

static int whole(const pv_json *j, int lo, int hi)
{
    double v = pv_json_number_value(j);
    return v >= lo && v <= hi ? (int)v : -1;
}

static bool get_layers(pv_st_file *f, const pv_json *j, size_t index, const char *kind, struct pv_layers *l)
{
    int w = whole(pv_json_get(j, "width"), 1, MOST_SIDE), h = whole(pv_json_get(j, "height"), 1, MOST_SIDE);
    const pv_json *tiles = pv_json_get(j, "tiles");
    l->factor = whole(pv_json_get(j, "factor"), 1, 16);
    l->num_tiles = (int)pv_json_count(tiles);
    bool ok = w > 0 && h > 0 && l->factor > 0 && l->num_tiles > 0 && pv_json_count(tiles) <= PV_MOST_TILES;
    for (int i = 0; ok && i < l->num_tiles; i++) {
        const pv_json *t = pv_json_at(tiles, (size_t)i);
        int v[6];
        for (int k = 0; k < 6; k++) {
            v[k] = whole(pv_json_at(t, (size_t)k), 0, MOST_SIDE);
            ok = ok && v[k] >= 0;
        }
        ok = ok && v[4] < 3;
        l->tile[i] = (struct pv_tile){v[0], v[1], v[2], v[3], v[4], v[5]};
    }
    if (!ok) {
        l->num_tiles = 0;
        return pv_fail(PV_FAULT_INPUT, "%s: the description of picture %zu makes no sense; evaluate the run again",
                       pv_st_path(f), index);
    }
    for (int k = 0; ok && k < 3; k++)
        ok = get_layer(f, layer_of(l, k), index, kind, k, k ? w * l->factor : w, k ? h * l->factor : h);
    return ok;
}

bool pv_pictures_read(const char *path, struct pv_pictures *p)
{
    *p = (struct pv_pictures){0};
    pv_st_file *f = pv_st_open(path);
    if (!f)
        return false;
    const char *text = pv_st_meta(f, "pictures"), *dropped = pv_st_meta(f, "dropped");
    pv_json *list = NULL;
    bool ok = (text && pv_streq(pv_st_meta(f, "format"), format)) ||
              pv_fail(PV_FAULT_INPUT, "%s holds no pictures of a run", path);
    if (ok)
        ok = (list = pv_json_parse(text, path)) != NULL;
    size_t i = 0;
    for (const pv_json *j = ok ? pv_json_at(list, 0) : NULL; ok && j; j = pv_json_next(j), i++) {
        struct pv_case_pictures *c = new_case(p);
        c->id = pv_strdup(pv_json_str(j, "id", ""));
        c->score = pv_json_num(j, "score", NAN);
        ok = get_layers(f, pv_json_get(j, "mosaic"), i, "mosaic", &c->mosaic) &&
             get_layers(f, pv_json_get(j, "strip"), i, "strip", &c->strip);
    }
    int64_t n;
    if (dropped && pv_parse_i64(dropped, &n) && n > 0)
        p->dropped = (size_t)n;
    pv_json_free(list);
    pv_st_close(&f);
    if (!ok)
        pv_pictures_free(p);
    return ok;
}
