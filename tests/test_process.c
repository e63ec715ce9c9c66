/* test_process.c: the process pool as an executor: results, sizes, cancel,
   waiters, callbacks, map, stream, shutdown; and what must hold for executors of
   every kind alike. Who dies and what then: test_process_death.c. */
#include "process.h"

#include <dlfcn.h>

/* ---- payloads ---- */

/* A task that turns In bytes into Out bytes. */
#define ECHO(name_, In, Out) \
    static int name_(const void *in, void *out) \
    { \
        const unsigned char *from = in; \
        unsigned char *to = out; \
        size_t n = (Out); \
        for (size_t i = 0; i < n; i++) \
            to[i] = (unsigned char)(((In) ? from[i % ((In) ? (In) : 1)] : 7) ^ 0x5a); \
        return CFUT_OK; \
    }

enum { MIB = 1 << 20 };

ECHO(echo_0_0, 0, 0)
ECHO(echo_0_1, 0, 1)
ECHO(echo_1_0, 1, 0)
ECHO(echo_1_1, 1, 1)
ECHO(echo_192_128, 192, 128)
ECHO(echo_193_128, 193, 128)
ECHO(echo_192_129, 192, 129)
ECHO(echo_193_129, 193, 129)
ECHO(echo_mib, MIB, MIB)
ECHO(echo_1_mib, 1, MIB)
ECHO(echo_mib_1, MIB, 1)
ECHO(echo_64_mib, 64 * MIB, 64 * MIB)

static const cfut_task echoes[] = {
    { echo_0_0, "echo_0_0", 0, 0 }, { echo_0_1, "echo_0_1", 0, 1 },
    { echo_1_0, "echo_1_0", 1, 0 }, { echo_1_1, "echo_1_1", 1, 1 },
    { echo_192_128, "echo_192_128", 192, 128 }, { echo_193_128, "echo_193_128", 193, 128 },
    { echo_192_129, "echo_192_129", 192, 129 }, { echo_193_129, "echo_193_129", 193, 129 },
    { echo_mib, "echo_mib", MIB, MIB }, { echo_1_mib, "echo_1_mib", 1, MIB },
    { echo_mib_1, "echo_mib_1", MIB, 1 }, { echo_64_mib, "echo_64_mib", 64 * MIB, 64 * MIB }
};
enum { ECHOES = sizeof echoes / sizeof *echoes };

static unsigned char *filled(size_t n)
{
    unsigned char *p = malloc(n + 1);

    ck_assert_ptr_nonnull(p);
    for (size_t i = 0; i < n; i++) p[i] = (unsigned char)(i * 31 + (i >> 12));
    p[n] = 0xee;
    return p;
}

static void assert_echoed(const cfut_task *task, const unsigned char *in, const unsigned char *out)
{
    for (size_t i = 0; i < task->out_size; i++) {
        unsigned char want = task->in_size ? in[i % task->in_size] : 7;

        if (out[i] != (unsigned char)(want ^ 0x5a))
            ck_abort_msg("%s: byte %lu is wrong", task->name, (unsigned long)i);
    }
    ck_assert_int_eq(out[task->out_size], 0xee);
}

/* SEM 84: what travels is bytes, of any size */
START_TEST(payload_of_any_size_is_carried_there_and_back)
{
    const cfut_task *task = &echoes[_i];
    unsigned char *in = filled(task->in_size), *out = filled(task->out_size);
    cfut_executor *ex = procs(1);
    cfut_future f;

    for (int i = 0; i < (task->in_size > MIB ? 1 : 3); i++) {
        memset(out, 0, task->out_size);
        cfut_submit(ex, &f, task, in, out);
        ck_assert_int_eq(cfut_result(&f), CFUT_OK);
        assert_echoed(task, in, out);
    }
    end_pool(ex);
    free(in);
    free(out);
}
END_TEST

/* All sizes queued at once: the ring of large payloads wraps. */
START_TEST(payloads_of_mixed_sizes_keep_apart)
{
    enum { N = 200, KINDS = ECHOES - 1 };
    cfut_executor *ex = procs(test_workers());
    cfut_future f[N];
    unsigned char *in[N], *out[N];

    for (int i = 0; i < N; i++) {
        const cfut_task *task = &echoes[i % KINDS];

        in[i] = filled(task->in_size);
        out[i] = filled(task->out_size);
        if (task->in_size) in[i][0] = (unsigned char)i;
        cfut_submit(ex, &f[i], task, in[i], out[i]);
    }
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(cfut_result(&f[i]), CFUT_OK);
        assert_echoed(&echoes[i % KINDS], in[i], out[i]);
        free(in[i]);
        free(out[i]);
    }
    end_pool(ex);
}
END_TEST

START_TEST(submit_without_buffers_that_the_task_needs_is_invalid)
{
    cfut_executor *ex = procs(1);
    cfut_future f;
    int x = 3;

    cfut_submit(ex, &f, &square_task, NULL, &x);
    ck_assert_int_eq(cfut_result(&f), CFUT_INVALID);
    cfut_submit(ex, &f, &square_task, &x, NULL);
    ck_assert_int_eq(cfut_result(&f), CFUT_INVALID);
    end_pool(ex);
}
END_TEST

START_TEST(submit_of_absurd_size_is_invalid)
{
    static const cfut_task absurd = { echo_0_0, "absurd", SIZE_MAX / 2, 0 };
    cfut_executor *ex = procs(1);
    cfut_future f;
    int x = 3;

    cfut_submit(ex, &f, &absurd, &x, NULL);
    ck_assert_int_eq(cfut_result(&f), CFUT_INVALID);
    end_pool(ex);
}
END_TEST

/* ---- results and errors ---- */

/* SEM 82: workers */
START_TEST(tasks_run_in_other_processes_and_give_results)
{
    enum { N = 500 };
    cfut_executor *ex = procs(test_workers());
    static square_future f[N];
    own_pid_future pid;

    for (int i = 0; i < N; i++) square_submit(ex, &f[i], i);
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(square_result(&f[i]), CFUT_OK);
        ck_assert_int_eq(f[i].out, i * i);
    }
    own_pid_submit(ex, &pid, 0);
    ck_assert_int_eq(own_pid_result(&pid), CFUT_OK);
    ck_assert_int_ne(pid.out, (int)getpid());
    ck_assert_uint_eq(cfut_executor_max_workers(ex), (size_t)test_workers());
    end_pool(ex);
}
END_TEST

/* SEM 83: workers start on demand, idle ones are used again */
START_TEST(idle_worker_is_reused_before_another_starts)
{
    cfut_executor *ex = procs(3);
    own_pid_future f;
    int first = 0;

    ck_assert_uint_eq(cfut_executor_workers(ex), 0);
    for (int i = 0; i < 20; i++) {
        own_pid_submit(ex, &f, 0);
        ck_assert_int_eq(own_pid_result(&f), CFUT_OK);
        if (!first) first = f.out;
        ck_assert_int_eq(f.out, first);
    }
    ck_assert_uint_eq(cfut_executor_workers(ex), 1);
    end_pool(ex);
}
END_TEST

START_TEST(as_many_workers_as_tasks_run_at_once)
{
    enum { MOST = 64 };
    int n = test_workers();
    cfut_executor *ex = procs(n);
    stay_future f[MOST];

    ck_assert_int_le(n, MOST);
    for (int i = 0; i < n; i++) stay_submit(ex, &f[i], i);
    await_count(&board()->started, n);
    ck_assert_uint_eq(cfut_executor_workers(ex), (size_t)n);
    atomic_store(&board()->go, 1);
    for (int i = 0; i < n; i++) {
        ck_assert_int_eq(stay_result(&f[i]), CFUT_OK);
        for (int k = 0; k < i; k++) ck_assert_int_ne(f[i].out, f[k].out);
    }
    end_pool(ex);
}
END_TEST

