/* test_races.c: interleavings that once lost a task, hung, or touched memory
   that was gone. Each is staged at the very step where it happens: a thread
   lays an ambush on a word of the library, and acts when it comes by there. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- ambushes ---- */

/* What springs one: the thread is about to load the word, or to change it; it
   has just stored into it; it has just slept on any word. */
enum { LOADS = 1, WRITES = 2, STORED = 4, SLEPT = 8 };

/* Each thread has one, good for one time. */
struct ambush {
    int kinds;
    uintptr_t word;
    int passes;                     /* how often the thread goes by first */
    void (*act)(void *);
    void *arg;
};
static _Thread_local struct ambush ambush;
static _Thread_local uintptr_t written, instead;

static void lay_ambush(int kinds, const void *word, int passes, void (*act)(void *), void *arg)
{
    ambush = (struct ambush){ kinds, (uintptr_t)word, passes, act, arg };
}

static void come_by(int kind, uintptr_t word)
{
    if (!(ambush.kinds & kind) || (kind != SLEPT && ambush.word != word))
        return;
    if (ambush.passes-- > 0)
        return;
    ambush.kinds = 0;
    ambush.act(ambush.arg);
}

/* An act may have the load read another word: a value that was there before. */
static uintptr_t at_load(uintptr_t word)
{
    uintptr_t other;

    come_by(LOADS, word);
    other = instead;
    instead = 0;
    return other ? other : word;
}

static uintptr_t at_write(uintptr_t word)
{
    come_by(WRITES, word);
    written = word;
    return word;
}

static void at_stored(void) { come_by(STORED, written); }

static void at_slept(void) { come_by(SLEPT, 0); }

#define LOAD_AT(p) ((__typeof__(p))at_load((uintptr_t)(p)))
#define WRITE_AT(p) ((__typeof__(p))at_write((uintptr_t)(p)))

#define CFUTI_ATOMICS
#define cfuti_load_relaxed(p) __atomic_load_n(LOAD_AT(p), __ATOMIC_RELAXED)
#define cfuti_load_acquire(p) __atomic_load_n(LOAD_AT(p), __ATOMIC_ACQUIRE)
#define cfuti_load_seq_cst(p) __atomic_load_n(LOAD_AT(p), __ATOMIC_SEQ_CST)
#define cfuti_store_relaxed(p, v) \
    (__atomic_store_n(WRITE_AT(p), v, __ATOMIC_RELAXED), at_stored())
#define cfuti_store_release(p, v) \
    (__atomic_store_n(WRITE_AT(p), v, __ATOMIC_RELEASE), at_stored())
#define cfuti_exchange_acquire(p, v) __atomic_exchange_n(WRITE_AT(p), v, __ATOMIC_ACQUIRE)
#define cfuti_exchange_seq_cst(p, v) __atomic_exchange_n(WRITE_AT(p), v, __ATOMIC_SEQ_CST)
#define cfuti_add_relaxed(p, v) __atomic_fetch_add(WRITE_AT(p), v, __ATOMIC_RELAXED)
#define cfuti_add_release(p, v) __atomic_fetch_add(WRITE_AT(p), v, __ATOMIC_RELEASE)
#define cfuti_add_seq_cst(p, v) __atomic_fetch_add(WRITE_AT(p), v, __ATOMIC_SEQ_CST)
#define cfuti_and_release(p, v) __atomic_fetch_and(WRITE_AT(p), v, __ATOMIC_RELEASE)
#define cfuti_cas_acquire(p, e, v) \
    __atomic_compare_exchange_n(WRITE_AT(p), e, v, 0, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)
#define cfuti_cas_acq_rel(p, e, v) \
    __atomic_compare_exchange_n(WRITE_AT(p), e, v, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)
#define cfuti_wait_word(word, expected, deadline) \
    (cfuti_sys_wait(word, expected, deadline), at_slept())

#define HARNESS_FAULTS
#include "harness.h"
#include "fixtures.h"

#include <sys/wait.h>

/* ---- helpers ---- */

/* How long to wait for what must not happen. */
#define A_WHILE CFUT_MS(20)

static cfut_ns patience(void)
{
    return test_time(CFUT_SEC(HARNESS_GATE_S));
}

static cfuti_pool *inside(cfut_executor *ex)
{
    return cfuti_pool_of(ex);
}

static bool nothing_to_claim(cfuti_pool *p)
{
    return cfuti_load_acquire(&p->head) == cfuti_load_acquire(&p->tail);
}

static void await_all_claimed(cfuti_pool *p)
{
    cfut_ns end = test_now() + patience();

    while (!nothing_to_claim(p) && test_now() < end)
        test_sleep(CFUT_US(100));
    ck_assert(nothing_to_claim(p));
}

static size_t parked_in(cfuti_pool *p)
{
    size_t n;

    cfuti_lock(&p->lock);
    n = p->parked;
    cfuti_unlock(&p->lock);
    return n;
}

static void await_parked(cfuti_pool *p, size_t n)
{
    cfut_ns end = test_now() + patience();

    while (parked_in(p) != n && test_now() < end)
        test_sleep(CFUT_US(100));
    ck_assert_uint_eq(parked_in(p), n);
}

/* As if the inbox were full: what comes now goes to the spill list. */
static void block_inbox(cfuti_pool *p, bool block)
{
    cfuti_lock(&p->lock);
    cfuti_store_relaxed(cfuti_inbox_slot(p, p->tail),
                        (uintptr_t)(block ? CFUTI_DEAD : CFUTI_EMPTY));
    cfuti_unlock(&p->lock);
}

/* A callback that stays for as long as a test wants. */
static void stay(cfut_future *f, void *user)
{
    struct hold *h = user;

    (void)f;
    gate_open(&h->started);
    gate_wait(&h->release);
}

struct call { cfut_executor *ex; cfut_future *f; int how, status; struct gate over; };

static void *run_close(void *arg)
{
    struct call *c = arg;

    cfut_close(c->ex, c->how);
    return NULL;
}

static void *run_shutdown(void *arg)
{
    struct call *c = arg;

    c->status = cfut_shutdown(c->ex, c->how);
    gate_open(&c->over);
    return NULL;
}

static void *run_cancel(void *arg)
{
    struct call *c = arg;

    c->status = cfut_cancel(c->f);
    return NULL;
}

/* ---- the boundary of a deque, and light ends ---- */

struct family;
static int family_child(struct family *const *in, int *out);
CFUT_TASK(family_child, struct family *, int);

/* A task that has one child in its deque, and a thread that interferes when the
   task comes by some step. */
struct family {
    square_future child;
    family_child_future talker;
    struct call cancel;
    struct counter told;
    pthread_t stranger;
    int kinds, passes;              /* of the ambush on the child's state */
};

static void cancel_at_once(void *family)
{
    struct family *m = family;

    thread_end(thread_start(run_cancel, &m->cancel));
}

static int join_while_cancelled(struct family *const *in);
CFUT_ACTION(join_while_cancelled, struct family *);

/* kinds WRITES: before bot is lowered, in the wait; LOADS: before lim is read. */
static int join_while_cancelled(struct family *const *in)
{
    struct family *m = *in;
    cfuti_worker *w = cfuti_self()->worker;

    square_submit(cfut_current(), &m->child, 3);
    m->cancel.f = &m->child.base;
    if (m->kinds == WRITES)
        lay_ambush(WRITES, &w->deque.bot, 0, cancel_at_once, m);
    else
        lay_ambush(LOADS, &w->deque.lim, 0, cancel_at_once, m);
    m->cancel.how = square_result(&m->child);
    ck_assert_int_eq(ambush.kinds, 0);
    return 0;
}

static void expect_cancel_against_claim(int kinds, bool cancelled)
{
    cfut_executor *ex = pool_of(1);
    struct family m = { .kinds = kinds };
    join_while_cancelled_future f;

    join_while_cancelled_submit(ex, &f, &m);
    ck_assert_int_eq(join_while_cancelled_result(&f), CFUT_OK);
    ck_assert_int_eq(m.cancel.status, cancelled);
    ck_assert_int_eq(m.cancel.how, cancelled ? CFUT_CANCELLED : CFUT_OK);
    end_pool(ex);
}

/* SEM 9: the canceller raises the boundary above a task that its owner is just
   about to take, and the owner sees it. */
START_TEST(cancel_just_before_the_owner_takes_its_task_wins)
{
    expect_cancel_against_claim(WRITES, true);
}
END_TEST

/* SEM 10: the owner has lowered bot: the canceller sees that, and lets go. */
START_TEST(cancel_while_the_owner_takes_its_task_loses)
{
    expect_cancel_against_claim(LOADS, false);
}
END_TEST

/* A task that has forked two children, and a thief. */
struct forks { square_future child[2]; cfuti_worker *victim; cfut_future *stolen; };

static void *steal_and_run(void *arg)
{
    struct forks *m = arg;

    m->stolen = cfuti_deque_steal(m->victim, true);
    if (m->stolen)
        cfuti_execute(cfuti_self(), m->stolen);
    return NULL;
}

static void steal_at_once(void *forks)
{
    thread_end(thread_start(steal_and_run, forks));
}

struct theft { struct forks forks; int kinds, children; };

static int join_while_robbed(struct theft *const *in)
{
    struct theft *m = *in;
    cfuti_worker *w = m->forks.victim = cfuti_self()->worker;
    int bad = 0;

    for (int i = 0; i < m->children; i++)
        square_fork(&m->forks.child[i], 3 + i);
    if (m->kinds == WRITES)
        lay_ambush(WRITES, &w->deque.bot, 0, steal_at_once, &m->forks);
    else
        lay_ambush(LOADS, &w->deque.lim, 0, steal_at_once, &m->forks);
    for (int i = m->children - 1; i >= 0; i--)
        bad += square_join(&m->forks.child[i]) != CFUT_OK ||
               m->forks.child[i].out != (3 + i) * (3 + i);
    ck_assert_int_eq(ambush.kinds, 0);
    return bad;
}
CFUT_ACTION(join_while_robbed, struct theft *);

