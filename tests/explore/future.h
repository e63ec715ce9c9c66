/* future.h: scenarios of >>future and >>callbacks: completion, LIGHT, cancel,
   collectors of one future, callbacks, futures completed by hand. */

/* ---- a worker that is a fiber: it finishes f[i], which it has taken ---- */

static void become_worker(int w)
{
    act_as(w);
    cfuti_workers_add(cfuti_self());
}

static void leave_workers(void)
{
    cfuti_workers_remove(cfuti_self());
    cfuti_self()->worker = NULL;
}

static void finish_first(void *arg)
{
    (void)arg;
    become_worker(0);
    cfuti_execute(cfuti_self(), &s.f[0]);
    leave_workers();
}

static void pop_and_finish(void *arg)
{
    cfut_future *f;

    (void)arg;
    become_worker(0);
    while ((f = cfuti_pop(worker(0))) != NULL) cfuti_execute(cfuti_self(), f);
    leave_workers();
}

static void make_light(int i)
{
    make_pending(i);
    cfuti_store_relaxed(&s.f[i].state, (uint32_t)(CFUT_STATE_PENDING | CFUTI_LIGHT));
}

/* Each waits in its own way, then the memory is gone for all others. */
static void result_and_go(void *arg)
{
    int i = *(int *)arg;

    x_check(cfut_result(&s.f[i]) == CFUT_OK);
    check_ran(i);
    gone(i);
}

static void wait_and_go(void *arg)
{
    cfut_future *f = &s.f[*(int *)arg];

    x_check(cfut_wait(&f, 1, CFUT_ALL_COMPLETED, CFUT_FOREVER) == 1);
    check_ran(*(int *)arg);
    gone(*(int *)arg);
}

static void poll_and_go(void *arg)
{
    int i = *(int *)arg;

    while (!cfut_done(&s.f[i])) cfuti_pause();
    check_ran(i);
    gone(i);
}

static void iterate_and_go(void *arg)
{
    cfut_future *f = &s.f[*(int *)arg];

    x_check(cfut_as_completed(&s.it, &f, 1, CFUT_FOREVER) == CFUT_OK);
    x_check(cfut_next(&s.it) == f);
    x_check(!cfut_next(&s.it) && s.it.status == CFUT_OK);
    check_ran(*(int *)arg);
    gone(*(int *)arg);
}

/* Both are told; the memory goes when both have returned. */
static void just_result(void *arg)
{
    x_check(cfut_result(&s.f[*(int *)arg]) == CFUT_OK);
    check_ran(*(int *)arg);
}

static void just_wait(void *arg)
{
    cfut_future *f = &s.f[*(int *)arg];

    x_check(cfut_wait(&f, 1, CFUT_ALL_COMPLETED, CFUT_FOREVER) == 1);
    check_ran(*(int *)arg);
}

static void just_iterate(void *arg)
{
    cfut_future *f = &s.f[*(int *)arg];
    cfut_iter it;

    x_check(cfut_as_completed(&it, &f, 1, CFUT_FOREVER) == CFUT_OK);
    x_check(cfut_next(&it) == f);
    check_ran(*(int *)arg);
    x_check(!cfut_next(&it) && it.status == CFUT_OK);
}

static void cancel_and_go(void *arg)
{
    int i = *(int *)arg;

    s.answer[i] = cfut_cancel(&s.f[i]);
    if (!s.answer[i]) return;
    check_cancelled(i);
    gone(i);
}

static void run_light(void (*other)(void *))
{
    begin_queues(1);
    make_light(0);
    x_go(finish_first, NULL);
    x_go(other, &zero);
    x_join_all();
    end_pool();
}

SCENARIO(light_finish_against_result,
         "A finish without atomic operations and a waiter that locks the future: he is told, and "
         "afterwards nobody touches it.", .bound = 4)
{
    run_light(result_and_go);
}

SCENARIO(light_finish_against_poll, "Who sees a light future done owns it.", .bound = 5)
{
    run_light(poll_and_go);
}

SCENARIO(light_finish_against_iterator, "The same for an iterator.", .bound = 3)
{
    run_light(iterate_and_go);
}

