/* test_as_completed.c: cfut_as_completed, cfut_next, cfut_iter_end, SEMANTICS
   section 6. */
#include "harness.h"
#include "fixtures.h"

enum { BATCH = 10, MANY = 100000 };

/* n futures that the test itself completes. */
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

static void scene_end(struct scene *s)
{
    for (int i = 0; i < BATCH; i++)
        if (!cfut_done(&s->f[i]))
            ck_assert_int_eq(cfut_finish(&s->f[i], CFUT_OK), CFUT_OK);
}

/* The iterator has ended, and keeps saying so. */
static void expect_end(cfut_iter *it, int status, size_t unfinished)
{
    for (int i = 0; i < 2; i++) {
        ck_assert_ptr_null(cfut_next(it));
        ck_assert_int_eq(it->status, status);
        ck_assert_uint_eq(it->unfinished, unfinished);
    }
    cfut_iter_end(it);
}

/* ---- order ---- */

/* SEM 43: what is done already comes first, whatever its place in fs. */
START_TEST(iter_yields_already_done_first)
{
    cfut_iter it;
    struct scene s;
    cfut_future *a, *b;

    scene_init(&s);
    cfut_finish(&s.f[9], CFUT_OK);
    cfut_finish(&s.f[4], EIO);
    ck_assert_int_eq(cfut_as_completed(&it, s.fs, BATCH, CFUT_FOREVER), CFUT_OK);
    cfut_finish(&s.f[0], CFUT_OK);
    a = cfut_next(&it);
    b = cfut_next(&it);
    ck_assert((a == &s.f[9] && b == &s.f[4]) || (a == &s.f[4] && b == &s.f[9]));
    ck_assert_ptr_eq(cfut_next(&it), &s.f[0]);
    ck_assert_uint_eq(it.unfinished, BATCH - 3);
    cfut_iter_end(&it);
    scene_end(&s);
}
END_TEST

/* SEM 43: then in the order of completion. */
START_TEST(iter_yields_in_order_of_completion)
{
    static const int order[BATCH] = { 3, 9, 0, 7, 1, 8, 2, 6, 4, 5 };
    cfut_iter it;
    struct scene s;

    scene_init(&s);
    cfut_as_completed(&it, s.fs, BATCH, CFUT_FOREVER);
    for (int i = 0; i < BATCH; i++)
        cfut_finish(&s.f[order[i]], i % 2);
    for (int i = 0; i < BATCH; i++)
        ck_assert_ptr_eq(cfut_next(&it), &s.f[order[i]]);
    expect_end(&it, CFUT_OK, 0);
}
END_TEST

/* SEM 43: completions and steps in turn. */
START_TEST(iter_yields_what_completes_between_two_steps)
{
    cfut_iter it;
    struct scene s;

    scene_init(&s);
    cfut_as_completed(&it, s.fs, BATCH, CFUT_FOREVER);
    for (int i = BATCH - 2; i >= 0; i -= 2) {
        cfut_finish(&s.f[i + 1], CFUT_OK);
        cfut_finish(&s.f[i], CFUT_OK);
        ck_assert_ptr_eq(cfut_next(&it), &s.f[i + 1]);
        ck_assert_ptr_eq(cfut_next(&it), &s.f[i]);
    }
    expect_end(&it, CFUT_OK, 0);
}
END_TEST

/* An iteration in a thread of its own, which notes what it got. */
struct reader {
    cfut_future **fs;
    size_t n, got;
    thread_number number;
    pthread_t thread;
    cfut_future *seen[BATCH];
};

static void *reader_run(void *arg)
{
    struct reader *r = arg;
    cfut_iter it;
    cfut_future *f;

    announce_thread(&r->number);
    ck_assert_int_eq(cfut_as_completed(&it, r->fs, r->n, CFUT_FOREVER), CFUT_OK);
    while ((f = cfut_next(&it)) != NULL)
        r->seen[r->got++] = f;
    ck_assert_int_eq(it.status, CFUT_OK);
    return NULL;
}

static void reader_start(struct reader *r, struct scene *s)
{
    r->fs = s->fs;
    r->n = BATCH;
    r->got = 0;
    atomic_store(&r->number, 0);
    r->thread = start_thread(reader_run, r);
    await_asleep(&r->number);
}

