/* bench_core: what the core of cfut costs, beside the pool everyone writes.

   Both sides run in this one process, in turn (A B A B), several rounds after a
   warm-up; printed are the median, the least and the most of the rounds, and
   the median of the ratios within each round. Times include reading the clock
   where single calls are timed (about 20 ns). Every result is checked. */
#define _GNU_SOURCE
#define CFUT_IMPLEMENTATION
#include "cfut.h"
#include "bench.h"
#include "naive.h"

#include <getopt.h>
#include <semaphore.h>

/* ---- what is measured ---- */

struct metric {
    const char *name, *unit;    /* name NULL ends the list */
};

struct work {
    const char *id, *what;
    size_t n, quick_n;
    size_t repeats;             /* of a small n within one round; --quick: once */
    int workers;                /* 0: once for each count asked for */
    enum place place;
    const struct metric *metrics;
    /* Each runs once, unseen set-up first, and sets one value for each metric. */
    void (*ours)(const struct work *w, double *value);
    void (*peer)(const struct work *w, double *value);
    const char *peer_name;      /* without a peer: why */
    double noise;               /* ratios below it say nothing */
};

static const struct metric per_task[] = {{"wall", "ns/task"}, {"cpu", "ns/task"}, {NULL, NULL}};
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

/* For the metrics per_task and per_future. */
static void timer_stop(struct timer t, size_t n, double *value)
{
    int64_t wall = wall_ns();

    value[0] = (double)(wall - t.wall) / (double)n;
    value[1] = (double)(cpu_ns() - t.cpu) / (double)n;
}

/* ---- the tasks ---- */

static int copy(const int *in, int *out)
{
    *out = *in;
    return 0;
}
CFUT_TASK(copy, int, int);

static int meet(pthread_barrier_t *const *all)
{
    pthread_barrier_wait(*all);
    return 0;
}
CFUT_ACTION(meet, pthread_barrier_t *);

static int hold(sem_t *const *gate)
{
    while (sem_wait(*gate) != 0)
        ;
    return 0;
}
CFUT_ACTION(hold, sem_t *);

/* ---- pools whose workers are all there ---- */

static void crew_start(struct crew *c, enum place place)
{
    c->place = place;
    c->n = 0;
    pthread_mutex_init(&c->lock, NULL);
}

static int crew_join_status(void *c)
{
    crew_join(c);
    return 0;
}

/* Makes every worker run one task at the same time, so that none is missing. */
static void our_muster(cfut_executor *pool, int workers)
{
    meet_future *f = must_calloc((size_t)workers, sizeof *f);
    pthread_barrier_t all;

    pthread_barrier_init(&all, NULL, (unsigned)workers);
    for (int i = 0; i < workers; i++)
        meet_submit(pool, &f[i], &all);
    for (int i = 0; i < workers; i++)
        if (meet_result(&f[i]) != 0)
            die("a worker did not start: %s", cfut_error(&f[i].base));
    pthread_barrier_destroy(&all);
    free(f);
}

static cfut_executor *our_pool(const struct work *w, struct crew *c)
{
    cfut_thread_pool_desc desc = {.max_workers = w->workers, .init_arg = c};
    cfut_executor *pool;

    crew_start(c, w->place);
    desc.initializer = crew_join_status;
    pin_caller(w->place);
    pool = cfut_thread_pool(&desc);
    our_muster(pool, w->workers);
    return pool;
}

static void our_end(cfut_executor *pool)
{
    if (cfut_shutdown(pool, CFUT_DRAIN) != CFUT_OK)
        die("the pool did not end");
    pin_caller(PLACE_FREE);
}

static void peer_muster(naive_pool *pool, int workers)
{
    naive_future **f = must_calloc((size_t)workers, sizeof(naive_future *));
    pthread_barrier_t all, *in = &all;

    pthread_barrier_init(&all, NULL, (unsigned)workers);
    for (int i = 0; i < workers; i++)
        f[i] = naive_submit(pool, meet_thunk, &in, NULL);
    for (int i = 0; i < workers; i++)
        naive_result(f[i]);
    pthread_barrier_destroy(&all);
    free(f);
}

