// task: decay
// expect: correct_slow|correct_fast
// id: honest
// what: state and output together
for (int i = 0; i < n; i++) {
    float v = 0.9f * r[i] + 0.1f * x[i];
    r[i] = v;
    y[i] = v;
}
