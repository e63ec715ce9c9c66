/* harness.h: what every test program shares. Included first, once a program:
   it brings the implementation of cfut.h, the check framework, the worker
   count and the time scale of this run, gates and counters to order threads
   by, a few tasks, the runner, and a watchdog that shows every thread's stack
   instead of a silent hang.

   Environment:
     CFUT_TEST_WORKERS  workers of test_pool (default 2)
     CFUT_TEST_SCALE    factor on all times (default 1; slow builds use more)
     CFUT_TEST_SIGNALS  if set: a signal a millisecond, for whichever thread takes it
     CFUT_TEST_ONLY     run only tests whose name contains this text */
#ifndef CFUT_TEST_HARNESS_H
#define CFUT_TEST_HARNESS_H

#undef NDEBUG
#include <assert.h>

#include <stdbool.h>
#include <stddef.h>

/* With HARNESS_FAULTS defined, allocations and thread starts of the library go
   through these, which count them and fail on demand. */
#ifdef HARNESS_FAULTS
static void *fault_malloc(size_t n);
static void fault_free(void *p);
static bool fault_thread_start(void *t, size_t stack, void *arg);
#define CFUT_MALLOC(n) fault_malloc(n)
#define CFUT_FREE(p) fault_free(p)
#define cfuti_thread_start fault_thread_start
#endif

#define CFUT_IMPLEMENTATION
#include "cfut.h"

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#if defined(_WIN32)
#include <process.h>
#pragma GCC diagnostic ignored "-Wformat"               /* check's are C99's, which mingw-w64's */
#pragma GCC diagnostic ignored "-Wformat-extra-args"    /* compiler does not take for right */
#else
#include <dirent.h>
#include <signal.h>
#include <sys/syscall.h>
#endif
#if defined(__GLIBC__)
#include <execinfo.h>
#define HARNESS_BACKTRACE 1
#else
#define HARNESS_BACKTRACE 0         /* musl has no backtrace() */
#endif

#define HARNESS_UNUSED __attribute__((unused))

/* check notes where the last assertion stood that held, for the report of a crash, by a
   write each time. In a loop once is enough: a third of all the tests' time was these. */
HARNESS_UNUSED static _Thread_local int harness_line;
#define _mark_point(file, line) \
    (harness_line != (line) ? (harness_line = (line), (_mark_point)(file, line)) : (void)0)

/* Which sanitizer has compiled this: 0 or 1. */
#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__SANITIZE_ADDRESS__)
#define UNDER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#elif __has_feature(address_sanitizer)
#define UNDER_ASAN 1
#endif
#endif
#ifndef UNDER_TSAN
#define UNDER_TSAN 0
#endif
#ifndef UNDER_ASAN
#define UNDER_ASAN 0
#endif

/* Whether qemu runs this program. Then limits of memory are not kept, /proc does not tell
   the number of threads, a spawn fails late, control data of a message is written beyond
   too small a buffer, and a thread that is started in a process forked beside threads
   ends it: what needs these is left out. */
#ifdef TEST_EMULATED
enum { EMULATED = 1 };
#else
enum { EMULATED = 0 };
#endif

/* Whether a task may end its thread: Windows tells nobody of that. */
#ifdef _WIN32
enum { TASKS_CAN_EXIT = 0 };
#else
enum { TASKS_CAN_EXIT = 1 };
#endif

/* Seconds that a test may take, before the scale. The watchdog and gates give
   up earlier, each a little, so that the most telling message comes first. */
enum { HARNESS_GATE_S = 15, HARNESS_WATCHDOG_S = 18, HARNESS_LIMIT_S = 20 };

/* ---- this run's parameters ---- */

HARNESS_UNUSED static double harness_scale(void)
{
    const char *text = getenv("CFUT_TEST_SCALE");
    double factor = text ? strtod(text, NULL) : 1.0;

    return factor > 0.0 ? factor : 1.0;
}

HARNESS_UNUSED static int test_workers(void)
{
    const char *text = getenv("CFUT_TEST_WORKERS");
    int n = text ? (int)strtol(text, NULL, 10) : 2;

    return n > 0 ? n : 2;
}

