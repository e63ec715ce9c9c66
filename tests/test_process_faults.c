/* test_process_faults.c: what the process pool does when the system refuses it
   memory, descriptors, threads or processes: a status, and nothing is left behind. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

static int fault_file(uint64_t size);
static void *fault_map(int fd, uint64_t at, size_t size, bool writable);
static bool fault_bell(int fds[2]);
static bool fault_channel(int fds[2]);
static pid_t fault_spawn(const int fds[3]);
static pid_t fault_fork_helper(void);
static pid_t fault_fork_worker(void);
#define cfuti_file fault_file
#define cfuti_map fault_map
#define cfuti_bell fault_bell
#define cfuti_channel fault_channel
#define cfuti_spawn fault_spawn
#define cfuti_fork_helper fault_fork_helper
#define cfuti_fork_worker fault_fork_worker
#define HARNESS_FAULTS
#include "process.h"

/* ---- the layer ---- */

static struct fault fault_system;       /* all of these but the worker's fork */

static int fault_file(uint64_t size)
{
    return fault_strikes(&fault_system) ? -1 : cfuti_sys_file(size);
}

static void *fault_map(int fd, uint64_t at, size_t size, bool writable)
{
    return fault_strikes(&fault_system) ? NULL : cfuti_sys_map(fd, at, size, writable);
}

static bool fault_bell(int fds[2]) { return !fault_strikes(&fault_system) && cfuti_sys_bell(fds); }

static bool fault_channel(int fds[2])
{
    return !fault_strikes(&fault_system) && cfuti_sys_channel(fds);
}

static pid_t fault_spawn(const int fds[3])
{
    return fault_strikes(&fault_system) ? -1 : cfuti_sys_spawn(fds);
}

static pid_t fault_fork_helper(void)
{
    return fault_strikes(&fault_system) ? -1 : cfuti_sys_fork();
}

/* In the helper: as many fail as the board says, after as many that succeed. */
enum { FORKS_FAILING, FORKS_BEFORE };   /* of n */

static pid_t fault_fork_worker(void)
{
    struct board *b = board();

    if (atomic_fetch_sub(&b->n[FORKS_BEFORE], 1) > 0) return cfuti_sys_fork();
    if (atomic_fetch_sub(&b->n[FORKS_FAILING], 1) <= 0) return cfuti_sys_fork();
    errno = EAGAIN;
    return -1;
}

/* ---- helpers ---- */

static cfut_executor *try_procs(int workers)
{
    return cfut_process_pool(&(cfut_process_pool_desc){ .max_workers = workers, .start = START });
}

static void assert_works(cfut_executor *ex)
{
    square_future f;

    square_submit(ex, &f, 6);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, 36);
}

/* What was refused before may strike for a moment longer. */
static void await_works(cfut_executor *ex)
{
    cfut_ns end = process_deadline();
    square_future f;

    do {
        square_submit(ex, &f, 6);
        if (square_result(&f) == CFUT_OK) return;
        ck_assert_int_eq(square_result(&f), CFUT_NO_THREADS);
    } while (test_now() < end);
    ck_abort_msg("no worker is started any more");
}

/* The only one. */
static void kill_worker(cfut_executor *ex)
{
    own_pid_future f;

    own_pid_submit(ex, &f, 0);
    ck_assert_int_eq(own_pid_result(&f), CFUT_OK);
    kill(f.out, SIGKILL);
    await_process_gone(f.out);
    while (cfut_executor_workers(ex)) test_sleep(CFUT_US(200));
}

static void assert_refused(cfut_executor *ex)
{
    int status = cfut_executor_status(ex);
    square_future f;

    ck_assert_msg(status == CFUT_NO_MEMORY || status == CFUT_NO_THREADS, "status %d", status);
    square_submit(ex, &f, 6);
    ck_assert_int_eq(square_result(&f), status);
    ck_assert_uint_eq(cfut_executor_workers(ex), 0);
    ck_assert_int_eq(cfut_shutdown(ex, CFUT_DRAIN), CFUT_OK);
}

/* ---- creation ---- */

/* SEM 97: a thread that cannot be started is one of them */
START_TEST(creation_when_anything_fails_is_refused_and_leaves_nothing)
{
    struct fault *kinds[] = { &fault_memory, &fault_threads, &fault_system }, *fault = kinds[_i];
    cfut_executor *ex;
    long k, live;

    end_pool(procs(3));                 /* what is made once is made */
    for (k = 1;; k++) {
        int before = open_descriptors();

        live = fault_live(&fault_memory);
        fault_at(fault, k, false);
        ex = try_procs(3);
        fault_at(fault, 0, false);
        if (cfut_executor_status(ex) == CFUT_OK) break;
        assert_refused(ex);
        assert_no_child();
        ck_assert_int_eq(open_descriptors(), before);
        ck_assert_int_eq((int)fault_live(&fault_memory), (int)live);
    }
    ck_assert_int_gt((int)k, _i == 2 ? 9 : 1);
    assert_works(ex);
    end_pool(ex);
}
END_TEST

