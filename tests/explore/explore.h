/* explore.h: a deterministic explorer of what threads can do to cfut.h.

   WHAT IT IS

   scenarios.c compiles the shipped header, not a model of it, over a platform
   of its own: the macros below stand in for every atomic operation, for threads,
   clock, sleep, memory and failures. Threads are fibers of one thread. A
   scenario is a small program (two or three threads, a few calls, assertions);
   explore.c runs it again and again, each time along another way through its
   choices, until there is none left within a bound. No timing, no luck: the
   same result each time.

   WHAT IT CHOOSES

     p  before an atomic step: another thread goes on instead (a preemption)
     b  where a thread cannot go on (it sleeps, spins, joins or ends): who does
     s  a load reads an older value, as far as C11 allows that
     f  an allocation or a thread start fails, where the scenario wants that
   In p and b a thread may also be chosen whose timed sleep is over (then its
   time has come), or that wakes for no reason, where the scenario wants that.

   The first alternative costs nothing. Each deviation from it costs 1, but for
   a free choice of the next thread in b. All executions with 0, 1, 2, ...
   deviations are run, up to the scenario's bound or until there are too many;
   then as many with random thread priorities and change points follow (PCT,
   Burckhardt and others, ASPLOS 2010). Few deviations find most bugs (Musuvathi
   and Qadeer, "Iterative context bounding", PLDI 2007), and the first one found
   is among the simplest.
   Only steps on words that two threads touch at once (one of them writing,
   neither before the other) are worth a preemption. These words are learnt while
   exploring; when there is a new one, all begins anew.

   WHAT IT KNOWS OF MEMORY ORDER

   Each word that is used atomically keeps its last values, each with the clock
   (a vector, one count a thread) that its release published, release sequences
   as in C++20. A load may read any of them that is not older than one that it
   must know of: that happened before it, was read before it, was written by a
   seq_cst operation if the load is seq_cst, or before the last cfuti_heavy. A
   read-modify-write reads the newest. So what a store buffer does is covered,
   and what weaker processors do; but not that a load sees a later store, nor that a
   read-modify-write overtakes a store that another thread made before.
   The compiler's ThreadSanitizer pass (not its library) calls us for each plain
   load and store. Two plain accesses, or a plain and an atomic one, that are
   ordered by nothing are a race, also where all values are right: so a missing
   release or acquire shows. Freed memory, and what a scenario has declared gone
   (x_gone), must not be touched at all; nor may other threads touch the frames of
   functions that have returned.
   One membarrier (cfuti_heavy) is one step for all threads.

   WHAT IT REPORTS

   An assertion that fails, a race, a touch of memory that is gone; "nobody can go
   on", which is a deadlock or a lost wake-up; a run without end; a leak. Each
   comes with its schedule: the deviations, as STEP KIND ALTERNATIVE. To see the
   execution step by step:
       explore --replay "41p1 55s1" SCENARIO

   HOW TO ADD A SCENARIO

   In one of the files that scenarios.c includes:
       SCENARIO(name, "What it shows, in one sentence.", .bound = 3)
       {
           x_go(thread_function, arg) ...
           x_check(condition);
           x_join_all();
       }
   scenarios.c has what scenarios share: futures and tasks that count how often
   they ran, gates, pools. A scenario begins with begin(), which zeroes that, and
   must end its threads and pools. In a check, plain variables are enough: if two
   threads touch one at once that is reported as a race.
   Everything it does must depend on nothing but the choices: no addresses, no
   real time, no real randomness (a difference between two runs is reported).

   HOW TO ADD A WORD TO THE PLATFORM

   A new global in cfut.h must be set back in x_reset (scenarios.c), else
   executions differ, which is reported. */
#ifndef CFUT_TEST_EXPLORE_H
#define CFUT_TEST_EXPLORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- for scenarios ---- */

typedef struct x_scenario {
    const char *name, *shows;
    void (*run)(void);              /* in fiber 0 */
    int bound;                      /* most deviations to try all of; 0: 3 */
    int stale;                      /* most loads of an older value in one execution; 0: 2 */
    int spurious;                   /* sleeps that may end for no reason */
    int failures;                   /* allocations and thread starts that may fail */
    int64_t spin_ns;                /* CFUT_SPIN_NS; a look at the clock takes 1000 */
    bool portable;                  /* without membarrier */
    bool one_cpu;                   /* who is woken is where its waker is; else nobody knows */
    unsigned inbox, ring, chunk;    /* sizes; 0: 4, 4 and 256 */
    unsigned fairness;              /* 0: 61 */
    struct x_scenario *next;
} x_scenario;

