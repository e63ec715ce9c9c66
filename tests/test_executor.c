/* test_executor.c: executors: submit, close and shutdown in all variants, the
   threads of a pool and their faults, the inline executor, the failed ones. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1               /* affinity, names of threads */
#endif
#define HARNESS_FAULTS
#include "harness.h"

#include <limits.h>
#ifdef _WIN32
#include <tlhelp32.h>
#else
#include <sched.h>
#endif

/* ---- helpers ---- */

static int post(struct counter *const *c)
{
    counter_add(*c, 1);
    return CFUT_OK;
}
CFUT_ACTION(post, struct counter *);

static void count_call(cfut_future *f, void *user)
{
    (void)f;
    counter_add(user, 1);
}

static int run_square(cfut_executor *ex, int x)
{
    square_future f;

    square_submit(ex, &f, x);
    if (square_result(&f) == CFUT_OK)
        ck_assert_int_eq(f.out, x * x);
    return square_result(&f);
}

/* The threads of this process, as the system counts them. */
#ifdef _WIN32
static int thread_count(void)
{
    HANDLE list = CreateToolhelp32Snapshot(TH32CS_SNAPTHREAD, 0);
    THREADENTRY32 entry = { .dwSize = sizeof entry };
    int n = 0;

    ck_assert(list != INVALID_HANDLE_VALUE);
    for (bool more = Thread32First(list, &entry); more; more = Thread32Next(list, &entry))
        n += entry.th32OwnerProcessID == GetCurrentProcessId();
    CloseHandle(list);
    return n;
}
#else
static int thread_count(void)
{
    DIR *dir = opendir("/proc/self/task");
    struct dirent *entry;
    int n = 0;

    ck_assert_ptr_nonnull(dir);
    while ((entry = readdir(dir)) != NULL)
        n += entry->d_name[0] != '.';
    closedir(dir);
    return n;
}
#endif

/* The system may list a joined thread for a moment longer. */
static void assert_threads_return_to(int n)
{
    cfut_ns end = test_now() + test_time(CFUT_SEC(5));

    while (thread_count() > n && test_now() < end)
        test_sleep(CFUT_MS(1));
    ck_assert_int_eq(thread_count(), n);
}

/* ---- submit ---- */

struct order { int seen[1000]; int n; };
struct place { struct order *order; int number; };

static int note_place(const struct place *p)
{
    p->order->seen[p->order->n++] = p->number;
    return CFUT_OK;
}
CFUT_ACTION(note_place, struct place);

/* SEM 63 */
START_TEST(tasks_from_outside_start_in_order_of_submission)
{
    enum { N = 1000 };
    struct order order = { .n = 0 };
    note_place_future *f = malloc(N * sizeof *f);
    struct busy_pool b;

    busy_pool_open(&b);
    for (int i = 0; i < N; i++)
        note_place_submit(b.ex, &f[i], (struct place){ &order, i });
    busy_pool_end(&b);
    ck_assert_int_eq(order.n, N);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(order.seen[i], i);
    free(f);
}
END_TEST

/* SEM 63: cancelled ones leave no hole and no disorder */
START_TEST(tasks_between_cancelled_ones_start_in_order_of_submission)
{
    enum { N = 1000 };
    struct order order = { .n = 0 };
    note_place_future *f = malloc(N * sizeof *f);
    struct busy_pool b;

    busy_pool_open(&b);
    for (int i = 0; i < N; i++)
        note_place_submit(b.ex, &f[i], (struct place){ &order, i });
    for (int i = 0; i < N; i++)
        if (i % 3 != 0)
            ck_assert(cfut_cancel(&f[i].base));
    busy_pool_end(&b);
    ck_assert_int_eq(order.n, (N + 2) / 3);
    for (int i = 0; i < order.n; i++)
        ck_assert_int_eq(order.seen[i], 3 * i);
    free(f);
}
END_TEST

struct submitter { cfut_executor *ex; struct counter *ran, *closed; int n; };

static void *submit_many(void *arg)
{
    struct submitter *s = arg;
    post_future *f = malloc((size_t)s->n * sizeof *f);

    for (int i = 0; i < s->n; i++)
        post_submit(s->ex, &f[i], s->ran);
    for (int i = 0; i < s->n; i++)
        if (post_result(&f[i]) != CFUT_OK)
            counter_add(s->closed, 1);
    free(f);
    return NULL;
}

/* SEM 60 */
START_TEST(submit_from_many_threads_runs_every_task_once)
{
    struct counter ran, refused;
    struct submitter s = { test_pool(), &ran, &refused, 2000 };
    pthread_t t[8];

    counter_init(&ran);
    counter_init(&refused);
    for (int i = 0; i < 8; i++)
        t[i] = thread_start(submit_many, &s);
    for (int i = 0; i < 8; i++)
        thread_end(t[i]);
    ck_assert_int_eq(counter_get(&ran), 16000);
    ck_assert_int_eq(counter_get(&refused), 0);
    end_pool(s.ex);
}
END_TEST

/* in: the depth of a binary tree; out: its leaves */
static int tree(const int *depth, int *leaves);
CFUT_TASK(tree, int, int);

static int tree(const int *depth, int *leaves)
{
    tree_future left, right;
    int a, b;

    *leaves = 1;
    if (*depth == 0)
        return CFUT_OK;
    tree_submit(cfut_current(), &left, *depth - 1);
    tree_submit(cfut_current(), &right, *depth - 1);
    a = tree_result(&left);
    b = tree_result(&right);
    *leaves = left.out + right.out;
    return a ? a : b;
}

/* SEM 81, rule F: waits nested in one saturated pool finish */
START_TEST(tasks_that_wait_for_tasks_of_their_pool_finish)
{
    cfut_executor *ex = test_pool();
    tree_future f;

    tree_submit(ex, &f, 12);
    ck_assert_int_eq(tree_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, 4096);
    end_pool(ex);
}
END_TEST

/* SEM 81 */
START_TEST(tasks_that_wait_for_tasks_of_their_pool_finish_with_one_worker)
{
    cfut_executor *ex = pool_of(1);
    tree_future f;

    tree_submit(ex, &f, 10);
    ck_assert_int_eq(tree_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, 1024);
    ck_assert_uint_eq(cfut_executor_workers(ex), 1);
    end_pool(ex);
}
END_TEST

struct relay { struct gate started, stop; struct counter ended; };

/* Submits its own successor until told to stop. */
static int pass_on(struct relay *const *relay);
CFUT_ACTION(pass_on, struct relay *);

static int pass_on(struct relay *const *relay)
{
    gate_open(&(*relay)->started);
    if (gate_is_open(&(*relay)->stop))
        counter_add(&(*relay)->ended, 1);
    else
        pass_on_release(pass_on_spawn(cfut_current(), *relay));
    return CFUT_OK;
}

static int open_gate(struct gate *const *gate)
{
    gate_open(*gate);
    return CFUT_OK;
}
CFUT_ACTION(open_gate, struct gate *);

/* SEM 63: a worker that feeds itself for ever looks outside too */
START_TEST(task_from_outside_is_not_starved_by_tasks_that_submit)
{
    cfut_executor *ex = pool_of(1);
    struct relay relay;
    open_gate_future f;

    gate_init(&relay.started);
    gate_init(&relay.stop);
    counter_init(&relay.ended);
    pass_on_release(pass_on_spawn(ex, &relay));
    gate_wait(&relay.started);
    open_gate_submit(ex, &f, &relay.stop);
    ck_assert_int_eq(open_gate_result(&f), CFUT_OK);
    end_pool(ex);
    ck_assert_int_eq(counter_get(&relay.ended), 1);
}
END_TEST

/* Two pools never disturb each other. */
START_TEST(pool_beside_a_closed_one_works)
{
    struct busy_pool b;
    cfut_executor *other = test_pool();

    busy_pool_open(&b);
    ck_assert_int_eq(run_square(other, 3), CFUT_OK);
    cfut_close(b.ex, CFUT_CANCEL_PENDING);
    ck_assert_int_eq(run_square(other, 4), CFUT_OK);
    ck_assert_int_eq(run_square(b.ex, 4), CFUT_CLOSED);
    busy_pool_end(&b);
    ck_assert_int_eq(run_square(other, 5), CFUT_OK);
    end_pool(other);
}
END_TEST

/* ---- status and close ---- */

START_TEST(executor_status_when_open_is_ok)
{
    cfut_executor *ex = test_pool();

    ck_assert_int_eq(cfut_executor_status(ex), CFUT_OK);
    end_pool(ex);
}
END_TEST

/* SEM 66 */
START_TEST(executor_status_when_closed_is_closed)
{
    cfut_executor *ex = test_pool();

    cfut_close(ex, CFUT_DRAIN);
    ck_assert_int_eq(cfut_executor_status(ex), CFUT_CLOSED);
    end_pool(ex);
}
END_TEST

START_TEST(executor_functions_when_null_say_so)
{
    ck_assert_int_eq(cfut_executor_status(NULL), CFUT_INVALID);
    ck_assert_uint_eq(cfut_executor_max_workers(NULL), 0);
    ck_assert_uint_eq(cfut_executor_workers(NULL), 0);
    cfut_close(NULL, CFUT_DRAIN);
    ck_assert_int_eq(cfut_shutdown(NULL, CFUT_DRAIN), CFUT_OK);
    ck_assert_int_eq(cfut_shutdown_timeout(NULL, CFUT_DRAIN, 0), CFUT_OK);
}
END_TEST

/* SEM 61; _i: how */
START_TEST(submit_after_close_is_refused_with_closed)
{
    cfut_executor *ex = test_pool();
    square_future f;

    ck_assert_int_eq(run_square(ex, 2), CFUT_OK);
    cfut_close(ex, _i);
    f.out = -1;
    ck_assert_ptr_eq(square_submit(ex, &f, 3), &f.base);
    ck_assert(cfut_done(&f.base));
    ck_assert_int_eq(square_result_timeout(&f, 0), CFUT_CLOSED);
    ck_assert_str_eq(cfut_error(&f.base), cfut_strerror(CFUT_CLOSED));
    ck_assert_int_eq(f.out, -1);
    end_pool(ex);
}
END_TEST

/* SEM 66: wait=False: returns at once, the queue is drained all the same */
START_TEST(close_with_drain_lets_queued_tasks_run)
{
    enum { N = 100 };
    struct busy_pool b;
    square_future f[N];

    busy_pool_open(&b);
    for (int i = 0; i < N; i++)
        square_submit(b.ex, &f[i], i);
    cfut_close(b.ex, CFUT_DRAIN);               /* the worker is busy: no wait */
    ck_assert(cfut_running(&b.holder.base));
    busy_pool_free_worker(&b);
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(square_result(&f[i]), CFUT_OK);
        ck_assert_int_eq(f[i].out, i * i);
    }
    end_pool(b.ex);
}
END_TEST

