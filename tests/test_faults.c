/* test_faults.c: whole scenes of the public API, while each allocation, each start of a
   thread, and each reservation of pages in turn fails: once, and from then on. Each
   answer is a documented one, all that was promised is kept, nothing leaks or hangs. */
#define HARNESS_FAULTS
#include <stdbool.h>
#include <stddef.h>

static void *fault_pages(size_t size);
#define cfuti_pages fault_pages
#define cfuti_pages_free cfuti_sys_pages_free
#include "harness.h"

static struct fault fault_page;

static void *fault_pages(size_t size)
{
    return fault_strikes(&fault_page) ? NULL : cfuti_sys_pages(size);
}

/* ---- what may be answered ---- */

static int last_status;

static bool ok_or_fault(int status)
{
    last_status = status;
    return fault_allows(status);
}

#define OK_OR_FAULT(x) ck_assert_msg(ok_or_fault(x), "%s: %d", #x, last_status)

static cfut_executor *some_pool(void)
{
    cfut_executor *ex = pool_of(2);

    OK_OR_FAULT(cfut_executor_status(ex));
    return ex;
}

static void end_some_pool(cfut_executor *ex)
{
    ck_assert_int_eq(cfut_shutdown(ex, CFUT_DRAIN), CFUT_OK);
}

static void check_square(square_future *f, int x)
{
    int status = square_result(f);

    OK_OR_FAULT(status);
    if (!status) ck_assert_int_eq(f->out, x * x);
}

/* ---- the scenes ---- */

static void scene_submit(void)
{
    cfut_executor *ex = some_pool();
    square_future f[5];

    for (int i = 0; i < 5; i++) square_submit(ex, &f[i], i);
    for (int i = 0; i < 5; i++) check_square(&f[i], i);
    end_some_pool(ex);
}

static int fib(const int *n, long *out);
CFUT_TASK(fib, int, long);

static int fib(const int *n, long *out)
{
    fib_future f, g;
    int status;

    *out = *n;
    if (*n < 2) return CFUT_OK;
    fib_fork(&f, *n - 1);
    fib_submit(cfut_current(), &g, *n - 2);
    status = fib_join(&f);
    if (!status) status = fib_result(&g);
    else fib_result(&g);
    *out = f.out + g.out;
    return status;
}

static void scene_nested(void)
{
    cfut_executor *ex = some_pool();
    fib_future f;

    fib_submit(ex, &f, 9);
    OK_OR_FAULT(fib_result(&f));
    if (!fib_result(&f)) ck_assert_int_eq((int)f.out, 34);
    end_some_pool(ex);
}

static void scene_map(void)
{
    enum { N = 300 };
    cfut_executor *ex = some_pool();
    int in[N], out[N], statuses[N], status;
    cfut_map_desc descs[] = { { .status = statuses }, { .status = statuses, .caller_runs = true },
                              { .status = statuses, .chunksize = 7 } };

    for (int i = 0; i < N; i++) in[i] = i;
    for (int k = 0; k < 3; k++) {
        memset(out, 0, sizeof out);
        status = square_map_with(ex, in, out, N, &descs[k]);
        OK_OR_FAULT(status);
        for (int i = 0; i < N; i++) {
            ck_assert(statuses[i] == status || (statuses[i] == CFUT_OK && status));
            if (!statuses[i]) ck_assert_int_eq(out[i], i * i);
        }
    }
    end_some_pool(ex);
}

static size_t twenty(const cfut_executor *ex)
{
    (void)ex;
    return 20;
}

static int run_at_once(cfut_executor *ex, cfut_future *f)
{
    (void)ex;
    cfut_run(f);
    return CFUT_OK;
}

static const cfut_executor_ops twenty_ops = {
    .name = "Twenty", .submit = run_at_once, .max_workers = twenty };

/* It needs memory for so many shares, and does with fewer if there is none. */
static void scene_wide_map(void)
{
    cfut_executor ex = { &twenty_ops, CFUT_OK };
    int in[50], out[50];

    for (int i = 0; i < 50; i++) in[i] = i;
    ck_assert_int_eq(square_map(&ex, in, out, 50), CFUT_OK);
    for (int i = 0; i < 50; i++) ck_assert_int_eq(out[i], i * i);
}

