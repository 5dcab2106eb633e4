// task: cumsum
// expect: wrong_output
// id: B27
// what: restarts its running sum every 512 elements
float s = 0;
    for (int i = 0; i < n; i++) {
        if (i % 512 == 0)
            s = 0;
        s += x[i];
        y[i] = s;
    }
