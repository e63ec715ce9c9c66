/* test_process_host.c: what is rare in the host's side of a process pool: memory that
   is large or scarce, a table that is full, answers that make no sense, pools that are
   made while others are busy, forks and deaths in callbacks. Workers are forks of the
   test. */
#define START_FORK
#define PROCESS_POINTS

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static void *map_or_not(int fd, uint64_t at, size_t size, bool writable);
static bool reserve_or_not(int fd, uint64_t at, uint64_t size);
#define cfuti_map map_or_not
#define cfuti_file_reserve reserve_or_not
#include "process.h"

static bool no_more_maps;

static void *map_or_not(int fd, uint64_t at, size_t size, bool writable)
{
    return no_more_maps ? NULL : cfuti_sys_map(fd, at, size, writable);
}

static int reserve_fails_at;            /* the next so many-th; 0: none */

static bool reserve_or_not(int fd, uint64_t at, uint64_t size)
{
    if (reserve_fails_at && !--reserve_fails_at) return false;
    return cfuti_sys_reserve(fd, at, size);
}

/* ---- memory of large tasks ---- */

enum { MIB = 1 << 20 };

/* The parts of a worker's bulk, without a worker. */
START_TEST(bulk_is_given_out_as_in_a_ring)
{
    static cfuti_proc w = { .mapped = CFUTI_BULK_SOFT, .reserved = 64 * MIB };
    cfuti_entry a = { .bulk_size = 3 * MIB }, b = { .bulk_size = 4 * MIB };
    cfuti_entry c = { .bulk_size = 2 * MIB }, d = { .bulk_size = MIB / 2 };

    w.bulk_users = 1;                                   /* so nothing is mapped anew */
    a.bulk = cfuti_proc_take_bulk(&w, a.bulk_size);
    ck_assert_uint_eq(a.bulk, SIZE_MAX);                /* the one there has all */
    w.bulk_users = 0;
    w.pool = &(cfuti_procs){ .layout.bulk = CFUTI_BULK_SOFT, .procs = &w };
    a.bulk = cfuti_proc_take_bulk(&w, a.bulk_size);
    b.bulk = cfuti_proc_take_bulk(&w, b.bulk_size);
    ck_assert_uint_eq(a.bulk, 0);
    ck_assert_uint_eq(b.bulk, 3 * MIB);
    ck_assert_uint_eq(cfuti_proc_take_bulk(&w, c.bulk_size), SIZE_MAX); /* behind, nor before */
    cfuti_proc_give_bulk(&w, &a);
    c.bulk = cfuti_proc_take_bulk(&w, c.bulk_size);
    ck_assert_uint_eq(c.bulk, 0);
    ck_assert_uint_eq(cfuti_proc_take_bulk(&w, MIB), SIZE_MAX);         /* it would meet b */
    d.bulk = cfuti_proc_take_bulk(&w, d.bulk_size);
    ck_assert_uint_eq(d.bulk, 2 * MIB);
    cfuti_proc_give_bulk(&w, &b);
    cfuti_proc_give_bulk(&w, &c);
    cfuti_proc_give_bulk(&w, &d);
    ck_assert_uint_eq(w.bulk_users, 0);

    /* one that is larger than all that is kept, and one behind it */
    w.mapped = 4 * CFUTI_BULK_SOFT;
    a.bulk = cfuti_proc_take_bulk(&w, a.bulk_size = 20 * MIB);
    ck_assert_uint_eq(a.bulk, 0);
    ck_assert_uint_eq(cfuti_proc_take_bulk(&w, MIB), SIZE_MAX);
    cfuti_proc_give_bulk(&w, &a);

    /* less than that is mapped */
    w.mapped = 2 * MIB;
    w.bulk_users = 1;
    w.bulk_head = MIB;
    w.bulk_tail = 0;
    ck_assert_uint_eq(cfuti_proc_take_bulk(&w, MIB), MIB);
    ck_assert_uint_eq(cfuti_proc_take_bulk(&w, 64), SIZE_MAX);
}
END_TEST

static int copy_block(const void *in, void *out)
{
    *(char *)out = *(const char *)in;
    return CFUT_OK;
}

/* The ends of what is copied are right, too. */
static int run_block(cfut_executor *ex, size_t size)
{
    cfut_task task = { copy_block, "copy_block", size, 1 };
    char *in = calloc(1, size), out = 0;
    cfut_future f;
    int status;

    ck_assert_ptr_nonnull(in);
    in[0] = 7;
    status = cfut_result(cfut_submit(ex, &f, &task, in, &out));
    if (status == CFUT_OK) ck_assert_int_eq(out, 7);
    free(in);
    return status;
}

START_TEST(memory_of_a_very_large_task_is_given_back_with_the_next_small_one)
{
    cfut_executor *ex = procs(1);
    const cfuti_proc *w = cfuti_procs_of(ex)->procs;

    ck_assert_int_eq(run_block(ex, 300), CFUT_OK);
    ck_assert_uint_eq(w->mapped, CFUTI_BULK_SOFT);
    ck_assert_int_eq(run_block(ex, 40 * MIB), CFUT_OK);
    ck_assert_uint_ge(w->mapped, 40 * MIB);
    ck_assert_int_eq(run_block(ex, 300), CFUT_OK);
    ck_assert_uint_eq(w->mapped, CFUTI_BULK_SOFT);
    end_pool(ex);
}
END_TEST

/* Where files may not be large, tasks may not, either. */
START_TEST(task_where_files_may_not_be_large_is_run_as_far_as_it_fits)
{
    struct rlimit limit, small;
    cfut_executor *ex;

    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = 16 * MIB;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    ex = procs(1);
    ck_assert_int_eq(run_block(ex, 300), CFUT_OK);
    ck_assert_int_eq(run_block(ex, MIB), CFUT_OK);
    ck_assert_int_eq(run_block(ex, 3 * MIB), CFUT_INVALID);
    end_pool(ex);
    small.rlim_cur = MIB;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    ex = cfut_process_pool(&(cfut_process_pool_desc){ .max_workers = 1, .start = START });
    ck_assert_int_eq(cfut_executor_status(ex), CFUT_NO_MEMORY);
    ck_assert_int_eq(cfut_shutdown(ex, CFUT_DRAIN), CFUT_OK);
    setrlimit(RLIMIT_FSIZE, &limit);
}
END_TEST

