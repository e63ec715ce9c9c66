/* map.h: scenarios of >>fork-join, >>map and >>stream. */

static void fork_task(int i)
{
    s.in[i] = i;
    cfut_fork(&s.f[i], &count_task, &s.in[i], &s.out[i]);
}

static int fork_two_fn(const void *in, void *out)
{
    fork_task(1);
    fork_task(2);
    x_check(cfut_join(&s.f[2]) == CFUT_OK);
    x_check(cfut_join(&s.f[1]) == CFUT_OK);
    x_check(s.out[1] == 10 && s.out[2] == 20);
    gone(1);
    gone(2);
    return count_fn(in, out);
}
static const cfut_task fork_two_task = { fork_two_fn, "fork", sizeof(int), sizeof(int) };

static void run_first(void *arg)
{
    (void)arg;
    become_worker(0);
    cfuti_execute(cfuti_self(), &s.f[0]);
    leave_workers();
}

static void steal_and_finish_one(void *arg)
{
    cfut_future *f;

    (void)arg;
    become_worker(1);
    f = cfuti_deque_steal(worker(0), true);
    if (f) cfuti_execute(cfuti_self(), f);
    leave_workers();
}

SCENARIO(fork_against_thief,
         "Two forks and a thief: each runs once, and the join has its result.", .bound = 4)
{
    begin_staffed(2);
    make_pending(0);
    s.f[0].task = &fork_two_task;
    x_go(run_first, NULL);
    x_go(steal_and_finish_one, NULL);
    x_join_all();
    x_check(s.runs[0] == 1 && s.runs[1] == 1 && s.runs[2] == 1);
    end_staffed();
}

SCENARIO(fork_against_thief_portable, "The same without membarrier.", .bound = 4,
         .portable = true)
{
    fork_against_thief();
}

SCENARIO(fork_against_two_thieves, "The same with two thieves.", .bound = 3)
{
    begin_staffed(2);
    make_pending(0);
    s.f[0].task = &fork_two_task;
    x_go(run_first, NULL);
    x_go(steal_and_finish_one, NULL);
    x_go(steal_and_finish_one, NULL);
    x_join_all();
    x_check(s.runs[0] == 1 && s.runs[1] == 1 && s.runs[2] == 1);
    end_staffed();
}

static int fork_three_fn(const void *in, void *out)
{
    for (int i = 1; i <= 3; i++) fork_task(i);
    for (int i = 3; i >= 1; i--) {
        x_check(cfut_join(&s.f[i]) == CFUT_OK && s.out[i] == 10 * i);
        gone(i);
    }
    return count_fn(in, out);
}
static const cfut_task fork_three_task = { fork_three_fn, "three", sizeof(int), sizeof(int) };

SCENARIO(fork_into_a_full_deque,
         "What finds no place in the deque runs at the join, though a thief makes room meanwhile.",
         .bound = 3, .ring = 2)
{
    begin_staffed(2);
    make_pending(0);
    s.f[0].task = &fork_three_task;
    x_go(run_first, NULL);
    x_go(steal_and_finish_one, NULL);
    x_join_all();
    for (int i = 0; i < 4; i++) x_check(s.runs[i] == 1);
    end_staffed();
}

static int fork_nested_fn(const void *in, void *out)
{
    fork_task(2);
    x_check(cfut_join(&s.f[2]) == CFUT_OK);
    return count_fn(in, out);
}
static const cfut_task fork_nested_task = { fork_nested_fn, "nested", sizeof(int), sizeof(int) };

static int fork_outer_fn(const void *in, void *out)
{
    s.in[1] = 1;
    cfut_fork(&s.f[1], &fork_nested_task, &s.in[1], &s.out[1]);
    x_check(cfut_join(&s.f[1]) == CFUT_OK && s.out[1] == 10 && s.out[2] == 20);
    return count_fn(in, out);
}
static const cfut_task fork_outer_task = { fork_outer_fn, "outer", sizeof(int), sizeof(int) };

SCENARIO(fork_in_a_pool, "Nested forks in a pool of two.", .bound = 2)
{
    begin_pool(2);
    submit_task(0, &fork_outer_task);
    x_check(cfut_result(&s.f[0]) == CFUT_OK);
    x_check(s.runs[0] == 1 && s.runs[1] == 1 && s.runs[2] == 1);
    end_pool();
}