static int count_down(void *left, void *in)
{
    if (*(int *)left == 0) return CFUT_END;
    *(int *)in = --*(int *)left;
    return CFUT_OK;
}

static void scene_stream(void)
{
    cfut_executor *ex = some_pool();

    for (int k = 0; k < 4; k++) {
        int left = 30, out, status, yielded = 0;
        cfut_stream_desc desc = { .buffersize = 3, .as_completed = k & 1, .drain = k >> 1 };
        cfut_stream *s = cfut_stream_open(ex, &square_task, count_down, &left, &desc);

        while ((status = cfut_stream_next(s, &out)) != CFUT_END && yielded < 20 + k * 5) {
            OK_OR_FAULT(status);
            ck_assert_str_ne(cfut_stream_error(s), "");
            yielded++;
        }
        cfut_stream_close(s);
    }
    end_some_pool(ex);
}

struct waiting { cfut_executor *ex; sleep_ms_future *f; size_t n; };

static void wait_for_all(struct waiting *w)
{
    cfut_future *fs[8];
    ptrdiff_t k;

    for (int when = CFUT_FIRST_COMPLETED; when >= CFUT_ALL_COMPLETED; when--) {
        for (size_t i = 0; i < w->n; i++) fs[i] = &w->f[i].base;
        k = cfut_wait(fs, w->n, when, CFUT_FOREVER);
        ck_assert(k == CFUT_NO_MEMORY || (k >= 1 && k <= (ptrdiff_t)w->n));
        if (when == CFUT_ALL_COMPLETED && k >= 0) ck_assert_int_eq((int)k, (int)w->n);
    }
}

static void iterate_over_all(struct waiting *w)
{
    cfut_future *fs[8];
    cfut_iter it;
    size_t seen = 0;

    for (size_t i = 0; i < w->n; i++) fs[i] = &w->f[i].base;
    if (cfut_as_completed(&it, fs, w->n, CFUT_FOREVER) == CFUT_OK) {
        while (cfut_next(&it)) seen++;
        ck_assert_uint_eq(seen, w->n);
    }
    ck_assert(it.status == CFUT_OK || it.status == CFUT_NO_MEMORY);
}

static void *wait_and_iterate(void *w)
{
    wait_for_all(w);
    iterate_over_all(w);
    return NULL;
}

/* Several wait for the same futures, which takes memory. */
static void scene_wait(void)
{
    sleep_ms_future f[8];
    struct waiting w = { some_pool(), f, 8 };
    pthread_t threads[2];

    for (int i = 0; i < 8; i++) sleep_ms_submit(w.ex, &f[i], 1);
    for (int i = 0; i < 2; i++) threads[i] = thread_start(wait_and_iterate, &w);
    iterate_over_all(&w);
    wait_for_all(&w);
    for (int i = 0; i < 2; i++) thread_end(threads[i]);
    for (int i = 0; i < 8; i++) OK_OR_FAULT(sleep_ms_result(&f[i]));
    end_some_pool(w.ex);
}

static void count(cfut_future *f, void *n)
{
    ck_assert(cfut_done(f));
    __atomic_add_fetch((int *)n, 1, __ATOMIC_RELAXED);
}

static void scene_callbacks(void)
{
    cfut_executor *ex = some_pool();
    sleep_ms_future f[4];
    cfut_future hand;
    int added = 0, called = 0;

    cfut_future_init(&hand);
    for (int i = 0; i < 4; i++) sleep_ms_submit(ex, &f[i], 1);
    for (int k = 0; k < 4; k++) {
        int status = cfut_on_done(&hand, count, &called);

        ck_assert(status == CFUT_OK || (k && status == CFUT_NO_MEMORY));
        added += status == CFUT_OK;
        for (int i = 0; i < 4; i++) {
            status = cfut_on_done(&f[i].base, count, &called);
            ck_assert(status == CFUT_OK || (k && status == CFUT_NO_MEMORY));
            added += status == CFUT_OK;
        }
    }
    for (int i = 0; i < 4; i++) OK_OR_FAULT(sleep_ms_result(&f[i]));
    ck_assert_int_eq(cfut_finish(&hand, 5), CFUT_OK);
    ck_assert_int_eq(__atomic_load_n(&called, __ATOMIC_RELAXED), added);
    end_some_pool(ex);
}

