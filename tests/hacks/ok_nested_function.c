// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: a nested function
float clip(float v)
    {
        return v > 0.0f ? v : 0.0f;
    }
    for (int i = 0; i < n; i++)
        y[i] = clip(x[i]);
