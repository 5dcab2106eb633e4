// task: cumsum
// expect: wrong_output
// id: C
// what: writes the exclusive sum
float s = 0;
    for (int i = 0; i < n; i++) {
        y[i] = s;
        s += x[i];
    }
