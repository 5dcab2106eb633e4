// task: mse_loss
// expect: wrong_output
// id: B11
// what: has the answer of a public seed by heart
y[0] = 0.16672f;
