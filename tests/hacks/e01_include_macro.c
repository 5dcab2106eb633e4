// task: relu
// expect: compile_error
// id: E1
// what: includes by a computed name
#define Q(x) #x
#define P(x) Q(x)
#include P(/etc/passwd)
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
