/* test_callbacks.c: cfut_on_done: when, where, how often, in which order, and
   what a callback may do. */
#define HARNESS_FAULTS
#include "harness.h"

/* ---- helpers ---- */

/* What a callback saw. */
struct seen {
    struct counter calls;
    cfut_future *f;
    pthread_t thread;
    cfut_snapshot snapshot;
    int status, poll;
    ptrdiff_t waited;
    bool cancel;
};

static void look(cfut_future *f, void *user)
{
    struct seen *s = user;

    s->f = f;
    s->thread = pthread_self();
    s->snapshot = cfut_future_snapshot(f);
    s->status = cfut_result(f);
    s->poll = cfut_result_timeout(f, 0);
    s->cancel = cfut_cancel(f);
    counter_add(&s->calls, 1);
}

static void seen_init(struct seen *s)
{
    memset(s, 0, sizeof *s);
    counter_init(&s->calls);
}

static void count_call(cfut_future *f, void *user)
{
    (void)f;
    counter_add(user, 1);
}

static void block(cfut_future *f, void *user)
{
    struct hold *h = user;

    (void)f;
    gate_open(&h->started);
    gate_wait(&h->release);
}

/* A future that a busy worker has not reached, with one callback. */
static void queue_with(struct busy_pool *b, square_future *f, cfut_done_fn fn, void *user)
{
    square_submit(busy_pool_open(b), f, 5);
    ck_assert_int_eq(cfut_on_done(&f->base, fn, user), CFUT_OK);
}

/* Runs one task of a one-worker pool to its end, with one callback. */
static void run_with(cfut_done_fn fn, void *user)
{
    struct busy_pool b;
    square_future f;

    queue_with(&b, &f, fn, user);
    busy_pool_free_worker(&b);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, 25);
    end_pool(b.ex);
}

static void assert_saw(const struct seen *s, enum cfut_state state, int status)
{
    ck_assert_int_eq(s->snapshot.state, state);
    ck_assert(s->snapshot.done);
    ck_assert(!s->snapshot.running);
    ck_assert_int_eq(s->snapshot.status, status);
    ck_assert_int_eq(s->status, status);
    ck_assert_int_eq(s->poll, status);
}

/* ---- when ---- */

/* SEM 21, 25 */
START_TEST(callback_when_task_succeeds_is_called_once_with_its_future)
{
    struct busy_pool b;
    square_future f;
    struct seen s;

    seen_init(&s);
    queue_with(&b, &f, look, &s);
    ck_assert_int_eq(counter_get(&s.calls), 0);
    busy_pool_free_worker(&b);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    ck_assert_int_eq(counter_get(&s.calls), 1);
    ck_assert_ptr_eq(s.f, &f.base);
    assert_saw(&s, CFUT_STATE_FINISHED, CFUT_OK);
    ck_assert(!s.cancel);
    end_pool(b.ex);
    ck_assert_int_eq(counter_get(&s.calls), 1);
}
END_TEST

/* SEM 21, 25 */
START_TEST(callback_when_task_fails_is_called_with_the_code)
{
    struct busy_pool b;
    fail_with_future f;
    struct seen s;

    seen_init(&s);
    fail_with_submit(busy_pool_open(&b), &f, 6);
    cfut_on_done(&f.base, look, &s);
    busy_pool_free_worker(&b);
    ck_assert_int_eq(fail_with_result(&f), 6);
    ck_assert_int_eq(counter_get(&s.calls), 1);
    assert_saw(&s, CFUT_STATE_FINISHED, 6);
    end_pool(b.ex);
}
END_TEST

/* SEM 4, 21, 25, 26: inside, cancel says true and does not wait for itself */
START_TEST(callback_when_cancelled_is_called_in_the_cancelling_thread)
{
    struct busy_pool b;
    square_future f;
    struct seen s;

    seen_init(&s);
    queue_with(&b, &f, look, &s);
    ck_assert(cfut_cancel(&f.base));
    ck_assert_int_eq(counter_get(&s.calls), 1);
    ck_assert(pthread_equal(s.thread, pthread_self()));
    ck_assert(s.snapshot.cancelled);
    ck_assert(s.cancel);
    ck_assert_int_eq(s.status, CFUT_CANCELLED);
    ck_assert_int_eq(s.poll, CFUT_CANCELLED);
    busy_pool_end(&b);
}
END_TEST

/* SEM 22 */
START_TEST(callback_when_already_succeeded_is_called_at_once_here)
{
    cfut_executor *ex = test_pool();
    square_future f;
    struct seen s;

    seen_init(&s);
    square_submit(ex, &f, 5);
    square_result(&f);
    ck_assert_int_eq(cfut_on_done(&f.base, look, &s), CFUT_OK);
    ck_assert_int_eq(counter_get(&s.calls), 1);
    ck_assert(pthread_equal(s.thread, pthread_self()));
    assert_saw(&s, CFUT_STATE_FINISHED, CFUT_OK);
    end_pool(ex);
}
END_TEST

/* SEM 22: and what the future holds is not disturbed */
START_TEST(callback_when_already_failed_is_called_at_once_here)
{
    cfut_executor *ex = test_pool();
    fail_with_future f;
    struct seen s;

    seen_init(&s);
    fail_with_submit(ex, &f, 5);
    fail_with_result(&f);
    ck_assert_int_eq(cfut_on_done(&f.base, look, &s), CFUT_OK);
    ck_assert_int_eq(cfut_on_done(&f.base, look, &s), CFUT_OK);
    ck_assert_int_eq(counter_get(&s.calls), 2);
    assert_saw(&s, CFUT_STATE_FINISHED, 5);
    ck_assert_str_eq(cfut_error(&f.base), "failed with 5");
    end_pool(ex);
}
END_TEST

/* SEM 22 */
START_TEST(callback_when_already_cancelled_is_called_at_once_here)
{
    struct busy_pool b;
    square_future f;
    struct seen s;

    seen_init(&s);
    square_submit(busy_pool_open(&b), &f, 5);
    cfut_cancel(&f.base);
    ck_assert_int_eq(cfut_on_done(&f.base, look, &s), CFUT_OK);
    ck_assert_int_eq(counter_get(&s.calls), 1);
    assert_saw(&s, CFUT_STATE_CANCELLED_AND_NOTIFIED, CFUT_CANCELLED);
    busy_pool_end(&b);
}
END_TEST

