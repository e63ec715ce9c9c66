/* wc: counts the lines, words and bytes of files, on all processors.

       cc -I. -pthread examples/wc.c -o wc && ./wc cfut.h README.md

   It prints what the wc of GNU coreutils prints. The whole work is cut into
   pieces: a small file is one, a large file is several. A piece is a task.

       next_piece  ->  cfut_stream  ->  add_piece
       cuts            counts in        puts together
                       parallel         and prints

   The stream keeps a few pieces for each worker under way and yields their
   counts in the order in which they were cut. So the output has the order of
   the arguments, and the memory needed does not grow with the files. */
#define _FILE_OFFSET_BITS 64            /* large files on 32-bit systems */
#define CFUT_IMPLEMENTATION
#include "cfut.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifndef PIECE
#define PIECE (2 * 1024 * 1024)         /* bytes; a larger file is cut */
#endif
#define BUFFER (64 * 1024)              /* bytes read at once, on a worker's stack */
#define SHRANK (-1)                     /* beside errno values: the end came too early */

/* ---- counting ---- */

/* What a byte is to words. Other bytes (control characters, those above 127)
   neither begin nor end a word: so it is in the C locale, in coreutils up to 9.4
   (later ones take them as parts of words). */
enum kind { OTHER, SPACE, WORD };

static unsigned char kinds[256];

/* The counts of some bytes in a row. */
struct counts {
    uint64_t lines, words, bytes;
    unsigned char first, last;          /* kind of the first and last byte not OTHER */
    int error;                          /* why reading ended early: an errno, or SHRANK */
};

/* Which counts are wanted. Set by main before the first task is submitted,
   constant from then on: so the tasks may read it without a lock. */
static struct { bool lines, words, bytes; } show;

/* How much was read so far, for the progress line; the workers add to it. */
static atomic_uint_fast64_t bytes_read;

static void fill_kinds(void)
{
    for (int c = '!'; c <= '~'; c++)
        kinds[c] = WORD;
    for (const char *s = " \t\n\v\f\r"; *s; s++)
        kinds[(unsigned char)*s] = SPACE;
}

/* Appends b to a. A word across the cut between them was counted on both
   sides. */
static void append(struct counts *a, const struct counts *b)
{
    if (a->last == WORD && b->first == WORD)
        a->words--;
    a->lines += b->lines;
    a->words += b->words;
    a->bytes += b->bytes;
    if (a->first == OTHER)
        a->first = b->first;
    if (b->last != OTHER)
        a->last = b->last;
    if (a->error == 0)
        a->error = b->error;
}

