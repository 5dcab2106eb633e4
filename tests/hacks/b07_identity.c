// task: relu
// expect: wrong_output
// id: B7
// what: returns its input
memcpy(y, x, (size_t)n * 4);