/* SEM 88: an error is carried back as code and text */
START_TEST(error_and_its_text_are_carried_back)
{
    cfut_executor *ex = procs(1);
    fail_with_future f;

    fail_with_submit(ex, &f, 42);
    ck_assert_int_eq(fail_with_result(&f), 42);
    ck_assert_str_eq(cfut_error(&f.base), "failed with 42");
    fail_with_submit(ex, &f, CFUT_TIMEOUT);
    ck_assert_int_eq(fail_with_result(&f), ETIMEDOUT);
    end_pool(ex);
}
END_TEST

/* SEM 84: one task that cannot travel fails alone */
static int unreachable(const void *in, void *out) { (void)in; (void)out; return CFUT_OK; }

START_TEST(task_whose_code_is_in_no_file_is_invalid_alone)
{
    long page = sysconf(_SC_PAGESIZE);
    void *code = mmap(NULL, (size_t)page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cfut_executor *ex = procs(1);
    cfut_task task = { unreachable, "nowhere", 0, 0 };
    square_future good;
    cfut_future f;

    ck_assert(code != MAP_FAILED);
    memcpy(&task.fn, &code, sizeof code);
#ifndef CFUT_NO_FUTEX               /* without it all code is named by its distance */
    cfut_submit(ex, &f, &task, NULL, NULL);
    ck_assert_int_eq(cfut_result(&f), CFUT_INVALID);
#else
    (void)f;
#endif
    square_submit(ex, &good, 5);
    ck_assert_int_eq(square_result(&good), CFUT_OK);
    end_pool(ex);
    munmap(code, (size_t)page);
}
END_TEST

/* SEM 89: a worker keeps nothing of a task that is over */
START_TEST(output_buffer_of_many_tasks_is_never_mixed_up)
{
    enum { N = 300 };
    cfut_executor *ex = procs(1);
    static square_future f[N];

    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < N; i++) square_submit(ex, &f[i], i + round);
        for (int i = N - 1; i >= 0; i--) {
            ck_assert_int_eq(square_result(&f[i]), CFUT_OK);
            ck_assert_int_eq(f[i].out, (i + round) * (i + round));
        }
    }
    end_pool(ex);
}
END_TEST

/* A task prints: its text is written once, though the worker leaves by _exit. */
static int print_line(const int *x, int *out)
{
    *out = printf("# printed %d\n", *x);
    return CFUT_OK;
}
CFUT_TASK(print_line, int, int);

START_TEST(output_of_a_task_is_flushed_once)
{
    int ends[2], kept = dup(STDOUT_FILENO);
    char text[256];
    cfut_executor *ex;
    print_line_future f;
    ssize_t n;

    fflush(NULL);
    ck_assert_int_eq(pipe(ends), 0);
    dup2(ends[1], STDOUT_FILENO);
    printf("# the host's\n");
    ex = procs(1);
    print_line_submit(ex, &f, 1);
    ck_assert_int_eq(print_line_result(&f), CFUT_OK);
    end_pool(ex);
    fflush(stdout);
    dup2(kept, STDOUT_FILENO);
    close(kept);
    close(ends[1]);
    for (size_t have = 0; (n = read(ends[0], text + have, sizeof text - 1 - have)) >= 0; ) {
        have += (size_t)n;
        text[have] = 0;
        if (n == 0) break;
    }
    close(ends[0]);
    ck_assert_ptr_nonnull(strstr(text, "# printed 1\n"));
    ck_assert_ptr_null(strstr(strstr(text, "# printed 1\n") + 1, "# printed"));
    ck_assert_ptr_null(strstr(strstr(text, "# the host's") + 1, "# the host's"));
}
END_TEST

/* ---- inside a task ---- */

/* SEM 95: executors and futures of the host mean nothing in a worker */
static cfut_executor *hosts_pool;

static int try_hosts_pool(const int *unused, int *status)
{
    square_future f;

    (void)unused;
    *status = 0;
    if (!hosts_pool) return CFUT_OK;        /* executed again: there is none */
    square_submit(hosts_pool, &f, 3);
    *status = square_result(&f);
    cfut_shutdown(hosts_pool, CFUT_DRAIN);
    return CFUT_OK;
}
CFUT_TASK(try_hosts_pool, int, int);

START_TEST(pool_of_the_host_is_refused_in_a_worker)
{
    cfut_executor *other = procs(1), *ex;
    try_hosts_pool_future f;

    hosts_pool = other;
    ex = procs(1);
    try_hosts_pool_submit(ex, &f, 0);
    ck_assert_int_eq(try_hosts_pool_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, START_IS_FORK ? CFUT_FORKED : CFUT_OK);
    end_pool(ex);
    end_pool(other);
}
END_TEST

static int nested_sum(const int *n, int *sum)
{
    square_future f[8];

    *sum = 0;
    for (int i = 0; i < *n; i++) square_fork(&f[i], i);
    for (int i = *n - 1; i >= 0; i--)
        if (square_join(&f[i]) == CFUT_OK) *sum += f[i].out;
    return CFUT_OK;
}
CFUT_TASK(nested_sum, int, int);

START_TEST(fork_and_join_in_a_worker_run_in_it)
{
    cfut_executor *ex = procs(1);
    nested_sum_future f;

    nested_sum_submit(ex, &f, 8);
    ck_assert_int_eq(nested_sum_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, 140);
    end_pool(ex);
}
END_TEST

/* A worker may have pools of its own. */
static int own_pools(const int *x, int *out)
{
    cfut_executor *threads = pool_of(2);
    cfut_executor *processes = cfut_process_pool(
        &(cfut_process_pool_desc){ .max_workers = 1, .start = CFUT_START_EXEC });
    square_future f, g;

    square_submit(threads, &f, *x);
    square_submit(processes, &g, *x);
    *out = square_result(&f) == CFUT_OK ? f.out : -1;
    if (!START_IS_FORK) *out += square_result(&g) == CFUT_OK ? g.out : -1;
    else if (square_result(&g) != CFUT_NO_THREADS) *out = -1;
    cfut_shutdown(processes, CFUT_DRAIN);
    cfut_shutdown(threads, CFUT_DRAIN);
    return CFUT_OK;
}
CFUT_TASK(own_pools, int, int);

START_TEST(worker_may_make_pools)
{
    cfut_executor *ex = procs(2);
    own_pools_future f;

    if (UNDER_TSAN) {               /* it starts no threads in a child of a fork */
        end_pool(ex);
        return;
    }
    own_pools_submit(ex, &f, 3);
    ck_assert_int_eq(own_pools_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, START_IS_FORK ? 9 : 18);
    end_pool(ex);
}
END_TEST

/* Functions whose addresses differ by that have the same number among a pool's names. */
#define SAME_NUMBER __attribute__((aligned(16384)))

struct large { int n; char rest[300000]; };

SAME_NUMBER static int split_large(const struct large *in, struct large *out)
{
    pid_t pid = fork();

    if (pid == 0) out->n = -1;          /* its own, and it goes no further than our end */
    else if (waitpid(pid, NULL, 0) != pid) return CFUT_FAILED;
    else out->n = in->n + 1;
    return CFUT_OK;
}
CFUT_TASK(split_large, struct large, struct large);

SAME_NUMBER static int own_forked_pool(const struct large *in, struct large *out)
{
    cfut_executor *ex = cfut_process_pool(
        &(cfut_process_pool_desc){ .max_workers = 1, .start = CFUT_START_FORK });
    static split_large_future f;
    int status = cfut_executor_status(ex);

    *out = *in;
    for (int i = 0; i < 3 && !status; i++) {
        split_large_submit(ex, &f, *out);
        status = split_large_result(&f);
        *out = f.out;
    }
    cfut_shutdown(ex, CFUT_DRAIN);
    return status;
}
CFUT_TASK(own_forked_pool, struct large, struct large);

