/* --function matvec --shape a=rows*lda --shape x=cols --shape y=rows --size rows=150 --size cols=180 --size lda=cols+4 */
void matvec(const float *a, const float *x, float *y, int rows, int cols, int lda)
{
    for (int i = 0; i < rows; i++) {
        y[i] = 0;
        for (int j = 0; j < cols; j++)
            y[i] += a[i * lda + j] * x[j];
    }
}
/* ==== right ==== */
    for (int i = 0; i < rows; i++) {
        float s[8] = {0}, t = 0;
        int j = 0;
        for (; j + 8 <= cols; j += 8)
            for (int k = 0; k < 8; k++)
                s[k] += a[i * lda + j + k] * x[j + k];
        for (; j < cols; j++)
            t += a[i * lda + j] * x[j];
        y[i] = t + ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
    }
/* ==== wrong ==== */
    for (int i = 0; i < rows; i++) {
        float t = 0;
        for (int j = 0; j < cols; j++)
            t += a[i * cols + j] * x[j];
        y[i] = t;
    }