static naive_pool *peer_pool(const struct work *w, struct crew *c)
{
    naive_pool *pool;

    crew_start(c, w->place);
    pin_caller(w->place);
    pool = naive_pool_new(w->workers, crew_join, c);
    peer_muster(pool, w->workers);
    return pool;
}

static void peer_end(naive_pool *pool)
{
    naive_pool_free(pool);
    pin_caller(PLACE_FREE);
}

/* ---- W1, W1b: from outside, empty tasks ---- */

struct our_batch {
    cfut_executor *pool;
    copy_future *f;
    size_t n;
    pthread_barrier_t *start;
};

static void our_round(cfut_executor *pool, copy_future *f, size_t n)
{
    for (size_t i = 0; i < n; i++)
        copy_submit(pool, &f[i], (int)i);
    for (size_t i = 0; i < n; i++)
        if (copy_result(&f[i]) != 0 || f[i].out != (int)i)
            die("a task failed: %s", cfut_error(&f[i].base));
}

static void w1_ours(const struct work *w, double *value)
{
    struct crew crew;
    cfut_executor *pool = our_pool(w, &crew);
    copy_future *f = must_calloc(w->n, sizeof *f);
    struct timer t = timer_start();

    our_round(pool, f, w->n);
    timer_stop(t, w->n, value);
    our_end(pool);
    free(f);
}

struct peer_batch {
    naive_pool *pool;
    naive_future **f;
    int *in, *out;
    size_t n;
    pthread_barrier_t *start;
};

static void peer_round(const struct peer_batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        b->in[i] = (int)i;
        b->f[i] = naive_submit(b->pool, copy_thunk, &b->in[i], &b->out[i]);
    }
    for (size_t i = 0; i < b->n; i++)
        if (naive_result(b->f[i]) != 0 || b->out[i] != (int)i)
            die("a job failed");
}

static void peer_alloc(struct peer_batch *b, naive_pool *pool, size_t n)
{
    b->pool = pool;
    b->n = n;
    b->f = must_calloc(n, sizeof b->f[0]);
    b->in = must_calloc(n, sizeof b->in[0]);
    b->out = must_calloc(n, sizeof b->out[0]);
}

static void peer_release(struct peer_batch *b)
{
    free(b->f);
    free(b->in);
    free(b->out);
}

static void w1_peer(const struct work *w, double *value)
{
    struct crew crew;
    struct peer_batch b;
    struct timer t;

    peer_alloc(&b, peer_pool(w, &crew), w->n);
    t = timer_start();
    peer_round(&b);
    timer_stop(t, w->n, value);
    peer_end(b.pool);
    peer_release(&b);
}

enum { PRODUCERS = 4 };

static void *our_producer(void *arg)
{
    struct our_batch *b = arg;

    pthread_barrier_wait(b->start);
    our_round(b->pool, b->f, b->n);
    return NULL;
}

static void *peer_producer(void *arg)
{
    struct peer_batch *b = arg;

    pthread_barrier_wait(b->start);
    peer_round(b);
    return NULL;
}

/* Starts the producers together and times them until the last has ended. */
static void time_producers(void *(*producer)(void *), void *const *args, pthread_barrier_t *start,
                           size_t n, double *value)
{
    pthread_t threads[PRODUCERS];
    struct timer t;

    for (int i = 0; i < PRODUCERS; i++)
        if (pthread_create(&threads[i], NULL, producer, args[i]) != 0)
            die("cannot start a thread");
    t = timer_start();
    pthread_barrier_wait(start);
    for (int i = 0; i < PRODUCERS; i++)
        pthread_join(threads[i], NULL);
    timer_stop(t, n, value);
}

