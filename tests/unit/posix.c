/* SPDX-License-Identifier: Apache-2.0
 * What needs a POSIX system to be tested: full disks, links, devices, signals, what stderr really
 * shows. Cases that would change the process run in a child. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/outfile.h"
#include "base/safetensors.h"
#include "unit.h"

/* Runs fn in a child and returns its exit status, or minus the signal. What it prints on stderr
 * lands in `err` if that is not NULL. */
static int in_child(int (*fn)(void), char *err, size_t err_size)
{
    const char *log = unit_path("child.err");
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int fd = open(log, O_CREAT | O_TRUNC | O_WRONLY, 0600);
        dup2(fd, 2);
        _exit(fn());
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (err) {
        FILE *f = fopen(log, "rb");
        assert_non_null(f);
        err[fread(err, 1, err_size - 1, f)] = '\0';
        fclose(f);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void read_all(const char *path, char *text, size_t size)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    text[fread(text, 1, size - 1, f)] = '\0';
    fclose(f);
}

/* The folder holds exactly these names (no temporary file is left). */
static void assert_only(const char *dir, const char *expected)
{
    char **names;
    size_t n;
    struct pv_str all = {0};
    assert_true(pv_list_dir(dir, &names, &n));
    pv_str_add(&all, "");
    for (size_t i = 0; i < n; i++) {
        pv_str_addf(&all, "%s%s", i ? " " : "", names[i]);
        free(names[i]);
    }
    free(names);
    assert_string_equal(all.text, expected);
    pv_str_free(&all);
}

static int limited(void)
{
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit r = {.rlim_cur = 100000, .rlim_max = 100000};
    return setrlimit(RLIMIT_FSIZE, &r) != 0;
}

static char big[300000];

static int write_limited(void)
{
    if (limited())
        return 10;
    if (pv_write_file(unit_path("limit/a"), big, sizeof big))
        return 11;
    return pv_fault_kind() == PV_FAULT_INPUT && strstr(pv_fault_text(), "limit/a") ? 0 : 12;
}

static int write_parts_limited(void)
{
    pv_outfile *o = pv_outfile_open(unit_path("limit/a"), 0);
    if (!o || limited())
        return 10;
    bool first = pv_outfile_write(o, big, 1000), second = pv_outfile_write(o, big, sizeof big);
    bool third = pv_outfile_write(o, big, 1);
    if (!first || second || third || pv_outfile_commit(&o) || o)
        return 11;
    pv_outfile *p = pv_outfile_open(unit_path("limit/a"), 0);
    pv_outfile_write(p, big, 10);
    pv_outfile_cancel(&p);
    pv_outfile_cancel(&p);
    return p ? 12 : 0;
}

static int write_st_limited(void)
{
    const int64_t small[] = {10}, large[] = {sizeof big};
    if (limited())
        return 10;
    pv_st_writer *w = pv_st_writer_new();
    pv_st_put(w, "first", PV_ST_U8, 1, small, big);
    pv_st_put(w, "second", PV_ST_U8, 1, large, big);
    pv_st_put(w, "third", PV_ST_U8, 1, small, big);
    if (pv_st_write(w, unit_path("limit/a")))
        return 11;
    pv_st_writer_free(&w);
    return pv_fault_kind() == PV_FAULT_INPUT && strstr(pv_fault_text(), "limit/a") ? 0 : 12;
}

static void failing_write_keeps_the_old_file(void **state)
{
    char text[64], err[1024];
    assert_true(pv_mkdirs(unit_path("limit")));
    assert_true(pv_write_file(unit_path("limit/a"), "before", 6));
    assert_int_equal(in_child(write_limited, err, sizeof err), 0);
    assert_non_null(strstr(err, "File too large"));
    assert_null(strchr(strchr(err, '\n') + 1, '\n'));       /* one failure, one line */
    assert_int_equal(in_child(write_st_limited, err, sizeof err), 0);
    assert_null(strchr(strchr(err, '\n') + 1, '\n'));
    assert_int_equal(in_child(write_parts_limited, err, sizeof err), 0);
    assert_null(strchr(strchr(err, '\n') + 1, '\n'));
    read_all(unit_path("limit/a"), text, sizeof text);
    assert_string_equal(text, "before");
    assert_only(unit_path("limit"), "a");
}

/* Needs the right to mount; without it the case above stands in. */
static void full_disk(void **state)
{
    const char *dir = unit_path("full");
    char command[256], path[256], text[64];
    assert_true(pv_mkdirs(dir));
    snprintf(command, sizeof command, "mount -t tmpfs -o size=128k none %s 2>/dev/null", dir);
    if (system(command) != 0)
        skip();
    snprintf(path, sizeof path, "%s/a", dir);
    bool before = pv_write_file(path, "before", 6);
    pv_fault_clear();
    pv_fail_quiet(true);
    bool wrote = pv_write_file(path, big, sizeof big);
    enum pv_fault kind = pv_fault_kind();
    char *why = pv_strdup(pv_fault_text());
    pv_fault_clear();
    pv_st_writer *w = pv_st_writer_new();
    const int64_t shape[] = {sizeof big};
    pv_st_put(w, "t", PV_ST_U8, 1, shape, big);
    bool wrote_st = pv_st_write(w, path);
    pv_st_writer_free(&w);
    pv_fault_clear();
    bool fits = pv_write_file(unit_path("full/b"), big, 60000);     /* nothing was left behind */
    pv_fail_quiet(false);
    read_all(path, text, sizeof text);
    char **names = NULL;
    size_t n = 0;
    bool listed = pv_list_dir(dir, &names, &n);
    snprintf(command, sizeof command, "umount %s", dir);
    assert_int_equal(system(command), 0);
    assert_true(before);
    assert_false(wrote);
    assert_false(wrote_st);
    assert_true(fits);
    assert_int_equal(kind, PV_FAULT_INPUT);
    assert_non_null(strstr(why, "full/a: No space left on device"));
    assert_non_null(strstr(why, "293.0 KB are needed"));
    assert_non_null(strstr(why, "make room"));
    assert_string_equal(text, "before");
    assert_true(listed);
    assert_int_equal(n, 2);
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    free(names);
    pv_free(why);
}

static bool is_device(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISCHR(st.st_mode);
}

/* Devices are reached through a link in our folder, so that a mistake cannot harm the system. */
static void devices_are_not_replaced(void **state)
{
    const char *full = "/dev/full", *link = unit_path("to_full"), *fifo = unit_path("fifo");
    struct stat st;
    assert_int_equal(mkfifo(fifo, 0600), 0);
    UNIT_FAILS(PV_FAULT_INPUT, "not a regular file", assert_false(pv_write_file(fifo, "x", 1)));
    assert_int_equal(lstat(fifo, &st), 0);
    assert_true(S_ISFIFO(st.st_mode));
    if (!is_device(full))
        skip();
    assert_int_equal(symlink(full, link), 0);
    UNIT_FAILS(PV_FAULT_INPUT, "not a regular file", assert_false(pv_write_file(link, "x", 1)));
    assert_true(is_device(link));

    FILE *f = pv_fopen(full, "wb");
    assert_non_null(f);
    fputs("x", f);
    assert_false(pv_sync_file(f));
    assert_non_null(strstr(pv_os_error(), "No space left"));
    fclose(f);
}

static void links_are_followed(void **state)
{
    char text[64];
    struct stat st;
    assert_true(pv_mkdirs(unit_path("links")));
    assert_true(pv_write_file(unit_path("links/real"), "one", 3));
    assert_int_equal(symlink("real", unit_path("links/link")), 0);
    assert_true(pv_write_file(unit_path("links/link"), "two!", 4));
    assert_int_equal(lstat(unit_path("links/link"), &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    read_all(unit_path("links/real"), text, sizeof text);
    assert_string_equal(text, "two!");
    assert_int_equal(symlink("nowhere", unit_path("links/dangling")), 0);
    assert_true(pv_write_file(unit_path("links/dangling"), "three", 5));
    read_all(unit_path("links/dangling"), text, sizeof text);
    assert_string_equal(text, "three");
    assert_only(unit_path("links"), "dangling link real");
}

/* A link under the temporary name must not lead the writer elsewhere. */
static void planted_link_is_not_followed(void **state)
{
    char name[64], text[64];
    assert_true(pv_mkdirs(unit_path("plant")));
    assert_true(pv_write_file(unit_path("plant/victim"), "safe", 4));
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "plant/a.tmp-%d-%d", pv_pid(), i);
        assert_int_equal(symlink("victim", unit_path(name)), 0);
    }
    assert_true(pv_write_file(unit_path("plant/a"), "data", 4));
    read_all(unit_path("plant/victim"), text, sizeof text);
    assert_string_equal(text, "safe");
    read_all(unit_path("plant/a"), text, sizeof text);
    assert_string_equal(text, "data");
}

static void fill_pipe(void *arg)
{
    FILE *f = fopen(arg, "wb");
    fwrite(big, 1, sizeof big, f);
    fclose(f);
}

/* A pipe has no size to go by. */
static void pipes_are_read_to_the_end(void **state)
{
    char *data, pipe[256];
    size_t size;
    snprintf(pipe, sizeof pipe, "%s", unit_path("pipe"));
    assert_int_equal(mkfifo(pipe, 0600), 0);
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (char)(i * 13);
    pv_thread *t = pv_thread_start(fill_pipe, pipe);
    assert_true(pv_read_file(pipe, &data, &size));
    pv_thread_join(&t);
    assert_int_equal(size, sizeof big);
    assert_memory_equal(data, big, size);
    pv_free(data);
}

static int say_all(void)
{
    pv_info("plain %d", 1);
    pv_warn("careful\n");
    pv_fail(PV_FAULT_INPUT, "broken: %s", "x.nii");
    pv_fail(PV_FAULT_STOPPED, "stopped at step 7");
    pv_log(PV_LOG_DEBUG, "hidden");
    pv_debug("mem", "hidden too");
    pv_log_level_set(PV_LOG_ERROR);
    pv_info("hidden as well");
    pv_fail(PV_FAULT_DEVICE, "still seen");
    pv_fail_quiet(true);
    pv_fail(PV_FAULT_DEVICE, "quiet");
    return pv_fault_kind();
}

static void clear_line(void *user)
{
    (void)user;
    fputs("<clear>", stderr);
}

static int say_debug(void)
{
    pv_setenv("PV_DEBUG", "mem,kern");
    pv_log_before_print(clear_line, NULL);
    pv_debug("mem", "%d bytes", 5);
    pv_debug("sync", "hidden");
    pv_debug("me", "hidden");
    pv_setenv("PV_DEBUG", "all");       /* read once */
    return pv_debug_on("kern") && !pv_debug_on("sync") ? 0 : 1;
}

static int say_all_categories(void)
{
    pv_setenv("PV_DEBUG", "all");
    return pv_debug_on("kern") && pv_debug_on("data") ? 0 : 1;
}

static void stderr_lines(void **state)
{
    char err[1024];
    assert_int_equal(in_child(say_all, err, sizeof err), PV_FAULT_INPUT);
    assert_string_equal(err, "plain 1\nwarning: careful\nerror: broken: x.nii\nstopped at step 7\n"
                        "error: still seen\n");
    assert_int_equal(in_child(say_debug, err, sizeof err), 0);
    assert_string_equal(err, "<clear>debug mem: 5 bytes\n");
    assert_int_equal(in_child(say_all_categories, err, sizeof err), 0);
}

static int one_signal(void)
{
    pv_stop_install();
    pv_stop_set();              /* not a signal: the first Ctrl-C must not kill yet */
    raise(SIGINT);
    return pv_stop_requested() ? 7 : 8;
}

static int two_signals(void)
{
    pv_stop_install();
    if (pv_stop_requested())
        return 9;
    raise(SIGTERM);
    if (!pv_stop_requested())
        return 8;
    raise(SIGINT);
    return 7;
}

static int text_of_the_first(void)
{
    pv_stop_install();
    pv_stop_text("stopping\n");
    raise(SIGINT);
    raise(SIGINT);
    return 0;
}

static void second_signal_ends(void **state)
{
    char err[64];
    assert_int_equal(in_child(text_of_the_first, err, sizeof err), 130);
    assert_string_equal(err, "stopping\n");
    assert_int_equal(in_child(one_signal, NULL, 0), 7);
    assert_int_equal(in_child(two_signals, NULL, 0), 130);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failing_write_keeps_the_old_file),
        cmocka_unit_test(full_disk),
        cmocka_unit_test(devices_are_not_replaced),
        cmocka_unit_test(links_are_followed),
        cmocka_unit_test(planted_link_is_not_followed),
        cmocka_unit_test(pipes_are_read_to_the_end),
        cmocka_unit_test(stderr_lines),
        cmocka_unit_test(second_signal_ends),
    };
    return cmocka_run_group_tests(tests, NULL, unit_tmp_remove);
}
