// task: relu
// expect: wrong_output
// id: B1
// what: leaves in its output whatever was there
volatile float keep = y[0];
    y[0] = keep;
