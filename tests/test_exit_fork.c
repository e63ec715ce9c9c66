/* test_exit_fork.c: what becomes of pools at exit() and after fork(). Each case
   runs in a process of its own, with a time limit, and its exit status counts. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1               /* MAP_ANONYMOUS */
#endif
#include <pthread.h>

/* The library's call of pthread_atfork, so that a test can stop in it. */
typedef void (*fork_handler)(void);
static int (*const real_atfork)(fork_handler, fork_handler, fork_handler) = pthread_atfork;
static int paused_atfork(fork_handler before, fork_handler parent, fork_handler child);
#define pthread_atfork paused_atfork

#define HARNESS_NO_WATCHDOG         /* processes have their own limit here: end_of */
#include "harness.h"

#include <sys/mman.h>
#include <sys/wait.h>

/* ThreadSanitizer cannot start or end threads in a child of a process that had
   several, and its pthread_once never ends there if it was under way at the
   fork: the cases that need these are left out. */
#if UNDER_TSAN
#define CHILD_THREADS 0
/* Else each child sleeps for a second before it is gone. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void) { return "atexit_sleep_ms=0"; }
#else
#define CHILD_THREADS (!EMULATED)
#endif

/* A child that was forked in a worker has lost the main thread, and with it, to
   LeakSanitizer's eyes, whatever only that thread's stack points to. */
static int leaks_unknown;
#if UNDER_ASAN
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) { return leaks_unknown; }
#endif

/* The sanitizers' allocators and lists of threads, unlike libc's, may be locked for ever
   in a child whose parent had a thread in them (AddressSanitizer's list;
   ThreadSanitizer's records of blocks, by a thread that unmaps a pool): no child that
   needs them after a fork beside threads that allocate or start threads. */
#if UNDER_ASAN || UNDER_TSAN
#define CHILD_ALLOCATES 0
#else
#define CHILD_ALLOCATES 1
#endif

/* ---- helpers ---- */

/* What processes tell each other; all fields atomic. */
struct shared { int ran, status, pool_status, step, wrong; };
static struct shared *shared;

static void tell(int *at, int value) { __atomic_store_n(at, value, __ATOMIC_SEQ_CST); }
static int told(int *at) { return __atomic_load_n(at, __ATOMIC_SEQ_CST); }

static void share(void)
{
    void *p = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                   -1, 0);

    ck_assert(p != MAP_FAILED);
    shared = p;
}

/* The exit status of a child, which must end within the time limit. */
static int end_of(pid_t child)
{
    cfut_ns limit = test_now() + test_time(CFUT_SEC(12));
    int status = 0;
    pid_t gone;

    ck_assert_int_gt(child, 0);         /* kill takes other numbers for groups */
    while ((gone = waitpid(child, &status, WNOHANG)) == 0 && test_now() < limit)
        test_sleep(CFUT_MS(1));
    if (gone == 0) {
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
        ck_abort_msg("a child process hangs");
    }
    ck_assert_int_eq(gone, child);
    if (WIFSIGNALED(status))
        ck_abort_msg("a child process died by signal %d", WTERMSIG(status));
    return WEXITSTATUS(status);
}

/* Runs fn in a process of its own; fn's return is exit(0) there. */
static int run_process(void (*fn)(void))
{
    pid_t child;

    fflush(NULL);
    child = fork();
    if (child == 0) {
        fn();
        exit(0);
    }
    return end_of(child);
}

static void assert_no_child_left(void)
{
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
    ck_assert_int_eq(errno, ECHILD);
}

static int tick(const int *ms)
{
    test_sleep(CFUT_MS(*ms));
    __atomic_add_fetch(&shared->ran, 1, __ATOMIC_SEQ_CST);
    return CFUT_OK;
}
CFUT_ACTION(tick, int);

/* Futures that outlive the function that submits them. */
enum { TICKS = 50 };
static tick_future ticks[4][TICKS];

static void submit_ticks(cfut_executor *ex, int row, int n)
{
    for (int i = 0; i < n; i++)
        tick_submit(ex, &ticks[row][i], i % 10 == 0);
}

static int run_square(cfut_executor *ex, int x)
{
    square_future f;

    square_submit(ex, &f, x);
    return square_result(&f);
}

static cfut_executor *pool_for_exit(int policy)
{
    return cfut_thread_pool(
        &(cfut_thread_pool_desc){ .max_workers = test_workers(), .exit = policy });
}

/* ---- exit ---- */

static void exit_with_queued_tasks(void)
{
    submit_ticks(pool_for_exit(CFUT_EXIT_DRAIN), 0, TICKS);
    exit(7);
}

/* SEM 79: what was submitted runs first */
START_TEST(exit_by_default_drains_the_pool)
{
    ck_assert_int_eq(run_process(exit_with_queued_tasks), 7);
    ck_assert_int_eq(told(&shared->ran), TICKS);
}
END_TEST

static void return_with_queued_tasks(void)
{
    submit_ticks(cfut_thread_pool(NULL), 0, TICKS);
}

/* SEM 79 */
START_TEST(exit_with_pool_of_defaults_drains_it)
{
    ck_assert_int_eq(run_process(return_with_queued_tasks), 0);
    ck_assert_int_eq(told(&shared->ran), TICKS);
}
END_TEST

static struct hold hold;
static occupy_future holder;

/* A pool whose only worker is busy. */
static cfut_executor *busy_pool_for_exit(int policy)
{
    cfut_executor *ex = cfut_thread_pool(
        &(cfut_thread_pool_desc){ .max_workers = 1, .exit = policy });

    hold_worker(ex, &holder, &hold);
    return ex;
}

static void exit_abandoning(void)
{
    submit_ticks(busy_pool_for_exit(CFUT_EXIT_ABANDON), 0, TICKS);
    exit(8);
}

/* SEM 79: neither the queue nor the running task is waited for */
START_TEST(exit_with_abandon_leaves_tasks_behind)
{
    ck_assert_int_eq(run_process(exit_abandoning), 8);
    ck_assert_int_eq(told(&shared->ran), 0);
}
END_TEST

static void exit_abandoning_busy_workers(void)
{
    cfut_executor *ex = pool_for_exit(CFUT_EXIT_ABANDON);

    submit_ticks(ex, 0, TICKS);
    while (told(&shared->ran) < 3)
        test_sleep(CFUT_US(100));
    exit(9);
}

/* SEM 79: workers that go on while the process ends touch nothing freed */
START_TEST(exit_with_abandon_while_workers_are_busy_is_clean)
{
    for (int i = 0; i < 10; i++) {
        tell(&shared->ran, 0);
        ck_assert_int_eq(run_process(exit_abandoning_busy_workers), 9);
    }
}
END_TEST

static void exit_with_several_pools(void)
{
    for (int i = 0; i < 3; i++)
        submit_ticks(pool_for_exit(CFUT_EXIT_DRAIN), i, TICKS);
    submit_ticks(busy_pool_for_exit(CFUT_EXIT_ABANDON), 3, TICKS);
    exit(7);
}

/* SEM 79: each by its own policy */
START_TEST(exit_with_several_pools_drains_each_that_wants_it)
{
    ck_assert_int_eq(run_process(exit_with_several_pools), 7);
    ck_assert_int_eq(told(&shared->ran), 3 * TICKS);
}
END_TEST

static void exit_with_quiet_pools(void)
{
    cfut_executor *idle = test_pool(), *ended = test_pool(), *closed = test_pool();

    (void)test_pool();                          /* one that was never used */
    run_square(idle, 1);
    run_square(ended, 1);
    cfut_shutdown(ended, CFUT_DRAIN);
    run_square(closed, 1);
    cfut_close(closed, CFUT_CANCEL_PENDING);
    exit(6);
}

/* SEM 79 */
START_TEST(exit_with_idle_closed_and_ended_pools_does_not_hang)
{
    ck_assert_int_eq(run_process(exit_with_quiet_pools), 6);
}
END_TEST

