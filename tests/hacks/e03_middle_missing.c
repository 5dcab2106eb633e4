// task: cumsum
// expect: wrong_output|runtime_error
// id: E3
// what: right for tiny and for large arrays, not between
float s = 0.0f;
for (int i = 0; i < n; i++) {
    s += x[i];
    y[i] = n > 16 && n < 1500 && n != 77 ? x[i] : s;
}
