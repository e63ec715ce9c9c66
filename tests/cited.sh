#!/bin/sh
# Every behaviour of the reference that C can show has a number, and each number is
# cited by a test: as "SEM 12", "SEM 12, 13" or "SEM 12 to 14".
# cited.sh TESTS_FOLDER
set -u
cited=$(cat "$1"/test_*.c | tr '\n' ' ' | sed 's/ \*\*\* / /g' |
    grep -oE 'SEM [0-9]+[a-z]?((, | and | to )[0-9]+[a-z]?)*' |
    sed 's/SEM //; s/[a-z]\([, ]\|$\)/\1/g; s/ and /, /g' | tr -d ',' |
    awk '{ for (i = 1; i <= NF; i++)
               if ($(i + 1) == "to") { for (k = $i; k <= $(i + 2); k++) print k; i += 2 }
               else print $i + 0 }' | sort -nu)
missing=0
for n in $(seq 1 99); do
    if ! echo "$cited" | grep -qx "$n"; then
        echo "no test cites SEM $n"
        missing=1
    fi
done
exit $missing
