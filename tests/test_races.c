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
#define cfuti_and_release(p, v) __atomic_fetch_and(WRITE_AT(p), v, __ATOMIC_RELEASE)
#define cfuti_cas_acquire(p, e, v) \
    __atomic_compare_exchange_n(WRITE_AT(p), e, v, 0, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)
#define cfuti_cas_release(p, e, v) \
    __atomic_compare_exchange_n(WRITE_AT(p), e, v, 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED)
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

/* SEM 67: the inbox is empty, and takes in the whole spill list. */
START_TEST(cancelling_close_reaches_what_had_spilled)
{
    enum { N = 10 };
    struct busy_pool b;
    cfut_executor *ex = busy_pool_open(&b);
    square_future f[N];

    for (int full = 0; full < 2; full++) {
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
        ex = busy_pool_open(&b);
    }
    busy_pool_end(&b);
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

static size_t old_tail;

static void read_old_tail(void *unused)
{
    (void)unused;
    instead = (uintptr_t)&old_tail;
}

struct claim { cfuti_pool *pool; struct gate here, leave, *other; };

static void let_other_claim(void *arg)
{
    struct claim *c = arg;

    gate_open(c->other);
    await_all_claimed(c->pool);
    lay_ambush(LOADS, &c->pool->tail, 0, read_old_tail, NULL);
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
    hold_worker(ex, &other, &hold);
    c.other = &hold.release;
    claim_late_submit(ex, &late, &c);
    gate_wait(&c.here);
    old_tail = p->tail;
    square_submit(ex, &last, 2);
    gate_open(&c.leave);
    ck_assert_int_eq(square_result_timeout(&last, patience()), CFUT_OK);
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

struct meeting { cfut_future a, b; struct gate go, arrived; };

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

static void *finish_slowly(void *arg)
{
    struct meeting *m = arg;

    gate_wait(&m->go);
    lay_ambush(STORED | WRITES, NULL, 0, NULL, NULL);
    cfut_finish(&m->b, CFUT_OK);
    return NULL;
}

static void *wait_result(void *f)
{
    cfut_result(f);
    return NULL;
}

int main(void) { (void)finish_slowly; (void)wait_result; (void)let_other_arrive; (void)linger_before_final; return 0; }
