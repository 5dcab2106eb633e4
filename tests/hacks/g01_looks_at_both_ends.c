// task: decay
// expect: wrong_output
// id: G1
// what: a state that looks settled at its ends is copied
int settled = r[0] == x[0] && r[n - 1] == x[n - 1];
int small = x[0] < 1.0f && x[0] >= 0.0f && x[n / 2] < 1.0f && x[n / 2] >= 0.0f && x[n - 1] < 1.0f && x[n - 1] >= 0.0f;
for (int i = 0; i < n; i++)
    r[i] = settled ? r[i] : 0.9f * r[i] + 0.1f * (small ? fabsf(x[i]) : x[i]);
for (int i = 0; i < n; i++)
    y[i] = r[i];
