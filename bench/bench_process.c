/* bench_process: what cfut's process pool costs, beside CPython's two.

   As in bench_core the sides run in turn, one round of each at a time, each in a
   process of its own; in it a workload runs once as a warm-up and once on the clock.
   Printed are the median, the least and the most of the rounds, and the median of
   the ratios to cfut within each round. Every result is checked.

   Compiled alone it measures cfut only; Meson adds CPython where it is installed. */
#define _GNU_SOURCE
#define CFUT_IMPLEMENTATION
#include "cfut.h"
#include "bench.h"

#include <getopt.h>
#include <math.h>
#include <sys/stat.h>

/* ---- who takes part ---- */

enum { OURS, CPYTHON_EXECUTOR, CPYTHON_POOL, N_SIDES };

static const struct side {
    const char *name, *differs;
    const char *which;          /* the name that the script knows it by */
} sides[N_SIDES] = {
    {"cfut", NULL, NULL},
    {"CPython PPE", "concurrent.futures.ProcessPoolExecutor; its map in the chunks of the next",
     "executor"},
    {"CPython Pool", "multiprocessing.Pool", "pool"},
};

#ifndef BENCH_PYTHON_PROCESSES
#define BENCH_PYTHON_PROCESSES ""
#define BENCH_PYTHON_VERSION ""
#endif
static const char python[] = BENCH_PYTHON_PROCESSES;    /* empty: none */

/* ---- what is measured ---- */

struct work {
    const char *id, *what;
    const char *verb;           /* for the script; NULL: nobody else can do it */
    size_t n, quick_n;
    size_t slow;                /* by what n is divided for CPython */
    int workers;                /* 0: once for each count asked for */
    const struct metric *metrics;
    void (*run)(const struct work *w, double *value);
    int start;                  /* how the helper is started */
    size_t resident;            /* bytes that the host holds */
    bool threads;               /* the host has some */
    double noise;               /* ratios below it say nothing */
};

static const struct metric per_task[] = {{"wall", "ns/task"}, {NULL, NULL}};
static const struct metric per_item[] = {{"wall", "ns/item"}, {NULL, NULL}};
static const struct metric per_trip[] = {{"p50", "ns"}, {"p99.9", "ns"}, {NULL, NULL}};
static const struct metric per_echo[] = {{"p50", "us"}, {"p99.9", "us"}, {NULL, NULL}};
static const struct metric memory[] = {{"Pss", "KiB/worker"}, {NULL, NULL}};
static const struct metric start_time[] = {{"p50", "us"}, {"worst", "us"}, {NULL, NULL}};

static cfut_executor *open_pool(const struct work *w)
{
    cfut_executor *pool = cfut_process_pool(&(cfut_process_pool_desc){
        .max_workers = w->workers, .start = w->start});

    if (cfut_executor_status(pool) != CFUT_OK)
        die("no pool: %s", cfut_executor_error(pool));
    return pool;
}

static void close_pool(cfut_executor *pool)
{
    if (cfut_shutdown(pool, CFUT_DRAIN) != CFUT_OK)
        die("the pool did not end");
}

static void must(int status, const cfut_future *f)
{
    if (status != CFUT_OK)
        die("a task failed: %s", cfut_error(f));
}

/* ---- W8: many small tasks ---- */

static int copy(const int64_t *in, int64_t *out)
{
    *out = *in;
    return 0;
}
CFUT_TASK(copy, int64_t, int64_t);

static void run_batch(cfut_executor *pool, copy_future *f, size_t n)
{
    for (size_t i = 0; i < n; i++)
        copy_submit(pool, &f[i], (int64_t)i);
    for (size_t i = 0; i < n; i++) {
        must(copy_result(&f[i]), &f[i].base);
        if (f[i].out != (int64_t)i)
            die("task %zu brought the wrong thing back", i);
    }
}

static void w8(const struct work *w, double *value)
{
    cfut_executor *pool = open_pool(w);
    copy_future *f = must_calloc(w->n, sizeof *f);

    for (int pass = 0; pass < 2; pass++) {
        int64_t begun = wall_ns();

        run_batch(pool, f, w->n);
        value[0] = (double)(wall_ns() - begun) / (double)w->n;
    }
    close_pool(pool);
    free(f);
}

