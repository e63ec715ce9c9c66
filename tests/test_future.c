/* test_future.c: one future: its states, its result, its errors. */
#include "harness.h"

#include <limits.h>

/* ---- helpers ---- */

/* A call that blocks, in a thread of its own. */
struct caller {
    cfut_future *f;
    cfut_ns timeout;
    struct gate *begun;
    int status;
};

static void *call_result(void *arg)
{
    struct caller *c = arg;

    if (c->begun)
        gate_open(c->begun);
    c->status = cfut_result_timeout(c->f, c->timeout);
    return NULL;
}

/* in: the code to return, without a text */
static int give(const int *code, int *out)
{
    *out = 7;
    return *code;
}
CFUT_TASK(give, int, int);

static int run_give(int code)
{
    cfut_executor *ex = test_pool();
    give_future f;
    int status;

    give_submit(ex, &f, code);
    status = give_result(&f);
    end_pool(ex);
    return status;
}

static void count_call(cfut_future *f, void *user)
{
    (void)f;
    counter_add(user, 1);
}

/* The three questions, which must agree with the state. */
static void assert_answers(const cfut_future *f, bool done, bool running, bool cancelled)
{
    ck_assert(cfut_done(f) == done);
    ck_assert(cfut_running(f) == running);
    ck_assert(cfut_cancelled(f) == cancelled);
}

/* ---- version and status ---- */

START_TEST(version_of_implementation_is_that_of_header)
{
    ck_assert_int_eq(cfut_version(), CFUT_VERSION);
}
END_TEST

START_TEST(version_string_says_the_three_numbers)
{
    char text[32];

    snprintf(text, sizeof text, "%d.%d.%d", CFUT_VERSION_MAJOR, CFUT_VERSION_MINOR,
             CFUT_VERSION_PATCH);
    ck_assert_str_eq(text, CFUT_VERSION_STRING);
}
END_TEST

struct status_text { int value; const char *name, *text; };
#define ROW(name, value, text) { value, #name, text },
static const struct status_text statuses[] = { CFUT_STATUS_LIST(ROW) };
enum { STATUSES = sizeof statuses / sizeof statuses[0] };

/* SEM 98: a sentence for each status; _i is the row of the list */
START_TEST(strerror_of_each_status_is_its_sentence)
{
    ck_assert_str_eq(cfut_strerror(statuses[_i].value), statuses[_i].text);
}
END_TEST

/* SEM 98: codes and sentences can be told apart */
START_TEST(statuses_are_distinct_in_value_and_sentence)
{
    for (int i = 0; i < STATUSES; i++)
        for (int j = 0; j < i; j++) {
            ck_assert_int_ne(statuses[i].value, statuses[j].value);
            ck_assert_str_ne(statuses[i].text, statuses[j].text);
        }
}
END_TEST

/* SEM 98: compiled programs hold these numbers */
START_TEST(status_values_are_fixed)
{
    ck_assert_int_eq(CFUT_OK, 0);
    ck_assert_int_eq(CFUT_TIMEOUT, -7001);
    ck_assert_int_eq(CFUT_CANCELLED, -7002);
    ck_assert_int_eq(CFUT_CLOSED, -7003);
    ck_assert_int_eq(CFUT_BROKEN, -7004);
    ck_assert_int_eq(CFUT_WORKER_DIED, -7005);
    ck_assert_int_eq(CFUT_INVALID_STATE, -7006);
    ck_assert_int_eq(CFUT_INVALID, -7007);
    ck_assert_int_eq(CFUT_NO_MEMORY, -7008);
    ck_assert_int_eq(CFUT_NO_THREADS, -7009);
    ck_assert_int_eq(CFUT_FULL, -7010);
    ck_assert_int_eq(CFUT_DEADLOCK, -7011);
    ck_assert_int_eq(CFUT_FORKED, -7012);
    ck_assert_int_eq(CFUT_ABANDONED, -7013);
    ck_assert_int_eq(CFUT_UNSUPPORTED, -7014);
    ck_assert_int_eq(CFUT_FAILED, -7015);
    ck_assert_int_eq(CFUT_END, -7016);
}
END_TEST

static const int foreign_codes[] = { 1, 2, INT_MAX, -1, -22, -7000, -7017, -7018, INT_MIN };
enum { FOREIGN_CODES = sizeof foreign_codes / sizeof foreign_codes[0] };

/* SEM 98: codes that are not the library's have a text too, and it does not
   claim success */
START_TEST(strerror_of_foreign_code_is_a_text)
{
    const char *text = cfut_strerror(foreign_codes[_i]);

    ck_assert_ptr_nonnull(text);
    ck_assert_uint_gt(strlen(text), 0);
    ck_assert_str_ne(text, cfut_strerror(CFUT_OK));
}
END_TEST

/* SEM 98 */
START_TEST(strerror_of_code_above_zero_says_error_code)
{
    ck_assert_ptr_nonnull(strstr(cfut_strerror(5), "error code"));
    ck_assert_str_eq(cfut_strerror(5), cfut_strerror(6));
}
END_TEST

/* ---- states ---- */

/* SEM 1 */
START_TEST(state_when_zeroed_is_fresh)
{
    cfut_future f = { 0 };

    ck_assert_int_eq(cfut_future_state(&f), CFUT_STATE_FRESH);
    assert_answers(&f, false, false, false);
}
END_TEST

/* SEM 1 */
START_TEST(state_when_null_is_fresh)
{
    ck_assert_int_eq(cfut_future_state(NULL), CFUT_STATE_FRESH);
    assert_answers(NULL, false, false, false);
}
END_TEST

/* SEM 3 */
START_TEST(state_when_initialized_is_pending)
{
    cfut_future f;

    memset(&f, 0xA5, sizeof f);
    cfut_future_init(&f);
    ck_assert_int_eq(cfut_future_state(&f), CFUT_STATE_PENDING);
    assert_answers(&f, false, false, false);
}
END_TEST

START_TEST(future_init_of_null_does_nothing)
{
    cfut_future_init(NULL);
}
END_TEST

/* SEM 1, 9 */
START_TEST(state_when_queued_is_pending)
{
    struct busy_pool b;
    square_future f;

    square_submit(busy_pool_open(&b), &f, 3);
    ck_assert_int_eq(cfut_future_state(&f.base), CFUT_STATE_PENDING);
    assert_answers(&f.base, false, false, false);
    busy_pool_end(&b);
    ck_assert_int_eq(f.out, 9);
}
END_TEST

/* SEM 1, 9 */
START_TEST(state_when_running_is_running)
{
    struct busy_pool b;

    busy_pool_open(&b);
    ck_assert_int_eq(cfut_future_state(&b.holder.base), CFUT_STATE_RUNNING);
    assert_answers(&b.holder.base, false, true, false);
    busy_pool_end(&b);
}
END_TEST

/* SEM 1, 9 */
START_TEST(state_when_succeeded_is_finished)
{
    cfut_executor *ex = test_pool();
    square_future f;

    square_submit(ex, &f, 3);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    ck_assert_int_eq(cfut_future_state(&f.base), CFUT_STATE_FINISHED);
    assert_answers(&f.base, true, false, false);
    end_pool(ex);
}
END_TEST

/* SEM 1, 9 */
START_TEST(state_when_failed_is_finished)
{
    cfut_executor *ex = test_pool();
    fail_with_future f;

    fail_with_submit(ex, &f, 3);
    ck_assert_int_eq(fail_with_result(&f), 3);
    ck_assert_int_eq(cfut_future_state(&f.base), CFUT_STATE_FINISHED);
    assert_answers(&f.base, true, false, false);
    end_pool(ex);
}
END_TEST

/* SEM 1, 8, 9, rule B: nobody needs to acknowledge a cancelled task of a pool */
START_TEST(state_when_cancelled_in_pool_is_cancelled_and_notified)
{
    struct busy_pool b;
    square_future f;

    square_submit(busy_pool_open(&b), &f, 3);
    ck_assert(cfut_cancel(&f.base));
    ck_assert_int_eq(cfut_future_state(&f.base), CFUT_STATE_CANCELLED_AND_NOTIFIED);
    assert_answers(&f.base, true, false, true);
    busy_pool_end(&b);
}
END_TEST

/* SEM 2: a refused future went from PENDING to FINISHED at once */
START_TEST(state_when_submit_refused_is_finished)
{
    square_future f;

    square_submit(NULL, &f, 3);
    ck_assert_int_eq(cfut_future_state(&f.base), CFUT_STATE_FINISHED);
    assert_answers(&f.base, true, false, false);
}
END_TEST

/* SEM 2: no state lies before the one that was seen last */
START_TEST(states_seen_by_observer_only_move_forward)
{
    cfut_executor *ex = test_pool();

    for (int round = 0; round < 2000; round++) {
        square_future f;
        enum cfut_state last = CFUT_STATE_PENDING, now;

        square_submit(ex, &f, round);
        do {
            now = cfut_future_state(&f.base);
            ck_assert_int_ge(now, last);
            ck_assert(now == CFUT_STATE_PENDING || now == CFUT_STATE_RUNNING
                      || now == CFUT_STATE_FINISHED);
            last = now;
        } while (now != CFUT_STATE_FINISHED);
        ck_assert_int_eq(f.out, round * round);
    }
    end_pool(ex);
}
END_TEST

/* ---- submit ---- */

/* SEM 60 */
START_TEST(submit_returns_its_future)
{
    cfut_executor *ex = test_pool();
    square_future f;

    ck_assert_ptr_eq(square_submit(ex, &f, 12), &f.base);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    ck_assert_int_eq(f.in, 12);
    ck_assert_int_eq(f.out, 144);
    end_pool(ex);
}
END_TEST

/* SEM 60 */
START_TEST(submit_with_pointers_uses_them)
{
    cfut_executor *ex = test_pool();
    cfut_future f;
    int in = 5, out = 0;

    ck_assert_ptr_eq(cfut_submit(ex, &f, &square_task, &in, &out), &f);
    ck_assert_int_eq(cfut_result(&f), CFUT_OK);
    ck_assert_int_eq(out, 25);
    end_pool(ex);
}
END_TEST

/* SEM 60: the former content of a future does not matter */
START_TEST(submit_into_garbage_memory_works)
{
    cfut_executor *ex = test_pool();
    square_future f;

    memset(&f, 0xA5, sizeof f);
    square_submit(ex, &f, 4);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, 16);
    end_pool(ex);
}
END_TEST