/* With so few descriptors left that not all can be had. The helper must not take
   others for its own, and not be the whole program once more. */
START_TEST(creation_without_descriptors_is_refused_and_leaves_nothing)
{
    struct rlimit limit, few;
    int plug[64], n = 0, worked = 0;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    few = limit;
    few.rlim_cur = 40;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    while (n < 64 && (plug[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0) n++;
    for (int left = 0; left < 16; left++) {
        int before;
        cfut_executor *ex;

        if (left) close(plug[--n]);
        before = left > 1 ? open_descriptors() : 0;     /* it takes one itself */
        ex = try_procs(1);
        if (cfut_executor_status(ex) != CFUT_OK) {
            assert_refused(ex);
        } else {
            square_future f;
            int status;

            square_submit(ex, &f, 6);
            status = square_result(&f);
            ck_assert(status == CFUT_OK || status == CFUT_NO_THREADS || status == CFUT_NO_MEMORY);
            worked += status == CFUT_OK;
            end_pool(ex);
        }
        assert_no_child();
        if (left > 1) ck_assert_int_eq(open_descriptors(), before);
    }
    while (n) close(plug[--n]);
    setrlimit(RLIMIT_NOFILE, &limit);
    ck_assert_int_gt(worked, 0);
}
END_TEST

/* It should begin by telling the host, and nothing else. */
START_TEST(creation_when_the_program_does_not_answer_is_refused_and_leaves_nothing)
{
    static char none[] = "/bin/true", shell[] = "/bin/sh", option[] = "-c";
    static char chat[] = "head -c 4096 /dev/zero | tr '\\000' x >&3; exec sleep 60";
    static char *argvs[][4] = { { none, NULL }, { shell, option, chat, NULL } };
    char *program = cfuti_program, **old = cfuti_argv;
    int before = open_descriptors();

    if (START_IS_FORK) return;
    cfuti_program = argvs[_i][0];
    cfuti_argv = argvs[_i];
    assert_refused(try_procs(1));
    cfuti_program = program;
    cfuti_argv = old;
    assert_no_child();
    ck_assert_int_eq(open_descriptors(), before);
}
END_TEST

/* ---- workers that cannot be started ---- */

START_TEST(task_is_refused_when_no_worker_can_be_forked)
{
    cfut_executor *ex = procs(2);
    square_future f[3];

    atomic_store(&board()->n[FORKS_FAILING], 1000);
    for (int i = 0; i < 3; i++) square_submit(ex, &f[i], i);
    for (int i = 0; i < 3; i++) ck_assert_int_eq(square_result(&f[i]), CFUT_NO_THREADS);
    atomic_store(&board()->n[FORKS_FAILING], 0);
    await_works(ex);
    end_pool(ex);
}
END_TEST

START_TEST(pool_goes_on_with_the_workers_that_it_has)
{
    enum { N = 20 };
    cfut_executor *ex = procs(3);
    square_future f[N];
    struct busy_procs busy;

    occupy_procs(&busy, ex);
    atomic_store(&board()->n[FORKS_FAILING], 1000);
    for (int i = 0; i < N; i++) square_submit(ex, &f[i], i);
    test_sleep(CFUT_MS(20));
    free_procs(&busy);
    for (int i = 0; i < N; i++) ck_assert_int_eq(square_result(&f[i]), CFUT_OK);
    atomic_store(&board()->n[FORKS_FAILING], 0);
    end_pool(ex);
}
END_TEST

/* Of n forks at first some work; the pool gets the others later. */
START_TEST(pool_grows_when_workers_can_be_forked_again)
{
    cfut_executor *ex = procs(3);
    stay_future f[3];

    atomic_store(&board()->n[FORKS_BEFORE], 1);
    atomic_store(&board()->n[FORKS_FAILING], 2);
    for (int i = 0; i < 3; i++) stay_submit(ex, &f[i], i);
    await_count(&board()->started, 3);
    atomic_store(&board()->go, 1);
    for (int i = 0; i < 3; i++) ck_assert_int_eq(stay_result(&f[i]), CFUT_OK);
    end_pool(ex);
}
END_TEST

static void allow_descriptors(bool any)
{
    static struct rlimit limit;
    struct rlimit none;

    if (!any) ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 0;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, any ? &limit : &none), 0);
}

