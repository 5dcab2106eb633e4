// task: relu
// expect: wrong_output
// id: B1
// what: does nothing
(void)x;
