/* SPDX-License-Identifier: Apache-2.0
 * Measured choices of implementations. */
#include "ops/tune.h"

#include <math.h>
#include <string.h>

#include "platform/platform.h"

enum { REPS = 3, PIECES = 4, PIECE = 1 << 16 };
static const double budget = 8;         /* seconds of measuring in a run; then defaults */
static const double gain = 0.95;        /* of the default's time, at most, for another one */
static const double agreement = 1e-3;   /* relative L2: rounding of long sums stays far below, faults above */

struct choice { char *key, *name; bool measured; };

struct pv_tune {
    pv_dev *dev;
    enum pv_tune_mode mode;
    struct choice *c;
    int num, cap;
    bool dirty, tired, lacks;
    double seconds;
};

bool pv_tune_mode_of(const char *word, enum pv_tune_mode *mode)
{
    static const char *const words[] = {"off", "on", "again"};
    for (int i = 0; i < 3; i++)
        if (pv_streq(word, words[i])) {
            *mode = (enum pv_tune_mode)i;
            return true;
        }
    return false;
}

static struct choice *find(const pv_tune *t, const char *key)
{
    for (int i = 0; i < t->num; i++)
        if (pv_streq(t->c[i].key, key))
            return &t->c[i];
    return NULL;
}

static void add(pv_tune *t, const char *key, const char *name, bool measured)
{
    if (find(t, key))
        return;
    if (t->num == t->cap) {
        t->cap = t->cap ? 2 * t->cap : 64;
        t->c = pv_realloc(t->c, sizeof *t->c * (size_t)t->cap);
    }
    t->c[t->num++] = (struct choice){pv_strdup(key), pv_strdup(name), measured};
}

static void add_all(pv_tune *t, const pv_json *choices, bool measured)
{
    for (const pv_json *j = pv_json_at(choices, 0); j; j = pv_json_next(j))
        if (pv_json_string_value(j))
            add(t, pv_json_key(j), pv_json_string_value(j), measured);
}

/* What is on disk, NULL: nothing. */
static pv_json *on_disk(const pv_tune *t)
{
    char *text = pv_dev_notes_load(t->dev, "tune");
    pv_fail_quiet(true);
    pv_json *j = text ? pv_json_parse(text, "measured choices") : NULL;
    pv_fail_quiet(false);
    if (text && !j)
        pv_fault_clear();
    pv_free(text);
    return j;
}

pv_tune *pv_tune_new(pv_dev *dev, enum pv_tune_mode mode)
{
    pv_tune *t = pv_new(pv_tune);
    t->dev = dev;
    t->mode = pv_dev_is_ref(dev) || pv_dev_is_plan(dev) ? PV_TUNE_OFF : mode;
    return t;
}

void pv_tune_free(pv_tune **tp)
{
    pv_tune *t = *tp;
    *tp = NULL;
    if (!t)
        return;
    for (int i = 0; i < t->num; i++) {
        pv_free(t->c[i].key);
        pv_free(t->c[i].name);
    }
    pv_free(t->c);
    pv_free(t);
}

/* ---- measuring ---- */

struct pair { pv_tensor *t[2]; };

static void put_pair(struct pair *p)
{
    pv_tensor_put(&p->t[0]);
    pv_tensor_put(&p->t[1]);
}

static bool new_pair(pv_tune *t, const struct pv_tune_case *c, struct pair *p)
{
    for (int i = 0; i < 2 && c->like[i]; i++)
        if (!(p->t[i] = pv_tensor_new(t->dev, c->like[i]->h, c->like[i]->type)))
            return false;
    return true;
}

/* Root mean squares of the difference and of b over pieces from all over two stored fp32 tensors; false: one cannot be
 * read, or a value is not finite. */