SCENARIO(light_finish_against_cancel,
         "A cancel that comes too late for a light future says false, and does no harm.",
         .bound = 4)
{
    begin_queues(1);
    make_light(0);
    s.f[0].slot = CFUTI_UNQUEUED;
    x_go(finish_first, NULL);
    x_go(cancel_and_go, &zero);
    x_join_all();
    x_check(!s.answer[0]);
    check_ran(0);
    end_pool();
}

SCENARIO(light_two_lockers,
         "Two waiters of a light future: the first waits for the finisher, the second need not.",
         .bound = 3)
{
    begin_queues(1);
    make_light(0);
    x_go(finish_first, NULL);
    x_go(just_result, &zero);
    just_result(&zero);
    x_join_all();
    end_pool();
}

/* light: owner locks what stands in its own deque, a thief runs it. */
static void steal_and_finish(void *arg)
{
    cfut_future *f;

    (void)arg;
    become_worker(1);
    f = cfuti_deque_steal(worker(0), true);
    if (f) cfuti_execute(cfuti_self(), f);
    leave_workers();
    s.answer[1] = f != NULL;
}

static void wait_for_own(void *arg)
{
    (void)arg;
    become_worker(0);
    s.status[0] = cfut_result_timeout(&s.f[0], CFUT_MS(1));
    if (s.status[0] == CFUT_TIMEOUT && cfuti_claim_own(worker(0), &s.f[0]))
        cfuti_execute(cfuti_self(), &s.f[0]);
    leave_workers();
}

SCENARIO(light_locked_in_own_deque,
         "A worker locks a light future that stands in its own deque, without a barrier, while a "
         "thief takes and finishes it.", .bound = 4)
{
    begin_queues(2);
    make_light(0);
    x_check(cfuti_push(worker(0), &s.f[0]));
    x_go(wait_for_own, NULL);
    x_go(steal_and_finish, NULL);
    x_join_all();
    check_ran(0);
    end_pool();
}

/* ---- a finish against waiters ---- */

static void run_plain(void (*one_waiter)(void *), void (*another)(void *))
{
    begin_queues(1);
    make_pending(0);
    x_go(finish_first, NULL);
    x_go(one_waiter, &zero);
    if (another) x_go(another, &zero);
    x_join_all();
    end_pool();
}

SCENARIO(finish_against_result, "A waiter is told, and then owns the future.", .bound = 5)
{
    run_plain(result_and_go, NULL);
}

SCENARIO(finish_against_wait, "The same with cfut_wait.", .bound = 4)
{
    run_plain(wait_and_go, NULL);
}

SCENARIO(finish_against_poll, "Who sees a future done sees its result.", .bound = 6)
{
    run_plain(poll_and_go, NULL);
}

static void poll_failed(void *arg)
{
    (void)arg;
    while (!cfut_done(&s.f[0])) cfuti_pause();
    x_check(s.f[0].status == 5 && is_text(cfut_error(&s.f[0]), "no"));
    gone(0);
}

SCENARIO(failure_against_poll, "Who sees a failed future done sees its error text.", .bound = 6)
{
    begin_queues(1);
    make_light(0);
    s.f[0].task = &fail_task;
    x_go(finish_first, NULL);
    x_go(poll_failed, NULL);
    x_join_all();
    end_pool();
}

static int seven_fn(const void *in, void *out) { (void)in; (void)out; return 7; }
static const cfut_task seven_task = { seven_fn, "seven", 0, 0 };

static void poll_seven(void *arg)
{
    (void)arg;
    while (!cfut_done(&s.f[0])) cfuti_pause();
    x_check(cfut_result(&s.f[0]) == 7);
    gone(0);
}

SCENARIO(code_against_poll, "Who sees a future done sees its status.", .bound = 6)
{
    begin_queues(1);
    make_pending(0);
    s.f[0].task = &seven_task;
    x_go(finish_first, NULL);
    x_go(poll_seven, NULL);
    x_join_all();
    end_pool();
}

SCENARIO(finish_against_iterator, "The same with cfut_as_completed.", .bound = 4)
{
    run_plain(iterate_and_go, NULL);
}