/* SEM 60: done means that the memory is free for another submit */
START_TEST(submit_of_same_future_again_works)
{
    cfut_executor *ex = test_pool();
    square_future f;

    for (int i = 0; i < 1000; i++) {
        square_submit(ex, &f, i);
        ck_assert_int_eq(square_result(&f), CFUT_OK);
        ck_assert_int_eq(f.out, i * i);
    }
    end_pool(ex);
}
END_TEST

/* SEM 60: a former error text does not survive */
START_TEST(submit_again_after_failure_forgets_the_failure)
{
    cfut_executor *ex = test_pool();
    cfut_future f;
    int in = 5, out;

    cfut_submit(ex, &f, &fail_with_task, &in, &out);
    ck_assert_int_eq(cfut_result(&f), 5);
    cfut_submit(ex, &f, &square_task, &in, &out);
    ck_assert_int_eq(cfut_result(&f), CFUT_OK);
    ck_assert_str_eq(cfut_error(&f), cfut_strerror(CFUT_OK));
    cfut_submit(NULL, &f, &square_task, &in, &out);
    ck_assert_str_eq(cfut_error(&f), cfut_strerror(CFUT_INVALID));
    end_pool(ex);
}
END_TEST

START_TEST(submit_without_executor_is_refused_with_invalid)
{
    square_future f;

    ck_assert_ptr_eq(square_submit(NULL, &f, 1), &f.base);
    ck_assert_int_eq(square_result(&f), CFUT_INVALID);
    ck_assert_str_eq(cfut_error(&f.base), cfut_strerror(CFUT_INVALID));
}
END_TEST

START_TEST(submit_without_task_is_refused_with_invalid)
{
    cfut_executor *ex = test_pool();
    cfut_future f;

    ck_assert_ptr_eq(cfut_submit(ex, &f, NULL, NULL, NULL), &f);
    ck_assert_int_eq(cfut_result(&f), CFUT_INVALID);
    end_pool(ex);
}
END_TEST

START_TEST(submit_of_task_without_function_is_refused_with_invalid)
{
    static const cfut_task empty = { NULL, "empty", 0, 0 };
    cfut_executor *ex = test_pool();
    cfut_future f;

    cfut_submit(ex, &f, &empty, NULL, NULL);
    ck_assert_int_eq(cfut_result(&f), CFUT_INVALID);
    end_pool(ex);
}
END_TEST

START_TEST(submit_without_future_returns_null)
{
    cfut_executor *ex = test_pool();
    int in = 1, out = 0;

    ck_assert_ptr_null(cfut_submit(ex, NULL, &square_task, &in, &out));
    ck_assert_ptr_null(square_submit(ex, NULL, 1));
    ck_assert_ptr_null(cfut_submit(NULL, NULL, NULL, NULL, NULL));
    end_pool(ex);
}
END_TEST

static int no_arguments(const void *in, void *out)
{
    return in || out ? 1 : CFUT_OK;
}

/* SEM 60, 19: a task without argument and result is a success */
START_TEST(submit_without_in_and_out_passes_null)
{
    static const cfut_task task = { no_arguments, NULL, 0, 0 };
    cfut_executor *ex = test_pool();
    cfut_future f;

    cfut_submit(ex, &f, &task, NULL, NULL);
    ck_assert_int_eq(cfut_result(&f), CFUT_OK);
    end_pool(ex);
}
END_TEST

static int post(struct counter *const *c)
{
    counter_add(*c, 1);
    return CFUT_OK;
}
CFUT_ACTION(post, struct counter *);

/* SEM 60 */
START_TEST(action_when_submitted_runs)
{
    cfut_executor *ex = test_pool();
    struct counter c;
    post_future f;

    counter_init(&c);
    post_submit(ex, &f, &c);
    ck_assert_int_eq(post_result(&f), CFUT_OK);
    ck_assert_int_eq(counter_get(&c), 1);
    ck_assert_ptr_eq(post_of(&f.base), &f);
    end_pool(ex);
}
END_TEST

START_TEST(typed_calls_when_null_say_invalid)
{
    ck_assert_int_eq(square_result(NULL), CFUT_INVALID);
    ck_assert_int_eq(square_result_timeout(NULL, 0), CFUT_INVALID);
    square_release(NULL);
}
END_TEST

START_TEST(int_to_int_future_fits_128_bytes)
{
    ck_assert_uint_le(sizeof(square_future), 128);
}
END_TEST

/* ---- result ---- */

/* SEM 14, 15 */
START_TEST(result_when_task_succeeds_is_ok)
{
    ck_assert_int_eq(run_give(CFUT_OK), CFUT_OK);
}
END_TEST

static const int kept_codes[] = {
    1, 5, 255, INT_MAX, -1, -5, -255, INT_MIN, CFUT_CANCELLED, CFUT_CLOSED, CFUT_DEADLOCK,
    CFUT_INVALID, CFUT_FAILED, CFUT_END, CFUT_ABANDONED, CFUT_FORKED
};
enum { KEPT_CODES = sizeof kept_codes / sizeof kept_codes[0] };

/* SEM 14: the task's own code, negative ones and the library's too */
START_TEST(result_when_task_fails_is_its_code)
{
    ck_assert_int_eq(run_give(kept_codes[_i]), kept_codes[_i]);
}
END_TEST

/* SEM 18: CFUT_TIMEOUT is always the answer of a wait */
START_TEST(result_when_task_returns_timeout_is_etimedout)
{
    ck_assert_int_eq(run_give(CFUT_TIMEOUT), ETIMEDOUT);
}
END_TEST

/* SEM 9: cancelled is a state, not a code */
START_TEST(cancelled_when_task_returns_that_code_is_false)
{
    cfut_executor *ex = test_pool();
    give_future f;

    give_submit(ex, &f, CFUT_CANCELLED);
    ck_assert_int_eq(give_result(&f), CFUT_CANCELLED);
    assert_answers(&f.base, true, false, false);
    ck_assert(!cfut_cancel(&f.base));
    ck_assert_int_eq(cfut_future_state(&f.base), CFUT_STATE_FINISHED);
    end_pool(ex);
}
END_TEST

/* SEM 15 */
START_TEST(result_when_running_blocks_until_done)
{
    struct busy_pool b;
    struct gate begun;
    struct caller c = { .timeout = CFUT_FOREVER, .begun = &begun };
    pthread_t t;

    gate_init(&begun);
    busy_pool_open(&b);
    c.f = &b.holder.base;
    t = thread_start(call_result, &c);
    gate_wait(&begun);
    ck_assert(cfut_running(&b.holder.base));
    gate_open(&b.hold.release);
    thread_end(t);
    ck_assert_int_eq(c.status, CFUT_OK);
    ck_assert_int_eq(b.holder.out, 1);
    end_pool(b.ex);
}
END_TEST

/* SEM 15: nothing of the task is written after result has returned */
START_TEST(result_of_task_on_stack_may_return_at_once)
{
    cfut_executor *ex = test_pool();

    for (int i = 0; i < 5000; i++) {
        square_future f;

        square_submit(ex, &f, 2);
        ck_assert_int_eq(square_result(&f), CFUT_OK);
        memset(&f, 0x5A, sizeof f);
    }
    end_pool(ex);
}
END_TEST

/* SEM 13, 14 */
START_TEST(result_timeout_zero_when_pending_polls)
{
    struct busy_pool b;
    square_future f;

    square_submit(busy_pool_open(&b), &f, 3);
    ck_assert_int_eq(square_result_timeout(&f, 0), CFUT_TIMEOUT);
    ck_assert_int_eq(occupy_result_timeout(&b.holder, 0), CFUT_TIMEOUT);
    busy_pool_end(&b);
}
END_TEST

static const cfut_ns negative_times[] = { -1, CFUT_MS(-5), INT64_MIN + 1, INT64_MIN };

/* SEM 13 */
START_TEST(result_timeout_negative_polls)
{
    struct busy_pool b;

    busy_pool_open(&b);
    ck_assert_int_eq(occupy_result_timeout(&b.holder, negative_times[_i]), CFUT_TIMEOUT);
    busy_pool_end(&b);
}
END_TEST

/* SEM 13, 14: a poll answers what is known */
START_TEST(result_timeout_zero_when_done_is_the_status)
{
    cfut_executor *ex = test_pool();
    fail_with_future f;

    fail_with_submit(ex, &f, 9);
    ck_assert_int_eq(fail_with_result(&f), 9);
    ck_assert_int_eq(fail_with_result_timeout(&f, 0), 9);
    ck_assert_int_eq(fail_with_result_timeout(&f, -1), 9);
    end_pool(ex);
}
END_TEST

static const cfut_ns huge_times[] = { CFUT_FOREVER, CFUT_FOREVER - 1, INT64_MAX / 2,
                                      CFUT_SEC(4000000000) };

/* SEM 13, 17: no limit overflows into the past */
START_TEST(result_timeout_huge_waits)
{
    struct busy_pool b;
    struct gate begun;
    struct caller c = { .timeout = huge_times[_i], .begun = &begun };
    pthread_t t;

    gate_init(&begun);
    busy_pool_open(&b);
    c.f = &b.holder.base;
    t = thread_start(call_result, &c);
    gate_wait(&begun);
    test_sleep(CFUT_MS(20));            /* give a wrong deadline time to pass */
    gate_open(&b.hold.release);
    thread_end(t);
    ck_assert_int_eq(c.status, CFUT_OK);
    end_pool(b.ex);
}
END_TEST

/* SEM 14, 17 */
START_TEST(result_timeout_when_running_waits_that_long)
{
    struct busy_pool b;
    cfut_ns begin;

    busy_pool_open(&b);
    begin = test_now();
    ck_assert_int_eq(occupy_result_timeout(&b.holder, CFUT_MS(50)), CFUT_TIMEOUT);
    ck_assert_int_ge(test_now() - begin, CFUT_MS(50));
    busy_pool_end(&b);
}
END_TEST

#ifndef _WIN32
static void on_signal(int sig) { (void)sig; }

static void *signal_often(void *arg)
{
    for (int i = 0; i < 50; i++) {
        pthread_kill(*(pthread_t *)arg, SIGUSR1);
        test_sleep(CFUT_MS(1));
    }
    return NULL;
}

