/* sleep.h: scenarios of >>sleep, with true pools: a lost wake-up is "nobody can
   go on". */

SCENARIO(submit_and_result, "One worker, one task.", .bound = 4)
{
    begin_pool(1);
    submit(1);
    x_check(cfut_result(&s.f[1]) == CFUT_OK);
    check_ran(1);
    gone(1);
    end_pool();
}

SCENARIO(submit_against_park, "A task that comes while the worker goes to sleep wakes it.",
         .bound = 3)
{
    begin_pool(1);
    for (int i = 0; i < 2; i++) {
        submit(i);
        x_check(cfut_result(&s.f[i]) == CFUT_OK);
        check_ran(i);
    }
    end_pool();
}

SCENARIO(submit_against_search,
         "The same with a worker that searches before it sleeps, and a waiter that spins.",
         .bound = 3, .spin_ns = 1500)
{
    submit_against_park();
}

SCENARIO(submit_against_park_on_one_cpu,
         "The same where both share a processor: who has been woken there does not search.",
         .bound = 3, .spin_ns = 1500, .one_cpu = true)
{
    submit_against_park();
}

SCENARIO(submit_two_to_two, "Two tasks, two workers, started on demand.", .bound = 3)
{
    begin_pool(2);
    submit(0);
    submit(1);
    x_check(cfut_result(&s.f[0]) == CFUT_OK);
    x_check(cfut_result(&s.f[1]) == CFUT_OK);
    check_ran(0);
    check_ran(1);
    end_pool();
}

/* f[0] needs f[1] to run, in another worker; nothing sees that. */
static int wait_at_gate_fn(const void *in, void *out)
{
    pass_gate(0);
    return count_fn(in, out);
}
static const cfut_task wait_at_gate_task = { wait_at_gate_fn, "wait", sizeof(int), sizeof(int) };

static int open_gate_fn(const void *in, void *out)
{
    open_gate(0);
    return count_fn(in, out);
}
static const cfut_task open_gate_task = { open_gate_fn, "open", sizeof(int), sizeof(int) };

SCENARIO(submit_behind_a_blocked_task,
         "A task that blocks does not keep the one behind it from another worker.", .bound = 3)
{
    begin_pool(2);
    submit_task(0, &wait_at_gate_task);
    submit_task(1, &open_gate_task);
    x_check(cfut_result(&s.f[0]) == CFUT_OK && cfut_result(&s.f[1]) == CFUT_OK);
    end_pool();
}

SCENARIO(submit_behind_a_blocked_task_searching, "The same with workers that search first.",
         .bound = 2, .spin_ns = 1500)
{
    submit_behind_a_blocked_task();
}

SCENARIO(submit_behind_a_blocked_task_on_one_cpu, "The same where all share a processor.",
         .bound = 2, .spin_ns = 1500, .one_cpu = true)
{
    submit_behind_a_blocked_task();
}

/* Both workers have run, and park; then: */
static void warm_up(void)
{
    begin_pool(2);
    claim_several(2, 4);
    submit_task(4, &wait_at_gate_task);
    submit_task(5, &open_gate_task);
    x_check(cfut_result(&s.f[4]) == CFUT_OK && cfut_result(&s.f[5]) == CFUT_OK);
    cfuti_store_relaxed(&s.gate[0], 0u);
}

/* Whoever has the first of three blocks in it, until the last one has run. */
static void run_behind_a_blocked_one(void)
{
    submit_task(0, &wait_at_gate_task);
    submit(1);
    submit_task(2, &open_gate_task);
    x_check(cfut_result(&s.f[2]) == CFUT_OK && cfut_result(&s.f[0]) == CFUT_OK);
    x_check(cfut_result(&s.f[1]) == CFUT_OK);
    end_pool();
}

SCENARIO(range_in_sight,
         "A worker that claims several tasks and blocks in the first has called another one for "
         "the rest.", .bound = 2)
{
    warm_up();
    run_behind_a_blocked_one();
}

/* Two workers that will think that what comes is tiny, and that one keeps up with that. */
static void begin_tiny(uint32_t chunk)
{
    begin_pool(2);
    claim_several(2, chunk);
    for (int i = 0; i < 2; i++) worker(i)->chunk_taken = 8;
}

SCENARIO(tiny_task_that_blocks,
         "One worker keeps up with tiny tasks, till one of them blocks: the other, which parks or "
         "watches, comes for the rest.", .bound = 2, .spin_ns = 1500)
{
    begin_tiny(4);
    run_behind_a_blocked_one();
}

SCENARIO(tiny_task_that_blocks_at_once, "The same where each is claimed alone, and waits for two.",
         .bound = 2)
{
    begin_tiny(1);
    submit_task(0, &wait_at_gate_task);
    submit_task(1, &open_gate_task);
    x_check(cfut_result(&s.f[0]) == CFUT_OK && cfut_result(&s.f[1]) == CFUT_OK);
    end_pool();
}