SCENARIO(finish_against_two_results, "Two waiters are both told.", .bound = 3)
{
    run_plain(just_result, just_result);
}

SCENARIO(finish_against_result_and_wait, "Two waiters of two kinds are both told.", .bound = 3)
{
    run_plain(just_wait, just_result);
}

SCENARIO(finish_against_wait_and_iterator,
         "A wait and an iterator on one future, one link inside of it, one outside.", .bound = 3)
{
    run_plain(just_wait, just_iterate);
}

SCENARIO(finish_against_two_iterators,
         "Two iterators that want the same future's link; the second takes a block of its own.",
         .bound = 3)
{
    run_plain(just_iterate, just_iterate);
}

/* ---- a claim against a cancel ---- */

SCENARIO(cancel_against_worker,
         "A worker that takes a task and a cancel: it runs, or it is cancelled and gone at once.",
         .bound = 5)
{
    begin_queues(1);
    make_light(0);
    x_check(cfuti_push(worker(0), &s.f[0]));
    x_go(pop_and_finish, NULL);
    x_go(cancel_and_go, &zero);
    x_join_all();
    x_check(s.runs[0] + s.answer[0] == 1);
    if (!s.answer[0]) check_ran(0);
    end_pool();
}

static void just_cancel(void *arg)
{
    s.answer[*(int *)arg] = cfut_cancel(&s.f[0]);
    if (s.answer[*(int *)arg]) x_check(cfut_cancelled(&s.f[0]));
}

SCENARIO(two_cancels_against_worker,
         "Two cancels at once agree with each other, and with the worker.", .bound = 3)
{
    begin_queues(1);
    make_light(0);
    x_check(cfuti_push(worker(0), &s.f[0]));
    x_go(pop_and_finish, NULL);
    x_go(just_cancel, &zero);
    x_go(just_cancel, &one);
    x_join_all();
    x_check(s.answer[0] == s.answer[1]);
    x_check(s.runs[0] + s.answer[0] == 1);
    end_pool();
}

SCENARIO(cancel_against_result,
         "Who waits for a future that is cancelled is told so.", .bound = 4)
{
    begin_queues(1);
    make_pending(0);
    x_check(cfuti_push(worker(0), &s.f[0]));
    x_go(just_cancel, &zero);
    x_check(cfut_result(&s.f[0]) == CFUT_CANCELLED);
    check_cancelled(0);
    x_join_all();
    x_check(s.answer[0]);
    pop_all(NULL);
    cfuti_self()->worker = NULL;
    x_check(s.got[0] == 0);
    end_pool();
}

/* ---- timed waits ---- */

static void result_in_time(void *arg)
{
    int i = *(int *)arg;

    s.status[i] = cfut_result_timeout(&s.f[i], CFUT_MS(1));
    if (s.status[i] == CFUT_OK) check_ran(i);
    else x_check(s.status[i] == CFUT_TIMEOUT);
}

static void result_in_time_and_go(void *arg)
{
    result_in_time(arg);
    if (s.status[0] == CFUT_OK) gone(0);
}

SCENARIO(timed_result_against_finish,
         "A waiter whose time runs out leaves the future, or is told; nobody comes back to his "
         "stack.", .bound = 4)
{
    run_plain(result_in_time_and_go, NULL);
}

static void wait_in_time(void *arg)
{
    cfut_future *f = &s.f[*(int *)arg];
    ptrdiff_t n = cfut_wait(&f, 1, CFUT_ALL_COMPLETED, CFUT_MS(1));

    x_check(n == 0 || n == 1);
    if (n == 0) return;
    check_ran(*(int *)arg);
    gone(*(int *)arg);
}

SCENARIO(timed_wait_against_finish, "The same with cfut_wait.", .bound = 4)
{
    run_plain(wait_in_time, NULL);
}

SCENARIO(timed_result_beside_another,
         "A waiter whose time runs out unlinks itself from between the others.", .bound = 3)
{
    run_plain(just_result, result_in_time);
}

/* ---- callbacks ---- */

