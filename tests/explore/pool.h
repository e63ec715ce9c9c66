/* pool.h: scenarios of >>pool: close, shutdown, detach, failures, exit. */

static void submit_to_closing(void *arg)
{
    int i = *(int *)arg;

    submit(i);
    s.status[i] = cfut_result(&s.f[i]);
    x_check(s.status[i] == CFUT_OK || s.status[i] == CFUT_CLOSED ||
            s.status[i] == CFUT_CANCELLED);
    x_check(s.runs[i] == (s.status[i] == CFUT_OK));
    gone(i);
}

SCENARIO(close_against_submit,
         "A submit while the pool closes runs or is refused; the pool ends.", .bound = 3)
{
    begin_pool(1);
    x_go(submit_to_closing, &zero);
    cfut_close(s.pool, CFUT_DRAIN);
    x_join_all();
    end_pool();
}

SCENARIO(cancelling_close_against_submit,
         "The same where what waits is cancelled.", .bound = 3)
{
    begin_pool(1);
    submit(1);
    x_go(submit_to_closing, &zero);
    cfut_close(s.pool, CFUT_CANCEL_PENDING);
    s.status[1] = cfut_result(&s.f[1]);
    x_check(s.runs[1] == (s.status[1] == CFUT_OK));
    x_check(s.status[1] == CFUT_OK || s.status[1] == CFUT_CANCELLED);
    x_join_all();
    end_pool();
}

SCENARIO(drain_runs_all, "A shutdown returns when what was submitted has run.", .bound = 3)
{
    begin_pool(1);
    submit(0);
    submit(1);
    end_pool();
    check_ran(0);
    check_ran(1);
}

SCENARIO(drain_on_two_workers, "The same with two workers, one of which may never start to work.",
         .bound = 2)
{
    begin_pool(2);
    submit(0);
    submit(1);
    end_pool();
    check_ran(0);
    check_ran(1);
}

static int submit_more_fn(const void *in, void *out)
{
    submit(1);
    return count_fn(in, out);
}
static const cfut_task submit_more_task = { submit_more_fn, "more", sizeof(int), sizeof(int) };

SCENARIO(drain_runs_nested,
         "A draining pool still runs what its tasks submit.", .bound = 2)
{
    begin_pool(2);
    submit_task(0, &submit_more_task);
    end_pool();
    check_ran(0);
    check_ran(1);
}

static int push_and_wait_fn(const void *in, void *out)
{
    s.in[1] = 1;
    cfut_submit(s.pool, &s.f[1], &open_gate_task, &s.in[1], &s.out[1]);
    pass_gate(0);
    return count_fn(in, out);
}
static const cfut_task push_and_wait_task = { push_and_wait_fn, "push", sizeof(int),
                                              sizeof(int) };

SCENARIO(drain_keeps_workers,
         "A task of a draining pool pushes another and blocks until that has run: there is a "
         "worker for it.", .bound = 2)
{
    begin_pool(2);
    submit_task(0, &push_and_wait_task);
    end_pool();
    check_ran(0);
    check_ran(1);
}

static void close_and_cancel(void *arg)
{
    (void)arg;
    cfut_close(s.pool, CFUT_CANCEL_PENDING);
}

SCENARIO(cancelling_close_against_shutdown,
         "A pool does not end while another thread cancels what is queued in it.", .bound = 3)
{
    begin_pool(1);
    submit(0);
    x_go(close_and_cancel, NULL);
    end_pool();
    x_join_all();
    if (cfut_result(&s.f[0]) == CFUT_OK) check_ran(0);
    else check_cancelled(0);
}

static void cancel_late(void *arg)
{
    int i = *(int *)arg;

    s.answer[i] = cfut_cancel(&s.f[i]);
    if (s.answer[i]) check_cancelled(i);
}

SCENARIO(shutdown_against_late_cancel,
         "A cancel that comes while the pool ends touches nothing that is gone.", .bound = 4)
{
    begin_pool(1);
    submit(0);
    x_go(cancel_late, &zero);
    end_pool();
    x_join_all();
    if (!s.answer[0]) check_ran(0);
}

static int submit_and_leave_fn(const void *in, void *out)
{
    submit(1);
    open_gate(0);
    return count_fn(in, out);
}
static const cfut_task submit_and_leave_task = { submit_and_leave_fn, "leave", sizeof(int),
                                                 sizeof(int) };

static void cancel_child(void *arg)
{
    (void)arg;
    pass_gate(0);
    cancel_late(&one);
}

