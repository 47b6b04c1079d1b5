/* SPDX-License-Identifier: Apache-2.0
 * The list of methods. */
#include "method/method.h"

extern const struct pv_method pv_method_sup, pv_method_mt;
extern const struct pv_method pv_method_ducisc;
extern const struct pv_method pv_method_mfcons;
extern const struct pv_method pv_method_cce, pv_method_mcf;
extern const struct pv_method pv_method_uamt, pv_method_cps, pv_method_ict;
extern const struct pv_method pv_method_cpcl;
extern const struct pv_method pv_method_dtc;
extern const struct pv_method pv_method_fixmatch;
extern const struct pv_method pv_method_acmt;
extern const struct pv_method pv_method_bcp;
extern const struct pv_method pv_method_crln;
extern const struct pv_method pv_method_mper;

const struct pv_method *const pv_methods[] = {
    &pv_method_sup,
    &pv_method_mt,
    &pv_method_ducisc,
    &pv_method_mfcons,
    &pv_method_cce,
    &pv_method_mcf,
    &pv_method_uamt,
    &pv_method_cps,
    &pv_method_ict,
    &pv_method_cpcl,
    &pv_method_dtc,
    &pv_method_fixmatch,
    &pv_method_acmt,
    &pv_method_bcp,
    &pv_method_crln,
    &pv_method_mper,
    NULL,
};
