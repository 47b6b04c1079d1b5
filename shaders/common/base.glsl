// SPDX-License-Identifier: Apache-2.0
// Shared by all compute shaders. A file holds several entry points, each compiled with -DENTRY_<name>.
#ifndef COMMON_BASE_GLSL
#define COMMON_BASE_GLSL
#extension GL_GOOGLE_include_directive : require
#ifdef PV_SUBGROUP      // common/group.glsl
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#endif
#define PV_GLSL 1
#include "ops/args/types.h"

// Buffers in binding order; the suffix is the element: float, vec4 (four floats, offsets / 4) or int.
#define BUF_R(i, name) layout(std430, set = 0, binding = i) readonly buffer Buf##i { float name[]; };
#define BUF_W(i, name) layout(std430, set = 0, binding = i) writeonly buffer Buf##i { float name[]; };
#define BUF_X(i, name) layout(std430, set = 0, binding = i) buffer Buf##i { float name[]; };
#define BUF_R4(i, name) layout(std430, set = 0, binding = i) readonly buffer Buf##i { vec4 name[]; };
#define BUF_W4(i, name) layout(std430, set = 0, binding = i) writeonly buffer Buf##i { vec4 name[]; };
#define BUF_X4(i, name) layout(std430, set = 0, binding = i) buffer Buf##i { vec4 name[]; };
#define BUF_RI(i, name) layout(std430, set = 0, binding = i) readonly buffer Buf##i { int name[]; };
#define BUF_WI(i, name) layout(std430, set = 0, binding = i) writeonly buffer Buf##i { int name[]; };
#define BUF_XI(i, name) layout(std430, set = 0, binding = i) buffer Buf##i { int name[]; };

#define ARGS(T) layout(push_constant) uniform Push { T a; };
#define WG64 layout(local_size_x = 64) in;
#define WG256 layout(local_size_x = 256) in;

// Work-groups of one-dimensional kernels may be spread over x and y (pv_groups).
#define GROUP() int(gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x)
#define LOCAL() int(gl_LocalInvocationID.x)
#define OFF(i) int(a.off[i])
#define OFF4(i) int(a.off[i] / 4u)

#endif