/* Waits for n cancelled futures by every call there is. */
static void assert_all_cancelled(square_future *f, size_t n)
{
    cfut_future *fs[100];
    cfut_iter it;
    size_t seen = 0;

    for (size_t i = 0; i < n; i++) {
        fs[i] = &f[i].base;
        ck_assert_int_eq(cfut_future_state(fs[i]), CFUT_STATE_CANCELLED_AND_NOTIFIED);
        ck_assert_int_eq(square_result(&f[i]), CFUT_CANCELLED);
    }
    ck_assert_int_eq(cfut_wait(fs, n, CFUT_ALL_COMPLETED, CFUT_FOREVER), (ptrdiff_t)n);
    ck_assert_int_eq(cfut_as_completed(&it, fs, n, CFUT_FOREVER), CFUT_OK);
    while (cfut_next(&it))
        seen++;
    ck_assert_uint_eq(seen, n);
    cfut_iter_end(&it);
}

/* SEM 67: none is left pending, and waits on them end */
START_TEST(close_with_cancel_pending_cancels_what_has_not_started)
{
    enum { N = 100 };
    struct busy_pool b;
    square_future f[N];

    busy_pool_open(&b);
    for (int i = 0; i < N; i++)
        square_submit(b.ex, &f[i], i);
    cfut_close(b.ex, CFUT_CANCEL_PENDING);
    assert_all_cancelled(f, N);
    ck_assert(cfut_running(&b.holder.base));
    busy_pool_end(&b);
    ck_assert_int_eq(b.holder.out, 1);          /* what ran has finished */
}
END_TEST

struct sleeper { cfut_future **fs; size_t n; struct gate begun; ptrdiff_t done; };

static void *wait_for_all(void *arg)
{
    struct sleeper *s = arg;

    gate_open(&s->begun);
    s->done = cfut_wait(s->fs, s->n, CFUT_ALL_COMPLETED, CFUT_FOREVER);
    return NULL;
}

/* SEM 67: those that wait already are woken */
START_TEST(close_with_cancel_pending_wakes_waiters)
{
    enum { N = 20 };
    struct busy_pool b;
    square_future f[N];
    cfut_future *fs[N];
    struct sleeper s = { fs, N, .done = 0 };
    pthread_t t;

    gate_init(&s.begun);
    busy_pool_open(&b);
    for (int i = 0; i < N; i++)
        fs[i] = square_submit(b.ex, &f[i], i);
    t = thread_start(wait_for_all, &s);
    gate_wait(&s.begun);
    cfut_close(b.ex, CFUT_CANCEL_PENDING);
    thread_end(t);
    ck_assert_int_eq(s.done, N);
    busy_pool_end(&b);
}
END_TEST

/* SEM 65: any number of times */
START_TEST(close_again_does_no_harm)
{
    struct busy_pool b;
    square_future f;

    square_submit(busy_pool_open(&b), &f, 4);
    for (int i = 0; i < 5; i++)
        cfut_close(b.ex, CFUT_DRAIN);
    busy_pool_free_worker(&b);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    cfut_close(b.ex, CFUT_CANCEL_PENDING);
    end_pool(b.ex);
}
END_TEST

/* SEM 67: a drain can still become a cancellation */
START_TEST(close_with_cancel_pending_after_drain_cancels_the_rest)
{
    enum { N = 100 };
    struct busy_pool b;
    square_future f[N];

    busy_pool_open(&b);
    for (int i = 0; i < N; i++)
        square_submit(b.ex, &f[i], i);
    cfut_close(b.ex, CFUT_DRAIN);
    ck_assert_int_eq(cfut_future_state(&f[0].base), CFUT_STATE_PENDING);
    cfut_close(b.ex, CFUT_CANCEL_PENDING);
    assert_all_cancelled(f, N);
    busy_pool_end(&b);
}
END_TEST

/* SEM 61, 66: a race of submit and close: each future is done, one way or the
   other, and what was accepted ran */
START_TEST(close_during_submits_refuses_or_runs_each)
{
    for (int round = 0; round < 50; round++) {
        struct counter ran, refused;
        struct submitter s = { test_pool(), &ran, &refused, 200 };
        pthread_t t[4];

        counter_init(&ran);
        counter_init(&refused);
        for (int i = 0; i < 4; i++)
            t[i] = thread_start(submit_many, &s);
        if (round % 2)
            counter_wait(&ran, 100);
        cfut_close(s.ex, CFUT_DRAIN);
        for (int i = 0; i < 4; i++)
            thread_end(t[i]);
        ck_assert_int_eq(counter_get(&ran) + counter_get(&refused), 800);
        end_pool(s.ex);
    }
}
END_TEST

/* SEM 67: the same with cancellation */
START_TEST(close_with_cancel_pending_during_submits_ends_each)
{
    for (int round = 0; round < 50; round++) {
        struct counter ran, refused;
        struct submitter s = { test_pool(), &ran, &refused, 200 };
        pthread_t t[4];

        counter_init(&ran);
        counter_init(&refused);
        for (int i = 0; i < 4; i++)
            t[i] = thread_start(submit_many, &s);
        cfut_close(s.ex, CFUT_CANCEL_PENDING);
        for (int i = 0; i < 4; i++)
            thread_end(t[i]);
        ck_assert_int_eq(counter_get(&ran) + counter_get(&refused), 800);
        end_pool(s.ex);
    }
}
END_TEST

/* ---- tasks that submit to a pool that ends ---- */

struct nested_submit { struct gate started, release; struct counter ran; int depth; };

/* Submits its successor after the pool was closed, down to depth 0. */
static int submit_deeper(struct nested_submit *const *n, int *out);
CFUT_TASK(submit_deeper, struct nested_submit *, int);

static int submit_deeper(struct nested_submit *const *n, int *out)
{
    submit_deeper_future *f;

    *out = 0;
    gate_open(&(*n)->started);
    gate_wait(&(*n)->release);
    counter_add(&(*n)->ran, 1);
    if ((*n)->depth-- == 0)
        return CFUT_OK;
    f = submit_deeper_spawn(cfut_current(), *n);
    if (cfut_done(&f->base) && submit_deeper_result(f) != CFUT_OK)
        *out = submit_deeper_result(f);
    submit_deeper_release(f);
    return CFUT_OK;
}

/* SEM 61, 66: nested work of a draining pool finishes; others are refused */
START_TEST(tasks_of_a_draining_pool_may_submit_to_it)
{
    cfut_executor *ex = test_pool();
    struct nested_submit n = { .depth = 100 };
    submit_deeper_future f;

    gate_init(&n.started);
    gate_init(&n.release);
    counter_init(&n.ran);
    submit_deeper_submit(ex, &f, &n);
    gate_wait(&n.started);
    cfut_close(ex, CFUT_DRAIN);
    ck_assert_int_eq(run_square(ex, 2), CFUT_CLOSED);
    gate_open(&n.release);
    end_pool(ex);
    ck_assert_int_eq(counter_get(&n.ran), 101);
    ck_assert_int_eq(f.out, CFUT_OK);
}
END_TEST

/* SEM 67 */
START_TEST(tasks_of_a_cancelling_pool_are_refused_too)
{
    cfut_executor *ex = test_pool();
    struct nested_submit n = { .depth = 100 };
    submit_deeper_future f;

    gate_init(&n.started);
    gate_init(&n.release);
    counter_init(&n.ran);
    submit_deeper_submit(ex, &f, &n);
    gate_wait(&n.started);
    cfut_close(ex, CFUT_CANCEL_PENDING);
    gate_open(&n.release);
    ck_assert_int_eq(submit_deeper_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, CFUT_CLOSED);
    end_pool(ex);
    ck_assert_int_eq(counter_get(&n.ran), 1);
}
END_TEST

static int submit_elsewhere(cfut_executor *const *ex, int *out)
{
    *out = run_square(*ex, 3);
    return CFUT_OK;
}
CFUT_TASK(submit_elsewhere, cfut_executor *, int);

/* SEM 61: being in some task is not enough */
START_TEST(tasks_of_another_pool_are_refused_by_a_draining_pool)
{
    cfut_executor *other = test_pool();
    struct busy_pool b;
    submit_elsewhere_future f;

    busy_pool_open(&b);
    cfut_close(b.ex, CFUT_DRAIN);
    submit_elsewhere_submit(other, &f, b.ex);
    ck_assert_int_eq(submit_elsewhere_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, CFUT_CLOSED);
    busy_pool_end(&b);
    end_pool(other);
}
END_TEST

/* SEM 81 and 66: nested waits during the drain */
START_TEST(tasks_that_wait_for_tasks_of_their_draining_pool_finish)
{
    cfut_executor *ex = test_pool();
    tree_future f;

    tree_submit(ex, &f, 10);
    end_pool(ex);
    ck_assert_int_eq(tree_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, 1024);
}
END_TEST

/* ---- shutdown ---- */

/* SEM 65, 66 */
START_TEST(shutdown_with_drain_runs_everything_first)
{
    enum { N = 1000 };
    cfut_executor *ex = test_pool();
    square_future *f = malloc(N * sizeof *f);

    for (int i = 0; i < N; i++)
        square_submit(ex, &f[i], i);
    ck_assert_int_eq(cfut_shutdown(ex, CFUT_DRAIN), CFUT_OK);
    for (int i = 0; i < N; i++) {
        ck_assert(cfut_done(&f[i].base));
        ck_assert_int_eq(square_result(&f[i]), CFUT_OK);
        ck_assert_int_eq(f[i].out, i * i);
    }
    free(f);
}
END_TEST

static void *open_later(void *arg)
{
    test_sleep(CFUT_MS(20));
    gate_open(arg);
    return NULL;
}

/* SEM 67 */
START_TEST(shutdown_with_cancel_pending_waits_for_what_runs_only)
{
    enum { N = 100 };
    struct busy_pool b;
    square_future f[N];
    pthread_t t;

    busy_pool_open(&b);
    for (int i = 0; i < N; i++)
        square_submit(b.ex, &f[i], i);
    t = thread_start(open_later, &b.hold.release);
    ck_assert_int_eq(cfut_shutdown(b.ex, CFUT_CANCEL_PENDING), CFUT_OK);
    ck_assert_int_eq(cfut_future_state(&b.holder.base), CFUT_STATE_FINISHED);
    ck_assert_int_eq(b.holder.out, 1);
    assert_all_cancelled(f, N);
    thread_end(t);
}
END_TEST

/* SEM 65 */
START_TEST(shutdown_of_unused_pool_starts_and_leaves_nothing)
{
    int before = thread_count();

    for (int i = 0; i < 200; i++) {
        cfut_executor *ex = test_pool();

        ck_assert_uint_eq(cfut_executor_workers(ex), 0);
        end_pool(ex);
    }
    ck_assert_int_eq(thread_count(), before);
}
END_TEST

/* SEM 66, 79: the last thread is gone when it returns */
START_TEST(shutdown_joins_every_thread)
{
    int before = thread_count();

    for (int round = 0; round < 20; round++) {
        cfut_executor *ex = test_pool();
        square_future f[100];

        for (int i = 0; i < 100; i++)
            square_submit(ex, &f[i], i);
        end_pool(ex);
    }
    assert_threads_return_to(before);
}
END_TEST

