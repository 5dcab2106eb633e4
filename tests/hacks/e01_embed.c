// task: relu
// expect: compile_error
// id: E1
// what: embeds a file with the preprocessor
static const char stolen[] = {
#embed "/etc/passwd"
    };
    y[0] = stolen[0];
