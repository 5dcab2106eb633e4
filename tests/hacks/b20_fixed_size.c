// task: row_sum
// expect: wrong_output|runtime_error
// id: B20
// what: has the benchmark's size built in
for (int i = 0; i < 256; i++) {
        float s = 0;
        for (int j = 0; j < 1000; j++)
            s += x[i * 1000 + j];
        y[i] = s;
    }
