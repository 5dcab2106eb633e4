#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""convert_gguf.py IN.gguf OUT.gguf BF16|F32|F16: the same model with every quantised tensor stored as plain floats.

llama.cpp is measured on its best format; the values are those of the quantised file, so all formats answer alike.
Needs: pip install gguf numpy.
"""
import sys

import gguf
import numpy as np

source, target, kind = sys.argv[1:4]
reader = gguf.GGUFReader(source)
dtype = {"BF16": gguf.GGMLQuantizationType.BF16, "F32": gguf.GGMLQuantizationType.F32, "F16": gguf.GGMLQuantizationType.F16}[kind]
writer = gguf.GGUFWriter(target, "llama")
for field in reader.fields.values():
    if field.name.startswith("GGUF.") or field.name in ("general.architecture", "general.file_type"):
        continue
    value_type = field.types[0]
    sub_type = field.types[-1] if value_type == gguf.GGUFValueType.ARRAY else None
    writer.add_key_value(field.name, field.contents(), value_type, sub_type=sub_type)
for tensor in reader.tensors:
    values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
    if values.ndim == 1:
        writer.add_tensor(tensor.name, values)
    else:
        writer.add_tensor(tensor.name, gguf.quants.quantize(values, dtype), raw_dtype=dtype)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