static void scene_cancel(void)
{
    cfut_executor *ex = some_pool();
    sleep_ms_future f[12];
    cfut_future *fs[12];

    for (int i = 0; i < 12; i++) {
        sleep_ms_submit(ex, &f[i], 1);
        fs[i] = &f[i].base;
    }
    for (int i = 4; i < 8; i++)
        if (cfut_cancel(fs[i])) ck_assert(cfut_cancelled(fs[i]));
    cfut_reclaim(fs, 12);
    for (int i = 0; i < 12; i++) {
        int status = cfut_result(fs[i]);

        ck_assert(status == CFUT_CANCELLED || ok_or_fault(status));
    }
    end_some_pool(ex);
}

static void scene_spawn(void)
{
    cfut_executor *ex = some_pool();

    for (int i = 0; i < 6; i++) {
        square_future *f = square_spawn(ex, i);

        if (!f) continue;               /* there was no memory */
        if (i & 1) check_square(f, i);
        square_release(f);
    }
    end_some_pool(ex);
}

static void scene_ends(void)
{
    static const int ways[] = { CFUT_CANCEL_PENDING, CFUT_DRAIN | CFUT_DETACH,
                                CFUT_CANCEL_PENDING | CFUT_DETACH };

    for (int k = 0; k < 3; k++) {
        cfut_executor *ex = some_pool();
        sleep_ms_future f[6];

        for (int i = 0; i < 6; i++) sleep_ms_submit(ex, &f[i], 1);
        if (k == 0) cfut_close(ex, CFUT_DRAIN);
        ck_assert_int_eq(cfut_shutdown(ex, ways[k]), CFUT_OK);
        for (int i = 0; i < 6; i++) {
            int status = sleep_ms_result(&f[i]);

            ck_assert(status == CFUT_CANCELLED || ok_or_fault(status));
        }
    }
}

static int initialize(void *n)
{
    return __atomic_sub_fetch((int *)n, 1, __ATOMIC_RELAXED) < 0 ? 7 : 0;
}

static void finalize(void *n) { (void)n; }

static void scene_hooks(void)
{
    for (int good = 0; good < 3; good++) {
        int n = good;
        cfut_executor *ex = cfut_thread_pool(&(cfut_thread_pool_desc){
            .max_workers = 2, .initializer = initialize, .finalizer = finalize, .init_arg = &n,
            .thread_name_prefix = "a rather long prefix", .stack_size = 1 << 17 });
        sleep_ms_future f[6];

        for (int i = 0; i < 6; i++) sleep_ms_submit(ex, &f[i], 1);
        for (int i = 0; i < 6; i++) {
            int status = sleep_ms_result(&f[i]);

            ck_assert(status == CFUT_BROKEN || ok_or_fault(status));
        }
        end_some_pool(ex);
    }
}

struct circle { cfut_future *other; struct gate *both; };      /* are submitted */

static int wait_for_itself(const struct circle *c, int *out)
{
    *out = 0;
    gate_wait(c->both);
    return cfut_result(c->other);
}
CFUT_TASK(wait_for_itself, struct circle, int);

/* Two pools of one worker, whose tasks wait for each other. */
static void scene_deadlock(void)
{
    cfut_executor *ex[2] = { pool_of(1), pool_of(1) };
    wait_for_itself_future f[2];
    struct gate both;
    bool told = false;

    gate_init(&both);
    for (int i = 0; i < 2; i++)
        wait_for_itself_submit(ex[i], &f[i], (struct circle){ &f[!i].base, &both });
    gate_open(&both);
    for (int i = 0; i < 2; i++) {
        int status = wait_for_itself_result(&f[i]);

        told |= status == CFUT_DEADLOCK;
        ck_assert(told || fault_allows(status));
    }
    for (int i = 0; i < 2; i++) end_some_pool(ex[i]);
}

