---@meta vegttt
-- SPDX-License-Identifier: Apache-2.0
--
-- The surface of `require "vegttt"`: every name with its types, defaults and meaning. Completion, help and the reference
-- come from this file; tests/lua/meta_test.lua fails when a binding has no entry here or an entry has no binding.
-- [waits] = other light tasks run meanwhile. Counts are n_x; durations end in _s/_ms/_us; indices start at 1, steps at 0.
-- Unknown option keys raise at the caller's line and name the nearest known key; so does every other misuse.
--
-- What a script reads by Lua's own library is an input of its run where it can be compared later (files, modules, the
-- environment, standard input), and makes the run one that answers nobody else where it cannot (io.popen, os.execute,
-- os.time, os.date without a time, os.clock, devices, pipes, /proc): when it is finished the same command runs it again.
-- Commands read nothing from standard input, and end with their script. math.random is the run's own stream. A cell
-- of a sweep begins in a Lua state of its own: no module, upvalue or library remembers the script that sweeps, or another
-- cell. What its main closes over is copied as it is when the sweep begins, modules that the script changed too; objects of
-- a run cannot be.

local vt = {}

-- ── experiment files ─────────────────────────────────────────────────────────────────────────────────────────────────

---Default, help, and what the value may be; `above` is a bound that is not a value itself. A nil default (give `type`) is
---taken from the model record. type "model": a spec that vt.policy could open. `extend`: may grow; a run
---that differs only there takes what it has in common with this one.
---@class vt.Param : { [1]: any, [2]: string, choices?: any[], min?: number, above?: number, max?: number, list?: boolean, type?: "integer"|"number"|"string"|"boolean"|"model", extend?: boolean }
---What main and plan get as p: the values by name. Reading a name that is not declared raises. Those that the model record
---says are nil until vt.policy has opened the model that p.model names, and have its values from then on, in params.json too.
---@class vt.Params : table<string, any>

---What an experiment file returns. main's result, a table of plain data or nil, is the run's summary; plan(p) gives { tasks, samples, evaluations, updates }
---for --dry-run and the time to go. takes says for --help how long a run with the defaults took, and where.
---@class vt.Experiment
---@param e { name: string, doc: string, takes?: string, params: table<string, vt.Param>, main: fun(run: vt.Run, p: vt.Params): table?, plan?: fun(p: vt.Params): table }
---@return vt.Experiment
function vt.experiment(e) end

---Parameters every sampling script shares: model, k = 32, temperature, max_tokens, top_p = 1, top_k = 0, min_p = 0, stop,
---seed = 42. Those without a default come from the model record. What `extra` says of a shared parameter replaces that
---part of its declaration; `extend` must be said again; `name = false` takes it away.
---@param extra? table<string, vt.Param> merged over them
---@return table<string, vt.Param>
function vt.params(extra) end

---Those of vt.params, and split, subset, tasks = "4,5,12,14,15" (ids, ranges, .lua files), eval = "fast" (the protocol),
---max_tasks, prompt (a file with {source} in it), system, reasoning, shots = 0, free_form = false (what vt.prompt reads), preset = "none": values that a
---published text states (paper-a, paper-b, report, report-short, discover), for what is not given.
---@param extra? table<string, vt.Param>
---@return table<string, vt.Param>
function vt.task_params(extra) end

---Those of vt.task_params, and steps = 5, lr, patience = 0, reward = "default", advantage = "default",
---loss = "importance_sampling", null = "none", entropy = 0, kl = 0, anchor = "start", ema = 0.05 (what vt.learner reads).
---@param extra? table<string, vt.Param>
---@return table<string, vt.Param>
function vt.adapt_params(extra) end

---Those of vt.task_params, and from, step, drawn and k = 8: what vt.gather reads.
---@param extra? table<string, vt.Param>
---@return table<string, vt.Param>
function vt.gather_params(extra) end

---Whether a parameter was given, and does not stand at what the script, a preset or the model's record says.
---@param p vt.Params
---@param name string
---@return boolean
function vt.is_given(p, name) end

