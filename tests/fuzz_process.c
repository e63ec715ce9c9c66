/* fuzz_process.c: a worker's report memory holds whatever the input says, at every
   moment that the host looks. The host must not crash, nor read beyond what it knows,
   and complete each future exactly once. With LIBFUZZER defined, for libFuzzer; else a
   program: fuzz_process RUNS SEED.

   There is no process here: the host's side is called directly, with the parts that
   workers and host share in ordinary memory. Input: steps of one byte, each with what
   it needs behind it. */
#define CFUT_IMPLEMENTATION
#include "cfut.h"

#include <stdio.h>
#include <stdlib.h>

enum { FUTURES = 96, SMALL = 8, LARGE = 300, ITEMS = 7 };

static int never(const void *in, void *out)
{
    (void)in;
    (void)out;
    return CFUT_OK;
}

static const cfut_task small_task = { never, "small", SMALL, SMALL };
static const cfut_task large_task = { never, "large", LARGE, LARGE };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct scene {
    cfuti_procs pool;
    cfuti_proc proc;
    cfuti_common *common;
    cfuti_parcel parcel[FUTURES];       /* their futures; n 1: no chunk */
    int done[FUTURES], status[FUTURES][ITEMS];
    char in[ITEMS * LARGE], out[FUTURES][ITEMS * LARGE];
    size_t n;
    const uint8_t *data;
    size_t left;
};

static uint32_t take(struct scene *s, size_t bytes)
{
    uint32_t x = 0;

    for (; bytes && s->left; bytes--, s->left--) x = x << 8 | *s->data++;
    return x;
}

static void count_done(cfut_future *f, void *user)
{
    struct scene *s = user;

    s->done[CFUTI_OUTER(cfuti_parcel, f, f) - s->parcel]++;
}

static void *part(size_t size)
{
    void *p = calloc(1, size);

    if (!p) abort();
    return p;
}

/* Large, so made once; what is used of it is zero again in each scene. */
static char *bulk(int which)
{
    static char *made[2];

    if (!made[which]) made[which] = part(CFUTI_BULK_SOFT);
    memset(made[which], 0, FUTURES * ITEMS * (LARGE + sizeof(int32_t)) + 4096);
    return made[which];
}

static void open_scene(struct scene *s)
{
    cfuti_procs *p = &s->pool;
    cfuti_proc *w = &s->proc;

    s->common = part(sizeof *s->common);
    p->layout.bulk = CFUTI_BULK_SOFT;
    p->base.ops = &cfuti_procs_ops;
    p->common = s->common;
    p->procs = w;
    p->max_workers = 1;
    p->channel = p->file = p->bell[0] = p->bell[1] = -1;
    p->runner.procs = p;
    w->pool = p;
    w->bell = -1;
    w->depth = CFUTI_SLOTS;
    w->orders = part(sizeof *w->orders);
    w->reports = part(sizeof *w->reports);
    w->mapped = CFUTI_BULK_SOFT;
    w->bulk_in = bulk(0);
    w->bulk_out = bulk(1);
    cfuti_proc_set(w, CFUTI_STARTING);
    cfuti_proc_set(w, CFUTI_READY);
}

static void close_scene(struct scene *s)
{
    free(s->proc.orders);
    free(s->proc.reports);
    free(s->common);
    free(s);
}

/* One more task with the worker, if there is room. */
static void hand_over(struct scene *s)
{
    cfuti_parcel *k = &s->parcel[s->n];
    uint32_t kind = take(s, 1);
    const cfut_task *task = kind & 1 ? &large_task : &small_task;
    cfuti_entry *e;

    if (s->n == FUTURES || cfuti_proc_load(&s->proc) >= cfuti_proc_depth(&s->proc)) return;
    k->n = k->failed = kind & 2 ? ITEMS : 1;
    k->status = kind & 4 ? s->status[s->n] : NULL;
    memset(&k->f, 0, sizeof k->f);
    k->f.task = task;
    k->f.in = s->in;
    k->f.out = s->out[s->n];
    k->f.owner = (uintptr_t)&s->pool.base;
    k->f.slot = CFUTI_UNQUEUED;
    k->f.state = cfuti_generation | CFUT_STATE_PENDING | CFUTI_PARCEL;
    cfut_on_done(&k->f, count_done, s);
    e = cfuti_proc_reserve(&s->proc, &k->f);
    if (!e) return;
    s->n++;
    cfuti_entry_publish(e, 0);
}

/* The worker writes: a word with a number that is due, or any bytes anywhere. */
static void overwrite(struct scene *s, bool word)
{
    cfuti_reports *r = s->proc.reports;
    uint32_t at = take(s, 2), value = take(s, 4);

    if (word)
        *cfuti_proc_word(&s->proc, s->proc.head + at % CFUTI_SLOTS) =
            CFUTI_WORD(s->proc.head + at % CFUTI_SLOTS, value & 7);
    else if (at & 0x8000)
        memcpy(s->proc.bulk_out + at % 4096, &value, sizeof value);
    else
        memcpy((char *)r + at % (sizeof *r - sizeof value), &value, sizeof value);
}

static void cancel_one(struct scene *s)
{
    size_t i = s->n ? take(s, 1) % s->n : 0;

    if (s->n && !s->done[i]) cfut_cancel(&s->parcel[i].f);
}

static void die(struct scene *s)
{
    cfuti_end end;

    memset(&end, 0, sizeof end);
    end.status = (int32_t)take(s, 2);
    s->proc.pid = 1;
    cfuti_proc_died(&s->proc, &end, &s->pool.outcomes);
    cfuti_outcomes_complete(&s->pool.outcomes);
    cfuti_procs_fail(&s->pool, CFUT_STATE_FINISHED, CFUT_BROKEN, "over");
    s->proc.phase = CFUTI_ABSENT;
    s->pool.live = s->pool.starting = 0;
    s->proc.depth = CFUTI_SLOTS;
    cfuti_proc_set(&s->proc, CFUTI_READY);
}

static void step(struct scene *s)
{
    bool some;

    switch (take(s, 1) % 8) {
    case 0: case 1: hand_over(s); break;
    case 2: case 3: overwrite(s, true); break;
    case 4: overwrite(s, false); break;
    case 5: cancel_one(s); break;
    case 6:
        some = cfuti_proc_look(&s->proc, &s->pool.outcomes);
        if (some) cfuti_outcomes_complete(&s->pool.outcomes);
        break;
    case 7:
        if (take(s, 1) % 8 == 0) die(s);
        else cfuti_procs_any_word(&s->pool);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scene *s = part(sizeof *s);

    s->data = data;
    s->left = size;
    open_scene(s);
    while (s->left) step(s);
    die(s);
    for (size_t i = 0; i < s->n; i++)
        if (s->done[i] != 1 || !cfut_done(&s->parcel[i].f)) abort();
    if (s->pool.outstanding || s->pool.queued) abort();
    close_scene(s);
    return 0;
}

#ifndef LIBFUZZER
int main(int argc, char **argv)
{
    unsigned long runs = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
    unsigned long long first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1, seed = first;
    unsigned char data[400];

    for (unsigned long r = 0; r < runs; r++) {
        for (size_t i = 0; i < sizeof data; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            data[i] = (unsigned char)(seed >> 56);
        }
        LLVMFuzzerTestOneInput(data, (size_t)(seed >> 24) % sizeof data);
    }
    printf("%lu at random from seed %llu: survived\n", runs, first);
    return EXIT_SUCCESS;
}
#endif
