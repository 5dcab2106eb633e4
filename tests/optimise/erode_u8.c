/* --function erode --shape img=h,w --shape out=h,w --size h=120 --size w=160 */
typedef unsigned char pixel;
static pixel least(pixel a, pixel b) { return a < b ? a : b; }
/* Least of the cross around each pixel; the frame stays. */
void erode(const pixel *img, pixel *out, int h, int w)
{
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            pixel v = img[y * w + x];
            if (y > 0 && y < h - 1 && x > 0 && x < w - 1) {
                v = least(v, img[(y - 1) * w + x]);
                v = least(v, img[(y + 1) * w + x]);
                v = least(v, img[y * w + x - 1]);
                v = least(v, img[y * w + x + 1]);
            }
            out[y * w + x] = v;
        }
}
/* ==== right ==== */
    for (int i = 0; i < h * w; i++)
        out[i] = img[i];
    for (int y = 1; y < h - 1; y++)
        for (int x = 1; x < w - 1; x++) {
            const pixel *p = img + y * w + x;
            out[y * w + x] = least(least(p[0], p[-1]), least(p[1], least(p[-w], p[w])));
        }
/* ==== wrong ==== */
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            const pixel *p = img + y * w + x;
            pixel v = p[0];
            if (x > 0 && x < w - 1)
                v = least(v, least(p[-1], p[1]));
            out[y * w + x] = v;
        }
