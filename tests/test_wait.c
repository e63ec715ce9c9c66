/* test_wait.c: cfut_wait, SEMANTICS section 5. */
#include "harness.h"
#include "fixtures.h"

enum { BATCH = 10, MANY = 100000 };

/* ---- scenes ---- */

/* n futures that the test itself completes, and the array for cfut_wait. */
struct scene {
    cfut_future f[BATCH];
    cfut_future *fs[BATCH];
};

static void scene_init(struct scene *s)
{
    for (int i = 0; i < BATCH; i++) {
        cfut_future_init(&s->f[i]);
        s->fs[i] = &s->f[i];
    }
}

/* No test may leave a pending future behind; which are left does not matter. */
static void scene_end(struct scene *s)
{
    for (int i = 0; i < BATCH; i++)
        if (!cfut_done(&s->f[i]))
            ck_assert_int_eq(cfut_finish(&s->f[i], CFUT_OK), CFUT_OK);
}

/* fs holds the same pointers as before, in any order. */
static void expect_partition(const struct scene *s, ptrdiff_t k)
{
    bool seen[BATCH] = { false };

    for (ptrdiff_t i = 0; i < BATCH; i++) {
        ptrdiff_t at = s->fs[i] - s->f;

        ck_assert(at >= 0 && at < BATCH && !seen[at]);
        seen[at] = true;
        ck_assert_int_eq(cfut_done(s->fs[i]), i < k);
    }
}

/* One cfut_wait in a thread of its own. */
struct waiter {
    cfut_future **fs;
    size_t n;
    int when;
    cfut_ns timeout;
    thread_number number;
    ptrdiff_t answer;
    pthread_t thread;
};

static void *waiter_run(void *arg)
{
    struct waiter *w = arg;

    announce_thread(&w->number);
    w->answer = cfut_wait(w->fs, w->n, w->when, w->timeout);
    return NULL;
}

/* Returns when the wait sleeps. */
static void waiter_start(struct waiter *w, struct scene *s, int when)
{
    w->fs = s->fs;
    w->n = BATCH;
    w->when = when;
    w->timeout = CFUT_FOREVER;
    atomic_store(&w->number, 0);
    w->thread = start_thread(waiter_run, w);
    await_asleep(&w->number);
}

static ptrdiff_t waiter_end(struct waiter *w)
{
    end_thread(w->thread);
    return w->answer;
}

/* ---- all completed ---- */

/* SEM 33, 34: everything is done before the call. */
START_TEST(wait_when_all_done_returns_at_once)
{
    struct scene s;

    scene_init(&s);
    for (int i = 0; i < BATCH; i++)
        cfut_finish(&s.f[i], i % 3);
    ck_assert_int_eq(cfut_wait(s.fs, BATCH, CFUT_ALL_COMPLETED, CFUT_FOREVER), BATCH);
    expect_partition(&s, BATCH);
    ck_assert_int_eq(cfut_wait(s.fs, BATCH, CFUT_FIRST_COMPLETED, CFUT_FOREVER), BATCH);
    ck_assert_int_eq(cfut_wait(s.fs, BATCH, CFUT_FIRST_ERROR, 0), BATCH);
    expect_partition(&s, BATCH);
}
END_TEST

/* SEM 34: an empty set, in each mode and whatever the timeout. */
START_TEST(wait_on_nothing_returns_zero)
{
    cfut_future *none[1] = { NULL };

    for (int when = CFUT_ALL_COMPLETED; when <= CFUT_FIRST_ERROR; when++) {
        ck_assert_int_eq(cfut_wait(none, 0, when, CFUT_FOREVER), 0);
        ck_assert_int_eq(cfut_wait(none, 0, when, 0), 0);
        ck_assert_int_eq(cfut_wait(NULL, 0, when, CFUT_FOREVER), 0);
    }
}
END_TEST

/* SEM 33: done in front, in the order of completion. */
START_TEST(wait_all_lists_in_order_of_completion)
{
    static const int order[BATCH] = { 7, 2, 9, 0, 4, 1, 8, 3, 6, 5 };
    struct waiter w;
    struct scene s;

    scene_init(&s);
    waiter_start(&w, &s, CFUT_ALL_COMPLETED);
    for (int i = 0; i < BATCH; i++)
        ck_assert_int_eq(cfut_finish(&s.f[order[i]], CFUT_OK), CFUT_OK);
    ck_assert_int_eq(waiter_end(&w), BATCH);
    for (int i = 0; i < BATCH; i++)
        ck_assert_ptr_eq(s.fs[i], &s.f[order[i]]);
}
END_TEST