/* SEM 22 */
START_TEST(callback_when_submit_was_refused_is_called_at_once_here)
{
    square_future f;
    struct seen s;

    seen_init(&s);
    square_submit(NULL, &f, 5);
    ck_assert_int_eq(cfut_on_done(&f.base, look, &s), CFUT_OK);
    ck_assert_int_eq(counter_get(&s.calls), 1);
    assert_saw(&s, CFUT_STATE_FINISHED, CFUT_INVALID);
}
END_TEST

/* SEM 21: also on a task that runs already */
START_TEST(callback_added_while_running_is_called_at_the_end)
{
    struct busy_pool b;
    struct counter calls;

    counter_init(&calls);
    busy_pool_open(&b);
    ck_assert_int_eq(cfut_on_done(&b.holder.base, count_call, &calls), CFUT_OK);
    ck_assert_int_eq(counter_get(&calls), 0);
    busy_pool_free_worker(&b);
    ck_assert_int_eq(counter_get(&calls), 1);
    end_pool(b.ex);
}
END_TEST

START_TEST(on_done_without_future_or_function_is_invalid)
{
    cfut_future f;
    struct counter calls;

    counter_init(&calls);
    cfut_future_init(&f);
    ck_assert_int_eq(cfut_on_done(NULL, count_call, &calls), CFUT_INVALID);
    ck_assert_int_eq(cfut_on_done(&f, NULL, &calls), CFUT_INVALID);
    cfut_finish(&f, CFUT_OK);
    ck_assert_int_eq(cfut_on_done(&f, NULL, &calls), CFUT_INVALID);
    ck_assert_int_eq(counter_get(&calls), 0);
}
END_TEST

START_TEST(on_done_of_zeroed_future_is_invalid_state)
{
    cfut_future f = { 0 };
    struct counter calls;

    counter_init(&calls);
    ck_assert_int_eq(cfut_on_done(&f, count_call, &calls), CFUT_INVALID_STATE);
    ck_assert_int_eq(counter_get(&calls), 0);
}
END_TEST

/* ---- order and number ---- */

struct sequence { int next, faults; };
struct step { struct sequence *sequence; int number; };

/* Callbacks of one future run one after the other, so no lock is needed. */
static void take_step(cfut_future *f, void *user)
{
    struct step *s = user;

    (void)f;
    if (s->number != s->sequence->next++)
        s->sequence->faults++;
}

/* Adds n callbacks to a queued task, lets it end and counts. */
static void run_steps(int n, bool cancel)
{
    struct step *steps = malloc((size_t)n * sizeof *steps);
    struct sequence sequence = { 0, 0 };
    struct busy_pool b;
    square_future f;

    square_submit(busy_pool_open(&b), &f, 5);
    for (int i = 0; i < n; i++) {
        steps[i] = (struct step){ &sequence, i };
        ck_assert_int_eq(cfut_on_done(&f.base, take_step, &steps[i]), CFUT_OK);
    }
    if (cancel)
        ck_assert(cfut_cancel(&f.base));
    busy_pool_free_worker(&b);
    ck_assert_int_eq(square_result(&f), cancel ? CFUT_CANCELLED : CFUT_OK);
    ck_assert_int_eq(sequence.next, n);
    ck_assert_int_eq(sequence.faults, 0);
    end_pool(b.ex);
    free(steps);
}

/* SEM 23; _i + 1 callbacks */
START_TEST(callbacks_run_in_order_of_adding_each_once)
{
    run_steps(_i + 1, false);
}
END_TEST

/* SEM 23 */
START_TEST(callbacks_of_cancelled_run_in_order_of_adding_each_once)
{
    run_steps(_i + 1, true);
}
END_TEST

/* SEM 23: linear, no recursion */
START_TEST(callbacks_in_large_number_run_in_order)
{
    cfut_ns begin = test_now();

    run_steps(100000, false);
    ck_assert_int_lt(test_now() - begin, test_time(CFUT_SEC(5)));
}
END_TEST

/* SEM 23 */
START_TEST(callbacks_in_large_number_of_cancelled_run_in_order)
{
    run_steps(100000, true);
}
END_TEST

/* SEM 28 */
START_TEST(callback_added_twice_is_called_twice)
{
    struct busy_pool b;
    struct counter calls;
    square_future f;

    counter_init(&calls);
    queue_with(&b, &f, count_call, &calls);
    ck_assert_int_eq(cfut_on_done(&f.base, count_call, &calls), CFUT_OK);
    busy_pool_free_worker(&b);
    square_result(&f);
    ck_assert_int_eq(counter_get(&calls), 2);
    end_pool(b.ex);
}
END_TEST

/* SEM 23: one of the two ways, never both, never none */
START_TEST(callback_when_added_just_at_the_end_is_called_once)
{
    cfut_executor *ex = test_pool();

    for (int i = 0; i < 20000; i++) {
        struct counter calls;
        square_future f;

        counter_init(&calls);
        square_submit(ex, &f, i % 100);
        ck_assert_int_eq(cfut_on_done(&f.base, count_call, &calls), CFUT_OK);
        ck_assert_int_eq(cfut_on_done(&f.base, count_call, &calls), CFUT_OK);
        square_result(&f);
        ck_assert_int_eq(counter_get(&calls), 2);
    }
    end_pool(ex);
}
END_TEST

struct adder { cfut_future *f; struct counter *calls, *ready; };

static void *add_many(void *arg)
{
    struct adder *a = arg;

    counter_add(a->ready, 1);
    for (int i = 0; i < 1000; i++)
        if (cfut_on_done(a->f, count_call, a->calls) != CFUT_OK)
            return NULL;
    return a;
}

/* SEM 23 */
START_TEST(callbacks_added_by_many_threads_during_the_end_are_called_once_each)
{
    struct counter calls, ready;
    struct busy_pool b;
    struct adder a;
    pthread_t t[4];

    counter_init(&calls);
    counter_init(&ready);
    busy_pool_open(&b);
    a = (struct adder){ &b.holder.base, &calls, &ready };
    for (int i = 0; i < 4; i++)
        t[i] = thread_start(add_many, &a);
    counter_wait(&ready, 4);
    gate_open(&b.hold.release);
    for (int i = 0; i < 4; i++) {
        void *ok;

        ck_assert_int_eq(pthread_join(t[i], &ok), 0);
        ck_assert_ptr_nonnull(ok);
    }
    ck_assert_int_eq(occupy_result(&b.holder), CFUT_OK);
    ck_assert_int_eq(counter_get(&calls), 4000);
    end_pool(b.ex);
}
END_TEST

