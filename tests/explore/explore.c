/* explore.c: the explorer's engine; explore.h says what it does. This file is
   compiled without instrumentation, and knows nothing of cfut.

   explore [OPTION...] [SCENARIO...]

   SCENARIO: part of a name; none: all. TAP on the standard output, one test for
   each scenario; exit status 1 if one fails.
     --max N            executions of each scenario, at most; then half as many random
     --quick            few of them
     --without TEXT     not those with that in their names; up to four times
     --part K N         every Nth scenario, from the Kth on: N processes do all of them
     --bound N          deviations, at most, instead of the scenario's own bound
     --random N         N random schedules, and nothing else
     --seed N           the first of them
     --stop             after the first scenario that fails
     --list             only names and sentences
     --replay SCHEDULE  one execution of one scenario, step by step */
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>

#include "explore.h"

/* The library's own calls, unobserved. */
#undef memset
#undef memcpy

enum {
    THREADS = 8,
    OLDER = 3,                      /* how many older values of a word can be read */
    STEPS = 20000,                  /* more in one execution is a run without end */
    WORDS = 4096,                   /* atomic ones, in one execution */
    CHOICES = 20000,
    STACK = 128 * 1024,
    LOCAL = 512,
    HEAP = 256 * 1024,
    ARENA = THREADS * (LOCAL + STACK) + HEAP,
    TICK = 1000                     /* what a look at the clock takes */
};

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "explore: %s\n", what);
    exit(2);
}

static void *pages(size_t n)
{
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED) die("out of memory");
    return p;
}

/* ---- vector clocks ---- */

/* One count for each thread, advanced by its releases. An event of thread u at
   count e happened before thread t's present if e <= t's clock [u]. */
typedef uint16_t count;
typedef count clocks __attribute__((vector_size(THREADS * sizeof(count))));

static clocks later(clocks a, clocks b)
{
    clocks more = (clocks)(a > b);

    return (a & more) | (b & ~more);
}

/* Whether some count of a is not in b. */
static bool beyond(clocks a, clocks b)
{
    union { clocks c; uint64_t half[2]; } more;

    more.c = (clocks)(a > b);
    return (more.half[0] | more.half[1]) != 0;
}

/* ---- fibers ---- */

enum state { FREE, READY, PAUSED, SLEEPING, JOINING, DONE };

static struct fiber {
    jmp_buf at;
    ucontext_t first;
    void (*fn)(void *);
    void *arg;
    char *stack, *local;
    bool booted;
    enum state state;
    bool mine;                      /* started by x_go */
    bool held;                      /* its handle is to be joined or detached */
    uintptr_t stack_end;            /* what is below is no frame of its any more */
    bool pausing;                   /* has paused since its last step */
    bool saw_old;                   /* has read an old value since then */
    uint32_t seen;                  /* others' writes when it last came out of a pause */
    uint32_t own;                   /* its own writes */
    const void *word;               /* SLEEPING: on */
    int64_t deadline;
    int target;                     /* JOINING */
    int64_t ticks;                  /* of its own clock */
    int priority;                   /* random schedules */
    uint16_t step;                  /* number of its last step */
    clocks clock;
    x_site site;                    /* its last step */
} fibers[THREADS];

static struct fiber *me;            /* the running one; NULL: the controller */
static jmp_buf controller;
void *x_local;
x_scenario x_tune;
size_t x_blocks;

static struct {
    uint32_t number;                /* of this execution */
    uint32_t steps;
    uint32_t writes;                /* that changed a value */
    uint32_t events;                /* values appended and heavy barriers */
    uint32_t heavy;                 /* the last such barrier */
    int threads;
    int64_t time;                   /* the part of the clock that all share */
    size_t heap;                    /* bytes in use */
    int stale, spurious, failures;  /* used up */
    int spent;                      /* deviations */
    bool failed;
    char why[400];
} run;

static char *arena;

static int number_of(const struct fiber *f) { return (int)(f - fibers); }

static void fiber_end(void);

static void fiber_main(void)
{
    struct fiber *f = me;

    if (!_setjmp(f->at)) _longjmp(controller, 1);
    for (;;) {
        me->fn(me->arg);
        fiber_end();
    }
}

/* Once, and after an execution that was left in the middle. */
static void fiber_boot(struct fiber *f)
{
    if (f->booted) return;
    f->booted = true;
    getcontext(&f->first);
    f->first.uc_stack.ss_sp = f->stack;
    f->first.uc_stack.ss_size = STACK;
    f->first.uc_link = NULL;
    makecontext(&f->first, fiber_main, 0);
    me = f;
    if (!_setjmp(controller)) setcontext(&f->first);
    me = NULL;
}

static void go_to(struct fiber *f)
{
    struct fiber *from = me;

    if (from == f) return;
    from->stack_end = (uintptr_t)__builtin_frame_address(0);
    me = f;
    x_local = f->local;
    if (!_setjmp(from->at)) _longjmp(f->at, 1);
}

/* ---- failing ---- */

static _Noreturn void leave(void)
{
    for (int i = 0; i < THREADS; i++)
        if (fibers[i].state != FREE) fibers[i].booted = false;
    me = NULL;
    _longjmp(controller, 1);
}

static _Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

static _Noreturn void fail(const char *format, ...)
{
    va_list args;

    run.failed = true;
    va_start(args, format);
    vsnprintf(run.why, sizeof run.why, format, args);
    va_end(args);
    if (!me) die(run.why);
    leave();
}