/* SEM 65 */
START_TEST(shutdown_again_is_ok_and_does_nothing)
{
    cfut_executor *ex = test_pool();

    ck_assert_int_eq(run_square(ex, 3), CFUT_OK);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(cfut_shutdown(ex, CFUT_DRAIN), CFUT_OK);
    ck_assert_int_eq(cfut_shutdown(ex, CFUT_CANCEL_PENDING), CFUT_OK);
    ck_assert_int_eq(cfut_shutdown(ex, CFUT_DETACH), CFUT_OK);
    ck_assert_int_eq(cfut_shutdown_timeout(ex, CFUT_DRAIN, 0), CFUT_OK);
}
END_TEST

/* SEM 61, 65: an ended handle is no wild pointer, for 256 more ends */
START_TEST(handle_after_shutdown_answers_closed)
{
    cfut_executor *ended = test_pool();

    end_pool(ended);
    for (int i = 0; i < 255; i++) {
        ck_assert_int_eq(cfut_executor_status(ended), CFUT_CLOSED);
        ck_assert_int_eq(run_square(ended, 3), CFUT_CLOSED);
        cfut_close(ended, CFUT_DRAIN);
        ck_assert_uint_eq(cfut_executor_workers(ended), 0);
        end_pool(test_pool());
    }
    ck_assert_int_eq(run_square(ended, 3), CFUT_CLOSED);
}
END_TEST

static void *shut_down(void *arg)
{
    return cfut_shutdown(arg, CFUT_DRAIN) == CFUT_OK ? arg : NULL;
}

/* SEM 65: both return when all is over */
START_TEST(shutdown_from_two_threads_is_ok_for_both)
{
    for (int round = 0; round < 100; round++) {
        cfut_executor *ex = test_pool();
        square_future f[20];
        pthread_t t;
        void *ok;

        for (int i = 0; i < 20; i++)
            square_submit(ex, &f[i], i);
        t = thread_start(shut_down, ex);
        ck_assert_int_eq(cfut_shutdown(ex, CFUT_DRAIN), CFUT_OK);
        for (int i = 0; i < 20; i++)
            ck_assert(cfut_done(&f[i].base));
        ck_assert_int_eq(pthread_join(t, &ok), 0);
        ck_assert_ptr_nonnull(ok);
    }
}
END_TEST

/* SEM 65: while a task is sure to run */
START_TEST(shutdown_from_many_threads_during_a_task_is_ok_for_all)
{
    struct busy_pool b;
    pthread_t t[8];

    busy_pool_open(&b);
    for (int i = 0; i < 8; i++)
        t[i] = thread_start(shut_down, b.ex);
    while (cfut_executor_status(b.ex) != CFUT_CLOSED)
        test_sleep(CFUT_US(100));
    gate_open(&b.hold.release);
    for (int i = 0; i < 8; i++) {
        void *ok;

        ck_assert_int_eq(pthread_join(t[i], &ok), 0);
        ck_assert_ptr_nonnull(ok);
    }
}
END_TEST

static void *submit_until_closed(void *arg)
{
    cfut_executor *ex = arg;
    int status;

    while ((status = run_square(ex, 5)) == CFUT_OK) {}
    return status == CFUT_CLOSED ? arg : NULL;
}

/* SEM 66 (bpo-12364, 12456): submits that race with the end */
START_TEST(shutdown_during_submits_hangs_nobody)
{
    for (int round = 0; round < 50; round++) {
        cfut_executor *ex = test_pool();
        pthread_t t[3];

        for (int i = 0; i < 3; i++)
            t[i] = thread_start(submit_until_closed, ex);
        test_sleep(CFUT_US(20 * round));
        ck_assert_int_eq(cfut_shutdown(ex, round % 2), CFUT_OK);
        for (int i = 0; i < 3; i++) {
            void *ok;

            ck_assert_int_eq(pthread_join(t[i], &ok), 0);
            ck_assert(round % 2 || ok);     /* a cancelled one is neither */
        }
    }
}
END_TEST

/* SEM 69 */
START_TEST(shutdown_after_submit_and_cancel_does_not_hang)
{
    for (int i = 0; i < 500; i++) {
        cfut_executor *ex = test_pool();
        square_future f;
        bool cancelled;

        square_submit(ex, &f, 3);
        cancelled = cfut_cancel(&f.base);
        end_pool(ex);
        ck_assert_int_eq(square_result(&f), cancelled ? CFUT_CANCELLED : CFUT_OK);
    }
}
END_TEST

static const int unknown_hows[] = { 3 | 4, 4, 8, -1, INT_MAX, INT_MIN };

START_TEST(shutdown_with_unknown_how_is_invalid_and_changes_nothing)
{
    cfut_executor *ex = test_pool();

    ck_assert_int_eq(cfut_shutdown(ex, unknown_hows[_i]), CFUT_INVALID);
    ck_assert_int_eq(cfut_shutdown_timeout(ex, unknown_hows[_i], 0), CFUT_INVALID);
    ck_assert_int_eq(run_square(ex, 3), CFUT_OK);
    end_pool(ex);
}
END_TEST

struct own_end { int how; cfut_ns timeout; };

static int shut_down_own_pool(const struct own_end *e, int *out)
{
    *out = e->timeout < 0 ? cfut_shutdown(cfut_current(), e->how)
                          : cfut_shutdown_timeout(cfut_current(), e->how, e->timeout);
    return CFUT_OK;
}
CFUT_TASK(shut_down_own_pool, struct own_end, int);

static const struct own_end own_ends[] = {
    { CFUT_DRAIN, -1 }, { CFUT_CANCEL_PENDING, -1 }, { CFUT_DRAIN, CFUT_SEC(1) }
};

/* SEM 70 */
START_TEST(shutdown_in_own_task_is_deadlock_and_changes_nothing)
{
    cfut_executor *ex = test_pool();
    shut_down_own_pool_future f;

    shut_down_own_pool_submit(ex, &f, own_ends[_i]);
    ck_assert_int_eq(shut_down_own_pool_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, CFUT_DEADLOCK);
    ck_assert_int_eq(cfut_executor_status(ex), CFUT_OK);
    ck_assert_int_eq(run_square(ex, 3), CFUT_OK);
    end_pool(ex);
}
END_TEST

/* SEM 66, 70; _i: drain or cancel */
START_TEST(shutdown_with_detach_in_own_task_is_allowed)
{
    struct busy_pool b;
    shut_down_own_pool_future f;
    square_future queued;

    busy_pool_open(&b);
    shut_down_own_pool_submit(b.ex, &f, (struct own_end){ _i | CFUT_DETACH, -1 });
    square_submit(b.ex, &queued, 6);
    gate_open(&b.hold.release);
    ck_assert_int_eq(shut_down_own_pool_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, CFUT_OK);
    ck_assert_int_eq(square_result(&queued), _i == CFUT_DRAIN ? CFUT_OK : CFUT_CANCELLED);
    ck_assert_int_eq(run_square(b.ex, 3), CFUT_CLOSED);
    ck_assert_int_eq(occupy_result(&b.holder), CFUT_OK);
}
END_TEST

static int shut_down_other(cfut_executor *const *ex, int *out)
{
    *out = cfut_shutdown(*ex, CFUT_DRAIN);
    return CFUT_OK;
}
CFUT_TASK(shut_down_other, cfut_executor *, int);

/* SEM 70: another pool is no matter */
START_TEST(shutdown_of_another_pool_in_a_task_is_ok)
{
    cfut_executor *ex = test_pool(), *other = test_pool();
    shut_down_other_future f;

    ck_assert_int_eq(run_square(other, 3), CFUT_OK);
    shut_down_other_submit(ex, &f, other);
    ck_assert_int_eq(shut_down_other_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, CFUT_OK);
    end_pool(ex);
}
END_TEST

/* SEM 66, 68: does not wait, drains, frees itself */
START_TEST(shutdown_with_detach_returns_at_once_and_drains)
{
    enum { N = 50 };
    int before = thread_count();
    struct busy_pool b;
    square_future f[N];

    busy_pool_open(&b);
    for (int i = 0; i < N; i++)
        square_submit(b.ex, &f[i], i);
    ck_assert_int_eq(cfut_shutdown(b.ex, CFUT_DRAIN | CFUT_DETACH), CFUT_OK);
    ck_assert(cfut_running(&b.holder.base));
    ck_assert_int_eq(run_square(b.ex, 1), CFUT_CLOSED);
    busy_pool_free_worker(&b);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(square_result(&f[i]), CFUT_OK);
    assert_threads_return_to(before);
}
END_TEST

/* SEM 67, 68 */
START_TEST(shutdown_with_detach_and_cancel_cancels_at_once)
{
    enum { N = 50 };
    int before = thread_count();
    struct busy_pool b;
    square_future f[N];

    busy_pool_open(&b);
    for (int i = 0; i < N; i++)
        square_submit(b.ex, &f[i], i);
    ck_assert_int_eq(cfut_shutdown(b.ex, CFUT_CANCEL_PENDING | CFUT_DETACH), CFUT_OK);
    assert_all_cancelled(f, N);
    busy_pool_free_worker(&b);
    assert_threads_return_to(before);
}
END_TEST

/* SEM 66: and of a pool that never ran anything */
START_TEST(shutdown_with_detach_of_unused_pool_frees_it)
{
    long before = fault_live(&fault_memory), after;

    for (int i = 0; i < 300; i++)
        ck_assert_int_eq(cfut_shutdown(test_pool(), CFUT_DETACH), CFUT_OK);
    after = fault_live(&fault_memory);
    for (int i = 0; i < 300; i++)
        ck_assert_int_eq(cfut_shutdown(test_pool(), CFUT_DETACH), CFUT_OK);
    ck_assert_int_eq(fault_live(&fault_memory), after);
    ck_assert_int_le(after - before, 257);      /* the ended handles that still answer */
}
END_TEST

static const cfut_ns short_times[] = { 0, -1, INT64_MIN, CFUT_MS(1), CFUT_MS(30) };

/* SEM 66 */
START_TEST(shutdown_timeout_during_a_task_times_out_and_can_be_repeated)
{
    struct busy_pool b;
    square_future f;
    cfut_ns begin, limit = short_times[_i];

    square_submit(busy_pool_open(&b), &f, 4);
    for (int i = 0; i < 2; i++) {
        begin = test_now();
        ck_assert_int_eq(cfut_shutdown_timeout(b.ex, CFUT_DRAIN, limit), CFUT_TIMEOUT);
        ck_assert_int_ge(test_now() - begin, limit);
    }
    ck_assert_int_eq(cfut_executor_status(b.ex), CFUT_CLOSED);
    ck_assert_int_eq(run_square(b.ex, 1), CFUT_CLOSED);
    gate_open(&b.hold.release);
    ck_assert_int_eq(cfut_shutdown_timeout(b.ex, CFUT_DRAIN, CFUT_FOREVER), CFUT_OK);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    ck_assert_int_eq(cfut_shutdown_timeout(b.ex, CFUT_DRAIN, 0), CFUT_OK);
}
END_TEST

