// task: matmul
// expect: wrong_output
// id: B13
// what: multiplies in half precision
for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            float s = 0;
            for (int q = 0; q < k; q++)
                s += (float)(_Float16)a[i * k + q] * (float)(_Float16)b[q * n + j];
            c[i * n + j] = s;
        }