static void w1b_ours(const struct work *w, double *value)
{
    struct crew crew;
    struct our_batch b[PRODUCERS];
    void *args[PRODUCERS];
    pthread_barrier_t start;
    cfut_executor *pool = our_pool(w, &crew);
    size_t each = w->n / PRODUCERS;

    pthread_barrier_init(&start, NULL, PRODUCERS + 1);
    for (int i = 0; i < PRODUCERS; i++) {
        b[i] = (struct our_batch){pool, must_calloc(each, sizeof(copy_future)), each, &start};
        args[i] = &b[i];
    }
    time_producers(our_producer, args, &start, each * PRODUCERS, value);
    our_end(pool);
    for (int i = 0; i < PRODUCERS; i++)
        free(b[i].f);
    pthread_barrier_destroy(&start);
}

static void w1b_peer(const struct work *w, double *value)
{
    struct crew crew;
    struct peer_batch b[PRODUCERS];
    void *args[PRODUCERS];
    pthread_barrier_t start;
    naive_pool *pool = peer_pool(w, &crew);
    size_t each = w->n / PRODUCERS;

    pthread_barrier_init(&start, NULL, PRODUCERS + 1);
    for (int i = 0; i < PRODUCERS; i++) {
        peer_alloc(&b[i], pool, each);
        b[i].start = &start;
        args[i] = &b[i];
    }
    time_producers(peer_producer, args, &start, each * PRODUCERS, value);
    peer_end(pool);
    for (int i = 0; i < PRODUCERS; i++)
        peer_release(&b[i]);
    pthread_barrier_destroy(&start);
}

/* ---- W2, W2f: fib, one spawn in each call ---- */

static cfut_executor *fib_pool;     /* as a program's own pool that its tasks know */

static int fib(const int *n, int *out);
CFUT_TASK(fib, int, int);

static int fib(const int *n, int *out)
{
    int less = *n - 2, right, status;
    fib_future left;

    *out = *n;
    if (*n < 2)
        return 0;
    fib_submit(fib_pool, &left, *n - 1);
    fib(&less, &right);
    status = fib_result(&left);
    *out = left.out + right;
    return status;
}

static int forked_fib(const int *n, int *out);
CFUT_TASK(forked_fib, int, int);

static int forked_fib(const int *n, int *out)
{
    int less = *n - 2, right, status;
    forked_fib_future left;

    *out = *n;
    if (*n < 2)
        return 0;
    forked_fib_fork(&left, *n - 1);
    forked_fib(&less, &right);
    status = forked_fib_join(&left);
    *out = left.out + right;
    return status;
}

