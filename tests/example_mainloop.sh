#!/bin/sh
# example_mainloop.sh MAINLOOP: what examples/mainloop.c prints. Prints TAP.
set -u

if [ $# -ne 1 ] || [ ! -x "$1" ]; then
    echo "usage: example_mainloop.sh MAINLOOP" >&2
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

# The number of primes in each part, by another way than the program's.
awk 'BEGIN {
    for (i = 2; i < 100000; i++) {
        if (i in composite)
            continue
        primes[int(i / 25000)]++
        for (j = i * i; j < 100000; j += i)
            composite[j] = 1
    }
    for (part = 0; part < 4; part++)
        printf "%d primes from %d to %d\n", primes[part], part * 25000, part * 25000 + 24999
}' >"$dir/expected"
cat >>"$dir/expected" <<'END'
20 updates, all shown by the main thread, in turn
update taken back: cancelled
update in time: success
update left at the end: cancelled
update too late: the executor takes no more tasks
END

"$bin" >"$dir/stdout" 2>"$dir/stderr"
status=$?
[ $status -eq 0 ] && [ ! -s "$dir/stderr" ]
ok $? "runs"
diff "$dir/expected" "$dir/stdout" >"$dir/diff"
ok $? "the report is as expected"
sed 's/^/# /' "$dir/diff" "$dir/stderr"

# Threads meet in other ways each time; the report must not depend on that.
same=0
i=0
while [ $i -lt 100 ]; do
    "$bin" >"$dir/stdout" 2>&1 && cmp -s "$dir/expected" "$dir/stdout" && same=$((same + 1))
    i=$((i + 1))
done
echo "# $same of 100 runs as expected"
[ $same -eq 100 ]
ok $? "the report is always the same"

"$bin" now >"$dir/stdout" 2>"$dir/stderr"
[ $? -ne 0 ] && [ ! -s "$dir/stdout" ] && grep -q '^mainloop: ' "$dir/stderr"
ok $? "unknown argument"
"$bin" --help >"$dir/stdout" 2>"$dir/stderr"
[ $? -eq 0 ] && grep -q '^Usage: mainloop' "$dir/stdout" && [ ! -s "$dir/stderr" ]
ok $? "help"

echo "1..$count"
