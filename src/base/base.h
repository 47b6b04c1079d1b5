/* SPDX-License-Identifier: Apache-2.0
 * What every folder uses: faults and log, memory, strings. */
#ifndef BASE_H
#define BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__MINGW32__) && !defined(__clang__)
#define PV_PRINTF(f, a) __attribute__((format(gnu_printf, f, a), nonnull(f)))
#elif defined(__GNUC__)
#define PV_PRINTF(f, a) __attribute__((format(printf, f, a), nonnull(f)))
#else
#define PV_PRINTF(f, a)
#endif

#define PV_COUNT(a) (sizeof(a) / sizeof *(a))

static inline int pv_min(int a, int b) { return a < b ? a : b; }
static inline int pv_max(int a, int b) { return a > b ? a : b; }
static inline int pv_ceil_div(int a, int b) { return (a + b - 1) / b; }
static inline uint64_t pv_round_up(uint64_t a, uint64_t b) { return (a + b - 1) / b * b; }

/* ---- faults: the exit codes of the program ----
 * A function that fails calls pv_fail() once, where it happened, and returns false or NULL; callers
 * pass the failure on silently. The text names the file or option and says what to do about it. */
enum pv_fault {
    PV_FAULT_NONE = 0,
    PV_FAULT_INTERNAL = 1,  /* a bug of ours */
    PV_FAULT_USAGE = 2,     /* wrong option, unknown name */
    PV_FAULT_INPUT = 3,     /* unusable file or data */
    PV_FAULT_DEVICE = 4,    /* no device, driver error, out of device memory */
    PV_FAULT_STOPPED = 130, /* interrupted by the user; not an error */
};

/* Logs an error, keeps kind and text of the first fault since pv_fault_clear(). Always false. */
bool pv_fail(enum pv_fault kind, const char *fmt, ...) PV_PRINTF(2, 3);
#define pv_fail_null(...) (pv_fail(__VA_ARGS__), NULL)
/* While set, pv_fail() of this thread remembers but does not log (probing, tests of bad input). Returns what was
 * set before. */
bool pv_fail_quiet(bool on);
enum pv_fault pv_fault_kind(void);
const char *pv_fault_text(void);            /* "" if none; valid until the next fault */
void pv_fault_clear(void);
/* The same for the first fault that this thread raised since it cleared: what a library call reports. NONE and "" if
 * it raised none (a helper thread may have). The text is cut at 2047 bytes and stays until this thread's next fault. */
enum pv_fault pv_fault_mine(const char **text);
/* Faults of threads that work for another one, which shall report a single one: a thread works quietly (pv_fail_quiet)
 * and keeps what failed; of several the one with the lowest order stays. The lock is the caller's, {0} is empty. */
struct pv_fault_kept {
    enum pv_fault kind;
    uint64_t order;
    char *text;
};
void pv_fault_keep(struct pv_fault_kept *k, uint64_t order);    /* takes this thread's fault, if it has one */
bool pv_fault_raise(struct pv_fault_kept *k);   /* pv_fail() with it in this thread, if there is one; always false */
void pv_fault_drop(struct pv_fault_kept *k);

/* The mutex of a static slot, made at first use by whichever thread comes first; never freed. */
typedef _Atomic(struct pv_mutex *) pv_mutex_slot;
struct pv_mutex *pv_mutex_of(pv_mutex_slot *slot);

/* ---- log ---- */
enum pv_log_level { PV_LOG_NONE = -1, PV_LOG_ERROR, PV_LOG_WARN, PV_LOG_INFO, PV_LOG_DEBUG };
void pv_log(enum pv_log_level level, const char *fmt, ...) PV_PRINTF(2, 3);
#define pv_warn(...) pv_log(PV_LOG_WARN, __VA_ARGS__)
#define pv_info(...) pv_log(PV_LOG_INFO, __VA_ARGS__)
/* Debug lines of one category, shown when PV_DEBUG names it ("ops,mem,kern,sync,data" or "all"). */
bool pv_debug_on(const char *category);
void pv_debug(const char *category, const char *fmt, ...) PV_PRINTF(2, 3);
void pv_log_level_set(enum pv_log_level most);              /* on stderr; default PV_LOG_INFO */
enum pv_log_level pv_log_level(void);                       /* what was set */
/* Where lines go besides stderr: one place per `user`, up to eight. NULL removes that user's,
 * (NULL, NULL) all. `fn` is called under a lock with a finished line (no newline); it gets errors,
 * warnings and information whatever the level on stderr, and the debug lines that stderr shows. */
