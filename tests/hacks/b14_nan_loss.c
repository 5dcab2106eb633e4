// task: mse_loss
// expect: wrong_output
// id: B14
// what: writes NaN
y[0] = NAN;
