#!/bin/sh
# example_fetch.sh FETCH SERVER: examples/fetch.c against tests/fetch_server.c,
# all on the loopback interface. Prints TAP.
set -u

if [ $# -ne 2 ] || [ ! -x "$1" ] || [ ! -x "$2" ]; then
    echo "usage: example_fetch.sh FETCH SERVER" >&2
    exit 2
fi
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY

bin=$1
server=$2
dir=$(mktemp -d) || exit 2
trap 'exec 3>&-; rm -rf "$dir"' EXIT
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

# start_server: sets $url and $server_pid. The server runs until descriptor 3 is
# closed, at the latest when this script ends, however it ends.
start_server() {
    rm -f "$dir/in" "$dir/port"
    mkfifo "$dir/in" "$dir/port"
    "$server" <"$dir/in" >"$dir/port" &
    server_pid=$!
    exec 3>"$dir/in"
    read -r port <"$dir/port"
    url=http://127.0.0.1:$port
}

stop_server() {
    exec 3>&-
    wait $server_pid
}

# fetch STATUS NAME ARGUMENTS...: runs fetch, which must exit with STATUS.
fetch() {
    expected=$1
    name=$2
    shift 2
    "$bin" "$@" >"$dir/stdout" 2>"$dir/stderr" 3>&-
    status=$?
    [ $status -eq "$expected" ]
    ok $? "$name: exit status"
    [ $status -eq "$expected" ] ||
        sed "s/^/# exit status $status, /" "$dir/stdout" "$dir/stderr"
}

# says NAME LINE...: the output is these lines, in any order, spaces aside.
says() {
    name=$1
    shift
    printf '%s\n' "$@" | sort >"$dir/expected"
    tr -s ' ' <"$dir/stdout" | sed 's/^ //' | sort >"$dir/got"
    diff "$dir/expected" "$dir/got" >"$dir/diff"
    ok $? "$name"
    sed 's/^/# /' "$dir/diff"
}

silent() {      # silent NAME: nothing was said on standard error
    [ ! -s "$dir/stderr" ]
    ok $? "$1: no message"
    sed 's/^/# /' "$dir/stderr"
}

seconds() {
    date +%s
}

# ---- nobody listens: the port of a server that has ended ----

start_server
stop_server
ok $? "the server ends with its standard input"
fetch 1 "connection refused" "$url/ok/1"
says "connection refused" "failed - $url/ok/1: Couldn't connect to server"
silent "connection refused"

# ---- answers ----

start_server
fetch 0 "one page" "$url/ok/1000"
says "one page" "200 1000 $url/ok/1000"
silent "one page"

fetch 0 "several pages" "$url/ok/0" "$url/ok/1" "$url/ok/3000000" "$url/delay/50" "$url/moved"
says "several pages" "200 0 $url/ok/0" "200 1 $url/ok/1" "200 3000000 $url/ok/3000000" \
    "200 2 $url/delay/50" "200 7 $url/moved"
silent "several pages"

fetch 0 "the same page twice" "$url/ok/5" "$url/ok/5"
says "the same page twice" "200 5 $url/ok/5" "200 5 $url/ok/5"

fetch 1 "failures among others" "$url/ok/10" "$url/404" "$url/drop" "$url/loop" nonsense://x \
    http:// file:///etc/passwd "$url/ok/20"
says "failures among others" "200 10 $url/ok/10" "200 20 $url/ok/20" \
    "failed - $url/404: HTTP status 404" \
    "failed - $url/drop: Transferred a partial file" \
    "failed - $url/loop: Number of redirects hit maximum amount" \
    "failed - nonsense://x: Unsupported protocol" \
    "failed - http://: URL using bad/illegal format or missing URL" \
    "failed - file:///etc/passwd: Unsupported protocol"
silent "failures among others"

for page in 404 drop; do
    fetch 1 "only /$page" "$url/$page"
done

urls=
i=0
while [ $i -lt 200 ]; do
    urls="$urls $url/ok/$i"
    i=$((i + 1))
done
fetch 0 "two hundred pages" -j 16 $urls
awk '{ n[$2]++ } END { for (i = 0; i < 200; i++) if (n[i] != 1) exit 1; exit NR != 200 }' \
    "$dir/stdout"
ok $? "two hundred pages: each once"

# ---- order, and how many at a time ----

fetch 0 "order of completion" "$url/delay/1500" "$url/delay/10"
[ "$(head -n 1 "$dir/stdout" | tr -s ' ')" = " 200 2 $url/delay/10" ]
ok $? "order of completion: the faster one first"

# The server's /peak is as long as it had delays under way at once.
stop_server
start_server
fetch 0 "one at a time" -j 1 "$url/delay/30" "$url/delay/20" "$url/delay/10"
says "one at a time: in order" "200 2 $url/delay/30" "200 2 $url/delay/20" "200 2 $url/delay/10"
[ "$(tr -s ' ' <"$dir/stdout" | tr -d '\n')" = \
    " 200 2 $url/delay/30 200 2 $url/delay/20 200 2 $url/delay/10" ]
ok $? "one at a time: in the order of the arguments"
fetch 0 "one at a time, peak" "$url/peak"
says "one at a time: not more" "200 1 $url/peak"
fetch 0 "three at a time" -j 3 "$url/delay/900" "$url/delay/901" "$url/delay/902" \
    "$url/delay/10" "$url/delay/11" "$url/delay/12"
fetch 0 "three at a time, peak" "$url/peak"
says "three at a time: three" "200 3 $url/peak"

# ---- the time is up ----

# The slow page would take a minute. It is stopped, which takes a second or two.
before=$(seconds)
fetch 1 "timeout" -j 2 -t 1 "$url/ok/3" "$url/delay/60000"
[ $(($(seconds) - before)) -lt 30 ]
ok $? "timeout: in time"
says "timeout" "200 3 $url/ok/3" "failed - $url/delay/60000: stopped because the time was up"
[ "$(cat "$dir/stderr")" = "fetch: the wait's time ran out, 1 of 2 not done" ]
ok $? "timeout: what is missing is said"

fetch 1 "timeout before the start" -j 1 -t 0.5 "$url/delay/60000" "$url/ok/3" "$url/ok/4"
says "timeout before the start" \
    "failed - $url/delay/60000: stopped because the time was up" \
    "failed - $url/ok/3: cancelled" \
    "failed - $url/ok/4: cancelled"

fetch 0 "no timeout when in time" -t 20 "$url/delay/20"

before=$(seconds)
stop_server
ok $? "the server ends though a request is under way"
[ $(($(seconds) - before)) -lt 30 ]
ok $? "the server ends at once"

# ---- the command line ----

rejects() {     # rejects NAME ARGUMENTS...: exit status 2 and a message
    name=$1
    shift
    "$bin" "$@" >"$dir/stdout" 2>"$dir/stderr"
    [ $? -eq 2 ] && [ -s "$dir/stderr" ] && [ ! -s "$dir/stdout" ]
    ok $? "$name"
}

rejects "no URL"
rejects "only options" -j 2
rejects "unknown option" -x http://127.0.0.1/
rejects "no downloads at a time" -j 0 http://127.0.0.1/
rejects "number missing" -j
rejects "not a number" -j two http://127.0.0.1/
rejects "seconds not a number" -t soon http://127.0.0.1/
rejects "seconds negative" -t -1 http://127.0.0.1/
rejects "seconds empty" -t '' http://127.0.0.1/
"$bin" --help >"$dir/stdout" 2>"$dir/stderr"
[ $? -eq 0 ] && grep -q '^Usage: fetch ' "$dir/stdout" && [ ! -s "$dir/stderr" ]
ok $? "help"

echo "1..$count"
