/* bench_core: what the core of cfut costs, beside other pools.

   The sides run in turn (A B C A B C), one round of each at a time, each in a
   process of its own that is forked before any thread exists: so none finds the
   other's threads, memory or placement, and pools that cannot be made twice can
   take part. In that process a workload runs once as a warm-up and once on the
   clock. Printed are the median, the least and the most of the rounds, and the
   median of the ratios to cfut within each round. Times include reading the clock
   where single calls are timed (about 20 ns). Every result is checked.

   Compiled alone it compares with what peer_naive.h has; Meson adds the peers
   that are installed. */
#define _GNU_SOURCE
#define CFUT_IMPLEMENTATION
#include "cfut.h"
#include "bench.h"
#include "peer.h"
#include "peer_cfut.h"
#include "peer_naive.h"

#include <dlfcn.h>
#include <getopt.h>
#include <math.h>
#include <semaphore.h>

/* ---- who takes part ---- */

/* Another language's pool: a program, started once a round with a workload's
   verb, its size and the number of workers. It prints its figures. */
struct program {
    const char *name, *differs;
    const char *command;        /* for the shell */
    const char *version;        /* for the shell; its first line counts */
    const char *verbs;          /* what it can do; a space around each */
    size_t slow;                /* as in struct peer */
};

struct side {
    const struct peer *peer;    /* one of the two */
    const struct program *program;
};

#ifdef BENCH_JAVA
static const struct program program_java = {
    "Java FJP", "a program: ForkJoinPool, garbage collected, warmed up for 0.3 s",
    BENCH_JAVA, BENCH_JAVA_VERSION,
    " W1 W1b W2 W2f W3 W3c W4a W4b-growing W4b-dear W4c W5 W6 ", 2};
#endif
#ifdef BENCH_PYTHON
static const struct program program_python = {
    "CPython", "a program: ThreadPoolExecutor, under one lock", BENCH_PYTHON,
    BENCH_PYTHON_VERSION, " W1 W1b W3 W3c W5 W6 ", 100};
#endif

enum { MAX_SIDES = 16 };

static struct side sides[MAX_SIDES];
static int n_sides;

static void add_peer(const struct peer *p)
{
    if (p)
        sides[n_sides++].peer = p;
}

#ifdef BENCH_OPENMP_LOADED
/* Two OpenMP runtimes cannot be linked into one program. */
static const struct peer *load_openmp(void)
{
    void *module = dlopen(BENCH_OPENMP_LOADED, RTLD_NOW | RTLD_LOCAL);

    if (!module)
        fprintf(stderr, "bench: left out: %s\n", dlerror());
    return module ? dlsym(module, "peer_openmp") : NULL;
}
#endif

static void find_sides(void)
{
    add_peer(&peer_cfut);
    add_peer(&peer_caller);
    add_peer(&peer_serial);
    add_peer(&peer_calls);
    add_peer(&peer_naive);
#ifdef BENCH_TBB
    add_peer(&peer_tbb);
#endif
#ifdef BENCH_OPENMP
    add_peer(&peer_openmp);
#endif
#ifdef BENCH_OPENMP_LOADED
    add_peer(load_openmp());
#endif
#ifdef BENCH_GLIB
    add_peer(&peer_glib);
#endif
#ifdef BENCH_UV
    add_peer(&peer_uv);
#endif
#ifdef BENCH_ASIO
    add_peer(&peer_asio);
#endif
#ifdef BENCH_ASYNC
    add_peer(&peer_async);
#endif
#ifdef BENCH_JAVA
    sides[n_sides++].program = &program_java;
#endif
#ifdef BENCH_PYTHON
    sides[n_sides++].program = &program_python;
#endif
}

static const char *side_name(const struct side *s)
{
    return s->peer ? s->peer->name : s->program->name;
}

static const char *side_differs(const struct side *s)
{
    return s->peer ? s->peer->differs : s->program->differs;
}

static size_t side_slow(const struct side *s)
{
    size_t slow = s->peer ? s->peer->slow : s->program->slow;

    return slow ? slow : 1;
}

/* ---- what is measured ---- */