SCENARIO(shutdown_against_late_cancel_of_child,
         "The same for a task that stands in a worker's deque.", .bound = 3)
{
    begin_pool(1);
    submit_task(0, &submit_and_leave_task);
    x_go(cancel_child, NULL);
    end_pool();
    x_join_all();
    if (!s.answer[1]) check_ran(1);
}

SCENARIO(cancelling_shutdown,
         "A cancelling shutdown: each task has run or is cancelled, and all threads are gone.",
         .bound = 3)
{
    begin_pool(1);
    submit(0);
    submit(1);
    x_check(cfut_shutdown(s.pool, CFUT_CANCEL_PENDING) == CFUT_OK);
    for (int i = 0; i < 2; i++) {
        if (cfut_result(&s.f[i]) == CFUT_OK) check_ran(i);
        else check_cancelled(i);
    }
}

/* What ran is to be seen, though nobody asks the future. */
static void shut_down(void *arg)
{
    (void)arg;
    end_pool();
    x_check(s.runs[0] == 1 && s.out[0] == 0);
}

SCENARIO(two_shutdowns,
         "Two threads that shut a pool down at once both return, and see what ran.", .bound = 3)
{
    begin_pool(1);
    submit(0);
    x_go(shut_down, NULL);
    shut_down(NULL);
    x_join_all();
    check_ran(0);
}

SCENARIO(shutdown_in_time,
         "A shutdown whose time runs out has closed the pool; the next one ends it.", .bound = 3)
{
    int status;

    begin_pool(1);
    submit(0);
    status = cfut_shutdown_timeout(s.pool, CFUT_DRAIN, CFUT_MS(1));
    x_check(status == CFUT_OK || status == CFUT_TIMEOUT);
    submit(1);
    x_check(cfut_result(&s.f[1]) == CFUT_CLOSED);
    if (status) end_pool();
    check_ran(0);
}

SCENARIO(detached, "A detached pool runs what it has and frees itself.", .bound = 3)
{
    begin_pool(1);
    submit(0);
    x_check(cfut_shutdown(s.pool, CFUT_DETACH) == CFUT_OK);
    x_check(cfut_result(&s.f[0]) == CFUT_OK);
    check_ran(0);
    while (cfuti_load_acquire(&the_pool()->ended) != 2) cfuti_pause();
    cfuti_lock(&cfuti_registry_lock);
    cfuti_unlock(&cfuti_registry_lock);
}

static int detach_fn(const void *in, void *out)
{
    x_check(cfut_shutdown(s.pool, CFUT_DRAIN) == CFUT_DEADLOCK);
    x_check(cfut_shutdown(s.pool, CFUT_DETACH) == CFUT_OK);
    return count_fn(in, out);
}
static const cfut_task detach_task = { detach_fn, "detach", sizeof(int), sizeof(int) };

SCENARIO(detached_from_inside, "A task detaches its own pool.", .bound = 3)
{
    begin_pool(2);
    submit_task(0, &detach_task);
    x_check(cfut_result(&s.f[0]) == CFUT_OK);
    check_ran(0);
    while (cfuti_load_acquire(&the_pool()->ended) != 2) cfuti_pause();
    cfuti_lock(&cfuti_registry_lock);
    cfuti_unlock(&cfuti_registry_lock);
}

/* It may ask about a future that is not submitted yet: it is zero. */
static void ask_early(void *arg)
{
    int i = *(int *)arg;

    while (!cfut_done(&s.f[i])) cfuti_pause();
    s.status[i] = s.f[i].status;
}

SCENARIO(asked_before_it_is_submitted,
         "Who asks about a zeroed future while it is submitted sees it done with its status, be it "
         "refused or run.", .bound = 4)
{
    begin_pool(1);
    x_go(ask_early, &one);
    cfut_submit(NULL, &s.f[1], &count_task, &s.in[1], &s.out[1]);
    x_join_all();
    x_check(s.status[1] == CFUT_INVALID);
    x_go(ask_early, &two);
    submit(2);
    x_join_all();
    check_ran(2);
    end_pool();
}

SCENARIO(handle_after_the_end,
         "A submit and a close with a handle that ends meanwhile are answered.", .bound = 3)
{
    begin_pool(1);
    x_go(submit_to_closing, &zero);
    end_pool();
    x_join_all();
    submit(1);
    x_check(cfut_result(&s.f[1]) == CFUT_CLOSED);
    cfut_close(s.pool, CFUT_DRAIN);
    x_check(cfut_shutdown(s.pool, CFUT_DRAIN) == CFUT_OK);
}