void x_enlist(x_scenario *s);          /* to the list of all, at the end */
void x_reset(void);                 /* to be defined: before each execution */
void x_finally(void);               /* to be defined: after each */

#define SCENARIO(name_, ...) \
    static void name_(void); \
    __attribute__((constructor)) static void name_##_add(void) \
    { \
        static x_scenario scenario = { .name = #name_, .run = name_, .shows = __VA_ARGS__ }; \
        x_enlist(&scenario); \
    } \
    static void name_(void)

/* The scenario that runs, its zeroes replaced by the defaults. */
extern x_scenario x_tune;

/* Starts a thread; returns its number. At most 8 in one execution. */
int x_go(void (*fn)(void *), void *arg);
void x_join(int thread);
void x_detach(int thread);
void x_join_all(void);              /* all that x_go has started */
_Noreturn void x_exit(void);        /* ends the calling thread, as pthread_exit */

/* From now on nobody may touch p[0..n), until it is back in use. */
void x_gone(const void *p, size_t n);
void x_back(const void *p, size_t n);

/* Lets the clock of the calling thread advance. */
void x_time(int64_t ns);

void x_fail(const char *what, const char *func, int line);
#define x_check(cond) ((cond) ? (void)0 : x_fail(#cond, __func__, __LINE__))

/* A step that another thread may come in before, though it is no atomic one. */
void x_point(void);

/* Blocks of CFUT_MALLOC that have not been freed. */
extern size_t x_blocks;

/* ---- the platform that cfut.h gets ---- */

enum { X_RELAXED = 0, X_ACQUIRE = 1, X_RELEASE = 2, X_ACQ_REL = 3, X_SEQ_CST = 7 };

typedef struct x_site { const char *func; int line; } x_site;

uintptr_t x_load(const void *p, size_t size, int order, x_site site);
void x_store(void *p, size_t size, uintptr_t v, int order, x_site site);
uintptr_t x_exchange(void *p, size_t size, uintptr_t v, int order, x_site site);
uintptr_t x_add(void *p, size_t size, uintptr_t v, int order, x_site site);
uintptr_t x_and(void *p, size_t size, uintptr_t v, int order, x_site site);
bool x_cas(void *p, size_t size, void *e, uintptr_t v, int order, int failed, x_site site);
void x_heavy(x_site site);
void x_wait(const void *word, uint32_t expected, int64_t deadline, x_site site);
void x_wake(const void *word, x_site site);
void x_pause(int64_t ns);
int64_t x_now(void);
bool x_start(void (*fn)(void *), void *arg, uintptr_t *id, x_site site);
uintptr_t x_self(void);
void *x_alloc(size_t n);
void x_free(void *p);
void x_noted(const void *p, size_t n, bool write);

extern void *x_local;               /* the running fiber's 512 bytes, zero at its start */
void x_begin_local(void *local);    /* to be defined: what is not zero of it */

#define X_SITE ((x_site){ __func__, __LINE__ })
#define X_LOAD(p, o) ((__typeof__(*(p)))x_load((p), sizeof *(p), (o), X_SITE))
#define X_STORE(p, v, o) x_store((p), sizeof *(p), (uintptr_t)(v), (o), X_SITE)
#define X_RMW(fn, p, v, o) ((__typeof__(*(p)))fn((p), sizeof *(p), (uintptr_t)(v), (o), X_SITE))
#define X_CAS(p, e, v, o, of) x_cas((p), sizeof *(p), (e), (uintptr_t)(v), (o), (of), X_SITE)

/* More than cfut.h uses: the order mutants need them all. */
#define CFUTI_ATOMICS
#define cfuti_load_relaxed(p)         X_LOAD(p, X_RELAXED)
#define cfuti_load_acquire(p)         X_LOAD(p, X_ACQUIRE)
#define cfuti_load_seq_cst(p)         X_LOAD(p, X_SEQ_CST)
#define cfuti_store_relaxed(p, v)     X_STORE(p, v, X_RELAXED)
#define cfuti_store_release(p, v)     X_STORE(p, v, X_RELEASE)
#define cfuti_exchange_relaxed(p, v)  X_RMW(x_exchange, p, v, X_RELAXED)
#define cfuti_exchange_acquire(p, v)  X_RMW(x_exchange, p, v, X_ACQUIRE)
#define cfuti_exchange_acq_rel(p, v)  X_RMW(x_exchange, p, v, X_ACQ_REL)
#define cfuti_exchange_seq_cst(p, v)  X_RMW(x_exchange, p, v, X_SEQ_CST)
#define cfuti_add_relaxed(p, v)       X_RMW(x_add, p, v, X_RELAXED)
#define cfuti_and_relaxed(p, v)       X_RMW(x_and, p, v, X_RELAXED)
#define cfuti_and_release(p, v)       X_RMW(x_and, p, v, X_RELEASE)
#define cfuti_cas_relaxed(p, e, v)    X_CAS(p, e, v, X_RELAXED, X_RELAXED)
#define cfuti_cas_acquire(p, e, v)    X_CAS(p, e, v, X_ACQUIRE, X_ACQUIRE)
#define cfuti_cas_release(p, e, v)    X_CAS(p, e, v, X_RELEASE, X_RELAXED)
#define cfuti_cas_acq_rel(p, e, v)    X_CAS(p, e, v, X_ACQ_REL, X_RELAXED)

#define cfuti_self()                  ((cfuti_thread *)x_local)
#define cfuti_place_here()            ((cfuti_place *)(void *)((char *)x_local + 448))
#define cfuti_now                     x_now
#define cfuti_pause()                 x_pause(0)
#define cfuti_yield()                 x_pause(0)
#define cfuti_nap(ns)                 x_pause(ns)
#define cfuti_cpus()                  2
#define cfuti_cpu()                   (x_tune.one_cpu ? 0 : -1)
#define cfuti_heavy()                 x_heavy(X_SITE)
#define cfuti_heavy_left_out()        ((void)0)
#define cfuti_heavy_begin()           (!x_tune.portable)
#define cfuti_thread_start(t, stack, arg) \
    ((void)(stack), x_start(cfuti_thread_body, (arg), (uintptr_t *)(void *)(t), X_SITE))
#define cfuti_thread_self(t)          ((void)(*(t) = (cfuti_os_thread)x_self()))
#define cfuti_thread_join(t)          x_join((int)(uintptr_t)(t))
#define cfuti_thread_detach(t)        x_detach((int)(uintptr_t)(t))
#define cfuti_thread_name(name)       ((void)(name))
#define cfuti_guard(fn, lost, arg)    ((void)(lost), (fn)(arg))
#define cfuti_wait_word(word, expected, deadline) x_wait((word), (expected), (deadline), X_SITE)
#define cfuti_wake_word(word)         x_wake((word), X_SITE)
#define cfuti_pages(size)             x_alloc(size)
#define cfuti_pages_free(p, size)     ((void)(size), x_free(p))
#define cfuti_hooks()                 ((void)0)
#define CFUT_NO_PROCESS 1             /* no other process takes part */
#define CFUT_MALLOC(n)                x_alloc(n)
#define CFUT_FREE(p)                  x_free(p)

#define CFUT_SPIN_NS                  x_tune.spin_ns

/* What >>config would set. */
#define CFUTI_TUNED
enum { CFUTI_CACHE_LINE = 8, CFUTI_MAX_WORKERS = 8, CFUTI_WAITS = 1, CFUTI_AHEAD = 2,
       CFUTI_HELPS = 4, CFUTI_MAP_HELPS = 2, CFUTI_HELP_DEPTH = 64,
       CFUTI_LEISURE_NS = 200, CFUTI_GATHER = 2, CFUTI_CROWD = 1, CFUTI_BACKLOG = 2,
       CFUTI_GRAVES = 4 };
#define CFUTI_RING_MAX ((size_t)x_tune.ring)
#define CFUTI_RING_MIN ((size_t)x_tune.ring)
#define CFUTI_INBOX ((size_t)x_tune.inbox)
#define CFUTI_INBOX_STEP ((size_t)2)
#define CFUTI_CHUNK x_tune.chunk
#define CFUTI_FAIRNESS x_tune.fairness

/* The compiler's pass does not see what happens in libc. */
#define memset(p, c, n) (x_noted((p), (n), true), (memset)((p), (c), (n)))
#define memcpy(to, from, n) \
    (x_noted((from), (n), false), x_noted((to), (n), true), (memcpy)((to), (from), (n)))

#endif
