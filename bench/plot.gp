# plot.gp: draws one data file that plot.sh made; kind, id and unit come from it.
#   tables   boxes with whiskers from least to most, a panel for each table
#   scale    lines over the number of workers, one for each side
#   linear   lines over the number of units, a panel for each series
# A panel or line is one block of ID.dat, its title one line of ID.titles.

blocks = system('wc -l <"' . id . '.titles"') + 0
title_of(i) = system(sprintf('sed -n %dp "%s.titles"', i + 1, id))
data = id . '.dat'
panels = kind eq 'scale' ? 1 : blocks
columns = panels < 2 ? 1 : 2
rows = (panels + columns - 1) / columns

set terminal svg size 640 * columns, 380 * rows noenhanced font 'sans,11' background 'white'
set output id . '.svg'
set grid ytics
set key off
set ylabel unit
set format y '%g'

if (kind eq 'tables') {
    # Idle pools may have used no time at all: 0 has no logarithm.
    lifted(v) = v > 0.1 ? v : 0.1
    set logscale y
    set style fill solid 0.4
    set xtics rotate by 30 right
    set offsets 0.6, 0.6, 0, 0
    set multiplot layout rows, columns title id
    do for [i = 0:blocks - 1] {
        set title title_of(i)
        plot data index i using 1:(lifted($3)):(lifted($4)):(lifted($5)):(0.7):xtic(2) \
            with boxerrorbars linecolor rgb '#4060a0'
    }
    unset multiplot
}

if (kind eq 'scale') {
    set logscale xy 2
    set xlabel 'workers'
    set key outside right
    set title id
    plot for [i = 0:blocks - 1] data index i using 1:2 with linespoints title title_of(i)
}

if (kind eq 'linear') {
    set logscale x
    set xlabel 'n'
    set yrange [0:*]
    set format x '%g'
    set multiplot layout rows, columns title 'time of one unit as units grow in number'
    do for [i = 0:blocks - 1] {
        set title title_of(i)
        plot data index i using 1:2:3:4 with yerrorlines linecolor rgb '#4060a0'
    }
    unset multiplot
}