START_TEST(task_that_does_not_fit_its_workers_memory_limit_fails)
{
    cfut_executor *ex = procs_with((cfut_process_pool_desc){
        .max_workers = 1, .limit_memory = 64 * MIB });

    ck_assert_int_eq(run_block(ex, 100 * MIB), CFUT_NO_MEMORY);
    ck_assert_int_eq(run_block(ex, 8), CFUT_OK);
    end_pool(ex);
}
END_TEST

START_TEST(task_with_an_absurd_result_is_refused)
{
    static const cfut_task huge = { copy_block, "huge", 1, SIZE_MAX / 2 };
    cfut_executor *ex = procs(1);
    char in = 0, out;
    cfut_future f;

    ck_assert_int_eq(cfut_result(cfut_submit(ex, &f, &huge, &in, &out)), CFUT_INVALID);
    end_pool(ex);
}
END_TEST

START_TEST(task_whose_result_finds_the_folder_full_fails)
{
    cfut_executor *ex = procs(1);

    ck_assert_int_eq(run_block(ex, 8), CFUT_OK);
    for (int half = 1; half <= 2; half++) {
        reserve_fails_at = half;
        ck_assert_int_eq(run_block(ex, 300), CFUT_NO_MEMORY);
    }
    ck_assert_int_eq(run_block(ex, 300), CFUT_OK);
    end_pool(ex);
}
END_TEST

struct seven { char bytes[7 * MIB]; };

/* By hand: the typed call passes In by value, which is much for a stack. */
static int stay_with_much(const void *in, void *out)
{
    *(int *)out = ((const struct seven *)in)->bytes[1];
    atomic_fetch_add(&board()->started, 1);
    linger(&board()->go, 1);
    return CFUT_OK;
}
static const cfut_task stay_with_much_task = { stay_with_much, "stay_with_much",
                                               sizeof(struct seven), sizeof(int) };

/* Two of them are more than is kept for one worker. */
START_TEST(large_task_waits_for_the_memory_of_the_one_before)
{
    static struct seven in;
    cfut_executor *ex = procs_with((cfut_process_pool_desc){ .max_workers = 1, .queue_depth = 4 });
    cfut_future f[2];
    int out[2];

    ck_assert_int_eq(run_block(ex, 8), CFUT_OK);
    in.bytes[1] = 5;
    cfut_submit(ex, &f[0], &stay_with_much_task, &in, &out[0]);
    await_count(&board()->started, 1);
    cfut_submit(ex, &f[1], &stay_with_much_task, &in, &out[1]);
    atomic_store(&board()->go, 1);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(cfut_result(&f[i]), CFUT_OK);
        ck_assert_int_eq(out[i], 5);
    }
    end_pool(ex);
}
END_TEST

/* ---- tasks without argument or result ---- */

static int nothing(const void *in, void *out) { return in || out ? EINVAL : CFUT_OK; }
static const cfut_task nothing_task = { nothing, "nothing", 0, 0 };

static int only_in(const int *x) { return *x < 50 ? CFUT_OK : *x; }
CFUT_ACTION(only_in, int);

START_TEST(task_without_argument_and_result_runs)
{
    cfut_executor *ex = procs(1);
    int in[40], many[60];
    cfut_future f;

    ck_assert_int_eq(cfut_result(cfut_submit(ex, &f, &nothing_task, NULL, NULL)), CFUT_OK);
    ck_assert_int_eq(cfut_map(ex, &nothing_task, NULL, NULL, 40, NULL), CFUT_OK);
    for (int i = 0; i < 40; i++) in[i] = i;
    ck_assert_int_eq(only_in_map(ex, in, 40), CFUT_OK);
    for (int i = 0; i < 60; i++) many[i] = i;
    ck_assert_int_eq(only_in_map_with(ex, many, 60, &(cfut_map_desc){ .chunksize = 60 }), 50);
    end_pool(ex);
}
END_TEST

static int time_out(const int *x, int *out)
{
    *out = *x;
    return CFUT_TIMEOUT;
}
CFUT_TASK(time_out, int, int);

START_TEST(items_that_return_timeout_fail_with_etimedout)
{
    cfut_executor *ex = procs(1);
    int in[4] = { 1, 2, 3, 4 }, out[4], status[4];
    cfut_map_desc desc = { .chunksize = 4, .status = status };
    time_out_future f;

    ck_assert_int_eq(time_out_map_with(ex, in, out, 4, &desc), ETIMEDOUT);
    for (int i = 0; i < 4; i++) ck_assert_int_eq(status[i], ETIMEDOUT);
    time_out_submit(ex, &f, 1);
    ck_assert_int_eq(time_out_result(&f), ETIMEDOUT);
    end_pool(ex);
}
END_TEST

/* The worker looks between the items of a chunk. */
START_TEST(chunk_that_is_out_of_time_is_not_run_to_its_end)
{
    cfut_executor *ex = procs(1);
    int in[20], out[20], status[20];
    cfut_map_desc desc = { .chunksize = 20, .status = status, .timeout = CFUT_MS(100) };
    cfut_ns begun = test_now();

    for (int i = 0; i < 20; i++) in[i] = 50;
    ck_assert_int_eq(sleep_ms_map_with(ex, in, out, 20, &desc), CFUT_TIMEOUT);
    ck_assert(test_now() - begun < test_time(CFUT_MS(900)));
    ck_assert_int_eq(status[19], CFUT_CANCELLED);
    end_pool(ex);
}
END_TEST

static int fail_emptily(const int *code, int *out)
{
    *out = 0;
    return cfut_fail(*code, "%s", "");
}
CFUT_TASK(fail_emptily, int, int);

START_TEST(text_that_is_empty_is_none)
{
    cfut_executor *ex = procs(1);
    fail_emptily_future f;

    fail_emptily_submit(ex, &f, 9);
    ck_assert_int_eq(fail_emptily_result(&f), 9);
    ck_assert_str_eq(cfut_error(&f.base), cfut_strerror(9));
    end_pool(ex);
}
END_TEST

/* A task may have written over it: no status is CFUT_TIMEOUT, no more items are done
   than there are, and none took longer than an hour. */
