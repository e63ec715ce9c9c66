/* test_kill_matrix.c: a worker, or the helper, goes wrong in each way at each step
   of what it does, with 1, 2 and 8 workers: everything is resolved, no result is
   lost or doubled, and nothing is left behind.

   test_kill_matrix [EVERY]   only each EVERY-th case; TAP on stdout

   Who stops or loops is dealt with by the time limit, while it has a task; without
   one it is up to the user to kill it, as is done here. */
#define PROCESS_POINTS
#ifndef HARNESS_NO_WATCHDOG
#define HARNESS_NO_WATCHDOG
#endif
#include "process.h"

/* ---- one case ---- */

enum { TASKS = 12 };

struct scene {
    enum step step;
    enum way way;
    int workers, later;
    cfut_ns took;                       /* until all was resolved */
    char name[80], why[200];            /* why: what is wrong; empty: nothing */
};

static char current[80];

static void too_late(int sig)
{
    static const char text[] = "# hangs: ";
    ssize_t n = write(STDERR_FILENO, text, sizeof text - 1);

    (void)sig;
    n += write(STDERR_FILENO, current, strlen(current));
    n += write(STDERR_FILENO, "\n", 1);
    _exit(n > 0 ? 124 : 125);
}

#define WRONG(s, ...) \
    do if (!*(s)->why) snprintf((s)->why, sizeof (s)->why, __VA_ARGS__); while (0)

static bool is_endless(const struct scene *s)
{
    return s->way == BY_SIGSTOP || s->way == BY_LOOP;
}

/* Before it has told that it is ready no limit counts for a worker. */
static bool is_stuck(const struct scene *s) { return s->step < STEP_CLAIMED && is_endless(s); }

static cfut_executor *open_scene(const struct scene *s)
{
    cfut_process_pool_desc desc = { .max_workers = s->workers, .start = START };

    arm_step(s->step, s->way, s->later);
    if (is_endless(s)) desc.time_limit = test_time(CFUT_MS(40));
    /* and none for one that is to leave */
    if (s->later && !(s->step == STEP_IDLE && is_endless(s))) desc.max_tasks_per_child = 4;
    return cfut_process_pool(&desc);
}

/* At most one may have failed, and none run twice; broken: by the helper's end. */
static void check_results(struct scene *s, tally_future *f)
{
    bool broken = s->step >= STEP_TO_FORK, stuck = is_stuck(s);
    int blamed = 0, due;

    for (int i = 0; i < TASKS; i++) {
        int status = tally_result(&f[i]), ran = atomic_load(&board()->at[i]);

        if (status == CFUT_WORKER_DIED || status == CFUT_TIME_LIMIT) blamed++;
        else if (status == CFUT_OK && (ran != 1 || f[i].out != 1))
            WRONG(s, "task %d ran %d times, result %d", i, ran, f[i].out);
        else if (status != CFUT_OK && !(broken && status == CFUT_BROKEN) &&
                 !(stuck && status == CFUT_CANCELLED))
            WRONG(s, "task %d: %s", i, cfut_error(&f[i].base));
        if (ran > 1) WRONG(s, "task %d ran %d times", i, ran);
    }
    due = atomic_load(&board()->n[STEP_FIRED]) && s->step >= STEP_CLAIMED &&
          s->step <= STEP_BEFORE_DONE;
    if (blamed != due && !broken) WRONG(s, "%d tasks have failed, not %d", blamed, due);
}

static void end_scene(struct scene *s, cfut_executor *ex)
{
    int status = cfut_shutdown_timeout(ex, CFUT_DRAIN,
                                       is_endless(s) ? test_time(CFUT_MS(60)) : CFUT_FOREVER);

    if (status == CFUT_TIMEOUT) {       /* one that has no task does not leave */
        cfut_kill_workers(ex);
        status = cfut_shutdown(ex, CFUT_DRAIN);
    }
    if (status != CFUT_OK) WRONG(s, "shutdown: %s", cfut_strerror(status));
}

static void run_scene(struct scene *s)
{
    static tally_future f[TASKS];
    int before = open_descriptors(), after;
    cfut_executor *ex = open_scene(s);
    cfut_ns begun = test_now();

    for (int i = 0; i < TASKS; i++) tally_submit(ex, &f[i], i);
    for (int i = 0; i < TASKS && is_stuck(s); i++)
        if (tally_result_timeout(&f[i], test_time(CFUT_MS(40))) == CFUT_TIMEOUT)
            cfut_kill_workers(ex);
    check_results(s, f);
    s->took = test_now() - begun;
    end_scene(s, ex);
    atomic_store(&board()->n[STEP_ARMED], 0);
    after = open_descriptors();
    if (after != before) WRONG(s, "%d descriptors, and %d before", after, before);
    if (waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD) WRONG(s, "a child is left");
}

/* ---- all of them ---- */

static bool is_meant(const struct scene *s)
{
    if (s->step < STEP_TO_FORK) return true;
    /* no code of a user's runs in the helper, so nobody exits or loops there */
    return s->way != BY_EXIT && !is_endless(s);
}

static bool run_case(struct scene *s, int number)
{
    static const char *const ways[] = { "SIGKILL", "SIGSEGV", "SIGABRT", "exit(0)", "_exit(3)",
                                        "SIGSTOP", "endless loop" };

    snprintf(s->name, sizeof s->name, "%s at '%s', %s, %d workers", ways[s->way],
             step_names[s->step], s->later ? "later" : "at first", s->workers);
    memcpy(current, s->name, sizeof current);
    /* each within a second, but for a machine that is busy with other things; there the
       kill for one that is stuck may come while another still has a task */
    for (int try = 0; try < 3 && (try == 0 || s->took > test_time(CFUT_SEC(1)) ||
                                  (is_stuck(s) && *s->why)); try++) {
        if (is_stuck(s)) *s->why = 0;
        memset((void *)board(), 0, sizeof(struct board));
        alarm((unsigned)(20 * harness_scale()));
        run_scene(s);
    }
    if (s->took > test_time(CFUT_SEC(1))) WRONG(s, "it took %ld ms", (long)(s->took / 1000000));
    printf("%s %d - %s%s%s\n", *s->why ? "not ok" : "ok", number, s->name, *s->why ? ": " : "",
           s->why);
    fflush(stdout);
    return !*s->why;
}

static int run_matrix(int every)
{
    static const int workers[] = { 1, 2, 8 };
    int n = 0, at = 0;
    bool good = true;

    for (int i = 0; i < STEPS * BY_THREAD_EXIT * 3 * 2; i++) {
        struct scene s = { .step = (enum step)(i % STEPS),
                           .way = (enum way)(i / STEPS % BY_THREAD_EXIT),
                           .workers = workers[i / STEPS / BY_THREAD_EXIT % 3],
                           .later = i / STEPS / BY_THREAD_EXIT / 3 };

        if (!is_meant(&s) || at++ % every) continue;
        if (!run_case(&s, ++n)) good = false;
    }
    printf("1..%d\n", n);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    board_make();
#ifndef START_FORK
    cfut_process_main(&argc, &argv);
#endif
    if (START_IS_FORK && UNDER_TSAN) {
        printf("1..0 # SKIP ThreadSanitizer has a thread of its own, so no pool may fork\n");
        return EXIT_SUCCESS;
    }
    signal(SIGALRM, too_late);
    return run_matrix(argc > 1 ? (int)strtol(argv[1], NULL, 10) : 1);
}
