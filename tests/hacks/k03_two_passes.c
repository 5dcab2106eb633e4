// task: argmax
// expect: correct_slow|correct_fast
// id: honest
// what: the largest value first, then where it is
for (int i = 0; i < m; i++) {
    const float *r = x + i * n;
    float top = r[0];
    for (int j = 1; j < n; j++)
        top = fmaxf(top, r[j]);
    int at = 0;
    while (r[at] != top)
        at++;
    y[i] = at;
}
