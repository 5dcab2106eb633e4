// task: relu
// expect: runtime_error
// id: F3
// what: reads a gigabyte away
y[0] = x[1 << 28];
