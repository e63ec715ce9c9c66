/* test_process_races.c: what once broke the process pool: interleavings, deaths and
   kills at the wrong moment, and tasks that treat their process badly. Workers are
   forks of the test, which has one thread, so they see its board; where the program
   must be executed again, the test says so. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- what the tests hook into ---- */

/* A load of the word springs it, once, in the thread that laid it. */
struct ambush {
    uintptr_t word;
    void (*act)(void *);
    void *arg;
};
static _Thread_local struct ambush ambush;

/* The thread still sees zero there, as if it had looked before the act. */
static uintptr_t at_load(uintptr_t word)
{
    static const uint64_t zero;

    if (!word || ambush.word != word) return word;
    ambush.word = 0;
    ambush.act(ambush.arg);
    return (uintptr_t)&zero;
}

#define LOAD_AT(p) ((__typeof__(p))at_load((uintptr_t)(p)))

#define CFUTI_ATOMICS
#define cfuti_load_relaxed(p) __atomic_load_n(LOAD_AT(p), __ATOMIC_RELAXED)
#define cfuti_load_acquire(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define cfuti_load_seq_cst(p) __atomic_load_n(p, __ATOMIC_SEQ_CST)
#define cfuti_store_relaxed(p, v) __atomic_store_n(p, v, __ATOMIC_RELAXED)
#define cfuti_store_release(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
#define cfuti_exchange_acquire(p, v) __atomic_exchange_n(p, v, __ATOMIC_ACQUIRE)
#define cfuti_exchange_seq_cst(p, v) __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST)
#define cfuti_add_relaxed(p, v) __atomic_fetch_add(p, v, __ATOMIC_RELAXED)
#define cfuti_add_release(p, v) __atomic_fetch_add(p, v, __ATOMIC_RELEASE)
#define cfuti_add_seq_cst(p, v) __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST)
#define cfuti_and_release(p, v) __atomic_fetch_and(p, v, __ATOMIC_RELEASE)
#define cfuti_cas_acquire(p, e, v) \
    __atomic_compare_exchange_n(p, e, v, 0, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)
#define cfuti_cas_acq_rel(p, e, v) \
    __atomic_compare_exchange_n(p, e, v, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)

static void come_by(const char *point);
#define cfuti_point(name) come_by(name)

static void *map_or_not(int fd, uint64_t at, size_t size, bool writable);
#define cfuti_map map_or_not

static bool reserve_or_not(int fd, uint64_t at, uint64_t size);
#define cfuti_file_reserve reserve_or_not

static int threads_seen(void);
#define cfuti_threads threads_seen

#define HARNESS_NO_WATCHDOG
#define HARNESS_FAULTS
#include "harness.h"

#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* ---- the board: memory that host and workers share ---- */

struct board {
    atomic_int started, go, told, pid, child;
    atomic_int die_at_claim;            /* whoever claims the next task dies */
};
static struct board *board;

static void board_make(void)
{
    void *p = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ck_assert(p != MAP_FAILED);
    board = (struct board *)p;
}

static void come_by(const char *point)
{
    if (board && !strcmp(point, "claimed") && atomic_exchange(&board->die_at_claim, 0))
        raise(SIGKILL);
}

static bool no_more_maps;

static void *map_or_not(int fd, uint64_t at, size_t size, bool writable)
{
    return no_more_maps ? NULL : cfuti_sys_map(fd, at, size, writable);
}

static bool folder_is_full;

static bool reserve_or_not(int fd, uint64_t at, uint64_t size)
{
    return !folder_is_full && cfuti_sys_reserve(fd, at, size);
}

/* 0: unknown, so that a pool may fork beside a sanitizer's thread; below: the truth. */
static int threads_to_see;

static int threads_seen(void)
{
    return threads_to_see < 0 ? cfuti_sys_threads() : threads_to_see;
}

/* ---- helpers ---- */

static cfut_ns patience(void) { return test_time(CFUT_SEC(HARNESS_GATE_S)); }

static cfut_executor *pool_with(cfut_process_pool_desc desc)
{
    cfut_executor *ex;

    if (!desc.start) desc.start = CFUT_START_FORK;
    if (!desc.max_workers) desc.max_workers = 1;
    ex = cfut_process_pool(&desc);
    if (cfut_executor_status(ex) != CFUT_OK) ck_abort_msg("%s", cfut_executor_error(ex));
    return ex;
}

static void await(atomic_int *what, int n)
{
    cfut_ns end = test_now() + patience();

    while (atomic_load(what) < n) {
        if (test_now() > end) ck_abort_msg("it stood at %d, not %d", atomic_load(what), n);
        test_sleep(CFUT_US(200));
    }
}

