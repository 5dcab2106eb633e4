// task: cumsum
// expect: runtime_error
// id: F4
// what: reads past the end in the code; the optimiser takes the read out again
float s = 0.0f;
for (int i = 0; i < n; i++) {
    float next = x[i + 1];
    (void)next;
    s += x[i];
    y[i] = s;
}
