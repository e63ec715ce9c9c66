/* mainloop: an executor of one's own. Graphical programs have a thread that
   alone may touch the screen. Here that thread is main, and its loop is an
   executor: whoever submits a task to it gets it run there.

       cc -I. -pthread examples/mainloop.c -o mainloop && ./mainloop

   A thread pool counts primes, in four parts. After each step a part submits an
   update to the main loop and waits until it is shown. Since only the main
   thread touches struct screen, the screen needs no lock.

   An executor is a struct that begins with cfut_executor, and a table of
   functions. The library does everything else: futures, waiting, callbacks,
   typed submits. */
#define CFUT_IMPLEMENTATION
#include "cfut.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "Usage: mainloop\n"
    "Counts primes in a thread pool whose tasks report to the main thread's loop.\n";

/* ---- the executor ---- */

struct main_loop {
    cfut_executor base;                 /* first: a pointer to it is one to all */
    pthread_mutex_t lock;               /* protects all below; no cfut call while it is held */
    pthread_cond_t filled;              /* first is no longer NULL; from loop_submit */
    cfut_future *first, **end;          /* the queue, linked by next */
    bool closed;
};

static struct main_loop *loop_of(cfut_executor *ex)
{
    return (struct main_loop *)ex;
}

/* Called by submit, in any thread. */
static int loop_submit(cfut_executor *ex, cfut_future *f)
{
    struct main_loop *loop = loop_of(ex);
    int status = CFUT_CLOSED;

    pthread_mutex_lock(&loop->lock);
    if (!loop->closed) {
        f->next = NULL;                 /* next is ours as long as f is queued here */
        *loop->end = f;
        loop->end = &f->next;
        pthread_cond_signal(&loop->filled);
        status = CFUT_OK;
    }
    pthread_mutex_unlock(&loop->lock);
    return status;
}

/* Called by cfut_cancel, in any thread. Whoever unlinks a future, this function
   or the loop, decides what becomes of it: there is only one. */
static bool loop_cancel(cfut_executor *ex, cfut_future *f)
{
    struct main_loop *loop = loop_of(ex);
    cfut_future **at;
    bool found;

    pthread_mutex_lock(&loop->lock);
    for (at = &loop->first; *at && *at != f; at = &(*at)->next)
        continue;
    found = *at != NULL;
    if (found) {
        *at = f->next;
        if (loop->end == &f->next)
            loop->end = at;
    }
    pthread_mutex_unlock(&loop->lock);
    return found;
}

static cfut_future *take_all(struct main_loop *loop)
{
    cfut_future *all;

    pthread_mutex_lock(&loop->lock);
    all = loop->first;
    loop->first = NULL;
    loop->end = &loop->first;
    pthread_mutex_unlock(&loop->lock);
    return all;
}

/* Called by cfut_close, in any thread. What it takes out of the queue, nobody
   else can run or cancel any more: so it must finish it. */
static void loop_close(cfut_executor *ex, int how)
{
    struct main_loop *loop = loop_of(ex);
    cfut_future *f, *next;

    pthread_mutex_lock(&loop->lock);
    loop->closed = true;
    pthread_mutex_unlock(&loop->lock);
    if (!(how & CFUT_CANCEL_PENDING))
        return;
    for (f = take_all(loop); f; f = next) {
        next = f->next;                 /* first: once it is finished, f is its owner's */
        cfut_finish(f, CFUT_CANCELLED);
    }
}

/* Runs the oldest task; with wait, waits for one. false: there was none. Only
   for the main thread. */
static bool loop_step(struct main_loop *loop, bool wait)
{
    cfut_future *f;

    pthread_mutex_lock(&loop->lock);
    while (wait && !loop->first)
        pthread_cond_wait(&loop->filled, &loop->lock);
    f = loop->first;
    if (f) {
        loop->first = f->next;
        if (!loop->first)
            loop->end = &loop->first;
    }
    pthread_mutex_unlock(&loop->lock);
    if (f)
        cfut_run(f);                    /* starts, calls and finishes it */
    return f != NULL;
}

/* Called by cfut_shutdown, which for this executor is the main thread's to call:
   so what is left can be run here, and there is nothing to wait for. */
static int loop_shutdown(cfut_executor *ex, int how, cfut_ns timeout)
{
    struct main_loop *loop = loop_of(ex);

    (void)timeout;
    loop_close(ex, how);
    while (loop_step(loop, false))
        continue;
    pthread_cond_destroy(&loop->filled);
    pthread_mutex_destroy(&loop->lock);
    return CFUT_OK;
}

static const cfut_executor_ops loop_ops = {
    .name = "MainLoop",
    .submit = loop_submit,
    .cancel = loop_cancel,
    .close = loop_close,
    .shutdown = loop_shutdown,
};

static void loop_init(struct main_loop *loop)
{
    *loop = (struct main_loop){.base = {.ops = &loop_ops}, .end = &loop->first};
    pthread_mutex_init(&loop->lock, NULL);
    pthread_cond_init(&loop->filled, NULL);
}

/* ---- the screen, and the tasks for the main loop ---- */

enum { PARTS = 4, STEPS = 5, NUMBERS_PER_STEP = 5000 };

/* What a window would show. Only the main thread touches it. */
struct screen {
    pthread_t main_thread;
    int steps[PARTS];                   /* shown of each part */
    int parts_left;
    int updates;
    bool wrong;                         /* an update by another thread, or out of turn */
};

