-- SPDX-License-Identifier: Apache-2.0
--
-- Every table and figure of the papers as data: what it is called, and which parts of which recorded runs make it. An
-- item is { id, title, parts… } with at most one of: text = it holds no numbers; plot = how it is drawn. A part takes rows
-- from the runs of one configuration (all seeds of it; see paper.lua):
--
--   want           parameters, and n_tasks, that the published value is of: an item of less is partial
--   from, where    the experiment, and parameters that its runs must have
--   table, label   a table of the run, and the column that names its rows; cols: the columns that are quantities; only =
--                  { column = value }; bounds: lo and hi of the table are those of the first column
--   result         fields of the run's result; one row, named by label
--   params, meter  parameters ("*": all), units of what the run was charged; rows named by label
--   derived        a function of derived.lua, for what no script's table says; it asks for its runs itself
--   count          { column, of what }: how many a row of a table is of, where the run's samples do not say it
--   sides          how many weights share the run's samples evenly: a row is of one
--   quantity       another name of the only column
--   apart          runs stay apart: a series of the plot each; star: the column that marks a chosen row
--   ref            a horizontal line of the plot, not a row of its series
--
-- Label "seed" is the run's own, and several columns together are one label. In plots x is the row's name and a series is
-- a quantity.
local subset_1, hard = { tasks = "4,5,12,14,15" }, { tasks = "18,28,29,30,32" } -- the papers' tasks

