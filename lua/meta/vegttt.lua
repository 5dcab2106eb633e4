---@meta vegttt
-- SPDX-License-Identifier: Apache-2.0
--
-- The surface of `require "vegttt"`: every name with its types, defaults and meaning. Completion, help and the reference
-- come from this file; tests/lua/meta_test.lua fails when a binding has no entry here or an entry has no binding.
-- [waits] = other light tasks run meanwhile. Counts are n_x; durations end in _s/_ms/_us; indices start at 1, steps at 0.
-- Unknown option keys raise at the caller's line and name the nearest known key.

local vt = {}

-- ── experiment files ─────────────────────────────────────────────────────────────────────────────────────────────────

---Default, help, and what the value may be; `above` is a bound that is not a value itself. A nil default (give `type`) is
---taken from the model record. type "model": a spec that vt.policy could open. `extend`: may grow; a run
---that differs only there takes what it has in common with this one.
---@class vt.Param : { [1]: any, [2]: string, choices?: any[], min?: number, above?: number, max?: number, list?: boolean, type?: "integer"|"number"|"string"|"boolean"|"model", extend?: boolean }
---What main and plan get as p: the values by name. Reading a name that is not declared raises.
---@class vt.Params : table<string, any>

---What an experiment file returns. main's result, a table of plain data or nil, is the run's summary; plan(p) gives { tasks, samples, evaluations, updates }
---for --dry-run and the time to go.
---@class vt.Experiment
---@param e { name: string, doc: string, params: table<string, vt.Param>, main: fun(run: vt.Run, p: vt.Params): table?, plan?: fun(p: vt.Params): table }
---@return vt.Experiment
function vt.experiment(e) end

---Parameters every sampling script shares: model, k = 32, temperature, max_tokens, top_p = 1, top_k = 0, min_p = 0, stop,
---seed = 42. Those without a default come from the model record. What `extra` says of a shared parameter replaces that
---part of its declaration; `extend` must be said again.
---@param extra? table<string, vt.Param> merged over them
---@return table<string, vt.Param>
function vt.params(extra) end

---Those of vt.params, and split, subset, tasks = "4,5,12,14,15" (ids, ranges, .lua files), eval = "fast" (the protocol).
---@param extra? table<string, vt.Param>
---@return table<string, vt.Param>
function vt.task_params(extra) end

---Those of vt.task_params, and steps = 5, lr, patience = 0.
---@param extra? table<string, vt.Param>
---@return table<string, vt.Param>
function vt.adapt_params(extra) end

---Loads another experiment file, for sweeps and tests.
---@param file string
---@return vt.Experiment
function vt.load(file) end

---@class vt.Run
---@field id string
---@field dir string
---@field params vt.Params
---@field seed integer
---@field log fun(self, kind: string, fields: table) one line of metrics.jsonl
---@field table fun(self, name: string, columns: string[]): vt.Table written as CSV and Markdown
---@field plot fun(self, name: string, spec: vt.PlotSpec): string? SVG and CSV; the SVG's path
---@field save fun(self, name: string, value: any): string NAME.json, or weights as a PEFT folder; the path
---@field kernels fun(self, groups: vt.Group[], o?: { steps?: boolean }): table[] [waits] vt.eval.best, written as the table "kernels" (steps: with the step of each); what vt.eval.best returns
---@field sweep fun(self, e: vt.Experiment, grid: table[], o?: { fixed?: table, jobs?: integer, on?: "local", keep_going?: boolean }): vt.Cells [waits] a failed cell is said on stderr and listed with .error, and when main is done the run ends with exit code 1 (3, 4 for budgets and infrastructure) and is not finished: its next start tries those cells again. keep_going = true: cells may fail, the run finishes. A parameter that a cell gets wrong raises before any runs
---@field rng fun(self, label: string): vt.Rng stream of the run seed and the label
---@field meter fun(self): { charged: table, spent: table } rollouts, evaluations, prompt_tokens, student_tokens, teacher_tokens, update_tokens, gpu_s, usd
---@field stage fun(self, text: string) what the progress line calls the present work

---@class vt.PlotSpec : { kind?: "line"|"bar"|"scatter", data: vt.Table|table[], x: string, y: string|string[], by?: string, band?: string[], star?: string, logx?: integer, logy?: integer, ref?: number|number[], title?: string, x_label?: string, y_label?: string }

