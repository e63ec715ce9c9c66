#!/bin/sh
# consumers.sh SOURCE_ROOT: takes cfut into other projects, in every way that
# the README names, each from a fresh folder. TAP on stdout. A way whose tool is
# not installed is skipped. CC and CXX are honoured.
set -u

root=$(cd "${1:?usage: consumers.sh SOURCE_ROOT}" && pwd) || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
CC=${CC:-cc}
CXX=${CXX:-c++}
export CC CXX
unset DESTDIR CFLAGS CXXFLAGS LDFLAGS PKG_CONFIG_PATH
number=0

skip() {
    echo "$1"
    exit 77
}

need() {
    for tool in "$@"; do
        command -v "$tool" >/dev/null 2>&1 || skip "$tool is not installed"
    done
}

# try FUNCTION: runs it in a folder of its own, in a shell of its own that stops
# at the first failing command. Not as a condition, where set -e would be off.
try() {
    number=$((number + 1))
    mkdir "$work/$1"
    (
        set -e
        cd "$work/$1"
        "$1"
    ) >"$work/$1.log" 2>&1
    rc=$?
    case $rc in
    0) echo "ok $number - $1" ;;
    77) echo "ok $number - $1 # SKIP $(tail -n 1 "$work/$1.log")" ;;
    *)
        echo "not ok $number - $1"
        sed 's/^/# /' "$work/$1.log"
        ;;
    esac
}

# ---- what the projects consist of ----

write_main() {  # FILE; valid as C and as C++
    cat >"$1" <<'END'
#define CFUT_IMPLEMENTATION
#include "cfut.h"
#include <stdio.h>

static int square(const int *x, int *y) { *y = *x * *x; return CFUT_OK; }
CFUT_TASK(square, int, int);

int half_of_square(cfut_executor *pool, int x);

int main(void)
{
    cfut_executor *pool = cfut_thread_pool(NULL);
    square_future f;

    square_submit(pool, &f, 12);
    if (square_result(&f) == CFUT_OK)
        printf("%d %d\n", f.out, half_of_square(pool, 12));
    cfut_shutdown(pool, CFUT_DRAIN);
    return 0;
}
END
}

write_other() { # FILE; a second file that only declares
    cat >"$1" <<'END'
#include "cfut.h"

static int half(const int *x, int *y) { *y = *x / 2; return CFUT_OK; }
CFUT_TASK(half, int, int);

int half_of_square(cfut_executor *pool, int x);
int half_of_square(cfut_executor *pool, int x)
{
    half_future f;

    half_submit(pool, &f, x * x);
    return half_result(&f) == CFUT_OK ? f.out : -1;
}
END
}

expect_output() {   # PROGRAM
    out=$("$1")
    echo "printed: $out"
    [ "$out" = "144 72" ]
}

copy_checkout() {   # FOLDER: what a clone holds
    mkdir -p "$1"
    for name in cfut.h meson.build meson_options.txt LICENSE README.md tests bench examples; do
        if [ -e "$root/$name" ]; then
            cp -R "$root/$name" "$1/"
        fi
    done
}

# A Meson project whose only word about cfut is how it asks for it.
write_meson_project() { # HOW
    write_main main.c
    write_other other.c
    cat >meson.build <<END
project('consumer', 'c', default_options: ['werror=true', 'warning_level=3'])
executable('app', 'main.c', 'other.c', dependencies: $1)
END
}

build_meson_project() {
    meson setup build --fatal-meson-warnings
    # As a subproject cfut adds no target of its own.
    meson introspect build --targets | grep -o '"name": "[^"]*", "id"' >targets
    cat targets
    [ "$(wc -l <targets)" -eq 1 ]
    ninja -C build
    expect_output build/app
}

# Installs into ./dest and points pkg-config there.
install_cfut() {
    meson setup installing "$root" --prefix=/opt/cfut
    meson install -C installing --no-rebuild --destdir "$PWD/dest"
    PKG_CONFIG_SYSROOT_DIR=$PWD/dest
    PKG_CONFIG_PATH=$PWD/dest/opt/cfut/share/pkgconfig
    export PKG_CONFIG_SYSROOT_DIR PKG_CONFIG_PATH
}

