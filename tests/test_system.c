/* test_system.c: what each call of the system may answer and seldom does: it is
   interrupted, cut short, refused, or says something odd. The layers over POSIX are
   called directly, and so is what helpers and workers of a process pool do first. */
#define HARNESS_NO_WATCHDOG             /* parts of it run in forks of the test */

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#if defined(__GLIBC__)
#include <execinfo.h>
#endif

/* ---- the system, as a test would have it ---- */

/* What a call answers instead of what it would: from the skip-th on, so many times. */
static struct answer {
    const char *call;
    int skip, times;
    long result;
    int error;
} answers[8];
enum { ANSWERS = sizeof answers / sizeof answers[0], FOR_EVER = 1000000 };

static void answer(const char *call, int skip, int times, long result, int error)
{
    int i = 0;

    while (answers[i].call) ck_assert_int_lt(++i, ANSWERS);
    answers[i] = (struct answer){ call, skip, times, result, error };
}

static void no_answers(void) { memset(answers, 0, sizeof answers); }

static bool is_answered(const char *call, long *result)
{
    for (int i = 0; i < ANSWERS && answers[i].call; i++) {
        struct answer *a = &answers[i];

        if (strcmp(a->call, call) || !a->times || a->skip-- > 0) continue;
        a->times--;
        *result = a->result;
        errno = a->error;
        return true;
    }
    return false;
}

/* What files say. */
static struct { const char *path, *text; } files[8];

static void file_says(const char *path, const char *text)
{
    int i = 0;

    while (files[i].path && strcmp(files[i].path, path)) i++;
    files[i].path = path;
    files[i].text = text;
}

static int open_text(const char *text)
{
    int fds[2];

    if (pipe(fds) != 0 || write(fds[1], text, strlen(text)) != (ssize_t)strlen(text)) abort();
    close(fds[1]);
    return fds[0];
}

static int fake_open(const char *path, int flags, ...)
{
    long result;
    va_list args;
    mode_t mode;

    va_start(args, flags);
    mode = flags & O_CREAT ? (mode_t)va_arg(args, int) : 0;
    va_end(args);
    if (is_answered("open", &result)) return (int)result;
    for (size_t i = 0; i < sizeof files / sizeof files[0] && files[i].path; i++)
        if (!strcmp(files[i].path, path)) return open_text(files[i].text);
    return open(path, flags, mode);
}

static long fake_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    const char *name = number == SYS_sched_getaffinity ? "sched_getaffinity" :
                       number == SYS_getcpu ? "getcpu" :
                       number == SYS_close_range ? "close_range" : "another";
    long result;

    if (!is_answered(name, &result)) return syscall(number, a, b, c, d, e, f);
    if (number == SYS_sched_getaffinity && result > 0) memset((void *)c, 0xff, (size_t)result);
    return result;
}

#if defined(__GLIBC__)
typedef __rlimit_resource_t limit_kind;
#else
typedef int limit_kind;
#endif

#define CALL(type, name, parameters, arguments) \
    __attribute__((unused)) static type fake_##name parameters \
    { \
        long result; \
        return is_answered(#name, &result) ? (type)result : name arguments; \
    }
CALL(ssize_t, read, (int fd, void *p, size_t n), (fd, p, n))
CALL(ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n))
CALL(ssize_t, pwrite, (int fd, const void *p, size_t n, off_t at), (fd, p, n, at))
CALL(ssize_t, send, (int fd, const void *p, size_t n, int how), (fd, p, n, how))
CALL(ssize_t, sendmsg, (int fd, const struct msghdr *m, int how), (fd, m, how))
CALL(ssize_t, recvmsg, (int fd, struct msghdr *m, int how), (fd, m, how))
CALL(int, pipe, (int *fds), (fds))
CALL(int, socketpair, (int a, int b, int c, int *fds), (a, b, c, fds))
CALL(int, ftruncate, (int fd, off_t size), (fd, size))
CALL(int, fstat, (int fd, struct stat *st), (fd, st))
CALL(int, getrlimit, (limit_kind what, struct rlimit *limit), (what, limit))
CALL(int, getrusage, (int who, struct rusage *used), (who, used))
CALL(int, getppid, (void), ())
CALL(int, nice, (int more), (more))
CALL(long, sysconf, (int what), (what))
CALL(unsigned long, getauxval, (unsigned long what), (what))
CALL(int, wait4, (int pid, int *status, int how, struct rusage *used), (pid, status, how, used))
CALL(int, waitpid, (int pid, int *status, int how), (pid, status, how))
CALL(int, pthread_attr_init, (pthread_attr_t *attr), (attr))
CALL(int, pthread_atfork, (void (*a)(void), void (*b)(void), void (*c)(void)), (a, b, c))
CALL(int, pthread_create, (pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *),
                           void *arg),
     (t, attr, fn, arg))
CALL(int, posix_spawnattr_init, (posix_spawnattr_t *attr), (attr))
CALL(int, posix_spawn_file_actions_adddup2, (posix_spawn_file_actions_t *a, int from, int to),
     (a, from, to))
CALL(int, posix_spawnp, (pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
                         const posix_spawnattr_t *attr, char *const *argv, char *const *env),
     (pid, file, actions, attr, argv, env))

/* These two answer NULL. */
static void *fake_malloc(size_t n)
{
    long result;

    return is_answered("malloc", &result) ? NULL : malloc(n);
}

static void *fake_calloc(size_t n, size_t size)
{
    long result;

    return is_answered("calloc", &result) ? NULL : calloc(n, size);
}

static void *fake_mmap(void *p, size_t size, int access, int flags, int fd, off_t at)
{
    long result;

    return is_answered("mmap", &result) ? MAP_FAILED : mmap(p, size, access, flags, fd, at);
}

