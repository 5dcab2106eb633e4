// task: relu
// expect: runtime_error
// id: F4
// what: writes a gigabyte away
y[1 << 28] = 1;