/* What the pool's worker is a fork of was a worker, with all that it knew of itself. */
START_TEST(worker_may_make_pools_by_fork)
{
    cfut_executor *ex = procs(1);
    static own_forked_pool_future f;

    for (int i = 0; i < 3 && !UNDER_TSAN; i++) {        /* it has a thread of its own */
        own_forked_pool_submit(ex, &f, (struct large){ .n = i });
        ck_assert_int_eq(own_forked_pool_result(&f), CFUT_OK);
        ck_assert_int_eq(f.out.n, i + 3);
    }
    end_pool(ex);
}
END_TEST

static int await_stop(const int *unused, int *seen)
{
    cfut_ns end = process_deadline();

    (void)unused;
    atomic_fetch_add(&board()->started, 1);
    while (!(*seen = cfut_stop_requested()) && test_now() < end) test_sleep(CFUT_US(200));
    return CFUT_OK;
}
CFUT_TASK(await_stop, int, int);

/* ---- cancel ---- */

static const int depths[] = { 0, 1, 2, 64 };
enum { DEPTHS = sizeof depths / sizeof *depths };

/* SEM 85: what waits can be cancelled wherever it waits, and its state is exact */
START_TEST(cancel_of_queued_task_is_at_once_and_it_never_runs)
{
    enum { N = 100 };               /* more than a worker's ring has room for */
    static tally_future f[N];
    cfut_executor *ex = procs_with((cfut_process_pool_desc){ .max_workers = 1,
                                                             .queue_depth = depths[_i] });
    struct busy_procs busy;

    occupy_procs(&busy, ex);
    for (int i = 0; i < N; i++) tally_submit(ex, &f[i], 10);
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq((int)cfut_future_state(&f[i].base), CFUT_STATE_PENDING);
        if (i % 2) continue;
        ck_assert(cfut_cancel(&f[i].base));
        ck_assert(cfut_cancelled(&f[i].base));
        ck_assert_int_eq(tally_result(&f[i]), CFUT_CANCELLED);
    }
    free_procs(&busy);
    for (int i = 1; i < N; i += 2) ck_assert_int_eq(tally_result(&f[i]), CFUT_OK);
    ck_assert_int_eq(atomic_load(&board()->at[10]), N / 2);
    end_pool(ex);
}
END_TEST

START_TEST(cancel_of_running_task_returns_false_and_asks_it_to_stop)
{
    cfut_executor *ex = procs(1);
    await_stop_future f;

    await_stop_submit(ex, &f, 0);
    await_count(&board()->started, 1);
    ck_assert(cfut_running(&f.base));
    ck_assert(!cfut_cancel(&f.base));
    ck_assert_int_eq(await_stop_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, 1);
    /* the next task is not asked */
    ck_assert(!cfut_cancel(&f.base));
    end_pool(ex);
}
END_TEST

START_TEST(kill_on_cancel_ends_a_running_task_as_cancelled)
{
    cfut_executor *ex = procs_with((cfut_process_pool_desc){ .max_workers = 1,
                                                             .kill_on_cancel = true });
    stay_future f;
    own_pid_future after;

    stay_submit(ex, &f, 0);
    await_count(&board()->started, 1);
    ck_assert(!cfut_cancel(&f.base));
    ck_assert_int_eq(stay_result(&f), CFUT_CANCELLED);
    ck_assert(cfut_cancelled(&f.base));
    await_process_gone(atomic_load(&board()->at[0]));
    own_pid_submit(ex, &after, 0);
    ck_assert_int_eq(own_pid_result(&after), CFUT_OK);
    ck_assert_int_ne(after.out, atomic_load(&board()->at[0]));
    end_pool(ex);
}
END_TEST

START_TEST(reclaim_cancels_what_waits_and_waits_for_what_runs)
{
    cfut_executor *ex = procs(1);
    await_stop_future running;
    tally_future queued[10];
    cfut_future *fs[11];

    await_stop_submit(ex, &running, 0);
    await_count(&board()->started, 1);
    for (int i = 0; i < 10; i++) fs[i] = tally_submit(ex, &queued[i], 1);
    fs[10] = &running.base;         /* asked last to stop: its worker would take the next one */
    cfut_reclaim(fs, 11);
    ck_assert_int_eq(atomic_load(&board()->at[1]), 0);
    ck_assert_int_eq(running.out, 1);
    for (int i = 0; i < 10; i++) ck_assert(cfut_cancelled(&queued[i].base));
    end_pool(ex);
}
END_TEST

/* ---- callbacks ---- */

struct heard { int n; int order[4]; pthread_t thread[4]; cfut_executor *ex; int status; };

static void note_1(cfut_future *f, void *user)
{
    struct heard *h = user;

    ck_assert(cfut_done(f));
    h->thread[h->n] = pthread_self();
    h->order[h->n++] = 1;
}

static void note_2(cfut_future *f, void *user)
{
    struct heard *h = user;

    (void)f;
    h->thread[h->n] = pthread_self();
    h->order[h->n++] = 2;
}

START_TEST(callbacks_run_in_order_in_one_thread_of_the_pool)
{
    struct busy_procs busy;
    cfut_executor *ex = procs(1);
    struct heard h = { 0 };
    square_future f;

    occupy_procs(&busy, ex);
    square_submit(ex, &f, 3);
    cfut_on_done(&f.base, note_1, &h);
    cfut_on_done(&f.base, note_2, &h);
    cfut_on_done(&f.base, note_1, &h);
    free_procs(&busy);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    ck_assert_int_eq(h.n, 3);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(h.order[i], i == 1 ? 2 : 1);
        ck_assert(pthread_equal(h.thread[i], h.thread[0]));
        ck_assert(!pthread_equal(h.thread[i], pthread_self()));
    }
    end_pool(ex);
}
END_TEST

/* What a callback may do; status: what it got. */
struct deed { cfut_executor *ex; square_future next, queued; int status; pthread_t thread; };

static void submit_more(cfut_future *f, void *user)
{
    struct deed *d = user;

    (void)f;
    square_submit(d->ex, &d->next, 4);
}

static void cancel_other(cfut_future *f, void *user)
{
    struct deed *d = user;

    (void)f;
    d->status = cfut_cancel(&d->queued.base);
}

static void wait_for_other(cfut_future *f, void *user)
{
    struct deed *d = user;

    (void)f;
    d->status = square_result(&d->queued);
}

static void map_there(cfut_future *f, void *user)
{
    struct deed *d = user;
    int in[3] = { 1, 2, 3 }, out[3];

    (void)f;
    d->status = square_map(d->ex, in, out, 3);
}

static void shut_down(cfut_future *f, void *user)
{
    struct deed *d = user;

    (void)f;
    d->status = cfut_shutdown(d->ex, CFUT_DRAIN);
}

static void leave_thread(cfut_future *f, void *user)
{
    (void)f;
    (void)user;
    pthread_exit(NULL);
}

/* Runs fn as the callback of a task, with another one queued behind it. */
static void do_in_callback(struct deed *d, cfut_executor *ex, cfut_done_fn fn)
{
    struct busy_procs busy;

    memset(d, 0, sizeof *d);
    d->ex = ex;
    occupy_procs(&busy, ex);
    cfut_on_done(&busy.f.base, fn, d);
    square_submit(ex, &d->queued, 5);
    free_procs(&busy);
}

START_TEST(callback_may_submit)
{
    struct deed d;
    cfut_executor *ex = procs(1);

    do_in_callback(&d, ex, submit_more);
    ck_assert_int_eq(square_result(&d.next), CFUT_OK);
    ck_assert_int_eq(d.next.out, 16);
    ck_assert_int_eq(square_result(&d.queued), CFUT_OK);
    end_pool(ex);
}
END_TEST

