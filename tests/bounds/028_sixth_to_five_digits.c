// beyond
// a constant that was typed in too short is no rounding of it
void hard_sigmoid(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++) {
        float v = x[i] * 0.16667f + 0.5f;
        y[i] = v < 0.0f ? 0.0f : v > 1.0f ? 1.0f : v;
    }
}