START_TEST(what_a_worker_reports_is_cut_to_what_can_be)
{
    enum { N = 4 };
    static cfuti_procs p;
    static cfuti_reports reports;
    static char bulk[4096];
    static cfuti_proc w = { .pool = &p, .reports = &reports, .bulk_out = bulk };
    int out[N], status[N];
    cfuti_parcel k = { .n = N, .failed = N, .status = status };
    cfuti_entry e = { .future = &k.f, .proc = &w };
    cfuti_end end;

    memset(&end, 0, sizeof end);
    k.f.task = &square_task;
    k.f.out = out;
    k.f.state = cfuti_generation | CFUT_STATE_PENDING | CFUTI_PARCEL;
    for (int i = 0; i < N; i++) ((int32_t *)(void *)(bulk + 64))[i] = CFUT_TIMEOUT;
    reports.slot[0].status = CFUT_TIMEOUT;
    reports.slot[0].took = UINT64_MAX;
    reports.slot[0].progress = 1000;
    cfuti_entry_collect(&e, &p.outcomes);
    ck_assert_int_eq(p.outcomes.of[0].status, ETIMEDOUT);
    ck_assert_uint_eq(k.done, N - 1);
    ck_assert_int_eq(k.code, ETIMEDOUT);
    ck_assert_int_eq(status[0], ETIMEDOUT);
    ck_assert(k.took == CFUT_SEC(3600));
    reports.slot[0].progress = 2;
    cfuti_entry_collect(&e, &p.outcomes);
    ck_assert_uint_eq(k.done, 2);
}
END_TEST

/* ---- maps ---- */

static int one_byte(const char *in, char *out)
{
    *out = *in;
    return CFUT_OK;
}
CFUT_TASK(one_byte, char, char);

START_TEST(map_in_chunks_of_absurd_size_is_run_in_smaller_ones)
{
    enum { N = (1 << 24) + 1000 };
    cfut_executor *ex = procs(1);
    char *in = calloc(1, N), *out = calloc(1, N);
    cfut_map_desc desc = { .chunksize = SIZE_MAX };

    ck_assert(in && out);
    in[N - 1] = 3;
    ck_assert_int_eq(one_byte_map_with(ex, in, out, N, &desc), CFUT_OK);
    ck_assert_int_eq(out[N - 1], 3);
    free(in);
    free(out);
    end_pool(ex);
}
END_TEST

struct large { char bytes[MIB + 10]; };

static int make_large(const int *x, struct large *out)
{
    memset(out, *x, sizeof *out);
    return CFUT_OK;
}
CFUT_TASK(make_large, int, struct large);

START_TEST(map_of_small_arguments_to_large_results)
{
    static struct large out[5];
    cfut_executor *ex = procs(2);
    int in[5] = { 1, 2, 3, 4, 5 };

    ck_assert_int_eq(make_large_map(ex, in, out, 5), CFUT_OK);
    for (int i = 0; i < 5; i++) ck_assert_int_eq(out[i].bytes[MIB], i + 1);
    end_pool(ex);
}
END_TEST

static int leave_at_3(const int *x, int *out)
{
    *out = *x;
    if (*x == 3) pthread_exit(NULL);
    return CFUT_OK;
}
CFUT_TASK(leave_at_3, int, int);

START_TEST(item_that_leaves_its_thread_costs_no_other)
{
    cfut_executor *ex = procs(1);
    int in[8], out[8], status[8], n = _i ? 4 : 8;       /* it is the last one, too */
    cfut_map_desc desc = { .chunksize = 8, .status = status };

    for (int i = 0; i < n; i++) in[i] = i;
    ck_assert_int_eq(leave_at_3_map_with(ex, in, out, (size_t)n, &desc), CFUT_ABANDONED);
    for (int i = 0; i < n; i++) ck_assert_int_eq(status[i], i == 3 ? CFUT_ABANDONED : CFUT_OK);
    end_pool(ex);
}
END_TEST

/* The worker is killed for it; then nothing of the chunk is tried again. */
START_TEST(chunk_that_is_out_of_time_is_killed_where_a_cancel_may)
{
    cfut_executor *ex = procs_with((cfut_process_pool_desc){
        .max_workers = 1, .kill_on_cancel = true });
    int in[4] = { 10, 30000, 30000, 30000 }, out[4], status[4];
    cfut_map_desc desc = { .chunksize = 4, .status = status, .timeout = CFUT_MS(100) };

    ck_assert_int_eq(sleep_ms_map_with(ex, in, out, 4, &desc), CFUT_TIMEOUT);
    ck_assert_int_eq(status[3], CFUT_CANCELLED);
    end_pool(ex);
}
END_TEST

static int die_when_told(const int *x, int *out)
{
    *out = *x;
    while (!cfut_stop_requested()) test_sleep(CFUT_US(200));
    raise(SIGKILL);
    return CFUT_OK;
}
CFUT_TASK(die_when_told, int, int);

START_TEST(chunk_whose_worker_dies_when_time_is_out_is_not_tried_again)
{
    cfut_executor *ex = procs(1);
    int in[4] = { 0 }, out[4], status[4];
    cfut_map_desc desc = { .chunksize = 4, .status = status, .timeout = CFUT_MS(50) };

    ck_assert_int_eq(die_when_told_map_with(ex, in, out, 4, &desc), CFUT_TIMEOUT);
    ck_assert_int_eq(status[0], CFUT_WORKER_DIED);
    for (int i = 1; i < 4; i++) ck_assert_int_eq(status[i], CFUT_CANCELLED);
    end_pool(ex);
}
END_TEST

/* ---- asking, cancelling, ending ---- */

START_TEST(task_that_is_queued_is_not_its_users_to_start_or_finish)
{
    cfut_executor *ex = procs(1);
    struct busy_procs b;
    square_future f;

    occupy_procs(&b, ex);
    square_submit(ex, &f, 3);
    ck_assert(!cfut_start(&f.base));
    ck_assert_int_eq(cfut_finish(&f.base, 1), CFUT_INVALID_STATE);
    ck_assert(!cfut_start(&b.f.base));
    free_procs(&b);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    end_pool(ex);
}
END_TEST

START_TEST(cancel_in_a_closed_pool_may_be_the_end_of_it)
{
    cfut_executor *ex = procs(1);
    struct busy_procs b;
    square_future f[2];

    occupy_procs(&b, ex);
    for (int i = 0; i < 2; i++) square_submit(ex, &f[i], i);
    cfut_close(ex, CFUT_DRAIN);
    for (int i = 0; i < 2; i++) ck_assert(cfut_cancel(&f[i].base));
    free_procs(&b);
    end_pool(ex);
}
END_TEST

