/* test_process_deadlock.c: the scenes of CPython's ExecutorDeadlockTest (SEM 93), each
   of which must end without hanging, and words of a worker that make no sense. What
   is pickled there is copied here: a task that cannot be unpickled is one whose code
   the worker cannot find, a result that cannot be is one that its worker has spoilt. */
#define PROCESS_POINTS
#include "process.h"

#include <dlfcn.h>

/* The bad task has ended so; the pool lives, and works. */
static void assert_good_after(cfut_executor *ex)
{
    square_future f[4];

    for (int i = 0; i < 4; i++) square_submit(ex, &f[i], i);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(square_result(&f[i]), CFUT_OK);
        ck_assert_int_eq(f[i].out, i * i);
    }
}

/* ---- in the worker, before, in and after the function ---- */

static const struct { enum step step; enum way way; } places[] = {
    { STEP_CLAIMED, BY_QUICK_EXIT },        /* test_exit_at_task_unpickle */
    { STEP_CLAIMED, BY_SIGSEGV },           /* test_crash_at_task_unpickle */
    { STEP_CLAIMED, BY_EXIT },
    { STEP_RAN, BY_SIGSEGV },               /* test_crash_during_result_pickle_on_worker */
    { STEP_RAN, BY_QUICK_EXIT },            /* test_exit_during_result_pickle_on_worker */
    { STEP_BEFORE_DONE, BY_SIGKILL },
};
enum { PLACES = sizeof places / sizeof *places };

START_TEST(worker_that_ends_around_the_function_hangs_nothing)
{
    cfut_executor *ex = procs(2);
    square_future f;

    arm_step(places[_i].step, places[_i].way, 0);
    square_submit(ex, &f, 3);
    ck_assert_int_eq(square_result(&f), CFUT_WORKER_DIED);
    assert_good_after(ex);
    end_pool(ex);
}
END_TEST

/* test_crash_during_func_exec_on_worker, test_exit_during_func_exec_on_worker */
START_TEST(worker_that_ends_in_the_function_hangs_nothing)
{
    static const enum way ways[] = { BY_SIGSEGV, BY_EXIT, BY_QUICK_EXIT };
    cfut_executor *ex = procs(2);
    die_future f;

    die_submit(ex, &f, (int)ways[_i]);
    ck_assert_int_eq(die_result(&f), CFUT_WORKER_DIED);
    assert_good_after(ex);
    end_pool(ex);
}
END_TEST

/* test_error_during_func_exec_on_worker */
START_TEST(error_in_the_function_hangs_nothing)
{
    cfut_executor *ex = procs(2);
    fail_with_future f;

    fail_with_submit(ex, &f, EDOM);
    ck_assert_int_eq(fail_with_result(&f), EDOM);
    assert_good_after(ex);
    end_pool(ex);
}
END_TEST

#ifndef CFUT_NO_FUTEX
/* A task in a library that the worker cannot open, as its file is gone. */
static void *vanished_library(void)
{
    char path[] = "/tmp/cfut-test-XXXXXX", block[4096];
    int from = open(TASK_LIBRARY, O_RDONLY), to = mkstemp(path);
    void *library;
    ssize_t n;

    ck_assert_int_ge(from, 0);
    ck_assert_int_ge(to, 0);
    while ((n = read(from, block, sizeof block)) > 0)
        ck_assert_int_eq(write(to, block, (size_t)n), n);
    close(from);
    close(to);
    library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    unlink(path);
    return library;
}

