/* test_nested.c: law 4: waiting inside tasks never deadlocks by itself; a true
   circle is answered with CFUT_DEADLOCK, and nothing else is. SEM 81. */
#include "harness.h"
#include "fixtures.h"

/* How deep tasks nest: the thread sanitizer knows 65536 frames at most, and
   the address sanitizer's are large. 256 tasks, as many as a worker claims at once,
   take some 500 bytes each where nothing is optimized. */
#if UNDER_TSAN
enum { DEEP = 4000, LITTLE_STACK = 1 << 20 };
#elif UNDER_ASAN
enum { DEEP = 30000, LITTLE_STACK = 1 << 20 };
#else
enum { DEEP = 100000, LITTLE_STACK = 1 << 18 };     /* the frames of s390x are large */
#endif
/* Address space has room for four. */
static const size_t deep_stack = (size_t)1 << (sizeof(void *) > 4 ? 30 : 28);

static cfut_executor *pool_with_stack(int workers, size_t stack)
{
    return cfut_thread_pool(&(cfut_thread_pool_desc){ .max_workers = workers,
                                                      .stack_size = stack });
}

/* ---- recursion by submit and result ---- */

static int fib(const int *n, int *out);
CFUT_TASK(fib, int, int);

static int fib(const int *n, int *out)
{
    fib_future a, b;
    int status;

    if (*n < 2) {
        *out = *n;
        return CFUT_OK;
    }
    fib_submit(cfut_current(), &a, *n - 1);
    fib_submit(cfut_current(), &b, *n - 2);
    status = fib_result(&a);
    if (status == CFUT_OK)
        status = fib_result(&b);
    if (status != CFUT_OK)
        cfut_reclaim((cfut_future *[]){ &a.base, &b.base }, 2);
    *out = a.out + b.out;
    return status;
}

/* The same, waiting in the four other ways. */
static int fib_wait(const int *n, int *out);
CFUT_TASK(fib_wait, int, int);

static int wait_in_turn(cfut_future **fs, size_t n, int way)
{
    cfut_iter it;

    if (way < 3) {
        ptrdiff_t k = 0;

        for (size_t seen = 0; seen < n && k >= 0; seen += (size_t)(k > 0 ? k : 0))
            k = cfut_wait(fs + seen, n - seen, way, CFUT_FOREVER);
        return k < 0 ? (int)k : CFUT_OK;
    }
    cfut_as_completed(&it, fs, n, CFUT_FOREVER);
    while (cfut_next(&it)) {}
    return it.status;
}

static int fib_wait(const int *n, int *out)
{
    fib_wait_future f[2];
    cfut_future *fs[2];
    int status;

    if (*n < 2) {
        *out = *n;
        return CFUT_OK;
    }
    for (int i = 0; i < 2; i++)
        fs[i] = fib_wait_submit(cfut_current(), &f[i], *n - 1 - i);
    status = wait_in_turn(fs, 2, *n % 4);
    *out = f[0].out + f[1].out;
    return status;
}

static void expect_fib(cfut_executor *pool)
{
    fib_future a;
    fib_wait_future b;

    fib_submit(pool, &a, 15);
    fib_wait_submit(pool, &b, 15);
    ck_assert_int_eq(fib_result(&a), CFUT_OK);
    ck_assert_int_eq(a.out, 610);
    ck_assert_int_eq(fib_wait_result(&b), CFUT_OK);
    ck_assert_int_eq(b.out, 610);
}

