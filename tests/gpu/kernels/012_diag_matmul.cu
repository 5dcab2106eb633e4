// launch k grid(ceil_div(m, 256), n) block(256) args(a, b, c, m)
extern "C" __global__ void k(const float *__restrict__ a, const float *__restrict__ b, float *__restrict__ c, int m)
{
    int j = blockIdx.x * 256 + threadIdx.x, i = blockIdx.y;
    if (j < m)
        c[i * m + j] = a[i] * b[i * m + j];
}