/* test_error_at_task_unpickle */
START_TEST(task_that_the_worker_cannot_find_fails_alone)
{
    cfut_executor *ex = procs(2);
    void *library = vanished_library();
    const cfut_task *task;
    cfut_future f;
    int x = 1, y;

    ck_assert_ptr_nonnull(library);
    task = dlsym(library, "library_task");
    cfut_submit(ex, &f, task, &x, &y);
    ck_assert_int_eq(cfut_result(&f), CFUT_INVALID);
    assert_good_after(ex);
    end_pool(ex);
    dlclose(library);
}
END_TEST
#else
/* Where files cannot be told apart in the worker. */
START_TEST(task_of_another_file_is_refused)
{
    cfut_executor *ex = procs(1);
    void *library = dlopen(TASK_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    cfut_future f;
    int x = 1, y;

    ck_assert_ptr_nonnull(library);
    cfut_submit(ex, &f, dlsym(library, "library_task"), &x, &y);
    ck_assert_int_eq(cfut_result(&f), CFUT_INVALID);
    assert_good_after(ex);
    end_pool(ex);
    dlclose(library);
}
END_TEST
#endif

/* ---- results that make no sense ---- */

/* Writes over the report of the task that runs: in the worker only. */
enum spoil { SPOIL_WORD, SPOIL_NUMBER, SPOIL_TEXT, SPOIL_FUTURE_WORDS, SPOIL_ALL, SPOILS };

static void write_junk(void *at, size_t n, uint32_t seed)
{
    unsigned char *p = at;

    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        p[i] = (unsigned char)(seed >> 24);
    }
}

static int spoil(const int *what, int *out)
{
    cfuti_reports *r = cfuti_this_child->reports;
    unsigned mine = 0;

    while ((r->slot[mine].word & 7) != CFUTI_RUNNING && mine < CFUTI_SLOTS - 1) mine++;
    *out = 0;
    switch ((enum spoil)*what) {
    case SPOIL_WORD: r->slot[mine].word |= 7; break;
    case SPOIL_NUMBER: r->slot[mine].word += 8 * 1000; break;
    case SPOIL_TEXT: memset(r->slot[mine].text, 'x', 104); break;
    case SPOIL_FUTURE_WORDS:
        for (unsigned i = 1; i < CFUTI_SLOTS; i++) r->slot[(mine + i) % CFUTI_SLOTS].word = ~i;
        break;
    case SPOIL_ALL: write_junk(r, sizeof *r, 7); break;
    case SPOILS: break;
    }
    if (*what == SPOIL_TEXT) return cfut_fail(5, "%s", "a text");
    linger(&board()->go, 1);
    return CFUT_OK;
}
CFUT_TASK(spoil, int, int);

/* test_error_during_result_unpickle_in_result_handler and
   test_error_during_result_pickle_on_worker */
START_TEST(spoilt_report_costs_its_worker_and_hangs_nothing)
{
    cfut_executor *ex = procs_with((cfut_process_pool_desc){
        .max_workers = 2, .time_limit = test_time(CFUT_SEC(1)) });
    spoil_future f;
    int status;

    spoil_submit(ex, &f, _i);
    status = spoil_result_timeout(&f, test_time(CFUT_MS(100)));
    atomic_store(&board()->go, 1);
    if (status == CFUT_TIMEOUT) status = spoil_result(&f);
    if (_i == SPOIL_TEXT) {
        ck_assert_int_eq(status, 5);
        ck_assert_str_eq(cfut_error(&f.base), "a text");
    } else if (_i == SPOIL_WORD || _i == SPOIL_NUMBER) {
        /* the manager has seen it, or came when the worker had mended it */
        ck_assert(status == CFUT_WORKER_DIED || status == CFUT_OK);
    }
    assert_good_after(ex);
    end_pool(ex);
}
END_TEST

/* Words of tasks to come are no reason to pass those over: here the next one's slot
   says that a newer task has it. */
static int write_ahead(const int *unused, int *out)
{
    cfuti_reports *r = cfuti_this_child->reports;

    *out = *unused;
    for (uint32_t n = 1; n < CFUTI_SLOTS; n++)
        r->slot[n].word = CFUTI_WORD(n + CFUTI_SLOTS, CFUTI_QUEUED);
    return CFUT_OK;
}
CFUT_TASK(write_ahead, int, int);

