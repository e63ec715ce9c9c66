#!/usr/bin/env bash
# The test suite on many platforms: cross-built, and run by qemu where this machine cannot
# run it itself. For Debian 12 on x86-64.
#
#   bash tests/platforms.sh [OPTION...] [PLATFORM...]     no platform: all that can run here
#   bash tests/platforms.sh --list                        the platforms, and what is missing here
#   bash tests/platforms.sh --install [PLATFORM...]       as root: the packages that they need
#   bash tests/platforms.sh --tools PLATFORM              its compiler, and its emulator if any
#
#   --full        all numbers of workers, stress tests, the whole kill matrix, examples, -O2;
#                 default is the setup two: two workers, -O1. Never the explorer at
#                 length, fuzzing, the documents, the consumers: they do not depend on it
#   --suite NAME  only this suite of tests; unit is half of what two has
#   --build DIR   where to build, default build-platforms. The test framework, check, is
#                 built once for each platform and stays there
#   --scale N     factor on all times of the tests; default 1, but 5 by an emulator or Wine
#
# One line a platform says what passed; what failed stands below it, and the whole output
# in DIR/PLATFORM.log. The last line is `N passed, N failed, N skipped`. Exit status 1 if
# anything failed.
#
# Left out, as the compilers' cross versions or the emulators lack it: tests of the header
# in C++, examples that need other libraries, and what tests/harness.h says at EMULATED
# and TASKS_CAN_EXIT; on Windows also what needs fork, signals or /proc.
set -euo pipefail

# Name; how its programs run; the compiler's prefix; the emulator; Meson's name of the
# processor; byte order; Debian's name of the architecture.
platforms='
gcc       native    -                        -        x86_64   little  -
clang     native    -                        -        x86_64   little  -
musl      cross     musl                     -        x86_64   little  -
i686      cross     i686-linux-gnu           -        x86      little  i386
aarch64   emulated  aarch64-linux-gnu        aarch64  aarch64  little  arm64
s390x     emulated  s390x-linux-gnu          s390x    s390x    big     s390x
armhf     emulated  arm-linux-gnueabihf      arm      arm      little  armhf
armel     emulated  arm-linux-gnueabi        arm      arm      little  armel
riscv64   emulated  riscv64-linux-gnu        riscv64  riscv64  little  riscv64
ppc64le   emulated  powerpc64le-linux-gnu    ppc64le  ppc64    little  ppc64el
powerpc   emulated  powerpc-linux-gnu        ppc      ppc      big     powerpc
mips64el  emulated  mips64el-linux-gnuabi64  mips64el mips64   little  mips64el
mipsel    emulated  mipsel-linux-gnu         mipsel   mips     little  mipsel
sparc64   emulated  sparc64-linux-gnu        sparc64  sparc64  big     sparc64
m68k      emulated  m68k-linux-gnu           m68k     m68k     big     m68k
windows   wine      x86_64-w64-mingw32       -        x86_64   little  -
'

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$root/build-platforms
setup=two
scale=
suite=()
verb=run

fail() {
    echo "$*" >&2
    exit 2
}

names() { awk 'NF { print $1 }' <<<"$platforms"; }

# Sets the variables that all below look at.
choose() { # NAME
    local line
    line=$(awk -v name="$1" '$1 == name' <<<"$platforms")
    [ -n "$line" ] || fail "no such platform: $1"
    read -r name kind prefix emulator family endian debian <<<"$line"
    case $kind in
    native) cc=$name ;;
    *) cc=$prefix-gcc ;;
    esac
    times=${scale:-1}
    case $kind in
    emulated | wine) times=${scale:-5} ;;
    esac
}

find_wine() { command -v wine64 /usr/lib/wine/wine64 | head -n 1; }

# ---- packages ----

packages() {
    echo meson ninja-build pkg-config python3
    case $name in
    gcc | clang) echo "$name" g++ libc6-dev check libsubunit-dev ;;
    musl) echo musl-tools gcc cmake make ca-certificates dpkg-dev ;;
    windows) echo gcc-mingw-w64-x86-64-win32 wine64 cmake make ca-certificates dpkg-dev ;;
    *) echo "gcc-$prefix" "libc6-dev-$debian-cross" cmake make ca-certificates dpkg-dev ;;
    esac
    if [ "$kind" = emulated ]; then
        echo qemu-user util-linux
    fi
}

install_packages() { # NAME...
    local each wanted=()
    for each in "$@"; do
        choose "$each"
        mapfile -t -O "${#wanted[@]}" wanted < <(packages | tr ' ' '\n')
    done
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${wanted[@]}"
}