/* A process that ends, or waits for its parent to see that it has. */
static void await_end(pid_t pid)
{
    cfut_ns end = test_now() + patience();
    char path[64], text[256], *state;

    for (;;) {
        size_t n = 0;
        FILE *f;

        snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
        f = fopen(path, "r");
        if (f) {
            n = fread(text, 1, sizeof text - 1, f);
            fclose(f);
        }
        text[n] = 0;
        state = strrchr(text, ')');
        if (!state || state[2] == 'Z' || state[2] == 'X') return;
        if (test_now() > end) ck_abort_msg("process %ld does not end", (long)pid);
        test_sleep(CFUT_MS(1));
    }
}

static void end_by(cfut_executor *ex, int how)
{
    ck_assert_int_eq(cfut_shutdown_timeout(ex, how, patience()), CFUT_OK);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
    ck_assert_int_eq(errno, ECHILD);
}

/* ---- tasks ---- */

static int get_pid(const int *unused, int *pid)
{
    (void)unused;
    *pid = (int)getpid();
    return CFUT_OK;
}
CFUT_TASK(get_pid, int, int);

static int pid_of_worker(cfut_executor *ex)
{
    get_pid_future f;

    get_pid_submit(ex, &f, 0);
    ck_assert_int_eq(get_pid_result_timeout(&f, patience()), CFUT_OK);
    return f.out;
}

/* Says that it runs, and goes on when it may. */
static int stay(const int *unused, int *out)
{
    (void)unused;
    atomic_fetch_add(&board->started, 1);
    while (!atomic_load(&board->go)) test_sleep(CFUT_US(200));
    *out = 1;
    return CFUT_OK;
}
CFUT_TASK(stay, int, int);

static int loop_for_ever(const int *unused, int *out)
{
    volatile int forever = 1;

    (void)unused;
    atomic_fetch_add(&board->started, 1);
    while (forever) { }
    *out = 1;
    return CFUT_OK;
}
CFUT_TASK(loop_for_ever, int, int);

static int crash(const int *unused, int *out)
{
    (void)unused;
    *out = 0;
    raise(SIGKILL);
    return CFUT_OK;
}
CFUT_TASK(crash, int, int);

/* ---- deaths ---- */

enum { CHUNK = 8, MANY = CHUNK * 2 * CFUTI_SLOTS };

/* The slots remember how far their last chunks came. */
START_TEST(map_when_worker_dies_at_claim_takes_nothing_of_an_older_chunk)
{
    static int in[MANY], out[MANY], status[MANY];
    cfut_executor *ex = pool_with((cfut_process_pool_desc){ .queue_depth = 1 });
    cfut_map_desc how = { .chunksize = CHUNK, .status = status };

    for (int i = 0; i < MANY; i++) in[i] = i;
    ck_assert_int_eq(square_map_with(ex, in, out, MANY, &how), CFUT_OK);
    memset(out, 0, sizeof out);
    for (int i = 0; i < CHUNK; i++) in[i] = 1000 + i;
    atomic_store(&board->die_at_claim, 1);
    ck_assert_int_eq(square_map_with(ex, in, out, CHUNK, &how), CFUT_WORKER_DIED);
    ck_assert_int_eq(status[0], CFUT_WORKER_DIED);
    for (int i = 1; i < CHUNK; i++) {
        ck_assert_int_eq(status[i], CFUT_OK);
        ck_assert_int_eq(out[i], in[i] * in[i]);
    }
    end_by(ex, CFUT_DRAIN);
}
END_TEST

START_TEST(break_pool_holds_for_a_worker_that_was_to_be_replaced)
{
    cfut_executor *ex = pool_with((cfut_process_pool_desc){
        .max_tasks_per_child = 1, .on_worker_death = CFUT_BREAK_POOL });
    crash_future f;

    crash_submit(ex, &f, 0);
    ck_assert_int_eq(crash_result_timeout(&f, patience()), CFUT_BROKEN);
    end_by(ex, CFUT_DRAIN);
}
END_TEST

/* ---- kills ---- */

static volatile sig_atomic_t told_to_end;
static void on_sigterm(int sig) { told_to_end = sig; }

/* Ends in order when it gets SIGTERM. */
static int give_in(const int *unused, int *out)
{
    (void)unused;
    signal(SIGTERM, on_sigterm);
    atomic_fetch_add(&board->started, 1);
    while (!told_to_end) test_sleep(CFUT_US(200));
    *out = 7;
    return CFUT_OK;
}
CFUT_TASK(give_in, int, int);

START_TEST(task_that_gives_in_within_the_grace_costs_the_next_one_nothing)
{
    cfut_executor *ex = pool_with((cfut_process_pool_desc){
        .queue_depth = 8, .kill_grace = CFUT_MS(200) });
    give_in_future f;
    sleep_ms_future behind;
    int none = 0;

    f.in = none;
    cfut_submit_within(ex, &f.base, &give_in_task, &f.in, &f.out, CFUT_MS(100));
    await(&board->started, 1);
    sleep_ms_submit(ex, &behind, 500);
    ck_assert_int_eq(give_in_result_timeout(&f, patience()), CFUT_OK);
    ck_assert_int_eq(f.out, 7);
    ck_assert_int_eq(sleep_ms_result_timeout(&behind, patience()), CFUT_OK);
    end_by(ex, CFUT_DRAIN);
}
END_TEST

