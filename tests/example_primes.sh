#!/bin/sh
# example_primes.sh PRIMES: what examples/primes.c prints. Prints TAP.
set -u

if [ $# -ne 1 ] || [ ! -x "$1" ]; then
    echo "usage: example_primes.sh PRIMES" >&2
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

# Where there are no process pools (Windows), it says so.
if "$bin" --processes 2 2>&1 | grep -q 'not supported'; then
    kinds=threads
else
    kinds='threads processes'
fi

# prints NAME ARGUMENTS...: with each kind of workers, exits with 0 and prints
# $dir/expected.
prints() {
    name=$1
    shift
    for kind in $kinds; do
        if [ $kind = threads ]; then
            prints_with "$name" "$@"
        else
            prints_with "$name, processes" --processes "$@"
        fi
    done
}

prints_with() {
    name=$1
    shift
    "$bin" "$@" >"$dir/stdout" 2>"$dir/stderr"
    status=$?
    [ $status -eq 0 ] && [ ! -s "$dir/stderr" ] && diff "$dir/expected" "$dir/stdout" >"$dir/diff"
    ok $? "$name"
    sed 's/^/# /' "$dir/diff" "$dir/stderr"
}

# rejects NAME ARGUMENTS...: fails, says why, prints no answers.
rejects() {
    name=$1
    shift
    "$bin" "$@" >"$dir/stdout" 2>"$dir/stderr"
    [ $? -ne 0 ] && [ ! -s "$dir/stdout" ] && grep -q '^primes: ' "$dir/stderr"
    ok $? "$name"
}

cat >"$dir/expected" <<'END'
112272535095293 is prime: True
112582705942171 is prime: True
112272535095293 is prime: True
115280095190773 is prime: True
115797848077099 is prime: True
1099726899285419 is prime: False
END
prints "the example of Python's documentation"

cat >"$dir/expected" <<'END'
0 is prime: False
1 is prime: False
2 is prime: True
3 is prime: True
4 is prime: False
9 is prime: False
25 is prime: False
97 is prime: True
4294967291 is prime: True
4294967297 is prime: False
999966000289 is prime: False
18446744073709551615 is prime: False
END
prints "numbers as arguments" 0 1 2 3 4 9 25 97 4294967291 4294967297 999966000289 \
    18446744073709551615

# every number below 3000 by another way: cross out the multiples
awk 'BEGIN {
    for (i = 2; i < 3000; i++)
        for (j = 2 * i; j < 3000; j += i)
            composite[j] = 1
    for (i = 0; i < 3000; i++)
        print i, "is prime:", i < 2 || i in composite ? "False" : "True"
}' >"$dir/expected"
prints "the numbers below 3000, in order" $(sed 's/ .*//' "$dir/expected")

rejects "not a number" 7 seven
rejects "behind the number" 7x
rejects "negative" -- -7
rejects "signed" +7
rejects "empty" ''
rejects "too large" 18446744073709551616
rejects "unknown option" --nonsense
rejects "unknown option behind another" --processes --nonsense
"$bin" --help >"$dir/stdout" 2>"$dir/stderr"
[ $? -eq 0 ] && grep -q '^Usage: primes ' "$dir/stdout" && [ ! -s "$dir/stderr" ]
ok $? "help"
if [ -c /dev/full ]; then
    "$bin" 2 2>"$dir/stderr" >/dev/full
    [ $? -ne 0 ]
    ok $? "write error"
else
    ok 0 "write error # SKIP no /dev/full"
fi

echo "1..$count"
