/* peer_tbb: oneTBB. It has no futures and no submit that can be waited for from
   outside: enqueued jobs count down, as its users do. */
#include "peer.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <vector>

#include <tbb/concurrent_queue.h>
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>
#include <tbb/version.h>

namespace {

struct pool {
    explicit pool(int workers)
        /* One more than workers: the calling thread counts as one. */
        : limit(tbb::global_control::max_allowed_parallelism,
                static_cast<std::size_t>(workers) + 1),
          arena(workers, 0)
    {
    }
    tbb::global_control limit;
    tbb::task_arena arena;
};

/* Sleeps until n jobs are done. */
struct latch {
    std::atomic<std::size_t> left{0};
    std::mutex lock;
    std::condition_variable none;
    bool open = false;          /* under lock, as the last touch of the last job */

    void set(std::size_t n)
    {
        open = false;
        left = n;
    }
    void down()
    {
        if (left.fetch_sub(1) != 1)
            return;
        std::lock_guard<std::mutex> hold(lock);
        open = true;
        none.notify_one();
    }
    void wait()
    {
        std::unique_lock<std::mutex> hold(lock);
        none.wait(hold, [this] { return open; });
    }
};

struct batch {
    batch(pool *p, std::size_t size) : owner(p), n(size), out(size)
    {
    }
    pool *owner;
    std::size_t n;
    std::vector<int> out;
    latch done;
    tbb::concurrent_bounded_queue<int> arrived;
};

void version(char *buf, std::size_t size)
{
    std::snprintf(buf, size, "%d.%d", TBB_VERSION_MAJOR, TBB_VERSION_MINOR);
}

void post(void *p, void (*fn)(void *), void *arg)
{
    static_cast<pool *>(p)->arena.enqueue([fn, arg] { fn(arg); });
}

void *start(int workers, void (*greet)(void *), void *arg)
{
    pool *p = new pool(workers);

    muster(p, post, workers, greet, arg);
    return p;
}

void stop(void *p)
{
    delete static_cast<pool *>(p);
}

void *new_batch(void *p, std::size_t n)
{
    return new batch(static_cast<pool *>(p), n);
}

void submit(void *arg)
{
    batch *b = static_cast<batch *>(arg);

    b->done.set(b->n);
    for (std::size_t i = 0; i < b->n; i++)
        b->owner->arena.enqueue([b, i] {
            b->out[i] = static_cast<int>(i);
            b->done.down();
        });
}

void collect(void *arg)
{
    batch *b = static_cast<batch *>(arg);

    b->done.wait();
    for (std::size_t i = 0; i < b->n; i++)
        peer_check(b->out[i] == static_cast<int>(i), "TBB");
}

void completed(void *arg)
{
    batch *b = static_cast<batch *>(arg);
    int i = 0;

    for (std::size_t k = 0; k < b->n; k++)
        b->owner->arena.enqueue([b, k] { b->arrived.push(static_cast<int>(k)); });
    for (std::size_t k = 0; k < b->n; k++) {
        b->arrived.pop(i);
        peer_check(static_cast<std::size_t>(i) < b->n, "TBB");
    }
}

void drop(void *arg)
{
    delete static_cast<batch *>(arg);
}

int trip(void *p, int x)
{
    latch done;
    int out = 0;

    done.set(1);
    static_cast<pool *>(p)->arena.enqueue([&] {
        out = x;
        done.down();
    });
    done.wait();
    return out;
}

int fib_task(int n)
{
    if (n < 2)
        return n;

    tbb::task_group group;
    int left = 0;

    group.run([&left, n] { left = fib_task(n - 1); });
    int right = fib_task(n - 2);
    group.wait();
    return left + right;
}

/* The calling thread is one of the workers meanwhile. */
int fib(void *p, int n)
{
    return static_cast<pool *>(p)->arena.execute([n] { return fib_task(n); });
}

void map(void *p, enum kernel kernel, const double *in, double *out, std::size_t n)
{
    static_cast<pool *>(p)->arena.execute([=] {
        if (kernel == KERNEL_ROOT)
            tbb::parallel_for(std::size_t(0), n,
                              [=](std::size_t i) { out[i] = kernel_root(in[i]); });
        else
            tbb::parallel_for(std::size_t(0), n,
                              [=](std::size_t i) { out[i] = kernel_burn(in[i]); });
    });
}

struct peer describe()
{
    struct peer p = {};

    p.name = "TBB";
    p.differs = "no futures: a counter, a queue; nested: task_group; map: parallel_for, inlined";
    p.slow = 4;
    p.keeps_workers = true;
    p.version = version;
    p.start = start;
    p.stop = stop;
    p.post = post;
    p.batch = new_batch;
    p.submit = submit;
    p.collect = collect;
    p.completed = completed;
    p.drop = drop;
    p.trip = trip;
    p.fib = fib;
    p.forked_fib = fib;
    p.map = map;
    return p;
}

} // namespace

const struct peer peer_tbb = describe();