/* The other one's result is there, but the manager has not seen it yet: it was in
   this callback, of the task before, all the time. */
static void cancel_when_just_done(cfut_future *f, void *other)
{
    (void)f;
    atomic_store(&board->child, 1);
    await(&board->told, 1);
    cfut_cancel((cfut_future *)other);
}

static int wait_for_callback(const int *unused, int *out)
{
    (void)unused;
    while (!atomic_load(&board->child)) test_sleep(CFUT_US(200));
    *out = 1;
    return CFUT_OK;
}
CFUT_TASK(wait_for_callback, int, int);

static int tell_and_stay(const int *unused, int *out)
{
    (void)unused;
    atomic_fetch_add(&board->told, 1);
    test_sleep(CFUT_MS(200));
    *out = 3;
    return CFUT_OK;
}
CFUT_TASK(tell_and_stay, int, int);

START_TEST(cancel_of_a_task_that_is_just_done_kills_nobody)
{
    cfut_executor *ex = pool_with((cfut_process_pool_desc){
        .queue_depth = 8, .kill_on_cancel = true });
    stay_future first;
    wait_for_callback_future second;
    tell_and_stay_future third;

    stay_submit(ex, &first, 0);
    await(&board->started, 1);
    wait_for_callback_submit(ex, &second, 0);
    tell_and_stay_submit(ex, &third, 0);
    cfut_on_done(&first.base, cancel_when_just_done, &second);
    atomic_store(&board->go, 1);
    ck_assert_int_eq(tell_and_stay_result_timeout(&third, patience()), CFUT_OK);
    ck_assert_int_eq(third.out, 3);
    ck_assert_int_eq(wait_for_callback_result_timeout(&second, patience()), CFUT_OK);
    end_by(ex, CFUT_DRAIN);
}
END_TEST

static int ignore_sigterm(const int *unused, int *out)
{
    signal(SIGTERM, SIG_IGN);
    return loop_for_ever(unused, out);
}
CFUT_TASK(ignore_sigterm, int, int);

START_TEST(kill_workers_after_terminate_workers_kills)
{
    cfut_executor *ex = pool_with((cfut_process_pool_desc){ .max_workers = 1 });
    ignore_sigterm_future f;

    ignore_sigterm_submit(ex, &f, 0);
    await(&board->started, 1);
    ck_assert_int_eq(cfut_terminate_workers(ex), CFUT_OK);
    ck_assert_int_eq(cfut_shutdown_timeout(ex, CFUT_DRAIN, CFUT_MS(100)), CFUT_TIMEOUT);
    ck_assert_int_eq(cfut_kill_workers(ex), CFUT_OK);
    ck_assert_int_eq(ignore_sigterm_result_timeout(&f, patience()), CFUT_WORKER_DIED);
    end_by(ex, CFUT_DRAIN);
}
END_TEST

START_TEST(kill_workers_when_a_task_was_handed_over_but_not_begun_ends_the_pool)
{
    cfut_executor *ex = pool_with((cfut_process_pool_desc){ .max_workers = 1 });
    get_pid_future f;

    kill(pid_of_worker(ex), SIGSTOP);
    get_pid_submit(ex, &f, 0);
    ck_assert_int_eq(cfut_kill_workers(ex), CFUT_OK);
    ck_assert_int_eq(get_pid_result_timeout(&f, patience()), CFUT_CANCELLED);
    ck_assert(cfut_cancelled(&f.base));
    end_by(ex, CFUT_DRAIN);
}
END_TEST

START_TEST(time_limit_shorter_than_a_wake_up_ends_the_task)
{
    cfut_executor *ex = pool_with((cfut_process_pool_desc){ .max_workers = 1 });

    for (int i = 0; i < 5; i++) {
        loop_for_ever_future f;

        f.in = 0;
        cfut_submit_within(ex, &f.base, &loop_for_ever_task, &f.in, &f.out, 1);
        ck_assert_int_eq(loop_for_ever_result_timeout(&f, patience()), CFUT_TIME_LIMIT);
    }
    end_by(ex, CFUT_DRAIN);
}
END_TEST

/* It has not begun, so its time does not run: but it is not lost. */
START_TEST(task_that_a_stopped_worker_has_not_begun_goes_to_another_after_its_limit)
{
    cfut_executor *ex = pool_with((cfut_process_pool_desc){ .time_limit = CFUT_MS(100) });
    get_pid_future f;
    int pid = pid_of_worker(ex);

    kill(pid, SIGSTOP);
    get_pid_submit(ex, &f, 0);
    ck_assert_int_eq(get_pid_result_timeout(&f, patience()), CFUT_OK);
    ck_assert_int_ne(f.out, pid);
    end_by(ex, CFUT_DRAIN);
}
END_TEST

