/* test_cancel.c: cfut_cancel and cfut_reclaim, rule B of SEMANTICS and law 1:
   a true cancel makes the memory the caller's, at once. Futures lie in pages
   of their own that are unmapped the moment that is said. */
#include "harness.h"
#include "fixtures.h"

enum { SOME = 20, MANY = 100000 };

/* A task that notes that it ran, outside its future. */
static int note_run(int *const *runs, int *out)
{
    __atomic_add_fetch(*runs, 1, __ATOMIC_SEQ_CST);
    *out = 7;
    return CFUT_OK;
}
CFUT_TASK(note_run, int *, int);

static int runs_now(const int *runs)
{
    return __atomic_load_n(runs, __ATOMIC_SEQ_CST);
}

static void expect_cancelled(cfut_future *f)
{
    ck_assert(cfut_done(f));
    ck_assert(cfut_cancelled(f));
    ck_assert(!cfut_running(f));
    ck_assert_int_eq(cfut_future_state(f), CFUT_STATE_CANCELLED_AND_NOTIFIED);
    ck_assert_int_eq(cfut_result_timeout(f, 0), CFUT_CANCELLED);
}

/* ---- queued by outsiders ---- */

/* SEM 4, 8, 67: every worker is busy; the page goes while they still are. */
START_TEST(cancel_when_every_worker_is_busy_gives_the_memory_back_at_once)
{
    cfut_executor *pool = test_pool();
    struct pages pages;
    struct crew crew;
    int runs = 0;

    crew_block(&crew, pool, test_workers());
    pages_init(&pages, SOME);
    for (int i = 0; i < SOME; i++) {
        note_run_future *f = page_new(&pages);

        note_run_submit(pool, f, &runs);
        ck_assert(cfut_cancel(&f->base));
        expect_cancelled(&f->base);
        page_free(&pages, f);
    }
    crew_release(&crew);
    ck_assert_int_eq(cfut_shutdown(pool, CFUT_DRAIN), CFUT_OK);
    ck_assert_int_eq(runs, 0);
}
END_TEST

/* Submits n, cancels those with a bit of mask at their place, in random order,
   and expects the others to run. */
static void expect_random_cancels(size_t n, unsigned mask, uint64_t seed)
{
    cfut_executor *pool = test_pool();
    size_t *order = calloc(n, sizeof *order);
    note_run_future **f = calloc(n, sizeof *f);
    int *runs = calloc(n, sizeof *runs);
    struct pages pages;
    struct crew crew;

    pages_init(&pages, n);
    shuffle(order, n, seed);
    crew_block(&crew, pool, test_workers());
    for (size_t i = 0; i < n; i++) {
        f[i] = page_new(&pages);
        note_run_submit(pool, f[i], &runs[i]);
    }
    for (size_t i = 0; i < n; i++) {
        size_t at = order[i];

        if (mask >> at % 8 & 1) {
            ck_assert(cfut_cancel(&f[at]->base));
            page_free(&pages, f[at]);
        }
    }
    crew_release(&crew);
    cfut_shutdown(pool, CFUT_DRAIN);
    for (size_t i = 0; i < n; i++)
        ck_assert_int_eq(runs[i], mask >> i % 8 & 1 ? 0 : 1);
    pages_end(&pages);
    free(order);
    free(f);
    free(runs);
}

/* SEM 4, 63: holes anywhere in the queue. */
START_TEST(cancel_in_random_order_leaves_the_others_to_run)
{
    static const unsigned masks[] = { 0x01, 0x80, 0x55, 0xFE, 0x0F, 0xFF };

    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++)
        for (size_t n = 1; n < 2000; n = n * 3 + 1)
            expect_random_cancels(n, masks[i], n);
}
END_TEST

/* SEM 4: a hundred thousand, all queued at once. */
START_TEST(cancel_of_many_in_random_order_gives_all_back)
{
    cfut_executor *pool = test_pool();
    size_t *order = calloc(MANY, sizeof *order);
    note_run_future *f = calloc(MANY, sizeof *f);
    struct crew crew;
    int runs = 0;

    shuffle(order, MANY, 99);
    crew_block(&crew, pool, test_workers());
    for (int i = 0; i < MANY; i++)
        note_run_submit(pool, &f[i], &runs);
    for (int i = 0; i < MANY; i++) {
        ck_assert(cfut_cancel(&f[order[i]].base));
        memset(&f[order[i]], 0xA5, sizeof *f);
    }
    free(f);
    free(order);
    crew_release(&crew);
    cfut_shutdown(pool, CFUT_DRAIN);
    ck_assert_int_eq(runs, 0);
}
END_TEST

