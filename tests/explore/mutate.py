#!/usr/bin/env python3
"""mutate.py: builds the explorer with a changed copy of cfut.h, and asserts that
it finds the fault.

    mutate.py planted [NAME...]     the planted bugs of planted.py
    mutate.py orders [LINE...]      every memory order one step weaker; orders.txt
                                    lists those that are not found, and why

Options: --cc COMPILER, --core FILE (explore.o or libexplore_core.a), --root FOLDER
of cfut.h, --show (what the explorer says), --jobs N, --most N (executions for each
scenario), --scenarios NAMES. TAP on the standard output."""

import argparse
import concurrent.futures
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))


class Mutants:
    """Builds and runs changed copies of the header."""

    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        with open(os.path.join(options.root, 'cfut.h'), encoding='utf8') as f:
            self.header = f.read()

    def build(self, name, header):
        """Returns the program, or None if that does not compile."""
        folder = os.path.join(self.folder, name)
        os.makedirs(folder)
        with open(os.path.join(folder, 'cfut.h'), 'w', encoding='utf8') as f:
            f.write(header)
        program = os.path.join(folder, 'explore')
        command = shlex.split(self.options.cc) + [
            '-std=gnu11', '-O1', '-w', '-fsanitize=thread', '-I', folder, '-I', HERE,
            '-c', os.path.join(HERE, 'scenarios.c'), '-o', program + '.o']
        built = subprocess.run(command, capture_output=True, text=True)
        if built.returncode:
            print('#', built.stderr.strip().replace('\n', '\n# '))
            return None
        subprocess.run(shlex.split(self.options.cc) + [program + '.o', self.options.core,
                                                       '-o', program], check=True)
        os.unlink(program + '.o')
        return program

    def explore(self, program, scenarios, most):
        """Returns what the explorer says if it finds something, else None."""
        try:
            ran = subprocess.run([program, '--stop', '--max', str(most)] + scenarios,
                                 capture_output=True, text=True, timeout=self.options.limit)
        except subprocess.TimeoutExpired:
            print('# not through after %d s: the machine is too slow' % self.options.limit)
            return None
        if ran.returncode == 0:
            return None
        told = re.search(r'^not ok.*\n(?:#.*\n)*', ran.stdout, re.M)
        return told.group(0) if told else 'it ended with %d: %s' % (ran.returncode, ran.stderr)


def summary(told):
    """The scenario and the first line of what went wrong."""
    lines = told.splitlines()
    return ' / '.join([lines[0].replace('not ok 1 - ', '')] + lines[3:4])


def planted(mutants, names):
    import planted as data
    bugs = [b for b in data.BUGS if not names or b[0] in names]

    def run(bug):
        name, _, old, new, scenarios = bug
        if mutants.header.count(old) != 1:
            return 'its text occurs %d times' % mutants.header.count(old), False
        program = mutants.build(name, mutants.header.replace(old, new))
        if program is None:
            return 'does not compile', False
        told = mutants.explore(program, scenarios.split(), 30000)
        os.unlink(program)
        return told or 'not found', told is not None

    return bugs, run, lambda bug: '%s: %s' % (bug[0], bug[1])


WEAKER = {
    'load_acquire': ['load_relaxed'],
    'load_seq_cst': ['load_acquire', 'load_relaxed'],
    'load_light': ['load_relaxed'],
    'store_release': ['store_relaxed'],
    'store_light': ['store_release'],
    'exchange_acquire': ['exchange_relaxed'],
    'exchange_seq_cst': ['exchange_acq_rel', 'exchange_relaxed'],
    'and_release': ['and_relaxed'],
    'cas_acquire': ['cas_relaxed'],
    'cas_acq_rel': ['cas_acquire', 'cas_release'],
    'heavy': ['heavy_left_out'],
}


# Sections that the explorer does not compile.
ABSENT = {'atomics', 'os-posix', 'os-windows', 'os-process', 'trace', 'process', 'process-pool'}


