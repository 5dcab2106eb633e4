#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""embed_image.py SYMBOL IMAGE OUT: writes OUT, a C file that makes the bytes of IMAGE the array SYMBOL.

The assembler reads the image itself (.incbin): a device image has megabytes, which as numbers would take the C
compiler longer than nvcc took to make them.
"""
import pathlib
import sys

symbol, image, out = sys.argv[1], pathlib.Path(sys.argv[2]).resolve(), sys.argv[3]
quoted = str(image).replace("\\", "\\\\").replace('"', '\\"')
with open(out, "w") as f:
    f.write(f"/* {symbol}: {image.name}, {image.stat().st_size} bytes */\n")
    f.write(f"extern const unsigned char {symbol}[];\n__asm__(\n")
    for line in (".section .rodata", f".global {symbol}", f".hidden {symbol}", ".balign 64", f"{symbol}:"):
        f.write(f'    "{line}\\n"\n')
    f.write('    ".incbin \\"' + quoted.replace("\\", "\\\\").replace('"', '\\"') + '\\"\\n"\n')
    f.write('    ".byte 0\\n"\n    ".previous\\n");\n')
