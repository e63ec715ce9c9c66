/* test_clock.c: which clock the library goes by. It must be the monotonic one: the
   wall clock is set back and forth by people and by NTP, and leaps. Here each call
   of the header's for a clock, and each sleep, is looked at on its way. */
#include <stdarg.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int seen_clock_gettime(clockid_t id, struct timespec *t);
static long seen_syscall(long number, ...);
#define clock_gettime seen_clock_gettime
#define syscall seen_syscall
#include "harness.h"
#undef clock_gettime
#undef syscall

HARNESS_UNUSED static int clock_reads, wall_reads, sleeps, wall_sleeps;     /* atomic */

static void count(int *n) { __atomic_add_fetch(n, 1, __ATOMIC_RELAXED); }
static int counted(const int *n) { return __atomic_load_n(n, __ATOMIC_RELAXED); }

/* The wall clock leaps by years at each look. */
static int seen_clock_gettime(clockid_t id, struct timespec *t)
{
    int rc = clock_gettime(id, t);

    count(&clock_reads);
    if (id != CLOCK_MONOTONIC) {
        count(&wall_reads);
        t->tv_sec += counted(&wall_reads) % 2 ? 100000000 : -100000000;
    }
    return rc;
}

enum { WAIT_BITSET = 9, REALTIME_FLAG = 256 };  /* of futex(2) */

static long seen_syscall(long number, ...)
{
    va_list list;
    long a[6];

    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
#ifdef CFUTI_SYS_FUTEX
    if (number == CFUTI_SYS_FUTEX && (a[1] & 127) == WAIT_BITSET) {
        count(&sleeps);
        if (a[1] & REALTIME_FLAG)
            count(&wall_sleeps);
    }
#endif
    return syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static void expect_took(cfut_ns begun, cfut_ns least)
{
    ck_assert_int_ge(test_now() - begun, least);
    ck_assert_int_lt(test_now() - begun, least + test_time(CFUT_SEC(5)));
}

static int pull_one(void *user, void *in)
{
    *(int *)in = (*(int *)user)++;
    return *(int *)in < 3 ? CFUT_OK : CFUT_END;
}

/* Each call with a limit of time, where the limit is reached. */
static void wait_in_each_way(cfut_executor *pool, cfut_future *never)
{
    const cfut_ns limit = CFUT_MS(20);
    cfut_stream_desc desc = { 0 };
    cfut_stream *stream;
    cfut_iter it;
    cfut_ns begun;
    int next = 0;

    begun = test_now();
    ck_assert_int_eq(cfut_result_timeout(never, limit), CFUT_TIMEOUT);
    expect_took(begun, limit);
    begun = test_now();
    ck_assert_int_eq(cfut_wait(&never, 1, CFUT_ALL_COMPLETED, limit), 0);
    expect_took(begun, limit);
    begun = test_now();
    cfut_as_completed(&it, &never, 1, limit);
    ck_assert_ptr_null(cfut_next(&it));
    ck_assert_int_eq(it.status, CFUT_TIMEOUT);
    expect_took(begun, limit);
    stream = cfut_stream_open(pool, &square_task, pull_one, &next, &desc);
    begun = test_now();
    ck_assert_int_eq(cfut_stream_next_timeout(stream, NULL, limit), CFUT_TIMEOUT);
    expect_took(begun, limit);
    cfut_stream_close(stream);
}

START_TEST(timed_waits_go_by_the_monotonic_clock)
{
    cfut_executor *pool = pool_of(1);
    occupy_future busy;
    struct hold hold;

    hold_worker(pool, &busy, &hold);
    wait_in_each_way(pool, &busy.base);
    gate_open(&hold.release);
    ck_assert_int_eq(occupy_result(&busy), CFUT_OK);
    end_pool(pool);
    ck_assert_int_gt(counted(&clock_reads), 0);
    ck_assert_int_eq(counted(&wall_reads), 0);
    ck_assert_int_eq(counted(&wall_sleeps), 0);
#if CFUTI_FUTEX
    ck_assert_int_gt(counted(&sleeps), 0);
#endif
}
END_TEST

/* Of a map and of a close, too, whose limits end with others' work. */
START_TEST(limits_of_a_map_and_a_shutdown_go_by_the_monotonic_clock)
{
    cfut_executor *pool = pool_of(1);
    cfut_map_desc desc = { .timeout = CFUT_MS(20) };
    int in[3] = { 30, 30, 30 }, out[3];
    occupy_future busy;
    struct hold hold;
    cfut_ns begun = test_now();

    ck_assert_int_eq(sleep_ms_map_with(pool, in, out, 3, &desc), CFUT_TIMEOUT);
    expect_took(begun, CFUT_MS(20));
    hold_worker(pool, &busy, &hold);
    begun = test_now();
    ck_assert_int_eq(cfut_shutdown_timeout(pool, CFUT_DRAIN, CFUT_MS(20)), CFUT_TIMEOUT);
    expect_took(begun, CFUT_MS(20));
    gate_open(&hold.release);
    end_pool(pool);
    ck_assert_int_eq(counted(&wall_reads), 0);
    ck_assert_int_eq(counted(&wall_sleeps), 0);
}
END_TEST

static void fill(TCase *tc)
{
    tcase_add_test(tc, timed_waits_go_by_the_monotonic_clock);
    tcase_add_test(tc, limits_of_a_map_and_a_shutdown_go_by_the_monotonic_clock);
}

int main(void)
{
    return harness_main("clock", fill);
}
