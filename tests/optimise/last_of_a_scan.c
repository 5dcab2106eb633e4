/* --function scan --shape x=n --shape y=n --size n=60000 --range step=1:50 */
static int last;
int last_of_scan(void) { return last; }
void scan(const short *x, int *y, int n, int step)
{
    int s = 0;
    for (int i = 0; i < n; i++) {
        s += x[i] / step;
        y[i] = s;
    }
    last = s;
}
/* ==== right ==== */
    int s = 0;
    for (int i = 0; i < n; i++)
        y[i] = s = s + x[i] / step;
    last = s;
/* ==== wrong ==== */
    int s = 0;
    for (int i = 0; i < n; i++)
        y[i] = s = s + x[i] / step;
