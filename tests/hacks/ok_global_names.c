// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: helpers and data that others could name
float zero = 0.0f;
const float one[1] = {1.0f};
float larger(float a, float b)
{
    return a > b ? a : b;
}
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = larger(x[i] * one[0], zero);
}
