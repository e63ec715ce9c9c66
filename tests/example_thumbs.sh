#!/bin/sh
# example_thumbs.sh THUMBS SABOTAGED [sanitized]: what examples/thumbs.c makes of
# pictures that are written here, of broken files, and, in a second build of it, of
# pictures that its decoder does not survive. Prints TAP.
set -u
LC_ALL=C
export LC_ALL

if [ $# -lt 2 ] || [ ! -x "$1" ] || [ ! -x "$2" ]; then
    echo "usage: example_thumbs.sh THUMBS SABOTAGED [sanitized]" >&2
    exit 2
fi

thumbs=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
sabotaged=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
# Sanitizers reserve more than any limit, and what a crash says goes through them.
sanitized=${3:-}
common=
[ -z "$sanitized" ] || common='-m 0'
scale=${CFUT_TEST_SCALE:-1}
dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT
trap 'exit 2' HUP INT PIPE TERM
cd "$dir" || exit 2

count=0
ok() {          # ok STATUS NAME: one test, passed if STATUS is 0
    count=$((count + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $count - $2"
    else
        echo "not ok $count - $2"
        sed 's/^/# out: /' stdout
        head -n 30 stderr | cut -c 1-200 | sed 's/^/# err: /'
    fi
}

skip() {        # skip NAME WHY
    count=$((count + 1))
    echo "ok $count - $1 # SKIP $2"
}

run() {         # run BIN ARGUMENTS...: leaves stdout, stderr, status
    program=$1
    shift
    "$program" $common "$@" >stdout 2>stderr </dev/null
    status=$?
}

has() {         # has LINE: it is in the report
    grep -qxF -e "$1" stdout
}

matches() {     # matches PATTERN: a whole line of the report does
    grep -qxE -e "$1" stdout
}

only() {        # only DIR NAMES...: DIR has these files and no others, hidden ones too
    folder=$1
    shift
    : >expected
    [ $# -eq 0 ] || printf '%s\n' "$@" | sort >expected
    ls -A "$folder" | sort >got
    diff expected got >/dev/null
}

# Bytes in a file, as od counts: from OFFSET, N of them, as decimal numbers.
bytes() {       # bytes FILE OFFSET N
    od -An -v -tu1 -j "$2" -N "$3" "$1" | tr -s ' \n' ' ' | sed 's/^ //; s/ $//'
}

png_size() {    # png_size FILE: "WIDTH HEIGHT", if it is a PNG file with its end there
    [ "$(bytes "$1" 0 8)" = '137 80 78 71 13 10 26 10' ] || return
    [ "$(tail -c 8 "$1" | od -An -v -tu1 | tr -s ' \n' ' ')" = ' 73 69 78 68 174 66 96 130 ' ] ||
        return
    set -- $(bytes "$1" 16 8)
    echo $(($3 * 256 + $4)) $(($7 * 256 + $8))
}

# ---- pictures ----

repeat() {      # repeat N TEXT: TEXT, which is for printf, N times
    awk -v n="$1" 'BEGIN { while (n-- > 0) print "" }' | while read -r _; do printf "$2"; done
}

pnm() {         # pnm KIND WIDTH HEIGHT PIXEL [COMMENT]: all of one colour
    printf "P$1\n${5:+#$5\\n}$2 $3\n255\n"
    repeat $(($2 * $3)) "$4"
}

pnm 6 300 100 '\377\200\001' >wide.ppm
pnm 6 50 200 '\001\002\377' >high.ppm
pnm 5 64 64 '\200' >gray.pgm
pnm 6 10 7 '\012\024\036' >small.ppm
pnm 6 1 1 '\377\377\377' >dot.ppm
pnm 6 900 1 '\377\001\001' >line.ppm

# 40 x 20 pixels of 24 bits, blue first
{
    printf 'BM\226\011\0\0\0\0\0\0\066\0\0\0\050\0\0\0\050\0\0\0\024\0\0\0\001\0\030\0'
    printf '\0\0\0\0\140\011\0\0\023\013\0\0\023\013\0\0\0\0\0\0\0\0\0\0'
    repeat 800 '\377\001\001'
} >blue.bmp

# 16 x 8 pixels with alpha, 32 bits, from the top
{
    printf '\0\0\002\0\0\0\0\0\0\0\0\0\020\0\010\0\040\050'
    repeat 128 '\001\001\377\200'
} >alpha.tga

# ---- what it makes ----

run "$thumbs" -s 60 -o out wide.ppm high.ppm gray.pgm small.ppm dot.ppm line.ppm blue.bmp alpha.tga
[ $status -eq 0 ] && [ ! -s stderr ]
ok $? "pictures of all kinds"
[ "$(sed 's/:.*//' stdout | tr '\n' ' ')" = \
    'wide.ppm high.ppm gray.pgm small.ppm dot.ppm line.ppm blue.bmp alpha.tga ' ]
ok $? "a line for each, in the order of the arguments"
only out wide.png high.png gray.png small.png dot.png line.png blue.png alpha.png
ok $? "a thumbnail for each, and nothing else"
while read -r name size; do
    [ "$(png_size out/$name.png)" = "$size" ]
    ok $? "$name is a whole PNG file of $size pixels"
    matches "$name\.[a-z]+: [0-9]+ x [0-9]+ -> ${size% *} x ${size#* }, $(($(wc -c <out/$name.png))) bytes"
    ok $? "$name is reported with its size and bytes"
done <<'LIST'
wide 60 20
high 15 60
gray 60 60
small 10 7
dot 1 1
line 60 1
blue 40 20
alpha 16 8
LIST
[ "$(bytes out/gray.png 24 2)" = '8 0' ] && [ "$(bytes out/wide.png 24 2)" = '8 2' ] &&
    [ "$(bytes out/alpha.png 24 2)" = '8 6' ]
ok $? "gray stays gray, colour colour, alpha alpha"

run "$thumbs" -s 300 -o again out/wide.png out/alpha.png
[ $status -eq 0 ] && [ "$(png_size again/wide.png)" = '60 20' ]
ok $? "thumbnails are pictures, and none is enlarged"
python=$(command -v python3)
if [ -n "$python" ]; then
    "$python" - again/wide.png again/alpha.png blue.bmp <<'CHECK'
import struct, sys, zlib


def pixels(path):
    data, at, packed = open(path, 'rb').read(), 8, b''
    while at < len(data):
        size, kind = struct.unpack('>I4s', data[at:at + 8])
        body = data[at + 8:at + 8 + size]
        if struct.unpack('>I', data[at + 8 + size:at + 12 + size])[0] != zlib.crc32(kind + body):
            sys.exit(path + ': a wrong checksum')
        if kind == b'IHDR':
            width, height, channels = (*struct.unpack('>II', body[:8]), {2: 3, 6: 4}[body[9]])
        packed += body if kind == b'IDAT' else b''
        at += 12 + size
    raw, stride, last = zlib.decompress(packed), width * channels, None
    for y in range(height):
        row = raw[y * (stride + 1):(y + 1) * (stride + 1)]
        last = unfilter(row[0], bytearray(row[1:]), last or bytearray(stride), channels)
        for x in range(0, stride, channels):
            yield tuple(last[x:x + channels])


def unfilter(kind, row, up, n):
    for i in range(len(row)):
        a, b, c = row[i - n] if i >= n else 0, up[i], up[i - n] if i >= n else 0
        p = a + b - c
        paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
        row[i] = row[i] + (0, a, b, (a + b) // 2, paeth)[kind] & 255
    return row


def near(path, colour):
    for p in pixels(path):
        if any(abs(a - b) > 2 for a, b in zip(p, colour)) or len(p) != len(colour):
            sys.exit('%s: %s instead of %s' % (path, p, colour))


near(sys.argv[1], (255, 128, 1))
near(sys.argv[2], (255, 1, 1, 128))
CHECK
    ok $? "the colours are those of the pictures"
else
    skip "the colours are those of the pictures" "no python3"
fi

set --
i=0
while [ $i -lt 40 ]; do
    cp small.ppm "many-$i.ppm"
    set -- "$@" "many-$i.ppm"
    i=$((i + 1))
done
for jobs in 1 2 5; do
    run "$thumbs" -j $jobs -o "many$jobs" "$@"
    [ $status -eq 0 ] && [ "$(sed 's/:.*//' stdout)" = "$(printf '%s\n' "$@")" ] &&
        [ "$(ls -A "many$jobs" | wc -l)" -eq 40 ]
    ok $? "forty pictures, $jobs processes"
done

# ---- what is broken ----

: >empty.png
printf 'Not a picture.\n' >text.jpg
head -c 60 blue.bmp >cut.bmp
head -c 50 out/wide.png >cut.png
head -c 4000 /dev/zero | tr '\0' '\377' >noise.gif
mkdir directory.png
run "$thumbs" -o broken wide.ppm empty.png text.jpg cut.png missing.png noise.gif directory.png \
    high.ppm
[ $status -eq 1 ] && [ ! -s stderr ]
ok $? "broken files among others: exit status 1"
matches 'wide.ppm: 300 x 100 -> 128 x 43, [0-9]+ bytes' &&
    matches 'high.ppm: 50 x 200 -> 32 x 128, [0-9]+ bytes' && only broken wide.png high.png
ok $? "the others are right, and nothing else is there"
[ "$(grep -c '^failed: ' stdout)" -eq 6 ] && [ "$(wc -l <stdout)" -eq 8 ]
ok $? "a line for each of the broken"
for name in empty.png text.jpg cut.png noise.gif; do
    matches "failed: $name: cannot decode: .+"
    ok $? "$name cannot be decoded"
done
has 'failed: missing.png: cannot open: No such file or directory'
ok $? "a missing file is named"
has 'failed: directory.png: cannot read: Is a directory'
ok $? "a directory is no picture"
run "$thumbs" -o broken cut.bmp
[ $status -le 1 ] && [ "$(wc -l <stdout)" -eq 1 ]
ok $? "a picture whose end is missing"

# Thumbnails that were there stay when the new ones fail.
cp text.jpg wide.jpg
cksum broken/wide.png >before
run "$thumbs" -o broken wide.jpg
[ $status -eq 1 ] && cksum broken/wide.png | diff - before >/dev/null
ok $? "a failure leaves the thumbnail of before"
run "$thumbs" -s 9 -o broken wide.ppm
[ $status -eq 0 ] && [ "$(png_size broken/wide.png)" = '9 3' ]
ok $? "a thumbnail is replaced"
if [ "$(id -u)" -ne 0 ]; then
    mkdir sealed
    chmod 500 sealed
    run "$thumbs" -o sealed wide.ppm
    [ $status -eq 1 ] && has 'failed: wide.ppm: cannot create: Permission denied'
    ok $? "a folder that cannot be written to"
else
    skip "a folder that cannot be written to" "root writes everywhere"
fi
mkdir -p taken/wide.png
run "$thumbs" -o taken wide.ppm
[ $status -eq 1 ] && matches 'failed: wide.ppm: cannot rename the thumbnail .+' &&
    only taken wide.png
ok $? "a thumbnail that cannot get its name is not left under another"

# ---- nothing is overwritten ----

mkdir same
cp wide.ppm same/photo.ppm
cp out/wide.png same/photo.png
cksum same/photo.png >before
run "$thumbs" -o same same/photo.png
[ $status -eq 2 ] && [ ! -s stdout ] && grep -q 'would overwrite the picture same/photo.png' stderr
ok $? "a picture would be overwritten by its own thumbnail"
ln -s photo.png same/link.png
cp same/photo.ppm link.ppm
run "$thumbs" -o same link.ppm same/photo.png
[ $status -eq 2 ] && grep -q 'link.ppm would overwrite the picture same/link.png' stderr
ok $? "a picture would be overwritten under another name"
run "$thumbs" -o clash wide.ppm same/photo.ppm same/photo.png
[ $status -eq 2 ] && [ ! -s stdout ] && only clash &&
    grep -qE 'same/photo\.p[np][gm] and same/photo\.p[np][gm] would both become clash/photo.png' stderr
ok $? "two pictures would become the same file"
cksum same/photo.png | diff - before >/dev/null && only same photo.ppm photo.png link.png
ok $? "after all of that they are as they were"

# ---- a decoder that does not survive ----

for kind in segfault abort exit loop memory half; do
    pnm 6 20 10 '\001\002\003' $kind >$kind.ppm
done
run "$thumbs" -o good segfault.ppm abort.ppm exit.ppm loop.ppm memory.ppm half.ppm
[ $status -eq 0 ] && only good segfault.png abort.png exit.png loop.png memory.png half.png
ok $? "the pictures of sabotage are good ones"

died='the worker running this task died'
run "$sabotaged" -j 2 -o bad wide.ppm segfault.ppm high.ppm abort.ppm gray.pgm exit.ppm small.ppm \
    half.ppm line.ppm
[ $status -eq 1 ] && only bad wide.png high.png gray.png small.png line.png
ok $? "crashes: the rest of the batch is made, and nothing of the others is left"
[ "$(sed 's/^failed: //; s/:.*//' stdout | tr '\n' ' ')" = \
    'wide.ppm segfault.ppm high.ppm abort.ppm gray.pgm exit.ppm small.ppm half.ppm line.ppm ' ]
ok $? "crashes: the order is kept"
for name in wide high gray small line; do
    cmp -s bad/$name.png out/$name.png || [ "$(png_size bad/$name.png)" != '' ]
    ok $? "crashes: $name is whole"
done
end='pid [0-9]+, [0-9]+ MiB, [0-9]+\.[0-9]+ s CPU'
for line in segfault:SIGSEGV abort:SIGABRT half:SIGABRT 'exit:exit\(0\)'; do
    how=${line#*:}
    [ -z "$sanitized" ] || how='[A-Za-z0-9_()]+'
    matches "failed: ${line%%:*}.ppm: $died \($how, $end\)"
    ok $? "crashes: ${line%%:*} is reported with its end"
done

limit=$((2 * scale))
run "$sabotaged" -j 2 -t $limit -o slow wide.ppm loop.ppm high.ppm gray.pgm
[ $status -eq 1 ] && only slow wide.png high.png gray.png
ok $? "endless: the rest of the batch is made"
matches "failed: loop.ppm: time limit: SIGKILL, $end"
ok $? "endless: the limit is reported"

if [ -z "$sanitized" ]; then
    run "$sabotaged" -j 2 -m 200 -o full wide.ppm memory.ppm high.ppm gray.pgm
    [ $status -eq 1 ] && only full wide.png high.png gray.png
    ok $? "all memory: the rest of the batch is made"
    matches "failed: memory.ppm: $died \(SIGSEGV, pid [0-9]+, 1?[0-9]?[0-9] MiB, .*\)"
    ok $? "all memory: it got no more than the limit"
    run "$thumbs" -m 3 -o starved wide.ppm
    [ $status -eq 1 ] && [ "$(grep -c '^failed: wide.ppm: ' stdout)" -eq 1 ]
    ok $? "too little memory to begin with is said"
else
    skip "all memory: the rest of the batch is made" "sanitizers have no limit of memory"
    skip "all memory: it got no more than the limit" "sanitizers have no limit of memory"
    skip "too little memory to begin with is said" "sanitizers have no limit of memory"
fi

# Stopped while one decodes for ever: first what is done is seen in the report.
rm stdout
"$sabotaged" $common -j 1 -t 0 -o stopped wide.ppm loop.ppm high.ppm >stdout 2>stderr &
pid=$!
tries=0
while [ ! -s stdout ] && [ $tries -lt $((100 * scale)) ]; do
    sleep 0.1
    tries=$((tries + 1))
done
kill -TERM $pid
wait $pid
status=$?
[ $status -eq 1 ] && grep -q '^thumbs: interrupted, 1 of 3 files done$' stderr &&
    only stopped wide.png
ok $? "interrupted: what is done stays, and nothing else"

# ---- progress ----

run "$thumbs" -p -o out wide.ppm high.ppm
grep -q 'thumbs: 0 of 2 files' stderr && grep -q 'thumbs: 2 of 2 files' stderr
ok $? "progress is shown when asked for"
tail -c 1 stderr | od -An -c | grep -q '\\r'
ok $? "progress is erased at the end"

# ---- the command line ----

rejects() {     # rejects NAME ARGUMENTS...: says why, makes nothing
    name=$1
    shift
    run "$thumbs" "$@"
    [ $status -eq 2 ] && [ ! -s stdout ] && grep -q '^thumbs: ' stderr && [ ! -e nothing ]
    ok $? "$name"
}

rejects "no file" -o nothing
rejects "no folder" wide.ppm
rejects "a file as folder" -o wide.ppm high.ppm
rejects "a folder in a missing one" -o nothing/below wide.ppm
rejects "no processes" -j 0 -o nothing wide.ppm
rejects "processes not a number" -j 2x -o nothing wide.ppm
rejects "no size" -s 0 -o nothing wide.ppm
rejects "a size below zero" -s -5 -o nothing wide.ppm
rejects "no time" -t x -o nothing wide.ppm
rejects "memory below zero" -m -1 -o nothing wide.ppm
run "$thumbs" -x -o nothing wide.ppm
[ $status -eq 2 ] && [ ! -s stdout ] && [ -s stderr ] && [ ! -e nothing ]
ok $? "unknown option"
run "$thumbs" -o folder wide.ppm directory.png/
[ $status -eq 2 ] && grep -q '^thumbs: directory.png/: not the name of a file$' stderr
ok $? "a name that ends with a slash"
long=$(head -c 5000 /dev/zero | tr '\0' x)
run "$thumbs" -o folder wide.ppm "$long"
[ $status -eq 2 ] && grep -q 'File name too long' stderr && only folder
ok $? "a name that is too long"
common= run "$thumbs" --help
[ $status -eq 0 ] && grep -q '^Usage: thumbs ' stdout && [ ! -s stderr ]
ok $? "help"
if [ -c /dev/full ]; then
    "$thumbs" $common -o out wide.ppm 2>stderr >/dev/full
    [ $? -eq 1 ] && grep -q '^thumbs: write error' stderr
    ok $? "write error"
else
    skip "write error" "no /dev/full"
fi

echo "1..$count"
