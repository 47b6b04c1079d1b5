/* SPDX-License-Identifier: Apache-2.0
 * Writes a data set of phantoms for the end-to-end tests:
 *     e2e_phantoms nnunet|h5 DIR XxYxZ TRAIN TEST SEED
 * nnunet: as pv_phantom_write(). h5: DIR/data/CASE/mri_norm2.h5 with train.list and test.list. */
#include <stdio.h>

#include "base/base.h"
#include "data/file.h"
#include "data/phantom.h"
#include "platform/platform.h"

static bool write_h5(const char *dir, const int num[2], const int size[3], uint64_t seed)
{
    bool ok = true;
    for (int part = 0, i = 0; ok && part < 2; part++) {
        struct pv_str list = {0};
        for (int k = 0; ok && k < num[part]; k++, i++) {
            char *folder = pv_asprintf("%s/data/phantom_%03d", dir, i), *file = pv_path_join(folder, "mri_norm2.h5");
            struct pv_volume v;
            ok = pv_mkdirs(folder) && pv_phantom_make(seed, i, size, &v);
            if (ok) {
                ok = pv_volume_write(file, PV_IMAGE | PV_LABEL, &v);
                pv_volume_free(&v);
            }
            pv_str_addf(&list, "phantom_%03d\n", i);
            pv_free(folder);
            pv_free(file);
        }
        char *path = pv_path_join(dir, part ? "test.list" : "train.list");
        ok = ok && pv_write_file(path, list.text, list.len);
        pv_free(path);
        pv_str_free(&list);
    }
    return ok;
}

int main(int argc, char **argv)
{
    int size[3];
    int64_t train, test, seed;
    if (argc != 7 || !pv_parse_shape(argv[3], size) || !pv_parse_i64(argv[4], &train) ||
        !pv_parse_i64(argv[5], &test) || !pv_parse_i64(argv[6], &seed)) {
        fprintf(stderr, "usage: e2e_phantoms nnunet|h5 DIR XxYxZ TRAIN TEST SEED\n");
        return PV_FAULT_USAGE;
    }
    bool h5 = pv_streq(argv[1], "h5");
    bool ok = h5 ? write_h5(argv[2], (int[]){(int)train, (int)test}, size, (uint64_t)seed)
                 : pv_phantom_write(argv[2], (int)train, (int)test, size, (uint64_t)seed);
    return ok ? 0 : (int)pv_fault_kind();
}
