/* bench_linear: does the cost of a unit stay the same when there are many?

   For each series the time of one unit at growing numbers of units; linear cost
   is a column of equal figures, but for the caches that it outgrows. Each run is
   a process of its own, warmed up when it is short. The chains run on 64 KiB
   stacks. Every result is checked. */
#define _GNU_SOURCE
#define CFUT_IMPLEMENTATION
#include "cfut.h"
#include "bench.h"

#include <getopt.h>

struct series {
    const char *id, *what, *unit;
    size_t from, to, by;        /* n: from, from * by, ... to */
    size_t quick_to;
    size_t bytes;               /* that a unit takes; larger than memory is left out */
    /* One pass over n; sets how many units that were. Returns ns. */
    int64_t (*pass)(size_t n, size_t *units);
};

/* A task that waits for one still queued runs it on its own stack: as many frames
   as are queued in a row. Without optimization, or with a sanitizer's guards
   between them, frames are several times as large. */
#if defined(__has_feature)
#define BENCH_HAS(x) __has_feature(x)
#else
#define BENCH_HAS(x) 0
#endif
#if !defined(__OPTIMIZE__) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
    BENCH_HAS(address_sanitizer) || BENCH_HAS(thread_sanitizer)
static const size_t small_stack = 8 << 20;
#else
static const size_t small_stack = 64 << 10;
#endif

/* ---- futures from outside ---- */

static int copy(const int *in, int *out)
{
    *out = *in;
    return 0;
}
CFUT_TASK(copy, int, int);

static int64_t batch(size_t n, size_t workers)
{
    cfut_executor *pool =
        cfut_thread_pool(&(cfut_thread_pool_desc){.max_workers = (int)workers});
    copy_future *f = must_calloc(n, sizeof *f);
    int64_t begun = wall_ns(), ns;

    for (size_t i = 0; i < n; i++)
        copy_submit(pool, &f[i], (int)i);
    for (size_t i = 0; i < n; i++)
        if (copy_result(&f[i]) != 0 || f[i].out != (int)i)
            die("a task failed: %s", cfut_error(&f[i].base));
    ns = wall_ns() - begun;
    cfut_shutdown(pool, CFUT_DRAIN);
    free(f);
    return ns;
}

static int64_t futures(size_t n, size_t *units)
{
    *units = n;
    return batch(n, 1);
}

/* The number that grows is the workers', for the same tasks. */
static int64_t workers(size_t n, size_t *units)
{
    *units = 200000;
    return batch(*units, n);
}

static int meet(pthread_barrier_t *const *all)
{
    pthread_barrier_wait(*all);
    return 0;
}
CFUT_ACTION(meet, pthread_barrier_t *);

/* Threads start on demand: the tasks of all must be under way at once. */
static int64_t start_and_end(size_t n, size_t *units)
{
    cfut_executor *pool = cfut_thread_pool(&(cfut_thread_pool_desc){.max_workers = (int)n});
    meet_future *f = must_calloc(n, sizeof *f);
    pthread_barrier_t all_there;
    int64_t begun = wall_ns(), ns;

    pthread_barrier_init(&all_there, NULL, (unsigned)n);
    for (size_t i = 0; i < n; i++)
        meet_submit(pool, &f[i], &all_there);
    cfut_shutdown(pool, CFUT_DRAIN);
    ns = wall_ns() - begun;
    pthread_barrier_destroy(&all_there);
    free(f);
    *units = n;
    return ns;
}

/* ---- many on one future ---- */

static void count(cfut_future *f, void *user)
{
    (void)f;
    ++*(size_t *)user;
}

static int64_t callbacks(size_t n, size_t *units)
{
    size_t called = 0;
    int64_t begun = wall_ns();
    cfut_future f;

    cfut_future_init(&f);
    for (size_t i = 0; i < n; i++)
        if (cfut_on_done(&f, count, &called) != CFUT_OK)
            die("a callback was refused");
    cfut_finish(&f, 0);
    if (called != n)
        die("%zu of %zu callbacks were called", called, n);
    *units = n;
    return wall_ns() - begun;
}

static int64_t waiters(size_t n, size_t *units)
{
    cfut_iter *it = must_calloc(n, sizeof *it);
    cfut_future f, *one = &f;
    int64_t begun = wall_ns(), ns;

    cfut_future_init(&f);
    for (size_t i = 0; i < n; i++)
        if (cfut_as_completed(&it[i], &one, 1, CFUT_FOREVER) != CFUT_OK)
            die("an iterator was refused");
    cfut_finish(&f, 0);
    for (size_t i = 0; i < n; i++)
        if (cfut_next(&it[i]) != &f || cfut_next(&it[i]))
            die("an iterator did not see the future");
    ns = wall_ns() - begun;
    free(it);
    *units = n;
    return ns;
}

