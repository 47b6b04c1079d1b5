/* SPDX-License-Identifier: Apache-2.0
 * platform.h for Windows 10 and later. Paths are UTF-8 outside and wide characters inside; both
 * slashes separate folders. A failing function leaves errno; errno OWN_TEXT means that
 * FormatMessage's text was kept. A full disk is always ENOSPC. */
#include "platform/platform.h"

#include <windows.h>

#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <process.h>
#include <shellapi.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <wchar.h>

enum { OWN_TEXT = -1, STACK_BYTES = 4 << 20, LONG_PATH = 240 };
static _Thread_local char own_text[512];

const char pv_path_separators[] = "/\\";
const char *const pv_opencl_names[] = {"OpenCL.dll", NULL};
const char *const pv_vulkan_names[] = {"vulkan-1.dll", NULL};
const char *const pv_clblast_names[] = {"clblast.dll", "libclblast.dll", NULL};

/* ---- text ---- */

static wchar_t *wide(const char *s)
{
    int n = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, s, -1, NULL, 0);
    wchar_t *w = n > 0 ? malloc((size_t)n * sizeof *w) : NULL;
    if (w)
        MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, s, -1, w, n);
    else
        errno = EILSEQ;
    return w;
}

static char *narrow(const wchar_t *w)
{
    int n = WideCharToMultiByte(CP_UTF8, 0, w, -1, NULL, 0, NULL, NULL);
    char *s = n > 0 ? malloc((size_t)n) : NULL;
    if (s)
        WideCharToMultiByte(CP_UTF8, 0, w, -1, s, n, NULL, NULL);
    return s;
}

/* A path for the system: long ones become absolute with the prefix that lifts the limit of 260. */
static wchar_t *wide_path(const char *path)
{
    wchar_t *w = wide(path);
    if (!w || wcslen(w) < LONG_PATH || wcsncmp(w, L"\\\\", 2) == 0)
        return w;
    DWORD n = GetFullPathNameW(w, 0, NULL, NULL);
    wchar_t *full = n ? malloc((n + 4) * sizeof *full) : NULL;
    if (!full)
        return w;
    memcpy(full, L"\\\\?\\", 4 * sizeof *full);
    GetFullPathNameW(w, n, full + 4, NULL);
    free(w);
    return full;
}

static bool system_error(void)
{
    DWORD e = GetLastError();
    switch (e) {
    case ERROR_DISK_FULL:
    case ERROR_HANDLE_DISK_FULL:
        errno = ENOSPC;
        return false;
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
        errno = ENOENT;
        return false;
    default:
        break;
    }
    enum { MOST = 256 };
    wchar_t text[MOST];
    DWORD n = FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL, e, 0,
                             text, MOST, NULL);
    while (n > 0 && (text[n - 1] == L'\n' || text[n - 1] == L'\r' || text[n - 1] == L'.'))
        n--;
    text[n < MOST ? n : MOST - 1] = L'\0';
    char *s = n ? narrow(text) : NULL;
    if (s)
        snprintf(own_text, sizeof own_text, "%s", s);
    else
        snprintf(own_text, sizeof own_text, "error %lu", (unsigned long)e);
    free(s);
    errno = OWN_TEXT;
    return false;
}

const char *pv_os_error(void)
{
    return errno == OWN_TEXT ? own_text : strerror(errno);  /* strerror is per thread here */
}

/* ---- clock ---- */

uint64_t pv_clock_ns(void)
{
    LARGE_INTEGER f, t;
    QueryPerformanceFrequency(&f);
    QueryPerformanceCounter(&t);
    uint64_t hz = (uint64_t)f.QuadPart, n = (uint64_t)t.QuadPart;
    return n / hz * 1000000000u + n % hz * 1000000000u / hz;
}

void pv_sleep_ms(unsigned ms)
{
    Sleep(ms);
}

void pv_time_text(char out[32])
{
    SYSTEMTIME t;
    GetLocalTime(&t);
    snprintf(out, 32, "%04d-%02d-%02d %02d:%02d:%02d", t.wYear, t.wMonth, t.wDay, t.wHour,
             t.wMinute, t.wSecond);
}

int64_t pv_unix_time(void)
{
    return (int64_t)_time64(NULL);
}

