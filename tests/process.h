/* process.h: what the tests of the process pool share. Included first, instead of
   harness.h.

   Each file is built twice: as it is, workers come from the program executed
   again; with START_FORK, from a fork of the test's process, which has no watchdog
   then. With PROCESS_POINTS workers and helpers can be made to go wrong at a named
   step; with PROCESS_JITTER all of them, and the host, linger at such steps for
   moments, so that rare interleavings are not rare. A board is memory that all
   processes of a test see. After each test no descriptor and no child may be left. */
#ifndef CFUT_TEST_PROCESS_H
#define CFUT_TEST_PROCESS_H

#ifdef START_FORK
#define HARNESS_NO_WATCHDOG
enum { START = 2, START_IS_FORK = 1 };          /* CFUT_START_FORK */
#else
enum { START = 1, START_IS_FORK = 0 };          /* CFUT_START_EXEC */
#endif

#if defined(PROCESS_POINTS) || defined(PROCESS_JITTER)
static void process_point(const char *name);
#define cfuti_point(name) process_point(name)
#endif

#include "harness.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>


/* How often a race is tried; processes start slowly under ThreadSanitizer. */
enum { FEWER = UNDER_TSAN ? 6 : 1 };

/* ---- the board ---- */

enum { BOARD_SLOTS = 1024 };

struct board {
    atomic_int started, go, ended, n[8];
    atomic_int at[BOARD_SLOTS];
};