/* A task that pushes f[1] into its own deque and then blocks until that has run. */
static int push_and_block_fn(const void *in, void *out)
{
    submit_task(1, &open_gate_task);
    pass_gate(0);
    return count_fn(in, out);
}
static const cfut_task push_and_block_task = { push_and_block_fn, "push", sizeof(int),
                                               sizeof(int) };

SCENARIO(push_against_start,
         "A task pushes another and blocks: a second worker is started for it (P1, P2).",
         .bound = 3)
{
    begin_pool(2);
    submit_task(0, &push_and_block_task);
    x_check(cfut_result(&s.f[0]) == CFUT_OK && cfut_result(&s.f[1]) == CFUT_OK);
    end_pool();
}

SCENARIO(push_against_park,
         "A task pushes another and blocks while the other worker goes to sleep: it takes the task "
         "or is woken (P1, P2 against K1, K2).", .bound = 2)
{
    warm_up();
    submit_task(0, &push_and_block_task);
    x_check(cfut_result(&s.f[0]) == CFUT_OK && cfut_result(&s.f[1]) == CFUT_OK);
    end_pool();
}

SCENARIO(tiny_task_that_pushes,
         "The same where it pushes another one and waits for that.", .bound = 2, .spin_ns = 1500)
{
    begin_tiny(4);
    submit_task(0, &push_and_block_task);
    submit(2);
    for (int i = 0; i < 3; i++) x_check(cfut_result(&s.f[i]) == CFUT_OK);
    end_pool();
}

SCENARIO(push_against_park_portable, "The same without membarrier.", .bound = 2, .portable = true)
{
    push_against_park();
}

SCENARIO(push_against_search, "The same with a worker that searches.", .bound = 2,
         .spin_ns = 1500)
{
    push_against_park();
}

/* The protocol alone: one thread parks, or not, and another pushes. */
static void park_once(void *arg)
{
    cfut_future *f;

    (void)arg;
    act_as(1);
    worker(1)->used = true;
    while (cfuti_load_relaxed(&s.atomic[0]) == 0) {
        f = cfuti_steal(worker(1));
        if (f) {
            take(f);
            cfuti_store_relaxed(&s.atomic[0], 1u);
        } else if (!cfuti_idle(worker(1))) {
            return;
        }
    }
}

static void push_and_call(void *arg)
{
    (void)arg;
    act_as(0);
    push(0, 0);
    cfuti_pushed(worker(0));
}

static void run_parking(void)
{
    begin_staffed(2);
    x_go(park_once, NULL);
    x_go(push_and_call, NULL);
    x_join_all();
    check_taken_once(1);
    worker(1)->used = worker(1)->idle = worker(1)->token = false;
    the_pool()->idle = 0;
    the_pool()->searching = false;
    end_staffed();
}

SCENARIO(parking_alone,
         "P1 and P2 against K1 and K2, and nothing else: the pushed task is found.", .bound = 5)
{
    run_parking();
}

SCENARIO(parking_alone_portable, "The same without membarrier.", .bound = 5, .portable = true)
{
    run_parking();
}

SCENARIO(parking_alone_searching, "The same with the search token.", .bound = 4, .spin_ns = 1500)
{
    run_parking();
}

SCENARIO(parking_spurious, "The same with a sleep that ends for no reason.", .bound = 4,
         .spurious = 1)
{
    run_parking();
}

/* Worker 1 is idle, and relied on. It finds other work, which never ends, while
   worker 0 pushes: worker 2, who is parked, must get what was pushed. */
static void find_other_work(void *arg)
{
    (void)arg;
    act_as(1);
    take(cfuti_take(worker(1), true));
}

static void wake_as_third(void *arg)
{
    cfut_future *f;

    (void)arg;
    act_as(2);
    cfuti_park_sleep(worker(2));
    do {
        f = cfuti_steal(worker(2));
        take(f);
    } while (!f && cfuti_idle(worker(2)));
}

static void run_settling(void)
{
    begin_staffed(3);
    cfuti_lock(&the_pool()->lock);
    worker(1)->idle = worker(2)->idle = worker(2)->used = true;
    worker(1)->token = the_pool()->searching = true;
    the_pool()->idle = 2;
    cfuti_park_begin(worker(2));
    cfuti_unlock(&the_pool()->lock);
    inject(1);
    x_go(find_other_work, NULL);
    x_go(wake_as_third, NULL);
    x_go(push_and_call, NULL);
    x_join_all();
    check_taken_once(2);
    the_pool()->idle = 0;
    the_pool()->searching = false;
    worker(2)->used = false;
    end_staffed();
}