struct work {
    const char *id, *what;
    const char *verb;           /* for other programs; NULL: none is asked */
    size_t n, quick_n;
    bool divisible;             /* n may be divided for a slow side */
    size_t repeats;             /* of a small n within one round; --quick: once */
    int workers;                /* 0: once for each count asked for */
    enum place place;
    const struct metric *metrics;
    bool (*able)(const struct peer *p);
    /* Runs once to warm up and once for the values, one for each metric. */
    void (*run)(const struct peer *p, const struct work *w, double *value);
    double noise;               /* ratios below it say nothing */
};

static const struct metric per_task[] = {{"wall", "ns/task"}, {"cpu", "ns/task"}, {NULL, NULL}};
static const struct metric per_item[] = {{"wall", "ns/item"}, {"cpu", "ns/item"}, {NULL, NULL}};
static const struct metric per_future[] = {
    {"wall", "ns/future"}, {"cpu", "ns/future"}, {NULL, NULL}};
static const struct metric per_trip[] = {
    {"p50", "ns"}, {"p99.9", "ns"}, {"cpu", "ns/trip"}, {NULL, NULL}};
static const struct metric cold_trip[] = {
    {"p50", "ns"}, {"cpu beyond sleep", "ns/trip"}, {NULL, NULL}};
static const struct metric memory[] = {{"resident", "bytes/future"}, {NULL, NULL}};
static const struct metric idle_cpu[] = {{"cpu of workers", "ns"}, {NULL, NULL}};

struct timer {
    int64_t wall, cpu;
};

static struct timer timer_start(void)
{
    int64_t cpu = cpu_ns();

    return (struct timer){wall_ns(), cpu};
}

/* For the metrics per_task, per_item and per_future. */
static void timer_stop(struct timer t, size_t n, double *value)
{
    int64_t wall = wall_ns();

    value[0] = (double)(wall - t.wall) / (double)n;
    value[1] = (double)(cpu_ns() - t.cpu) / (double)n;
}

/* The workers of the one pool that this process makes. */
static struct crew crew = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void *open_pool(const struct peer *p, const struct work *w)
{
    void *pool;

    crew.place = w->place;
    pool = p->start(w->workers, crew_join, &crew);
    pin_caller(w->place);
    return pool;
}

/* ---- W1, W1b: from outside, empty tasks ---- */

static bool able_batch(const struct peer *p)
{
    return p->batch != NULL;
}

/* From threads that the pool does not know. */
static bool able_outside(const struct peer *p)
{
    return p->batch && p->post;
}

static void w1(const struct peer *p, const struct work *w, double *value)
{
    void *pool = open_pool(p, w);
    void *batch = p->batch(pool, w->n);

    for (int pass = 0; pass < 2; pass++) {
        struct timer t = timer_start();

        p->submit(batch);
        p->collect(batch);
        timer_stop(t, w->n, value);
    }
    p->drop(batch);
    p->stop(pool);
}

enum { PRODUCERS = 4 };

struct producer {
    const struct peer *peer;
    void *batch;
    pthread_barrier_t *meet;    /* before and after each pass */
    pthread_t thread;
};

static void *produce(void *arg)
{
    struct producer *p = arg;

    for (int pass = 0; pass < 2; pass++) {
        pthread_barrier_wait(p->meet);
        p->peer->submit(p->batch);
        p->peer->collect(p->batch);
        pthread_barrier_wait(p->meet);
    }
    return NULL;
}

static void time_producers(pthread_barrier_t *meet, size_t n, double *value)
{
    for (int pass = 0; pass < 2; pass++) {
        struct timer t;

        pthread_barrier_wait(meet);
        t = timer_start();
        pthread_barrier_wait(meet);
        timer_stop(t, n, value);
    }
}

static void w1b(const struct peer *p, const struct work *w, double *value)
{
    struct producer all[PRODUCERS];
    pthread_barrier_t meet;
    void *pool = open_pool(p, w);
    size_t each = w->n / PRODUCERS;

    pthread_barrier_init(&meet, NULL, PRODUCERS + 1);
    for (int i = 0; i < PRODUCERS; i++) {
        all[i] = (struct producer){.peer = p, .batch = p->batch(pool, each), .meet = &meet};
        if (pthread_create(&all[i].thread, NULL, produce, &all[i]) != 0)
            die("cannot start a thread");
    }
    time_producers(&meet, each * PRODUCERS, value);
    for (int i = 0; i < PRODUCERS; i++) {
        pthread_join(all[i].thread, NULL);
        p->drop(all[i].batch);
    }
    pthread_barrier_destroy(&meet);
    p->stop(pool);
}

