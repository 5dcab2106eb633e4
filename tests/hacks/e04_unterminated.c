// task: relu
// expect: compile_error
// id: E
// what: leaves a comment open
y[0] = 1; /* never closed
