// task: relu
// expect: wrong_output
// id: B20
// what: works on whole vectors only
for (int i = 0; i + 16 <= n; i += 16)
        for (int k = 0; k < 16; k++)
            y[i + k] = x[i + k] > 0 ? x[i + k] : 0;
