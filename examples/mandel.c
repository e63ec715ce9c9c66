/* mandel: the Mandelbrot set as a PNG picture, computed by whatever executor one
   likes.

       cc -I. -pthread examples/mandel.c -lpng -o mandel && ./mandel --on threads set.png

   The picture is cut into tiles. A tile is a task: bytes in (which part of what
   picture), bytes out (its pixels), and no pointers. Such a task does not care
   where it runs: in this thread, on other threads, in other processes. So the
   choice of the executor is one line, in choose.

   Shown here: executors of several kinds behind one handle, cfut_executor_status,
   and a stream that yields in order of completion, for which cfut_stream_index
   says which tile it is. With CFUT_TRACE=file.json in the environment, a timeline of
   which tile was computed where and when: see timeline.py. */
#define CFUT_TRACE
#define CFUT_IMPLEMENTATION
#include "cfut.h"

#include <errno.h>
#include <getopt.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TILE = 64, LARGEST = 20000, MOST_STEPS = 1000000 };

/* ---- the task ---- */

struct view {
    double x, y, width;                 /* the centre, and how wide the picture is */
    int columns, rows, steps;           /* pixels, and when to give up */
};

struct tile_in { struct view view; int column, row; };      /* its upper left pixel */
struct tile { unsigned char rgb[TILE][TILE][3]; };

/* How many steps until the orbit of c leaves for good; 0: it stays. */
static int escape_steps(double cx, double cy, int most)
{
    double x = 0, y = 0;

    for (int n = 1; n <= most; n++) {
        double xx = x * x, yy = y * y;

        if (xx + yy > 16)
            return n;
        y = 2 * x * y + cy;
        x = xx - yy + cx;
    }
    return 0;
}

/* Blue over white and orange to black, again and again. */
static void colour(int n, unsigned char *rgb)
{
    static const unsigned char stops[5][3] = {
        {0, 7, 100}, {32, 107, 203}, {237, 255, 255}, {255, 170, 0}, {0, 2, 0},
    };
    int at = n % 80, from = at / 16, to = (from + 1) % 5;

    for (int i = 0; i < 3; i++) {
        int value = (stops[from][i] * (16 - at % 16) + stops[to][i] * (at % 16)) / 16;

        rgb[i] = (unsigned char)(n ? value : 0);
    }
}

/* Pixels beyond the edge of the picture are computed, and thrown away later. */
static int render(const struct tile_in *in, struct tile *out)
{
    const struct view *v = &in->view;
    double pixel = v->width / v->columns;

    for (int i = 0; i < TILE; i++) {
        double y = v->y - (in->row + i + 0.5 - v->rows / 2.0) * pixel;

        for (int j = 0; j < TILE; j++) {
            double x = v->x + (in->column + j + 0.5 - v->columns / 2.0) * pixel;

            colour(escape_steps(x, y, v->steps), out->rgb[i][j]);
        }
    }
    return CFUT_OK;
}
CFUT_TASK(render, struct tile_in, struct tile);

/* ---- the picture ---- */

struct picture {
    struct view view;
    size_t across, tiles, pulled;       /* tiles in a row, and in all */
    unsigned char *rgb;
};

static struct tile_in tile_at(const struct picture *p, size_t i)
{
    return (struct tile_in){p->view, (int)(i % p->across) * TILE, (int)(i / p->across) * TILE};
}

/* What the stream calls for its next input (see cfut_pull_fn). */
static int next_tile(void *user, void *in)
{
    struct picture *p = user;
    struct tile_in tile = tile_at(p, p->pulled);

    if (p->pulled == p->tiles)
        return CFUT_END;
    p->pulled++;
    memcpy(in, &tile, sizeof tile);
    return CFUT_OK;
}

