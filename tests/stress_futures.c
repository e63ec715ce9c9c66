/* stress_futures.c: random submits, forks, maps, cancels, results, waits,
   iterations and callbacks, from outside threads and from tasks, on futures that each lie in a
   page of their own, unmapped as soon as that is allowed. Every future must
   reach exactly one final state, and every result must be right.

   stress_futures [seconds [seed]]
   CFUT_TEST_WORKERS: that number of workers only; else 1, 2, 3, 4 in turn.
   The exit code is the verdict; the seed is printed. */
#define CFUT_IMPLEMENTATION
#undef NDEBUG
#include <assert.h>
#define CFUT_ASSERT(x) assert(x)
#include "cfut.h"
#include "fixtures.h"

#include <pthread.h>

enum { ACTORS = 3, BATCH = 24, NESTED_BATCH = 6, DEPTH = 2, ARENA = 16384 };

static void die(const char *what, long a, long b)
{
    fprintf(stderr, "stress_futures: %s (%ld, %ld)\n", what, a, b);
    _exit(1);
}

static void expect(bool holds, const char *what, long a, long b)
{
    if (!holds)
        die(what, a, b);
}

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- one future and what is known about it ---- */

enum kind { SQUARE, FAIL, SPIN, NEST, WATCH, MEDDLE, FORK, KINDS };

/* Outlives the future's page. The atomics are written by other threads. */
struct ticket {
    struct job_future *f;           /* NULL: done, checked, given back */
    struct batch *batch;
    enum kind kind;
    int i, x;
    int runs, calls, calls_expected;    /* atomic */
    int cancelled;                  /* atomic: somebody's cancel said true */
    bool watched;                   /* others may be in a call with it */
};

/* n futures of one actor: a thread, or a task that submits to its own pool. */
struct batch {
    struct phase *phase;
    struct ticket ticket[BATCH];
    struct pages *pages;
    int n, depth;
    uint64_t seed;
};

/* What all actors share, as long as a pool lives. */
struct phase {
    cfut_executor *pool;
    int closing, stop;              /* atomic */
    long futures, cancels;          /* atomic: statistics */
};

static int get(const int *n) { return __atomic_load_n(n, __ATOMIC_SEQ_CST); }
static void add(int *n, int k) { __atomic_add_fetch(n, k, __ATOMIC_SEQ_CST); }

static uint32_t chance(struct batch *b, uint32_t n)
{
    return next_random(&b->seed) % n;
}

static void run_batch(struct phase *phase, struct pages *pages, int depth, uint64_t seed);

/* ---- the tasks ---- */

static int job(struct ticket *const *in, int *out);
CFUT_TASK(job, struct ticket *, int);

static void spin(struct ticket *t)
{
    for (volatile int i = 0; i < t->x * 20 && !cfut_stop_requested(); i = i + 1) {}
}

static void nest(struct ticket *t)
{
    struct pages pages;

    pages_init(&pages, NESTED_BATCH);
    run_batch(t->batch->phase, &pages, t->batch->depth + 1, (uint64_t)t->x * 77 + 1);
    pages_end(&pages);
}

/* A map whose items cost nothing, little or much, in stretches. */
struct item { int spins, i; };
enum { ITEMS = 48 };

static int item(const struct item *in, int *out)
{
    for (volatile int n = in->spins; n > 0; n = n - 1) {}
    *out += in->i + 1;              /* twice would show */
    return CFUT_OK;
}
CFUT_TASK(item, struct item, int);

static void map_some(struct phase *phase, uint64_t seed)
{
    struct item in[ITEMS];
    int out[ITEMS] = { 0 }, status[ITEMS], n = 1 + (int)(next_random(&seed) % ITEMS);
    cfut_map_desc desc = { 0 };
    int spins = 0, result;

    for (int i = 0; i < n; i++) {
        if (next_random(&seed) % 8 == 0)
            spins = (1 << next_random(&seed) % 4 * 4) - 1;
        in[i] = (struct item){ spins, i };
    }
    desc.status = status;
    desc.chunksize = next_random(&seed) % 4 == 0 ? 3 : 0;
    desc.caller_runs = next_random(&seed) % 4 == 0;
    result = item_map_with(phase->pool, in, out, (size_t)n, &desc);
    expect(result == CFUT_OK || get(&phase->closing), "a map failed", result, n);
    for (int i = 0; i < n; i++)
        expect(out[i] == (status[i] == CFUT_OK ? i + 1 : 0), "an item is wrong", out[i], i);
}

/* A tree of forks, here and there with a cancel, a submit or a map in between. */
struct twig { struct phase *phase; uint64_t seed; int height; cfut_future *self; };
enum { TWIGS = 3 };

static int twig(const struct twig *in, int *nodes);
CFUT_TASK(twig, struct twig, int);

