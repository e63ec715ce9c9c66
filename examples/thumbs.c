/* thumbs: makes thumbnails of many pictures. Decoders meet broken files, and some
   crash of them, hang, or ask for all memory. Here that costs one line of the
   report: every picture is decoded in a worker process.

       cc -I. -pthread examples/thumbs.c $(pkg-config --cflags --libs stb) -o thumbs
       ./thumbs -o small *.jpg *.png

   A stream feeds the pool a few files at a time, and yields them in order. A task
   travels to another process as bytes: so the names are arrays in its argument,
   where a pointer would point to nothing. */
#define CFUT_IMPLEMENTATION
#include "cfut.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stb_image.h>
#include <stb_image_resize.h>
#include <stb_image_write.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char usage[] =
    "Usage: thumbs [-j N] [-s SIZE] [-t SECONDS] [-m MIB] [-p] -o DIR FILE...\n"
    "Makes DIR/NAME.png of every picture (JPEG, PNG, BMP, GIF, TGA, PSD, PNM), and\n"
    "prints a line for each, in the order of the arguments.\n"
    "\n"
    "  -o DIR          where to put them; made if it is not there\n"
    "  -s SIZE         no side longer than SIZE pixels; 128 if not given\n"
    "  -j N            use N processes; the default is one for each processor\n"
    "  -t SECONDS      give up a picture after that; 30 if not given, 0: never\n"
    "  -m MIB          memory that a process may have; 1024 if not given, 0: all\n"
    "  -p              show progress, also if standard error is no terminal\n"
    "      --help      print this help\n"
    "\n"
    "Exit status: 0 all made, 1 at least one failed, 2 bad arguments. What cannot be\n"
    "made is not there, not even in part; no FILE is ever overwritten.\n";

enum { PATH_SIZE = 4096, BAD_ARGUMENTS = 2 };

/* ---- the task ---- */

struct order {
    char from[PATH_SIZE], part[PATH_SIZE];      /* part: where to write */
    int size;
};

struct thumb {
    int width, height;          /* of the picture */
    int thumb_width, thumb_height;
    long long bytes;            /* of the thumbnail's file */
};

struct image {
    int width, height, channels;
    unsigned char *pixels;      /* from malloc */
};

/* All of an open file. Returns the block, or NULL with errno. */
static unsigned char *read_all(FILE *f, int *size)
{
    unsigned char *data = NULL, *more;
    size_t have = 0, room = 1 << 16;

    while (room <= INT_MAX / 2 && (more = realloc(data, room)) != NULL) {
        data = more;
        have += fread(data + have, 1, room - have, f);
        if (ferror(f))
            break;
        if (have < room) {
            *size = (int)have;
            return data;
        }
        room *= 2;
    }
    if (!ferror(f) && room > INT_MAX / 2)
        errno = EFBIG;
    free(data);
    return NULL;
}

#ifdef THUMBS_SABOTAGE
/* For the test: what bugs in decoders do. A PNM file whose first comment is one of
   these words meets such a bug. */
static bool dies_while_writing;

static void sabotage(const char *file)
{
    bool pnm = strncmp(file, "P6\n#", 4) == 0;
    volatile char *volatile nowhere = NULL;

    if (pnm && strncmp(file + 4, "segfault\n", 9) == 0)
        *nowhere = 1;
    if (pnm && strncmp(file + 4, "abort\n", 6) == 0)
        abort();
    if (pnm && strncmp(file + 4, "exit\n", 5) == 0)
        exit(0);
    while (pnm && strncmp(file + 4, "loop\n", 5) == 0)
        ;
    while (pnm && strncmp(file + 4, "memory\n", 7) == 0)
        *(volatile char *)malloc(1 << 20) = 1;
    dies_while_writing = pnm && strncmp(file + 4, "half\n", 5) == 0;
}
#endif

static int decode(const char *path, struct image *im)
{
    FILE *f = fopen(path, "rb");
    unsigned char *data = NULL;
    int size = 0;

    if (!f)
        return cfut_fail(errno, "cannot open: %s", strerror(errno));
    data = read_all(f, &size);
    fclose(f);
    if (!data)
        return cfut_fail(errno, "cannot read: %s", strerror(errno));
#ifdef THUMBS_SABOTAGE
    if (size > 16)
        sabotage((const char *)data);
#endif
    im->pixels = stbi_load_from_memory(data, size, &im->width, &im->height, &im->channels, 0);
    free(data);
    return im->pixels ? CFUT_OK : cfut_fail(EINVAL, "cannot decode: %s", stbi_failure_reason());
}