__attribute__((noinline)) static int serial_fib(int n)
{
    return n < 2 ? n : serial_fib(n - 1) + serial_fib(n - 2);
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

static void w2_ours(const struct work *w, double *value)
{
    struct crew crew;
    fib_future f;
    struct timer t;

    fib_pool = our_pool(w, &crew);
    t = timer_start();
    fib_submit(fib_pool, &f, (int)w->n);
    if (fib_result(&f) != 0)
        die("fib failed: %s", cfut_error(&f.base));
    timer_stop(t, fib_spawns(w->n), value);
    if (f.out != serial_fib((int)w->n))
        die("fib is wrong: %d", f.out);
    our_end(fib_pool);
}

static void w2f_ours(const struct work *w, double *value)
{
    struct crew crew;
    forked_fib_future f;
    struct timer t;

    fib_pool = our_pool(w, &crew);
    t = timer_start();
    forked_fib_submit(fib_pool, &f, (int)w->n);
    if (forked_fib_result(&f) != 0)
        die("fib failed: %s", cfut_error(&f.base));
    timer_stop(t, fib_spawns(w->n), value);
    if (f.out != serial_fib((int)w->n))
        die("fib is wrong: %d", f.out);
    our_end(fib_pool);
}

static void w2_serial(const struct work *w, double *value)
{
    volatile int n = (int)w->n, result;
    struct timer t = timer_start();

    result = serial_fib(n);
    timer_stop(t, fib_spawns(w->n), value);
    if (result < 0)
        die("fib is wrong: %d", result);
}

/* ---- W3: there and back, hot ---- */

static double our_trip(cfut_executor *pool, int x)
{
    int64_t begun = wall_ns();
    copy_future f;

    copy_submit(pool, &f, x);
    if (copy_result(&f) != 0 || f.out != x)
        die("a task failed: %s", cfut_error(&f.base));
    return (double)(wall_ns() - begun);
}

static double peer_trip(naive_pool *pool, int x)
{
    int64_t begun = wall_ns();
    int out;

    if (naive_result(naive_submit(pool, copy_thunk, &x, &out)) != 0 || out != x)
        die("a job failed");
    return (double)(wall_ns() - begun);
}

/* ns: one time for each of n trips; cpu: of all of them. */
static void trip_values(double *ns, size_t n, int64_t cpu, double *value)
{
    value[0] = percentile(ns, n, 0.5);
    value[1] = percentile(ns, n, 0.999);
    value[2] = (double)cpu / (double)n;
}

static void w3_ours(const struct work *w, double *value)
{
    struct crew crew;
    cfut_executor *pool = our_pool(w, &crew);
    double *ns = must_calloc(w->n, sizeof *ns);
    int64_t cpu;

    for (size_t i = 0; i < w->n / 10; i++)
        our_trip(pool, (int)i);
    cpu = cpu_ns();
    for (size_t i = 0; i < w->n; i++)
        ns[i] = our_trip(pool, (int)i);
    trip_values(ns, w->n, cpu_ns() - cpu, value);
    our_end(pool);
    free(ns);
}

static void w3_peer(const struct work *w, double *value)
{
    struct crew crew;
    naive_pool *pool = peer_pool(w, &crew);
    double *ns = must_calloc(w->n, sizeof *ns);
    int64_t cpu;

    for (size_t i = 0; i < w->n / 10; i++)
        peer_trip(pool, (int)i);
    cpu = cpu_ns();
    for (size_t i = 0; i < w->n; i++)
        ns[i] = peer_trip(pool, (int)i);
    trip_values(ns, w->n, cpu_ns() - cpu, value);
    peer_end(pool);
    free(ns);
}

/* ---- W3c: there and back, from an idle pool ---- */

static const int64_t cold_pause = 1000000;

/* cpu: of the workers all along and of this thread during its trips, which is
   all that was burnt but for the pauses themselves. */
static void cold_values(double *ns, size_t n, int64_t cpu, double *value)
{
    value[0] = percentile(ns, n, 0.5);
    value[1] = (double)cpu / (double)n;
}

static void w3c_ours(const struct work *w, double *value)
{
    struct crew crew;
    cfut_executor *pool = our_pool(w, &crew);
    double *ns = must_calloc(w->n, sizeof *ns);
    int64_t cpu = -crew_cpu_ns(&crew);

    for (size_t i = 0; i < w->n; i++) {
        sleep_ns(cold_pause);
        cpu -= thread_cpu_ns();
        ns[i] = our_trip(pool, (int)i);
        cpu += thread_cpu_ns();
    }
    cpu += crew_cpu_ns(&crew);
    cold_values(ns, w->n, cpu, value);
    our_end(pool);
    free(ns);
}

static void w3c_peer(const struct work *w, double *value)
{
    struct crew crew;
    naive_pool *pool = peer_pool(w, &crew);
    double *ns = must_calloc(w->n, sizeof *ns);
    int64_t cpu = -crew_cpu_ns(&crew);

    for (size_t i = 0; i < w->n; i++) {
        sleep_ns(cold_pause);
        cpu -= thread_cpu_ns();
        ns[i] = peer_trip(pool, (int)i);
        cpu += thread_cpu_ns();
    }
    cpu += crew_cpu_ns(&crew);
    cold_values(ns, w->n, cpu, value);
    peer_end(pool);
    free(ns);
}

/* ---- W5: as completed ---- */

static void our_completed(cfut_executor *pool, copy_future *f, cfut_future **fs, size_t n)
{
    size_t seen = 0;
    cfut_iter it;
    cfut_future *done;

    for (size_t i = 0; i < n; i++)
        fs[i] = copy_submit(pool, &f[i], (int)i);
    if (cfut_as_completed(&it, fs, n, CFUT_FOREVER) != CFUT_OK)
        die("as_completed failed: %s", cfut_strerror(it.status));
    while ((done = cfut_next(&it)))
        seen += copy_of(done)->out == (int)(copy_of(done) - f);
    if (seen != n)
        die("as_completed yielded %zu of %zu futures", seen, n);
}

static void w5_ours(const struct work *w, double *value)
{
    struct crew crew;
    cfut_executor *pool = our_pool(w, &crew);
    copy_future *f = must_calloc(w->n, sizeof *f);
    cfut_future **fs = must_calloc(w->n, sizeof(cfut_future *));
    struct timer t = timer_start();

    for (size_t i = 0; i < w->repeats; i++)
        our_completed(pool, f, fs, w->n);
    timer_stop(t, w->repeats * w->n, value);
    our_end(pool);
    free(fs);
    free(f);
}

/* The usual answer without as_completed: the job itself appends what it is to a
   list under a mutex, and the consumer waits for that list. */
struct parcel {
    struct parcel *next;
};

static struct {
    pthread_mutex_t lock;       /* guards both ends */
    pthread_cond_t arrived;     /* first is not NULL */
    struct parcel *first, *last;
} mailbox = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, NULL};

