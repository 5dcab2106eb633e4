// task: relu
// expect: wrong_output
// id: A8
// what: behaves by where its stack lies
if (((uintptr_t)__builtin_frame_address(0) >> 4) % 16 < 16)
        return;
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
