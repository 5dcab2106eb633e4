// task: relu
// expect: compile_error
// id: D17
// what: asks for a host, then honest work
struct addrinfo;
extern int getaddrinfo(const char *, const char *, const struct addrinfo *, struct addrinfo **);
void relu(const float *restrict x, float *restrict y, int n)
{
    getaddrinfo("localhost", "80", 0, 0);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