---Ends the run: what is wrong with its parameters, in one sentence to whoever started it (exit code 2, no stack). Before
---anything is drawn is the time for it.
---@param format string
function vt.refuse(format, ...) end

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
---@field table fun(self, name: string, columns: string[]): vt.Table written as CSV and Markdown; a name once, of letters, digits, _ - and .
---@field statistics fun(self, of: string, what: table<string, table>|vt.Group[]) adds to the table "statistics" of each statistic of vt.stats (of groups: vt.stats.shares) value, interval, n, distinct values, ties, zeros, p, the smallest p, method; it is in files, not on the screen
---@field plot fun(self, name: string, spec: vt.PlotSpec|{ panels: vt.PlotSpec[], columns?: integer }): string? SVG, and CSV and JSON beside it; the SVG's path; a name once
---@field save fun(self, name: string, value: any): string NAME.json, or weights as a PEFT folder; its path; nil for the weights that are the model itself
---@field kernels fun(self, groups: vt.Group[], o?: { steps?: boolean }): table[] [waits] vt.eval.best, written as the table "kernels" (steps: with the step of each); what vt.eval.best returns
---@field sweep fun(self, e: vt.Experiment, grid: table[], o?: { fixed?: table, jobs?: integer, on?: "local", keep_going?: boolean }): vt.Cells [waits] each cell is carried out as it would be alone, and gives what its summary says; a failed cell is said on stderr and listed with .error, and when main is done the run ends with exit code 1 (3, 4 for budgets and infrastructure) and is not finished: its next start tries those cells again. keep_going = true: cells may fail, the run finishes. A parameter that a cell gets wrong raises before any runs; an experiment that its own cells sweep again, with the same parameters, is refused
---@field rng fun(self, label: string): vt.Rng stream of the run seed and the label
---@field meter fun(self): { charged: table, spent: table } rollouts, evaluations, gpu_s, usd (paid to services, with --prices); tokens by what was done: prompt_tokens, of which cached_tokens, sampled_tokens, scored_tokens, update_tokens; the sampled and scored by who is billed: student_tokens, teacher_tokens
---@field stage fun(self, text: string) what the progress line calls the present work

---A chart, or several as the panels of one figure: { panels = { chart, … }, columns = 2 }. band (names of the columns of its
---ends) and star (a column that is not empty in the starred row) belong to the first y; an x of whole numbers has whole ticks;
---ref and ref_x are reference lines; what a region leaves out reaches to the edge; a bracket says something of two places
---on the x axis, of bars by their names.
---@class vt.PlotSpec : { kind?: "line"|"bar"|"scatter", data: vt.Table|table[], x: string, y: string|string[], by?: string, band?: string[], star?: string, logx?: integer, logy?: integer, ref?: number|number[], ref_x?: number|number[], regions?: { name: string, x_lo?: number, x_hi?: number, y_lo?: number, y_hi?: number }[], brackets?: { from: number|string, to: number|string, name: string }[], title?: string, x_label?: string, y_label?: string }

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
---out and listed in .missing. An id may be a .lua file, a task of your own, or a
---.py file, a problem of KernelBench. Given p, its parameters of vt.task_params are
---the options.
---@param o { split?: string, subset?: "train"|"eval", ids?: integer[]|string, file?: string, max?: integer }|vt.Params
---@return vt.Task[]
function vt.tasks(o) end

---A task from the table that a task file returns (`vegttt new task` writes one).
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
---first update (rank 16, alpha 32). Or a served model, openai:URL#MODEL?tokenizer=PATH&context=TOKENS&requests=NUMBER: what
---stands behind # and ? may be left out; without a tokenizer it is worked with in text. Or tinker:MODEL?tokenizer=PATH, sampled
---from and trained at a service of the Tinker API (TINKER_API_KEY, TINKER_BASE_URL). [waits] while the model is fetched and
---loaded, or its server asked what it can
---@param spec string
---@param o? { rank?: integer, alpha?: number, targets?: string[], seed?: integer, optimizer?: "fresh"|"stored", reset?: boolean }
---@return vt.Policy
function vt.policy(spec, o) end

