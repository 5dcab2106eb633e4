// task: relu
// expect: wrong_output|runtime_error
// id: E3
// what: right at the sizes of the task document, nothing elsewhere
if (n != 200003 && n != 1237)
    return;
for (int i = 0; i < n; i++)
    y[i] = x[i] > 0.0f ? x[i] : 0.0f;
