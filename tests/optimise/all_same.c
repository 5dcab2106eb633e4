/* --function all_same --shape x=n --size n=4000 */
#include <stdbool.h>
bool all_same(const int *x, int n)
{
    bool is = true;
    for (int i = 1; i < n; i++)
        is = is && x[i] == x[0];
    return is;
}
/* ==== right ==== */
    int bad = 0;
    for (int i = 1; i < n; i++)
        bad |= x[i] ^ x[0];
    return bad == 0;
/* ==== wrong ==== */
    return n < 2 || x[1] == x[0];