START_TEST(cancel_that_may_kill_takes_out_what_was_handed_over_but_not_begun)
{
    cfut_executor *ex = pool_with((cfut_process_pool_desc){
        .queue_depth = 1, .kill_on_cancel = true });
    get_pid_future f, next;
    int pid = pid_of_worker(ex);

    kill(pid, SIGSTOP);
    get_pid_submit(ex, &f, 0);
    ck_assert(cfut_cancel(&f.base));
    kill(pid, SIGCONT);
    get_pid_submit(ex, &next, 0);
    ck_assert_int_eq(get_pid_result_timeout(&next, patience()), CFUT_OK);
    ck_assert_int_eq(next.out, pid);
    end_by(ex, CFUT_DRAIN);
}
END_TEST

START_TEST(time_limit_of_centuries_is_not_a_short_one)
{
    cfut_executor *ex = pool_with((cfut_process_pool_desc){ .max_workers = 1 });
    sleep_ms_future f;

    f.in = 50;
    cfut_submit_within(ex, &f.base, &sleep_ms_task, &f.in, &f.out, ((cfut_ns)1 << 56) + 1);
    ck_assert_int_eq(sleep_ms_result_timeout(&f, patience()), CFUT_OK);
    end_by(ex, CFUT_DRAIN);
}
END_TEST

/* ---- the end of a pool ---- */

static void end_pool_meanwhile(void *ex)
{
    ck_assert_int_eq(cfut_shutdown((cfut_executor *)ex, CFUT_DRAIN), CFUT_OK);
}

START_TEST(submit_that_a_shutdown_overtakes_is_refused)
{
    cfut_executor *ex = pool_with((cfut_process_pool_desc){ .max_workers = 1 });
    get_pid_future f;

    ambush = (struct ambush){ (uintptr_t)&ex->status, end_pool_meanwhile, ex };
    get_pid_submit(ex, &f, 0);
    ck_assert_uint_eq(ambush.word, 0);
    ck_assert_int_eq(get_pid_result(&f), CFUT_CLOSED);
}
END_TEST

static void break_and_end_pool_meanwhile(void *ex)
{
    kill(cfuti_procs_of((cfut_executor *)ex)->helper, SIGKILL);
    while (cfut_executor_status((cfut_executor *)ex) != CFUT_BROKEN) test_sleep(CFUT_US(200));
    end_pool_meanwhile(ex);
}

START_TEST(submit_that_a_break_and_a_shutdown_overtake_is_refused)
{
    cfut_executor *ex = pool_with((cfut_process_pool_desc){ .max_workers = 1 });
    get_pid_future f;

    ambush = (struct ambush){ (uintptr_t)&ex->status, break_and_end_pool_meanwhile, ex };
    get_pid_submit(ex, &f, 0);
    ck_assert_uint_eq(ambush.word, 0);
    ck_assert_int_eq(get_pid_result(&f), CFUT_BROKEN);
}
END_TEST

static void leave_thread(cfut_future *f, void *unused)
{
    (void)f;
    (void)unused;
    pthread_exit(NULL);
}

START_TEST(callback_that_ends_the_manager_when_no_thread_can_start_leaves_the_pool_working)
{
    cfut_executor *ex = pool_with((cfut_process_pool_desc){ .max_workers = 1 });
    stay_future f;

    stay_submit(ex, &f, 0);
    ck_assert_int_eq(cfut_on_done(&f.base, leave_thread, NULL), CFUT_OK);
    fault_at(&fault_threads, 1, true);
    atomic_store(&board->go, 1);
    ck_assert_int_eq(stay_result_timeout(&f, patience()), CFUT_OK);
    pid_of_worker(ex);
    end_by(ex, CFUT_DRAIN);
}
END_TEST

/* ---- threads of the host ---- */

static void *submit_when_cancelled(void *arg)
{
    static get_pid_future f;

    pthread_cancel(pthread_self());
    cfut_submit_within((cfut_executor *)arg, &f.base, &get_pid_task, &f.in, &f.out, CFUT_SEC(60));
    cfut_result(&f.base);
    return NULL;
}

START_TEST(submit_by_a_thread_that_is_cancelled_leaves_the_pool_working)
{
    cfut_executor *ex = pool_with((cfut_process_pool_desc){ .max_workers = 1 });

    pid_of_worker(ex);
    thread_end(thread_start(submit_when_cancelled, ex));
    pid_of_worker(ex);
    end_by(ex, CFUT_DRAIN);
}
END_TEST

static FILE *nothing_comes;

static void *read_nothing(void *unused)
{
    (void)unused;
    atomic_store(&board->started, 1);
    fgetc(nothing_comes);
    return NULL;
}

START_TEST(pool_by_fork_while_a_thread_reads_a_stream_is_refused)
{
    int fds[2];
    pthread_t reader;
    cfut_executor *ex;

    ck_assert_int_eq(pipe(fds), 0);
    nothing_comes = fdopen(fds[0], "r");
    reader = thread_start(read_nothing, NULL);
    await(&board->started, 1);
    test_sleep(CFUT_MS(50));            /* until it is in the call; else it tests less */
    threads_to_see = 2;
    ex = cfut_process_pool(&(cfut_process_pool_desc){ .start = CFUT_START_FORK });
    ck_assert_int_eq(cfut_executor_status(ex), CFUT_NO_THREADS);
    close(fds[1]);
    thread_end(reader);
    fclose(nothing_comes);
}
END_TEST