/* SEM 4: cancelled and submitted again, over and over: it runs once. */
START_TEST(cancel_then_submit_again_runs_it_once)
{
    enum { ROUNDS = 3000 };
    cfut_executor *pool = test_pool();
    note_run_future f[SOME];
    struct crew crew;
    int runs = 0;

    crew_block(&crew, pool, test_workers());
    for (int i = 0; i < SOME; i++)
        note_run_submit(pool, &f[i], &runs);
    for (int round = 0; round < ROUNDS; round++) {
        int i = (round * 7) % SOME;

        ck_assert(cfut_cancel(&f[i].base));
        note_run_submit(pool, &f[i], &runs);
    }
    crew_release(&crew);
    for (int i = 0; i < SOME; i++)
        ck_assert_int_eq(note_run_result(&f[i]), CFUT_OK);
    ck_assert_int_eq(runs_now(&runs), SOME);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* SEM 69: cancelled just before the pool ends: no hang, and none runs. */
START_TEST(cancel_just_before_shutdown_does_not_hang)
{
    int runs = 0;

    for (int round = 0; round < 200; round++) {
        cfut_executor *pool = test_pool();
        note_run_future f;
        bool cancelled;
        int before = runs_now(&runs);

        note_run_submit(pool, &f, &runs);
        cancelled = cfut_cancel(&f.base);
        ck_assert_int_eq(cfut_shutdown(pool, CFUT_DRAIN), CFUT_OK);
        ck_assert_int_eq(runs_now(&runs), before + !cancelled);
    }
}
END_TEST

/* ---- queued in a worker's own deque ---- */

struct brood {
    struct pages pages;
    note_run_future *f[SOME];
    int runs;
    struct gate hatched, leave;
    bool cancel_here;
};

/* Submits from inside a task, so that they lie with this worker. */
static int hatch(struct brood *const *in, int *out)
{
    struct brood *b = *in;

    for (int i = 0; i < SOME; i++)
        note_run_submit(cfut_current(), b->f[i], &b->runs);
    *out = 0;
    for (int i = 0; b->cancel_here && i < SOME; i++) {
        int at = (i * 7) % SOME;

        *out += cfut_cancel(&b->f[at]->base);
        page_free(&b->pages, b->f[at]);
    }
    gate_open(&b->hatched);
    gate_wait(&b->leave);
    return CFUT_OK;
}
CFUT_TASK(hatch, struct brood *, int);

static void brood_init(struct brood *b, bool cancel_here)
{
    b->runs = 0;
    b->cancel_here = cancel_here;
    gate_init(&b->hatched);
    gate_init(&b->leave);
    pages_init(&b->pages, SOME);
    for (int i = 0; i < SOME; i++)
        b->f[i] = page_new(&b->pages);
}

/* SEM 4, 8: another thread takes them out of the busy worker's deque. */
START_TEST(cancel_from_outside_of_a_workers_own_tasks_gives_them_back)
{
    cfut_executor *pool = test_pool();
    hatch_future parent;
    struct brood b;
    struct crew crew;

    brood_init(&b, false);
    crew_block(&crew, pool, test_workers() - 1);
    hatch_submit(pool, &parent, &b);
    gate_wait(&b.hatched);
    for (int i = 0; i < SOME; i++) {
        int at = (i * 3) % SOME;

        ck_assert(cfut_cancel(&b.f[at]->base));
        page_free(&b.pages, b.f[at]);
    }
    gate_open(&b.leave);
    ck_assert_int_eq(hatch_result(&parent), CFUT_OK);
    crew_release(&crew);
    cfut_shutdown(pool, CFUT_DRAIN);
    ck_assert_int_eq(b.runs, 0);
}
END_TEST

/* SEM 4, 8: the task cancels its own children; nobody else is free. */
START_TEST(cancel_inside_a_task_of_its_own_children_gives_them_back)
{
    cfut_executor *pool = test_pool();
    hatch_future parent;
    struct brood b;
    struct crew crew;

    brood_init(&b, true);
    gate_open(&b.leave);
    crew_block(&crew, pool, test_workers() - 1);
    hatch_submit(pool, &parent, &b);
    ck_assert_int_eq(hatch_result(&parent), CFUT_OK);
    ck_assert_int_eq(parent.out, SOME);
    crew_release(&crew);
    cfut_shutdown(pool, CFUT_DRAIN);
    ck_assert_int_eq(b.runs, 0);
}
END_TEST

/* A task that submits and cancels children while others may steal them. */
static int submit_and_cancel(int *const *runs, int *out)
{
    note_run_future f[SOME];
    int before = 0;

    (void)runs;
    *out = 0;
    for (int i = 0; i < SOME; i++)
        note_run_submit(cfut_current(), &f[i], &before);
    for (int i = SOME - 1; i >= 0; i -= 2)
        *out += cfut_cancel(&f[i].base);
    for (int i = 0; i < SOME; i++) {
        int status = note_run_result(&f[i]);

        if (status != (cfut_cancelled(&f[i].base) ? CFUT_CANCELLED : CFUT_OK))
            return EIO;
    }
    return runs_now(&before) == SOME - *out ? CFUT_OK : EBADMSG;
}
CFUT_TASK(submit_and_cancel, int *, int);

/* SEM 4, 5: each child runs or is cancelled, never both. */
START_TEST(cancel_inside_tasks_racing_with_thieves_is_exact)
{
    cfut_executor *pool = test_pool();
    submit_and_cancel_future f[SOME];

    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < SOME; i++)
            submit_and_cancel_submit(pool, &f[i], NULL);
        for (int i = 0; i < SOME; i++)
            ck_assert_int_eq(submit_and_cancel_result(&f[i]), CFUT_OK);
    }
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* ---- racing with the run ---- */

