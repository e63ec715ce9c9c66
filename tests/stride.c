/* stride.c: tiny races between two threads, run by the million in lockstep, each
   with a table of its outcomes, some of them forbidden; in the manner of jcstress.
   It shows what this machine really does, where the explorer shows what C11 allows.

   A race is a left and a right half, a few calls each, on a cell. Main prepares
   CELLS of them; then one thread runs all left halves while the other runs all
   right ones, side by side, with a random shift; then main looks at what came out
   of each cell. Which of the two comes first changes from batch to batch.

   stride [seconds for each race [name...]]
   Prints how often each outcome came. The exit code is the verdict. */
#define CFUT_IMPLEMENTATION
#undef NDEBUG
#include <assert.h>
#define CFUT_ASSERT(x) assert(x)
#include "cfut.h"

#include <pthread.h>

enum { CELLS = 256, OUTCOMES = 6 };

/* What one race works on. */
struct cell {
    cfut_future f;
    int in, out;                    /* plain */
    int left, right;                /* what the halves saw; plain, of one thread each */
    uint32_t x, y;                  /* atomic */
    char pad[32];
};
static struct cell cells[CELLS];
static cfut_executor *pool;

struct outcome {
    int left, right;                /* ANY: whatever it is */
    bool allowed;
    const char *text;
};
enum { ANY = -99 };

struct race {
    const char *name;
    void (*prepare)(void);          /* all cells */
    void (*left)(struct cell *), (*right)(struct cell *);
    void (*finish)(void);           /* NULL: nothing */
    struct outcome outcomes[OUTCOMES];  /* the first that fits counts; else it is forbidden */
};

/* ---- helpers ---- */

static cfuti_pool *the_pool(void) { return cfuti_pool_of(pool); }
static cfuti_worker *worker(void) { return &the_pool()->workers[0]; }

static int out_fn(const void *in, void *out)
{
    *(int *)out = *(const int *)in;
    return CFUT_OK;
}
static const cfut_task out_task = { out_fn, "out", sizeof(int), sizeof(int) };

static void clear(void)
{
    for (int i = 0; i < CELLS; i++) {
        memset(&cells[i], 0, sizeof cells[i]);
        cells[i].in = 1;
        cells[i].left = cells[i].right = -1;
    }
}

static void prepare_by_hand(void)
{
    clear();
    for (int i = 0; i < CELLS; i++) cfut_future_init(&cells[i].f);
}

/* ---- by hand ---- */

static void write_and_finish(struct cell *c)
{
    c->out = 1;
    c->left = cfut_finish(&c->f, CFUT_OK);
}

static void look_whether_done(struct cell *c)
{
    if (cfut_done(&c->f)) c->right = c->out;
}

static void note_callback(cfut_future *f, void *user)
{
    (void)f;
    cfuti_store_relaxed(&((struct cell *)user)->x, 1u);
}

static void prepare_with_callback(void)
{
    prepare_by_hand();
    for (int i = 0; i < CELLS; i++) cfut_on_done(&cells[i].f, note_callback, &cells[i]);
}

static void look_whether_called(struct cell *c)
{
    if (cfut_done(&c->f)) c->right = (int)cfuti_load_relaxed(&c->x);
}

static void add_callback(struct cell *c)
{
    cfut_on_done(&c->f, note_callback, c);
    c->right = 1;
}

static void finish_and_see(struct cell *c)
{
    cfut_finish(&c->f, CFUT_OK);
    c->left = 1;
}

/* A callback that is added while f is finished has run when both have returned. */
static void collect_called(void)
{
    for (int i = 0; i < CELLS; i++) cells[i].right = (int)cfuti_load_relaxed(&cells[i].x);
}

static void start_and_finish(struct cell *c)
{
    c->left = cfut_start(&c->f);
    if (c->left) cfut_finish(&c->f, CFUT_OK);
}

static void cancel(struct cell *c) { c->right = cfut_cancel(&c->f); }

