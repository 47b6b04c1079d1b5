// SPDX-License-Identifier: Apache-2.0
// Compiled when the build is set up: does glslc know cooperative matrices?
#version 450
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_cooperative_matrix : require

layout(local_size_x = 32) in;
shared float16_t x[256];

void main()
{
    coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseA> a;
    coopMatLoad(a, x, 0, 16, gl_CooperativeMatrixLayoutRowMajor);
    coopMatStore(a, x, 0, 16, gl_CooperativeMatrixLayoutRowMajor);
}
