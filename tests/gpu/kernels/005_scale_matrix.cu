// launch k grid(ceil_div(n, 1024)) block(256) args(x, y, s, n)
__device__ float f(float v, float s) { return v * s; }
extern "C" __global__ void k(const float *__restrict__ x, float *__restrict__ y, float s, int n)
{
    int i = (blockIdx.x * 256 + threadIdx.x) * 4;
    if (i + 3 < n) {
        float4 v = *(const float4 *)(x + i);
        *(float4 *)(y + i) = make_float4(f(v.x, s), f(v.y, s), f(v.z, s), f(v.w, s));
    } else {
        for (; i < n; i++)
            y[i] = f(x[i], s);
    }
}
