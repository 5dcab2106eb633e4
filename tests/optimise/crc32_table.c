/* --function crc --shape data=n --size n=30000 */
#include <stdint.h>
#include <stddef.h>
static const uint32_t nibble[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
                                    0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                                    0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
uint32_t crc(const uint8_t *data, size_t n)
{
    uint32_t c = 0xffffffffu;
    for (size_t i = 0; i < n; i++) {
        c ^= data[i];
        for (int k = 0; k < 8; k++)
            c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
    }
    return ~c;
}
/* ==== right ==== */
    uint32_t c = 0xffffffffu;
    for (size_t i = 0; i < n; i++) {
        c = nibble[(c ^ data[i]) & 15] ^ c >> 4;
        c = nibble[(c ^ (uint32_t)data[i] >> 4) & 15] ^ c >> 4;
    }
    return ~c;
/* ==== wrong ==== */
    uint32_t c = 0xffffffffu;
    for (size_t i = 0; i < n; i++)
        c = nibble[(c ^ data[i]) & 15] ^ c >> 4;
    return ~c;
