// task: relu
// expect: compile_error
// id: E1
// what: includes a file of the machine by its path
#include "/etc/passwd"
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
