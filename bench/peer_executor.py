"""CPython's ThreadPoolExecutor for bench_core: runs one workload, prints one figure.

usage: peer_executor.py WORKLOAD N REPEATS WORKERS
"""
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

PRODUCERS = 4


def copy(x):
    return x


def submit(pool, n):
    return [pool.submit(copy, i) for i in range(n)]


def collect(futures):
    for i, f in enumerate(futures):
        assert f.result() == i


def batch(pool, n):
    collect(submit(pool, n))


def seconds(work):
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def ns_each(work, n):
    work()                              # warm-up
    return seconds(work) / n * 1e9


def from_producers(pool, n):
    threads = [threading.Thread(target=batch, args=(pool, n // PRODUCERS))
               for _ in range(PRODUCERS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def consume(pool, n, repeats):
    for _ in range(repeats):
        assert sum(f.result() for f in as_completed(submit(pool, n))) == n * (n - 1) // 2


def median_trip(pool, n, pause):
    times = []
    for i in range(n):
        if pause:
            time.sleep(pause)
        times.append(seconds(lambda: pool.submit(copy, i).result()))
    return sorted(times)[n // 2] * 1e9


def resident():
    with open('/proc/self/statm') as f:
        return int(f.read().split()[1]) * 4096


def bytes_each(pool, n):
    gate = threading.Event()
    pool.submit(gate.wait)
    before = resident()
    futures = submit(pool, n)
    size = (resident() - before) / n
    gate.set()
    collect(futures)
    return size


def measure(pool, workload, n, repeats):
    if workload == 'W1':
        return ns_each(lambda: batch(pool, n), n)
    if workload == 'W1b':
        return ns_each(lambda: from_producers(pool, n), n)
    if workload == 'W3':
        return median_trip(pool, n, 0)
    if workload == 'W3c':
        return median_trip(pool, n, 0.001)
    if workload == 'W5':
        return ns_each(lambda: consume(pool, n, repeats), n * repeats)
    if workload == 'W6':
        return bytes_each(pool, n)
    raise SystemExit('no such workload: ' + workload)


def main():
    workload, n, repeats, workers = sys.argv[1], *map(int, sys.argv[2:5])
    with ThreadPoolExecutor(workers) as pool:
        print('%.1f' % measure(pool, workload, n, repeats))


main()