static int fail_to_initialize(void *unused)
{
    (void)unused;
    return 1;
}

static void exit_with_broken_pool(void)
{
    cfut_executor *ex = cfut_thread_pool(
        &(cfut_thread_pool_desc){ .max_workers = 2, .initializer = fail_to_initialize });

    exit(run_square(ex, 3) == CFUT_BROKEN ? 6 : 1);
}

/* SEM 77, 79 */
START_TEST(exit_with_broken_pool_does_not_hang)
{
    ck_assert_int_eq(run_process(exit_with_broken_pool), 6);
}
END_TEST

static void exit_after_detach(void)
{
    cfut_executor *ex = pool_for_exit(CFUT_EXIT_DRAIN);

    submit_ticks(ex, 0, TICKS);
    cfut_shutdown(ex, CFUT_DRAIN | CFUT_DETACH);
    exit(7);
}

/* SEM 66, 79: a detached pool is a live one until it has freed itself */
START_TEST(exit_after_detach_drains_the_pool)
{
    ck_assert_int_eq(run_process(exit_after_detach), 7);
    ck_assert_int_eq(told(&shared->ran), TICKS);
}
END_TEST

static void exit_after_timed_shutdown(void)
{
    cfut_executor *ex = pool_for_exit(CFUT_EXIT_DRAIN);

    submit_ticks(ex, 0, TICKS);
    cfut_shutdown_timeout(ex, CFUT_DRAIN, 0);
    exit(7);
}

/* SEM 66, 79 */
START_TEST(exit_after_timed_out_shutdown_drains_the_pool)
{
    ck_assert_int_eq(run_process(exit_after_timed_shutdown), 7);
    ck_assert_int_eq(told(&shared->ran), TICKS);
}
END_TEST

struct descent { cfut_executor *ex; int depth; };
static int descend(const struct descent *d);
CFUT_ACTION(descend, struct descent);

/* Submits the next step from inside, while the program exits. */
static int descend(const struct descent *d)
{
    __atomic_add_fetch(&shared->ran, 1, __ATOMIC_SEQ_CST);
    test_sleep(CFUT_MS(1));
    if (d->depth > 0)
        descend_release(descend_spawn(d->ex, (struct descent){ d->ex, d->depth - 1 }));
    return CFUT_OK;
}

static void exit_with_descent(void)
{
    cfut_executor *ex = pool_for_exit(CFUT_EXIT_DRAIN);

    descend_release(descend_spawn(ex, (struct descent){ ex, 30 }));
    exit(7);
}

/* SEM 62, 66, 79: nested work of the drain finishes */
START_TEST(exit_waits_for_what_tasks_submit_meanwhile)
{
    ck_assert_int_eq(run_process(exit_with_descent), 7);
    ck_assert_int_eq(told(&shared->ran), 31);
}
END_TEST

static cfut_executor *pool_of_handler;

/* Runs after the library's own handler. */
static void submit_late(void)
{
    tell(&shared->status, run_square(pool_of_handler, 3));
    tell(&shared->pool_status, cfut_executor_status(test_pool()));
    tell(&shared->step, run_square(test_pool(), 3));
}

/* Runs before it. */
static void submit_early(void)
{
    submit_ticks(pool_of_handler, 0, TICKS);
}

static void exit_with_late_handler(void)
{
    atexit(submit_late);
    pool_of_handler = pool_for_exit(CFUT_EXIT_DRAIN);
    run_square(pool_of_handler, 3);
    exit(7);
}

/* SEM 62 */
START_TEST(submit_after_exit_began_is_refused_with_closed)
{
    tell(&shared->status, 1);
    ck_assert_int_eq(run_process(exit_with_late_handler), 7);
    ck_assert_int_eq(told(&shared->status), CFUT_CLOSED);
    ck_assert_int_eq(told(&shared->pool_status), CFUT_CLOSED);
    ck_assert_int_eq(told(&shared->step), CFUT_CLOSED);
}
END_TEST

static void exit_with_early_handler(void)
{
    pool_of_handler = pool_for_exit(CFUT_EXIT_DRAIN);
    atexit(submit_early);
    exit(7);
}

/* SEM 79: a handler registered after the first pool may still use it */
START_TEST(submit_in_handler_before_the_librarys_is_drained)
{
    ck_assert_int_eq(run_process(exit_with_early_handler), 7);
    ck_assert_int_eq(told(&shared->ran), TICKS);
}
END_TEST

/* ---- exit inside a task ---- */

static int leave_program(const int *code)
{
    exit(*code);
}
CFUT_ACTION(leave_program, int);
static leave_program_future leaver;

static void exit_in_task(void)
{
    leave_program_submit(test_pool(), &leaver, 11);
    leave_program_result(&leaver);              /* never returns */
    tell(&shared->wrong, 1);
    for (;;)
        pause();
}

/* SEM 79: it does not wait for itself */
START_TEST(exit_in_task_ends_the_program)
{
    ck_assert_int_eq(run_process(exit_in_task), 11);
    ck_assert_int_eq(told(&shared->wrong), 0);
}
END_TEST

static void exit_in_task_before_others(void)
{
    cfut_executor *ex = busy_pool_for_exit(CFUT_EXIT_DRAIN);

    leave_program_submit(ex, &leaver, 12);
    submit_ticks(ex, 0, TICKS);
    gate_open(&hold.release);
    for (;;)
        pause();
}

/* SEM 79: what is queued behind the task that exits runs, even in one worker */
START_TEST(exit_in_task_of_one_worker_drains_the_queue)
{
    ck_assert_int_eq(run_process(exit_in_task_before_others), 12);
    ck_assert_int_eq(told(&shared->ran), TICKS);
}
END_TEST

/* The second worker's thread is gone: its initializer did not want it. */
static int first_only(void *count)
{
    return __atomic_fetch_add((int *)count, 1, __ATOMIC_SEQ_CST) ? 7 : 0;
}

static int leave_when_broken(cfut_executor *const *ex)
{
    while (cfut_executor_status(*ex) != CFUT_BROKEN) test_sleep(CFUT_US(200));
    test_sleep(CFUT_MS(20));
    exit(14);
}
CFUT_ACTION(leave_when_broken, cfut_executor *);

static void exit_in_task_of_a_broken_pool(void)
{
    static leave_when_broken_future f;
    static int count;
    cfut_executor *ex = cfut_thread_pool(&(cfut_thread_pool_desc){
        .max_workers = 3, .initializer = first_only, .init_arg = &count });

    leave_when_broken_submit(ex, &f, ex);
    while (!cfut_running(&f.base)) test_sleep(CFUT_US(200));
    submit_ticks(ex, 0, 1);
    for (;;) pause();
}

/* SEM 79 */
START_TEST(exit_in_task_of_a_broken_pool_waits_for_no_lost_worker)
{
    ck_assert_int_eq(run_process(exit_in_task_of_a_broken_pool), 14);
}
END_TEST

static int wait_for_other_tick(cfut_executor *const *other)
{
    static tick_future f;
    int status;

    tick_submit(*other, &f, 100);
    tell(&shared->step, 1);
    status = tick_result(&f);
    __atomic_add_fetch(&shared->ran, 1, __ATOMIC_SEQ_CST);
    return status;
}
CFUT_ACTION(wait_for_other_tick, cfut_executor *);

static void exit_in_task_beside_one_that_waits(void)
{
    static wait_for_other_tick_future f;
    cfut_executor *ex = pool_of(3), *other = pool_of(1);
    tick_future t[3];

    for (int i = 0; i < 3; i++) tick_submit(ex, &t[i], 5);      /* all are there */
    for (int i = 0; i < 3; i++) tick_result(&t[i]);
    wait_for_other_tick_submit(ex, &f, other);
    while (!told(&shared->step)) test_sleep(CFUT_US(200));
    leave_program_submit(ex, &leaver, 15);
    for (;;) pause();
}

