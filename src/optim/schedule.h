/* SPDX-License-Identifier: Apache-2.0
 * Learning rates and loss weights over iterations, as plain functions. `it` counts iterations from 0. */
#ifndef OPTIM_SCHEDULE_H
#define OPTIM_SCHEDULE_H

#include <stdint.h>

/* ---- learning rates ---- */
/* lr. DuCiSC, BCP on ACDC. */
double pv_lr_constant(double lr);
/* lr * factor^(it / every), whole steps: UA-MT and its relatives with 0.1 every 2,500; torch StepLR. */
double pv_lr_step(double lr, int64_t it, int64_t every, double factor);
/* lr * (1 - it / total)^power, 0 from `total` on: MF-ConS, SSL4MIS with power 0.9; torch PolynomialLR. */
double pv_lr_poly(double lr, int64_t it, int64_t total, double power);
/* The same in steps of an epoch of `epoch` iterations, at least `floor`: max(lr * (1 - (it / epoch) / epochs)^
 * power, floor), epochs = total / epoch. CRLN's code with 200 iterations an epoch, power 0.9, floor 1e-6. */
double pv_lr_poly_epoch(double lr, int64_t it, int64_t epoch, int64_t total, double power, double floor);

/* ---- weights ---- */
/* exp(-5 (1 - clip(t, 0, T) / T)^2), from e^-5 to 1; 1 if T <= 0. Laine and Aila, 2017; UA-MT's ramps. */
double pv_ramp_gauss(double t, double T);
/* pv_ramp_gauss(it / unit, T) in whole units: UA-MT and most of its relatives with unit 150, T 40. */
double pv_ramp_gauss_steps(int64_t it, double T, double unit);
/* clip(t / T, 0, 1); 1 if T <= 0. */
double pv_ramp_linear(double t, double T);

/* ---- teachers ---- */
/* min(1 - 1 / (it + 1), alpha): it 0 copies the student. Mean teacher's warm-up. */
double pv_ema_alpha(int64_t it, double alpha);

#endif
