/* cfsum: checksums of files, several files at a time.

       cc -I. -pthread examples/cfsum.c -lcrypto -o cfsum && ./cfsum cfut.h README.md

   It prints what the sha256sum of GNU coreutils prints, and checks such lists
   with -c. A file is a task, and so is each line of a list:

       next_job  ->  cfut_stream  ->  print_sum, check_sum
       names one     reads files      print, in the order of the names

   Shown here: cfut_stream_open with a pull function, cfut_stream_next_timeout,
   and cfut_stream_index to find what belongs to a result. Ctrl-C is a flag that
   the pull function and the loop look at: closing the stream cancels what has
   not started and asks the rest to stop, which cfut_stop_requested tells it. */
#define _FILE_OFFSET_BITS 64            /* large files on 32-bit systems */
#define CFUT_IMPLEMENTATION
#include "cfut.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <openssl/evp.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#ifdef HAVE_XXHASH
#include <xxhash.h>
#endif

enum { BUFFER = 64 * 1024, AHEAD = 512 };   /* bytes read at once; jobs under way */

static const char *const algorithms[] = {
    "MD5", "SHA1", "SHA224", "SHA256", "SHA384", "SHA512",
#ifdef HAVE_XXHASH
    "XXH3",
#endif
};

/* All are set before the first task is submitted, and constant from then on. */
static struct {
    const char *algorithm;
    const EVP_MD *evp;                  /* NULL: XXH3 */
    size_t size;                        /* bytes of a checksum */
    enum { UNSET, TEXT, BINARY } mode;
    bool check, tag, progress;
    bool ignore_missing, quiet, status, strict, warn;
    char end;                           /* of a line */
} opt = {.algorithm = "SHA256", .end = '\n'};

static volatile sig_atomic_t interrupted;
static atomic_ullong bytes_read;        /* for the progress line; the tasks add to it */

/* ---- the task ---- */

/* The main thread fills it, a task works on it, and then the main thread may
   look at it again. */
struct job {
    const char *name;                   /* NULL: a line of a list without a checksum */
    const char *path;                   /* NULL: standard input */
    char *line;                         /* of a list; name and expected point into it */
    size_t room, number;
    const char *expected;               /* hexadecimal digits */
    unsigned char digest[EVP_MAX_MD_SIZE];
};

/* As long as a pipe or terminal has nothing to read, looks up now and then
   whether to stop. */
static bool wait_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    while (!cfut_stop_requested())
        if (poll(&p, 1, 100) != 0)
            return true;
    return false;
}

/* Bytes read, 0 at the end, -errno. */
static int read_some(int fd, void *buf)
{
    ssize_t got = -1;

    do {
        if (!wait_readable(fd))
            return -ECANCELED;
        got = read(fd, buf, BUFFER);
    } while (got < 0 && (errno == EINTR || errno == EAGAIN));
    if (got < 0)
        return -errno;
    atomic_fetch_add_explicit(&bytes_read, (unsigned long long)got, memory_order_relaxed);
    return (int)got;
}

#ifdef HAVE_XXHASH
static int digest_xxh3(int fd, unsigned char *digest)
{
    XXH3_state_t *state = XXH3_createState();
    unsigned char buf[BUFFER];
    XXH64_canonical_t big_endian;
    int got = -ENOMEM;

    if (state && XXH3_64bits_reset(state) == XXH_OK) {
        while ((got = read_some(fd, buf)) > 0)
            XXH3_64bits_update(state, buf, (size_t)got);
        XXH64_canonicalFromHash(&big_endian, XXH3_64bits_digest(state));
        memcpy(digest, &big_endian, sizeof big_endian);
    }
    XXH3_freeState(state);
    return -got;
}
#endif

static int digest_evp(int fd, unsigned char *digest)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char buf[BUFFER];
    int got = -ENOMEM;

    if (ctx && EVP_DigestInit_ex(ctx, opt.evp, NULL))
        while ((got = read_some(fd, buf)) > 0)
            if (!EVP_DigestUpdate(ctx, buf, (size_t)got))
                break;
    if (got == 0 && !EVP_DigestFinal_ex(ctx, digest, NULL))
        got = -ENOMEM;
    EVP_MD_CTX_free(ctx);
    return got > 0 ? ENOMEM : -got;
}

