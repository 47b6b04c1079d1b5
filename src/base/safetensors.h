/* SPDX-License-Identifier: Apache-2.0
 * safetensors files: 8-byte little-endian header length, JSON header, raw little-endian data. Files
 * are treated as hostile: header at most 100 MB, every range inside the file, none overlapping,
 * sizes matching shape and type. */
#ifndef BASE_SAFETENSORS_H
#define BASE_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pv_st_type { PV_ST_F64, PV_ST_F32, PV_ST_F16, PV_ST_BF16, PV_ST_I64, PV_ST_I32, PV_ST_I16,
                  PV_ST_I8, PV_ST_U8, PV_ST_BOOL };
size_t pv_st_type_size(enum pv_st_type t);
const char *pv_st_type_name(enum pv_st_type t);       /* "F32" */

struct pv_st_tensor {
    char *name;
    enum pv_st_type type;
    int ndim;
    int64_t shape[8];
    uint64_t offset, bytes;                           /* offset from the start of the data part */
};

/* ---- reading: the header is held, data are read on demand ---- */
typedef struct pv_st_file pv_st_file;
pv_st_file *pv_st_open(const char *path);             /* PV_FAULT_INPUT with file and reason */
void pv_st_close(pv_st_file **f);
size_t pv_st_count(const pv_st_file *f);
const struct pv_st_tensor *pv_st_at(const pv_st_file *f, size_t i);
const struct pv_st_tensor *pv_st_find(const pv_st_file *f, const char *name);   /* NULL if absent */
int64_t pv_st_len(const struct pv_st_tensor *t);      /* elements */
const char *pv_st_meta(const pv_st_file *f, const char *key);                   /* NULL if absent */
const char *pv_st_path(const pv_st_file *f);
bool pv_st_read_raw(pv_st_file *f, const struct pv_st_tensor *t, void *dst);    /* t->bytes bytes */
/* Any numeric type converted to float / double / int32 (int32: PV_FAULT_INPUT if out of range). */
bool pv_st_read_f32(pv_st_file *f, const struct pv_st_tensor *t, float *dst);
bool pv_st_read_f64(pv_st_file *f, const struct pv_st_tensor *t, double *dst);
bool pv_st_read_i32(pv_st_file *f, const struct pv_st_tensor *t, int32_t *dst);
/* Reads all data. False (PV_FAULT_INPUT) if their checksum is not the one that pv_st_checksum() left in the
 * metadata; true if there is none. */
bool pv_st_verify(pv_st_file *f);

/* ---- writing: names and shapes are collected first, then everything is written at once to a
 * temporary name, synced and renamed. Data pointers are borrowed until pv_st_write returns. ---- */
typedef struct pv_st_writer pv_st_writer;
pv_st_writer *pv_st_writer_new(void);
void pv_st_meta_set(pv_st_writer *w, const char *key, const char *value);
void pv_st_put(pv_st_writer *w, const char *name, enum pv_st_type type, int ndim,
               const int64_t *shape, const void *data);
void pv_st_checksum(pv_st_writer *w);                 /* adds the CRC-32 of what was put so far to the metadata */
bool pv_st_write(pv_st_writer *w, const char *path);  /* false: old file untouched */
void pv_st_writer_free(pv_st_writer **w);

/* IEEE half and bfloat16, round to nearest even. */
uint16_t pv_f32_to_f16(float v);
float pv_f16_to_f32(uint16_t h);
uint16_t pv_f32_to_bf16(float v);
float pv_bf16_to_f32(uint16_t h);

#endif
