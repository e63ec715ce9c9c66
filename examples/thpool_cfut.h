/* thpool_cfut.h: the interface of C-Thread-Pool (thpool.h) over cfut, for
   programs that bring that library along. Include it behind cfut.h.

   thpool_destroy waits for the jobs that threads have taken and drops the others.
   Different here: what a job adds itself starts newest first; thpool_wait does not
   poll; and there is no thpool_pause, which stops threads wherever they are. */
#ifndef THPOOL_CFUT_H
#define THPOOL_CFUT_H
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

typedef struct thpool_ {
    cfut_executor *pool;
    atomic_int jobs, working;                   /* that were added; of these, running */
    pthread_mutex_t lock;
    pthread_cond_t idle;                        /* no jobs */
} *threadpool;

struct thpool_job { threadpool t; void (*function)(void *); void *arg; };

static inline void thpool_end_job(threadpool t)
{
    if (atomic_fetch_sub(&t->jobs, 1) != 1) return;
    pthread_mutex_lock(&t->lock);
    pthread_cond_broadcast(&t->idle);
    pthread_mutex_unlock(&t->lock);
}

static int thpool_run(const struct thpool_job *job)
{
    atomic_fetch_add(&job->t->working, 1);
    job->function(job->arg);
    atomic_fetch_sub(&job->t->working, 1);
    thpool_end_job(job->t);
    return CFUT_OK;
}
CFUT_ACTION(thpool_run, struct thpool_job);

static inline threadpool thpool_init(int num_threads)
{
    threadpool t = calloc(1, sizeof *t);

    if (!t) return NULL;
    t->pool = cfut_thread_pool(&(cfut_thread_pool_desc){.max_workers = num_threads});
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->idle, NULL);
    return t;
}

static inline int thpool_add_work(threadpool t, void (*function)(void *), void *arg)
{
    atomic_fetch_add(&t->jobs, 1);
    thpool_run_future *f = thpool_run_spawn(t->pool, (struct thpool_job){t, function, arg});
    int status = thpool_run_result_timeout(f, 0);       /* refused: it says why, at once */

    thpool_run_release(f);                      /* else it frees itself when it is done */
    if (status < CFUT_TIMEOUT) thpool_end_job(t);
    return status < CFUT_TIMEOUT ? -1 : 0;
}

static inline void thpool_wait(threadpool t)
{
    pthread_mutex_lock(&t->lock);
    while (atomic_load(&t->jobs)) pthread_cond_wait(&t->idle, &t->lock);
    pthread_mutex_unlock(&t->lock);
}

static inline int thpool_num_threads_working(threadpool t) { return atomic_load(&t->working); }

static inline void thpool_destroy(threadpool t)
{
    if (!t) return;
    cfut_shutdown(t->pool, CFUT_CANCEL_PENDING);
    pthread_cond_destroy(&t->idle);
    pthread_mutex_destroy(&t->lock);
    free(t);
}
#endif