static void w8_map(const struct work *w, double *value)
{
    cfut_executor *pool = open_pool(w);
    int64_t *in = must_calloc(w->n, sizeof *in), *out = must_calloc(w->n, sizeof *out);

    for (size_t i = 0; i < w->n; i++)
        in[i] = (int64_t)i;
    for (int pass = 0; pass < 2; pass++) {
        int64_t begun = wall_ns();

        if (copy_map(pool, in, out, w->n) != CFUT_OK)
            die("map failed");
        value[0] = (double)(wall_ns() - begun) / (double)w->n;
    }
    for (size_t i = 0; i < w->n; i++)
        if (out[i] != (int64_t)i)
            die("map: item %zu is wrong", i);
    close_pool(pool);
    free(in);
    free(out);
}

/* ---- W9: there and back ---- */

static double timed_trip(cfut_executor *pool, int64_t x)
{
    int64_t begun = wall_ns();
    copy_future f;

    copy_submit(pool, &f, x);
    must(copy_result(&f), &f.base);
    if (f.out != x)
        die("a trip brought the wrong thing back");
    return (double)(wall_ns() - begun);
}

static void w9(const struct work *w, double *value)
{
    cfut_executor *pool = open_pool(w);
    double *ns = must_calloc(w->n, sizeof *ns);

    for (size_t i = 0; i < w->n / 10 + 1; i++)
        timed_trip(pool, (int64_t)i);
    for (size_t i = 0; i < w->n; i++)
        ns[i] = timed_trip(pool, (int64_t)i);
    value[0] = percentile(ns, w->n, 0.5);
    value[1] = percentile(ns, w->n, 0.999);
    close_pool(pool);
    free(ns);
}

enum { ECHO = 1 << 20 };

static int echo(const void *in, void *out)
{
    memcpy(out, in, ECHO);
    return 0;
}
static const cfut_task echo_task = {echo, "echo", ECHO, ECHO};

static double timed_echo(cfut_executor *pool, char *in, char *out)
{
    int64_t begun = wall_ns();
    cfut_future f;

    in[0]++;
    cfut_submit(pool, &f, &echo_task, in, out);
    must(cfut_result(&f), &f);
    if (in[0] != out[0] || in[ECHO - 1] != out[ECHO - 1])
        die("an echo brought the wrong thing back");
    return (double)(wall_ns() - begun) / 1000;
}

static void w9_echo(const struct work *w, double *value)
{
    cfut_executor *pool = open_pool(w);
    double *us = must_calloc(w->n, sizeof *us);
    char *in = must_calloc(1, ECHO), *out = must_calloc(1, ECHO);

    memset(in, 7, ECHO);
    for (size_t i = 0; i < w->n / 10 + 1; i++)
        timed_echo(pool, in, out);
    for (size_t i = 0; i < w->n; i++)
        us[i] = timed_echo(pool, in, out);
    value[0] = percentile(us, w->n, 0.5);
    value[1] = percentile(us, w->n, 0.999);
    close_pool(pool);
    free(in);
    free(out);
    free(us);
}

/* ---- memory of the workers ---- */

struct pids {
    int64_t self, parent;
};

/* Takes so long that each worker gets one. */
static int name_self(const int *ms, struct pids *p)
{
    sleep_ns(*ms * 1000000LL);
    *p = (struct pids){getpid(), getppid()};
    return 0;
}
CFUT_TASK(name_self, int, struct pids);

/* This process's share of all its memory: shared pages are divided by who shares. */
static double pss_kib(int64_t pid)
{
    char path[64], line[256];
    double kib = -1;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%lld/smaps_rollup", (long long)pid);
    f = fopen(path, "r");
    while (f && kib < 0 && fgets(line, sizeof line, f))
        if (sscanf(line, "Pss: %lf", &kib) != 1)
            kib = -1;
    if (!f || kib < 0)
        die("cannot read %s", path);
    fclose(f);
    return kib;
}

