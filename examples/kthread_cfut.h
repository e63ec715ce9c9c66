/* kthread_cfut.h: the two functions of Heng Li's kthread.c over cfut, for
   programs that bring that file along. Include it behind cfut.h.

   kt_for calls func(data, i, thread) once for each i below n; thread is below
   n_threads, and no two calls have the same one at the same time.
   In kt_pipeline step 0 makes an item (NULL: no more), the next steps take what
   the step before returned (NULL: this item ends). A step handles one item at a
   time, in order; n_threads items at most are under way. So each step is a pool
   of one worker; step 0 is the caller.
   Where no thread can be started the caller does the work. As in kthread.c there
   is no way to report that there is no memory; here the program ends then. */
#ifndef KTHREAD_CFUT_H
#define KTHREAD_CFUT_H
#include <stdatomic.h>
#include <stdlib.h>

static inline void *kt_array(size_t n, size_t size)
{
    void *array = calloc(n, size);
    if (!array) abort();
    return array;
}

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
    struct kt_lane *lane = kt_array(n_threads > 0 ? (size_t)n_threads : 1, sizeof *lane);
    cfut_executor *pool = cfut_thread_pool(&(cfut_thread_pool_desc){.max_workers = n_threads});

    for (int i = 0; i < n_threads; i++) lane[i] = (struct kt_lane){&all, i};
    if (n_threads > 1)
        kt_run_lane_map_with(pool, lane, (size_t)n_threads, &(cfut_map_desc){.chunksize = 1});
    kt_run_lane(&(struct kt_lane){&all, 0});            /* what nobody has done */
    cfut_shutdown(pool, CFUT_DRAIN);
    free(lane);
}

struct kt_step { void *(*func)(void *, int, void *), *shared, **data; int n; cfut_future *last; };

static int kt_run_step(const struct kt_step *s, void **out)
{
    if (s->last)
        cfut_result(s->last);                           /* the item's step before this one */
    *out = *s->data ? s->func(s->shared, s->n, *s->data) : NULL;
    return CFUT_OK;
}
CFUT_TASK(kt_run_step, struct kt_step, void *);

static inline void kt_pipeline(int n_threads, void *(*func)(void *, int, void *), void *shared,
                               int n_steps)
{
    size_t n = n_threads > 1 ? (size_t)n_threads : 1, steps = n_steps > 1 ? (size_t)n_steps : 1;
    kt_run_step_future *items = kt_array(n * steps, sizeof *items), *f = items;
    cfut_executor **pools = kt_array(steps, sizeof *pools);

    for (size_t s = 1; s < steps; s++)
        pools[s] = cfut_thread_pool(&(cfut_thread_pool_desc){.max_workers = 1});
    for (size_t i = 1; (f->out = func(shared, 0, NULL)) != NULL; i++) {
        for (int s = 1; s < n_steps; s++) {
            struct kt_step in = {func, shared, &f[s - 1].out, s, s > 1 ? &f[s - 1].base : NULL};

            kt_run_step_submit(pools[s], &f[s], in);
            /* refused: then here */
            if (kt_run_step_result_timeout(&f[s], 0) < CFUT_TIMEOUT) kt_run_step(&in, &f[s].out);
        }
        f = &items[i % n * steps];
        kt_run_step_result(&f[steps - 1]);              /* the item that was here is through */
    }
    for (size_t s = 1; s < steps; s++) cfut_shutdown(pools[s], CFUT_DRAIN);
    free(pools);
    free(items);
}
#endif