/* SEM 43: the same while the iterating thread sleeps. */
START_TEST(iter_wakes_for_each_completion)
{
    struct reader r;
    struct scene s;

    scene_init(&s);
    reader_start(&r, &s);
    for (int i = BATCH - 1; i >= 0; i--) {
        cfut_finish(&s.f[i], CFUT_OK);
        if (i > 0)
            await_asleep(&r.number);
    }
    end_thread(r.thread);
    ck_assert_uint_eq(r.got, BATCH);
    for (int i = 0; i < BATCH; i++)
        ck_assert_ptr_eq(r.seen[i], &s.f[BATCH - 1 - i]);
}
END_TEST

/* ---- the set ---- */

/* SEM 44: each future once, and total counts distinct ones. */
START_TEST(iter_yields_duplicates_once)
{
    cfut_iter it;
    struct scene s;

    scene_init(&s);
    for (int i = 0; i < BATCH; i++)
        s.fs[i] = &s.f[i % 3];
    cfut_finish(&s.f[1], CFUT_OK);
    ck_assert_int_eq(cfut_as_completed(&it, s.fs, BATCH, CFUT_FOREVER), CFUT_OK);
    ck_assert_uint_eq(it.total, 3);
    ck_assert_uint_eq(it.unfinished, 3);
    ck_assert_ptr_eq(cfut_next(&it), &s.f[1]);
    cfut_finish(&s.f[2], CFUT_OK);
    cfut_finish(&s.f[0], CFUT_OK);
    ck_assert_ptr_eq(cfut_next(&it), &s.f[2]);
    ck_assert_ptr_eq(cfut_next(&it), &s.f[0]);
    expect_end(&it, CFUT_OK, 0);
    scene_end(&s);
}
END_TEST

/* SEM 44: duplicates among those done before. */
START_TEST(iter_over_done_duplicates_yields_them_once)
{
    cfut_future f, *fs[5] = { &f, &f, &f, &f, &f };
    cfut_iter it;

    cfut_future_init(&f);
    cfut_finish(&f, CFUT_OK);
    ck_assert_int_eq(cfut_as_completed(&it, fs, 5, 0), CFUT_OK);
    ck_assert_uint_eq(it.total, 1);
    ck_assert_ptr_eq(cfut_next(&it), &f);
    expect_end(&it, CFUT_OK, 0);
}
END_TEST

/* SEM 12, 44: duplicates when the future has another watcher already. */
START_TEST(iter_as_second_watcher_yields_duplicates_once)
{
    cfut_iter first, second;
    struct scene s;

    scene_init(&s);
    cfut_as_completed(&first, s.fs, BATCH, CFUT_FOREVER);
    for (int i = 0; i < BATCH; i++)
        s.fs[i] = &s.f[i / 5];
    ck_assert_int_eq(cfut_as_completed(&second, s.fs, BATCH, CFUT_FOREVER), CFUT_OK);
    ck_assert_uint_eq(second.total, 2);
    for (int i = BATCH - 1; i >= 0; i--)
        cfut_finish(&s.f[i], CFUT_OK);
    ck_assert_ptr_eq(cfut_next(&second), &s.f[1]);
    ck_assert_ptr_eq(cfut_next(&second), &s.f[0]);
    expect_end(&second, CFUT_OK, 0);
    for (int i = BATCH - 1; i >= 0; i--)
        ck_assert_ptr_eq(cfut_next(&first), &s.f[i]);
    expect_end(&first, CFUT_OK, 0);
}
END_TEST

