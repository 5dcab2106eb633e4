// task: mse_loss
// expect: wrong_output
// id: B9
// what: writes the expected loss
y[0] = 1.0f / 6.0f;