/* ---- failures ---- */

static int refuse_init(void *arg) { (void)arg; return 1; }

SCENARIO(initializer_fails,
         "The pool is broken: what is queued, and what comes while it breaks, says so.", .bound = 3)
{
    cfut_thread_pool_desc desc = { 0 };
    int status;

    begin();
    desc.max_workers = 1;
    desc.initializer = refuse_init;
    s.pool = cfut_thread_pool(&desc);
    submit(0);
    submit(1);
    for (int i = 0; i < 2; i++) {
        status = cfut_result(&s.f[i]);
        x_check(status == CFUT_BROKEN && s.runs[i] == 0);
        gone(i);
    }
    end_pool();
}

static int init_second_fails(void *arg)
{
    (void)arg;
    return cfuti_add_relaxed(&s.atomic[0], 1u) == 1;
}

SCENARIO(initializer_fails_in_the_second,
         "The second worker's initializer fails while the first one works.", .bound = 1)
{
    cfut_thread_pool_desc desc = { 0 };

    begin();
    desc.max_workers = 2;
    desc.initializer = init_second_fails;
    s.pool = cfut_thread_pool(&desc);
    submit(0);
    submit(1);
    for (int i = 0; i < 2; i++) {
        int status = cfut_result(&s.f[i]);

        x_check(status == CFUT_BROKEN || status == CFUT_OK);
        x_check(s.runs[i] == (status == CFUT_OK));
    }
    end_pool();
}

static void count_end(void *arg)
{
    (void)arg;
    cfuti_add_relaxed(&s.atomic[1], 1u);
}

static int count_begin(void *arg)
{
    (void)arg;
    cfuti_add_relaxed(&s.atomic[0], 1u);
    return 0;
}

SCENARIO(finalizers_run, "Each initialized worker runs its finalizer before the shutdown returns.",
         .bound = 2)
{
    cfut_thread_pool_desc desc = { 0 };

    begin();
    desc.max_workers = 2;
    desc.initializer = count_begin;
    desc.finalizer = count_end;
    s.pool = cfut_thread_pool(&desc);
    submit(0);
    submit(1);
    end_pool();
    x_check(cfuti_load_relaxed(&s.atomic[0]) == cfuti_load_relaxed(&s.atomic[1]));
    check_ran(0);
    check_ran(1);
}

/* Whatever fails, each submit has an answer, and nothing leaks. */
static void submit_some(int n)
{
    for (int i = 0; i < n; i++) submit(i);
    for (int i = 0; i < n; i++) {
        int status = cfut_result(&s.f[i]);

        x_check(status == CFUT_OK || status == CFUT_NO_THREADS || status == CFUT_NO_MEMORY);
        x_check(s.runs[i] == (status == CFUT_OK));
        gone(i);
    }
    end_pool();
}

SCENARIO(thread_does_not_start,
         "No thread: the submit says so, or a later one starts; allocations fail, too.", .bound = 3,
         .failures = 2)
{
    begin_pool(1);
    submit_some(2);
}

SCENARIO(second_thread_does_not_start, "The pool goes on with the thread that it has.",
         .bound = 2, .failures = 1)
{
    begin_pool(2);
    submit_some(3);
}

static void submit_one_or_not(void *arg)
{
    int i = *(int *)arg, status;

    submit(i);
    status = cfut_result(&s.f[i]);
    x_check(status == CFUT_OK || status == CFUT_NO_THREADS);
    x_check(s.runs[i] == (status == CFUT_OK));
    gone(i);
}

SCENARIO(thread_does_not_start_for_two,
         "Two submitters while a thread start fails: no task is forgotten.", .bound = 2,
         .failures = 1)
{
    begin_pool(2);
    if (cfut_executor_status(s.pool)) return;
    x_go(submit_one_or_not, &one);
    submit_one_or_not(&zero);
    x_join_all();
    end_pool();
}

/* ---- a task that ends its thread ---- */

static void end_thread(void)
{
    cfuti_thread_abandoned(cfuti_self()->worker);
    x_exit();
}

static int end_thread_fn(const void *in, void *out)
{
    (void)out;
    s.runs[*(const int *)in]++;
    end_thread();
    return CFUT_OK;
}
static const cfut_task end_thread_task = { end_thread_fn, "end", sizeof(int), 0 };