START_TEST(cancel_that_kills_may_be_said_twice)
{
    cfut_executor *ex = procs_with((cfut_process_pool_desc){
        .max_workers = 1, .kill_on_cancel = true });
    struct busy_procs b;

    occupy_procs(&b, ex);
    ck_assert(!cfut_cancel(&b.f.base));
    ck_assert(!cfut_cancel(&b.f.base));
    ck_assert_int_ne(stay_result(&b.f), CFUT_OK);
    end_pool(ex);
}
END_TEST

START_TEST(terminate_workers_after_kill_workers_changes_nothing)
{
    cfut_executor *ex = procs(1);
    struct busy_procs b;

    occupy_procs(&b, ex);
    ck_assert_int_eq(cfut_kill_workers(ex), CFUT_OK);
    ck_assert_int_eq(cfut_terminate_workers(ex), CFUT_OK);
    ck_assert_int_eq(stay_result(&b.f), CFUT_WORKER_DIED);
    end_pool(ex);
}
END_TEST

static void shut_down(cfut_future *f, void *ex)
{
    (void)f;
    atomic_store(&board()->n[7], cfut_shutdown(ex, CFUT_DRAIN));
    atomic_store(&board()->go, 1);
}

START_TEST(shutdown_in_a_callback_of_a_close_is_a_deadlock)
{
    cfut_executor *ex = procs(1);
    struct busy_procs b;
    square_future f;

    occupy_procs(&b, ex);
    square_submit(ex, &f, 1);
    cfut_on_done(&f.base, shut_down, ex);
    cfut_close(ex, CFUT_CANCEL_PENDING);
    ck_assert_int_eq(atomic_load(&board()->n[7]), CFUT_DEADLOCK);
    ck_assert_int_eq(stay_result(&b.f), CFUT_OK);
    end_pool(ex);
}
END_TEST

START_TEST(pool_of_the_parent_is_not_a_forked_childs_to_end)
{
    cfut_executor *ex = procs(1);
    struct busy_procs b;
    int status = 0;
    pid_t pid;

    occupy_procs(&b, ex);
    pid = fork();
    if (pid == 0) {
        cfut_close(ex, CFUT_CANCEL_PENDING);
        _exit(cfut_kill_workers(ex) == CFUT_FORKED && !cfut_executor_workers(ex) ? 5 : 6);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) { }
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 5);
    free_procs(&b);
    end_pool(ex);
}
END_TEST

/* What the helper is to do waits until it reads again. */
START_TEST(helper_that_stops_for_a_while_is_told_all_the_same)
{
    enum { WORKERS = 24 };
    cfut_executor *ex = procs(WORKERS);
    const cfuti_procs *p = cfuti_procs_of(ex);
    stay_future f[WORKERS];
    int small = 1;

    setsockopt(p->channel, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    kill(p->helper, SIGSTOP);
    for (int i = 0; i < WORKERS; i++) stay_submit(ex, &f[i], i);
    test_sleep(CFUT_MS(50));
    kill(p->helper, SIGCONT);
    await_count(&board()->started, WORKERS);
    kill(p->helper, SIGSTOP);
    ck_assert_int_eq(cfut_kill_workers(ex), CFUT_OK);
    test_sleep(CFUT_MS(50));
    kill(p->helper, SIGCONT);
    for (int i = 0; i < WORKERS; i++) ck_assert_int_eq(stay_result(&f[i]), CFUT_WORKER_DIED);
    end_pool(ex);
}
END_TEST

/* ---- names ---- */

START_TEST(task_beyond_what_a_pool_has_names_for_is_refused)
{
    cfut_executor *ex = procs(1);
    cfuti_procs *p = cfuti_procs_of(ex);
    own_pid_future f;
    square_future g;

    own_pid_submit(ex, &f, 0);
    ck_assert_int_eq(own_pid_result(&f), CFUT_OK);
    for (int i = 0; i < CFUTI_NAMES; i++)
        if (!p->code[i]) p->code[i] = (cfut_fn)(uintptr_t)1;
    square_submit(ex, &g, 3);
    ck_assert_int_eq(square_result(&g), CFUT_FULL);
    own_pid_submit(ex, &f, 0);
    ck_assert_int_eq(own_pid_result(&f), CFUT_OK);
    end_pool(ex);
}
END_TEST

static int (*code_of_no_file(void))(const void *, void *)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    ck_assert(page != MAP_FAILED);
    return (int (*)(const void *, void *))(uintptr_t)page;
}

static void assert_invalid(cfut_process_pool_desc desc)
{
    cfut_executor *ex;

    desc.start = START;
    ex = cfut_process_pool(&desc);
    ck_assert_int_eq(cfut_executor_status(ex), CFUT_INVALID);
    ck_assert_int_eq(cfut_shutdown(ex, CFUT_DRAIN), CFUT_OK);
}

/* Only where the system says where code comes from. */
START_TEST(code_of_no_file_is_refused)
{
    cfut_task task = { code_of_no_file(), "made", 0, 0 };
    cfut_executor *ex = procs(1);
    cfut_future f;

    if (CFUTI_FUTEX) {
        ck_assert_int_eq(cfut_result(cfut_submit(ex, &f, &task, NULL, NULL)), CFUT_INVALID);
        assert_invalid((cfut_process_pool_desc){
            .initializer = (int (*)(void *))(void (*)(void))task.fn });
        assert_invalid((cfut_process_pool_desc){
            .finalizer = (void (*)(void *))(void (*)(void))task.fn });
    }
    end_pool(ex);
}
END_TEST

START_TEST(task_whose_place_cannot_be_looked_up_for_lack_of_descriptors_fails)
{
    cfut_executor *ex = procs(1);
    struct rlimit limit, none;
    square_future f;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 0;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    square_submit(ex, &f, 3);
    setrlimit(RLIMIT_NOFILE, &limit);
    ck_assert_int_eq(square_result(&f), CFUTI_FUTEX ? CFUT_NO_MEMORY : CFUT_OK);
    square_submit(ex, &f, 3);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    end_pool(ex);
}
END_TEST

/* ---- the host's steps, and what comes between ---- */

static cfut_executor *hook_pool;
static cfut_future *hook_future;
static pthread_t hook_thread;

static void *cancel_it(void *f)
{
    atomic_store(&board()->go, cfut_cancel(f) ? 2 : 1);
    return NULL;
}

