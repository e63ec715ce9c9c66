#!/usr/bin/env python3
"""trace.py PROGRAM TIMELINE: runs trace_load both ways, looks at the timelines that it
writes, and has each drawn by examples/timeline.py. TAP."""
import collections
import json
import os
import subprocess
import sys
import tempfile
import xml.dom.minidom

number = 0


def check(good, what, detail=''):
    global number
    number += 1
    print(f'{"ok" if good else "not ok"} {number} - {what}')
    if not good:
        print(f'# {detail}')


def slices_nest(slices):
    """Whether of two slices of a track one is within the other, or they are apart."""
    open_ends = []
    for begin, end in sorted((s['ts'], -s['ts'] - s['dur']) for s in slices):
        end = -end
        while open_ends and open_ends[-1] <= begin:
            open_ends.pop()
        if open_ends and end > open_ends[-1] + 0.0015:      # what rounding may add
            return False
        open_ends.append(end)
    return True


def is_in_a_slice(event, slices):
    return any(s['ts'] <= event['ts'] <= s['ts'] + s['dur'] for s in slices)


def look(path, how):
    with open(path, encoding='utf-8') as file:
        trace = json.load(file)
    events = trace['traceEvents']
    by_phase = collections.defaultdict(list)
    tracks = collections.defaultdict(list)
    for e in events:
        by_phase[e['ph']].append(e)
        if e['ph'] == 'X':
            tracks[e['pid'], e['tid']].append(e)
    tasks = collections.Counter(e['name'] for e in by_phase['X'] if e['cat'] == 'task')
    items = sum(e['args']['items'] for e in by_phase['X'] if e['cat'] == 'items')
    elsewhere = [e for e in by_phase['X'] if e['pid'] != 1]

    check(trace['otherData']['dropped'] == 0, f'{how}: nothing is dropped')
    check(set(by_phase) <= set('MXsfCi'), f'{how}: phases', sorted(by_phase))
    times = [e['ts'] for e in events if e['ph'] != 'M']
    check(times == sorted(times) and times[0] >= 0, f'{how}: in the order of time')
    check(all(e['dur'] >= 0 for e in by_phase['X']), f'{how}: nothing ends before it begins')
    names = {(e['pid'], e['tid']): e['args']['name']
             for e in by_phase['M'] if e['name'] == 'thread_name'}
    check(set(tracks) <= set(names), f'{how}: each track has a name', set(tracks) - set(names))
    check({'tracer_0', 'tracer_1', 'cfut-processes'} <= set(names.values()),
          f'{how}: workers and manager by name', names)
    for track, slices in sorted(tracks.items()):
        check(slices_nest(slices), f'{how}: the slices of {names.get(track)} nest')

    starts = {e['id']: e for e in by_phase['s']}
    check(len(starts) == len(by_phase['s']), f'{how}: each arrow begins once')
    ends = collections.Counter(e['id'] for e in by_phase['f'])
    check(set(ends.values()) == {1}, f'{how}: and ends once at most')
    check(all(e['id'] in starts and starts[e['id']]['ts'] <= e['ts'] for e in by_phase['f']),
          f'{how}: after it has begun')
    loose = [e for e in by_phase['s'] + by_phase['f']
             if not is_in_a_slice(e, tracks[e['pid'], e['tid']])]
    check(not loose, f'{how}: arrows lead from slice to slice', loose[:3])
    check(len(by_phase['f']) == sum(tasks.values()), f'{how}: one arrow for each run',
          (len(by_phase['f']), tasks))

    queued = [e['args']['tasks'] for e in by_phase['C']]
    check(queued and min(queued) >= 0 and queued[-1] == 0, f'{how}: the queue is empty at the end',
          queued[-3:])
    check(tasks['fib'] == 55, f'{how}: each fork has run', tasks)
    check(tasks['nap'] >= 5 + 8 + 1 and tasks['die'] == 1, f'{how}: each task has run', tasks)
    check(tasks['a "quoted\\name"\n'] == 1, f'{how}: names are quoted', tasks)
    check(items == 200, f'{how}: each item of the map on threads', items)
    check(sum(e.get('args', {}).get('items', 1) for e in elsewhere) == 8 + 50 + 1,
          f'{how}: what ran in processes', len(elsewhere))
    check(all(e['cat'] == 'task' for e in elsewhere) and 1 <= len({e['pid'] for e in elsewhere}) <= 2,
          f'{how}: in at most two of them')
    check(sum(e['cat'] == 'cancel' for e in by_phase['i']) == 5, f'{how}: five were cancelled')
    check(any(e['cat'] == 'wait' for e in by_phase['X']), f'{how}: waits')


def draw(path, timeline):
    svg = path + '.svg'
    run = subprocess.run([sys.executable, timeline, path, svg])
    check(run.returncode == 0, 'it is drawn')
    rects = xml.dom.minidom.parse(svg).getElementsByTagName('rect')
    check(len(rects) > 50, 'with its slices', len(rects))
    bad = subprocess.run([sys.executable, timeline, __file__, svg], stderr=subprocess.PIPE)
    check(bad.returncode == 1 and bad.stderr.count(b'\n') == 1, 'what is no timeline is refused',
          bad.stderr)


def main():
    program, timeline = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'call.json')
        check(subprocess.run([program, path]).returncode == 0, 'recorded by the call')
        look(path, 'call')
        draw(path, timeline)
        path = os.path.join(folder, 'environment.json')
        check(subprocess.run([program], env={**os.environ, 'CFUT_TRACE': path}).returncode == 0,
              'recorded by the environment')
        look(path, 'environment')
        check(subprocess.run([program], env={**os.environ, 'CFUT_TRACE': '/no/such/path'})
              .returncode == 0, 'a path that cannot be written hurts nobody')
    print(f'1..{number}')


main()
