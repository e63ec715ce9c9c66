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
nothing_built='-Dtests=disabled -Dexamples=disabled -Dbenchmarks=disabled'

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

commit_all() {  # FOLDER
    git -C "$1" add -A
    git -C "$1" -c user.name=t -c user.email=t@localhost commit -q -m snapshot
}

write_upstream() {
    copy_checkout upstream
    git -C upstream init -q
    commit_all upstream
}

# A Meson project whose only word about cfut is how it asks for it.
write_meson_project() { # HOW
    write_main main.c
    write_other other.c
    cat >meson.build <<END
project('consumer', 'c', default_options: ['werror=true', 'warning_level=3'])
executable('app', 'main.c', 'other.c', dependencies: $1, install: true)
END
}

build_meson_project() { # [MESON OPTION...]
    meson setup build --fatal-meson-warnings "$@" >setup.log
    cat setup.log
    # cfut says its name and what threads it found; it probes nothing else.
    [ "$(grep -c '^cfut|' setup.log)" -le 8 ]
    # As a subproject cfut adds no target of its own.
    meson introspect build --targets | grep -o '"name": "[^"]*", "id"' >targets
    cat targets
    [ "$(wc -l <targets)" -eq 1 ]
    ninja -C build
    expect_output build/app
}

# Installs into ./dest and points pkg-config there.
install_cfut() { # [MESON OPTION...]
    meson setup installing "$root" --prefix=/opt/cfut --fatal-meson-warnings "$@"
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

header_is_the_only_include_under_c11() {
    cp "$root/cfut.h" .
    cat >main.c <<'END'
#define CFUT_IMPLEMENTATION
#include "cfut.h"

static int square(const int *x, int *y) { *y = *x * *x; return CFUT_OK; }
CFUT_TASK(square, int, int);

int main(void)
{
    cfut_executor *pool = cfut_thread_pool(NULL);
    int xs[3] = {1, 2, 3}, ys[3];
    int64_t sum = -1;

    if (square_map(pool, xs, ys, 3) == CFUT_OK)
        sum = ys[0] + ys[1] + ys[2];
    cfut_shutdown(pool, CFUT_DRAIN);
    return sum == 14 ? 0 : 1;
}
END
    "$CC" -std=c11 -pedantic-errors -Wall -Wextra -Werror -pthread main.c -o app
    ./app
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

git_submodule_needs_an_include_path_only() {
    need git
    write_upstream
    git init -q app
    cd app
    git -c protocol.file.allow=always submodule --quiet add "file://${PWD%/app}/upstream" cfut
    write_main main.c
    write_other other.c
    commit_all .
    cd ..
    git -c protocol.file.allow=always clone -q --recurse-submodules app cloned
    cd cloned
    "$CC" -Icfut -pthread main.c other.c -o app
    expect_output ./app
    git -C cfut status --porcelain >changed
    cat changed
    [ ! -s changed ] # nothing is generated in it
}

meson_subproject_serves_as_fallback() {
    need meson ninja
    write_meson_project "dependency('cfut', fallback: 'cfut')"
    copy_checkout subprojects/cfut
    build_meson_project
}

# As Arch and Fedora configure everything: no reason to build cfut's tests.
meson_subproject_ignores_auto_features() {
    need meson ninja
    write_meson_project "dependency('cfut', fallback: 'cfut')"
    copy_checkout subprojects/cfut
    build_meson_project -Dauto_features=enabled
}

meson_subproject_is_not_installed_if_skipped() {
    need meson ninja
    write_meson_project "dependency('cfut', fallback: 'cfut')"
    copy_checkout subprojects/cfut
    build_meson_project --prefix=/usr
    meson install -C build --skip-subprojects --destdir "$PWD/dest"
    (cd dest && find . ! -type d) >found
    cat found
    [ "$(cat found)" = ./usr/bin/app ]
}

meson_subproject_builds_for_windows() {
    need meson ninja x86_64-w64-mingw32-gcc
    write_meson_project "dependency('cfut', fallback: 'cfut')"
    copy_checkout subprojects/cfut
    cat >cross.ini <<'END'
[binaries]
c = 'x86_64-w64-mingw32-gcc'
strip = 'x86_64-w64-mingw32-strip'
[host_machine]
system = 'windows'
cpu_family = 'x86_64'
cpu = 'x86_64'
endian = 'little'
END
    meson setup build --fatal-meson-warnings --cross-file cross.ini
    ninja -C build
    [ -s build/app.exe ]
}

meson_wrap_provides_dependency() {
    need meson ninja git
    write_upstream
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

meson_install_puts_header_pc_and_licence_only() {
    need meson ninja pkg-config
    install_cfut
    (cd dest && find . ! -type d | sort) >found
    cat found
    printf '%s\n' ./opt/cfut/include/cfut.h ./opt/cfut/share/licenses/cfut/LICENSE \
        ./opt/cfut/share/pkgconfig/cfut.pc | cmp - found
    cmp dest/opt/cfut/include/cfut.h "$root/cfut.h"
    cmp dest/opt/cfut/share/licenses/cfut/LICENSE "$root/LICENSE"
    version=$(sed -n 's/^#define CFUT_VERSION_STRING "\(.*\)"$/\1/p' "$root/cfut.h")
    [ "$(pkg-config --modversion cfut)" = "$version" ]
    # A distribution's package of headers takes what is tagged so: all of it.
    meson install -C installing --no-rebuild --destdir "$PWD/tagged" --tags devel
    diff -r dest tagged
}

# shellcheck disable=SC2086 # options are words
installed_header_builds_with_pkg_config() {
    need meson ninja pkg-config
    install_cfut $nothing_built
    write_main main.c
    write_other other.c
    sed -i 's/"cfut.h"/<cfut.h>/' main.c other.c
    # shellcheck disable=SC2046 # flags are words
    "$CC" main.c other.c $(pkg-config --cflags --libs cfut) -o app
    expect_output ./app
}

# shellcheck disable=SC2086 # options are words
installed_header_builds_with_cmake() {
    need meson ninja pkg-config cmake
    install_cfut $nothing_built
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

checkout_is_an_include_directory_of_cmake() {
    need cmake ninja
    copy_checkout third_party/cfut
    write_main main.c
    write_other other.c
    cat >CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.16)
project(consumer C)
find_package(Threads REQUIRED)
add_executable(app main.c other.c)
target_include_directories(app PRIVATE third_party/cfut)
target_link_libraries(app PRIVATE Threads::Threads)
END
    cmake -G Ninja -S . -B build
    cmake --build build
    expect_output build/app
}

windows_header_comes_before_or_after() {
    need x86_64-w64-mingw32-gcc
    cp "$root/cfut.h" .
    write_main main.c
    write_other other.c
    for file in main.c other.c; do
        sed '1i #include <windows.h>' $file >before_$file
        sed '/#include "cfut.h"/a #include <windows.h>' $file >after_$file
    done
    for order in before after; do
        x86_64-w64-mingw32-gcc -std=gnu11 -Wall -Wextra -Wpedantic -Werror ${order}_main.c \
            ${order}_other.c -o $order.exe -lsynchronization
    done
}

# ---- several copies in one program ----

# Two shared libraries that keep cfut to themselves; none of its names leaves them.
build_libraries() {
    cat >lib.c <<'END'
#define CFUT_STATIC
#define CFUT_IMPLEMENTATION
#include "cfut.h"

static int square(const int *x, int *y) { *y = *x * *x; return CFUT_OK; }
CFUT_TASK(square, int, int);

static cfut_executor *pool;
int SUM(int n);
void CLOSE(void);

int SUM(int n)
{
    square_future f[100];
    int sum = 0;

    if (!pool)
        pool = cfut_thread_pool(NULL);
    for (int i = 0; i < n; i++)
        square_submit(pool, &f[i], i);
    for (int i = 0; i < n; i++)
        sum += square_result(&f[i]) == CFUT_OK ? f[i].out : -1000000;
    return sum;
}

void CLOSE(void)
{
    cfut_shutdown(pool, CFUT_DRAIN);
    pool = NULL;
}
END
    for lib in one two; do
        "$CC" -Wall -Wextra -Werror -fPIC -shared -pthread -I"$root" \
            -DSUM=${lib}_sum -DCLOSE=${lib}_close lib.c -o lib$lib.so
        nm -gD --defined-only lib$lib.so >names
        grep -q ${lib}_sum names
        [ "$(grep -c cfut names)" = 0 ]
    done
}

# The program: its tasks call both libraries, whose pools run beside its own.
build_user() {  # the rest of the file on stdin
    {
        cat <<'END'
#define CFUT_IMPLEMENTATION
#include "cfut.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>

int one_sum(int n);
int two_sum(int n);
void one_close(void);
void two_close(void);

static int both(const int *n, int *sum)
{
    if (*n < 0)
        raise(SIGKILL);
    *sum = one_sum(*n) + two_sum(*n);
    return CFUT_OK;
}
CFUT_TASK(both, int, int);

END
        cat
    } >main.c
    "$CC" -Wall -Wextra -Werror -pthread -I"$root" main.c -L. -lone -ltwo -Wl,-rpath,"$PWD" -o app
}

libraries_with_private_copies_share_a_program() {
    need nm
    build_libraries
    build_user <<'END'
int main(int argc, char **argv)
{
    cfut_executor *pool = cfut_thread_pool(&(cfut_thread_pool_desc){ .max_workers = 1 });
    static both_future f[4];
    int sum;

    one_sum(1);
    two_sum(1);
    for (int i = 0; i < 4; i++)
        both_submit(pool, &f[i], 10);
    if (argc > 1)
        return strcmp(argv[1], "exit");     /* drains what is queued, through all copies */
    sum = both_result(&f[0]) == CFUT_OK ? f[0].out : -1;
    sum += both_result(&f[3]) == CFUT_OK ? f[3].out : -1;
    one_close();
    two_close();
    cfut_shutdown(pool, CFUT_DRAIN);
    printf("%d\n", sum);
    return 0;
}
END
    for _ in 1 2 3 4 5; do
        [ "$(./app)" = 1140 ]
        ./app exit
    done
}

process_pool_beside_libraries_with_private_copies() {
    need nm
    build_libraries
    build_user <<'END'
int main(int argc, char **argv)
{
    cfut_executor *procs;
    both_future f[4];
    int died = 0, sum;

    if (argc < 2)
        cfut_process_main(&argc, &argv);
    else
        one_sum(1);
    if (argc > 1 && !strcmp(argv[1], "fork"))
        one_close();
    procs = cfut_process_pool(NULL);
    if (cfut_executor_status(procs) == CFUT_NO_THREADS) {
        printf("threads run\n");
        one_close();
        return 0;
    }
    sum = one_sum(100) + two_sum(100);
    for (int i = 0; i < 4; i++)
        both_submit(procs, &f[i], i == 2 ? -1 : 10);
    for (int i = 0; i < 4; i++) {
        int status = both_result(&f[i]);
        if (status == CFUT_OK)
            sum += f[i].out;
        died += status == CFUT_WORKER_DIED;
    }
    one_close();
    two_close();
    cfut_shutdown(procs, CFUT_DRAIN);
    printf("%d %d\n", sum, died);
    return 0;
}
END
    for _ in 1 2 3 4 5; do
        [ "$(./app)" = "658410 1" ]         # workers by exec
        [ "$(./app fork)" = "658410 1" ]    # by fork, once a library's threads are gone
        [ "$(./app threads)" = "threads run" ]
    done
}

set -- \
    plain_copy_builds_with_one_command \
    header_is_the_only_include_under_c11 \
    plain_copy_builds_as_cpp \
    cpp_program_links_c_implementation \
    git_submodule_needs_an_include_path_only \
    meson_subproject_serves_as_fallback \
    meson_subproject_ignores_auto_features \
    meson_subproject_is_not_installed_if_skipped \
    meson_subproject_builds_for_windows \
    meson_wrap_provides_dependency \
    meson_install_puts_header_pc_and_licence_only \
    installed_header_builds_with_pkg_config \
    installed_header_builds_with_cmake \
    checkout_is_an_include_directory_of_cmake \
    windows_header_comes_before_or_after \
    libraries_with_private_copies_share_a_program \
    process_pool_beside_libraries_with_private_copies
echo "1..$#"
for way in "$@"; do
    try "$way"
done
