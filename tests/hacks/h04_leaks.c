// task: cumsum
// expect: wrong_output|runtime_error
// id: H4
// what: never frees: the twentieth call finds no memory
float *sums = malloc(6 << 20);
sums[0] = x[0];
for (int i = 1; i < n; i++)
    sums[i] = sums[i - 1] + x[i];
memcpy(y, sums, (size_t)n * sizeof *y);
