/* peer_uv: libuv's pool. No futures: each job has a callback, which the loop of
   the thread that submitted it calls. */
#include "peer.h"

#include <uv.h>

/* ---- pool: one for the process, and a loop for what is posted ---- */

struct call {
    uv_work_t req;
    void (*fn)(void *);
    void *arg;
};

static void run_call(uv_work_t *req)
{
    struct call *c = (struct call *)req;

    c->fn(c->arg);
}

static void free_call(uv_work_t *req, int status)
{
    (void)status;
    free(req);
}

static void post(void *pool, void (*fn)(void *), void *arg)
{
    struct call *c = calloc(1, sizeof *c);

    peer_check(c != NULL, "out of memory");
    c->fn = fn;
    c->arg = arg;
    peer_check(uv_queue_work(pool, &c->req, run_call, free_call) == 0, "libuv");
}

static uv_loop_t *new_loop(void)
{
    uv_loop_t *loop = calloc(1, sizeof *loop);

    peer_check(loop && uv_loop_init(loop) == 0, "libuv: no loop");
    return loop;
}

static void end_loop(uv_loop_t *loop)
{
    uv_run(loop, UV_RUN_DEFAULT);
    peer_check(uv_loop_close(loop) == 0, "libuv: the loop did not end");
    free(loop);
}

/* libuv reads the variable when the first job is queued, and never again. */
static void *start(int workers, void (*greet)(void *), void *arg)
{
    uv_loop_t *loop = new_loop();
    char number[16];

    snprintf(number, sizeof number, "%d", workers);
    setenv("UV_THREADPOOL_SIZE", number, 1);
    muster(loop, post, workers, greet, arg);
    uv_run(loop, UV_RUN_DEFAULT);
    return loop;
}

static void stop(void *pool)
{
    end_loop(pool);
}

static void version(char *buf, size_t size)
{
    snprintf(buf, size, "%s", uv_version_string());
}

/* ---- empty jobs ---- */

struct item {
    uv_work_t req;
    struct batch *batch;
    int in, out;
};

struct batch {
    uv_loop_t *loop;
    size_t n, seen;
    struct item *items;
};

static void copy(uv_work_t *req)
{
    struct item *i = (struct item *)req;

    i->out = i->in;
}

static void see(uv_work_t *req, int status)
{
    struct item *i = (struct item *)req;

    peer_check(status == 0 && i->out == i->in, "libuv");
    i->batch->seen++;
}

static void *new_batch(void *pool, size_t n)
{
    struct batch *b = calloc(1, sizeof *b);

    (void)pool;
    peer_check(b && (b->items = calloc(n, sizeof *b->items)), "out of memory");
    b->loop = new_loop();
    b->n = n;
    return b;
}

static void submit(void *batch)
{
    struct batch *b = batch;

    b->seen = 0;
    for (size_t i = 0; i < b->n; i++) {
        b->items[i].batch = b;
        b->items[i].in = (int)i;
        uv_queue_work(b->loop, &b->items[i].req, copy, see);
    }
}

static void collect(void *batch)
{
    struct batch *b = batch;

    uv_run(b->loop, UV_RUN_DEFAULT);
    peer_check(b->seen == b->n, "libuv: a job is missing");
}

/* Its callbacks come as completed anyway. */
static void completed(void *batch)
{
    submit(batch);
    collect(batch);
}

static void drop(void *batch)
{
    struct batch *b = batch;

    end_loop(b->loop);
    free(b->items);
    free(b);
}

static int trip(void *pool, int x)
{
    struct batch b = {.loop = pool, .n = 1};
    struct item i = {.batch = &b, .in = x, .out = -1};

    uv_queue_work(pool, &i.req, copy, see);
    uv_run(pool, UV_RUN_DEFAULT);
    return i.out;
}

const struct peer peer_uv = {
    .name = "libuv",
    .differs = "no futures: callbacks in the submitting thread's loop; no nesting",
    .keeps_workers = true,
    .version = version,
    .start = start,
    .stop = stop,
    .post = post,
    .batch = new_batch,
    .submit = submit,
    .collect = collect,
    .completed = completed,
    .drop = drop,
    .trip = trip,
};
