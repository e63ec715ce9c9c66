/* compile_two_a.c: the first of two files that share tasks and one
   implementation, which is in compile_two_b.c. The header may come twice. */
#include "cfut.h"
#include "compile_two.h"
#include "cfut.h"

int main(void)
{
    cfut_executor *pool = cfut_thread_pool(NULL);
    triple_future f, g;
    int bad;

    triple_submit(pool, &f, 5);
    bad = triple_there(pool, &g, 6);
    bad += triple_result(&f) + triple_result(&g);
    bad += f.out != 15 || g.out != 18 || cfut_version() != CFUT_VERSION;
    return bad + cfut_shutdown(pool, CFUT_DRAIN) ? 1 : 0;
}