/* SEM 17: an interrupted or spurious wake is no timeout */
START_TEST(result_timeout_when_signals_arrive_waits_that_long)
{
    struct sigaction action = { .sa_handler = on_signal };  /* no SA_RESTART */
    pthread_t self = pthread_self(), t;
    struct busy_pool b;
    cfut_ns begin;

    sigaction(SIGUSR1, &action, NULL);
    busy_pool_open(&b);
    t = thread_start(signal_often, &self);
    begin = test_now();
    ck_assert_int_eq(occupy_result_timeout(&b.holder, CFUT_MS(80)), CFUT_TIMEOUT);
    ck_assert_int_ge(test_now() - begin, CFUT_MS(80));
    thread_end(t);
    busy_pool_end(&b);
}
END_TEST

/* SEM 17: and a wait without limit goes on after a signal */
START_TEST(result_when_signals_arrive_waits_until_done)
{
    struct sigaction action = { .sa_handler = on_signal };
    cfut_executor *ex = test_pool();
    pthread_t self = pthread_self(), t;
    sleep_ms_future f;

    sigaction(SIGUSR1, &action, NULL);
    t = thread_start(signal_often, &self);
    sleep_ms_submit(ex, &f, 100);
    ck_assert_int_eq(sleep_ms_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, 100);
    thread_end(t);
    end_pool(ex);
}
END_TEST
#endif

/* SEM 16 */
START_TEST(result_after_timeout_can_succeed)
{
    struct busy_pool b;
    square_future f;

    square_submit(busy_pool_open(&b), &f, 6);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(square_result_timeout(&f, CFUT_MS(2)), CFUT_TIMEOUT);
    ck_assert_int_eq(cfut_future_state(&f.base), CFUT_STATE_PENDING);
    busy_pool_free_worker(&b);
    ck_assert_int_eq(square_result_timeout(&f, CFUT_FOREVER), CFUT_OK);
    ck_assert_int_eq(f.out, 36);
    end_pool(b.ex);
}
END_TEST

/* SEM 14 */
START_TEST(result_when_cancelled_is_cancelled_even_as_a_poll)
{
    struct busy_pool b;
    square_future f;

    square_submit(busy_pool_open(&b), &f, 3);
    ck_assert(cfut_cancel(&f.base));
    ck_assert_int_eq(square_result_timeout(&f, 0), CFUT_CANCELLED);
    ck_assert_int_eq(square_result(&f), CFUT_CANCELLED);
    busy_pool_end(&b);
}
END_TEST

START_TEST(result_when_null_is_invalid)
{
    ck_assert_int_eq(cfut_result(NULL), CFUT_INVALID);
    ck_assert_int_eq(cfut_result_timeout(NULL, 0), CFUT_INVALID);
    ck_assert_int_eq(cfut_result_timeout(NULL, CFUT_FOREVER), CFUT_INVALID);
}
END_TEST

START_TEST(result_when_zeroed_is_invalid_state)
{
    cfut_future f = { 0 };

    ck_assert_int_eq(cfut_result(&f), CFUT_INVALID_STATE);
    ck_assert_int_eq(cfut_result_timeout(&f, 0), CFUT_INVALID_STATE);
    ck_assert_int_eq(cfut_result_timeout(&f, CFUT_FOREVER), CFUT_INVALID_STATE);
}
END_TEST

enum { WAITERS = 32 };

/* SEM 12 */
START_TEST(result_for_many_waiters_is_the_same)
{
    struct busy_pool b;
    struct gate begun;
    struct caller c[WAITERS];
    pthread_t t[WAITERS];
    fail_with_future f;

    gate_init(&begun);
    fail_with_submit(busy_pool_open(&b), &f, 77);
    for (int i = 0; i < WAITERS; i++) {
        c[i] = (struct caller){ &f.base, i % 2 ? CFUT_FOREVER : CFUT_SEC(3600), &begun, 0 };
        t[i] = thread_start(call_result, &c[i]);
    }
    counter_wait(&begun.opened, WAITERS);
    busy_pool_free_worker(&b);
    for (int i = 0; i < WAITERS; i++) {
        thread_end(t[i]);
        ck_assert_int_eq(c[i].status, 77);
    }
    ck_assert_str_eq(cfut_error(&f.base), "failed with 77");
    end_pool(b.ex);
}
END_TEST

/* SEM 12, 16: those that give up do not take the others along */
START_TEST(result_for_many_waiters_when_some_time_out_wakes_the_rest)
{
    struct busy_pool b;
    struct gate begun;
    struct caller c[WAITERS];
    pthread_t t[WAITERS];

    gate_init(&begun);
    busy_pool_open(&b);
    for (int i = 0; i < WAITERS; i++) {
        c[i] = (struct caller){ &b.holder.base, i % 2 ? CFUT_FOREVER : CFUT_MS(i), &begun, 0 };
        t[i] = thread_start(call_result, &c[i]);
    }
    for (int i = 0; i < WAITERS; i += 2) {
        thread_end(t[i]);
        ck_assert_int_eq(c[i].status, CFUT_TIMEOUT);
    }
    gate_open(&b.hold.release);
    for (int i = 1; i < WAITERS; i += 2) {
        thread_end(t[i]);
        ck_assert_int_eq(c[i].status, CFUT_OK);
    }
    end_pool(b.ex);
}
END_TEST

struct short_waits { cfut_future *f; struct gate *begun; int timeouts; };

static void *wait_shortly_and_often(void *arg)
{
    struct short_waits *w = arg;
    int status;

    gate_open(w->begun);
    while ((status = cfut_result_timeout(w->f, CFUT_US(50))) == CFUT_TIMEOUT)
        w->timeouts++;
    return status == CFUT_OK ? w : NULL;
}

/* SEM 12, 16: limits that end just when the task does lose nothing */
START_TEST(result_timeout_when_racing_with_the_end_loses_nothing)
{
    for (int round = 0; round < 20; round++) {
        struct busy_pool b;
        struct gate begun;
        struct short_waits w;
        pthread_t t;
        void *ok = NULL;

        gate_init(&begun);
        busy_pool_open(&b);
        w = (struct short_waits){ &b.holder.base, &begun, 0 };
        t = thread_start(wait_shortly_and_often, &w);
        gate_wait(&begun);
        test_sleep(CFUT_US(30 * round));
        gate_open(&b.hold.release);
        ck_assert_int_eq(pthread_join(t, &ok), 0);
        ck_assert_ptr_eq(ok, &w);
        end_pool(b.ex);
    }
}
END_TEST

/* ---- cancel ---- */

/* SEM 4 */
START_TEST(cancel_when_pending_returns_true)
{
    struct busy_pool b;
    square_future f;

    square_submit(busy_pool_open(&b), &f, 3);
    f.out = -1;
    ck_assert(cfut_cancel(&f.base));
    busy_pool_end(&b);
    ck_assert_int_eq(f.out, -1);        /* it never ran */
}
END_TEST

/* SEM 5 */
START_TEST(cancel_when_running_returns_false)
{
    struct busy_pool b;

    busy_pool_open(&b);
    ck_assert(!cfut_cancel(&b.holder.base));
    ck_assert_int_eq(cfut_future_state(&b.holder.base), CFUT_STATE_RUNNING);
    ck_assert(!cfut_cancelled(&b.holder.base));
    busy_pool_end(&b);
    ck_assert_int_eq(b.holder.out, 1);
}
END_TEST

/* SEM 5; _i: the task's code */
START_TEST(cancel_when_finished_returns_false)
{
    cfut_executor *ex = test_pool();
    give_future f;

    give_submit(ex, &f, _i);
    ck_assert_int_eq(give_result(&f), _i);
    ck_assert(!cfut_cancel(&f.base));
    ck_assert_int_eq(cfut_future_state(&f.base), CFUT_STATE_FINISHED);
    ck_assert_int_eq(give_result(&f), _i);
    ck_assert_int_eq(f.out, 7);
    end_pool(ex);
}
END_TEST

/* SEM 6 */
START_TEST(cancel_when_cancelled_returns_true_and_calls_nobody_again)
{
    struct busy_pool b;
    struct counter calls;
    square_future f;

    counter_init(&calls);
    square_submit(busy_pool_open(&b), &f, 3);
    cfut_on_done(&f.base, count_call, &calls);
    ck_assert(cfut_cancel(&f.base));
    ck_assert(cfut_cancel(&f.base));
    ck_assert(cfut_cancel(&f.base));
    ck_assert_int_eq(counter_get(&calls), 1);
    busy_pool_end(&b);
    ck_assert_int_eq(counter_get(&calls), 1);
}
END_TEST

START_TEST(cancel_when_null_returns_false)
{
    ck_assert(!cfut_cancel(NULL));
}
END_TEST

START_TEST(cancel_when_zeroed_returns_false)
{
    cfut_future f = { 0 };

    ck_assert(!cfut_cancel(&f));
    ck_assert_int_eq(cfut_future_state(&f), CFUT_STATE_FRESH);
}
END_TEST

START_TEST(cancel_when_refused_returns_false)
{
    square_future f;

    square_submit(NULL, &f, 1);
    ck_assert(!cfut_cancel(&f.base));
    ck_assert_int_eq(square_result(&f), CFUT_INVALID);
}
END_TEST

struct stop_probe { struct gate started, asked; };

static int look_for_stop(struct stop_probe *const *probe, int *out)
{
    bool before = cfut_stop_requested();

    gate_open(&(*probe)->started);
    gate_wait(&(*probe)->asked);
    *out = !before && cfut_stop_requested();
    return CFUT_OK;
}
CFUT_TASK(look_for_stop, struct stop_probe *, int);

/* SEM 5: a cancel that comes too late is a request */
START_TEST(stop_requested_after_late_cancel_is_true)
{
    cfut_executor *ex = test_pool();
    struct stop_probe probe;
    look_for_stop_future f;

    gate_init(&probe.started);
    gate_init(&probe.asked);
    look_for_stop_submit(ex, &f, &probe);
    gate_wait(&probe.started);
    ck_assert(!cfut_future_snapshot(&f.base).stop_requested);
    ck_assert(!cfut_cancel(&f.base));
    ck_assert(cfut_future_snapshot(&f.base).stop_requested);
    gate_open(&probe.asked);
    ck_assert_int_eq(look_for_stop_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, 1);
    end_pool(ex);
}
END_TEST

START_TEST(stop_requested_outside_a_task_is_false)
{
    ck_assert(!cfut_stop_requested());
}
END_TEST

