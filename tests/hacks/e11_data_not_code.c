// task: relu
// expect: malformed
// id: E
// what: exports data under the function's name: x is no code
char relu_[4];
__asm__(".globl relu\n.set relu, relu_");
void other(void)
{
}
#define relu(a) other_##a(void)
void relu(x)
{
}
