/* compile_two_b.c: the file with the implementation: the declarations first,
   by the program's own header, then the implementation, then the header again. */
#if defined(__STRICT_ANSI__)
#define CFUT_IMPLEMENTATION
#endif
#include "compile_two.h"
#ifndef CFUT_IMPLEMENTATION
#define CFUT_IMPLEMENTATION
#endif
#include "cfut.h"
#include "cfut.h"

int triple(const int *x, int *y)
{
    *y = 3 * *x;
    return CFUT_OK;
}

int triple_there(cfut_executor *ex, triple_future *f, int x)
{
    return triple_submit(ex, f, x) != &f->base;
}
