#!/bin/sh
# How much code the implementation is, and what the header costs to compile: the
# declarations beyond an empty file, and the implementation. Compilations run in
# turn, 7 rounds of each after a warm-up; median [min .. max].
#
#   bench_size.sh [--quick] [--csv-file FILE]      CC: the compiler, default cc
set -eu

rounds=7
csv=/dev/null
while [ $# != 0 ]; do
    case $1 in
    --quick) rounds=2 ;;
    --csv-file) csv=$2 && shift ;;
    *) echo "usage: bench_size.sh [--quick] [--csv-file FILE]" >&2 && exit 2 ;;
    esac
    shift
done

root=$(cd "$(dirname "$0")/.." && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

: >"$tmp/empty.c"
printf '#include "cfut.h"\n' >"$tmp/declarations.c"
printf '#define CFUT_IMPLEMENTATION\n#include "cfut.h"\n' >"$tmp/implementation.c"

# $CC may have words: "ccache gcc"
compile() { # NAME FLAG...
    name=$1
    shift
    ${CC:-cc} -std=gnu11 -pthread -I"$root" "$@" -c "$tmp/$name.c" -o "$tmp/$name.o"
}

# Milliseconds of one compilation, as one line.
time_compile() { # NAME FLAG...
    begun=$(date +%s%N)
    compile "$@"
    echo "$begun $(date +%s%N)" | awk '{ printf "%.1f\n", ($2 - $1) / 1e6 }'
}

# The lines of a file of numbers as: median min max.
spread() { # FILE
    sort -n "$1" | awk '{ v[NR] = $1 }
        END {
            median = (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2
            printf "%.1f %.1f %.1f\n", median, v[1], v[NR]
        }'
}

report() { # WHAT UNIT FILE
    spread "$3" | {
        read -r median min max
        printf '     %-44s %10s %s [%s .. %s]\n' "$1" "$median" "$2" "$min" "$max"
        echo "$1,$2,$median,$min,$max" >>"$csv"
    }
}

report_code() { # FLAG
    compile implementation "$1"
    set -- "$1" $(size "$tmp/implementation.o" | tail -n 1)
    printf '     %-44s %10s bytes, data %s, zeroed %s\n' "implementation at $1: code" "$2" "$3" "$4"
    echo "implementation at $1: code,bytes,$2,$2,$2" >>"$csv"
}

echo "what,unit,median,min,max" >>"$csv"
printf '\nsize  %s\n' "$(${CC:-cc} --version | head -n 1)"
report_code -Os
report_code -O2

for round in $(seq 0 $rounds); do
    empty=$(time_compile empty -O2)
    declarations=$(time_compile declarations -O2)
    implementation=$(time_compile implementation -O2)
    if [ "$round" != 0 ]; then
        echo "$empty" >>"$tmp/empty"
        echo "$declarations $empty" | awk '{ print $1 - $2 }' >>"$tmp/declarations"
        echo "$implementation" >>"$tmp/implementation"
    fi
done
printf '\ncompile time  %s rounds after a warm-up, in turn; median [min .. max]\n' "$rounds"
report "an empty file at -O2" ms "$tmp/empty"
report "the declarations beyond that" ms "$tmp/declarations"
report "the implementation at -O2" ms "$tmp/implementation"
