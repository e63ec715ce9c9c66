#!/bin/sh
# example_mandel.sh MANDEL: the pictures of examples/mandel.c. Prints TAP.
set -u
LC_ALL=C
export LC_ALL

if [ $# -ne 1 ] || [ ! -x "$1" ]; then
    echo "usage: example_mandel.sh MANDEL" >&2
    exit 2
fi

bin=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
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
    fi
}

skip() {        # skip NAME WHY
    count=$((count + 1))
    echo "ok $count - $1 # SKIP $2"
}

mandel() {      # mandel NAME ARGUMENTS...: exits with 0 and says nothing
    name=$1
    shift
    "$bin" "$@" >stdout 2>stderr
    [ $? -eq 0 ] && [ ! -s stderr ]
    ok $? "$name"
    sed 's/^/# /' stderr
}

rejects() {     # rejects NAME ARGUMENTS...: exit status 1, a message, no file
    name=$1
    shift
    "$bin" "$@" >stdout 2>stderr
    [ $? -eq 1 ] && [ -s stderr ] && [ ! -s stdout ] && [ ! -e new.png ] && [ ! -e new.png.part ]
    ok $? "$name"
}

# ---- the same picture, wherever it is computed ----

for size in 1x1 64x64 65x63 200x150; do
    mandel "$size inline" --on inline -s $size inline.png
    for jobs in 1 2 5; do
        mandel "$size on $jobs threads" --on threads -j $jobs -s $size threads.png
        cmp -s inline.png threads.png
        ok $? "$size on $jobs threads: the same bytes"
    done
done
mandel "the default" -s 200x150 default.png
cmp -s inline.png default.png
ok $? "the default: threads, the same bytes"
CFUT_TRACE=timeline.json "$bin" --on threads -s 200x150 traced.png
[ $? -eq 0 ] && grep -q '"cat":"task","name":"render"' timeline.json
ok $? "a timeline of its tiles"
mandel "to standard output" -s 200x150 -
cmp -s inline.png stdout
ok $? "to standard output: the same bytes"

# Once there is a pool of processes, its picture must be the same. Until then it
# says why not.
"$bin" --on processes -s 200x150 new.png 2>stderr
status=$?
if [ $status -eq 0 ]; then
    cmp -s inline.png new.png
    ok $? "on processes: the same bytes"
    rm -f new.png
else
    [ $status -eq 1 ] && [ ! -e new.png ] &&
        [ "$(cat stderr)" = "mandel: processes: not supported in this build or on this platform" ]
    ok $? "on processes: the status of the executor"
fi

# ---- it is a PNG, and shows the right thing ----

[ "$(head -c 8 inline.png | od -An -tx1 | tr -d ' \n')" = 89504e470d0a1a0a ] &&
    [ "$(head -c 24 inline.png | tail -c 8 | od -An -tx1 | tr -d ' \n')" = 000000c800000096 ] &&
    [ "$(tail -c 12 inline.png | od -An -tx1 | tr -d ' \n')" = 0000000049454e44ae426082 ]
ok $? "signature, size and end of a PNG"

# decode: the PNG on standard input as text: a row of hexadecimal pixels a line.
# Checks every checksum. By Python's zlib, not by the library that wrote it.
cat >decode.py <<'END'
import struct, sys, zlib

data, at, packed = sys.stdin.buffer.read(), 8, b''
while at < len(data):
    size, kind = struct.unpack('>I4s', data[at:at + 8])
    body = data[at + 8:at + 8 + size]
    assert zlib.crc32(kind + body) == struct.unpack('>I', data[at + 8 + size:at + 12 + size])[0]
    if kind == b'IHDR':
        columns, rows, depth, colour, _, _, interlace = struct.unpack('>IIBBBBB', body)
        assert (depth, colour, interlace) == (8, 2, 0)
    if kind == b'IDAT':
        packed += body
    at += 12 + size
