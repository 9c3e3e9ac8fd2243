/*
 * Prints the frequency of this computer's time stamp counter in kHz, which an emulated processor's has too: under load
 * Linux in the machine cannot measure it, and /proc/cpuinfo shows what the processor does at the moment instead.
 */

#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

struct reading {
    int64_t nanoseconds;
    uint64_t ticks;
};

static int64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC_RAW, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

/* Of several readings the one that was interrupted least. */
static struct reading read_both(void)
{
    struct reading best = {0, 0};
    int64_t shortest = INT64_MAX;

    for (int i = 0; i < 50; i++) {
        int64_t before = now();
        uint64_t ticks = __rdtsc();
        int64_t after = now();

        if (after - before < shortest) {
            shortest = after - before;
            best.nanoseconds = before + (after - before) / 2;
            best.ticks = ticks;
        }
    }
    return best;
}

int main(void)
{
    const struct timespec pause = {0, 100 * 1000 * 1000};
    struct reading first = read_both();

    nanosleep(&pause, NULL);

    struct reading second = read_both();
    double milliseconds = (double)(second.nanoseconds - first.nanoseconds) / 1e6;

    printf("%.0f\n", (double)(second.ticks - first.ticks) / milliseconds);
    return 0;
}
