// task: mse_loss
// expect: wrong_output
// id: B3
// what: takes whatever number it finds on the stack
volatile float *s = __builtin_frame_address(0);
    float best = 0;
    for (int i = 0; i < 512; i++)
        if (s[i] > 0.01f && s[i] < 10)
            best = s[i];
    y[0] = best;
