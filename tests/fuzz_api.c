/* fuzz_api.c: sequences of calls on a few futures, each compared with a simple model
   of what a future is. One thread, so that every answer is known: tasks run when an
   executor of our own is pumped, or at submit. Bytes choose the calls, and which
   allocation fails.

   With libFuzzer, or by itself: fuzz_api RUNS SEED [FOLDER]: first what is kept in the
   folder, then random bytes. What libFuzzer has found: fuzz_api 0 0 FOLDER. */
#include <stddef.h>

static void *some_memory(size_t size);
static void no_memory(void *p);
#define CFUT_MALLOC(n) some_memory(n)
#define CFUT_FREE(p) no_memory(p)
#define CFUT_IMPLEMENTATION
#include "cfut.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 8, ITERATORS = 2, CALLBACKS = 64, MOST = 16, TRACE = 4096 };

/* ---- what went wrong ---- */

static struct { const char *call; int a, b; } trace[TRACE];     /* the calls so far */
static size_t traced;

static void note(const char *call, int a, int b)
{
    if (traced == TRACE) return;
    trace[traced].call = call;
    trace[traced].a = a;
    trace[traced++].b = b;
}

static void report(int line, const char *what)
{
    for (size_t i = 0; i < traced; i++)
        fprintf(stderr, "%s(%d, %d)\n", trace[i].call, trace[i].a, trace[i].b);
    fprintf(stderr, "fuzz_api.c:%d: not so: %s\n", line, what);
    abort();
}

#define EXPECT(x) ((x) ? (void)0 : report(__LINE__, #x))

/* ---- memory that may fail ---- */

static bool memory_fails;
static long blocks;

static void *some_memory(size_t size)
{
    void *p = memory_fails ? NULL : malloc(size);

    blocks += p != NULL;
    return p;
}

static void no_memory(void *p)
{
    blocks -= p != NULL;
    free(p);
}

/* ---- the model ---- */

/* A callback that counts; one that cancels another future; one that adds a callback to
   its own. */
enum callback_kind { COUNTS, CANCELS, ADDS, CALLBACK_KINDS };

struct callback { int slot, number; enum callback_kind kind; };

struct slot {
    cfut_future f;
    enum cfut_state state;
    int status;
    char text[56];                      /* of the error; empty: none */
    bool by_hand, queued, stop;
    unsigned watched;                   /* by which iterators, a bit each */
    int added, called, waiting;         /* callbacks; added and not called */
    struct callback callback[CALLBACKS];
    struct { int slot, code, text; } in;
};

static struct slot slots[SLOTS];
static int queue[SLOTS], queued;

struct iterator { cfut_iter it; bool open; };
static struct iterator iterators[ITERATORS];

static bool is_done(const struct slot *s)
{
    return s->state >= CFUT_STATE_CANCELLED;
}

/* For wait and as_completed. */
static bool is_told(const struct slot *s)
{
    return s->state > CFUT_STATE_CANCELLED;
}

static bool is_cancelled(const struct slot *s)
{
    return is_done(s) && s->state != CFUT_STATE_FINISHED;
}

/* Whether the memory is its user's. */
static bool is_ours(const struct slot *s)
{
    return (s->state == CFUT_STATE_FRESH || is_told(s)) && !s->watched;
}

static int result_of(const struct slot *s)
{
    if (s->state == CFUT_STATE_FRESH) return CFUT_INVALID_STATE;
    return is_done(s) ? s->status : CFUT_TIMEOUT;
}

static void set_end(struct slot *s, enum cfut_state state, int status)
{
    s->state = state;
    s->status = status == CFUT_TIMEOUT ? ETIMEDOUT : status;
    s->queued = false;
}

static void check(struct slot *s)
{
    cfut_snapshot now = cfut_future_snapshot(&s->f);
    char text[200];

    EXPECT(cfut_future_state(&s->f) == s->state && now.state == s->state);
    EXPECT(cfut_done(&s->f) == is_done(s) && now.done == is_done(s));
    EXPECT(cfut_cancelled(&s->f) == is_cancelled(s) && now.cancelled == is_cancelled(s));
    EXPECT(cfut_running(&s->f) == (s->state == CFUT_STATE_RUNNING));
    EXPECT(now.status == (is_done(s) ? s->status : CFUT_OK));
    EXPECT(is_done(s) || now.stop_requested == s->stop);
    EXPECT(cfut_result_timeout(&s->f, 0) == result_of(s));
    EXPECT(!*s->text || !strcmp(cfut_error(&s->f), s->text));
    EXPECT(*cfut_error(&s->f));
    EXPECT(cfut_future_describe(&s->f, text, sizeof text) > 10 && text[0] == '<');
    EXPECT(!is_done(s) || s->waiting == 0);
}

