#!/bin/sh
# doxygen.sh SOURCE_ROOT: Doxygen has nothing to say against the header as it is,
# and nothing either when the public comments are marked as its own; then each
# public function is found, and the text above it. Skipped without Doxygen.
set -eu

root=$(cd "${1:?usage: doxygen.sh SOURCE_ROOT}" && pwd)
command -v doxygen >/dev/null 2>&1 || exit 77
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The configuration of both runs.
settings() {
    cat <<END_OF_SETTINGS
PROJECT_NAME = cfut
INPUT = "$root/cfut.h"
OUTPUT_DIRECTORY = "$work"
EXTRACT_ALL = YES
OPTIMIZE_OUTPUT_FOR_C = YES
MACRO_EXPANSION = YES
EXPAND_ONLY_PREDEF = YES
PREDEFINED = CFUTDEF=extern "CFUTI_PRINTF(f,a)=" CFUTI_UNUSED=
HAVE_DOT = NO
QUIET = YES
WARNINGS = YES
GENERATE_LATEX = NO
GENERATE_HTML = YES
END_OF_SETTINGS
}

# The manual stays a plain comment: its programs are no markup.
marked_settings() {
    settings
    cat <<'END_OF_SETTINGS'
GENERATE_XML = YES
INPUT_FILTER = "sed -e '1,/>>declarations   what/b' -e 's|^\( *\)/\* |\1/** |' -e 's|\([;,]\) */\* |\1 /**< |'"
END_OF_SETTINGS
}

complain() {
    echo "$1"
    exit 1
}

settings | doxygen - >"$work/log" 2>&1
[ ! -s "$work/log" ] || { cat "$work/log"; complain "Doxygen warns about the header"; }

marked_settings | doxygen - >"$work/log" 2>&1
[ ! -s "$work/log" ] || { cat "$work/log"; complain "Doxygen warns about public comments"; }

xml=$work/xml/cfut_8h.xml
sed -n 's/^CFUTDEF .*[ *]\(cfut_[a-z_]*\)(.*/\1/p' "$root/cfut.h" | sort -u >"$work/declared"
[ "$(wc -l <"$work/declared")" -gt 40 ] || complain "found no declarations"
while read -r name; do
    grep -q "<name>$name</name>" "$xml" || complain "not in Doxygen's output: $name"
done <"$work/declared"
tr '\n' ' ' <"$xml" | grep -q 'Waits until f is done; returns its status' ||
    complain "the comment of cfut_result is not in Doxygen's output"
