#!/usr/bin/env python3
"""timeline.py TRACE.json [PICTURE.svg]: draws a timeline of cfut (see cfut_trace) for those
without Perfetto: a row for each thread and worker process, tasks in colour, waits
grey, what is queued on top. SVG, to standard output if no file is given."""
import collections
import json
import sys
import zlib
from xml.sax.saxutils import escape, quoteattr

WIDTH, LEFT, BAR, GAP, QUEUE = 1200, 190, 14, 8, 50
SMALLEST = 0.2                          # of a pixel: narrower slices are left out


def read(path):
    try:
        with open(path, encoding='utf-8') as file:
            return json.load(file)['traceEvents']
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.exit(f'{sys.argv[0]}: {path}: no timeline: {error}')


def colour(event):
    if event['cat'] == 'wait':
        return '#ddd'
    if event['cat'] == 'submit':
        return '#999'
    return f'hsl({zlib.crc32(event["name"].encode()) % 360},60%,65%)'


def depths(slices):
    """Each slice with how deep it is within others."""
    ends = []
    for s in sorted(slices, key=lambda s: (s['ts'], -s['dur'])):
        while ends and ends[-1] <= s['ts']:
            ends.pop()
        yield len(ends), s
        ends.append(s['ts'] + s['dur'])


def text(x, y, words, more=''):
    return f'<text x="{x:.1f}" y="{y:.1f}"{more}>{escape(words)}</text>'


def draw_slice(s, x, y, width):
    hint = f'{s["name"]}: {s["dur"]:.1f} us'
    yield (f'<rect x="{x:.2f}" y="{y}" width="{max(width, SMALLEST):.2f}" height="{BAR - 1}" '
           f'fill="{colour(s)}"><title>{escape(hint)}</title></rect>')
    if width > 7 * len(s['name']):
        yield text(x + 2, y + BAR - 4, s['name'])


def draw_queue(counts, scale):
    most = max([c['args']['tasks'] for c in counts] + [1])
    points, last = [f'{LEFT},{QUEUE}'], QUEUE
    for c in counts:
        x, y = LEFT + c['ts'] * scale, QUEUE - c['args']['tasks'] / most * (QUEUE - 12)
        points += [f'{x:.2f},{last:.1f}', f'{x:.2f},{y:.1f}']
        last = y
    points.append(f'{WIDTH},{last:.1f} {WIDTH},{QUEUE}')
    yield text(4, QUEUE - 4, f'queued (at most {most})')
    yield f'<polygon points="{" ".join(points)}" fill="#8ac"/>'


def draw(events):
    slices, names, counts = collections.defaultdict(list), {}, []
    for e in events:
        if e['ph'] == 'X':
            slices[e['pid'], e['tid']].append(e)
        elif e['ph'] == 'M' and e['name'] == 'thread_name':
            names[e['pid'], e['tid']] = e['args']['name']
        elif e['ph'] == 'C':
            counts.append(e)
    end = max([s['ts'] + s['dur'] for all in slices.values() for s in all] + [1])
    scale = (WIDTH - LEFT) / end
    body, y = list(draw_queue(counts, scale)), QUEUE + GAP
    for track in sorted(slices):
        body.append(text(4, y + BAR - 3, names.get(track, str(track))))
        deepest = 0
        for depth, s in depths(slices[track]):
            deepest = max(deepest, depth)
            if s['dur'] * scale >= SMALLEST or depth == 0:
                body += draw_slice(s, LEFT + s['ts'] * scale, y + depth * BAR, s['dur'] * scale)
        y += (deepest + 1) * BAR + GAP
    body += [text(LEFT, y + 10, '0'), text(WIDTH, y + 10, f'{end / 1000:.3f} ms',
                                           ' text-anchor="end"')]
    style = 'font-family:sans-serif;font-size:11px;background:white'
    yield (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + 20}" '
           f'style={quoteattr(style)}>')
    yield from body
    yield '</svg>'


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(f'usage: {sys.argv[0]} TRACE.json [PICTURE.svg]')
    picture = '\n'.join(draw(read(sys.argv[1]))) + '\n'
    if len(sys.argv) == 2:
        sys.stdout.write(picture)
        return
    try:
        with open(sys.argv[2], 'w', encoding='utf-8') as file:
            file.write(picture)
    except OSError as error:
        sys.exit(f'{sys.argv[0]}: {sys.argv[2]}: {error.strerror}')


main()