/* ---- tasks, on two executors ---- */

static int task_fn(const void *in, void *out)
{
    struct slot *s = &slots[*(const int *)in];

    EXPECT(cfut_current_future() == &s->f && out == (void *)&s->in);
    EXPECT(cfut_future_state(&s->f) == CFUT_STATE_RUNNING && !cfut_stop_requested());
    EXPECT(!cfut_cancel(&s->f));
    EXPECT(cfut_stop_requested());
    if (!s->in.text) return s->in.code;
    return cfut_fail(s->in.code, "slot %d fails with %d", s->in.slot, s->in.code);
}
static const cfut_task task = { task_fn, "task", sizeof(int), sizeof(int) };

static int pumped_submit(cfut_executor *ex, cfut_future *f)
{
    (void)ex;
    EXPECT(queued < SLOTS);
    queue[queued++] = (int)((struct slot *)(void *)f - slots);
    return CFUT_OK;
}

static bool unqueue(int slot)
{
    int i = 0;

    while (i < queued && queue[i] != slot) i++;
    if (i == queued) return false;
    memmove(&queue[i], &queue[i + 1], (size_t)(--queued - i) * sizeof *queue);
    return true;
}

static bool pumped_cancel(cfut_executor *ex, cfut_future *f)
{
    (void)ex;
    return unqueue((int)((struct slot *)(void *)f - slots));
}

static const cfut_executor_ops pumped_ops = {
    .name = "Pumped", .submit = pumped_submit, .cancel = pumped_cancel
};
static cfut_executor pumped = { .ops = &pumped_ops };

/* ---- the calls ---- */

static void set_input(struct slot *s, int what)
{
    static const int codes[] = { CFUT_OK, 1, EIO, -5, CFUT_TIMEOUT, CFUT_FAILED, 0x7fffffff };

    s->in.slot = (int)(s - slots);
    s->in.text = what & 1;
    s->in.code = codes[(what >> 1) % 7];
}

/* What will be when the task has run. */
static void expect_run(struct slot *s)
{
    int code = s->in.text && s->in.code == CFUT_OK ? (int)CFUT_FAILED : s->in.code;

    set_end(s, CFUT_STATE_FINISHED, code);
    s->stop = false;
    if (s->in.text)
        snprintf(s->text, sizeof s->text, "slot %d fails with %d", s->in.slot, s->in.code);
    /* a text belongs to the code that it was given with */
    if (code == CFUT_TIMEOUT) s->text[0] = 0;
}

static void reset(struct slot *s)
{
    EXPECT(is_ours(s));
    memset(s, 0, sizeof *s);
}

static void do_submit(struct slot *s, int what, bool at_once)
{
    if (!is_ours(s)) return;
    note(at_once ? "submit to inline" : "submit", (int)(s - slots), what);
    reset(s);
    set_input(s, what);
    s->state = CFUT_STATE_PENDING;
    s->queued = !at_once;
    if (at_once) expect_run(s);
    EXPECT(cfut_submit(at_once ? cfut_inline_executor() : &pumped, &s->f, &task, &s->in.slot,
                       &s->in) == &s->f);
}

static void do_pump(void)
{
    struct slot *s = &slots[queue[0]];

    if (!queued) return;
    note("run", queue[0], 0);
    unqueue(queue[0]);
    expect_run(s);
    cfut_run(&s->f);
    check(s);
}

static void do_init(struct slot *s)
{
    if (!is_ours(s)) return;
    note("future_init", (int)(s - slots), 0);
    reset(s);
    s->state = CFUT_STATE_PENDING;
    s->by_hand = true;
    cfut_future_init(&s->f);
}

static void do_start(struct slot *s)
{
    bool starts = s->state == CFUT_STATE_PENDING;

    if (!s->by_hand) return;
    note("start", (int)(s - slots), 0);
    if (starts) s->state = CFUT_STATE_RUNNING;
    else if (s->state == CFUT_STATE_CANCELLED) s->state = CFUT_STATE_CANCELLED_AND_NOTIFIED;
    EXPECT(cfut_start(&s->f) == starts);
}