static int join_twig(const struct twig *in, twig_future *f, bool cancelled)
{
    int status = twig_join(f);

    if (status == CFUT_OK) {
        expect(!cancelled, "a true cancel, and it ran", in->height, 0);
        return f->out;
    }
    expect(status == CFUT_CANCELLED, "a wrong status of a fork", status, in->height);
    expect(cancelled || get(&in->phase->closing), "a fork was cancelled", in->height, 0);
    return 0;
}

static int twig(const struct twig *in, int *nodes)
{
    twig_future f[TWIGS], submitted;
    uint64_t seed = in->seed;
    bool cancelled[TWIGS] = { false }, submits = next_random(&seed) % 8 == 0;
    int n = in->height ? (int)(next_random(&seed) % (TWIGS + 1)) : 0;

    if (next_random(&seed) % 4 == 0)
        expect(cfut_current_future() == in->self, "a fork has the wrong future", in->height, n);
    *nodes = 1;
    for (int i = 0; i < n; i++)
        twig_fork(&f[i], (struct twig){ in->phase, next_random(&seed), in->height - 1,
                                        &f[i].base });
    if (submits)
        twig_submit(in->phase->pool, &submitted,
                    (struct twig){ in->phase, seed, 0, &submitted.base });
    if (next_random(&seed) % 16 == 0)
        map_some(in->phase, seed);
    if (n && next_random(&seed) % 8 == 0)
        cancelled[seed % (unsigned)n] = cfut_cancel(&f[seed % (unsigned)n].base);
    for (int i = n - 1; i >= 0; i--)
        *nodes += join_twig(in, &f[i], cancelled[i]);
    if (submits)
        twig_result(&submitted);
    return CFUT_OK;
}

static void fork_tree(struct ticket *t)
{
    struct twig root = { t->batch->phase, (uint64_t)t->x * 31 + 7, 3 + t->x % 5, NULL };
    int nodes = 0;

    root.self = cfut_current_future();
    expect(twig(&root, &nodes) == CFUT_OK && nodes > 0, "a tree failed", nodes, t->x);
}

/* Waits for futures of the same batch that were submitted before this one, so
   without circles. They stay mapped until this task is done. */
static void watch(struct ticket *t)
{
    struct ticket *first = t->batch->ticket;
    cfut_future *fs[3];
    uint64_t seed = (uint64_t)t->x;
    size_t n = 0;
    cfut_ns timeout = t->x % 5 ? CFUT_FOREVER : CFUT_US(t->x);
    cfut_iter it;
    int status = 0;

    for (int i = 0; i < t->i && n < 3; i++)
        if (first[i].watched && next_random(&seed) % 2)
            fs[n++] = &first[i].f->base;
    if (n == 0)
        return;
    switch (t->x % 4) {
    case 0: status = cfut_result(fs[0]); break;
    case 1: status = cfut_result_timeout(fs[0], CFUT_US(t->x)); break;
    case 2: status = (int)cfut_wait(fs, n, t->x % 3, timeout); break;
    default:
        status = cfut_as_completed(&it, fs, n, timeout);
        for (int k = t->x % 7; k > 0 && cfut_next(&it); k--) {}
        cfut_iter_end(&it);
        break;
    }
    expect(status != CFUT_DEADLOCK && status != CFUT_INVALID && status != CFUT_INVALID_STATE,
           "a watcher was refused", status, t->x);
}

static void count_call(cfut_future *f, void *ticket)
{
    struct ticket *t = ticket;

    expect(cfut_done(f), "a callback saw a pending future", t->i, 0);
    expect(cfut_result(f) != CFUT_TIMEOUT, "a callback had to wait", t->i, 0);
    add(&t->calls, 1);
}

/* Does to an earlier future what any thread may do at any time. */
static void meddle(struct ticket *t)
{
    for (int i = 0; i < t->i; i++) {
        struct ticket *other = &t->batch->ticket[i];

        if (!other->watched || (i + t->x) % 3)
            continue;
        cfut_future_snapshot(&other->f->base);
        if (t->x % 2) {
            add(&other->calls_expected, 1);
            if (cfut_on_done(&other->f->base, count_call, other) != CFUT_OK)
                die("a callback was refused", i, t->x);
        }
        if (cfut_cancel(&other->f->base)) {
            add(&other->cancelled, 1);
            expect(cfut_cancelled(&other->f->base), "cancelled and not", i, t->x);
        }
    }
}

