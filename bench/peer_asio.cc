/* peer_asio: Boost.Asio's thread_pool, with std::packaged_task as its users
   have it. A worker that waits for a future blocks: no nesting. */
#include "peer.h"

#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <vector>

#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/version.hpp>

namespace {

using boost::asio::thread_pool;

/* As completed: what the tasks push and the consumer pops. */
struct mailbox {
    std::mutex lock;
    std::condition_variable arrived;
    std::deque<int> items;

    void push(int item)
    {
        std::lock_guard<std::mutex> hold(lock);
        items.push_back(item);
        arrived.notify_one();
    }
    int pop()
    {
        std::unique_lock<std::mutex> hold(lock);
        arrived.wait(hold, [this] { return !items.empty(); });
        int item = items.front();
        items.pop_front();
        return item;
    }
};

struct batch {
    batch(thread_pool *p, std::size_t size) : owner(p), n(size), results(size)
    {
    }
    thread_pool *owner;
    std::size_t n;
    std::vector<std::future<int>> results;
    mailbox box;
};

void version(char *buf, std::size_t size)
{
    std::snprintf(buf, size, "%d.%d", BOOST_VERSION / 100000, BOOST_VERSION / 100 % 1000);
}

void post(void *p, void (*fn)(void *), void *arg)
{
    boost::asio::post(*static_cast<thread_pool *>(p), [fn, arg] { fn(arg); });
}

void *start(int workers, void (*greet)(void *), void *arg)
{
    thread_pool *p = new thread_pool(static_cast<std::size_t>(workers));

    muster(p, post, workers, greet, arg);
    return p;
}

void stop(void *arg)
{
    thread_pool *p = static_cast<thread_pool *>(arg);

    p->join();
    delete p;
}

std::future<int> submit_one(thread_pool *p, int x)
{
    std::packaged_task<int()> task([x] { return x; });
    std::future<int> result = task.get_future();

    boost::asio::post(*p, std::move(task));
    return result;
}

void *new_batch(void *p, std::size_t n)
{
    return new batch(static_cast<thread_pool *>(p), n);
}

void submit(void *arg)
{
    batch *b = static_cast<batch *>(arg);

    for (std::size_t i = 0; i < b->n; i++)
        b->results[i] = submit_one(b->owner, static_cast<int>(i));
}

void collect(void *arg)
{
    batch *b = static_cast<batch *>(arg);

    for (std::size_t i = 0; i < b->n; i++)
        peer_check(b->results[i].get() == static_cast<int>(i), "Asio");
}

void completed(void *arg)
{
    batch *b = static_cast<batch *>(arg);

    for (std::size_t i = 0; i < b->n; i++)
        boost::asio::post(*b->owner, [b, i] { b->box.push(static_cast<int>(i)); });
    for (std::size_t i = 0; i < b->n; i++)
        peer_check(static_cast<std::size_t>(b->box.pop()) < b->n, "Asio");
}

void drop(void *arg)
{
    delete static_cast<batch *>(arg);
}

int trip(void *p, int x)
{
    return submit_one(static_cast<thread_pool *>(p), x).get();
}

struct peer describe()
{
    struct peer p = {};

    p.name = "Asio";
    p.differs = "nested waits deadlock it; as completed: a list of its own instead of futures";
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
    return p;
}

} // namespace

const struct peer peer_asio = describe();
