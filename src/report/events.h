/* SPDX-License-Identifier: Apache-2.0
 * TensorBoard event files: scalars only.
 *
 * A file is a sequence of TFRecords: length (u64, little endian), masked CRC-32C of these 8 bytes, data,
 * masked CRC-32C of the data. The data are protocol buffer messages `Event` { 1: wall_time (double),
 * 2: step (int64), 3: file_version (string), 5: summary { 1: value { 1: tag, 2: simple_value (float) } } };
 * the first event of a file says "brain.Event:2". */
#ifndef REPORT_EVENTS_H
#define REPORT_EVENTS_H

#include "base/base.h"

typedef struct pv_events pv_events;

/* Writes into "events.out.tfevents.SECONDS.protovox" in the folder `dir`, which must exist; the name holds
 * no host. With resume_step < 0 a new file is begun. Otherwise every file of ours in the folder is cut at its
 * first event with a step beyond resume_step (or at the first damaged record: a crash leaves one), and the
 * last of them is continued; without any a new one is begun. Files of others are left alone.
 * NULL with PV_FAULT_INPUT naming the file. */
pv_events *pv_events_open(const char *dir, int64_t resume_step);
/* One event with the scalars tag[i] = value[i]; values beyond float become infinite. Handed to the system at
 * once, so that a viewer sees it and a killed process loses nothing. The first failure raises
 * PV_FAULT_INPUT, later calls only return false. */
bool pv_events_scalars(pv_events *e, int64_t step, const char *const *tag, const double *value, size_t n);
bool pv_events_scalar(pv_events *e, int64_t step, const char *tag, double value);
const char *pv_events_path(const pv_events *e);
/* Syncs and frees; false if anything could not be written. NULL safe (true). */
bool pv_events_close(pv_events **e);

/* CRC-32C (Castagnoli: reflected polynomial 0x82F63B78), and the form that TFRecords store. */
uint32_t pv_crc32c(const void *data, size_t n);
uint32_t pv_crc32c_masked(const void *data, size_t n);

#endif
