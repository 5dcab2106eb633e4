/* SPDX-License-Identifier: Apache-2.0
 *
 * image.c: stands for the device code, which the driver's double does not read: its kernels are compiled in.
 */
extern const unsigned char vt_cuda_image[];
const unsigned char vt_cuda_image[1] = {0};
