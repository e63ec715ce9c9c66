"""Planted bugs: faults that the explorer must find.

Each is (name, what is wrong, text in cfut.h, what stands there instead, scenarios).
The text must occur exactly once. The scenarios are those that are to find it."""

BUGS = [
    # ---- the lock ----
    ('lock_not_atomic', 'the small lock is taken by a load and a store',
     'while (cfuti_exchange_acquire(lock, 1u))',
     'while (cfuti_load_acquire(lock) || (cfuti_store_relaxed(lock, 1u), false))',
     'inbox_two_producers'),

    # ---- LIGHT ----
    ('L_without_barrier', 'a locker of a light future passes no barrier before it looks (L1, L2)',
     '    cfuti_heavy();\n    cfuti_lock(&cfuti_workers_lock);',
     '    cfuti_lock(&cfuti_workers_lock);',
     'light_finish'),
    ('L_does_not_wait', 'a locker of a light future does not look for its finisher (L2)',
     '                cfuti_wait_for_finisher(f);\n', '',
     'light_finish'),
    ('L_trusts_any_queue', 'a locker takes every light future for one in its own deque',
     'if (!finisher && !cfuti_is_queued_here(cfuti_self()->worker, f)) {',
     'if (!finisher && !cfuti_self()->worker) {',
     'light_locked_in_own_deque'),
    ('F1_left_out', 'a light finisher does not name the future (F1)',
     'cfuti_store_light(&t->finishing, f);                    /* F1 */', '',
     'light_finish'),
    ('F1_after_F2', 'a light finisher looks at the state before it names the future',
     'cfuti_store_light(&t->finishing, f);                    /* F1 */\n'
     '    s = cfuti_load_light(&f->state);                        /* F2 */',
     's = cfuti_load_light(&f->state);\n    cfuti_store_light(&t->finishing, f);',
     'light_finish'),
    ('F4_before_F3', 'a light finisher is through before the final state is there',
     '    s = cfuti_load_light(&f->state);                        /* F2 */',
     '    s = cfuti_load_light(&f->state);\n'
     '    cfuti_store_release(&t->finishing, (cfut_future *)NULL);',
     'light_finish'),

    # ---- completion ----
    ('reads_after_publishing', 'the status is read from the future after it was published',
     '               status && frame.code == status ? frame.text : NULL);\n    return status;',
     '               status && frame.code == status ? frame.text : NULL);\n    return f->status;',
     'finish_against'),
    ('text_after_publishing', 'the error text is written after the final state',
     '        memcpy(f->u.text, text, sizeof f->u.text);\n        keep |= CFUTI_TEXT;\n    }\n'
     '    /* release: out, status, text; pairs with cfuti_view. last touch */\n'
     '    cfuti_store_release(&f->state, keep | final);',
     '        keep |= CFUTI_TEXT;\n    }\n'
     '    cfuti_store_release(&f->state, keep | final);\n'
     '    if (text) memcpy(f->u.text, text, sizeof f->u.text);',
     'failure_against_poll'),
    ('status_after_publishing', 'the status is written after the final state',
     '    f->status = status;\n    if ((s & CFUTI_LIGHT)',
     '    if ((s & CFUTI_LIGHT)',
     'code_against_poll'),
    ('told_before_final', 'a collector is let go before the final state is there',
     '    cfuti_store_final(f, s, final, text);\n    cfuti_collector_unlock(c);',
     '    cfuti_collector_unlock(c);\n    cfuti_store_final(f, s, final, text);',
     'finish_against'),
    ('many_told_before_final', 'several collectors are let go before the final state is there',
     '    cfuti_store_final(f, s, final, text);\n    if (inside) cfuti_settle_one(inside);',
     '    if (inside) cfuti_settle_one(inside);\n    cfuti_store_final(f, s, final, text);',
     'finish_against_wait_and_iterator'),
    ('arriving_is_ready', 'a wait returns while one of its futures is not final yet',
     '    if (c->arriving) return false;\n    if (!c->pending) return true;',
     '    if (!c->pending) return true;',
     'finish_against_result_and_wait finish_against_two'),
    ('one_kind_told', 'with a link inside, the collectors outside are forgotten',
     '    else if (!(s & CFUTI_WAITERS))\n        cfuti_publish_to_one',
     '    else if (s & CFUTI_LINK)\n        cfuti_publish_to_one',
     'finish_against_wait_and_iterator finish_against_result_and_wait'),
    ('collector_touched_after_unlock', 'the completer looks at a collector that it has let go',
     '    bool wake = cfuti_should_wake(c);\n    uint32_t *word = &c->word;\n',
     '    bool wake = false;\n    uint32_t *word = &c->word;\n\n'
     '    cfuti_unlock(&c->lock);\n    wake = cfuti_should_wake(c);\n'
     '    cfuti_lock(&c->lock);\n',
     'finish_against timed_result'),
    ('finished_twice', 'a second finish does not see that the future is final',
     '    if (cfuti_is_final(s) || (s & CFUTI_STATE) == CFUT_STATE_FRESH) '
     'return CFUT_INVALID_STATE;\n    if ((s & CFUTI_COMPLETING)',
     '    if ((s & CFUTI_STATE) == CFUT_STATE_FRESH) return CFUT_INVALID_STATE;\n'
     '    if ((s & CFUTI_COMPLETING)',
     'by_hand_finished_twice'),
    ('callback_lost', 'callbacks that are added while others run are forgotten',
     '    while (cfuti_take_callback(n->future, &n->flags, &cb, &node)) {',
     '    if (cfuti_take_callback(n->future, &n->flags, &cb, &node)) {',
     'callback result_during_callbacks'),
    ('second_cancel_returns_early', 'a second cancel does not wait for the publication',
     '    if (!cfuti_notice_of(f)) cfuti_result(f, CFUT_FOREVER, true);   '
     '/* until it is published */\n', '',
     'second_cancel'),
    ('release_forgets', 'a released future is not freed by who completes it',
     '    if (CFUTI_UNLIKELY(s & CFUTI_RELEASED))\n        CFUT_FREE(f);\n    else if',
     '    if', 'release_against'),

    # ---- waiting ----
    ('waiter_does_not_look_again', 'a waiter does not look whether the future became final',
     '    s = cfuti_future_lock(f);\n    if (cfuti_is_final(s)) return f->status;\n'
     '    if ((s & CFUTI_STATE) == CFUT_STATE_CANCELLED && kind',
     '    s = cfuti_future_lock(f);\n'
     '    if ((s & CFUTI_STATE) == CFUT_STATE_CANCELLED && kind',
     'finish_against_result'),
    ('unlinks_without_F', 'a waiter unlinks itself without the future\'s lock',
     '    if (!cfuti_future_trylock(f, &s)) return false;',
     '    s = cfuti_load_relaxed(&f->state);',
     'timed_'),
    ('C_before_F', 'a waiter that leaves early waits for F while it holds C',
     '        if (c->pending && cfuti_detach_one(c)) continue;\n        cfuti_unlock(&c->lock);\n'
     '        cfuti_backoff(&round);\n        cfuti_lock(&c->lock);',
     '        if (c->pending && cfuti_detach_one(c)) continue;\n        cfuti_backoff(&round);',
     'timed_'),
    ('leaves_without_unlinking', 'a waiter whose time is over leaves its link behind',
     '    if (status != CFUT_OK) cfuti_collector_detach(&c);', '',
     'timed_result'),
    ('link_used_after_let_go', 'an iterator reads a future\'s link after it has let it go',
     '    *list = (uintptr_t)f->next;\n'
     '    cfuti_store_relaxed(&f->owner, (uintptr_t)0);   '
     '/* relaxed: c looks for itself no more */\n'
     '    cfuti_and_release(&f->state, ~(uint32_t)CFUTI_LINK);    '
     '/* release: next may be reused */',
     '    cfuti_store_relaxed(&f->owner, (uintptr_t)0);\n'
     '    cfuti_and_release(&f->state, ~(uint32_t)CFUTI_LINK);\n'
     '    *list = (uintptr_t)f->next;',
     'two_iterators'),
    ('entry_moved_without_link', 'an entry of a wait is moved, and its link not told',
     '    cfuti_link_at(c, i)->a = i;\n', '',
     'wait_puts'),
    ('iterator_yields_arriving', 'an iterator yields what is not final yet',
     '    while (it->c.arriving) {        /* in the list, and not yet final */',
     '    while (false) {',
     'iterate_beside'),

    # ---- cancel ----
    ('cancel_takes_nothing', 'a cancel looks who has the task, and does not take it',
     '(!by_hand && !cfuti_take_for_cancel(f))',
     '(!by_hand && (cfuti_load_relaxed(&f->owner) & 1))',
     'cancel_against_worker'),
    ('cancel_in_two_steps', 'a cancel looks at the inbox slot, then stores into it',
     'return cfuti_cas_acq_rel((uintptr_t *)slot, &x, (uintptr_t)CFUTI_DEAD);',
     'return cfuti_load_acquire((uintptr_t *)slot) == x && '
     '(cfuti_store_release((uintptr_t *)slot, (uintptr_t)CFUTI_DEAD), true);',
     'inbox_cancel'),
    ('spill_removed_twice', 'what leaves the spill list still says that it is there',
     '        cfuti_spill_remove(p, f);\n        cfuti_store_relaxed(&f->slot, '
     '(uintptr_t)CFUTI_UNQUEUED);\n    }\n    cfuti_unlock(&p->lock);',
     '        cfuti_spill_remove(p, f);\n    }\n    cfuti_unlock(&p->lock);',
     'spill_'),

    # ---- the deque ----
    ('R_without_barrier', 'who raises lim passes no barrier before he looks at bot (R1, R2)',
     '    cfuti_heavy();\n    bot = cfuti_load_seq_cst(&w->deque.bot);        /* R2',
     '    bot = cfuti_load_seq_cst(&w->deque.bot);        /* R2',
     'deque_pop_against deque_claim'),
    ('R_does_not_look_back', 'who raises lim does not look at bot again (R2)',
     '    if (!cfuti_below(bot, end)) return true;\n'
     '    cfuti_store_relaxed(&w->deque.lim, cfuti_below',
     '    if (bot || !bot) return true;\n    cfuti_store_relaxed(&w->deque.lim, cfuti_below',
     'deque_pop_against'),
    ('O2_before_O1', 'the owner reads lim before it lowers bot',
     '        cfuti_store_light(&w->deque.bot, --b);                                  /* O1 */\n'
     '        if (CFUTI_UNLIKELY(cfuti_below(b, cfuti_load_light(&w->deque.lim))))    /* O2 */',
     '        size_t lim = cfuti_load_light(&w->deque.lim);\n\n'
     '        cfuti_store_light(&w->deque.bot, --b);\n'
     '        if (CFUTI_UNLIKELY(cfuti_below(b, lim)))',
     'deque_pop_against'),
    ('claim_without_O2', 'a join takes the newest without looking at lim (O2)',
     '    if (CFUTI_UNLIKELY(cfuti_below(b, cfuti_load_light(&w->deque.lim))))    /* O2 */\n'
     '        return cfuti_pop_shared(w, f) != NULL;\n', '',
     'deque_claim'),
    ('kill_without_raising', 'a canceller kills in the private part without raising lim',
     '(mine || cfuti_raise(w, i + 1)))', 'mine + 1)',
     'deque_pop_against_kill'),
    ('kill_without_lock', 'a canceller kills without the deque\'s lock',
     '    cfuti_lock(&w->lock);\n    i = cfuti_index_of(w, slot);',
     '    i = cfuti_index_of(w, slot);',
     'deque_kill deque_two_kills deque_pop_against_kill'),
    ('steal_without_lim', 'a thief takes from the private part without raising lim',
     '            !(force && cfuti_share_oldest(w, t)))\n            break;',
     '            !(force && cfuti_below(w->top, cfuti_load_relaxed(&w->deque.bot)) && t))\n'
     '            break;',
     'deque_pop_against_steal'),
    ('push_over_full', 'a push does not look whether its slot is empty',
     '    if (CFUTI_UNLIKELY(!cfuti_below(b, w->deque.room)) && !cfuti_has_room(w)) return false;\n    cfuti',
     '    cfuti',
     'deque_full_ring'),
    ('push_before_slot', 'a push moves bot before the slot is filled',
     '    cfuti_store_relaxed(slot, (uintptr_t)f);\n'
     '    cfuti_store_light(&w->deque.bot, b + 1);        /* P1, then P2: see >>sleep */',
     '    cfuti_store_light(&w->deque.bot, b + 1);\n    cfuti_store_relaxed(slot, (uintptr_t)f);',
     'deque_push_against_steal'),

    # ---- the inbox ----
    ('range_steal_in_two_steps', 'a thief of a range loads the slot, then stores into it',
     'cfuti_cas_acquire(slot, &x, (uintptr_t)CFUTI_EMPTY)))',
     '(cfuti_store_relaxed(slot, (uintptr_t)CFUTI_EMPTY), true)))',
     'inbox_steal'),
    ('tail_before_slot', 'the inbox moves tail before the slot is filled',
     '    cfuti_store_release(slot, (uintptr_t)f);            '
     '/* release: f\'s fields; to who takes it */\n'
     '    cfuti_store_release(&p->tail, p->tail + 1);         '
     '/* release: the slot; to cfuti_take */',
     '    cfuti_store_release(&p->tail, p->tail + 1);\n'
     '    cfuti_store_release(slot, (uintptr_t)f);',
     'inbox_two_producers'),
    ('inbox_overwrites', 'the inbox does not look whether its slot is empty',
     'return CFUTI_LIKELY(cfuti_load_relaxed(slot) == CFUTI_EMPTY) ? slot : NULL;',
     'return slot;',
     'inbox_full'),
    ('inbox_turns_back_too_early', 'the inbox goes back to its begin though something waits',
     '!stream && cfuti_load_relaxed(&p->head) == p->tail) {', '!stream) {',
     'inbox_turns_back'),
    ('take_in_two_steps', 'a worker loads the slot that it has claimed, then stores into it',
     '        x = cfuti_exchange_acquire(cfuti_inbox_slot(p, first), (uintptr_t)CFUTI_EMPTY);\n'
     '        if (several)',
     '        x = cfuti_load_acquire(cfuti_inbox_slot(p, first));\n'
     '        cfuti_store_relaxed(cfuti_inbox_slot(p, first), (uintptr_t)CFUTI_EMPTY);\n'
     '        if (several)',
     'inbox'),
    ('spill_overtaken', 'a submit goes into the ring though older ones wait in the list',
     'if (p->spill_first || !cfuti_inbox_put(p, f))', 'if (!cfuti_inbox_put(p, f))',
     'inbox_order'),

    # ---- sleep and wake ----
    ('K_without_barrier', 'a worker parks without a barrier before it looks again (K1, K2)',
     '    if (!alone) cfuti_heavy();\n', '    (void)alone;\n',
     'parking_alone'),
    ('K1_left_out', 'a worker parks without saying so in hint (K1)',
     '    w->token = false;\n    cfuti_hint_update(p);           /* K1 */',
     '    w->token = false;', 'parking_alone push_against_park'),
    ('K2_left_out', 'a worker parks without looking at the deques again (K2)',
     '    if (!cfuti_any_queued(p)) return false;     /* K2 */', '    return false;',
     'parking_alone'),
    ('inbox_not_looked_at_again', 'a worker parks without looking at the inbox again',
     '    work = over || (cfuti_inbox_waits(p) && !(w->crowded && p->searching && !w->token));',
     '    work = over;',
     'submit_against_park'),
    ('P2_left_out', 'a push does not look whether somebody could help (P2)',
     '    if (CFUTI_UNLIKELY(cfuti_load_light(&w->pool->hint))) cfuti_offer(w);   /* P2 */',
     '    (void)w;', 'parking_alone push_against'),
    ('P3_left_out', 'a pusher calls a worker without sharing its tasks (P3)',
     '    cfuti_share(w);\n    if (cfuti_hint_calls', '    if (cfuti_hint_calls',
     'settling'),
    ('settle_without_K2', 'a searcher that finds work does not look for more',
     '    if (calls && (more || cfuti_any_queued(p))) cfuti_call_one(p);',
     '    if (calls && more) cfuti_call_one(p);',
     'settling'),
    ('settle_calls_nobody', 'a searcher that finds work calls nobody for the rest',
     '    if (calls && (more || cfuti_any_queued(p))) cfuti_call_one(p);',
     '    (void)more;\n    (void)calls;',
     'token submit_behind'),
    ('token_not_handed_over', 'a woken worker is not told that it holds the token',
     '    p->searching = true;\n    w->token = true;\n    return w;',
     '    p->searching = true;\n    return w;',
     'push_against range submit_behind'),
    ('token_kept', 'a worker parks with the token',
     '    if (w->token) p->searching = false;\n    w->token = false;\n    cfuti_hint_update(p);',
     '    cfuti_hint_update(p);', 'submit_against_search parking_alone_searching'),
    ('range_out_of_sight', 'a worker that claims several calls nobody for the rest (P2)',
     '        if (!w->idle && !w->token && cfuti_hint_calls(cfuti_load_seq_cst(&p->hint)))    '
     '/* P2 */\n            cfuti_call_one(p);\n', '',
     'claiming_alone'),
    ('inject_wakes_nobody', 'a submit from outside wakes nobody',
     '        if (!start && !p->searching && p->parked) wake = cfuti_unpark_one(p);\n', '',
     'submit_against_park'),
    ('wake_before_word', 'a worker is woken before its word says so',
     '    cfuti_store_release(&w->word, 1u);      /* release: the token; to cfuti_park */\n'
     '    cfuti_wake_word(&w->word);',
     '    cfuti_wake_word(&w->word);\n    cfuti_store_release(&w->word, 1u);',
     'submit_against_park'),

    # ---- the end of a pool ----
    ('submit_after_close', 'a submit does not look whether the pool has closed, under the lock',
     '    if (CFUTI_UNLIKELY(p->closed && !inside)) status = CFUT_CLOSED;\n', '',
     'close_against handle_after'),
    ('over_with_a_worker', 'a pool is over though a worker runs',
     'p->parked < p->started - p->left) return;', 'p->parked + 1 < p->started - p->left) return;',
     'drain_keeps_workers'),
    ('ended_with_users', 'a pool ends while a call is in it',
     ' || p->users || p->left < p->started) return;', ' || p->left < p->started) return;',
     'cancelling_close_against_shutdown'),
    ('not_joined', 'a pool is freed without joining its threads',
     '        else if (w->used) cfuti_thread_join(w->thread);\n', '', 'drain_ submit_and_result'),
    ('leaves_too_early', 'a worker counts itself as gone and touches its pool again',
     '    cfuti_store_release(&w->record, (cfuti_thread *)NULL);\n    cfuti_worker_leave(w);\n}',
     '    cfuti_worker_leave(w);\n'
     '    cfuti_store_release(&w->record, (cfuti_thread *)NULL);\n}',
     'detached_from_inside detached'),
    ('end_not_told', 'who waits for the end of a pool is not woken',
     '    cfuti_store_release(&p->ended, 1u);         /* release: all; to cfuti_ended_wait */\n'
     '    cfuti_wake_word(&p->ended);\n}',
     '    cfuti_store_release(&p->ended, 1u);\n}', 'drain_runs_all'),
    ('dead_passed_without_lock', 'a cancel in the inbox releases nothing to the worker that ends '
     'the pool',
     'return cfuti_cas_acq_rel((uintptr_t *)slot, &x, (uintptr_t)CFUTI_DEAD);',
     'return cfuti_cas_acquire((uintptr_t *)slot, &x, (uintptr_t)CFUTI_DEAD);',
     'shutdown_against_late_cancel'),
    ('start_failure_forgets', 'where no thread starts, what is queued is forgotten',
     '    if (alone) cfuti_pool_fail(p, CFUT_STATE_FINISHED, CFUT_NO_THREADS);\n    else', '   ',
     'thread_does_not_start'),
    ('broken_pool_forgets', 'a broken pool forgets what is queued',
     '    cfuti_pool_fail(p, CFUT_STATE_FINISHED, CFUT_BROKEN);\n', '    cfuti_pool_unuse(p);\n',
     'initializer_fails'),

    # ---- who waits for whom ----
    ('follows_what_is_done', 'a wait is still followed when its future is final',
     '        cfuti_collector_unfollow(c);\n        c->want = 0;                /* its owner',
     '        c->want = 0;                /* its owner',
     'graph_wait_has_just_ended'),
    ('graph_without_lock', 'who is about to sleep looks for a circle without the lock',
     '    cfuti_lock(&cfuti_graph_lock);\n    t->place = cfuti_place_here();\n    stuck = cfuti_graph_stuck(t, f, &victim, &busy);',
     '    t->place = cfuti_place_here();\n    stuck = cfuti_graph_stuck(t, f, &victim, &busy);',
     'graph_circle'),
    ('doomed_not_woken', 'the wait that is chosen to break a circle is not woken',
     '    cfuti_store_release(&t->sleeping_in->word, 0u);     /* release: doomed */\n'
     '    cfuti_wake_word(&t->sleeping_in->word);',
     '    cfuti_store_release(&t->sleeping_in->word, 0u);', 'graph_dooms'),
    ('queued_or_cancelled', 'a task that is being cancelled counts as queued',
     '    return !(s & (CFUTI_LOCK | CFUTI_COMPLETING));', '    return true || s;',
     'graph_queued_and_cancelled'),

    # ---- fork-join, map ----
    ('join_takes_what_is_stolen', 'a join runs a task that a thief has',
     '                   cfuti_unqueue(t->worker->pool, f)))',
     '                   (cfuti_unqueue(t->worker->pool, f), true)))',
     'fork_against'),
    ('join_helps_with_anything', 'a join that waits runs whatever the thief has forked or had before',
     '        if (cfuti_future_at(top) == f) return true;\n        top = cfuti_outside(top);',
     '        return true;',
     'join_helps'),
    ('help_reads_private_tasks', 'who helps looks at a task whose owner may take it without a lock',
     '        if (!cfuti_below(w->top, cfuti_load_relaxed(&w->deque.lim)) &&\n'
     '            !(force && cfuti_share_oldest(w, t)))\n            break;\n'
     '        x = cfuti_load_relaxed(slot);\n'
     '        if (wish && x > CFUTI_DEAD && (cfuti_below(w->top, w->strange) ||\n'
     '                                       !wish->fits((const cfut_future *)x, wish->arg))) {\n'
     '            x = CFUTI_EMPTY;\n            break;\n        }\n',
     '        x = cfuti_load_relaxed(slot);\n'
     '        if (wish && x > CFUTI_DEAD && !wish->fits((const cfut_future *)x, wish->arg)) {\n'
     '            x = CFUTI_EMPTY;\n            break;\n        }\n'
     '        if (!cfuti_below(w->top, cfuti_load_relaxed(&w->deque.lim)) &&\n'
     '            !(force && cfuti_share_oldest(w, t))) {\n'
     '            x = CFUTI_EMPTY;\n            break;\n        }\n',
     'helped'),
    ('bare_slot_of_a_thief', 'a join takes a stolen bare future for its own',
     '    if (__builtin_expect((ptrdiff_t)(b - cfuti_load_relaxed(&d->lim)) < 0, 0))  /* O2 */\n'
     '        return cfuti_join_shared(f);\n', '',
     'bare_fork_against'),
    ('fork_overflows', 'an inlined fork into a full deque stays there',
     '    if (w->deque.bot - cfuti_load_relaxed(&w->top) > w->deque.mask && cfuti_claim_newest(w, f))\n'
     '        return false;\n', '', 'bare_fork_into'),
    ('bare_not_dressed', 'a thief leaves a bare future without its owner and its places',
     '    if (x > CFUTI_DEAD) cfuti_dress_taken(w, (cfut_future *)x);\n    cfuti_unlock(&w->lock);',
     '    cfuti_unlock(&w->lock);', 'bare_fork_against'),
    ('map_helps_another_map', 'a join of a map runs parts of others',
     'cfuti_piece_in(x->in)->map == map;', 'cfuti_piece_in(x->in)->map != NULL;',
     'map_helps'),
    ('map_stays_quiet', 'the caller of a map that lasts calls nobody',
     '        cfuti_call_more(m->pool, true);\n', '', 'map_quiet'),
    ('settle_without_barrier', 'who settles does not see what those did not who relied on it',
     '    if (relied) cfuti_heavy();\n', '', 'relying_alone'),
    ('K2_relied_on_nobody', 'who parks relies on a searcher though there is none (K2)',
     '        relied = p->searching;', '        relied = true;', 'push_against_park'),
    ('quiet_looks_first', 'a quiet push looks before it pushes whether it still may be quiet',
     '    if (CFUTI_UNLIKELY(!cfuti_push(w, f))) cfuti_store_relaxed(&f->owner, (uintptr_t)0);\n'
     '    else if (!quiet || !cfuti_load_light(quiet)) cfuti_pushed(w);\n',
     '    bool loud = !quiet || !cfuti_load_light(quiet);\n'
     '    if (CFUTI_UNLIKELY(!cfuti_push(w, f))) cfuti_store_relaxed(&f->owner, (uintptr_t)0);\n'
     '    else if (loud) cfuti_pushed(w);\n',
     'map_quiet'),
    ('map_does_not_wait', 'a map whose time is over does not wait for what runs',
     '        if (cfut_cancel(&p->f)) return CFUT_CANCELLED;\n    } else',
     '        if (cfut_cancel(&p->f)) return CFUT_CANCELLED;\n        return status;\n    } else',
     'map_in_time'),
]