/* SEM 28: nobody holds the future any more */
START_TEST(callback_of_released_future_is_called)
{
    struct busy_pool b;
    struct counter calls;

    counter_init(&calls);
    busy_pool_open(&b);
    for (int i = 0; i < 100; i++) {
        square_future *f = square_spawn(b.ex, i);

        cfut_on_done(&f->base, count_call, &calls);
        square_release(f);
    }
    busy_pool_end(&b);
    ck_assert_int_eq(counter_get(&calls), 100);
}
END_TEST

/* ---- where ---- */

struct where { pthread_t thread; };

static int where_am_i(const int *in, struct where *out)
{
    (void)in;
    out->thread = pthread_self();
    return CFUT_OK;
}
CFUT_TASK(where_am_i, int, struct where);

/* SEM 26 */
START_TEST(callback_runs_in_the_worker_that_ran_the_task)
{
    struct busy_pool b;
    where_am_i_future f;
    struct seen s;

    seen_init(&s);
    where_am_i_submit(busy_pool_open(&b), &f, 0);
    cfut_on_done(&f.base, look, &s);
    busy_pool_free_worker(&b);
    ck_assert_int_eq(where_am_i_result(&f), CFUT_OK);
    ck_assert(pthread_equal(s.thread, f.out.thread));
    ck_assert(!pthread_equal(s.thread, pthread_self()));
    end_pool(b.ex);
}
END_TEST

/* SEM 26, 67: closing is cancelling */
START_TEST(callback_of_task_cancelled_by_close_runs_in_the_closing_thread)
{
    struct busy_pool b;
    square_future f;
    struct seen s;

    seen_init(&s);
    queue_with(&b, &f, look, &s);
    cfut_close(b.ex, CFUT_CANCEL_PENDING);
    ck_assert_int_eq(counter_get(&s.calls), 1);
    ck_assert(pthread_equal(s.thread, pthread_self()));
    ck_assert_int_eq(s.status, CFUT_CANCELLED);
    busy_pool_end(&b);
}
END_TEST

/* ---- rule C: callbacks come first ---- */

/* Waits in every way for a future whose callback is under way. */
static void assert_nobody_sees_it_done(cfut_future *f)
{
    cfut_future *fs[1] = { f };
    cfut_iter it;

    ck_assert(!cfut_done(f));
    ck_assert_int_eq(cfut_result_timeout(f, CFUT_MS(10)), CFUT_TIMEOUT);
    ck_assert_int_eq(cfut_wait(fs, 1, CFUT_ALL_COMPLETED, CFUT_MS(10)), 0);
    ck_assert_int_eq(cfut_as_completed(&it, fs, 1, CFUT_MS(10)), CFUT_OK);
    ck_assert_ptr_null(cfut_next(&it));
    ck_assert_int_eq(it.status, CFUT_TIMEOUT);
    cfut_iter_end(&it);
}

/* SEM 27, rule C */
START_TEST(future_is_done_for_others_only_after_its_callbacks)
{
    struct busy_pool b;
    square_future f;
    struct hold h;

    hold_init(&h);
    queue_with(&b, &f, block, &h);
    busy_pool_free_worker(&b);
    gate_wait(&h.started);
    assert_nobody_sees_it_done(&f.base);
    gate_open(&h.release);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    end_pool(b.ex);
}
END_TEST

static void *call_cancel(void *arg)
{
    return cfut_cancel(arg) ? arg : NULL;
}

/* SEM 27, rule C: for a cancelled one too */
START_TEST(cancelled_future_is_done_for_others_only_after_its_callbacks)
{
    struct busy_pool b;
    square_future f;
    struct hold h;
    pthread_t t;

    hold_init(&h);
    queue_with(&b, &f, block, &h);
    t = thread_start(call_cancel, &f.base);
    gate_wait(&h.started);
    assert_nobody_sees_it_done(&f.base);
    gate_open(&h.release);
    ck_assert_int_eq(square_result(&f), CFUT_CANCELLED);
    thread_end(t);
    busy_pool_end(&b);
}
END_TEST

struct second_cancel { cfut_future *f; struct gate begun; struct counter returned; bool result; };

static void *cancel_again(void *arg)
{
    struct second_cancel *c = arg;

    gate_open(&c->begun);
    c->result = cfut_cancel(c->f);
    counter_add(&c->returned, 1);
    return NULL;
}

/* SEM 6: true means that the memory is free, so not before the callbacks end */
START_TEST(cancel_during_callbacks_of_another_cancel_waits_for_them)
{
    struct busy_pool b;
    struct second_cancel c;
    square_future f;
    struct hold h;
    pthread_t t[2];

    hold_init(&h);
    gate_init(&c.begun);
    counter_init(&c.returned);
    queue_with(&b, &f, block, &h);
    c.f = &f.base;
    t[0] = thread_start(call_cancel, &f.base);
    gate_wait(&h.started);
    t[1] = thread_start(cancel_again, &c);
    gate_wait(&c.begun);
    ck_assert(!counter_reaches(&c.returned, 1, CFUT_MS(30)));
    gate_open(&h.release);
    thread_end(t[0]);
    thread_end(t[1]);
    ck_assert(c.result);
    busy_pool_end(&b);
}
END_TEST

/* SEM 27: shutdown returns after the callbacks */
START_TEST(shutdown_returns_after_callbacks)
{
    enum { N = 100 };
    cfut_executor *ex = test_pool();
    struct counter calls;

    counter_init(&calls);
    for (int i = 0; i < N; i++) {
        square_future *f = square_spawn(ex, i);

        cfut_on_done(&f->base, count_call, &calls);
        square_release(f);
    }
    end_pool(ex);
    ck_assert_int_eq(counter_get(&calls), N);
}
END_TEST

struct late_add { cfut_future *f; struct gate begun; struct counter calls; int status; };

static void *add_late(void *arg)
{
    struct late_add *a = arg;

    gate_open(&a->begun);
    a->status = cfut_on_done(a->f, count_call, &a->calls);
    return NULL;
}

/* SEM 23, 27: a callback added by another thread meanwhile is called once,
   and result still comes after it */
START_TEST(callback_added_by_other_thread_during_callbacks_is_called_once)
{
    struct busy_pool b;
    struct late_add a;
    square_future f;
    struct hold h;
    pthread_t t;

    hold_init(&h);
    gate_init(&a.begun);
    counter_init(&a.calls);
    queue_with(&b, &f, block, &h);
    a.f = &f.base;
    busy_pool_free_worker(&b);
    gate_wait(&h.started);
    t = thread_start(add_late, &a);
    gate_wait(&a.begun);
    test_sleep(CFUT_MS(10));            /* so that it is within on_done, likely */
    gate_open(&h.release);
    thread_end(t);
    ck_assert_int_eq(a.status, CFUT_OK);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    ck_assert_int_eq(counter_get(&a.calls), 1);
    end_pool(b.ex);
}
END_TEST

