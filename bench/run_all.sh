#!/bin/sh
# All benchmarks, one after the other: tables to the terminal, CSV files to OUT,
# and plots of them there where gnuplot is installed.
#
#   run_all.sh BENCH_CORE BENCH_LINEAR BENCH_PROCESS OUT [--quick]      CFSUM, PARGZ: see bench_tools.sh
set -eu

here=$(cd "$(dirname "$0")" && pwd)
core=$1 linear=$2 process=$3 out=$4
shift 4
begun=$(date +%s)

mkdir -p "$out"
rm -f "$out"/*.csv "$out"/*.svg
"$core" "$@" --csv-file "$out/core.csv"
echo
"$linear" "$@" --csv-file "$out/linear.csv"
echo
"$process" "$@" --csv-file "$out/process.csv"
sh "$here/bench_size.sh" "$@" --csv-file "$out/size.csv"
sh "$here/bench_tools.sh" "$@" --csv-file "$out/tools.csv"
if command -v gnuplot >/dev/null; then
    sh "$here/plot.sh" "$out"
else
    printf '\nno plots: gnuplot is not installed\n'
fi
printf '\nfigures in %s; %d s in all\n' "$out" $(($(date +%s) - begun))
