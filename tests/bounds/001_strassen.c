// beyond
// one level of Strassen's algorithm on the even part, the last row and column directly: its error follows the largest
// block, not the row
#include <stdlib.h>
static void add(const float *a, const float *b, float sign, float *c, int h, int lda, int ldb)
{
    for (int i = 0; i < h; i++)
        for (int j = 0; j < h; j++)
            c[i * h + j] = a[i * lda + j] + sign * (b ? b[i * ldb + j] : 0.0f);
}
static void multiply(const float *a, const float *b, float *c, int h)
{
    for (int i = 0; i < h * h; i++)
        c[i] = 0.0f;
    for (int i = 0; i < h; i++)
        for (int k = 0; k < h; k++)
            for (int j = 0; j < h; j++)
                c[i * h + j] += a[i * h + k] * b[k * h + j];
}
void square_matmul(const float *restrict a, const float *restrict b, float *restrict c, int n)
{
    int h = n / 2, m = 2 * h;
    float *t = malloc((size_t)(9 * h * h + 1) * sizeof *t), *p[7], *s = t + 7 * h * h, *r = s + h * h;
    const float *A[4] = {a, a + h, a + h * n, a + h * n + h}, *B[4] = {b, b + h, b + h * n, b + h * n + h};
    static const struct { int a, a2, b, b2; float sa, sb; } step[7] = {
        {0, 3, 0, 3, 1, 1}, {2, 3, 0, -1, 1, 0}, {0, -1, 1, 3, 0, -1}, {3, -1, 2, 0, 0, -1},
        {0, 1, 3, -1, 1, 0}, {2, 0, 0, 1, -1, 1}, {1, 3, 2, 3, -1, 1}};
    for (int i = 0; i < 7; i++) {
        p[i] = t + i * h * h;
        add(A[step[i].a], step[i].a2 < 0 ? 0 : A[step[i].a2], step[i].sa, s, h, n, n);
        add(B[step[i].b], step[i].b2 < 0 ? 0 : B[step[i].b2], step[i].sb, r, h, n, n);
        multiply(s, r, p[i], h);
    }
    for (int i = 0; i < h; i++)
        for (int j = 0; j < h; j++) {
            int k = i * h + j;
            c[i * n + j] = p[0][k] + p[3][k] - p[4][k] + p[6][k];
            c[i * n + h + j] = p[2][k] + p[4][k];
            c[(h + i) * n + j] = p[1][k] + p[3][k];
            c[(h + i) * n + h + j] = p[0][k] - p[1][k] + p[2][k] + p[5][k];
        }
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            float tail = 0.0f;
            for (int k = i < m && j < m ? m : 0; k < n; k++)
                tail += a[i * n + k] * b[k * n + j];
            c[i * n + j] = i < m && j < m ? c[i * n + j] + tail : tail;
        }
    free(t);
}