static int fork_and_maybe_fn(const void *in, void *out)
{
    fork_task(1);
    s.status[1] = cfut_join(&s.f[1]);
    x_check(s.status[1] == (s.runs[1] ? CFUT_OK : CFUT_CANCELLED));
    gone(1);
    return count_fn(in, out);
}
static const cfut_task fork_and_maybe_task = { fork_and_maybe_fn, "maybe", sizeof(int),
                                               sizeof(int) };

SCENARIO(fork_against_cancelling_close,
         "A join of what a cancelling close has taken says so; else it runs.", .bound = 3)
{
    begin_pool(1);
    submit_task(0, &fork_and_maybe_task);
    x_go(close_and_cancel, NULL);
    s.status[0] = cfut_result(&s.f[0]);
    x_check(s.status[0] == CFUT_OK || s.status[0] == CFUT_CANCELLED);
    x_join_all();
    end_pool();
}

/* ---- the inlined fork and join: bare futures ---- */

static int tally(const int *in, int *out) { return count_fn(in, out); }
CFUT_TASK(tally, int, int);

static tally_future bare[FUTURES];

static void bare_fork(int i)
{
    memset(&bare[i], 0xAA, sizeof bare[i]);     /* what is not written shows */
    tally_fork(&bare[i], i);
}

static void bare_join(int i)
{
    x_check(tally_join(&bare[i]) == CFUT_OK && bare[i].out == 10 * i);
    x_gone(&bare[i], sizeof bare[i]);
}

static int bare_two_fn(const void *in, void *out)
{
    bare_fork(1);
    bare_fork(2);
    bare_join(2);
    bare_join(1);
    return count_fn(in, out);
}
static const cfut_task bare_two_task = { bare_two_fn, "bare", sizeof(int), sizeof(int) };

static void begin_inlined(int w)
{
    become_worker(w);
    cfuti_self()->place = cfuti_place_here();
    cfuti_store_release(&worker(w)->record, cfuti_self());
    cfuti_inline_forks(worker(w));
}

static void end_inlined(void)
{
    cfuti_inline_forks(NULL);
    cfuti_store_release(&cfuti_self()->worker->record, (cfuti_thread *)NULL);
    leave_workers();
}

static void run_first_inlined(void *arg)
{
    (void)arg;
    begin_inlined(0);
    cfuti_execute(cfuti_self(), &s.f[0]);
    end_inlined();
}

/* arg: to the number of the worker that it is. */
static void steal_inlined(void *arg)
{
    cfut_future *f;

    begin_inlined(*(int *)arg);
    f = cfuti_deque_steal(worker(0), true);
    if (f) cfuti_execute(cfuti_self(), f);
    end_inlined();
}

/* f[0] runs task, whose forks are inlined; thieves steal one each. */
static void explore_bare(const cfut_task *task, int thieves)
{
    static int number[] = { 0, 1, 2 };

    begin_staffed(thieves + 1);
    make_pending(0);
    s.f[0].task = task;
    x_go(run_first_inlined, NULL);
    for (int i = 1; i <= thieves; i++) x_go(steal_inlined, &number[i]);
    x_join_all();
    x_check(s.runs[0] == 1 && s.runs[1] == 1 && s.runs[2] == 1);
    end_staffed();
}

SCENARIO(bare_fork_against_thief,
         "A thief finds a bare future: it gets all fields, and the join has its result.",
         .bound = 4)
{
    explore_bare(&bare_two_task, 1);
}

SCENARIO(bare_fork_against_two_thieves, "The same with two thieves.", .bound = 3)
{
    explore_bare(&bare_two_task, 2);
}

static int bare_three_fn(const void *in, void *out)
{
    for (int i = 1; i <= 3; i++) bare_fork(i);
    for (int i = 3; i >= 1; i--) bare_join(i);
    return count_fn(in, out);
}
static const cfut_task bare_three_task = { bare_three_fn, "three", sizeof(int), sizeof(int) };

SCENARIO(bare_fork_into_a_full_deque,
         "What finds no place is forked by the call, between bare ones.", .bound = 3, .ring = 2)
{
    explore_bare(&bare_three_task, 1);
    x_check(s.runs[3] == 1);
}

