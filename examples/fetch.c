/* fetch: downloads all URLs given as arguments, several at a time, and says of
   each how it went, as soon as that is known.

       cc -I. -pthread examples/fetch.c -lcurl -o fetch && ./fetch https://example.org/

   Downloading is waiting. So the number of workers is not the number of
   processors, but how many transfers shall be under way at once: -j. */
#define CFUT_IMPLEMENTATION
#include "cfut.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "Usage: fetch [-j N] [-t SECONDS] URL...\n"
    "Downloads every URL (http or https), discards what comes, and prints a line for\n"
    "each in the order of completion: HTTP status, bytes and URL, or why it failed.\n"
    "\n"
    "  -j N            at most N downloads at a time; 8 if not given\n"
    "  -t SECONDS      give up what is not done by then; 30 if not given\n"
    "      --help      print this help\n"
    "\n"
    "Exit status: 0 all downloaded, 1 at least one failed, 2 bad arguments.\n";

enum { BAD_ARGUMENTS = 2 };

/* ---- the task ---- */

struct page { long status; curl_off_t bytes; };

/* libcurl calls this with what it received. Taking less than all ends the
   transfer. */
static size_t take_body(char *data, size_t size, size_t n, void *user)
{
    (void)data;
    (void)user;
    return cfut_stop_requested() ? 0 : size * n;
}

/* libcurl calls this about once a second, also while nothing comes. Anything
   but 0 ends the transfer. */
static int check_stop(void *user, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                      curl_off_t up)
{
    (void)user;
    (void)down_total;
    (void)down;
    (void)up_total;
    (void)up;
    return cfut_stop_requested();
}

static CURLcode set_protocols(CURL *curl)
{
#if LIBCURL_VERSION_NUM >= 0x075500
    return curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    return curl_easy_setopt(curl, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}

/* Setting an option fails when there is no memory, or libcurl cannot do it. */
static CURLcode set_options(CURL *curl, const char *url)
{
    CURLcode code = curl_easy_setopt(curl, CURLOPT_URL, url);

    if (code == CURLE_OK)
        code = set_protocols(curl);
    if (code == CURLE_OK)               /* signals and threads do not mix */
        code = curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 10L);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_MAXREDIRS, 10L);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, check_stop);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    return code;
}

static int transfer(CURL *curl, const char *url, struct page *page)
{
    CURLcode code = set_options(curl, url);

    if (code == CURLE_OK)
        code = curl_easy_perform(curl);
    if (code != CURLE_OK && cfut_stop_requested())
        return cfut_fail(ETIMEDOUT, "stopped because the time was up");
    if (code != CURLE_OK)
        return cfut_fail((int)code, "%s", curl_easy_strerror(code));
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &page->status);
    curl_easy_getinfo(curl, CURLINFO_SIZE_DOWNLOAD_T, &page->bytes);
    if (page->status >= 400)
        return cfut_fail((int)page->status, "HTTP status %ld", page->status);
    return CFUT_OK;
}

/* The task. A handle belongs to one thread at a time, so each task has its own.
   The text given to cfut_fail is what cfut_error tells main. */
static int fetch(const char *const *url, struct page *page)
{
    CURL *curl = curl_easy_init();
    int status;

    if (!curl)
        return cfut_fail(CURLE_FAILED_INIT, "libcurl gave no handle");
    status = transfer(curl, *url, page);
    curl_easy_cleanup(curl);
    return status;
}
CFUT_TASK(fetch, const char *, struct page);

/* ---- all of them ---- */

/* Returns whether the download succeeded. */
static bool print_fetch(fetch_future *f)
{
    bool ok = fetch_result(f) == CFUT_OK;       /* it is done: this does not wait */

    if (ok)
        printf("%6ld %10lld %s\n", f->out.status, (long long)f->out.bytes, f->in);
    else
        printf("failed %10s %s: %s\n", "-", f->in, cfut_error(&f->base));
    fflush(stdout);                     /* show it now, to a pipe too */
    return ok;
}

/* Prints the downloads as they complete; a printed one leaves fs. When the time
   is up, what is still in fs must not be left alone with our memory: reclaim
   cancels what has not started, asks the others to stop, and waits for them. */
static bool print_all(fetch_future *fetches, cfut_future **fs, size_t n, cfut_ns limit)
{
    cfut_iter it;
    cfut_future *f;
    bool ok = true;

    cfut_as_completed(&it, fs, n, limit);
    while ((f = cfut_next(&it)) != NULL) {
        ok &= print_fetch(fetch_of(f));
        fs[fetch_of(f) - fetches] = NULL;
    }
    if (it.status != CFUT_OK)
        fprintf(stderr, "fetch: %s, %zu of %zu not done\n", cfut_strerror(it.status),
                it.unfinished, it.total);
    cfut_reclaim(fs, n);
    for (size_t i = 0; i < n; i++)
        if (fs[i])
            ok &= print_fetch(&fetches[i]);
    return ok;
}

static bool fetch_all(char **urls, size_t n, int jobs, cfut_ns limit)
{
    cfut_executor *pool = cfut_thread_pool(&(cfut_thread_pool_desc){.max_workers = jobs});
    fetch_future *fetches = malloc(n * sizeof *fetches);
    cfut_future **fs = malloc(n * sizeof *fs);
    bool ok = fetches && fs;

    for (size_t i = 0; ok && i < n; i++)
        fs[i] = fetch_submit(pool, &fetches[i], urls[i]);
    if (ok)
        ok = print_all(fetches, fs, n, limit);
    else
        fprintf(stderr, "fetch: %s\n", cfut_strerror(CFUT_NO_MEMORY));
    cfut_shutdown(pool, CFUT_DRAIN);
    free(fs);
    free(fetches);
    return ok;
}

/* ---- the command line ---- */

/* A number from least to most; -1 and a message if text is not one. */
static double parse_number(const char *what, const char *text, double least, double most)
{
    char *end;
    double x = strtod(text, &end);

    if (*text && *end == '\0' && x >= least && x <= most)
        return x;
    fprintf(stderr, "fetch: not a valid %s: %s\n", what, text);
    return -1;
}

/* Returns the program's exit status if it shall end now, else -1. */
static int parse_options(int argc, char **argv, int *jobs, double *seconds)
{
    int c;

    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return EXIT_SUCCESS;
    }
    while ((c = getopt(argc, argv, "j:t:")) != -1) {
        if (c == 'j')
            *jobs = (int)parse_number("number of downloads", optarg, 1, 1000);
        if (c == 't')
            *seconds = parse_number("number of seconds", optarg, 0, 1e6);
        if (c == '?' || *jobs < 0 || *seconds < 0)
            return BAD_ARGUMENTS;
    }
    if (optind < argc)
        return -1;
    fprintf(stderr, "fetch: no URL given\n%s", usage);
    return BAD_ARGUMENTS;
}

int main(int argc, char **argv)
{
    int jobs = 8;
    double seconds = 30;
    int status = parse_options(argc, argv, &jobs, &seconds);
    bool ok;

    if (status >= 0)
        return status;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {    /* before any thread */
        fputs("fetch: libcurl cannot be initialized\n", stderr);
        return EXIT_FAILURE;
    }
    ok = fetch_all(argv + optind, (size_t)(argc - optind), jobs, (cfut_ns)(seconds * 1e9));
    curl_global_cleanup();
    return ok && !ferror(stdout) ? EXIT_SUCCESS : EXIT_FAILURE;
}
