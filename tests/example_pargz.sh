#!/bin/sh
# example_pargz.sh PARGZ: examples/pargz.c against gzip, and pigz if it is
# installed. Prints TAP.
set -u
LC_ALL=C
export LC_ALL

if [ $# -ne 1 ] || [ ! -x "$1" ]; then
    echo "usage: example_pargz.sh PARGZ" >&2
    exit 2
fi
if ! gzip --version >/dev/null 2>&1; then
    echo "1..0 # SKIP no gzip to compare with"
    exit 0
fi

bin=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
dir=$(mktemp -d) || exit 2
trap 'exec 4>&-; rm -rf "$dir"' EXIT
trap 'exit 2' HUP INT PIPE TERM
cd "$dir" || exit 2

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

# run STATUS MESSAGE NAME ARGUMENTS...: exits with STATUS; standard error has one
# line that contains MESSAGE, or none.
input=/dev/null
run() {
    expected=$1
    message=$2
    name=$3
    shift 3
    "$bin" "$@" <"$input" >stdout 2>stderr
    status=$?
    if [ -n "$message" ]; then
        [ $status -eq "$expected" ] && [ "$(wc -l <stderr)" -eq 1 ] && grep -q "$message" stderr
    else
        [ $status -eq "$expected" ] && [ ! -s stderr ]
    fi
    ok $? "$name"
    [ $status -eq "$expected" ] || sed "s/^/# exit status $status, /" stderr
}

is() {          # is NAME FILE FILE: the same bytes
    cmp -s "$2" "$3"
    ok $? "$1"
}

# ---- round trips ----

# Words as in a language: a few are frequent, most are rare.
words() {       # words LINES
    awk -v lines="$1" 'BEGIN {
        srand(7)
        for (i = 0; i < 5000; i++) {
            word = ""
            for (j = 2 + int(rand() * 8); j > 0; j--)
                word = word sprintf("%c", 97 + int(26 * rand() * rand()))
            words[i] = word
        }
        for (i = 0; i < lines; i++) {
            line = ""
            for (j = 0; j < 10; j++)
                line = line words[int(5000 * rand() * rand() * rand())] " "
            print line
        }
    }'
}

words 40000 >text
head -c 1000000 /dev/urandom >random
yes 'again and again' | head -c 2000000 >again
for size in 0 1 32767 32768 32769 131071 131072 131073 163839 163840 163841 262144 262145; do
    head -c $size text >sized
    input=sized run 0 '' "$size bytes"
    gunzip <stdout 2>/dev/null | cmp -s - sized
    ok $? "$size bytes: gunzip gets them back"
    mv stdout packed
    input=packed run 0 '' "$size bytes: decompressed" -d
    is "$size bytes: and here" stdout sized
done
for file in text random again; do
    for level in 1 5 6 9; do
        input=$file run 0 '' "$file at level $level" -$level
        gzip -t <stdout 2>/dev/null && gunzip <stdout | cmp -s - $file
        ok $? "$file at level $level: gunzip gets it back"
    done
done
"$bin" <text >text.one
for jobs in 1 2 9; do
    input=text run 0 '' "$jobs workers" -j $jobs
    is "$jobs workers: the same bytes" stdout text.one
done
cat text | "$bin" | cmp -s - text.one
ok $? "a pipe: the same bytes"
(dd bs=1 count=5; sleep 0.1; cat) <text 2>/dev/null | "$bin" | cmp -s - text.one
ok $? "a pipe that comes in small parts: the same bytes"

# ---- size ----

near() {        # near NAME SIZE OTHER_SIZE: at most 1 % more
    echo "# $1: $2 bytes, $3"
    [ "$2" -gt 0 ] && [ $(($2 * 100)) -le $(($3 * 101)) ]
    ok $? "$1: at most 1 % larger"
}

for level in 1 6 9; do
    ours=$("$bin" -$level <text | wc -c)
    near "gzip -$level" "$ours" "$(gzip -n$level <text | wc -c)"
    if pigz --version >/dev/null 2>&1; then
        near "pigz -$level" "$ours" "$(pigz -n$level <text | wc -c)"
    else
        skip "pigz -$level: at most 1 % larger" "no pigz"
    fi
done
near "incompressible" "$("$bin" <random | wc -c)" "$(wc -c <random)"

# ---- decompressing what others wrote ----

