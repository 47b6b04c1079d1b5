/* SPDX-License-Identifier: Apache-2.0
 * platform.h on whatever system this is; what only POSIX systems have is in posix.c. */
#include "dev/dev_impl.h"
#include "unit.h"

static void clock_moves_forward(void **state)
{
    uint64_t a = pv_clock_ns();
    pv_sleep_ms(30);
    uint64_t b = pv_clock_ns();
    assert_true(b >= a + 25 * 1000000u);
    assert_true(b < a + 20 * 1000000000ull);
    char text[32];
    int n = 0, v[6];
    pv_time_text(text);
    assert_int_equal(sscanf(text, "%d-%d-%d %d:%d:%d%n", v, v + 1, v + 2, v + 3, v + 4, v + 5, &n),
                     6);
    assert_int_equal(n, 19);
    assert_true(v[0] >= 2024 && v[1] >= 1 && v[1] <= 12 && v[2] >= 1 && v[2] <= 31 && v[3] < 24);
    assert_true(pv_unix_time() > 1700000000);
}

struct shared {
    pv_mutex *m;
    pv_cond *c;
    int count, waiting, go, seen;
};

static void add_many(void *arg)
{
    struct shared *s = arg;
    for (int i = 0; i < 20000; i++) {
        pv_mutex_lock(s->m);
        s->count++;
        pv_mutex_unlock(s->m);
    }
}

static void wait_for_go(void *arg)
{
    struct shared *s = arg;
    pv_mutex_lock(s->m);
    s->waiting++;
    while (!s->go)
        pv_cond_wait(s->c, s->m);
    s->seen++;
    pv_mutex_unlock(s->m);
}

static void threads_lock_and_wake(void **state)
{
    struct shared s = {.m = pv_mutex_new(), .c = pv_cond_new()};
    pv_thread *t[4];
    for (int i = 0; i < 4; i++)
        assert_non_null(t[i] = pv_thread_start(add_many, &s));
    for (int i = 0; i < 4; i++) {
        pv_thread_join(&t[i]);
        assert_null(t[i]);
    }
    assert_int_equal(s.count, 80000);
    pv_thread_join(&t[0]);      /* NULL is safe */

    for (int i = 0; i < 4; i++)
        assert_non_null(t[i] = pv_thread_start(wait_for_go, &s));
    pv_mutex_lock(s.m);
    while (s.waiting < 4) {
        pv_mutex_unlock(s.m);
        pv_sleep_ms(1);
        pv_mutex_lock(s.m);
    }
    s.go = 1;
    pv_cond_broadcast(s.c);
    pv_mutex_unlock(s.m);
    for (int i = 0; i < 4; i++)
        pv_thread_join(&t[i]);
    assert_int_equal(s.seen, 4);

    pv_mutex_lock(s.m);
    uint64_t a = pv_clock_ns();
    pv_cond_wait_ms(s.c, s.m, 60);
    uint64_t waited = pv_clock_ns() - a;
    pv_mutex_unlock(s.m);
    assert_true(waited < 20 * 1000000000ull);
    pv_cond_free(&s.c);
    pv_mutex_free(&s.m);
    assert_null(s.c);
    assert_null(s.m);
    pv_cond_free(&s.c);
    pv_mutex_free(&s.m);
}

static void machine_is_known(void **state)
{
    assert_in_range(pv_cpu_count(), 1, 4096);
    assert_true(pv_ram_bytes() > 64u << 20);
    assert_true(pv_pid() > 0);
    char *exe = pv_exe_path();
    assert_non_null(exe);
    assert_true(pv_file_size(exe) > 0);
    free(exe);
}

