#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/formats/: the ways in which a folder can say the same or something else, with what transformers,
tokenizers and PEFT make of each.

    python tests/golden/make_formats.py tests/golden      (torch 2.15.0, transformers 5.24.0, tokenizers 0.23.3, peft 0.21.2)

  base.json        a small byte-level tokenizer.json (Digits, ByteLevel; no merges of note)
  tokenizers.jsonl {name, files, texts}: files are laid over base.json: members of "tokenizer.json" replace its own, of
                   "model" inside it those of its model; other names are whole files. texts: [text, ids] of
                   AutoTokenizer on that folder, control tokens matched. A line with "refused" must not open, and the
                   sentence must hold that word; the library opens it and would give other ids than a reader that
                   ignores the word.
  splits.jsonl     {pattern, behavior, invert, text, pieces} of a Split pre-tokenizer, or {pattern, refused}
  models.jsonl     {base, config, prompt, tokens, logp}: tests/golden/tiny/BASE with members of its config.json replaced
                   (null: removed), in fp64; or {base, config, refused}
  adapters.jsonl   {config, logp}: tests/golden/tiny/llama/adapter with members of its adapter_config.json replaced; or
                   {config, refused}
  lm_head/         an adapter of q_proj and lm_head of tiny/llama as PEFT saves it, base layer included, with its values