START_TEST(threads_are_counted_whatever_the_process_is_called)
{
    pthread_t reader;
    int fds[2], before = cfuti_sys_threads();

    prctl(PR_SET_NAME, ") S 1 (2 3", 0, 0, 0);
    ck_assert_int_eq(cfuti_sys_threads(), before);
    ck_assert_int_eq(pipe(fds), 0);
    nothing_comes = fdopen(fds[0], "r");
    reader = thread_start(read_nothing, NULL);
    if (before) ck_assert_int_gt(cfuti_sys_threads(), before);  /* a sanitizer has its own, too */
    close(fds[1]);
    thread_end(reader);
    fclose(nothing_comes);
}
END_TEST

static void hold_manager(cfut_future *f, void *unused)
{
    (void)f;
    (void)unused;
    atomic_store(&board->told, 1);
    await(&board->child, 1);
}

/* In the child: 0 if a pool works there. */
static int pool_in_child(void)
{
    cfut_executor *ex;
    get_pid_future f;

    threads_to_see = 1;                 /* the child has no more */
    ex = cfut_process_pool(&(cfut_process_pool_desc){
        .max_workers = 1, .start = CFUT_START_FORK });
    if (cfut_executor_status(ex) != CFUT_OK) return 1;
    get_pid_submit(ex, &f, 0);
    if (get_pid_result(&f) != CFUT_OK) return 2;
    return cfut_shutdown(ex, CFUT_DRAIN) == CFUT_OK ? 0 : 3;
}

/* Two threads ask for a fork at once: each is refused, and takes nobody's gate. */
static void *ask_for_forks(void *unused)
{
    for (int i = 0; i < 20; i++) {
        cfut_executor *ex = cfut_process_pool(&(cfut_process_pool_desc){
            .max_workers = 1, .start = CFUT_START_FORK });

        cfut_shutdown(ex, CFUT_DRAIN);
    }
    return unused;
}

START_TEST(threads_that_ask_for_forks_at_once_leave_other_pools_alone)
{
    cfut_executor *ex = pool_with((cfut_process_pool_desc){ .max_workers = 1 });
    get_pid_future f;
    pthread_t threads[2];

    for (int i = 0; i < 2; i++) threads[i] = thread_start(ask_for_forks, NULL);
    for (int i = 0; i < 2; i++) thread_end(threads[i]);
    get_pid_submit(ex, &f, 1);
    ck_assert_int_eq(get_pid_result(&f), CFUT_OK);
    end_by(ex, CFUT_DRAIN);
}
END_TEST

/* The copies of the parent's pools must not be waited for, nor counted. */
START_TEST(forked_child_makes_a_pool_by_fork_while_the_parents_manager_is_busy)
{
    cfut_executor *ex = pool_with((cfut_process_pool_desc){ .max_workers = 1 });
    stay_future f;
    bool child_threads = !UNDER_TSAN && !EMULATED;      /* neither starts some there */
    int status = 0;
    pid_t pid;

    stay_submit(ex, &f, 0);
    ck_assert_int_eq(cfut_on_done(&f.base, hold_manager, NULL), CFUT_OK);
    atomic_store(&board->go, 1);
    await(&board->told, 1);
    pid = child_threads ? fork() : 0;
    if (child_threads && pid == 0) _exit(pool_in_child());
    while (child_threads && waitpid(pid, &status, 0) < 0 && errno == EINTR) { }
    ck_assert_int_eq(status, 0);
    atomic_store(&board->child, 1);
    ck_assert_int_eq(stay_result(&f), CFUT_OK);
    end_by(ex, CFUT_DRAIN);
}
END_TEST

static void fork_and_come_back(cfut_future *f, void *unused)
{
    pid_t pid = fork();

    (void)f;
    (void)unused;
    if (pid > 0) atomic_store(&board->child, (int)pid);
}

/* There the pool is gone: so the library must not mourn it, and kill its workers. */
START_TEST(child_that_comes_back_from_a_callback_leaves_the_parents_workers_alone)
{
    cfut_executor *ex = pool_with((cfut_process_pool_desc){ .max_workers = 1 });
    stay_future f;
    int worker = pid_of_worker(ex);

    if (UNDER_TSAN || UNDER_ASAN) {     /* they complain when the thread that forked ends */
        end_by(ex, CFUT_DRAIN);
        return;
    }
    stay_submit(ex, &f, 0);
    ck_assert_int_eq(cfut_on_done(&f.base, fork_and_come_back, NULL), CFUT_OK);
    atomic_store(&board->go, 1);
    ck_assert_int_eq(stay_result(&f), CFUT_OK);
    await_end(atomic_load(&board->child));
    ck_assert_int_eq(waitpid(atomic_load(&board->child), NULL, 0), atomic_load(&board->child));
    ck_assert_int_eq(pid_of_worker(ex), worker);
    end_by(ex, CFUT_DRAIN);
}
END_TEST

