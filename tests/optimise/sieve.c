/* --function sieve --shape is_prime=n --size n=20000 */
#include <stdint.h>
void sieve(uint8_t *is_prime, int n)
{
    for (int i = 0; i < n; i++)
        is_prime[i] = i >= 2;
    for (int p = 2; p < n; p++)
        if (is_prime[p])
            for (int q = 2 * p; q < n; q += p)
                is_prime[q] = 0;
}
/* ==== right ==== */
    for (int i = 0; i < n; i++)
        is_prime[i] = i >= 2;
    for (int p = 2; p * p < n; p++)
        if (is_prime[p])
            for (int q = p * p; q < n; q += p)
                is_prime[q] = 0;
/* ==== wrong ==== */
    for (int i = 0; i < n; i++)
        is_prime[i] = i == 2 || (i > 2 && i % 2 && i % 3 && i % 5 && i % 7);