/* SEM 79: its task is in another pool, and will come to its end */
START_TEST(exit_in_task_waits_for_one_that_waits_for_another_pool)
{
    ck_assert_int_eq(run_process(exit_in_task_beside_one_that_waits), 15);
    ck_assert_int_eq(told(&shared->ran), 3 + 2);
}
END_TEST

struct late_leaver { struct gate go; };
static struct late_leaver late;

static int leave_when_told(const int *code)
{
    gate_wait(&late.go);
    test_sleep(CFUT_MS(20));                    /* until another waits for this, likely */
    exit(*code);
}
CFUT_ACTION(leave_when_told, int);
static leave_when_told_future late_future;

static void exit_in_task_beside_others(void)
{
    cfut_executor *ex = test_pool(), *other = test_pool();

    submit_ticks(ex, 0, TICKS);
    submit_ticks(other, 1, TICKS);
    gate_init(&late.go);
    leave_when_told_submit(ex, &late_future, 13);
    submit_ticks(ex, 2, TICKS);
    gate_open(&late.go);                        /* from now on submits are refused */
    for (;;)
        pause();
}

/* SEM 79: nor do other workers and other pools lose anything */
START_TEST(exit_in_task_drains_all_pools)
{
    ck_assert_int_eq(run_process(exit_in_task_beside_others), 13);
    ck_assert_int_eq(told(&shared->ran), 3 * TICKS);
}
END_TEST

static int wait_for_leaver(const int *unused)
{
    (void)unused;
    gate_open(&late.go);
    return leave_when_told_result(&late_future);
}
CFUT_ACTION(wait_for_leaver, int);
static wait_for_leaver_future waits_for_it;

static void exit_in_task_that_others_wait_for(void)
{
    cfut_executor *ex = pool_of(2);

    gate_init(&late.go);
    leave_when_told_submit(ex, &late_future, 14);
    wait_for_leaver_submit(ex, &waits_for_it, 0);
    for (;;)
        pause();
}

/* One of so many workers of another pool waits for it; the ticks run all the same. */
static void exit_in_task_beside(int workers)
{
    cfut_executor *ex = pool_of(1), *other = pool_of(workers);

    gate_init(&late.go);
    leave_when_told_submit(ex, &late_future, 14);
    wait_for_leaver_submit(other, &waits_for_it, 0);
    submit_ticks(other, 0, TICKS);
    for (;;)
        pause();
}

static void exit_in_task_that_another_pool_waits_for(void) { exit_in_task_beside(2); }

/* So nobody else will run the ticks. */
static void exit_in_task_that_the_only_worker_waits_for(void) { exit_in_task_beside(1); }

/* SEM 79: a task that waits for the one that exits does not hold it up */
START_TEST(exit_in_task_that_another_waits_for_does_not_hang)
{
    ck_assert_int_eq(run_process(exit_in_task_that_others_wait_for), 14);
    ck_assert_int_eq(run_process(exit_in_task_that_another_pool_waits_for), 14);
    ck_assert_int_eq(told(&shared->ran), TICKS);
}
END_TEST

/* SEM 79 */
START_TEST(exit_in_task_runs_what_is_queued_behind_one_that_waits_for_it)
{
    ck_assert_int_eq(run_process(exit_in_task_that_the_only_worker_waits_for), 14);
    ck_assert_int_eq(told(&shared->ran), TICKS);
}
END_TEST

static cfut_executor *pool_of_leaver;

static int tick_behind_leaver(const int *pools)
{
    static tick_future f[2];
    int status;

    gate_open(&late.go);
    test_sleep(CFUT_MS(*pools * 30));           /* the leaver drains this pool by then, likely */
    tick_submit(pool_of_leaver, &f[*pools], 1);
    status = tick_result(&f[*pools]);
    __atomic_add_fetch(&shared->ran, 1, __ATOMIC_SEQ_CST);
    return status;
}
CFUT_ACTION(tick_behind_leaver, int);

static void exit_in_task_before_what_others_wait_for(void)
{
    static tick_behind_leaver_future f[2];
    cfut_executor *other;

    pool_of_leaver = pool_of(1);
    other = pool_of(2);
    gate_init(&late.go);
    leave_when_told_submit(pool_of_leaver, &late_future, 14);
    for (int i = 0; i < 2; i++) tick_behind_leaver_submit(other, &f[i], i);
    for (;;)
        pause();
}

/* SEM 79: though the other pool's turn comes first */
START_TEST(exit_in_task_runs_what_another_pool_waits_for)
{
    ck_assert_int_eq(run_process(exit_in_task_before_what_others_wait_for), 14);
    ck_assert_int_eq(told(&shared->ran), 2 + 2);
}
END_TEST

/* One item ends its thread, which waits for the other one; and that exits. */
static struct gate both[2];

static int leave_thread_or_program(const int *x, int *out)
{
    *out = *x;
    gate_open(&both[*x]);
    gate_wait(&both[1 - *x]);
    if (*x == 0) pthread_exit(NULL);
    test_sleep(CFUT_MS(20));                    /* until the other thread waits, likely */
    exit(18);
}
CFUT_TASK(leave_thread_or_program, int, int);

static void exit_beside_a_thread_that_ends(void)
{
    int in[2] = { 0, 1 }, out[2];

    for (int i = 0; i < 2; i++) gate_init(&both[i]);
    leave_thread_or_program_map(pool_of(2), in, out, 2);
    tell(&shared->wrong, 1);
}

/* SEM 20, 79 */
START_TEST(exit_in_item_that_a_thread_at_its_end_waits_for_does_not_hang)
{
    ck_assert_int_eq(run_process(exit_beside_a_thread_that_ends), 18);
    ck_assert_int_eq(told(&shared->wrong), 0);
}
END_TEST

static int exit_in_hook(void *unused)
{
    (void)unused;
    gate_wait(&late.go);
    test_sleep(CFUT_MS(20));
    exit(19);
}

static square_future queued_behind_hook;

static int wait_for_queued(const int *unused)
{
    int status;

    (void)unused;
    gate_open(&late.go);
    status = square_result(&queued_behind_hook);
    tell(&shared->ran, status == CFUT_BROKEN ? 1 : 2);
    return status;
}
CFUT_ACTION(wait_for_queued, int);

static void exit_in_initializer(void)
{
    static wait_for_queued_future f;
    cfut_executor *ex;

    gate_init(&late.go);
    ex = cfut_thread_pool(&(cfut_thread_pool_desc){
        .max_workers = 1, .initializer = exit_in_hook });
    square_submit(ex, &queued_behind_hook, 3);
    wait_for_queued_submit(pool_of(1), &f, 0);
    for (;;)
        pause();
}

/* SEM 77, 79: it is no fit worker, and its pool's tasks fail */
START_TEST(exit_in_an_initializer_does_not_hang)
{
    ck_assert_int_eq(run_process(exit_in_initializer), 19);
    ck_assert_int_eq(told(&shared->ran), 1);
}
END_TEST

static void leave_in_callback(cfut_future *f, void *user)
{
    (void)f;
    exit(*(int *)user);
}

static cfut_future by_hand;
static int hand_code = 17;

static int await_hand(const int *unused)
{
    (void)unused;
    gate_open(&late.go);
    return cfut_result(&by_hand);
}
CFUT_ACTION(await_hand, int);
static await_hand_future waits_for_hand;

static void exit_in_callback_of_what_a_task_waits_for(void)
{
    gate_init(&late.go);
    cfut_future_init(&by_hand);
    cfut_on_done(&by_hand, leave_in_callback, &hand_code);
    await_hand_submit(pool_of(1), &waits_for_hand, 0);
    gate_wait(&late.go);
    test_sleep(CFUT_MS(20));
    cfut_finish(&by_hand, CFUT_OK);
    tell(&shared->wrong, 1);
}

