/* trace_load.c: something of everything that a timeline shows; trace.py looks at the
   file. trace_load FILE: by the calls; without: as the environment says, at exit. */
#define CFUT_TRACE
#define CFUT_IMPLEMENTATION
#include "cfut.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- tasks ---- */

static int fib(const int *n, long *out);
CFUT_TASK(fib, int, long);

static int fib(const int *n, long *out)
{
    fib_future f;
    int other = *n - 2, status;
    long second = 0;

    *out = *n;
    if (*n < 2) return CFUT_OK;
    fib_fork(&f, *n - 1);
    fib(&other, &second);
    status = fib_join(&f);
    *out = f.out + second;
    return status;
}

static int nap(const int *us, int *out)
{
    struct timespec t = { 0, *us * 1000L };

    nanosleep(&t, NULL);
    *out = *us;
    return CFUT_OK;
}
CFUT_TASK(nap, int, int);

static int die(const int *in, int *out)
{
    *out = *in;
    abort();
}
CFUT_TASK(die, int, int);

/* A name that JSON must not take as it is. */
static int quoted_fn(const void *in, void *out)
{
    (void)in;
    (void)out;
    return CFUT_OK;
}
static const cfut_task quoted = { .fn = quoted_fn, .name = "a \"quoted\\name\"\n" };

/* ---- the load ---- */

static void must(bool good, const char *what)
{
    if (good) return;
    fprintf(stderr, "trace_load: %s\n", what);
    exit(EXIT_FAILURE);
}

static void load_threads(void)
{
    enum { N = 10, ITEMS = 200 };
    cfut_executor *ex = cfut_thread_pool(&(cfut_thread_pool_desc){
        .max_workers = 2, .thread_name_prefix = "tracer" });
    static int in[ITEMS], out[ITEMS];
    nap_future naps[N];
    fib_future f;
    cfut_future q;
    int cancelled = 0;

    fib_submit(ex, &f, 9);
    must(fib_result(&f) == CFUT_OK && f.out == 34, "fib");
    for (int i = 0; i < ITEMS; i++) in[i] = 10;
    must(nap_map(ex, in, out, ITEMS) == CFUT_OK, "map");
    for (int i = 0; i < N; i++) nap_submit(ex, &naps[i], 5000);
    for (int i = N / 2; i < N; i++) cancelled += cfut_cancel(&naps[i].base);
    for (int i = 0; i < N; i++) nap_result(&naps[i]);
    must(cancelled == N / 2, "cancel");
    must(cfut_result(cfut_submit(ex, &q, &quoted, NULL, NULL)) == CFUT_OK, "quoted");
    must(cfut_shutdown(ex, CFUT_DRAIN) == CFUT_OK, "shutdown");
}

static void load_processes(void)
{
    enum { N = 8, ITEMS = 50 };
    cfut_executor *ex = cfut_process_pool(&(cfut_process_pool_desc){ .max_workers = 2 });
    int in[ITEMS], out[ITEMS];
    nap_future naps[N];
    die_future d;

    for (int i = 0; i < N; i++) nap_submit(ex, &naps[i], 1000);
    for (int i = 0; i < N; i++) must(nap_result(&naps[i]) == CFUT_OK, "nap");
    for (int i = 0; i < ITEMS; i++) in[i] = 10;
    must(nap_map(ex, in, out, ITEMS) == CFUT_OK, "map in processes");
    die_submit(ex, &d, 1);
    must(die_result(&d) == CFUT_WORKER_DIED, "die");
    must(cfut_shutdown(ex, CFUT_DRAIN) == CFUT_OK, "shutdown of processes");
}

int main(int argc, char **argv)
{
    cfut_process_main(&argc, &argv);
    if (argc > 1) {
        must(cfut_trace(NULL) == CFUT_INVALID_STATE, "an end without a begin");
        must(cfut_trace("/nowhere/to/be/found") == ENOENT, "a path that is not there");
        must(cfut_trace(argv[1]) == CFUT_OK, "begin");
        must(cfut_trace(argv[1]) == CFUT_INVALID_STATE, "begun twice");
    }
    load_threads();
    load_processes();
    if (argc > 1) must(cfut_trace(NULL) == CFUT_OK, "end");
    return EXIT_SUCCESS;
}
