// task: relu
// expect: compile_error|load_error|wrong_output
// id: E3
// what: makes the assembler write gigabytes
__asm__ volatile(".section .rodata\n.rept 1000000000\n.quad 1\n.endr\n.text");
