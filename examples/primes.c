/* primes: which of some large numbers are prime? Python's documentation shows
   concurrent.futures with this program; here it is in C.

       cc -I. -pthread examples/primes.c -o primes && ./primes

   A map runs one task on every element of an array, in parallel, and puts the
   results into another array, in the same order. Whether its workers are threads
   or processes is the choice of one word. */
#define CFUT_IMPLEMENTATION
#include "cfut.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "Usage: primes [--processes] [NUMBER]...\n"
    "Says of each NUMBER (up to 2^64 - 1) whether it is prime. Without one, of six\n"
    "large numbers. All processors take part, with a thread or a process on each.\n";

static const uint64_t examples[] = {
    112272535095293, 112582705942171, 112272535095293,
    115280095190773, 115797848077099, 1099726899285419,
};

/* The task: an ordinary function, which can be called without the library as
   well. It reads its argument, writes its result and returns a status. */
static int is_prime(const uint64_t *number, bool *prime)
{
    uint64_t n = *number;

    *prime = n == 2 || (n > 2 && n % 2 != 0);
    for (uint64_t i = 3; *prime && i <= n / i; i += 2)
        *prime = n % i != 0;
    return CFUT_OK;
}
CFUT_TASK(is_prime, uint64_t, bool);    /* makes is_prime_map, among others */

/* Answers for n numbers. Returns what the map returned, or CFUT_NO_MEMORY. */
static int print_primes(cfut_executor *pool, const uint64_t *numbers, size_t n)
{
    bool *primes = malloc(n * sizeof *primes);
    int status = primes ? is_prime_map(pool, numbers, primes, n) : CFUT_NO_MEMORY;

    for (size_t i = 0; status == CFUT_OK && i < n; i++)
        printf("%" PRIu64 " is prime: %s\n", numbers[i], primes[i] ? "True" : "False");
    free(primes);
    return status;
}

/* strtoull alone is too kind: it accepts white space, a sign, and no digits. */
static bool parse_number(const char *text, uint64_t *number)
{
    char *end;

    errno = 0;
    *number = strtoull(text, &end, 10);
    if (isdigit((unsigned char)*text) && *end == '\0' && errno == 0)
        return true;
    fprintf(stderr, "primes: not a number from 0 to 2^64 - 1: %s\n", text);
    return false;
}

/* The numbers in argv[1] to argv[n]. NULL: they could not be read, which has
   been said. */
static uint64_t *parse_numbers(char **argv, size_t n)
{
    uint64_t *numbers = malloc(n * sizeof *numbers);

    if (!numbers)
        fprintf(stderr, "primes: %s\n", cfut_strerror(CFUT_NO_MEMORY));
    for (size_t i = 0; numbers && i < n; i++) {
        if (!parse_number(argv[i + 1], &numbers[i])) {
            free(numbers);
            numbers = NULL;
        }
    }
    return numbers;
}

int main(int argc, char **argv)
{
    uint64_t *numbers = NULL;
    bool processes;
    cfut_executor *pool;
    size_t n;
    int status;

    cfut_process_main(&argc, &argv);    /* first; in a worker process it does not return */
    processes = argc > 1 && strcmp(argv[1], "--processes") == 0;
    argv += processes;
    argc -= processes;
    n = argc > 1 ? (size_t)argc - 1 : 0;
    if (n && strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return EXIT_SUCCESS;
    }
    if (n && !(numbers = parse_numbers(argv, n)))
        return EXIT_FAILURE;

    pool = processes ? cfut_process_pool(NULL) : cfut_thread_pool(NULL);
    if (n)
        status = print_primes(pool, numbers, n);
    else
        status = print_primes(pool, examples, sizeof examples / sizeof examples[0]);
    cfut_shutdown(pool, CFUT_DRAIN);
    free(numbers);

    if (status != CFUT_OK)
        fprintf(stderr, "primes: %s\n", cfut_strerror(status));
    if (fflush(stdout) != 0 || ferror(stdout))  /* an earlier flush may have met the error */
        return EXIT_FAILURE;
    return status == CFUT_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