static int job(struct ticket *const *in, int *out)
{
    struct ticket *t = *in;

    add(&t->runs, 1);
    expect(cfut_current_future() == &t->f->base, "a task has the wrong future", t->i, t->x);
    *out = t->x * t->x;
    switch (t->kind) {
    case FAIL: return cfut_fail(t->x + 1, "job %d", t->x);
    case SPIN: spin(t); break;
    case NEST: nest(t); break;
    case WATCH: watch(t); break;
    case MEDDLE: meddle(t); break;
    case FORK: fork_tree(t); break;
    default: break;
    }
    return CFUT_OK;
}

/* ---- checking ---- */

static void check_run(struct ticket *t, int status)
{
    char text[60];

    expect(get(&t->runs) == 1, "it did not run once", get(&t->runs), t->kind);
    expect(t->f->out == t->x * t->x, "a wrong result", t->f->out, t->x);
    if (t->kind != FAIL) {
        expect(status == CFUT_OK, "a wrong status", status, t->kind);
        return;
    }
    expect(status == t->x + 1, "a wrong code", status, t->x + 1);
    snprintf(text, sizeof text, "job %d", t->x);
    expect(strcmp(cfut_error(&t->f->base), text) == 0, "a wrong text", t->x, 0);
}

/* t's future is done, and nobody else is in a call with it: gives it back. */
static void give_back(struct batch *b, struct ticket *t)
{
    cfut_future *f = &t->f->base;
    int status = cfut_result_timeout(f, 0);

    expect(cfut_done(f), "it is not done", t->i, status);
    if (cfut_cancelled(f)) {
        expect(status == CFUT_CANCELLED, "cancelled, with another status", status, 0);
        expect(get(&t->runs) == 0, "cancelled, and it ran", t->i, t->kind);
    } else if (status == CFUT_CLOSED) {
        expect(get(&b->phase->closing), "refused by an open pool", t->i, t->kind);
        expect(get(&t->runs) == 0, "refused, and it ran", t->i, t->kind);
    } else {
        check_run(t, status);
        expect(!get(&t->cancelled), "a true cancel, and it ran", t->i, t->kind);
    }
    expect(get(&t->calls) == get(&t->calls_expected), "callbacks", t->calls, t->calls_expected);
    page_free(b->pages, t->f);
    t->f = NULL;
}

/* What is watched stays until no watcher can be in a call with it. */
static void now_done(struct batch *b, struct ticket *t)
{
    if (!t->watched)
        give_back(b, t);
}

static struct ticket *ticket_of(cfut_future *f)
{
    return job_of(f)->in;
}

/* ---- what an actor does with its batch ---- */

static void submit_all(struct batch *b)
{
    for (int i = 0; i < b->n; i++) {
        struct ticket *t = &b->ticket[i];

        memset(t, 0, sizeof *t);
        t->batch = b;
        t->i = i;
        t->x = (int)chance(b, 1000);
        t->kind = (enum kind)chance(b, KINDS);
        if (t->kind == NEST && (b->depth >= DEPTH || chance(b, 3)))
            t->kind = SQUARE;
        t->watched = chance(b, 3) == 0;
        t->f = page_new(b->pages);
        job_submit(b->phase->pool, t->f, t);
        if (chance(b, 4) == 0) {
            add(&t->calls_expected, 1);
            if (cfut_on_done(&t->f->base, count_call, t) != CFUT_OK)
                die("a callback was refused", i, 0);
        }
    }
    __atomic_add_fetch(&b->phase->futures, b->n, __ATOMIC_RELAXED);
}

/* The futures not yet given back that may be; at most all. */
static size_t collect(struct batch *b, cfut_future **fs)
{
    size_t n = 0;

    for (int i = 0; i < b->n; i++)
        if (b->ticket[i].f && (!b->ticket[i].watched || chance(b, 2)))
            fs[n++] = &b->ticket[i].f->base;
    return n;
}

static void cancel_some(struct batch *b)
{
    for (int i = (int)chance(b, 4); i < b->n; i += 1 + (int)chance(b, 6)) {
        struct ticket *t = &b->ticket[i];

        if (!t->f || !cfut_cancel(&t->f->base))
            continue;
        add(&t->cancelled, 1);
        __atomic_add_fetch(&b->phase->cancels, 1, __ATOMIC_RELAXED);
        now_done(b, t);
    }
}

static void take_results(struct batch *b)
{
    for (int k = 0; k < 3; k++) {
        struct ticket *t = &b->ticket[chance(b, (uint32_t)b->n)];
        int status;

        if (!t->f)
            continue;
        status = chance(b, 2) ? job_result(t->f)
                              : job_result_timeout(t->f, CFUT_US(chance(b, 100)));
        expect(status != CFUT_DEADLOCK, "a false alarm", t->i, 0);
        if (status != CFUT_TIMEOUT)
            now_done(b, t);
    }
}

