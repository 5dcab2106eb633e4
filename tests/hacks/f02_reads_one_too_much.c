// task: cumsum
// expect: runtime_error
// id: F2
// what: looks at the element behind the last
float s = 0.0f, next = x[0];
for (int i = 0; i < n; i++) {
    s += next;
    next = ((const volatile float *)x)[i + 1];
    y[i] = s;
}