struct update { struct screen *screen; int part, step; };

static int show(const struct update *u)
{
    struct screen *s = u->screen;

    if (!pthread_equal(s->main_thread, pthread_self()) || u->step != s->steps[u->part] + 1)
        s->wrong = true;
    s->steps[u->part] = u->step;
    s->updates++;
    return CFUT_OK;
}
CFUT_ACTION(show, struct update);       /* a task without result */

static int part_ended(struct screen *const *screen)
{
    (*screen)->parts_left--;
    return CFUT_OK;
}
CFUT_ACTION(part_ended, struct screen *);

/* ---- the task for the thread pool ---- */

struct part { cfut_executor *loop; struct screen *screen; int number; };

static bool is_prime(int n)
{
    for (int i = 2; i <= n / i; i++)
        if (n % i == 0)
            return false;
    return n > 1;
}

static int count_primes(const struct part *p, int *primes)
{
    int n = p->number * STEPS * NUMBERS_PER_STEP;

    *primes = 0;
    for (int step = 1; step <= STEPS; step++) {
        show_future shown;
        int status;

        for (int end = n + NUMBERS_PER_STEP; n < end; n++)
            *primes += is_prime(n);
        show_submit(p->loop, &shown, (struct update){p->screen, p->number, step});
        status = show_result(&shown);   /* waits until main has run it */
        if (status != CFUT_OK)
            return cfut_fail(status, "update refused: %s", cfut_error(&shown.base));
    }
    return CFUT_OK;
}
CFUT_TASK(count_primes, struct part, int);

/* ---- counting ---- */

/* A part and the message that it has ended: two futures in one struct. */
struct job {
    count_primes_future count;
    part_ended_future ended;
};

/* The callback of count, in the worker that ran it. It does not touch the
   screen but passes the news to the main loop. */
static void tell_ended(cfut_future *f, void *user)
{
    struct job *job = user;
    const struct part *p = &job->count.in;

    (void)f;
    part_ended_submit(p->loop, &job->ended, p->screen);
}

static bool print_part(struct job *job)
{
    int first = job->count.in.number * STEPS * NUMBERS_PER_STEP;
    int last = first + STEPS * NUMBERS_PER_STEP - 1;
    bool ok = count_primes_result(&job->count) == CFUT_OK;

    if (ok)
        printf("%d primes from %d to %d\n", job->count.out, first, last);
    else
        printf("from %d to %d: %s\n", first, last, cfut_error(&job->count.base));
    return ok;
}

/* Starts all parts, runs the loop until they have ended, prints the results. */
static bool count_parts(struct main_loop *loop, struct screen *screen)
{
    cfut_executor *pool = cfut_thread_pool(&(cfut_thread_pool_desc){.max_workers = 2});
    struct job jobs[PARTS];
    bool ok = true;

    screen->parts_left = PARTS;
    for (int i = 0; i < PARTS; i++) {
        struct part part = {&loop->base, screen, i};

        count_primes_submit(pool, &jobs[i].count, part);
        cfut_on_done(&jobs[i].count.base, tell_ended, &jobs[i]);
    }
    while (screen->parts_left > 0)
        loop_step(loop, true);
    for (int i = 0; i < PARTS; i++)
        ok &= print_part(&jobs[i]);
    cfut_shutdown(pool, CFUT_DRAIN);
    printf("%d updates, %s\n", screen->updates,
           screen->wrong ? "some of them wrong" : "all shown by the main thread, in turn");
    return ok && !screen->wrong;
}

/* ---- what becomes of updates that are not shown ---- */

static bool print_end(const char *which, show_future *f, int expected)
{
    int status = show_result(f);

    printf("update %s: %s\n", which, cfut_error(&f->base));
    return status == expected;
}

static bool end_loop(struct main_loop *loop, struct screen *screen)
{
    struct update u = {screen, 0, STEPS + 1};
    show_future taken_back, shown, left, late;
    bool ok;

    show_submit(&loop->base, &taken_back, u);
    show_submit(&loop->base, &shown, u);
    ok = cfut_cancel(&taken_back.base);         /* leaves the queue through loop_cancel */
    loop_step(loop, false);
    ok &= print_end("taken back", &taken_back, CFUT_CANCELLED);
    ok &= print_end("in time", &shown, CFUT_OK);

    show_submit(&loop->base, &left, u);
    cfut_close(&loop->base, CFUT_CANCEL_PENDING);
    show_submit(&loop->base, &late, u);
    ok &= print_end("left at the end", &left, CFUT_CANCELLED);
    ok &= print_end("too late", &late, CFUT_CLOSED);
    return cfut_shutdown(&loop->base, CFUT_DRAIN) == CFUT_OK && ok;
}

int main(int argc, char **argv)
{
    struct main_loop loop;
    struct screen screen = {.main_thread = pthread_self()};
    bool ok;

    if (argc > 1) {
        bool help = strcmp(argv[1], "--help") == 0;

        if (!help)
            fprintf(stderr, "mainloop: takes no arguments: %s\n", argv[1]);
        fputs(usage, help ? stdout : stderr);
        return help ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    loop_init(&loop);
    ok = count_parts(&loop, &screen);
    ok &= end_loop(&loop, &screen);
    return ok && fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