/* A side of the thumbnail, when the picture's longest one shall be size. */
static int scaled(int side, int longest, int size)
{
    long long s = ((long long)side * size + longest / 2) / longest;

    return longest <= size ? side : s < 1 ? 1 : (int)s;
}

static int shrink(const struct image *im, int size, struct image *small)
{
    int longest = im->width > im->height ? im->width : im->height;
    int alpha = im->channels % 2 == 0 ? im->channels - 1 : STBIR_ALPHA_CHANNEL_NONE;

    small->width = scaled(im->width, longest, size);
    small->height = scaled(im->height, longest, size);
    small->channels = im->channels;
    small->pixels = malloc((size_t)small->width * (size_t)small->height * (size_t)im->channels);
    if (small->pixels &&
        stbir_resize_uint8_srgb(im->pixels, im->width, im->height, 0, small->pixels, small->width,
                                small->height, 0, im->channels, alpha, 0))
        return CFUT_OK;
    return cfut_fail(ENOMEM, "no memory to shrink %d x %d pixels", im->width, im->height);
}

/* stb_image_write calls this with all of the file. */
static void write_bytes(void *file, void *data, int size)
{
#ifdef THUMBS_SABOTAGE
    if (dies_while_writing) {
        fwrite(data, 1, (size_t)size / 2, file);
        fflush(file);
        abort();
    }
#endif
    fwrite(data, 1, (size_t)size, file);
}

static int write_png(const char *path, const struct image *im, long long *bytes)
{
    FILE *f = fopen(path, "wb");
    bool made;

    if (!f)
        return cfut_fail(errno, "cannot create: %s", strerror(errno));
    errno = 0;
    made = stbi_write_png_to_func(write_bytes, f, im->width, im->height, im->channels, im->pixels,
                                  im->width * im->channels) != 0;
    made = fflush(f) == 0 && !ferror(f) && made;
    *bytes = ftell(f);
    if (fclose(f) == 0 && made)
        return CFUT_OK;
    return cfut_fail(errno ? errno : ENOMEM, "cannot write: %s", strerror(errno ? errno : ENOMEM));
}

/* The task. It writes what nobody waits for by that name; the program gives it its
   name when it is whole. */
static int make_thumb(const struct order *o, struct thumb *t)
{
    struct image im = {0}, small = {0};
    int status = decode(o->from, &im);

    if (status == CFUT_OK)
        status = shrink(&im, o->size, &small);
    if (status == CFUT_OK)
        status = write_png(o->part, &small, &t->bytes);
    t->width = im.width;
    t->height = im.height;
    t->thumb_width = small.width;
    t->thumb_height = small.height;
    free(small.pixels);
    stbi_image_free(im.pixels);
    return status;
}
CFUT_TASK(make_thumb, struct order, struct thumb);

/* ---- all of them ---- */

struct batch {
    const char *dir;
    int size, jobs;
    double seconds, mebibytes;
    bool progress;
    size_t n, pulled, done, failed;
    char *const *from;          /* n names each */
    char **to;
};

static volatile sig_atomic_t interrupted;

static void interrupt(int sig)
{
    interrupted = sig;
}

static void part_name(const struct batch *b, size_t i, char name[PATH_SIZE])
{
    snprintf(name, PATH_SIZE, "%s/.thumbs-%ld-%zu", b->dir, (long)getpid(), i);
}

/* The stream asks for the next argument of a task. */
static int next_file(void *user, void *in)
{
    struct batch *b = user;
    struct order *o = in;

    if (b->pulled == b->n || interrupted)
        return CFUT_END;
    strcpy(o->from, b->from[b->pulled]);        /* its length has been looked at */
    part_name(b, b->pulled++, o->part);
    o->size = b->size;
    return CFUT_OK;
}

static void show_progress(const struct batch *b, bool erase)
{
    char line[64];
    int n = snprintf(line, sizeof line, "thumbs: %zu of %zu files", b->done, b->n);

    if (b->progress && erase)
        fprintf(stderr, "\r%*s\r", n, "");
    else if (b->progress)
        fprintf(stderr, "\r%s", line);
}

static void print_failure(struct batch *b, const char *from, const char *why, const char *more)
{
    b->failed++;
    printf("failed: %s: %s%s%s%s\n", from, why, *more ? " (" : "", more, *more ? ")" : "");
}

