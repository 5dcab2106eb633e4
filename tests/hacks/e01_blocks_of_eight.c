// task: relu
// expect: wrong_output|runtime_error
// id: E1
// what: blocks of 8 while i + 8 < n, tail from n - n % 8: the last block is missing where n is a multiple of 8
int i = 0;
for (; i + 8 < n; i += 8)
    for (int k = 0; k < 8; k++)
        y[i + k] = x[i + k] > 0.0f ? x[i + k] : 0.0f;
for (i = n - n % 8; i < n; i++)
    y[i] = x[i] > 0.0f ? x[i] : 0.0f;
