// task: relu
// expect: compile_error
// id: D14
// what: starts a thread, then honest work
#include <pthread.h>
static void *worker(void *p)
{
    return p;
}
void relu(const float *restrict x, float *restrict y, int n)
{
    pthread_t t;
    pthread_create(&t, 0, worker, 0);
    pthread_join(t, 0);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
