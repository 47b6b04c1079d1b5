/* SPDX-License-Identifier: Apache-2.0
 * The operating system, behind one header: clock, threads, files, dynamic libraries, terminal,
 * signals. One implementation file per system (posix.c, win32.c), chosen by Meson; no #ifdef
 * elsewhere. Paths are UTF-8. Functions that return bool return false on failure and leave the
 * reason in pv_os_error(); they log nothing: only the caller knows what the file was for. */
#ifndef PLATFORM_H
#define PLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* ---- clock ---- */
uint64_t pv_clock_ns(void);                 /* monotonic, ns */
void     pv_sleep_ms(unsigned ms);
void     pv_time_text(char out[32]);        /* local time "2026-01-31 23:59:59" */
int64_t  pv_unix_time(void);                /* seconds since 1970, for TensorBoard events */

/* ---- threads; objects are opaque and owned by the caller until destroyed ---- */
typedef struct pv_thread pv_thread;
typedef struct pv_mutex pv_mutex;
typedef struct pv_cond pv_cond;
pv_thread *pv_thread_start(void (*fn)(void *), void *arg);  /* NULL on failure */
void pv_thread_join(pv_thread **t);                         /* waits, frees, sets NULL; NULL safe */
pv_mutex *pv_mutex_new(void);
void pv_mutex_free(pv_mutex **m);
void pv_mutex_lock(pv_mutex *m);
void pv_mutex_unlock(pv_mutex *m);
pv_cond *pv_cond_new(void);
void pv_cond_free(pv_cond **c);
void pv_cond_wait(pv_cond *c, pv_mutex *m);
void pv_cond_wait_ms(pv_cond *c, pv_mutex *m, unsigned ms); /* returns after ms or a signal */
void pv_cond_broadcast(pv_cond *c);
int  pv_cpu_count(void);                    /* usable by this process, >= 1 */
uint64_t pv_ram_bytes(void);                /* memory this process may use: physical, or its container's; 0: unknown */
/* The least memory limit of the Linux control groups this process is in, UINT64_MAX if there is none. `root` stands
 * before /proc and /sys: "" but for tests. */
uint64_t pv_cgroup_memory(const char *root);

/* ---- files ---- */
const char *pv_os_error(void);              /* this thread's last failure, stdio's included */
extern const char pv_path_separators[];     /* "/", on Windows "/\\" */
FILE *pv_fopen(const char *path, const char *mode);         /* "x" in mode: fails if it exists */
bool pv_file_exists(const char *path);      /* anything of that name */
bool pv_is_dir(const char *path);
int64_t pv_file_size(const char *path);     /* bytes, -1 on failure */
bool pv_fseek64(FILE *f, int64_t off);      /* from the start */
bool pv_mkdirs(const char *path);           /* with parents; true if it exists already */
bool pv_remove(const char *path);           /* one file or one empty folder */
bool pv_sync_file(FILE *f);                 /* fflush + data on disk */
bool pv_truncate(FILE *f, int64_t size);    /* flushes, cuts, leaves the position at the end */
/* Renames over an existing file and syncs the folder: after it returns true, `to` is either the old
 * or the new content even if power fails. A link is followed; devices and pipes are refused. */
bool pv_replace_file(const char *from, const char *to);
/* Names (not paths) in a folder, sorted by bytes, no "." and ".."; free() each and the array. */
bool pv_list_dir(const char *path, char ***names, size_t *count);
char *pv_cache_dir(void);                   /* malloc'd "<user cache>/protovox"; NULL if none */
char *pv_exe_path(void);                    /* malloc'd path of this program, NULL if unknown */
int  pv_pid(void);
uint64_t pv_disk_free(const char *path);    /* bytes available to us, UINT64_MAX if unknown */
/* Makes the file and holds it for us alone; the system lets go when the process ends, however it does. NULL with
 * `busy` set if somebody holds it (in this process too), NULL without on another failure: some file systems cannot. */
typedef struct pv_filelock pv_filelock;
pv_filelock *pv_filelock_take(const char *path, bool *busy);
void pv_filelock_drop(pv_filelock **l);     /* NULL safe, sets NULL; the file may stay */

/* ---- dynamic libraries ---- */
typedef struct pv_dynlib pv_dynlib;
pv_dynlib *pv_dynlib_open(const char *name);               /* NULL if absent */
void *pv_dynlib_sym(pv_dynlib *lib, const char *symbol);   /* NULL if absent */
void  pv_dynlib_close(pv_dynlib **lib);
char *pv_dynlib_path(const void *symbol);   /* file that a symbol was loaded from; caller frees; NULL if unknown */
extern const char *const pv_opencl_names[];  /* file names to try, NULL-terminated */
extern const char *const pv_vulkan_names[];
extern const char *const pv_clblast_names[];

/* ---- terminal, environment, signals ---- */
bool pv_is_tty(FILE *f);
int  pv_tty_width(FILE *f);                 /* columns, 80 if unknown */
const char *pv_env(const char *name);       /* NULL if unset or empty */
bool pv_setenv(const char *name, const char *value);   /* before any thread starts; NULL unsets */
/* First call of main: makes the arguments UTF-8 on Windows; elsewhere they are as given. */
void pv_main_args(int *argc, char ***argv);
/* SIGINT and SIGTERM (console close on Windows) set a flag; the second ends the process at once. Where there is
 * a limit to the size of files, writing beyond it becomes an error instead of the end of the process. */
void pv_stop_install(void);
bool pv_stop_requested(void);
/* What the first of those signals writes to stderr at once; it must stay where it is. NULL: nothing. */
void pv_stop_text(const char *text);
void pv_stop_set(void);                     /* for tests and the library's cancel */

#endif
