/* SPDX-License-Identifier: Apache-2.0
 * Prepared volumes in memory, within a budget. What does not fit is read again when it is asked for,
 * and what was used longest ago makes room. All calls are safe from several threads. */
#ifndef DATA_STORE_H
#define DATA_STORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "data/dataset.h"
#include "data/prep.h"

struct pv_store_item {
    int index;                      /* case of the data set */
    bool label;                     /* its label is needed; else it is not even read */
};

struct pv_store_params {
    const struct pv_prep *prep;     /* NULL: "none" */
    struct pv_load load;            /* how files are read; load.read.cancel is not used */
    uint64_t budget;                /* bytes of voxels, with what reading and preparing need; 0: half of
                                       the machine's memory */
    int threads;                    /* that load at the beginning; 0: one per processor */
    /* Called for each volume after it is resampled and cropped and before its intensities and its resolution
     * change, possibly from several threads; may change the label (sparse annotation) but no sizes. May be NULL. */
    void (*edit)(void *user, int index, struct pv_volume *v);
    /* Called from the loading threads, one at a time. May be NULL. */
    void (*progress)(void *user, int done, int total);
    void *user;
};

typedef struct pv_store pv_store;

/* Loads the items in their order until the budget is used up. Keeps `ds`, which must outlive it. NULL
 * with the fault of the first volume that cannot be used, PV_FAULT_INPUT if one alone exceeds the budget,
 * PV_FAULT_STOPPED if pv_stop_requested(). */
pv_store *pv_store_open(const pv_dataset *ds, const struct pv_store_item *items, int n,
                        const struct pv_store_params *params);
/* No volume may be held and no pv_store_get be under way. */
void pv_store_close(pv_store **s);

int pv_store_count(const pv_store *s);
int pv_store_case(const pv_store *s, int i);            /* index of item i in the data set */
int pv_store_channels(const pv_store *s);

/* Prepared volume of item i, read if necessary; hold it briefly and give it back with pv_store_put. A
 * thread may hold one volume at a time, since it may have to wait for others to give theirs back. NULL
 * with a fault, or without one if *cancel (may be NULL) became true; pv_store_wake lets those who wait
 * see that. */
const struct pv_volume *pv_store_get(pv_store *s, int i, const atomic_bool *cancel);
void pv_store_put(pv_store *s, int i);
void pv_store_wake(pv_store *s);
/* Relation of item i to its files; known once it was loaded. */
bool pv_store_map(pv_store *s, int i, struct pv_prep_map *map);

struct pv_store_stats { uint64_t used, peak, budget, reads, evictions; int resident; };
struct pv_store_stats pv_store_stats(pv_store *s);

#endif
