// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: a loop made of goto
int i = 0;
again:
    if (i < n) {
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
        i++;
        goto again;
    }
