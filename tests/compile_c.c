/* compile_c.c: every declaration, used once, in a file without the
   implementation; for -std=c11, c17 and c2x with -pedantic-errors. It runs
   when it is linked with the implementation (compile_two_b.c has it). */
#include "cfut.h"

struct point { double x, y; };

static int length(const char *const *text, size_t *n)
{
    *n = 0;
    while ((*text)[*n])
        ++*n;
    return CFUT_OK;
}
CFUT_TASK(length, const char *, size_t);

static int mirror(const struct point *in, struct point *out)
{
    out->x = in->y;
    out->y = in->x;
    return in->x < 0 ? cfut_fail(1, "x is %g", in->x) : CFUT_OK;
}
CFUT_TASK(mirror, struct point, struct point);

static int touch(int *const *where)
{
    **where = 1;
    return CFUT_OK;
}
CFUT_ACTION(touch, int *);

static void on_done(cfut_future *f, void *user)
{
    *(int *)user += cfut_done(f);
}

static int pull(void *user, void *in)
{
    int *left = (int *)user;

    *(struct point *)in = (struct point){ *left, 1 };
    return --*left < 0 ? CFUT_END : CFUT_OK;
}

/* An executor of one's own needs no more than this. */
static int own_submit(cfut_executor *ex, cfut_future *f)
{
    (void)ex;
    cfut_run(f);
    return CFUT_OK;
}

static int use_own_executor(void)
{
    static const cfut_executor_ops ops = { .name = "Own", .submit = own_submit };
    cfut_executor own = { .ops = &ops, .status = CFUT_OK };
    mirror_future f;

    mirror_submit(&own, &f, (struct point){ 1, 2 });
    return mirror_result(&f) + (f.out.x < 2 || f.out.x > 2);
}

static int use_one(cfut_executor *pool)
{
    length_future f, *heap;
    cfut_snapshot seen;
    char text[100];
    int calls = 0, bad;

    length_submit(pool, &f, "hello");
    bad = cfut_on_done(&f.base, on_done, &calls);
    bad += length_result(&f) != CFUT_OK || length_result_timeout(&f, CFUT_SEC(1)) != CFUT_OK;
    bad += length_of(&f.base) != &f || f.out != 5 || calls != 1;
    bad += cfut_running(&f.base) || cfut_cancelled(&f.base) || cfut_cancel(&f.base);
    seen = cfut_future_snapshot(&f.base);
    bad += !seen.done || seen.status || cfut_future_state(&f.base) != CFUT_STATE_FINISHED;
    bad += cfut_future_describe(&f.base, text, sizeof text) <= 0 || !cfut_error(&f.base);
    heap = length_spawn(pool, "heap");
    bad += length_result(heap) != CFUT_OK || heap->out != 4;
    length_release(heap);
    length_fork(&f, "fork");
    return bad + length_join(&f) + (f.out != 4);
}

static int use_many(cfut_executor *pool)
{
    int marks[3] = { 0, 0, 0 }, *where[3] = { &marks[0], &marks[1], &marks[2] }, bad = 0;
    touch_future f[3];
    cfut_future *fs[3];
    cfut_iter it;

    for (int i = 0; i < 3; i++)
        fs[i] = touch_submit(pool, &f[i], where[i]);
    bad += cfut_as_completed(&it, fs, 3, CFUT_FOREVER);
    while (cfut_next(&it)) {}
    cfut_iter_end(&it);
    bad += cfut_wait(fs, 3, CFUT_FIRST_ERROR, CFUT_MS(1)) != 3;
    cfut_reclaim(fs, 3);
    bad += touch_map(pool, where, 3);
    bad += touch_map_with(pool, where, 3, &(cfut_map_desc){ .chunksize = 2 });
    return bad + 3 - marks[0] - marks[1] - marks[2];
}

static int use_map_and_stream(cfut_executor *pool)
{
    struct point in[2] = { { 1, 2 }, { 3, 4 } }, out[2];
    int left = 3, bad = mirror_map(pool, in, out, 2);
    cfut_stream *s;

    bad += mirror_map_with(pool, in, out, 2, NULL);
    s = cfut_stream_open(pool, &mirror_task, pull, &left,
                         &(cfut_stream_desc){ .buffersize = 2, .as_completed = false });
    while (cfut_stream_next(s, &out[0]) != CFUT_END)
        bad += cfut_stream_index(s) > 2 || !cfut_stream_error(s);
    bad += cfut_stream_next_timeout(s, NULL, 0) != CFUT_END;
    cfut_stream_close(s);
    return bad;
}

static int use_by_hand(void)
{
    cfut_future f;

    cfut_future_init(&f);
    return !cfut_start(&f) + cfut_finish(&f, CFUT_OK) + cfut_result(&f) +
           (cfut_current() != NULL) + (cfut_current_future() != NULL) +
           (cfut_worker_name() != NULL) + cfut_stop_requested();
}

int main(void)
{
    cfut_executor *pool = cfut_thread_pool(&(cfut_thread_pool_desc){ .max_workers = 2 });
    int bad = cfut_version() != CFUT_VERSION;

    bad += use_one(pool) + use_many(pool) + use_map_and_stream(pool);
    bad += use_one(cfut_inline_executor()) + use_by_hand() + use_own_executor();
    bad += cfut_executor_status(pool) + (cfut_executor_max_workers(pool) != 2);
    bad += cfut_executor_workers(pool) > 2 || !cfut_strerror(CFUT_TIMEOUT);
    bad += cfut_shutdown(cfut_process_pool(NULL), CFUT_DRAIN);
    cfut_close(pool, CFUT_DRAIN);
    bad += cfut_shutdown_timeout(pool, CFUT_DRAIN, CFUT_SEC(10));
    return bad + cfut_shutdown(pool, CFUT_DRAIN | CFUT_DETACH) ? 1 : 0;
}
