/* bench.h: clocks, placement of threads, statistics and the table, for the
   benchmark programs. Linux and glibc. */
#ifndef CFUT_BENCH_H
#define CFUT_BENCH_H

#include <gnu/libc-version.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_VALUES = 3, MAX_ROUNDS = 101, MAX_THREADS = 1024 };

/* A benchmark that goes wrong must not print a figure. */
static inline void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
static inline void die(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fprintf(stderr, "bench: ");
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    exit(1);
}

/* Zeroed, and its pages faulted in here instead of in what is measured. The
   writes are volatile because compilers drop a memset behind a calloc. */
static inline void *must_calloc(size_t n, size_t size)
{
    void *p = calloc(n, size);
    volatile char *byte = p;

    if (!p)
        die("out of memory");
    for (size_t i = 0; i < n * size; i += 4096)
        byte[i] = 0;
    return p;
}

/* ---- clocks, in ns ---- */

static inline int64_t clock_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline int64_t wall_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

/* User and system time so far, of all threads and of this one. */
static inline int64_t cpu_ns(void)
{
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

static inline int64_t thread_cpu_ns(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static inline void sleep_ns(int64_t ns)
{
    struct timespec t = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};

    while (nanosleep(&t, &t) != 0)
        ;
}

/* ---- where threads run ---- */

enum place { PLACE_FREE, PLACE_ACROSS, PLACE_ONE };

static cpu_set_t usable;        /* the CPUs this process may use, as found */

static inline void placement_init(void)
{
    if (sched_getaffinity(0, sizeof usable, &usable) != 0)
        die("sched_getaffinity failed");
}

/* The k-th CPU of those usable; -1: there are fewer. */
static inline int usable_cpu(int k)
{
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET((size_t)i, &usable) && k-- == 0)
            return i;
    return -1;
}

static inline void pin_to(int cpu)
{
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET((size_t)cpu, &one);
    if (pthread_setaffinity_np(pthread_self(), sizeof one, &one) != 0)
        die("cannot pin a thread to CPU %d", cpu);
}

/* The thread that submits. */
static inline void pin_caller(enum place place)
{
    if (place != PLACE_FREE)
        pin_to(usable_cpu(0));
}

/* What each worker does first, in any pool: goes to its place and leaves the
   clock of its CPU time. */
struct crew {
    enum place place;
    pthread_mutex_t lock;       /* guards the rest */
    int n;
    clockid_t clocks[MAX_THREADS];
};

/* The process's first thread may be a worker at times; its sleep is not the
   pool's. */
static inline bool is_first_thread(void)
{
    return syscall(SYS_gettid) == getpid();
}

static inline void crew_join(void *arg)
{
    struct crew *c = (struct crew *)arg;

    if (c->place != PLACE_FREE)
        pin_to(usable_cpu(c->place == PLACE_ACROSS ? 1 : 0));
    pthread_mutex_lock(&c->lock);
    if (!is_first_thread() &&
        (c->n >= MAX_THREADS || pthread_getcpuclockid(pthread_self(), &c->clocks[c->n++]) != 0))
        die("cannot read a worker's CPU time");
    pthread_mutex_unlock(&c->lock);
}

/* CPU time of all workers; the pool must still live. */
static inline int64_t crew_cpu_ns(struct crew *c)
{
    int64_t sum = 0;

    pthread_mutex_lock(&c->lock);
    for (int i = 0; i < c->n; i++)
        sum += clock_ns(c->clocks[i]);
    pthread_mutex_unlock(&c->lock);
    return sum;
}

/* ---- a process of its own ---- */

enum { LIMIT_S = 300 };         /* of a round: a hang must not last for ever */

/* Calls fn(arg, value), for MAX_VALUES figures, in a child. It must be forked
   while this process has one thread. false: the child failed. */
static inline bool run_apart(void (*fn)(const void *arg, double *value), const void *arg,
                             double *value)
{
    const size_t size = MAX_VALUES * sizeof *value;
    int ends[2], status;
    ssize_t got;
    pid_t child;

    fflush(NULL);
    if (pipe(ends) != 0 || (child = fork()) < 0)
        die("cannot start a process");
    if (child == 0) {
        alarm(LIMIT_S);
        fn(arg, value);
        exit(write(ends[1], value, size) == (ssize_t)size ? 0 : 1);
    }
    close(ends[1]);
    got = read(ends[0], value, size);
    close(ends[0]);
    return waitpid(child, &status, 0) == child && status == 0 && got == (ssize_t)size;
}

/* ---- another program ---- */

/* The first line that a shell command prints; empty if there is none. Whether the
   command succeeded. */
static inline bool first_line(const char *command, char *buf, size_t size)
{
    FILE *out;

    buf[0] = '\0';
    fflush(NULL);
    out = popen(command, "r");
    if (out && !fgets(buf, (int)size, out))
        buf[0] = '\0';
    buf[strcspn(buf, "\n")] = '\0';
    return out && pclose(out) == 0;
}