/* SEM 4, 5: either answer is right, never both, and the page goes at once. */
START_TEST(cancel_racing_with_run_is_exact)
{
    enum { N = 5000 };
    cfut_executor *pool = test_pool();
    struct pages pages;
    int *runs = calloc(N, sizeof *runs);
    bool *cancelled = calloc(N, sizeof *cancelled);
    uint64_t seed = 1;

    pages_init(&pages, N);
    for (int i = 0; i < N; i++) {
        note_run_future *f = page_new(&pages);

        note_run_submit(pool, f, &runs[i]);
        for (volatile uint32_t spin = next_random(&seed) % 2000; spin > 0; spin--) {}
        cancelled[i] = cfut_cancel(&f->base);
        if (!cancelled[i])
            ck_assert_int_eq(note_run_result(f), CFUT_OK);
        page_free(&pages, f);
    }
    cfut_shutdown(pool, CFUT_DRAIN);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(runs[i], !cancelled[i]);
    free(runs);
    free(cancelled);
}
END_TEST

/* A window of futures, cancelled a little after they were submitted. */
START_TEST(cancel_in_a_moving_window_racing_with_workers_is_exact)
{
    enum { N = 5000, WINDOW = 50 };
    cfut_executor *pool = test_pool();
    note_run_future *f[WINDOW];
    struct pages pages;
    int runs = 0, cancels = 0;
    uint64_t seed = 3;

    pages_init(&pages, N + WINDOW);
    for (int i = 0; i < WINDOW; i++)
        note_run_submit(pool, f[i] = page_new(&pages), &runs);
    for (int i = 0; i < N; i++) {
        note_run_future **one = &f[next_random(&seed) % WINDOW];
        bool cancelled = cfut_cancel(&(*one)->base);

        cancels += cancelled;
        if (!cancelled)
            ck_assert_int_eq(note_run_result(*one), CFUT_OK);
        page_free(&pages, *one);
        note_run_submit(pool, *one = page_new(&pages), &runs);
    }
    cfut_shutdown(pool, CFUT_DRAIN);
    ck_assert_int_eq(runs + cancels, N + WINDOW);
    pages_end(&pages);
}
END_TEST

/* ---- the other answers ---- */

static int until_stopped(struct gate *const *started)
{
    gate_open(*started);
    while (!cfut_stop_requested())
        test_sleep(CFUT_US(100));
    return EINTR;
}
CFUT_ACTION(until_stopped, struct gate *);

