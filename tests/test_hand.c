/* test_hand.c: futures completed by hand: cfut_future_init, cfut_start,
   cfut_finish, and what their waiters and cancellers see; cfut_run. */
#include "harness.h"

/* ---- helpers ---- */

struct waiter { cfut_future *f; struct gate *begun; int status; };

static void *wait_result(void *arg)
{
    struct waiter *w = arg;

    gate_open(w->begun);
    w->status = cfut_result(w->f);
    return NULL;
}

/* status: the number that cfut_wait returned */
static void *wait_all(void *arg)
{
    struct waiter *w = arg;
    cfut_future *fs[1] = { w->f };

    gate_open(w->begun);
    w->status = (int)cfut_wait(fs, 1, CFUT_ALL_COMPLETED, CFUT_FOREVER);
    return NULL;
}

/* status: 1 if the iterator yielded the future */
static void *wait_next(void *arg)
{
    struct waiter *w = arg;
    cfut_future *fs[1] = { w->f };
    cfut_iter it;

    cfut_as_completed(&it, fs, 1, CFUT_FOREVER);
    gate_open(w->begun);
    w->status = cfut_next(&it) == w->f;
    cfut_iter_end(&it);
    return NULL;
}

/* How cfut_wait and cfut_as_completed see f at this moment. */
static bool seen_by_collectors(cfut_future *f)
{
    cfut_future *fs[1] = { f };
    cfut_iter it;
    ptrdiff_t k = cfut_wait(fs, 1, CFUT_ALL_COMPLETED, 0);
    bool yielded;

    ck_assert_int_eq(cfut_as_completed(&it, fs, 1, 0), CFUT_OK);
    yielded = cfut_next(&it) == f;
    ck_assert_int_eq(it.status, yielded ? CFUT_OK : CFUT_TIMEOUT);
    ck_assert(yielded == (k == 1));
    cfut_iter_end(&it);
    return yielded;
}

static void assert_state(const cfut_future *f, enum cfut_state state)
{
    ck_assert_int_eq(cfut_future_state(f), state);
    ck_assert(cfut_running(f) == (state == CFUT_STATE_RUNNING));
    ck_assert(cfut_cancelled(f) == (state == CFUT_STATE_CANCELLED
                                    || state == CFUT_STATE_CANCELLED_AND_NOTIFIED));
    ck_assert(cfut_done(f) == (cfut_cancelled(f) || state == CFUT_STATE_FINISHED));
}

static void count_call(cfut_future *f, void *user)
{
    (void)f;
    counter_add(user, 1);
}

static void note_thread(cfut_future *f, void *user)
{
    (void)f;
    *(pthread_t *)user = pthread_self();
}

/* ---- legal moves ---- */

/* SEM 2, 29 */
START_TEST(start_when_pending_returns_true_and_is_running)
{
    cfut_future f;

    cfut_future_init(&f);
    ck_assert(cfut_start(&f));
    assert_state(&f, CFUT_STATE_RUNNING);
    ck_assert_int_eq(cfut_finish(&f, CFUT_OK), CFUT_OK);
    assert_state(&f, CFUT_STATE_FINISHED);
}
END_TEST

/* SEM 2, 31 */
START_TEST(finish_when_pending_is_allowed)
{
    cfut_future f;

    cfut_future_init(&f);
    ck_assert_int_eq(cfut_finish(&f, CFUT_OK), CFUT_OK);
    assert_state(&f, CFUT_STATE_FINISHED);
    ck_assert_int_eq(cfut_result(&f), CFUT_OK);
}
END_TEST

static const int codes[] = { 0, 1, 5, -1, -22, CFUT_FAILED, CFUT_CANCELLED, CFUT_CLOSED };
enum { CODES = sizeof codes / sizeof codes[0] };

/* SEM 14, 31 */
START_TEST(finish_with_code_makes_it_the_result)
{
    cfut_future f;

    cfut_future_init(&f);
    ck_assert_int_eq(cfut_finish(&f, codes[_i]), CFUT_OK);
    assert_state(&f, CFUT_STATE_FINISHED);      /* not cancelled, whatever the code */
    ck_assert_int_eq(cfut_result(&f), codes[_i]);
    ck_assert_int_eq(cfut_result_timeout(&f, 0), codes[_i]);
    ck_assert_str_eq(cfut_error(&f), cfut_strerror(codes[_i]));
}
END_TEST

/* SEM 18 */
START_TEST(finish_with_timeout_becomes_etimedout)
{
    cfut_future f;

    cfut_future_init(&f);
    ck_assert_int_eq(cfut_finish(&f, CFUT_TIMEOUT), CFUT_OK);
    ck_assert_int_eq(cfut_result(&f), ETIMEDOUT);
}
END_TEST

/* SEM 3: a completed future can be made new */
START_TEST(future_init_after_completion_makes_it_pending_again)
{
    cfut_future f;

    for (int i = 0; i < 3; i++) {
        cfut_future_init(&f);
        assert_state(&f, CFUT_STATE_PENDING);
        ck_assert_int_eq(cfut_result_timeout(&f, 0), CFUT_TIMEOUT);
        cfut_finish(&f, i + 1);
        ck_assert_int_eq(cfut_result(&f), i + 1);
    }
}
END_TEST

/* ---- misuse ---- */