raw, stride, above = zlib.decompress(packed), 3 * columns, bytes(3 * columns)
assert len(raw) == rows * (stride + 1)
for row in range(rows):
    kind, *line = raw[row * (stride + 1):(row + 1) * (stride + 1)]
    for i in range(stride):
        a, b, c = (line[i - 3] if i > 2 else 0), above[i], (above[i - 3] if i > 2 else 0)
        nearest = min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]
        line[i] = (line[i] + [0, a, b, (a + b) // 2, nearest][kind]) & 255
    above = line
    print(bytes(line).hex(' ', 3))
END

if python3 -c 'import zlib' 2>/dev/null; then
    # Rows symmetrical about the real axis, a point inside, a point outside.
    python3 decode.py <inline.png >pixels 2>stderr
    ok $? "every checksum of the PNG is right, and it can be decoded"
    sed 's/^/# /' stderr
    [ "$(wc -l <pixels)" -eq 150 ] && tac pixels | cmp -s - pixels
    ok $? "symmetrical about the real axis"
    # column 100 - 0.65 / (3.2 / 200) = 140 is the origin
    [ "$(sed -n 75p pixels | cut -d ' ' -f 141)" = 000000 ]
    ok $? "the origin is inside"
    [ "$(sed -n 1p pixels | cut -d ' ' -f 1)" != 000000 ]
    ok $? "the corner is outside"
    "$bin" -s 70x70 -v -0.2,0,0.1 - | python3 decode.py | tr ' ' '\n' | sort -u >colours
    [ "$(cat colours)" = 000000 ]
    ok $? "all of a view inside is black"
    "$bin" -s 70x70 -v 5,5,0.1 - | python3 decode.py | tr ' ' '\n' | sort -u >colours
    [ "$(wc -l <colours)" -eq 1 ] && [ "$(cat colours)" != 000000 ]
    ok $? "all of a view far away has one colour"
else
    skip "decoding the PNG" "no python3 with zlib"
fi

# ---- progress ----

"$bin" -p -s 300x200 progress.png 2>stderr && grep -q 'mandel: 100 %' stderr
ok $? "progress if asked for"
"$bin" -s 300x200 quiet.png 2>stderr && [ ! -s stderr ] && cmp -s progress.png quiet.png
ok $? "no progress where there is no terminal"

# ---- errors: nothing half-written, nothing lost ----

echo precious >old.png
rejects "folder missing" -s 10x10 missing/new.png
mkdir folder
rejects "a folder" -s 10x10 folder
[ ! -e folder.part ]
ok $? "a folder: no half of a picture"
(trap '' XFSZ && ulimit -f 1 && "$bin" -s 800x600 -n 100 old.png) 2>stderr
[ $? -eq 1 ] && [ "$(cat stderr)" = "mandel: old.png: File too large" ] &&
    [ "$(cat old.png)" = precious ] && [ ! -e old.png.part ]
ok $? "no room: a message, the old picture is still there"
sed 's/^/# /' stderr
if [ -c /dev/full ]; then
    "$bin" -s 10x10 - 2>stderr >/dev/full
    [ $? -eq 1 ] && grep -q '^mandel: standard output: No space' stderr
    ok $? "standard output full"
else
    skip "standard output full" "no /dev/full"
fi
for size in 0x5 5x0 -1x5 5 x5 5x 5x5x5 99999x5 5x99999999999 '' axb; do
    rejects "size '$size'" -s "$size" new.png
done
for view in '' 1 1,2 1,2,0 1,2,-1 1,2,3x nan,0,1 0,inf,1 0,0,nan; do
    rejects "view '$view'" -v "$view" new.png
done
rejects "no workers" -j 0 new.png
rejects "workers not a number" -j 2x new.png
rejects "no steps" -n 0 new.png
rejects "steps not a number" -n many new.png
rejects "no such executor" --on gpu new.png
rejects "no file"
rejects "two files" new.png new.png
rejects "unknown option" -x new.png
"$bin" --help >stdout 2>stderr
[ $? -eq 0 ] && grep -q '^Usage: mandel ' stdout && [ ! -s stderr ]
ok $? "help"

echo "1..$count"