/* A bare task that forks, fails with a text and asks for its future. */
static int brood(const int *in, int *out)
{
    cfut_future *self = cfut_current_future();

    x_check(self == &bare[*in].base);
    bare_fork(*in + 1);
    x_check(cfut_current_future() == self);
    bare_join(*in + 1);
    count_fn(in, out);
    return cfut_fail(7, "brood %d", *in);
}
CFUT_TASK(brood, int, int);

static int bare_outer_fn(const void *in, void *out)
{
    cfut_future *self = cfut_current_future();
    brood_future *f = (brood_future *)(void *)&bare[1];

    memset(f, 0xAA, sizeof *f);
    brood_fork(f, 1);
    x_check(brood_join(f) == 7 && f->out == 10);
    x_check(!strcmp(cfut_error(&f->base), "brood 1"));
    x_check(cfut_current_future() == self && f->base.status == 7);
    x_gone(f, sizeof *f);
    return count_fn(in, out);
}
static const cfut_task bare_outer_task = { bare_outer_fn, "outer", sizeof(int), sizeof(int) };

SCENARIO(bare_fork_nests_and_fails,
         "A task asks for its bare future, forks, and fails with a text, stolen or not.",
         .bound = 4)
{
    explore_bare(&bare_outer_task, 2);
}

SCENARIO(bare_fork_in_a_pool, "The same in a pool of two.", .bound = 2)
{
    begin_pool(2);
    submit_task(0, &bare_outer_task);
    x_check(cfut_result(&s.f[0]) == CFUT_OK);
    x_check(s.runs[0] == 1 && s.runs[1] == 1 && s.runs[2] == 1);
    end_pool();
}

/* The same, but who waits for the stolen one takes what the thief forks. */
SCENARIO(bare_fork_helped_by_its_join,
         "A join of a stolen future runs what the thief forks meanwhile, or the thief does.",
         .bound = 3, .spin_ns = 4000)
{
    explore_bare(&bare_outer_task, 1);
}

SCENARIO(bare_fork_helped_among_three, "The same with a second thief.", .bound = 2,
         .spin_ns = 4000)
{
    explore_bare(&bare_outer_task, 2);
}

SCENARIO(fork_helped_by_its_join, "The same for forks by the call, without membarrier.",
         .bound = 3, .spin_ns = 4000, .portable = true)
{
    explore_bare(&fork_outer_task, 1);
}

static int strange_fn(const void *in, void *out)
{
    s.got[2] = cfuti_self()->worker == worker(1);
    return count_fn(in, out);
}
static const cfut_task strange_task = { strange_fn, "strange", sizeof(int), sizeof(int) };

/* Has forked something before it comes to steal. */
static int strange_host_fn(const void *in, void *out)
{
    cfut_future *f;

    s.in[2] = 2;
    cfut_fork(&s.f[2], &strange_task, &s.in[2], &s.out[2]);
    f = cfuti_deque_steal(worker(0), true);
    if (f) cfuti_execute(cfuti_self(), f);
    x_check(cfut_join(&s.f[2]) == CFUT_OK);
    return count_fn(in, out);
}
static const cfut_task strange_host_task = { strange_host_fn, "host", sizeof(int), sizeof(int) };

static void run_the_host(void *arg)
{
    (void)arg;
    begin_inlined(1);
    cfuti_execute(cfuti_self(), &s.f[3]);
    end_inlined();
}

static int simple_outer_fn(const void *in, void *out)
{
    fork_task(1);
    x_check(cfut_join(&s.f[1]) == CFUT_OK);
    return count_fn(in, out);
}
static const cfut_task simple_outer_task = { simple_outer_fn, "simple", sizeof(int), sizeof(int) };

SCENARIO(join_helps_with_nothing_else,
         "A join that waits does not take what the thief has forked before.", .bound = 3,
         .spin_ns = 4000)
{
    begin_staffed(2);
    make_pending(0);
    s.f[0].task = &simple_outer_task;
    make_pending(3);
    s.f[3].task = &strange_host_task;
    x_go(run_first_inlined, NULL);
    x_go(run_the_host, NULL);
    x_join_all();
    for (int i = 0; i < 4; i++) x_check(s.runs[i] == 1);
    x_check(s.got[2] == 1);         /* on its own thread */
    end_staffed();
}

