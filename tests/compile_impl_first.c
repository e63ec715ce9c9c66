/* compile_impl_first.c: the implementation under strict -std=c11, where the
   header comes before any system header. */
#define CFUT_IMPLEMENTATION
#include "cfut.h"
#include <stdio.h>
#include <stdlib.h>

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
    cfut_shutdown(pool, CFUT_DRAIN);
    if (status != CFUT_OK || f.out != 144) {
        fprintf(stderr, "status %d, result %d\n", status, f.out);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