/* SEM 25, 79 */
START_TEST(exit_in_callback_of_what_a_task_waits_for_does_not_hang)
{
    ck_assert_int_eq(run_process(exit_in_callback_of_what_a_task_waits_for), 17);
    ck_assert_int_eq(told(&shared->wrong), 0);
}
END_TEST

static int callback_code = 15;
static square_future with_callback;

static void exit_in_callback(void)
{
    cfut_executor *ex = busy_pool_for_exit(CFUT_EXIT_DRAIN);

    square_submit(ex, &with_callback, 3);
    cfut_on_done(&with_callback.base, leave_in_callback, &callback_code);
    submit_ticks(ex, 0, TICKS);
    gate_open(&hold.release);
    for (;;)
        pause();
}

/* SEM 25, 79 */
START_TEST(exit_in_callback_drains_the_queue)
{
    ck_assert_int_eq(run_process(exit_in_callback), 15);
    ck_assert_int_eq(told(&shared->ran), TICKS);
}
END_TEST

static void exit_in_task_of_abandoned_pool(void)
{
    cfut_executor *ex = cfut_thread_pool(
        &(cfut_thread_pool_desc){ .max_workers = 1, .exit = CFUT_EXIT_ABANDON });

    hold_worker(ex, &holder, &hold);
    leave_program_submit(ex, &leaver, 16);
    submit_ticks(ex, 0, TICKS);
    gate_open(&hold.release);
    for (;;)
        pause();
}

/* SEM 79 */
START_TEST(exit_in_task_of_pool_to_abandon_runs_nothing_more)
{
    ck_assert_int_eq(run_process(exit_in_task_of_abandoned_pool), 16);
    ck_assert_int_eq(told(&shared->ran), 0);
}
END_TEST

static void *wait_for_tick(void *arg)
{
    tick_result(arg);
    return NULL;
}

static void exit_with_waiting_threads(void)
{
    submit_ticks(pool_for_exit(CFUT_EXIT_DRAIN), 0, TICKS);
    for (int i = 0; i < 4; i++)
        pthread_detach(thread_start(wait_for_tick, &ticks[0][TICKS - 1 - i]));
    exit(7);
}

/* SEM 79 */
START_TEST(exit_while_threads_wait_for_results_drains)
{
    ck_assert_int_eq(run_process(exit_with_waiting_threads), 7);
    ck_assert_int_eq(told(&shared->ran), TICKS);
}
END_TEST

/* ---- fork ---- */

/* What a child finds of its parent's pool: one task running, one queued, one
   done. */
struct inherited {
    cfut_executor *ex;
    occupy_future *running;
    square_future queued, done;
};
static struct inherited inherited;

/* Forks with such a pool; the child runs fn and exits with 0. The parent goes
   on and ends its pool in order. */
static void fork_with_pool(void (*fn)(void))
{
    struct busy_pool b;

    busy_pool_open(&b);
    square_submit(b.ex, &inherited.queued, 4);
    square_submit(cfut_inline_executor(), &inherited.done, 5);
    inherited.ex = b.ex;
    inherited.running = &b.holder;
    ck_assert_int_eq(run_process(fn), 0);
    ck_assert_int_eq(cfut_executor_status(b.ex), CFUT_OK);
    busy_pool_free_worker(&b);
    ck_assert_int_eq(square_result(&inherited.queued), CFUT_OK);
    ck_assert_int_eq(inherited.queued.out, 16);
    ck_assert_int_eq(run_square(b.ex, 3), CFUT_OK);
    end_pool(b.ex);
    assert_no_child_left();
}

static void child_submits(void)
{
    square_future f;

    ck_assert_int_eq(cfut_executor_status(inherited.ex), CFUT_FORKED);
    ck_assert_ptr_eq(square_submit(inherited.ex, &f, 3), &f.base);
    ck_assert(cfut_done(&f.base));
    ck_assert_int_eq(square_result(&f), CFUT_FORKED);
    ck_assert_str_eq(cfut_error(&f.base), cfut_strerror(CFUT_FORKED));
}

/* SEM 80 */
START_TEST(submit_in_forked_child_is_refused_with_forked)
{
    fork_with_pool(child_submits);
}
END_TEST

static void child_asks_for_results(void)
{
    ck_assert_int_eq(square_result(&inherited.queued), CFUT_FORKED);
    ck_assert_int_eq(occupy_result(inherited.running), CFUT_FORKED);
    ck_assert_int_eq(square_result_timeout(&inherited.queued, CFUT_SEC(1)), CFUT_FORKED);
    ck_assert_int_eq(square_result_timeout(&inherited.queued, 0), CFUT_FORKED);
    ck_assert_int_eq(square_result(&inherited.done), CFUT_OK);
    ck_assert_int_eq(inherited.done.out, 25);
}

/* SEM 80 */
START_TEST(result_in_forked_child_is_forked_unless_done)
{
    fork_with_pool(child_asks_for_results);
}
END_TEST

static void never_called(cfut_future *f, void *user)
{
    (void)f;
    (void)user;
    _exit(51);
}

static void child_cancels(void)
{
    ck_assert(!cfut_cancel(&inherited.queued.base));
    ck_assert(!cfut_cancel(&inherited.running->base));
    ck_assert(!cfut_done(&inherited.queued.base));
    ck_assert(!cfut_cancelled(&inherited.queued.base));
    ck_assert(!cfut_start(&inherited.queued.base));
    ck_assert_int_eq(cfut_finish(&inherited.queued.base, 1), CFUT_FORKED);
    ck_assert_int_eq(cfut_on_done(&inherited.queued.base, never_called, NULL), CFUT_FORKED);
}

/* SEM 80 */
START_TEST(cancel_in_forked_child_is_false)
{
    fork_with_pool(child_cancels);
}
END_TEST

static void child_shuts_down(void)
{
    cfut_close(inherited.ex, CFUT_DRAIN);
    cfut_close(inherited.ex, CFUT_CANCEL_PENDING);
    ck_assert_int_eq(cfut_executor_status(inherited.ex), CFUT_FORKED);
    ck_assert_int_eq(cfut_shutdown(inherited.ex, CFUT_DRAIN), CFUT_FORKED);
    ck_assert_int_eq(cfut_shutdown(inherited.ex, CFUT_CANCEL_PENDING), CFUT_FORKED);
    ck_assert_int_eq(cfut_shutdown(inherited.ex, CFUT_DETACH), CFUT_FORKED);
    ck_assert_int_eq(cfut_shutdown_timeout(inherited.ex, CFUT_DRAIN, 0), CFUT_FORKED);
}

/* SEM 80: nobody is joined there */
START_TEST(shutdown_in_forked_child_is_forked)
{
    fork_with_pool(child_shuts_down);
}
END_TEST

static void child_waits(void)
{
    cfut_future *fs[2] = { &inherited.done.base, &inherited.queued.base };
    cfut_iter it;
    int in[3] = { 1, 2, 3 }, out[3];

    ck_assert_int_eq(cfut_wait(fs, 2, CFUT_ALL_COMPLETED, CFUT_FOREVER), CFUT_FORKED);
    if (cfut_as_completed(&it, fs, 2, CFUT_FOREVER) == CFUT_OK)
        while (cfut_next(&it)) {}
    ck_assert_int_eq(it.status, CFUT_FORKED);
    cfut_iter_end(&it);
    cfut_reclaim(fs, 2);                /* nothing is to be had back */
    ck_assert_int_eq(square_map(inherited.ex, in, out, 3), CFUT_FORKED);
}

/* SEM 80 */
START_TEST(waits_in_forked_child_are_forked)
{
    fork_with_pool(child_waits);
}
END_TEST