void x_fail(const char *what, const char *func, int line)
{
    if (me) fail("t%d %s:%d: %s", number_of(me), func, line, what);
    run.failed = true;
    snprintf(run.why, sizeof run.why, "at the end %s:%d: %s", func, line, what);
}

/* ---- choices ---- */

typedef struct choice {
    uint16_t step;
    char kind;
    uint8_t n, free, at;            /* alternatives; how many cost nothing; the chosen one */
} choice;

static enum { SEARCH, RANDOM, REPLAY } mode;
static choice path[CHOICES];        /* SEARCH: this execution's; the first are given */
static int depth, given;
static choice taken[CHOICES];       /* what was not the first alternative */
static int n_taken;
static bool cut;                    /* the bound has kept us from something */
static int bound;
static uint64_t seed;
static bool tracing;

static uint32_t random_below(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)((seed >> 20) % n);
}

static int choose_in_search(char kind, int n, int n_free)
{
    choice *c = &path[depth];

    if (n > n_free && run.spent >= bound) {
        n = n_free;
        cut = true;
    }
    if (n == 1) return 0;
    if (depth == CHOICES) fail("too many choices");
    if (depth++ < given) {
        if (c->step != me->step || c->kind != kind || c->n != n)
            fail("not the same execution again: x_reset leaves something out");
    } else {
        *c = (choice){ me->step, kind, (uint8_t)n, (uint8_t)n_free, 0 };
    }
    return c->at;
}

static int choose_in_replay(char kind, int n)
{
    for (int i = 0; i < given; i++)
        if (path[i].step == me->step && path[i].kind == kind)
            return path[i].at < n ? path[i].at : 0;
    return 0;
}

/* likely: what a random schedule takes, or below 0: mostly the first. */
static int choose(char kind, int n, int n_free, int likely)
{
    int at;

    if (mode == SEARCH) at = choose_in_search(kind, n, n_free);
    else if (mode == REPLAY) at = choose_in_replay(kind, n);
    else if (likely >= 0) at = likely;
    else at = random_below(8) ? 0 : (int)random_below((uint32_t)n);
    if (at >= n_free) run.spent++;
    if (at && n_taken < CHOICES)
        taken[n_taken++] = (choice){ me->step, kind, (uint8_t)n, 0, (uint8_t)at };
    return at;
}

/* Goes back to the last choice that has another alternative; false: none. */
static bool backtrack(void)
{
    while (depth > 0 && path[depth - 1].at + 1 >= path[depth - 1].n) depth--;
    if (depth == 0) return false;
    path[depth - 1].at++;
    given = depth;
    return true;
}

/* ---- who runs ---- */

static uint32_t change_at[4];       /* RANDOM: steps at which the running thread falls back */
static int lowest;

static bool is_runnable(const struct fiber *f)
{
    return f->state == READY || (f->state == PAUSED && run.writes - f->own != f->seen);
}

static bool is_timed(const struct fiber *f)
{
    return f->state == SLEEPING && f->deadline != INT64_MAX;
}

/* Appends the threads after me, in a circle, that which() accepts. */
static int append(struct fiber **list, int n, bool (*which)(const struct fiber *))
{
    for (int k = 1; k <= run.threads; k++) {
        struct fiber *f = &fibers[(number_of(me) + k) % run.threads];

        if (f != me && which(f)) list[n++] = f;
    }
    return n;
}

static bool may_wake_spuriously(const struct fiber *f)
{
    return f->state == SLEEPING && run.spurious < x_tune.spurious;
}

/* RANDOM: the runnable one of the highest priority. */
static int most_urgent(struct fiber *const *list, int n)
{
    int best = 0;

    if (random_below(24) == 0) return (int)random_below((uint32_t)n);
    for (int i = 1; i < n; i++)
        if (list[i]->priority > list[best]->priority) best = i;
    return best;
}

static void hand_over(struct fiber *f)
{
    if (f->state == SLEEPING && is_timed(f)) {      /* its time has come */
        if (run.time < f->deadline) run.time = f->deadline;
    } else if (f->state == SLEEPING) {
        run.spurious++;
    }
    f->state = READY;
    go_to(f);
}

/* Before a step of mine: somebody else may go on instead. */
static void point(void)
{
    struct fiber *list[3 * THREADS];
    int n = 1, likely = 0;

    if (mode == SEARCH && cut && run.spent >= bound) return;
    list[0] = me;
    n = append(list, n, is_runnable);
    if (mode == RANDOM && n > 1) {
        for (int i = 0; i < 4; i++)
            if (change_at[i] == run.steps) me->priority = --lowest;
        likely = most_urgent(list, n);
    }
    n = append(list, n, is_timed);
    n = append(list, n, may_wake_spuriously);
    if (n == 1) return;
    if (mode == RANDOM && random_below(32) == 0) likely = (int)random_below((uint32_t)n);
    hand_over(list[choose('p', n, 1, likely)]);
}

static bool is_paused(const struct fiber *f) { return f->state == PAUSED; }

static void nobody_can_go_on(void)
{
    static const char *const names[] = { "free", "ready", "spinning", "asleep", "joining", "done" };
    char text[300];
    size_t n = 0;

    for (int i = 0; i < run.threads && n < sizeof text - 60; i++)
        if (fibers[i].state != DONE)
            n += (size_t)snprintf(text + n, sizeof text - n, "%st%d %s in %.24s:%d", n ? ", " : "",
                                  i, names[fibers[i].state], fibers[i].site.func,
                                  fibers[i].site.line);
    fail("nobody can go on: %s", text);
}