static void finish_left(struct cell *c) { c->left = cfut_finish(&c->f, 7) == CFUT_OK; }
static void finish_right(struct cell *c) { c->right = cfut_finish(&c->f, 7) == CFUT_OK; }
static void wait_right(struct cell *c) { c->right = cfut_result(&c->f); }

/* ---- queues: the left thread is worker 0 of a pool that starts no thread ---- */

static void be_worker(struct cell *c)
{
    if (c == cells) cfuti_self()->worker = worker();
}

static void prepare_queues(void)
{
    cfut_thread_pool_desc desc = { 0 };

    clear();
    desc.max_workers = 1;
    if (!pool) pool = cfut_thread_pool(&desc);
    the_pool()->high = the_pool()->started = 1;
    for (int i = 0; i < CELLS; i++) {
        cells[i].right = 0;
        cells[i].f.task = &out_task;
        cells[i].f.in = &cells[i].in;
        cells[i].f.out = &cells[i].out;
        cells[i].f.owner = (uintptr_t)pool;
        cells[i].f.state = CFUT_STATE_PENDING;
    }
}

/* The left half pushes and pops; so there is one task in the deque, or none. */
static void push_and_pop(struct cell *c)
{
    be_worker(c);
    if (!cfuti_push(worker(), &c->f)) return;
    cfuti_store_release(&c->x, 1u);
    for (int i = 0; i < 20; i++) cfuti_pause();     /* for the right one to come near */
    c->left = cfuti_pop(worker()) != NULL;
}

static void steal(struct cell *c)
{
    cfut_future *f = NULL;

    if (cfuti_load_acquire(&c->x)) f = cfuti_deque_steal(worker(), true);
    if (f) CFUTI_OUTER(struct cell, f, f)->right = 1;   /* the left one may be further */
}

static void kill_one(struct cell *c)
{
    if (cfuti_load_acquire(&c->x)) c->right = cfuti_unqueue(the_pool(), &c->f);
}

static void prepare_inbox(void)
{
    prepare_queues();
    cfuti_lock(&the_pool()->lock);
    for (int i = 0; i < CELLS; i++) assert(cfuti_inbox_put(the_pool(), &cells[i].f));
    cfuti_unlock(&the_pool()->lock);
}

static void take_from_inbox(struct cell *c)
{
    be_worker(c);
    c->left = 0;
    for (;;) {
        cfut_future *f = cfuti_range_next(worker());

        if (!f) f = cfuti_take(worker(), true);
        if (!f) return;
        CFUTI_OUTER(struct cell, f, f)->x = 1;
    }
}

static void cancel_in_inbox(struct cell *c) { c->right = cfuti_unqueue(the_pool(), &c->f); }

static void collect_taken(void)
{
    for (int i = 0; i < CELLS; i++) cells[i].left = (int)cells[i].x;
}

/* ---- light ---- */

static void prepare_light(void)
{
    prepare_queues();
    for (int i = 0; i < CELLS; i++) cells[i].f.state |= CFUTI_LIGHT;
}

static void finish_light(struct cell *c)
{
    cfuti_thread *t = cfuti_self();

    if (c == cells) {
        t->worker = worker();
        cfuti_workers_add(t);
    }
    cfuti_execute(t, &c->f);
    if (c == &cells[CELLS - 1]) {
        cfuti_workers_remove(t);
        t->worker = NULL;
    }
}

static void lock_light(struct cell *c)
{
    uint32_t s = cfuti_future_lock(&c->f);

    c->right = cfuti_is_final(s) ? c->out : 2;
    if (c->right == 2) cfuti_future_unlock(&c->f, s);
}

static void collect_final(void)
{
    for (int i = 0; i < CELLS; i++)
        cells[i].left = cfut_done(&cells[i].f) && cells[i].out == 1;
}

/* ---- the barriers themselves ---- */

