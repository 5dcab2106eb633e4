#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""embed.py SYMBOL FOLDER OUT SUFFIX: writes FOLDER/**/*.SUFFIX as a C table `const struct vt_embedded SYMBOL[]`.

Each row is {name relative to FOLDER, bytes, length}; the last row is all zeros. Bytes are written as
numbers, so no quoting rule of C or of Lua can ever meet the text.
"""
import pathlib
import sys

symbol, folder, out, suffix = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3], sys.argv[4]
files = sorted(folder.rglob("*." + suffix))
with open(out, "w") as f:
    f.write('#include "base/embedded.h"\n')
    for i, path in enumerate(files):
        data = path.read_bytes()
        f.write(f"static const unsigned char t{i}[] = {{")
        f.write(",".join(str(b) for b in data) + ",0};\n")
    f.write(f"extern const struct vt_embedded {symbol}[];\nconst struct vt_embedded {symbol}[] = {{\n")
    for i, path in enumerate(files):
        f.write(f'    {{"{path.relative_to(folder)}", (const char *)t{i}, sizeof t{i} - 1}},\n')
    f.write("    {0, 0, 0}};\n")