static void child_looks(void)
{
    char text[256];

    ck_assert(!cfut_done(&inherited.queued.base));
    ck_assert_int_gt(cfut_future_describe(&inherited.queued.base, text, sizeof text), 0);
    ck_assert_ptr_nonnull(cfut_error(&inherited.queued.base));
    ck_assert(!cfut_future_snapshot(&inherited.running->base).done);
    (void)cfut_executor_workers(inherited.ex);
    (void)cfut_executor_max_workers(inherited.ex);
}

/* SEM 80: questions neither hang nor crash */
START_TEST(questions_in_forked_child_are_answered)
{
    fork_with_pool(child_looks);
}
END_TEST

static void child_works_anew(void)
{
    cfut_executor *ex = test_pool();
    cfut_future hand;

    ck_assert_int_eq(run_square(ex, 3), CFUT_OK);
    end_pool(ex);
    ck_assert_int_eq(run_square(cfut_inline_executor(), 3), CFUT_OK);
    cfut_future_init(&hand);
    ck_assert_int_eq(cfut_finish(&hand, 4), CFUT_OK);
    ck_assert_int_eq(cfut_result(&hand), 4);
    submit_ticks(test_pool(), 0, TICKS);        /* drained at its exit */
}

/* SEM 80: a child may have pools of its own, and its exit drains those */
START_TEST(new_pool_in_forked_child_works)
{
    fork_with_pool(child_works_anew);
    ck_assert_int_eq(told(&shared->ran), TICKS);
}
END_TEST

static void grandchild(void)
{
    child_submits();
}

static void child_forks(void)
{
    cfut_executor *own = test_pool();

    ck_assert_int_eq(run_square(own, 3), CFUT_OK);
    ck_assert_int_eq(run_process(grandchild), 0);
    ck_assert_int_eq(run_square(own, 3), CFUT_OK);
    ck_assert_int_eq(run_square(inherited.ex, 3), CFUT_FORKED);
}

/* SEM 80 */
START_TEST(fork_in_forked_child_works)
{
    fork_with_pool(child_forks);
}
END_TEST

/* What a thread of the parent held when it forked. */
static cfut_future by_hand;
static struct hold hand_hold;
static int hand_callbacks;

static void stop_in_callback(cfut_future *f, void *user)
{
    (void)f;
    gate_open(&hand_hold.started);
    gate_wait(user);
}

static void count_hand_callback(cfut_future *f, void *user)
{
    (void)user;
    (void)f;
    hand_callbacks++;
}

static void child_completes_by_hand(void)
{
    ck_assert_int_eq(cfut_result_timeout(&by_hand, CFUT_MS(1)), CFUT_TIMEOUT);
    ck_assert_int_eq(cfut_on_done(&by_hand, count_hand_callback, NULL), CFUT_OK);
    ck_assert_int_eq(cfut_finish(&by_hand, 4), CFUT_OK);
    ck_assert_int_eq(cfut_result(&by_hand), 4);
    ck_assert_int_eq(hand_callbacks, 2);
}

static void *wait_for_hand(void *arg) { return cfut_result(arg) == CFUT_CANCELLED ? arg : NULL; }

/* SEM 80: those who waited stayed in the parent; the callback is in both */
START_TEST(future_by_hand_with_a_waiter_is_the_forked_childs_to_complete)
{
    pthread_t t;
    void *ok;

    cfut_future_init(&by_hand);
    ck_assert_int_eq(cfut_on_done(&by_hand, count_hand_callback, NULL), CFUT_OK);
    t = thread_start(wait_for_hand, &by_hand);
    test_sleep(CFUT_MS(20));
    ck_assert_int_eq(run_process(child_completes_by_hand), 0);
    ck_assert_int_eq(cfut_result_timeout(&by_hand, 0), CFUT_TIMEOUT);
    ck_assert_int_eq(cfut_cancel(&by_hand), true);
    ck_assert(!cfut_start(&by_hand));
    ck_assert_int_eq(pthread_join(t, &ok), 0);
    ck_assert_ptr_nonnull(ok);
}
END_TEST

/* SEM 80: another thread was just about to register something */
START_TEST(future_by_hand_locked_at_a_fork_is_the_childs_to_complete)
{
    cfut_future_init(&by_hand);
    ck_assert_int_eq(cfut_on_done(&by_hand, count_hand_callback, NULL), CFUT_OK);
    by_hand.state |= CFUTI_LOCK;
    ck_assert_int_eq(run_process(child_completes_by_hand), 0);
    by_hand.state &= ~(uint32_t)CFUTI_LOCK;
    hand_callbacks = -1;
    ck_assert_int_eq(cfut_finish(&by_hand, 4), CFUT_OK);
    ck_assert_int_eq(hand_callbacks, 0);
}
END_TEST

static void *finish_hand(void *arg) { return cfut_finish(arg, 4) == CFUT_OK ? arg : NULL; }

/* SEM 80: another thread was running its callbacks; the child runs the rest */
START_TEST(future_by_hand_in_its_callbacks_at_a_fork_is_the_childs_to_complete)
{
    pthread_t t;
    void *ok;

    hold_init(&hand_hold);
    cfut_future_init(&by_hand);
    ck_assert_int_eq(cfut_on_done(&by_hand, stop_in_callback, &hand_hold.release), CFUT_OK);
    ck_assert_int_eq(cfut_on_done(&by_hand, count_hand_callback, NULL), CFUT_OK);
    t = thread_start(finish_hand, &by_hand);
    gate_wait(&hand_hold.started);
    ck_assert_int_eq(run_process(child_completes_by_hand), 0);
    gate_open(&hand_hold.release);
    ck_assert_int_eq(pthread_join(t, &ok), 0);
    ck_assert_ptr_nonnull(ok);
    ck_assert_int_eq(hand_callbacks, 1);
}
END_TEST

/* A pool that ended before the fork is just closed. */
static cfut_executor *ended;

static void child_uses_ended_pool(void)
{
    ck_assert_int_eq(run_square(ended, 3), CFUT_CLOSED);
    ck_assert_int_eq(cfut_shutdown(ended, CFUT_DRAIN), CFUT_OK);
}

START_TEST(pool_ended_before_fork_is_closed_in_the_child)
{
    ended = test_pool();
    end_pool(ended);
    ck_assert_int_eq(run_process(child_uses_ended_pool), 0);
}
END_TEST

static cfut_executor *stirred;
struct stirring { struct counter begun; struct gate stop; };

static void *stir(void *arg)
{
    struct stirring *s = arg;

    for (long i = 0; !gate_is_open(&s->stop); i++) {
        if (run_square(stirred, 3) != CFUT_OK)
            return NULL;
        if (i == 0)
            counter_add(&s->begun, 1);
    }
    return arg;
}

static void child_of_busy_parent(void)
{
    ck_assert_int_eq(run_square(stirred, 3), CFUT_FORKED);
    ck_assert_int_eq(cfut_shutdown(stirred, CFUT_DRAIN), CFUT_FORKED);
    if (CHILD_THREADS && CHILD_ALLOCATES)       /* the parent may be starting a worker */
        ck_assert_int_eq(run_square(pool_of(1), 3), CFUT_OK);
}

/* SEM 80 (test_hang_global_shutdown_lock): whatever lock is held at that moment */
START_TEST(fork_while_threads_submit_hangs_nobody)
{
    pthread_t t[3];
    struct stirring s;

    counter_init(&s.begun);
    gate_init(&s.stop);
    stirred = test_pool();
    for (int i = 0; i < 3; i++)
        t[i] = thread_start(stir, &s);
    counter_wait(&s.begun, 3);
    for (int i = 0; i < 30; i++)
        ck_assert_int_eq(run_process(child_of_busy_parent), 0);
    gate_open(&s.stop);
    for (int i = 0; i < 3; i++) {
        void *ok;

        ck_assert_int_eq(pthread_join(t[i], &ok), 0);
        ck_assert_ptr_nonnull(ok);
    }
    end_pool(stirred);
    assert_no_child_left();
}
END_TEST