/* SEM 44: all that went in comes out, and fs may be written meanwhile. */
START_TEST(iter_over_a_pool_yields_every_future)
{
    enum { N = 3000 };
    cfut_executor *pool = test_pool();
    square_future *f = calloc(N, sizeof *f);
    cfut_future **fs = calloc(N, sizeof *fs), *next;
    bool *seen = calloc(N, sizeof *seen);
    cfut_iter it;

    for (int i = 0; i < N; i++)
        fs[i] = square_submit(pool, &f[i], i);
    cfut_as_completed(&it, fs, N, CFUT_FOREVER);
    memset(fs, 0xA5, N * sizeof *fs);
    ck_assert_uint_eq(it.total, N);
    while ((next = cfut_next(&it)) != NULL) {
        ptrdiff_t at = square_of(next) - f;

        ck_assert(at >= 0 && at < N && !seen[at]);
        seen[at] = true;
        ck_assert_int_eq(f[at].out, (int)(at * at));
    }
    expect_end(&it, CFUT_OK, 0);
    free(f);
    free(fs);
    free(seen);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* SEM 49: nothing to iterate over. */
START_TEST(iter_over_nothing_ends_at_once)
{
    cfut_future *none[1] = { NULL };
    cfut_iter it;

    ck_assert_int_eq(cfut_as_completed(&it, none, 0, CFUT_FOREVER), CFUT_OK);
    ck_assert_uint_eq(it.total, 0);
    expect_end(&it, CFUT_OK, 0);
    ck_assert_int_eq(cfut_as_completed(&it, none, 0, 0), CFUT_OK);
    expect_end(&it, CFUT_OK, 0);
}
END_TEST

/* SEM 39, 44: futures of different executors in one iteration. */
START_TEST(iter_over_mixed_executors_yields_all)
{
    cfut_executor *one = test_pool(), *two = test_pool();
    square_future a, b, c, refused;
    cfut_future by_hand, *fs[5];
    cfut_iter it;

    cfut_future_init(&by_hand);
    fs[0] = &by_hand;
    fs[1] = square_submit(one, &a, 1);
    fs[2] = square_submit(two, &b, 2);
    fs[3] = square_submit(cfut_inline_executor(), &c, 3);
    fs[4] = square_submit(NULL, &refused, 4);
    cfut_as_completed(&it, fs, 5, CFUT_FOREVER);
    for (int i = 0; i < 4; i++)
        ck_assert_ptr_ne(cfut_next(&it), &by_hand);
    cfut_finish(&by_hand, CFUT_OK);
    ck_assert_ptr_eq(cfut_next(&it), &by_hand);
    expect_end(&it, CFUT_OK, 0);
    cfut_shutdown(one, CFUT_DRAIN);
    cfut_shutdown(two, CFUT_DRAIN);
}
END_TEST

/* ---- time ---- */

/* SEM 45, 46: timeout 0: what is done is delivered, then the counts are told. */
START_TEST(iter_with_zero_timeout_yields_done_then_times_out)
{
    cfut_iter it;
    struct scene s;

    scene_init(&s);
    cfut_finish(&s.f[2], CFUT_OK);
    cfut_finish(&s.f[5], CFUT_OK);
    ck_assert_int_eq(cfut_as_completed(&it, s.fs, BATCH, 0), CFUT_OK);
    ck_assert_ptr_nonnull(cfut_next(&it));
    ck_assert_ptr_nonnull(cfut_next(&it));
    expect_end(&it, CFUT_TIMEOUT, BATCH - 2);
    ck_assert_uint_eq(it.total, BATCH);
    scene_end(&s);
}
END_TEST

/* SEM 13, 45: a negative timeout is 0. */
START_TEST(iter_with_negative_timeout_polls)
{
    cfut_iter it;
    struct scene s;

    scene_init(&s);
    cfut_finish(&s.f[0], CFUT_OK);
    cfut_as_completed(&it, s.fs, BATCH, CFUT_SEC(-3));
    ck_assert_ptr_eq(cfut_next(&it), &s.f[0]);
    expect_end(&it, CFUT_TIMEOUT, BATCH - 1);
    scene_end(&s);
}
END_TEST

/* SEM 45: what completes after the deadline, before the step, is delivered. */
START_TEST(iter_past_its_deadline_still_yields_what_is_done)
{
    cfut_iter it;
    struct scene s;

    scene_init(&s);
    cfut_as_completed(&it, s.fs, BATCH, CFUT_MS(1));
    test_sleep(CFUT_MS(5));
    cfut_finish(&s.f[7], CFUT_OK);
    cfut_finish(&s.f[6], CFUT_OK);
    ck_assert_ptr_eq(cfut_next(&it), &s.f[7]);
    ck_assert_ptr_eq(cfut_next(&it), &s.f[6]);
    expect_end(&it, CFUT_TIMEOUT, BATCH - 2);
    scene_end(&s);
}
END_TEST

/* SEM 45: the step blocks until the deadline, not less. */
START_TEST(iter_times_out_at_its_deadline)
{
    cfut_iter it;
    struct scene s;
    cfut_ns start = test_now();

    scene_init(&s);
    cfut_as_completed(&it, s.fs, BATCH, CFUT_MS(30));
    ck_assert_ptr_null(cfut_next(&it));
    ck_assert_int_ge(test_now() - start, CFUT_MS(30));
    expect_end(&it, CFUT_TIMEOUT, BATCH);
    scene_end(&s);
}
END_TEST

/* SEM 47: the time runs from cfut_as_completed, not from the first step. */
START_TEST(iter_deadline_counts_from_the_call)
{
    cfut_ns limit = test_time(CFUT_MS(400)), start;
    cfut_iter it;
    struct scene s;

    scene_init(&s);
    cfut_as_completed(&it, s.fs, BATCH, limit);
    test_sleep(limit);
    start = test_now();
    ck_assert_ptr_null(cfut_next(&it));
    ck_assert_int_lt(test_now() - start, limit);
    expect_end(&it, CFUT_TIMEOUT, BATCH);
    scene_end(&s);
}
END_TEST

/* SEM 41, 45: a timed out iterator leaves nothing in the futures. */
START_TEST(iter_that_timed_out_is_forgotten_by_the_futures)
{
    struct pages pages;
    struct scene s;
    cfut_iter *it;

    scene_init(&s);
    pages_init(&pages, 1);
    it = page_new(&pages);
    cfut_as_completed(it, s.fs, BATCH, CFUT_MS(1));
    ck_assert_ptr_null(cfut_next(it));
    page_free(&pages, it);
    scene_end(&s);
}
END_TEST

/* ---- leaving ---- */

/* SEM 49: an iterator ended early is forgotten; the futures go on. */
START_TEST(iter_ended_early_is_forgotten_by_the_futures)
{
    struct pages pages;
    struct scene s;
    cfut_iter *it;

    scene_init(&s);
    cfut_finish(&s.f[0], CFUT_OK);
    cfut_finish(&s.f[1], CFUT_OK);
    pages_init(&pages, 1);
    it = page_new(&pages);
    cfut_as_completed(it, s.fs, BATCH, CFUT_FOREVER);
    ck_assert_ptr_nonnull(cfut_next(it));
    cfut_finish(&s.f[5], CFUT_OK);
    cfut_iter_end(it);
    cfut_iter_end(it);
    ck_assert_ptr_null(cfut_next(it));
    page_free(&pages, it);
    for (int i = 2; i < BATCH; i++)
        ck_assert(i == 5 || !cfut_done(&s.f[i]));
    scene_end(&s);
}
END_TEST

/* SEM 49: an end before the first step, on real tasks, many times. */
START_TEST(iter_ended_while_tasks_complete_lets_them_finish)
{
    enum { N = 16, ROUNDS = 1000 };
    cfut_executor *pool = test_pool();
    square_future f[N];
    cfut_future *fs[N];

    for (int round = 0; round < ROUNDS; round++) {
        cfut_iter it;

        for (int i = 0; i < N; i++)
            fs[i] = square_submit(pool, &f[i], i);
        ck_assert_int_eq(cfut_as_completed(&it, fs, N, CFUT_FOREVER), CFUT_OK);
        for (int i = 0; i < round % N; i++)
            ck_assert_ptr_nonnull(cfut_next(&it));
        cfut_iter_end(&it);
        memset(&it, 0xA5, sizeof it);
        for (int i = 0; i < N; i++)
            ck_assert_int_eq(square_result(&f[i]), CFUT_OK);
    }
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* SEM 48: a yielded future is the caller's, while the others are watched on. */
START_TEST(iter_yields_futures_whose_pages_may_go)
{
    enum { N = 20000 };
    cfut_executor *pool = test_pool();
    cfut_future **fs = calloc(N, sizeof *fs), *f;
    struct pages pages;
    cfut_iter it;
    int got = 0;

    pages_init(&pages, N);
    for (int i = 0; i < N; i++)
        fs[i] = square_submit(pool, page_new(&pages), 3);
    cfut_as_completed(&it, fs, N, CFUT_FOREVER);
    for (; (f = cfut_next(&it)) != NULL; got++) {
        ck_assert_int_eq(square_of(f)->out, 9);
        page_free(&pages, f);
    }
    ck_assert_int_eq(got, N);
    expect_end(&it, CFUT_OK, 0);
    pages_end(&pages);
    free(fs);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* SEM 48: a yielded future may be submitted again during the iteration. */
START_TEST(iter_yields_futures_that_may_be_reused)
{
    enum { N = 50, ROUNDS = 40 };
    cfut_executor *pool = test_pool();
    square_future f[N];
    cfut_future *fs[N], *next;
    int rest = N * ROUNDS;

    for (int i = 0; i < N; i++)
        fs[i] = square_submit(pool, &f[i], i);
    while (rest > 0) {
        cfut_iter it;

        cfut_as_completed(&it, fs, N, CFUT_FOREVER);
        for (; (next = cfut_next(&it)) != NULL; rest--)
            square_submit(pool, square_of(next), 5);
        ck_assert_int_eq(it.status, CFUT_OK);
    }
    cfut_reclaim(fs, N);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* ---- cancel ---- */

/* SEM 8, 42: a cancelled future is yielded, in its place (rule B). */
START_TEST(iter_yields_cancelled_at_once)
{
    cfut_executor *pool = test_pool();
    square_future f[BATCH];
    cfut_future *fs[BATCH];
    struct crew crew;
    cfut_iter it;

    crew_block(&crew, pool, test_workers());
    for (int i = 0; i < BATCH; i++)
        fs[i] = square_submit(pool, &f[i], i);
    cfut_as_completed(&it, fs, BATCH, CFUT_FOREVER);
    for (int i = BATCH - 1; i >= 0; i--) {
        ck_assert(cfut_cancel(&f[i].base));
        ck_assert_ptr_eq(cfut_next(&it), &f[i].base);
    }
    expect_end(&it, CFUT_OK, 0);
    crew_release(&crew);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* SEM 8, 29: completed by hand: when the producer has acknowledged. */
START_TEST(iter_yields_cancelled_by_hand_after_acknowledgement)
{
    cfut_iter it;
    struct scene s;

    scene_init(&s);
    cfut_cancel(&s.f[3]);
    cfut_as_completed(&it, s.fs, BATCH, 0);
    ck_assert_ptr_null(cfut_next(&it));
    ck_assert_uint_eq(it.unfinished, BATCH);
    cfut_iter_end(&it);
    cfut_as_completed(&it, s.fs, BATCH, CFUT_FOREVER);
    ck_assert(!cfut_start(&s.f[3]));
    ck_assert_ptr_eq(cfut_next(&it), &s.f[3]);
    cfut_iter_end(&it);
    scene_end(&s);
}
END_TEST

/* ---- mistakes ---- */

/* A refused iteration has ended before it began, and watches nothing. */
static void expect_refused(struct scene *s, size_t n, int status)
{
    cfut_iter it;

    memset(&it, 0xA5, sizeof it);
    ck_assert_int_eq(cfut_as_completed(&it, s->fs, n, CFUT_FOREVER), status);
    ck_assert_int_eq(it.status, status);
    ck_assert_ptr_null(cfut_next(&it));
    ck_assert_int_eq(it.status, status);
    cfut_iter_end(&it);
}

/* SEM 44: NULL anywhere, a future that was never submitted, no iterator. */
START_TEST(iter_with_bad_arguments_is_refused)
{
    cfut_future fresh;
    cfut_iter it;
    struct scene s;

    memset(&fresh, 0, sizeof fresh);
    scene_init(&s);
    ck_assert_int_eq(cfut_as_completed(NULL, s.fs, BATCH, 0), CFUT_INVALID);
    ck_assert_int_eq(cfut_as_completed(&it, NULL, 1, 0), CFUT_INVALID);
    cfut_iter_end(&it);
    s.fs[0] = NULL;
    expect_refused(&s, BATCH, CFUT_INVALID);
    s.fs[0] = &s.f[0];
    s.fs[BATCH - 1] = NULL;
    expect_refused(&s, BATCH, CFUT_INVALID);
    s.fs[BATCH - 1] = &fresh;
    expect_refused(&s, BATCH, CFUT_INVALID_STATE);
    scene_end(&s);
}
END_TEST

/* ---- threads ---- */

/* SEM 12: two threads over one set, each sees all of it. */
START_TEST(iter_in_two_threads_over_one_set_yields_all_to_both)
{
    struct reader r[2];
    struct scene s;

    scene_init(&s);
    reader_start(&r[0], &s);
    reader_start(&r[1], &s);
    for (int i = 0; i < BATCH; i++)
        cfut_finish(&s.f[(i * 7) % BATCH], CFUT_OK);
    for (int t = 0; t < 2; t++) {
        end_thread(r[t].thread);
        ck_assert_uint_eq(r[t].got, BATCH);
        for (int i = 0; i < BATCH; i++)
            ck_assert_ptr_eq(r[t].seen[i], &s.f[(i * 7) % BATCH]);
    }
}
END_TEST

struct storm {
    cfut_future **fs;
    size_t n;
    pthread_barrier_t *barrier;
};

static void *storm_run(void *arg)
{
    struct storm *s = arg;

    for (int round = 0; round < 100; round++) {
        cfut_iter it;
        size_t got = 0;

        pthread_barrier_wait(s->barrier);
        ck_assert_int_eq(cfut_as_completed(&it, s->fs, s->n, CFUT_FOREVER), CFUT_OK);
        while (cfut_next(&it))
            got++;
        ck_assert_int_eq(it.status, CFUT_OK);
        ck_assert_uint_eq(got, s->n);
        pthread_barrier_wait(s->barrier);
    }
    return NULL;
}

/* SEM 12, 40: several threads iterate while a pool completes. */
START_TEST(iter_in_many_threads_while_a_pool_completes_misses_none)
{
    enum { THREADS = 3, N = 100 };
    cfut_executor *pool = test_pool();
    square_future f[N];
    cfut_future *fs[N];
    struct storm storm = { fs, N, NULL };
    pthread_barrier_t barrier;
    pthread_t threads[THREADS];

    pthread_barrier_init(&barrier, NULL, THREADS + 1);
    storm.barrier = &barrier;
    for (int i = 0; i < N; i++)
        fs[i] = &f[i].base;
    for (int t = 0; t < THREADS; t++)
        threads[t] = start_thread(storm_run, &storm);
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < N; i++)
            square_submit(pool, &f[i], i);
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
    }
    for (int t = 0; t < THREADS; t++)
        end_thread(threads[t]);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

static void *iterate_done(void *arg)
{
    struct storm *s = arg;

    for (int round = 0; round < 50000; round++) {
        cfut_iter it;
        size_t got = 0;

        cfut_as_completed(&it, s->fs, s->n, CFUT_FOREVER);
        while (cfut_next(&it))
            got++;
        ck_assert_uint_eq(got, s->n);
    }
    return NULL;
}

/* SEM 12, 44: threads that take turns in claiming done futures: a future that
   was mine a moment ago and is another's now is no duplicate. */
START_TEST(iter_in_many_threads_over_done_futures_misses_none)
{
    struct scene s;
    struct storm storm = { s.fs, BATCH, NULL };
    pthread_t threads[3];

    scene_init(&s);
    scene_end(&s);
    for (int t = 0; t < 3; t++)
        threads[t] = start_thread(iterate_done, &storm);
    for (int t = 0; t < 3; t++)
        end_thread(threads[t]);
}
END_TEST

/* SEM 12: an iterator and a wait on the same futures. */
START_TEST(iter_and_wait_on_the_same_futures_both_see_all)
{
    cfut_iter it;
    struct scene s;

    scene_init(&s);
    cfut_as_completed(&it, s.fs, BATCH, CFUT_FOREVER);
    ck_assert_int_eq(cfut_wait(s.fs, BATCH, CFUT_ALL_COMPLETED, CFUT_MS(2)), 0);
    cfut_finish(&s.f[4], CFUT_OK);
    ck_assert_int_eq(cfut_wait(s.fs, BATCH, CFUT_FIRST_COMPLETED, CFUT_FOREVER), 1);
    ck_assert_ptr_eq(cfut_next(&it), &s.f[4]);
    cfut_iter_end(&it);
    scene_end(&s);
}
END_TEST

/* ---- inside tasks ---- */

static int iterate(const int *n, int *sum)
{
    square_future f[64];
    cfut_future *fs[64], *next;
    cfut_iter it;

    *sum = 0;
    for (int i = 0; i < *n; i++)
        fs[i] = square_submit(cfut_current(), &f[i], i);
    cfut_as_completed(&it, fs, (size_t)*n, CFUT_FOREVER);
    while ((next = cfut_next(&it)) != NULL)
        *sum += square_of(next)->out;
    return it.status;
}
CFUT_TASK(iterate, int, int);

/* SEM 81: inside a task the only worker runs what it iterates over. */
START_TEST(iter_in_a_task_with_one_worker_ends)
{
    cfut_executor *pool = pool_of(1);
    iterate_future f[20];

    for (int i = 0; i < 20; i++)
        iterate_submit(pool, &f[i], 10 + i % 50);
    for (int i = 0; i < 20; i++) {
        int n = 10 + i % 50;

        ck_assert_int_eq(iterate_result(&f[i]), CFUT_OK);
        ck_assert_int_eq(f[i].out, (n - 1) * n * (2 * n - 1) / 6);
    }
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* The same in a pool of any size. */
START_TEST(iter_in_tasks_of_a_pool_ends)
{
    cfut_executor *pool = test_pool();
    iterate_future f[200];

    for (int i = 0; i < 200; i++)
        iterate_submit(pool, &f[i], 64);
    for (int i = 0; i < 200; i++) {
        ck_assert_int_eq(iterate_result(&f[i]), CFUT_OK);
        ck_assert_int_eq(f[i].out, 63 * 64 * 127 / 6);
    }
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* ---- size ---- */

/* SEM 44: a hundred thousand. */
START_TEST(iter_over_many_futures_ends)
{
    cfut_executor *pool = test_pool();
    square_future *f = calloc(MANY, sizeof *f);
    cfut_future **fs = calloc(MANY, sizeof *fs);
    cfut_iter it;
    size_t got = 0;

    for (int i = 0; i < MANY; i++)
        fs[i] = square_submit(pool, &f[i], 1);
    cfut_as_completed(&it, fs, MANY, CFUT_FOREVER);
    while (cfut_next(&it))
        got++;
    ck_assert_uint_eq(got, MANY);
    expect_end(&it, CFUT_OK, 0);
    free(f);
    free(fs);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

static void fill_single(TCase *tc)
{
    tcase_add_test(tc, iter_yields_already_done_first);
    tcase_add_test(tc, iter_yields_in_order_of_completion);
    tcase_add_test(tc, iter_yields_what_completes_between_two_steps);
    tcase_add_test(tc, iter_wakes_for_each_completion);
    tcase_add_test(tc, iter_yields_duplicates_once);
    tcase_add_test(tc, iter_over_done_duplicates_yields_them_once);
    tcase_add_test(tc, iter_as_second_watcher_yields_duplicates_once);
    tcase_add_test(tc, iter_over_a_pool_yields_every_future);
    tcase_add_test(tc, iter_over_nothing_ends_at_once);
    tcase_add_test(tc, iter_over_mixed_executors_yields_all);
    tcase_add_test(tc, iter_with_zero_timeout_yields_done_then_times_out);
    tcase_add_test(tc, iter_with_negative_timeout_polls);
    tcase_add_test(tc, iter_past_its_deadline_still_yields_what_is_done);
    tcase_add_test(tc, iter_times_out_at_its_deadline);
    tcase_add_test(tc, iter_deadline_counts_from_the_call);
}

static void fill(TCase *tc)
{
    fill_single(tc);
    tcase_add_test(tc, iter_that_timed_out_is_forgotten_by_the_futures);
    tcase_add_test(tc, iter_ended_early_is_forgotten_by_the_futures);
    tcase_add_test(tc, iter_ended_while_tasks_complete_lets_them_finish);
    tcase_add_test(tc, iter_yields_futures_whose_pages_may_go);
    tcase_add_test(tc, iter_yields_futures_that_may_be_reused);
    tcase_add_test(tc, iter_yields_cancelled_at_once);
    tcase_add_test(tc, iter_yields_cancelled_by_hand_after_acknowledgement);
    tcase_add_test(tc, iter_with_bad_arguments_is_refused);
    tcase_add_test(tc, iter_in_two_threads_over_one_set_yields_all_to_both);
    tcase_add_test(tc, iter_in_many_threads_while_a_pool_completes_misses_none);
    tcase_add_test(tc, iter_in_many_threads_over_done_futures_misses_none);
    tcase_add_test(tc, iter_and_wait_on_the_same_futures_both_see_all);
    tcase_add_test(tc, iter_in_a_task_with_one_worker_ends);
    tcase_add_test(tc, iter_in_tasks_of_a_pool_ends);
    tcase_add_test(tc, iter_over_many_futures_ends);
}

int main(void)
{
    return harness_main("as_completed", fill);
}
