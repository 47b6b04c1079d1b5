/* SPDX-License-Identifier: Apache-2.0
 * What the files behind protovox.h share. */
#ifndef API_API_H
#define API_API_H

#include "api/protovox.h"
#include "base/json.h"
#include "dev/dev.h"

struct pv_context { pv_log_function log; void *user; };
struct pv_device { pv_dev *dev; };

/* Around every call: begin forgets what was raised before, end keeps the fault for pv_error(). Returns ok. */
void pv_api_begin(void);
bool pv_api_end(bool ok);

/* Parses an object and refuses keys that are not in the list (ended by NULL). NULL after a fault; `json` NULL: {}. */
pv_json *pv_api_config(const char *json, const char *what, const char *const *keys);
/* Three sizes from a list; absent: zeros. False after a fault. */
bool pv_api_shape(const pv_json *c, const char *key, int out[3]);

/* One device as `protovox devices --json` shows it. */
pv_json *pv_device_json(const struct pv_dev_info *d);
const char *pv_device_kernels(enum pv_dev_class c);     /* what its kernels are like, in words */

#endif