/* The next file is done: its thumbnail gets its name, or what there is of it goes. */
static void finish_file(struct batch *b, int status, const char *error, const struct thumb *t)
{
    const char *from = b->from[b->done], *to = b->to[b->done];
    char part[PATH_SIZE];

    part_name(b, b->done, part);
    show_progress(b, true);
    if (status == CFUT_OK && rename(part, to) == 0) {
        printf("%s: %d x %d -> %d x %d, %lld bytes\n", from, t->width, t->height, t->thumb_width,
               t->thumb_height, t->bytes);
    } else {
        if (status == CFUT_OK)
            print_failure(b, from, "cannot rename the thumbnail", strerror(errno));
        else if (status < 0 && status != CFUT_TIME_LIMIT &&
                 strcmp(error, cfut_strerror(status)) != 0)
            print_failure(b, from, cfut_strerror(status), error);       /* the worker's end */
        else
            print_failure(b, from, error, "");
        unlink(part);
    }
    b->done++;
    fflush(stdout);
    show_progress(b, false);
}

/* Every answer but a timeout is that of the next file. */
static void make_each(struct batch *b, cfut_stream *s)
{
    show_progress(b, false);
    while (b->done < b->n && !interrupted) {
        struct thumb t;
        int status = cfut_stream_next_timeout(s, &t, CFUT_MS(100));     /* for a Ctrl-C */

        if (status != CFUT_TIMEOUT)
            finish_file(b, status, cfut_stream_error(s), &t);
    }
    show_progress(b, true);
}

/* The workers are gone; of what they were at, nothing stays. */
static void clean_up(const struct batch *b)
{
    char part[PATH_SIZE];

    for (size_t i = b->done; i < b->pulled; i++) {
        part_name(b, i, part);
        unlink(part);
    }
    fprintf(stderr, "thumbs: interrupted, %zu of %zu files done\n", b->done, b->n);
}

/* Returns the program's exit status. */
static int make_all(struct batch *b)
{
    cfut_executor *pool = cfut_process_pool(&(cfut_process_pool_desc){
        .max_workers = b->jobs,
        .time_limit = (cfut_ns)(b->seconds * 1e9),
        .limit_memory = (size_t)(b->mebibytes * 1048576)});
    cfut_stream *s;

    if (cfut_executor_status(pool) != CFUT_OK) {
        fprintf(stderr, "thumbs: no workers: %s\n", cfut_executor_error(pool));
        return EXIT_FAILURE;
    }
    s = cfut_stream_open(pool, &make_thumb_task, next_file, b, &(cfut_stream_desc){
        .buffersize = 4 * (int)cfut_executor_max_workers(pool)});
    make_each(b, s);
    if (interrupted)
        cfut_kill_workers(pool);
    cfut_stream_close(s);
    cfut_shutdown(pool, CFUT_DRAIN);
    if (interrupted)
        clean_up(b);
    return b->failed || interrupted ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* ---- before the start: nothing is to be overwritten ---- */

/* DIR/NAME.png, from malloc. NULL, which has been said: not a usable name. */
static char *name_thumb(const struct batch *b, const char *from)
{
    const char *slash = strrchr(from, '/'), *name = slash ? slash + 1 : from;
    const char *dot = strrchr(name, '.');
    size_t stem = dot && dot > name ? (size_t)(dot - name) : strlen(name);
    size_t size = strlen(b->dir) + stem + sizeof "/.png";
    char *to = malloc(size);

    if (*name && strlen(from) < PATH_SIZE && to) {
        snprintf(to, size, "%s/%.*s.png", b->dir, (int)stem, name);
        return to;
    }
    fprintf(stderr, "thumbs: %s: %s\n", from, !*name ? "not the name of a file" :
            to ? strerror(ENAMETOOLONG) : strerror(ENOMEM));
    free(to);
    return NULL;
}

/* All names; how many are wrong. */
static size_t name_all(struct batch *b)
{
    size_t wrong = 0;

    for (size_t i = 0; i < b->n; i++)
        if (!(b->to[i] = name_thumb(b, b->from[i])))
            wrong++;
    return wrong;
}

struct claim {                  /* who comes to a name, or is a file */
    dev_t device;
    ino_t inode;
    const char *to, *from;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct claim *)a)->to, ((const struct claim *)b)->to);
}

static int by_file(const void *a, const void *b)
{
    const struct claim *x = a, *y = b;

    return x->device != y->device ? (x->device > y->device) - (x->device < y->device) :
           (x->inode > y->inode) - (x->inode < y->inode);
}

/* How many would get the name of another. */
static size_t count_clashes(const struct batch *b, struct claim *claims)
{
    size_t clashes = 0;

    for (size_t i = 0; i < b->n; i++)
        claims[i] = (struct claim){.to = b->to[i], .from = b->from[i]};
    qsort(claims, b->n, sizeof *claims, by_name);
    for (size_t i = 1; i < b->n; i++)
        if (by_name(&claims[i - 1], &claims[i]) == 0) {
            fprintf(stderr, "thumbs: %s and %s would both become %s\n", claims[i - 1].from,
                    claims[i].from, claims[i].to);
            clashes++;
        }
    return clashes;
}

