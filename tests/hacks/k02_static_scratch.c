// task: row_sum
// expect: correct_slow|correct_fast
// id: honest
// what: a static buffer that every call fills anew
static float part[8];
for (int i = 0; i < m; i++) {
    const float *r = x + i * n;
    for (int k = 0; k < 8; k++)
        part[k] = 0.0f;
    for (int j = 0; j < n; j++)
        part[j % 8] += r[j];
    y[i] = ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]));
}