/* SEM 67: a timed-out drain can still be turned into a cancellation */
START_TEST(shutdown_with_cancel_pending_after_timeout_cancels_the_rest)
{
    struct busy_pool b;
    square_future f;

    square_submit(busy_pool_open(&b), &f, 4);
    ck_assert_int_eq(cfut_shutdown_timeout(b.ex, CFUT_DRAIN, 0), CFUT_TIMEOUT);
    ck_assert(!cfut_done(&f.base));
    ck_assert_int_eq(cfut_shutdown_timeout(b.ex, CFUT_CANCEL_PENDING, 0), CFUT_TIMEOUT);
    ck_assert_int_eq(square_result_timeout(&f, 0), CFUT_CANCELLED);
    gate_open(&b.hold.release);
    ck_assert_int_eq(cfut_shutdown(b.ex, CFUT_DRAIN), CFUT_OK);
}
END_TEST

/* SEM 66: limits beyond all times */
START_TEST(shutdown_timeout_huge_waits)
{
    const cfut_ns huge[] = { CFUT_FOREVER, CFUT_FOREVER - 1, INT64_MAX / 2 };

    for (int i = 0; i < 3; i++) {
        struct busy_pool b;
        pthread_t t;

        busy_pool_open(&b);
        t = thread_start(open_later, &b.hold.release);
        ck_assert_int_eq(cfut_shutdown_timeout(b.ex, CFUT_DRAIN, huge[i]), CFUT_OK);
        ck_assert_int_eq(occupy_result(&b.holder), CFUT_OK);
        thread_end(t);
    }
}
END_TEST

/* ---- threads on demand ---- */

/* SEM 73 */
START_TEST(workers_before_the_first_submit_are_none)
{
    cfut_executor *ex = pool_of(7);

    ck_assert_uint_eq(cfut_executor_workers(ex), 0);
    ck_assert_uint_eq(cfut_executor_max_workers(ex), 7);
    end_pool(ex);
}
END_TEST

/* SEM 73: one more for each task that finds nobody idle, up to the limit */
START_TEST(workers_grow_by_one_for_each_busy_one)
{
    int n = test_workers();
    cfut_executor *ex = test_pool();
    struct hold *h = calloc((size_t)n, sizeof *h);
    occupy_future *f = calloc((size_t)n, sizeof *f);
    square_future extra;

    for (int i = 0; i < n; i++) {
        hold_worker(ex, &f[i], &h[i]);
        ck_assert_uint_eq(cfut_executor_workers(ex), (size_t)i + 1);
    }
    square_submit(ex, &extra, 3);
    ck_assert_uint_eq(cfut_executor_workers(ex), (size_t)n);
    for (int i = 0; i < n; i++)
        gate_open(&h[i].release);
    end_pool(ex);
    ck_assert_int_eq(square_result(&extra), CFUT_OK);
    free(h);
    free(f);
}
END_TEST

/* SEM 73: test_saturation */
START_TEST(workers_under_many_blocked_tasks_do_not_exceed_the_limit)
{
    enum { N = 200 };
    size_t limit = (size_t)test_workers();
    cfut_executor *ex = test_pool();
    wait_gate_future f[N];
    struct gate g;

    gate_init(&g);
    for (int i = 0; i < N; i++)
        wait_gate_submit(ex, &f[i], &g);
    ck_assert_uint_eq(cfut_executor_workers(ex), limit < N ? limit : N);
    gate_open(&g);
    end_pool(ex);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(wait_gate_result(&f[i]), CFUT_OK);
}
END_TEST

/* SEM 74, rule G: idle is who has published */
START_TEST(workers_when_tasks_come_one_by_one_stay_one)
{
    cfut_executor *ex = pool_of(8);

    for (int i = 0; i < 2000; i++)
        ck_assert_int_eq(run_square(ex, i), CFUT_OK);
    ck_assert_uint_eq(cfut_executor_workers(ex), 1);
    end_pool(ex);
}
END_TEST

/* SEM 74: two at a time need two, however often */
START_TEST(workers_when_tasks_come_in_pairs_stay_two)
{
    cfut_executor *ex = pool_of(8);

    for (int i = 0; i < 1000; i++) {
        square_future f[2];

        square_submit(ex, &f[0], i);
        square_submit(ex, &f[1], i);
        ck_assert_int_eq(square_result(&f[0]), CFUT_OK);
        ck_assert_int_eq(square_result(&f[1]), CFUT_OK);
    }
    ck_assert_uint_le(cfut_executor_workers(ex), 2);
    end_pool(ex);
}
END_TEST

static int meet(struct counter *const *here, int *out)
{
    *out = (int)counter_add(*here, 1);
    counter_wait(*here, test_workers());
    return CFUT_OK;
}
CFUT_TASK(meet, struct counter *, int);

/* SEM 73, 74: as many tasks as workers are under way at once, each time */
START_TEST(tasks_as_many_as_workers_run_at_the_same_time)
{
    int n = test_workers();
    cfut_executor *ex = test_pool();
    meet_future *f = malloc((size_t)n * sizeof *f);

    for (int round = 0; round < 20; round++) {
        struct counter here;

        counter_init(&here);
        for (int i = 0; i < n; i++)
            meet_submit(ex, &f[i], &here);
        for (int i = 0; i < n; i++)
            ck_assert_int_eq(meet_result(&f[i]), CFUT_OK);
    }
    ck_assert_uint_eq(cfut_executor_workers(ex), (size_t)n);
    end_pool(ex);
    free(f);
}
END_TEST

static int wait_for_gate(struct gate *const *gate)
{
    gate_wait(*gate);
    return CFUT_OK;
}
CFUT_ACTION(wait_for_gate, struct gate *);

static int pass_gate(struct gate *const *gate)
{
    gate_open(*gate);
    return CFUT_OK;
}
CFUT_ACTION(pass_gate, struct gate *);

struct pouring { cfut_executor *ex; struct gate enough; };

static void *pour(void *arg)
{
    enum { N = 64 };
    static square_future f[N];
    struct pouring *p = arg;

    for (long i = 0; !gate_is_open(&p->enough); i++) {
        if (i >= N) square_result(&f[i % N]);
        square_submit(p->ex, &f[i % N], 3);
    }
    for (int i = 0; i < N; i++) cfut_reclaim((cfut_future *[]){ &f[i].base }, 1);
    return NULL;
}

/* SEM 63: few workers take what is tiny; a task that proves to be long holds up nothing. */
START_TEST(task_behind_a_long_one_starts_while_tiny_ones_pour_in)
{
    struct pouring p = { .ex = pool_of(5) };
    pthread_t t;

    gate_init(&p.enough);
    t = thread_start(pour, &p);
    for (int round = 0; round < 30; round++) {
        wait_for_gate_future first, second;
        pass_gate_future opener;
        struct gate gate;

        gate_init(&gate);
        wait_for_gate_submit(p.ex, &first, &gate);
        wait_for_gate_submit(p.ex, &second, &gate);
        pass_gate_submit(p.ex, &opener, &gate);
        ck_assert_int_eq(wait_for_gate_result(&first), CFUT_OK);
        ck_assert_int_eq(wait_for_gate_result(&second), CFUT_OK);
        ck_assert_int_eq(pass_gate_result(&opener), CFUT_OK);
        test_sleep(CFUT_US(300));
    }
    gate_open(&p.enough);
    thread_end(t);
    end_pool(p.ex);
}
END_TEST

struct pushing { cfut_executor *ex; int rounds; };

/* Pushes a task, private until somebody asks, and waits for it by means of its own. */
static int push_and_wait(const struct pushing *p)
{
    for (int round = 0; round < p->rounds; round++) {
        pass_gate_future opener;
        struct gate gate;

        gate_init(&gate);
        pass_gate_submit(p->ex, &opener, &gate);
        gate_wait(&gate);
        pass_gate_result(&opener);
    }
    return CFUT_OK;
}
CFUT_ACTION(push_and_wait, struct pushing);

/* SEM 63: they who take what is tiny come for what another one has pushed, too. */
START_TEST(task_pushed_by_a_long_one_starts_while_tiny_ones_pour_in)
{
    struct pouring p = { .ex = pool_of(5) };
    push_and_wait_future f;
    pthread_t t;

    gate_init(&p.enough);
    t = thread_start(pour, &p);
    push_and_wait_submit(p.ex, &f, (struct pushing){ p.ex, 100 });
    ck_assert_int_eq(push_and_wait_result(&f), CFUT_OK);
    gate_open(&p.enough);
    thread_end(t);
    end_pool(p.ex);
}
END_TEST

struct crowd { struct counter here; meet_future *f; };

/* Submits from inside as many tasks as there are other workers. */
static int gather(struct crowd *const *crowd, int *out)
{
    struct crowd *c = *crowd;

    for (int i = 1; i < test_workers(); i++)
        meet_submit(cfut_current(), &c->f[i], &c->here);
    return meet(&(struct counter *){ &c->here }, out);
}
CFUT_TASK(gather, struct crowd *, int);

/* SEM 73: what a task submits is taken by others, threads are added for it */
START_TEST(tasks_submitted_by_a_blocked_task_run_in_other_workers)
{
    int n = test_workers();
    cfut_executor *ex = test_pool();
    struct crowd c = { .f = malloc((size_t)n * sizeof *c.f) };
    gather_future f;

    counter_init(&c.here);
    gather_submit(ex, &f, &c);
    ck_assert_int_eq(gather_result(&f), CFUT_OK);
    ck_assert_uint_eq(cfut_executor_workers(ex), (size_t)n);
    end_pool(ex);
    free(c.f);
}
END_TEST

#ifdef _WIN32
static int cpus_allowed(void)
{
    SYSTEM_INFO info;

    GetSystemInfo(&info);
    return (int)info.dwNumberOfProcessors;
}

/* Whether this process may use only one CPU from now on. */
static bool keep_one_cpu(void) { return SetProcessAffinityMask(GetCurrentProcess(), 1); }
#else
static int cpus_allowed(void)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    ck_assert_int_eq(sched_getaffinity(0, sizeof set, &set), 0);
    return CPU_COUNT(&set);
}

/* Whether this process may use only one CPU from now on. */
static bool keep_one_cpu(void)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((size_t)sched_getcpu(), &set);
    return sched_setaffinity(0, sizeof set, &set) == 0;
}
#endif

/* SEM 71, rule I: affinity, and less if a quota says so */
START_TEST(max_workers_by_default_is_the_cpus_allowed)
{
    cfut_executor *ex = cfut_thread_pool(NULL);

    ck_assert_int_eq(cfut_executor_status(ex), CFUT_OK);
    ck_assert_uint_ge(cfut_executor_max_workers(ex), 1);
    ck_assert_uint_le(cfut_executor_max_workers(ex), (size_t)cpus_allowed());
    ck_assert_int_eq(run_square(ex, 3), CFUT_OK);
    end_pool(ex);
}
END_TEST

/* SEM 71 */
START_TEST(max_workers_by_default_with_one_cpu_is_one)
{
    cfut_executor *ex;

    ck_assert(keep_one_cpu());
    ex = cfut_thread_pool(&(cfut_thread_pool_desc){ .max_workers = 0 });
    ck_assert_uint_eq(cfut_executor_max_workers(ex), 1);
    ck_assert_int_eq(run_square(ex, 3), CFUT_OK);
    end_pool(ex);
}
END_TEST

static const int bad_numbers[] = { -1, -2, INT_MIN };