START_TEST(words_of_tasks_to_come_are_not_believed)
{
    cfut_executor *ex = procs(1);
    write_ahead_future f;

    write_ahead_submit(ex, &f, 0);
    ck_assert_int_eq(write_ahead_result(&f), CFUT_OK);
    assert_good_after(ex);
    end_pool(ex);
}
END_TEST

/* test_exit_during_result_unpickle_in_result_handler: what runs in the manager ends it */
static void end_thread_of(cfut_future *f, void *unused)
{
    (void)f;
    (void)unused;
    pthread_exit(NULL);
}

START_TEST(callback_that_ends_the_manager_hangs_nothing)
{
    cfut_executor *ex = procs(2);
    struct busy_procs busy;
    die_future f;

    occupy_procs(&busy, ex);
    cfut_on_done(&busy.f.base, end_thread_of, NULL);
    free_procs(&busy);
    die_submit(ex, &f, BY_SIGKILL);
    cfut_on_done(&f.base, end_thread_of, NULL);
    ck_assert_int_eq(die_result(&f), CFUT_WORKER_DIED);
    assert_good_after(ex);
    end_pool(ex);
}
END_TEST

/* ---- around shutdown ---- */

/* test_shutdown_deadlock: the crash comes when shutdown waits */
START_TEST(crash_during_shutdown_does_not_hang_it)
{
    cfut_executor *ex = procs(2);
    die_future f;

    die_submit(ex, &f, BY_SIGSEGV);
    end_pool(ex);
    ck_assert_int_eq(die_result(&f), CFUT_WORKER_DIED);
}
END_TEST

/* test_shutdown_deadlock_pickle: a task that cannot travel, and a shutdown that does
   not wait [bpo-39104] */
START_TEST(refused_task_does_not_hold_up_a_detached_shutdown)
{
    static const cfut_task absurd = { square_thunk, "absurd", SIZE_MAX / 2, sizeof(int) };
    cfut_executor *ex = procs(2);
    cfut_ns end = process_deadline();
    cfut_future f;
    int x = 1, y;

    cfut_submit(ex, &f, &absurd, &x, &y);
    ck_assert_int_eq(cfut_shutdown(ex, CFUT_DRAIN | CFUT_DETACH), CFUT_OK);
    ck_assert_int_eq(cfut_result(&f), CFUT_INVALID);
    while (waitpid(-1, NULL, WNOHANG) >= 0 && test_now() < end) test_sleep(CFUT_MS(1));
    while (open_descriptors() > process_descriptors && test_now() < end) test_sleep(CFUT_MS(1));
}
END_TEST

/* ---- much data, many submits ---- */

enum { MUCH = 4 << 20 };
struct much { unsigned char bytes[MUCH]; };

static int sum_of(const struct much *m, unsigned *sum)
{
    *sum = 0;
    for (size_t i = 0; i < MUCH; i += 1000) *sum += m->bytes[i];
    if (m->bytes[0] == 0xff) raise(SIGKILL);
    return CFUT_OK;
}

static int sum_thunk(const void *in, void *out) { return sum_of(in, out); }
static const cfut_task sum_task = { sum_thunk, "sum_of", sizeof(struct much), sizeof(unsigned) };

/* test_crash_big_data: it dies while a large payload is on its way [gh-94777] */
START_TEST(crash_while_much_data_is_on_its_way_hangs_nothing)
{
    enum { N = 16 };
    struct much *good = calloc(1, sizeof *good), *bad = calloc(1, sizeof *bad);
    cfut_executor *ex = procs(2);
    cfut_future f[N];
    unsigned sum[N];

    ck_assert(good && bad);
    memset(good->bytes, 1, MUCH);
    bad->bytes[0] = 0xff;
    for (int i = 0; i < N; i++) cfut_submit(ex, &f[i], &sum_task, i % 4 == 1 ? bad : good, &sum[i]);
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(cfut_result(&f[i]), i % 4 == 1 ? CFUT_WORKER_DIED : CFUT_OK);
        if (i % 4 != 1) ck_assert_uint_eq(sum[i], (MUCH + 999) / 1000);
    }
    end_pool(ex);
    free(good);
    free(bad);
}
END_TEST