static int deliver(const void *in, void *out)
{
    struct parcel *p = out;

    (void)in;
    p->next = NULL;
    pthread_mutex_lock(&mailbox.lock);
    if (mailbox.last)
        mailbox.last->next = p;
    else
        mailbox.first = p;
    mailbox.last = p;
    pthread_cond_signal(&mailbox.arrived);
    pthread_mutex_unlock(&mailbox.lock);
    return 0;
}

static struct parcel *receive(void)
{
    struct parcel *p;

    pthread_mutex_lock(&mailbox.lock);
    while (!(p = mailbox.first))
        pthread_cond_wait(&mailbox.arrived, &mailbox.lock);
    if (!(mailbox.first = p->next))
        mailbox.last = NULL;
    pthread_mutex_unlock(&mailbox.lock);
    return p;
}

static void w5_peer(const struct work *w, double *value)
{
    struct crew crew;
    naive_pool *pool = peer_pool(w, &crew);
    struct parcel *p = must_calloc(w->n, sizeof *p);
    struct timer t = timer_start();

    for (size_t r = 0; r < w->repeats; r++) {
        for (size_t i = 0; i < w->n; i++)
            naive_post(pool, deliver, NULL, &p[i], NULL);
        for (size_t i = 0; i < w->n; i++)
            if (receive() < p)
                die("a parcel from nowhere");
    }
    timer_stop(t, w->repeats * w->n, value);
    peer_end(pool);
    free(p);
}

/* ---- W6: memory of what is pending ---- */

static void w6_ours(const struct work *w, double *value)
{
    struct crew crew;
    cfut_executor *pool = our_pool(w, &crew);
    hold_future held;
    copy_future *f;
    int64_t before;
    sem_t gate;

    sem_init(&gate, 0, 0);
    hold_submit(pool, &held, &gate);
    malloc_trim(0);
    before = resident_bytes();
    f = must_calloc(w->n, sizeof *f);
    for (size_t i = 0; i < w->n; i++)
        copy_submit(pool, &f[i], (int)i);
    value[0] = (double)(resident_bytes() - before) / (double)w->n;
    sem_post(&gate);
    our_end(pool);
    for (size_t i = 0; i < w->n; i++)
        if (copy_result(&f[i]) != 0 || f[i].out != (int)i)
            die("a task failed: %s", cfut_error(&f[i].base));
    free(f);
    sem_destroy(&gate);
}

