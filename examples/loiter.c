/* loiter: five tasks that only sleep, on three workers. Shows when tasks start
   and end, and that results come in the order in which they are asked for.

       cc -I. -pthread examples/loiter.c -o loiter && ./loiter

   Task n sleeps n units of time. Workers take tasks in the order of submission:
   so 0, 1 and 2 start at once, 3 as soon as 0 has ended, 4 when 1 has ended. */
#define CFUT_IMPLEMENTATION
#include "cfut.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef _WIN32
#include <windows.h>
#else
#include <time.h>
#endif

enum { TASKS = 5, WORKERS = 3 };

static const char usage[] =
    "Usage: loiter [--unit MS]\n"
    "Runs five tasks that sleep 0, 1, 2, 3 and 4 units of time on three workers.\n"
    "A unit is MS milliseconds (0 to 60000), 100 if not given.\n";

#ifdef _WIN32
static double clock_seconds(void)
{
    return (double)GetTickCount64() / 1e3;
}

static void sleep_ms(int ms)
{
    Sleep((DWORD)ms);
}
#else
static double clock_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void sleep_ms(int ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        continue;
}
#endif

static double started;                  /* set before the first task, then constant */

static double seconds(void)
{
    return clock_seconds() - started;
}

/* A task has one argument. Several make a struct. */
struct loiter_in { int n; int unit_ms; };

/* The task. Tasks print at the same time, so each line is a single printf,
   which is never torn apart. */
static int loiter(const struct loiter_in *in, int *result)
{
    int indent = 4 * in->n, ms = in->n * in->unit_ms;

    printf("[%6.3f] %*sloiter(%d): sleeping for %d ms\n", seconds(), indent, "", in->n, ms);
    sleep_ms(ms);
    printf("[%6.3f] %*sloiter(%d): done\n", seconds(), indent, "", in->n);
    *result = in->n * 10;
    return CFUT_OK;
}
CFUT_TASK(loiter, struct loiter_in, int);

/* Submits all tasks, then asks for their results one after the other. The
   futures are plain variables: submitting allocates nothing, and as soon as its
   result is there a future is ours again. */
static bool run(cfut_executor *pool, int unit_ms)
{
    loiter_future futures[TASKS];
    bool ok = true;

    for (int n = 0; n < TASKS; n++)
        loiter_submit(pool, &futures[n], (struct loiter_in){n, unit_ms});
    for (int n = 0; n < TASKS; n++) {
        if (loiter_result(&futures[n]) == CFUT_OK) {
            printf("[%6.3f] result %d: %d\n", seconds(), n, futures[n].out);
        } else {
            fprintf(stderr, "loiter: task %d: %s\n", n, cfut_error(&futures[n].base));
            ok = false;
        }
    }
    return ok;
}

/* The unit in milliseconds, -1 if text is not one. */
static int parse_unit(const char *text)
{
    char *end;
    long unit = strtol(text, &end, 10);

    return *text && *end == '\0' && unit >= 0 && unit <= 60000 ? (int)unit : -1;
}

int main(int argc, char **argv)
{
    int unit_ms = 100;
    cfut_executor *pool;
    bool ok;

    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return EXIT_SUCCESS;
    }
    if (argc > 1)
        unit_ms = argc == 3 && strcmp(argv[1], "--unit") == 0 ? parse_unit(argv[2]) : -1;
    if (unit_ms < 0) {
        fprintf(stderr, "loiter: bad arguments\n%s", usage);
        return EXIT_FAILURE;
    }
    started = clock_seconds();
    pool = cfut_thread_pool(&(cfut_thread_pool_desc){.max_workers = WORKERS});
    ok = run(pool, unit_ms);
    cfut_shutdown(pool, CFUT_DRAIN);
    return ok && fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
