// launch k grid(n) block(256) args(x, y, m)
extern "C" __global__ void k(const float *__restrict__ x, float *__restrict__ y, int m)
{
    __shared__ float warp[8];
    __shared__ float total;
    const float *row = x + (long long)blockIdx.x * m;
    float *out = y + (long long)blockIdx.x * m;
    float carry = 0.0f;
    int lane = threadIdx.x % 32, w = threadIdx.x / 32;
    for (int base = 0; base < m; base += 1024) {
        int j = base + threadIdx.x * 4;
        float v[4], own = 0.0f;
        if (m % 4 == 0 && j + 3 < m) {
            float4 q = *(const float4 *)(row + j);
            v[0] = q.x, v[1] = q.y, v[2] = q.z, v[3] = q.w;
        } else {
            for (int k = 0; k < 4; k++)
                v[k] = j + k < m ? row[j + k] : 0.0f;
        }
        for (int k = 0; k < 4; k++)
            v[k] = own += v[k];
        float scan = own;
        for (int s = 1; s < 32; s *= 2) {
            float o = __shfl_up_sync(0xffffffffu, scan, s);
            if (lane >= s)
                scan += o;
        }
        if (lane == 31)
            warp[w] = scan;
        __syncthreads();
        float before = __shfl_up_sync(0xffffffffu, scan, 1);
        before = (lane ? before : 0.0f) + carry;
        for (int i = 0; i < w; i++)
            before += warp[i];
        if (threadIdx.x == 255)
            total = before + own;
        if (m % 4 == 0 && j + 3 < m)
            *(float4 *)(out + j) = make_float4(before + v[0], before + v[1], before + v[2], before + v[3]);
        else
            for (int k = 0; k < 4; k++)
                if (j + k < m)
                    out[j + k] = before + v[k];
        __syncthreads();
        carry = total;
        __syncthreads();
    }
}