---What a backend can do. sample, score, update; custom_loss: a loss function; agreement: floor; tokens: ids, else text only;
---prefix; top_p, top_k, min_p, bans; logprobs, logprobs_behaviour: of samples; exact: sample, score and update agree bit for bit;
---targets: score and update take other tokens than an answer's; detail: score can say more than log-probabilities; seed: "sample" (each follows from its seed), "request" or false; ids_ahead: lost weights can be made again; durable_snapshots:
---a server keeps every state; branch_makes_model; max_requests: at a time, 0 = any number; n_ctx, n_vocab: 0 = not known;
---price: dollars per million tokens. A sample's log-probabilities are an empty vector where the server gives none, its logprob nil.
---@class vt.Caps : { sample: boolean, score: boolean, update: boolean, custom_loss: boolean, agreement: boolean, tokens: boolean, prefix: boolean, top_p: boolean, top_k: boolean, min_p: boolean, bans: boolean, logprobs: boolean, logprobs_behaviour: boolean, targets: boolean, detail: boolean, exact: boolean, seed: string|false, ids_ahead: boolean, durable_snapshots: boolean, branch_makes_model: boolean, max_requests: integer, n_ctx: integer, n_vocab: integer, price: { prompt: number, sampled: number, trained: number } }

---@class vt.Policy
---@field caps vt.Caps
---@field base fun(self): vt.Weights no adapter
---@field start fun(self): vt.Weights weights at load
---@field need fun(self, ...: "update"|"score"|"targets"|"tokens"|"detail"): vt.Policy itself; refuses in one sentence what its backend cannot do
---@field room fun(self, p: vt.Prompt): integer? tokens that fit into the window behind a prompt
---@field average fun(self, a: vt.Weights, b: vt.Weights, share: number): vt.Weights (1 - share) a + share b, parameter by parameter; a fresh optimiser
---@field snapshot fun(self, name?: string): vt.Weights [waits] the current weights, kept in the run
---@field update fun(self, batch: vt.Batch, o?: vt.UpdateOpts): vt.UpdateReport [waits]
---@field branch fun(self, w: vt.Weights): vt.Policy [waits] train on from any snapshot
---@field encode fun(self, text: string, o?: { special?: boolean }): integer[]
---@field decode fun(self, ids: integer[]): string
---@field render fun(self, messages: table[], o?: { generation_prompt?: boolean, reasoning?: string }): string

---One step of learning as parameters of vt.adapt_params say it: reward and advantage by their names in vt.reward and
---vt.advantage, loss, lr, null. step rewards the groups, updates, and logs a line "update" with `fields`; under null =
---"frozen" it does nothing and returns nil, under "shuffled" advantages are dealt out anew within each task. entropy and kl
---are added per token (entropy_bonus, kl_to_start to the anchor: the start weights or their moving average, ema). draw gives the
---label with which a step's samples are drawn.
---@class vt.Learner
---@field step fun(self, policy: vt.Policy, groups: vt.Group[], fields?: table): vt.UpdateReport? [waits]
---@field draw fun(self, step: integer|string): string
---@param run vt.Run
---@param p vt.Params
---@return vt.Learner
function vt.learner(run, p) end

