#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds protovox in ./build, and runs its demonstration (again).
set -e
cd "$(dirname "$0")/.."
. platform/packages.sh
need_packages $build_packages
build_in build -Dtests=false -Dbuildtype=release
exec build/src/cli/protovox demo --overwrite "$@"
