/* SPDX-License-Identifier: Apache-2.0
 * The folders of .h5 files that the public PyTorch code reads: one folder that holds ID.h5, ID_norm.h5
 * or ID/mri_norm2.h5, where ID stands in the lists. */
#include <stdlib.h>
#include <string.h>

#include "data/dataset_impl.h"
#include "platform/platform.h"

static const struct form {
    const char *folder, *ending;
} forms[] = {
    {"2018LA_Seg_Training Set", "/mri_norm2.h5"},
    {"2018LA_Seg_TrainingSet", "/mri_norm2.h5"},
    {"Pancreas_h5", "_norm.h5"},
    {"Pancreas_h5", ".h5"},
    {"Nurves_h5", ".h5"},
    {"data", "/mri_norm2.h5"},
    {"data", ".h5"},
};

/* Cases of one form in the order of the folder; f NULL only looks whether there is one. */
static bool collect(const char *dir, const struct form *form, struct found *f)
{
    char *folder = pv_path_join(dir, form->folder), **names;
    size_t n;
    bool any = false, in_folder = form->ending[0] == '/';
    if (pv_is_dir(folder) && pv_list_dir(folder, &names, &n)) {
        for (size_t i = 0; i < n; i++) {
            const char *name = names[i];
            char *file = pv_asprintf("%s/%s%s", folder, name, in_folder ? form->ending : "");
            size_t ending = in_folder ? 0 : strlen(form->ending);
            bool fits = in_folder ? pv_file_exists(file) : pv_ends(name, form->ending);
            if (name[0] != '.' && name[0] != '_' && fits) {
                char *id = pv_asprintf("%.*s", (int)(strlen(name) - ending), name);
                any = true;
                if (f) {
                    struct pv_case *c = found_add(f, id, PV_TRAIN);
                    case_add_image(c, file);
                    c->label = pv_strdup(file);
                }
                pv_free(id);
            }
            pv_free(file);
            free(names[i]);
        }
        free(names);
    }
    pv_free(folder);
    return any;
}

static bool is_h5(const char *dir)
{
    for (size_t i = 0; i < PV_COUNT(forms); i++)
        if (collect(dir, &forms[i], NULL))
            return true;
    return false;
}

static bool scan(pv_dataset *ds, const struct pv_dataset_params *p, struct found *f)
{
    for (size_t i = 0; i < PV_COUNT(forms); i++)
        if (collect(ds->dir, &forms[i], f))
            break;
    struct pv_volume v;
    if (!pv_volume_info(f->v[0].images[0], PV_IMAGE, NULL, &v))
        return false;
    ds->channels = v.channels;
    ds->channel_names = pv_array(char *, v.channels);
    for (int c = 0; c < v.channels; c++)
        ds->channel_names[c] = v.channels == 1 ? pv_strdup("image") : pv_asprintf("image%d", c);
    return classes_by_number(ds, p->num_classes ? p->num_classes : 2, p->ignore);
}

const struct pv_layout pv_layout_h5 = {.name = "h5", .fits = is_h5, .scan = scan};