/* A stop request stays with its task. */
START_TEST(stop_requested_in_next_task_is_false)
{
    struct busy_pool b;
    struct stop_probe probe;
    look_for_stop_future f;

    gate_init(&probe.started);
    gate_init(&probe.asked);
    busy_pool_open(&b);
    ck_assert(!cfut_cancel(&b.holder.base));
    look_for_stop_submit(b.ex, &f, &probe);
    busy_pool_free_worker(&b);
    gate_wait(&probe.started);
    ck_assert(!cfut_future_snapshot(&f.base).stop_requested);
    cfut_cancel(&f.base);
    gate_open(&probe.asked);
    look_for_stop_result(&f);
    ck_assert_int_eq(f.out, 1);         /* false at its start, true after cancel */
    end_pool(b.ex);
}
END_TEST

/* SEM 7 */
START_TEST(cancel_when_others_wait_wakes_them_at_once)
{
    struct busy_pool b;
    struct gate begun;
    struct caller c[8];
    pthread_t t[8];
    square_future f;

    gate_init(&begun);
    square_submit(busy_pool_open(&b), &f, 3);
    for (int i = 0; i < 8; i++) {
        c[i] = (struct caller){ &f.base, CFUT_FOREVER, &begun, 0 };
        t[i] = thread_start(call_result, &c[i]);
    }
    counter_wait(&begun.opened, 8);
    ck_assert(cfut_cancel(&f.base));
    for (int i = 0; i < 8; i++) {
        thread_end(t[i]);               /* though the worker is still busy */
        ck_assert_int_eq(c[i].status, CFUT_CANCELLED);
    }
    busy_pool_end(&b);
}
END_TEST

struct many_caller { cfut_future *f; struct gate *begun; ptrdiff_t done; cfut_future *first; };

static void *call_wait(void *arg)
{
    struct many_caller *c = arg;
    cfut_future *fs[1] = { c->f };

    gate_open(c->begun);
    c->done = cfut_wait(fs, 1, CFUT_ALL_COMPLETED, CFUT_FOREVER);
    return NULL;
}

static void *call_next(void *arg)
{
    struct many_caller *c = arg;
    cfut_future *fs[1] = { c->f };
    cfut_iter it;

    cfut_as_completed(&it, fs, 1, CFUT_FOREVER);
    gate_open(c->begun);
    c->first = cfut_next(&it);
    cfut_iter_end(&it);
    return NULL;
}

/* SEM 8, 42, rule B */
START_TEST(cancel_when_wait_and_as_completed_wait_wakes_both_at_once)
{
    struct busy_pool b;
    struct gate begun;
    struct many_caller c[2];
    pthread_t t[2];
    square_future f;

    gate_init(&begun);
    square_submit(busy_pool_open(&b), &f, 3);
    for (int i = 0; i < 2; i++) {
        c[i] = (struct many_caller){ &f.base, &begun, 0, NULL };
        t[i] = thread_start(i ? call_next : call_wait, &c[i]);
    }
    counter_wait(&begun.opened, 2);
    ck_assert(cfut_cancel(&f.base));
    thread_end(t[0]);
    thread_end(t[1]);
    ck_assert_int_eq(c[0].done, 1);
    ck_assert_ptr_eq(c[1].first, &f.base);
    busy_pool_end(&b);
}
END_TEST

/* SEM 4, rule A: a cancelled future's memory is free while the worker is busy */
START_TEST(cancel_when_true_gives_the_memory_back_at_once)
{
    struct busy_pool b;

    busy_pool_open(&b);
    for (int i = 0; i < 1000; i++) {
        square_future *f = malloc(sizeof *f);

        square_submit(b.ex, f, 3);
        ck_assert(cfut_cancel(&f->base));
        memset(f, 0x5A, sizeof *f);
        free(f);
    }
    busy_pool_end(&b);
}
END_TEST

/* SEM 4, rule A */
START_TEST(submit_of_cancelled_future_again_runs)
{
    struct busy_pool b;
    square_future f;

    busy_pool_open(&b);
    for (int i = 0; i < 100; i++) {
        square_submit(b.ex, &f, i);
        ck_assert(cfut_cancel(&f.base));
    }
    square_submit(b.ex, &f, 11);
    busy_pool_free_worker(&b);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, 121);
    end_pool(b.ex);
}
END_TEST

/* SEM 4: from the middle of a queue; the others run */
START_TEST(cancel_of_every_other_task_lets_the_rest_run)
{
    enum { N = 500 };
    struct busy_pool b;
    square_future f[N];

    busy_pool_open(&b);
    for (int i = 0; i < N; i++) {
        square_submit(b.ex, &f[i], i);
        f[i].out = -1;
    }
    for (int i = 0; i < N; i += 2)
        ck_assert(cfut_cancel(&f[i].base));
    busy_pool_end(&b);
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(square_result(&f[i]), i % 2 ? CFUT_OK : CFUT_CANCELLED);
        ck_assert_int_eq(f[i].out, i % 2 ? i * i : -1);
    }
}
END_TEST

static void *call_cancel(void *arg)
{
    struct caller *c = arg;

    gate_open(c->begun);
    c->status = cfut_cancel(c->f);
    return NULL;
}

/* SEM 4, 6: all that ask are told the same, and callbacks run once */
START_TEST(cancel_from_many_threads_succeeds_for_all)
{
    struct busy_pool b;
    struct gate begun;
    struct counter calls;
    struct caller c[8];
    pthread_t t[8];
    square_future f;

    gate_init(&begun);
    counter_init(&calls);
    square_submit(busy_pool_open(&b), &f, 3);
    cfut_on_done(&f.base, count_call, &calls);
    for (int i = 0; i < 8; i++) {
        c[i] = (struct caller){ &f.base, 0, &begun, 0 };
        t[i] = thread_start(call_cancel, &c[i]);
    }
    for (int i = 0; i < 8; i++) {
        thread_end(t[i]);
        ck_assert_int_eq(c[i].status, true);
    }
    ck_assert_int_eq(counter_get(&calls), 1);
    busy_pool_end(&b);
}
END_TEST

/* SEM 4, 5: exactly one of run and cancel happens */
START_TEST(cancel_when_racing_with_the_worker_is_all_or_nothing)
{
    cfut_executor *ex = test_pool();

    for (int i = 0; i < 20000; i++) {
        square_future f;
        bool cancelled;

        square_submit(ex, &f, 3);
        cancelled = cfut_cancel(&f.base);
        ck_assert_int_eq(square_result(&f), cancelled ? CFUT_CANCELLED : CFUT_OK);
        ck_assert(cfut_cancelled(&f.base) == cancelled);
        ck_assert(cancelled || f.out == 9);
    }
    end_pool(ex);
}
END_TEST

/* ---- failures and their texts ---- */

/* SEM 14 */
START_TEST(error_when_failed_with_text_is_the_text)
{
    cfut_executor *ex = test_pool();
    fail_with_future f;

    fail_with_submit(ex, &f, 42);
    ck_assert_int_eq(fail_with_result(&f), 42);
    ck_assert_str_eq(cfut_error(&f.base), "failed with 42");
    ck_assert_int_eq(fail_with_result(&f), 42);
    ck_assert_str_eq(cfut_error(&f.base), "failed with 42");
    end_pool(ex);
}
END_TEST

/* SEM 14 */
START_TEST(error_when_failed_without_text_is_strerror)
{
    cfut_executor *ex = test_pool();
    give_future f;

    give_submit(ex, &f, 42);
    give_result(&f);
    ck_assert_str_eq(cfut_error(&f.base), cfut_strerror(42));
    end_pool(ex);
}
END_TEST

START_TEST(error_when_succeeded_is_strerror_of_ok)
{
    cfut_executor *ex = test_pool();
    square_future f;

    square_submit(ex, &f, 2);
    square_result(&f);
    ck_assert_str_eq(cfut_error(&f.base), cfut_strerror(CFUT_OK));
    end_pool(ex);
}
END_TEST

START_TEST(error_when_cancelled_is_strerror_of_cancelled)
{
    struct busy_pool b;
    square_future f;

    square_submit(busy_pool_open(&b), &f, 2);
    cfut_cancel(&f.base);
    ck_assert_str_eq(cfut_error(&f.base), cfut_strerror(CFUT_CANCELLED));
    busy_pool_end(&b);
}
END_TEST

/* A text that cannot be taken for a success or a failure. */
static void assert_says_not_done(const cfut_future *f)
{
    const char *text = cfut_error(f);

    ck_assert_ptr_nonnull(text);
    ck_assert_uint_gt(strlen(text), 0);
    for (int i = 0; i < STATUSES; i++)
        if (statuses[i].value != CFUT_INVALID && statuses[i].value != CFUT_INVALID_STATE)
            ck_assert_str_ne(text, statuses[i].text);
}

START_TEST(error_when_not_done_says_so)
{
    struct busy_pool b;
    square_future f;
    cfut_future zeroed = { 0 };

    square_submit(busy_pool_open(&b), &f, 2);
    assert_says_not_done(&f.base);
    assert_says_not_done(&b.holder.base);
    assert_says_not_done(&zeroed);
    assert_says_not_done(NULL);
    busy_pool_end(&b);
}
END_TEST

#define TEXT_55 "0123456789012345678901234567890123456789012345678901234"

/* in: how many bytes the text shall have */
static int fail_at_length(const int *length, int *out)
{
    *out = 0;
    return cfut_fail(1, "%.*s", *length, TEXT_55 "56789");
}
CFUT_TASK(fail_at_length, int, int);

/* _i: the length of the text */
START_TEST(error_text_is_kept_up_to_55_bytes)
{
    cfut_executor *ex = test_pool();
    fail_at_length_future f;
    char expected[64];

    fail_at_length_submit(ex, &f, _i);
    ck_assert_int_eq(fail_at_length_result(&f), 1);
    snprintf(expected, sizeof expected, "%.*s", _i < 55 ? _i : 55, TEXT_55);
    ck_assert_str_eq(cfut_error(&f.base), expected);
    end_pool(ex);
}
END_TEST

/* in[0]: the code given to cfut_fail, in[1]: the code returned */
struct codes { int failed, returned; };

static int fail_and_return(const struct codes *c, int *out)
{
    *out = cfut_fail(c->failed, "text of %d", c->failed);
    return c->returned;
}
CFUT_TASK(fail_and_return, struct codes, int);

static void run_codes(int failed, int returned, fail_and_return_future *f)
{
    cfut_executor *ex = test_pool();

    fail_and_return_submit(ex, f, (struct codes){ failed, returned });
    fail_and_return_result(f);
    end_pool(ex);
}

/* Texts of umlauts, of two bytes each, and of others of three and four, begun anywhere. */
static int fail_in_utf8(const int *shift, int *out)
{
    static const char *const characters[] = { "\u00e4", "\u20ac", "\U0001f600" };
    char text[200] = "";

    *out = *shift;
    memset(text, 'x', (size_t)*shift % 4);
    while (strlen(text) < 100) strcat(text, characters[*shift / 4]);
    return cfut_fail(EIO, "%s", text);
}
CFUT_TASK(fail_in_utf8, int, int);

