/* task_library.c: a library with a task, for test_process.c to load. */
#include "cfut.h"

static int twice_more(const int *x, int *y)
{
    *y = 2 * *x + 2;
    return CFUT_OK;
}
CFUT_TASK(twice_more, int, int);

extern const cfut_task library_task;
const cfut_task library_task = { twice_more_thunk, "twice_more", sizeof(int), sizeof(int) };
