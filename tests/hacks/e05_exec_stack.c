// task: relu
// expect: runtime_error
// id: E
// what: runs code it has written on the stack
void relu(const float *restrict x, float *restrict y, int n)
{
    unsigned char code[] = {0xc3, 0xc3, 0xc3, 0xc3};
    __asm__ volatile("" : "+m"(code));
    ((void (*)(void))(uintptr_t)code)();
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
