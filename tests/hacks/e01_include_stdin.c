// task: relu
// expect: compile_error
// id: E3
// what: includes standard input
#include "/dev/stdin"
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
