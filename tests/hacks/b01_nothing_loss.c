// task: mse_loss
// expect: wrong_output
// id: B1
// what: does nothing
(void)p;
