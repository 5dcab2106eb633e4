// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: an aligned buffer from the heap
void relu(const float *restrict x, float *restrict y, int n)
{
    float *room = aligned_alloc(64, 4096);
    for (int i = 0; i < n; i += 1024) {
        int len = n - i < 1024 ? n - i : 1024;
        memcpy(room, x + i, sizeof(float) * (size_t)len);
        for (int k = 0; k < len; k++)
            y[i + k] = room[k] > 0.0f ? room[k] : 0.0f;
    }
    free(room);
}
