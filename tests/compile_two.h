/* compile_two.h: the tasks that compile_two_a.c and compile_two_b.c share, as a
   program's own header would. */
#ifndef COMPILE_TWO_H
#define COMPILE_TWO_H

#include "cfut.h"

int triple(const int *x, int *y);
CFUT_TASK(triple, int, int);

/* In the other file. */
int triple_there(cfut_executor *ex, triple_future *f, int x);

#endif
