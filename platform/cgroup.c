/* SPDX-License-Identifier: Apache-2.0
 * What a container leaves of the memory: limits of Linux control groups, version 2 and 1 (both may be mounted). A limit
 * of a group holds for the groups in it, so that all from the process's own up to the root count. In a container the
 * root of the mount may be the own group: names of /proc/self/cgroup that are not there are passed over. Other systems
 * have none of these files. */
#include "platform/platform.h"

#include <string.h>

enum { PATH_BYTES = 4096 };

/* The number in a file; UINT64_MAX if there is no file or it says "max". */
static uint64_t limit_in(const char *path)
{
    unsigned long long v;
    FILE *f = pv_fopen(path, "rb");
    if (!f)
        return UINT64_MAX;
    bool ok = fscanf(f, "%llu", &v) == 1;
    fclose(f);
    return ok ? (uint64_t)v : UINT64_MAX;
}

/* The least limit in mount/group/file and the groups above it, the mount's root included. */
static uint64_t least(const char *root, const char *mount, const char *group, const char *file)
{
    char name[PATH_BYTES], path[2 * PATH_BYTES];
    uint64_t limit = UINT64_MAX;
    snprintf(name, sizeof name, "%s", group);
    for (;;) {
        char *slash = strrchr(name, '/');
        if (slash && !slash[1])         /* "/" is the root */
            *slash = '\0';
        int n = snprintf(path, sizeof path, "%s%s%s/%s", root, mount, name, file);
        uint64_t v = n > 0 && (size_t)n < sizeof path ? limit_in(path) : UINT64_MAX;
        limit = v < limit ? v : limit;
        if (!name[0])
            return limit;
        slash = strrchr(name, '/');
        *(slash ? slash : name) = '\0';
    }
}

/* Whether a list with commas holds "memory". */
static bool has_memory(const char *controllers)
{
    size_t n = strlen("memory");
    for (const char *p = controllers; (p = strstr(p, "memory")) != NULL; p += n)
        if ((p == controllers || p[-1] == ',') && (p[n] == ',' || !p[n]))
            return true;
    return false;
}

uint64_t pv_cgroup_memory(const char *root)
{
    char path[PATH_BYTES], line[PATH_BYTES], v1[PATH_BYTES] = "", v2[PATH_BYTES] = "";
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *f = pv_fopen(path, "rb");
    while (f && fgets(line, sizeof line, f)) {      /* "4:memory:/group", of version 2 "0::/group" */
        char *list = strchr(line, ':'), *group = list ? strchr(list + 1, ':') : NULL;
        if (!group)
            continue;
        *group++ = '\0';
        group[strcspn(group, "\n")] = '\0';
        if (!list[1])
            snprintf(v2, sizeof v2, "%s", group);
        else if (has_memory(list + 1))
            snprintf(v1, sizeof v1, "%s", group);
    }
    if (f)
        fclose(f);
    const uint64_t limits[] = {least(root, "/sys/fs/cgroup", v2, "memory.max"),
                               least(root, "/sys/fs/cgroup/unified", v2, "memory.max"),
                               least(root, "/sys/fs/cgroup/memory", v1, "memory.limit_in_bytes")};
    uint64_t limit = UINT64_MAX;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        limit = limits[i] < limit ? limits[i] : limit;
    return limit;
}