static void scene_inline(void)
{
    cfut_executor *ex = cfut_inline_executor();
    int in[5] = { 1, 2, 3, 4, 5 }, out[5], left = 5, x;
    square_future f;
    cfut_stream *s;

    square_submit(ex, &f, 4);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    ck_assert_int_eq(square_map(ex, in, out, 5), CFUT_OK);
    s = cfut_stream_open(ex, &square_task, count_down, &left, NULL);
    OK_OR_FAULT(cfut_stream_next(s, &x));
    cfut_stream_close(s);
}

/* ---- each with each fault ---- */

static const struct { const char *name; void (*run)(void); } scenes[] = {
    { "submit", scene_submit }, { "nested", scene_nested }, { "map", scene_map },
    { "wide map", scene_wide_map },
    { "stream", scene_stream }, { "wait", scene_wait }, { "callbacks", scene_callbacks },
    { "cancel", scene_cancel }, { "spawn", scene_spawn }, { "ends", scene_ends },
    { "hooks", scene_hooks }, { "deadlock", scene_deadlock }, { "inline", scene_inline },
};
enum { SCENES = sizeof scenes / sizeof scenes[0], MOST = 60 };

/* Detached pools free themselves a little later. Handles stay in the graveyard. */
static bool nothing_is_left(void)
{
    cfut_ns end = test_now() + test_time(CFUT_SEC(5));
    bool left = true;

    while (left && test_now() < end) {
        cfuti_lock(&cfuti_registry_lock);
        left = cfuti_registry != NULL || fault_live(&fault_memory) != (long)cfuti_graves;
        cfuti_unlock(&cfuti_registry_lock);
        if (left) test_sleep(CFUT_MS(1));
    }
    return !left;
}

static void run_with(struct fault *fault, int scene, bool lasting)
{
    long k = 1;

    do {
        fault_at(fault, k, lasting);
        scenes[scene].run();
        ck_assert_msg(nothing_is_left(), "%s: %ld blocks", scenes[scene].name,
                      fault_live(&fault_memory));
    } while (fault_seen(fault) >= k++ && k <= MOST);
    fault_at(fault, 0, false);
    scenes[scene].run();                /* and all is well again */
    ck_assert(nothing_is_left());
}

START_TEST(scene_with_each_allocation_failing)
{
    run_with(&fault_memory, _i / 2, _i & 1);
}
END_TEST

START_TEST(scene_with_each_thread_failing)
{
    run_with(&fault_threads, _i / 2, _i & 1);
}
END_TEST

START_TEST(scene_with_each_reservation_failing)
{
    run_with(&fault_page, _i / 2, _i & 1);
}
END_TEST

/* Not at each submit, but soon again. */
START_TEST(thread_that_could_not_be_started_is_tried_again_later)
{
    cfut_executor *ex = pool_of(2);
    occupy_future f[3];
    square_future g;
    struct hold h[3];

    hold_worker(ex, &f[0], &h[0]);
    fault_at(&fault_threads, 1, true);
    for (int i = 1; i < 3; i++) {
        hold_init(&h[i]);
        occupy_submit(ex, &f[i], &h[i]);
    }
    ck_assert_int_eq((int)fault_seen(&fault_threads), 1);
    fault_at(&fault_threads, 0, false);
    test_sleep(CFUT_MS(150));
    for (int i = 1; i < 3; i++) gate_open(&h[i].release);
    square_submit(ex, &g, 3);
    ck_assert_int_eq(square_result(&g), CFUT_OK);       /* though the first is held */
    ck_assert_uint_eq(cfut_executor_workers(ex), 2);
    gate_open(&h[0].release);
    for (int i = 0; i < 3; i++) ck_assert_int_eq(occupy_result(&f[i]), CFUT_OK);
    end_pool(ex);
}
END_TEST

static void fill(TCase *tc)
{
    tcase_add_test(tc, thread_that_could_not_be_started_is_tried_again_later);
    tcase_add_loop_test(tc, scene_with_each_allocation_failing, 0, 2 * SCENES);
    tcase_add_loop_test(tc, scene_with_each_thread_failing, 0, 2 * SCENES);
    tcase_add_loop_test(tc, scene_with_each_reservation_failing, 0, 2 * SCENES);
}

int main(void) { return harness_main("faults", fill); }