return {
  -- ── tables ─────────────────────────────────────────────────────────────────────────────────────────────────────────
  { "A 4.1", "Matched budgets: what both sides were given",
    { from = "best_of_n", params = { "k", "temperature", "max_tokens", "eval", "model", "system", "tasks", "split", "seed" }, label = "Best-of-N" },
    { from = "best_of_n", meter = { "rollouts", "evaluations" }, label = "Best-of-N" },
    { from = "boa", params = { "k", "steps", "temperature", "max_tokens", "eval", "model", "system", "tasks", "split", "seed" }, label = "BoA" },
    { from = "boa", meter = { "rollouts", "evaluations" }, label = "BoA" }, { derived = "matched" } },
  { "A 4.5", "Checkpoint-selection rules and the step that each keeps",
    { from = "boa", table = "choices", label = "rule", cols = { "step" } } },
  { "A 1", "Efficiency frontier, over seeds", { derived = "frontier" } },
  { "A 2", "Best-of-N per task", { from = "best_of_n", want = { k = 64 }, table = "tasks", label = "name", cols = { "fast_1", "fast_1_sure", "correct" } },
    { from = "best_of_n", result = { "sample_fast_1", "sample_correct" }, label = "mean" } },
  { "A 3", "BoA's chosen step per seed", { from = "boa", want = { k = 32, steps = 5 }, result = { "sample_fast_1", "step" }, label = "seed" },
    { from = "boa", result = { "sample_fast_1", "step" }, label = "mean" } },
  { "A 5.2 / B 6", "Trajectory, and each task's",
    { from = "boa", table = "trajectory", label = "step", cols = { "sample_fast_1", "sample_fast_1_sure", "sample_correct", "rollouts" } },
    { derived = "steps_by_task" } },
  { "A 5.3", "Selection of steps", { derived = "choices" } },
  { "A 5.4", "Held-out check", { from = "transfer", sides = 2, table = "weights", label = "weights",
    cols = { "sample_fast_1", "sample_fast_1_sure", "sample_correct" } } },
  { "A 5.5 / B 9", "SDPO per seed", { derived = "sdpo" } },
  { "A 5.6 / B 4", "Hard subset",
    { derived = "frontier", where = hard } },
  { "A App. A / B App. A", "Full configuration", { from = "boa", params = "*", label = "" } },
  { "A App. B / B 5", "Outer loop", { from = "rlvr", table = "progress", label = "step",
    cols = { "sample_correct", "sample_fast_1", "sample_fast_1_sure" } } },
  { "A 4 / B 7", "Compute", { derived = "compute" } },
  { "A 5", "Mean speedup over correct samples, by seed", { derived = "speedup_by_seed" } },
  { "A 6 / B 8", "Selected speedups, the fastest first", { derived = "selected" },
    { from = "best_of_n", table = "kernels", label = "name", cols = { "speedup", "first" } } },
  { "B 1", "Selection rules and what they cost", { from = "selection", table = "rules", label = "rule", cols = { "checks", "measures" } } },
  { "B 2", "Best-of-N scaling", { from = "best_of_n", want = { k = 64 }, table = "scaling", label = "k", cols = { "pass", "best_of_k" }, bounds = true } },
  { "B 3", "Selection", { from = "selection", table = "rules", label = "rule",
    cols = { "fast_1_sure", "fast_1", "no_copies", "speedup" }, bounds = true } },
  { "B 10", "Learning rates", { from = "lr_sweep", table = "lr", label = "lr", count = { "seeds", "seeds" }, cols = { "best", "best_step", "last", "kl_last", "pattern" } } },
  { "B 11", "Quarters by surprisal", { derived = "quartiles" } },
  { "B 12", "Each task adapted alone", { from = "isolated", table = "tasks", label = { "name", "step" }, cols = { "sample_fast_1", "sample_fast_1_sure" } } },
  { "T 3.1, 4.1-4.5", "Claims, conditions, experiments E1 to E5, ablations A1 to A4, risks", text = true },
  { "T 6.1", "RLVR per step", { from = "rlvr", table = "progress", label = "step", cols = { "sample_correct", "sample_fast_1", "kl_start" } } },
  { "T 6.2", "Pilot on problem 4: Best-of-N, steps 0 and 1", { derived = "pilot" } },

  -- ── results that are given in prose ────────────────────────────────────────────────────────────────────────────────
  { "full L1", "Tasks solved at K, the whole subset", { derived = "solved", where = { tasks = "" }, want = { k = 64, n_tasks = 20 } } },
  { "equivalent K", "Samples that Best-of-N needs for the chosen step's share", { derived = "equivalent_k" } },
  { "deficit", "BoA less Best-of-N", { derived = "deficit", label = "tasks of both" },
    { derived = "deficit", label = "subset 1", where = subset_1 },
    { derived = "deficit", label = "hard", where = hard } },
  { "transfer", "Adapted weights on other tasks", { from = "transfer", sides = 2, result = { "start", "adapted", "wins", "losses" }, label = "pairs" } },
  { "spread", "Spread of log-probabilities", { from = "variance", label = "tasks",
    result = { "wide", "narrow", "surprisal_wins", "confidence_wins", "ties", "p", "p_min" } } },
  { "selection tests", "Surprisal against confidence", { from = "selection", table = "tests", label = "pool",
    cols = { "h", "wins", "losses", "p", "p_min", "wilcoxon_p" } } },
  { "correlations", "Spearman over correct samples", { derived = "correlations" } },
  { "nll", "Mean NLL under each checkpoint", { from = "nll_probe", table = "rho", label = { "view", "step" }, cols = { "mean_nll", "rho", "within" } } },
  { "teacher", "Teacher's tokens over the student's", { derived = "teacher" } },

  -- ── figures ────────────────────────────────────────────────────────────────────────────────────────────────────────
  { "Figure A 1, B 2", "Dual loop", text = true, drawing = "dual_loop" },
  { "Figure B 1", "Search, selection and adaptation", plot = { kind = "line", logx = 2, y_label = "share" },
    { from = "best_of_n", table = "scaling", label = "k", cols = { "pass" }, bounds = true },
    { from = "boa", result = { "sample_fast_1" }, label = "BoA", ref = true },
    { from = "selection", table = "rules", label = "rule", only = { rule = "surprisal" }, cols = { "fast_1" }, ref = true },
    { from = "selection", table = "rules", label = "rule", only = { rule = "random" }, cols = { "fast_1" }, ref = true } },
  { "Figure A 2, B 5", "Trajectory, seed by seed", plot = { kind = "line", y_label = "sample_fast_1", star = true },
    { from = "boa", table = "trajectory", label = "step", cols = { "sample_fast_1" }, apart = true, star = "best" } },
  { "Figure A 3", "SDPO by what the teacher reads", plot = { kind = "bar", y_label = "sample_fast_1" },
    { from = "sdpo", where = { context = "feedback" }, result = { "last_fast_1" }, label = "seed", quantity = "feedback" },
    { from = "sdpo", where = { context = "prompt" }, result = { "last_fast_1" }, label = "seed", quantity = "prompt" } },
  { "Figure A 4, B 7", "Gain against what the start weights cover", plot = { kind = "scatter", x_label = "sample_fast_1 of the start",
    y_label = "gain at the chosen step", ref = 0 }, { derived = "coverage" } },
  { "Figure B 3", "Scaling, and BoA's share", plot = { kind = "line", logx = 2, y_label = "share" },
    { from = "best_of_n", table = "scaling", label = "k", cols = { "pass" }, bounds = true },
    { from = "boa", result = { "sample_fast_1" }, label = "BoA", ref = true } },
  { "Figure B 4 a", "Selection: success", plot = { kind = "bar", y_label = "share of tasks" },
    { from = "selection", table = "rules", label = "rule", cols = { "fast_1_sure", "fast_1" }, bounds = true } },
  { "Figure B 4 b", "Selection: speedup", plot = { kind = "bar", y_label = "geometric mean speedup" },
    { from = "selection", table = "rules", label = "rule", cols = { "speedup" } } },
  { "Figure B 6", "Does likelihood rank speed?", plot = { kind = "line", y_label = "Spearman of NLL and speedup", ref = 0 },
    { from = "nll_probe", table = "rho", label = "step", only = { view = "all" }, cols = { "rho" }, bounds = true, quantity = "all" },
    { from = "nll_probe", table = "rho", label = "step", only = { view = "all" }, cols = { "slow_quarter" }, quantity = "slow quarter" } },
  { "Figure T 2", "Training curves", plot = { kind = "line", y_label = "share of samples" },
    { from = "rlvr", table = "progress", label = "step", cols = { "sample_correct", "sample_fast_1" } } },
  { "Figure T 3", "Base, Best-of-N, adapted", plot = { kind = "bar", y_label = "sample_fast_1" },
    { from = "best_of_n", result = { "sample_fast_1" }, label = "base" },
    { from = "best_of_n", result = { "task_success@K" }, label = "Best-of-N", quantity = "sample_fast_1" },
    { from = "boa", result = { "sample_fast_1" }, label = "BoA" } },
  { "Figure T 4", "Each task: start against chosen step", plot = { kind = "scatter", x_label = "sample_fast_1 of the start",
    y_label = "of the chosen step" }, { derived = "start_against_chosen" } },
  { "Figure T 5", "Steps", plot = { kind = "line", y_label = "share of samples" },
    { from = "ablations", where = { which = "steps" }, table = "cells", label = "steps", count = { "k", "samples of each task" }, cols = { "best_fast_1_sure", "last_fast_1_sure" } } },
}
