/* SPDX-License-Identifier: Apache-2.0
 * A file that appears whole or not at all: written under a temporary name in the same folder,
 * synced, renamed. For writers that cannot hold all of it in memory; pv_write_file() is this for
 * one block. */
#ifndef BASE_OUTFILE_H
#define BASE_OUTFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct pv_outfile pv_outfile;

/* `bytes`: expected size for the message when the disk is full, 0 if unknown. NULL with
 * PV_FAULT_INPUT. */
pv_outfile *pv_outfile_open(const char *path, uint64_t bytes);
/* Before long work: whether `path` can be written, as far as that shows. False with PV_FAULT_INPUT. Leaves nothing. */
bool pv_outfile_possible(const char *path);
/* The first failure raises PV_FAULT_INPUT with file, reason and remedy; later calls fail
 * silently. */
bool pv_outfile_write(pv_outfile *o, const void *data, size_t n);
/* Frees. True: `path` has the new content, also after a power cut. False (fault raised here or by
 * an earlier write): the old file is as it was and the temporary one is gone. */
bool pv_outfile_commit(pv_outfile **o);
void pv_outfile_cancel(pv_outfile **o);     /* drops what was written; NULL safe */

#endif
