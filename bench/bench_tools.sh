#!/bin/sh
# Whole programs: the examples cfsum and pargz against what they stand beside,
# by hyperfine. Skips what is not installed. Median [min .. max].
#
#   bench_tools.sh [--quick] [--csv-file FILE]     CFSUM, PARGZ: the programs
set -eu

runs=7 files=2000 mib=32
csv=/dev/null
while [ $# != 0 ]; do
    case $1 in
    --quick) runs=2 files=200 mib=8 ;;
    --csv-file) csv=$2 && shift ;;
    *) echo "usage: bench_tools.sh [--quick] [--csv-file FILE]" >&2 && exit 2 ;;
    esac
    shift
done

echo "what,unit,median,min,max" >>"$csv"
if ! command -v hyperfine >/dev/null; then
    printf '\ntools: skipped, hyperfine is not installed\n'
    exit 0
fi

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
workers=$(nproc)
cd "$tmp"

# compare TITLE COMMAND...: the commands one after the other, each after a warm-up
compare() {
    title=$1
    shift
    hyperfine --style none --warmup 1 --runs $runs --export-csv times.csv "$@" \
        >/dev/null 2>messages || { cat messages >&2; exit 1; }
    printf '\ntools  %s; %s runs after a warm-up\n' "$title" $runs
    # command,mean,stddev,median,user,system,min,max in seconds; numbers are last
    awk -F, -v title="$title" -v csv="$csv" 'NR > 1 {
        median = $(NF-4) * 1e3; least = $(NF-1) * 1e3; most = $NF * 1e3
        command = $1
        for (i = 2; i <= NF - 7; i++)
            command = command "," $i
        gsub(/"/, "", command)
        sub(/^.*\/cfsum /, "cfsum ", command)
        sub(/^.*\/pargz /, "pargz ", command)
        sub(/ [<>].*/, "", command)
        printf "     %-44s %8.1f ms [%.1f .. %.1f]\n", command, median, least, most
        printf "%s: %s,ms,%.1f,%.1f,%.1f\n", title, command, median, least, most >>csv
    }' times.csv
}

if [ -x "${CFSUM:-}" ] && command -v sha256sum >/dev/null; then
    mkdir small large
    i=0
    while [ $i -lt $files ]; do
        head -c $((i * 37 % 30000)) /dev/urandom >small/$i
        i=$((i + 1))
    done
    for i in 1 2 3 4 5 6 7 8; do
        head -c $((mib * 131072)) /dev/urandom >large/$i
    done
    for kind in small large; do
        ls -d $kind/* >names
        n=$(wc -l <names)
        share=$(((n + 2 * workers - 1) / (2 * workers)))
        set -- "sha256sum $kind/* >/dev/null" \
            "xargs -P $workers -n $share sha256sum <names >/dev/null"
        if command -v openssl >/dev/null; then      # the library that cfsum uses, too
            set -- "$@" "openssl sha256 -r $kind/* >/dev/null" \
                "xargs -P $workers -n $share openssl sha256 -r <names >/dev/null"
        fi
        compare "SHA-256 of $n $kind files" "$@" "$CFSUM -j 1 $kind/* >/dev/null" \
            "$CFSUM -j $workers $kind/* >/dev/null"
    done
else
    printf '\ntools: no checksums, cfsum was not built or there is no sha256sum\n'
fi

if [ -x "${PARGZ:-}" ] && command -v gzip >/dev/null; then
    # lines that repeat now and then, as those of a log do
    awk -v bytes=$((mib * 1048576)) 'BEGIN {
        srand(1)
        while (n < bytes) {
            line = sprintf("%d %x request /%d/%d took %d us", 1700000000 + n / 500,
                           rand() * 1e9, rand() * 50, rand() * 5000, rand() * 900)
            print line
            n += length(line) + 1
        }
    }' >text
    set -- "gzip -6 <text >text.gz"
    if command -v pigz >/dev/null; then
        set -- "$@" "pigz -6 -p $workers <text >text.gz"
    fi
    compare "compressing $mib MiB of text" "$@" "$PARGZ -6 -j $workers <text >text.gz"
else
    printf '\ntools: no compression, pargz was not built or there is no gzip\n'
fi
