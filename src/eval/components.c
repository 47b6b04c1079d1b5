/* SPDX-License-Identifier: Apache-2.0
 * Union-find in two passes: the first gives every voxel the smallest provisional name among its neighbours
 * that come earlier in scan order and notes which names are one, the second replaces names by numbers. A
 * name's parent is never larger than the name, so roots are first voxels and numbering follows scan order. */
#include "eval/components.h"

#include <stdlib.h>

#include "base/base.h"

enum { MOST_EARLIER = 13 };

struct earlier { int x, y, z; };

/* The neighbours before (0, 0, 0) in scan order; 0 if there is no such neighbourhood. */
static int earlier_neighbours(int neighbours, struct earlier e[MOST_EARLIER])
{
    bool flat = neighbours == 4 || neighbours == 8;
    int most = neighbours == 4 || neighbours == 6 ? 1 : neighbours == 8 || neighbours == 18 ? 2 : 3, n = 0;
    if (!flat && neighbours != 6 && neighbours != 18 && neighbours != 26) {
        pv_fail(PV_FAULT_USAGE, "no neighbourhood of %d voxels: 6, 18 or 26 in 3D, 4 or 8 in 2D", neighbours);
        return 0;
    }
    for (int x = flat ? 0 : -1; x <= 0; x++) {
        for (int y = -1; y <= 1; y++) {
            for (int z = -1; z <= 1; z++) {
                bool before = x < 0 || (x == 0 && (y < 0 || (y == 0 && z < 0)));
                if (before && abs(x) + abs(y) + abs(z) <= most)
                    e[n++] = (struct earlier){x, y, z};
            }
        }
    }
    return n;
}

static uint32_t root(uint32_t *parent, uint32_t a)
{
    while (parent[a] != a) {
        parent[a] = parent[parent[a]];
        a = parent[a];
    }
    return a;
}

static uint32_t join(uint32_t *parent, uint32_t a, uint32_t b)
{
    a = root(parent, a);
    b = root(parent, b);
    if (a < b)
        parent[b] = a;
    else
        parent[a] = b;
    return a < b ? a : b;
}

/* Number of provisional names, which are 1, 2, ... */
static uint32_t first_pass(const uint8_t *label, const int s[3], uint8_t value, const struct earlier *e, int num_e,
                           uint32_t *id, uint32_t *parent)
{
    int64_t row = s[2], plane = row * s[1], i = 0;
    uint32_t names = 0;
    for (int x = 0; x < s[0]; x++) {
        for (int y = 0; y < s[1]; y++) {
            for (int z = 0; z < s[2]; z++, i++) {
                uint32_t name = 0;
                if (label[i] != value) {
                    id[i] = 0;
                    continue;
                }
                for (int k = 0; k < num_e; k++) {
                    int ny = y + e[k].y, nz = z + e[k].z;
                    if (x + e[k].x < 0 || ny < 0 || ny >= s[1] || nz < 0 || nz >= s[2])
                        continue;
                    uint32_t other = id[i + e[k].x * plane + e[k].y * row + e[k].z];
                    if (other && other != name)
                        name = name ? join(parent, name, other) : other;
                }
                if (!name) {
                    name = ++names;
                    parent[name] = name;
                }
                id[i] = name;
            }
        }
    }
    return names;
}

int64_t pv_components(const uint8_t *label, const int s[3], uint8_t value, int neighbours, uint32_t *id)
{
    struct earlier e[MOST_EARLIER];
    int num_e = earlier_neighbours(neighbours, e);
    if (num_e == 0)
        return -1;
    int64_t n = (int64_t)s[0] * s[1] * s[2], count = 0;
    if (n >= UINT32_MAX) {
        pv_fail(PV_FAULT_INPUT, "%d x %d x %d voxels are too many for connected components", s[0], s[1], s[2]);
        return -1;
    }
    /* a voxel with a new name has none before it in its row: at most every second one */
    size_t most = (size_t)s[0] * (size_t)s[1] * ((size_t)s[2] + 1) / 2 + (size_t)s[0] * (size_t)s[1] + 1;
    uint32_t *parent = pv_alloc_big(most * sizeof *parent, "connected components");
    if (!parent)
        return -1;
    uint32_t names = first_pass(label, s, value, e, num_e, id, parent);
    for (uint32_t a = 1; a <= names; a++)       /* parents come first and are numbers already */
        parent[a] = parent[a] == a ? (uint32_t)++count : parent[parent[a]];
    for (int64_t i = 0; i < n; i++)
        if (id[i])
            id[i] = parent[id[i]];
    pv_free_big(parent);
    return count;
}

bool pv_keep_largest(uint8_t *label, const int s[3], uint8_t value, int neighbours)
{
    size_t n = (size_t)s[0] * (size_t)s[1] * (size_t)s[2];
    bool ok = false;
    uint64_t *size = NULL;
    uint32_t *id = pv_alloc_big(n * sizeof *id + 1, "connected components");
    if (!id)
        goto done;
    int64_t count = pv_components(label, s, value, neighbours, id);
    if (count < 0)
        goto done;
    ok = true;
    if (count < 2)
        goto done;
    size = pv_array(uint64_t, count + 1);
    for (size_t i = 0; i < n; i++)
        size[id[i]]++;
    int64_t largest = 1;
    for (int64_t k = 2; k <= count; k++)
        if (size[k] > size[largest])
            largest = k;
    for (size_t i = 0; i < n; i++)
        if (id[i] && id[i] != largest)
            label[i] = 0;
done:
    pv_free(size);
    pv_free_big(id);
    return ok;
}

bool pv_keep_largest_classes(uint8_t *label, const int s[3], int num_classes, int neighbours)
{
    for (int c = 1; c < num_classes; c++)
        if (!pv_keep_largest(label, s, (uint8_t)c, neighbours))
            return false;
    return true;
}