/* SEM 29 */
START_TEST(start_when_running_returns_false)
{
    cfut_future f;

    cfut_future_init(&f);
    ck_assert(cfut_start(&f));
    ck_assert(!cfut_start(&f));
    assert_state(&f, CFUT_STATE_RUNNING);
    cfut_finish(&f, CFUT_OK);
}
END_TEST

/* SEM 29 */
START_TEST(start_when_finished_returns_false)
{
    cfut_future f;

    cfut_future_init(&f);
    cfut_finish(&f, 3);
    ck_assert(!cfut_start(&f));
    assert_state(&f, CFUT_STATE_FINISHED);
    ck_assert_int_eq(cfut_result(&f), 3);
}
END_TEST

/* SEM 29 */
START_TEST(start_when_null_or_zeroed_returns_false)
{
    cfut_future f = { 0 };

    ck_assert(!cfut_start(NULL));
    ck_assert(!cfut_start(&f));
    assert_state(&f, CFUT_STATE_FRESH);
}
END_TEST

/* SEM 30 */
START_TEST(finish_when_finished_is_invalid_state_and_changes_nothing)
{
    cfut_future f;
    struct counter calls;

    counter_init(&calls);
    cfut_future_init(&f);
    cfut_on_done(&f, count_call, &calls);
    ck_assert_int_eq(cfut_finish(&f, 3), CFUT_OK);
    ck_assert_int_eq(cfut_finish(&f, 4), CFUT_INVALID_STATE);
    ck_assert_int_eq(cfut_finish(&f, 0), CFUT_INVALID_STATE);
    ck_assert_int_eq(cfut_result(&f), 3);
    ck_assert_int_eq(counter_get(&calls), 1);
}
END_TEST

/* SEM 30 */
START_TEST(finish_when_cancelled_is_invalid_state_and_changes_nothing)
{
    cfut_future f;

    cfut_future_init(&f);
    ck_assert(cfut_cancel(&f));
    ck_assert_int_eq(cfut_finish(&f, 4), CFUT_INVALID_STATE);
    assert_state(&f, CFUT_STATE_CANCELLED);
    ck_assert(!seen_by_collectors(&f));
    ck_assert(!cfut_start(&f));
    ck_assert_int_eq(cfut_finish(&f, 4), CFUT_INVALID_STATE);
    assert_state(&f, CFUT_STATE_CANCELLED_AND_NOTIFIED);
    ck_assert_int_eq(cfut_result(&f), CFUT_CANCELLED);
}
END_TEST

START_TEST(finish_when_null_is_invalid)
{
    ck_assert_int_eq(cfut_finish(NULL, 0), CFUT_INVALID);
}
END_TEST

/* SEM 30 */
START_TEST(finish_when_zeroed_is_invalid_state)
{
    cfut_future f = { 0 };

    ck_assert_int_eq(cfut_finish(&f, 0), CFUT_INVALID_STATE);
    assert_state(&f, CFUT_STATE_FRESH);
}
END_TEST

/* SEM 30: a pool's task is completed by its worker only */
START_TEST(finish_of_queued_task_is_invalid_state)
{
    struct busy_pool b;
    square_future f;

    square_submit(busy_pool_open(&b), &f, 4);
    ck_assert_int_eq(cfut_finish(&f.base, 9), CFUT_INVALID_STATE);
    assert_state(&f.base, CFUT_STATE_PENDING);
    busy_pool_end(&b);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, 16);
}
END_TEST

/* SEM 30 */
START_TEST(finish_of_running_task_is_invalid_state)
{
    struct busy_pool b;

    busy_pool_open(&b);
    ck_assert_int_eq(cfut_finish(&b.holder.base, 9), CFUT_INVALID_STATE);
    assert_state(&b.holder.base, CFUT_STATE_RUNNING);
    busy_pool_end(&b);
    ck_assert_int_eq(occupy_result(&b.holder), CFUT_OK);
}
END_TEST

/* SEM 29 */
START_TEST(start_of_queued_task_returns_false)
{
    struct busy_pool b;
    square_future f;

    square_submit(busy_pool_open(&b), &f, 4);
    ck_assert(!cfut_start(&f.base));
    assert_state(&f.base, CFUT_STATE_PENDING);
    busy_pool_end(&b);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    ck_assert(!cfut_start(&f.base));
}
END_TEST

/* ---- cancel: Python's two steps (rule B) ---- */

/* SEM 4, 8, 29, rule B: done for some questions at once */
START_TEST(cancel_when_pending_by_hand_is_cancelled_not_notified)
{
    cfut_future f;

    cfut_future_init(&f);
    ck_assert(cfut_cancel(&f));
    assert_state(&f, CFUT_STATE_CANCELLED);
    ck_assert_int_eq(cfut_result_timeout(&f, 0), CFUT_CANCELLED);
    ck_assert_int_eq(cfut_result(&f), CFUT_CANCELLED);
    ck_assert(!seen_by_collectors(&f));
    ck_assert(!cfut_start(&f));
}
END_TEST

/* SEM 2, 8, 29, rule B: and for the others when the producer acknowledges */
START_TEST(start_when_cancelled_returns_false_and_notifies)
{
    cfut_future f;

    cfut_future_init(&f);
    ck_assert(cfut_cancel(&f));
    ck_assert(!cfut_start(&f));
    assert_state(&f, CFUT_STATE_CANCELLED_AND_NOTIFIED);
    ck_assert(seen_by_collectors(&f));
    ck_assert(!cfut_start(&f));
    assert_state(&f, CFUT_STATE_CANCELLED_AND_NOTIFIED);
}
END_TEST

