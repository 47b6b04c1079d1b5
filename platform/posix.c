/* SPDX-License-Identifier: Apache-2.0
 * platform.h for Linux, macOS and other POSIX systems. Every failing function leaves errno, which
 * is what pv_os_error() explains, so it also explains a failed fwrite or fclose. errno OWN_TEXT
 * (never used by a system) means that the explanation is ours. */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE         /* sched_getaffinity */
#endif
#ifdef __APPLE__
#define _DARWIN_C_SOURCE    /* F_FULLFSYNC, sysctl, relative condition waits */
#endif

#include "platform/platform.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#endif
#ifdef __APPLE__
#include <mach-o/dyld.h>
#include <sys/mount.h>
#include <sys/sysctl.h>
#endif

enum { OWN_TEXT = -1, STACK_BYTES = 4 << 20 };
static _Thread_local char own_text[512];

const char pv_path_separators[] = "/";

#ifdef __APPLE__
const char *const pv_opencl_names[] = {"/System/Library/Frameworks/OpenCL.framework/OpenCL", NULL};
const char *const pv_vulkan_names[] = {
    "libvulkan.1.dylib", "libvulkan.dylib", "libMoltenVK.dylib",
    "/opt/homebrew/lib/libvulkan.1.dylib", "/usr/local/lib/libvulkan.1.dylib",
    "/opt/homebrew/lib/libMoltenVK.dylib", "/usr/local/lib/libMoltenVK.dylib", NULL};
const char *const pv_clblast_names[] = {
    "libclblast.1.dylib", "libclblast.dylib", "/opt/homebrew/lib/libclblast.1.dylib",
    "/usr/local/lib/libclblast.1.dylib", NULL};
#else
const char *const pv_opencl_names[] = {"libOpenCL.so.1", "libOpenCL.so", NULL};
const char *const pv_vulkan_names[] = {"libvulkan.so.1", "libvulkan.so", NULL};
const char *const pv_clblast_names[] = {"libclblast.so.1", "libclblast.so", NULL};
#endif

/* ---- clock ---- */

uint64_t pv_clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void pv_sleep_ms(unsigned ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&t, &t) != 0 && errno == EINTR) {
    }
}

void pv_time_text(char out[32])
{
    time_t now = time(NULL);
    struct tm tm;
    out[0] = '\0';
    if (localtime_r(&now, &tm))
        strftime(out, 32, "%Y-%m-%d %H:%M:%S", &tm);
}

int64_t pv_unix_time(void)
{
    return (int64_t)time(NULL);
}

/* ---- threads ---- */

struct pv_thread {
    pthread_t id;
    void (*fn)(void *);
    void *arg;
};
struct pv_mutex { pthread_mutex_t m; };
struct pv_cond { pthread_cond_t c; };

static void *thread_main(void *p)
{
    struct pv_thread *t = p;
    t->fn(t->arg);
    return NULL;
}

pv_thread *pv_thread_start(void (*fn)(void *), void *arg)
{
    struct pv_thread *t = malloc(sizeof *t);
    if (!t)
        return NULL;
    t->fn = fn;
    t->arg = arg;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);  /* macOS gives 512 KiB, musl 128 KiB */
    int e = pthread_create(&t->id, &attr, thread_main, t);
    pthread_attr_destroy(&attr);
    if (e == 0)
        return t;
    free(t);
    errno = e;
    return NULL;
}

void pv_thread_join(pv_thread **t)
{
    if (!*t)
        return;
    pthread_join((*t)->id, NULL);
    free(*t);
    *t = NULL;
}

pv_mutex *pv_mutex_new(void)
{
    struct pv_mutex *m = malloc(sizeof *m);
    if (m && pthread_mutex_init(&m->m, NULL) != 0) {
        free(m);
        m = NULL;
    }
    return m;
}

void pv_mutex_free(pv_mutex **m)
{
    if (!*m)
        return;
    pthread_mutex_destroy(&(*m)->m);
    free(*m);
    *m = NULL;
}

void pv_mutex_lock(pv_mutex *m)
{
    pthread_mutex_lock(&m->m);
}

void pv_mutex_unlock(pv_mutex *m)
{
    pthread_mutex_unlock(&m->m);
}

pv_cond *pv_cond_new(void)
{
    struct pv_cond *c = malloc(sizeof *c);
    if (!c)
        return NULL;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
#ifndef __APPLE__
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
#endif
    int e = pthread_cond_init(&c->c, &attr);
    pthread_condattr_destroy(&attr);
    if (e == 0)
        return c;
    free(c);
    errno = e;
    return NULL;
}

