#!/usr/bin/env python3
"""What of cfut.h no test has run: every line and every branch, or it is listed.

    tests/coverage.py [--all] BUILD_DIR...

After programs that gcc has compiled with --coverage have run, this gathers what gcov
knows of cfut.h in all object files below the folders. A line or a branch counts as
covered if any of the programs has run it. How a line branches may differ between
programs, by macros: each way is looked at by itself; but a program with a platform, an
assertion or a language of its own only adds to those that others have, too.

What coverage.txt lists is left out. The exit status is 1 if anything else was never
run, if there is a function that none of the programs has, or if an entry of the list
fits no line any more. --all shows also what is listed."""
import argparse
import collections
import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ONLY_ADD = 'scenarios.c', 'test_assert.c', '.cc'
CXX_TOO = 'cfuti_call',                 # but for these functions, which differ in C++

Line = collections.namedtuple('Line', 'function text which')    # the which-th with that text


class Seen:
    """What is known of one line of a function."""

    def __init__(self):
        self.count = 0
        self.branches = {}              # how many there are: how often each was taken
        self.judged = set()             # the keys of it that are looked at

    def add(self, line, only_adds):
        taken = [b['count'] for b in line['branches'] if not b['throw']]
        known = self.branches.setdefault(len(taken), [0] * len(taken))
        self.count += line['count']
        for i, n in enumerate(taken):
            known[i] += n
        if not only_adds:
            self.judged.add(len(taken))

    def missing(self):
        """Pairs of a number of branches and those of them that were never taken."""
        for n in sorted(self.judged):
            never = tuple(i + 1 for i, taken in enumerate(self.branches[n]) if not taken)
            if never:
                yield n, never


def only_adds(path, function):
    name = os.path.basename(path)
    return any(part in name for part in ONLY_ADD) and not (
        '.cc' in name and function in CXX_TOO)


def counted_in(folder):
    for path, _, names in os.walk(folder):
        for name in sorted(names):
            if name.endswith('.gcda'):
                yield os.path.join(path, name)


def gcov(path):
    """One object file's report, as a dict. A process that is killed while it writes leaves
    a broken one, to which nothing can be added any more: that is removed, and says nothing."""
    run = subprocess.run(['gcov', '--json-format', '--branch-probabilities', '--stdout',
                          os.path.basename(path)],
                         cwd=os.path.dirname(path), stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, universal_newlines=True)
    if 'mismatch' in run.stderr:
        print('# removed: %s: gcov: %s' % (path, run.stderr.strip()))
        os.remove(path)
        return {'files': []}
    if run.returncode or not run.stdout:
        sys.exit('%s: gcov: %s' % (path, run.stderr or 'says nothing'))
    return json.loads(run.stdout)


def gather(folders, header):
    """{(function, line number): Seen}, the functions, and the number of programs."""
    seen = collections.defaultdict(Seen)
    functions = set()
    programs = 0
    for folder in folders:
        for path in counted_in(folder):
            programs += 1
            for file in gcov(path)['files']:
                if os.path.basename(file['file']) != header:
                    continue
                functions.update(f['name'] for f in file['functions'])
                for line in file['lines']:
                    if 'function_name' in line:
                        seen[line['function_name'], line['line_number']].add(
                            line, only_adds(path, line['function_name']))
    if not seen:
        sys.exit('no program below these folders was compiled for coverage and has run')
    return seen, functions, programs


def defined_in(source):
    """The functions that the implementation defines, for whatever system."""
    names = set()
    begin = source.index('#ifdef CFUT_IMPLEMENTATION')
    for i in range(begin, len(source)):
        m = re.match(r'(?:static|CFUTDEF|CFUTI_\w+)\b[^=;]*?\b(cfuti?_\w+)\(', source[i])
        rest = re.search('[;{]', ' '.join(source[i:i + 6]))
        if m and rest and rest.group() == '{':
            names.add(m.group(1))
    return names


def name_lines(seen, source):
    """{(function, line number): Line}"""
    names = {}
    times = collections.Counter()
    for key in sorted(seen, key=lambda k: (k[1], k[0])):
        text = ' '.join(source[key[1] - 1].split())
        times[key[0], text] += 1
        names[key] = Line(key[0], text, times[key[0], text])
    return names


class Entry:
    """A line of coverage.txt: FUNCTION, or FUNCTION: TEXT, or that with some branches."""

    def __init__(self, text, number):
        self.text, self.number = text, number
        self.kind = None                # 'never' or 'maybe'
        self.fits = self.needed = False
        m = re.fullmatch(r'(\w+)(?:: (.*?)(?: \((\d+)\))?(?: \(branch ([\d, ]+) of (\d+)\))?)?',
                         text)
        if not m:
            sys.exit('coverage.txt:%d: neither an entry nor indented' % number)
        self.function, self.source = m.group(1), m.group(2)
        self.which = int(m.group(3) or 1)
        self.taken = {int(i) for i in re.findall(r'\d+', m.group(4) or '')}
        self.of = int(m.group(5) or 0)


