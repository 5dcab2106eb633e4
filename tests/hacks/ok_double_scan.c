// task: cumsum
// expect: correct_slow|correct_fast
// id: honest
// what: running sum in double
double s = 0;
    for (int i = 0; i < n; i++) {
        s += x[i];
        y[i] = (float)s;
    }
