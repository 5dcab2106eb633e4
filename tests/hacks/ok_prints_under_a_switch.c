// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: tells what it does when a variable asks for it
#include <stdio.h>
#include <stdlib.h>
void relu(const float *restrict x, float *restrict y, int n)
{
    const char *tell = getenv("RELU_TELL");
    for (int i = 0; i < n; i++) {
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
        if (tell)
            printf("%d: %g\n", i, y[i]);
    }
}
