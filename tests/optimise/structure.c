/* --function move --size n=1000 */
struct point { float x, y; };
void move(struct point *p, int n) { for (int i = 0; i < n; i++) p[i].x += p[i].y; }
/* ==== refused: parameter 'p' of move is a `struct point *` ==== */