/* ---- memory ---- */

typedef struct large { char bytes[1 << 20]; } large;

static int first_byte(const large *in, int *out)
{
    *out = in->bytes[0];
    return CFUT_OK;
}
CFUT_TASK(first_byte, large, int);

START_TEST(task_whose_argument_finds_no_memory_fails)
{
    static first_byte_future f;
    static large in;
    cfut_executor *ex = pool_with((cfut_process_pool_desc){ .max_workers = 1 });

    pid_of_worker(ex);
    no_more_maps = true;
    first_byte_submit(ex, &f, in);
    ck_assert_int_eq(first_byte_result_timeout(&f, patience()), CFUT_NO_MEMORY);
    no_more_maps = false;
    first_byte_submit(ex, &f, in);
    ck_assert_int_eq(first_byte_result_timeout(&f, patience()), CFUT_OK);
    end_by(ex, CFUT_DRAIN);
}
END_TEST

/* One that waits in the list, as it comes before there is a worker. */
START_TEST(queued_task_whose_argument_finds_no_memory_fails)
{
    static first_byte_future f;
    static large in;
    cfut_executor *ex = pool_with((cfut_process_pool_desc){ .max_workers = 1 });

    no_more_maps = true;
    first_byte_submit(ex, &f, in);
    ck_assert_int_eq(first_byte_result_timeout(&f, patience()), CFUT_NO_MEMORY);
    no_more_maps = false;
    pid_of_worker(ex);
    end_by(ex, CFUT_DRAIN);
}
END_TEST

/* Only the write would have shown it, by SIGBUS. */
START_TEST(task_whose_argument_finds_the_folder_full_fails)
{
    static first_byte_future f;
    static large in;
    cfut_executor *ex = pool_with((cfut_process_pool_desc){ .max_workers = 1 });

    pid_of_worker(ex);
    folder_is_full = true;
    first_byte_submit(ex, &f, in);
    ck_assert_int_eq(first_byte_result_timeout(&f, patience()), CFUT_NO_MEMORY);
    ck_assert_int_eq(cfut_executor_status(cfut_process_pool(&(cfut_process_pool_desc){
        .start = CFUT_START_FORK })), CFUT_NO_MEMORY);
    folder_is_full = false;
    first_byte_submit(ex, &f, in);
    ck_assert_int_eq(first_byte_result_timeout(&f, patience()), CFUT_OK);
    end_by(ex, CFUT_DRAIN);
}
END_TEST

static int copy_byte(const char *in, char *out)
{
    *out = *in;
    return CFUT_OK;
}
CFUT_TASK(copy_byte, char, char);

/* Their sum, with a status, is 0. */
START_TEST(map_of_items_of_absurd_sizes_is_refused)
{
    static const cfut_task absurd = {
        copy_byte_thunk, "absurd", SIZE_MAX / 2 + 1, SIZE_MAX / 2 + 1 - sizeof(int32_t) };
    cfut_executor *ex = pool_with((cfut_process_pool_desc){ .max_workers = 1 });
    char in = 0, out = 0;

    ck_assert_int_eq(cfut_map(ex, &absurd, &in, &out, 1, NULL), CFUT_INVALID);
    end_by(ex, CFUT_DRAIN);
}
END_TEST

/* Where files may not be large, the memory of a worker is small. */
START_TEST(chunk_whose_statuses_do_not_fit_is_refused)
{
    struct rlimit limit;
    cfut_executor *ex;
    size_t n, other = 0;
    char *in;
    int *status;

    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = 64 << 20;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ex = pool_with((cfut_process_pool_desc){ .max_workers = 1 });
    n = (size_t)cfuti_procs_of(ex)->layout.bulk / 4;
    in = calloc(n, 1);
    status = calloc(n, sizeof *status);
    ck_assert(in && status);
    copy_byte_map_with(ex, in, in, n, &(cfut_map_desc){ .chunksize = n, .status = status });
    for (size_t i = 0; i < n; i++) other += status[i] != CFUT_OK && status[i] != CFUT_INVALID;
    ck_assert_uint_eq(other, 0);
    free(in);
    free(status);
    end_by(ex, CFUT_DRAIN);
}
END_TEST

/* ---- what a task does to its process ---- */

static int close_all(const int *unused, int *pid)
{
    for (int fd = 0; fd < 1024; fd++) close(fd);
    return get_pid(unused, pid);
}
CFUT_TASK(close_all, int, int);

START_TEST(task_that_closes_all_descriptors_ends)
{
    cfut_executor *ex = pool_with((cfut_process_pool_desc){ .max_workers = 1 });

    for (int i = 0; i < 10; i++) {
        close_all_future f;

        close_all_submit(ex, &f, 0);
        ck_assert_int_eq(close_all_result_timeout(&f, patience()), CFUT_OK);
    }
    pid_of_worker(ex);
    end_by(ex, CFUT_DRAIN);
}
END_TEST