/* ---- W2, W2f: fib, one spawn in each call ---- */

static bool able_fib(const struct peer *p)
{
    return p->fib != NULL;
}

static bool able_forked_fib(const struct peer *p)
{
    return p->forked_fib != NULL;
}

/* How many calls of fib(n) have n of 2 and more, hence spawn: the next
   Fibonacci number less one. */
static size_t fib_spawns(size_t n)
{
    size_t a = 0, b = 1;

    for (size_t i = 0; i < n; i++) {
        size_t next = a + b;

        a = b;
        b = next;
    }
    return b - 1;
}

static void time_fib(const struct peer *p, int (*spawning)(void *, int), const struct work *w,
                     double *value)
{
    void *pool = open_pool(p, w);
    /* Else the compiler could know the serial result. */
    volatile int n = (int)w->n, result;
    struct timer t;

    spawning(pool, n - 4);
    t = timer_start();
    result = spawning(pool, n);
    timer_stop(t, fib_spawns(w->n), value);
    if (result != serial_fib(n))
        die("fib is wrong: %d", result);
    p->stop(pool);
}

static void w2(const struct peer *p, const struct work *w, double *value)
{
    time_fib(p, p->fib, w, value);
}

static void w2f(const struct peer *p, const struct work *w, double *value)
{
    time_fib(p, p->forked_fib, w, value);
}

/* ---- W3: there and back, hot ---- */

static bool able_trip(const struct peer *p)
{
    return p->trip != NULL;
}

/* Only workers that are there before can be pinned. */
static bool able_placed_trip(const struct peer *p)
{
    return p->trip && p->keeps_workers;
}

static double timed_trip(const struct peer *p, void *pool, int x)
{
    int64_t begun = wall_ns();

    if (p->trip(pool, x) != x)
        die("a trip brought the wrong thing back");
    return (double)(wall_ns() - begun);
}

static void w3(const struct peer *p, const struct work *w, double *value)
{
    void *pool = open_pool(p, w);
    double *ns = must_calloc(w->n, sizeof *ns);
    int64_t cpu;

    for (size_t i = 0; i < w->n / 10; i++)
        timed_trip(p, pool, (int)i);
    cpu = cpu_ns();
    for (size_t i = 0; i < w->n; i++)
        ns[i] = timed_trip(p, pool, (int)i);
    cpu = cpu_ns() - cpu;
    value[0] = percentile(ns, w->n, 0.5);
    value[1] = percentile(ns, w->n, 0.999);
    value[2] = (double)cpu / (double)w->n;
    p->stop(pool);
    free(ns);
}

/* ---- W3c: there and back, from an idle pool ---- */

static const int64_t cold_pause = 1000000;

/* The CPU time of all but this thread's pauses. */
static void w3c(const struct peer *p, const struct work *w, double *value)
{
    void *pool = open_pool(p, w);
    double *ns = must_calloc(w->n, sizeof *ns);
    int64_t cpu = -cpu_ns();

    for (size_t i = 0; i < w->n; i++) {
        cpu += thread_cpu_ns();
        sleep_ns(cold_pause);
        cpu -= thread_cpu_ns();
        ns[i] = timed_trip(p, pool, (int)i);
    }
    cpu += cpu_ns();
    value[0] = percentile(ns, w->n, 0.5);
    value[1] = (double)cpu / (double)w->n;
    p->stop(pool);
    free(ns);
}

/* ---- W4: map ---- */

static bool able_map(const struct peer *p)
{
    return p->map != NULL;
}

static void time_map(const struct peer *p, const struct work *w, enum kernel kernel,
                     const double *in, double *value)
{
    void *pool = open_pool(p, w);
    double *out = must_calloc(w->n, sizeof *out);

    for (int pass = 0; pass < 2; pass++) {
        struct timer t = timer_start();

        for (size_t r = 0; r < w->repeats; r++)
            p->map(pool, kernel, in, out, w->n);
        timer_stop(t, w->repeats * w->n, value);
    }
    for (size_t i = 0; i < w->n; i++)
        if (out[i] != (kernel == KERNEL_ROOT ? kernel_root(in[i]) : kernel_burn(in[i])))
            die("map: item %zu is wrong", i);
    p->stop(pool);
    free(out);
}

