/* Java's ForkJoinPool for bench_core: runs one workload, prints one figure.

   usage: java PeerForkJoin WORKLOAD N REPEATS WORKERS */
import java.util.Arrays;
import java.util.concurrent.*;
import java.util.stream.IntStream;

final class PeerForkJoin {
    static final int PRODUCERS = 4;
    /* The compiler needs some passes before it has the code that it will run. */
    static final long WARM_NS = 300_000_000L;

    final ForkJoinPool pool;
    final int n, repeats;

    PeerForkJoin(int n, int repeats, int workers) {
        pool = new ForkJoinPool(workers);
        this.n = n;
        this.repeats = repeats;
    }

    interface Work {
        void run() throws Exception;
    }

    static void check(boolean good) {
        if (!good)
            throw new AssertionError("a wrong result");
    }

    static long time(Work work) throws Exception {
        long begun = System.nanoTime();

        work.run();
        return System.nanoTime() - begun;
    }

    static double nsEach(Work work, long units) throws Exception {
        long warmed = 0;

        for (int pass = 0; pass < 3 || warmed < WARM_NS; pass++)
            warmed += time(work);
        return (double) time(work) / units;
    }

    /* ---- W1, W1b ---- */

    void batch(int n) throws Exception {
        ForkJoinTask<?>[] tasks = new ForkJoinTask<?>[n];

        for (int i = 0; i < n; i++) {
            int x = i;
            tasks[i] = pool.submit((Callable<Integer>) () -> x);
        }
        for (int i = 0; i < n; i++)
            check((Integer) tasks[i].get() == i);
    }

    void producers() throws Exception {
        Thread[] threads = new Thread[PRODUCERS];

        for (int i = 0; i < PRODUCERS; i++) {
            threads[i] = new Thread(() -> {
                try {
                    batch(n / PRODUCERS);
                } catch (Exception e) {
                    throw new RuntimeException(e);
                }
            });
            threads[i].start();
        }
        for (Thread t : threads)
            t.join();
    }

    /* ---- W2, W2f ---- */

    static final class Fib extends RecursiveTask<Integer> {
        private static final long serialVersionUID = 1;
        final int n;

        Fib(int n) {
            this.n = n;
        }

        @Override
        protected Integer compute() {
            if (n < 2)
                return n;
            Fib left = new Fib(n - 1);
            left.fork();
            int right = new Fib(n - 2).compute();
            return left.join() + right;
        }
    }

    static int serialFib(int n) {
        return n < 2 ? n : serialFib(n - 1) + serialFib(n - 2);
    }

    static long spawns(int n) {
        long a = 0, b = 1;

        for (int i = 0; i < n; i++) {
            long next = a + b;
            a = b;
            b = next;
        }
        return b - 1;
    }

    double fib() throws Exception {
        int want = serialFib(n);

        return nsEach(() -> check(pool.invoke(new Fib(n)) == want), spawns(n));
    }

    /* ---- W3, W3c ---- */

    double medianTrip(long pauseMs) throws Exception {
        double[] ns = new double[n];

        for (int pass = 0; pass < (pauseMs == 0 ? 10 : 1); pass++)
            for (int i = 0; i < n; i++) {
                int x = i;

                if (pauseMs > 0)
                    Thread.sleep(pauseMs);
                ns[i] = time(() -> check(pool.submit((Callable<Integer>) () -> x).get() == x));
            }
        Arrays.sort(ns);
        return ns[n / 2];
    }

    /* ---- W4 ---- */

    static int burn(int steps) {
        int h = steps + 1;

        for (int i = 0; i < steps; i++) {
            h ^= h << 13;
            h ^= h >>> 17;
            h ^= h << 5;
        }
        return h;
    }

    void repeat(Work work) throws Exception {
        for (int r = 0; r < repeats; r++)
            work.run();
    }

    /* A parallel stream started in a worker stays in its pool. */
    double roots() throws Exception {
        double[] in = new double[n], out = new double[n];

        for (int i = 0; i < n; i++)
            in[i] = i;
        return nsEach(() -> repeat(() -> pool.submit(() -> IntStream.range(0, n).parallel()
            .forEach(i -> out[i] = Math.sqrt(in[i]))).get()), (long) n * repeats);
    }

    double burns(int[] steps) throws Exception {
        int[] out = new int[n];

        return nsEach(() -> repeat(() -> pool.submit(() -> IntStream.range(0, n).parallel()
            .forEach(i -> out[i] = burn(steps[i]))).get()), (long) n * repeats);
    }

    int[] growing() {
        return IntStream.range(0, n).map(i -> i / 10).toArray();
    }

    int[] dearTenth() {
        return IntStream.range(0, n).map(i -> i < n / 10 ? 5000 : 50).toArray();
    }

    /* ---- W5, W6 ---- */

    void completed() throws Exception {
        ExecutorCompletionService<Integer> service = new ExecutorCompletionService<>(pool);
        long sum = 0;

        for (int i = 0; i < n; i++) {
            int x = i;
            service.submit(() -> x);
        }
        for (int i = 0; i < n; i++)
            sum += service.take().get();
        check(sum == (long) n * (n - 1) / 2);
    }

    static long used() throws Exception {
        for (int i = 0; i < 3; i++) {
            System.gc();
            Thread.sleep(10);
        }
        return Runtime.getRuntime().totalMemory() - Runtime.getRuntime().freeMemory();
    }

    double bytesEach() throws Exception {
        CountDownLatch gate = new CountDownLatch(1);
        ForkJoinTask<?>[] tasks = new ForkJoinTask<?>[n];
        long before, after;

        pool.submit(() -> {
            gate.await();
            return 0;
        });
        before = used();
        for (int i = 0; i < n; i++) {
            int x = i;
            tasks[i] = pool.submit((Callable<Integer>) () -> x);
        }
        after = used();
        gate.countDown();
        for (ForkJoinTask<?> t : tasks)
            t.get();
        return (double) (after - before) / n;
    }

    double measure(String workload) throws Exception {
        switch (workload) {
        case "W1": return nsEach(() -> batch(n), n);
        case "W1b": return nsEach(this::producers, n);
        case "W2": case "W2f": return fib();
        case "W3": return medianTrip(0);
        case "W3c": return medianTrip(1);
        case "W4a": case "W4c": return roots();
        case "W4b-growing": return burns(growing());
        case "W4b-dear": return burns(dearTenth());
        case "W5": return nsEach(() -> repeat(this::completed), (long) n * repeats);
        case "W6": return bytesEach();
        default: throw new IllegalArgumentException(workload);
        }
    }

    public static void main(String[] args) throws Exception {
        PeerForkJoin peer = new PeerForkJoin(Integer.parseInt(args[1]), Integer.parseInt(args[2]),
                                             Integer.parseInt(args[3]));

        System.out.printf("%.1f%n", peer.measure(args[0]));
        System.exit(0);
    }
}