static void do_finish(struct slot *s, int status)
{
    bool may = s->state == CFUT_STATE_PENDING || s->state == CFUT_STATE_RUNNING;
    bool cancels = status == CFUT_CANCELLED && s->queued;

    note("finish", (int)(s - slots), status);
    if (s->queued) unqueue((int)(s - slots));
    if (may) set_end(s, cancels ? CFUT_STATE_CANCELLED_AND_NOTIFIED : CFUT_STATE_FINISHED, status);
    EXPECT(cfut_finish(&s->f, status) == (may ? CFUT_OK : CFUT_INVALID_STATE));
}

static void do_cancel(struct slot *s)
{
    bool takes = s->state == CFUT_STATE_PENDING, was = is_cancelled(s);

    note("cancel", (int)(s - slots), 0);
    if (s->state == CFUT_STATE_RUNNING) s->stop = true;
    if (takes)
        set_end(s, s->by_hand ? CFUT_STATE_CANCELLED : CFUT_STATE_CANCELLED_AND_NOTIFIED,
                CFUT_CANCELLED);
    EXPECT(cfut_cancel(&s->f) == (takes || was));
}

static void do_add_callback(struct slot *s, enum callback_kind kind);

static void called(cfut_future *f, void *user)
{
    struct callback *c = user;
    struct slot *s = &slots[c->slot];

    EXPECT(f == &s->f && c->number == s->called);       /* in their order, each once */
    s->called++;
    s->waiting--;
    EXPECT(cfut_done(f) && cfut_result(f) == s->status && cfut_cancelled(f) == is_cancelled(s));
    if (c->kind == CANCELS) do_cancel(&slots[(c->slot + 1) % SLOTS]);
    if (c->kind == ADDS && s->waiting == 0) do_add_callback(s, COUNTS);
}

static void do_add_callback(struct slot *s, enum callback_kind kind)
{
    struct callback *c = &s->callback[s->added];
    bool further = s->waiting > 0;
    int status;

    if (s->added == CALLBACKS) return;
    note("on_done", (int)(s - slots), (int)kind);
    c->slot = (int)(s - slots);
    c->number = s->added;
    c->kind = kind;
    if (s->state != CFUT_STATE_FRESH) {
        s->added++;
        s->waiting++;
    }
    status = cfut_on_done(&s->f, called, c);
    if (s->state == CFUT_STATE_FRESH) EXPECT(status == CFUT_INVALID_STATE);
    else if (status == CFUT_NO_MEMORY) EXPECT(memory_fails && further && !is_done(s));
    else EXPECT(status == CFUT_OK);
    if (status == CFUT_NO_MEMORY) {
        s->added--;
        s->waiting--;
    }
}

/* Some futures, maybe one twice. */
static size_t choose(cfut_future **fs, unsigned mask, bool twice)
{
    size_t n = 0;

    for (int i = 0; i < SLOTS; i++)
        if (mask >> i & 1) fs[n++] = &slots[i].f;
    if (twice && n) {
        fs[n] = fs[0];
        n++;
    }
    return n;
}

static const struct slot *slot_of(const cfut_future *f)
{
    return (const struct slot *)(const void *)f;
}

static bool has_fresh(cfut_future **fs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (slot_of(fs[i])->state == CFUT_STATE_FRESH) return true;
    return false;
}

static void do_wait(unsigned mask, int when, bool twice)
{
    cfut_future *fs[MOST];
    size_t n = choose(fs, mask, twice), done = 0, sum = 0, was = 0;
    ptrdiff_t k;

    note("wait", (int)mask, when);
    for (size_t i = 0; i < n; i++) {
        done += is_told(slot_of(fs[i]));
        was += (size_t)(slot_of(fs[i]) - slots) + 1;
    }
    k = cfut_wait(fs, n, when, 0);
    for (size_t i = 0; i < n; i++) sum += (size_t)(slot_of(fs[i]) - slots) + 1;
    EXPECT(sum == was);
    if (k == CFUT_NO_MEMORY && memory_fails) return;
    if (has_fresh(fs, n)) {
        EXPECT(k == CFUT_INVALID_STATE);
        return;
    }
    EXPECT(k == (ptrdiff_t)done);
    for (size_t i = 0; i < n; i++) EXPECT(is_told(slot_of(fs[i])) == (i < done));
}

