// task: relu
// expect: compile_error
// id: E3
// what: includes its own file for ever
#include "kernel.c"
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