void pv_cond_free(pv_cond **c)
{
    if (!*c)
        return;
    pthread_cond_destroy(&(*c)->c);
    free(*c);
    *c = NULL;
}

void pv_cond_wait(pv_cond *c, pv_mutex *m)
{
    pthread_cond_wait(&c->c, &m->m);
}

void pv_cond_wait_ms(pv_cond *c, pv_mutex *m, unsigned ms)
{
#ifdef __APPLE__
    struct timespec rel = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    pthread_cond_timedwait_relative_np(&c->c, &m->m, &rel);
#else
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += ms / 1000;
    end.tv_nsec += (long)(ms % 1000) * 1000000;
    if (end.tv_nsec >= 1000000000) {
        end.tv_nsec -= 1000000000;
        end.tv_sec++;
    }
    pthread_cond_timedwait(&c->c, &m->m, &end);
#endif
}

void pv_cond_broadcast(pv_cond *c)
{
    pthread_cond_broadcast(&c->c);
}

#ifdef __linux__
/* Processors that a container's quota pays for, rounded up; INT_MAX without a quota. */
static int quota_cpus(void)
{
    long quota = -1, period = 0;
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "r");
    if (f) {
        if (fscanf(f, "%ld %ld", &quota, &period) != 2)     /* "max 100000" */
            quota = -1;
        fclose(f);
    } else {
        FILE *q = fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "r");
        FILE *p = fopen("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "r");
        if (!q || !p || fscanf(q, "%ld", &quota) != 1 || fscanf(p, "%ld", &period) != 1)
            quota = -1;
        if (q)
            fclose(q);
        if (p)
            fclose(p);
    }
    if (quota <= 0 || period <= 0)
        return INT_MAX;
    long n = (quota + period - 1) / period;
    return n > INT_MAX ? INT_MAX : (int)n;
}
#endif

int pv_cpu_count(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        n = CPU_COUNT(&set);
    int quota = quota_cpus();
    if (n > quota)
        n = quota;
#endif
    return n < 1 ? 1 : (int)n;
}

uint64_t pv_ram_bytes(void)
{
#ifdef __APPLE__
    uint64_t bytes = 0;
    size_t len = sizeof bytes;
    return sysctlbyname("hw.memsize", &bytes, &len, NULL, 0) == 0 ? bytes : 0;
#else
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    uint64_t bytes = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0, limit = pv_cgroup_memory("");
    return limit < bytes || (!bytes && limit != UINT64_MAX) ? limit : bytes;
#endif
}

/* ---- files ---- */

static bool own_error(const char *text)
{
    snprintf(own_text, sizeof own_text, "%s", text ? text : "unknown error");
    errno = OWN_TEXT;
    return false;
}

/* strerror_r comes in two kinds. */
static const char *text_int(int r, const char *buf)
{
    return r == 0 ? buf : "unknown error";
}

static const char *text_ptr(const char *r, const char *buf)
{
    return r ? r : buf;
}

const char *pv_os_error(void)
{
    static _Thread_local char buf[512];
    int e = errno;
    if (e == OWN_TEXT)
        return own_text;
    buf[0] = '\0';
    const char *text = _Generic(strerror_r(e, buf, sizeof buf), int: text_int, char *: text_ptr)
                       (strerror_r(e, buf, sizeof buf), buf);
    errno = e;
    return text;
}

FILE *pv_fopen(const char *path, const char *mode)
{
    return fopen(path, mode);
}

bool pv_file_exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

bool pv_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int64_t pv_file_size(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return -1;
    if (S_ISDIR(st.st_mode)) {
        errno = EISDIR;
        return -1;
    }
    return (int64_t)st.st_size;
}

bool pv_fseek64(FILE *f, int64_t off)
{
    return fseeko(f, (off_t)off, SEEK_SET) == 0;
}

bool pv_mkdirs(const char *path)
{
    if (pv_is_dir(path))
        return true;
    size_t n = strlen(path);
    if (n == 0) {
        errno = ENOENT;
        return false;
    }
    char *p = malloc(n + 1);
    if (!p)
        return false;
    memcpy(p, path, n + 1);
    bool ok = true;
    for (size_t i = 1; ok && i <= n; i++) {
        if (p[i] != '/' && p[i] != '\0')
            continue;
        char c = p[i];
        p[i] = '\0';
        if (!pv_is_dir(p) && mkdir(p, 0777) != 0) {
            int e = errno;
            ok = e == EEXIST && pv_is_dir(p);       /* another process may have been faster */
            errno = e == EEXIST ? ENOTDIR : e;
        }
        p[i] = c;
    }
    int e = errno;
    free(p);
    errno = e;
    return ok;
}