static bool difference(pv_tensor *a, pv_tensor *b, double *diff, double *size)
{
    const size_t all = pv_tensor_bytes(a) / 4, piece = all < PIECE ? all : PIECE;
    float *x = pv_array(float, piece), *y = pv_array(float, piece);
    double d2 = 0, s2 = 0, n = 0;
    bool ok = true;
    for (int i = 0; i < (all > piece ? PIECES : 1) && ok; i++) {
        size_t at = (all - piece) / (PIECES - 1) * (size_t)i;
        ok = pv_buf_read(a->buf, (a->off + at) * 4, x, piece * 4) &&
             pv_buf_read(b->buf, (b->off + at) * 4, y, piece * 4);
        for (size_t k = 0; k < piece && ok; k++) {
            d2 += ((double)x[k] - y[k]) * ((double)x[k] - y[k]);
            s2 += (double)y[k] * y[k];
        }
        n += (double)piece;
    }
    pv_free(x);
    pv_free(y);
    *diff = sqrt(d2 / n);
    *size = sqrt(s2 / n);
    return ok && d2 <= 1e300 && s2 <= 1e300;
}

/* The second result is judged by the size of the larger of both: a bias before a normalisation has a gradient of
 * nothing but rounding. */
static bool agrees(const struct pv_tune_case *c, int i, const struct pair *p, int first, const struct pair *base)
{
    double size = 0;
    for (int k = 0; k < 2 && p->t[k]; k++) {
        double d, s;
        bool ok = difference(p->t[k], base->t[k], &d, &s);
        size = s > size ? s : size;
        if (!ok || d > agreement * size) {
            pv_warn("%s: '%s' is not used, its result differs from that of '%s' by %.1e of its size; please report "
                    "this together with the output of protovox selftest", c->key, c->impl[i], c->impl[first], d / size);
            return false;
        }
    }
    return true;
}

/* Best of a few runs after one that was made already, milliseconds. */
static double time_of(pv_tune *t, const struct pv_tune_case *c, int i, const struct pair *p)
{
    double best = INFINITY, sum = 0;
    for (int k = 0; k < REPS && sum < 200; k++) {
        pv_dev_finish(t->dev);
        uint64_t t0 = pv_clock_ns();
        c->run(c->user, i, p->t);
        pv_dev_finish(t->dev);
        double ms = (double)(pv_clock_ns() - t0) * 1e-6;
        best = ms < best ? ms : best;
        sum += ms;
    }
    return best;
}

static const char *measure(pv_tune *t, const struct pv_tune_case *c)
{
    struct pair base = {{NULL, NULL}}, other = {{NULL, NULL}};
    struct pv_str said = {0};
    int first = -1, best = 0;
    double ms_first = 0, ms_best = 0;
    if (c->prepare)
        c->prepare(c->user, c->num);
    uint64_t t0 = pv_clock_ns();
    bool ok = new_pair(t, c, &base);
    for (int i = 0; i < c->num && ok && !pv_dev_failed(t->dev); i++) {
        struct pair *p = first < 0 ? &base : &other;
        if (first >= 0 && !other.t[0] && !new_pair(t, c, &other))
            break;
        if (!c->run(c->user, i, p->t)) {
            pv_str_addf(&said, " %s does not take it (PV_DEBUG=ops says why);", c->impl[i]);
            continue;
        }
        if (first >= 0 && !agrees(c, i, p, first, &base)) {
            pv_str_addf(&said, " %s is wrong;", c->impl[i]);
            continue;
        }
        double ms = time_of(t, c, i, p);
        pv_str_addf(&said, " %s %.3f ms;", c->impl[i], ms);
        if (first < 0) {
            first = best = i;
            ms_first = ms_best = ms;
        } else if (ms < ms_best && ms < gain * ms_first) {
            best = i;
            ms_best = ms;
        }
    }
    put_pair(&base);
    put_pair(&other);
    t->seconds += (double)(pv_clock_ns() - t0) * 1e-9;
    pv_debug("tune", "%s:%s takes %s", c->key, said.text ? said.text : "", c->impl[best]);
    pv_str_free(&said);
    return c->impl[best];
}

