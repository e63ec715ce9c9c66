#!/bin/sh
# example_cfsum.sh CFSUM: compares examples/cfsum.c with the checksum programs of
# GNU coreutils on a generated tree, in the C locale. Prints TAP.
set -u
LC_ALL=C
export LC_ALL

if [ $# -ne 1 ] || [ ! -x "$1" ]; then
    echo "usage: example_cfsum.sh CFSUM" >&2
    exit 2
fi
case $(sha256sum --version 2>/dev/null) in
*coreutils*\ 9.*) ;;
*)
    echo "1..0 # SKIP no sha256sum of GNU coreutils 9 to compare with"
    exit 0
    ;;
esac

bin=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
dir=$(mktemp -d) || exit 2
trap 'exec 4>&-; rm -rf "$dir"' EXIT
trap 'exit 2' HUP INT PIPE TERM
cd "$dir" || exit 2
mkdir tree out sha256 md5 sha1 sha512 own
# A program names itself in its messages as it was called.
for algorithm in sha256 md5 sha1 sha512; do
    ln -s "$(command -v ${algorithm}sum)" $algorithm/cfsum
done
ln -s "$bin" own/cfsum
cd tree || exit 2

count=0
ok() {          # ok STATUS NAME: one test, passed if STATUS is 0
    count=$((count + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $count - $2"
    else
        echo "not ok $count - $2"
    fi
}

skip() {        # skip NAME WHY
    count=$((count + 1))
    echo "ok $count - $1 # SKIP $2"
}

# agrees NAME: what both programs printed and returned is the same.
agrees() {
    [ $got -eq $expected ] && cmp -s ../out/expected.stdout ../out/got.stdout &&
        cmp -s ../out/expected.stderr ../out/got.stderr
    agreed=$?
    ok $agreed "$1"
    [ $agreed -eq 0 ] && return
    echo "# exit status: expected $expected, got $got"
    for stream in stdout stderr; do
        diff -a ../out/expected.$stream ../out/got.$stream | head -n 10 |
            sed "s/^/# $stream /"
    done
}

# same NAME ARGUMENTS...: both programs, standard input from $input, must agree
# in output, messages and exit status. $algorithm and $jobs are theirs.
input=/dev/null
algorithm=sha256
jobs=3
same() {
    name=$1
    shift
    (PATH=$dir/$algorithm:$PATH && cfsum "$@") <"$input" \
        >../out/expected.stdout 2>../out/expected.stderr
    expected=$?
    (PATH=$dir/own:$PATH && cfsum -a $algorithm -j $jobs "$@") <"$input" \
        >../out/got.stdout 2>../out/got.stderr
    got=$?
    agrees "$name"
}

rejects() {     # rejects NAME ARGUMENTS...: fails, says why, prints no checksum
    name=$1
    shift
    "$bin" "$@" >../out/got.stdout 2>../out/got.stderr </dev/null
    [ $? -eq 1 ] && grep -q 'cfsum: ' ../out/got.stderr && [ ! -s ../out/got.stdout ]
    ok $? "$name"
}

# ---- the tree ----

: >empty
printf 'one\n' >one
printf 'x' >x
printf 'dash\n' >./-b
yes 'a line of some words' | head -c 65535 >buffer_less
yes 'a line of some words' | head -c 65536 >buffer
yes 'a line of some words' | head -c 65537 >buffer_more
yes 'a line of some words' | head -c 3000000 >lines
head -c 1000000 /dev/urandom >random
dd if=/dev/null of=sparse bs=1 seek=67108864 2>/dev/null
mkdir directory many odd
i=0
while [ $i -lt 700 ]; do        # more than are under way at once
    echo $i >many/$i
    i=$((i + 1))
done
for name in 'two words' ' leading' 'trailing ' '*star' 'back\slash' '\' 'dollar$ "quoted"' \
    "it's" 'a:b' 'a) = b' '#hash' 'a#' "$(printf 'new\nline')" "$(printf 'cr\rlf\n\\n')"; do
    echo "$name" >"odd/$name"
done

# ---- printing ----

for algorithm in sha256 md5 sha1 sha512; do
    same "$algorithm: files of all sizes" empty one x buffer_less buffer buffer_more lines random
    same "$algorithm: BSD style" --tag empty one random
    input=random same "$algorithm: standard input"
done
algorithm=sha256
for jobs in 1 2 16; do
    same "$jobs workers: many files, in order" many/* lines sparse many/*
done
jobs=3
for options in '' -b -t -z --tag '--tag -z' '-b -z' '-t --tag' '-b -t' --binary --text --zero; do
    same "options '$options', odd names" $options odd/* one
done
same "missing file" one missing x
same "only a missing file" missing
same "odd missing names" 'no such' '' 'b\s' 'a:b' '#a' 'a$' '~' "it's" "it's \$"
same "directory" one directory x
same "path through a file" one/below x
same "dash among files" one - x
same "names with control characters" "$(printf 'no\nsuch')" "$(printf '\001\t\033[0m')"
input=random same "dash" -
input=random same "dash twice" - one -
same "the same file several times" one one lines one
same "double dash ends the options" -- -b one
same "options after files" one --tag x
cat lines >../out/copy
cat lines | "$bin" >../out/got.stdout && sha256sum <lines | cmp -s - ../out/got.stdout
ok $? "a pipe"
mkfifo fifo
cat lines >fifo &
"$bin" -j 1 one fifo x >../out/got.stdout
{ sha256sum one; sha256sum <lines | sed 's/-/fifo/'; sha256sum x; } | cmp -s - ../out/got.stdout
ok $? "a named pipe"
wait
"$bin" - <&- 2>&1 | grep -q '^cfsum: -: Bad file descriptor'
ok $? "standard input closed"
if [ -r /proc/self/mem ] && ! cat /proc/self/mem >/dev/null 2>&1; then
    same "read error" one /proc/self/mem x
else
    skip "read error" "no /proc/self/mem"
fi

# Root reads everything. A program in a folder of root's cannot be started.
if [ "$(id -u)" -ne 0 ]; then
    as_user() { "$@"; }
else
    as_user() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
fi
cp "$bin" ../cfsum
chmod 755 .. . ../cfsum
echo secret >unreadable
chmod 000 unreadable
if as_user ../cfsum x >/dev/null 2>&1; then
    as_user ../sha256/cfsum x unreadable one >../out/expected.stdout 2>../out/expected.stderr
    expected=$?
    sed -i 's,^\.\./sha256/,,' ../out/expected.stderr
    as_user ../cfsum x unreadable one >../out/got.stdout 2>../out/got.stderr
    got=$?
    [ $expected -eq 1 ]
    ok $? "unreadable file: it is"
    agrees "unreadable file"
else
    skip "unreadable file" "cannot become another user"
fi
rm -f unreadable

# ---- checking ----

sha256sum empty one x lines random >../out/list
sha256sum --tag empty one x lines random >../out/list_tag
sha256sum -b empty one x >../out/list_binary
sha256sum odd/* >../out/list_odd
sha256sum --tag odd/* >../out/list_odd_tag
sha256sum many/* >../out/list_many
sed 's/  / /' ../out/list >../out/list_bsd_reversed
sed 's/$/\r/' ../out/list >../out/list_dos
tr a-f A-F <../out/list >../out/list_upper
sed 's/^/ \t/' ../out/list >../out/list_blanks
{ echo '# comment'; echo; cat ../out/list; echo '#'; } >../out/list_comments
head -c -1 ../out/list >../out/list_no_newline
sed '2s/^./g/; 3s/^.//; 4s/  .*//; 5s/ .*/ /' ../out/list >../out/list_malformed
sed 's/^\(.\)\(.\)/\2\1/' ../out/list >../out/list_different
{ cat ../out/list; sha256sum one | sed 's/one/missing/'; } >../out/list_missing
sha256sum one | sed 's/one/missing/' >../out/list_only_missing
sha256sum one | sed 's/one/directory/' >../out/list_directory
cat ../out/list_malformed ../out/list_missing ../out/list_different >../out/list_all
sed 's/^SHA256/SHA512/; s/[(]one[)] = ./(one) = /; s/(x)/(x/; s/=.*lines/=/' \
    ../out/list_tag >../out/list_tag_malformed
printf '\\%s  bad\\escape\n' "$(sha256sum <one | cut -c -64)" >../out/list_bad_escape
printf 'nonsense\n' >../out/list_nonsense
: >../out/list_empty
sha256sum - <random >../out/list_stdin
head -c 100000 /dev/zero | tr '\0' x >../out/list_one_line

for list in ../out/list ../out/list_*; do
    for options in '' '--strict --warn' '--ignore-missing --quiet'; do
        input=random same "-c $options ${list##*/}" -c $options "$list"
    done
    input=$list same "-c ${list##*/}, from standard input" -c
done
for options in --quiet --status --strict -w --ignore-missing '--ignore-missing --status' \
    '--status --warn' '--warn --status' '--quiet --warn' '--status --quiet'; do
    for list in ../out/list ../out/list_all ../out/list_malformed ../out/list_only_missing; do
        same "-c $options ${list##*/}" -c $options $list
    done
done
cat ../out/list ../out/list_bsd_reversed >../out/mixed
same "two styles of list in one" -c --warn ../out/mixed
cat ../out/list_bsd_reversed ../out/list >../out/mixed
same "two styles of list in one, the other way" -c --warn ../out/mixed
same "several lists" -c ../out/list ../out/list_different ../out/list_malformed ../out/list_tag
same "a missing list" -c ../out/list ../out/none ../out/list_tag
same "a folder as list" -c directory ../out/list
input=../out/list same "dash as list" --check --warn -
input=../out/list_stdin same "standard input as list that names it" -c --warn -
for algorithm in md5 sha1 sha512; do
    "$bin" -a $algorithm empty lines odd/* >../out/own
    "$bin" -a $algorithm --tag empty lines odd/* >>../out/own
    same "$algorithm: a list of one's own" -c ../out/own
    same "$algorithm: a list of another kind" -c --warn ../out/list
done
algorithm=sha256
cp lines tampered
sha256sum one tampered x >../out/tampered
printf X | dd of=tampered bs=1 seek=1500000 conv=notrunc 2>/dev/null
same "a file that was tampered with" -c ../out/tampered

# ---- XXH3 ----

if "$bin" -a xxh3 empty >../out/got.stdout 2>/dev/null; then
    echo '2d06800538d394c2  empty' | cmp -s - ../out/got.stdout
    ok $? "xxh3 of nothing"
    "$bin" -a XXH3 many/* lines random --tag >../out/own && grep -q '^XXH3 (lines) = ' ../out/own &&
        "$bin" -a xxh3 -c --quiet ../out/own >../out/got.stdout && [ ! -s ../out/got.stdout ]
    ok $? "xxh3: a list of one's own"
    sed -i 's/= ./= /; s/$/0/' ../out/own
    ! "$bin" -a xxh3 -c ../out/own >../out/got.stdout 2>&1 && ! grep -q OK ../out/got.stdout
    ok $? "xxh3: what differs is told"
else
    skip "xxh3" "built without libxxhash"
fi

# ---- Ctrl-C ----

# What a shell without job control starts with & ignores SIGINT, and reads nothing.
start() {       # start ARGUMENTS...: not so; standard input is a silent pipe
    env --default-signal=INT "$bin" "$@" <&4 >../out/got.stdout 2>../out/got.stderr &
    pid=$!
}

until_lines() { # until_lines N: waits until N lines have been printed
    tries=0
    while [ "$(wc -l <../out/got.stdout)" -lt "$1" ] && [ $tries -lt 600 ]; do
        tries=$((tries + 1))
        sleep 0.05
    done
}

# SIGINT comes again and again: the first ones may come before they are heeded.
wait_interrupted() {
    while sleep 0.2; do
        kill -INT $pid
    done 2>/dev/null &
    wait $pid
    status=$?
    kill $!
    wait $! 2>/dev/null
}

interrupted() { # interrupted NAME LINES: Ctrl-C ends it, and so many lines are whole
    wait_interrupted
    [ $status -eq 130 ] && [ ! -s ../out/got.stderr ]
    ok $? "Ctrl-C $1: exit status 130, no message"
    [ $status -eq 130 ] || sed "s/^/# exit status $status /" ../out/got.stderr
    [ "$(wc -l <../out/got.stdout)" -ge "$2" ] &&
        [ "$(tail -c 1 ../out/got.stdout | od -An -c | tr -d ' ')" = '\n' ]
    ok $? "Ctrl-C $1: what is printed ends with a line"
}

exec 4<>fifo                    # somebody could write to it, and nobody does
start -j 2 one x fifo lines
until_lines 2
interrupted "while a pipe is silent" 2
sha256sum one x | cmp -s - ../out/got.stdout
ok $? "Ctrl-C: what was done before has been printed"
start -j 1 one -
until_lines 1
interrupted "while standard input is silent" 1
dd if=/dev/null of=huge bs=1 seek=100000000000 2>/dev/null
start -j 2 one huge huge lines huge
until_lines 1
interrupted "in the midst of large files" 1
rm -f huge
{ sha256sum one x; echo "$(printf %064d 0)  fifo"; } >../out/interrupted
start -c ../out/interrupted
until_lines 2
interrupted "while checking" 2
printf 'one: OK\nx: OK\n' | cmp -s - ../out/got.stdout
ok $? "Ctrl-C while checking: what was done before has been printed"
start -c -
wait_interrupted
[ $status -eq 130 ] && [ ! -s ../out/got.stdout ] && [ ! -s ../out/got.stderr ]
ok $? "Ctrl-C while waiting for a list"
exec 4>&-

# ---- progress ----

"$bin" one lines >../out/got.stdout 2>../out/got.stderr && [ ! -s ../out/got.stderr ]
ok $? "no progress where there is no terminal"
"$bin" --progress many/* >../out/got.stdout 2>../out/got.stderr &&
    grep -aq 'cfsum: [0-9]* files, [0-9]* MiB' ../out/got.stderr
ok $? "progress if asked for"
tail -c 4 ../out/got.stderr | od -An -c | grep -q ' \\r 033   \[   K'
ok $? "progress is erased at the end"
[ "$(wc -l <../out/got.stdout)" -eq 700 ]
ok $? "progress does not go to the output"

# ---- the command line ----

for options in '--tag -t' '-c --tag x' '-c -z x' '--quiet x' '--status x' '--warn x' '-w x' \
    '--strict x' '--ignore-missing x' '-c -b x' '-c -t x' '--ignore-missing --quiet --strict x'; do
    same "contradiction: $options" $options
done
rejects "no workers" -j 0 x
rejects "negative workers" -j -3 x
rejects "workers not a number" -j 2x x
rejects "workers missing" -j
rejects "unknown algorithm" -a sha257 x
rejects "empty algorithm" -a '' x
same "unknown option" --nonsense x
"$bin" --help >../out/got.stdout 2>../out/got.stderr
[ $? -eq 0 ] && grep -q '^Usage: cfsum ' ../out/got.stdout && [ ! -s ../out/got.stderr ]
ok $? "help"
if [ -c /dev/full ]; then
    "$bin" one >/dev/full 2>../out/got.stderr
    [ $? -eq 1 ] && grep -q '^cfsum: write error: No space' ../out/got.stderr
    ok $? "write error"
else
    skip "write error" "no /dev/full"
fi

echo "1..$count"
