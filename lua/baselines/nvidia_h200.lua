-- SPDX-License-Identifier: Apache-2.0
--
-- PyTorch eager on an NVIDIA H200: `vegttt baseline`, torch 2.11.0+cu130, TF32 off; the evaluation tasks. A row counts where
-- the task's sizes are these (vegttt/baselines.lua).
local machine, torch = "NVIDIA H200", "2.11.0+cu130"
local rows = {
  { task = 4, sizes = "k=524288 m=128", us = 85.82 }, -- matvec, search
  { task = 4, sizes = "k=1048576 m=2048", us = 2365.6 }, -- matvec, full
  { task = 5, sizes = "n=25165824", us = 51.49 }, -- scale_matrix, search
  { task = 5, sizes = "n=1073741824", us = 2026.24 }, -- scale_matrix, full
  { task = 12, sizes = "m=4096 n=512", us = 56.74 }, -- diag_matmul, search
  { task = 12, sizes = "m=4096 n=4096", us = 2789.09 }, -- diag_matmul, full
  { task = 14, sizes = "n=1024", us = 68.74 }, -- upper_matmul, search
  { task = 14, sizes = "n=4096", us = 2771.94 }, -- upper_matmul, full
  { task = 15, sizes = "n=1024", us = 68.61 }, -- lower_matmul, search
  { task = 15, sizes = "n=4096", us = 2776.64 }, -- lower_matmul, full
  { task = 18, sizes = "k=512 m=512 n=1024", us = 24.1 }, -- matmul_at_bt, search
  { task = 18, sizes = "k=8192 m=2048 n=4096", us = 2834.3 }, -- matmul_at_bt, full
  { task = 28, sizes = "n=25165824", us = 51.81 }, -- hard_sigmoid, search
  { task = 28, sizes = "n=1610612736", us = 3042.75 }, -- hard_sigmoid, full
  { task = 29, sizes = "n=25165824", us = 57.54 }, -- softplus, search
  { task = 29, sizes = "n=1610612736", us = 3280.54 }, -- softplus, full
  { task = 30, sizes = "n=25165824", us = 175.9 }, -- softsign, search
  { task = 30, sizes = "n=1610612736", us = 10557.54 }, -- softsign, full
  { task = 32, sizes = "n=25165824", us = 51.58 }, -- hardtanh, search
  { task = 32, sizes = "n=1610612736", us = 3058.02 }, -- hardtanh, full
  { task = 36, sizes = "c=64 n=2 s=262144", us = 222.37 }, -- rms_norm, search
  { task = 36, sizes = "c=64 n=112 s=262144", us = 11435.23 }, -- rms_norm, full
  { task = 55, sizes = "ci=64 co=128 h=128 n=1 w=256", us = 122.85 }, -- conv2d_k3, search
  { task = 55, sizes = "ci=64 co=128 h=512 n=8 w=1024", us = 14519.42 }, -- conv2d_k3, full
  { task = 65, sizes = "ci=64 co=64 h=128 n=1 w=128", us = 427.71 }, -- conv2d_transposed_k3x7, search
  { task = 65, sizes = "ci=64 co=64 h=512 n=8 w=512", us = 8070.37 }, -- conv2d_transposed_k3x7, full
  { task = 70, sizes = "ci=48 co=24 d=32 h=32 n=1 w=32", us = 216.16 }, -- conv3d_transposed_k3_wide, search
  { task = 70, sizes = "ci=48 co=24 d=96 h=96 n=8 w=96", us = 38938.43 }, -- conv3d_transposed_k3_wide, full
  { task = 76, sizes = "ci=64 co=128 l=65538 n=2", us = 94.56 }, -- conv1d_dilated_s3, search
  { task = 76, sizes = "ci=64 co=128 l=524280 n=64", us = 14657.25 }, -- conv1d_dilated_s3, full
  { task = 82, sizes = "c=64 h=512 n=2 w=512", us = 322.53 }, -- depthwise_conv2d_k3, search
  { task = 82, sizes = "c=64 h=512 n=16 w=512", us = 2499.84 }, -- depthwise_conv2d_k3, full
  { task = 87, sizes = "ci=64 co=128 h=256 n=1 w=256", us = 63.33 }, -- pointwise_conv2d, search
  { task = 87, sizes = "ci=64 co=128 h=1024 n=16 w=1024", us = 9609.47 }, -- pointwise_conv2d, full
  { task = 89, sizes = "m=32768 n=512", us = 204.42 }, -- cumsum, search
  { task = 89, sizes = "m=32768 n=32768", us = 4485.92 }, -- cumsum, full
  { task = 95, sizes = "m=4096 n=16384", us = 211.1 }, -- cross_entropy, search
  { task = 95, sizes = "m=4096 n=32768", us = 410.98 }, -- cross_entropy, full
  { task = 98, sizes = "m=16384 n=2048", us = 373.18 }, -- kl_div, search
  { task = 98, sizes = "m=16384 n=16384", us = 2747.65 }, -- kl_div, full
}
for _, row in ipairs(rows) do row.machine, row.torch, row.tf32 = machine, torch, false end
return rows