static void light_side(struct cell *c)
{
    cfuti_store_light(&c->x, 1u);
    c->left = (int)cfuti_load_light(&c->y);
}

static void heavy_side(struct cell *c)
{
    cfuti_exchange_seq_cst(&c->y, 1u);
    cfuti_heavy();
    c->right = (int)cfuti_load_seq_cst(&c->x);
}

static uint32_t lock;
static int guarded;

static void add_left(struct cell *c)
{
    cfuti_lock(&lock);
    c->left = ++guarded;
    cfuti_unlock(&lock);
}

static void add_right(struct cell *c)
{
    cfuti_lock(&lock);
    c->right = ++guarded;
    cfuti_unlock(&lock);
}

static void prepare_lock(void)
{
    clear();
    guarded = 0;
}

static void collect_guarded(void)
{
    assert(guarded == 2 * CELLS);
    for (int i = 0; i < CELLS; i++) {
        cells[i].left = cells[i].left != cells[i].right;
        cells[i].right = 1;
    }
}

/* ---- a true pool ---- */

static void prepare_pool(void)
{
    cfut_thread_pool_desc desc = { 0 };

    clear();
    desc.max_workers = 2;
    pool = cfut_thread_pool(&desc);
}

static void submit(struct cell *c)
{
    cfut_submit(pool, &c->f, &out_task, &c->in, &c->out);
    cfuti_store_release(&c->x, 1u);
}

static void cancel_submitted(struct cell *c)
{
    while (!cfuti_load_acquire(&c->x)) cfuti_yield();
    c->right = cfut_cancel(&c->f);
}

static void close_in_the_middle(struct cell *c)
{
    if (c == &cells[CELLS / 2]) cfut_close(pool, CFUT_DRAIN);
    c->right = 0;
}

static void close_cancelling(struct cell *c)
{
    if (c == &cells[CELLS / 2]) cfut_close(pool, CFUT_CANCEL_PENDING);
    c->right = 0;
}

/* left: 1 ran and says so, 0 did not run and says so. */
static void collect_pool(void)
{
    assert(cfut_shutdown(pool, CFUT_DRAIN) == CFUT_OK);
    pool = NULL;
    for (int i = 0; i < CELLS; i++) {
        struct cell *c = &cells[i];
        int status = cfut_result_timeout(&c->f, 0);

        if (status == CFUT_OK) c->left = c->out == 1 ? 1 : 2;
        else c->left = c->out == 0 && (status == CFUT_CANCELLED || status == CFUT_CLOSED) ? 0 : 3;
    }
}

static void end_queues(void)
{
    cfuti_self()->worker = NULL;
    the_pool()->started = 0;
    assert(cfut_shutdown(pool, CFUT_DRAIN) == CFUT_OK);
    pool = NULL;
}

static void collect_taken_and_end(void) { collect_taken(); end_queues(); }
static void collect_final_and_end(void) { collect_final(); end_queues(); }

/* ---- the table ---- */

