/* SPDX-License-Identifier: Apache-2.0
 * Counter-based random numbers, Philox4x32-10 (Salmon et al., SC'11). A number depends only on
 * (seed, stream, counter): never on thread, rank or launch order. The same function exists in
 * kernels_cl/common/philox.h and shaders/common/philox.glsl; tests compare all three. */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

/* out[4] = Philox4x32-10 of counter ctr[4] under key[2]. */
void pv_philox(uint32_t out[4], const uint32_t ctr[4], const uint32_t key[2]);

/* A sequence for host-side choices (crops, shuffles). Copyable; its state is `n` alone once
 * made. */
struct pv_rng { uint32_t key[2], stream[2]; uint64_t n; };

/* `seed` is the run's seed; `stream` names the purpose, e.g. pv_stream("crop", sample, step). */
struct pv_rng pv_rng_make(uint64_t seed, uint64_t stream);
uint64_t pv_stream(const char *purpose, uint64_t a, uint64_t b);

uint32_t pv_rng_u32(struct pv_rng *r);
double pv_rng_uniform(struct pv_rng *r);                /* [0, 1), 32 bits */
double pv_rng_normal(struct pv_rng *r);                 /* Box-Muller, two numbers drawn per call */
uint32_t pv_rng_below(struct pv_rng *r, uint32_t n);    /* unbiased in [0, n), n >= 1 */
double pv_rng_beta(struct pv_rng *r, double a, double b);
void pv_rng_shuffle(struct pv_rng *r, int *v, int n);   /* Fisher-Yates */

#endif
