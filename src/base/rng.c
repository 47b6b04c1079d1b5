/* SPDX-License-Identifier: Apache-2.0
 * Philox4x32-10 (J. Salmon, M. Moraes, R. Dror, D. Shaw: Parallel random numbers: as easy as 1, 2,
 * 3, SC'11), and distributions on top: Box-Muller; Lemire's unbiased range (arXiv 1805.10941); beta
 * as a ratio of gammas by Marsaglia and Tsang (ACM TOMS 26, 2000), kept in logarithms for small
 * parameters. */
#include "base/rng.h"

#include <math.h>

#include "base/hash.h"

static void mul(uint32_t a, uint32_t b, uint32_t *hi, uint32_t *lo)
{
    uint64_t p = (uint64_t)a * b;
    *hi = (uint32_t)(p >> 32);
    *lo = (uint32_t)p;
}

void pv_philox(uint32_t out[4], const uint32_t ctr[4], const uint32_t key[2])
{
    uint32_t c0 = ctr[0], c1 = ctr[1], c2 = ctr[2], c3 = ctr[3], k0 = key[0], k1 = key[1];
    for (int i = 0; i < 10; i++) {
        uint32_t h0, l0, h1, l1;
        mul(0xD2511F53u, c0, &h0, &l0);
        mul(0xCD9E8D57u, c2, &h1, &l1);
        c0 = h1 ^ c1 ^ k0;
        c1 = l1;
        c2 = h0 ^ c3 ^ k1;
        c3 = l0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

struct pv_rng pv_rng_make(uint64_t seed, uint64_t stream)
{
    return (struct pv_rng){.key = {(uint32_t)seed, (uint32_t)(seed >> 32)},
                           .stream = {(uint32_t)stream, (uint32_t)(stream >> 32)}};
}

/* FNV leaves neighbours close together; the finaliser of splitmix64 spreads them. */
uint64_t pv_stream(const char *purpose, uint64_t a, uint64_t b)
{
    uint64_t h = pv_hash_u64(pv_hash_u64(pv_hash_str(PV_HASH_START, purpose), a), b);
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9ull;
    h = (h ^ (h >> 27)) * 0x94d049bb133111ebull;
    return h ^ (h >> 31);
}

/* Number n of the sequence: lane n % 4 of counter (n / 4, stream). */
uint32_t pv_rng_u32(struct pv_rng *r)
{
    uint64_t block = r->n / 4;
    const uint32_t ctr[4] = {(uint32_t)block, (uint32_t)(block >> 32), r->stream[0], r->stream[1]};
    uint32_t out[4];
    pv_philox(out, ctr, r->key);
    return out[r->n++ % 4];
}

double pv_rng_uniform(struct pv_rng *r)
{
    return pv_rng_u32(r) * 0x1p-32;
}

/* (0, 1], for logarithms */
static double positive(struct pv_rng *r)
{
    return (pv_rng_u32(r) + 1.0) * 0x1p-32;
}

double pv_rng_normal(struct pv_rng *r)
{
    const double two_pi = 6.283185307179586476925;
    double radius = sqrt(-2 * log(positive(r)));
    return radius * cos(two_pi * pv_rng_uniform(r));
}

uint32_t pv_rng_below(struct pv_rng *r, uint32_t n)
{
    uint64_t m = (uint64_t)pv_rng_u32(r) * n;
    if ((uint32_t)m < n) {
        uint32_t reject = (0u - n) % n;     /* 2^32 mod n */
        while ((uint32_t)m < reject)
            m = (uint64_t)pv_rng_u32(r) * n;
    }
    return (uint32_t)(m >> 32);
}

/* Logarithm of a gamma variate of shape a. */
static double log_gamma_variate(struct pv_rng *r, double a)
{
    double boost = 0;
    if (a < 1) {
        boost = log(positive(r)) / a;
        a += 1;
    }
    double d = a - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        double x = pv_rng_normal(r), v = 1 + c * x;
        double u = positive(r);
        if (v <= 0)
            continue;
        v = v * v * v;
        if (log(u) < 0.5 * x * x + d - d * v + d * log(v))
            return log(d * v) + boost;
    }
}

double pv_rng_beta(struct pv_rng *r, double a, double b)
{
    double x = log_gamma_variate(r, a);
    double y = log_gamma_variate(r, b);
    return 1 / (1 + exp(y - x));
}

void pv_rng_shuffle(struct pv_rng *r, int *v, int n)
{
    for (int i = n - 1; i > 0; i--) {
        int j = (int)pv_rng_below(r, (uint32_t)i + 1);
        int t = v[i];
        v[i] = v[j];
        v[j] = t;
    }
}