gzip -c text >others.gz
input=others.gz run 0 '' "of gzip" -d
is "of gzip: the same" stdout text
cat others.gz text.one >two.gz
cat text text >text.twice
input=two.gz run 0 '' "two members" -d
is "two members: both" stdout text.twice
{ cat others.gz; head -c 300000 /dev/zero; cat text.one; head -c 10000 /dev/zero; } >zeros.gz
input=zeros.gz run 0 '' "zeros behind members" -d
is "zeros behind members: both" stdout text.twice
{ cat others.gz; echo garbage; } >garbage.gz
input=garbage.gz run 2 'stdin: decompression OK, trailing garbage ignored' "garbage behind it" -d
is "garbage behind it: all there" stdout text
for size in 0 5 10 1000 100000 $(($(wc -c <text.one) - 8)) $(($(wc -c <text.one) - 1)); do
    head -c "$size" text.one >cut
    input=cut run 1 'stdin: unexpected end of file' "cut after $size bytes" -d
done
cp text.one bad.gz
printf '\377\377' | dd of=bad.gz bs=1 seek=20000 conv=notrunc 2>/dev/null
input=bad.gz run 1 'pargz: stdin: ' "damaged" -d
head -c -8 text.one >bad_sum
printf '\0\0\0\0\0\0\0\0' >>bad_sum
input=bad_sum run 1 'stdin: incorrect data check' "wrong checksum" -d
input=text run 1 'stdin: incorrect header check' "no gzip file" -d

# ---- files ----

mkdir files
cd files || exit 2
input=/dev/null
cp ../text a
touch -d '2001-02-03 04:05:06' a
chmod 640 a
run 0 '' "a file" a
[ ! -e a ] && [ "$(stat -c '%a %Y' a.gz)" = "640 $(date -d '2001-02-03 04:05:06' +%s)" ]
ok $? "a file is replaced, with its permissions and date"
is "a file: content" a.gz ../text.one
run 0 '' "decompress a file" -d a.gz
[ ! -e a.gz ] && [ "$(stat -c '%a %Y' a)" = "640 $(date -d '2001-02-03 04:05:06' +%s)" ]
ok $? "decompress a file: it is replaced"
is "decompress a file: content" a ../text
run 0 '' "keep" -k a
[ -e a ] && [ -e a.gz ]
ok $? "keep: both are there"
echo precious >a.gz
run 2 'a.gz: already exists; not overwritten' "no overwriting" a
[ "$(cat a.gz)" = precious ] && cmp -s a ../text
ok $? "no overwriting: both as they were"
run 0 '' "overwriting by force" -fk a
is "overwriting by force: content" a.gz ../text.one
echo small >b
run 0 '' "to standard output" -c a b
gunzip <stdout | cmp -s - /dev/stdin <<END
$(cat a b)
END
ok $? "to standard output: all of them, one behind the other"
[ -e a ] && [ -e b ]
ok $? "to standard output: the files are kept"
run 1 'missing: No such file' "a missing file among others" b missing
[ -e b.gz ] && [ ! -e b ] && [ ! -e missing.gz ]
ok $? "a missing file among others: the others are done"
mkdir folder
ln -s a link
run 2 'folder: is a directory -- ignored' "a folder" folder
run 1 'link: Too many levels' "a symbolic link" link
run 2 'a.gz: already has .gz suffix' "suffix there already" a.gz
run 2 'a: unknown suffix' "suffix not there" -d a
ln a hard
run 2 'hard: has other links' "another link" hard
rm hard
{ gzip -c a; echo garbage; } >g.gz
run 2 'g.gz: decompression OK, trailing garbage' "garbage behind it" -d g.gz
[ -e g ] && [ -e g.gz ]
ok $? "garbage behind it: nothing is thrown away"

# ---- nothing half-written ----

head -c 100000 a.gz >cut.gz
run 1 'cut.gz: unexpected end of file' "a file that was cut" -d cut.gz
[ ! -e cut ] && [ -e cut.gz ]
ok $? "a file that was cut: no half of it, original kept"
rm -f a.gz
(trap '' XFSZ && ulimit -f 16 && "$bin" a) >stdout 2>stderr
[ $? -eq 1 ] && grep -q '^pargz: a.gz: File too large' stderr
ok $? "no room: a message"
[ ! -e a.gz ] && cmp -s a ../text
ok $? "no room: no half of it, original kept"
dd if=/dev/null of=huge bs=1 seek=100000000000 2>/dev/null
"$bin" huge &
pid=$!
tries=0
while [ ! -s huge.gz ] && [ $tries -lt 600 ]; do
    tries=$((tries + 1))
    sleep 0.05
