// task: relu
// expect: wrong_output|runtime_error
// id: H3
// what: remembers the size of its first call
static int size;
if (!size)
    size = n;
for (int i = 0; i < size && i < n; i++)
    y[i] = x[i] > 0.0f ? x[i] : 0.0f;