/* I cannot go on: somebody else does. Returns when I can. */
static void block(void)
{
    struct fiber *list[3 * THREADS];
    int n, n_free;

    me->step = (uint16_t)++run.steps;
    n = n_free = append(list, 0, is_runnable);
    n = append(list, n, is_timed);
    n = append(list, n, may_wake_spuriously);
    if (n_free == 0) {              /* time passes */
        n = append(list, 0, is_timed);
        if (is_timed(me)) list[n++] = me;
        n_free = n;
        if (n == 0) n = append(list, 0, is_paused);
        if (n == 0 && me->state == PAUSED) list[n++] = me;
        if (n == 0) nobody_can_go_on();
        if (n_free == 0) n = n_free = 1;    /* those who spin take turns */
    }
    hand_over(list[choose('b', n, n_free, mode == RANDOM ? most_urgent(list, n_free) : -1)]);
}

static void come_to_rest(void)
{
    me->pausing = false;
    if (!me->saw_old && run.writes - me->own == me->seen) {
        me->state = PAUSED;
        block();
    }
    me->saw_old = false;
    me->seen = run.writes - me->own;
}

static void step(x_site site)
{
    me->step = (uint16_t)++run.steps;
    if (run.steps == STEPS) fail("a run without end, in %s:%d", site.func, site.line);
    if (me->pausing) come_to_rest();
    me->site = site;
}

/* ---- memory: what is known of each place ---- */

/* Of 8 bytes, of their upper 4 if these are accessed alone, or of one byte that is. */
struct cell {
    uint32_t run;                   /* all below is of that execution */
    uint16_t word;                  /* index of the atomic word that begins here, or 0 */
    uint16_t step;                  /* of the last plain store, */
    count stored;                   /* when, */
    uint8_t by;                     /* by whom */
    bool gone;
    bool halved, split;             /* there are cells for its upper half, for bytes, too */
    count loaded[THREADS];          /* plain loads since */
};

/* The arena, and the program's static data. */
static struct region {
    uintptr_t base;
    size_t size;
    struct cell *cells, *bytes;
    uint8_t *contended;             /* by cell: learnt, kept from execution to execution */
} regions[2];
static bool learnt;                 /* something new in contended */

/* A value that an atomic word had. */
struct value {
    uintptr_t v;
    clocks released;                /* what an acquire gets */
    clocks read;                    /* by whom first, and when */
    uint32_t event;                 /* when it was appended */
    count at;
    uint8_t by;
    bool seq_cst;
};

static struct word {
    uintptr_t address;
    clocks written, read;           /* last atomic accesses */
    struct cell *cell;
    bool contended;
    bool restart;                   /* a plain store came in between */
    uint8_t size;
    uint8_t n, top;                 /* values known; the newest's place */
    struct value values[OLDER + 1];
} words[WORDS];
static int n_words;

static struct region *region_of(uintptr_t a)
{
    if (a - regions[0].base < regions[0].size) return &regions[0];
    if (a - regions[1].base < regions[1].size) return &regions[1];
    return NULL;
}

static void regions_init(void)
{
    extern char __data_start[], _end[];
    uintptr_t begin = (uintptr_t)__data_start & ~(uintptr_t)7;

    arena = (char *)pages(ARENA);
    regions[0].base = (uintptr_t)arena;
    regions[0].size = ARENA;
    regions[1].base = begin;
    regions[1].size = (uintptr_t)_end - begin + 8;
    for (int i = 0; i < 2; i++) {
        struct region *r = &regions[i];

        r->cells = (struct cell *)pages((r->size / 4 + 1) * sizeof(struct cell));
        r->bytes = (struct cell *)pages((r->size + 1) * sizeof(struct cell));
        r->contended = (uint8_t *)pages(r->size / 4 + 1);
    }
}

static void fresh(struct cell *c)
{
    if (c->run == run.number) return;
    memset(c, 0, sizeof *c);
    c->run = run.number;
}

static clocks loads_of(const struct cell *c)
{
    clocks v;

    memcpy(&v, c->loaded, sizeof v);
    return v;
}

/* Nobody touches the frame of a function that has returned. */
static void check_stack(uintptr_t a)
{
    size_t off = a - (uintptr_t)fibers[0].stack;
    const struct fiber *f = &fibers[off / STACK];

    if (off < (size_t)THREADS * STACK && f != me && a < f->stack_end)
        fail("touches a stack frame of t%d that is gone, after %s:%d", number_of(f), me->site.func,
             me->site.line);
}

static _Noreturn void race(const struct cell *c, const char *mine, const char *theirs)
{
    fail("a race: %s by t%d after %s:%d, ordered by nothing against %s (last plain store at step "
         "%u by t%d)", mine, number_of(me), me->site.func, me->site.line, theirs, c->step, c->by);
}

static void plain_load(struct cell *c)
{
    int t = number_of(me);

    if (c->stored > me->clock[c->by]) race(c, "a load", "a store");
    if (c->word && beyond(words[c->word].written, me->clock)) race(c, "a load", "an atomic store");
    c->loaded[t] = me->clock[t];
}

static void plain_store(struct cell *c)
{
    int t = number_of(me);

    if (c->stored > me->clock[c->by]) race(c, "a store", "a store");
    if (beyond(loads_of(c), me->clock)) race(c, "a store", "a load");
    if (c->word) {
        struct word *w = &words[c->word];

        if (beyond(w->written, me->clock) || beyond(w->read, me->clock))
            race(c, "a store", "an atomic access");
        w->restart = true;
    }
    memset(c->loaded, 0, sizeof c->loaded);
    c->stored = me->clock[t];
    c->by = (uint8_t)t;
    c->step = (uint16_t)run.steps;
}

