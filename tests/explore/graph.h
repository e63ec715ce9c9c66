/* graph.h: scenarios of >>graph: who waits for whom; no false alarm, and none
   missed (a missed one is "nobody can go on"). */

/* Waits for the next of n futures, in a circle. */
static int circle = 2;

static int wait_next_fn(const void *in, void *out)
{
    int i = *(const int *)in;

    s.status[i] = cfut_result(&s.f[(i + 1) % circle]);
    s.runs[i]++;
    *(int *)out = 10 * i;
    return s.status[i] == CFUT_DEADLOCK ? CFUT_DEADLOCK : CFUT_OK;
}
static const cfut_task wait_next_task = { wait_next_fn, "next", sizeof(int), sizeof(int) };

/* All are pending before one starts. The last wakes the pool. */
static void submit_circle(int n)
{
    circle = n;
    for (int i = 0; i < n; i++) make_pending(i);
    for (int i = 0; i < n; i++) s.f[i].task = &wait_next_task;
    cfuti_lock(&the_pool()->lock);
    for (int i = 0; i < n; i++) x_check(cfuti_inbox_put(the_pool(), &s.f[i]));
    cfuti_unlock(&the_pool()->lock);
    submit(n);
    cfut_result(&s.f[n]);
}

static void check_circle(int n)
{
    int told = 0;

    for (int i = 0; i < n; i++) {
        cfut_result(&s.f[i]);
        x_check(s.runs[i] == 1);
    }
    for (int i = 0; i < n; i++) {
        x_check(s.status[i] == CFUT_OK || s.status[i] == CFUT_DEADLOCK);
        if (strstr(cfut_error(&s.f[i]), "next -> next")) told++;   /* else handed on */
    }
    x_check(told >= 1);
}

SCENARIO(circle_of_two, "Two tasks that wait for each other are told: one at least.", .bound = 1)
{
    begin_pool(2);
    submit_circle(2);
    check_circle(2);
    end_pool();
}

SCENARIO(circle_in_one_worker, "The same where one runs the other.", .bound = 3)
{
    begin_pool(1);
    submit_circle(2);
    check_circle(2);
    end_pool();
}

static int wait_for_self_fn(const void *in, void *out)
{
    s.status[0] = cfut_result(&s.f[0]);
    return count_fn(in, out);
}
static const cfut_task wait_for_self_task = { wait_for_self_fn, "self", sizeof(int), sizeof(int) };

SCENARIO(wait_for_oneself, "A task that waits for itself is told.", .bound = 4)
{
    begin_pool(1);
    submit_task(0, &wait_for_self_task);
    x_check(cfut_result(&s.f[0]) == CFUT_OK && s.status[0] == CFUT_DEADLOCK);
    end_pool();
}

/* ---- the protocol alone: threads that are in tasks, without a pool's scheduling ---- */

/* Runs f[i], whose task waits for f[next]. */
static int next_of[FUTURES];

static int wait_given_fn(const void *in, void *out)
{
    int i = *(const int *)in;

    s.status[i] = cfut_result(&s.f[next_of[i]]);
    *(int *)out = 10 * i;
    return CFUT_OK;
}
static const cfut_task wait_given_task = { wait_given_fn, "given", sizeof(int), sizeof(int) };

static void run_as_worker(void *arg)
{
    int i = *(int *)arg;

    become_worker(i);
    cfuti_store_release(&worker(i)->record, cfuti_self());
    cfuti_execute(cfuti_self(), &s.f[i]);
    leave_workers();
    cfuti_store_release(&worker(i)->record, (cfuti_thread *)NULL);
}

static void make_waiting(int i, int next)
{
    make_pending(i);
    next_of[i] = next;
    s.f[i].task = &wait_given_task;
}

SCENARIO(graph_circle,
         "Two threads that are about to wait for each other: one is told, and the other then goes "
         "on.", .bound = 4)
{
    begin_queues(2);
    make_waiting(0, 1);
    make_waiting(1, 0);
    x_go(run_as_worker, &zero);
    x_go(run_as_worker, &one);
    x_join_all();
    x_check((s.status[0] == CFUT_DEADLOCK) + (s.status[1] == CFUT_DEADLOCK) == 1);
    x_check(s.f[0].status == CFUT_OK && s.f[1].status == CFUT_OK);
    end_pool();
}

