// task: relu
// expect: runtime_error
// id: F9
// what: calls its input as a function
((void (*)(void))(uintptr_t)x)();