static int digest_fd(int fd, unsigned char *digest)
{
#ifdef HAVE_XXHASH
    if (!opt.evp)
        return digest_xxh3(fd, digest);
#endif
    return digest_evp(fd, digest);
}

/* The task. Its argument is a pointer: the checksum goes into the job. What it
   returns is the status that the stream yields. A named pipe is opened without
   waiting for its writer; wait_readable does that. */
static int checksum(struct job *const *in)
{
    struct job *job = *in;
    int fd = STDIN_FILENO, status;

    if (!job->name)
        return CFUT_OK;
    if (job->path && (fd = open(job->path, O_RDONLY | O_NONBLOCK)) < 0)
        return errno;
    status = digest_fd(fd, job->digest);
    if (job->path)
        close(fd);
    return status;
}
CFUT_ACTION(checksum, struct job *);

/* ---- names ---- */

/* The letter that stands for c behind a backslash; 0 if there is none. */
static char letter_for(char c, const char *special, const char *letters)
{
    const char *found = c ? strchr(special, c) : NULL;

    return found ? letters[found - special] : '\0';
}

/* In a line of output: a line is a file, whatever its name. */
static void put_name(const char *name, bool escape)
{
    for (; *name; name++) {
        char letter = escape ? letter_for(*name, "\\\n\r", "\\nr") : '\0';

        if (letter)
            putchar('\\');
        putchar(letter ? letter : *name);
    }
}

/* The same backwards, in place. false: it is no such name. */
static bool unescape(char *name)
{
    char *to = name;

    for (; *name; name++) {
        *to = *name;
        if (*name == '\\' && !(*to = letter_for(*++name, "\\nr", "\\\n\r")))
            return false;
        to++;
    }
    *to = '\0';
    return true;
}

/* Whether a shell takes name as it is, or, with more, as it is in quotes. */
static bool plain(const char *name, const char *more)
{
    for (const char *s = name; *s; s++)
        if (!isalnum((unsigned char)*s) && (unsigned char)*s < 0x80 &&
            !strchr("%+,-./@]_", *s) && !strchr(more, *s) && (s == name || !strchr("#~{}", *s)))
            return false;
    return *name != '\0';
}

/* One byte of a name in single quotes, which $'...' interrupts for control
   characters. Returns whether it was one. */
static bool put_quoted_byte(char c, bool escaping)
{
    bool escape = (unsigned char)c < ' ' || c == 0x7f;
    char letter = letter_for(c, "\a\b\t\n\v\f\r", "abtnvfr");

    if (escape != escaping)
        fputs(escape ? "'$'" : "''", stderr);
    if (letter)
        fprintf(stderr, "\\%c", letter);
    else if (escape)
        fprintf(stderr, "\\%03o", (unsigned)c);
    else
        fputs(c == '\'' ? "'\\''" : (char[]){c, '\0'}, stderr);
    return escape;
}

/* In a message: as one would type it in a shell. */
static void put_quoted(const char *name)
{
    bool escaping = false;

    if (plain(name, "")) {
        fputs(name, stderr);
    } else if (strchr(name, '\'') && plain(name, " ':")) {
        fprintf(stderr, "\"%s\"", name);
    } else {
        putc('\'', stderr);
        for (; *name; name++)
            escaping = put_quoted_byte(*name, escaping);
        putc('\'', stderr);
    }
}

/* ---- messages ---- */

static bool drawn;                      /* the progress line is there */

static void erase_progress(void)
{
    if (drawn)
        fputs("\r\033[K", stderr);
    drawn = false;
}

static void draw_progress(size_t files)
{
    if (!opt.progress)
        return;
    fprintf(stderr, "\rcfsum: %zu files, %llu MiB ", files,
            atomic_load_explicit(&bytes_read, memory_order_relaxed) >> 20);
    drawn = true;
}

static void complain(const char *name, const char *why)
{
    erase_progress();
    fputs("cfsum: ", stderr);
    put_quoted(name);
    fprintf(stderr, ": %s\n", why);
}

