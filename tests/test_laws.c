/* test_laws.c: the laws that no single function owns: nothing is allocated
   between submit and result, idle costs nothing, pools do not disturb each
   other, nobody starves, nothing is printed; and the layout that the manual
   promises. */
#include <stdlib.h>

/* Counts what the library allocates, and what of it is still alive. */
static int allocations, blocks_alive;
static void *counting_malloc(size_t n)
{
    __atomic_add_fetch(&allocations, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&blocks_alive, 1, __ATOMIC_RELAXED);
    return malloc(n);
}

static void counting_free(void *p)
{
    if (p)
        __atomic_sub_fetch(&blocks_alive, 1, __ATOMIC_RELAXED);
    free(p);
}
#define CFUT_MALLOC(n) counting_malloc(n)
#define CFUT_FREE(p) counting_free(p)

#include "harness.h"
#include "fixtures.h"
#ifndef _WIN32
#include <sys/resource.h>
#endif

static int allocations_now(void)
{
    return __atomic_load_n(&allocations, __ATOMIC_RELAXED);
}

/* All threads of the pool have started, and have run a task. */
static void warm_up(cfut_executor *pool)
{
    struct crew crew;

    crew_block(&crew, pool, test_workers());
    crew_release(&crew);
}

/* ---- law 5: no allocation on the way ---- */

static void count_call(cfut_future *f, void *calls)
{
    (void)f;
    __atomic_add_fetch((int *)calls, 1, __ATOMIC_RELAXED);
}

/* Everything that may happen to a batch of futures with one watcher each. */
static void use_all_calls(cfut_executor *pool, int round, int *calls)
{
    enum { N = 64 };
    square_future f[N];
    cfut_future *fs[N];
    cfut_iter it;

    for (int i = 0; i < N; i++)
        fs[i] = square_submit(pool, &f[i], i);
    for (int i = 0; i < N; i += 5)
        cfut_on_done(fs[i], count_call, calls);
    for (int i = 0; i < N; i += 7)
        cfut_cancel(fs[i]);
    square_result_timeout(&f[1], CFUT_US(round));
    if (round % 3 == 0) {
        cfut_wait(fs, N, CFUT_ALL_COMPLETED, CFUT_FOREVER);
    } else if (round % 3 == 1) {
        cfut_as_completed(&it, fs, N, CFUT_FOREVER);
        while (cfut_next(&it)) {}
    } else {
        cfut_wait(fs, N, CFUT_FIRST_COMPLETED, CFUT_US(5));
        cfut_reclaim(fs, N);
    }
    for (int i = 0; i < N; i++)
        square_result(&f[i]);
}