static void plain_access(struct cell *c, bool store)
{
    fresh(c);
    if (store) plain_store(c);
    else plain_load(c);
}

/* The cell of the 8 bytes around a, of this execution and not gone. */
static struct cell *cell_at(const struct region *r, uintptr_t a)
{
    struct cell *c = &r->cells[(a - r->base) / 8 * 2];

    fresh(c);
    if (c->gone) fail("touches memory that is gone, after %s:%d", me->site.func, me->site.line);
    check_stack(a);
    return c;
}

/* The same for part of them: what is known of all goes over to it. */
static struct cell *upper_of(struct cell *c)
{
    if (!c->halved) {
        fresh(c + 1);
        c[1].stored = c->stored;
        c[1].by = c->by;
        c[1].step = c->step;
        memcpy(c[1].loaded, c->loaded, sizeof c->loaded);
        c->halved = true;
    }
    return c + 1;
}

static void plain(uintptr_t a, size_t n, bool store)
{
    const struct region *r = region_of(a);
    struct cell *c;

    if (!me || !r) return;
    c = cell_at(r, a);
    if (n == 1) {
        c->split = true;
        plain_access(&r->bytes[a - r->base], store);
    } else if (n == 4) {
        struct cell *upper = upper_of(c);

        plain_access(a & 4 ? upper : c, store);
    } else {
        for (uintptr_t end = a + n; a < end; a = (a | 7) + 1) {
            c = cell_at(r, a);
            if (!(a & 4)) plain_access(c, store);
            if ((a & 4) || c->halved) plain_access(upper_of(c), store);
        }
    }
}

/* A block operation: also the bytes in it that are accessed alone. */
void x_noted(const void *p, size_t n, bool write)
{
    uintptr_t a = (uintptr_t)p;
    const struct region *r = region_of(a);

    if (!me || !r || n == 0) return;
    plain(a, n, write);
    for (size_t i = 0; n > 1 && i < n; i++) {
        if (cell_at(r, a + i)->split) plain_access(&r->bytes[a - r->base + i], write);
        else i |= 7;
    }
}

static void mark(const void *p, size_t n, bool gone)
{
    uintptr_t a = (uintptr_t)p;
    const struct region *r = region_of(a);

    if (!r) die("x_gone: neither static nor allocated");
    for (size_t i = 0; i < n; i += 8) {
        struct cell *c = &r->cells[(a - r->base + i) / 8 * 2];

        fresh(c);
        c->gone = gone;
    }
}

/* As if it were written to: a race against who has touched it since he let it go. */
void x_gone(const void *p, size_t n)
{
    x_noted(p, n, true);
    mark(p, n, true);
}

void x_back(const void *p, size_t n) { mark(p, n, false); }

/* ---- memory: atomic words ---- */

static uintptr_t peek(uintptr_t a, size_t size)
{
    return size == 4 ? *(uint32_t *)a : size == 8 ? (uintptr_t)*(uint64_t *)a : *(uint8_t *)a;
}

static void poke(uintptr_t a, size_t size, uintptr_t v)
{
    if (size == 4) *(uint32_t *)a = (uint32_t)v;
    else if (size == 8) *(uint64_t *)a = v;
    else *(uint8_t *)a = (uint8_t)v;
}

static struct value *newest(struct word *w) { return &w->values[w->top]; }

static struct value *older(struct word *w, int k)
{
    return &w->values[(w->top + OLDER + 1 - k) % (OLDER + 1)];
}

/* The history begins with what is there, put by plain stores. */
static void begin_history(struct word *w)
{
    w->restart = false;
    w->n = 1;
    w->top = 0;
    memset(&w->values[0], 0, sizeof w->values[0]);
    w->values[0].v = peek(w->address, w->size);
}

static struct word *word_at(uintptr_t a, size_t size)
{
    struct region *r = region_of(a);
    struct cell *c;
    struct word *w;

    if (!r) die("an atomic word on the controller's stack");
    c = cell_at(r, a);
    if (size == 4) c = upper_of(c) - !(a & 4);
    if (size == 1) {
        c->split = true;
        c = &r->bytes[a - r->base];
        fresh(c);
    }
    if (c->word) {
        w = &words[c->word];
        if (w->size != size) {      /* of a stack frame that is gone: a word of this size now */
            w->size = (uint8_t)size;
            begin_history(w);
        }
        return w;
    }
    if (n_words == WORDS) die("too many atomic words");
    c->word = (uint16_t)n_words;
    w = &words[n_words++];
    memset(w, 0, offsetof(struct word, values));
    w->address = a;
    w->size = (uint8_t)size;
    w->cell = c;
    w->contended = r->contended[(a - r->base) / 4];
    begin_history(w);
    return w;
}

static void learn(struct word *w)
{
    struct region *r = region_of(w->address);

    w->contended = true;
    r->contended[(w->address - r->base) / 4] = 1;
    learnt = true;
}

/* Begins an atomic step: lets others come in between, checks it against plain
   accesses, learns whether the word is contended. */
static struct word *enter(uintptr_t a, size_t size, bool write, x_site site)
{
    struct word *w;
    struct cell *c;

