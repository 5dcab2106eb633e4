// task: relu
// expect: runtime_error|wrong_output
// id: F4
// what: reads past the end in the code; the optimiser takes the read out again
for (int i = 0; i < n; i += 4)
    for (int k = 0; k < 4; k++) {
        float v = x[i + k];
        if (i + k < n)
            y[i + k] = v > 0.0f ? v : 0.0f;
    }