static void warn_of(size_t n, const char *one, const char *many)
{
    if (n && !opt.status)
        fprintf(stderr, "cfsum: WARNING: %zu %s\n", n, n == 1 ? one : many);
}

/* ---- jobs ---- */

static const char hex_digits[] = "0123456789abcdefABCDEF";

struct counts { size_t files, lines, malformed, well_formed, unreadable, matching, different; };

struct run {
    char **names;                       /* files to print checksums of, up to NULL; or */
    FILE *list;                         /* the list to check */
    const char *list_name;
    bool stdin_taken;
    enum { UNKNOWN, ONE_BLANK, TWO_BLANKS } kind;   /* of list: see split_line */
    size_t pulled;
    struct counts n;
    struct job jobs[AHEAD + 1];         /* see job_of */
};

/* The stream holds AHEAD jobs, and when it yields one, it pulls the next before
   it returns: so there is one more. */
static struct job *job_of(struct run *r, size_t index)
{
    return &r->jobs[index % (AHEAD + 1)];
}

/* Whoever reads standard input reads it to its end: who comes later finds
   nothing there. */
static void set_name(struct run *r, struct job *job, const char *name)
{
    bool is_stdin = strcmp(name, "-") == 0;

    job->name = name;
    job->path = !is_stdin ? name : r->stdin_taken ? "/dev/null" : NULL;
    r->stdin_taken |= is_stdin;
}

/* Splits "CHECKSUM  NAME", "CHECKSUM *NAME" or, as the BSDs write it, "CHECKSUM
   NAME"; there a name may begin with a blank, so a list must not mix them. Returns
   the name, NULL if this is no such line. */
static char *split_line(struct run *r, struct job *job, char *s)
{
    char *name = s + strspn(s, hex_digits);
    bool marked;

    if ((size_t)(name - s) != 2 * opt.size || (*name != ' ' && *name != '\t') || name[1] == '\0')
        return NULL;
    job->expected = s;
    name++;
    marked = (*name == ' ' || *name == '*') && name[1] != '\0';
    if (r->kind == UNKNOWN)
        r->kind = marked ? TWO_BLANKS : ONE_BLANK;
    if (r->kind == ONE_BLANK)
        return name;
    return marked ? name + 1 : NULL;
}

/* Splits what is behind "SHA256" in "SHA256 (NAME) = CHECKSUM". */
static char *split_tagged(struct job *job, char *s)
{
    char *name = s + (*s == ' ') + 1, *end = strrchr(s, ')');

    if (name[-1] != '(' || !end)
        return NULL;
    *end++ = '\0';
    end += strspn(end, " \t");
    if (*end++ != '=')
        return NULL;
    job->expected = end + strspn(end, " \t");
    return strspn(job->expected, hex_digits) == 2 * opt.size &&
                   job->expected[2 * opt.size] == '\0' ? name : NULL;
}

static void parse_line(struct run *r, struct job *job)
{
    char *s = job->line + strspn(job->line, " \t"), *name;
    bool escaped = *s == '\\';
    size_t tag = strlen(opt.algorithm);

    s += escaped;
    if (strncmp(s, opt.algorithm, tag) == 0)
        name = split_tagged(job, s + tag);
    else
        name = split_line(r, job, s);
    job->name = NULL;
    if (name && (!escaped || unescape(name)) && (r->list != stdin || strcmp(name, "-") != 0))
        set_name(r, job, name);
}

/* The next line of a list that is neither empty nor a comment. A line without a
   checksum is a job, too: so the warning about it comes when its turn is. */
static bool next_line(struct run *r, struct job *job)
{
    do {
        ssize_t length = getline(&job->line, &job->room, r->list);

        if (length <= 0)
            return false;
        r->n.lines++;
        if (job->line[length - 1] == '\n')
            job->line[--length] = '\0';
        if (length && job->line[length - 1] == '\r')
            job->line[--length] = '\0';
    } while (job->line[0] == '#' || job->line[0] == '\0');
    job->number = r->n.lines;
    parse_line(r, job);
    return true;
}

