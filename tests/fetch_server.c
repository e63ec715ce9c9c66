/* fetch_server: the HTTP server that examples/fetch.c is tested against.

   Listens on a free port of 127.0.0.1, prints the port as a line, and ends when
   its standard input does: so it cannot outlive the test that started it.

       /ok/N       N bytes
       /delay/MS   2 bytes after MS milliseconds
       /drop       announces 1000 bytes, sends 100 and closes the connection
       /loop       redirects to itself
       /moved      redirects to /ok/7
       /peak       how many /delay requests were under way at once, at most
       others      404 */
#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* One connection is one thread. A delay ends early when the server does. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t end = PTHREAD_COND_INITIALIZER;
static bool ending;                     /* under lock, as the two below */
static int under_way, peak;

static void delay(unsigned long ms)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t)(ms / 1000);
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&lock);
    if (++under_way > peak)
        peak = under_way;
    while (!ending && pthread_cond_timedwait(&end, &lock, &until) != ETIMEDOUT)
        continue;
    under_way--;
    pthread_mutex_unlock(&lock);
}

static void end_delays(void)
{
    pthread_mutex_lock(&lock);
    ending = true;
    pthread_cond_broadcast(&end);
    pthread_mutex_unlock(&lock);
}

/* Queues the answer and drops our reference to it. */
static enum MHD_Result answer(struct MHD_Connection *c, unsigned status, struct MHD_Response *r,
                              const char *location)
{
    enum MHD_Result result;

    if (!r)
        return MHD_NO;
    if (location)
        MHD_add_response_header(r, MHD_HTTP_HEADER_LOCATION, location);
    result = MHD_queue_response(c, status, r);
    MHD_destroy_response(r);
    return result;
}

static struct MHD_Response *text(const char *s)
{
    return MHD_create_response_from_buffer(strlen(s), (void *)(uintptr_t)s,
                                           MHD_RESPMEM_MUST_COPY);
}

static ssize_t fill(void *cls, uint64_t pos, char *buf, size_t max)
{
    (void)cls;
    (void)pos;
    memset(buf, 'x', max);
    return (ssize_t)max;
}

static ssize_t fill_then_drop(void *cls, uint64_t pos, char *buf, size_t max)
{
    if (pos >= 100)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    return fill(cls, pos, buf, max < 100 - pos ? max : 100 - (size_t)pos);
}

static struct MHD_Response *peak_text(void)
{
    char buf[32];

    pthread_mutex_lock(&lock);
    snprintf(buf, sizeof buf, "%.*s", peak, "0123456789012345678901234567890");
    pthread_mutex_unlock(&lock);
    return text(buf);
}

static enum MHD_Result handle(void *cls, struct MHD_Connection *c, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **state)
{
    unsigned long n = 0;

    (void)cls, (void)method, (void)version, (void)upload, (void)upload_size, (void)state;
    if (sscanf(url, "/ok/%lu", &n) == 1)
        return answer(c, 200, MHD_create_response_from_callback(n, 4096, fill, NULL, NULL), NULL);
    if (sscanf(url, "/delay/%lu", &n) == 1) {
        delay(n);
        return answer(c, 200, text("ok"), NULL);
    }
    if (strcmp(url, "/drop") == 0)
        return answer(c, 200, MHD_create_response_from_callback(1000, 4096, fill_then_drop, NULL,
                                                                NULL), NULL);
    if (strcmp(url, "/loop") == 0)
        return answer(c, 302, text(""), "/loop");
    if (strcmp(url, "/moved") == 0)
        return answer(c, 301, text(""), "/ok/7");
    if (strcmp(url, "/peak") == 0)
        return answer(c, 200, peak_text(), NULL);
    return answer(c, 404, text("no such page\n"), NULL);
}

static struct MHD_Daemon *start(void)
{
    struct sockaddr_in address;

    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION, 0,
                            NULL, NULL, handle, NULL, MHD_OPTION_SOCK_ADDR, &address,
                            MHD_OPTION_END);
}

int main(void)
{
    struct MHD_Daemon *server = start();
    const union MHD_DaemonInfo *info;
    char buf[64];

    info = server ? MHD_get_daemon_info(server, MHD_DAEMON_INFO_BIND_PORT) : NULL;
    if (!info) {
        fputs("fetch_server: cannot listen on 127.0.0.1\n", stderr);
        return EXIT_FAILURE;
    }
    printf("%u\n", (unsigned)info->port);
    fflush(stdout);
    while (read(STDIN_FILENO, buf, sizeof buf) > 0)
        continue;
    end_delays();
    MHD_stop_daemon(server);
    return EXIT_SUCCESS;
}
