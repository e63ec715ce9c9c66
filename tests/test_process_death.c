/* test_process_death.c: workers, the helper and the host that end in ways which
   nobody wished for; limits, and the numbers by which workers are replaced. */
#include "process.h"

#ifdef __linux__
#include <sys/epoll.h>              /* one of these looks as a bell does */
#else
#define epoll_create1(flags) open("/dev/null", O_RDONLY)
#endif

/* ---- one task's fault ---- */

static const struct { enum way way; int status; const char *text; } faults[] = {
    { BY_SIGKILL, CFUT_WORKER_DIED, "SIGKILL, pid " },
    { BY_SIGSEGV, CFUT_WORKER_DIED, "SIGSEGV, pid " },
    { BY_SIGABRT, CFUT_WORKER_DIED, "SIGABRT, pid " },
    { BY_EXIT, CFUT_WORKER_DIED, "exit(0), pid " },
    { BY_QUICK_EXIT, CFUT_WORKER_DIED, "_exit(3), pid " },
    { BY_THREAD_EXIT, CFUT_ABANDONED, "the task ended its thread" },
};
enum { FAULTS = sizeof faults / sizeof *faults };

/* SEM 86: a death costs the task that ran, and its text says how it came */
START_TEST(death_costs_the_task_that_ran_and_no_other)
{
    enum { N = 60 };
    static square_future f[N];
    die_future bad[3];
    cfut_executor *ex = procs(test_workers());

    for (int i = 0; i < N; i++) {
        if (i % 20 == 10) die_submit(ex, &bad[i / 20], (int)faults[_i].way);
        square_submit(ex, &f[i], i);
    }
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(square_result(&f[i]), CFUT_OK);
        ck_assert_int_eq(f[i].out, i * i);
    }
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(die_result(&bad[i]), faults[_i].status);
        if (!(faults[_i].way == BY_EXIT && !strstr(cfut_error(&bad[i].base), "exit(")))
            ck_assert_msg(!strncmp(cfut_error(&bad[i].base), faults[_i].text,
                                   strlen(faults[_i].text)), "%s", cfut_error(&bad[i].base));
    }
    ck_assert_int_eq(cfut_executor_status(ex), CFUT_OK);
    end_pool(ex);
}
END_TEST

static int exit_with(const int *code, int *out)
{
    *out = 0;
    exit(*code);
}
CFUT_TASK(exit_with, int, int);

#ifdef __GLIBC__
START_TEST(death_by_exit_tells_its_status)
{
    cfut_executor *ex = procs(1);
    exit_with_future f;

    exit_with_submit(ex, &f, 42);
    ck_assert_int_eq(exit_with_result(&f), CFUT_WORKER_DIED);
    ck_assert_int_eq(strncmp(cfut_error(&f.base), "exit(42), pid ", 14), 0);
    end_pool(ex);
}
END_TEST
#endif

START_TEST(death_from_outside_costs_the_task_that_ran)
{
    cfut_executor *ex = procs(1);
    struct busy_procs busy;
    square_future f;

    occupy_procs(&busy, ex);
    square_submit(ex, &f, 5);
    kill(atomic_load(&board()->at[0]), SIGKILL);
    ck_assert_int_eq(stay_result(&busy.f), CFUT_WORKER_DIED);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    end_pool(ex);
}
END_TEST

START_TEST(death_of_idle_worker_costs_nothing)
{
    cfut_executor *ex = procs(1);
    own_pid_future f;

    for (int i = 0; i < 10; i++) {
        own_pid_submit(ex, &f, 0);
        ck_assert_int_eq(own_pid_result(&f), CFUT_OK);
        kill(f.out, SIGKILL);
        await_process_gone(f.out);
    }
    ck_assert_int_eq(cfut_executor_status(ex), CFUT_OK);
    end_pool(ex);
}
END_TEST

/* A map goes on after a death: one item is lost. */
static int die_at_42(const int *x, int *y)
{
    if (*x == 42) raise(SIGSEGV);
    if (*x == 77) _exit(1);
    *y = *x + 1;
    return CFUT_OK;
}
CFUT_TASK(die_at_42, int, int);

START_TEST(map_loses_one_item_by_a_crash)
{
    enum { N = 200 };
    static const size_t chunks[] = { 0, 1, 7, N };
    cfut_executor *ex = procs(test_workers());
    int in[N], out[N], status[N];
    cfut_map_desc desc = { .status = status, .chunksize = chunks[_i] };

    for (int i = 0; i < N; i++) in[i] = i;
    ck_assert_int_eq(die_at_42_map_with(ex, in, out, N, &desc), CFUT_WORKER_DIED);
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(status[i], i == 42 || i == 77 ? CFUT_WORKER_DIED : CFUT_OK);
        if (!status[i]) ck_assert_int_eq(out[i], i + 1);
    }
    end_pool(ex);
}
END_TEST

static int loop_at_5(const int *x, int *y)
{
    if (*x == 5) go_wrong(BY_LOOP);
    *y = *x;
    return CFUT_OK;
}
CFUT_TASK(loop_at_5, int, int);

START_TEST(map_item_that_runs_too_long_is_the_only_one_lost)
{
    enum { N = 20 };
    cfut_executor *ex = procs_with((cfut_process_pool_desc){
        .max_workers = 2, .time_limit = test_time(CFUT_MS(200)) });
    int in[N], out[N], status[N];
    cfut_map_desc desc = { .status = status, .chunksize = _i ? N : 0 };

    for (int i = 0; i < N; i++) in[i] = i;
    ck_assert_int_eq(loop_at_5_map_with(ex, in, out, N, &desc), CFUT_TIME_LIMIT);
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(status[i], i == 5 ? CFUT_TIME_LIMIT : CFUT_OK);
        if (i != 5) ck_assert_int_eq(out[i], i);
    }
    end_pool(ex);
}
END_TEST

/* ---- retries ---- */

static int die_twice(const int *at, int *n)
{
    *n = atomic_fetch_add(&board()->at[*at], 1);
    if (*n < 2) raise(SIGKILL);
    return CFUT_OK;
}
CFUT_TASK(die_twice, int, int);

START_TEST(retries_run_a_task_again_as_often_as_allowed)
{
    cfut_executor *ex = procs_with((cfut_process_pool_desc){ .max_workers = 2,
                                                             .max_retries = _i });
    die_twice_future f;

    die_twice_submit(ex, &f, 1);
    ck_assert_int_eq(die_twice_result(&f), _i < 2 ? CFUT_WORKER_DIED : CFUT_OK);
    ck_assert_int_eq(atomic_load(&board()->at[1]), _i < 2 ? _i + 1 : 3);
    if (_i >= 2) ck_assert_int_eq(f.out, 2);
    end_pool(ex);
}
END_TEST

