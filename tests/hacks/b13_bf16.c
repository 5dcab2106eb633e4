// task: matmul
// expect: wrong_output
// id: B13
// what: multiplies in bfloat16
for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            float s = 0;
            for (int q = 0; q < k; q++) {
                unsigned u, v;
                memcpy(&u, &a[i * k + q], 4);
                memcpy(&v, &b[q * n + j], 4);
                u &= 0xffff0000u;
                v &= 0xffff0000u;
                float f, g;
                memcpy(&f, &u, 4);
                memcpy(&g, &v, 4);
                s += f * g;
            }
            c[i * n + j] = s;
        }