/* Runs a shell command that prints up to MAX_VALUES figures. */
static inline bool run_command(const char *command, double *value)
{
    char line[256];

    return first_line(command, line, sizeof line) &&
           sscanf(line, "%lf %lf %lf", &value[0], &value[1], &value[2]) >= 1;
}

/* ---- memory ---- */

/* Bytes of this process that lie in memory. */
static inline int64_t resident_bytes(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    long size, resident;

    if (!f || fscanf(f, "%ld %ld", &size, &resident) != 2)
        die("cannot read /proc/self/statm");
    fclose(f);
    return (int64_t)resident * sysconf(_SC_PAGESIZE);
}

/* What the system could give away now. */
static inline double available_bytes(void)
{
    return (double)sysconf(_SC_AVPHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
}

/* ---- the command line ---- */

static inline int number(const char *text, int max)
{
    char *end;
    long n = strtol(text, &end, 10);

    if (*end || n < 1 || n > max)
        die("not a number from 1 to %d: %s", max, text);
    return (int)n;
}

/* Is name one of names, which have commas between? */
static inline bool is_listed(const char *names, const char *name)
{
    size_t n = strlen(name);

    for (const char *p = names; (p = strstr(p, name)); p += n)
        if ((p == names || p[-1] == ',') && (p[n] == ',' || p[n] == '\0'))
            return true;
    return false;
}

static inline FILE *must_open(const char *path)
{
    FILE *f = fopen(path, "w");

    if (!f)
        die("cannot write %s", path);
    return f;
}

/* ---- statistics ---- */

static inline int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

struct spread {
    double median, min, max;
};

static inline struct spread spread_of(const double *values, int n)
{
    double v[MAX_ROUNDS];

    memcpy(v, values, (size_t)n * sizeof v[0]);
    qsort(v, (size_t)n, sizeof v[0], by_value);
    return (struct spread){(v[(n - 1) / 2] + v[n / 2]) / 2, v[0], v[n - 1]};
}

/* Sorts v; the value that a share p of them does not exceed. */
static inline double percentile(double *v, size_t n, double p)
{
    qsort(v, n, sizeof v[0], by_value);
    return v[(size_t)((double)(n - 1) * p)];
}

/* ---- the table ---- */

struct metric {
    const char *name, *unit;    /* name NULL ends the list */
};

/* Digits behind the point that a figure deserves. */
static inline int decimals(double x)
{
    return x < 10 ? 2 : 1;
}

static inline void print_spread(const char *side, struct spread v)
{
    printf("       %-14s %10.*f [%.*f .. %.*f]", side, decimals(v.median), v.median,
           decimals(v.min), v.min, decimals(v.max), v.max);
}

static inline void print_ratio(double ratio, double noise)
{
    if (ratio <= 0)
        printf("        -");
    else if (ratio < noise && ratio > 1 / noise)
        printf("  %6.2fx (noise)", ratio);
    else
        printf("  %6.2fx", ratio);
}

static const char csv_head[] = "workload,what,workers,metric,unit,side,median,min,max,ratio,n\n";

/* ---- the machine ---- */

static inline void cpu_model(char *buf, size_t size)
{
    FILE *f = fopen("/proc/cpuinfo", "r");
    char line[256];

    snprintf(buf, size, "unknown CPU");
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');

        if (strncmp(line, "model name", 10) == 0 && colon) {
            colon[strcspn(colon, "\n")] = '\0';
            snprintf(buf, size, "%s", colon + 2);
            break;
        }
    }
    if (f)
        fclose(f);
}

#if defined(__clang__)
#define BENCH_COMPILER "clang " __clang_version__
#else
#define BENCH_COMPILER "gcc " __VERSION__
#endif
#ifdef __OPTIMIZE__
#define BENCH_OPTIMIZED "optimized"
#else
#define BENCH_OPTIMIZED "NOT OPTIMIZED: the figures mean nothing"
#endif

/* prefix: of each line. */
static inline void print_machine(const char *prefix, const char *version)
{
    char model[256];
    struct utsname u;

    cpu_model(model, sizeof model);
    if (uname(&u) != 0)
        die("uname failed");
    printf("%smachine   %s, %d of %ld CPUs usable\n", prefix, model, CPU_COUNT(&usable),
           sysconf(_SC_NPROCESSORS_ONLN));
    printf("%ssystem    %s %s %s, glibc %s\n", prefix, u.sysname, u.release, u.machine,
           gnu_get_libc_version());
    printf("%scompiler  %s, %s\n", prefix, BENCH_COMPILER, BENCH_OPTIMIZED);
    printf("%scfut      %s\n", prefix, version);
}

#endif