    step(site);
    w = word_at(a, size);
    if (w->contended || mode == REPLAY) point();
    c = w->cell;
    cell_at(region_of(a), a);
    if (c->stored > me->clock[c->by]) race(c, "an atomic access", "a store");
    if (write && beyond(loads_of(c), me->clock)) race(c, "an atomic store", "a load");
    if (!w->contended &&
        (beyond(w->written, me->clock) || (write && beyond(w->read, me->clock))))
        learn(w);
    if (w->restart) begin_history(w);
    if (write) w->written[number_of(me)] = me->clock[number_of(me)];
    else w->read[number_of(me)] = me->clock[number_of(me)];
    return w;
}

/* Whether I must know of this value, so that no older one can be read. */
static bool is_known(const struct value *v, int order)
{
    clocks none = { 0 }, when = v->read;

    if (v->at <= me->clock[v->by] || v->event <= run.heavy) return true;
    if (v->seq_cst && order == X_SEQ_CST) return true;
    /* a first read that happened before: a count that is not 0 and not beyond mine */
    return beyond((clocks)(when > none) & ~(clocks)(when > me->clock), none);
}

static struct value *pick(struct word *w, int order)
{
    int n = 1;

    while (n < w->n && !is_known(older(w, n - 1), order)) n++;
    if (n > 1 && run.stale < x_tune.stale) {
        int k = choose('s', n, 1, -1);

        if (k) {
            run.stale++;
            me->saw_old = true;
            return older(w, k);
        }
    }
    return newest(w);
}

static void observe(struct value *v, int order)
{
    int t = number_of(me);

    if (v->read[t] == 0) v->read[t] = me->clock[t];
    if (order & X_ACQUIRE) me->clock = later(me->clock, v->released);
}

static void append_value(struct word *w, uintptr_t v, int order, clocks released)
{
    int t = number_of(me);
    struct value *x;

    if (v != newest(w)->v) {
        run.writes++;
        me->own++;
    }
    w->top = (uint8_t)((w->top + 1) % (OLDER + 1));
    if (w->n <= OLDER) w->n++;
    x = newest(w);
    memset(x, 0, sizeof *x);
    x->v = v;
    x->event = ++run.events;
    x->at = me->clock[t];
    x->by = (uint8_t)t;
    x->seq_cst = order == X_SEQ_CST;
    x->released = released;
    if (order & X_RELEASE) {
        x->released = later(released, me->clock);
        me->clock[t]++;
    }
    poke(w->address, w->size, v);
}

static uintptr_t mask(uintptr_t v, size_t size)
{
    return size == 4 ? (uint32_t)v : size == 1 ? (uint8_t)v : v;
}

static void trace(const char *what, int order, uintptr_t a, uintptr_t v, uintptr_t v2);

uintptr_t x_load(const void *p, size_t size, int order, x_site site)
{
    struct word *w;
    struct value *v;

    if (!me) return peek((uintptr_t)p, size);
    w = enter((uintptr_t)p, size, false, site);
    v = pick(w, order);
    observe(v, order);
    if (tracing) trace(v == newest(w) ? "load" : "load OLD", order, w->address, v->v, 0);
    return v->v;
}

void x_store(void *p, size_t size, uintptr_t v, int order, x_site site)
{
    clocks none = { 0 };
    struct word *w = enter((uintptr_t)p, size, true, site);

    append_value(w, mask(v, size), order, none);
    if (tracing) trace("store", order, w->address, mask(v, size), 0);
}

/* The rest of a read-modify-write; it continues the release sequence. */
static uintptr_t modify(struct word *w, uintptr_t v, int order)
{
    uintptr_t old = newest(w)->v;
    clocks released = newest(w)->released;

    observe(newest(w), order);
    append_value(w, mask(v, w->size), order, released);
    if (tracing) trace("swap", order, w->address, mask(v, w->size), old);
    return old;
}

uintptr_t x_exchange(void *p, size_t size, uintptr_t v, int order, x_site site)
{
    return modify(enter((uintptr_t)p, size, true, site), v, order);
}

uintptr_t x_add(void *p, size_t size, uintptr_t v, int order, x_site site)
{
    struct word *w = enter((uintptr_t)p, size, true, site);

    return modify(w, newest(w)->v + v, order);
}

uintptr_t x_and(void *p, size_t size, uintptr_t v, int order, x_site site)
{
    struct word *w = enter((uintptr_t)p, size, true, site);

    return modify(w, newest(w)->v & v, order);
}

bool x_cas(void *p, size_t size, void *e, uintptr_t v, int order, int failed, x_site site)
{
    struct word *w = enter((uintptr_t)p, size, true, site);

    if (newest(w)->v == peek((uintptr_t)e, size)) {
        modify(w, v, order);
        return true;
    }
    observe(newest(w), failed);
    poke((uintptr_t)e, size, newest(w)->v);
    if (tracing) trace("cas failed", failed, w->address, newest(w)->v, 0);
    return false;
}

/* ---- the other steps ---- */

void x_heavy(x_site site)
{
    if (x_tune.portable) return;
    step(site);
    point();
    run.heavy = ++run.events;
    if (tracing) trace("heavy", 0, 0, 0, 0);
}

void x_point(void)
{
    step((x_site){ "scenario", 0 });
    point();
}

/* As the kernel does: looks at the newest value, with its own barriers. */
void x_wait(const void *word, uint32_t expected, int64_t deadline, x_site site)
{
    step(site);
    point();
    if (peek((uintptr_t)word, 4) != expected) return;
    if (tracing) trace("sleep", 0, (uintptr_t)word, expected, 0);
    me->state = SLEEPING;
    me->word = word;
    me->deadline = deadline;
    block();
    if (tracing) trace("woke", 0, (uintptr_t)word, 0, 0);
}

