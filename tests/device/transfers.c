/* SPDX-License-Identifier: Apache-2.0
 * Uploads, late reads and reads in order: what is written piece by piece, from memory that is changed at once, arrives
 * whole, and a late read gets what was there when it was asked for.
 *
 *     transfers DEVICE [--class simt] */
#include <stdio.h>
#include <string.h>

#include "dev/dev.h"

enum { BYTES = 40 << 20, ROUNDS = 12, LATE = 65536 };

static uint32_t word(uint32_t round, uint32_t i) { return (i * 2654435761u) ^ (round * 40503u + 1); }

static void fill(uint32_t *v, uint32_t round)
{
    for (uint32_t i = 0; i < BYTES / 4; i++)
        v[i] = word(round, i);
}

static bool holds(const uint32_t *v, uint32_t round, uint32_t first, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (v[i] != word(round, first + i)) {
            printf("word %u of round %u is wrong\n", first + i, round);
            return false;
        }
    return true;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    pv_dev *dev = pv_dev_open(argv[1], NULL);
    if (!dev)
        return 1;
    static uint32_t late[LATE / 4];
    uint32_t *v = pv_alloc(BYTES);
    pv_buf *b = pv_buf_get(dev, BYTES, 4, 0);
    pv_ticket *ticket[ROUNDS] = {NULL};
    bool ok = b != NULL;
    for (uint32_t r = 0; r < ROUNDS && ok; r++) {
        fill(v, r);
        size_t at = 0, part = 4 * (977 + r);
        for (; at < BYTES; at += part, part = part * 3 + 4) {       /* a few small ones, then larger than a block */
            part = part < BYTES - at ? part : BYTES - at;
            pv_buf_write(b, at, (const char *)v + at, part);
            memset((char *)v + at, 0xee, part);
        }
        ticket[r] = pv_read_begin(b, (BYTES - LATE) / ROUNDS / 4 * 4 * r, LATE);
        ok = ticket[r] && !pv_dev_failed(dev);
    }
    if (ok)
        ok = pv_buf_read(b, 0, v, BYTES) && holds(v, ROUNDS - 1, 0, BYTES / 4);
    for (uint32_t r = 0; r < ROUNDS; r++)
        if (!pv_read_end(&ticket[r], late) || !holds(late, r, (BYTES - LATE) / ROUNDS / 4 * r, LATE / 4))
            ok = false;
    pv_buf_put(&b);
    pv_free(v);
    ok = pv_dev_finish(dev) && ok;
    pv_dev_close(&dev);
    printf(ok ? "all transfers arrived\n" : "transfers went wrong\n");
    return !ok;
}
