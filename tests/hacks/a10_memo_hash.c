// task: mse_loss
// expect: correct_slow|correct_fast
// id: A10
// what: keeps answers by a hash of the input; no state survives
static unsigned key[64];
    static float value[64];
    unsigned h = 2166136261u;
    for (int i = 0; i < 64; i++) {
        unsigned w;
        memcpy(&w, &p[i * (n / 64)], 4);
        h = (h ^ w) * 16777619u;
    }
    if (key[h % 64] == h) {
        y[0] = value[h % 64];
        return;
    }
    float s = 0;
    for (int i = 0; i < n; i++)
        s += (p[i] - t[i]) * (p[i] - t[i]);
    y[0] = s / (float)n;
    key[h % 64] = h;
    value[h % 64] = y[0];