done
[ -s huge.gz ] && kill $pid
wait $pid 2>/dev/null
[ $? -eq 143 ] && [ ! -e huge.gz ] && [ -e huge ]
ok $? "ended by a signal: no half of it, original kept"
cd .. || exit 2

if [ -c /dev/full ]; then
    "$bin" <text 2>stderr >/dev/full
    [ $? -eq 1 ] && [ "$(cat stderr)" = "pargz: stdout: No space left on device" ]
    ok $? "disk full"
    "$bin" -d <text.one 2>stderr >/dev/full
    [ $? -eq 1 ] && [ "$(cat stderr)" = "pargz: stdout: No space left on device" ]
    ok $? "disk full, decompressing"
else
    skip "disk full" "no /dev/full"
    skip "disk full, decompressing" "no /dev/full"
fi
if [ -r /proc/self/mem ] && ! cat /proc/self/mem >/dev/null 2>&1; then
    "$bin" -c /proc/self/mem >stdout 2>stderr
    [ $? -eq 1 ] && [ "$(cat stderr)" = "pargz: /proc/self/mem: Input/output error" ]
    ok $? "read error"
else
    skip "read error" "no /proc/self/mem"
fi
"$bin" <&- >stdout 2>stderr
[ $? -eq 1 ] && grep -q '^pargz: stdin: Bad file descriptor' stderr
ok $? "standard input closed"

# ---- endless pipes ----

yes 'again and again' | { "$bin" -j 2 -1; echo $? >status; } 2>stderr | head -c 100000 >stdout
[ "$(cat status)" -eq 1 ] && [ "$(cat stderr)" = "pargz: stdout: Broken pipe" ]
ok $? "broken pipe"
[ "$(wc -c <stdout)" -eq 100000 ]
ok $? "an endless pipe"

# Some 100 MB go in before this much has come out. Sanitizers reserve address
# space without end; malloc reserves 64 MiB for each thread, unless told not to.
limit=65536
MALLOC_ARENA_MAX=1
export MALLOC_ARENA_MAX
if (ulimit -v $limit && exec "$bin" -j 2 <again >stdout 2>/dev/null) 2>/dev/null; then
    yes 'again and again' | { ulimit -v $limit && "$bin" -j 2 -1; } 2>stderr |
        head -c 600000 | wc -c >stdout
    [ "$(cat stdout)" -eq 600000 ] && [ "$(cat stderr)" = "pargz: stdout: Broken pipe" ]
    ok $? "more goes through than the limit of memory"
else
    skip "more goes through than the limit of memory" "cannot run in so little"
fi
unset MALLOC_ARENA_MAX
# (AddressSanitizer keeps what was freed; here it may keep 4 MB.)
mkfifo fifo
ASAN_OPTIONS=${ASAN_OPTIONS:-}:quarantine_size_mb=4 "$bin" -j 2 -1 <fifo >stdout &
pid=$!
exec 4>fifo
head -c 100000000 /dev/zero >&4
if [ -r /proc/$pid/status ]; then
    peak=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' /proc/$pid/status)
    echo "# $peak kB at the peak"
    [ "${peak:-999999}" -lt 65536 ]
    ok $? "a long pipe in constant memory"
else
    skip "a long pipe in constant memory" "no /proc/PID/status"
fi
exec 4>&-
wait $pid
ok $? "a long pipe to its end"
[ "$(gunzip <stdout | wc -c)" -eq 100000000 ]
ok $? "a long pipe: all of it"

# ---- the command line ----

for arguments in '-j 0' '-j 2x' '-j -1' '-j'; do
    "$bin" $arguments <text >stdout 2>stderr
    [ $? -eq 1 ] && [ ! -s stdout ] && [ -s stderr ]
    ok $? "rejected: $arguments"
done
"$bin" -x <text >stdout 2>stderr
[ $? -eq 1 ] && [ ! -s stdout ] && [ -s stderr ]
ok $? "rejected: -x"
run 0 '' "help" --help
grep -q '^Usage: pargz ' stdout
ok $? "help says how"
if script -qefc true /dev/null </dev/null >/dev/null 2>&1; then
    script -qefc "'$bin' <text" /dev/null </dev/null >stdout
    [ $? -eq 1 ] && grep -q '^pargz: stdout: a terminal' stdout
    ok $? "nothing compressed goes to a terminal"
else
    skip "nothing compressed goes to a terminal" "no script command"
fi

echo "1..$count"
