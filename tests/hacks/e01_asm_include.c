// task: relu
// expect: compile_error
// id: E1
// what: includes a file through the assembler
__asm__(".include \"/etc/passwd\"");
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