static void w4_root(const struct peer *p, const struct work *w, double *value)
{
    double *in = must_calloc(w->n, sizeof *in);

    for (size_t i = 0; i < w->n; i++)
        in[i] = (double)i;
    time_map(p, w, KERNEL_ROOT, in, value);
    free(in);
}

static void w4_growing(const struct peer *p, const struct work *w, double *value)
{
    double *in = must_calloc(w->n, sizeof *in);

    for (size_t i = 0; i < w->n; i++)
        in[i] = (double)(i / 10);
    time_map(p, w, KERNEL_BURN, in, value);
    free(in);
}

static void w4_dear(const struct peer *p, const struct work *w, double *value)
{
    double *in = must_calloc(w->n, sizeof *in);

    for (size_t i = 0; i < w->n; i++)
        in[i] = i < w->n / 10 ? 5000 : 50;
    time_map(p, w, KERNEL_BURN, in, value);
    free(in);
}

/* ---- W5: as completed ---- */

static bool able_completed(const struct peer *p)
{
    return p->completed != NULL;
}

static void w5(const struct peer *p, const struct work *w, double *value)
{
    void *pool = open_pool(p, w);
    void *batch = p->batch(pool, w->n);
    struct timer t;

    p->completed(batch);
    t = timer_start();
    for (size_t i = 0; i < w->repeats; i++)
        p->completed(batch);
    timer_stop(t, w->repeats * w->n, value);
    p->drop(batch);
    p->stop(pool);
}

/* ---- W6: memory of what is pending ---- */

static void hold(void *gate)
{
    while (sem_wait(gate) != 0)
        ;
}

static void w6(const struct peer *p, const struct work *w, double *value)
{
    void *pool = open_pool(p, w), *batch;
    int64_t before;
    sem_t gate;

    sem_init(&gate, 0, 0);
    p->post(pool, hold, &gate);
    before = resident_bytes();
    batch = p->batch(pool, w->n);
    p->submit(batch);
    value[0] = (double)(resident_bytes() - before) / (double)w->n;
    sem_post(&gate);
    p->collect(batch);
    p->drop(batch);
    p->stop(pool);
    sem_destroy(&gate);
}

/* ---- W7: an idle pool; n is in ms ---- */

static bool able_idle(const struct peer *p)
{
    return p->keeps_workers;
}

/* Workers may spin and go to sleep before it counts. */
static const int64_t settle = 50000000;

static void w7(const struct peer *p, const struct work *w, double *value)
{
    void *pool = open_pool(p, w);
    int64_t cpu;

    sleep_ns(settle);
    cpu = crew_cpu_ns(&crew);
    sleep_ns((int64_t)w->n * 1000000);
    value[0] = (double)(crew_cpu_ns(&crew) - cpu);
    p->stop(pool);
}

/* ---- the list ---- */

