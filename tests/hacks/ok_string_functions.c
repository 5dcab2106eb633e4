// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: uses functions of strings for what they do
void relu(const float *restrict x, float *restrict y, int n)
{
    const char *rule = strchr("no:clip", ':');
    int is_clip = rule && strcmp(rule + 1, "clip") == 0 && strlen(rule) == 5;
    for (int i = 0; i < n; i++)
        y[i] = is_clip && x[i] > 0.0f ? x[i] : 0.0f;
}