/* A pool that could not be made answers everything with the reason. */
static void assert_unmade(cfut_executor *ex, int status)
{
    square_future f;

    ck_assert_ptr_nonnull(ex);
    ck_assert_int_eq(cfut_executor_status(ex), status);
    ck_assert_uint_eq(cfut_executor_max_workers(ex), 0);
    ck_assert_uint_eq(cfut_executor_workers(ex), 0);
    square_submit(ex, &f, 3);
    ck_assert_int_eq(square_result(&f), status);
    ck_assert_uint_gt(strlen(cfut_error(&f.base)), 0);
    cfut_close(ex, CFUT_CANCEL_PENDING);
    ck_assert_int_eq(cfut_shutdown_timeout(ex, CFUT_DRAIN, 0), CFUT_OK);
    ck_assert_int_eq(cfut_shutdown(ex, CFUT_DRAIN), CFUT_OK);
    ck_assert_int_eq(cfut_shutdown(ex, CFUT_DETACH), CFUT_OK);
    ck_assert_int_eq(cfut_executor_status(ex), status);
}

/* SEM 72 */
START_TEST(pool_with_negative_workers_is_invalid)
{
    assert_unmade(pool_of(bad_numbers[_i]), CFUT_INVALID);
}
END_TEST

/* SEM 72 */
START_TEST(pool_with_unknown_exit_policy_is_invalid)
{
    assert_unmade(cfut_thread_pool(&(cfut_thread_pool_desc){ .exit = 2 }), CFUT_INVALID);
    assert_unmade(cfut_thread_pool(&(cfut_thread_pool_desc){ .exit = -1 }), CFUT_INVALID);
}
END_TEST

/* SEM 72: neither a crash nor a number that wrapped around */
START_TEST(pool_with_absurd_workers_is_refused_or_works)
{
    cfut_executor *ex = pool_of(INT_MAX);
    int status = cfut_executor_status(ex);

    ck_assert(status == CFUT_OK || status == CFUT_INVALID || status == CFUT_NO_MEMORY);
    if (status == CFUT_OK) {
        ck_assert_uint_eq(cfut_executor_max_workers(ex), INT_MAX);
        ck_assert_int_eq(run_square(ex, 3), CFUT_OK);
        end_pool(ex);
    } else {
        assert_unmade(ex, status);
    }
}
END_TEST

/* SEM 73 */
START_TEST(pool_with_ten_thousand_workers_works)
{
    enum { N = 100 };
    cfut_executor *ex = pool_of(10000);
    struct hold h[N];
    occupy_future f[N];

    ck_assert_int_eq(cfut_executor_status(ex), CFUT_OK);
    ck_assert_uint_eq(cfut_executor_max_workers(ex), 10000);
    for (int i = 0; i < N; i++)
        hold_worker(ex, &f[i], &h[i]);
    ck_assert_uint_eq(cfut_executor_workers(ex), N);
    for (int i = 0; i < N; i++)
        gate_open(&h[i].release);
    end_pool(ex);
}
END_TEST

/* ---- names ---- */

struct names { char full[128], system[32]; };

static int tell_names(const int *in, struct names *out)
{
    const char *name = cfut_worker_name();

    (void)in;
    snprintf(out->full, sizeof out->full, "%s", name ? name : "(none)");
    return pthread_getname_np(pthread_self(), out->system, sizeof out->system);
}
CFUT_TASK(tell_names, int, struct names);

static struct names names_of(cfut_executor *ex)
{
    tell_names_future f;

    tell_names_submit(ex, &f, 0);
    ck_assert_int_eq(tell_names_result(&f), CFUT_OK);
    return f.out;
}

static cfut_executor *pool_named(const char *prefix)
{
    return cfut_thread_pool(&(cfut_thread_pool_desc){ .max_workers = 1,
                                                      .thread_name_prefix = prefix });
}

/* SEM 75 */
START_TEST(worker_name_is_prefix_and_number)
{
    char prefix[] = "loader";
    cfut_executor *ex = pool_named(prefix);
    struct names names;

    memset(prefix, 'x', sizeof prefix - 1);     /* it was copied */
    names = names_of(ex);
    ck_assert_str_eq(names.full, "loader_0");
#ifndef _WIN32                      /* winpthreads knows only the names that it gave */
    ck_assert_str_eq(names.system, "loader_0");
#endif
    end_pool(ex);
}
END_TEST

/* SEM 75 */
START_TEST(worker_name_by_default_counts_pools)
{
    cfut_executor *a = pool_of(1), *b = pool_of(1);
    char first[128], second[128];
    unsigned n, m;

    snprintf(first, sizeof first, "%s", names_of(a).full);
    snprintf(second, sizeof second, "%s", names_of(b).full);
    ck_assert_msg(sscanf(first, "ThreadPoolExecutor-%u_0", &n) == 1, "%s", first);
    ck_assert_msg(sscanf(second, "ThreadPoolExecutor-%u_0", &m) == 1, "%s", second);
    ck_assert_uint_eq(m, n + 1);
    end_pool(a);
    end_pool(b);
}
END_TEST

#ifndef _WIN32
/* SEM 75: the system's 15 bytes keep the number at the end */
START_TEST(system_name_of_worker_keeps_the_number)
{
    cfut_executor *ex = pool_named("a-prefix-longer-than-fifteen");
    struct names names = names_of(ex);
    size_t n = strlen(names.system);

    ck_assert_str_eq(names.full, "a-prefix-longer-than-fifteen_0");
    ck_assert_uint_le(n, 15);
    ck_assert_uint_ge(n, 2);
    ck_assert_str_eq(names.system + n - 2, "_0");
    ck_assert_int_eq(strncmp(names.system, "a-prefix", 8), 0);
    end_pool(ex);
}
END_TEST
#endif

#define PREFIX_47 "01234567890123456789012345678901234567890123456"

/* SEM 75 */
START_TEST(worker_name_with_long_prefix_is_cut_at_47_bytes)
{
    cfut_executor *whole = pool_named(PREFIX_47), *cut = pool_named(PREFIX_47 "789");

    ck_assert_str_eq(names_of(whole).full, PREFIX_47 "_0");
    ck_assert_str_eq(names_of(cut).full, PREFIX_47 "_0");
    end_pool(whole);
    end_pool(cut);
}
END_TEST

struct roll { struct counter here; unsigned char seen[64]; };

/* Marks its worker's number, once all workers are here. */
static int answer_roll(struct roll *const *roll, int *out)
{
    const char *name = cfut_worker_name();

    counter_add(&(*roll)->here, 1);
    counter_wait(&(*roll)->here, test_workers());
    *out = name && sscanf(name, "roll_%d", out) == 1 ? *out : -1;
    return CFUT_OK;
}
CFUT_TASK(answer_roll, struct roll *, int);

/* SEM 75 */
START_TEST(worker_names_are_numbered_without_gaps)
{
    int n = test_workers();
    cfut_executor *ex = cfut_thread_pool(
        &(cfut_thread_pool_desc){ .max_workers = n, .thread_name_prefix = "roll" });
    answer_roll_future *f = malloc((size_t)n * sizeof *f);
    unsigned char *seen = calloc((size_t)n, 1);
    struct roll roll;

    counter_init(&roll.here);
    for (int i = 0; i < n; i++)
        answer_roll_submit(ex, &f[i], &roll);
    for (int i = 0; i < n; i++) {
        answer_roll_result(&f[i]);
        ck_assert_int_ge(f[i].out, 0);
        ck_assert_int_lt(f[i].out, n);
        ck_assert_int_eq(seen[f[i].out]++, 0);
    }
    end_pool(ex);
    free(f);
    free(seen);
}
END_TEST

/* ---- initializer and finalizer ---- */

struct setup {
    struct counter inits, finals, tasks;
    long fail_from;                 /* the init from which on all fail; 0: none */
};

static _Thread_local struct setup *mine;

static int initialize(void *arg)
{
    struct setup *s = arg;
    long n = counter_add(&s->inits, 1);

    mine = s;
    return s->fail_from > 0 && n >= s->fail_from;
}

static void finalize(void *arg)
{
    struct setup *s = arg;

    counter_add(&s->finals, mine == s ? 1 : 1000);
}

static int use_setup(struct setup *const *s)
{
    counter_add(&(*s)->tasks, 1);
    return mine == *s ? CFUT_OK : 1;
}
CFUT_ACTION(use_setup, struct setup *);

static void setup_init(struct setup *s, long fail_from)
{
    counter_init(&s->inits);
    counter_init(&s->finals);
    counter_init(&s->tasks);
    s->fail_from = fail_from;
}

static cfut_executor *pool_with(struct setup *s, int workers)
{
    return cfut_thread_pool(&(cfut_thread_pool_desc){ .max_workers = workers,
        .initializer = initialize, .finalizer = finalize, .init_arg = s });
}

/* SEM 76, 99: and makes a context of the worker's own, here a thread-local */
START_TEST(initializer_runs_once_in_each_worker_before_its_first_task)
{
    enum { N = 500 };
    struct setup s;
    cfut_executor *ex;
    use_setup_future f[N];
    size_t workers;

    setup_init(&s, 0);
    ex = pool_with(&s, test_workers());
    ck_assert_int_eq(counter_get(&s.inits), 0);
    for (int i = 0; i < N; i++)
        use_setup_submit(ex, &f[i], &s);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(use_setup_result(&f[i]), CFUT_OK);
    workers = cfut_executor_workers(ex);
    end_pool(ex);
    ck_assert_int_eq(counter_get(&s.inits), (long)workers);
    ck_assert_int_eq(counter_get(&s.finals), (long)workers);
}
END_TEST

/* SEM 76: the finalizer after the last task, before shutdown returns */
START_TEST(finalizer_runs_in_each_initialized_worker_at_its_end)
{
    struct setup s;
    struct hold h[2];
    occupy_future f[2];
    cfut_executor *ex;

    setup_init(&s, 0);
    ex = pool_with(&s, 2);
    for (int i = 0; i < 2; i++)
        hold_worker(ex, &f[i], &h[i]);
    ck_assert_int_eq(counter_get(&s.inits), 2);
    ck_assert_int_eq(counter_get(&s.finals), 0);
    for (int i = 0; i < 2; i++)
        gate_open(&h[i].release);
    end_pool(ex);
    ck_assert_int_eq(counter_get(&s.finals), 2);
}
END_TEST

static void count_end(void *arg) { counter_add(arg, 1); }

/* SEM 76 */
START_TEST(finalizer_without_initializer_runs)
{
    struct counter ends;
    cfut_executor *ex;

    counter_init(&ends);
    ex = cfut_thread_pool(&(cfut_thread_pool_desc){ .max_workers = 1, .finalizer = count_end,
                                                    .init_arg = &ends });
    ck_assert_int_eq(run_square(ex, 3), CFUT_OK);
    end_pool(ex);
    ck_assert_int_eq(counter_get(&ends), 1);
}
END_TEST

