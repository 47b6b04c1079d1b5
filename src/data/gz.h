/* SPDX-License-Identifier: Apache-2.0
 * Byte streams of files that may be gzip. Reading tells by the first two bytes, checks lengths and
 * checksums, and takes every file for hostile; writing is told, and appears whole or not at all. */
#ifndef DATA_GZ_H
#define DATA_GZ_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct pv_in pv_in;

/* `cancel` may be NULL; once it is true, reading fails without raising a fault. NULL with
 * PV_FAULT_INPUT. */
pv_in *pv_in_open(const char *path, const atomic_bool *cancel);
/* Exactly n bytes (dst NULL: passed over), else false with PV_FAULT_INPUT naming file and damage. */
bool pv_in_read(pv_in *s, void *dst, uint64_t n);
/* Reads what is left, so that the checksum is looked at. */
bool pv_in_finish(pv_in *s);
/* The file cannot hold more bytes than this, whatever its header says. */
uint64_t pv_in_most(const pv_in *s);
bool pv_in_cancelled(const pv_in *s);
void pv_in_close(pv_in **s);

typedef struct pv_out pv_out;

pv_out *pv_out_open(const char *path, bool gzip, uint64_t bytes);   /* bytes: as pv_outfile_open */
bool pv_out_write(pv_out *o, const void *data, size_t n);           /* raises a fault once */
bool pv_out_commit(pv_out **o);                                     /* as pv_outfile_commit */
void pv_out_cancel(pv_out **o);

#endif