static void note_call(cfut_future *f, void *user)
{
    int k = *(int *)user;

    x_check(cfut_done(f) && cfut_result(f) == CFUT_OK && s.out[0] == 0);
    s.calls[k]++;
    s.order[s.n++] = k;
}

SCENARIO(callback_before_result,
         "A callback has run when the result is there.", .bound = 5)
{
    begin_queues(1);
    make_pending(0);
    x_check(cfut_on_done(&s.f[0], note_call, &zero) == CFUT_OK);
    x_go(finish_first, NULL);
    x_check(cfut_result(&s.f[0]) == CFUT_OK);
    x_check(s.n == 1 && s.order[0] == 0);
    x_join_all();
    end_pool();
}

static uint32_t called[3];

static void count_call(cfut_future *f, void *user)
{
    x_check(cfut_done(f));
    cfuti_add_relaxed(&called[*(int *)user], 1u);
}

static void add_count(void *arg)
{
    x_check(cfut_on_done(&s.f[0], count_call, arg) == CFUT_OK);
}

SCENARIO(callbacks_added_while_finishing,
         "Callbacks that two threads add while the future is completed run once each, there or "
         "here.", .bound = 3)
{
    begin_queues(1);
    memset(called, 0, sizeof called);
    make_light(0);
    x_go(finish_first, NULL);
    x_go(add_count, &zero);
    add_count(&one);
    x_join_all();
    x_check(called[0] == 1 && called[1] == 1);
    end_pool();
}

static void add_count_or_not(void *arg)
{
    int status = cfut_on_done(&s.f[0], count_call, arg);

    x_check(status == CFUT_OK || status == CFUT_NO_MEMORY);
    s.status[*(int *)arg] = status;
}

SCENARIO(callbacks_without_memory,
         "A callback that finds no memory is not added, and said so; the others run.", .bound = 3,
         .failures = 1)
{
    begin();
    memset(called, 0, sizeof called);
    cfut_future_init(&s.f[0]);
    x_go(add_count_or_not, &zero);
    add_count_or_not(&one);
    x_check(cfut_finish(&s.f[0], CFUT_OK) == CFUT_OK);
    x_join_all();
    for (int i = 0; i < 2; i++) x_check(called[i] == (s.status[i] == CFUT_OK));
}

static void cancel_inside(cfut_future *f, void *user)
{
    (void)user;
    s.calls[0]++;
    x_check(cfut_cancelled(f) && cfut_cancel(f) && cfut_result(f) == CFUT_CANCELLED);
}

SCENARIO(second_cancel_waits_for_callbacks,
         "A second cancel while the first runs callbacks waits until the future is published; one "
         "from the callback does not.", .bound = 3)
{
    begin_queues(1);
    make_pending(0);
    x_check(cfuti_push(worker(0), &s.f[0]));
    x_check(cfut_on_done(&s.f[0], cancel_inside, NULL) == CFUT_OK);
    x_go(just_cancel, &zero);
    x_go(just_cancel, &one);
    x_join_all();
    x_check(s.answer[0] && s.answer[1] && s.calls[0] == 1);
    gone(0);
    x_back(&s.f[0], sizeof s.f[0]);
    pop_all(NULL);
    cfuti_self()->worker = NULL;
    end_pool();
}

static void add_more_inside(cfut_future *f, void *user)
{
    (void)user;
    s.calls[0]++;
    x_check(cfut_on_done(f, note_call, &one) == CFUT_OK);
}

SCENARIO(callback_adds_a_callback,
         "A callback that adds one has it run at once; a waiter is told after both.", .bound = 4)
{
    begin_queues(1);
    make_pending(0);
    x_check(cfut_on_done(&s.f[0], add_more_inside, NULL) == CFUT_OK);
    x_go(finish_first, NULL);
    x_check(cfut_result(&s.f[0]) == CFUT_OK);
    x_check(s.calls[0] == 1 && s.calls[1] == 1);
    gone(0);
    x_join_all();
    end_pool();
}