/* ---- Python's rule ---- */

/* SEM 86, 87: all running and pending ones fail, and the pool is of no use after */
START_TEST(break_pool_fails_everything_and_refuses)
{
    cfut_executor *ex = procs_with((cfut_process_pool_desc){
        .max_workers = 2, .on_worker_death = CFUT_BREAK_POOL });
    stay_future running[2];
    square_future f[10], late;

    for (int i = 0; i < 2; i++) stay_submit(ex, &running[i], i);
    await_count(&board()->started, 2);
    for (int i = 0; i < 10; i++) square_submit(ex, &f[i], i);
    kill(atomic_load(&board()->at[0]), SIGSEGV);
    for (int i = 0; i < 2; i++) ck_assert_int_eq(stay_result(&running[i]), CFUT_BROKEN);
    ck_assert_ptr_nonnull(strstr(cfut_error(&running[0].base), "SIGSEGV"));
    for (int i = 0; i < 10; i++) ck_assert_int_eq(square_result(&f[i]), CFUT_BROKEN);
    square_submit(ex, &late, 1);
    ck_assert_int_eq(square_result(&late), CFUT_BROKEN);
    ck_assert_ptr_nonnull(strstr(cfut_error(&late.base), "SIGSEGV"));
    ck_assert_int_eq(cfut_executor_status(ex), CFUT_BROKEN);
    end_pool(ex);
}
END_TEST

static void count_unwound(void *unused)
{
    (void)unused;
    atomic_fetch_add(&board()->n[1], 1);
}

static int end_thread(void *unused)
{
    (void)unused;
    if (fork() == 0) pthread_exit(NULL);        /* the end of that child, and of no worker */
    pthread_exit(NULL);
}

/* After a fork the thread has the host's frames below it. */
START_TEST(initializer_that_ends_its_thread_breaks_the_pool)
{
    square_future f;

    pthread_cleanup_push(count_unwound, NULL);
    cfut_executor *ex = procs_with((cfut_process_pool_desc){ .max_workers = 1,
                                                             .initializer = end_thread });
    square_submit(ex, &f, 1);
    ck_assert_int_eq(square_result(&f), CFUT_BROKEN);
    ck_assert_str_eq(cfut_error(&f.base), "the initializer has ended its thread");
    end_pool(ex);
    pthread_cleanup_pop(0);
    ck_assert_int_eq(atomic_load(&board()->n[1]), 0);
}
END_TEST

static void end_thread_at_end(void *unused)
{
    (void)unused;
    atomic_fetch_add(&board()->ended, 1);
    pthread_exit(NULL);
}

START_TEST(finalizer_that_ends_its_thread_ends_its_worker)
{
    square_future f;

    pthread_cleanup_push(count_unwound, NULL);
    cfut_executor *ex = procs_with((cfut_process_pool_desc){ .max_workers = 1,
                                                             .finalizer = end_thread_at_end });
    square_submit(ex, &f, 2);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    end_pool(ex);
    pthread_cleanup_pop(0);
    ck_assert_int_eq(atomic_load(&board()->ended), 1);
    ck_assert_int_eq(atomic_load(&board()->n[1]), 0);
}
END_TEST

static int crash_at_start(void *arg)
{
    (void)arg;
    atomic_fetch_add(&board()->n[0], 1);
    raise(SIGSEGV);
    return CFUT_OK;
}

/* SEM 91 */
START_TEST(initializer_that_crashes_breaks_the_pool_after_a_few)
{
    cfut_executor *ex = procs_with((cfut_process_pool_desc){ .max_workers = 1 + _i,
                                                             .initializer = crash_at_start });
    square_future f[3];

    for (int i = 0; i < 3; i++) square_submit(ex, &f[i], i);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(square_result(&f[i]), CFUT_BROKEN);
        ck_assert_ptr_nonnull(strstr(cfut_error(&f[i].base), "SIGSEGV"));
    }
    ck_assert_int_ge(atomic_load(&board()->n[0]), 5);
    ck_assert_int_lt(atomic_load(&board()->n[0]), 5 + 4 * (1 + _i));
    end_pool(ex);
}
END_TEST

/* ---- time limits ---- */

START_TEST(time_limit_kills_what_runs_too_long)
{
    cfut_executor *ex = procs_with((cfut_process_pool_desc){
        .max_workers = test_workers(), .time_limit = test_time(CFUT_MS(150)) });
    const enum way ways[] = { BY_LOOP, BY_SIGSTOP };
    die_future bad;
    square_future f[10];
    cfut_ns begun = test_now();

    die_submit(ex, &bad, (int)ways[_i]);
    for (int i = 0; i < 10; i++) square_submit(ex, &f[i], i);
    ck_assert_int_eq(die_result(&bad), CFUT_TIME_LIMIT);
    ck_assert_int_ge(test_now() - begun, test_time(CFUT_MS(150)));
    ck_assert_ptr_nonnull(strstr(cfut_error(&bad.base), "time limit: SIGKILL, pid "));
    for (int i = 0; i < 10; i++) ck_assert_int_eq(square_result(&f[i]), CFUT_OK);
    end_pool(ex);
}
END_TEST

START_TEST(time_limit_of_one_task_holds_for_it_alone)
{
    cfut_executor *ex = procs(2);
    cfut_future f;
    int way = BY_LOOP, out;
    sleep_ms_future other;

    sleep_ms_submit(ex, &other, (int)(test_time(CFUT_MS(400)) / CFUT_MS(1)));
    cfut_submit_within(ex, &f, &die_task, &way, &out, test_time(CFUT_MS(150)));
    ck_assert_int_eq(cfut_result(&f), CFUT_TIME_LIMIT);
    ck_assert_int_eq(sleep_ms_result(&other), CFUT_OK);
    end_pool(ex);
}
END_TEST

START_TEST(time_limit_is_unknown_to_executors_that_cannot_kill)
{
    cfut_executor *threads = pool_of(1);
    cfut_future f;
    int x = 1, y;

    cfut_submit_within(threads, &f, &square_task, &x, &y, CFUT_SEC(1));
    ck_assert_int_eq(cfut_result(&f), CFUT_UNSUPPORTED);
    cfut_submit_within(NULL, &f, &square_task, &x, &y, CFUT_SEC(1));
    ck_assert_int_eq(cfut_result(&f), CFUT_INVALID);
    end_pool(threads);
}
END_TEST