HARNESS_UNUSED static cfut_ns test_time(cfut_ns t)
{
    return (cfut_ns)((double)t * harness_scale());
}

/* The monotonic clock, in nanoseconds. */
HARNESS_UNUSED static cfut_ns test_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return CFUT_SEC(t.tv_sec) + t.tv_nsec;
}

HARNESS_UNUSED static void test_sleep(cfut_ns t)
{
    struct timespec left = { (time_t)(t / CFUT_SEC(1)), (long)(t % CFUT_SEC(1)) };

    while (nanosleep(&left, &left) != 0 && errno == EINTR) {}
}

HARNESS_UNUSED static cfut_executor *pool_of(int workers)
{
    return cfut_thread_pool(&(cfut_thread_pool_desc){ .max_workers = workers });
}

HARNESS_UNUSED static cfut_executor *test_pool(void)
{
    return pool_of(test_workers());
}

/* What cfut_process_pool answers while threads run, as the watchdog's. */
#if defined(CFUT_NO_PROCESS) || defined(_WIN32)
enum { HARNESS_NO_PROCESS_POOL = CFUT_UNSUPPORTED };
#else
enum { HARNESS_NO_PROCESS_POOL = CFUT_NO_THREADS };
#endif

/* Drains and frees a pool; fails the test if that does not work. */
HARNESS_UNUSED static void end_pool(cfut_executor *ex)
{
    ck_assert_int_eq(cfut_shutdown(ex, CFUT_DRAIN), CFUT_OK);
}

/* The clock of conditions, of which winpthreads has but one. */
#ifdef _WIN32
enum { HARNESS_CLOCK = CLOCK_REALTIME };
#else
enum { HARNESS_CLOCK = CLOCK_MONOTONIC };
#endif

/* ---- a count to wait for, and a gate: a count that is 0 or 1 ---- */

struct counter {
    pthread_mutex_t mutex;          /* guards n */
    pthread_cond_t changed;         /* n grew */
    long n;
};

HARNESS_UNUSED static void counter_init(struct counter *c)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, HARNESS_CLOCK);
    pthread_cond_init(&c->changed, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&c->mutex, NULL);
    c->n = 0;
}

/* Adds k and returns the new count. */
HARNESS_UNUSED static long counter_add(struct counter *c, long k)
{
    long n;

    pthread_mutex_lock(&c->mutex);
    n = c->n += k;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->mutex);
    return n;
}

HARNESS_UNUSED static long counter_get(struct counter *c)
{
    long n;

    pthread_mutex_lock(&c->mutex);
    n = c->n;
    pthread_mutex_unlock(&c->mutex);
    return n;
}

/* Waits until the count is n or more, up to limit; whether it is. */
HARNESS_UNUSED static bool counter_reaches(struct counter *c, long n, cfut_ns limit)
{
    struct timespec t;
    cfut_ns end;
    bool reached;
    int rc = 0;

    clock_gettime(HARNESS_CLOCK, &t);
    end = CFUT_SEC(t.tv_sec) + t.tv_nsec + limit;
    t.tv_sec = (time_t)(end / CFUT_SEC(1));
    t.tv_nsec = (long)(end % CFUT_SEC(1));
    pthread_mutex_lock(&c->mutex);
    while (c->n < n && rc == 0)
        rc = pthread_cond_timedwait(&c->changed, &c->mutex, &t);
    reached = c->n >= n;
    pthread_mutex_unlock(&c->mutex);
    return reached;
}

/* Waits until the count is n or more; fails the test if that takes too long. */
HARNESS_UNUSED static void counter_wait(struct counter *c, long n)
{
    if (!counter_reaches(c, n, test_time(CFUT_SEC(HARNESS_GATE_S))))
        ck_abort_msg("a counter stood at %ld and did not reach %ld", counter_get(c), n);
}

struct gate { struct counter opened; };

HARNESS_UNUSED static void gate_init(struct gate *g) { counter_init(&g->opened); }

HARNESS_UNUSED static void gate_open(struct gate *g) { counter_add(&g->opened, 1); }

HARNESS_UNUSED static bool gate_is_open(struct gate *g) { return counter_get(&g->opened) > 0; }

