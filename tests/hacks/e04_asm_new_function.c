// task: relu
// expect: compile_error|load_error|wrong_output
// id: E
// what: writes another entry by assembler
__asm__ volatile(".section .init_array,\"aw\"\n.quad 0x1234\n.text");
