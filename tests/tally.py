#!/usr/bin/env python3
"""Adds up a Meson test log: each line of a TAP program is a test of its own, a program
without TAP is one, and one that died without saying why is a failure.

    tally.py BUILD_DIR     prints `PASSED FAILED SKIPPED`, and to stderr what failed"""
import glob
import json
import re
import sys

passed = failed = skipped = 0
for path in glob.glob(sys.argv[1] + '/meson-logs/testlog*.json'):
    for line in open(path, encoding='utf8', errors='replace'):
        test = json.loads(line)
        out = test.get('stdout') or ''
        good = test['result'] in ('OK', 'SKIP', 'EXPECTEDFAIL')
        ok = bad = 0
        if re.search(r'^1\.\.[1-9]', out, re.M):
            ok = len(re.findall(r'^ok\b(?!.*# SKIP)', out, re.M))
            skipped += len(re.findall(r'^ok\b.*# SKIP', out, re.M))
            failures = re.findall(r'^not ok\b.*', out, re.M)
            bad = len(failures)
            for failure in failures:
                print(test['name'], failure, sep=': ', file=sys.stderr)
        elif test['result'] == 'OK':
            ok = 1
        elif test['result'] == 'SKIP':
            skipped += 1
        if not good and not bad:
            print(test['name'], test['result'].lower(), sep=': ', file=sys.stderr)
            bad = 1
        passed += ok
        failed += bad
print(passed, failed, skipped)