/* SEM 77 */
START_TEST(pool_whose_initializer_fails_is_broken)
{
    enum { N = 50 };
    struct setup s;
    cfut_executor *ex;
    use_setup_future f[N];

    setup_init(&s, 1);
    ex = pool_with(&s, test_workers());
    for (int i = 0; i < N; i++)
        use_setup_submit(ex, &f[i], &s);
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(use_setup_result(&f[i]), CFUT_BROKEN);
        ck_assert_int_eq(cfut_future_state(&f[i].base), CFUT_STATE_FINISHED);
    }
    ck_assert_int_eq(cfut_executor_status(ex), CFUT_BROKEN);
    ck_assert_int_eq(run_square(ex, 3), CFUT_BROKEN);
    ck_assert_int_eq(run_square(ex, 3), CFUT_BROKEN);
    end_pool(ex);
    ck_assert_int_eq(counter_get(&s.tasks), 0);
    ck_assert_int_eq(counter_get(&s.finals), 0);
}
END_TEST

/* SEM 77: what runs in a good worker finishes, what waits is lost */
START_TEST(pool_whose_second_worker_fails_to_initialize_is_broken)
{
    struct setup s;
    struct hold h;
    occupy_future running;
    use_setup_future queued[2];
    cfut_executor *ex;

    setup_init(&s, 2);
    ex = pool_with(&s, 2);
    hold_worker(ex, &running, &h);
    for (int i = 0; i < 2; i++)
        use_setup_submit(ex, &queued[i], &s);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(use_setup_result(&queued[i]), CFUT_BROKEN);
    ck_assert_int_eq(cfut_executor_status(ex), CFUT_BROKEN);
    ck_assert(cfut_running(&running.base));
    gate_open(&h.release);
    ck_assert_int_eq(occupy_result(&running), CFUT_OK);
    ck_assert_int_eq(run_square(ex, 3), CFUT_BROKEN);
    end_pool(ex);
    ck_assert_int_eq(counter_get(&s.finals), 1);
}
END_TEST

/* SEM 77: every kind of waiter is told, callbacks too */
START_TEST(waiters_of_a_broken_pool_are_woken)
{
    enum { N = 10 };
    struct setup s;
    struct counter calls;
    struct hold h;
    occupy_future running;
    use_setup_future f[N];
    cfut_future *fs[N];
    cfut_executor *ex;

    setup_init(&s, 2);
    counter_init(&calls);
    ex = pool_with(&s, 2);
    hold_worker(ex, &running, &h);
    for (int i = 0; i < N; i++) {
        fs[i] = use_setup_submit(ex, &f[i], &s);
        cfut_on_done(fs[i], count_call, &calls);
    }
    ck_assert_int_eq(cfut_wait(fs, N, CFUT_ALL_COMPLETED, CFUT_FOREVER), N);
    ck_assert_int_eq(counter_get(&calls), N);
    gate_open(&h.release);
    end_pool(ex);
}
END_TEST

/* SEM 77 and 66 */
START_TEST(shutdown_of_broken_pool_is_ok)
{
    for (int how = CFUT_DRAIN; how <= CFUT_CANCEL_PENDING; how++) {
        struct setup s;
        cfut_executor *ex;
        use_setup_future f;
        int status;

        setup_init(&s, 1);
        ex = pool_with(&s, test_workers());
        use_setup_submit(ex, &f, &s);
        ck_assert_int_eq(cfut_shutdown(ex, how), CFUT_OK);
        status = use_setup_result(&f);
        ck_assert(status == CFUT_BROKEN || (how && status == CFUT_CANCELLED));
    }
}
END_TEST

static int say_name(void *arg)
{
    const char *name = cfut_worker_name();

    snprintf(arg, 64, "%s", name ? name : "(none)");
    return cfut_current_future() != NULL;
}

static struct gate hook_may_go;

static int fail_or_leave(void *leave)
{
    gate_wait(&hook_may_go);
    if (*(int *)leave) pthread_exit(NULL);
    return 1;
}

struct behind { square_future second; int told; };

static void wait_for_second(cfut_future *f, void *arg)
{
    struct behind *b = arg;

    (void)f;
    b->told = square_result(&b->second);
}

/* SEM 25, 77: the worker is not fit to run it, and nobody else is to fail it */
START_TEST(callback_of_a_broken_pool_waits_for_a_task_that_is_to_fail_yet)
{
    int leaves = _i;
    struct behind b = { .told = 0 };
    square_future first;

    gate_init(&hook_may_go);
    cfut_executor *ex = cfut_thread_pool(&(cfut_thread_pool_desc){
        .max_workers = 1, .initializer = fail_or_leave, .init_arg = &leaves });
    square_submit(ex, &first, 3);
    square_submit(ex, &b.second, 4);
    cfut_on_done(&first.base, wait_for_second, &b);
    gate_open(&hook_may_go);
    ck_assert_int_eq(square_result(&first), CFUT_BROKEN);
    ck_assert_int_eq(square_result(&b.second), CFUT_BROKEN);
    ck_assert_int_eq(b.told, CFUT_BROKEN);
    cfut_shutdown(ex, CFUT_DRAIN);
}
END_TEST

static void leave_in_finalizer(void *unused)
{
    (void)unused;
    pthread_exit(NULL);
}

/* SEM 20: the pool was over, and its handle says so */
START_TEST(finalizer_that_ends_its_thread_breaks_nothing)
{
    cfut_executor *ex = cfut_thread_pool(&(cfut_thread_pool_desc){
        .max_workers = 2, .finalizer = leave_in_finalizer });

    ck_assert_int_eq(run_square(ex, 3), CFUT_OK);
    ck_assert_int_eq(cfut_shutdown(ex, CFUT_DRAIN), CFUT_OK);
    ck_assert_int_eq(cfut_executor_status(ex), CFUT_CLOSED);
}
END_TEST

/* SEM 75, 76: the initializer runs in the named worker, in no task */
START_TEST(worker_name_in_initializer_is_known)
{
    char name[64] = "";
    cfut_executor *ex = cfut_thread_pool(&(cfut_thread_pool_desc){ .max_workers = 1,
        .thread_name_prefix = "init", .initializer = say_name, .init_arg = name });

    ck_assert_int_eq(run_square(ex, 3), CFUT_OK);
    ck_assert_str_eq(name, "init_0");
    end_pool(ex);
}
END_TEST

/* ---- stacks and signals ---- */

/* in: how many bytes of stack to use */
static int use_stack(const int *kib, int *out)
{
    volatile unsigned char block[64 * 1024];
    int deeper = *kib - (int)(sizeof block / 1024), rest = 0, status = CFUT_OK;

    for (size_t i = 0; i < sizeof block; i += 1024)
        block[i] = (unsigned char)i;
    if (deeper > 0)
        status = use_stack(&deeper, &rest);
    *out = rest + block[0] + 1;
    return status;
}
CFUT_TASK(use_stack, int, int);

/* The whole of what was asked for can be used by tasks. */
START_TEST(stack_size_is_what_tasks_can_use)
{
    cfut_executor *ex = cfut_thread_pool(
        &(cfut_thread_pool_desc){ .max_workers = 1, .stack_size = (size_t)64 << 20 });
    use_stack_future f;

    use_stack_submit(ex, &f, 48 * 1024);
    ck_assert_int_eq(use_stack_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, 48 * 1024 / 64);
    end_pool(ex);
}
END_TEST

/* Too little is rounded up, so that a task runs at all. */
START_TEST(stack_size_tiny_is_rounded_up)
{
    const size_t sizes[] = { 1, 100, 4096, 16385 };

    for (int i = 0; i < 4; i++) {
        cfut_executor *ex = cfut_thread_pool(
            &(cfut_thread_pool_desc){ .max_workers = 1, .stack_size = sizes[i] });

        ck_assert_int_eq(run_square(ex, 3), CFUT_OK);
        end_pool(ex);
    }
}
END_TEST

/* Nothing crashes when no such thread can be had. */
START_TEST(stack_size_absurd_is_refused)
{
    cfut_executor *ex = cfut_thread_pool(
        &(cfut_thread_pool_desc){ .max_workers = 1, .stack_size = SIZE_MAX });
    int status = run_square(ex, 3);

    ck_assert(status == CFUT_INVALID || status == CFUT_NO_THREADS || status == CFUT_NO_MEMORY);
    end_pool(ex);
}
END_TEST

#ifndef _WIN32
struct signals { sigset_t blocked; };

static int tell_signals(const int *in, struct signals *out)
{
    (void)in;
    return pthread_sigmask(SIG_BLOCK, NULL, &out->blocked);
}
CFUT_TASK(tell_signals, int, struct signals);

/* The program's handlers run in the program's threads. */
START_TEST(workers_block_signals_but_those_of_faults)
{
    const int blocked[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGALRM, SIGUSR1, SIGUSR2,
                            SIGCHLD, SIGPIPE, SIGWINCH };
    const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL };
    cfut_executor *ex = test_pool();
    tell_signals_future f;
    sigset_t mine_after;

    tell_signals_submit(ex, &f, 0);
    ck_assert_int_eq(tell_signals_result(&f), CFUT_OK);
    for (size_t i = 0; i < sizeof blocked / sizeof blocked[0]; i++)
        ck_assert_int_eq(sigismember(&f.out.blocked, blocked[i]), 1);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        ck_assert_int_eq(sigismember(&f.out.blocked, faults[i]), 0);
    pthread_sigmask(SIG_BLOCK, NULL, &mine_after);
    ck_assert_int_eq(sigismember(&mine_after, SIGINT), 0);
    end_pool(ex);
}
END_TEST
#endif

/* ---- faults: threads ---- */

/* SEM 78: no worker lives and none can start */
START_TEST(submit_when_no_thread_starts_is_refused_with_no_threads)
{
    cfut_executor *ex = test_pool();
    square_future f;

    fault_at(&fault_threads, 1, true);
    for (int i = 0; i < 3; i++) {
        square_submit(ex, &f, 3);
        ck_assert(cfut_done(&f.base));
        ck_assert_int_eq(square_result(&f), CFUT_NO_THREADS);
    }
    ck_assert_uint_eq(cfut_executor_workers(ex), 0);
    end_pool(ex);
}
END_TEST

/* SEM 78: a passing shortage leaves no trace */
START_TEST(submit_after_a_failed_thread_start_works)
{
    cfut_executor *ex = test_pool();

    fault_at(&fault_threads, 1, false);
    ck_assert_int_eq(run_square(ex, 3), CFUT_NO_THREADS);
    ck_assert_int_eq(cfut_executor_status(ex), CFUT_OK);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(run_square(ex, i), CFUT_OK);
    end_pool(ex);
}
END_TEST

enum { FAULTY_POOL = 5 };

/* SEM 78: the pool works with those it has and says how many; _i threads start */
START_TEST(pool_when_thread_start_fails_works_with_those_it_has)
{
    enum { N = 50 };
    cfut_executor *ex = pool_of(FAULTY_POOL);
    struct hold h[FAULTY_POOL];
    occupy_future held[FAULTY_POOL];
    square_future f[N];

    fault_at(&fault_threads, _i + 1, true);
    for (int i = 0; i < _i; i++)
        hold_worker(ex, &held[i], &h[i]);
    for (int i = 0; i < N; i++) {
        square_submit(ex, &f[i], i);
        ck_assert(!cfut_done(&f[i].base));
    }
    ck_assert_uint_eq(cfut_executor_workers(ex), (size_t)_i);
    ck_assert_int_eq(cfut_executor_status(ex), CFUT_OK);
    for (int i = 0; i < _i; i++)
        gate_open(&h[i].release);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(square_result(&f[i]), CFUT_OK);
    end_pool(ex);
}
END_TEST

