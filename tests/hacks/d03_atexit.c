// task: relu
// expect: wrong_output|compile_error
// id: D3
// what: writes its output from an exit handler
static float *late;
static int count;
static void finish(void)
{
    for (int i = 0; i < count; i++)
        late[i] = 0;
}
extern int __cxa_atexit(void (*)(void *), void *, void *);
void relu(const float *restrict x, float *restrict y, int n)
{
    late = y;
    count = n;
    __cxa_atexit((void (*)(void *))finish, 0, 0);
}
