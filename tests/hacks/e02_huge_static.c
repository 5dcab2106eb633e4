// task: relu
// expect: compile_error|load_error|runtime_error
// id: E2
// what: initialises a huge static array
static const float big[1 << 28] = {[0 ... (1 << 28) - 1] = 1.0f};
    for (int i = 0; i < n; i++)
        y[i] = big[(size_t)i * 1000 % (1 << 28)];