/* SEM 6; _i: with the producer's acknowledgement */
START_TEST(cancel_when_cancelled_by_hand_returns_true_and_calls_nobody_again)
{
    cfut_future f;
    struct counter calls;

    counter_init(&calls);
    cfut_future_init(&f);
    cfut_on_done(&f, count_call, &calls);
    ck_assert(cfut_cancel(&f));
    if (_i)
        ck_assert(!cfut_start(&f));
    ck_assert(cfut_cancel(&f));
    ck_assert_int_eq(counter_get(&calls), 1);
    if (!_i)
        ck_assert(!cfut_start(&f));
    ck_assert_int_eq(counter_get(&calls), 1);
    assert_state(&f, CFUT_STATE_CANCELLED_AND_NOTIFIED);
}
END_TEST

/* SEM 5, 29 */
START_TEST(cancel_when_started_by_hand_returns_false_and_asks_to_stop)
{
    cfut_future f;

    cfut_future_init(&f);
    ck_assert(cfut_start(&f));
    ck_assert(!cfut_future_snapshot(&f).stop_requested);
    ck_assert(!cfut_cancel(&f));
    assert_state(&f, CFUT_STATE_RUNNING);
    ck_assert(cfut_future_snapshot(&f).stop_requested);
    ck_assert_int_eq(cfut_finish(&f, 0), CFUT_OK);
    ck_assert_int_eq(cfut_result(&f), CFUT_OK);
    ck_assert(!cfut_cancel(&f));
}
END_TEST

/* SEM 7, rule B: result's waiters are woken by the cancel itself */
START_TEST(cancel_by_hand_wakes_result_at_once)
{
    struct gate begun;
    struct waiter w[4];
    pthread_t t[4];
    cfut_future f;

    gate_init(&begun);
    cfut_future_init(&f);
    for (int i = 0; i < 4; i++) {
        w[i] = (struct waiter){ &f, &begun, 0 };
        t[i] = thread_start(wait_result, &w[i]);
    }
    counter_wait(&begun.opened, 4);
    ck_assert(cfut_cancel(&f));
    for (int i = 0; i < 4; i++) {
        thread_end(t[i]);
        ck_assert_int_eq(w[i].status, CFUT_CANCELLED);
    }
    ck_assert(!cfut_start(&f));
}
END_TEST

/* SEM 8, 29, 42, rule B: those of wait and as_completed by the producer */
START_TEST(start_of_cancelled_wakes_wait_and_as_completed)
{
    struct gate begun;
    struct waiter w[2];
    pthread_t t[2];
    cfut_future f;

    gate_init(&begun);
    cfut_future_init(&f);
    for (int i = 0; i < 2; i++) {
        w[i] = (struct waiter){ &f, &begun, 0 };
        t[i] = thread_start(i ? wait_next : wait_all, &w[i]);
    }
    counter_wait(&begun.opened, 2);
    ck_assert(cfut_cancel(&f));
    ck_assert(!cfut_start(&f));
    for (int i = 0; i < 2; i++) {
        thread_end(t[i]);
        ck_assert_int_eq(w[i].status, 1);
    }
}
END_TEST

/* SEM 8, rule B: a collector that was there before the cancel waits on */
START_TEST(wait_when_cancelled_but_not_acknowledged_times_out)
{
    cfut_future f, *fs[1] = { &f };
    cfut_iter it;

    cfut_future_init(&f);
    ck_assert_int_eq(cfut_as_completed(&it, fs, 1, CFUT_MS(20)), CFUT_OK);
    ck_assert(cfut_cancel(&f));
    ck_assert_int_eq(cfut_wait(fs, 1, CFUT_FIRST_COMPLETED, CFUT_MS(5)), 0);
    ck_assert_ptr_null(cfut_next(&it));
    ck_assert_int_eq(it.status, CFUT_TIMEOUT);
    cfut_iter_end(&it);
    ck_assert(!cfut_start(&f));
    ck_assert(seen_by_collectors(&f));
}
END_TEST

/* SEM 4, 26, 29: callbacks run at the cancel, not at the acknowledgement */
START_TEST(callback_of_future_cancelled_by_hand_runs_at_the_cancel)
{
    cfut_future f;
    struct counter calls;

    counter_init(&calls);
    cfut_future_init(&f);
    cfut_on_done(&f, count_call, &calls);
    ck_assert(cfut_cancel(&f));
    ck_assert_int_eq(counter_get(&calls), 1);
    ck_assert_int_eq(cfut_on_done(&f, count_call, &calls), CFUT_OK);
    ck_assert_int_eq(counter_get(&calls), 2);
    ck_assert(!cfut_start(&f));
    ck_assert_int_eq(cfut_on_done(&f, count_call, &calls), CFUT_OK);
    ck_assert_int_eq(counter_get(&calls), 3);
}
END_TEST

/* ---- completion seen by others ---- */

static void *finish_it(void *arg)
{
    return cfut_finish(arg, 12) == CFUT_OK ? arg : NULL;
}