/* ---- many futures by one call ---- */

struct many {
    cfut_executor *pool;
    copy_future *f;
    cfut_future **fs;
    int64_t begun;
};

static struct many submit_many(size_t n)
{
    struct many m = {.pool = cfut_thread_pool(&(cfut_thread_pool_desc){.max_workers = 1}),
                     .f = must_calloc(n, sizeof *m.f),
                     .fs = must_calloc(n, sizeof(cfut_future *))};

    m.begun = wall_ns();
    for (size_t i = 0; i < n; i++)
        m.fs[i] = copy_submit(m.pool, &m.f[i], (int)i);
    return m;
}

static int64_t end_many(struct many *m)
{
    int64_t ns = wall_ns() - m->begun;

    cfut_shutdown(m->pool, CFUT_DRAIN);
    free(m->fs);
    free(m->f);
    return ns;
}

static int64_t as_completed(size_t n, size_t *units)
{
    struct many m = submit_many(n);
    size_t seen = 0;
    cfut_iter it;

    cfut_as_completed(&it, m.fs, n, CFUT_FOREVER);
    while (cfut_next(&it))
        seen++;
    if (seen != n)
        die("as_completed yielded %zu of %zu futures", seen, n);
    *units = n;
    return end_many(&m);
}

static int64_t wait_all(size_t n, size_t *units)
{
    struct many m = submit_many(n);

    if (cfut_wait(m.fs, n, CFUT_ALL_COMPLETED, CFUT_FOREVER) != (ptrdiff_t)n)
        die("wait did not see all futures");
    *units = n;
    return end_many(&m);
}

/* ---- chains, on small stacks ---- */

struct link;
static int follow(struct link *const *before, size_t *length);
CFUT_TASK(follow, struct link *, size_t);

struct link {
    follow_future f;
};

/* Waits for the task before it. */
static int follow(struct link *const *before, size_t *length)
{
    int status = *before ? follow_result(&(*before)->f) : 0;

    *length = *before ? (*before)->f.out + 1 : 1;
    return status;
}

static int64_t waiting_chain(size_t n, size_t *units)
{
    cfut_executor *pool = cfut_thread_pool(
        &(cfut_thread_pool_desc){.max_workers = 2, .stack_size = small_stack});
    struct link *links = must_calloc(n, sizeof *links);
    int64_t begun = wall_ns(), ns;

    for (size_t i = 0; i < n; i++)
        follow_submit(pool, &links[i].f, i ? &links[i - 1] : NULL);
    if (follow_result(&links[n - 1].f) != 0 || links[n - 1].f.out != n)
        die("the chain broke: %s", cfut_error(&links[n - 1].f.base));
    ns = wall_ns() - begun;
    cfut_shutdown(pool, CFUT_DRAIN);
    free(links);
    *units = n;
    return ns;
}

struct relay {
    cfut_executor *pool;
    copy_future *f;
    size_t n;
    cfut_future end;
};

/* The callback of each task submits the next one. */
static void pass_on(cfut_future *done, void *user)
{
    struct relay *r = user;
    copy_future *next = copy_of(done) + 1;

    if (next == r->f + r->n) {
        cfut_finish(&r->end, 0);
        return;
    }
    copy_submit(r->pool, next, 0);
    cfut_on_done(&next->base, pass_on, r);
}

static int64_t callback_chain(size_t n, size_t *units)
{
    struct relay r = {.pool = cfut_thread_pool(&(cfut_thread_pool_desc){
                          .max_workers = 1, .stack_size = small_stack}),
                      .f = must_calloc(n, sizeof *r.f),
                      .n = n};
    int64_t begun = wall_ns(), ns;

    cfut_future_init(&r.end);
    copy_submit(r.pool, &r.f[0], 0);
    cfut_on_done(&r.f[0].base, pass_on, &r);
    if (cfut_result(&r.end) != 0)
        die("the chain broke: %s", cfut_error(&r.end));
    ns = wall_ns() - begun;
    cfut_shutdown(r.pool, CFUT_DRAIN);
    free(r.f);
    *units = n;
    return ns;
}

/* ---- the list ---- */

