/* SPDX-License-Identifier: Apache-2.0
 * CUDA kernels on the processor, for tests without a GPU: included in front of a .cu file that C++ compiles. The
 * work-items of a block are fibers that take turns at __syncthreads(). */
#ifndef CUDA_EMULATE_H
#define CUDA_EMULATE_H

#include <cmath>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <functional>

#undef __shared__
#define __shared__ static
#define threadIdx emulated_thread
#define blockIdx emulated_block
#define gridDim emulated_grid
#define __syncthreads() emulated_sync()
#define THREADS 16
#define K_BLOCKS 16
#define LAUNCH(kernel, blocks, ...) emulated_launch((unsigned)(blocks), [&] { kernel(__VA_ARGS__); })

extern dim3 emulated_thread, emulated_block, emulated_grid;
void emulated_sync();
void emulated_launch(unsigned blocks, const std::function<void()> &kernel);

#endif
