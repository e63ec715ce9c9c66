/* compile_static.c: CFUT_STATIC makes a private copy: no symbol of the library
   is left in the object file, and what is not used raises no warning. */
#define CFUT_STATIC
#define CFUT_IMPLEMENTATION
#include "cfut.h"

static int square(const int *x, int *y)
{
    *y = *x * *x;
    return CFUT_OK;
}
CFUT_TASK(square, int, int);

int main(void)
{
    cfut_executor *pool = cfut_thread_pool(NULL);
    square_future f;
    int status;

    square_submit(pool, &f, 12);
    status = square_result(&f);
    return cfut_shutdown(pool, CFUT_DRAIN) || status || f.out != 144;
}
