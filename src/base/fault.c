/* SPDX-License-Identifier: Apache-2.0
 * Faults and log of base.h. One lock covers the first fault, the sinks and stderr. A sink that logs
 * or fails itself runs under the lock already: its lines go to stderr only. */
#include "base/internal.h"

#include <stdio.h>
#include <string.h>

enum { MAX_SINKS = 8 };

static pv_mutex_slot lock_slot;
static _Thread_local bool holding, quiet;

static enum pv_fault first_kind;
static char *first_text;
static _Thread_local enum pv_fault my_kind;
static _Thread_local char my_text[2048];

static enum pv_log_level most = PV_LOG_INFO;
static struct { void (*fn)(void *, enum pv_log_level, const char *); void *user; } sinks[MAX_SINKS];
static struct { void (*fn)(void *); void *user; } before_print;

static struct pv_strs categories;
static atomic_int debug_state;      /* 0 not read, 1 nothing on, 2 some on */

pv_mutex *pv_mutex_of(pv_mutex_slot *slot)
{
    pv_mutex *m = atomic_load(slot);
    if (m)
        return m;
    m = pv_mutex_new();
    if (!m)
        pv_out_of_memory(sizeof(void *));
    pv_mutex *old = NULL;
    if (!atomic_compare_exchange_strong(slot, &old, m)) {
        pv_mutex_free(&m);
        m = old;
    }
    return m;
}

/* False when this thread holds the lock already. */
static bool enter(void)
{
    if (holding)
        return false;
    pv_mutex_lock(pv_mutex_of(&lock_slot));
    holding = true;
    return true;
}

static void leave(bool entered)
{
    if (!entered)
        return;
    holding = false;
    pv_mutex_unlock(pv_mutex_of(&lock_slot));
}

/* Printed text without newlines at its end. */
static char *format(const char *fmt, va_list args)
{
    struct pv_str s = {0};
    pv_str_addv(&s, fmt, args);
    while (s.len > 0 && s.text[s.len - 1] == '\n')
        s.text[--s.len] = '\0';
    return s.text;
}

/* `line` is what stderr shows and sinks get; the lock is held. */
static void emit(enum pv_log_level level, const char *line, bool print, bool to_sinks)
{
    if (print) {
        if (before_print.fn && to_sinks)
            before_print.fn(before_print.user);
        char *whole = pv_asprintf("%s\n", line); /* one write, so that processes do not mix lines */
        fputs(whole, stderr);
        fflush(stderr);
        pv_free(whole);
    }
    for (int i = 0; to_sinks && i < MAX_SINKS; i++)
        if (sinks[i].fn)
            sinks[i].fn(sinks[i].user, level, line);
}

static void log_text(enum pv_log_level level, const char *text)
{
    static const char *const prefix[] = {"error: ", "warning: ", "", "debug: "};
    char *line = pv_asprintf("%s%s", prefix[level], text);
    bool entered = enter();
    bool print = level <= most;
    if (print || level <= PV_LOG_INFO)
        emit(level, line, print, entered);
    leave(entered);
    pv_free(line);
}

bool pv_fail(enum pv_fault kind, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *text = format(fmt, args);
    va_end(args);
    if (!quiet)
        log_text(kind == PV_FAULT_STOPPED ? PV_LOG_INFO : PV_LOG_ERROR, text);
    if (my_kind == PV_FAULT_NONE) {
        my_kind = kind;
        snprintf(my_text, sizeof my_text, "%s", text);
    }
    bool entered = enter();
    if (first_kind == PV_FAULT_NONE) {
        first_kind = kind;
        pv_free(first_text);
        first_text = text;
        text = NULL;
    }
    leave(entered);
    pv_free(text);
    return false;
}

bool pv_fail_quiet(bool on)
{
    bool was = quiet;
    quiet = on;
    return was;
}

enum pv_fault pv_fault_kind(void)
{
    bool entered = enter();
    enum pv_fault kind = first_kind;
    leave(entered);
    return kind;
}

