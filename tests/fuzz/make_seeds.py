#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes start inputs for every fuzzer of this folder into FOLDER/NAME: make_seeds.py FOLDER"""
import json
import pathlib
import platform
import struct
import subprocess
import sys

out = pathlib.Path(sys.argv[1])
root = pathlib.Path(__file__).resolve().parent.parent.parent
golden = root / "tests" / "golden"


def text(s):
    return struct.pack("<Q", len(s.encode())) + s.encode()


def value(v):
    if isinstance(v, str):
        return struct.pack("<I", 8) + text(v)
    if isinstance(v, float):
        return struct.pack("<If", 6, v)
    if isinstance(v, int):
        return struct.pack("<II", 4, v)
    if isinstance(v[0], str):
        return struct.pack("<IIQ", 9, 8, len(v)) + b"".join(map(text, v))
    return struct.pack("<IIQ", 9, 5, len(v)) + b"".join(struct.pack("<i", x) for x in v)


# type id: (bytes of a block, weights in it)
BLOCKS = {0: (4, 1), 1: (2, 1), 2: (18, 32), 3: (20, 32), 8: (34, 32), 12: (144, 256), 14: (210, 256), 30: (2, 1)}


def gguf(arch, d, ff, vocab, kind, extra):
    keys = {"general.architecture": arch, f"{arch}.block_count": 1, f"{arch}.embedding_length": d, f"{arch}.feed_forward_length": ff,
            f"{arch}.attention.head_count": 2, f"{arch}.attention.head_count_kv": 1, f"{arch}.context_length": 64,
            f"{arch}.attention.layer_norm_rms_epsilon": 1e-5, "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": "qwen2" if arch != "llama" else "smollm", "tokenizer.ggml.tokens": ["a", "b", "ab", "Ġ", "<|end|>"],
            "tokenizer.ggml.token_type": [1, 1, 1, 1, 3], "tokenizer.ggml.merges": ["a b"], "tokenizer.ggml.eos_token_id": 4}
    rows = [("token_embd.weight", (vocab, d), kind), ("output_norm.weight", (d,), 0)] + [
        (f"blk.0.{n}.weight", s, kind if len(s) > 1 else 0) for n, s in (
            ("attn_norm", (d,)), ("ffn_norm", (d,)), ("attn_q", (d, d)), ("attn_k", (d // 2, d)), ("attn_v", (d // 2, d)),
            ("attn_output", (d, d)), ("ffn_gate", (ff, d)), ("ffn_up", (ff, d)), ("ffn_down", (d, ff)))] + extra
    directory = data = b""
    for name, shape, t in rows:
        size, block = BLOCKS[t]
        n = 1
        for x in shape:
            n *= x
        directory += text(name) + struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", x) for x in reversed(shape))
        directory += struct.pack("<IQ", t, len(data))
        data += bytes(n // block * size)
        data += bytes(-len(data) % 32)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(rows), len(keys)) + b"".join(text(k) + value(v) for k, v in keys.items()) + directory
    return head + bytes(-len(head) % 32) + data


def write(kind, name, content):
    (out / kind).mkdir(parents=True, exist_ok=True)
    (out / kind / name).write_bytes(content)


for t in (0, 1, 30):
    write("model_gguf", f"llama-{t}", gguf("llama", 4, 6, 5, t, []))
for t in (2, 3, 8):
    write("model_gguf", f"llama-{t}", gguf("llama", 32, 32, 5, t, []))
write("model_gguf", "llama-rope", gguf("llama", 4, 6, 5, 0, [("rope_freqs.weight", (1,), 0)]))
write("model_gguf", "qwen2", gguf("qwen2", 4, 6, 5, 1, [("blk.0.attn_q.bias", (4,), 0), ("blk.0.attn_k.bias", (2,), 0), ("blk.0.attn_v.bias", (2,), 0)]))
write("model_gguf", "qwen3", gguf("qwen3", 4, 6, 5, 1, [("blk.0.attn_q_norm.weight", (2,), 0), ("blk.0.attn_k_norm.weight", (2,), 0), ("output.weight", (5, 4), 1)]))
write("model_gguf", "no-tensors", b"GGUF" + struct.pack("<IQQ", 3, 0, 0))

header = json.dumps({"__metadata__": {"format": "pt"}, "a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
                     "b": {"dtype": "BF16", "shape": [3], "data_offsets": [16, 22]}, "c": {"dtype": "F16", "shape": [1, 1, 1], "data_offsets": [22, 24]}}).encode()
write("model_safetensors", "three", struct.pack("<Q", len(header)) + header + bytes(24))
write("model_safetensors", "empty", struct.pack("<Q", 8) + b"{}      ")

small = {"added_tokens": [{"id": 3, "content": "<|x|>", "special": True, "normalized": False, "lstrip": True}], "normalizer": {"type": "NFC"},
         "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True},
                           {"type": "Split", "pattern": {"Regex": r"\s+|\p{L}+"}, "behavior": "Isolated", "invert": False},
                           {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}]},
         "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<|x|>", "type_id": 0}}]},
         "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}}