def read_list(path):
    entries, group, kind = [], [], None
    with open(path, encoding='utf8') as file:
        for number, line in enumerate(file, 1):
            text = line.strip()
            if not text or text.startswith('#'):
                continue
            if line[0].isspace():
                m = re.match(r'(never|maybe): ', text)
                if m:
                    for entry in group:
                        entry.kind = m.group(1)
                    kind, group = m.group(1), []
                elif group:
                    sys.exit('%s:%d: a reason begins with never: or maybe:' % (path, number))
                continue
            group.append(Entry(text, number))
            entries.append(group[-1])
    if group:
        sys.exit('%s: the last entries have no reason' % path)
    return entries


class Listed:
    def __init__(self, entries):
        self.functions = {}
        self.lines = collections.defaultdict(list)
        self.entries = entries
        for entry in entries:
            if entry.source is None:
                self.functions[entry.function] = entry
            else:
                self.lines[Line(entry.function, entry.source, entry.which)].append(entry)

    def of_line(self, name):
        """Entries that excuse the whole line."""
        found = [e for e in self.lines.get(name, []) if not e.of]
        if name.function in self.functions:
            found.append(self.functions[name.function])
        return found

    def of_branch(self, name, n, branch):
        return self.of_line(name) + [e for e in self.lines.get(name, [])
                                     if e.of == n and branch in e.taken]


def excused(entries):
    for entry in entries:
        entry.needed = True
    return bool(entries)


def mark_fitting(seen, names, listed):
    for key, name in names.items():
        for entry in listed.of_line(name):
            entry.fits = True
        for entry in listed.lines.get(name, []):
            if entry.of and entry.of in seen[key].branches and max(entry.taken) <= entry.of:
                entry.fits = True


def compare_functions(defined, compiled, listed):
    """Prints which of them no program has; how many."""
    bad = 0
    for name in sorted(defined - compiled):
        entry = listed.functions.get(name)
        if entry:
            entry.fits = entry.needed = True
        else:
            print('%s: no program has this function' % name)
            bad += 1
    return bad


def show(name, what=''):
    which = ' (%d)' % name.which if name.which > 1 else ''
    print('%s: %s%s%s' % (name.function, name.text, which, what))


def compare(seen, names, listed, show_all):
    """Prints what was never run; returns its number, and the figures."""
    figures = dict.fromkeys(['lines', 'lines run', 'lines listed',
                             'branches', 'branches run', 'branches listed'], 0)
    bad = 0
    for key in sorted(seen, key=lambda k: (k[1], k[0])):
        name, line = names[key], seen[key]
        if not line.judged:
            continue
        figures['lines'] += 1
        figures['lines run'] += line.count > 0
        figures['branches'] += sum(line.judged)
        figures['branches run'] += sum(line.judged)
        if not line.count:
            is_listed = excused(listed.of_line(name))
            figures['lines listed'] += is_listed
            bad += not is_listed
            if show_all or not is_listed:
                show(name)
        for n, never in line.missing():
            rest = [b for b in never if not excused(listed.of_branch(name, n, b))]
            figures['branches run'] -= len(never)
            figures['branches listed'] += len(never) - len(rest)
            shown = never if show_all else rest
            if line.count and shown:
                show(name, ' (branch %s of %d)' % (', '.join(map(str, shown)), n))
                bad += len(rest)
    return bad, figures


def print_figures(figures, programs):
    print('# %d programs' % programs)
    for what in 'lines', 'branches':
        n, run, of_list = (figures[what + k] for k in ('', ' run', ' listed'))
        print('# %s: %d of %d (%.2f %%), %d of the others are listed' %
              (what, run, n, 100 * run / n, of_list))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--header', default=os.path.join(ROOT, 'cfut.h'))
    parser.add_argument('--list', default=os.path.join(ROOT, 'tests', 'coverage.txt'))
    parser.add_argument('--all', action='store_true')
    parser.add_argument('folders', nargs='+', metavar='BUILD_DIR')
    options = parser.parse_args()
    with open(options.header, encoding='utf8') as file:
        source = file.read().split('\n')
    listed = Listed(read_list(options.list))
    seen, compiled, programs = gather(options.folders, os.path.basename(options.header))
    names = name_lines(seen, source)
    mark_fitting(seen, names, listed)
    bad, figures = compare(seen, names, listed, options.all)
    bad += compare_functions(defined_in(source), compiled, listed)
    for entry in listed.entries:
        if not entry.fits:
            print('coverage.txt:%d: fits no line: %s' % (entry.number, entry.text))
            bad += 1
        elif not entry.needed and entry.kind == 'never':
            print('# coverage.txt:%d: was run after all: %s' % (entry.number, entry.text))
    print_figures(figures, programs)
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