static void *make_and_end_pools(void *arg)
{
    while (!gate_is_open(arg)) {
        cfut_executor *ex = pool_of(1);

        if (run_square(ex, 3) != CFUT_OK || cfut_shutdown(ex, CFUT_DRAIN) != CFUT_OK)
            return NULL;
    }
    return arg;
}

static void child_makes_pool(void)
{
    cfut_executor *own = pool_of(1);

    ck_assert_int_eq(cfut_executor_status(own), CFUT_OK);
    if (CHILD_THREADS)
        ck_assert_int_eq(run_square(own, 3), CFUT_OK);
    end_pool(own);
}

/* SEM 80: creation and end of pools share a lock; a child finds it free */
START_TEST(fork_while_pools_come_and_go_hangs_nobody)
{
    struct gate stop;
    pthread_t t;
    void *ok;

    gate_init(&stop);
    end_pool(test_pool());
    t = thread_start(make_and_end_pools, &stop);
    for (int i = 0; i < 30; i++)
        ck_assert_int_eq(run_process(child_makes_pool), 0);
    gate_open(&stop);
    ck_assert_int_eq(pthread_join(t, &ok), 0);
    ck_assert_ptr_nonnull(ok);
}
END_TEST

static struct hold *atfork_pause;       /* NULL: none */

static int paused_atfork(fork_handler before, fork_handler parent, fork_handler child)
{
    if (atfork_pause) {
        gate_open(&atfork_pause->started);
        gate_wait(&atfork_pause->release);
    }
    return real_atfork(before, parent, child);
}

static void *make_first_pool(void *arg)
{
    return cfut_shutdown(pool_of(1), CFUT_DRAIN) == CFUT_OK ? arg : NULL;
}

static void child_beside_first_pool(void)
{
    atfork_pause = NULL;
    child_makes_pool();
}

static void fork_beside_first_pool(void)
{
    struct hold h;
    pthread_t t;
    void *ok;

    hold_init(&h);
    atfork_pause = &h;
    t = thread_start(make_first_pool, &h);
    gate_wait(&h.started);
    ck_assert_int_eq(run_process(child_beside_first_pool), 0);
    gate_open(&h.release);
    ck_assert_int_eq(pthread_join(t, &ok), 0);
    ck_assert_ptr_nonnull(ok);
}

/* SEM 80: nor while the very first pool is being made, and with it the library
   hooked into fork */
START_TEST(fork_while_the_first_pool_is_made_hangs_nobody)
{
    ck_assert_int_eq(run_process(fork_beside_first_pool), 0);
}
END_TEST

/* ---- fork inside a task ---- */

/* in: what the child does; out: its exit status */
enum { CHILD_EXITS, CHILD_LEAVES_AT_ONCE, CHILD_RETURNS };

static int fork_here(const int *what, int *out)
{
    cfut_executor *ex = cfut_current();
    pid_t child = fork();

    if (child == 0) {
        leaks_unknown = 1;
        if (run_square(ex, 3) != CFUT_FORKED)
            _exit(50);
        if (*what == CHILD_EXITS)
            exit(21);
        if (*what == CHILD_LEAVES_AT_ONCE)
            _exit(21);
        return CFUT_OK;
    }
    *out = end_of(child);
    return CFUT_OK;
}
CFUT_TASK(fork_here, int, int);

static int fork_in_task(int what)
{
    cfut_executor *ex = test_pool();
    fork_here_future f;

    fflush(NULL);
    fork_here_submit(ex, &f, what);
    ck_assert_int_eq(fork_here_result(&f), CFUT_OK);
    ck_assert_int_eq(run_square(ex, 3), CFUT_OK);
    end_pool(ex);
    assert_no_child_left();
    return f.out;
}

/* SEM 80 (test_process_fork_from_a_threadpool) */
START_TEST(fork_in_task_whose_child_exits_does_not_hang)
{
    ck_assert_int_eq(fork_in_task(CHILD_EXITS), 21);
}
END_TEST

/* SEM 80 */
START_TEST(fork_in_task_whose_child_leaves_at_once_works)
{
    ck_assert_int_eq(fork_in_task(CHILD_LEAVES_AT_ONCE), 21);
}
END_TEST

/* SEM 80: the child's only thread is the worker; its end is the child's */
START_TEST(fork_in_task_whose_child_returns_from_the_task_ends_it)
{
    ck_assert_int_eq(fork_in_task(CHILD_RETURNS), 0);
}
END_TEST

/* The upper half of a map runs in the other worker, which has a part of it in its
   queue, when an item of the lower half forks. The child has copies of both. */
static struct { struct gate upper_runs, forked; pid_t child; bool in_child; } half;

static int forks_between_halves(const int *i, int *out)
{
    *out = *i;
    if (half.in_child)
        _exit(*i < 2 ? 61 : 60);    /* an item of the parent's */
    if (*i == 1) {
        gate_wait(&half.upper_runs);
        half.child = fork();
        if (half.child == 0) {
            leaks_unknown = 1;
            half.in_child = true;
            return CFUT_OK;
        }
        gate_open(&half.forked);
    } else if (*i == 2) {
        gate_open(&half.upper_runs);
        gate_wait(&half.forked);
    }
    return CFUT_OK;
}
CFUT_TASK(forks_between_halves, int, int);

/* SEM 80 */
START_TEST(fork_in_an_item_whose_child_returns_runs_nothing_of_the_parents)
{
    cfut_executor *ex = pool_of(2);
    int in[4] = { 0, 1, 2, 3 }, out[4] = { 0 };

    fflush(NULL);
    gate_init(&half.upper_runs);
    gate_init(&half.forked);
    ck_assert_int_eq(forks_between_halves_map(ex, in, out, 4), CFUT_OK);
    ck_assert_int_eq(out[3], 3);
    ck_assert_int_eq(end_of(half.child), 0);
    end_pool(ex);
    assert_no_child_left();
}
END_TEST

static void fork_in_callback(cfut_future *f, void *user)
{
    pid_t child = fork();

    if (child == 0) {
        leaks_unknown = 1;
        exit(cfut_result(f) == CFUT_OK && run_square(inherited.ex, 3) == CFUT_FORKED ? 22 : 1);
    }
    *(int *)user = end_of(child);
}

/* SEM 25, 80 */
START_TEST(fork_in_callback_whose_child_exits_does_not_hang)
{
    struct busy_pool b;
    square_future f;
    int status = -1;

    fflush(NULL);
    inherited.ex = busy_pool_open(&b);
    square_submit(b.ex, &f, 3);
    cfut_on_done(&f.base, fork_in_callback, &status);
    busy_pool_free_worker(&b);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    ck_assert_int_eq(status, 22);
    end_pool(b.ex);
}
END_TEST

static int fork_beside_forked(const int *x, int *out)
{
    square_future f;
    pid_t child;

    square_fork(&f, *x);
    child = fork();
    if (child == 0) {
        leaks_unknown = 1;
        _exit(!cfut_done(&f.base) && !cfut_cancel(&f.base) ? 21 : 50);
    }
    *out = end_of(child);
    return square_join(&f) == CFUT_OK && f.out == *x * *x ? CFUT_OK : 1;
}
CFUT_TASK(fork_beside_forked, int, int);

/* SEM 80 */
START_TEST(forked_task_is_left_in_the_parent)
{
    cfut_executor *ex = pool_of(1);
    fork_beside_forked_future f;

    fflush(NULL);
    fork_beside_forked_submit(ex, &f, 5);
    ck_assert_int_eq(fork_beside_forked_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, 21);
    end_pool(ex);
}
END_TEST

static int fork_and_leave(const int *x, int *out)
{
    *out = *x;
    if (*x == 5) {
        pid_t child = fork();

        if (child == 0) {
            leaks_unknown = 1;
            pthread_exit(NULL);
        }
        *out = end_of(child);
    }
    return CFUT_OK;
}
CFUT_TASK(fork_and_leave, int, int);