/* Two more results must fit beside what is there. */
static bool has_room(const pv_tune *t, const struct pv_tune_case *c)
{
    uint64_t need = 2 * ((uint64_t)pv_tensor_bytes(c->like[0]) + (c->like[1] ? pv_tensor_bytes(c->like[1]) : 0));
    return pv_dev_mem(t->dev).used + need + need / 2 < pv_dev_get_info(t->dev)->limits.memory / 10 * 9;
}

/* The disk is asked when the first choice is missing, so that a run's own table comes first. */
static void ask_disk(pv_tune *t)
{
    pv_json *j = t->mode == PV_TUNE_ON ? on_disk(t) : NULL;
    add_all(t, j, true);
    pv_json_free(j);
    t->mode = PV_TUNE_AGAIN;
}

const char *pv_tune_choose(pv_tune *t, const struct pv_tune_case *c)
{
    if (!t || c->num < 2)
        return c->impl[0];
    struct choice *known = find(t, c->key);
    if (!known && t->mode == PV_TUNE_ON) {
        ask_disk(t);
        known = find(t, c->key);
    }
    for (int i = 0; known && i < c->num; i++)
        if (pv_streq(known->name, c->impl[i]))
            return c->impl[i];
    if (known && !t->lacks && !pv_dev_is_plan(t->dev))      /* which does not know of matrix units or libraries */
        pv_warn("%s: '%s', the choice of before, is not there now; '%s' is used, results differ by rounding", c->key,
                known->name, c->impl[0]);
    t->lacks = t->lacks || known;
    if (known || t->mode == PV_TUNE_OFF || pv_dev_failed(t->dev))
        return c->impl[0];
    if (t->seconds < budget && has_room(t, c)) {
        const char *name = measure(t, c);
        if (!pv_dev_failed(t->dev)) {
            add(t, c->key, name, true);
            t->dirty = true;
        }
        return name;
    }
    if (!t->tired)
        pv_debug("tune", "%s and others keep the default: %s", c->key,
                 t->seconds < budget ? "no room for a second result" : "measuring has taken long enough");
    t->tired = true;
    add(t, c->key, c->impl[0], false);      /* the same for the rest of the run */
    return c->impl[0];
}

/* ---- keeping ---- */

int pv_tune_count(const pv_tune *t) { return t ? t->num : 0; }
double pv_tune_seconds(const pv_tune *t) { return t ? t->seconds : 0; }

static char *device_of(const pv_tune *t)
{
    const struct pv_dev_info *i = pv_dev_get_info(t->dev);
    return pv_asprintf("%s, %s", i->name, i->driver);
}

pv_json *pv_tune_json(const pv_tune *t)
{
    pv_json *j = pv_json_object(), *choices = pv_json_object();
    char *device = device_of(t);
    pv_json_set_str(j, "device", device);
    pv_json_set(j, "choices", choices);
    for (int i = 0; i < t->num; i++)
        pv_json_set_str(choices, t->c[i].key, t->c[i].name);
    pv_free(device);
    return j;
}

void pv_tune_read(pv_tune *t, const pv_json *j)
{
    char *device = device_of(t);
    if (pv_streq(device, pv_json_str(j, "device", "")))
        add_all(t, pv_json_get(j, "choices"), false);
    pv_free(device);
}

void pv_tune_store(pv_tune *t)
{
    if (!t || !t->dirty)
        return;
    pv_json *j = on_disk(t);
    if (!pv_json_is_object(j)) {
        pv_json_free(j);
        j = pv_json_object();
    }
    for (int i = 0; i < t->num; i++)
        if (t->c[i].measured)
            pv_json_set_str(j, t->c[i].key, t->c[i].name);
    char *text = pv_json_text(j, false);
    pv_dev_notes_store(t->dev, "tune", text);
    pv_free(text);
    pv_json_free(j);
    t->dirty = false;
}
