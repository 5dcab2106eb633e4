// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: a megabyte of static room
static float room[1 << 18];
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        room[i] = x[i] > 0.0f ? x[i] : 0.0f;
    memcpy(y, room, sizeof(float) * (size_t)n);
}