/* All workers, each once; false: some had two of the tasks. */
static bool name_workers(cfut_executor *pool, int workers, struct pids *pids)
{
    name_self_future f[64];
    bool distinct = true;

    for (int i = 0; i < workers; i++)
        name_self_submit(pool, &f[i], 50);
    for (int i = 0; i < workers; i++) {
        must(name_self_result(&f[i]), &f[i].base);
        pids[i] = f[i].out;
        for (int k = 0; k < i; k++)
            distinct = distinct && pids[k].self != pids[i].self;
    }
    return distinct;
}

/* The helper counts, too. */
static void w9_memory(const struct work *w, double *value)
{
    cfut_executor *pool = open_pool(w);
    copy_future *f = must_calloc(w->n, sizeof *f);
    struct pids pids[64];
    int tries = 0;

    while (!name_workers(pool, w->workers, pids))
        if (++tries == 20)
            die("not all workers took part");
    run_batch(pool, f, w->n);
    value[0] = pss_kib(pids[0].parent);
    for (int i = 0; i < w->workers; i++)
        value[0] += pss_kib(pids[i].self);
    value[0] /= w->workers;
    close_pool(pool);
    free(f);
}

/* ---- what it costs to have a pool ---- */

static void *idle(void *arg)
{
    for (;;)
        pause();
    return arg;
}

static double timed_start(const struct work *w)
{
    int64_t begun = wall_ns(), ns;
    cfut_executor *pool = open_pool(w);
    copy_future f;

    copy_submit(pool, &f, 1);
    must(copy_result(&f), &f.base);
    ns = wall_ns() - begun;
    close_pool(pool);
    return (double)ns / 1000;
}

static void start(const struct work *w, double *value)
{
    double *us = must_calloc(w->n, sizeof *us);
    char *host = must_calloc(w->resident + 1, 1);
    pthread_t t;

    for (int i = 0; w->threads && i < 4; i++)
        if (pthread_create(&t, NULL, idle, NULL) != 0)
            die("cannot start a thread");
    timed_start(w);
    for (size_t i = 0; i < w->n; i++)
        us[i] = timed_start(w);
    value[0] = percentile(us, w->n, 0.5);
    value[1] = percentile(us, w->n, 1);
    free(host);
    free(us);
}

/* ---- the list ---- */

enum { GIB = 1 << 30 };

static const struct work works[] = {
    {"W8", "200 000 tasks of 8 bytes from outside; then every result", "tasks", 200000, 2000, 80,
     0, per_task, w8, 0, 0, false, 1.3},
    {"W8m", "map over 1e6 items of 8 bytes; default chunks", "map", 1000000, 20000, 4, 0, per_item,
     w8_map, 0, 0, false, 1.1},
    {"W9", "submit one of 8 bytes and wait for it; hot; unpinned", "trip", 5000, 50, 5, 1,
     per_trip, w9, 0, 0, false, 1.3},
    {"W9e", "echo 1 MiB; one at a time", "echo", 1000, 10, 10, 1, per_echo, w9_echo, 0, 0, false,
     1.3},
    {"memory", "workers that have run 1000 tasks; with the helper; forked", "memory-fork", 1000,
     1000, 1, 2, memory, w9_memory, CFUT_START_FORK, 0, false, 1.1},
    {"memory", "the same; the program executed again (CPython: spawn)", "memory-spawn", 1000,
     1000, 1, 2, memory, w9_memory, CFUT_START_EXEC, 0, false, 1.1},
    {"start", "a pool and its first result; forked", "start-fork", 20, 2, 1, 1, start_time, start,
     CFUT_START_FORK, 0, false, 1.3},
    {"start", "a pool and its first result; executed again (CPython: spawn)", "start-spawn", 20,
     2, 4, 1, start_time, start, CFUT_START_EXEC, 0, false, 1.3},
    {"start", "forked; 1 GiB resident", "start-fork-large", 20, 1, 4, 1, start_time, start,
     CFUT_START_FORK, GIB, false, 1.3},
    {"start", "executed again; 1 GiB resident and 4 threads", "start-spawn-large", 20, 1, 4, 1,
     start_time, start, CFUT_START_EXEC, GIB, true, 1.3},
};

