"""CPython's process pools for bench_process: runs one workload, prints its figures.

usage: peer_processes.py executor|pool WORKLOAD N WORKERS
"""
import multiprocessing
import os
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor

MIB = 1 << 20


def copy(x):
    return x


def name_self(ms):
    time.sleep(ms / 1000)
    return os.getpid()


class Executor:
    def __init__(self, workers, start):
        self.pool = ProcessPoolExecutor(workers, multiprocessing.get_context(start))
        self.workers = workers

    def submit(self, fn, x):
        return self.pool.submit(fn, x).result

    def map(self, fn, xs):
        # one by one it would be slower by far; the other pool's choice
        return list(self.pool.map(fn, xs, chunksize=-(-len(xs) // (4 * self.workers))))

    def close(self):
        self.pool.shutdown()


class Pool:
    def __init__(self, workers, start):
        self.pool = multiprocessing.get_context(start).Pool(workers)

    def submit(self, fn, x):
        return self.pool.apply_async(fn, (x,)).get

    def map(self, fn, xs):
        return self.pool.map(fn, xs)

    def close(self):
        self.pool.close()
        self.pool.join()


def seconds(work):
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def tasks(pool, n):
    results = [pool.submit(copy, i) for i in range(n)]
    for i, result in enumerate(results):
        assert result() == i


def mapped(pool, items):
    assert pool.map(copy, items) == items


def twice(work, n):
    work()                              # warm-up
    return [seconds(work) / n * 1e9]


def trips(pool, x, n, unit):
    def trip():
        assert pool.submit(copy, x)() == x

    for _ in range(n // 10 + 1):
        trip()
    times = sorted(seconds(trip) for _ in range(n))
    return [times[(n - 1) // 2] * unit, times[int((n - 1) * 0.999)] * unit]


def pss_kib(pid):
    with open('/proc/%d/smaps_rollup' % pid) as f:
        return int(next(line for line in f if line.startswith('Pss:')).split()[1])


def memory(pool, n, workers):
    for result in [pool.submit(name_self, 50) for _ in range(2 * workers)]:
        result()
    tasks(pool, n)
    pids = [p.pid for p in multiprocessing.active_children()]
    assert len(pids) == workers
    return [sum(map(pss_kib, pids)) / workers]


def start(make, n):
    def once():
        begun = time.perf_counter()
        pool = make()
        assert pool.submit(copy, 1)() == 1
        took = time.perf_counter() - begun
        pool.close()
        return took * 1e6

    once()
    times = sorted(once() for _ in range(n))
    return [times[(n - 1) // 2], times[-1]]


def measure(kind, workload, n, workers):
    method = 'spawn' if 'spawn' in workload else 'fork'
    make = lambda: kind(workers, method)
    if workload.startswith('start'):
        held = b'\1' * (1 << 30 if 'large' in workload else 1)
        if method == 'spawn' and len(held) > 1:
            for _ in range(4):
                threading.Thread(target=threading.Event().wait, daemon=True).start()
        return start(make, n)
    pool = make()
    if workload == 'tasks':
        figures = twice(lambda: tasks(pool, n), n)
    elif workload == 'map':
        items = list(range(n))
        figures = twice(lambda: mapped(pool, items), n)
    elif workload == 'trip':
        figures = trips(pool, 12345, n, 1e9)
    elif workload == 'echo':
        figures = trips(pool, bytes(MIB), n, 1e6)
    elif workload.startswith('memory'):
        figures = memory(pool, n, workers)
    else:
        raise SystemExit('no such workload: ' + workload)
    pool.close()
    return figures


if __name__ == '__main__':
    kind = {'executor': Executor, 'pool': Pool}[sys.argv[1]]
    print(*('%.1f' % x for x in measure(kind, sys.argv[2], *map(int, sys.argv[3:5]))))
