/* test_map.c: cfut_map and cfut_stream, SEMANTICS section 7. */
#include <stdint.h>
#include <stdlib.h>

/* Counts the library's allocations, so that a test can say there are none. Absurd ones
   a sanitizer would take for mistakes. */
static int allocations;
static void *counting_malloc(size_t n)
{
    __atomic_add_fetch(&allocations, 1, __ATOMIC_RELAXED);
    return n > PTRDIFF_MAX ? NULL : malloc(n);
}
#define CFUT_MALLOC(n) counting_malloc(n)
#define CFUT_FREE(p) free(p)

#include "harness.h"
#include "fixtures.h"

static int allocations_now(void)
{
    return __atomic_load_n(&allocations, __ATOMIC_RELAXED);
}

/* At least two workers, for scenes in which one of them is stuck. */
static cfut_executor *pool_of_two(void)
{
    return pool_of(test_workers() < 2 ? 2 : test_workers());
}

/* ---- map: results ---- */

static int *numbers(int n)
{
    int *in = calloc((size_t)n, sizeof *in);

    for (int i = 0; i < n; i++)
        in[i] = i % 1000;
    return in;
}

static void expect_squares(cfut_executor *ex, int n, const cfut_map_desc *desc)
{
    int *in = numbers(n), *out = calloc((size_t)n, sizeof *out);

    ck_assert_int_eq(square_map_with(ex, in, out, (size_t)n, desc), CFUT_OK);
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(out[i], in[i] * in[i]);
    free(in);
    free(out);
}