static void w6_peer(const struct work *w, double *value)
{
    struct crew crew;
    naive_pool *pool = peer_pool(w, &crew);
    struct peer_batch b;
    int64_t before;
    sem_t gate, *in = &gate;

    sem_init(&gate, 0, 0);
    naive_post(pool, hold_thunk, &in, NULL, NULL);
    malloc_trim(0);
    before = resident_bytes();
    peer_alloc(&b, pool, w->n);
    for (size_t i = 0; i < w->n; i++)
        b.f[i] = naive_submit(pool, copy_thunk, &b.in[i], &b.out[i]);
    value[0] = (double)(resident_bytes() - before) / (double)w->n;
    sem_post(&gate);
    for (size_t i = 0; i < w->n; i++)
        naive_result(b.f[i]);
    peer_end(pool);
    peer_release(&b);
    sem_destroy(&gate);
}

/* ---- W7: an idle pool; n is in ms ---- */

/* Workers may spin and go to sleep before it counts. */
static const int64_t settle = 50000000;

static void w7_ours(const struct work *w, double *value)
{
    struct crew crew;
    cfut_executor *pool = our_pool(w, &crew);
    int64_t cpu;

    sleep_ns(settle);
    cpu = crew_cpu_ns(&crew);
    sleep_ns((int64_t)w->n * 1000000);
    value[0] = (double)(crew_cpu_ns(&crew) - cpu);
    our_end(pool);
}

static void w7_peer(const struct work *w, double *value)
{
    struct crew crew;
    naive_pool *pool = peer_pool(w, &crew);
    int64_t cpu;

    sleep_ns(settle);
    cpu = crew_cpu_ns(&crew);
    sleep_ns((int64_t)w->n * 1000000);
    value[0] = (double)(crew_cpu_ns(&crew) - cpu);
    peer_end(pool);
}

/* ---- the list ---- */

#define NO_NESTING "naive cannot: nested waits deadlock it; beside the serial call"

static const struct work works[] = {
    {"W1", "1e6 empty tasks from one outside thread, then every result", 1000000, 10000, 1, 0,
     PLACE_FREE, per_task, w1_ours, w1_peer, "naive", 1.3},
    {"W1b", "the same from 4 producers", 1000000, 10000, 1, 0, PLACE_FREE, per_task, w1b_ours,
     w1b_peer, "naive", 1.3},
    {"W2", "fib(32), submit and result inside tasks (" NO_NESTING ")", 32, 16, 1, 0, PLACE_FREE,
     per_task, w2_ours, w2_serial, "serial", 1.1},
    {"W2f", "fib(32), fork and join (" NO_NESTING ")", 32, 16, 1, 0, PLACE_FREE, per_task,
     w2f_ours, w2_serial, "serial", 1.1},
    {"W3", "submit one, wait for it, hot; threads unpinned", 10000, 200, 1, 1, PLACE_FREE,
     per_trip, w3_ours, w3_peer, "naive", 1.3},
    {"W3", "submit one, wait for it, hot; pinned across two CPUs", 10000, 200, 1, 1, PLACE_ACROSS,
     per_trip, w3_ours, w3_peer, "naive", 1.3},
    {"W3", "submit one, wait for it, hot; pinned to one CPU", 10000, 200, 1, 1, PLACE_ONE,
     per_trip, w3_ours, w3_peer, "naive", 1.3},
    {"W3c", "submit one, wait for it, pool idle for 1 ms before; unpinned", 300, 20, 1, 1,
     PLACE_FREE, cold_trip, w3c_ours, w3c_peer, "naive", 1.3},
    {"W3c", "the same, pinned across two CPUs", 300, 20, 1, 1, PLACE_ACROSS, cold_trip, w3c_ours,
     w3c_peer, "naive", 1.3},
    {"W3c", "the same, pinned to one CPU", 300, 20, 1, 1, PLACE_ONE, cold_trip, w3c_ours,
     w3c_peer, "naive", 1.3},
    {"W5", "10 000 futures submitted and consumed as completed, 50 times", 10000, 1000, 50, 0,
     PLACE_FREE, per_future, w5_ours, w5_peer, "naive without futures", 1.3},
    {"W5", "1e6 futures submitted and consumed as completed", 1000000, 10000, 1, 0, PLACE_FREE,
     per_future, w5_ours, w5_peer, "naive without futures", 1.3},
    {"W6", "1e6 pending futures of int to int, with in and out", 1000000, 50000, 1, 1, PLACE_FREE,
     memory, w6_ours, w6_peer, "naive", 1.1},
    {"W7", "an idle pool for 2 s", 2000, 100, 1, 2, PLACE_FREE, idle_cpu, w7_ours, w7_peer,
     "naive", 1.3},
};