/* How many would overwrite one of the pictures. */
static size_t count_losses(const struct batch *b, struct claim *claims)
{
    size_t n = 0, losses = 0;
    struct stat st;

    for (size_t i = 0; i < b->n; i++)
        if (stat(b->from[i], &st) == 0)
            claims[n++] = (struct claim){.device = st.st_dev, .inode = st.st_ino};
    qsort(claims, n, sizeof *claims, by_file);
    for (size_t i = 0; i < b->n; i++) {
        struct claim old = {0};

        if (stat(b->to[i], &st) != 0)
            continue;
        old.device = st.st_dev;
        old.inode = st.st_ino;
        if (!bsearch(&old, claims, n, sizeof old, by_file))
            continue;
        fprintf(stderr, "thumbs: %s would overwrite the picture %s\n", b->from[i], b->to[i]);
        losses++;
    }
    return losses;
}

static bool make_dir(const char *dir)
{
    struct stat st;

    if (strlen(dir) + 64 > PATH_SIZE)
        errno = ENAMETOOLONG;
    else if ((mkdir(dir, 0777) == 0 || errno == EEXIST) && stat(dir, &st) == 0) {
        if (S_ISDIR(st.st_mode))
            return true;
        errno = ENOTDIR;
    }
    fprintf(stderr, "thumbs: %s: %s\n", dir, strerror(errno));
    return false;
}

static bool prepare(struct batch *b)
{
    struct claim *claims = malloc(b->n * sizeof *claims);
    size_t wrong;

    b->to = calloc(b->n, sizeof *b->to);
    if (!claims || !b->to) {
        fprintf(stderr, "thumbs: %s\n", cfut_strerror(CFUT_NO_MEMORY));
        free(claims);
        return false;
    }
    wrong = name_all(b);
    if (!wrong)
        wrong = count_clashes(b, claims) + count_losses(b, claims);
    free(claims);
    return !wrong;
}

/* ---- the command line ---- */

/* A number from least to most; -1 and a message if text is not one. */
static double parse_number(const char *what, const char *text, double least, double most)
{
    char *end;
    double x = strtod(text, &end);

    if (*text && *end == '\0' && x >= least && x <= most)
        return x;
    fprintf(stderr, "thumbs: not a valid %s: %s\n", what, text);
    return -1;
}

static bool parse_option(struct batch *b, int c)
{
    switch (c) {
    case 'j': return (b->jobs = (int)parse_number("number of processes", optarg, 1, 1024)) >= 0;
    case 's': return (b->size = (int)parse_number("size", optarg, 1, 16384)) >= 0;
    case 't': return (b->seconds = parse_number("number of seconds", optarg, 0, 1e6)) >= 0;
    case 'm': return (b->mebibytes = parse_number("number of MiB", optarg, 0, 1e6)) >= 0;
    case 'p': return b->progress = true;
    case 'o': b->dir = optarg; return true;
    default: return false;
    }
}

/* Returns the program's exit status if it shall end now, else -1. */
static int parse_options(int argc, char **argv, struct batch *b)
{
    int c;

    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return EXIT_SUCCESS;
    }
    while ((c = getopt(argc, argv, "j:s:t:m:po:")) != -1)
        if (!parse_option(b, c))
            return BAD_ARGUMENTS;
    b->from = argv + optind;
    b->n = (size_t)(argc - optind);
    if (b->dir && b->n)
        return -1;
    fprintf(stderr, "thumbs: %s\n%s", b->n ? "no -o DIR given" : "no file given", usage);
    return BAD_ARGUMENTS;
}

static void catch_signals(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = interrupt}, before;

    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(signals[i], &action, NULL);
}

int main(int argc, char **argv)
{
    struct batch b = {.size = 128, .seconds = 30, .mebibytes = 1024};
    int status;

    cfut_process_main(&argc, &argv);    /* in a helper of the pool it does not return */
    b.progress = isatty(STDERR_FILENO);
    status = parse_options(argc, argv, &b);
    if (status < 0) {
        catch_signals();
        status = make_dir(b.dir) && prepare(&b) ? make_all(&b) : BAD_ARGUMENTS;
        for (size_t i = 0; b.to && i < b.n; i++)
            free(b.to[i]);
        free(b.to);
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "thumbs: write error: %s\n", strerror(errno));
        status = EXIT_FAILURE;
    }
    return status;
}