static cfut_future *stolen_at_a_join(struct theft *m, int kinds, int children)
{
    cfut_executor *ex = pool_of(1);
    join_while_robbed_future f;

    memset(m, 0, sizeof *m);
    m->kinds = kinds;
    m->children = children;
    join_while_robbed_submit(ex, &f, m);
    ck_assert_int_eq(join_while_robbed_result(&f), CFUT_OK);
    end_pool(ex);
    return m->forks.stolen;
}

/* A join has found its fork to be the newest, and has not lowered bot: the thief
   gets it. Of two, the older one. */
START_TEST(theft_just_before_a_join_lowers_bot_succeeds)
{
    struct theft m;

    ck_assert_ptr_eq(stolen_at_a_join(&m, WRITES, 1), &m.forks.child[0].base);
    ck_assert_ptr_eq(stolen_at_a_join(&m, WRITES, 2), &m.forks.child[0].base);
}
END_TEST

/* It has: the thief gets nothing, or the older one. */
START_TEST(theft_just_after_a_join_has_lowered_bot_leaves_that_fork)
{
    struct theft m;

    ck_assert_ptr_null(stolen_at_a_join(&m, LOADS, 1));
    ck_assert_ptr_eq(stolen_at_a_join(&m, LOADS, 2), &m.forks.child[0].base);
}
END_TEST

/* The forker asks for its fork while the thief has taken it out, and is about to
   write what the fork left out. */
struct look { struct forks forks; pthread_t thief; };

static void let_forker_ask(void *unused)
{
    (void)unused;
    test_sleep(A_WHILE);
}

/* As it is no worker, it says that it will go on, as a closing thread does. */
static void count_as_failing(cfuti_pool *p, bool begin)
{
    cfuti_lock(&p->lock);
    p->failing = begin ? p->failing + 1 : p->failing - 1;
    cfuti_unlock(&p->lock);
}

static void *steal_slowly(void *arg)
{
    struct forks *m = arg;

    lay_ambush(LOADS, &m->child[0].base.state, 0, let_forker_ask, NULL);
    return steal_and_run(m);
}

static int look_at_a_robbed_fork(struct look *const *in)
{
    struct look *m = *in;
    cfuti_worker *w = m->forks.victim = cfuti_self()->worker;

    count_as_failing(w->pool, true);
    square_fork(&m->forks.child[0], 3);
    m->thief = thread_start(steal_slowly, &m->forks);
    while (cfuti_load_relaxed(&w->top) == w->deque.bot - 1)
        test_sleep(CFUT_US(100));
    if (cfut_cancel(&m->forks.child[0].base) || square_result(&m->forks.child[0]) != CFUT_OK)
        return 1;
    count_as_failing(w->pool, false);
    return m->forks.child[0].out == 9 && square_join(&m->forks.child[0]) == CFUT_OK ? CFUT_OK : 2;
}
CFUT_ACTION(look_at_a_robbed_fork, struct look *);

START_TEST(forker_that_asks_while_a_thief_takes_its_fork_waits_for_him)
{
    cfut_executor *ex = pool_of(1);
    struct look m;
    look_at_a_robbed_fork_future f;

    memset(&m, 0, sizeof m);
    look_at_a_robbed_fork_submit(ex, &f, &m);
    ck_assert_int_eq(look_at_a_robbed_fork_result(&f), CFUT_OK);
    thread_end(m.thief);
    end_pool(ex);
}
END_TEST

static void count_told(cfut_future *f, void *user)
{
    (void)f;
    counter_add(user, 1);
}

static void *add_callback(void *arg)
{
    struct family *m = arg;

    return cfut_on_done(m->cancel.f, count_told, &m->told) == CFUT_OK ? m : NULL;
}

static void let_stranger_lock(void *family)
{
    struct family *m = family;

    m->stranger = thread_start(add_callback, m);
    test_sleep(A_WHILE);
}

static int family_child(struct family *const *in, int *out)
{
    struct family *m = *in;

    *out = 1;
    if (m->kinds == STORED)         /* before the worker names the child */
        lay_ambush(WRITES, &cfuti_self()->finishing, 0, let_stranger_lock, m);
    else
        lay_ambush(m->kinds, &m->cancel.f->state, m->passes, let_stranger_lock, m);
    return CFUT_OK;
}

static int have_child(struct family *const *in);
CFUT_ACTION(have_child, struct family *);

static int have_child(struct family *const *in)
{
    family_child_future *child = &(*in)->talker;

    (*in)->cancel.f = &child->base;
    family_child_submit(cfut_current(), child, *in);
    return family_child_result(child);
}

static void expect_callback_runs_once(int kinds, int passes)
{
    cfut_executor *ex = pool_of(1);
    struct family m = { .kinds = kinds, .passes = passes };
    have_child_future f;
    void *ok;

    counter_init(&m.told);
    have_child_submit(ex, &f, &m);
    ck_assert_int_eq(have_child_result(&f), CFUT_OK);
    ck_assert_int_eq(pthread_join(m.stranger, &ok), 0);
    ck_assert_ptr_nonnull(ok);
    ck_assert_int_eq(counter_get(&m.told), 1);
    end_pool(ex);
}

/* SEM 16: the first lock on a future comes before its finisher has looked, or
   between that and the final store. */
START_TEST(callback_added_while_a_worker_finishes_its_own_child_runs_once)
{
    expect_callback_runs_once(LOADS, 0);
    if (cfuti_asymmetric) {
        expect_callback_runs_once(STORED, 0);
        expect_callback_runs_once(LOADS, 1);
    }
    expect_callback_runs_once(WRITES, 0);
}
END_TEST

/* ---- the end of a pool ---- */

/* In the closing thread, between two of its looks at the workers. */
static void let_pool_end(void *pool)
{
    cfuti_pool *p = pool;
    cfut_ns end = test_now() + A_WHILE;

    while (cfuti_load_acquire(&p->ended) < 2 && test_now() < end)
        test_sleep(CFUT_MS(1));
}

/* SEM 66, 67: the pool is idle, so it is over as soon as it is closed, and its
   last worker would free it; the closing thread still looks for tasks there. */
START_TEST(detaching_shutdown_of_idle_pool_has_its_workers_to_the_end)
{
    cfut_executor *ex = pool_of(2);
    cfuti_pool *p = inside(ex);
    square_future f;

    square_submit(ex, &f, 3);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    lay_ambush(LOADS, &p->high, 0, let_pool_end, p);
    ck_assert_int_eq(cfut_shutdown(ex, CFUT_CANCEL_PENDING | CFUT_DETACH), CFUT_OK);
    ck_assert_int_eq(ambush.kinds, 0);
    while (cfuti_load_acquire(&p->ended) < 2)
        test_sleep(CFUT_MS(1));
}
END_TEST

/* SEM 65, 67: a thread is in the callback of a task that it cancels in closing;
   another one shuts the pool down, which must not go before the first is out. */
START_TEST(shutdown_beside_a_cancelling_close_waits_for_its_callbacks)
{
    struct busy_pool b;
    cfut_executor *ex = busy_pool_open(&b);
    struct call close = { .ex = ex, .how = CFUT_CANCEL_PENDING }, end = { .ex = ex };
    struct hold callback;
    square_future f;
    pthread_t closer, ender;

    hold_init(&callback);
    gate_init(&end.over);
    square_submit(ex, &f, 3);
    cfut_on_done(&f.base, stay, &callback);
    closer = thread_start(run_close, &close);
    gate_wait(&callback.started);
    busy_pool_free_worker(&b);
    ender = thread_start(run_shutdown, &end);
    test_sleep(A_WHILE);
    ck_assert(!gate_is_open(&end.over));
    gate_open(&callback.release);
    thread_end(closer);
    thread_end(ender);
    ck_assert_int_eq(end.status, CFUT_OK);
    ck_assert_int_eq(square_result(&f), CFUT_CANCELLED);
}
END_TEST

static struct gate may_begin;

static int begin_late(void *unused)
{
    (void)unused;
    gate_wait(&may_begin);
    return 0;
}

static void let_worker_claim(void *pool)
{
    gate_open(&may_begin);
    await_all_claimed(pool);
}

/* SEM 67: the closing thread sees one task in the inbox; before it has read
   head, a worker claims the task: now there is nothing, not in the list either. */
START_TEST(close_while_a_worker_claims_the_last_task_loses_nothing)
{
    cfut_executor *ex;
    square_future f;

    gate_init(&may_begin);
    ex = cfut_thread_pool(&(cfut_thread_pool_desc){ .max_workers = 1, .initializer = begin_late });
    square_submit(ex, &f, 3);
    lay_ambush(LOADS, &inside(ex)->head, 1, let_worker_claim, inside(ex));
    cfut_close(ex, CFUT_CANCEL_PENDING);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, 9);
    end_pool(ex);
}
END_TEST

/* SEM 67: closes a pool with n tasks in its spill list. The inbox is empty and
   takes them in, or is full still. */
static void expect_spilled_cancelled(bool full)
{
    enum { N = 10 };
    struct busy_pool b;
    cfut_executor *ex = busy_pool_open(&b);
    square_future f[N];

    block_inbox(inside(ex), true);
    for (int i = 0; i < N; i++)
        square_submit(ex, &f[i], i);
    ck_assert_ptr_eq(inside(ex)->spill_first, &f[0].base);
    if (!full)
        block_inbox(inside(ex), false);
    cfut_close(ex, CFUT_CANCEL_PENDING);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(square_result_timeout(&f[i], 0), CFUT_CANCELLED);
    if (full)
        block_inbox(inside(ex), false);
    busy_pool_end(&b);
}

START_TEST(cancelling_close_reaches_what_had_spilled)
{
    expect_spilled_cancelled(false);
    expect_spilled_cancelled(true);
}
END_TEST

/* One task at a time, not in a stream: the inbox begins again where it has memory. */
START_TEST(inbox_that_never_holds_much_stays_small)
{
    enum { STEP = CFUTI_INBOX_STEP };
    cfut_executor *ex = pool_of(1);
    square_future f;

    for (int i = 0; i < 3 * STEP; i++) {
        if (i % STEP == 0) test_sleep(CFUT_MS(1));
        square_submit(ex, &f, 7);
        ck_assert_int_eq(square_result(&f), CFUT_OK);
    }
    ck_assert_uint_eq(inside(ex)->reached, SIZE_MAX > UINT32_MAX ? STEP : 3 * STEP);
    end_pool(ex);
}
END_TEST