/* The status of the child of item 5 is in its place. */
static void expect_map_whose_child_ends(const cfut_task *task, int n)
{
    static int in[1000], out[1000];
    cfut_executor *ex = test_pool();

    fflush(NULL);
    for (int i = 0; i < n; i++) in[i] = i;
    ck_assert_int_eq(cfut_map(ex, task, in, out, (size_t)n, NULL), CFUT_OK);
    ck_assert_int_eq(out[5], 0);
    end_pool(ex);
}

/* SEM 80: what is left of the map is the parent's */
START_TEST(child_of_an_item_that_leaves_ends)
{
    expect_map_whose_child_ends(&fork_and_leave_task, 1000);
}
END_TEST

/* Another thread was at the map's list of failures when this one forked. */
static int fork_and_fail(const int *x, int *out)
{
    *out = *x;
    if (*x == 5) {
        pid_t child = fork();

        if (child == 0) {
            leaks_unknown = 1;
            CFUTI_OUTER(cfuti_range, duty, cfuti_self()->duty)->map->lock = 1;
            return 7;
        }
        *out = end_of(child);
    }
    return CFUT_OK;
}
CFUT_TASK(fork_and_fail, int, int);

/* SEM 80: and its locks are nobody's in the child */
START_TEST(child_of_an_item_that_fails_there_ends)
{
    expect_map_whose_child_ends(&fork_and_fail_task, 100);
}
END_TEST

/* Of three items two run at once: one forks when the other is under way elsewhere. */
static struct { cfut_executor *ex; bool caller_runs; pthread_t mapper;
                struct gate elsewhere, forked; pid_t parent, child; } forker;

static int fork_on_own_thread(const int *x, int *out)
{
    *out = *x;
    if (getpid() != forker.parent) return CFUT_OK;
    if (!pthread_equal(pthread_self(), forker.mapper)) {
        gate_open(&forker.elsewhere);
        gate_wait(&forker.forked);
    } else if (!gate_is_open(&forker.forked)) {
        gate_wait(&forker.elsewhere);
        forker.child = fork();
        if (forker.child) gate_open(&forker.forked);
        else leaks_unknown = 1;
    }
    return CFUT_OK;
}
CFUT_TASK(fork_on_own_thread, int, int);

static int map_and_fork(const int *x, int *out)
{
    int in[3] = { 0, 1, 2 }, got[3], status;

    *out = *x;
    forker.mapper = pthread_self();
    status = fork_on_own_thread_map_with(forker.ex, in, got, 3, &(cfut_map_desc){
        .caller_runs = forker.caller_runs });
    if (getpid() != forker.parent) _exit(status == CFUT_FORKED ? 23 : 24);
    return status;
}
CFUT_TASK(map_and_fork, int, int);

/* SEM 80: what the parent's other threads had of it is missing in the child */
START_TEST(map_whose_item_forks_says_so_in_the_child)
{
    cfut_executor *ex = pool_of(2), *other = pool_of(1);
    map_and_fork_future f;

    forker.ex = _i ? other : ex;
    forker.caller_runs = _i;
    forker.parent = getpid();
    gate_init(&forker.elsewhere);
    gate_init(&forker.forked);
    map_and_fork_submit(ex, &f, 1);
    ck_assert_int_eq(map_and_fork_result(&f), CFUT_OK);
    ck_assert_int_eq(end_of(forker.child), 23);
    end_pool(other);
    end_pool(ex);
}
END_TEST

static int fork_and_return(const int *x, int *out)
{
    pid_t child = fork();

    *out = *x;
    if (child == 0) leaks_unknown = 1;
    else *out = end_of(child);
    return CFUT_OK;
}
CFUT_TASK(fork_and_return, int, int);

struct with_other { cfut_future *other; struct gate *release; int how; };

/* Waits for what it runs itself, which forks, and for the other. */
static int wait_for_both(const struct with_other *w, int *out)
{
    pid_t parent = getpid();
    fork_and_return_future f;
    cfut_future *fs[2] = { fork_and_return_submit(cfut_current(), &f, 1), w->other };
    cfut_iter it;
    int n = 0;

    if (w->how) {
        cfut_as_completed(&it, fs, 2, CFUT_FOREVER);
        while (cfut_next(&it))
            if (++n == 1 && getpid() == parent) gate_open(w->release);
        if (getpid() != parent) _exit(it.status == CFUT_FORKED ? 25 : 26);
        cfut_iter_end(&it);
    } else {
        ptrdiff_t k = cfut_wait(fs, 2, CFUT_ALL_COMPLETED, CFUT_FOREVER);

        if (getpid() != parent) _exit(k == CFUT_FORKED ? 25 : 26);
        n = (int)k;
    }
    *out = f.out;
    return n == 2 ? CFUT_OK : 1;
}
CFUT_TASK(wait_for_both, struct with_other, int);

static void *release_later(void *gate)
{
    test_sleep(CFUT_MS(100));
    gate_open(gate);
    return NULL;
}

/* SEM 80: nobody will come there */
START_TEST(child_that_comes_back_into_a_wait_is_told_that_it_is_one)
{
    struct busy_pool b;
    cfut_executor *ex = pool_of(1);
    wait_for_both_future f;
    pthread_t t;

    fflush(NULL);
    busy_pool_open(&b);
    wait_for_both_submit(ex, &f, (struct with_other){ &b.holder.base, &b.hold.release, _i });
    t = thread_start(release_later, &b.hold.release);
    ck_assert_int_eq(wait_for_both_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, 25);
    thread_end(t);
    end_pool(ex);
    busy_pool_end(&b);
}
END_TEST

static void make_a_process_pool(void)
{
    cfut_process_pool_desc desc = { .max_workers = 1, .start = CFUT_START_FORK };
    int status = cfut_executor_status(cfut_process_pool(&desc));

    if (status != CFUT_CLOSED && status != CFUT_UNSUPPORTED) _exit(52);
}

static void end_with_a_late_pool(void)
{
    atexit(make_a_process_pool);        /* called after the library's */
    end_pool(pool_of(1));
}

/* SEM 79: nobody would end it */
START_TEST(process_pool_made_after_exit_began_is_refused)
{
    ck_assert_int_eq(run_process(end_with_a_late_pool), 0);
}
END_TEST

/* ---- a callback forks, and its child comes back from there ---- */

static int back_status;

static void come_back(cfut_future *f, void *user)
{
    pid_t child = fork();

    (void)f;
    (void)user;
    if (child == 0) leaks_unknown = 1;
    else back_status = end_of(child);
}

static void come_back_and_leave(cfut_future *f, void *user)
{
    pid_t parent = getpid();

    come_back(f, user);
    if (getpid() != parent) pthread_exit(NULL);
}

static void free_worker(cfut_future *f, void *gate)
{
    (void)f;
    gate_open(gate);
}

/* SEM 80: the rest of what is queued is the parent's, and so is the pool */
START_TEST(child_of_a_callback_in_a_close_has_no_pool_to_end)
{
    struct busy_pool b;
    square_future f[3];
    pid_t parent = getpid();
    int status;

    busy_pool_open(&b);
    for (int i = 0; i < 3; i++) square_submit(b.ex, &f[i], i);
    cfut_on_done(&f[1].base, come_back, NULL);
    cfut_on_done(&f[2].base, free_worker, &b.hold.release);
    status = cfut_shutdown(b.ex, CFUT_CANCEL_PENDING);
    if (getpid() != parent) _exit(status == CFUT_FORKED ? 23 : 24);
    ck_assert_int_eq(status, CFUT_OK);
    ck_assert_int_eq(back_status, 23);
}
END_TEST

static struct gate may_begin;

static int begin_when_told(void *unused)
{
    (void)unused;
    gate_wait(&may_begin);
    return 0;
}

static int fail_when_told(void *unused)
{
    (void)unused;
    gate_wait(&may_begin);
    return 7;
}

