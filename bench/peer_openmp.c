/* peer_openmp: tasks and loops of OpenMP. There is no submit from outside and no
   waiting for one task: a team runs a region, in which one thread makes tasks. */
#include "peer.h"

struct team {
    int workers;
};

struct batch {
    int workers;
    size_t n;
    int *out;
};

static void *must_calloc(size_t n, size_t size)
{
    void *p = calloc(n, size);

    peer_check(p != NULL, "out of memory");
    return p;
}

static void version(char *buf, size_t size)
{
    snprintf(buf, size, "of %d, %s", _OPENMP, __VERSION__);
}

/* The runtime keeps the threads of the first region for the next one. */
static void *start(int workers, void (*greet)(void *), void *arg)
{
    struct team *t = must_calloc(1, sizeof *t);

    t->workers = workers;
#pragma omp parallel num_threads(workers)
    greet(arg);
    return t;
}

static void stop(void *team)
{
    free(team);
}

static void *new_batch(void *team, size_t n)
{
    struct batch *b = must_calloc(1, sizeof *b);

    b->workers = ((struct team *)team)->workers;
    b->n = n;
    b->out = must_calloc(n, sizeof b->out[0]);
    return b;
}

static void make_tasks(const struct batch *b)
{
    int *out = b->out;

    for (size_t i = 0; i < b->n; i++) {
#pragma omp task firstprivate(i, out)
        out[i] = (int)i;
    }
}

/* The region's end waits for all of them. */
static void submit(void *batch)
{
    const struct batch *b = batch;

#pragma omp parallel num_threads(b->workers)
#pragma omp single
    make_tasks(b);
}

static void collect(void *batch)
{
    const struct batch *b = batch;

    for (size_t i = 0; i < b->n; i++)
        peer_check(b->out[i] == (int)i, "OpenMP");
}

static void drop(void *batch)
{
    struct batch *b = batch;

    free(b->out);
    free(b);
}

static int fib_task(int n)
{
    int left, right;

    if (n < 2)
        return n;
#pragma omp task shared(left) firstprivate(n)
    left = fib_task(n - 1);
    right = fib_task(n - 2);
#pragma omp taskwait
    return left + right;
}

static int fib(void *team, int n)
{
    int workers = ((struct team *)team)->workers, result = 0;

#pragma omp parallel num_threads(workers)
#pragma omp single
    result = fib_task(n);
    return result;
}

/* Roots are alike: the default schedule. Burns are not, so whoever writes the
   loop says dynamic. */
static void map(void *team, enum kernel kernel, const double *in, double *out, size_t n)
{
    int workers = ((struct team *)team)->workers;

    if (kernel == KERNEL_ROOT) {
#pragma omp parallel for num_threads(workers)
        for (size_t i = 0; i < n; i++)
            out[i] = kernel_root(in[i]);
    } else {
#pragma omp parallel for num_threads(workers) schedule(dynamic)
        for (size_t i = 0; i < n; i++)
            out[i] = kernel_burn(in[i]);
    }
}

const struct peer peer_openmp = {
#ifdef __clang__
    .name = "OpenMP clang",
#else
    .name = "OpenMP gcc",
#endif
    .differs = "no futures, nothing from outside: tasks of a region; map: for, inlined, dynamic "
               "where items differ",
    .keeps_workers = true,
    .version = version,
    .start = start,
    .stop = stop,
    .batch = new_batch,
    .submit = submit,
    .collect = collect,
    .drop = drop,
    .fib = fib,
    .forked_fib = fib,
    .map = map,
};