/* SEM 15, 31 */
START_TEST(finish_wakes_every_kind_of_waiter)
{
    void *(*const kinds[3])(void *) = { wait_result, wait_all, wait_next };
    const int expected[3] = { 12, 1, 1 };
    struct gate begun;
    struct waiter w[9];
    pthread_t t[9];
    cfut_future f;

    gate_init(&begun);
    cfut_future_init(&f);
    for (int i = 0; i < 9; i++) {
        w[i] = (struct waiter){ &f, &begun, 0 };
        t[i] = thread_start(kinds[i % 3], &w[i]);
    }
    counter_wait(&begun.opened, 9);
    ck_assert_int_eq(cfut_finish(&f, 12), CFUT_OK);
    for (int i = 0; i < 9; i++) {
        thread_end(t[i]);
        ck_assert_int_eq(w[i].status, expected[i % 3]);
    }
}
END_TEST

/* SEM 21, 26, 31 */
START_TEST(callback_of_future_finished_by_hand_runs_in_the_finishing_thread)
{
    cfut_future f;
    pthread_t finisher, seen;
    void *ok;

    memset(&seen, 0, sizeof seen);
    cfut_future_init(&f);
    cfut_on_done(&f, note_thread, &seen);
    finisher = thread_start(finish_it, &f);
    ck_assert_int_eq(cfut_result(&f), 12);
    ck_assert(pthread_equal(seen, finisher));
    ck_assert_int_eq(pthread_join(finisher, &ok), 0);
    ck_assert_ptr_nonnull(ok);
}
END_TEST

/* SEM 12, rule A: the waiter's stack is gone at once; the finisher touches it
   no more */
START_TEST(future_by_hand_on_stack_may_go_at_once)
{
    for (int i = 0; i < 2000; i++) {
        cfut_future *f = malloc(sizeof *f);
        pthread_t t;

        cfut_future_init(f);
        t = thread_start(finish_it, f);
        ck_assert_int_eq(cfut_result(f), 12);
        memset(f, 0x5A, sizeof *f);
        free(f);
        thread_end(t);
    }
}
END_TEST

struct duel { cfut_future f; struct gate go; int finished; bool started; };

static void *produce(void *arg)
{
    struct duel *d = arg;

    gate_wait(&d->go);
    d->started = cfut_start(&d->f);
    if (d->started)
        d->finished = cfut_finish(&d->f, 5);
    return NULL;
}

/* SEM 2, 5, 29: either the cancel came first or the start did */
START_TEST(cancel_when_racing_with_start_has_one_winner)
{
    for (int i = 0; i < 1000; i++) {
        struct duel d = { .finished = -1 };
        pthread_t t;
        bool cancelled;

        gate_init(&d.go);
        cfut_future_init(&d.f);
        t = thread_start(produce, &d);
        gate_open(&d.go);
        cancelled = cfut_cancel(&d.f);
        thread_end(t);
        ck_assert(cancelled != d.started);
        ck_assert_int_eq(d.finished, d.started ? CFUT_OK : -1);
        ck_assert_int_eq(cfut_result(&d.f), d.started ? 5 : CFUT_CANCELLED);
    }
}
END_TEST

struct rivals { cfut_future f; struct gate go; };

static void *finish_as_rival(void *arg)
{
    struct rivals *r = arg;

    gate_wait(&r->go);
    return cfut_finish(&r->f, 1) == CFUT_OK ? arg : NULL;
}

/* SEM 30: of many that finish one is first */
START_TEST(finish_by_many_threads_succeeds_once)
{
    for (int round = 0; round < 200; round++) {
        struct rivals r;
        pthread_t t[4];
        int winners = 0;

        gate_init(&r.go);
        cfut_future_init(&r.f);
        for (int i = 0; i < 4; i++)
            t[i] = thread_start(finish_as_rival, &r);
        gate_open(&r.go);
        for (int i = 0; i < 4; i++) {
            void *won;

            ck_assert_int_eq(pthread_join(t[i], &won), 0);
            winners += won != NULL;
        }
        ck_assert_int_eq(winners, 1);
        ck_assert_int_eq(cfut_result(&r.f), 1);
    }
}
END_TEST

/* SEM 1: a task may produce a future by hand, and another may wait for it */
static int finish_hand(cfut_future *const *f, int *out)
{
    *out = cfut_finish(*f, 21);
    return CFUT_OK;
}
CFUT_TASK(finish_hand, cfut_future *, int);

START_TEST(future_by_hand_finished_in_a_task_wakes_its_waiter)
{
    cfut_executor *ex = test_pool();
    finish_hand_future task;
    cfut_future f;

    cfut_future_init(&f);
    finish_hand_submit(ex, &task, &f);
    ck_assert_int_eq(cfut_result(&f), 21);
    ck_assert_int_eq(finish_hand_result(&task), CFUT_OK);
    ck_assert_int_eq(task.out, CFUT_OK);
    end_pool(ex);
}
END_TEST

static int wait_hand(cfut_future *const *f, int *out)
{
    *out = cfut_result(*f);
    return CFUT_OK;
}
CFUT_TASK(wait_hand, cfut_future *, int);

/* Not followed by deadlock detection: the task just waits. */
START_TEST(task_that_waits_for_future_by_hand_gets_its_result)
{
    cfut_executor *ex = pool_of(1);
    wait_hand_future task;
    cfut_future f;

    cfut_future_init(&f);
    wait_hand_submit(ex, &task, &f);
    while (!cfut_running(&task.base))
        test_sleep(CFUT_US(100));
    cfut_finish(&f, 30);
    ck_assert_int_eq(wait_hand_result(&task), CFUT_OK);
    ck_assert_int_eq(task.out, 30);
    end_pool(ex);
}
END_TEST