/* ---- iterators that stay open between other calls ---- */

static void close_iterator(int number)
{
    struct iterator *i = &iterators[number];

    if (!i->open) return;
    note("iter_end", number, 0);
    cfut_iter_end(&i->it);
    cfut_iter_end(&i->it);
    EXPECT(cfut_next(&i->it) == NULL);
    i->open = false;
    for (int s = 0; s < SLOTS; s++) slots[s].watched &= ~(1u << number);
}

static void open_iterator(int number, unsigned mask, bool twice)
{
    struct iterator *i = &iterators[number];
    cfut_future *fs[MOST];
    size_t n = choose(fs, mask, twice), distinct = n - (twice && n);
    int status;

    close_iterator(number);
    note("as_completed", number, (int)mask);
    status = cfut_as_completed(&i->it, fs, n, CFUT_FOREVER);
    if (status == CFUT_NO_MEMORY && memory_fails) return;
    EXPECT(status == (has_fresh(fs, n) ? CFUT_INVALID_STATE : CFUT_OK));
    if (status) return;
    EXPECT(i->it.total == distinct && i->it.unfinished == distinct);
    i->open = true;
    for (int s = 0; s < SLOTS; s++)
        if (mask >> s & 1) slots[s].watched |= 1u << number;
}

/* Only if that does not block. */
static void do_next(int number)
{
    struct iterator *i = &iterators[number];
    cfut_future *f;
    bool some = false, all = true;

    for (int s = 0; s < SLOTS; s++) {
        if (!(slots[s].watched >> number & 1)) continue;
        all = false;
        if (is_told(&slots[s])) some = true;
    }
    if (!i->open || (!some && !all)) return;
    note("next", number, 0);
    f = cfut_next(&i->it);
    EXPECT((f == NULL) == all);
    if (f) {
        struct slot *s = (struct slot *)(void *)f;

        EXPECT(s->watched >> number & 1 && is_told(s));
        s->watched &= ~(1u << number);
        return;
    }
    EXPECT(i->it.status == CFUT_OK && i->it.unfinished == 0);
    i->open = false;
}

/* What is not completed by hand. */
static void do_reclaim(unsigned mask)
{
    cfut_future *fs[MOST] = { NULL };
    size_t n = 0;

    note("reclaim", (int)mask, 0);
    for (int i = 0; i < SLOTS; i++) {
        struct slot *s = &slots[i];

        if (!(mask >> i & 1) || (s->by_hand && !is_told(s))) continue;
        fs[n++] = &s->f;
        if (s->state == CFUT_STATE_PENDING)
            set_end(s, CFUT_STATE_CANCELLED_AND_NOTIFIED, CFUT_CANCELLED);
    }
    cfut_reclaim(fs, n + 1);            /* and NULL */
}

/* ---- maps and streams, at once ---- */

static int item_fn(const void *in, void *out)
{
    *(int *)out = 3 * *(const int *)in;
    return *(const int *)in % 5 == 4 ? *(const int *)in : CFUT_OK;
}
static const cfut_task item = { item_fn, "item", sizeof(int), sizeof(int) };

static void do_map(int n)
{
    int in[MOST], out[MOST], status[MOST], first = CFUT_OK, got;
    cfut_map_desc desc = { .status = status, .chunksize = (size_t)n % 4 };

    note("map", n, 0);
    for (int i = 0; i < n; i++) {
        in[i] = i;
        if (!first && i % 5 == 4) first = i;
    }
    got = cfut_map(cfut_inline_executor(), &item, in, out, (size_t)n, &desc);
    EXPECT(got == first);
    for (int i = 0; i < n; i++) EXPECT(out[i] == 3 * i && status[i] == (i % 5 == 4 ? i : 0));
}

struct supply { int next, end, why; };

static int pull(void *user, void *in)
{
    struct supply *s = user;

    if (s->next == s->end) return s->why;
    *(int *)in = s->next++;
    return CFUT_OK;
}