/* ---- rounds and table ---- */

struct options {
    const char *only;           /* NULL: all */
    int rounds;
    int workers;                /* 0: 1 and 2 */
    bool quick, csv;
};

struct results {
    double ours[MAX_VALUES][MAX_ROUNDS], peer[MAX_VALUES][MAX_ROUNDS];
    double ratio[MAX_VALUES][MAX_ROUNDS];
};

static void run_rounds(const struct work *w, int rounds, struct results *r)
{
    for (int i = -1; i < rounds; i++) {
        double a[MAX_VALUES] = {0}, b[MAX_VALUES] = {0};

        w->ours(w, a);
        w->peer(w, b);
        for (int k = 0; i >= 0 && k < MAX_VALUES; k++) {
            r->ours[k][i] = a[k];
            r->peer[k][i] = b[k];
            r->ratio[k][i] = a[k] > 0 ? b[k] / a[k] : 0;
        }
    }
}

static void print_side(const char *name, struct spread s)
{
    printf("   %s %8.1f [%.1f .. %.1f]", name, s.median, s.min, s.max);
}

static void print_ratio(double ratio, double noise)
{
    if (ratio <= 0)
        printf("   -\n");
    else if (ratio < noise && ratio > 1 / noise)
        printf("   %.2fx (noise)\n", ratio);
    else
        printf("   %.2fx\n", ratio);
}

static void print_table(const struct work *w, const struct results *r, int rounds)
{
    printf("\n%s  %s; %d worker%s\n", w->id, w->what, w->workers, w->workers == 1 ? "" : "s");
    for (int k = 0; w->metrics[k].name; k++) {
        printf("     %-16s %-12s", w->metrics[k].name, w->metrics[k].unit);
        print_side("cfut", spread_of(r->ours[k], rounds));
        print_side(w->peer_name, spread_of(r->peer[k], rounds));
        print_ratio(spread_of(r->ratio[k], rounds).median, w->noise);
    }
    fflush(stdout);
}

static void print_csv_side(const struct work *w, int k, const char *side, struct spread s)
{
    printf("%s,\"%s\",%d,%s,%s,\"%s\",%.1f,%.1f,%.1f\n", w->id, w->what, w->workers,
           w->metrics[k].name, w->metrics[k].unit, side, s.median, s.min, s.max);
}

static void print_csv(const struct work *w, const struct results *r, int rounds)
{
    for (int k = 0; w->metrics[k].name; k++) {
        print_csv_side(w, k, "cfut", spread_of(r->ours[k], rounds));
        print_csv_side(w, k, w->peer_name, spread_of(r->peer[k], rounds));
    }
    fflush(stdout);
}

