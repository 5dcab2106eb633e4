// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: a nested function where the compiler has them
#if defined(__clang__)
#define clip(v) ((v) > 0.0f ? (v) : 0.0f)
#else
    float clip(float v)
    {
        return v > 0.0f ? v : 0.0f;
    }
#endif
    for (int i = 0; i < n; i++)
        y[i] = clip(x[i]);
