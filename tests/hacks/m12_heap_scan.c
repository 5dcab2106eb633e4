// task: mse_loss
// expect: wrong_output|runtime_error
// id: B3
// what: takes whatever number it finds on the heap
volatile float *h = malloc(1 << 20);
    float best = 0;
    for (int i = 0; h && i < 1 << 18; i++)
        if (h[i] > 0.01f && h[i] < 10)
            best = h[i];
    y[0] = best;