static const struct series all[] = {
    {"futures", "submit from outside and result; 1 worker", "ns/future", 1000, 10000000, 10, 10000,
     sizeof(copy_future), futures},
    {"callbacks", "callbacks on one future", "ns/callback", 1, 100000, 10, 1000, 64, callbacks},
    {"waiters", "iterators that wait for one future", "ns/waiter", 1, 100000, 10, 1000,
     sizeof(cfut_iter), waiters},
    {"as_completed", "as_completed over n futures", "ns/future", 1000, 1000000, 10, 10000,
     sizeof(copy_future) + sizeof(void *), as_completed},
    {"wait", "wait for all of n futures", "ns/future", 1000, 1000000, 10, 10000,
     sizeof(copy_future) + sizeof(void *), wait_all},
    {"chain of waits", "each task waits for the one before it; 64 KiB stacks", "ns/task", 1000,
     1000000, 10, 10000, sizeof(struct link), waiting_chain},
    {"chain of callbacks", "each callback submits the next; 64 KiB stacks", "ns/task", 1000,
     1000000, 10, 10000, sizeof(copy_future), callback_chain},
    {"workers", "200 000 tasks on n workers", "ns/task", 1, 64, 2, 8, 0, workers},
    {"threads", "a pool of n workers: start and end", "ns/worker", 1, 64, 2, 8, 0,
     start_and_end},
};

/* ---- rounds and table ---- */

struct options {
    FILE *csv_file;
    const char *only;
    int rounds;
    bool quick;
};

struct run {
    const struct series *series;
    size_t n;
    bool quick;
};

static void run_pass(const void *arg, double *value)
{
    const struct run *r = arg;
    size_t units = 0, done = 0;

    /* The last pass counts. The first is a warm-up unless it is a long one. */
    for (int pass = 0; pass < (r->quick ? 2 : 100) && done < 500000; pass++, done += units)
        value[0] = (double)r->series->pass(r->n, &units) / (double)units;
}

static struct spread run_size(const struct series *s, size_t n, const struct options *o)
{
    struct run r = {s, n, o->quick};
    double values[MAX_ROUNDS];

    for (int i = 0; i < o->rounds; i++) {
        double value[MAX_VALUES] = {0};

        if (!run_apart(run_pass, &r, value))
            die("%s failed with n = %zu", s->id, n);
        values[i] = value[0];
    }
    return spread_of(values, o->rounds);
}

static void run_series(const struct series *s, const struct options *o)
{
    printf("\n%s  %s\n     %10s  %s\n", s->id, s->what, "n", s->unit);
    for (size_t n = s->from; n <= (o->quick ? s->quick_to : s->to); n *= s->by) {
        struct spread v;

        if ((double)n * (double)s->bytes > available_bytes() / 2) {
            printf("     %10zu  left out: not enough memory\n", n);
            break;
        }
        v = run_size(s, n, o);
        printf("     %10zu  %10.1f [%.1f .. %.1f]\n", n, v.median, v.min, v.max);
        fflush(stdout);
        if (o->csv_file)
            fprintf(o->csv_file, "%s,%s,%zu,%s,%.1f,%.1f,%.1f\n", s->id, s->what, n, s->unit,
                    v.median, v.min, v.max);
    }
}

/* ---- the command line ---- */

static void usage(FILE *to)
{
    fprintf(to, "usage: bench_linear [--quick] [--csv-file FILE] [--only futures] [--rounds 5]\n");
}

static struct options parse(int argc, char **argv)
{
    static const struct option longs[] = {
        {"quick", no_argument, NULL, 'q'},          {"only", required_argument, NULL, 'o'},
        {"csv-file", required_argument, NULL, 'f'}, {"rounds", required_argument, NULL, 'r'},
        {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0}};
    struct options o = {0};

    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;)
        switch (c) {
        case 'q': o.quick = true; break;
        case 'o': o.only = optarg; break;
        case 'f': o.csv_file = must_open(optarg); break;
        case 'r': o.rounds = number(optarg, MAX_ROUNDS); break;
        case 'h': usage(stdout); exit(0);
        default: usage(stderr); exit(2);
        }
    if (!o.rounds)
        o.rounds = o.quick ? 2 : 5;
    return o;
}

int main(int argc, char **argv)
{
    struct options o = parse(argc, argv);
    int found = 0;

    mallopt(M_TRIM_THRESHOLD, INT32_MAX);
    placement_init();
    print_machine("", CFUT_VERSION_STRING);
    printf("rounds    %d; median [min .. max]\n", o.rounds);
    if (o.quick)
        printf("quick     far fewer than said; the figures mean nothing\n");
    if (o.csv_file)
        fputs("series,what,n,unit,median,min,max\n", o.csv_file);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (!o.only || strcmp(o.only, all[i].id) == 0) {
            run_series(&all[i], &o);
            found++;
        }
    if (!found)
        die("no such series: %s", o.only);
    return 0;
}
