/* peer_glib: GLib's GThreadPool. No futures: jobs count down, as its users do. */
#include "peer.h"

#include <glib.h>

/* What is pushed; the pool has one function for all. */
struct job {
    void (*fn)(struct job *);
};

static void run(gpointer job, gpointer user)
{
    (void)user;
    ((struct job *)job)->fn(job);
}

/* ---- pool ---- */

struct call {
    struct job job;
    void (*fn)(void *);
    void *arg;
};

static void run_call(struct job *job)
{
    struct call *c = (struct call *)job;

    c->fn(c->arg);
    g_free(c);
}

static void post(void *pool, void (*fn)(void *), void *arg)
{
    struct call *c = g_malloc0_n(1, sizeof *c);

    *c = (struct call){{run_call}, fn, arg};
    g_thread_pool_push(pool, c, NULL);
}

static void *start(int workers, void (*greet)(void *), void *arg)
{
    GThreadPool *pool = g_thread_pool_new(run, NULL, workers, TRUE, NULL);

    peer_check(pool != NULL, "GLib: no pool");
    muster(pool, post, workers, greet, arg);
    return pool;
}

static void stop(void *pool)
{
    g_thread_pool_free(pool, FALSE, TRUE);
}

static void version(char *buf, size_t size)
{
    snprintf(buf, size, "%u.%u.%u", glib_major_version, glib_minor_version, glib_micro_version);
}

/* ---- empty jobs ---- */

struct latch {
    gint left;
    GMutex lock;
    GCond none;
    bool open;                  /* under lock, as the last touch of the last job */
};

static void latch_down(struct latch *l)
{
    if (!g_atomic_int_dec_and_test(&l->left))
        return;
    g_mutex_lock(&l->lock);
    l->open = true;
    g_cond_signal(&l->none);
    g_mutex_unlock(&l->lock);
}

static void latch_wait(struct latch *l)
{
    g_mutex_lock(&l->lock);
    while (!l->open)
        g_cond_wait(&l->none, &l->lock);
    l->open = false;
    g_mutex_unlock(&l->lock);
}

struct item {
    struct job job;
    struct batch *batch;
    int in, out;
};

struct batch {
    GThreadPool *pool;
    size_t n;
    struct latch done;
    GAsyncQueue *arrived;
    struct item *items;
};

static void copy(struct job *job)
{
    struct item *i = (struct item *)job;

    i->out = i->in;
    latch_down(&i->batch->done);
}

static void deliver(struct job *job)
{
    struct item *i = (struct item *)job;

    g_async_queue_push(i->batch->arrived, i);
}

static void *new_batch(void *pool, size_t n)
{
    struct batch *b = g_malloc0_n(1, sizeof *b);

    b->pool = pool;
    b->n = n;
    b->items = g_malloc0_n(n, sizeof *b->items);
    b->arrived = g_async_queue_new();
    g_mutex_init(&b->done.lock);
    g_cond_init(&b->done.none);
    return b;
}

static void push_all(struct batch *b, void (*fn)(struct job *))
{
    for (size_t i = 0; i < b->n; i++) {
        b->items[i] = (struct item){{fn}, b, (int)i, -1};
        g_thread_pool_push(b->pool, &b->items[i], NULL);
    }
}

static void submit(void *batch)
{
    struct batch *b = batch;

    g_atomic_int_set(&b->done.left, (gint)b->n);
    push_all(b, copy);
}

static void collect(void *batch)
{
    struct batch *b = batch;

    latch_wait(&b->done);
    for (size_t i = 0; i < b->n; i++)
        peer_check(b->items[i].out == (int)i, "GLib");
}

static void completed(void *batch)
{
    struct batch *b = batch;

    push_all(b, deliver);
    for (size_t i = 0; i < b->n; i++)
        peer_check((struct item *)g_async_queue_pop(b->arrived) >= b->items, "GLib");
}

static void drop(void *batch)
{
    struct batch *b = batch;

    g_mutex_clear(&b->done.lock);
    g_cond_clear(&b->done.none);
    g_async_queue_unref(b->arrived);
    g_free(b->items);
    g_free(b);
}

static int trip(void *pool, int x)
{
    struct batch b = {.done.left = 1};
    struct item i = {{copy}, &b, x, -1};

    g_mutex_init(&b.done.lock);
    g_cond_init(&b.done.none);
    g_thread_pool_push(pool, &i, NULL);
    latch_wait(&b.done);
    g_mutex_clear(&b.done.lock);
    g_cond_clear(&b.done.none);
    return i.out;
}

const struct peer peer_glib = {
    .name = "GLib",
    .differs = "no futures: a counter, a queue; nested waits deadlock it",
    .keeps_workers = true,
    .version = version,
    .start = start,
    .stop = stop,
    .post = post,
    .batch = new_batch,
    .submit = submit,
    .collect = collect,
    .completed = completed,
    .drop = drop,
    .trip = trip,
};
