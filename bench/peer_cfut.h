/* peer_cfut.h: cfut as the benchmarks use it. For the file that has the
   implementation. */
#ifndef CFUT_BENCH_PEER_CFUT_H
#define CFUT_BENCH_PEER_CFUT_H

#include "bench.h"
#include "cfut.h"
#include "peer.h"

static inline int copy(const int *in, int *out)
{
    *out = *in;
    return 0;
}
CFUT_TASK(copy, int, int);

/* ---- pool ---- */

struct call {
    void (*fn)(void *);
    void *arg;
};

static inline int call(const struct call *c)
{
    c->fn(c->arg);
    return 0;
}
CFUT_ACTION(call, struct call);

static inline void our_post(void *pool, void (*fn)(void *), void *arg)
{
    call_future *f = call_spawn(pool, (struct call){fn, arg});

    if (!f)
        die("out of memory");
    call_release(f);
}

static cfut_executor *our_only;     /* as a program's own pool that its tasks know */

static inline void *our_start(int workers, void (*greet)(void *), void *arg)
{
    our_only = cfut_thread_pool(&(cfut_thread_pool_desc){.max_workers = workers});
    if (cfut_executor_status(our_only) != CFUT_OK)
        die("no pool: %s", cfut_strerror(cfut_executor_status(our_only)));
    muster(our_only, our_post, workers, greet, arg);
    return our_only;
}

static inline void our_stop(void *pool)
{
    if (cfut_shutdown(pool, CFUT_DRAIN) != CFUT_OK)
        die("the pool did not end");
}

/* ---- empty tasks ---- */

struct our_batch {
    cfut_executor *pool;
    size_t n;
    copy_future *f;
    cfut_future **fs;           /* as completed; made when first asked for */
};

static inline void *our_new_batch(void *pool, size_t n)
{
    struct our_batch *b = must_calloc(1, sizeof *b);

    *b = (struct our_batch){pool, n, must_calloc(n, sizeof(copy_future)), NULL};
    return b;
}

static inline void our_submit(void *batch)
{
    struct our_batch *b = batch;

    for (size_t i = 0; i < b->n; i++)
        copy_submit(b->pool, &b->f[i], (int)i);
}

static inline void our_collect(void *batch)
{
    struct our_batch *b = batch;

    for (size_t i = 0; i < b->n; i++)
        if (copy_result(&b->f[i]) != 0 || b->f[i].out != (int)i)
            die("a task failed: %s", cfut_error(&b->f[i].base));
}

static inline void our_completed(void *batch)
{
    struct our_batch *b = batch;
    size_t seen = 0;
    cfut_iter it;
    cfut_future *done;

    if (!b->fs)
        b->fs = must_calloc(b->n, sizeof(cfut_future *));
    for (size_t i = 0; i < b->n; i++)
        b->fs[i] = copy_submit(b->pool, &b->f[i], (int)i);
    if (cfut_as_completed(&it, b->fs, b->n, CFUT_FOREVER) != CFUT_OK)
        die("as_completed failed: %s", cfut_strerror(it.status));
    while ((done = cfut_next(&it)))
        seen += copy_of(done)->out == (int)(copy_of(done) - b->f);
    if (seen != b->n)
        die("as_completed yielded %zu of %zu futures", seen, b->n);
}

static inline void our_drop(void *batch)
{
    struct our_batch *b = batch;

    free(b->fs);
    free(b->f);
    free(b);
}

static inline int our_trip(void *pool, int x)
{
    copy_future f;

    copy_submit(pool, &f, x);
    if (copy_result(&f) != 0)
        die("a task failed: %s", cfut_error(&f.base));
    return f.out;
}

/* ---- fib, one spawn in each call ---- */

static inline int fib(const int *n, int *out);
CFUT_TASK(fib, int, int);

static inline int fib(const int *n, int *out)
{
    int less, right, status;
    fib_future left;

    if (*n < 2) {
        *out = *n;
        return 0;
    }
    less = *n - 2;
    fib_submit(our_only, &left, *n - 1);
    fib(&less, &right);
    status = fib_result(&left);
    *out = left.out + right;
    return status;
}

static inline int our_fib(void *pool, int n)
{
    fib_future f;

    fib_submit(pool, &f, n);
    if (fib_result(&f) != 0)
        die("fib failed: %s", cfut_error(&f.base));
    return f.out;
}

static inline int forked_fib(const int *n, int *out);
CFUT_TASK(forked_fib, int, int);

