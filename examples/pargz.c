/* pargz: gzip on all processors.

       cc -I. -pthread examples/pargz.c -lz -o pargz && ./pargz <cfut.h | gunzip | cmp - cfut.h

   The input is cut into blocks of 128 KiB. A block is a task; it knows the 32 KiB
   before it, so that it may refer to them as if all had been compressed in one
   go. The compressed blocks, one behind the other, are one valid gzip stream.

       next_block  ->  cfut_stream  ->  compress
       reads           compresses       writes, in order

   Shown here: cfut_stream_open on input without end. The stream holds two blocks
   for each worker and no more, whatever comes: so a pipe may run for ever in
   constant memory. The task is bytes in, bytes out, and has no other state. */
#define _FILE_OFFSET_BITS 64            /* large files on 32-bit systems */
#define CFUT_IMPLEMENTATION
#include "cfut.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#define ZLIB_CONST
#include <zlib.h>

enum { BLOCK = 128 * 1024, WINDOW = 32 * 1024, PACKED = BLOCK + 1024 };
enum { FAILED = 1, WARNED = 2 };        /* exit statuses, as gzip's */

static struct { bool to_stdout, decompress, force, keep; int level, workers; } opt = {.level = 6};

/* ---- the task ---- */

struct block {
    int level;
    unsigned before, size;              /* how many bytes of either there are */
    unsigned char bytes[WINDOW + BLOCK];    /* those before the block, then the block */
};

struct packed {
    uLong crc;                          /* of the block */
    unsigned block_size, size;
    unsigned char bytes[PACKED];
};

/* Z_SYNC_FLUSH ends on a whole byte: so the next block can be put behind. */
static bool deflate_block(z_stream *z, const struct block *in, struct packed *out)
{
    z->next_in = in->bytes + in->before;
    z->avail_in = in->size;
    z->next_out = out->bytes;
    z->avail_out = PACKED;
    if (in->before && deflateSetDictionary(z, in->bytes, in->before) != Z_OK)
        return false;
    return deflate(z, Z_SYNC_FLUSH) == Z_OK && z->avail_in == 0 && z->avail_out > 0;
}

