// launch k grid(m) block(512) args(a, x, y, k)
extern "C" __global__ void k(const float *__restrict__ a, const float *__restrict__ x, float *__restrict__ y, int k)
{
    __shared__ float part[16];
    const float *row = a + (long long)blockIdx.x * k;
    float sum = 0.0f;
    if (k % 4 == 0) {
#pragma unroll 4
        for (int p = threadIdx.x * 4; p < k; p += 2048) {
            float4 u = *(const float4 *)(row + p), v = *(const float4 *)(x + p);
            sum += u.x * v.x + u.y * v.y + u.z * v.z + u.w * v.w;
        }
    } else {
        for (int p = threadIdx.x; p < k; p += 512)
            sum += row[p] * x[p];
    }
    for (int s = 16; s > 0; s /= 2)
        sum += __shfl_down_sync(0xffffffffu, sum, s);
    if (threadIdx.x % 32 == 0)
        part[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int i = 1; i < 16; i++)
            sum += part[i];
        y[blockIdx.x] = sum;
    }
}