# ---- the ways ----

plain_copy_builds_with_one_command() {
    cp "$root/cfut.h" .
    write_main main.c
    write_other other.c
    "$CC" -std=c11 -Wall -Wextra -Wpedantic -Werror -pthread main.c other.c -o app
    expect_output ./app
}

plain_copy_builds_as_cpp() {
    need "$CXX"
    cp "$root/cfut.h" .
    write_main main.cc
    write_other other.cc
    "$CXX" -std=c++11 -Wall -Wextra -Wpedantic -Werror -pthread main.cc other.cc -o app
    expect_output ./app
}

cpp_program_links_c_implementation() {
    need "$CXX"
    cp "$root/cfut.h" .
    write_main main.c
    write_other other.cc
    sed -i '1i extern "C" int half_of_square(struct cfut_executor *pool, int x);' other.cc
    "$CC" -std=c11 -pthread -c main.c -o main.o
    "$CXX" -std=c++11 -Wall -Wextra -Wpedantic -Werror -pthread main.o other.cc -o app
    expect_output ./app
}

include_path_of_submodule_suffices() {
    copy_checkout third_party/cfut
    write_main main.c
    write_other other.c
    "$CC" -Ithird_party/cfut -pthread main.c other.c -o app
    expect_output ./app
}

meson_subproject_serves_as_fallback() {
    need meson ninja
    write_meson_project "dependency('cfut', fallback: 'cfut')"
    copy_checkout subprojects/cfut
    build_meson_project
}

meson_wrap_provides_dependency() {
    need meson ninja git
    copy_checkout upstream
    git -C upstream init -q
    git -C upstream add -A
    git -C upstream -c user.name=t -c user.email=t@localhost commit -q -m snapshot
    write_meson_project "dependency('cfut')"
    mkdir subprojects
    cat >subprojects/cfut.wrap <<END
[wrap-git]
url = file://$PWD/upstream
revision = HEAD

[provide]
dependency_names = cfut
END
    build_meson_project
}

meson_install_puts_header_and_pc_only() {
    need meson ninja pkg-config
    install_cfut
    (cd dest && find . -type f | sort) >found
    cat found
    printf '%s\n' ./opt/cfut/include/cfut.h ./opt/cfut/share/pkgconfig/cfut.pc | cmp - found
    cmp dest/opt/cfut/include/cfut.h "$root/cfut.h"
    version=$(sed -n 's/^#define CFUT_VERSION_STRING "\(.*\)"$/\1/p' "$root/cfut.h")
    [ "$(pkg-config --modversion cfut)" = "$version" ]
}

installed_header_builds_with_pkg_config() {
    need meson ninja pkg-config
    install_cfut
    write_main main.c
    write_other other.c
    sed -i 's/"cfut.h"/<cfut.h>/' main.c other.c
    # shellcheck disable=SC2046 # flags are words
    "$CC" main.c other.c $(pkg-config --cflags --libs cfut) -o app
    expect_output ./app
}

installed_header_builds_with_cmake() {
    need meson ninja pkg-config cmake
    install_cfut
    write_main main.c
    write_other other.c
    cat >CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.16)
project(consumer C)
find_package(PkgConfig REQUIRED)
pkg_check_modules(CFUT REQUIRED IMPORTED_TARGET cfut)
add_executable(app main.c other.c)
target_link_libraries(app PRIVATE PkgConfig::CFUT)
END
    cmake -G Ninja -S . -B build
    cmake --build build
    expect_output build/app
}

echo 1..9
try plain_copy_builds_with_one_command
try plain_copy_builds_as_cpp
try cpp_program_links_c_implementation
try include_path_of_submodule_suffices
try meson_subproject_serves_as_fallback
try meson_wrap_provides_dependency
try meson_install_puts_header_and_pc_only
try installed_header_builds_with_pkg_config
try installed_header_builds_with_cmake
