// task: relu
// expect: runtime_error
// id: D4
// what: executes an undefined instruction
__builtin_trap();