/* What waits is not passed over. */
START_TEST(inbox_that_fills_takes_more_memory)
{
    enum { STEP = CFUTI_INBOX_STEP, N = 2 * STEP };
    static square_future f[N];
    struct busy_pool b;
    cfut_executor *ex = busy_pool_open(&b);

    for (int i = 0; i < N; i++) {
        if (i % STEP == 0) test_sleep(CFUT_MS(1));
        square_submit(ex, &f[i], i);
    }
    ck_assert_uint_eq(inside(ex)->reached, N + STEP);
    busy_pool_free_worker(&b);
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(square_result(&f[i]), CFUT_OK);
        ck_assert_int_eq(f[i].out, i * i);
    }
    end_pool(ex);
}
END_TEST

static void shut_down(cfut_future *f, void *user)
{
    struct call *c = user;

    (void)f;
    c->status = cfut_shutdown(c->ex, c->how);
}

/* SEM 25, 70: the pool's end waits for the closing thread, which runs the
   callback: that cannot wait for the end. */
START_TEST(callback_of_a_cancelling_close_that_shuts_down_gets_deadlock)
{
    struct busy_pool b;
    struct call c = { .ex = busy_pool_open(&b), .how = CFUT_DRAIN };
    square_future f;

    square_submit(c.ex, &f, 3);
    cfut_on_done(&f.base, shut_down, &c);
    cfut_close(c.ex, CFUT_CANCEL_PENDING);
    ck_assert_int_eq(c.status, CFUT_DEADLOCK);
    ck_assert_int_eq(square_result(&f), CFUT_CANCELLED);
    busy_pool_end(&b);
}
END_TEST

/* ---- the queue ---- */

struct claim { cfuti_pool *pool; size_t old_tail; struct gate here, leave, *other, misled; };

static void read_old_tail(void *arg)
{
    struct claim *c = arg;

    instead = (uintptr_t)&c->old_tail;
    gate_open(&c->misled);
}

static void let_other_claim(void *arg)
{
    struct claim *c = arg;

    gate_open(c->other);
    await_all_claimed(c->pool);
    lay_ambush(LOADS, &c->pool->tail, 0, read_old_tail, c);
}

/* The next that its worker does is to look into the inbox, and to claim. */
static int claim_late(struct claim *const *claim)
{
    struct claim *c = *claim;

    gate_open(&c->here);
    gate_wait(&c->leave);
    lay_ambush(LOADS, &c->pool->head, 1, let_other_claim, c);
    return CFUT_OK;
}
CFUT_ACTION(claim_late, struct claim *);

/* A worker sees a task in the inbox, another one claims that. The first now
   reads the new head and, as the memory model allows, a tail of before. */
START_TEST(claim_with_a_tail_older_than_head_takes_nothing)
{
    cfut_executor *ex = pool_of(2);
    cfuti_pool *p = inside(ex);
    struct claim c = { .pool = p };
    struct hold hold;
    occupy_future other;
    claim_late_future late;
    square_future f, last;

    gate_init(&c.here);
    gate_init(&c.leave);
    gate_init(&c.misled);
    hold_worker(ex, &other, &hold);
    c.other = &hold.release;
    claim_late_submit(ex, &late, &c);
    gate_wait(&c.here);
    c.old_tail = p->tail;
    square_submit(ex, &last, 2);
    gate_open(&c.leave);
    ck_assert_int_eq(square_result_timeout(&last, patience()), CFUT_OK);
    gate_wait(&c.misled);
    await_parked(p, 2);
    square_submit(ex, &f, 3);
    ck_assert_int_eq(square_result_timeout(&f, patience()), CFUT_OK);
    ck_assert_int_eq(occupy_result(&other), CFUT_OK);
    ck_assert_int_eq(claim_late_result(&late), CFUT_OK);
    end_pool(ex);
}
END_TEST

struct move { cfut_future *target; struct gate moving; };

static void linger_while_moving(void *arg)
{
    struct move *m = arg;

    gate_open(&m->moving);
    test_sleep(A_WHILE);
}

/* The next that its worker does is to move the spill list into the inbox. The
   first store into the second one's slot is when the first leaves the list. */
static int move_late(struct move *const *move)
{
    lay_ambush(STORED, &(*move)->target->slot, 1, linger_while_moving, *move);
    return CFUT_OK;
}
CFUT_ACTION(move_late, struct move *);

/* SEM 4: a future moves from the spill list to the inbox: for a moment it stands
   in neither, and its canceller has to wait. */
START_TEST(cancel_while_a_future_moves_to_the_inbox_succeeds)
{
    struct busy_pool b;
    cfut_executor *ex = busy_pool_open(&b);
    struct hold hold;
    occupy_future first;
    square_future f;
    struct move m = { .target = &f.base };
    move_late_future mover;

    hold_init(&hold);
    gate_init(&m.moving);
    move_late_submit(ex, &mover, &m);
    block_inbox(inside(ex), true);
    occupy_submit(ex, &first, &hold);
    square_submit(ex, &f, 3);
    block_inbox(inside(ex), false);
    busy_pool_free_worker(&b);
    gate_wait(&m.moving);
    ck_assert(cfut_cancel(&f.base));
    ck_assert_int_eq(square_result(&f), CFUT_CANCELLED);
    gate_open(&hold.release);
    ck_assert_int_eq(occupy_result(&first), CFUT_OK);
    ck_assert_int_eq(move_late_result(&mover), CFUT_OK);
    end_pool(ex);
}
END_TEST

struct nest { cfut_executor *ex; square_future inner, next; int status; struct gate over; };

/* Runs one task on the spot; then its worker counts as busy still. */
static void nest_then_wait(cfut_future *f, void *user)
{
    struct nest *n = user;

    (void)f;
    square_submit(cfut_inline_executor(), &n->inner, 2);
    square_submit(n->ex, &n->next, 3);
    n->status = square_result_timeout(&n->next, patience());
    gate_open(&n->over);
}

/* SEM 73, 74: a callback has run a task, and waits with a limit for another: a
   thread is started for that one. */
START_TEST(callback_that_ran_a_task_does_not_count_as_idle)
{
    struct nest n = { .ex = pool_of(2) };
    struct hold hold;
    occupy_future f;

    gate_init(&n.over);
    hold_worker(n.ex, &f, &hold);
    cfut_on_done(&f.base, nest_then_wait, &n);
    gate_open(&hold.release);
    gate_wait(&n.over);
    ck_assert_int_eq(n.status, CFUT_OK);
    ck_assert_uint_eq(cfut_executor_workers(n.ex), 2);
    ck_assert_int_eq(occupy_result(&f), CFUT_OK);
    end_pool(n.ex);
}
END_TEST

/* ---- waits ---- */

struct meeting { cfut_future a, b, last; struct gate go, arrived; };

static void let_other_arrive(void *arg)
{
    struct meeting *m = arg;

    gate_open(&m->go);
    gate_wait(&m->arrived);
}

static void linger_before_final(void *arg)
{
    struct meeting *m = arg;

    gate_open(&m->arrived);
    test_sleep(A_WHILE);
}

/* Changes the state twice: to lock it, and to make it final. */
static void *finish_slowly(void *arg)
{
    struct meeting *m = arg;

    gate_wait(&m->go);
    lay_ambush(WRITES, &m->b.state, 1, linger_before_final, m);
    cfut_finish(&m->b, CFUT_OK);
    cfut_finish(&m->last, CFUT_OK);
    return NULL;
}

static void *wait_result(void *f)
{
    cfut_result(f);
    return NULL;
}

static void *wait_set(void *f)
{
    cfut_future *fs[1] = { f };

    cfut_wait(fs, 1, CFUT_ALL_COMPLETED, CFUT_FOREVER);
    return NULL;
}

static void await_flag(cfut_future *f, uint32_t flag)
{
    cfut_ns end = test_now() + patience();

    while (!(cfuti_load_acquire(&f->state) & flag) && test_now() < end)
        test_sleep(CFUT_US(100));
    ck_assert(cfuti_load_acquire(&f->state) & flag);
}

/* SEM 43: an iterator has seen that one is there, and comes to take the list;
   meanwhile another one arrives, which has a second waiter: it is in the list
   before it is final. */
START_TEST(iter_yields_nothing_that_is_not_final)
{
    struct meeting m;
    cfut_future *fs[3] = { &m.a, &m.b, &m.last }, *f;
    pthread_t waiter, finisher;
    cfut_iter it;
    int n = 0;

    gate_init(&m.go);
    gate_init(&m.arrived);
    cfut_future_init(&m.a);
    cfut_future_init(&m.b);
    cfut_future_init(&m.last);
    ck_assert_int_eq(cfut_as_completed(&it, fs, 3, CFUT_FOREVER), CFUT_OK);
    waiter = thread_start(wait_result, &m.b);
    await_flag(&m.b, CFUTI_WAITERS);
    finisher = thread_start(finish_slowly, &m);
    cfut_finish(&m.a, CFUT_OK);
    lay_ambush(STORED, &it.c.lock, 0, let_other_arrive, &m);
    for (; (f = cfut_next(&it)) != NULL; n++)
        ck_assert_int_eq(cfut_future_state(f), CFUT_STATE_FINISHED);
    ck_assert_int_eq(n, 3);
    thread_end(finisher);
    thread_end(waiter);
}
END_TEST

struct claimers { cfut_future f; cfut_iter one, two; struct gate claimed, leave; };

static void stay_claiming(void *arg)
{
    struct claimers *c = arg;

    gate_open(&c->claimed);
    gate_wait(&c->leave);
}

static void *claim_first(void *arg)
{
    struct claimers *c = arg;
    cfut_future *fs[1] = { &c->f };

    lay_ambush(WRITES, &c->f.owner, 0, stay_claiming, c);
    cfut_as_completed(&c->one, fs, 1, CFUT_FOREVER);
    return NULL;
}

/* SEM 44: two iterators over one finished future. The first has claimed it, and
   not yet written its name; the name of the second, which yielded the future
   before, must not be there any more. */
