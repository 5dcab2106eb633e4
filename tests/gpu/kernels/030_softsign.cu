// launch k grid(ceil_div(n, 1024)) block(256) args(x, y, n)
__device__ float f(float v) { return __fdividef(v, 1.0f + fabsf(v)); }
extern "C" __global__ void k(const float *__restrict__ x, float *__restrict__ y, int n)
{
    int i = (blockIdx.x * 256 + threadIdx.x) * 4;
    if (i + 3 < n) {
        float4 v = *(const float4 *)(x + i);
        *(float4 *)(y + i) = make_float4(f(v.x), f(v.y), f(v.z), f(v.w));
    } else {
        for (; i < n; i++)
            y[i] = f(x[i]);
    }
}
