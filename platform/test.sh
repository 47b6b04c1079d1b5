#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds in ./build-test, runs every test. The last line counts them:
#     N passed, N failed, N skipped
# Tests of devices that this machine lacks are skipped with a reason; PoCL and lavapipe are installed here, so
# theirs never are. With CI set, warnings are errors.
cd "$(dirname "$0")/.." || exit 1
. platform/packages.sh
need_packages $build_packages $test_packages || exit 1
werror=false
[ -n "$CI" ] && werror=true
build_in build-test -Dtests=true -Dwerror=$werror -Dbuildtype=debugoptimized || exit 1
# kernels are compiled once per build folder, apart from the user's cache
export PV_CACHE="$PWD/build-test/kernel-cache" POCL_CACHE_DIR="$PWD/build-test/pocl-cache"
mkdir -p "$PV_CACHE" "$POCL_CACHE_DIR"
meson test -C build-test --no-rebuild --print-errorlogs "$@"
python3 platform/count_tests.py build-test/meson-logs/testlog.json