START_TEST(iter_over_what_it_yielded_before_is_no_duplicate)
{
    struct claimers c;
    cfut_future *fs[1] = { &c.f };
    pthread_t first;

    gate_init(&c.claimed);
    gate_init(&c.leave);
    cfut_future_init(&c.f);
    cfut_finish(&c.f, CFUT_OK);
    cfut_as_completed(&c.two, fs, 1, CFUT_FOREVER);
    ck_assert_ptr_eq(cfut_next(&c.two), &c.f);
    ck_assert_ptr_null(cfut_next(&c.two));
    first = thread_start(claim_first, &c);
    gate_wait(&c.claimed);
    ck_assert_int_eq(cfut_as_completed(&c.two, fs, 1, CFUT_FOREVER), CFUT_OK);
    gate_open(&c.leave);
    thread_end(first);
    ck_assert_uint_eq(c.one.total, 1);
    ck_assert_uint_eq(c.two.total, 1);
    ck_assert_ptr_eq(cfut_next(&c.one), &c.f);
    ck_assert_ptr_eq(cfut_next(&c.two), &c.f);
    cfut_iter_end(&c.one);
    cfut_iter_end(&c.two);
}
END_TEST

static int reclaim_it(cfut_future *const *f)
{
    cfut_future *fs[1] = { *f };

    cfut_reclaim(fs, 1);
    return cfut_running(*f) ? CFUT_OK : EIO;
}
CFUT_ACTION(reclaim_it, cfut_future *);

/* Runs a task on the spot that reclaims, among others, this one. */
static int be_reclaimed_within(const int *unused)
{
    reclaim_it_future f;

    (void)unused;
    reclaim_it_submit(cfut_current(), &f, cfut_current_future());
    return reclaim_it_result(&f);
}
CFUT_ACTION(be_reclaimed_within, int);

/* SEM 81: the end of what it is in itself is nothing to wait for. */
START_TEST(reclaim_of_the_task_that_the_caller_is_in_returns)
{
    cfut_executor *ex = pool_of(1);
    be_reclaimed_within_future f;

    be_reclaimed_within_submit(ex, &f, 0);
    ck_assert_int_eq(be_reclaimed_within_result(&f), CFUT_OK);
    end_pool(ex);
}
END_TEST

static void *release_later(void *hold)
{
    test_sleep(A_WHILE);
    gate_open(&((struct hold *)hold)->release);
    return NULL;
}

/* The place inside the future is taken, and there is no memory for another. */
START_TEST(reclaim_beside_another_waiter_waits_without_memory)
{
    cfut_executor *ex = test_pool();
    struct hold hold;
    occupy_future f;
    cfut_future *fs[1] = { &f.base };
    pthread_t waiter, releaser;

    hold_worker(ex, &f, &hold);
    waiter = thread_start(wait_set, &f.base);
    await_flag(&f.base, CFUTI_LINK);
    fault_at(&fault_memory, 1, true);
    releaser = thread_start(release_later, &hold);
    cfut_reclaim(fs, 1);
    ck_assert(cfut_done(&f.base));
    fault_at(&fault_memory, 0, false);
    thread_end(releaser);
    thread_end(waiter);
    end_pool(ex);
}
END_TEST

/* SEM 8, 29: by hand: the producer comes while the canceller is in callbacks. It
   has acknowledged then: nobody waits for it any more. */
START_TEST(start_during_the_callbacks_of_a_cancel_acknowledges_it)
{
    cfut_future f, *fs[1] = { &f };
    struct call cancel = { .f = &f };
    struct hold callback;
    pthread_t canceller;

    hold_init(&callback);
    cfut_future_init(&f);
    cfut_on_done(&f, stay, &callback);
    canceller = thread_start(run_cancel, &cancel);
    gate_wait(&callback.started);
    ck_assert(!cfut_start(&f));
    gate_open(&callback.release);
    thread_end(canceller);
    ck_assert(cancel.status);
    ck_assert_int_eq(cfut_future_state(&f), CFUT_STATE_CANCELLED_AND_NOTIFIED);
    ck_assert_int_eq(cfut_wait(fs, 1, CFUT_ALL_COMPLETED, 0), 1);
}
END_TEST

/* ---- deadlocks ---- */

/* One of those who wait for each other. */
struct party {
    cfut_future *other;             /* for which it waits */
    cfut_executor *ex;              /* of what it submits itself */
    struct gate go;
    thread_number number, later;    /* known before it sleeps, the second time */
    void (*prepare)(struct party *);
    struct hold *hold;
    struct party *next;
    int waited;
    square_future queued;
};

static void party_init(struct party *p, cfut_future *other, cfut_executor *ex)
{
    memset(p, 0, sizeof *p);
    p->other = other;
    p->ex = ex;
    gate_init(&p->go);
}

static void party_begin(struct party *p)
{
    gate_wait(&p->go);
    if (p->prepare)
        p->prepare(p);
    announce_thread(&p->number);
}

static int wait_other(struct party *const *p)
{
    party_begin(*p);
    return cfut_result((*p)->other);
}
CFUT_ACTION(wait_other, struct party *);

/* Cannot be told of a deadlock. */
static int reclaim_other(struct party *const *p)
{
    party_begin(*p);
    cfut_reclaim(&(*p)->other, 1);
    return CFUT_OK;
}
CFUT_ACTION(reclaim_other, struct party *);

/* Nor can this wait, for what is queued in another pool: as that of a map for a part that
   has begun. */
static int must_then_wait(struct party *const *party)
{
    struct party *p = *party;

    party_begin(p);
    square_submit(p->ex, &p->queued, 3);
    p->waited = cfuti_result(&p->queued.base, CFUT_FOREVER, true);
    announce_thread(&p->later);
    return p->other ? cfut_result(p->other) : p->waited;
}
CFUT_ACTION(must_then_wait, struct party *);

static int queue_then_wait(struct party *const *party)
{
    struct party *p = *party;

    party_begin(p);
    square_submit(p->ex, &p->queued, 3);
    return square_result(&p->queued);
}
CFUT_ACTION(queue_then_wait, struct party *);

/* A future that is still queued here would be run by the one that waits for it. */
static void await_running(cfut_future *f)
{
    while (!cfut_running(f))
        test_sleep(CFUT_US(100));
}

static void wait_for_sleeper(cfut_future *f, void *party)
{
    struct party *p = party;

    (void)f;
    gate_open(&p->go);
    await_asleep(&p->number);
}

/* SEM 81, rule B: it waits for what somebody is cancelling, out of the queue of
   its own pool: it will be told, this is no deadlock. */
START_TEST(no_deadlock_in_a_wait_for_what_is_being_cancelled)
{
    cfut_executor *ex = pool_of(1);
    struct party p;
    wait_other_future waiter;
    square_future f;

    party_init(&p, &f.base, NULL);
    wait_other_submit(ex, &waiter, &p);
    square_submit(ex, &f, 3);
    cfut_on_done(&f.base, wait_for_sleeper, &p);
    ck_assert(cfut_cancel(&f.base));
    ck_assert_int_eq(wait_other_result(&waiter), CFUT_CANCELLED);
    end_pool(ex);
}
END_TEST

/* SEM 81: the future is being cancelled, and its pool has ended meanwhile: there
   are no workers to ask what they wait for. */
START_TEST(wait_for_what_is_being_cancelled_in_an_ended_pool_ends)
{
    struct busy_pool b;
    cfut_executor *other = pool_of(1);
    wait_other_future waiter;
    square_future f;
    struct call cancel = { .f = &f.base };
    struct hold callback;
    struct party p;
    pthread_t canceller;

    hold_init(&callback);
    square_submit(busy_pool_open(&b), &f, 3);
    cfut_on_done(&f.base, stay, &callback);
    canceller = thread_start(run_cancel, &cancel);
    gate_wait(&callback.started);
    busy_pool_end(&b);
    party_init(&p, &f.base, NULL);
    wait_other_submit(other, &waiter, &p);
    gate_open(&p.go);
    await_asleep(&p.number);
    gate_open(&callback.release);
    ck_assert_int_eq(wait_other_result(&waiter), CFUT_CANCELLED);
    thread_end(canceller);
    end_pool(other);
}
END_TEST

static void let_next_wait(void *party)
{
    struct party *p = party;

    gate_open(&p->next->go);
    await_asleep(&p->next->number);
}

/* The first store into the graph's lock lets it go: the wait is registered. */
static void stop_before_sleep(struct party *p)
{
    lay_ambush(STORED, &cfuti_graph_lock, 0, let_next_wait, p);
}

/* SEM 81: the first has registered its wait and does not sleep yet; the second
   closes the circle, cannot be told itself, and tells the first. */
START_TEST(deadlock_told_just_before_the_sleep_is_heard)
{
    cfut_executor *ex = pool_of(2);
    wait_other_future a;
    reclaim_other_future b;
    struct party first, second;

    party_init(&first, &b.base, NULL);
    party_init(&second, &a.base, NULL);
    first.prepare = stop_before_sleep;
    first.next = &second;
    wait_other_submit(ex, &a, &first);
    reclaim_other_submit(ex, &b, &second);
    await_running(&b.base);
    gate_open(&first.go);
    ck_assert_int_eq(wait_other_result(&a), CFUT_DEADLOCK);
    ck_assert_int_eq(reclaim_other_result(&b), CFUT_OK);
    end_pool(ex);
}
END_TEST

struct pair { cfut_future *other, extra; struct gate go; };

static int wait_pair(struct pair *const *pair)
{
    cfut_future *fs[2] = { (*pair)->other, &(*pair)->extra };

    gate_open(&(*pair)->go);
    return (int)cfut_wait(fs, 2, CFUT_ALL_COMPLETED, CFUT_FOREVER);
}
CFUT_ACTION(wait_pair, struct pair *);

/* SEM 81: one of the two that it waits for completes while it is told that the
   other never will. (ThreadSanitizer sees what else this could do.) */
