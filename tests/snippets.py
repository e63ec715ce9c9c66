#!/usr/bin/env python3
"""snippets.py SOURCE_ROOT: the code that the README and the header's comments
show is compiled and run, and what they say it prints is compared; each call
that they mention compiles; each name is one of the header's. TAP on stdout.
CC is honoured."""

import os
import re
import shlex
import subprocess
import sys
import tempfile
import textwrap

ROOT = os.path.abspath(sys.argv[1])
CC = shlex.split(os.environ.get('CC', 'cc'))
FLAGS = ['-std=gnu11', '-Wall', '-Wextra', '-Werror', '-I' + ROOT, '-pthread']
TIME_LIMIT = 120


def read(name):
    with open(os.path.join(ROOT, name), encoding='utf8') as file:
        return file.read()


README = read('README.md')
HEADER = read('cfut.h')
PUBLIC = HEADER[:HEADER.index('#endif /* CFUT_H */')]
MANUAL = HEADER[:HEADER.index('*/')]

# ---- TAP ----

results = []


def report(name, complaint):
    """complaint: None, or what is wrong."""
    results.append(complaint is None)
    print('%s %d - %s' % ('ok' if complaint is None else 'not ok', len(results), name))
    if complaint:
        print(textwrap.indent(complaint.rstrip(), '# '))
    sys.stdout.flush()


def run(command, folder):
    """(status, what it printed)"""
    try:
        done = subprocess.run(command, cwd=folder, timeout=TIME_LIMIT, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    except subprocess.TimeoutExpired:
        return -1, 'took longer than %d s' % TIME_LIMIT
    return done.returncode, done.stdout.decode(errors='replace')


def build_and_run(source, expected=None):
    """None, or what is wrong. expected None: whatever it prints."""
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, 'main.c'), 'w', encoding='utf8') as file:
            file.write(source)
        status, output = run(CC + FLAGS + ['main.c', '-o', 'main'], folder)
        if status == 0:
            status, output = run(['./main'], folder)
    if status:
        return 'status %d\n%s\n%s' % (status, output, source)
    if expected is not None and output != expected:
        return 'printed:\n%s\ninstead of:\n%s' % (output, expected)
    return None


# ---- what is shown ----


def line_of(text, at):
    return text.count('\n', 0, at) + 1


def fenced():
    """The README's blocks: (line, language, text)."""
    for m in re.finditer(r'^```(\w*)\n(.*?)^```$', README, re.M | re.S):
        yield line_of(README, m.start()) + 1, m.group(1), m.group(2)


def comments():
    """The public part's: (line, text)."""
    for m in re.finditer(r'/\*.*?\*/', PUBLIC, re.S):
        yield line_of(PUBLIC, m.start()), m.group()[2:-2]


def promised(code):
    """What code's comments say that it prints, or None."""
    lines = re.findall(r'// prints (.*)', code)
    return ''.join(line + '\n' for line in lines) if lines else None


def looks_like_code(block):
    return re.sub(r' *//.*', '', block).rstrip().endswith((';', '}', '...'))


def indented(comment_line, comment):
    """Code in a comment: indented by six or more, behind an empty line."""
    lines = comment.split('\n')
    i = 0
    while i < len(lines):
        if not lines[i].startswith(' ' * 6) or i == 0 or lines[i - 1].strip():
            i += 1
            continue
        begin = i
        while i < len(lines) and (lines[i].startswith(' ' * 6) or not lines[i].strip()):
            i += 1
        block = textwrap.dedent('\n'.join(lines[begin:i])).rstrip() + '\n'
        if looks_like_code(block):
            yield comment_line + begin, block


def chapter(title):
    m = re.search(r'^%s\n\n(.*?)(?=^[A-Z])' % title, MANUAL, re.M | re.S)
    return line_of(MANUAL, m.start(1)), textwrap.dedent(m.group(1)).rstrip() + '\n'


# ---- programs and fragments ----

SQUARE = '''#define CFUT_IMPLEMENTATION
#include "cfut.h"
#include <stdio.h>

static int square(const int *x, int *y) { *y = *x * *x; return CFUT_OK; }
CFUT_TASK(square, int, int);

'''

SUBMIT = '''    square_future a_future;
    square_submit(%s, &a_future, 12);
    printf("%%d\\n", square_result(&a_future) == CFUT_OK ? a_future.out : -1);
    cfut_shutdown(%s, CFUT_DRAIN);
    return 0;
}
'''


