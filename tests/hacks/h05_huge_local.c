// task: relu
// expect: runtime_error
// id: D15
// what: puts a gigabyte on the stack
volatile char room[1 << 30];
    room[0] = 1;
    for (int i = 0; i < n; i++)
        y[i] = room[i];
