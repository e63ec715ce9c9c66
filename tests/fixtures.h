/* fixtures.h: what several suites need to stage their scenes, without check.

   struct pages    one page of memory per object, unmapped the moment it is no
                   longer needed: whoever touches it afterwards crashes
   await_asleep    until a thread sleeps in the system, so that a scene can be
                   set around a wait that is really under way
   shuffle, next_random
   struct crew     as many blocked tasks as a pool has workers
   Include after harness.h or cfut.h. */
#ifndef FIXTURES_H
#define FIXTURES_H

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#ifdef _WIN32
#include <windows.h>
#else
#include <sys/mman.h>
#include <sys/syscall.h>
#endif

#if defined(__GNUC__)
#define FIXTURE __attribute__((unused)) static
#else
#define FIXTURE static
#endif

/* ---- random numbers that a seed repeats ---- */

FIXTURE uint32_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

FIXTURE void shuffle(size_t *order, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++)
        order[i] = i;
    for (size_t i = n; i > 1; i--) {
        size_t j = next_random(&seed) % i;
        size_t kept = order[i - 1];

        order[i - 1] = order[j];
        order[j] = kept;
    }
}

/* ---- pages ---- */

/* Hands out each page of one mapping once. A freed page gives its memory back
   and keeps its address, without access: so a late touch is a crash, for ever,
   and no other mapping can hide it. */
struct pages {
    char *start;
    size_t used, n, size;
};

#ifdef _WIN32
FIXTURE char *pages_map(size_t size)
{
    return (char *)VirtualAlloc(NULL, size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
}

FIXTURE bool pages_close(void *at, size_t size)
{
    return VirtualFree(at, size, MEM_DECOMMIT);
}

FIXTURE void pages_unmap(void *at, size_t size)
{
    (void)size;
    VirtualFree(at, 0, MEM_RELEASE);
}
#else
FIXTURE char *pages_map(size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return at == MAP_FAILED ? NULL : (char *)at;
}

FIXTURE bool pages_close(void *at, size_t size)
{
    return mmap(at, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
                -1, 0) == at;
}

FIXTURE void pages_unmap(void *at, size_t size) { munmap(at, size); }
#endif

FIXTURE void pages_init(struct pages *p, size_t n)
{
#ifdef _WIN32
    p->size = 4096;
#else
    p->size = (size_t)sysconf(_SC_PAGESIZE);
#endif
    p->n = n;
    p->used = 0;
    p->start = pages_map(n * p->size);
    assert(p->start);
}

FIXTURE void *page_new(struct pages *p)
{
    assert(p->used < p->n && "the pages are used up");
    return p->start + p->size * p->used++;
}

/* at: what page_new returned. */
FIXTURE void page_free(const struct pages *p, void *at)
{
    bool closed = pages_close(at, p->size);

    assert(closed);
    (void)closed;
}

/* Nobody has a page any more. */
FIXTURE void pages_end(struct pages *p)
{
    pages_unmap(p->start, p->n * p->size);
}

/* ---- threads ---- */

FIXTURE pthread_t start_thread(void *(*fn)(void *), void *arg)
{
    pthread_t thread;
    int failed = pthread_create(&thread, NULL, fn, arg);

    assert(!failed);
    (void)failed;
    return thread;
}

FIXTURE void end_thread(pthread_t thread)
{
    pthread_join(thread, NULL);
}

FIXTURE void pause_ms(int ms)
{
    struct timespec t = { ms / 1000, (ms % 1000) * 1000000L };

    nanosleep(&t, NULL);
}

/* A thread stores its number here before it does what it may sleep in. */
typedef _Atomic long thread_number;

#ifdef _WIN32
FIXTURE void announce_thread(thread_number *n) { atomic_store(n, (long)GetCurrentThreadId()); }

/* Nothing tells: time is given to fall asleep. */
FIXTURE bool is_asleep(long number)
{
    (void)number;
    pause_ms(10);
    return true;
}
#else
FIXTURE void announce_thread(thread_number *n)
{
    atomic_store(n, (long)syscall(SYS_gettid));
}

FIXTURE bool is_asleep(long number)
{
    char path[64], text[256];
    const char *state;
    size_t n;
    FILE *f;

    snprintf(path, sizeof path, "/proc/self/task/%ld/stat", number);
    f = fopen(path, "r");
    if (!f)
        return false;
    n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    state = strrchr(text, ')');
    return state && state[1] == ' ' && state[2] == 'S';
}

#endif

/* Several looks: a sanitizer's runtime sleeps for moments of its own. The test's
   time limit ends a wait for a thread that never sleeps. */
FIXTURE void await_asleep(thread_number *n)
{
    for (int seen = 0; seen < 5; pause_ms(1)) {
        long number = atomic_load(n);

        seen = number && is_asleep(number) ? seen + 1 : 0;
    }
}

/* ---- a pool whose every worker is busy ---- */

enum { CREW_MAX = 64 };

struct crew;
FIXTURE int stand(struct crew *const *crew);
CFUT_ACTION(stand, struct crew *);

struct crew {
    int n;
    sem_t arrived, leave;
    stand_future f[CREW_MAX];
};

FIXTURE void take(sem_t *s)
{
    while (sem_wait(s) != 0)
        assert(errno == EINTR);
}

FIXTURE int stand(struct crew *const *crew)
{
    sem_post(&(*crew)->arrived);
    take(&(*crew)->leave);
    return CFUT_OK;
}

/* Returns when n tasks hold a worker each. */
FIXTURE void crew_block(struct crew *c, cfut_executor *ex, int n)
{
    assert(n <= CREW_MAX);
    c->n = n;
    sem_init(&c->arrived, 0, 0);
    sem_init(&c->leave, 0, 0);
    for (int i = 0; i < n; i++)
        stand_submit(ex, &c->f[i], c);
    for (int i = 0; i < n; i++)
        take(&c->arrived);
}

FIXTURE void crew_release(struct crew *c)
{
    for (int i = 0; i < c->n; i++)
        sem_post(&c->leave);
    for (int i = 0; i < c->n; i++) {
        int status = stand_result(&c->f[i]);

        assert(status == CFUT_OK);
        (void)status;
    }
    sem_destroy(&c->arrived);
    sem_destroy(&c->leave);
}

#endif /* FIXTURES_H */
