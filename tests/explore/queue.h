/* queue.h: scenarios of >>queue: the split deque, the inbox, the spill list. */

/* ---- the deque ---- */

static void push(int w, int i)
{
    make_pending(i);
    x_check(cfuti_push(worker(w), &s.f[i]));
}

static void pop_all(void *arg)
{
    cfut_future *f;

    (void)arg;
    act_as(0);
    while ((f = cfuti_pop(worker(0))) != NULL) take(f);
}

static void steal_private(void *arg)
{
    (void)arg;
    act_as(1);
    take(cfuti_deque_steal(worker(0), true));
}

static void steal_shared(void *arg)
{
    (void)arg;
    act_as(1);
    take(cfuti_deque_steal(worker(0), false));
}

static void kill_first(void *arg)
{
    int i = *(int *)arg;

    if (cfuti_unqueue(the_pool(), &s.f[i])) take(&s.f[i]);
}

static void drain(int n)
{
    x_join_all();
    pop_all(NULL);
    cfuti_self()->worker = NULL;
    check_taken_once(n);
    end_pool();
}

SCENARIO(deque_pop_against_steal,
         "The last private task goes to its owner or to a thief, never to both or none.",
         .bound = 6)
{
    begin_queues(2);
    push(0, 0);
    x_go(pop_all, NULL);
    x_go(steal_private, NULL);
    drain(1);
}

SCENARIO(deque_pop_against_steal_portable,
         "The same without membarrier.", .bound = 6, .portable = true)
{
    deque_pop_against_steal();
}

SCENARIO(deque_pop_against_two_thieves,
         "Of three private tasks, popped by the owner and stolen by two thieves, each is taken "
         "once.", .bound = 3)
{
    begin_queues(2);
    for (int i = 0; i < 3; i++) push(0, i);
    x_go(pop_all, NULL);
    x_go(steal_private, NULL);
    x_go(steal_private, NULL);
    drain(3);
}

static void push_two_and_pop(void *arg)
{
    (void)arg;
    act_as(0);
    for (int i = 0; i < 2; i++) {
        push(0, i);
        take(cfuti_pop(worker(0)));
    }
}

SCENARIO(deque_push_against_steal,
         "A thief that takes what was just pushed sees all of the future, and the owner pops it "
         "or he gets it.", .bound = 4)
{
    begin_queues(2);
    x_go(push_two_and_pop, NULL);
    x_go(steal_private, NULL);
    x_go(steal_private, NULL);
    drain(2);
}

SCENARIO(deque_pop_against_kill,
         "A task that is popped and cancelled at once goes to one of them.", .bound = 5)
{
    static int first;

    begin_queues(2);
    push(0, 0);
    push(0, 1);
    x_go(pop_all, NULL);
    x_go(kill_first, &first);
    drain(2);
}

SCENARIO(deque_kill_against_steal,
         "A canceller and a thief that want the same task do not both get it, and the thief "
         "passes the dead one.", .bound = 5)
{
    static int first;

    begin_queues(2);
    push(0, 0);
    push(0, 1);
    x_go(kill_first, &first);
    x_go(steal_private, NULL);
    drain(2);
}

SCENARIO(deque_two_kills,
         "Two cancellers at once, the newest and the oldest of three tasks, while the owner pops.",
         .bound = 3)
{
    static int first = 0, last = 2;

    begin_queues(2);
    for (int i = 0; i < 3; i++) push(0, i);
    x_go(pop_all, NULL);
    x_go(kill_first, &first);
    x_go(kill_first, &last);
    drain(3);
}

static void share_and_pop(void *arg)
{
    (void)arg;
    act_as(0);
    cfuti_share(worker(0));
    for (int i = 0; i < 2; i++) take(cfuti_pop(worker(0)));
}

SCENARIO(deque_share_against_steal,
         "What the owner shares and takes back, a thief gets or the owner.", .bound = 4)
{
    begin_queues(2);
    for (int i = 0; i < 3; i++) push(0, i);
    x_go(share_and_pop, NULL);
    x_go(steal_shared, NULL);
    x_go(steal_shared, NULL);
    drain(3);
}

static void push_till_full(void *arg)
{
    int refused = 0;

    (void)arg;
    act_as(0);
    for (int i = 0; i < 4; i++) {
        make_pending(i);
        if (!cfuti_push(worker(0), &s.f[i])) {
            refused++;
            take(&s.f[i]);
        }
    }
    s.answer[0] = refused;
}

SCENARIO(deque_full_ring,
         "A push into a full ring is refused or finds the place that a thief has just emptied; "
         "no task is overwritten.", .bound = 4, .ring = 2)
{
    begin_queues(2);
    x_go(push_till_full, NULL);
    x_go(steal_private, NULL);
    x_join_all();
    x_check(s.answer[0] <= 3);      /* one slot is for inlined forks */
    drain(4);
}