/* SEM 36: cancelled is no failure, a status is */
START_TEST(first_error_by_hand_counts_codes_not_cancellation)
{
    cfut_future f[3], *fs[3] = { &f[0], &f[1], &f[2] };

    for (int i = 0; i < 3; i++)
        cfut_future_init(&f[i]);
    cfut_cancel(&f[0]);
    ck_assert(!cfut_start(&f[0]));
    ck_assert_int_eq(cfut_wait(fs, 3, CFUT_FIRST_ERROR, 0), 1);
    cfut_finish(&f[1], CFUT_CANCELLED);         /* a code like any other */
    ck_assert_int_eq(cfut_wait(fs, 3, CFUT_FIRST_ERROR, CFUT_FOREVER), 2);
    cfut_finish(&f[2], 0);
}
END_TEST

/* Reclaim waits for the producer: the memory is free when it has let go. */
static void *acknowledge(void *arg)
{
    cfut_future *f = arg;

    while (!cfut_cancelled(f))
        test_sleep(CFUT_US(100));
    return cfut_start(f) ? arg : NULL;
}

START_TEST(reclaim_of_future_by_hand_waits_for_the_producer)
{
    cfut_future f, *fs[1] = { &f };
    pthread_t t;
    void *started;

    cfut_future_init(&f);
    t = thread_start(acknowledge, &f);
    cfut_reclaim(fs, 1);
    ck_assert_int_eq(cfut_future_state(&f), CFUT_STATE_CANCELLED_AND_NOTIFIED);
    ck_assert_int_eq(pthread_join(t, &started), 0);
    ck_assert_ptr_null(started);
}
END_TEST

/* ---- cfut_run: for authors of executors ---- */

/* Keeps what is submitted until the test runs it. */
struct keeper { cfut_executor base; cfut_future *kept; int status; };

static int keep(cfut_executor *ex, cfut_future *f)
{
    struct keeper *k = (struct keeper *)(void *)ex;

    if (k->status == CFUT_OK)
        k->kept = f;
    return k->status;
}

static bool give_up(cfut_executor *ex, cfut_future *f)
{
    struct keeper *k = (struct keeper *)(void *)ex;
    bool had = k->kept == f;

    k->kept = NULL;
    return had;
}

static const cfut_executor_ops keeper_ops = { "Keeper", keep, give_up, NULL, NULL, NULL, NULL };
static const cfut_executor_ops miser_ops = { "Miser", keep, NULL, NULL, NULL, NULL, NULL };

/* SEM 2 */
START_TEST(run_of_kept_future_completes_it_in_this_thread)
{
    struct keeper k = { { &keeper_ops, CFUT_OK }, NULL, CFUT_OK };
    square_future f;

    square_submit(&k.base, &f, 7);
    ck_assert_ptr_eq(k.kept, &f.base);
    assert_state(&f.base, CFUT_STATE_PENDING);
    cfut_run(k.kept);
    assert_state(&f.base, CFUT_STATE_FINISHED);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, 49);
}
END_TEST

/* SEM 4, rule B: taken out by the executor's own cancel */
START_TEST(cancel_of_kept_future_asks_its_executor)
{
    struct keeper k = { { &keeper_ops, CFUT_OK }, NULL, CFUT_OK };
    square_future f;

    square_submit(&k.base, &f, 7);
    ck_assert(cfut_cancel(&f.base));
    ck_assert_ptr_null(k.kept);
    assert_state(&f.base, CFUT_STATE_CANCELLED_AND_NOTIFIED);
    ck_assert_int_eq(square_result(&f), CFUT_CANCELLED);
}
END_TEST

/* An executor from which nothing can be taken out. */
START_TEST(cancel_when_executor_has_no_cancel_returns_false)
{
    struct keeper k = { { &miser_ops, CFUT_OK }, NULL, CFUT_OK };
    square_future f;

    square_submit(&k.base, &f, 7);
    ck_assert(!cfut_cancel(&f.base));
    assert_state(&f.base, CFUT_STATE_PENDING);
    cfut_run(k.kept);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
}
END_TEST

/* A refusal is the future's status. */
START_TEST(submit_when_own_executor_refuses_is_done_with_its_status)
{
    struct keeper k = { { &keeper_ops, CFUT_OK }, NULL, CFUT_FULL };
    square_future f;

    square_submit(&k.base, &f, 7);
    assert_state(&f.base, CFUT_STATE_FINISHED);
    ck_assert_int_eq(square_result(&f), CFUT_FULL);
}
END_TEST

START_TEST(defaults_of_own_executor_without_functions)
{
    struct keeper k = { { &miser_ops, CFUT_OK }, NULL, CFUT_OK };

    ck_assert_int_eq(cfut_executor_status(&k.base), CFUT_OK);
    ck_assert_uint_eq(cfut_executor_max_workers(&k.base), 1);
    ck_assert_uint_eq(cfut_executor_workers(&k.base), 1);
    cfut_close(&k.base, CFUT_DRAIN);
    ck_assert_int_eq(cfut_shutdown(&k.base, CFUT_DRAIN), CFUT_OK);
    ck_assert_int_eq(cfut_shutdown_timeout(&k.base, CFUT_CANCEL_PENDING, 0), CFUT_OK);
}
END_TEST