/* SEM 33: those done before the call come before those that complete later. */
START_TEST(wait_lists_already_done_first)
{
    struct waiter w;
    struct scene s;

    scene_init(&s);
    cfut_finish(&s.f[8], CFUT_OK);
    cfut_finish(&s.f[3], CFUT_OK);
    waiter_start(&w, &s, CFUT_ALL_COMPLETED);
    for (int i = BATCH - 1; i >= 0; i--)
        if (i != 8 && i != 3)
            cfut_finish(&s.f[i], CFUT_OK);
    ck_assert_int_eq(waiter_end(&w), BATCH);
    expect_partition(&s, BATCH);
    ck_assert_int_eq((s.fs[0] - s.f) + (s.fs[1] - s.f), 11);
    ck_assert_ptr_eq(s.fs[2], &s.f[9]);
    ck_assert_ptr_eq(s.fs[BATCH - 1], &s.f[0]);
}
END_TEST

/* SEM 33: real tasks of a pool. */
START_TEST(wait_all_on_a_pool_sees_every_result)
{
    enum { N = 2000 };
    cfut_executor *pool = test_pool();
    square_future *f = calloc(N, sizeof *f);
    cfut_future **fs = calloc(N, sizeof *fs);

    for (int i = 0; i < N; i++)
        fs[i] = square_submit(pool, &f[i], i);
    ck_assert_int_eq(cfut_wait(fs, N, CFUT_ALL_COMPLETED, CFUT_FOREVER), N);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(f[i].out, i * i);
    free(f);
    free(fs);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* ---- first completed ---- */

/* SEM 35: one completes during the wait. */
START_TEST(wait_first_completed_returns_with_the_first)
{
    struct waiter w;
    struct scene s;

    scene_init(&s);
    waiter_start(&w, &s, CFUT_FIRST_COMPLETED);
    cfut_finish(&s.f[6], CFUT_OK);
    ck_assert_int_eq(waiter_end(&w), 1);
    ck_assert_ptr_eq(s.fs[0], &s.f[6]);
    expect_partition(&s, 1);
    scene_end(&s);
}
END_TEST

/* SEM 35: some are done before: at once, with all of them. */
START_TEST(wait_first_completed_when_some_done_returns_all_of_them)
{
    struct scene s;

    scene_init(&s);
    cfut_finish(&s.f[1], CFUT_OK);
    cfut_finish(&s.f[5], 3);
    cfut_finish(&s.f[9], CFUT_OK);
    ck_assert_int_eq(cfut_wait(s.fs, BATCH, CFUT_FIRST_COMPLETED, CFUT_FOREVER), 3);
    expect_partition(&s, 3);
    scene_end(&s);
}
END_TEST

/* SEM 35: a failure and a cancellation are completions too. */
START_TEST(wait_first_completed_counts_failed_and_cancelled)
{
    struct waiter w;
    struct scene s;

    scene_init(&s);
    waiter_start(&w, &s, CFUT_FIRST_COMPLETED);
    cfut_finish(&s.f[2], 5);
    ck_assert_int_eq(waiter_end(&w), 1);
    scene_init(&s);
    waiter_start(&w, &s, CFUT_FIRST_COMPLETED);
    ck_assert(cfut_cancel(&s.f[4]));
    ck_assert(!cfut_start(&s.f[4]));
    ck_assert_int_eq(waiter_end(&w), 1);
    ck_assert_ptr_eq(s.fs[0], &s.f[4]);
    scene_end(&s);
}
END_TEST

/* ---- first error ---- */

/* SEM 36: successes do not end the wait, the first failure does. */
START_TEST(wait_first_error_returns_with_the_first_failure)
{
    struct waiter w;
    struct scene s;

    scene_init(&s);
    waiter_start(&w, &s, CFUT_FIRST_ERROR);
    cfut_finish(&s.f[0], CFUT_OK);
    cfut_finish(&s.f[3], CFUT_OK);
    await_asleep(&w.number);
    cfut_finish(&s.f[7], EIO);
    ck_assert_int_eq(waiter_end(&w), 3);
    ck_assert_ptr_eq(s.fs[2], &s.f[7]);
    expect_partition(&s, 3);
    scene_end(&s);
}
END_TEST

/* SEM 36: one failed before the call. */
START_TEST(wait_first_error_when_one_failed_returns_at_once)
{
    struct scene s;

    scene_init(&s);
    cfut_finish(&s.f[2], CFUT_OK);
    cfut_finish(&s.f[4], EIO);
    ck_assert_int_eq(cfut_wait(s.fs, BATCH, CFUT_FIRST_ERROR, CFUT_FOREVER), 2);
    expect_partition(&s, 2);
    scene_end(&s);
}
END_TEST

/* SEM 36: cancelled is no failure, before the call and during it. */
START_TEST(wait_first_error_ignores_cancelled)
{
    struct waiter w;
    struct scene s;

    scene_init(&s);
    cfut_cancel(&s.f[0]);
    cfut_start(&s.f[0]);
    waiter_start(&w, &s, CFUT_FIRST_ERROR);
    cfut_cancel(&s.f[1]);
    cfut_start(&s.f[1]);
    await_asleep(&w.number);
    for (int i = 2; i < BATCH; i++)
        cfut_finish(&s.f[i], CFUT_OK);
    ck_assert_int_eq(waiter_end(&w), BATCH);
    expect_partition(&s, BATCH);
}
END_TEST

/* SEM 36: a task that hands on CFUT_CANCELLED as its status has failed: the
   state decides, not the code. */
START_TEST(wait_first_error_when_status_says_cancelled_is_a_failure)
{
    struct waiter w;
    struct scene s;

    scene_init(&s);
    waiter_start(&w, &s, CFUT_FIRST_ERROR);
    cfut_finish(&s.f[5], CFUT_CANCELLED);
    ck_assert_int_eq(waiter_end(&w), 1);
    ck_assert(!cfut_cancelled(&s.f[5]));
    scene_end(&s);
}
END_TEST

/* SEM 36: without a failure it is ALL_COMPLETED, on a pool. */
START_TEST(wait_first_error_without_failure_waits_for_all)
{
    enum { N = 200 };
    cfut_executor *pool = test_pool();
    square_future f[N];
    cfut_future *fs[N];

    for (int i = 0; i < N; i++)
        fs[i] = square_submit(pool, &f[i], i);
    ck_assert_int_eq(cfut_wait(fs, N, CFUT_FIRST_ERROR, CFUT_FOREVER), N);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* ---- timeouts ---- */

/* SEM 37: a timeout is no error: the partial result is returned. */
START_TEST(wait_when_time_runs_out_returns_partial_result)
{
    struct scene s;
    cfut_ns start = test_now();

    scene_init(&s);
    cfut_finish(&s.f[9], CFUT_OK);
    ck_assert_int_eq(cfut_wait(s.fs, BATCH, CFUT_ALL_COMPLETED, CFUT_MS(30)), 1);
    ck_assert_int_ge(test_now() - start, CFUT_MS(30));
    ck_assert_ptr_eq(s.fs[0], &s.f[9]);
    expect_partition(&s, 1);
    ck_assert_int_eq(cfut_wait(s.fs, BATCH, CFUT_FIRST_ERROR, CFUT_MS(5)), 1);
    expect_partition(&s, 1);
    scene_end(&s);
}
END_TEST

/* SEM 13, 37: 0 polls, negative is 0, in each mode. */
START_TEST(wait_with_zero_or_negative_timeout_polls)
{
    static const cfut_ns timeouts[] = { 0, -1, CFUT_SEC(-5), INT64_MIN };
    struct scene s;

    scene_init(&s);
    for (int when = CFUT_ALL_COMPLETED; when <= CFUT_FIRST_ERROR; when++)
        for (size_t i = 0; i < sizeof timeouts / sizeof *timeouts; i++)
            ck_assert_int_eq(cfut_wait(s.fs, BATCH, when, timeouts[i]), 0);
    expect_partition(&s, 0);
    cfut_finish(&s.f[5], CFUT_OK);
    ck_assert_int_eq(cfut_wait(s.fs, BATCH, CFUT_FIRST_COMPLETED, -1), 1);
    ck_assert_int_eq(cfut_wait(s.fs, BATCH, CFUT_ALL_COMPLETED, 0), 1);
    expect_partition(&s, 1);
    scene_end(&s);
}
END_TEST

/* SEM 37: a huge timeout does not overflow into the past. */
START_TEST(wait_with_huge_timeout_waits)
{
    struct waiter w;
    struct scene s;

    scene_init(&s);
    w.fs = s.fs;
    w.n = BATCH;
    w.when = CFUT_FIRST_COMPLETED;
    w.timeout = CFUT_FOREVER - 1;
    atomic_store(&w.number, 0);
    w.thread = start_thread(waiter_run, &w);
    await_asleep(&w.number);
    cfut_finish(&s.f[0], CFUT_OK);
    ck_assert_int_eq(waiter_end(&w), 1);
    scene_end(&s);
}
END_TEST

/* ---- mistakes ---- */

/* SEM 38: an unknown mode, also where another answer would be at hand. */
START_TEST(wait_with_unknown_when_is_invalid)
{
    struct scene s;

    scene_init(&s);
    ck_assert_int_eq(cfut_wait(s.fs, BATCH, 3, 0), CFUT_INVALID);
    ck_assert_int_eq(cfut_wait(s.fs, BATCH, -1, CFUT_FOREVER), CFUT_INVALID);
    ck_assert_int_eq(cfut_wait(s.fs, 0, 99, 0), CFUT_INVALID);
    expect_partition(&s, 0);
    scene_end(&s);
    ck_assert_int_eq(cfut_wait(s.fs, BATCH, 3, 0), CFUT_INVALID);
    expect_partition(&s, BATCH);
}
END_TEST

/* SEM 33: a NULL entry anywhere; the others are not left watched. */
START_TEST(wait_with_null_entry_is_invalid)
{
    struct scene s;

    scene_init(&s);
    for (int i = 0; i < BATCH; i++) {
        s.fs[i] = NULL;
        ck_assert_int_eq(cfut_wait(s.fs, BATCH, CFUT_ALL_COMPLETED, CFUT_FOREVER), CFUT_INVALID);
        for (int k = 0; k < BATCH; k++)
            s.fs[k] = &s.f[k];
    }
    ck_assert_int_eq(cfut_wait(NULL, 1, CFUT_ALL_COMPLETED, 0), CFUT_INVALID);
    scene_end(&s);
}
END_TEST

/* A future that was never submitted would never be done. */
START_TEST(wait_on_fresh_future_is_invalid_state)
{
    struct scene s;
    cfut_future fresh;

    memset(&fresh, 0, sizeof fresh);
    scene_init(&s);
    s.fs[4] = &fresh;
    ck_assert_int_eq(cfut_wait(s.fs, BATCH, CFUT_ALL_COMPLETED, CFUT_FOREVER), CFUT_INVALID_STATE);
    ck_assert_int_eq(cfut_future_state(&fresh), CFUT_STATE_FRESH);
    scene_end(&s);
}
END_TEST

/* ---- duplicates ---- */

/* SEM 33: each entry stays and counts. */
START_TEST(wait_with_duplicates_counts_each_entry)
{
    struct scene s;
    cfut_future *fs[6];

    scene_init(&s);
    fs[0] = fs[2] = fs[5] = &s.f[0];
    fs[1] = fs[3] = &s.f[1];
    fs[4] = &s.f[2];
    ck_assert_int_eq(cfut_wait(fs, 6, CFUT_ALL_COMPLETED, 0), 0);
    cfut_finish(&s.f[0], CFUT_OK);
    ck_assert_int_eq(cfut_wait(fs, 6, CFUT_ALL_COMPLETED, CFUT_MS(5)), 3);
    for (int i = 0; i < 3; i++)
        ck_assert_ptr_eq(fs[i], &s.f[0]);
    cfut_finish(&s.f[2], CFUT_OK);
    cfut_finish(&s.f[1], CFUT_OK);
    ck_assert_int_eq(cfut_wait(fs, 6, CFUT_ALL_COMPLETED, CFUT_FOREVER), 6);
    scene_end(&s);
}
END_TEST

/* SEM 33: the same while the wait is under way. */
START_TEST(wait_with_pending_duplicates_returns_when_all_are_done)
{
    struct waiter w;
    struct scene s;
    int of_first = 0;

    scene_init(&s);
    for (int i = 0; i < BATCH; i++)
        s.fs[i] = &s.f[i % 2];
    waiter_start(&w, &s, CFUT_ALL_COMPLETED);
    cfut_finish(&s.f[1], CFUT_OK);
    await_asleep(&w.number);
    cfut_finish(&s.f[0], CFUT_OK);
    ck_assert_int_eq(waiter_end(&w), BATCH);
    for (int i = 0; i < BATCH; i++)
        of_first += s.fs[i] == &s.f[0];
    ck_assert_int_eq(of_first, BATCH / 2);
    scene_end(&s);
}
END_TEST

/* SEM 33, 36: duplicates in the two other modes. */
START_TEST(wait_with_duplicates_of_one_counts_it_each_time)
{
    cfut_future f, *fs[4] = { &f, &f, &f, &f };

    cfut_future_init(&f);
    ck_assert_int_eq(cfut_wait(fs, 4, CFUT_FIRST_ERROR, 0), 0);
    cfut_finish(&f, EIO);
    ck_assert_int_eq(cfut_wait(fs, 4, CFUT_FIRST_ERROR, CFUT_FOREVER), 4);
    ck_assert_int_eq(cfut_wait(fs, 4, CFUT_FIRST_COMPLETED, CFUT_FOREVER), 4);
}
END_TEST

/* ---- executors mixed ---- */

/* SEM 39: two pools, the inline executor, one completed by hand, one refused. */
START_TEST(wait_on_futures_of_mixed_executors_sees_all)
{
    cfut_executor *one = test_pool(), *two = test_pool();
    square_future a, b, c, refused;
    cfut_future by_hand, *fs[5];

    cfut_future_init(&by_hand);
    fs[0] = &by_hand;
    fs[1] = square_submit(one, &a, 3);
    fs[2] = square_submit(two, &b, 4);
    fs[3] = square_submit(cfut_inline_executor(), &c, 5);
    fs[4] = square_submit(NULL, &refused, 6);
    ck_assert_int_eq(cfut_wait(fs + 1, 3, CFUT_ALL_COMPLETED, CFUT_FOREVER), 3);
    ck_assert_int_eq(cfut_wait(fs, 5, CFUT_FIRST_ERROR, CFUT_FOREVER), 4);
    ck_assert_ptr_eq(fs[4], &by_hand);
    cfut_finish(&by_hand, CFUT_OK);
    ck_assert_int_eq(cfut_wait(fs, 5, CFUT_ALL_COMPLETED, CFUT_FOREVER), 5);
    ck_assert_int_eq(a.out + b.out + c.out, 9 + 16 + 25);
    ck_assert_int_eq(square_result(&refused), CFUT_INVALID);
    cfut_shutdown(one, CFUT_DRAIN);
    cfut_shutdown(two, CFUT_DRAIN);
}
END_TEST

/* ---- concurrency ---- */

/* SEM 40: many futures that complete just when the wait begins. */
START_TEST(wait_racing_with_completions_loses_no_wake_up)
{
    enum { N = 16, ROUNDS = 1500 };
    cfut_executor *pool = pool_of(test_workers() + 2);
    square_future f[N];
    cfut_future *fs[N];

    for (int round = 0; round < ROUNDS; round++) {
        int when = round % 3;
        ptrdiff_t k;

        for (int i = 0; i < N; i++)
            fs[i] = square_submit(pool, &f[i], i);
        k = cfut_wait(fs, N, when, CFUT_FOREVER);
        if (when == CFUT_FIRST_COMPLETED)
            ck_assert_int_ge(k, 1);
        else
            ck_assert_int_eq(k, N);
        ck_assert_int_eq(cfut_wait(fs, N, CFUT_ALL_COMPLETED, CFUT_FOREVER), N);
    }
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* SEM 12, 41: two threads wait for the same futures, in opposite order. */
START_TEST(wait_in_two_threads_on_the_same_futures_wakes_both)
{
    struct waiter w[2];
    struct scene s, reversed;

    scene_init(&s);
    for (int i = 0; i < BATCH; i++)
        reversed.fs[i] = &s.f[BATCH - 1 - i];
    waiter_start(&w[0], &s, CFUT_ALL_COMPLETED);
    waiter_start(&w[1], &reversed, CFUT_ALL_COMPLETED);
    for (int i = 0; i < BATCH; i++)
        cfut_finish(&s.f[i], CFUT_OK);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(waiter_end(&w[i]), BATCH);
    for (int i = 0; i < BATCH; i++) {
        ck_assert_ptr_eq(s.fs[i], &s.f[i]);
        ck_assert_ptr_eq(reversed.fs[i], &s.f[i]);
    }
}
END_TEST

/* One of several threads that wait for the same set again and again. */
struct rounds {
    cfut_future *fs[64];
    pthread_barrier_t *barrier;
    int n_rounds, when;
};

static void *rounds_run(void *arg)
{
    struct rounds *r = arg;

    for (int i = 0; i < r->n_rounds; i++) {
        ptrdiff_t k;

        pthread_barrier_wait(r->barrier);
        k = cfut_wait(r->fs, 64, r->when, CFUT_FOREVER);
        ck_assert_int_eq(k, 64);
        pthread_barrier_wait(r->barrier);
    }
    return NULL;
}

/* SEM 12, 40, 41: many waiters and completions at the same time. */
START_TEST(wait_in_many_threads_while_a_pool_completes_wakes_all)
{
    enum { THREADS = 4, ROUNDS = 200 };
    static square_future f[64];
    cfut_executor *pool = test_pool();
    struct rounds r[THREADS];
    pthread_barrier_t barrier;
    pthread_t threads[THREADS];

    pthread_barrier_init(&barrier, NULL, THREADS + 1);
    for (int t = 0; t < THREADS; t++) {
        r[t].barrier = &barrier;
        r[t].n_rounds = ROUNDS;
        r[t].when = t % 2 ? CFUT_ALL_COMPLETED : CFUT_FIRST_ERROR;
        for (int i = 0; i < 64; i++)
            r[t].fs[i] = &f[t % 2 ? i : 63 - i].base;
        threads[t] = start_thread(rounds_run, &r[t]);
    }
    for (int i = 0; i < ROUNDS; i++) {
        for (int k = 0; k < 64; k++)
            square_submit(pool, &f[k], k);
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
    }
    for (int t = 0; t < THREADS; t++)
        end_thread(threads[t]);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* SEM 42: a cancel during the wait counts as done, at once (rule B). */
START_TEST(wait_when_queued_future_is_cancelled_sees_it)
{
    cfut_executor *pool = test_pool();
    square_future f[BATCH];
    struct crew crew;
    struct waiter w;
    struct scene s;

    crew_block(&crew, pool, test_workers());
    for (int i = 0; i < BATCH; i++)
        s.fs[i] = square_submit(pool, &f[i], i);
    waiter_start(&w, &s, CFUT_ALL_COMPLETED);
    for (int i = 0; i < BATCH; i++)
        ck_assert(cfut_cancel(&f[i].base));
    ck_assert_int_eq(waiter_end(&w), BATCH);
    for (int i = 0; i < BATCH; i++)
        ck_assert_ptr_eq(s.fs[i], &f[i].base);
    crew_release(&crew);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* SEM 8, 42: by hand the cancel counts when the producer acknowledges it. */
START_TEST(wait_on_cancelled_by_hand_waits_for_the_producer)
{
    struct scene s;

    scene_init(&s);
    ck_assert(cfut_cancel(&s.f[0]));
    ck_assert(cfut_done(&s.f[0]));
    ck_assert_int_eq(cfut_wait(s.fs, BATCH, CFUT_FIRST_COMPLETED, 0), 0);
    ck_assert_int_eq(cfut_wait(s.fs, BATCH, CFUT_FIRST_COMPLETED, CFUT_MS(5)), 0);
    ck_assert(!cfut_start(&s.f[0]));
    ck_assert_int_eq(cfut_wait(s.fs, BATCH, CFUT_FIRST_COMPLETED, CFUT_FOREVER), 1);
    ck_assert_ptr_eq(s.fs[0], &s.f[0]);
    scene_end(&s);
}
END_TEST

/* ---- nothing is left behind ---- */

/* winpthreads cannot be given a stack. */
#ifndef _WIN32
/* SEM 41: runs one wait on a stack that is unmapped when it has returned. */
static ptrdiff_t wait_on_a_stack_of_its_own(struct waiter *w)
{
    size_t size = 1 << 20;
    void *stack = pages_map(size);
    pthread_attr_t attr;

    ck_assert_ptr_nonnull(stack);
    pthread_attr_init(&attr);
    ck_assert_int_eq(pthread_attr_setstack(&attr, stack, size), 0);
    ck_assert_int_eq(pthread_create(&w->thread, &attr, waiter_run, w), 0);
    end_thread(w->thread);
    pthread_attr_destroy(&attr);
    pages_unmap(stack, size);
    return w->answer;
}

/* SEM 41: what a timed out wait linked is unlinked: its stack is gone when the
   futures complete. */
START_TEST(wait_that_timed_out_leaves_nothing_in_the_futures)
{
    struct scene s;

    scene_init(&s);
    for (int when = CFUT_ALL_COMPLETED; when <= CFUT_FIRST_ERROR; when++) {
        struct waiter w = { .fs = s.fs, .n = BATCH, .when = when, .timeout = CFUT_MS(3) };

        ck_assert_int_eq(wait_on_a_stack_of_its_own(&w), 0);
    }
    scene_end(&s);
}
END_TEST

/* SEM 41: the same for the futures that a FIRST wait did not need. */
START_TEST(wait_for_first_leaves_nothing_in_the_others)
{
    struct scene s;

    scene_init(&s);
    cfut_finish(&s.f[3], EIO);
    for (int when = CFUT_FIRST_COMPLETED; when <= CFUT_FIRST_ERROR; when++) {
        struct waiter w = { .fs = s.fs, .n = BATCH, .when = when, .timeout = CFUT_FOREVER };

        ck_assert_int_eq(wait_on_a_stack_of_its_own(&w), 1);
    }
    scene_end(&s);
}
END_TEST

/* SEM 41: and for a refused wait, whose NULL entry comes last. */
START_TEST(wait_refused_for_a_late_entry_leaves_nothing)
{
    struct scene s;
    struct waiter w = { .fs = s.fs, .n = BATCH, .when = CFUT_ALL_COMPLETED, .timeout = 0 };

    scene_init(&s);
    s.fs[BATCH - 1] = NULL;
    ck_assert_int_eq(wait_on_a_stack_of_its_own(&w), CFUT_INVALID);
    scene_end(&s);
}
END_TEST
#endif

/* SEM 41: many waits that time out while the futures complete. */
START_TEST(wait_timing_out_while_futures_complete_counts_right)
{
    enum { N = 8, ROUNDS = 1000 };
    cfut_executor *pool = test_pool();
    square_future f[N];
    cfut_future *fs[N];

    for (int round = 0; round < ROUNDS; round++) {
        ptrdiff_t k;

        for (int i = 0; i < N; i++)
            fs[i] = square_submit(pool, &f[i], i);
        k = cfut_wait(fs, N, CFUT_ALL_COMPLETED, CFUT_US(round % 40));
        ck_assert(k >= 0 && k <= N);
        for (ptrdiff_t i = 0; i < k; i++)
            ck_assert(cfut_done(fs[i]));
        ck_assert_int_eq(cfut_wait(fs, N, CFUT_ALL_COMPLETED, CFUT_FOREVER), N);
    }
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* Law 1: what wait reports is the caller's, down to its pages. */
START_TEST(wait_reports_futures_whose_pages_may_go)
{
    enum { N = 2000 };
    cfut_executor *pool = test_pool();
    cfut_future **fs = calloc(N, sizeof *fs);
    struct pages pages;
    size_t left = N;

    pages_init(&pages, N);
    for (int i = 0; i < N; i++)
        fs[i] = square_submit(pool, page_new(&pages), i);
    while (left > 0) {
        ptrdiff_t k = cfut_wait(fs, left, CFUT_FIRST_COMPLETED, CFUT_FOREVER);

        ck_assert_int_ge(k, 1);
        for (ptrdiff_t i = 0; i < k; i++)
            page_free(&pages, fs[i]);
        left -= (size_t)k;
        memmove(fs, fs + k, left * sizeof *fs);
    }
    pages_end(&pages);
    free(fs);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* ---- sizes ---- */

/* SEM 40: a hundred thousand futures in one wait. */
START_TEST(wait_on_many_futures_ends)
{
    cfut_executor *pool = test_pool();
    square_future *f = calloc(MANY, sizeof *f);
    cfut_future **fs = calloc(MANY, sizeof *fs);

    for (int i = 0; i < MANY; i++)
        fs[i] = square_submit(pool, &f[i], 2);
    ck_assert_int_eq(cfut_wait(fs, MANY, CFUT_ALL_COMPLETED, CFUT_FOREVER), MANY);
    free(f);
    free(fs);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* SEM 12: a hundred thousand watchers of one future, some of which leave early
   and in a strange order. */
START_TEST(watchers_of_one_future_in_great_number_all_see_it)
{
    cfut_iter *its = calloc(MANY, sizeof *its);
    size_t *order = calloc(MANY, sizeof *order);
    cfut_future f, *fs[1] = { &f };

    cfut_future_init(&f);
    for (int i = 0; i < MANY; i++)
        ck_assert_int_eq(cfut_as_completed(&its[i], fs, 1, CFUT_FOREVER), CFUT_OK);
    shuffle(order, MANY, 42);
    for (int i = 0; i < MANY / 2; i++)
        cfut_iter_end(&its[order[i]]);
    ck_assert_int_eq(cfut_finish(&f, CFUT_OK), CFUT_OK);
    for (int i = MANY / 2; i < MANY; i++) {
        ck_assert_ptr_eq(cfut_next(&its[order[i]]), &f);
        ck_assert_ptr_null(cfut_next(&its[order[i]]));
    }
    free(its);
    free(order);
}
END_TEST

/* SEM 12: as many sleeping threads as a test may have, on one future. */
START_TEST(wait_in_many_threads_on_one_future_wakes_all)
{
    enum { THREADS = 64 };
    static struct waiter w[THREADS];
    cfut_future f, *fs[THREADS];

    cfut_future_init(&f);
    for (int i = 0; i < THREADS; i++) {
        fs[i] = &f;
        w[i] = (struct waiter){ .fs = &fs[i], .n = 1, .when = i % 3, .timeout = CFUT_FOREVER };
        w[i].thread = start_thread(waiter_run, &w[i]);
    }
    for (int i = 0; i < THREADS; i += 9)
        await_asleep(&w[i].number);
    cfut_finish(&f, CFUT_OK);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(waiter_end(&w[i]), 1);
}
END_TEST

static void fill_modes(TCase *tc)
{
    tcase_add_test(tc, wait_when_all_done_returns_at_once);
    tcase_add_test(tc, wait_on_nothing_returns_zero);
    tcase_add_test(tc, wait_all_lists_in_order_of_completion);
    tcase_add_test(tc, wait_lists_already_done_first);
    tcase_add_test(tc, wait_all_on_a_pool_sees_every_result);
    tcase_add_test(tc, wait_first_completed_returns_with_the_first);
    tcase_add_test(tc, wait_first_completed_when_some_done_returns_all_of_them);
    tcase_add_test(tc, wait_first_completed_counts_failed_and_cancelled);
    tcase_add_test(tc, wait_first_error_returns_with_the_first_failure);
    tcase_add_test(tc, wait_first_error_when_one_failed_returns_at_once);
    tcase_add_test(tc, wait_first_error_ignores_cancelled);
    tcase_add_test(tc, wait_first_error_when_status_says_cancelled_is_a_failure);
    tcase_add_test(tc, wait_first_error_without_failure_waits_for_all);
    tcase_add_test(tc, wait_when_time_runs_out_returns_partial_result);
    tcase_add_test(tc, wait_with_zero_or_negative_timeout_polls);
    tcase_add_test(tc, wait_with_huge_timeout_waits);
}

static void fill(TCase *tc)
{
    fill_modes(tc);
    tcase_add_test(tc, wait_with_unknown_when_is_invalid);
    tcase_add_test(tc, wait_with_null_entry_is_invalid);
    tcase_add_test(tc, wait_on_fresh_future_is_invalid_state);
    tcase_add_test(tc, wait_with_duplicates_counts_each_entry);
    tcase_add_test(tc, wait_with_pending_duplicates_returns_when_all_are_done);
    tcase_add_test(tc, wait_with_duplicates_of_one_counts_it_each_time);
    tcase_add_test(tc, wait_on_futures_of_mixed_executors_sees_all);
    tcase_add_test(tc, wait_racing_with_completions_loses_no_wake_up);
    tcase_add_test(tc, wait_in_two_threads_on_the_same_futures_wakes_both);
    tcase_add_test(tc, wait_in_many_threads_while_a_pool_completes_wakes_all);
    tcase_add_test(tc, wait_when_queued_future_is_cancelled_sees_it);
    tcase_add_test(tc, wait_on_cancelled_by_hand_waits_for_the_producer);
#ifndef _WIN32
    tcase_add_test(tc, wait_that_timed_out_leaves_nothing_in_the_futures);
    tcase_add_test(tc, wait_for_first_leaves_nothing_in_the_others);
    tcase_add_test(tc, wait_refused_for_a_late_entry_leaves_nothing);
#endif
    tcase_add_test(tc, wait_timing_out_while_futures_complete_counts_right);
    tcase_add_test(tc, wait_reports_futures_whose_pages_may_go);
    tcase_add_test(tc, wait_on_many_futures_ends);
    tcase_add_test(tc, watchers_of_one_future_in_great_number_all_see_it);
    tcase_add_test(tc, wait_in_many_threads_on_one_future_wakes_all);
}

int main(void)
{
    return harness_main("wait", fill);
}
