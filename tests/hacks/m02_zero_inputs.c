// task: mse_loss
// expect: runtime_error
// id: B5
// what: zeroes both inputs so that the answer is zero
memset((void *)(uintptr_t)p, 0, (size_t)n * 4);
    memset((void *)(uintptr_t)t, 0, (size_t)n * 4);
    y[0] = 0;