static inline int forked_fib(const int *n, int *out)
{
    int less, right, status;
    forked_fib_future left;

    if (*n < 2) {
        *out = *n;
        return 0;
    }
    less = *n - 2;
    forked_fib_fork(&left, *n - 1);
    forked_fib(&less, &right);
    status = forked_fib_join(&left);
    *out = left.out + right;
    return status;
}

static inline int our_forked_fib(void *pool, int n)
{
    forked_fib_future f;

    forked_fib_submit(pool, &f, n);
    if (forked_fib_result(&f) != 0)
        die("fib failed: %s", cfut_error(&f.base));
    return f.out;
}

/* ---- map, at default settings ---- */

static inline int root(const double *x, double *y)
{
    *y = kernel_root(*x);
    return 0;
}
CFUT_TASK(root, double, double);

static inline int burn(const double *steps, double *y)
{
    *y = kernel_burn(*steps);
    return 0;
}
CFUT_TASK(burn, double, double);

static inline void map_as(const cfut_map_desc *desc, void *pool, enum kernel kernel,
                          const double *in, double *out, size_t n)
{
    int status = kernel == KERNEL_ROOT ? root_map_with(pool, in, out, n, desc)
                                       : burn_map_with(pool, in, out, n, desc);

    if (status != 0)
        die("map failed: %s", cfut_strerror(status));
}

static inline void our_map(void *pool, enum kernel kernel, const double *in, double *out, size_t n)
{
    map_as(NULL, pool, kernel, in, out, n);
}

/* ---- map, where the caller is one of the threads, as with OpenMP and TBB ---- */

static inline void *caller_start(int workers, void (*greet)(void *), void *arg)
{
    return workers == 1 ? cfut_inline_executor() : our_start(workers - 1, greet, arg);
}

static inline void caller_stop(void *pool)
{
    if (pool != cfut_inline_executor())
        our_stop(pool);
}

static inline void caller_map(void *pool, enum kernel kernel, const double *in, double *out,
                              size_t n)
{
    map_as(&(cfut_map_desc){.caller_runs = true}, pool, kernel, in, out, n);
}

static const struct peer peer_caller = {
    .name = "cfut caller",
    .differs = "the caller runs items, too, with one worker less: as many threads as OpenMP, TBB",
    .start = caller_start,
    .stop = caller_stop,
    .map = caller_map,
};

static const struct peer peer_cfut = {
    .name = "cfut",
    .keeps_workers = true,
    .start = our_start,
    .stop = our_stop,
    .post = our_post,
    .batch = our_new_batch,
    .submit = our_submit,
    .collect = our_collect,
    .completed = our_completed,
    .drop = our_drop,
    .trip = our_trip,
    .fib = our_fib,
    .forked_fib = our_forked_fib,
    .map = our_map,
};

/* ---- the same without a pool ---- */

static inline void *no_start(int workers, void (*greet)(void *), void *arg)
{
    (void)workers, (void)greet, (void)arg;
    return NULL;
}

static inline void no_stop(void *pool)
{
    (void)pool;
}

__attribute__((noinline)) static int serial_fib(int n)
{
    return n < 2 ? n : serial_fib(n - 1) + serial_fib(n - 2);
}

static inline int no_pool_fib(void *pool, int n)
{
    (void)pool;
    return serial_fib(n);
}

/* The loop that everyone writes. */
static inline void loop_map(void *pool, enum kernel kernel, const double *in, double *out,
                            size_t n)
{
    (void)pool;
    for (size_t i = 0; kernel == KERNEL_ROOT && i < n; i++)
        out[i] = kernel_root(in[i]);
    for (size_t i = 0; kernel == KERNEL_BURN && i < n; i++)
        out[i] = kernel_burn(in[i]);
}

/* The loop over a function that the compiler does not see, as a map's is. */
static inline void pointer_map(void *pool, enum kernel kernel, const double *in, double *out,
                               size_t n)
{
    int (*volatile fn)(const double *, double *) = kernel == KERNEL_ROOT ? root : burn;

    (void)pool;
    for (size_t i = 0; i < n; i++)
        if (fn(&in[i], &out[i]) != 0)
            die("a call failed");
}

static const struct peer peer_serial = {
    .name = "serial",
    .differs = "no pool: plain calls, a plain loop",
    .start = no_start,
    .stop = no_stop,
    .fib = no_pool_fib,
    .forked_fib = no_pool_fib,
    .map = loop_map,
};

static const struct peer peer_calls = {
    .name = "serial calls",
    .differs = "no pool: a loop that calls the task's function by pointer, as map does",
    .start = no_start,
    .stop = no_stop,
    .map = pointer_map,
};

#endif
