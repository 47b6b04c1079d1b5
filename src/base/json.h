/* SPDX-License-Identifier: Apache-2.0
 * JSON on top of cJSON, with what configuration and metrics files need. Reading accepts NaN,
 * Infinity and -Infinity (nnU-Net's summary.json has them); they become numbers. Writing prints
 * them as null. At most 200 levels and 4 million values. Of keys that a file repeats, getters see
 * the first. A pv_json is a node of a tree; freeing the root frees all. Adding moves ownership into
 * the parent. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct cJSON pv_json;

pv_json *pv_json_parse(const char *text, const char *name);   /* PV_FAULT_INPUT with name, line */
pv_json *pv_json_read(const char *path);                      /* the same, from a file */
bool  pv_json_write(const char *path, const pv_json *j);      /* indented, by pv_write_file */
char *pv_json_text(const pv_json *j, bool indented);          /* pv_free it */
void  pv_json_free(pv_json *j);

pv_json *pv_json_object(void);
pv_json *pv_json_array(void);
pv_json *pv_json_copy(const pv_json *j);

/* Setters replace an existing key. Numbers that are whole print without a fraction. */
void pv_json_set(pv_json *obj, const char *key, pv_json *value);
void pv_json_set_str(pv_json *obj, const char *key, const char *v);
void pv_json_set_num(pv_json *obj, const char *key, double v);
void pv_json_set_bool(pv_json *obj, const char *key, bool v);
void pv_json_add(pv_json *arr, pv_json *value);
void pv_json_add_str(pv_json *arr, const char *v);
void pv_json_add_num(pv_json *arr, double v);
void pv_json_remove(pv_json *obj, const char *key);

/* Getters return the default if the key is absent or of another type. Strings stay the tree's. */
pv_json *pv_json_get(const pv_json *obj, const char *key);    /* NULL if absent */
const char *pv_json_str(const pv_json *obj, const char *key, const char *def);
double pv_json_num(const pv_json *obj, const char *key, double def);
bool   pv_json_flag(const pv_json *obj, const char *key, bool def);
bool pv_json_is_object(const pv_json *j);
bool pv_json_is_array(const pv_json *j);
bool pv_json_is_string(const pv_json *j);
bool pv_json_is_number(const pv_json *j);
const char *pv_json_string_value(const pv_json *j);           /* NULL if not a string */
double pv_json_number_value(const pv_json *j);                /* NaN if not a number */
size_t pv_json_count(const pv_json *j);                       /* members of an object or array */
pv_json *pv_json_at(const pv_json *j, size_t i);              /* member i, NULL past the end */
const char *pv_json_key_at(const pv_json *obj, size_t i);
/* pv_json_at() counts from the start every time. Loop with
 * for (const pv_json *c = pv_json_at(j, 0); c; c = pv_json_next(c)). */
pv_json *pv_json_next(const pv_json *member);
const char *pv_json_key(const pv_json *member);               /* its key; NULL in an array */

/* Dotted path "optim.lr"; intermediate objects are made by set. The text becomes a number, true,
 * false, null or JSON if it parses as such, else a string. False with PV_FAULT_USAGE if a part is
 * no object. */
pv_json *pv_json_path(const pv_json *obj, const char *path);
bool pv_json_path_set(pv_json *obj, const char *path, const char *text);
/* Every member of `over` into `base`, objects recursively. */
void pv_json_merge(pv_json *base, const pv_json *over);

#endif