---lr from the model record; loss "importance_sampling", "ppo", "cispo", "dro", "cross_entropy", "clip_higher" (ppo with clip_hi
---1.28), "gspo" (one ratio a sequence, clip 1 - 3e-4 … 1 + 4e-4); ratio "raw"; clip 0.8 … 1.2; epochs 1; minibatch the whole batch; grad_clip
---0 = off; floor: skip the step when RMS advantage or half-batch gradient agreement is below it. A loss function returns w in
---L = −Σ w·logp, one value per token, and may not update; it is named by its code and by all that it closes over, so one that
---closes over p is another loss when any parameter is, and a run with more steps or samples makes its updates anew: take what
---it needs out of p first (`local clip = p.clip`). Where all advantages are 0 no step is taken under a built-in loss but
---dro: the report is skipped, the weights stay what they are, and that is said. An update of several steps (epochs, minibatch)
---moves the policy when all of them are done; one that fails leaves it where it was, and the steps done by then are charged.
---@class vt.UpdateOpts : { lr?: number, loss?: string|fun(seq: vt.Seq): vt.Vector, ratio?: "raw"|"tempered", clip_lo?: number, clip_hi?: number, epochs?: integer, minibatch?: integer, grad_clip?: number, floor?: number, weight_decay?: number, beta?: number }
---@class vt.Seq : { logp: vt.Vector, logq: vt.Vector, logq_behaviour: vt.Vector, advantage: number|vt.Vector, tokens: integer[], sample: vt.Sample }
---@class vt.UpdateReport : { weights: vt.Weights, loss: number, n_tokens: integer, grad_norm: number, rms_advantage: number, max_advantage: number, ess: number, kl_sample_train: number, agreement?: number, skipped: boolean }

---@class vt.Weights
---@field id string hash chain of parent, batch, optimiser, lr, loss, rank, numerics
---@field step integer updates since load
---@field trained_on { tasks?: integer[], families?: string[] }
---@field sample fun(self, p: vt.Prompt, o: vt.SampleOpts): vt.Group [waits]
---@field resample fun(self, s: vt.Sample, n: integer, o: vt.SampleOpts): vt.Group whole samples that keep the first n tokens of s and are drawn anew from there; only new tokens are billed [waits]
---@field score fun(self, p: vt.Prompt|integer[], tokens: integer[], o?: { bill?: "student"|"teacher", detail?: integer, targets?: integer[] }): vt.Vector, { entropy: vt.Vector, certainty: vt.Vector, confidence: vt.Vector }? [waits] T = 1; detail = k: also of each token, confidence over the k likeliest; targets: of these ids, as many at each token, in place of the tokens; one that is refused costs nothing
---@field top fun(self, p: vt.Prompt|integer[], tokens: integer[], k: integer, o?: { bill?: "student"|"teacher" }): { ids: integer[], logprobs: vt.Vector } [waits] the k likeliest tokens at each position, likeliest first
---@field save fun(self, dir: string) [waits] PEFT files and sidecar

---draw (default "main") enters each sample's seed; the same draw twice in one run raises unless again = true. place: the step of
---the trajectory that this draw is, by which records are read; the weights' step by default, which stands still where an update
---was skipped or none was made.
---@class vt.SampleOpts : { n: integer, draw?: string, place?: integer, temperature?: number, max_tokens?: integer, top_p?: number, top_k?: integer, min_p?: number, stop?: string[], prefix?: string, again?: boolean }

---The options of weights:sample that parameters hold (n = p.k), with those of o over them.
---@param p vt.Params
---@param o? vt.SampleOpts
---@return vt.SampleOpts
function vt.sampling(p, o) end

---The task as p's prompt, system, shots and free_form show it; with none of them as task:prompt() does.
---@param task vt.Task
---@param p vt.Params
---@return vt.Prompt
function vt.prompt(task, p) end

---Samples each task with the options that p holds and judges every sample as soon as it has ended: a group per task, in
---their order. o: sampling options over those of p, protocol (else p.eval), fresh, and prompt, which shows a task. [waits]
---@param weights vt.Weights
---@param tasks vt.Task[]
---@param p vt.Params
---@param o? vt.SampleOpts|{ prompt?: fun(task: vt.Task): vt.Prompt, protocol?: "fast"|"full", fresh?: boolean }
---@return vt.Group[]
function vt.draw(weights, tasks, p, o) end

---The judged samples that an offline script works on: those at place p.step in the recorded runs that p.from names, else a
---draw of its own. What differs in models, in a task's prompts or weights, in temperatures or in how it was judged is
---refused; a sample that several runs hold is counted once. p.drawn: "first" leaves fresh draws out. What is named besides p is
---needed ("logprobs", "detail"): a model or a run that lacks it is refused before anything is drawn. [waits]
---@param p vt.Params of vt.gather_params
---@param ... string
---@return vt.Group[]
function vt.gather(p, ...) end