START_TEST(error_text_is_not_cut_within_a_character)
{
    cfut_executor *ex = test_pool();
    fail_in_utf8_future f;
    size_t size = (size_t)_i / 4 + 2, first = (size_t)_i % 4;

    fail_in_utf8_submit(ex, &f, _i);
    ck_assert_int_eq(fail_in_utf8_result(&f), EIO);
    ck_assert_uint_eq(strlen(cfut_error(&f.base)), first + (55 - first) / size * size);
    end_pool(ex);
}
END_TEST

START_TEST(fail_text_when_other_code_returned_does_not_count)
{
    fail_and_return_future f;

    run_codes(5, 6, &f);
    ck_assert_int_eq(fail_and_return_result(&f), 6);
    ck_assert_str_eq(cfut_error(&f.base), cfut_strerror(6));
}
END_TEST

START_TEST(fail_text_when_task_succeeds_does_not_count)
{
    fail_and_return_future f;

    run_codes(5, CFUT_OK, &f);
    ck_assert_int_eq(fail_and_return_result(&f), CFUT_OK);
    ck_assert_str_eq(cfut_error(&f.base), cfut_strerror(CFUT_OK));
}
END_TEST

START_TEST(fail_with_negative_code_keeps_the_text)
{
    fail_and_return_future f;

    run_codes(-5, -5, &f);
    ck_assert_int_eq(fail_and_return_result(&f), -5);
    ck_assert_str_eq(cfut_error(&f.base), "text of -5");
    ck_assert_int_eq(f.out, -5);
}
END_TEST

/* SEM 19 */
START_TEST(fail_with_code_zero_stays_a_failure)
{
    fail_with_future f;
    cfut_executor *ex = test_pool();

    fail_with_submit(ex, &f, 0);
    ck_assert_int_eq(fail_with_result(&f), CFUT_FAILED);
    ck_assert_str_eq(cfut_error(&f.base), "failed with 0");
    end_pool(ex);
}
END_TEST

/* SEM 19: also for those who wait for the first failure */
START_TEST(fail_with_code_zero_counts_as_first_error)
{
    fail_with_future f;
    struct busy_pool b;
    cfut_executor *ex = test_pool();
    cfut_future *fs[2] = { &b.holder.base, &f.base };

    busy_pool_open(&b);
    fail_with_submit(ex, &f, 0);
    ck_assert_int_eq(cfut_wait(fs, 2, CFUT_FIRST_ERROR, CFUT_FOREVER), 1);
    ck_assert_ptr_eq(fs[0], &f.base);
    busy_pool_end(&b);
    end_pool(ex);
}
END_TEST

static int null_result(const int *in, void **out)
{
    (void)in;
    *out = NULL;
    return CFUT_OK;
}
CFUT_TASK(null_result, int, void *);

/* SEM 19 */
START_TEST(result_null_is_a_success)
{
    cfut_executor *ex = test_pool();
    null_result_future f;

    null_result_submit(ex, &f, 0);
    ck_assert_int_eq(null_result_result(&f), CFUT_OK);
    ck_assert_ptr_null(f.out);
    end_pool(ex);
}
END_TEST

START_TEST(fail_outside_a_task_only_returns_the_code)
{
    ck_assert_int_eq(cfut_fail(5, "unused %d", 1), 5);
    ck_assert_int_eq(cfut_fail(-5, "unused"), -5);
    ck_assert_int_eq(cfut_fail(0, "unused"), CFUT_FAILED);
}
END_TEST

static int fail_twice(const int *code, int *out)
{
    *out = 0;
    (void)cfut_fail(*code, "the first text, which is longer");
    return cfut_fail(*code, "the second");
}
CFUT_TASK(fail_twice, int, int);

START_TEST(fail_when_called_again_keeps_the_last_text)
{
    cfut_executor *ex = test_pool();
    fail_twice_future f;

    fail_twice_submit(ex, &f, 3);
    ck_assert_int_eq(fail_twice_result(&f), 3);
    ck_assert_str_eq(cfut_error(&f.base), "the second");
    end_pool(ex);
}
END_TEST

/* Fails with a text around a nested task that fails with its own. */
static int fail_around(const int *code, char (*inner)[64])
{
    fail_with_future f;
    int status;

    (void)cfut_fail(*code, "outer %d", *code);
    fail_with_submit(cfut_current(), &f, *code + 1);
    status = fail_with_result(&f);
    snprintf(*inner, sizeof *inner, "%d %s", status, cfut_error(&f.base));
    return *code;
}

struct inner_text { char text[64]; };

static int fail_around_nested(const int *code, struct inner_text *out)
{
    return fail_around(code, &out->text);
}
CFUT_TASK(fail_around_nested, int, struct inner_text);

/* The text belongs to one task, also when a wait runs another in between. */
START_TEST(fail_text_when_nested_task_fails_too_is_kept_apart)
{
    cfut_executor *ex = test_pool();
    fail_around_nested_future f;

    fail_around_nested_submit(ex, &f, 8);
    ck_assert_int_eq(fail_around_nested_result(&f), 8);
    ck_assert_str_eq(cfut_error(&f.base), "outer 8");
    ck_assert_str_eq(f.out.text, "9 failed with 9");
    end_pool(ex);
}
END_TEST

static int hand_on(const int *code, int *out)
{
    fail_with_future f;

    (void)out;
    fail_with_submit(cfut_current(), &f, *code);
    return fail_with_result(&f);
}
CFUT_TASK(hand_on, int, int);

/* A text is not inherited with the code. */
START_TEST(error_when_task_hands_on_a_code_is_strerror)
{
    cfut_executor *ex = test_pool();
    hand_on_future f;

    hand_on_submit(ex, &f, 4);
    ck_assert_int_eq(hand_on_result(&f), 4);
    ck_assert_str_eq(cfut_error(&f.base), cfut_strerror(4));
    end_pool(ex);
}
END_TEST

struct seen_error { char text[64]; int status; };

static void see_error(cfut_future *f, void *user)
{
    struct seen_error *seen = user;

    seen->status = cfut_result(f);
    snprintf(seen->text, sizeof seen->text, "%s", cfut_error(f));
}

/* SEM 25: the callback sees what the waiter will see */
START_TEST(error_in_callback_is_the_text)
{
    struct busy_pool b;
    struct seen_error seen[3];
    fail_with_future f;

    fail_with_submit(busy_pool_open(&b), &f, 12);
    for (int i = 0; i < 3; i++)
        cfut_on_done(&f.base, see_error, &seen[i]);
    busy_pool_free_worker(&b);
    ck_assert_int_eq(fail_with_result(&f), 12);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(seen[i].status, 12);
        ck_assert_str_eq(seen[i].text, "failed with 12");
    }
    ck_assert_str_eq(cfut_error(&f.base), "failed with 12");
    end_pool(b.ex);
}
END_TEST

/* ---- tasks that end their thread ---- */

static int leave_thread(const int *in, int *out)
{
    *out = *in;
    pthread_exit(NULL);
    return CFUT_OK;                 /* for winpthreads' declaration */
}
CFUT_TASK(leave_thread, int, int);

/* AddressSanitizer sees pthread_exit leave the frames above, since it does not
   return; of a cancellation it must be told. */
#if UNDER_ASAN
void __asan_handle_no_return(void);
#define LEAVE_FRAMES() __asan_handle_no_return()
#else
#define LEAVE_FRAMES() ((void)0)
#endif

static int cancel_thread(const int *in, int *out)
{
    *out = *in;
    pthread_cancel(pthread_self());
    LEAVE_FRAMES();
    pthread_testcancel();
    return CFUT_OK;
}
CFUT_TASK(cancel_thread, int, int);

/* SEM 20 */
START_TEST(pthread_exit_in_task_ends_it_as_abandoned)
{
    cfut_executor *ex = test_pool();
    leave_thread_future f;

    leave_thread_submit(ex, &f, 1);
    ck_assert_int_eq(leave_thread_result(&f), CFUT_ABANDONED);
    ck_assert_int_eq(cfut_future_state(&f.base), CFUT_STATE_FINISHED);
    ck_assert_str_eq(cfut_error(&f.base), cfut_strerror(CFUT_ABANDONED));
    end_pool(ex);
}
END_TEST

/* SEM 20 */
START_TEST(pthread_cancel_in_task_ends_it_as_abandoned)
{
    cfut_executor *ex = test_pool();
    cancel_thread_future f;

    cancel_thread_submit(ex, &f, 1);
    ck_assert_int_eq(cancel_thread_result(&f), CFUT_ABANDONED);
    end_pool(ex);
}
END_TEST

/* SEM 20: the only worker is replaced, again and again */
START_TEST(pthread_exit_in_task_replaces_the_worker)
{
    cfut_executor *ex = pool_of(1);

    for (int i = 0; i < 50; i++) {
        leave_thread_future gone;
        square_future f;

        leave_thread_submit(ex, &gone, i);
        square_submit(ex, &f, i);
        ck_assert_int_eq(leave_thread_result(&gone), CFUT_ABANDONED);
        ck_assert_int_eq(square_result(&f), CFUT_OK);
        ck_assert_int_eq(f.out, i * i);
    }
    ck_assert_int_eq(cfut_executor_status(ex), CFUT_OK);
    ck_assert_uint_le(cfut_executor_workers(ex), 1);
    end_pool(ex);
}
END_TEST

/* SEM 20: what was queued behind it runs at shutdown too */
START_TEST(pthread_exit_in_many_queued_tasks_drains)
{
    enum { N = 200 };
    cfut_executor *ex = test_pool();
    leave_thread_future gone[N];
    square_future f[N];

    for (int i = 0; i < N; i++) {
        leave_thread_submit(ex, &gone[i], i);
        square_submit(ex, &f[i], i);
    }
    end_pool(ex);
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(leave_thread_result(&gone[i]), CFUT_ABANDONED);
        ck_assert_int_eq(square_result(&f[i]), CFUT_OK);
    }
}
END_TEST