/* Where a worker sleeps in a descriptor the host gets the other end, if it has room. */
START_TEST(worker_whose_bell_finds_no_descriptor_is_none)
{
    cfut_executor *ex = procs_with((cfut_process_pool_desc){
        .max_workers = 1 + _i, .on_worker_death = _i ? CFUT_BREAK_POOL : CFUT_FAIL_TASK });
    square_future f[3];

    for (int round = 0; round < 6 && !CFUTI_FUTEX; round++) {
        allow_descriptors(false);
        for (int i = 0; i < 3; i++) square_submit(ex, &f[i], i);
        for (int i = 0; i < 3; i++) ck_assert_int_eq(square_result(&f[i]), CFUT_NO_THREADS);
        allow_descriptors(true);
        if (round % 2 == 0) continue;
        await_works(ex);
        if (_i == 0) kill_worker(ex);
        else break;
    }
    end_pool(ex);
}
END_TEST

START_TEST(pool_goes_on_without_a_worker_whose_bell_finds_no_descriptor)
{
    enum { N = 20 };
    cfut_executor *ex = procs(3);
    struct busy_procs busy;
    square_future f[N];

    occupy_procs(&busy, ex);
    square_submit(ex, &f[0], 1);        /* where its place must be looked up: now */
    ck_assert_int_eq(square_result(&f[0]), CFUT_OK);
    allow_descriptors(false);
    for (int i = 0; i < N; i++) square_submit(ex, &f[i], i);
    test_sleep(CFUT_MS(20));
    free_procs(&busy);
    for (int i = 0; i < N; i++) ck_assert_int_eq(square_result(&f[i]), CFUT_OK);
    allow_descriptors(true);
    end_pool(ex);
}
END_TEST

START_TEST(shutdown_when_no_worker_can_be_forked_ends)
{
    cfut_executor *ex = procs(2);
    square_future f[3];

    atomic_store(&board()->n[FORKS_FAILING], 1000);
    for (int i = 0; i < 3; i++) square_submit(ex, &f[i], i);
    end_pool(ex);
    for (int i = 0; i < 3; i++) ck_assert_int_eq(square_result(&f[i]), CFUT_NO_THREADS);
}
END_TEST

/* ---- while it runs ---- */

enum { LARGE = 1 << 20 };

static int fill_large(const void *in, void *out)
{
    memset(out, *(const char *)in, LARGE);
    return CFUT_OK;
}
static const cfut_task large_task = { fill_large, "fill_large", 1, LARGE };

START_TEST(large_task_without_memory_fails_alone)
{
    cfut_executor *ex = procs(1);
    char in = 5, *out = malloc(LARGE);
    cfut_future f[3];

    ck_assert_ptr_nonnull(out);
    if (_i) assert_works(ex);           /* else it waits for its worker first */
    fault_at(&fault_system, 1, true);
    for (int i = 0; i < 3; i++) cfut_submit(ex, &f[i], &large_task, &in, out);
    for (int i = 0; i < 3; i++) ck_assert_int_eq(cfut_result(&f[i]), CFUT_NO_MEMORY);
    assert_works(ex);
    fault_at(&fault_system, 0, false);
    cfut_submit(ex, &f[0], &large_task, &in, out);
    ck_assert_int_eq(cfut_result(&f[0]), CFUT_OK);
    ck_assert_int_eq(out[LARGE - 1], 5);
    end_pool(ex);
    free(out);
}
END_TEST

START_TEST(submit_result_cancel_and_shutdown_never_allocate)
{
    enum { N = 200 };
    static square_future f[N];
    cfut_executor *ex = procs(2);
    die_future bad;

    fault_at(&fault_memory, 1, true);
    for (int i = 0; i < N; i++) square_submit(ex, &f[i], i);
    die_submit(ex, &bad, BY_SIGKILL);
    cfut_cancel(&f[N - 1].base);
    for (int i = 0; i < N - 1; i++) ck_assert_int_eq(square_result(&f[i]), CFUT_OK);
    ck_assert_int_eq(die_result(&bad), CFUT_WORKER_DIED);
    end_pool(ex);
    ck_assert_int_eq((int)fault_seen(&fault_memory), 0);
    fault_at(&fault_memory, 0, false);
}
END_TEST

/* Each thing in turn that can be refused, once or from then on, in all that a pool does:
   documented answers, and nothing is left behind. */