def check_fragment(name, code):
    """An open main gets its end; what is at file scope gets a main; the rest gets a
    function around it."""
    if code.startswith('int main('):
        code = SQUARE + code.replace('...\n', '\n') + SUBMIT % ('pool', 'pool')
        report(name, build_and_run(code, '144\n'))
        return
    executor = re.search(r'^static cfut_executor (\w+) =', code, re.M)
    if executor:
        at = '&' + executor.group(1)
        code = SQUARE + code + '\nint main(void)\n{\n' + SUBMIT % (at, at)
        report(name, build_and_run(code, '144\n'))
        return
    code = (SQUARE + 'int main(void)\n{\n    cfut_executor *pool = cfut_thread_pool(NULL);\n{\n' +
            code + '}\n    cfut_shutdown(pool, CFUT_DRAIN);\n    return 0;\n}\n')
    report(name, build_and_run(code, promised(code)))


def check_shell(name, command):
    """Where the README's reader stands: in the checkout."""
    with tempfile.TemporaryDirectory() as folder:
        for item in ('cfut.h', 'README.md', 'examples'):
            os.symlink(os.path.join(ROOT, item), os.path.join(folder, item))
        status, output = run(['sh', '-c', command], folder)
    report(name, None if status == 0 else output)


def check_readme():
    blocks = list(fenced())
    for i, (line, language, text) in enumerate(blocks):
        name = 'README.md:%d' % line
        if language == 'c' and '#include' in text:
            follows = blocks[i + 1][2] if i + 1 < len(blocks) and not blocks[i + 1][1] else None
            report(name + ' program', build_and_run(text, follows))
        elif language == 'c':
            check_fragment(name + ' fragment', text)
        elif language == 'sh' and not text.startswith('apt-get'):
            check_shell(name + ' command', text)


def check_manual():
    program, text = chapter('A COMPLETE PROGRAM')
    report('cfut.h:%d program' % program, build_and_run(text, promised(text)))
    for line, comment in comments():
        for at, code in indented(line, comment):
            if not program <= at < program + text.count('\n'):
                check_fragment('cfut.h:%d fragment' % at, code)


# ---- calls mentioned in prose and tables ----

CONTEXT = '''#include "cfut.h"
#include <errno.h>
static int square(const int *x, int *y) { *y = *x * *x; return CFUT_OK; }
CFUT_TASK(square, int, int);
static int fn(const int *x, int *y) { *y = *x * *x; return CFUT_OK; }
CFUT_TASK(fn, int, int);
static int action(const int *x) { return *x; }
CFUT_ACTION(action, int);
int pull(void *user, void *in);
'''

LOCALS = ('cfut_executor *ex, cfut_executor *pool, cfut_future **fs, size_t n, int *xs, int *ys, '
          'int x, int *in_array, int *out_array, int in, int *out, int how, int when, int status, '
          'cfut_ns ns, cfut_ns timeout, void *user, char *buf, size_t size, const char *path, '
          'int argc, char **argv, cfut_done_fn fn')
FUTURES = ['{0}_future f', '{0}_future *f', 'cfut_future *f', 'cfut_future f', 'int f_is_declared_here']


def function(i, body, future):
    desc = 'cfut_stream_desc' if 'stream' in body else 'cfut_map_desc'
    return 'int f%d(%s); int f%d(%s) { %s = {0}; %s desc = {0}; cfut_iter it; %s return 0; }\n' % (
        i, LOCALS, i, LOCALS, future, desc, body)


def rejected(bodies, future):
    """The indices of those that do not compile with f declared so, with the reasons."""
    context = CONTEXT + ''.join(function(i, body, future) for i, body in enumerate(bodies))
    first = CONTEXT.count('\n') + 1
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, 'calls.c'), 'w', encoding='utf8') as file:
            file.write(context)
        status, output = run(CC + FLAGS + ['-Wno-unused', '-Wno-unused-parameter',
                                           '-Wno-unused-but-set-parameter', '-fsyntax-only',
                                           '-fmax-errors=0' if is_gcc() else '-ferror-limit=0',
                                           'calls.c'], folder)
    wrong = {}
    for m in re.finditer(r'^calls\.c:(\d+):\d+: error: (.*)', output, re.M):
        wrong.setdefault(int(m.group(1)) - first, m.group(2))
    if status and not wrong:
        raise SystemExit('cannot compile:\n' + output)
    return wrong


def is_gcc():
    return 'clang' not in run(CC + ['--version'], ROOT)[1]


