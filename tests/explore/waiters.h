/* waiters.h: scenarios of >>waiters: wait and as_completed over several futures. */

static void finish_second(void *arg)
{
    (void)arg;
    become_worker(1);
    cfuti_execute(cfuti_self(), &s.f[1]);
    leave_workers();
}

/* Two futures, each finished by a thread of its own, while main waits. */
static void begin_two(void)
{
    begin_queues(2);
    make_pending(0);
    make_pending(1);
    x_go(finish_first, NULL);
    x_go(finish_second, NULL);
}

static void end_two(void)
{
    x_join_all();
    end_pool();
}

SCENARIO(wait_for_all, "Two futures that end at once: the wait returns when both are done.",
         .bound = 3)
{
    cfut_future *fs[2] = { &s.f[0], &s.f[1] };

    begin_two();
    x_check(cfut_wait(fs, 2, CFUT_ALL_COMPLETED, CFUT_FOREVER) == 2);
    check_ran(0);
    check_ran(1);
    gone(0);
    gone(1);
    end_two();
}

SCENARIO(wait_for_the_first,
         "The wait returns when one is done, and leaves the other one alone.", .bound = 3)
{
    cfut_future *fs[2] = { &s.f[0], &s.f[1] };
    ptrdiff_t n;

    begin_two();
    n = cfut_wait(fs, 2, CFUT_FIRST_COMPLETED, CFUT_FOREVER);
    x_check(n == 1 || n == 2);
    for (ptrdiff_t i = 0; i < n; i++) {
        check_ran(index_of(fs[i]));
        gone(index_of(fs[i]));
    }
    x_check(fs[0] != fs[1]);
    end_two();
}

SCENARIO(wait_for_an_error,
         "FIRST_ERROR: returns with the failed one, whichever ends first.", .bound = 3)
{
    cfut_future *fs[2] = { &s.f[0], &s.f[1] };
    ptrdiff_t n;

    begin_queues(2);
    make_pending(0);
    make_pending(1);
    s.f[1].task = &fail_task;
    x_go(finish_first, NULL);
    x_go(finish_second, NULL);
    n = cfut_wait(fs, 2, CFUT_FIRST_ERROR, CFUT_FOREVER);
    x_check(n == 2 || (n == 1 && fs[0] == &s.f[1]));
    x_check(s.f[1].status == 5 && is_text(cfut_error(&s.f[1]), "no"));
    end_two();
}

SCENARIO(wait_with_duplicates,
         "An entry that stands twice counts twice, though its future ends meanwhile.", .bound = 3)
{
    cfut_future *fs[3] = { &s.f[0], &s.f[1], &s.f[0] };

    begin_two();
    x_check(cfut_wait(fs, 3, CFUT_ALL_COMPLETED, CFUT_FOREVER) == 3);
    x_check((fs[0] == &s.f[0]) + (fs[1] == &s.f[0]) + (fs[2] == &s.f[0]) == 2);
    check_ran(0);
    check_ran(1);
    end_two();
}

SCENARIO(wait_for_all_in_time,
         "A wait whose time runs out takes itself off both futures while they end.", .bound = 3)
{
    cfut_future *fs[2] = { &s.f[0], &s.f[1] };
    ptrdiff_t n;

    begin_two();
    n = cfut_wait(fs, 2, CFUT_ALL_COMPLETED, CFUT_MS(1));
    x_check(n >= 0 && n <= 2);
    for (ptrdiff_t i = 0; i < n; i++) gone(index_of(fs[i]));
    end_two();
}

static void finish_last_and_first(void *arg)
{
    (void)arg;
    become_worker(0);
    cfuti_execute(cfuti_self(), &s.f[2]);
    cfuti_execute(cfuti_self(), &s.f[0]);
    leave_workers();
}

SCENARIO(wait_puts_done_ones_first,
         "The last and the first of three end, and the time of the wait, too: what is done stands "
         "in front.", .bound = 3)
{
    cfut_future *fs[3] = { &s.f[0], &s.f[1], &s.f[2] };
    ptrdiff_t n;

    begin_queues(1);
    for (int i = 0; i < 3; i++) make_pending(i);
    x_go(finish_last_and_first, NULL);
    n = cfut_wait(fs, 3, CFUT_ALL_COMPLETED, CFUT_MS(1));
    x_check(n >= 0 && n <= 2);
    for (ptrdiff_t i = 0; i < n; i++) check_ran(index_of(fs[i]));
    x_check(n < 2 || fs[2] == &s.f[1]);
    x_join_all();
    end_pool();
}

SCENARIO(iterate_over_two, "Each future is yielded once, and is its owner's then.", .bound = 3)
{
    cfut_future *fs[2] = { &s.f[0], &s.f[1] }, *f;
    int n = 0;

    begin_two();
    x_check(cfut_as_completed(&s.it, fs, 2, CFUT_FOREVER) == CFUT_OK);
    while ((f = cfut_next(&s.it)) != NULL) {
        check_ran(index_of(f));
        gone(index_of(f));
        n++;
    }
    x_check(n == 2 && s.it.status == CFUT_OK);
    end_two();
}