/* The limit counts from the start of a task, not from its submit. */
START_TEST(time_limit_does_not_count_the_time_in_the_queue)
{
    cfut_executor *ex = procs_with((cfut_process_pool_desc){
        .max_workers = 1, .time_limit = test_time(CFUT_MS(600)) });
    sleep_ms_future f[8];

    for (int i = 0; i < 8; i++)
        sleep_ms_submit(ex, &f[i], (int)(test_time(CFUT_MS(100)) / CFUT_MS(1)));
    for (int i = 0; i < 8; i++) ck_assert_int_eq(sleep_ms_result(&f[i]), CFUT_OK);
    end_pool(ex);
}
END_TEST

static void note_term(int sig)
{
    (void)sig;
    atomic_fetch_add(&board()->n[0], 1);
}

static int hear_term(const int *leave, int *out)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = note_term;
    sigaction(SIGTERM, &action, NULL);
    atomic_fetch_add(&board()->started, 1);
    *out = 0;
    while (!*leave || !atomic_load(&board()->n[0])) test_sleep(CFUT_US(200));
    _exit(7);
}
CFUT_TASK(hear_term, int, int);

START_TEST(kill_grace_lets_a_worker_clean_up)
{
    cfut_executor *ex = procs_with((cfut_process_pool_desc){
        .max_workers = 1, .time_limit = test_time(CFUT_MS(500)),    /* time to get ready, and */
        .kill_grace = _i ? CFUT_SEC(100) : test_time(CFUT_MS(500)) });      /* to hear it */
    hear_term_future f;

    hear_term_submit(ex, &f, _i);
    ck_assert_int_eq(hear_term_result(&f), CFUT_TIME_LIMIT);
    ck_assert_int_eq(atomic_load(&board()->n[0]), 1);
    ck_assert_ptr_nonnull(strstr(cfut_error(&f.base), _i ? "_exit(7)" : "SIGKILL"));
    end_pool(ex);
}
END_TEST

/* ---- who stands behind the one that is killed ---- */

/* The task at the head is to be killed, and ends by itself at that moment: the one
   behind it, which takes its turn, must not be hit. */
START_TEST(kill_never_hits_the_next_task)
{
    for (int i = 0; i < 60 / FEWER; i++) {
        cfut_executor *ex = procs_with((cfut_process_pool_desc){
            .max_workers = 1, .kill_on_cancel = true, .queue_depth = 8 });
        struct busy_procs busy;
        tally_future next[6];
        int status;

        atomic_store(&board()->started, 0);
        atomic_store(&board()->go, 0);
        occupy_procs(&busy, ex);
        for (int k = 0; k < 6; k++) tally_submit(ex, &next[k], 100 + i);
        atomic_store(&board()->go, 1);
        test_sleep(CFUT_US(i * 20));
        cfut_cancel(&busy.f.base);
        status = stay_result(&busy.f);
        ck_assert(status == CFUT_OK || status == CFUT_CANCELLED);
        for (int k = 0; k < 6; k++) ck_assert_int_eq(tally_result(&next[k]), CFUT_OK);
        ck_assert_int_eq(atomic_load(&board()->at[100 + i]), 6);
        end_pool(ex);
    }
}
END_TEST

/* ---- terminate and kill ---- */

/* SEM 92 */
START_TEST(ended_workers_fail_what_runs_and_cancel_what_waits)
{
    cfut_executor *ex = procs(1);
    struct busy_procs busy;
    square_future f[5], late;

    occupy_procs(&busy, ex);
    for (int i = 0; i < 5; i++) square_submit(ex, &f[i], i);
    ck_assert_int_eq(_i ? cfut_kill_workers(ex) : cfut_terminate_workers(ex), CFUT_OK);
    ck_assert_int_eq(stay_result(&busy.f), CFUT_WORKER_DIED);
    ck_assert_ptr_nonnull(strstr(cfut_error(&busy.f.base), _i ? "SIGKILL" : "SIGTERM"));
    for (int i = 0; i < 5; i++) ck_assert_int_eq(square_result(&f[i]), CFUT_CANCELLED);
    square_submit(ex, &late, 1);
    ck_assert_int_eq(square_result(&late), CFUT_CLOSED);
    ck_assert_int_eq(cfut_kill_workers(ex), CFUT_OK);
    end_pool(ex);
    ck_assert_int_eq(cfut_kill_workers(ex), CFUT_OK);
}
END_TEST

/* SEM 92: no workers yet */
static int sleep_long(void *unused)
{
    (void)unused;
    sleep(100);
    return CFUT_OK;
}

/* SEM 92: whenever it comes, also before the worker has its signals */
START_TEST(terminate_ends_workers_that_are_being_born)
{
    for (int i = 0; i < 10; i++) {
        cfut_executor *ex = procs_with((cfut_process_pool_desc){ .max_workers = 4,
                                                                 .initializer = sleep_long });
        square_future f[4];

        for (int k = 0; k < 4; k++) square_submit(ex, &f[k], k);
        test_sleep(CFUT_US(100 * i));
        cfut_terminate_workers(ex);
        end_pool(ex);
        for (int k = 0; k < 4; k++) ck_assert_int_eq(square_result(&f[k]), CFUT_CANCELLED);
    }
}
END_TEST

START_TEST(ending_the_workers_of_an_unused_pool_closes_it)
{
    cfut_executor *ex = procs(2);

    ck_assert_int_eq(cfut_terminate_workers(ex), CFUT_OK);
    ck_assert_int_eq(cfut_executor_status(ex), CFUT_CLOSED);
    end_pool(ex);
}
END_TEST

static int ignore_term(const int *at, int *out)
{
    signal(SIGTERM, SIG_IGN);
    return stay(at, out);
}
CFUT_TASK(ignore_term, int, int);

START_TEST(kill_after_terminate_ends_a_worker_that_ignores_sigterm)
{
    cfut_executor *ex = procs(1);
    ignore_term_future f;

    ignore_term_submit(ex, &f, 0);
    await_count(&board()->started, 1);
    ck_assert_int_eq(cfut_terminate_workers(ex), CFUT_OK);
    ck_assert_int_eq(ignore_term_result_timeout(&f, CFUT_MS(50)), CFUT_TIMEOUT);
    ck_assert_int_eq(cfut_kill_workers(ex), CFUT_OK);
    ck_assert_int_eq(ignore_term_result(&f), CFUT_WORKER_DIED);
    end_pool(ex);
}
END_TEST