---@class vt.Table
---@field row fun(self, ...) one value per column; a last statistic fills lo, hi, sd, n columns
---@field csv fun(self): string
---@field markdown fun(self): string
---@field text fun(self): string

---A cell has its result's fields and its parameters by name, and params, dir, error. Reading another name raises.
---@class vt.Cells : table[]
---@field failed integer
---@field group_by fun(self, name: string): fun(): any, table[] iterates over the values of a parameter

---@class vt.Rng
---@field uniform fun(self): number in [0, 1)
---@field int fun(self, lo: integer, hi: integer): integer both ends included
---@field normal fun(self): number
---@field pick fun(self, list: any[]): any
---@field shuffle fun(self, list: any[]): any[] a shuffled copy
---@field random fun(self, lo?: integer, hi?: integer): number as math.random

-- ── tasks ────────────────────────────────────────────────────────────────────────────────────────────────────────────

---@class vt.Task
---@field id integer
---@field name string
---@field level integer
---@field family string
---@field prompt fun(self, o?: { template?: string, system?: string, reasoning?: string, shots?: integer }): vt.Prompt

---A split is used only after its hash was verified. Explicit ids without a task file raise; of a whole half they are left
---out and listed in .missing. An id may be a .lua file, a task of your own. Given p, its parameters of vt.task_params are
---the options.
---@param o { split?: string, subset?: "train"|"eval", ids?: integer[]|string, file?: string, max?: integer }|vt.Params
---@return vt.Task[]
function vt.tasks(o) end

---A task from the table that a task file returns (`vegttt task new` writes one).
---@param t table
---@return vt.Task
function vt.task(t) end

---@class vt.Prompt
---@field messages fun(self, record: table): table[] the chat turns

---@class vt.Context
---@field add fun(self, title: string, text: string): vt.Context
---@field ask fun(self, text: string): vt.Prompt

---The same question with more to read before the answer.
---@param p vt.Prompt
---@return vt.Context
function vt.context(p) end

-- ── policy and weights ───────────────────────────────────────────────────────────────────────────────────────────────

---"default", MODEL, MODEL+ADAPTER, a folder or a .gguf. Continues the spec's adapter; without one a fresh LoRA is made at the
---first update (rank 16, alpha 32). [waits] while the model is fetched and loaded
---@param spec string
---@param o? { rank?: integer, alpha?: number, targets?: string[], seed?: integer, optimizer?: "fresh"|"stored", reset?: boolean }
---@return vt.Policy
function vt.policy(spec, o) end

---What a backend can do. sample, score, update; custom_loss: a loss function; agreement: floor; tokens: ids, else text only;
---prefix; top_p, top_k, min_p, bans; logprobs, logprobs_behaviour: of samples; exact: sample, score and update agree bit for bit;
---seed: "sample" (each follows from its seed), "request" or false; ids_ahead: lost weights can be made again; durable_snapshots:
---a server keeps every state; branch_makes_model; max_requests: at a time, 0 = any number; price: dollars per million tokens.
---@class vt.Caps : { sample: boolean, score: boolean, update: boolean, custom_loss: boolean, agreement: boolean, tokens: boolean, prefix: boolean, top_p: boolean, top_k: boolean, min_p: boolean, bans: boolean, logprobs: boolean, logprobs_behaviour: boolean, exact: boolean, seed: string|false, ids_ahead: boolean, durable_snapshots: boolean, branch_makes_model: boolean, max_requests: integer, n_ctx: integer, n_vocab: integer, price: { prompt: number, sampled: number, trained: number } }

---@class vt.Policy
---@field caps vt.Caps
---@field base fun(self): vt.Weights no adapter
---@field start fun(self): vt.Weights weights at load
---@field snapshot fun(self, name?: string): vt.Weights [waits] the current weights, kept in the run
---@field update fun(self, batch: vt.Batch, o?: vt.UpdateOpts): vt.UpdateReport [waits]
---@field branch fun(self, w: vt.Weights): vt.Policy [waits] train on from any snapshot
---@field encode fun(self, text: string, o?: { special?: boolean }): integer[]
---@field decode fun(self, ids: integer[]): string
---@field render fun(self, messages: table[], o?: { generation_prompt?: boolean }): string