/* Waits until the gate is open; fails the test if that takes too long. */
HARNESS_UNUSED static void gate_wait(struct gate *g)
{
    if (!counter_reaches(&g->opened, 1, test_time(CFUT_SEC(HARNESS_GATE_S))))
        ck_abort_msg("a gate was never opened");
}

/* ---- tasks ---- */

HARNESS_UNUSED static int square(const int *x, int *y)
{
    *y = *x * *x;
    return CFUT_OK;
}
CFUT_TASK(square, int, int);

HARNESS_UNUSED static int fail_with(const int *code, int *out)
{
    *out = 0;
    return cfut_fail(*code, "failed with %d", *code);
}
CFUT_TASK(fail_with, int, int);

HARNESS_UNUSED static int wait_gate(struct gate *const *gate, int *out)
{
    gate_wait(*gate);
    *out = 1;
    return CFUT_OK;
}
CFUT_TASK(wait_gate, struct gate *, int);

HARNESS_UNUSED static int sleep_ms(const int *ms, int *out)
{
    test_sleep(CFUT_MS(*ms));
    *out = *ms;
    return CFUT_OK;
}
CFUT_TASK(sleep_ms, int, int);

/* A task that reports its start, then waits: to occupy a worker for certain. */
struct hold { struct gate started, release; };

HARNESS_UNUSED static void hold_init(struct hold *h)
{
    gate_init(&h->started);
    gate_init(&h->release);
}

HARNESS_UNUSED static int occupy(struct hold *const *hold, int *out)
{
    gate_open(&(*hold)->started);
    gate_wait(&(*hold)->release);
    *out = 1;
    return CFUT_OK;
}
CFUT_TASK(occupy, struct hold *, int);

/* Submits occupy and returns when it runs. */
HARNESS_UNUSED static void hold_worker(cfut_executor *ex, occupy_future *f, struct hold *h)
{
    hold_init(h);
    occupy_submit(ex, f, h);
    gate_wait(&h->started);
}

/* Occupies the only worker of a new pool, so that what is submitted stays
   queued until busy_pool_free_worker. */
struct busy_pool { cfut_executor *ex; struct hold hold; occupy_future holder; };

HARNESS_UNUSED static cfut_executor *busy_pool_open(struct busy_pool *b)
{
    b->ex = pool_of(1);
    hold_worker(b->ex, &b->holder, &b->hold);
    return b->ex;
}

HARNESS_UNUSED static void busy_pool_free_worker(struct busy_pool *b)
{
    gate_open(&b->hold.release);
    ck_assert_int_eq(occupy_result(&b->holder), CFUT_OK);
}

/* Lets the worker go, then drains and frees the pool. */
HARNESS_UNUSED static void busy_pool_end(struct busy_pool *b)
{
    busy_pool_free_worker(b);
    end_pool(b->ex);
}

/* ---- faults ---- */

#ifdef HARNESS_FAULTS
/* All fields atomic. The at-th attempt from fault_at on fails; if lasting, all
   after it too. at 0: none. */
struct fault { long seen, at, live; bool lasting; };
static struct fault fault_memory, fault_threads;

HARNESS_UNUSED static void fault_at(struct fault *f, long at, bool lasting)
{
    __atomic_store_n(&f->at, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&f->seen, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&f->lasting, lasting, __ATOMIC_SEQ_CST);
    __atomic_store_n(&f->at, at, __ATOMIC_SEQ_CST);
}

HARNESS_UNUSED static long fault_seen(struct fault *f)
{
    return __atomic_load_n(&f->seen, __ATOMIC_SEQ_CST);
}

HARNESS_UNUSED static long fault_live(struct fault *f)
{
    return __atomic_load_n(&f->live, __ATOMIC_SEQ_CST);
}

static bool fault_strikes(struct fault *f)
{
    long n = __atomic_add_fetch(&f->seen, 1, __ATOMIC_SEQ_CST);
    long at = __atomic_load_n(&f->at, __ATOMIC_SEQ_CST);

    return at > 0 && (n == at || (n > at && __atomic_load_n(&f->lasting, __ATOMIC_SEQ_CST)));
}