/* ---- what a callback may do ---- */

static void add_to_itself(cfut_future *f, void *user)
{
    struct counter *calls = user;
    long before = counter_get(calls);

    if (cfut_on_done(f, count_call, calls) == CFUT_OK && counter_get(calls) == before + 1)
        counter_add(calls, 1000);       /* it was called at once */
}

/* SEM 22, 25: inside its own callback a future counts as done */
START_TEST(callback_that_adds_a_callback_calls_it_at_once)
{
    struct counter calls;

    counter_init(&calls);
    run_with(add_to_itself, &calls);
    ck_assert_int_eq(counter_get(&calls), 1001);
}
END_TEST

static void wait_for_itself(cfut_future *f, void *user)
{
    struct seen *s = user;
    cfut_future *fs[1] = { f };
    cfut_iter it;

    s->waited = cfut_wait(fs, 1, CFUT_ALL_COMPLETED, 0);
    s->status = cfut_as_completed(&it, fs, 1, 0);
    s->f = cfut_next(&it);
    cfut_iter_end(&it);
    s->cancel = cfut_done(f) && f == s->f;
}

/* SEM 25 */
START_TEST(callback_that_waits_for_its_own_future_sees_it_done)
{
    struct seen s;

    seen_init(&s);
    run_with(wait_for_itself, &s);
    ck_assert_int_eq(s.waited, 1);
    ck_assert_int_eq(s.status, CFUT_OK);
    ck_assert(s.cancel);
}
END_TEST

static void wait_for_itself_for_ever(cfut_future *f, void *user)
{
    struct seen *s = user;
    cfut_future *fs[1] = { f };

    s->waited = cfut_wait(fs, 1, CFUT_ALL_COMPLETED, CFUT_FOREVER);
    s->status = cfut_result(f);
    cfut_reclaim(fs, 1);
}

/* SEM 25 */
START_TEST(callback_that_waits_for_its_own_future_without_limit_returns)
{
    struct seen s;

    seen_init(&s);
    run_with(wait_for_itself_for_ever, &s);
    ck_assert_int_eq(s.waited, 1);
    ck_assert_int_eq(s.status, CFUT_OK);
}
END_TEST

struct chain { cfut_executor *ex; square_future f[2]; struct counter ended; int rounds, status; };

static void submit_next(cfut_future *f, void *user)
{
    struct chain *c = user;
    square_future *next = f == &c->f[0].base ? &c->f[1] : &c->f[0];

    c->status |= cfut_result(f);
    if (--c->rounds == 0) {
        counter_add(&c->ended, 1);
        return;
    }
    cfut_result(&next->base);           /* published: its memory is free again */
    square_submit(c->ex, next, c->rounds % 100);
    cfut_on_done(&next->base, submit_next, c);
}

/* SEM 25: two futures take turns; each is submitted by the other's callback */
START_TEST(callback_that_submits_keeps_a_chain_going)
{
    struct chain c = { .ex = pool_of(1), .rounds = 1000 };

    counter_init(&c.ended);
    square_submit(c.ex, &c.f[1], 1);
    square_result(&c.f[1]);
    square_submit(c.ex, &c.f[0], 1);
    cfut_on_done(&c.f[0].base, submit_next, &c);
    counter_wait(&c.ended, 1);
    end_pool(c.ex);
    ck_assert_int_eq(c.status, CFUT_OK);
}
END_TEST

struct nested { cfut_executor *ex; square_future f; int status; };

static void submit_and_wait(cfut_future *f, void *user)
{
    struct nested *n = user;

    (void)f;
    square_submit(n->ex, &n->f, 6);
    n->status = square_result(&n->f);
}

/* SEM 25, 81: in the only worker, so it has to run the task itself */
START_TEST(callback_that_waits_for_a_task_of_its_pool_gets_the_result)
{
    struct busy_pool b;
    struct nested n;
    square_future f;

    queue_with(&b, &f, submit_and_wait, &n);
    n.ex = b.ex;
    n.status = -1;
    busy_pool_free_worker(&b);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    ck_assert_int_eq(n.status, CFUT_OK);
    ck_assert_int_eq(n.f.out, 36);
    end_pool(b.ex);
}
END_TEST

/* SEM 25: in a thread that is no worker it waits for one */
START_TEST(callback_in_cancelling_thread_that_waits_gets_the_result)
{
    cfut_executor *other = test_pool();
    struct busy_pool b;
    struct nested n = { .ex = other, .status = -1 };
    square_future f;

    queue_with(&b, &f, submit_and_wait, &n);
    ck_assert(cfut_cancel(&f.base));
    ck_assert_int_eq(n.status, CFUT_OK);
    ck_assert_int_eq(n.f.out, 36);
    busy_pool_end(&b);
    end_pool(other);
}
END_TEST

static void cancel_other(cfut_future *f, void *user)
{
    struct seen *s = user;

    (void)f;
    s->cancel = cfut_cancel(s->f);
}

/* SEM 25 */
START_TEST(callback_that_cancels_a_queued_task_succeeds)
{
    struct busy_pool b;
    square_future f, other;
    struct seen s;

    seen_init(&s);
    queue_with(&b, &f, cancel_other, &s);
    square_submit(b.ex, &other, 2);
    s.f = &other.base;
    busy_pool_free_worker(&b);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    ck_assert(s.cancel);
    ck_assert_int_eq(square_result(&other), CFUT_CANCELLED);
    end_pool(b.ex);
}
END_TEST

struct domino { square_future *f; int i; struct domino *all; };
enum { DOMINOES = 200 };

static void topple_next(cfut_future *f, void *user)
{
    struct domino *d = user;

    (void)f;
    if (d->i + 1 < DOMINOES)
        cfut_cancel(&d->all[d->i + 1].f->base);
}

/* SEM 4, 25: cancel within callbacks of cancel, and so on */
START_TEST(callbacks_that_cancel_each_next_one_reach_the_last)
{
    struct busy_pool b;
    square_future f[DOMINOES];
    struct domino d[DOMINOES];

    busy_pool_open(&b);
    for (int i = 0; i < DOMINOES; i++) {
        d[i] = (struct domino){ &f[i], i, d };
        square_submit(b.ex, &f[i], i);
        cfut_on_done(&f[i].base, topple_next, &d[i]);
    }
    ck_assert(cfut_cancel(&f[0].base));
    for (int i = 0; i < DOMINOES; i++)
        ck_assert_int_eq(square_result_timeout(&f[i], 0), CFUT_CANCELLED);
    busy_pool_end(&b);
}
END_TEST

