#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Renders conversations with the original chat templates, most of them as shipped in the wheel of trl 1.16.0 (folder
trl/chat_templates), into chat_formats.jsonl, and lists the digests of all templates that render one format's goldens
to the byte in chat_templates.jsonl: those are the templates that engine/model/chat_known.c may name.

    pip download --no-deps trl==1.16.0 && unzip trl-*.whl 'trl/chat_templates/*'
    python tests/golden/make_chat.py trl/chat_templates tests/golden                            (jinja2 3.1)

Dates are fixed to those of engine/model/chat.c.
"""
import hashlib
import json
import pathlib
import sys

import jinja2

folder = pathlib.Path(sys.argv[1])


def fail(message):
    raise ValueError(message)


def environment(date):
    env = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    env.globals["raise_exception"] = fail
    env.globals["strftime_now"] = lambda fmt: date
    return env


U, A, S = "user", "assistant", "system"
conversations = [
    [(U, "Hello")],
    [(S, "Be brief."), (U, "Write a loop.\n")],
    [(S, ""), (U, "x")],
    [(U, "a"), (A, "b"), (U, "c")],
    [(S, "  spaced\t\n"), (U, "\u2003wide\u00a0"), (A, "\n\n  answer  \n"), (U, "  again  ")],
    [(U, "q"), (A, "the end")],
    [(U, "q"), (A, "<think>\nfirst idea\n</think>\n\nfour"), (U, "more"), (A, "<think>\n\nsecond\n\n</think>\n\nfive\n")],
    [(U, "q"), (A, "<think>kept?</think>dropped thinking"), (U, "r")],
    [(U, "q"), (A, "a </think> b </think>\nc"), (A, "twice")],
    [(A, "assistant first")],
    [(U, "<tool_response>x</tool_response>"), (A, "t")],
    [(U, "code:\n```c\nfor (;;) {}\n```"), (A, "```c\nreturn 0;\n```\n"), (U, "ünï 日本 🙂")],
]
late_system = [(U, "u"), (S, "late"), (A, "z"), (U, "v")]

LLAMA3 = {"bos_token": "<|begin_of_text|>"}
# Templates that are one line long, as their models' tokenizer_config.json has them; the wheel does not ship them.
SMOLLM2 = ("{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
           "DEFAULT<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
           "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
CHATML = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
          "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
ABSENT = "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}"
wheel = lambda name: (folder / name).read_text()
# format: its date, its settings, its templates; the first one makes the goldens, all must render them
cases = {
    "qwen25": ("", [{}], {"qwen2_5.jinja": wheel("qwen2_5.jinja")}),
    "chatml": ("", [{}], {"qwen3_instruct_2507.jinja": wheel("qwen3_instruct_2507.jinja"), "ChatML of the transformers manual": CHATML,
                          "ChatML of the transformers manual, absent prompt flag": ABSENT + CHATML}),
    "qwen3": ("", [{}, {"enable_thinking": False}], {"qwen3.jinja": wheel("qwen3.jinja")}),
    "llama3.1": ("26 Jul 2024", [{}], {"llama3_2.jinja": wheel("llama3_2.jinja"), "llama3_1.jinja": wheel("llama3_1.jinja")}),
    "harmony": ("2025-08-05", [{}, {"reasoning_effort": "low"}, {"reasoning_effort": "high"}], {"gptoss.jinja": wheel("gptoss.jinja")}),
    "llama3": ("", [{}], {"llama3.jinja": wheel("llama3.jinja")}),
    "qwen2": ("", [{}], {"Qwen2-Instruct": SMOLLM2.replace("DEFAULT", "You are a helpful assistant.")}),
    "smollm2": ("", [{}], {"SmolLM2-Instruct": SMOLLM2.replace("DEFAULT", "You are a helpful AI assistant named SmolLM, trained by Hugging Face")}),
}


def conversations_of(chat):
    return conversations + ([] if chat == "harmony" else [late_system])


with open(sys.argv[2] + "/chat_formats.jsonl", "w") as goldens, open(sys.argv[2] + "/chat_templates.jsonl", "w") as known:
    for chat, (date, settings, templates) in cases.items():
        first = None
        for name, text in templates.items():
            template = environment(date).from_string(text)
            rows = []
            for conversation in conversations_of(chat):
                messages = [{"role": r, "content": c} for r, c in conversation]
                for setting in settings:
                    reasoning = setting.get("reasoning_effort", "off" if "enable_thinking" in setting else None)
                    for generation in (False, True):
                        rendered = template.render(messages=messages, add_generation_prompt=generation, **LLAMA3, **setting)
                        rows.append({"chat": chat, "messages": messages, "generation_prompt": generation, "reasoning": reasoning, "rendered": rendered})
            first = first or rows
            assert rows == first, name
            digest = hashlib.sha256(text.removesuffix("\n").encode()).hexdigest()  # jinja drops one newline at the end
            known.write(json.dumps({"chat": chat, "template": name, "sha256": digest}) + "\n")
        for row in first if chat != "smollm2" else []:  # smollm2: chat_template.jsonl
            goldens.write(json.dumps(row) + "\n")