/* What may be answered while things are refused. */
HARNESS_UNUSED static bool fault_allows(int status)
{
    return status == CFUT_OK || status == CFUT_NO_MEMORY || status == CFUT_NO_THREADS;
}

static void *fault_malloc(size_t n)
{
    void *p = fault_strikes(&fault_memory) ? NULL : malloc(n);

    if (p)
        __atomic_add_fetch(&fault_memory.live, 1, __ATOMIC_SEQ_CST);
    return p;
}

static void fault_free(void *p)
{
    if (p)
        __atomic_sub_fetch(&fault_memory.live, 1, __ATOMIC_SEQ_CST);
    free(p);
}

static bool fault_thread_start(void *t, size_t stack, void *arg)
{
    if (fault_strikes(&fault_threads))
        return false;
    return cfuti_sys_thread_start((cfuti_os_thread *)t, stack, arg);
}
#endif

/* ---- threads of a test's own ---- */

HARNESS_UNUSED static pthread_t thread_start(void *(*fn)(void *), void *arg)
{
    pthread_t t;

    if (pthread_create(&t, NULL, fn, arg) != 0)
        ck_abort_msg("a thread could not be started");
    return t;
}

HARNESS_UNUSED static void thread_end(pthread_t t)
{
    ck_assert_int_eq(pthread_join(t, NULL), 0);
}

/* ---- the watchdog ---- */

static struct counter harness_test_over;
static pthread_t harness_watchdog_thread;

#if HARNESS_BACKTRACE
static int harness_shown;           /* atomic: threads that have printed */

static void harness_show_stack(int sig)
{
    void *frames[64];
    int n = backtrace(frames, 64);

    (void)sig;
    backtrace_symbols_fd(frames, n, STDERR_FILENO);
    __atomic_add_fetch(&harness_shown, 1, __ATOMIC_SEQ_CST);
}

/* Lets one thread print its stack, and waits until it has, at most 200 ms. */
static void harness_show_thread(long tid)
{
    int before = __atomic_load_n(&harness_shown, __ATOMIC_SEQ_CST);

    fprintf(stderr, "# thread %ld\n", tid);
    if (syscall(SYS_tgkill, getpid(), tid, SIGTRAP) != 0)
        return;
    for (int i = 0; i < 200; i++) {
        if (__atomic_load_n(&harness_shown, __ATOMIC_SEQ_CST) != before)
            return;
        test_sleep(CFUT_MS(1));
    }
}

static void harness_show_all(void)
{
    long self = syscall(SYS_gettid);
    DIR *dir = opendir("/proc/self/task");
    struct dirent *entry;

    while (dir && (entry = readdir(dir)) != NULL) {
        long tid = strtol(entry->d_name, NULL, 10);

        if (tid > 0 && tid != self)
            harness_show_thread(tid);
    }
    if (dir)
        closedir(dir);
}

/* backtrace() loads a library the first time: not in a signal handler. */
static void harness_show_prepare(void)
{
    void *frame[1];
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = harness_show_stack;
    action.sa_flags = SA_RESTART;
    (void)backtrace(frame, 1);
    sigaction(SIGTRAP, &action, NULL);
}
#else
static void harness_show_all(void) {}
static void harness_show_prepare(void) {}
#endif

static void *harness_watch(void *unused)
{
    (void)unused;
    if (counter_reaches(&harness_test_over, 1, test_time(CFUT_SEC(HARNESS_WATCHDOG_S))))
        return NULL;
    fprintf(stderr, "# the test hangs; the stacks of its threads:\n");
    harness_show_all();
    _exit(124);
}

/* Each test's own process has its own watchdog; none with HARNESS_NO_WATCHDOG,
   for tests that fork and must have one thread then. */
#ifdef HARNESS_NO_WATCHDOG
enum { HARNESS_WATCHES = 0 };
#else
enum { HARNESS_WATCHES = 1 };
#endif

/* ---- signals ---- */

#ifdef _WIN32
static void harness_send_signals(void) {}
static void harness_shield(bool on) { (void)on; }
#else

static void harness_signalled(int sig) { (void)sig; }