---lr from the model record; loss "importance_sampling"; ratio "raw"; clip 0.8 … 1.2; epochs 1; minibatch the whole batch; grad_clip
---0 = off; floor: skip the step when RMS advantage or half-batch gradient agreement is below it. A loss function returns w in
---L = −Σ w·logp, one value per token.
---@class vt.UpdateOpts : { lr?: number, loss?: string|fun(seq: vt.Seq): vt.Vector, ratio?: "raw"|"tempered", clip_lo?: number, clip_hi?: number, epochs?: integer, minibatch?: integer, grad_clip?: number, floor?: number, weight_decay?: number, beta?: number }
---@class vt.Seq : { logp: vt.Vector, logq: vt.Vector, logq_behaviour: vt.Vector, advantage: number|vt.Vector, tokens: integer[], sample: vt.Sample }
---@class vt.UpdateReport : { weights: vt.Weights, loss: number, n_tokens: integer, grad_norm: number, rms_advantage: number, max_advantage: number, ess: number, kl_sample_train: number, agreement?: number, skipped: boolean }

---@class vt.Weights
---@field id string hash chain of parent, batch, optimiser, lr, loss, rank, numerics
---@field step integer updates since load
---@field trained_on { tasks?: integer[], families?: string[] }
---@field sample fun(self, p: vt.Prompt, o: vt.SampleOpts): vt.Group [waits]
---@field score fun(self, p: vt.Prompt|integer[], tokens: integer[], o?: { bill?: "student"|"teacher" }): vt.Vector [waits] T = 1
---@field save fun(self, dir: string) [waits] PEFT files and sidecar

---draw (default "main") enters each sample's seed; the same draw twice in one run raises unless again = true.
---@class vt.SampleOpts : { n: integer, draw?: string, temperature?: number, max_tokens?: integer, top_p?: number, top_k?: integer, min_p?: number, stop?: string[], prefix?: string, again?: boolean }

---The options of weights:sample that parameters hold (n = p.k), with those of o over them.
---@param p vt.Params
---@param o? vt.SampleOpts
---@return vt.SampleOpts
function vt.sampling(p, o) end

---Samples each task with the options that p holds and judges every sample as soon as it has ended: a group per task, in
---their order. o: sampling options over those of p, protocol (else p.eval), fresh, and prompt, which shows a task. [waits]
---@param weights vt.Weights
---@param tasks vt.Task[]
---@param p vt.Params
---@param o? vt.SampleOpts|{ prompt?: fun(task: vt.Task): vt.Prompt, protocol?: "fast"|"full", fresh?: boolean }
---@return vt.Group[]
function vt.draw(weights, tasks, p, o) end

---"RUN@SNAPSHOT" of a recorded run (RUN: a folder, "latest", or the beginning of a stamp), or an adapter folder, of the
---default model or of o.model. [waits]
---@param ref string
---@param o? { model?: string }
---@return vt.Weights
function vt.weights(ref, o) end

---@class vt.Group : vt.Sample[]
---@field task vt.Task
---@field prompt vt.Prompt
---@field weights vt.Weights
---@field draw string
---@field seen? "task"|"family" what the start weights were trained on meets this task

---@class vt.Sample : { task: vt.Task, i: integer, seed: integer, text: string, code?: string, code_sha?: string, tokens: integer[], n_tokens: integer, finish: "stop"|"length"|"error", logprob: number, logprob_mean: number, logprob_code: number, logprobs: vt.Vector, logprobs_behaviour: vt.Vector, result?: vt.Verdict, reward?: number, advantage?: number|vt.Vector }

---Elementwise + - * / with vectors and numbers, unary minus, #, [i].
---@class vt.Vector
---@field sum fun(self): number
---@field mean fun(self): number
---@field min fun(self): number
---@field max fun(self): number
---@field exp fun(self): vt.Vector
---@field clamp fun(self, lo: number, hi: number): vt.Vector

---A vector from an array of numbers, or n times one value.
---@param values number[]|integer
---@param value? number
---@return vt.Vector
function vt.vector(values, value) end

-- ── evaluation ───────────────────────────────────────────────────────────────────────────────────────────────────────