"""
import json
import pathlib
import shutil
import sys
import tempfile

import peft
import torch
import transformers
from safetensors.torch import load_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

golden = pathlib.Path(sys.argv[1])
out = golden / "formats"
out.mkdir(exist_ok=True)
transformers.logging.set_verbosity_error()
corpus = ["for (int i = 0; i < n; i++) {\n    sum += x[i] * y[i];\n}\n", "the quick brown fox, the lazy dog; there then this that",
          "void relu(const float *restrict x, float *restrict y, int n)", "123 1234 12345 2024 3.14159", "if (!x) return a != b;"]


def train():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=320, special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
                                                      initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    return json.loads(t.to_str())


base = train()
(out / "base.json").write_text(json.dumps(base, ensure_ascii=False) + "\n")
n = len(base["model"]["vocab"])


def token(i, content, special=False, normalized=None, **kw):
    return dict(id=i, content=content, single_word=False, lstrip=False, rstrip=False,
                normalized=(not special) if normalized is None else normalized, special=special) | kw


def flags(**kw):
    t = token(0, "", **kw)
    del t["id"], t["content"]
    return t


own = base["added_tokens"]
byte_level = base["pre_tokenizer"]["pretokenizers"][1]
no_regex = byte_level | {"use_regex": False}
Q = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
split = {"type": "Split", "pattern": {"Regex": Q}, "behavior": "Isolated", "invert": False}


def sequence(*steps):
    return {"pre_tokenizer": {"type": "Sequence", "pretokenizers": list(steps)}}


def conf(**kw):
    return {"tokenizer_config.json": dict(tokenizer_class="PreTrainedTokenizerFast") | kw}


def tj(**kw):
    return {"tokenizer.json": kw}


texts = ["the quick brown fox", "a<|user|>b<|im_end|>", "if (!x) return a != b;", "x <mask> y", "x<mask>y", "  <mask>\t\n z", "pad!!<pad><mask><mask>",
         "e\u0301<n\u0303>\u00f1 n\u0303 A\u030a", "own foxown f", "12345 \u0663\u00b2 1a2", "I'LL don't\n\n  x\r\n", "<|im_end|><|im_start|><|im_", "a\u3000<mask>\u3000b", "x<ab> y<a> y", " y y  y <mask> <mask>  y", "日本語 naïve 👍🏽"]
cases = [
    ("plain", {}),
    ("no_config", {"tokenizer_config.json": None}),
    ("decoder_in_config", conf(eos_token="<|im_end|>", added_tokens_decoder={str(t["id"]): flags(special=True) | {"content": t["content"]} for t in own}
                               | {str(n): flags(special=True) | {"content": "<|user|>"}, str(n + 1): flags(normalized=True) | {"content": "own f"}})),
    ("decoder_flags_win", conf(added_tokens_decoder={"2": flags(special=True, rstrip=True) | {"content": "<|im_end|>"}})),
    ("named_only_in_config", conf(pad_token="<pad>", eos_token="<|user|>", additional_special_tokens=["<mask>"])),
    ("named_as_object", conf(mask_token={"__type": "AddedToken", "content": "<mask>", "lstrip": True, "rstrip": False, "normalized": False, "single_word": False, "special": True})),
    ("own_name", conf(image_token="<mask>", extra_special_tokens=["<pad>"])),
    ("extra_as_map", conf(extra_special_tokens={"boi_token": "<pad>", "eoi_token": "<mask>"})),
    ("special_tokens_map", conf(eos_token="<|im_start|>") | {"special_tokens_map.json": {"eos_token": "<|user|>", "pad_token": {"content": "<pad>", "lstrip": False, "rstrip": True, "normalized": False, "single_word": False}}}),
    ("extra_in_both", conf(additional_special_tokens=["<mask>"]) | {"special_tokens_map.json": {"additional_special_tokens": ["<pad>"]}}),
    ("extra_in_map", conf() | {"special_tokens_map.json": {"additional_special_tokens": ["<pad>", "<mask>"]}}),
    ("map_ignored_beside_decoder", conf(added_tokens_decoder={str(t["id"]): flags(special=True) | {"content": t["content"]} for t in own}) | {"special_tokens_map.json": {"pad_token": "<pad>"}}),
    ("added_tokens_json", conf() | {"added_tokens.json": {"<mask>": n + 1, "<|user|>": n}}),
    ("added_tokens_json_special", conf(pad_token="<mask>") | {"added_tokens.json": {"<mask>": n}}),
    ("pad_is_a_byte", conf(pad_token="!")),
    ("vocab_token_special", tj(added_tokens=own + [token(base["model"]["vocab"]["Ġthe"], "Ġthe", special=True)])),
    ("two_passes", tj(added_tokens=own + [token(n, "own f", normalized=True), token(n + 1, "fox", normalized=False)])),
    ("longest_first", tj(added_tokens=own + [token(n, "<a", normalized=False), token(n + 1, "<ab", normalized=False), token(n + 2, "b> y", normalized=False)])),
    ("normalized_nfc", tj(normalizer={"type": "NFC"}, added_tokens=own + [token(n, "<n\u0303>", normalized=True), token(n + 1, "n\u0303", normalized=False)])),
    ("nfc_in_sequence", tj(normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}]})),
    ("lstrip", tj(added_tokens=own + [token(n, "<mask>", special=True, lstrip=True)])),
    ("rstrip", tj(added_tokens=own + [token(n, "<mask>", normalized=False, rstrip=True)])),
    ("strips_meet", tj(added_tokens=own + [token(n, " y", normalized=False, rstrip=True), token(n + 1, " ", normalized=False), token(n + 2, "<mask>", special=True, rstrip=True, lstrip=True)])),
    ("both_strips", tj(added_tokens=own + [token(n, "<mask>", normalized=True, lstrip=True, rstrip=True)])),
    ("qwen_split", tj(**sequence(split, no_regex))),
    ("inverted_isolated", tj(**sequence(split | {"invert": True}, no_regex))),
    ("removed_inverted", tj(**sequence(split | {"behavior": "Removed", "invert": True, "pattern": {"Regex": r"\p{L}+|\p{N}"}}, no_regex))),
    ("digits_joined", tj(**sequence({"type": "Digits", "individual_digits": False}, byte_level))),
    ("byte_level_alone", tj(pre_tokenizer=byte_level)),
    ("nested_sequence", tj(**sequence(sequence({"type": "Digits", "individual_digits": True})["pre_tokenizer"], byte_level))),
    ("ignore_merges", tj(model={"ignore_merges": True})),
    ("unk_never_used", tj(model={"unk_token": "<|endoftext|>", "byte_fallback": True})),
    ("empty_suffixes", tj(model={"continuing_subword_prefix": "", "end_of_word_suffix": ""})),
    ("repeated_merge", tj(model={"merges": base["model"]["merges"] + [base["model"]["merges"][0]]})),
    ("version_line", tj(model={"merges": ["#version: 0.2"] + [" ".join(m) for m in base["model"]["merges"]]})),
    ("eos_in_vocab_only", conf(eos_token="Ġthe")),
]
refused = [
    ("id_that_is_not_next", tj(added_tokens=own + [token(n + 5, "<mask>", special=True)]), "number"),
    ("same_normal_form", tj(normalizer={"type": "NFC"}, added_tokens=own + [token(n, "n\u0303<", normalized=True), token(n + 1, "\u00f1<", normalized=True)]), "same normal form"),
    ("single_word", tj(added_tokens=own + [token(n, "own", normalized=False, single_word=True)]), "single_word"),
    ("end_of_word", tj(model={"end_of_word_suffix": "</w>"}), "end_of_word_suffix"),
    ("dropout", tj(model={"dropout": 0.5}), "dropout"),
    ("no_pre_tokenizer", tj(pre_tokenizer=None), "ByteLevel"),
    ("no_byte_level", tj(**sequence(split)), "ByteLevel"),
    ("step_behind_byte_level", tj(**sequence(no_regex, split)), "behind ByteLevel"),
    ("whitespace", tj(**sequence({"type": "Whitespace"}, byte_level)), "Whitespace"),
    ("prefix_space", tj(pre_tokenizer=byte_level | {"add_prefix_space": True}), "add_prefix_space"),
    ("prefix_space_in_config", conf(add_prefix_space=True), "add_prefix_space"),
    ("split_special", conf(split_special_tokens=True), "split_special_tokens"),
    ("merged_with_previous", tj(**sequence(split | {"behavior": "MergedWithPrevious"}, no_regex)), "MergedWithPrevious"),
    ("removed", tj(**sequence(split | {"behavior": "Removed"}, no_regex)), "Removed"),
    ("lowercase", tj(normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]}), "Lowercase"),
    ("metaspace_decoder", tj(decoder={"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}), "Metaspace"),
]


def folder(files):
    d = pathlib.Path(tempfile.mkdtemp())
    t = json.loads(json.dumps(base))
    for key, value in files.get("tokenizer.json", {}).items():
        if key == "model":
            t["model"].update(value)
        else:
            t[key] = value
    (d / "tokenizer.json").write_text(json.dumps(t))
    shutil.copy(golden / "tiny" / "llama" / "config.json", d)
    for name, value in files.items():
        if name != "tokenizer.json" and value is not None:
            (d / name).write_text(json.dumps(value))
    return d


with open(out / "tokenizers.jsonl", "w") as f:
    for name, files in cases:
        d = folder(files)
        t = transformers.AutoTokenizer.from_pretrained(d)
        rows = [[text, t(text, add_special_tokens=False)["input_ids"]] for text in texts]
        f.write(json.dumps(dict(name=name, files=files, texts=rows), ensure_ascii=False) + "\n")
    for name, files, word in refused:
        d = folder(files)
        transformers.AutoTokenizer.from_pretrained(d)
        f.write(json.dumps(dict(name=name, files=files, refused=word), ensure_ascii=False) + "\n")

O = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])
probe = "I'LL it\u017f x0Af9-zZ \u180e\u00a0\u3000a\u000b\u000cb\t\t12\u0663\u00b2\u2167 foo_bar/baz\r\n\r\n  ǅab\u0301 Ⅷ€+=^$[]{}日本語, ﬆ ß\u2028end \u00ad\U0001f44d\n"
patterns = [Q, Q.replace(r"\p{N}|", r"\p{N}{1,3}|"), O, r"\s", r"\S+", r"[\s,]+", r"[^\s]+", r"\h+", r"[\h_]+", r"\H+", r"\d+", r"\D+", r"\v", r"\u0041|\x{3000}|\x2f", ".+", r"a.", r"[^\n]+",
            r"(?i)b|f", r"(?i:[a-f])+", r"(?:ab|a)(?!c)", r"(?<=x)\w?0".replace(r"\w?", ""), r"(?<![a-z])f", r"(?>\s+)", r"o{2}", r"o{1,}", r"\p{L}{2,3}?", r"[a-z]++", r"\p{Lu}|\p{Lt}", r"\P{L}+", r"[\p{P}\p{S}]+",
            r"[\r\n]+", r"'(?:[sdmt]|ll|ve|re)", r"\p{Nd}", r"\p{Nl}|\p{No}", r"\p{M}+", r"\p{Z}+", r"[\]\[^$.-]", "日|本", r"(a)(b)?", r"\$|\^"]
bad = {"^a": "line anchor", "a$": "line anchor", r"\w+": "\\w", r"\bfoo": "\\b", r"[[:alpha:]]+": "class inside", r"[a-z&&[^b]]": "intersection", r"a{,2}b": "brace", r"\p{Han}": "property",
       r"\p{Alpha}": "property", r"(?<name>a)": "group", r"(?m:.)": "group", r"a(?i)b": "group", r"\R": "\\R", r"\X": "\\X", r"\Aa": "\\A", r"a{2}+": "behind", r"a{2}?": "behind", r"(a)\1": "\\1", r"(?i:\p{Lu})": "case",
       r"[\h-z]": "range", "a*": "nothing", r"(?#x)a": "group", r"\K": "\\K", r"[^\S]": "\\S"}
with open(out / "splits.jsonl", "w") as f:
    for p in patterns:
        for behavior, invert in (("Isolated", False), ("Removed", True)):
            s = pre_tokenizers.Split(Regex(p), behavior.lower(), invert)
            f.write(json.dumps(dict(pattern=p, drop=behavior == "Removed", text=probe, pieces=[x for x, _ in s.pre_tokenize_str(probe)]), ensure_ascii=False) + "\n")
    for p, word in bad.items():
        f.write(json.dumps(dict(pattern=p, refused=word)) + "\n")


def logprobs(model, prompt, completion):
    logp = torch.log_softmax(model(torch.tensor([prompt + completion])).logits[0], -1)
    at = torch.arange(len(prompt) - 1, len(prompt) + len(completion) - 1)
    return [round(x, 8) for x in logp[at, torch.tensor(completion)].tolist()]


def patched(source, name, patch):
    d = pathlib.Path(tempfile.mkdtemp())
    shutil.copytree(source, d, dirs_exist_ok=True)
    shutil.rmtree(d / "adapter", ignore_errors=True)
    c = json.loads((d / name).read_text())
    for key, value in patch.items():
        c.pop(key, None)
        if value is not None:
            c[key] = value
    (d / name).write_text(json.dumps(c))
    return d


def rows_of(name):
    r = json.loads((golden / "tiny" / name / "golden.json").read_text())["sequences"][3]
    return r["prompt"], r["completion"][:12]


llama3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64)
default = dict(rope_type="default", rope_theta=10000.0)
ok = [
    ("llama", {}), ("llama", dict(hidden_act="swish")), ("llama", dict(rms_norm_eps=None)), ("llama", dict(rms_norm_eps=0.01)),
    ("llama", dict(rope_parameters=default)), ("llama", dict(rope_parameters=None)), ("llama", dict(rope_parameters=None, rope_theta=500000.0)),
    ("llama", dict(rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=4.0))),
    ("llama", dict(rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=1.0))),
    ("llama", dict(rope_parameters=None, rope_theta=5000.0, rope_scaling=dict(type="linear", factor=2.5))),
    ("llama", dict(rope_parameters=default, rope_theta=50000.0, rope_scaling=llama3)),
    ("llama", dict(rope_parameters=default, rope_scaling=llama3 | dict(rope_theta=3000.0), rope_theta=50000.0)),
    ("llama", dict(rope_parameters=dict(rope_type="default", rope_theta=20000.0), rope_scaling={})),
    ("llama", dict(rope_parameters=None, rope_scaling=dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0), max_position_embeddings=256)),
    ("llama", dict(rope_parameters=None, rope_scaling=None, partial_rotary_factor=1.0, pretraining_tp=2, transformers_weights="model.safetensors")),
    ("qwen2", dict(use_sliding_window=True, sliding_window=16, max_window_layers=2, layer_types=None)),
    ("qwen2", dict(use_sliding_window=False, sliding_window=16, max_window_layers=0, layer_types=None)),
    ("qwen2", dict(attention_bias=False, rope_parameters=dict(rope_type="linear", rope_theta=1e6, factor=2.0))),
    ("qwen3", dict(rope_parameters=None, rope_theta=10000.0, layer_types=None)),
]
no = [
    ("llama", dict(rope_parameters=dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=64)), "yarn"),
    ("llama", dict(rope_parameters=dict(rope_type="dynamic", rope_theta=10000.0, factor=4.0)), "dynamic"),
    ("llama", dict(rope_parameters=None, rope_scaling=dict(type="longrope", factor=4.0, short_factor=[1.0] * 8, long_factor=[2.0] * 8, original_max_position_embeddings=64)), "longrope"),
    ("qwen2", dict(use_sliding_window=True, sliding_window=16, max_window_layers=0, layer_types=None), "sliding_window"),
    ("qwen2", dict(layer_types=["full_attention", "sliding_attention"], use_sliding_window=True, sliding_window=16), "sliding_attention"),
]
with open(out / "models.jsonl", "w") as f:
    for name, patch in ok:
        prompt, completion = rows_of(name)
        m = transformers.AutoModelForCausalLM.from_pretrained(patched(golden / "tiny" / name, "config.json", patch), dtype=torch.float64, attn_implementation="eager").eval()
        with torch.no_grad():
            f.write(json.dumps(dict(base=name, config=patch, prompt=prompt, tokens=completion, logp=logprobs(m, prompt, completion))) + "\n")
    for name, patch, word in no:
        transformers.AutoModelForCausalLM.from_pretrained(patched(golden / "tiny" / name, "config.json", patch))
        f.write(json.dumps(dict(base=name, config=patch, refused=word)) + "\n")


def with_adapter(d):
    m = transformers.AutoModelForCausalLM.from_pretrained(golden / "tiny" / "llama", dtype=torch.float64, attn_implementation="eager")
    return peft.PeftModel.from_pretrained(m, str(d), autocast_adapter_dtype=False).eval()


prompt, completion = rows_of("llama")
mlp = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
ok = [{}, dict(use_rslora=True), dict(lora_alpha=None), dict(fan_in_fan_out=True), dict(init_lora_weights="gaussian"), dict(init_lora_weights=False), dict(lora_dropout=0.5), dict(target_modules="all-linear"),
      dict(target_modules=r".*\.(self_attn|mlp)\.\w+_proj"), dict(target_modules=["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "o_proj", "mlp.gate_proj", "up_proj", "down_proj"])]
no = [(dict(init_lora_weights="pissa"), "pissa"), (dict(init_lora_weights="olora"), "olora"), (dict(init_lora_weights="pissa_niter_4"), "pissa_niter_4"), (dict(alpha_pattern={"q_proj": 16}), "alpha_pattern"),
      (dict(target_modules=["q_proj", "v_proj"]), "target_modules"), (dict(exclude_modules=["up_proj"]), "exclude_modules"), (dict(bias="all"), "bias"), (dict(use_dora=True), "use_dora"), (dict(lora_bias=True), "lora_bias"),
      (dict(modules_to_save=["norm"]), "modules_to_save"), (dict(layers_to_transform=[0]), "layers_to_transform"), (dict(trainable_token_indices=[1]), "trainable_token_indices")]
with open(out / "adapters.jsonl", "w") as f:
    for patch in ok:
        d = patched(golden / "tiny" / "llama" / "adapter", "adapter_config.json", patch)
        with torch.no_grad():
            f.write(json.dumps(dict(config=patch, prompt=prompt, tokens=completion, logp=logprobs(with_adapter(d), prompt, completion))) + "\n")
    for patch, word in no:
        f.write(json.dumps(dict(config=patch, refused=word)) + "\n")

torch.manual_seed(7)
m = transformers.AutoModelForCausalLM.from_pretrained(golden / "tiny" / "llama", dtype=torch.float32, attn_implementation="eager")
p = peft.get_peft_model(m, peft.LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj", "lm_head"], task_type="CAUSAL_LM"))
with torch.no_grad():
    for key, x in p.named_parameters():
        if "lora_" in key:
            x.copy_(0.2 * torch.randn_like(x))
p.save_pretrained(out / "lm_head")
(out / "lm_head" / "README.md").unlink(missing_ok=True)
c = json.loads((out / "lm_head" / "adapter_config.json").read_text())
c["target_modules"].sort()  # a set: PEFT saves it in any order
(out / "lm_head" / "adapter_config.json").write_text(json.dumps(c, indent=1) + "\n")
(out / "lm_head" / "adapter_model.safetensors").chmod(0o644)
with torch.no_grad():
    values = logprobs(with_adapter(out / "lm_head"), prompt, completion)
(out / "lm_head" / "golden.json").write_text(json.dumps(dict(prompt=prompt, tokens=completion, logp=values)) + "\n")
