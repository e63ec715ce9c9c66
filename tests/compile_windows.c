/* compile_windows.c: for mingw-w64: the header before and after <windows.h>.
   Without WINDOWS_FIRST the implementation comes after it too, but the
   declarations stand before it. */
#ifdef WINDOWS_FIRST
#include <windows.h>
#define CFUT_IMPLEMENTATION
#include "cfut.h"
#else
#include "cfut.h"
#include <windows.h>
#define CFUT_IMPLEMENTATION
#include "cfut.h"
#endif

static int square(const int *x, int *y)
{
    Sleep(1);
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
