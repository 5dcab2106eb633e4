// scratch part bytes(4 * 2112)
// launch parts grid(2112) block(256) args(pred, target, part, n, m)
// launch last grid(1) block(256) args(part, loss, n)
__device__ float reduce(float v, float *shared)
{
    for (int s = 16; s > 0; s /= 2)
        v += __shfl_xor_sync(0xffffffffu, v, s);
    if (threadIdx.x % 32 == 0)
        shared[threadIdx.x / 32] = v;
    __syncthreads();
    v = 0.0f;
    for (int i = 0; i < 8; i++)
        v += shared[i];
    return v;
}
__device__ float term(float t, float p) { return t * __logf(__fdividef(t, p)); }
extern "C" __global__ void parts(const float *__restrict__ pred, const float *__restrict__ target,
                                 float *__restrict__ part, int n, int m)
{
    __shared__ float shared[8];
    int all = n * m, four = all / 4, step = gridDim.x * 256;
    float sum = 0.0f;
#pragma unroll 4
    for (int i = blockIdx.x * 256 + threadIdx.x; i < four; i += step) {
        float4 p = ((const float4 *)pred)[i], t = ((const float4 *)target)[i];
        sum += (term(t.x, p.x) + term(t.y, p.y)) + (term(t.z, p.z) + term(t.w, p.w));
    }
    for (int i = 4 * four + blockIdx.x * 256 + threadIdx.x; i < all; i += step)
        sum += term(target[i], pred[i]);
    sum = reduce(sum, shared);
    if (threadIdx.x == 0)
        part[blockIdx.x] = sum;
}
extern "C" __global__ void last(const float *__restrict__ part, float *__restrict__ loss, int n)
{
    __shared__ float shared[8];
    float sum = 0.0f;
    for (int i = threadIdx.x; i < 2112; i += 256)
        sum += part[i];
    sum = reduce(sum, shared);
    if (threadIdx.x == 0)
        loss[0] = sum / (float)n;
}
