/* kthread_cfut.h: the two functions of Heng Li's kthread.c over cfut, for
   programs that bring that file along. Include it behind cfut.h.

   kt_for calls func(data, i, thread) once for each i below n; thread is below
   n_threads, and no two calls have the same one at the same time.
   In kt_pipeline step 0 makes an item (NULL: no more), the next steps take what
   the step before returned (NULL: this item ends). A step handles one item at a
   time, in order; n_threads items at most are under way. So each step is a pool
   of one worker; step 0 is the caller. */
#ifndef KTHREAD_CFUT_H
#define KTHREAD_CFUT_H
#include <stdatomic.h>
#include <stdlib.h>

struct kt_range { void (*func)(void *, long, int); void *data; long n; atomic_long next; };
struct kt_lane { struct kt_range *all; int thread; };

static int kt_run_lane(const struct kt_lane *l)
{
    for (long i; (i = atomic_fetch_add(&l->all->next, 1)) < l->all->n;)
        l->all->func(l->all->data, i, l->thread);
    return CFUT_OK;
}
CFUT_ACTION(kt_run_lane, struct kt_lane);

static inline void kt_for(int n_threads, void (*func)(void *, long, int), void *data, long n)
{
    struct kt_range all = {func, data, n, 0};
    size_t lanes = n_threads > 1 ? (size_t)n_threads : 0;
    struct kt_lane *lane = calloc(lanes + 1, sizeof *lane);
    cfut_executor *pool = cfut_thread_pool(&(cfut_thread_pool_desc){.max_workers = n_threads});

    for (size_t i = 0; lane && i < lanes; i++)
        lane[i] = (struct kt_lane){&all, (int)i};
    kt_run_lane_map_with(pool, lane, lane ? lanes : 0, &(cfut_map_desc){.chunksize = 1});
    kt_run_lane(&(struct kt_lane){&all, 0});    /* what is left, where no thread could start */
    cfut_shutdown(pool, CFUT_DRAIN);
    free(lane);
}

struct kt_step {
    void *(*func)(void *, int, void *), *shared, **data;
    int n;
    cfut_future *last;
};

static int kt_run_step(const struct kt_step *s, void **out)
{
    if (s->last) cfut_result(s->last);          /* the item's step before this one */
    *out = *s->data ? s->func(s->shared, s->n, *s->data) : NULL;
    return CFUT_OK;
}
CFUT_TASK(kt_run_step, struct kt_step, void *);

static inline void kt_pipeline(int n_threads, void *(*func)(void *, int, void *), void *shared,
                               int n_steps)
{
    size_t n = n_threads > 1 ? (size_t)n_threads : 1, steps = n_steps > 1 ? (size_t)n_steps : 1;
    kt_run_step_future *items = calloc(n * steps, sizeof *items);
    cfut_executor **pools = calloc(steps, sizeof *pools);
    void *data;

    for (size_t s = 1; pools && s < steps; s++)
        pools[s] = cfut_thread_pool(&(cfut_thread_pool_desc){.max_workers = 1});
    for (size_t i = 0; items && pools; i++) {
        kt_run_step_future *f = &items[i % n * steps];

        kt_run_step_result(&f[steps - 1]);      /* the item that was here is through */
        if (!(f->out = func(shared, 0, NULL))) break;
        for (int s = 1; s < n_steps; s++) {
            struct kt_step in = {func, shared, &f[s - 1].out, s, s > 1 ? &f[s - 1].base : NULL};
            int status;

            kt_run_step_submit(pools[s], &f[s], in);
            status = kt_run_step_result_timeout(&f[s], 0);
            if (status != CFUT_OK && status != CFUT_TIMEOUT)    /* refused: no thread */
                kt_run_step(&in, &f[s].out);
        }
    }
    while (!(items && pools) && (data = func(shared, 0, NULL)) != NULL)     /* no memory */
        for (int s = 1; data && s < n_steps; s++)
            data = func(shared, s, data);
    for (size_t s = 1; pools && s < steps; s++)
        cfut_shutdown(pools[s], CFUT_DRAIN);
    free(pools);
    free(items);
}
#endif