static void hold_manager(cfut_future *f, void *gate)
{
    (void)f;
    gate_wait(gate);
}

/* test_gh105829_should_not_deadlock_if_wakeup_pipe_full */
START_TEST(submits_while_the_manager_is_held_never_block)
{
    enum { N = 20000 };
    static square_future f[N];
    cfut_executor *ex = procs(2);
    struct busy_procs busy;
    struct gate gate;

    gate_init(&gate);
    occupy_procs(&busy, ex);
    cfut_on_done(&busy.f.base, hold_manager, &gate);
    atomic_store(&board()->go, 1);
    for (int i = 0; i < N; i++) square_submit(ex, &f[i], i % 1000);
    for (int i = 0; i < N; i += 3) cfut_cancel(&f[i].base);
    gate_open(&gate);
    ck_assert_int_eq(stay_result(&busy.f), CFUT_OK);
    for (int i = 0; i < N; i++) {
        int status = square_result(&f[i]);

        ck_assert(status == CFUT_OK || (status == CFUT_CANCELLED && i % 3 == 0));
        if (!status) ck_assert_int_eq(f[i].out, (i % 1000) * (i % 1000));
    }
    end_pool(ex);
}
END_TEST

/* ---- a worker that writes whatever it likes over its reports ---- */

struct orders { uint32_t seed, rounds; };

/* Mostly words, as these are what the manager acts upon; now and then its own to an
   end, or one that belongs to a task behind it. */
static int scribble(const struct orders *o, int *out)
{
    cfuti_reports *r = cfuti_this_child->reports;
    uint32_t x = o->seed;

    *out = 0;
    for (uint32_t i = 0; i < o->rounds; i++) {
        cfuti_report *slot;

        x = x * 1664525u + 1013904223u;
        slot = &r->slot[(x >> 8) % CFUTI_SLOTS];
        switch (x >> 28) {
        case 0: slot->word = x >> 3; break;
        case 1: write_junk(slot, sizeof *slot, x); break;
        case 2: slot->progress = x; break;
        case 3: slot->status = (int32_t)x; break;
        case 4: r->phase = x >> 20; break;
        case 5: slot->took = (uint64_t)x << 32; break;
        default: slot->word = (slot->word & ~7u) | ((x >> 5) & 7); break;
        }
        if (x % 16 == 0) test_sleep(CFUT_US(x % 50));
    }
    return CFUT_OK;
}
CFUT_TASK(scribble, struct orders, int);

START_TEST(scribbling_worker_never_harms_the_host)
{
    enum { N = 12 };             /* each may cost its time limit and more */
    static scribble_future bad[N];
    static square_future good[N];
    static unsigned char in[N][300], out[N][300];
    cfut_executor *ex = procs_with((cfut_process_pool_desc){
        .max_workers = 3, .queue_depth = 8, .time_limit = test_time(CFUT_MS(200)) });

    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < N; i++) {
            struct orders o = { (uint32_t)(_i * 100000 + round * 1000 + i), 400 };

            memset(in[i], i, sizeof in[i]);
            memset(out[i], 0, sizeof out[i]);
            scribble_submit(ex, &bad[i], o);
            square_submit(ex, &good[i], i);
            if (i % 3 == 0) cfut_cancel(&good[i].base);
            if (i % 5 == 0) cfut_cancel(&bad[i].base);
        }
        for (int i = 0; i < N; i++) {
            scribble_result(&bad[i]);
            square_result(&good[i]);        /* its worker may have been the bad one's */
        }
    }
    if (cfut_executor_status(ex) == CFUT_OK) cfut_kill_workers(ex);
    ck_assert_int_eq(cfut_shutdown(ex, CFUT_CANCEL_PENDING), CFUT_OK);
}
END_TEST