---"RUN@SNAPSHOT" of a recorded run (RUN: a folder, "latest", or the beginning of a stamp), or an adapter folder, of the
---default model or of o.model. [waits]
---@param ref string
---@param o? { model?: string }
---@return vt.Weights
function vt.weights(ref, o) end

---What a step's samples say in one row; shares are means over tasks, lo and hi belong to sample_fast_1_sure. distinct: codes over
---samples; no_copies: sample_fast_1_sure of those that are no copies; per_code: of each code once; copies: share that is the shown body again; nll: mean of -logprob.
---@param groups vt.Group[] with verdicts
---@return { n: integer, n_tasks: integer, sample_correct: number, sample_fast_1: number, sample_fast_1_sure: number, lo?: number, hi?: number, no_copies: number, per_code: number, distinct: number, copies: number, nll: number }
function vt.scores(groups) end

---KL of the weights that drew the groups from `weights`, in nats per token: the mean over all tokens of the sampler's
---log-probability less that under `weights`. Scored tokens are billed as the teacher's. [waits]
---@param weights vt.Weights
---@param groups vt.Group[]
---@return number
function vt.kl(weights, groups) end

---Scores every sample under the weights that drew it and sets, each a mean over its tokens: entropy; certainty, the
---self-certainty KL(uniform || p); confidence, DeepConf's: -mean ln p of the `top` (20) likeliest tokens; confidence_tail
---over the last `window` (16) tokens and confidence_worst over the worst window; online_kept and online_tokens: whether DeepConf's
---online stop would have let the answer end (1 or 0), and how many tokens would have been written of it, when the first `warmup`
---(8) answers of a group are whole and the bar is passed by a share `keep` (0.9) of them. Returns its argument. [waits]
---@param groups vt.Group[]
---@param o? { top?: integer, window?: integer, warmup?: integer, keep?: number }
function vt.detail(groups, o) end

---@class vt.Group : vt.Sample[]
---@field task vt.Task
---@field prompt vt.Prompt
---@field weights vt.Weights
---@field draw string
---@field seen? "task"|"family" what the start weights were trained on meets this task

---@class vt.Sample : { task: vt.Task, i: integer, seed: integer, text: string, code?: string, code_sha?: string, tokens: integer[], n_tokens: integer, finish: "stop"|"length"|"error", logprob: number, logprob_mean: number, logprob_code: number, logprobs: vt.Vector, logprobs_behaviour: vt.Vector, result?: vt.Verdict, reward?: number, advantage?: number|vt.Vector, targets?: integer[], entropy?: number, certainty?: number, confidence?: number, confidence_tail?: number, confidence_worst?: number, online_kept?: 0|1, online_tokens?: integer }

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
---@field speedup_lo number of the interval over all placements of code and stack; at most 1 unless sure
---@field speedup_hi number
---@field speedup_tuned? number
---@field is_copy boolean
---@field sure? boolean faster at every placement and on contaminated inputs, settled
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
function vt.reward.correct_bonus(o) end ---raw + { bonus = 0.3 } when correct
function vt.reward.sparse(o) end ---1 when correct and speedup > { p = 1 }, else 0
function vt.reward.paper(o) end ---speedup_measured over the running median of the task's earlier samples, from 1; goes on from batch to batch
function vt.reward.default(o) end ---log{}
function vt.advantage.batch_z(o) end ---z-score over the batch
function vt.advantage.group_z(o) end ---z-score within each task
function vt.advantage.loo(o) end ---leave-one-out; { drop_equal = false }
function vt.advantage.max_at_k(o) end ---how much a sample raises the best of { k = 8 } of its group
function vt.advantage.entropic(o) end ---{ beta = 2 | "adaptive" }
function vt.advantage.entropic_adaptive(o) end ---entropic{ beta = "adaptive" }
function vt.advantage.entropy_bonus(o) end ---adds { beta = 0.01 } times (the batch's mean of ln p, less the token's own) to advantages that are there, per token
function vt.advantage.kl_to_start(o) end ---adds a pull back to { start = weights, beta = 0.05, form = "centred"|"k3" } to advantages that are there, per token [waits]
function vt.advantage.paper(o) end ---batch_z{}
function vt.advantage.default(o) end ---loo{ drop_equal = true }
function vt.advantage.none(o) end ---the reward itself