void pv_log_sink(void (*fn)(void *user, enum pv_log_level level, const char *line), void *user);
/* Called (under the lock) before a line goes to stderr, to clear a progress line first. (NULL, user) removes it, if
 * it is that user's. */
void pv_log_before_print(void (*fn)(void *user), void *user);

/* ---- memory: small things; ends the process with a message if the system has none left ---- */
void *pv_alloc(size_t bytes);               /* uninitialised, 16-byte aligned; never NULL */
void *pv_zalloc(size_t bytes);
void *pv_realloc(void *p, size_t bytes);
#define pv_new(type) ((type *)pv_zalloc(sizeof(type)))
#define pv_array(type, n) ((type *)pv_zalloc(sizeof(type) * (size_t)(n)))
/* Volumes and other large arrays: fails with PV_FAULT_INPUT and a text naming `what`. 64-byte
 * aligned; free with pv_free_big. */
void *pv_alloc_big(size_t bytes, const char *what);
void  pv_free_big(void *p);
void  pv_free(void *p);                     /* frees pv_alloc / pv_strdup memory, NULL safe */

/* ---- strings ---- */
char *pv_strdup(const char *s);
char *pv_asprintf(const char *fmt, ...) PV_PRINTF(1, 2);    /* pv_free it */
bool  pv_streq(const char *a, const char *b);               /* NULL equals only NULL */
bool  pv_starts(const char *s, const char *prefix);
bool  pv_ends(const char *s, const char *suffix);
char *pv_path_join(const char *dir, const char *name);      /* pv_free it */
const char *pv_path_base(const char *path);                 /* points into path */
char *pv_path_dir(const char *path);                        /* pv_free it; "." if none */

/* Grows as needed; start with {0}; text is always NUL-terminated once something was added. */
struct pv_str { char *text; size_t len, cap; };
void pv_str_add(struct pv_str *s, const char *text);
void pv_str_addn(struct pv_str *s, const char *text, size_t n);
void pv_str_addf(struct pv_str *s, const char *fmt, ...) PV_PRINTF(2, 3);
void pv_str_free(struct pv_str *s);

/* List of owned strings; start with {0}. */
struct pv_strs { char **v; size_t n; };
void pv_strs_add(struct pv_strs *l, const char *s);
/* Adds the parts between any of the separators; empty ones are dropped. */
void pv_strs_split(struct pv_strs *l, const char *text, const char *separators);
int  pv_strs_find(const struct pv_strs *l, const char *s);  /* index or -1 */
void pv_strs_free(struct pv_strs *l);

/* Parse all of `s`; false (no fault raised) if it is not exactly one such value. Sizes take K, M
 * and G (powers of 1024). */
bool pv_parse_i64(const char *s, int64_t *out);
bool pv_parse_f64(const char *s, double *out);
/* "%.*g" with a point whatever the locale says. */
void pv_digits_text(char out[40], double v, int digits);
bool pv_parse_size(const char *s, uint64_t *out);
bool pv_parse_bool(const char *s, bool *out);
bool pv_parse_shape(const char *s, int out[3]);             /* "112x112x80" */

/* The name in `list` (count n) closest to `s`, for "did you mean"; NULL if none is near. */
const char *pv_nearest(const char *s, const char *const *list, size_t n);

/* Whole file into memory, NUL appended (not counted), pv_free it; fails with PV_FAULT_INPUT naming
 * the file. */
bool pv_read_file(const char *path, char **data, size_t *size);
/* Writes to a temporary name beside it, syncs, renames: a reader sees the old or the new content,
 * never a part. Fails with PV_FAULT_INPUT naming the file and the reason (disk full: how much was
 * needed). */
bool pv_write_file(const char *path, const void *data, size_t size);
/* A folder with those above it. PV_FAULT_INPUT with what to do: name another with `option`. */
bool pv_make_folder(const char *path, const char *option);
void pv_size_text(char out[32], uint64_t bytes);            /* "1.5 GB", by 1024 */
void pv_remove_tree(const char *path);      /* a file, or a folder of ours with all that is in it */

#endif