/* SEM 20, 21 */
START_TEST(pthread_exit_in_task_runs_its_callbacks)
{
    cfut_executor *ex = pool_of(1);
    struct counter calls;
    struct hold h;
    occupy_future holder;
    leave_thread_future f;

    counter_init(&calls);
    hold_worker(ex, &holder, &h);
    leave_thread_submit(ex, &f, 1);
    cfut_on_done(&f.base, count_call, &calls);
    cfut_on_done(&f.base, count_call, &calls);
    gate_open(&h.release);
    ck_assert_int_eq(leave_thread_result(&f), CFUT_ABANDONED);
    ck_assert_int_eq(counter_get(&calls), 2);
    end_pool(ex);
}
END_TEST

static int wait_for_leaver(leave_thread_future *const *f, int *out)
{
    leave_thread_submit(cfut_current(), *f, 1);
    *out = leave_thread_result(*f);
    return CFUT_OK;
}
CFUT_TASK(wait_for_leaver, leave_thread_future *, int);

/* SEM 20, rule F: a task that was run on the spot takes its waiter's thread
   along: both futures say so */
START_TEST(pthread_exit_in_task_run_on_the_spot_ends_both)
{
    cfut_executor *ex = pool_of(1);
    leave_thread_future inner;
    wait_for_leaver_future outer;
    square_future f;

    wait_for_leaver_submit(ex, &outer, &inner);
    ck_assert_int_eq(wait_for_leaver_result(&outer), CFUT_ABANDONED);
    ck_assert_int_eq(leave_thread_result(&inner), CFUT_ABANDONED);
    square_submit(ex, &f, 3);
    ck_assert_int_eq(square_result(&f), CFUT_OK);
    end_pool(ex);
}
END_TEST

static int join_leaver(leave_thread_future *const *f, int *out)
{
    leave_thread_fork(*f, 1);
    *out = leave_thread_join(*f);
    return CFUT_OK;
}
CFUT_TASK(join_leaver, leave_thread_future *, int);

/* SEM 20: the same by fork and join, which leaves it to the forker */
START_TEST(pthread_exit_in_forked_task_ends_both)
{
    cfut_executor *ex = pool_of(1);
    leave_thread_future inner;
    join_leaver_future outer;
    square_future f;

    for (int i = 0; i < 3; i++) {
        join_leaver_submit(ex, &outer, &inner);
        ck_assert_int_eq(join_leaver_result(&outer), CFUT_ABANDONED);
        ck_assert_int_eq(leave_thread_result(&inner), CFUT_ABANDONED);
        square_submit(ex, &f, 3);
        ck_assert_int_eq(square_result(&f), CFUT_OK);
    }
    end_pool(ex);
}
END_TEST

static int leave_with_text(const int *in, int *out)
{
    *out = cfut_fail(*in, "left early");
    pthread_exit(NULL);
    return CFUT_OK;                 /* for winpthreads' declaration */
}
CFUT_TASK(leave_with_text, int, int);

/* SEM 20: the text counts for its code only */
START_TEST(error_when_abandoned_after_fail_is_strerror)
{
    cfut_executor *ex = test_pool();
    leave_with_text_future f;

    leave_with_text_submit(ex, &f, 5);
    ck_assert_int_eq(leave_with_text_result(&f), CFUT_ABANDONED);
    ck_assert_str_eq(cfut_error(&f.base), cfut_strerror(CFUT_ABANDONED));
    end_pool(ex);
}
END_TEST

/* SEM 20: a task that fails does not hurt its worker */
START_TEST(worker_after_failed_task_goes_on)
{
    cfut_executor *ex = pool_of(1);

    for (int i = 1; i < 100; i++) {
        fail_with_future bad;
        square_future good;

        fail_with_submit(ex, &bad, i);
        square_submit(ex, &good, i);
        ck_assert_int_eq(square_result(&good), CFUT_OK);
        ck_assert_int_eq(fail_with_result(&bad), i);
    }
    ck_assert_uint_eq(cfut_executor_workers(ex), 1);
    end_pool(ex);
}
END_TEST

/* ---- snapshot ---- */

/* SEM 11 */
START_TEST(snapshot_when_null_or_zeroed_is_fresh)
{
    cfut_future f = { 0 };
    cfut_snapshot a = cfut_future_snapshot(NULL), b = cfut_future_snapshot(&f);

    ck_assert_int_eq(a.state, CFUT_STATE_FRESH);
    ck_assert_int_eq(b.state, CFUT_STATE_FRESH);
    ck_assert(!a.done && !a.running && !a.cancelled && !a.stop_requested && a.status == CFUT_OK);
    ck_assert(!b.done && !b.running && !b.cancelled && !b.stop_requested && b.status == CFUT_OK);
}
END_TEST

/* SEM 11 */
START_TEST(snapshot_when_not_done_has_status_ok)
{
    struct busy_pool b;
    square_future f;
    cfut_snapshot pending, running;

    square_submit(busy_pool_open(&b), &f, 1);
    pending = cfut_future_snapshot(&f.base);
    running = cfut_future_snapshot(&b.holder.base);
    busy_pool_end(&b);
    ck_assert_int_eq(pending.state, CFUT_STATE_PENDING);
    ck_assert_int_eq(pending.status, CFUT_OK);
    ck_assert(!pending.done && !pending.running && !pending.cancelled);
    ck_assert_int_eq(running.state, CFUT_STATE_RUNNING);
    ck_assert_int_eq(running.status, CFUT_OK);
    ck_assert(!running.done && running.running && !running.cancelled);
}
END_TEST

/* SEM 11 */
START_TEST(snapshot_when_failed_has_the_code)
{
    cfut_executor *ex = test_pool();
    fail_with_future f;
    cfut_snapshot s;

    fail_with_submit(ex, &f, 31);
    fail_with_result(&f);
    s = cfut_future_snapshot(&f.base);
    ck_assert_int_eq(s.state, CFUT_STATE_FINISHED);
    ck_assert_int_eq(s.status, 31);
    ck_assert(s.done && !s.running && !s.cancelled);
    end_pool(ex);
}
END_TEST

/* SEM 11 */
START_TEST(snapshot_when_cancelled_has_cancelled)
{
    struct busy_pool b;
    square_future f;
    cfut_snapshot s;

    square_submit(busy_pool_open(&b), &f, 1);
    cfut_cancel(&f.base);
    s = cfut_future_snapshot(&f.base);
    busy_pool_end(&b);
    ck_assert_int_eq(s.state, CFUT_STATE_CANCELLED_AND_NOTIFIED);
    ck_assert_int_eq(s.status, CFUT_CANCELLED);
    ck_assert(s.done && !s.running && s.cancelled);
}
END_TEST

/* The fields of one snapshot fit together. */
static void assert_consistent(cfut_snapshot s, int code)
{
    ck_assert(s.running == (s.state == CFUT_STATE_RUNNING));
    ck_assert(s.done == (s.state == CFUT_STATE_FINISHED));
    ck_assert(!s.cancelled);
    ck_assert_int_eq(s.status, s.done ? code : CFUT_OK);
}

/* SEM 11: no view mixes two moments */
START_TEST(snapshot_when_taken_during_the_run_is_consistent)
{
    cfut_executor *ex = test_pool();

    for (int i = 1; i < 3000; i++) {
        fail_with_future f;
        cfut_snapshot s;

        fail_with_submit(ex, &f, i);
        do {
            s = cfut_future_snapshot(&f.base);
            assert_consistent(s, i);
        } while (!s.done);
    }
    end_pool(ex);
}
END_TEST

/* ---- describe ---- */

/* Whether the description says these words and looks like one. */
static void assert_described(const cfut_future *f, const char *name, const char *state)
{
    char text[256];
    int n = cfut_future_describe(f, text, sizeof text);

    ck_assert_int_eq(n, (int)strlen(text));
    ck_assert_msg(strncmp(text, "<Future at ", 11) == 0, "%s", text);
    ck_assert_msg(text[n - 1] == '>', "%s", text);
    ck_assert_msg(strstr(text, name) != NULL, "%s", text);
    ck_assert_msg(strstr(text, state) != NULL, "%s", text);
}

/* SEM 10 */
START_TEST(describe_names_state_and_task)
{
    struct busy_pool b;
    square_future f, g;

    square_submit(busy_pool_open(&b), &f, 1);
    square_submit(b.ex, &g, 1);
    cfut_cancel(&g.base);
    assert_described(&f.base, "square", "pending");
    assert_described(&b.holder.base, "occupy", "running");
    assert_described(&g.base, "square", "cancelled");
    busy_pool_end(&b);
    assert_described(&f.base, "square", "finished with 0 (success)");
}
END_TEST

/* SEM 10, 32 */
START_TEST(describe_when_failed_says_code_and_text)
{
    cfut_executor *ex = test_pool();
    fail_with_future f;

    fail_with_submit(ex, &f, 17);
    fail_with_result(&f);
    assert_described(&f.base, "fail_with", "finished with 17 (failed with 17)");
    end_pool(ex);
}
END_TEST

/* SEM 10 */
START_TEST(describe_says_the_address)
{
    cfut_executor *ex = test_pool();
    square_future f;
    char address[64];

    snprintf(address, sizeof address, "%p", (void *)&f.base);
    square_submit(ex, &f, 1);
    square_result(&f);
    assert_described(&f.base, address, "finished");
    end_pool(ex);
}
END_TEST

/* SEM 10 */
START_TEST(describe_when_refused_says_the_reason)
{
    square_future f;

    square_submit(NULL, &f, 1);
    assert_described(&f.base, "square", cfut_strerror(CFUT_INVALID));
}
END_TEST

/* SEM 10: without a task, without a name, without anything */
START_TEST(describe_of_future_without_task_is_well_formed)
{
    cfut_future f, zeroed = { 0 };
    char text[256];

    cfut_future_init(&f);
    assert_described(&f, "Future", "pending");
    assert_described(&zeroed, "Future", "Future");
    ck_assert_int_gt(cfut_future_describe(NULL, text, sizeof text), 0);
    ck_assert_uint_gt(strlen(text), 0);
}
END_TEST

/* SEM 10 */
START_TEST(describe_of_task_without_name_says_question_mark)
{
    static const cfut_task task = { no_arguments, NULL, 0, 0 };
    cfut_executor *ex = test_pool();
    cfut_future f;

    cfut_submit(ex, &f, &task, NULL, NULL);
    cfut_result(&f);
    assert_described(&f, " ? ", "finished");
    end_pool(ex);
}
END_TEST

