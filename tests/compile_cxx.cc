/* compile_cxx.cc: the declarations in C++11, 14, 17 and 20, without the
   implementation: typed calls, and descs by reference. It runs when it is
   linked with the implementation. */
#include "cfut.h"

struct point { double x, y; };

static int mirror(const point *in, point *out)
{
    out->x = in->y;
    out->y = in->x;
    return CFUT_OK;
}
CFUT_TASK(mirror, point, point);

static int length(const char *const *text, int *n)
{
    *n = 0;
    while ((*text)[*n])
        ++*n;
    return CFUT_OK;
}
CFUT_TASK(length, const char *, int);

static int touch(int *const *where)
{
    **where = 1;
    return CFUT_OK;
}
CFUT_ACTION(touch, int *);

static int pull(void *user, void *in)
{
    int *left = static_cast<int *>(user);

    *static_cast<point *>(in) = point{ 1, 2 };
    return --*left < 0 ? CFUT_END : CFUT_OK;
}

/* Without &(desc){...}: a desc is filled and passed by reference. */
static cfut_executor *pool_by_reference()
{
    cfut_thread_pool_desc desc = cfut_thread_pool_desc();

    desc.max_workers = 2;
    return cfut_thread_pool(desc);
}

static int use_overloads(cfut_executor *pool)
{
    cfut_map_desc map_desc = cfut_map_desc();
    cfut_stream_desc stream_desc = cfut_stream_desc();
    point in[2] = { { 1, 2 }, { 3, 4 } }, out[2];
    int left = 3, bad;
    cfut_stream *s;

    map_desc.chunksize = 1;
    bad = cfut_map(pool, &mirror_task, in, out, 2, map_desc);
    bad += cfut_map(pool, &mirror_task, in, out, 2, nullptr);
    stream_desc.buffersize = 2;
    s = cfut_stream_open(pool, &mirror_task, pull, &left, stream_desc);
    while (cfut_stream_next(s, &out[0]) != CFUT_END)
        bad += out[0].x < 2 || out[0].x > 2;
    cfut_stream_close(s);
    return bad + cfut_shutdown(cfut_process_pool(cfut_process_pool_desc()), CFUT_DRAIN);
}

static int use_typed_calls(cfut_executor *pool)
{
    mirror_future f;
    length_future g, *heap;
    touch_future h;
    int mark = 0, bad = 0;

    mirror_submit(pool, &f, point{ 5, 6 });
    length_submit(pool, &g, "hello");
    touch_submit(pool, &h, &mark);
    bad += mirror_result(&f) + length_result(&g) + touch_result_timeout(&h, CFUT_SEC(10));
    heap = length_spawn(pool, "heap");
    bad += length_result(heap) + (heap->out != 4);
    length_release(heap);
    length_fork(&g, "fork");
    bad += length_join(&g) + (g.out != 4);
    return bad + !mark + (mirror_of(&f.base) != &f);
}

int main()
{
    cfut_executor *pool = pool_by_reference();
    int bad = use_typed_calls(pool) + use_overloads(pool);

    bad += cfut_executor_max_workers(pool) != 2;
    return bad + cfut_shutdown(pool, CFUT_DRAIN) ? 1 : 0;
}
