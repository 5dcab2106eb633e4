#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/tokenizers/: byte-level BPE tokenizers trained on a few lines of text, with the pre-tokenizers of
Qwen, Llama 3 and gpt-oss as their published tokenizer.json files spell them, and the ids of test strings.

    python tests/golden/make_tokenizers.py tests/golden/tokenizers       (tokenizers 0.23.3)

NAME.json is a tokenizer.json; NAME.jsonl has lines {text, plain, special}: ids with control tokens as ordinary text,
and with control tokens matched. (The library always matches them, so "plain" comes from a copy without them.)
llama3.json spells its merges "a b", the others ["a", "b"].
"""
import json
import pathlib
import sys
import unicodedata

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

out = pathlib.Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
Q = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
O = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])
corpus = ["for (int i = 0; i < n; i++) {\n    sum += x[i] * y[i];\n}\n", "the quick brown fox, the lazy dog; there then this that",
          "void relu(const float *restrict x, float *restrict y, int n)", "123 1234 12345 2024 3.14159", "It's we've they'll I'M DON'T",
          "déjà vu naïve Ångström Привет мир 日本語 한국어 안녕하세요", "#include <stdio.h>\n\n\nreturn 0;\n", "\t\tif (a)\r\n\t\t\treturn;\r\n"]
texts = corpus + [
    "", " ", "  ", "   x", "x   ", "\n", "\r\n\r\n", " \n ", "\t \n\n x", "a\u00a0b\u2003c\u3000d", "\u180ea \u180e", "1", "12", "123", "1234", "12345678",
    "①②③ ½ Ⅷ ٣٤٥", "I'LL I'll i'Ll it'\u017f 'S's", "HelloWorld HELLOworld helloWORLD ABCdef's", "ǅungla ʰaʱ ªº", "foo/bar//baz/\n/\n", "...!!!\n\n??",
    "e\u0301 é A\u030a Å \u212b \u1e9b\u0323 \u1e0a\u0323 D\u0323\u0307", "\u1100\u1161\u11a8 각 가\u11a8 \u1100\u1161", "\u0344 \u0958 \u2126 \ufb1d \U0001d15e",
    "a\u0315\u0300\u05ae\u0300\u0062 q\u0323\u0307\u0301", "नमस्ते ภาษาไทย עברית العربية", "👍🏽 👨‍👩‍👧‍👦 🇫🇷", "<|im_start|>user\nhi<|im_end|>", "<|im_start|", "a<|im_end|><|im_end|>b",
    "<tool_call>x</tool_call> <tool_call", "x<|im_end|>e\u0301<|im_start|>\u0301", " <|im_end|> ", "\x00\x01\x7f", "\u0085\u2028\u2029 x", "_a_b__c", "日本 語。\n「x」",
    "'t't 'T", "\u0301\u0301", "A\u0300\u0301\u0302\u0327", "\uac00\u11a7\u11a8", "x" * 70, "ab" * 40, " " * 33 + "x", "-" * 40, "\n" * 20, "the" * 30]


def build(name, pre, nfc, ignore_merges, bos):
    t = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if nfc:
        t.normalizer = normalizers.NFC()
    t.pre_tokenizer = pre
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=380, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    plain = Tokenizer.from_str(t.to_str())
    added = [AddedToken("<tool_call>", special=False, normalized=False), AddedToken("</tool_call>", special=False, normalized=False)]
    control = [AddedToken(x, special=True, normalized=False) for x in ("<|im_start|>", "<|im_end|>", "<|begin|>")]
    for token in control:
        plain.add_tokens([AddedToken("\U0010fffe" + token.content, normalized=False)])  # keeps the ids that follow equal
    plain.add_tokens(added)
    t.add_special_tokens(control)
    t.add_tokens(added)
    if bos:
        t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
            single="<|begin|> $A", pair="<|begin|> $A <|begin|> $B", special_tokens=[("<|begin|>", t.token_to_id("<|begin|>"))])])
    j = json.loads(t.to_str())
    if name == "llama3":
        j["model"]["merges"] = [m if isinstance(m, str) else " ".join(m) for m in j["model"]["merges"]]
    (out / f"{name}.json").write_text(json.dumps(j, ensure_ascii=False) + "\n")
    with open(out / f"{name}.jsonl", "w") as f:
        for text in texts:
            f.write(json.dumps({"text": text, "plain": plain.encode(text, add_special_tokens=False).ids,
                                "special": t.encode(text, add_special_tokens=False).ids}) + "\n")


def regex(pattern):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


build("qwen", regex(Q % r"\p{N}"), True, False, False)
build("llama3", regex(Q % r"\p{N}{1,3}"), False, True, True)
build("gptoss", regex(O), False, False, False)
with open(out / "nfc.jsonl", "w") as f:
    for cp in list(range(0xc0, 0x250, 7)) + list(range(0x300, 0x3400, 5)) + list(range(0xac00, 0xd7a4, 97)) + list(range(0xf900, 0xfb50, 3)) + list(range(0x1d150, 0x1d1d0)) + [0x2f800, 0x2fa1d]:
        for text in (chr(cp), "a" + chr(cp) + "\u0301\u0323", "\u0307" + chr(cp), "\u1100" + chr(cp) + "\u11c2"):
            normal = unicodedata.normalize("NFC", text)
            if normal != text:
                f.write(json.dumps([text, normal]) + "\n")