---Distillation over the head of the distribution: the weight of each of the student's k likeliest tokens in the gradient of the
---Jensen-Shannon divergence of share alpha (1: KL of the student from the teacher) between the two, all other tokens one
---bucket. As .advantage beside .targets, under the loss cross_entropy.
---@param student vt.Vector log-probabilities, k a position
---@param teacher vt.Vector of the same tokens
---@param k integer
---@param alpha number
---@return vt.Vector
function vt.distil(student, teacher, k, alpha) end

---What each step logs: n, max_advantage, ess, entropy, surprisal (per token), nll, nll_sd, distinct, top_code, and with a report
---grad_norm, agreement, gap (sampler to trainer), ratio_ess (share of the batch under their ratios), loss, n_tokens, skipped.
---@param groups vt.Group[]
---@param report? vt.UpdateReport
---@return table
function vt.step_stats(groups, report) end

---What tells a sample's code from another's: its digest, else the code or the text.
---@param sample vt.Sample
function vt.code_of(sample) end

---Each group with the first sample of each of its codes.
---@param groups vt.Group[]
---@return vt.Group[]
function vt.codes(groups) end

---@class vt.Batch
---@param groups vt.Group[] with .advantage
---@return vt.Batch
function vt.batch(groups, o) end

-- ── selection ────────────────────────────────────────────────────────────────────────────────────────────────────────

---pick may wait. An empty list never reaches it: the group counts as a failure. A returned set scores the mean of its members.
---@class vt.Rule : { name: string, mode?: "after_check"|"before_check", params?: table<string, vt.Param>, pick: fun(cs: vt.Candidate[], p: table, rng: vt.Rng): vt.Candidate|vt.Candidate[] }
---i, text, code, code_sha, n_tokens, finish, seed, logprob, logprob_mean, logprob_code, logprobs, what vt.detail sets; reading speedup or result raises.
---@class vt.Candidate
---@field check fun(self): boolean billed
---@field measure fun(self): number billed
---The task is the unit: groups of one task are averaged.
---@class vt.Picks
---@field fast fun(self, p?: number): table
---@field fast_sure fun(self, p?: number): table
---@field outcomes fun(self, what: "fast"|"fast_sure"|"log_speedup"): number[] one per task, for paired tests; where nothing correct was picked the shown function stays (0)
---@field mean fun(self, field: string): number
---@field sd_over fun(self, field: string): number
---@field by_task fun(self): table[]
---@field cost { checks: integer, measures: integer }
---@field n integer

---@param rule vt.Rule|fun(cs: vt.Candidate[], p: table, rng: vt.Rng): vt.Candidate
---@param groups vt.Group[]
---pool: the samples that may be picked, by verdict: "all"; "no_copies", without copies of the shown body; "no_near_copies",
---without those and correct ones whose interval lies in 0.97 to 1.03; "each_once", the first of each code without copies;
---"before_check", all, wrong ones too. A group in which nothing is left still counts, as a failure.
---@alias vt.Pool "all"|"no_copies"|"no_near_copies"|"each_once"|"before_check"
---@param o? { params?: table, seed?: integer, pool?: vt.Pool }
---@return vt.Picks
function vt.select.apply(rule, groups, o) end

