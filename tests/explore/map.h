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

SCENARIO(map_on_two_workers, "Every item runs once, whoever runs it.", .bound = 1)
{
    cfut_map_desc desc = { 0 };

    begin_map(2);
    desc.status = item_status;
    x_check(cfut_map(s.pool, &item_task, items_in, items_out, 3, &desc) == CFUT_OK);
    check_items(3);
    end_pool();
}

SCENARIO(map_where_the_caller_runs, "The caller takes part: every item runs once.", .bound = 2)
{
    cfut_map_desc desc = { 0 };

    begin_map(1);
    desc.status = item_status;
    desc.caller_runs = true;
    x_check(cfut_map(s.pool, &item_task, items_in, items_out, 3, &desc) == CFUT_OK);
    check_items(3);
    end_pool();
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
