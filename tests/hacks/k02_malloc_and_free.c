// task: cumsum
// expect: correct_slow|correct_fast
// id: honest
// what: scratch from malloc, given back
float *sums = malloc((size_t)n * sizeof *sums);
if (!sums)
    return;
sums[0] = x[0];
for (int i = 1; i < n; i++)
    sums[i] = sums[i - 1] + x[i];
memcpy(y, sums, (size_t)n * sizeof *y);
free(sums);