static void cancel_while_filling(const char *name)
{
    if (strcmp(name, "to fill")) return;
    atomic_store(&process_hook, NULL);
    hook_thread = thread_start(cancel_it, hook_future);
    test_sleep(CFUT_MS(20));
    ck_assert_int_eq(atomic_load(&board()->go), 0);
}

START_TEST(cancel_waits_until_the_argument_is_copied)
{
    cfut_executor *ex = procs_with((cfut_process_pool_desc){
        .max_workers = 1, .kill_on_cancel = true });
    square_future f;

    square_submit(ex, &f, 3);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    hook_future = &f.base;
    atomic_store(&process_hook, cancel_while_filling);
    square_submit(ex, &f, 4);
    thread_end(hook_thread);
    ck_assert_int_ne(atomic_load(&board()->go), 0);
    if (atomic_load(&board()->go) == 2) ck_assert_int_eq(square_result(&f), CFUT_CANCELLED);
    cfut_result(&f.base);
    end_pool(ex);
}
END_TEST

static void break_pool(const char *name)
{
    if (strcmp(name, "named")) return;
    atomic_store(&process_hook, NULL);
    kill(cfuti_procs_of(hook_pool)->helper, SIGKILL);
    while (cfut_executor_status(hook_pool) == CFUT_OK) test_sleep(CFUT_US(200));
}

START_TEST(submit_while_the_pool_breaks_is_refused)
{
    cfut_executor *ex = hook_pool = procs(1);
    square_future f;

    square_submit(ex, &f, 3);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    atomic_store(&process_hook, break_pool);
    square_submit(ex, &f, 4);
    ck_assert_int_eq(square_result(&f), CFUT_BROKEN);
    ck_assert_ptr_nonnull(strstr(cfut_executor_error(ex), "helper"));
    end_pool(ex);
}
END_TEST

/* Managers that are awake are waited for, and those before them let go again. */
START_TEST(pool_is_made_by_fork_while_managers_are_busy)
{
    enum { POOLS = 3, N = 300 };
    static square_future f[POOLS][N];
    cfut_executor *ex[POOLS];

    for (int i = 0; i < POOLS; i++) ex[i] = procs(1);
    for (int round = 0; round < 30; round++) {
        cfut_executor *one;

        for (int k = 0; k < N; k++)
            for (int i = 0; i < POOLS; i++) square_submit(ex[i], &f[i][k], k);
        one = procs(1);
        ck_assert_int_eq(cfut_executor_status(one), CFUT_OK);
        end_pool(one);
        for (int i = 0; i < POOLS; i++)
            for (int k = 0; k < N; k++) ck_assert_int_eq(square_result(&f[i][k]), CFUT_OK);
    }
    for (int i = 0; i < POOLS; i++) end_pool(ex[i]);
}
END_TEST

START_TEST(pool_is_made_by_fork_long_after_the_last_one)
{
    cfut_executor *first = procs(1), *second;
    own_pid_future f;

    own_pid_submit(first, &f, 0);
    ck_assert_int_eq(own_pid_result(&f), CFUT_OK);      /* its manager is there */
    cfuti_procs_changed = 1;            /* as if it had been then */
    second = procs(1);
    end_pool(second);
    end_pool(first);
}
END_TEST

static void make_a_pool(cfut_future *f, void *status)
{
    cfut_executor *ex = cfut_process_pool(&(cfut_process_pool_desc){ .start = CFUT_START_FORK });

    (void)f;
    *(int *)status = cfut_executor_status(ex);
    cfut_shutdown(ex, CFUT_DRAIN);
}

START_TEST(pool_by_fork_in_a_managers_callback_is_refused)
{
    cfut_executor *ex = procs(1);
    struct busy_procs b;
    int status = 0;

    occupy_procs(&b, ex);
    cfut_on_done(&b.f.base, make_a_pool, &status);
    free_procs(&b);
    ck_assert_int_eq(status, CFUT_NO_THREADS);
    end_pool(ex);
}
END_TEST

START_TEST(handle_of_the_oldest_ended_pool_is_freed_when_there_are_too_many)
{
    cfut_executor *first = procs(1), *second = procs(1);

    end_pool(first);
    ck_assert_ptr_eq(cfuti_procs_graves_first, cfuti_procs_of(first));
    cfuti_procs_graves = CFUTI_GRAVES;          /* as if there had been as many */
    end_pool(second);
    ck_assert_ptr_eq(cfuti_procs_graves_first, cfuti_procs_of(second));
    ck_assert_uint_eq(cfuti_procs_graves, CFUTI_GRAVES);
    ck_assert_int_eq(cfut_executor_status(second), CFUT_CLOSED);
}
END_TEST

/* ---- deaths ---- */

static int raise_it(const int *sig, int *out)
{
    *out = 0;
    raise(*sig);
    return CFUT_OK;
}
CFUT_TASK(raise_it, int, int);

START_TEST(death_by_a_signal_without_a_name_is_told_by_its_number)
{
    cfut_executor *ex = procs(1);
    char text[40];
    raise_it_future f;

    snprintf(text, sizeof text, "signal %d, pid", SIGUSR1);
    raise_it_submit(ex, &f, SIGUSR1);
    ck_assert_int_eq(raise_it_result(&f), CFUT_WORKER_DIED);
    ck_assert_ptr_eq(strstr(cfut_error(&f.base), text), cfut_error(&f.base));
    end_pool(ex);
}
END_TEST

/* One that a stopped worker did not begin: that says its word, which a task may have
   written. So it goes to another one a few times only, and never if it was to be
   cancelled. */
START_TEST(task_that_was_not_begun_again_and_again_fails)
{
    static cfuti_reports reports;
    static cfuti_procs p;
    static cfuti_proc w = { .pool = &p, .reports = &reports };
    cfut_future f;
    cfuti_entry e = { .future = &f, .proc = &w, .number = 5 };
    int tries = 0;

    memset(&f, 0, sizeof f);
    reports.slot[5].word = CFUTI_WORD(5, CFUTI_QUEUED);
    ck_assert(cfuti_entry_waits(&e));
    e.why = CFUTI_WHY_CANCEL;
    ck_assert(!cfuti_entry_waits(&e));
    e.why = CFUTI_WHY_LIMIT;
    while (cfuti_entry_waits(&e)) tries++;
    ck_assert_int_eq(tries, 2);
    p.desc.max_retries = 255;
    while (cfuti_entry_waits(&e)) tries++;
    ck_assert_int_eq(tries, 255);
    reports.slot[5].word = CFUTI_WORD(5, CFUTI_RUNNING);
    e.why = CFUTI_WHY_NOT;
    ck_assert(!cfuti_entry_waits(&e));
}
END_TEST