static int pack(const struct block *in, struct packed *out)
{
    z_stream z = {0};
    bool ok;

    if (deflateInit2(&z, in->level, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return ENOMEM;
    ok = deflate_block(&z, in, out);
    out->size = PACKED - z.avail_out;
    out->block_size = in->size;
    out->crc = crc32(0, in->bytes + in->before, in->size);
    deflateEnd(&z);
    return ok ? CFUT_OK : cfut_fail(EIO, "zlib: a block could not be compressed");
}
CFUT_TASK(pack, struct block, struct packed);

/* ---- reading and writing ---- */

struct file { int fd; const char *name; };

static int complain(const char *name, const char *why)
{
    fprintf(stderr, "pargz: %s: %s\n", name, why);
    return FAILED;
}

static int warn(const char *name, const char *why)
{
    complain(name, why);
    return WARNED;
}

/* Fills buf, as far as there is something. Bytes read, or -1 and errno. */
static ssize_t read_full(int fd, unsigned char *buf, size_t size)
{
    size_t have = 0;
    ssize_t got = 1;

    while (have < size && got != 0) {
        got = read(fd, buf + have, size - have);
        if (got < 0 && errno != EINTR)
            return -1;
        if (got > 0)
            have += (size_t)got;
    }
    return (ssize_t)have;
}

static bool write_full(const struct file *to, const unsigned char *bytes, size_t size)
{
    while (size) {
        ssize_t put = write(to->fd, bytes, size);

        if (put < 0 && errno != EINTR) {
            complain(to->name, strerror(errno));
            return false;
        }
        if (put > 0) {
            bytes += put;
            size -= (size_t)put;
        }
    }
    return true;
}

/* ---- compressing ---- */

struct reader {
    int fd, error;
    unsigned before;
    unsigned char window[WINDOW];       /* the last bytes read */
};

/* What the stream calls for its next input (see cfut_pull_fn). */
static int next_block(void *user, void *in)
{
    struct reader *r = user;
    struct block *b = in;
    ssize_t got;
    unsigned all;

    memcpy(b->bytes, r->window, r->before);
    got = read_full(r->fd, b->bytes + r->before, BLOCK);
    if (got <= 0) {
        r->error = got < 0 ? errno : 0;
        return CFUT_END;
    }
    b->level = opt.level;
    b->before = r->before;
    b->size = (unsigned)got;
    all = b->before + b->size;
    r->before = all < WINDOW ? all : WINDOW;
    memcpy(r->window, b->bytes + all - r->before, r->before);
    return CFUT_OK;
}

/* An empty last block, and then checksum and size of all, low bytes first. */
static bool write_end(const struct file *to, uLong crc, uLong size)
{
    unsigned char end[10] = {3, 0};

    for (int i = 0; i < 4; i++) {
        end[2 + i] = (unsigned char)(crc >> 8 * i);
        end[6 + i] = (unsigned char)(size >> 8 * i);
    }
    return write_full(to, end, sizeof end);
}

static bool write_blocks(cfut_stream *s, const struct file *to, uLong *crc, uLong *size)
{
    struct packed p;
    int status;

    while ((status = cfut_stream_next(s, &p)) == CFUT_OK) {
        if (!write_full(to, p.bytes, p.size))
            return false;
        *crc = crc32_combine(*crc, p.crc, (z_off_t)p.block_size);
        *size += p.block_size;
    }
    if (status == CFUT_END)
        return true;
    complain(to->name, cfut_stream_error(s));
    return false;
}

/* Closing the stream cancels what nobody will write any more. */
static int compress_file(cfut_executor *pool, const struct file *from, const struct file *to)
{
    unsigned char header[10] = {0x1f, 0x8b, Z_DEFLATED, [9] = 3};   /* no name, no date; Unix */
    struct reader r = {.fd = from->fd};
    cfut_stream *s = cfut_stream_open(pool, &pack_task, next_block, &r, NULL);
    uLong crc = crc32(0, NULL, 0), size = 0;
    bool ok;

    header[8] = opt.level == 9 ? 2 : opt.level == 1 ? 4 : 0;
    ok = write_full(to, header, sizeof header) && write_blocks(s, to, &crc, &size);
    cfut_stream_close(s);
    if (r.error)
        return complain(from->name, strerror(r.error));
    return ok && write_end(to, crc, size) ? 0 : FAILED;
}

/* ---- decompressing: in order, in this thread ---- */

/* Behind a member there may be another one, zeros that fill up a tape, or
   garbage. Whether z stands at another one. */
static bool at_member(z_stream *z)
{
    while (z->avail_in && *z->next_in == 0) {
        z->next_in++;
        z->avail_in--;
    }
    return z->avail_in && *z->next_in == 0x1f;
}

/* Inflates what was read, to the end of the member at most. Returns zlib's
   status, Z_ERRNO if it could not be written. */
static int inflate_some(z_stream *z, const struct file *to)
{
    unsigned char buf[BLOCK];
    int status;

    do {
        z->next_out = buf;
        z->avail_out = sizeof buf;
        status = inflate(z, Z_NO_FLUSH);
        if (!write_full(to, buf, sizeof buf - z->avail_out))
            return Z_ERRNO;
    } while (status == Z_OK && (z->avail_in || z->avail_out == 0));
    return status == Z_BUF_ERROR ? Z_OK : status;
}

/* Inflates what was read, member after member. Returns an exit status. */
static int inflate_buffer(z_stream *z, int *status, const struct file *from,
                          const struct file *to)
{
    while (z->avail_in) {
        if (*status == Z_STREAM_END && !at_member(z)) {
            if (!z->avail_in)
                return 0;
            return warn(from->name, "decompression OK, trailing garbage ignored");
        }
        if (*status == Z_STREAM_END)
            inflateReset(z);
        *status = inflate_some(z, to);
        if (*status == Z_ERRNO)
            return FAILED;
        if (*status != Z_OK && *status != Z_STREAM_END)
            return complain(from->name, z->msg ? z->msg : zError(*status));
    }
    return 0;
}

static int decompress_file(const struct file *from, const struct file *to)
{
    z_stream z = {0};
    unsigned char buf[BLOCK];
    int status = Z_OK, exit_status = 0;
    ssize_t got = 0;

    if (inflateInit2(&z, MAX_WBITS + 16) != Z_OK)
        return complain(from->name, cfut_strerror(CFUT_NO_MEMORY));
    while (exit_status == 0 && (got = read_full(from->fd, buf, sizeof buf)) > 0) {
        z.next_in = buf;
        z.avail_in = (unsigned)got;
        exit_status = inflate_buffer(&z, &status, from, to);
    }
    inflateEnd(&z);
    if (got < 0)
        return complain(from->name, strerror(errno));
    if (exit_status == 0 && status != Z_STREAM_END)
        return complain(from->name, "unexpected end of file");
    return exit_status;
}

/* ---- files ---- */

static const char *volatile unfinished; /* the file being written */

/* Leaves no half of a file behind, also after Ctrl-C. */
static void remove_unfinished(int number)
{
    if (unfinished)
        unlink(unfinished);
    signal(number, SIG_DFL);
    raise(number);
}

static int convert(cfut_executor *pool, const struct file *from, const struct file *to)
{
    return opt.decompress ? decompress_file(from, to) : compress_file(pool, from, to);
}

/* What gzip would not touch either. NULL: nothing against it. */
static const char *objection(const struct stat *st, const char *name)
{
    size_t length = strlen(name);
    bool has_suffix = length > 3 && strcmp(name + length - 3, ".gz") == 0;

    if (S_ISDIR(st->st_mode))
        return "is a directory -- ignored";
    if (opt.to_stdout)
        return NULL;
    if (!S_ISREG(st->st_mode))
        return "not a directory or a regular file -- ignored";
    if (st->st_nlink > 1 && !opt.force && !opt.keep)
        return "has other links -- file ignored";
    if (opt.decompress && !has_suffix)
        return "unknown suffix -- ignored";
    return !opt.decompress && has_suffix ? "already has .gz suffix -- unchanged" : NULL;
}

/* A file that nobody else has; -1 and errno. */
static int create(const char *name)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0600);

    if (fd < 0 && errno == EEXIST && opt.force && unlink(name) == 0)
        fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0600);
    return fd;
}

