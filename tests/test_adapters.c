/* test_adapters: what kthread.c and thpool.h promise their users, of the headers
   in examples/ that stand in for them. Prints TAP. */
#define CFUT_IMPLEMENTATION
#include "cfut.h"

#include "examples/kthread_cfut.h"
#include "examples/thpool_cfut.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int count;

static void ok(bool passed, const char *name)
{
    printf("%sok %d - %s\n", passed ? "" : "not ", ++count, name);
    fflush(stdout);
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* ---- kt_for ---- */

enum { MOST = 20000, THREADS = 64 };

struct loop {
    int n_threads;
    atomic_int calls[MOST];
    atomic_int inside[THREADS];         /* calls now under way with this thread id */
    atomic_int wrong_id, shared_id;
    int plain[THREADS];                 /* touched without a lock: an id is one thread's */
};

static void visit(void *data, long i, int thread)
{
    struct loop *l = data;

    if (thread < 0 || thread >= (l->n_threads > 1 ? l->n_threads : 1)) {
        atomic_fetch_add(&l->wrong_id, 1);
        return;
    }
    if (atomic_fetch_add(&l->inside[thread], 1) != 0)
        atomic_fetch_add(&l->shared_id, 1);
    l->plain[thread]++;
    atomic_fetch_add(&l->calls[i], 1);
    atomic_fetch_sub(&l->inside[thread], 1);
}

static bool each_once(struct loop *l, long n)
{
    long sum = 0;

    for (long i = 0; i < MOST; i++)
        if (atomic_load(&l->calls[i]) != (i < n))
            return false;
    for (int t = 0; t < THREADS; t++)
        sum += l->plain[t];
    return sum == n;
}

static void test_for(int n_threads, long n)
{
    static struct loop l;
    char name[100];

    memset(&l, 0, sizeof l);
    l.n_threads = n_threads;
    kt_for(n_threads, visit, &l, n);
    snprintf(name, sizeof name, "kt_for with %d threads: each of %ld once", n_threads, n);
    ok(each_once(&l, n), name);
    snprintf(name, sizeof name, "kt_for with %d threads, %ld: thread ids", n_threads, n);
    ok(l.wrong_id == 0 && l.shared_id == 0, name);
}

/* Two calls that wait for each other need two threads at the same time. */
static void meet(void *data, long i, int thread)
{
    atomic_int *arrived = data;

    (void)i;
    (void)thread;
    atomic_fetch_add(arrived, 1);
    while (atomic_load(arrived) < 2)
        nap();
}

static void test_for_parallel(void)
{
    atomic_int arrived = 0;

    kt_for(2, meet, &arrived, 2);
    ok(atomic_load(&arrived) == 2, "kt_for: two threads at the same time");
}

/* ---- kt_pipeline ---- */

enum { ITEMS = 500, STEPS = 4 };

struct item { int number, step; };

struct line {
    int n_threads, n_steps, made, ended;
    int next[STEPS];                    /* the item whose turn it is; each step has its own */
    atomic_int inside[STEPS], under_way, most, wrong;
    int drop;                           /* which step returns NULL for each 7th item; 0: none */
};

static void *make_item(struct line *l)
{
    struct item *item;

    if (l->made == ITEMS) {
        l->ended++;
        return NULL;
    }
    item = malloc(sizeof *item);
    *item = (struct item){.number = l->made++};
    return item;
}

static void note_under_way(struct line *l)
{
    int now = atomic_fetch_add(&l->under_way, 1) + 1;

    if (now > atomic_load(&l->most))    /* step 0 is one at a time */
        atomic_store(&l->most, now);
}

static bool dropped_before(const struct line *l, int number, int step)
{
    return l->drop && step > l->drop && number % 7 == 0;
}

static void *work(void *shared, int step, void *in)
{
    struct line *l = shared;
    struct item *item = in;

    if (step < 0 || step >= l->n_steps || (step == 0) != (in == NULL) ||
        atomic_fetch_add(&l->inside[step], 1) != 0)
        atomic_fetch_add(&l->wrong, 1);
    if (step == 0 && (item = make_item(l)) != NULL)
        note_under_way(l);
    while (item && dropped_before(l, l->next[step], step))
        l->next[step]++;
    if (item && (item->number != l->next[step]++ || item->step++ != step))
        atomic_fetch_add(&l->wrong, 1);
    if (item && item->number % 50 == step)
        nap();
    atomic_fetch_sub(&l->inside[step], 1);
    if (item && (step == l->n_steps - 1 || (step == l->drop && step && item->number % 7 == 0))) {
        atomic_fetch_sub(&l->under_way, 1);
        free(item);
        return l->n_steps == 1 ? l : NULL;  /* behind the last step nobody looks at it */
    }
    return item;
}

static void test_pipeline(int n_threads, int n_steps, int drop)
{
    struct line l = {.n_threads = n_threads, .n_steps = n_steps, .drop = drop};
    int limit = n_threads > 1 ? n_threads : 1;
    char name[100];

    kt_pipeline(n_threads, work, &l, n_steps);
    snprintf(name, sizeof name, "kt_pipeline: %d threads, %d steps, NULL in step %d", n_threads,
             n_steps, drop);
    printf("# wrong %d, made %d, left %d, most %d, ended %d\n", l.wrong, l.made, l.under_way,
           l.most, l.ended);
    while (dropped_before(&l, l.next[n_steps - 1], n_steps - 1) && l.next[n_steps - 1] < ITEMS)
        l.next[n_steps - 1]++;
    ok(l.wrong == 0 && l.made == ITEMS && l.ended == 1 && l.next[n_steps - 1] == ITEMS, name);
    snprintf(name, sizeof name, "kt_pipeline: %d threads, %d steps, NULL in step %d: nothing left",
             n_threads, n_steps, drop);
    ok(l.under_way == 0 && (n_steps == 1 || l.most <= limit), name);
}

/* Step 1 of the first item waits until step 0 has made the second. */
static void *overlap(void *shared, int step, void *in)
{
    atomic_int *made = shared;

    if (step == 0)
        return atomic_fetch_add(made, 1) < 3 ? made : NULL;
    while (atomic_load(made) < 2)
        nap();
    return in;
}

static void test_pipeline_parallel(void)
{
    atomic_int made = 0;

    kt_pipeline(2, overlap, &made, 2);
    ok(atomic_load(&made) == 4, "kt_pipeline: two items under way at the same time");
}

/* ---- thpool ---- */

static atomic_int jobs_run, gate_open;

static void add_one(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
}

static void wait_for_gate(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
    while (!atomic_load(&gate_open))
        nap();
}

static void add_more(void *arg)
{
    threadpool t = arg;

    for (int i = 0; i < 10; i++)
        thpool_add_work(t, add_one, &jobs_run);
}

static void until(atomic_int *value, int least)
{
    while (atomic_load(value) < least)
        nap();
}

static void test_thpool_runs(int threads)
{
    threadpool t = thpool_init(threads);
    int added = 0;
    char name[100];

    atomic_store(&jobs_run, 0);
    for (int round = 1; round <= 3; round++) {
        for (int i = 0; i < 1000; i++)
            added += thpool_add_work(t, add_one, &jobs_run) == 0;
        thpool_wait(t);
        snprintf(name, sizeof name, "thpool of %d: all jobs have run, wait %d", threads, round);
        ok(added == 1000 * round && atomic_load(&jobs_run) == added, name);
    }
    thpool_add_work(t, add_more, t);
    thpool_wait(t);
    ok(atomic_load(&jobs_run) == added + 10, "thpool: wait waits for jobs of jobs");
    ok(thpool_num_threads_working(t) == 0, "thpool: nobody works after wait");
    thpool_wait(t);
    thpool_destroy(t);
}

static void test_thpool_working(void)
{
    threadpool t = thpool_init(3);
    atomic_int started = 0;

    atomic_store(&gate_open, 0);
    for (int i = 0; i < 5; i++)
        thpool_add_work(t, wait_for_gate, &started);
    until(&started, 3);
    ok(thpool_num_threads_working(t) == 3, "thpool: three threads work, not five");
    atomic_store(&gate_open, 1);
    thpool_wait(t);
    ok(atomic_load(&started) == 5, "thpool: five jobs have run");
    thpool_destroy(t);
}

static void test_thpool_destroy(void)
{
    threadpool t = thpool_init(1);
    atomic_int started = 0;

    atomic_store(&gate_open, 0);
    atomic_store(&jobs_run, 0);
    thpool_add_work(t, wait_for_gate, &started);
    until(&started, 1);
    for (int i = 0; i < 100; i++)
        thpool_add_work(t, add_one, &jobs_run);
    cfut_close(t->pool, CFUT_CANCEL_PENDING);   /* as destroy begins; then the job can end */
    ok(thpool_add_work(t, add_one, &jobs_run) == -1, "thpool: what is refused is told");
    atomic_store(&gate_open, 1);
    thpool_destroy(t);
    ok(atomic_load(&jobs_run) == 0, "thpool: destroy drops what waits");
    thpool_destroy(NULL);
    t = thpool_init(-1);
    ok(thpool_add_work(t, add_one, &jobs_run) == -1, "thpool: no such pool");
    thpool_wait(t);
    thpool_destroy(t);
}

int main(void)
{
    static const int threads[] = {-1, 0, 1, 2, 3, 8, THREADS};

    alarm(100);                         /* a hang is a failure */
    for (size_t i = 0; i < sizeof threads / sizeof threads[0]; i++) {
        test_for(threads[i], 0);
        test_for(threads[i], 1);
        test_for(threads[i], MOST);
    }
    test_for_parallel();
    for (int n_threads = 0; n_threads <= 4; n_threads++)
        for (int n_steps = 1; n_steps <= STEPS; n_steps++)
            test_pipeline(n_threads, n_steps, 0);
    test_pipeline(3, 3, 1);
    test_pipeline(3, 4, 2);
    test_pipeline(THREADS, 3, 0);
    test_pipeline_parallel();
    test_thpool_runs(1);
    test_thpool_runs(4);
    test_thpool_working();
    test_thpool_destroy();
    printf("1..%d\n", count);
    return 0;
}