/* ---- by themselves: what the host does with a worker's tasks ---- */

/* A worker that has three, without a process: all parts are in memory of the test. */
static struct {
    cfuti_procs pool;
    cfuti_proc proc;
    cfuti_orders orders;
    cfuti_reports reports;
    cfut_future f[3];
} alone;

static cfuti_proc *worker_with_three(void)
{
    cfuti_proc *w = &alone.proc;

    memset(&alone, 0, sizeof alone);
    w->pool = &alone.pool;
    w->orders = &alone.orders;
    w->reports = &alone.reports;
    w->depth = 8;
    w->bell = -1;
    alone.pool.procs = w;
    alone.pool.max_workers = 1;
    alone.pool.bell[0] = alone.pool.bell[1] = -1;
    cfuti_proc_set(w, CFUTI_READY);
    for (int i = 0; i < 3; i++) {
        alone.f[i].task = &nothing_task;
        alone.f[i].state = cfuti_generation | CFUT_STATE_PENDING;
        cfuti_entry_publish(cfuti_proc_reserve(w, &alone.f[i]), 0);
    }
    return w;
}

START_TEST(task_that_is_being_filled_stays_where_it_is)
{
    cfuti_proc *w = worker_with_three();

    w->entry[1].filling = 1;
    ck_assert(!cfuti_proc_take_back(w));
    ck_assert_ptr_eq(alone.pool.first, &alone.f[2]);
    ck_assert_ptr_eq(w->entry[1].future, &alone.f[1]);
    ck_assert(cfuti_proc_kill(w, &w->entry[0], 1000) == 1000 + CFUT_MS(1));
    ck_assert_int_eq(w->signal, 0);
    w->entry[1].filling = 0;
    ck_assert(cfuti_proc_kill(w, &w->entry[0], 1000) == CFUT_FOREVER);
    ck_assert_int_eq(w->signal, SIGKILL);
    ck_assert_ptr_null(w->entry[1].future);
}
END_TEST

START_TEST(task_that_is_being_filled_is_no_other_workers)
{
    cfuti_proc *w = worker_with_three();

    alone.pool.max_workers = 2;         /* there may be one more */
    alone.pool.procs = calloc(2, sizeof *w);
    ck_assert_ptr_nonnull(alone.pool.procs);
    alone.pool.procs[0] = *w;
    alone.pool.procs[1].pool = &alone.pool;
    w = alone.pool.procs;
    for (int i = 0; i < 3; i++) w->entry[i].proc = w;
    w->entry[1].filling = w->entry[2].filling = 1;
    cfuti_procs_rebalance(&alone.pool);
    ck_assert_ptr_null(alone.pool.first);
    w->entry[2].filling = 0;
    cfuti_procs_rebalance(&alone.pool);
    ck_assert_ptr_eq(alone.pool.first, &alone.f[2]);
    free(alone.pool.procs);
}
END_TEST

START_TEST(patience_with_a_worker_begins_when_its_task_is_filled)
{
    cfuti_proc *w = worker_with_three();
    cfuti_entry *e = &w->entry[0];

    e->filling = 1;
    ck_assert(!cfuti_proc_has_begun(w, e, CFUT_SEC(100), 1));
    ck_assert(w->came == CFUT_SEC(100));
    e->filling = 0;
    ck_assert(!cfuti_proc_has_begun(w, e, CFUT_SEC(100) + CFUT_MS(1), 1));
    ck_assert_int_eq(e->why, CFUTI_WHY_NOT);
    ck_assert(!cfuti_proc_has_begun(w, e, CFUT_SEC(101), 1));
    ck_assert_int_eq(e->why, CFUTI_WHY_LIMIT);
    ck_assert(w->held);
}
END_TEST

/* It runs already, and the host has yet to see that the one before is done. */
START_TEST(task_to_be_killed_for_that_is_not_at_the_head_holds_when_it_gets_there)
{
    cfuti_proc *w = worker_with_three();

    alone.pool.desc.kill_on_cancel = true;
    cfuti_entry_stop(&w->entry[1]);
    ck_assert_int_eq(w->entry[1].why, CFUTI_WHY_CANCEL);
    ck_assert_uint_eq(w->orders->slot[1].stop, 1);
    ck_assert(!w->held);
    cfuti_entry_stop(&w->entry[1]);     /* once more, and nothing */
    w->head = 1;
    cfuti_proc_new_head(w);
    ck_assert(w->held);
    ck_assert_uint_eq(cfuti_proc_depth(w), 0);
    w->held = false;
    w->stopped = true;
    ck_assert_uint_eq(cfuti_proc_depth(w), 0);
}
END_TEST

START_TEST(chunk_that_says_more_than_it_has_is_not_believed_after_a_death)
{
    cfuti_proc *w = worker_with_three();
    static char bulk[4096];
    int out[4];
    cfuti_parcel k = { .n = 4, .failed = 4 };

    w->bulk_out = bulk;
    k.f.task = &square_task;
    k.f.out = out;
    k.f.state = cfuti_generation | CFUT_STATE_PENDING | CFUTI_PARCEL;
    w->entry[0].future = &k.f;
    alone.reports.slot[0].word = CFUTI_WORD(0, CFUTI_RUNNING);
    alone.reports.slot[0].progress = 1000;
    cfuti_entry_died(&w->entry[0], &alone.pool.outcomes, "dead");
    ck_assert_uint_eq(k.done, 3);
    ck_assert_int_eq(alone.pool.outcomes.of[0].status, CFUT_WORKER_DIED);
}
END_TEST

/* A worker that comes late to a number that was taken back finds a newer one there. */
START_TEST(number_that_was_overtaken_is_passed)
{
    static cfuti_child c;
    bool passed;

    memset(&alone, 0, sizeof alone);
    c.orders = &alone.orders;
    c.reports = &alone.reports;
    alone.orders.slot[3].number = 3 + CFUTI_SLOTS;
    alone.reports.slot[3].word = CFUTI_WORD(3 + CFUTI_SLOTS, CFUTI_QUEUED);
    ck_assert(!cfuti_child_claim(&c, 3, &passed));
    ck_assert(passed);
    /* the one that is there is older */
    ck_assert(!cfuti_child_claim(&c, 3 + 2 * CFUTI_SLOTS, &passed));
    ck_assert(!passed);
}
END_TEST