/* SEM 10: as snprintf; _i: the room */
START_TEST(describe_into_small_buffer_is_cut_and_terminated)
{
    char full[256], cut[64];
    cfut_executor *ex = test_pool();
    square_future f;
    int n;

    square_submit(ex, &f, 1);
    square_result(&f);
    n = cfut_future_describe(&f.base, full, sizeof full);
    memset(cut, 'x', sizeof cut);
    ck_assert_int_eq(cfut_future_describe(&f.base, cut, (size_t)_i), n);
    ck_assert_int_eq(cut[_i], 'x');
    if (_i > 0) {
        ck_assert_uint_eq(strlen(cut), (size_t)_i - 1);
        ck_assert_int_eq(memcmp(cut, full, (size_t)_i - 1), 0);
    }
    end_pool(ex);
}
END_TEST

/* SEM 10 */
START_TEST(describe_without_buffer_returns_the_length)
{
    char text[256];
    cfut_future f;

    cfut_future_init(&f);
    ck_assert_int_eq(cfut_future_describe(&f, NULL, 0),
                     cfut_future_describe(&f, text, sizeof text));
}
END_TEST

/* ---- inside a task ---- */

struct inside { cfut_executor *ex; cfut_future *f; };

static int look_inside(const int *in, struct inside *out)
{
    (void)in;
    *out = (struct inside){ cfut_current(), cfut_current_future() };
    return CFUT_OK;
}
CFUT_TASK(look_inside, int, struct inside);

START_TEST(current_in_task_is_its_executor_and_future)
{
    cfut_executor *ex = test_pool();
    look_inside_future f;

    look_inside_submit(ex, &f, 0);
    ck_assert_int_eq(look_inside_result(&f), CFUT_OK);
    ck_assert_ptr_eq(f.out.ex, ex);
    ck_assert_ptr_eq(f.out.f, &f.base);
    end_pool(ex);
}
END_TEST

START_TEST(current_outside_a_task_is_null)
{
    ck_assert_ptr_null(cfut_current());
    ck_assert_ptr_null(cfut_current_future());
    ck_assert_ptr_null(cfut_worker_name());
}
END_TEST

static int nest(const int *in, int *out)
{
    look_inside_future f;
    cfut_future *self = cfut_current_future();
    cfut_executor *ex = cfut_current();

    (void)in;
    look_inside_submit(ex, &f, 0);
    *out = look_inside_result(&f) == CFUT_OK && f.out.ex == ex && f.out.f == &f.base
        && cfut_current_future() == self && cfut_current() == ex;
    return CFUT_OK;
}
CFUT_TASK(nest, int, int);

/* SEM 81: what runs on the spot is the current one, and then no more */
START_TEST(current_after_nested_task_is_the_outer_one_again)
{
    cfut_executor *ex = test_pool();
    nest_future f;

    nest_submit(ex, &f, 0);
    ck_assert_int_eq(nest_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, 1);
    end_pool(ex);
}
END_TEST

/* ---- futures on the heap ---- */

START_TEST(spawn_then_result_then_release)
{
    cfut_executor *ex = test_pool();
    square_future *f = square_spawn(ex, 9);

    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(square_result(f), CFUT_OK);
    ck_assert_int_eq(f->out, 81);
    square_release(f);
    end_pool(ex);
}
END_TEST

START_TEST(release_when_pending_lets_it_run)
{
    struct busy_pool b;
    struct counter c;

    counter_init(&c);
    busy_pool_open(&b);
    for (int i = 0; i < 100; i++)
        post_release(post_spawn(b.ex, &c));
    ck_assert_int_eq(counter_get(&c), 0);
    busy_pool_end(&b);
    ck_assert_int_eq(counter_get(&c), 100);
}
END_TEST

START_TEST(release_when_running_lets_it_finish)
{
    cfut_executor *ex = test_pool();
    struct hold h;
    occupy_future *f;

    hold_init(&h);
    f = occupy_spawn(ex, &h);
    gate_wait(&h.started);
    occupy_release(f);
    gate_open(&h.release);
    end_pool(ex);
}
END_TEST

START_TEST(release_when_cancelled_frees)
{
    struct busy_pool b;
    square_future *f;

    f = square_spawn(busy_pool_open(&b), 9);
    ck_assert(cfut_cancel(&f->base));
    square_release(f);
    busy_pool_end(&b);
}
END_TEST

START_TEST(spawn_when_refused_is_done_with_the_reason)
{
    square_future *f = square_spawn(NULL, 9);

    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(square_result(f), CFUT_INVALID);
    square_release(f);
    cfut_release(NULL);
}
END_TEST

/* ---- arguments at the edge ---- */

static int no_text(const int *code, int *out)
{
    *out = *code;
    return cfut_fail(*code, NULL);
}
CFUT_TASK(no_text, int, int);

START_TEST(fail_without_a_text_only_returns_the_code)
{
    no_text_future f;

    no_text_submit(cfut_inline_executor(), &f, 7);
    ck_assert_int_eq(no_text_result(&f), 7);
    ck_assert_str_eq(cfut_error(&f.base), cfut_strerror(7));
}
END_TEST

static int fail_in_bytes(const int *first, int *out)
{
    char text[100];

    memset(text, 0x80, sizeof text - 1);        /* no UTF-8: none begins a character */
    text[0] = (char)*first;
    text[sizeof text - 1] = 0;
    *out = 0;
    return cfut_fail(7, "%s", text);
}
CFUT_TASK(fail_in_bytes, int, int);

START_TEST(error_text_that_is_no_utf8_is_cut_anywhere)
{
    fail_in_bytes_future f;

    fail_in_bytes_submit(cfut_inline_executor(), &f, 'x');
    ck_assert_int_eq(fail_in_bytes_result(&f), 7);
    ck_assert_uint_eq(strlen(cfut_error(&f.base)), 55);
}
END_TEST

START_TEST(join_of_null_is_invalid)
{
    square_future *none = NULL;

    ck_assert_int_eq(square_join(none), CFUT_INVALID);
    ck_assert_int_eq(cfut_join(NULL), CFUT_INVALID);
}
END_TEST

START_TEST(iterator_that_is_none_yields_nothing)
{
    cfut_iter it;

    memset(&it, 0, sizeof it);
    ck_assert_ptr_null(cfut_next(NULL));
    ck_assert_ptr_null(cfut_next(&it));
    cfut_iter_end(NULL);
    cfut_iter_end(&it);
    ck_assert_int_eq(it.status, CFUT_OK);
}
END_TEST

START_TEST(wait_for_more_than_memory_holds_is_invalid)
{
    cfut_future f = { 0 }, *fs[1] = { &f };

    ck_assert_int_eq((int)cfut_wait(fs, SIZE_MAX, CFUT_ALL_COMPLETED, 0), CFUT_INVALID);
}
END_TEST

START_TEST(submit_within_to_nobody_or_of_nothing_is_as_submit)
{
    cfut_executor *failed = cfut_thread_pool(&(cfut_thread_pool_desc){ .max_workers = -1 });
    cfut_future f;
    int x = 1, y;

    ck_assert_ptr_null(cfut_submit_within(failed, NULL, &square_task, &x, &y, CFUT_SEC(1)));
    cfut_submit_within(failed, &f, &square_task, &x, &y, CFUT_SEC(1));
    ck_assert_int_eq(cfut_result(&f), CFUT_INVALID);
    cfut_submit_within(NULL, &f, &square_task, &x, &y, CFUT_SEC(1));
    ck_assert_int_eq(cfut_result(&f), CFUT_INVALID);
}
END_TEST

START_TEST(submit_of_a_task_without_function_is_invalid)
{
    static const cfut_task none = { NULL, "none", 0, 0 };
    cfut_future f;

    ck_assert_int_eq(cfut_result(cfut_submit(cfut_inline_executor(), &f, &none, NULL, NULL)),
                     CFUT_INVALID);
}
END_TEST

static int no_argument(const void *in, void *out)
{
    *(int *)out = in ? 5 : 6;
    return CFUT_OK;
}

START_TEST(spawn_without_task_or_room_is_null_and_without_argument_works)
{
    static const cfut_task task = { no_argument, "no_argument", 0, sizeof(int) };
    struct { cfut_future base; int out; } *f;
    int x = 1;

    ck_assert_ptr_null(cfut_spawn(cfut_inline_executor(), NULL, &x, sizeof *f, 0, 0));
    ck_assert_ptr_null(cfut_spawn(cfut_inline_executor(), &square_task, &x, 1, 0, 0));
    f = (void *)cfut_spawn(cfut_inline_executor(), &task, NULL, sizeof *f, 0, sizeof f->base);
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(cfut_result(&f->base), CFUT_OK);
    ck_assert_int_eq(f->out, 5);
    cfut_release(&f->base);
}
END_TEST

START_TEST(release_of_one_that_was_never_submitted_frees)
{
    cfut_release(calloc(1, sizeof(cfut_future)));
    cfut_release(NULL);
}
END_TEST

static void count_join(cfut_future *f, void *calls)
{
    (void)f;
    ++*(int *)calls;
}

/* The second time by the call that is not inlined. */
static int join_with_callback(const int *code, int *calls)
{
    fail_with_future f;
    int status;

    *calls = 0;
    fail_with_fork(&f, *code);
    if (cfut_on_done(&f.base, count_join, calls) != CFUT_OK) return 1;
    status = fail_with_join(&f);
    if (status != *code || strcmp(cfut_error(&f.base), "failed with 9")) return 2;
    cfut_fork(&f.base, &no_text_task, &f.in, &f.out);
    if (cfut_on_done(&f.base, count_join, calls) != CFUT_OK) return 3;
    if (cfut_join(&f.base) != *code) return 4;
    cfut_fork(&f.base, &square_task, &f.in, &f.out);
    if (cfut_on_done(&f.base, count_join, calls) != CFUT_OK) return 6;
    if (cfut_join(&f.base) != CFUT_OK || f.out != *code * *code) return 7;
    cfut_fork(&f.base, &no_text_task, &f.in, &f.out);
    if (cfut_on_done(&f.base, count_join, calls) != CFUT_OK) return 8;
    if (cfut_join(&f.base) != *code) return 9;
    return strcmp(cfut_error(&f.base), cfut_strerror(*code)) ? 5 : CFUT_OK;
}
CFUT_TASK(join_with_callback, int, int);

START_TEST(join_of_a_fork_with_a_callback_calls_it_and_keeps_the_text)
{
    cfut_executor *ex = test_pool();
    join_with_callback_future f;

    join_with_callback_submit(ex, &f, 9);
    ck_assert_int_eq(join_with_callback_result(&f), CFUT_OK);
    ck_assert_int_eq(f.out, 4);
    end_pool(ex);
}
END_TEST

/* ---- */