/* The new file gets the old one's date and permissions, as far as we may. */
static bool finish(const struct file *to, const struct stat *st)
{
    struct timespec times[2] = {st->st_atim, st->st_mtim};
    mode_t mode = fchown(to->fd, st->st_uid, st->st_gid) == 0 ? st->st_mode & 07777
                                                              : st->st_mode & 0777;

    return fchmod(to->fd, mode) == 0 && futimens(to->fd, times) == 0;
}

/* Writes NAME.gz, or NAME, and removes the original: in this order. */
static int replace_file(cfut_executor *pool, const struct file *from, const struct stat *st)
{
    char name[PATH_MAX];
    size_t length = strlen(from->name);
    struct file to = {.name = name};
    int status;

    if (length + 4 > sizeof name)
        return complain(from->name, strerror(ENAMETOOLONG));
    memcpy(name, from->name, length + 1);
    strcpy(name + (opt.decompress ? length - 3 : length), opt.decompress ? "" : ".gz");
    to.fd = create(name);
    if (to.fd < 0 && errno == EEXIST)
        return warn(name, "already exists; not overwritten");
    if (to.fd < 0)
        return complain(name, strerror(errno));
    unfinished = name;
    status = convert(pool, from, &to);
    if (status != FAILED && !finish(&to, st))
        status = complain(name, strerror(errno));
    if (close(to.fd) != 0 && status != FAILED)
        status = complain(name, strerror(errno));
    unfinished = NULL;
    if (status == FAILED)
        unlink(name);
    else if (status == 0 && !opt.keep && unlink(from->name) != 0)
        status = complain(from->name, strerror(errno));
    return status;
}