static void put(const char *path, const char *text)
{
    FILE *f = pv_fopen(path, "wb");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* A root folder with these files: pairs of path and content up to NULL. */
static uint64_t limit_of(const char *root, const char *const *files)
{
    for (; *files; files += 2) {
        char *path = pv_path_join(unit_path(root), files[0]), *dir = pv_path_dir(path);
        assert_true(pv_mkdirs(dir));
        put(path, files[1]);
        pv_free(dir);
        pv_free(path);
    }
    return pv_cgroup_memory(unit_path(root));
}

#define LIMIT_OF(root, ...) limit_of(root, (const char *const[]){__VA_ARGS__, NULL})

static void containers_limit_memory(void **state)
{
    assert_true(pv_cgroup_memory(unit_path("nothing")) == UINT64_MAX);
    /* version 2: the own group, its parents, and a container that sees its own group as the root */
    assert_int_equal(LIMIT_OF("v2", "proc/self/cgroup", "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max", "3000\n"), 3000);
    assert_int_equal(LIMIT_OF("v2", "sys/fs/cgroup/a/memory.max", "2000\n"), 2000);
    assert_int_equal(LIMIT_OF("v2", "sys/fs/cgroup/a/memory.max", "max\n"), 3000);
    assert_int_equal(LIMIT_OF("v2", "sys/fs/cgroup/a/c/memory.max", "10\n"), 3000);
    assert_int_equal(LIMIT_OF("own", "proc/self/cgroup", "0::/\n", "sys/fs/cgroup/memory.max", "17179869184\n"),
                     17179869184);
    assert_int_equal(LIMIT_OF("bare", "sys/fs/cgroup/memory.max", "5000\n"), 5000);       /* no /proc */
    assert_true(LIMIT_OF("max", "proc/self/cgroup", "0::/\n", "sys/fs/cgroup/memory.max", "max\n") == UINT64_MAX);
    /* version 1, its unlimited number, a group named by the host, both versions mounted */
    assert_int_equal(LIMIT_OF("v1", "proc/self/cgroup", "5:cpu,memory:/d/x\n4:memoryless:/y\n0::/\n",
                              "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
                     9223372036854771712u);
    assert_int_equal(LIMIT_OF("v1", "sys/fs/cgroup/memory/y/memory.limit_in_bytes", "10\n",
                              "sys/fs/cgroup/memory/memory.limit_in_bytes", "7000\n"), 7000);
    assert_int_equal(LIMIT_OF("v1", "sys/fs/cgroup/memory/d/x/memory.limit_in_bytes", "6000\n"), 6000);
    assert_int_equal(LIMIT_OF("v1", "sys/fs/cgroup/unified/memory.max", "4000\n"), 4000);

    assert_true(pv_ram_bytes() <= pv_cgroup_memory(""));
    struct pv_dev_info cpu = {.type = PV_DEV_CPU, .limits = {.memory = 8000}}, gpu = cpu;
    gpu.type = PV_DEV_GPU;
    pv_dev_cap_memory(&cpu, 5000);
    pv_dev_cap_memory(&gpu, 5000);
    assert_int_equal(cpu.limits.memory, 5000);
    assert_int_equal(gpu.limits.memory, 8000);
    pv_dev_cap_memory(&cpu, 0);
    pv_dev_cap_memory(&cpu, 6000);
    assert_int_equal(cpu.limits.memory, 5000);
    int n;
    struct pv_dev_info *all = pv_dev_list(&n, NULL);
    for (int i = 0; i < n; i++)
        assert_true(all[i].type != PV_DEV_CPU || all[i].limits.memory <= pv_ram_bytes());
    pv_free(all);
}

static void folders(void **state)
{
    const char *deep = unit_path("a/b//c/");
    assert_false(pv_is_dir(deep));
    assert_true(pv_mkdirs(deep));
    assert_true(pv_is_dir(unit_path("a/b/c")));
    assert_true(pv_mkdirs(deep));
    assert_false(pv_mkdirs(""));

    put(unit_path("a/file"), "x");
    assert_false(pv_mkdirs(unit_path("a/file")));
    assert_false(pv_mkdirs(unit_path("a/file/below")));
    assert_true(strlen(pv_os_error()) > 3);
    assert_true(pv_file_exists(unit_path("a/file")));
    assert_true(pv_file_exists(unit_path("a/b")));
    assert_false(pv_file_exists(unit_path("a/none")));
    assert_false(pv_is_dir(unit_path("a/file")));
    assert_false(pv_remove(unit_path("a")));        /* not empty */
    assert_true(pv_remove(unit_path("a/b/c")));
    assert_true(pv_remove(unit_path("a/file")));
    assert_false(pv_remove(unit_path("a/file")));
    assert_false(pv_file_exists(unit_path("a/file")));
}

static void names_are_sorted_and_utf8(void **state)
{
    static const char *const made[] = {
        "b", "\xC3\xA4\xC3\xB6", "C", "a10", "a9", "\xE6\x97\xA5 x", ".hid"};
    static const char *const sorted[] = {
        ".hid", "C", "a10", "a9", "b", "\xC3\xA4\xC3\xB6", "\xE6\x97\xA5 x"};
    char **names = NULL, name[64];
    size_t n = 99;
    assert_true(pv_mkdirs(unit_path("list")));
    assert_true(pv_list_dir(unit_path("list"), &names, &n));
    assert_int_equal(n, 0);
    free(names);
    for (size_t i = 0; i < PV_COUNT(made); i++) {
        snprintf(name, sizeof name, "list/%s", made[i]);
        put(unit_path(name), made[i]);
    }
    assert_true(pv_list_dir(unit_path("list"), &names, &n));
    assert_int_equal(n, PV_COUNT(sorted));
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(names[i], sorted[i]);
        snprintf(name, sizeof name, "list/%s", names[i]);
        assert_int_equal(pv_file_size(unit_path(name)), strlen(names[i]));
        free(names[i]);
    }
    free(names);
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "list/many%d", i);
        put(unit_path(name), "");
    }
    assert_true(pv_list_dir(unit_path("list"), &names, &n));
    assert_int_equal(n, PV_COUNT(sorted) + 40);
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    free(names);
    assert_false(pv_list_dir(unit_path("nowhere"), &names, &n));
    assert_null(names);
    assert_int_equal(n, 0);
}