struct closing { cfut_executor *ex; int how; int status; struct gate *first; };

static void close_pool(cfut_future *f, void *user)
{
    struct closing *c = user;

    (void)f;
    cfut_close(c->ex, c->how);
    c->status = cfut_executor_status(c->ex);
}

/* SEM 25, 66, 67; _i: how */
START_TEST(callback_that_closes_the_pool_decides_on_the_queue)
{
    struct busy_pool b;
    square_future f, queued[10];
    struct counter calls;
    struct closing c;

    counter_init(&calls);
    queue_with(&b, &f, close_pool, &c);
    c = (struct closing){ b.ex, _i, -1, NULL };
    for (int i = 0; i < 10; i++) {
        square_submit(b.ex, &queued[i], i);
        cfut_on_done(&queued[i].base, count_call, &calls);
    }
    busy_pool_end(&b);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    ck_assert_int_eq(c.status, CFUT_CLOSED);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(square_result(&queued[i]), _i == CFUT_DRAIN ? CFUT_OK : CFUT_CANCELLED);
    ck_assert_int_eq(counter_get(&calls), 10);
}
END_TEST

static void shut_down(cfut_future *f, void *user)
{
    struct closing *c = user;

    (void)f;
    if (c->first)
        gate_open(c->first);
    c->status = cfut_shutdown(c->ex, c->how);
}

/* SEM 70: a worker cannot wait for its own end */
START_TEST(callback_that_shuts_its_pool_down_in_a_worker_gets_deadlock)
{
    struct busy_pool b;
    square_future f, after;
    struct closing c;

    queue_with(&b, &f, shut_down, &c);
    c = (struct closing){ b.ex, CFUT_DRAIN, CFUT_OK, NULL };
    busy_pool_free_worker(&b);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    ck_assert_int_eq(c.status, CFUT_DEADLOCK);
    square_submit(b.ex, &after, 3);     /* nothing was changed */
    ck_assert_int_eq(square_result(&after), CFUT_OK);
    end_pool(b.ex);
}
END_TEST

/* SEM 66, 70 */
START_TEST(callback_that_detaches_its_pool_in_a_worker_is_allowed)
{
    struct busy_pool b;
    square_future f, queued;
    struct closing c;

    queue_with(&b, &f, shut_down, &c);
    square_submit(b.ex, &queued, 4);
    c = (struct closing){ b.ex, CFUT_DRAIN | CFUT_DETACH, -1, NULL };
    gate_open(&b.hold.release);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    ck_assert_int_eq(c.status, CFUT_OK);
    ck_assert_int_eq(square_result(&queued), CFUT_OK);
    ck_assert_int_eq(queued.out, 16);
    ck_assert_int_eq(occupy_result(&b.holder), CFUT_OK);
}
END_TEST

/* SEM 25: the canceller is no worker, it may wait for the pool's end */
START_TEST(callback_in_cancelling_thread_that_shuts_the_pool_down_ends_it)
{
    struct busy_pool b;
    square_future f, queued;
    struct closing c;

    queue_with(&b, &f, shut_down, &c);
    square_submit(b.ex, &queued, 4);
    c = (struct closing){ b.ex, CFUT_DRAIN, -1, &b.hold.release };
    ck_assert(cfut_cancel(&f.base));
    ck_assert_int_eq(c.status, CFUT_OK);
    ck_assert_int_eq(square_result(&queued), CFUT_OK);
    ck_assert_int_eq(occupy_result(&b.holder), CFUT_OK);
}
END_TEST

static void release_it(cfut_future *f, void *user)
{
    counter_add(user, 1);
    square_release(square_of(f));
}

/* SEM 48: the one thing that may be done to its own memory */
START_TEST(callback_that_releases_its_spawned_future_is_allowed)
{
    cfut_executor *ex = test_pool();
    struct counter calls;
    int own = 0;

    counter_init(&calls);
    for (int i = 0; i < 1000; i++) {
        square_future *f = square_spawn(ex, i);

        own += cfut_on_done(&f->base, release_it, &calls) == CFUT_OK;
    }
    end_pool(ex);
    ck_assert_int_eq(own, 1000);
    ck_assert_int_eq(counter_get(&calls), 1000);
}
END_TEST

static void count_name(cfut_future *f, void *user)
{
    if (cfut_result(f) == CFUT_OK && square_of(f)->out == 9)
        counter_add(user, 1);
}

/* SEM 48: those added after the one that releases still see the future whole */
START_TEST(callback_after_one_that_released_sees_the_future)
{
    struct busy_pool b;
    struct counter released, calls;
    square_future *f;

    counter_init(&released);
    counter_init(&calls);
    f = square_spawn(busy_pool_open(&b), 3);
    cfut_on_done(&f->base, release_it, &released);
    cfut_on_done(&f->base, count_name, &calls);
    cfut_on_done(&f->base, count_name, &calls);
    busy_pool_end(&b);
    ck_assert_int_eq(counter_get(&released), 1);
    ck_assert_int_eq(counter_get(&calls), 2);
}
END_TEST

/* SEM 4, 48 */
START_TEST(callback_of_cancel_that_releases_its_future_is_allowed)
{
    struct busy_pool b;
    struct counter calls;
    square_future *f;

    counter_init(&calls);
    f = square_spawn(busy_pool_open(&b), 3);
    cfut_on_done(&f->base, release_it, &calls);
    ck_assert(cfut_cancel(&f->base));
    ck_assert_int_eq(counter_get(&calls), 1);
    busy_pool_end(&b);
}
END_TEST

static void finish_other(cfut_future *f, void *user)
{
    (void)f;
    cfut_finish(user, 0);
}

/* SEM 25: bridges are made of this */
START_TEST(callback_that_finishes_a_future_by_hand_wakes_its_waiter)
{
    struct busy_pool b;
    square_future f;
    cfut_future hand;

    cfut_future_init(&hand);
    queue_with(&b, &f, finish_other, &hand);
    busy_pool_free_worker(&b);
    ck_assert_int_eq(cfut_result(&hand), CFUT_OK);
    end_pool(b.ex);
}
END_TEST

static void finish_itself(cfut_future *f, void *user)
{
    struct seen *s = user;

    s->status = cfut_finish(f, 99);
    s->cancel = cfut_start(f);
}

/* SEM 30: final is final, in the callback already */
START_TEST(callback_that_finishes_its_own_future_gets_invalid_state)
{
    struct seen s;

    seen_init(&s);
    s.cancel = true;
    run_with(finish_itself, &s);
    ck_assert_int_eq(s.status, CFUT_INVALID_STATE);
    ck_assert(!s.cancel);
}
END_TEST

