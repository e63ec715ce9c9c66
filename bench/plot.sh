#!/bin/sh
# Draws core.csv, process.csv and linear.csv in OUT: an SVG for each workload with a panel for
# each of its tables (first figure only), one for each workload that was run with
# three numbers of workers or more, and one for linear cost.
#
#   plot.sh OUT
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cd "$1"

cat core.csv process.csv >tables.dat

draw() { # KIND ID UNIT
    gnuplot -e "kind='$1'; id='$2'; unit='$3'" "$here/plot.gp"
}

# gnuplot's blocks, with two empty lines between, and a file of their titles. Rows
# of one table follow each other; of its figures only the first is taken.
tables_of() { # WORKLOAD
    awk -F, -v id="$1" '
        $1 != id { next }
        !(($2, $3) in metric) {
            metric[$2, $3] = $4
            if (n++)
                printf "\n\n"
            print $2 "; " $3 " worker" ($3 > 1 ? "s" : "") >(id ".titles")
            row = 0
        }
        $4 == metric[$2, $3] { print ++row, "\"" $6 "\"", $7, $8, $9 }' tables.dat >"$1.dat"
}

# A block for each side: workers and median. Nothing with fewer than 3 numbers.
scale_of() { # WORKLOAD
    awk -F, -v id="$1" '
        $1 != id { next }
        !what { what = $2; metric = $4 }
        $2 != what || $4 != metric { next }
        !($3 in seen) { seen[$3] = 1; counts++ }
        !($6 in rows) { order[++sides] = $6 }
        { rows[$6] = rows[$6] $3 " " $7 "\n" }
        END {
            for (i = 1; counts > 2 && i <= sides; i++) {
                print order[i] >(id "-scale.titles")
                print rows[order[i]] "\n"
            }
        }' tables.dat >"$1-scale.dat"
}

linear_series() {
    awk -F, '
        NR == 1 { next }
        $1 != last {
            if (last)
                printf "\n\n"
            print $2 "; " $4 >"linear.titles"
            last = $1
        }
        { print $3, $5, $6, $7 }' linear.csv >linear.dat
}

for id in $(awk -F, '$1 != "workload" && !seen[$1]++ { print $1 }' tables.dat); do
    unit=$(awk -F, -v id="$id" '$1 == id { print $4 ", " $5; exit }' tables.dat)
    tables_of "$id"
    draw tables "$id" "$unit"
    scale_of "$id"
    if [ -s "$id-scale.dat" ]; then
        draw scale "$id-scale" "$unit"
    fi
done
linear_series
draw linear linear ns
rm -f ./*.dat ./*.titles
printf '\nplots: %s\n' "$(echo *.svg)"
