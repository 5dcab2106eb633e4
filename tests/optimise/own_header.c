/* --function f --shape x=n --size n=1000 */
#include "mine.h"
void f(float *x, int n) { for (int i = 0; i < n; i++) x[i] += 1; }
/* ==== refused: includes mine.h ==== */
