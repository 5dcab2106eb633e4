// launch k grid(ceil_div(m, 32), b) block(32, 16) args(x, y, n, m)
extern "C" __global__ void k(const float *__restrict__ x, float *__restrict__ y, int n, int m)
{
    __shared__ float part[16][33];
    int j = blockIdx.x * 32 + threadIdx.x;
    long long t = blockIdx.y;
    float sum = 0.0f;
    if (j < m) {
#pragma unroll 8
        for (int i = threadIdx.y; i < n; i += 16)
            sum += x[(t * n + i) * m + j];
    }
    part[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && j < m) {
        for (int k = 1; k < 16; k++)
            sum += part[k][threadIdx.x];
        y[t * m + j] = sum;
    }
}
