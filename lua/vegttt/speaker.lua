-- SPDX-License-Identifier: Apache-2.0
--
-- A language model that tests can reason about: a Hugging Face folder, written here, that the engine opens, samples,
-- scores and trains like any other. It says one of the given answers, each with a known probability.
--
-- Its vocabulary is the 256 bytes, ChatML's two control tokens and a token for every piece of an answer. The hidden
-- state after a token is a unit vector that names the token (one for "\n", with which a prompt ends, one for each piece,
-- one for all others): the layer's output projections are zero, and the last norm undoes the first. So the next token's
-- log-probabilities are the log-softmax of a column that is written down here. The other projections are small random
-- numbers, through which gradients reach an adapter, and each piece has a direction of its own to be learnt along: the
-- model can be trained.
local core = require "vegttt.core"

local speaker = {}

local d_model, d_ff, n_heads, n_kv, head_dim = 64, 64, 4, 2, 16
local never = -32 -- the logit of a token that does not come
local steering = 8 -- what a unit of a piece's own direction adds to its logit; no base state has any of it

-- GPT-2's printable spelling of a byte.
local function spelling(byte)
  local function stands_for_itself(b)
    return b >= 0x21 and b <= 0x7e or b >= 0xa1 and b <= 0xac or b >= 0xae and b <= 0xff
  end
  if stands_for_itself(byte) then return utf8.char(byte) end
  local n = 0
  for b = 0, byte - 1 do
    if not stands_for_itself(b) then n = n + 1 end
  end
  return utf8.char(0x100 + n)
end

local function write_tokenizer(dir, pieces)
  local vocab, added = {}, {}
  for b = 0, 255 do vocab[spelling(b)] = b end
  local function add(content, special)
    added[#added + 1] = { id = 256 + #added, content = content, special = special, lstrip = false, rstrip = false,
      single_word = false, normalized = false }
  end
  add("<|im_start|>", true)
  add("<|im_end|>", true)
  for _, piece in ipairs(pieces) do add(piece, false) end
  core.write(dir .. "/tokenizer.json", core.json_encode { added_tokens = added,
    model = { type = "BPE", vocab = vocab, merges = core.array {} },
    pre_tokenizer = { type = "ByteLevel", add_prefix_space = false, use_regex = true } })
  core.write(dir .. "/tokenizer_config.json", core.json_encode { eos_token = "<|im_end|>",
    chat_template = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
      .. "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}" })
  return 256 + #added
end

-- rows x columns of value(r, c) as little-endian floats.
local function tensor(rows, columns, value)
  local parts = {}
  for r = 1, rows do
    local row = {}
    for c = 1, columns do row[c] = string.pack("<f", value(r, c)) end
    parts[r] = table.concat(row)
  end
  return { shape = columns > 1 and { rows, columns } or { rows }, bytes = table.concat(parts) }
end

local function write_tensors(path, tensors)
  local header, bytes, at = {}, {}, 0
  for _, t in ipairs(tensors) do
    header[t.name] = { dtype = "F32", shape = t.shape, data_offsets = { at, at + #t.bytes } }
    bytes[#bytes + 1] = t.bytes
    at = at + #t.bytes
  end
  local text = core.json_encode(header)
  text = text .. (" "):rep(-#text % 8)
  core.write(path, string.pack("<I8", #text) .. text .. table.concat(bytes))
end

-- logit(token, state): what is said after each state. Token ids from 0, states from 1: "\n", the pieces, the others.
local function transitions(answers, pieces)
  local index = {}
  for i, piece in ipairs(pieces) do index[piece] = i end
  local logits = {}
  local function set(state, token, logit) logits[state * 100000 + token] = logit end
  for _, a in ipairs(answers) do
    local state = 1
    for i, piece in ipairs(a.pieces) do
      local p = index[piece]
      set(state, 257 + p, i == 1 and math.log(a.p) or 0)
      state = 1 + p
    end
    set(state, 257, 0) -- the end of the turn
  end
  return function(token, state) return logits[state * 100000 + token] or never end
end

local function random_matrix(rows, columns, seed)
  local n = 0
  return tensor(rows, columns, function()
    n = n + 1
    return 0.2 * (core.uniform(seed, n) - 0.5)
  end)
end

---Writes the folder. reads: attention reaches the output a little, so that what was read before changes what is said.
---answers: { { pieces = { text, … }, p = probability }, … }, distinct in their first pieces; the last
---piece usually ends the function ("}\n").
function speaker.make(dir, answers, reads)
  local pieces, known = {}, {}
  for _, a in ipairs(answers) do
    for _, piece in ipairs(a.pieces) do
      if not known[piece] then pieces[#pieces + 1] = piece end
      known[piece] = true
    end
  end
  core.mkdir(dir)
  local n_vocab = write_tokenizer(dir, pieces)
  local n_states = #pieces + 2
  assert(n_states + #pieces <= d_model, "too many pieces for the model's width")
  core.write(dir .. "/config.json", core.json_encode { model_type = "llama", num_hidden_layers = 1,
    hidden_size = d_model, intermediate_size = d_ff, num_attention_heads = n_heads, num_key_value_heads = n_kv,
    head_dim = head_dim, vocab_size = n_vocab, max_position_embeddings = 4096, rms_norm_eps = 1e-9,
    rope_theta = 10000.0, hidden_act = "silu", tie_word_embeddings = false })
  local function state_of(token)
    return token == 10 and 1 or token > 257 and token - 256 or n_states
  end
  local logit = transitions(answers, pieces)
  local function zero() return 0 end
  local function one() return 1 end
  local function named(name, t)
    t.name = name
    return t
  end
  local layer = "model.layers.0."
  write_tensors(dir .. "/model.safetensors", {
    named("model.embed_tokens.weight", tensor(n_vocab, d_model, function(r, c) return state_of(r - 1) == c and 1 or 0 end)),
    named(layer .. "self_attn.q_proj.weight", random_matrix(n_heads * head_dim, d_model, 1)),
    named(layer .. "self_attn.k_proj.weight", random_matrix(n_kv * head_dim, d_model, 2)),
    named(layer .. "self_attn.v_proj.weight", random_matrix(n_kv * head_dim, d_model, 3)),
    named(layer .. "self_attn.o_proj.weight", reads and random_matrix(d_model, n_heads * head_dim, 7)
      or tensor(d_model, n_heads * head_dim, zero)),
    named(layer .. "mlp.gate_proj.weight", random_matrix(d_ff, d_model, 4)),
    named(layer .. "mlp.up_proj.weight", random_matrix(d_ff, d_model, 5)),
    named(layer .. "mlp.down_proj.weight", tensor(d_model, d_ff, zero)),
    named(layer .. "input_layernorm.weight", tensor(d_model, 1, one)),
    named(layer .. "post_attention_layernorm.weight", tensor(d_model, 1, one)),
    named("model.norm.weight", tensor(d_model, 1, function() return 1 / math.sqrt(d_model) end)),
    named("lm_head.weight", tensor(n_vocab, d_model, function(r, c)
      if c <= n_states then return logit(r - 1, c) end
      return r - 1 - 257 == c - n_states and steering or 0
    end)),
  })
end

return speaker
