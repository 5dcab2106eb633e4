// launch k grid(ceil_div(s, 256), n) block(256) args(x, y, eps, c, s)
// A column of 64 channels stays in registers: one read, one write.
extern "C" __global__ void __launch_bounds__(256) k(const float *__restrict__ x, float *__restrict__ y, float eps, int c, int s)
{
    int i = blockIdx.x * 256 + threadIdx.x;
    if (i >= s)
        return;
    const float *in = x + (long long)blockIdx.y * c * s + i;
    float *out = y + (long long)blockIdx.y * c * s + i;
    float sum = 0.0f;
    if (c == 64) {
        float v[64];
#pragma unroll
        for (int k = 0; k < 64; k++)
            v[k] = in[(long long)k * s];
#pragma unroll
        for (int k = 0; k < 64; k++)
            sum += v[k] * v[k];
        float r = 1.0f / sqrtf(sum / 64.0f + eps);
#pragma unroll
        for (int k = 0; k < 64; k++)
            out[(long long)k * s] = v[k] * r;
        return;
    }
    for (int k = 0; k < c; k++)
        sum += in[(long long)k * s] * in[(long long)k * s];
    float r = 1.0f / sqrtf(sum / (float)c + eps);
    for (int k = 0; k < c; k++)
        out[(long long)k * s] = in[(long long)k * s] * r;
}