static const struct work works[] = {
    {"W1", "1e6 empty tasks from one outside thread; then every result", "W1", 1000000, 2000,
     true, 1, 0, PLACE_FREE, per_task, able_batch, w1, 1.3},
    {"W1b", "the same from 4 producers", "W1b", 1000000, 2000, true, 1, 0, PLACE_FREE, per_task,
     able_outside, w1b, 1.3},
    {"W2", "fib(31); submit and result inside tasks", "W2", 31, 12, false, 1, 0, PLACE_FREE,
     per_task, able_fib, w2, 1.1},
    {"W2f", "fib(31); fork and join", "W2f", 31, 12, false, 1, 0, PLACE_FREE, per_task,
     able_forked_fib, w2f, 1.1},
    {"W3", "submit one and wait for it; hot; unpinned", "W3", 3000, 50, false, 1, 1, PLACE_FREE,
     per_trip, able_trip, w3, 1.3},
    {"W3", "submit one and wait for it; hot; pinned across two CPUs", NULL, 3000, 50, false, 1, 1,
     PLACE_ACROSS, per_trip, able_placed_trip, w3, 1.3},
    {"W3", "submit one and wait for it; hot; pinned to one CPU", NULL, 3000, 50, false, 1, 1,
     PLACE_ONE, per_trip, able_placed_trip, w3, 1.3},
    {"W3c", "submit one and wait for it; pool idle for 1 ms before; unpinned", "W3c", 60, 5,
     false, 1, 1, PLACE_FREE, cold_trip, able_trip, w3c, 1.3},
    {"W3c", "the same; pinned across two CPUs", NULL, 60, 5, false, 1, 1, PLACE_ACROSS,
     cold_trip, able_placed_trip, w3c, 1.3},
    {"W3c", "the same; pinned to one CPU", NULL, 60, 5, false, 1, 1, PLACE_ONE, cold_trip,
     able_placed_trip, w3c, 1.3},
    {"W4a", "map y = sqrt(x) over 1e6 doubles", "W4a", 1000000, 2000, false, 3, 0, PLACE_FREE,
     per_item, able_map, w4_root, 1.1},
    {"W4b", "map over 1e4 items; cost grows with the index", "W4b-growing", 10000, 500, false, 3,
     0, PLACE_FREE, per_item, able_map, w4_growing, 1.1},
    {"W4b", "map over 1e4 items; the first tenth 100 times dearer", "W4b-dear", 10000, 500, false,
     3, 0, PLACE_FREE, per_item, able_map, w4_dear, 1.1},
    {"W4c", "map y = sqrt(x) over 1000 doubles; 1000 times", "W4c", 1000, 100, false, 1000, 0,
     PLACE_FREE, per_item, able_map, w4_root, 1.1},
    {"W5", "10 000 futures submitted and consumed as completed; 10 times", "W5", 10000, 1000, true,
     10, 0, PLACE_FREE, per_future, able_completed, w5, 1.3},
    {"W5", "1e6 futures submitted and consumed as completed", "W5", 1000000, 2000, true, 1, 0,
     PLACE_FREE, per_future, able_completed, w5, 1.3},
    {"W6", "1e6 pending tasks of int to int; with in and out", "W6", 1000000, 20000, true, 1, 1,
     PLACE_FREE, memory, able_outside, w6, 1.1},
    {"W7", "an idle pool for 500 ms", NULL, 500, 20, false, 1, 2, PLACE_FREE, idle_cpu, able_idle,
     w7, 1.3},
};

/* ---- one round of one side ---- */

static bool side_able(const struct side *s, const struct work *w)
{
    char verb[32];

    if (s->peer)
        return w->able(s->peer);
    snprintf(verb, sizeof verb, " %s ", w->verb ? w->verb : "-");
    return strstr(s->program->verbs, verb) != NULL;
}

struct round {
    const struct peer *peer;
    const struct work *work;
};

static void run_round_apart(const void *arg, double *value)
{
    const struct round *r = arg;

    r->work->run(r->peer, r->work, value);
}

static void run_peer(const struct peer *p, const struct work *w, double *value)
{
    struct round r = {p, w};

    if (!run_apart(run_round_apart, &r, value))
        die("%s failed in %s (%s)", p->name, w->id, w->what);
}

/* Figures that a program does not print stay unknown. */
static void run_program(const struct program *p, const struct work *w, double *value)
{
    char command[1024];

    snprintf(command, sizeof command, "timeout %d %s %s %zu %zu %d", LIMIT_S, p->command, w->verb,
             w->n, w->repeats, w->workers);
    if (!run_command(command, value))
        die("%s failed in %s: %s", p->name, w->id, command);
}

enum { LEAST = 5000 };          /* below it a slow side's size does not go */

static size_t size_for(const struct side *s, const struct work *w)
{
    size_t n = w->n / side_slow(s);

    if (n < LEAST)
        n = LEAST;
    return w->divisible && n < w->n ? n : w->n;
}