static void count_bare(cfut_future *f, void *user)
{
    (void)user;
    x_check(f == &bare[1].base && f->status == CFUT_OK);
    s.calls[1]++;
}

/* The forker looks at its future, and adds a callback, while a thief dresses it. */
static int bare_dressed_fn(const void *in, void *out)
{
    bare_fork(1);
    bare_fork(2);
    if (cfut_future_state(&bare[1].base) == CFUT_STATE_FINISHED)    /* the thief was fast */
        x_check(bare[1].out == 10 && bare[1].base.status == CFUT_OK);
    x_check(cfut_on_done(&bare[1].base, count_bare, NULL) == CFUT_OK);
    bare_join(2);
    x_check(tally_join(&bare[1]) == CFUT_OK && bare[1].out == 10);
    x_check(s.calls[1] == 1);
    x_gone(&bare[1], sizeof bare[1]);
    return count_fn(in, out);
}
static const cfut_task bare_dressed_task = { bare_dressed_fn, "dressed", sizeof(int),
                                             sizeof(int) };

SCENARIO(bare_fork_asked_while_stolen,
         "The forker wants more of a bare future while a thief takes it: both see it whole.",
         .bound = 3)
{
    explore_bare(&bare_dressed_task, 1);
    x_check(s.calls[1] == 1);
}

/* The forker cancels it, and then joins. */
static int bare_cancelled_fn(const void *in, void *out)
{
    bare_fork(1);
    bare_fork(2);
    s.got[1] = cfut_cancel(&bare[1].base);
    bare_join(2);
    s.status[1] = tally_join(&bare[1]);
    x_check(s.status[1] == (s.got[1] ? CFUT_CANCELLED : CFUT_OK));
    x_check(s.runs[1] == !s.got[1]);
    x_gone(&bare[1], sizeof bare[1]);
    return count_fn(in, out);
}
static const cfut_task bare_cancelled_task = { bare_cancelled_fn, "cancelled", sizeof(int),
                                               sizeof(int) };

SCENARIO(bare_fork_cancelled_by_its_forker,
         "A cancel of a bare future and a thief: one of them has it.", .bound = 3)
{
    static int thief = 1;

    begin_staffed(2);
    make_pending(0);
    s.f[0].task = &bare_cancelled_task;
    x_go(run_first_inlined, NULL);
    x_go(steal_inlined, &thief);
    x_join_all();
    x_check(s.runs[0] == 1 && s.runs[2] == 1);
    end_staffed();
}

static int bare_and_maybe_fn(const void *in, void *out)
{
    bare_fork(1);
    s.status[1] = tally_join(&bare[1]);
    x_check(s.status[1] == (s.runs[1] ? CFUT_OK : CFUT_CANCELLED));
    x_gone(&bare[1], sizeof bare[1]);
    return count_fn(in, out);
}
static const cfut_task bare_and_maybe_task = { bare_and_maybe_fn, "maybe", sizeof(int),
                                               sizeof(int) };

SCENARIO(bare_fork_against_cancelling_close,
         "A cancelling close takes a bare future out of the deque, or it runs.", .bound = 3)
{
    begin_pool(1);
    submit_task(0, &bare_and_maybe_task);
    x_go(close_and_cancel, NULL);
    s.status[0] = cfut_result(&s.f[0]);
    x_check(s.status[0] == CFUT_OK || s.status[0] == CFUT_CANCELLED);
    x_join_all();
    end_pool();
}

/* ---- map ---- */

enum { ITEMS = 4 };
static int items_in[ITEMS], items_out[ITEMS], item_runs[ITEMS], item_status[ITEMS];

static int item_fn(const void *in, void *out)
{
    int i = *(const int *)in;

    item_runs[i]++;
    x_time(5000);                   /* slow: worth a fork */
    *(int *)out = 10 * i;
    return CFUT_OK;
}
static const cfut_task item_task = { item_fn, "item", sizeof(int), sizeof(int) };

static void begin_map(int workers)
{
    begin_pool(workers);
    for (int i = 0; i < ITEMS; i++) {
        items_in[i] = i;
        items_out[i] = item_runs[i] = 0;
        item_status[i] = -1;
    }
}

static void check_items(int n)
{
    for (int i = 0; i < n; i++)
        x_check(item_runs[i] == 1 && items_out[i] == 10 * i && item_status[i] == CFUT_OK);
}

