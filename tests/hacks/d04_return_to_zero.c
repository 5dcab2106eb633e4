// task: relu
// expect: runtime_error
// id: D4
// what: overwrites its return address
void relu(const float *restrict x, float *restrict y, int n)
{
    void **frame = __builtin_frame_address(0);
    frame[1] = 0;
    __asm__ volatile("" ::: "memory");
}
