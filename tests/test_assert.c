/* test_assert.c: each argument that gets CFUT_INVALID is told to CFUT_ASSERT, once,
   and what is right is not. Prints TAP. */
#define CFUT_ASSERT(x) ((void)((x) || mistakes_told++))
static int mistakes_told;
#define CFUT_IMPLEMENTATION
#include "cfut.h"

#include <stdio.h>
#include <stdlib.h>

static int square(const int *x, int *y)
{
    *y = *x * *x;
    return CFUT_OK;
}
CFUT_TASK(square, int, int);

static void done(cfut_future *f, void *count)
{
    (void)f;
    ++*(int *)count;
}

static int pull(void *left, void *in)
{
    *(int *)in = *(int *)left;
    return --*(int *)left >= 0;
}

static int tests, failures;

static void expect(int status, int wanted, int mistakes, const char *what)
{
    int good = status == wanted && mistakes_told == mistakes;

    printf("%sok %d - %s\n", good ? "" : "not ", ++tests, what);
    if (!good) printf("# %d, told %d times\n", status, mistakes_told);
    failures += !good;
    mistakes_told = 0;
}

static void expect_mistakes(cfut_executor *ex)
{
    cfut_future f, *none = NULL;
    cfut_iter it;
    int x = 1;

    expect(cfut_result(NULL), CFUT_INVALID, 1, "result of NULL");
    expect(cfut_join(NULL), CFUT_INVALID, 1, "join of NULL");
    expect(cfut_finish(NULL, 0), CFUT_INVALID, 1, "finish of NULL");
    expect(cfut_on_done(NULL, done, &x), CFUT_INVALID, 1, "callback of NULL");
    expect((int)cfut_wait(&none, 1, CFUT_ALL_COMPLETED, 0), CFUT_INVALID, 1, "wait for NULL");
    expect((int)cfut_wait(NULL, 0, 9, 0), CFUT_INVALID, 1, "wait in no mode");
    expect(cfut_as_completed(NULL, NULL, 0, 0), CFUT_INVALID, 1, "iteration without iterator");
    expect(cfut_as_completed(&it, &none, 1, 0), CFUT_INVALID, 1, "iteration over NULL");
    expect(cfut_result(cfut_submit(NULL, &f, &square_task, &x, &x)), CFUT_INVALID, 1,
           "submit to NULL");
    expect(cfut_result(cfut_submit(ex, &f, NULL, &x, &x)), CFUT_INVALID, 1, "submit of NULL");
    expect(cfut_map(ex, &square_task, NULL, &x, 1, NULL), CFUT_INVALID, 1, "map of NULL");
    expect(cfut_shutdown(ex, 64), CFUT_INVALID, 1, "shutdown in no way");
    expect(cfut_executor_status(cfut_thread_pool(&(cfut_thread_pool_desc){ .max_workers = -1 })),
           CFUT_INVALID, 1, "a pool of less than no workers");
    expect(cfut_stream_next(cfut_stream_open(ex, &square_task, NULL, NULL, NULL), &x),
           CFUT_INVALID, 1, "a stream from nowhere");
}

static void expect_nothing(cfut_executor *ex)
{
    square_future f, *g;
    cfut_future *fs[1] = { &f.base };
    cfut_iter it;
    cfut_stream *s;
    int in[3] = { 1, 2, 3 }, out[3], called = 0, left = 3;

    square_submit(ex, &f, 2);
    expect(square_result(&f), CFUT_OK, 0, "submit and result");
    expect(cfut_on_done(&f.base, done, &called), CFUT_OK, 0, "callback");
    expect((int)cfut_wait(fs, 1, CFUT_FIRST_ERROR, 0), 1, 0, "wait");
    expect(cfut_as_completed(&it, fs, 1, 0), CFUT_OK, 0, "iteration");
    cfut_iter_end(&it);
    expect(square_map(ex, in, out, 3), CFUT_OK, 0, "map");
    expect(cfut_map(ex, &square_task, NULL, NULL, 0, NULL), CFUT_OK, 0, "map of nothing");
    s = cfut_stream_open(ex, &square_task, pull, &left, NULL);
    while (cfut_stream_next(s, out) == CFUT_OK) { }
    cfut_stream_close(s);
    expect(0, 0, 0, "stream");
    g = square_spawn(ex, 2);
    square_release(g);
    expect(cfut_result(cfut_submit_within(ex, &f.base, &square_task, &f.in, &f.out, 0)), CFUT_OK, 0,
           "no limit on threads");
    expect(CFUT_SEC(0.5) == CFUT_MS(500) && CFUT_MS(0.25) == CFUT_US(250) &&
           CFUT_SEC(3000000) == 3000000 * CFUT_SEC(1), 1, 0, "parts of a second");
    expect(cfut_shutdown(ex, CFUT_DRAIN), CFUT_OK, 0, "release and shutdown");
}

int main(void)
{
    cfut_executor *ex = cfut_thread_pool(NULL);

    expect_mistakes(ex);
    expect_nothing(ex);
    printf("1..%d\n", tests);
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