START_TEST(callback_may_cancel)
{
    struct deed d;
    cfut_executor *ex = procs(1);

    do_in_callback(&d, ex, cancel_other);
    ck_assert_int_eq(square_result(&d.queued), d.status ? CFUT_CANCELLED : CFUT_OK);
    end_pool(ex);
}
END_TEST

static int nap_and_square(const int *x, int *y)
{
    test_sleep(CFUT_MS(50));
    *y = *x * *x;
    return CFUT_OK;
}
CFUT_TASK(nap_and_square, int, int);

struct waiting { nap_and_square_future other; int status; cfut_executor *ex; };

static void wait_for_slow(cfut_future *f, void *user)
{
    struct waiting *w = user;

    (void)f;
    w->status = nap_and_square_result(&w->other);
}

START_TEST(callback_that_waits_for_its_pool_gets_deadlock)
{
    struct waiting w;
    struct busy_procs busy;
    cfut_executor *ex = procs(1);

    occupy_procs(&busy, ex);
    cfut_on_done(&busy.f.base, wait_for_slow, &w);
    nap_and_square_submit(ex, &w.other, 6);
    free_procs(&busy);
    ck_assert_int_eq(w.status, CFUT_DEADLOCK);
    ck_assert_int_eq(nap_and_square_result(&w.other), CFUT_OK);
    end_pool(ex);
}
END_TEST

/* Another pool may be waited for. */
START_TEST(callback_may_wait_for_another_pool)
{
    struct deed d;
    struct busy_procs busy;
    cfut_executor *ex = procs(1), *other = procs(1);

    memset(&d, 0, sizeof d);
    occupy_procs(&busy, ex);
    square_submit(other, &d.queued, 5);
    cfut_on_done(&busy.f.base, wait_for_other, &d);
    free_procs(&busy);
    ck_assert_int_eq(d.status, CFUT_OK);
    ck_assert_int_eq(d.queued.out, 25);
    end_pool(ex);
    end_pool(other);
}
END_TEST

START_TEST(callback_that_maps_on_its_pool_gets_deadlock)
{
    struct deed d;
    cfut_executor *ex = procs(1);

    do_in_callback(&d, ex, map_there);
    ck_assert_int_eq(d.status, CFUT_DEADLOCK);
    ck_assert_int_eq(square_result(&d.queued), CFUT_OK);
    end_pool(ex);
}
END_TEST

/* An item in a thread, which waits for a task of the pool whose callback maps. */
static int wait_for_it(cfut_future *const *f, int *status)
{
    *status = cfut_result(*f);
    return CFUT_OK;
}
CFUT_TASK(wait_for_it, cfut_future *, int);

static void map_in_threads(cfut_future *f, void *user)
{
    struct deed *d = user;
    cfut_executor *threads = cfut_thread_pool(&(cfut_thread_pool_desc){ .max_workers = 1 });
    cfut_future *in = &d->queued.base;
    int out = -1;

    (void)f;
    d->status = wait_for_it_map(threads, &in, &out, 1);
    if (!d->status) d->status = out;
    cfut_shutdown(threads, CFUT_DRAIN);
}

/* The manager goes on while its callback waits. */
START_TEST(callback_that_maps_on_threads_lets_its_pool_go_on)
{
    struct deed d;
    cfut_executor *ex = procs(1);

    do_in_callback(&d, ex, map_in_threads);
    ck_assert_int_eq(square_result(&d.queued), CFUT_OK);
    end_pool(ex);
    ck_assert_int_eq(d.status, CFUT_OK);
}
END_TEST

/* Two pools, and in a callback of each a map on the other. */
START_TEST(callbacks_may_map_on_each_others_pools)
{
    struct deed d[2];
    struct busy_procs busy[2];
    cfut_executor *ex[2] = { procs(1), procs(1) };

    memset(d, 0, sizeof d);
    for (int i = 0; i < 2; i++) {
        d[i].ex = ex[!i];
        occupy_procs(&busy[i], ex[i]);
        cfut_on_done(&busy[i].f.base, map_there, &d[i]);
    }
    for (int i = 0; i < 2; i++) free_procs(&busy[i]);
    for (int i = 0; i < 2; i++) {
        square_future f;

        square_submit(ex[i], &f, 2);
        ck_assert_int_eq(square_result(&f), CFUT_OK);   /* after the callback */
        ck_assert_int_eq(d[i].status, CFUT_OK);
    }
    for (int i = 0; i < 2; i++) end_pool(ex[i]);
}
END_TEST

static int fail_slowly(const int *ms, int *unused)
{
    test_sleep(CFUT_MS(*ms));
    *unused = 0;
    return cfut_fail(9, "failed after %d ms", *ms);
}
CFUT_TASK(fail_slowly, int, int);

/* The first of these tasks reclaims the second while the third and fourth fail. */
struct reclaiming { fail_slowly_future f[4]; char text[4][56]; };

static void keep_text(cfut_future *f, void *user)
{
    struct reclaiming *r = user;
    size_t i = (size_t)((fail_slowly_future *)(void *)f - r->f);

    snprintf(r->text[i], sizeof r->text[i], "%s", cfut_error(f));
}

static void reclaim_second(cfut_future *f, void *user)
{
    struct reclaiming *r = user;
    cfut_future *second = &r->f[1].base;

    keep_text(f, user);
    cfut_reclaim(&second, 1);
    ck_assert(cfut_done(second));
}

START_TEST(callback_may_reclaim_what_runs_in_its_pool)
{
    static struct reclaiming r;
    cfut_executor *ex = procs(4);

    for (int i = 0; i < 4; i++) {
        fail_slowly_submit(ex, &r.f[i], (int[]){ 20, 150, 60, 60 }[i]);
        cfut_on_done(&r.f[i].base, i == 0 ? reclaim_second : keep_text, &r);
    }
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(fail_slowly_result(&r.f[i]), i == 1 && r.text[1][0] == 'c'
                         ? CFUT_CANCELLED : 9);
        ck_assert_str_eq(cfut_error(&r.f[i].base), r.text[i]);
    }
    ck_assert_str_eq(r.text[0], "failed after 20 ms");
    end_pool(ex);
}
END_TEST

START_TEST(callback_that_shuts_its_pool_down_gets_deadlock)
{
    struct deed d;
    cfut_executor *ex = procs(1);

    do_in_callback(&d, ex, shut_down);
    ck_assert_int_eq(d.status, CFUT_DEADLOCK);
    ck_assert_int_eq(cfut_executor_status(ex), CFUT_OK);
    ck_assert_int_eq(square_result(&d.queued), CFUT_OK);
    end_pool(ex);
}
END_TEST

static void close_it(cfut_future *f, void *user)
{
    (void)f;
    cfut_close(((struct deed *)user)->ex, CFUT_CANCEL_PENDING);
}

START_TEST(callback_may_close_its_pool)
{
    struct deed d;
    cfut_executor *ex = procs(1);
    square_future late;
    int status;

    do_in_callback(&d, ex, close_it);
    status = square_result(&d.queued);
    ck_assert(status == CFUT_CANCELLED || status == CFUT_OK);
    square_submit(ex, &late, 1);
    ck_assert_int_eq(square_result(&late), CFUT_CLOSED);
    end_pool(ex);
}
END_TEST

static void detach_it(cfut_future *f, void *user)
{
    struct deed *d = user;

    (void)f;
    d->status = cfut_shutdown(d->ex, CFUT_DRAIN | CFUT_DETACH);
}

static void await_no_child(void)
{
    cfut_ns end = process_deadline();

    while (waitpid(-1, NULL, WNOHANG) >= 0 && test_now() < end) test_sleep(CFUT_MS(1));
    while (open_descriptors() > process_descriptors && test_now() < end) test_sleep(CFUT_MS(1));
}