SCENARIO(iterate_in_time,
         "An iterator whose time runs out yields what is done, and lets the rest go.", .bound = 3)
{
    cfut_future *fs[2] = { &s.f[0], &s.f[1] }, *f;
    size_t n = 0;

    begin_two();
    x_check(cfut_as_completed(&s.it, fs, 2, CFUT_MS(1)) == CFUT_OK);
    while ((f = cfut_next(&s.it)) != NULL) {
        gone(index_of(f));
        n++;
    }
    x_check(n + s.it.unfinished == 2);
    x_check(s.it.status == (n == 2 ? CFUT_OK : CFUT_TIMEOUT));
    end_two();
}

SCENARIO(iterate_and_end_early, "An iteration that ends after the first lets the other one go.",
         .bound = 3)
{
    cfut_future *fs[2] = { &s.f[0], &s.f[1] }, *f;

    begin_two();
    x_check(cfut_as_completed(&s.it, fs, 2, CFUT_FOREVER) == CFUT_OK);
    f = cfut_next(&s.it);
    x_check(f);
    check_ran(index_of(f));
    cfut_iter_end(&s.it);
    gone(index_of(f));
    end_two();
}

static void iterate_over(size_t total)
{
    cfut_future *fs[3] = { &s.f[0], &s.f[1], &s.f[2] }, *f;
    cfut_iter it;
    size_t n = 0;

    x_check(cfut_as_completed(&it, fs, total, CFUT_FOREVER) == CFUT_OK);
    while ((f = cfut_next(&it)) != NULL) {
        check_ran(index_of(f));
        n++;
    }
    x_check(n == total && it.status == CFUT_OK);
}

static void iterate_over_both(void *arg)
{
    (void)arg;
    iterate_over(2);
}

static void finish_both(void *arg)
{
    (void)arg;
    become_worker(0);
    cfuti_execute(cfuti_self(), &s.f[1]);
    cfuti_execute(cfuti_self(), &s.f[0]);
    leave_workers();
}

SCENARIO(two_iterators_over_two,
         "Two iterators over the same futures see both, whoever has the links inside of them.",
         .bound = 2)
{
    begin_queues(2);
    make_pending(0);
    make_pending(1);
    x_go(finish_both, NULL);
    x_go(iterate_over_both, NULL);
    iterate_over_both(NULL);
    end_two();
}

static void wait_by_hand_or_not(void *arg)
{
    cfut_future *f = &s.f[0];
    ptrdiff_t n = cfut_wait(&f, 1, CFUT_ALL_COMPLETED, CFUT_FOREVER);

    (void)arg;
    x_check(n == CFUT_NO_MEMORY || (n == 1 && s.f[0].status == 7));
}

static void iterate_over_three(void *arg)
{
    (void)arg;
    iterate_over(3);
}

SCENARIO(iterate_beside_a_result,
         "An iterator yields nothing that is not done yet, though it has arrived.", .bound = 3)
{
    begin_queues(2);
    for (int i = 0; i < 3; i++) make_pending(i);
    finish_second(NULL);
    x_go(iterate_over_three, NULL);
    x_go(finish_first, NULL);
    just_result(&zero);
    cfuti_execute(cfuti_self(), &s.f[2]);
    end_two();
}

SCENARIO(wait_without_memory,
         "A second wait on a future that cannot allocate its block says so, and leaves no link.",
         .bound = 3, .failures = 1)
{
    cfut_future *f = &s.f[0];
    ptrdiff_t n;

    begin();
    cfut_future_init(&s.f[0]);
    x_go(wait_by_hand_or_not, NULL);
    n = cfut_wait(&f, 1, CFUT_ALL_COMPLETED, CFUT_MS(1));
    x_check(n == 0 || n == 1 || n == CFUT_NO_MEMORY);
    x_check(cfut_finish(&s.f[0], 7) == CFUT_OK);
    x_join_all();
}

static void iterate_or_not(void *arg)
{
    cfut_future *fs[2] = { &s.f[0], &s.f[1] };
    cfut_iter it;
    int n = 0;

    (void)arg;
    cfut_as_completed(&it, fs, 2, CFUT_FOREVER);
    while (cfut_next(&it)) n++;
    x_check(it.status == CFUT_NO_MEMORY ? n == 0 : n == 2 && it.status == CFUT_OK);
}

SCENARIO(iterate_without_memory,
         "A second iterator that finds no memory says so, and leaves nothing in the futures.",
         .bound = 2, .failures = 1)
{
    begin();
    cfut_future_init(&s.f[0]);
    cfut_future_init(&s.f[1]);
    x_go(iterate_or_not, NULL);
    x_go(iterate_or_not, NULL);
    x_check(cfut_finish(&s.f[1], CFUT_OK) == CFUT_OK);
    x_check(cfut_finish(&s.f[0], CFUT_OK) == CFUT_OK);
    x_join_all();
}

SCENARIO(reclaim_against_worker,
         "A reclaim cancels what waits, waits for what runs, and then all memory is the caller's.",
         .bound = 4)
{
    cfut_future *fs[2] = { &s.f[0], &s.f[1] };

    begin_queues(1);
    for (int i = 0; i < 2; i++) {
        make_light(i);
        x_check(cfuti_push(worker(0), &s.f[i]));
    }
    x_go(pop_and_finish, NULL);
    cfut_reclaim(fs, 2);
    for (int i = 0; i < 2; i++) {
        x_check(cfut_done(&s.f[i]));
        if (s.f[i].status) check_cancelled(i);
        else check_ran(i);
        gone(i);
    }
    end_two();
}