/* ---- threads ---- */

struct pv_thread {
    HANDLE handle;
    void (*fn)(void *);
    void *arg;
};
struct pv_mutex { SRWLOCK lock; };
struct pv_cond { CONDITION_VARIABLE c; };

static unsigned __stdcall thread_main(void *p)
{
    struct pv_thread *t = p;
    t->fn(t->arg);
    return 0;
}

pv_thread *pv_thread_start(void (*fn)(void *), void *arg)
{
    struct pv_thread *t = malloc(sizeof *t);
    if (!t)
        return NULL;
    t->fn = fn;
    t->arg = arg;
    t->handle = (HANDLE)_beginthreadex(NULL, STACK_BYTES, thread_main, t,
                                       STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
    if (t->handle)
        return t;
    int e = errno;
    free(t);
    errno = e;
    return NULL;
}

void pv_thread_join(pv_thread **t)
{
    if (!*t)
        return;
    WaitForSingleObject((*t)->handle, INFINITE);
    CloseHandle((*t)->handle);
    free(*t);
    *t = NULL;
}

pv_mutex *pv_mutex_new(void)
{
    struct pv_mutex *m = malloc(sizeof *m);
    if (m)
        InitializeSRWLock(&m->lock);
    return m;
}

void pv_mutex_free(pv_mutex **m)
{
    free(*m);
    *m = NULL;
}

void pv_mutex_lock(pv_mutex *m)
{
    AcquireSRWLockExclusive(&m->lock);
}

void pv_mutex_unlock(pv_mutex *m)
{
    ReleaseSRWLockExclusive(&m->lock);
}

pv_cond *pv_cond_new(void)
{
    struct pv_cond *c = malloc(sizeof *c);
    if (c)
        InitializeConditionVariable(&c->c);
    return c;
}

void pv_cond_free(pv_cond **c)
{
    free(*c);
    *c = NULL;
}

void pv_cond_wait(pv_cond *c, pv_mutex *m)
{
    SleepConditionVariableSRW(&c->c, &m->lock, INFINITE, 0);
}

void pv_cond_wait_ms(pv_cond *c, pv_mutex *m, unsigned ms)
{
    SleepConditionVariableSRW(&c->c, &m->lock, ms, 0);
}

void pv_cond_broadcast(pv_cond *c)
{
    WakeAllConditionVariable(&c->c);
}

int pv_cpu_count(void)
{
    DWORD_PTR mine = 0, all = 0;
    int n = 0;
    if (GetProcessAffinityMask(GetCurrentProcess(), &mine, &all))
        for (; mine; mine &= mine - 1)
            n++;
    return n > 0 ? n : 1;
}

uint64_t pv_ram_bytes(void)
{
    MEMORYSTATUSEX s = {.dwLength = sizeof s};
    return GlobalMemoryStatusEx(&s) ? s.ullTotalPhys : 0;
}

/* ---- files ---- */

static DWORD attributes(const char *path)
{
    wchar_t *w = wide_path(path);
    if (!w)
        return INVALID_FILE_ATTRIBUTES;
    DWORD a = GetFileAttributesW(w);
    if (a == INVALID_FILE_ATTRIBUTES)
        system_error();
    free(w);
    return a;
}

FILE *pv_fopen(const char *path, const char *mode)
{
    wchar_t *w = wide_path(path), *wm = wide(mode);
    FILE *f = NULL;
    /* The C runtime of old does not know "x". */
    wchar_t *x = wm ? wcschr(wm, L'x') : NULL;
    if (w && x) {
        int fd = _wopen(w, _O_CREAT | _O_EXCL | _O_RDWR | _O_BINARY, _S_IREAD | _S_IWRITE);
        *x = L'\0';
        f = fd >= 0 ? _wfdopen(fd, L"wb") : NULL;
        if (fd >= 0 && !f)
            _close(fd);
    } else if (w && wm) {
        f = _wfopen(w, wm);
    }
    int e = errno;
    free(w);
    free(wm);
    errno = e;
    return f;
}

bool pv_file_exists(const char *path)
{
    return attributes(path) != INVALID_FILE_ATTRIBUTES;
}

bool pv_is_dir(const char *path)
{
    DWORD a = attributes(path);
    return a != INVALID_FILE_ATTRIBUTES && (a & FILE_ATTRIBUTE_DIRECTORY);
}

int64_t pv_file_size(const char *path)
{
    WIN32_FILE_ATTRIBUTE_DATA d;
    wchar_t *w = wide_path(path);
    if (!w)
        return -1;
    bool ok = GetFileAttributesExW(w, GetFileExInfoStandard, &d) || system_error();
    free(w);
    if (!ok)
        return -1;
    if (d.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) {
        errno = EISDIR;
        return -1;
    }
    return (int64_t)((uint64_t)d.nFileSizeHigh << 32 | d.nFileSizeLow);
}

bool pv_fseek64(FILE *f, int64_t off)
{
    return _fseeki64(f, off, SEEK_SET) == 0;
}

static bool is_separator(char c)
{
    return c == '/' || c == '\\';
}

static bool make_dir(const char *path)
{
    if (pv_is_dir(path))
        return true;
    wchar_t *w = wide_path(path);
    if (!w)
        return false;
    bool ok = CreateDirectoryW(w, NULL) || system_error();
    free(w);
    if (!ok) {
        int e = errno;
        ok = pv_is_dir(path);       /* another process may have been faster */
        errno = e;
    }
    return ok;
}

bool pv_mkdirs(const char *path)
{
    if (pv_is_dir(path))
        return true;
    size_t n = strlen(path);
    char *p = malloc(n + 1);
    if (!p)
        return false;
    memcpy(p, path, n + 1);
    bool ok = n > 0;
    if (!ok)
        errno = ENOENT;
    for (size_t i = 1; ok && i <= n; i++) {
        if ((!is_separator(p[i]) && p[i] != '\0') || p[i - 1] == ':' || is_separator(p[i - 1]))
            continue;
        char c = p[i];
        p[i] = '\0';
        ok = make_dir(p);
        p[i] = c;
    }
    free(p);
    return ok;
}

bool pv_remove(const char *path)
{
    wchar_t *w = wide_path(path);
    if (!w)
        return false;
    DWORD a = GetFileAttributesW(w);
    bool dir = a != INVALID_FILE_ATTRIBUTES && (a & FILE_ATTRIBUTE_DIRECTORY);
    bool ok = (dir ? RemoveDirectoryW(w) : DeleteFileW(w)) || system_error();
    free(w);
    return ok;
}

bool pv_sync_file(FILE *f)
{
    if (fflush(f) != 0)
        return false;
    HANDLE h = (HANDLE)_get_osfhandle(_fileno(f));
    if (FlushFileBuffers(h) || GetFileType(h) != FILE_TYPE_DISK)
        return true;
    return system_error();
}

bool pv_truncate(FILE *f, int64_t size)
{
    if (fflush(f) != 0)
        return false;
    int e = _chsize_s(_fileno(f), size);
    if (e != 0) {
        errno = e;
        return false;
    }
    return _fseeki64(f, 0, SEEK_END) == 0;
}

bool pv_replace_file(const char *from, const char *to)
{
    wchar_t *a = wide_path(from), *b = wide_path(to);
    bool ok = a && b;
    /* A virus scanner or a reader may hold the old file for a moment. */
    for (int i = 0; ok; i++) {
        if (MoveFileExW(a, b, MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH))
            break;
        DWORD e = GetLastError();
        if (i == 10 || (e != ERROR_SHARING_VIOLATION && e != ERROR_ACCESS_DENIED)
            || pv_is_dir(to)) {
            SetLastError(e);
            ok = system_error();
        } else {
            Sleep(20);
        }
    }
    int e = errno;
    free(a);
    free(b);
    errno = e;
    return ok;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

bool pv_list_dir(const char *path, char ***names, size_t *count)
{
    size_t n = 0, cap = 16, len = strlen(path);
    char **list = malloc(cap * sizeof *list), *pattern = malloc(len + 3);
    wchar_t *w = NULL;
    HANDLE h = INVALID_HANDLE_VALUE;
    bool ok = false;
    WIN32_FIND_DATAW d;
    *names = NULL;
    *count = 0;
    if (!list || !pattern)
        goto done;
    memcpy(pattern, path, len);
    memcpy(pattern + len, "\\*", 3);
    w = wide_path(pattern);
    if (!w)
        goto done;
    h = FindFirstFileW(w, &d);
    if (h == INVALID_HANDLE_VALUE) {
        system_error();
        goto done;
    }
    do {
        if (wcscmp(d.cFileName, L".") == 0 || wcscmp(d.cFileName, L"..") == 0)
            continue;
        if (n == cap) {
            char **bigger = realloc(list, 2 * cap * sizeof *list);
            if (!bigger)
                goto done;
            list = bigger;
            cap *= 2;
        }
        list[n] = narrow(d.cFileName);
        if (!list[n])
            goto done;
        n++;
    } while (FindNextFileW(h, &d));
    ok = GetLastError() == ERROR_NO_MORE_FILES || system_error();
done:
    if (h != INVALID_HANDLE_VALUE)
        FindClose(h);
    free(w);
    free(pattern);
    if (ok) {
        qsort(list, n, sizeof *list, compare_names);
        *names = list;
        *count = n;
        return true;
    }
    for (size_t i = 0; i < n; i++)
        free(list[i]);
    free(list);
    return false;
}

static void forward_slashes(char *s)
{
    for (; *s; s++)
        if (*s == '\\')
            *s = '/';
}

char *pv_cache_dir(void)
{
    static const char tail[] = "/protovox";
    const char *base = pv_env("LOCALAPPDATA");
    if (!base)
        return NULL;
    size_t n = strlen(base);
    char *dir = malloc(n + sizeof tail);
    if (!dir)
        return NULL;
    memcpy(dir, base, n);
    memcpy(dir + n, tail, sizeof tail);
    forward_slashes(dir);
    if (!pv_mkdirs(dir)) {
        free(dir);
        dir = NULL;
    }
    return dir;
}

static char *module_path(HMODULE module)
{
    enum { MOST = 32768 };
    wchar_t *w = malloc(MOST * sizeof *w);
    DWORD n = w ? GetModuleFileNameW(module, w, MOST) : 0;
    char *s = n > 0 && n < MOST ? narrow(w) : NULL;
    free(w);
    if (s)
        forward_slashes(s);
    return s;
}

char *pv_exe_path(void)
{
    return module_path(NULL);
}

int pv_pid(void)
{
    return (int)GetCurrentProcessId();
}

uint64_t pv_disk_free(const char *path)
{
    ULARGE_INTEGER n;
    wchar_t *w = wide_path(path);
    bool ok = w && GetDiskFreeSpaceExW(w, &n, NULL, NULL);
    free(w);
    return ok ? n.QuadPart : UINT64_MAX;
}

struct pv_filelock { HANDLE handle; };

pv_filelock *pv_filelock_take(const char *path, bool *busy)
{
    *busy = false;
    pv_filelock *l = malloc(sizeof *l);
    wchar_t *w = wide_path(path);
    if (l && w) {
        l->handle = CreateFileW(w, GENERIC_READ | GENERIC_WRITE, 0, NULL, CREATE_ALWAYS,
                                FILE_ATTRIBUTE_HIDDEN | FILE_FLAG_DELETE_ON_CLOSE, NULL);
        if (l->handle == INVALID_HANDLE_VALUE) {
            *busy = GetLastError() == ERROR_SHARING_VIOLATION;
            free(l);
            l = NULL;
        }
    } else {
        free(l);
        l = NULL;
    }
    free(w);
    return l;
}

void pv_filelock_drop(pv_filelock **l)
{
    if (*l)
        CloseHandle((*l)->handle);
    free(*l);
    *l = NULL;
}

/* ---- dynamic libraries ---- */

struct pv_dynlib { HMODULE handle; };

pv_dynlib *pv_dynlib_open(const char *name)
{
    wchar_t *w = wide(name);
    if (!w)
        return NULL;
    HMODULE handle = LoadLibraryW(w);
    if (!handle)
        system_error();
    free(w);
    struct pv_dynlib *lib = handle ? malloc(sizeof *lib) : NULL;
    if (lib)
        lib->handle = handle;
    else if (handle)
        FreeLibrary(handle);
    return lib;
}

void *pv_dynlib_sym(pv_dynlib *lib, const char *symbol)
{
    FARPROC fn = GetProcAddress(lib->handle, symbol);
    void *p = NULL;
    if (!fn)
        system_error();
    else
        memcpy(&p, &fn, sizeof p);
    return p;
}

void pv_dynlib_close(pv_dynlib **lib)
{
    if (!*lib)
        return;
    FreeLibrary((*lib)->handle);
    free(*lib);
    *lib = NULL;
}

char *pv_dynlib_path(const void *symbol)
{
    HMODULE module;
    return GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
                              (LPCWSTR)symbol, &module) ? module_path(module) : NULL;
}

/* ---- terminal, environment, signals ---- */

void pv_main_args(int *argc, char ***argv)
{
    int n = 0;
    wchar_t **w = CommandLineToArgvW(GetCommandLineW(), &n);
    char **list = w ? calloc((size_t)n + 1, sizeof *list) : NULL;
    bool ok = list != NULL;
    for (int i = 0; ok && i < n; i++)
        ok = (list[i] = narrow(w[i])) != NULL;
    if (ok) {
        *argc = n;
        *argv = list;       /* lives as long as the process */
    }
    LocalFree(w);
    SetConsoleOutputCP(CP_UTF8);
}

bool pv_is_tty(FILE *f)
{
    DWORD mode;     /* _isatty is also true for NUL */
    return _isatty(_fileno(f)) && GetConsoleMode((HANDLE)_get_osfhandle(_fileno(f)), &mode);
}

int pv_tty_width(FILE *f)
{
    CONSOLE_SCREEN_BUFFER_INFO i;
    if (GetConsoleScreenBufferInfo((HANDLE)_get_osfhandle(_fileno(f)), &i)
        && i.srWindow.Right > i.srWindow.Left)
        return i.srWindow.Right - i.srWindow.Left + 1;
    return 80;
}

/* Values are kept for the life of the process, each once, as callers hold on to them. */
struct value { struct value *next; char *text; };
static struct value *values;
static SRWLOCK values_lock = SRWLOCK_INIT;

const char *pv_env(const char *name)
{
    wchar_t *w = wide(name);
    const wchar_t *v = w ? _wgetenv(w) : NULL;
    char *text = v && v[0] ? narrow(v) : NULL;
    free(w);
    if (!text)
        return NULL;
    AcquireSRWLockExclusive(&values_lock);
    struct value *e = values;
    while (e && strcmp(e->text, text) != 0)
        e = e->next;
    if (e) {
        free(text);
    } else if ((e = malloc(sizeof *e)) != NULL) {
        e->text = text;
        e->next = values;
        values = e;
    } else {
        free(text);
    }
    ReleaseSRWLockExclusive(&values_lock);
    return e ? e->text : NULL;
}

bool pv_setenv(const char *name, const char *value)
{
    wchar_t *n = wide(name), *v = wide(value ? value : "");
    int e = n && v ? _wputenv_s(n, v) : EINVAL;
    free(n);
    free(v);
    if (e != 0)
        errno = e;
    return e == 0;
}

static atomic_bool stop_flag;
static atomic_int stop_signals;
static _Atomic(const char *) stop_text;

static BOOL WINAPI on_stop(DWORD event)
{
    if (atomic_fetch_add(&stop_signals, 1) > 0)
        ExitProcess(130);
    atomic_store(&stop_flag, true);
    const char *text = atomic_load(&stop_text);
    DWORD done;
    if (text)
        WriteFile(GetStdHandle(STD_ERROR_HANDLE), text, (DWORD)strlen(text), &done, NULL);
    if (event == CTRL_CLOSE_EVENT || event == CTRL_SHUTDOWN_EVENT || event == CTRL_LOGOFF_EVENT)
        Sleep(INFINITE);    /* the process ends when this returns; the system waits some seconds */
    return TRUE;
}

void pv_stop_text(const char *text)
{
    atomic_store(&stop_text, text);
}

void pv_stop_install(void)
{
    SetConsoleCtrlHandler(on_stop, TRUE);
}

bool pv_stop_requested(void)
{
    return atomic_load(&stop_flag);
}

void pv_stop_set(void)
{
    atomic_store(&stop_flag, true);
}
