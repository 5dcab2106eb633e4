-- SPDX-License-Identifier: Apache-2.0
-- excluded.lua: what may not enter the corpus. `evaluation` lists every KernelBench level-1 task that lies in the evaluation half
-- of split 42, 43 or 44, with its meaning in one expression; an operation that means the same is excluded whatever its name,
-- sizes, variables or loop order, and so are the training tasks that mean the same as one of them (`same_as`): all plain matrix
-- products (1, 6–11: task 2 or 3 at other sizes or with merged axes) and all convolutions (the evaluation halves hold every
-- kind). tests/lua/corpus_exclusion.lua proves it by comparing numbers, tokens and records.

local Excluded = {}

Excluded.evaluation = {
  [2] = "c[i,j] = sum_k a[i,k] b[k,j]", [3] = "c[z,i,j] = sum_k a[z,i,k] b[z,k,j]", [4] = "y[i] = sum_j a[i,j] x[j]", [5] = "y = a * s with a scalar s",
  [12] = "c[i,j] = a[i] b[i,j]", [13] = "c = a b with symmetric a and b", [14] = "c = upper(a) upper(b)", [15] = "c = lower(a) lower(b)", [18] = "c[i,j] = sum_k a[k,i] b[j,k]",
  [19] = "max(x, 0)", [21] = "1 / (1 + exp(-x))", [23] = "softmax over the last axis", [28] = "min(max((x + 3) / 6, 0), 1)", [29] = "log(1 + exp(x))", [30] = "x / (1 + |x|)",
  [32] = "min(max(x, -1), 1)", [36] = "x / sqrt(mean over channels of x^2 + eps)", [37] = "x / sqrt(sum of all x^2)", [38] = "x / mean |x| over a row", [39] = "x / ||x|| over a row",
  [48] = "mean over an axis", [49] = "max over an axis", [53] = "min over an axis", [55] = "conv2d", [56] = "conv2d", [59] = "conv3d", [60] = "conv3d", [64] = "conv_transpose1d", [65] = "conv_transpose2d",
  [66] = "conv3d", [67] = "conv1d", [70] = "conv_transpose3d", [71] = "conv_transpose2d", [73] = "conv_transpose3d strided", [74] = "conv_transpose1d dilated", [76] = "conv1d dilated strided",
  [77] = "conv_transpose3d dilated strided", [78] = "conv_transpose2d padded", [80] = "conv2d dilated padded", [82] = "depthwise conv2d", [86] = "depthwise separable conv2d", [87] = "pointwise conv2d",
  [89] = "cumulative sum", [90] = "cumulative product", [93] = "masked cumulative sum", [94] = "mean (p - t)^2", [95] = "cross entropy", [96] = "smooth L1", [98] = "KL divergence",
}

-- Training-half tasks left out because they mean the same as an evaluation task.
Excluded.same_as = { [1] = 2, [6] = 2, [7] = 2, [8] = 2, [9] = 2, [10] = 2, [11] = 2, [50] = 55, [54] = 59, [57] = 65, [58] = 70, [61] = 70, [62] = 55, [63] = 55, [68] = 70, [69] = 65, [72] = 73, [75] = 65,
  [79] = 74, [81] = 65, [83] = 82, [84] = 82, [85] = 82 }

---Whether a level-1 task may be trained on.
function Excluded.is_training(id)
  return id >= 1 and id <= 100 and not Excluded.evaluation[id] and not Excluded.same_as[id]
end

return Excluded
