// task: relu
// expect: compile_error
// id: E1
// what: asks for a file's date
#pragma GCC dependency "/etc/passwd"
#error "stop"