START_TEST(callback_may_shut_its_pool_down_detached)
{
    struct deed d;
    cfut_executor *ex = procs(1);
    cfut_ns end = process_deadline();

    do_in_callback(&d, ex, detach_it);
    ck_assert_int_eq(square_result(&d.queued), CFUT_OK);
    ck_assert_int_eq(d.status, CFUT_OK);
    while (open_descriptors() > process_descriptors && test_now() < end) test_sleep(CFUT_MS(1));
}
END_TEST

START_TEST(callback_that_ends_its_thread_costs_nothing_but_itself)
{
    struct deed d;
    cfut_executor *ex = procs(1);
    square_future f;

    for (int i = 0; i < 3; i++) {
        atomic_store(&board()->started, 0);
        atomic_store(&board()->go, 0);
        do_in_callback(&d, ex, leave_thread);
        ck_assert_int_eq(square_result(&d.queued), CFUT_OK);
    }
    square_submit(ex, &f, 7);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    end_pool(ex);
}
END_TEST

/* ---- names ---- */

#ifndef CFUT_NO_FUTEX               /* else all tasks must be where the library is */
/* SEM 84: code in a library that was loaded later is found by its path */
START_TEST(task_in_a_library_loaded_later_runs)
{
    void *library = dlopen(TASK_LIBRARY, RTLD_NOW);
    const cfut_task *task;
    cfut_executor *ex;
    cfut_future f;
    int x = 20, y = 0;

    ck_assert_ptr_nonnull(library);
    task = dlsym(library, "library_task");
    ck_assert_ptr_nonnull(task);
    ex = procs(1);
    cfut_submit(ex, &f, task, &x, &y);
    ck_assert_int_eq(cfut_result(&f), CFUT_OK);
    ck_assert_int_eq(y, 42);
    end_pool(ex);
    dlclose(library);
}
END_TEST

START_TEST(library_loaded_after_the_pool_is_found_too)
{
    cfut_executor *ex = procs(1);
    void *library;
    const cfut_task *task;
    own_pid_future before;
    cfut_future f;
    int x = 1, y = 0;

    own_pid_submit(ex, &before, 0);
    ck_assert_int_eq(own_pid_result(&before), CFUT_OK);
    library = dlopen(TASK_LIBRARY, RTLD_NOW);
    ck_assert_ptr_nonnull(library);
    task = dlsym(library, "library_task");
    cfut_submit(ex, &f, task, &x, &y);
    ck_assert_int_eq(cfut_result(&f), CFUT_OK);
    ck_assert_int_eq(y, 4);
    end_pool(ex);
    dlclose(library);
}
END_TEST
#endif

/* ---- close and shutdown ---- */

START_TEST(shutdown_drains_what_is_queued)
{
    enum { N = 50 };
    static tally_future f[N];
    cfut_executor *ex = procs(test_workers());

    for (int i = 0; i < N; i++) tally_submit(ex, &f[i], 1);
    end_pool(ex);
    for (int i = 0; i < N; i++) {
        ck_assert(cfut_done(&f[i].base));
        ck_assert_int_eq(tally_result(&f[i]), CFUT_OK);
    }
    ck_assert_int_eq(atomic_load(&board()->at[1]), N);
}
END_TEST

static void *open_the_way(void *unused)
{
    test_sleep(CFUT_MS(30));
    atomic_store(&board()->go, 1);
    return unused;
}

START_TEST(shutdown_with_cancel_runs_only_what_has_started)
{
    enum { N = 100 };
    static tally_future f[N];
    struct busy_procs busy;
    cfut_executor *ex = procs(1);
    pthread_t opener;

    occupy_procs(&busy, ex);
    for (int i = 0; i < N; i++) tally_submit(ex, &f[i], 1);
    opener = thread_start(open_the_way, NULL);
    ck_assert_int_eq(cfut_shutdown(ex, CFUT_CANCEL_PENDING), CFUT_OK);
    thread_end(opener);
    ck_assert_int_eq(stay_result(&busy.f), CFUT_OK);
    for (int i = 0; i < N; i++) ck_assert_int_eq(tally_result(&f[i]), CFUT_CANCELLED);
    ck_assert_int_eq(atomic_load(&board()->at[1]), 0);
}
END_TEST

START_TEST(shutdown_timeout_leaves_the_pool_closed_and_may_be_repeated)
{
    struct busy_procs busy;
    square_future late;
    cfut_executor *ex = procs(1);

    occupy_procs(&busy, ex);
    ck_assert_int_eq(cfut_shutdown_timeout(ex, CFUT_DRAIN, CFUT_MS(10)), CFUT_TIMEOUT);
    square_submit(ex, &late, 1);
    ck_assert_int_eq(square_result(&late), CFUT_CLOSED);
    free_procs(&busy);
    ck_assert_int_eq(cfut_shutdown_timeout(ex, CFUT_DRAIN, CFUT_FOREVER), CFUT_OK);
}
END_TEST

START_TEST(shutdown_detached_frees_the_pool_when_its_tasks_are_done)
{
    struct busy_procs busy;
    cfut_executor *ex = procs(2);

    occupy_procs(&busy, ex);
    ck_assert_int_eq(cfut_shutdown(ex, CFUT_DRAIN | CFUT_DETACH), CFUT_OK);
    free_procs(&busy);
    await_no_child();
}
END_TEST

START_TEST(ended_handle_answers_closed)
{
    cfut_executor *ex = procs(1);
    square_future f;

    end_pool(ex);
    square_submit(ex, &f, 2);
    ck_assert_int_eq(square_result(&f), CFUT_CLOSED);
    ck_assert_int_eq(cfut_executor_status(ex), CFUT_CLOSED);
    ck_assert_int_eq(cfut_shutdown(ex, CFUT_DRAIN), CFUT_OK);
    ck_assert_int_eq(cfut_terminate_workers(ex), CFUT_OK);
    ck_assert_uint_eq(cfut_executor_workers(ex), 0);
    cfut_close(ex, CFUT_CANCEL_PENDING);
}
END_TEST

static void *shut_down_too(void *ex)
{
    ck_assert_int_eq(cfut_shutdown(ex, CFUT_DRAIN), CFUT_OK);
    return NULL;
}

START_TEST(shutdown_from_two_threads_ends_both)
{
    struct busy_procs busy;
    cfut_executor *ex = procs(2);
    pthread_t a, b;

    occupy_procs(&busy, ex);
    a = thread_start(shut_down_too, ex);
    b = thread_start(shut_down_too, ex);
    free_procs(&busy);
    thread_end(a);
    thread_end(b);
}
END_TEST

/* SEM 94: every worker is gone when shutdown returns */
START_TEST(shutdown_leaves_no_worker)
{
    enum { MOST = 64 };
    int n = test_workers(), pid[MOST];
    cfut_executor *ex = procs(n);
    stay_future f[MOST];

    for (int i = 0; i < n; i++) stay_submit(ex, &f[i], i);
    await_count(&board()->started, n);
    atomic_store(&board()->go, 1);
    for (int i = 0; i < n; i++) {
        ck_assert_int_eq(stay_result(&f[i]), CFUT_OK);
        pid[i] = f[i].out;
    }
    end_pool(ex);
    for (int i = 0; i < n; i++) ck_assert(process_is_gone(pid[i]));
}
END_TEST

START_TEST(shutdown_of_unused_pool_is_clean)
{
    for (int i = 0; i < 5; i++) end_pool(procs(test_workers()));
}
END_TEST

/* ---- several pools ---- */

START_TEST(two_pools_work_at_once)
{
    cfut_executor *a = procs(1), *b = procs(1);
    own_pid_future f, g;

    own_pid_submit(a, &f, 0);
    own_pid_submit(b, &g, 0);
    ck_assert_int_eq(own_pid_result(&f), CFUT_OK);
    ck_assert_int_eq(own_pid_result(&g), CFUT_OK);
    ck_assert_int_ne(f.out, g.out);
    end_pool(a);
    own_pid_submit(b, &g, 0);
    ck_assert_int_eq(own_pid_result(&g), CFUT_OK);
    end_pool(b);
}
END_TEST