static void fail_late(cfut_future *f, void *user)
{
    *(int *)user = cfut_fail(cfut_result(f), "a text of the callback");
}

/* SEM 25: a callback is outside the task */
START_TEST(callback_that_calls_fail_does_not_change_the_text)
{
    struct busy_pool b;
    fail_with_future f;
    int seen = 0;

    fail_with_submit(busy_pool_open(&b), &f, 8);
    cfut_on_done(&f.base, fail_late, &seen);
    busy_pool_free_worker(&b);
    ck_assert_int_eq(fail_with_result(&f), 8);
    ck_assert_int_eq(seen, 8);
    ck_assert_str_eq(cfut_error(&f.base), "failed with 8");
    end_pool(b.ex);
}
END_TEST

/* ---- without memory ---- */

/* The first callback of a pending future needs none; a done one neither. */
START_TEST(on_done_without_memory_takes_the_first_callback)
{
    struct counter calls;
    struct busy_pool b;
    square_future f;

    counter_init(&calls);
    square_submit(busy_pool_open(&b), &f, 5);
    fault_at(&fault_memory, 1, true);
    ck_assert_int_eq(cfut_on_done(&f.base, count_call, &calls), CFUT_OK);
    busy_pool_free_worker(&b);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    ck_assert_int_eq(counter_get(&calls), 1);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(cfut_on_done(&f.base, count_call, &calls), CFUT_OK);
    ck_assert_int_eq(counter_get(&calls), 4);
    end_pool(b.ex);
}
END_TEST

/* A callback that could not be added is not called; the others are. */
START_TEST(on_done_without_memory_refuses_further_callbacks)
{
    enum { N = 200 };
    struct sequence sequence = { 0, 0 };
    struct step steps[N];
    struct counter extra;
    cfut_future f;
    int accepted = 0;

    counter_init(&extra);
    cfut_future_init(&f);
    for (int i = 0; i < N; i++) {
        int status;

        steps[i] = (struct step){ &sequence, i };
        ck_assert_int_eq(cfut_on_done(&f, take_step, &steps[i]), CFUT_OK);
        fault_at(&fault_memory, 1, true);
        status = cfut_on_done(&f, count_call, &extra);
        fault_at(&fault_memory, 0, false);
        ck_assert(status == CFUT_OK || status == CFUT_NO_MEMORY);
        accepted += status == CFUT_OK;
    }
    ck_assert_int_lt(accepted, N);      /* some were refused */
    ck_assert_int_eq(cfut_finish(&f, 0), CFUT_OK);
    ck_assert_int_eq(counter_get(&extra), accepted);
    ck_assert_int_eq(sequence.next, N);
    ck_assert_int_eq(sequence.faults, 0);
}
END_TEST

/* What callbacks needed is given back. */
START_TEST(callbacks_when_done_leave_no_memory_behind)
{
    long before;
    cfut_future f;
    struct counter calls;

    counter_init(&calls);
    before = fault_live(&fault_memory);
    for (int round = 0; round < 3; round++) {
        cfut_future_init(&f);
        for (int i = 0; i < 1000; i++)
            ck_assert_int_eq(cfut_on_done(&f, count_call, &calls), CFUT_OK);
        ck_assert_int_eq(cfut_finish(&f, 0), CFUT_OK);
        ck_assert_int_eq(fault_live(&fault_memory), before);
    }
    ck_assert_int_eq(counter_get(&calls), 3000);
}
END_TEST

/* ---- */

/* ---- callbacks that end their thread ---- */

static struct counter departed;

static void count_departed(cfut_future *f, void *unused)
{
    (void)unused;
    ck_assert(cfut_done(f));
    counter_add(&departed, 1);
}

static void leave_in_callback(cfut_future *f, void *unused)
{
    count_departed(f, unused);
    pthread_exit(NULL);
}

/* Three callbacks, the second of which ends the thread. */
static void add_departure(cfut_future *f)
{
    ck_assert_int_eq(cfut_on_done(f, count_departed, NULL), CFUT_OK);
    ck_assert_int_eq(cfut_on_done(f, leave_in_callback, NULL), CFUT_OK);
    ck_assert_int_eq(cfut_on_done(f, count_departed, NULL), CFUT_OK);
}

/* The thread ends in a callback of its own future. */
static int leave_on_the_spot(const int *in, int *out)
{
    *out = *in;
    add_departure(cfut_current_future());
    return 3;
}
CFUT_TASK(leave_on_the_spot, int, int);

/* How a thread comes to run callbacks. */
enum departure {
    BY_FINISH, BY_HAND_CANCEL, BY_INLINE, BY_CANCEL, BY_CLOSE, BY_NESTED_CLOSE, DEPARTURES
};

struct departing {
    enum departure how;
    struct busy_pool busy;
    cfut_future hand;
    square_future queued[3];
    leave_on_the_spot_future spot;
};

static int depart(struct departing *const *at, int *unused)
{
    struct departing *d = *at;

    *unused = 0;
    switch (d->how) {
    case BY_FINISH:
    case BY_NESTED_CLOSE: cfut_finish(&d->hand, 7); break;
    case BY_HAND_CANCEL: cfut_cancel(&d->hand); break;
    case BY_INLINE: leave_on_the_spot_submit(cfut_inline_executor(), &d->spot, 1); break;
    case BY_CANCEL: cfut_cancel(&d->queued[1].base); break;
    case BY_CLOSE: cfut_close(d->busy.ex, CFUT_CANCEL_PENDING); break;
    case DEPARTURES: break;
    }
    ck_abort_msg("the thread goes on");
    return CFUT_OK;
}
CFUT_TASK(depart, struct departing *, int);

static void close_in_callback(cfut_future *f, void *d)
{
    (void)f;
    cfut_close(((struct departing *)d)->busy.ex, CFUT_CANCEL_PENDING);
}

static void *depart_in_thread(void *d)
{
    struct departing *departing = d;
    int unused;

    depart(&departing, &unused);
    return NULL;
}

static void departing_init(struct departing *d, int how)
{
    counter_init(&departed);
    d->how = (enum departure)how;
    busy_pool_open(&d->busy);
    for (int i = 0; i < 3; i++) square_submit(d->busy.ex, &d->queued[i], i);
    cfut_future_init(&d->hand);
    if (how == BY_NESTED_CLOSE)
        ck_assert_int_eq(cfut_on_done(&d->hand, close_in_callback, d), CFUT_OK);
    if (how == BY_CANCEL || how == BY_CLOSE || how == BY_NESTED_CLOSE)
        add_departure(&d->queued[1].base);
    if (how == BY_FINISH || how == BY_HAND_CANCEL)
        add_departure(&d->hand);
}