START_TEST(deadlock_told_beside_an_arrival_is_heard)
{
    cfut_executor *ex = pool_of(2);
    uint64_t seed = 5;

    for (int round = 0; round < 50; round++) {
        wait_pair_future a;
        reclaim_other_future b;
        struct pair pair = { .other = &b.base };
        struct party p;

        gate_init(&pair.go);
        cfut_future_init(&pair.extra);
        party_init(&p, &a.base, NULL);
        reclaim_other_submit(ex, &b, &p);
        await_running(&b.base);
        wait_pair_submit(ex, &a, &pair);
        gate_wait(&pair.go);
        test_sleep(CFUT_US(300));
        gate_open(&p.go);
        for (volatile uint32_t spin = next_random(&seed) % 50000; spin > 0; spin--) {}
        cfut_finish(&pair.extra, CFUT_OK);
        ck_assert_int_eq(wait_pair_result(&a), CFUT_DEADLOCK);
        ck_assert_int_eq(reclaim_other_result(&b), CFUT_OK);
    }
    end_pool(ex);
}
END_TEST

/* Two workers of a pool wait for a task elsewhere, which waits for what is queued
   with them. Only one of the three can be told: whichever worker it is. */
static void expect_told(bool plain_first)
{
    cfut_executor *ex = pool_of(2), *other = pool_of(1);
    must_then_wait_future waiter;
    reclaim_other_future must;
    wait_other_future plain;
    struct party in_waiter, in_must, in_plain;

    party_init(&in_waiter, NULL, ex);
    party_init(&in_must, &waiter.base, NULL);
    party_init(&in_plain, &waiter.base, NULL);
    gate_open(&in_must.go);
    gate_open(&in_plain.go);
    must_then_wait_submit(other, &waiter, &in_waiter);
    await_running(&waiter.base);
    if (plain_first) {
        wait_other_submit(ex, &plain, &in_plain);
        await_asleep(&in_plain.number);
    }
    reclaim_other_submit(ex, &must, &in_must);
    await_asleep(&in_must.number);
    if (!plain_first) {
        wait_other_submit(ex, &plain, &in_plain);
        await_asleep(&in_plain.number);
    }
    gate_open(&in_waiter.go);
    ck_assert_int_eq(wait_other_result(&plain), CFUT_DEADLOCK);
    ck_assert_int_eq(reclaim_other_result(&must), CFUT_OK);
    ck_assert_int_eq(must_then_wait_result(&waiter), CFUT_OK);
    end_pool(ex);
    end_pool(other);
}

/* SEM 81 */
START_TEST(deadlock_is_told_to_the_one_worker_that_can_be_told)
{
    expect_told(true);
    expect_told(false);
}
END_TEST

static void stay_woken(void *hold)
{
    gate_open(&((struct hold *)hold)->started);
    gate_wait(&((struct hold *)hold)->release);
}

static void be_slow_to_wake(struct party *p)
{
    lay_ambush(SLEPT, NULL, 0, stay_woken, p->hold);
}

/* SEM 81: told waits for waiter, which waits for what is queued behind must, which
   waits for told: told hears of it, but is slow to wake. Meanwhile a close has
   cancelled what is queued, and waiter waits for a future completed by hand. */
START_TEST(deadlock_that_was_broken_before_the_told_one_woke_is_none)
{
    cfut_executor *ex[3] = { pool_of(1), pool_of(1), pool_of(1) };
    wait_other_future told;
    must_then_wait_future waiter;
    reclaim_other_future must;
    struct party in_told, in_waiter, in_must;
    struct hold hold;
    cfut_future hand;

    hold_init(&hold);
    cfut_future_init(&hand);
    party_init(&in_told, &waiter.base, NULL);
    party_init(&in_waiter, &hand, ex[2]);
    party_init(&in_must, &told.base, NULL);
    in_told.prepare = be_slow_to_wake;
    in_told.hold = &hold;
    gate_open(&in_told.go);
    gate_open(&in_must.go);
    must_then_wait_submit(ex[1], &waiter, &in_waiter);
    wait_other_submit(ex[0], &told, &in_told);
    await_asleep(&in_told.number);
    reclaim_other_submit(ex[2], &must, &in_must);
    await_asleep(&in_must.number);
    gate_open(&in_waiter.go);
    gate_wait(&hold.started);
    await_asleep(&in_waiter.number);
    cfut_close(ex[2], CFUT_CANCEL_PENDING);
    await_asleep(&in_waiter.later);
    gate_open(&hold.release);
    await_asleep(&in_told.number);
    cfut_finish(&hand, CFUT_OK);
    ck_assert_int_eq(wait_other_result(&told), CFUT_OK);
    ck_assert_int_eq(must_then_wait_result(&waiter), CFUT_OK);
    ck_assert_int_eq(in_waiter.waited, CFUT_CANCELLED);
    ck_assert_int_eq(reclaim_other_result(&must), CFUT_OK);
    for (int i = 0; i < 3; i++)
        end_pool(ex[i]);
}
END_TEST

/* In the thread that has just started the worker of p: until the other one of
   the circle has ended. */
static void let_circle_close(void *party)
{
    struct party *p = party;
    cfut_ns end = test_now() + patience();

    await_asleep(&p->number);
    gate_open(&p->next->go);
    while (!cfut_done(p->other) && test_now() < end)
        test_sleep(CFUT_MS(1));
}

/* SEM 81: a circle closes while the submit that started its worker is still on
   its way out of the pool. That will not help them. */
START_TEST(deadlock_beside_a_submit_under_way_is_told)
{
    cfut_executor *ex = pool_of(1), *other = pool_of(1);
    queue_then_wait_future queuer;
    wait_other_future waiter;
    struct party in_queuer, in_waiter;

    party_init(&in_queuer, NULL, ex);
    party_init(&in_waiter, &queuer.base, NULL);
    gate_open(&in_waiter.go);
    in_waiter.next = &in_queuer;
    queue_then_wait_submit(other, &queuer, &in_queuer);
    /* it takes the lock and lets it go, starts the thread, and takes the lock */
    lay_ambush(WRITES, &inside(ex)->lock, 2, let_circle_close, &in_waiter);
    wait_other_submit(ex, &waiter, &in_waiter);
    ck_assert_int_eq(queue_then_wait_result(&queuer), CFUT_DEADLOCK);
    ck_assert_int_eq(wait_other_result(&waiter), CFUT_DEADLOCK);
    end_pool(ex);
    end_pool(other);
}
END_TEST

/* SEM 78, 81: the pool might have one more thread, but the system has refused it:
   what is queued there has to wait for the one that waits for us. */
START_TEST(deadlock_in_a_pool_that_cannot_grow_is_told)
{
    cfut_executor *ex = pool_of(2), *other = pool_of(1);
    queue_then_wait_future queuer;
    wait_other_future waiter;
    struct party in_queuer, in_waiter;

    party_init(&in_queuer, NULL, ex);
    party_init(&in_waiter, &queuer.base, NULL);
    gate_open(&in_waiter.go);
    queue_then_wait_submit(other, &queuer, &in_queuer);
    fault_at(&fault_threads, 2, true);
    wait_other_submit(ex, &waiter, &in_waiter);
    await_asleep(&in_waiter.number);
    gate_open(&in_queuer.go);
    ck_assert_int_eq(queue_then_wait_result(&queuer), CFUT_DEADLOCK);
    ck_assert_int_eq(wait_other_result(&waiter), CFUT_DEADLOCK);
    end_pool(ex);
    ck_assert_int_eq(square_result(&in_queuer.queued), CFUT_OK);
    end_pool(other);
}
END_TEST

/* ---- tasks that end their thread ---- */

static int leave_thread(const int *in, int *out)
{
    *out = *in;
    pthread_exit(NULL);
}
CFUT_TASK(leave_thread, int, int);

/* A deep callback: its frame lies where those of the tasks were. */
static void scribble(cfut_future *f, void *calls)
{
    volatile unsigned char pad[65536];

    (void)f;
    for (size_t i = 0; i < sizeof pad; i++)
        pad[i] = 0x55;
    ++*(int *)calls;
}

struct nested_leave { leave_thread_future inner; int calls; };

static int wait_for_leaver(struct nested_leave *const *in)
{
    leave_thread_submit(cfut_current(), &(*in)->inner, 1);
    cfut_on_done(&(*in)->inner.base, scribble, &(*in)->calls);
    return leave_thread_result(&(*in)->inner);
}
CFUT_ACTION(wait_for_leaver, struct nested_leave *);

/* SEM 20, rule F: the inner one's callback runs before the outer one is told,
   whose frame is dead by then. */
START_TEST(pthread_exit_in_nested_task_with_a_deep_callback_ends_both)
{
    cfut_executor *ex = pool_of(1);
    struct nested_leave n = { .calls = 0 };
    wait_for_leaver_future outer;
    square_future f;

    wait_for_leaver_submit(ex, &outer, &n);
    ck_assert_int_eq(wait_for_leaver_result(&outer), CFUT_ABANDONED);
    ck_assert_int_eq(leave_thread_result(&n.inner), CFUT_ABANDONED);
    ck_assert_int_eq(n.calls, 1);
    square_submit(ex, &f, 3);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    end_pool(ex);
}
END_TEST

static void leave_in_callback(cfut_future *f, void *unused)
{
    (void)f;
    (void)unused;
    pthread_exit(NULL);
}

/* SEM 20, 23, 24: the thread ends in the first of three callbacks. The task is done,
   the others run, and then its waiter is told. */
START_TEST(callbacks_behind_one_that_exits_its_thread_run)
{
    struct busy_pool b;
    cfut_executor *ex = busy_pool_open(&b);
    int calls = 0;
    square_future f;

    cfut_on_done(&b.holder.base, leave_in_callback, NULL);
    cfut_on_done(&b.holder.base, scribble, &calls);
    cfut_on_done(&b.holder.base, scribble, &calls);
    busy_pool_free_worker(&b);
    ck_assert_int_eq(calls, 2);
    square_submit(ex, &f, 3);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    end_pool(ex);
}
END_TEST

struct nested_wait { cfut_future by_hand; leave_thread_future inner; struct gate here, go; };

static int wait_with_block(struct nested_wait *const *in)
{
    struct nested_wait *n = *in;
    cfut_future *fs[2] = { &n->by_hand, &n->inner.base };

    gate_open(&n->here);
    gate_wait(&n->go);
    leave_thread_submit(cfut_current(), &n->inner, 1);
    return (int)cfut_wait(fs, 2, CFUT_ALL_COMPLETED, CFUT_FOREVER);
}
CFUT_ACTION(wait_with_block, struct nested_wait *);