static int convert_name(cfut_executor *pool, const char *name)
{
    struct file from = {.name = name}, out = {STDOUT_FILENO, "stdout"};
    const char *why;
    struct stat st;
    int status;

    if (strcmp(name, "-") == 0)
        return convert(pool, &(struct file){STDIN_FILENO, "stdin"}, &out);
    from.fd = open(name, O_RDONLY | (opt.force || opt.to_stdout ? 0 : O_NOFOLLOW));
    if (from.fd < 0)
        return complain(name, strerror(errno));
    if (fstat(from.fd, &st) != 0)
        status = complain(name, strerror(errno));
    else if ((why = objection(&st, name)) != NULL)
        status = warn(name, why);
    else
        status = opt.to_stdout ? convert(pool, &from, &out) : replace_file(pool, &from, &st);
    close(from.fd);
    return status;
}

/* ---- the command line ---- */

static const char usage[] =
    "Usage: pargz [-1..-9] [-cdfk] [-j N] [FILE]...\n"
    "Compresses each FILE to FILE.gz on all processors and removes it. Without FILE,\n"
    "or if it is -, compresses standard input to standard output.\n"
    "\n"
    "  -1 to -9   fast to small; 6 if not given\n"
    "  -c         write to standard output, keep the files\n"
    "  -d         decompress (on one processor)\n"
    "  -f         overwrite; follow symbolic links; write to a terminal\n"
    "  -k         keep the files\n"
    "  -j N       use N workers; the default is one for each processor\n"
    "  --help     print this help\n"
    "\n"
    "Exit status: 0 if all went well, 1 after an error, 2 after a warning.\n";

/* The program's exit status if it shall end now, else -1. */
static int parse_options(int argc, char **argv)
{
    char *end;
    int c;

    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    while ((c = getopt(argc, argv, "123456789cdfj:k")) != -1) {
        switch (c) {
        case 'c': opt.to_stdout = true; break;
        case 'd': opt.decompress = true; break;
        case 'f': opt.force = true; break;
        case 'k': opt.keep = true; break;
        case 'j':
            opt.workers = (int)strtol(optarg, &end, 10);
            if (*end || opt.workers < 1 || opt.workers > 1024)
                return complain(optarg, "invalid number of workers");
            break;
        case '?': fputs("Try 'pargz --help' for more information.\n", stderr); return FAILED;
        default: opt.level = c - '0'; break;
        }
    }
    return -1;
}

int main(int argc, char **argv)
{
    static const int deadly[] = {SIGINT, SIGTERM, SIGHUP};
    static char *just_stdin[] = {"-", NULL};
    int status = parse_options(argc, argv);
    char **names = optind < argc ? argv + optind : just_stdin;
    bool filter = opt.to_stdout || strcmp(*names, "-") == 0;
    cfut_executor *pool;

    if (status >= 0)
        return status;
    if (filter && !opt.decompress && !opt.force && isatty(STDOUT_FILENO))
        return complain("stdout", "a terminal: compressed data is not written to it without -f");
    signal(SIGPIPE, SIG_IGN);           /* write says so */
    for (int i = 0; i < 3; i++)
        if (signal(deadly[i], SIG_IGN) != SIG_IGN)      /* unless we were told to ignore it */
            signal(deadly[i], remove_unfinished);
    pool = cfut_thread_pool(&(cfut_thread_pool_desc){.max_workers = opt.workers});
    for (status = 0; *names; names++) {
        int one = convert_name(pool, *names);

        if (status != FAILED && one)
            status = one;
    }
    cfut_shutdown(pool, CFUT_DRAIN);
    return status;
}
