/* naive.h: the pool everyone writes, for comparison: one mutex, one condition,
   one list, a block per job and a future with its own mutex and condition.
   Correct and complete for what the benchmarks ask of it, nothing spared and
   nothing added. A job that waits for another job of the same pool blocks its
   worker, so nested waits deadlock as soon as every worker waits. */
#ifndef CFUT_BENCH_NAIVE_H
#define CFUT_BENCH_NAIVE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

typedef int (*naive_fn)(const void *in, void *out);

typedef struct naive_future {
    pthread_mutex_t lock;
    pthread_cond_t ready;
    bool done;
    int status;
} naive_future;

typedef struct naive_job {
    struct naive_job *next;
    naive_fn fn;
    const void *in;
    void *out;
    naive_future *future;       /* NULL: nobody asks for the status */
} naive_job;

typedef struct naive_pool {
    pthread_mutex_t lock;       /* guards first, last and closing */
    pthread_cond_t work;        /* first is not NULL, or closing */
    naive_job *first, *last;
    bool closing;
    int workers;
    pthread_t threads[];
} naive_pool;

static inline naive_job *naive_take(naive_pool *p)
{
    naive_job *j;

    pthread_mutex_lock(&p->lock);
    while (!p->first && !p->closing)
        pthread_cond_wait(&p->work, &p->lock);
    j = p->first;
    if (j && !(p->first = j->next))
        p->last = NULL;
    pthread_mutex_unlock(&p->lock);
    return j;
}

static inline void naive_finish(naive_future *f, int status)
{
    pthread_mutex_lock(&f->lock);
    f->status = status;
    f->done = true;
    pthread_cond_signal(&f->ready);
    pthread_mutex_unlock(&f->lock);
}

static inline void *naive_worker(void *arg)
{
    naive_pool *p = arg;
    naive_job *j;

    while ((j = naive_take(p))) {
        int status = j->fn(j->in, j->out);

        if (j->future)
            naive_finish(j->future, status);
        free(j);
    }
    return NULL;
}

static inline naive_pool *naive_pool_new(int workers)
{
    naive_pool *p = calloc(1, sizeof *p + (size_t)workers * sizeof p->threads[0]);

    if (!p)
        abort();
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    for (; p->workers < workers; p->workers++)
        if (pthread_create(&p->threads[p->workers], NULL, naive_worker, p) != 0)
            abort();
    return p;
}

/* Without a future: for jobs that report in a way of their own. */
static inline void naive_post(naive_pool *p, naive_fn fn, const void *in, void *out,
                              naive_future *f)
{
    naive_job *j = malloc(sizeof *j);

    if (!j)
        abort();
    *j = (naive_job){NULL, fn, in, out, f};
    pthread_mutex_lock(&p->lock);
    if (p->last)
        p->last->next = j;
    else
        p->first = j;
    p->last = j;
    pthread_cond_signal(&p->work);
    pthread_mutex_unlock(&p->lock);
}

static inline naive_future *naive_submit(naive_pool *p, naive_fn fn, const void *in, void *out)
{
    naive_future *f = malloc(sizeof *f);

    if (!f)
        abort();
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->ready, NULL);
    f->done = false;
    naive_post(p, fn, in, out, f);
    return f;
}

/* Waits, frees the future, returns the status. */
static inline int naive_result(naive_future *f)
{
    int status;

    pthread_mutex_lock(&f->lock);
    while (!f->done)
        pthread_cond_wait(&f->ready, &f->lock);
    status = f->status;
    pthread_mutex_unlock(&f->lock);
    pthread_cond_destroy(&f->ready);
    pthread_mutex_destroy(&f->lock);
    free(f);
    return status;
}

/* Runs what is queued, then ends the workers. */
static inline void naive_pool_free(naive_pool *p)
{
    pthread_mutex_lock(&p->lock);
    p->closing = true;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->workers; i++)
        pthread_join(p->threads[i], NULL);
    pthread_cond_destroy(&p->work);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

#endif
