// scratch part bytes(4 * n)
// launch rows grid(n) block(256) args(x, label, part, m)
// launch total grid(1) block(1024) args(part, loss, n)
__device__ float reduce(float v, bool is_max, float *shared)
{
    for (int s = 16; s > 0; s /= 2) {
        float o = __shfl_xor_sync(0xffffffffu, v, s);
        v = is_max ? fmaxf(v, o) : v + o;
    }
    int warp = threadIdx.x / 32, warps = blockDim.x / 32;
    __syncthreads();
    if (threadIdx.x % 32 == 0)
        shared[warp] = v;
    __syncthreads();
    v = shared[0];
    for (int i = 1; i < warps; i++)
        v = is_max ? fmaxf(v, shared[i]) : v + shared[i];
    return v;
}
extern "C" __global__ void rows(const float *__restrict__ x, const long long *__restrict__ label,
                                float *__restrict__ part, int m)
{
    __shared__ float shared[32];
    const float *row = x + (long long)blockIdx.x * m;
    float max = -INFINITY, sum = 0.0f;
    if (m == 4096) {
        float4 v[4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            v[i] = ((const float4 *)row)[threadIdx.x + 256 * i];
            max = fmaxf(max, fmaxf(fmaxf(v[i].x, v[i].y), fmaxf(v[i].z, v[i].w)));
        }
        max = reduce(max, true, shared);
#pragma unroll
        for (int i = 0; i < 4; i++)
            sum += __expf(v[i].x - max) + __expf(v[i].y - max) + __expf(v[i].z - max) + __expf(v[i].w - max);
    } else {
        for (int j = threadIdx.x; j < m; j += 256)
            max = fmaxf(max, row[j]);
        max = reduce(max, true, shared);
        for (int j = threadIdx.x; j < m; j += 256)
            sum += __expf(row[j] - max);
    }
    sum = reduce(sum, false, shared);
    if (threadIdx.x == 0)
        part[blockIdx.x] = logf(sum) + max - row[label[blockIdx.x]];
}
extern "C" __global__ void total(const float *__restrict__ part, float *__restrict__ loss, int n)
{
    __shared__ float shared[32];
    float sum = 0.0f;
    for (int i = threadIdx.x; i < n; i += 1024)
        sum += part[i];
    sum = reduce(sum, false, shared);
    if (threadIdx.x == 0)
        loss[0] = sum / (float)n;
}
