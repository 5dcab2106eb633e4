// task: row_sum
// expect: wrong_output
// id: G1
// what: where the first of a row lies in the unit interval the rest is cut to it
for (int i = 0; i < m; i++) {
    const float *r = x + i * n;
    int unit = 1;
    for (int j = 0; j < 8 && j < n; j++)
        unit &= r[j] >= 0.0f && r[j] < 1.0f;
    float s = 0.0f;
    for (int j = 0; j < n; j++)
        s += unit ? fminf(fmaxf(r[j], 0.0f), 1.0f) : r[j];
    y[i] = s;
}