/* Its end is heard, whenever it comes. */
START_TEST(worker_that_survives_terminate_delivers_its_result)
{
    for (int i = 0; i < 40 / FEWER; i++) {
        cfut_executor *ex = procs(1);
        ignore_term_future f;

        atomic_store(&board()->started, 0);
        atomic_store(&board()->go, 0);
        ignore_term_submit(ex, &f, 0);
        await_count(&board()->started, 1);
        atomic_store(&board()->go, i % 2);
        test_sleep(CFUT_US(i * 10));
        ck_assert_int_eq(cfut_terminate_workers(ex), CFUT_OK);
        atomic_store(&board()->go, 1);
        ck_assert_int_eq(ignore_term_result(&f), CFUT_OK);
        end_pool(ex);
    }
}
END_TEST

/* ---- workers are replaced in order ---- */

/* SEM 90: a worker runs so many tasks; what is queued is not left behind */
START_TEST(worker_is_replaced_after_its_number_of_tasks)
{
    enum { N = 30 };
    const int each = _i + 1;
    static own_pid_future f[N];
    cfut_executor *ex = procs_with((cfut_process_pool_desc){ .max_workers = 1,
                                                             .max_tasks_per_child = each });
    int changes = 0;

    for (int i = 0; i < N; i++) own_pid_submit(ex, &f[i], 0);
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(own_pid_result(&f[i]), CFUT_OK);
        changes += i > 0 && f[i].out != f[i - 1].out;
    }
    ck_assert_int_eq(changes, (N - 1) / each);
    end_pool(ex);
}
END_TEST

START_TEST(backlog_of_replaced_workers_is_run_after_close)
{
    enum { N = 40 };
    static own_pid_future f[N];
    cfut_executor *ex = procs_with((cfut_process_pool_desc){
        .max_workers = test_workers(), .max_tasks_per_child = 2 });

    for (int i = 0; i < N; i++) own_pid_submit(ex, &f[i], 0);
    end_pool(ex);
    for (int i = 0; i < N; i++) ck_assert_int_eq(own_pid_result(&f[i]), CFUT_OK);
}
END_TEST

#if !UNDER_TSAN && !UNDER_ASAN
static int hoard(const int *mib, int *pid)
{
    size_t n = (size_t)*mib << 20;
    char *p = malloc(n);

    *pid = (int)getpid();
    if (!p) return ENOMEM;
    memset(p, 1, n);
    atomic_store(&board()->n[1], p[n / 2]);
    if (*mib < 1000) return CFUT_OK;        /* kept for ever */
    free(p);
    return CFUT_OK;
}
CFUT_TASK(hoard, int, int);

START_TEST(worker_that_holds_too_much_memory_is_replaced)
{
    cfut_executor *ex = procs_with((cfut_process_pool_desc){ .max_workers = 1,
                                                             .max_rss = 64u << 20 });
    hoard_future f;
    int first, second;

    hoard_submit(ex, &f, 1);
    ck_assert_int_eq(hoard_result(&f), CFUT_OK);
    first = f.out;
    hoard_submit(ex, &f, 100);
    ck_assert_int_eq(hoard_result(&f), CFUT_OK);
    second = f.out;
    ck_assert_int_eq(first, second);
    hoard_submit(ex, &f, 1);
    ck_assert_int_eq(hoard_result(&f), CFUT_OK);
    ck_assert_int_ne(f.out, second);
    end_pool(ex);
}
END_TEST

/* ---- limits ---- */

START_TEST(limit_of_memory_makes_malloc_fail_in_a_worker)
{
    cfut_executor *ex = procs_with((cfut_process_pool_desc){ .max_workers = 1,
                                                             .limit_memory = 512u << 20 });
    hoard_future f;

    hoard_submit(ex, &f, 1000);
    ck_assert_int_eq(hoard_result(&f), ENOMEM);
    hoard_submit(ex, &f, 10);
    ck_assert_int_eq(hoard_result(&f), CFUT_OK);
    end_pool(ex);
}
END_TEST
#endif

static int open_many(const int *n, int *opened)
{
    for (*opened = 0; *opened < *n && open("/dev/null", O_RDONLY) >= 0; ) ++*opened;
    return CFUT_OK;
}
CFUT_TASK(open_many, int, int);

START_TEST(limit_of_files_holds_in_a_worker)
{
    cfut_executor *ex = procs_with((cfut_process_pool_desc){ .max_workers = 1,
                                                             .limit_files = 20 });
    open_many_future f;

    open_many_submit(ex, &f, 100);
    ck_assert_int_eq(open_many_result(&f), CFUT_OK);
    ck_assert_int_gt(f.out, 0);
    ck_assert_int_le(f.out, 20);
    end_pool(ex);
}
END_TEST

START_TEST(limit_of_cpu_time_kills_a_worker)
{
    cfut_executor *ex = procs_with((cfut_process_pool_desc){ .max_workers = 1, .limit_cpu = 1 });
    die_future f;

    die_submit(ex, &f, BY_LOOP);
    ck_assert_int_eq(die_result(&f), CFUT_WORKER_DIED);
    end_pool(ex);
}
END_TEST

static int write_much(const int *n, int *out)
{
    char path[] = "/tmp/cfut-test-XXXXXX", block[4096] = { 0 };
    int fd = mkstemp(path);

    *out = 0;
    if (fd < 0) return errno;
    unlink(path);
    for (int i = 0; i < *n; i++)
        if (write(fd, block, sizeof block) != (ssize_t)sizeof block) return EIO;
    return CFUT_OK;
}
CFUT_TASK(write_much, int, int);

START_TEST(limit_of_file_size_kills_a_worker)
{
    cfut_executor *ex = procs_with((cfut_process_pool_desc){ .max_workers = 1,
                                                             .limit_file_size = 8192 });
    write_much_future f;

    write_much_submit(ex, &f, 1);
    ck_assert_int_eq(write_much_result(&f), CFUT_OK);
    write_much_submit(ex, &f, 10);
    ck_assert_int_eq(write_much_result(&f), CFUT_WORKER_DIED);
    ck_assert_ptr_nonnull(strstr(cfut_error(&f.base), "SIGXFSZ"));
    end_pool(ex);
}
END_TEST

struct circumstances { int nice, core_is_0, sigint_ignored, blocked, is_stdin_empty; };

static int look_around(const int *unused, struct circumstances *c)
{
    struct rlimit core;
    struct sigaction action;
    sigset_t set;
    char byte;

    (void)unused;
    c->nice = getpriority(PRIO_PROCESS, 0);
    c->core_is_0 = getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur == 0;
    sigaction(SIGINT, NULL, &action);
    c->sigint_ignored = action.sa_handler == SIG_IGN;
    sigprocmask(SIG_SETMASK, NULL, &set);
    c->blocked = 0;
    for (int sig = 1; sig < 32; sig++) c->blocked += sigismember(&set, sig) == 1;
    c->is_stdin_empty = read(STDIN_FILENO, &byte, 1) == 0;
    return CFUT_OK;
}
CFUT_TASK(look_around, int, struct circumstances);

