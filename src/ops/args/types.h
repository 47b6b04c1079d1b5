/* SPDX-License-Identifier: Apache-2.0
 * Types of kernel arguments, the same bytes in C, OpenCL C and GLSL (push constants): 4-byte members only,
 * at most 128 bytes. Every argument struct starts with `off`: the first element of each buffer's content
 * behind its binding, filled in by the device layer. */
#ifndef ARGS_TYPES_H
#define ARGS_TYPES_H

#if defined(PV_GLSL)
#define KU32 uint
#define KI32 int
#define KF32 float
#elif defined(__OPENCL_VERSION__)
#define KU32 uint
#define KI32 int
#define KF32 float
#else
#include <stdint.h>
#define KU32 uint32_t
#define KI32 int32_t
#define KF32 float
#endif

#endif