/* A map's chunk whose worker lies about it. */
static int lie(const uint32_t *seed, int *out)
{
    struct orders o = { *seed, 20 };

    return *seed % 8 ? (*out = 1, CFUT_OK) : scribble(&o, out);
}
CFUT_TASK(lie, uint32_t, int);

START_TEST(map_of_scribbling_items_ends)
{
    enum { N = 200 };
    static uint32_t in[N];
    static int out[N], status[N];
    cfut_executor *ex = procs_with((cfut_process_pool_desc){
        .max_workers = 2, .time_limit = test_time(CFUT_MS(200)) });
    cfut_map_desc desc = { .status = status, .chunksize = 20,
                           .timeout = test_time(CFUT_SEC(3)) };

    for (uint32_t i = 0; i < N; i++) in[i] = (uint32_t)_i * 1000 + i;
    lie_map_with(ex, in, out, N, &desc);
    cfut_kill_workers(ex);
    ck_assert_int_eq(cfut_shutdown(ex, CFUT_CANCEL_PENDING), CFUT_OK);
}
END_TEST

/* An absurd phase is no news to stay awake for. */
static int absurd_phase(void *unused)
{
    (void)unused;
    cfuti_this_child->reports->phase = 12345;
    atomic_store(&board()->started, 1);
    linger(&board()->go, 1);
    return CFUT_OK;
}

static cfut_ns own_cpu_time(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return CFUT_SEC(t.tv_sec) + t.tv_nsec;
}

START_TEST(absurd_phase_does_not_keep_the_host_busy)
{
    cfut_executor *ex = procs_with((cfut_process_pool_desc){ .max_workers = 1,
                                                             .initializer = absurd_phase });
    square_future f;
    cfut_ns before;

    square_submit(ex, &f, 2);
    await_count(&board()->started, 1);
    test_sleep(CFUT_MS(50));
    before = own_cpu_time();
    test_sleep(CFUT_MS(400));
    ck_assert_int_lt(own_cpu_time() - before, CFUT_MS(200));
    atomic_store(&board()->go, 1);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    end_pool(ex);
}
END_TEST

/* ---- staged: the host is held at a step of its own ---- */

static const char *held_at;             /* which step; set before the hook */
static struct gate held, let_go;
static atomic_int holds;                /* how often it is still to be held */

static void hold_there(const char *name)
{
    if (strcmp(name, held_at) || atomic_fetch_sub(&holds, 1) != 1) return;
    gate_open(&held);
    gate_wait(&let_go);
}

static void hold_host_at(const char *name)
{
    held_at = name;
    gate_init(&held);
    gate_init(&let_go);
    atomic_store(&holds, 1);
    atomic_store(&process_hook, hold_there);
}

static void *submit_one(void *ex)
{
    square_future f;

    square_submit(ex, &f, 2);
    ck_assert_int_eq(square_result(&f), CFUT_CLOSED);
    return NULL;
}

START_TEST(submit_that_is_overtaken_by_shutdown_is_refused)
{
    cfut_executor *ex = procs(1);
    pthread_t late;

    hold_host_at("to name");
    late = thread_start(submit_one, ex);
    gate_wait(&held);
    end_pool(ex);
    gate_open(&let_go);
    thread_end(late);
}
END_TEST

static int stay_longer(const int *unused, int *out)
{
    *out = *unused;
    atomic_fetch_add(&board()->started, 1);
    linger(&board()->ended, 1);
    return CFUT_OK;
}
CFUT_TASK(stay_longer, int, int);

/* The manager has seen that the task is done, and has not told; a cancel that kills
   comes, while the next one runs. */
