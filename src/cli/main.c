/* SPDX-License-Identifier: Apache-2.0
 * protovox: finds the sub-command and runs it. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "platform/platform.h"
#include "pv_config.h"

static void usage(FILE *f)
{
    fprintf(f, "protovox %s: semi- and barely-supervised 3D medical image segmentation on any GPU or CPU\n\n"
            "usage: protovox COMMAND [options]\n\ncommands:\n", PV_VERSION);
    for (int i = 0; pv_commands[i]; i++)
        fprintf(f, "  %-12s %s\n", pv_commands[i]->name, pv_commands[i]->summary);
    fprintf(f, "\nprotovox COMMAND --help explains one with examples; protovox --version prints the version.\n");
}

static const struct pv_command *find(const char *name)
{
    const char *names[64];
    size_t n = 0;
    for (; pv_commands[n] && n < PV_COUNT(names); n++) {
        names[n] = pv_commands[n]->name;
        if (pv_streq(name, names[n]))
            return pv_commands[n];
    }
    const char *near = pv_nearest(name, names, n);
    pv_fail(PV_FAULT_USAGE, "there is no command '%s'%s%s%s; protovox --help lists them", name,
            near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    return NULL;
}

int main(int argc, char **argv)
{
    pv_main_args(&argc, &argv);
    if (argc < 2) {
        usage(stderr);
        return PV_FAULT_USAGE;
    }
    const char *name = argv[1];
    bool help = pv_streq(name, "--help") || pv_streq(name, "-h") || pv_streq(name, "help");
    if (help && (argc == 2 || argv[2][0] == '-')) {
        usage(stdout);
        return 0;
    }
    if (pv_streq(name, "--version")) {
        printf("protovox %s\n", PV_VERSION);
        return 0;
    }
    const struct pv_command *c = find(help ? argv[2] : name);
    char *only[] = {"--help", NULL};
    return !c ? PV_FAULT_USAGE : help ? c->run(1, only) : c->run(argc - 2, argv + 2);
}