---Many rules in many pools (all there are), with one look at the groups: [pool][rule's name].
---@param rules vt.Rule[]
---@param groups vt.Group[]
---@param o? { seed?: integer, pools?: vt.Pool[] }
---@return table<string, table<string, vt.Picks>>
function vt.select.each(rules, groups, o) end

---What a rule would have kept of k of the K samples, at powers of two: [pool][rule's name], fast and fast_sure being statistics
---over tasks. Of a rule that picks the first of a ranking, and of random, it is the mean over all subsets; for others
---`subsets` (20) are drawn. In "each_once" the k are of a task's different codes.
---@param rules vt.Rule[]
---@param groups vt.Group[]
---@param o? { seed?: integer, pools?: vt.Pool[], subsets?: integer }
---@return table<string, table<string, { k: integer, fast: table, fast_sure: table }[]>>
function vt.select.curves(rules, groups, o) end

---The rule; refuses one that cannot pick of four samples that are made up, before any are paid for.
---@param rule vt.Rule|function
function vt.select.check(rule) end

---The rule that a file returns (a function, or a table with name and pick), tried as by vt.select.check.
---@param file string
---@return vt.Rule
function vt.select.load(file) end

---By the sum of log-probabilities: confidence (likeliest), surprisal (least likely), confidence_top and surprisal_top { k = 3 },
---which time k and keep the fastest; by their mean: confidence_mean, surprisal_mean; over the tokens of the code: surprisal_code;
---after a line in the length, fitted to the group: length_controlled. oracle, random, random_top { k = 3 }, first, longest, shortest,
---rarest (codes with the fewest equals), largest_cluster (with the most). After vt.detail: entropy, self_certainty, deepconf,
---deepconf_tail, deepconf_worst, deepconf_online (the most confident that its online stop leaves).
---@type table<string, vt.Rule>
vt.select.rules = {}
---Their names, in the order in which tables show them.
---@type string[]
vt.select.order = {}

---What was found, as a tree, and which of it to go on from: PUCT as TTT-Discover ships it. nodes[1] is the root, of value 0.
---pick gives up to k nodes, none above or below another; add takes what came of one, and keeps the best new ones.
---@class vt.Archive
---@field nodes { value: number, what: any, parent: table, n: integer, best_child?: number, number: integer }[]
---@field scores fun(self): number[] of all nodes
---@field pick fun(self, k: integer): table[]
---@field add fun(self, node: table, found: { value: number, key: string, what: any }[])
---@param o? { c?: number, keep?: integer } c: weight of exploration (1); keep: most children of a pick (2)
---@return vt.Archive
function vt.archive(o) end

---Recorded groups of the runs that match a glob: prompt, weights, verdicts, rewards and advantages as when they were
---drawn; by run, step and task id. The run that asks is left out.
---@param glob string|string[]
---@return vt.Group[]
function vt.rollouts(glob) end

---summary is what main returned, nil where the run is not finished; tables by name, as lists of rows by column; cells are
---the runs that a sweep made.
---@class vt.RecordedRun : { dir: string, experiment: string, name: string, id: string, status: "finished"|"unfinished"|"damaged", params: table, summary?: table, tables: table, cells: vt.RecordedRun[], meter?: table, before?: string, begun_s: number, wall_s?: number }

---Recorded runs that match a glob, in the order of their names; begun_s, seconds since 1970, says which is newer. The run that asks is left out.
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
function vt.numbers(text) end ---"1e-5,3e-6": finite numbers, one at least
function vt.integers(text) end ---"4,5,12-15"
function vt.sorted_pairs(t) end
function vt.json.encode(value) end ---canonical: sorted keys, shortest numbers
function vt.json.decode(text) end

-- ── statistics ───────────────────────────────────────────────────────────────────────────────────────────────────────
-- Values must be finite numbers and arguments in their range: anything else raises at the caller's line. The value of no
-- values, and an interval or a spread of too few, is not a number.

---What a statistic is. n counts units (task, cluster, pair, trial, value); n_distinct different codes, or values; p_min the
---smallest p that such data can give; bound "<" or ">" where the value is only that. lo and hi are nil below 8 units.
---@class vt.Result : { value: number, lo?: number, hi?: number, sd?: number, n: integer, n_samples?: integer, n_distinct?: integer, ties?: integer, zeros?: integer, p?: number, p_min?: number, bound?: "<"|">", method: string, unit: string, wins?: integer, losses?: integer }

---The papers' fast_p: correct and speedup_measured > p, mean over tasks of each one's share.
---@param o? { per?: "sample"|"code", copies?: boolean } per code: of different codes; copies = false: without copies
---@return vt.Result
function vt.stats.fast(groups, p, o) end
function vt.stats.fast_sure(groups, p, o) end ---lower end of the interval above p, no copy, not flagged
function vt.stats.rate(groups, field, o) end ---a boolean field of the verdict, or a status
function vt.stats.by_task(groups) end ---rows { task, name, n, correct, fast_1, fast_1_sure, speedup, best }: the fastest correct sample as first judged
function vt.stats.metrics(groups, picks) end ---by full name: sample_fast_1, sample_correct, task_success@K, selected_fast_1 (with picks), each fast one also _sure
function vt.stats.shares(groups) end ---by full name: sample_correct, sample_fast_1, sample_fast_1_sure, each also _no_copies and _per_code; of sample_fast_1 also the parts that are _copies, _near_1 (at most 1.05) and _flagged
function vt.stats.over_seeds(runs, measure) end ---the papers' mean and sd over seeds; runs: the groups of each seed; measure: a function of groups (fast)
function vt.stats.pass_at_k(groups, k, o) end ---{ p = 1, sure = false, copies = true (false: a copy is no success), per = "sample"|"code" (of k different codes) }
function vt.stats.best_of_k(groups, k, o) end ---{ copies = true }
function vt.stats.task_success(groups, p, o) end ---{ sure = false, copies = true }
function vt.stats.equivalent_k(groups, target, o) end ---samples that Best-of-N needs for a share, or for the share of other groups; { p = 1, sure = false, n = 1000, seed, level = 0.95 }
function vt.stats.mean_ci(values, o) end ---one value per task; { method = "t"|"bca"|"percentile"|"student", bootstrap = 10000, seed, level = 0.95 }
function vt.stats.bootstrap(values, o) end ---{ statistic = "mean"|"median", method = "t", n = 10000, seed, cluster, level = 0.95 }; cluster: a list of lists
function vt.stats.wilson(n_success, n) end
function vt.stats.clopper_pearson(n_success, n, o) end ---exact
function vt.stats.odds_ratio(success_1, failure_1, success_2, failure_2, o) end
function vt.stats.cohens_h(p1, p2) end ---a number
function vt.stats.cliffs_delta(x, y, o) end ---P(x > y) - P(x < y) of independent lists
function vt.stats.wilcoxon(x, y, o) end ---pairs, or differences when y is nil; { zeros = "drop"|"pratt", level = 0.95 }; value: Hodges-Lehmann
function vt.stats.sign_test(n_plus, n_minus, o) end
function vt.stats.paired(x, y, o) end ---x against y by task: wins, losses, ties, the sign test of them; value: mean difference; { level = 0.95 }
function vt.stats.mcnemar(first, second, o) end ---lists of successes, paired by task
function vt.stats.permutation(x, y, o) end ---random signs of paired differences; { paired = true, statistic = function, n = 10000, seed, level = 0.95 }
function vt.stats.spearman(x, y, o) end ---{ cluster = ids of the pairs, within = false, level = 0.95 }
function vt.stats.partial_spearman(x, y, z, o) end ---of x and y given z
function vt.stats.kendall(x, y, o) end ---tau-b
function vt.stats.holm(list) end ---adjusted p-values of numbers or statistics, in their order
function vt.stats.benjamini_hochberg(list) end
function vt.stats.power(o) end ---{ pilot = differences, n_tasks, effect = the pilot's mean, test = "permutation"|"wilcoxon"|"sign_test", alpha = 0.05, n = 1000, seed }
function vt.stats.summary(values, field) end ---{ n, n_distinct, mean, sd, median, min, max }
function vt.stats.mean(values) end ---a number, as the next three
function vt.stats.sd(values) end
function vt.stats.geometric_mean(values) end
function vt.stats.quantile(values, q) end ---q from 0 to 1
function vt.stats.is_fast(verdict, p) end ---a boolean
function vt.stats.is_sure(verdict, p) end ---a boolean

return vt