/* Calls of the system are interrupted, as with a handler of most programs. */
static void harness_send_signals(void)
{
    struct sigaction action = { .sa_handler = harness_signalled };
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2 };
    struct itimerspec each = { { 0, 1000000 }, { 0, 1000000 } };
    timer_t timer;

    if (!getenv("CFUT_TEST_SIGNALS"))
        return;
    if (sigaction(SIGUSR2, &action, NULL) != 0 ||
        timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 ||
        timer_settime(timer, 0, &each, NULL) != 0)
        ck_abort_msg("no signals can be sent");
}

/* The watchdog takes no signals. */
static void harness_shield(bool on)
{
    static sigset_t old;
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, on ? &all : &old, on ? &old : NULL);
}
#endif

static void harness_before_test(void)
{
    harness_send_signals();
    if (!HARNESS_WATCHES)
        return;
    harness_show_prepare();
    counter_init(&harness_test_over);
    harness_shield(true);
    if (pthread_create(&harness_watchdog_thread, NULL, harness_watch, NULL) != 0)
        ck_abort_msg("the watchdog could not be started");
    harness_shield(false);
}

static void harness_after_test(void)
{
    if (!HARNESS_WATCHES)
        return;
    counter_add(&harness_test_over, 1);
    pthread_join(harness_watchdog_thread, NULL);
}

/* ---- the runner ---- */

/* Where check cannot fork, each test still has a process of its own: this program
   started again, with the number of the test in the environment. */
#ifdef _WIN32
enum { HARNESS_FORKS = 0 };
#else
enum { HARNESS_FORKS = 1 };
#endif

static int harness_wanted;          /* the number, from 1 on; 0: this is who starts them */
static int harness_count, harness_failed;

#ifdef _WIN32
/* Prints what check would have printed. */
static void harness_start(const TTest *test, int i)
{
    char entry[64];
    intptr_t status;

    snprintf(entry, sizeof entry, "CFUT_TEST_NUMBER=%d", harness_count);
    _putenv(entry);
    status = _spawnl(_P_WAIT, _pgmptr, _pgmptr, (char *)NULL);
    printf("%sok %d - %s, %d: status %ld\n", status ? "not " : "", harness_count, test->name, i,
           (long)status);
    fflush(stdout);
    harness_failed += status != 0;
}
#else
static void harness_start(const TTest *test, int i) { (void)test, (void)i; }
#endif

HARNESS_UNUSED static void harness_add(TCase *tc, const TTest *test, int first, int end)
{
    const char *only = getenv("CFUT_TEST_ONLY");

    if (only && !strstr(test->name, only)) return;
    if (HARNESS_FORKS) _tcase_add_test(tc, test, 0, 0, first, end);
    for (int i = first; i < end && !HARNESS_FORKS; i++) {
        if (++harness_count == harness_wanted) _tcase_add_test(tc, test, 0, 0, i, i + 1);
        if (!harness_wanted) harness_start(test, i);
    }
}

#undef tcase_add_test
#define tcase_add_test(tc, test) harness_add((tc), (test), 0, 1)
#undef tcase_add_loop_test
#define tcase_add_loop_test(tc, test, first, end) harness_add((tc), (test), (first), (end))

HARNESS_UNUSED static void harness_tell(SRunner *runner, int failed)
{
    TestResult **results = srunner_failures(runner);

    for (int i = 0; i < failed; i++) printf("# %s\n", tr_msg(results[i]));
    free(results);
}

/* Runs the tests that fill adds; the value for main to return. */
HARNESS_UNUSED static int harness_main(const char *name, void (*fill)(TCase *))
{
    const char *number = getenv("CFUT_TEST_NUMBER");
    Suite *suite = suite_create(name);
    TCase *tests = tcase_create(name);
    SRunner *runner;
    int failed;

    harness_wanted = number ? (int)strtol(number, NULL, 10) : 0;
    tcase_set_timeout(tests, HARNESS_LIMIT_S * harness_scale());
    tcase_add_checked_fixture(tests, harness_before_test, harness_after_test);
    fill(tests);
    if (!HARNESS_FORKS && !harness_wanted) {
        printf("1..%d\n", harness_count);
        return harness_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    if (HARNESS_FORKS) srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    failed = srunner_ntests_failed(runner);
    if (!HARNESS_FORKS) harness_tell(runner, failed);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