static uint64_t count_lines(const unsigned char *p, size_t n)
{
    const unsigned char *end = p + n;
    uint64_t lines = 0;

    while ((p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
        p++;
        lines++;
    }
    return lines;
}

/* Without a branch that depends on the bytes: those cost most in such loops. */
static void count_words(const unsigned char *p, size_t n, struct counts *c)
{
    unsigned char last = OTHER;

    for (size_t i = 0; i < n; i++) {
        unsigned char kind = kinds[p[i]];

        c->lines += p[i] == '\n';
        c->words += (kind == WORD) & (last != WORD);
        last = kind != OTHER ? kind : last;
    }
    for (size_t i = 0; i < n && c->first == OTHER; i++)
        c->first = kinds[p[i]];
    c->last = last;
}

static void count_buffer(const unsigned char *p, size_t n, struct counts *sum)
{
    struct counts c = {.bytes = n};

    if (show.words)
        count_words(p, n, &c);
    else if (show.lines)
        c.lines = count_lines(p, n);
    append(sum, &c);
    atomic_fetch_add_explicit(&bytes_read, n, memory_order_relaxed);
}

/* ---- the task ---- */

/* A whole file, read in order to its end, or a range of one. Neither name nor
   fd: nothing at all. */
struct piece {
    const char *name;                   /* what to open, if fd is -1 */
    int fd;
    bool range;                         /* start and end count; else all there is */
    bool last;                          /* reads on behind end: the file may have grown */
    int64_t start, end;
};

static ssize_t read_piece(int fd, const struct piece *p, int64_t at, void *buf)
{
    size_t want = p->last || p->end - at > BUFFER ? BUFFER : (size_t)(p->end - at);
    ssize_t got;

    do {
        got = p->range ? pread(fd, buf, want, at) : read(fd, buf, want);
    } while (got < 0 && errno == EINTR);
    return got;
}

/* Counts a piece. A read error ends it; what was counted before remains valid. */
static void count_fd(int fd, const struct piece *p, struct counts *c)
{
    unsigned char buf[BUFFER];
    int64_t at = p->start;

    while ((p->last || at < p->end) && !cfut_stop_requested()) {
        ssize_t got = read_piece(fd, p, at, buf);

        if (got < 0)
            c->error = errno;
        else if (got == 0 && at < p->end)
            c->error = SHRANK;
        if (got <= 0)
            return;
        count_buffer(buf, (size_t)got, c);
        at += got;
    }
}

/* A regular file knows its size. Only its last bytes are read, because some
   file systems (/sys) give a size that is not the truth. */
static void skip_most(int fd, struct counts *c)
{
    off_t at = lseek(fd, 0, SEEK_CUR);
    struct stat st;

    if (at < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size - at <= BUFFER)
        return;
    if (lseek(fd, st.st_size - BUFFER, SEEK_SET) >= 0)
        c->bytes = (uint64_t)(st.st_size - BUFFER - at);
}

/* The task: counts one piece. It fails if the file cannot be opened. */
static int count_piece(const struct piece *p, struct counts *c)
{
    int fd = p->fd;

    *c = (struct counts){0};
    if (fd < 0 && !p->name)
        return CFUT_OK;
    if (fd < 0 && (fd = open(p->name, O_RDONLY)) < 0)
        return errno;
    if (!p->range && !show.lines && !show.words)
        skip_most(fd, c);
    count_fd(fd, p, c);
    if (fd != p->fd)
        close(fd);
    return CFUT_OK;
}
CFUT_TASK(count_piece, struct piece, struct counts);

/* ---- the files ---- */

enum { NOT_REGULAR = -1, UNKNOWN = -2 };

/* One argument. */
struct input {
    const char *name;                   /* NULL: standard input, not named */
    int64_t size;                       /* of a regular file, else one of the above */
    int fd;                             /* a cut file's, which its pieces share */
    bool cut;
    size_t pieces, counted;             /* how many were cut so far, how many came back */
    int status;                         /* why it could not be opened */
    struct counts sum;
};

struct wc {
    struct input *inputs;
    size_t n;
    size_t cutting;                     /* the input to cut next */
    int64_t at;                         /* where its next piece begins */
    size_t done;                        /* the input whose counts come in */
    bool stdin_taken;
    struct counts total;
    int width;                          /* of a column */
    bool failed;
    /* progress */
    bool stderr_is_terminal, stdout_is_terminal, drawn;
    int64_t drawn_at;                   /* in milliseconds */
};

static bool is_stdin(const struct input *in)
{
    return in->name == NULL || strcmp(in->name, "-") == 0;
}

static int64_t file_size(const struct input *in)
{
    struct stat st;

    if ((is_stdin(in) ? fstat(STDIN_FILENO, &st) : stat(in->name, &st)) != 0)
        return UNKNOWN;
    return S_ISREG(st.st_mode) ? (int64_t)st.st_size : NOT_REGULAR;
}

/* NULL: out of memory. */
static struct input *make_inputs(char **names, size_t n)
{
    struct input *inputs = calloc(n, sizeof *inputs);

    for (size_t i = 0; inputs && i < n; i++) {
        inputs[i].name = names[i];
        inputs[i].size = file_size(&inputs[i]);
    }
    return inputs;
}

/* ---- cutting ---- */

/* Bytes alone need no cutting: see skip_most. */
static bool worth_cutting(int64_t size)
{
    return size > PIECE && (show.lines || show.words);
}

/* Standard input may stand behind its beginning. Whoever reads it reads it to
   its end: so a second "-" finds nothing. */
static void begin_stdin(struct wc *w, struct input *in)
{
    if (w->stdin_taken)
        return;
    w->stdin_taken = true;
    in->fd = STDIN_FILENO;
    w->at = lseek(STDIN_FILENO, 0, SEEK_CUR);
    in->cut = w->at >= 0 && worth_cutting(in->size - w->at);
}

/* A file to cut is opened here, once for all of its pieces. Other files are
   opened by their task: that may take long (a slow disk, a pipe that nobody
   writes to yet), and must not hold up the rest. */
static void begin_input(struct wc *w, struct input *in)
{
    w->at = 0;
    in->fd = -1;
    if (is_stdin(in)) {
        begin_stdin(w, in);
    } else if (worth_cutting(in->size)) {
        in->fd = open(in->name, O_RDONLY);
        in->cut = in->fd >= 0;          /* if not, let the task find out why */
    }
}

/* The next range of a cut file. */
static void cut(struct wc *w, const struct input *in, struct piece *p)
{
    p->range = true;
    p->start = w->at;
    p->last = in->size - w->at <= PIECE;
    p->end = p->last ? in->size : w->at + PIECE;
    w->at = p->end;
}

/* What the stream calls for its next input (see cfut_pull_fn). */
static int next_piece(void *user, void *out)
{
    struct wc *w = user;
    struct piece *p = out;
    struct input *in;

    if (w->cutting == w->n)
        return CFUT_END;
    in = &w->inputs[w->cutting];
    if (in->pieces++ == 0)
        begin_input(w, in);
    *p = (struct piece){.name = is_stdin(in) ? NULL : in->name, .fd = in->fd, .last = true};
    if (in->cut)
        cut(w, in, p);
    if (p->last)
        w->cutting++;
    return CFUT_OK;
}

/* ---- output ---- */

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void erase_progress(struct wc *w)
{
    if (w->drawn)
        fprintf(stderr, "\r%*s\r", 60, "");
    w->drawn = false;
}

static void draw_progress(struct wc *w)
{
    int64_t now = now_ms();

    if (!w->stderr_is_terminal || now - w->drawn_at < 100)
        return;
    fprintf(stderr, "\rwc: %zu of %zu files, %" PRIu64 " MiB ", w->done, w->n,
            (uint64_t)atomic_load_explicit(&bytes_read, memory_order_relaxed) >> 20);
    w->drawn = true;
    w->drawn_at = now;
}

/* One byte inside $'...'. */
static void put_escape(FILE *to, unsigned char c)
{
    const char *special = "\a\b\t\n\v\f\r", *letters = "abtnvfr";
    const char *found = c ? strchr(special, c) : NULL;

    if (found)
        fprintf(to, "\\%c", letters[found - special]);
    else
        fprintf(to, "\\%03o", c);
}

/* A name with a newline is quoted as for a shell: a line of output is a file. */
static void put_name(FILE *to, const char *name)
{
    bool escaping = false;

    if (!strchr(name, '\n')) {
        fputs(name, to);
        return;
    }
    putc('\'', to);
    for (const char *s = name; *s; s++) {
        bool escape = *s < ' ' || *s > '~';

        if (escape != escaping && *s != '\'')
            fputs(escape ? "'$'" : "''", to);
        escaping = escape;
        if (escape)
            put_escape(to, (unsigned char)*s);
        else if (*s == '\'')
            fputs("'\\''", to);
        else
            putc(*s, to);
    }
    putc('\'', to);
}

static void complain(struct wc *w, const char *name, int error)
{
    erase_progress(w);
    w->failed = true;
    fputs("wc: ", stderr);
    if (name && !*name) {
        fputs("invalid zero-length file name\n", stderr);
        return;
    }
    put_name(stderr, name ? name : "standard input");
    fprintf(stderr, ": %s\n", error == SHRANK ? "became shorter while it was read"
                                              : strerror(error));
}

static void put_number(bool wanted, uint64_t number, int width, const char **gap)
{
    if (!wanted)
        return;
    printf("%s%*" PRIu64, *gap, width, number);
    *gap = " ";
}

static void print_line(struct wc *w, const struct counts *c, const char *name)
{
    const char *gap = "";

    if (w->stdout_is_terminal)
        erase_progress(w);
    put_number(show.lines, c->lines, w->width, &gap);
    put_number(show.words, c->words, w->width, &gap);
    put_number(show.bytes, c->bytes, w->width, &gap);
    if (name) {
        putchar(' ');
        put_name(stdout, name);
    }
    putchar('\n');
}

/* Columns are as wide as the sum of all sizes, seven digits if there is
   something whose size cannot be known, one if there is a single number. */
static int number_width(const struct wc *w)
{
    int width = 1, least = 1;
    int64_t sum = 0;

    if (w->n == 1 && show.lines + show.words + show.bytes == 1)
        return 1;
    for (size_t i = 0; i < w->n; i++) {
        if (w->inputs[i].size == NOT_REGULAR)
            least = 7;
        else if (w->inputs[i].size > 0)
            sum += w->inputs[i].size;
    }
    for (; sum >= 10; sum /= 10)
        width++;
    return width > least ? width : least;
}

/* ---- putting together ---- */

static void finish_input(struct wc *w, struct input *in)
{
    if (in->cut && in->fd == STDIN_FILENO)
        lseek(STDIN_FILENO, 0, SEEK_END);   /* as if it had been read in order */
    else if (in->cut)
        close(in->fd);
    if (in->status != CFUT_OK) {
        complain(w, in->name, in->status);
        return;
    }
    if (in->sum.error)
        complain(w, in->name, in->sum.error);
    print_line(w, &in->sum, in->name);
    w->total.lines += in->sum.lines;
    w->total.words += in->sum.words;
    w->total.bytes += in->sum.bytes;
}

/* Takes what the stream yielded: the next piece of the input at w->done. */
static void add_piece(struct wc *w, int status, const struct counts *c)
{
    struct input *in = &w->inputs[w->done];

    if (status == CFUT_OK)
        append(&in->sum, c);
    else
        in->status = status;
    in->counted++;
    if (in->counted == in->pieces && w->cutting > w->done) {    /* it was the last one */
        finish_input(w, in);
        w->done++;
    }
}

/* Returns CFUT_END when all is counted, or why that was not possible. */
static int count_all(struct wc *w, cfut_stream *s)
{
    cfut_ns patience = w->stderr_is_terminal ? CFUT_MS(100) : CFUT_FOREVER;

    for (;;) {
        struct counts c;
        int status = cfut_stream_next_timeout(s, &c, patience);

        if (status == CFUT_OK || status > 0)        /* counted, or not opened: errno */
            add_piece(w, status, &c);
        else if (status != CFUT_TIMEOUT)            /* the end, or cfut itself failed */
            return status;
        draw_progress(w);
    }
}

static void count_and_print(struct wc *w, int workers)
{
    cfut_executor *pool = cfut_thread_pool(&(cfut_thread_pool_desc){.max_workers = workers});
    int ahead = 8 * (int)cfut_executor_max_workers(pool);
    cfut_stream *s = cfut_stream_open(pool, &count_piece_task, next_piece, w,
                                      &(cfut_stream_desc){.buffersize = ahead});
    int status = count_all(w, s);

    erase_progress(w);
    if (status != CFUT_END) {
        fprintf(stderr, "wc: %s\n", cfut_strerror(status));
        w->failed = true;
    } else if (w->n > 1) {
        print_line(w, &w->total, "total");
    }
    cfut_stream_close(s);
    cfut_shutdown(pool, CFUT_CANCEL_PENDING);
}

/* ---- the command line ---- */

static const char usage[] =
    "Usage: wc [-clw] [-j N] [FILE]...\n"
    "Prints the newline, word and byte counts of each FILE, and their sums if there\n"
    "is more than one. Without FILE, or if it is -, standard input is read.\n"
    "\n"
    "  -c, --bytes     print the byte counts\n"
    "  -l, --lines     print the newline counts\n"
    "  -w, --words     print the word counts\n"
    "  -j, --jobs N    use N workers; the default is one for each processor\n"
    "      --help      print this help\n"
    "\n"
    "A word is a row of printable ASCII characters between white space, as in the\n"
    "C locale, whatever locale is set. Other bytes neither make nor end a word.\n";

/* The number of workers; 0: not a valid one. */
static int parse_jobs(const char *text)
{
    char *end;
    long n = strtol(text, &end, 10);

    if (*text && !*end && n >= 1 && n <= 1024)
        return (int)n;
    fprintf(stderr, "wc: invalid number of workers: %s\n", text);
    return 0;
}

/* Returns the program's exit status if it shall end now, else -1. */
static int parse_options(int argc, char **argv, int *workers)
{
    static const struct option names[] = {
        {"bytes", no_argument, NULL, 'c'}, {"lines", no_argument, NULL, 'l'},
        {"words", no_argument, NULL, 'w'}, {"jobs", required_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},  {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "clwj:", names, NULL)) != -1) {
        switch (c) {
        case 'c': show.bytes = true; break;
        case 'l': show.lines = true; break;
        case 'w': show.words = true; break;
        case 'h': fputs(usage, stdout); return EXIT_SUCCESS;
        case 'j':
            if ((*workers = parse_jobs(optarg)) == 0)
                return EXIT_FAILURE;
            break;
        default:
            fputs("Try 'wc --help' for more information.\n", stderr);
            return EXIT_FAILURE;
        }
    }
    if (!show.lines && !show.words && !show.bytes)
        show.lines = show.words = show.bytes = true;
    return -1;
}

int main(int argc, char **argv)
{
    static char *just_stdin[] = {NULL};
    struct wc w = {.stderr_is_terminal = isatty(STDERR_FILENO),
                   .stdout_is_terminal = isatty(STDOUT_FILENO), .drawn_at = now_ms()};
    int workers = 0;                    /* the pool's default */
    int status = parse_options(argc, argv, &workers);

    if (status < 0) {
        w.n = optind < argc ? (size_t)(argc - optind) : 1;
        w.inputs = make_inputs(optind < argc ? argv + optind : just_stdin, w.n);
        if (!w.inputs) {
            fprintf(stderr, "wc: %s\n", cfut_strerror(CFUT_NO_MEMORY));
            return EXIT_FAILURE;
        }
        fill_kinds();
        w.width = number_width(&w);
        count_and_print(&w, workers);
        free(w.inputs);
        status = w.failed ? EXIT_FAILURE : EXIT_SUCCESS;
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "wc: write error: %s\n", strerror(errno));
        status = EXIT_FAILURE;
    }
    return status;
}
