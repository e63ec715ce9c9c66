#!/bin/sh
# The quick setup many times over, on a machine that is busier than it can be: with twice
# as many loops that do nothing as there are processors, and four tests at once on each.
#
#   repeat.sh BUILD [RUNS]        RUNS: 1000 unless told, in fifties
#
# Stops at the first failure. The last line is `N clean runs`; exit status 0 if all were.
set -eu

build=${1:?a build folder}
runs=${2:-1000}
processors=$(nproc)
busy=
log=$(mktemp)
trap '[ -z "$busy" ] || kill $busy; rm -f "$log"' EXIT
trap 'exit 1' INT TERM

ninja -C "$build" >"$log" || { cat "$log"; exit 1; }
for loop in $(seq $((2 * processors))); do
    sh -c 'while :; do :; done' &
    busy="$busy $!"
done

clean=0
while [ "$clean" -lt "$runs" ]; do
    if ! meson test -C "$build" --no-rebuild --setup quick --repeat 50 \
        --num-processes $((4 * processors)) --print-errorlogs >"$log" 2>&1; then
        grep -v ' OK ' "$log"
        break
    fi
    clean=$((clean + 50))
    echo "$(date +%H:%M:%S) $clean"
done
echo "$clean clean runs"
[ "$clean" -ge "$runs" ]