# What is not there.
missing() {
    local command commands=(meson ninja python3 "$cc")
    if [ "$kind" != native ]; then
        commands+=(cmake make dpkg-source)
    fi
    if [ "$kind" = emulated ]; then
        commands+=("qemu-$emulator" unshare)
    fi
    if [ "$kind" = wine ]; then
        commands+=("$(find_wine || echo wine64)")
    fi
    for command in "${commands[@]}"; do
        command -v "$command" >/dev/null || echo "$command"
    done
    if [ "$kind" = emulated ] && ! unshare --user --map-root-user --mount \
        mount -t binfmt_misc none /proc/sys/fs/binfmt_misc 2>/dev/null; then
        echo "(binfmt_misc in a namespace: Linux 6.7)"
    fi
}

list() {
    local each absent
    for each in $(names); do
        choose "$each"
        absent=$(missing | tr '\n' ' ')
        printf '%-9s %-9s %s\n' "$name" "$kind" "${absent:+missing: $absent}"
    done
}

tools() { # NAME
    choose "$1"
    echo "$cc" "$([ "$kind" != emulated ] || echo "qemu-$emulator")"
}

# ---- check, the test framework ----

# Its source from Debian's archive; the system's own list of sources stays as it is.
check_source() {
    local here=$build/check-source release options
    if [ -d "$here/check" ]; then
        return
    fi
    release=$(. /etc/os-release && echo "$VERSION_CODENAME")
    rm -rf "$here"
    mkdir -p "$here/lists/partial" "$here/check.part"
    cd "$here"
    echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
        "http://deb.debian.org/debian $release main" >sources.list
    options=(-qq -o "Dir::Etc::sourcelist=$here/sources.list" -o Dir::Etc::sourceparts=-
        -o "Dir::State::lists=$here/lists" -o APT::Sandbox::User=root)
    apt-get "${options[@]}" update
    apt-get "${options[@]}" source --download-only check
    tar -xf check_*.orig.tar.* -C check.part --strip-components=1
    rm -r lists
    mv check.part check
}

# Only the static library: its rules for installing want the shared one, too.
check_library() {
    local to=$build/check-$name system=Linux options=(-DBUILD_TESTING=OFF -DHAVE_SUBUNIT=0)
    if [ "$kind" = wine ]; then
        system=Windows
        # C99's formats; and its clock, which stands still there, is nobody else's
        options+=("-DCMAKE_C_FLAGS=-D__USE_MINGW_ANSI_STDIO=1 -Dclock_gettime=check_clock_gettime")
    fi
    if [ -f "$to/lib/pkgconfig/check.pc" ]; then
        return
    fi
    (check_source)
    cmake -S "$build/check-source/check" -B "$to/build" -DCMAKE_BUILD_TYPE=Release \
        -DCMAKE_SYSTEM_NAME=$system -DCMAKE_C_COMPILER="$cc" "${options[@]}"
    cmake --build "$to/build" --target check
    mkdir -p "$to/lib/pkgconfig" "$to/include"
    cp "$to/build/src/libcheck.a" "$to/lib"
    cp "$to/build/src/check.h" "$to/build/check_stdint.h" "$to/include"
    cat >"$to/lib/pkgconfig/check.pc" <<END
Name: check
Description: unit tests
Version: 0.15.2
Libs: -L$to/lib -lcheck $([ "$kind" = wine ] || echo -lrt) -lm -pthread
Cflags: -I$to/include -pthread
END
}

# ---- emulation ----

# Runs a command in a namespace where the kernel hands programs of this platform to the
# emulator, so that they can be executed like any other: by Meson, by scripts, by
# themselves. Outside nothing changes. Linux can that since 6.7.
emulating() { # COMMAND...
    local probe=$build/$name.probe
    export QEMU_LD_PREFIX=/usr/$prefix
    printf 'int main(void) { return 0; }\n' >"$probe.c"
    "$cc" "$probe.c" -o "$probe"
    unshare --user --map-root-user --mount bash -euo pipefail -c '
        probe=$1 emulator=$2
        shift 2
        mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
        # of the file header: magic number, class and byte order, then the processor
        header=$(od -A n -t x1 -v -N 20 "$probe" | sed "s/ /\\\\x/g" | tr -d "\n")
        mask=$(printf "\\\\xff%.0s" 1 2 3 4 5 6 7; printf "\\\\x00%.0s" 1 2 3 4 5 6 7 8 9 10 11)
        echo ":cfut:M::$header:$mask\xff\xff:$emulator:" >/proc/sys/fs/binfmt_misc/register
        "$probe"
        exec "$@"' emulating "$probe" "$(command -v "qemu-$emulator")" "$@"
}