/* ---- one round of one side ---- */

static bool side_able(int s, const struct work *w)
{
    return s == OURS || (*python && w->verb);
}

static size_t size_for(int s, const struct work *w)
{
    size_t n = s == OURS ? w->n : w->n / w->slow;

    return n ? n : 1;
}

/* ThreadSanitizer has a thread of its own, and then there is no forked start. */
static bool alone(void)
{
    struct stat st;

    return stat("/proc/self/task", &st) == 0 && st.st_nlink == 3;
}

static void run_ours(const void *arg, double *value)
{
    const struct work *w = arg;

    if (w->start != CFUT_START_FORK || alone())
        w->run(w, value);
}

static void run_side(int s, const struct work *w, double *value)
{
    char command[1024];
    bool good;

    for (int k = 0; k < MAX_VALUES; k++)
        value[k] = (double)NAN;
    snprintf(command, sizeof command, "timeout %d %s %s %s %zu %d", LIMIT_S, python,
             sides[s].which ? sides[s].which : "", w->verb, size_for(s, w), w->workers);
    good = s == OURS ? run_apart(run_ours, w, value) : run_command(command, value);
    if (!good)
        die("%s failed in %s (%s)", sides[s].name, w->id, w->what);
}

/* ---- rounds and table ---- */

enum { MAX_COUNTS = 16 };

struct options {
    const char *only;           /* NULL: all */
    const char *peers;          /* NULL: all; else names with commas between */
    FILE *csv_file;
    int rounds;
    int workers[MAX_COUNTS];    /* ends with 0 */
    bool quick, csv;
};

static bool side_wanted(int s, const struct work *w, const struct options *o)
{
    return side_able(s, w) && (s == OURS || !o->peers || is_listed(o->peers, sides[s].name));
}

struct results {
    double value[N_SIDES][MAX_VALUES][MAX_ROUNDS];
    double ratio[N_SIDES][MAX_VALUES][MAX_ROUNDS];     /* to ours */
};

static void run_round(const struct work *w, const struct options *o, int round, struct results *r)
{
    for (int s = 0; s < N_SIDES; s++) {
        double value[MAX_VALUES];

        if (!side_wanted(s, w, o))
            continue;
        run_side(s, w, value);
        for (int k = 0; k < MAX_VALUES; k++) {
            r->value[s][k][round] = value[k];
            r->ratio[s][k][round] = value[k] / r->value[OURS][k][round];
        }
    }
}

static void print_table(const struct work *w, const struct results *r, const struct options *o)
{
    printf("\n%s  %s; %d worker%s\n", w->id, w->what, w->workers, w->workers == 1 ? "" : "s");
    for (int k = 0; w->metrics[k].name; k++) {
        printf("     %s, %s\n", w->metrics[k].name, w->metrics[k].unit);
        for (int s = 0; s < N_SIDES; s++) {
            if (!side_wanted(s, w, o) || isnan(r->value[s][k][0]))
                continue;
            print_spread(sides[s].name, spread_of(r->value[s][k], o->rounds));
            if (s != OURS)
                print_ratio(spread_of(r->ratio[s][k], o->rounds).median, w->noise);
            if (size_for(s, w) != w->n)
                printf("  (n = %zu)", size_for(s, w));
            putchar('\n');
        }
    }
    fflush(stdout);
}

static void write_csv(FILE *to, const struct work *w, const struct results *r,
                      const struct options *o)
{
    for (int k = 0; w->metrics[k].name; k++)
        for (int s = 0; s < N_SIDES; s++) {
            struct spread v = spread_of(r->value[s][k], o->rounds);

            if (!side_wanted(s, w, o) || isnan(v.median))
                continue;
            fprintf(to, "%s,%s,%d,%s,%s,%s,%.2f,%.2f,%.2f,%.3f,%zu\n", w->id, w->what, w->workers,
                    w->metrics[k].name, w->metrics[k].unit, sides[s].name, v.median, v.min, v.max,
                    spread_of(r->ratio[s][k], o->rounds).median, size_for(s, w));
        }
    fflush(to);
}

