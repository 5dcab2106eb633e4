-- SPDX-License-Identifier: Apache-2.0
--
-- Worked examples that may stand before a question (--shots): a function and a faster one, none of them an operation of
-- KernelBench's first level nor of the default policies' corpus. A test compiles both bodies and compares what they give.
local shots = {}

shots.all = {
  {
    signature = "void every_third(const float *x, float *y, int n)",
    slow = [[
  for (int i = 0; i < n / 3; i++) {
    int at = 0;
    for (int j = 0; j < i; j++)
      at += 3;
    y[i] = x[at];
  }]],
    fast = [[
  for (int i = 0; i < n / 3; i++)
    y[i] = x[3 * i];]],
  },
  {
    signature = "void count_below(const int *x, const int *limit, int *out, int n, int m)",
    slow = [[
  for (int j = 0; j < m; j++) {
    int count = 0;
    for (int i = 0; i < n; i++)
      if (x[i] < limit[j])
        count = count + 1;
    out[j] = count;
  }]],
    fast = [[
  for (int j = 0; j < m; j++) {
    const int bound = limit[j];
    int count = 0;
    for (int i = 0; i < n; i++)
      count += x[i] < bound;
    out[j] = count;
  }]],
  },
  {
    signature = "void reverse_rows(const float *x, float *y, int rows, int columns)",
    slow = [[
  for (int j = 0; j < columns; j++)
    for (int i = 0; i < rows; i++)
      y[i * columns + j] = x[(rows - 1 - i) * columns + j];]],
    fast = [[
  for (int i = 0; i < rows; i++)
    memcpy(y + i * columns, x + (rows - 1 - i) * columns, sizeof(float) * columns);]],
  },
}

---The function's text with one of its bodies.
function shots.source(shot, body) return ("%s {\n%s\n}"):format(shot.signature, body) end

return shots
