/* test_trace.c: the timeline where something is missing: memory, room, the file, a
   name, the submit that came before; and in the child of a fork. trace.py looks at
   timelines that are whole. */
#define HARNESS_FAULTS
#define CFUT_TRACE
#define CFUT_TRACE_EVENTS 1000

#include <stdbool.h>
#include <stdio.h>

static int fault_fclose(FILE *f);
#define fclose(f) fault_fclose(f)
#include "harness.h"
#undef fclose

#include <sys/stat.h>
#include <sys/wait.h>

static bool close_fails;

static int fault_fclose(FILE *f)
{
    int rc = fclose(f);

    if (!close_fails) return rc;
    close_fails = false;
    errno = EIO;
    return EOF;
}

/* ---- helpers ---- */

static const char *file_name(void)
{
    static char path[64];

    snprintf(path, sizeof path, "/tmp/cfut-test-trace-%ld.json", (long)getpid());
    return path;
}

/* What was recorded; it stays until the next. */
static const char *recorded(void)
{
    static char text[1 << 20];
    FILE *f = fopen(file_name(), "r");
    size_t n;

    ck_assert_ptr_nonnull(f);
    n = fread(text, 1, sizeof text - 1, f);
    text[n] = 0;
    fclose(f);
    unlink(file_name());
    return text;
}

static void begin(void) { ck_assert_int_eq(cfut_trace(file_name()), CFUT_OK); }

static const char *end(void)
{
    ck_assert_int_eq(cfut_trace(NULL), CFUT_OK);
    return recorded();
}

static long count_of(const char *text, const char *part)
{
    long n = 0;

    for (; (text = strstr(text, part)) != NULL; text++) n++;
    return n;
}

static long dropped(const char *text)
{
    const char *at = strstr(text, "\"dropped\":");

    ck_assert_ptr_nonnull(at);
    return strtol(at + 10, NULL, 10);
}

static void run_squares(cfut_executor *ex, int n)
{
    for (int i = 0; i < n; i++) {
        square_future f;

        square_submit(ex, &f, i);
        ck_assert_int_eq(square_result(&f), CFUT_OK);
    }
}

/* ---- memory ---- */

START_TEST(recording_without_memory_is_shorter_or_refused)
{
    bool refused = false;
    long k = 1, before = fault_live(&fault_memory), lost = 0;

    do {
        int status;

        fault_at(&fault_memory, k, _i);
        status = cfut_trace(file_name());
        if (status == CFUT_OK) {
            run_squares(cfut_inline_executor(), 3);
            status = cfut_trace(NULL);
        }
        ck_assert(status == CFUT_OK || status == CFUT_NO_MEMORY);
        refused |= status == CFUT_NO_MEMORY;
        if (status == CFUT_OK) lost += dropped(recorded());
        ck_assert_int_eq(cfut_trace(NULL), CFUT_INVALID_STATE);
    } while (fault_seen(&fault_memory) >= k++);
    fault_at(&fault_memory, 0, false);
    ck_assert(refused);
    if (!_i) ck_assert_int_gt(lost, 0);         /* else the file was refused, too */
    ck_assert_int_le(fault_live(&fault_memory), before + 2);    /* the track and its events */
    begin();
    run_squares(cfut_inline_executor(), 3);
    ck_assert_int_eq(count_of(end(), "\"cat\":\"task\""), 3);
}
END_TEST

START_TEST(what_is_beyond_the_limit_is_dropped_and_counted)
{
    const char *text;

    begin();
    run_squares(cfut_inline_executor(), CFUT_TRACE_EVENTS);     /* two events each, at least */
    text = end();
    ck_assert_int_ge(dropped(text), CFUT_TRACE_EVENTS / 2);
    ck_assert_int_ge(count_of(text, "\"cat\":\"task\""), CFUT_TRACE_EVENTS / 4);
    begin();                                    /* all events that there may be are gone */
    run_squares(cfut_inline_executor(), 3);
    text = end();
    ck_assert_int_gt(dropped(text), 0);
}
END_TEST

/* ---- the file ---- */

