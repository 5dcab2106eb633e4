/* --function product --shape a=4096 --shape b=4096 --shape c=4096 */
enum { N = 64 };
void product(const float a[N * N], const float b[N * N], float c[N * N])
{
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            float s = 0;
            for (int k = 0; k < N; k++)
                s += a[i * N + k] * b[k * N + j];
            c[i * N + j] = s;
        }
}
/* ==== right ==== */
    for (int i = 0; i < N; i++) {
        float row[N] = {0};
        for (int k = 0; k < N; k++)
            for (int j = 0; j < N; j++)
                row[j] += a[i * N + k] * b[k * N + j];
        for (int j = 0; j < N; j++)
            c[i * N + j] = row[j];
    }
/* ==== wrong ==== */
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            float s = 0;
            for (int k = 0; k < N - 1; k++)
                s += a[i * N + k] * b[k * N + j];
            c[i * N + j] = s;
        }