static void run_process_scene(void)
{
    enum { N = 6, ITEMS = 20 };
    cfut_executor *ex = try_procs(2);
    square_future f[N];
    die_future bad;
    cfut_future large;
    int in[ITEMS], out[ITEMS], statuses[ITEMS], status;
    char x = 3, *block = malloc(LARGE);

    ck_assert_ptr_nonnull(block);
    for (int i = 0; i < N; i++) square_submit(ex, &f[i], i);
    die_submit(ex, &bad, BY_SIGKILL);
    cfut_submit(ex, &large, &large_task, &x, block);
    cfut_cancel(&f[N - 1].base);
    for (int i = 0; i < N; i++) {
        status = square_result(&f[i]);
        ck_assert_msg(fault_allows(status) || (i == N - 1 && status == CFUT_CANCELLED),
                      "status %d", status);
        if (status == CFUT_OK) ck_assert_int_eq(f[i].out, i * i);
    }
    status = die_result(&bad);
    ck_assert_msg(status == CFUT_WORKER_DIED || (status && fault_allows(status)), "%d", status);
    status = cfut_result(&large);
    ck_assert_msg(fault_allows(status), "status %d", status);
    if (status == CFUT_OK) ck_assert_int_eq(block[LARGE - 1], 3);
    for (int i = 0; i < ITEMS; i++) in[i] = i;
    status = square_map_with(ex, in, out, ITEMS, &(cfut_map_desc){ .status = statuses });
    ck_assert_msg(fault_allows(status), "status %d", status);
    for (int i = 0; i < ITEMS; i++) {
        ck_assert(fault_allows(statuses[i]));
        if (statuses[i] == CFUT_OK) ck_assert_int_eq(out[i], i * i);
    }
    ck_assert_int_eq(cfut_shutdown(ex, CFUT_DRAIN), CFUT_OK);
    free(block);
}

START_TEST(all_that_a_pool_does_with_each_thing_refused)
{
    struct fault *kinds[] = { &fault_memory, &fault_threads, &fault_system };
    struct fault *fault = kinds[_i / 2];
    long k = 1, seen;

    run_process_scene();                /* what is made once is made */
    do {
        int before = open_descriptors();

        fault_at(fault, k, _i & 1);
        run_process_scene();
        seen = fault_seen(fault);
        fault_at(fault, 0, false);
        assert_no_child();
        ck_assert_int_eq(open_descriptors(), before);
        ck_assert_int_eq((int)fault_live(&fault_memory), (int)cfuti_procs_graves);
    } while (seen >= k++);
    ck_assert_int_gt((int)k, 2);        /* there was something to refuse */
}
END_TEST

static void leave_thread(cfut_future *f, void *unused)
{
    (void)f;
    (void)unused;
    pthread_exit(NULL);
}

START_TEST(callback_that_ends_the_last_thread_to_be_had_hangs_nothing)
{
    cfut_executor *ex = procs(1);
    struct busy_procs busy;
    square_future f;

    occupy_procs(&busy, ex);
    square_submit(ex, &f, 4);
    cfut_on_done(&busy.f.base, leave_thread, NULL);
    fault_at(&fault_threads, 1, true);
    free_procs(&busy);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    end_pool(ex);
    fault_at(&fault_threads, 0, false);
}
END_TEST

/* ---- */

static void fill(TCase *tc)
{
    tcase_add_loop_test(tc, creation_when_anything_fails_is_refused_and_leaves_nothing, 0, 3);
    if (!EMULATED) tcase_add_test(tc, creation_without_descriptors_is_refused_and_leaves_nothing);
    tcase_add_loop_test(tc, creation_when_the_program_does_not_answer_is_refused_and_leaves_nothing,
                        0, 2);
    tcase_add_test(tc, task_is_refused_when_no_worker_can_be_forked);
    tcase_add_test(tc, pool_goes_on_with_the_workers_that_it_has);
    tcase_add_test(tc, pool_grows_when_workers_can_be_forked_again);
    if (!EMULATED) {
        tcase_add_loop_test(tc, worker_whose_bell_finds_no_descriptor_is_none, 0, 2);
        tcase_add_test(tc, pool_goes_on_without_a_worker_whose_bell_finds_no_descriptor);
    }
    tcase_add_test(tc, shutdown_when_no_worker_can_be_forked_ends);
    tcase_add_loop_test(tc, large_task_without_memory_fails_alone, 0, 2);
    tcase_add_test(tc, submit_result_cancel_and_shutdown_never_allocate);
    tcase_add_loop_test(tc, all_that_a_pool_does_with_each_thing_refused, 0, 6);
    tcase_add_test(tc, callback_that_ends_the_last_thread_to_be_had_hangs_nothing);
}

int main(int argc, char **argv)
{
    return process_main(argc, argv, "process_faults", fill, NULL);
}