SCENARIO(graph_circle_of_three, "The same with three.", .bound = 2)
{
    begin_queues(3);
    make_waiting(0, 1);
    make_waiting(1, 2);
    make_waiting(2, 0);
    x_go(run_as_worker, &zero);
    x_go(run_as_worker, &one);
    x_go(run_as_worker, &two);
    x_join_all();
    x_check((s.status[0] == CFUT_DEADLOCK) + (s.status[1] == CFUT_DEADLOCK) +
            (s.status[2] == CFUT_DEADLOCK) == 1);
    end_pool();
}

SCENARIO(graph_no_false_alarm,
         "A chain of waits whose end is about to finish is no circle.", .bound = 3)
{
    begin_queues(3);
    make_waiting(0, 1);
    make_waiting(1, 2);
    make_pending(2);
    x_go(run_as_worker, &zero);
    x_go(run_as_worker, &one);
    x_go(run_as_worker, &two);
    x_join_all();
    x_check(s.status[0] == CFUT_OK && s.status[1] == CFUT_OK);
    check_ran(2);
    end_pool();
}

/* Worker 1 finishes f[1], for which f[0] waits, and then runs f[3], which waits
   for f[0]. */
static void finish_and_wait_back(void *arg)
{
    (void)arg;
    become_worker(1);
    cfuti_execute(cfuti_self(), &s.f[1]);
    cfuti_execute(cfuti_self(), &s.f[3]);
    leave_workers();
}

SCENARIO(graph_wait_has_just_ended,
         "Who is about to wait for a task whose own wait has just ended is not told of a circle.",
         .bound = 3)
{
    begin_queues(2);
    make_waiting(0, 1);
    make_pending(1);
    make_waiting(3, 0);
    x_go(run_as_worker, &zero);
    x_go(finish_and_wait_back, NULL);
    x_join_all();
    x_check(s.status[0] == CFUT_OK && s.status[3] == CFUT_OK);
    end_pool();
}

/* f[1] begins to wait for f[0] after f[0] has stopped to wait for it. */
static int wait_for_first_fn(const void *in, void *out)
{
    (void)in;
    (void)out;
    s.status[1] = cfut_result(&s.f[0]);
    return CFUT_OK;
}
static const cfut_task wait_for_first_task = { wait_for_first_fn, "first", sizeof(int), 0 };

static int wait_in_time_fn(const void *in, void *out)
{
    s.status[0] = cfut_result_timeout(&s.f[1], CFUT_MS(1));
    return count_fn(in, out);
}
static const cfut_task wait_in_time_task = { wait_in_time_fn, "in time", sizeof(int),
                                             sizeof(int) };

SCENARIO(graph_timed_waits_are_not_followed,
         "A wait with a limit in a circle of waits is no deadlock: nobody is told so.", .bound = 4)
{
    begin_queues(2);
    make_pending(0);
    s.f[0].task = &wait_in_time_task;
    make_pending(1);
    s.f[1].task = &wait_for_first_task;
    x_go(run_as_worker, &zero);
    x_go(run_as_worker, &one);
    x_join_all();
    x_check(s.status[0] == CFUT_TIMEOUT && s.status[1] == CFUT_OK);
    end_pool();
}

/* A circle of which one wait, a join's or a reclaim's, must not be left. */
static int must_wait_fn(const void *in, void *out)
{
    cfut_future *f = &s.f[1];

    (void)in;
    (void)out;
    cfut_reclaim(&f, 1);
    s.answer[0]++;
    return CFUT_OK;
}
static const cfut_task must_wait_task = { must_wait_fn, "must", sizeof(int), 0 };

SCENARIO(graph_dooms_another,
         "A wait that cannot be left closes a circle: the other one in it is woken and told.",
         .bound = 3)
{
    begin_queues(2);
    make_pending(0);
    s.f[0].task = &must_wait_task;
    make_waiting(1, 0);
    x_go(run_as_worker, &zero);
    x_go(run_as_worker, &one);
    x_join_all();
    x_check(s.status[1] == CFUT_DEADLOCK && s.answer[0] == 1);
    end_pool();
}