/* In s.pool: each runs once. */
static void map_items(const cfut_task *task, int n)
{
    cfut_map_desc desc = { 0 };

    desc.status = item_status;
    x_check(cfut_map(s.pool, task, items_in, items_out, (size_t)n, &desc) == CFUT_OK);
    check_items(n);
}

SCENARIO(map_on_two_workers, "Every item runs once, whoever runs it.", .bound = 1)
{
    begin_map(2);
    map_items(&item_task, 3);
    end_pool();
}

SCENARIO(map_helped_by_its_joins,
         "The same, where a join helps, and the caller calls the second worker.", .bound = 1,
         .spin_ns = 4000)
{
    map_on_two_workers();
}

/* Item 0 waits for item 1, which nobody may count on, but which shows who runs it. */
static int item_blocks_fn(const void *in, void *out)
{
    if (*(const int *)in == 0) pass_gate(0);
    else open_gate(0);
    return item_fn(in, out);
}
static const cfut_task item_blocks_task = { item_blocks_fn, "blocks", sizeof(int), sizeof(int) };

SCENARIO(map_quiet_and_its_first_item_blocks,
         "A map that began quietly gets a second worker, though the first does nothing more.",
         .bound = 2, .spin_ns = 2000)
{
    begin_map(2);
    map_items(&item_blocks_task, 2);
    end_pool();
}

SCENARIO(map_quiet_portable, "The same without membarrier.", .bound = 2, .spin_ns = 2000,
         .portable = true)
{
    map_quiet_and_its_first_item_blocks();
}

SCENARIO(map_quiet_on_one_cpu, "The same where all share a processor.", .bound = 2,
         .spin_ns = 2000, .one_cpu = true)
{
    map_quiet_and_its_first_item_blocks();
}

/* Leaves a task of its own, which lies above the rest of the map in the deque. */
static int item_leaves_fn(const void *in, void *out)
{
    submit_task(*(const int *)in, &count_task);
    return item_fn(in, out);
}
static const cfut_task item_leaves_task = { item_leaves_fn, "leaves", sizeof(int), sizeof(int) };

SCENARIO(map_whose_items_submit,
         "What is left of a map is run on with, or taken by a thief, from below other tasks.",
         .bound = 2, .spin_ns = 4000)
{
    begin_map(2);
    map_items(&item_leaves_task, 3);
    for (int i = 0; i < 3; i++) x_check(cfut_result(&s.f[i]) == CFUT_OK && s.runs[i] == 1);
    end_pool();
}

SCENARIO(map_beside_cancelling_close, "Each item has run, or is told to be cancelled.",
         .bound = 2, .spin_ns = 4000)
{
    cfut_map_desc desc = { 0 };

    begin_map(2);
    desc.status = item_status;
    x_go(close_and_cancel, NULL);
    cfut_map(s.pool, &item_task, items_in, items_out, 3, &desc);
    for (int i = 0; i < 3; i++)
        x_check(item_status[i] == CFUT_OK ? item_runs[i] == 1 :
                (item_status[i] == CFUT_CANCELLED || item_status[i] == CFUT_CLOSED) &&
                item_runs[i] == 0);
    x_join_all();
    end_pool();
}

static int item_alone_fn(const void *in, void *out)
{
    cfuti_duty *d = cfuti_self()->duty;
    const cfuti_map_state *m = CFUTI_OUTER(cfuti_range, duty, d)->map;

    for (; d; d = d->outer)
        x_check(d->kind != CFUTI_MAPPING || CFUTI_OUTER(cfuti_range, duty, d)->map == m);
    x_pause(1);                     /* others come in between */
    return item_fn(in, out);
}
static const cfut_task item_alone_task = { item_alone_fn, "alone", sizeof(int), sizeof(int) };

static int map_two_fn(const void *in, void *out)
{
    int from = *(const int *)in ? 2 : 0;

    x_check(cfut_map(s.pool, &item_alone_task, items_in + from, items_out + from, 2, NULL) ==
            CFUT_OK);
    return count_fn(in, out);
}
static const cfut_task map_two_task = { map_two_fn, "two", sizeof(int), sizeof(int) };