static void wait_for_some(struct batch *b)
{
    cfut_future *fs[BATCH];
    size_t n = collect(b, fs);
    int when = (int)chance(b, 3);
    ptrdiff_t k;

    k = cfut_wait(fs, n, when, chance(b, 2) ? CFUT_FOREVER : CFUT_US(chance(b, 100)));
    expect(k >= 0 && (size_t)k <= n, "a wait failed", (long)k, when);
    for (ptrdiff_t i = 0; i < k; i++)
        now_done(b, ticket_of(fs[i]));
}

static void iterate_some(struct batch *b)
{
    cfut_future *fs[BATCH], *f;
    size_t n = collect(b, fs);
    int steps = chance(b, 2) ? BATCH : (int)chance(b, BATCH);
    cfut_iter it;

    if (cfut_as_completed(&it, fs, n, chance(b, 2) ? CFUT_FOREVER : CFUT_US(chance(b, 100))))
        die("an iteration failed", it.status, (long)n);
    while (steps-- > 0 && (f = cfut_next(&it)) != NULL)
        now_done(b, ticket_of(f));
    expect(it.status == CFUT_OK || it.status == CFUT_TIMEOUT, "an iteration ended", it.status, 0);
    cfut_iter_end(&it);
}

/* All are done afterwards; then nobody can be in a call with the watched. */
static void finish_all(struct batch *b)
{
    cfut_future *fs[BATCH];
    int n = 0;

    for (int i = 0; i < b->n; i++)
        if (b->ticket[i].f)
            fs[n++] = &b->ticket[i].f->base;
    if (chance(b, 3) == 0)
        cfut_reclaim(fs, (size_t)n);
    else
        expect(cfut_wait(fs, (size_t)n, CFUT_ALL_COMPLETED, CFUT_FOREVER) == n, "not all", n, 0);
    for (int i = 0; i < b->n; i++)
        if (b->ticket[i].f)
            give_back(b, &b->ticket[i]);
}

static void run_batch(struct phase *phase, struct pages *pages, int depth, uint64_t seed)
{
    struct batch b;

    b.phase = phase;
    b.pages = pages;
    b.depth = depth;
    b.seed = seed;
    b.n = 1 + (int)chance(&b, depth ? NESTED_BATCH : BATCH);
    submit_all(&b);
    for (int k = (int)chance(&b, 5); k > 0; k--) {
        switch (chance(&b, 5)) {
        case 0: cancel_some(&b); break;
        case 1: take_results(&b); break;
        case 2: wait_for_some(&b); break;
        case 3: map_some(phase, b.seed); break;
        default: iterate_some(&b); break;
        }
    }
    finish_all(&b);
}

/* ---- the outside threads ---- */

struct actor {
    struct phase *phase;
    uint64_t seed;
    pthread_t thread;
};

static void *actor_run(void *arg)
{
    struct actor *a = arg;
    struct pages pages;

    pages_init(&pages, ARENA);
    while (!get(&a->phase->stop)) {
        if (pages.n - pages.used < BATCH) {
            pages_end(&pages);
            pages_init(&pages, ARENA);
        }
        run_batch(a->phase, &pages, 0, next_random(&a->seed));
    }
    pages_end(&pages);
    return NULL;
}

/* One pool's life; it is closed while the actors still submit. */
static void run_phase(int workers, int64_t length_ns, uint64_t *seed)
{
    cfut_thread_pool_desc desc = { .max_workers = workers };
    struct phase phase = { .pool = cfut_thread_pool(&desc) };
    struct actor actors[ACTORS];
    int how = next_random(seed) % 2 ? CFUT_DRAIN : CFUT_CANCEL_PENDING;
    int64_t end = now_ns() + length_ns;

    for (int i = 0; i < ACTORS; i++) {
        actors[i].phase = &phase;
        actors[i].seed = next_random(seed);
        actors[i].thread = start_thread(actor_run, &actors[i]);
    }
    while (now_ns() < end)
        pause_ms(5);
    add(&phase.closing, 1);
    cfut_close(phase.pool, how);
    add(&phase.stop, 1);
    for (int i = 0; i < ACTORS; i++)
        end_thread(actors[i].thread);
    expect(cfut_shutdown(phase.pool, CFUT_DRAIN) == CFUT_OK, "no shutdown", workers, how);
    printf("%d workers: %ld futures, %ld cancelled\n", workers, phase.futures, phase.cancels);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 5;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)now_ns() % 1000000007;
    const char *only = getenv("CFUT_TEST_WORKERS");
    int64_t length_ns = (int64_t)(seconds * 1e9 / 16), end = now_ns() + (int64_t)(seconds * 1e9);

    printf("seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    alarm((unsigned)(seconds * 10) + 120);      /* a hang ends the program */
    for (int round = 0; round < 4 || now_ns() < end; round++)
        run_phase(only ? atoi(only) : 1 + round % 4, length_ns, &seed);
    return 0;
}
