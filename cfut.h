/* cfut.h 0.1.0: futures and executors for C, Python's concurrent.futures and more.
   SPDX-License-Identifier: MIT, full licence text at the end of this file.

HOW TO USE

  In every file that uses it:          #include "cfut.h"
  In exactly one C or C++ file before: #define CFUT_IMPLEMENTATION

  Copy this file, or add the repository as a git submodule and put it on the
  include path (-I cfut). Nothing is configured, generated or linked but the
  system's threads:

      Linux, BSD, macOS   cc -pthread main.c
      Windows (mingw-w64) x86_64-w64-mingw32-gcc main.c -lsynchronization

CONTENTS (search for ">>name")

  The manual        the chapters of this comment
  >>declarations    types, functions, CFUT_TASK
  The implementation, each section using only what stands above it:
  >>config          platform as 0/1 macros, tunable numbers
  >>compiler        attributes and thread-local storage
  >>atomics         every atomic operation, its order in its name
  >>os-posix        threads, clock, sleeping on a word: POSIX
  >>os-windows      the same by Win32 calls
  >>memory          allocation and checked sizes
  >>os-process      processes, shared memory, messages: POSIX
  >>clock           deadlines
  >>lock            the small lock, and how it waits
  >>thread          what the library knows about the calling thread
  >>trace           the timeline: what ran where and when
  >>future          states, completion, collectors: who may touch what when
  >>callbacks       cfut_on_done, and calling a task
  >>queue           the worker's deque, the pool's inbox, the spill list
  >>sleep           when a worker parks and who wakes it
  >>pool            threads: start, run, leave; close, shutdown, exit, fork
  >>process         the process pool: its memory, the helper, the workers
  >>process-pool    the process pool's side in the host
  >>graph           who waits for whom: deadlock detection
  >>executor        what all executors share; inline and failed ones
  >>waiters         result, wait, as_completed, reclaim
  >>fork-join       cfut_fork, cfut_join
  >>map             cfut_map
  >>stream          cfut_stream
  >>public          the remaining public functions

A COMPLETE PROGRAM

  #define CFUT_IMPLEMENTATION
  #include "cfut.h"
  #include <stdio.h>

  static int square(const int *x, int *y) { *y = *x * *x; return CFUT_OK; }
  CFUT_TASK(square, int, int);

  int main(void)
  {
      cfut_executor *pool = cfut_thread_pool(NULL);
      square_future f;

      square_submit(pool, &f, 12);
      if (square_result(&f) == CFUT_OK)
          printf("%d\n", f.out);               // prints 144

      cfut_shutdown(pool, CFUT_DRAIN);
      return 0;
  }

CONCEPTS

  A task is an ordinary function, int fn(const In *in, Out *out). It reads its
  argument, writes its result and returns 0 or an error code. Python's
  submit(pow, 323, 1235) becomes a struct of two ints as In.

  A future is one run of a task: a plain struct in memory of yours, on the
  stack, in an array, inside a struct. Submitting allocates nothing, and there
  is nothing to release (but for what fn_spawn has made).

  An executor runs tasks: a thread pool, a pool of processes, the caller itself
  (inline), or one of your own. It is a handle: made from a desc struct, ended
  by cfut_shutdown.

  CFUT_TASK(fn, In, Out); after a task's definition or declaration makes typed calls:
  fn_submit, fn_result, fn_map, fn_spawn, fn_fork and so on, and the struct
  fn_future with the members base, in and out. CFUT_ACTION(fn, In); does the
  same for a task without result, int fn(const In *in). For a pointer type such
  as const char * the parameter is const char *const *in.
  What takes a cfut_future * takes &f.base of any typed future, or what
  fn_submit returned; fn_of leads back from there to the fn_future.

MANY AT ONCE

  Results as they complete. The futures are on the stack, so whatever is left of
  them when the loop ends, by a break or as time has run out, is reclaimed before the
  function returns. That waits for tasks that run: they can ask
  cfut_stop_requested().

      square_future f[10];
      cfut_future *fs[10], *done;
      cfut_iter it;

      for (int i = 0; i < 10; i++)
          fs[i] = square_submit(pool, &f[i], i);
      cfut_as_completed(&it, fs, 10, CFUT_SEC(60));
      while ((done = cfut_next(&it))) {
          if (cfut_result(done) == CFUT_OK)
              printf("%d\n", square_of(done)->out);
          else
              fprintf(stderr, "%s\n", cfut_error(done));
      }
      cfut_iter_end(&it);
      cfut_reclaim(fs, 10);

  An array through a task, with a limit for the whole of it, and a status of
  each item:

      int xs[] = { 1, 2, 3 }, ys[3], status[3];
      cfut_map_desc desc = { .timeout = CFUT_SEC(60), .status = status };

      if (square_map_with(pool, xs, ys, 3, &desc) == CFUT_OK)
          printf("%d %d %d\n", ys[0], ys[1], ys[2]);   // prints 1 4 9

LIFETIMES: WHO OWNS WHAT

  From submit until the future is done, the future, its in and its out belong
  to the library: do not move, copy, free or write them. Nobody may read out, not
  even by a look at f.out before fn_result has returned; all may read in.
  Done means nobody touches it. The moment cfut_result, cfut_done, cfut_wait,
  an iterator or a true cfut_cancel says so, the memory is yours: reuse it for
  another submit, return from the function that holds it, free it. No thread
  of the library reads or writes it afterwards.
  Three things hold a future longer. A callback of its own: within it the future
  counts as done, but must not be freed or used again. An iterator, until it has
  yielded the future or cfut_iter_end was called: so end it first. A call with the
  future in another thread, until it returns, unless it sleeps for it: that does not
  touch the future again when it wakes.
  A function that must leave while its futures are pending calls cfut_reclaim.
  in is copied into the future by fn_submit; cfut_submit works on your
  pointers. What In points to stays yours, also when the submit is refused.
  Executors are ended by cfut_shutdown. An ended handle is not a wild pointer:
  it answers CFUT_CLOSED (until 256 other pools have been ended after it).

STATES OF A FUTURE

  FRESH (zeroed, never submitted) -> PENDING -> RUNNING -> FINISHED
                                     PENDING -> FINISHED (refused; by hand)
                                     PENDING -> CANCELLED_AND_NOTIFIED
  A future in memory that is neither zeroed nor was submitted has no state: only
  a submit, a fork or cfut_future_init may be its first call.
  A future completed by hand passes through CANCELLED in between: it is done
  for cfut_done and cfut_result at once, and for cfut_wait and cfut_as_completed
  when its producer has acknowledged by cfut_start.

ERRORS

  A status is an int. 0 is success, above 0 is the task's own code (errno
  values fit), below 0 is one of the library's, listed at enum cfut_status.
  Submit never fails visibly: a refused submit makes a future that is already
  done with the reason. Creation is alike: cfut_thread_pool never returns NULL.
  So there is one place to look, the result.
  In a task, return cfut_fail(errno, "cannot open %s", path); keeps a text of
  up to 55 bytes in the future; cfut_error(f) returns it. (An item of a map has
  no future of its own: it keeps its code only. A stream keeps both.)
  The library never aborts, exits, prints or raises a signal.

WAITING AND DEADLOCK

  A task may wait for other tasks, in the same pool too. If what it waits for
  is still queued in its own pool, the waiting worker runs that task there and
  then; if it runs elsewhere the worker sleeps. It never runs unrelated tasks
  meanwhile. (A join runs what the task that it waits for has forked; who waits in
  a map, other items of it.) So nested waits finish with one worker.
  Timed waits only sleep; they run nothing. So in a pool of one worker a timed wait
  for what is queued there runs out of time.
  If tasks wait for each other in a circle, the wait that would close it returns
  CFUT_DEADLOCK, and its future is not done. If the waiting task returns that
  status, its text names the circle. What is followed: waits without timeout for
  all of a set, or for the one that is left of it. Not followed: timed waits,
  futures completed by hand, locks and pipes of your own.

CANCELLATION

  cfut_cancel returns true when the task will never run: the future is done
  with CFUT_CANCELLED and yours, at once, also when every worker is busy. It
  returns false when the task has started; then the task is asked to stop, and
  sees that by cfut_stop_requested() when it looks.

THREAD POOLS

  Threads start on demand, up to max_workers, idle ones are reused first.
  Tasks submitted from outside start in the order of submission. A task that
  submits puts its tasks into its worker's own queue, which that empties newest
  first; idle workers take the oldest of them. An outside task is not starved by
  workers that submit to themselves: every 61st pick looks outside first.
  The default size is the number of CPUs that the process may use. Tasks that
  mostly block (network, disk) want more: set max_workers to how many of them
  should be under way at once.
  At exit() and at return from main, live pools are drained: what was
  submitted runs first (CFUT_EXIT_ABANDON: it does not). An exit inside a task
  waits neither for that task nor for those that wait for it (as far as deadlock
  detection follows them), and runs itself what is queued behind such, which must not
  end its thread: the exit would end with it.
  After fork() the child's copies of all pools are inert: they answer
  CFUT_FORKED and nothing in them hangs. A child of a map's item must not return from
  the item after it has started threads: the map may be in the place of their stacks.
  pthread_exit in a task ends the future with CFUT_ABANDONED and replaces the
  worker (without a finalizer for it); in a map's item it also ends the items that are
  left of its thread's share, or, where that is the caller, of the map.
  With it end the tasks that wait on the same thread, because they run it meanwhile.
  Before that all of these must have waited for all that they submitted or forked with
  memory of their own stack; iterators and streams that they have are their own to end (as
  is a stream whose pull function ended the thread). In a callback, on
  any thread, pthread_exit costs nothing else: the other callbacks are called, and the
  completion or the close that was under way comes to its end.
  Undefined are: a second pthread_exit, in one of those; one in what a call here runs (an
  item, a callback, or, where the implementation is compiled as C, a task) if the task or
  callback that calls is within the reach of a clean-up handler (pthread_cleanup_push) or
  has an object with a destructor; any within a catch block; one in a callback on a
  process pool's thread while another callback there waits in a reclaim, a map or the
  close of a stream; and any in an implementation compiled as C++ for ThreadSanitizer or
  gcov.
  longjmp out of a task is undefined. A C++ exception that leaves a
  task becomes CFUT_FAILED with its text when the implementation is compiled
  as C++ with exceptions; otherwise it ends the program, as in any C callback.
  Worker threads block all signals but those that a fault raises.

PROCESS POOLS

  cfut_process_pool takes the place of cfut_thread_pool, and the same tasks run
  in other processes. A task that crashes costs one future: CFUT_WORKER_DIED, with
  the signal or exit code, pid, peak memory and CPU time in the text. The pool, its
  other tasks and the program go on. One that may loop or hang wants a time_limit
  (then it is CFUT_TIME_LIMIT; without, the program's exit waits for it), one that may
  eat all memory a limit_memory.

      int main(int argc, char **argv)
      {
          cfut_process_main(&argc, &argv);     // the one line more
          cfut_executor *pool = cfut_process_pool(NULL);
          ...

  What a task may touch. In and Out travel as bytes: a pointer in them means
  nothing in a worker (or, after a fork start, what it meant when the pool was
  made). in is read-only there. What a task changes, globals, files' positions,
  the heap, stays in its worker, where a later task finds it. Descriptors above
  2 are not inherited; the pool has three at most of its own, at numbers just below
  1024, or below a lower limit, which tasks leave alone: a worker that misses one is
  replaced. Standard input is empty; standard output and error are
  the program's, and flushed after each task (so flush what comes before it in the
  host, too). In a worker all executors of the host are gone (cfut_current says
  NULL); it may make its own.

  Two ways to start. With cfut_process_main in main, the pool's helper is the
  program executed again: nothing is inherited, the initializer builds the
  state; it works at any time, also with threads and gigabytes. Without it the
  helper is a fork, and workers see globals as they were when the pool was made.
  That is only possible while no other thread runs, as locks that others hold at that
  moment, in malloc, stdio, the C library, would stay locked in the fork for ever:
  otherwise creation answers CFUT_NO_THREADS. Off Linux, where threads cannot be
  counted, a fork wants CFUT_START_FORK.
  A worker finds a task's function by its file and its place there. On Linux that may
  be a shared library, also one that was loaded after the pool was made; elsewhere it
  must be the file that has the implementation (else CFUT_INVALID). To look for one that
  is new to it takes a descriptor (CFUT_NO_MEMORY, if there is none), and what was found
  is kept: while a pool lives, do not put another library in the place of one that has
  tasks of it.

  What survives what:
    a worker dies             its task fails, or runs again (max_retries); those that
                              waited behind it go to another worker; it is replaced
    in a map                  one item fails so
    a task hangs              time_limit or cfut_submit_within kills its worker, with
                              kill_on_cancel cfut_cancel does, too
    a hook hangs              no limit covers initializer and finalizer: where that may
                              be, cfut_shutdown_timeout, then cfut_kill_workers
    the initializer fails     CFUT_BROKEN for all; also if it throws, or ends its thread
    workers keep dying idle   CFUT_BROKEN for all
    no process can start      the pool goes on with the workers that it has; without
                              any, what is queued fails with CFUT_NO_THREADS, and the
                              next submit tries again
    the program dies          the helper sees it, and the workers are killed; also by
                              SIGKILL
    the helper dies           CFUT_BROKEN for all
  With on_worker_death = CFUT_BREAK_POOL the pool breaks at the first death, as
  Python's does.
  exit in a task counts as death, and runs nothing that the host has registered
  by atexit. A task's own children are the task's to wait for; one that
  returns from the task ends there, if it was made by fork (not _Fork, clone).

  The host has one child per pool, the helper: its end raises SIGCHLD once, at
  shutdown. Signal handlers, masks and atexit handlers of the host are not
  touched. Workers begin with default signals, but ignore SIGINT, so that a Ctrl-C
  is the host's to handle. SIGTERM for the whole process group ends them, though.
  Callbacks run in the pool's manager thread. One that waits without limit for tasks of
  the same pool, or maps there, gets CFUT_DEADLOCK (but to wait for the first of several
  is not followed, and hangs). cfut_reclaim and cfut_stream_close, which cannot be left,
  are done all the same: the manager goes on with its work within them, so other
  callbacks may run meanwhile. Such a callback must not end its thread, and a circle
  that goes through it is not seen.
  It isolates faults, it is no sandbox: a worker has the rights of the program.

COMMON MISTAKES

  undefined reference to cfut_thread_pool
                     no file defines CFUT_IMPLEMENTATION before the include
  multiple definition of cfut_...
                     more than one does
  variable or field 'out' declared void
                     a task without result wants CFUT_ACTION
  a wrong number in f.out
                     it was read before fn_result, or fn_result did not return 0
  a crash after a function has returned
                     its futures were pending, or an iterator over them was not ended:
                     cfut_iter_end, cfut_reclaim
  garbage in a process pool's worker
                     the argument has pointers in it: put the bytes into In, as
                     struct { char path[256]; }

AN EXECUTOR OF ONE'S OWN

  A struct that begins with cfut_executor, and a table of functions, of which
  only submit is a must: see cfut_executor_ops. Futures, waiting, callbacks and
  typed calls work with it as with a pool. The smallest one:

      static int at_once_submit(cfut_executor *ex, cfut_future *f)
      {
          (void)ex;
          cfut_run(f);                         // f is its owner's from here on
          return CFUT_OK;
      }
      static const cfut_executor_ops at_once_ops = {
          .name = "AtOnce",
          .submit = at_once_submit,
      };
      static cfut_executor at_once = { .ops = &at_once_ops };

THREAD SAFETY

  Executors: every function from every thread at any time. To use one after the end
  of cfut_shutdown is a mistake, which gets CFUT_CLOSED (see LIFETIMES).
  Futures: any number of threads may wait for one, cancel it and ask about it
  at the same time. One thread submits it. cfut_iter and cfut_stream belong to
  one thread at a time.

WHAT A CALL COSTS

  call                      atomic read-modify-writes  system calls     allocations
  submit from outside       1                          1 if it wakes    none
  run what came so          2                          none             none
  submit in a task, fork    0 (1)                      1 if it wakes    none
  result of one's own       0 (2), and runs it         none             none
    child, join
  result, already done      0                          none             none
  result, waits             1, and 1 to be woken       1                none
  cancel                    2                          none             none
  wait, as_completed        2 a future, 2 to be told   1                none, or 1 for
                                                                        a 2nd waiter
  In brackets: without membarrier, that is, off Linux and Windows. With it, to wait
  for what another worker's task has submitted takes one membarrier, to cancel that
  takes two.
  On 64-bit Linux fn_fork and fn_join are inlined, and fn_join calls fn directly when
  nobody has taken the task: some 40 instructions in all. (In C++ fn_join is not.)
  A submit wakes a worker only if one sleeps and none is looking for work.
  A join that waits takes a lock for each task that it runs meanwhile, and sometimes
  one membarrier. A map from outside is one submit, and one wake call more once it has
  lasted 20 us, or at once if the first worker slept. With caller_runs, or on one's own
  executor, it is one submit for each of its workers, 1024 at most, and one allocation if
  more than 16 threads take part.
  A pending future of int to int takes 128 bytes; running it touches 72.
  In a process pool a task of up to 192 bytes in and 128 out costs the host 4
  read-modify-writes and two short locks, and a system call if its worker sleeps;
  larger ones two copies more. A worker takes some 300 KiB of its own, the pool
  one thread, one process, and 150 KiB a worker, touched as far as tasks queue.

BUILD OPTIONS (define before including; "impl": only in the implementing file)

  CFUT_IMPLEMENTATION   impl         compile the implementation here
  CFUT_STATIC           every file   all functions static: one private copy per
                                     implementing file. Every file that includes
                                     cfut.h must implement it then. Copies do
                                     not disturb each other, but each deals with its own
                                     executors and futures only
  CFUTDEF               every file   prefix of all public declarations
                                     (default extern), for dllexport; with one
                                     of your own fork and join are not inlined
  CFUT_MALLOC(n)        impl         malloc and free; define both or none
  CFUT_FREE(p)          impl
  CFUT_ASSERT(x)        impl         an expression, as assert is: x is false for an
                                     argument that gets CFUT_INVALID. Default: nothing
  CFUT_NO_FUTEX         impl         sleep on mutexes and conditions instead of
                                     futexes (always so off Linux and Windows); and
                                     pipes and a file in process pools
  CFUT_NO_MEMBARRIER    impl         fences on the fast path instead of Linux's
                                     membarrier(2) on the slow one: for programs
                                     that forbid themselves that call, by
                                     seccomp, after their first pool
  CFUT_NO_PROCESS       impl         without process pools (CFUT_UNSUPPORTED)
  CFUT_TRACE            impl         with cfut_trace, the timeline: costs some 100 ns
                                     an event while it records, else one load
  CFUT_TRACE_EVENTS     impl         how many it keeps, 64 bytes each, in all
                                     recordings together (default 2^20); the file
                                     says how many more there were
  CFUT_SPIN_NS          impl         how long an idle worker or a waiter spins
                                     before it sleeps (default 20000, 0: never)
  Include order: any. Only under strict -std=c11 (not gnu11) the implementing
  file must include cfut.h before any system header; an #error says so.

CAVEATS

  cfut_future and cfut_iter must not be moved or copied while in use.
  Do not unload (dlclose) a library that holds the implementation while pools
  live. Compilers: gcc and clang, also for Windows; no MSVC yet.

PYTHON NAMES AND OURS

  ThreadPoolExecutor(max_workers, thread_name_prefix, initializer, initargs)
                                   cfut_thread_pool(&(cfut_thread_pool_desc){...})
  ProcessPoolExecutor(max_workers, initializer, initargs, max_tasks_per_child)
                                   cfut_process_pool(&(cfut_process_pool_desc){...})
  with ThreadPoolExecutor() as ex  cfut_thread_pool ... cfut_shutdown(ex, CFUT_DRAIN)
  ex.submit(fn, x)                 fn_submit(ex, &f, x)
  ex.map(fn, xs, chunksize=)       fn_map(ex, xs, ys, n), fn_map_with(..., &desc)
  ex.map(fn, xs, buffersize=)      cfut_stream_open(ex, &fn_task, pull, user, &desc)
  ex.shutdown(wait=True)           cfut_shutdown(ex, CFUT_DRAIN)
  ex.shutdown(wait=False)          cfut_close(ex, how), cfut_shutdown(ex, CFUT_DETACH)
  ex.shutdown(cancel_futures=True) cfut_shutdown(ex, CFUT_CANCEL_PENDING)
  f.result(timeout)                fn_result(&f), fn_result_timeout(&f, ns), then f.out
  f.exception()                    the status; cfut_error(&f.base) for the text
  f.cancel(), cancelled(), running(), done()
                                   cfut_cancel, cfut_cancelled, cfut_running, cfut_done
  f.add_done_callback(fn)          cfut_on_done(&f.base, fn, user)
  f.set_running_or_notify_cancel() cfut_start(&f)
  f.set_result, f.set_exception    cfut_finish(&f, status)
  Future()                         cfut_future_init(&f)
  repr(f)                          cfut_future_describe(&f, buf, sizeof buf)
  wait(fs, timeout, return_when)   cfut_wait(fs, n, when, timeout)
  as_completed(fs, timeout)        cfut_as_completed(&it, fs, n, timeout), cfut_next(&it)
  CancelledError, TimeoutError     CFUT_CANCELLED, CFUT_TIMEOUT
  InvalidStateError                CFUT_INVALID_STATE
  BrokenThreadPool, BrokenProcessPool
                                   CFUT_BROKEN
  ex.terminate_workers(), ex.kill_workers()
                                   cfut_terminate_workers(ex), cfut_kill_workers(ex)
  RuntimeError after shutdown      CFUT_CLOSED
  Differences on purpose: a task that is cancelled is done for every kind of waiter
  at once; cfut_finish takes no text; callbacks run before waiters are woken; map goes
  on after an item has failed; as_completed's timeout counts from the call; a wait
  inside a task cannot deadlock by itself; a worker process that dies fails one task,
  not all.

HISTORY

  0.1.0  the library on threads and processes
*/

/*=========================================================================
    >>declarations   what a program sees
=========================================================================*/
#ifndef CFUT_H
#define CFUT_H

#if defined(CFUT_IMPLEMENTATION) && !defined(_WIN32) && !defined(_DEFAULT_SOURCE)
#define _DEFAULT_SOURCE 1           /* syscall() under strict -std=c11 */
#endif

#include <stdbool.h>                /* bool */
#include <stddef.h>                 /* size_t, ptrdiff_t */
#include <stdint.h>                 /* int64_t, uintptr_t */

#define CFUT_VERSION_MAJOR  0
#define CFUT_VERSION_MINOR  1
#define CFUT_VERSION_PATCH  0
#define CFUT_VERSION \
    (CFUT_VERSION_MAJOR * 10000 + CFUT_VERSION_MINOR * 100 + CFUT_VERSION_PATCH)
#define CFUT_VERSION_STRING "0.1.0"

#if defined(__GNUC__) || defined(__clang__)
#define CFUTI_UNUSED __attribute__((unused))
#define CFUTI_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define CFUTI_UNUSED
#define CFUTI_PRINTF(f, a)
#endif

/* Whether a fork and a join are inlined. They need a variable of each thread
   that all files see; a CFUTDEF of the user's own may not fit one. */
#if defined(__linux__) && defined(__LP64__) && defined(__GNUC__) && !defined(CFUTDEF)
#define CFUTI_INLINE 1
#else
#define CFUTI_INLINE 0
#endif

#if defined(CFUT_STATIC) && !defined(CFUT_IMPLEMENTATION)
#error "cfut: with CFUT_STATIC, define CFUT_IMPLEMENTATION in this file, too."
#endif

#ifndef CFUTDEF
#ifdef CFUT_STATIC
#define CFUTDEF CFUTI_UNUSED static
#else
#define CFUTDEF extern
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the implementation that was linked, as CFUT_VERSION. Differs
   from the macro when two copies of the header are mixed. Any thread. */
CFUTDEF int cfut_version(void);

/* ---- status ---- */

/* name, value, sentence. The values lie far from -1 and from negated errno,
   so that a task may return those as its own. */
#define CFUT_STATUS_LIST(X) \
    X(CFUT_OK,                0, "success") \
    X(CFUT_TIMEOUT,       -7001, "the wait's time ran out") \
    X(CFUT_CANCELLED,     -7002, "cancelled") \
    X(CFUT_CLOSED,        -7003, "the executor takes no more tasks") \
    X(CFUT_BROKEN,        -7004, "the executor is broken: an initializer or a worker failed") \
    X(CFUT_WORKER_DIED,   -7005, "the worker running this task died") \
    X(CFUT_INVALID_STATE, -7006, "the future's state does not allow this") \
    X(CFUT_INVALID,       -7007, "invalid argument") \
    X(CFUT_NO_MEMORY,     -7008, "out of memory") \
    X(CFUT_NO_THREADS,    -7009, "no worker could be started") \
    X(CFUT_FULL,          -7010, "the executor's queue is full") \
    X(CFUT_DEADLOCK,      -7011, "waiting would never end: the tasks wait for each other") \
    X(CFUT_FORKED,        -7012, "the executor was left behind in the parent process") \
    X(CFUT_ABANDONED,     -7013, "the task ended its thread instead of returning") \
    X(CFUT_UNSUPPORTED,   -7014, "not supported in this build or on this platform") \
    X(CFUT_FAILED,        -7015, "the task failed without a code") \
    X(CFUT_END,           -7016, "no more items") \
    X(CFUT_TIME_LIMIT,    -7017, "the task ran into its time limit and was killed")

#define CFUTI_ENUM(name, value, text) name = value,
enum cfut_status { CFUT_STATUS_LIST(CFUTI_ENUM) CFUTI_STATUS_LAST = -7018 };
#undef CFUTI_ENUM

/* A sentence for a status: for cfut's own from the list above, for codes above
   0 "the task's own error code", for others below 0 "unknown status". Never
   NULL, never freed. Any thread. */
CFUTDEF const char *cfut_strerror(int status);

/* ---- time ---- */

/* A duration in nanoseconds. Negative counts as 0 (a wait polls; in a desc 0
   means no limit). CFUT_FOREVER: no limit. Sums beyond the range saturate. */
typedef int64_t cfut_ns;
#define CFUT_NS(n)   ((cfut_ns)(n))
#define CFUT_US(n)   ((cfut_ns)((n) * INT64_C(1000)))           /* n may be 0.5 */
#define CFUT_MS(n)   ((cfut_ns)((n) * INT64_C(1000000)))
#define CFUT_SEC(n)  ((cfut_ns)((n) * INT64_C(1000000000)))
#define CFUT_FOREVER INT64_MAX

/* ---- tasks ---- */

/* in: the argument, read only. out: where the result goes. Returns 0, or the
   task's error code (above 0), or a cfut status that it hands on. CFUT_TIMEOUT
   is turned into ETIMEDOUT, so that CFUT_TIMEOUT is always a wait's answer. */
typedef int (*cfut_fn)(const void *in, void *out);

/* Private: runs n items of a map, or up to the first that fails, counting in *at,
   so that the compiler sees the loop. Returns how many, and the last's status. */
typedef size_t (*cfuti_batch_fn)(const void *in, void *out, size_t n, size_t *at, int *status);

/* One per task, static and constant; CFUT_TASK(fn, In, Out) makes fn_task. */
typedef struct cfut_task {
    cfut_fn fn;
    const char *name;           /* for error texts; NULL: "?" */
    size_t in_size, out_size;   /* bytes; used by map, stream and process pools */
} cfut_task;

/* Private: what CFUT_TASK knows besides. */
typedef struct cfuti_typed {
    cfut_task task;             /* first */
    size_t in_at, out_at;       /* where in and out are in a fn_future; 0: nowhere */
    cfuti_batch_fn batch;
} cfuti_typed;

/* ---- structs ---- */

typedef struct cfut_future cfut_future;
typedef struct cfut_executor cfut_executor;
typedef struct cfut_stream cfut_stream;

/* Called once when f is done or cancelled, in the thread that completed it, or
   at once in the thread that adds it to a future already done. f counts as
   done: cfut_result(f) returns at once. No lock is held: every call is
   allowed, but for moving or freeing f (only cfut_release and fn_release may). */
typedef void (*cfut_done_fn)(cfut_future *f, void *user);

/* Private: ties one future to one collector (a wait, an iterator). */
struct cfuti_collector;
typedef struct cfuti_link {
    struct cfuti_collector *collector;
    uintptr_t a, b;
} cfuti_link;

/* A future. Plain memory of the caller's; its size and alignment are all that
   a program uses. What the path to success touches lies together, from state
   to next (and in and out of a typed future behind it): one cache line. */
struct cfut_future {
    /* private: any thread, under the lock bit in state */
    union {
        struct {
            cfut_done_fn fn;            /* the first callback */
            void *user;
            void *callbacks;            /* further ones */
            cfuti_link link;            /* the first collector */
            uint64_t limit;             /* process pool: ns that it may run; tries << 56 */
        } before;                       /* until it is done */
        char text[56];                  /* afterwards, if it failed with a text */
    } u;
    void *waiters;                      /* further collectors */
    /* private: atomic */
    uint32_t state;
    int32_t status;                     /* valid once done */
    /* read-only */
    const cfut_task *task;
    const void *in;
    void *out;
    /* private: atomic */
    uintptr_t owner;                    /* its executor, then who runs it (| 1), then
                                           the iterator that holds it (| 2) */
    uintptr_t slot;                     /* where it is queued */
    /* for the executor that holds it */
    cfut_future *next;
};

/* An executor's functions. All may be called from any thread; f is pending.
   Hold no lock of your own around a call into cfut: cancel, which takes your
   lock, is called with a lock of f held, and callbacks run in cfut_run and
   cfut_finish. To cancel what is queued, as in close: take f out of the queue,
   then call cfut_finish(f, CFUT_CANCELLED) with your lock free. */
typedef struct cfut_executor_ops {
    const char *name;       /* of the kind, as "ThreadPoolExecutor" */
    /* Takes f, to pass it to cfut_run later, or at once; f->next is free for a
       queue. Returns CFUT_OK, or the status with which the submit is refused
       (then f is not kept). Once f may have run it is not to be touched. */
    int (*submit)(cfut_executor *ex, cfut_future *f);
    /* Takes f out of the queue: true, and it will not be run. false: too late.
       Must not call cfut functions on f; must not wait for a running task.
       Called by cfut_cancel, and by a task of this executor that waits for f
       and will run f itself. NULL: nothing can be taken out. */
    bool (*cancel)(cfut_executor *ex, cfut_future *f);
    /* cfut_close. NULL: does nothing. */
    void (*close)(cfut_executor *ex, int how);
    /* cfut_shutdown: close, wait until timeout, free. CFUT_OK, or CFUT_TIMEOUT
       and it may be called again. NULL: CFUT_OK. */
    int (*shutdown)(cfut_executor *ex, int how, cfut_ns timeout);
    /* NULL: 1 and 1. */
    size_t (*max_workers)(const cfut_executor *ex);
    size_t (*workers)(const cfut_executor *ex);
} cfut_executor_ops;

/* The head of every executor. One's own executor is a struct that begins with
   it, with ops set and status 0. */
struct cfut_executor {
    const cfut_executor_ops *ops;
    int status;                         /* see cfut_executor_status; set it before the
                                           executor is shared, or atomically */
};

/* ---- executors ---- */

/* Zero in a field means the default. */
typedef struct cfut_thread_pool_desc {
    int max_workers;                /* 0: the CPUs this process may use (affinity,
                                       cgroup quota); negative: CFUT_INVALID */
    const char *thread_name_prefix; /* NULL: "ThreadPoolExecutor-N"; copied, up to
                                       47 bytes. Threads are named prefix_0, ... */
    int (*initializer)(void *arg);  /* in each worker before its first task; non-zero
                                       breaks the pool: CFUT_BROKEN for all its tasks */
    void (*finalizer)(void *arg);   /* in each initialized worker before it ends */
    void *init_arg;                 /* for both */
    size_t stack_size;              /* bytes for tasks, rounded up; 0: the system's (compiled
                                       as C++, one inside the other cost 1 KiB more each) */
    int exit;                       /* CFUT_EXIT_DRAIN or CFUT_EXIT_ABANDON */
} cfut_thread_pool_desc;

enum { CFUT_EXIT_DRAIN = 0, CFUT_EXIT_ABANDON = 1 };

/* Makes a thread pool. desc NULL: all defaults. Never NULL: what could not be
   made is an executor whose status tells why and whose submits are refused
   with it: CFUT_INVALID (negative or absurd number), CFUT_NO_MEMORY,
   CFUT_CLOSED (the program is exiting). Starts no thread yet. Any thread; does
   not block. The caller owns it until cfut_shutdown. */
CFUTDEF cfut_executor *cfut_thread_pool(const cfut_thread_pool_desc *desc);

/* The executor that runs each task at submit, in the caller: for tests and
   debugging. One static object: cfut_close and cfut_shutdown do nothing. */
CFUTDEF cfut_executor *cfut_inline_executor(void);

/* CFUT_OK, or why ex refuses tasks: the reason its creation failed,
   CFUT_CLOSED, CFUT_BROKEN, CFUT_FORKED, or what an executor of one's own says.
   NULL: CFUT_INVALID. Any thread. */
CFUTDEF int cfut_executor_status(const cfut_executor *ex);

/* The same in words; what cfut_error says of a submit that ex refuses. Never NULL,
   never freed. Any thread. */
CFUTDEF const char *cfut_executor_error(const cfut_executor *ex);

/* How many workers ex may have, and how many it has started so far. 0 for NULL
   and for executors that could not be made. Any thread. */
CFUTDEF size_t cfut_executor_max_workers(const cfut_executor *ex);
CFUTDEF size_t cfut_executor_workers(const cfut_executor *ex);

enum {
    CFUT_DRAIN = 0,             /* what was submitted runs */
    CFUT_CANCEL_PENDING = 1,    /* what has not started is cancelled; running tasks finish */
    CFUT_DETACH = 2             /* or-ed in: do not wait; the pool frees itself */
};

/* Refuses new work from now on (CFUT_CLOSED); how says what happens to queued
   tasks. With CFUT_DRAIN tasks of this executor may still submit to it, so
   nested work finishes. Any thread, tasks too; any number of times; does not
   wait (but with CFUT_CANCEL_PENDING runs the callbacks of what it cancels).
   Nothing for NULL, in a forked child, and for an ended executor. */
CFUTDEF void cfut_close(cfut_executor *ex, int how);

/* cfut_close, then waits until the last task has ended and the last thread is
   gone, and frees ex. Returns CFUT_OK; CFUT_DEADLOCK from inside one of its own
   tasks or threads, or a callback of a task that a close of it is cancelling
   (nothing was changed; CFUT_DETACH is allowed there); CFUT_FORKED in a forked
   child; CFUT_INVALID for an unknown how. NULL, an executor that could not be
   made, and one already ended: CFUT_OK, nothing happens. Two threads may call it
   at once. */
CFUTDEF int cfut_shutdown(cfut_executor *ex, int how);

/* The same with a limit. CFUT_TIMEOUT: closed, but not freed; call again. */
CFUTDEF int cfut_shutdown_timeout(cfut_executor *ex, int how, cfut_ns timeout);

/* ---- process pools ---- */

enum {
    CFUT_FAIL_TASK = 0,         /* the task that ran in the worker fails, nothing else */
    CFUT_BREAK_POOL = 1         /* Python's rule: the pool is broken, all its tasks fail */
};

enum {
    CFUT_START_AUTO = 0,        /* EXEC if cfut_process_main was called, else FORK */
    CFUT_START_EXEC = 1,        /* the program is executed again; nothing is inherited */
    CFUT_START_FORK = 2         /* workers see the globals as of the pool's creation; only
                                   while no thread runs but those of process pools */
};

/* Zero in a field means the default. Limits of a worker (limit_..., nice) hold for
   the initializer, too. */
typedef struct cfut_process_pool_desc {
    int max_workers;            /* 0: the CPUs this process may use; negative or above
                                   1024: CFUT_INVALID */
    int (*initializer)(void *arg);  /* in each worker before its first task; non-zero
                                   breaks the pool: CFUT_BROKEN for all its tasks */
    void (*finalizer)(void *arg);   /* in each initialized worker that leaves in order */
    void *init_arg;             /* for both; see init_size */
    size_t init_size;           /* so many bytes at init_arg are copied to each worker.
                                   0: the pointer is passed as it is, which only FORK
                                   can use (with EXEC CFUT_INVALID, unless NULL) */
    int start;                  /* CFUT_START_AUTO, _EXEC or _FORK */
    int exit;                   /* CFUT_EXIT_DRAIN or CFUT_EXIT_ABANDON */
    int queue_depth;            /* tasks handed to a worker, with the one that runs, at
                                   most: 1 to 64; 0: chosen by how short they are. What
                                   waits there can be cancelled, and goes to another
                                   worker that has nothing to do */
    int max_tasks_per_child;    /* a worker is replaced after so many; 0: never */
    int on_worker_death;        /* CFUT_FAIL_TASK or CFUT_BREAK_POOL */
    int max_retries;            /* how often a task whose worker died runs again, 0 to 255:
                                   for tasks that may run twice */
    cfut_ns time_limit;         /* of each task from its start; then its worker is killed:
                                   CFUT_TIME_LIMIT; 0: none */
    cfut_ns kill_grace;         /* between SIGTERM and SIGKILL, when a worker is killed;
                                   0: SIGKILL at once */
    bool kill_on_cancel;        /* cfut_cancel kills a running task, which ends as cancelled
                                   then (cfut_cancel still returns false) */
    bool core_dumps;            /* false: workers leave none */
    int nice;                   /* added to a worker's niceness */
    size_t max_rss;             /* bytes; a worker that holds more after a task is replaced */
    size_t limit_memory;        /* bytes of a worker's address space (RLIMIT_AS) */
    size_t limit_cpu;           /* seconds of CPU time of a worker (RLIMIT_CPU) */
    size_t limit_files;         /* its open descriptors (RLIMIT_NOFILE) */
    size_t limit_file_size;     /* bytes of a file that it writes (RLIMIT_FSIZE) */
} cfut_process_pool_desc;

/* Makes a process pool: the same calls as for threads, but each task runs in
   another process, and one that crashes, hangs or eats all memory costs one
   future: see PROCESS POOLS in the manual for what a task may touch. desc NULL:
   all defaults. Never NULL: what could not be made is an executor whose status
   tells why, and cfut_executor_error in words: CFUT_INVALID (desc),
   CFUT_NO_MEMORY, CFUT_NO_THREADS (no process or thread could be started, or
   threads run already and cfut_process_main was not called), CFUT_CLOSED (the
   program is exiting), CFUT_UNSUPPORTED (Windows; CFUT_NO_PROCESS). Starts one
   helper process and one thread; workers start on demand. Any thread; blocks
   some milliseconds. The caller owns it until cfut_shutdown. */
CFUTDEF cfut_executor *cfut_process_pool(const cfut_process_pool_desc *desc);

/* To be called first in main: cfut_process_main(&argc, &argv). In a helper of a
   process pool, which is the same program executed again, it never returns;
   otherwise it notes that this program can be started so, and does nothing
   else (in a setuid program not even that); argc and argv stay as they are. One
   thread, once. Always good; a must where pools are made while threads run. */
CFUTDEF void cfut_process_main(int *argc, char ***argv);

/* Python's terminate_workers and kill_workers: cfut_close with
   CFUT_CANCEL_PENDING, then SIGTERM or SIGKILL to all workers of a process pool;
   what runs ends with CFUT_WORKER_DIED. cfut_shutdown is still due. CFUT_OK, also
   when there is none; CFUT_UNSUPPORTED for other executors, CFUT_FORKED,
   CFUT_INVALID (NULL). Any thread; does not wait. */
CFUTDEF int cfut_terminate_workers(cfut_executor *ex);
CFUTDEF int cfut_kill_workers(cfut_executor *ex);

/* ---- one future ---- */

/* Submits task to ex with f as its future; in and out (may be NULL if the task
   does not use them) must stay until f is done. f's former content does not
   matter, but it must not be pending. Returns f. Refused submits are futures
   already done with the reason: CFUT_CLOSED, CFUT_BROKEN, CFUT_FORKED,
   CFUT_NO_THREADS, CFUT_INVALID (ex or task is NULL), or what ex's creation
   said. f NULL: returns NULL. Any thread; does not block, but for the inline
   executor, which runs the task. */
CFUTDEF cfut_future *cfut_submit(cfut_executor *ex, cfut_future *f, const cfut_task *task,
                                 const void *in, void *out);

/* The same for a process pool, with a time limit of the task's own: limit ns after
   it has begun its worker is killed, and f ends with CFUT_TIME_LIMIT. 0 or less: as
   cfut_submit. Other executors, which cannot kill, refuse a limit:
   CFUT_UNSUPPORTED. */
CFUTDEF cfut_future *cfut_submit_within(cfut_executor *ex, cfut_future *f, const cfut_task *task,
                                        const void *in, void *out, cfut_ns limit);

/* Waits until f is done; returns its status. In a task it may run f itself,
   and may return CFUT_DEADLOCK (see the manual; f is then still pending).
   CFUT_INVALID for NULL, CFUT_INVALID_STATE for a zeroed future that was never
   submitted, CFUT_FORKED in a forked child for a task of the parent's. Any
   number of threads. */
CFUTDEF int cfut_result(cfut_future *f);

/* The same with a limit; 0 polls. CFUT_TIMEOUT leaves the future as it is; it
   never is a future's own status. */
CFUTDEF int cfut_result_timeout(cfut_future *f, cfut_ns timeout);

/* cfut_done: f is finished or cancelled. cfut_running: it has started and is not done.
   cfut_cancelled: it is cancelled. false for NULL and for a zeroed future. After a
   true cfut_done the memory is the caller's. Any thread; never block. */
CFUTDEF bool cfut_done(const cfut_future *f);
CFUTDEF bool cfut_running(const cfut_future *f);
CFUTDEF bool cfut_cancelled(const cfut_future *f);

/* true: the task will never run, f is done with CFUT_CANCELLED and the
   caller's again (its callbacks have run, here); also when it was cancelled
   before. false: it has started, or is done, NULL, zeroed, or a parent
   process's; a started task is asked to stop. Any thread; waits for nothing but
   another cancel of f that is under way. A future completed by hand stays its
   producer's until cfut_start. */
CFUTDEF bool cfut_cancel(cfut_future *f);

/* The text given to cfut_fail, or cfut_strerror of the status; while f is
   pending a text that says so. Never NULL; valid as long as f. Any thread. */
CFUTDEF const char *cfut_error(const cfut_future *f);

/* Calls fn(f, user) when f is done; at once, here, when it is done already.
   Callbacks run in the order of adding, each once; the same one may be added
   twice. CFUT_OK; CFUT_INVALID (f or fn NULL); CFUT_INVALID_STATE (zeroed);
   CFUT_NO_MEMORY, only beyond the first callback of a pending future; CFUT_FORKED.
   Any thread. */
CFUTDEF int cfut_on_done(cfut_future *f, cfut_done_fn fn, void *user);

/* enum of the five states, and FRESH for a zeroed future. */
enum cfut_state {
    CFUT_STATE_FRESH, CFUT_STATE_PENDING, CFUT_STATE_RUNNING, CFUT_STATE_CANCELLED,
    CFUT_STATE_CANCELLED_AND_NOTIFIED, CFUT_STATE_FINISHED
};

/* f's state at this moment. NULL: FRESH. Any thread; never blocks. */
CFUTDEF enum cfut_state cfut_future_state(const cfut_future *f);

/* One consistent view of a future. NULL: FRESH, the rest false. Any thread. */
typedef struct cfut_snapshot {
    enum cfut_state state;
    int status;                 /* CFUT_OK unless done is true */
    bool done, running, cancelled, stop_requested;
} cfut_snapshot;
CFUTDEF cfut_snapshot cfut_future_snapshot(const cfut_future *f);

/* Writes "<Future at 0x... square finished with 0 (success)>" or the like into
   buf (size bytes, always terminated if size > 0). Returns the full length,
   as snprintf. Any thread. */
CFUTDEF int cfut_future_describe(const cfut_future *f, char *buf, size_t size);

/* ---- futures completed by hand: bridges, tests, one's own executors ---- */

/* Makes f PENDING, without executor. Its producer calls cfut_start (optional)
   and cfut_finish. After a fork the child's copy is the child's to complete:
   its callbacks run there, too. NULL does nothing. */
CFUTDEF void cfut_future_init(cfut_future *f);

/* PENDING -> RUNNING: true, from now on cancel comes too late. CANCELLED ->
   CANCELLED_AND_NOTIFIED: false, wait and as_completed see it, and the producer
   must not touch f again. Anything else, and a future in the hands of a pool:
   false, nothing happens. One producer. */
CFUTDEF bool cfut_start(cfut_future *f);

/* Completes f with a status, from PENDING or RUNNING; runs callbacks, wakes
   waiters; f is then its owner's. A future that was submitted to an executor of
   one's own and has not started ends as cancelled with CFUT_CANCELLED.
   CFUT_OK; CFUT_INVALID_STATE when f is already final, cancelled, zeroed, in the
   hands of a pool, or run by cfut_run; CFUT_FORKED when an executor of the parent
   process has it; CFUT_INVALID for NULL. CFUT_TIMEOUT as status becomes
   ETIMEDOUT. Any thread. */
CFUTDEF int cfut_finish(cfut_future *f, int status);

/* For executors: starts, calls and finishes one future that was handed to
   submit, in this thread. Call it with no lock of your own held. f is its
   owner's again before it returns. */
CFUTDEF void cfut_run(cfut_future *f);

/* ---- many futures, of any executors mixed ---- */

enum { CFUT_ALL_COMPLETED = 0, CFUT_FIRST_COMPLETED = 1, CFUT_FIRST_ERROR = 2 };

/* Waits for fs[0..n) until all are done, the first is, or the first has failed
   (status not 0; cancelled is no failure; without one as ALL_COMPLETED), or
   timeout. Partitions fs in place: fs[0..k) are done, first those done before
   the call, then in the order of completion; fs[k..n) are not. Duplicates stay
   and count. Returns k, also on timeout; n 0: 0 at once. Below 0 is an error (fs may
   be permuted then): CFUT_INVALID (fs or an entry NULL, unknown when),
   CFUT_INVALID_STATE (an entry was never submitted), CFUT_NO_MEMORY (a second
   waiter on the same futures only), CFUT_DEADLOCK, CFUT_FORKED. Any thread. */
CFUTDEF ptrdiff_t cfut_wait(cfut_future **fs, size_t n, int when, cfut_ns timeout);

/* Private: one call that waits for futures. */
typedef struct cfuti_collector {
    uint32_t lock;              /* guards all of it; taken after a future's lock bit */
    uint32_t word;              /* 1 while its owner sleeps */
    int kind, when;
    uint32_t generation;        /* of forks */
    int status;
    uint32_t arriving;          /* taken from a future, not yet published */
    size_t want;                /* arrivals until its owner should wake */
    size_t done, pending;
    cfut_future **fs;
    void *block;                /* links outside of the futures */
    size_t *at;                 /* which of them belongs to which entry of fs */
    cfuti_link untried, tried;  /* iterator: rings of what is pending */
    uintptr_t ready, ready_last;/* iterator: what is done, oldest first */
    cfut_future *target;        /* followed by deadlock detection */
    void *thread;               /* who follows */
    bool must;                  /* cannot be left before it is ready */
    int cpu;                    /* that its owner went to sleep on */
    bool shares_cpu;            /* with whoever woke it */
} cfuti_collector;

/* Iterates over futures as they complete. On the caller's stack; not to be
   copied while in use. */
typedef struct cfut_iter {
    /* read-only */
    int status;                 /* why cfut_next returned NULL: CFUT_OK, all seen;
                                   CFUT_END, ended early by cfut_iter_end */
    size_t unfinished;          /* futures that it has not yielded yet */
    size_t total;               /* distinct futures that it was begun with */
    /* private */
    cfut_ns deadline;
    uintptr_t mine;             /* what is done and taken from c, oldest first */
    cfuti_collector c;
} cfut_iter;

/* Begins to iterate over fs[0..n); those already done come first. timeout
   counts from this call. fs is not needed afterwards, the futures are: each
   until it has been yielded, or cfut_iter_end. Returns it->status: CFUT_OK, or
   CFUT_INVALID (it or an entry NULL), CFUT_INVALID_STATE, CFUT_NO_MEMORY (a
   second waiter only), CFUT_FORKED: then cfut_next returns NULL. Does not
   block. */
CFUTDEF int cfut_as_completed(cfut_iter *it, cfut_future **fs, size_t n, cfut_ns timeout);

/* The next future that is done, each once; blocks for it. NULL: all seen, or
   it->status says why not: CFUT_TIMEOUT (what is done is still yielded first;
   it->unfinished of it->total remain), CFUT_DEADLOCK, CFUT_FORKED. The iterator
   has then ended. */
CFUTDEF cfut_future *cfut_next(cfut_iter *it);

/* Ends an iteration early; the futures go on and are no longer watched.
   Always allowed, also twice and after the last cfut_next. */
CFUTDEF void cfut_iter_end(cfut_iter *it);

/* Makes the memory of fs[0..n) the caller's: cancels what waits, asks what runs
   to stop, waits for all. A future completed by hand is awaited, too, until its
   producer has finished it or seen by cfut_start that it is cancelled. Skipped
   are NULL entries, zeroed ones, in a forked child those of the parent, and
   futures of tasks that the caller itself is in. fs NULL: nothing. Order is kept.
   Blocks until the running ones return; there is no timeout. An iterator over them
   must be ended before. Any thread. In a
   callback of a process pool's task other callbacks may run meanwhile. */
CFUTDEF void cfut_reclaim(cfut_future **fs, size_t n);

/* ---- map ---- */

/* Zero in a field means the default. */
typedef struct cfut_map_desc {
    size_t chunksize;       /* a worker takes so many items at a time, or, if they are
                               short, a multiple; 0: chosen */
    cfut_ns timeout;        /* of the whole; 0 or less: none */
    int *status;            /* NULL, or n statuses, one per item */
    bool caller_runs;       /* the calling thread takes part, too, if it is no worker
                               (not with a process pool). All workers, at most 1023,
                               are asked at once then, and what has begun is not cut by a
                               close with CFUT_CANCEL_PENDING */
} cfut_map_desc;

/* Runs task on n items: in and out are arrays of task->in_size and out_size
   bytes an item (out NULL if out_size is 0). Blocks until all are done; goes on
   after a failure; returns the first failure in index order, or CFUT_OK. On
   timeout what has not started is cancelled (status CFUT_CANCELLED), what runs
   is asked to stop and waited for, and CFUT_TIMEOUT is returned (also when all
   items have run, but not in time). CFUT_INVALID: ex or task NULL, or an array
   that is needed, or sizes beyond the address space. A refused submit: that
   status for all items. An executor closed with CFUT_CANCEL_PENDING meanwhile:
   CFUT_CANCELLED or CFUT_CLOSED for what has not started (of short items up to 1024
   may be started at once, or half of a worker's part). CFUT_BROKEN for that if an
   initializer fails meanwhile. CFUT_DEADLOCK for all
   items: in a task that another waits for, and whose worker they need; or in a
   callback of a process pool on that pool. CFUT_FORKED: an item or a callback has
   forked, this is the child, and others had items; what has run is not told then. An
   item's text is not kept. n 0: CFUT_OK. Any thread; a worker takes part. desc NULL:
   all defaults. */
CFUTDEF int cfut_map(cfut_executor *ex, const cfut_task *task, const void *in, void *out, size_t n,
                     const cfut_map_desc *desc);

/* Private: the same for fn_map. */
CFUTDEF int cfuti_map_typed(cfut_executor *ex, const cfuti_typed *typed, const void *in, void *out,
                            size_t n, const cfut_map_desc *desc);

/* ---- stream: the lazily fed map ---- */

/* Writes the next input to in (task->in_size bytes). CFUT_OK; CFUT_END: there
   are no more; another status ends the input too and is returned once by
   cfut_stream_next after the last item. Called in the thread that calls
   cfut_stream_open and cfut_stream_next. */
typedef int (*cfut_pull_fn)(void *user, void *in);

/* Zero in a field means the default. */
typedef struct cfut_stream_desc {
    int buffersize;         /* items submitted and not yet yielded, at most;
                               0: twice max_workers; negative: CFUT_INVALID */
    bool as_completed;      /* yield in order of completion, not of input */
    bool drain;             /* close lets what was submitted run; else cancels it */
} cfut_stream_desc;

/* Pulls buffersize items and submits them; each cfut_stream_next yields one and
   pulls one. Constant memory, endless input welcome. One allocation, here.
   Never NULL: a stream that could not be made answers each cfut_stream_next with
   the reason (CFUT_NO_MEMORY, CFUT_INVALID), and one whose executor refuses tasks
   yields that as the status of each item (CFUT_CLOSED and so on): stop at the former
   as at CFUT_END, and with endless input at these, too. One thread at a time. desc
   NULL: all defaults. */
CFUTDEF cfut_stream *cfut_stream_open(cfut_executor *ex, const cfut_task *task, cfut_pull_fn pull,
                                      void *user, const cfut_stream_desc *desc);

/* Waits for the next item and copies its result to out (out_size bytes; NULL:
   dropped). Returns the item's status (out is written only for CFUT_OK; the
   stream goes on after a failure); CFUT_END after the last one, each time. No
   item was yielded with CFUT_TIMEOUT (call again), with CFUT_DEADLOCK from the
   wait, and with CFUT_FORKED in a forked child. NULL stream: CFUT_INVALID. */
CFUTDEF int cfut_stream_next(cfut_stream *s, void *out);
CFUTDEF int cfut_stream_next_timeout(cfut_stream *s, void *out, cfut_ns timeout);

/* Of the item yielded last: its index in the input, and its error text, valid
   until the next call for s. After the input's end: how many items there were, and
   the text of how it ended. NULL and before the first: 0, and a text all the same. */
CFUTDEF size_t cfut_stream_index(const cfut_stream *s);
CFUTDEF const char *cfut_stream_error(const cfut_stream *s);

/* Cancels what has not started and asks what runs to stop (or drains), waits for
   it, frees. NULL does nothing. Callbacks: as cfut_reclaim. */
CFUTDEF void cfut_stream_close(cfut_stream *s);

/* ---- inside a task ---- */

/* Keeps a printf text (cut at 55 bytes) for the running task's future and
   returns code: return cfut_fail(errno, "cannot open %s", path); the text
   counts if code becomes the status. code 0 returns CFUT_FAILED: a failure
   stays one. Outside a task it only returns the code. */
CFUTDEF int cfut_fail(int code, const char *fmt, ...) CFUTI_PRINTF(2, 3);

/* Whether the running task was asked to stop (cfut_cancel, cfut_reclaim, a
   map's timeout; in a map's item also when the task that called the map was).
   false outside a task. */
CFUTDEF bool cfut_stop_requested(void);

/* The executor running this task (NULL in a process pool's worker) and its
   future; NULL outside a task. In a map's item the future is one of the map's own,
   and the executor that of the task which the map's caller is in, if that runs it. */
CFUTDEF cfut_executor *cfut_current(void);
CFUTDEF cfut_future *cfut_current_future(void);

/* The full name of this worker thread, as "ThreadPoolExecutor-0_1"; NULL if it
   is none. Valid as long as the thread. (The system keeps only 15 bytes.) */
CFUTDEF const char *cfut_worker_name(void);

/* ---- timeline ---- */

/* From now on, what runs where and when is recorded: tasks on threads and in worker
   processes, submits and which task each became, waits, steals, the number of queued
   tasks. cfut_trace(NULL) ends that and writes the file, as does exit(): JSON that
   chrome://tracing and https://ui.perfetto.dev open. To be called before the first
   pool is made, else forks in its tasks are not seen. Without a call the environment
   does the same: CFUT_TRACE=path, looked at when the first pool is made.
   CFUT_OK; CFUT_UNSUPPORTED if the implementation was compiled without CFUT_TRACE;
   CFUT_INVALID_STATE: one goes on already, or NULL and none does; CFUT_NO_MEMORY;
   else an errno code: path cannot be written. Any thread; blocks for the file. */
CFUTDEF int cfut_trace(const char *path);

/* ---- strictly nested fork and join, inside tasks: the fast path ---- */

/* Forks a task into f: it runs in another worker or at the join. Only the
   forker joins, last forked first, before it returns; nobody else waits for f,
   cancels it or adds callbacks. Outside a worker, or if the pool takes nothing
   more, it runs at the join. f must not be NULL: nothing is looked at here. */
CFUTDEF void cfut_fork(cfut_future *f, const cfut_task *task, const void *in, void *out);

/* Runs f if nobody did, else waits for it, and meanwhile runs what f's task has
   forked, on this stack; the task's status, or CFUT_CANCELLED if the pool was
   closed with CFUT_CANCEL_PENDING. Never CFUT_DEADLOCK: if this wait would close
   a circle, another wait in the circle gets that answer. CFUT_FORKED in a forked
   child; NULL: CFUT_INVALID. */
CFUTDEF int cfut_join(cfut_future *f);

#if CFUTI_INLINE

/* Private: what the inlined fork and join of CFUT_TASK touch. How they do is told
   in >>fork-join. */

#define CFUTI_BARE 0x8000u              /* in a state: some fields are not written yet */

typedef struct cfuti_deque {        /* of one worker */
    size_t bot;                     /* written by the owner; see >>queue */
    size_t lim;
    size_t room;
    uintptr_t *ring;
    size_t mask;
    const uint32_t *hint;           /* the pool's */
} cfuti_deque;

typedef struct cfuti_place {        /* one of each thread */
    uintptr_t top;                  /* the innermost task; see >>thread */
    cfuti_deque *deque;
} cfuti_place;

/* In a shared library no call, where its static block is known to have room. */
#if defined(__GLIBC__) && defined(__PIC__) && !defined(__PIE__)
#define CFUTI_THREAD __thread __attribute__((tls_model("initial-exec")))
#else
#define CFUTI_THREAD __thread
#endif

/* Of a thread that is no worker: always beyond room, at indices that no future has. */
#define CFUTI_NO_DEQUE { (size_t)1 << 62, 0, 0, &cfuti_no_ring, 0, &cfuti_no_hint }
#ifdef CFUT_STATIC
CFUTI_UNUSED static uintptr_t cfuti_no_ring;
CFUTI_UNUSED static uint32_t cfuti_no_hint;
CFUTI_UNUSED static cfuti_deque cfuti_no_deque = CFUTI_NO_DEQUE;
CFUTI_UNUSED static CFUTI_THREAD cfuti_place cfuti_here = { 0, &cfuti_no_deque };
#else
extern CFUTI_THREAD cfuti_place cfuti_here;
#endif
#ifndef cfuti_place_here            /* a test may keep it elsewhere */
#define cfuti_place_here() (&cfuti_here)
#endif

#ifndef CFUTI_ATOMICS               /* see >>atomics */
#define cfuti_load_relaxed(p)        __atomic_load_n(p, __ATOMIC_RELAXED)
#define cfuti_store_relaxed(p, v)    __atomic_store_n(p, v, __ATOMIC_RELAXED)
#define cfuti_store_release(p, v)    __atomic_store_n(p, v, __ATOMIC_RELEASE)
#endif

/* Not inlined where the implementation is in sight: they would cost the caller
   registers. */
#define CFUTI_COLD __attribute__((noinline, cold))
CFUTI_COLD CFUTDEF bool cfuti_fork_slow(cfut_future *f);
CFUTI_COLD CFUTDEF bool cfuti_join_shared(cfut_future *f);
CFUTI_COLD CFUTDEF int cfuti_join_failed(cfut_future *f, int status);

/* task: of a cfuti_typed. false: not forked, cfut_fork may. */
CFUTI_UNUSED static inline bool cfuti_fork(cfut_future *f, const cfut_task *task)
{
    cfuti_deque *d = cfuti_place_here()->deque;
    size_t b = cfuti_load_relaxed(&d->bot);     /* relaxed: its own, if it is a worker's */

    f->task = task;
    f->state = CFUTI_BARE | CFUT_STATE_PENDING;
    f->next = (cfut_future *)cfuti_place_here()->top;
    f->slot = b;
    cfuti_store_relaxed(&d->ring[b & d->mask], (uintptr_t)f);   /* relaxed: bot carries it */
    cfuti_store_release(&d->bot, b + 1);    /* release: f; to thieves. P1 */
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (__builtin_expect(cfuti_load_relaxed(d->hint) != 0, 0)) return cfuti_fork_slow(f);   /* P2 */
    return __builtin_expect(b + 1 < d->room, 1) || cfuti_fork_slow(f);
}

/* true: f is the caller's to call, and then to end. */
CFUTI_UNUSED static inline bool cfuti_join_begin(cfut_future *f)
{
    cfuti_deque *d = cfuti_place_here()->deque;
    size_t b;

    if (!f) return false;
    b = cfuti_load_relaxed(&f->slot);       /* relaxed: a thief's is no index */
    if (__builtin_expect(cfuti_load_relaxed(&d->bot) != b + 1, 0)) return false;
    cfuti_store_release(&d->bot, b);                                    /* O1 */
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (__builtin_expect((ptrdiff_t)(b - cfuti_load_relaxed(&d->lim)) < 0, 0))  /* O2 */
        return cfuti_join_shared(f);
    cfuti_place_here()->top = (uintptr_t)f | 1;
    return true;
}

CFUTI_UNUSED static inline int cfuti_join_end(cfut_future *f, int status)
{
    cfuti_place_here()->top = (uintptr_t)f->next;
    if (__builtin_expect(status != CFUT_OK, 0)) return cfuti_join_failed(f, status);
    f->status = CFUT_OK;
    f->state = CFUT_STATE_FINISHED;
    return CFUT_OK;
}
#else
#define CFUTI_BARE 0u
#endif

/* ---- futures on the heap ---- */

/* For CFUT_TASK: allocates size bytes, copies in_size bytes to in_at, submits
   with out at out_at (0: no out). NULL: out of memory. A refused submit is a
   future like any other, to be released. */
CFUTDEF cfut_future *cfut_spawn(cfut_executor *ex, const cfut_task *task, const void *in,
                                size_t size, size_t in_at, size_t out_at);

/* Frees a spawned future, now or when it is done; a pending one runs all the
   same. Allowed in its callback. Nobody may use it afterwards. NULL does
   nothing. */
CFUTDEF void cfut_release(cfut_future *f);

#ifdef __cplusplus
}
#endif

/* ---- CFUT_TASK: typed calls for one task ---- */

/* CFUT_TASK(fn, In, Out); for int fn(const In *in, Out *out) makes

   fn_future                       struct { cfut_future base; In in; Out out; }
   fn_task                         static const cfut_task
   fn_submit(ex, &f, in)           cfut_submit with in copied into f; &f.base
   fn_submit_within(ex, &f, in, ns)
   fn_result(&f), fn_result_timeout(&f, ns)
   fn_map(ex, xs, ys, n), fn_map_with(ex, xs, ys, n, &desc)
                                   arrays of n
   fn_of(future *)                 the fn_future that it is the base of
   fn_spawn(ex, in), fn_release(f) on the heap
   fn_fork(&f, in), fn_join(&f)

   CFUT_ACTION(fn, In); for int fn(const In *in): the same without out;
   fn_map(ex, xs, n), fn_map_with(ex, xs, n, &desc).
   In and Out are types that can be assigned (no arrays; wrap them). For a pointer
   type In the function's parameter is In const *, as in char *const *in. */
#define CFUT_TASK(fn_, In, Out) \
    typedef struct fn_##_future { cfut_future base; In in; Out out; } fn_##_future; \
    CFUTI_UNUSED static int fn_##_thunk(const void *cfut_in, void *cfut_out) \
    { return fn_((In const *)cfut_in, (Out *)cfut_out); } \
    CFUTI_BATCH(fn_, fn_((In const *)cfut_in + cfut_i, (Out *)cfut_out + cfut_i)) \
    CFUTI_UNUSED static const cfut_task fn_##_task = \
        { fn_##_thunk, #fn_, sizeof(In), sizeof(Out) }; \
    CFUTI_UNUSED static const cfuti_typed fn_##_typed = \
        { { fn_##_thunk, #fn_, sizeof(In), sizeof(Out) }, \
          offsetof(fn_##_future, in), offsetof(fn_##_future, out), fn_##_batch }; \
    CFUTI_UNUSED static inline cfut_future *fn_##_submit( \
        cfut_executor *cfut_ex, fn_##_future *cfut_f, In cfut_in) \
    { \
        if (!cfut_f) return NULL; \
        cfut_f->in = cfut_in; \
        return cfut_submit(cfut_ex, &cfut_f->base, &fn_##_task, &cfut_f->in, &cfut_f->out); \
    } \
    CFUTI_UNUSED static inline cfut_future *fn_##_submit_within( \
        cfut_executor *cfut_ex, fn_##_future *cfut_f, In cfut_in, cfut_ns cfut_limit) \
    { \
        if (!cfut_f) return NULL; \
        cfut_f->in = cfut_in; \
        return cfut_submit_within(cfut_ex, &cfut_f->base, &fn_##_task, &cfut_f->in, &cfut_f->out, \
                                  cfut_limit); \
    } \
    CFUTI_UNUSED static inline int fn_##_map_with( \
        cfut_executor *cfut_ex, In const *cfut_in, Out *cfut_out, size_t cfut_n, \
        const cfut_map_desc *cfut_desc) \
    { return cfuti_map_typed(cfut_ex, &fn_##_typed, cfut_in, cfut_out, cfut_n, cfut_desc); } \
    CFUTI_UNUSED static inline int fn_##_map( \
        cfut_executor *cfut_ex, In const *cfut_in, Out *cfut_out, size_t cfut_n) \
    { return cfuti_map_typed(cfut_ex, &fn_##_typed, cfut_in, cfut_out, cfut_n, NULL); } \
    CFUTI_UNUSED static inline fn_##_future *fn_##_spawn(cfut_executor *cfut_ex, In cfut_in) \
    { \
        return (fn_##_future *)(void *)cfut_spawn(cfut_ex, &fn_##_task, &cfut_in, \
            sizeof(fn_##_future), offsetof(fn_##_future, in), offsetof(fn_##_future, out)); \
    } \
    CFUTI_FORK(fn_, In, &cfut_f->out) \
    CFUTI_JOIN(fn_, fn_(&cfut_f->in, &cfut_f->out)) \
    CFUTI_COMMON(fn_)

#define CFUT_ACTION(fn_, In) \
    typedef struct fn_##_future { cfut_future base; In in; } fn_##_future; \
    CFUTI_UNUSED static int fn_##_thunk(const void *cfut_in, void *cfut_out) \
    { (void)cfut_out; return fn_((In const *)cfut_in); } \
    CFUTI_BATCH(fn_, ((void)cfut_out, fn_((In const *)cfut_in + cfut_i))) \
    CFUTI_UNUSED static const cfut_task fn_##_task = { fn_##_thunk, #fn_, sizeof(In), 0 }; \
    CFUTI_UNUSED static const cfuti_typed fn_##_typed = \
        { { fn_##_thunk, #fn_, sizeof(In), 0 }, offsetof(fn_##_future, in), 0, fn_##_batch }; \
    CFUTI_UNUSED static inline cfut_future *fn_##_submit( \
        cfut_executor *cfut_ex, fn_##_future *cfut_f, In cfut_in) \
    { \
        if (!cfut_f) return NULL; \
        cfut_f->in = cfut_in; \
        return cfut_submit(cfut_ex, &cfut_f->base, &fn_##_task, &cfut_f->in, NULL); \
    } \
    CFUTI_UNUSED static inline cfut_future *fn_##_submit_within( \
        cfut_executor *cfut_ex, fn_##_future *cfut_f, In cfut_in, cfut_ns cfut_limit) \
    { \
        if (!cfut_f) return NULL; \
        cfut_f->in = cfut_in; \
        return cfut_submit_within(cfut_ex, &cfut_f->base, &fn_##_task, &cfut_f->in, NULL, \
                                  cfut_limit); \
    } \
    CFUTI_UNUSED static inline int fn_##_map_with( \
        cfut_executor *cfut_ex, In const *cfut_in, size_t cfut_n, const cfut_map_desc *cfut_desc) \
    { return cfuti_map_typed(cfut_ex, &fn_##_typed, cfut_in, NULL, cfut_n, cfut_desc); } \
    CFUTI_UNUSED static inline int fn_##_map( \
        cfut_executor *cfut_ex, In const *cfut_in, size_t cfut_n) \
    { return cfuti_map_typed(cfut_ex, &fn_##_typed, cfut_in, NULL, cfut_n, NULL); } \
    CFUTI_UNUSED static inline fn_##_future *fn_##_spawn(cfut_executor *cfut_ex, In cfut_in) \
    { \
        return (fn_##_future *)(void *)cfut_spawn(cfut_ex, &fn_##_task, &cfut_in, \
            sizeof(fn_##_future), offsetof(fn_##_future, in), 0); \
    } \
    CFUTI_FORK(fn_, In, NULL) \
    CFUTI_JOIN(fn_, fn_(&cfut_f->in)) \
    CFUTI_COMMON(fn_)

/* Private: the batch of a map. */
#define CFUTI_BATCH(fn_, call_) \
    CFUTI_UNUSED static size_t fn_##_batch(const void *cfut_in, void *cfut_out, size_t cfut_n, \
                                           size_t *cfut_at, int *cfut_status) \
    { \
        const size_t cfut_from = *cfut_at; \
        size_t cfut_i = 0; \
        int cfut_s = CFUT_OK; \
        while (cfut_i < cfut_n && cfut_s == CFUT_OK) { \
            *cfut_at = cfut_from + cfut_i + 1; \
            cfut_s = call_; \
            cfut_i++; \
        } \
        *cfut_status = cfut_s; \
        return cfut_i; \
    }

/* Private: inlined where possible. A join in C++ is a call, as an exception of
   the task is then handled as if the task had been stolen. */
#if CFUTI_INLINE
#define CFUTI_FORK(fn_, In, out_) \
    CFUTI_UNUSED static inline void fn_##_fork(fn_##_future *cfut_f, In cfut_in) \
    { \
        cfut_f->in = cfut_in; \
        if (!cfuti_fork(&cfut_f->base, &fn_##_typed.task)) \
            cfut_fork(&cfut_f->base, &fn_##_task, &cfut_f->in, out_); \
    }
#else
#define CFUTI_FORK(fn_, In, out_) \
    CFUTI_UNUSED static inline void fn_##_fork(fn_##_future *cfut_f, In cfut_in) \
    { cfut_f->in = cfut_in; cfut_fork(&cfut_f->base, &fn_##_task, &cfut_f->in, out_); }
#endif
#if CFUTI_INLINE && !defined(__cplusplus)
#define CFUTI_JOIN(fn_, call_) \
    CFUTI_UNUSED static inline int fn_##_join(fn_##_future *cfut_f) \
    { \
        cfut_future *cfut_b = cfut_f ? &cfut_f->base : NULL; \
        if (!cfuti_join_begin(cfut_b)) return cfut_join(cfut_b); \
        return cfuti_join_end(&cfut_f->base, call_); \
    }
#else
#define CFUTI_JOIN(fn_, call_) \
    CFUTI_UNUSED static inline int fn_##_join(fn_##_future *cfut_f) \
    { return cfut_join(cfut_f ? &cfut_f->base : NULL); }
#endif

/* Private: what both have; its last line takes the semicolon. */
#define CFUTI_COMMON(fn_) \
    CFUTI_UNUSED static inline int fn_##_result(fn_##_future *cfut_f) \
    { return cfut_result(cfut_f ? &cfut_f->base : NULL); } \
    CFUTI_UNUSED static inline int fn_##_result_timeout(fn_##_future *cfut_f, cfut_ns cfut_t) \
    { return cfut_result_timeout(cfut_f ? &cfut_f->base : NULL, cfut_t); } \
    CFUTI_UNUSED static inline fn_##_future *fn_##_of(cfut_future *cfut_f) \
    { return (fn_##_future *)(void *)cfut_f; } \
    CFUTI_UNUSED static inline void fn_##_release(fn_##_future *cfut_f) \
    { cfut_release(cfut_f ? &cfut_f->base : NULL); } \
    struct cfuti_takes_the_semicolon

#ifdef __cplusplus
/* C++ has no &(desc){...}: the same calls with a reference. */
static inline cfut_executor *cfut_thread_pool(const cfut_thread_pool_desc &desc)
{ return cfut_thread_pool(&desc); }
static inline cfut_executor *cfut_process_pool(const cfut_process_pool_desc &desc)
{ return cfut_process_pool(&desc); }
static inline int cfut_map(cfut_executor *ex, const cfut_task *task, const void *in, void *out,
                           size_t n, const cfut_map_desc &desc)
{ return cfut_map(ex, task, in, out, n, &desc); }
static inline cfut_stream *cfut_stream_open(cfut_executor *ex, const cfut_task *task,
                                            cfut_pull_fn pull, void *user,
                                            const cfut_stream_desc &desc)
{ return cfut_stream_open(ex, task, pull, user, &desc); }
#endif

#endif /* CFUT_H */

#ifdef CFUT_IMPLEMENTATION
#ifndef CFUTI_IMPLEMENTED
#define CFUTI_IMPLEMENTED

/*=========================================================================
    >>config   platform as 0/1 macros, tunable numbers
=========================================================================*/

#if defined(_WIN32)
#define CFUTI_WINDOWS 1
#define CFUTI_LINUX 0
#define CFUTI_MACOS 0
#elif defined(__linux__)
#define CFUTI_WINDOWS 0
#define CFUTI_LINUX 1
#define CFUTI_MACOS 0
#elif defined(__APPLE__)
#define CFUTI_WINDOWS 0
#define CFUTI_LINUX 0
#define CFUTI_MACOS 1
#elif defined(__unix__)
#define CFUTI_WINDOWS 0
#define CFUTI_LINUX 0
#define CFUTI_MACOS 0
#else
#error "cfut: unknown platform. Define __unix__ if it has POSIX threads."
#endif
#define CFUTI_POSIX (!CFUTI_WINDOWS)

#if CFUTI_LINUX && !defined(CFUT_NO_FUTEX)
#define CFUTI_FUTEX 1
#else
#define CFUTI_FUTEX 0
#endif

/* Not with ThreadSanitizer, which does not see that barrier. */
#if !CFUTI_LINUX || defined(CFUT_NO_MEMBARRIER) || defined(__SANITIZE_THREAD__)
#define CFUTI_MEMBARRIER 0
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CFUTI_MEMBARRIER 0
#endif
#endif
#ifndef CFUTI_MEMBARRIER
#define CFUTI_MEMBARRIER 1
#endif

#if CFUTI_POSIX && !defined(CFUT_NO_PROCESS)
#define CFUTI_PROCESS 1
#else
#define CFUTI_PROCESS 0
#endif

#if !defined(__GNUC__) && !defined(__clang__)
#error "cfut: the implementation needs gcc or clang (on Windows: mingw-w64 or clang)."
#endif

#if defined(CFUT_MALLOC) != defined(CFUT_FREE)
#error "cfut: define CFUT_MALLOC and CFUT_FREE both or none."
#endif

#ifndef CFUT_TRACE_EVENTS
#define CFUT_TRACE_EVENTS (1 << 20)
#endif

#ifndef CFUT_SPIN_NS
#define CFUT_SPIN_NS 20000          /* the cost of about one sleep and wake-up */
#endif

#ifndef CFUT_ASSERT
#define CFUT_ASSERT(x) ((void)0)
#endif

/* What a caller must see to; if it is not so, he gets a status, and is told before. */
#define CFUTI_VALID(x) (CFUTI_LIKELY(x) || (CFUT_ASSERT(x), false))

#ifndef CFUTI_TUNED                 /* a test may define them all itself */
enum {
    CFUTI_CACHE_LINE = 64,
    CFUTI_MAX_WORKERS = 65536,
    CFUTI_RING_MAX = 1024,          /* slots of a worker's deque, in small pools */
    CFUTI_RING_MIN = 64,            /* and in very large ones */
    CFUTI_INBOX = sizeof(void *) > 4 ? 1 << 20 : 1 << 16,   /* slots of a pool's inbox:
                                       address space, memory only as far as it fills, */
    CFUTI_INBOX_STEP = 512,         /* so many at a time; */
    CFUTI_LEISURE_NS = 200,         /* tasks that come less often are no stream */
    CFUTI_HELPS = 16,               /* joins that help, one within the other */
    CFUTI_MAP_HELPS = 2,            /* the same in maps */
    CFUTI_HELP_DEPTH = 64,          /* how far a fork may be above what is joined */
    CFUTI_WAITS = 7,                /* the first look is after 2^7 pauses at most */
    CFUTI_AHEAD = 8,                /* how many futures ahead they are prefetched */
    CFUTI_CHUNK = 256,              /* most tasks that a worker claims at once */
    CFUTI_GATHER = 64,              /* tasks that are worth a claim, while they pour in */
    CFUTI_CROWD = 2,                /* workers that keep up with tiny tasks from outside, */
    CFUTI_BACKLOG = 256,            /* unless so many wait */
    CFUTI_FAIRNESS = 61,            /* every 61st pick looks outside first; prime,
                                       so as not to beat in time with a program */
    CFUTI_GRAVES = 256              /* ended pools whose handles still answer */
};
#endif

/*=========================================================================
    >>compiler   attributes, thread-local storage, system headers
=========================================================================*/

#ifdef __cplusplus
#define CFUTI_TLS thread_local
#define CFUTI_STATIC_ASSERT(x, text) static_assert(x, text)
#else
#define CFUTI_TLS _Thread_local
#define CFUTI_STATIC_ASSERT(x, text) _Static_assert(x, text)
#endif

#if defined(__SANITIZE_ADDRESS__)
#define CFUTI_HAS_ASAN 1
#elif defined(__has_feature)
#define CFUTI_HAS_ASAN __has_feature(address_sanitizer)
#else
#define CFUTI_HAS_ASAN 0
#endif

/* Bytes of stack that a few frames need: more without an optimizer, or under a sanitizer. */
#if defined(__OPTIMIZE__) && !CFUTI_HAS_ASAN && !defined(__SANITIZE_THREAD__)
enum { CFUTI_PAD = 1024 };
#else
enum { CFUTI_PAD = 4096 };
#endif

#define CFUTI_NOINLINE __attribute__((noinline))
#define CFUTI_RARE __attribute__((noinline, cold))  /* compiled for size, kept apart */
#define CFUTI_LIKELY(x) __builtin_expect(!!(x), 1)
#define CFUTI_UNLIKELY(x) __builtin_expect(!!(x), 0)

/* The struct that has the member at p. */
#define CFUTI_OUTER(type, member, p) ((type *)(void *)((char *)(p) - offsetof(type, member)))

#include <errno.h>                  /* ETIMEDOUT */
#include <stdarg.h>                 /* cfut_fail */
#include <stdio.h>                  /* vsnprintf */
#include <stdlib.h>                 /* malloc, free, atexit */
#include <string.h>                 /* memcpy, memset */

#if defined(__cplusplus) && defined(__cpp_exceptions)
#define CFUTI_EXCEPTIONS 1
#include <exception>
#if defined(__GLIBCXX__)
#include <cxxabi.h>                 /* pthread_exit unwinds as an exception */
#endif
#else
#define CFUTI_EXCEPTIONS 0
#endif

#if CFUTI_WINDOWS
#if defined(_WIN32_WINNT) && _WIN32_WINNT < 0x0602
#error "cfut: WaitOnAddress needs Windows 8; define _WIN32_WINNT as 0x0602 or more."
#endif
#ifndef _WIN32_WINNT
#define _WIN32_WINNT 0x0602
#endif
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <windows.h>
#include <process.h>                /* _beginthreadex */
#else
#include <fcntl.h>                  /* cgroup files */
#include <pthread.h>
#include <sched.h>                  /* sched_yield */
#include <signal.h>                 /* workers block signals */
#include <sys/mman.h>               /* the inbox */
#include <time.h>                   /* clock_gettime, nanosleep */
#include <unistd.h>                 /* sysconf, read, syscall */
#if CFUTI_LINUX
#include <sys/prctl.h>              /* thread names */
#include <sys/syscall.h>
#if defined(__GLIBC__) && !defined(__USE_MISC)
#error "cfut: with -std=c11 include cfut.h before all system headers where it is implemented."
#endif
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/*=========================================================================
    >>atomics   every atomic operation; the name says the order
=========================================================================*/

/* On plain integers and pointers, so that public structs stay plain (C++ has
   no _Atomic). A test that controls scheduling defines CFUTI_ATOMICS and all
   of these itself.

   The comments at the uses name what travels: a release says which acquire
   reads it; a relaxed one why nothing travels; a seq_cst one names its
   store-then-load pair. There is no stand-alone fence: ThreadSanitizer does
   not model them. */
#ifndef CFUTI_ATOMICS
#if !CFUTI_INLINE                   /* else they stand in the declarations already */
#define cfuti_load_relaxed(p)        __atomic_load_n(p, __ATOMIC_RELAXED)
#define cfuti_store_relaxed(p, v)    __atomic_store_n(p, v, __ATOMIC_RELAXED)
#define cfuti_store_release(p, v)    __atomic_store_n(p, v, __ATOMIC_RELEASE)
#endif
#define cfuti_load_acquire(p)        __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define cfuti_load_seq_cst(p)        __atomic_load_n(p, __ATOMIC_SEQ_CST)
#define cfuti_exchange_acquire(p, v) __atomic_exchange_n(p, v, __ATOMIC_ACQUIRE)
#define cfuti_exchange_seq_cst(p, v) __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST)
#define cfuti_add_relaxed(p, v)      __atomic_fetch_add(p, v, __ATOMIC_RELAXED)
#define cfuti_add_release(p, v)      __atomic_fetch_add(p, v, __ATOMIC_RELEASE)
#define cfuti_add_seq_cst(p, v)      __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST)
#define cfuti_and_release(p, v)      __atomic_fetch_and(p, v, __ATOMIC_RELEASE)
#define cfuti_cas_acquire(p, e, v) \
    __atomic_compare_exchange_n(p, e, v, 0, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)
#define cfuti_cas_acq_rel(p, e, v) \
    __atomic_compare_exchange_n(p, e, v, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)
#endif

/* A store and a later load by one thread, ordered against a store, cfuti_heavy
   and a load by another. Where the system has a barrier for all threads of the
   process, the light side is free (Dice, Huang, Yang, "Asymmetric Dekker
   Synchronization", 2001); else, and for ThreadSanitizer, both are seq_cst. */
static bool cfuti_asymmetric;       /* set before the first pool's threads start */

#define cfuti_store_light(p, v) \
    (CFUTI_LIKELY(cfuti_asymmetric) ? (cfuti_store_release(p, v), \
                                       __atomic_signal_fence(__ATOMIC_SEQ_CST)) \
                                    : (void)cfuti_exchange_seq_cst(p, v))
#define cfuti_load_light(p) cfuti_load_seq_cst(p)

/*=========================================================================
    >>os-posix   threads, clock, sleeping on a word: POSIX
=========================================================================*/

/* The operating system in a dozen functions. This section and the next
   implement the same ones; the rest of the file calls them without the "sys_",
   so that a test may replace each by a macro of that name.

   Common to all: pointers are not NULL; nothing is printed; EINTR is hidden.

   cfuti_sys_now        monotonic nanoseconds, above 0
   cfuti_sys_pause      a hint to the CPU inside a spin loop
   cfuti_sys_yield      gives the CPU to another thread if there is one
   cfuti_sys_nap        sleeps some ns (no cancellation point)
   cfuti_sys_heavy      makes all running threads of the process pass a barrier
   cfuti_sys_heavy_begin    to be called once before; whether there is such a thing
   cfuti_sys_cpus       how many CPUs this process may use, at least 1
   cfuti_sys_cpu        the CPU that the calling thread is on; below 0: unknown
   cfuti_sys_thread_start   starts cfuti_thread_body(arg); stack: bytes for the
                        user or 0; false: not started
                        *t may come late; the thread itself knows
   cfuti_sys_thread_self    the handle of the calling thread, to join or detach
   cfuti_sys_thread_join    waits for its end and frees it
   cfuti_sys_thread_detach  nobody will join
   cfuti_sys_guard      calls a function, and another one if it ends the thread
   cfuti_sys_thread_name    names the calling thread
   cfuti_sys_wait       sleeps while *word == expected, until a wake or the
                        deadline (absolute, CFUT_FOREVER: none); may wake early
   cfuti_sys_wake       wakes all that sleep on word; touches the address only
                        as a number, so its memory may be gone already
   cfuti_sys_pages      zeroed memory that costs nothing until touched; NULL: none
   cfuti_sys_pages_free
   cfuti_sys_hooks      registers exit and fork handlers, the first time; with no
                        lock held: a fork may come in between */

static void cfuti_thread_body(void *arg);       /* >>pool: what a thread does */
static void cfuti_thread_abandoned(void *arg);  /* >>pool: it left by pthread_exit */
static void cfuti_at_exit(void);                /* >>pool */
static void cfuti_fork_prepare(void);           /* >>pool */
static void cfuti_fork_parent(void);
static void cfuti_fork_child(void);

static inline void cfuti_sys_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || (defined(__ARM_ARCH) && __ARM_ARCH >= 7)
    __asm__ __volatile__("yield" ::: "memory");
#else
    __asm__ __volatile__("" ::: "memory");
#endif
}

#if CFUTI_POSIX

typedef pthread_t cfuti_os_thread;

static cfut_ns cfuti_sys_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (cfut_ns)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void cfuti_sys_yield(void)
{
    sched_yield();
}

/* Calls fn once in this process, whoever comes first. Not pthread_once, which musl never
   ends in a child that was forked while another thread was at it: there once has the
   parent's number, and fn is called again. */
static void cfuti_sys_once(uint32_t *once, void (*fn)(void))
{
    const uint32_t done = UINT32_MAX;
    uint32_t seen, me = 0;

    /* acquire: what fn has done; pairs with the release below */
    while ((seen = cfuti_load_acquire(once)) != done) {
        if (!me) me = (uint32_t)getpid();
        if (seen != me && cfuti_cas_acquire(once, &seen, me)) {
            fn();
            cfuti_store_release(once, done);
        } else {
            cfuti_sys_yield();
        }
    }
}

/* Until _unshield the thread cannot be cancelled: for calls that are cancellation
   points, where it holds a lock or something that it must give back. */
static int cfuti_sys_shield(void)
{
    int old;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
    return old;
}

static void cfuti_sys_unshield(int old)
{
    pthread_setcancelstate(old, NULL);
}

static void cfuti_sys_nap(cfut_ns ns)
{
    struct timespec ts;
    int old = cfuti_sys_shield();

    ts.tv_sec = (time_t)(ns / 1000000000);
    ts.tv_nsec = (long)(ns % 1000000000);
    nanosleep(&ts, NULL);
    cfuti_sys_unshield(old);
}

#if CFUTI_LINUX
/* Reads a small file into buf, terminated. Returns its length, or -1. */
static int cfuti_sys_read(const char *path, char *buf, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0) return -1;
    n = read(fd, buf, size - 1);
    close(fd);
    if (n < 0) return -1;
    buf[n] = 0;
    return (int)n;
}

/* CPUs granted by the quota in the cgroup v2 folder, rounded up; 0: no limit. */
static CFUTI_RARE int cfuti_sys_quota(const char *folder)
{
    char path[600], text[64];
    long quota, period;

    if (snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", folder) >= (int)sizeof path)
        return 0;
    if (cfuti_sys_read(path, text, sizeof text) < 0) return 0;
    if (sscanf(text, "%ld %ld", &quota, &period) != 2 || quota <= 0 || period <= 0) return 0;
    return (int)((quota + period - 1) / period);
}

/* The least quota on the way from this process's cgroup up to the root. */
static CFUTI_RARE int cfuti_sys_cgroup_cpus(void)
{
    char text[512], *folder, *cut;
    int least = 0, n;

    if (cfuti_sys_read("/proc/self/cgroup", text, sizeof text) < 0) return 0;
    folder = strstr(text, "0::/");
    if (!folder) return 0;
    folder += 3;
    cut = strchr(folder, '\n');
    if (cut) *cut = 0;
    do {
        n = cfuti_sys_quota(strcmp(folder, "/") ? folder : "");
        if (n > 0 && (!least || n < least)) least = n;
        cut = strrchr(folder, '/');
        if (cut) *cut = 0;
    } while (cut && *folder);
    n = cfuti_sys_quota("");
    return n > 0 && (!least || n < least) ? n : least;
}

/* The affinity mask by the raw call: glibc's wrapper needs _GNU_SOURCE. */
static CFUTI_RARE int cfuti_sys_affinity_cpus(void)
{
    unsigned char mask[1024];
    long bytes = syscall(SYS_sched_getaffinity, 0, sizeof mask, mask);
    int n = 0;

    for (long i = 0; i < bytes; i++)
        for (unsigned b = mask[i]; b; b &= b - 1) n++;
    return n;
}
#endif

static CFUTI_RARE int cfuti_sys_cpus(void)
{
    long n = 0;
#if CFUTI_LINUX
    int quota = cfuti_sys_cgroup_cpus();

    n = cfuti_sys_affinity_cpus();
    if (quota > 0 && (n <= 0 || quota < n)) n = quota;
#endif
#ifdef _SC_NPROCESSORS_ONLN
    if (n <= 0) n = sysconf(_SC_NPROCESSORS_ONLN);
#endif
    return n > 0 ? (int)n : 1;
}

#if CFUTI_MEMBARRIER && defined(SYS_membarrier)
enum { CFUTI_MEMBARRIER_PRIVATE = 8, CFUTI_MEMBARRIER_REGISTER = 16 };     /* Linux 4.14 */

static void cfuti_sys_heavy(void)
{
    if (cfuti_asymmetric) syscall(SYS_membarrier, CFUTI_MEMBARRIER_PRIVATE, 0, 0);
}

static bool cfuti_sys_heavy_begin(void)
{
    return syscall(SYS_membarrier, CFUTI_MEMBARRIER_REGISTER, 0, 0) == 0;
}
#else
static void cfuti_sys_heavy(void) { }
static bool cfuti_sys_heavy_begin(void) { return false; }
#endif

static int cfuti_sys_cpu(void)
{
#if CFUTI_LINUX && defined(SYS_getcpu)
    unsigned cpu = 0;

    return syscall(SYS_getcpu, &cpu, NULL, NULL) == 0 ? (int)cpu : -1;
#else
    return -1;
#endif
}

/* What a thread has used of the stack when it leaves by pthread_exit is read by the
   handler (see "the end of a thread" in >>pool). glibc unwinds to the frame that
   registered the handler first, so that the handler's own frames would overwrite it:
   they need CFUTI_PAD until they get out of the way. No frame between may have a clean-up,
   which would go on with the unwinding from there, and overwrite it too: in C++
   ThreadSanitizer and gcov give each function one. (So has cfuti_call, where it catches
   exceptions; it sees to what is below it before that: cfuti_called.) */
static CFUTI_NOINLINE void cfuti_sys_thread_padded(void *arg)
{
    char pad[CFUTI_PAD];

    /* as far as the compiler knows all of it is in use until the end */
    __asm__ __volatile__("" : : "r"(pad) : "memory");
    cfuti_thread_body(arg);
    __asm__ __volatile__("" : : "r"(pad) : "memory");
}

/* Calls fn(arg); if that ends the thread, lost(arg), still in this frame. */
static void cfuti_sys_guard(void (*fn)(void *), void (*lost)(void *), void *arg)
{
    pthread_cleanup_push(lost, arg);
    fn(arg);
    pthread_cleanup_pop(0);
}

static void *cfuti_sys_thread_main(void *arg)
{
    pthread_cleanup_push(cfuti_thread_abandoned, arg);
    cfuti_sys_thread_padded(arg);
    pthread_cleanup_pop(0);
    return NULL;
}

/* All signals but those that a fault raises, a debugger uses, a profiler sends. */
static void cfuti_sys_block_signals(sigset_t *old)
{
    sigset_t set;

    sigfillset(&set);
    sigdelset(&set, SIGSEGV);
    sigdelset(&set, SIGBUS);
    sigdelset(&set, SIGFPE);
    sigdelset(&set, SIGILL);
    sigdelset(&set, SIGABRT);
    sigdelset(&set, SIGTRAP);
    sigdelset(&set, SIGSYS);
    sigdelset(&set, SIGPROF);
    pthread_sigmask(SIG_SETMASK, &set, old);
}

static bool cfuti_sys_stack(pthread_attr_t *attr, size_t stack)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), own = CFUTI_PAD + 32768;
#ifdef _SC_THREAD_STACK_MIN
    long least = sysconf(_SC_THREAD_STACK_MIN);         /* 16 KiB; aarch64: 128 */

    if (least > 0) own += (size_t)least;
#endif
    if (stack == 0) return true;
    if (stack > SIZE_MAX - own - page) return false;
    stack = (stack + own + page - 1) / page * page;
    return pthread_attr_setstacksize(attr, stack) == 0;
}

CFUTI_UNUSED static CFUTI_RARE bool cfuti_sys_thread_start(cfuti_os_thread *t, size_t stack,
                                                           void *arg)
{
    pthread_attr_t attr;
    sigset_t old;
    bool ok;

    if (pthread_attr_init(&attr) != 0) return false;
    ok = cfuti_sys_stack(&attr, stack);
    cfuti_sys_block_signals(&old);
    ok = ok && pthread_create(t, &attr, cfuti_sys_thread_main, arg) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return ok;
}

static void cfuti_sys_thread_join(cfuti_os_thread t)
{
    int old = cfuti_sys_shield();

    pthread_join(t, NULL);
    cfuti_sys_unshield(old);
}

static void cfuti_sys_thread_self(cfuti_os_thread *t)
{
    *t = pthread_self();
}

static void cfuti_sys_thread_detach(cfuti_os_thread t)
{
    pthread_detach(t);
}

static void cfuti_sys_thread_name(const char *name)
{
#if CFUTI_LINUX
    prctl(PR_SET_NAME, (unsigned long)(uintptr_t)name, 0, 0, 0);
#elif CFUTI_MACOS
    pthread_setname_np(name);
#else
    (void)name;
#endif
}

#if CFUTI_FUTEX

/* The kernel's own layout of a 64-bit timespec: on 32-bit systems libc's may
   differ, and SYS_futex_time64 takes this one everywhere. */
typedef struct cfuti_sys_timespec { int64_t sec, nsec; } cfuti_sys_timespec;

#if defined(SYS_futex_time64) && !defined(__LP64__)
#define CFUTI_SYS_FUTEX SYS_futex_time64
#else
#define CFUTI_SYS_FUTEX SYS_futex
#endif
/* From linux/futex.h, which musl does not bring. */
enum { CFUTI_FUTEX_WAIT_BITSET = 9 | 128, CFUTI_FUTEX_WAKE = 1 | 128 };

/* WAIT_BITSET, since its timeout is absolute and monotonic. */
static void cfuti_sys_wait(uint32_t *word, uint32_t expected, cfut_ns deadline)
{
    cfuti_sys_timespec ts;

    ts.sec = deadline / 1000000000;
    ts.nsec = deadline % 1000000000;
    syscall(CFUTI_SYS_FUTEX, word, CFUTI_FUTEX_WAIT_BITSET, expected,
            deadline == CFUT_FOREVER ? NULL : &ts, NULL, 0xffffffffu);
}

static void cfuti_sys_wake(uint32_t *word)
{
    syscall(CFUTI_SYS_FUTEX, word, CFUTI_FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

static void cfuti_sys_wait_reset(void) {}

#else

/* A table of mutex and condition, chosen by the word's address. A waker takes
   the bucket's mutex after the word was changed, a sleeper looks at the word
   under it: so no wake-up falls in between. Words that share a bucket wake
   each other early, which every caller allows. */
enum { CFUTI_BUCKETS = 64 };
typedef struct cfuti_sys_bucket {
    pthread_mutex_t mutex;          /* the last lock in every order */
    pthread_cond_t cond;            /* "a word of this bucket has changed" */
} cfuti_sys_bucket;

static cfuti_sys_bucket cfuti_sys_buckets[CFUTI_BUCKETS];
static uint32_t cfuti_sys_buckets_once;     /* atomic */

/* Also in a forked child, where a thread that is gone may have held one. */
static void cfuti_sys_buckets_init(void)
{
    for (int i = 0; i < CFUTI_BUCKETS; i++) {
        pthread_mutex_init(&cfuti_sys_buckets[i].mutex, NULL);
#if CFUTI_MACOS
        pthread_cond_init(&cfuti_sys_buckets[i].cond, NULL);
#else
        pthread_condattr_t attr;

        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_cond_init(&cfuti_sys_buckets[i].cond, &attr);
        pthread_condattr_destroy(&attr);
#endif
    }
}

static cfuti_sys_bucket *cfuti_sys_bucket_of(const uint32_t *word)
{
    uint32_t key = (uint32_t)((uintptr_t)word >> 2) * 2654435769u;

    cfuti_sys_once(&cfuti_sys_buckets_once, cfuti_sys_buckets_init);
    return &cfuti_sys_buckets[key >> 26];
}

static void cfuti_sys_cond_wait(cfuti_sys_bucket *b, cfut_ns deadline)
{
    struct timespec ts;

    if (deadline == CFUT_FOREVER) {
        pthread_cond_wait(&b->cond, &b->mutex);
        return;
    }
#if CFUTI_MACOS
    deadline -= cfuti_sys_now();
    if (deadline < 0) deadline = 0;
#endif
    if (deadline / 1000000000 > 0x7ffffff0) deadline = (cfut_ns)0x7ffffff0 * 1000000000;
    ts.tv_sec = (time_t)(deadline / 1000000000);
    ts.tv_nsec = (long)(deadline % 1000000000);
#if CFUTI_MACOS
    pthread_cond_timedwait_relative_np(&b->cond, &b->mutex, &ts);
#else
    pthread_cond_timedwait(&b->cond, &b->mutex, &ts);
#endif
}

static void cfuti_sys_wait(uint32_t *word, uint32_t expected, cfut_ns deadline)
{
    cfuti_sys_bucket *b = cfuti_sys_bucket_of(word);
    int old;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
    pthread_mutex_lock(&b->mutex);
    if (cfuti_load_relaxed(word) == expected)   /* relaxed: under the mutex */
        cfuti_sys_cond_wait(b, deadline);
    pthread_mutex_unlock(&b->mutex);
    pthread_setcancelstate(old, NULL);
}

static void cfuti_sys_wake(uint32_t *word)
{
    cfuti_sys_bucket *b = cfuti_sys_bucket_of(word);

    pthread_mutex_lock(&b->mutex);
    pthread_cond_broadcast(&b->cond);
    pthread_mutex_unlock(&b->mutex);
}

static void cfuti_sys_wait_reset(void) { cfuti_sys_buckets_init(); }

#endif

static void *cfuti_sys_pages(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

static void cfuti_sys_pages_free(void *p, size_t size)
{
    munmap(p, size);
}

static void cfuti_sys_hook(void)
{
    atexit(cfuti_at_exit);
    pthread_atfork(cfuti_fork_prepare, cfuti_fork_parent, cfuti_fork_child);
}

static void cfuti_sys_hooks(void)
{
    static uint32_t once;           /* atomic */

    cfuti_sys_once(&once, cfuti_sys_hook);
}

#endif /* CFUTI_POSIX */

/*=========================================================================
    >>os-windows   the same by Win32 calls
=========================================================================*/
#if CFUTI_WINDOWS

typedef HANDLE cfuti_os_thread;

static cfut_ns cfuti_sys_now(void)
{
    LARGE_INTEGER count, frequency;

    QueryPerformanceCounter(&count);
    QueryPerformanceFrequency(&frequency);
    return count.QuadPart / frequency.QuadPart * 1000000000 +
           count.QuadPart % frequency.QuadPart * 1000000000 / frequency.QuadPart;
}

static void cfuti_sys_yield(void)
{
    SwitchToThread();
}

/* Milliseconds of a duration, rounded up; INFINITE is never reached by one. */
static DWORD cfuti_sys_ms(cfut_ns ns)
{
    cfut_ns ms = ns / 1000000 + (ns % 1000000 > 0);

    if (ms < 0) return 0;
    return ms < 0x7fffffff ? (DWORD)ms : 0x7fffffff;
}

static void cfuti_sys_nap(cfut_ns ns)
{
    Sleep(cfuti_sys_ms(ns));
}

static int cfuti_sys_cpus(void)
{
    DWORD_PTR mine = 0, all = 0;
    int n = 0;

    if (GetProcessAffinityMask(GetCurrentProcess(), &mine, &all))
        for (; mine; mine &= mine - 1) n++;
    if (n == 0) n = (int)GetActiveProcessorCount(ALL_PROCESSOR_GROUPS);
    return n > 0 ? n : 1;
}

static void cfuti_sys_heavy(void) { if (cfuti_asymmetric) FlushProcessWriteBuffers(); }
static bool cfuti_sys_heavy_begin(void) { return true; }

CFUTI_UNUSED static int cfuti_sys_shield(void) { return 0; }    /* nothing cancels a thread */
CFUTI_UNUSED static void cfuti_sys_unshield(int old) { (void)old; }

static int cfuti_sys_cpu(void)
{
    return (int)GetCurrentProcessorNumber();
}

static void cfuti_sys_guard(void (*fn)(void *), void (*lost)(void *), void *arg)
{
    (void)lost;                     /* ExitThread has no handlers */
    fn(arg);
}

static unsigned __stdcall cfuti_sys_thread_main(void *arg)
{
    cfuti_thread_body(arg);
    return 0;
}

CFUTI_UNUSED static bool cfuti_sys_thread_start(cfuti_os_thread *t, size_t stack, void *arg)
{
    uintptr_t handle;

    if (stack > UINT_MAX - 65536) return false;
    handle = _beginthreadex(NULL, stack ? (unsigned)stack + 32768 : 0, cfuti_sys_thread_main, arg,
                            STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
    *t = NULL;
    if (handle) CloseHandle((HANDLE)handle);
    return handle != 0;
}

static void cfuti_sys_thread_self(cfuti_os_thread *t)
{
    HANDLE process = GetCurrentProcess();

    *t = NULL;
    DuplicateHandle(process, GetCurrentThread(), process, t, 0, FALSE, DUPLICATE_SAME_ACCESS);
}

static void cfuti_sys_thread_join(cfuti_os_thread t)
{
    WaitForSingleObject(t, INFINITE);
    CloseHandle(t);
}

static void cfuti_sys_thread_detach(cfuti_os_thread t)
{
    CloseHandle(t);
}

/* SetThreadDescription came with Windows 10: looked up, not linked. */
static void cfuti_sys_thread_name(const char *name)
{
    typedef HRESULT (WINAPI *describe_fn)(HANDLE, PCWSTR);
    union { FARPROC p; describe_fn fn; } u;
    wchar_t wide[64];
    size_t i;

    u.p = GetProcAddress(GetModuleHandleA("kernel32.dll"), "SetThreadDescription");
    if (!u.p) return;
    for (i = 0; name[i] && i < 63; i++) wide[i] = (wchar_t)(unsigned char)name[i];
    wide[i] = 0;
    u.fn(GetCurrentThread(), wide);
}

static void cfuti_sys_wait(uint32_t *word, uint32_t expected, cfut_ns deadline)
{
    DWORD ms = INFINITE;

    if (deadline != CFUT_FOREVER) ms = cfuti_sys_ms(deadline - cfuti_sys_now());
    WaitOnAddress(word, &expected, sizeof *word, ms);
}

static void cfuti_sys_wake(uint32_t *word)
{
    WakeByAddressAll(word);
}

static void cfuti_sys_wait_reset(void) {}

static void *cfuti_sys_pages(size_t size)
{
    return VirtualAlloc(NULL, size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
}

static void cfuti_sys_pages_free(void *p, size_t size)
{
    (void)size;
    VirtualFree(p, 0, MEM_RELEASE);
}

static void cfuti_sys_hooks(void)
{
    static uint32_t done;

    if (!cfuti_exchange_acquire(&done, 1u)) atexit(cfuti_at_exit);
    (void)cfuti_thread_abandoned;   /* ExitThread has no handlers */
    (void)cfuti_fork_prepare;
    (void)cfuti_fork_parent;
    (void)cfuti_fork_child;
}

#endif /* CFUTI_WINDOWS */

/* What a test may replace, one by one. */
#ifndef cfuti_now
#define cfuti_now cfuti_sys_now
#endif
#ifndef cfuti_pause
#define cfuti_pause cfuti_sys_pause
#endif
#ifndef cfuti_yield
#define cfuti_yield cfuti_sys_yield
#endif
#ifndef cfuti_nap
#define cfuti_nap cfuti_sys_nap
#endif
#ifndef cfuti_cpus
#define cfuti_cpus cfuti_sys_cpus
#endif
#ifndef cfuti_heavy
#define cfuti_heavy cfuti_sys_heavy
#define cfuti_heavy_begin cfuti_sys_heavy_begin
#endif
#ifndef cfuti_cpu
#define cfuti_cpu cfuti_sys_cpu
#endif
#ifndef cfuti_thread_start
#define cfuti_thread_start cfuti_sys_thread_start
#endif
#ifndef cfuti_thread_self
#define cfuti_thread_self cfuti_sys_thread_self
#endif
#ifndef cfuti_thread_join
#define cfuti_thread_join cfuti_sys_thread_join
#endif
#ifndef cfuti_thread_detach
#define cfuti_thread_detach cfuti_sys_thread_detach
#endif
#ifndef cfuti_thread_name
#define cfuti_thread_name cfuti_sys_thread_name
#endif
#ifndef cfuti_guard
#define cfuti_guard cfuti_sys_guard
#endif
#ifndef cfuti_wait_word
#define cfuti_wait_word cfuti_sys_wait
#endif
#ifndef cfuti_wake_word
#define cfuti_wake_word cfuti_sys_wake
#endif
#ifndef cfuti_pages
#define cfuti_pages cfuti_sys_pages
#define cfuti_pages_free cfuti_sys_pages_free
#endif
#ifndef cfuti_hooks
#define cfuti_hooks cfuti_sys_hooks
#endif

/*=========================================================================
    >>memory   allocation and checked sizes
=========================================================================*/

#ifndef CFUT_MALLOC
#define CFUT_MALLOC(n) malloc(n)
#define CFUT_FREE(p) free(p)
#endif

/* Zeroed memory, or NULL. */
static void *cfuti_alloc(size_t size)
{
    void *p = CFUT_MALLOC(size);

    if (p) memset(p, 0, size);
    return p;
}

/* a * b + c, or SIZE_MAX (which no allocation grants) if that overflows. */
static size_t cfuti_size(size_t a, size_t b, size_t c)
{
    if (b && a > (SIZE_MAX - c) / b) return SIZE_MAX;
    return a * b + c;
}

static size_t cfuti_round_up(size_t n, size_t to)
{
    return n > SIZE_MAX - to ? SIZE_MAX : (n + to - 1) / to * to;
}

/*=========================================================================
    >>os-process   processes, shared memory, messages: POSIX
=========================================================================*/
#if CFUTI_PROCESS

/* What the process pool asks of the system. Common to all: descriptors are
   closed on exec; EINTR is hidden; nothing is printed; no signal is raised.

   cfuti_sys_file       an unlinked file of that many bytes, mostly holes, that
                        cannot shrink; -1: none
   cfuti_sys_map        a part of it; NULL: no memory
   cfuti_sys_reserve    makes sure that a part of it, whose content does not matter yet,
                        has its pages: else a write there might end in SIGBUS
   cfuti_sys_punch      gives its pages back to the system, where that is possible
   cfuti_sys_bell       two ends to ring and to poll (may be the same descriptor)
   cfuti_sys_ring, _hush    rings it, false: it is gone; makes it silent again
   cfuti_sys_channel    two ends for messages of one size
   cfuti_sys_send       one message, and a descriptor unless fd < 0: 1 sent, 0 the
                        channel is full (only if not wait), -1 the other end is gone
   cfuti_sys_receive    one message: 1, 0 none now, -1 the other end is gone
   cfuti_sys_poll       sleeps until one of two descriptors is readable, or the
                        deadline
   cfuti_sys_threads    of this process; 0: unknown
   cfuti_sys_spawn      executes this program again, with descriptors 3, 4, 5
   cfuti_sys_fork
   cfuti_sys_only       keeps descriptors 0 to 2 and these, as 3, 4, 5; else ends
   cfuti_sys_keep       a descriptor among others that are not ours: moved to a high
                        number, which no stale one is
   cfuti_sys_is_kept    whether it is there still, and no other in its place
   cfuti_sys_reap       the next of our children that has ended, or 0
   cfuti_sys_await      waits for the end of a child
   cfuti_sys_place      which file a code address belongs to, and where there
   cfuti_sys_had_no_room    whether that failed for lack of descriptors or memory
   cfuti_sys_code       the address of such a place; 0: not here, or no code */

#include <limits.h>                 /* PATH_MAX */
#include <poll.h>
#include <spawn.h>
#include <sys/resource.h>           /* limits of workers */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#if CFUTI_LINUX
#include <sys/auxv.h>               /* AT_SECURE */
#endif

extern char **environ;

#define CFUTI_ENV "CFUT_PROCESS_HELPER"     /* set for the program executed again */

/* Where a function is: the file that it was mapped from, and its offset there. */
typedef struct cfuti_site {
    uint64_t device, inode, at;
    char path[232];
} cfuti_site;

static char *cfuti_program;         /* what to execute; NULL: cfut_process_main was not called */
static char **cfuti_argv;

/* This program can be executed again. */
static void cfuti_sys_remember(char **argv)
{
#if CFUTI_FUTEX
    static char path[] = "/proc/self/exe";
#else
    static char path[PATH_MAX];

    if (!strchr(argv[0], '/') || !realpath(argv[0], path))
        snprintf(path, sizeof path, "%s", argv[0]);     /* to be looked for in PATH */
#endif
    cfuti_argv = argv;
    cfuti_program = path;
}

static bool cfuti_sys_is_privileged(void)
{
#if CFUTI_LINUX
    return getauxval(AT_SECURE) != 0;
#else
    return geteuid() != getuid() || getegid() != getgid();
#endif
}

/* Whether it was. Not for a program with more rights than its user, who could
   hand it any memory; nor may it go on as if it had been started by hand, and make
   its pools again. */
static bool cfuti_sys_is_helper(void)
{
    struct stat st;

    if (!getenv(CFUTI_ENV)) return false;
    unsetenv(CFUTI_ENV);
    if (fstat(3, &st) != 0 || !S_ISSOCK(st.st_mode)) return false;
    if (cfuti_sys_is_privileged()) _exit(1);
    return true;
}

static void cfuti_sys_cloexec(int fd)
{
    fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/* ---- memory ---- */

#if CFUTI_FUTEX
enum { CFUTI_MFD = 3, CFUTI_ADD_SEALS = 1033, CFUTI_SEALS = 1 | 2 | 4 };    /* CLOEXEC and
                                       ALLOW_SEALING; SEAL, SHRINK and GROW */

static int cfuti_sys_file_open(void)
{
    int fd = (int)syscall(SYS_memfd_create, "cfut", CFUTI_MFD);

    if (fd >= 0) fchmod(fd, 0600);
    return fd;
}

static void cfuti_sys_file_seal(int fd)
{
    fcntl(fd, CFUTI_ADD_SEALS, CFUTI_SEALS);
}
#else
/* In memory if there is such a folder, else in the one for temporary files. */
static int cfuti_sys_file_open(void)
{
    static uint32_t number;
    const char *tmp = getenv("TMPDIR"), *folders[2];
    char path[PATH_MAX];
    int fd = -1;

    folders[0] = "/dev/shm";
    folders[1] = tmp && *tmp ? tmp : "/tmp";
    for (int i = 0; i < 200 && fd < 0; i++) {
        unsigned n = cfuti_add_relaxed(&number, 1u);

        snprintf(path, sizeof path, "%s/cfut-%ld-%u", folders[i % 2], (long)getpid(), n);
        fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    }
    if (fd >= 0) unlink(path);
    return fd;
}

static void cfuti_sys_file_seal(int fd) { (void)fd; }
#endif

/* A limit for files would be met with a signal: looked at before. */
static bool cfuti_sys_file_allowed(uint64_t size)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
           (uint64_t)limit.rlim_cur >= size;
}

static int cfuti_sys_file(uint64_t size)
{
    int fd;

    if (!cfuti_sys_file_allowed(size)) return -1;
    fd = cfuti_sys_file_open();
    if (fd >= 0 && ftruncate(fd, (off_t)size) != 0) {
        close(fd);
        return -1;
    }
    if (fd >= 0) {
        cfuti_sys_file_seal(fd);
        lseek(fd, 0, SEEK_END);     /* who writes to it by mistake shall not begin with our head */
    }
    return fd;
}

static void *cfuti_sys_map(int fd, uint64_t at, size_t size, bool writable)
{
    void *p = mmap(NULL, size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd,
                   (off_t)at);

    return p == MAP_FAILED ? NULL : p;
}

static void cfuti_sys_unmap(void *p, size_t size)
{
    if (p) munmap(p, size);
}

/* Puts a copy of one's own in the place of a shared part; should that fail, it
   stays shared. */
static void cfuti_sys_disown(void *p, int fd, uint64_t at, size_t size)
{
    if (!p || !size) return;
    if (mmap(p, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd, (off_t)at) == MAP_FAILED)
        errno = 0;
}

/* Memory of its own the system need not promise; a folder may be full. A byte is
   written to every page, since not all systems have posix_fallocate. */
static bool cfuti_sys_reserve(int fd, uint64_t at, uint64_t size)
{
#if CFUTI_FUTEX
    (void)fd, (void)at, (void)size;
#else
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), end = at + size;
    ssize_t n = 1;

    while (at < end) {
        n = pwrite(fd, "", 1, (off_t)at);
        if (n < 0 && errno == EINTR) continue;
        if (n != 1) return false;
        at += page - at % page;
    }
#endif
    return true;
}

static void cfuti_sys_punch(int fd, uint64_t at, uint64_t size)
{
#if CFUTI_FUTEX && defined(SYS_fallocate) && defined(__LP64__)
    syscall(SYS_fallocate, fd, 1 | 2, (long)at, (long)size);    /* KEEP_SIZE, PUNCH_HOLE */
#else
    (void)fd, (void)at, (void)size;
#endif
}

/* ---- bells: to the host ---- */

static bool cfuti_sys_bell(int fds[2])
{
#if CFUTI_FUTEX && defined(SYS_eventfd2)
    fds[0] = fds[1] = (int)syscall(SYS_eventfd2, 0, O_CLOEXEC | O_NONBLOCK);
    return fds[0] >= 0;
#else
    if (pipe(fds) != 0) return false;
    for (int i = 0; i < 2; i++) {
        cfuti_sys_cloexec(fds[i]);
        fcntl(fds[i], F_SETFL, fcntl(fds[i], F_GETFL) | O_NONBLOCK);
    }
    return true;
#endif
}

static bool cfuti_sys_ring(int fd)
{
    uint64_t one = 1;
    ssize_t n;

    do n = write(fd, &one, sizeof one);
    while (n < 0 && errno == EINTR);
    return n >= 0 || errno == EAGAIN || errno == EWOULDBLOCK;   /* full: it is ringing */
}

static void cfuti_sys_hush(int fd)
{
    char buf[512];
    ssize_t n;

    do n = read(fd, buf, sizeof buf);
    while (n == (ssize_t)sizeof buf || (n < 0 && errno == EINTR));
}

/* ---- messages ---- */

#ifdef MSG_NOSIGNAL
enum { CFUTI_NOSIGNAL = MSG_NOSIGNAL };
#else
enum { CFUTI_NOSIGNAL = 0 };
#endif

static bool cfuti_sys_channel(int fds[2])
{
#ifdef SOCK_CLOEXEC                     /* at once: another thread may just start a program */
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) return false;
#else
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0) return false;
#endif
    for (int i = 0; i < 2; i++) {
        cfuti_sys_cloexec(fds[i]);
#ifdef SO_NOSIGPIPE
        int on = 1;
        setsockopt(fds[i], SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
    }
    return true;
}

/* ---- bells: to a worker, which sleeps in them ---- */

#if CFUTI_FUTEX
/* Not the private kind: the word is shared by two processes. */
static void cfuti_sys_wait_shared(uint32_t *word, uint32_t expected, int fd)
{
    (void)fd;
    syscall(CFUTI_SYS_FUTEX, word, CFUTI_FUTEX_WAIT_BITSET & ~128, expected, NULL, NULL,
            0xffffffffu);
}

static void cfuti_sys_wake_shared(uint32_t *word, int fd)
{
    (void)fd;
    syscall(CFUTI_SYS_FUTEX, word, CFUTI_FUTEX_WAKE & ~128, INT32_MAX, NULL, NULL, 0);
}
#else
/* Each change of the word is followed by a byte in the channel: so a byte may be
   read that belongs to an older change, but none is missing. */
static void cfuti_sys_wait_shared(uint32_t *word, uint32_t expected, int fd)
{
    char buf[256];
    ssize_t n;

    if (cfuti_load_acquire(word) != expected) return;
    n = read(fd, buf, sizeof buf);
    if (n == 0 || (n < 0 && errno != EINTR)) _exit(0);  /* the host is gone, or a task has
                                                           closed it */
}

static void cfuti_sys_wake_shared(uint32_t *word, int fd)
{
    int old = cfuti_sys_shield();

    (void)word;
    while (fd >= 0 && send(fd, "", 1, CFUTI_NOSIGNAL | MSG_DONTWAIT) < 0 && errno == EINTR) { }
    cfuti_sys_unshield(old);
}
#endif

typedef union cfuti_sys_control {   /* room for one descriptor */
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
} cfuti_sys_control;

static void cfuti_sys_envelope(struct msghdr *m, struct iovec *part, void *p, size_t size)
{
    memset(m, 0, sizeof *m);
    part->iov_base = p;
    part->iov_len = size;
    m->msg_iov = part;
    m->msg_iovlen = 1;
}

/* Small messages go whole or not at all; should one be cut, the rest waits. */
static int cfuti_sys_send(int channel, const void *message, size_t size, int fd, bool wait)
{
    cfuti_sys_control control;
    struct msghdr m;
    struct iovec part;
    ssize_t n;

    for (size_t done = 0; done < size; done += (size_t)n) {
        cfuti_sys_envelope(&m, &part, (char *)(uintptr_t)message + done, size - done);
        if (fd >= 0 && done == 0) {
            memset(&control, 0, sizeof control);
            m.msg_control = control.bytes;
            m.msg_controllen = sizeof control.bytes;
            CMSG_FIRSTHDR(&m)->cmsg_level = SOL_SOCKET;
            CMSG_FIRSTHDR(&m)->cmsg_type = SCM_RIGHTS;
            CMSG_FIRSTHDR(&m)->cmsg_len = CMSG_LEN(sizeof(int));
            memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), &fd, sizeof fd);
        }
        n = sendmsg(channel, &m, CFUTI_NOSIGNAL | (wait || done ? 0 : MSG_DONTWAIT));
        if (n < 0 && errno != EINTR)
            return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
        if (n < 0) n = 0;
    }
    return 1;
}

static int cfuti_sys_receive(int channel, void *message, size_t size, int *fd)
{
    cfuti_sys_control control;
    struct msghdr m;
    struct iovec part;
    ssize_t n;

    *fd = -1;
    for (size_t done = 0; done < size; done += (size_t)n) {
        cfuti_sys_envelope(&m, &part, (char *)message + done, size - done);
        memset(&control, 0, sizeof control);
        m.msg_control = control.bytes;
        m.msg_controllen = sizeof control.bytes;
        n = recvmsg(channel, &m, done ? 0 : MSG_DONTWAIT);
        if (n == 0) return -1;
        if (n < 0 && errno != EINTR)
            return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
        if (n < 0) n = 0;
        else if (m.msg_controllen >= CMSG_LEN(sizeof(int)) &&
                 CMSG_FIRSTHDR(&m)->cmsg_type == SCM_RIGHTS)
            memcpy(fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof *fd);
    }
    if (*fd >= 0) cfuti_sys_cloexec(*fd);
    return 1;
}

static void cfuti_sys_poll(int a, int b, bool b_writable, cfut_ns deadline)
{
    struct pollfd fds[2];
    cfut_ns left = deadline - cfuti_sys_now();
    int ms = left > CFUT_SEC(3600) ? 3600000 : left <= 0 ? 0 : (int)((left + 999999) / 1000000);

    if (deadline == CFUT_FOREVER) ms = -1;
    fds[0].fd = a;
    fds[1].fd = b;
    fds[0].events = POLLIN;
    fds[1].events = (short)(b_writable ? POLLIN | POLLOUT : POLLIN);
    poll(fds, 2, ms);
}

/* ---- processes ---- */

static int cfuti_sys_threads(void)
{
#if CFUTI_FUTEX
    char text[1024], *at;
    int n;

    /* not status, where a list of groups may be long. The name before may hold spaces */
    if (cfuti_sys_read("/proc/self/stat", text, sizeof text) < 0) return 0;
    at = strrchr(text, ')');
    return at && sscanf(at + 1, " %*c%*s%*s%*s%*s%*s%*s%*s%*s%*s%*s%*s%*s%*s%*s%*s%*s%d", &n) == 1
               ? n : 0;
#else
    return 0;
#endif
}

/* The environment with one more entry, in one block. */
static char **cfuti_sys_environment(void)
{
    static char entry[] = CFUTI_ENV "=1";
    size_t n = 0;
    char **env;

    while (environ && environ[n]) n++;
    env = (char **)cfuti_alloc((n + 2) * sizeof *env);
    if (!env) return NULL;
    if (n) memcpy(env, environ, n * sizeof *env);
    env[n] = entry;
    return env;
}

/* Default signals, none blocked; but a hangup that the host ignores (nohup) stays so. */
static bool cfuti_sys_spawn_attributes(posix_spawnattr_t *attr)
{
    sigset_t set;

    if (posix_spawnattr_init(attr) != 0) return false;
    sigemptyset(&set);
    posix_spawnattr_setsigmask(attr, &set);
    sigfillset(&set);
    sigdelset(&set, SIGKILL);
    sigdelset(&set, SIGSTOP);
    sigdelset(&set, SIGHUP);
    posix_spawnattr_setsigdefault(attr, &set);
    posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    return true;
}

/* fds become 3, 4, 5 there; copied out of that range first. Without one of them it
   would not know that it is a helper, and run main. */
static pid_t cfuti_sys_spawn(const int fds[3])
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    char **env = cfuti_sys_environment();
    int copies[3];
    pid_t pid = -1;
    bool ready = true;

    if (!env || !cfuti_program || !cfuti_sys_spawn_attributes(&attr)) {
        CFUT_FREE(env);
        return -1;
    }
    posix_spawn_file_actions_init(&actions);
    for (int i = 0; i < 3; i++) {
        copies[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 6);
        if (copies[i] < 0 || posix_spawn_file_actions_adddup2(&actions, copies[i], 3 + i) != 0)
            ready = false;              /* without them it would be the whole program again */
    }
    if (!ready || posix_spawnp(&pid, cfuti_program, &actions, &attr, cfuti_argv, env) != 0)
        pid = -1;
    for (int i = 0; i < 3; i++)
        if (copies[i] >= 0) close(copies[i]);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    CFUT_FREE(env);
    return pid;
}

static pid_t cfuti_sys_fork(void)
{
    return fork();
}

static void cfuti_sys_close_from(int first)
{
    long max;
#if CFUTI_LINUX && defined(SYS_close_range)
    if (syscall(SYS_close_range, (unsigned)first, ~0u, 0) == 0) return;
#endif
    max = sysconf(_SC_OPEN_MAX);
    if (max < 0 || max > 65536) max = 65536;
    for (int fd = first; fd < (int)max; fd++) close(fd);
}

static void cfuti_sys_only(const int fds[3])
{
    int copies[3];

    for (int i = 0; i < 3; i++) {
        copies[i] = fcntl(fds[i], F_DUPFD, 6);
        if (copies[i] < 0) _exit(1);    /* what the program has in its place would stay */
    }
    for (int i = 0; i < 3; i++) dup2(copies[i], 3 + i);
    cfuti_sys_close_from(6);
    for (int i = 3; i < 6; i++) cfuti_sys_cloexec(i);
}

/* A task may close all that it does not know, and put something of its own there. */
typedef struct cfuti_kept {
    int fd;
    uint64_t device, inode;         /* eventfds and some others have the same */
} cfuti_kept;

enum {
    CFUTI_KEPT = 3,                 /* so many a process has, at most */
    CFUTI_KEPT_BELOW = 1024         /* no higher: the system has a table of all below */
};

/* With few descriptors it stays where it is. */
static cfuti_kept cfuti_sys_keep(int fd)
{
    cfuti_kept kept = { fd, 0, 0 };
    struct rlimit limit;
    struct stat st;
    int end = CFUTI_KEPT_BELOW;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < CFUTI_KEPT_BELOW)
        end = (int)limit.rlim_cur;
    if (end - CFUTI_KEPT > fd) kept.fd = fcntl(fd, F_DUPFD_CLOEXEC, end - CFUTI_KEPT);
    if (kept.fd < 0) kept.fd = fd;
    if (kept.fd != fd) close(fd);
    if (fstat(kept.fd, &st) == 0) {
        kept.device = (uint64_t)st.st_dev;
        kept.inode = (uint64_t)st.st_ino;
    }
    return kept;
}

static bool cfuti_sys_is_kept(const cfuti_kept *kept)
{
    struct stat st;

    return fstat(kept->fd, &st) == 0 && (uint64_t)st.st_dev == kept->device &&
           (uint64_t)st.st_ino == kept->inode;
}

/* How a worker ended. */
typedef struct cfuti_end {
    int32_t pid, status;            /* as of wait */
    int64_t rss, cpu;               /* peak, bytes; ns */
} cfuti_end;

static bool cfuti_sys_reap(cfuti_end *end)
{
    struct rusage used;
    int status;
    pid_t pid;

    memset(&used, 0, sizeof used);
    do pid = wait4(-1, &status, WNOHANG, &used);
    while (pid < 0 && errno == EINTR);
    if (pid <= 0) return false;
    end->pid = (int32_t)pid;
    end->status = status;
#if CFUTI_MACOS
    end->rss = used.ru_maxrss;
#else
    end->rss = (int64_t)used.ru_maxrss * 1024;
#endif
    end->cpu = ((int64_t)used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000000 +
               ((int64_t)used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1000;
    return true;
}

static void cfuti_sys_await(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) { }
}

static bool cfuti_sys_lower(struct rlimit *limit, size_t most)
{
    if (!most) return false;
    if (limit->rlim_max == RLIM_INFINITY || limit->rlim_max > (rlim_t)most)
        limit->rlim_max = (rlim_t)most;
    limit->rlim_cur = limit->rlim_max;
    return true;
}

/* The soft limit comes first, so that SIGXCPU says what it was. */
static void cfuti_sys_limit_cpu(size_t seconds)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_CPU, &limit) != 0 || !cfuti_sys_lower(&limit, seconds + 1)) return;
    if (limit.rlim_cur > (rlim_t)seconds) limit.rlim_cur = (rlim_t)seconds;
    setrlimit(RLIMIT_CPU, &limit);
}

/* A macro, as the first argument has a type of its own in glibc, or has not. */
#define CFUTI_SYS_LIMIT(what, most) \
    do { \
        struct rlimit limit_; \
        if (getrlimit(what, &limit_) == 0 && cfuti_sys_lower(&limit_, most)) \
            setrlimit(what, &limit_); \
    } while (0)

/* Resident bytes of this process. */
static size_t cfuti_sys_resident(void)
{
#if CFUTI_FUTEX
    char text[128];
    unsigned long all, resident;

    if (cfuti_sys_read("/proc/self/statm", text, sizeof text) < 0 ||
        sscanf(text, "%lu %lu", &all, &resident) != 2)
        return 0;
    return (size_t)resident * (size_t)sysconf(_SC_PAGESIZE);
#else
    struct rusage used;             /* the peak, for want of better */

    return getrusage(RUSAGE_SELF, &used) == 0 ? (size_t)used.ru_maxrss * 1024 : 0;
#endif
}

/* The caller ends when its parent does. */
static void cfuti_sys_end_with_parent(pid_t parent)
{
#if CFUTI_FUTEX
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
#endif
    if (getppid() != parent) _exit(0);
}

/* ---- where code is ---- */

/* After a cfuti_sys_place that failed, with errno 0 before: whether it was for that. */
static bool cfuti_sys_had_no_room(void)
{
    return errno == EMFILE || errno == ENFILE || errno == ENOMEM;
}

#if CFUTI_FUTEX
typedef struct cfuti_mapping {
    uintptr_t start, end;
    uint64_t offset;
    cfuti_site place;
    bool code;
} cfuti_mapping;

static bool cfuti_sys_mapping_parse(const char *line, cfuti_mapping *m)
{
    unsigned long long start, end, offset, inode;
    unsigned major, minor;
    char mode[8];
    int path = 0;

    if (sscanf(line, "%llx-%llx %7s %llx %x:%x %llu %n", &start, &end, mode, &offset, &major,
               &minor, &inode, &path) < 7)
        return false;
    m->start = (uintptr_t)start;
    m->end = (uintptr_t)end;
    m->offset = offset;
    m->code = mode[2] == 'x';
    m->place.device = (uint64_t)major << 32 | minor;
    m->place.inode = inode;
    memset(m->place.path, 0, sizeof m->place.path);
    if (path && strlen(line + path) < sizeof m->place.path)
        memcpy(m->place.path, line + path, strlen(line + path));
    return true;
}

/* The first mapping for which match says so. Reads in pieces, as a large program
   has thousands of them. */
static bool cfuti_sys_mapping_find(cfuti_mapping *m, bool (*match)(const cfuti_mapping *, void *),
                                   void *arg)
{
    char buf[4096 + 1];
    size_t have = 0;
    ssize_t n = 1;
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    bool found = false;

    while (fd >= 0 && !found && n > 0) {
        char *line = buf, *end;

        n = read(fd, buf + have, sizeof buf - 1 - have);
        if (n > 0) have += (size_t)n;
        buf[have] = 0;
        while (!found && (end = strchr(line, '\n')) != NULL) {
            *end = 0;
            found = cfuti_sys_mapping_parse(line, m) && match(m, arg);
            line = end + 1;
        }
        have -= (size_t)(line - buf);
        memmove(buf, line, have);
        if (have == sizeof buf - 1) have = 0;           /* an absurd line */
    }
    if (fd >= 0) close(fd);
    return found;
}

static bool cfuti_sys_mapping_has(const cfuti_mapping *m, void *arg)
{
    uintptr_t at = *(const uintptr_t *)arg;

    return m->code && m->place.inode && m->start <= at && at < m->end;
}

static bool cfuti_sys_mapping_is(const cfuti_mapping *m, void *arg)
{
    const cfuti_site *p = (const cfuti_site *)arg;

    return m->code && m->place.device == p->device && m->place.inode == p->inode &&
           m->offset <= p->at && p->at - m->offset < m->end - m->start;
}

static bool cfuti_sys_place(uintptr_t code, cfuti_site *place)
{
    cfuti_mapping m;

    if (!cfuti_sys_mapping_find(&m, cfuti_sys_mapping_has, &code)) return false;
    *place = m.place;
    place->at = m.offset + (code - m.start);
    return true;
}

/* A library that was loaded after the start is loaded here, too. */
extern void *cfuti_sys_dlopen(const char *path, int mode) __asm__("dlopen") __attribute__((weak));

static uintptr_t cfuti_sys_code(const cfuti_site *place)
{
    cfuti_site wanted = *place;    /* copied, then looked at */
    cfuti_mapping m;

    wanted.path[sizeof wanted.path - 1] = 0;
    if (!cfuti_sys_mapping_find(&m, cfuti_sys_mapping_is, &wanted)) {
        if (!cfuti_sys_dlopen || wanted.path[0] != '/') return 0;
        cfuti_sys_dlopen(wanted.path, 2);               /* RTLD_NOW */
        if (!cfuti_sys_mapping_find(&m, cfuti_sys_mapping_is, &wanted)) return 0;
    }
    return m.start + (uintptr_t)(wanted.at - m.offset);
}
#else
/* Elsewhere all tasks must be in the same file as the library itself. Where there is
   dladdr, one that is not is refused. */
typedef struct cfuti_dl { const char *path; void *base; const char *name; void *at; } cfuti_dl;

#if defined(__APPLE__)
extern int cfuti_sys_dladdr(const void *at, cfuti_dl *dl) __asm__("_dladdr");
#else
extern int cfuti_sys_dladdr(const void *at, cfuti_dl *dl) __asm__("dladdr") __attribute__((weak));
#endif

static void cfuti_sys_anchor(void) { }

static bool cfuti_sys_place(uintptr_t code, cfuti_site *place)
{
    uintptr_t anchor = (uintptr_t)cfuti_sys_anchor;
    cfuti_dl here, there;

    memset(place, 0, sizeof *place);
    place->at = code - anchor;
    return !cfuti_sys_dladdr || !cfuti_sys_dladdr((const void *)anchor, &here) ||
           !cfuti_sys_dladdr((const void *)code, &there) || here.base == there.base;
}

static uintptr_t cfuti_sys_code(const cfuti_site *place)
{
    return (uintptr_t)cfuti_sys_anchor + (uintptr_t)place->at;
}
#endif

/* What a test may replace, as above. */
#ifndef cfuti_file
#define cfuti_file cfuti_sys_file
#endif
#ifndef cfuti_map
#define cfuti_map cfuti_sys_map
#endif
#ifndef cfuti_file_reserve
#define cfuti_file_reserve cfuti_sys_reserve
#endif
#ifndef cfuti_bell
#define cfuti_bell cfuti_sys_bell
#endif
#ifndef cfuti_channel
#define cfuti_channel cfuti_sys_channel
#endif
#ifndef cfuti_spawn
#define cfuti_spawn cfuti_sys_spawn
#endif
#ifndef cfuti_fork_helper
#define cfuti_fork_helper cfuti_sys_fork
#endif
#ifndef cfuti_fork_worker
#define cfuti_fork_worker cfuti_sys_fork
#endif
#ifndef cfuti_threads
#define cfuti_threads cfuti_sys_threads
#endif
#ifndef cfuti_point
#define cfuti_point(name) ((void)0)     /* a named place in host, helper and worker */
#endif

#endif /* CFUTI_PROCESS */

/*=========================================================================
    >>clock   deadlines: absolute inside, relative outside
=========================================================================*/

static cfut_ns cfuti_deadline(cfut_ns timeout)
{
    cfut_ns now;

    if (timeout == CFUT_FOREVER) return CFUT_FOREVER;
    if (timeout < 0) timeout = 0;
    now = cfuti_now();
    return timeout >= CFUT_FOREVER - now ? CFUT_FOREVER - 1 : now + timeout;
}

static bool cfuti_expired(cfut_ns deadline)
{
    return deadline != CFUT_FOREVER && cfuti_now() >= deadline;
}

/*=========================================================================
    >>lock   the small lock, and how it waits
=========================================================================*/

/* A word: 0 free, 1 held. Taken for some dozen instructions, never while user
   code runs, so its waiters spin; as the holder may have lost its CPU, they
   soon give up theirs, and after some rounds sleep, so that a holder of lower
   priority gets to run.
   Not a futex lock, because its release is a read-modify-write (5 ns on every
   submit), where here it is a plain store.

   The order of all locks: a future's lock bit, a collector, a pool or the
   graph, a deque; the registry before a pool. */

static CFUTI_RARE void cfuti_backoff(unsigned *round)
{
    if (*round < 6) {
        for (unsigned i = 0; i < 1u << *round; i++) cfuti_pause();
    } else if (*round < 32) {
        cfuti_yield();
    } else {
        cfuti_nap(CFUT_US(50));
    }
    ++*round;
}

static CFUTI_RARE void cfuti_lock_contended(uint32_t *lock)
{
    unsigned round = 0;

    do {
        do cfuti_backoff(&round);
        while (cfuti_load_relaxed(lock));   /* relaxed: the exchange decides */
    } while (cfuti_exchange_acquire(lock, 1u));     /* acquire: as below */
}

static inline void cfuti_lock(uint32_t *lock)
{
    /* acquire: pairs with the release in cfuti_unlock; all that it guards */
    if (CFUTI_UNLIKELY(cfuti_exchange_acquire(lock, 1u))) cfuti_lock_contended(lock);
}

static void cfuti_unlock(uint32_t *lock)
{
    cfuti_store_release(lock, 0u);          /* release: to cfuti_lock */
}

/*=========================================================================
    >>thread   what the library knows about the calling thread
=========================================================================*/

/* What stops a group of calls within a task: a map's. Its caller waits for it,
   so what it names outside is there. */
typedef struct cfuti_scope {
    uint32_t stop;                  /* atomic */
    cfut_ns deadline;
    const cfut_future *task;        /* that of the caller, or NULL */
    const struct cfuti_scope *outer;    /* that the caller is in, or NULL */
} cfuti_scope;

/* One task that runs on this thread; on the stack of cfuti_execute. */
typedef struct cfuti_frame {
    cfut_future *future;
    cfut_executor *executor;
    uintptr_t outer;                /* the task that waits for this one here */
    const cfuti_scope *scope;       /* of the map that it is in, or NULL */
    int code;                       /* of text; 0: no text */
    char text[56];
} cfuti_frame;

/* What else the library is at on a thread, on the stack of the call that is at it, and in
   one list, the innermost first. Its top tells between which tasks it stands: so both
   together say what the thread's end leaves behind, and in which order. */
typedef enum cfuti_duty_kind {
    CFUTI_CALLING, CFUTI_FAILING, CFUTI_HELPING, CFUTI_COLLECTING, CFUTI_MAPPING, CFUTI_SHARING
} cfuti_duty_kind;

typedef struct cfuti_duty {
    struct cfuti_duty *outer;
    uintptr_t top;                  /* the innermost task when it began */
    cfuti_duty_kind kind;
} cfuti_duty;

/* CALLING: one future whose callbacks run on this thread. */
typedef struct cfuti_notice {
    cfuti_duty duty;
    cfut_future *future;
    struct cfuti_notice *outer;
    const char *text;
    uint32_t final;                 /* the state it will have */
    int status;
    uint32_t flags;                 /* of its state */
} cfuti_notice;

/* FAILING: one pool whose queued tasks this thread is failing, with their callbacks. */
typedef struct cfuti_failing {
    cfuti_duty duty;
    cfut_executor *pool;
    bool (*one)(const struct cfuti_failing *);      /* fails one; false: none was left, and
                                                       the pool is done with */
    uint32_t final;
    int status;
} cfuti_failing;

/* HELPING: a join of f that runs something else meanwhile. */
typedef struct cfuti_helping {
    cfuti_duty duty;
    cfut_future *f;
} cfuti_helping;

/* COLLECTING: a wait that runs what it waits for. */
typedef struct cfuti_collecting {
    cfuti_duty duty;
    cfuti_collector *c;
} cfuti_collecting;

/* MAPPING, SHARING: a range of a map; a map of which others have shares. See >>map. */

#if !CFUTI_INLINE
typedef struct cfuti_deque {        /* of one worker */
    size_t bot;                     /* written by the owner; see >>queue */
    size_t lim;
    size_t room;
    uintptr_t *ring;
    size_t mask;
} cfuti_deque;

typedef struct cfuti_place { uintptr_t top; } cfuti_place;
static CFUTI_TLS cfuti_place cfuti_here;
#define cfuti_place_here() (&cfuti_here)
#elif !defined(CFUT_STATIC)
static uintptr_t cfuti_no_ring;
static uint32_t cfuti_no_hint;
static cfuti_deque cfuti_no_deque = CFUTI_NO_DEQUE;
CFUTI_THREAD cfuti_place cfuti_here = { 0, &cfuti_no_deque };
#endif

typedef struct cfuti_thread {
    cfuti_place *place;             /* set before others look */
    cfuti_duty *duty;               /* the innermost */
    cfuti_notice *notice;           /* innermost completion with callbacks */
    struct cfuti_worker *worker;    /* the pool worker that this thread is */
    cfut_future *finishing;         /* see LIGHT in >>future */
    struct cfuti_thread *next_worker;   /* under the workers' lock */
    bool ending;                    /* by pthread_exit: it sees to what it leaves behind */
    bool woke;                      /* its last submit had to wake a worker */
    uint8_t helps;                  /* joins that run something else, one within the other */
    uint8_t waits;                  /* for results, since that submit: it is at a worker's
                                       heels, and should look less often */
    bool shares_cpu;                /* with the thread that it woke, or that woke it, last */
    cfut_ns limit;                  /* of what it submits, for a process pool; 0: none */
    const cfut_future *parcel;      /* that it submits: part of a map, for a process pool */
    const uint32_t *stop;           /* in a worker process: whether the task is asked to stop */
    struct cfuti_procs *managing;   /* the process pool whose manager it is */
    struct cfuti_procs *procs;      /* it is none, but stands for that pool's workers */
#ifdef CFUT_TRACE
    struct cfuti_track *track;      /* what it has done; see >>trace */
#endif
    /* under the graph lock */
    cfut_future *waiting;           /* blocked, without limit, on this */
    cfuti_collector *sleeping_in;   /* by this wait */
    bool doomed;                    /* it is to answer CFUT_DEADLOCK */
    struct cfuti_thread *next;      /* in the walk of >>graph */
    uint32_t visited;
} cfuti_thread;

static CFUTI_TLS cfuti_thread cfuti_thread_record;

/* A place's top is the innermost task of the thread: its frame, or its future | 1
   if that runs bare (see >>fork-join), which has none; its outer task is in the
   future's next then. 0: no task. */
static uintptr_t cfuti_top(void)
{
    return cfuti_place_here()->top;
}

static cfut_future *cfuti_future_at(uintptr_t top)
{
    if (top & 1) return (cfut_future *)(top - 1);
    return top ? ((const cfuti_frame *)top)->future : NULL;
}

/* The task that waits for this one here, or 0. */
static uintptr_t cfuti_outside(uintptr_t top)
{
    return top & 1 ? (uintptr_t)((const cfut_future *)(top - 1))->next
                   : ((const cfuti_frame *)top)->outer;
}

/* The innermost task that has one. */
static cfuti_frame *cfuti_frame_at(uintptr_t top)
{
    while (top & 1) top = cfuti_outside(top);
    return (cfuti_frame *)top;
}

/* Inside a task or a callback: who waits here holds others up. */
static bool cfuti_is_working(const cfuti_thread *t)
{
    return cfuti_top() || t->notice;
}

static void cfuti_duty_begin(cfuti_thread *t, cfuti_duty *d)
{
    d->outer = t->duty;
    d->top = cfuti_top();
    t->duty = d;
}

static void cfuti_duty_end(cfuti_thread *t, const cfuti_duty *d)
{
    t->duty = d->outer;
}

#ifndef cfuti_self
#define cfuti_self() (&cfuti_thread_record)
#endif

/* All workers of all pools, and the lock that keeps their threads from leaving. */
static cfuti_thread *cfuti_workers;
static uint32_t cfuti_workers_lock;

static void cfuti_workers_add(cfuti_thread *t)
{
    cfuti_lock(&cfuti_workers_lock);
    t->next_worker = cfuti_workers;
    cfuti_workers = t;
    cfuti_unlock(&cfuti_workers_lock);
}

/* t may not be there: in a forked child the list begins anew. */
static void cfuti_workers_remove(cfuti_thread *t)
{
    cfuti_thread **at = &cfuti_workers;

    cfuti_lock(&cfuti_workers_lock);
    while (*at && *at != t) at = &(*at)->next_worker;
    if (*at) *at = t->next_worker;
    cfuti_unlock(&cfuti_workers_lock);
}

/* Guards waiting, next and visited of all threads. Global, as waits lead from
   pool to pool; taken only by a task about to sleep, and by whoever completes
   what such a task sleeps for. */
static uint32_t cfuti_graph_lock;

/* Counts forks, in the state words' upper byte: a future that was pending at a
   fork is recognized in the child. */
static uint32_t cfuti_generation;

/*=========================================================================
    >>trace   the timeline: what ran where and when
=========================================================================*/

typedef enum cfuti_event_kind {
    CFUTI_SUBMITS, CFUTI_RUNS, CFUTI_ITEMS, CFUTI_WAITS_FOR, CFUTI_STEALS, CFUTI_CANCELS,
    CFUTI_MERGES                    /* a map goes on with a part that nobody has taken */
} cfuti_event_kind;

#ifdef CFUT_TRACE

/* Each thread appends what it does to a track of its own, in chunks that nobody else
   writes. A chunk's count is released after each event: who writes the file reads
   what is counted. Tracks are never freed, as a thread may be at its own at any time;
   one that ends leaves it behind.
   An event has its future's address, which is another's later. The file is written in
   the order of time, so the last submit of an address before it runs is the one.
   What ran in a worker process is recorded by its manager. */

enum { CFUTI_CHUNK_EVENTS = 127, CFUTI_EVENT_NAME = 28 };

typedef struct cfuti_event {
    cfut_ns at, took;
    const void *future;
    uint32_t kind;
    int32_t pid;                    /* of the worker process; 0: this one */
    uint32_t items;                 /* of a map */
    char name[CFUTI_EVENT_NAME];
} cfuti_event;

typedef struct cfuti_events {
    struct cfuti_events *next;      /* atomic */
    uint32_t n;                     /* atomic */
    cfuti_event event[CFUTI_CHUNK_EVENTS];
} cfuti_events;

typedef struct cfuti_track {
    struct cfuti_track *next;
    uint32_t number;
    char name[64];                  /* of its thread */
    cfuti_events *first;            /* atomic */
    cfuti_events *last;             /* its thread's */
} cfuti_track;

static uint32_t cfuti_tracing;          /* atomic: it records */
static uint32_t cfuti_trace_dropped;    /* atomic */
static uint32_t cfuti_trace_chunks;     /* atomic: how many there are */
static uint32_t cfuti_trace_lock;       /* guards the rest */
static cfuti_track *cfuti_tracks;       /* atomic, too: the newest first */
static char *cfuti_trace_path;
static cfut_ns cfuti_trace_since;

/* relaxed, here and below: what is recorded late or not at all is at the edge */
static bool cfuti_is_tracing(void) { return cfuti_load_relaxed(&cfuti_tracing) != 0; }

/* This thread's track, or NULL: no memory. */
static CFUTI_RARE cfuti_track *cfuti_track_here(void)
{
    cfuti_thread *t = cfuti_self();
    cfuti_track *k = t->track;

    if (k) return k;
    k = (cfuti_track *)cfuti_alloc(sizeof *k);
    if (!k) return NULL;
    cfuti_lock(&cfuti_trace_lock);
    k->next = cfuti_tracks;
    k->number = k->next ? k->next->number + 1 : 1;
    snprintf(k->name, sizeof k->name, "thread %u", (unsigned)k->number);
    cfuti_store_release(&cfuti_tracks, k);      /* release: the track; to the file's writer */
    cfuti_unlock(&cfuti_trace_lock);
    return t->track = k;
}

static void cfuti_trace_name(const char *name)
{
    cfuti_track *k = cfuti_is_tracing() ? cfuti_track_here() : NULL;

    if (!k) return;
    cfuti_lock(&cfuti_trace_lock);
    snprintf(k->name, sizeof k->name, "%s", name);
    cfuti_unlock(&cfuti_trace_lock);
}

/* One more chunk, or NULL. */
static CFUTI_RARE cfuti_events *cfuti_track_grow(cfuti_track *k)
{
    cfuti_events *c = NULL;

    if (cfuti_add_relaxed(&cfuti_trace_chunks, 1u) <= CFUT_TRACE_EVENTS / CFUTI_CHUNK_EVENTS)
        c = (cfuti_events *)cfuti_alloc(sizeof *c);
    if (!c) return NULL;
    /* release: the chunk; to the file's writer */
    if (k->last) cfuti_store_release(&k->last->next, c);
    else cfuti_store_release(&k->first, c);
    return k->last = c;
}

/* Where this thread's next event goes, or NULL: nowhere. */
static cfuti_events *cfuti_trace_room(void)
{
    cfuti_track *k = cfuti_track_here();
    cfuti_events *c = k ? k->last : NULL;

    if (k && (!c || c->n == CFUTI_CHUNK_EVENTS)) c = cfuti_track_grow(k);
    if (!c) cfuti_add_relaxed(&cfuti_trace_dropped, 1u);
    return c;
}

/* Now, or 0 if nothing is recorded. */
static cfut_ns cfuti_trace_begin(void)
{
    return cfuti_is_tracing() ? cfuti_now() : 0;
}

static void cfuti_trace_put(cfuti_event_kind kind, const cfut_future *f, const cfut_task *task,
                            cfut_ns at, cfut_ns took, int32_t pid, size_t items)
{
    const char *name = task && task->name ? task->name : "?";
    cfuti_events *c = cfuti_trace_room();
    cfuti_event *e = c ? &c->event[c->n] : NULL;

    if (!e) return;
    e->at = at;
    e->took = took;
    e->future = f;
    e->kind = kind;
    e->pid = pid;
    e->items = items < UINT32_MAX ? (uint32_t)items : UINT32_MAX;
    for (size_t i = 0; i < sizeof e->name - 1 && name[i]; i++) e->name[i] = name[i];
    cfuti_store_release(&c->n, c->n + 1);       /* release: the event; to the file's writer */
}

/* What began then is over. */
static void cfuti_trace_end(cfuti_event_kind kind, const cfut_future *f, const cfut_task *task,
                            cfut_ns began, size_t items)
{
    if (began) cfuti_trace_put(kind, f, task, began, cfuti_now() - began, 0, items);
}

static void cfuti_trace_mark(cfuti_event_kind kind, const cfut_future *f)
{
    if (cfuti_is_tracing()) cfuti_trace_put(kind, f, f->task, cfuti_now(), 0, 0, 0);
}

/* ---- the file ---- */

/* One event, for sorting. */
typedef struct cfuti_traced { const cfuti_event *event; uint32_t track; } cfuti_traced;

/* A submit that has not been seen to run yet. */
typedef struct cfuti_flow { const void *future; uint32_t number; } cfuti_flow;

typedef struct cfuti_trace_file {
    FILE *file;
    bool more;                      /* a line came before */
    cfuti_traced *traced;
    size_t n;
    cfuti_flow *flows;              /* hashed */
    size_t mask;
    uint32_t number;
    long queued;
} cfuti_trace_file;

static int cfuti_traced_compare(const void *a, const void *b)
{
    const cfuti_event *x = ((const cfuti_traced *)a)->event, *y = ((const cfuti_traced *)b)->event;

    if (x->at != y->at) return x->at < y->at ? -1 : 1;
    if (x->kind != y->kind) return x->kind < y->kind ? -1 : 1;
    return x->took == y->took ? 0 : x->took > y->took ? -1 : 1;
}

/* k's events since the recording began, n at most; into where, if that is not NULL. */
static size_t cfuti_track_collect(cfuti_track *k, cfuti_traced *where, size_t n)
{
    size_t found = 0;

    /* acquire, here and below: what the thread has released */
    for (cfuti_events *c = cfuti_load_acquire(&k->first); c; c = cfuti_load_acquire(&c->next)) {
        uint32_t have = cfuti_load_acquire(&c->n);

        for (uint32_t i = 0; i < have && found < n; i++) {
            if (c->event[i].at < cfuti_trace_since) continue;
            if (where) where[found].event = &c->event[i];
            if (where) where[found].track = k->number;
            found++;
        }
    }
    return found;
}

/* The same of all. A thread may add some meanwhile. */
static size_t cfuti_trace_collect(cfuti_traced *where, size_t n)
{
    size_t found = 0;

    for (cfuti_track *k = cfuti_load_acquire(&cfuti_tracks); k; k = k->next)
        found += cfuti_track_collect(k, where ? where + found : NULL, n - found);
    return found;
}

static void cfuti_trace_text(FILE *file, const char *text)
{
    putc('"', file);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == '"' || c == '\\') fprintf(file, "\\%c", c);
        else if (c < ' ') fprintf(file, "\\u%04x", c);
        else if (c >= 0x80) putc('?', file);            /* it may have been cut within */
        else putc(c, file);
    }
    putc('"', file);
}

/* Nanoseconds, as the microseconds that the format has; in every locale. */
static void cfuti_trace_time(FILE *file, const char *key, cfut_ns ns)
{
    fprintf(file, ",\"%s\":%lld.%03d", key, (long long)(ns / 1000), (int)(ns % 1000));
}

/* Begins an event: phase and place. The caller ends it. */
static void cfuti_trace_line(cfuti_trace_file *w, char phase, int pid, long tid)
{
    fprintf(w->file, "%s\n{\"ph\":\"%c\",\"pid\":%d,\"tid\":%ld", w->more ? "," : "", phase, pid,
            tid);
    w->more = true;
}

/* The same at the time and on the track of x. */
static void cfuti_trace_line_at(cfuti_trace_file *w, char phase, const cfuti_traced *x)
{
    const cfuti_event *e = x->event;

    cfuti_trace_line(w, phase, e->pid ? e->pid : 1, e->pid ? (long)e->pid : (long)x->track);
    cfuti_trace_time(w->file, "ts", e->at - cfuti_trace_since);
}

static void cfuti_trace_label(cfuti_trace_file *w, const cfuti_traced *x, const char *category)
{
    fprintf(w->file, ",\"cat\":\"%s\",\"name\":", category);
    cfuti_trace_text(w->file, x->event->name);
}

static void cfuti_trace_slice(cfuti_trace_file *w, const cfuti_traced *x, const char *category)
{
    cfuti_trace_line_at(w, 'X', x);
    cfuti_trace_time(w->file, "dur", x->event->took);
    cfuti_trace_label(w, x, category);
    if (x->event->items) fprintf(w->file, ",\"args\":{\"items\":%u}", (unsigned)x->event->items);
    putc('}', w->file);
}

static void cfuti_trace_instant(cfuti_trace_file *w, const cfuti_traced *x, const char *category)
{
    cfuti_trace_line_at(w, 'i', x);
    cfuti_trace_label(w, x, category);
    fputs(",\"s\":\"t\"}", w->file);
}

/* An arrow's begin or end. */
static void cfuti_trace_arrow(cfuti_trace_file *w, const cfuti_traced *x, char phase,
                              uint32_t number)
{
    cfuti_trace_line_at(w, phase, x);
    fprintf(w->file, ",\"bp\":\"e\",\"cat\":\"submit\",\"name\":\"runs\",\"id\":%u}",
            (unsigned)number);
}

/* The counter is the program's, wherever the task runs. */
static void cfuti_trace_queue(cfuti_trace_file *w, const cfuti_traced *x, long change)
{
    w->queued += change;
    cfuti_trace_line(w, 'C', 1, 0);
    cfuti_trace_time(w->file, "ts", x->event->at - cfuti_trace_since);
    fprintf(w->file, ",\"name\":\"queued\",\"args\":{\"tasks\":%ld}}", w->queued);
}

/* Where the last submit of a future is kept. */
static cfuti_flow *cfuti_flow_of(cfuti_trace_file *w, const void *future)
{
    size_t i = ((uintptr_t)future >> 4) * 2654435769u & w->mask;

    while (w->flows[i].future && w->flows[i].future != future) i = (i + 1) & w->mask;
    w->flows[i].future = future;
    return &w->flows[i];
}

/* The number of the submit that e's future comes from, or 0; it is that no more. */
static uint32_t cfuti_flow_end(cfuti_trace_file *w, const cfuti_event *e)
{
    cfuti_flow *flow = cfuti_flow_of(w, e->future);
    uint32_t number = flow->number;

    flow->number = 0;
    return number;
}

static void cfuti_trace_write(cfuti_trace_file *w, const cfuti_traced *x)
{
    const cfuti_event *e = x->event;
    uint32_t number;

    switch ((cfuti_event_kind)e->kind) {
    case CFUTI_SUBMITS:
        cfuti_trace_slice(w, x, "submit");
        cfuti_flow_of(w, e->future)->number = ++w->number;
        cfuti_trace_arrow(w, x, 's', w->number);
        cfuti_trace_queue(w, x, 1);
        break;
    case CFUTI_RUNS:
        cfuti_trace_slice(w, x, "task");
        number = cfuti_flow_end(w, e);
        if (number) cfuti_trace_arrow(w, x, 'f', number);
        if (number) cfuti_trace_queue(w, x, -1);
        break;
    case CFUTI_CANCELS:
    case CFUTI_MERGES:
        cfuti_trace_instant(w, x, e->kind == CFUTI_CANCELS ? "cancel" : "merge");
        if (cfuti_flow_end(w, e)) cfuti_trace_queue(w, x, -1);
        break;
    case CFUTI_ITEMS: cfuti_trace_slice(w, x, "items"); break;
    case CFUTI_WAITS_FOR: cfuti_trace_slice(w, x, "wait"); break;
    case CFUTI_STEALS: cfuti_trace_instant(w, x, "steal"); break;
    }
}

static void cfuti_trace_call(cfuti_trace_file *w, const char *what, int pid, long tid,
                             const char *name)
{
    cfuti_trace_line(w, 'M', pid, tid);
    fprintf(w->file, ",\"name\":\"%s\",\"args\":{\"name\":", what);
    cfuti_trace_text(w->file, name);
    fputs("}}", w->file);
}

/* The names of threads, and of worker processes when they come up first. */
static void cfuti_trace_names(cfuti_trace_file *w)
{
    cfuti_trace_call(w, "process_name", 1, 0, "program");
    for (cfuti_track *k = cfuti_load_acquire(&cfuti_tracks); k; k = k->next)
        cfuti_trace_call(w, "thread_name", 1, (long)k->number, k->name);
    for (size_t i = 0; i < w->n; i++) {
        int pid = w->traced[i].event->pid;
        cfuti_flow *seen = pid ? cfuti_flow_of(w, (const void *)(uintptr_t)pid) : NULL;
        char name[32];

        if (!seen || seen->number) continue;
        seen->number = 1;
        snprintf(name, sizeof name, "worker process %d", pid);
        cfuti_trace_call(w, "process_name", pid, pid, name);
        cfuti_trace_call(w, "thread_name", pid, pid, name);
    }
}

/* All of it into a file that is open. 0 or an errno code. */
static int cfuti_trace_fill(cfuti_trace_file *w)
{
    fputs("{\"displayTimeUnit\":\"ns\",\"traceEvents\":[", w->file);
    cfuti_trace_names(w);
    for (size_t i = 0; i < w->n; i++) cfuti_trace_write(w, &w->traced[i]);
    fprintf(w->file, "\n],\"otherData\":{\"dropped\":%u}}\n",
            (unsigned)cfuti_load_relaxed(&cfuti_trace_dropped));
    return ferror(w->file) ? EIO : 0;
}

/* Under the trace's lock. A status or an errno code. */
static int cfuti_trace_save(void)
{
    cfuti_trace_file w;
    size_t most = cfuti_trace_collect(NULL, SIZE_MAX);
    int status = CFUT_NO_MEMORY;

    memset(&w, 0, sizeof w);
    for (w.mask = 15; w.mask < 2 * most; ) w.mask = 2 * w.mask + 1;
    w.traced = (cfuti_traced *)cfuti_alloc(cfuti_size(most, sizeof *w.traced, 1));
    w.flows = (cfuti_flow *)cfuti_alloc(cfuti_size(w.mask + 1, sizeof *w.flows, 0));
    if (w.traced && w.flows) {
        w.n = cfuti_trace_collect(w.traced, most);
        qsort(w.traced, w.n, sizeof *w.traced, cfuti_traced_compare);
        errno = 0;
        w.file = fopen(cfuti_trace_path, "w");
        status = w.file ? cfuti_trace_fill(&w) : errno;
        if (w.file && fclose(w.file) != 0 && !status) status = errno;
    }
    CFUT_FREE(w.traced);
    CFUT_FREE(w.flows);
    return status;
}

static int cfuti_trace_stop(void)
{
    int status = CFUT_INVALID_STATE, old = cfuti_sys_shield();

    cfuti_lock(&cfuti_trace_lock);
    if (cfuti_is_tracing()) {
        cfuti_store_relaxed(&cfuti_tracing, 0u);
        status = cfuti_trace_save();
        CFUT_FREE(cfuti_trace_path);
        cfuti_trace_path = NULL;
    }
    cfuti_unlock(&cfuti_trace_lock);
    cfuti_sys_unshield(old);
    return status;
}

/* That the file can be written shows now. */
static int cfuti_trace_start(const char *path)
{
    size_t size = strlen(path) + 1;
    FILE *file;
    int status = CFUT_OK, old = cfuti_sys_shield();

    cfuti_lock(&cfuti_trace_lock);
    errno = 0;
    if (cfuti_is_tracing()) status = CFUT_INVALID_STATE;
    else if ((file = fopen(path, "a")) == NULL) status = errno;
    else if (fclose(file) != 0) status = errno;
    else if ((cfuti_trace_path = (char *)cfuti_alloc(size)) == NULL) status = CFUT_NO_MEMORY;
    if (!status) {
        memcpy(cfuti_trace_path, path, size);
        cfuti_trace_since = cfuti_now();
        cfuti_store_relaxed(&cfuti_trace_dropped, 0u);
        cfuti_store_relaxed(&cfuti_tracing, 1u);
    }
    cfuti_unlock(&cfuti_trace_lock);
    cfuti_sys_unshield(old);
    return status;
}

static uint32_t cfuti_trace_looked;     /* atomic: whether the environment asks for it */

/* In a worker process: the file is the host's. */
CFUTI_UNUSED static void cfuti_trace_forbid(void) { cfuti_trace_looked = 1; }

/* When the first pool is made. */
static void cfuti_trace_by_environment(void)
{
    bool first = !cfuti_exchange_acquire(&cfuti_trace_looked, 1u);
    const char *path = first ? getenv("CFUT_TRACE") : NULL;

    if (path && *path) cfuti_trace_start(path);
}

/* A file that is being written is not the child's to flush. */
static void cfuti_trace_fork_prepare(void) { cfuti_lock(&cfuti_trace_lock); }
static void cfuti_trace_fork_parent(void) { cfuti_unlock(&cfuti_trace_lock); }

static void cfuti_trace_fork_child(void)
{
    cfuti_store_relaxed(&cfuti_tracing, 0u);
    cfuti_store_relaxed(&cfuti_trace_lock, 0u);
}

#else

static inline bool cfuti_is_tracing(void) { return false; }
static inline void cfuti_trace_name(const char *name) { (void)name; }
static inline cfut_ns cfuti_trace_begin(void) { return 0; }
static inline void cfuti_trace_end(cfuti_event_kind kind, const cfut_future *f,
                                   const cfut_task *task, cfut_ns began, size_t items)
{
    (void)kind, (void)f, (void)task, (void)began, (void)items;
}
static inline void cfuti_trace_mark(cfuti_event_kind kind, const cfut_future *f)
{
    (void)kind, (void)f;
}
static inline int cfuti_trace_stop(void) { return CFUT_UNSUPPORTED; }
static inline int cfuti_trace_start(const char *path) { return (void)path, CFUT_UNSUPPORTED; }
static inline void cfuti_trace_by_environment(void) { }
CFUTI_UNUSED static inline void cfuti_trace_forbid(void) { }
static inline void cfuti_trace_fork_prepare(void) { }
static inline void cfuti_trace_fork_parent(void) { }
static inline void cfuti_trace_fork_child(void) { }

#endif /* CFUT_TRACE */

/*=========================================================================
    >>future   states, completion, collectors
=========================================================================*/

/* THE STATE WORD

   Bits 0..2 hold enum cfut_state, bits 24..31 the fork generation, the rest
   are flags. CANCELLED_AND_NOTIFIED and FINISHED are final.

     submit            -> PENDING              plain store, nobody else sees f yet
     cfuti_complete    -> FINISHED, NOTIFIED   the worker that has f's token, or
                                               whoever took f out of its queue
     by hand: cfut_start PENDING -> RUNNING, cfut_finish -> FINISHED,
              cfut_cancel PENDING -> CANCELLED, then cfut_start -> NOTIFIED

   Who may complete a submitted future is decided outside of this word: by its
   queue slot (>>queue). So starting it costs no atomic operation here; who runs
   it stands in f->owner, and "running" is PENDING with such an owner.

   LOCK is a lock bit. It guards the flags, u.before and waiters. Whoever wants
   to be told of the completion (collector, callback) takes it, adds himself,
   sets a flag. The completer's fast path is one compare-and-swap of a word
   without flags; any flag sends it to the slow path, which takes the lock.

   LIGHT. What a worker submits it mostly runs itself, at the wait, and nobody
   else ever looks. So where barriers are asymmetric (>>atomics) such a future
   begins with the flag LIGHT, and its finisher makes no atomic operation:
     finisher:  F1 name f in its thread's finishing    F2 load state: still LIGHT?
                F3 store the final state               F4 finishing is NULL again
     locker:    L1 swap LOCK in and LIGHT out, heavy   L2 look at finishing of all
   If F2 still sees LIGHT, L2 sees F1, and the first locker waits for F4: f is
   final then, F3 having overwritten the lock bit. Else the finisher sees the lock,
   and completes f as any other. The later lockers find no LIGHT, and pay nothing.
   The workers' records are in one list under one lock, so that L2 finds none
   whose thread is gone. Nor does it look, or pay the barrier, for a future in the
   deque of its own thread: that has not begun, and who takes it from there does so
   after L1, by the deque's lock.

   INVARIANT: the store that makes the state final is the last touch of f by
   the library. Before it every collector has been told (in its own memory, but
   not yet woken) and every callback has returned.

   WHAT WOULD BREAK IT, AND WHY IT CANNOT
   1. A waiter adds itself after the completer looked: it needs the lock, or the
      completer's compare-and-swap fails. Either the waiter sees a final state,
      or the completer sees the waiter.
   2. A waiter's time runs out while f completes, and f is freed by another
      thread while the waiter unlinks itself: see collectors.
   3. The completer wakes a waiter whose stack frame is gone: it releases the
      collector's lock as its last touch, and wakes by address.

   FORK. What was pending in the parent has its fork generation. If it has an
   owner, it is foreign: the child answers CFUT_FORKED and never locks it, as the
   threads that hold locks or would complete it stayed behind. If it has none
   (by hand), the child's first locker takes it over, lock bit or not, and leaves
   out whatever belonged to other threads (cfuti_inherit). u.before is never
   changed so that a copy taken halfway could not be read.

   COLLECTORS

   A collector is one call that waits, for one future (RESULT), a set (WAIT),
   or a set one by one (ITER). For each of its futures it has a link: inside
   the future if that place is free, else in a block of its own (on the stack
   for RESULT, allocated for a second wait on the same future).

   Each link is in one of two states under the collector's lock C: attached
   (f is not final, so f is there), or arrived. The completer, holding the
   future's lock F, goes to each collector: lock C, let the link arrive (which
   is bookkeeping in the collector's memory), unlock C. F is taken before C.
   With one collector the final store happens under C. With more, it happens
   after all have arrived; meanwhile they count it as arriving, and nobody
   returns from a wait while something is arriving: he would report a future
   as done that is not yet.

   Leaving early: the owner holds C and sees an attached link. So the completer
   has not passed this collector, so f is not final and its memory is there. F
   is needed to unlink, but F comes before C: so only try; when that fails, let
   go of C and begin again (the completer may be waiting for C while it holds F).

   An iterator hands out futures after their completion, so it keeps arrived
   ones in a list through their field next, claimed by the flag LINK, which
   stays in the final state until the future has been yielded. */

enum {
    CFUTI_STATE = 7,
    CFUTI_LOCK = 1 << 3,
    CFUTI_STOP = 1 << 4,            /* asked to stop */
    CFUTI_CALLBACK = 1 << 5,        /* u.before.fn is set */
    CFUTI_CALLBACKS = 1 << 6,       /* u.before.callbacks is set */
    CFUTI_LINK = 1 << 7,            /* u.before.link is set; when final: next is */
    CFUTI_WAITERS = 1 << 8,         /* waiters is set */
    CFUTI_COMPLETING = 1 << 9,      /* decided; its callbacks run */
    CFUTI_CANCELLING = 1 << 10,     /* decided: cancelled */
    CFUTI_TEXT = 1 << 11,           /* final: u.text is set */
    CFUTI_RELEASED = 1 << 12,       /* whoever completes it frees it */
    CFUTI_ACKNOWLEDGED = 1 << 13,   /* by hand: cfut_start came while a cancel ran callbacks */
    CFUTI_PARCEL = 1 << 16,         /* part of a cfuti_parcel */
    CFUTI_LIGHT = 1 << 14,          /* never locked yet, and a worker may finish it lightly */
    CFUTI_FORKED = 1 << 17,         /* by cfut_fork: next is the forking task's top */
    CFUTI_SLOW = CFUTI_LOCK | CFUTI_CALLBACK | CFUTI_CALLBACKS | CFUTI_LINK | CFUTI_WAITERS |
                 CFUTI_COMPLETING | CFUTI_RELEASED
};
#define CFUTI_GENERATION 0xff000000u
#define CFUTI_LIMIT (~(uint64_t)0 >> 8)             /* the time in u.before.limit */

enum { CFUTI_RESULT, CFUTI_WAIT, CFUTI_ITER };      /* kinds of collectors */

/* A link outside of its future. In a ring of f->waiters. */
typedef struct cfuti_extra {
    struct cfuti_extra *next, *prev;
    cfut_future *future;
    cfuti_link link;
} cfuti_extra;

/* Further callbacks, in a ring; u.before.callbacks is the last. */
typedef struct cfuti_callback {
    struct cfuti_callback *next;
    cfut_done_fn fn;
    void *user;
} cfuti_callback;

#if defined(__LP64__) || defined(_WIN64)
CFUTI_STATIC_ASSERT(sizeof(cfut_future) == 120, "an int to int future fits 128 bytes");
#endif
CFUTI_STATIC_ASSERT(sizeof(((cfut_future *)0)->u.before) <= 56, "callbacks fit the text's place");

enum { CFUTI_TEXT_SIZE = sizeof(((cfut_future *)0)->u.text) };

/* Where the innermost task keeps a text, which is for code. */
static char *cfuti_text_at(uintptr_t top, int code)
{
    cfut_future *f = (cfut_future *)(top - 1);
    cfuti_frame *frame = (cfuti_frame *)top;

    if (!(top & 1)) {
        frame->code = code;
        return frame->text;
    }
    f->state |= CFUTI_TEXT;         /* a bare one is known to this thread alone */
    f->status = code;
    return f->u.text;
}

static bool cfuti_is_final(uint32_t s)
{
    s &= CFUTI_STATE;
    return s == CFUT_STATE_CANCELLED_AND_NOTIFIED || s == CFUT_STATE_FINISHED;
}

/* Of a parent process, and not done when it forked: nobody will complete it. s:
   its state, or the view of it. One that is still bare was left there, too, or is
   asked about by somebody who must not. */
static bool cfuti_is_foreign(const cfut_future *f, uint32_t s)
{
    if (CFUTI_UNLIKELY(s & CFUTI_BARE)) return true;
    return CFUTI_UNLIKELY((s ^ cfuti_generation) & CFUTI_GENERATION) && !cfuti_is_final(s) &&
           cfuti_load_relaxed(&f->owner) != 0;      /* relaxed: written before the fork */
}

static void cfuti_dress(const cfut_future *f);      /* >>queue */

/* f's state; it is bare no more, if the caller is its forker. */
static inline uint32_t cfuti_state_of(const cfut_future *f)
{
    uint32_t s = cfuti_load_acquire(&f->state);     /* acquire: as in cfuti_view */

    if (CFUTI_LIKELY(!(s & CFUTI_BARE))) return s;
    cfuti_dress(f);
    return cfuti_load_acquire(&f->state);
}

static const cfuti_notice *cfuti_notice_of(const cfut_future *f)
{
    const cfuti_notice *n = cfuti_self()->notice;

    while (n && n->future != f) n = n->outer;
    return n;
}

/* f's state as this thread sees it: final inside its own callbacks. */
static uint32_t cfuti_view(const cfut_future *f)
{
    /* acquire: status, text and out, from the release that made it final */
    uint32_t s = cfuti_state_of(f);

    if (CFUTI_UNLIKELY(s & CFUTI_COMPLETING) && !cfuti_is_final(s)) {
        const cfuti_notice *n = cfuti_notice_of(f);
        if (n) return (s & ~(uint32_t)CFUTI_STATE) | n->final;
    }
    return s;
}

/* In a forked child, of a future that it may complete: without what belonged to
   threads that stayed behind. Its callbacks remain. */
static CFUTI_RARE uint32_t cfuti_inherit(const cfut_future *f, uint32_t s)
{
    s &= ~(uint32_t)(CFUTI_GENERATION | CFUTI_LOCK | CFUTI_LINK | CFUTI_WAITERS);
    if (!cfuti_notice_of(f)) s &= ~(uint32_t)(CFUTI_COMPLETING | CFUTI_CANCELLING);
    return s | cfuti_generation;
}

/* L2: waits until no worker is finishing f. */
static CFUTI_RARE void cfuti_wait_for_finisher(const cfut_future *f)
{
    cfuti_heavy();
    cfuti_lock(&cfuti_workers_lock);
    for (cfuti_thread *t = cfuti_workers; t; t = t->next_worker) {
        unsigned round = 0;

        /* acquire: the final state, from F4 */
        while (cfuti_load_acquire(&t->finishing) == f) cfuti_backoff(&round);
    }
    cfuti_unlock(&cfuti_workers_lock);
}

static bool cfuti_is_queued_here(struct cfuti_worker *w, const cfut_future *f);    /* >>queue */

/* Locks f unless it is final or fresh; returns the state before, which is no
   longer LIGHT. Not for one that is foreign. finisher: the caller is the only
   one who would finish it. */
static CFUTI_NOINLINE uint32_t cfuti_future_lock_as(cfut_future *f, bool finisher)
{
    unsigned round = 0;
    uint32_t s = cfuti_state_of(f), now;

    while (!cfuti_is_final(s) && (s & CFUTI_STATE) != CFUT_STATE_FRESH) {
        now = s;
        if (CFUTI_UNLIKELY((s ^ cfuti_generation) & CFUTI_GENERATION)) now = cfuti_inherit(f, s);
        if (now & CFUTI_LOCK) {
            cfuti_backoff(&round);
            s = cfuti_load_acquire(&f->state);
        } else if (cfuti_cas_acquire(&f->state, &s, (now & ~(uint32_t)CFUTI_LIGHT) | CFUTI_LOCK)) {
            /* acquire, also on failure: pairs with cfuti_future_unlock, or as in cfuti_view */
            if (CFUTI_LIKELY(!(now & CFUTI_LIGHT))) return now;
            if (!finisher && !cfuti_is_queued_here(cfuti_self()->worker, f)) {
                cfuti_wait_for_finisher(f);
                s = cfuti_load_acquire(&f->state);
                if (cfuti_is_final(s)) return s;
            }
            return now & ~(uint32_t)CFUTI_LIGHT;
        }
    }
    return s;
}

static uint32_t cfuti_future_lock(cfut_future *f)
{
    return cfuti_future_lock_as(f, false);
}

static bool cfuti_future_trylock(cfut_future *f, uint32_t *s)
{
    *s = cfuti_load_relaxed(&f->state);             /* relaxed: the swap decides */
    return !(*s & CFUTI_LOCK) && cfuti_cas_acquire(&f->state, s, *s | CFUTI_LOCK);
}

/* Stores s, whose LOCK bit is not set. */
static void cfuti_future_unlock(cfut_future *f, uint32_t s)
{
    cfuti_store_release(&f->state, s);              /* release: to the next locker */
}

/* ---- collectors ---- */

static cfuti_extra *cfuti_extras(const cfuti_collector *c)
{
    return (cfuti_extra *)c->block;
}

static cfuti_link *cfuti_link_at(const cfuti_collector *c, size_t i)
{
    return c->block ? &cfuti_extras(c)[c->at[i]].link : &c->fs[i]->u.before.link;
}

static void cfuti_ring_init(cfuti_link *head)
{
    head->a = head->b = (uintptr_t)head;
}

static cfuti_link *cfuti_ring_next(const cfuti_link *l) { return (cfuti_link *)l->b; }

static void cfuti_ring_insert(cfuti_link *head, cfuti_link *l)
{
    l->b = (uintptr_t)head;
    l->a = head->a;
    ((cfuti_link *)head->a)->b = (uintptr_t)l;
    head->a = (uintptr_t)l;
}

static void cfuti_ring_remove(cfuti_link *l)
{
    ((cfuti_link *)l->a)->b = l->b;
    ((cfuti_link *)l->b)->a = l->a;
}

/* WAIT: exchanges two entries; the one at k is attached. */
static void cfuti_swap_entries(cfuti_collector *c, size_t i, size_t k)
{
    cfut_future *f = c->fs[i];

    if (i == k) return;
    c->fs[i] = c->fs[k];
    c->fs[k] = f;
    if (c->block) {
        size_t e = c->at[i];
        c->at[i] = c->at[k];
        c->at[k] = e;
    }
    cfuti_link_at(c, i)->a = i;
}

/* Duplicates in a wait stand behind the distinct entries of fs. While their
   future is attached they form a chain: link->b is the position of the last,
   plus 1; each holds the next such number, shifted and marked by bit 0. A
   pointer to a future has its two lowest bits clear. mark: what to leave in
   their place, 0 done, 2 not done. */
static void cfuti_resolve_duplicates(cfuti_collector *c, cfuti_link *l, cfut_future *f,
                                     unsigned mark)
{
    uintptr_t i = l->b;

    while (i) {
        uintptr_t next = (uintptr_t)c->fs[i - 1] >> 1;
        c->fs[i - 1] = (cfut_future *)((uintptr_t)f | mark);
        i = next;
    }
    l->b = 0;
}

/* ITER: appends a future (or its extra, when the links are in a block) to the
   list of those to yield. */
static void cfuti_ready_append(cfuti_collector *c, cfut_future *f, cfuti_link *l)
{
    uintptr_t item;

    if (c->block) {
        item = (uintptr_t)CFUTI_OUTER(cfuti_extra, link, l);
        l->a = 0;
        if (c->ready) ((cfuti_extra *)c->ready_last)->link.a = item;
    } else {
        item = (uintptr_t)f;
        f->next = NULL;
        if (c->ready) ((cfut_future *)c->ready_last)->next = f;
    }
    if (!c->ready) c->ready = item;
    c->ready_last = item;
}

/* Under C, which follows a future in >>graph: no longer. */
static void cfuti_collector_unfollow(cfuti_collector *c)
{
    cfuti_lock(&cfuti_graph_lock);
    ((cfuti_thread *)c->thread)->waiting = NULL;
    cfuti_unlock(&cfuti_graph_lock);
    c->target = NULL;
}

/* Under F and C: one future of this collector is about to be final. */
static void cfuti_arrive(cfuti_collector *c, cfuti_link *l, cfut_future *f, uint32_t final)
{
    int status = f->status;

    c->pending--;
    if (c->want) c->want--;
    if (c->target == f) {           /* first of all: then no walk reads f's owner */
        cfuti_collector_unfollow(c);
        c->want = 0;                /* its owner looks for another one to follow */
    }
    if (c->kind == CFUTI_ITER) {
        cfuti_ring_remove(l);
        cfuti_ready_append(c, f, l);
        /* relaxed: see cfuti_iter_attach_done */
        if (!c->block) cfuti_store_relaxed(&f->owner, (uintptr_t)c | 2);
    } else {
        cfuti_resolve_duplicates(c, l, f, 0);
        cfuti_swap_entries(c, (size_t)l->a, c->done);
        c->done++;
        c->status = status;
        if (c->when == CFUT_FIRST_ERROR && status && final == CFUT_STATE_FINISHED) {
            c->when = CFUT_FIRST_COMPLETED;     /* one is done: that is enough now */
            c->want = 0;
        }
    }
}

/* Under C: whether its owner sleeps and should not; then it counts as awake. */
static bool cfuti_should_wake(cfuti_collector *c)
{
    /* relaxed: doom may clear it, too */
    if (!cfuti_load_relaxed(&c->word) || c->want || c->arriving) return false;
    cfuti_store_relaxed(&c->word, 0u);      /* relaxed: C carries what it stands for */
    return true;
}

/* Unlocks c, which may be gone at once, and wakes its owner. */
static void cfuti_collector_unlock(cfuti_collector *c)
{
    bool wake = cfuti_should_wake(c);
    uint32_t *word = &c->word;

    if (wake) {
        int cpu = cfuti_cpu();

        cfuti_self()->shares_cpu = c->shares_cpu = cpu >= 0 && cpu == c->cpu;
    }
    cfuti_unlock(&c->lock);         /* last touch of c */
    if (wake) cfuti_wake_word(word);
}

/* ---- completion ---- */

static void cfuti_waiters_add(cfut_future *f, uint32_t *s, cfuti_extra *e)
{
    cfuti_extra *first = (cfuti_extra *)f->waiters;

    e->future = f;
    if (*s & CFUTI_WAITERS) {
        e->next = first;
        e->prev = first->prev;
        e->prev->next = first->prev = e;
    } else {
        e->next = e->prev = e;
        f->waiters = e;
        *s |= CFUTI_WAITERS;
    }
}

static void cfuti_waiters_remove(cfut_future *f, uint32_t *s, cfuti_extra *e)
{
    if (e->next == e) {
        *s &= ~(uint32_t)CFUTI_WAITERS;
        return;
    }
    e->prev->next = e->next;
    e->next->prev = e->prev;
    if (f->waiters == e) f->waiters = e->next;
}

/* Writes the text and makes f final (or CANCELLED by hand). f has been its
   owner's since. */
static void cfuti_store_final(cfut_future *f, uint32_t s, uint32_t final, const char *text)
{
    uint32_t keep = s & (CFUTI_GENERATION | CFUTI_LINK);

    if (text) {
        memcpy(f->u.text, text, sizeof f->u.text);
        keep |= CFUTI_TEXT;
    }
    /* release: out, status, text; pairs with cfuti_view. last touch */
    cfuti_store_release(&f->state, keep | final);
}

/* Lets one link arrive; the collector waits for cfuti_settle_one then. */
static cfuti_collector *cfuti_arrive_one(cfuti_link *l, cfut_future *f, uint32_t final)
{
    cfuti_collector *c = l->collector;

    cfuti_lock(&c->lock);
    cfuti_arrive(c, l, f, final);
    c->arriving++;
    cfuti_unlock(&c->lock);
    return c;
}

static void cfuti_settle_one(cfuti_collector *c)
{
    cfuti_lock(&c->lock);
    c->arriving--;
    cfuti_collector_unlock(c);
}

/* More than one collector: all arrive, then f is final, then all are woken.
   The extras of a collector stay while something is arriving there. */
static CFUTI_RARE void cfuti_publish_to_many(cfut_future *f, uint32_t s, uint32_t final,
                                             const char *text)
{
    cfuti_extra *first = (cfuti_extra *)f->waiters, *e = first;
    cfuti_collector *inside = NULL;

    if (s & CFUTI_LINK) {
        inside = cfuti_arrive_one(&f->u.before.link, f, final);
        if (inside->kind != CFUTI_ITER) s &= ~(uint32_t)CFUTI_LINK;
    }
    do {
        cfuti_arrive_one(&e->link, f, final);
        e = e->next;
    } while (e != first);
    first->prev->next = NULL;

    cfuti_store_final(f, s, final, text);
    if (inside) cfuti_settle_one(inside);
    for (e = first; e; ) {
        cfuti_extra *next = e->next;
        cfuti_settle_one(e->link.collector);
        e = next;
    }
}

/* Exactly one collector: f is final before that can be seen. */
static void cfuti_publish_to_one(cfut_future *f, uint32_t s, uint32_t final, const char *text,
                                 cfuti_link *l)
{
    cfuti_collector *c = l->collector;

    cfuti_lock(&c->lock);
    cfuti_arrive(c, l, f, final);
    if (c->kind != CFUTI_ITER || c->block) s &= ~(uint32_t)CFUTI_LINK;
    cfuti_store_final(f, s, final, text);
    cfuti_collector_unlock(c);
}

/* Under F, whose flags are s: callbacks have run; tells the collectors. */
static void cfuti_publish(cfut_future *f, uint32_t s, uint32_t final, const char *text)
{
    cfuti_extra *first = (cfuti_extra *)f->waiters;

    if (CFUTI_UNLIKELY(s & CFUTI_RELEASED))
        CFUT_FREE(f);
    else if (!(s & (CFUTI_LINK | CFUTI_WAITERS)))
        cfuti_store_final(f, s, final, text);
    else if (!(s & CFUTI_WAITERS))
        cfuti_publish_to_one(f, s, final, text, &f->u.before.link);
    else if (!(s & CFUTI_LINK) && first->next == first)
        cfuti_publish_to_one(f, s, final, text, &first->link);
    else
        cfuti_publish_to_many(f, s, final, text);
}

/*=========================================================================
    >>callbacks   cfut_on_done, and calling a task
=========================================================================*/

static void cfuti_worker_is_busy(struct cfuti_worker *w);       /* >>pool */
static void cfuti_unwind_to(void *arg);                         /* >>pool */

/* A call of user code, and what the thread was at before. */
typedef struct cfuti_user {
    void (*fn)(void *);
    void *arg;
    const cfuti_duty *duty;
    uintptr_t top;
} cfuti_user;

/* Calls fn at some distance below the guard in the stack: what it uses there is not
   overwritten at once when it ends the thread. See cfuti_sys_thread_padded. */
static CFUTI_NOINLINE void cfuti_call_beyond_pad(void *arg)
{
    const cfuti_user *user = (const cfuti_user *)arg;
    char pad[CFUTI_PAD];

    __asm__ __volatile__("" : : "r"(pad) : "memory");
    user->fn(user->arg);
    __asm__ __volatile__("" : : "r"(pad) : "memory");
}

/* Calls fn(arg), which calls user code. Should that end the thread, what fn was at comes
   to its end (cfuti_unwind_to). Workers and managers have cfuti_thread_abandoned around
   all of their life for that; on other threads each such call has a guard of its own. A
   thread ends but once. */
static void cfuti_call_user(cfuti_thread *t, void (*fn)(void *), void *arg)
{
    cfuti_user user = { fn, arg, t->duty, cfuti_top() };

    if (t->worker || t->managing || t->ending) fn(arg);
    else cfuti_guard(cfuti_call_beyond_pad, cfuti_unwind_to, &user);
}

/* Under F: takes the oldest callback out. *node: to be freed once F is let go,
   or NULL; a fork may come before that, and the child see it as before. */
static bool cfuti_take_callback(cfut_future *f, uint32_t *s, cfuti_callback *cb,
                                cfuti_callback **node)
{
    cfuti_callback *last, *first;

    *node = NULL;
    if (*s & CFUTI_CALLBACK) {
        cb->fn = f->u.before.fn;
        cb->user = f->u.before.user;
        *s &= ~(uint32_t)CFUTI_CALLBACK;
        return true;
    }
    if (!(*s & CFUTI_CALLBACKS)) return false;
    last = (cfuti_callback *)f->u.before.callbacks;
    first = last->next;
    *cb = *first;
    if (first == last) *s &= ~(uint32_t)CFUTI_CALLBACKS;
    last->next = first->next;
    *node = first;
    return true;
}

/* Under F, which is let go while user code runs: other threads may still add
   callbacks and waiters, so it looks until there are none. */
static void cfuti_notice_run(void *arg)
{
    cfuti_thread *t = cfuti_self();
    cfuti_notice *n = (cfuti_notice *)arg;
    cfuti_callback cb, *node;

    n->outer = t->notice;
    t->notice = n;
    cfuti_duty_begin(t, &n->duty);
    while (cfuti_take_callback(n->future, &n->flags, &cb, &node)) {
        cfuti_future_unlock(n->future, n->flags);
        if (node) CFUT_FREE(node);
        cb.fn(n->future, cb.user);
        n->flags = cfuti_future_lock(n->future);
    }
    cfuti_duty_end(t, &n->duty);
    t->notice = n->outer;
}

/* Under F: runs f's callbacks, which are told the end that n says. */
static CFUTI_RARE void cfuti_run_callbacks(cfuti_notice *n)
{
    cfuti_thread *t = cfuti_self();

    if (t->worker) cfuti_worker_is_busy(t->worker);
    cfuti_call_user(t, cfuti_notice_run, n);
}

static void cfuti_cancelled_by_hand(cfut_future *f, uint32_t s);        /* >>public */

/* Under F: the callbacks have run. */
static void cfuti_conclude(const cfuti_notice *n)
{
    if (n->final == CFUT_STATE_CANCELLED) cfuti_cancelled_by_hand(n->future, n->flags);
    else cfuti_publish(n->future, n->flags, n->final, n->text);
}

/* Under F: decides f's end, runs its callbacks. Returns the flags. */
static uint32_t cfuti_decide(cfut_future *f, uint32_t s, uint32_t final, int status,
                             const char *text)
{
    cfuti_notice notice = { { NULL, 0, CFUTI_CALLING }, f, NULL, text, final, status,
                            s | CFUTI_COMPLETING };

    f->status = status;
    if (final != CFUT_STATE_FINISHED) {
        notice.flags |= CFUTI_CANCELLING;
        cfuti_trace_mark(CFUTI_CANCELS, f);
    }
    if (s & (CFUTI_CALLBACK | CFUTI_CALLBACKS)) cfuti_run_callbacks(&notice);
    return notice.flags;
}

static CFUTI_NOINLINE void cfuti_complete_slow(cfut_future *f, uint32_t final, int status,
                                               const char *text)
{
    uint32_t s = cfuti_load_relaxed(&f->state);     /* relaxed: f is ours to complete */

    if (cfuti_is_foreign(f, s)) return;             /* locks may be held by the dead */
    s = cfuti_future_lock_as(f, true);
    s = cfuti_decide(f, s, final, status, text);
    cfuti_publish(f, s, final, text);
}

/* A worker's end of a LIGHT future; false: somebody has locked it. */
static inline bool cfuti_finish_lightly(cfuti_thread *t, cfut_future *f, uint32_t final)
{
    uint32_t s;

    cfuti_store_light(&t->finishing, f);                    /* F1 */
    s = cfuti_load_light(&f->state);                        /* F2 */
    if (CFUTI_LIKELY(s & CFUTI_LIGHT))
        /* release: out and status; pairs with cfuti_view. last touch */
        cfuti_store_release(&f->state, (s & CFUTI_GENERATION) | final);     /* F3 */
    cfuti_store_release(&t->finishing, (cfut_future *)NULL);    /* F4; release: to L2 */
    return (s & CFUTI_LIGHT) != 0;
}

/* Completes f, which the caller has taken (by its slot, or out of its queue).
   text: 56 bytes, or NULL. f is its owner's when this returns. */
static inline void cfuti_complete(cfut_future *f, uint32_t final, int status, const char *text)
{
    uint32_t s = cfuti_load_relaxed(&f->state);     /* relaxed: the swap decides */
    cfuti_thread *t = cfuti_self();

    f->status = status;
    if ((s & CFUTI_LIGHT) && !text && t->worker && cfuti_finish_lightly(t, f, final)) return;
    /* release: out and status; pairs with cfuti_view. last touch. acquire: what a
       canceller that came too late did with the pool, before the pool may end */
    if (CFUTI_LIKELY(!text && !(s & CFUTI_SLOW)) &&
        cfuti_cas_acq_rel(&f->state, &s, (s & CFUTI_GENERATION) | final))
        return;
    cfuti_complete_slow(f, final, status, text);
}

/* Futures mostly lie in arrays and are submitted, and asked, one by one: asks the
   cache for those that will come. A wrong guess costs a nanosecond; a prefetch
   never faults. */
static inline void cfuti_prefetch_array(const cfut_future *f)
{
    uintptr_t next = (uintptr_t)f + CFUTI_AHEAD * sizeof(cfut_future);

    __builtin_prefetch((const void *)(next + offsetof(cfut_future, state)));
    __builtin_prefetch((const void *)(next + sizeof(cfut_future) + 7));
}

/* A submit that is refused: nobody else has seen f. */
static CFUTI_RARE void cfuti_refuse(cfut_future *f, int status, const char *text)
{
    f->status = status;
    f->owner = 0;
    if (text) {
        memset(f->u.text, 0, sizeof f->u.text);
        memcpy(f->u.text, text, strlen(text) < 55 ? strlen(text) : 55);
    }
    /* release: to whoever gets f from the submitter */
    cfuti_store_release(&f->state, cfuti_generation | (text ? (uint32_t)CFUTI_TEXT : 0u) |
                                   CFUT_STATE_FINISHED);
}

#if CFUTI_EXCEPTIONS
/* pthread_exit unwinds as an exception does, and goes on from here, over the frames of
   what the call was at: that comes to its end first. An exception leaves nothing behind. */
struct cfuti_called {
    cfuti_user user;
    cfuti_frame *frame;
    const cfuti_scope *scope;       /* the frame's, when the call began */

    ~cfuti_called()
    {
        if (cfuti_self()->duty == user.duty && cfuti_top() == user.top) return;
        frame->scope = scope;
        cfuti_unwind_to(&user);
    }
};

/* At some distance below the object above: see cfuti_call_beyond_pad. */
static CFUTI_NOINLINE int cfuti_call_deeper(const cfut_task *task, const void *in, void *out)
{
    char pad[CFUTI_PAD];
    int status;

    __asm__ __volatile__("" : : "r"(pad) : "memory");
    status = task->fn(in, out);
    __asm__ __volatile__("" : : "r"(pad) : "memory");
    return status;
}
#endif

/* Takes one future, inlines the task's function. Exceptions become a status. outer: the
   innermost task that goes on when the call ends the thread. */
static int cfuti_call(const cfut_task *task, const void *in, void *out, cfuti_frame *frame,
                      uintptr_t outer)
{
#if CFUTI_EXCEPTIONS
    try {
        cfuti_called called = { { NULL, NULL, cfuti_self()->duty, cfuti_top() }, frame,
                                frame->scope };

        (void)called;
        return cfuti_call_deeper(task, in, out);
#if defined(__GLIBCXX__)
    } catch (abi::__forced_unwind &) {
        cfuti_user user = { NULL, NULL, cfuti_self()->duty, outer };

        cfuti_unwind_to(&user);     /* now the task itself */
        throw;                      /* pthread_exit */
#endif
    } catch (const std::exception &e) {
        snprintf(frame->text, sizeof frame->text, "%s", e.what());
    } catch (...) {
        snprintf(frame->text, sizeof frame->text, "unknown exception");
    }
    frame->code = CFUT_FAILED;
    return CFUT_FAILED;
#else
    (void)frame;
    (void)outer;
    return task->fn(in, out);
#endif
}

static void cfuti_worker_before_done(struct cfuti_worker *w);   /* >>pool */

/* Calls f's task in a frame on this thread. Returns the status. */
static inline int cfuti_call_in_frame(cfut_future *f, cfuti_frame *frame)
{
    cfuti_place *here = cfuti_place_here();
    cfut_ns began;
    int status;

    frame->future = f;
    frame->outer = here->top;
    frame->scope = NULL;
    frame->code = 0;
    here->top = (uintptr_t)frame;
    began = cfuti_trace_begin();
    status = cfuti_call(f->task, f->in, f->out, frame, frame->outer);
    cfuti_trace_end(CFUTI_RUNS, f, f->task, began, 0);
    here->top = frame->outer;
    return CFUTI_UNLIKELY(status == CFUT_TIMEOUT) ? ETIMEDOUT : status;
}

/* Starts, calls and finishes f, which this thread has taken. Returns the status,
   since f is its owner's afterwards. */
static int cfuti_execute(cfuti_thread *t, cfut_future *f)
{
    cfuti_frame frame;
    int status;

    frame.executor = (cfut_executor *)f->owner;
    cfuti_store_release(&f->owner, (uintptr_t)t | 1);   /* release: t; to cfuti_graph_stuck */
    status = cfuti_call_in_frame(f, &frame);
    if (t->worker && !cfuti_is_working(t)) cfuti_worker_before_done(t->worker);
    cfuti_complete(f, CFUT_STATE_FINISHED, status,
                   status && frame.code == status ? frame.text : NULL);
    return status;
}

typedef struct cfuti_execution { cfut_future *f; int status; } cfuti_execution;

static void cfuti_execute_user(void *arg)
{
    cfuti_execution *e = (cfuti_execution *)arg;

    e->status = cfuti_execute(cfuti_self(), e->f);
}

/* On any thread. */
static int cfuti_execute_guarded(cfuti_thread *t, cfut_future *f)
{
    cfuti_execution e = { f, CFUT_OK };

    cfuti_call_user(t, cfuti_execute_user, &e);
    return e.status;
}

/*=========================================================================
    >>queue   the worker's deque, the pool's inbox, the spill list
=========================================================================*/

/* THE SLOT IS THE TOKEN

   A queued future stands in exactly one place: a slot of a worker's deque, a
   slot of the pool's inbox, or the pool's spill list. f->slot says where.
   Whoever takes it out of there (the worker to run it, a thief, a task that
   waits for it, cfut_cancel, cfut_close) owns it alone. A slot holds EMPTY, DEAD
   or the future. In the inbox one atomic operation on the slot takes it, in a
   deque the rules below say who may, in the list the pool's lock does. So a
   cancelled future is out of the queue at
   once, and starting a task needs no second atomic on its state.
   The address in a slot may be that of a future that was taken, ended, freed
   and queued again meanwhile (ABA): no harm, whoever swaps it out got what is
   queued there now.

   DEQUE (split as in Dijk and van de Pol, "Lace", MuCoCoS 2014; the boundary as
   in Frigo, Leiserson, Randall, Cilk-5, PLDI 1998)

   A ring per worker, indices that run freely. What is queued stands in
   [top, bot), some of it DEAD. lim divides it:
     [top, lim)  shared: whoever holds the deque's lock may take or kill there
     [lim, bot)  private: the owner alone, without any atomic operation
   top and lim change under the lock, bot is the owner's.
     push      owner      slot, then bot + 1; not at room, which is how far top is
                          known to leave slots free, but for one
     pop       owner      bot - 1, then reads lim; if that is above: under the lock
     steal     thief      at top; if nothing is shared, raises lim first
     kill      canceller  anywhere; raises lim above the slot first
   The owner lowers bot and then reads lim; whoever raises lim reads bot after it:
     owner:   O1 store bot    O2 load lim
     raiser:  R1 store lim    R2 load bot
   The two pairs are ordered against each other (cfuti_store_light and
   cfuti_raise), so not both miss: if the owner does not see R1, R2 sees O1, and
   the raiser lets go what is no longer there (the rest is shared then). If both
   see each other, the lock decides: the owner gets what is still there once it
   holds it; until then bot stands below lim.
   WHAT WOULD BREAK IT. Reading lim before bot is lowered: the raiser reads the
   old bot, the owner the old lim, and both take the same task.

   The order is asymmetric where the system can (membarrier on Linux): the owner
   pays nothing, the raiser makes all threads of the process pass a barrier, some
   6 us. So raising is the exception: an owner that pushes while somebody is idle
   shares all it has (cfuti_share); only who is about to sleep takes private tasks
   from a worker that does not push. An owner that has to take the lock to pop
   takes half of what is shared back, if nobody is idle.

   INBOX

   A ring of slots for what comes from outside, oldest first. Producers fill it
   under the pool's lock: f->slot, the slot, then tail. A worker claims a range
   of indices by moving head, and consumes its slots one by one; the futures
   stay where they are. Its range [lo, hi) is published, so that others may
   steal what waits behind a long task. A worker claims no more than it got done
   in some 50 us before, and no more than its share.
   Claiming an index gives nothing but the turn: the slot is the token. Stale
   bounds of a range do no harm.
   A slot that is not EMPTY at tail means full (or that a claimed one is late);
   then, and until it has been emptied, futures go to the spill list, which
   workers move into the inbox when that is empty.
   The ring is large, and its memory is touched where tail comes for the first time:
   each 512th round trip took 7 us, not 2.3, for a new page. So if nothing waits when tail
   comes to such a slot, head and tail both jump to the next index whose slot is the
   ring's first: one that holds but a few stays small. Not in a stream of tiny tasks,
   whose producer would wait for lines that the worker has just emptied: 36 ns a task,
   and with new memory 30.

   SPILL LIST

   Doubly linked through the futures, under the pool's lock, so a cancel is
   O(1). f->next leads on, f->slot is the one before, marked by bit 0. A
   canceller that finds f->slot naming a slot without f in it cannot tell "not
   moved there yet" from "taken"; once it has held the lock, it can. */

enum { CFUTI_EMPTY = 0, CFUTI_DEAD = 1 };       /* in a slot */
enum { CFUTI_UNQUEUED = 0, CFUTI_LISTED = 1 };  /* in f->slot; else a slot's address */

typedef struct cfuti_pool cfuti_pool;

typedef struct cfuti_worker {
    /* owner */
    cfuti_deque deque;              /* others read bot; lim is written under lock; ring
                                       is fixed, mask a power of two less one */
    cfuti_pool *pool;
#if CFUTI_INLINE
    cfuti_deque no_deque;           /* for inlined forks where they must not be */
    uintptr_t no_ring;
#endif
    uint32_t tick, random;
    uint32_t chunk;                 /* how many to take at once */
    uint32_t chunk_taken;           /* how many it took last, */
    cfut_ns chunk_began;            /* and when */
    bool token, idle;               /* under the pool's lock: see >>sleep */
    bool cold;                      /* its last sleep was long */
    bool tiny;                      /* it takes tiny tasks from outside, and is counted */
    bool crowded;                   /* it would, too, but is not needed */
    bool force;                     /* private tasks of others are worth a barrier; set by
                                       others while it is parked, under the pool's lock */
    char name[64];
    cfuti_os_thread thread;         /* stored by the thread itself */
    bool used, gone;                /* under the pool's lock */
    bool ready;                     /* past its initializer, before its finalizer; its own */
    int woken_on;                   /* the CPU of who woke it, + 1; 0 once it was idle */
    struct cfuti_worker *next_parked;
    char pad1[CFUTI_CACHE_LINE];
    /* any worker */
    uint32_t lock;                  /* of the deque */
    uint32_t word;                  /* 0: sleeps while parked; 1: woken */
    size_t top;                     /* written under lock; others read it as a hint */
    size_t strange;                 /* what stands below it was pushed by a thread that is
                                       gone; under lock */
    size_t lo, hi;                  /* its range of the inbox; written by the owner */
    size_t seen;                    /* its lo at anybody's last look, see cfuti_watch */
    cfuti_thread *record;           /* its thread's; NULL: not running yet */
    char pad2[CFUTI_CACHE_LINE];
} cfuti_worker;

struct cfuti_pool {
    cfut_executor base;
    /* fixed after creation */
    cfuti_worker *workers;
    uintptr_t *inbox;               /* CFUTI_INBOX slots */
    size_t max_workers;
    size_t ring;                    /* slots of each worker's deque */
    size_t stack_size;
    int (*initializer)(void *);
    void (*finalizer)(void *);
    void *init_arg;
    int exit;
    char prefix[48];
    /* under the registry's lock */
    cfuti_pool *next, *prev;
    char pad1[CFUTI_CACHE_LINE];
    /* read by workers with every task, so on no line that producers write; written
       under lock */
    uint32_t hint;                  /* see cfuti_hint_update; 0: nobody else could help */
    int refuse_inside;              /* a status for submits from its own tasks */
    size_t started;                 /* threads reserved, ever */
    uint32_t tiny;                  /* workers that take tiny tasks from outside; atomic */
    char pad2[CFUTI_CACHE_LINE];
    /* workers */
    size_t head;                    /* the next index of the inbox to claim */
    char pad3[CFUTI_CACHE_LINE];
    /* under lock */
    uint32_t lock;
    size_t tail;                    /* the next index of the inbox to fill */
    size_t reached;                 /* no slot from this one on has ever been used */
    size_t reached_by;              /* what tail was when it last came to that slot, */
    cfut_ns reached_at;             /* and when */
    cfut_future *spill_first, *spill_last;
    size_t high;                    /* workers[0..high) have been used */
    size_t left;                    /* of the started ones, gone */
    size_t idle;                    /* neither running a task nor about to */
    size_t parked;
    cfuti_worker *parked_first;
    cfut_ns retry_at;               /* no thread could be started: not before */
    bool searching;                 /* somebody holds the search token, */
    bool relied;                    /* and somebody has parked because of that */
    size_t users;                   /* calls that touch the workers: no end before them */
    size_t failing;                 /* of these, who takes tasks out to fail them */
    bool closed, over, detached, reaping;
    uint32_t ended;                 /* 1: all threads gone; 2: freed; see >>pool */
};

/* In a forked child: its locks may be held by threads that are gone. */
static bool cfuti_pool_is_forked(const cfuti_pool *p)
{
    return cfuti_load_relaxed(&p->base.status) == CFUT_FORKED;  /* relaxed: one thread there */
}

static uintptr_t *cfuti_slot(cfuti_worker *w, size_t i)
{
    return &w->deque.ring[i & w->deque.mask];
}

/* Whether index a lies below b. */
static inline bool cfuti_below(size_t a, size_t b)
{
    return (ptrdiff_t)(a - b) < 0;
}

/* Owner: whether there is room for one more. One slot is left free, see >>fork-join. */
static CFUTI_RARE bool cfuti_has_room(cfuti_worker *w)
{
    /* acquire: whoever took what stood there has read it; from cfuti_deque_steal */
    w->deque.room = cfuti_load_acquire(&w->top) + w->deque.mask;
    return cfuti_below(w->deque.bot, w->deque.room);
}

/* Owner: false when full. */
static inline bool cfuti_push(cfuti_worker *w, cfut_future *f)
{
    size_t b = w->deque.bot;
    uintptr_t *slot = cfuti_slot(w, b);

    if (CFUTI_UNLIKELY(!cfuti_below(b, w->deque.room)) && !cfuti_has_room(w)) return false;
    cfuti_store_relaxed(&f->slot, (uintptr_t)slot); /* relaxed: bot carries it */
    cfuti_store_relaxed(slot, (uintptr_t)f);
    cfuti_store_light(&w->deque.bot, b + 1);        /* P1, then P2: see >>sleep */
    return true;
}

/* f, forked bare, was taken out of its slot, or found in it, or runs on this
   thread: writes what the fork has left out. */
static CFUTI_RARE void cfuti_dress_as(cfut_future *f, uintptr_t owner, uintptr_t slot)
{
    uint32_t s = cfuti_load_relaxed(&f->state);     /* relaxed: under the lock, or ours */
    const cfuti_typed *typed = (const cfuti_typed *)(const void *)f->task;

    f->in = (const char *)f + typed->in_at;
    f->out = typed->out_at ? (char *)f + typed->out_at : NULL;
    f->owner = owner;
    cfuti_store_relaxed(&f->slot, slot);    /* relaxed: a join compares it */
    /* release: to cfuti_state_of */
    cfuti_store_release(&f->state, cfuti_generation | (s & ~CFUTI_BARE));
}

/* The same for one that is not queued any more, if it is bare. */
static inline void cfuti_dress_taken(const cfuti_worker *w, cfut_future *f)
{
    if (cfuti_load_relaxed(&f->state) & CFUTI_BARE)     /* relaxed: as above */
        cfuti_dress_as(f, (uintptr_t)w->pool, CFUTI_UNQUEUED);
}

/* Under lock: the index from top on that a slot has. */
static size_t cfuti_index_of(const cfuti_worker *w, const uintptr_t *slot)
{
    return w->top + (((size_t)(slot - w->deque.ring) - w->top) & w->deque.mask);
}

/* Whether f stands in the deque of w, which is the calling thread's, or NULL. */
static bool cfuti_is_queued_here(cfuti_worker *w, const cfut_future *f)
{
    uintptr_t slot = cfuti_load_relaxed(&f->slot);
    bool here;

    if (!w || slot - (uintptr_t)w->deque.ring > w->deque.mask * sizeof(uintptr_t)) return false;
    cfuti_lock(&w->lock);
    here = cfuti_below(cfuti_index_of(w, (uintptr_t *)slot), w->deque.bot) &&
           cfuti_load_relaxed((uintptr_t *)slot) == (uintptr_t)f;
    cfuti_unlock(&w->lock);
    return here;
}

/* Owner: lets everybody take what it has. */
static void cfuti_share(cfuti_worker *w)
{
    cfuti_lock(&w->lock);                           /* P3: see >>sleep */
    cfuti_store_relaxed(&w->deque.lim, w->deque.bot);       /* relaxed: the lock carries it */
    cfuti_unlock(&w->lock);
}

/* Owner, under lock, nothing private: takes some of what is shared back. */
static void cfuti_unshare(cfuti_worker *w)
{
    size_t keep = cfuti_load_relaxed(&w->pool->hint) ? 0 : (w->deque.bot - w->top) / 2;

    cfuti_store_relaxed(&w->deque.lim, w->deque.bot - keep);
}

/* Owner: the newest of what is shared, down to f if that is not NULL. bot has
   been lowered to it. */
static CFUTI_NOINLINE cfut_future *cfuti_pop_shared(cfuti_worker *w, const cfut_future *wanted)
{
    uintptr_t x = CFUTI_DEAD;
    size_t b = w->deque.bot + 1;

    cfuti_lock(&w->lock);
    while (x == CFUTI_DEAD && cfuti_below(w->top, b)) {
        x = cfuti_load_relaxed(cfuti_slot(w, b - 1));
        if (wanted && x != (uintptr_t)wanted) break;
        b--;
    }
    cfuti_store_relaxed(&w->deque.bot, b);
    cfuti_unshare(w);
    cfuti_unlock(&w->lock);
    if (wanted && x != (uintptr_t)wanted) return NULL;
    return x > CFUTI_DEAD ? (cfut_future *)x : NULL;
}

/* Owner: the newest task, or NULL. */
static inline cfut_future *cfuti_pop(cfuti_worker *w)
{
    size_t b = w->deque.bot;

    /* relaxed: top only grows, up to bot; equal means empty */
    while (b != cfuti_load_relaxed(&w->top)) {
        uintptr_t x;

        cfuti_store_light(&w->deque.bot, --b);                                  /* O1 */
        if (CFUTI_UNLIKELY(cfuti_below(b, cfuti_load_light(&w->deque.lim))))    /* O2 */
            return cfuti_pop_shared(w, NULL);
        x = cfuti_load_relaxed(cfuti_slot(w, b));
        if (CFUTI_LIKELY(x != CFUTI_DEAD)) return (cfut_future *)x;
    }
    return NULL;
}

/* Not the owner, under lock: raises lim to at least end, unless the owner was
   faster; whether it is there now. */
static bool cfuti_raise(cfuti_worker *w, size_t end)
{
    size_t lim = cfuti_load_relaxed(&w->deque.lim), bot;

    if (!cfuti_below(lim, end)) return true;
    cfuti_exchange_seq_cst(&w->deque.lim, end);     /* R1 */
    cfuti_heavy();
    bot = cfuti_load_seq_cst(&w->deque.bot);        /* R2, and acquire: the slots below it */
    if (!cfuti_below(bot, end)) return true;
    cfuti_store_relaxed(&w->deque.lim, cfuti_below(bot, lim) ? lim : bot);
    return false;
}

/* Under lock: shares the oldest, which is private, if there is one. t: the calling
   thread. A thief shares half of what is private for others. */
static bool cfuti_share_oldest(cfuti_worker *w, const cfuti_thread *t)
{
    size_t bot = cfuti_load_relaxed(&w->deque.bot), top = w->top;

    if (!cfuti_below(top, bot)) return false;
    if (t->worker != w)             /* also if the owner left less than we asked for */
        return cfuti_raise(w, top + (bot - top + 1) / 2) ||
               cfuti_below(top, cfuti_load_relaxed(&w->deque.lim));
    cfuti_store_relaxed(&w->deque.lim, top + 1);
    return true;
}

/* What a thief wants; fits is asked under the deque's lock, while x is shared. */
typedef struct cfuti_wish {
    bool (*fits)(const cfut_future *x, const void *arg);
    const void *arg;
    uint32_t *hungry;               /* counts who has found nothing; or NULL */
    int helps;                      /* most joins that help, one within the other */
} cfuti_wish;

/* Thief, or the owner itself: the oldest task, or NULL. force: also if it is
   private. wish: NULL, or only if it fits. */
static cfut_future *cfuti_deque_steal_wish(cfuti_worker *w, bool force, const cfuti_wish *wish)
{
    const cfuti_thread *t = cfuti_self();
    uintptr_t x = CFUTI_DEAD;

    /* relaxed: hints; who must be sure asks cfuti_deque_waits */
    if (cfuti_load_relaxed(&w->top) ==
        cfuti_load_relaxed(force ? &w->deque.bot : &w->deque.lim))
        return NULL;
    cfuti_lock(&w->lock);
    while (x == CFUTI_DEAD) {
        uintptr_t *slot = cfuti_slot(w, w->top);

        if (!cfuti_below(w->top, cfuti_load_relaxed(&w->deque.lim)) &&
            !(force && cfuti_share_oldest(w, t)))
            break;
        x = cfuti_load_relaxed(slot);
        if (wish && x > CFUTI_DEAD && (cfuti_below(w->top, w->strange) ||
                                       !wish->fits((const cfut_future *)x, wish->arg))) {
            x = CFUTI_EMPTY;
            break;
        }
        cfuti_store_relaxed(slot, (uintptr_t)CFUTI_EMPTY);      /* so that nobody finds it below
                                                                   bot */
        cfuti_store_release(&w->top, w->top + 1);   /* release: to cfuti_has_room */
    }
    if (x > CFUTI_DEAD) cfuti_dress_taken(w, (cfut_future *)x);
    cfuti_unlock(&w->lock);
    return x > CFUTI_DEAD ? (cfut_future *)x : NULL;
}

static cfut_future *cfuti_deque_steal(cfuti_worker *w, bool force)
{
    return cfuti_deque_steal_wish(w, force, NULL);
}

/* The owner, in a forked child: what stood in its deque is foreign, and the lock
   may be held by the dead. It moves to indices that no fork knows, where it is
   full. */
static CFUTI_RARE void cfuti_deque_forget(cfuti_worker *w)
{
    size_t away = w->deque.bot + 2 * (w->deque.mask + 1);

    for (size_t i = 0; i <= w->deque.mask; i++)
        cfuti_store_relaxed(cfuti_slot(w, i), (uintptr_t)CFUTI_EMPTY);
    cfuti_store_relaxed(&w->deque.bot, away);
    cfuti_store_relaxed(&w->top, away);
    cfuti_store_relaxed(&w->deque.lim, away);
    w->deque.room = away;
    cfuti_store_relaxed(&w->lock, 0u);
}

/* Whether a task that ran bare on this thread is not over: f. */
static bool cfuti_runs_bare(const cfut_future *f)
{
    uintptr_t top = cfuti_top();

    while (top && top != ((uintptr_t)f | 1)) top = cfuti_outside(top);
    return top != 0;
}

/* The forker of a bare f, or its task, needs more of it than a join does. If the
   caller is neither, or in a forked child, it stays bare. */
static CFUTI_NOINLINE void cfuti_dress(const cfut_future *bare)
{
    cfut_future *f = (cfut_future *)(uintptr_t)bare;
    cfuti_thread *t = cfuti_self();
    cfuti_worker *w = t->worker;
    size_t i;

    if (!w || cfuti_pool_is_forked(w->pool)) return;
    cfuti_lock(&w->lock);
    if (cfuti_load_relaxed(&f->state) & CFUTI_BARE) {   /* relaxed: the lock carries it */
        i = (size_t)f->slot;
        if (!cfuti_below(i, w->top) && cfuti_below(i, w->deque.bot) &&
            cfuti_load_relaxed(cfuti_slot(w, i)) == (uintptr_t)f)
            cfuti_dress_as(f, (uintptr_t)w->pool, (uintptr_t)cfuti_slot(w, i));
        else if (cfuti_runs_bare(f))
            cfuti_dress_as(f, (uintptr_t)t | 1, CFUTI_UNQUEUED);
    }
    cfuti_unlock(&w->lock);
}

/* Whether a task stands in w's deque. After a heavy barrier: sure. */
static bool cfuti_deque_waits(cfuti_worker *w)
{
    bool found = false;
    size_t bot;

    cfuti_lock(&w->lock);
    bot = cfuti_load_seq_cst(&w->deque.bot);        /* K2, and acquire: the slots below it */
    for (size_t i = w->top; !found && cfuti_below(i, bot); i++)
        found = cfuti_load_relaxed(cfuti_slot(w, i)) > CFUTI_DEAD;
    cfuti_unlock(&w->lock);
    return found;
}

/* Takes f out of the slot of w's deque where it was pushed: whether it still was
   there. */
static bool cfuti_deque_kill(cfuti_worker *w, uintptr_t *slot, const cfut_future *f, bool mine)
{
    bool found = false;
    size_t i;

    if (cfuti_load_relaxed(slot) != (uintptr_t)f) return false;
    cfuti_lock(&w->lock);
    i = cfuti_index_of(w, slot);
    if (cfuti_below(i, cfuti_load_relaxed(&w->deque.bot)) && (mine || cfuti_raise(w, i + 1)))
        found = cfuti_load_relaxed(slot) == (uintptr_t)f;
    if (found) cfuti_store_relaxed(slot, (uintptr_t)CFUTI_DEAD);
    cfuti_unlock(&w->lock);         /* last touch: the owner passes the dead slot by this lock,
                                       and only then may the pool end. So top stays */
    return found;
}

static uintptr_t *cfuti_inbox_slot(cfuti_pool *p, size_t i)
{
    return &p->inbox[i & (CFUTI_INBOX - 1)];
}

/* The lines of a future that running it touches, with in and out. Halves the
   time of empty tasks whose futures do not fit the cache: their addresses are
   known long before their turn. */
static inline void cfuti_prefetch_task(uintptr_t f)
{
    __builtin_prefetch((const void *)(f + offsetof(cfut_future, state)), 1);
    __builtin_prefetch((const void *)(f + sizeof(cfut_future) + 7), 1);
}

/* Owner: the oldest of its range, or NULL. */
static inline cfut_future *cfuti_range_next(cfuti_worker *w)
{
    size_t i = w->lo, hi = w->hi;

    while (i != hi) {
        uintptr_t x = cfuti_exchange_acquire(cfuti_inbox_slot(w->pool, i), (uintptr_t)CFUTI_EMPTY);

        if (hi - i > CFUTI_AHEAD)       /* not beyond: producers write there */
            cfuti_prefetch_task(
                cfuti_load_relaxed(cfuti_inbox_slot(w->pool, i + CFUTI_AHEAD)));
        cfuti_store_relaxed(&w->lo, ++i);           /* relaxed: a hint to thieves */
        if (x > CFUTI_DEAD) return (cfut_future *)x;
    }
    return NULL;
}

/* Thief: the oldest of w's range, or NULL. steal false: only whether one is
   there. */
static cfut_future *cfuti_range_steal(cfuti_worker *w, bool steal)
{
    size_t hi = cfuti_load_seq_cst(&w->hi);         /* seq_cst: see >>sleep */
    size_t lo = cfuti_load_relaxed(&w->lo);         /* relaxed: the slot decides */

    for (size_t n = 0; lo != hi && n < CFUTI_CHUNK; n++, lo++) {
        uintptr_t *slot = cfuti_inbox_slot(w->pool, lo), x = cfuti_load_relaxed(slot);

        if (x > CFUTI_DEAD && (!steal || cfuti_cas_acquire(slot, &x, (uintptr_t)CFUTI_EMPTY)))
            return (cfut_future *)x;
    }
    return NULL;
}

/* Under lock: the next slot to fill has never been used. If nothing waits, and what came
   since tail was last here is no stream, the inbox goes on at its first slot; else here,
   with new memory. */
static CFUTI_RARE void cfuti_inbox_reach(cfuti_pool *p)
{
    size_t next = (p->tail | (CFUTI_INBOX - 1)) + 1;
    cfut_ns now = cfuti_now(), took = now - p->reached_at;
    bool stream = took < (cfut_ns)(p->tail - p->reached_by) * CFUTI_LEISURE_NS;

    /* not where indices would soon come round: a claim may be late (cfuti_inbox_claim) */
    if (SIZE_MAX > UINT32_MAX && p->reached && !stream && cfuti_load_relaxed(&p->head) == p->tail) {
        /* nobody else moves head, as there is nothing to claim. Before tail: between them
           there is less than nothing */
        cfuti_store_relaxed(&p->head, next);
        cfuti_store_relaxed(&p->tail, next);
    } else {
        p->reached += CFUTI_INBOX_STEP;
    }
    p->reached_at = now;
    p->reached_by = p->tail;
}

/* Under lock: the slot to fill next, or NULL if the inbox is full. */
static inline uintptr_t *cfuti_inbox_free(cfuti_pool *p)
{
    uintptr_t *slot;

    if (CFUTI_UNLIKELY((p->tail & (CFUTI_INBOX - 1)) == p->reached)) cfuti_inbox_reach(p);
    slot = cfuti_inbox_slot(p, p->tail);
    /* relaxed: whoever emptied it left nothing for us to read */
    return CFUTI_LIKELY(cfuti_load_relaxed(slot) == CFUTI_EMPTY) ? slot : NULL;
}

/* Under lock: false when full. */
static inline bool cfuti_inbox_put(cfuti_pool *p, cfut_future *f)
{
    uintptr_t *slot = cfuti_inbox_free(p);

    if (!slot) return false;
    cfuti_store_relaxed(&f->slot, (uintptr_t)slot);     /* relaxed: the slot carries it */
    cfuti_store_release(slot, (uintptr_t)f);            /* release: f's fields; to who takes it */
    cfuti_store_release(&p->tail, p->tail + 1);         /* release: the slot; to cfuti_take */
    return true;
}

/* Under lock. */
static void cfuti_spill_append(cfuti_pool *p, cfut_future *f)
{
    f->next = NULL;
    /* relaxed: who finds it takes the lock */
    cfuti_store_relaxed(&f->slot, (uintptr_t)p->spill_last | CFUTI_LISTED);
    if (p->spill_last) p->spill_last->next = f;
    else cfuti_store_relaxed(&p->spill_first, f);
    p->spill_last = f;
}

/* Under lock. f->slot still says LISTED: the caller changes that at once. */
static void cfuti_spill_remove(cfuti_pool *p, cfut_future *f)
{
    cfut_future *before = (cfut_future *)(f->slot & ~(uintptr_t)CFUTI_LISTED);

    if (before) before->next = f->next;
    else cfuti_store_relaxed(&p->spill_first, f->next);     /* relaxed: hints read it */
    if (f->next) cfuti_store_relaxed(&f->next->slot, (uintptr_t)before | CFUTI_LISTED);
    else p->spill_last = before;
}

/* Under lock: takes the first of the spill list, or EMPTY. */
static uintptr_t cfuti_spill_take(cfuti_pool *p)
{
    cfut_future *f = p->spill_first;

    if (!f) return CFUTI_EMPTY;
    cfuti_spill_remove(p, f);
    cfuti_store_relaxed(&f->slot, (uintptr_t)CFUTI_UNQUEUED);   /* relaxed: under lock */
    return (uintptr_t)f;
}

/* Under lock: moves some of the spill list into the inbox; whether any fitted. */
static CFUTI_RARE bool cfuti_spill_to_inbox(cfuti_pool *p)
{
    unsigned n = 0;

    while (n < CFUTI_CHUNK && p->spill_first && cfuti_inbox_free(p)) {
        cfut_future *f = p->spill_first;

        cfuti_spill_remove(p, f);
        cfuti_inbox_put(p, f);
        n++;
    }
    return n > 0;
}

/* A look from outside: whether anything waits to be claimed. Sure under lock. */
static bool cfuti_inbox_waits(cfuti_pool *p)
{
    return cfuti_load_relaxed(&p->head) != cfuti_load_relaxed(&p->tail) ||
           cfuti_load_relaxed(&p->spill_first);
}

/* t: the calling thread. */
static bool cfuti_kill_slot(cfuti_pool *p, const cfuti_thread *t, uintptr_t slot, cfut_future *f)
{
    uintptr_t x = (uintptr_t)f, i = slot - (uintptr_t)p->workers[0].deque.ring;
    cfuti_worker *w;

    i /= p->ring * sizeof(uintptr_t);
    if (i >= p->max_workers)        /* of the inbox; release: what we read of the pool, to the
                                       worker that passes the slot, and then may end it */
        return cfuti_cas_acq_rel((uintptr_t *)slot, &x, (uintptr_t)CFUTI_DEAD);
    w = &p->workers[i];
    return cfuti_deque_kill(w, (uintptr_t *)slot, f, t->worker == w);
}

/* Takes f out of wherever it is queued in p: true, and it is the caller's to
   complete. The pool must be unable to end meanwhile: the caller is one of its
   workers, or holds f's lock bit, so that f stays pending until it is out; the
   step that takes it out is the last touch of the pool. */
static bool cfuti_unqueue(cfuti_pool *p, cfut_future *f)
{
    const cfuti_thread *t = cfuti_self();
    uintptr_t slot = cfuti_load_relaxed(&f->slot);  /* relaxed: set before f was shared;
                                                       changed under the lock below */
    bool listed;

    if (slot == CFUTI_UNQUEUED || cfuti_pool_is_forked(p)) return false;
    if (!(slot & CFUTI_LISTED) && cfuti_kill_slot(p, t, slot, f)) return true;
    cfuti_lock(&p->lock);
    slot = cfuti_load_relaxed(&f->slot);
    listed = (slot & CFUTI_LISTED) != 0;
    if (listed) {
        cfuti_spill_remove(p, f);
        cfuti_store_relaxed(&f->slot, (uintptr_t)CFUTI_UNQUEUED);
    }
    cfuti_unlock(&p->lock);
    return listed || (slot != CFUTI_UNQUEUED && cfuti_kill_slot(p, t, slot, f));
}

/* Owner: takes f if it is the newest of its deque. */
static inline bool cfuti_claim_newest(cfuti_worker *w, cfut_future *f)
{
    size_t b = w->deque.bot - 1;

    if (cfuti_load_relaxed(cfuti_slot(w, b)) != (uintptr_t)f) return false;
    cfuti_store_light(&w->deque.bot, b);                                    /* O1 */
    if (CFUTI_UNLIKELY(cfuti_below(b, cfuti_load_light(&w->deque.lim))))    /* O2 */
        return cfuti_pop_shared(w, f) != NULL;
    return true;
}

/* A worker waits for f of its own pool: takes it if it is still queued. The
   newest comes out at the bottom, which leaves no dead slot. */
static inline bool cfuti_claim_own(cfuti_worker *w, cfut_future *f)
{
    return CFUTI_LIKELY(cfuti_claim_newest(w, f)) || cfuti_unqueue(w->pool, f);
}

/* The executor whose task this thread runs, or NULL. */
static cfut_executor *cfuti_executor_here(const cfuti_thread *t)
{
    const cfuti_frame *frame = cfuti_frame_at(cfuti_top());

    if (frame) return frame->executor;
    return cfuti_top() ? &t->worker->pool->base : NULL;     /* forked in a callback */
}

/*=========================================================================
    >>sleep   when a worker parks and who wakes it
=========================================================================*/

/* Waking a thread costs 5 to 50 us, running an empty task 0.02. So the policy
   decides the speed, and losing a wake-up would lose a task.

   STATES OF A WORKER: running, or idle: searching (awake, looking for work),
   parked (asleep, on the stack parked_first).
   THE SEARCH TOKEN (p->searching): at most one searcher holds it (cfuti_call_more, or a
   tiny worker beside a watcher, see below, may make it a second one, which costs a wake
   call at most). While it is held, nobody wakes anybody: the holder will find the work,
   and calls the next worker if there is more. Who wakes a worker hands it the token with the
   wake-up, so a hundred submits in a row make one wake call.
   A worker that runs out of work takes the token if it is free and searches
   (what is shared) for CFUT_SPIN_NS, then parks; if it is not free, it parks at once.
   It also parks at once when searching would burn CPU time for nothing: when
   its last sleep was much longer than a search, so that the next one will be,
   too; or when it would keep busy the CPU of who has its next task: of a waiter that it
   has just woken there, or of who woke it there and had to give way. (Of two threads
   that share a CPU, by chance or because there is but one, the second did nothing for
   20 us each time: a map of 1000 square roots took 26 us, now 5.5.)
   TINY TASKS FROM OUTSIDE. Two workers (CFUTI_CROWD) keep up with all producers, and
   more only take the cache lines from them: with 16, a task cost 190 ns instead of 50.
   So who is about to come back for tiny ones, while two others do, and few wait, parks
   at once: or, if the token is free, takes it and watches. It looks each 50 us whether
   the two go on and no worker leaves tasks behind, and comes if not: first for these, then
   to the inbox. So a task behind one that turns out to be long may wait for two looks and
   the timer's slack; or for some more, as who comes to steal begins anywhere, and may get
   a tiny one. (A tiny worker that searches for a moment puts down the token for the
   watcher, too; then another one may watch as well.)
   All of this is written under p->lock; hint repeats it in one word, for
   workers that push without the lock.

   NO LOST WAKE-UP. A submit from outside appends and decides under the lock:
   nothing can be lost there. A worker pushes to its deque without it:
     pusher:  P1 store bot         P2 load hint: could anybody help?
     parker:  K1 store hint        K2 look at every deque, list and range
   P1 and P2 are light, the parker passes a heavy barrier between K1 and K2 (see
   >>atomics), so not both miss: if P2 does not see K1, K2 sees the task. K1
   stands both for "I am parked" (so wake me) and for "I put down the token" (so
   do not rely on me).
   If P2 finds hint not 0, the pusher shares what it has, under its deque's lock
   (P3), looks at hint again (P4), and calls a worker if nobody searches.
   An idle worker that finds work puts down the token if it holds it, stops to
   count as idle (K1), and looks for more (K2, cfuti_settle), since pushers relied
   on it until then. It needs no heavy barrier: while anybody is relied on, hint is
   not 0 (an idle one that neither searches nor is parked keeps threads from being
   started: bit 4), so that pushers pass P3, and K2 takes the same lock. If P3
   comes first, K2 sees the task; else P4 sees K1.
   A worker that claims a range of the inbox takes work out of sight until it
   has published the range: it is a pusher, too, with P1 and P2 seq_cst
   (cfuti_take).
   If all others are parked, nobody can push, and K2 needs no barrier. And who parks
   while another one holds the token leaves K2 to that one, who will put it down, later,
   as both are under the pool's lock: by parking, or by settling, then with a barrier
   (p->relied), since the pusher may have been at P2 when hint was still 0. (Each barrier
   interrupts all workers; this is one for many.) A watcher, who may keep it for long,
   looks at all that is pushed, private or not, each time.
   QUIET PUSHES, of a map's first worker (>>map), load the map's word quiet after P1,
   and leave out P2 while it is set: the map's caller clears it, passes a heavy barrier,
   and then calls in its place. Who parks later, as any worker does that is idle now or
   started then, takes the pool's lock after that: so a K2 that he does, or relies on,
   sees a quiet push, or the pusher sees that it may not be quiet. (If it looked before
   P1, a worker could come, look, and park in between.) Who is woken first is told to
   look at private tasks before the inbox.

   GROWING. Threads start on demand: when what is queued outnumbers the idle
   ones. A worker counts as idle before it publishes the result of its last
   task, so that who sees the result and submits again reuses it (SEM 74). A
   thread counts as idle from the moment that it is reserved. */

/* Under lock, after any change: K1. The bits: how many are parked, << 3; 4: a
   thread could be started, but somebody is idle; 2: one should be started, for
   nobody is; 1: somebody searches. */
static uint32_t cfuti_hint_update(cfuti_pool *p)
{
    bool may = p->started < p->max_workers && !p->over;
    uint32_t hint = (uint32_t)p->parked << 3 | (may && p->idle ? 4u : 0u) |
                    (may && !p->idle ? 2u : 0u) | (p->searching ? 1u : 0u);

    /* only written by holders of the lock; seq_cst: K1, against P2 */
    if (hint != cfuti_load_relaxed(&p->hint)) cfuti_exchange_seq_cst(&p->hint, hint);
    return hint;
}

/* Whether a push should call somebody: no searcher, and one parked or startable. */
static inline bool cfuti_hint_calls(uint32_t hint)
{
    return !(hint & 1) && (hint & ~5u);
}

/* Under lock: pops a parked worker and hands it the token. */
static cfuti_worker *cfuti_unpark_one(cfuti_pool *p)
{
    cfuti_worker *w = p->parked_first;

    p->parked_first = w->next_parked;
    p->parked--;
    p->searching = true;
    w->token = true;
    return w;
}

/* Under lock: reserves a worker whose thread the caller must start. */
static cfuti_worker *cfuti_reserve(cfuti_pool *p)
{
    size_t i = 0;

    if (p->started == p->max_workers || p->over) return NULL;
    if (p->retry_at && !cfuti_expired(p->retry_at)) return NULL;
    while (p->workers[i].used) i++;
    p->workers[i].used = true;
    p->workers[i].idle = true;
    if (i >= p->high) cfuti_store_release(&p->high, i + 1);
    cfuti_store_relaxed(&p->started, p->started + 1);   /* relaxed: others only estimate */
    p->users++;                     /* until cfuti_start_worker is through */
    p->idle++;
    return &p->workers[i];
}

static void cfuti_wake_worker(cfuti_worker *w)
{
    w->woken_on = cfuti_cpu() + 1;
    cfuti_store_release(&w->word, 1u);      /* release: the token; to cfuti_park */
    cfuti_wake_word(&w->word);
}

static void cfuti_start_worker(cfuti_worker *w);        /* >>pool */
static bool cfuti_pool_use(cfuti_pool *p);              /* >>pool */
static void cfuti_pool_unuse(cfuti_pool *p);            /* >>pool */

/* There is work and nobody searches: wakes a worker, or starts one. */
static CFUTI_NOINLINE void cfuti_call_one(cfuti_pool *p)
{
    cfuti_worker *wake = NULL, *start = NULL;

    cfuti_lock(&p->lock);
    if (!p->searching && p->parked) wake = cfuti_unpark_one(p);
    else if (!p->searching && !p->idle) start = cfuti_reserve(p);
    cfuti_hint_update(p);
    cfuti_unlock(&p->lock);
    if (wake) cfuti_wake_worker(wake);
    if (start) cfuti_start_worker(start);
}

/* From outside, for work that will last: wakes one more worker, or starts it, though
   another one may be about to search. force: it looks at private tasks, too. false: none
   is parked, and one that is idle is awake or on its way, or none can be started. */
static CFUTI_NOINLINE bool cfuti_call_more(cfuti_pool *p, bool force)
{
    cfuti_worker *wake = NULL, *start = NULL;

    if (!cfuti_pool_use(p)) return false;
    cfuti_lock(&p->lock);
    if (p->parked) wake = cfuti_unpark_one(p);
    else if (!p->idle) start = cfuti_reserve(p);
    if (wake) wake->force = force;
    cfuti_hint_update(p);
    cfuti_unlock(&p->lock);
    if (wake) cfuti_wake_worker(wake);
    if (start) cfuti_start_worker(start);
    cfuti_pool_unuse(p);
    return wake || start;
}

/* Owner: somebody may be idle. */
static CFUTI_NOINLINE void cfuti_offer(cfuti_worker *w)
{
    cfuti_share(w);
    if (cfuti_hint_calls(cfuti_load_seq_cst(&w->pool->hint)))       /* P4 */
        cfuti_call_one(w->pool);
}

/* Owner, after a push. */
static inline void cfuti_pushed(cfuti_worker *w)
{
    if (CFUTI_UNLIKELY(cfuti_load_light(&w->pool->hint))) cfuti_offer(w);   /* P2 */
}

/* K2: whether anything is queued with any worker. */
static bool cfuti_any_queued(cfuti_pool *p)
{
    size_t n = cfuti_load_acquire(&p->high);    /* acquire: the workers below it */

    for (size_t i = 0; i < n; i++)
        if (cfuti_range_steal(&p->workers[i], false) || cfuti_deque_waits(&p->workers[i]))
            return true;
    return false;
}

/* Under lock: w is not idle, or no longer. */
static void cfuti_stop_searching(cfuti_worker *w)
{
    if (w->idle) w->pool->idle--;
    if (w->token) w->pool->searching = false;
    w->idle = w->token = false;
}

/* w got work from a place that others could take from, too. Under lock, which
   it lets go. Calls the next worker if there is more. */
static void cfuti_settle(cfuti_worker *w)
{
    cfuti_pool *p = w->pool;
    bool more = cfuti_inbox_waits(p) || w->lo != w->hi, calls, relied;

    cfuti_stop_searching(w);
    calls = cfuti_hint_calls(cfuti_hint_update(p));
    relied = calls && !more && p->relied;
    if (relied) p->relied = false;
    cfuti_unlock(&p->lock);
    if (relied) cfuti_heavy();
    if (calls && (more || cfuti_any_queued(p))) cfuti_call_one(p);
}

/* How many tasks wait there. */
static size_t cfuti_inbox_backlog(const cfuti_pool *p)
{
    return cfuti_load_relaxed(&p->tail) - cfuti_load_relaxed(&p->head);     /* relaxed: a hint */
}

/* Lets tasks gather in the inbox: until there are enough, or no more come. */
static void cfuti_gather(cfuti_pool *p)
{
    size_t n = 0, before;
    int pauses = 24;

    do {
        before = n;
        for (int i = 0; i < pauses; i++) cfuti_pause();
        pauses *= 2;
        n = cfuti_inbox_backlog(p);
    } while (n > before && n < CFUTI_GATHER);
}

static bool cfuti_is_crowded(cfuti_pool *p)
{
    return cfuti_load_relaxed(&p->tiny) >= CFUTI_CROWD && cfuti_inbox_backlog(p) < CFUTI_BACKLOG;
}

static void cfuti_count_tiny(cfuti_worker *w, bool tiny)
{
    if (w->tiny != tiny) cfuti_add_relaxed(&w->pool->tiny, tiny ? 1u : ~0u);
    w->tiny = tiny;
}

/* How many tasks to take at once: doubled while that many take less than 25 us,
   back to one when they take more than 100. 0: not needed.
   A worker that is as fast as the producers comes back for each single task,
   and they exchange cache lines with every one: 180 ns a task instead of 23. So
   if it was here just now, or gets many tiny ones, it lets some gather first. */
static uint32_t cfuti_chunk(cfuti_worker *w)
{
    cfut_ns now = cfuti_now(), took = now - w->chunk_began;
    bool tiny = took < 300 || (w->chunk_taken >= 8 && took < CFUT_US(25));

    w->crowded = tiny && !w->tiny && cfuti_is_crowded(w->pool);
    if (w->crowded) return 0;
    cfuti_count_tiny(w, tiny);
    if (tiny) {
        cfuti_gather(w->pool);
        now = cfuti_now();
    }
    w->chunk_began = now;
    if (took > CFUT_US(100)) w->chunk = 1;
    else if (took < CFUT_US(25) && w->chunk_taken == w->chunk && w->chunk < CFUTI_CHUNK)
        w->chunk *= 2;
    return w->chunk;
}

/* Claims up to n indices of the inbox, at most w's share: their number. */
static size_t cfuti_inbox_claim(cfuti_worker *w, size_t n, size_t *first)
{
    cfuti_pool *p = w->pool;
    size_t head = cfuti_load_relaxed(&p->head), share, started;

    do {
        share = cfuti_load_acquire(&p->tail) - head;    /* acquire: the slots below it */
        started = cfuti_load_relaxed(&p->started);      /* relaxed: a heuristic */
        if (share == 0 || share > SIZE_MAX / 2) return 0;   /* tail may be older than head */
        if (w->tiny && started > CFUTI_CROWD) share = (share - 1) / CFUTI_CROWD + 1;
        else share = (share - 1) / started + 1;
        if (n > share) n = share;
        if (started < p->max_workers) n = 1;            /* growth counts what is not claimed */
    } while (!cfuti_cas_acquire(&p->head, &head, head + n));
    *first = head;
    return n;
}

/* The inbox has nothing to claim: refills it from the spill list: false, look
   again. Or, if it is full of claimed ones, or the list is empty: true, and *x
   is the list's first, or 0. */
static bool cfuti_inbox_refill(cfuti_pool *p, uintptr_t *x)
{
    bool refilled = false;

    *x = CFUTI_EMPTY;
    if (!cfuti_load_relaxed(&p->spill_first)) return true;  /* a hint; cfuti_park is sure */
    cfuti_lock(&p->lock);
    /* what has come into it since our claim goes first */
    refilled = cfuti_load_relaxed(&p->head) != p->tail || cfuti_spill_to_inbox(p);
    if (!refilled) *x = cfuti_spill_take(p);
    cfuti_unlock(&p->lock);
    return !refilled;
}

/* Takes the oldest task of the inbox, or NULL; and claims some more. */
static cfut_future *cfuti_take(cfuti_worker *w, bool several)
{
    cfuti_pool *p = w->pool;
    uintptr_t x = CFUTI_EMPTY;
    size_t first, n;

    w->crowded = false;
    if (!cfuti_inbox_waits(p)) return NULL;
    while (x <= CFUTI_DEAD) {       /* until one that was not cancelled or stolen */
        n = several ? cfuti_chunk(w) : 1;
        if (n == 0) return NULL;
        n = cfuti_inbox_claim(w, n, &first);
        if (n == 0) {
            if (!cfuti_inbox_refill(p, &x)) continue;
            if (x == CFUTI_EMPTY) return NULL;
            break;
        }
        x = cfuti_exchange_acquire(cfuti_inbox_slot(p, first), (uintptr_t)CFUTI_EMPTY);
        if (several) w->chunk_taken = (uint32_t)n;
        if (n == 1) continue;
        cfuti_store_relaxed(&w->lo, first + 1);     /* relaxed: hi carries it */
        cfuti_exchange_seq_cst(&w->hi, first + n);  /* P1: the range is in sight */
        if (x <= CFUTI_DEAD) x = (uintptr_t)cfuti_range_next(w);
        if (!w->idle && !w->token && cfuti_hint_calls(cfuti_load_seq_cst(&p->hint)))    /* P2 */
            cfuti_call_one(p);
    }
    if (w->idle || w->token) {
        cfuti_lock(&p->lock);
        cfuti_settle(w);
    }
    return (cfut_future *)x;
}

/* Steals from somebody, beginning anywhere, or NULL. */
static cfut_future *cfuti_steal(cfuti_worker *w)
{
    cfuti_pool *p = w->pool;
    size_t n = cfuti_load_acquire(&p->high), i;     /* acquire: the workers below it */
    cfut_future *f = NULL;

    w->random = w->random * 1664525u + 1013904223u;
    i = (w->random >> 8) % n;
    for (size_t left = n; left && !f; left--, i = i + 1 < n ? i + 1 : 0) {
        if (&p->workers[i] == w) continue;
        f = cfuti_range_steal(&p->workers[i], true);
        if (!f) f = cfuti_deque_steal(&p->workers[i], w->force);
    }
    w->force = false;
    if (f) cfuti_trace_mark(CFUTI_STEALS, f);
    if (f && (w->idle || w->token)) {
        cfuti_lock(&p->lock);
        cfuti_settle(w);
    }
    return f;
}

/* What w has itself: newest of its deque, then oldest of its range. Sometimes
   the other way round: what waits longest, wherever it is. */
static cfut_future *cfuti_next_own(cfuti_worker *w)
{
    cfut_future *f;

    if (++w->tick % CFUTI_FAIRNESS == 0) {
        f = cfuti_range_next(w);
        if (!f) f = cfuti_take(w, false);
        if (!f) f = cfuti_deque_steal(w, true);     /* its own oldest */
        if (f) return f;
    }
    f = cfuti_pop(w);
    if (!f) return cfuti_range_next(w);
    cfuti_dress_taken(w, f);        /* its forker is gone */
    return f;
}

/* A look without locks, for the spinning searcher. */
static bool cfuti_looks_busy(cfuti_pool *p)
{
    size_t n = cfuti_load_acquire(&p->high);

    if (cfuti_inbox_waits(p)) return true;
    for (size_t i = 0; i < n; i++) {
        cfuti_worker *w = &p->workers[i];

        if (cfuti_load_relaxed(&w->top) != cfuti_load_relaxed(&w->deque.lim) ||
            cfuti_range_steal(w, false))
            return true;
    }
    return false;
}

/* Spins with growing pauses until seen(arg) or CFUT_SPIN_NS have passed. */
static bool cfuti_spin_until(bool (*seen)(void *), void *arg, unsigned pauses)
{
    cfut_ns end;

    if (CFUT_SPIN_NS <= 0) return seen(arg);
    end = cfuti_now() + CFUT_SPIN_NS;
    do {
        for (unsigned i = 0; i < pauses; i++) cfuti_pause();
        if (pauses < 16) pauses *= 2;
        if (seen(arg)) return true;
    } while (cfuti_now() < end);
    return false;
}

static bool cfuti_pool_seen_busy(void *p)
{
    return cfuti_looks_busy((cfuti_pool *)p);
}

/* Under lock: takes w off the stack of parked workers, if it is still there. */
static bool cfuti_unpark_self(cfuti_worker *w)
{
    cfuti_worker **at = &w->pool->parked_first;

    while (*at && *at != w) at = &(*at)->next_parked;
    if (!*at) return false;
    *at = w->next_parked;
    w->pool->parked--;
    return true;
}

/* Under lock: all threads are gone, and nobody is at the workers. */
static void cfuti_check_ended(cfuti_pool *p)
{
    if (!p->over || cfuti_load_relaxed(&p->ended) || p->users || p->left < p->started) return;
    cfuti_store_release(&p->ended, 1u);         /* release: all; to cfuti_ended_wait */
    cfuti_wake_word(&p->ended);
}

/* Under lock: ends the pool if it is closed and nothing runs or is queued. All
   workers parked means all deques and ranges empty, since each looks at its
   own before it parks, and a lost one's are handed over (cfuti_hand_over). */
static CFUTI_RARE void cfuti_check_over(cfuti_pool *p)
{
    if (!p->closed || p->over || cfuti_inbox_waits(p) || p->parked < p->started - p->left) return;
    p->over = true;
    while (p->parked) {
        cfuti_worker *w = cfuti_unpark_one(p);

        w->token = false;
        cfuti_wake_worker(w);       /* under lock: w stays until p->left counts it */
    }
    p->searching = false;
    cfuti_check_ended(p);
}

/* Under lock: w counts as parked from now on. Whether all others are, too. */
static bool cfuti_park_begin(cfuti_worker *w)
{
    cfuti_pool *p = w->pool;
    bool alone;

    cfuti_store_relaxed(&w->word, 0u);
    w->next_parked = p->parked_first;
    p->parked_first = w;
    p->parked++;
    if (w->token) p->searching = false;
    w->token = false;
    cfuti_hint_update(p);           /* K1 */
    alone = p->parked == p->started - p->left;
    cfuti_check_over(p);
    return alone;
}

/* Without lock: whether w, counted as parked, need not sleep, as there is work. */
static bool cfuti_park_not(cfuti_worker *w, bool alone)
{
    cfuti_pool *p = w->pool;
    bool back;

    if (!alone) cfuti_heavy();
    if (!cfuti_any_queued(p)) return false;     /* K2 */
    cfuti_lock(&p->lock);
    w->force = true;
    back = cfuti_unpark_self(w);
    if (back) cfuti_hint_update(p);
    cfuti_unlock(&p->lock);
    return back;                    /* else somebody wakes w, with the token */
}

static void cfuti_park_sleep(cfuti_worker *w)
{
    cfut_ns since = cfuti_now();

    /* acquire: pairs with cfuti_wake_worker */
    while (cfuti_load_acquire(&w->word) == 0) cfuti_wait_word(&w->word, 0, CFUT_FOREVER);
    w->cold = cfuti_now() - since > 5 * CFUT_SPIN_NS;
}

/* Parks w; returns when there may be work. false: the pool is over. */
static bool cfuti_park(cfuti_worker *w)
{
    cfuti_pool *p = w->pool;
    bool work, over, alone = false, relied = false;

    cfuti_lock(&p->lock);
    over = p->over;
    work = over || (cfuti_inbox_waits(p) && !(w->crowded && p->searching && !w->token));
    if (!work) {
        alone = cfuti_park_begin(w);
        relied = p->searching;      /* on another one */
        p->relied = !alone && (p->relied || relied);
    }
    w->crowded = false;
    cfuti_unlock(&p->lock);
    if (work) return !over;
    if (!relied && cfuti_park_not(w, alone)) return true;
    cfuti_park_sleep(w);
    cfuti_lock(&p->lock);
    over = p->over;
    cfuti_unlock(&p->lock);
    return !over;
}

/* Whether v is at a long task, with others behind, since the last look; or has pushed
   some: who parks relies on us for these, be they shared or not. */
static bool cfuti_leaves_some(cfuti_worker *v)
{
    size_t lo = cfuti_load_relaxed(&v->lo);     /* relaxed, here and below: hints */
    bool same = lo == cfuti_load_relaxed(&v->seen) && lo != cfuti_load_relaxed(&v->hi);

    cfuti_store_relaxed(&v->seen, lo);
    return same || cfuti_load_relaxed(&v->top) != cfuti_load_relaxed(&v->deque.bot);
}

/* Others keep up with the tiny tasks that come: looks now and then whether that is so. */
static void cfuti_watch(cfuti_pool *p)
{
    bool fine;

    do {
        size_t head = cfuti_load_relaxed(&p->head), n;

        cfuti_nap(CFUT_US(50));
        n = cfuti_load_acquire(&p->high);       /* acquire: the workers below it */
        fine = cfuti_is_crowded(p) && cfuti_load_relaxed(&p->head) != head;
        for (size_t i = 0; i < n && fine; i++) fine = !cfuti_leaves_some(&p->workers[i]);
    } while (fine);
}

/* w has found nothing. Returns when there may be work; false: the pool is over. */
static bool cfuti_idle(cfuti_worker *w)
{
    cfuti_pool *p = w->pool;
    cfuti_thread *t = cfuti_self();
    bool beside = w->woken_on && w->woken_on == cfuti_cpu() + 1;    /* see above */
    bool spin = CFUT_SPIN_NS > 0 && !w->cold && !t->shares_cpu && !beside;

    w->woken_on = 0;
    t->shares_cpu = false;
    cfuti_lock(&p->lock);
    if (!w->idle) p->idle++;
    w->idle = true;
    if ((!p->searching || w->tiny) && !p->over && (spin || w->crowded))
        p->searching = w->token = true;
    cfuti_hint_update(p);
    cfuti_unlock(&p->lock);
    cfuti_count_tiny(w, false);
    if (w->token && w->crowded) {
        cfuti_watch(p);
        w->force = true;            /* or the next tiny one would send it back here */
        return true;
    }
    if (w->token && !beside && cfuti_spin_until(cfuti_pool_seen_busy, p, 1)) return true;
    return cfuti_park(w);
}

/* The next task for w, or NULL when the pool is over. */
static cfut_future *cfuti_next(cfuti_worker *w)
{
    cfut_future *f;

    do {
        if (cfuti_load_relaxed(&w->pool->base.status) == CFUT_FORKED) return NULL;
        f = cfuti_next_own(w);
        if (!f && w->force) f = cfuti_steal(w);     /* what it has come for */
        if (!f) f = cfuti_take(w, true);
        if (!f && !w->crowded) f = cfuti_steal(w);
    } while (!f && cfuti_idle(w));
    return f;
}

/*=========================================================================
    >>pool   threads: start, run, leave; close, shutdown, exit, fork
=========================================================================*/

/* THE LIFE OF A POOL

   open -> closed -> over -> ended -> buried
   closed: outsiders are refused. over: closed, and every worker is parked or
   gone, nothing queued: they leave. ended (1): the last one has counted itself
   as gone (p->left) and does not touch the pool again. The first waiter in
   cfut_shutdown then joins the threads and frees the workers (the reaper), and
   the handle goes to the graveyard (ended 2): its memory stays, so that calls
   with an ended handle, and calls that race with its end, get an answer. After
   CFUTI_GRAVES more pools have ended it is used for a new one.

   The registry holds all pools that are not buried, for exit and fork. */

static uint32_t cfuti_registry_lock;    /* before a pool's lock */
static cfuti_pool *cfuti_registry;      /* live pools */
static cfuti_pool *cfuti_graves_first, *cfuti_graves_last;      /* oldest first */
static size_t cfuti_graves;
static unsigned cfuti_pools_made;       /* for default names */
static bool cfuti_exiting;

static cfuti_pool *cfuti_pool_of(const cfut_executor *ex)
{
    return (cfuti_pool *)(void *)(uintptr_t)ex;
}

/* ---- failing everything that is queued ---- */

/* Takes the oldest of the inbox in any thread, or NULL. */
static cfut_future *cfuti_take_from_inbox(cfuti_pool *p)
{
    uintptr_t x = CFUTI_EMPTY;

    cfuti_lock(&p->lock);
    while (x <= CFUTI_DEAD && cfuti_inbox_waits(p)) {
        size_t head = cfuti_load_relaxed(&p->head);

        if (head == p->tail) {
            if (cfuti_spill_to_inbox(p)) continue;
            x = cfuti_spill_take(p);
            if (x == CFUTI_EMPTY) break;
        } else if (cfuti_cas_acquire(&p->head, &head, head + 1))
            x = cfuti_exchange_acquire(cfuti_inbox_slot(p, head), (uintptr_t)CFUTI_EMPTY);
    }
    cfuti_unlock(&p->lock);
    return x > CFUTI_DEAD ? (cfut_future *)x : NULL;
}

/* Takes any queued task, for cancelling. */
static CFUTI_RARE cfut_future *cfuti_take_any(cfuti_pool *p)
{
    cfut_future *f = cfuti_take_from_inbox(p);
    size_t n = cfuti_load_acquire(&p->high);

    for (size_t i = 0; i < n && !f; i++) {
        f = cfuti_range_steal(&p->workers[i], true);
        if (!f) f = cfuti_deque_steal(&p->workers[i], true);
    }
    return f;
}

static void cfuti_failing_run(void *arg)
{
    cfuti_failing *here = (cfuti_failing *)arg;
    cfuti_thread *t = cfuti_self();

    cfuti_duty_begin(t, &here->duty);
    while (here->one(here)) { }
    cfuti_duty_end(t, &here->duty);
}

/* Their callbacks run here, and must not wait for the end of the pool, which
   waits for us. */
static CFUTI_RARE void cfuti_fail(cfuti_failing *here)
{
    cfuti_call_user(cfuti_self(), cfuti_failing_run, here);
}

/* This thread's failing of what is queued in ex, for which ex's end waits; or NULL. */
static const cfuti_failing *cfuti_failing_of(const cfuti_thread *t, const cfut_executor *ex)
{
    cfuti_duty *d = t->duty;

    while (d && (d->kind != CFUTI_FAILING || CFUTI_OUTER(cfuti_failing, duty, d)->pool != ex))
        d = d->outer;
    return d ? CFUTI_OUTER(cfuti_failing, duty, d) : NULL;
}

static bool cfuti_is_failing(const cfuti_thread *t, const cfut_executor *ex)
{
    return cfuti_failing_of(t, ex) != NULL;
}

/* Ends f, which this thread has taken out of a queue: runs it, or fails it as the rest. */
static int cfuti_execute_taken(cfuti_thread *t, cfut_future *f)
{
    const cfuti_failing *failing = cfuti_failing_of(t, (cfut_executor *)f->owner);

    if (!failing) return cfuti_execute_guarded(t, f);
    cfuti_complete(f, failing->final, failing->status, NULL);
    return failing->status;
}

static void cfuti_pool_unuse(cfuti_pool *p);

static bool cfuti_pool_fail_one(const cfuti_failing *here)
{
    cfuti_pool *p = cfuti_pool_of(here->pool);
    cfut_future *f;

    if (cfuti_pool_is_forked(p)) return false;      /* a callback has, and this is the child */
    f = cfuti_take_any(p);
    if (f) {
        cfuti_complete(f, here->final, here->status, NULL);
    } else {
        cfuti_lock(&p->lock);
        p->failing--;
        cfuti_unlock(&p->lock);
        cfuti_pool_unuse(p);
    }
    return f != NULL;
}

/* Fails all that is queued. The pool is in use, and then no more. */
static CFUTI_RARE void cfuti_pool_fail(cfuti_pool *p, uint32_t final, int status)
{
    cfuti_failing here = { { NULL, 0, CFUTI_FAILING }, &p->base, cfuti_pool_fail_one, final,
                           status };

    cfuti_lock(&p->lock);
    p->failing++;
    cfuti_unlock(&p->lock);
    cfuti_fail(&here);
}

/* Whether the pool's end waits for this thread. */
static bool cfuti_holds_up(const cfuti_thread *t, const cfuti_pool *p)
{
    return cfuti_is_failing(t, &p->base) || (t->worker && t->worker->pool == p);
}

/* ---- threads ---- */

static void cfuti_pool_reap(cfuti_pool *p, const cfuti_worker *self);

/* Lets p->lock go after a change that may have ended the pool. A detached one
   is then reaped here; self: the worker that is about to leave, or NULL. */
static void cfuti_unlock_and_end(cfuti_pool *p, const cfuti_worker *self)
{
    bool mine;

    cfuti_check_over(p);
    cfuti_check_ended(p);
    mine = p->detached && !p->reaping && cfuti_load_relaxed(&p->ended) == 1;
    if (mine) p->reaping = true;
    cfuti_unlock(&p->lock);         /* last touch, but for the reaper */
    if (mine) cfuti_pool_reap(p, self);
}

/* Keeps the pool from ending; false: it has ended. */
static bool cfuti_pool_use(cfuti_pool *p)
{
    bool alive;

    cfuti_lock(&p->lock);
    alive = cfuti_load_relaxed(&p->ended) == 0;
    if (alive) p->users++;
    cfuti_unlock(&p->lock);
    return alive;
}

static void cfuti_pool_unuse(cfuti_pool *p)
{
    cfuti_lock(&p->lock);
    p->users--;
    cfuti_unlock_and_end(p, NULL);
}

/* Under lock: what w's last thread left in its deque and range goes to the spill
   list, as w has no thread any more. */
static CFUTI_RARE void cfuti_hand_over(cfuti_worker *w)
{
    cfut_future *f;

    while ((f = cfuti_deque_steal(w, true)) != NULL || (f = cfuti_range_steal(w, true)) != NULL)
        cfuti_spill_append(w->pool, f);
}

/* A thread could not be started. With others alive the pool goes on with them;
   else what is queued fails. The pool is in use, and then no more. */
static CFUTI_RARE void cfuti_start_failed(cfuti_worker *w)
{
    cfuti_pool *p = w->pool;
    bool alone, call;

    cfuti_lock(&p->lock);
    w->used = false;
    cfuti_stop_searching(w);
    cfuti_hand_over(w);
    cfuti_store_relaxed(&p->started, p->started - 1);
    alone = p->started == p->left;
    p->retry_at = alone ? 0 : cfuti_deadline(CFUT_MS(100));
    call = cfuti_hint_calls(cfuti_hint_update(p)) && cfuti_inbox_waits(p);
    cfuti_unlock(&p->lock);
    if (!alone && call) cfuti_call_one(p);
    if (alone) cfuti_pool_fail(p, CFUT_STATE_FINISHED, CFUT_NO_THREADS);
    else cfuti_pool_unuse(p);
}

/* Starts the thread of a reserved worker. Until that is settled the pool does
   not end. */
static CFUTI_RARE void cfuti_start_worker(cfuti_worker *w)
{
    cfuti_pool *p = w->pool;
    cfuti_os_thread t;

    cfuti_self()->woke = true;
    if (cfuti_thread_start(&t, p->stack_size, w)) cfuti_pool_unuse(p);
    else cfuti_start_failed(w);
}

/* The system's name has 15 bytes: the prefix is cut, the number stays. */
static CFUTI_RARE void cfuti_name_thread(cfuti_worker *w)
{
    cfuti_pool *p = w->pool;
    char tail[16], name[16];
    size_t n = (size_t)snprintf(tail, sizeof tail, "_%u", (unsigned)(w - p->workers));
    size_t head = strlen(p->prefix) < 15 - n ? strlen(p->prefix) : 15 - n;

    snprintf(w->name, sizeof w->name, "%s%s", p->prefix, tail);
    cfuti_trace_name(w->name);
    memcpy(name, p->prefix, head);
    memcpy(name + head, tail, n + 1);
    cfuti_thread_name(name);
}

/* A worker's initializer failed: the pool takes nothing more, and what is queued fails. */
static CFUTI_RARE void cfuti_pool_break(cfuti_pool *p)
{
    cfuti_store_relaxed(&p->base.status, CFUT_BROKEN);  /* relaxed: under the lock that comes
                                                           now, submits look again */
    cfuti_store_relaxed(&p->refuse_inside, CFUT_BROKEN);
    cfuti_pool_use(p);
    cfuti_pool_fail(p, CFUT_STATE_FINISHED, CFUT_BROKEN);
}

/* w ends, or the program, in a hook. After its finalizer nothing is left to break. */
static CFUTI_RARE void cfuti_worker_unfit(cfuti_worker *w)
{
    bool over;

    cfuti_lock(&w->pool->lock);
    over = w->pool->over;
    cfuti_unlock(&w->pool->lock);
    if (!over) cfuti_pool_break(w->pool);
}

/* From now on forks on this thread go straight to w's deque; or not: NULL. They
   need the light side of an asymmetric order, are bare of what catches an
   exception, and are in no timeline. */
static void cfuti_inline_forks(cfuti_worker *w)
{
#if CFUTI_INLINE
    bool may = w && cfuti_asymmetric && !CFUTI_EXCEPTIONS && !cfuti_is_tracing();

    cfuti_place_here()->deque = may ? &w->deque : w ? &w->no_deque : &cfuti_no_deque;
#else
    (void)w;
#endif
}

static void cfuti_worker_loop(cfuti_worker *w)
{
    cfuti_thread *t = cfuti_self();
    cfut_future *f;

    cfuti_inline_forks(w);
    while ((f = cfuti_next(w)) != NULL) cfuti_execute(t, f);
    cfuti_inline_forks(NULL);
}

/* The last thing that a worker does; p may be gone afterwards. */
static CFUTI_RARE void cfuti_worker_leave(cfuti_worker *w)
{
    cfuti_pool *p = w->pool;

    cfuti_lock(&p->lock);
    cfuti_stop_searching(w);
    cfuti_hint_update(p);
    w->gone = true;
    p->left++;
    cfuti_unlock_and_end(p, w);
}

static CFUTI_RARE void cfuti_worker_body(cfuti_worker *w)
{
    cfuti_pool *p = w->pool;
    cfuti_thread *t = cfuti_self();

    t->worker = w;
    t->place = cfuti_place_here();
    w->ready = false;
    cfuti_workers_add(t);
    cfuti_thread_self(&w->thread);
    cfuti_store_release(&w->record, t);     /* release: to the walk in >>graph */
    cfuti_name_thread(w);
    if (p->initializer && p->initializer(p->init_arg) != 0) {
        cfuti_pool_break(p);
        if (cfuti_pool_is_forked(p)) return;
    } else {
        w->ready = true;
        cfuti_worker_loop(w);
        if (cfuti_pool_is_forked(p)) return;
        w->ready = false;
        if (p->finalizer) p->finalizer(p->init_arg);
    }
    cfuti_workers_remove(t);
    t->worker = NULL;
    cfuti_store_release(&w->record, (cfuti_thread *)NULL);
    cfuti_worker_leave(w);
}

#if CFUTI_PROCESS
static void cfuti_procs_thread(struct cfuti_procs *p);          /* >>process-pool */
static void cfuti_procs_thread_lost(struct cfuti_procs *p);
static void cfuti_procs_help(struct cfuti_procs *p);
static void cfuti_procs_at_exit(bool within);
static void cfuti_procs_fork_child(void);
#else
static void cfuti_procs_thread(struct cfuti_procs *p) { (void)p; }
static void cfuti_procs_thread_lost(struct cfuti_procs *p) { (void)p; }
static void cfuti_procs_help(struct cfuti_procs *p) { (void)p; }
static void cfuti_procs_at_exit(bool within) { (void)within; }
static void cfuti_procs_fork_child(void) { }
#endif

/* The manager of a process pool, if the thread is that and no worker: its argument
   is marked. */
static struct cfuti_procs *cfuti_managed_by(void *arg)
{
    return (uintptr_t)arg & 1 ? (struct cfuti_procs *)(void *)((char *)arg - 1) : NULL;
}

static void cfuti_thread_body(void *arg)
{
    struct cfuti_procs *procs = cfuti_managed_by(arg);

    if (procs) cfuti_procs_thread(procs);
    else cfuti_worker_body((cfuti_worker *)arg);
}

static void cfuti_abandon_range(const cfuti_thread *t, cfuti_duty *d);  /* >>map */
static void cfuti_abandon_shares(cfuti_duty *d);                /* >>map */
static void cfuti_abandon_join(const cfuti_helping *h);         /* >>waiters */
static void cfuti_abandon_wait(const cfuti_collecting *w);      /* >>waiters */

/* ---- the end of a thread ---- */

/* pthread_exit in user code leaves tasks and duties behind on the thread's stack. Each
   comes to its end, from the innermost outwards, as if it returned: a task is completed
   as abandoned, the callbacks that are left run, a map waits for what others have of it.
   The order is that of the stack, as what stands outside may wait for what it runs inside,
   or have others that wait for it; and what is not yet at its end is still seen: by
   deadlock detection, by callbacks.
   All that is read, and what other threads write, the pieces of maps and what is forked,
   lies in frames that are gone. So the clean-up gets out of their way, below the
   innermost task that has a frame, or duty, where callbacks have as much stack as always.
   Before that come the bare futures inside of that, wherever they lie: they have no
   callbacks, and nobody waits for them. */

/* Its forker's thread ends: nobody will join it. */
static uintptr_t cfuti_abandon_bare(cfut_future *f)
{
    f->status = CFUT_ABANDONED;
    cfuti_store_release(&f->state, (uint32_t)CFUT_STATE_FINISHED);  /* release: status */
    return (uintptr_t)f->next;
}

/* Runs what callbacks are left, and publishes. */
static CFUTI_RARE void cfuti_abandon_callback(cfuti_thread *t, cfuti_notice *n)
{
    t->notice = n->outer;
    n->flags = cfuti_future_lock(n->future);
    cfuti_run_callbacks(n);
    cfuti_conclude(n);
}

static CFUTI_RARE void cfuti_abandon_duty(cfuti_thread *t, cfuti_duty *d)
{
    t->duty = d->outer;
    switch (d->kind) {
    case CFUTI_CALLING: cfuti_abandon_callback(t, CFUTI_OUTER(cfuti_notice, duty, d)); break;
    case CFUTI_FAILING: cfuti_fail(CFUTI_OUTER(cfuti_failing, duty, d)); break;
    case CFUTI_HELPING: cfuti_abandon_join(CFUTI_OUTER(cfuti_helping, duty, d)); break;
    case CFUTI_COLLECTING: cfuti_abandon_wait(CFUTI_OUTER(cfuti_collecting, duty, d)); break;
    case CFUTI_MAPPING: cfuti_abandon_range(t, d); break;
    default: cfuti_abandon_shares(d);
    }
}

/* All but end and what is outside of it, where the innermost task was top, up to the first
   that may not be bare. */
static CFUTI_RARE void cfuti_abandon_bare_ones(const cfuti_thread *t, const cfuti_duty *end,
                                               uintptr_t top)
{
    cfuti_place *here = cfuti_place_here();

    while ((here->top & 1) && here->top != top && (t->duty == end || t->duty->top != here->top))
        here->top = cfuti_abandon_bare(cfuti_future_at(here->top));
}

/* All that the thread is at, within the same. */
static CFUTI_RARE void cfuti_abandon_all(cfuti_thread *t, const cfuti_duty *end, uintptr_t top)
{
    cfuti_place *here = cfuti_place_here();

    for (;;) {
        cfuti_duty *d = t->duty;

        cfuti_abandon_bare_ones(t, end, top);
        if (d != end && d->top == here->top) {
            cfuti_abandon_duty(t, d);
        } else if (here->top == top) {
            return;
        } else {
            const cfuti_frame *frame = (const cfuti_frame *)here->top;

            here->top = frame->outer;
            cfuti_complete(frame->future, CFUT_STATE_FINISHED, CFUT_ABANDONED, NULL);
        }
    }
}

/* Where the innermost of it lies, or 0. */
static CFUTI_RARE uintptr_t cfuti_innermost(const cfuti_thread *t)
{
    uintptr_t duty = (uintptr_t)t->duty, frame = (uintptr_t)cfuti_frame_at(cfuti_top());

    return !duty || (frame && frame < duty) ? frame : duty;
}

/* A stack is not larger. AddressSanitizer may keep frames elsewhere, in memory that it does
   not use again soon. */
#if CFUTI_HAS_ASAN
enum { CFUTI_STACK_MOST = 1 << 20 };
#else
#define CFUTI_STACK_MOST UINTPTR_MAX
#endif

/* The same, below what is gone. */
static CFUTI_NOINLINE void cfuti_unwind(cfuti_thread *t, const cfuti_duty *end, uintptr_t top)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0), innermost;

    t->ending = true;
    cfuti_abandon_bare_ones(t, end, top);
    innermost = cfuti_innermost(t);
    if (innermost && innermost < here && here - innermost < CFUTI_STACK_MOST) {
        /* what belongs to the innermost may lie somewhat below it */
        void *gap = __builtin_alloca(here - innermost + CFUTI_PAD);

        __asm__ __volatile__("" : : "r"(gap) : "memory");
    }
    cfuti_abandon_all(t, end, top);
}

/* All that a call was at: on a thread that is neither worker nor manager, or where C++
   unwinds (cfuti_called). */
static CFUTI_RARE void cfuti_unwind_to(void *arg)
{
    const cfuti_user *user = (const cfuti_user *)arg;

    cfuti_unwind(cfuti_self(), user->duty, user->top);
}

/* Starts another thread in the place of this one, which nobody joins then. */
static CFUTI_RARE void cfuti_replace_worker(cfuti_worker *w)
{
    cfuti_pool *p = w->pool;
    cfuti_os_thread fresh;

    cfuti_pool_use(p);
    cfuti_thread_detach(w->thread);
    if (cfuti_thread_start(&fresh, p->stack_size, w)) cfuti_pool_unuse(p);
    else cfuti_start_failed(w);
}

/* The worker's thread ends: another takes its place, with its queues. */
static CFUTI_RARE void cfuti_worker_lost(cfuti_worker *w)
{
    cfuti_thread *t = cfuti_self();

    cfuti_workers_remove(t);
    t->worker = NULL;
    if (cfuti_pool_is_forked(w->pool)) return;
    cfuti_count_tiny(w, false);
    cfuti_lock(&w->lock);
    w->strange = w->deque.bot;      /* who forked it is on no stack any more */
    cfuti_unlock(&w->lock);
    cfuti_store_release(&w->record, (cfuti_thread *)NULL);
    if (w->ready) {
        cfuti_replace_worker(w);
    } else {
        cfuti_worker_unfit(w);
        if (!cfuti_pool_is_forked(w->pool)) cfuti_worker_leave(w);
    }
}

/* The thread leaves by pthread_exit: out of a task, a callback, or a hook. Completes
   what ran on it, and finds itself an heir. */
static CFUTI_RARE void cfuti_thread_abandoned(void *arg)
{
    struct cfuti_procs *procs = cfuti_managed_by(arg);
    cfuti_worker *w = procs ? NULL : (cfuti_worker *)arg;
    cfuti_thread *t = cfuti_self();

    cfuti_inline_forks(NULL);
    cfuti_unwind(t, NULL, 0);
    if (procs) cfuti_procs_thread_lost(procs);
    else cfuti_worker_lost(w);
}

/* A worker that counts as idle is about to run user code after all. */
static void cfuti_worker_is_busy(cfuti_worker *w)
{
    if (!w->idle || cfuti_pool_is_forked(w->pool)) return;
    cfuti_lock(&w->pool->lock);
    cfuti_settle(w);
}

/* A worker is about to publish the result of a task that no other task waits
   for: if it has nothing else to do, it counts as idle from now on. Matters
   only while threads may still be started. */
static void cfuti_worker_before_done(cfuti_worker *w)
{
    cfuti_pool *p = w->pool;

    /* relaxed: a hint; started only grows towards the maximum */
    if (CFUTI_LIKELY(cfuti_load_relaxed(&p->started) == p->max_workers)) return;
    if (w->deque.bot != cfuti_load_relaxed(&w->top) || w->lo != w->hi) return;
    if (cfuti_pool_is_forked(p)) return;        /* the task has forked, and this is the child */
    cfuti_lock(&p->lock);
    if (!w->idle) p->idle++;
    w->idle = true;
    cfuti_hint_update(p);
    cfuti_unlock(&p->lock);
}

/* ---- submit ---- */

/* From outside, or from inside with the deque full. */
static int cfuti_inject(cfuti_pool *p, cfut_future *f, bool inside)
{
    cfuti_worker *wake = NULL, *start = NULL;
    cfuti_thread *t = cfuti_self();
    int status = CFUT_OK;

    cfuti_lock(&p->lock);
    if (CFUTI_UNLIKELY(p->closed && !inside)) status = CFUT_CLOSED;
    if (CFUTI_UNLIKELY(cfuti_load_relaxed(&p->refuse_inside)))
        status = cfuti_load_relaxed(&p->refuse_inside);
    if (CFUTI_LIKELY(!status)) {
        if (p->spill_first || !cfuti_inbox_put(p, f)) cfuti_spill_append(p, f);
        if (p->started < p->max_workers && p->tail - cfuti_load_relaxed(&p->head) > p->idle)
            start = cfuti_reserve(p);
        if (!start && !p->searching && p->parked) wake = cfuti_unpark_one(p);
        if (wake || start) cfuti_hint_update(p);
    }
    cfuti_unlock(&p->lock);
    t->woke = wake != NULL;
    t->waits = 0;
    if (wake) cfuti_wake_worker(wake);
    if (start) cfuti_start_worker(start);
    return status;
}

/* The worker that this thread is, if it is one of p and inside a task. */
static cfuti_worker *cfuti_worker_of(cfuti_thread *t, const cfuti_pool *p)
{
    cfuti_worker *w = t->worker;

    return w && w->pool == p && cfuti_is_working(t) ? w : NULL;
}

static int cfuti_pool_submit(cfut_executor *ex, cfut_future *f)
{
    cfuti_pool *p = cfuti_pool_of(ex);
    cfuti_thread *t = cfuti_self();
    cfuti_worker *w = cfuti_worker_of(t, p);
    int status = cfuti_load_relaxed(w ? &p->refuse_inside : &p->base.status);

    if (CFUTI_UNLIKELY(status)) return status;
    if (!w) {
        cfuti_prefetch_array(f);
        return cfuti_inject(p, f, false);
    }
    if (CFUTI_LIKELY(cfuti_asymmetric)) f->state |= CFUTI_LIGHT;
    if (CFUTI_UNLIKELY(!cfuti_push(w, f))) {
        f->state &= ~(uint32_t)CFUTI_LIGHT;     /* the inbox's are mostly waited for */
        return cfuti_inject(p, f, true);
    }
    cfuti_pushed(w);
    return CFUT_OK;
}

static bool cfuti_pool_cancel(cfut_executor *ex, cfut_future *f)
{
    return cfuti_unqueue(cfuti_pool_of(ex), f);
}

/* ---- close and shutdown ---- */

static CFUTI_RARE void cfuti_pool_close(cfut_executor *ex, int how)
{
    cfuti_pool *p = cfuti_pool_of(ex);
    bool cancel = (how & CFUT_CANCEL_PENDING) != 0;

    if (cfuti_pool_is_forked(p) || !cfuti_pool_use(p)) return;
    cfuti_lock(&p->lock);
    p->closed = true;
    if (!cfuti_load_relaxed(&p->base.status)) cfuti_store_relaxed(&p->base.status, CFUT_CLOSED);
    if (cancel && !cfuti_load_relaxed(&p->refuse_inside))
        cfuti_store_relaxed(&p->refuse_inside, CFUT_CLOSED);
    cfuti_unlock(&p->lock);
    if (cancel) cfuti_pool_fail(p, CFUT_STATE_CANCELLED_AND_NOTIFIED, CFUT_CANCELLED);
    else cfuti_pool_unuse(p);
}

static void cfuti_registry_remove(cfuti_pool *p)
{
    if (p->prev) p->prev->next = p->next;
    else cfuti_registry = p->next;
    if (p->next) p->next->prev = p->prev;
}

/* All threads have left. Joins them, frees the workers, buries the handle. self:
   the worker that does so itself, or NULL. */
static CFUTI_RARE void cfuti_pool_reap(cfuti_pool *p, const cfuti_worker *self)
{
    for (size_t i = 0; i < p->high; i++) {
        cfuti_worker *w = &p->workers[i];

        if (w == self) cfuti_thread_detach(w->thread);
        else if (w->used) cfuti_thread_join(w->thread);
    }
    cfuti_lock(&cfuti_registry_lock);
    cfuti_registry_remove(p);
    CFUT_FREE(p->workers);
    cfuti_pages_free(p->inbox, CFUTI_INBOX * sizeof(uintptr_t));
    p->workers = NULL;
    p->next = NULL;
    if (cfuti_graves_last) cfuti_graves_last->next = p;
    else cfuti_graves_first = p;
    cfuti_graves_last = p;
    cfuti_graves++;
    cfuti_store_release(&p->ended, 2u);         /* release: to cfuti_ended_wait */
    cfuti_unlock(&cfuti_registry_lock);
    cfuti_wake_word(&p->ended);
}

/* Until a pool's ended is at least what; false: the deadline has passed. */
static CFUTI_RARE bool cfuti_ended_wait(uint32_t *ended, uint32_t what, cfut_ns deadline)
{
    for (;;) {
        uint32_t now = cfuti_load_acquire(ended);       /* acquire: from who set it */

        if (now >= what) return true;
        if (cfuti_expired(deadline)) return false;
        cfuti_wait_word(ended, now, deadline);
    }
}

/* Under the pool's lock; true: the caller is to reap. */
static bool cfuti_pool_claim_reaping(cfuti_pool *p)
{
    bool mine;

    cfuti_lock(&p->lock);
    mine = cfuti_load_relaxed(&p->ended) == 1 && !p->reaping;
    if (mine) p->reaping = true;
    cfuti_unlock(&p->lock);
    return mine;
}

static CFUTI_RARE int cfuti_pool_shutdown(cfut_executor *ex, int how, cfut_ns timeout)
{
    cfuti_pool *p = cfuti_pool_of(ex);
    cfuti_thread *t = cfuti_self();
    cfut_ns deadline = cfuti_deadline(timeout);

    if (cfuti_pool_is_forked(p)) return CFUT_FORKED;
    if (cfuti_holds_up(t, p) && !(how & CFUT_DETACH)) return CFUT_DEADLOCK;
    if (how & CFUT_DETACH) {
        cfuti_lock(&p->lock);
        p->detached = true;
        cfuti_unlock(&p->lock);
    }
    cfuti_pool_close(ex, how);
    if (cfuti_pool_is_forked(p)) return CFUT_FORKED;    /* a callback has, this is the child */
    if (!(how & CFUT_DETACH) && !cfuti_ended_wait(&p->ended, 1, deadline)) return CFUT_TIMEOUT;
    if (cfuti_pool_claim_reaping(p)) cfuti_pool_reap(p, NULL);
    else if (!(how & CFUT_DETACH) && !cfuti_ended_wait(&p->ended, 2, deadline)) return CFUT_TIMEOUT;
    return CFUT_OK;
}

static size_t cfuti_pool_max_workers(const cfut_executor *ex)
{
    return cfuti_pool_of(ex)->max_workers;
}

static size_t cfuti_pool_workers(const cfut_executor *ex)
{
    cfuti_pool *p = cfuti_pool_of(ex);
    size_t n;

    if (cfuti_pool_is_forked(p)) return 0;
    cfuti_lock(&p->lock);
    n = p->started - p->left;
    cfuti_unlock(&p->lock);
    return n;
}

static const cfut_executor_ops cfuti_pool_ops = {
    "ThreadPoolExecutor", cfuti_pool_submit, cfuti_pool_cancel, cfuti_pool_close,
    cfuti_pool_shutdown, cfuti_pool_max_workers, cfuti_pool_workers
};

/* ---- creation ---- */

/* A handle: an old grave, or new. Under the registry's lock. */
static cfuti_pool *cfuti_pool_memory(void)
{
    cfuti_pool *p = NULL;

    if (cfuti_graves > CFUTI_GRAVES) {
        p = cfuti_graves_first;
        cfuti_graves_first = p->next;
        cfuti_graves--;
        memset(p, 0, sizeof *p);
    } else {
        p = (cfuti_pool *)cfuti_alloc(sizeof *p);
    }
    return p;
}

/* Indices begin where no address is, so that the slot of a bare future, which is
   an index, cannot be taken for another's. */
static void cfuti_deque_init(cfuti_worker *w, size_t size, uintptr_t *ring)
{
#if CFUTI_INLINE
    static const cfuti_deque none = CFUTI_NO_DEQUE;
#endif

    w->top = w->strange = w->deque.bot = w->deque.lim = SIZE_MAX / 2 + 1;
    w->deque.room = w->top + size - 1;
    w->deque.ring = ring;
    w->deque.mask = size - 1;
#if CFUTI_INLINE
    w->deque.hint = &w->pool->hint;
    w->no_deque = none;
    w->no_deque.ring = &w->no_ring;
#endif
}

/* One block: workers, then their rings. The inbox is apart. */
static bool cfuti_pool_alloc_workers(cfuti_pool *p)
{
    size_t ring = CFUTI_RING_MAX, n = p->max_workers;
    size_t head = cfuti_round_up(cfuti_size(n, sizeof(cfuti_worker), 0), CFUTI_CACHE_LINE);
    char *block;

    while (ring > CFUTI_RING_MIN && ring * n > 65536) ring /= 2;
    block = (char *)cfuti_alloc(cfuti_size(n, ring * sizeof(uintptr_t), head));
    if (!block) return false;
    p->inbox = (uintptr_t *)cfuti_pages(CFUTI_INBOX * sizeof(uintptr_t));
    if (!p->inbox) {
        CFUT_FREE(block);
        return false;
    }
    p->ring = ring;
    p->workers = (cfuti_worker *)(void *)block;
    for (size_t i = 0; i < n; i++) {
        cfuti_worker *w = &p->workers[i];

        w->pool = p;
        cfuti_deque_init(w, ring, (uintptr_t *)(void *)(block + head) + i * ring);
        w->random = (uint32_t)i * 2654435769u + 1;
        w->chunk = 1;
    }
    return true;
}

static CFUTI_RARE void cfuti_pool_configure(cfuti_pool *p, const cfut_thread_pool_desc *desc,
                                            size_t workers)
{
    p->base.ops = &cfuti_pool_ops;
    p->max_workers = workers;
    p->stack_size = desc->stack_size;
    p->initializer = desc->initializer;
    p->finalizer = desc->finalizer;
    p->init_arg = desc->init_arg;
    p->exit = desc->exit;
    if (desc->thread_name_prefix)
        snprintf(p->prefix, sizeof p->prefix, "%s", desc->thread_name_prefix);
    else
        snprintf(p->prefix, sizeof p->prefix, "ThreadPoolExecutor-%u", cfuti_pools_made++);
}

static bool cfuti_heavy_begun;

/* Under the registry's lock. Returns a status. */
static CFUTI_RARE int cfuti_pool_create(cfuti_pool **pool, const cfut_thread_pool_desc *desc,
                                        size_t workers)
{
    cfuti_pool *p;

    if (cfuti_exiting) return CFUT_CLOSED;
    if (!cfuti_heavy_begun) cfuti_asymmetric = cfuti_heavy_begin();
    cfuti_heavy_begun = true;
    p = cfuti_pool_memory();
    if (!p) return CFUT_NO_MEMORY;
    cfuti_pool_configure(p, desc, workers);
    if (!cfuti_pool_alloc_workers(p)) {
        CFUT_FREE(p);
        return CFUT_NO_MEMORY;
    }
    cfuti_lock(&p->lock);
    cfuti_hint_update(p);
    cfuti_unlock(&p->lock);
    p->next = cfuti_registry;
    if (p->next) p->next->prev = p;
    cfuti_registry = p;
    *pool = p;
    return CFUT_OK;
}

/* ---- exit ---- */

/* A pool's exit, once it has come to its turn. */
enum { CFUTI_EXIT_DRAINING = CFUT_EXIT_ABANDON + 1 };

/* The next live pool to drain, or NULL. Each is drained once. */
static cfuti_pool *cfuti_pool_to_drain(void)
{
    cfuti_pool *p;

    cfuti_lock(&cfuti_registry_lock);
    cfuti_exiting = true;
    for (p = cfuti_registry; p && p->exit != CFUT_EXIT_DRAIN; ) p = p->next;
    if (p) p->exit = CFUTI_EXIT_DRAINING;
    cfuti_unlock(&cfuti_registry_lock);
    return p;
}

/* EXIT WITHIN A TASK OR A CALLBACK

   What stands on this thread never returns, and nobody is to wait for that; all else
   comes to its end. So while the pools are drained, one by one as otherwise, this thread
   runs what nobody else will: what is queued in the pool whose worker it is, and what is
   queued behind workers that all wait for what stands here. A pool is drained when
   nothing is queued there, and each worker is parked, gone, or so stuck. It looks each
   millisecond, and believes what it has seen twice, as a task may have submitted to
   another pool in between: at exit, simple is better than another protocol. */

static CFUTI_RARE bool cfuti_graph_stuck(cfuti_thread *self, cfut_future *f,
                                         cfuti_thread **victim, bool *busy);   /* >>graph */
static CFUTI_RARE bool cfuti_manages(const cfuti_thread *t);                    /* >>waiters */

enum { CFUTI_IS_GONE, CFUTI_IS_PARKED, CFUTI_IS_STUCK, CFUTI_IS_BUSY };

/* Under the graph lock: whether t waits for what stands on this thread, or is it. */
static bool cfuti_is_stuck_here(cfuti_thread *t)
{
    cfuti_thread *self = cfuti_self(), *victim;
    bool busy;

    return t == self ||
           (t && t->waiting && cfuti_graph_stuck(self, t->waiting, &victim, &busy));
}

/* Under the graph lock. */
static CFUTI_RARE int cfuti_worker_is(cfuti_worker *w)
{
    cfuti_pool *p = w->pool;
    cfuti_worker *parked;
    cfuti_thread *t = NULL;
    bool gone;

    cfuti_lock(&p->lock);
    for (parked = p->parked_first; parked && parked != w; ) parked = parked->next_parked;
    gone = !w->used || w->gone;
    if (!gone) t = cfuti_load_acquire(&w->record);      /* acquire: from its start */
    cfuti_unlock(&p->lock);
    if (parked) return CFUTI_IS_PARKED;
    if (gone) return CFUTI_IS_GONE;
    return cfuti_is_stuck_here(t) ? CFUTI_IS_STUCK : CFUTI_IS_BUSY;
}

/* Whether all workers of p are something but this and that. */
static CFUTI_RARE bool cfuti_no_worker_is(cfuti_pool *p, int one, int other)
{
    bool none = true;

    cfuti_lock(&cfuti_graph_lock);
    for (size_t i = 0; i < p->high && none; i++) {
        int is = cfuti_worker_is(&p->workers[i]);

        none = is != one && is != other;
    }
    cfuti_unlock(&cfuti_graph_lock);
    return none;
}

/* Takes one of those that nobody else will run, or NULL. */
static CFUTI_RARE cfut_future *cfuti_take_left(void)
{
    const cfuti_thread *t = cfuti_self();
    cfut_future *f = NULL;

    cfuti_lock(&cfuti_registry_lock);
    for (cfuti_pool *p = cfuti_registry; p && !f; p = p->next) {
        if (p->exit == CFUT_EXIT_ABANDON || cfuti_pool_is_forked(p)) continue;
        if (cfuti_holds_up(t, p) || cfuti_no_worker_is(p, CFUTI_IS_PARKED, CFUTI_IS_BUSY))
            f = cfuti_take_any(p);
    }
    cfuti_unlock(&cfuti_registry_lock);
    return f;
}

/* Until drained(p) has been true twice. */
static CFUTI_RARE void cfuti_drain_within(bool (*drained)(void *), void *p)
{
    cfuti_thread *t = cfuti_self();
    int seen = 0;

    while (seen < 2) {
        cfut_future *f = cfuti_take_left();

        if (f) cfuti_execute_taken(t, f);
        if (cfuti_manages(t)) cfuti_procs_help(t->managing);
        seen = !f && drained(p) ? seen + 1 : 0;
        if (!f) cfuti_nap(CFUT_MS(1));
    }
}

static CFUTI_RARE bool cfuti_pool_is_drained(void *pool)
{
    cfuti_pool *p = (cfuti_pool *)pool;
    bool drained;

    if (!cfuti_pool_use(p)) return true;
    drained = !cfuti_inbox_waits(p) && !cfuti_any_queued(p) &&
              cfuti_no_worker_is(p, CFUTI_IS_BUSY, CFUTI_IS_BUSY);
    cfuti_pool_unuse(p);
    return drained;
}

static CFUTI_RARE void cfuti_at_exit(void)
{
    cfuti_worker *w = cfuti_self()->worker;
    bool within = w || cfuti_is_working(cfuti_self());
    cfuti_pool *p;

    if (w && !w->ready) cfuti_worker_unfit(w);
    while ((p = cfuti_pool_to_drain()) != NULL) {
        if (cfuti_pool_is_forked(p)) continue;
        if (within) {
            cfuti_pool_close(&p->base, CFUT_DRAIN);
            cfuti_drain_within(cfuti_pool_is_drained, p);
        }
        cfuti_pool_shutdown(&p->base, CFUT_DRAIN, within ? CFUT_MS(1) : CFUT_FOREVER);
    }
    cfuti_procs_at_exit(within);
    cfuti_trace_stop();
}

/* ---- fork ---- */

/* The child has one thread and copies of all locks as they were. The registry's
   is held across the fork, so it is whole; all others are never taken there
   again, since every pool is inert, or are made anew. The one deque that its
   thread might look into, of the worker that it is, is emptied. */
static void cfuti_fork_prepare(void)
{
    cfuti_lock(&cfuti_registry_lock);
    cfuti_trace_fork_prepare();
}

static void cfuti_fork_parent(void)
{
    cfuti_trace_fork_parent();
    cfuti_unlock(&cfuti_registry_lock);
}

static CFUTI_RARE void cfuti_fork_child(void)
{
    cfuti_thread *t = cfuti_self();

    for (cfuti_pool *p = cfuti_registry; p; p = p->next) {
        cfuti_store_relaxed(&p->base.status, CFUT_FORKED);
        cfuti_store_relaxed(&p->refuse_inside, CFUT_FORKED);
    }
    cfuti_procs_fork_child();
    cfuti_trace_fork_child();
    cfuti_generation += 1u << 24;
    cfuti_store_relaxed(&cfuti_graph_lock, 0u);
    cfuti_store_relaxed(&cfuti_workers_lock, 0u);
    cfuti_workers = NULL;           /* what was LIGHT is foreign now */
    if (t->worker) cfuti_deque_forget(t->worker);
    cfuti_inline_forks(NULL);
    cfuti_sys_wait_reset();
    cfuti_unlock(&cfuti_registry_lock);
}

/*=========================================================================
    >>process   the process pool: its memory, the helper, the workers
=========================================================================*/

/* Why a pool could not be made, more precisely than CFUT_NO_THREADS. */
enum { CFUTI_NO_HELPER = 1, CFUTI_THREADS_RUN };

#if CFUTI_PROCESS

/* WHO IS WHO

   host      the program that made the pool: any of its threads submits, one of
             its own, the manager, takes results in and looks after the workers
   helper    one small process per pool (a zygote): forks the workers, signals
             and reaps them. So the host has one child, no signal handler, and
             forks once. It lives on one channel to the host; when the host is
             gone, that ends, and it kills the workers and leaves
   worker    a fork of the helper, which runs tasks one after the other

   THE MEMORY that they share is one file, mostly holes:
     common    what the pool is like, and the names of its tasks. Host writes
     orders    per worker: 256 slots, what is to be run. Host writes
     reports   per worker: what became of it. The worker writes; the host only a
               slot's word, to queue and to take back
     bulk      per worker: arguments and results that do not fit a slot
   A worker maps its own parts alone, and what the host writes read-only: a wild
   pointer in a task ends there. What it reports is copied once, then checked;
   host and helper use no length, offset or pointer that lies in the file, but
   their own copies. For more bulk, and to part from a child, a worker needs the
   file's descriptor, through which all of it can be written. So that has a number that
   no stale one is likely to be, and stands at the file's end. A task that seeks there
   all the same can harm other tasks of its pool, but not host and helper.

   A SLOT'S WORD holds the number of the task, counted per worker, and its state
     FREE ----> QUEUED --> RUNNING --> DONE      worker: RUNNING and DONE
                   '-----> TAKEN                 host: cancelled, or for another worker
   (and back to QUEUED, by a worker that ends before it has called the task).
   Out of QUEUED both sides go by compare-and-swap, so exactly one gets the task.
   The worker takes the numbers in their order, and skips one that was taken back:
   it finds TAKEN there, or an order with a newer number.

   NO LOST WAKE-UP. To the worker:
     host:   H1 word[n] = QUEUED, bell + 1     H2 load word[n - 1]
     worker: W1 word[n - 1] = DONE             W2 load word[n]; load bell; load
             word[n] again; sleep while bell is as loaded
   All are seq_cst. If H2 finds the task before in QUEUED or RUNNING, the worker
   has yet to pass W1, and W2 sees H1 (or somebody else has yet to wake it for the
   one before): no wake call. Else the host makes one; the bell tells the worker
   that came between. To the host:
     manager: M1 common->asleep is odd          M2 load the words
     worker:  D1 word = DONE                    D2 load asleep
   Not both miss. The worker cannot write asleep, so it cannot keep the manager
   asleep; it rings once for each value.

   NOBODY'S WORD IS TRUSTED BEYOND HIS OWN TASK. A word with a wrong number or
   state: the worker is killed, its task fails. A worker that says nothing is one
   that runs for ever: time_limit and cfut_cancel are for that.

   LAWS. A queued future is in the pool's list (slot: the one before, marked), or in
   a worker's slot (slot: its entry). Whoever takes it out of there, under the
   pool's lock, owns it. in is copied when it gets a slot, outside the lock, while
   the entry says filling: who wants it out waits for that. out is copied by the
   manager before it completes the future.
   A death is learned from the helper after the process is gone, so its words are
   final then: DONE ones are taken in, QUEUED ones go back to the head of the list,
   and what was RUNNING (or is not to be understood) fails. */

enum {
    CFUTI_PROCS_MAX = 1024,
    CFUTI_SLOTS = 256,                  /* of a worker: while the manager wakes up, it shall
                                           not run out of empty tasks */
    CFUTI_DEPTH_MAX = 64,               /* of queue_depth */
    CFUTI_INLINE_IN = 192,              /* bytes in a slot */
    CFUTI_INLINE_OUT = 128,
    CFUTI_SMALL_IN = 16,                /* these travel in the slot's first cache line; */
    CFUTI_SMALL_OUT = 32,               /* below 64, as no type of that alignment is so small */
    CFUTI_NAMES = 1024,                 /* tasks of a pool */
    CFUTI_BULK_SOFT = 8 << 20,          /* bytes of bulk queued with one worker; a single
                                           task may have more */
    CFUTI_IDLE_DEATHS = 5,              /* in a row, without a task to blame: broken */
    CFUTI_PROCESS_MAGIC = 0x63667574
};

enum { CFUTI_FREE_SLOT, CFUTI_QUEUED, CFUTI_RUNNING, CFUTI_DONE_SLOT, CFUTI_TAKEN_SLOT };
#define CFUTI_WORD(number, state) ((uint32_t)(number) << 3 | (uint32_t)(state))

/* Where argument or result are: NULL was given, in the slot, in the bulk. */
enum { CFUTI_NOWHERE, CFUTI_IN_SLOT, CFUTI_IN_BULK };

typedef struct cfuti_order {            /* the host's */
    uint32_t code;                      /* which of the names */
    uint32_t stop;                      /* atomic */
    uint64_t count, in_size, out_size;  /* items, and bytes of one */
    uint64_t bulk;                      /* where in the bulk */
    uint32_t number;                    /* of the task; atomic */
    uint8_t in_at, out_at;              /* CFUTI_NOWHERE... */
    uint8_t timed;                      /* somebody wants to know how long it took */
    uint8_t pad;
    char small[CFUTI_SMALL_IN];
    char in[CFUTI_INLINE_IN];
} cfuti_order;

typedef struct cfuti_report {           /* the worker's */
    uint32_t word;                      /* atomic; both sides */
    int32_t status;
    uint32_t progress;                  /* items done; atomic */
    uint32_t has_text;
    uint64_t began, took;               /* ns, of the system's clock, which all share */
    char small[CFUTI_SMALL_OUT];
    char text[56];
    char pad2[8];
    char out[CFUTI_INLINE_OUT];
} cfuti_report;

CFUTI_STATIC_ASSERT(sizeof(cfuti_order) == 256, "whole cache lines");
CFUTI_STATIC_ASSERT(sizeof(cfuti_report) == 256, "whole cache lines");

/* Where in such a slot. */
static const char *cfuti_order_in(const cfuti_order *o, size_t size)
{
    return size <= CFUTI_SMALL_IN ? o->small : o->in;
}

static const char *cfuti_report_out(const cfuti_report *r, size_t size)
{
    return size <= CFUTI_SMALL_OUT ? r->small : r->out;
}

typedef struct cfuti_orders {
    uint32_t bell;                      /* atomic: grows with every order */
    uint32_t leave;                     /* atomic */
    char pad[56];
    cfuti_order slot[CFUTI_SLOTS];
} cfuti_orders;

enum { CFUTI_NOT_READY, CFUTI_READY_TO_RUN, CFUTI_INIT_FAILED };

typedef struct cfuti_reports {
    uint32_t phase;                     /* atomic */
    uint32_t heavy;                     /* atomic: holds more than max_rss */
    int32_t init_status;
    uint32_t exited;                    /* 1 + the status given to exit() */
    char text[56];                      /* of the initializer */
    char pad[56];
    cfuti_report slot[CFUTI_SLOTS];
} cfuti_reports;

typedef struct cfuti_layout {           /* bytes of the parts, in whole pages */
    uint64_t common;                    /* with the bytes of init_arg behind it */
    uint64_t part;                      /* of orders, and of reports */
    uint64_t bulk;                      /* of in, and of out, at most */
} cfuti_layout;

typedef struct cfuti_common {
    uint32_t magic, version;
    uint32_t asleep;                    /* atomic; odd: the manager sleeps, or is about to */
    int32_t initializer, finalizer;     /* names, or -1 */
    uint32_t workers;
    cfuti_layout layout;
    cfuti_site self;                    /* where the library itself is: the same program? */
    cfut_process_pool_desc desc;
    cfuti_site names[CFUTI_NAMES];
} cfuti_common;

/* Where the parts of worker i begin in the file: orders, reports, bulks. */
static uint64_t cfuti_part_at(const cfuti_layout *l, size_t i)
{
    return l->common + i * 2 * (l->part + l->bulk);
}

/* ---- messages between host and helper ---- */

enum {
    CFUTI_HELLO, CFUTI_STARTED, CFUTI_NOT_STARTED, CFUTI_DIED,      /* to the host */
    CFUTI_START, CFUTI_SIGNAL, CFUTI_QUIT                           /* to the helper */
};

typedef struct cfuti_message {
    int32_t what, worker, value;
    int32_t pad;
    cfuti_end end;
} cfuti_message;

/* Descriptors of the helper; a worker begins with them, and moves what it needs. */
enum { CFUTI_FD_CHANNEL = 3, CFUTI_FD_FILE = 4, CFUTI_FD_BELL = 5 };

/* ---- the worker ---- */

/* Everything about this process as a worker. */
typedef struct cfuti_child {
    const cfuti_common *common;
    const cfuti_orders *orders;
    cfuti_reports *reports;
    size_t index;
    cfuti_kept file, ring;              /* the memory; the host's bell */
    cfuti_kept bell;                    /* that it sleeps in, where it needs one */
    uint32_t rung;                      /* value of asleep that was answered */
    char *bulk_in, *bulk_out;
    size_t mapped;                      /* of each */
    bool forked;                        /* this is a child of the worker's */
    void *init_arg;
    int (*initializer)(void *);
    void (*finalizer)(void *);
    int lacks;                          /* why one of these is not to be found, or 0 */
    cfut_fn code[CFUTI_NAMES];          /* found so far */
} cfuti_child;

static cfuti_child *cfuti_this_child;   /* NULL in the host */

static bool cfuti_child_has_all(const cfuti_child *c)
{
    return cfuti_sys_is_kept(&c->file) && cfuti_sys_is_kept(&c->ring) &&
           (CFUTI_FUTEX || cfuti_sys_is_kept(&c->bell));
}

static void cfuti_child_ring(cfuti_child *c)
{
    uint32_t asleep = cfuti_load_seq_cst(&c->common->asleep);       /* D2 */

    if (!(asleep & 1) || asleep == c->rung) return;
    c->rung = asleep;
    /* if a task has closed it the host learns by our end what we have done */
    if (!cfuti_sys_is_kept(&c->ring) || !cfuti_sys_ring(c->ring.fd)) _exit(1);
}

/* Back from code of the user's. If that has forked and this is the child, it ends
   here: it must not take tasks, or report, beside the worker. Not noticed is a child by
   _Fork or clone, which call no handlers: to ask for the number of the process takes
   100 ns each time, and a short task 250. */
static void cfuti_child_is_back(const cfuti_child *c)
{
    if (CFUTI_LIKELY(!c->forked)) return;
    fflush(NULL);
    _exit(0);
}

static void cfuti_child_flush(void)
{
    fflush(stdout);
    fflush(stderr);
}

/* A task has called exit(): what the host has registered must not run here. */
static void cfuti_child_exited(int status)
{
    if (!cfuti_this_child->forked)              /* and not a child of the task's */
        cfuti_this_child->reports->exited = 1 + (uint32_t)status;
    fflush(NULL);
    _exit(status);
}

#if defined(__GLIBC__)
static void cfuti_child_on_exit(int status, void *unused)
{
    (void)unused;
    cfuti_child_exited(status);
}

static void cfuti_child_catch_exit(void) { on_exit(cfuti_child_on_exit, NULL); }
#else
static void cfuti_child_at_exit(void) { cfuti_child_exited(0); }
static void cfuti_child_catch_exit(void) { atexit(cfuti_child_at_exit); }
#endif

/* The bulk, mapped up to end at least; false: no memory, or no descriptor for it. */
static bool cfuti_child_bulk(cfuti_child *c, uint64_t end)
{
    const cfuti_layout *l = &c->common->layout;
    uint64_t at = cfuti_part_at(l, c->index) + 2 * l->part;
    size_t size = 1 << 20;

    if (end <= c->mapped) return true;
    if (end > l->bulk || !cfuti_sys_is_kept(&c->file)) return false;
    while (size < end) size *= 2;
    if (size > l->bulk) size = (size_t)l->bulk;
    cfuti_sys_unmap(c->bulk_in, c->mapped);
    cfuti_sys_unmap(c->bulk_out, c->mapped);
    c->bulk_in = (char *)cfuti_sys_map(c->file.fd, at, size, false);
    c->bulk_out = (char *)cfuti_sys_map(c->file.fd, at + l->bulk, size, true);
    c->mapped = size;
    if (c->bulk_in && c->bulk_out) return true;
    cfuti_sys_unmap(c->bulk_in, size);
    cfuti_sys_unmap(c->bulk_out, size);
    c->bulk_in = c->bulk_out = NULL;
    c->mapped = 0;
    return false;
}

/* The code of that name; 0, and why: it is not here, or cannot be looked up now. */
static uintptr_t cfuti_child_code(const cfuti_child *c, uint32_t name, int *lacks)
{
    uintptr_t code;

    errno = 0;
    code = cfuti_sys_code(&c->common->names[name]);
    if (!code) *lacks = cfuti_sys_had_no_room() ? CFUT_NO_MEMORY : CFUT_INVALID;
    return code;
}

/* A task has forked: the child is no worker, and what it writes is its own. If that
   has its own pool, of which this is a worker, each fork comes here twice. */
static void cfuti_child_forked(void)
{
    cfuti_child *c = cfuti_this_child;
    const cfuti_layout *l = &c->common->layout;
    uint64_t at = cfuti_part_at(l, c->index) + l->part;

    if (c->forked) return;
    c->forked = true;
    if (!cfuti_sys_is_kept(&c->file)) return;
    cfuti_sys_disown(c->reports, c->file.fd, at, (size_t)l->part);
    cfuti_sys_disown(c->bulk_out, c->file.fd, at + l->part + l->bulk, c->mapped);
}

/* One order as the task sees it. */
typedef struct cfuti_job {
    cfuti_child *child;
    const cfuti_order *order;
    cfuti_report *report;
    cfut_task task;
    const char *in;
    char *out;
    int32_t *statuses;                  /* of a chunk, else NULL */
    cfut_future self;                   /* what cfut_current_future says */
    cfuti_frame frame;
} cfuti_job;

/* There is no bulk for it. If that is for a descriptor that a task before has closed,
   this one shall not pay: it goes to another worker, as we end. */
static int cfuti_job_has_no_bulk(const cfuti_job *j)
{
    if (cfuti_sys_is_kept(&j->child->file)) return CFUT_NO_MEMORY;
    cfuti_exchange_seq_cst(&j->report->word, (j->report->word & ~7u) | CFUTI_QUEUED);
    _exit(1);
}

/* CFUT_OK, or why it cannot be run. */
static int cfuti_job_prepare(cfuti_job *j)
{
    const cfuti_order *o = j->order;
    cfuti_child *c = j->child;
    size_t in = (size_t)(o->count * o->in_size);        /* the host had room for them */
    size_t out = cfuti_round_up((size_t)(o->count * o->out_size), 64);
    bool bulk = o->in_at == CFUTI_IN_BULK || o->out_at == CFUTI_IN_BULK || o->count > 1;
    size_t tail = o->count > 1 ? out + (size_t)o->count * sizeof(int32_t) : out;
    int lacks = CFUT_OK;

    if (bulk && !cfuti_child_bulk(c, o->bulk + (in > tail ? in : tail)))
        return cfuti_job_has_no_bulk(j);
    if (!c->code[o->code]) c->code[o->code] = (cfut_fn)cfuti_child_code(c, o->code, &lacks);
    if (lacks) return lacks;
    j->task.fn = c->code[o->code];
    if (o->in_at == CFUTI_IN_SLOT) j->in = cfuti_order_in(o, in);
    if (o->in_at == CFUTI_IN_BULK) j->in = c->bulk_in + o->bulk;
    if (o->out_at == CFUTI_IN_SLOT)
        j->out = (char *)(uintptr_t)cfuti_report_out(j->report, (size_t)o->out_size);
    if (o->out_at == CFUTI_IN_BULK) j->out = c->bulk_out + o->bulk;
    if (o->count > 1) j->statuses = (int32_t *)(void *)(c->bulk_out + o->bulk + out);
    return CFUT_OK;
}

static int cfuti_job_item(cfuti_job *j, uint64_t i)
{
    const char *in = j->in ? j->in + i * j->order->in_size : NULL;
    char *out = j->out ? j->out + i * j->order->out_size : NULL;
    int status = cfuti_call(&j->task, in, out, &j->frame, cfuti_top());

    cfuti_child_is_back(j->child);
    return status == CFUT_TIMEOUT ? ETIMEDOUT : status;
}

static void cfuti_job_run(void *arg)
{
    cfuti_job *j = (cfuti_job *)arg;
    cfuti_thread *t = cfuti_self();
    int status = CFUT_OK;

    j->frame.future = &j->self;
    cfuti_place_here()->top = (uintptr_t)&j->frame;
    t->stop = &j->order->stop;
    for (uint64_t i = 0; i < j->order->count; i++) {
        bool skip = i > 0 && cfuti_load_relaxed(&j->order->stop);

        status = skip ? (int)CFUT_CANCELLED : cfuti_job_item(j, i);
        if (j->statuses) j->statuses[i] = status;
        /* release: item i, should this process end before all are done */
        cfuti_store_release(&j->report->progress, (uint32_t)i + 1);
    }
    cfuti_place_here()->top = 0;
    t->stop = NULL;
    j->report->status = j->statuses ? (int)CFUT_OK : status;
    j->report->has_text = status && j->frame.code == status;
    if (j->report->has_text) memcpy(j->report->text, j->frame.text, sizeof j->report->text);
}

/* The task has ended the thread, and with it this process. */
static void cfuti_job_lost(void *arg)
{
    cfuti_job *j = (cfuti_job *)arg;

    cfuti_child_is_back(j->child);
    j->report->status = CFUT_ABANDONED;
    j->report->has_text = 0;
    fflush(NULL);
    cfuti_exchange_seq_cst(&j->report->word, (j->report->word & ~7u) | CFUTI_DONE_SLOT);
    _exit(0);
}

static void cfuti_child_run(cfuti_child *c, uint32_t number)
{
    cfuti_job job;
    const cfut_process_pool_desc *desc = &c->common->desc;
    cfut_ns began = 0;
    int status;

    cfuti_point("claimed");
    memset(&job, 0, offsetof(cfuti_job, frame) + offsetof(cfuti_frame, text));
    job.child = c;
    job.order = &c->orders->slot[number % CFUTI_SLOTS];
    job.report = &c->reports->slot[number % CFUTI_SLOTS];
    job.self.state = cfuti_generation | CFUT_STATE_RUNNING;
    if (job.order->timed) began = cfuti_sys_now();
    job.report->has_text = 0;
    status = cfuti_job_prepare(&job);
    if (status) job.report->status = status;
    else cfuti_sys_guard(cfuti_job_run, cfuti_job_lost, &job);
    cfuti_point("ran");
    cfuti_child_flush();
    if (desc->max_rss && cfuti_sys_resident() > desc->max_rss)
        cfuti_store_relaxed(&c->reports->heavy, 1u);            /* relaxed: the word carries it */
    if (job.order->timed) {
        job.report->began = (uint64_t)began;
        job.report->took = (uint64_t)(cfuti_sys_now() - began);
    }
    cfuti_point("before_done");
    /* W1, D1, and release: all of the report, to the manager */
    cfuti_exchange_seq_cst(&job.report->word, CFUTI_WORD(number, CFUTI_DONE_SLOT));
    cfuti_point("done");
    cfuti_child_ring(c);
}

/* Whether the task with this number waits in its slot; then it is ours. *passed: it
   was taken back, the next number is due. That there is a newer one the order tells,
   not the word, which a task may have written over. */
static bool cfuti_child_claim(cfuti_child *c, uint32_t number, bool *passed)
{
    cfuti_report *r = &c->reports->slot[number % CFUTI_SLOTS];
    uint32_t w = cfuti_load_seq_cst(&r->word);                  /* W2 */
    /* relaxed: if the word was of the newer one, so is this */
    uint32_t ordered = cfuti_load_relaxed(&c->orders->slot[number % CFUTI_SLOTS].number);
    uint32_t ahead = (ordered - number) & (~0u >> 3);

    *passed = (ahead != 0 && ahead < 1u << 28) || w == CFUTI_WORD(number, CFUTI_TAKEN_SLOT);
    if (w != CFUTI_WORD(number, CFUTI_QUEUED)) return false;
    /* relaxed: the word carries it. Before that says RUNNING, as we may die at once,
       and then it is read */
    cfuti_store_relaxed(&r->progress, 0u);
    /* acquire: the order. release: progress, to who finds RUNNING */
    return cfuti_cas_acq_rel(&r->word, &w, CFUTI_WORD(number, CFUTI_RUNNING));
}

/* Initializer and finalizer are called as tasks are: what they throw, and the end of
   their thread, must not go on to the frames below, which after a fork are the host's. */
typedef struct cfuti_hook {
    cfuti_child *child;
    cfut_task task;
    cfuti_frame frame;
    cfut_future self;                   /* what cfut_current_future says */
    int status;
} cfuti_hook;

static void cfuti_hook_run(void *arg)
{
    cfuti_hook *h = (cfuti_hook *)arg;

    cfuti_place_here()->top = (uintptr_t)&h->frame;
    h->status = cfuti_call(&h->task, h->child, NULL, &h->frame, cfuti_top());
    cfuti_place_here()->top = 0;
    cfuti_child_is_back(h->child);
}

static void cfuti_hook_call(cfuti_hook *h, cfuti_child *c, cfut_fn fn, void (*lost)(void *))
{
    memset(h, 0, sizeof *h);
    h->child = c;
    h->task.fn = fn;
    h->frame.future = &h->self;
    cfuti_sys_guard(cfuti_hook_run, lost, h);
}

static int cfuti_child_tear_down(const void *child, void *unused)
{
    const cfuti_child *c = (const cfuti_child *)child;

    (void)unused;
    c->finalizer(c->init_arg);
    return CFUT_OK;
}

static void cfuti_child_left(void *unused)
{
    (void)unused;
    fflush(NULL);
    _exit(0);
}

static void cfuti_child_leave(cfuti_child *c)
{
    cfuti_hook hook;

    if (c->finalizer) cfuti_hook_call(&hook, c, cfuti_child_tear_down, cfuti_child_left);
    cfuti_child_left(&hook);
}

static void cfuti_child_loop(cfuti_child *c)
{
    uint32_t number = 0, bell = 0;
    bool passed, looked = false;

    for (;;) {
        if (cfuti_child_claim(c, number, &passed)) {
            cfuti_child_run(c, number);
            passed = true;
        }
        if (passed) {
            number = (number + 1) & (~0u >> 3);
            looked = false;
        } else if (!looked) {
            bell = cfuti_load_seq_cst(&c->orders->bell);
            looked = true;              /* and looks at the word again */
        } else {
            if (cfuti_load_acquire(&c->orders->leave)) cfuti_child_leave(c);
            cfuti_point("idle");
            if (!CFUTI_FUTEX && !cfuti_sys_is_kept(&c->bell)) _exit(1);
            cfuti_sys_wait_shared((uint32_t *)(uintptr_t)&c->orders->bell, bell, c->bell.fd);
            looked = false;
        }
    }
}

static void cfuti_child_limits(const cfut_process_pool_desc *d)
{
    if (d->limit_cpu) cfuti_sys_limit_cpu(d->limit_cpu);
    CFUTI_SYS_LIMIT(RLIMIT_NOFILE, d->limit_files);
    CFUTI_SYS_LIMIT(RLIMIT_FSIZE, d->limit_file_size);
#ifdef RLIMIT_AS
    CFUTI_SYS_LIMIT(RLIMIT_AS, d->limit_memory);
#endif
    if (!d->core_dumps) {
        struct rlimit none = { 0, 0 };

        setrlimit(RLIMIT_CORE, &none);
    }
    if (d->nice && nice(d->nice) == -1) errno = 0;      /* as far as it is allowed */
}

static bool cfuti_child_no_hangup;      /* the host ignores SIGHUP, as under nohup */

/* Signals as a program has them when it begins; but a Ctrl-C is for the host. */
static void cfuti_child_signals(void)
{
    sigset_t none;

    for (int sig = 1; sig <= 64; sig++) signal(sig, SIG_DFL);
    signal(SIGINT, SIG_IGN);
    if (cfuti_child_no_hangup) signal(SIGHUP, SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void cfuti_child_stdin(void)
{
    int fd = open("/dev/null", O_RDONLY);

    if (fd > 0) {
        dup2(fd, 0);
        close(fd);
    }
}

/* Maps what is this worker's, and gets it ready; its end if that fails. */
static void cfuti_child_begin(cfuti_child *c)
{
    const cfuti_common *k = c->common;
    const cfuti_layout *l = &k->layout;
    uint64_t at = cfuti_part_at(l, c->index);
    cfuti_thread *t = cfuti_self();

    memset(t, 0, sizeof *t);            /* it is a copy of the thread that made the pool */
    cfuti_place_here()->top = 0;
    cfuti_inline_forks(NULL);
    c->file = cfuti_sys_keep(CFUTI_FD_FILE);
    c->ring = cfuti_sys_keep(CFUTI_FD_BELL);
    c->orders = (const cfuti_orders *)cfuti_sys_map(c->file.fd, at, (size_t)l->part, false);
    c->reports = (cfuti_reports *)cfuti_sys_map(c->file.fd, at + l->part, (size_t)l->part, true);
    if (!c->orders || !c->reports) _exit(1);
    cfuti_this_child = c;
    cfuti_trace_forbid();
    cfuti_child_catch_exit();
    if (pthread_atfork(NULL, NULL, cfuti_child_forked) != 0) _exit(1);
    if (k->initializer >= 0)            /* before there are limits */
        c->initializer = (int (*)(void *))cfuti_child_code(c, (uint32_t)k->initializer, &c->lacks);
    if (k->finalizer >= 0)
        c->finalizer = (void (*)(void *))cfuti_child_code(c, (uint32_t)k->finalizer, &c->lacks);
    c->init_arg = k->desc.init_arg;
    if (k->desc.init_size) {
        c->init_arg = malloc(k->desc.init_size);
        if (!c->init_arg) _exit(1);
        memcpy(c->init_arg, k + 1, k->desc.init_size);
    }
}

/* The worker is not to be: its pool breaks, with that text if there is one. */
static void cfuti_child_refuse(cfuti_child *c, int status, const char *text)
{
    if (text) snprintf(c->reports->text, sizeof c->reports->text, "%s", text);
    c->reports->init_status = status;
    /* release: text and status, to the manager, which learns of it by our end */
    cfuti_store_release(&c->reports->phase, (uint32_t)CFUTI_INIT_FAILED);
    _exit(1);
}

static int cfuti_child_set_up(const void *child, void *unused)
{
    const cfuti_child *c = (const cfuti_child *)child;

    (void)unused;
    return c->initializer(c->init_arg);
}

static void cfuti_child_set_up_lost(void *hook)
{
    cfuti_child *c = ((cfuti_hook *)hook)->child;

    cfuti_child_is_back(c);
    fflush(NULL);
    cfuti_child_refuse(c, CFUT_ABANDONED, "the initializer has ended its thread");
}

static void cfuti_child_initialize(cfuti_child *c)
{
    cfuti_hook hook;

    cfuti_point("start");
    if (c->lacks) cfuti_child_refuse(c, c->lacks, NULL);
    if (!c->initializer) return;
    cfuti_hook_call(&hook, c, cfuti_child_set_up, cfuti_child_set_up_lost);
    cfuti_child_flush();
    if (hook.status) cfuti_child_refuse(c, hook.status, hook.frame.code ? hook.frame.text : NULL);
    if (!cfuti_child_has_all(c))
        cfuti_child_refuse(c, CFUT_INVALID, "the initializer has closed the pool's descriptors");
}

static void cfuti_child_main(const cfuti_common *common, size_t index, int bell)
{
    static cfuti_child child;

    /* A task's pool forks its helper from a worker: this is then what that was. Its
       mappings stay, as globals may point there; its descriptors are closed */
    memset(&child, 0, sizeof child);
    child.common = common;
    child.index = index;
    if (!CFUTI_FUTEX) child.bell = cfuti_sys_keep(bell);
    cfuti_child_signals();
    close(CFUTI_FD_CHANNEL);
    cfuti_child_stdin();
    cfuti_child_begin(&child);
    cfuti_child_limits(&common->desc);
    cfuti_child_initialize(&child);
    cfuti_exchange_seq_cst(&child.reports->phase, (uint32_t)CFUTI_READY_TO_RUN);    /* D1 */
    cfuti_point("ready");
    cfuti_child_ring(&child);
    cfuti_child_loop(&child);
}

/* ---- the helper ---- */

typedef struct cfuti_helper {
    const cfuti_common *common;
    size_t workers;                     /* what common said before there were any */
    pid_t *pids;                        /* theirs; 0: none */
    size_t alive;
    bool quitting;
} cfuti_helper;

static void cfuti_helper_tell(int32_t what, size_t worker, int value, const cfuti_end *end, int fd)
{
    cfuti_message m;

    memset(&m, 0, sizeof m);
    m.what = what;
    m.worker = (int32_t)worker;
    m.value = value;
    if (end) m.end = *end;
    cfuti_sys_send(CFUTI_FD_CHANNEL, &m, sizeof m, fd, true);
}

static void cfuti_helper_reap(cfuti_helper *h)
{
    cfuti_end end;

    while (cfuti_sys_reap(&end)) {
        size_t i = 0;

        while (i < h->workers && h->pids[i] != end.pid) i++;
        if (i == h->workers) continue;
        h->pids[i] = 0;
        h->alive--;
        cfuti_point("reaped");
        cfuti_helper_tell(CFUTI_DIED, i, 0, &end, -1);
    }
}

static void cfuti_helper_start(cfuti_helper *h, size_t i)
{
    int bell[2] = { -1, -1 };
    pid_t parent = getpid(), pid;

    if (i >= h->workers || h->pids[i]) return;
    if (!CFUTI_FUTEX && !cfuti_sys_channel(bell)) {
        cfuti_helper_tell(CFUTI_NOT_STARTED, i, errno, NULL, -1);
        return;
    }
    cfuti_point("to fork");
    pid = cfuti_fork_worker();
    if (pid == 0) {
        cfuti_point("born");
        cfuti_sys_end_with_parent(parent);
        if (bell[1] >= 0) close(bell[1]);
        cfuti_child_main(h->common, i, bell[0]);
    }
    if (pid > 0) {
        h->pids[i] = pid;
        h->alive++;
        cfuti_point("forked");
        cfuti_helper_tell(CFUTI_STARTED, i, (int)pid, NULL, bell[1]);
        cfuti_point("told");
    } else {
        cfuti_helper_tell(CFUTI_NOT_STARTED, i, errno, NULL, -1);
    }
    if (bell[0] >= 0) close(bell[0]);
    if (bell[1] >= 0) close(bell[1]);
}

/* The host is gone: so are we, and the workers. */
static void cfuti_helper_end(cfuti_helper *h)
{
    for (size_t i = 0; i < h->workers; i++)
        if (h->pids[i]) kill(h->pids[i], SIGKILL);
    _exit(0);
}

static void cfuti_helper_obey(cfuti_helper *h)
{
    cfuti_message m;
    int fd, got;

    while ((got = cfuti_sys_receive(CFUTI_FD_CHANNEL, &m, sizeof m, &fd)) > 0) {
        size_t i = (size_t)m.worker;

        if (m.what == CFUTI_QUIT) h->quitting = true;
        if (m.what == CFUTI_START) cfuti_helper_start(h, i);
        /* only who is alive, which we know, as we reap */
        if (m.what == CFUTI_SIGNAL && i < h->workers && h->pids[i] == m.end.pid)
            kill(h->pids[i], m.value);
    }
    if (got < 0) cfuti_helper_end(h);
}

static void cfuti_helper_noticed(int sig) { (void)sig; }

/* SIGCHLD comes only while we wait for a message: then both are seen. SIGTERM, too, and
   to no avail, as a helper leaves when its host does; but it is not ignored: one for a
   worker that is just being forked waits until that has its signals. */
static void cfuti_helper_signals(sigset_t *waiting)
{
    struct sigaction action;
    sigset_t set;

    cfuti_child_no_hangup = signal(SIGHUP, SIG_DFL) == SIG_IGN;
    cfuti_child_signals();
    signal(SIGHUP, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, waiting);
    memset(&action, 0, sizeof action);
    action.sa_handler = cfuti_helper_noticed;
    sigaction(SIGCHLD, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* Whether the host's library is this one, at the same place of the same file. */
static bool cfuti_helper_knows(const cfuti_common *c)
{
    cfuti_site here;

    return c->magic == CFUTI_PROCESS_MAGIC && c->version == CFUT_VERSION &&
           cfuti_sys_place((uintptr_t)cfuti_helper_noticed, &here) && here.at == c->self.at &&
           here.device == c->self.device && here.inode == c->self.inode;
}

/* On descriptors 3, 4, 5. Never returns. */
static void cfuti_helper_main(void)
{
    cfuti_helper h;
    cfuti_common *head;
    sigset_t waiting;
    fd_set set;

    memset(&h, 0, sizeof h);
    cfuti_helper_signals(&waiting);
    head = (cfuti_common *)cfuti_sys_map(CFUTI_FD_FILE, 0, sizeof *head, false);
    if (!head || !cfuti_helper_knows(head)) _exit(1);
    h.common = (const cfuti_common *)cfuti_sys_map(CFUTI_FD_FILE, 0,
                                                   (size_t)head->layout.common, false);
    h.workers = head->workers;
    h.pids = (pid_t *)calloc(h.workers, sizeof *h.pids);
    if (!h.common || !h.pids) _exit(1);
    cfuti_helper_tell(CFUTI_HELLO, 0, 0, NULL, -1);
    for (;;) {
        cfuti_helper_reap(&h);
        cfuti_helper_obey(&h);
        cfuti_helper_reap(&h);
        if (h.quitting && !h.alive) _exit(0);
        FD_ZERO(&set);
        FD_SET(CFUTI_FD_CHANNEL, &set);
        pselect(CFUTI_FD_CHANNEL + 1, &set, NULL, NULL, NULL, &waiting);
    }
}

#endif /* CFUTI_PROCESS */

/*=========================================================================
    >>process-pool   the process pool's side in the host
=========================================================================*/
#if CFUTI_PROCESS

/* THE LIFE OF A WORKER, as the host has it

   ABSENT -> WANTED -> STARTING -> READY -> LEAVING -> ABSENT
   WANTED: a submit found more queued than there are to take it; the manager sends
   for it. STARTING: sent for; READY: it has said so, and gets orders. LEAVING: it
   gets no more, and leaves when it has done those it has. From each state but the
   first the helper's DIED leads to ABSENT, whatever the cause.
   All of it changes under the pool's lock, by the manager, but for WANTED.

   THE LIFE OF A POOL: open -> closed -> over -> ended. Over: closed, nothing
   queued or running; the workers are told to leave. Ended: the helper is gone,
   the manager leaves. The handle stays, as that of a thread pool does.

   A BROKEN POOL refuses, its workers are killed, and all that was in it fails as
   they end. The helper's end breaks it, too: the system then kills the workers,
   or we do by their numbers. */

enum { CFUTI_ABSENT, CFUTI_WANTED, CFUTI_STARTING, CFUTI_READY, CFUTI_LEAVING };
enum { CFUTI_WHY_NOT, CFUTI_WHY_LIMIT, CFUTI_WHY_CANCEL };      /* a worker was killed */
#define CFUTI_NUMBERS (~0u >> 3)        /* the numbers of tasks wrap here */
#define CFUTI_PATIENCE_MIN CFUT_MS(200) /* with a worker that does not take its task */
#define CFUTI_PATIENCE_MAX CFUT_SEC(1)

typedef struct cfuti_procs cfuti_procs;
typedef struct cfuti_proc cfuti_proc;

/* A part of a map that travels as one task. */
typedef struct cfuti_parcel {
    cfut_future f;
    size_t lo, n;                       /* items of the map */
    size_t done;                        /* of these, results that are in */
    int *status;                        /* where to put theirs, or NULL */
    size_t failed;                      /* the first that failed, and how; n: none */
    int code;
    cfut_ns took;
    bool busy;
} cfuti_parcel;

typedef struct cfuti_entry {            /* a slot, as the host knows it; under lock */
    cfut_future *future;                /* NULL: taken back, or none */
    cfuti_proc *proc;
    uint32_t number;
    uint32_t filling;                   /* atomic: somebody copies in into it */
    uint32_t progress;                  /* when it was last looked at */
    bool done;                          /* the manager takes its result in */
    int why;
    size_t bulk, bulk_size;             /* its part of the bulk; size 0: none */
} cfuti_entry;

/* Futures that the manager is to complete, with no lock held. In the pool, so that
   nothing is lost when a callback ends the manager's thread. */
typedef struct cfuti_outcome {
    cfut_future *future;
    uint32_t final;
    int status;
    bool has_text;
    char text[56];
} cfuti_outcome;

typedef struct cfuti_outcomes {
    size_t n, at;                       /* of[at..n) are to be completed */
    cfuti_outcome of[2 * CFUTI_SLOTS];
} cfuti_outcomes;

struct cfuti_proc {                     /* a worker; under lock */
    cfuti_procs *pool;
    int phase;
    int32_t pid;                        /* 0: not known yet */
    uint32_t head, tail;                /* numbers of the tasks that it has */
    uint32_t depth;                     /* how many it may have */
    uint32_t tasks;                     /* that it got since its start */
    bool stopped;                       /* SIGKILL has been sent for, or it is gone */
    bool deaf;                          /* its bell was lost: it counts as not started */
    int signal;                         /* to be sent, or 0 */
    int told;                           /* what was sent since the pool's kill_all says so */
    cfut_ns came;                       /* when the task at head got there */
    cfut_ns began;                      /* when it, or its item, was seen to begin, at most */
    bool held;                          /* it is to be killed: nothing may come behind it */
    cfut_ns kill_at;                    /* when SIGKILL is due; 0: never */
    size_t bulk_head, bulk_tail, bulk_users;
    size_t mapped;                      /* bytes of each bulk */
    size_t reserved;                    /* bytes of each that have their pages */
    char *bulk_in, *bulk_out;
    int bell;                           /* where it needs one, else -1 */
    uint32_t users;                     /* atomic: who fills a slot of it */
    cfuti_orders *orders;
    cfuti_reports *reports;
    cfuti_entry entry[CFUTI_SLOTS];
};

struct cfuti_procs {
    cfut_executor base;
    /* fixed after creation */
    cfuti_common *common;
    cfuti_proc *procs;
    size_t max_workers;
    cfuti_layout layout;
    cfut_process_pool_desc desc;
    pid_t helper;
    /* under the registry's lock */
    cfuti_procs *next, *prev;
    int channel, file, bell[2];         /* descriptors, or -1 */
    int exit;
    /* under lock */
    uint32_t lock;
    cfut_future *first, *last;          /* queued: by next, and slot | LISTED */
    size_t queued, live, starting, outstanding;
    size_t failing;                     /* calls that take queued ones out to fail them */
    bool closed, over, detached, reaping, rung, broken;
    int idle_deaths;
    int kill_all;                       /* a signal for all workers, or 0 */
    cfut_ns retry_at;                   /* a worker could not be started: not before */
    cfut_ns until;                      /* how long the manager sleeps, at most */
    char reason[56];                    /* why it is broken */
    /* atomic */
    cfut_fn code[CFUTI_NAMES];          /* hashed; common->names has its place there; written
                                           under lock */
    cfuti_thread *manager;              /* its thread's record */
    uint32_t ended;                     /* as a thread pool's */
    uint32_t gate;                      /* a lock: held by the manager while it is awake */
    uint32_t pause;                     /* CFUTI_PAUSE_WANTED: that it is to be let go */
    /* manager */
    cfuti_outcomes outcomes;
    cfuti_thread runner;                /* stands for all workers in >>graph */
    cfuti_os_thread thread;
};

static cfuti_procs *cfuti_procs_registry, *cfuti_procs_graves_first, *cfuti_procs_graves_last;
static size_t cfuti_procs_graves;
static cfut_ns cfuti_procs_changed;     /* under the registry's lock: when a manager's
                                           thread began or left last */

static cfuti_procs *cfuti_procs_of(const cfut_executor *ex)
{
    return (cfuti_procs *)(void *)(uintptr_t)ex;
}

static bool cfuti_procs_forked(const cfuti_procs *p)
{
    return cfuti_load_relaxed(&p->base.status) == CFUT_FORKED;  /* relaxed: one thread there */
}

/* Under lock: the manager is to look around. */
static void cfuti_procs_call(cfuti_procs *p)
{
    int old;

    if (p->rung) return;
    p->rung = true;
    old = cfuti_sys_shield();
    cfuti_sys_ring(p->bell[1]);
    cfuti_sys_unshield(old);
}

static uint32_t *cfuti_proc_word(cfuti_proc *w, uint32_t number)
{
    return &w->reports->slot[number % CFUTI_SLOTS].word;
}

static cfuti_entry *cfuti_proc_entry(cfuti_proc *w, uint32_t number)
{
    return &w->entry[number % CFUTI_SLOTS];
}

static uint32_t cfuti_proc_load(const cfuti_proc *w)
{
    return (w->tail - w->head) & CFUTI_NUMBERS;
}

/* Under lock. */
static void cfuti_proc_set(cfuti_proc *w, int phase)
{
    cfuti_procs *p = w->pool;

    if (w->phase == CFUTI_ABSENT) p->live++;
    if (w->phase == CFUTI_WANTED || w->phase == CFUTI_STARTING) p->starting--;
    w->phase = phase;
    if (phase == CFUTI_ABSENT) p->live--;
    if (phase == CFUTI_WANTED || phase == CFUTI_STARTING) p->starting++;
}

/* ---- the list; under lock ---- */

static void cfuti_procs_append(cfuti_procs *p, cfut_future *f)
{
    f->next = NULL;
    /* relaxed here and below: read under the lock */
    cfuti_store_relaxed(&f->slot, (uintptr_t)p->last | CFUTI_LISTED);
    if (p->last) p->last->next = f;
    else p->first = f;
    p->last = f;
    p->queued++;
}

static void cfuti_procs_prepend(cfuti_procs *p, cfut_future *f)
{
    f->next = p->first;
    cfuti_store_relaxed(&f->slot, (uintptr_t)CFUTI_LISTED);
    cfuti_store_relaxed(&f->owner, (uintptr_t)&p->base);
    if (p->first) cfuti_store_relaxed(&p->first->slot, (uintptr_t)f | CFUTI_LISTED);
    else p->last = f;
    p->first = f;
    p->queued++;
}

static void cfuti_procs_remove(cfuti_procs *p, cfut_future *f)
{
    cfut_future *before = (cfut_future *)(f->slot & ~(uintptr_t)CFUTI_LISTED);

    if (before) before->next = f->next;
    else p->first = f->next;
    if (f->next) cfuti_store_relaxed(&f->next->slot, (uintptr_t)before | CFUTI_LISTED);
    else p->last = before;
    p->queued--;
    cfuti_store_relaxed(&f->slot, (uintptr_t)CFUTI_UNQUEUED);
}

/* ---- names ---- */

/* The index of fn among the names; below 0: not there, and *unused is where it would
   go (below 0: nowhere). They only become more, under lock; anybody may look. */
static int cfuti_procs_find(const cfuti_procs *p, cfut_fn fn, int *unused)
{
    size_t i = ((uintptr_t)fn >> 4) * 2654435769u % CFUTI_NAMES;

    for (size_t n = 0; n < CFUTI_NAMES; n++, i = (i + 1) % CFUTI_NAMES) {
        cfut_fn code = cfuti_load_acquire(&p->code[i]);     /* acquire: its place */

        *unused = (int)i;
        if (code == fn) return (int)i;
        if (!code) return -1;
    }
    return *unused = -1;
}

/* Names fn, without lock. Its index, or a status: the pool may end meanwhile. */
static int cfuti_procs_name(cfuti_procs *p, cfut_fn fn)
{
    cfuti_site place;
    int unused, old, i = cfuti_procs_find(p, fn, &unused);
    bool found, no_room;

    if (CFUTI_LIKELY(i >= 0)) return i;
    old = cfuti_sys_shield();
    errno = 0;
    found = cfuti_sys_place((uintptr_t)fn, &place);
    no_room = cfuti_sys_had_no_room();
    cfuti_sys_unshield(old);
    if (!found) return no_room ? CFUT_NO_MEMORY : CFUT_INVALID;
    cfuti_lock(&p->lock);
    i = cfuti_procs_find(p, fn, &unused);
    if (i < 0 && p->closed) {               /* and maybe ended: the names are gone */
        cfuti_unlock(&p->lock);
        return p->broken ? CFUT_BROKEN : CFUT_CLOSED;
    }
    if (i < 0 && unused >= 0) {
        p->common->names[unused] = place;
        cfuti_store_release(&p->code[unused], fn);  /* release: its place; to who finds it */
        i = unused;
    }
    cfuti_unlock(&p->lock);
    return i == -1 ? (int)CFUT_FULL : i;
}

/* ---- bulk; under lock ---- */

/* Maps at least size; only while nobody has a part. Gives much memory back. */
static bool cfuti_proc_map_bulk(cfuti_proc *w, size_t size)
{
    const cfuti_layout *l = &w->pool->layout;
    uint64_t at = cfuti_part_at(l, (size_t)(w - w->pool->procs)) + 2 * l->part;
    size_t want = CFUTI_BULK_SOFT;
    bool trim = w->mapped > 4 * (size_t)CFUTI_BULK_SOFT;

    while (want < size) want *= 2;
    if (want > l->bulk) want = (size_t)l->bulk;
    if (w->mapped >= want && !(trim && want < w->mapped)) return true;
    cfuti_sys_unmap(w->bulk_in, w->mapped);
    cfuti_sys_unmap(w->bulk_out, w->mapped);
    if (trim) {
        cfuti_sys_punch(w->pool->file, at, 2 * l->bulk);
        w->reserved = 0;
    }
    w->bulk_in = (char *)cfuti_map(w->pool->file, at, want, true);
    w->bulk_out = (char *)cfuti_map(w->pool->file, at + l->bulk, want, true);
    if (!w->bulk_in || !w->bulk_out) {
        cfuti_sys_unmap(w->bulk_in, want);
        cfuti_sys_unmap(w->bulk_out, want);
        w->bulk_in = w->bulk_out = NULL;
        want = 0;
    }
    w->mapped = want;
    return want != 0;
}

/* Pages for the first size bytes. What is beyond those that have theirs was never
   used. */
static bool cfuti_proc_reserve_bulk(cfuti_proc *w, size_t size)
{
    const cfuti_layout *l = &w->pool->layout;
    uint64_t at = cfuti_part_at(l, (size_t)(w - w->pool->procs)) + 2 * l->part + w->reserved;

    if (size <= w->reserved) return true;
    if (!cfuti_file_reserve(w->pool->file, at, size - w->reserved) ||
        !cfuti_file_reserve(w->pool->file, at + l->bulk, size - w->reserved))
        return false;
    w->reserved = size;
    return true;
}

/* A part of that size, as in a ring: where, or SIZE_MAX: not now; or not at all, if
   there are no users, as the system gives no memory. */
static size_t cfuti_proc_take_bulk(cfuti_proc *w, size_t size)
{
    size_t at = w->bulk_head, end = CFUTI_BULK_SOFT;

    if (!w->bulk_users) {
        if (!cfuti_proc_map_bulk(w, size)) return SIZE_MAX;
        at = w->bulk_tail = 0;
    } else if (at > w->bulk_tail) {     /* used: from tail to head */
        if (end > w->mapped) end = w->mapped;
        if (at > end || size > end - at) at = 0;
        if (at == 0 && size >= w->bulk_tail) return SIZE_MAX;
    } else if (size >= w->bulk_tail - at) {
        return SIZE_MAX;
    }
    if (!cfuti_proc_reserve_bulk(w, at + size)) return SIZE_MAX;
    w->bulk_head = at + size;
    w->bulk_users++;
    return at;
}

/* The oldest part is free again. */
static void cfuti_proc_give_bulk(cfuti_proc *w, const cfuti_entry *e)
{
    if (!e->bulk_size) return;
    w->bulk_tail = e->bulk + e->bulk_size;
    w->bulk_users--;
}

/* ---- handing a task to a worker ---- */

static cfuti_parcel *cfuti_parcel_of(cfut_future *f)
{
    /* relaxed: set by the submitter */
    return cfuti_load_relaxed(&f->state) & CFUTI_PARCEL ? CFUTI_OUTER(cfuti_parcel, f, f) : NULL;
}

static size_t cfuti_items_of(cfut_future *f)
{
    const cfuti_parcel *k = cfuti_parcel_of(f);

    return k ? k->n : 1;
}

/* Bytes of the bulk that f needs; 0: it fits a slot. */
static size_t cfuti_bulk_of(cfut_future *f)
{
    size_t n = cfuti_items_of(f), in = n * f->task->in_size, out = n * f->task->out_size, all;

    if (n == 1 && in <= CFUTI_INLINE_IN && out <= CFUTI_INLINE_OUT) return 0;
    all = cfuti_round_up(out, 64) + (n > 1 ? n * sizeof(int32_t) : 0);
    if (all < in) all = in;
    return cfuti_round_up(all, 64);
}

/* Under lock: how many tasks w may have. */
static uint32_t cfuti_proc_depth(const cfuti_proc *w)
{
    const cfuti_procs *p = w->pool;
    uint32_t most = p->desc.queue_depth ? (uint32_t)p->desc.queue_depth : w->depth, left;

    if (w->phase != CFUTI_READY || w->held || w->kill_at || w->stopped || p->kill_all) return 0;
    if (p->live < p->max_workers && !p->retry_at) most = 1;     /* rather another worker */
    if (!p->desc.max_tasks_per_child) return most;
    left = (uint32_t)p->desc.max_tasks_per_child - w->tasks + cfuti_proc_load(w);
    return most < left ? most : left;
}

/* Under lock: the worker with the fewest tasks that may have one more, or NULL. */
static cfuti_proc *cfuti_procs_choose(cfuti_procs *p)
{
    cfuti_proc *best = NULL;

    for (size_t i = 0; i < p->max_workers; i++) {
        cfuti_proc *w = &p->procs[i];

        if (cfuti_proc_load(w) >= cfuti_proc_depth(w)) continue;
        if (!best || cfuti_proc_load(w) < cfuti_proc_load(best)) best = w;
        if (!cfuti_proc_load(best)) break;
    }
    return best;
}

/* Under lock: the task at w's head is the one that runs, or is about to. */
static void cfuti_proc_new_head(cfuti_proc *w)
{
    cfuti_entry *e = cfuti_proc_entry(w, w->head);

    w->held = w->head != w->tail && e->why;
    if (w->head == w->tail || !e->future) return;
    w->came = w->began = cfuti_now();
    e->progress = 0;
    /* relaxed: for those who ask, and for who holds this lock */
    cfuti_store_relaxed(&e->future->owner, (uintptr_t)&w->pool->runner | 1);
}

/* Under lock: gives f, which is in no queue, a slot of w; its entry, which is to
   be filled, or NULL: no room in the bulk. */
static cfuti_entry *cfuti_proc_reserve(cfuti_proc *w, cfut_future *f)
{
    cfuti_entry *e = cfuti_proc_entry(w, w->tail);
    size_t size = cfuti_bulk_of(f), at = size ? cfuti_proc_take_bulk(w, size) : 0;

    if (at == SIZE_MAX) return NULL;
    e->future = f;
    e->proc = w;
    e->number = w->tail;
    e->done = false;
    e->why = CFUTI_WHY_NOT;
    e->bulk = at;
    e->bulk_size = size;
    cfuti_store_relaxed(&e->filling, 1u);               /* relaxed: under lock */
    cfuti_add_relaxed(&w->users, 1u);                   /* relaxed: under lock */
    cfuti_store_relaxed(&f->slot, (uintptr_t)e);
    w->tail = (w->tail + 1) & CFUTI_NUMBERS;
    w->tasks++;
    w->pool->outstanding++;
    if (e->number == w->head) cfuti_proc_new_head(w);
    return e;
}

/* Without lock: writes the order. */
static void cfuti_entry_fill(cfuti_entry *e, uint32_t code)
{
    cfuti_order *o = &e->proc->orders->slot[e->number % CFUTI_SLOTS];
    const cfut_future *f = e->future;
    size_t n = cfuti_items_of(e->future), in = n * f->task->in_size;
    bool bulk_out = n > 1 || f->task->out_size > CFUTI_INLINE_OUT;

    cfuti_store_relaxed(&o->number, e->number);         /* relaxed: the word carries it */
    o->code = code;
    cfuti_store_relaxed(&o->stop, 0u);                  /* relaxed: the word carries it */
    o->count = n;
    o->in_size = f->task->in_size;
    o->out_size = f->task->out_size;
    o->bulk = e->bulk;
    o->in_at = !f->in ? CFUTI_NOWHERE : in > CFUTI_INLINE_IN ? CFUTI_IN_BULK : CFUTI_IN_SLOT;
    o->out_at = !f->out ? CFUTI_NOWHERE : bulk_out ? CFUTI_IN_BULK : CFUTI_IN_SLOT;
    o->timed = cfuti_parcel_of(e->future) || cfuti_is_tracing();
    if (f->in && in)
        memcpy(in > CFUTI_INLINE_IN ? e->proc->bulk_in + e->bulk :
               (char *)(uintptr_t)cfuti_order_in(o, in), f->in, in);
}

/* Without lock, with a slot reserved: fills it and lets the worker have it. */
static void cfuti_entry_publish(cfuti_entry *e, uint32_t code)
{
    cfuti_proc *w = e->proc;
    uint32_t number = e->number, before = (number - 1) & CFUTI_NUMBERS, seen;

    cfuti_point("to fill");
    cfuti_entry_fill(e, code);
    cfuti_exchange_seq_cst(cfuti_proc_word(w, number), CFUTI_WORD(number, CFUTI_QUEUED));   /* H1 */
    cfuti_point("published");
    cfuti_store_release(&e->filling, 0u);       /* release: the order; to who takes it out */
    cfuti_add_release(&w->orders->bell, 1u);    /* release: the word; to W2 */
    seen = cfuti_load_seq_cst(cfuti_proc_word(w, before));                                  /* H2 */
    if (seen != CFUTI_WORD(before, CFUTI_QUEUED) && seen != CFUTI_WORD(before, CFUTI_RUNNING))
        cfuti_sys_wake_shared(&w->orders->bell, w->bell);
    cfuti_add_release(&w->users, ~0u);          /* last touch; release: to cfuti_proc_settle */
}

/* Waits until nobody is in such a call; w gets no more tasks. */
static void cfuti_proc_settle(cfuti_proc *w)
{
    unsigned round = 0;

    while (cfuti_load_acquire(&w->users)) cfuti_backoff(&round);
}

/* Under lock: one more worker, if more is queued than will come. */
static void cfuti_procs_grow(cfuti_procs *p)
{
    size_t i = 0;

    if (p->queued <= p->starting || p->live == p->max_workers) return;
    if (p->kill_all || p->retry_at) return;
    while (p->procs[i].phase != CFUTI_ABSENT) i++;
    cfuti_proc_set(&p->procs[i], CFUTI_WANTED);
    cfuti_procs_call(p);
}

/* ---- submit and cancel ---- */

/* Whether f can travel; CFUT_OK or a status. */
static int cfuti_procs_check(const cfuti_procs *p, cfut_future *f)
{
    const cfut_task *task = f->task;
    uint64_t most = p->layout.bulk / 4 / cfuti_items_of(f);

    if ((!f->in && task->in_size) || (!f->out && task->out_size)) return CFUT_INVALID;
    if (task->in_size > most || task->out_size > most) return CFUT_INVALID;
    return cfuti_bulk_of(f) > p->layout.bulk ? (int)CFUT_INVALID : (int)CFUT_OK;
}

/* Under lock: CFUT_OK, or why the pool takes nothing. *e: its slot, if it got one. */
static int cfuti_procs_take(cfuti_procs *p, cfut_future *f, cfuti_entry **e)
{
    cfuti_proc *w = NULL;

    if (p->broken) return CFUT_BROKEN;
    if (p->closed) return CFUT_CLOSED;
    if (!p->first) w = cfuti_procs_choose(p);
    if (w) *e = cfuti_proc_reserve(w, f);
    if (w && !*e && !w->bulk_users) return CFUT_NO_MEMORY;
    if (!*e) {
        cfuti_procs_append(p, f);
        cfuti_procs_grow(p);
    } else if (f->u.before.limit && (*e)->number == w->head &&
               w->began + (cfut_ns)f->u.before.limit < p->until) {
        cfuti_procs_call(p);            /* the manager would sleep beyond that */
    }
    return CFUT_OK;
}

static int cfuti_procs_submit(cfut_executor *ex, cfut_future *f)
{
    cfuti_procs *p = cfuti_procs_of(ex);
    cfuti_thread *t = cfuti_self();
    cfuti_entry *e = NULL;
    int status = cfuti_load_relaxed(&ex->status), code;     /* relaxed: looked at again */

    if (status) return status;
    if (t->parcel == f) f->state |= CFUTI_PARCEL;
    status = cfuti_procs_check(p, f);
    if (status) return status;
    cfuti_point("to name");
    code = cfuti_procs_name(p, f->task->fn);
    if (code < 0) return code;
    cfuti_point("named");
    f->u.before.limit = (uint64_t)(t->limit > 0 ? t->limit : p->desc.time_limit);
    if (f->u.before.limit > CFUTI_LIMIT) f->u.before.limit = CFUTI_LIMIT;
    cfuti_lock(&p->lock);
    status = cfuti_procs_take(p, f, &e);
    cfuti_unlock(&p->lock);
    if (e) cfuti_entry_publish(e, (uint32_t)code);
    /* Who waits for it spins, unless it must wait itself: a round trip takes 5.5 us then
       and not 47, as this processor stays awake for the manager. A worker that spins would
       take it from whoever submits: 450 ns a task instead of 190. */
    t->woke = !e;
    t->waits = 0;
    return status;
}

/* Under lock: the worker is to be killed for the sake of e, which it runs; the manager
   does so. */
static void cfuti_entry_doom(cfuti_entry *e, int why)
{
    e->why = why;
    if (e->number == e->proc->head) e->proc->held = true;
}

/* Under lock: the worker that runs e's task is asked to stop, or killed. */
static void cfuti_entry_stop(cfuti_entry *e)
{
    cfuti_proc *w = e->proc;

    cfuti_store_relaxed(&w->orders->slot[e->number % CFUTI_SLOTS].stop, 1u);   /* relaxed: a flag */
    if (!w->pool->desc.kill_on_cancel || e->why) return;
    cfuti_entry_doom(e, CFUTI_WHY_CANCEL);
    cfuti_procs_call(w->pool);
}

/* Under lock: takes e's task back from its worker, if that has not begun it. */
static bool cfuti_entry_take(cfuti_entry *e)
{
    uint32_t seen = CFUTI_WORD(e->number, CFUTI_QUEUED);

    if (e->done || !cfuti_cas_acq_rel(cfuti_proc_word(e->proc, e->number), &seen,
                                      CFUTI_WORD(e->number, CFUTI_TAKEN_SLOT)))
        return false;
    e->future = NULL;
    return true;
}

/* Under lock: what waits behind the task at w's head goes back to the head of the
   list. false: one is just being filled, and stays. One that has begun stays, too. */
static bool cfuti_proc_take_back(cfuti_proc *w)
{
    bool all = true;

    for (uint32_t number = w->tail; number != w->head; ) {
        cfuti_entry *e;
        cfut_future *f;

        number = (number - 1) & CFUTI_NUMBERS;
        e = cfuti_proc_entry(w, number);
        f = e->future;
        if (!f || number == w->head) continue;
        /* acquire: in has been read */
        if (cfuti_load_acquire(&e->filling)) all = false;
        else if (cfuti_entry_take(e)) cfuti_procs_prepend(w->pool, f);
        /* acquire: that the one before was done, from the claim of this one */
        else (void)cfuti_load_acquire(cfuti_proc_word(w, number));
    }
    return all;
}

/* The entry of f, which is not filled any more, or NULL. The lock, which the
   caller holds, is let go meanwhile. */
static cfuti_entry *cfuti_procs_entry_of(cfuti_procs *p, const cfut_future *f)
{
    unsigned round = 0;

    for (;;) {
        uintptr_t slot = cfuti_load_relaxed(&f->slot);  /* relaxed: under lock */
        cfuti_entry *e = (cfuti_entry *)slot;

        if (slot == CFUTI_UNQUEUED || (slot & CFUTI_LISTED)) return NULL;
        if (e->future != f) return e;                   /* it is done */
        if (!cfuti_load_acquire(&e->filling)) return e; /* acquire: in has been read */
        cfuti_unlock(&p->lock);
        cfuti_backoff(&round);
        cfuti_lock(&p->lock);
    }
}

/* Under F, so that f stays pending: takes it out, or asks it to stop. One at the head
   counts as running, though it may not have begun; where that would be killed, it is
   taken out instead. */
static bool cfuti_procs_cancel(cfut_executor *ex, cfut_future *f)
{
    cfuti_procs *p = cfuti_procs_of(ex);
    cfuti_entry *e;
    bool taken = false, call = false;

    cfuti_lock(&p->lock);
    e = cfuti_procs_entry_of(p, f);
    if (!e && cfuti_load_relaxed(&f->slot) != CFUTI_UNQUEUED) {
        cfuti_procs_remove(p, f);
        taken = true;
    } else if (e && e->future == f) {   /* else it is done, and its slot another's */
        /* relaxed: written under lock */
        taken = (!(cfuti_load_relaxed(&f->owner) & 1) || p->desc.kill_on_cancel) &&
                cfuti_entry_take(e);
        if (!taken) cfuti_entry_stop(e);
        call = e->number == e->proc->head;              /* its worker will not tell of it */
    }
    if (taken && (p->closed || call)) cfuti_procs_call(p);      /* it may have been the last */
    cfuti_unlock(&p->lock);
    return taken;
}

/* ---- results ---- */

static void cfuti_outcomes_add(cfuti_outcomes *o, cfut_future *f, uint32_t final, int status,
                               const char *text)
{
    cfuti_outcome *one = &o->of[o->n++];

    one->future = f;
    one->final = final;
    one->status = status;
    one->has_text = text && *text;
    if (!one->has_text) return;
    memset(one->text, 0, sizeof one->text);
    snprintf(one->text, sizeof one->text, "%.55s", text);
}

/* In a child that a callback has forked, and that comes back from it, nothing more. */
static void cfuti_outcomes_complete(cfuti_outcomes *o)
{
    const cfuti_procs *p = CFUTI_OUTER(cfuti_procs, outcomes, o);

    while (o->at < o->n && !cfuti_procs_forked(p)) {
        const cfuti_outcome *one = &o->of[o->at++];
        char text[56];                  /* a callback may take in more, over this one */

        if (one->has_text) memcpy(text, one->text, sizeof text);
        cfuti_complete(one->future, one->final, one->status, one->has_text ? text : NULL);
    }
    o->n = o->at = 0;
}

/* The first done items of a chunk: results and statuses. */
static void cfuti_parcel_collect(cfuti_parcel *k, const cfuti_entry *e, size_t done)
{
    const cfut_task *task = k->f.task;
    const char *out = e->proc->bulk_out + e->bulk;
    const int32_t *status =
        (const int32_t *)(const void *)(out + cfuti_round_up(k->n * task->out_size, 64));

    k->done = done;
    if (task->out_size) memcpy(k->f.out, out, done * task->out_size);
    for (size_t i = 0; i < done; i++) {
        int code = (int)status[i];      /* once: its writer may write on */

        if (code == CFUT_TIMEOUT) code = ETIMEDOUT;
        if (k->status) k->status[i] = code;
        if (!code || k->failed < k->n) continue;
        k->failed = i;
        k->code = code;
    }
}

/* A task has run, or died, in a worker process: then r is NULL. What that reports is
   believed as far as it can be true. */
static void cfuti_entry_trace(const cfuti_entry *e, const cfuti_report *r)
{
#ifdef CFUT_TRACE
    cfut_ns now = cfuti_trace_begin(), at = e->proc->began, took;
    cfuti_parcel *k;

    if (!now) return;
    k = cfuti_parcel_of(e->future);
    if (r && r->began && r->began <= (uint64_t)now)     /* 0: it was not asked for */
        at = (cfut_ns)r->began;
    took = r && r->took <= (uint64_t)(now - at) ? (cfut_ns)r->took : now - at;
    cfuti_trace_put(CFUTI_RUNS, e->future, e->future->task, at, took, e->proc->pid, k ? k->n : 0);
#else
    (void)e;
    (void)r;
#endif
}

/* Without lock: takes in what the slot of e, whose word says DONE, reports. Each part
   of that is copied once, and then looked at, as its writer may write on; but for
   the word, which a late canceller may just look at. */
static void cfuti_entry_collect(const cfuti_entry *e, cfuti_outcomes *outcomes)
{
    const cfuti_report *from = &e->proc->reports->slot[e->number % CFUTI_SLOTS];
    const size_t word = offsetof(cfuti_report, status);
    cfut_future *f = e->future;
    cfuti_parcel *k = cfuti_parcel_of(f);
    size_t size = f->task->out_size;
    cfuti_report r;

    memcpy((char *)&r + word, (const char *)from + word, offsetof(cfuti_report, small) - word);
    if (r.has_text) memcpy(r.text, from->text, sizeof r.text);
    r.text[sizeof r.text - 1] = 0;
    cfuti_entry_trace(e, &r);
    if (k) k->took = r.took < (uint64_t)CFUT_SEC(3600) ? (cfut_ns)r.took : CFUT_SEC(3600);
    if (k && k->n > 1)
        cfuti_parcel_collect(k, e, !r.status ? k->n : r.progress < k->n ? r.progress : k->n - 1);
    else if (f->out && size)
        memcpy(f->out, size > CFUTI_INLINE_OUT ? e->proc->bulk_out + e->bulk :
               cfuti_report_out(from, size), size);
    cfuti_outcomes_add(outcomes, f, CFUT_STATE_FINISHED,
                       r.status == CFUT_TIMEOUT ? ETIMEDOUT : (int)r.status,
                       r.status && r.has_text ? r.text : NULL);
}

/* Under lock: how many tasks from w's head on are done, or were taken back; from now
   on nobody takes those back, whatever the worker writes. *bad: a word that no worker
   of ours would write. */
static uint32_t cfuti_proc_note_done(cfuti_proc *w, bool *bad)
{
    uint32_t k = 0, n = cfuti_proc_load(w);

    *bad = false;
    for (; k < n; k++) {
        uint32_t number = (w->head + k) & CFUTI_NUMBERS, word;
        cfuti_entry *e = cfuti_proc_entry(w, number);

        if (cfuti_load_acquire(&e->filling)) break;     /* acquire: the slot is whole */
        word = cfuti_load_seq_cst(cfuti_proc_word(w, number));              /* M2 */
        e->done = e->future && word == CFUTI_WORD(number, CFUTI_DONE_SLOT);
        if (e->done || (!e->future && word == CFUTI_WORD(number, CFUTI_TAKEN_SLOT))) continue;
        *bad = !e->future || (word != CFUTI_WORD(number, CFUTI_QUEUED) &&
                              word != CFUTI_WORD(number, CFUTI_RUNNING));
        break;
    }
    return k;
}

/* Without lock: the results of the k from head on. */
static void cfuti_proc_collect(cfuti_proc *w, uint32_t head, uint32_t k, cfuti_outcomes *outcomes)
{
    for (; k; k--, head = (head + 1) & CFUTI_NUMBERS) {
        const cfuti_entry *e = cfuti_proc_entry(w, head);

        if (e->done) cfuti_entry_collect(e, outcomes);
    }
}

/* Under lock: the first k tasks of w are not in their slots any more. */
static void cfuti_proc_retire(cfuti_proc *w, uint32_t k)
{
    if (!k) return;
    for (; k; k--) {
        cfuti_entry *e = cfuti_proc_entry(w, w->head);

        cfuti_proc_give_bulk(w, e);
        e->future = NULL;
        w->head = (w->head + 1) & CFUTI_NUMBERS;
        w->pool->outstanding--;
    }
    cfuti_proc_new_head(w);
}

/* Under lock, after n tasks were done: how many w may have. One that has run out
   of them while more are queued wants more; of long ones few are enough. */
static void cfuti_proc_adapt(cfuti_proc *w, uint32_t n, cfut_ns began)
{
    if (w->head == w->tail && w->pool->first && w->depth < CFUTI_SLOTS) w->depth *= 2;
    else if (w->depth > 2 && (cfuti_now() - began) / n > CFUT_MS(1)) w->depth /= 2;
}

/* Under lock: one that has run enough tasks, or holds too much, is to be replaced; or
   whose task has ended by itself before the signal that was sent to end it. */
static void cfuti_proc_check_age(cfuti_proc *w)
{
    const cfut_process_pool_desc *d = &w->pool->desc;

    if (w->phase != CFUTI_READY) return;
    if ((w->kill_at && w->head == w->tail) ||
        (d->max_tasks_per_child && w->tasks >= (uint32_t)d->max_tasks_per_child) ||
        (d->max_rss && cfuti_load_relaxed(&w->reports->heavy)))     /* relaxed: a hint */
        cfuti_proc_set(w, CFUTI_LEAVING);
}

/* Manager: takes in what w has done; whether there was anything. */
static bool cfuti_proc_look(cfuti_proc *w, cfuti_outcomes *outcomes)
{
    cfuti_procs *p = w->pool;
    uint32_t head, k;
    bool bad;
    cfut_ns began;

    cfuti_lock(&p->lock);
    head = w->head;
    k = cfuti_proc_note_done(w, &bad);
    began = w->began;
    cfuti_unlock(&p->lock);
    if (!k && !bad) return false;
    cfuti_point("noted");
    cfuti_proc_collect(w, head, k, outcomes);
    cfuti_point("collected");
    cfuti_lock(&p->lock);
    cfuti_proc_retire(w, k);
    if (k) {
        p->idle_deaths = 0;
        cfuti_proc_adapt(w, k, began);
    }
    cfuti_proc_check_age(w);            /* before anybody hears of the results */
    if (bad && !w->stopped) {
        cfuti_proc_take_back(w);        /* what is behind it has nothing to do with that */
        w->stopped = true;
        w->signal = SIGKILL;
    }
    cfuti_unlock(&p->lock);
    return true;
}

/* ---- deaths ---- */

static const char *cfuti_signal_name(int sig)
{
    static const struct { int sig; char name[8]; } names[] = {
        { SIGSEGV, "SIGSEGV" }, { SIGABRT, "SIGABRT" }, { SIGBUS, "SIGBUS" }, { SIGFPE, "SIGFPE" },
        { SIGILL, "SIGILL" }, { SIGKILL, "SIGKILL" }, { SIGTERM, "SIGTERM" },
        { SIGTRAP, "SIGTRAP" }, { SIGXCPU, "SIGXCPU" }, { SIGXFSZ, "SIGXFSZ" },
        { SIGPIPE, "SIGPIPE" }, { SIGSYS, "SIGSYS" }
    };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].sig == sig) return names[i].name;
    return NULL;
}

/* What became of a worker, in 55 bytes. exited: as in cfuti_reports. */
static void cfuti_death_text(char text[56], const cfuti_end *end, uint32_t exited)
{
    const char *name = WIFSIGNALED(end->status) ? cfuti_signal_name(WTERMSIG(end->status)) : NULL;
    char how[24], all[128];

    if (name) snprintf(how, sizeof how, "%s", name);
    else if (WIFSIGNALED(end->status))
        snprintf(how, sizeof how, "signal %d", WTERMSIG(end->status));
    else if (exited) snprintf(how, sizeof how, "exit(%d)", (int)(exited - 1));
    else snprintf(how, sizeof how, "_exit(%d)", WEXITSTATUS(end->status));
    snprintf(all, sizeof all, "%s, pid %ld, %ld MiB, %ld.%02ld s CPU", how, (long)end->pid,
             (long)(end->rss >> 20), (long)(end->cpu / 1000000000),
             (long)(end->cpu / 10000000 % 100));
    memcpy(text, all, 55);
    text[55] = 0;
}

/* Under lock: the pool takes nothing more, and what is in it fails. */
static void cfuti_procs_break(cfuti_procs *p, const char *reason)
{
    if (p->broken) return;
    p->broken = true;
    snprintf(p->reason, sizeof p->reason, "%s", reason);
    cfuti_store_release(&p->base.status, CFUT_BROKEN);  /* release: reason; to cfuti_refusal */
    p->kill_all = SIGKILL;
    cfuti_procs_call(p);
}

/* Under lock: whether the task of e, which died with its worker, is to run again. */
static bool cfuti_entry_spared(const cfuti_entry *e)
{
    const cfuti_procs *p = e->proc->pool;
    uint64_t *limit = &e->future->u.before.limit;

    if (e->why || p->broken || p->kill_all) return false;
    if (*limit >> 56 >= (uint64_t)p->desc.max_retries) return false;
    *limit += (uint64_t)1 << 56;
    return true;
}

/* Under lock: fails the task of e, which died with its worker. */
static void cfuti_entry_fail(const cfuti_entry *e, cfuti_outcomes *outcomes, const char *text)
{
    const cfuti_procs *p = e->proc->pool;
    cfut_future *f = e->future;
    bool limit = e->why == CFUTI_WHY_LIMIT;
    char why[80];

    if (e->why != CFUTI_WHY_NOT) {
        snprintf(why, sizeof why, "%s: %.55s", limit ? "time limit" : "cancelled", text);
        cfuti_outcomes_add(outcomes, f,
                           limit ? CFUT_STATE_FINISHED : CFUT_STATE_CANCELLED_AND_NOTIFIED,
                           limit ? CFUT_TIME_LIMIT : CFUT_CANCELLED, why);
    } else {
        cfuti_outcomes_add(outcomes, f, CFUT_STATE_FINISHED,
                           p->broken ? CFUT_BROKEN : CFUT_WORKER_DIED,
                           p->broken ? p->reason : text);
    }
}

/* Under lock: the task of e was running when its worker died. */
static void cfuti_entry_died(cfuti_entry *e, cfuti_outcomes *outcomes, const char *text)
{
    const cfuti_report *r = &e->proc->reports->slot[e->number % CFUTI_SLOTS];
    cfuti_parcel *k = cfuti_parcel_of(e->future);
    size_t done = cfuti_load_acquire(&r->progress);     /* acquire: the items before */

    if (cfuti_entry_spared(e)) {
        cfuti_procs_prepend(e->proc->pool, e->future);
        return;
    }
    cfuti_entry_trace(e, NULL);
    if (k && k->n > 1) cfuti_parcel_collect(k, e, done < k->n ? done : k->n - 1);
    cfuti_entry_fail(e, outcomes, text);
}

/* Under lock: whether the task of e had not begun when its worker ended, and is to go
   to another. If the worker was killed because it did not begin, that is no proof: a
   task may write what it likes over its word. So not for ever. */
static bool cfuti_entry_waits(const cfuti_entry *e)
{
    uint64_t *limit = &e->future->u.before.limit;
    uint64_t most = (uint64_t)e->proc->pool->desc.max_retries + 2;

    /* acquire: pairs with the worker's claim; it is gone */
    if (cfuti_load_acquire(cfuti_proc_word(e->proc, e->number)) !=
        CFUTI_WORD(e->number, CFUTI_QUEUED))
        return false;
    if (e->why == CFUTI_WHY_NOT) return true;
    if (e->why == CFUTI_WHY_CANCEL || *limit >> 56 >= (most < 255 ? most : 255))
        return false;
    *limit += (uint64_t)1 << 56;
    return true;
}

/* Under lock: empties w, which has ended: what had not begun goes back to the head
   of the list, the others fail. Whether one was running. */
static bool cfuti_proc_empty(cfuti_proc *w, cfuti_outcomes *outcomes, const char *text)
{
    uint32_t number = w->tail;
    bool blamed = false;

    while (number != w->head) {
        cfuti_entry *e;

        number = (number - 1) & CFUTI_NUMBERS;
        e = cfuti_proc_entry(w, number);
        if (!e->future) continue;
        if (cfuti_entry_waits(e)) {
            cfuti_procs_prepend(w->pool, e->future);
        } else {
            blamed = true;
            cfuti_entry_died(e, outcomes, text);
        }
    }
    cfuti_proc_retire(w, cfuti_proc_load(w));
    return blamed;
}

/* Under lock: w has ended; it may be started again. */
static void cfuti_proc_reset(cfuti_proc *w)
{
    memset(w->orders, 0, sizeof *w->orders);
    memset(w->reports, 0, sizeof *w->reports);
    if (w->bell >= 0) close(w->bell);
    w->bell = -1;
    w->head = w->tail = w->tasks = 0;
    w->depth = 2;
    w->stopped = w->deaf = false;
    w->signal = w->told = 0;
    w->kill_at = 0;
    w->pid = 0;
    w->bulk_users = 0;
    cfuti_proc_set(w, CFUTI_ABSENT);
}

/* Under lock: w died, though nobody had asked it to, and no task is to blame. */
static void cfuti_procs_idle_death(cfuti_procs *p, const cfuti_proc *w, const char *text)
{
    char reason[56];

    if (cfuti_load_acquire(&w->reports->phase) == CFUTI_INIT_FAILED) {
        memcpy(reason, w->reports->text, sizeof reason);
        reason[sizeof reason - 1] = 0;
        if (!*reason)
            snprintf(reason, sizeof reason, "the initializer failed with %d",
                     (int)w->reports->init_status);
        cfuti_procs_break(p, reason);
    } else if (++p->idle_deaths >= CFUTI_IDLE_DEATHS) {
        cfuti_procs_break(p, text);
    }
}

/* Fails what is queued, until nothing is. */
static void cfuti_procs_fail(cfuti_procs *p, uint32_t final, int status, const char *text)
{
    for (;;) {
        cfut_future *f;
        char copy[56];

        cfuti_lock(&p->lock);
        f = p->first;
        if (f) cfuti_procs_remove(p, f);
        cfuti_unlock(&p->lock);
        if (!f) return;
        if (text) snprintf(copy, sizeof copy, "%s", text);
        cfuti_complete(f, final, status, text ? copy : NULL);
        if (cfuti_procs_forked(p)) return;      /* as above */
    }
}

/* A worker could not be started. With others alive the pool goes on with them. */
static void cfuti_proc_not_started(cfuti_proc *w)
{
    cfuti_procs *p = w->pool;
    bool alone;

    cfuti_lock(&p->lock);
    cfuti_proc_reset(w);
    alone = p->live == 0;
    p->retry_at = alone ? 0 : cfuti_deadline(CFUT_MS(100));
    cfuti_unlock(&p->lock);
    if (alone) cfuti_procs_fail(p, CFUT_STATE_FINISHED, CFUT_NO_THREADS, NULL);
}

/* Manager: w has ended. */
static void cfuti_proc_died(cfuti_proc *w, const cfuti_end *end, cfuti_outcomes *outcomes)
{
    cfuti_procs *p = w->pool;
    char text[56];
    bool bad, blamed, expected, deaf;
    uint32_t k;

    cfuti_lock(&p->lock);
    w->stopped = true;
    cfuti_unlock(&p->lock);
    cfuti_proc_settle(w);
    cfuti_death_text(text, end, w->reports->exited);
    cfuti_lock(&p->lock);
    k = cfuti_proc_note_done(w, &bad);
    cfuti_unlock(&p->lock);
    cfuti_proc_collect(w, w->head, k, outcomes);
    cfuti_lock(&p->lock);
    cfuti_proc_retire(w, k);
    if (k) p->idle_deaths = 0;
    expected = p->over || p->kill_all || w->kill_at ||
               (w->phase == CFUTI_LEAVING && w->head == w->tail);
    if (p->desc.on_worker_death == CFUT_BREAK_POOL && !expected) cfuti_procs_break(p, text);
    blamed = cfuti_proc_empty(w, outcomes, text);
    if (!blamed && !expected) cfuti_procs_idle_death(p, w, text);
    deaf = w->deaf && !p->broken;
    if (!deaf) cfuti_proc_reset(w);
    if (!deaf) cfuti_procs_grow(p);
    cfuti_unlock(&p->lock);
    if (deaf) cfuti_proc_not_started(w);
}

/* ---- the manager ---- */

/* Under lock: sends a message if the channel has room; else later. */
static bool cfuti_procs_send(cfuti_procs *p, int32_t what, const cfuti_proc *w, int value)
{
    cfuti_message m;

    memset(&m, 0, sizeof m);
    m.what = what;
    m.worker = w ? (int32_t)(w - p->procs) : 0;
    m.value = value;
    m.end.pid = w ? w->pid : 0;
    return cfuti_sys_send(p->channel, &m, sizeof m, -1, false) > 0;
}

/* Under lock: what the helper is to do with w. false: the channel is full. */
static bool cfuti_proc_serve(cfuti_proc *w)
{
    cfuti_procs *p = w->pool;

    if (w->phase == CFUTI_WANTED) {
        if (!cfuti_procs_send(p, CFUTI_START, w, 0)) return false;
        cfuti_proc_set(w, CFUTI_STARTING);
    }
    if (p->kill_all && w->pid && w->told != p->kill_all && !w->stopped) {
        w->signal = w->told = p->kill_all;
        w->stopped = p->kill_all == SIGKILL;
    }
    if (w->signal && w->pid) {
        if (!cfuti_procs_send(p, CFUTI_SIGNAL, w, w->signal)) return false;
        w->signal = 0;
    }
    return true;
}

/* Under lock: the worker is to be killed for e, at its head, and for nothing else: so
   first all behind it is taken back. When to look again. */
static cfut_ns cfuti_proc_kill(cfuti_proc *w, const cfuti_entry *e, cfut_ns now)
{
    cfut_ns grace = w->pool->desc.kill_grace;
    bool alone = cfuti_proc_take_back(w);

    cfuti_procs_grow(w->pool);          /* another may run that meanwhile */
    if (!alone) return now + CFUT_MS(1);
    /* If one behind e had begun, e was done before, and that shows here; unless the
       worker has written over the words. relaxed: if it is seen too late otherwise, a
       worker without a task is killed */
    if (cfuti_load_relaxed(cfuti_proc_word(w, e->number)) == CFUTI_WORD(e->number, CFUTI_DONE_SLOT))
        return CFUT_FOREVER;
    w->kill_at = cfuti_deadline(grace);
    w->signal = grace > 0 ? SIGTERM : SIGKILL;
    w->stopped = grace <= 0;
    return CFUT_FOREVER;
}

/* Under lock: whether the task of e, at w's head, has begun. Until then its time does
   not run; but a worker that does not take it for twice the limit, or longer where that
   is short, has been stopped, and is killed (then the task goes to another). */
static bool cfuti_proc_has_begun(cfuti_proc *w, cfuti_entry *e, cfut_ns now, cfut_ns limit)
{
    /* relaxed: asked again soon */
    uint32_t word = cfuti_load_relaxed(cfuti_proc_word(w, e->number));
    cfut_ns patience = limit;

    if (word == CFUTI_WORD(e->number, CFUTI_RUNNING) ||
        word == CFUTI_WORD(e->number, CFUTI_DONE_SLOT))
        return true;
    w->began = now;
    if (cfuti_load_relaxed(&e->filling)) w->came = now;     /* relaxed: as above */
    if (patience < CFUTI_PATIENCE_MIN) patience = CFUTI_PATIENCE_MIN;
    if (patience > CFUTI_PATIENCE_MAX) patience = CFUTI_PATIENCE_MAX;
    if (now - w->came >= limit + patience) cfuti_entry_doom(e, CFUTI_WHY_LIMIT);
    return false;
}

/* Under lock: whether the task at w's head has run too long. When to look again. */
static cfut_ns cfuti_proc_check_limit(cfuti_proc *w, cfut_ns now)
{
    cfuti_entry *e = cfuti_proc_entry(w, w->head);
    cfut_ns limit;
    uint32_t progress;

    if (w->head == w->tail || !e->future || w->kill_at || w->stopped) return CFUT_FOREVER;
    limit = (cfut_ns)(e->future->u.before.limit & CFUTI_LIMIT);
    if (e->why) return cfuti_proc_kill(w, e, now);
    if (!limit) return CFUT_FOREVER;
    if (!cfuti_proc_has_begun(w, e, now, limit)) {
        if (e->why) return cfuti_proc_kill(w, e, now);  /* before it begins after all */
        return now + (limit > CFUT_MS(1) ? limit : CFUT_MS(1));
    }
    /* relaxed: only compared */
    progress = cfuti_load_relaxed(&w->reports->slot[e->number % CFUTI_SLOTS].progress);
    if (now - w->began >= limit && progress != e->progress) w->began = now;     /* another item */
    e->progress = progress;
    if (now - w->began < limit) return w->began + limit;
    cfuti_entry_doom(e, CFUTI_WHY_LIMIT);
    return cfuti_proc_kill(w, e, now);
}

/* Under lock: the same for the whole of w. */
static cfut_ns cfuti_proc_check_time(cfuti_proc *w, cfut_ns now)
{
    cfut_ns due = cfuti_proc_check_limit(w, now);

    if (!w->kill_at || w->stopped) return due;
    if (now < w->kill_at) return w->kill_at;
    w->signal = SIGKILL;
    w->stopped = true;
    return CFUT_FOREVER;
}

static void cfuti_proc_let_leave(cfuti_proc *w)
{
    if (cfuti_load_relaxed(&w->orders->leave)) return;  /* relaxed: only written here */
    cfuti_store_release(&w->orders->leave, 1u);
    cfuti_add_release(&w->orders->bell, 1u);
    cfuti_sys_wake_shared(&w->orders->bell, w->bell);
}

/* Under lock: looks after w. When to look again. */
static cfut_ns cfuti_proc_care(cfuti_proc *w, cfut_ns now, bool *full)
{
    cfut_ns due;

    if (w->phase == CFUTI_ABSENT) return CFUT_FOREVER;
    /* acquire: pairs with the worker's; what it has set up. It may be seen before the
       helper's word of it: then later */
    if (w->phase == CFUTI_STARTING && w->pid &&
        cfuti_load_acquire(&w->reports->phase) == CFUTI_READY_TO_RUN)
        cfuti_proc_set(w, CFUTI_READY);
    cfuti_proc_check_age(w);
    due = cfuti_proc_check_time(w, now);
    if (w->phase == CFUTI_LEAVING && w->head == w->tail) cfuti_proc_let_leave(w);
    if (!cfuti_proc_serve(w)) *full = true;
    return due;
}

/* Looks after all workers. When to look again. *full: or when the channel has room. */
static cfut_ns cfuti_procs_care(cfuti_procs *p, bool *full)
{
    cfut_ns now = cfuti_now(), next = CFUT_FOREVER;

    *full = false;
    cfuti_lock(&p->lock);
    if (p->retry_at && now >= p->retry_at) p->retry_at = 0;
    if (p->retry_at) next = p->retry_at;
    cfuti_procs_grow(p);
    for (size_t i = 0; i < p->max_workers; i++) {
        cfut_ns due = cfuti_proc_care(&p->procs[i], now, full);

        if (due < next) next = due;
    }
    /* an earlier time stays: tasks with a limit that come and go need not call us */
    if (next < p->until || p->until <= now) p->until = next;
    next = p->until;
    cfuti_unlock(&p->lock);
    return next;
}

/* Under lock: how many tasks wait with w behind its first. */
static uint32_t cfuti_proc_waiting(cfuti_proc *w)
{
    uint32_t n = 0;

    for (uint32_t i = 1; i < cfuti_proc_load(w); i++)
        if (cfuti_proc_entry(w, w->head + i)->future) n++;      /* else taken back */
    return n;
}

/* Under lock, with nothing in the list: if a worker is idle, or may be started, half
   of what waits behind the longest queue's task goes back to the list. */
static void cfuti_procs_rebalance(cfuti_procs *p)
{
    cfuti_proc *from = NULL;
    uint32_t most = 0, number;
    bool idle = p->live < p->max_workers && !p->retry_at && !p->kill_all;

    for (size_t i = 0; i < p->max_workers && !idle; i++)
        idle = !cfuti_proc_load(&p->procs[i]) && cfuti_proc_depth(&p->procs[i]);
    for (size_t i = 0; i < p->max_workers && idle; i++) {
        uint32_t n = cfuti_proc_waiting(&p->procs[i]);

        if (n > most) from = &p->procs[i];
        if (n > most) most = n;
    }
    if (!from) return;
    number = from->tail;
    for (uint32_t n = (most + 1) / 2; n && number != from->head; ) {
        cfuti_entry *e;
        cfut_future *f;

        number = (number - 1) & CFUTI_NUMBERS;
        e = cfuti_proc_entry(from, number);
        f = e->future;
        if (!f) continue;
        n--;
        /* acquire: in has been read */
        if (!cfuti_load_acquire(&e->filling) && cfuti_entry_take(e)) cfuti_procs_prepend(p, f);
    }
    cfuti_procs_grow(p);
}

/* Under lock: gives the first of the list a slot of some worker: its entry, or
   NULL. *failed: there is no memory for that one, which is in no list any more. */
static cfuti_entry *cfuti_procs_place(cfuti_procs *p, int *code, cfut_future **failed)
{
    cfut_future *f;
    cfuti_proc *w;
    cfuti_entry *e;
    int unused;

    if (!p->first && p->outstanding > 1) cfuti_procs_rebalance(p);
    f = p->first;
    w = f && !p->broken ? cfuti_procs_choose(p) : NULL;
    if (!w) return NULL;
    *code = cfuti_procs_find(p, f->task->fn, &unused);
    cfuti_procs_remove(p, f);
    e = cfuti_proc_reserve(w, f);
    if (!e && !w->bulk_users) *failed = f;
    else if (!e) cfuti_procs_prepend(p, f);
    return e;
}

/* Gives queued tasks to workers that may have more; whether any. */
static bool cfuti_procs_dispatch(cfuti_procs *p)
{
    for (bool some = false;; some = true) {
        cfut_future *failed = NULL;
        cfuti_entry *e;
        int code = 0;

        cfuti_lock(&p->lock);
        e = cfuti_procs_place(p, &code, &failed);
        cfuti_unlock(&p->lock);
        if (failed) cfuti_complete(failed, CFUT_STATE_FINISHED, CFUT_NO_MEMORY, NULL);
        else if (!e) return some;
        else cfuti_entry_publish(e, (uint32_t)code);
    }
}

/* Under lock: the helper has started w. Where a worker sleeps in its bell, one whose bell
   found no descriptor here leaves when it would sleep. */
static void cfuti_proc_started(cfuti_proc *w, int32_t pid, int bell)
{
    w->pid = pid;
    w->bell = bell;
    w->deaf = !CFUTI_FUTEX && bell < 0;
    if (w->deaf) {
        cfuti_proc_set(w, CFUTI_LEAVING);
        w->pool->retry_at = cfuti_deadline(CFUT_MS(100));       /* not at once the next such */
    }
    cfuti_sys_wake_shared(&w->orders->bell, bell);      /* it may have been told to leave */
}

static void cfuti_procs_obey(cfuti_procs *p, const cfuti_message *m, int fd,
                             cfuti_outcomes *outcomes)
{
    cfuti_proc *w = &p->procs[(size_t)m->worker % p->max_workers];

    if (m->what == CFUTI_STARTED) {
        cfuti_lock(&p->lock);
        cfuti_proc_started(w, m->value, fd);
        cfuti_unlock(&p->lock);
        return;
    }
    if (m->what == CFUTI_NOT_STARTED) cfuti_proc_not_started(w);
    if (m->what == CFUTI_DIED) cfuti_proc_died(w, &m->end, outcomes);
}

/* Messages of the helper; false: it is gone, or this is a forked child. */
static bool cfuti_procs_hear(cfuti_procs *p, cfuti_outcomes *outcomes)
{
    cfuti_message m;
    int fd, got;

    while ((got = cfuti_sys_receive(p->channel, &m, sizeof m, &fd)) > 0) {
        cfuti_procs_obey(p, &m, fd, outcomes);
        cfuti_outcomes_complete(outcomes);
    }
    return got == 0;
}

/* Fails what is queued in a pool whose workers are all killed: nobody else will take
   it, also what they had not begun. */
static void cfuti_procs_fail_doomed(cfuti_procs *p)
{
    bool broken, killed;

    cfuti_lock(&p->lock);
    broken = p->broken;
    killed = p->kill_all != 0;
    cfuti_unlock(&p->lock);
    if (broken) cfuti_procs_fail(p, CFUT_STATE_FINISHED, CFUT_BROKEN, p->reason);
    else if (killed) cfuti_procs_fail(p, CFUT_STATE_CANCELLED_AND_NOTIFIED, CFUT_CANCELLED, NULL);
}

/* Takes in results, hands out tasks, looks after the workers. Whether there was
   anything. *next, *full: as above. */
static bool cfuti_procs_look(cfuti_procs *p, cfuti_outcomes *outcomes, cfut_ns *next, bool *full)
{
    bool some = false;

    for (size_t i = 0; i < p->max_workers; i++) {
        if (!cfuti_proc_look(&p->procs[i], outcomes)) continue;
        cfuti_procs_dispatch(p);        /* the worker first */
        cfuti_outcomes_complete(outcomes);
        if (cfuti_procs_forked(p)) return true;
        some = true;
    }
    *next = cfuti_procs_care(p, full);
    if (cfuti_procs_dispatch(p)) some = true;
    if (!cfuti_procs_forked(p)) cfuti_procs_fail_doomed(p);
    return some || cfuti_procs_forked(p);
}

/* Under lock. M2: whether w has something to say. A slot that is being filled may have
   the word of an older task still; that of its own comes before filling ends. */
static bool cfuti_proc_has_word(cfuti_proc *w)
{
    uint32_t word;

    if (w->phase == CFUTI_STARTING)
        return w->pid && cfuti_load_seq_cst(&w->reports->phase) == CFUTI_READY_TO_RUN;
    if (w->head == w->tail || w->stopped) return false;
    word = cfuti_load_seq_cst(cfuti_proc_word(w, w->head));
    if (word >> 3 != w->head || !(word & 7))
        return !cfuti_load_acquire(&cfuti_proc_entry(w, w->head)->filling);
    return word != CFUTI_WORD(w->head, CFUTI_QUEUED) && word != CFUTI_WORD(w->head, CFUTI_RUNNING);
}

static bool cfuti_procs_any_word(cfuti_procs *p)
{
    bool any = false;

    cfuti_lock(&p->lock);
    for (size_t i = 0; i < p->max_workers && !any; i++) any = cfuti_proc_has_word(&p->procs[i]);
    cfuti_unlock(&p->lock);
    return any;
}

/* Sleeps until a worker, the helper or a submit has something, or until next. */
static void cfuti_procs_sleep(cfuti_procs *p, cfut_ns next, bool full)
{
    cfuti_point("to sleep");
    cfuti_add_seq_cst(&p->common->asleep, 1u);          /* M1: odd */
    if (!cfuti_procs_any_word(p)) {
        cfuti_point("asleep");
        cfuti_unlock(&p->gate);
        cfuti_sys_poll(p->bell[0], p->channel, full, next);
        cfuti_lock(&p->gate);
    }
    cfuti_add_seq_cst(&p->common->asleep, 1u);
    cfuti_lock(&p->lock);
    cfuti_sys_hush(p->bell[0]);
    p->rung = false;                    /* under lock: who rings later rings again */
    cfuti_unlock(&p->lock);
}

/* Whether nothing is to be done, ever. Then the workers are told to leave. */
static bool cfuti_procs_check_over(cfuti_procs *p)
{
    cfuti_lock(&p->lock);
    if (p->closed && !p->first && !p->outstanding && !p->failing) p->over = true;
    for (size_t i = 0; i < p->max_workers && p->over; i++)
        if (p->procs[i].phase != CFUTI_ABSENT) cfuti_proc_let_leave(&p->procs[i]);
    cfuti_unlock(&p->lock);
    return p->over;
}

/* Under lock: once, when all is over: tells the helper to leave after the workers.
   false: the channel is full. */
static bool cfuti_procs_quit(cfuti_procs *p, bool *told)
{
    bool sent;

    if (*told) return true;
    cfuti_lock(&p->lock);
    sent = cfuti_procs_send(p, CFUTI_QUIT, NULL, 0);
    cfuti_unlock(&p->lock);
    *told = sent;
    return sent;
}

/* The helper has ended though nobody told it to: so have the workers, or will. */
static void cfuti_procs_helper_died(cfuti_procs *p, cfuti_outcomes *outcomes)
{
    cfuti_end end;

    cfuti_lock(&p->lock);
    cfuti_procs_break(p, "the pool's helper process has ended");
    cfuti_unlock(&p->lock);
    memset(&end, 0, sizeof end);
    for (size_t i = 0; i < p->max_workers; i++) {
        cfuti_proc *w = &p->procs[i];

        if (w->phase == CFUTI_ABSENT) continue;
        if (w->pid) kill(w->pid, SIGKILL);
        cfuti_proc_died(w, &end, outcomes);
        cfuti_outcomes_complete(outcomes);
        if (cfuti_procs_forked(p)) return;
    }
    cfuti_procs_fail(p, CFUT_STATE_FINISHED, CFUT_BROKEN, p->reason);
}

/* The gate is open for who is to fork. */
static void cfuti_procs_let_pass(cfuti_procs *p)
{
    unsigned round = 0;

    if (!cfuti_load_acquire(&p->pause)) return;
    cfuti_unlock(&p->gate);
    while (cfuti_load_acquire(&p->pause)) cfuti_backoff(&round);
    cfuti_lock(&p->gate);
}

/* Until all is over and the helper gone. */
static void cfuti_procs_manage(cfuti_procs *p, cfuti_outcomes *outcomes)
{
    bool full, told = false;
    cfut_ns next;

    cfuti_outcomes_complete(outcomes);  /* what a lost thread has left */
    while (cfuti_procs_hear(p, outcomes)) {
        cfuti_procs_let_pass(p);
        if (cfuti_procs_look(p, outcomes, &next, &full)) continue;
        if (cfuti_procs_check_over(p) && !cfuti_procs_quit(p, &told)) full = true;
        cfuti_procs_sleep(p, next, full);
    }
    if (told || cfuti_procs_forked(p)) return;
    cfuti_procs_helper_died(p, outcomes);
    while (!cfuti_procs_forked(p) && !cfuti_procs_check_over(p)) {
        cfuti_unlock(&p->gate);
        cfuti_sys_poll(p->bell[0], -1, false, CFUT_FOREVER);
        cfuti_lock(&p->gate);
        cfuti_lock(&p->lock);
        cfuti_sys_hush(p->bell[0]);
        p->rung = false;
        cfuti_unlock(&p->lock);
    }
}

/* In a callback, which waits for something that it cannot leave: the manager goes on
   managing, as that may be its own to bring about. Callbacks of other tasks run within
   that one then. The gate stays closed. */
static CFUTI_RARE void cfuti_procs_help(cfuti_procs *p)
{
    bool full, alive, some = false;
    cfut_ns next;

    cfuti_outcomes_complete(&p->outcomes);
    alive = cfuti_procs_hear(p, &p->outcomes);
    if (cfuti_procs_forked(p)) return;  /* here and below: a callback has, this is the child */
    if (alive) some = cfuti_procs_look(p, &p->outcomes, &next, &full);
    else cfuti_procs_helper_died(p, &p->outcomes);
    if (some || cfuti_procs_forked(p)) return;
    cfuti_nap(CFUT_US(200));            /* simple is better here than to be called */
}

static void cfuti_procs_reap(cfuti_procs *p, bool by_manager);

/* The manager's thread is about to end, with its record: no walk in >>graph is to be
   on the way to that. */
static void cfuti_procs_forget_manager(cfuti_procs *p)
{
    cfuti_lock(&cfuti_graph_lock);
    cfuti_store_release(&p->manager, (cfuti_thread *)NULL);
    cfuti_unlock(&cfuti_graph_lock);
}

/* A manager's thread has begun, or is about to leave. */
static void cfuti_procs_note_change(void)
{
    cfuti_lock(&cfuti_registry_lock);
    cfuti_procs_changed = cfuti_now();
    cfuti_unlock(&cfuti_registry_lock);
}

/* The last thing that the manager does. */
static void cfuti_procs_leave(cfuti_procs *p)
{
    bool mine;

    for (size_t i = 0; i < p->max_workers; i++) cfuti_proc_settle(&p->procs[i]);
    if (p->helper > 0) cfuti_sys_await(p->helper);
    cfuti_unlock(&p->gate);
    cfuti_procs_note_change();
    cfuti_procs_forget_manager(p);
    cfuti_point("to end");
    cfuti_lock(&p->lock);
    cfuti_store_release(&p->ended, 1u);         /* release: all; to cfuti_ended_wait */
    cfuti_wake_word(&p->ended);
    mine = p->detached && !p->reaping;
    if (mine) p->reaping = true;
    cfuti_unlock(&p->lock);                     /* last touch, but for the reaper */
    if (mine) cfuti_procs_reap(p, true);
}

static void cfuti_procs_thread(cfuti_procs *p)
{
    static const char name[] = "cfut-processes";
    cfuti_thread *t = cfuti_self();

    cfuti_sys_shield();                         /* it ends with the pool, or by pthread_exit */
    t->managing = p;
    t->place = cfuti_place_here();
    cfuti_thread_self(&p->thread);
    cfuti_store_release(&p->manager, t);        /* release: to the walk in >>graph */
    cfuti_thread_name(name);
    cfuti_trace_name(name);
    cfuti_lock(&p->gate);
    cfuti_procs_manage(p, &p->outcomes);
    if (!cfuti_procs_forked(p)) cfuti_procs_leave(p);
    t->managing = NULL;
}

/* A callback has ended the manager's thread: another one goes on. If none can start,
   this one does, within the handler of its end. */
static void cfuti_procs_thread_lost(cfuti_procs *p)
{
    cfuti_os_thread fresh, self;

    if (cfuti_procs_forked(p)) return;
    cfuti_thread_self(&self);
    cfuti_procs_note_change();
    cfuti_procs_forget_manager(p);
    cfuti_unlock(&p->gate);
    if (cfuti_thread_start(&fresh, 0, (char *)p + 1)) {
        cfuti_self()->managing = NULL;
        cfuti_thread_detach(self);
    } else {
        cfuti_procs_thread(p);
    }
}

/* ---- close and shutdown ---- */

static bool cfuti_procs_holds_up(const cfuti_procs *p, const cfuti_thread *t)
{
    return cfuti_is_failing(t, &p->base) || t->managing == p;
}

/* As cfuti_pool_fail_one: the close's part of failing what is queued. */
static bool cfuti_procs_fail_one(const cfuti_failing *here)
{
    cfuti_procs *p = cfuti_procs_of(here->pool);
    cfut_future *f;

    if (cfuti_procs_forked(p)) return false;        /* a callback has, and this is the child */
    cfuti_lock(&p->lock);
    f = p->first;
    if (f) {
        cfuti_procs_remove(p, f);
    } else {
        p->failing--;
        cfuti_procs_call(p);
    }
    cfuti_unlock(&p->lock);
    if (f) cfuti_complete(f, here->final, here->status, NULL);
    return f != NULL;
}

/* Under lock: whether the pool lives. Closes it. sig: for all workers, or 0. */
static bool cfuti_procs_begin_close(cfuti_procs *p, int sig)
{
    if (cfuti_load_relaxed(&p->ended)) return false;    /* relaxed: under lock */
    p->closed = true;
    if (!cfuti_load_relaxed(&p->base.status)) cfuti_store_relaxed(&p->base.status, CFUT_CLOSED);
    if (sig == SIGKILL || (sig && !p->kill_all)) p->kill_all = sig;
    cfuti_procs_call(p);
    return true;
}

static void cfuti_procs_close_as(cfuti_procs *p, int how, int sig)
{
    cfuti_failing all = { { NULL, 0, CFUTI_FAILING }, &p->base, cfuti_procs_fail_one,
                          CFUT_STATE_CANCELLED_AND_NOTIFIED, CFUT_CANCELLED };
    bool cancel = (how & CFUT_CANCEL_PENDING) != 0;

    if (cfuti_procs_forked(p)) return;
    cfuti_lock(&p->lock);
    cancel = cfuti_procs_begin_close(p, sig) && cancel;
    if (cancel) p->failing++;           /* until nothing is left to fail */
    for (size_t i = 0; i < p->max_workers && cancel; i++) cfuti_proc_take_back(&p->procs[i]);
    cfuti_unlock(&p->lock);
    if (cancel) cfuti_fail(&all);
}

static void cfuti_procs_close(cfut_executor *ex, int how)
{
    cfuti_procs_close_as(cfuti_procs_of(ex), how, 0);
}

static void cfuti_procs_close_fds(cfuti_procs *p)
{
    if (p->channel >= 0) close(p->channel);
    if (p->file >= 0) close(p->file);
    if (p->bell[0] >= 0) close(p->bell[0]);
    if (p->bell[1] >= 0 && p->bell[1] != p->bell[0]) close(p->bell[1]);
    p->channel = p->file = p->bell[0] = p->bell[1] = -1;
}

/* What the pool has besides its handle. */
static void cfuti_procs_free(cfuti_procs *p)
{
    for (size_t i = 0; p->procs && p->common && i < p->max_workers; i++) {
        cfuti_proc *w = &p->procs[i];

        cfuti_sys_unmap(w->orders, (size_t)p->layout.part);
        cfuti_sys_unmap(w->reports, (size_t)p->layout.part);
        cfuti_sys_unmap(w->bulk_in, w->mapped);
        cfuti_sys_unmap(w->bulk_out, w->mapped);
        if (w->bell >= 0) close(w->bell);
    }
    if (p->common) cfuti_sys_unmap(p->common, (size_t)p->layout.common);
    CFUT_FREE(p->procs);
    p->procs = NULL;
    p->common = NULL;
}

/* Under the registry's lock. */
static void cfuti_procs_unregister(cfuti_procs *p)
{
    if (p->prev) p->prev->next = p->next;
    else cfuti_procs_registry = p->next;
    if (p->next) p->next->prev = p->prev;
    cfuti_procs_close_fds(p);
}

/* The manager has left. Frees all but the handle, which goes to the graveyard. */
static void cfuti_procs_reap(cfuti_procs *p, bool by_manager)
{
    cfuti_procs *oldest = NULL;
    int old = cfuti_sys_shield();

    if (by_manager) cfuti_thread_detach(p->thread);
    else cfuti_thread_join(p->thread);
    cfuti_lock(&cfuti_registry_lock);
    cfuti_procs_changed = cfuti_now();
    cfuti_procs_unregister(p);
    cfuti_procs_free(p);
    p->next = NULL;
    if (cfuti_procs_graves_last) cfuti_procs_graves_last->next = p;
    else cfuti_procs_graves_first = p;
    cfuti_procs_graves_last = p;
    if (++cfuti_procs_graves > CFUTI_GRAVES) {
        oldest = cfuti_procs_graves_first;
        cfuti_procs_graves_first = oldest->next;
        cfuti_procs_graves--;
    }
    cfuti_store_release(&p->ended, 2u);         /* release: to cfuti_ended_wait */
    cfuti_unlock(&cfuti_registry_lock);
    cfuti_wake_word(&p->ended);
    CFUT_FREE(oldest);
    cfuti_sys_unshield(old);
}

static int cfuti_procs_shutdown(cfut_executor *ex, int how, cfut_ns timeout)
{
    cfuti_procs *p = cfuti_procs_of(ex);
    cfut_ns deadline = cfuti_deadline(timeout);
    bool detach = (how & CFUT_DETACH) != 0, mine;

    if (cfuti_procs_forked(p)) return CFUT_FORKED;
    if (cfuti_procs_holds_up(p, cfuti_self()) && !detach) return CFUT_DEADLOCK;
    if (detach) {
        cfuti_lock(&p->lock);
        p->detached = true;
        cfuti_unlock(&p->lock);
    }
    cfuti_procs_close(ex, how);
    if (cfuti_procs_forked(p)) return CFUT_FORKED;      /* a callback has, this is the child */
    if (!detach && !cfuti_ended_wait(&p->ended, 1, deadline)) return CFUT_TIMEOUT;
    cfuti_lock(&p->lock);
    mine = cfuti_load_relaxed(&p->ended) == 1 && !p->reaping;
    if (mine) p->reaping = true;
    cfuti_unlock(&p->lock);
    if (mine) cfuti_procs_reap(p, false);
    else if (!detach && !cfuti_ended_wait(&p->ended, 2, deadline)) return CFUT_TIMEOUT;
    return CFUT_OK;
}

static size_t cfuti_procs_max_workers(const cfut_executor *ex)
{
    return cfuti_procs_of(ex)->max_workers;
}

static size_t cfuti_procs_workers(const cfut_executor *ex)
{
    cfuti_procs *p = cfuti_procs_of(ex);
    size_t n;

    if (cfuti_procs_forked(p)) return 0;
    cfuti_lock(&p->lock);
    n = p->live;
    cfuti_unlock(&p->lock);
    return n;
}

static const cfut_executor_ops cfuti_procs_ops = {
    "ProcessPoolExecutor", cfuti_procs_submit, cfuti_procs_cancel, cfuti_procs_close,
    cfuti_procs_shutdown, cfuti_procs_max_workers, cfuti_procs_workers
};

/* ---- creation ---- */

/* The fork of a helper in a program with threads would copy locks that others
   hold. Only managers may be there: while their gates are taken they are asleep. */

enum { CFUTI_NO_PAUSE, CFUTI_PAUSE_WANTED, CFUTI_PAUSED };     /* the gate is the forker's */

static bool cfuti_try_lock(uint32_t *lock)
{
    return cfuti_exchange_acquire(lock, 1u) == 0;
}

/* Under the registry's lock: takes the gates of all managers; false: not all were to
   be had, and none is taken. *n: how many there are. */
static bool cfuti_procs_halt(int *n)
{
    cfuti_procs *q = cfuti_procs_registry, *back;

    for (*n = 0; q; q = q->next) {
        if (!cfuti_load_acquire(&q->manager)) continue;
        if (cfuti_load_relaxed(&q->pause) == CFUTI_PAUSED) break;       /* another forker's */
        cfuti_store_release(&q->pause, (uint32_t)CFUTI_PAUSE_WANTED);
        if (!cfuti_try_lock(&q->gate)) break;
        cfuti_store_relaxed(&q->pause, (uint32_t)CFUTI_PAUSED);
        ++*n;
    }
    for (back = cfuti_procs_registry; q && back != q; back = back->next) {
        if (cfuti_load_relaxed(&back->pause) != CFUTI_PAUSED) continue;
        cfuti_store_relaxed(&back->pause, (uint32_t)CFUTI_PAUSE_WANTED);
        cfuti_unlock(&back->gate);
    }
    return !q;
}

static void cfuti_procs_resume(void)
{
    cfuti_lock(&cfuti_registry_lock);
    for (cfuti_procs *q = cfuti_procs_registry; q; q = q->next)
        if (cfuti_exchange_acquire(&q->pause, (uint32_t)CFUTI_NO_PAUSE) == CFUTI_PAUSED)
            cfuti_unlock(&q->gate);
    cfuti_unlock(&cfuti_registry_lock);
}

/* All managers stand still; how many, and *moving: one that has just begun may not
   show yet, and one that has just left may be counted by the system still. It waits
   for callbacks that they are in, without a lock, as those may make pools, too. */
static int cfuti_procs_halt_all(bool *moving)
{
    unsigned round = 0;
    int managers;

    cfuti_lock(&cfuti_registry_lock);
    while (!cfuti_procs_halt(&managers)) {
        cfuti_unlock(&cfuti_registry_lock);
        cfuti_backoff(&round);
        cfuti_lock(&cfuti_registry_lock);
    }
    *moving = cfuti_procs_changed && cfuti_now() - cfuti_procs_changed < CFUT_SEC(1);
    cfuti_unlock(&cfuti_registry_lock);
    return managers;
}

/* Whether the caller may fork now; then the managers stand still. */
static bool cfuti_procs_may_fork(void)
{
    bool moving = true;

    if (cfuti_self()->managing) return false;
    while (moving) {
        int managers = cfuti_procs_halt_all(&moving), threads = cfuti_threads();

        if (threads == 0 || threads == 1 + managers) return true;
        cfuti_procs_resume();
        if (moving) cfuti_nap(CFUT_US(200));
    }
    return false;
}

/* fds: as they are called in the host, where a fork closes those of all pools in the
   child: so the helper gets copies. */
static pid_t cfuti_procs_fork_helper(const int fds[3])
{
    int copies[3];
    pid_t pid;

    if (!cfuti_procs_may_fork()) return -2;
    fflush(NULL);       /* else the helper's copies would be written, too; and nobody holds
                           a stream, as managers stand still and no other thread is there */
    for (int i = 0; i < 3; i++) copies[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
    pid = copies[0] < 0 || copies[1] < 0 || copies[2] < 0 ? -1 : cfuti_fork_helper();
    if (pid == 0) {
        cfuti_sys_only(copies);
        cfuti_helper_main();
    }
    for (int i = 0; i < 3; i++)
        if (copies[i] >= 0) close(copies[i]);
    cfuti_procs_resume();
    return pid;
}

/* Waits for the helper's first message. */
static bool cfuti_procs_greeted(int channel)
{
    cfut_ns deadline = cfuti_deadline(CFUT_SEC(30));
    cfuti_message m;
    int fd, got = 0;

    while (got == 0 && !cfuti_expired(deadline)) {
        cfuti_sys_poll(channel, -1, false, deadline);
        got = cfuti_sys_receive(channel, &m, sizeof m, &fd);
    }
    return got > 0 && m.what == CFUTI_HELLO;
}

/* 0, or why no helper runs. */
static int cfuti_procs_start_helper(cfuti_procs *p, bool exec)
{
    int ends[2], fds[3];
    bool open;

    cfuti_lock(&cfuti_registry_lock);   /* no fork in between, which would copy them */
    open = cfuti_channel(ends);
    if (open) p->channel = ends[0];
    cfuti_unlock(&cfuti_registry_lock);
    if (!open) return CFUT_NO_MEMORY;
    fds[0] = ends[1];
    fds[1] = p->file;
    fds[2] = p->bell[1];
    p->helper = exec ? cfuti_spawn(fds) : cfuti_procs_fork_helper(fds);
    close(ends[1]);
    if (p->helper == -2) return CFUTI_THREADS_RUN;
    if (p->helper < 0) return CFUTI_NO_HELPER;
    if (cfuti_procs_greeted(p->channel)) return CFUT_OK;
    kill(p->helper, SIGKILL);
    cfuti_sys_await(p->helper);
    return CFUTI_NO_HELPER;
}

/* The descriptor of a function, by its name; -1: none. Below -1: a status. */
static int cfuti_procs_name_hook(cfuti_procs *p, void (*fn)(void))
{
    return fn ? cfuti_procs_name(p, (cfut_fn)fn) : -1;
}

static int cfuti_procs_name_hooks(cfuti_procs *p)
{
    cfuti_common *c = p->common;

    errno = 0;
    if (!cfuti_sys_place((uintptr_t)cfuti_helper_noticed, &c->self))
        return cfuti_sys_had_no_room() ? CFUT_NO_MEMORY : CFUT_UNSUPPORTED;
    c->initializer = cfuti_procs_name_hook(p, (void (*)(void))p->desc.initializer);
    c->finalizer = cfuti_procs_name_hook(p, (void (*)(void))p->desc.finalizer);
    if (c->initializer < -1) return c->initializer;
    return c->finalizer < -1 ? c->finalizer : (int)CFUT_OK;
}

/* The sizes of all parts. A worker's bulk is a hole in the file until it is used;
   where files may not be large, it is small. */
static void cfuti_procs_measure(const cfuti_procs *p, cfuti_layout *l)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), part = sizeof(cfuti_orders);
    bool wide = sizeof(off_t) > 4 && sizeof(size_t) > 4;

    if (part < sizeof(cfuti_reports)) part = sizeof(cfuti_reports);
    l->common = cfuti_round_up(cfuti_size(1, p->desc.init_size, sizeof(cfuti_common)), page);
    l->part = cfuti_round_up(part, page);
    l->bulk = wide ? (uint64_t)1 << 35 : (1u << 29) / p->max_workers;
    while (l->bulk > 1 << 20 && !cfuti_sys_file_allowed(cfuti_part_at(l, p->max_workers)))
        l->bulk /= 2;
    l->bulk -= l->bulk % page;
}

/* Maps a part that is written to from now on. */
static void *cfuti_procs_map_part(const cfuti_procs *p, uint64_t at, uint64_t size)
{
    if (!cfuti_file_reserve(p->file, at, size)) return NULL;
    return cfuti_map(p->file, at, (size_t)size, true);
}

/* Maps all parts but the bulks. */
static bool cfuti_procs_map(cfuti_procs *p)
{
    const cfuti_layout *l = &p->layout;
    cfuti_common *c = (cfuti_common *)cfuti_procs_map_part(p, 0, l->common);

    if (!c) return false;
    p->common = c;
    c->magic = CFUTI_PROCESS_MAGIC;
    c->version = CFUT_VERSION;
    c->workers = (uint32_t)p->max_workers;
    c->layout = *l;
    c->desc = p->desc;
    if (p->desc.init_size) memcpy(c + 1, p->desc.init_arg, p->desc.init_size);
    for (size_t i = 0; i < p->max_workers; i++) {
        cfuti_proc *w = &p->procs[i];
        uint64_t at = cfuti_part_at(l, i);

        w->orders = (cfuti_orders *)cfuti_procs_map_part(p, at, l->part);
        w->reports = (cfuti_reports *)cfuti_procs_map_part(p, at + l->part, l->part);
        if (!w->orders || !w->reports) return false;
    }
    return true;
}

/* A status. Under the registry's lock, so that no fork comes in between, which
   would copy descriptors unseen. */
static int cfuti_procs_open(cfuti_procs *p)
{
    bool open;

    p->procs = (cfuti_proc *)cfuti_alloc(cfuti_size(p->max_workers, sizeof *p->procs, 0));
    if (!p->procs) return CFUT_NO_MEMORY;
    for (size_t i = 0; i < p->max_workers; i++) {
        p->procs[i].pool = p;
        p->procs[i].bell = -1;
        p->procs[i].depth = 2;
    }
    cfuti_procs_measure(p, &p->layout);
    cfuti_lock(&cfuti_registry_lock);
    p->file = cfuti_file(cfuti_part_at(&p->layout, p->max_workers));
    open = p->file >= 0 && cfuti_bell(p->bell);
    cfuti_unlock(&cfuti_registry_lock);
    return open && cfuti_procs_map(p) ? (int)CFUT_OK : (int)CFUT_NO_MEMORY;
}

/* Everything behind the handle. Returns a status, or one of those above. */
static int cfuti_procs_build(cfuti_procs *p, bool exec)
{
    int status = cfuti_procs_open(p);
    cfuti_os_thread t;

    if (!status) status = cfuti_procs_name_hooks(p);
    if (!status) status = cfuti_procs_start_helper(p, exec);
    if (status) return status;
    cfuti_procs_note_change();
    if (cfuti_thread_start(&t, 0, (char *)p + 1)) return CFUT_OK;
    close(p->channel);                  /* the helper leaves then */
    p->channel = -1;
    cfuti_sys_await(p->helper);
    return CFUTI_NO_HELPER;
}

/* In the registry from the start, so that a fork closes its descriptors. */
static int cfuti_procs_register(cfuti_procs *p)
{
    bool exiting;

    cfuti_hooks();
    cfuti_trace_by_environment();
    cfuti_lock(&cfuti_registry_lock);
    exiting = cfuti_exiting;
    if (!exiting) {
        p->next = cfuti_procs_registry;
        if (p->next) p->next->prev = p;
        cfuti_procs_registry = p;
    }
    cfuti_unlock(&cfuti_registry_lock);
    return exiting ? (int)CFUT_CLOSED : (int)CFUT_OK;
}

static cfuti_procs *cfuti_procs_new(const cfut_process_pool_desc *desc, size_t workers)
{
    cfuti_procs *p = (cfuti_procs *)cfuti_alloc(sizeof *p);

    if (!p) return NULL;
    p->base.ops = &cfuti_procs_ops;
    p->desc = *desc;
    p->max_workers = workers;
    p->exit = CFUT_EXIT_ABANDON;        /* until it works */
    p->channel = p->file = p->bell[0] = p->bell[1] = -1;
    p->until = CFUT_FOREVER;
    p->runner.procs = p;
    return p;
}

/* A status, and the pool. */
static int cfuti_procs_create(cfuti_procs **pool, const cfut_process_pool_desc *desc,
                              size_t workers, bool exec)
{
    cfuti_procs *p = cfuti_procs_new(desc, workers);
    int status = p ? cfuti_procs_register(p) : (int)CFUT_NO_MEMORY;

    if (status) {
        CFUT_FREE(p);
        return status;
    }
    status = cfuti_procs_build(p, exec);
    cfuti_lock(&cfuti_registry_lock);
    p->exit = desc->exit;
    if (status) {
        cfuti_procs_unregister(p);
        cfuti_procs_free(p);
        CFUT_FREE(p);
    }
    cfuti_unlock(&cfuti_registry_lock);
    *pool = status ? NULL : p;
    return status;
}

/* ---- exit and fork ---- */

/* The next live pool to drain, or NULL. Each is drained once. */
static cfuti_procs *cfuti_procs_to_drain(void)
{
    cfuti_procs *p;

    cfuti_lock(&cfuti_registry_lock);
    for (p = cfuti_procs_registry; p && p->exit != CFUT_EXIT_DRAIN; ) p = p->next;
    if (p) p->exit = CFUT_EXIT_ABANDON;
    cfuti_unlock(&cfuti_registry_lock);
    return p;
}

/* As a thread pool; or the manager is this thread, and has nothing left to bring about. */
static CFUTI_RARE bool cfuti_procs_is_drained(void *pool)
{
    cfuti_procs *p = (cfuti_procs *)pool;
    cfuti_thread *manager;
    bool idle, stuck;

    if (cfuti_load_acquire(&p->ended)) return true;     /* acquire: as cfuti_ended_wait */
    cfuti_lock(&p->lock);
    idle = !p->first && !p->outstanding && !p->failing;
    cfuti_unlock(&p->lock);
    cfuti_lock(&cfuti_graph_lock);
    manager = cfuti_load_acquire(&p->manager);          /* acquire: from its start */
    stuck = cfuti_is_stuck_here(manager) && (manager != cfuti_self() || idle);
    cfuti_unlock(&cfuti_graph_lock);
    return stuck;
}

static void cfuti_procs_at_exit(bool within)
{
    cfuti_procs *p;

    while ((p = cfuti_procs_to_drain()) != NULL) {
        if (within) {
            cfuti_procs_close(&p->base, CFUT_DRAIN);
            cfuti_drain_within(cfuti_procs_is_drained, p);
        }
        cfuti_procs_shutdown(&p->base, CFUT_DRAIN, within ? CFUT_MS(1) : CFUT_FOREVER);
    }
}

static void cfuti_procs_fork_child(void)
{
    cfuti_self()->managing = NULL;
    for (cfuti_procs *p = cfuti_procs_registry; p; p = p->next) {
        cfuti_store_relaxed(&p->base.status, CFUT_FORKED);
        cfuti_procs_close_fds(p);
        /* its manager is not here: nobody is to wait for it, or to count it */
        cfuti_store_relaxed(&p->manager, (cfuti_thread *)NULL);
        cfuti_store_relaxed(&p->gate, 0u);
        cfuti_store_relaxed(&p->pause, 0u);
    }
}

#else

static const cfut_executor_ops cfuti_procs_ops = {
    "ProcessPoolExecutor", NULL, NULL, NULL, NULL, NULL, NULL
};

#endif /* CFUTI_PROCESS */

/*=========================================================================
    >>graph   who waits for whom: deadlock detection
=========================================================================*/

/* A thread that runs tasks and is about to sleep for a future without a limit
   records that in its waiting, under the graph lock, and looks whether that
   would close a circle. What a blocked thread needs:
     its future runs on a thread    that thread must go on
     its future is queued in a pool one of the pool's workers must go on
   So from the future we reach threads, from blocked threads their futures, and
   so on. If everything reached is blocked, nothing can ever go on: a deadlock.
   If anything reached is not (it computes, sleeps with a limit, is a future
   completed by hand or an executor that we cannot see into, a pool that may
   start another thread), there may be progress, and we sleep.
   No false alarm: a thread's waiting is cleared, under the lock, before the
   future that it waits for becomes final (cfuti_arrive). For the same reason
   every future met on the way is there: it cannot become final while we hold
   the lock.
   No missed one: whoever closes a circle comes last and sees all others. */

/* Puts the thread on the list of those to visit; false: it can go on. */
static bool cfuti_graph_reach(cfuti_thread *self, cfuti_thread *t, uint32_t epoch,
                              cfuti_thread **list)
{
    if (!t) return false;
    if (t == self || t->visited == epoch) return true;
    if (!t->waiting) return false;
    t->visited = epoch;
    t->next = *list;
    *list = t;
    return true;
}

/* A process pool's tasks end by its manager, which must go on; NULL if it is just
   starting. */
static cfuti_thread *cfuti_graph_manager(struct cfuti_procs *p)
{
#if CFUTI_PROCESS
    return cfuti_load_acquire(&p->manager);     /* acquire: from its start */
#else
    (void)p;
    return NULL;
#endif
}

/* The thread that runs a future with this owner. */
static cfuti_thread *cfuti_graph_thread(uintptr_t owner)
{
    cfuti_thread *t = (cfuti_thread *)(owner - 1);

    return t->procs ? cfuti_graph_manager(t->procs) : t;
}

/* The process pool that this executor is, or NULL. */
static struct cfuti_procs *cfuti_graph_procs(uintptr_t owner)
{
    return ((cfut_executor *)owner)->ops == &cfuti_procs_ops ? (struct cfuti_procs *)owner : NULL;
}

/* All workers of a pool in which something is queued. While somebody fails its
   queue, it will go on. One that may grow will, too; but not where the system
   refused the last thread. */
static CFUTI_RARE bool cfuti_graph_reach_pool(cfuti_thread *self, cfuti_pool *p, uint32_t epoch,
                                   cfuti_thread **list)
{
    bool stuck;

    cfuti_lock(&p->lock);
    stuck = (p->started == p->max_workers || p->retry_at) && !p->failing &&
            !cfuti_load_relaxed(&p->ended);
    for (size_t i = 0; i < p->high && stuck; i++) {
        cfuti_thread *t = cfuti_load_acquire(&p->workers[i].record);    /* from its start */

        if (p->workers[i].used && !p->workers[i].gone)
            stuck = t && cfuti_graph_reach(self, t, epoch, list);
    }
    cfuti_unlock(&p->lock);
    return stuck;
}

/* Whether f, which is in the hands of a pool, waits in its queue. A canceller
   takes it out under F; as F is taken before the graph's lock, all that we can
   do about that is to let go and look again: busy. */
static bool cfuti_graph_is_queued(const cfut_future *f, bool *busy)
{
    uint32_t s = cfuti_load_acquire(&f->state);     /* acquire: from who let F go */

    if (s & CFUTI_LOCK) *busy = true;
    return !(s & (CFUTI_LOCK | CFUTI_COMPLETING));
}

/* Under the graph lock: whether self, blocked on f, could never go on. *busy:
   ask again. *victim: somebody in the circle who may be told CFUT_DEADLOCK. */
static CFUTI_RARE bool cfuti_graph_stuck(cfuti_thread *self, cfut_future *f,
                                         cfuti_thread **victim, bool *busy)
{
    static uint32_t epoch;          /* under the graph lock */
    cfuti_thread *list = NULL;

    epoch++;
    *busy = false;
    *victim = NULL;
    for (;;) {
        uintptr_t owner = cfuti_load_acquire(&f->owner);    /* acquire: the runner's record; one
                                                               not seen yet is not blocked */
        bool stuck = false;

        if (cfuti_notice_of(f)) stuck = true;           /* self is in a callback of it */
        else if (owner & 1)
            stuck = cfuti_graph_reach(self, cfuti_graph_thread(owner), epoch, &list);
        else if (owner && !(owner & 2) && cfuti_graph_procs(owner))
            stuck = cfuti_graph_reach(self, cfuti_graph_manager(cfuti_graph_procs(owner)), epoch,
                                      &list);
        else if (owner && !(owner & 2) && ((cfut_executor *)owner)->ops == &cfuti_pool_ops)
            stuck = cfuti_graph_is_queued(f, busy) &&
                    cfuti_graph_reach_pool(self, (cfuti_pool *)owner, epoch, &list);
        if (!stuck) return false;
        if (!list) return true;
        f = list->waiting;
        if (!list->sleeping_in->must) *victim = list;
        list = list->next;
    }
}

static const char *cfuti_task_name(const cfut_future *f)
{
    return f->task && f->task->name ? f->task->name : "?";
}

/* Who must go on for a stuck future; of a pool's workers any one. */
static cfuti_thread *cfuti_graph_runner(uintptr_t owner)
{
    cfuti_pool *p = (cfuti_pool *)owner;
    cfuti_thread *t = NULL;

    if (owner & 1) return cfuti_graph_thread(owner);
    if (cfuti_graph_procs(owner)) return cfuti_graph_manager(cfuti_graph_procs(owner));
    for (size_t i = 0; i < p->high && !t; i++)
        t = cfuti_load_acquire(&p->workers[i].record);  /* acquire: from its start */
    return t;
}

/* Under the graph lock, which holds all of them where they are: writes
   "a -> b -> a" into the text of the task that self runs, and waits in. */
static CFUTI_RARE void cfuti_graph_text(cfuti_thread *self, cfut_future *f)
{
    uintptr_t top = self->place->top;
    char *text;
    size_t n, size = CFUTI_TEXT_SIZE;
    int steps = 0;

    if (!top) return;               /* in a callback */
    text = cfuti_text_at(top, CFUT_DEADLOCK);
    n = (size_t)snprintf(text, size, "%s", cfuti_task_name(cfuti_future_at(top)));
    while (n < size && steps++ < 8) {
        uintptr_t owner = cfuti_load_acquire(&f->owner);
        cfuti_thread *t = cfuti_graph_runner(owner);

        n += (size_t)snprintf(text + n, size - n, " -> %s%s", cfuti_task_name(f),
                              owner & 1 ? "" : " (queued)");
        if (n < size && !(owner & 1) && t && t->place->top)
            n += (size_t)snprintf(text + n, size - n, " -> %s",
                                  cfuti_task_name(cfuti_future_at(t->place->top)));
        if (!t || t == self || !t->waiting) break;
        f = t->waiting;
    }
}

/*=========================================================================
    >>executor   what all executors share; inline and failed ones
=========================================================================*/

static int cfuti_inline_submit(cfut_executor *ex, cfut_future *f)
{
    (void)ex;
    cfuti_execute_guarded(cfuti_self(), f);
    return CFUT_OK;
}

static const cfut_executor_ops cfuti_inline_ops = {
    "InlineExecutor", cfuti_inline_submit, NULL, NULL, NULL, NULL, NULL
};
static cfut_executor cfuti_inline = { &cfuti_inline_ops, CFUT_OK };

static int cfuti_failed_submit(cfut_executor *ex, cfut_future *f)
{
    (void)f;
    return ex->status;
}

static size_t cfuti_failed_workers(const cfut_executor *ex)
{
    (void)ex;
    return 0;
}

static const cfut_executor_ops cfuti_failed_ops = {
    "FailedExecutor", cfuti_failed_submit, NULL, NULL, NULL, cfuti_failed_workers,
    cfuti_failed_workers
};

typedef struct cfuti_failed_executor {
    cfut_executor base;
    const char *text;                   /* up to 55 bytes; NULL: the status says it */
} cfuti_failed_executor;

/* What could not be made: one object per reason. */
static cfut_executor *cfuti_failed(int why)
{
    static cfuti_failed_executor failed[] = {
        { { &cfuti_failed_ops, CFUT_INVALID }, NULL },
        { { &cfuti_failed_ops, CFUT_NO_MEMORY }, NULL },
        { { &cfuti_failed_ops, CFUT_CLOSED }, NULL },
        { { &cfuti_failed_ops, CFUT_UNSUPPORTED },
          "process pools are not in this build or system" },
        { { &cfuti_failed_ops, CFUT_NO_THREADS },
          "the pool's helper process could not be started" },
        { { &cfuti_failed_ops, CFUT_NO_THREADS },
          "call cfut_process_main, or make the pool before threads" }
    };
    size_t i = 0;

    if (why == CFUTI_NO_HELPER || why == CFUTI_THREADS_RUN) return &failed[3 + why].base;
    while (failed[i].base.status != why) i++;
    return &failed[i].base;
}

/* Why ex refuses, where it says more than its status; else NULL. */
static CFUTI_NOINLINE const char *cfuti_refusal(const cfut_executor *ex)
{
    if (ex && ex->ops == &cfuti_failed_ops)
        return ((const cfuti_failed_executor *)(const void *)ex)->text;
#if CFUTI_PROCESS
    if (ex && ex->ops == &cfuti_procs_ops && cfuti_load_acquire(&ex->status) == CFUT_BROKEN)
        return cfuti_procs_of(ex)->reason;      /* written before the status */
#endif
    return NULL;
}

/*=========================================================================
    >>waiters   result, wait, as_completed, reclaim
=========================================================================*/

/* A wait is: attach the collector to every future, sleep until enough have
   arrived, detach. In a task without limit of time it first runs what is still
   queued in its own pool; then it sleeps, followed by deadlock detection.

   A wait that must not be left (a join, a reclaim: the memory is in use) cannot
   answer CFUT_DEADLOCK. If it closes a circle, it chooses another one of the
   circle that can, and dooms it: that one wakes and returns CFUT_DEADLOCK. */

static void cfuti_collector_init(cfuti_collector *c, int kind, cfut_future **fs)
{
    memset(c, 0, sizeof *c);
    c->kind = kind;
    c->generation = cfuti_generation;
    c->fs = fs;
    cfuti_ring_init(&c->untried);
    cfuti_ring_init(&c->tried);
}

/* Begun before a fork, in the child: nobody will come, and C may be held. */
static bool cfuti_is_left_behind(const cfuti_collector *c)
{
    return c->generation != cfuti_generation;
}

/* Under C: whether its owner can go on. */
static bool cfuti_collector_ready(const cfuti_collector *c)
{
    if (c->arriving) return false;
    if (!c->pending) return true;
    if (c->kind == CFUTI_ITER) return c->ready != 0;
    return c->when == CFUT_FIRST_COMPLETED && c->done > 0;
}

static cfut_future *cfuti_future_of(const cfuti_collector *c, cfuti_link *l)
{
    return c->block ? CFUTI_OUTER(cfuti_extra, link, l)->future
                    : CFUTI_OUTER(cfut_future, u.before.link, l);
}

/* Under C: ITER: any attached link. */
static cfuti_link *cfuti_any_link(cfuti_collector *c)
{
    cfuti_link *l = cfuti_ring_next(&c->untried);

    return l != &c->untried ? l : cfuti_ring_next(&c->tried);
}

/* Under C: the future without which its owner cannot go on, or NULL if there
   is none in particular. */
static cfut_future *cfuti_collector_target(cfuti_collector *c)
{
    if (!c->pending) return NULL;
    if (c->kind == CFUTI_ITER)
        return c->pending == 1 ? cfuti_future_of(c, cfuti_any_link(c)) : NULL;
    return c->when == CFUT_ALL_COMPLETED || c->pending == 1 ? c->fs[c->done] : NULL;
}

/* Under the graph lock: makes a sleeping thread answer CFUT_DEADLOCK. */
static CFUTI_RARE void cfuti_graph_doom(cfuti_thread *t)
{
    cfuti_graph_text(t, t->waiting);
    t->doomed = true;
    cfuti_store_release(&t->sleeping_in->word, 0u);     /* release: doomed */
    cfuti_wake_word(&t->sleeping_in->word);
}

enum { CFUTI_MAY_SLEEP, CFUTI_MUST_NOT_SLEEP, CFUTI_ASK_AGAIN };

/* Under C, so f is not final, with c->word set: records that the thread is about
   to sleep for f, if it may. */
static int cfuti_graph_enter(cfuti_thread *t, cfuti_collector *c, cfut_future *f)
{
    cfuti_thread *victim;
    bool stuck, busy;

    cfuti_lock(&cfuti_graph_lock);
    t->place = cfuti_place_here();
    stuck = cfuti_graph_stuck(t, f, &victim, &busy);
    if (stuck && !c->must) {
        cfuti_graph_text(t, f);
    } else if (!busy) {
        t->waiting = f;
        t->sleeping_in = c;
        t->doomed = false;
        if (stuck && victim) cfuti_graph_doom(victim);
    }
    cfuti_unlock(&cfuti_graph_lock);
    if (stuck && !c->must) return CFUTI_MUST_NOT_SLEEP;
    return busy ? CFUTI_ASK_AGAIN : CFUTI_MAY_SLEEP;
}

/* Under C, after a wake-up: whether this wait was chosen to break a circle. */
static bool cfuti_graph_doomed(cfuti_thread *t, cfuti_collector *c)
{
    cfuti_thread *victim;
    bool doomed, busy;

    if (!c->target) return false;
    cfuti_lock(&cfuti_graph_lock);
    /* the circle may be broken since */
    doomed = t->doomed && (cfuti_graph_stuck(t, t->waiting, &victim, &busy) || busy);
    t->doomed = false;
    if (doomed) {
        t->waiting = NULL;
        c->target = NULL;
    }
    cfuti_unlock(&cfuti_graph_lock);
    return doomed;
}

/* Under C: prepares to sleep; whether it may. */
static int cfuti_collector_prepare(cfuti_collector *c, cfuti_thread *t, bool follow)
{
    cfut_future *f = follow && !c->target ? cfuti_collector_target(c) : NULL;
    int may = CFUTI_MAY_SLEEP;

    if (c->kind == CFUTI_ITER || c->when == CFUT_FIRST_COMPLETED) c->want = c->ready ? 0 : 1;
    else c->want = c->pending;
    if (!c->pending) c->want = 0;
    if (c->arriving) {              /* what it waits for may be there: look again then */
        c->want = 0;
        f = NULL;
    }
    cfuti_store_relaxed(&c->word, 1u);      /* relaxed: C carries it */
    c->cpu = cfuti_cpu();
    c->shares_cpu = false;
    if (f) may = cfuti_graph_enter(t, c, f);
    if (may != CFUTI_MAY_SLEEP) {
        cfuti_store_relaxed(&c->word, 0u);
    } else if (f) {
        c->target = f;
        c->thread = t;
    }
    return may;
}

/* In a callback of the pool that t manages: t goes on managing, if it may. */
static CFUTI_RARE bool cfuti_manages(const cfuti_thread *t)
{
#if CFUTI_PROCESS
    return t->managing && !cfuti_procs_forked(t->managing);
#else
    (void)t;
    return false;
#endif
}

/* Without C: sleeps until the word is cleared; C again. */
static void cfuti_collector_sleep(cfuti_collector *c, cfuti_thread *t, cfut_ns deadline)
{
    cfuti_unlock(&c->lock);
    /* acquire: doomed; all else is carried by C */
    while (cfuti_load_acquire(&c->word) && !cfuti_expired(deadline) && !cfuti_is_left_behind(c)) {
        if (c->must && cfuti_manages(t)) cfuti_procs_help(t->managing);
        else cfuti_wait_word(&c->word, 1, deadline);
    }
    cfuti_lock(&c->lock);
    t->shares_cpu = c->shares_cpu;
}

static const cfut_task cfuti_waits = { NULL, "wait", 0, 0 };     /* its name in a timeline */

/* Sleeps until c is ready. CFUT_OK, CFUT_TIMEOUT, CFUT_DEADLOCK or CFUT_FORKED. */
static int cfuti_collector_wait(cfuti_collector *c, cfuti_thread *t, cfut_ns deadline)
{
    /* a manager that must wait is not blocked: it goes on */
    bool follow = cfuti_is_working(t) && deadline == CFUT_FOREVER && !(c->must && cfuti_manages(t));
    unsigned round = 0;
    cfut_ns began = cfuti_trace_begin();
    int status = CFUT_OK, may;

    if (cfuti_is_left_behind(c)) return CFUT_FORKED;
    cfuti_lock(&c->lock);
    while (status == CFUT_OK && !cfuti_collector_ready(c)) {
        may = cfuti_collector_prepare(c, t, follow);
        if (may == CFUTI_ASK_AGAIN) {
            cfuti_unlock(&c->lock);
            cfuti_backoff(&round);
            cfuti_lock(&c->lock);
        } else if (may == CFUTI_MUST_NOT_SLEEP) {
            status = CFUT_DEADLOCK;
        } else {
            cfuti_collector_sleep(c, t, deadline);
            if (cfuti_is_left_behind(c)) return CFUT_FORKED;    /* the child of a callback */
            if (cfuti_load_relaxed(&c->word)) status = CFUT_TIMEOUT;
            else if (cfuti_graph_doomed(t, c)) status = CFUT_DEADLOCK;
            cfuti_store_relaxed(&c->word, 0u);
        }
    }
    if (cfuti_collector_ready(c)) status = CFUT_OK;
    if (c->target) cfuti_collector_unfollow(c);     /* something else came */
    cfuti_unlock(&c->lock);
    cfuti_trace_end(CFUTI_WAITS_FOR, (const cfut_future *)NULL, &cfuti_waits, began, 0);
    return status;
}

/* Under F, f attached: unlinks it from c. */
static void cfuti_unlink(cfuti_collector *c, cfut_future *f, uint32_t *s, cfuti_link *l)
{
    if (c->block) cfuti_waiters_remove(f, s, CFUTI_OUTER(cfuti_extra, link, l));
    else *s &= ~(uint32_t)CFUTI_LINK;
}

/* Under C: detaches one future; false: its lock was not to be had. */
static bool cfuti_detach_one(cfuti_collector *c)
{
    size_t i = c->done + c->pending - 1;
    cfuti_link *l = c->kind == CFUTI_ITER ? cfuti_any_link(c) : cfuti_link_at(c, i);
    cfut_future *f = c->kind == CFUTI_ITER ? cfuti_future_of(c, l) : c->fs[i];
    uint32_t s;

    if (!cfuti_future_trylock(f, &s)) return false;
    if (c->kind == CFUTI_ITER) cfuti_ring_remove(l);
    else cfuti_resolve_duplicates(c, l, f, 2);
    cfuti_unlink(c, f, &s, l);
    c->pending--;
    cfuti_future_unlock(f, s);
    return true;
}

/* Afterwards no future leads to c, and no completer is in it. */
static CFUTI_RARE void cfuti_collector_detach(cfuti_collector *c)
{
    unsigned round = 0;

    if (cfuti_is_left_behind(c)) return;
    cfuti_lock(&c->lock);
    while (c->pending || c->arriving) {
        if (c->pending && cfuti_detach_one(c)) continue;
        cfuti_unlock(&c->lock);
        cfuti_backoff(&round);
        cfuti_lock(&c->lock);
    }
    cfuti_unlock(&c->lock);
}

/* ---- running what one waits for ---- */

/* Takes f out of the queue if it is queued in the executor whose task this
   thread runs, or whose queue it is failing: 1, and the caller ends it. 0: it is
   not to be had. -1: its lock is taken, try again (only if hurry, when the caller
   holds a collector). */
static int cfuti_claim(cfuti_thread *t, cfut_future *f, bool hurry)
{
    uintptr_t owner = cfuti_load_relaxed(&f->owner);    /* relaxed: set before f was shared,
                                                           or no longer claimable */
    cfut_executor *ex = (cfut_executor *)owner;
    uint32_t s;
    int taken = 0;

    if (t->worker && owner == (uintptr_t)t->worker->pool) return cfuti_claim_own(t->worker, f);
    if (!owner || (owner & 3) || !ex->ops->cancel) return 0;
    if (ex != cfuti_executor_here(t) && !cfuti_is_failing(t, ex)) return 0;
    if (!hurry) s = cfuti_future_lock(f);
    else if (!cfuti_future_trylock(f, &s)) return -1;
    if (cfuti_is_final(s)) return 0;
    if ((s & CFUTI_STATE) == CFUT_STATE_PENDING && !(s & CFUTI_COMPLETING) &&
        cfuti_load_relaxed(&f->owner) == owner)
        taken = ex->ops->cancel(ex, f);
    cfuti_future_unlock(f, s);
    return taken;
}

/* What it ran has ended the thread. Who has the iterator finds it ended. */
static CFUTI_RARE void cfuti_abandon_wait(const cfuti_collecting *w)
{
    cfuti_collector *c = w->c;

    if (c->kind == CFUTI_ITER) {
        cfut_iter_end(CFUTI_OUTER(cfut_iter, c, c));
    } else {
        cfuti_collector_detach(c);
        if (c->block) CFUT_FREE(c->block);
    }
}

static void cfuti_execute_for(cfuti_collector *c, cfuti_thread *t, cfut_future *f)
{
    cfuti_collecting here = { { NULL, 0, CFUTI_COLLECTING }, c };

    cfuti_duty_begin(t, &here.duty);
    cfuti_execute_taken(t, f);
    cfuti_duty_end(t, &here.duty);
}

/* WAIT: runs, one by one, what is queued, until c is ready. Entries before the
   cursor have been tried; arrivals only move tried ones before it. */
static void cfuti_run_entries(cfuti_collector *c, cfuti_thread *t)
{
    size_t cursor = 0;
    unsigned round = 0;

    for (;;) {
        cfut_future *f = NULL;
        int claim = 0;

        cfuti_lock(&c->lock);
        if (cursor < c->done) cursor = c->done;
        if (!cfuti_collector_ready(c) && cursor < c->done + c->pending) {
            f = c->fs[cursor];
            claim = cfuti_claim(t, f, true);
            if (claim >= 0) cursor++;
        }
        cfuti_unlock(&c->lock);
        if (!f) return;
        if (claim > 0) cfuti_execute_for(c, t, f);
        else if (claim < 0) cfuti_backoff(&round);
    }
}

/* ITER: the same for its ring of untried links. */
static void cfuti_run_links(cfuti_collector *c, cfuti_thread *t)
{
    unsigned round = 0;

    for (;;) {
        cfut_future *f = NULL;
        cfuti_link *l;
        int claim = 0;

        cfuti_lock(&c->lock);
        l = cfuti_ring_next(&c->untried);
        if (!cfuti_collector_ready(c) && l != &c->untried) {
            f = cfuti_future_of(c, l);
            claim = cfuti_claim(t, f, true);
            if (claim >= 0) {
                cfuti_ring_remove(l);
                cfuti_ring_insert(&c->tried, l);
            }
        }
        cfuti_unlock(&c->lock);
        if (!f) return;
        if (claim > 0) cfuti_execute_for(c, t, f);
        else if (claim < 0) cfuti_backoff(&round);
    }
}

/* ---- one future ---- */

static bool cfuti_seen_final(void *f)
{
    /* relaxed: who sees it looks again, with acquire */
    return cfuti_is_final(cfuti_load_relaxed(&((cfut_future *)f)->state));
}

/* Sleeps for one future. Its link is on this stack. kind: RESULT, or WAIT until
   the producer of a cancelled one has acknowledged. */
static CFUTI_NOINLINE int cfuti_block(cfuti_thread *t, cfut_future *f, int kind, cfut_ns deadline,
                                      bool must)
{
    cfuti_extra own;
    cfuti_collector c;
    size_t at = 0;
    uint32_t s;
    int status;

    cfuti_collector_init(&c, kind, &f);
    c.block = &own;
    c.at = &at;
    c.must = must;
    own.link.collector = &c;
    own.link.a = own.link.b = 0;
    s = cfuti_future_lock(f);
    if (cfuti_is_final(s)) return f->status;
    if ((s & CFUTI_STATE) == CFUT_STATE_CANCELLED && kind == CFUTI_RESULT) {
        cfuti_future_unlock(f, s);
        return CFUT_CANCELLED;
    }
    cfuti_waiters_add(f, &s, &own);
    c.pending = 1;
    cfuti_future_unlock(f, s);

    status = cfuti_collector_wait(&c, t, deadline);
    if (status != CFUT_OK) cfuti_collector_detach(&c);
    return c.done ? c.status : status;
}

/* Waits for f, which was not final: as seen first. */
static CFUTI_NOINLINE int cfuti_result_slow(cfut_future *f, cfut_ns timeout, bool must)
{
    cfuti_thread *t = cfuti_self();
    uint32_t s = cfuti_view(f);
    cfut_ns deadline;
    bool spin;

    if (cfuti_is_final(s)) return f->status;
    if ((s & CFUTI_STATE) == CFUT_STATE_FRESH) return CFUT_INVALID_STATE;
    if ((s & CFUTI_STATE) == CFUT_STATE_CANCELLED) return CFUT_CANCELLED;
    if (cfuti_is_foreign(f, s)) return CFUT_FORKED;
    if (timeout <= 0) return CFUT_TIMEOUT;
    if (cfuti_is_working(t) && timeout == CFUT_FOREVER && cfuti_claim(t, f, false) > 0)
        return cfuti_execute_taken(t, f);
    deadline = cfuti_deadline(timeout);
    spin = CFUT_SPIN_NS > 0 && timeout > CFUT_SPIN_NS && !t->woke && !t->shares_cpu;
    t->shares_cpu = false;
    if (t->waits < CFUTI_WAITS) t->waits++;
    if (spin && cfuti_spin_until(cfuti_seen_final, f, 1u << t->waits))
        return cfuti_view(f), f->status;    /* the view acquires */
    return cfuti_block(t, f, CFUTI_RESULT, deadline, must);
}

/* What ran meanwhile has ended the thread. f may lie in its stack. */
static CFUTI_RARE void cfuti_abandon_join(const cfuti_helping *h)
{
    cfuti_result_slow(h->f, CFUT_FOREVER, true);
}

static inline int cfuti_result(cfut_future *f, cfut_ns timeout, bool must)
{
    cfuti_thread *t = cfuti_self();
    uint32_t s;

    if (!CFUTI_VALID(f)) return CFUT_INVALID;
    s = cfuti_load_acquire(&f->state);      /* acquire: status, text and out */
    if (cfuti_is_final(s)) {
        cfuti_prefetch_array(f);
        return f->status;
    }
    if (CFUTI_LIKELY(t->worker && timeout == CFUT_FOREVER && !(s & CFUTI_BARE) &&
                     cfuti_claim_newest(t->worker, f)))
        return cfuti_execute(t, f);
    return cfuti_result_slow(f, timeout, must);
}

CFUTDEF int cfut_result(cfut_future *f)
{
    return cfuti_result(f, CFUT_FOREVER, false);
}

CFUTDEF int cfut_result_timeout(cfut_future *f, cfut_ns timeout)
{
    return cfuti_result(f, timeout, false);
}

/* ---- wait ---- */

enum { CFUTI_ATTACHED, CFUTI_DONE, CFUTI_DUPLICATE, CFUTI_TAKEN };     /* and statuses */

/* Whether c is already attached to f; under F. */
static bool cfuti_is_attached(const cfuti_collector *c, const cfut_future *f, uint32_t s,
                              cfuti_link **l)
{
    cfuti_extra *first = (cfuti_extra *)f->waiters, *e = first;

    *l = (cfuti_link *)(uintptr_t)&f->u.before.link;
    if (!c->block) return (s & CFUTI_LINK) && (*l)->collector == c;
    if (!(s & CFUTI_WAITERS)) return false;
    do {
        *l = &e->link;
        if (e->link.collector == c) return true;
        e = e->next;
    } while (e != first);
    return false;
}

/* Locks f for attaching: 0, or CFUTI_DONE, or a status; then it is not locked. */
static int cfuti_attach_lock(cfut_future *f, uint32_t *s)
{
    *s = cfuti_state_of(f);
    if (cfuti_is_foreign(f, *s)) return CFUT_FORKED;
    if ((*s & CFUTI_COMPLETING) && cfuti_notice_of(f)) return CFUTI_DONE;  /* in its callback */
    *s = cfuti_future_lock(f);
    if (cfuti_is_final(*s)) return CFUTI_DONE;
    return (*s & CFUTI_STATE) == CFUT_STATE_FRESH ? (int)CFUT_INVALID_STATE : (int)CFUTI_ATTACHED;
}

/* Under F: puts a link of c into f. e: c's own, or NULL for the one inside. */
static cfuti_link *cfuti_link_up(cfuti_collector *c, cfut_future *f, uint32_t *s, cfuti_extra *e)
{
    cfuti_link *l = e ? &e->link : &f->u.before.link;

    l->collector = c;
    if (e) cfuti_waiters_add(f, s, e);
    else *s |= CFUTI_LINK;
    return l;
}

/* WAIT: attaches the entry at i = c->done + c->pending. *m is the end of the
   distinct entries; a duplicate goes there. */
static int cfuti_wait_attach(cfuti_collector *c, size_t i, size_t *m)
{
    cfut_future *f = c->fs[i];
    cfuti_link *l;
    uint32_t s;
    int r = cfuti_attach_lock(f, &s);

    if (r) return r;
    if (cfuti_is_attached(c, f, s, &l)) {
        cfuti_lock(&c->lock);
        --*m;
        c->fs[i] = c->fs[*m];
        c->fs[*m] = (cfut_future *)(l->b << 1 | 1);
        l->b = *m + 1;
        cfuti_unlock(&c->lock);
        r = CFUTI_DUPLICATE;
    } else if (!c->block && (s & CFUTI_LINK)) {
        r = CFUTI_TAKEN;
    } else {
        l = cfuti_link_up(c, f, &s, c->block ? &cfuti_extras(c)[c->at[i]] : NULL);
        l->a = i;
        l->b = 0;
        cfuti_lock(&c->lock);
        c->pending++;
        cfuti_unlock(&c->lock);
    }
    cfuti_future_unlock(f, s);
    return r;
}

/* WAIT: the entry at i was done before. */
static void cfuti_wait_was_done(cfuti_collector *c, size_t i)
{
    cfut_future *f = c->fs[i];
    bool failed = f->status && (cfuti_view(f) & CFUTI_STATE) == CFUT_STATE_FINISHED;

    cfuti_lock(&c->lock);
    cfuti_swap_entries(c, i, c->done);
    c->done++;
    if (c->when == CFUT_FIRST_ERROR && failed) c->when = CFUT_FIRST_COMPLETED;
    cfuti_unlock(&c->lock);
}

/* Attaches all. *m: how many are distinct. CFUT_OK, CFUTI_TAKEN or a status. */
static int cfuti_wait_attach_all(cfuti_collector *c, size_t n, size_t *m)
{
    int r = CFUT_OK;

    *m = n;
    for (size_t i = 0; i < *m; ) {
        r = cfuti_wait_attach(c, i, m);
        if (r == CFUTI_DONE) cfuti_wait_was_done(c, i);
        else if (r == CFUTI_TAKEN || r < 0) return r;
        if (r != CFUTI_DUPLICATE) i++;
    }
    return CFUT_OK;
}

/* Detached: moves duplicates of done futures to the done ones. Returns how many
   are done. Touches no future: they may be gone. */
static size_t cfuti_partition(cfut_future **fs, size_t done, size_t m, size_t n)
{
    for (size_t i = m; i < n; i++) {
        uintptr_t x = (uintptr_t)fs[i];

        if (x & 2) {
            fs[i] = (cfut_future *)(x & ~(uintptr_t)2);
        } else {
            fs[i] = fs[done];
            fs[done++] = (cfut_future *)x;
        }
    }
    return done;
}

/* A block of n links, for futures that somebody else waits for, too. */
static CFUTI_RARE bool cfuti_block_alloc(cfuti_collector *c, size_t n)
{
    c->block = cfuti_alloc(cfuti_size(n, sizeof(cfuti_extra) + sizeof(size_t), 0));
    if (!c->block) return false;
    c->at = (size_t *)(void *)((cfuti_extra *)c->block + n);
    for (size_t i = 0; i < n; i++) c->at[i] = i;
    return true;
}

/* Begins a wait; *m as above. */
static int cfuti_wait_begin(cfuti_collector *c, cfut_future **fs, size_t n, int when, size_t *m)
{
    int r;

    cfuti_collector_init(c, CFUTI_WAIT, fs);
    c->when = when;
    r = cfuti_wait_attach_all(c, n, m);
    if (r != CFUTI_TAKEN) return r;

    cfuti_collector_detach(c);
    cfuti_partition(fs, c->done, *m, n);
    cfuti_collector_init(c, CFUTI_WAIT, fs);
    c->when = when;
    *m = n;
    if (!cfuti_block_alloc(c, n)) return CFUT_NO_MEMORY;
    return cfuti_wait_attach_all(c, n, m);
}

static ptrdiff_t cfuti_wait(cfut_future **fs, size_t n, int when, cfut_ns timeout)
{
    cfuti_thread *t = cfuti_self();
    cfuti_collector c;
    cfut_ns deadline = cfuti_deadline(timeout);
    size_t m = n;
    int status = cfuti_wait_begin(&c, fs, n, when, &m);

    if (!status) {
        if (cfuti_is_working(t) && deadline == CFUT_FOREVER) cfuti_run_entries(&c, t);
        status = cfuti_collector_wait(&c, t, deadline);
    }
    cfuti_collector_detach(&c);
    n = cfuti_partition(fs, c.done, m, n);
    if (c.block) CFUT_FREE(c.block);
    return status == CFUT_OK || status == CFUT_TIMEOUT ? (ptrdiff_t)n : status;
}

static bool cfuti_has_null(cfut_future *const *fs, size_t n)
{
    if (n && !fs) return true;
    for (size_t i = 0; i < n; i++)
        if (!fs[i]) return true;
    return false;
}

CFUTDEF ptrdiff_t cfut_wait(cfut_future **fs, size_t n, int when, cfut_ns timeout)
{
    if (!CFUTI_VALID(when >= CFUT_ALL_COMPLETED && when <= CFUT_FIRST_ERROR)) return CFUT_INVALID;
    if (!CFUTI_VALID(n <= PTRDIFF_MAX && !cfuti_has_null(fs, n))) return CFUT_INVALID;
    return n ? cfuti_wait(fs, n, when, timeout) : 0;
}

/* Until f is its owner's; allocates nothing, cannot be left. */
static CFUTI_RARE void cfuti_reclaim_one(cfuti_thread *t, cfut_future *f)
{
    uint32_t s = cfuti_view(f);

    if (cfuti_is_final(s) || (s & CFUTI_STATE) == CFUT_STATE_FRESH || cfuti_is_foreign(f, s))
        return;
    if (cfuti_load_relaxed(&f->owner) == ((uintptr_t)t | 1)) return;    /* we are in its task */
    if (cfuti_is_working(t) && cfuti_claim(t, f, false) > 0) cfuti_execute_taken(t, f);
    else cfuti_block(t, f, CFUTI_WAIT, CFUT_FOREVER, true);
}

CFUTDEF void cfut_reclaim(cfut_future **fs, size_t n)
{
    if (!fs) return;
    for (size_t i = 0; i < n; i++) cfut_cancel(fs[i]);
    for (size_t i = 0; i < n; i++)
        if (fs[i]) cfuti_reclaim_one(cfuti_self(), fs[i]);
}

/* ---- as_completed ---- */

/* ITER: a final future's field next is claimed by the flag LINK; its owner word
   names the iterator. CFUTI_ATTACHED, CFUTI_DUPLICATE or CFUTI_TAKEN. */
static int cfuti_iter_attach_done(cfuti_collector *c, cfut_future *f, uint32_t s)
{
    while (!(s & CFUTI_LINK)) {
        /* acquire: pairs with the release of the iterator that had it before */
        if (!cfuti_cas_acquire(&f->state, &s, s | CFUTI_LINK)) continue;
        cfuti_store_relaxed(&f->owner, (uintptr_t)c | 2);   /* relaxed: only c looks for c */
        cfuti_lock(&c->lock);
        cfuti_ready_append(c, f, NULL);
        cfuti_unlock(&c->lock);
        return CFUTI_ATTACHED;
    }
    return cfuti_load_relaxed(&f->owner) == ((uintptr_t)c | 2) ? CFUTI_DUPLICATE : CFUTI_TAKEN;
}

/* ITER: attaches f by the link inside, or by e. The same answers, or a status. */
static int cfuti_iter_attach(cfuti_collector *c, cfut_future *f, cfuti_extra *e)
{
    cfuti_link *l;
    uint32_t s;
    int r = cfuti_attach_lock(f, &s);

    if (r == CFUTI_DONE && !e && !cfuti_is_final(s)) return CFUTI_TAKEN;
    if (r == CFUTI_DONE && !e) return cfuti_iter_attach_done(c, f, s);
    if (r == CFUTI_DONE) {
        e->future = f;
        cfuti_lock(&c->lock);
        cfuti_ready_append(c, f, &e->link);
        cfuti_unlock(&c->lock);
        return CFUTI_ATTACHED;
    }
    if (r) return r;
    if (!e && (s & CFUTI_LINK)) {
        r = f->u.before.link.collector == c ? CFUTI_DUPLICATE : CFUTI_TAKEN;
    } else {
        l = cfuti_link_up(c, f, &s, e);
        cfuti_lock(&c->lock);
        c->pending++;
        cfuti_ring_insert(&c->untried, l);
        cfuti_unlock(&c->lock);
    }
    cfuti_future_unlock(f, s);
    return r;
}

/* Takes the first of a list of arrived ones. */
static cfut_future *cfuti_pop_ready(const cfuti_collector *c, uintptr_t *list)
{
    cfuti_extra *e = (cfuti_extra *)*list;
    cfut_future *f = (cfut_future *)*list;

    if (c->block) {
        *list = e->link.a;
        return e->future;
    }
    *list = (uintptr_t)f->next;
    cfuti_store_relaxed(&f->owner, (uintptr_t)0);   /* relaxed: c looks for itself no more */
    cfuti_and_release(&f->state, ~(uint32_t)CFUTI_LINK);    /* release: next may be reused */
    return f;
}

/* Ends all that ties futures to it. */
static void cfuti_iter_detach(cfut_iter *it)
{
    cfuti_collector *c = &it->c;

    cfuti_collector_detach(c);
    while (it->mine) cfuti_pop_ready(c, &it->mine);
    while (c->ready) cfuti_pop_ready(c, &c->ready);
    if (c->block) CFUT_FREE(c->block);
    c->block = NULL;
}

static int cfuti_iter_add(cfut_iter *it, cfut_future *f)
{
    int r = cfuti_iter_attach(&it->c, f, NULL);

    if (r == CFUTI_ATTACHED) it->total++;
    return r == CFUTI_DUPLICATE ? CFUTI_ATTACHED : r;
}

static void cfuti_sift(cfut_future **fs, size_t i, size_t n)
{
    for (size_t k; (k = 2 * i + 1) < n; i = k) {
        cfut_future *f = fs[i];

        if (k + 1 < n && (uintptr_t)fs[k] < (uintptr_t)fs[k + 1]) k++;
        if ((uintptr_t)f >= (uintptr_t)fs[k]) return;
        fs[i] = fs[k];
        fs[k] = f;
    }
}

/* Heapsort by address (Williams 1964): qsort may allocate. */
static void cfuti_sort(cfut_future **fs, size_t n)
{
    for (size_t i = n / 2; i-- > 0; ) cfuti_sift(fs, i, n);
    while (n > 1) {
        cfut_future *f = fs[0];

        fs[0] = fs[--n];
        fs[n] = f;
        cfuti_sift(fs, 0, n);
    }
}

/* Somebody else iterates over some of them already: all links in a block.
   Duplicates are found by sorting a copy. */
static CFUTI_RARE int cfuti_iter_begin_block(cfut_iter *it, cfut_future **fs, size_t n)
{
    cfut_future **sorted;
    int r = CFUT_OK;

    cfuti_collector_init(&it->c, CFUTI_ITER, NULL);
    it->total = 0;
    if (!cfuti_block_alloc(&it->c, n)) return CFUT_NO_MEMORY;
    sorted = (cfut_future **)(void *)it->c.at;      /* an iterator needs no positions */
    memcpy(sorted, fs, n * sizeof *fs);
    cfuti_sort(sorted, n);
    for (size_t i = 0; i < n && r >= 0; i++) {
        if (i && sorted[i] == sorted[i - 1]) continue;
        r = cfuti_iter_attach(&it->c, sorted[i], &cfuti_extras(&it->c)[i]);
        it->total++;
    }
    return r < 0 ? r : CFUT_OK;
}

static int cfuti_iter_begin(cfut_iter *it, cfut_future **fs, size_t n)
{
    int r = CFUT_OK;

    for (size_t i = 0; i < n && r == CFUT_OK; i++) r = cfuti_iter_add(it, fs[i]);
    if (r == CFUTI_TAKEN) {
        cfuti_iter_detach(it);
        r = cfuti_iter_begin_block(it, fs, n);
    }
    if (r < 0) cfuti_iter_detach(it);
    return r;
}

CFUTDEF int cfut_as_completed(cfut_iter *it, cfut_future **fs, size_t n, cfut_ns timeout)
{
    if (!CFUTI_VALID(it)) return CFUT_INVALID;
    memset(it, 0, sizeof *it);
    cfuti_collector_init(&it->c, CFUTI_ITER, NULL);
    it->deadline = cfuti_deadline(timeout);
    it->status = CFUTI_VALID(!cfuti_has_null(fs, n)) ? cfuti_iter_begin(it, fs, n) : CFUT_INVALID;
    if (it->status) it->total = 0;
    it->unfinished = it->total;
    return it->status;
}

/* Waits for the list of those to yield; CFUT_OK, or why there is none. */
static int cfuti_iter_wait(cfut_iter *it)
{
    cfuti_thread *t = cfuti_self();
    unsigned round = 0;
    int status;

    if (cfuti_is_left_behind(&it->c)) return CFUT_FORKED;
    if (cfuti_is_working(t) && it->deadline == CFUT_FOREVER) cfuti_run_links(&it->c, t);
    status = cfuti_collector_wait(&it->c, t, it->deadline);
    if (status) return status;
    cfuti_lock(&it->c.lock);
    while (it->c.arriving) {        /* in the list, and not yet final */
        cfuti_unlock(&it->c.lock);
        cfuti_backoff(&round);
        cfuti_lock(&it->c.lock);
    }
    it->mine = it->c.ready;
    it->c.ready = 0;
    cfuti_unlock(&it->c.lock);
    return CFUT_OK;
}

CFUTDEF cfut_future *cfut_next(cfut_iter *it)
{
    cfut_future *f;

    if (!it || it->status || !it->unfinished) return NULL;
    if (!it->mine) {
        int status = cfuti_iter_wait(it);

        if (status) {
            cfut_iter_end(it);
            it->status = status;
            return NULL;
        }
    }
    f = cfuti_pop_ready(&it->c, &it->mine);
    if (--it->unfinished == 0) cfuti_iter_detach(it);
    return f;
}

CFUTDEF void cfut_iter_end(cfut_iter *it)
{
    if (!it || it->c.kind != CFUTI_ITER) return;
    cfuti_iter_detach(it);
    if (it->unfinished && !it->status) it->status = CFUT_END;
}

/*=========================================================================
    >>fork-join   cfut_fork, cfut_join
=========================================================================*/

/* A fork is a push; a join is a pop and a direct call, or a wait for the thief.
   As nobody else may wait for a forked future, a join that runs it publishes
   nothing. owner 0: never pushed, runs at the join.

   BARE FUTURES

   Where forks are inlined and barriers are asymmetric, the calls of CFUT_TASK do
   both in the caller, in some 40 instructions: cfuti_fork, cfuti_join_begin and
   cfuti_join_end in the declarations. They find the thread's deque by cfuti_here.
   For a thread that is no worker, and wherever else they must not (no membarrier,
   ThreadSanitizer, C++ exceptions), that is one without slots, so that the calls
   below do it all: no_deque, whose words mean nothing.
   A fork pushes first and looks afterwards whether there was room, as a branch before
   the stores takes 1 ns of 6. So one slot is kept free for it, and what has filled
   that comes out again.
   What most forks never need is left out. Written at the fork: task, state
   (PENDING with the flag BARE), slot (the index in the deque, not the address), and
   next (the forking task, as in cfuti_place's top). Not written: in, out and owner,
   which follow from the task and the deque. Nor is there a frame when the forker
   runs it. The thread's top is the future then, and what a frame would hold is
     outer      in next, since the fork: so a join does not read what the join
                before has just stored, which took 2 ns each time
     text       in u.text, under the flag TEXT, its code in status
     executor   that of the next frame outwards
     scope      none
   cfuti_dress_as writes what is missing and takes the flag away. Callers:
     a thief, a closing thread        under the deque's lock, when it takes f out
     cfut_join, the worker's loop     having taken f out
     the forker that does something else than to join, f's task that asks for its
     future                           cfuti_dress, under the deque's lock

   INVARIANT: a bare future stands in the deque of its forker's worker, at the
   index slot, or runs on its forker's thread. Nobody reads its other fields.

   WHAT WOULD BREAK IT, AND WHY IT CANNOT
   1. The forker asks for a stolen one that the thief has not dressed yet: it is
      bare, so the forker takes the deque's lock, and the thief has it until then.
   2. A join takes something else for its own: the address in a slot for an index,
      or what was submitted later. It goes on only if bot is slot + 1, and indices
      begin where no address is.
   3. fork(2): the child's deque is full, at indices that no fork knows, and what
      is bare in the child stays so and counts as foreign.
   4. A pool that is closed: such a fork is queued all the same. The forker runs, so
      the pool is not over; and runs f at the join, if the closing thread has not
      cancelled it.

   A BLOCKED JOIN HELPS

   The thief of the oldest fork has the largest part. While its forker slept at the
   join, fib took 0.62 of the time of one worker on two, the thief's part; now half.
   So a join that must wait runs what the thief has forked since (leapfrogging: Wagner
   and Calder, PPoPP 1993). It may: those are part of what it waits for, and would be
   waited for by the thief itself. Nothing else is: what the thief's tasks have
   submitted, or what it had before, may depend on what the waiting task does next.
   Whether x is above f: the tasks of x's forker lead outwards from x's next, by next
   of bare ones and outer of frames, to f or not. They are read under the lock of the
   deque that x stands in, and only while x is shared: so their thread does not get
   past its join of x, which would need that lock, and they stay, as a task joins what
   it has forked before it returns. (Those of a thread that has ended do not stay: what
   it left in its deque is strange.) Only the oldest of the deque is looked at, which
   is the largest, and CFUTI_HELP_DEPTH tasks.
   It looks for CFUT_SPIN_NS, then it sleeps. As x descends from f, the stack needs no
   more than if nothing had been stolen; CFUTI_HELPS bounds what comes on top.
   A task that ends its thread in such a join (pthread_exit): x is completed, then the
   thread waits for f, whose memory it may be, and whose thief may wait for x; see "the
   end of a thread" in >>pool. In a forked child a join helps nobody. */

/* quiet: NULL, or a word: while it is not 0, nobody who is idle is called. */
static inline void cfuti_fork_as(cfut_future *f, const cfut_task *task, const void *in, void *out,
                                 const uint32_t *quiet)
{
    cfuti_thread *t = cfuti_self();
    cfuti_worker *w = t->worker;
    cfut_ns began = cfuti_trace_begin();

    f->task = task;
    f->in = in;
    f->out = out;
    /* relaxed: what others see of f, they see by the push. Not plain: the join loads it as
       an atomic, and the explorer goes without the plain stores that clang 14 leaves out */
    cfuti_store_relaxed(&f->owner, (uintptr_t)0);
    f->slot = CFUTI_UNQUEUED;
    f->state = cfuti_generation | CFUT_STATE_PENDING | CFUTI_FORKED;
    f->next = (cfut_future *)cfuti_top();
    if (!w || !cfuti_top() || cfuti_load_relaxed(&w->pool->refuse_inside)) return;
    cfuti_store_relaxed(&f->owner, (uintptr_t)w->pool);
    if (CFUTI_UNLIKELY(!cfuti_push(w, f))) cfuti_store_relaxed(&f->owner, (uintptr_t)0);
    else if (!quiet || !cfuti_load_light(quiet)) cfuti_pushed(w);
    cfuti_trace_end(CFUTI_SUBMITS, f, task, began, 0);
}

CFUTDEF CFUTI_NOINLINE void cfut_fork(cfut_future *f, const cfut_task *task, const void *in,
                                      void *out)
{
    cfuti_fork_as(f, task, in, out, NULL);
}

/* Runs f, which is pending and known to this thread alone. */
static int cfuti_run_alone(cfuti_thread *t, cfut_future *f)
{
    cfuti_frame frame;
    uint32_t final = cfuti_generation | CFUT_STATE_FINISHED;
    int status;

    frame.executor = cfuti_executor_here(t);
    cfuti_store_release(&f->owner, (uintptr_t)t | 1);   /* release: t; to cfuti_graph_stuck */
    status = cfuti_call_in_frame(f, &frame);
    if (CFUTI_UNLIKELY(f->state & CFUTI_SLOW)) {        /* its forker has added a callback */
        cfuti_complete(f, CFUT_STATE_FINISHED, status,
                       status && frame.code == status ? frame.text : NULL);
        return status;
    }
    f->status = status;
    if (CFUTI_UNLIKELY(status) && frame.code == status) {
        memcpy(f->u.text, frame.text, sizeof f->u.text);
        final |= CFUTI_TEXT;
    }
    f->state = final;
    return status;
}

/* ---- a blocked join helps ---- */

/* Under the lock of x's deque, while x is shared: whether it was forked by a task
   that runs above the task of f, in f's thread. */
static bool cfuti_is_forked_above(const cfut_future *x, const void *f)
{
    uintptr_t top = (uintptr_t)x->next;

    if (!(cfuti_load_relaxed(&x->state) & (CFUTI_BARE | CFUTI_FORKED))) return false;
    for (int i = 0; top && i < CFUTI_HELP_DEPTH; i++) {
        if (cfuti_future_at(top) == f) return true;
        top = cfuti_outside(top);
    }
    return false;
}

/* Steals what fits from the thread runner, or, if that is NULL, from any other. */
static cfut_future *cfuti_help_find(cfuti_worker *w, const cfuti_thread *runner, bool force,
                                    const cfuti_wish *wish)
{
    cfuti_pool *p = w->pool;
    size_t n = cfuti_load_acquire(&p->high);    /* acquire: the workers below it */
    cfut_future *x = NULL;

    for (size_t i = 0; i < n && !x; i++) {
        cfuti_worker *v = &p->workers[i];

        /* relaxed: only compared */
        if (v != w && (!runner || cfuti_load_relaxed(&v->record) == runner))
            x = cfuti_deque_steal_wish(v, force, wish);
    }
    if (x) cfuti_trace_mark(CFUTI_STEALS, x);
    return x;
}

/* Runs x while f is joined. */
static void cfuti_help_with(cfuti_thread *t, cfut_future *x, cfut_future *f)
{
    cfuti_helping here = { { NULL, 0, CFUTI_HELPING }, f };

    cfuti_duty_begin(t, &here.duty);
    cfuti_execute(t, x);
    cfuti_duty_end(t, &here.duty);
}

/* Until f is done, or there has been nothing to do for CFUT_SPIN_NS. */
static CFUTI_NOINLINE void cfuti_help(cfuti_thread *t, cfut_future *f, const cfuti_wish *wish)
{
    bool force = false, counted = false;    /* force: a barrier for all threads, now and then */
    bool may = t->helps < wish->helps;
    cfut_ns since = cfuti_now(), idle = 0;

    t->helps++;
    while (!cfuti_seen_final(f) && !cfuti_pool_is_forked(t->worker->pool)) {
        uintptr_t runner = wish->hungry ? 0 : cfuti_load_relaxed(&f->owner);    /* compared only */
        cfut_future *x = NULL;

        if (may && (wish->hungry || (runner & 1)))
            x = cfuti_help_find(t->worker, (const cfuti_thread *)(runner & ~(uintptr_t)1), force,
                                wish);
        if (!x && force && idle >= CFUT_SPIN_NS) break;
        if (may && wish->hungry && counted != !x)
            cfuti_add_relaxed(wish->hungry, x ? ~0u : 1u);      /* relaxed: a hint */
        counted = may && !x;
        if (x) cfuti_help_with(t, x, f);
        else for (int i = 0; i < 16; i++) cfuti_pause();
        if (x) since = cfuti_now();
        idle = cfuti_now() - since;
        force = idle >= CFUT_SPIN_NS || (!force && idle > CFUT_SPIN_NS / 8);
    }
    if (wish->hungry && counted) cfuti_add_relaxed(wish->hungry, ~0u);
    t->helps--;
    t->woke = true;                 /* it need not spin once more */
}

typedef struct cfuti_alone {
    cfut_future *f;
    int status;
} cfuti_alone;

static void cfuti_alone_run(void *arg)
{
    cfuti_alone *a = (cfuti_alone *)arg;

    a->status = cfuti_run_alone(cfuti_self(), a->f);
}

/* cfuti_run_alone, maybe outside of all tasks: then, on a thread of the program's own,
   nothing else is ready for its end. */
static CFUTI_RARE int cfuti_run_guarded(cfuti_thread *t, cfut_future *f)
{
    cfuti_alone a = { f, CFUT_ABANDONED };

    if (cfuti_top()) return cfuti_run_alone(t, f);
    cfuti_call_user(t, cfuti_alone_run, &a);
    return a.status;
}

/* f is not the newest of its forker's deque. wish: what is run while it is waited for;
   NULL: what is forked above f. */
static CFUTI_NOINLINE int cfuti_join_slow(cfuti_thread *t, cfut_future *f, const cfuti_wish *wish)
{
    cfuti_wish above = { cfuti_is_forked_above, f, NULL, CFUTI_HELPS };
    uintptr_t owner;

    if (cfuti_is_foreign(f, cfuti_state_of(f))) return CFUT_FORKED;
    owner = cfuti_load_relaxed(&f->owner);  /* relaxed: a thief changes it, never to 0 */
    if (!owner && (f->state & CFUTI_STATE) == CFUT_STATE_CANCELLED) {
        cfut_start(f);              /* its forker has cancelled it, as if by hand */
        return CFUT_CANCELLED;
    }
    if (!owner || (t->worker && owner == (uintptr_t)t->worker->pool &&
                   cfuti_unqueue(t->worker->pool, f)))
        return cfuti_run_guarded(t, f);
    if (t->worker) cfuti_help(t, f, wish ? wish : &above);
    return cfuti_result(f, CFUT_FOREVER, true);
}

CFUTDEF CFUTI_NOINLINE int cfut_join(cfut_future *f)
{
    cfuti_thread *t = cfuti_self();

    if (!CFUTI_VALID(f)) return CFUT_INVALID;
    if (CFUTI_LIKELY(t->worker && cfuti_claim_newest(t->worker, f))) {
        cfuti_dress_taken(t->worker, f);
        return cfuti_run_alone(t, f);
    }
    return cfuti_join_slow(t, f, NULL);
}

#if CFUTI_INLINE
/* f has been pushed, and somebody may be idle, or bot has come to room. false: it was
   full before, and f has come out again; or nothing was pushed, for lack of a deque. */
CFUTDEF bool cfuti_fork_slow(cfut_future *f)
{
    cfuti_worker *w = cfuti_self()->worker;

    if (cfuti_place_here()->deque->mask == 0) return false;
    cfuti_has_room(w);
    if (w->deque.bot - cfuti_load_relaxed(&w->top) > w->deque.mask && cfuti_claim_newest(w, f))
        return false;
    cfuti_pushed(w);
    return true;
}

/* f was the newest, and bot has been lowered to it; but it is shared. Whether it
   still was there. */
CFUTDEF bool cfuti_join_shared(cfut_future *f)
{
    if (!cfuti_pop_shared(cfuti_self()->worker, f)) return false;
    cfuti_place_here()->top = (uintptr_t)f | 1;
    return true;
}

CFUTDEF int cfuti_join_failed(cfut_future *f, int status)
{
    uint32_t keep = f->state & (CFUTI_GENERATION | CFUTI_TEXT);

    if (status == CFUT_TIMEOUT) status = ETIMEDOUT;
    if (f->status != status) keep &= CFUTI_GENERATION;
    f->status = status;
    f->state = keep | CFUT_STATE_FINISHED;
    return status;
}
#endif

/*=========================================================================
    >>map   cfut_map
=========================================================================*/

/* In a worker of the pool: lazy binary splitting (Tzannes, Caragea, Barua,
   Vishkin, PPoPP 2010). A worker runs its range item by item; when its deque is
   empty and somebody is idle it forks the upper half, and so on. So a range is
   split only as often as somebody wants a part, and the dear items are found
   wherever they are. But what a worker has not forked nobody can take while it
   is in an item. Hence it begins by forking down to a few items, and goes on
   so, down to one, while items take long; the price of a fork is then nothing. As
   far as items prove to be short, many run between two looks whether somebody is
   hungry, in a loop that the compiler has made with the task's function in it; but never
   more than half of a worker's part, since those to come may be dear.
   A half that nobody has taken when its turn comes is simply run on with; a join of
   one that is taken helps, with any part of the same map, and is hungry meanwhile. Once
   it sleeps it is out of the map until that half is done.
   From outside, the whole range is one task of the pool. A tiny map is over before
   a second worker is awake, which costs more than it: so it begins quietly, and
   calls nobody; what it forks, all but the next step each time, it is itself the one
   to take back. (From wherever that lies, as items may have left tasks above it: to run
   it as one more task would nest a level of the stack for each step.) Its caller, who
   has nothing to do but to wait, sees to it that more come: one at once if it had to
   wake the first, and all that there is something for if the map is not over after
   CFUTI_QUIET_NS. 1000 square roots took 29 us with two workers, 15 times as long as a
   plain loop, before; now 3.8. Without the caller's calls each worker would be woken by
   the one before: with 16 of them and 27 us each a million square roots were over, in
   530 us, when the last ones came.
   Who is hungry is given what lies in the deque before more is forked: pieces forked
   while nobody was idle are private, and of 16 workers ten looked in vain for them. And
   no part is forked that is over in one step: it costs its thief more, and its forker
   may have to sleep for it.
   For other executors, and when a caller from outside takes part: one task a worker, and
   each has a share of the items, from which it takes as many as run at its pace; when that
   is empty, from the others'. So who does not come holds up nothing, and who is in a dear
   item at most what it took with it: a quarter of a share, if those before were short, or
   a chunk.
   (From one counter for all, in chunks of a sixty-fourth, 1000 square roots by two threads
   took 8 us, as each chunk had the counter and the results' lines come from the other
   processor; now 2.6, and a plain loop 2.0.) */

typedef struct cfuti_map_state {
    cfuti_scope scope;
    const cfut_task *task;
    cfuti_batch_fn batch;           /* NULL: items are called one by one */
    const char *in;
    char *out;
    size_t n, grain;
    int *status;
    cfuti_pool *pool;               /* whose workers may split; or NULL */
    size_t most;                    /* items between two looks around */
    struct cfuti_piece *share;      /* who takes chunks, if it is not split: see cfuti_shares */
    size_t shares;
    uint32_t timed_out;             /* atomic */
    uint32_t quiet;                 /* the caller has called nobody yet; atomic */
    uint32_t hungry;                /* joins that could help, and have found nothing; atomic */
    uint32_t generation;            /* of forks */
    uint32_t lock;                  /* guards the rest */
    size_t first;                   /* the lowest failed index */
    int code;
} cfuti_map_state;

typedef struct cfuti_piece {
    cfuti_map_state *map;
    size_t lo, hi;                  /* a share's lo is atomic: all that is before it is taken */
    bool ran;                       /* else it was cancelled or refused */
    cfut_future f;                  /* whose in is the piece */
} cfuti_piece;

/* A range that runs on this thread, on the stack of cfuti_map_range. */
typedef struct cfuti_range {
    cfuti_duty duty;
    cfuti_map_state *map;
    size_t at, hi;                  /* at is behind the item that runs */
    size_t batch;                   /* where the batch that runs began; else SIZE_MAX */
    cfuti_piece *upper;             /* forked and not yet joined */
} cfuti_range;

/* The pace of a range is how many items run between two looks around. It grows
   while that many take less than CFUTI_QUICK_NS, and shrinks when they take more
   than CFUTI_SLOW_NS. */
enum {
    CFUTI_UNKNOWN = 0,              /* pace: run one item, to know */
    CFUTI_DEAR = 1,                 /* pace: an item is worth a fork */
    CFUTI_BRISK = 16,               /* most, to begin with, when the first item was short */
    CFUTI_PACE_MAX = 1024,
    CFUTI_QUICK_NS = 1000,
    CFUTI_SLOW_NS = 4000,
    CFUTI_DEAR_NS = 2000,           /* an item that is worth a fork */
    CFUTI_QUIET_NS = 20000          /* and a map that is worth a wake call */
};

static void cfuti_map_note(cfuti_map_state *m, size_t i, int status)
{
    if (m->status) m->status[i] = status;
    if (!status) return;
    if (CFUTI_UNLIKELY(m->generation != cfuti_generation)) {
        m->generation = cfuti_generation;       /* a child, and who held it is not in it */
        cfuti_store_relaxed(&m->lock, 0u);
    }
    cfuti_lock(&m->lock);
    if (i < m->first) {
        m->first = i;
        m->code = status;
    }
    cfuti_unlock(&m->lock);
}

/* A range that will not run. */
static void cfuti_map_skip(cfuti_map_state *m, size_t lo, size_t hi, int status)
{
    if (lo < hi) cfuti_map_note(m, lo, status);
    if (!m->status) return;
    for (; lo < hi; lo++) m->status[lo] = status;
}

/* Why the pool lets no more items begin, or 0. What runs is not asked to stop then. */
static int cfuti_map_refused(const cfuti_map_state *m)
{
    /* relaxed: nothing else travels */
    int status = m->pool ? cfuti_load_relaxed(&m->pool->refuse_inside) : CFUT_OK;

    return status == CFUT_FORKED ? CFUT_OK : status;    /* the child's one thread goes on */
}

static bool cfuti_map_stopped(cfuti_map_state *m)
{
    /* relaxed: nothing else travels */
    if (cfuti_load_relaxed(&m->scope.stop) || cfuti_map_refused(m)) return true;
    if (!cfuti_expired(m->scope.deadline)) return false;
    cfuti_store_relaxed(&m->timed_out, 1u);
    cfuti_store_relaxed(&m->scope.stop, 1u);
    return true;
}

static size_t cfuti_map_range(cfuti_map_state *m, size_t lo, size_t hi, size_t pace, cfut_ns *now);

/* Of its items nothing is known. */
static void cfuti_map_piece(cfuti_map_state *m, size_t lo, size_t hi)
{
    cfut_ns now = 0;

    cfuti_map_range(m, lo, hi, CFUTI_UNKNOWN, &now);
}

static cfuti_piece *cfuti_piece_in(const void *in)
{
    return (cfuti_piece *)(uintptr_t)in;
}

static int cfuti_piece_fn(const void *in, void *out)
{
    cfuti_piece *p = cfuti_piece_in(in);

    (void)out;
    p->ran = true;
    cfuti_map_piece(p->map, p->lo, p->hi);
    return CFUT_OK;
}

static const cfut_task cfuti_piece_task = {
    cfuti_piece_fn, "map", 0, 0
};

static void cfuti_piece_init(cfuti_piece *p, cfuti_map_state *m, size_t lo, size_t hi)
{
    p->map = m;
    p->lo = lo;
    p->hi = hi;
    p->ran = false;
}

/* Runs a piece in the caller, by a task that takes one. */
static void cfuti_piece_run(cfuti_piece *p, const cfut_task *task)
{
    p->f.task = task;
    p->f.in = p;
    p->f.state = cfuti_generation | CFUT_STATE_PENDING;
    cfuti_run_alone(cfuti_self(), &p->f);
}

static bool cfuti_is_piece_of(const cfut_future *x, const void *map)
{
    return x->task == &cfuti_piece_task && cfuti_piece_in(x->in)->map == map;
}

/* Joins a piece that was taken, and helps the map meanwhile: all of it must be done
   anyway, and no item waits here. A part of it may be as deep as the whole: few of them,
   one within the other, for the sake of the stack. */
static void cfuti_map_join_upper(cfuti_piece *p)
{
    cfuti_wish wish = { cfuti_is_piece_of, p->map, &p->map->hungry, CFUTI_MAP_HELPS };
    int status = cfuti_join_slow(cfuti_self(), &p->f, &wish);

    if (!p->ran || status == CFUT_FORKED) cfuti_map_skip(p->map, p->lo, p->hi, status);
}

/* How many chunks n items are; n is not 0. */
static size_t cfuti_map_chunks(const cfuti_map_state *m, size_t n)
{
    return (n - 1) / m->grain + 1;
}

/* How many items run at that pace: whole chunks, as a range may be split behind them. */
static size_t cfuti_map_step_size(const cfuti_map_state *m, size_t pace)
{
    return pace > m->grain ? pace / m->grain * m->grain : m->grain;
}

/* So many at most run between two looks, that part of all, as those to come may be dear
   though the first ones were not. */
static size_t cfuti_map_most(const cfuti_map_state *m, size_t part)
{
    size_t most = m->n / part + 1;

    return most < CFUTI_PACE_MAX ? most : (size_t)CFUTI_PACE_MAX;
}

/* So few of all items may wait for one that is not known yet. */
static size_t cfuti_map_few(const cfuti_map_state *m, size_t workers)
{
    return m->n / (64 * workers) + 1;
}

/* The pace after one item that ran alone and took that long: few of all that there are,
   as the next one may be dear. */
static size_t cfuti_map_first_pace(const cfuti_map_state *m, size_t pace, cfut_ns took)
{
    size_t few = m->pool ? cfuti_map_few(m, m->pool->max_workers) : (size_t)CFUTI_BRISK;

    if (took >= CFUTI_DEAR_NS) return CFUTI_DEAR;
    if (few > CFUTI_BRISK) return CFUTI_BRISK;
    if (pace == CFUTI_DEAR && few < 4) few = 4;
    return few < m->most ? few : m->most;
}

/* Whether nobody has taken upper, which w has forked: then it is not queued any more. It is
   not the newest there if items have left tasks of their own. */
static bool cfuti_map_claim_upper(cfuti_worker *w, cfut_future *upper)
{
    /* relaxed: 0 if it was refused; a thief changes it, never to 0 */
    uintptr_t owner = cfuti_load_relaxed(&upper->owner);

    return !owner || (owner == (uintptr_t)w->pool && cfuti_claim_own(w, upper));
}

/* Forks the upper half of r, at a multiple of the grain, and runs the lower; of a quiet
   map, which most often nobody splits, all but the next step. If nobody has taken the
   upper one meanwhile, it is what is left of r: run as a task, one would nest in the other. */
static size_t cfuti_map_split(cfuti_range *r, cfuti_worker *w, size_t pace, cfut_ns *now)
{
    cfuti_map_state *m = r->map;
    size_t chunks = cfuti_map_chunks(m, r->hi - r->at), lo = r->at;
    size_t step = cfuti_map_step_size(m, pace);
    cfuti_piece upper;

    if (!cfuti_load_relaxed(&m->quiet)) {           /* relaxed: a hint */
        step = chunks / 2 * m->grain;
        *now = 0;                   /* a fork may have to wake a worker: no item's time */
    }
    cfuti_piece_init(&upper, m, lo + step, r->hi);
    cfuti_fork_as(&upper.f, &cfuti_piece_task, &upper, NULL, &m->quiet);
    if (cfuti_load_relaxed(&m->hungry)) cfuti_share(w);     /* relaxed: a hint */
    r->upper = &upper;
    r->at = r->hi = upper.lo;
    pace = cfuti_map_range(m, lo, upper.lo, pace, now);
    if (cfuti_map_claim_upper(w, &upper.f)) {
        cfuti_trace_mark(CFUTI_MERGES, &upper.f);
        r->hi = upper.hi;
    } else {
        cfuti_map_join_upper(&upper);
        *now = 0;
    }
    r->upper = NULL;
    return pace;
}

/* Runs the items up to end, or until the map is stopped, in the frame of r's task:
   one by one. */
static void cfuti_map_singly(cfuti_range *r, size_t end, cfuti_frame *frame)
{
    cfuti_map_state *m = r->map;
    const cfut_task task = *m->task;
    size_t in_step = m->in ? task.in_size : 0, out_step = m->out ? task.out_size : 0;
    const char *in = m->in ? m->in + r->at * in_step : NULL;
    char *out = m->out ? m->out + r->at * out_step : NULL;
    bool timed = m->scope.deadline != CFUT_FOREVER;

    /* relaxed: nothing else travels */
    while (r->at < end && !(timed ? cfuti_map_stopped(m) : cfuti_load_relaxed(&m->scope.stop))) {
        size_t i = r->at++;
        int status = cfuti_call(&task, in, out, frame, cfuti_top());

        if (CFUTI_UNLIKELY(status || m->status))
            cfuti_map_note(m, i, status == CFUT_TIMEOUT ? ETIMEDOUT : status);
        if (in_step) in += in_step;
        if (out_step) out += out_step;
    }
}

/* The same, if no look at the clock is due between them: by the task's own loop. */
static void cfuti_map_batch(cfuti_range *r, size_t end)
{
    cfuti_map_state *m = r->map;
    const cfut_task *task = m->task;

    while (r->at < end && !cfuti_load_relaxed(&m->scope.stop)) {    /* relaxed: as above */
        size_t first = r->at, i = first, last;
        int status;

        r->batch = first;
        last = first - 1 + m->batch(m->in ? m->in + first * task->in_size : NULL,
                                       m->out ? m->out + first * task->out_size : NULL,
                                       end - first, &r->at, &status);
        r->batch = SIZE_MAX;
        for (; m->status && i < last; i++) m->status[i] = CFUT_OK;
        if (CFUTI_UNLIKELY(status || m->status))
            cfuti_map_note(m, last, status == CFUT_TIMEOUT ? ETIMEDOUT : status);
    }
}

/* Runs some of r at its pace; returns the next one. *now: of the last look at the clock, or 0. */
static size_t cfuti_map_step(cfuti_range *r, cfuti_frame *frame, size_t pace, cfut_ns *now)
{
    cfuti_map_state *m = r->map;
    size_t n = cfuti_map_step_size(m, pace);
    cfut_ns began = *now ? *now : cfuti_now(), traced = cfuti_trace_begin(), took;
    size_t first = r->at, end;

    if (n > r->hi - r->at) n = r->hi - r->at;
    end = r->at + n;
    if (CFUTI_EXCEPTIONS || !m->batch || m->scope.deadline != CFUT_FOREVER)
        cfuti_map_singly(r, end, frame);
    else
        cfuti_map_batch(r, end);
    cfuti_trace_end(CFUTI_ITEMS, (const cfut_future *)NULL, m->task, traced, r->at - first);
    *now = cfuti_now();
    took = *now - began;
    if (pace <= CFUTI_DEAR) return cfuti_map_first_pace(m, pace, took);
    if (took >= CFUTI_SLOW_NS) return pace / 4 + 1;
    if (took >= CFUTI_QUICK_NS) return pace;
    return pace < m->most / 4 ? pace * 4 : m->most;
}

/* Whether somebody is idle and this worker has nothing else to give: what it has queued is
   given first. */
static bool cfuti_hungry(const cfuti_map_state *m, cfuti_worker *w)
{
    size_t top;

    /* relaxed: hints; a miss costs an item's time */
    if (!cfuti_load_relaxed(&w->pool->hint) && !cfuti_load_relaxed(&m->hungry)) return false;
    top = cfuti_load_relaxed(&w->top);
    if (w->deque.bot == top) return true;
    if (cfuti_load_relaxed(&w->deque.lim) == top) cfuti_share(w);
    return false;
}

/* Whether to fork a part of r, which w runs. Of items not known yet there is one in the
   way of so many: they wait for it at most once. */
static bool cfuti_map_splits(const cfuti_range *r, cfuti_worker *w, size_t pace)
{
    const cfuti_map_state *m = r->map;
    size_t left = r->hi - r->at;
    bool quiet = cfuti_load_relaxed(&m->quiet);     /* relaxed: a hint */

    if (left <= m->grain) return false;
    if (quiet) return left > cfuti_map_step_size(m, pace);
    if (pace == CFUTI_UNKNOWN) return left >= cfuti_map_few(m, m->pool->max_workers);
    if (pace == CFUTI_DEAR) return true;
    return left > cfuti_map_step_size(m, pace) && cfuti_hungry(m, w);
}

/* Runs [lo, hi) on this thread, at first at that pace; returns the last. *now as above. */
static size_t cfuti_map_range(cfuti_map_state *m, size_t lo, size_t hi, size_t pace, cfut_ns *now)
{
    cfuti_thread *t = cfuti_self();
    cfuti_frame *frame = (cfuti_frame *)cfuti_top();
    cfuti_worker *w = m->pool && m->pool->max_workers > 1 ? cfuti_worker_of(t, m->pool) : NULL;
    const cfuti_scope *outer = frame->scope;
    cfuti_range r = { { NULL, 0, CFUTI_MAPPING }, m, lo, hi, SIZE_MAX, NULL };
    int refused;

    cfuti_duty_begin(t, &r.duty);
    frame->scope = &m->scope;
    while (r.at < r.hi && !cfuti_map_stopped(m)) {
        if (w && cfuti_map_splits(&r, w, pace)) pace = cfuti_map_split(&r, w, pace, now);
        else pace = cfuti_map_step(&r, frame, pace, now);
    }
    refused = cfuti_map_refused(m);
    cfuti_map_skip(m, r.at, r.hi, refused == CFUT_BROKEN ? CFUT_BROKEN : CFUT_CANCELLED);
    frame->scope = outer;
    cfuti_duty_end(t, &r.duty);
    return pace;
}

/* An item has ended its thread: the rest of its range ends with it, and what was
   forked there must not outlive its stack. */
static CFUTI_RARE void cfuti_abandon_range(const cfuti_thread *t, cfuti_duty *d)
{
    const cfuti_range *r = CFUTI_OUTER(cfuti_range, duty, d);
    cfuti_piece *p = r->upper;
    uintptr_t owner;

    for (size_t i = r->batch; r->map->status && i < r->at - 1; i++)
        r->map->status[i] = CFUT_OK;    /* what came before it in its batch */
    if (!p) {
        cfuti_map_skip(r->map, r->at - 1, r->hi, CFUT_ABANDONED);
        return;
    }
    owner = cfuti_load_relaxed(&p->f.owner);    /* relaxed: a thief's, or our own */
    if (owner == ((uintptr_t)t | 1)) return;    /* joined: it ran here */
    if (owner && !cfuti_unqueue(r->map->pool, &p->f)) cfuti_result(&p->f, CFUT_FOREVER, true);
    if (!p->ran) cfuti_map_skip(p->map, p->lo, p->hi, CFUT_ABANDONED);
}

/* Takes what comes next of a share, if there is more: as much as runs at that pace. */
static bool cfuti_share_take(cfuti_piece *share, size_t pace, size_t *lo, size_t *hi)
{
    size_t n = cfuti_map_step_size(share->map, pace);

    /* relaxed: the items are ready before, their results travel by completion. The first
       look keeps lo within a step for each who takes part */
    if (cfuti_load_relaxed(&share->lo) >= share->hi) return false;
    *lo = cfuti_add_relaxed(&share->lo, n);
    if (*lo >= share->hi) return false;
    *hi = share->hi - *lo > n ? *lo + n : share->hi;
    return true;
}

/* Runs its own items, then those of the others. */
static int cfuti_share_fn(const void *in, void *out)
{
    cfuti_piece *p = cfuti_piece_in(in);
    cfuti_map_state *m = p->map;
    size_t at = (size_t)(p - m->share), pace = CFUTI_UNKNOWN, lo, hi;
    cfut_ns now = 0;

    (void)out;
    p->ran = true;
    for (size_t i = 0; i < m->shares; i++) {
        while (!cfuti_map_stopped(m) && cfuti_share_take(&m->share[at], pace, &lo, &hi))
            pace = cfuti_map_range(m, lo, hi, pace, &now);
        if (++at == m->shares) at = 0;
    }
    return CFUT_OK;
}

static const cfut_task cfuti_share_task = {
    cfuti_share_fn, "map", 0, 0
};

/* Waits for a piece; on the map's timeout stops all, and waits on. In a circle of tasks
   that wait for each other it takes the piece back, or waits on if it has begun. */
static int cfuti_map_join(cfuti_map_state *m, cfuti_piece *p)
{
    cfut_ns left = m->scope.deadline;
    int status = CFUT_TIMEOUT;

    if (left != CFUT_FOREVER) {
        left -= cfuti_now();
        status = cfuti_result(&p->f, left, true);
        if (status != CFUT_TIMEOUT) return status;
        cfuti_store_relaxed(&m->timed_out, 1u);
        cfuti_store_relaxed(&m->scope.stop, 1u);
        if (cfut_cancel(&p->f)) return CFUT_CANCELLED;
    } else if (!cfuti_manages(cfuti_self())) {
        status = cfuti_result(&p->f, CFUT_FOREVER, false);
        if (status != CFUT_DEADLOCK || cfut_cancel(&p->f)) return status;
    }
    return cfuti_result(&p->f, CFUT_FOREVER, true);
}

enum { CFUTI_SHARES = 16, CFUTI_SHARES_MAX = 1024 };    /* for more than 16 a map allocates */

typedef struct cfuti_shares {
    cfuti_duty duty;
    cfuti_map_state *map;
    cfut_executor *ex;
    bool caller_runs;               /* the first share, which is not submitted */
    size_t n;                       /* how many have been submitted, or run here */
    int status;                     /* of what none has taken */
    cfuti_piece few[CFUTI_SHARES];
} cfuti_shares;

/* Deals all items out to that many, or one; to fewer if there are fewer chunks, or no
   memory. */
static void cfuti_shares_deal(cfuti_shares *s, size_t n)
{
    cfuti_map_state *m = s->map;
    size_t chunks = cfuti_map_chunks(m, m->n), at = 0;

    n = n > chunks ? chunks : n > 0 ? n : 1;
    m->share = s->few;
    if (n > CFUTI_SHARES) {
        m->share = (cfuti_piece *)cfuti_alloc(cfuti_size(n, sizeof *m->share, 0));
        if (!m->share) {
            m->share = s->few;
            n = CFUTI_SHARES;
        }
    }
    m->shares = n;
    m->most = cfuti_map_most(m, 4 * n);
    for (size_t i = 0; i < n; i++) {
        size_t next = at + chunks / n + (i < chunks % n);

        cfuti_piece_init(&m->share[i], m, at * m->grain, next < chunks ? next * m->grain : m->n);
        at = next;
    }
}

static void cfuti_shares_submit(cfuti_shares *s)
{
    while (s->n < s->map->shares) {
        cfuti_piece *p = &s->map->share[s->n++];

        cfut_submit(s->ex, &p->f, &cfuti_share_task, p, NULL);
    }
}

static void cfuti_shares_cancel(cfuti_shares *s)
{
    for (size_t i = s->caller_runs; i < s->n; i++) cfut_cancel(&s->map->share[i].f);
}

static void cfuti_shares_join(cfuti_shares *s)
{
    cfuti_map_state *m = s->map;

    for (size_t i = s->caller_runs; i < s->n; i++) {
        int status = cfuti_map_join(m, &m->share[i]);

        if (!m->share[i].ran) s->status = status;
        if (status == CFUT_FORKED) m->code = status;    /* which items it has is not known */
    }
    if (m->scope.stop) s->status = CFUT_CANCELLED;
    for (size_t i = 0; i < m->shares; i++)              /* what none has taken */
        cfuti_map_skip(m, m->share[i].lo, m->share[i].hi, s->status);
    if (m->share != s->few) CFUT_FREE(m->share);
}

/* If the caller takes part, what has not started then need not. */
static void cfuti_shares_run(void *arg)
{
    cfuti_shares *s = (cfuti_shares *)arg;
    cfuti_thread *t = cfuti_self();

    cfuti_duty_begin(t, &s->duty);
    cfuti_shares_submit(s);
    if (s->caller_runs) {
        cfuti_piece_run(&s->map->share[0], &cfuti_share_task);
        cfuti_shares_cancel(s);
    }
    cfuti_shares_join(s);
    cfuti_duty_end(t, &s->duty);
}

/* An item or a task has ended the thread: the caller's own share, or what an executor ran
   within submit, or what ran within a wait. No share may outlive its stack. */
static CFUTI_RARE void cfuti_abandon_shares(cfuti_duty *d)
{
    cfuti_shares *s = CFUTI_OUTER(cfuti_shares, duty, d);

    cfuti_store_relaxed(&s->map->scope.stop, 1u);       /* relaxed: nothing else travels */
    cfuti_shares_cancel(s);
    cfuti_shares_join(s);
}

/* The map by shares; the caller takes part if it may. */
static CFUTI_RARE void cfuti_map_shared(cfuti_map_state *m, cfut_executor *ex, bool caller_runs)
{
    cfuti_shares s;
    size_t k = cfut_executor_max_workers(ex);

    s.map = m;
    s.ex = ex;
    s.caller_runs = caller_runs;
    s.n = caller_runs;
    s.status = CFUT_CANCELLED;
    s.duty.kind = CFUTI_SHARING;
    cfuti_shares_deal(&s, k < CFUTI_SHARES_MAX ? k + caller_runs : (size_t)CFUTI_SHARES_MAX);
    cfuti_call_user(cfuti_self(), cfuti_shares_run, &s);
}

/* How long a map may be quiet: as long as its caller spins, within its limit. */
static cfut_ns cfuti_map_quiet_ns(const cfuti_map_state *m)
{
    cfut_ns ns = CFUT_SPIN_NS < CFUTI_QUIET_NS ? CFUT_SPIN_NS : (cfut_ns)CFUTI_QUIET_NS;

    if (m->scope.deadline != CFUT_FOREVER) {
        cfut_ns left = m->scope.deadline - cfuti_now();

        if (left < ns) ns = left;
    }
    return ns + 1;
}

/* How many workers the map has something for. */
static size_t cfuti_map_wants(const cfuti_map_state *m)
{
    size_t chunks = cfuti_map_chunks(m, m->n);

    return chunks < m->pool->max_workers ? chunks : m->pool->max_workers;
}

/* The map as one task of a thread pool, split by its workers. */
static void cfuti_map_pool(cfuti_map_state *m, cfut_executor *ex)
{
    cfuti_piece root;
    cfuti_thread *t = cfuti_self();
    bool quiet = m->n > m->grain && m->pool->max_workers > 1;
    int status = CFUT_TIMEOUT;

    cfuti_piece_init(&root, m, 0, m->n);
    m->quiet = quiet;
    cfut_submit(ex, &root.f, &cfuti_piece_task, &root, NULL);
    /* if it is done, it may have been refused: then woke is of an earlier submit */
    if (quiet) status = cfuti_result(&root.f, t->woke ? 0 : cfuti_map_quiet_ns(m), true);
    if (quiet && status == CFUT_TIMEOUT) {
        size_t n = cfuti_map_wants(m);

        cfuti_exchange_seq_cst(&m->quiet, 0u);  /* seq_cst: see QUIET PUSHES in >>sleep */
        cfuti_heavy();
        cfuti_call_more(m->pool, true);
        /* two are called; others, if it is not over soon */
        if (n > 2 && t->woke) cfuti_result(&root.f, cfuti_map_quiet_ns(m), true);
        t->woke = true;             /* no need to spin again */
        for (; n > 2 && !cfuti_seen_final(&root.f); n--)
            if (!cfuti_call_more(m->pool, false)) break;
    }
    status = cfuti_map_join(m, &root);
    if (!root.ran) cfuti_map_skip(m, 0, m->n, status);
}

/* In a task that runs bare: it needs a frame now. */
static CFUTI_RARE void cfuti_map_in_bare(cfuti_map_state *m)
{
    cfuti_place *here = cfuti_place_here();
    cfuti_frame frame;

    frame.future = cfuti_future_at(here->top);
    frame.executor = &m->pool->base;
    frame.outer = here->top;
    frame.scope = NULL;
    frame.code = 0;
    here->top = (uintptr_t)&frame;
    cfuti_map_piece(m, 0, m->n);
    here->top = frame.outer;
    if (frame.code) memcpy(cfuti_text_at(here->top, frame.code), frame.text, sizeof frame.text);
}

/* ---- on a process pool ---- */

#if CFUTI_PROCESS

/* Items travel in parcels, each one task of the pool. Up to CFUTI_WINDOW are under
   way; when one is done, the next begins. Unless chunksize says so, chunks begin
   with one item and grow until one takes half a millisecond, so dear items are not
   hidden in a large one, and cheap ones cost little more than their copies.
   A death costs the item that ran: those before it are in already, those behind it
   become a chunk of their own. */

enum { CFUTI_WINDOW = 64, CFUTI_PARCEL_BYTES = 1 << 20, CFUTI_PARCEL_NS = 500000 };

typedef struct cfuti_window {
    cfuti_map_state *map;
    cfut_executor *ex;
    size_t n, workers;
    size_t next;                    /* the next item to hand out */
    size_t most;                    /* items of a chunk, for their bytes */
    size_t size;                    /* of the next chunk */
    cfut_iter it;
    cfuti_parcel parcel[CFUTI_WINDOW];
} cfuti_window;

static void cfuti_parcel_submit(cfuti_window *w, cfuti_parcel *k, size_t lo, size_t n)
{
    cfuti_map_state *m = w->map;
    cfuti_thread *t = cfuti_self();

    k->lo = lo;
    k->n = k->failed = n;
    k->done = 0;
    k->took = 0;
    k->status = m->status ? m->status + lo : NULL;
    k->busy = true;
    t->parcel = &k->f;
    cfut_submit(w->ex, &k->f, m->task, m->in ? m->in + lo * m->task->in_size : NULL,
                m->out ? m->out + lo * m->task->out_size : NULL);
    t->parcel = NULL;
    cfuti_iter_add(&w->it, &k->f);
    w->it.unfinished++;
}

/* The next items, if there are more. */
static void cfuti_parcel_feed(cfuti_window *w, cfuti_parcel *k)
{
    cfuti_map_state *m = w->map;
    size_t left = m->n - w->next, n = m->grain ? m->grain : w->size, lo = w->next;

    k->busy = false;
    if (!left || cfuti_load_relaxed(&m->scope.stop)) return;    /* relaxed: nothing else travels */
    if (!m->grain && n > left / (2 * w->workers) + 1) n = left / (2 * w->workers) + 1;
    if (n > left) n = left;
    w->next += n;
    cfuti_parcel_submit(w, k, lo, n);
}

/* How large the next ones should be, after k. */
static void cfuti_parcel_adapt(cfuti_window *w, const cfuti_parcel *k)
{
    cfut_ns each = k->took / (cfut_ns)(k->done ? k->done : 1) + 1;
    size_t n = (size_t)(CFUTI_PARCEL_NS / each) + 1;

    if (n > 4 * w->size) n = 4 * w->size;
    w->size = n < w->most ? n : w->most;
}

/* k is done: its statuses. Whether the rest of it went on its way again. */
static bool cfuti_parcel_end(cfuti_window *w, cfuti_parcel *k)
{
    cfuti_map_state *m = w->map;
    int status = k->f.status;
    size_t rest = k->lo + k->done, end = k->lo + k->n;

    if (k->n == 1) {
        cfuti_map_note(m, k->lo, status);
        k->done = 1;
    } else if (k->failed < k->done) {
        cfuti_map_note(m, k->lo + k->failed, k->code);
    }
    cfuti_parcel_adapt(w, k);
    if (k->n == 1 || status == CFUT_OK) return false;
    if (status == CFUT_WORKER_DIED || status == CFUT_TIME_LIMIT || status == CFUT_ABANDONED) {
        cfuti_map_note(m, rest++, status);
        status = CFUT_CANCELLED;
        if (rest < end && !cfuti_load_relaxed(&m->scope.stop)) {    /* relaxed: as above */
            cfuti_parcel_submit(w, k, rest, end - rest);
            return true;
        }
    }
    cfuti_map_skip(m, rest, end, status);
    return false;
}

/* The map's time is over: what has not begun is cancelled, what runs asked to stop. */
static void cfuti_window_stop(cfuti_window *w)
{
    cfuti_store_relaxed(&w->map->timed_out, 1u);        /* relaxed: nothing else travels */
    cfuti_store_relaxed(&w->map->scope.stop, 1u);
    w->it.deadline = CFUT_FOREVER;
    for (size_t i = 0; i < w->n; i++)
        if (w->parcel[i].busy) cfut_cancel(&w->parcel[i].f);
}

static void cfuti_window_run(cfuti_window *w)
{
    for (size_t i = 0; i < w->n; i++) cfuti_parcel_feed(w, &w->parcel[i]);
    while (w->it.unfinished) {
        cfuti_parcel *k;

        int status = w->it.mine ? (int)CFUT_OK : cfuti_iter_wait(&w->it);

        if (status == CFUT_FORKED) {            /* the parent's parcels */
            cfuti_map_skip(w->map, 0, w->map->n, status);
            return;
        }
        if (status == CFUT_TIMEOUT) cfuti_window_stop(w);
        if (!w->it.mine) continue;
        w->it.unfinished--;
        k = CFUTI_OUTER(cfuti_parcel, f, cfuti_pop_ready(&w->it.c, &w->it.mine));
        if (!cfuti_parcel_end(w, k)) cfuti_parcel_feed(w, k);
    }
    cfuti_map_skip(w->map, w->next, w->map->n, CFUT_CANCELLED);
}

static void cfuti_map_procs(cfuti_map_state *m, cfut_executor *ex)
{
    cfuti_window w;
    size_t in = m->task->in_size, out = m->task->out_size;
    bool small = in < CFUTI_PARCEL_BYTES && out < CFUTI_PARCEL_BYTES;

    if (cfuti_self()->managing == cfuti_procs_of(ex)) {     /* in a callback: each within the
                                                               one before, without end */
        cfuti_map_skip(m, 0, m->n, CFUT_DEADLOCK);
        return;
    }
    memset(&w, 0, offsetof(cfuti_window, parcel));
    w.map = m;
    w.ex = ex;
    w.workers = cfut_executor_max_workers(ex);
    w.n = 4 * w.workers < CFUTI_WINDOW ? 4 * w.workers : (size_t)CFUTI_WINDOW;
    w.most = small ? CFUTI_PARCEL_BYTES / (in + out + sizeof(int32_t)) + 1 : 1;
    w.size = 1;
    if (m->grain > 1u << 24) m->grain = 1u << 24;
    cfuti_collector_init(&w.it.c, CFUTI_ITER, NULL);
    w.it.c.must = true;
    w.it.deadline = m->scope.deadline;
    cfuti_window_run(&w);
}

#endif

static void cfuti_map_run(cfuti_map_state *m, cfut_executor *ex, bool caller_runs)
{
    cfuti_thread *t = cfuti_self();
    cfuti_pool *p = ex->ops == &cfuti_pool_ops ? cfuti_pool_of(ex) : NULL;
    cfuti_piece root;
    bool inside = p && cfuti_worker_of(t, p) && !cfuti_load_relaxed(&p->refuse_inside);

#if CFUTI_PROCESS
    if (ex->ops == &cfuti_procs_ops) {
        cfuti_map_procs(m, ex);
        return;
    }
#endif
    if (inside || !caller_runs) m->pool = p;
    if (m->grain == 0) m->grain = 1;
    if (!m->pool) {
        cfuti_map_shared(m, ex, caller_runs);
        return;
    }
    m->most = cfuti_map_most(m, 2 * m->pool->max_workers);
    if (!inside) {
        cfuti_map_pool(m, ex);
    } else if (cfuti_top() & 1) {
        cfuti_map_in_bare(m);
    } else if (cfuti_top()) {
        cfuti_map_piece(m, 0, m->n);
    } else {                        /* in a callback: a frame of its own */
        cfuti_piece_init(&root, m, 0, m->n);
        cfuti_piece_run(&root, &cfuti_piece_task);
    }
}

static int cfuti_map_start(cfut_executor *ex, const cfut_task *task, cfuti_batch_fn batch,
                           const void *in, void *out, size_t n, const cfut_map_desc *desc)
{
    static cfut_map_desc defaults;     /* zero; not const, which C++ would want written out */
    const uintptr_t top = cfuti_top();
    cfuti_map_state m;

    if (!desc) desc = &defaults;
    if (!CFUTI_VALID(ex && task && task->fn)) return CFUT_INVALID;
    if (!CFUTI_VALID(!n || ((in || !task->in_size) && (out || !task->out_size))))
        return CFUT_INVALID;
    if (n > SIZE_MAX / 64 || cfuti_size(n, task->in_size, 0) == SIZE_MAX ||
        cfuti_size(n, task->out_size, 0) == SIZE_MAX)
        return CFUT_INVALID;
    if (n == 0) return CFUT_OK;
    memset(&m, 0, sizeof m);
    m.task = task;
    m.batch = batch;
    m.in = (const char *)in;
    m.out = (char *)out;
    m.n = m.first = n;
    m.grain = desc->chunksize < n ? desc->chunksize : n;
    m.status = desc->status;
    m.generation = cfuti_generation;
    m.scope.task = cfuti_future_at(top);
    if (top && !(top & 1)) m.scope.outer = ((const cfuti_frame *)top)->scope;
    m.scope.deadline = cfuti_deadline(desc->timeout > 0 ? desc->timeout : CFUT_FOREVER);
    cfuti_map_run(&m, ex, desc->caller_runs);
    return m.timed_out || cfuti_expired(m.scope.deadline) ? (int)CFUT_TIMEOUT : m.code;
}

CFUTDEF int cfut_map(cfut_executor *ex, const cfut_task *task, const void *in, void *out, size_t n,
                     const cfut_map_desc *desc)
{
    return cfuti_map_start(ex, task, NULL, in, out, n, desc);
}

CFUTDEF int cfuti_map_typed(cfut_executor *ex, const cfuti_typed *typed, const void *in, void *out,
                            size_t n, const cfut_map_desc *desc)
{
    return cfuti_map_start(ex, &typed->task, typed->batch, in, out, n, desc);
}

/*=========================================================================
    >>stream   cfut_stream: the lazily fed map
=========================================================================*/

/* A ring of cells, each a future with its in and out. Everything but the tasks
   happens in the caller's thread: next waits for a cell (the oldest, or any by
   an iterator), copies its result, and pulls and submits a new item into it. */

typedef struct cfuti_cell {
    cfut_future f;
    size_t index;
    bool busy;                      /* submitted and not yet yielded */
} cfuti_cell;

struct cfut_stream {
    cfut_executor *ex;
    const cfut_task *task;
    cfut_pull_fn pull;
    void *user;
    cfut_stream_desc desc;
    size_t n, stride, in_at, out_at;    /* cells, and where things are in one */
    size_t pulled, oldest;          /* items pulled; cell of the oldest not yielded */
    size_t in_flight;
    int input;                      /* CFUT_OK while there may be more input */
    int failed;                     /* creation failed: why */
    size_t index;                   /* of the item yielded last */
    int status;
    char text[56];
    cfut_iter it;
    char *cells;
};

static cfuti_cell *cfuti_cell_at(const cfut_stream *s, size_t i)
{
    return (cfuti_cell *)(void *)(s->cells + i * s->stride);
}

/* Pulls an item into a free cell and submits it, if there is more input. */
static void cfuti_stream_feed(cfut_stream *s, cfuti_cell *cell)
{
    char *in = (char *)cell + s->in_at, *out = (char *)cell + s->out_at;

    if (s->input) return;
    s->input = s->pull(s->user, in);
    if (s->input) return;
    cell->index = s->pulled++;
    cell->busy = true;
    s->in_flight++;
    cfut_submit(s->ex, &cell->f, s->task, in, out);
    if (s->desc.as_completed) {
        cfuti_iter_add(&s->it, &cell->f);
        s->it.unfinished++;
    }
}

static cfut_stream *cfuti_stream_failed(int status)
{
    static cfut_stream no_memory, invalid;
    cfut_stream *s = status == CFUT_NO_MEMORY ? &no_memory : &invalid;

    /* relaxed: the same value each time */
    cfuti_store_relaxed(&s->failed, status);
    return s;
}

/* Sizes of a cell with room for in and out, each aligned for any type. */
static CFUTI_RARE cfut_stream *cfuti_stream_alloc(const cfut_task *task, size_t n)
{
    size_t in_at = cfuti_round_up(sizeof(cfuti_cell), 16);
    size_t out_at = cfuti_round_up(cfuti_size(1, task->in_size, in_at), 16);
    size_t stride = cfuti_round_up(cfuti_size(1, task->out_size, out_at), 16);
    size_t head = cfuti_round_up(sizeof(cfut_stream), 16);
    cfut_stream *s;

    if (out_at >= SIZE_MAX - 16 || stride >= SIZE_MAX - 16) return NULL;
    s = (cfut_stream *)cfuti_alloc(cfuti_size(n, stride, head));
    if (!s) return NULL;
    s->n = n;
    s->in_at = in_at;
    s->out_at = out_at;
    s->stride = stride;
    s->cells = (char *)s + head;
    return s;
}

CFUTDEF cfut_stream *cfut_stream_open(cfut_executor *ex, const cfut_task *task, cfut_pull_fn pull,
                                      void *user, const cfut_stream_desc *desc)
{
    static cfut_stream_desc defaults;
    cfut_stream *s;
    size_t n;

    if (!desc) desc = &defaults;
    if (!CFUTI_VALID(ex && task && task->fn && pull && desc->buffersize >= 0))
        return cfuti_stream_failed(CFUT_INVALID);
    n = desc->buffersize ? (size_t)desc->buffersize : 2 * cfut_executor_max_workers(ex);
    s = cfuti_stream_alloc(task, n ? n : 1);
    if (!s) return cfuti_stream_failed(CFUT_NO_MEMORY);
    s->ex = ex;
    s->task = task;
    s->pull = pull;
    s->user = user;
    s->desc = *desc;
    cfuti_collector_init(&s->it.c, CFUTI_ITER, NULL);
    s->it.deadline = CFUT_FOREVER;
    for (size_t i = 0; i < s->n && !s->input; i++) cfuti_stream_feed(s, cfuti_cell_at(s, i));
    return s;
}

/* A task that was in next has ended its thread, and the iteration with it: begins anew. */
static CFUTI_RARE void cfuti_stream_resume(cfut_stream *s)
{
    s->it.status = CFUT_OK;
    s->it.unfinished = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (!cfuti_cell_at(s, i)->busy) continue;
        cfuti_iter_add(&s->it, &cfuti_cell_at(s, i)->f);
        s->it.unfinished++;
    }
}

/* The next cell that is done; NULL: *status says why not. */
static cfuti_cell *cfuti_stream_wait(cfut_stream *s, cfut_ns timeout, int *status)
{
    cfuti_cell *cell = cfuti_cell_at(s, s->oldest);
    cfut_future *f;

    if (!s->desc.as_completed) {
        *status = cfuti_result(&cell->f, timeout, false);
        if (!cfuti_is_final(cfuti_view(&cell->f))) return NULL;
        *status = cell->f.status;       /* it may have come since the time was over */
        return cell;
    }
    if (CFUTI_UNLIKELY(s->it.status)) cfuti_stream_resume(s);
    s->it.deadline = cfuti_deadline(timeout);
    *status = CFUT_OK;
    if (!s->it.mine) *status = cfuti_iter_wait(&s->it);
    if (*status) return NULL;
    s->it.unfinished--;
    f = cfuti_pop_ready(&s->it.c, &s->it.mine);
    *status = f->status;
    return CFUTI_OUTER(cfuti_cell, f, f);
}

CFUTDEF int cfut_stream_next_timeout(cfut_stream *s, void *out, cfut_ns timeout)
{
    cfuti_cell *cell;
    int status;

    if (!CFUTI_VALID(s)) return CFUT_INVALID;
    if (s->failed) return s->failed;
    if (!s->in_flight) {
        status = s->input;          /* END, or the pull's failure, once */
        s->input = CFUT_END;
        s->index = s->pulled;
        snprintf(s->text, sizeof s->text, "%s", cfut_strerror(status));
        return status;
    }
    cell = cfuti_stream_wait(s, timeout, &status);
    if (!cell) return status;
    if (status == CFUT_OK && out && s->task->out_size)
        memcpy(out, (char *)cell + s->out_at, s->task->out_size);
    snprintf(s->text, sizeof s->text, "%s", cfut_error(&cell->f));
    s->index = cell->index;
    s->status = status;
    s->in_flight--;
    s->oldest = s->oldest + 1 < s->n ? s->oldest + 1 : 0;
    cell->busy = false;
    cfuti_stream_feed(s, cell);
    return status;
}

CFUTDEF int cfut_stream_next(cfut_stream *s, void *out)
{
    return cfut_stream_next_timeout(s, out, CFUT_FOREVER);
}

CFUTDEF size_t cfut_stream_index(const cfut_stream *s)
{
    return s && !s->failed ? s->index : 0;
}

CFUTDEF const char *cfut_stream_error(const cfut_stream *s)
{
    if (!s) return cfut_strerror(CFUT_INVALID);
    if (s->failed) return cfut_strerror(s->failed);
    return s->text[0] ? s->text : cfut_strerror(CFUT_OK);
}

CFUTDEF void cfut_stream_close(cfut_stream *s)
{
    if (!s || s->failed) return;
    cfuti_iter_detach(&s->it);
    for (size_t i = 0; i < s->n && !s->desc.drain; i++)
        if (cfuti_cell_at(s, i)->busy) cfut_cancel(&cfuti_cell_at(s, i)->f);
    for (size_t i = 0; i < s->n; i++)
        if (cfuti_cell_at(s, i)->busy) cfuti_result(&cfuti_cell_at(s, i)->f, CFUT_FOREVER, true);
    CFUT_FREE(s);
}

/*=========================================================================
    >>public   the remaining public functions
=========================================================================*/

CFUTDEF int cfut_version(void)
{
    return CFUT_VERSION;
}

CFUTDEF const char *cfut_strerror(int status)
{
#define CFUTI_CASE(name, value, text) case name: return text;
    switch (status) {
    CFUT_STATUS_LIST(CFUTI_CASE)
    default: return status > 0 ? "the task's own error code" : "unknown status";
    }
#undef CFUTI_CASE
}

/* ---- executors ---- */

CFUTDEF cfut_executor *cfut_thread_pool(const cfut_thread_pool_desc *desc)
{
    static cfut_thread_pool_desc defaults;
    cfuti_pool *p = NULL;
    int workers, status;

    if (!desc) desc = &defaults;
    workers = desc->max_workers ? desc->max_workers : cfuti_cpus();
    if (!CFUTI_VALID(workers >= 0 && workers <= CFUTI_MAX_WORKERS))
        return cfuti_failed(CFUT_INVALID);
    if (!CFUTI_VALID(desc->exit == CFUT_EXIT_DRAIN || desc->exit == CFUT_EXIT_ABANDON))
        return cfuti_failed(CFUT_INVALID);
    cfuti_hooks();
    cfuti_trace_by_environment();
    cfuti_lock(&cfuti_registry_lock);
    status = cfuti_pool_create(&p, desc, (size_t)workers);
    cfuti_unlock(&cfuti_registry_lock);
    return status ? cfuti_failed(status) : &p->base;
}

CFUTDEF cfut_executor *cfut_inline_executor(void)
{
    return &cfuti_inline;
}

CFUTDEF int cfut_executor_status(const cfut_executor *ex)
{
    return ex ? cfuti_load_relaxed(&ex->status) : CFUT_INVALID;     /* relaxed: a report */
}

CFUTDEF const char *cfut_executor_error(const cfut_executor *ex)
{
    const char *text = cfuti_refusal(ex);

    return text ? text : cfut_strerror(cfut_executor_status(ex));
}

CFUTDEF size_t cfut_executor_max_workers(const cfut_executor *ex)
{
    if (!ex) return 0;
    return ex->ops->max_workers ? ex->ops->max_workers(ex) : 1;
}

CFUTDEF size_t cfut_executor_workers(const cfut_executor *ex)
{
    if (!ex) return 0;
    return ex->ops->workers ? ex->ops->workers(ex) : 1;
}

CFUTDEF void cfut_close(cfut_executor *ex, int how)
{
    if (ex && ex->ops->close) ex->ops->close(ex, how);
}

CFUTDEF int cfut_shutdown_timeout(cfut_executor *ex, int how, cfut_ns timeout)
{
    if (!CFUTI_VALID(!(how & ~(CFUT_CANCEL_PENDING | CFUT_DETACH)))) return CFUT_INVALID;
    if (!ex || !ex->ops->shutdown) return CFUT_OK;
    return ex->ops->shutdown(ex, how, timeout);
}

CFUTDEF int cfut_shutdown(cfut_executor *ex, int how)
{
    return cfut_shutdown_timeout(ex, how, CFUT_FOREVER);
}

/* ---- process pools ---- */

#if CFUTI_PROCESS

/* Whether a desc makes sense; a status. exec: how the helper will start. */
static int cfuti_process_desc_check(const cfut_process_pool_desc *d, bool *exec)
{
    *exec = d->start == CFUT_START_EXEC || (d->start == CFUT_START_AUTO && cfuti_program);
    if (!CFUTI_VALID(d->start >= CFUT_START_AUTO && d->start <= CFUT_START_FORK) ||
        !CFUTI_VALID(d->exit == CFUT_EXIT_DRAIN || d->exit == CFUT_EXIT_ABANDON) ||
        !CFUTI_VALID(d->on_worker_death == CFUT_FAIL_TASK ||
                     d->on_worker_death == CFUT_BREAK_POOL) ||
        !CFUTI_VALID(d->queue_depth >= 0 && d->queue_depth <= CFUTI_DEPTH_MAX) ||
        !CFUTI_VALID(d->max_tasks_per_child >= 0) ||
        !CFUTI_VALID(d->max_retries >= 0 && d->max_retries <= 255) ||
        !CFUTI_VALID(d->time_limit >= 0 && d->kill_grace >= 0) ||
        !CFUTI_VALID(!d->init_size || d->init_arg) ||
        !CFUTI_VALID(!*exec || !d->init_arg || d->init_size))
        return CFUT_INVALID;
    return CFUT_OK;
}

CFUTDEF cfut_executor *cfut_process_pool(const cfut_process_pool_desc *desc)
{
    static cfut_process_pool_desc defaults;
    cfuti_procs *p = NULL;
    int workers, status, old;
    bool exec;

    if (!desc) desc = &defaults;
    workers = desc->max_workers ? desc->max_workers : cfuti_cpus();
    if (workers > CFUTI_PROCS_MAX && !desc->max_workers) workers = CFUTI_PROCS_MAX;
    if (!CFUTI_VALID(workers >= 0 && workers <= CFUTI_PROCS_MAX)) return cfuti_failed(CFUT_INVALID);
    status = cfuti_process_desc_check(desc, &exec);
    if (status) return cfuti_failed(status);
    if (exec && !cfuti_program) return cfuti_failed(CFUTI_THREADS_RUN);
    /* where threads cannot be counted, only who says so may fork */
    if (!exec && desc->start == CFUT_START_AUTO && cfuti_threads() == 0)
        return cfuti_failed(CFUTI_THREADS_RUN);
    old = cfuti_sys_shield();
    status = cfuti_procs_create(&p, desc, (size_t)workers, exec);
    cfuti_sys_unshield(old);
    return status ? cfuti_failed(status) : &p->base;
}

CFUTDEF void cfut_process_main(int *argc, char ***argv)
{
    static const int fds[3] = { CFUTI_FD_CHANNEL, CFUTI_FD_FILE, CFUTI_FD_BELL };

    if (argc && argv && *argc > 0 && !cfuti_sys_is_privileged()) cfuti_sys_remember(*argv);
    if (!cfuti_sys_is_helper()) return;
    cfuti_sys_only(fds);            /* of the host's, too, that were not closed on exec */
    cfuti_helper_main();
}

static int cfuti_end_workers(cfut_executor *ex, int sig)
{
    if (!CFUTI_VALID(ex)) return CFUT_INVALID;
    if (ex->ops != &cfuti_procs_ops) return CFUT_UNSUPPORTED;
    if (cfuti_procs_forked(cfuti_procs_of(ex))) return CFUT_FORKED;
    cfuti_procs_close_as(cfuti_procs_of(ex), CFUT_CANCEL_PENDING, sig);
    return CFUT_OK;
}

CFUTDEF int cfut_terminate_workers(cfut_executor *ex)
{
    return cfuti_end_workers(ex, SIGTERM);
}

CFUTDEF int cfut_kill_workers(cfut_executor *ex)
{
    return cfuti_end_workers(ex, SIGKILL);
}

#else

CFUTDEF cfut_executor *cfut_process_pool(const cfut_process_pool_desc *desc)
{
    (void)desc;
    return cfuti_failed(CFUT_UNSUPPORTED);
}

CFUTDEF void cfut_process_main(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
}

CFUTDEF int cfut_terminate_workers(cfut_executor *ex)
{
    return ex ? CFUT_UNSUPPORTED : CFUT_INVALID;
}

CFUTDEF int cfut_kill_workers(cfut_executor *ex)
{
    return cfut_terminate_workers(ex);
}

#endif

/* ---- one future ---- */

CFUTDEF cfut_future *cfut_submit(cfut_executor *ex, cfut_future *f, const cfut_task *task,
                                 const void *in, void *out)
{
    cfut_ns began = cfuti_trace_begin();
    int status;

    if (CFUTI_UNLIKELY(!f)) return NULL;
    f->task = task;
    f->in = in;
    f->out = out;
    f->owner = (uintptr_t)ex;
    f->slot = CFUTI_UNQUEUED;
    f->next = NULL;
    /* relaxed: whoever runs f gets it by its slot, others from the submitter */
    cfuti_store_relaxed(&f->state, cfuti_generation | CFUT_STATE_PENDING);
    if (!CFUTI_VALID(ex && task && task->fn)) status = CFUT_INVALID;
    else if (CFUTI_LIKELY(ex->ops == &cfuti_pool_ops)) status = cfuti_pool_submit(ex, f);
    else status = ex->ops->submit(ex, f);
    if (CFUTI_UNLIKELY(status)) cfuti_refuse(f, status, cfuti_refusal(ex));
    else cfuti_trace_end(CFUTI_SUBMITS, f, task, began, 0);
    return f;
}

CFUTDEF cfut_future *cfut_submit_within(cfut_executor *ex, cfut_future *f, const cfut_task *task,
                                        const void *in, void *out, cfut_ns limit)
{
    cfuti_thread *t = cfuti_self();

    if (!f || !ex || limit <= 0 || ex->ops == &cfuti_failed_ops)
        return cfut_submit(ex, f, task, in, out);
    if (ex->ops != &cfuti_procs_ops) {
        f->task = task;
        cfuti_refuse(f, CFUT_UNSUPPORTED, "this executor cannot kill a task at a time limit");
        return f;
    }
    t->limit = limit;
    cfut_submit(ex, f, task, in, out);
    t->limit = 0;
    return f;
}

static bool cfuti_state_done(uint32_t s)
{
    return cfuti_is_final(s) || (s & CFUTI_STATE) == CFUT_STATE_CANCELLED;
}

/* The state as the user knows it. */
static enum cfut_state cfuti_public_state(const cfut_future *f, uint32_t s)
{
    enum cfut_state state = (enum cfut_state)(s & CFUTI_STATE);

    /* relaxed: a report of what may have changed already */
    if (state != CFUT_STATE_PENDING || !(cfuti_load_relaxed(&f->owner) & 1)) return state;
    return CFUT_STATE_RUNNING;
}

CFUTDEF enum cfut_state cfut_future_state(const cfut_future *f)
{
    return f ? cfuti_public_state(f, cfuti_view(f)) : CFUT_STATE_FRESH;
}

CFUTDEF bool cfut_done(const cfut_future *f)
{
    return f && cfuti_state_done(cfuti_view(f));
}

CFUTDEF bool cfut_running(const cfut_future *f)
{
    return cfut_future_state(f) == CFUT_STATE_RUNNING;
}

CFUTDEF bool cfut_cancelled(const cfut_future *f)
{
    enum cfut_state state = cfut_future_state(f);

    return state == CFUT_STATE_CANCELLED || state == CFUT_STATE_CANCELLED_AND_NOTIFIED;
}

CFUTDEF cfut_snapshot cfut_future_snapshot(const cfut_future *f)
{
    cfut_snapshot view;
    uint32_t s = f ? cfuti_view(f) : 0;

    memset(&view, 0, sizeof view);
    view.state = f ? cfuti_public_state(f, s) : CFUT_STATE_FRESH;
    view.done = cfuti_state_done(s);
    view.running = view.state == CFUT_STATE_RUNNING;
    view.cancelled = view.done && view.state != CFUT_STATE_FINISHED;
    view.stop_requested = (s & CFUTI_STOP) != 0;
    if (view.done) view.status = f->status;
    return view;
}

CFUTDEF int cfut_future_describe(const cfut_future *f, char *buf, size_t size)
{
    static const char *const names[] = {
        "fresh", "pending", "running", "cancelled", "cancelled", "finished"
    };
    cfut_snapshot view = cfut_future_snapshot(f);
    const char *task = view.state != CFUT_STATE_FRESH && f->task ? cfuti_task_name(f) : "";
    const char *gap = *task ? " " : "";

    if (view.state != CFUT_STATE_FINISHED)
        return snprintf(buf, size, "<Future at %p%s%s %s>", (const void *)f, gap, task,
                        names[view.state]);
    return snprintf(buf, size, "<Future at %p%s%s finished with %d (%s)>", (const void *)f, gap,
                    task, view.status, cfut_error(f));
}

CFUTDEF const char *cfut_error(const cfut_future *f)
{
    const cfuti_notice *n;
    uint32_t s;

    if (!f) return cfut_strerror(CFUT_INVALID);
    s = cfuti_view(f);
    if (!cfuti_state_done(s)) return "the future is not done";
    if (s & CFUTI_TEXT) return f->u.text;
    n = s & CFUTI_COMPLETING ? cfuti_notice_of(f) : NULL;
    return n && n->text ? n->text : cfut_strerror(f->status);
}

/* ---- cancel ---- */

/* Under F, its callbacks have run: a future completed by hand is done for cancelled(),
   done() and result() at once; its producer tells wait and as_completed. */
static CFUTI_RARE void cfuti_cancelled_by_hand(cfut_future *f, uint32_t s)
{
    cfuti_extra *last, *e, *told = NULL;

    if (s & CFUTI_ACKNOWLEDGED) {
        cfuti_publish(f, s, CFUT_STATE_CANCELLED_AND_NOTIFIED, NULL);
        return;
    }
    /* the results among the waiters leave its ring, linked by prev */
    e = s & CFUTI_WAITERS ? (cfuti_extra *)f->waiters : NULL;
    last = e ? e->prev : NULL;
    while (e) {
        cfuti_extra *next = e == last ? NULL : e->next;
        if (e->link.collector->kind == CFUTI_RESULT) {
            cfuti_waiters_remove(f, &s, e);
            cfuti_arrive_one(&e->link, f, CFUT_STATE_CANCELLED);
            e->prev = told;
            told = e;
        }
        e = next;
    }
    s &= ~(uint32_t)(CFUTI_STATE | CFUTI_COMPLETING | CFUTI_CANCELLING);
    cfuti_future_unlock(f, s | CFUT_STATE_CANCELLED);
    while (told) {
        e = told->prev;
        cfuti_settle_one(told->link.collector);
        told = e;
    }
}

/* Under F, pending: takes f out of its executor's queue. */
static bool cfuti_take_for_cancel(cfut_future *f)
{
    uintptr_t owner = cfuti_load_acquire(&f->owner);    /* acquire: the runner's record */
    cfut_executor *ex = (cfut_executor *)owner;

#if CFUTI_PROCESS
    if (owner & 1 && ((cfuti_thread *)(owner - 1))->procs)      /* it asks the worker to stop */
        return cfuti_procs_cancel(&((cfuti_thread *)(owner - 1))->procs->base, f);
#endif
    return !(owner & 1) && ex->ops->cancel && ex->ops->cancel(ex, f);
}

/* Under F: f is being completed by a thread; lets F go. */
static CFUTI_RARE bool cfuti_cancel_while_completing(cfut_future *f, uint32_t s)
{
    cfuti_future_unlock(f, s);
    if (!(s & CFUTI_CANCELLING)) return false;
    if (!cfuti_notice_of(f)) cfuti_result(f, CFUT_FOREVER, true);   /* until it is published */
    return true;
}

CFUTDEF bool cfut_cancel(cfut_future *f)
{
    uint32_t s;
    bool by_hand;

    if (!f) return false;
    s = cfuti_state_of(f);
    if (cfuti_is_foreign(f, s)) return false;
    s = cfuti_future_lock(f);
    if (cfuti_is_final(s)) return (s & CFUTI_STATE) != CFUT_STATE_FINISHED;
    if ((s & CFUTI_STATE) == CFUT_STATE_FRESH) return false;
    if (s & CFUTI_COMPLETING) return cfuti_cancel_while_completing(f, s);
    if ((s & CFUTI_STATE) == CFUT_STATE_CANCELLED) {
        cfuti_future_unlock(f, s);
        return true;
    }
    by_hand = cfuti_load_relaxed(&f->owner) == 0;       /* relaxed: set by the submitter */
    if ((s & CFUTI_STATE) == CFUT_STATE_RUNNING || (!by_hand && !cfuti_take_for_cancel(f))) {
        cfuti_future_unlock(f, s | CFUTI_STOP);
        return false;
    }
    if (by_hand) {
        s = cfuti_decide(f, s, CFUT_STATE_CANCELLED, CFUT_CANCELLED, NULL);
        cfuti_cancelled_by_hand(f, s);
    } else {
        s = cfuti_decide(f, s, CFUT_STATE_CANCELLED_AND_NOTIFIED, CFUT_CANCELLED, NULL);
        cfuti_publish(f, s, CFUT_STATE_CANCELLED_AND_NOTIFIED, NULL);
    }
    return true;
}

/* ---- callbacks ---- */

/* Under F: adds a callback; node NULL: only if it is the first. */
static bool cfuti_add_callback(cfut_future *f, uint32_t *s, cfut_done_fn fn, void *user,
                               cfuti_callback *node)
{
    cfuti_callback *last = (cfuti_callback *)f->u.before.callbacks;

    if (!(*s & (CFUTI_CALLBACK | CFUTI_CALLBACKS))) {
        f->u.before.fn = fn;
        f->u.before.user = user;
        *s |= CFUTI_CALLBACK;
        if (node) CFUT_FREE(node);
        return true;
    }
    if (!node) return false;
    node->fn = fn;
    node->user = user;
    node->next = *s & CFUTI_CALLBACKS ? last->next : node;
    if (*s & CFUTI_CALLBACKS) last->next = node;
    f->u.before.callbacks = node;
    *s |= CFUTI_CALLBACKS;
    return true;
}

CFUTDEF int cfut_on_done(cfut_future *f, cfut_done_fn fn, void *user)
{
    cfuti_callback *node = NULL;

    if (!CFUTI_VALID(f && fn)) return CFUT_INVALID;
    for (;;) {
        uint32_t s = cfuti_view(f);
        bool added;

        if ((s & CFUTI_STATE) == CFUT_STATE_FRESH) return CFUT_INVALID_STATE;
        if (!cfuti_state_done(s) && cfuti_is_foreign(f, s)) return CFUT_FORKED;
        if (!cfuti_state_done(s)) s = cfuti_future_lock(f);
        else s = CFUT_STATE_FINISHED;
        if (cfuti_state_done(s)) {
            if ((s & CFUTI_STATE) == CFUT_STATE_CANCELLED) cfuti_future_unlock(f, s);
            if (node) CFUT_FREE(node);
            fn(f, user);
            return CFUT_OK;
        }
        added = cfuti_add_callback(f, &s, fn, user, node);
        cfuti_future_unlock(f, s);
        if (added) return CFUT_OK;
        node = (cfuti_callback *)cfuti_alloc(sizeof *node);
        if (!node) return CFUT_NO_MEMORY;
    }
}

/* ---- futures completed by hand ---- */

CFUTDEF void cfut_future_init(cfut_future *f)
{
    if (!f) return;
    cfuti_hooks();
    memset(f, 0, sizeof *f);
    cfuti_store_relaxed(&f->state, cfuti_generation | CFUT_STATE_PENDING);  /* relaxed: not
                                                                               shared yet */
}

/* Whether f is not for its user to start or finish. */
static bool cfuti_in_other_hands(const cfut_future *f)
{
    uintptr_t owner = cfuti_load_relaxed(&f->owner);    /* relaxed: see cfuti_claim */

    const cfut_executor *ex = (const cfut_executor *)owner;

    return (owner & 1) || (owner && (ex->ops == &cfuti_pool_ops || ex->ops == &cfuti_procs_ops));
}

CFUTDEF bool cfut_start(cfut_future *f)
{
    uint32_t s, state;

    if (!f || cfuti_is_foreign(f, cfuti_view(f))) return false;
    s = cfuti_future_lock(f);
    state = s & CFUTI_STATE;
    if (cfuti_is_final(s) || state == CFUT_STATE_FRESH) return false;
    if (s & CFUTI_CANCELLING) s |= CFUTI_ACKNOWLEDGED;  /* the canceller goes on from there */
    if (state == CFUT_STATE_CANCELLED) {
        cfuti_publish(f, s & ~(uint32_t)CFUTI_STATE, CFUT_STATE_CANCELLED_AND_NOTIFIED, NULL);
        return false;
    }
    if (state == CFUT_STATE_PENDING && !(s & CFUTI_COMPLETING) && !cfuti_in_other_hands(f)) {
        cfuti_future_unlock(f, s - CFUT_STATE_PENDING + CFUT_STATE_RUNNING);
        return true;
    }
    cfuti_future_unlock(f, s);
    return false;
}

CFUTDEF int cfut_finish(cfut_future *f, int status)
{
    uint32_t s, final = CFUT_STATE_FINISHED;

    if (!CFUTI_VALID(f)) return CFUT_INVALID;
    if (cfuti_is_foreign(f, cfuti_view(f))) return CFUT_FORKED;
    if (status == CFUT_TIMEOUT) status = ETIMEDOUT;
    s = cfuti_future_lock(f);
    if (cfuti_is_final(s) || (s & CFUTI_STATE) == CFUT_STATE_FRESH) return CFUT_INVALID_STATE;
    if ((s & CFUTI_COMPLETING) || (s & CFUTI_STATE) == CFUT_STATE_CANCELLED ||
        cfuti_in_other_hands(f)) {
        cfuti_future_unlock(f, s);
        return CFUT_INVALID_STATE;
    }
    if (status == CFUT_CANCELLED && (s & CFUTI_STATE) == CFUT_STATE_PENDING && f->owner)
        final = CFUT_STATE_CANCELLED_AND_NOTIFIED;
    s = cfuti_decide(f, s, final, status, NULL);
    cfuti_publish(f, s, final, NULL);
    return CFUT_OK;
}

CFUTDEF void cfut_run(cfut_future *f)
{
    if (f) cfuti_execute_guarded(cfuti_self(), f);
}

/* ---- inside a task ---- */

/* Where the text was cut within a character of UTF-8, that goes. */
static void cfuti_text_trim(char *text)
{
    size_t end = strlen(text), at = end;
    unsigned first;

    if (end < CFUTI_TEXT_SIZE - 1) return;
    while (at && end - at < 4 && ((unsigned char)text[at - 1] & 0xC0) == 0x80) at--;
    first = at ? (unsigned char)text[at - 1] : 0;
    if (first < 0xC0) return;
    if (end - at < (first >= 0xF0 ? 3u : first >= 0xE0 ? 2u : 1u)) text[at - 1] = 0;
}

CFUTDEF int cfut_fail(int code, const char *fmt, ...)
{
    va_list args;

    if (code == 0) code = CFUT_FAILED;
    if (cfuti_top() && fmt) {
        char *text = cfuti_text_at(cfuti_top(), code == CFUT_TIMEOUT ? ETIMEDOUT : code);

        va_start(args, fmt);
        vsnprintf(text, CFUTI_TEXT_SIZE, fmt, args);
        va_end(args);
        cfuti_text_trim(text);
    }
    return code;
}

static bool cfuti_asked_to_stop(const cfut_future *f)
{
    /* relaxed: nothing else travels */
    return f && (cfuti_load_relaxed(&f->state) & CFUTI_STOP);
}

/* A map's own futures are asked to stop by nobody else: by its caller, who has no more
   need of those that have not begun. What stops items is the map's scope. */
static bool cfuti_is_of_map(const cfut_future *f)
{
    return f->task == &cfuti_piece_task || f->task == &cfuti_share_task;
}

CFUTDEF bool cfut_stop_requested(void)
{
    const uintptr_t top = cfuti_top();
    const cfut_future *f = cfuti_future_at(top);
    const cfuti_scope *scope;

    /* relaxed: as above */
    if (cfuti_self()->stop && cfuti_load_relaxed(cfuti_self()->stop)) return true;
    if (cfuti_asked_to_stop(f) && !cfuti_is_of_map(f)) return true;
    if (!top || (top & 1)) return false;
    for (scope = ((const cfuti_frame *)top)->scope; scope; scope = scope->outer)
        if (cfuti_load_relaxed(&scope->stop) || cfuti_expired(scope->deadline) ||
            cfuti_asked_to_stop(scope->task))
            return true;
    return false;
}

CFUTDEF cfut_executor *cfut_current(void)
{
    return cfuti_executor_here(cfuti_self());
}

CFUTDEF cfut_future *cfut_current_future(void)
{
    cfut_future *f = cfuti_future_at(cfuti_top());

    if (f) cfuti_state_of(f);       /* who gets it may do all with it that others may */
    return f;
}

CFUTDEF const char *cfut_worker_name(void)
{
    const cfuti_worker *w = cfuti_self()->worker;

    return w ? w->name : NULL;
}

CFUTDEF int cfut_trace(const char *path)
{
    if (!path) return cfuti_trace_stop();
    cfuti_hooks();
    return cfuti_trace_start(path);
}

/* ---- futures on the heap ---- */

CFUTDEF cfut_future *cfut_spawn(cfut_executor *ex, const cfut_task *task, const void *in,
                                size_t size, size_t in_at, size_t out_at)
{
    char *block;

    if (!task || size < sizeof(cfut_future)) return NULL;
    block = (char *)cfuti_alloc(size);
    if (!block) return NULL;
    if (task->in_size) memcpy(block + in_at, in, task->in_size);
    return cfut_submit(ex, (cfut_future *)(void *)block, task, block + in_at,
                       out_at ? block + out_at : NULL);
}

CFUTDEF void cfut_release(cfut_future *f)
{
    uint32_t s;

    if (!f) return;
    s = cfuti_future_lock(f);
    if (cfuti_is_final(s) || (s & CFUTI_STATE) == CFUT_STATE_FRESH) CFUT_FREE(f);
    else cfuti_future_unlock(f, s | CFUTI_RELEASED);
}

#ifdef __cplusplus
}
#endif

#endif /* CFUTI_IMPLEMENTED */
#endif /* CFUT_IMPLEMENTATION */

/*
MIT License

Copyright (c) 2026 the cfut authors

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
*/