bool pv_remove(const char *path)
{
    return remove(path) == 0;
}

static bool sync_fd(int fd)
{
#ifdef __APPLE__
    if (fcntl(fd, F_FULLFSYNC) == 0)
        return true;
#endif
    /* What cannot be synced (pipes, some network and FUSE folders) has nothing to be synced. */
    return fsync(fd) == 0 || errno == EINVAL || errno == ENOTSUP;
}

bool pv_sync_file(FILE *f)
{
    return fflush(f) == 0 && sync_fd(fileno(f));
}

bool pv_truncate(FILE *f, int64_t size)
{
    return fflush(f) == 0 && ftruncate(fileno(f), (off_t)size) == 0 && fseeko(f, 0, SEEK_END) == 0;
}

static bool sync_folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) + 1 : 0;
    char *dir = malloc(n + 2);
    if (!dir)
        return false;
    memcpy(dir, n ? path : ".", n ? n : 1);
    dir[n ? n : 1] = '\0';
    int fd = open(dir, O_RDONLY | O_CLOEXEC);
    free(dir);
    if (fd < 0)
        return errno == EACCES;     /* writable but not readable: nothing more can be done */
    bool ok = sync_fd(fd);
    int e = errno;
    close(fd);
    errno = e;
    return ok;
}