START_TEST(file_that_cannot_be_written_is_the_status)
{
    char path[64];

    snprintf(path, sizeof path, "/tmp/cfut-test-folder-%ld", (long)getpid());
    mkdir(path, 0700);
    strcat(path, "/file");
    ck_assert_int_eq(cfut_trace(path), CFUT_OK);
    unlink(path);
    *strrchr(path, '/') = 0;
    ck_assert_int_eq(rmdir(path), 0);
    ck_assert_int_eq(cfut_trace(NULL), ENOENT);
    ck_assert_int_eq(cfut_trace("/dev/full"), CFUT_OK);
    ck_assert_int_eq(cfut_trace(NULL), ENOSPC);         /* found at its end */
    ck_assert_int_eq(cfut_trace("/dev/full"), CFUT_OK);
    run_squares(cfut_inline_executor(), 100);
    ck_assert_int_eq(cfut_trace(NULL), EIO);            /* found before */
}
END_TEST

START_TEST(file_that_cannot_be_closed_is_the_status)
{
    close_fails = true;
    ck_assert_int_eq(cfut_trace(file_name()), EIO);
    ck_assert_int_eq(cfut_trace(NULL), CFUT_INVALID_STATE);
    begin();
    close_fails = true;
    ck_assert_int_eq(cfut_trace(NULL), EIO);
    unlink(file_name());
}
END_TEST

START_TEST(environment_that_names_no_file_is_none)
{
    setenv("CFUT_TRACE", "", 1);
    end_pool(pool_of(1));
    ck_assert_int_eq(cfut_trace(NULL), CFUT_INVALID_STATE);
}
END_TEST

/* ---- what is recorded ---- */

START_TEST(recording_has_nothing_of_the_one_before)
{
    const char *text;

    begin();
    run_squares(cfut_inline_executor(), 5);
    ck_assert_int_eq(count_of(end(), "\"cat\":\"task\""), 5);
    begin();
    run_squares(cfut_inline_executor(), 2);
    text = end();
    ck_assert_int_eq(count_of(text, "\"cat\":\"task\""), 2);
    ck_assert_int_eq(dropped(text), 0);
}
END_TEST

/* No arrow leads to it, and the queue does not shrink by it. */
START_TEST(task_that_was_submitted_before_has_no_arrow)
{
    struct busy_pool b;
    square_future run, cancelled;
    const char *text;

    square_submit(busy_pool_open(&b), &run, 3);
    square_submit(b.ex, &cancelled, 4);
    begin();
    ck_assert(cfut_cancel(&cancelled.base));
    busy_pool_free_worker(&b);
    ck_assert_int_eq(square_result(&run), CFUT_OK);
    end_pool(b.ex);
    text = end();
    ck_assert_int_eq(count_of(text, "\"cat\":\"cancel\""), 1);
    ck_assert_int_ge(count_of(text, "\"cat\":\"task\",\"name\":\"square\""), 1);
    ck_assert_int_eq(count_of(text, "\"ph\":\"f\""), 0);
    ck_assert_int_eq(count_of(text, "\"queued\""), 0);
}
END_TEST

static int no_name(const void *in, void *out)
{
    (void)in;
    (void)out;
    return CFUT_OK;
}

START_TEST(task_has_the_name_that_fits_or_a_question_mark)
{
    static const cfut_task tasks[] = {
        { .fn = no_name },
        { .fn = no_name, .name = "a name that is longer than an event keeps" },
        { .fn = no_name, .name = "caf\xc3\xa9" },
    };
    cfut_future f, by_hand;
    const char *text;

    begin();
    for (int i = 0; i < 3; i++) cfut_submit(cfut_inline_executor(), &f, &tasks[i], NULL, NULL);
    cfut_future_init(&by_hand);
    ck_assert(cfut_cancel(&by_hand));
    text = end();
    ck_assert_ptr_nonnull(strstr(text, "\"cat\":\"task\",\"name\":\"?\""));
    ck_assert_ptr_nonnull(strstr(text, "\"cat\":\"cancel\",\"name\":\"?\""));
    ck_assert_ptr_nonnull(strstr(text, "\"name\":\"a name that is longer than \""));
    ck_assert_ptr_nonnull(strstr(text, "\"name\":\"caf??\""));
}
END_TEST