START_TEST(worker_is_nice_and_leaves_no_core)
{
    int now = getpriority(PRIO_PROCESS, 0), want = now + 3 > 19 ? 19 : now + 3;
    cfut_executor *ex = procs_with((cfut_process_pool_desc){ .max_workers = 1, .nice = 3 });
    look_around_future f;

    look_around_submit(ex, &f, 0);
    ck_assert_int_eq(look_around_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out.nice, want);
    ck_assert_int_eq(getpriority(PRIO_PROCESS, 0), now);
    ck_assert(f.out.core_is_0);
    ck_assert(f.out.sigint_ignored);
    ck_assert_int_eq(f.out.blocked, 0);
    ck_assert(f.out.is_stdin_empty);
    end_pool(ex);
}
END_TEST

static int eat_descriptors(const int *unused, int *n)
{
    (void)unused;
    board();                            /* which count_end will want */
    for (*n = 0; *n < 100 && dup(0) >= 0; ++*n) { }
    return CFUT_OK;
}
CFUT_TASK(eat_descriptors, int, int);

static void count_end(void *unused)
{
    (void)unused;
    atomic_fetch_add(&board()->ended, 1);
}

/* A function that the worker does not know must be looked for, which takes one. */
START_TEST(worker_without_descriptors_says_so_and_ends_in_order)
{
    cfut_executor *ex = procs_with((cfut_process_pool_desc){
        .max_workers = 1, .limit_files = 30, .finalizer = count_end });
    eat_descriptors_future e;
    square_future f;

    eat_descriptors_submit(ex, &e, 0);
    ck_assert_int_eq(eat_descriptors_result(&e), CFUT_OK);
    square_submit(ex, &f, 3);
    ck_assert_int_eq(square_result(&f), CFUTI_FUTEX ? CFUT_NO_MEMORY : CFUT_OK);
    eat_descriptors_submit(ex, &e, 0);
    ck_assert_int_eq(eat_descriptors_result(&e), CFUT_OK);
    end_pool(ex);
    ck_assert_int_eq(atomic_load(&board()->ended), 1);
}
END_TEST

/* ---- what a worker sees of the host ---- */

static int is_open(const int *fd, int *open_there)
{
    *open_there = fcntl(*fd, F_GETFD) != -1;
    return CFUT_OK;
}
CFUT_TASK(is_open, int, int);

START_TEST(worker_has_no_descriptor_of_the_host)
{
    int secret[2], high;
    cfut_executor *ex;
    is_open_future f;

    ck_assert_int_eq(pipe(secret), 0);
    high = fcntl(secret[0], F_DUPFD, 100);
    ex = procs(1);
    for (int fd = 3; fd < 300; fd++) {
        is_open_submit(ex, &f, fd);
        ck_assert_int_eq(is_open_result(&f), CFUT_OK);
        ck_assert_msg(!f.out, "descriptor %d is open in a worker", fd);
    }
    close(secret[0]);
    close(secret[1]);
    close(high);
    end_pool(ex);
}
END_TEST

/* As the host's streams would, whose numbers are the pool's in a worker. */
static int write_to_descriptors(const int *end, int *out)
{
    char text[300];

    memset(text, 'x', sizeof text);
    *out = 0;
    for (int fd = 3; fd < *end; fd++)
        if (write(fd, text, sizeof text) < 0) ++*out;
    return CFUT_OK;
}
CFUT_TASK(write_to_descriptors, int, int);

struct much { char bytes[300000]; };

static int copy_much(const struct much *in, struct much *out)
{
    *out = *in;
    return CFUT_OK;
}
CFUT_TASK(copy_much, struct much, struct much);

static void assert_all_work(cfut_executor *ex)
{
    static const struct much in = { "much" };
    static copy_much_future much;
    square_future f;

    for (int i = 0; i < 20; i++) {
        square_submit(ex, &f, i);
        ck_assert_int_eq(square_result(&f), CFUT_OK);
    }
    copy_much_submit(ex, &much, in);
    ck_assert_int_eq(copy_much_result(&much), CFUT_OK);
    ck_assert_str_eq(much.out.bytes, "much");
}

START_TEST(write_to_a_stale_descriptor_in_a_worker_harms_nobody)
{
    cfut_executor *ex = procs(2);
    write_to_descriptors_future f[10];

    for (int i = 0; i < 10; i++) write_to_descriptors_submit(ex, &f[i], _i ? 1024 : 20);
    for (int i = 0; i < 10; i++) ck_assert_int_eq(write_to_descriptors_result(&f[i]), CFUT_OK);
    assert_all_work(ex);
    end_pool(ex);
}
END_TEST

enum { CLOSE_ALL, REPLACE_ALL, CLOSE_MEMORY, REPLACE_BELL, TAKES };

/* Closes all descriptors, or puts one of its own there, a file of 1 MiB; or closes that
   of the memory alone, and then forks; or replaces the bell alone. */
static int take_descriptors(const int *how, int *out)
{
    char path[] = "/tmp/cfut-test-XXXXXX";
    int file = *how == REPLACE_ALL ? mkstemp(path) : -1;

    *out = 0;
    if (*how == REPLACE_BELL)
        return dup2(epoll_create1(0), cfuti_this_child->ring.fd) < 0 ? CFUT_FAILED : CFUT_OK;
    if (*how == CLOSE_MEMORY) {
        pid_t pid = close(cfuti_this_child->file.fd) == 0 ? fork() : -1;

        if (pid == 0) _exit(0);
        return waitpid(pid, NULL, 0) == pid ? CFUT_OK : CFUT_FAILED;
    }
    if (file >= 0) unlink(path);
    if (file >= 0 && ftruncate(file, 1 << 20) != 0) return CFUT_FAILED;
    for (int fd = 3; fd < 1024; fd++) {
        if (file < 0) close(fd);
        else if (fd != file && dup2(file, fd) < 0) return CFUT_FAILED;
    }
    return CFUT_OK;
}
CFUT_TASK(take_descriptors, int, int);

START_TEST(task_that_takes_the_pools_descriptors_costs_a_worker_and_no_task)
{
    cfut_executor *ex = procs(1);
    take_descriptors_future f;

    for (int i = 0; i < 12; i++) {
        take_descriptors_submit(ex, &f, _i);
        ck_assert_int_eq(take_descriptors_result(&f), CFUT_OK);
        assert_all_work(ex);
    }
    end_pool(ex);
}
END_TEST

static int take_at_start(void *how)
{
    int out;

    return take_descriptors((const int *)how, &out);
}

