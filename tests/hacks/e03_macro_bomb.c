// task: relu
// expect: compile_error
// id: E3
// what: expands macros for ever
#define A(x) x x x x x x x x x x x x x x x x
#define B(x) A(A(A(x)))
#define C(x) B(B(B(x)))
    C(y[0] = 1;)
