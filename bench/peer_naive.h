/* peer_naive.h: the pool everyone writes (naive.h) as the benchmarks use it. */
#ifndef CFUT_BENCH_PEER_NAIVE_H
#define CFUT_BENCH_PEER_NAIVE_H

#include "bench.h"
#include "naive.h"
#include "peer.h"

/* ---- pool ---- */

struct naive_call {
    void (*fn)(void *);
    void *arg;
};

static inline int naive_call(const void *in, void *out)
{
    struct naive_call *c = out;

    (void)in;
    c->fn(c->arg);
    free(c);
    return 0;
}

static inline void naive_post_call(void *pool, void (*fn)(void *), void *arg)
{
    struct naive_call *c = must_calloc(1, sizeof *c);

    *c = (struct naive_call){fn, arg};
    naive_post(pool, naive_call, NULL, c, NULL);
}

static inline void *naive_start(int workers, void (*greet)(void *), void *arg)
{
    naive_pool *pool = naive_pool_new(workers);

    muster(pool, naive_post_call, workers, greet, arg);
    return pool;
}

static inline void naive_stop(void *pool)
{
    naive_pool_free(pool);
}

/* ---- empty jobs ---- */

struct parcel {
    struct parcel *next;
};

struct naive_batch {
    naive_pool *pool;
    size_t n;
    int *in, *out;
    naive_future **f;
    struct parcel *parcels;     /* as completed; made when first asked for */
};

static inline int naive_copy(const void *in, void *out)
{
    *(int *)out = *(const int *)in;
    return 0;
}

static inline void *naive_new_batch(void *pool, size_t n)
{
    struct naive_batch *b = must_calloc(1, sizeof *b);

    b->pool = pool;
    b->n = n;
    b->in = must_calloc(n, sizeof b->in[0]);
    b->out = must_calloc(n, sizeof b->out[0]);
    b->f = must_calloc(n, sizeof b->f[0]);
    return b;
}

static inline void naive_submit_all(void *batch)
{
    struct naive_batch *b = batch;

    for (size_t i = 0; i < b->n; i++) {
        b->in[i] = (int)i;
        b->f[i] = naive_submit(b->pool, naive_copy, &b->in[i], &b->out[i]);
    }
}

static inline void naive_collect(void *batch)
{
    struct naive_batch *b = batch;

    for (size_t i = 0; i < b->n; i++)
        if (naive_result(b->f[i]) != 0 || b->out[i] != (int)i)
            die("a job failed");
}

static inline void naive_drop(void *batch)
{
    struct naive_batch *b = batch;

    free(b->parcels);
    free(b->f);
    free(b->out);
    free(b->in);
    free(b);
}

static inline int naive_trip(void *pool, int x)
{
    int out;

    if (naive_result(naive_submit(pool, naive_copy, &x, &out)) != 0)
        die("a job failed");
    return out;
}

/* ---- as completed ---- */

/* The usual answer without as_completed: the job itself appends what it is to a
   list under a mutex, and the consumer waits for that list. */
static struct {
    pthread_mutex_t lock;       /* guards both ends */
    pthread_cond_t arrived;     /* first is not NULL */
    struct parcel *first, *last;
} mailbox = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, NULL};

static inline int deliver(const void *in, void *out)
{
    struct parcel *p = out;

    (void)in;
    p->next = NULL;
    pthread_mutex_lock(&mailbox.lock);
    if (mailbox.last)
        mailbox.last->next = p;
    else
        mailbox.first = p;
    mailbox.last = p;
    pthread_cond_signal(&mailbox.arrived);
    pthread_mutex_unlock(&mailbox.lock);
    return 0;
}

static inline struct parcel *receive(void)
{
    struct parcel *p;

    pthread_mutex_lock(&mailbox.lock);
    while (!(p = mailbox.first))
        pthread_cond_wait(&mailbox.arrived, &mailbox.lock);
    if (!(mailbox.first = p->next))
        mailbox.last = NULL;
    pthread_mutex_unlock(&mailbox.lock);
    return p;
}

static inline void naive_completed(void *batch)
{
    struct naive_batch *b = batch;

    if (!b->parcels)
        b->parcels = must_calloc(b->n, sizeof b->parcels[0]);
    for (size_t i = 0; i < b->n; i++)
        naive_post(b->pool, deliver, NULL, &b->parcels[i], NULL);
    for (size_t i = 0; i < b->n; i++)
        if (receive() < b->parcels)
            die("a parcel from nowhere");
}

/* ---- map: as many equal parts as workers ---- */

struct naive_part {
    enum kernel kernel;
    const double *in;
    double *out;
    size_t n;
};

static inline int naive_run_part(const void *in, void *out)
{
    const struct naive_part *p = in;

    (void)out;
    for (size_t i = 0; i < p->n; i++)
        p->out[i] = p->kernel == KERNEL_ROOT ? kernel_root(p->in[i]) : kernel_burn(p->in[i]);
    return 0;
}

static inline void naive_map(void *pool, enum kernel kernel, const double *in, double *out,
                             size_t n)
{
    size_t parts = (size_t)((naive_pool *)pool)->workers;
    struct naive_part *p = must_calloc(parts, sizeof *p);
    naive_future **f = must_calloc(parts, sizeof(naive_future *));

    for (size_t i = 0; i < parts; i++) {
        size_t lo = n * i / parts, hi = n * (i + 1) / parts;

        p[i] = (struct naive_part){kernel, in + lo, out + lo, hi - lo};
        f[i] = naive_submit(pool, naive_run_part, &p[i], NULL);
    }
    for (size_t i = 0; i < parts; i++)
        naive_result(f[i]);
    free(f);
    free(p);
}

static const struct peer peer_naive = {
    .name = "naive",
    .differs = "nested waits deadlock it; as completed: a list of its own instead of futures",
    .slow = 4,
    .keeps_workers = true,
    .start = naive_start,
    .stop = naive_stop,
    .post = naive_post_call,
    .batch = naive_new_batch,
    .submit = naive_submit_all,
    .collect = naive_collect,
    .completed = naive_completed,
    .drop = naive_drop,
    .trip = naive_trip,
    .map = naive_map,
};

#endif