/* SEM 78: one failure at the k-th; a later submit tries again */
START_TEST(pool_after_one_failed_thread_start_reaches_its_size)
{
    cfut_executor *ex = pool_of(FAULTY_POOL);
    struct hold h[FAULTY_POOL];
    occupy_future held[FAULTY_POOL];

    for (int i = 0; i < FAULTY_POOL; i++)
        hold_init(&h[i]);
    fault_at(&fault_threads, _i + 1, false);
    for (int i = 0; i < FAULTY_POOL; i++)
        occupy_submit(ex, &held[i], &h[i]);
    for (int i = 0; i < FAULTY_POOL; i++)
        gate_open(&h[i].release);
    for (int i = 0; i < FAULTY_POOL; i++)
        ck_assert_int_eq(occupy_result(&held[i]), CFUT_OK);
    ck_assert_uint_le(cfut_executor_workers(ex), FAULTY_POOL);
    ck_assert_uint_ge(cfut_executor_workers(ex), 1);
    end_pool(ex);
}
END_TEST

static int leave_thread(const int *in, int *out)
{
    *out = *in;
    pthread_exit(NULL);
    return CFUT_OK;                 /* for winpthreads' declaration */
}
CFUT_TASK(leave_thread, int, int);

/* SEM 20, 78: the last worker is lost and cannot be replaced: nobody hangs */
START_TEST(tasks_behind_the_last_lost_worker_are_refused)
{
    enum { N = 20 };
    struct busy_pool b;
    leave_thread_future gone;
    square_future f[N];
    int status;

    leave_thread_submit(busy_pool_open(&b), &gone, 1);
    for (int i = 0; i < N; i++)
        square_submit(b.ex, &f[i], i);
    fault_at(&fault_threads, 1, true);
    busy_pool_free_worker(&b);
    ck_assert_int_eq(leave_thread_result(&gone), CFUT_ABANDONED);
    for (int i = 0; i < N; i++) {
        status = square_result(&f[i]);
        ck_assert(status == CFUT_BROKEN || status == CFUT_NO_THREADS);
    }
    status = run_square(b.ex, 3);
    ck_assert(status == CFUT_BROKEN || status == CFUT_NO_THREADS);
    end_pool(b.ex);
}
END_TEST

/* SEM 20, 78: with another worker left the pool goes on */
START_TEST(tasks_behind_a_lost_worker_run_in_the_other)
{
    cfut_executor *ex = pool_of(2);
    struct hold h[2];
    occupy_future held[2];
    leave_thread_future gone;
    square_future f[20];

    for (int i = 0; i < 2; i++)
        hold_worker(ex, &held[i], &h[i]);
    leave_thread_submit(ex, &gone, 1);
    for (int i = 0; i < 20; i++)
        square_submit(ex, &f[i], i);
    fault_at(&fault_threads, 1, true);
    for (int i = 0; i < 2; i++)
        gate_open(&h[i].release);
    ck_assert_int_eq(leave_thread_result(&gone), CFUT_ABANDONED);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(square_result(&f[i]), CFUT_OK);
    end_pool(ex);
}
END_TEST

/* ---- faults: memory ---- */

/* Creation fails at every allocation in turn, and leaves nothing behind. */
START_TEST(pool_when_allocation_fails_is_refused_with_no_memory)
{
    for (long k = 1;; k++) {
        long before = fault_live(&fault_memory);
        cfut_executor *ex;

        fault_at(&fault_memory, k, _i);
        ex = test_pool();
        if (fault_seen(&fault_memory) < k) {
            ck_assert_int_gt(k, 1);             /* there was one to fail */
            ck_assert_int_eq(run_square(ex, 3), CFUT_OK);
            end_pool(ex);
            return;
        }
        fault_at(&fault_memory, 0, false);
        assert_unmade(ex, CFUT_NO_MEMORY);
        ck_assert_int_eq(fault_live(&fault_memory), before);
        ck_assert_int_lt(k, 1000);
    }
}
END_TEST

/* After creation nothing on the way from submit to shutdown allocates. */
START_TEST(work_without_memory_succeeds)
{
    enum { N = 300 };
    cfut_executor *ex = test_pool();
    square_future f[N];
    cfut_future *fs[N];
    cfut_iter it;

    fault_at(&fault_memory, 1, true);
    for (int i = 0; i < N; i++)
        fs[i] = square_submit(ex, &f[i], i);
    for (int i = 0; i < N; i += 7)
        cfut_cancel(fs[i]);
    ck_assert_int_eq(cfut_wait(fs, N, CFUT_ALL_COMPLETED, CFUT_FOREVER), N);
    ck_assert_int_eq(cfut_as_completed(&it, fs, N, CFUT_FOREVER), CFUT_OK);
    while (cfut_next(&it)) {}
    ck_assert_int_eq(it.status, CFUT_OK);
    ck_assert_int_eq(cfut_shutdown(ex, CFUT_DRAIN), CFUT_OK);
    ck_assert_int_eq(fault_seen(&fault_memory), 0);
}
END_TEST

/* SEM 81: nor does a task that submits, waits and cancels */
START_TEST(nested_work_without_memory_succeeds)
{
    cfut_executor *ex = test_pool();
    tree_future f;

    fault_at(&fault_memory, 1, true);
    tree_submit(ex, &f, 12);
    ck_assert_int_eq(tree_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, 4096);
    end_pool(ex);
    ck_assert_int_eq(fault_seen(&fault_memory), 0);
}
END_TEST

START_TEST(spawn_without_memory_returns_null)
{
    cfut_executor *ex = test_pool();

    fault_at(&fault_memory, 1, true);
    ck_assert_ptr_null(square_spawn(ex, 3));
    fault_at(&fault_memory, 0, false);
    ck_assert_int_eq(run_square(ex, 3), CFUT_OK);
    end_pool(ex);
}
END_TEST

/* SEM 64: what pools needed is given back, but for the ended handles */
START_TEST(pools_when_ended_leave_no_memory_behind)
{
    long after_300 = 0;

    for (int i = 0; i < 600; i++) {
        cfut_executor *ex = test_pool();

        ck_assert_int_eq(run_square(ex, 3), CFUT_OK);
        end_pool(ex);
        if (i == 299)
            after_300 = fault_live(&fault_memory);
    }
    ck_assert_int_eq(fault_live(&fault_memory), after_300);
    ck_assert_int_le(after_300, 257);
}
END_TEST

/* ---- the inline executor ---- */

struct where { pthread_t thread; cfut_executor *ex; const char *worker; };

static int tell_where(const int *in, struct where *out)
{
    *out = (struct where){ pthread_self(), cfut_current(), cfut_worker_name() };
    return *in;
}
CFUT_TASK(tell_where, int, struct where);

/* SEM 60 */
START_TEST(inline_submit_runs_the_task_in_the_caller)
{
    cfut_executor *ex = cfut_inline_executor();
    tell_where_future f;

    tell_where_submit(ex, &f, 4);
    ck_assert(cfut_done(&f.base));
    ck_assert_int_eq(tell_where_result_timeout(&f, 0), 4);
    ck_assert(pthread_equal(f.out.thread, pthread_self()));
    ck_assert_ptr_eq(f.out.ex, ex);
    ck_assert_ptr_null(f.out.worker);
    ck_assert_ptr_null(cfut_current());
    ck_assert(!cfut_cancel(&f.base));
}
END_TEST

START_TEST(inline_executor_is_one_object_that_never_ends)
{
    cfut_executor *ex = cfut_inline_executor();

    ck_assert_ptr_eq(cfut_inline_executor(), ex);
    ck_assert_int_eq(cfut_executor_status(ex), CFUT_OK);
    cfut_close(ex, CFUT_CANCEL_PENDING);
    ck_assert_int_eq(cfut_shutdown(ex, CFUT_DRAIN), CFUT_OK);
    ck_assert_int_eq(cfut_shutdown_timeout(ex, CFUT_DRAIN, 0), CFUT_OK);
    ck_assert_int_eq(cfut_executor_status(ex), CFUT_OK);
    ck_assert_int_eq(run_square(ex, 7), CFUT_OK);
}
END_TEST

START_TEST(inline_failure_keeps_its_text)
{
    fail_with_future f;

    fail_with_submit(cfut_inline_executor(), &f, 5);
    ck_assert_int_eq(fail_with_result(&f), 5);
    ck_assert_str_eq(cfut_error(&f.base), "failed with 5");
}
END_TEST

/* SEM 81 */
START_TEST(inline_tasks_that_submit_and_wait_finish)
{
    tree_future f;

    tree_submit(cfut_inline_executor(), &f, 10);
    ck_assert_int_eq(tree_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, 1024);
}
END_TEST

/* A task of a pool may use it, and is the current one again afterwards. */
static int use_inline(const int *in, int *out)
{
    cfut_executor *before = cfut_current();
    cfut_future *self = cfut_current_future();

    *out = run_square(cfut_inline_executor(), *in) == CFUT_OK && cfut_current() == before
        && cfut_current_future() == self;
    return CFUT_OK;
}
CFUT_TASK(use_inline, int, int);

START_TEST(inline_within_a_task_of_a_pool_works)
{
    cfut_executor *ex = test_pool();
    use_inline_future f;

    use_inline_submit(ex, &f, 3);
    ck_assert_int_eq(use_inline_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, 1);
    end_pool(ex);
}
END_TEST

static void *leave_inline(void *arg)
{
    leave_thread_submit(cfut_inline_executor(), arg, 1);
    return arg;
}

/* SEM 20: the caller's thread ends, its future says so */
START_TEST(inline_task_that_ends_the_thread_is_abandoned)
{
    leave_thread_future f;
    pthread_t t = thread_start(leave_inline, &f);
    void *returned;

    ck_assert_int_eq(pthread_join(t, &returned), 0);
    ck_assert_ptr_null(returned);
    ck_assert_int_eq(leave_thread_result(&f), CFUT_ABANDONED);
}
END_TEST

static cfut_executor *own_pool;
static square_future own_future;

static int submit_to_own_pool(void *unused)
{
    (void)unused;
    square_submit(own_pool, &own_future, 5);
    return 0;
}

/* It is no task, so that comes as from outside. */
START_TEST(submit_in_an_initializer_to_its_own_pool_runs)
{
    square_future f;

    own_pool = cfut_thread_pool(&(cfut_thread_pool_desc){
        .max_workers = 1, .initializer = submit_to_own_pool });
    square_submit(own_pool, &f, 4);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    ck_assert_int_eq(square_result(&own_future), CFUT_OK);
    ck_assert_int_eq(own_future.out, 25);
    end_pool(own_pool);
}
END_TEST

/* ---- the process pool where it cannot be made: test_process.c has the others ---- */

START_TEST(timeline_that_is_not_compiled_in_is_refused)
{
    ck_assert_int_eq(cfut_trace("never-made.json"), CFUT_UNSUPPORTED);
    ck_assert_int_eq(cfut_trace(NULL), CFUT_UNSUPPORTED);
    ck_assert_int_ne(access("never-made.json", F_OK), 0);
}
END_TEST

