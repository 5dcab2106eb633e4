// task: relu
// expect: runtime_error
// id: F9
// what: divides by zero
volatile int z = 0, w = n;
    y[0] = (float)(w / z);