/* Two waits for one future, in a circle that a third thread may break by hand. */
static int wait_for_any_fn(const void *in, void *out)
{
    cfut_future *fs[2] = { &s.f[1], &s.f[2] };

    (void)in;
    (void)out;
    s.answer[0] = (int)cfut_wait(fs, 2, CFUT_FIRST_COMPLETED, CFUT_FOREVER);
    return CFUT_OK;
}
static const cfut_task wait_for_any_task = { wait_for_any_fn, "any", sizeof(int), 0 };

static void finish_by_hand_2(void *arg)
{
    (void)arg;
    x_check(cfut_finish(&s.f[2], CFUT_OK) == CFUT_OK);
}

SCENARIO(graph_first_of_two_is_not_followed,
         "A wait for the first of two in a circle is no deadlock while the other may end.",
         .bound = 3)
{
    begin_queues(2);
    make_pending(0);
    s.f[0].task = &wait_for_any_task;
    make_waiting(1, 0);
    cfut_future_init(&s.f[2]);
    x_go(run_as_worker, &zero);
    x_go(run_as_worker, &one);
    x_go(finish_by_hand_2, NULL);
    x_join_all();
    x_check(s.answer[0] >= 1 && s.status[1] == CFUT_OK);
    end_pool();
}

/* f[0] waits for f[1], which is queued, while somebody cancels that. */
static void count_cancelled(cfut_future *f, void *user)
{
    (void)user;
    x_check(cfut_cancelled(f) || s.runs[1]);
}

SCENARIO(graph_queued_and_cancelled,
         "A task waits for one that is queued in a pool whose only worker is stuck, while that is "
         "cancelled: it is told of the one or the other.", .bound = 3)
{
    begin_staffed(2);
    make_waiting(0, 1);
    make_pending(1);
    x_check(cfuti_push(worker(1), &s.f[1]));
    x_check(cfut_on_done(&s.f[1], count_cancelled, NULL) == CFUT_OK);
    worker(0)->used = true;
    x_go(run_as_worker, &zero);
    x_go(cancel_late, &one);
    x_join_all();
    x_check(s.answer[1] ? s.status[0] == CFUT_CANCELLED : s.status[0] == CFUT_OK);
    worker(0)->used = false;
    end_staffed();
}

/* ---- across pools ---- */

static int wait_back_fn(const void *in, void *out)
{
    (void)in;
    (void)out;
    s.status[1] = cfut_result(&s.f[2]);
    return CFUT_OK;
}
static const cfut_task wait_back_task = { wait_back_fn, "back", sizeof(int), 0 };

/* f[0] of the pool submits f[1] to the other, which waits for f[2], queued behind f[0]. */
static int wait_there_fn(const void *in, void *out)
{
    (void)in;
    (void)out;
    s.in[1] = 1;
    cfut_submit(s.other, &s.f[1], &wait_back_task, &s.in[1], NULL);
    s.status[0] = cfut_result(&s.f[1]);
    return CFUT_OK;
}
static const cfut_task wait_there_task = { wait_there_fn, "there", sizeof(int), 0 };

SCENARIO(circle_through_a_queue,
         "A waits in pool P for B in pool Q, which waits for C, queued in P behind A: told.",
         .bound = 1)
{
    begin_pool(1);
    s.other = pool_of(1);
    make_pending(2);
    s.in[0] = 0;
    cfuti_lock(&the_pool()->lock);
    make_pending(0);
    s.f[0].task = &wait_there_task;
    x_check(cfuti_inbox_put(the_pool(), &s.f[0]));
    x_check(cfuti_inbox_put(the_pool(), &s.f[2]));
    cfuti_unlock(&the_pool()->lock);
    submit(3);
    x_check(cfut_result(&s.f[0]) == CFUT_OK && cfut_result(&s.f[1]) == CFUT_OK);
    x_check((s.status[0] == CFUT_DEADLOCK) + (s.status[1] == CFUT_DEADLOCK) == 1);
    x_check(cfut_result(&s.f[2]) == CFUT_OK && cfut_result(&s.f[3]) == CFUT_OK);
    x_check(cfut_shutdown(s.other, CFUT_DRAIN) == CFUT_OK);
    end_pool();
}