START_TEST(run_of_null_does_nothing)
{
    cfut_run(NULL);
}
END_TEST

static int look_at_current(cfut_executor *const *ex, int *out)
{
    *out = cfut_current() == *ex && cfut_current_future() != NULL && cfut_worker_name() == NULL;
    return cfut_fail(3, "from %s", "within");
}
CFUT_TASK(look_at_current, cfut_executor *, int);

START_TEST(run_makes_its_future_the_current_one)
{
    struct keeper k = { { &keeper_ops, CFUT_OK }, NULL, CFUT_OK };
    look_at_current_future f;

    look_at_current_submit(&k.base, &f, &k.base);
    cfut_run(k.kept);
    ck_assert_int_eq(look_at_current_result(&f), 3);
    ck_assert_int_eq(f.out, 1);
    ck_assert_str_eq(cfut_error(&f.base), "from within");
    ck_assert_ptr_null(cfut_current());
    ck_assert_ptr_null(cfut_current_future());
}
END_TEST

/* ---- what an executor of one's own lets tasks and maps do ---- */

/* A list; the first cancels that it is asked for may be refused. */
struct lister { cfut_executor base; cfut_future *listed[4]; int n, refusals; };

static int list_it(cfut_executor *ex, cfut_future *f)
{
    struct lister *l = (struct lister *)(void *)ex;

    if (l->n == 4) return CFUT_FULL;
    l->listed[l->n++] = f;
    return CFUT_OK;
}

static bool unlist(cfut_executor *ex, cfut_future *f)
{
    struct lister *l = (struct lister *)(void *)ex;

    if (l->refusals-- > 0) return false;
    for (int i = 0; i < l->n; i++) {
        if (l->listed[i] != f) continue;
        l->listed[i] = l->listed[--l->n];
        return true;
    }
    return false;
}

static void run_listed(struct lister *l)
{
    while (l->n) cfut_run(l->listed[--l->n]);
}

static const cfut_executor_ops lister_ops = { "Lister", list_it, unlist, NULL, NULL, NULL, NULL };
static struct lister *lister;

static int submit_and_result(const int *x, int *out)
{
    square_future f;
    int status;

    square_submit(&lister->base, &f, *x);
    status = square_result(&f);
    *out = f.out;
    return status;
}
CFUT_TASK(submit_and_result, int, int);

/* As in a pool of one thread, which would not come to it otherwise. */
START_TEST(task_that_waits_for_one_queued_in_its_own_executor_runs_it)
{
    struct lister l = { { &lister_ops, CFUT_OK }, { NULL }, 0, 0 };
    submit_and_result_future f;

    lister = &l;
    submit_and_result_submit(&l.base, &f, 6);
    run_listed(&l);
    ck_assert_int_eq(submit_and_result_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, 36);
}
END_TEST

static int leave(const int *x, int *out)
{
    *out = *x;
    pthread_exit(NULL);
}
CFUT_TASK(leave, int, int);
static leave_future leaver;

/* Three ways to wait for what it has submitted. */
static int submit_and_wait(const int *how, int *out)
{
    cfut_future *f = &leaver.base;

    *out = 0;
    leave_submit(&lister->base, &leaver, 1);
    if (*how == 0) return cfut_result(f);
    if (*how == 1) return (int)cfut_wait(&f, 1, CFUT_ALL_COMPLETED, CFUT_FOREVER);
    cfut_iter it;
    cfut_as_completed(&it, &f, 1, CFUT_FOREVER);
    cfut_next(&it);
    cfut_iter_end(&it);
    return CFUT_OK;
}
CFUT_TASK(submit_and_wait, int, int);

static void *run_listed_in_thread(void *l)
{
    run_listed(l);
    return NULL;
}

/* SEM 20: both are lost, however the one waits for the other. */
START_TEST(task_that_waits_for_one_that_ends_its_thread_ends_with_it)
{
    for (int how = 0; how < 3; how++) {
        struct lister l = { { &lister_ops, CFUT_OK }, { NULL }, 0, 0 };
        submit_and_wait_future f;

        lister = &l;
        submit_and_wait_submit(&l.base, &f, how);
        thread_end(thread_start(run_listed_in_thread, &l));
        ck_assert_int_eq(submit_and_wait_result(&f), CFUT_ABANDONED);
        ck_assert_int_eq(leave_result(&leaver), CFUT_ABANDONED);
    }
}
END_TEST

static cfut_future never_left, kept_pending;

static void run_leaver_of_two(cfut_future *f, void *unused)
{
    cfut_future *fs[2] = { &leaver.base, &kept_pending };

    (void)f;
    (void)unused;
    leave_submit(&lister->base, &leaver, 1);
    cfut_wait(fs, 2, CFUT_ALL_COMPLETED, CFUT_FOREVER);
}

static int finish_never_left(const int *x, int *out)
{
    *out = *x;
    return cfut_finish(&never_left, CFUT_OK);
}
CFUT_TASK(finish_never_left, int, int);

