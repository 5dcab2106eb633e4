// task: cumsum
// expect: wrong_output|runtime_error
// id: H2
// what: does its work ten times a process
static int calls;
if (calls++ >= 10)
    return;
float s = 0.0f;
for (int i = 0; i < n; i++) {
    s += x[i];
    y[i] = s;
}