void x_wake(const void *word, x_site site)
{
    step(site);
    point();
    for (int i = 0; i < run.threads; i++)
        if (fibers[i].state == SLEEPING && fibers[i].word == word) fibers[i].state = READY;
    if (tracing) trace("wake", 0, (uintptr_t)word, 0, 0);
}

void x_pause(int64_t ns)
{
    me->pausing = true;
    me->ticks += ns;
}

void x_time(int64_t ns) { me->ticks += ns; }

int64_t x_now(void)
{
    if (!me) return 1;
    me->ticks += TICK;
    return run.time + me->ticks;
}

uintptr_t x_self(void) { return (uintptr_t)number_of(me); }

static bool fails(void)
{
    if (run.failures >= x_tune.failures || choose('f', 2, 1, -1) == 0) return false;
    run.failures++;
    return true;
}

static int start(void (*fn)(void *), void *arg)
{
    struct fiber *f = &fibers[run.threads];

    if (run.threads == THREADS) fail("more than %d threads", THREADS);
    run.threads++;
    f->fn = fn;
    f->arg = arg;
    f->state = READY;
    f->mine = f->held = f->pausing = f->saw_old = false;
    f->stack_end = (uintptr_t)f->stack + STACK;
    f->seen = f->own = 0;
    f->ticks = me ? me->ticks : 0;
    f->priority = (int)random_below(1000);
    memset(f->local, 0, LOCAL);
    x_begin_local(f->local);
    memset(&f->clock, 0, sizeof f->clock);
    if (me) f->clock = me->clock;
    f->clock[number_of(f)] = 1;
    if (me) me->clock[number_of(me)]++;
    return number_of(f);
}

bool x_start(void (*fn)(void *), void *arg, uintptr_t *id, x_site site)
{
    step(site);
    point();
    if (fails()) return false;
    *id = (uintptr_t)start(fn, arg);
    fibers[*id].held = true;
    if (tracing) trace("start", 0, 0, *id, 0);
    return true;
}

int x_go(void (*fn)(void *), void *arg)
{
    int id;

    step((x_site){ "x_go", 0 });
    id = start(fn, arg);
    fibers[id].mine = true;
    return id;
}

void x_join(int thread)
{
    step((x_site){ "x_join", thread });
    if (fibers[thread].state != DONE) {
        me->state = JOINING;
        me->target = thread;
        block();
    }
    me->clock = later(me->clock, fibers[thread].clock);
    fibers[thread].held = false;
}

void x_detach(int thread) { fibers[thread].held = false; }

void x_join_all(void)
{
    for (int i = 0; i < run.threads; i++)
        if (fibers[i].mine) x_join(i);
}

static void fiber_end(void)
{
    bool all = true;

    me->state = DONE;
    for (int i = 0; i < run.threads; i++) {
        struct fiber *f = &fibers[i];

        if (f->state == JOINING && f->target == number_of(me)) f->state = READY;
        all = all && f->state == DONE;
    }
    if (all) {
        if (!_setjmp(me->at)) {
            me = NULL;
            _longjmp(controller, 1);
        }
    } else {
        block();
    }
}

/* Its frames stay where they are; it gets a new context for the next execution. */
void x_exit(void)
{
    me->booted = false;
    fiber_end();
    die("a thread goes on after its end");
}

/* Nothing is used twice in one execution: so a late touch is seen. */
void *x_alloc(size_t n)
{
    char *p = arena + (size_t)THREADS * (LOCAL + STACK) + run.heap;
    size_t size = (n + 31) / 16 * 16;

    step((x_site){ "x_alloc", 0 });
    if (fails()) return NULL;
    run.heap += size;
    if (run.heap > HEAP) fail("the heap is too small");
    memset(p, 0, size);
    *(size_t *)(void *)p = n;
    x_blocks++;
    return p + 16;
}

void x_free(void *p)
{
    if (!p) return;
    x_blocks--;
    x_gone(p, ((size_t *)p)[-2]);
}

/* ---- what the compiler's pass calls ---- */

#define PASS(n) \
    void __tsan_read##n(void *p); \
    void __tsan_write##n(void *p); \
    void __tsan_unaligned_read##n(void *p); \
    void __tsan_unaligned_write##n(void *p); \
    void __tsan_read##n(void *p) { plain((uintptr_t)p, n, false); } \
    void __tsan_write##n(void *p) { plain((uintptr_t)p, n, true); } \
    void __tsan_unaligned_read##n(void *p) { plain((uintptr_t)p, n, false); } \
    void __tsan_unaligned_write##n(void *p) { plain((uintptr_t)p, n, true); }
PASS(1)
PASS(2)
PASS(4)
PASS(8)
PASS(16)

void __tsan_init(void);
void __tsan_func_entry(void *pc);
void __tsan_func_exit(void);
void __tsan_read_range(void *p, size_t n);
void __tsan_write_range(void *p, size_t n);
void __tsan_atomic_signal_fence(int order);
void *__tsan_memcpy(void *to, const void *from, size_t n);
void *__tsan_memmove(void *to, const void *from, size_t n);
void *__tsan_memset(void *p, int c, size_t n);

