/* --function threshold --shape in=n --shape out=n --size n=60000 --value level=100 */
#include <stdint.h>
/* Black and white. */
void threshold(const uint8_t *in, uint8_t *out, int n, int level)
{
    for (int i = 0; i < n; i++) {
        if (in[i] >= level)
            out[i] = 255;
        else
            out[i] = 0;
    }
}
/* ==== right ==== */
    for (int i = 0; i < n; i++)
        out[i] = -(in[i] >= level);
/* ==== wrong ==== */
    for (int i = 0; i < n; i++)
        out[i] = -(in[i] > level);