SCENARIO(thread_ended_by_its_task,
         "Who waits for a task that ends its thread is told; another thread runs the next one.",
         .bound = 3)
{
    begin_pool(1);
    submit_task(0, &end_thread_task);
    submit(1);
    x_check(cfut_result(&s.f[0]) == CFUT_ABANDONED);
    gone(0);
    x_check(cfut_result(&s.f[1]) == CFUT_OK);
    check_ran(1);
    end_pool();
}

static int push_and_end_fn(const void *in, void *out)
{
    submit(1);
    return end_thread_fn(in, out);
}
static const cfut_task push_and_end_task = { push_and_end_fn, "push", sizeof(int), 0 };

SCENARIO(thread_ended_with_a_full_deque,
         "What such a task has pushed runs in the thread that takes its place, or another one.",
         .bound = 2)
{
    begin_pool(2);
    submit_task(0, &push_and_end_task);
    x_check(cfut_result(&s.f[0]) == CFUT_ABANDONED);
    while (!cfut_done(&s.f[1])) cfuti_pause();
    end_pool();
    check_ran(1);
}

static int wait_for_ender_fn(const void *in, void *out)
{
    cfut_future *f = &s.f[1];

    submit_task(1, &end_thread_task);
    cfut_wait(&f, 1, CFUT_ALL_COMPLETED, CFUT_FOREVER);
    return count_fn(in, out);
}
static const cfut_task wait_for_ender_task = { wait_for_ender_fn, "outer", sizeof(int),
                                               sizeof(int) };

SCENARIO(thread_ended_in_a_wait,
         "A task that waits for one that ends its thread ends with it, or goes on if that ran "
         "elsewhere; nobody comes back to the dead frames.", .bound = 2)
{
    int status;

    begin_pool(2);
    submit_task(0, &wait_for_ender_task);
    status = cfut_result(&s.f[0]);
    x_check(status == CFUT_OK || status == CFUT_ABANDONED);
    x_check(s.runs[0] == (status == CFUT_OK));
    x_check(cfut_result(&s.f[1]) == CFUT_ABANDONED);
    gone(0);
    gone(1);
    end_pool();
}

SCENARIO(thread_ended_and_none_starts,
         "Where no thread can take the place of the one that ended, what is queued says so, or "
         "runs in a later one.", .bound = 2, .failures = 2)
{
    int status;

    begin_pool(1);
    submit_task(0, &end_thread_task);
    submit(1);
    status = cfut_result(&s.f[0]);
    x_check(status == CFUT_ABANDONED || status == CFUT_NO_THREADS || status == CFUT_NO_MEMORY);
    status = cfut_result(&s.f[1]);
    x_check(status == CFUT_OK || status == CFUT_NO_THREADS || status == CFUT_NO_MEMORY);
    x_check(s.runs[1] == (status == CFUT_OK));
    end_pool();
}

/* ---- exit ---- */

SCENARIO(exit_drains, "What is queued at exit runs first.", .bound = 3)
{
    begin_pool(1);
    submit(0);
    submit(1);
    cfuti_at_exit();
    check_ran(0);
    check_ran(1);
}

static int exit_fn(const void *in, void *out)
{
    submit(1);
    cfuti_at_exit();
    check_ran(1);
    return count_fn(in, out);
}
static const cfut_task exit_task = { exit_fn, "exit", sizeof(int), sizeof(int) };

SCENARIO(exit_inside_a_task, "A task that exits drains its own pool and does not wait for itself.",
         .bound = 1)
{
    begin_pool(2);
    submit_task(0, &exit_task);
    x_check(cfut_result(&s.f[0]) == CFUT_OK);
    end_pool();
}

/* ---- two pools ---- */

static int submit_to_other_fn(const void *in, void *out)
{
    s.in[1] = 1;
    cfut_submit(s.other, &s.f[1], &count_task, &s.in[1], &s.out[1]);
    s.status[1] = cfut_result(&s.f[1]);
    return count_fn(in, out);
}
static const cfut_task submit_to_other_task = { submit_to_other_fn, "other", sizeof(int),
                                                sizeof(int) };

SCENARIO(two_pools, "A task waits for one of another pool.", .bound = 2)
{
    begin_pool(1);
    s.other = pool_of(1);
    submit_task(0, &submit_to_other_task);
    x_check(cfut_result(&s.f[0]) == CFUT_OK && s.status[1] == CFUT_OK);
    check_ran(1);
    x_check(cfut_shutdown(s.other, CFUT_DRAIN) == CFUT_OK);
    end_pool();
}