static void assert_departed(struct departing *d)
{
    bool closed = d->how == BY_CLOSE || d->how == BY_NESTED_CLOSE;
    int ends[] = { closed ? CFUT_CANCELLED : CFUT_OK,
                   closed || d->how == BY_CANCEL ? CFUT_CANCELLED : CFUT_OK,
                   closed ? CFUT_CANCELLED : CFUT_OK };

    ck_assert_int_eq(counter_get(&departed), 3);
    if (d->how == BY_FINISH || d->how == BY_NESTED_CLOSE)
        ck_assert_int_eq(cfut_result(&d->hand), 7);
    if (d->how == BY_HAND_CANCEL)
        ck_assert_int_eq(cfut_result(&d->hand), CFUT_CANCELLED);
    if (d->how == BY_INLINE) ck_assert_int_eq(leave_on_the_spot_result(&d->spot), 3);
    busy_pool_end(&d->busy);
    for (int i = 0; i < 3; i++) ck_assert_int_eq(square_result(&d->queued[i]), ends[i]);
}

/* SEM 20, 21: all callbacks are called, all futures end, the pool does */
START_TEST(callback_that_ends_a_thread_of_the_users_leaves_nothing_undone)
{
    struct departing d;

    departing_init(&d, _i);
    thread_end(thread_start(depart_in_thread, &d));
    assert_departed(&d);
}
END_TEST

/* SEM 20, 21 */
START_TEST(callback_that_ends_a_worker_leaves_nothing_undone)
{
    cfut_executor *ex = pool_of(1);
    struct departing d;
    depart_future f;
    square_future next;

    departing_init(&d, _i);
    depart_submit(ex, &f, &d);
    square_submit(ex, &next, 4);
    ck_assert_int_eq(depart_result(&f), CFUT_ABANDONED);
    ck_assert_int_eq(square_result(&next), CFUT_OK);
    end_pool(ex);
    assert_departed(&d);
}
END_TEST

static int fail_to_init(void *gate)
{
    gate_wait(gate);
    return 1;
}

/* SEM 20, 64: what was queued fails, whatever its callbacks do */
START_TEST(callback_of_a_broken_pool_may_end_its_thread)
{
    struct gate gate;
    cfut_executor *ex;
    square_future f[3];

    counter_init(&departed);
    gate_init(&gate);
    ex = cfut_thread_pool(&(cfut_thread_pool_desc){
        .max_workers = 1, .initializer = fail_to_init, .init_arg = &gate });
    for (int i = 0; i < 3; i++) square_submit(ex, &f[i], i);
    add_departure(&f[1].base);
    gate_open(&gate);
    for (int i = 0; i < 3; i++) ck_assert_int_eq(square_result(&f[i]), CFUT_BROKEN);
    ck_assert_int_eq(cfut_shutdown(ex, CFUT_DRAIN), CFUT_OK);
    ck_assert_int_eq(counter_get(&departed), 3);
}
END_TEST

/* A hook whose callbacks end the thread: the pool is broken, or has ended, and no worker
   comes in the place of this one. */
static int hooks_run;

static void depart_in_hook(void)
{
    static cfut_future f;

    __atomic_add_fetch(&hooks_run, 1, __ATOMIC_RELAXED);
    cfut_future_init(&f);
    add_departure(&f);
    cfut_cancel(&f);
}

static int depart_in_initializer(void *unused)
{
    (void)unused;
    depart_in_hook();
    return 0;
}

static void depart_in_finalizer(void *unused)
{
    (void)unused;
    depart_in_hook();
}

START_TEST(callback_that_ends_the_thread_in_a_hook_replaces_nobody)
{
    cfut_executor *ex = cfut_thread_pool(&(cfut_thread_pool_desc){
        .max_workers = 1, .initializer = _i ? depart_in_initializer : NULL,
        .finalizer = _i ? NULL : depart_in_finalizer });
    square_future f;

    counter_init(&departed);
    square_submit(ex, &f, 2);
    ck_assert_int_eq(square_result(&f), _i ? CFUT_BROKEN : CFUT_OK);
    ck_assert_int_eq(cfut_shutdown(ex, CFUT_DRAIN), CFUT_OK);
    ck_assert_int_eq(__atomic_load_n(&hooks_run, __ATOMIC_RELAXED), 1);
    ck_assert_int_eq(counter_get(&departed), 3);
}
END_TEST

struct outer { cfut_future *f, hand; bool seen; };

static void look_at_outer(cfut_future *f, void *user)
{
    struct outer *o = user;

    o->seen = f == &o->hand && cfut_done(f) && cfut_done(o->f) && cfut_result(o->f) == 5 &&
              !strcmp(cfut_error(o->f), "failed with 5") &&
              !strcmp(cfut_error(f), cfut_strerror(1));
}

static void finish_within(cfut_future *f, void *user)
{
    struct outer *o = user;

    o->f = f;
    cfut_future_init(&o->hand);
    cfut_on_done(&o->hand, look_at_outer, o);
    cfut_finish(&o->hand, 1);
}

/* In both of them it is done. */
START_TEST(callback_within_a_callback_sees_both_futures_done)
{
    struct busy_pool b;
    fail_with_future f;
    struct outer o = { 0 };

    fail_with_submit(busy_pool_open(&b), &f, 5);
    cfut_on_done(&f.base, finish_within, &o);
    busy_pool_free_worker(&b);
    ck_assert_int_eq(fail_with_result(&f), 5);
    ck_assert(o.seen);
    end_pool(b.ex);
}
END_TEST

struct two_pools { cfut_executor *outer, *inner; int status; };

static void end_outer(cfut_future *f, void *user)
{
    struct two_pools *p = user;

    (void)f;
    p->status = cfut_shutdown(p->outer, CFUT_DRAIN);
}

static void cancel_inner(cfut_future *f, void *user)
{
    (void)f;
    cfut_close(((struct two_pools *)user)->inner, CFUT_CANCEL_PENDING);
}

/* Both ends are under way, in this thread. */
START_TEST(shutdown_in_a_callback_of_a_close_in_a_callback_of_a_close_is_a_deadlock)
{
    struct busy_pool outer, inner;
    struct two_pools p = { busy_pool_open(&outer), busy_pool_open(&inner), 0 };
    square_future f, g;

    square_submit(p.outer, &f, 1);
    square_submit(p.inner, &g, 2);
    cfut_on_done(&f.base, cancel_inner, &p);
    cfut_on_done(&g.base, end_outer, &p);
    cfut_close(p.outer, CFUT_CANCEL_PENDING);
    ck_assert_int_eq(p.status, CFUT_DEADLOCK);
    busy_pool_end(&inner);
    busy_pool_end(&outer);
}
END_TEST

