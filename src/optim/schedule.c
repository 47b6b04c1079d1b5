/* SPDX-License-Identifier: Apache-2.0
 * Schedules. */
#include "optim/schedule.h"

#include <math.h>

static double clip01(double v) { return v < 0 ? 0 : v > 1 ? 1 : v; }

double pv_lr_constant(double lr) { return lr; }

double pv_lr_step(double lr, int64_t it, int64_t every, double factor)
{
    return every > 0 ? lr * pow(factor, (double)(it / every)) : lr;
}

double pv_lr_poly(double lr, int64_t it, int64_t total, double power)
{
    return total > 0 ? lr * pow(1 - clip01((double)it / (double)total), power) : lr;
}

double pv_lr_poly_epoch(double lr, int64_t it, int64_t epoch, int64_t total, double power, double floor)
{
    if (epoch < 1)
        epoch = 1;
    double epochs = (double)total / (double)epoch;
    double v = epochs > 0 ? lr * pow(1 - clip01((double)(it / epoch) / epochs), power) : lr;
    return v > floor ? v : floor;
}

double pv_ramp_gauss(double t, double T)
{
    double left = T > 0 ? 1 - clip01(t / T) : 0;
    return exp(-5 * left * left);
}

double pv_ramp_gauss_steps(int64_t it, double T, double unit)
{
    return pv_ramp_gauss(unit > 0 ? floor((double)it / unit) : (double)it, T);
}

double pv_ramp_linear(double t, double T) { return T > 0 ? clip01(t / T) : 1; }

double pv_ema_alpha(int64_t it, double alpha)
{
    double warm = 1 - 1 / ((double)it + 1);
    return warm < alpha ? warm : alpha;
}