/* SEM 20, 24: what a callback waited for must not lead to its stack any more. */
START_TEST(wait_in_a_callback_that_ends_its_thread_leaves_no_waiter_behind)
{
    struct lister l = { { &lister_ops, CFUT_OK }, { NULL }, 0, 0 };
    finish_never_left_future f;

    lister = &l;
    cfut_future_init(&never_left);
    cfut_future_init(&kept_pending);
    cfut_on_done(&never_left, run_leaver_of_two, NULL);
    finish_never_left_submit(&l.base, &f, 1);
    thread_end(thread_start(run_listed_in_thread, &l));
    ck_assert_int_eq(finish_never_left_result(&f), CFUT_ABANDONED);
    ck_assert_int_eq(leave_result(&leaver), CFUT_ABANDONED);
    ck_assert_int_eq(cfut_result(&never_left), CFUT_OK);
    ck_assert_uint_eq(kept_pending.state & CFUTI_LINK, 0);
    ck_assert_int_eq(cfut_finish(&kept_pending, CFUT_OK), CFUT_OK);
}
END_TEST

static int gather(const int *x, int *out)
{
    square_future f[3];
    cfut_future *fs[3];
    cfut_iter it;

    *out = 0;
    for (int i = 0; i < 3; i++) fs[i] = square_submit(&lister->base, &f[i], *x + i);
    if (cfut_wait(fs, 2, CFUT_ALL_COMPLETED, CFUT_FOREVER) != 2) return 1;
    if (cfut_as_completed(&it, fs, 3, CFUT_FOREVER) != CFUT_OK) return 2;
    for (cfut_future *g; (g = cfut_next(&it)) != NULL; ) *out += square_of(g)->out;
    return it.status;
}
CFUT_TASK(gather, int, int);

START_TEST(task_that_waits_for_several_of_its_own_executor_runs_them)
{
    struct lister l = { { &lister_ops, CFUT_OK }, { NULL }, 0, 0 };
    gather_future f;

    lister = &l;
    gather_submit(&l.base, &f, 2);
    run_listed(&l);
    ck_assert_int_eq(gather_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, 4 + 9 + 16);
}
END_TEST

static int submit_and_reclaim(const int *x, int *out)
{
    square_future f;
    cfut_future *fs[1] = { square_submit(&lister->base, &f, *x) };

    lister->refusals = 1;
    cfut_reclaim(fs, 1);
    *out = f.out;
    return square_result(&f);
}
CFUT_TASK(submit_and_reclaim, int, int);

/* It was not to be cancelled, so it is run. */
START_TEST(reclaim_in_a_task_runs_what_its_own_executor_did_not_give_up)
{
    struct lister l = { { &lister_ops, CFUT_OK }, { NULL }, 0, 0 };
    submit_and_reclaim_future f;

    lister = &l;
    submit_and_reclaim_submit(&l.base, &f, 7);
    run_listed(&l);
    ck_assert_int_eq(submit_and_reclaim_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, 49);
}
END_TEST

static int wait_for_kept(cfut_future *const *f, int *out)
{
    *out = 1;
    return cfut_result(*f);
}
CFUT_TASK(wait_for_kept, cfut_future *, int);

static void *run_later(void *f)
{
    test_sleep(CFUT_MS(20));
    cfut_run(f);
    return NULL;
}

/* Another thread will run it. */
START_TEST(task_that_waits_for_one_that_its_executor_cannot_give_up_sleeps)
{
    struct keeper k = { { &miser_ops, CFUT_OK }, NULL, CFUT_OK };
    square_future f;
    wait_for_kept_future g;
    pthread_t t;

    square_submit(&k.base, &f, 7);
    wait_for_kept_submit(&k.base, &g, &f.base);
    t = thread_start(run_later, &f.base);
    cfut_run(k.kept);
    ck_assert_int_eq(wait_for_kept_result(&g), CFUT_OK);
    ck_assert_int_eq(pthread_join(t, NULL), 0);
}
END_TEST

static size_t no_end_of_workers(const cfut_executor *ex)
{
    (void)ex;
    return SIZE_MAX;
}

static int runs_at_once;

static int run_at_once(cfut_executor *ex, cfut_future *f)
{
    (void)ex;
    runs_at_once++;
    cfut_run(f);
    return CFUT_OK;
}

static const cfut_executor_ops at_once_ops = {
    .name = "AtOnce", .submit = run_at_once, .max_workers = no_end_of_workers };

START_TEST(map_on_an_executor_of_very_many_workers_makes_fewer_parts)
{
    enum { N = 5000 };
    static int in[N], out[N];
    cfut_executor ex = { &at_once_ops, CFUT_OK };

    for (int i = 0; i < N; i++) in[i] = i;
    ck_assert_int_eq(square_map(&ex, in, out, N), CFUT_OK);
    for (int i = 0; i < N; i++) ck_assert_int_eq(out[i], i * i);
    ck_assert_int_eq(runs_at_once, 1024);
    ck_assert_int_eq(square_map(&ex, in, out, 3), CFUT_OK);
    ck_assert_int_eq(runs_at_once, 1024 + 3);
    ck_assert_int_eq(square_map_with(&ex, in, out, 3, &(cfut_map_desc){ .caller_runs = true }),
                     CFUT_OK);
    ck_assert_int_eq(runs_at_once, 1024 + 3 + 2);
}
END_TEST

static int leave_or_square(const int *x, int *y)
{
    if (*x == 3) pthread_exit(NULL);
    return square(x, y);
}
CFUT_TASK(leave_or_square, int, int);

static int left_map_status[200];

