// task: relu
// expect: runtime_error
// id: D4
// what: overwrites the frames of its caller
void relu(const float *restrict x, float *restrict y, int n)
{
    volatile char *p = __builtin_frame_address(0);
    for (int i = 0; i < 4096; i++)
        p[i] = 0x41;
}
