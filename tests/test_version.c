/* The version stands in the header and in meson.build: they must say the same.
   PROJECT_VERSION is what meson.build says. */
#define CFUT_IMPLEMENTATION
#include "cfut.h"

#include <stdio.h>
#include <string.h>

static int failures;

static void expect(int ok, const char *what)
{
    if (!ok)
        failures++;
    printf("%s: %s\n", ok ? "ok" : "FAILED", what);
}

int main(void)
{
    char numbers[64];

    snprintf(numbers, sizeof numbers, "%d.%d.%d", CFUT_VERSION_MAJOR, CFUT_VERSION_MINOR,
             CFUT_VERSION_PATCH);
    expect(strcmp(CFUT_VERSION_STRING, PROJECT_VERSION) == 0,
           "CFUT_VERSION_STRING is " PROJECT_VERSION);
    expect(strcmp(CFUT_VERSION_STRING, numbers) == 0, "the numbers spell the string");
    expect(cfut_version() == CFUT_VERSION, "the implementation's number is the header's");
    return failures != 0;
}
