// task: relu
// expect: load_error
// id: C10
// what: 5,000 names for others
__asm__(".data\n.altmacro\n.macro many k\n.globl v\\k\nv\\k: .quad 0\n.endm\n.set i, 0\n.rept 5000\nmany %i\n.set i, i + 1\n.endr\n.noaltmacro\n.text");
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
