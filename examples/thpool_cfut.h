/* thpool_cfut.h: the interface of C-Thread-Pool (thpool.h) over cfut, for
   programs that bring that library along. Include it behind cfut.h.

   thpool_destroy waits for the jobs that threads have taken and drops the others.
   Different here: what a job adds itself starts newest first; thpool_wait does not
   poll; and there is no thpool_pause, which stops threads wherever they are. */
#ifndef THPOOL_CFUT_H
#define THPOOL_CFUT_H
#include <pthread.h>
#include <stdlib.h>

typedef struct thpool_ {
    cfut_executor *pool;
    pthread_mutex_t lock;                       /* protects what is below */
    pthread_cond_t idle;
    int jobs, working;                          /* that were added; of these, running */
} *threadpool;

struct thpool_job { threadpool t; void (*function)(void *); void *arg; };

static inline int thpool_count(threadpool t, int jobs, int working)
{
    pthread_mutex_lock(&t->lock);
    working = t->working += working;
    if ((t->jobs += jobs) == 0) pthread_cond_broadcast(&t->idle);
    pthread_mutex_unlock(&t->lock);
    return working;
}

static int thpool_run(const struct thpool_job *job)
{
    thpool_count(job->t, 0, +1);
    job->function(job->arg);
    thpool_count(job->t, -1, -1);
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
    thpool_run_future *f = (thpool_count(t, +1, 0),
                            thpool_run_spawn(t->pool, (struct thpool_job){t, function, arg}));
    int status = thpool_run_result_timeout(f, 0);       /* refused: it says why, at once */

    thpool_run_release(f);                      /* else it frees itself when it is done */
    if (status == CFUT_OK || status == CFUT_TIMEOUT) return 0;
    thpool_count(t, -1, 0);
    return -1;
}

static inline void thpool_wait(threadpool t)
{
    pthread_mutex_lock(&t->lock);
    while (t->jobs) pthread_cond_wait(&t->idle, &t->lock);
    pthread_mutex_unlock(&t->lock);
}

static inline int thpool_num_threads_working(threadpool t) { return thpool_count(t, 0, 0); }

static inline void thpool_destroy(threadpool t)
{
    if (!t) return;
    cfut_shutdown(t->pool, CFUT_CANCEL_PENDING);
    pthread_cond_destroy(&t->idle);
    pthread_mutex_destroy(&t->lock);
    free(t);
}
#endif
