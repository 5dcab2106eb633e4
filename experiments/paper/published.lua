-- SPDX-License-Identifier: Apache-2.0
--
-- Published values that paper.lua puts beside its own: { item, row, quantity, value, place in the texts }. Shares are
-- fractions. A is "When Does Test-Time Training Saturate?", B "Surprisal-Guided Selection", T the technical report. Values
-- that a text states without saying which row they belong to are not here, and nothing here is ever taken for a result.
--
-- The texts contradict each other in places; both values stand, each at its own place, and the place says so.
return {
  { "A 1", "Best-of-N", "sample_fast_1", 0.309, "A table 1; 0.528 elsewhere in A, 0.533 in B table 2 at K = 1, 0.398 in B 5.5" },
  { "A 3", "42", "sample_fast_1", 0.425, "A table 3; the learning rate is 1e-6 in A's appendix, 1e-5 in B's" },
  { "A 3", "43", "sample_fast_1", 0.200, "A table 3; seed 43 may be a split of other tasks" },
  { "A 3", "44", "sample_fast_1", 0.294, "A table 3; seed 44 may be a split of other tasks" },
  { "A 3", "mean", "sample_fast_1", 0.3063, "A table 3; standard deviation 0.113" },
  { "A 5.2 / B 6", "0", "sample_fast_1", 0.375, "B table 6, step 0; 42.5 against it is the published gain" },
  { "A 5.3", "each task's best", "sample_fast_1", 0.441, "A 5.3; 0.375 drawn again six times would give as much" },
  { "A 5.5 / B 9", "feedback 42", "sample_fast_1", 0.356, "B table 9, conditions in the order in which the columns are named" },
  { "A 5.5 / B 9", "feedback 43", "sample_fast_1", 0.188, "B table 9, conditions in the order in which the columns are named" },
  { "A 5.5 / B 9", "feedback 44", "sample_fast_1", 0.244, "B table 9, conditions in the order in which the columns are named" },
  { "A 5.5 / B 9", "feedback mean", "sample_fast_1", 0.2627, "B table 9; standard deviation 0.0855" },
  { "A 5.5 / B 9", "prompt 42", "sample_fast_1", 0.388, "B table 9, conditions in the order in which the columns are named" },
  { "A 5.5 / B 9", "prompt 43", "sample_fast_1", 0.238, "B table 9, conditions in the order in which the columns are named" },
  { "A 5.5 / B 9", "prompt 44", "sample_fast_1", 0.288, "B table 9, conditions in the order in which the columns are named" },
  { "A 5.5 / B 9", "prompt mean", "sample_fast_1", 0.3047, "B table 9; standard deviation 0.0764; the difference is 4.1 in a caption, 4.2 in the text" },
  { "A 5.6 / B 4", "Best-of-N", "sample_fast_1", 0.369, "B, subset 2; 0.213 in A; neither says which mean it is" },
  { "A 4 / B 7", "SDPO", "rollouts", 320, "A table 4: K = 32, 5 tasks, two samplings" },
  { "A 5", "42", "speedup", 21.44, "A table 5" },
  { "A 5", "43", "speedup", 1.00, "A table 5; with fast_1 of 20 %: noise around 1 counts as success" },
  { "A 5", "44", "speedup", 1.00, "A table 5; with fast_1 of 29 %" },
  { "A 5", "mean", "speedup", 7.81, "A table 5; standard deviation 11.80" },
  { "A 6 / B 8", "1", "speedup", 859.8, "B table 8; above KernelBench's own flag of 10" },
  { "A 6 / B 8", "2", "speedup", 191.7, "B table 8; more than memory bandwidth permits for task 5" },
  { "A 6 / B 8", "3", "speedup", 23.8, "B table 8; above KernelBench's own flag of 10" },
  { "A 6 / B 8", "4", "speedup", 15.6, "B table 8; above KernelBench's own flag of 10" },
  { "A 6 / B 8", "5", "speedup", 13.6, "B table 8; above KernelBench's own flag of 10" },
  { "B 2", "1", "pass", 0.533, "B table 2" },
  { "B 3", "surprisal", "fast_1", 0.80, "B table 3" },
  { "B 3", "confidence", "fast_1", 0.50, "B table 3" },
  { "B 10", "1e-05", "best", 0.425, "B table 10" },
  { "B 10", "1e-06", "best", 0.550, "B table 10" },
  { "full L1", "tasks solved", "share", 0.90, "18 of 20 tasks at K = 64" },
  { "deficit", "subset 1", "points", -9.2, "B; A has +2.2 for the same comparison" },
  { "deficit", "hard", "points", -20.6, "B" },
  { "spread", "tasks", "wide", 9, "B: tasks whose log-probabilities spread above 1.0" },
  { "spread", "tasks", "narrow", 7, "B: tasks whose log-probabilities spread below 0.15" },
  { "selection tests", "all", "h", 0.6435, "B: Cohen's h of 0.8 and 0.5" },
  { "correlations", "logprob, speedup", "rho", -0.047, "B 5.2: n = 550 correct samples, p = 0.271" },
}