/* Nobody is idle when worker 0 pushes. Then worker 1 searches, worker 2 parks, as that one
   does, and worker 1 finds other work: worker 2 must get what was pushed. */
static void take_one(int i)
{
    cfut_future *f;

    do {
        f = cfuti_take(worker(i), true);
        if (!f) f = cfuti_steal(worker(i));
    } while (!f && cfuti_idle(worker(i)));
    take(f);
}

static void search_and_find(void *arg)
{
    (void)arg;
    act_as(1);
    cfuti_lock(&the_pool()->lock);
    worker(1)->idle = worker(1)->token = the_pool()->searching = true;
    the_pool()->idle++;
    cfuti_hint_update(the_pool());
    cfuti_unlock(&the_pool()->lock);
    inject(1);
    take_one(1);
}

static void park_beside(void *arg)
{
    (void)arg;
    act_as(2);
    take_one(2);
}

static void run_relying(void)
{
    begin_staffed(3);
    worker(1)->used = worker(2)->used = true;
    x_go(push_and_call, NULL);
    x_go(search_and_find, NULL);
    x_go(park_beside, NULL);
    x_join_all();
    check_taken_once(2);
    for (int i = 1; i < 3; i++)
        worker(i)->used = worker(i)->idle = worker(i)->token = false;
    the_pool()->idle = 0;
    the_pool()->searching = false;
    end_staffed();
}

SCENARIO(relying_alone,
         "Who parks beside a searcher relies on what that one sees when it settles (K2).",
         .bound = 4)
{
    run_relying();
}

SCENARIO(settling_alone,
         "A searcher that finds work looks for what was pushed while it was relied on.",
         .bound = 3)
{
    run_settling();
}

SCENARIO(settling_alone_portable, "The same without membarrier.", .bound = 3,
         .portable = true)
{
    run_settling();
}

/* Worker 0 claims two tasks and never comes back from the first; worker 1 must
   get the other. */
static void claim_and_block(void *arg)
{
    (void)arg;
    act_as(0);
    take(cfuti_take(worker(0), true));
}

static void take_or_park(void *arg)
{
    cfut_future *f;

    (void)arg;
    act_as(1);
    worker(1)->used = true;
    do {
        f = cfuti_take(worker(1), true);
        if (!f) f = cfuti_steal(worker(1));
        take(f);
    } while (!f && cfuti_idle(worker(1)));
}

static void run_claiming(void)
{
    begin_staffed(2);
    the_pool()->max_workers = 1;    /* one share */
    claim_several(1, 2);
    the_pool()->started = 1;
    inject(0);
    inject(1);
    x_go(claim_and_block, NULL);
    x_go(take_or_park, NULL);
    x_join_all();
    check_taken_once(2);
    the_pool()->idle = 0;
    the_pool()->searching = false;
    worker(1)->used = false;
    end_staffed();
}

SCENARIO(claiming_alone,
         "A worker that claims a range of two while another parks: it calls that one, or is seen.",
         .bound = 4)
{
    run_claiming();
}

SCENARIO(claiming_alone_portable, "The same without membarrier.", .bound = 4, .portable = true)
{
    run_claiming();
}

SCENARIO(result_with_spurious_wakes, "Waits look again when they wake for no reason.", .bound = 3,
         .spurious = 2)
{
    begin_pool(1);
    submit(1);
    x_check(cfut_result(&s.f[1]) == CFUT_OK);
    check_ran(1);
    end_pool();
}

/* Two threads submit to a pool of two. */
static void submit_one_and_wait(void *arg)
{
    int i = *(int *)arg;

    submit(i);
    x_check(cfut_result(&s.f[i]) == CFUT_OK);
    check_ran(i);
    gone(i);
}

SCENARIO(two_submitters, "Two threads submit to one worker; both get their results.", .bound = 2)
{
    begin_pool(1);
    x_go(submit_one_and_wait, &one);
    submit_one_and_wait(&zero);
    x_join_all();
    end_pool();
}

SCENARIO(token_handed_over,
         "Three tasks that need each other, so three workers: who finds work calls the next.",
         .bound = 1)
{
    begin_pool(3);
    submit_task(0, &wait_at_gate_task);
    submit_task(1, &wait_at_gate_task);
    submit_task(2, &open_gate_task);
    for (int i = 0; i < 3; i++) x_check(cfut_result(&s.f[i]) == CFUT_OK);
    end_pool();
}

SCENARIO(fairness_looks_outside,
         "A worker that feeds itself takes an outside task now and then.", .bound = 2,
         .fairness = 2)
{
    begin_pool(1);
    submit(0);
    submit(1);
    submit(2);
    for (int i = 0; i < 3; i++) x_check(cfut_result(&s.f[i]) == CFUT_OK);
    end_pool();
}
