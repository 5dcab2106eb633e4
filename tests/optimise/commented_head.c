/* --function tanh_like --shape x=n --shape y=n --size n=20000 */
#include <math.h>
/* A head with comments in it; and { braces } in them. */
void tanh_like(const float *x, /* { in */
               float *y,       // } out
               int n)          // how many
{ // begins here
    for (int i = 0; i < n; i++) {
        const char brace = '}'; /* "}" */
        y[i] = x[i] / sqrtf(1.0f + x[i] * x[i]) + (brace == '}' ? 0.0f : 1.0f);
    }
    // ends here
} /* behind */
/* ==== right ==== */
    for (int i = 0; i < n; i++)
        y[i] = x[i] / sqrtf(1.0f + x[i] * x[i]);
/* ==== wrong ==== */
    for (int i = 0; i < n; i++)
        y[i] = x[i] / (1.0f + x[i] * x[i]);