void __tsan_init(void) {}
void __tsan_func_entry(void *pc) { (void)pc; }
void __tsan_func_exit(void) {}
void __tsan_read_range(void *p, size_t n) { x_noted(p, n, false); }
void __tsan_write_range(void *p, size_t n) { x_noted(p, n, true); }
void __tsan_atomic_signal_fence(int order) { (void)order; }

void *__tsan_memcpy(void *to, const void *from, size_t n)
{
    x_noted(from, n, false);
    x_noted(to, n, true);
    return memcpy(to, from, n);
}

void *__tsan_memmove(void *to, const void *from, size_t n)
{
    x_noted(from, n, false);
    x_noted(to, n, true);
    return memmove(to, from, n);
}

void *__tsan_memset(void *p, int c, size_t n)
{
    x_noted(p, n, true);
    return memset(p, c, n);
}

/* ---- traces and schedules ---- */

static const char *place(uintptr_t a, char *text, size_t size)
{
    size_t off = a - (uintptr_t)arena, stacks = (size_t)THREADS * LOCAL;

    if (a == 0) return "";
    if (off >= ARENA) snprintf(text, size, "static+%lx", (unsigned long)(a - regions[1].base));
    else if (off < stacks)
        snprintf(text, size, "local of t%zu+%zu", off / LOCAL, off % LOCAL);
    else if (off < stacks + (size_t)THREADS * STACK)
        snprintf(text, size, "stack of t%zu-%zu", (off - stacks) / STACK,
                 STACK - (off - stacks) % STACK);
    else
        snprintf(text, size, "heap+%zu", off - stacks - (size_t)THREADS * STACK);
    return text;
}

static void trace(const char *what, int order, uintptr_t a, uintptr_t v, uintptr_t v2)
{
    static const char *const orders[] = { "", "acquire", "release", "acq_rel", "", "", "",
                                          "seq_cst" };
    char text[64];

    printf("# %4u t%d %*s%s:%d %s %s %s %lx", run.steps, number_of(me), 4 * number_of(me), "",
           me->site.func, me->site.line, what, orders[order], place(a, text, sizeof text),
           (unsigned long)v);
    if (v2) printf(" (was %lx)", (unsigned long)v2);
    putchar('\n');
}

static void print_schedule(void)
{
    for (int i = 0; i < n_taken; i++)
        printf("%s%u%c%u", i ? " " : "", taken[i].step, taken[i].kind, taken[i].at);
}

static void parse_schedule(const char *text)
{
    unsigned at, alternative;
    char kind;
    int used;

    given = 0;
    while (sscanf(text, "%u%c%u%n", &at, &kind, &alternative, &used) == 3 && given < CHOICES) {
        path[given++] = (choice){ (uint16_t)at, kind, 0, 0, (uint8_t)alternative };
        text += used;
        while (*text == ' ') text++;
    }
}

/* ---- running scenarios ---- */

static x_scenario *scenarios, **scenarios_end = &scenarios;

void x_enlist(x_scenario *s)
{
    *scenarios_end = s;
    scenarios_end = &s->next;
}

static void scenario_main(void *arg) { (void)arg; x_tune.run(); }

/* One execution; false: it failed. */
static bool execute(void)
{
    uint32_t number = run.number;

    memset(&run, 0, sizeof run);
    run.number = number + 1;
    run.time = 1000000;
    n_words = 1;
    depth = n_taken = 0;
    x_blocks = 0;
    lowest = -1;
    for (int i = 0; i < THREADS; i++) fibers[i].state = FREE;
    x_reset();
    if (mode == RANDOM)
        for (int i = 0; i < 4; i++) change_at[i] = random_below(400);
    start(scenario_main, NULL);
    if (!_setjmp(controller)) {
        me = &fibers[0];
        x_local = me->local;
        _longjmp(me->at, 1);
    }
    for (int i = 0; i < THREADS; i++) fiber_boot(&fibers[i]);
    if (!run.failed) x_finally();
    for (int i = 0; i < THREADS && !run.failed; i++)
        if (fibers[i].state == DONE && fibers[i].held)
            x_fail("a thread was neither joined nor detached", "thread", i);
    return !run.failed;
}

struct tally { unsigned long executions, random; int complete, restarts; bool all; };

/* All executions with up to bound deviations. false: one failed, or too many. */
static bool search(struct tally *t, unsigned long most)
{
    mode = SEARCH;
    depth = given = 0;
    cut = false;
    for (;;) {
        if (t->executions >= most) return false;
        t->executions++;
        if (!execute()) return false;
        if (learnt) {
            learnt = false;
            t->restarts++;
            given = 0;
            cut = false;
        } else if (!backtrack()) {
            return true;
        }
    }
}

static bool random_schedules(struct tally *t, unsigned long n, uint64_t first)
{
    mode = RANDOM;
    for (unsigned long i = 0; i < n; i++) {
        seed = (first + i) * 0x9e3779b97f4a7c15u + 1;
        random_below(2);
        t->random++;
        if (!execute()) return false;
    }
    return true;
}

static void set_defaults(const x_scenario *s)
{
    x_tune = *s;
    if (!x_tune.bound) x_tune.bound = 3;
    if (!x_tune.stale) x_tune.stale = 2;
    if (!x_tune.inbox) x_tune.inbox = 4;
    if (!x_tune.ring) x_tune.ring = 4;
    if (!x_tune.chunk) x_tune.chunk = 256;
    if (!x_tune.fairness) x_tune.fairness = 61;
    for (int i = 0; i < 2; i++) memset(regions[i].contended, 0, regions[i].size / 4 + 1);
    learnt = false;
}

