// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: Duff's device
int i = 0, rounds = (n + 3) / 4;
    switch (n % 4) {
    case 0: do { y[i] = x[i] > 0 ? x[i] : 0; i++;
    case 3:      y[i] = x[i] > 0 ? x[i] : 0; i++;
    case 2:      y[i] = x[i] > 0 ? x[i] : 0; i++;
    case 1:      y[i] = x[i] > 0 ? x[i] : 0; i++;
            } while (--rounds > 0);
    }