/* SEM 80: a worker's thread is all that the child has, so its end is the child's */
START_TEST(child_of_a_callback_in_a_worker_ends)
{
    static const cfut_done_fn callbacks[] = { come_back, come_back_and_leave };
    bool breaks = _i & 2;
    gate_init(&may_begin);

    cfut_executor *ex = cfut_thread_pool(&(cfut_thread_pool_desc){
        .max_workers = 1, .initializer = breaks ? fail_when_told : begin_when_told });
    square_future f[3];

    back_status = -1;
    for (int i = 0; i < 3; i++) square_submit(ex, &f[i], i);
    cfut_on_done(&f[1].base, callbacks[_i & 1], NULL);
    gate_open(&may_begin);
    for (int i = 0; i < 3; i++) ck_assert_int_eq(square_result(&f[i]), breaks ? CFUT_BROKEN : 0);
    end_pool(ex);
    ck_assert_int_eq(back_status, 0);
    assert_no_child_left();
}
END_TEST

static int leave_task(const int *unused, int *out)
{
    *out = *unused;
    pthread_exit(NULL);
}
CFUT_TASK(leave_task, int, int);

/* SEM 80: it was leaving already, as its task has */
START_TEST(child_of_a_callback_of_a_task_that_left_ends)
{
    struct busy_pool b;
    leave_task_future f;

    leave_task_submit(busy_pool_open(&b), &f, 1);
    cfut_on_done(&f.base, come_back, NULL);
    busy_pool_free_worker(&b);
    ck_assert_int_eq(leave_task_result(&f), CFUT_ABANDONED);
    ck_assert_int_eq(run_square(b.ex, 3), CFUT_OK);
    end_pool(b.ex);
    ck_assert_int_eq(back_status, 0);
}
END_TEST

static int leave_initializer(void *unused)
{
    (void)unused;
    gate_wait(&may_begin);
    pthread_exit(NULL);
}

/* SEM 80 */
START_TEST(child_of_a_callback_of_a_pool_whose_initializer_left_ends)
{
    gate_init(&may_begin);

    cfut_executor *ex = cfut_thread_pool(&(cfut_thread_pool_desc){
        .max_workers = 1, .initializer = leave_initializer });
    square_future f;

    square_submit(ex, &f, 1);
    cfut_on_done(&f.base, come_back, NULL);
    gate_open(&may_begin);
    ck_assert_int_eq(square_result(&f), CFUT_BROKEN);
    end_pool(ex);
    ck_assert_int_eq(back_status, 0);
}
END_TEST

/* ---- */

static void fill(TCase *tc)
{
    tcase_add_checked_fixture(tc, share, NULL);
    tcase_add_test(tc, exit_by_default_drains_the_pool);
    tcase_add_test(tc, exit_with_pool_of_defaults_drains_it);
    tcase_add_test(tc, exit_with_abandon_leaves_tasks_behind);
    tcase_add_test(tc, exit_with_abandon_while_workers_are_busy_is_clean);
    tcase_add_test(tc, exit_with_several_pools_drains_each_that_wants_it);
    tcase_add_test(tc, exit_with_idle_closed_and_ended_pools_does_not_hang);
    tcase_add_test(tc, exit_with_broken_pool_does_not_hang);
    tcase_add_test(tc, exit_after_detach_drains_the_pool);
    tcase_add_test(tc, exit_after_timed_out_shutdown_drains_the_pool);
    tcase_add_test(tc, exit_waits_for_what_tasks_submit_meanwhile);
    tcase_add_test(tc, submit_after_exit_began_is_refused_with_closed);
    tcase_add_test(tc, submit_in_handler_before_the_librarys_is_drained);
    tcase_add_test(tc, exit_in_task_ends_the_program);
    tcase_add_test(tc, exit_in_task_of_one_worker_drains_the_queue);
    tcase_add_test(tc, exit_in_task_waits_for_one_that_waits_for_another_pool);
    tcase_add_test(tc, exit_in_task_drains_all_pools);
    tcase_add_test(tc, exit_in_task_that_another_waits_for_does_not_hang);
    tcase_add_test(tc, exit_in_task_runs_what_is_queued_behind_one_that_waits_for_it);
    tcase_add_test(tc, exit_in_task_runs_what_another_pool_waits_for);
    tcase_add_test(tc, exit_in_callback_of_what_a_task_waits_for_does_not_hang);
    tcase_add_test(tc, exit_in_item_that_a_thread_at_its_end_waits_for_does_not_hang);
    tcase_add_test(tc, exit_in_an_initializer_does_not_hang);
    tcase_add_test(tc, exit_in_callback_drains_the_queue);
    tcase_add_test(tc, exit_in_task_of_pool_to_abandon_runs_nothing_more);
    tcase_add_test(tc, exit_while_threads_wait_for_results_drains);
    tcase_add_test(tc, submit_in_forked_child_is_refused_with_forked);
    tcase_add_test(tc, result_in_forked_child_is_forked_unless_done);
    tcase_add_test(tc, cancel_in_forked_child_is_false);
    tcase_add_test(tc, shutdown_in_forked_child_is_forked);
    tcase_add_test(tc, waits_in_forked_child_are_forked);
    tcase_add_test(tc, questions_in_forked_child_are_answered);
    tcase_add_test(tc, pool_ended_before_fork_is_closed_in_the_child);
    tcase_add_test(tc, future_by_hand_with_a_waiter_is_the_forked_childs_to_complete);
    tcase_add_test(tc, future_by_hand_locked_at_a_fork_is_the_childs_to_complete);
    tcase_add_test(tc, future_by_hand_in_its_callbacks_at_a_fork_is_the_childs_to_complete);
    tcase_add_test(tc, fork_while_threads_submit_hangs_nobody);
    if (CHILD_ALLOCATES)
        tcase_add_test(tc, fork_while_pools_come_and_go_hangs_nobody);
    tcase_add_test(tc, fork_in_task_whose_child_exits_does_not_hang);
    tcase_add_test(tc, fork_in_task_whose_child_leaves_at_once_works);
    tcase_add_test(tc, forked_task_is_left_in_the_parent);
    tcase_add_test(tc, fork_in_callback_whose_child_exits_does_not_hang);
    if (CHILD_THREADS) {                /* who is lost is joined by nobody, which it minds, too */
        tcase_add_test(tc, exit_in_task_of_a_broken_pool_waits_for_no_lost_worker);
        tcase_add_test(tc, fork_while_the_first_pool_is_made_hangs_nobody);
        tcase_add_test(tc, new_pool_in_forked_child_works);
        tcase_add_test(tc, fork_in_forked_child_works);
        tcase_add_test(tc, fork_in_task_whose_child_returns_from_the_task_ends_it);
        tcase_add_test(tc, fork_in_an_item_whose_child_returns_runs_nothing_of_the_parents);
        if (CHILD_ALLOCATES) {          /* as a thread's end does, there */
            tcase_add_test(tc, child_of_an_item_that_leaves_ends);
            tcase_add_test(tc, child_of_an_item_that_fails_there_ends);
        }
        tcase_add_loop_test(tc, map_whose_item_forks_says_so_in_the_child, 0, 2);
        tcase_add_loop_test(tc, child_that_comes_back_into_a_wait_is_told_that_it_is_one, 0, 2);
        tcase_add_test(tc, process_pool_made_after_exit_began_is_refused);
        tcase_add_test(tc, child_of_a_callback_in_a_close_has_no_pool_to_end);
        tcase_add_loop_test(tc, child_of_a_callback_in_a_worker_ends, 0, 4);
        tcase_add_test(tc, child_of_a_callback_of_a_task_that_left_ends);
        tcase_add_test(tc, child_of_a_callback_of_a_pool_whose_initializer_left_ends);
    }
}

int main(void) { return harness_main("exit_fork", fill); }
