#!/bin/sh
# example_loiter.sh LOITER: order and times of what examples/loiter.c prints.
# Prints TAP.
set -u

if [ $# -ne 1 ] || [ ! -x "$1" ]; then
    echo "usage: example_loiter.sh LOITER" >&2
    exit 2
fi

bin=$1
dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT
trap 'exit 2' HUP INT PIPE TERM

count=0
ok() {          # ok STATUS NAME: one test, passed if STATUS is 0
    count=$((count + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $count - $2"
    else
        echo "not ok $count - $2"
    fi
}

# without LINE: the output without the times, only lines that match LINE
without() {
    sed 's/^\[ *[0-9]*\.[0-9]*\] *//' "$dir/stdout" | grep "$1"
}

# at LINE: the time of the first line that contains LINE
at() {
    sed -n "/$1/{s/^\[ *\([0-9.]*\)\].*/\1/p;q;}" "$dir/stdout"
}

# holds EXPRESSION: whether it is true, to awk
holds() {
    awk "BEGIN { exit !($1) }"
}

rejects() {
    name=$1
    shift
    "$bin" "$@" >"$dir/stdout" 2>"$dir/stderr"
    [ $? -ne 0 ] && [ ! -s "$dir/stdout" ] && grep -q '^loiter: ' "$dir/stderr"
    ok $? "$name"
}

"$bin" --unit 200 >"$dir/stdout" 2>"$dir/stderr"
status=$?
[ $status -eq 0 ] && [ ! -s "$dir/stderr" ]
ok $? "runs"
sed 's/^/# /' "$dir/stdout" "$dir/stderr"

printf 'result %d: %d\n' 0 0 1 10 2 20 3 30 4 40 >"$dir/expected"
without '^result' | cmp -s - "$dir/expected"
ok $? "results come in the order of submission"

printf 'loiter(%d): sleeping for %d ms\n' 0 0 1 200 2 400 3 600 4 800 >"$dir/expected"
without sleeping | sort | cmp -s - "$dir/expected"
ok $? "each task starts once"
[ "$(without '): done' | sort | tr '\n' ' ')" = \
    'loiter(0): done loiter(1): done loiter(2): done loiter(3): done loiter(4): done ' ]
ok $? "each task ends once"
[ "$(wc -l <"$dir/stdout")" -eq 15 ]
ok $? "no line is torn"

# Times: a task sleeps at least as long as it should, and all together less than
# the two seconds that they would take one after the other.
for n in 1 2 3 4; do
    holds "$(at "($n): done") - $(at "($n): sleeping") >= 0.2 * $n - 0.002"
    ok $? "task $n sleeps long enough"
    holds "$(at "result $n:") >= $(at "($n): done") - 0.001"
    ok $? "result $n comes when task $n has ended"
done
holds "$(at '(4): sleeping') >= 0.199"
ok $? "three workers are not more: the fifth task waits for one"
holds "$(at 'result 4:') < 1.9"
ok $? "tasks sleep at the same time"

"$bin" --unit 0 >"$dir/stdout" 2>"$dir/stderr" &&
    [ "$(without '^result' | tr '\n' ' ')" = \
        'result 0: 0 result 1: 10 result 2: 20 result 3: 30 result 4: 40 ' ]
ok $? "a unit of nothing"

rejects "unit missing" --unit
rejects "unit not a number" --unit fast
rejects "unit negative" --unit -1
rejects "unit with more behind it" --unit 5s
rejects "unit empty" --unit ''
rejects "unit too large" --unit 99999999999999999999
rejects "unknown argument" 100
"$bin" --help >"$dir/stdout" 2>"$dir/stderr"
[ $? -eq 0 ] && grep -q '^Usage: loiter ' "$dir/stdout" && [ ! -s "$dir/stderr" ]
ok $? "help"

echo "1..$count"