/* Of two that begin at the same time the longer one comes first, as it is around. */
START_TEST(events_of_the_same_time_are_in_the_order_of_their_nesting)
{
    cfuti_event a = { .at = 5, .took = 3, .kind = CFUTI_RUNS }, b = a;
    cfuti_traced x = { &a, 1 }, y = { &b, 2 };

    ck_assert_int_eq(cfuti_traced_compare(&x, &y), 0);
    b.took = 2;
    ck_assert_int_lt(cfuti_traced_compare(&x, &y), 0);
    ck_assert_int_gt(cfuti_traced_compare(&y, &x), 0);
    b.kind = CFUTI_SUBMITS;
    ck_assert_int_gt(cfuti_traced_compare(&x, &y), 0);
    ck_assert_int_lt(cfuti_traced_compare(&y, &x), 0);
    b.at = 6;
    ck_assert_int_lt(cfuti_traced_compare(&x, &y), 0);
    ck_assert_int_gt(cfuti_traced_compare(&y, &x), 0);
}
END_TEST

/* As when a thread goes on while the file is written. */
START_TEST(events_that_come_too_late_are_left_out)
{
    cfuti_traced where[4];

    begin();
    run_squares(cfut_inline_executor(), 3);
    ck_assert_uint_gt(cfuti_trace_collect(NULL, SIZE_MAX), 4);
    ck_assert_uint_eq(cfuti_trace_collect(where, 4), 4);
    end();
}
END_TEST

START_TEST(number_of_items_is_cut_at_its_limit)
{
    begin();
    cfuti_trace_put(CFUTI_ITEMS, NULL, &square_task, cfuti_now(), 1, 0, SIZE_MAX);
    ck_assert_ptr_nonnull(strstr(end(), "\"items\":4294967295"));
}
END_TEST

/* ---- where else ---- */

START_TEST(child_of_a_fork_records_nothing)
{
    int status = 0;
    pid_t pid;

    end_pool(pool_of(1));               /* what is made once is made */
    begin();
    run_squares(cfut_inline_executor(), 2);
    pid = fork();
    if (pid == 0) {
        run_squares(cfut_inline_executor(), 2);
        _exit(cfut_trace(NULL) == CFUT_INVALID_STATE ? 5 : 6);
    }
    while (waitpid(pid, &status, 0) < 0) ck_assert_int_eq(errno, EINTR);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 5);
    run_squares(cfut_inline_executor(), 2);
    ck_assert_int_eq(count_of(end(), "\"cat\":\"task\""), 4);
}
END_TEST

/* A worker process may say anything about its times. */
START_TEST(times_of_a_worker_process_are_believed_as_far_as_they_can_be)
{
    static cfuti_proc w;
    static cfuti_report r;
    cfut_future f = { .task = &square_task };
    cfuti_entry e = { .future = &f, .proc = &w };
    const char *text;

    begin();
    w.pid = 4711;
    w.began = cfuti_now();
    cfuti_entry_trace(&e, NULL);
    r.began = UINT64_MAX;
    cfuti_entry_trace(&e, &r);
    r.began = (uint64_t)w.began;
    r.took = UINT64_MAX;
    cfuti_entry_trace(&e, &r);
    r.took = 1;
    cfuti_entry_trace(&e, &r);
    r.began = 0;
    cfuti_entry_trace(&e, &r);
    text = end();
    ck_assert_int_eq(count_of(text, "\"cat\":\"task\""), 5);
    ck_assert_ptr_null(strstr(text, "\"dur\":-"));
    ck_assert_ptr_null(strstr(text, "\"ts\":-"));
    cfuti_entry_trace(&e, &r);          /* nobody records */
}
END_TEST

/* ---- */

static void fill(TCase *tc)
{
    tcase_add_loop_test(tc, recording_without_memory_is_shorter_or_refused, 0, 2);
    tcase_add_test(tc, what_is_beyond_the_limit_is_dropped_and_counted);
    tcase_add_test(tc, file_that_cannot_be_written_is_the_status);
    tcase_add_test(tc, file_that_cannot_be_closed_is_the_status);
    tcase_add_test(tc, environment_that_names_no_file_is_none);
    tcase_add_test(tc, recording_has_nothing_of_the_one_before);
    tcase_add_test(tc, task_that_was_submitted_before_has_no_arrow);
    tcase_add_test(tc, task_has_the_name_that_fits_or_a_question_mark);
    tcase_add_test(tc, events_of_the_same_time_are_in_the_order_of_their_nesting);
    tcase_add_test(tc, events_that_come_too_late_are_left_out);
    tcase_add_test(tc, number_of_items_is_cut_at_its_limit);
    tcase_add_test(tc, child_of_a_fork_records_nothing);
    tcase_add_test(tc, times_of_a_worker_process_are_believed_as_far_as_they_can_be);
}

int main(void) { return harness_main("trace", fill); }