/* SEM 81: one worker is enough for any nesting. */
START_TEST(nested_recursion_with_one_worker_ends)
{
    cfut_executor *pool = pool_of(1);

    expect_fib(pool);
    ck_assert_uint_eq(cfut_executor_workers(pool), 1);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* SEM 81: and any number. */
START_TEST(nested_recursion_in_a_pool_ends)
{
    cfut_executor *pool = test_pool();

    for (int i = 0; i < 10; i++)
        expect_fib(pool);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* The inline executor runs each at its submit. */
START_TEST(nested_recursion_inline_ends)
{
    expect_fib(cfut_inline_executor());
}
END_TEST

/* ---- each way of waiting, one worker ---- */

struct way { int when, n; bool shuffled; };

/* Submits n and waits for them in one of four ways. */
static int wait_for_children(const struct way *way, int *out)
{
    square_future f[32];
    cfut_future *fs[32];
    size_t order[32];
    int status;

    shuffle(order, (size_t)way->n, 5);
    for (int i = 0; i < way->n; i++) {
        cfut_future *one = square_submit(cfut_current(), &f[i], i);

        fs[way->shuffled ? order[i] : (size_t)i] = one;
    }
    status = wait_in_turn(fs, (size_t)way->n, way->when);
    *out = 0;
    for (int i = 0; i < way->n; i++)
        *out += f[i].out;
    return status;
}
CFUT_TASK(wait_for_children, struct way, int);

/* SEM 35, 36, 81: result, the three modes of wait, as_completed. */
START_TEST(nested_waits_of_each_kind_with_one_worker_end)
{
    cfut_executor *pool = pool_of(1);

    for (int when = 0; when < 4; when++)
        for (int n = 1; n <= 32; n++) {
            struct way way = { when, n, n % 2 == 0 };
            wait_for_children_future f;

            wait_for_children_submit(pool, &f, way);
            ck_assert_int_eq(wait_for_children_result(&f), CFUT_OK);
            ck_assert_int_eq(f.out, (n - 1) * n * (2 * n - 1) / 6);
        }
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

static int wait_first_of_many(const int *n, int *done)
{
    square_future f[32];
    cfut_future *fs[32];
    ptrdiff_t k;

    for (int i = 0; i < *n; i++)
        fs[i] = square_submit(cfut_current(), &f[i], i);
    k = cfut_wait(fs, (size_t)*n, CFUT_FIRST_COMPLETED, CFUT_FOREVER);
    *done = (int)k;
    cfut_reclaim(fs, (size_t)*n);
    return k >= 1 ? CFUT_OK : EIO;
}
CFUT_TASK(wait_first_of_many, int, int);

/* SEM 35, 81: the first of several children, all of them queued. */
START_TEST(nested_wait_for_the_first_with_one_worker_ends)
{
    cfut_executor *pool = pool_of(1);
    wait_first_of_many_future f;

    for (int n = 1; n <= 32; n++) {
        wait_first_of_many_submit(pool, &f, n);
        ck_assert_int_eq(wait_first_of_many_result(&f), CFUT_OK);
        ck_assert_int_ge(f.out, 1);
    }
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

struct errand { cfut_future *f; int answer; };

static int wait_for_stranger(struct errand *const *errand, int *out)
{
    (*errand)->answer = cfut_result((*errand)->f);
    *out = 0;
    return CFUT_OK;
}
CFUT_TASK(wait_for_stranger, struct errand *, int);

/* SEM 81: a task waits for one that an outsider queued behind it. */
START_TEST(nested_wait_for_a_task_queued_by_an_outsider_ends)
{
    cfut_executor *pool = pool_of(1);
    wait_for_stranger_future f;
    square_future behind[100];
    struct errand errand = { &behind[50].base, -1 };
    struct crew crew;

    crew_block(&crew, pool, 1);
    wait_for_stranger_submit(pool, &f, &errand);
    for (int i = 0; i < 100; i++)
        square_submit(pool, &behind[i], i);
    crew_release(&crew);
    ck_assert_int_eq(wait_for_stranger_result(&f), CFUT_OK);
    ck_assert_int_eq(errand.answer, CFUT_OK);
    ck_assert_int_eq(behind[50].out, 2500);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(square_result(&behind[i]), CFUT_OK);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

static int unrelated_runs;

static int unrelated(const int *in, int *out)
{
    *out = *in;
    __atomic_add_fetch(&unrelated_runs, 1, __ATOMIC_SEQ_CST);
    return CFUT_OK;
}
CFUT_TASK(unrelated, int, int);

/* Counts the strangers that ran during its wait. */
static int wait_among_strangers(const int *in, int *out)
{
    square_future child;
    int before = __atomic_load_n(&unrelated_runs, __ATOMIC_SEQ_CST);

    square_submit(cfut_current(), &child, *in);
    if (square_result(&child) != CFUT_OK)
        return EIO;
    *out = __atomic_load_n(&unrelated_runs, __ATOMIC_SEQ_CST) - before;
    return CFUT_OK;
}
CFUT_TASK(wait_among_strangers, int, int);

/* Law 4: a waiting worker runs what it waits for, and nothing else. */
START_TEST(nested_wait_runs_no_unrelated_task)
{
    cfut_executor *pool = pool_of(1);
    wait_among_strangers_future f;
    unrelated_future others[50];
    struct crew crew;

    crew_block(&crew, pool, 1);
    wait_among_strangers_submit(pool, &f, 4);
    for (int i = 0; i < 50; i++)
        unrelated_submit(pool, &others[i], i);
    crew_release(&crew);
    ck_assert_int_eq(wait_among_strangers_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, 0);
    cfut_shutdown(pool, CFUT_DRAIN);
    ck_assert_int_eq(unrelated_runs, 50);
}
END_TEST

/* ---- timed waits only sleep ---- */

static int wait_timed(const int *in, int *out)
{
    square_future child;
    cfut_future *fs[1];
    cfut_iter it;

    fs[0] = square_submit(cfut_current(), &child, *in);
    *out = 0;
    *out += square_result_timeout(&child, CFUT_MS(2)) == CFUT_TIMEOUT;
    *out += cfut_wait(fs, 1, CFUT_ALL_COMPLETED, CFUT_MS(2)) == 0;
    cfut_as_completed(&it, fs, 1, CFUT_MS(2));
    *out += cfut_next(&it) == NULL && it.status == CFUT_TIMEOUT;
    *out += square_result_timeout(&child, 0) == CFUT_TIMEOUT;
    return square_result(&child);
}
CFUT_TASK(wait_timed, int, int);

/* SEM 13, 81: with one worker a timed wait for a child times out. */
START_TEST(nested_timed_wait_with_one_worker_only_sleeps)
{
    cfut_executor *pool = pool_of(1);
    wait_timed_future f;

    wait_timed_submit(pool, &f, 3);
    ck_assert_int_eq(wait_timed_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, 4);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* ---- fork and join ---- */

static int fork_fib(const int *n, int *out);
CFUT_TASK(fork_fib, int, int);

static int fork_fib(const int *n, int *out)
{
    int rest = *n - 2, status, status_rest;
    fork_fib_future a;
    int b = 0;

    if (*n < 2) {
        *out = *n;
        return CFUT_OK;
    }
    fork_fib_fork(&a, *n - 1);
    status_rest = fork_fib(&rest, &b);
    status = fork_fib_join(&a);
    *out = a.out + b;
    return status ? status : status_rest;
}

static void expect_fork_fib(cfut_executor *pool, int n, int expected)
{
    fork_fib_future f;

    fork_fib_submit(pool, &f, n);
    ck_assert_int_eq(fork_fib_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, expected);
}

/* The fast path, with one worker, several, and inline. */
START_TEST(fork_join_recursion_ends)
{
    cfut_executor *one = pool_of(1), *pool = test_pool();

    expect_fork_fib(one, 20, 6765);
    for (int i = 0; i < 5; i++)
        expect_fork_fib(pool, 22, 17711);
    expect_fork_fib(cfut_inline_executor(), 18, 2584);
    cfut_shutdown(one, CFUT_DRAIN);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* A join that waits for a stolen task runs what the thief forks, which cannot. */

struct stolen { struct gate begun, forked, ran; };

static int opens_ran(struct stolen *const *s, int *out)
{
    gate_open(&(*s)->ran);
    *out = 1;
    return CFUT_OK;
}
CFUT_TASK(opens_ran, struct stolen *, int);

static int forks_and_is_busy(struct stolen *const *s, int *out)
{
    opens_ran_future f;
    int status;

    gate_open(&(*s)->begun);
    opens_ran_fork(&f, *s);
    gate_open(&(*s)->forked);
    gate_wait(&(*s)->ran);
    status = opens_ran_join(&f);
    *out = f.out;
    return status;
}
CFUT_TASK(forks_and_is_busy, struct stolen *, int);

static int joins_what_is_stolen(struct stolen *const *s, int *out)
{
    forks_and_is_busy_future f;
    int status;

    forks_and_is_busy_fork(&f, *s);
    gate_wait(&(*s)->forked);
    status = forks_and_is_busy_join(&f);
    *out = f.out;
    return status;
}
CFUT_TASK(joins_what_is_stolen, struct stolen *, int);

START_TEST(join_of_a_stolen_task_runs_what_that_forks)
{
    cfut_executor *pool = pool_of(2);

    for (int i = 0; i < 100; i++) {
        joins_what_is_stolen_future f;
        struct stolen s;

        gate_init(&s.begun);
        gate_init(&s.forked);
        gate_init(&s.ran);
        joins_what_is_stolen_submit(pool, &f, &s);
        ck_assert_int_eq(joins_what_is_stolen_result(&f), CFUT_OK);
        ck_assert_int_eq(f.out, 1);
    }
    end_pool(pool);
}
END_TEST

/* The same, and what the waiting thread runs ends that thread. */

static int leaves_at_once(struct stolen *const *s)
{
    gate_open(&(*s)->ran);
    pthread_exit(NULL);
}
CFUT_ACTION(leaves_at_once, struct stolen *);

static int forks_what_leaves(struct stolen *const *s, int *joined)
{
    leaves_at_once_future f;

    leaves_at_once_fork(&f, *s);
    gate_open(&(*s)->forked);
    gate_wait(&(*s)->ran);
    *joined = leaves_at_once_join(&f);
    test_sleep(CFUT_MS(1));
    gate_open(&(*s)->begun);        /* the last that it does */
    return CFUT_OK;
}
CFUT_TASK(forks_what_leaves, struct stolen *, int);

static int joins_what_forks_it(struct stolen *const *s)
{
    forks_what_leaves_future f;

    forks_what_leaves_fork(&f, *s);
    gate_wait(&(*s)->forked);
    forks_what_leaves_join(&f);
    return CFUT_OK;
}
CFUT_ACTION(joins_what_forks_it, struct stolen *);

START_TEST(join_that_runs_what_ends_its_thread_waits_for_the_stolen_task)
{
    cfut_executor *pool = pool_of(2);

    for (int i = 0; i < 20; i++) {
        joins_what_forks_it_future f;
        struct stolen s;

        gate_init(&s.begun);
        gate_init(&s.forked);
        gate_init(&s.ran);
        joins_what_forks_it_submit(pool, &f, &s);
        ck_assert_int_eq(joins_what_forks_it_result(&f), CFUT_ABANDONED);
        ck_assert(gate_is_open(&s.begun));
    }
    end_pool(pool);
}
END_TEST

static int who_am_i(cfut_future *const *self, pthread_t *thread)
{
    *thread = pthread_self();
    return cfut_current_future() == *self ? CFUT_OK : EIO;
}
CFUT_TASK(who_am_i, cfut_future *, pthread_t);

/* Outside a worker it runs at the join, in the caller, as its own future. */
START_TEST(fork_outside_a_worker_runs_at_the_join)
{
    who_am_i_future f, g;

    who_am_i_fork(&f, &f.base);
    who_am_i_fork(&g, &g.base);
    ck_assert_int_eq(who_am_i_join(&g), CFUT_OK);
    ck_assert_int_eq(who_am_i_join(&f), CFUT_OK);
    ck_assert(pthread_equal(f.out, pthread_self()));
    ck_assert(pthread_equal(g.out, pthread_self()));
    ck_assert_ptr_null(cfut_current_future());
}
END_TEST

static int fork_many(const int *n, int *out)
{
    who_am_i_future f[64];
    cfut_future *self = cfut_current_future();
    int bad = 0;

    for (int i = 0; i < *n; i++)
        who_am_i_fork(&f[i], &f[i].base);
    for (int i = *n - 1; i >= 0; i--)
        bad += who_am_i_join(&f[i]) != CFUT_OK;
    *out = bad;
    return cfut_current_future() == self ? CFUT_OK : EIO;
}
CFUT_TASK(fork_many, int, int);

/* Many forked in a row; each is its own current future. */
START_TEST(fork_of_many_then_join_in_reverse_ends)
{
    cfut_executor *one = pool_of(1), *pool = test_pool();
    fork_many_future f[200];

    for (int i = 0; i < 200; i++)
        fork_many_submit(i % 2 ? one : pool, &f[i], i % 65);
    for (int i = 0; i < 200; i++) {
        ck_assert_int_eq(fork_many_result(&f[i]), CFUT_OK);
        ck_assert_int_eq(f[i].out, 0);
    }
    cfut_shutdown(one, CFUT_DRAIN);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

static int fork_a_failure(const int *code, int *out)
{
    fail_with_future f;
    int status;

    fail_with_fork(&f, *code);
    status = fail_with_join(&f);
    *out = strcmp(cfut_error(&f.base), "failed with 5") == 0;
    return status;
}
CFUT_TASK(fork_a_failure, int, int);

/* The forked task's status and text. */
START_TEST(join_returns_the_forked_tasks_status)
{
    cfut_executor *pool = test_pool();
    fork_a_failure_future f;

    for (int i = 0; i < 200; i++) {
        fork_a_failure_submit(pool, &f, 5);
        ck_assert_int_eq(fork_a_failure_result(&f), 5);
        ck_assert_int_eq(f.out, 1);
    }
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

struct late_fork { struct gate started, closed; int status; };

static int fork_after_close(struct late_fork *const *in, int *out)
{
    square_future f;

    gate_open(&(*in)->started);
    gate_wait(&(*in)->closed);
    square_fork(&f, 9);
    (*in)->status = square_join(&f);
    *out = (*in)->status == CFUT_OK ? f.out : 0;
    return CFUT_OK;
}
CFUT_TASK(fork_after_close, struct late_fork *, int);

static void expect_late_fork(int how)
{
    cfut_executor *pool = test_pool();
    struct late_fork late;
    fork_after_close_future f;

    gate_init(&late.started);
    gate_init(&late.closed);
    fork_after_close_submit(pool, &f, &late);
    gate_wait(&late.started);
    cfut_close(pool, how);
    gate_open(&late.closed);
    ck_assert_int_eq(fork_after_close_result(&f), CFUT_OK);
    ck_assert(late.status == CFUT_OK || (how != CFUT_DRAIN && late.status == CFUT_CANCELLED));
    ck_assert_int_eq(f.out, late.status == CFUT_OK ? 81 : 0);
    cfut_shutdown(pool, how);
}

/* In a closed pool it runs at the join at the latest. */
START_TEST(fork_in_a_closed_pool_still_joins)
{
    expect_late_fork(CFUT_DRAIN);
    expect_late_fork(CFUT_CANCEL_PENDING);
}
END_TEST

/* An idle worker is woken by a fork: else this would wait for ever. */
static int wait_for_my_fork(struct hold *const *hold)
{
    occupy_future f;

    hold_init(*hold);
    occupy_fork(&f, *hold);
    gate_wait(&(*hold)->started);
    gate_open(&(*hold)->release);
    return occupy_join(&f) == CFUT_OK && f.out == 1 ? CFUT_OK : EIO;
}
CFUT_ACTION(wait_for_my_fork, struct hold *);

START_TEST(fork_beside_an_idle_worker_runs_there)
{
    cfut_executor *pool = pool_of(2);
    wait_for_my_fork_future f;
    struct hold hold;

    for (int i = 0; i < 20; i++) {
        wait_for_my_fork_submit(pool, &f, &hold);
        ck_assert_int_eq(wait_for_my_fork_result(&f), CFUT_OK);
    }
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

enum { MORE_THAN_FIT = 3000 };

static int fork_more_than_fit(square_future *const *f)
{
    int bad = 0;

    for (int i = 0; i < MORE_THAN_FIT; i++)
        square_fork(&(*f)[i], i);
    for (int i = MORE_THAN_FIT - 1; i >= 0; i--)
        bad += square_join(&(*f)[i]) != CFUT_OK || (*f)[i].out != i * i;
    return bad;
}
CFUT_ACTION(fork_more_than_fit, square_future *);

/* What the deque has no room for. */
START_TEST(fork_of_more_than_the_deque_holds_ends)
{
    cfut_executor *one = pool_of(1), *pool = test_pool();
    square_future *many = calloc(MORE_THAN_FIT, sizeof *many);
    fork_more_than_fit_future f;

    for (int i = 0; i < 6; i++) {
        fork_more_than_fit_submit(i % 2 ? one : pool, &f, many);
        ck_assert_int_eq(fork_more_than_fit_result(&f), 0);
    }
    cfut_shutdown(one, CFUT_DRAIN);
    cfut_shutdown(pool, CFUT_DRAIN);
    free(many);
}
END_TEST

/* What a forker may do with its fork besides joining it. */
static void count_one(cfut_future *f, void *n)
{
    (void)f;
    counter_add(n, 1);
}

static int cancels_its_fork(struct counter *const *told)
{
    square_future f, g;
    bool done;

    square_fork(&f, 3);
    square_fork(&g, 4);
    done = cfut_done(&g.base);
    cfut_on_done(&g.base, count_one, *told);
    if (!cfut_cancel(&g.base) || square_join(&g) != CFUT_CANCELLED)
        return 1;
    if (done || !cfut_cancelled(&g.base) || counter_get(*told) != 1)
        return 2;
    return square_join(&f) == CFUT_OK && f.out == 9 && cfut_done(&f.base) ? CFUT_OK : 3;
}
CFUT_ACTION(cancels_its_fork, struct counter *);

START_TEST(fork_that_its_forker_cancels_is_cancelled)
{
    cfut_executor *one = pool_of(1);
    struct counter told;
    cancels_its_fork_future f;

    counter_init(&told);
    cancels_its_fork_submit(one, &f, &told);
    ck_assert_int_eq(cancels_its_fork_result(&f), CFUT_OK);
    cfut_shutdown(one, CFUT_DRAIN);
}
END_TEST

/* Outside a worker, too. */
START_TEST(fork_cancelled_before_it_ran_at_the_join_does_not_run)
{
    square_future f;

    f.out = 0;
    square_fork(&f, 3);
    ck_assert(cfut_cancel(&f.base));
    ck_assert_int_eq(square_join(&f), CFUT_CANCELLED);
    ck_assert_int_eq(f.out, 0);
    ck_assert_int_eq(cfut_future_state(&f.base), CFUT_STATE_CANCELLED_AND_NOTIFIED);
}
END_TEST

static int adds_a_callback_to_its_fork(struct counter *const *told)
{
    fail_with_future f;

    fail_with_fork(&f, 5);
    cfut_on_done(&f.base, count_one, *told);
    return fail_with_join(&f) == 5 && strcmp(cfut_error(&f.base), "failed with 5") == 0 ? CFUT_OK
                                                                                        : EIO;
}
CFUT_ACTION(adds_a_callback_to_its_fork, struct counter *);

START_TEST(callback_that_the_forker_adds_to_its_fork_runs_once)
{
    cfut_executor *one = pool_of(1), *pool = test_pool();
    struct counter told;
    adds_a_callback_to_its_fork_future f;

    counter_init(&told);
    for (int i = 0; i < 50; i++) {
        adds_a_callback_to_its_fork_submit(i % 2 ? one : pool, &f, &told);
        ck_assert_int_eq(adds_a_callback_to_its_fork_result(&f), CFUT_OK);
        ck_assert_int_eq(counter_get(&told), i + 1);
    }
    cfut_shutdown(one, CFUT_DRAIN);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

static int waits_for_its_forks(const int *unused)
{
    square_future f[4];
    cfut_future *fs[] = { &f[2].base, &f[3].base };

    (void)unused;
    for (int i = 0; i < 4; i++)
        square_fork(&f[i], i);
    if (cfut_wait(fs, 2, CFUT_ALL_COMPLETED, CFUT_FOREVER) != 2 || f[2].out + f[3].out != 13)
        return 1;
    if (square_join(&f[3]) != CFUT_OK || square_result(&f[1]) != CFUT_OK || f[1].out != 1)
        return 2;
    return square_join(&f[0]);
}
CFUT_ACTION(waits_for_its_forks, int);

START_TEST(fork_that_its_forker_waits_for_otherwise_ends)
{
    cfut_executor *one = pool_of(1), *pool = test_pool();
    waits_for_its_forks_future f;

    for (int i = 0; i < 50; i++) {
        waits_for_its_forks_submit(i % 2 ? one : pool, &f, i);
        ck_assert_int_eq(waits_for_its_forks_result(&f), CFUT_OK);
    }
    cfut_shutdown(one, CFUT_DRAIN);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

static int join_in_another_order(const int *unused)
{
    square_future f, g, h;

    (void)unused;
    square_fork(&f, 3);
    square_submit(cfut_current(), &g, 4);
    square_fork(&h, 5);
    if (square_join(&f) != CFUT_OK || square_join(&h) != CFUT_OK || square_result(&g) != CFUT_OK)
        return 1;
    return f.out == 9 && g.out == 16 && h.out == 25 ? CFUT_OK : 2;
}
CFUT_ACTION(join_in_another_order, int);

/* What was submitted in between is not lost. */
START_TEST(join_below_a_queued_task_leaves_that_queued)
{
    cfut_executor *one = pool_of(1), *pool = test_pool();
    join_in_another_order_future f;

    for (int i = 0; i < 50; i++) {
        join_in_another_order_submit(i % 2 ? one : pool, &f, 0);
        ck_assert_int_eq(join_in_another_order_result(&f), CFUT_OK);
    }
    cfut_shutdown(one, CFUT_DRAIN);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* In a forked task everything about the running task is its own. */
static int asked_to_stop(cfut_executor *const *pool, int *out)
{
    int xs[] = { 1, 2, 3 }, ys[3];
    bool before = cfut_stop_requested(), can = cfut_cancel(cfut_current_future());

    *out = cfut_current() == *pool && !before && !can && cfut_stop_requested() &&
           cfut_running(cfut_current_future());
    if (square_map(*pool, xs, ys, 3) != CFUT_OK || ys[2] != 9)
        *out = 0;
    cfut_fail(6, "not the status");
    return CFUT_TIMEOUT;
}
CFUT_TASK(asked_to_stop, cfut_executor *, int);

static int fails_in_a_map(const int *code, int *out)
{
    int codes[] = { *code, *code }, outs[2];

    *out = 0;
    return fail_with_map(cfut_current(), codes, outs, 2);
}
CFUT_TASK(fails_in_a_map, int, int);

static int fork_what_asks(cfut_executor *const *pool)
{
    asked_to_stop_future f;
    fails_in_a_map_future g;

    asked_to_stop_fork(&f, *pool);
    if (asked_to_stop_join(&f) != ETIMEDOUT || !f.out || cfut_stop_requested())
        return 1;
    if (strcmp(cfut_error(&f.base), cfut_strerror(ETIMEDOUT)) != 0)
        return 2;
    fails_in_a_map_fork(&g, 7);
    return fails_in_a_map_join(&g) == 7 ? CFUT_OK : 3;
}
CFUT_ACTION(fork_what_asks, cfut_executor *);

START_TEST(forked_task_sees_itself_as_the_running_one)
{
    cfut_executor *one = pool_of(1), *pool = test_pool();
    fork_what_asks_future f;

    for (int i = 0; i < 20; i++) {
        cfut_executor *ex = i % 2 ? one : pool;

        fork_what_asks_submit(ex, &f, ex);
        ck_assert_int_eq(fork_what_asks_result(&f), CFUT_OK);
    }
    cfut_shutdown(one, CFUT_DRAIN);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

static int ask_if_running(cfut_future *const *f, int *out)
{
    *out = cfut_running(*f) && !cfut_done(*f);
    return CFUT_OK;
}
CFUT_TASK(ask_if_running, cfut_future *, int);

/* Of itself, in one that it forks, or in one that it waits for. */
static int have_asked(const int *forked, int *out)
{
    ask_if_running_future f;
    int status;

    if (*forked) ask_if_running_fork(&f, cfut_current_future());
    else ask_if_running_submit(cfut_current(), &f, cfut_current_future());
    status = *forked ? ask_if_running_join(&f) : ask_if_running_result(&f);
    *out = f.out;
    return status;
}
CFUT_TASK(have_asked, int, int);

static int fork_who_has_asked(const int *forked, int *out)
{
    have_asked_future f;
    int status;

    have_asked_fork(&f, *forked);
    status = have_asked_join(&f);
    *out = f.out;
    return status;
}
CFUT_TASK(fork_who_has_asked, int, int);

static int asks_itself(const int *unused)
{
    (void)unused;
    return cfut_running(cfut_current_future()) ? CFUT_OK : 1;
}
CFUT_ACTION(asks_itself, int);

static int fork_an_action(const int *unused)
{
    asks_itself_future f;

    asks_itself_fork(&f, *unused);
    return asks_itself_join(&f);
}
CFUT_ACTION(fork_an_action, int);

START_TEST(forked_action_sees_itself_running)
{
    cfut_executor *one = pool_of(1);
    fork_an_action_future f;

    fork_an_action_submit(one, &f, 1);
    ck_assert_int_eq(fork_an_action_result(&f), CFUT_OK);
    cfut_shutdown(one, CFUT_DRAIN);
}
END_TEST

START_TEST(forked_task_runs_for_those_that_it_calls)
{
    cfut_executor *one = pool_of(1);
    fork_who_has_asked_future f;

    for (int forked = 0; forked < 2; forked++) {
        fork_who_has_asked_submit(one, &f, forked);
        ck_assert_int_eq(fork_who_has_asked_result(&f), CFUT_OK);
        ck_assert_int_eq(f.out, 1);
    }
    cfut_shutdown(one, CFUT_DRAIN);
}
END_TEST

struct stranger { cfut_future *f; struct gate known, asked_outside, asked; };

static int ask_as_a_stranger(struct stranger *const *s, int *out)
{
    square_future own;

    square_fork(&own, 3);               /* at the same place of another deque */
    gate_wait(&(*s)->asked_outside);
    *out = cfut_done((*s)->f) || cfut_running((*s)->f);
    gate_open(&(*s)->asked);
    return square_join(&own);
}
CFUT_TASK(ask_as_a_stranger, struct stranger *, int);

static int fork_and_tell(struct stranger *const *s, int *out)
{
    square_future f;
    int status;

    square_fork(&f, 4);
    (*s)->f = &f.base;
    gate_open(&(*s)->known);
    gate_wait(&(*s)->asked);
    status = square_join(&f);
    *out = f.out;
    return status;
}
CFUT_TASK(fork_and_tell, struct stranger *, int);

/* He must not, and learns nothing; but the fork is none the worse for it. */
START_TEST(fork_that_a_stranger_asks_about_goes_on)
{
    cfut_executor *two = pool_of(2);
    ask_as_a_stranger_future a;
    fork_and_tell_future b;
    struct stranger s;

    gate_init(&s.known);
    gate_init(&s.asked_outside);
    gate_init(&s.asked);
    ask_as_a_stranger_submit(two, &a, &s);
    fork_and_tell_submit(two, &b, &s);
    gate_wait(&s.known);
    ck_assert(!cfut_done(s.f));         /* this thread is no worker */
    gate_open(&s.asked_outside);
    ck_assert_int_eq(ask_as_a_stranger_result(&a), CFUT_OK);
    ck_assert_int_eq(a.out, 0);
    ck_assert_int_eq(fork_and_tell_result(&b), CFUT_OK);
    ck_assert_int_eq(b.out, 16);
    cfut_shutdown(two, CFUT_DRAIN);
}
END_TEST

struct lent { cfut_future *f; struct gate known, done; bool cancelled; };

static int cancel_what_is_lent(struct lent *const *l)
{
    gate_wait(&(*l)->known);
    (*l)->cancelled = cfut_cancel((*l)->f);
    gate_open(&(*l)->done);
    return CFUT_OK;
}
CFUT_ACTION(cancel_what_is_lent, struct lent *);

static int submit_and_lend(struct lent *const *l)
{
    square_future f;

    (*l)->f = square_submit(cfut_current(), &f, 3);
    gate_open(&(*l)->known);
    gate_wait(&(*l)->done);
    return square_result(&f) == CFUT_CANCELLED ? CFUT_OK : 1;
}
CFUT_ACTION(submit_and_lend, struct lent *);

/* It stands in its own worker's queue, unknown to all others till then. */
START_TEST(task_in_another_workers_queue_is_cancelled)
{
    cfut_executor *two = pool_of(2);
    cancel_what_is_lent_future a;
    submit_and_lend_future b;
    struct lent l;

    gate_init(&l.known);
    gate_init(&l.done);
    cancel_what_is_lent_submit(two, &a, &l);
    submit_and_lend_submit(two, &b, &l);
    ck_assert_int_eq(submit_and_lend_result(&b), CFUT_OK);
    ck_assert_int_eq(cancel_what_is_lent_result(&a), CFUT_OK);
    ck_assert(l.cancelled);
    cfut_shutdown(two, CFUT_DRAIN);
}
END_TEST

enum { AROUND = CFUTI_RING_MAX };

static int submit_around(struct hold *const *h)
{
    static square_future after[AROUND];
    occupy_future f;
    bool cancelled;

    hold_init(*h);
    occupy_submit(cfut_current(), &f, *h);
    gate_wait(&(*h)->started);          /* elsewhere */
    for (int i = 0; i < AROUND; i++) square_submit(cfut_current(), &after[i], i);
    cancelled = cfut_cancel(&f.base);
    gate_open(&(*h)->release);
    for (int i = AROUND - 1; i >= 0; i--)
        if (square_result(&after[i]) != CFUT_OK) return 1;
    return cancelled || occupy_result(&f) != CFUT_OK ? 2 : CFUT_OK;
}
CFUT_ACTION(submit_around, struct hold *);

/* Where it stood in the queue another one stands now. */
START_TEST(cancel_of_a_task_that_left_the_queue_long_ago_takes_no_other)
{
    cfut_executor *two = pool_of(2);
    submit_around_future f;
    struct hold h;

    submit_around_submit(two, &f, &h);
    ck_assert_int_eq(submit_around_result(&f), CFUT_OK);
    cfut_shutdown(two, CFUT_DRAIN);
}
END_TEST

static int waits_for(cfut_future *const *f)
{
    return cfut_result(*f);
}
CFUT_ACTION(waits_for, cfut_future *);

/* Its fork waits for itself. */
static int fork_a_circle(cfut_future *const *unused, int *out)
{
    waits_for_future f;
    int status;

    (void)unused;
    waits_for_fork(&f, cfut_current_future());
    status = waits_for_join(&f);
    *out = strstr(cfut_error(&f.base), "waits_for -> ") == cfut_error(&f.base);
    return status;
}
CFUT_TASK(fork_a_circle, cfut_future *, int);

START_TEST(deadlock_in_a_forked_task_is_told)
{
    cfut_executor *one = pool_of(1);
    fork_a_circle_future f;

    fork_a_circle_submit(one, &f, NULL);
    ck_assert_int_eq(fork_a_circle_result(&f), CFUT_DEADLOCK);
    ck_assert_int_eq(f.out, 1);
    cfut_shutdown(one, CFUT_DRAIN);
}
END_TEST

static int mixed(const int *n, int *out);
CFUT_TASK(mixed, int, int);

/* Forks one half, submits the other, waits in between. */
static int mixed(const int *n, int *out)
{
    mixed_future a, b;
    int status;

    *out = 1;
    if (*n == 0)
        return CFUT_OK;
    mixed_fork(&a, *n - 1);
    mixed_submit(cfut_current(), &b, *n - 1);
    status = mixed_result(&b);
    status |= mixed_join(&a);
    *out = a.out + b.out;
    return status;
}

/* Both kinds of nesting in one task. */
START_TEST(fork_and_submit_mixed_end)
{
    cfut_executor *one = pool_of(1), *pool = test_pool();
    mixed_future f;

    mixed_submit(one, &f, 11);
    ck_assert_int_eq(mixed_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, 1 << 11);
    for (int i = 0; i < 10; i++) {
        mixed_submit(pool, &f, 11);
        ck_assert_int_eq(mixed_result(&f), CFUT_OK);
        ck_assert_int_eq(f.out, 1 << 11);
    }
    cfut_shutdown(one, CFUT_DRAIN);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* ---- deep chains ---- */

struct chain { struct step_future *f; int n; };
struct step_in { struct chain *chain; int i; };

static int step(const struct step_in *in, int *out);
CFUT_TASK(step, struct step_in, int);

/* Waits for its successor. */
static int step(const struct step_in *in, int *out)
{
    step_future *next = in->chain->f + in->i + 1;
    int status;

    *out = 1;
    if (in->i + 1 == in->chain->n)
        return CFUT_OK;
    status = step_result(next);
    *out = next->out + 1;
    return status;
}

/* Queues the whole chain behind busy workers, first or last step first. */
static void expect_chain(cfut_executor *pool, int workers, int n, bool last_first)
{
    struct chain chain = { calloc((size_t)n, sizeof *chain.f), n };
    struct crew crew;

    crew_block(&crew, pool, workers);
    for (int k = 0; k < n; k++) {
        int i = last_first ? n - 1 - k : k;

        step_submit(pool, &chain.f[i], (struct step_in){ &chain, i });
    }
    crew_release(&crew);
    for (int i = 0; i < n; i++) {
        ck_assert_int_eq(step_result(&chain.f[i]), CFUT_OK);
        ck_assert_int_eq(chain.f[i].out, n - i);
    }
    free(chain.f);
}

/* SEM 81: each waits for one queued behind it: one stack for all of them. */
START_TEST(nested_chain_of_great_depth_ends)
{
    cfut_executor *pool = pool_with_stack(1, deep_stack);

    expect_chain(pool, 1, DEEP, false);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* SEM 81: the same shared by several workers. */
START_TEST(nested_chain_of_great_depth_in_a_pool_ends)
{
    int workers = test_workers() < 4 ? test_workers() : 4;
    cfut_executor *pool = pool_with_stack(workers, deep_stack);

    expect_chain(pool, workers, DEEP, false);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* SEM 81: those waited for come first: a small stack does, since no more tasks
   nest than a worker claims from the queue at once. */
START_TEST(nested_chain_queued_last_first_needs_little_stack)
{
    cfut_executor *pool = pool_with_stack(test_workers(), LITTLE_STACK);

    expect_chain(pool, test_workers(), 100000, true);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

static int descend(const int *n, int *out);
CFUT_TASK(descend, int, int);

static int descend(const int *n, int *out)
{
    descend_future f;
    int status = CFUT_OK;

    *out = 0;
    if (*n > 0) {
        descend_submit(cfut_current(), &f, *n - 1);
        status = *n % 3 ? descend_result(&f)
                        : wait_in_turn((cfut_future *[]){ &f.base }, 1, *n % 4);
        *out = f.out + 1;
    }
    return status;
}

/* SEM 81: each submits and waits for the next, to a great depth. */
START_TEST(nested_descent_to_great_depth_ends)
{
    cfut_executor *pool = pool_with_stack(1, deep_stack);
    descend_future f;

    descend_submit(pool, &f, DEEP / 4);
    ck_assert_int_eq(descend_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, DEEP / 4);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* ---- circles ---- */

static int wait_self(const int *way, int *out)
{
    cfut_future *self = cfut_current_future();

    *out = 1;
    if (*way < 0)
        return cfut_result(self);
    return wait_in_turn(&self, 1, *way);
}
CFUT_TASK(wait_self, int, int);

static void expect_text(cfut_future *f, const char *name)
{
    ck_assert_msg(strstr(cfut_error(f), name) != NULL, "'%s' is not in '%s'", name, cfut_error(f));
}

/* SEM 81: a task that waits for itself, in each way that is followed. */
START_TEST(deadlock_when_waiting_for_oneself_is_told)
{
    static const int ways[] = { -1, CFUT_ALL_COMPLETED, 3 };
    cfut_executor *pool = test_pool();
    wait_self_future f;

    for (int i = 0; i < 3; i++) {
        wait_self_submit(pool, &f, ways[i]);
        ck_assert_int_eq(wait_self_result(&f), CFUT_DEADLOCK);
        ck_assert(!cfut_cancelled(&f.base));
        expect_text(&f.base, "wait_self");
    }
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* A task of a circle: comes to its wait when the gate is open. */
struct ring {
    cfut_future *next;
    struct gate *go;
    struct counter *arrived;
    thread_number *number;
};

static int go_round(const struct ring *r, int *closed_it)
{
    int status;

    counter_add(r->arrived, 1);
    if (r->go)
        gate_wait(r->go);
    if (r->number)
        announce_thread(r->number);
    status = cfut_result(r->next);
    *closed_it = status == CFUT_DEADLOCK && !cfut_done(r->next);
    return status;
}

static int ring_a(const struct ring *r, int *out) { return go_round(r, out); }
static int ring_b(const struct ring *r, int *out) { return go_round(r, out); }
static int ring_c(const struct ring *r, int *out) { return go_round(r, out); }
CFUT_TASK(ring_a, struct ring, int);
CFUT_TASK(ring_b, struct ring, int);
CFUT_TASK(ring_c, struct ring, int);

/* The one that closed the circle names the tasks, the others hand it on. */
static void expect_circle(cfut_future **fs, const int *const *closed, int n)
{
    static const char *const names[] = { "ring_a", "ring_b", "ring_c" };
    int closers = 0;

    for (int i = 0; i < n; i++) {
        ck_assert_int_eq(cfut_result(fs[i]), CFUT_DEADLOCK);
        closers += *closed[i];
        for (int k = 0; *closed[i] && k < n; k++)
            expect_text(fs[i], names[k]);
    }
    ck_assert_int_eq(closers, 1);
}

static void expect_mutual(cfut_executor *one, cfut_executor *two, bool both_run)
{
    struct counter arrived;
    struct gate go;
    ring_a_future a;
    ring_b_future b;

    counter_init(&arrived);
    gate_init(&go);
    ring_a_submit(one, &a, (struct ring){ &b.base, &go, &arrived, NULL });
    ring_b_submit(two, &b, (struct ring){ &a.base, &go, &arrived, NULL });
    counter_wait(&arrived, both_run ? 2 : 1);
    gate_open(&go);
    expect_circle((cfut_future *[]){ &a.base, &b.base },
                  (const int *const []){ &a.out, &b.out }, 2);
}

/* SEM 81: in one pool, where the second is queued and run by the first. */
START_TEST(deadlock_of_two_tasks_in_one_worker_is_told)
{
    cfut_executor *pool = pool_of(1);

    expect_mutual(pool, pool, false);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* SEM 81: two workers, two pools, many times. */
START_TEST(deadlock_of_two_tasks_in_two_workers_is_told)
{
    cfut_executor *pool = pool_of(2), *other = pool_of(1);

    for (int i = 0; i < 300; i++) {
        expect_mutual(pool, pool, true);
        expect_mutual(pool, other, true);
    }
    cfut_shutdown(pool, CFUT_DRAIN);
    cfut_shutdown(other, CFUT_DRAIN);
}
END_TEST

/* SEM 81: a circle of three through three pools. */
START_TEST(deadlock_through_three_pools_is_told)
{
    cfut_executor *pool[3] = { pool_of(1), pool_of(1), pool_of(1) };

    for (int i = 0; i < 200; i++) {
        struct counter arrived;
        struct gate go;
        ring_a_future a;
        ring_b_future b;
        ring_c_future c;

        counter_init(&arrived);
        gate_init(&go);
        ring_a_submit(pool[0], &a, (struct ring){ &b.base, &go, &arrived, NULL });
        ring_b_submit(pool[1], &b, (struct ring){ &c.base, &go, &arrived, NULL });
        ring_c_submit(pool[2], &c, (struct ring){ &a.base, &go, &arrived, NULL });
        counter_wait(&arrived, 3);
        gate_open(&go);
        expect_circle((cfut_future *[]){ &a.base, &b.base, &c.base },
                      (const int *const []){ &a.out, &b.out, &c.out }, 3);
    }
    for (int i = 0; i < 3; i++)
        cfut_shutdown(pool[i], CFUT_DRAIN);
}
END_TEST

/* a waits for what is queued in a pool whose workers all wait for a. Either
   side may come to its wait last. */
static void expect_stuck_pool(int workers, bool a_last)
{
    cfut_executor *one = pool_of(1), *two = pool_of(workers);
    struct gate go_a, go_b;
    struct counter arrived;
    thread_number in_a = 0, in_b[4] = { 0 };
    square_future queued;
    ring_a_future a;
    ring_b_future b[4];

    counter_init(&arrived);
    gate_init(&go_a);
    gate_init(&go_b);
    ring_a_submit(one, &a, (struct ring){ &queued.base, &go_a, &arrived, &in_a });
    for (int i = 0; i < workers; i++)
        ring_b_submit(two, &b[i], (struct ring){ &a.base, &go_b, &arrived, &in_b[i] });
    counter_wait(&arrived, 1 + workers);
    square_submit(two, &queued, 2);
    gate_open(a_last ? &go_b : &go_a);
    for (int i = 0; a_last && i < workers; i++)
        await_asleep(&in_b[i]);
    if (!a_last)
        await_asleep(&in_a);
    gate_open(a_last ? &go_a : &go_b);
    if (a_last) {
        ck_assert_int_eq(ring_a_result(&a), CFUT_DEADLOCK);
        ck_assert_int_eq(a.out, 1);
        expect_text(&a.base, "ring_a");
        expect_text(&a.base, "ring_b");
    } else {
        int closers = 0;

        for (int i = 0; i < workers; i++) {
            ck_assert(ring_b_result(&b[i]) == CFUT_DEADLOCK || ring_b_result(&b[i]) == CFUT_OK);
            closers += b[i].out;
        }
        ck_assert_int_ge(closers, 1);
        ck_assert_int_eq(ring_a_result(&a), CFUT_OK);
    }
    ck_assert_int_eq(square_result(&queued), CFUT_OK);
    cfut_shutdown(one, CFUT_DRAIN);
    cfut_shutdown(two, CFUT_DRAIN);
}

/* SEM 81: a pool of one worker, of several; both orders. */
START_TEST(deadlock_through_a_queue_of_a_stuck_pool_is_told)
{
    for (int workers = 1; workers <= 3; workers++) {
        expect_stuck_pool(workers, true);
        expect_stuck_pool(workers, false);
    }
}
END_TEST

/* Waits for all of a set of two, as wait or iterator does. */
struct pair_wait {
    cfut_future *first, *second;
    int way;
    struct gate *go;
    struct counter *arrived;
    thread_number *number;
};

static int pair_waiter(const struct pair_wait *p, int *out)
{
    cfut_future *fs[2] = { p->first, p->second };

    counter_add(p->arrived, 1);
    gate_wait(p->go);
    announce_thread(p->number);
    *out = wait_in_turn(fs, 2, p->way);
    return *out;
}
CFUT_TASK(pair_waiter, struct pair_wait, int);

/* a waits for { busy, b }, b for a; then busy ends. */
static void expect_set_circle(int way, bool a_first)
{
    cfut_executor *pool = pool_of(3);
    struct gate go_a, go_b;
    struct counter arrived;
    thread_number in_a = 0, in_b = 0;
    pair_waiter_future a;
    ring_b_future b;
    occupy_future busy;
    struct hold hold;

    counter_init(&arrived);
    gate_init(&go_a);
    gate_init(&go_b);
    hold_worker(pool, &busy, &hold);
    pair_waiter_submit(pool, &a, (struct pair_wait){ &busy.base, &b.base, way, &go_a, &arrived,
                                                     &in_a });
    ring_b_submit(pool, &b, (struct ring){ &a.base, &go_b, &arrived, &in_b });
    counter_wait(&arrived, 2);
    gate_open(a_first ? &go_a : &go_b);
    await_asleep(a_first ? &in_a : &in_b);
    gate_open(a_first ? &go_b : &go_a);
    if (way == 3 || !a_first)
        pause_ms(5);
    gate_open(&hold.release);
    ck_assert_int_eq(pair_waiter_result(&a) == CFUT_DEADLOCK ||
                     ring_b_result(&b) == CFUT_DEADLOCK, 1);
    ck_assert_int_eq(occupy_result(&busy), CFUT_OK);
    cfut_shutdown(pool, CFUT_DRAIN);
}

/* SEM 81: waits for all of a set, and for the last of one, are followed. */
START_TEST(deadlock_of_a_wait_for_a_set_is_told)
{
    expect_set_circle(CFUT_ALL_COMPLETED, true);
    expect_set_circle(CFUT_ALL_COMPLETED, false);
    expect_set_circle(3, true);
    expect_set_circle(3, false);
}
END_TEST

/* Bounces between two pools: fork of n waits for one of n - 1 in the other. */
struct bounce { cfut_executor *here, *there; int n; };

static int bounce(const struct bounce *b, int *out);
CFUT_TASK(bounce, struct bounce, int);

static int bounce(const struct bounce *b, int *out)
{
    bounce_future f;
    int status = CFUT_OK;

    *out = b->n;
    if (b->n > 0) {
        bounce_submit(b->there, &f, (struct bounce){ b->there, b->here, b->n - 1 });
        status = bounce_result(&f);
        cfut_reclaim((cfut_future *[]){ &f.base }, 1);
    }
    return status;
}

/* SEM 81: one worker each: the third task can never start. */
START_TEST(deadlock_of_tasks_bouncing_between_full_pools_is_told)
{
    cfut_executor *one = pool_of(1), *two = pool_of(1);
    bounce_future f;

    bounce_submit(one, &f, (struct bounce){ one, two, 2 });
    ck_assert_int_eq(bounce_result(&f), CFUT_DEADLOCK);
    bounce_submit(one, &f, (struct bounce){ one, two, 1 });
    ck_assert_int_eq(bounce_result(&f), CFUT_OK);
    cfut_shutdown(one, CFUT_DRAIN);
    cfut_shutdown(two, CFUT_DRAIN);
}
END_TEST

/* ---- no false alarms ---- */

/* SEM 81: with a worker for each step there is no circle. */
START_TEST(no_deadlock_for_tasks_bouncing_between_large_pools)
{
    cfut_executor *one = pool_of(20), *two = pool_of(20);
    bounce_future f;

    for (int n = 0; n < 40; n++) {
        bounce_submit(one, &f, (struct bounce){ one, two, n });
        ck_assert_int_eq(bounce_result(&f), CFUT_OK);
    }
    cfut_shutdown(one, CFUT_DRAIN);
    cfut_shutdown(two, CFUT_DRAIN);
}
END_TEST

/* SEM 81: a long chain of waits through a hundred pools. */
START_TEST(no_deadlock_for_a_long_chain_through_many_pools)
{
    enum { N = 100 };
    cfut_executor *pool[N];
    struct chain chain = { calloc(N, sizeof *chain.f), N };
    struct crew last;

    for (int i = 0; i < N; i++)
        pool[i] = pool_of(1);
    crew_block(&last, pool[N - 1], 1);
    for (int i = N - 1; i >= 0; i--)
        step_submit(pool[i], &chain.f[i], (struct step_in){ &chain, i });
    ck_assert_int_eq(step_result_timeout(&chain.f[0], CFUT_MS(20)), CFUT_TIMEOUT);
    crew_release(&last);
    ck_assert_int_eq(step_result(&chain.f[0]), CFUT_OK);
    ck_assert_int_eq(chain.f[0].out, N);
    for (int i = 0; i < N; i++)
        cfut_shutdown(pool[i], CFUT_DRAIN);
    free(chain.f);
}
END_TEST

static int wait_for_timed(const struct ring *r, int *out)
{
    counter_add(r->arrived, 1);
    gate_wait(r->go);
    *out = cfut_result_timeout(r->next, CFUT_MS(10));
    return CFUT_OK;
}
CFUT_TASK(wait_for_timed, struct ring, int);

/* SEM 81: timed waits end by themselves: two of them, and one against one
   without limit. */
START_TEST(no_deadlock_for_timed_waits_in_a_circle)
{
    cfut_executor *pool = pool_of(2);

    for (int i = 0; i < 20; i++) {
        wait_for_timed_future a, b;
        ring_c_future c;
        struct counter arrived;
        struct gate go;

        counter_init(&arrived);
        gate_init(&go);
        wait_for_timed_submit(pool, &a, (struct ring){ i % 2 ? &b.base : &c.base, &go, &arrived,
                                                       NULL });
        if (i % 2)
            wait_for_timed_submit(pool, &b, (struct ring){ &a.base, &go, &arrived, NULL });
        else
            ring_c_submit(pool, &c, (struct ring){ &a.base, &go, &arrived, NULL });
        counter_wait(&arrived, 2);
        gate_open(&go);
        ck_assert_int_eq(wait_for_timed_result(&a), CFUT_OK);
        ck_assert(a.out == CFUT_TIMEOUT || (i % 2 && a.out == CFUT_OK));
        ck_assert_int_eq(i % 2 ? wait_for_timed_result(&b) : ring_c_result(&c), CFUT_OK);
    }
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* SEM 3, 81: somebody outside may complete a future by hand at any time. */
START_TEST(no_deadlock_for_futures_completed_by_hand)
{
    cfut_executor *pool = test_pool();
    wait_for_stranger_future f[4];
    struct errand errand[4];
    cfut_future by_hand;
    int n = test_workers() < 4 ? test_workers() : 4;

    cfut_future_init(&by_hand);
    for (int i = 0; i < n; i++) {
        errand[i] = (struct errand){ &by_hand, -1 };
        wait_for_stranger_submit(pool, &f[i], &errand[i]);
        while (!cfut_running(&f[i].base))
            pause_ms(1);
    }
    pause_ms(10);
    cfut_finish(&by_hand, 7);
    for (int i = 0; i < n; i++) {
        ck_assert_int_eq(wait_for_stranger_result(&f[i]), CFUT_OK);
        ck_assert_int_eq(errand[i].answer, 7);
    }
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

static int wait_for_either(const struct pair_wait *p, int *out)
{
    cfut_future *fs[2] = { p->first, p->second };

    counter_add(p->arrived, 1);
    gate_wait(p->go);
    announce_thread(p->number);
    *out = (int)cfut_wait(fs, 2, CFUT_FIRST_COMPLETED, CFUT_FOREVER);
    return CFUT_OK;
}
CFUT_TASK(wait_for_either, struct pair_wait, int);

/* SEM 35, 81: a wait for the first is not followed: another may end it. */
START_TEST(no_deadlock_for_a_wait_for_the_first)
{
    cfut_executor *pool = pool_of(2);
    struct counter arrived;
    struct gate go;
    thread_number number = 0;
    cfut_future by_hand;
    wait_for_either_future a;
    ring_b_future b;

    cfut_future_init(&by_hand);
    counter_init(&arrived);
    gate_init(&go);
    wait_for_either_submit(pool, &a, (struct pair_wait){ &b.base, &by_hand, 0, &go, &arrived,
                                                         &number });
    ring_b_submit(pool, &b, (struct ring){ &a.base, &go, &arrived, NULL });
    counter_wait(&arrived, 2);
    gate_open(&go);
    await_asleep(&number);
    cfut_finish(&by_hand, CFUT_OK);
    ck_assert_int_eq(wait_for_either_result(&a), CFUT_OK);
    ck_assert_int_eq(a.out, 1);
    ck_assert_int_eq(ring_b_result(&b), CFUT_OK);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* SEM 73, 81: of the other pool's two workers one waits for a; the other is
   not started yet, or is busy: what is queued will run. */
START_TEST(no_deadlock_while_another_worker_can_take_the_task)
{
    for (int busy_too = 0; busy_too < 2; busy_too++) {
        cfut_executor *one = pool_of(1), *two = pool_of(2);
        struct counter arrived;
        thread_number in_b = 0;
        struct gate go;
        square_future queued;
        occupy_future busy;
        struct hold hold;
        ring_a_future a;
        ring_b_future b;

        counter_init(&arrived);
        gate_init(&go);
        ring_a_submit(one, &a, (struct ring){ &queued.base, &go, &arrived, NULL });
        ring_b_submit(two, &b, (struct ring){ &a.base, NULL, &arrived, &in_b });
        counter_wait(&arrived, 2);
        await_asleep(&in_b);
        if (busy_too)
            hold_worker(two, &busy, &hold);
        square_submit(two, &queued, 6);
        gate_open(&go);
        if (busy_too) {
            ck_assert_int_eq(ring_a_result_timeout(&a, CFUT_MS(20)), CFUT_TIMEOUT);
            gate_open(&hold.release);
        }
        ck_assert_int_eq(ring_a_result(&a), CFUT_OK);
        ck_assert_int_eq(ring_b_result(&b), CFUT_OK);
        cfut_shutdown(one, CFUT_DRAIN);
        cfut_shutdown(two, CFUT_DRAIN);
    }
}
END_TEST

/* ---- storms ---- */

enum { STORM = 200, EDGES = 3 };

struct storm_in { struct storm *storm; int i; };
static int storm_task(const struct storm_in *in, int *out);
CFUT_TASK(storm_task, struct storm_in, int);

/* A random graph of waits: task i waits for the targets of i. */
struct storm {
    storm_task_future f[STORM];
    int target[STORM][EDGES];       /* negative: none */
    int way[STORM];                 /* of waiting; negative: one result each */
    int n;
};

static int storm_task(const struct storm_in *in, int *out)
{
    struct storm *s = in->storm;
    cfut_future *fs[EDGES];
    size_t n = 0;
    int status = CFUT_OK;

    for (int k = 0; k < EDGES; k++)
        if (s->target[in->i][k] >= 0)
            fs[n++] = &s->f[s->target[in->i][k]].base;
    if (s->way[in->i] >= 0)
        status = wait_in_turn(fs, n, s->way[in->i]);
    for (size_t k = 0; k < n && status == CFUT_OK; k++)
        status = cfut_result(fs[k]);
    *out = 1;
    for (size_t k = 0; k < n && status == CFUT_OK; k++)
        *out = (*out + storm_task_of(fs[k])->out) % 1000003;
    return status;
}

/* Targets beyond i only, so without circles, or any. */
static void storm_init(struct storm *s, int n, bool acyclic, uint64_t *seed)
{
    s->n = n;
    for (int i = 0; i < n; i++) {
        s->way[i] = (int)(next_random(seed) % 6) - 2;
        if (!acyclic && s->way[i] > CFUT_ALL_COMPLETED)
            s->way[i] = -1;         /* not followed, as long as several are pending */
        for (int k = 0; k < EDGES; k++) {
            int from = acyclic ? i + 1 : 0, room = n - from;
            bool none = room <= 0 || next_random(seed) % (acyclic ? 4 : 2) == 0;

            s->target[i][k] = none ? -1 : from + (int)(next_random(seed) % (uint32_t)room);
        }
    }
}

/* Queues the tasks in random order behind busy workers, task i in one of two
   pools, and waits for all. */
static void storm_run(struct storm *s, cfut_executor **pools, int workers, uint64_t *seed)
{
    struct crew crew[2];
    size_t order[STORM];
    int n_pools = pools[0] == pools[1] ? 1 : 2;

    shuffle(order, (size_t)s->n, next_random(seed));
    for (int p = 0; p < n_pools; p++)
        crew_block(&crew[p], pools[p], workers);
    for (int k = 0; k < s->n; k++) {
        int i = (int)order[k];

        storm_task_submit(pools[i % 2], &s->f[i], (struct storm_in){ s, i });
    }
    for (int p = 0; p < n_pools; p++)
        crew_release(&crew[p]);
    for (int i = 0; i < s->n; i++) {
        int status = storm_task_result(&s->f[i]);

        ck_assert(status == CFUT_OK || status == CFUT_DEADLOCK);
    }
}

/* What the tasks of an acyclic storm should have computed. */
static void expect_storm_results(const struct storm *s)
{
    int out[STORM];

    for (int i = s->n - 1; i >= 0; i--) {
        out[i] = 1;
        for (int k = 0; k < EDGES; k++)
            if (s->target[i][k] >= 0)
                out[i] = (out[i] + out[s->target[i][k]]) % 1000003;
        ck_assert_int_eq(s->f[i].base.status, CFUT_OK);
        ck_assert_int_eq(s->f[i].out, out[i]);
    }
}

/* SEM 81: acyclic waits in one pool always end well, with one worker too. */
START_TEST(no_deadlock_in_a_storm_of_acyclic_waits)
{
    static struct storm s;
    cfut_executor *one = pool_of(1), *pool = test_pool();
    uint64_t seed = 11;

    for (int round = 0; round < 60; round++) {
        storm_init(&s, 2 + (int)(next_random(&seed) % (STORM - 2)), true, &seed);
        storm_run(&s, (cfut_executor *[]){ one, one }, 1, &seed);
        expect_storm_results(&s);
        storm_run(&s, (cfut_executor *[]){ pool, pool }, test_workers(), &seed);
        expect_storm_results(&s);
    }
    cfut_shutdown(one, CFUT_DRAIN);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* SEM 39, 81: two pools with a worker for each task. */
START_TEST(no_deadlock_in_a_storm_between_two_large_pools)
{
    enum { WORKERS = 20 };
    static struct storm s;
    cfut_executor *pools[2] = { pool_of(WORKERS), pool_of(WORKERS) };
    uint64_t seed = 12;

    for (int round = 0; round < 60; round++) {
        storm_init(&s, 2 * WORKERS, true, &seed);
        storm_run(&s, pools, WORKERS, &seed);
        expect_storm_results(&s);
    }
    for (int p = 0; p < 2; p++)
        cfut_shutdown(pools[p], CFUT_DRAIN);
}
END_TEST

/* Law 3: with circles, in one pool and in two, every task still ends. */
START_TEST(storm_of_waits_with_circles_ends)
{
    static struct storm s;
    cfut_executor *pools[2] = { test_pool(), test_pool() };
    uint64_t seed = 13;

    for (int round = 0; round < 60; round++) {
        storm_init(&s, 2 + (int)(next_random(&seed) % 60), false, &seed);
        storm_run(&s, (cfut_executor *[]){ pools[0], pools[0] }, test_workers(), &seed);
        storm_run(&s, pools, test_workers(), &seed);
    }
    for (int p = 0; p < 2; p++)
        cfut_shutdown(pools[p], CFUT_DRAIN);
}
END_TEST

/* ---- a thread that ends below many of its tasks ---- */

enum { BELOW = 300 };                   /* more than are looked at in one go */

static int go_below(const int *n, int *out);
CFUT_TASK(go_below, int, int);
static go_below_future below[BELOW + 1];

static int go_below(const int *n, int *out)
{
    *out = *n;
    if (*n == 0) pthread_exit(NULL);
    go_below_submit(cfut_current(), &below[*n - 1], *n - 1);
    return go_below_result(&below[*n - 1]);
}

START_TEST(pthread_exit_below_many_tasks_ends_them_all)
{
    cfut_executor *one = pool_of(1);
    square_future f;

    go_below_submit(one, &below[BELOW], BELOW);
    for (int i = BELOW; i >= 0; i--) ck_assert_int_eq(go_below_result(&below[i]), CFUT_ABANDONED);
    square_submit(one, &f, 3);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    cfut_shutdown(one, CFUT_DRAIN);
}
END_TEST

static cfut_iter left_iter;
static go_below_future left_child;

static int iterate_and_leave(const int *unused, int *out)
{
    cfut_future *fs[1] = { go_below_submit(cfut_current(), &left_child, 0) };

    *out = *unused;
    cfut_as_completed(&left_iter, fs, 1, CFUT_FOREVER);
    while (cfut_next(&left_iter)) {}
    return CFUT_OK;
}
CFUT_TASK(iterate_and_leave, int, int);

START_TEST(pthread_exit_below_an_iteration_ends_both)
{
    cfut_executor *one = pool_of(1);
    iterate_and_leave_future f;

    iterate_and_leave_submit(one, &f, 1);
    ck_assert_int_eq(iterate_and_leave_result(&f), CFUT_ABANDONED);
    ck_assert_int_eq(go_below_result(&left_child), CFUT_ABANDONED);
    cfut_shutdown(one, CFUT_DRAIN);
}
END_TEST

static int open_and_leave(struct gate *const *gate)
{
    gate_open(*gate);
    pthread_exit(NULL);
}
CFUT_ACTION(open_and_leave, struct gate *);

/* Two items of a task's map: the one on its own thread runs the leaver within a wait, the
   other one waits for that elsewhere. */
struct left_map {
    cfut_executor *home, *ex;
    pthread_t mapper;
    open_and_leave_future leaver;
    struct gate elsewhere, leaving;
    int told;                           /* elsewhere */
};

static int run_or_await_leaver(struct left_map *const *in)
{
    struct left_map *m = *in;

    if (pthread_equal(pthread_self(), m->mapper)) {
        gate_wait(&m->elsewhere);
        open_and_leave_submit(m->home, &m->leaver, &m->leaving);
        return open_and_leave_result(&m->leaver);
    }
    gate_open(&m->elsewhere);
    gate_wait(&m->leaving);
    return m->told = open_and_leave_result(&m->leaver);
}
CFUT_ACTION(run_or_await_leaver, struct left_map *);

static int map_two(struct left_map *const *in)
{
    struct left_map *m = *in, *items[2] = { m, m };

    m->mapper = pthread_self();
    return run_or_await_leaver_map_with(m->ex, items, 2, &(cfut_map_desc){
        .caller_runs = m->ex != m->home });
}
CFUT_ACTION(map_two, struct left_map *);

/* SEM 20: on the thread that ends the leaver comes first, then the map outside of it. */
START_TEST(pthread_exit_below_a_map_whose_other_part_waits_for_it_is_no_circle)
{
    cfut_executor *home = pool_of(2), *other = pool_of(1);
    struct left_map m = { .home = home, .ex = _i ? other : home };
    map_two_future f;

    gate_init(&m.elsewhere);
    gate_init(&m.leaving);
    map_two_submit(home, &f, &m);
    ck_assert_int_eq(map_two_result(&f), CFUT_ABANDONED);
    ck_assert_int_eq(open_and_leave_result(&m.leaver), CFUT_ABANDONED);
    ck_assert_int_eq(m.told, CFUT_ABANDONED);
    cfut_shutdown(home, CFUT_DRAIN);
    cfut_shutdown(other, CFUT_DRAIN);
}
END_TEST

static void run_leaver_here(cfut_future *f, void *leaver)
{
    (void)f;
    go_below_submit(cfut_current(), leaver, 0);
    go_below_result(leaver);
}

struct later { go_below_future leaver; bool was_done; };

static void reclaim_leaver(cfut_future *f, void *arg)
{
    struct later *l = arg;
    cfut_future *fs[1] = { &l->leaver.base };

    (void)f;
    cfut_reclaim(fs, 1);
    l->was_done = cfut_done(fs[0]);
}

static int finish_by_hand(cfut_future *const *f)
{
    return cfut_finish(*f, CFUT_OK);
}
CFUT_ACTION(finish_by_hand, cfut_future *);

/* SEM 20, 24: what the callback has run is at its end before the next callback comes. */
START_TEST(callback_after_one_that_ran_a_leaver_may_reclaim_that)
{
    cfut_executor *one = pool_of(1);
    cfut_future by_hand;
    struct later l = { .was_done = false };
    finish_by_hand_future f;

    cfut_future_init(&by_hand);
    cfut_on_done(&by_hand, run_leaver_here, &l.leaver);
    cfut_on_done(&by_hand, reclaim_leaver, &l);
    finish_by_hand_submit(one, &f, &by_hand);
    ck_assert_int_eq(finish_by_hand_result(&f), CFUT_ABANDONED);
    ck_assert_int_eq(cfut_result(&by_hand), CFUT_OK);
    ck_assert(l.was_done);
    cfut_shutdown(one, CFUT_DRAIN);
}
END_TEST

/* A callback that runs a leaver, whose own callback does something with what stands outside. */
struct outside { cfut_executor *pool, *closing; cfut_future *f; int told; };
static struct outside outside;

static void run_leaver_with(cfut_done_fn fn)
{
    static go_below_future leaver;

    go_below_submit(outside.pool, &leaver, 0);
    cfut_on_done(&leaver.base, fn, NULL);
    go_below_result(&leaver);
}

static void shut_down_closing(cfut_future *f, void *unused)
{
    (void)f;
    (void)unused;
    outside.told = cfut_shutdown(outside.closing, CFUT_DRAIN);
}

static void cancel_again(cfut_future *f, void *unused)
{
    (void)f;
    (void)unused;
    outside.told = cfut_cancel(outside.f);
}

static void ask_again(cfut_future *f, void *unused)
{
    (void)f;
    (void)unused;
    outside.told = cfut_result(outside.f);
}

static const cfut_done_fn asks[] = { shut_down_closing, cancel_again, ask_again };
static const int told[] = { CFUT_DEADLOCK, 1, CFUT_CANCELLED };

static void run_leaver_that_asks(cfut_future *f, void *ask)
{
    (void)f;
    run_leaver_with(*(const cfut_done_fn *)ask);
}

static int close_outside(const int *unused)
{
    (void)unused;
    cfut_close(outside.closing, CFUT_CANCEL_PENDING);
    return CFUT_OK;
}
CFUT_ACTION(close_outside, int);

/* SEM 20, 25: callbacks of the leaver find everything as if it returned. */
START_TEST(callback_of_a_leaver_sees_what_stands_outside)
{
    struct busy_pool b;
    square_future queued;
    close_outside_future f;

    outside.closing = busy_pool_open(&b);
    outside.pool = pool_of(1);
    outside.f = square_submit(b.ex, &queued, 3);
    outside.told = -1;
    cfut_on_done(&queued.base, run_leaver_that_asks, (void *)(uintptr_t)&asks[_i]);
    close_outside_submit(outside.pool, &f, 0);
    ck_assert_int_eq(close_outside_result(&f), CFUT_ABANDONED);
    ck_assert_int_eq(square_result(&queued), CFUT_CANCELLED);
    ck_assert_int_eq(outside.told, told[_i]);
    busy_pool_end(&b);
    cfut_shutdown(outside.pool, CFUT_DRAIN);
}
END_TEST

static void overwrite_stack(cfut_future *f, void *unused)
{
    volatile char much[20000];

    (void)f;
    (void)unused;
    for (size_t i = 0; i < sizeof much; i++) much[i] = 0x5A;
}

static int fork_and_join_leaver(const int *unused)
{
    static go_below_future leaver;

    (void)unused;
    cfut_fork(&leaver.base, &go_below_task, &leaver.in, &leaver.out);
    leaver.in = 0;
    cfut_on_done(&leaver.base, overwrite_stack, NULL);
    return cfut_join(&leaver.base);
}
CFUT_ACTION(fork_and_join_leaver, int);

static void *run_inline(void *f)
{
    fork_and_join_leaver_submit(cfut_inline_executor(), f, 0);
    return f;
}

/* SEM 20: on a thread that is no worker, and callbacks may use their stack. */
START_TEST(pthread_exit_below_a_fork_of_a_user_thread_ends_both)
{
    fork_and_join_leaver_future f;
    void *returned = &f;

    ck_assert_int_eq(pthread_join(thread_start(run_inline, &f), &returned), 0);
    ck_assert_ptr_null(returned);
    ck_assert_int_eq(fork_and_join_leaver_result(&f), CFUT_ABANDONED);
}
END_TEST

static void *fork_leaver(void *leaver)
{
    go_below_future *f = leaver;

    go_below_fork(f, 0);
    cfut_on_done(&f->base, overwrite_stack, NULL);
    go_below_join(f);
    return leaver;
}

/* SEM 20: nor in a task, so that nothing else there is ready for it. */
START_TEST(pthread_exit_below_a_fork_outside_of_tasks_ends_it)
{
    go_below_future leaver;
    void *returned = &leaver;

    ck_assert_int_eq(pthread_join(thread_start(fork_leaver, &leaver), &returned), 0);
    ck_assert_ptr_null(returned);
    ck_assert_int_eq(go_below_result(&leaver), CFUT_ABANDONED);
}
END_TEST

struct nest { int depth; size_t room; };
static int fork_nest(const struct nest *n);
CFUT_ACTION(fork_nest, struct nest);

/* Some of the stack is used at each level, as much as is said. */
static int fork_nest(const struct nest *n)
{
    volatile char *room = __builtin_alloca(n->room + 1);
    fork_nest_future f;

    room[n->room] = 1;
    if (n->depth == 0) pthread_exit(NULL);
    fork_nest_fork(&f, (struct nest){ n->depth - 1, n->room });
    return fork_nest_join(&f) + room[n->room];
}

/* SEM 20: wherever the inlined forks lie in the stack that is left. */
START_TEST(pthread_exit_below_inlined_forks_ends_them_all)
{
    static const int depths[] = { 1, 2, 20 };
    cfut_executor *one = pool_of(1);
    fork_nest_future f;

    for (size_t room = 0; room < 6000; room += 24) {
        fork_nest_submit(one, &f, (struct nest){ depths[_i], room });
        ck_assert_int_eq(fork_nest_result(&f), CFUT_ABANDONED);
    }
    cfut_shutdown(one, CFUT_DRAIN);
}
END_TEST

/* One worker joins a fork, and runs, to help, what that has forked; which leaves. The fork
   waits for the task that joins it. */
struct helped { struct gate started, waits; cfut_future *joiner; };
static struct helped helped;

static int leave_when_waited_for(const int *n, int *out)
{
    gate_open(&helped.waits);
    test_sleep(CFUT_MS(20));            /* until the other waits, likely */
    return go_below(n, out);
}
CFUT_TASK(leave_when_waited_for, int, int);

static int fork_leaver_and_wait(const int *unused, int *out)
{
    leave_when_waited_for_future leaver;

    *out = *unused;
    leaver.in = 0;
    cfut_fork(&leaver.base, &leave_when_waited_for_task, &leaver.in, &leaver.out);
    gate_open(&helped.started);
    gate_wait(&helped.waits);
    *out = cfut_result(helped.joiner);
    cfut_join(&leaver.base);
    return CFUT_OK;
}
CFUT_TASK(fork_leaver_and_wait, int, int);

static int join_forker(const int *unused, int *out)
{
    fork_leaver_and_wait_future f;

    (void)unused;
    f.in = 0;
    cfut_fork(&f.base, &fork_leaver_and_wait_task, &f.in, &f.out);
    gate_wait(&helped.started);
    cfut_join(&f.base);
    *out = f.out;
    return CFUT_OK;
}
CFUT_TASK(join_forker, int, int);

/* SEM 20, 81: what the thread waits for as it ends is followed, too. */
START_TEST(circle_through_a_thread_that_ends_is_told)
{
    cfut_executor *two = pool_of(2);
    join_forker_future f;

    gate_init(&helped.started);
    gate_init(&helped.waits);
    helped.joiner = &f.base;
    join_forker_submit(two, &f, 0);
    ck_assert_int_eq(join_forker_result(&f), CFUT_ABANDONED);
    cfut_shutdown(two, CFUT_DRAIN);
}
END_TEST

static cfut_iter reused_iter;
static square_future before_leaver[3];
static go_below_future iterated_leaver;

/* The leaver is the last that the second call of next runs; the others are there. */
static int iterate_over_leaver(const int *unused, int *out)
{
    cfut_future *fs[4];

    for (int i = 0; i < 3; i++) fs[i] = square_submit(cfut_current(), &before_leaver[i], i);
    for (int i = 0; i < 3; i++) square_result(&before_leaver[i]);
    fs[3] = go_below_submit(cfut_current(), &iterated_leaver, 0);
    cfut_as_completed(&reused_iter, fs, 4, CFUT_FOREVER);
    *out = *unused;
    while (cfut_next(&reused_iter)) {}
    return CFUT_OK;
}
CFUT_TASK(iterate_over_leaver, int, int);

/* SEM 20, 51: it is ended, and its place serves another one, which misses none. */
START_TEST(iterator_whose_task_was_left_is_ended)
{
    cfut_executor *one = pool_of(1);
    cfut_future *fs[4];
    iterate_over_leaver_future f;
    int n = 0;

    iterate_over_leaver_submit(one, &f, 1);
    ck_assert_int_eq(iterate_over_leaver_result(&f), CFUT_ABANDONED);
    ck_assert_ptr_null(cfut_next(&reused_iter));
    ck_assert_int_eq(reused_iter.status, CFUT_END);
    for (int i = 0; i < 3; i++) fs[i] = &before_leaver[i].base;
    fs[3] = &iterated_leaver.base;
    ck_assert_int_eq(cfut_as_completed(&reused_iter, fs, 4, CFUT_SEC(5)), CFUT_OK);
    while (cfut_next(&reused_iter)) n++;
    ck_assert_int_eq(n, 4);
    cfut_shutdown(one, CFUT_DRAIN);
}
END_TEST

static cfut_stream *reused_stream;

/* Four items: 3, 2, 1, 0. */
static int pull_down(void *left, void *in)
{
    int *n = left;

    if (*n < 0) return CFUT_END;
    *(int *)in = (*n)--;
    return CFUT_OK;
}

static int leave_at_two(const int *n, int *out)
{
    *out = *n;
    if (*n == 2) pthread_exit(NULL);
    return CFUT_OK;
}
CFUT_TASK(leave_at_two, int, int);

static int stream_over_leaver(int *const *left)
{
    int out;

    reused_stream = cfut_stream_open(cfut_current(), &leave_at_two_task, pull_down, *left,
                                     &(cfut_stream_desc){ .buffersize = 3, .as_completed = true });
    while (cfut_stream_next(reused_stream, &out) != CFUT_END) {}
    return CFUT_OK;
}
CFUT_ACTION(stream_over_leaver, int *);

/* SEM 20, 58: the first was yielded, the others come in another thread. */
START_TEST(stream_whose_task_was_left_goes_on)
{
    cfut_executor *one = pool_of(1);
    int left = 3, abandoned = 0, all = 0, out;
    stream_over_leaver_future f;

    stream_over_leaver_submit(one, &f, &left);
    ck_assert_int_eq(stream_over_leaver_result(&f), CFUT_ABANDONED);
    for (int status; (status = cfut_stream_next(reused_stream, &out)) != CFUT_END; all++)
        abandoned += status == CFUT_ABANDONED;
    ck_assert_int_eq(all, 3);
    ck_assert_int_eq(abandoned, 1);
    cfut_stream_close(reused_stream);
    cfut_shutdown(one, CFUT_DRAIN);
}
END_TEST

/* ---- what is told of a circle ---- */

enum { RING = 12 };
struct link { cfut_future *next; struct counter *begun; int n; };

static int wait_for_next(const void *in, void *out)
{
    const struct link *l = in;

    (void)out;
    counter_add(l->begun, 1);
    counter_wait(l->begun, l->n);
    return cfut_result(l->next);
}

/* The text of a circle of n tasks of that name, each in a pool of its own. */
static const char *text_of_circle(const char *name, int n)
{
    static char text[100];
    cfut_task task = { wait_for_next, name, sizeof(struct link), 0 };
    cfut_executor *pools[RING];
    cfut_future f[RING];
    struct link links[RING];
    struct counter begun;

    counter_init(&begun);
    for (int i = 0; i < n; i++) {
        pools[i] = pool_of(1);
        links[i] = (struct link){ &f[(i + 1) % n], &begun, n };
    }
    for (int i = 0; i < n; i++) cfut_submit(pools[i], &f[i], &task, &links[i], NULL);
    text[0] = 0;
    for (int i = 0; i < n; i++) {
        ck_assert_int_eq(cfut_result(&f[i]), CFUT_DEADLOCK);
        if (strstr(cfut_error(&f[i]), " -> ")) strcpy(text, cfut_error(&f[i]));
    }
    for (int i = 0; i < n; i++) cfut_shutdown(pools[i], CFUT_DRAIN);
    return text;
}

START_TEST(text_of_a_large_circle_names_its_first_tasks)
{
    ck_assert_str_eq(text_of_circle("a", 3), "a -> a -> a -> a");
    ck_assert_str_eq(text_of_circle("a", RING), "a -> a -> a -> a -> a -> a -> a -> a -> a");
    ck_assert_str_eq(text_of_circle(NULL, 2), "? -> ? -> ?");
    ck_assert_uint_eq(strlen(text_of_circle("a_task_with_a_long_name", 5)), 55);
}
END_TEST

static void fill_ends(TCase *tc)
{
    tcase_add_test(tc, nested_recursion_with_one_worker_ends);
    tcase_add_test(tc, pthread_exit_below_many_tasks_ends_them_all);
    tcase_add_test(tc, pthread_exit_below_an_iteration_ends_both);
    tcase_add_loop_test(tc, pthread_exit_below_a_map_whose_other_part_waits_for_it_is_no_circle, 0,
                        2);
    tcase_add_test(tc, callback_after_one_that_ran_a_leaver_may_reclaim_that);
    tcase_add_loop_test(tc, callback_of_a_leaver_sees_what_stands_outside, 0, 3);
    tcase_add_test(tc, pthread_exit_below_a_fork_of_a_user_thread_ends_both);
    tcase_add_test(tc, pthread_exit_below_a_fork_outside_of_tasks_ends_it);
    tcase_add_loop_test(tc, pthread_exit_below_inlined_forks_ends_them_all, 0, 3);
    tcase_add_test(tc, circle_through_a_thread_that_ends_is_told);
    tcase_add_test(tc, iterator_whose_task_was_left_is_ended);
    tcase_add_test(tc, stream_whose_task_was_left_goes_on);
    tcase_add_test(tc, text_of_a_large_circle_names_its_first_tasks);
    tcase_add_test(tc, nested_recursion_in_a_pool_ends);
    tcase_add_test(tc, nested_recursion_inline_ends);
    tcase_add_test(tc, nested_waits_of_each_kind_with_one_worker_end);
    tcase_add_test(tc, nested_wait_for_the_first_with_one_worker_ends);
    tcase_add_test(tc, nested_wait_for_a_task_queued_by_an_outsider_ends);
    tcase_add_test(tc, nested_wait_runs_no_unrelated_task);
    tcase_add_test(tc, nested_timed_wait_with_one_worker_only_sleeps);
    tcase_add_test(tc, fork_join_recursion_ends);
    tcase_add_test(tc, join_of_a_stolen_task_runs_what_that_forks);
    tcase_add_test(tc, join_that_runs_what_ends_its_thread_waits_for_the_stolen_task);
    tcase_add_test(tc, fork_outside_a_worker_runs_at_the_join);
    tcase_add_test(tc, fork_of_many_then_join_in_reverse_ends);
    tcase_add_test(tc, join_returns_the_forked_tasks_status);
    tcase_add_test(tc, fork_in_a_closed_pool_still_joins);
    tcase_add_test(tc, fork_and_submit_mixed_end);
    tcase_add_test(tc, fork_beside_an_idle_worker_runs_there);
    tcase_add_test(tc, fork_of_more_than_the_deque_holds_ends);
    tcase_add_test(tc, fork_that_its_forker_cancels_is_cancelled);
    tcase_add_test(tc, fork_cancelled_before_it_ran_at_the_join_does_not_run);
    tcase_add_test(tc, callback_that_the_forker_adds_to_its_fork_runs_once);
    tcase_add_test(tc, fork_that_its_forker_waits_for_otherwise_ends);
    tcase_add_test(tc, join_below_a_queued_task_leaves_that_queued);
    tcase_add_test(tc, forked_task_sees_itself_as_the_running_one);
    tcase_add_test(tc, forked_action_sees_itself_running);
    tcase_add_test(tc, forked_task_runs_for_those_that_it_calls);
    tcase_add_test(tc, fork_that_a_stranger_asks_about_goes_on);
    tcase_add_test(tc, task_in_another_workers_queue_is_cancelled);
    tcase_add_test(tc, cancel_of_a_task_that_left_the_queue_long_ago_takes_no_other);
    tcase_add_test(tc, deadlock_in_a_forked_task_is_told);
    tcase_add_test(tc, nested_chain_of_great_depth_ends);
    tcase_add_test(tc, nested_chain_of_great_depth_in_a_pool_ends);
    tcase_add_test(tc, nested_chain_queued_last_first_needs_little_stack);
    tcase_add_test(tc, nested_descent_to_great_depth_ends);
}

static void fill(TCase *tc)
{
    fill_ends(tc);
    tcase_add_test(tc, deadlock_when_waiting_for_oneself_is_told);
    tcase_add_test(tc, deadlock_of_two_tasks_in_one_worker_is_told);
    tcase_add_test(tc, deadlock_of_two_tasks_in_two_workers_is_told);
    tcase_add_test(tc, deadlock_through_three_pools_is_told);
    tcase_add_test(tc, deadlock_through_a_queue_of_a_stuck_pool_is_told);
    tcase_add_test(tc, deadlock_of_a_wait_for_a_set_is_told);
    tcase_add_test(tc, deadlock_of_tasks_bouncing_between_full_pools_is_told);
    tcase_add_test(tc, no_deadlock_for_tasks_bouncing_between_large_pools);
    tcase_add_test(tc, no_deadlock_for_a_long_chain_through_many_pools);
    tcase_add_test(tc, no_deadlock_for_timed_waits_in_a_circle);
    tcase_add_test(tc, no_deadlock_for_futures_completed_by_hand);
    tcase_add_test(tc, no_deadlock_for_a_wait_for_the_first);
    tcase_add_test(tc, no_deadlock_while_another_worker_can_take_the_task);
    tcase_add_test(tc, no_deadlock_in_a_storm_of_acyclic_waits);
    tcase_add_test(tc, no_deadlock_in_a_storm_between_two_large_pools);
    tcase_add_test(tc, storm_of_waits_with_circles_ends);
}

int main(void)
{
    return harness_main("nested", fill);
}
