/* Which kernel this is: machines that count together must have the same. */
#include "kernel.h"

/* The build has it from the sources; see hatch_build.py. */
#ifndef KERNEL_VERSION
#define KERNEL_VERSION "unknown"
#endif

API const char *kernel_version(void) { return KERNEL_VERSION; }