write("model_tokenizer", "small.json", json.dumps(small).encode())
small["model"]["merges"] = ["a b"]
small["model"]["ignore_merges"] = True
write("model_tokenizer", "strings.json", json.dumps(small).encode())
for i, line in enumerate((golden / "tokenizer.jsonl").read_text().splitlines()):
    text_bytes = bytes.fromhex(json.loads(line)["utf8_hex"])
    if i % 5 == 0 and not text_bytes.startswith(b"{"):
        write("model_tokenizer", f"text-{i}", text_bytes)

# What make_formats.py describes, as folders: seven files with NULs between them (model_folder.c). run.py puts the
# weights of tests/golden/tiny/llama beside them.
files = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "adapter_config.json")
config = (golden / "tiny" / "llama" / "config.json").read_text()
adapter = (golden / "tiny" / "llama" / "adapter" / "adapter_config.json").read_text()
base = json.dumps({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False}})
for i, line in enumerate((golden / "formats" / "tokenizers.jsonl").read_text().splitlines()):
    row = {name: json.dumps(j) for name, j in json.loads(line)["files"].items() if name != "tokenizer.json" and j}
    row = {"config.json": config, "generation_config.json": '{"eos_token_id": [1, 2]}', "tokenizer.json": base, "adapter_config.json": adapter} | row
    write("model_folder", f"tokenizer-{i}", b"\0".join(row.get(name, "").encode() for name in files))
for name in ("models", "adapters"):
    for i, line in enumerate((golden / "formats" / f"{name}.jsonl").read_text().splitlines()):
        patch = json.loads(line)["config"]
        row = {"config.json": json.dumps(json.loads(config) | (patch if name == "models" else {})), "adapter_config.json": json.dumps(json.loads(adapter) | (patch if name == "adapters" else {}))}
        write("model_folder", f"{name}-{i}", b"\0".join(row.get(f, "").encode() for f in files))

CHATS = ["smollm2", "chatml", "qwen2", "qwen25", "qwen3", "llama3", "llama3.1", "harmony"]  # in the order of enum vt_chat
for i, line in enumerate((golden / "chat_formats.jsonl").read_text().splitlines()):
    case = json.loads(line)
    turns = b"".join(bytes([1 + ["system", "user", "assistant"].index(m["role"])]) + m["content"].encode() for m in case["messages"])
    if i % 3 == 0 and b"\0" not in turns:
        write("model_chat", str(i), bytes([8 * 8 + CHATS.index(case["chat"])]) + turns)

for path in sorted((root / "splits").glob("*.json")):
    write("store_split", path.name, path.read_bytes())
    write("base_json", path.name, path.read_bytes())
write("store_split", "small", b'{"level":"level_1","problem_ids":{"eval":[2],"train":[1]},"seed":1,"split_hash":"0"}')
write("base_json", "kinds", b' {"a":[1.5e3,-2,"x\\u00e9\\n\\ud83d\\ude00",{"b":null}],"c":true,"":false}\n')

line = '{"v":1,"t":"1763698000000000000","t_mono":"5","key":"%s","value":%s}\n'
write("store_journal", "three", (line % ("a", "1") + line % ("b", '{"x":[1,2]}') + line % ("a", '"again"')).encode())
write("store_journal", "torn", (line % ("a", "1") + line % ("b", "2")).encode()[:-9])
write("store_journal", "empty", b"")

tasks = subprocess.run(["lua5.4", str(root / "tests/lua/tasks_json.lua"), str(root / "lua/tasks/l1")], stdout=subprocess.PIPE, check=True)
for i, task in enumerate(tasks.stdout.splitlines()):
    if i % 4 == 0:
        write("eval_task", str(i), task)

for i, expression in enumerate(["n", "n*m + ceil_div(batch, 4)", "max(n, min(m, 3)) % 5", "((n))/2-1", "9223372036854775807 + 1", "n * (m", ""]):
    write("eval_expr", str(i), expression.encode())

BODY = "for (int i = 0; i < n; i++) y[i] = x[i] > 0 ? x[i] : 0; /* } */"
FUNCTION = "#include <math.h>\nvoid relu(const float *restrict x, float *restrict y, int n)\n{\n    " + BODY + "\n}\n"
for i, answer in enumerate([BODY, FUNCTION, f"```c\n{FUNCTION}```", f"Here it is:\n```c\n{BODY}\n```\nIt is \"fast\".",
                            f"<think>maybe ```c\nx\n```</think>\n~~~c\n{FUNCTION}\n~~~", "no code at all", "```c\n", "char c = '}'; char *s = \"}\";\n}"]):
    write("eval_extract", f"answer-{i}", b"\1" + answer.encode())
    write("eval_extract", f"file-{i}", b"\0" + answer.encode())