/* A thread of an ended pool is counted by the system for a moment longer, and one
   of a new pool has yet to show up: neither is a reason to refuse a fork. */
START_TEST(pools_one_right_after_the_other_can_be_made)
{
    cfut_executor *kept = NULL;

    for (int i = 0; i < 60 / FEWER; i++) {
        cfut_executor *ex = procs(1);

        if (kept) end_pool(kept);
        kept = ex;
    }
    end_pool(kept);
}
END_TEST

/* SEM 96: where threads run, only a program executed again can start workers */
static void *stand_still(void *unused)
{
    linger(&board()->go, 1);
    return unused;
}

START_TEST(fork_start_beside_threads_is_refused_with_a_reason)
{
    pthread_t other = thread_start(stand_still, NULL);
    cfut_executor *ex =
        cfut_process_pool(&(cfut_process_pool_desc){ .start = CFUT_START_FORK });
    square_future f;

#ifndef CFUT_NO_FUTEX               /* else threads cannot be counted */
    ck_assert_int_eq(cfut_executor_status(ex), CFUT_NO_THREADS);
    ck_assert_ptr_nonnull(strstr(cfut_executor_error(ex), "cfut_process_main"));
    square_submit(ex, &f, 1);
    ck_assert_int_eq(square_result(&f), CFUT_NO_THREADS);
    ck_assert_str_eq(cfut_error(&f.base), cfut_executor_error(ex));
#else
    (void)f;
#endif
    cfut_shutdown(ex, CFUT_DRAIN);
    atomic_store(&board()->go, 1);
    thread_end(other);
}
END_TEST

#ifdef START_FORK
START_TEST(exec_start_without_process_main_is_refused_with_a_reason)
{
    cfut_executor *ex =
        cfut_process_pool(&(cfut_process_pool_desc){ .start = CFUT_START_EXEC });

    ck_assert_int_eq(cfut_executor_status(ex), CFUT_NO_THREADS);
    ck_assert_ptr_nonnull(strstr(cfut_executor_error(ex), "cfut_process_main"));
    cfut_shutdown(ex, CFUT_DRAIN);
}
END_TEST

static int state_of_the_program = 1;

static int read_state(const int *unused, int *out)
{
    (void)unused;
    *out = state_of_the_program;
    return CFUT_OK;
}
CFUT_TASK(read_state, int, int);

START_TEST(forked_workers_see_globals_as_of_creation)
{
    cfut_executor *ex;
    read_state_future f;

    state_of_the_program = 77;
    ex = procs(1);
    state_of_the_program = 78;
    read_state_submit(ex, &f, 0);
    ck_assert_int_eq(read_state_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, 77);
    end_pool(ex);
}
END_TEST
#else
/* In a task of a thread pool, beside other threads. */
static int through_processes(const int *x, int *y)
{
    cfut_executor *ex = procs(1);
    square_future f;
    int status;

    square_submit(ex, &f, *x);
    status = square_result(&f);
    *y = f.out;
    cfut_shutdown(ex, CFUT_DRAIN);
    return status;
}
CFUT_TASK(through_processes, int, int);

START_TEST(pool_may_be_made_in_a_task_of_a_thread_pool)
{
    cfut_executor *threads = pool_of(3);
    through_processes_future f[6];

    for (int i = 0; i < 6; i++) through_processes_submit(threads, &f[i], i);
    for (int i = 0; i < 6; i++) {
        ck_assert_int_eq(through_processes_result(&f[i]), CFUT_OK);
        ck_assert_int_eq(f[i].out, i * i);
    }
    end_pool(threads);
}
END_TEST
#endif

/* ---- desc ---- */

static int init_ok(void *arg) { (void)arg; return CFUT_OK; }

/* SEM 82: numbers of workers that make no sense */
START_TEST(desc_that_makes_no_sense_is_invalid)
{
    static int byte;
    const cfut_process_pool_desc bad[] = {
        { .max_workers = -1 }, { .max_workers = 1025 }, { .max_workers = 1 << 30 },
        { .start = 3 }, { .start = -1 }, { .exit = 2 }, { .on_worker_death = 2 },
        { .queue_depth = -1 }, { .queue_depth = 65 }, { .max_tasks_per_child = -1 },
        { .max_retries = -1 }, { .max_retries = 256 }, { .time_limit = -1 },
        { .kill_grace = -1 }, { .initializer = init_ok, .init_size = 4 },
#ifndef START_FORK
        { .start = CFUT_START_EXEC, .initializer = init_ok, .init_arg = &byte },
#endif
    };

    (void)byte;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cfut_executor *ex = cfut_process_pool(&bad[i]);
        square_future f;

        ck_assert_int_eq(cfut_executor_status(ex), CFUT_INVALID);
        square_submit(ex, &f, 1);
        ck_assert_int_eq(square_result(&f), CFUT_INVALID);
        ck_assert_int_eq(cfut_shutdown(ex, CFUT_DRAIN), CFUT_OK);
    }
}
END_TEST

START_TEST(workers_of_another_kind_of_executor_cannot_be_killed)
{
    cfut_executor *threads = pool_of(1);

    ck_assert_int_eq(cfut_kill_workers(threads), CFUT_UNSUPPORTED);
    ck_assert_int_eq(cfut_terminate_workers(threads), CFUT_UNSUPPORTED);
    ck_assert_int_eq(cfut_kill_workers(NULL), CFUT_INVALID);
    ck_assert_int_eq(cfut_terminate_workers(NULL), CFUT_INVALID);
    end_pool(threads);
}
END_TEST

/* ---- initializer and finalizer ---- */

static int set_up(void *arg)
{
    struct board *b = board();

    atomic_store(&b->n[0], *(int *)arg);
    atomic_fetch_add(&b->n[1], 1);
    *(int *)arg += 1;
    return CFUT_OK;
}

static void tear_down(void *arg)
{
    atomic_store(&board()->n[2], *(int *)arg);
    atomic_fetch_add(&board()->n[3], 1);
}

START_TEST(initializer_gets_a_copy_of_its_bytes_in_each_worker)
{
    int value = 55;
    cfut_executor *ex = procs_with((cfut_process_pool_desc){
        .max_workers = 2, .initializer = set_up, .finalizer = tear_down,
        .init_arg = &value, .init_size = sizeof value });
    stay_future f[2];

    value = 1;
    for (int i = 0; i < 2; i++) stay_submit(ex, &f[i], i);
    await_count(&board()->started, 2);
    atomic_store(&board()->go, 1);
    end_pool(ex);
    ck_assert_int_eq(atomic_load(&board()->n[0]), 55);
    ck_assert_int_eq(atomic_load(&board()->n[1]), 2);
    ck_assert_int_eq(atomic_load(&board()->n[2]), 56);
    ck_assert_int_eq(atomic_load(&board()->n[3]), 2);
}
END_TEST

static int refuse_to_start(void *arg)
{
    (void)arg;
    return cfut_fail(17, "no such database");
}

static int refuse_silently(void *arg)
{
    (void)arg;
    return 18;
}

/* SEM 91: an initializer that fails breaks the pool */
START_TEST(initializer_that_fails_breaks_the_pool_with_its_text)
{
    cfut_executor *ex = procs_with((cfut_process_pool_desc){
        .max_workers = 2, .initializer = _i ? refuse_silently : refuse_to_start });
    const char *want = _i ? "the initializer failed with 18" : "no such database";
    square_future f[5], late;

    for (int i = 0; i < 5; i++) square_submit(ex, &f[i], i);
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(square_result(&f[i]), CFUT_BROKEN);
        ck_assert_str_eq(cfut_error(&f[i].base), want);
    }
    square_submit(ex, &late, 1);
    ck_assert_int_eq(square_result(&late), CFUT_BROKEN);
    ck_assert_int_eq(cfut_executor_status(ex), CFUT_BROKEN);
    ck_assert_str_eq(cfut_executor_error(ex), want);
    end_pool(ex);
}
END_TEST

