/* SPDX-License-Identifier: Apache-2.0
 * protovox report: report.html and progress.png from what lies in run folders. */
#include <stdio.h>

#include "cli/cli.h"
#include "train/page.h"

extern const struct pv_command pv_cmd_report;

static int run(int argc, char **argv)
{
    struct pv_strs runs = {0};
    const char *out = NULL, *title = NULL;
    bool anonymous = false, no_images = false;
    const struct pv_opt opts[] = {
        {"run", PV_OPT_LIST, &runs, "RUN", "run folder; several are compared with each other"},
        {"out", PV_OPT_STR, &out, "FILE", "the page (default: report.html in the run; needed for several runs)"},
        {"title", PV_OPT_STR, &title, "TEXT", "heading"},
        {"anonymous", PV_OPT_FLAG, &anonymous, NULL, "hide names of cases, runs and data, and paths"},
        {"no-images", PV_OPT_FLAG, &no_images, NULL, "leave out pictures of cases"},
        {0}};
    int code;
    if (pv_parse_opts(&pv_cmd_report, opts, argc, argv, &code) != PV_PARSED) {
        pv_strs_free(&runs);
        return code;
    }
    bool ok = true;
    char *path = NULL;
    if (!runs.n)
        ok = pv_fail(PV_FAULT_USAGE, "report needs --run; see protovox report --help");
    else if (runs.n > 1 && !out)
        ok = pv_fail(PV_FAULT_USAGE, "a report of several runs needs --out FILE");
    if (ok) {
        path = out ? pv_strdup(out) : pv_path_join(runs.v[0], "report.html");
        ok = pv_page_write(&(struct pv_page){.runs = (const char *const *)runs.v, .num_runs = (int)runs.n,
                                             .title = title, .anonymous = anonymous, .no_images = no_images}, path);
    }
    for (size_t i = 0; ok && i < runs.n; i++)
        ok = pv_page_progress(runs.v[i]);
    if (ok)
        printf("%s\n", path);
    pv_free(path);
    pv_strs_free(&runs);
    return ok ? 0 : pv_exit_code();
}

const struct pv_command pv_cmd_report = {"report", "report.html of runs: curves, tables, pictures",
    "  protovox report --run RUN                          (RUN/report.html, RUN/progress.png)\n"
    "  protovox report --run RUN1 RUN2 --out compare.html\n"
    "  protovox report --run RUN --anonymous --out share.html", run};