/* SEM 50: results in the order of the input. */
START_TEST(map_gives_results_in_input_order)
{
    cfut_executor *pool = test_pool();

    for (int n = 1; n < 70; n++)
        expect_squares(pool, n, NULL);
    expect_squares(pool, 100000, NULL);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* SEM 50: a million items. */
START_TEST(map_over_a_million_items_ends)
{
    cfut_executor *pool = test_pool();

    expect_squares(pool, 1000000, NULL);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* SEM 59: no items, whatever the arrays are. */
START_TEST(map_over_nothing_is_ok)
{
    cfut_executor *pool = test_pool();

    ck_assert_int_eq(square_map(pool, NULL, NULL, 0), CFUT_OK);
    ck_assert_int_eq(cfut_map(pool, &square_task, NULL, NULL, 0,
        &(cfut_map_desc){ .timeout = CFUT_MS(1), .caller_runs = true }), CFUT_OK);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

static int add_to(struct counter *const *c)
{
    counter_add(*c, 1);
    return CFUT_OK;
}
CFUT_ACTION(add_to, struct counter *);

/* SEM 52: CFUT_ACTION's map: each item runs once, without results. */
START_TEST(map_of_an_action_runs_each_item_once)
{
    enum { N = 500 };
    cfut_executor *pool = test_pool();
    struct counter c[N], *in[N];

    for (int i = 0; i < N; i++) {
        counter_init(&c[i]);
        in[i] = &c[i];
    }
    ck_assert_int_eq(add_to_map(pool, in, N), CFUT_OK);
    ck_assert_int_eq(add_to_map_with(pool, in, N, &(cfut_map_desc){ .chunksize = 7 }), CFUT_OK);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(counter_get(&c[i]), 2);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* SEM 50: on the executor that runs in the caller. */
START_TEST(map_on_inline_executor_gives_all_results)
{
    expect_squares(cfut_inline_executor(), 300, NULL);
    expect_squares(cfut_inline_executor(), 300,
                   &(cfut_map_desc){ .chunksize = 9, .caller_runs = true });
}
END_TEST

static int who(const int *i, pthread_t *thread)
{
    (void)i;
    *thread = pthread_self();
    return cfut_current() ? CFUT_OK : ENOENT;
}
CFUT_TASK(who, int, pthread_t);

/* Law 4: an outside thread runs nothing unless it asks to. */
START_TEST(map_from_outside_runs_in_workers_only)
{
    enum { N = 300 };
    cfut_executor *pool = test_pool();
    int in[N] = { 0 };
    pthread_t out[N];

    ck_assert_int_eq(who_map(pool, in, out, N), CFUT_OK);
    for (int i = 0; i < N; i++)
        ck_assert(!pthread_equal(out[i], pthread_self()));
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* ---- map: chunks ---- */

/* SEM 57: the items of a chunk run in one worker. */
START_TEST(map_with_chunksize_keeps_chunks_whole)
{
    enum { N = 1001 };
    cfut_executor *pool = test_pool();
    int in[N] = { 0 };
    pthread_t out[N];

    for (size_t chunk = 1; chunk < 40; chunk += 6) {
        ck_assert_int_eq(who_map_with(pool, in, out, N,
            &(cfut_map_desc){ .chunksize = chunk }), CFUT_OK);
        for (size_t i = 0; i < N; i++)
            ck_assert(pthread_equal(out[i], out[i - i % chunk]));
    }
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* For one map on two workers, the second held: item HUNGRY lets it go, when the
   first is in the midst of several chunks of short items. */
enum { CHUNK = 7, CHUNKS = 10, HUNGRY = 50 };

static int run_beside(struct hold *const *hold, pthread_t *thread)
{
    static int next;                /* items run in order until somebody steals */
    int i = __atomic_fetch_add(&next, 1, __ATOMIC_SEQ_CST);

    *thread = pthread_self();
    if (i == HUNGRY) {
        gate_open(&(*hold)->release);
        test_sleep(CFUT_MS(50));
    } else if (i > HUNGRY) {
        test_sleep(CFUT_MS(1));
    }
    return CFUT_OK;
}
CFUT_TASK(run_beside, struct hold *, pthread_t);

/* SEM 57: several chunks that ran in a row end with a chunk's end. */
START_TEST(map_split_while_short_chunks_run_keeps_chunks_whole)
{
    enum { N = CHUNK * CHUNKS };
    cfut_executor *pool = pool_of(2);
    struct hold hold, *in[N];
    occupy_future other;
    pthread_t out[N];

    for (int i = 0; i < N; i++)
        in[i] = &hold;
    hold_worker(pool, &other, &hold);
    ck_assert_int_eq(run_beside_map_with(pool, in, out, N,
        &(cfut_map_desc){ .chunksize = CHUNK }), CFUT_OK);
    for (int i = 0; i < N; i++)
        ck_assert(pthread_equal(out[i], out[i - i % CHUNK]));
    ck_assert_int_eq(occupy_result(&other), CFUT_OK);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* SEM 57: every size from one to more than there is. */
START_TEST(map_with_any_chunksize_gives_all_results)
{
    static const size_t sizes[] = { 1, 2, 3, 64, 999, 1000, 1001, SIZE_MAX / 2, SIZE_MAX };
    cfut_executor *pool = test_pool();

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        expect_squares(pool, 1000, &(cfut_map_desc){ .chunksize = sizes[i] });
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* ---- map: failures ---- */

static int odd_fails(const int *x, int *y)
{
    *y = *x;
    return *x % 2 ? cfut_fail(*x, "%d is odd", *x) : CFUT_OK;
}
CFUT_TASK(odd_fails, int, int);

/* SEM 53, rule D: it goes on after a failure and tells each item's status. */
START_TEST(map_with_failing_items_goes_on_and_tells_each)
{
    enum { N = 1000 };
    cfut_executor *pool = test_pool();
    int in[N], out[N] = { 0 }, status[N];

    for (int i = 0; i < N; i++)
        in[i] = N - i;
    memset(status, 0xA5, sizeof status);
    ck_assert_int_eq(odd_fails_map_with(pool, in, out, N,
        &(cfut_map_desc){ .status = status }), N - 1);
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(out[i], in[i]);
        ck_assert_int_eq(status[i], in[i] % 2 ? in[i] : 0);
    }
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* SEM 53: the first failure in index order, not in time. */
START_TEST(map_returns_first_failure_in_index_order)
{
    enum { N = 200 };
    cfut_executor *pool = test_pool();
    int in[N], out[N];

    for (int first = 0; first < N; first += 13) {
        for (int i = 0; i < N; i++)
            in[i] = i < first ? 0 : 2 * i + 1;
        ck_assert_int_eq(odd_fails_map(pool, in, out, N), 2 * first + 1);
    }
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* SEM 57: one failure does not fail the rest of its chunk. */
START_TEST(map_with_failure_in_a_chunk_runs_the_rest_of_it)
{
    int in[6] = { 0, 3, 2, 4, 5, 6 }, out[6] = { 0 }, status[6];
    cfut_executor *pool = test_pool();
    cfut_map_desc desc = { .chunksize = 6, .status = status };

    ck_assert_int_eq(odd_fails_map_with(pool, in, out, 6, &desc), 3);
    for (int i = 0; i < 6; i++) {
        ck_assert_int_eq(out[i], in[i]);
        ck_assert_int_eq(status[i], in[i] % 2 ? in[i] : 0);
    }
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

static int hand_on(const int *status, int *out)
{
    *out = *status;
    return *status;
}
CFUT_TASK(hand_on, int, int);

/* SEM 18: an item's own time-out is not the map's. */
START_TEST(map_with_item_that_returns_timeout_says_etimedout)
{
    int in[3] = { 0, CFUT_TIMEOUT, CFUT_CANCELLED }, out[3], status[3];
    cfut_executor *pool = test_pool();

    ck_assert_int_eq(hand_on_map_with(pool, in, out, 3,
        &(cfut_map_desc){ .status = status }), ETIMEDOUT);
    ck_assert_int_eq(status[0], CFUT_OK);
    ck_assert_int_eq(status[1], ETIMEDOUT);
    ck_assert_int_eq(status[2], CFUT_CANCELLED);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

static int leave_at_seven(const int *i, int *out)
{
    *out = *i;
    if (*i == 7)
        pthread_exit(NULL);
    return CFUT_OK;
}
CFUT_TASK(leave_at_seven, int, int);

/* SEM 20, 53: an item that ends its thread takes the rest of that thread's share
   with it; the others run, and each status is told. */
START_TEST(map_with_item_that_exits_its_thread_ends)
{
    enum { N = 60 };
    cfut_executor *pool = test_pool();
    int *in = numbers(N), out[N], status[N];

    for (size_t chunk = 0; chunk <= 64; chunk = chunk * 4 + 1) {
        cfut_map_desc desc = { .chunksize = chunk, .status = status };

        memset(out, 0xA5, sizeof out);
        memset(status, 0xA5, sizeof status);
        ck_assert_int_eq(leave_at_seven_map_with(pool, in, out, N, &desc), CFUT_ABANDONED);
        ck_assert_int_eq(status[7], CFUT_ABANDONED);
        for (int i = 0; i < N; i++) {
            ck_assert(status[i] == CFUT_OK || (i >= 7 && status[i] == CFUT_ABANDONED));
            ck_assert(out[i] == i || status[i] == CFUT_ABANDONED);
        }
    }
    free(in);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* An item that ends the thread of a map's caller, which takes part. */
struct shared_map {
    cfut_executor *pool;
    bool caller_runs;
    int status[60];
};

static void *share_and_leave(void *arg)
{
    struct shared_map *l = arg;
    int in[60], out[60];

    for (int i = 0; i < 60; i++)
        in[i] = i;
    leave_at_seven_map_with(l->pool, in, out, 60,
        &(cfut_map_desc){ .chunksize = 20, .caller_runs = l->caller_runs, .status = l->status });
    return NULL;
}

/* Item 7 ended the thread; from that one on they had run before. */
static void expect_lost_at_seven(const struct shared_map *l, int ran)
{
    for (int i = 0; i < 60; i++)
        ck_assert_int_eq(l->status[i], i < 7 || i >= ran ? CFUT_OK
                                       : i < 20 ? CFUT_ABANDONED : CFUT_CANCELLED);
}

static void expect_statuses_of_a_lost_map(cfut_executor *ex, bool caller_runs, int ran)
{
    struct shared_map l = { .pool = ex, .caller_runs = caller_runs };

    memset(l.status, 0xA5, sizeof l.status);
    ck_assert_int_eq(pthread_join(thread_start(share_and_leave, &l), NULL), 0);
    expect_lost_at_seven(&l, ran);
}

/* SEM 20, 53: the statuses say so, too, where nobody is left to be told more. */
START_TEST(map_whose_caller_runs_an_item_that_ends_its_thread_says_which)
{
    struct busy_pool b;

    expect_statuses_of_a_lost_map(busy_pool_open(&b), true, 60);
    busy_pool_end(&b);
}
END_TEST

/* Keeps one task, and runs the others within submit: each with its own items first. */
static cfut_future *kept_by_executor;

static int keep_or_run(cfut_executor *ex, cfut_future *f)
{
    (void)ex;
    if (kept_by_executor)
        cfut_run(f);
    else
        kept_by_executor = f;
    return CFUT_OK;
}

static bool give_back(cfut_executor *ex, cfut_future *f)
{
    (void)ex;
    if (kept_by_executor != f)
        return false;
    kept_by_executor = NULL;
    return true;
}

static size_t two_workers(const cfut_executor *ex)
{
    (void)ex;
    return 2;
}

static const cfut_executor_ops keeper_ops = {
    .name = "Keeper", .submit = keep_or_run, .cancel = give_back, .max_workers = two_workers
};

/* SEM 20, 53: nor does an executor keep a part of the map, on a stack that is gone. */
START_TEST(map_whose_submit_runs_an_item_that_ends_its_thread_leaves_nothing)
{
    cfut_executor keeper = { .ops = &keeper_ops };

    expect_statuses_of_a_lost_map(cfut_inline_executor(), false, 60);
    expect_statuses_of_a_lost_map(&keeper, false, 40);
    ck_assert_ptr_null(kept_by_executor);
    expect_statuses_of_a_lost_map(&keeper, true, 40);
    ck_assert_ptr_null(kept_by_executor);
}
END_TEST

/* In a worker of another pool. */
static int share_and_leave_in_task(struct shared_map *const *l)
{
    share_and_leave(*l);
    return CFUT_OK;
}
CFUT_ACTION(share_and_leave_in_task, struct shared_map *);

static void expect_only_a_task_lost(cfut_executor *ex, bool caller_runs, int ran)
{
    cfut_executor *pool = pool_of(1);
    struct shared_map l = { .pool = ex, .caller_runs = caller_runs };
    share_and_leave_in_task_future f;

    memset(l.status, 0xA5, sizeof l.status);
    share_and_leave_in_task_submit(pool, &f, &l);
    ck_assert_int_eq(share_and_leave_in_task_result(&f), CFUT_ABANDONED);
    expect_lost_at_seven(&l, ran);
    expect_squares(pool, 10, NULL);
    end_pool(pool);
}

/* SEM 20: then the task is lost, too, and its worker is replaced; also where an executor
   runs the items within submit. */
START_TEST(map_whose_caller_runs_in_a_worker_and_ends_it_loses_nothing_else)
{
    cfut_executor keeper = { .ops = &keeper_ops };
    struct busy_pool b;

    expect_only_a_task_lost(busy_pool_open(&b), true, 60);
    busy_pool_end(&b);
    expect_only_a_task_lost(cfut_inline_executor(), false, 60);
    expect_only_a_task_lost(&keeper, false, 40);
    ck_assert_ptr_null(kept_by_executor);
}
END_TEST

static cfut_executor *where_it_ended;

static void note_where_the_thread_is(void *arg)
{
    (void)arg;
    where_it_ended = cfut_current();
}

static void *share_leave_and_note(void *shared_map)
{
    pthread_cleanup_push(note_where_the_thread_is, NULL);
    share_and_leave(shared_map);
    pthread_cleanup_pop(false);
    return NULL;
}

/* SEM 20: a thread that ends is in no task any more when its own clean-up comes. */
START_TEST(map_whose_caller_runs_and_ends_its_thread_is_left_behind)
{
    struct busy_pool b;
    struct shared_map l = { .pool = busy_pool_open(&b), .caller_runs = true };

    where_it_ended = l.pool;
    ck_assert_int_eq(pthread_join(thread_start(share_leave_and_note, &l), NULL), 0);
    ck_assert_ptr_null(where_it_ended);
    busy_pool_end(&b);
}
END_TEST

/* ---- map: mistakes and refusals ---- */

/* NULL where an array is needed, and a product that no memory could hold. */
START_TEST(map_with_bad_arguments_is_invalid)
{
    cfut_executor *pool = test_pool();
    int in[4] = { 1, 2, 3, 4 }, out[4];

    ck_assert_int_eq(square_map(pool, NULL, out, 4), CFUT_INVALID);
    ck_assert_int_eq(square_map(pool, in, NULL, 4), CFUT_INVALID);
    ck_assert_int_eq(cfut_map(pool, NULL, in, out, 4, NULL), CFUT_INVALID);
    ck_assert_int_eq(square_map(NULL, in, out, 4), CFUT_INVALID);
    ck_assert_int_eq(square_map(pool, in, out, SIZE_MAX), CFUT_INVALID);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

static void expect_refusal(cfut_executor *ex, int reason, bool caller_runs)
{
    int in[5] = { 1, 2, 3, 4, 5 }, out[5], status[5] = { 0 };
    cfut_map_desc desc = { .status = status, .caller_runs = caller_runs };

    ck_assert_int_eq(square_map_with(ex, in, out, 5, &desc), reason);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(status[i], reason);
}

/* SEM 61: a refused submit is the status of all items. */
START_TEST(map_on_closed_pool_is_refused)
{
    cfut_executor *pool = test_pool();

    cfut_close(pool, CFUT_DRAIN);
    expect_refusal(pool, CFUT_CLOSED, false);
    cfut_shutdown(pool, CFUT_DRAIN);
    expect_refusal(pool, CFUT_CLOSED, false);
    expect_refusal(cfut_process_pool(NULL), HARNESS_NO_PROCESS_POOL, false);
    expect_refusal(cfut_thread_pool(&(cfut_thread_pool_desc){ .max_workers = -1 }),
                   CFUT_INVALID, false);
}
END_TEST

/* ---- map: timeout ---- */

struct lingerer { struct counter *started; int until_stopped; };

/* Runs until it is asked to stop. */
static int linger(const struct lingerer *l, int *out)
{
    counter_add(l->started, 1);
    while (l->until_stopped && !cfut_stop_requested())
        test_sleep(CFUT_US(200));
    *out = 1;
    return l->until_stopped ? EINTR : CFUT_OK;
}
CFUT_TASK(linger, struct lingerer, int);

/* Maps linger over n items, of which the first quick ones return at once. */
static int linger_map_timed(cfut_executor *pool, struct counter *started, int n, int quick,
                            cfut_map_desc *desc)
{
    struct lingerer *in = calloc((size_t)n, sizeof *in);
    int *out = calloc((size_t)n, sizeof *out), status;

    counter_init(started);
    for (int i = 0; i < n; i++)
        in[i] = (struct lingerer){ started, i >= quick };
    status = linger_map_with(pool, in, out, (size_t)n, desc);
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(out[i], desc->status[i] != CFUT_CANCELLED);
    free(in);
    free(out);
    return status;
}

/* SEM 54, 55: what runs is asked to stop, what waits is cancelled. */
START_TEST(map_when_time_runs_out_cancels_the_rest)
{
    enum { N = 200 };
    cfut_executor *pool = test_pool();
    struct counter started;
    int status[N], stopped = 0;
    cfut_map_desc desc = { .status = status, .timeout = test_time(CFUT_MS(150)) };

    ck_assert_int_eq(linger_map_timed(pool, &started, N, 0, &desc), CFUT_TIMEOUT);
    for (int i = 0; i < N; i++) {
        ck_assert(status[i] == EINTR || status[i] == CFUT_CANCELLED);
        stopped += status[i] == EINTR;
    }
    ck_assert_int_eq(stopped, counter_get(&started));
    ck_assert_int_ge(stopped, 1);
    ck_assert_int_le(stopped, test_workers());
    expect_squares(pool, 1000, NULL);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* SEM 54: what was done before keeps its result. */
START_TEST(map_when_time_runs_out_keeps_what_was_done)
{
    enum { N = 40, QUICK = 5 };
    cfut_executor *pool = test_pool();
    struct counter started;
    int status[N];
    cfut_map_desc desc = { .status = status, .timeout = test_time(CFUT_MS(50)) };

    ck_assert_int_eq(linger_map_timed(pool, &started, N, QUICK, &desc), CFUT_TIMEOUT);
    for (int i = 0; i < N; i++)
        ck_assert(status[i] == CFUT_CANCELLED || status[i] == (i < QUICK ? CFUT_OK : EINTR));
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* SEM 55: a chunk is left where it is. */
START_TEST(map_when_time_runs_out_inside_a_chunk_leaves_it)
{
    enum { N = 40 };
    cfut_executor *pool = test_pool();
    struct counter started;
    int status[N];
    cfut_map_desc desc = { .status = status, .timeout = test_time(CFUT_MS(100)), .chunksize = N };

    ck_assert_int_eq(linger_map_timed(pool, &started, N, 0, &desc), CFUT_TIMEOUT);
    ck_assert_int_eq(counter_get(&started), 1);
    ck_assert_int_eq(status[0], EINTR);
    for (int i = 1; i < N; i++)
        ck_assert_int_eq(status[i], CFUT_CANCELLED);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* SEM 55: nothing has started: all is cancelled, while the workers stay busy. */
START_TEST(map_when_time_runs_out_before_the_start_returns)
{
    enum { N = 30 };
    cfut_executor *pool = test_pool();
    struct counter started;
    struct crew crew;
    int status[N];
    cfut_map_desc desc = { .status = status, .timeout = CFUT_MS(5) };

    crew_block(&crew, pool, test_workers());
    ck_assert_int_eq(linger_map_timed(pool, &started, N, 0, &desc), CFUT_TIMEOUT);
    ck_assert_int_eq(counter_get(&started), 0);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(status[i], CFUT_CANCELLED);
    crew_release(&crew);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* SEM 54: enough time: no sign of the limit. */
START_TEST(map_within_its_time_is_ok)
{
    cfut_executor *pool = test_pool();

    expect_squares(pool, 1000, &(cfut_map_desc){ .timeout = CFUT_SEC(100) });
    expect_squares(pool, 1000, &(cfut_map_desc){ .timeout = CFUT_FOREVER });
    expect_squares(pool, 1000, &(cfut_map_desc){ .timeout = CFUT_FOREVER - 1 });
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* SEM 54: the caller that takes part notices the time too. */
START_TEST(map_whose_caller_runs_stops_when_time_runs_out)
{
    enum { N = 30 };
    cfut_executor *pool = test_pool();
    struct counter started;
    struct crew crew;
    int status[N];
    cfut_map_desc desc = { .status = status, .timeout = CFUT_MS(20), .caller_runs = true };

    crew_block(&crew, pool, test_workers());
    ck_assert_int_eq(linger_map_timed(pool, &started, N, 0, &desc), CFUT_TIMEOUT);
    ck_assert_int_le(counter_get(&started), 1);
    crew_release(&crew);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* ---- map: who runs what ---- */

static int pass_time(const void *in, void *out)
{
    (void)in;
    (void)out;
    test_sleep(CFUT_US(10));
    return CFUT_OK;
}

/* What is left is not gone through one by one: so many would take for ever. */
START_TEST(map_of_no_end_of_items_stops_when_time_runs_out)
{
    static const cfut_task pass_time_task = { pass_time, "pass_time", 0, 0 };
    cfut_executor *pool = test_pool();
    size_t n = SIZE_MAX / 64;

    for (int i = 0; i < 3; i++) {
        cfut_map_desc desc = { .timeout = CFUT_MS(5), .caller_runs = i == 1 };

        ck_assert_int_eq(cfut_map(i == 2 ? cfut_inline_executor() : pool, &pass_time_task, NULL,
                                  NULL, n, &desc), CFUT_TIMEOUT);
    }
    end_pool(pool);
}
END_TEST

/* The caller alone does all when every worker is busy. */
START_TEST(map_whose_caller_runs_needs_no_worker)
{
    enum { N = 400 };
    cfut_executor *pool = test_pool();
    struct crew crew;
    int in[N] = { 0 };
    pthread_t out[N];

    crew_block(&crew, pool, test_workers());
    for (int chunk = 0; chunk < 30; chunk += 7) {
        cfut_map_desc desc = { .caller_runs = true, .chunksize = (size_t)chunk };
        int status = who_map_with(pool, in, out, N, &desc);

        ck_assert(status == CFUT_OK || status == ENOENT);
        for (int i = 0; i < N; i++)
            ck_assert(pthread_equal(out[i], pthread_self()));
    }
    crew_release(&crew);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* With free workers both take part, and nothing is run twice. */
START_TEST(map_whose_caller_runs_gives_all_results)
{
    cfut_executor *pool = test_pool();

    for (int round = 0; round < 200; round++)
        expect_squares(pool, 100, &(cfut_map_desc){ .caller_runs = true });
    expect_squares(pool, 200000, &(cfut_map_desc){ .caller_runs = true });
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

static int spin_for(const int *us, int *out)
{
    cfut_ns end = test_now() + CFUT_US(*us);

    while (test_now() < end) {}
    *out = *us;
    return CFUT_OK;
}
CFUT_TASK(spin_for, int, int);

struct skew { struct counter *others; int slow, i, n; };

/* The slow item ends when n others have ended. */
static int skewed(const struct skew *s, int *out)
{
    if (s->i == s->slow)
        counter_wait(s->others, s->n);
    else
        counter_add(s->others, 1);
    *out = s->i;
    return CFUT_OK;
}
CFUT_TASK(skewed, struct skew, int);

/* A slow item holds up that many others at most. */
static void expect_skewed(cfut_executor *pool, int slow, int held, bool caller_runs)
{
    enum { N = 100 };
    struct counter others;
    struct skew in[N];
    int out[N];

    counter_init(&others);
    for (int i = 0; i < N; i++)
        in[i] = (struct skew){ &others, slow, i, N - 1 - held };
    ck_assert_int_eq(skewed_map_with(pool, in, out, N,
        &(cfut_map_desc){ .caller_runs = caller_runs }), CFUT_OK);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(out[i], i);
}

/* SEM 50: a slow first item holds up no other, as the rest was forked before. */
START_TEST(map_with_a_slow_first_item_does_the_others_meanwhile)
{
    cfut_executor *pool = pool_of_two();

    for (int round = 0; round < 20; round++)
        expect_skewed(pool, 0, 0, false);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* SEM 50: who is in it has taken no more with it than a quarter of a third. */
START_TEST(map_whose_caller_runs_with_a_slow_item_does_the_others_meanwhile)
{
    cfut_executor *pool = pool_of_two();

    for (int slow = 0; slow < 100; slow += 9)
        expect_skewed(pool, slow, 100 / 12, true);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

static int meet(struct counter *const *met, int *out)
{
    counter_add(*met, 1);
    counter_wait(*met, 21);
    *out = 1;
    return CFUT_OK;
}
CFUT_TASK(meet, struct counter *, int);

/* One item each. */
START_TEST(map_whose_caller_runs_has_twenty_workers_take_part)
{
    cfut_executor *pool = pool_of(20);
    struct counter met;
    struct counter *in[21];
    int out[21];

    counter_init(&met);
    for (int i = 0; i < 21; i++) in[i] = &met;
    ck_assert_int_eq(meet_map_with(pool, in, out, 21, &(cfut_map_desc){ .caller_runs = true }),
                     CFUT_OK);
    end_pool(pool);
}
END_TEST

/* SEM 50: costs from nothing to a millisecond. */
/* Shorter than a map begins quietly. */
START_TEST(map_with_next_to_no_time_ends)
{
    cfut_executor *pool = test_pool();
    int in[8] = { 0 }, out[8], status[8];
    cfut_map_desc desc = { .timeout = 1, .status = status };

    for (int round = 0; round < 50; round++) {
        int result = square_map_with(pool, in, out, 8, &desc);

        ck_assert_int_eq(result, CFUT_TIMEOUT);
        for (int i = 0; i < 8; i++)
            ck_assert(status[i] == CFUT_OK || status[i] == CFUT_CANCELLED);
    }
    end_pool(pool);
}
END_TEST

static int beginners;

static int begin_and_fail(void *arg)
{
    (void)arg;
    __atomic_add_fetch(&beginners, 1, __ATOMIC_RELAXED);
    return 1;
}

/* SEM 61: whatever the thread's last submit before needed. */
START_TEST(map_when_refused_starts_no_thread)
{
    cfut_executor *pool = cfut_thread_pool(&(cfut_thread_pool_desc){
        .max_workers = 8, .initializer = begin_and_fail });
    int in[8] = { 0 }, out[8], before;

    ck_assert_int_eq(square_map(pool, in, out, 8), CFUT_BROKEN);
    test_sleep(CFUT_MS(10));
    before = __atomic_load_n(&beginners, __ATOMIC_RELAXED);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(square_map(pool, in, out, 8), CFUT_BROKEN);
    end_pool(pool);
    ck_assert_int_eq(__atomic_load_n(&beginners, __ATOMIC_RELAXED), before);
}
END_TEST

static pthread_t ran_in[6];

static int last_four_take_long(const int *i, int *out)
{
    ran_in[*i] = pthread_self();
    if (*i >= 2) test_sleep(CFUT_MS(100));
    *out = *i;
    return CFUT_OK;
}
CFUT_TASK(last_four_take_long, int, int);

/* SEM 50: the first items do not say that the last ones are short. */
START_TEST(map_of_cheap_items_and_then_dear_ones_shares_the_dear_ones)
{
    cfut_executor *pool = pool_of(4);
    int in[6] = { 0, 1, 2, 3, 4, 5 }, out[6];

    expect_squares(pool, 6, NULL);
    for (int round = 0; round < 3; round++) {
        ck_assert_int_eq(last_four_take_long_map(pool, in, out, 6), CFUT_OK);
        ck_assert(!pthread_equal(ran_in[2], ran_in[3]) || !pthread_equal(ran_in[4], ran_in[5]) ||
                  !pthread_equal(ran_in[2], ran_in[5]));
    }
    end_pool(pool);
}
END_TEST

struct two_pools { cfut_executor *here, *there; int inner; };

static int square_there(struct two_pools *const *pools, int *out)
{
    int in = 3;

    return square_map((*pools)->there, &in, out, 1);
}
CFUT_TASK(square_there, struct two_pools *, int);

static int map_there(struct two_pools *const *pools, int *out)
{
    struct two_pools back = { (*pools)->there, (*pools)->here, 0 }, *in = &back;

    (*pools)->inner = square_there_map(back.here, &in, out, 1);
    return CFUT_OK;
}
CFUT_TASK(map_there, struct two_pools *, int);

/* SEM 81: the innermost map would wait for the task that it is in. */
START_TEST(map_in_a_circle_of_pools_is_told_of_the_deadlock)
{
    struct two_pools pools = { pool_of(1), pool_of(1), 0 }, *in = &pools;
    int out;

    ck_assert_int_eq(map_there_map(pools.here, &in, &out, 1), CFUT_OK);
    ck_assert_int_eq(pools.inner, CFUT_DEADLOCK);
    end_pool(pools.here);
    end_pool(pools.there);
}
END_TEST

/* Two items of a task's map: the one on its own thread goes on once the other waits for
   the task. */
struct met_map {
    cfut_executor *there;
    cfut_future *task;
    pthread_t mapper;
    thread_number other;
    int told;
};

static int return_or_await_task(struct met_map *const *in)
{
    struct met_map *m = *in;

    if (pthread_equal(pthread_self(), m->mapper)) {
        await_asleep(&m->other);
        return CFUT_OK;
    }
    announce_thread(&m->other);
    return m->told = cfut_result(m->task);
}
CFUT_ACTION(return_or_await_task, struct met_map *);

static int map_with_other(struct met_map *const *in)
{
    struct met_map *m = *in, *items[2] = { m, m };

    m->mapper = pthread_self();
    return return_or_await_task_map_with(m->there, items, 2,
                                         &(cfut_map_desc){ .caller_runs = true });
}
CFUT_ACTION(map_with_other, struct met_map *);

/* SEM 81: the map must wait for what runs; the item that waits for its task is told. */
START_TEST(map_whose_item_elsewhere_waits_for_its_task_is_told_of_the_deadlock)
{
    cfut_executor *here = pool_of(1), *there = pool_of(1);
    map_with_other_future f;
    struct met_map m = { .there = there, .task = &f.base };

    map_with_other_submit(here, &f, &m);
    ck_assert_int_eq(map_with_other_result(&f), CFUT_DEADLOCK);
    ck_assert_int_eq(m.told, CFUT_DEADLOCK);
    end_pool(here);
    end_pool(there);
}
END_TEST

static int stay_and_tell(const int *ms, int *told)
{
    test_sleep(CFUT_MS(*ms));
    *told = cfut_stop_requested();
    return CFUT_OK;
}
CFUT_TASK(stay_and_tell, int, int);

/* SEM 5: the caller is through with its share, and workers are not. */
START_TEST(map_whose_caller_runs_asks_no_worker_to_stop)
{
    cfut_executor *pool = pool_of(2);
    int in[9] = { 5, 20, 40, 5, 20, 40, 5, 20, 40 }, told[9];

    for (int round = 0; round < 3; round++) {
        ck_assert_int_eq(stay_and_tell_map_with(pool, in, told, 9,
                             &(cfut_map_desc){ .chunksize = 1, .caller_runs = true }), CFUT_OK);
        for (int i = 0; i < 9; i++)
            ck_assert_int_eq(told[i], 0);
    }
    end_pool(pool);
}
END_TEST

static int begin_and_take_a_moment(struct gate *const *begun, int *out)
{
    gate_open(*begun);
    test_sleep(CFUT_MS(2));
    *out = 1;
    return cfut_stop_requested() ? ECANCELED : CFUT_OK;     /* nobody asks what runs */
}
CFUT_TASK(begin_and_take_a_moment, struct gate *, int);

/* SEM 50: nobody parks who could be woken for it: the first who is through begins. */
START_TEST(map_while_all_workers_are_busy_begins_later)
{
    for (int workers = 2; workers <= 3; workers++) {
        cfut_executor *pool = pool_of(workers);
        begin_and_take_a_moment_future f[3];
        struct gate begun[3];

        for (int i = 0; i < workers; i++) {
            gate_init(&begun[i]);
            begin_and_take_a_moment_submit(pool, &f[i], &begun[i]);
        }
        for (int i = 0; i < workers; i++)
            gate_wait(&begun[i]);
        expect_squares(pool, 100, NULL);
        for (int i = 0; i < workers; i++)
            ck_assert_int_eq(begin_and_take_a_moment_result(&f[i]), CFUT_OK);
        end_pool(pool);
    }
}
END_TEST

struct map_to_cut {
    cfut_executor *pool;
    struct gate begun;
    int result, status[1000];
};

static void *run_map_to_cut(void *arg)
{
    enum { N = 1000 };
    struct map_to_cut *m = arg;
    struct gate *in[N];
    int out[N];

    for (int i = 0; i < N; i++)
        in[i] = &m->begun;
    m->result = begin_and_take_a_moment_map_with(m->pool, in, out, N,
                                                 &(cfut_map_desc){ .status = m->status });
    return NULL;
}

/* SEM 69: what has not started is cancelled, however many workers there are. */
START_TEST(map_when_its_pool_is_closed_with_cancel_pending_is_cut)
{
    for (int workers = 1; workers <= 2; workers++) {
        static struct map_to_cut m;
        pthread_t thread;
        int ran = 0, cancelled = 0;

        m.pool = pool_of(workers);
        gate_init(&m.begun);
        thread = thread_start(run_map_to_cut, &m);
        gate_wait(&m.begun);
        cfut_close(m.pool, CFUT_CANCEL_PENDING);
        thread_end(thread);
        ck_assert_int_eq(m.result, CFUT_CANCELLED);
        for (int i = 0; i < 1000; i++) {
            ran += m.status[i] == CFUT_OK;
            cancelled += m.status[i] == CFUT_CANCELLED;
        }
        ck_assert_int_ge(ran, 1);
        ck_assert_int_ge(cancelled, 1);
        ck_assert_int_eq(ran + cancelled, 1000);
        end_pool(m.pool);
    }
}
END_TEST

/* The half that the second worker took has parts that the first one runs at its join:
   items 2 and 3 are under way at once. */
static struct gate half_begun[4];

static int meets_in_the_upper_half(const int *i, int *out)
{
    gate_open(&half_begun[*i]);
    if (*i == 1) gate_wait(&half_begun[2]);
    if (*i == 2) gate_wait(&half_begun[3]);
    *out = *i;
    return CFUT_OK;
}
CFUT_TASK(meets_in_the_upper_half, int, int);

START_TEST(map_whose_upper_half_is_dear_is_helped_by_who_has_done_the_lower)
{
    cfut_executor *pool = pool_of(2);
    int in[4] = { 0, 1, 2, 3 }, out[4];

    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 4; i++)
            gate_init(&half_begun[i]);
        ck_assert_int_eq(meets_in_the_upper_half_map(pool, in, out, 4), CFUT_OK);
        ck_assert_int_eq(out[3], 3);
    }
    end_pool(pool);
}
END_TEST

/* The same, but the part that the first worker runs at its join ends its thread. */
static int leaves_in_the_upper_half(const int *i, int *out)
{
    meets_in_the_upper_half(i, out);
    if (*i == 3)
        pthread_exit(NULL);
    return CFUT_OK;
}
CFUT_TASK(leaves_in_the_upper_half, int, int);

START_TEST(map_whose_helper_ends_its_thread_ends)
{
    cfut_executor *pool = pool_of(2);
    int in[4] = { 0, 1, 2, 3 }, out[4], status[4];
    cfut_map_desc desc = { .status = status };

    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 4; i++)
            gate_init(&half_begun[i]);
        ck_assert_int_eq(leaves_in_the_upper_half_map_with(pool, in, out, 4, &desc),
                         CFUT_ABANDONED);
        ck_assert_int_eq(status[2], CFUT_OK);
        ck_assert_int_eq(status[3], CFUT_ABANDONED);
    }
    end_pool(pool);
}
END_TEST

START_TEST(map_with_skewed_costs_gives_all_results)
{
    enum { N = 400 };
    cfut_executor *pool = test_pool();
    uint64_t seed = 7;
    int in[N], out[N];

    for (int i = 0; i < N; i++)
        in[i] = next_random(&seed) % 16 ? 0 : (int)(next_random(&seed) % 1000);
    ck_assert_int_eq(spin_for_map(pool, in, out, N), CFUT_OK);
    ck_assert_mem_eq(in, out, sizeof in);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* ---- map: inside tasks ---- */

static int sum_squares(const int *n, long *sum)
{
    int in[200], out[200], status;

    for (int i = 0; i < *n; i++)
        in[i] = i;
    status = square_map(cfut_current(), in, out, (size_t)*n);
    *sum = 0;
    for (int i = 0; i < *n; i++)
        *sum += out[i];
    return status;
}
CFUT_TASK(sum_squares, int, long);

/* A map of maps. */
static int sum_of_sums(const int *n, long *sum)
{
    int in[50];
    long out[50];
    int status;

    for (int i = 0; i < *n; i++)
        in[i] = 100 + i;
    status = sum_squares_map(cfut_current(), in, out, (size_t)*n);
    *sum = 0;
    for (int i = 0; i < *n; i++)
        *sum += out[i];
    return status;
}
CFUT_TASK(sum_of_sums, int, long);

static long expected_sum_of_sums(int n)
{
    long sum = 0;

    for (int i = 0; i < n; i++)
        for (int k = 0; k < 100 + i; k++)
            sum += (long)k * k;
    return sum;
}

static void expect_nested(cfut_executor *pool)
{
    enum { N = 12 };
    int in[N];
    long out[N];

    for (int i = 0; i < N; i++)
        in[i] = 1 + 4 * i;
    ck_assert_int_eq(sum_of_sums_map(pool, in, out, N), CFUT_OK);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(out[i], expected_sum_of_sums(in[i]));
}

/* SEM 81: three levels of maps with a single worker. */
START_TEST(map_nested_with_one_worker_ends)
{
    cfut_executor *pool = pool_of(1);

    expect_nested(pool);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* SEM 81: and with any number. */
START_TEST(map_nested_in_a_pool_ends)
{
    cfut_executor *pool = test_pool();

    for (int i = 0; i < 5; i++)
        expect_nested(pool);
    expect_nested(cfut_inline_executor());
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

struct foreign { cfut_executor *pool; int n; };

static int map_elsewhere(const struct foreign *in, long *sum)
{
    int numbers_in[100], out[100], status;

    for (int i = 0; i < in->n; i++)
        numbers_in[i] = i;
    status = square_map(in->pool, numbers_in, out, (size_t)in->n);
    *sum = 0;
    for (int i = 0; i < in->n; i++)
        *sum += out[i];
    return status;
}
CFUT_TASK(map_elsewhere, struct foreign, long);

/* SEM 39: a task of one pool maps on another. */
START_TEST(map_on_another_pool_inside_a_task_ends)
{
    cfut_executor *pool = test_pool(), *other = test_pool();
    map_elsewhere_future f[20];

    for (int i = 0; i < 20; i++)
        map_elsewhere_submit(pool, &f[i], (struct foreign){ other, 100 });
    for (int i = 0; i < 20; i++) {
        ck_assert_int_eq(map_elsewhere_result(&f[i]), CFUT_OK);
        ck_assert_int_eq(f[i].out, 99 * 100 * 199 / 6);
    }
    cfut_shutdown(pool, CFUT_DRAIN);
    cfut_shutdown(other, CFUT_DRAIN);
}
END_TEST

/* ---- map: the pool closes ---- */

struct closer {
    cfut_executor *pool;
    struct counter *started;
    struct gate *closed;
    int how;
};

static int wait_closed(const struct closer *c, int *out)
{
    counter_add(c->started, 1);
    gate_wait(c->closed);
    *out = 1;
    return CFUT_OK;
}
CFUT_TASK(wait_closed, struct closer, int);

static void *closer_run(void *arg)
{
    struct closer *c = arg;

    counter_wait(c->started, 1);
    cfut_close(c->pool, c->how);
    gate_open(c->closed);
    return NULL;
}

/* Maps while another thread closes the pool; how many items have run. */
static int map_while_closing(int how, int *status, int n)
{
    struct closer *in = calloc((size_t)n, sizeof *in), c;
    int *out = calloc((size_t)n, sizeof *out), ran = 0;
    struct counter started;
    struct gate closed;
    pthread_t thread;

    counter_init(&started);
    gate_init(&closed);
    c = (struct closer){ test_pool(), &started, &closed, how };
    for (int i = 0; i < n; i++)
        in[i] = c;
    thread = start_thread(closer_run, &c);
    wait_closed_map_with(c.pool, in, out, (size_t)n, &(cfut_map_desc){ .status = status });
    for (int i = 0; i < n; i++)
        ran += out[i];
    end_thread(thread);
    cfut_shutdown(c.pool, how);
    free(in);
    free(out);
    return ran;
}

/* SEM 66: a draining pool finishes the map. */
START_TEST(map_under_way_when_the_pool_drains_ends_well)
{
    int status[100];

    ck_assert_int_eq(map_while_closing(CFUT_DRAIN, status, 100), 100);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(status[i], CFUT_OK);
}
END_TEST

/* SEM 53, 67: a cancelling close cancels the rest, and the map returns. */
START_TEST(map_under_way_when_the_pool_cancels_ends)
{
    int status[100], ran, good = 0;

    ran = map_while_closing(CFUT_CANCEL_PENDING, status, 100);
    for (int i = 0; i < 100; i++) {
        ck_assert(status[i] == CFUT_OK || status[i] == CFUT_CANCELLED || status[i] == CFUT_CLOSED);
        good += status[i] == CFUT_OK;
    }
    ck_assert_int_eq(good, ran);
    ck_assert_int_ge(ran, 1);
}
END_TEST

/* ---- stream: the feed ---- */

/* Counts up to end; with an error, instead of the item error_at. */
struct feed {
    int next, end, error_at, error, pulls;
    pthread_t thread;
};

static struct feed feed_of(int end)
{
    return (struct feed){ .end = end, .error_at = -1, .thread = pthread_self() };
}

static int pull_int(void *user, void *in)
{
    struct feed *feed = user;

    ck_assert(pthread_equal(feed->thread, pthread_self()));
    feed->pulls++;
    if (feed->next == feed->error_at)
        return feed->error;
    if (feed->next == feed->end)
        return CFUT_END;
    *(int *)in = feed->next++;
    return CFUT_OK;
}

/* ---- stream: order ---- */

/* SEM 50, 58: results in the order of the input. */
START_TEST(stream_yields_in_input_order)
{
    cfut_executor *pool = test_pool();

    for (int size = 0; size < 40; size += 3) {
        struct feed feed = feed_of(500);
        cfut_stream *s = cfut_stream_open(pool, &square_task, pull_int, &feed,
                                          &(cfut_stream_desc){ .buffersize = size });

        for (int i = 0; i < 500; i++) {
            int out = -1;

            ck_assert_int_eq(cfut_stream_next(s, &out), CFUT_OK);
            ck_assert_int_eq(out, i * i);
            ck_assert_uint_eq(cfut_stream_index(s), (size_t)i);
        }
        ck_assert_int_eq(cfut_stream_next(s, NULL), CFUT_END);
        ck_assert_int_eq(cfut_stream_next(s, NULL), CFUT_END);
        cfut_stream_close(s);
    }
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

static struct gate first_has_begun, first_may_end;

/* Item 0 waits until the test lets it go. */
static int first_waits(const int *i, int *out)
{
    if (*i == 0) {
        gate_open(&first_has_begun);
        gate_wait(&first_may_end);
    }
    *out = *i;
    return CFUT_OK;
}
CFUT_TASK(first_waits, int, int);

/* SEM 43, 58: as completed: a slow item holds up none. */
START_TEST(stream_as_completed_yields_a_slow_item_last)
{
    cfut_executor *pool = pool_of_two();
    struct feed feed = feed_of(100);
    bool seen[100] = { false };
    cfut_stream *s;
    int out;

    gate_init(&first_has_begun);
    gate_init(&first_may_end);
    s = cfut_stream_open(pool, &first_waits_task, pull_int, &feed,
                         &(cfut_stream_desc){ .buffersize = 4, .as_completed = true });
    for (int i = 1; i < 100; i++) {
        ck_assert_int_eq(cfut_stream_next(s, &out), CFUT_OK);
        ck_assert(out > 0 && out < 100 && !seen[out]);
        ck_assert_uint_eq(cfut_stream_index(s), (size_t)out);
        seen[out] = true;
    }
    gate_open(&first_may_end);
    ck_assert_int_eq(cfut_stream_next(s, &out), CFUT_OK);
    ck_assert_int_eq(out, 0);
    ck_assert_uint_eq(cfut_stream_index(s), 0);
    ck_assert_int_eq(cfut_stream_next(s, &out), CFUT_END);
    cfut_stream_close(s);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* SEM 50, 54: in order a slow first item holds up the others' delivery, and
   the time-out of a step loses nothing. */
START_TEST(stream_in_order_waits_for_a_slow_item)
{
    cfut_executor *pool = pool_of_two();
    struct feed feed = feed_of(50);
    cfut_stream *s;
    int out = -1;

    gate_init(&first_has_begun);
    gate_init(&first_may_end);
    s = cfut_stream_open(pool, &first_waits_task, pull_int, &feed,
                         &(cfut_stream_desc){ .buffersize = 6 });
    ck_assert_int_eq(cfut_stream_next_timeout(s, &out, 0), CFUT_TIMEOUT);
    ck_assert_int_eq(cfut_stream_next_timeout(s, &out, CFUT_MS(3)), CFUT_TIMEOUT);
    ck_assert_int_eq(cfut_stream_next_timeout(s, &out, -1), CFUT_TIMEOUT);
    ck_assert_int_eq(feed.pulls, 6);
    ck_assert_int_eq(out, -1);
    gate_open(&first_may_end);
    for (int i = 0; i < 50; i++) {
        ck_assert_int_eq(cfut_stream_next_timeout(s, &out, CFUT_FOREVER), CFUT_OK);
        ck_assert_int_eq(out, i);
    }
    ck_assert_int_eq(cfut_stream_next_timeout(s, &out, 0), CFUT_END);
    cfut_stream_close(s);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* ---- stream: the buffer ---- */

static void expect_pulls(cfut_executor *pool, int buffersize, int expected, bool as_completed)
{
    struct feed feed = feed_of(1000);
    cfut_stream *s = cfut_stream_open(pool, &square_task, pull_int, &feed,
        &(cfut_stream_desc){ .buffersize = buffersize, .as_completed = as_completed });

    ck_assert_int_eq(feed.pulls, expected);
    for (int i = 1; i <= 100; i++) {
        ck_assert_int_eq(cfut_stream_next(s, NULL), CFUT_OK);
        ck_assert_int_eq(feed.pulls, expected + i);
    }
    cfut_stream_close(s);
    ck_assert_int_eq(feed.pulls, expected + 100);
}

/* SEM 58: exactly buffersize before the first step, then one a step. */
START_TEST(stream_fetches_exactly_buffersize)
{
    cfut_executor *pool = test_pool();

    for (int size = 1; size < 50; size += 4) {
        expect_pulls(pool, size, size, false);
        expect_pulls(pool, size, size, true);
    }
    expect_pulls(pool, 0, 2 * test_workers(), false);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

static int running_now, running_most;

static int count_running(const int *i, int *out)
{
    int now = __atomic_add_fetch(&running_now, 1, __ATOMIC_SEQ_CST);
    int most = __atomic_load_n(&running_most, __ATOMIC_SEQ_CST);

    while (now > most && !__atomic_compare_exchange_n(&running_most, &most, now, false,
                                                      __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {}
    *out = *i;
    __atomic_sub_fetch(&running_now, 1, __ATOMIC_SEQ_CST);
    return CFUT_OK;
}
CFUT_TASK(count_running, int, int);

/* SEM 58: never more than buffersize are under way. */
START_TEST(stream_runs_at_most_buffersize_at_once)
{
    cfut_executor *pool = pool_of(8);

    for (int size = 1; size <= 4; size++) {
        struct feed feed = feed_of(2000);
        cfut_stream *s;

        running_most = 0;
        s = cfut_stream_open(pool, &count_running_task, pull_int, &feed,
            &(cfut_stream_desc){ .buffersize = size, .as_completed = size % 2 == 0 });
        for (int i = 0; i < 2000; i++)
            ck_assert_int_eq(cfut_stream_next(s, NULL), CFUT_OK);
        cfut_stream_close(s);
        ck_assert_int_le(running_most, size);
    }
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* SEM 58: endless input in constant memory: one allocation, at the opening. */
static int count_to_1000(void *next, void *in)
{
    if (*(int *)next == 1000)
        return CFUT_END;
    *(int *)in = (*(int *)next)++;
    return CFUT_OK;
}

/* SEM 47: what comes at the very end of the time is yielded, or is still there. */
START_TEST(stream_polled_without_time_loses_no_item)
{
    cfut_executor *pool = test_pool();
    int next = 0, out, seen = 0, status;
    cfut_stream *s = cfut_stream_open(pool, &square_task, count_to_1000, &next,
                                      &(cfut_stream_desc){ .buffersize = 1 });

    while ((status = cfut_stream_next_timeout(s, &out, 0)) != CFUT_END) {
        if (status == CFUT_TIMEOUT) continue;
        ck_assert_int_eq(status, CFUT_OK);
        ck_assert_int_eq(out, seen * seen);
        seen++;
    }
    ck_assert_int_eq(seen, 1000);
    cfut_stream_close(s);
    end_pool(pool);
}
END_TEST

START_TEST(stream_over_endless_input_allocates_once)
{
    cfut_executor *pool = test_pool();

    expect_squares(pool, 100, NULL);
    for (int mode = 0; mode < 2; mode++) {
        struct feed feed = feed_of(-1);
        int before = allocations_now();
        cfut_stream *s = cfut_stream_open(pool, &square_task, pull_int, &feed,
            &(cfut_stream_desc){ .buffersize = 10, .as_completed = mode == 1 });

        ck_assert_int_eq(allocations_now(), before + 1);
        for (int i = 0; i < 40000; i++)
            ck_assert_int_eq(cfut_stream_next(s, NULL), CFUT_OK);
        ck_assert_int_eq(allocations_now(), before + 1);
        cfut_stream_close(s);
    }
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* SEM 59: no input, and less input than the buffer holds. */
START_TEST(stream_over_short_input_ends)
{
    cfut_executor *pool = test_pool();

    for (int n = 0; n < 5; n++) {
        struct feed feed = feed_of(n);
        cfut_stream *s = cfut_stream_open(pool, &square_task, pull_int, &feed,
                                          &(cfut_stream_desc){ .buffersize = 20 });
        int out;

        ck_assert_int_eq(feed.pulls, n + 1);
        for (int i = 0; i < n; i++) {
            ck_assert_int_eq(cfut_stream_next(s, &out), CFUT_OK);
            ck_assert_int_eq(out, i * i);
        }
        ck_assert_int_eq(cfut_stream_next(s, &out), CFUT_END);
        ck_assert_int_eq(cfut_stream_next(s, &out), CFUT_END);
        ck_assert_int_eq(feed.pulls, n + 1);
        cfut_stream_close(s);
    }
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* ---- stream: several inputs ---- */

struct pair { int a, b; };

/* Python's map over two sequences: ends with the shorter one. */
struct zip { const int *a, *b; size_t na, nb, i; };

static int pull_pair(void *user, void *in)
{
    struct zip *z = user;

    if (z->i == z->na || z->i == z->nb)
        return CFUT_END;
    *(struct pair *)in = (struct pair){ z->a[z->i], z->b[z->i] };
    z->i++;
    return CFUT_OK;
}

static int multiply(const struct pair *p, int *out)
{
    *out = p->a * p->b;
    return CFUT_OK;
}
CFUT_TASK(multiply, struct pair, int);

static void expect_zip(cfut_executor *pool, size_t na, size_t nb)
{
    static const int a[] = { 2, 3, 5, 7, 11, 13 }, b[] = { 1, 10, 100, 1000, 2, 4 };
    struct zip zip = { a, b, na, nb, 0 };
    cfut_stream *s = cfut_stream_open(pool, &multiply_task, pull_pair, &zip, NULL);
    int out;

    for (size_t i = 0; i < (na < nb ? na : nb); i++) {
        ck_assert_int_eq(cfut_stream_next(s, &out), CFUT_OK);
        ck_assert_int_eq(out, a[i] * b[i]);
    }
    ck_assert_int_eq(cfut_stream_next(s, &out), CFUT_END);
    cfut_stream_close(s);
}

/* SEM 51: several inputs of uneven length. */
START_TEST(stream_over_two_arrays_stops_at_the_shortest)
{
    cfut_executor *pool = test_pool();

    for (size_t na = 0; na <= 6; na += 2)
        for (size_t nb = 0; nb <= 6; nb += 3)
            expect_zip(pool, na, nb);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* ---- stream: failures ---- */

/* SEM 53: the stream goes on after a failed item, whose text and index it
   tells, and whose result it does not deliver. */
START_TEST(stream_goes_on_after_a_failed_item)
{
    cfut_executor *pool = test_pool();
    struct feed feed = feed_of(200);
    cfut_stream *s = cfut_stream_open(pool, &odd_fails_task, pull_int, &feed, NULL);
    char text[40];

    for (int i = 0; i < 200; i++) {
        int out = -5;

        ck_assert_int_eq(cfut_stream_next(s, &out), i % 2 ? i : 0);
        ck_assert_int_eq(out, i % 2 ? -5 : i);
        ck_assert_uint_eq(cfut_stream_index(s), (size_t)i);
        if (i % 2) {
            snprintf(text, sizeof text, "%d is odd", i);
            ck_assert_str_eq(cfut_stream_error(s), text);
        }
    }
    ck_assert_int_eq(cfut_stream_next(s, NULL), CFUT_END);
    cfut_stream_close(s);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* SEM 53: text and index as completed. */
START_TEST(stream_as_completed_tells_index_and_text_of_a_failed_item)
{
    cfut_executor *pool = test_pool();
    struct feed feed = feed_of(100);
    cfut_stream *s = cfut_stream_open(pool, &odd_fails_task, pull_int, &feed,
                                      &(cfut_stream_desc){ .as_completed = true });
    char text[40];

    for (int i = 0; i < 100; i++) {
        int status = cfut_stream_next(s, NULL), at = (int)cfut_stream_index(s);

        ck_assert_int_eq(status, at % 2 ? at : 0);
        snprintf(text, sizeof text, "%d is odd", at);
        if (status)
            ck_assert_str_eq(cfut_stream_error(s), text);
    }
    cfut_stream_close(s);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* SEM 58: an error of the input comes after the last item, and ends it. */
START_TEST(stream_when_pull_fails_tells_it_after_the_last_item)
{
    cfut_executor *pool = test_pool();

    for (int at = 0; at < 30; at += 5) {
        struct feed feed = feed_of(100);
        cfut_stream *s;
        int out;

        feed.error_at = at;
        feed.error = EIO;
        s = cfut_stream_open(pool, &square_task, pull_int, &feed,
                             &(cfut_stream_desc){ .buffersize = 8 });
        for (int i = 0; i < at; i++) {
            ck_assert_int_eq(cfut_stream_next(s, &out), CFUT_OK);
            ck_assert_int_eq(out, i * i);
        }
        ck_assert_int_eq(cfut_stream_next(s, &out), EIO);
        ck_assert_int_ne(cfut_stream_next(s, &out), CFUT_OK);
        ck_assert_int_eq(feed.pulls, at + 1);
        cfut_stream_close(s);
    }
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

static void expect_stream_refused(cfut_stream *s, int status)
{
    int out;

    ck_assert_ptr_nonnull(s);
    ck_assert_int_eq(cfut_stream_next(s, &out), status);
    ck_assert_int_eq(cfut_stream_next_timeout(s, &out, 0), status);
    cfut_stream_close(s);
}

/* SEM 58: a negative buffer size, and NULL for what is needed. */
START_TEST(stream_with_bad_arguments_answers_invalid)
{
    cfut_executor *pool = test_pool();
    struct feed feed = feed_of(10);

    expect_stream_refused(cfut_stream_open(pool, &square_task, pull_int, &feed,
        &(cfut_stream_desc){ .buffersize = -1 }), CFUT_INVALID);
    expect_stream_refused(cfut_stream_open(pool, NULL, pull_int, &feed, NULL), CFUT_INVALID);
    expect_stream_refused(cfut_stream_open(pool, &(cfut_task){ .name = "none" }, pull_int, &feed,
                                           NULL), CFUT_INVALID);
    expect_stream_refused(cfut_stream_open(pool, &square_task, NULL, &feed, NULL), CFUT_INVALID);
    expect_stream_refused(cfut_stream_open(NULL, &square_task, pull_int, &feed, NULL),
                          CFUT_INVALID);
    ck_assert_int_eq(cfut_stream_next(NULL, NULL), CFUT_INVALID);
    ck_assert_int_eq(cfut_stream_next_timeout(NULL, NULL, 0), CFUT_INVALID);
    cfut_stream_close(NULL);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* SEM 61: on a closed pool each item is refused. */
START_TEST(stream_on_closed_pool_tells_it_for_each_item)
{
    cfut_executor *pool = test_pool();
    struct feed feed = feed_of(10);
    cfut_stream *s;

    cfut_close(pool, CFUT_DRAIN);
    s = cfut_stream_open(pool, &square_task, pull_int, &feed,
                         &(cfut_stream_desc){ .buffersize = 3 });
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(cfut_stream_next(s, NULL), CFUT_CLOSED);
    ck_assert_int_eq(cfut_stream_next(s, NULL), CFUT_END);
    cfut_stream_close(s);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* ---- stream: leaving early ---- */

static int stream_runs;

static int count_run(const int *i, int *out)
{
    __atomic_add_fetch(&stream_runs, 1, __ATOMIC_SEQ_CST);
    *out = *i;
    return CFUT_OK;
}
CFUT_TASK(count_run, int, int);

/* SEM 56: close cancels what has not started; the workers stay busy. */
START_TEST(stream_closed_early_cancels_what_waits)
{
    cfut_executor *pool = test_pool();

    for (int mode = 0; mode < 2; mode++) {
        struct feed feed = feed_of(100);
        struct crew crew;
        cfut_stream *s;

        stream_runs = 0;
        crew_block(&crew, pool, test_workers());
        s = cfut_stream_open(pool, &count_run_task, pull_int, &feed,
            &(cfut_stream_desc){ .buffersize = 9, .as_completed = mode == 1 });
        cfut_stream_close(s);
        crew_release(&crew);
        expect_squares(pool, 100, NULL);
        ck_assert_int_eq(stream_runs, 0);
        ck_assert_int_eq(feed.pulls, 9);
    }
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

struct late_close { cfut_stream *s; thread_number number; };

static void *late_close_run(void *arg)
{
    struct late_close *c = arg;

    announce_thread(&c->number);
    cfut_stream_close(c->s);
    return NULL;
}

/* SEM 56: with drain what was submitted runs before close returns. */
START_TEST(stream_closed_with_drain_runs_what_waits)
{
    cfut_executor *pool = test_pool();
    struct feed feed = feed_of(100);
    struct late_close c;
    struct crew crew;
    pthread_t thread;

    atomic_store(&c.number, 0);
    crew_block(&crew, pool, test_workers());
    c.s = cfut_stream_open(pool, &count_run_task, pull_int, &feed,
                           &(cfut_stream_desc){ .buffersize = 9, .drain = true });
    thread = start_thread(late_close_run, &c);
    await_asleep(&c.number);
    crew_release(&crew);
    end_thread(thread);
    ck_assert_int_eq(stream_runs, 9);
    ck_assert_int_eq(feed.pulls, 9);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* SEM 56: what runs is waited for; in and out are in the stream's memory. */
START_TEST(stream_closed_early_waits_for_what_runs)
{
    cfut_executor *pool = pool_of(1);
    struct feed feed = feed_of(100);
    struct late_close c;
    pthread_t thread;

    gate_init(&first_has_begun);
    gate_init(&first_may_end);
    atomic_store(&c.number, 0);
    c.s = cfut_stream_open(pool, &first_waits_task, pull_int, &feed,
                           &(cfut_stream_desc){ .buffersize = 4 });
    ck_assert_int_eq(cfut_stream_next_timeout(c.s, NULL, CFUT_MS(2)), CFUT_TIMEOUT);
    gate_wait(&first_has_begun);
    thread = start_thread(late_close_run, &c);
    await_asleep(&c.number);
    gate_open(&first_may_end);
    end_thread(thread);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* SEM 56: left at every point, many times. */
START_TEST(stream_closed_at_any_point_leaves_a_usable_pool)
{
    cfut_executor *pool = test_pool();

    for (int round = 0; round < 500; round++) {
        struct feed feed = feed_of(-1);
        cfut_stream *s = cfut_stream_open(pool, &square_task, pull_int, &feed,
            &(cfut_stream_desc){ .buffersize = 1 + round % 7, .as_completed = round % 2 == 1,
                                 .drain = round % 3 == 0 });

        for (int i = 0; i < round % 11; i++)
            ck_assert_int_eq(cfut_stream_next(s, NULL), CFUT_OK);
        cfut_stream_close(s);
    }
    expect_squares(pool, 1000, NULL);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* ---- stream: where it runs ---- */

struct stream_job { int n; bool as_completed; };

static int stream_sum(const struct stream_job *job, long *sum)
{
    struct feed feed = feed_of(job->n);
    cfut_stream *s = cfut_stream_open(cfut_current(), &square_task, pull_int, &feed,
        &(cfut_stream_desc){ .buffersize = 5, .as_completed = job->as_completed });
    int out, status;

    *sum = 0;
    while ((status = cfut_stream_next(s, &out)) == CFUT_OK)
        *sum += out;
    cfut_stream_close(s);
    return status == CFUT_END ? CFUT_OK : status;
}
CFUT_TASK(stream_sum, struct stream_job, long);

static void expect_stream_sums(cfut_executor *pool)
{
    stream_sum_future f[10];

    for (int i = 0; i < 10; i++)
        stream_sum_submit(pool, &f[i], (struct stream_job){ 100, i % 2 == 1 });
    for (int i = 0; i < 10; i++) {
        ck_assert_int_eq(stream_sum_result(&f[i]), CFUT_OK);
        ck_assert_int_eq(f[i].out, 99 * 100 * 199 / 6);
    }
}

/* SEM 58, 81: a task streams through its own pool, with one worker too. */
START_TEST(stream_inside_a_task_ends)
{
    cfut_executor *one = pool_of(1), *pool = test_pool();

    expect_stream_sums(one);
    expect_stream_sums(pool);
    expect_stream_sums(cfut_inline_executor());
    cfut_shutdown(one, CFUT_DRAIN);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

struct counter_feed { struct counter *counter; int left; };

static int pull_counter(void *user, void *in)
{
    struct counter_feed *feed = user;

    if (feed->left-- == 0)
        return CFUT_END;
    *(struct counter **)in = feed->counter;
    return CFUT_OK;
}

/* SEM 58: an action has no result to copy. */
START_TEST(stream_of_an_action_runs_each_item)
{
    cfut_executor *pool = test_pool();
    struct counter c;
    struct counter_feed feed = { &c, 20 };
    cfut_stream *s;
    int untouched = 5;

    counter_init(&c);
    s = cfut_stream_open(pool, &add_to_task, pull_counter, &feed, NULL);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(cfut_stream_next(s, &untouched), CFUT_OK);
    ck_assert_int_eq(cfut_stream_next(s, NULL), CFUT_END);
    ck_assert_int_eq(counter_get(&c), 20);
    ck_assert_int_eq(untouched, 5);
    cfut_stream_close(s);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* ---- many short items: the task's own loop ---- */

enum { MANY_SHORT = 5000 };

/* Every seventh fails. */
static int fail_at_times(const int *x, int *out)
{
    *out = 3 * *x;
    return *x % 7 == 6 ? *x : CFUT_OK;
}
CFUT_TASK(fail_at_times, int, int);

/* typed: by the call that CFUT_TASK makes, which brings a loop of its own. */
static void expect_many_short(cfut_executor *ex, bool typed, cfut_map_desc desc)
{
    static int in[MANY_SHORT], out[MANY_SHORT], status[MANY_SHORT];

    for (int i = 0; i < MANY_SHORT; i++) {
        in[i] = i;
        out[i] = status[i] = -1;
    }
    desc.status = status;
    ck_assert_int_eq(typed ? fail_at_times_map_with(ex, in, out, MANY_SHORT, &desc)
                           : cfut_map(ex, &fail_at_times_task, in, out, MANY_SHORT, &desc), 6);
    for (int i = 0; i < MANY_SHORT; i++) {
        ck_assert_int_eq(out[i], 3 * i);
        ck_assert_int_eq(status[i], i % 7 == 6 ? i : CFUT_OK);
    }
}

/* SEM 50, 53: with chunks, with a limit of time, and one by one. */
START_TEST(map_of_many_short_items_notes_each_failure)
{
    cfut_executor *ex = test_pool();

    for (int i = 0; i < 20; i++) {
        expect_many_short(ex, true, (cfut_map_desc){ .chunksize = (size_t)i * 10 });
        expect_many_short(ex, false, (cfut_map_desc){ .chunksize = (size_t)i });
    }
    expect_many_short(ex, true, (cfut_map_desc){ .timeout = CFUT_SEC(1000) });
    expect_many_short(ex, true, (cfut_map_desc){ .caller_runs = true });
    expect_many_short(cfut_inline_executor(), true, (cfut_map_desc){ 0 });
    end_pool(ex);
}
END_TEST

static void fill_map(TCase *tc)
{
    tcase_add_test(tc, map_of_many_short_items_notes_each_failure);
    tcase_add_test(tc, map_gives_results_in_input_order);
    tcase_add_test(tc, map_over_a_million_items_ends);
    tcase_add_test(tc, map_over_nothing_is_ok);
    tcase_add_test(tc, map_of_an_action_runs_each_item_once);
    tcase_add_test(tc, map_on_inline_executor_gives_all_results);
    tcase_add_test(tc, map_from_outside_runs_in_workers_only);
    tcase_add_test(tc, map_with_chunksize_keeps_chunks_whole);
    tcase_add_test(tc, map_split_while_short_chunks_run_keeps_chunks_whole);
    tcase_add_test(tc, map_with_any_chunksize_gives_all_results);
    tcase_add_test(tc, map_with_failing_items_goes_on_and_tells_each);
    tcase_add_test(tc, map_returns_first_failure_in_index_order);
    tcase_add_test(tc, map_with_failure_in_a_chunk_runs_the_rest_of_it);
    tcase_add_test(tc, map_with_item_that_returns_timeout_says_etimedout);
    if (TASKS_CAN_EXIT) {
        tcase_add_test(tc, map_with_item_that_exits_its_thread_ends);
        tcase_add_test(tc, map_whose_caller_runs_an_item_that_ends_its_thread_says_which);
        tcase_add_test(tc, map_whose_submit_runs_an_item_that_ends_its_thread_leaves_nothing);
        tcase_add_test(tc, map_whose_caller_runs_in_a_worker_and_ends_it_loses_nothing_else);
        tcase_add_test(tc, map_whose_caller_runs_and_ends_its_thread_is_left_behind);
    }
    tcase_add_test(tc, map_with_bad_arguments_is_invalid);
    tcase_add_test(tc, map_on_closed_pool_is_refused);
    tcase_add_test(tc, map_when_refused_starts_no_thread);
    tcase_add_test(tc, map_of_cheap_items_and_then_dear_ones_shares_the_dear_ones);
    tcase_add_test(tc, map_in_a_circle_of_pools_is_told_of_the_deadlock);
    tcase_add_test(tc, map_whose_item_elsewhere_waits_for_its_task_is_told_of_the_deadlock);
    tcase_add_test(tc, map_while_all_workers_are_busy_begins_later);
    tcase_add_test(tc, map_when_its_pool_is_closed_with_cancel_pending_is_cut);
    tcase_add_test(tc, map_whose_caller_runs_asks_no_worker_to_stop);
    tcase_add_test(tc, map_when_time_runs_out_cancels_the_rest);
    tcase_add_test(tc, map_when_time_runs_out_keeps_what_was_done);
    tcase_add_test(tc, map_when_time_runs_out_inside_a_chunk_leaves_it);
    tcase_add_test(tc, map_when_time_runs_out_before_the_start_returns);
    tcase_add_test(tc, map_within_its_time_is_ok);
    tcase_add_test(tc, map_whose_caller_runs_stops_when_time_runs_out);
    tcase_add_test(tc, map_of_no_end_of_items_stops_when_time_runs_out);
    tcase_add_test(tc, map_whose_caller_runs_needs_no_worker);
    tcase_add_test(tc, map_whose_caller_runs_gives_all_results);
    tcase_add_test(tc, map_with_a_slow_first_item_does_the_others_meanwhile);
    tcase_add_test(tc, map_whose_caller_runs_with_a_slow_item_does_the_others_meanwhile);
    tcase_add_test(tc, map_whose_caller_runs_has_twenty_workers_take_part);
    tcase_add_test(tc, map_with_next_to_no_time_ends);
    tcase_add_test(tc, map_with_skewed_costs_gives_all_results);
    tcase_add_test(tc, map_whose_upper_half_is_dear_is_helped_by_who_has_done_the_lower);
    tcase_add_test(tc, map_whose_helper_ends_its_thread_ends);
    tcase_add_test(tc, map_nested_with_one_worker_ends);
    tcase_add_test(tc, map_nested_in_a_pool_ends);
    tcase_add_test(tc, map_on_another_pool_inside_a_task_ends);
    tcase_add_test(tc, map_under_way_when_the_pool_drains_ends_well);
    tcase_add_test(tc, map_under_way_when_the_pool_cancels_ends);
}

/* ---- arguments at the edge ---- */

static int nothing(const void *in, void *out) { return in || out ? EINVAL : CFUT_OK; }
static const cfut_task nothing_task = { nothing, "nothing", 0, 0 };

START_TEST(map_without_argument_and_result_runs_each_item)
{
    cfut_executor *ex = test_pool();
    int status[40];
    cfut_map_desc desc = { .status = status, .timeout = CFUT_SEC(60) };

    memset(status, 1, sizeof status);
    ck_assert_int_eq(cfut_map(ex, &nothing_task, NULL, NULL, 40, NULL), CFUT_OK);
    ck_assert_int_eq(cfut_map(ex, &nothing_task, NULL, NULL, 40, &desc), CFUT_OK);
    for (int i = 0; i < 40; i++) ck_assert_int_eq(status[i], CFUT_OK);
    end_pool(ex);
}
END_TEST

START_TEST(map_of_no_function_or_absurd_sizes_is_invalid)
{
    static const cfut_task none = { NULL, "none", 0, 0 };
    static const cfut_task huge[] = {
        { nothing, "huge", SIZE_MAX / 8, 0 }, { nothing, "huge", 0, SIZE_MAX / 8 } };
    cfut_executor *ex = cfut_inline_executor();
    int x = 1;

    ck_assert_int_eq(cfut_map(ex, &none, NULL, NULL, 3, NULL), CFUT_INVALID);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(cfut_map(ex, &huge[i], &x, &x, 100, NULL), CFUT_INVALID);
    ck_assert_int_eq(cfut_map(ex, &nothing_task, NULL, NULL, SIZE_MAX, NULL), CFUT_INVALID);
}
END_TEST

static int time_out(const int *x, int *out)
{
    *out = *x;
    return CFUT_TIMEOUT;
}
CFUT_TASK(time_out, int, int);

START_TEST(map_of_items_that_return_timeout_fails_with_etimedout)
{
    cfut_executor *ex = test_pool();
    int in[4] = { 1, 2, 3, 4 }, out[4], status[4];

    for (int timed = 0; timed < 2; timed++) {
        cfut_map_desc desc = { .status = status, .timeout = timed ? CFUT_SEC(60) : 0 };

        ck_assert_int_eq(time_out_map_with(ex, in, out, 4, &desc), ETIMEDOUT);
        for (int i = 0; i < 4; i++) ck_assert_int_eq(status[i], ETIMEDOUT);
    }
    end_pool(ex);
}
END_TEST

static int map_as_caller(cfut_executor *const *ex, int *out)
{
    int in[3] = { 1, 2, 3 }, result[3];
    int status = square_map_with(*ex, in, result, 3, &(cfut_map_desc){ .caller_runs = true });

    *out = result[2];
    return status;
}
CFUT_TASK(map_as_caller, cfut_executor *, int);

START_TEST(map_in_a_task_of_its_own_pool_has_its_caller_run_some_anyway)
{
    cfut_executor *ex = test_pool();
    map_as_caller_future f;

    map_as_caller_submit(ex, &f, ex);
    ck_assert_int_eq(map_as_caller_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, 9);
    end_pool(ex);
}
END_TEST

struct closing { cfut_executor *ex; struct gate *closed; };

static int map_when_closed(const struct closing *c, int *out)
{
    int in[5] = { 1, 2, 3, 4, 5 }, result[5];

    gate_wait(c->closed);
    *out = square_map(c->ex, in, result, 5);
    return CFUT_OK;
}
CFUT_TASK(map_when_closed, struct closing, int);

START_TEST(map_in_a_task_of_a_pool_that_is_being_cancelled_is_refused)
{
    cfut_executor *ex = test_pool();
    map_when_closed_future f;
    struct gate closed;

    gate_init(&closed);
    map_when_closed_submit(ex, &f, (struct closing){ ex, &closed });
    while (!cfut_running(&f.base)) test_sleep(CFUT_US(100));
    cfut_close(ex, CFUT_CANCEL_PENDING);
    gate_open(&closed);
    ck_assert_int_eq(map_when_closed_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, CFUT_CLOSED);
    end_pool(ex);
}
END_TEST

static struct counter workers_begun;

static int second_fails(void *may_fail)
{
    if (counter_add(&workers_begun, 1) == 1) return 0;
    gate_wait(may_fail);
    return 1;
}

struct breaking { cfut_executor *ex; struct gate *may_fail; };

static int break_the_pool(const struct breaking *b, int *out)
{
    *out = 1;
    gate_open(b->may_fail);
    while (cfuti_load_relaxed(&b->ex->status) != CFUT_BROKEN) test_sleep(CFUT_US(100));
    return CFUT_OK;
}
CFUT_TASK(break_the_pool, struct breaking, int);

/* SEM 77: what has not begun is as good as queued. */
START_TEST(map_whose_pool_breaks_begins_no_more_items)
{
    enum { N = 50 };
    struct gate may_fail;
    struct breaking in[N];
    int out[N] = { 0 }, status[N], ran = 0;
    cfut_executor *ex;

    gate_init(&may_fail);
    counter_init(&workers_begun);
    ex = cfut_thread_pool(&(cfut_thread_pool_desc){
        .max_workers = 2, .initializer = second_fails, .init_arg = &may_fail });
    for (int i = 0; i < N; i++) in[i] = (struct breaking){ ex, &may_fail };
    ck_assert_int_eq(break_the_pool_map_with(ex, in, out, N, &(cfut_map_desc){
        .status = status }), CFUT_BROKEN);
    for (int i = 0; i < N; i++) {
        ran += out[i];
        ck_assert_int_eq(status[i], out[i] ? CFUT_OK : CFUT_BROKEN);
    }
    ck_assert_int_eq(ran, 1);
    cfut_shutdown(ex, CFUT_DRAIN);
}
END_TEST

/* The caller's item waits until a worker has one, and ends its thread; the worker's
   item goes on until it is told to stop. */
struct leaving { pthread_t caller; struct gate worker_runs; int after; };

static int leave_or_stay(struct leaving *const *l, int *out)
{
    *out = 1;
    if (pthread_equal(pthread_self(), (*l)->caller)) {
        gate_wait(&(*l)->worker_runs);
        pthread_exit(NULL);
    }
    gate_open(&(*l)->worker_runs);
    while (!cfut_stop_requested()) test_sleep(CFUT_US(100));
    __atomic_add_fetch(&(*l)->after, 1, __ATOMIC_SEQ_CST);
    return ECANCELED;                   /* a batch ends at a failure, else with its chunk */
}
CFUT_TASK(leave_or_stay, struct leaving *, int);

struct leaving_map { cfut_executor *ex; struct leaving leaving; bool untyped; };

static void *map_and_leave(void *arg)
{
    enum { N = 100 };
    struct leaving_map *m = arg;
    struct leaving *in[N];
    int out[N];
    cfut_map_desc desc = { .caller_runs = true, .chunksize = 20 };

    m->leaving.caller = pthread_self();
    for (int i = 0; i < N; i++) in[i] = &m->leaving;
    if (m->untyped) cfut_map(m->ex, &leave_or_stay_task, in, out, N, &desc);
    else leave_or_stay_map_with(m->ex, in, out, N, &desc);
    return m;
}

START_TEST(map_whose_caller_leaves_by_an_item_is_stopped_elsewhere)
{
    struct leaving_map m = { .ex = pool_of(1), .untyped = _i };
    void *returned = &m;

    gate_init(&m.leaving.worker_runs);
    ck_assert_int_eq(pthread_join(thread_start(map_and_leave, &m), &returned), 0);
    ck_assert_ptr_null(returned);
    ck_assert_int_eq(m.leaving.after, 1);
    end_pool(m.ex);
}
END_TEST

static int pull_forever(void *unused, void *in)
{
    (void)unused;
    *(int *)in = 3;
    return CFUT_OK;
}

START_TEST(stream_of_absurd_sizes_has_no_memory)
{
    static const cfut_task huge[] = {
        { nothing, "huge", SIZE_MAX - 8, 0 }, { nothing, "huge", 0, SIZE_MAX - 8 },
        { nothing, "huge", SIZE_MAX / 2, 0 } };
    int out;

    for (int i = 0; i < 3; i++) {
        cfut_stream *s = cfut_stream_open(cfut_inline_executor(), &huge[i], pull_forever, NULL,
                                          NULL);

        ck_assert_int_eq(cfut_stream_next(s, &out), CFUT_NO_MEMORY);
        ck_assert_uint_eq(cfut_stream_index(s), 0);
        ck_assert_str_eq(cfut_stream_error(s), cfut_strerror(CFUT_NO_MEMORY));
        cfut_stream_close(s);
    }
}
END_TEST

START_TEST(stream_of_nobody_and_before_its_first_item)
{
    cfut_stream *s = cfut_stream_open(cfut_inline_executor(), &square_task, pull_forever, NULL,
                                      NULL);
    int out;

    ck_assert_int_eq(cfut_stream_next(NULL, &out), CFUT_INVALID);
    ck_assert_uint_eq(cfut_stream_index(NULL), 0);
    ck_assert_str_eq(cfut_stream_error(NULL), cfut_strerror(CFUT_INVALID));
    cfut_stream_close(NULL);
    ck_assert_uint_eq(cfut_stream_index(s), 0);
    ck_assert_str_ne(cfut_stream_error(s), "");
    ck_assert_int_eq(cfut_stream_next(s, NULL), CFUT_OK);
    cfut_stream_close(s);
}
END_TEST

START_TEST(stream_on_an_executor_without_workers_yields_its_status)
{
    cfut_executor *failed = cfut_thread_pool(&(cfut_thread_pool_desc){ .max_workers = -1 });
    cfut_stream *s = cfut_stream_open(failed, &square_task, pull_forever, NULL, NULL);
    int out;

    for (int i = 0; i < 3; i++) ck_assert_int_eq(cfut_stream_next(s, &out), CFUT_INVALID);
    cfut_stream_close(s);
}
END_TEST

START_TEST(stream_as_completed_that_is_not_done_in_time_yields_nothing)
{
    struct busy_pool b;
    cfut_stream_desc desc = { .as_completed = true, .buffersize = 2 };
    cfut_stream *s = cfut_stream_open(busy_pool_open(&b), &square_task, pull_forever, NULL, &desc);
    int out = 0;

    ck_assert_int_eq(cfut_stream_next_timeout(s, &out, CFUT_MS(1)), CFUT_TIMEOUT);
    busy_pool_free_worker(&b);
    ck_assert_int_eq(cfut_stream_next(s, &out), CFUT_OK);
    ck_assert_int_eq(out, 9);
    cfut_stream_close(s);
    end_pool(b.ex);
}
END_TEST

static void fill(TCase *tc)
{
    fill_map(tc);
    tcase_add_test(tc, stream_yields_in_input_order);
    tcase_add_test(tc, stream_as_completed_yields_a_slow_item_last);
    tcase_add_test(tc, stream_in_order_waits_for_a_slow_item);
    tcase_add_test(tc, stream_fetches_exactly_buffersize);
    tcase_add_test(tc, stream_runs_at_most_buffersize_at_once);
    tcase_add_test(tc, stream_polled_without_time_loses_no_item);
    tcase_add_test(tc, stream_over_endless_input_allocates_once);
    tcase_add_test(tc, stream_over_short_input_ends);
    tcase_add_test(tc, stream_over_two_arrays_stops_at_the_shortest);
    tcase_add_test(tc, stream_goes_on_after_a_failed_item);
    tcase_add_test(tc, stream_as_completed_tells_index_and_text_of_a_failed_item);
    tcase_add_test(tc, stream_when_pull_fails_tells_it_after_the_last_item);
    tcase_add_test(tc, stream_with_bad_arguments_answers_invalid);
    tcase_add_test(tc, stream_on_closed_pool_tells_it_for_each_item);
    tcase_add_test(tc, stream_closed_early_cancels_what_waits);
    tcase_add_test(tc, stream_closed_with_drain_runs_what_waits);
    tcase_add_test(tc, stream_closed_early_waits_for_what_runs);
    tcase_add_test(tc, stream_closed_at_any_point_leaves_a_usable_pool);
    tcase_add_test(tc, stream_inside_a_task_ends);
    tcase_add_test(tc, stream_of_an_action_runs_each_item);
    tcase_add_test(tc, map_without_argument_and_result_runs_each_item);
    tcase_add_test(tc, map_of_no_function_or_absurd_sizes_is_invalid);
    tcase_add_test(tc, map_of_items_that_return_timeout_fails_with_etimedout);
    tcase_add_test(tc, map_in_a_task_of_its_own_pool_has_its_caller_run_some_anyway);
    tcase_add_test(tc, map_in_a_task_of_a_pool_that_is_being_cancelled_is_refused);
    tcase_add_test(tc, stream_of_absurd_sizes_has_no_memory);
    tcase_add_test(tc, stream_of_nobody_and_before_its_first_item);
    tcase_add_test(tc, stream_on_an_executor_without_workers_yields_its_status);
    tcase_add_test(tc, stream_as_completed_that_is_not_done_in_time_yields_nothing);
    tcase_add_test(tc, map_whose_pool_breaks_begins_no_more_items);
    tcase_add_loop_test(tc, map_whose_caller_leaves_by_an_item_is_stopped_elsewhere, 0, 2);
}

int main(void)
{
    return harness_main("map", fill);
}
