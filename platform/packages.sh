# SPDX-License-Identifier: Apache-2.0
# Sourced by quickstart.sh and test.sh: installs Debian/Ubuntu packages that are missing. On other systems, or
# without the right to install, it says what is needed and goes on; Meson then names what it does not find.

build_packages="gcc libc6-dev meson ninja-build pkg-config python3 zlib1g-dev libpng-dev libcjson-dev
libnifti2-dev libhdf5-dev opencl-c-headers libvulkan-dev glslc
ocl-icd-libopencl1 pocl-opencl-icd libvulkan1 mesa-vulkan-drivers"
test_packages="libcmocka-dev mesa-opencl-icd oclgrind vulkan-validationlayers spirv-tools libclblast1"

# need_packages NAME...
need_packages() {
    if ! command -v dpkg-query >/dev/null 2>&1 || ! command -v apt-get >/dev/null 2>&1; then
        echo "This is not Debian or Ubuntu. Needed are the equivalents of:" "$@" >&2
        return 0
    fi
    missing=
    for p in "$@"; do
        case "$(dpkg-query -W -f '${Status}' "$p" 2>/dev/null)" in
            "install ok installed") ;;
            *) missing="$missing $p" ;;
        esac
    done
    [ -z "$missing" ] && return 0
    if [ "$(id -u)" = 0 ]; then
        as_root=
    elif command -v sudo >/dev/null 2>&1; then
        as_root=sudo
    else
        echo "Missing packages:$missing" >&2
        echo "Install them as root: apt-get install$missing" >&2
        return 1
    fi
    echo "Installing:$missing"
    $as_root apt-get update -qq &&
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

# build_in DIR [meson options]: sets up once, compiles.
build_in() {
    dir=$1
    shift
    if [ -f "$dir/build.ninja" ]; then
        meson configure "$dir" "$@" || return 1
    else
        meson setup "$dir" "$@" || return 1
    fi
    ninja -C "$dir"
}
