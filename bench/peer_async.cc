/* peer_async: std::async. No pool: a thread for each task. */
#include "peer.h"

#include <future>
#include <vector>

namespace {

struct batch {
    explicit batch(std::size_t size) : n(size), results(size)
    {
    }
    std::size_t n;
    std::vector<std::future<int>> results;
};

/* No worker to greet. */
void *start(int, void (*)(void *), void *)
{
    return nullptr;
}

void stop(void *)
{
}

void *new_batch(void *, std::size_t n)
{
    return new batch(n);
}

void submit(void *arg)
{
    batch *b = static_cast<batch *>(arg);

    for (std::size_t i = 0; i < b->n; i++)
        b->results[i] = std::async(std::launch::async, [i] { return static_cast<int>(i); });
}

void collect(void *arg)
{
    batch *b = static_cast<batch *>(arg);

    for (std::size_t i = 0; i < b->n; i++)
        peer_check(b->results[i].get() == static_cast<int>(i), "std::async");
}

void drop(void *arg)
{
    delete static_cast<batch *>(arg);
}

int trip(void *, int x)
{
    return std::async(std::launch::async, [x] { return x; }).get();
}

struct peer describe()
{
    struct peer p = {};

    p.name = "std::async";
    p.differs = "no pool: a thread for each task, however many workers are asked for";
    p.slow = 200;
    p.start = start;
    p.stop = stop;
    p.batch = new_batch;
    p.submit = submit;
    p.collect = collect;
    p.drop = drop;
    p.trip = trip;
    return p;
}

} // namespace

const struct peer peer_async = describe();
