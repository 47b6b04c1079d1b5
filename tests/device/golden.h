/* SPDX-License-Identifier: Apache-2.0
 * What tests against PyTorch share: the formulas of golden/torchnets.py that fill networks and make batches, reading
 * golden files, comparing. */
#ifndef GOLDEN_H
#define GOLDEN_H

#include <math.h>
#include <stdint.h>

#include "net/net.h"

/* counter(i, seed) in [-1, 1): the top 24 bits of splitmix64. */
double golden_counter(uint64_t i, uint64_t seed);
/* Fills parameter i of a network from counter(seed + i), PyTorch's order (torchnets.fill; seed 100 there). */
void golden_fill(pv_net *n, uint64_t seed);
/* torchnets.batch: image [n][channels][s], label [n][s]; 2D: s[0] is 1. */
void golden_batch(int step, int dims, int n, const int s[3], int classes, int channels, float *image,
                  int32_t *label);

/* Failed comparisons so far; printed by the functions below. */
extern int golden_failures;
void golden_expect(bool ok, const char *what, double got, double want);

pv_st_file *golden_open(const char *name);                      /* $PV_GOLDEN/name; ends the program without it */
/* A tensor of the file (pv_free); ends the program if it is missing. `n` may be NULL. */
double *golden_get(pv_st_file *f, const char *name, int64_t *n);
/* Compares every `stride`-th element of t with the file's tensor: max difference over max value below tol. */
void golden_compare(pv_st_file *f, const char *name, pv_tensor *t, int stride, double tol);
/* Names of all parameters, separated by newlines, against the file's bytes. */
void golden_names(pv_st_file *f, const char *name, const pv_net *n);
/* Norms of all gradients: |a - b| <= tol b + least * largest, because the bias of a convolution in front of a
 * normalisation has a gradient that is zero but for rounding. A parameter without gradient counts as -1. */
void golden_grad_norms(pv_st_file *f, const char *name, const pv_net *n, double tol, double least);
/* The first two elements of every running mean and variance, without the map head of DIM's first level, which is not
 * computed. */
void golden_running(pv_st_file *f, const char *name, const pv_net *n, double tol);

#endif