static const struct race races[] = {
    { "result_after_done", prepare_by_hand, write_and_finish, look_whether_done, NULL,
      { { 0, -1, true, "not done yet" }, { 0, 1, true, "done, and the result is there" },
        { 0, 0, false, "done, but the result is not there" } } },
    { "callback_before_result", prepare_with_callback, write_and_finish, look_whether_called, NULL,
      { { 0, -1, true, "not done yet" }, { 0, 1, true, "done, and the callback has run" },
        { 0, 0, false, "done before its callback ran" } } },
    { "callback_added_while_finishing", prepare_by_hand, finish_and_see, add_callback,
      collect_called,
      { { 1, 1, true, "the callback ran" }, { 1, 0, false, "the callback was forgotten" } } },
    { "cancel_against_start", prepare_by_hand, start_and_finish, cancel, NULL,
      { { 1, 0, true, "started" }, { 0, 1, true, "cancelled" },
        { 1, 1, false, "both" }, { 0, 0, false, "neither" } } },
    { "finish_against_finish", prepare_by_hand, finish_left, finish_right, NULL,
      { { 1, 0, true, "the left one" }, { 0, 1, true, "the right one" },
        { 1, 1, false, "both" }, { 0, 0, false, "neither" } } },
    { "finish_against_wait", prepare_by_hand, finish_left, wait_right, NULL,
      { { 1, 7, true, "told" } } },
    { "pop_against_steal", prepare_queues, push_and_pop, steal, end_queues,
      { { 1, 0, true, "popped" }, { 0, 1, true, "stolen" },
        { 1, 1, false, "taken twice" }, { 0, 0, false, "lost" } } },
    { "pop_against_cancel", prepare_queues, push_and_pop, kill_one, end_queues,
      { { 1, 0, true, "popped" }, { 0, 1, true, "cancelled" },
        { 1, 1, false, "taken twice" }, { 0, 0, false, "lost" } } },
    { "take_against_cancel", prepare_inbox, take_from_inbox, cancel_in_inbox,
      collect_taken_and_end,
      { { 1, 0, true, "taken" }, { 0, 1, true, "cancelled" },
        { 1, 1, false, "taken twice" }, { 0, 0, false, "lost" } } },
    { "light_finish_against_lock", prepare_light, finish_light, lock_light, collect_final_and_end,
      { { 1, 1, true, "it was final" }, { 1, 2, true, "locked first" },
        { 1, 0, false, "final, but the result is not there" },
        { 0, ANY, false, "the end was lost" } } },
    { "light_against_heavy", clear, light_side, heavy_side, NULL,
      { { 1, 1, true, "both see each other" }, { 0, 1, true, "left first" },
        { 1, 0, true, "right first" }, { 0, 0, false, "neither sees the other" } } },
    { "lock", prepare_lock, add_left, add_right, collect_guarded,
      { { 1, 1, true, "one after the other" }, { 0, 1, false, "both at once" } } },
    { "cancel_against_run", prepare_pool, submit, cancel_submitted, collect_pool,
      { { 1, 0, true, "ran" }, { 0, 1, true, "cancelled" },
        { ANY, ANY, false, "ran and was cancelled, or neither" } } },
    { "close_against_submit", prepare_pool, submit, close_in_the_middle, collect_pool,
      { { 1, 0, true, "ran" }, { 0, 0, true, "refused" },
        { ANY, ANY, false, "ran though refused, or the other way round" } } },
    { "cancelling_close_against_submit", prepare_pool, submit, close_cancelling, collect_pool,
      { { 1, 0, true, "ran" }, { 0, 0, true, "refused or cancelled" },
        { ANY, ANY, false, "ran though refused, or the other way round" } } },
};
enum { RACES = sizeof races / sizeof races[0] };

/* ---- lockstep ---- */

static const struct race *current;
static uint32_t turn;               /* atomic: the number of the batch that may run */
static uint32_t ping, pong;         /* atomic: the left one asks, the right one answers */
static uint32_t go;                 /* atomic: the batch that has begun */
static uint32_t through;            /* atomic: the right thread has run that many */
static uint32_t shift;              /* of this batch: who is late, and how much */

static void run_half(bool right, uint32_t late)
{
    for (uint32_t i = 0; i < late; i++) cfuti_pause();
    for (int i = 0; i < CELLS; i++)
        if (right) current->right(&cells[i]);
        else current->left(&cells[i]);
}

/* Binds the right thread to a CPU, so that it is not put where the left one runs.
   Not main: the pools' threads would inherit that. */
static void choose_cpu(int which)
{
#if defined(__linux__)
    unsigned char mask[1024] = { 0 }, mine[1024] = { 0 };
    long bytes = syscall(SYS_sched_getaffinity, 0, sizeof mask, mask);

    for (long i = 0; i < 8 * bytes; i++)
        if ((mask[i / 8] >> i % 8 & 1) && which-- == 0) {
            mine[i / 8] = (unsigned char)(1u << i % 8);
            syscall(SYS_sched_setaffinity, 0, (size_t)bytes, mine);
            return;
        }
#else
    (void)which;
#endif
}