static void files(void **state)
{
    const char *path = unit_path("f.bin");
    assert_int_equal(pv_file_size(path), -1);
    assert_int_equal(pv_file_size(unit_tmp()), -1);
    assert_null(pv_fopen(path, "rb"));
    assert_non_null(strstr(pv_os_error(), "o such file"));
    FILE *f = pv_fopen(path, "wbx");
    assert_non_null(f);
    assert_null(pv_fopen(path, "wbx"));
    const int64_t far = 5000000000;         /* beyond 32 bits; the file is sparse */
    assert_true(pv_fseek64(f, far));
    assert_int_equal(fwrite("end", 1, 3, f), 3);
    assert_true(pv_sync_file(f));
    assert_int_equal(pv_file_size(path), far + 3);
    assert_true(pv_truncate(f, 10));
    assert_int_equal(fwrite("ab", 1, 2, f), 2);
    assert_true(pv_truncate(f, 11));
    assert_int_equal(fclose(f), 0);
    assert_int_equal(pv_file_size(path), 11);
    f = pv_fopen(path, "rb");
    assert_true(pv_fseek64(f, 10));
    assert_int_equal(getc(f), 'a');
    assert_int_equal(getc(f), EOF);
    fclose(f);
    assert_true(pv_disk_free(unit_tmp()) > 0);
    assert_int_equal(pv_disk_free(unit_path("no/such/folder")), UINT64_MAX);
}

static void replacing(void **state)
{
    const char *a = unit_path("new"), *b = unit_path("old");
    put(a, "fresh");
    assert_true(pv_replace_file(a, b));
    assert_false(pv_file_exists(a));
    put(a, "fresher");
    assert_true(pv_replace_file(a, b));
    assert_int_equal(pv_file_size(b), 7);
    assert_false(pv_replace_file(a, b));            /* nothing to rename */
    assert_int_equal(pv_file_size(b), 7);
    put(a, "x");
    assert_true(pv_mkdirs(unit_path("folder")));
    assert_false(pv_replace_file(a, unit_path("folder")));
    assert_true(strlen(pv_os_error()) > 3);
    assert_true(pv_is_dir(unit_path("folder")));
}

