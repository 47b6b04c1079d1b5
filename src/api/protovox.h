/* SPDX-License-Identifier: Apache-2.0
 * protovox as a C library: trains semi-supervised 3D segmentation on OpenCL and Vulkan devices, and labels volumes
 * with trained runs.
 *
 * Handles are opaque, configuration is JSON, paths and texts are UTF-8. Functions that fail return NULL or false (or
 * PV_FAILED) and leave the reason in pv_error(); nothing is printed unless the context asks for it. A device and
 * what was opened on it belong to one thread at a time; different devices may be used by different threads. Close
 * trainings and predictors before their device, devices before their context. A process that runs out of host memory
 * for small things is ended with a message.
 *
 * Volumes in arrays are [channel][x][y][z] with z contiguous, as in nibabel and in the .h5 files of the public code. */
#ifndef PROTOVOX_H
#define PROTOVOX_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32) && defined(PROTOVOX_BUILD)
#define PV_API __declspec(dllexport)
#elif defined(__GNUC__)
#define PV_API __attribute__((visibility("default")))
#else
#define PV_API
#endif

#define PROTOVOX_API 1                          /* grows with every incompatible change of this header */

PV_API const char *pv_version(void);            /* "0.1.0" */

/* ---- errors ---- */
enum pv_error_kind {
    PV_ERROR_NONE = 0,
    PV_ERROR_INTERNAL = 1,      /* a bug of the library */
    PV_ERROR_USAGE = 2,         /* wrong argument, setting or name */
    PV_ERROR_INPUT = 3,         /* unusable file or data */
    PV_ERROR_DEVICE = 4,        /* no device, driver error, out of device memory */
    PV_ERROR_STOPPED = 130      /* a callback said stop */
};
/* Of the last call in this thread that failed: what happened and what to do about it; "" if none did. The text is
 * valid until this thread's next failure. */
PV_API const char *pv_error(void);
PV_API enum pv_error_kind pv_error_code(void);

PV_API void pv_string_free(char *text);         /* texts that functions below return; NULL safe */

/* ---- context ----
 * The log is the process's: one context at a time may have a log function or a level. `json` may be NULL:
 *   {"log": "none"}        lines on stderr: none (default), error, warning, info */
typedef struct pv_context pv_context;
/* level: 0 error, 1 warning, 2 information. Called by any thread, one at a time; must not call the library. */
typedef void (*pv_log_function)(void *user, int level, const char *line);
PV_API pv_context *pv_context_new(const char *json, pv_log_function log, void *user);
PV_API void pv_context_free(pv_context **c);    /* sets NULL; NULL safe, as all frees and closes */

/* ---- devices ---- */
/* A JSON object: "devices", a list with the id ("opencl:0"), name, driver, type, limits of each, and "missing", a text
 * that says which loader or driver is absent and how to get it ("" if none is). pv_string_free it. */
PV_API char *pv_devices(pv_context *c);
typedef struct pv_device pv_device;
/* name: "opencl:0", "vulkan:0", part of a device's name, or "auto" (also NULL). "ref:0" is plain C, for checks only. */
PV_API pv_device *pv_device_open(pv_context *c, const char *name);
PV_API const char *pv_device_id(const pv_device *d);
PV_API void pv_device_close(pv_device **d);     /* waits for its work */

/* ---- training ----
 *   {"data": "DIR", "out": "RUN",          data set (nnU-Net folder or .h5 folders), run folder; both needed
 *    "preset": "auto", "method": "mt", "net": "vnet", "labeled": 8, "iters": 6000, "batch": 2, "seed": 1337,
 *    "patch": [112, 112, 80],              as the options of `protovox train`; left out: the preset's
 *    "lists": "DIR", "init": "weights.safetensors", "stop_after": 0, "resume": false, "overwrite": false,
 *    "settings": {"optim": {"lr": 0.005}}} what --set sets
 * With "resume" the run in "out" goes on from its last checkpoint; its settings stand in its config.json, and only
 * "data", "lists", "out" and "stop_after" are looked at. */
typedef struct pv_training pv_training;
/* Called after every step with the steps done and the steps of the whole run; false cancels. May be NULL. */
typedef bool (*pv_progress_function)(void *user, int64_t done, int64_t total);
/* Reads the volumes and makes the networks. The device stays the caller's. */
PV_API pv_training *pv_training_open(pv_device *d, const char *json, pv_progress_function progress, void *user);

enum pv_state {
    PV_MORE = 0,                /* there are steps left */
    PV_DONE = 1,                /* the last step (or stop_after) was done; final (latest) weights are written */
    PV_CANCELLED = 2,           /* progress said stop; a checkpoint is written, stepping again goes on */
    PV_FAILED = 3               /* pv_error() says why */
};
/* At most `steps` steps, with the checkpoints and validations that fall due; steps <= 0: all that are left. */
PV_API enum pv_state pv_training_step(pv_training *t, int64_t steps);
PV_API int64_t pv_training_done(const pv_training *t);
PV_API int64_t pv_training_total(const pv_training *t);
/* The newest value of a column of metrics.csv, such as "loss", and the step (from 1) it belongs to. Values come up to
 * twelve steps late, because nothing in a step waits for the device. False, without an error, if there is none yet. */
PV_API bool pv_training_value(const pv_training *t, const char *name, double *value, int64_t *step);
/* Without a checkpoint: steps since the last one are lost. Cancel, or let stop_after end the run, to keep them. */
PV_API void pv_training_close(pv_training **t);

/* ---- prediction ----
 *   {"run": "RUN" or ["RUN1", "RUN2"],     several runs form an ensemble
 *    "weights": "best",                    or final, latest; left out: the first of these that there is
 *    "stride": [18, 18, 4], "batch": 4, "mirror": "xyz", "gaussian": true, "largest": 26} left out: the run's */
typedef struct pv_predictor pv_predictor;
PV_API pv_predictor *pv_predictor_open(pv_device *d, const char *json);
/* Called after every few windows of the sliding window; false stops with PV_ERROR_STOPPED. May be NULL. */
PV_API void pv_predictor_progress(pv_predictor *p, pv_progress_function progress, void *user);
PV_API int pv_predictor_channels(const pv_predictor *p);
PV_API int pv_predictor_classes(const pv_predictor *p);        /* the background, 0, included */
/* Image file (.nii, .nii.gz, .h5; CASE_0000 with its further channels) to label file with the input's geometry. */
PV_API bool pv_predict_file(pv_predictor *p, const char *input, const char *output);
/* image [channels][x][y][z] with sides `size` in voxels and `spacing` in mm (NULL: 1) to label [x][y][z] and, if prob
 * is not NULL, prob [classes][x][y][z]. All arrays are the caller's. */
PV_API bool pv_predict_array(pv_predictor *p, const float *image, const int size[3], const double spacing[3],
                             uint8_t *label, float *prob);
PV_API void pv_predictor_close(pv_predictor **p);

/* ---- weights and made-up data ---- */
/* Writes the weights of a run's network (NULL: its first) as a flat safetensors file with the names of the public
 * PyTorch code. */
PV_API bool pv_weights_export(pv_device *d, const char *run, const char *network, const char *path);
/* An nnU-Net folder of made-up volumes with lesions: training cases first, then test cases, all with labels. */
PV_API bool pv_phantoms_make(const char *dir, int train, int test, const int size[3], uint64_t seed);

#ifdef __cplusplus
}
#endif

#endif
