// task: relu
// expect: runtime_error
// id: F
// what: reads through a null pointer
volatile float *p = 0;
    y[0] = *p;
