// task: row_sum
// expect: wrong_output
// id: A10
// what: answers from memory it does not have
static float kept[4096];
    memcpy(y, kept, (size_t)m * 4);