static void claim_newest_twice(void *arg)
{
    (void)arg;
    act_as(0);
    if (cfuti_claim_own(worker(0), &s.f[1])) take(&s.f[1]);
    if (cfuti_claim_own(worker(0), &s.f[0])) take(&s.f[0]);
}

SCENARIO(deque_claim_against_steal,
         "A task that waits for its child takes it out of its deque, or a thief has it.",
         .bound = 5)
{
    begin_queues(2);
    push(0, 0);
    push(0, 1);
    x_go(claim_newest_twice, NULL);
    x_go(steal_private, NULL);
    drain(2);
}

SCENARIO(deque_claim_against_steal_portable, "The same without membarrier.", .bound = 5,
         .portable = true)
{
    deque_claim_against_steal();
}

SCENARIO(deque_claim_against_kill,
         "A task that waits for its child and a canceller do not both get it.", .bound = 5)
{
    static int last = 1;

    begin_queues(2);
    push(0, 0);
    push(0, 1);
    x_go(claim_newest_twice, NULL);
    x_go(kill_first, &last);
    drain(2);
}

static void steal_again(void *arg)
{
    (void)arg;
    act_as(1);
    for (int k = 0; k < 2; k++)
        if (cfuti_deque_steal(worker(0), true)) {
            int round = s.answer[4]++;

            s.answer[2 + round] = 1;
            open_gate(cfuti_load_relaxed(&s.atomic[0]) ? 1 : 0);
        }
}

/* Runs f[0] twice: each time it is queued anew at the same address. */
static void use_again(void *arg)
{
    (void)arg;
    act_as(0);
    for (uint32_t k = 0; k < 2; k++) {
        cfuti_store_relaxed(&s.atomic[0], k);
        push(0, 0);
        if (cfuti_pop(worker(0))) s.answer[k] = 1;
        else pass_gate((int)k);
    }
}

SCENARIO(deque_address_reused,
         "A future that was taken and is queued again at the same address is taken once more, "
         "though a thief still looks at its old place.", .bound = 4)
{
    begin_queues(2);
    x_go(use_again, NULL);
    x_go(steal_again, NULL);
    x_join_all();
    x_check(s.answer[0] + s.answer[1] + s.answer[4] == 2);
    end_pool();
}

/* ---- the inbox ---- */

static void inject(int i)
{
    make_pending(i);
    x_check(cfuti_inject(the_pool(), &s.f[i], false) == CFUT_OK);
}

/* Workers that claim n tasks at once, since they have just been here. */
static void claim_several(int workers, uint32_t n)
{
    for (int i = 0; i < workers; i++) {
        worker(i)->chunk = n;
        worker(i)->chunk_began = cfuti_now();
    }
}

static void begin_inbox(int workers)
{
    begin_staffed(workers);
    claim_several(workers, 2);
}

static void end_inbox(int n)
{
    cfut_future *f;

    x_join_all();
    while ((f = cfuti_take_any(the_pool())) != NULL) take(f);
    check_taken_once(n);
    end_staffed();
}

static void take_two(void *arg)
{
    int w = *(int *)arg;

    act_as(w);
    for (int k = 0; k < 2; k++) {
        cfut_future *f = cfuti_range_next(worker(w));

        take(f ? f : cfuti_take(worker(w), true));
    }
}

static void steal_range(void *arg)
{
    (void)arg;
    act_as(1);
    take(cfuti_range_steal(worker(0), true));
    take(cfuti_range_steal(worker(0), true));
}

static int zero = 0, one = 1, two = 2, three = 3;

SCENARIO(inbox_two_workers, "Two workers claim ranges: each task is taken once.", .bound = 4)
{
    begin_inbox(2);
    for (int i = 0; i < 4; i++) inject(i);
    x_go(take_two, &zero);
    x_go(take_two, &one);
    end_inbox(4);
}

SCENARIO(inbox_steal_from_range,
         "What waits in a worker's range is taken once, by it or by a thief.", .bound = 4)
{
    begin_inbox(1);
    the_pool()->high = 1;
    for (int i = 0; i < 3; i++) inject(i);
    claim_several(1, 3);
    x_go(take_two, &zero);
    x_go(steal_range, NULL);
    end_inbox(3);
}

static void steal_and_inject(void *arg)
{
    (void)arg;
    act_as(1);
    take(cfuti_range_steal(worker(0), true));
    cfuti_self()->worker = NULL;
    inject(2);
    inject(3);
}

SCENARIO(inbox_range_overtaken,
         "A worker whose range was stolen from finds younger tasks in its slots, whole ones.",
         .bound = 4, .inbox = 2)
{
    begin_inbox(2);
    the_pool()->started = the_pool()->max_workers = 1;  /* one share */
    inject(0);
    inject(1);
    x_go(take_two, &zero);
    x_go(steal_and_inject, NULL);
    end_inbox(4);
}

