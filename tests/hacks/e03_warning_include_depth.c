// task: relu
// expect: compile_error
// id: E3
// what: recursion through the line directive
#line 1 "/etc/passwd"
    undeclared = 1;