/* ---- executors of every kind ---- */

static cfut_executor *executor_of(int kind)
{
    return kind == 0 ? cfut_inline_executor() : kind == 1 ? test_pool() : procs(test_workers());
}

START_TEST(every_kind_gives_results_and_errors)
{
    cfut_executor *ex = executor_of(_i);
    square_future f[20];
    fail_with_future g;

    for (int i = 0; i < 20; i++) square_submit(ex, &f[i], i);
    fail_with_submit(ex, &g, 5);
    for (int i = 0; i < 20; i++) {
        ck_assert_int_eq(square_result(&f[i]), CFUT_OK);
        ck_assert_int_eq(f[i].out, i * i);
    }
    ck_assert_int_eq(fail_with_result(&g), 5);
    ck_assert_str_eq(cfut_error(&g.base), "failed with 5");
    ck_assert(!cfut_cancel(&g.base));
    end_pool(ex);
}
END_TEST

START_TEST(every_kind_waits_in_all_modes)
{
    cfut_executor *ex = executor_of(_i);
    square_future f[10];
    fail_with_future g;
    cfut_future *fs[11];

    for (int i = 0; i < 10; i++) fs[i] = square_submit(ex, &f[i], i);
    fs[10] = fail_with_submit(ex, &g, 9);
    ck_assert_int_ge((int)cfut_wait(fs, 11, CFUT_FIRST_COMPLETED, CFUT_FOREVER), 1);
    cfut_wait(fs, 11, CFUT_FIRST_ERROR, CFUT_FOREVER);
    ck_assert(cfut_done(&g.base));
    ck_assert_int_eq((int)cfut_wait(fs, 11, CFUT_ALL_COMPLETED, CFUT_FOREVER), 11);
    end_pool(ex);
}
END_TEST

START_TEST(every_kind_yields_each_future_once)
{
    enum { N = 50 };
    cfut_executor *ex = executor_of(_i);
    static square_future f[N];
    cfut_future *fs[N], *done;
    cfut_iter it;
    bool seen[N] = { false };
    int n = 0;

    for (int i = 0; i < N; i++) fs[i] = square_submit(ex, &f[i], i);
    ck_assert_int_eq(cfut_as_completed(&it, fs, N, CFUT_FOREVER), CFUT_OK);
    for (; (done = cfut_next(&it)) != NULL; n++) {
        long at = square_of(done) - f;

        ck_assert(!seen[at]);
        seen[at] = true;
        ck_assert_int_eq(square_of(done)->out, (int)(at * at));
    }
    ck_assert_int_eq(it.status, CFUT_OK);
    ck_assert_int_eq(n, N);
    end_pool(ex);
}
END_TEST

static void count_call(cfut_future *f, void *user)
{
    (void)f;
    counter_add(user, 1);
}

START_TEST(every_kind_calls_each_callback_once)
{
    enum { N = 30 };
    cfut_executor *ex = executor_of(_i);
    static square_future f[N];
    struct counter calls;

    counter_init(&calls);
    for (int i = 0; i < N; i++) {
        square_submit(ex, &f[i], i);
        ck_assert_int_eq(cfut_on_done(&f[i].base, count_call, &calls), CFUT_OK);
        ck_assert_int_eq(cfut_on_done(&f[i].base, count_call, &calls), CFUT_OK);
    }
    end_pool(ex);
    for (int i = 0; i < N; i++) ck_assert_int_eq(square_result(&f[i]), CFUT_OK);
    ck_assert_int_eq((int)counter_get(&calls), 2 * N);
}
END_TEST

static int odd_fails(const int *x, int *y)
{
    *y = 2 * *x;
    return *x % 2 ? *x : CFUT_OK;
}
CFUT_TASK(odd_fails, int, int);

START_TEST(every_kind_maps_with_statuses_and_the_first_failure)
{
    enum { N = 1000 };
    cfut_executor *ex = executor_of(_i);
    static int in[N], out[N], status[N];

    for (size_t chunk = 0; chunk < 4; chunk++) {
        cfut_map_desc desc = { .status = status, .chunksize = chunk == 3 ? N + 5 : chunk * 7 };

        for (int i = 0; i < N; i++) {
            in[i] = i + 2;
            status[i] = -1;
        }
        ck_assert_int_eq(odd_fails_map_with(ex, in, out, N, &desc), 3);
        for (int i = 0; i < N; i++) {
            ck_assert_int_eq(status[i], (i + 2) % 2 ? i + 2 : CFUT_OK);
            ck_assert_int_eq(out[i], 2 * (i + 2));
        }
    }
    ck_assert_int_eq(square_map(ex, in, out, 0), CFUT_OK);
    ck_assert_int_eq(square_map(ex, in, out, 1), CFUT_OK);
    ck_assert_int_eq(out[0], 4);
    end_pool(ex);
}
END_TEST

static int pull_numbers(void *user, void *in)
{
    int *next = user;

    if (*next == 100) return CFUT_END;
    *(int *)in = (*next)++;
    return CFUT_OK;
}

START_TEST(every_kind_streams_in_order)
{
    cfut_executor *ex = executor_of(_i);
    int next = 0, out, n = 0;
    cfut_stream *s = cfut_stream_open(ex, &odd_fails_task, pull_numbers, &next, NULL);
    int status;

    while ((status = cfut_stream_next(s, &out)) != CFUT_END) {
        ck_assert_uint_eq(cfut_stream_index(s), (size_t)n);
        ck_assert_int_eq(status, n % 2 ? n : CFUT_OK);
        if (!status) ck_assert_int_eq(out, 2 * n);
        n++;
    }
    ck_assert_int_eq(n, 100);
    cfut_stream_close(s);
    end_pool(ex);
}
END_TEST

START_TEST(every_kind_frees_spawned_futures)
{
    cfut_executor *ex = executor_of(_i);
    square_future *kept = square_spawn(ex, 9);

    for (int i = 0; i < 20; i++) square_release(square_spawn(ex, i));
    ck_assert_int_eq(square_result(kept), CFUT_OK);
    ck_assert_int_eq(kept->out, 81);
    square_release(kept);
    end_pool(ex);
}
END_TEST

START_TEST(every_pool_refuses_when_closed_and_drains)
{
    cfut_executor *ex = executor_of(_i);
    square_future f, late;

    square_submit(ex, &f, 3);
    cfut_close(ex, CFUT_DRAIN);
    square_submit(ex, &late, 3);
    ck_assert_int_eq(square_result(&late), CFUT_CLOSED);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    end_pool(ex);
}
END_TEST

/* ---- map, of processes only ---- */

START_TEST(map_timeout_cancels_what_has_not_begun)
{
    enum { N = 40 };
    cfut_executor *ex = procs(1);
    int in[N], out[N], status[N], cancelled = 0;
    cfut_map_desc desc = { .timeout = test_time(CFUT_MS(300)), .status = status, .chunksize = 2 };

    for (int i = 0; i < N; i++) in[i] = (int)(test_time(CFUT_MS(50)) / CFUT_MS(1));
    ck_assert_int_eq(sleep_ms_map_with(ex, in, out, N, &desc), CFUT_TIMEOUT);
    for (int i = 0; i < N; i++) {
        ck_assert(status[i] == CFUT_OK || status[i] == CFUT_CANCELLED);
        cancelled += status[i] == CFUT_CANCELLED;
    }
    ck_assert_int_gt(cancelled, 0);
    ck_assert_int_eq(status[N - 1], CFUT_CANCELLED);
    end_pool(ex);
}
END_TEST

