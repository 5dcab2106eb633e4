// task: relu
// expect: compile_error|load_error|wrong_output
// id: E
// what: closes the function by a macro and opens another
#define END }
#define BEGIN {
    y[0] = 1;
END
__attribute__((constructor)) static void evil(void)
BEGIN
    __asm__ volatile("nop");
