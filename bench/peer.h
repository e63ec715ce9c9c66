/* peer.h: what the benchmarks ask of a pool, be it cfut's or another's. Each
   pool answers in a file of its own, peer_NAME, with one struct peer. For C and
   C++; it includes nothing of cfut. */
#ifndef CFUT_BENCH_PEER_H
#define CFUT_BENCH_PEER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#else
#include <math.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum kernel { KERNEL_ROOT, KERNEL_BURN };

/* NULL: this pool cannot do it, or only by code of one's own that would be what
   is measured. A peer that gets a wrong result ends the program. */
struct peer {
    const char *name;
    const char *differs;        /* what it does less than a pool with futures; NULL */
    size_t slow;                /* sizes are divided by it: a round must end; 0: 1 */
    bool keeps_workers;         /* threads that idle between tasks */
    void (*version)(char *buf, size_t size);

    /* A pool whose workers are all there; each has called greet(arg). Every
       process starts one pool at most. */
    void *(*start)(int workers, void (*greet)(void *), void *arg);
    void (*stop)(void *pool);
    /* Calls fn(arg) in some worker, and does not wait for it. */
    void (*post)(void *pool, void (*fn)(void *), void *arg);

    /* n tasks that copy an int: what they need, submit, and the end of all.
       submit and collect may be repeated, in turn. */
    void *(*batch)(void *pool, size_t n);
    void (*submit)(void *batch);
    void (*collect)(void *batch);
    /* Instead of both: each is seen as soon as it is done. */
    void (*completed)(void *batch);
    void (*drop)(void *batch);

    int (*trip)(void *pool, int x);         /* submits one such task, waits for it */
    int (*fib)(void *pool, int n);          /* by submit and result within tasks */
    int (*forked_fib)(void *pool, int n);   /* by fork and join */
    /* out[i] = kernel(in[i]). */
    void (*map)(void *pool, enum kernel kernel, const double *in, double *out, size_t n);
};

extern const struct peer peer_tbb, peer_glib, peer_uv, peer_asio, peer_async;
/* Two, when both compilers are there: which one is built in, which is loaded. */
extern const struct peer peer_openmp;

#ifdef __cplusplus
}
#endif

/* ---- for the peers' files ---- */

static inline void peer_check(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "bench: a peer failed: %s\n", what);
    exit(1);
}

/* y = sqrt(x) without errno, so that no program needs libm for it. */
static inline double kernel_root(double x)
{
#if defined(__SSE2__)
    __m128d v = _mm_set_sd(x);

    return _mm_cvtsd_f64(_mm_sqrt_sd(v, v));
#else
    return sqrt(x);
#endif
}

/* Takes a time proportional to steps; no compiler finds a shorter way. */
static inline double kernel_burn(double steps)
{
    uint32_t n = (uint32_t)steps, h = n + 1;

    for (uint32_t i = 0; i < n; i++) {
        h ^= h << 13;
        h ^= h >> 17;
        h ^= h << 5;
    }
    return (double)h;
}

/* Makes each worker run one job at the same time, so that none is missing. */
struct greeting {
    void (*greet)(void *);
    void *arg;
    pthread_barrier_t all;
};

static inline void muster_one(void *arg)
{
    struct greeting *g = (struct greeting *)arg;

    g->greet(g->arg);
    pthread_barrier_wait(&g->all);
}

/* Once in a process, hence static and never destroyed: some threads may still be
   on their way out of the barrier. */
static inline void muster(void *pool, void (*post)(void *, void (*)(void *), void *), int workers,
                          void (*greet)(void *), void *arg)
{
    static struct greeting g;

    g.greet = greet;
    g.arg = arg;
    pthread_barrier_init(&g.all, NULL, (unsigned)workers + 1);
    for (int i = 0; i < workers; i++)
        post(pool, muster_one, &g);
    pthread_barrier_wait(&g.all);
}

#endif