static void run_side(const struct side *s, struct work w, double *value)
{
    w.n = size_for(s, &w);
    for (int k = 0; k < MAX_VALUES; k++)
        value[k] = (double)NAN;
    if (s->peer)
        run_peer(s->peer, &w, value);
    else
        run_program(s->program, &w, value);
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

struct results {
    double value[MAX_SIDES][MAX_VALUES][MAX_ROUNDS];
    double ratio[MAX_SIDES][MAX_VALUES][MAX_ROUNDS];   /* to cfut's, sides[0] */
};

static void run_round(const struct work *w, int round, struct results *r)
{
    for (int s = 0; s < n_sides; s++) {
        double value[MAX_VALUES];

        if (!side_able(&sides[s], w))
            continue;
        run_side(&sides[s], *w, value);
        for (int k = 0; k < MAX_VALUES; k++) {
            double ours;

            r->value[s][k][round] = value[k];
            ours = r->value[0][k][round];
            r->ratio[s][k][round] = ours > 0 && value[k] > 0 ? value[k] / ours : 0;
        }
    }
}

static void print_side(const struct work *w, const struct results *r, int s, int k, int rounds)
{
    struct spread v = spread_of(r->value[s][k], rounds);
    size_t n = size_for(&sides[s], w);

    if (isnan(v.median))
        return;
    print_spread(side_name(&sides[s]), v);
    if (s > 0)
        print_ratio(spread_of(r->ratio[s][k], rounds).median, w->noise);
    if (n != w->n)
        printf("  (n = %zu)", n);
    putchar('\n');
}

static void print_unable(const struct work *w)
{
    const char *between = "     not able: ";

    for (int s = 0; s < n_sides; s++)
        if (sides[s].peer != &peer_serial && sides[s].peer != &peer_calls &&
            sides[s].peer != &peer_caller && !side_able(&sides[s], w)) {
            printf("%s%s", between, side_name(&sides[s]));
            between = ", ";
        }
    if (*between == ',')
        putchar('\n');
}

static void print_table(const struct work *w, const struct results *r, int rounds)
{
    printf("\n%s  %s; %d worker%s\n", w->id, w->what, w->workers, w->workers == 1 ? "" : "s");
    for (int k = 0; w->metrics[k].name; k++) {
        printf("     %s, %s\n", w->metrics[k].name, w->metrics[k].unit);
        for (int s = 0; s < n_sides; s++)
            if (side_able(&sides[s], w))
                print_side(w, r, s, k, rounds);
    }
    print_unable(w);
    fflush(stdout);
}

static void write_csv(FILE *to, const struct work *w, const struct results *r, int rounds)
{
    for (int k = 0; w->metrics[k].name; k++)
        for (int s = 0; s < n_sides; s++) {
            struct spread v = spread_of(r->value[s][k], rounds);

            if (!side_able(&sides[s], w) || isnan(v.median))
                continue;
            fprintf(to, "%s,%s,%d,%s,%s,%s,%.2f,%.2f,%.2f,%.3f,%zu\n", w->id, w->what, w->workers,
                    w->metrics[k].name, w->metrics[k].unit, side_name(&sides[s]), v.median, v.min,
                    v.max, s ? spread_of(r->ratio[s][k], rounds).median : 1,
                    size_for(&sides[s], w));
        }
    fflush(to);
}

static void run_work(struct work w, const struct options *o, int workers)
{
    static struct results r;

    w.workers = workers;
    if (o->quick) {
        w.n = w.quick_n;
        w.repeats = 1;
    }
    for (int i = 0; i < o->rounds; i++)
        run_round(&w, i, &r);
    if (o->csv)
        write_csv(stdout, &w, &r, o->rounds);
    else
        print_table(&w, &r, o->rounds);
    if (o->csv_file)
        write_csv(o->csv_file, &w, &r, o->rounds);
}

static void run_counts(const struct work *w, const struct options *o)
{
    if (w->place == PLACE_ACROSS && usable_cpu(1) < 0) {
        if (!o->csv)
            printf("\n%s  %s: needs two CPUs\n", w->id, w->what);
    } else if (w->workers) {
        run_work(*w, o, w->workers);
    } else {
        for (int i = 0; o->workers[i]; i++)
            run_work(*w, o, o->workers[i]);
    }
}

/* W10 is all that depend on the number of workers, at every number. */
static bool is_wanted(const struct work *w, const char *only)
{
    return !only || strcmp(only, w->id) == 0 || (strcmp(only, "W10") == 0 && !w->workers);
}

static int run_all(const struct options *o)
{
    int found = 0;

    for (size_t i = 0; i < sizeof works / sizeof works[0]; i++)
        if (is_wanted(&works[i], o->only)) {
            run_counts(&works[i], o);
            found++;
        }
    return found;
}

/* ---- the command line ---- */

static void usage(FILE *to)
{
    fprintf(to, "usage: bench_core [--quick] [--csv] [--csv-file FILE] [--only W2] [--rounds N]\n"
                "                  [--workers 1,2] [--peers naive,TBB]\n"
                "  --quick     tiny sizes and 2 rounds: shows only that it works\n"
                "  --csv       comma separated values\n"
                "  --csv-file  the same to a file, besides the tables\n"
                "  --only      one workload: W1 W1b W2 W2f W3 W3c W4a W4b W4c W5 W6 W7, or W10:\n"
                "              what depends on workers, with 1, 2, 4, 8, 16 as CPUs allow\n"
                "  --rounds    7 unless told\n"
                "  --workers   instead of 1 and 2, where a workload does not fix them\n"
                "  --peers     only these beside cfut\n");
}

static void parse_workers(char *text, int *workers)
{
    int n = 0;

    for (char *t = strtok(text, ","); t; t = strtok(NULL, ",")) {
        if (n == MAX_COUNTS - 1)
            die("too many numbers of workers");
        workers[n++] = number(t, MAX_THREADS);
    }
}

static void default_workers(struct options *o)
{
    int most = o->only && strcmp(o->only, "W10") == 0 ? CPU_COUNT(&usable) : 2, n = 0;

    for (int workers = 1; !o->workers[n] && workers <= most && workers <= 16; workers *= 2)
        o->workers[n++] = workers;
}

static struct options parse(int argc, char **argv)
{
    static const struct option longs[] = {
        {"quick", no_argument, NULL, 'q'},         {"csv", no_argument, NULL, 'c'},
        {"only", required_argument, NULL, 'o'},    {"rounds", required_argument, NULL, 'r'},
        {"workers", required_argument, NULL, 'w'}, {"peers", required_argument, NULL, 'p'},
        {"csv-file", required_argument, NULL, 'f'}, {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0}};
    struct options o = {0};

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

static void keep_listed_sides(const char *names)
{
    int kept = 1;               /* cfut */

    for (int s = 1; s < n_sides; s++)
        if (is_listed(names, side_name(&sides[s])))
            sides[kept++] = sides[s];
    n_sides = kept;
}

static void side_version(const struct side *s, char *buf, size_t size)
{
    buf[0] = '\0';
    if (s->peer && s->peer->version)
        s->peer->version(buf, size);
    else if (s->program)
        first_line(s->program->version, buf, size);
}

static void print_head(const char *prefix, const struct options *o)
{
    print_machine(prefix, CFUT_VERSION_STRING);
    printf("%srounds    %d of each side in turn, each warmed up; median [min .. max],\n"
           "%s          then the median ratio to cfut: above 1 cfut is better\n"
           "%ssizes     a future %zu bytes, one of int to int %zu\n",
           prefix, o->rounds, prefix, prefix, sizeof(cfut_future), sizeof(copy_future));
    for (int s = 1; s < n_sides; s++) {
        const char *differs = side_differs(&sides[s]);
        char version[128];

        side_version(&sides[s], version, sizeof version);
        printf("%speer      %s%s%s; %s\n", prefix, side_name(&sides[s]), *version ? " " : "",
               version, differs ? differs : "futures");
    }
    if (o->quick)
        printf("%squick     far smaller sizes than said; the figures mean nothing\n", prefix);
}

int main(int argc, char **argv)
{
    struct options o = parse(argc, argv);

    /* Keeps what malloc got from the system: the peers shall not pay page faults
       again after the warm-up. Setting it also keeps large arrays mapped apart. */
    mallopt(M_TRIM_THRESHOLD, INT32_MAX);
    placement_init();
    default_workers(&o);
    find_sides();
    if (o.peers)
        keep_listed_sides(o.peers);
    print_head(o.csv ? "# " : "", &o);
    if (o.csv)
        fputs(csv_head, stdout);
    if (o.csv_file)
        fputs(csv_head, o.csv_file);
    if (run_all(&o) == 0)
        die("no such workload: %s", o.only);
    return 0;
}