static void environment(void **state)
{
    assert_null(pv_env("PV_UNIT_NONE"));
    assert_true(pv_setenv("PV_UNIT_NONE", "caf\xC3\xA9"));
    const char *kept = pv_env("PV_UNIT_NONE");
    assert_string_equal(kept, "caf\xC3\xA9");
    assert_true(pv_setenv("PV_UNIT_NONE", ""));
    assert_null(pv_env("PV_UNIT_NONE"));
    assert_true(pv_setenv("PV_UNIT_NONE", "x"));
    assert_true(pv_setenv("PV_UNIT_NONE", NULL));
    assert_null(pv_env("PV_UNIT_NONE"));

    pv_setenv("XDG_CACHE_HOME", NULL);
    pv_setenv("HOME", unit_path("home"));
    pv_setenv("LOCALAPPDATA", unit_path("home"));
    char *dir = pv_cache_dir();
    assert_non_null(dir);
    assert_true(pv_is_dir(dir));
    assert_true(pv_starts(dir, unit_path("home")));
    assert_true(pv_ends(dir, "/protovox"));
    free(dir);
    put(unit_path("blocked"), "");
    pv_setenv("HOME", unit_path("blocked"));
    pv_setenv("LOCALAPPDATA", unit_path("blocked"));
    assert_null(pv_cache_dir());
    pv_setenv("HOME", NULL);
    pv_setenv("LOCALAPPDATA", NULL);
    assert_null(pv_cache_dir());
}

static void libraries(void **state)
{
    assert_null(pv_dynlib_open("no_such_library_of_ours"));
    assert_true(strlen(pv_os_error()) > 3);
    const char *const *lists[] = {pv_opencl_names, pv_vulkan_names, pv_clblast_names};
    static const char *const symbols[] = {"clGetPlatformIDs", "vkGetInstanceProcAddr",
                                          "CLBlastSgemm"};
    int found = 0;
    for (size_t i = 0; i < PV_COUNT(lists); i++) {
        assert_non_null(lists[i][0]);
        pv_dynlib *lib = NULL;
        for (const char *const *name = lists[i]; *name && !lib; name++)
            lib = pv_dynlib_open(*name);
        if (!lib)
            continue;
        found++;
        assert_non_null(pv_dynlib_sym(lib, symbols[i]));
        char *path = pv_dynlib_path(pv_dynlib_sym(lib, symbols[i]));
        assert_true(path && pv_file_size(path) > 0);
        free(path);
        assert_null(pv_dynlib_sym(lib, "no_such_symbol_of_ours"));
        assert_true(strlen(pv_os_error()) > 3);
        pv_dynlib_close(&lib);
        assert_null(lib);
        pv_dynlib_close(&lib);
    }
    if (!found)
        skip();
}

static void terminal(void **state)
{
    FILE *f = pv_fopen(unit_path("plain"), "wb");
    assert_false(pv_is_tty(f));
    assert_int_equal(pv_tty_width(f), 80);
    fclose(f);
    char *one[] = {"program", "x", NULL}, **argv = one;
    int argc = 2;
    pv_main_args(&argc, &argv);
    assert_true(argc >= 1);
    assert_non_null(argv[0]);
}

static void stop_flag(void **state)
{
    assert_false(pv_stop_requested());
    pv_stop_set();
    assert_true(pv_stop_requested());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clock_moves_forward),
        cmocka_unit_test(threads_lock_and_wake),
        cmocka_unit_test(machine_is_known),
        cmocka_unit_test(containers_limit_memory),
        cmocka_unit_test(folders),
        cmocka_unit_test(names_are_sorted_and_utf8),
        cmocka_unit_test(files),
        cmocka_unit_test(replacing),
        cmocka_unit_test(environment),
        cmocka_unit_test(libraries),
        cmocka_unit_test(terminal),
        cmocka_unit_test(stop_flag),
    };
    return cmocka_run_group_tests(tests, NULL, unit_tmp_remove);
}