/* SEM 20, 41: the wait has a block of links, as somebody else waits for one of
   its futures; a task that it runs on the spot ends the thread. */
START_TEST(pthread_exit_within_a_wait_leaves_no_block_behind)
{
    cfut_executor *ex = pool_of(1);
    struct nested_wait n;
    wait_with_block_future outer;
    pthread_t waiter;
    long live;

    gate_init(&n.here);
    gate_init(&n.go);
    cfut_future_init(&n.by_hand);
    waiter = thread_start(wait_set, &n.by_hand);
    await_flag(&n.by_hand, CFUTI_LINK);
    wait_with_block_submit(ex, &outer, &n);
    gate_wait(&n.here);
    live = fault_live(&fault_memory);
    gate_open(&n.go);
    ck_assert_int_eq(wait_with_block_result(&outer), CFUT_ABANDONED);
    ck_assert_int_eq(leave_thread_result(&n.inner), CFUT_ABANDONED);
    ck_assert_int_eq(fault_live(&fault_memory), live);
    cfut_finish(&n.by_hand, CFUT_OK);
    thread_end(waiter);
    end_pool(ex);
}
END_TEST

static int leave_at_zero(const int *x, int *y)
{
    if (*x == 0)
        pthread_exit(NULL);
    *y = *x;
    return CFUT_OK;
}
CFUT_TASK(leave_at_zero, int, int);

enum { FULL = CFUTI_RING_MAX + 50 };
static square_future filling[FULL];

/* What comes to lie under the map's frames is no future. */
static int soil_stack(void)
{
    volatile unsigned char pad[65536];

    for (size_t i = 0; i < sizeof pad; i++)
        pad[i] = 0xFF;
    return pad[100];
}

static int fill_then_map(const int *n, int *out)
{
    int in[8] = { 0, 1, 2, 3, 4, 5, 6, 7 }, results[8];

    for (int i = 0; i < FULL; i++)
        square_submit(cfut_current(), &filling[i], i);
    *out = soil_stack() + *n;
    return leave_at_zero_map(cfut_current(), in, results, 8);
}
CFUT_TASK(fill_then_map, int, int);

/* SEM 20: the worker's deque is full, so the map's forks stand nowhere: there is
   nothing to take back when an item ends the thread. */
START_TEST(map_in_a_full_deque_whose_item_exits_its_thread_ends)
{
    cfut_executor *ex = pool_of(1);
    fill_then_map_future f;

    fill_then_map_submit(ex, &f, 1);
    ck_assert_int_eq(fill_then_map_result(&f), CFUT_ABANDONED);
    for (int i = 0; i < FULL; i++)
        ck_assert_int_eq(square_result(&filling[i]), CFUT_OK);
    end_pool(ex);
}
END_TEST

/* ---- maps ---- */

static int ask_whether_to_stop(const int *in, int *out)
{
    *out = *in + cfut_stop_requested();
    return CFUT_OK;
}
CFUT_TASK(ask_whether_to_stop, int, int);

/* SEM 5: the caller's part of the map is no task that anybody could have asked to
   stop, whatever lay on its stack before. */
START_TEST(map_whose_caller_runs_asks_no_item_to_stop)
{
    enum { N = 64 };
    struct busy_pool b;
    cfut_executor *ex = busy_pool_open(&b);
    int in[N] = { 0 }, out[N];
    cfut_map_desc desc = { .caller_runs = true };

    ck_assert_int_eq(soil_stack(), 0xFF);
    ck_assert_int_eq(ask_whether_to_stop_map_with(ex, in, out, N, &desc), CFUT_OK);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(out[i], 0);
    busy_pool_end(&b);
}
END_TEST

/* An item of a map whose caller is late to call more workers. It leaves a task of its
   own, and tells how deep in the stack it is. */
enum { LEAVING = 5000 };
static square_future left_behind[LEAVING];
static _Thread_local char *stack_begins;

static int leave_a_task(const int *i, long *depth)
{
    char here, *volatile at = &here;

    if (!stack_begins || at > stack_begins)
        stack_begins = at;
    *depth = (long)(stack_begins - at);
    cfuti_store_relaxed(&CFUTI_OUTER(cfuti_range, duty, cfuti_self()->duty)->map->quiet, 1u);
    square_submit(cfut_current(), &left_behind[*i], *i);
    return CFUT_OK;
}
CFUT_TASK(leave_a_task, int, long);

/* SEM 81: what lies above the rest of the map in its worker's deque is not in its way. */
START_TEST(map_whose_items_submit_needs_little_stack)
{
    cfut_executor *ex = pool_of(2);
    static int in[LEAVING];
    static long depth[LEAVING];
    occupy_future occupant;
    struct hold hold;

    hold_worker(ex, &occupant, &hold);
    for (int i = 0; i < LEAVING; i++)
        in[i] = i;
    ck_assert_int_eq(leave_a_task_map(ex, in, depth, LEAVING), CFUT_OK);
    for (int i = 0; i < LEAVING; i++)
        ck_assert_int_lt(depth[i], 32768);
    gate_open(&hold.release);
    ck_assert_int_eq(occupy_result(&occupant), CFUT_OK);
    for (int i = 0; i < LEAVING; i++)
        ck_assert_int_eq(square_result(&left_behind[i]), CFUT_OK);
    end_pool(ex);
}
END_TEST

/* Until it is asked to stop. */
static int go_on(struct gate *const *started, int *stopped)
{
    cfut_ns end = test_now() + patience();

    gate_open(*started);
    while (!(*stopped = cfut_stop_requested()) && test_now() < end)
        test_sleep(CFUT_US(100));
    return CFUT_OK;
}
CFUT_TASK(go_on, struct gate *, int);

static int map_inside(struct gate *const *started, int *stopped)
{
    struct gate *in[2] = { *started, *started };
    int out[2] = { 0, 0 }, status = go_on_map(cfut_current(), in, out, 2);

    *stopped = out[0] + out[1];
    return status;
}
CFUT_TASK(map_inside, struct gate *, int);

/* SEM 5, 55: the end of a map's time, and the cancel of its caller's task, reach
   the items of a map within. */
START_TEST(stop_reaches_the_items_of_a_map_within)
{
    cfut_executor *ex = pool_of(2);
    cfut_map_desc desc = { .timeout = CFUT_MS(10) };
    struct gate started, *in = &started;
    map_inside_future f;
    int out = 0;

    gate_init(&started);
    ck_assert_int_eq(map_inside_map_with(ex, &in, &out, 1, &desc), CFUT_TIMEOUT);
    ck_assert_int_eq(out, gate_is_open(&started) ? 2 : 0);
    gate_init(&started);
    map_inside_submit(ex, &f, &started);
    gate_wait(&started);
    ck_assert(!cfut_cancel(&f.base));
    ck_assert_int_eq(map_inside_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, 2);
    end_pool(ex);
}
END_TEST

struct timed_map { cfut_executor *ex; int out[2], status; struct gate over; };

static void map_here(cfut_future *f, void *user)
{
    struct timed_map *m = user;
    int in[2] = { 3, 4 };

    (void)f;
    m->status = square_map_with(m->ex, in, m->out, 2, &(cfut_map_desc){ .timeout = patience() });
    gate_open(&m->over);
}

/* SEM 25, 81: nobody but the worker that is in the callback could run the map. */
START_TEST(map_with_a_timeout_in_a_callback_of_the_only_worker_runs)
{
    struct busy_pool b;
    struct timed_map m = { .ex = busy_pool_open(&b) };

    gate_init(&m.over);
    cfut_on_done(&b.holder.base, map_here, &m);
    busy_pool_free_worker(&b);
    gate_wait(&m.over);
    ck_assert_int_eq(m.status, CFUT_OK);
    ck_assert_int_eq(m.out[0] + m.out[1], 25);
    end_pool(m.ex);
}
END_TEST

static int count_run(int *const *runs)
{
    __atomic_add_fetch(*runs, 1, __ATOMIC_SEQ_CST);
    return CFUT_OK;
}
CFUT_ACTION(count_run, int *);

/* SEM 57: two chunks of half of all numbers are none. */
START_TEST(map_whose_caller_runs_with_a_huge_chunk_runs_each_item_once)
{
    enum { N = 100 };
    static const size_t sizes[] = { SIZE_MAX / 2 + 1, SIZE_MAX / 4 + 1, SIZE_MAX };
    cfut_executor *ex = pool_of(4);
    int runs = 0, *in[N];

    for (int i = 0; i < N; i++)
        in[i] = &runs;
    for (int i = 0; i < 3; i++) {
        cfut_map_desc desc = { .chunksize = sizes[i], .caller_runs = true };

        ck_assert_int_eq(count_run_map_with(ex, in, N, &desc), CFUT_OK);
        ck_assert_int_eq(runs, N * (i + 1));
    }
    end_pool(ex);
}
END_TEST

/* ---- exit and fork ---- */

static int succeed_once(void *calls)
{
    return __atomic_fetch_add((int *)calls, 1, __ATOMIC_SEQ_CST);
}

/* Until the other worker has gone. */
static int exit_alone(cfut_executor *const *ex)
{
    while (cfut_executor_status(*ex) != CFUT_BROKEN || cfut_executor_workers(*ex) > 1)
        test_sleep(CFUT_MS(1));
    exit(1);
}
CFUT_ACTION(exit_alone, cfut_executor *);

/* Registered before the library's handler, so it runs after that. Past all checks
   of a sanitizer: who calls exit in a task cannot join who has left. */
static void leave_after_all(void) { syscall(SYS_exit_group, 7); }

/* SEM 77, 79: the task that calls exit need not wait for a worker that left long
   ago, since it could not be initialized. Expects exit status 7. */
START_TEST(exit_in_task_beside_a_worker_that_failed_to_start_ends)
{
    cfut_executor *ex;
    exit_alone_future f;
    square_future g;
    int calls = 0;

    ck_assert_int_eq(atexit(leave_after_all), 0);
    ex = cfut_thread_pool(&(cfut_thread_pool_desc){
        .max_workers = 2, .initializer = succeed_once, .init_arg = &calls });
    exit_alone_submit(ex, &f, ex);
    await_running(&f.base);
    square_submit(ex, &g, 3);
    exit_alone_result(&f);
    ck_abort_msg("exit has returned");
}
END_TEST