static struct {
    unsigned long most, random;
    int bound;                      /* below 0: the scenario's */
    uint64_t seed;
    unsigned long part, parts;
    const char *without[4];
    size_t withouts;
} option = { .most = 95000, .bound = -1, .seed = 1, .part = 1, .parts = 1 };

static bool explore(const x_scenario *s, struct tally *t)
{
    unsigned long most = option.most;
    int highest = option.bound;
    bool went = true;

    set_defaults(s);
    memset(t, 0, sizeof *t);
    t->complete = -1;
    if (option.random) return random_schedules(t, option.random, option.seed);
    if (highest < 0) highest = x_tune.bound;
    for (bound = 0; bound <= highest && went && !t->all; bound++) {
        went = search(t, most);
        if (went) t->complete = bound;
        t->all = went && !cut;
    }
    if (run.failed) return false;
    return t->complete >= highest || t->all || random_schedules(t, most / 2, option.seed);
}

static double seconds(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void report(int number, const x_scenario *s, bool good, const struct tally *t, double took)
{
    printf("%sok %d - %s\n", good ? "" : "not ", number, s->name);
    printf("# %s\n", s->shows);
    if (t->all) printf("# all of it: ");
    else if (t->complete >= 0) printf("# all with up to %d deviations: ", t->complete);
    else printf("# ");
    printf("%lu executions", t->executions);
    if (t->random) printf(", %lu random ones from seed %llu", t->random,
                          (unsigned long long)option.seed);
    printf(", %.2f s, %.0f a second\n", took, (double)(t->executions + t->random) / took);
    if (!good) {
        printf("# %s\n# explore --replay \"", run.why);
        print_schedule();
        printf("\" %s\n", s->name);
    }
    fflush(stdout);
}

static int replay(const x_scenario *s, const char *schedule)
{
    set_defaults(s);
    mode = REPLAY;
    parse_schedule(schedule);
    tracing = true;
    if (execute()) {
        printf("# nothing went wrong\n");
        return 0;
    }
    printf("# %s\n", run.why);
    return 1;
}

static bool is_wanted(const char *name, char **names, int n)
{
    for (size_t i = 0; i < option.withouts; i++)
        if (strstr(name, option.without[i])) return false;
    for (int i = 0; i < n; i++)
        if (strstr(name, names[i])) return true;
    return n == 0;
}

static void list_all(char **names, int n)
{
    for (const x_scenario *s = scenarios; s; s = s->next)
        if (is_wanted(s->name, names, n)) printf("%-40s %s\n", s->name, s->shows);
}

/* Explores all that are wanted; the exit status. */
static int run_all(char **names, int n, bool stop)
{
    unsigned long sum = 0;
    double begun = seconds();
    int number = 0, failed = 0;
    unsigned long at = 0;

    for (const x_scenario *s = scenarios; s && !(stop && failed); s = s->next) {
        double from = seconds();
        struct tally t;
        bool good;

        if (!is_wanted(s->name, names, n) || at++ % option.parts + 1 != option.part) continue;
        good = explore(s, &t);
        report(++number, s, good, &t, seconds() - from);
        sum += t.executions + t.random;
        if (!good) failed++;
    }
    printf("1..%d\n# %lu executions in %.1f s, %d scenarios failed\n", number, sum,
           seconds() - begun, failed);
    return failed > 0;
}

static void make_fibers(void)
{
    regions_init();
    for (int i = 0; i < THREADS; i++) {
        fibers[i].local = arena + i * LOCAL;
        fibers[i].stack = arena + THREADS * LOCAL + i * STACK;
        fiber_boot(&fibers[i]);
    }
}

static unsigned long number_at(char **argv, int *i)
{
    if (!argv[*i + 1]) die("a number is missing");
    return strtoul(argv[++*i], NULL, 10);
}

static void part_at(char **argv, int *i)
{
    option.part = number_at(argv, i);
    option.parts = number_at(argv, i);
    if (!option.part || option.part > option.parts) die("there is no such part");
}

int main(int argc, char **argv)
{
    const char *schedule = NULL;
    const x_scenario *s = scenarios;
    bool list = false, stop = false;
    int i;

    for (i = 1; i < argc && argv[i][0] == '-'; i++) {
        if (!strcmp(argv[i], "--list")) list = true;
        else if (!strcmp(argv[i], "--stop")) stop = true;
        else if (!strcmp(argv[i], "--quick")) option.most = 7000;
        else if (!strcmp(argv[i], "--max")) option.most = number_at(argv, &i);
        else if (!strcmp(argv[i], "--part")) part_at(argv, &i);
        else if (!strcmp(argv[i], "--bound")) option.bound = (int)number_at(argv, &i);
        else if (!strcmp(argv[i], "--random")) option.random = number_at(argv, &i);
        else if (!strcmp(argv[i], "--seed")) option.seed = number_at(argv, &i);
        else if (!strcmp(argv[i], "--without") && argv[i + 1] && option.withouts < 4)
            option.without[option.withouts++] = argv[++i];
        else if (!strcmp(argv[i], "--replay") && argv[i + 1]) schedule = argv[++i];
        else die("an option that I do not know; see the head of explore.c");
    }
    make_fibers();
    if (list) {
        list_all(argv + i, argc - i);
        return 0;
    }
    if (!schedule) return run_all(argv + i, argc - i, stop);
    while (s && (i == argc || strcmp(s->name, argv[i]))) s = s->next;
    if (!s) die("no such scenario");
    return replay(s, schedule);
}