#define open(...) fake_open(__VA_ARGS__)
#define SYSCALL(number, a, b, c, d, e, f, ...) \
    fake_syscall((number), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define syscall(...) SYSCALL(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)
#define read(...) fake_read(__VA_ARGS__)
#define write(...) fake_write(__VA_ARGS__)
#define pwrite(...) fake_pwrite(__VA_ARGS__)
#define send(...) fake_send(__VA_ARGS__)
#define sendmsg(...) fake_sendmsg(__VA_ARGS__)
#define recvmsg(...) fake_recvmsg(__VA_ARGS__)
#define pipe(...) fake_pipe(__VA_ARGS__)
#define socketpair(...) fake_socketpair(__VA_ARGS__)
#define ftruncate(...) fake_ftruncate(__VA_ARGS__)
#define fstat(...) fake_fstat(__VA_ARGS__)
#define getrlimit(...) fake_getrlimit(__VA_ARGS__)
#define getrusage(...) fake_getrusage(__VA_ARGS__)
#define getppid() fake_getppid()
#define nice(...) fake_nice(__VA_ARGS__)
#define sysconf(...) fake_sysconf(__VA_ARGS__)
#define getauxval(...) fake_getauxval(__VA_ARGS__)
#define wait4(...) fake_wait4(__VA_ARGS__)
#define waitpid(...) fake_waitpid(__VA_ARGS__)
#define pthread_attr_init(...) fake_pthread_attr_init(__VA_ARGS__)
#define pthread_atfork(...) fake_pthread_atfork(__VA_ARGS__)
#define pthread_create(...) fake_pthread_create(__VA_ARGS__)
#define posix_spawnattr_init(...) fake_posix_spawnattr_init(__VA_ARGS__)
#define posix_spawn_file_actions_adddup2(...) fake_posix_spawn_file_actions_adddup2(__VA_ARGS__)
#define posix_spawnp(...) fake_posix_spawnp(__VA_ARGS__)
#define mmap(...) fake_mmap(__VA_ARGS__)
#define malloc(n) fake_malloc(n)
#define calloc(...) fake_calloc(__VA_ARGS__)

#include "harness.h"

/* ---- helpers ---- */

/* Runs fn in a fork, which leaves with 77 should fn return. How it ended, as the
   argument of exit, or 1000 + the signal. */
static int end_of(void (*fn)(void))
{
    int status = 0;
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        fn();
        _exit(77);
    }
    no_answers();
    while (waitpid(pid, &status, 0) < 0) ck_assert_int_eq(errno, EINTR);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void set_soft(limit_kind what, rlim_t soft)
{
    struct rlimit limit;

    ck_assert_int_eq(getrlimit(what, &limit), 0);
    limit.rlim_cur = soft;
    ck_assert_int_eq(setrlimit(what, &limit), 0);
}

static rlim_t soft_of(limit_kind what)
{
    struct rlimit limit;

    return getrlimit(what, &limit) == 0 ? limit.rlim_cur : 0;
}

/* ---- small files ---- */

START_TEST(file_that_cannot_be_read_is_none)
{
    char buf[8];

    answer("read", 0, 1, -1, EIO);
    ck_assert_int_eq(cfuti_sys_read("/proc/self/stat", buf, sizeof buf), -1);
    ck_assert_int_eq(cfuti_sys_read("/no/such/file", buf, sizeof buf), -1);
}
END_TEST

/* ---- how many CPUs ---- */

#define CGROUP "/proc/self/cgroup"
#define ROOT_MAX "/sys/fs/cgroup/cpu.max"

START_TEST(quota_is_rounded_up_and_else_none)
{
    static const struct { const char *text; int cpus; } cases[] = {
        { "max 100000\n", 0 }, { "0 100000\n", 0 }, { "100000 0\n", 0 }, { "100000\n", 0 },
        { "100000 100000\n", 1 }, { "100001 100000\n", 2 }, { "350000 100000\n", 4 },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        file_says("/sys/fs/cgroup/a/cpu.max", cases[i].text);
        ck_assert_int_eq(cfuti_sys_quota("/a"), cases[i].cpus);
    }
}
END_TEST

START_TEST(quota_of_a_folder_with_an_absurd_name_is_none)
{
    char folder[700];

    memset(folder, 'a', sizeof folder);
    folder[sizeof folder - 1] = 0;
    ck_assert_int_eq(cfuti_sys_quota(folder), 0);
}
END_TEST

START_TEST(least_quota_on_the_way_up_counts)
{
    file_says(CGROUP, "1:cpu:/old\n0::/a/b\n");
    file_says("/sys/fs/cgroup/a/b/cpu.max", "300000 100000\n");
    file_says("/sys/fs/cgroup/a/cpu.max", "200000 100000\n");
    file_says(ROOT_MAX, "max 100000\n");
    ck_assert_int_eq(cfuti_sys_cgroup_cpus(), 2);
    file_says("/sys/fs/cgroup/a/cpu.max", "400000 100000\n");
    ck_assert_int_eq(cfuti_sys_cgroup_cpus(), 3);
    file_says(ROOT_MAX, "100000 100000\n");
    ck_assert_int_eq(cfuti_sys_cgroup_cpus(), 1);
    file_says(ROOT_MAX, "500000 100000\n");
    ck_assert_int_eq(cfuti_sys_cgroup_cpus(), 3);
    file_says("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    file_says("/sys/fs/cgroup/a/cpu.max", "max 100000\n");
    ck_assert_int_eq(cfuti_sys_cgroup_cpus(), 5);
}
END_TEST

START_TEST(cgroup_without_end_of_line_at_the_root_or_of_another_kind)
{
    file_says(ROOT_MAX, "200000 100000\n");
    file_says(CGROUP, "0::/");
    ck_assert_int_eq(cfuti_sys_cgroup_cpus(), 2);
    file_says(CGROUP, "1:cpu:/old\n");
    ck_assert_int_eq(cfuti_sys_cgroup_cpus(), 0);
    answer("open", 0, FOR_EVER, -1, EACCES);
    ck_assert_int_eq(cfuti_sys_cgroup_cpus(), 0);
}
END_TEST

START_TEST(cpus_are_the_least_of_quota_and_mask_or_what_is_online_or_one)
{
    file_says(CGROUP, "0::/\n");
    file_says(ROOT_MAX, "max 100000\n");
    answer("sched_getaffinity", 0, FOR_EVER, -1, EPERM);
    answer("sysconf", 0, 1, 7, 0);
    ck_assert_int_eq(cfuti_sys_cpus(), 7);
    answer("sysconf", 0, 1, -1, EINVAL);
    ck_assert_int_eq(cfuti_sys_cpus(), 1);
    file_says(ROOT_MAX, "300000 100000\n");
    ck_assert_int_eq(cfuti_sys_cpus(), 3);
    no_answers();
    answer("sched_getaffinity", 0, 2, 8, 0);            /* 64 of them */
    ck_assert_int_eq(cfuti_sys_cpus(), 3);
    file_says(ROOT_MAX, "max 100000\n");
    ck_assert_int_eq(cfuti_sys_cpus(), 64);
    file_says(ROOT_MAX, "900000000 100000\n");
    ck_assert_int_eq(cfuti_sys_cpus(), cfuti_sys_affinity_cpus());
}
END_TEST

START_TEST(cpu_of_the_thread_may_be_unknown)
{
    answer("getcpu", 0, 1, -1, ENOSYS);
    ck_assert_int_lt(cfuti_sys_cpu(), 0);
}
END_TEST

/* ---- threads and memory ---- */

START_TEST(barrier_without_a_pool_is_none)
{
    ck_assert(!cfuti_asymmetric);
    cfuti_sys_heavy();
}
END_TEST

START_TEST(thread_that_cannot_be_started_is_refused)
{
    cfuti_os_thread t;

    answer("pthread_attr_init", 0, 1, ENOMEM, 0);
    ck_assert(!cfuti_sys_thread_start(&t, 0, NULL));
    answer("pthread_create", 0, 1, EAGAIN, 0);
    ck_assert(!cfuti_sys_thread_start(&t, 0, NULL));
}
END_TEST

START_TEST(memory_that_cannot_be_had_is_none)
{
    answer("mmap", 0, 1, 0, ENOMEM);
    ck_assert_ptr_null(cfuti_sys_pages(4096));
    answer("mmap", 0, 1, 0, ENOMEM);
    ck_assert_ptr_null(cfuti_sys_map(0, 0, 4096, true));
}
END_TEST

START_TEST(sizes_beyond_the_range_saturate)
{
    ck_assert_uint_eq(cfuti_size(SIZE_MAX / 2, 3, 0), SIZE_MAX);
    ck_assert_uint_eq(cfuti_size(5, 0, 7), 7);
    ck_assert_uint_eq(cfuti_round_up(SIZE_MAX - 3, 64), SIZE_MAX);
    ck_assert_uint_eq(cfuti_round_up(65, 64), 128);
}
END_TEST

/* ---- files and bells of the process pool ---- */

START_TEST(shared_file_beyond_the_limit_or_the_disk_is_refused)
{
    int before = cfuti_sys_file(4096);

    ck_assert_int_ge(before, 0);
    close(before);
    answer("ftruncate", 0, 1, -1, ENOSPC);
    ck_assert_int_eq(cfuti_sys_file(4096), -1);
    answer("getrlimit", 0, 1, -1, EINVAL);
    ck_assert(cfuti_sys_file_allowed(8192));
    set_soft(RLIMIT_FSIZE, 4096);
    ck_assert(cfuti_sys_file_allowed(4096));
    ck_assert_int_eq(cfuti_sys_file(8192), -1);
    set_soft(RLIMIT_FSIZE, RLIM_INFINITY);
    ck_assert_int_eq(cfuti_sys_file(4096), before);     /* no descriptor was lost */
}
END_TEST

#if !CFUTI_FUTEX
/* Without one for memory, in TMPDIR or where that is by default. */
START_TEST(shared_file_is_made_in_the_next_folder)
{
    static const char *const folders[] = { NULL, "", "/tmp", "/no/such/folder" };
    int fd;

    for (int i = 0; i < 4; i++) {
        unsetenv("TMPDIR");
        if (folders[i]) setenv("TMPDIR", folders[i], 1);
        no_answers();
        answer("open", 0, 1, -1, EACCES);
        fd = cfuti_sys_file(4096);
        ck_assert_int_ge(fd, 0);
        close(fd);
    }
    answer("open", 0, FOR_EVER, -1, EACCES);
    ck_assert_int_eq(cfuti_sys_file(4096), -1);
}
END_TEST

START_TEST(pages_are_reserved_in_spite_of_signals_or_not_at_all)
{
    int fd = cfuti_sys_file(65536);

    answer("pwrite", 1, 1, -1, EINTR);
    ck_assert(cfuti_sys_reserve(fd, 100, 20000));
    answer("pwrite", 1, 1, -1, ENOSPC);
    ck_assert(!cfuti_sys_reserve(fd, 100, 20000));
    answer("pwrite", 0, 1, 0, 0);
    ck_assert(!cfuti_sys_reserve(fd, 100, 20000));
    close(fd);
}
END_TEST

START_TEST(program_that_is_not_found_is_left_to_the_path)
{
    char plain[] = "a-program", lost[] = "./no/such/program", *argv[] = { plain, NULL };

    cfuti_sys_remember(argv);
    ck_assert_str_eq(cfuti_program, plain);
    argv[0] = lost;
    cfuti_sys_remember(argv);
    ck_assert_str_eq(cfuti_program, lost);
}
END_TEST

/* A worker that sleeps: what it reads there, and what that is to it. */
static void sleep_at_a_closed_bell(void)
{
    uint32_t word = 3;
    int fds[2];

    if (pipe(fds) != 0) abort();
    close(fds[1]);
    cfuti_sys_wait_shared(&word, 4, fds[0]);
    cfuti_sys_wait_shared(&word, 3, fds[0]);
}

static void sleep_at_a_bad_bell(void)
{
    uint32_t word = 3;

    cfuti_sys_wait_shared(&word, 3, -1);
}

START_TEST(worker_whose_bell_is_gone_ends)
{
    uint32_t word = 3;

    ck_assert_int_eq(end_of(sleep_at_a_closed_bell), 0);
    ck_assert_int_eq(end_of(sleep_at_a_bad_bell), 0);
    answer("read", 0, 1, -1, EINTR);
    cfuti_sys_wait_shared(&word, 3, -1);
    ck_assert_int_eq(answers[0].times, 0);
}
END_TEST

START_TEST(worker_is_woken_in_spite_of_signals_if_its_bell_is_there)
{
    uint32_t word = 3;

    answer("send", 0, 2, -1, EINTR);
    answer("send", 0, 1, -1, EAGAIN);
    cfuti_sys_wake_shared(&word, 0);
    ck_assert_int_eq(answers[1].times, 0);
    cfuti_sys_wake_shared(&word, -1);
}
END_TEST

START_TEST(channel_for_a_bell_may_be_refused)
{
    int fds[2];

    answer("pipe", 0, 1, -1, EMFILE);
    ck_assert(!cfuti_sys_bell(fds));
}
END_TEST
#endif

START_TEST(bell_rings_in_spite_of_signals_and_says_if_it_is_gone)
{
    int fds[2];

    ck_assert(cfuti_sys_bell(fds));
    answer("write", 0, 2, -1, EINTR);
    ck_assert(cfuti_sys_ring(fds[1]));
    answer("write", 0, 1, -1, EAGAIN);
    ck_assert(cfuti_sys_ring(fds[1]));
    ck_assert(!cfuti_sys_ring(-1));
    close(fds[0]);
    if (fds[1] != fds[0]) close(fds[1]);
}
END_TEST

START_TEST(bell_is_hushed_whole_in_spite_of_signals)
{
    int fds[2];

    ck_assert(cfuti_sys_bell(fds));
    answer("read", 0, 1, 512, 0);
    answer("read", 0, 1, -1, EINTR);
    answer("read", 0, 1, -1, EAGAIN);
    cfuti_sys_hush(fds[0]);
    ck_assert_int_eq(answers[2].times, 0);
    close(fds[0]);
    if (fds[1] != fds[0]) close(fds[1]);
}
END_TEST

/* ---- messages ---- */

static int channel[2];

static void open_channel(void) { ck_assert(cfuti_sys_channel(channel)); }

static void close_channel(void)
{
    close(channel[0]);
    close(channel[1]);
}

START_TEST(channel_may_be_refused)
{
    answer("socketpair", 0, 1, -1, EMFILE);
    ck_assert(!cfuti_sys_channel(channel));
}
END_TEST

START_TEST(message_and_descriptor_go_through_in_spite_of_signals)
{
    char message[10] = "a message", got[10] = "";
    int fd;

    open_channel();
    answer("sendmsg", 0, 2, -1, EINTR);
    answer("recvmsg", 0, 2, -1, EINTR);
    ck_assert_int_eq(cfuti_sys_send(channel[0], message, sizeof message, 2, false), 1);
    ck_assert_int_eq(cfuti_sys_receive(channel[1], got, sizeof got, &fd), 1);
    ck_assert_str_eq(got, message);
    ck_assert_int_ge(fd, 0);
    close(fd);
    close_channel();
}
END_TEST

/* What the first part had with it, the second has not. */
START_TEST(message_that_is_cut_is_sent_and_received_to_its_end)
{
    char message[10] = "a message", got[10] = "";
    int fd;

    open_channel();
    answer("sendmsg", 0, 1, 4, 0);          /* it says so, and has sent nothing */
    ck_assert_int_eq(cfuti_sys_send(channel[0], message, sizeof message, 2, false), 1);
    ck_assert_int_eq((int)read(channel[1], got, sizeof got), 6);
    ck_assert_str_eq(got, "ssage");
    no_answers();
    ck_assert_int_eq(cfuti_sys_send(channel[0], message, 4, -1, true), 1);
    ck_assert_int_eq((int)send(channel[0], message + 4, 6, 0), 6);
    answer("recvmsg", 0, 1, 3, 0);          /* here, too: three that it has not written */
    ck_assert_int_eq(cfuti_sys_receive(channel[1], got, 8, &fd), 1);
    ck_assert_int_eq(memcmp(got + 3, "a mes", 5), 0);
    ck_assert_int_eq(fd, -1);
    close_channel();
}
END_TEST

START_TEST(message_to_a_full_or_a_closed_channel_is_not_sent)
{
    char message[4096] = "";
    int fd, sent = 0;

    open_channel();
    while (cfuti_sys_send(channel[0], message, sizeof message, -1, false) == 1) sent++;
    ck_assert_int_gt(sent, 0);
    close(channel[1]);
    ck_assert_int_eq(cfuti_sys_send(channel[0], message, sizeof message, -1, true), -1);
    close(channel[0]);
    open_channel();
    ck_assert_int_eq(cfuti_sys_receive(channel[0], message, 8, &fd), 0);
    answer("recvmsg", 0, 1, -1, ECONNRESET);
    ck_assert_int_eq(cfuti_sys_receive(channel[0], message, 8, &fd), -1);
    close(channel[1]);
    ck_assert_int_eq(cfuti_sys_receive(channel[0], message, 8, &fd), -1);
    close(channel[0]);
}
END_TEST

/* Something else came beside it. */
START_TEST(message_with_anything_but_a_descriptor_has_none)
{
    char got[4], text[4] = "abc";
    struct iovec part = { text, sizeof text };
    struct msghdr m;
    int on = 1, fd;

    open_channel();
    ck_assert_int_eq(setsockopt(channel[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on), 0);
    memset(&m, 0, sizeof m);
    m.msg_iov = &part;
    m.msg_iovlen = 1;
    ck_assert_int_eq((int)sendmsg(channel[0], &m, 0), 4);
    ck_assert_int_eq(cfuti_sys_receive(channel[1], got, sizeof got, &fd), 1);
    ck_assert_int_eq(fd, -1);
    ck_assert_str_eq(got, text);
    close_channel();
}
END_TEST

START_TEST(poll_ends_by_its_deadline_or_by_what_comes)
{
    open_channel();
    cfuti_sys_poll(channel[0], channel[1], false, 0);           /* long ago */
    cfuti_sys_poll(channel[0], channel[1], false, cfuti_sys_now() + CFUT_US(10));
    cfuti_sys_poll(channel[0], channel[1], true, cfuti_sys_now() + CFUT_SEC(7200));
    cfuti_sys_poll(channel[0], channel[1], true, CFUT_FOREVER);
    close_channel();
}
END_TEST

/* ---- processes ---- */

START_TEST(number_of_threads_may_be_unknown)
{
#if CFUTI_FUTEX
    ck_assert_int_ge(cfuti_sys_threads(), 1);
    file_says("/proc/self/stat", "17 (a name S 1 2 3");
    ck_assert_int_eq(cfuti_sys_threads(), 0);
    file_says("/proc/self/stat", "17 (a name) S 1 2 3");
    ck_assert_int_eq(cfuti_sys_threads(), 0);
    answer("read", 0, 1, -1, EIO);
#endif
    ck_assert_int_eq(cfuti_sys_threads(), 0);
}
END_TEST

START_TEST(environment_gets_one_more_entry)
{
    char one[] = "ONE=1", *few[] = { one, NULL }, *none[] = { NULL }, **before = environ;
    char **cases[] = { few, none, NULL };

    for (int i = 0; i < 3; i++) {
        char **env;

        environ = cases[i];
        env = cfuti_sys_environment();
        environ = before;
        ck_assert_ptr_nonnull(env);
        if (!i) ck_assert_str_eq(env[0], one);
        ck_assert_str_eq(env[!i], CFUTI_ENV "=1");
        ck_assert_ptr_null(env[!i + 1]);
        free(env);
    }
    answer("malloc", 0, 1, 0, 0);
    ck_assert_ptr_null(cfuti_sys_environment());
}
END_TEST

/* The only one that would start something is the last. */
START_TEST(program_that_cannot_be_executed_is_refused)
{
    char program[] = "/no/such/program", *argv[] = { program, NULL };
    int fds[3] = { 0, 1, 2 };

    ck_assert_int_eq(cfuti_sys_spawn(fds), -1);         /* nobody has called process_main */
    cfuti_program = program;
    cfuti_argv = argv;
    answer("malloc", 0, 1, 0, 0);
    ck_assert_int_eq(cfuti_sys_spawn(fds), -1);
    answer("posix_spawnattr_init", 0, 1, ENOMEM, 0);
    ck_assert_int_eq(cfuti_sys_spawn(fds), -1);
    answer("posix_spawn_file_actions_adddup2", 1, 1, ENOMEM, 0);
    ck_assert_int_eq(cfuti_sys_spawn(fds), -1);
    ck_assert_int_eq(cfuti_sys_spawn(fds), -1);
    fds[1] = 1000000;
    ck_assert_int_eq(cfuti_sys_spawn(fds), -1);
}
END_TEST

static long limit_of_descriptors;

static void close_without_the_call(void)
{
    int fd = fcntl(0, F_DUPFD, 50);

    answer("close_range", 0, 1, -1, ENOSYS);
    answer("sysconf", 0, 1, limit_of_descriptors, 0);
    cfuti_sys_close_from(fd);
    _exit(fcntl(fd, F_GETFD) == -1 && fcntl(2, F_GETFD) != -1 ? 5 : 6);
}

START_TEST(descriptors_are_closed_also_by_an_old_system)
{
    static const long limits[] = { 100, -1, 1000000 };

    for (int i = 0; i < 3; i++) {
        limit_of_descriptors = limits[i];
        ck_assert_int_eq(end_of(close_without_the_call), 5);
    }
}
END_TEST

START_TEST(children_are_reaped_in_spite_of_signals)
{
    cfuti_end end;
    pid_t pid;

    answer("wait4", 0, 2, -1, EINTR);
    ck_assert(!cfuti_sys_reap(&end));
    ck_assert_int_eq(answers[0].times, 0);
    pid = fork();
    if (pid == 0) _exit(0);
    answer("waitpid", 0, 2, -1, EINTR);
    cfuti_sys_await(pid);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
}
END_TEST

static void outlive_the_parent(void)
{
    answer("getppid", 0, 1, 1, 0);
    cfuti_sys_end_with_parent(2);
}

START_TEST(worker_whose_helper_is_gone_ends_at_once)
{
    ck_assert_int_eq(end_of(outlive_the_parent), 0);
}
END_TEST

/* ---- limits of workers ---- */

static void limit_cpu(void)
{
    struct rlimit less = { 50, 60 };

    answer("getrlimit", 0, 1, -1, EINVAL);
    cfuti_sys_limit_cpu(90);
    if (soft_of(RLIMIT_CPU) <= 90) _exit(1);
    cfuti_sys_limit_cpu(90);
    if (soft_of(RLIMIT_CPU) != 90) _exit(2);
    if (setrlimit(RLIMIT_CPU, &less) != 0) _exit(3);
    cfuti_sys_limit_cpu(100);
    if (soft_of(RLIMIT_CPU) != 60) _exit(4);
    cfuti_sys_limit_cpu(SIZE_MAX);              /* no limit at all */
    _exit(soft_of(RLIMIT_CPU) == 60 ? 5 : 6);
}

static void limit_files(void)
{
    cfut_process_pool_desc desc = { .limit_files = 30, .core_dumps = true, .nice = -1 };

    answer("getrlimit", 0, 1, -1, EINVAL);
    cfuti_child_limits(&desc);
    if (soft_of(RLIMIT_NOFILE) == 30) _exit(1);
    desc.limit_file_size = (size_t)1 << 30;
    desc.limit_memory = SIZE_MAX / 4;
    answer("getrlimit", 1, 2, -1, EINVAL);      /* all but the first */
    cfuti_child_limits(&desc);
    if (soft_of(RLIMIT_NOFILE) != 30 || soft_of(RLIMIT_FSIZE) != RLIM_INFINITY) _exit(2);
    desc.limit_files = 20;
    desc.limit_cpu = 100;
    desc.core_dumps = false;
    desc.nice = 3;
    no_answers();
    cfuti_child_limits(&desc);
    _exit(soft_of(RLIMIT_NOFILE) == 20 && soft_of(RLIMIT_FSIZE) == (rlim_t)1 << 30 &&
          soft_of(RLIMIT_AS) == (rlim_t)(SIZE_MAX / 4) && soft_of(RLIMIT_CPU) == 100 ? 5 : 6);
}

START_TEST(limits_are_lowered_never_raised)
{
    ck_assert_int_eq(end_of(limit_cpu), 5);
    ck_assert_int_eq(end_of(limit_files), 5);
}
END_TEST

static void be_too_important(void)
{
    cfut_process_pool_desc desc = { .nice = -5, .core_dumps = true };

    answer("nice", 0, 1, -1, EPERM);
    cfuti_child_limits(&desc);
    _exit(errno ? 6 : 5);
}

START_TEST(priority_that_is_not_allowed_is_not_set)
{
    ck_assert_int_eq(end_of(be_too_important), 5);
}
END_TEST

START_TEST(memory_in_use_may_be_unknown)
{
    ck_assert_uint_gt(cfuti_sys_resident(), 4096);
#if CFUTI_FUTEX
    file_says("/proc/self/statm", "17 and more");
    ck_assert_uint_eq(cfuti_sys_resident(), 0);
    answer("read", 0, 1, -1, EIO);
#else
    answer("getrusage", 0, 1, -1, EINVAL);
#endif
    ck_assert_uint_eq(cfuti_sys_resident(), 0);
}
END_TEST

/* ---- where code is ---- */

START_TEST(lack_of_descriptors_or_memory_is_told_from_what_is_not_there)
{
    static const int lacks[] = { EMFILE, ENFILE, ENOMEM, ENOENT };

    for (int i = 0; i < 4; i++) {
        errno = lacks[i];
        ck_assert_int_eq(cfuti_sys_had_no_room(), i < 3);
    }
}
END_TEST

#if CFUTI_FUTEX
START_TEST(mappings_are_read_whatever_they_look_like)
{
    static char text[20000], path[400];
    cfuti_site place;
    int n = 0;

    memset(path, 'p', sizeof path - 1);
    memset(text, 'x', 5000);                            /* longer than any line is read */
    n = 5000;
    n += sprintf(text + n, "\nno mapping at all\n");
    n += sprintf(text + n, "1000-2000 r-xp 00000000 00:00 0 \n");
    n += sprintf(text + n, "2000-3000 r--p 00001000 08:01 77   /a/program\n");
    n += sprintf(text + n, "3000-4000 r-xp 00002000 08:01 77   /a/program\n");
    n += sprintf(text + n, "4000-5000 r-xp 00000000 08:01 78   /%s\n", path);
    file_says("/proc/self/maps", text);
    ck_assert(!cfuti_sys_place(0x1800, &place));        /* of no file */
    ck_assert(!cfuti_sys_place(0x2800, &place));        /* no code */
    ck_assert(!cfuti_sys_place(0x9000, &place));
    ck_assert(cfuti_sys_place(0x4800, &place));
    ck_assert_str_eq(place.path, "");                   /* too long to be kept */
    ck_assert(cfuti_sys_place(0x3800, &place));
    ck_assert_str_eq(place.path, "/a/program");
    ck_assert_uint_eq(cfuti_sys_code(&place), 0x3800);
    place.at = 0x100;                                   /* before the part that is code */
    ck_assert_uint_eq(cfuti_sys_code(&place), 0);
    place.at = 0x9000;                                  /* behind it */
    ck_assert_uint_eq(cfuti_sys_code(&place), 0);
    place.path[0] = 0;
    ck_assert_uint_eq(cfuti_sys_code(&place), 0);
    answer("open", 0, 1, -1, EMFILE);
    ck_assert(!cfuti_sys_place(0x3800, &place));
    answer("read", 0, 1, -1, EIO);
    ck_assert(!cfuti_sys_place(0x3800, &place));
}
END_TEST
#else
START_TEST(code_of_no_file_is_taken_for_this_ones)
{
    cfuti_site place;

    ck_assert(cfuti_sys_place((uintptr_t)open_channel, &place));
    ck_assert_uint_eq(cfuti_sys_code(&place), (uintptr_t)open_channel);
    ck_assert(cfuti_sys_place(8, &place));
    cfuti_sys_anchor();
}
END_TEST
#endif

/* As if there was no room for a copy. What is at 4 then was taken for the memory. */
static void keep_one_that_is_not_there(void)
{
    static const int fds[3] = { 0, -1, 2 };

    cfuti_sys_only(fds);
}

START_TEST(helper_without_its_descriptors_ends)
{
    ck_assert_int_eq(end_of(keep_one_that_is_not_there), 1);
}
END_TEST

static int open_null(void)
{
    int fd = open("/dev/null", O_RDONLY);

    if (fd < 0) abort();
    return fd;
}

static void keep_with_few(void)
{
    int fd = open_null();
    cfuti_kept k;

    set_soft(RLIMIT_NOFILE, 60);
    k = cfuti_sys_keep(fd);
    if (k.fd != 57 || fcntl(fd, F_GETFD) >= 0) _exit(1);
    if (cfuti_sys_keep(58).fd != 58 || dup2(57, 58) != 58 || dup2(57, 59) != 59) _exit(2);
    fd = open_null();
    if (cfuti_sys_keep(fd).fd != fd) _exit(3);          /* no room */
    answer("getrlimit", 0, 1, -1, EINVAL);
    if (cfuti_sys_keep(fd).fd != fd || !cfuti_sys_is_kept(&k)) _exit(4);
    _exit(5);
}

static void keep_and_lose(void)
{
    cfuti_child c;

    memset(&c, 0, sizeof c);
    c.file = cfuti_sys_keep(cfuti_sys_file(4096));
    c.ring = cfuti_sys_keep(cfuti_sys_file(4096));
    c.bell = cfuti_sys_keep(open_null());
    if (!cfuti_child_has_all(&c)) _exit(1);
    if (dup2(c.file.fd, c.ring.fd) < 0 || cfuti_sys_is_kept(&c.ring)) _exit(2);
    if (cfuti_child_has_all(&c)) _exit(3);
    c.ring = cfuti_sys_keep(open_null());
    close(c.bell.fd);
    if (cfuti_child_has_all(&c) != CFUTI_FUTEX) _exit(4);
    answer("fstat", 0, 1, -1, EIO);
    c.bell = cfuti_sys_keep(open_null());
    _exit(cfuti_sys_is_kept(&c.bell) ? 6 : 5);
}

START_TEST(descriptor_of_a_worker_is_high_and_missed_when_it_is_lost)
{
    ck_assert_int_eq(end_of(keep_with_few), 5);
    ck_assert_int_eq(end_of(keep_and_lose), 5);
}
END_TEST

/* ---- who begins as a helper ---- */

static void privileged_helper(void)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0 || dup2(fds[0], 3) < 0) abort();
    setenv(CFUTI_ENV, "1", 1);
    if (!cfuti_sys_is_helper()) _exit(2);
    setenv(CFUTI_ENV, "1", 1);
    answer("getauxval", 0, 1, 1, 0);
    cfuti_sys_is_helper();
}

static void no_helper(void)
{
    setenv(CFUTI_ENV, "1", 1);
    answer("fstat", 0, 1, -1, EBADF);
    if (cfuti_sys_is_helper() || getenv(CFUTI_ENV)) _exit(2);
    setenv(CFUTI_ENV, "1", 1);
    if (dup2(open("/dev/null", O_RDONLY), 3) < 0) abort();
    if (cfuti_sys_is_helper()) _exit(3);
    _exit(cfuti_sys_is_helper() ? 4 : 5);
}

START_TEST(helper_needs_its_socket_and_no_privilege)
{
    ck_assert_int_eq(end_of(privileged_helper), 1);
    ck_assert_int_eq(end_of(no_helper), 5);
}
END_TEST

/* The channel, the memory and the bell of a pool's helper, where it has them. */
static cfuti_common *helper_memory;
static int helper_channel;              /* the host's end */

enum { LARGEST_PAGE = 65536 };          /* of any platform */

static void helper_open(void)
{
    size_t size = sizeof *helper_memory + (16 << 20);
    int file = cfuti_sys_file(size), fds[2];

    if (file < 0 || !cfuti_sys_channel(fds)) abort();
    helper_channel = fcntl(fds[1], F_DUPFD_CLOEXEC, 20);
    if (dup2(fds[0], 30) < 0 || dup2(file, 31) < 0) abort();
    if (dup2(30, CFUTI_FD_CHANNEL) < 0 || dup2(31, CFUTI_FD_FILE) < 0) abort();
    helper_memory = (cfuti_common *)cfuti_sys_map(CFUTI_FD_FILE, 0, size, true);
    if (!helper_memory) abort();
    helper_memory->magic = CFUTI_PROCESS_MAGIC;
    helper_memory->version = CFUT_VERSION;
    helper_memory->initializer = helper_memory->finalizer = -1;
    helper_memory->workers = 2;
    helper_memory->layout.common = cfuti_round_up(sizeof *helper_memory, LARGEST_PAGE);
    helper_memory->layout.part = cfuti_round_up(sizeof(cfuti_reports), LARGEST_PAGE);
    helper_memory->layout.bulk = LARGEST_PAGE;
    cfuti_sys_place((uintptr_t)cfuti_helper_noticed, &helper_memory->self);
}

static void helper_without_memory(void)
{
    answer("mmap", 0, 1, 0, ENOMEM);
    cfuti_helper_main();
}

static void helper_of_another_version(void)
{
    helper_open();
    helper_memory->version++;
    cfuti_helper_main();
}

static void helper_without_the_rest(void)
{
    helper_open();
    answer("mmap", 1, 1, 0, ENOMEM);
    cfuti_helper_main();
}

static void helper_without_a_table(void)
{
    helper_open();
    answer("calloc", 0, 1, 0, ENOMEM);
    cfuti_helper_main();
}

START_TEST(helper_that_lacks_something_ends)
{
    ck_assert_int_eq(end_of(helper_without_memory), 1);
    ck_assert_int_eq(end_of(helper_of_another_version), 1);
    ck_assert_int_eq(end_of(helper_without_the_rest), 1);
    ck_assert_int_eq(end_of(helper_without_a_table), 1);
}
END_TEST

static void know_the_host(void)
{
    static cfuti_common c[6];
    int known = 0;

    helper_open();
    for (int i = 0; i < 6; i++) c[i] = *helper_memory;
    if (!cfuti_helper_knows(&c[0])) _exit(1);
    c[1].magic++;
    c[2].version++;
    c[3].self.at++;
    c[4].self.device++;
    c[5].self.inode++;
    for (int i = 1; i < 6; i++) known += cfuti_helper_knows(&c[i]);
#if CFUTI_FUTEX
    answer("open", 0, 1, -1, EMFILE);
    known += cfuti_helper_knows(&c[0]);
#endif
    _exit(known ? 2 : 5);
}

START_TEST(helper_knows_its_own_host_only)
{
    ck_assert_int_eq(end_of(know_the_host), 5);
}
END_TEST

/* As a worker that has just been forked is, and not yet one. */
static void be_told_at_birth(void)
{
    sigset_t waiting;

    cfuti_helper_signals(&waiting);
    raise(SIGTERM);
    cfuti_child_signals();
    _exit(5);
}

static void be_told_as_helper(void)
{
    struct timespec moment = { 0, 1 };
    sigset_t waiting;

    cfuti_helper_signals(&waiting);
    raise(SIGTERM);
    pselect(0, NULL, NULL, NULL, &moment, &waiting);
    _exit(5);
}

START_TEST(sigterm_ends_a_worker_at_its_birth_and_no_helper)
{
    ck_assert_int_eq(end_of(be_told_at_birth), 1000 + SIGTERM);
    ck_assert_int_eq(end_of(be_told_as_helper), 5);
}
END_TEST

/* A child that the helper has from elsewhere; orders that make no sense. */
static void mind_strangers(void)
{
    pid_t pids[2] = { 0, 0 }, stranger = fork();
    cfuti_helper h = { .pids = pids };
    cfuti_message m;
    int fd;

    if (stranger == 0) _exit(0);
    helper_open();
    h.common = helper_memory;
    h.workers = 2;
    pids[1] = getpid();
    memset(&m, 0, sizeof m);
    m.what = CFUTI_SIGNAL;
    m.worker = 1;
    m.end.pid = 1;
    m.value = SIGKILL;
    if (cfuti_sys_send(helper_channel, &m, sizeof m, -1, true) != 1) _exit(1);
    m.worker = 2;
    if (cfuti_sys_send(helper_channel, &m, sizeof m, -1, true) != 1) _exit(1);
    cfuti_helper_obey(&h);
    cfuti_helper_start(&h, 2);
    cfuti_helper_start(&h, 1);
    while (waitid(P_PID, (id_t)stranger, NULL, WEXITED | WNOWAIT) != 0)
        if (errno != EINTR) _exit(7);
    cfuti_helper_reap(&h);
    if (waitpid(-1, NULL, WNOHANG) != -1 || h.alive) _exit(2);
    if (cfuti_sys_receive(helper_channel, &m, sizeof m, &fd) != 0) _exit(3);
#if !CFUTI_FUTEX
    answer("socketpair", 0, 1, -1, EMFILE);
    cfuti_helper_start(&h, 0);
    if (cfuti_sys_receive(helper_channel, &m, sizeof m, &fd) != 1) _exit(4);
    if (m.what != CFUTI_NOT_STARTED || m.value != EMFILE) _exit(6);
#endif
    _exit(5);
}

START_TEST(helper_minds_its_own_workers_only)
{
    ck_assert_int_eq(end_of(mind_strangers), 5);
}
END_TEST

/* ---- who begins as a worker ---- */

static const char *what_fails;
static int fails_at;

static void begin_as_worker(void)
{
    static cfuti_child child;
    char init[10] = "something";

    helper_open();
    memcpy(helper_memory + 1, init, sizeof init);
    helper_memory->desc.init_size = sizeof init;
    child.common = helper_memory;
    if (what_fails) answer(what_fails, fails_at, 1, ENOMEM, ENOMEM);
    cfuti_child_begin(&child);
    _exit(strcmp((char *)child.init_arg, init) ? 6 : 5);
}

START_TEST(worker_that_lacks_something_ends)
{
    static const struct { const char *call; int at, status; } cases[] = {
        { NULL, 0, 5 }, { "mmap", 0, 1 }, { "mmap", 1, 1 }, { "pthread_atfork", 0, 1 },
        { "malloc", 0, 1 },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        what_fails = cases[i].call;
        fails_at = cases[i].at;
        ck_assert_int_eq(end_of(begin_as_worker), cases[i].status);
    }
}
END_TEST

static void want_bulk(void)
{
    static cfuti_child child;
    cfuti_child *c = &child;

    helper_open();
    helper_memory->layout.bulk = (3 << 20) / 4 + (1 << 20);
    c->common = helper_memory;
    c->file = cfuti_sys_keep(CFUTI_FD_FILE);
    if (cfuti_child_bulk(c, helper_memory->layout.bulk + 1)) _exit(1);
    answer("mmap", 0, 1, 0, ENOMEM);
    if (cfuti_child_bulk(c, 100) || c->mapped) _exit(2);
    answer("mmap", 1, 1, 0, ENOMEM);
    if (cfuti_child_bulk(c, 100) || c->mapped) _exit(3);
    if (!cfuti_child_bulk(c, 100) || c->mapped != 1 << 20) _exit(4);
    if (!cfuti_child_bulk(c, (1 << 20) + 1) || c->mapped != helper_memory->layout.bulk) _exit(6);
    _exit(5);
}

START_TEST(worker_maps_bulk_as_far_as_there_is_some)
{
    ck_assert_int_eq(end_of(want_bulk), 5);
}
END_TEST

/* The copy of one's own cannot be had: it stays shared. */
static void fork_in_a_task(void)
{
    static cfuti_child child;

    what_fails = NULL;
    helper_open();
    child.common = helper_memory;
    cfuti_child_begin(&child);
    if (fork() == 0) _exit(0);
    cfuti_sys_disown(child.reports, child.file.fd, 0, 0);       /* nothing of it */
    answer("mmap", 0, 1, 0, ENOMEM);
    cfuti_child_forked();
    _exit(child.forked ? 5 : 6);
}

START_TEST(fork_in_a_task_goes_on_without_memory)
{
    ck_assert_int_eq(end_of(fork_in_a_task), 5);
}
END_TEST

/* Where it was is not to be found in this program. */
static void initialize_by_nothing(void)
{
    static cfuti_child child;

    what_fails = NULL;
    helper_open();
    child.common = helper_memory;
    helper_memory->initializer = 0;
    answer("open", 0, FOR_EVER, -1, EMFILE);
    cfuti_child_begin(&child);
    cfuti_child_initialize(&child);
}

START_TEST(worker_that_does_not_find_its_initializer_ends)
{
    if (CFUTI_FUTEX) ck_assert_int_eq(end_of(initialize_by_nothing), 1);
}
END_TEST

static void standard_input(void)
{
    answer("open", 0, 1, -1, EMFILE);
    cfuti_child_stdin();
    cfuti_child_stdin();
    _exit(read(0, &(char){ 0 }, 1) == 0 ? 5 : 6);
}

START_TEST(standard_input_of_a_worker_is_empty)
{
    ck_assert_int_eq(end_of(standard_input), 5);
}
END_TEST

START_TEST(pool_by_fork_is_refused_where_threads_cannot_be_counted)
{
    cfut_executor *ex;

    file_says("/proc/self/stat", "17 (a name) S 1 2 3");
    ex = cfut_process_pool(NULL);
    ck_assert_int_eq(cfut_executor_status(ex), CFUT_NO_THREADS);
    ck_assert_int_eq(cfut_shutdown(ex, CFUT_DRAIN), CFUT_OK);
}
END_TEST

/* More than a pool may have; then it gets no file. */
START_TEST(pool_on_a_machine_of_very_many_cpus_is_not_too_large)
{
    cfut_executor *ex;

    file_says(CGROUP, "0::/\n");
    file_says(ROOT_MAX, "max 100000\n");
    answer("sched_getaffinity", 0, FOR_EVER, 1024, 0);
    ck_assert_int_eq(cfuti_sys_cpus(), 8192);
    answer("ftruncate", 0, 1, -1, ENOSPC);
    ex = cfut_process_pool(&(cfut_process_pool_desc){ .start = CFUT_START_FORK });
    ck_assert_int_eq(cfut_executor_status(ex), CFUT_NO_MEMORY);
    ck_assert_int_eq(cfut_shutdown(ex, CFUT_DRAIN), CFUT_OK);
}
END_TEST

START_TEST(pool_where_the_programs_files_are_not_to_be_seen_is_unsupported)
{
    cfut_executor *ex;

    file_says("/proc/self/maps", "");
    ex = cfut_process_pool(&(cfut_process_pool_desc){ .max_workers = 1, .start = CFUT_START_FORK });
    ck_assert_int_eq(cfut_executor_status(ex), CFUTI_FUTEX ? CFUT_UNSUPPORTED : CFUT_OK);
    ck_assert_int_eq(cfut_shutdown(ex, CFUT_DRAIN), CFUT_OK);
}
END_TEST

static void forget_the_program(void)
{
    char name[] = "name", *args[] = { name, NULL }, **argv = args;
    int argc = 0;

    cfut_process_main(NULL, &argv);
    cfut_process_main(&argc, NULL);
    cfut_process_main(&argc, &argv);
    argc = 1;
    answer("getauxval", 0, 1, 1, 0);
    cfut_process_main(&argc, &argv);
    if (cfuti_program) _exit(6);
    cfut_process_main(&argc, &argv);
    _exit(cfuti_program ? 5 : 7);
}

START_TEST(program_without_arguments_or_with_privilege_is_not_executed_again)
{
    ck_assert_int_eq(end_of(forget_the_program), 5);
}
END_TEST

/* ---- */

static void fill(TCase *tc)
{
    tcase_add_test(tc, file_that_cannot_be_read_is_none);
    tcase_add_test(tc, quota_is_rounded_up_and_else_none);
    tcase_add_test(tc, quota_of_a_folder_with_an_absurd_name_is_none);
    tcase_add_test(tc, least_quota_on_the_way_up_counts);
    tcase_add_test(tc, cgroup_without_end_of_line_at_the_root_or_of_another_kind);
    tcase_add_test(tc, cpus_are_the_least_of_quota_and_mask_or_what_is_online_or_one);
    tcase_add_test(tc, cpu_of_the_thread_may_be_unknown);
    tcase_add_test(tc, barrier_without_a_pool_is_none);
    tcase_add_test(tc, thread_that_cannot_be_started_is_refused);
    tcase_add_test(tc, memory_that_cannot_be_had_is_none);
    tcase_add_test(tc, sizes_beyond_the_range_saturate);
    tcase_add_test(tc, shared_file_beyond_the_limit_or_the_disk_is_refused);
#if !CFUTI_FUTEX
    tcase_add_test(tc, shared_file_is_made_in_the_next_folder);
    tcase_add_test(tc, pages_are_reserved_in_spite_of_signals_or_not_at_all);
    tcase_add_test(tc, program_that_is_not_found_is_left_to_the_path);
    tcase_add_test(tc, worker_whose_bell_is_gone_ends);
    tcase_add_test(tc, worker_is_woken_in_spite_of_signals_if_its_bell_is_there);
    tcase_add_test(tc, channel_for_a_bell_may_be_refused);
#endif
    tcase_add_test(tc, bell_rings_in_spite_of_signals_and_says_if_it_is_gone);
    tcase_add_test(tc, bell_is_hushed_whole_in_spite_of_signals);
    tcase_add_test(tc, channel_may_be_refused);
    tcase_add_test(tc, message_and_descriptor_go_through_in_spite_of_signals);
    tcase_add_test(tc, message_that_is_cut_is_sent_and_received_to_its_end);
    tcase_add_test(tc, message_to_a_full_or_a_closed_channel_is_not_sent);
    if (!EMULATED) tcase_add_test(tc, message_with_anything_but_a_descriptor_has_none);
    tcase_add_test(tc, poll_ends_by_its_deadline_or_by_what_comes);
    if (!EMULATED) tcase_add_test(tc, number_of_threads_may_be_unknown);
    tcase_add_test(tc, environment_gets_one_more_entry);
    if (!EMULATED) tcase_add_test(tc, program_that_cannot_be_executed_is_refused);
    tcase_add_test(tc, descriptors_are_closed_also_by_an_old_system);
    tcase_add_test(tc, children_are_reaped_in_spite_of_signals);
    tcase_add_test(tc, worker_whose_helper_is_gone_ends_at_once);
    if (!EMULATED) tcase_add_test(tc, limits_are_lowered_never_raised);
    tcase_add_test(tc, priority_that_is_not_allowed_is_not_set);
    tcase_add_test(tc, memory_in_use_may_be_unknown);
    tcase_add_test(tc, lack_of_descriptors_or_memory_is_told_from_what_is_not_there);
#if CFUTI_FUTEX
    tcase_add_test(tc, mappings_are_read_whatever_they_look_like);
#else
    tcase_add_test(tc, code_of_no_file_is_taken_for_this_ones);
#endif
    tcase_add_test(tc, helper_without_its_descriptors_ends);
    if (!EMULATED) tcase_add_test(tc, descriptor_of_a_worker_is_high_and_missed_when_it_is_lost);
    tcase_add_test(tc, helper_needs_its_socket_and_no_privilege);
    tcase_add_test(tc, helper_that_lacks_something_ends);
    tcase_add_test(tc, helper_knows_its_own_host_only);
    tcase_add_test(tc, sigterm_ends_a_worker_at_its_birth_and_no_helper);
    tcase_add_test(tc, helper_minds_its_own_workers_only);
    tcase_add_test(tc, worker_that_lacks_something_ends);
    tcase_add_test(tc, worker_maps_bulk_as_far_as_there_is_some);
    tcase_add_test(tc, fork_in_a_task_goes_on_without_memory);
    tcase_add_test(tc, worker_that_does_not_find_its_initializer_ends);
    tcase_add_test(tc, standard_input_of_a_worker_is_empty);
    tcase_add_test(tc, pool_by_fork_is_refused_where_threads_cannot_be_counted);
    tcase_add_test(tc, pool_on_a_machine_of_very_many_cpus_is_not_too_large);
    tcase_add_test(tc, pool_where_the_programs_files_are_not_to_be_seen_is_unsupported);
    tcase_add_test(tc, program_without_arguments_or_with_privilege_is_not_executed_again);
}

int main(void) { return harness_main("system", fill); }
