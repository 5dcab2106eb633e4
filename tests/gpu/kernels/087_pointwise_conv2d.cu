// launch k grid(ceil_div(h * w, 128), ceil_div(co, 128), n) block(256) smem(65536) args(x, weight, y, ci, co, h, w)
// A product of 128 outputs by 128 pixels over all 64 inputs, in shared memory; other shapes one by one.
extern "C" __global__ void __launch_bounds__(256) k(const float *__restrict__ x, const float *__restrict__ weight,
                                                    float *__restrict__ y, int ci, int co, int h, int w)
{
    extern __shared__ float4 shared[];
    float *ws = (float *)shared, *xs = ws + 64 * 128;
    int t = threadIdx.x, s = h * w, s0 = blockIdx.x * 128, o0 = blockIdx.y * 128;
    const float *in = x + (long long)blockIdx.z * ci * s;
    float *out = y + (long long)blockIdx.z * co * s;
    if (ci != 64 || co % 128 != 0 || s % 128 != 0) {
        for (int e = t; e < 128 * 128; e += 256) {
            int o = o0 + e / 128, i = s0 + e % 128;
            if (o >= co || i >= s)
                continue;
            float sum = 0.0f;
            for (int c = 0; c < ci; c++)
                sum += in[(long long)c * s + i] * weight[o * ci + c];
            out[(long long)o * s + i] = sum;
        }
        return;
    }
    for (int e = t; e < 64 * 32; e += 256)
        ((float4 *)xs)[e] = *(const float4 *)(in + (long long)(e / 32) * s + s0 + e % 32 * 4);
    for (int e = t; e < 128 * 16; e += 256) {
        int o = e % 128, c = e / 128 * 4;
        float4 v = *(const float4 *)(weight + (o0 + o) * 64 + c);
        ws[c * 128 + o] = v.x, ws[(c + 1) * 128 + o] = v.y, ws[(c + 2) * 128 + o] = v.z, ws[(c + 3) * 128 + o] = v.w;
    }
    __syncthreads();
    int to = t / 16 * 4, ts = t % 16 * 4;
    float acc[8][8] = {};
#pragma unroll 4
    for (int c = 0; c < 64; c++) {
        float a[8], b[8];
        *(float4 *)a = *(const float4 *)(ws + c * 128 + to);
        *(float4 *)(a + 4) = *(const float4 *)(ws + c * 128 + 64 + to);
        *(float4 *)b = *(const float4 *)(xs + c * 128 + ts);
        *(float4 *)(b + 4) = *(const float4 *)(xs + c * 128 + 64 + ts);
#pragma unroll
        for (int i = 0; i < 8; i++)
#pragma unroll
            for (int j = 0; j < 8; j++)
                acc[i][j] += a[i] * b[j];
    }
#pragma unroll
    for (int i = 0; i < 8; i++) {
        float *row = out + (long long)(o0 + to + (i < 4 ? i : 60 + i)) * s + s0 + ts;
        *(float4 *)row = make_float4(acc[i][0], acc[i][1], acc[i][2], acc[i][3]);
        *(float4 *)(row + 64) = make_float4(acc[i][4], acc[i][5], acc[i][6], acc[i][7]);
    }
}