# ---- a platform ----

cross_file() {
    local tool emulated=false wrapped=false system=linux
    case $kind in
    emulated) emulated=true ;;
    wine) system=windows wrapped=true ;;
    esac
    echo "[binaries]"
    echo "c = '$cc'"
    echo "pkgconfig = 'pkg-config'"
    for tool in ar strip nm; do
        if command -v "$prefix-$tool" >/dev/null; then
            echo "$tool = '$prefix-$tool'"
        else
            echo "$tool = '$tool'"
        fi
    done
    if [ "$kind" = wine ]; then
        echo "exe_wrapper = '$(find_wine)'"
        echo "[built-in options]"
        echo "c_args = ['-D__USE_MINGW_ANSI_STDIO=1']"      # C99's formats
        echo "c_link_args = ['-static']"
    fi
    cat <<END
[properties]
pkg_config_libdir = '$build/check-$name/lib/pkgconfig'
needs_exe_wrapper = $wrapped
emulated = $emulated
[host_machine]
system = '$system'
cpu_family = '$family'
cpu = '$family'
endian = '$endian'
END
}

build_and_test() {
    local dir=$build/$name run=() options=(-Dbenchmarks=disabled)
    local choice=(--no-suite consumers --no-suite docs --no-suite fuzz --no-suite long)
    export CC=$cc CFUT_TEST_SCALE=$times
    if [ "$setup" = two ]; then
        options+=(-Doptimization=1 -Ddebug=false)
        choice+=(--no-suite w1 --no-suite w3 --no-suite w64)    # --suite would let them in
    else
        options+=(-Doptimization=2)
    fi
    if [ "$kind" != native ]; then
        unset CC
        check_library
        cross_file >"$build/$name.ini"
        options+=(--cross-file "$build/$name.ini")
    fi
    case $kind in
    emulated) run=(emulating) ;;
    wine)
        export WINEDEBUG=-all WINEPREFIX=$build/wine
        choice+=(--no-suite examples)   # scripts cannot run its programs
        ;;
    esac
    if [ ! -f "$dir/build.ninja" ]; then
        meson setup "$dir" "$root" "${options[@]}"
    fi
    "${run[@]}" meson test -C "$dir" --setup "$setup" --timeout-multiplier "$times" \
        "${choice[@]}" "${suite[@]}" --print-errorlogs
}

test_platform() {
    local begun=$SECONDS log=$build/$name.log rc passed failed skipped absent
    absent=$(missing | tr '\n' ' ')
    if [ -n "$absent" ]; then
        printf '%-9s not run, missing: %s\n' "$name" "$absent"
        return
    fi
    rm -f "$build/$name"/meson-logs/testlog*
    set +e
    (set -e; build_and_test) >"$log" 2>&1
    rc=$?
    set -e
    read -r passed failed skipped < <(python3 "$root/tests/tally.py" "$build/$name" \
        2>"$log.failed")
    if [ $rc != 0 ] && [ "$failed" = 0 ]; then
        failed=1
        tail -n 20 "$log" >"$log.failed"
    fi
    printf '%-9s %5d passed, %3d failed, %3d skipped, %4d s (%s)\n' "$name" "$passed" "$failed" \
        "$skipped" $((SECONDS - begun)) "$setup"
    sed 's/^/    /' "$log.failed"
    total_passed=$((total_passed + passed))
    total_failed=$((total_failed + failed))
    total_skipped=$((total_skipped + skipped))
}

# ---- the command line ----

main() {
    local chosen=()
    while [ $# != 0 ]; do
        case $1 in
        --list) verb=list ;;
        --install) verb=install ;;
        --tools) verb=tools ;;
        --full) setup=full ;;
        --build) shift; build=$(realpath -m "$1") ;;
        --scale) shift; scale=$1 ;;
        --suite) shift; suite+=(--suite "$1") ;;
        -*) fail "no such option: $1" ;;
        *) chosen+=("$1") ;;
        esac
        shift
    done
    if [ ${#chosen[@]} = 0 ]; then
        mapfile -t chosen < <(names)
    fi
    case $verb in
    list) list ;;
    install) install_packages "${chosen[@]}" ;;
    tools) tools "${chosen[0]}" ;;
    run)
        mkdir -p "$build"
        for each in "${chosen[@]}"; do
            choose "$each"
            test_platform
        done
        printf '%d passed, %d failed, %d skipped\n' $total_passed $total_failed $total_skipped
        [ $total_failed = 0 ] && [ $total_passed != 0 ]
        ;;
    esac
}

total_passed=0 total_failed=0 total_skipped=0
if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    main "$@"
fi
