/* SPDX-License-Identifier: Apache-2.0
 * protovox convert: weights from and to PyTorch's state dicts, data sets from one layout to another. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "data/convert.h"
#include "platform/platform.h"
#include "train/config.h"
#include "train/infer.h"
#include "train/weights.h"

extern const struct pv_command pv_cmd_convert;

struct args {
    const char *export, *run, *network, *weights;   /* weights out */
    const char *import, *net, *preset;              /* weights in */
    struct pv_strs sets;
    const char *data, *to, *layout, *lists, *spacing;
    int64_t classes, ignore;
    bool zyx, ras, zero, copy, overwrite, quiet;
    const char *out;
};

/* ---- weights ----
 * On the reference device: nothing is computed, and no driver is needed. */

static bool export_weights(const struct args *a, pv_dev *dev)
{
    if (!a->run)
        return pv_fail(PV_FAULT_USAGE, "convert --export needs --run");
    if (!pv_ends(a->export, ".safetensors"))
        return pv_fail(PV_FAULT_USAGE, "--export writes a .safetensors file, not %s", a->export);
    struct pv_model *m = pv_model_open(dev, a->run, a->weights);
    bool ok = m && pv_weights_write(m->run, a->network, a->export);
    if (ok) {
        struct pv_str others = {0};
        for (int i = 0; i < m->run->num_nets; i++)
            pv_str_addf(&others, "%s%s", i ? ", " : "", m->run->nets[i].name);
        pv_info("%s: %s of %s after %lld iterations (networks: %s)", a->export,
                a->network ? a->network : m->run->nets[0].name, m->weights, (long long)m->steps, others.text);
        pv_str_free(&others);
    }
    pv_model_free(&m);
    return ok;
}

static bool import_weights(const struct args *a, pv_dev *dev)
{
    if (!a->out)
        return pv_fail(PV_FAULT_USAGE, "convert --import needs --out, the run folder to make");
    if (!pv_ends(a->import, ".safetensors"))
        return pv_fail(PV_FAULT_USAGE, "%s: weights come in as .safetensors; in Python: safetensors.torch.save_file("
                       "torch.load(\"%s\"), \"weights.safetensors\")", a->import, pv_path_base(a->import));
    struct pv_config_args ca = {.preset = a->preset, .method = "sup", .net = a->net, .labeled = -1, .iters = -1,
        .batch = -1, .seed = -1, .sets = (const char *const *)a->sets.v, .num_sets = a->sets.n};
    pv_json *config = pv_config_resolve(&ca);
    bool ok = config && pv_weights_fit(dev, config, a->import) && pv_config_check(config, a->import) &&
              pv_weights_to_run(dev, config, a->import, a->out, a->overwrite);
    if (ok) {
        const pv_json *net = pv_json_get(config, "net");
        pv_info("%s: %s with %g filters, %g channels, %g classes from %s", a->out, pv_json_str(net, "name", ""),
                pv_json_num(net, "filters", 0), pv_json_num(net, "channels", 0), pv_json_num(net, "classes", 0),
                a->import);
    }
    pv_json_free(config);
    return ok;
}

/* ---- data ---- */

static void show(void *user, int done, int total, const char *id)
{
    if (!*(bool *)user && pv_is_tty(stderr)) {
        fprintf(stderr, "\r\033[Kcase %d/%d: %s", done + 1, total, id);
        if (done + 1 == total)
            fprintf(stderr, "\r\033[K");
        fflush(stderr);
    }
}

static bool parse_spacing(const char *text, double out[3])
{
    struct pv_strs parts = {0};
    pv_strs_split(&parts, text, ",x");
    bool ok = parts.n == 3;
    for (size_t i = 0; ok && i < 3; i++)
        ok = pv_parse_f64(parts.v[i], &out[i]) && out[i] > 0 && out[i] < 1e4;
    pv_strs_free(&parts);
    return ok || pv_fail(PV_FAULT_USAGE, "--spacing takes mm along x, y, z such as 0.625x0.625x0.625, not '%s'", text);
}

static bool convert_data(struct args *a)
{
    if (!a->to || !a->out)
        return pv_fail(PV_FAULT_USAGE, "convert --data needs --to nifti|h5 and --out");
    struct pv_dataset_params p = {.num_classes = (int)a->classes, .ignore = (int)a->ignore, .fold = -1,
                                  .lists = a->lists};
    struct pv_convert how = {.to = a->to, .layout = a->layout, .overwrite = a->overwrite, .progress = show,
        .user = &a->quiet,
        .load = {.copy_geometry = a->copy, .read = {.ras = a->ras, .zyx = a->zyx, .bad_to_zero = a->zero}}};
    if (a->spacing && !parse_spacing(a->spacing, how.spacing))
        return false;
    pv_stop_install();
    pv_dataset *ds = pv_dataset_open(a->data, &p);
    bool ok = ds && pv_dataset_convert(ds, a->out, &how);
    if (ok)
        pv_info("%s: %d training, %d validation and %d test cases", a->out, ds->num_split[PV_TRAIN],
                ds->num_split[PV_VAL], ds->num_split[PV_TEST]);
    pv_dataset_free(&ds);
    return ok;
}