static void do_stream(int n, int ahead, bool fails)
{
    struct supply supply = { 0, n, fails ? EPIPE : (int)CFUT_END };
    cfut_stream_desc desc = { .buffersize = ahead };
    cfut_stream *s = cfut_stream_open(cfut_inline_executor(), &item, pull, &supply, &desc);
    int out, status;

    note("stream", n, ahead);
    for (int i = 0; i < n; i++) {
        status = cfut_stream_next(s, &out);
        if (status == CFUT_NO_MEMORY && memory_fails) break;
        EXPECT(status == (i % 5 == 4 ? i : CFUT_OK) && cfut_stream_index(s) == (size_t)i);
        EXPECT(status || out == 3 * i);
        if (i == ahead && fails) break;         /* closed before its end */
    }
    if (!fails && !memory_fails) EXPECT(cfut_stream_next(s, &out) == CFUT_END);
    cfut_stream_close(s);
}

/* ---- one sequence ---- */

static void one_call(unsigned char what, unsigned char a, unsigned char b)
{
    struct slot *s = &slots[a % SLOTS];
    static const int codes[] = { CFUT_OK, 9, CFUT_CANCELLED, CFUT_TIMEOUT };

    memory_fails = what >= 240;
    switch (what % 14) {
    case 0: do_submit(s, b, false); break;
    case 1: do_submit(s, b, true); break;
    case 2: do_pump(); break;
    case 3: do_init(s); break;
    case 4: do_start(s); break;
    case 5: do_finish(s, codes[b % 4]); break;
    case 6: do_cancel(s); break;
    case 7: do_add_callback(s, (enum callback_kind)(b % CALLBACK_KINDS)); break;
    case 8: do_wait(a, b % 3, b & 64); break;
    case 9: open_iterator(b % ITERATORS, a, b & 64); break;
    case 10: do_next(b % ITERATORS); break;
    case 11: if (b < 64) close_iterator(b % ITERATORS); else do_reclaim(a); break;
    case 12: do_map(a % MOST); break;
    case 13: do_stream(a % MOST, b % 5, b & 64); break;
    }
    memory_fails = false;
}

/* All that is under way is brought to its end. */
static void finish_all(void)
{
    while (queued) do_pump();
    for (int i = 0; i < SLOTS; i++) {
        struct slot *s = &slots[i];

        if (s->by_hand && s->state == CFUT_STATE_CANCELLED) do_start(s);
        else if (s->by_hand && !is_done(s)) do_finish(s, CFUT_OK);
    }
    for (int k = 0; k < ITERATORS; k++) {
        for (int i = 0; i <= SLOTS; i++) do_next(k);
        EXPECT(!iterators[k].open);
    }
    for (int i = 0; i < SLOTS; i++) EXPECT(slots[i].called == slots[i].added);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    memset(slots, 0, sizeof slots);
    traced = 0;
    for (size_t i = 0; i + 2 < size; i += 3) {
        one_call(data[i], data[i + 1], data[i + 2]);
        for (int k = 0; k < SLOTS; k++) check(&slots[k]);
    }
    finish_all();
    EXPECT(blocks == 0);
    return 0;
}

#ifndef LIBFUZZER
static void run_file(const char *folder, const char *name)
{
    unsigned char data[4096];
    char path[512];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "rb");
    if (!file) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    LLVMFuzzerTestOneInput(data, fread(data, 1, sizeof data, file));
    fclose(file);
}

static int run_folder(const char *folder)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    int n = 0;

    while (dir && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.') continue;
        run_file(folder, entry->d_name);
        n++;
    }
    if (dir) closedir(dir);
    if (!n) fprintf(stderr, "fuzz_api: nothing in %s\n", folder);
    return n;
}

static void run_random(unsigned long runs, unsigned long long seed)
{
    unsigned char data[3 * 60];

    for (unsigned long r = 0; r < runs; r++) {
        for (size_t i = 0; i < sizeof data; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            data[i] = (unsigned char)(seed >> 56);
        }
        LLVMFuzzerTestOneInput(data, sizeof data);
    }
}

int main(int argc, char **argv)
{
    unsigned long runs = argc > 1 ? strtoul(argv[1], NULL, 10) : 10000;
    unsigned long long seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    int kept = argc > 3 ? run_folder(argv[3]) : 0;

    if (argc > 3 && !kept) return EXIT_FAILURE;
    run_random(runs, seed);
    printf("%d kept, %lu at random from seed %llu: as the model says\n", kept, runs, seed);
    return EXIT_SUCCESS;
}
#endif