for i, words in enumerate([["--k", "8", "--top_p=0.9", "--no-copy", "a.lua"], ["--max-memory", "134M", "--shape", "x=n,m", "--shape=y=n", "--", "--json"],
                           ["--temperature", "1e-3", "--subset", "eval", "-h"], ["--tempreature=nan", "--k=9223372036854775807", "-3"]]):
    write("base_args", str(i), "\n".join(words).encode())

for i, request in enumerate(['{"id":12345678901234567890,"task":19,"code":"y[0] = 1;"}', '{"id":{"a":[1, 2.0]},"task":"relu","answer":"```c\\ny[0] = 1;\\n```"}',
                             '{"task":"a/b.lua","code":"x","protocol":"full","scale":"cpu","timing":false,"fresh":true}', '{"id":"\\"\\u00e9\\\\","task":2.5,"code":""}',
                             '{"code":"x","task":%s}' % tasks.stdout.splitlines()[18].decode(), '{ "id" : null , "code" : "x" , "task" : 1 , "code" : "y" }', '[]', '{"id":1']):
    write("farm_request", str(i), request.encode())

for i, reply in enumerate([b"+OK\r\n", b"-ERR no\r\n", b":-42\r\n", b"$-1\r\n", b"$4\r\nx\r\ny\r\n", b"*0\r\n",
                           b"*2\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\na\r\n$0\r\n\r\n*-1\r\n"]):
    write("net_resp", str(i), reply)

# Objects of a compiler, for each machine that it knows, and one image-like text.
UNIT = """float expf(float); static float zeros[20], set = 2; static float *const where[3] = {zeros, zeros + 1, &set};
static float (*const what[2])(float) = {expf, expf}; int exported = 3;
float f(int i) { switch (i) { case 0: return 1; case 1: return set++; case 2: return expf(2); case 3: return exported; case 4: return 9; }
return *where[i % 3] + what[i & 1](0) + zeros[i]; }"""
for machine, compiler in enumerate((["cc"], ["clang", "--target=aarch64-linux-gnu"])):
    for i, options in enumerate((["-O1", "-fPIC"], ["-O2", "-fPIC", "-fvisibility=hidden"], ["-O0", "-fPIC", "-g"])):
        source, made = out / "unit.c", out / "unit.o"
        source.write_text(UNIT if i != 1 else UNIT.replace("float f(", '__attribute__((visibility("default"))) float f('))
        try:
            subprocess.run([*compiler, *options, "-w", "-c", "-o", made, source], check=True, stderr=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError):
            continue  # a compiler that knows one machine only
        is_arm = machine == 1 or platform.machine() != "x86_64"
        write("eval_link", f"{machine}-{i}", bytes([is_arm, i]) + made.read_bytes())
        made.unlink()
    (out / "unit.c").unlink(missing_ok=True)
write("eval_link", "image", b"\0\0vtimage1" + bytes(40))

# Messages of the Tinker API, as google.protobuf writes them (two samples, a batch of two sequences, a request).
MESSAGES = {"sample": "0a160801120807000000080000001a08000000bf000080bf0a0c1204090000001a04000000c012080000c07f0000c0bf2001",
            "batch": "0a0f546f7263684c6f737352657475726e1242123e0a086c6f6770726f627312320a14000080bf000000c0000040c0000000bf000080be121800000000000000000c000000000000001400000000000000180118021a130a086c6f73733a73756d110000000000001440",
            "topk": "1a180a08000000000500000012080050c3c7000080bf18012002",
            "request": "0a016d10011a640a100a0e0a0c01000000020000000300000012300a0d7461726765745f746f6b656e73121f0a180200000000000000030000000000000004000000000000001802220103121e0a077765696768747312130a0c000000000000803f0000803f1801220103220d63726f73735f656e74726f7079"}
for kind in ("net_protobuf", "policy_tinker"):
    for name, message in MESSAGES.items():
        write(kind, name, bytes.fromhex(message))
write("policy_tinker", "samples.json", b'{"sequences":[{"stop_reason":"stop","tokens":[7,8],"logprobs":[-0.5,-1.0]}],"prompt_logprobs":[null,-2.5]}')
write("policy_tinker", "batch.json", b'{"loss_fn_outputs":[{"logprobs":{"data":[-1,-2,-3]}},{"logprobs":{"data":[-1,-2,-0.5]}}]}')
for i in range(8):
    write("net_secret", str(i), bytes([5, i]) + b'{"error":{"message":"Incorrect \\u0061 key %20 sk- &#47; given"}}')
