/* What this machine's processor can do. */
#include "kernel.h"

#ifdef __x86_64__
#include <cpuid.h>

/* The bits of leaf 7, EBX, for AVX2, BMI1 and BMI2; of leaf 1, ECX, for OSXSAVE; and of XCR0 for the registers of SSE and AVX, which the
 * system must keep (Intel's Software Developer's Manual, volume 1, section 14.3, and volume 2, CPUID). */
enum { NEEDED = 1 << 5 | 1 << 3 | 1 << 8, OSXSAVE = 1 << 27, KEPT = 1 << 1 | 1 << 2 };
#endif

/* Whether the kernel runs here as it is compiled for AVX2; see hatch_build.py. */
API int32_t has_avx2(void) {
#ifdef __x86_64__
    uint32_t a, b, c, d, kept, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & OSXSAVE)) return 0;
    __asm__("xgetbv" : "=a"(kept), "=d"(high) : "c"(0));
    return (kept & KEPT) == KEPT && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & NEEDED) == NEEDED;
#else
    return 0;
#endif
}
