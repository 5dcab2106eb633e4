// task: relu
// expect: load_error|compile_error
// id: C10
// what: a relocation by hand whose place lies elsewhere
__asm__(".data\nspot: .quad 0\n.reloc spot + 0x1000000, R_X86_64_64, relu\n.text");
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