static int run(int argc, char **argv)
{
    struct args a = {0};
    const struct pv_opt opts[] = {
        {"export", PV_OPT_STR, &a.export, "F", "write weights: flat .safetensors with the public PyTorch names"},
        {"run", PV_OPT_STR, &a.run, "RUN", "run whose weights are exported"},
        {"network", PV_OPT_STR, &a.network, "NAME", "which of its networks (default: the first)"},
        {"weights", PV_OPT_STR, &a.weights, "NAME", "best, final or latest (default: the first there is)"},
        {"import", PV_OPT_STR, &a.import, "F", "read weights (.safetensors) into a run for predict and evaluate"},
        {"net", PV_OPT_STR, &a.net, "NAME", "network that the weights are of (default vnet)"},
        {"preset", PV_OPT_STR, &a.preset, "NAME", "preset of the run: preparation, patch, stride (default auto)"},
        {"set", PV_OPT_LIST, &a.sets, "A.B=C", "one setting of the run; may be repeated"},
        {"data", PV_OPT_STR, &a.data, "DIR", "data set to convert: nnU-Net folder or .h5 folders"},
        {"to", PV_OPT_STR, &a.to, "nifti|h5", "nnU-Net folder of .nii.gz, or folder of .h5"},
        {"layout", PV_OPT_STR, &a.layout, "NAME", "of .h5 folders: data (default), la, pancreas"},
        {"classes", PV_OPT_INT, &a.classes, "N", "classes of an .h5 data set (default 2)"},
        {"ignore", PV_OPT_INT, &a.ignore, "V", "label of .h5 files that means not annotated"},
        {"spacing", PV_OPT_STR, &a.spacing, "XxYxZ", "mm, for data from .h5 files, which hold none"},
        {"zyx", PV_OPT_FLAG, &a.zyx, NULL, "arrays of the .h5 files are [z][y][x] (BraTS as published)"},
        {"ras", PV_OPT_FLAG, &a.ras, NULL, "turn the axes of NIfTI files to right, front, up"},
        {"nan-to-zero", PV_OPT_FLAG, &a.zero, NULL, "read NaN and infinite voxels as 0"},
        {"copy-geometry", PV_OPT_FLAG, &a.copy, NULL, "labels lie where their image lies, whatever their header says"},
        {"lists", PV_OPT_STR, &a.lists, "DIR", "folder of train.list, test.list (default: in the data set)"},
        {"out", PV_OPT_STR, &a.out, "DIR", "run folder or data set to make"},
        {"overwrite", PV_OPT_FLAG, &a.overwrite, NULL, "replace what is in --out"},
        {"quiet", PV_OPT_FLAG, &a.quiet, NULL, "no progress lines"},
        {0}};
    int code;
    if (pv_parse_opts(&pv_cmd_convert, opts, argc, argv, &code) != PV_PARSED)
        return code;
    bool ok = false;
    if (!!a.export + !!a.import + !!a.data != 1)
        pv_fail(PV_FAULT_USAGE, "convert needs one of --export, --import, --data; see protovox convert --help");
    else if (a.classes < 0 || a.classes > 255 || a.ignore < 0 || a.ignore > 255)
        pv_fail(PV_FAULT_USAGE, "--classes and --ignore are numbers up to 255");
    else if (a.data) {
        ok = convert_data(&a);
    } else {
        pv_dev *dev = pv_dev_open("ref:0", NULL);
        ok = dev && (a.export ? export_weights(&a, dev) : import_weights(&a, dev));
        pv_dev_close(&dev);
    }
    pv_strs_free(&a.sets);
    return ok ? 0 : pv_exit_code();
}

const struct pv_command pv_cmd_convert = {"convert", "weights from and to PyTorch, data sets from and to .h5",
    "  protovox convert --run RUN --export weights.safetensors\n"
    "  protovox convert --import weights.safetensors --net vnet --preset la --out RUN\n"
    "  protovox train --data DIR --method mt --init weights.safetensors --out RUN\n"
    "  protovox convert --data LA_h5 --to nifti --spacing 0.625x0.625x0.625 --out LA\n"
    "  protovox convert --data LA --to h5 --layout la --out LA_h5", run};