/* Both return from here. */
static int split(const int *unused, int *pid)
{
    if (fork() == 0) atomic_store(&board->child, (int)getpid());
    else await(&board->child, 1);
    return get_pid(unused, pid);
}
CFUT_TASK(split, int, int);

START_TEST(child_of_a_task_is_no_second_worker)
{
    cfut_executor *ex = pool_with((cfut_process_pool_desc){ .start = CFUT_START_FORK });
    split_future f;
    int pid = pid_of_worker(ex);

    split_submit(ex, &f, 0);
    ck_assert_int_eq(split_result_timeout(&f, patience()), CFUT_OK);
    ck_assert_int_eq(f.out, pid);
    await_end(atomic_load(&board->child));
    for (int i = 0; i < 100; i++) ck_assert_int_eq(pid_of_worker(ex), pid);
    end_by(ex, CFUT_DRAIN);
}
END_TEST

/* There is no board. The child tells by its end, which its parent waits for. */
static int split_alone(const int *unused, int *pid)
{
    int status = 0;
    pid_t child = fork();

    if (child > 0 && (waitpid(child, &status, 0) != child || status)) return CFUT_FAILED;
    return get_pid(unused, pid);
}
CFUT_TASK(split_alone, int, int);

START_TEST(child_of_a_task_is_no_second_worker_when_the_program_is_executed_again)
{
    cfut_executor *ex = pool_with((cfut_process_pool_desc){ .start = CFUT_START_EXEC });
    split_alone_future f;
    int pid = pid_of_worker(ex);

    split_alone_submit(ex, &f, 0);
    ck_assert_int_eq(split_alone_result_timeout(&f, patience()), CFUT_OK);
    ck_assert_int_eq(f.out, pid);
    end_by(ex, CFUT_DRAIN);
}
END_TEST

/* Bit n: descriptor n is open, and would be for a program that the task starts. */
static int inherited(const int *unused, int *fds)
{
    (void)unused;
    *fds = 0;
    for (int fd = 3; fd < 31; fd++) {
        int flags = fcntl(fd, F_GETFD);

        if (flags >= 0 && !(flags & FD_CLOEXEC)) *fds |= 1 << fd;
    }
    return CFUT_OK;
}
CFUT_TASK(inherited, int, int);

/* The trace is what main leaves if it runs on where a helper was to be. */
START_TEST(program_that_lacks_descriptors_is_not_executed_as_a_second_one)
{
    struct rlimit limit, less;
    char trace[64];
    int lowest = dup(0);

    close(lowest);
    snprintf(trace, sizeof trace, "/tmp/cfut-test-trace-%ld", (long)getpid());
    unlink(trace);
    setenv("CFUT_TEST_TRACE", trace, 1);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    less = limit;
    for (int n = 0; n < 12; n++) {
        cfut_executor *ex;

        less.rlim_cur = (rlim_t)(lowest + n);
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &less), 0);
        ex = cfut_process_pool(&(cfut_process_pool_desc){ .start = CFUT_START_EXEC });
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
        ck_assert_int_ne(access(trace, F_OK), 0);
        end_by(ex, CFUT_DRAIN);
    }
    unsetenv("CFUT_TEST_TRACE");
}
END_TEST

static void check_inherited(int start)
{
    int pipes[2];
    struct pollfd end;
    cfut_executor *ex;
    inherited_future f;

    ck_assert_int_eq(pipe(pipes), 0);
    ex = pool_with((cfut_process_pool_desc){ .start = start });
    inherited_submit(ex, &f, 0);
    ck_assert_int_eq(inherited_result_timeout(&f, patience()), CFUT_OK);
    ck_assert_int_eq(f.out, 0);
    close(pipes[1]);
    end.fd = pipes[0];
    end.events = POLLIN;
    ck_assert_int_eq(poll(&end, 1, 0), 1);      /* the end of file: nobody else has it */
    close(pipes[0]);
    end_by(ex, CFUT_DRAIN);
}

START_TEST(descriptors_of_the_host_stay_there_by_fork) { check_inherited(CFUT_START_FORK); }
END_TEST

START_TEST(descriptors_of_the_host_stay_there_by_exec) { check_inherited(CFUT_START_EXEC); }
END_TEST

static int hang_up(const int *unused, int *out)
{
    (void)unused;
    *out = 0;
    raise(SIGHUP);
    return CFUT_OK;
}
CFUT_TASK(hang_up, int, int);

START_TEST(hangup_is_ignored_by_workers_of_a_host_that_ignores_it)
{
    signal(SIGHUP, SIG_IGN);
    for (int start = CFUT_START_EXEC; start <= CFUT_START_FORK; start++) {
        cfut_executor *ex = pool_with((cfut_process_pool_desc){ .start = start });
        hang_up_future f;

        hang_up_submit(ex, &f, 0);
        ck_assert_int_eq(hang_up_result_timeout(&f, patience()), CFUT_OK);
        end_by(ex, CFUT_DRAIN);
    }
    signal(SIGHUP, SIG_DFL);
}
END_TEST

