// launch k grid(ceil_div(n, 128) * ceil_div(n, 128)) block(256) args(a, b, c, n)
// Tiles of 128 x 128, and of k only what both factors have there; the longest first.
#define UPPER 1
__device__ void put(float *row, int j, int n, bool is_kept, float v)
{
    if (j < n)
        row[j] = is_kept ? v : 0.0f;
}
extern "C" __global__ void __launch_bounds__(256, 2) k(const float *__restrict__ a, const float *__restrict__ b,
                                                    float *__restrict__ c, int n)
{
    __shared__ float as[2][16][132], bs[2][16][128];
    int tiles = (n + 127) / 128, t = threadIdx.x, d = tiles, first = 0, at = blockIdx.x;
    /* Block number -> tile: by distance from the diagonal, the farthest (the longest sums) first; then the others. */
    for (d = tiles - 1; d >= 0 && at >= first + tiles - d; d--)
        first += tiles - d;
    int short_ = at - first, long_ = short_ + d;
    bool is_zero = d < 0;
    if (is_zero) { /* the rest of the square */
        at -= first;
        for (d = 1; at >= tiles - d; d++)
            at -= tiles - d;
        short_ = at, long_ = at + d;
    }
    int ti = UPPER == !is_zero ? short_ : long_, tj = UPPER == !is_zero ? long_ : short_;
    int i0 = ti * 128, j0 = tj * 128, ty = t / 16 * 4, tx = t % 16 * 4;
    float acc[8][8] = {};
    int p0 = (UPPER ? ti : tj) * 128, p1 = ((UPPER ? tj : ti) + 1) * 128;
    p1 = p1 < n ? p1 : n;
    bool is_even = n % 128 == 0;
    float ra[8], rb[8];
    auto fetch = [&](int p) {
        int i = i0 + t / 2, q = p + t % 2 * 8, r = p + t / 16, j = j0 + t % 16 * 8;
        if (is_even) {
            *(float4 *)ra = *(const float4 *)(a + (long long)i * n + q);
            *(float4 *)(ra + 4) = *(const float4 *)(a + (long long)i * n + q + 4);
            *(float4 *)rb = *(const float4 *)(b + (long long)r * n + j);
            *(float4 *)(rb + 4) = *(const float4 *)(b + (long long)r * n + j + 4);
        } else {
            for (int e = 0; e < 8; e++) {
                ra[e] = i < n && q + e < n ? a[(long long)i * n + q + e] : 0.0f;
                rb[e] = r < n && j + e < n ? b[(long long)r * n + j + e] : 0.0f;
            }
        }
    };
    auto store = [&](int s) {
#pragma unroll
        for (int e = 0; e < 8; e++)
            as[s][t % 2 * 8 + e][t / 2] = ra[e];
        *(float4 *)&bs[s][t / 16][t % 16 * 8] = *(float4 *)rb;
        *(float4 *)&bs[s][t / 16][t % 16 * 8 + 4] = *(float4 *)(rb + 4);
    };
    if (!is_zero) {
        fetch(p0);
        store(0);
        __syncthreads();
        for (int p = p0, s = 0; p < p1; p += 16, s ^= 1) {
            if (p + 16 < p1)
                fetch(p + 16);
#pragma unroll
            for (int q = 0; q < 16; q++) {
                float u[8], v[8];
                *(float4 *)u = *(const float4 *)&as[s][q][ty];
                *(float4 *)(u + 4) = *(const float4 *)&as[s][q][64 + ty];
                *(float4 *)v = *(const float4 *)&bs[s][q][tx];
                *(float4 *)(v + 4) = *(const float4 *)&bs[s][q][64 + tx];
#pragma unroll
                for (int i = 0; i < 8; i++)
#pragma unroll
                    for (int j = 0; j < 8; j++)
                        acc[i][j] += u[i] * v[j];
            }
            if (p + 16 < p1)
                store(s ^ 1);
            __syncthreads();
        }
    }
#pragma unroll
    for (int i = 0; i < 8; i++) {
        int row = i0 + ty + (i < 4 ? i : 60 + i);
        if (row >= n)
            continue;
#pragma unroll
        for (int j = 0; j < 8; j++) {
            int column = j0 + tx + (j < 4 ? j : 60 + j);
            put(c + (long long)row * n, column, n, UPPER ? column >= row : column <= row, acc[i][j]);
        }
    }
}