SCENARIO(result_during_callbacks,
         "Who begins to wait while callbacks run is told after the last.", .bound = 4)
{
    begin_queues(1);
    make_pending(0);
    x_check(cfut_on_done(&s.f[0], note_call, &zero) == CFUT_OK);
    x_check(cfut_on_done(&s.f[0], note_call, &one) == CFUT_OK);
    x_go(finish_first, NULL);
    x_go(result_and_go, &zero);
    x_join_all();
    x_check(s.n == 2 && s.order[0] == 0 && s.order[1] == 1);
    end_pool();
}

/* ---- futures on the heap ---- */

static int nothing_fn(const void *in, void *out) { (void)in; (void)out; return CFUT_OK; }
static const cfut_task nothing_task = { nothing_fn, "nothing", 0, 0 };
static cfut_future *spawned;

static void finish_spawned(void *arg)
{
    (void)arg;
    become_worker(0);
    cfuti_execute(cfuti_self(), cfuti_pop(worker(0)));
    leave_workers();
}

SCENARIO(release_against_finish,
         "A future that is released while it is completed is freed once.", .bound = 5)
{
    begin_queues(1);
    spawned = (cfut_future *)cfuti_alloc(sizeof *spawned);
    spawned->task = &nothing_task;
    spawned->owner = (uintptr_t)s.pool;
    cfuti_store_relaxed(&spawned->state, (uint32_t)(CFUT_STATE_PENDING | CFUTI_LIGHT));
    x_check(cfuti_push(worker(0), spawned));
    x_go(finish_spawned, NULL);
    cfut_release(spawned);
    x_join_all();
    end_pool();
}

/* ---- by hand ---- */

static void produce(void *arg)
{
    (void)arg;
    s.answer[0] = cfut_start(&s.f[0]);
    if (s.answer[0]) x_check(cfut_finish(&s.f[0], 7) == CFUT_OK);
}

static void cancel_by_hand(void *arg)
{
    (void)arg;
    s.answer[1] = cfut_cancel(&s.f[0]);
}

SCENARIO(by_hand_cancel_against_start,
         "A future completed by hand is started or cancelled; a waiter of any kind is told.",
         .bound = 4)
{
    begin();
    cfut_future_init(&s.f[0]);
    x_go(produce, NULL);
    x_go(cancel_by_hand, NULL);
    s.status[0] = cfut_result(&s.f[0]);
    x_join_all();
    x_check(s.answer[0] != s.answer[1]);
    x_check(s.status[0] == (s.answer[0] ? 7 : CFUT_CANCELLED));
    x_check(cfut_future_state(&s.f[0]) ==
            (s.answer[0] ? CFUT_STATE_FINISHED : CFUT_STATE_CANCELLED_AND_NOTIFIED));
}

static void wait_by_hand(void *arg)
{
    cfut_future *f = &s.f[0];

    (void)arg;
    x_check(cfut_wait(&f, 1, CFUT_ALL_COMPLETED, CFUT_FOREVER) == 1);
    s.status[1] = s.f[0].status;
}

static void just_result_any(void *arg)
{
    (void)arg;
    s.status[2] = cfut_result(&s.f[0]);
}

SCENARIO(by_hand_two_kinds_of_waiters,
         "Cancelled by hand: a result is told at once, a wait when the producer has acknowledged.",
         .bound = 3)
{
    begin();
    cfut_future_init(&s.f[0]);
    x_go(produce, NULL);
    x_go(wait_by_hand, NULL);
    x_go(just_result_any, NULL);
    s.answer[1] = cfut_cancel(&s.f[0]);
    x_join_all();
    x_check(s.answer[0] != s.answer[1]);
    x_check(s.status[1] == s.status[2]);
}

static void finish_by_hand(void *arg)
{
    s.answer[*(int *)arg] = cfut_finish(&s.f[0], 7);
}

SCENARIO(by_hand_finished_twice,
         "Of two threads that finish a future one is told that it came too late.", .bound = 5)
{
    begin();
    cfut_future_init(&s.f[0]);
    x_go(finish_by_hand, &zero);
    x_go(finish_by_hand, &one);
    x_check(cfut_result(&s.f[0]) == 7);
    x_join_all();
    x_check((s.answer[0] == CFUT_OK) != (s.answer[1] == CFUT_OK));
}