def check_bodies(what, bodies):
    """bodies: (name, statements). Each compiles with one of the meanings of f."""
    left = list(range(len(bodies)))
    reasons = {}
    for future in FUTURES:
        future = future.format('fn' if what == 'cfut.h' else 'square')
        wrong = rejected([bodies[i][1] for i in left], future)
        for k, reason in wrong.items():
            reasons.setdefault(left[k], []).append('%s: %s' % (future, reason))
        left = [left[k] for k in sorted(wrong)]
    for i, (name, body) in enumerate(bodies):
        report('%s: %s' % (name, re.sub(r'\s+', ' ', body)),
               '\n'.join(reasons[i]) if i in left else None)


def statement(span):
    if span.endswith(';'):
        return span
    if 'while (' in span:
        return span + ' (void)0;'
    return span + ';' if span.startswith(('ex = ', 'return ')) else '(void)(%s);' % span


def table_rows():
    """The README's second column, the code of each cell: Python to C."""
    section = README[README.index('## Python to C'):]
    begin = line_of(README, README.index('## Python to C'))
    section = section[:section.index('\n## ', 1)]
    for i, line in enumerate(section.split('\n')):
        cells = re.split(r' \| |^\| | \|$', line)
        if len(cells) >= 3 and cells[2].count('`') >= 2:
            spans = re.findall(r'`([^`]*)`', cells[2])
            yield 'README.md:%d' % (begin + i), ' '.join(statement(span) for span in spans)


def calls(text):
    """(offset, call) of each cfut_...(...) and fn_...(...) in text."""
    for m in re.finditer(r'\b(?:cfut|fn)_\w+\(', text):
        depth, end = 1, m.end()
        while depth and end < len(text):
            depth += {'(': 1, ')': -1}.get(text[end], 0)
            end += 1
        yield m.start(), text[m.start():end]


def mentioned_calls():
    for line, comment in comments():
        shown = [code for _, code in indented(line, comment)]
        for at, call in calls(comment):
            call = re.sub(r'\s+', ' ', call).replace('{...}', '{0}').replace('(...,', '(ex, xs, ys, n,')
            if comment.startswith(' CFUT_TASK(') and 'CFUT_ACTION(' in comment[:at]:
                call = call.replace('fn_', 'action_')
            if any(call in re.sub(r'\s+', ' ', code) for code in shown) or ' *)' in call:
                continue    # checked as part of a program; or it names a type
            yield 'cfut.h:%d' % (line + comment.count('\n', 0, at)), call


def check_calls():
    check_bodies('README.md', list(table_rows()))
    prose = re.sub(r'^\|.*', '', README, flags=re.M)
    spans = [(line_of(prose, m.start()), m.group(1)) for m in re.finditer(r'`([^`\n]+)`', prose)]
    check_bodies('README.md', [('README.md:%d' % line, statement(span)) for line, span in spans
                               if re.match(r'(return )?cfut_\w+\(.*\);?$', span)])
    check_bodies('cfut.h', [(name, statement(call)) for name, call in mentioned_calls()])


# ---- names ----


def check_names():
    """What prose calls by name is there."""
    code = set(re.findall(r'\w+', re.sub(r'/\*.*?\*/', ' ', HEADER, flags=re.S)))
    made = {'fn_' + suffix for suffix in re.findall(r'fn_##_(\w+)', PUBLIC)}
    made |= {'fn_future', 'fn_task', 'fn_thunk'}
    for name, text in [('README.md', README)] + [('cfut.h:%d' % line, comment)
                                                 for line, comment in comments()]:
        used = set(re.findall(r'\b(?:cfut|CFUT)_[A-Za-z]\w*\b(?!\.\.\.)', text))
        used = {word for word in used if not word.endswith('_')}
        unknown = sorted(used - code)
        unknown += sorted(set(re.findall(r'\bfn_[a-z]\w*', text)) - made - {'fn_'})
        if unknown or name == 'README.md' or name == 'cfut.h:1':
            report(name + ' names', '\n'.join(unknown) if unknown else None)


def check_contents():
    """The manual's list of sections is the sections."""
    listed = re.findall(r'^  >>([\w-]+)', MANUAL, re.M)
    banners = re.findall(r'^/\*=+\n +>>([\w-]+) ', HEADER, re.M)
    report('cfut.h contents', None if listed == banners else '%s\n%s' % (listed, banners))


check_readme()
check_manual()
check_calls()
check_names()
check_contents()
print('1..%d' % len(results))
sys.exit(0 if all(results) else 1)