static void run_work(struct work w, const struct options *o, int workers)
{
    static struct results r;

    w.workers = workers;
    if (o->quick) {
        w.n = w.quick_n;
        w.resident /= 64;
    }
    for (int i = 0; i < o->rounds; i++)
        run_round(&w, o, i, &r);
    if (o->csv)
        write_csv(stdout, &w, &r, o);
    else
        print_table(&w, &r, o);
    if (o->csv_file)
        write_csv(o->csv_file, &w, &r, o);
}

static int run_all(const struct options *o)
{
    int found = 0;

    for (size_t i = 0; i < sizeof works / sizeof works[0]; i++) {
        const struct work *w = &works[i];

        if (o->only && strcmp(o->only, w->id) != 0)
            continue;
        found++;
        if ((double)w->resident > available_bytes() / 2) {
            fprintf(stderr, "bench: left out, not enough memory: %s\n", w->what);
            continue;
        }
        for (int k = 0; k == 0 || (!w->workers && o->workers[k]); k++)
            run_work(*w, o, w->workers ? w->workers : o->workers[k]);
    }
    return found;
}

/* ---- the command line ---- */

static void usage(FILE *to)
{
    fprintf(to, "usage: bench_process [--quick] [--csv] [--csv-file FILE] [--rounds 7]\n"
                "                     [--only W8|W8m|W9|W9e|memory|start] [--workers 1,2]\n"
                "                     [--peers NAME,...]\n");
}

static void parse_workers(const char *text, int *workers)
{
    char *list = strdup(text), *rest = list;
    int n = 0;

    for (char *one; n < MAX_COUNTS - 1 && (one = strsep(&rest, ",")) != NULL;)
        workers[n++] = number(one, 64);
    workers[n] = 0;
    free(list);
}

static struct options parse(int argc, char **argv)
{
    static const struct option longs[] = {
        {"quick", no_argument, NULL, 'q'},         {"csv", no_argument, NULL, 'c'},
        {"only", required_argument, NULL, 'o'},    {"rounds", required_argument, NULL, 'r'},
        {"workers", required_argument, NULL, 'w'}, {"peers", required_argument, NULL, 'p'},
        {"csv-file", required_argument, NULL, 'f'}, {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0}};
    struct options o = {.workers = {1, 2}};

    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;)
        switch (c) {
        case 'q': o.quick = true; break;
        case 'c': o.csv = true; break;
        case 'f': o.csv_file = must_open(optarg); break;
        case 'o': o.only = optarg; break;
        case 'p': o.peers = optarg; break;
        case 'r': o.rounds = number(optarg, MAX_ROUNDS); break;
        case 'w': parse_workers(optarg, o.workers); break;
        case 'h': usage(stdout); exit(0);
        default: usage(stderr); exit(2);
        }
    if (!o.rounds)
        o.rounds = o.quick ? 2 : 7;
    return o;
}

static void print_head(const char *prefix, const struct options *o)
{
    char version[128];

    print_machine(prefix, CFUT_VERSION_STRING);
    printf("%srounds    %d of each side in turn, each warmed up; median [min .. max],\n"
           "%s          then the median ratio to cfut: above 1 cfut is better\n",
           prefix, o->rounds, prefix);
    for (int s = OURS + 1; s < N_SIDES && *python; s++) {
        first_line(BENCH_PYTHON_VERSION, version, sizeof version);
        printf("%speer      %s (%s): %s\n", prefix, sides[s].name, version, sides[s].differs);
    }
    if (o->quick)
        printf("%squick     far smaller sizes than said; the figures mean nothing\n", prefix);
}

int main(int argc, char **argv)
{
    struct options o;

    cfut_process_main(&argc, &argv);
    o = parse(argc, argv);
    mallopt(M_TRIM_THRESHOLD, INT32_MAX);
    placement_init();
    print_head(o.csv ? "# " : "", &o);
    if (o.csv)
        fputs(csv_head, stdout);
    if (o.csv_file)
        fputs(csv_head, o.csv_file);
    if (run_all(&o) == 0)
        die("no such workload: %s", o.only);
    return 0;
}
