// task: relu
// expect: timeout
// id: D15
// what: never returns
for (volatile int i = 0;; i++)
        ;