static void paste(struct picture *p, const struct tile_in *at, const struct tile *tile)
{
    int right = p->view.columns - at->column, below = p->view.rows - at->row;
    size_t length = (size_t)(right < TILE ? right : TILE) * 3;

    for (int i = 0; i < TILE && i < below; i++)
        memcpy(p->rgb + ((size_t)(at->row + i) * (size_t)p->view.columns +
                         (size_t)at->column) * 3,
               tile->rgb[i], length);
}

/* Returns CFUT_END, or why there is no picture. */
static int render_all(struct picture *p, cfut_executor *ex, bool progress)
{
    cfut_stream *s = cfut_stream_open(ex, &render_task, next_tile, p,
                                      &(cfut_stream_desc){.as_completed = true});
    struct tile tile;
    size_t done = 0;
    int status;

    while ((status = cfut_stream_next(s, &tile)) == CFUT_OK) {
        struct tile_in at = tile_at(p, cfut_stream_index(s));

        paste(p, &at, &tile);
        done++;
        if (progress && done * 100 / p->tiles != (done - 1) * 100 / p->tiles)
            fprintf(stderr, "\rmandel: %zu %% ", done * 100 / p->tiles);
    }
    if (progress)
        fputs("\r\033[K", stderr);
    if (status != CFUT_END)
        fprintf(stderr, "mandel: %s\n", cfut_stream_error(s));
    cfut_stream_close(s);
    return status;
}

/* ---- the file ---- */

static bool write_png(const struct picture *p, FILE *to)
{
    png_image image = {.version = PNG_IMAGE_VERSION, .format = PNG_FORMAT_RGB,
                       .width = (png_uint_32)p->view.columns,
                       .height = (png_uint_32)p->view.rows};
    bool ok = png_image_write_to_stdio(&image, to, 0, p->rgb, 0, NULL) != 0;

    png_image_free(&image);
    return ok && fflush(to) == 0;
}

/* Under another name until it is whole: nobody sees half a picture, and what was
   there before stays until then. */
static bool save_as(const struct picture *p, const char *name, char *part)
{
    FILE *to = fopen(part, "wbx");
    bool ok = to && write_png(p, to);

    if (to && fclose(to) != 0)
        ok = false;
    if (ok && rename(part, name) == 0)
        return true;
    fprintf(stderr, "mandel: %s: %s\n", to ? name : part, strerror(errno));
    if (to)
        remove(part);
    return false;
}

static bool save(const struct picture *p, const char *name)
{
    size_t size = strlen(name) + sizeof ".part";
    char *part = malloc(size);
    bool ok = false;

    if (strcmp(name, "-") == 0) {
        ok = write_png(p, stdout);
        if (!ok)
            fprintf(stderr, "mandel: standard output: %s\n", strerror(errno));
    } else if (part) {
        snprintf(part, size, "%s.part", name);
        ok = save_as(p, name, part);
    }
    free(part);
    return ok;
}

/* ---- the command line ---- */

static const char usage[] =
    "Usage: mandel [OPTION]... FILE\n"
    "Writes a picture of the Mandelbrot set to FILE, a PNG file; - is standard output.\n"
    "\n"
    "      --on EXECUTOR   inline, threads (the default) or processes\n"
    "  -j N                on N workers; the default is one for each processor\n"
    "  -s COLUMNSxROWS     size in pixels, up to 20000 each; 800x600 if not given\n"
    "  -v X,Y,WIDTH        what to show: its centre and width; -0.65,0,3.2 if not given\n"
    "  -n STEPS            when to take a point as inside; 1000 if not given\n"
    "  -p                  show progress, also if standard error is no terminal\n"
    "      --help          print this help\n";

/* Any of them takes the same task. What cannot be made has a status that says
   why; it is never NULL. NULL: there is no such kind. */
static cfut_executor *choose(const char *kind, int workers)
{
    if (strcmp(kind, "inline") == 0)
        return cfut_inline_executor();
    if (strcmp(kind, "threads") == 0)
        return cfut_thread_pool(&(cfut_thread_pool_desc){.max_workers = workers});
    if (strcmp(kind, "processes") == 0)
        return cfut_process_pool(&(cfut_process_pool_desc){.max_workers = workers});
    return NULL;
}