bool pv_replace_file(const char *from, const char *to)
{
    struct stat st;
    char *real = NULL;
    bool ok = false;
    /* Never put a file in the place of /dev/stdout or a pipe. */
    if (stat(to, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
        return own_error("not a regular file");
    if (lstat(to, &st) == 0 && S_ISLNK(st.st_mode)) {
        real = realpath(to, NULL);      /* the file behind a link is replaced, the link stays */
        if (!real && errno != ENOENT)
            return false;
    }
    if (rename(from, real ? real : to) != 0) {
        if (errno == EXDEV && real)
            own_error("it is a link to a file on another disk; name that file itself");
        goto done;
    }
    ok = sync_folder_of(real ? real : to);
done:;
    int e = errno;
    free(real);
    errno = e;
    return ok;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

bool pv_list_dir(const char *path, char ***names, size_t *count)
{
    size_t n = 0, cap = 16;
    char **list = NULL;
    *names = NULL;
    *count = 0;
    DIR *d = opendir(path);
    if (!d)
        return false;
    list = malloc(cap * sizeof *list);
    if (!list)
        goto error;
    for (;;) {
        errno = 0;
        const struct dirent *e = readdir(d);
        if (!e) {
            if (errno != 0)
                goto error;
            break;
        }
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (n == cap) {
            char **bigger = realloc(list, 2 * cap * sizeof *list);
            if (!bigger)
                goto error;
            list = bigger;
            cap *= 2;
        }
        list[n] = strdup(e->d_name);
        if (!list[n])
            goto error;
        n++;
    }
    closedir(d);
    qsort(list, n, sizeof *list, compare_names);
    *names = list;
    *count = n;
    return true;
error:;
    int e = errno;
    for (size_t i = 0; i < n; i++)
        free(list[i]);
    free(list);
    closedir(d);
    errno = e;
    return false;
}

static char *join(const char *a, const char *b)
{
    size_t na = strlen(a), nb = strlen(b);
    char *p = malloc(na + nb + 1);
    if (p) {
        memcpy(p, a, na);
        memcpy(p + na, b, nb + 1);
    }
    return p;
}

char *pv_cache_dir(void)
{
    const char *home = pv_env("HOME"), *xdg = pv_env("XDG_CACHE_HOME");
    char *dir = NULL;
    if (xdg && xdg[0] == '/')
        dir = join(xdg, "/protovox");
    else if (home)
#ifdef __APPLE__
        dir = join(home, "/Library/Caches/protovox");
#else
        dir = join(home, "/.cache/protovox");
#endif
    if (dir && !pv_mkdirs(dir)) {
        free(dir);
        dir = NULL;
    }
    return dir;
}

char *pv_exe_path(void)
{
#ifdef __APPLE__
    char buf[PATH_MAX];
    uint32_t n = sizeof buf;
    return _NSGetExecutablePath(buf, &n) == 0 ? realpath(buf, NULL) : NULL;
#else
    return realpath("/proc/self/exe", NULL);
#endif
}

int pv_pid(void)
{
    return (int)getpid();
}

uint64_t pv_disk_free(const char *path)
{
#ifdef __APPLE__
    struct statfs s;                /* statvfs counts blocks in 32 bits there */
    return statfs(path, &s) == 0 ? (uint64_t)s.f_bavail * (uint64_t)s.f_bsize : UINT64_MAX;
#else
    struct statvfs s;
    return statvfs(path, &s) == 0 ? (uint64_t)s.f_bavail * (uint64_t)s.f_frsize : UINT64_MAX;
#endif
}

struct pv_filelock { int fd; };

static pv_filelock *take_lock(const char *path, bool *busy, int tries)
{
    *busy = false;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return NULL;
    pv_filelock *l = malloc(sizeof *l);
    if (l && flock(fd, LOCK_EX | LOCK_NB) == 0) {
        struct stat held, named;
        l->fd = fd;
        if (fstat(fd, &held) == 0 && (stat(path, &named) != 0 || held.st_ino != named.st_ino)) {
            pv_filelock_drop(&l);       /* whoever held it has removed it */
            return tries > 1 ? take_lock(path, busy, tries - 1) : NULL;
        }
        return l;
    }
    *busy = l && errno == EWOULDBLOCK;
    int e = errno;
    free(l);
    close(fd);
    errno = e;
    return NULL;
}

pv_filelock *pv_filelock_take(const char *path, bool *busy) { return take_lock(path, busy, 4); }

void pv_filelock_drop(pv_filelock **l)
{
    if (*l)
        close((*l)->fd);
    free(*l);
    *l = NULL;
}

/* ---- dynamic libraries ---- */

struct pv_dynlib { void *handle; };

pv_dynlib *pv_dynlib_open(const char *name)
{
    void *handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        own_error(dlerror());
        return NULL;
    }
    struct pv_dynlib *lib = malloc(sizeof *lib);
    if (lib)
        lib->handle = handle;
    else
        dlclose(handle);
    return lib;
}

void *pv_dynlib_sym(pv_dynlib *lib, const char *symbol)
{
    void *p = dlsym(lib->handle, symbol);
    if (!p)
        own_error(dlerror());
    return p;
}

void pv_dynlib_close(pv_dynlib **lib)
{
    if (!*lib)
        return;
    dlclose((*lib)->handle);
    free(*lib);
    *lib = NULL;
}

char *pv_dynlib_path(const void *symbol)
{
    Dl_info info;
    return dladdr(symbol, &info) && info.dli_fname ? realpath(info.dli_fname, NULL) : NULL;
}

/* ---- terminal, environment, signals ---- */

void pv_main_args(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
}

bool pv_is_tty(FILE *f)
{
    return isatty(fileno(f)) == 1;
}

int pv_tty_width(FILE *f)
{
    struct winsize w;
    if (ioctl(fileno(f), TIOCGWINSZ, &w) == 0 && w.ws_col > 0)
        return w.ws_col;
    return 80;
}

const char *pv_env(const char *name)
{
    const char *v = getenv(name);
    return v && v[0] ? v : NULL;
}

bool pv_setenv(const char *name, const char *value)
{
    return (value ? setenv(name, value, 1) : unsetenv(name)) == 0;
}

static atomic_bool stop_flag;
static atomic_int stop_signals;
static _Atomic(const char *) stop_text;

static void on_stop(int sig)
{
    if (atomic_fetch_add(&stop_signals, 1) > 0)
        _exit(128 + sig);
    atomic_store(&stop_flag, true);
    const char *text = atomic_load(&stop_text);
    int e = errno;
    if (text && write(STDERR_FILENO, text, strlen(text)) < 0)
        errno = e;              /* nobody reads: it is no fault of what was interrupted */
}

void pv_stop_text(const char *text)
{
    atomic_store(&stop_text, text);
}

void pv_stop_install(void)
{
    struct sigaction sa;
    memset(&sa, 0, sizeof sa);
    sa.sa_handler = on_stop;
    sa.sa_flags = SA_RESTART;
    sigemptyset(&sa.sa_mask);
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    sa.sa_handler = SIG_IGN;        /* a file beyond the limit of its size: the write fails and is explained */
    sigaction(SIGXFSZ, &sa, NULL);
}

bool pv_stop_requested(void)
{
    return atomic_load(&stop_flag);
}

void pv_stop_set(void)
{
    atomic_store(&stop_flag, true);
}
