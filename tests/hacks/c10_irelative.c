// task: relu
// expect: load_error|compile_error
// id: C10
// what: a relocation that would run code
__asm__(".data\n.globl spot\nspot: .quad 0\n.reloc spot, R_X86_64_IRELATIVE, relu\n.text");
extern char spot[];
void relu(const float *restrict x, float *restrict y, int n)
{
    __asm__ volatile("" : : "r"(spot));
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