/* The descriptor that the environment names belongs to main's process. */
HARNESS_UNUSED static struct board *board(void)
{
    static struct board *b;

    if (!b) {
        int fd = open(getenv("CFUT_TEST_BOARD"), O_RDWR | O_CLOEXEC);
        void *p = mmap(NULL, sizeof *b, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        if (fd < 0 || p == MAP_FAILED) abort();
        close(fd);
        b = p;
    }
    return b;
}

/* Not if the environment has one: then this program was started by a test. */
HARNESS_UNUSED static void board_make(void)
{
    char path[64] = "/tmp/cfut-test-XXXXXX";
    int fd;

    if (getenv("CFUT_TEST_BOARD")) return;
    fd = mkstemp(path);
    if (fd < 0 || ftruncate(fd, sizeof(struct board)) != 0) abort();
    unlink(path);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    snprintf(path, sizeof path, "/proc/%ld/fd/%d", (long)getpid(), fd);
    setenv("CFUT_TEST_BOARD", path, 1);
}

/* ---- waiting for what other processes do ---- */

HARNESS_UNUSED static cfut_ns process_deadline(void)
{
    return test_now() + test_time(CFUT_SEC(HARNESS_GATE_S));
}

/* For the host: fails the test if n is not reached. */
HARNESS_UNUSED static void await_count(atomic_int *count, int n)
{
    cfut_ns end = process_deadline();

    while (atomic_load(count) < n) {
        if (test_now() > end)
            ck_abort_msg("a count stood at %d and did not reach %d", atomic_load(count), n);
        test_sleep(CFUT_US(200));
    }
}

/* For a worker, where no check can fail: it goes on after the limit. */
HARNESS_UNUSED static void linger(atomic_int *count, int n)
{
    cfut_ns end = process_deadline();

    while (atomic_load(count) < n && test_now() < end) test_sleep(CFUT_US(200));
}

/* Whether the process has ended; who nobody reaps counts, too. */
HARNESS_UNUSED static bool process_is_gone(pid_t pid)
{
    char path[64], text[256];
    const char *state;
    size_t n;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    f = fopen(path, "r");
    if (!f) return true;
    n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    state = strrchr(text, ')');
    return !n || (state && strchr("ZX", state[2]));
}

HARNESS_UNUSED static void await_process_gone(pid_t pid)
{
    cfut_ns end = process_deadline();

    while (!process_is_gone(pid)) {
        if (test_now() > end) ck_abort_msg("process %ld does not end", (long)pid);
        test_sleep(CFUT_MS(1));
    }
}

/* ---- pools ---- */

HARNESS_UNUSED static cfut_executor *procs_with(cfut_process_pool_desc desc)
{
    cfut_executor *ex;

    desc.start = START;
    ex = cfut_process_pool(&desc);
    if (cfut_executor_status(ex) != CFUT_OK)
        ck_abort_msg("no pool: %s", cfut_executor_error(ex));
    return ex;
}

HARNESS_UNUSED static cfut_executor *procs(int workers)
{
    return procs_with((cfut_process_pool_desc){ .max_workers = workers });
}

/* ---- tasks ---- */

HARNESS_UNUSED static int own_pid(const int *unused, int *pid)
{
    (void)unused;
    *pid = (int)getpid();
    return CFUT_OK;
}
CFUT_TASK(own_pid, int, int);

/* Shows that it runs, at its place on the board, and waits until it may go on. */
HARNESS_UNUSED static int stay(const int *at, int *pid)
{
    *pid = (int)getpid();
    atomic_store(&board()->at[*at], *pid);
    atomic_fetch_add(&board()->started, 1);
    linger(&board()->go, 1);
    return CFUT_OK;
}
CFUT_TASK(stay, int, int);

/* Counts how often it ran. */
HARNESS_UNUSED static int tally(const int *at, int *n)
{
    *n = 1 + atomic_fetch_add(&board()->at[*at], 1);
    return CFUT_OK;
}
CFUT_TASK(tally, int, int);

/* The ways in which a process can go wrong. */
enum way {
    BY_SIGKILL, BY_SIGSEGV, BY_SIGABRT, BY_EXIT, BY_QUICK_EXIT, BY_SIGSTOP, BY_LOOP,
    BY_THREAD_EXIT, WAYS
};

HARNESS_UNUSED static void go_wrong(enum way way)
{
    volatile int forever = 1;

    switch (way) {
    case BY_SIGKILL: kill(getpid(), SIGKILL); break;
    case BY_SIGSEGV: raise(SIGSEGV); break;
    case BY_SIGABRT: raise(SIGABRT); break;
    case BY_EXIT: exit(0);
    case BY_QUICK_EXIT: _exit(3);
    case BY_SIGSTOP: raise(SIGSTOP); break;
    case BY_THREAD_EXIT: pthread_exit(NULL);
    case BY_LOOP: while (forever) { } break;
    case WAYS: break;
    }
}

#ifdef PROCESS_POINTS
/* Who comes to the step that is armed goes wrong there, once. */
enum { STEP_ARMED, STEP_WAY, STEP_SKIP, STEP_FIRED };   /* of n; armed: the step + 1 */

enum step {
    STEP_BORN, STEP_START, STEP_READY, STEP_CLAIMED, STEP_RAN, STEP_BEFORE_DONE, STEP_DONE,
    STEP_IDLE, STEP_TO_FORK, STEP_FORKED, STEP_TOLD, STEP_REAPED, STEPS
};

static const char *const step_names[] = {
    "born", "start", "ready", "claimed", "ran", "before_done", "done", "idle",
    "to fork", "forked", "told", "reaped"       /* these in the helper */
};

/* What the host does at its own steps, or NULL. */
static void (*_Atomic process_hook)(const char *name);

static void process_point(const char *name)
{
    void (*hook)(const char *) = atomic_load(&process_hook);
    struct board *b = board();
    int step = atomic_load(&b->n[STEP_ARMED]);

    if (hook && !cfuti_this_child) hook(name);
    if (!step || strcmp(name, step_names[step - 1])) return;
    if (atomic_fetch_sub(&b->n[STEP_SKIP], 1) > 0) return;
    if (!atomic_compare_exchange_strong(&b->n[STEP_ARMED], &step, 0)) return;
    atomic_store(&b->n[STEP_FIRED], 1);
    go_wrong((enum way)atomic_load(&b->n[STEP_WAY]));
}

/* skip: how many pass unharmed before. */
HARNESS_UNUSED static void arm_step(enum step step, enum way way, int skip)
{
    atomic_store(&board()->n[STEP_FIRED], 0);
    atomic_store(&board()->n[STEP_WAY], (int)way);
    atomic_store(&board()->n[STEP_SKIP], skip);
    atomic_store(&board()->n[STEP_ARMED], (int)step + 1);
}
#endif

#ifdef PROCESS_JITTER
/* A quarter of all visits take up to 130 us, some of them ten times as long. */
static void process_point(const char *name)
{
    static _Thread_local uint32_t x;
    uint32_t us;

    if (!x) x = (uint32_t)test_now() ^ (uint32_t)getpid() ^ (uint32_t)(uintptr_t)&x;
    x = (x ^ (uint32_t)(uintptr_t)name) * 1664525u + 1013904223u;
    if (x >> 30) return;
    us = (x >> 16) % 128;
    test_sleep(CFUT_US((x >> 26) % 8 ? us : 10 * us));
}
#endif

HARNESS_UNUSED static int die(const int *way, int *out)
{
    *out = 0;
    atomic_fetch_add(&board()->started, 1);
    go_wrong((enum way)*way);
    return CFUT_OK;
}
CFUT_TASK(die, int, int);

/* ---- one worker, occupied ---- */

struct busy_procs { cfut_executor *ex; stay_future f; };

HARNESS_UNUSED static void occupy_procs(struct busy_procs *b, cfut_executor *ex)
{
    b->ex = ex;
    stay_submit(ex, &b->f, 0);
    await_count(&board()->started, 1);
}

HARNESS_UNUSED static void free_procs(struct busy_procs *b)
{
    atomic_store(&board()->go, 1);
    ck_assert_int_eq(stay_result(&b->f), CFUT_OK);
}

/* ---- what a test leaves behind ---- */

HARNESS_UNUSED static int open_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;

    while (dir && readdir(dir)) n++;
    if (dir) closedir(dir);
    return n;
}