static void *map_and_leave(void *ex)
{
    int in[200], out[200];

    for (int i = 0; i < 200; i++) in[i] = i;
    leave_or_square_map_with(ex, in, out, 200, &(cfut_map_desc){
        .caller_runs = true, .chunksize = 10, .status = left_map_status });
    return ex;
}

/* Its parts are in memory of the thread that ends: they are called off first. */
START_TEST(map_whose_caller_leaves_by_an_item_takes_its_parts_with_it)
{
    struct lister l = { { &lister_ops, CFUT_OK }, { NULL }, 0, 0 };
    pthread_t t = thread_start(map_and_leave, &l.base);
    void *returned = &l;

    ck_assert_int_eq(pthread_join(t, &returned), 0);
    ck_assert_ptr_null(returned);
    ck_assert_int_eq(l.n, 0);
    ck_assert_int_eq(left_map_status[2], CFUT_OK);
}
END_TEST

/* ---- */

static void fill_moves(TCase *tc)
{
    tcase_add_test(tc, start_when_pending_returns_true_and_is_running);
    tcase_add_test(tc, finish_when_pending_is_allowed);
    tcase_add_loop_test(tc, finish_with_code_makes_it_the_result, 0, CODES);
    tcase_add_test(tc, finish_with_timeout_becomes_etimedout);
    tcase_add_test(tc, future_init_after_completion_makes_it_pending_again);
    tcase_add_test(tc, start_when_running_returns_false);
    tcase_add_test(tc, start_when_finished_returns_false);
    tcase_add_test(tc, start_when_null_or_zeroed_returns_false);
    tcase_add_test(tc, finish_when_finished_is_invalid_state_and_changes_nothing);
    tcase_add_test(tc, finish_when_cancelled_is_invalid_state_and_changes_nothing);
    tcase_add_test(tc, finish_when_null_is_invalid);
    tcase_add_test(tc, finish_when_zeroed_is_invalid_state);
    tcase_add_test(tc, finish_of_queued_task_is_invalid_state);
    tcase_add_test(tc, finish_of_running_task_is_invalid_state);
    tcase_add_test(tc, start_of_queued_task_returns_false);
}

static void fill_others(TCase *tc)
{
    tcase_add_test(tc, cancel_when_pending_by_hand_is_cancelled_not_notified);
    tcase_add_test(tc, start_when_cancelled_returns_false_and_notifies);
    tcase_add_loop_test(tc, cancel_when_cancelled_by_hand_returns_true_and_calls_nobody_again,
                        0, 2);
    tcase_add_test(tc, cancel_when_started_by_hand_returns_false_and_asks_to_stop);
    tcase_add_test(tc, cancel_by_hand_wakes_result_at_once);
    tcase_add_test(tc, start_of_cancelled_wakes_wait_and_as_completed);
    tcase_add_test(tc, wait_when_cancelled_but_not_acknowledged_times_out);
    tcase_add_test(tc, callback_of_future_cancelled_by_hand_runs_at_the_cancel);
    tcase_add_test(tc, finish_wakes_every_kind_of_waiter);
    tcase_add_test(tc, callback_of_future_finished_by_hand_runs_in_the_finishing_thread);
    tcase_add_test(tc, future_by_hand_on_stack_may_go_at_once);
    tcase_add_test(tc, cancel_when_racing_with_start_has_one_winner);
    tcase_add_test(tc, finish_by_many_threads_succeeds_once);
    tcase_add_test(tc, future_by_hand_finished_in_a_task_wakes_its_waiter);
    tcase_add_test(tc, task_that_waits_for_future_by_hand_gets_its_result);
    tcase_add_test(tc, first_error_by_hand_counts_codes_not_cancellation);
    tcase_add_test(tc, reclaim_of_future_by_hand_waits_for_the_producer);
    tcase_add_test(tc, run_of_kept_future_completes_it_in_this_thread);
    tcase_add_test(tc, cancel_of_kept_future_asks_its_executor);
    tcase_add_test(tc, cancel_when_executor_has_no_cancel_returns_false);
    tcase_add_test(tc, submit_when_own_executor_refuses_is_done_with_its_status);
    tcase_add_test(tc, defaults_of_own_executor_without_functions);
    tcase_add_test(tc, run_of_null_does_nothing);
    tcase_add_test(tc, run_makes_its_future_the_current_one);
    tcase_add_test(tc, task_that_waits_for_one_queued_in_its_own_executor_runs_it);
    if (TASKS_CAN_EXIT)
        tcase_add_test(tc, task_that_waits_for_one_that_ends_its_thread_ends_with_it);
    tcase_add_test(tc, wait_in_a_callback_that_ends_its_thread_leaves_no_waiter_behind);
    tcase_add_test(tc, task_that_waits_for_several_of_its_own_executor_runs_them);
    tcase_add_test(tc, reclaim_in_a_task_runs_what_its_own_executor_did_not_give_up);
    tcase_add_test(tc, task_that_waits_for_one_that_its_executor_cannot_give_up_sleeps);
    tcase_add_test(tc, map_on_an_executor_of_very_many_workers_makes_fewer_parts);
    tcase_add_test(tc, map_whose_caller_leaves_by_an_item_takes_its_parts_with_it);
}

static void fill(TCase *tc)
{
    fill_moves(tc);
    fill_others(tc);
}

int main(void) { return harness_main("hand", fill); }