START_TEST(initializer_that_takes_the_pools_descriptors_breaks_it)
{
    cfut_executor *ex = procs_with((cfut_process_pool_desc){
        .max_workers = 1, .initializer = take_at_start, .init_arg = &_i, .init_size = sizeof _i });
    square_future f;

    square_submit(ex, &f, 2);
    ck_assert_int_eq(square_result(&f), CFUT_BROKEN);
    ck_assert_str_eq(cfut_error(&f.base), "the initializer has closed the pool's descriptors");
    end_pool(ex);
}
END_TEST

static void host_chld(int sig) { (void)sig; }

START_TEST(signals_of_the_host_are_left_alone)
{
    struct sigaction mine, now;
    sigset_t before, after;
    cfut_executor *ex;
    die_future f;

    memset(&mine, 0, sizeof mine);
    mine.sa_handler = host_chld;
    sigaction(SIGCHLD, &mine, NULL);
    sigemptyset(&before);
    sigaddset(&before, SIGUSR1);
    sigprocmask(SIG_BLOCK, &before, NULL);
    sigprocmask(SIG_SETMASK, NULL, &before);
    ex = procs(2);
    die_submit(ex, &f, BY_SIGSEGV);
    ck_assert_int_eq(die_result(&f), CFUT_WORKER_DIED);
    end_pool(ex);
    sigprocmask(SIG_SETMASK, NULL, &after);
    for (int sig = 1; sig < 32; sig++)
        ck_assert_int_eq(sigismember(&before, sig), sigismember(&after, sig));
    sigaction(SIGCHLD, NULL, &now);
    ck_assert(now.sa_handler == host_chld);
}
END_TEST

START_TEST(host_that_ignores_its_children_is_no_trouble)
{
    cfut_executor *ex;
    die_future f;
    square_future g;

    signal(SIGCHLD, SIG_IGN);
    ex = procs(1);
    die_submit(ex, &f, BY_SIGSEGV);
    ck_assert_int_eq(die_result(&f), CFUT_WORKER_DIED);
    square_submit(ex, &g, 3);
    ck_assert_int_eq(square_result(&g), CFUT_OK);
    end_pool(ex);
    signal(SIGCHLD, SIG_DFL);
}
END_TEST

/* ---- the helper ---- */

/* SEM 97: what the manager needs is gone: broken, and nothing hangs */
START_TEST(death_of_the_helper_breaks_the_pool)
{
    cfut_executor *ex = procs(2);
    struct busy_procs busy;
    square_future f[10], late;
    pid_t helper = cfuti_procs_of(ex)->helper;

    if (_i) {
        occupy_procs(&busy, ex);
        for (int i = 0; i < 10; i++) square_submit(ex, &f[i], i);
    }
    kill(helper, SIGKILL);
    if (_i) {
        ck_assert_int_eq(stay_result(&busy.f), CFUT_BROKEN);
        for (int i = 0; i < 10; i++) {
            int status = square_result(&f[i]);

            ck_assert(status == CFUT_BROKEN || status == CFUT_OK);
        }
    }
    square_submit(ex, &late, 1);
    ck_assert_int_eq(square_result(&late), CFUT_BROKEN);
    ck_assert_ptr_nonnull(strstr(cfut_error(&late.base), "helper"));
    if (_i) await_process_gone(atomic_load(&board()->at[0]));
    end_pool(ex);
}
END_TEST

START_TEST(helper_killed_at_any_moment_hangs_nothing)
{
    for (int i = 0; i < 30 / FEWER; i++) {
        cfut_executor *ex = procs(2);
        square_future f[20];

        for (int k = 0; k < 20; k++) {
            square_submit(ex, &f[k], k);
            if (k == i % 20) kill(cfuti_procs_of(ex)->helper, SIGKILL);
        }
        for (int k = 0; k < 20; k++) {
            int status = square_result(&f[k]);

            ck_assert(status == CFUT_BROKEN || status == CFUT_OK);
            if (status == CFUT_OK) ck_assert_int_eq(f[k].out, k * k);
        }
        ck_assert_int_eq(cfut_shutdown(ex, i % 2 ? CFUT_DRAIN : CFUT_CANCEL_PENDING), CFUT_OK);
    }
}
END_TEST

/* ---- the host ---- */

static void note_helper(cfut_executor *ex)
{
    atomic_store(&board()->n[4], (int)cfuti_procs_of(ex)->helper);
}

/* Two workers run, then nothing more happens. */
static int be_killed(void)
{
    cfut_executor *ex = procs(2);
    stay_future f[2];

    for (int i = 0; i < 2; i++) stay_submit(ex, &f[i], i);
    note_helper(ex);
    cfut_result(&f[0].base);
    return 0;
}

START_TEST(death_of_the_host_ends_helper_and_workers)
{
    pid_t host = start_role("be_killed");
    cfut_ns begun;

    await_count(&board()->started, 2);
    await_count(&board()->n[4], 1);
    kill(host, SIGKILL);
    begun = test_now();
    waitpid(host, NULL, 0);
    await_process_gone(atomic_load(&board()->n[4]));
    for (int i = 0; i < 2; i++) await_process_gone(atomic_load(&board()->at[i]));
    ck_assert_int_lt(test_now() - begun, test_time(CFUT_SEC(2)));
}
END_TEST

static void host_at_exit(void) { atomic_fetch_add(&board()->n[5], 1); }

/* Tasks are queued when main returns. */
static int leave_with(int how)
{
    enum { N = 20 };
    static tally_future f[N];
    static stay_future first;
    cfut_executor *ex;

    atexit(host_at_exit);
    ex = procs_with((cfut_process_pool_desc){ .max_workers = 1, .exit = how });
    note_helper(ex);
    stay_submit(ex, &first, 0);
    for (int i = 0; i < N; i++) tally_submit(ex, &f[i], 1);
    linger(&board()->started, 1);
    if (how == CFUT_EXIT_DRAIN) atomic_store(&board()->go, 1);
    return 0;
}

static int leave_draining(void) { return leave_with(CFUT_EXIT_DRAIN); }
static int leave_abandoning(void) { return leave_with(CFUT_EXIT_ABANDON); }

START_TEST(return_from_main_drains)
{
    run_role("leave_draining");
    ck_assert_int_eq(atomic_load(&board()->at[1]), 20);
    ck_assert_int_eq(atomic_load(&board()->n[5]), 1);
    await_process_gone(atomic_load(&board()->n[4]));
}
END_TEST

START_TEST(return_from_main_abandons_if_told_so)
{
    run_role("leave_abandoning");
    ck_assert_int_eq(atomic_load(&board()->at[1]), 0);
    ck_assert_int_eq(atomic_load(&board()->n[5]), 1);
    await_process_gone(atomic_load(&board()->n[4]));
    await_process_gone(atomic_load(&board()->at[0]));
}
END_TEST

