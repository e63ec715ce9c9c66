/* coverage.h: given to the compiler by -include where coverage is measured. A process
   that ends by _exit, as a pool's workers do, would lose what gcc has counted in it. */
#ifndef COVERAGE_H
#define COVERAGE_H

#ifdef __cplusplus
extern "C" {
#endif

void __gcov_dump(void);
extern void coverage_sys_exit(int status) __asm__("_exit") __attribute__((noreturn));

__attribute__((weak, noreturn)) void coverage_exit(int status);
void coverage_exit(int status)
{
    __gcov_dump();
    coverage_sys_exit(status);
}

#ifdef __cplusplus
}
#endif

#define _exit coverage_exit

#define ENDS_THREADS 0              /* see compile_impl_cxx.cc */

#endif