START_TEST(map_on_a_closed_pool_gives_its_status_for_all_items)
{
    cfut_executor *ex = procs(1);
    int in[5] = { 0 }, out[5], status[5];
    cfut_map_desc desc = { .status = status };

    cfut_close(ex, CFUT_DRAIN);
    ck_assert_int_eq(square_map_with(ex, in, out, 5, &desc), CFUT_CLOSED);
    for (int i = 0; i < 5; i++) ck_assert_int_eq(status[i], CFUT_CLOSED);
    end_pool(ex);
}
END_TEST

/* ---- submits beside a shutdown ---- */

struct hammer { cfut_executor *ex; atomic_int go; };

static void *submit_until_closed(void *arg)
{
    struct hammer *h = arg;
    int status;

    while (!atomic_load(&h->go)) { }
    do {
        square_future f;

        square_submit(h->ex, &f, 2);
        status = square_result(&f);
        if (status == CFUT_OK) ck_assert_int_eq(f.out, 4);
    } while (status == CFUT_OK);
    ck_assert(status == CFUT_CLOSED || status == CFUT_CANCELLED);
    return NULL;
}

START_TEST(submit_beside_shutdown_is_run_or_refused)
{
    for (int round = 0; round < 20 / FEWER; round++) {
        struct hammer h = { procs(2), 0 };
        pthread_t t[3];

        for (int i = 0; i < 3; i++) t[i] = thread_start(submit_until_closed, &h);
        atomic_store(&h.go, 1);
        test_sleep(CFUT_US(round * 100));
        ck_assert_int_eq(cfut_shutdown(h.ex, round % 2 ? CFUT_CANCEL_PENDING : CFUT_DRAIN),
                         CFUT_OK);
        for (int i = 0; i < 3; i++) thread_end(t[i]);
    }
}
END_TEST

/* ---- */

static void fill_tasks(TCase *tc)
{
    tcase_add_loop_test(tc, payload_of_any_size_is_carried_there_and_back, 0,
                        ECHOES - UNDER_TSAN);
    tcase_add_test(tc, payloads_of_mixed_sizes_keep_apart);
    tcase_add_test(tc, submit_without_buffers_that_the_task_needs_is_invalid);
    tcase_add_test(tc, submit_of_absurd_size_is_invalid);
    tcase_add_test(tc, tasks_run_in_other_processes_and_give_results);
    tcase_add_test(tc, idle_worker_is_reused_before_another_starts);
    tcase_add_test(tc, as_many_workers_as_tasks_run_at_once);
    tcase_add_test(tc, error_and_its_text_are_carried_back);
    tcase_add_test(tc, task_whose_code_is_in_no_file_is_invalid_alone);
    tcase_add_test(tc, output_buffer_of_many_tasks_is_never_mixed_up);
    tcase_add_test(tc, output_of_a_task_is_flushed_once);
    tcase_add_test(tc, pool_of_the_host_is_refused_in_a_worker);
    tcase_add_test(tc, fork_and_join_in_a_worker_run_in_it);
    tcase_add_test(tc, worker_may_make_pools);
    tcase_add_test(tc, worker_may_make_pools_by_fork);
    tcase_add_loop_test(tc, cancel_of_queued_task_is_at_once_and_it_never_runs, 0, DEPTHS);
    tcase_add_test(tc, cancel_of_running_task_returns_false_and_asks_it_to_stop);
    tcase_add_test(tc, kill_on_cancel_ends_a_running_task_as_cancelled);
    tcase_add_test(tc, reclaim_cancels_what_waits_and_waits_for_what_runs);
#ifndef CFUT_NO_FUTEX
    tcase_add_test(tc, task_in_a_library_loaded_later_runs);
    tcase_add_test(tc, library_loaded_after_the_pool_is_found_too);
#endif
}

static void fill_callbacks(TCase *tc)
{
    tcase_add_test(tc, callbacks_run_in_order_in_one_thread_of_the_pool);
    tcase_add_test(tc, callback_may_submit);
    tcase_add_test(tc, callback_may_cancel);
    tcase_add_test(tc, callback_that_waits_for_its_pool_gets_deadlock);
    tcase_add_test(tc, callback_may_wait_for_another_pool);
    tcase_add_test(tc, callback_that_maps_on_its_pool_gets_deadlock);
    tcase_add_test(tc, callback_that_maps_on_threads_lets_its_pool_go_on);
    tcase_add_test(tc, callbacks_may_map_on_each_others_pools);
    tcase_add_test(tc, callback_may_reclaim_what_runs_in_its_pool);
    tcase_add_test(tc, callback_that_shuts_its_pool_down_gets_deadlock);
    tcase_add_test(tc, callback_may_close_its_pool);
    tcase_add_test(tc, callback_may_shut_its_pool_down_detached);
    tcase_add_test(tc, callback_that_ends_its_thread_costs_nothing_but_itself);
}

static void fill_life(TCase *tc)
{
    tcase_add_test(tc, shutdown_drains_what_is_queued);
    tcase_add_test(tc, shutdown_with_cancel_runs_only_what_has_started);
    tcase_add_test(tc, shutdown_timeout_leaves_the_pool_closed_and_may_be_repeated);
    tcase_add_test(tc, shutdown_detached_frees_the_pool_when_its_tasks_are_done);
    tcase_add_test(tc, ended_handle_answers_closed);
    tcase_add_test(tc, shutdown_from_two_threads_ends_both);
    tcase_add_test(tc, shutdown_leaves_no_worker);
    tcase_add_test(tc, shutdown_of_unused_pool_is_clean);
    tcase_add_test(tc, two_pools_work_at_once);
    tcase_add_test(tc, pools_one_right_after_the_other_can_be_made);
    if (!EMULATED) tcase_add_test(tc, fork_start_beside_threads_is_refused_with_a_reason);
#ifdef START_FORK
    tcase_add_test(tc, exec_start_without_process_main_is_refused_with_a_reason);
    tcase_add_test(tc, forked_workers_see_globals_as_of_creation);
#else
    tcase_add_test(tc, pool_may_be_made_in_a_task_of_a_thread_pool);
#endif
    tcase_add_test(tc, desc_that_makes_no_sense_is_invalid);
    tcase_add_test(tc, workers_of_another_kind_of_executor_cannot_be_killed);
    tcase_add_test(tc, initializer_gets_a_copy_of_its_bytes_in_each_worker);
    tcase_add_loop_test(tc, initializer_that_fails_breaks_the_pool_with_its_text, 0, 2);
}

static void fill_kinds(TCase *tc)
{
    tcase_add_loop_test(tc, every_kind_gives_results_and_errors, 0, 3);
    tcase_add_loop_test(tc, every_kind_waits_in_all_modes, 0, 3);
    tcase_add_loop_test(tc, every_kind_yields_each_future_once, 0, 3);
    tcase_add_loop_test(tc, every_kind_calls_each_callback_once, 0, 3);
    tcase_add_loop_test(tc, every_kind_maps_with_statuses_and_the_first_failure, 0, 3);
    tcase_add_loop_test(tc, every_kind_streams_in_order, 0, 3);
    tcase_add_loop_test(tc, every_kind_frees_spawned_futures, 0, 3);
    tcase_add_loop_test(tc, every_pool_refuses_when_closed_and_drains, 1, 3);
    tcase_add_test(tc, map_timeout_cancels_what_has_not_begun);
    tcase_add_test(tc, map_on_a_closed_pool_gives_its_status_for_all_items);
    tcase_add_test(tc, submit_beside_shutdown_is_run_or_refused);
}

static void fill(TCase *tc)
{
    fill_tasks(tc);
    fill_callbacks(tc);
    fill_life(tc);
    fill_kinds(tc);
}

int main(int argc, char **argv) { return process_main(argc, argv, "process", fill, NULL); }