static void run_second_inlined(void *arg)
{
    (void)arg;
    begin_inlined(2);
    cfuti_execute(cfuti_self(), &s.f[1]);
    end_inlined();
}

SCENARIO(map_helps_only_itself, "A join in a map runs no part of another map.", .bound = 2,
         .spin_ns = 8000)
{
    static int thief = 1;

    begin_map(3);
    end_pool();
    begin_staffed(3);
    for (int i = 0; i < 2; i++) {
        make_pending(i);
        s.f[i].task = &map_two_task;
    }
    x_go(run_first_inlined, NULL);
    x_go(steal_inlined, &thief);
    x_go(run_second_inlined, NULL);
    x_join_all();
    for (int i = 0; i < ITEMS; i++) x_check(item_runs[i] == 1 && items_out[i] == 10 * i);
    end_staffed();
}

static void map_with_caller(int workers, int n)
{
    cfut_map_desc desc = { 0 };

    begin_map(workers);
    desc.status = item_status;
    desc.caller_runs = true;
    x_check(cfut_map(s.pool, &item_task, items_in, items_out, (size_t)n, &desc) == CFUT_OK);
    check_items(n);
    end_pool();
}

SCENARIO(map_where_the_caller_runs, "The caller takes part: every item runs once.", .bound = 2)
{
    map_with_caller(1, 3);
}

SCENARIO(map_where_the_caller_runs_beside_two,
         "The same with two workers: whoever is through with its own share takes from the others.",
         .bound = 2)
{
    map_with_caller(2, 4);
}

SCENARIO(map_in_time,
         "A map whose time runs out: each item has run or is cancelled, and nobody works on it "
         "any more.", .bound = 2)
{
    cfut_map_desc desc = { 0 };
    int status;

    begin_map(1);
    desc.status = item_status;
    desc.timeout = CFUT_MS(1);
    status = cfut_map(s.pool, &item_task, items_in, items_out, 3, &desc);
    x_check(status == CFUT_OK || status == CFUT_TIMEOUT);
    for (int i = 0; i < 3; i++)
        x_check(item_status[i] == (item_runs[i] ? CFUT_OK : CFUT_CANCELLED));
    x_gone(items_out, sizeof items_out);
    end_pool();
    x_back(items_out, sizeof items_out);
}

SCENARIO(map_against_cancelling_close,
         "A map in a pool that is closed: what was not run is reported so.", .bound = 2)
{
    cfut_map_desc desc = { 0 };
    int status;

    begin_map(1);
    x_go(close_and_cancel, NULL);
    desc.status = item_status;
    status = cfut_map(s.pool, &item_task, items_in, items_out, 2, &desc);
    x_check(status == CFUT_OK || status == CFUT_CANCELLED || status == CFUT_CLOSED);
    for (int i = 0; i < 2; i++)
        x_check((item_status[i] == CFUT_OK) == (item_runs[i] == 1));
    x_join_all();
    end_pool();
}

/* ---- stream ---- */

static int pull_two(void *user, void *in)
{
    (void)user;
    if (s.n == 2) return CFUT_END;
    *(int *)in = s.n++;
    return CFUT_OK;
}

SCENARIO(stream_in_order, "Items come in order.", .bound = 2)
{
    cfut_stream_desc desc = { 0 };
    cfut_stream *stream;
    int out = -1;

    begin_pool(1);
    desc.buffersize = 2;
    stream = cfut_stream_open(s.pool, &count_task, pull_two, NULL, &desc);
    x_check(cfut_stream_next(stream, &out) == CFUT_OK && out == 0);
    x_check(cfut_stream_next(stream, &out) == CFUT_OK && out == 10);
    x_check(cfut_stream_next(stream, &out) == CFUT_END);
    cfut_stream_close(stream);
    end_pool();
}

SCENARIO(stream_as_completed_closed_early,
         "A stream that is closed after its first item leaves nothing behind.", .bound = 2)
{
    cfut_stream_desc desc = { 0 };
    cfut_stream *stream;
    int out = -1;

    begin_pool(2);
    desc.buffersize = 2;
    desc.as_completed = true;
    stream = cfut_stream_open(s.pool, &count_task, pull_two, NULL, &desc);
    x_check(cfut_stream_next(stream, &out) == CFUT_OK && (out == 0 || out == 10));
    cfut_stream_close(stream);
    end_pool();
}