/* What the stream calls for its next input (see cfut_pull_fn). */
static int next_job(void *user, void *in)
{
    struct run *r = user;
    struct job *job = job_of(r, r->pulled);

    if (interrupted)
        return CFUT_END;
    if (opt.check ? !next_line(r, job) : !*r->names)
        return CFUT_END;
    if (!opt.check)
        set_name(r, job, *r->names++);
    r->pulled++;
    *(struct job **)in = job;
    return CFUT_OK;
}

/* ---- results ---- */

static bool print_sum(const struct job *job, int status)
{
    bool escape = opt.end == '\n' && strpbrk(job->name, "\\\n\r");

    if (status != CFUT_OK) {
        complain(job->name, strerror(status));
        return false;
    }
    if (escape)
        putchar('\\');
    if (opt.tag) {
        printf("%s (", opt.algorithm);
        put_name(job->name, escape);
        fputs(") = ", stdout);
    }
    for (size_t i = 0; i < opt.size; i++)
        printf("%02x", job->digest[i]);
    if (!opt.tag) {
        fputs(opt.mode == BINARY ? " *" : "  ", stdout);
        put_name(job->name, escape);
    }
    putchar(opt.end);
    return true;
}

static bool matches(const struct job *job)
{
    char hex[3];

    for (size_t i = 0; i < opt.size; i++) {
        snprintf(hex, sizeof hex, "%02x", job->digest[i]);
        if (strncasecmp(hex, &job->expected[2 * i], 2) != 0)
            return false;
    }
    return true;
}

static void print_check(const struct job *job, const char *verdict)
{
    bool escape = strchr(job->name, '\n') != NULL;

    if (escape)
        putchar('\\');
    put_name(job->name, escape);
    printf(": %s\n", verdict);
}

static void check_sum(struct run *r, const struct job *job, int status)
{
    const char *verdict = "FAILED open or read";

    r->n.well_formed++;
    if (status == ENOENT && opt.ignore_missing)
        return;
    if (status != CFUT_OK) {
        complain(job->name, strerror(status));
        r->n.unreadable++;
    } else if (matches(job)) {
        verdict = opt.quiet ? NULL : "OK";
        r->n.matching++;
    } else {
        verdict = "FAILED";
        r->n.different++;
    }
    if (verdict && !opt.status)
        print_check(job, verdict);
}

static void complain_of_line(struct run *r, const struct job *job)
{
    char why[100];

    snprintf(why, sizeof why, "%zu: improperly formatted %s checksum line", job->number,
             opt.algorithm);
    r->n.malformed++;
    if (opt.warn)
        complain(r->list_name, why);
}

static bool use_result(struct run *r, const struct job *job, int status)
{
    erase_progress();
    r->n.files++;
    if (!opt.check)
        return print_sum(job, status);
    if (job->name)
        check_sum(r, job, status);
    else
        complain_of_line(r, job);
    return true;                        /* end_list says what it comes to */
}

/* All files, or all lines of one list. Returns whether all went well. */
static bool run_jobs(struct run *r, cfut_executor *pool)
{
    cfut_stream_desc desc = {.buffersize = AHEAD};
    cfut_stream *s = cfut_stream_open(pool, &checksum_task, next_job, r, &desc);
    bool ok = true;
    int status;

    do {
        status = cfut_stream_next_timeout(s, NULL, CFUT_MS(100));
        if (status >= 0 && !interrupted)        /* a checksum, or an errno value */
            ok &= use_result(r, job_of(r, cfut_stream_index(s)), status);
        if (status == CFUT_TIMEOUT || r->n.files % 64 == 0)
            draw_progress(r->n.files);
    } while (!interrupted && (status >= 0 || status == CFUT_TIMEOUT));
    cfut_stream_close(s);
    erase_progress();
    if (status == CFUT_END || interrupted)
        return ok;
    fprintf(stderr, "cfsum: %s\n", cfut_strerror(status));
    return false;
}

/* ---- lists ---- */

