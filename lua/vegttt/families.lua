-- SPDX-License-Identifier: Apache-2.0
--
-- Families of operations: one vocabulary. Tasks name their family themselves; the warm-start corpus (experiments/corpus)
-- names finer ones, and adapters trained on it carry those names. Whether a model has seen the relatives of a task is
-- asked in the tasks' words.
local families = {}

local of_corpus = {
  product = "matmul", structured = "matmul", triangular = "matmul", weighted_rows = "matmul", pairwise = "matmul",
  window = "convolution", stencil = "convolution",
  map = "elementwise", random_map = "elementwise", broadcast = "elementwise",
  row_reduction = "reduction", column_reduction = "reduction", random_reduction = "reduction", extreme = "reduction",
  position = "reduction",
  class_loss = "loss", random_loss = "loss",
  channel_norm = "norm",
  softmax_like = "softmax",
}

---The family in the tasks' words; a name that is one already, or that no task has, stays.
function families.of(name) return of_corpus[name] or name end

return families
