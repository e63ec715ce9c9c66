#!/bin/sh
# example_wc.sh WC: compares examples/wc.c with the wc of GNU coreutils on a
# generated tree, in the C locale. Prints TAP.
set -u
LC_ALL=C
export LC_ALL

if [ $# -ne 1 ] || [ ! -x "$1" ]; then
    echo "usage: example_wc.sh WC" >&2
    exit 2
fi
if ! wc --version 2>/dev/null | grep -q coreutils; then
    echo "1..0 # SKIP no wc of GNU coreutils to compare with"
    exit 0
fi

bin=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
dir=$(mktemp -d) || exit 2
trap 'exec 4>&-; chmod -R u+rwx "$dir"; rm -rf "$dir"' EXIT
trap 'exit 2' HUP INT PIPE TERM
cd "$dir" || exit 2
mkdir tree out
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

explain() {     # what differed, as TAP comments
    echo "# exit status: expected $1, got $2"
    for stream in stdout stderr; do
        diff ../out/expected.$stream ../out/got.$stream | head -n 10 | sed "s/^/# $stream /"
    done
}

# same NAME ARGUMENTS...: both programs, standard input from $input, must agree
# in output, messages and exit status.
input=/dev/null
same() {
    name=$1
    shift
    wc "$@" <"$input" >../out/expected.stdout 2>../out/expected.stderr
    expected=$?
    "$bin" "$@" <"$input" >../out/got.stdout 2>../out/musl.stderr
    got=$?
    sed 's|: I/O error$|: Input/output error|' ../out/musl.stderr >../out/got.stderr
    if [ $got -eq $expected ] && cmp -s ../out/expected.stdout ../out/got.stdout &&
        cmp -s ../out/expected.stderr ../out/got.stderr; then
        ok 0 "$name"
    else
        ok 1 "$name"
        explain $expected $got
    fi
}

# same_script NAME SCRIPT: the same for a shell script that runs "$wc".
same_script() {
    wc=wc sh -c "$2" >../out/expected.stdout 2>../out/expected.stderr
    expected=$?
    wc=$bin sh -c "$2" >../out/got.stdout 2>../out/got.stderr
    got=$?
    if [ $got -eq $expected ] && cmp -s ../out/expected.stdout ../out/got.stdout &&
        cmp -s ../out/expected.stderr ../out/got.stderr; then
        ok 0 "$1"
    else
        ok 1 "$1"
        explain $expected $got
    fi
}

# rejects NAME ARGUMENTS...: fails, says why, prints no counts.
rejects() {
    name=$1
    shift
    "$bin" "$@" >../out/got.stdout 2>../out/got.stderr </dev/null
    got=$?
    [ $got -ne 0 ] && [ -s ../out/got.stderr ] && [ ! -s ../out/got.stdout ]
    ok $? "$name"
}

# ---- the tree ----

mib=1048576

fill() {        # fill BYTES TEXT: BYTES bytes of TEXT repeated
    yes "$2" | tr -d '\n' | head -c "$1"
}

: >empty
printf 'one\n' >one
printf 'no newline' >noeol
printf '\n' >newline
printf '\n\n \t\v\f\r\n' >blank
printf 'a b\tc\vd\fe\rf\ng' >spaces
printf '%s\n' 'The quick brown fox' 'jumps over' '' 'the lazy dog.' >text
printf 'dash\n' >./-l
printf 'minus\n' >./--
mkdir directory

head -c $((2 * mib)) /dev/zero | tr '\0' x >cut_exact
head -c $((2 * mib + 1)) /dev/zero | tr '\0' x >cut_one_more
head -c $((4 * mib)) /dev/zero | tr '\0' '\n' >cut_newlines
head -c $((9 * mib + 7)) /dev/zero | tr '\0' x >one_word
head -c $((5 * mib)) /dev/zero | tr '\0' ' ' >one_gap
fill $((8 * mib + 3)) 'seven77 ' >one_line
yes 'a line of some words, again and again' | head -c $((5 * mib + 5)) >lines

# Blocks of one MiB; what stands left and right of each cut is a different pair
# every time: word, white space, and bytes that are neither, in all orders.
sides='abcd abc\040 \040bcd \012\012\012\012 ab\001\002 \040\001\377\002 \001\377ab \377\040\001\002'
fill $((mib - 8)) 'some words in the midst of it ' >../out/middle
for left in $sides; do
    for right in $sides; do
        printf "$right"
        cat ../out/middle
        printf "$left"
    done
done >crossing
# the same, so that the pairs at odd cuts come to even ones and back
{ head -c $mib one_line; cat crossing; } >crossing_shifted

# Words and gaps that go on over whole pieces without a byte that counts.
head -c $((5 * mib)) /dev/zero >../out/hollow
for side in ab ' ' cd ef ' ' ' ' gh; do
    printf '%s' "$side"
    cat ../out/hollow
done >hollow

i=0
while [ $i -lt 256 ]; do
    printf "\\$(printf %03o $i) x\\$(printf %03o $i)y\\$(printf %03o $i)\\$(printf %03o $i)\n"
    i=$((i + 1))
done >binary
cat binary binary one_word binary crossing binary >binary_big

mkdir many
i=0
while [ $i -lt 200 ]; do
    head -c $((i * 37)) lines >many/$i
    i=$((i + 1))
done

# Since 9.5 coreutils takes unprintable bytes as parts of words.
binary_words=yes
[ "$(printf '\001\n' | wc -w)" -eq 0 ] || binary_words=no

# ---- options, on all kinds of files ----

for options in '' -l -w -c -lw -lc -wc -lwc -cwl '-l -c' '-c -c' --lines --words --bytes; do
    label="options '$options'"
    same "$label, one file" $options text
    same "$label, empty file" $options empty
    same "$label, large file" $options lines
    same "$label, several" $options empty one noeol newline blank spaces text
    same "$label, small and large" $options text cut_one_more one lines cut_exact empty one_gap
    same "$label, missing file" $options text missing one
    same "$label, only missing" $options missing
    same "$label, directory" $options text directory one
    same "$label, only a directory" $options directory
    input=text same "$label, standard input" $options
    input=lines same "$label, large standard input" $options
    input=text same "$label, dash" $options -
    input=lines same "$label, dash among files" $options one - text
    same_script "$label, pipe" "cat lines | \"\$wc\" $options"
    same_script "$label, pipe as dash" "cat lines | \"\$wc\" $options one - text"
done

# ---- words across cuts ----

for file in cut_exact cut_one_more cut_newlines one_word one_gap one_line lines; do
    for jobs in 1 2 7; do
        wc $file >../out/expected.stdout
        "$bin" -j $jobs $file >../out/got.stdout
        cmp -s ../out/expected.stdout ../out/got.stdout
        ok $? "$file in pieces, $jobs workers"
    done
done
for file in crossing crossing_shifted hollow binary binary_big; do
    if [ $binary_words = yes ]; then
        same "$file: all counts" $file
        same "$file: words" -w $file
    else
        skip "$file: all counts" "this wc counts unprintable bytes as words"
        skip "$file: words" "this wc counts unprintable bytes as words"
    fi
    same "$file: lines and bytes" -lc $file
    same_script "$file: lines through a pipe" "cat $file | \"\$wc\" -l"
done

# ---- many files, names ----

same "many files" many/*
same "many files, lines" -l many/*
same "the same file several times" text text lines text lines lines
printf 'x y\n' >'two words'
printf 'x\n' >"it's"
printf 'x\n' >'back\slash $dollar "quoted"'
printf 'x\n' >"$(printf 'new\nline')"
printf 'x\n' >"$(printf "it's\na \"new\"\tline \001\377 \$x\\\\")"
printf 'x\n' >"$(printf 'h\303\251llo')"
same "odd names" 'two words' "it's" 'back\slash $dollar "quoted"' "$(printf 'h\303\251llo')"
same "names with a newline" "$(printf 'new\nline')" \
    "$(printf "it's\na \"new\"\tline \001\377 \$x\\\\")"
same "missing file with a newline in its name" "$(printf 'no\nsuch')"
same "empty name" '' text
same "path through a file" text/below text
same "double dash ends the options" -- -l --
same "options after files" text -l one

# ---- standard input ----

input=text same "dash twice" - one -
input=lines same "dash twice, large" - -
same_script "dash twice, pipe" 'cat lines | "$wc" - one -'
same_script "standard input from the middle" '(dd bs=7 count=1 >/dev/null 2>&1; "$wc") <text'
same_script "large standard input from the middle" \
    '(dd bs=5000 count=1 >/dev/null 2>&1; "$wc") <lines'
same_script "bytes of standard input from the middle" \
    '(dd bs=5000 count=1 >/dev/null 2>&1; "$wc" -c) <lines'
same_script "standard input is read to its end" '("$wc"; cat) <text'
same_script "large standard input is read to its end" '("$wc"; cat) <lines'
same_script "standard input closed" '"$wc" - 2>/dev/null <&-'
"$bin" <&- 2>&1 | grep -q '^wc: standard input: Bad file descriptor'
ok $? "standard input closed is reported"
same_script "standard input a directory" '"$wc" - <directory'
mkfifo fifo
same_script "named pipe" 'cat lines >fifo & "$wc" text fifo one'

# ---- what cannot be read ----

if [ "$(id -u)" -ne 0 ]; then
    printf 'secret\n' >unreadable
    chmod 000 unreadable
    same "unreadable file" text unreadable one
    cp lines unreadable_large
    chmod 000 unreadable_large
    same "unreadable large file" text unreadable_large one
else
    skip "unreadable file" "root reads everything"
    skip "unreadable large file" "root reads everything"
fi
if [ -r /proc/self/mem ] && ! cat /proc/self/mem >/dev/null 2>&1; then
    same "read error" text /proc/self/mem one
else
    skip "read error" "no /proc/self/mem"
fi
if [ -r /proc/version ]; then
    same "file without a size" /proc/version text
    same "bytes of a file without a size" -c /proc/version
else
    skip "file without a size" "no /proc/version"
    skip "bytes of a file without a size" "no /proc/version"
fi
if dd if=/dev/null of=sparse bs=1 seek=9000000001 2>/dev/null; then
    same "bytes of a huge sparse file are not read" -c sparse text
else
    skip "bytes of a huge sparse file are not read" "no such large files here"
fi
rm -f sparse
if [ -c /dev/full ]; then
    "$bin" text >/dev/full 2>../out/got.stderr
    [ $? -ne 0 ] && grep -q '^wc: write error' ../out/got.stderr
    ok $? "write error"
else
    skip "write error" "no /dev/full"
fi

# With one worker, which is kept busy by a named pipe, the sizes are known and
# the large file has been cut, but not read, when it changes.
cp lines changing
"$bin" -j 1 fifo changing >../out/got.stdout 2>../out/got.stderr &
pid=$!
exec 4>fifo
printf 'a b c\n' >changing
exec 4>&-
wait $pid
status=$?
[ $status -eq 1 ] && grep -q '^wc: changing: became shorter' ../out/got.stderr
ok $? "a file that shrinks is reported"
printf ' %d %d %d %s\n' 0 0 0 fifo 1 3 6 changing 1 3 6 total >../out/expected.stdout
tr -s ' ' <../out/got.stdout | sed 's/^\([^ ]\)/ \1/' | cmp -s - ../out/expected.stdout
ok $? "of a file that shrinks what is left is counted"

cp lines changing
"$bin" -j 1 fifo changing >../out/got.stdout 2>../out/got.stderr &
pid=$!
exec 4>fifo
cat lines >>changing
exec 4>&-
wait $pid
status=$?
[ $status -eq 0 ] && [ "$(sed -n 2p ../out/got.stdout | tr -s ' ' | sed 's/^ //')" = \
    "$(wc changing | tr -s ' ' | sed 's/^ //')" ]
ok $? "a file that grows is read to its end"

# An endless input is read in constant memory: more than twice the limit has
# gone through when the peak is looked at.
"$bin" -j 2 <fifo >../out/got.stdout 2>../out/got.stderr &
pid=$!
exec 4>fifo
head -c $((160 * mib)) /dev/zero >&4
if [ -r /proc/$pid/status ]; then
    peak=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' /proc/$pid/status)
    [ "${peak:-999999}" -lt 65536 ]
    ok $? "a long pipe is read in constant memory"
else
    skip "a long pipe is read in constant memory" "no /proc/PID/status"
fi
exec 4>&-
wait $pid
ok $? "a long pipe is read to its end"

# ---- progress ----

# The pipe stays open until the progress line has been seen on the terminal.
if script -qefc true /dev/null </dev/null >/dev/null 2>&1; then
    mkfifo ../out/terminal
    script -qefc "'$bin' fifo >../out/got.stdout" /dev/null >../out/terminal </dev/null &
    pid=$!
    exec 5<../out/terminal
    exec 4>fifo
    [ "$(head -c 18 <&5 | tr -d '\r')" = 'wc: 0 of 1 files,' ]
    ok $? "progress is shown on a terminal"
    exec 4>&-
    tail -c 2 <&5 | od -An -c | grep -q '  \\r'
    ok $? "progress is erased at the end"
    exec 5<&-
    wait $pid
else
    skip "progress is shown on a terminal" "no script command"
    skip "progress is erased at the end" "no script command"
fi

# ---- the command line ----

rejects "unknown option" -x text
rejects "unknown long option" --nonsense text
rejects "no workers" -j 0 text
rejects "negative workers" -j -3 text
rejects "workers not a number" -j 2x text
rejects "number of workers missing" -j
"$bin" --help >../out/got.stdout 2>../out/got.stderr
[ $? -eq 0 ] && grep -q '^Usage: wc ' ../out/got.stdout && [ ! -s ../out/got.stderr ]
ok $? "help"
same_script "one worker" '"$wc" text lines one_word many/1'

echo "1..$count"
