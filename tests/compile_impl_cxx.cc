/* compile_impl_cxx.cc: the implementation compiled as C++11 and later. A task
   that throws ends its future with CFUT_FAILED and the exception's text; an
   initializer that throws breaks its pool. */
#define CFUT_IMPLEMENTATION
#include "cfut.h"
#include <cstdio>
#include <cstring>
#include <stdexcept>

static int square(const int *x, int *y)
{
    *y = *x * *x;
    return CFUT_OK;
}
CFUT_TASK(square, int, int);

static int throws(const int *how, int *out)
{
    *out = *how;
    if (*how == 1)
        throw std::runtime_error("thrown by a task");
    if (*how == 2)
        throw 42;
    if (*how == 3)
        throw std::runtime_error("a text of more than the fifty-five bytes that fit into a future");
    return CFUT_OK;
}
CFUT_TASK(throws, int, int);

static int expect(cfut_executor *ex, int how, int status, const char *text)
{
    throws_future f;
    int got;

    throws_submit(ex, &f, how);
    got = throws_result(&f);
    if (got == status && std::strncmp(cfut_error(&f.base), text, std::strlen(text)) == 0)
        return 0;
    std::fprintf(stderr, "%d: status %d, text '%s'\n", how, got, cfut_error(&f.base));
    return 1;
}

/* Not where the compiler gives each function a clean-up, as for ThreadSanitizer and for
   gcov: each goes on with the unwinding itself, and the frames of that overwrite what the
   end of a thread reads. And the sanitizer of undefined behaviour minds that
   abi::__forced_unwind is caught by a reference to nothing. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__) || defined(_WIN32)
#define ENDS_THREADS 0
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define ENDS_THREADS 0
#endif
#endif
#ifndef ENDS_THREADS
#define ENDS_THREADS 1
#endif

#if !ENDS_THREADS
static int expect_abandoned(cfut_executor *) { return 0; }
#else
/* As in C: what catches exceptions lets the end of a thread pass. And destructors run, over
   the frames that are gone. */
static int leaves(const int *, int *) { pthread_exit(NULL); }
CFUT_TASK(leaves, int, int);

/* An object whose destructor uses more of the stack than the library's frames below. */
struct owner {
    volatile char used;

    ~owner()
    {
        volatile char much[4000];

        for (unsigned i = 0; i < sizeof much; i++)
            much[i] = 0x5A;
        used = much[0];
    }
};

/* The innermost of several ends the thread, and so all of them. */
static int leaves_below(const int *depth, int *out);
CFUT_TASK(leaves_below, int, int);

static int leaves_below(const int *depth, int *out)
{
    leaves_below_future f;
    owner mine;

    mine.used = 0;
    if (*depth == 0) pthread_exit(NULL);
    leaves_below_submit(cfut_inline_executor(), &f, *depth - 1);
    *out = leaves_below_result(&f);
    return *out;
}

static int leaves_at_3(const int *x, int *y) { return *x == 3 ? leaves(x, y) : CFUT_OK; }
CFUT_TASK(leaves_at_3, int, int);

static int expect_abandoned(cfut_executor *ex)
{
    int in[8] = { 0, 1, 2, 3, 4, 5, 6, 7 }, out[8], status[8], bad;
    cfut_map_desc desc = cfut_map_desc();
    leaves_below_future below;
    leaves_future f;

    leaves_submit(ex, &f, 0);
    bad = leaves_result(&f) != CFUT_ABANDONED;
    leaves_below_submit(ex, &below, 5);
    bad += leaves_below_result(&below) != CFUT_ABANDONED;
    desc.status = status;
    bad += leaves_at_3_map_with(ex, in, out, 8, &desc) != CFUT_ABANDONED;
    return bad + (status[0] != CFUT_OK || status[3] != CFUT_ABANDONED);
}
#endif

static int throws_at_start(void *) { throw std::runtime_error("no database"); }
static void throws_at_end(void *) { throw 42; }

/* Through the frames of main: after a fork the worker has those, too. Not on Windows, nor
   where a thread runs that is not ours, as ThreadSanitizer's does from some time on. */
static int expect_of_hooks(int (*initializer)(void *), void (*finalizer)(void *), int status)
{
    cfut_process_pool_desc desc = cfut_process_pool_desc();
    cfut_executor *pool;
    square_future f;
    int bad = 0;

    desc.max_workers = 1;
    desc.initializer = initializer;
    desc.finalizer = finalizer;
    pool = cfut_process_pool(desc);
    if (cfut_executor_status(pool) == CFUT_OK) {
        square_submit(pool, &f, 1);
        bad = square_result(&f) != status;
        if (status) bad += std::strcmp(cfut_error(&f.base), "no database") != 0;
    }
    return bad + cfut_shutdown(pool, CFUT_DRAIN);
}

static int expect_hooks()
{
    try {
        return expect_of_hooks(throws_at_start, NULL, CFUT_BROKEN) +
               expect_of_hooks(NULL, throws_at_end, CFUT_OK);
    } catch (...) {
        std::fprintf(stderr, "an exception has left a worker\n");
        return 1;
    }
}

static int expect_all(cfut_executor *ex)
{
    int in[4] = { 0, 1, 2, 3 }, out[4], status[4], bad = 0;
    cfut_map_desc desc = cfut_map_desc();

    bad += expect(ex, 0, CFUT_OK, "");
    bad += expect(ex, 1, CFUT_FAILED, "thrown by a task");
    bad += expect(ex, 2, CFUT_FAILED, "");
    bad += expect(ex, 3, CFUT_FAILED, "a text of more than the fifty-five bytes");
    desc.status = status;
    bad += throws_map_with(ex, in, out, 4, &desc) != CFUT_FAILED;
    for (int i = 0; i < 4; i++)
        bad += status[i] != (i ? CFUT_FAILED : CFUT_OK);
    return bad;
}

int main()
{
    cfut_thread_pool_desc desc = cfut_thread_pool_desc();
    cfut_executor *pool;
    square_future f;
    int bad = expect_hooks();

    desc.max_workers = 2;
    pool = cfut_thread_pool(desc);
    bad += expect_all(pool) + expect_all(cfut_inline_executor());
    square_submit(pool, &f, 12);
    bad += square_result(&f) != CFUT_OK || f.out != 144;
    bad += expect_abandoned(pool);
    return bad + cfut_shutdown(pool, CFUT_DRAIN) ? 1 : 0;
}
