#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Renders conversations with the original chat templates of Qwen2.5, Qwen3, Llama 3.2 and gpt-oss, as shipped in the
wheel of trl 1.16.0 (folder trl/chat_templates), into chat_formats.jsonl.

    pip download --no-deps trl==1.16.0 && unzip trl-*.whl 'trl/chat_templates/*'
    python tests/golden/make_chat.py trl/chat_templates > tests/golden/chat_formats.jsonl      (jinja2 3.1)

Dates are fixed to those of engine/model/chat.c.
"""
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

cases = [
    ("qwen25", "qwen2_5.jinja", "", [{}]),
    ("chatml", "qwen3_instruct_2507.jinja", "", [{}]),
    ("qwen3", "qwen3.jinja", "", [{}, {"enable_thinking": False}]),
    ("llama3", "llama3_2.jinja", "26 Jul 2024", [{}]),
    ("harmony", "gptoss.jinja", "2025-08-05", [{}, {"reasoning_effort": "low"}, {"reasoning_effort": "high"}]),
]
for chat, name, date, settings in cases:
    template = environment(date).from_string((folder / name).read_text())
    extra = [] if chat == "harmony" else [late_system]
    for conversation in conversations + extra:
        messages = [{"role": r, "content": c} for r, c in conversation]
        for setting in settings:
            reasoning = setting.get("reasoning_effort", "off" if "enable_thinking" in setting else None)
            for generation in (False, True):
                text = template.render(messages=messages, add_generation_prompt=generation, bos_token="<|begin_of_text|>", **setting)
                print(json.dumps({"chat": chat, "messages": messages, "generation_prompt": generation, "reasoning": reasoning, "rendered": text}))
