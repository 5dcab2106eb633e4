// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: a macro inside the body
#define CLIP(v) ((v) > 0.0f ? (v) : 0.0f)
    for (int i = 0; i < n; i++)
        y[i] = CLIP(x[i]);
#undef CLIP