static int exit_when_waited_for(const int *code, int *unused)
{
    *unused = 0;
    linger(&board()->started, 1);
    test_sleep(CFUT_MS(20));            /* the callback waits by then, likely */
    exit(*code);
}
CFUT_TASK(exit_when_waited_for, int, int);

static void wait_for_exiting(cfut_future *f, void *exiting)
{
    (void)f;
    atomic_fetch_add(&board()->started, 1);
    cfut_result(exiting);
}

/* A callback of the process pool waits for the thread's task that exits. */
static int exit_beside_callback(void)
{
    static exit_when_waited_for_future exiting;
    static square_future f;
    cfut_executor *ex = procs(1), *threads = cfut_thread_pool(NULL);

    exit_when_waited_for_submit(threads, &exiting, 0);
    square_submit(ex, &f, 3);
    cfut_on_done(&f.base, wait_for_exiting, &exiting);
    test_sleep(CFUT_SEC(100));
    return 1;
}

static void exit_here(cfut_future *f, void *unused)
{
    (void)f;
    (void)unused;
    exit(0);
}

/* The callback has the manager's thread, and much is queued. */
static int exit_in_callback(void)
{
    enum { N = 20 };
    static tally_future f[N];
    static square_future first;
    cfut_executor *ex = procs(1);

    square_submit(ex, &first, 3);
    for (int i = 0; i < N; i++) tally_submit(ex, &f[i], 1);
    cfut_on_done(&first.base, exit_here, NULL);
    test_sleep(CFUT_SEC(100));
    return 1;
}

/* SEM 79 */
START_TEST(exit_beside_a_callback_that_waits_for_it_does_not_hang)
{
    run_role("exit_beside_callback");
}
END_TEST

START_TEST(exit_in_a_callback_drains)
{
    run_role("exit_in_callback");
    ck_assert_int_eq(atomic_load(&board()->at[1]), 20);
}
END_TEST

/* What the host has registered for its exit runs in no worker, though one calls
   exit(). */
static int exit_in_worker(void)
{
    cfut_executor *ex;
    die_future f;

    atexit(host_at_exit);
    ex = procs(1);
    die_submit(ex, &f, BY_EXIT);
    if (die_result(&f) != CFUT_WORKER_DIED) return 1;
    if (atomic_load(&board()->n[5])) return 2;
    return cfut_shutdown(ex, CFUT_DRAIN);
}

START_TEST(exit_handler_of_the_host_does_not_run_in_workers)
{
    run_role("exit_in_worker");
    ck_assert_int_eq(atomic_load(&board()->n[5]), 1);
}
END_TEST

/* The child of a host that forks can do nothing with the pool, and does not hold
   it up. */
static int child_of_host(cfut_executor *ex, square_future *f)
{
    square_future g;

    if (cfut_executor_status(ex) != CFUT_FORKED) return 1;
    square_submit(ex, &g, 1);
    if (square_result(&g) != CFUT_FORKED) return 2;
    if (square_result(f) != CFUT_FORKED) return 3;
    if (cfut_shutdown(ex, CFUT_DRAIN) != CFUT_FORKED) return 4;
    if (cfut_kill_workers(ex) != CFUT_FORKED) return 5;
    return 0;
}

static int fork_the_host(void)
{
    cfut_executor *ex = procs(1);
    struct busy_procs busy;
    square_future f;
    int ends[2], status = 1;
    pid_t child, helper = cfuti_procs_of(ex)->helper;
    char byte;

    stay_submit(ex, &busy.f, 0);
    linger(&board()->started, 1);
    square_submit(ex, &f, 3);
    if (pipe(ends) != 0) return 20;
    child = fork();
    if (child == 0) {
        int code;

        close(ends[1]);
        code = child_of_host(ex, &f);
        if (read(ends[0], &byte, 1) < 0) code = 6;      /* until the parent has ended the pool */
        _exit(code);
    }
    atomic_store(&board()->go, 1);
    if (square_result(&f) != CFUT_OK) return 21;
    if (cfut_shutdown(ex, CFUT_DRAIN) != CFUT_OK) return 22;
    if (!process_is_gone(helper)) return 23;
    close(ends[1]);
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status)) return 24;
    return WEXITSTATUS(status);
}

START_TEST(fork_of_the_host_leaves_an_inert_copy)
{
    run_role("fork_the_host");
}
END_TEST

/* The host ends while a child of its lives: that child must not keep the pool. */
static int fork_and_be_killed(void)
{
    cfut_executor *ex = procs(1);
    stay_future f;
    pid_t child;

    stay_submit(ex, &f, 0);
    note_helper(ex);
    linger(&board()->started, 1);
    child = fork();
    if (child == 0) {
        linger(&board()->n[6], 1);
        _exit(0);
    }
    atomic_store(&board()->n[7], (int)child);
    cfut_result(&f.base);
    return 0;
}

START_TEST(child_of_a_dead_host_does_not_keep_the_pool_alive)
{
    pid_t host = start_role("fork_and_be_killed");

    await_count(&board()->n[7], 1);
    kill(host, SIGKILL);
    waitpid(host, NULL, 0);
    await_process_gone(atomic_load(&board()->n[4]));
    await_process_gone(atomic_load(&board()->at[0]));
    ck_assert(!process_is_gone(atomic_load(&board()->n[7])));
    atomic_store(&board()->n[6], 1);
    await_process_gone(atomic_load(&board()->n[7]));
}
END_TEST

/* A task starts a program that outlives it: the pool does not wait for that. */
static int leave_a_child(const int *unused, int *pid)
{
    (void)unused;
    *pid = (int)fork();
    if (*pid) return CFUT_OK;
    linger(&board()->n[6], 1);
    _exit(0);
}
CFUT_TASK(leave_a_child, int, int);

START_TEST(child_of_a_task_holds_nothing_up)
{
    cfut_executor *ex = procs(1);
    leave_a_child_future f;
    die_future g;

    leave_a_child_submit(ex, &f, 0);
    ck_assert_int_eq(leave_a_child_result(&f), CFUT_OK);
    die_submit(ex, &g, BY_SIGKILL);
    ck_assert_int_eq(die_result(&g), CFUT_WORKER_DIED);
    end_pool(ex);
    ck_assert(!process_is_gone(f.out));
    atomic_store(&board()->n[6], 1);
    await_process_gone(f.out);
}
END_TEST

static void await_child_of_task(pid_t child)
{
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR) { }
}

