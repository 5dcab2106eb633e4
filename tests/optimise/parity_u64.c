/* --function parity --shape w=n --shape p=n --size n=20000 */
#include <stdint.h>
#include <stdbool.h>
void parity(const uint64_t *w, bool *p, int n)
{
    for (int i = 0; i < n; i++) {
        bool odd = false;
        for (int b = 0; b < 64; b++)
            odd ^= w[i] >> b & 1;
        p[i] = odd;
    }
}
/* ==== right ==== */
    for (int i = 0; i < n; i++)
        p[i] = __builtin_parityll(w[i]);
/* ==== wrong ==== */
    for (int i = 0; i < n; i++)
        p[i] = __builtin_parity((unsigned)w[i]);