---status: malformed, compile_error, load_error, runtime_error, timeout, wrong_output, correct_slow, correct_fast, flagged. speedup is 0
---when not correct and exactly 1 for a copy; speedup_measured is as timed.
---@class vt.Verdict
---@field status string
---@field correct boolean
---@field speedup number
---@field speedup_measured number
---@field speedup_lo number
---@field speedup_hi number
---@field speedup_tuned? number
---@field is_copy boolean
---@field flags string[]
---@field protocol string
---@field tier string
---@field machine string
---@field feedback fun(self, o?: { max_chars?: integer }): string

---Fills .result of every sample; returns its argument. [waits]
---@param g vt.Group|vt.Group[]
---@param o? { protocol?: "fast"|"full", tier?: "c"|"cuda"|"torch", fresh?: boolean }
function vt.eval.all(g, o) end

---[waits]
---@param task vt.Task
---@param code string?
---@return vt.Verdict
function vt.eval.one(task, code, o) end

---One row per task. The kernels that are faster for sure are judged again, best first and three at most, with the full
---protocol, processes of their own and new inputs; the first that is faster for sure again is the best kernel, at the
---speedup of that second verdict. sample, its first verdict and verdict are nil where none holds. [waits]
---@param g vt.Group|vt.Group[] with verdicts
---@return { task: vt.Task, sample?: vt.Sample, first?: vt.Verdict, verdict?: vt.Verdict, n_tried: integer }[]
function vt.eval.best(g) end

-- ── rewards and advantages: factories of functions of groups, which they return ──────────────────────────────────────

function vt.reward.raw(o) end ---speedup if correct, else 0
function vt.reward.clip(o) end ---raw, at most { max = 10 }
function vt.reward.log(o) end ---log speedup; { floor = "batch_min-1", correct_bonus = 0 }
function vt.reward.normalized(o) end ---over the task's median in this batch
function vt.reward.paper(o) end ---over the running median of the task's earlier samples, from 1
function vt.reward.default() end ---clip at 10
function vt.advantage.batch_z(o) end ---z-score over the batch
function vt.advantage.group_z(o) end ---z-score within each task
function vt.advantage.loo(o) end ---leave-one-out; { drop_equal = false }
function vt.advantage.entropic(o) end ---{ beta = 2 | "adaptive" }
function vt.advantage.none(o) end ---the reward itself

---@class vt.Batch
---@param groups vt.Group[] with .advantage
---@return vt.Batch
function vt.batch(groups, o) end

-- ── selection ────────────────────────────────────────────────────────────────────────────────────────────────────────

---pick may wait. An empty list never reaches it: the group counts as a failure. A returned set scores the mean of its members.
---@class vt.Rule : { name: string, mode?: "after_check"|"before_check", params?: table<string, vt.Param>, pick: fun(cs: vt.Candidate[], p: table, rng: vt.Rng): vt.Candidate|vt.Candidate[] }
---i, text, code, code_sha, n_tokens, finish, seed, logprob, logprob_mean, logprob_code, logprobs; reading speedup or result raises.
---@class vt.Candidate
---@field check fun(self): boolean billed
---@field measure fun(self): number billed
---@class vt.Picks
---@field fast fun(self, p?: number): table
---@field fast_sure fun(self, p?: number): table
---@field mean fun(self, field: string): number
---@field sd_over fun(self, field: string): number
---@field by_task fun(self): table[]
---@field cost { checks: integer, measures: integer }
---@field n integer

---@param rule vt.Rule|fun(cs: vt.Candidate[], p: table, rng: vt.Rng): vt.Candidate
---@param groups vt.Group[]
---@param o? { params?: table, seed?: integer }
---@return vt.Picks
function vt.select.apply(rule, groups, o) end
---oracle, random, first, confidence, surprisal, surprisal_top { k = 3 }, longest, shortest
---@type table<string, vt.Rule>
vt.select.rules = {}

---Recorded groups of the runs that match a glob: prompt, weights, verdicts, rewards and advantages as when they were
---drawn; by run, step and task id. The run that asks is left out.
---@param glob string|string[]
---@return vt.Group[]
function vt.rollouts(glob) end