static void fill_states(TCase *tc)
{
    tcase_add_test(tc, version_of_implementation_is_that_of_header);
    tcase_add_test(tc, version_string_says_the_three_numbers);
    tcase_add_loop_test(tc, strerror_of_each_status_is_its_sentence, 0, STATUSES);
    tcase_add_test(tc, statuses_are_distinct_in_value_and_sentence);
    tcase_add_test(tc, status_values_are_fixed);
    tcase_add_loop_test(tc, strerror_of_foreign_code_is_a_text, 0, FOREIGN_CODES);
    tcase_add_test(tc, strerror_of_code_above_zero_says_error_code);
    tcase_add_test(tc, state_when_zeroed_is_fresh);
    tcase_add_test(tc, state_when_null_is_fresh);
    tcase_add_test(tc, state_when_initialized_is_pending);
    tcase_add_test(tc, future_init_of_null_does_nothing);
    tcase_add_test(tc, state_when_queued_is_pending);
    tcase_add_test(tc, state_when_running_is_running);
    tcase_add_test(tc, state_when_succeeded_is_finished);
    tcase_add_test(tc, state_when_failed_is_finished);
    tcase_add_test(tc, state_when_cancelled_in_pool_is_cancelled_and_notified);
    tcase_add_test(tc, state_when_submit_refused_is_finished);
    tcase_add_test(tc, states_seen_by_observer_only_move_forward);
}

static void fill_submit(TCase *tc)
{
    tcase_add_test(tc, submit_returns_its_future);
    tcase_add_test(tc, submit_with_pointers_uses_them);
    tcase_add_test(tc, submit_into_garbage_memory_works);
    tcase_add_test(tc, submit_of_same_future_again_works);
    tcase_add_test(tc, submit_again_after_failure_forgets_the_failure);
    tcase_add_test(tc, submit_without_executor_is_refused_with_invalid);
    tcase_add_test(tc, submit_without_task_is_refused_with_invalid);
    tcase_add_test(tc, submit_of_task_without_function_is_refused_with_invalid);
    tcase_add_test(tc, submit_without_future_returns_null);
    tcase_add_test(tc, submit_without_in_and_out_passes_null);
    tcase_add_test(tc, action_when_submitted_runs);
    tcase_add_test(tc, typed_calls_when_null_say_invalid);
    tcase_add_test(tc, int_to_int_future_fits_128_bytes);
}

static void fill_result(TCase *tc)
{
    tcase_add_test(tc, result_when_task_succeeds_is_ok);
    tcase_add_loop_test(tc, result_when_task_fails_is_its_code, 0, KEPT_CODES);
    tcase_add_test(tc, result_when_task_returns_timeout_is_etimedout);
    tcase_add_test(tc, cancelled_when_task_returns_that_code_is_false);
    tcase_add_test(tc, result_when_running_blocks_until_done);
    tcase_add_test(tc, result_of_task_on_stack_may_return_at_once);
    tcase_add_test(tc, result_timeout_zero_when_pending_polls);
    tcase_add_loop_test(tc, result_timeout_negative_polls, 0, 4);
    tcase_add_test(tc, result_timeout_zero_when_done_is_the_status);
    tcase_add_loop_test(tc, result_timeout_huge_waits, 0, 4);
    tcase_add_test(tc, result_timeout_when_running_waits_that_long);
#ifndef _WIN32
    tcase_add_test(tc, result_timeout_when_signals_arrive_waits_that_long);
    tcase_add_test(tc, result_when_signals_arrive_waits_until_done);
#endif
    tcase_add_test(tc, result_after_timeout_can_succeed);
    tcase_add_test(tc, result_when_cancelled_is_cancelled_even_as_a_poll);
    tcase_add_test(tc, result_when_null_is_invalid);
    tcase_add_test(tc, result_when_zeroed_is_invalid_state);
    tcase_add_test(tc, result_for_many_waiters_is_the_same);
    tcase_add_test(tc, result_for_many_waiters_when_some_time_out_wakes_the_rest);
    tcase_add_test(tc, result_timeout_when_racing_with_the_end_loses_nothing);
}

static void fill_cancel(TCase *tc)
{
    tcase_add_test(tc, cancel_when_pending_returns_true);
    tcase_add_test(tc, cancel_when_running_returns_false);
    tcase_add_loop_test(tc, cancel_when_finished_returns_false, 0, 2);
    tcase_add_test(tc, cancel_when_cancelled_returns_true_and_calls_nobody_again);
    tcase_add_test(tc, cancel_when_null_returns_false);
    tcase_add_test(tc, cancel_when_zeroed_returns_false);
    tcase_add_test(tc, cancel_when_refused_returns_false);
    tcase_add_test(tc, stop_requested_after_late_cancel_is_true);
    tcase_add_test(tc, stop_requested_outside_a_task_is_false);
    tcase_add_test(tc, stop_requested_in_next_task_is_false);
    tcase_add_test(tc, cancel_when_others_wait_wakes_them_at_once);
    tcase_add_test(tc, cancel_when_wait_and_as_completed_wait_wakes_both_at_once);
    tcase_add_test(tc, cancel_when_true_gives_the_memory_back_at_once);
    tcase_add_test(tc, submit_of_cancelled_future_again_runs);
    tcase_add_test(tc, cancel_of_every_other_task_lets_the_rest_run);
    tcase_add_test(tc, cancel_from_many_threads_succeeds_for_all);
    tcase_add_test(tc, cancel_when_racing_with_the_worker_is_all_or_nothing);
}

static void fill_exits(TCase *tc)
{
    tcase_add_test(tc, pthread_exit_in_task_ends_it_as_abandoned);
    tcase_add_test(tc, pthread_cancel_in_task_ends_it_as_abandoned);
    tcase_add_test(tc, pthread_exit_in_task_replaces_the_worker);
    tcase_add_test(tc, pthread_exit_in_many_queued_tasks_drains);
    tcase_add_test(tc, pthread_exit_in_task_runs_its_callbacks);
    tcase_add_test(tc, pthread_exit_in_task_run_on_the_spot_ends_both);
    tcase_add_test(tc, pthread_exit_in_forked_task_ends_both);
    tcase_add_test(tc, error_when_abandoned_after_fail_is_strerror);
}

static void fill_errors(TCase *tc)
{
    tcase_add_test(tc, error_when_failed_with_text_is_the_text);
    tcase_add_test(tc, error_when_failed_without_text_is_strerror);
    tcase_add_test(tc, error_when_succeeded_is_strerror_of_ok);
    tcase_add_test(tc, error_when_cancelled_is_strerror_of_cancelled);
    tcase_add_test(tc, error_when_not_done_says_so);
    tcase_add_loop_test(tc, error_text_is_kept_up_to_55_bytes, 53, 59);
    tcase_add_loop_test(tc, error_text_is_not_cut_within_a_character, 0, 12);
    tcase_add_test(tc, fail_text_when_other_code_returned_does_not_count);
    tcase_add_test(tc, fail_text_when_task_succeeds_does_not_count);
    tcase_add_test(tc, fail_with_negative_code_keeps_the_text);
    tcase_add_test(tc, fail_with_code_zero_stays_a_failure);
    tcase_add_test(tc, fail_with_code_zero_counts_as_first_error);
    tcase_add_test(tc, result_null_is_a_success);
    tcase_add_test(tc, fail_outside_a_task_only_returns_the_code);
    tcase_add_test(tc, fail_when_called_again_keeps_the_last_text);
    tcase_add_test(tc, fail_text_when_nested_task_fails_too_is_kept_apart);
    tcase_add_test(tc, error_when_task_hands_on_a_code_is_strerror);
    tcase_add_test(tc, error_in_callback_is_the_text);
    if (TASKS_CAN_EXIT) fill_exits(tc);
    tcase_add_test(tc, worker_after_failed_task_goes_on);
}

static void fill_views(TCase *tc)
{
    tcase_add_test(tc, snapshot_when_null_or_zeroed_is_fresh);
    tcase_add_test(tc, snapshot_when_not_done_has_status_ok);
    tcase_add_test(tc, snapshot_when_failed_has_the_code);
    tcase_add_test(tc, snapshot_when_cancelled_has_cancelled);
    tcase_add_test(tc, snapshot_when_taken_during_the_run_is_consistent);
    tcase_add_test(tc, describe_names_state_and_task);
    tcase_add_test(tc, describe_when_failed_says_code_and_text);
    tcase_add_test(tc, describe_says_the_address);
    tcase_add_test(tc, describe_when_refused_says_the_reason);
    tcase_add_test(tc, describe_of_future_without_task_is_well_formed);
    tcase_add_test(tc, describe_of_task_without_name_says_question_mark);
    tcase_add_loop_test(tc, describe_into_small_buffer_is_cut_and_terminated, 0, 20);
    tcase_add_test(tc, describe_without_buffer_returns_the_length);
    tcase_add_test(tc, current_in_task_is_its_executor_and_future);
    tcase_add_test(tc, current_outside_a_task_is_null);
    tcase_add_test(tc, current_after_nested_task_is_the_outer_one_again);
    tcase_add_test(tc, spawn_then_result_then_release);
    tcase_add_test(tc, release_when_pending_lets_it_run);
    tcase_add_test(tc, release_when_running_lets_it_finish);
    tcase_add_test(tc, release_when_cancelled_frees);
    tcase_add_test(tc, spawn_when_refused_is_done_with_the_reason);
}

static void fill_edges(TCase *tc)
{
    tcase_add_test(tc, fail_without_a_text_only_returns_the_code);
    tcase_add_test(tc, error_text_that_is_no_utf8_is_cut_anywhere);
    tcase_add_test(tc, join_of_null_is_invalid);
    tcase_add_test(tc, iterator_that_is_none_yields_nothing);
    tcase_add_test(tc, wait_for_more_than_memory_holds_is_invalid);
    tcase_add_test(tc, submit_within_to_nobody_or_of_nothing_is_as_submit);
    tcase_add_test(tc, submit_of_a_task_without_function_is_invalid);
    tcase_add_test(tc, spawn_without_task_or_room_is_null_and_without_argument_works);
    tcase_add_test(tc, release_of_one_that_was_never_submitted_frees);
    tcase_add_test(tc, join_of_a_fork_with_a_callback_calls_it_and_keeps_the_text);
}

static void fill(TCase *tc)
{
    fill_states(tc);
    fill_submit(tc);
    fill_result(tc);
    fill_cancel(tc);
    fill_errors(tc);
    fill_views(tc);
    fill_edges(tc);
}

int main(void) { return harness_main("future", fill); }