static void run_work(struct work w, const struct options *o, int workers)
{
    static struct results r;

    w.workers = workers;
    if (o->quick) {
        w.n = w.quick_n;
        w.repeats = 1;
    }
    run_rounds(&w, o->rounds, &r);
    (o->csv ? print_csv : print_table)(&w, &r, o->rounds);
}

static void run_counts(const struct work *w, const struct options *o)
{
    if (w->place == PLACE_ACROSS && usable_cpu(1) < 0) {
        if (!o->csv)
            printf("\n%s  %s: needs two CPUs\n", w->id, w->what);
    } else if (w->workers) {
        run_work(*w, o, w->workers);
    } else if (o->workers) {
        run_work(*w, o, o->workers);
    } else {
        run_work(*w, o, 1);
        run_work(*w, o, 2);
    }
}

static int run_all(const struct options *o)
{
    int found = 0;

    for (size_t i = 0; i < sizeof works / sizeof works[0]; i++)
        if (!o->only || strcmp(o->only, works[i].id) == 0) {
            run_counts(&works[i], o);
            found++;
        }
    return found;
}

/* ---- the command line ---- */

static void usage(FILE *to)
{
    fprintf(to, "usage: bench_core [--quick] [--csv] [--only W2] [--rounds N] [--workers N]\n"
                "  --quick    tiny sizes and 2 rounds: shows only that it works\n"
                "  --csv      comma separated values\n"
                "  --only     one workload: W1 W1b W2 W2f W3 W3c W5 W6 W7\n"
                "  --rounds   after the warm-up, 7 unless told\n"
                "  --workers  instead of 1 and 2, where a workload does not fix them\n");
}

static int number(const char *text, int max)
{
    char *end;
    long n = strtol(text, &end, 10);

    if (*end || n < 1 || n > max)
        die("not a number from 1 to %d: %s", max, text);
    return (int)n;
}

static struct options parse(int argc, char **argv)
{
    static const struct option longs[] = {
        {"quick", no_argument, NULL, 'q'},         {"csv", no_argument, NULL, 'c'},
        {"only", required_argument, NULL, 'o'},    {"rounds", required_argument, NULL, 'r'},
        {"workers", required_argument, NULL, 'w'}, {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0}};
    struct options o = {NULL, 0, 0, false, false};

    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;)
        switch (c) {
        case 'q': o.quick = true; break;
        case 'c': o.csv = true; break;
        case 'o': o.only = optarg; break;
        case 'r': o.rounds = number(optarg, MAX_ROUNDS); break;
        case 'w': o.workers = number(optarg, MAX_THREADS); break;
        case 'h': usage(stdout); exit(0);
        default: usage(stderr); exit(2);
        }
    if (!o.rounds)
        o.rounds = o.quick ? 2 : 7;
    return o;
}

static void print_head(const struct options *o)
{
    print_machine(o->csv ? "# " : "", CFUT_VERSION_STRING);
    if (o->csv)
        printf("workload,what,workers,metric,unit,side,median,min,max\n");
    else
        printf("rounds    %d after a warm-up, in turn; median [min .. max], then the peer's "
               "median ratio\nsizes     a future %zu bytes, one of int to int %zu\n",
               o->rounds, sizeof(cfut_future), sizeof(copy_future));
    if (o->quick)
        printf("%squick: far smaller sizes than said; the figures mean nothing\n",
               o->csv ? "# " : "");
}

int main(int argc, char **argv)
{
    struct options o = parse(argc, argv);

    /* Keeps what malloc got from the system: the peer shall not pay page faults
       anew in every round. Setting it also keeps large arrays mapped apart. */
    mallopt(M_TRIM_THRESHOLD, INT32_MAX);
    placement_init();
    print_head(&o);
    if (run_all(&o) == 0)
        die("no such workload: %s", o.only);
    return 0;
}