---summary is what main returned, nil where the run is not finished; tables by name, as lists of rows by column; cells are
---the runs that a sweep made.
---@class vt.RecordedRun : { dir: string, experiment: string, name: string, id: string, status: "finished"|"unfinished"|"damaged", params: table, summary?: table, tables: table, cells: vt.RecordedRun[], meter?: table, before?: string, wall_s?: number }

---Recorded runs that match a glob, in the order of their names. The run that asks is left out.
---@param glob string
---@return vt.RecordedRun[]
function vt.runs(glob) end

---@class vt.EarlyStop
---@field offer fun(self, score: number|table, what: table): "best"|"worse"|"stop"
---@field best fun(self): table { score, … } of the best offer
---@param o { patience?: integer, min_delta?: number } patience 0 never stops
---@return vt.EarlyStop
function vt.early_stop(o) end

-- ── concurrency ──────────────────────────────────────────────────────────────────────────────────────────────────────
-- Children end before their scope does; the first error cancels the siblings and is raised where they were started.

---[waits] results in the order of the list
---@param o? { limit?: integer }
function vt.map(list, fn, o) end
---[waits] results in completion order
function vt.each(list, fn, o) end
---[waits]
function vt.all(fns) end
---[waits] the first result; the others are cancelled
function vt.race(fns) end
---@class vt.Handle
---@field join fun(self): any [waits]
---@field cancel fun(self)
---@return vt.Handle
function vt.spawn(fn) end
---[waits] cancels fn after so many seconds; never needed around sampling
function vt.timeout(seconds, fn) end

---Outcomes are values, not errors. tostring gives the sentence.
---@class vt.Error : { kind: "infrastructure"|"budget"|"cancelled"|"misuse"|"script"|"usage", op: string, task?: integer, sample?: integer, retryable: boolean, cause?: any, message: string }

-- ── helpers; key is a field name or a function ───────────────────────────────────────────────────────────────────────

function vt.flatten(list) end ---one level
function vt.find(list, fn) end
function vt.filter(list, fn) end
function vt.group_by(list, key) end ---{ { key =, items… }, … } in order of first appearance, .by[key]
function vt.min_by(list, key) end
function vt.max_by(list, key) end
function vt.lowest(list, key, k, o) end ---{ ties = "first" | "all" }
function vt.sort_by(list, key) end ---keys are computed first and may wait
function vt.powers(base, n) end ---1, base, … up to and including n
function vt.grid(axes) end ---all combinations
function vt.numbers(text) end ---"1e-5,3e-6"
function vt.integers(text) end ---"4,5,12-15"
function vt.sorted_pairs(t) end
function vt.json.encode(value) end ---canonical: sorted keys, shortest numbers
function vt.json.decode(text) end

-- ── statistics; each result is { value, lo, hi, n, method, unit } unless said otherwise ──────────────────────────────

function vt.stats.fast(groups, p) end ---papers' fast_p: correct and speedup_measured > p, mean over tasks
function vt.stats.fast_sure(groups, p) end ---lower end of the interval above p, no copy, not flagged
function vt.stats.rate(groups, field) end ---a boolean field of the verdict, or a status
function vt.stats.by_task(groups) end ---rows { task, name, n, correct, fast_1, fast_1_sure, speedup, best }: the fastest correct sample as first judged
function vt.stats.pass_at_k(groups, k, o) end ---{ p = 1 }
function vt.stats.best_of_k(groups, k) end
function vt.stats.task_success(groups, p) end
function vt.stats.mean_ci(values, o) end ---{ bootstrap = 10000, seed, level = 0.95 }
function vt.stats.bootstrap(values, o) end ---{ statistic = "mean", n = 10000, seed, cluster, level = 0.95 }
function vt.stats.wilson(n_success, n) end
function vt.stats.cohens_h(p1, p2) end ---a number
function vt.stats.sign_test(n_plus, n_minus) end
function vt.stats.spearman(x, y) end
function vt.stats.summary(values, field) end ---{ n, mean, sd, median, min, max }
function vt.stats.mean(values) end ---a number, as the next three
function vt.stats.sd(values) end
function vt.stats.geometric_mean(values) end
function vt.stats.quantile(values, q) end
function vt.stats.is_fast(verdict, p) end ---a boolean
function vt.stats.is_sure(verdict, p) end ---a boolean

return vt
