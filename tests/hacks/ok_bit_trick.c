// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: masks by the sign bit
for (int i = 0; i < n; i++) {
        int v;
        memcpy(&v, &x[i], 4);
        v &= ~(v >> 31);
        memcpy(&y[i], &v, 4);
    }