/* Law 5: from an outside thread. */
START_TEST(submit_to_result_allocates_nothing)
{
    cfut_executor *pool = test_pool();
    int before, calls = 0;

    warm_up(pool);
    use_all_calls(pool, 0, &calls);
    before = allocations_now();
    for (int round = 0; round < 300; round++)
        use_all_calls(pool, round, &calls);
    ck_assert_int_eq(allocations_now(), before);
    ck_assert_int_eq(calls, 301 * 13);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

static int use_inside(const int *round, int *out)
{
    square_future f;

    *out = 0;
    use_all_calls(cfut_current(), *round, out);
    for (int i = 0; i < 10; i++) {
        square_fork(&f, i);
        if (square_join(&f) != CFUT_OK || f.out != i * i)
            return EIO;
    }
    return CFUT_OK;
}
CFUT_TASK(use_inside, int, int);

/* Law 5: inside tasks, with forks; and more of them than a deque may hold. */
START_TEST(submit_to_result_inside_tasks_allocates_nothing)
{
    enum { N = 200 };
    cfut_executor *pool = test_pool();
    use_inside_future f[N];
    int before;

    warm_up(pool);
    before = allocations_now();
    for (int i = 0; i < N; i++)
        use_inside_submit(pool, &f[i], i);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(use_inside_result(&f[i]), CFUT_OK);
    ck_assert_int_eq(allocations_now(), before);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* Law 5: a queue of any length needs no memory but the futures'. */
START_TEST(long_queue_allocates_nothing)
{
    enum { N = 200000 };
    cfut_executor *pool = test_pool();
    square_future *f = calloc(N, sizeof *f);
    struct crew crew;
    int before;

    crew_block(&crew, pool, test_workers());
    before = allocations_now();
    for (int i = 0; i < N; i++)
        square_submit(pool, &f[i], 1);
    crew_release(&crew);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(square_result(&f[i]), CFUT_OK);
    ck_assert_int_eq(allocations_now(), before);
    free(f);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* No leak: what ended pools keep for their handles is bounded. */
START_TEST(ended_pools_keep_a_bounded_number_of_blocks)
{
    int alive = 0;

    for (int i = 0; i < 900; i++) {
        cfut_executor *pool = pool_of(1 + i % 3);
        square_future f;

        square_submit(pool, &f, i);
        ck_assert_int_eq(square_result(&f), CFUT_OK);
        cfut_shutdown(pool, i % 2 ? CFUT_DRAIN : CFUT_CANCEL_PENDING);
        if (i == 500)
            alive = __atomic_load_n(&blocks_alive, __ATOMIC_RELAXED);
    }
    ck_assert_int_le(__atomic_load_n(&blocks_alive, __ATOMIC_RELAXED), alive);
}
END_TEST

/* No leak: an iterator that has yielded its last future needs no cfut_iter_end,
   also when it was a second watcher and has a block of its own. */
START_TEST(iterators_used_up_keep_no_block)
{
    cfut_future f[4], *fs[4];
    cfut_iter its[3];
    int before = __atomic_load_n(&blocks_alive, __ATOMIC_RELAXED);

    for (int i = 0; i < 4; i++) {
        cfut_future_init(&f[i]);
        fs[i] = &f[i];
    }
    for (int k = 0; k < 3; k++)
        ck_assert_int_eq(cfut_as_completed(&its[k], fs, 4, CFUT_FOREVER), CFUT_OK);
    for (int i = 0; i < 4; i++)
        cfut_finish(&f[i], CFUT_OK);
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < 4; i++)
            ck_assert_ptr_eq(cfut_next(&its[k]), &f[i]);
    ck_assert_int_eq(__atomic_load_n(&blocks_alive, __ATOMIC_RELAXED), before);
}
END_TEST

/* ---- law 6: idle costs nothing ---- */

struct cost { int64_t cpu_us; long switches; };

#ifdef _WIN32
static struct cost cost_now(void)
{
    FILETIME begun, ended, t[2];
    int64_t ticks = 0;

    GetProcessTimes(GetCurrentProcess(), &begun, &ended, &t[0], &t[1]);
    for (int i = 0; i < 2; i++)
        ticks += (int64_t)((uint64_t)t[i].dwHighDateTime << 32 | t[i].dwLowDateTime);
    return (struct cost){ ticks / 10, 0 };
}
#else
static struct cost cost_now(void)
{
    struct rusage u;
    struct cost c;

    getrusage(RUSAGE_SELF, &u);
    c.cpu_us = (int64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
               u.ru_utime.tv_usec + u.ru_stime.tv_usec;
    c.switches = u.ru_nvcsw;
    return c;
}
#endif

/* What the next ms milliseconds cost. */
static struct cost cost_of(int ms)
{
    struct cost before = cost_now(), after;

    pause_ms(ms);
    after = cost_now();
    return (struct cost){ after.cpu_us - before.cpu_us, after.switches - before.switches };
}

/* Half a second in which nothing happens, once the last worker has gone to
   sleep; who polls never comes to that. A sanitizer's own thread looks around
   ten times a second, so a few switches are no poll of ours. */
static void expect_idle(void)
{
    struct cost cost = cost_of(50);

    for (int i = 0; i < 40 && cost.switches > 5; i++)
        cost = cost_of(50);
    cost = cost_of(500);
    ck_assert_int_lt(cost.cpu_us, 20000);
    ck_assert_int_lt(cost.switches, 40);
}

/* Law 6: after work, with all workers started. */
START_TEST(idle_pool_burns_no_cpu)
{
    cfut_executor *pool = test_pool();
    square_future f[100];

    warm_up(pool);
    for (int i = 0; i < 100; i++)
        square_submit(pool, &f[i], i);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(square_result(&f[i]), CFUT_OK);
    expect_idle();
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

static void *wait_for_one(void *f)
{
    ck_assert_int_eq(cfut_result((cfut_future *)f), CFUT_OK);
    return NULL;
}

static int wait_inside(cfut_future *const *f, int *out)
{
    cfut_future *fs[1] = { *f };

    *out = (int)cfut_wait(fs, 1, CFUT_ALL_COMPLETED, CFUT_SEC(100));
    return CFUT_OK;
}
CFUT_TASK(wait_inside, cfut_future *, int);

/* Law 6: waiting of every kind is sleeping, too. */
START_TEST(waiting_threads_and_tasks_burn_no_cpu)
{
    cfut_executor *pool = test_pool();
    wait_inside_future inside;
    cfut_future by_hand;
    pthread_t thread;

    cfut_future_init(&by_hand);
    thread = start_thread(wait_for_one, &by_hand);
    wait_inside_submit(pool, &inside, &by_hand);
    expect_idle();
    cfut_finish(&by_hand, CFUT_OK);
    end_thread(thread);
    ck_assert_int_eq(wait_inside_result(&inside), CFUT_OK);
    ck_assert_int_eq(inside.out, 1);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* ---- law 7: pools do not disturb each other ---- */

/* All workers of one pool are stuck and its queue is long; another works on,
   and ends. */
START_TEST(stuck_pool_does_not_disturb_another)
{
    enum { N = 2000 };
    cfut_executor *stuck = test_pool(), *other = test_pool();
    square_future *queued = calloc(N, sizeof *queued), *f = calloc(N, sizeof *f);
    struct crew crew;

    crew_block(&crew, stuck, test_workers());
    for (int i = 0; i < N; i++) {
        square_submit(stuck, &queued[i], i % 100);
        square_submit(other, &f[i], i % 100);
    }
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(square_result(&f[i]), CFUT_OK);
    ck_assert_int_eq(cfut_shutdown(other, CFUT_DRAIN), CFUT_OK);
    for (int i = 0; i < N; i++)
        ck_assert(!cfut_done(&queued[i].base));
    crew_release(&crew);
    ck_assert_int_eq(cfut_shutdown(stuck, CFUT_DRAIN), CFUT_OK);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(queued[i].out, (i % 100) * (i % 100));
    free(queued);
    free(f);
}
END_TEST

/* One pool breaks; another does not. */
static int refuse(void *arg)
{
    (void)arg;
    return EIO;
}

START_TEST(broken_pool_does_not_break_another)
{
    cfut_executor *good = test_pool();
    cfut_executor *bad = cfut_thread_pool(&(cfut_thread_pool_desc){ .max_workers = 2,
                                                                    .initializer = refuse });
    square_future f, g;

    square_submit(bad, &f, 3);
    ck_assert_int_eq(square_result(&f), CFUT_BROKEN);
    square_submit(good, &g, 3);
    ck_assert_int_eq(square_result(&g), CFUT_OK);
    ck_assert_int_eq(cfut_executor_status(good), CFUT_OK);
    cfut_shutdown(bad, CFUT_DRAIN);
    cfut_shutdown(good, CFUT_DRAIN);
}
END_TEST

/* ---- nobody starves ---- */

static bool may_stop;

static int relay(const int *links, int *out);
CFUT_TASK(relay, int, int);

/* Passes the baton to itself for ever. */
static int relay(const int *links, int *out)
{
    *out = 0;
    if (!__atomic_load_n(&may_stop, __ATOMIC_SEQ_CST)) {
        relay_future *next = relay_spawn(cfut_current(), *links);

        ck_assert_ptr_nonnull(next);
        relay_release(next);
    }
    return CFUT_OK;
}

/* An outside task starts although each worker always has a task of its own. */
START_TEST(outside_task_starts_although_workers_submit_for_ever)
{
    cfut_executor *pool = test_pool();
    square_future f[20];

    for (int i = 0; i < 3 * test_workers(); i++)
        relay_release(relay_spawn(pool, i));
    for (int i = 0; i < 20; i++) {
        square_submit(pool, &f[i], i);
        if (i % 2)
            ck_assert_int_eq(square_result(&f[i]), CFUT_OK);
    }
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(square_result(&f[i]), CFUT_OK);
    __atomic_store_n(&may_stop, true, __ATOMIC_SEQ_CST);
    ck_assert_int_eq(cfut_shutdown(pool, CFUT_DRAIN), CFUT_OK);
}
END_TEST

static int two_relays(const int *links, int *out)
{
    relay_release(relay_spawn(cfut_current(), *links));
    relay_release(relay_spawn(cfut_current(), *links));
    *out = 0;
    return CFUT_OK;
}
CFUT_TASK(two_relays, int, int);

/* The oldest of a worker's own tasks is not forgotten under newer ones. */
START_TEST(oldest_own_task_starts_although_newer_ones_come_for_ever)
{
    cfut_executor *pool = pool_of(1);
    two_relays_future parent;
    square_future f;

    two_relays_submit(pool, &parent, 0);
    ck_assert_int_eq(two_relays_result(&parent), CFUT_OK);
    square_submit(pool, &f, 4);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    __atomic_store_n(&may_stop, true, __ATOMIC_SEQ_CST);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* ---- law 5: it never prints ---- */

static int leave_thread(const int *in, int *out)
{
    (void)out;
    if (*in)
        pthread_exit(NULL);
    return CFUT_OK;
}
CFUT_TASK(leave_thread, int, int);

static int wait_self(const int *in, int *out)
{
    *out = *in;
    return cfut_result(cfut_current_future());
}
CFUT_TASK(wait_self, int, int);

/* As much as can go wrong at once. */
static void go_wrong(void)
{
    cfut_executor *pool = test_pool();
    fail_with_future failing;
    leave_thread_future leaving;
    wait_self_future waiting;
    square_future closed;

    fail_with_submit(pool, &failing, 5);
    leave_thread_submit(pool, &leaving, TASKS_CAN_EXIT);
    wait_self_submit(pool, &waiting, 1);
    ck_assert_int_eq(fail_with_result(&failing), 5);
    ck_assert_int_eq(leave_thread_result(&leaving), TASKS_CAN_EXIT ? CFUT_ABANDONED : 0);
    ck_assert_int_eq(wait_self_result(&waiting), CFUT_DEADLOCK);
    cfut_close(pool, CFUT_CANCEL_PENDING);
    square_submit(pool, &closed, 1);
    ck_assert_int_eq(square_result(&closed), CFUT_CLOSED);
    cfut_shutdown(pool, CFUT_DRAIN);
    ck_assert_int_eq(cfut_result(NULL), CFUT_INVALID);
}

/* Law 5: nothing appears on stdout or stderr. */
START_TEST(failures_print_nothing)
{
    FILE *caught = tmpfile();
    int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);

    ck_assert_ptr_nonnull(caught);
    fflush(NULL);
    dup2(fileno(caught), STDOUT_FILENO);
    dup2(fileno(caught), STDERR_FILENO);
    go_wrong();
    fflush(NULL);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    ck_assert_int_eq(lseek(fileno(caught), 0, SEEK_END), 0);
    fclose(caught);
}
END_TEST

/* ---- the layout that the manual promises ---- */

/* With 64-bit pointers: 120 bytes, an int and an int. */
START_TEST(future_of_int_to_int_takes_128_bytes)
{
#if UINTPTR_MAX == 0xffffffffffffffff
    ck_assert_uint_eq(sizeof(cfut_future), 120);
    ck_assert_uint_eq(sizeof(square_future), 128);
    ck_assert_uint_eq(offsetof(square_future, in), 120);
    ck_assert_uint_eq(offsetof(square_future, out), 124);
#endif
    ck_assert_uint_eq(offsetof(square_future, base), 0);
    ck_assert_uint_le(_Alignof(cfut_future), _Alignof(max_align_t));
}
END_TEST

/* What the path to success touches, from state to next, in and out. */
START_TEST(path_to_success_fits_72_bytes)
{
#if UINTPTR_MAX == 0xffffffffffffffff
    size_t first = offsetof(cfut_future, waiters);

    ck_assert_uint_le(sizeof(square_future) - first, 72);
#endif
    ck_assert_uint_lt(offsetof(cfut_future, state), offsetof(cfut_future, next));
}
END_TEST

static void fill(TCase *tc)
{
    tcase_add_test(tc, submit_to_result_allocates_nothing);
    tcase_add_test(tc, submit_to_result_inside_tasks_allocates_nothing);
    tcase_add_test(tc, long_queue_allocates_nothing);
    tcase_add_test(tc, ended_pools_keep_a_bounded_number_of_blocks);
    tcase_add_test(tc, iterators_used_up_keep_no_block);
    tcase_add_test(tc, idle_pool_burns_no_cpu);
    tcase_add_test(tc, waiting_threads_and_tasks_burn_no_cpu);
    tcase_add_test(tc, stuck_pool_does_not_disturb_another);
    tcase_add_test(tc, broken_pool_does_not_break_another);
    tcase_add_test(tc, outside_task_starts_although_workers_submit_for_ever);
    tcase_add_test(tc, oldest_own_task_starts_although_newer_ones_come_for_ever);
    tcase_add_test(tc, failures_print_nothing);
    tcase_add_test(tc, future_of_int_to_int_takes_128_bytes);
    tcase_add_test(tc, path_to_success_fits_72_bytes);
}

int main(void)
{
    return harness_main("laws", fill);
}