SCENARIO(inbox_cancel_against_take,
         "A task that is cancelled while a worker claims it goes to one of them.", .bound = 4)
{
    begin_inbox(1);
    for (int i = 0; i < 2; i++) inject(i);
    x_go(take_two, &zero);
    x_go(kill_first, &zero);
    x_go(kill_first, &one);
    end_inbox(2);
}

static void inject_two(void *arg)
{
    int i = *(int *)arg;

    inject(i);
    inject(i + 1);
}

SCENARIO(inbox_two_producers,
         "Two producers and a worker: nothing is overwritten, and the worker sees all of what it "
         "takes.", .bound = 3)
{
    begin_inbox(1);
    x_go(inject_two, &zero);
    x_go(inject_two, &two);
    x_go(take_two, &zero);
    end_inbox(4);
}

static void inject_five(void *arg)
{
    (void)arg;
    for (int i = 0; i < 5; i++) inject(i);
}

SCENARIO(inbox_full,
         "What does not fit the ring goes to the spill list, and from there back, each task once.",
         .bound = 3, .inbox = 2)
{
    begin_inbox(1);
    x_go(inject_five, NULL);
    x_go(take_two, &zero);
    end_inbox(5);
}

static void take_four(void *arg)
{
    for (int k = 0; k < 2; k++) take_two(arg);
}

SCENARIO(inbox_full_one_by_one, "The same, where the list goes back in small parts.",
         .bound = 3, .inbox = 2, .chunk = 1)
{
    begin_inbox(1);
    for (int i = 0; i < 5; i++) inject(i);
    x_go(take_four, &zero);
    end_inbox(5);
}

SCENARIO(inbox_full_of_claimed,
         "A ring full of what another worker has claimed, and not taken yet: who comes then "
         "takes from the spill list.", .bound = 4, .inbox = 2)
{
    begin_inbox(2);
    for (int i = 0; i < 4; i++) inject(i);
    x_go(take_two, &zero);
    x_go(take_two, &one);
    end_inbox(4);
}

static void take_in_order(void *arg)
{
    (void)arg;
    act_as(0);
    while (s.n < 4) {
        cfut_future *f = cfuti_range_next(worker(0));

        if (!f) f = cfuti_take(worker(0), true);
        if (f) s.order[s.n++] = index_of(f);
        else cfuti_pause();
    }
}

static void inject_four(void *arg)
{
    (void)arg;
    for (int i = 0; i < 4; i++) inject(i);
}

SCENARIO(inbox_order,
         "One worker takes in the order of submission, through a full ring, too.", .bound = 3,
         .inbox = 2)
{
    begin_inbox(1);
    x_go(inject_four, NULL);
    x_go(take_in_order, NULL);
    x_join_all();
    for (int i = 0; i < 4; i++) x_check(s.order[i] == i);
    end_staffed();
}

SCENARIO(inbox_turns_back_in_order,
         "The same where the ring goes back to its begin when nothing waits.", .bound = 3)
{
    inbox_order();
}

SCENARIO(inbox_turns_back,
         "The ring goes back to its begin, where a worker may still have a range to run: each task "
         "is taken once.", .bound = 3)
{
    begin_inbox(2);
    inject(0);
    inject(1);
    x_go(take_two, &zero);
    x_go(inject_two, &two);
    x_go(take_two, &one);
    end_inbox(4);
}

SCENARIO(spill_cancel_against_take,
         "A task on the spill list is cancelled while a worker moves the list into the ring: one "
         "gets it.", .bound = 4, .inbox = 2)
{
        begin_inbox(1);
    for (int i = 0; i < 4; i++) inject(i);
    x_go(take_two, &zero);
    x_go(kill_first, &two);
    x_go(kill_first, &three);
    end_inbox(4);
}

SCENARIO(spill_two_kills, "Two that want the same task of the spill list do not both get it.",
         .bound = 5, .inbox = 2)
{
    begin_inbox(1);
    for (int i = 0; i < 4; i++) inject(i);
    x_go(kill_first, &three);
    x_go(kill_first, &three);
    end_inbox(4);
}

static void take_any(void *arg)
{
    cfut_future *f;

    (void)arg;
    act_as(0);
    while ((f = cfuti_take_any(the_pool())) != NULL) take(f);
}

SCENARIO(inbox_fail_against_take,
         "A cancelling close empties the inbox beside a worker: each task goes to one.", .bound = 4)
{
    begin_inbox(2);
    for (int i = 0; i < 3; i++) inject(i);
    x_go(take_two, &one);
    x_go(take_any, NULL);
    end_inbox(3);
}