/* SEM 5: too late: state unchanged, but the task is asked to stop. */
START_TEST(cancel_when_running_returns_false_and_asks_to_stop)
{
    cfut_executor *pool = test_pool();
    until_stopped_future f;
    struct gate started;

    gate_init(&started);
    until_stopped_submit(pool, &f, &started);
    gate_wait(&started);
    ck_assert(!cfut_future_snapshot(&f.base).stop_requested);
    ck_assert(!cfut_cancel(&f.base));
    ck_assert(!cfut_cancelled(&f.base));
    ck_assert_int_eq(until_stopped_result(&f), EINTR);
    ck_assert_int_eq(cfut_future_state(&f.base), CFUT_STATE_FINISHED);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* SEM 5: done, refused, fresh, or nothing at all. */
START_TEST(cancel_when_done_returns_false)
{
    cfut_executor *pool = test_pool();
    square_future f;
    cfut_future fresh;

    square_submit(pool, &f, 3);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    ck_assert(!cfut_cancel(&f.base));
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, 9);
    square_submit(NULL, &f, 3);
    ck_assert(!cfut_cancel(&f.base));
    memset(&fresh, 0, sizeof fresh);
    ck_assert(!cfut_cancel(&fresh));
    ck_assert(!cfut_cancel(NULL));
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

static void count_call(cfut_future *f, void *calls)
{
    ck_assert(cfut_cancelled(f));
    ck_assert(cfut_done(f));
    ck_assert_int_eq(cfut_result(f), CFUT_CANCELLED);
    __atomic_add_fetch((int *)calls, 1, __ATOMIC_SEQ_CST);
}

/* SEM 4, 6: cancelled before: true again, the callbacks do not run again. */
START_TEST(cancel_when_cancelled_returns_true_without_callbacks)
{
    cfut_executor *pool = test_pool();
    square_future f;
    struct crew crew;
    int calls = 0;

    crew_block(&crew, pool, test_workers());
    square_submit(pool, &f, 3);
    ck_assert_int_eq(cfut_on_done(&f.base, count_call, &calls), CFUT_OK);
    ck_assert_int_eq(cfut_on_done(&f.base, count_call, &calls), CFUT_OK);
    for (int i = 0; i < 3; i++) {
        ck_assert(cfut_cancel(&f.base));
        ck_assert_int_eq(calls, 2);
    }
    crew_release(&crew);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

static int cancel_myself(const int *in, int *out)
{
    (void)in;
    *out = cfut_cancel(cfut_current_future());
    return cfut_stop_requested() ? CFUT_OK : EIO;
}
CFUT_TASK(cancel_myself, int, int);

/* SEM 5: a task that cancels itself is too late, but is asked to stop. */
START_TEST(cancel_of_itself_in_a_task_returns_false)
{
    cfut_executor *pool = test_pool();
    cancel_myself_future f;

    cancel_myself_submit(pool, &f, 0);
    ck_assert_int_eq(cancel_myself_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, 0);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

static int ask_whether_stopped(const int *in, int *out)
{
    (void)in;
    *out = cfut_stop_requested();
    return CFUT_OK;
}
CFUT_TASK(ask_whether_stopped, int, int);

/* SEM 5: the wish to stop does not outlive the run it was meant for. */
START_TEST(cancel_asks_only_the_task_it_was_meant_for)
{
    cfut_executor *pool = pool_of(1);
    ask_whether_stopped_future after;
    until_stopped_future f;
    struct gate started;

    for (int i = 0; i < 3; i++) {
        gate_init(&started);
        until_stopped_submit(pool, &f, &started);
        gate_wait(&started);
        ask_whether_stopped_submit(pool, &after, 0);
        ck_assert(!cfut_cancel(&f.base));
        ck_assert_int_eq(until_stopped_result(&f), EINTR);
        ck_assert_int_eq(ask_whether_stopped_result(&after), CFUT_OK);
        ck_assert_int_eq(after.out, 0);
    }
    ck_assert(!cfut_stop_requested());
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* ---- a second cancel ---- */

struct second {
    cfut_future *f;
    struct gate in_callback, leave;
    thread_number number;
    bool first, again, returned;
    int calls;
};

static void slow_callback(cfut_future *f, void *user)
{
    struct second *s = user;

    s->calls++;
    s->again = cfut_cancel(f);
    gate_open(&s->in_callback);
    gate_wait(&s->leave);
}

static void *first_cancel(void *arg)
{
    struct second *s = arg;

    s->first = cfut_cancel(s->f);
    return NULL;
}

static void *second_cancel(void *arg)
{
    struct second *s = arg;
    bool cancelled;

    announce_thread(&s->number);
    cancelled = cfut_cancel(s->f);
    ck_assert(gate_is_open(&s->leave));
    __atomic_store_n(&s->returned, cancelled, __ATOMIC_SEQ_CST);
    return NULL;
}

/* SEM 6: a second cancel from another thread waits for the callbacks; from a
   callback itself it answers at once. The memory then goes. */
START_TEST(cancel_while_another_runs_callbacks_waits_for_it)
{
    cfut_executor *pool = test_pool();
    struct pages pages;
    struct second s;
    struct crew crew;
    pthread_t first, second;

    memset(&s, 0, sizeof s);
    gate_init(&s.in_callback);
    gate_init(&s.leave);
    pages_init(&pages, 1);
    crew_block(&crew, pool, test_workers());
    s.f = square_submit(pool, page_new(&pages), 2);
    cfut_on_done(s.f, slow_callback, &s);
    first = start_thread(first_cancel, &s);
    gate_wait(&s.in_callback);
    second = start_thread(second_cancel, &s);
    await_asleep(&s.number);
    ck_assert(!__atomic_load_n(&s.returned, __ATOMIC_SEQ_CST));
    gate_open(&s.leave);
    end_thread(second);
    end_thread(first);
    page_free(&pages, s.f);
    ck_assert(s.first && s.again && s.returned);
    ck_assert_int_eq(s.calls, 1);
    crew_release(&crew);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

struct rivals {
    cfut_future **fs;
    pthread_barrier_t barrier;
    int n, rounds, trues;
};

static void *rival_run(void *arg)
{
    struct rivals *r = arg;

    for (int round = 0; round < r->rounds; round++) {
        int trues = 0;

        pthread_barrier_wait(&r->barrier);
        for (int i = 0; i < r->n; i++)
            trues += cfut_cancel(r->fs[i]);
        __atomic_add_fetch(&r->trues, trues, __ATOMIC_SEQ_CST);
        pthread_barrier_wait(&r->barrier);
    }
    return NULL;
}

/* SEM 6, 12: several threads cancel the same futures while workers run them:
   all agree about each, and each callback ran once. */
START_TEST(cancel_in_several_threads_gives_all_the_same_answer)
{
    enum { THREADS = 3, N = 30, ROUNDS = 300 };
    cfut_executor *pool = test_pool();
    note_run_future f[N];
    cfut_future *fs[N];
    struct rivals r = { .fs = fs, .n = N, .rounds = ROUNDS };
    pthread_t threads[THREADS];
    int runs = 0, calls = 0;

    pthread_barrier_init(&r.barrier, NULL, THREADS + 1);
    for (int t = 0; t < THREADS; t++)
        threads[t] = start_thread(rival_run, &r);
    for (int round = 0; round < ROUNDS; round++) {
        int cancelled = 0, before = runs_now(&runs);

        r.trues = 0;
        for (int i = 0; i < N; i++)
            fs[i] = note_run_submit(pool, &f[i], &runs);
        pthread_barrier_wait(&r.barrier);
        pthread_barrier_wait(&r.barrier);
        for (int i = 0; i < N; i++) {
            ck_assert_int_eq(note_run_result(&f[i]), cfut_cancelled(fs[i]) ? CFUT_CANCELLED : 0);
            cancelled += cfut_cancelled(fs[i]);
        }
        ck_assert_int_eq(r.trues, THREADS * cancelled);
        ck_assert_int_eq(runs_now(&runs) - before, N - cancelled);
        calls += cancelled;
    }
    for (int t = 0; t < THREADS; t++)
        end_thread(threads[t]);
    ck_assert_int_eq(calls + runs_now(&runs), N * ROUNDS);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

static void reuse_other(cfut_future *f, void *other)
{
    (void)f;
    ck_assert(cfut_cancel((cfut_future *)other));
}

/* SEM 25: a callback may cancel another future. */
START_TEST(cancel_from_the_callback_of_another_cancel_works)
{
    enum { N = 1000 };
    cfut_executor *pool = test_pool();
    square_future *f = calloc(N, sizeof *f);
    struct crew crew;

    crew_block(&crew, pool, test_workers());
    for (int i = 0; i < N; i++)
        square_submit(pool, &f[i], i);
    for (int i = 0; i + 1 < N; i++)
        ck_assert_int_eq(cfut_on_done(&f[i].base, reuse_other, &f[i + 1].base), CFUT_OK);
    ck_assert(cfut_cancel(&f[0].base));
    for (int i = 0; i < N; i++)
        expect_cancelled(&f[i].base);
    crew_release(&crew);
    free(f);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* ---- waiters wake ---- */

struct sleeper {
    cfut_future *f;
    int kind, answer;
    thread_number number;
    pthread_t thread;
};

/* Waits in one of four ways. */
static void *sleeper_run(void *arg)
{
    struct sleeper *s = arg;
    cfut_future *fs[1] = { s->f };
    cfut_iter it;

    announce_thread(&s->number);
    if (s->kind == 0) {
        s->answer = cfut_result(s->f) == CFUT_CANCELLED;
    } else if (s->kind == 1) {
        s->answer = cfut_result_timeout(s->f, CFUT_SEC(1000)) == CFUT_CANCELLED;
    } else if (s->kind == 2) {
        s->answer = cfut_wait(fs, 1, CFUT_ALL_COMPLETED, CFUT_FOREVER) == 1;
    } else {
        cfut_as_completed(&it, fs, 1, CFUT_FOREVER);
        s->answer = cfut_next(&it) == s->f;
        cfut_iter_end(&it);
    }
    return NULL;
}

/* Cancels one future on which n threads sleep, in the first kinds ways. A woken
   result or wait does not touch the future again, an iterator may. */
static void expect_woken(cfut_executor *pool, int n, int kinds)
{
    struct sleeper s[8];
    struct pages pages;
    cfut_future *f;

    pages_init(&pages, 1);
    f = square_submit(pool, page_new(&pages), 1);
    for (int i = 0; i < n; i++) {
        s[i].f = f;
        s[i].kind = i % kinds;
        atomic_store(&s[i].number, 0);
        s[i].thread = start_thread(sleeper_run, &s[i]);
        await_asleep(&s[i].number);
    }
    ck_assert(cfut_cancel(f));
    if (kinds < 4)
        page_free(&pages, f);
    for (int i = 0; i < n; i++) {
        end_thread(s[i].thread);
        ck_assert_int_eq(s[i].answer, 1);
    }
    pages_end(&pages);
}

/* SEM 7, 8, 42: a true cancel wakes waiters of every kind at once. */
START_TEST(cancel_wakes_every_kind_of_waiter)
{
    cfut_executor *pool = test_pool();
    struct crew crew;

    crew_block(&crew, pool, test_workers());
    for (int kinds = 1; kinds <= 4; kinds++)
        expect_woken(pool, 2 * kinds, kinds);
    crew_release(&crew);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* The waiter owns the future and unmaps it, the canceller has nothing more to
   do with it after its call. */
struct owner {
    note_run_future *f;
    struct pages *pages;
    pthread_barrier_t *barrier;
    int status;
};

static void *owner_run(void *arg)
{
    struct owner *o = arg;

    pthread_barrier_wait(o->barrier);
    o->status = note_run_result(o->f);
    pthread_barrier_wait(o->barrier);
    page_free(o->pages, o->f);
    return NULL;
}

/* SEM 7, 12: result and cancel of two threads at the same time agree. */
START_TEST(cancel_racing_with_result_agrees_with_it)
{
    enum { ROUNDS = 1000 };
    cfut_executor *pool = test_pool();
    struct pages pages;
    pthread_barrier_t barrier;
    int runs = 0;

    pages_init(&pages, ROUNDS);
    pthread_barrier_init(&barrier, NULL, 2);
    for (int i = 0; i < ROUNDS; i++) {
        struct owner o = { page_new(&pages), &pages, &barrier, 0 };
        pthread_t thread;
        bool cancelled;

        note_run_submit(pool, o.f, &runs);
        thread = start_thread(owner_run, &o);
        pthread_barrier_wait(&barrier);
        cancelled = cfut_cancel(&o.f->base);
        pthread_barrier_wait(&barrier);
        end_thread(thread);
        ck_assert_int_eq(o.status, cancelled ? CFUT_CANCELLED : CFUT_OK);
    }
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* ---- completed by hand ---- */

/* SEM 4, 7, 8, 29: cancelled at once for done and result, handed back when the
   producer has acknowledged. */
START_TEST(cancel_by_hand_has_two_steps)
{
    cfut_future f;
    int calls = 0;

    cfut_future_init(&f);
    cfut_on_done(&f, count_call, &calls);
    ck_assert(cfut_cancel(&f));
    ck_assert_int_eq(cfut_future_state(&f), CFUT_STATE_CANCELLED);
    ck_assert_int_eq(calls, 1);
    ck_assert(cfut_done(&f) && cfut_cancelled(&f));
    ck_assert_int_eq(cfut_result(&f), CFUT_CANCELLED);
    ck_assert_int_eq(cfut_finish(&f, CFUT_OK), CFUT_INVALID_STATE);
    ck_assert(!cfut_start(&f));
    ck_assert_int_eq(cfut_future_state(&f), CFUT_STATE_CANCELLED_AND_NOTIFIED);
    ck_assert(cfut_cancel(&f));
    ck_assert_int_eq(calls, 1);
}
END_TEST

/* SEM 5, 29: once started, cancel comes too late. */
START_TEST(cancel_by_hand_after_start_returns_false)
{
    cfut_future f;

    cfut_future_init(&f);
    ck_assert(cfut_start(&f));
    ck_assert(!cfut_cancel(&f));
    ck_assert(cfut_future_snapshot(&f).stop_requested);
    ck_assert_int_eq(cfut_finish(&f, 4), CFUT_OK);
    ck_assert_int_eq(cfut_result(&f), 4);
}
END_TEST

/* ---- reclaim ---- */

/* What waits, what runs, what is done, and NULL: all given back. */
START_TEST(reclaim_gives_back_everything)
{
    cfut_executor *pool = test_pool();
    until_stopped_future running;
    square_future queued[SOME], done, refused;
    cfut_future *fs[SOME + 5] = { NULL };
    struct gate started;
    struct crew crew;

    gate_init(&started);
    square_submit(pool, &done, 2);
    ck_assert_int_eq(square_result(&done), CFUT_OK);
    until_stopped_submit(pool, &running, &started);
    gate_wait(&started);
    crew_block(&crew, pool, test_workers() - 1);
    for (int i = 0; i < SOME; i++)
        fs[i] = square_submit(pool, &queued[i], i);
    fs[SOME] = &running.base;
    fs[SOME + 1] = &done.base;
    fs[SOME + 3] = square_submit(NULL, &refused, 1);
    cfut_reclaim(fs, SOME + 5);
    ck_assert_ptr_eq(fs[SOME], &running.base);
    ck_assert_ptr_null(fs[SOME + 2]);
    ck_assert_int_eq(until_stopped_result(&running), EINTR);
    ck_assert_int_eq(square_result(&done), CFUT_OK);
    for (int i = 0; i < SOME; i++)
        expect_cancelled(&queued[i].base);
    crew_release(&crew);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

/* Nothing to do. */
START_TEST(reclaim_of_nothing_returns)
{
    cfut_future *none[3] = { NULL, NULL, NULL };

    cfut_reclaim(none, 3);
    cfut_reclaim(none, 0);
    cfut_reclaim(NULL, 0);
}
END_TEST

/* Under load, in pages that go at once. */
START_TEST(reclaim_racing_with_workers_gives_back_pages)
{
    enum { N = 16, ROUNDS = 800 };
    cfut_executor *pool = test_pool();
    struct pages pages;
    int runs = 0;

    pages_init(&pages, N * ROUNDS);
    for (int round = 0; round < ROUNDS; round++) {
        cfut_future *fs[N];

        for (int i = 0; i < N; i++)
            fs[i] = note_run_submit(pool, page_new(&pages), &runs);
        cfut_reclaim(fs, N);
        for (int i = 0; i < N; i++)
            page_free(&pages, fs[i]);
    }
    ck_assert_int_eq(cfut_shutdown(pool, CFUT_DRAIN), CFUT_OK);
    ck_assert_int_le(runs, N * ROUNDS);
}
END_TEST

static int leave_early(const int *n, int *out)
{
    square_future f[SOME];
    cfut_future *fs[SOME];

    for (int i = 0; i < SOME; i++)
        fs[i] = square_submit(cfut_current(), &f[i], *n);
    cfut_reclaim(fs, SOME);
    *out = 0;
    for (int i = 0; i < SOME; i++)
        *out += cfut_done(fs[i]);
    return CFUT_OK;
}
CFUT_TASK(leave_early, int, int);

/* SEM 81: inside a task, with one worker. */
START_TEST(reclaim_inside_a_task_returns)
{
    cfut_executor *one = pool_of(1), *pool = test_pool();
    leave_early_future f[100];

    for (int i = 0; i < 100; i++)
        leave_early_submit(i % 2 ? one : pool, &f[i], i);
    for (int i = 0; i < 100; i++) {
        ck_assert_int_eq(leave_early_result(&f[i]), CFUT_OK);
        ck_assert_int_eq(f[i].out, SOME);
    }
    cfut_shutdown(one, CFUT_DRAIN);
    cfut_shutdown(pool, CFUT_DRAIN);
}
END_TEST

struct producer { cfut_future *f; struct gate waiting; };

static void *producer_run(void *arg)
{
    struct producer *p = arg;

    while (!cfut_done(p->f))
        test_sleep(CFUT_US(100));
    ck_assert(!cfut_start(p->f));
    return NULL;
}

/* SEM 8, 29: by hand: it returns when the producer has acknowledged. */
START_TEST(reclaim_by_hand_waits_for_the_producer)
{
    struct pages pages;
    struct producer p;
    pthread_t thread;

    pages_init(&pages, 1);
    p.f = page_new(&pages);
    cfut_future_init(p.f);
    thread = start_thread(producer_run, &p);
    cfut_reclaim(&p.f, 1);
    ck_assert_int_eq(cfut_future_state(p.f), CFUT_STATE_CANCELLED_AND_NOTIFIED);
    end_thread(thread);
    page_free(&pages, p.f);
}
END_TEST

/* ---- cancelling close against cancel ---- */

/* SEM 67, 69: both at once: every future reaches one final state. */
START_TEST(cancel_racing_with_cancelling_shutdown_is_exact)
{
    enum { N = 40, ROUNDS = 200 };
    note_run_future f[N];
    cfut_future *fs[N];
    struct rivals r = { .fs = fs, .n = N, .rounds = ROUNDS };
    pthread_t thread;

    pthread_barrier_init(&r.barrier, NULL, 2);
    thread = start_thread(rival_run, &r);
    for (int round = 0; round < ROUNDS; round++) {
        cfut_executor *pool = test_pool();
        int runs = 0, cancelled = 0;

        for (int i = 0; i < N; i++)
            fs[i] = note_run_submit(pool, &f[i], &runs);
        pthread_barrier_wait(&r.barrier);
        ck_assert_int_eq(cfut_shutdown(pool, CFUT_CANCEL_PENDING), CFUT_OK);
        pthread_barrier_wait(&r.barrier);
        for (int i = 0; i < N; i++) {
            ck_assert(cfut_done(fs[i]));
            cancelled += cfut_cancelled(fs[i]);
        }
        ck_assert_int_eq(runs + cancelled, N);
    }
    end_thread(thread);
}
END_TEST

static void fill_true(TCase *tc)
{
    tcase_add_test(tc, cancel_when_every_worker_is_busy_gives_the_memory_back_at_once);
    tcase_add_test(tc, cancel_in_random_order_leaves_the_others_to_run);
    tcase_add_test(tc, cancel_of_many_in_random_order_gives_all_back);
    tcase_add_test(tc, cancel_then_submit_again_runs_it_once);
    tcase_add_test(tc, cancel_just_before_shutdown_does_not_hang);
    tcase_add_test(tc, cancel_from_outside_of_a_workers_own_tasks_gives_them_back);
    tcase_add_test(tc, cancel_inside_a_task_of_its_own_children_gives_them_back);
    tcase_add_test(tc, cancel_inside_tasks_racing_with_thieves_is_exact);
    tcase_add_test(tc, cancel_racing_with_run_is_exact);
    tcase_add_test(tc, cancel_in_a_moving_window_racing_with_workers_is_exact);
}

static void fill(TCase *tc)
{
    fill_true(tc);
    tcase_add_test(tc, cancel_when_running_returns_false_and_asks_to_stop);
    tcase_add_test(tc, cancel_when_done_returns_false);
    tcase_add_test(tc, cancel_when_cancelled_returns_true_without_callbacks);
    tcase_add_test(tc, cancel_of_itself_in_a_task_returns_false);
    tcase_add_test(tc, cancel_asks_only_the_task_it_was_meant_for);
    tcase_add_test(tc, cancel_while_another_runs_callbacks_waits_for_it);
    tcase_add_test(tc, cancel_in_several_threads_gives_all_the_same_answer);
    tcase_add_test(tc, cancel_from_the_callback_of_another_cancel_works);
    tcase_add_test(tc, cancel_wakes_every_kind_of_waiter);
    tcase_add_test(tc, cancel_racing_with_result_agrees_with_it);
    tcase_add_test(tc, cancel_by_hand_has_two_steps);
    tcase_add_test(tc, cancel_by_hand_after_start_returns_false);
    tcase_add_test(tc, reclaim_gives_back_everything);
    tcase_add_test(tc, reclaim_of_nothing_returns);
    tcase_add_test(tc, reclaim_racing_with_workers_gives_back_pages);
    tcase_add_test(tc, reclaim_inside_a_task_returns);
    tcase_add_test(tc, reclaim_by_hand_waits_for_the_producer);
    tcase_add_test(tc, cancel_racing_with_cancelling_shutdown_is_exact);
}

int main(void)
{
    return harness_main("cancel", fill);
}