HARNESS_UNUSED static void assert_no_child(void)
{
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
    ck_assert_int_eq(errno, ECHILD);
}

static int process_descriptors;

static void process_before(void)
{
    memset((void *)board(), 0, sizeof(struct board));
    process_descriptors = open_descriptors();
}

static void process_after(void)
{
    assert_no_child();
    ck_assert_int_eq(open_descriptors(), process_descriptors);
}

/* ---- a host of its own ---- */

/* Starts this program as role, see process_main. */
HARNESS_UNUSED static pid_t start_role(const char *role)
{
    char path[] = "/proc/self/exe", option[] = "--role", *args[4];
    pid_t pid = -1;

    args[0] = path;
    args[1] = option;
    args[2] = (char *)(uintptr_t)role;
    args[3] = NULL;
    ck_assert_int_eq(posix_spawn(&pid, path, NULL, NULL, args, environ), 0);
    return pid;
}

/* Its status, as of wait. */
HARNESS_UNUSED static int end_of_role(pid_t pid)
{
    cfut_ns end = process_deadline();
    int status = 0;
    pid_t gone;

    while ((gone = waitpid(pid, &status, WNOHANG)) == 0 && test_now() < end)
        test_sleep(CFUT_MS(1));
    if (gone == 0) {
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        ck_abort_msg("a host process hangs");
    }
    ck_assert_int_eq(gone, pid);
    return status;
}

/* Runs role to its end by exit(0). */
HARNESS_UNUSED static void run_role(const char *role)
{
    int status = end_of_role(start_role(role));

    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 0);
}

struct role { const char *name; int (*run)(void); };

static void (*process_fill)(TCase *);

static void process_fill_all(TCase *tc)
{
    tcase_add_checked_fixture(tc, process_before, process_after);
    process_fill(tc);
}

/* For main: the roles are what the program can be instead of a test. */
HARNESS_UNUSED static int process_main(int argc, char **argv, const char *name,
                                       void (*fill)(TCase *), const struct role *roles)
{
#ifndef START_FORK
    cfut_process_main(&argc, &argv);
#endif
    board_make();
    board();                            /* before there are threads */
    for (; roles && roles->name && argc == 3; roles++)
        if (!strcmp(roles->name, argv[2])) return roles->run();
    if (START_IS_FORK && UNDER_TSAN) {
        printf("1..0 # SKIP ThreadSanitizer has a thread of its own, so no pool may fork\n");
        return EXIT_SUCCESS;
    }
    process_fill = fill;
    return harness_main(name, process_fill_all);
}

#endif