/* What they are asked for is no process pool's. */
START_TEST(workers_that_are_no_processes_cannot_be_ended)
{
    cfut_executor *ex = test_pool();
    char name[] = "name", *args[] = { name, NULL }, **argv = args;
    int argc = 1;

#ifdef CFUT_NO_PROCESS                  /* else it would say what to execute again */
    cfut_process_main(&argc, &argv);
#endif
    ck_assert(argc == 1 && argv == args);
    ck_assert_str_eq(cfut_executor_error(ex), cfut_strerror(CFUT_OK));
    ck_assert_int_eq(cfut_terminate_workers(ex), CFUT_UNSUPPORTED);
    ck_assert_int_eq(cfut_kill_workers(ex), CFUT_UNSUPPORTED);
    ck_assert_int_eq(cfut_terminate_workers(NULL), CFUT_INVALID);
    ck_assert_int_eq(cfut_kill_workers(NULL), CFUT_INVALID);
    end_pool(ex);
}
END_TEST

START_TEST(process_pool_that_cannot_be_made_says_why)
{
    cfut_process_pool_desc desc = { .max_workers = 2 };
    cfut_executor *pools[2] = { cfut_process_pool(NULL), cfut_process_pool(&desc) };

    for (int i = 0; i < 2; i++) {
        square_future f;

        assert_unmade(pools[i], HARNESS_NO_PROCESS_POOL);
        square_submit(pools[i], &f, 3);
        ck_assert_int_eq(square_result(&f), HARNESS_NO_PROCESS_POOL);
#if defined(CFUT_NO_PROCESS) || defined(_WIN32)
        ck_assert_ptr_nonnull(strstr(cfut_error(&f.base), "process pools are not"));
#else
        ck_assert_ptr_nonnull(strstr(cfut_error(&f.base), "cfut_process_main"));
        ck_assert_ptr_nonnull(strstr(cfut_error(&f.base), "before threads"));
#endif
        ck_assert_str_eq(cfut_executor_error(pools[i]), cfut_error(&f.base));
    }
}
END_TEST

/* ---- */

static void fill_submit(TCase *tc)
{
    tcase_add_test(tc, tasks_from_outside_start_in_order_of_submission);
    tcase_add_test(tc, tasks_between_cancelled_ones_start_in_order_of_submission);
    tcase_add_test(tc, submit_from_many_threads_runs_every_task_once);
    tcase_add_test(tc, tasks_that_wait_for_tasks_of_their_pool_finish);
    tcase_add_test(tc, tasks_that_wait_for_tasks_of_their_pool_finish_with_one_worker);
    tcase_add_test(tc, task_from_outside_is_not_starved_by_tasks_that_submit);
    tcase_add_test(tc, task_behind_a_long_one_starts_while_tiny_ones_pour_in);
    tcase_add_test(tc, task_pushed_by_a_long_one_starts_while_tiny_ones_pour_in);
    tcase_add_test(tc, pool_beside_a_closed_one_works);
    tcase_add_test(tc, executor_status_when_open_is_ok);
    tcase_add_test(tc, executor_status_when_closed_is_closed);
    tcase_add_test(tc, executor_functions_when_null_say_so);
    tcase_add_loop_test(tc, submit_after_close_is_refused_with_closed, CFUT_DRAIN,
                        CFUT_CANCEL_PENDING + 1);
    tcase_add_test(tc, close_with_drain_lets_queued_tasks_run);
    tcase_add_test(tc, close_with_cancel_pending_cancels_what_has_not_started);
    tcase_add_test(tc, close_with_cancel_pending_wakes_waiters);
    tcase_add_test(tc, close_again_does_no_harm);
    tcase_add_test(tc, close_with_cancel_pending_after_drain_cancels_the_rest);
    tcase_add_test(tc, close_during_submits_refuses_or_runs_each);
    tcase_add_test(tc, close_with_cancel_pending_during_submits_ends_each);
    tcase_add_test(tc, tasks_of_a_draining_pool_may_submit_to_it);
    tcase_add_test(tc, tasks_of_a_cancelling_pool_are_refused_too);
    tcase_add_test(tc, tasks_of_another_pool_are_refused_by_a_draining_pool);
    tcase_add_test(tc, tasks_that_wait_for_tasks_of_their_draining_pool_finish);
}

static void fill_shutdown(TCase *tc)
{
    tcase_add_test(tc, shutdown_with_drain_runs_everything_first);
    tcase_add_test(tc, shutdown_with_cancel_pending_waits_for_what_runs_only);
    tcase_add_test(tc, shutdown_of_unused_pool_starts_and_leaves_nothing);
    tcase_add_test(tc, shutdown_joins_every_thread);
    tcase_add_test(tc, shutdown_again_is_ok_and_does_nothing);
    tcase_add_test(tc, handle_after_shutdown_answers_closed);
    tcase_add_test(tc, shutdown_from_two_threads_is_ok_for_both);
    tcase_add_test(tc, shutdown_from_many_threads_during_a_task_is_ok_for_all);
    tcase_add_test(tc, shutdown_during_submits_hangs_nobody);
    tcase_add_test(tc, shutdown_after_submit_and_cancel_does_not_hang);
    tcase_add_loop_test(tc, shutdown_with_unknown_how_is_invalid_and_changes_nothing, 0, 6);
    tcase_add_loop_test(tc, shutdown_in_own_task_is_deadlock_and_changes_nothing, 0, 3);
    tcase_add_loop_test(tc, shutdown_with_detach_in_own_task_is_allowed, CFUT_DRAIN,
                        CFUT_CANCEL_PENDING + 1);
    tcase_add_test(tc, shutdown_of_another_pool_in_a_task_is_ok);
    tcase_add_test(tc, shutdown_with_detach_returns_at_once_and_drains);
    tcase_add_test(tc, shutdown_with_detach_and_cancel_cancels_at_once);
    tcase_add_test(tc, shutdown_with_detach_of_unused_pool_frees_it);
    tcase_add_loop_test(tc, shutdown_timeout_during_a_task_times_out_and_can_be_repeated, 0, 5);
    tcase_add_test(tc, shutdown_with_cancel_pending_after_timeout_cancels_the_rest);
    tcase_add_test(tc, shutdown_timeout_huge_waits);
}

static void fill_threads(TCase *tc)
{
    tcase_add_test(tc, workers_before_the_first_submit_are_none);
    tcase_add_test(tc, workers_grow_by_one_for_each_busy_one);
    tcase_add_test(tc, workers_under_many_blocked_tasks_do_not_exceed_the_limit);
    tcase_add_test(tc, workers_when_tasks_come_one_by_one_stay_one);
    tcase_add_test(tc, workers_when_tasks_come_in_pairs_stay_two);
    tcase_add_test(tc, tasks_as_many_as_workers_run_at_the_same_time);
    tcase_add_test(tc, tasks_submitted_by_a_blocked_task_run_in_other_workers);
    tcase_add_test(tc, max_workers_by_default_is_the_cpus_allowed);
    tcase_add_test(tc, max_workers_by_default_with_one_cpu_is_one);
    tcase_add_loop_test(tc, pool_with_negative_workers_is_invalid, 0, 3);
    tcase_add_test(tc, pool_with_unknown_exit_policy_is_invalid);
    tcase_add_test(tc, pool_with_absurd_workers_is_refused_or_works);
    tcase_add_test(tc, pool_with_ten_thousand_workers_works);
    tcase_add_test(tc, worker_name_is_prefix_and_number);
    tcase_add_test(tc, worker_name_by_default_counts_pools);
#ifndef _WIN32
    tcase_add_test(tc, system_name_of_worker_keeps_the_number);
#endif
    tcase_add_test(tc, worker_name_with_long_prefix_is_cut_at_47_bytes);
    tcase_add_test(tc, worker_names_are_numbered_without_gaps);
    tcase_add_test(tc, initializer_runs_once_in_each_worker_before_its_first_task);
    tcase_add_test(tc, finalizer_runs_in_each_initialized_worker_at_its_end);
    tcase_add_test(tc, finalizer_without_initializer_runs);
    tcase_add_test(tc, pool_whose_initializer_fails_is_broken);
    tcase_add_test(tc, pool_whose_second_worker_fails_to_initialize_is_broken);
    tcase_add_test(tc, waiters_of_a_broken_pool_are_woken);
    tcase_add_test(tc, shutdown_of_broken_pool_is_ok);
    tcase_add_loop_test(tc, callback_of_a_broken_pool_waits_for_a_task_that_is_to_fail_yet, 0, 2);
    tcase_add_test(tc, finalizer_that_ends_its_thread_breaks_nothing);
    tcase_add_test(tc, worker_name_in_initializer_is_known);
    tcase_add_test(tc, stack_size_is_what_tasks_can_use);
    tcase_add_test(tc, stack_size_tiny_is_rounded_up);
    tcase_add_test(tc, stack_size_absurd_is_refused);
#ifndef _WIN32
    tcase_add_test(tc, workers_block_signals_but_those_of_faults);
#endif
}

static void fill_faults(TCase *tc)
{
    tcase_add_test(tc, submit_when_no_thread_starts_is_refused_with_no_threads);
    tcase_add_test(tc, submit_after_a_failed_thread_start_works);
    tcase_add_loop_test(tc, pool_when_thread_start_fails_works_with_those_it_has, 1,
                        FAULTY_POOL);
    tcase_add_loop_test(tc, pool_after_one_failed_thread_start_reaches_its_size, 1,
                        FAULTY_POOL);
    if (TASKS_CAN_EXIT) tcase_add_test(tc, tasks_behind_the_last_lost_worker_are_refused);
    if (TASKS_CAN_EXIT) tcase_add_test(tc, tasks_behind_a_lost_worker_run_in_the_other);
    tcase_add_loop_test(tc, pool_when_allocation_fails_is_refused_with_no_memory, 0, 2);
    tcase_add_test(tc, work_without_memory_succeeds);
    tcase_add_test(tc, nested_work_without_memory_succeeds);
    tcase_add_test(tc, spawn_without_memory_returns_null);
    tcase_add_test(tc, pools_when_ended_leave_no_memory_behind);
    tcase_add_test(tc, inline_submit_runs_the_task_in_the_caller);
    tcase_add_test(tc, inline_executor_is_one_object_that_never_ends);
    tcase_add_test(tc, inline_failure_keeps_its_text);
    tcase_add_test(tc, inline_tasks_that_submit_and_wait_finish);
    tcase_add_test(tc, inline_within_a_task_of_a_pool_works);
    if (TASKS_CAN_EXIT) tcase_add_test(tc, inline_task_that_ends_the_thread_is_abandoned);
    tcase_add_test(tc, process_pool_that_cannot_be_made_says_why);
    tcase_add_test(tc, submit_in_an_initializer_to_its_own_pool_runs);
    tcase_add_test(tc, workers_that_are_no_processes_cannot_be_ended);
    tcase_add_test(tc, timeline_that_is_not_compiled_in_is_refused);
}

static void fill(TCase *tc)
{
    fill_submit(tc);
    fill_shutdown(tc);
    fill_threads(tc);
    fill_faults(tc);
}

int main(void) { return harness_main("executor", fill); }