/* What a wild pointer may do: says that the next task, which was taken back, is
   done. */
static int scribble(const int *unused, int *out)
{
    uint32_t *word = &cfuti_this_child->reports->slot[1].word;

    (void)unused;
    atomic_fetch_add(&board->started, 1);
    while (*(volatile uint32_t *)word != CFUTI_WORD(1, CFUTI_TAKEN_SLOT)) test_sleep(CFUT_US(200));
    cfuti_store_release(word, CFUTI_WORD(1, CFUTI_DONE_SLOT));
    cfuti_this_child->reports->slot[0].took = INT64_MAX;
    *out = 1;
    return CFUT_OK;
}
CFUT_TASK(scribble, int, int);

START_TEST(word_that_says_done_of_a_task_taken_back_is_not_believed)
{
    cfut_executor *ex = pool_with((cfut_process_pool_desc){ .queue_depth = 8 });
    scribble_future f;
    get_pid_future behind, last;

    scribble_submit(ex, &f, 0);
    await(&board->started, 1);
    get_pid_submit(ex, &behind, 0);
    get_pid_submit(ex, &last, 0);
    ck_assert(cfut_cancel(&behind.base));
    ck_assert_int_eq(scribble_result_timeout(&f, patience()), CFUT_OK);
    get_pid_result_timeout(&last, patience());
    ck_assert(cfut_done(&last.base));
    end_by(ex, CFUT_DRAIN);
}
END_TEST

static void fill(TCase *tc)
{
    tcase_add_checked_fixture(tc, board_make, NULL);
    tcase_add_test(tc, map_when_worker_dies_at_claim_takes_nothing_of_an_older_chunk);
    tcase_add_test(tc, break_pool_holds_for_a_worker_that_was_to_be_replaced);
    tcase_add_test(tc, task_that_gives_in_within_the_grace_costs_the_next_one_nothing);
    tcase_add_test(tc, cancel_of_a_task_that_is_just_done_kills_nobody);
    tcase_add_test(tc, kill_workers_after_terminate_workers_kills);
    tcase_add_test(tc, kill_workers_when_a_task_was_handed_over_but_not_begun_ends_the_pool);
    tcase_add_test(tc, time_limit_shorter_than_a_wake_up_ends_the_task);
    tcase_add_test(tc, task_that_a_stopped_worker_has_not_begun_goes_to_another_after_its_limit);
    tcase_add_test(tc, cancel_that_may_kill_takes_out_what_was_handed_over_but_not_begun);
    tcase_add_test(tc, time_limit_of_centuries_is_not_a_short_one);
    tcase_add_test(tc, submit_that_a_shutdown_overtakes_is_refused);
    tcase_add_test(tc, submit_that_a_break_and_a_shutdown_overtake_is_refused);
    tcase_add_test(tc,
                   callback_that_ends_the_manager_when_no_thread_can_start_leaves_the_pool_working);
    tcase_add_test(tc, submit_by_a_thread_that_is_cancelled_leaves_the_pool_working);
    tcase_add_test(tc, threads_are_counted_whatever_the_process_is_called);
    tcase_add_test(tc, pool_by_fork_while_a_thread_reads_a_stream_is_refused);
    tcase_add_test(tc, threads_that_ask_for_forks_at_once_leave_other_pools_alone);
    tcase_add_test(tc, forked_child_makes_a_pool_by_fork_while_the_parents_manager_is_busy);
    tcase_add_test(tc, child_that_comes_back_from_a_callback_leaves_the_parents_workers_alone);
    tcase_add_test(tc, task_whose_argument_finds_no_memory_fails);
    tcase_add_test(tc, queued_task_whose_argument_finds_no_memory_fails);
    tcase_add_test(tc, task_whose_argument_finds_the_folder_full_fails);
    tcase_add_test(tc, map_of_items_of_absurd_sizes_is_refused);
    tcase_add_test(tc, chunk_whose_statuses_do_not_fit_is_refused);
    tcase_add_test(tc, task_that_closes_all_descriptors_ends);
    tcase_add_test(tc, child_of_a_task_is_no_second_worker);
    tcase_add_test(tc, child_of_a_task_is_no_second_worker_when_the_program_is_executed_again);
    tcase_add_test(tc, program_that_lacks_descriptors_is_not_executed_as_a_second_one);
    tcase_add_test(tc, descriptors_of_the_host_stay_there_by_fork);
    tcase_add_test(tc, descriptors_of_the_host_stay_there_by_exec);
    tcase_add_test(tc, hangup_is_ignored_by_workers_of_a_host_that_ignores_it);
    tcase_add_test(tc, word_that_says_done_of_a_task_taken_back_is_not_believed);
}

int main(int argc, char **argv)
{
    const char *path;

    cfut_process_main(&argc, &argv);
    path = getenv("CFUT_TEST_TRACE");
    if (path) return creat(path, 0600) < 0;
    return harness_main("process_races", fill);
}