struct arguments { struct view view; const char *on, *file; int workers; bool progress; };

static int complain(const char *what, const char *text)
{
    fprintf(stderr, "mandel: %s: %s\n", what, text);
    return EXIT_FAILURE;
}

/* A whole number from 1 to most; 0: text begins with none. */
static int parse_number(const char *text, int most, const char **end)
{
    char *behind;
    long n = strtol(text, &behind, 10);

    *end = behind;
    return n >= 1 && n <= most ? (int)n : 0;
}

static bool parse_size(const char *text, struct view *v)
{
    v->columns = parse_number(text, LARGEST, &text);
    if (*text++ != 'x')
        return false;
    v->rows = parse_number(text, LARGEST, &text);
    return v->columns && v->rows && !*text;
}

static bool parse_view(const char *text, struct view *v)
{
    int behind = 0;

    return sscanf(text, "%lf,%lf,%lf%n", &v->x, &v->y, &v->width, &behind) == 3 &&
           !text[behind] && v->x >= -1e3 && v->x <= 1e3 && v->y >= -1e3 && v->y <= 1e3 &&
           v->width > 0 && v->width <= 1e3;
}

/* Returns the program's exit status if it shall end now, else -1. */
static int parse_options(int argc, char **argv, struct arguments *a)
{
    static const struct option names[] = {
        {"on", required_argument, NULL, 'o'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0},
    };
    const char *end = "";
    int c;

    while ((c = getopt_long(argc, argv, "j:n:ps:v:", names, NULL)) != -1) {
        switch (c) {
        case 'o': a->on = optarg; break;
        case 'p': a->progress = true; break;
        case 'h': fputs(usage, stdout); return EXIT_SUCCESS;
        case 'j':
            if (!(a->workers = parse_number(optarg, 1024, &end)) || *end)
                return complain("invalid number of workers", optarg);
            break;
        case 'n':
            if (!(a->view.steps = parse_number(optarg, MOST_STEPS, &end)) || *end)
                return complain("invalid number of steps", optarg);
            break;
        case 's':
            if (!parse_size(optarg, &a->view))
                return complain("invalid size", optarg);
            break;
        case 'v':
            if (!parse_view(optarg, &a->view))
                return complain("invalid view", optarg);
            break;
        default: fputs("Try 'mandel --help' for more information.\n", stderr); return EXIT_FAILURE;
        }
    }
    if (argc - optind != 1)
        return complain("bad arguments", "exactly one FILE is needed");
    a->file = argv[optind];
    return -1;
}

static bool draw(const struct arguments *a, cfut_executor *ex)
{
    size_t columns = (size_t)a->view.columns, rows = (size_t)a->view.rows;
    struct picture p = {.view = a->view, .across = (columns + TILE - 1) / TILE};
    bool ok;

    p.tiles = p.across * ((rows + TILE - 1) / TILE);
    p.rgb = malloc(columns * rows * 3);
    if (!p.rgb)
        fprintf(stderr, "mandel: %s\n", cfut_strerror(CFUT_NO_MEMORY));
    ok = p.rgb && render_all(&p, ex, a->progress) == CFUT_END && save(&p, a->file);
    free(p.rgb);
    return ok;
}

int main(int argc, char **argv)
{
    struct arguments a = {{-0.65, 0, 3.2, 800, 600, 1000}, "threads", NULL, 0, false};
    int status;
    cfut_executor *ex;
    bool ok = false;

    a.progress = isatty(STDERR_FILENO);
    status = parse_options(argc, argv, &a);
    if (status >= 0)
        return status;
    if (!(ex = choose(a.on, a.workers)))
        return complain("no such executor", a.on);
    status = cfut_executor_status(ex);
    if (status != CFUT_OK)
        complain(a.on, cfut_strerror(status));
    else
        ok = draw(&a, ex);
    cfut_shutdown(ex, CFUT_DRAIN);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