def order_mutants(header):
    """(line, function, old name, new name, occurrence) for each call in the
    implementation, and in the inlined fork and join."""
    found = []
    function = section = '?'
    lines = header.splitlines()
    begin = next(i for i, l in enumerate(lines) if 'what the inlined fork and join' in l)
    comment = False
    for number, line in enumerate(lines[begin:], begin + 1):
        code = line.split('/*')[0] if not comment else ''
        if '/*' in line:
            comment = '*/' not in line[line.rindex('/*'):]
        elif '*/' in line:
            comment = False
        title = re.match(r'    >>([a-z-]+) ', line)
        if title:
            section = title.group(1)
        if section in ABSENT or line.startswith('#'):
            continue
        head = re.match(r'[A-Za-z].*?\b(cfuti?_\w+)\(', line)
        if head and not line.rstrip().endswith(';'):
            function = head.group(1)
        for call in re.finditer(r'\bcfuti_(\w+)\(', code):
            for weak in WEAKER.get(call.group(1), []):
                found.append((number, function, call.group(1), weak, call.start()))
    return found


def order_name(m):
    number, function, old, new, at = m
    return '%s %s -> %s' % (function, old, new)


def with_order(header, m):
    number, _, old, new, at = m
    lines = header.split('\n')
    line = lines[number - 1]
    assert line[at:].startswith('cfuti_' + old + '('), line
    lines[number - 1] = line[:at] + 'cfuti_' + new + line[at + len('cfuti_' + old):]
    return '\n'.join(lines)


def listed_orders():
    listed = set()
    with open(os.path.join(HERE, 'orders.txt'), encoding='utf8') as f:
        for line in f:
            if line.strip() and not line.startswith((' ', '#')):
                listed.add(line.strip())
    return listed


def keyed_orders(header):
    seen = {}
    keyed = []
    for m in order_mutants(header):     # the same call twice in one function: numbered
        name = order_name(m)
        seen[name] = seen.get(name, 0) + 1
        keyed.append((name if seen[name] == 1 else '%s (%d)' % (name, seen[name]), m))
    return keyed


def current(mutants, names):
    """Whether the header still has what the bugs and the list are about: at once."""
    import planted as data
    there = {k[0] for k in keyed_orders(mutants.header)}
    items = [(b[0], mutants.header.count(b[2]) == 1) for b in data.BUGS]
    items += [(name, name in there) for name in sorted(listed_orders())]
    return items, lambda i: ('there' if i[1] else 'not in the header, or twice', i[1]), lambda i: i[0]


def orders(mutants, names):
    listed = listed_orders()
    keyed = keyed_orders(mutants.header)
    stale = set(listed) - {k[0] for k in keyed}
    if stale:
        sys.exit('orders.txt lists what is not there: ' + ', '.join(sorted(stale)))
    chosen = [k for k in keyed if not names or any(n in k[0] for n in names)]

    def run(k):
        name, m = k
        program = mutants.build('m%d_%d_%s' % (m[0], m[4], m[3]), with_order(mutants.header, m))
        if program is None:
            return 'does not compile', False
        told = mutants.explore(program, mutants.options.scenarios.split(),
                               mutants.options.most)
        os.unlink(program)
        if name in listed:
            return (told or 'not found, as listed'), True
        return told or 'not found', told is not None

    return chosen, run, lambda k: '%s (line %d)' % (k[0], k[1][0])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('kind', choices=['planted', 'orders', 'current'])
    parser.add_argument('names', nargs='*')
    parser.add_argument('--cc', default='cc')
    parser.add_argument('--core', required=True)
    parser.add_argument('--root', default=os.path.join(HERE, '..', '..'))
    parser.add_argument('--jobs', type=int, default=1)
    parser.add_argument('--most', type=int, default=12000)
    parser.add_argument('--limit', type=int, default=600, help='seconds for one mutant')
    parser.add_argument('--scenarios', default='', help='orders: only these')
    parser.add_argument('--show', action='store_true')
    options = parser.parse_intermixed_args()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        kind = {'planted': planted, 'orders': orders, 'current': current}[options.kind]
        chosen, run, name = kind(Mutants(options, folder), options.names)
        print('1..%d' % len(chosen))

        def timed(item):
            begun = time.monotonic()
            told, good = run(item)
            return told, good, time.monotonic() - begun

        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            for i, (item, (told, good, took)) in enumerate(
                    zip(chosen, pool.map(timed, chosen)), 1):
                failed += not good
                print('%sok %d - %s' % ('' if good else 'not ', i, name(item)))
                print('# %.1f s: %s' % (took, summary(told) if 'ok' in told[:6] else told))
                if options.show:
                    print('# ' + told.replace('\n', '\n# '))
                sys.stdout.flush()
    return failed > 0


if __name__ == '__main__':
    sys.exit(main())
