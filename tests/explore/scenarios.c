/* scenarios.c: what the explorer explores; see explore.h. Here is what scenarios
   share, and what tests the explorer itself; the others stand in the files at the end,
   by the section of cfut.h whose protocols they run. */
#include "explore.h"

#define CFUT_IMPLEMENTATION
#define CFUT_STATIC
#include "cfut.h"

CFUTI_STATIC_ASSERT(sizeof(cfuti_thread) <= 448, "a fiber's local memory holds the record");
CFUTI_STATIC_ASSERT(sizeof(cfuti_os_thread) == sizeof(uintptr_t), "a thread's number fits");

/* All globals of the header that change. */
void x_reset(void)
{
    cfuti_asymmetric = cfuti_heavy_begun = cfuti_exiting = false;
    cfuti_workers = NULL;
    cfuti_workers_lock = cfuti_graph_lock = cfuti_registry_lock = cfuti_generation = 0;
    cfuti_registry = cfuti_graves_first = cfuti_graves_last = NULL;
    cfuti_graves = 0;
    cfuti_pools_made = 0;
    cfuti_no_deque.bot = (size_t)1 << 62;
    cfuti_no_ring = 0;
}

/* A thread that is no worker has a deque that is always full: see >>fork-join. */
void x_begin_local(void *local)
{
    void *before = x_local;

    x_local = local;
    cfuti_place_here()->deque = &cfuti_no_deque;
    x_local = before;
}

/* What lives on are the handles of ended pools. */
void x_finally(void)
{
    x_check(x_blocks == cfuti_graves && "nothing leaks");
    x_check(!cfuti_registry && "all pools have ended");
    x_check(!cfuti_workers && "all workers have left");
}

/* ---- state: plain, so that two threads at one place are a race ---- */

enum { FUTURES = 6 };

static struct {
    cfut_executor *pool, *other;
    cfut_future f[FUTURES];
    int in[FUTURES], out[FUTURES];
    int runs[FUTURES];              /* of the task of f[i] */
    int got[FUTURES];               /* taken out of a queue, or cancelled */
    int calls[FUTURES];             /* of callbacks */
    int order[2 * FUTURES], n;      /* what happened, in one thread */
    int status[FUTURES];
    int answer[8];
    uint32_t gate[4];               /* atomic */
    uint32_t atomic[4];
    cfut_iter it;
} s;

static void begin(void) { memset(&s, 0, sizeof s); }

static cfuti_pool *the_pool(void) { return cfuti_pool_of(s.pool); }
static cfuti_worker *worker(int i) { return &the_pool()->workers[i]; }

static cfut_executor *pool_of(int workers)
{
    cfut_thread_pool_desc desc = { 0 };

    desc.max_workers = workers;
    desc.thread_name_prefix = "x";
    return cfut_thread_pool(&desc);
}

static void begin_pool(int workers)
{
    begin();
    s.pool = pool_of(workers);
}

static void end_pool(void)
{
    x_check(cfut_shutdown(s.pool, CFUT_DRAIN) == CFUT_OK);
}

/* A pool whose workers are fibers of the scenario, which call the queue's
   functions themselves. */
static void begin_queues(int workers)
{
    begin_pool(workers);
    the_pool()->high = (size_t)workers;
}

/* The same with all workers started, so that nobody starts one. */
static void begin_staffed(int workers)
{
    begin_queues(workers);
    cfuti_lock(&the_pool()->lock);
    the_pool()->started = (size_t)workers;
    cfuti_hint_update(the_pool());
    cfuti_unlock(&the_pool()->lock);
}

static void end_staffed(void)
{
    the_pool()->started = 0;
    end_pool();
}

static void act_as(int i) { cfuti_self()->worker = worker(i); }

/* ---- gates: one thread waits for another, which nothing in the library sees ---- */

static void open_gate(int i)
{
    cfuti_store_release(&s.gate[i], 1u);
    cfuti_wake_word(&s.gate[i]);
}

static void pass_gate(int i)
{
    while (!cfuti_load_acquire(&s.gate[i])) cfuti_wait_word(&s.gate[i], 0, CFUT_FOREVER);
}

/* ---- tasks ---- */

static int index_of(const cfut_future *f) { return (int)(f - s.f); }

/* Counts; its result is 10 times its number. */
static int count_fn(const void *in, void *out)
{
    int i = *(const int *)in;

    s.runs[i]++;
    *(int *)out = 10 * i;
    return CFUT_OK;
}
static const cfut_task count_task = { count_fn, "count", sizeof(int), sizeof(int) };

static int fail_fn(const void *in, void *out)
{
    (void)out;
    s.runs[*(const int *)in]++;
    return cfut_fail(5, "no");
}
static const cfut_task fail_task = { fail_fn, "fail", sizeof(int), 0 };

static void submit_task(int i, const cfut_task *task)
{
    s.in[i] = i;
    cfut_submit(s.pool, &s.f[i], task, &s.in[i], &s.out[i]);
}

static void submit(int i) { submit_task(i, &count_task); }

/* f[i] has run once, and its result is there. */
static void check_ran(int i)
{
    x_check(cfut_done(&s.f[i]));
    x_check(s.f[i].status == CFUT_OK && s.runs[i] == 1 && s.out[i] == 10 * i);
}

static void check_cancelled(int i)
{
    x_check(cfut_done(&s.f[i]));
    x_check(s.f[i].status == CFUT_CANCELLED && s.runs[i] == 0);
}

/* Not strcmp, whose loads nobody sees. */
static bool is_text(const char *a, const char *b)
{
    while (*a && *a == *b) a++, b++;
    return *a == *b;
}

/* From now on the library must not touch it. */
static void gone(int i) { x_gone(&s.f[i], sizeof s.f[i]); }

/* ---- futures that stand in a queue of a scenario's own ---- */

static void make_pending(int i)
{
    s.in[i] = i;
    s.f[i].task = &count_task;
    s.f[i].in = &s.in[i];
    s.f[i].out = &s.out[i];
    s.f[i].owner = (uintptr_t)s.pool;
    cfuti_store_relaxed(&s.f[i].state, (uint32_t)CFUT_STATE_PENDING);
}

/* The caller has taken f, sees all of it, and is the only one. */
static void take(cfut_future *f)
{
    if (!f) return;
    x_check(f->task == &count_task && *(const int *)f->in == index_of(f));
    s.got[index_of(f)]++;
}

static void check_taken_once(int n)
{
    for (int i = 0; i < n; i++) x_check(s.got[i] == 1 && "taken once");
}

/* ---- the explorer itself ---- */

SCENARIO(words_of_two_sizes, "A store changes no more than its word, where a wider one was before.")
{
    static union {
        uint64_t wide;
        uint32_t half[2];
    } u;

    cfuti_store_relaxed(&u.wide, (uint64_t)0);
    cfuti_store_relaxed(&u.half[1], 1u);
    cfuti_store_relaxed(&u.half[0], 0u);
    x_check(u.half[1] == 1);
}

#include "queue.h"
#include "future.h"
#include "waiters.h"
#include "sleep.h"
#include "pool.h"
#include "graph.h"
#include "map.h"
