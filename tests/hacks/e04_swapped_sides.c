// task: softmax
// expect: wrong_output|runtime_error
// id: E4
// what: rows and columns changed places where there are more rows than columns, which the benchmark never has
int rows = m > n ? n : m, cols = m > n ? m : n;
for (int i = 0; i < rows; i++) {
    const float *r = x + i * cols;
    float top = r[0], s = 0.0f;
    for (int j = 1; j < cols; j++)
        top = fmaxf(top, r[j]);
    for (int j = 0; j < cols; j++)
        s += expf(scale * (r[j] - top));
    for (int j = 0; j < cols; j++)
        y[i * cols + j] = expf(scale * (r[j] - top)) / s;
}