static void await(const uint32_t *word, uint32_t value)
{
    for (unsigned round = 0; cfuti_load_acquire(word) != value; round++)
        if (round > 200) cfuti_yield();
        else cfuti_pause();
}

static void *right_thread(void *arg)
{
    uint32_t batches = 0;
    unsigned idle = 0;

    (void)arg;
    choose_cpu(1);
    for (;;) {
        await(&turn, ++batches);
        if (!current) return NULL;
        while (cfuti_load_acquire(&go) != batches) {
            cfuti_store_release(&pong, cfuti_load_acquire(&ping));
            if (++idle % 1000 == 0) cfuti_yield();
        }
        run_half(true, shift & 1 ? shift >> 1 : 0);
        cfuti_store_release(&through, batches);
    }
}

/* Whether the right thread answers at once: both are on a CPU now. */
static bool is_here(void)
{
    static uint32_t n;
    cfut_ns begun = cfuti_now();

    cfuti_store_release(&ping, ++n);
    await(&pong, n);
    return cfuti_now() - begun < CFUT_US(2);
}

static void run_batch(uint32_t batch, uint32_t random)
{
    int tries = 0;

    current->prepare();
    shift = random % 400;
    cfuti_store_release(&turn, batch);
    while (!(is_here() && is_here()) && tries < 20) tries++;
    cfuti_store_release(&go, batch);
    run_half(false, shift & 1 ? 0 : shift >> 1);
    await(&through, batch);
    if (current->finish) current->finish();
}

static bool fits(const struct outcome *o, const struct cell *c)
{
    return o->text && (o->left == ANY || o->left == c->left) &&
           (o->right == ANY || o->right == c->right);
}

/* Counts what came out; the last count is of what stands in no table. */
static void tally(unsigned long *counts)
{
    for (int i = 0; i < CELLS; i++) {
        int k = 0;

        while (k < OUTCOMES && !fits(&current->outcomes[k], &cells[i])) k++;
        if (k == OUTCOMES && counts[k] == 0)
            printf("    unforeseen: left %d, right %d\n", cells[i].left, cells[i].right);
        counts[k]++;
    }
}

static bool report(const unsigned long *counts)
{
    bool good = counts[OUTCOMES] == 0;

    printf("%s\n", current->name);
    for (int k = 0; k < OUTCOMES && current->outcomes[k].text; k++) {
        const struct outcome *o = &current->outcomes[k];

        if (!o->allowed && counts[k]) good = false;
        printf("  %-9s %10lu  %s\n", o->allowed ? "allowed" : "forbidden", counts[k], o->text);
    }
    if (!good) printf("  FAILED\n");
    fflush(stdout);
    return good;
}

static bool run_race(const struct race *r, cfut_ns limit, uint32_t *batch, uint32_t *random)
{
    unsigned long counts[OUTCOMES + 1] = { 0 };
    cfut_ns end = cfuti_now() + limit;

    current = r;
    do {
        *random = *random * 1664525u + 1013904223u;
        run_batch(++*batch, *random >> 8);
        tally(counts);
    } while (cfuti_now() < end);
    return report(counts);
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 1;
    uint32_t batch = 0, random = 1;
    pthread_t right;
    bool good = true;

    if (pthread_create(&right, NULL, right_thread, NULL)) return 2;
    for (int i = 0; i < RACES; i++) {
        bool wanted = argc <= 2;

        for (int k = 2; k < argc; k++) wanted = wanted || strstr(races[i].name, argv[k]);
        if (wanted && !run_race(&races[i], (cfut_ns)(seconds * 1e9), &batch, &random))
            good = false;
    }
    current = NULL;
    cfuti_store_release(&turn, batch + 1);
    pthread_join(right, NULL);
    return !good;
}