static bool end_list(const struct run *r)
{
    const struct counts *n = &r->n;

    if (ferror(r->list)) {
        complain(r->list_name, "read error");
        return false;
    }
    if (n->well_formed == 0)
        complain(r->list_name, "no properly formatted checksum lines found");
    else if (!opt.status) {
        warn_of(n->malformed, "line is improperly formatted", "lines are improperly formatted");
        warn_of(n->unreadable, "listed file could not be read",
                "listed files could not be read");
        warn_of(n->different, "computed checksum did NOT match",
                "computed checksums did NOT match");
        if (opt.ignore_missing && n->matching == 0)
            complain(r->list_name, "no file was verified");
    }
    return n->matching && !n->different && !n->unreadable && !(opt.strict && n->malformed);
}

static bool check_list(struct run *r, const char *name, cfut_executor *pool)
{
    bool is_stdin = strcmp(name, "-") == 0, ok;

    r->list = is_stdin ? stdin : fopen(name, "r");
    r->list_name = is_stdin ? "standard input" : name;
    if (!r->list) {
        complain(name, strerror(errno));
        return false;
    }
    r->stdin_taken |= is_stdin;
    r->pulled = 0;
    r->n = (struct counts){0};
    ok = run_jobs(r, pool);
    if (!interrupted)
        ok &= end_list(r);
    if (!is_stdin)
        fclose(r->list);
    return ok;
}

static bool run_all(char **names, int workers)
{
    static struct run r;
    cfut_executor *pool = cfut_thread_pool(&(cfut_thread_pool_desc){.max_workers = workers});
    bool ok = true;

    r.names = names;
    if (!opt.check)
        ok = run_jobs(&r, pool);
    for (; opt.check && *names && !interrupted; names++)
        ok &= check_list(&r, *names, pool);
    cfut_shutdown(pool, CFUT_CANCEL_PENDING);
    return ok;
}

/* ---- the command line ---- */

static const char usage[] =
    "Usage: cfsum [OPTION]... [FILE]...\n"
    "Prints or checks checksums of files, several at a time. Without FILE, or if it is\n"
    "-, standard input is read.\n"
    "\n"
    "  -a ALGORITHM          md5, sha1, sha224, sha256 (the default), sha384, sha512"
#ifdef HAVE_XXHASH
    ",\n                        xxh3"
#endif
    "\n"
    "  -j N                  N files at a time; the default is one for each processor\n"
    "  -p, --progress        show progress, also if standard error is no terminal\n"
    "  -b, --binary          mark names with *\n"
    "  -t, --text            do not (the default)\n"
    "      --tag             print in the style of BSD\n"
    "  -z, --zero            end lines with NUL, and do not escape names\n"
    "  -c, --check           read checksums from the FILEs and check them; with it:\n"
    "      --ignore-missing  say nothing about files that do not exist\n"
    "      --quiet           do not print OK for files that match\n"
    "      --status          print nothing\n"
    "      --strict          fail if there are improperly formatted lines\n"
    "  -w, --warn            warn about each of them\n"
    "      --help            print this help\n"
    "\n"
    "Exit status: 0 if all went well, 1 if not, 130 after Ctrl-C.\n";

enum { HELP = 256, IGNORE_MISSING, QUIET, STATUS, STRICT, TAG };

static const struct option options[] = {
    {"binary", no_argument, NULL, 'b'},      {"check", no_argument, NULL, 'c'},
    {"help", no_argument, NULL, HELP},       {"ignore-missing", no_argument, NULL, IGNORE_MISSING},
    {"progress", no_argument, NULL, 'p'},    {"quiet", no_argument, NULL, QUIET},
    {"status", no_argument, NULL, STATUS},   {"strict", no_argument, NULL, STRICT},
    {"tag", no_argument, NULL, TAG},         {"text", no_argument, NULL, 't'},
    {"warn", no_argument, NULL, 'w'},        {"zero", no_argument, NULL, 'z'},
    {NULL, 0, NULL, 0},
};

static int try_help(const char *why, const char *what)
{
    if (why)
        fprintf(stderr, "cfsum: %s%s\n", why, what);
    fputs("Try 'cfsum --help' for more information.\n", stderr);
    return EXIT_FAILURE;
}

static bool set_algorithm(const char *name)
{
    for (size_t i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++) {
        if (strcasecmp(name, algorithms[i]) == 0) {
            opt.algorithm = algorithms[i];
            return true;
        }
    }
    return false;
}