static void reclaim_in_callback(cfut_future *f, void *other)
{
    cfut_future *fs[1] = { other };

    (void)f;
    atomic_store(&board()->ended, 1);
    cfut_reclaim(fs, 1);
    ck_assert(cfut_done(other));
    atomic_store(&board()->ended, 2);
}

/* The callback cannot leave, so the manager manages within it. */
START_TEST(helper_that_dies_while_a_callback_reclaims_breaks_the_pool)
{
    cfut_executor *ex = procs(2);
    struct busy_procs b;
    stay_future f;

    occupy_procs(&b, ex);
    stay_submit(ex, &f, 1);
    cfut_on_done(&f.base, reclaim_in_callback, &b.f.base);
    await_count(&board()->started, 2);
    kill(atomic_load(&board()->at[1]), SIGKILL);
    await_count(&board()->ended, 1);
    kill(cfuti_procs_of(ex)->helper, SIGKILL);
    ck_assert_int_eq(stay_result(&b.f), CFUT_BROKEN);
    await_count(&board()->ended, 2);
    ck_assert_int_eq(stay_result(&f), CFUT_WORKER_DIED);
    end_pool(ex);
}
END_TEST

/* ---- forks in callbacks: the child comes back from them, and is alone ---- */

static int child_status;

/* Its parent goes on when it is gone. */
static void fork_in_callback(cfut_future *f, void *user)
{
    pid_t pid = fork();
    int status = 0;

    (void)f;
    (void)user;
    if (pid == 0) return;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) { }
    child_status = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void fork_and_leave(cfut_future *f, void *user)
{
    pid_t here = getpid();

    fork_in_callback(f, user);
    if (getpid() != here) pthread_exit(NULL);
}

static void let_go(cfut_future *f, void *user)
{
    (void)f;
    (void)user;
    atomic_store(&board()->go, 1);
}

/* Whoever ends the pool has the callbacks of what is queued. */
START_TEST(child_of_a_callback_in_a_close_has_no_pool_to_end)
{
    cfut_executor *ex = procs(1);
    struct busy_procs b;
    square_future f[3];
    pid_t here = getpid();
    int status;

    occupy_procs(&b, ex);
    for (int i = 0; i < 3; i++) square_submit(ex, &f[i], i);
    cfut_on_done(&f[1].base, fork_in_callback, NULL);
    cfut_on_done(&f[2].base, let_go, NULL);
    if (_i) cfut_close(ex, CFUT_CANCEL_PENDING);
    status = cfut_shutdown(ex, CFUT_CANCEL_PENDING);
    if (getpid() != here) _exit(status == CFUT_FORKED && !cfut_executor_workers(ex) ? 5 : 6);
    ck_assert_int_eq(status, CFUT_OK);
    ck_assert_int_eq(child_status, 5);
}
END_TEST

/* Here it is the manager, whose end is the child's. */
START_TEST(child_of_a_callback_in_a_manager_ends)
{
    static const cfut_done_fn callbacks[] = { fork_in_callback, fork_and_leave };
    cfut_executor *ex = procs(1);
    struct busy_procs b;
    square_future f[3];

    child_status = -1;
    occupy_procs(&b, ex);
    for (int i = 0; i < 3; i++) square_submit(ex, &f[i], i);
    cfut_on_done(_i & 1 ? &f[2].base : &b.f.base, callbacks[_i >> 1 & 1], NULL);
    if (_i & 4) kill(cfuti_procs_of(ex)->helper, SIGKILL);
    else atomic_store(&board()->go, 1);
    for (int i = 0; i < 3; i++) square_result(&f[i]);
    stay_result(&b.f);
    end_pool(ex);
    ck_assert_int_eq(child_status, 0);
}
END_TEST

/* And where nothing but the lack of memory completes it. */
START_TEST(child_of_a_callback_of_a_task_without_memory_ends)
{
    static const cfut_task task = { copy_block, "copy_block", 300, 1 };
    cfut_executor *ex = procs(1);
    cfut_future f;
    char in[300] = "", out;

    child_status = -1;
    no_more_maps = true;
    kill(cfuti_procs_of(ex)->helper, SIGSTOP);          /* until there is the callback */
    cfut_submit(ex, &f, &task, in, &out);
    cfut_on_done(&f, fork_in_callback, NULL);
    kill(cfuti_procs_of(ex)->helper, SIGCONT);
    ck_assert_int_eq(cfut_result(&f), CFUT_NO_MEMORY);
    no_more_maps = false;
    end_pool(ex);
    ck_assert_int_eq(child_status, 0);
}
END_TEST

START_TEST(child_of_a_callback_of_a_pool_that_breaks_ends)
{
    cfut_executor *ex = procs_with((cfut_process_pool_desc){
        .max_workers = 1, .queue_depth = 1, .on_worker_death = CFUT_BREAK_POOL });
    struct busy_procs b;
    square_future f;

    child_status = -1;
    occupy_procs(&b, ex);
    square_submit(ex, &f, 3);
    cfut_on_done(&f.base, fork_in_callback, NULL);
    kill(atomic_load(&board()->at[0]), SIGKILL);
    ck_assert_int_eq(square_result(&f), CFUT_BROKEN);
    ck_assert_int_eq(stay_result(&b.f), CFUT_BROKEN);
    end_pool(ex);
    ck_assert_int_eq(child_status, 0);
}
END_TEST

/* How the second one ends, for whose sake the callback forks. */
enum { IT_RETURNS, IT_DIES, ITS_HELPER_DIES };
struct awaited { int started, end; };

static int await_started(const struct awaited *a, int *out)
{
    linger(&board()->started, a->started);
    *out = 1;
    if (a->end == IT_DIES) raise(SIGKILL);
    if (a->end == ITS_HELPER_DIES) kill(getppid(), SIGKILL);
    while (a->end == ITS_HELPER_DIES) test_sleep(CFUT_MS(1));
    return CFUT_OK;
}
CFUT_TASK(await_started, struct awaited, int);