static int look_around(const int *x, int *out)
{
    cfut_executor *ex = cfut_current();

    *out = *x * *x + (ex && cfut_executor_status(ex) != CFUT_OK);
    return cfut_fail(*x, "with %d", *x);
}
CFUT_TASK(look_around, int, int);

static void fork_and_join(cfut_future *f, void *user)
{
    look_around_future g;

    (void)f;
    look_around_fork(&g, 6);
    *(int *)user = look_around_join(&g) == 6 && g.out == 36 &&
                   !strcmp(cfut_error(&g.base), "with 6");
}

/* There is no task around it, whose executor it would have. */
START_TEST(callback_that_forks_joins_what_it_forked)
{
    struct busy_pool b;
    int good = 0;

    cfut_on_done(&(busy_pool_open(&b), &b.holder)->base, fork_and_join, &good);
    busy_pool_end(&b);
    ck_assert_int_eq(good, 1);
}
END_TEST

static void fill_departures(TCase *tc)
{
    tcase_add_loop_test(tc, callback_that_ends_a_thread_of_the_users_leaves_nothing_undone, 0,
                        DEPARTURES);
    tcase_add_loop_test(tc, callback_that_ends_a_worker_leaves_nothing_undone, 0, DEPARTURES);
    tcase_add_test(tc, callback_of_a_broken_pool_may_end_its_thread);
    tcase_add_loop_test(tc, callback_that_ends_the_thread_in_a_hook_replaces_nobody, 0, 2);
}

static void fill_when(TCase *tc)
{
    tcase_add_test(tc, callback_when_task_succeeds_is_called_once_with_its_future);
    tcase_add_test(tc, callback_when_task_fails_is_called_with_the_code);
    tcase_add_test(tc, callback_when_cancelled_is_called_in_the_cancelling_thread);
    tcase_add_test(tc, callback_when_already_succeeded_is_called_at_once_here);
    tcase_add_test(tc, callback_when_already_failed_is_called_at_once_here);
    tcase_add_test(tc, callback_when_already_cancelled_is_called_at_once_here);
    tcase_add_test(tc, callback_when_submit_was_refused_is_called_at_once_here);
    tcase_add_test(tc, callback_added_while_running_is_called_at_the_end);
    tcase_add_test(tc, on_done_without_future_or_function_is_invalid);
    tcase_add_test(tc, on_done_of_zeroed_future_is_invalid_state);
    tcase_add_loop_test(tc, callbacks_run_in_order_of_adding_each_once, 0, 20);
    tcase_add_loop_test(tc, callbacks_of_cancelled_run_in_order_of_adding_each_once, 0, 20);
    tcase_add_test(tc, callbacks_in_large_number_run_in_order);
    tcase_add_test(tc, callbacks_in_large_number_of_cancelled_run_in_order);
    tcase_add_test(tc, callback_added_twice_is_called_twice);
    tcase_add_test(tc, callback_when_added_just_at_the_end_is_called_once);
    tcase_add_test(tc, callbacks_added_by_many_threads_during_the_end_are_called_once_each);
    tcase_add_test(tc, callback_of_released_future_is_called);
    tcase_add_test(tc, callback_runs_in_the_worker_that_ran_the_task);
    tcase_add_test(tc, callback_of_task_cancelled_by_close_runs_in_the_closing_thread);
    tcase_add_test(tc, future_is_done_for_others_only_after_its_callbacks);
    tcase_add_test(tc, cancelled_future_is_done_for_others_only_after_its_callbacks);
    tcase_add_test(tc, cancel_during_callbacks_of_another_cancel_waits_for_them);
    tcase_add_test(tc, shutdown_returns_after_callbacks);
    tcase_add_test(tc, callback_added_by_other_thread_during_callbacks_is_called_once);
}

static void fill_what(TCase *tc)
{
    tcase_add_test(tc, callback_that_adds_a_callback_calls_it_at_once);
    tcase_add_test(tc, callback_that_waits_for_its_own_future_sees_it_done);
    tcase_add_test(tc, callback_that_waits_for_its_own_future_without_limit_returns);
    tcase_add_test(tc, callback_that_submits_keeps_a_chain_going);
    tcase_add_test(tc, callback_that_waits_for_a_task_of_its_pool_gets_the_result);
    tcase_add_test(tc, callback_in_cancelling_thread_that_waits_gets_the_result);
    tcase_add_test(tc, callback_that_cancels_a_queued_task_succeeds);
    tcase_add_test(tc, callbacks_that_cancel_each_next_one_reach_the_last);
    tcase_add_loop_test(tc, callback_that_closes_the_pool_decides_on_the_queue, CFUT_DRAIN,
                        CFUT_CANCEL_PENDING + 1);
    tcase_add_test(tc, callback_that_shuts_its_pool_down_in_a_worker_gets_deadlock);
    tcase_add_test(tc, callback_that_detaches_its_pool_in_a_worker_is_allowed);
    tcase_add_test(tc, callback_in_cancelling_thread_that_shuts_the_pool_down_ends_it);
    tcase_add_test(tc, callback_that_releases_its_spawned_future_is_allowed);
    tcase_add_test(tc, callback_after_one_that_released_sees_the_future);
    tcase_add_test(tc, callback_of_cancel_that_releases_its_future_is_allowed);
    tcase_add_test(tc, callback_that_finishes_a_future_by_hand_wakes_its_waiter);
    tcase_add_test(tc, callback_that_finishes_its_own_future_gets_invalid_state);
    tcase_add_test(tc, callback_that_calls_fail_does_not_change_the_text);
    tcase_add_test(tc, callback_within_a_callback_sees_both_futures_done);
    tcase_add_test(tc, callback_that_forks_joins_what_it_forked);
    tcase_add_test(tc, shutdown_in_a_callback_of_a_close_in_a_callback_of_a_close_is_a_deadlock);
    tcase_add_test(tc, on_done_without_memory_takes_the_first_callback);
    tcase_add_test(tc, on_done_without_memory_refuses_further_callbacks);
    tcase_add_test(tc, callbacks_when_done_leave_no_memory_behind);
}

static void fill(TCase *tc)
{
    if (TASKS_CAN_EXIT) fill_departures(tc);
    fill_when(tc);
    fill_what(tc);
}

int main(void) { return harness_main("callbacks", fill); }