/* What does not go together, or NULL. */
static const char *contradiction(void)
{
    static const char only[] = " option is meaningful only when verifying checksums";
    static char text[100];
    const char *option = opt.ignore_missing ? "--ignore-missing" : opt.status ? "--status"
                       : opt.warn ? "--warn" : opt.quiet ? "--quiet"
                       : opt.strict ? "--strict" : NULL;

    if (opt.tag && opt.mode == TEXT)
        return "--tag does not support --text mode";
    if (opt.check && opt.end == '\0')
        return "the --zero option is not supported when verifying checksums";
    if (opt.check && opt.tag)
        return "the --tag option is meaningless when verifying checksums";
    if (opt.check && opt.mode != UNSET)
        return "the --binary and --text options are meaningless when verifying checksums";
    if (opt.check || !option)
        return NULL;
    snprintf(text, sizeof text, "the %s%s", option, only);
    return text;
}

/* Of --quiet, --status and --warn the last one counts. */
static void set_loudness(int c)
{
    opt.quiet = c == QUIET;
    opt.status = c == STATUS;
    opt.warn = c == 'w';
}

/* Returns the program's exit status if it shall end now, else -1. */
static int parse_options(int argc, char **argv, int *workers)
{
    const char *wrong;
    char *end;
    int c;

    while ((c = getopt_long(argc, argv, "a:bcj:ptwz", options, NULL)) != -1) {
        switch (c) {
        case 'a':
            if (!set_algorithm(optarg))
                return try_help("unknown algorithm: ", optarg);
            break;
        case 'j':
            *workers = (int)strtol(optarg, &end, 10);
            if (!isdigit((unsigned char)*optarg) || *end || *workers < 1 || *workers > 1024)
                return try_help("invalid number of workers: ", optarg);
            break;
        case 'b': opt.mode = BINARY; break;
        case 't': opt.mode = TEXT; break;
        case 'c': opt.check = true; break;
        case 'p': opt.progress = true; break;
        case 'z': opt.end = '\0'; break;
        case 'w': case QUIET: case STATUS: set_loudness(c); break;
        case IGNORE_MISSING: opt.ignore_missing = true; break;
        case STRICT: opt.strict = true; break;
        case TAG: opt.tag = true; opt.mode = BINARY; break;
        case HELP: fputs(usage, stdout); return EXIT_SUCCESS;
        default: return try_help(NULL, NULL);
        }
    }
    wrong = contradiction();
    return wrong ? try_help(wrong, "") : -1;
}

/* Fetched once, since that takes longer than the checksum of a small file. */
static EVP_MD *fetch_algorithm(void)
{
    EVP_MD *evp = strcmp(opt.algorithm, "XXH3") != 0 ? EVP_MD_fetch(NULL, opt.algorithm, NULL)
                                                     : NULL;

    opt.evp = evp;
    opt.size = evp ? (size_t)EVP_MD_get_size(evp) : sizeof(uint64_t);
    return evp;
}

static void interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

int main(int argc, char **argv)
{
    static char *just_stdin[] = {"-", NULL};
    int workers = 0;                    /* the pool's default */
    int status;
    EVP_MD *evp;
    bool ok;

    opt.progress = isatty(STDERR_FILENO);
    status = parse_options(argc, argv, &workers);
    if (status >= 0)
        return status;
    evp = fetch_algorithm();
    if (!evp && strcmp(opt.algorithm, "XXH3") != 0) {
        fprintf(stderr, "cfsum: this libcrypto has no %s\n", opt.algorithm);
        return EXIT_FAILURE;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);   /* never half a line, whatever happens */
    if (signal(SIGINT, SIG_IGN) != SIG_IGN)     /* unless we were told to ignore it */
        sigaction(SIGINT, &(struct sigaction){.sa_handler = interrupt}, NULL);
    ok = run_all(optind < argc ? argv + optind : just_stdin, workers);
    EVP_MD_free(evp);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "cfsum: write error: %s\n", strerror(errno));
        ok = false;
    }
    if (interrupted) {                  /* tell the shell that it was Ctrl-C */
        signal(SIGINT, SIG_DFL);
        raise(SIGINT);
    }
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