START_TEST(kill_for_a_task_that_is_done_spares_the_next)
{
    cfut_executor *ex = procs_with((cfut_process_pool_desc){
        .max_workers = 1, .kill_on_cancel = true, .queue_depth = 2 });
    square_future first;
    stay_future f;
    stay_longer_future next;

    square_submit(ex, &first, 1);
    ck_assert_int_eq(square_result(&first), CFUT_OK);
    stay_submit(ex, &f, 1);
    await_count(&board()->started, 1);
    stay_longer_submit(ex, &next, 2);
    hold_host_at("noted");
    atomic_store(&board()->go, 1);
    gate_wait(&held);
    await_count(&board()->started, 2);
    cfut_cancel(&f.base);
    gate_open(&let_go);
    ck_assert_int_eq(stay_result(&f), CFUT_OK);
    test_sleep(CFUT_MS(30));            /* time for a blow to land */
    atomic_store(&board()->ended, 1);
    ck_assert_int_eq(stay_longer_result(&next), CFUT_OK);
    end_pool(ex);
}
END_TEST

static int stay_without_term(const int *at, int *out)
{
    signal(SIGTERM, SIG_IGN);
    return stay(at, out);
}
CFUT_TASK(stay_without_term, int, int);

/* A worker that survives SIGTERM is done just before the manager goes to sleep. */
START_TEST(result_after_terminate_is_heard_by_a_manager_about_to_sleep)
{
    cfut_executor *ex = procs(1);
    cfuti_proc *w = &cfuti_procs_of(ex)->procs[0];
    stay_without_term_future f;
    cfut_ns end = process_deadline();

    stay_without_term_submit(ex, &f, 0);
    await_count(&board()->started, 1);
    hold_host_at("to sleep");
    ck_assert_int_eq(cfut_terminate_workers(ex), CFUT_OK);
    gate_wait(&held);
    atomic_store(&board()->go, 1);
    while ((cfuti_load_acquire(&w->reports->slot[0].word) & 7) != CFUTI_DONE_SLOT &&
           test_now() < end)
        test_sleep(CFUT_MS(1));
    test_sleep(CFUT_MS(20));            /* it has looked whether anybody sleeps */
    gate_open(&let_go);
    ck_assert_int_eq(stay_without_term_result(&f), CFUT_OK);
    end_pool(ex);
}
END_TEST

/* ---- */

static void fill(TCase *tc)
{
    tcase_add_loop_test(tc, worker_that_ends_around_the_function_hangs_nothing, 0, PLACES);
    tcase_add_loop_test(tc, worker_that_ends_in_the_function_hangs_nothing, 0, 3);
    tcase_add_test(tc, error_in_the_function_hangs_nothing);
#ifndef CFUT_NO_FUTEX
    tcase_add_test(tc, task_that_the_worker_cannot_find_fails_alone);
#else
    tcase_add_test(tc, task_of_another_file_is_refused);
#endif
    tcase_add_loop_test(tc, spoilt_report_costs_its_worker_and_hangs_nothing, 0, SPOILS);
    tcase_add_test(tc, words_of_tasks_to_come_are_not_believed);
    tcase_add_test(tc, callback_that_ends_the_manager_hangs_nothing);
    tcase_add_test(tc, crash_during_shutdown_does_not_hang_it);
    tcase_add_test(tc, refused_task_does_not_hold_up_a_detached_shutdown);
    tcase_add_test(tc, crash_while_much_data_is_on_its_way_hangs_nothing);
    tcase_add_test(tc, submits_while_the_manager_is_held_never_block);
    tcase_add_loop_test(tc, scribbling_worker_never_harms_the_host, 0, 4);
    tcase_add_loop_test(tc, map_of_scribbling_items_ends, 0, 4);
    tcase_add_test(tc, absurd_phase_does_not_keep_the_host_busy);
    tcase_add_test(tc, submit_that_is_overtaken_by_shutdown_is_refused);
    tcase_add_test(tc, kill_for_a_task_that_is_done_spares_the_next);
    tcase_add_test(tc, result_after_terminate_is_heard_by_a_manager_about_to_sleep);
}

int main(int argc, char **argv)
{
    return process_main(argc, argv, "process_deadlock", fill, NULL);
}