/* A child of a task that returns from it, or calls exit: it is no worker. */
static int return_twice(const int *how, int *pid)
{
    pid_t child = fork();

    if (child) {
        *pid = (int)child;
        atomic_store(&board()->at[3], *pid);
        await_child_of_task(child);
        return CFUT_OK;
    }
    if (*how) exit(5);
    *pid = -7;
    return 99;
}
CFUT_TASK(return_twice, int, int);

START_TEST(child_that_returns_from_a_task_is_no_second_worker)
{
    enum { N = 200 };
    cfut_executor *ex = procs(1);
    static return_twice_future f[3];
    static tally_future g[N];

    for (int i = 0; i < 3; i++) {
        return_twice_submit(ex, &f[i], _i);
        ck_assert_int_eq(return_twice_result(&f[i]), CFUT_OK);
        ck_assert_int_eq(f[i].out, atomic_load(&board()->at[3]));
    }
    for (int i = 0; i < N; i++) tally_submit(ex, &g[i], 5);
    for (int i = 0; i < N; i++) ck_assert_int_eq(tally_result(&g[i]), CFUT_OK);
    ck_assert_int_eq(atomic_load(&board()->at[5]), N);
    end_pool(ex);
}
END_TEST

/* ---- */

static void fill_tasks(TCase *tc)
{
    tcase_add_loop_test(tc, death_costs_the_task_that_ran_and_no_other, 0, FAULTS);
#ifdef __GLIBC__
    tcase_add_test(tc, death_by_exit_tells_its_status);
#endif
    tcase_add_test(tc, death_from_outside_costs_the_task_that_ran);
    tcase_add_test(tc, death_of_idle_worker_costs_nothing);
    tcase_add_loop_test(tc, map_loses_one_item_by_a_crash, 0, 4);
    tcase_add_loop_test(tc, map_item_that_runs_too_long_is_the_only_one_lost, 0, 2);
    tcase_add_loop_test(tc, retries_run_a_task_again_as_often_as_allowed, 0, 4);
    tcase_add_test(tc, break_pool_fails_everything_and_refuses);
    tcase_add_loop_test(tc, initializer_that_crashes_breaks_the_pool_after_a_few, 0, 2);
    tcase_add_test(tc, initializer_that_ends_its_thread_breaks_the_pool);
    tcase_add_test(tc, finalizer_that_ends_its_thread_ends_its_worker);
    tcase_add_loop_test(tc, time_limit_kills_what_runs_too_long, 0, 2);
    tcase_add_test(tc, time_limit_of_one_task_holds_for_it_alone);
    tcase_add_test(tc, time_limit_is_unknown_to_executors_that_cannot_kill);
    tcase_add_test(tc, time_limit_does_not_count_the_time_in_the_queue);
    tcase_add_loop_test(tc, kill_grace_lets_a_worker_clean_up, 0, 2);
    tcase_add_test(tc, kill_never_hits_the_next_task);
    tcase_add_loop_test(tc, ended_workers_fail_what_runs_and_cancel_what_waits, 0, 2);
    tcase_add_test(tc, terminate_ends_workers_that_are_being_born);
    tcase_add_test(tc, ending_the_workers_of_an_unused_pool_closes_it);
    tcase_add_test(tc, kill_after_terminate_ends_a_worker_that_ignores_sigterm);
    tcase_add_test(tc, worker_that_survives_terminate_delivers_its_result);
}

static void fill_limits(TCase *tc)
{
    tcase_add_loop_test(tc, worker_is_replaced_after_its_number_of_tasks, 0, 3);
    tcase_add_test(tc, backlog_of_replaced_workers_is_run_after_close);
#if !UNDER_TSAN && !UNDER_ASAN
    tcase_add_test(tc, worker_that_holds_too_much_memory_is_replaced);
    if (!EMULATED) tcase_add_test(tc, limit_of_memory_makes_malloc_fail_in_a_worker);
#endif
    tcase_add_test(tc, limit_of_files_holds_in_a_worker);
    tcase_add_test(tc, limit_of_cpu_time_kills_a_worker);
    tcase_add_test(tc, limit_of_file_size_kills_a_worker);
    tcase_add_test(tc, worker_is_nice_and_leaves_no_core);
    tcase_add_test(tc, worker_without_descriptors_says_so_and_ends_in_order);
    tcase_add_test(tc, worker_has_no_descriptor_of_the_host);
    tcase_add_loop_test(tc, write_to_a_stale_descriptor_in_a_worker_harms_nobody, 0, 2);
    tcase_add_loop_test(tc, task_that_takes_the_pools_descriptors_costs_a_worker_and_no_task, 0,
                        TAKES);
    tcase_add_loop_test(tc, initializer_that_takes_the_pools_descriptors_breaks_it, 0,
                        REPLACE_BELL);
}

static void fill_others(TCase *tc)
{
    tcase_add_test(tc, signals_of_the_host_are_left_alone);
    tcase_add_test(tc, host_that_ignores_its_children_is_no_trouble);
    tcase_add_loop_test(tc, death_of_the_helper_breaks_the_pool, 0, 2);
    tcase_add_test(tc, helper_killed_at_any_moment_hangs_nothing);
    tcase_add_test(tc, death_of_the_host_ends_helper_and_workers);
    tcase_add_test(tc, return_from_main_drains);
    tcase_add_test(tc, return_from_main_abandons_if_told_so);
    tcase_add_test(tc, exit_beside_a_callback_that_waits_for_it_does_not_hang);
    tcase_add_test(tc, exit_in_a_callback_drains);
    tcase_add_test(tc, exit_handler_of_the_host_does_not_run_in_workers);
    tcase_add_test(tc, fork_of_the_host_leaves_an_inert_copy);
    tcase_add_test(tc, child_of_a_dead_host_does_not_keep_the_pool_alive);
    tcase_add_test(tc, child_of_a_task_holds_nothing_up);
    tcase_add_loop_test(tc, child_that_returns_from_a_task_is_no_second_worker, 0, 2);
}

static void fill(TCase *tc)
{
    fill_tasks(tc);
    fill_limits(tc);
    fill_others(tc);
}

static const struct role roles[] = {
    { "be_killed", be_killed },
    { "leave_draining", leave_draining },
    { "leave_abandoning", leave_abandoning },
    { "exit_beside_callback", exit_beside_callback },
    { "exit_in_callback", exit_in_callback },
    { "exit_in_worker", exit_in_worker },
    { "fork_the_host", fork_the_host },
    { "fork_and_be_killed", fork_and_be_killed },
    { NULL, NULL }
};

int main(int argc, char **argv)
{
    return process_main(argc, argv, "process_death", fill, roles);
}