/* The exit status of a child, which must end within the time limit. */
static int end_of(pid_t child)
{
    cfut_ns limit = test_now() + patience() / 2;
    int status = 0;
    pid_t gone;

    ck_assert_int_gt(child, 0);
    while ((gone = waitpid(child, &status, WNOHANG)) == 0 && test_now() < limit)
        test_sleep(CFUT_MS(1));
    if (gone == 0) {
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
        ck_abort_msg("a child process hangs");
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* SEM 80: nobody comes there to complete what an iterator waits for. */
START_TEST(iter_of_the_parent_says_forked_in_a_child)
{
    struct busy_pool b;
    cfut_future *fs[1];
    cfut_iter it;
    pid_t child;

    busy_pool_open(&b);
    fs[0] = &b.holder.base;
    cfut_as_completed(&it, fs, 1, CFUT_FOREVER);
    fflush(NULL);
    child = fork();
    if (child == 0)
        _exit(cfut_next(&it) == NULL && it.status == CFUT_FORKED ? 21 : 1);
    ck_assert_int_eq(end_of(child), 21);
    busy_pool_free_worker(&b);
    ck_assert_ptr_eq(cfut_next(&it), fs[0]);
    cfut_iter_end(&it);
    end_pool(b.ex);
}
END_TEST

static pthread_key_t in_child;

static void leave_child(void *unused)
{
    (void)unused;
    _exit(22);
}

struct split { struct gate started, go, over; int status; };

/* The child's only thread goes on in the pool; its end is the child's. */
static int fork_and_return(struct split *const *split)
{
    struct split *s = *split;
    pid_t child;

    gate_open(&s->started);
    gate_wait(&s->go);
    child = fork();
    if (child == 0)
        return pthread_setspecific(in_child, s);
    s->status = end_of(child);
    gate_open(&s->over);
    return CFUT_OK;
}
CFUT_ACTION(fork_and_return, struct split *);

/* SEM 80: another thread holds the pool's lock at the fork, so in the child it is
   held for ever. */
START_TEST(fork_in_task_while_the_pool_is_locked_lets_the_child_end)
{
    cfut_executor *ex = pool_of(4);
    struct split s = { .status = 0 };
    fork_and_return_future f;

    ck_assert_int_eq(pthread_key_create(&in_child, leave_child), 0);
    gate_init(&s.started);
    gate_init(&s.go);
    gate_init(&s.over);
    fflush(NULL);
    fork_and_return_submit(ex, &f, &s);
    gate_wait(&s.started);
    cfuti_lock(&inside(ex)->lock);
    gate_open(&s.go);
    gate_wait(&s.over);
    cfuti_unlock(&inside(ex)->lock);
    ck_assert_int_eq(s.status, 22);
    ck_assert_int_eq(fork_and_return_result(&f), CFUT_OK);
    end_pool(ex);
}
END_TEST

/* A task that iterates over a future completed by hand and a task that runs. */
struct viewer {
    cfut_future by_hand;
    occupy_future running;
    struct hold hold;
    struct gate attached, next;
    bool follows;                   /* something, after the iterator has yielded */
};

static int view_by_hand(struct viewer *const *in)
{
    struct viewer *v = *in;
    cfut_future *fs[2] = { &v->by_hand, &v->running.base };
    cfut_iter it;

    ck_assert_int_eq(cfut_as_completed(&it, fs, 2, CFUT_FOREVER), CFUT_OK);
    gate_open(&v->attached);
    gate_wait(&v->next);
    ck_assert_ptr_eq(cfut_next(&it), &v->by_hand);
    v->follows = cfuti_self()->waiting != NULL;
    cfut_iter_end(&it);
    return CFUT_OK;
}
CFUT_ACTION(view_by_hand, struct viewer *);

static void let_viewer_look(void *arg)
{
    struct viewer *v = arg;

    gate_open(&v->next);
    test_sleep(A_WHILE);
}

static void *wait_too(void *f) { return cfut_result(f) == 4 ? f : NULL; }

/* SEM 46: a future with two waiters has arrived in the iterator, and is not yet
   told to it, when the iterator goes to sleep: it then wakes for that one, and must
   not count as waiting for the other any more. */
START_TEST(iter_that_wakes_for_one_follows_no_other)
{
    cfut_executor *ex = pool_of(2);
    struct viewer v = { .follows = true };
    view_by_hand_future f;
    pthread_t t;

    gate_init(&v.attached);
    gate_init(&v.next);
    cfut_future_init(&v.by_hand);
    hold_worker(ex, &v.running, &v.hold);
    view_by_hand_submit(ex, &f, &v);
    gate_wait(&v.attached);
    t = thread_start(wait_too, &v.by_hand);
    while (!(cfuti_load_acquire(&v.by_hand.state) & CFUTI_WAITERS))
        test_sleep(CFUT_US(100));
    lay_ambush(STORED, &v.by_hand.state, 0, let_viewer_look, &v);
    ck_assert_int_eq(cfut_finish(&v.by_hand, 4), CFUT_OK);
    ck_assert_int_eq(ambush.kinds, 0);
    thread_end(t);
    ck_assert_int_eq(view_by_hand_result(&f), CFUT_OK);
    ck_assert(!v.follows);
    gate_open(&v.hold.release);
    ck_assert_int_eq(occupy_result(&v.running), CFUT_OK);
    end_pool(ex);
}
END_TEST

/* A task with children in its deque, told what to do by its test. */
struct brood {
    square_future child[3];
    struct gate pushed, go, took, leave;
    int wait_for;                   /* how many children to take, newest first */
    cfut_executor *ex;
};

static int have_brood(struct brood *const *in)
{
    struct brood *b = *in;

    for (int i = 0; i < 3; i++)
        square_submit(cfut_current(), &b->child[i], i);
    gate_open(&b->pushed);
    gate_wait(&b->go);
    for (int i = 0; i < b->wait_for; i++)
        square_result(&b->child[2 - i]);
    gate_open(&b->took);
    gate_wait(&b->leave);
    return CFUT_OK;
}
CFUT_ACTION(have_brood, struct brood *);

static void brood_open(struct brood *b, have_brood_future *f)
{
    gate_init(&b->pushed);
    gate_init(&b->go);
    gate_init(&b->took);
    gate_init(&b->leave);
    b->ex = pool_of(1);
    have_brood_submit(b->ex, f, b);
    gate_wait(&b->pushed);
}

static void let_brood_end(void *brood)
{
    struct brood *b = brood;

    gate_open(&b->go);
    gate_open(&b->leave);
    test_sleep(A_WHILE);
    ck_assert_uint_eq(cfuti_load_acquire(&inside(b->ex)->ended), 0);
}

static void *cancel_in_deque(void *arg)
{
    struct brood *b = arg;

    lay_ambush(WRITES, &inside(b->ex)->workers[0].lock, 1, let_brood_end, b);   /* at unlock */
    return cfut_cancel(&b->child[0].base) && ambush.kinds == 0 ? arg : NULL;
}

/* SEM 9, 66: the canceller has killed the only task left in the deque, and holds
   its lock. The pool is over but for that, and must not go yet. */
START_TEST(pool_stays_until_a_canceller_is_out_of_its_deque)
{
    struct brood b = { .wait_for = 2 };
    have_brood_future f;
    pthread_t t;
    void *ok;

    brood_open(&b, &f);
    t = thread_start(cancel_in_deque, &b);
    ck_assert_int_eq(cfut_shutdown(b.ex, CFUT_DRAIN), CFUT_OK);
    ck_assert_int_eq(pthread_join(t, &ok), 0);
    ck_assert_ptr_nonnull(ok);
    ck_assert_int_eq(square_result(&b.child[0]), CFUT_CANCELLED);
}
END_TEST

static void let_brood_take(void *brood)
{
    struct brood *b = brood;

    gate_open(&b->go);
    gate_wait(&b->took);
}

/* SEM 67: the closing thread is about to share two of three, and the owner takes
   two itself: the third is still there. */
START_TEST(cancelling_close_takes_what_the_owner_leaves)
{
    struct brood b = { .wait_for = 2 };
    have_brood_future f;

    brood_open(&b, &f);
    lay_ambush(WRITES, &inside(b.ex)->workers[0].deque.lim, 0, let_brood_take, &b);
    cfut_close(b.ex, CFUT_CANCEL_PENDING);
    ck_assert_int_eq(ambush.kinds, 0);
    ck_assert(cfut_cancelled(&b.child[0].base));
    gate_open(&b.leave);
    end_pool(b.ex);
    ck_assert_int_eq(square_result(&b.child[1]), CFUT_OK);
}
END_TEST

struct leaver { square_future child; struct hold hold; };

static int submit_and_leave(struct leaver *const *in)
{
    struct leaver *l = *in;

    gate_open(&l->hold.started);
    gate_wait(&l->hold.release);
    square_submit(cfut_current(), &l->child, 3);
    pthread_exit(NULL);
}
CFUT_ACTION(submit_and_leave, struct leaver *);

/* SEM 72: a worker is lost, cannot be replaced, and leaves a task in its deque: it
   runs in the other one. */
START_TEST(task_in_the_deque_of_a_lost_worker_runs_in_another)
{
    cfut_executor *ex = pool_of(2);
    struct leaver l;
    struct hold hold;
    occupy_future other;
    submit_and_leave_future f;

    hold_init(&l.hold);
    hold_worker(ex, &other, &hold);
    submit_and_leave_submit(ex, &f, &l);
    gate_wait(&l.hold.started);
    fault_at(&fault_threads, 1, true);
    gate_open(&l.hold.release);
    ck_assert_int_eq(submit_and_leave_result(&f), CFUT_ABANDONED);
    test_sleep(A_WHILE);
    gate_open(&hold.release);
    ck_assert_int_eq(square_result_timeout(&l.child, patience()), CFUT_OK);
    fault_at(&fault_threads, 0, false);
    end_pool(ex);
}
END_TEST

/* hint 0 says that nobody else could help. An idle worker that keeps threads from
   being started could. */
START_TEST(hint_is_not_0_while_a_thread_could_be_started)
{
    cfut_executor *ex = pool_of(2);
    struct hold hold;
    occupy_future f;

    hold_worker(ex, &f, &hold);
    ck_assert_uint_ne(cfuti_load_acquire(&inside(ex)->hint), 0);
    cfuti_lock(&inside(ex)->lock);
    inside(ex)->idle++;
    ck_assert_uint_eq(cfuti_hint_update(inside(ex)), 4);
    inside(ex)->idle--;
    ck_assert_uint_eq(cfuti_hint_update(inside(ex)), 2);
    cfuti_unlock(&inside(ex)->lock);
    gate_open(&hold.release);
    ck_assert_int_eq(occupy_result(&f), CFUT_OK);
    end_pool(ex);
}
END_TEST

/* A task forks with a child in its deque, whose lock somebody may hold. */
struct forker { square_future child; bool locked; };

static int ask_child_in_child(struct forker *const *in)
{
    struct forker *m = *in;
    cfuti_worker *w = cfuti_self()->worker;
    pid_t pid;
    int status;

    square_submit(cfut_current(), &m->child, 3);
    if (m->locked) {
        cfuti_lock(&w->lock);
        w->deque.lim = w->deque.bot;
    }
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        status = square_result(&m->child);
        square_submit(cfut_inline_executor(), &m->child, 4);
        _exit(status == CFUT_FORKED && m->child.out == 16 ? 0 : 1);
    }
    if (m->locked)
        cfuti_unlock(&w->lock);
    ck_assert_int_eq(end_of(pid), 0);
    return square_result(&m->child);
}
CFUT_ACTION(ask_child_in_child, struct forker *);

/* A forked task that forks its process, with a fork of its own and one of its
   forker's in the deque. */
struct forking { square_future child; int in_child; };

static int forks_its_process(struct forking *const *in, int *out)
{
    struct forking *m = *in;
    cfut_future *self = cfut_current_future();
    square_future mine, late;
    pid_t pid;

    square_fork(&mine, 4);
    fflush(NULL);
    pid = fork();
    m->in_child = pid == 0;
    *out = square_join(&mine);
    square_fork(&late, 5);
    if (square_join(&late) != CFUT_OK || late.out != 25 || cfut_current_future() != self)
        *out = 1;
    if (pid)
        ck_assert_int_eq(end_of(pid), 0);
    return *out == (pid ? CFUT_OK : CFUT_FORKED) ? CFUT_OK : EIO;
}
CFUT_TASK(forks_its_process, struct forking *, int);

static int join_around_a_fork(struct forking *const *in)
{
    forks_its_process_future f;
    cfut_future *self = cfut_current_future();
    int status, child;

    square_fork(&(*in)->child, 3);
    forks_its_process_fork(&f, *in);
    status = forks_its_process_join(&f);
    child = square_join(&(*in)->child);
    if (cfut_current_future() != self)
        status = EIO;
    if ((*in)->in_child)
        _exit(status == CFUT_OK && child == CFUT_FORKED ? 0 : 1);
    return status ? status : child;
}
CFUT_ACTION(join_around_a_fork, struct forking *);

/* SEM 80 */
START_TEST(fork_of_the_process_in_a_forked_task_goes_on_in_both)
{
    cfut_executor *ex = pool_of(1);
    struct forking m;
    join_around_a_fork_future f;

    join_around_a_fork_submit(ex, &f, &m);
    ck_assert_int_eq(join_around_a_fork_result(&f), CFUT_OK);
    end_pool(ex);
}
END_TEST

/* SEM 80: not even what stands in the own worker's deque is the child's to run. */
START_TEST(fork_in_task_with_a_queued_child_leaves_that_to_the_parent)
{
    for (int locked = 0; locked < 2; locked++) {
        cfut_executor *ex = pool_of(1);
        struct forker m = { .locked = locked };
        ask_child_in_child_future f;

        ask_child_in_child_submit(ex, &f, &m);
        ck_assert_int_eq(ask_child_in_child_result(&f), CFUT_OK);
        ck_assert_int_eq(m.child.out, 9);
        end_pool(ex);
    }
}
END_TEST

/* A task forks the process when a child of its own is done, in another worker. */
static int join_in_child(struct hold *const *in)
{
    struct hold *h = *in;
    square_future child;
    pid_t pid;

    square_fork(&child, 3);
    gate_open(&h->release);             /* the other worker is free for it */
    while (!cfut_done(&child.base))
        test_sleep(CFUT_US(100));
    fflush(NULL);
    pid = fork();
    if (pid == 0)
        _exit(square_join(&child) == CFUT_OK && child.out == 9 ? 0 : 1);
    ck_assert_int_eq(end_of(pid), 0);
    return square_join(&child);
}
CFUT_ACTION(join_in_child, struct hold *);

/* SEM 80: what was done at the fork is done in the child, too */
START_TEST(join_in_forked_child_of_what_was_done_before_gives_its_status)
{
    cfut_executor *ex = pool_of(2);
    struct hold hold;
    occupy_future other;
    join_in_child_future f;

    hold_worker(ex, &other, &hold);
    join_in_child_submit(ex, &f, &hold);
    ck_assert_int_eq(join_in_child_result(&f), CFUT_OK);
    ck_assert_int_eq(occupy_result(&other), CFUT_OK);
    end_pool(ex);
}
END_TEST

/* ---- */

static void fill_deadlocks(TCase *tc)
{
    tcase_add_test(tc, no_deadlock_in_a_wait_for_what_is_being_cancelled);
    tcase_add_test(tc, wait_for_what_is_being_cancelled_in_an_ended_pool_ends);
    tcase_add_test(tc, deadlock_told_just_before_the_sleep_is_heard);
    tcase_add_test(tc, deadlock_told_beside_an_arrival_is_heard);
    tcase_add_test(tc, deadlock_is_told_to_the_one_worker_that_can_be_told);
    tcase_add_test(tc, deadlock_that_was_broken_before_the_told_one_woke_is_none);
    tcase_add_test(tc, deadlock_beside_a_submit_under_way_is_told);
    tcase_add_test(tc, deadlock_in_a_pool_that_cannot_grow_is_told);
}

static void fill(TCase *tc)
{
    tcase_add_test(tc, cancel_just_before_the_owner_takes_its_task_wins);
    tcase_add_test(tc, cancel_while_the_owner_takes_its_task_loses);
    tcase_add_test(tc, theft_just_before_a_join_lowers_bot_succeeds);
    tcase_add_test(tc, theft_just_after_a_join_has_lowered_bot_leaves_that_fork);
    tcase_add_test(tc, forker_that_asks_while_a_thief_takes_its_fork_waits_for_him);
    tcase_add_test(tc, callback_added_while_a_worker_finishes_its_own_child_runs_once);
    tcase_add_test(tc, iter_that_wakes_for_one_follows_no_other);
    tcase_add_test(tc, pool_stays_until_a_canceller_is_out_of_its_deque);
    tcase_add_test(tc, cancelling_close_takes_what_the_owner_leaves);
    tcase_add_test(tc, task_in_the_deque_of_a_lost_worker_runs_in_another);
    tcase_add_test(tc, hint_is_not_0_while_a_thread_could_be_started);
    tcase_add_test(tc, fork_of_the_process_in_a_forked_task_goes_on_in_both);
    tcase_add_test(tc, fork_in_task_with_a_queued_child_leaves_that_to_the_parent);
    tcase_add_test(tc, join_in_forked_child_of_what_was_done_before_gives_its_status);
    tcase_add_test(tc, detaching_shutdown_of_idle_pool_has_its_workers_to_the_end);
    tcase_add_test(tc, shutdown_beside_a_cancelling_close_waits_for_its_callbacks);
    tcase_add_test(tc, close_while_a_worker_claims_the_last_task_loses_nothing);
    tcase_add_test(tc, cancelling_close_reaches_what_had_spilled);
    tcase_add_test(tc, inbox_that_never_holds_much_stays_small);
    tcase_add_test(tc, inbox_that_fills_takes_more_memory);
    tcase_add_test(tc, callback_of_a_cancelling_close_that_shuts_down_gets_deadlock);
    tcase_add_test(tc, claim_with_a_tail_older_than_head_takes_nothing);
    tcase_add_test(tc, cancel_while_a_future_moves_to_the_inbox_succeeds);
    tcase_add_test(tc, callback_that_ran_a_task_does_not_count_as_idle);
    tcase_add_test(tc, iter_yields_nothing_that_is_not_final);
    tcase_add_test(tc, iter_over_what_it_yielded_before_is_no_duplicate);
    tcase_add_test(tc, reclaim_beside_another_waiter_waits_without_memory);
    tcase_add_test(tc, reclaim_of_the_task_that_the_caller_is_in_returns);
    tcase_add_test(tc, start_during_the_callbacks_of_a_cancel_acknowledges_it);
    fill_deadlocks(tc);
    tcase_add_test(tc, pthread_exit_in_nested_task_with_a_deep_callback_ends_both);
    tcase_add_test(tc, callbacks_behind_one_that_exits_its_thread_run);
    tcase_add_test(tc, pthread_exit_within_a_wait_leaves_no_block_behind);
    tcase_add_test(tc, map_in_a_full_deque_whose_item_exits_its_thread_ends);
    tcase_add_test(tc, map_whose_caller_runs_asks_no_item_to_stop);
    tcase_add_test(tc, map_whose_items_submit_needs_little_stack);
    tcase_add_test(tc, stop_reaches_the_items_of_a_map_within);
    tcase_add_test(tc, map_with_a_timeout_in_a_callback_of_the_only_worker_runs);
    tcase_add_test(tc, map_whose_caller_runs_with_a_huge_chunk_runs_each_item_once);
    tcase_add_exit_test(tc, exit_in_task_beside_a_worker_that_failed_to_start_ends, 7);
    tcase_add_test(tc, iter_of_the_parent_says_forked_in_a_child);
    tcase_add_test(tc, fork_in_task_while_the_pool_is_locked_lets_the_child_end);
}

int main(void)
{
    return harness_main("races", fill);
}
