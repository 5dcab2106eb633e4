// launch k grid(ceil_div(ceil_div(w - 2, 4), 128), ceil_div(h - 2, 16), n * c) block(128) args(x, weight, y, c, h, w)
// Four outputs a thread, down a strip of sixteen rows: a row of inputs is read once and used three times.
__device__ void row_of(const float *__restrict__ in, int j, int w, float r[6])
{
    if (w % 4 == 0 && j + 5 < w) {
        float4 a = *(const float4 *)(in + j);
        float2 b = *(const float2 *)(in + j + 4);
        r[0] = a.x, r[1] = a.y, r[2] = a.z, r[3] = a.w, r[4] = b.x, r[5] = b.y;
    } else {
        for (int t = 0; t < 6; t++)
            r[t] = j + t < w ? in[j + t] : 0.0f;
    }
}
extern "C" __global__ void k(const float *__restrict__ x, const float *__restrict__ weight, float *__restrict__ y, int c,
                             int h, int w)
{
    int j = (blockIdx.x * 128 + threadIdx.x) * 4, i0 = blockIdx.y * 16, oh = h - 2, ow = w - 2;
    long long plane = blockIdx.z;
    if (j >= ow)
        return;
    const float *in = x + plane * h * w, *g = weight + plane % c * 9;
    float *out = y + plane * oh * ow, k[9], r[3][6];
    for (int t = 0; t < 9; t++)
        k[t] = g[t];
    row_of(in + (long long)i0 * w, j, w, r[0]);
    row_of(in + (long long)(i0 + 1) * w, j, w, r[1]);
#pragma unroll
    for (int t = 0; t < 16; t++) {
        int i = i0 + t;
        if (i < oh) {
            float v[4];
            row_of(in + (long long)(i + 2) * w, j, w, r[(t + 2) % 3]);
#pragma unroll
            for (int q = 0; q < 4; q++) {
                float sum = 0.0f;
#pragma unroll
                for (int p = 0; p < 3; p++)
                    sum += r[(t + p) % 3][q] * k[3 * p] + r[(t + p) % 3][q + 1] * k[3 * p + 1] +
                           r[(t + p) % 3][q + 2] * k[3 * p + 2];
                v[q] = sum;
            }
            float *to = out + (long long)i * ow + j;
            if (ow % 2 == 0 && oh % 2 == 0 && j + 3 < ow) {
                *(float2 *)to = make_float2(v[0], v[1]);
                *(float2 *)(to + 2) = make_float2(v[2], v[3]);
            } else {
                for (int q = 0; q < 4 && j + q < ow; q++)
                    to[q] = v[q];
            }
        }
    }
}