const char *pv_fault_text(void)
{
    bool entered = enter();
    const char *text = first_kind != PV_FAULT_NONE ? first_text : "";
    leave(entered);
    return text;
}

void pv_fault_clear(void)
{
    bool entered = enter();
    first_kind = PV_FAULT_NONE;     /* the text stays until the next fault */
    leave(entered);
    my_kind = PV_FAULT_NONE;
}

enum pv_fault pv_fault_mine(const char **text)
{
    *text = my_kind != PV_FAULT_NONE ? my_text : "";
    return my_kind;
}

void pv_fault_keep(struct pv_fault_kept *k, uint64_t order)
{
    if (my_kind != PV_FAULT_NONE && (k->kind == PV_FAULT_NONE || order < k->order)) {
        pv_free(k->text);
        *k = (struct pv_fault_kept){my_kind, order, pv_strdup(my_text)};
    }
    my_kind = PV_FAULT_NONE;
}

bool pv_fault_raise(struct pv_fault_kept *k)
{
    if (k->kind == PV_FAULT_NONE)
        return false;
    struct pv_fault_kept raised = *k;
    *k = (struct pv_fault_kept){0};
    pv_fault_clear();       /* the threads' own: which of them came first is chance */
    pv_fail(raised.kind, "%s", raised.text);
    pv_fault_drop(&raised);
    return false;
}

void pv_fault_drop(struct pv_fault_kept *k)
{
    pv_free(k->text);
    *k = (struct pv_fault_kept){0};
}

void pv_log(enum pv_log_level level, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *text = format(fmt, args);
    va_end(args);
    log_text(level, text);
    pv_free(text);
}

bool pv_debug_on(const char *category)
{
    if (atomic_load(&debug_state) == 0) {
        bool entered = enter();
        if (atomic_load(&debug_state) == 0) {
            const char *v = pv_env("PV_DEBUG");
            if (v)
                pv_strs_split(&categories, v, ", ;");
            atomic_store(&debug_state, categories.n > 0 ? 2 : 1);
        }
        leave(entered);
    }
    if (atomic_load(&debug_state) == 1)
        return false;
    return pv_strs_find(&categories, "all") >= 0 || pv_strs_find(&categories, category) >= 0;
}

void pv_debug(const char *category, const char *fmt, ...)
{
    if (!pv_debug_on(category))
        return;
    va_list args;
    va_start(args, fmt);
    char *text = format(fmt, args);
    va_end(args);
    char *line = pv_asprintf("debug %s: %s", category, text);
    bool entered = enter();
    emit(PV_LOG_DEBUG, line, true, entered);
    leave(entered);
    pv_free(line);
    pv_free(text);
}

void pv_log_level_set(enum pv_log_level level)
{
    bool entered = enter();
    most = level;
    leave(entered);
}

enum pv_log_level pv_log_level(void)
{
    bool entered = enter();
    enum pv_log_level level = most;
    leave(entered);
    return level;
}

void pv_log_sink(void (*fn)(void *user, enum pv_log_level level, const char *line), void *user)
{
    bool entered = enter();
    int spare = -1;
    for (int i = MAX_SINKS - 1; i >= 0; i--) {
        if (sinks[i].fn && (sinks[i].user == user || (!fn && !user)))
            sinks[i].fn = NULL;
        if (!sinks[i].fn)
            spare = i;
    }
    bool full = fn && spare < 0;
    if (fn && !full) {
        sinks[spare].fn = fn;
        sinks[spare].user = user;
    }
    leave(entered);
    if (full)
        pv_fail(PV_FAULT_INTERNAL, "more than %d places want the log", MAX_SINKS);
}

void pv_log_before_print(void (*fn)(void *user), void *user)
{
    bool entered = enter();
    if (fn || before_print.user == user) {
        before_print.fn = fn;
        before_print.user = user;
    }
    leave(entered);
}