static void map_elsewhere(cfut_future *f, void *ex)
{
    int in[1] = { 0 }, out[1];

    (void)f;
    stay_map(ex, in, out, 1);
    atomic_fetch_add(&board()->ended, 1);
}

static void fork_and_let_go(cfut_future *f, void *user)
{
    pid_t here = getpid();

    fork_in_callback(f, user);
    if (getpid() == here) atomic_store(&board()->go, 1);
}

/* The manager maps on another pool, and manages its own meanwhile. In the child there
   is nothing to wait for. */
START_TEST(child_of_a_callback_within_a_map_in_a_callback_ends)
{
    cfut_executor *ex = procs(2), *other = procs(1);
    await_started_future first, second;

    child_status = -1;
    kill(cfuti_procs_of(ex)->helper, SIGSTOP);          /* until there are the callbacks */
    await_started_submit(ex, &first, (struct awaited){ 0, IT_RETURNS });
    await_started_submit(ex, &second, (struct awaited){ 1, _i });
    cfut_on_done(&first.base, map_elsewhere, other);
    cfut_on_done(&second.base, fork_and_let_go, NULL);
    kill(cfuti_procs_of(ex)->helper, SIGCONT);
    ck_assert_int_eq(await_started_result(&second),
                     _i == IT_DIES ? CFUT_WORKER_DIED : _i ? CFUT_BROKEN : CFUT_OK);
    ck_assert_int_eq(await_started_result(&first), CFUT_OK);
    ck_assert_int_eq(child_status, 0);
    ck_assert_int_eq(atomic_load(&board()->ended), 2);  /* it came back in both */
    end_pool(other);
    end_pool(ex);
}
END_TEST

/* ---- */

static void fill(TCase *tc)
{
    tcase_add_test(tc, bulk_is_given_out_as_in_a_ring);
    tcase_add_test(tc, memory_of_a_very_large_task_is_given_back_with_the_next_small_one);
    tcase_add_test(tc, task_where_files_may_not_be_large_is_run_as_far_as_it_fits);
    if (!UNDER_ASAN && !UNDER_TSAN && !EMULATED)        /* they take more than that */
        tcase_add_test(tc, task_that_does_not_fit_its_workers_memory_limit_fails);
    tcase_add_test(tc, task_with_an_absurd_result_is_refused);
    tcase_add_test(tc, task_whose_result_finds_the_folder_full_fails);
    tcase_add_test(tc, large_task_waits_for_the_memory_of_the_one_before);
    tcase_add_test(tc, task_without_argument_and_result_runs);
    tcase_add_test(tc, text_that_is_empty_is_none);
    tcase_add_test(tc, what_a_worker_reports_is_cut_to_what_can_be);
    tcase_add_test(tc, items_that_return_timeout_fail_with_etimedout);
    tcase_add_test(tc, chunk_that_is_out_of_time_is_not_run_to_its_end);
    tcase_add_test(tc, map_in_chunks_of_absurd_size_is_run_in_smaller_ones);
    tcase_add_test(tc, map_of_small_arguments_to_large_results);
    tcase_add_loop_test(tc, item_that_leaves_its_thread_costs_no_other, 0, 2);
    tcase_add_test(tc, chunk_whose_worker_dies_when_time_is_out_is_not_tried_again);
    tcase_add_test(tc, chunk_that_is_out_of_time_is_killed_where_a_cancel_may);
    tcase_add_test(tc, task_that_is_queued_is_not_its_users_to_start_or_finish);
    tcase_add_test(tc, cancel_in_a_closed_pool_may_be_the_end_of_it);
    tcase_add_test(tc, cancel_that_kills_may_be_said_twice);
    tcase_add_test(tc, terminate_workers_after_kill_workers_changes_nothing);
    tcase_add_test(tc, shutdown_in_a_callback_of_a_close_is_a_deadlock);
    tcase_add_test(tc, pool_of_the_parent_is_not_a_forked_childs_to_end);
    tcase_add_test(tc, helper_that_stops_for_a_while_is_told_all_the_same);
    tcase_add_test(tc, task_beyond_what_a_pool_has_names_for_is_refused);
    tcase_add_test(tc, code_of_no_file_is_refused);
    tcase_add_test(tc, task_whose_place_cannot_be_looked_up_for_lack_of_descriptors_fails);
    tcase_add_test(tc, cancel_waits_until_the_argument_is_copied);
    tcase_add_test(tc, submit_while_the_pool_breaks_is_refused);
    tcase_add_test(tc, pool_is_made_by_fork_while_managers_are_busy);
    tcase_add_test(tc, pool_is_made_by_fork_long_after_the_last_one);
    tcase_add_test(tc, pool_by_fork_in_a_managers_callback_is_refused);
    tcase_add_test(tc, handle_of_the_oldest_ended_pool_is_freed_when_there_are_too_many);
    tcase_add_test(tc, death_by_a_signal_without_a_name_is_told_by_its_number);
    tcase_add_test(tc, task_that_was_not_begun_again_and_again_fails);
    tcase_add_test(tc, task_that_is_being_filled_stays_where_it_is);
    tcase_add_test(tc, task_that_is_being_filled_is_no_other_workers);
    tcase_add_test(tc, patience_with_a_worker_begins_when_its_task_is_filled);
    tcase_add_test(tc, task_to_be_killed_for_that_is_not_at_the_head_holds_when_it_gets_there);
    tcase_add_test(tc, chunk_that_says_more_than_it_has_is_not_believed_after_a_death);
    tcase_add_test(tc, number_that_was_overtaken_is_passed);
    tcase_add_test(tc, helper_that_dies_while_a_callback_reclaims_breaks_the_pool);
    if (!UNDER_ASAN && !UNDER_TSAN) {   /* they complain when the thread that forked ends */
        tcase_add_loop_test(tc, child_of_a_callback_in_a_close_has_no_pool_to_end, 0, 2);
        tcase_add_loop_test(tc, child_of_a_callback_in_a_manager_ends, 0, 8);
        tcase_add_test(tc, child_of_a_callback_of_a_task_without_memory_ends);
        tcase_add_loop_test(tc, child_of_a_callback_within_a_map_in_a_callback_ends, 0, 3);
        tcase_add_test(tc, child_of_a_callback_of_a_pool_that_breaks_ends);
    }
}

int main(int argc, char **argv)
{
    return process_main(argc, argv, "process_host", fill, NULL);
}
