// SPDX-License-Identifier: Apache-2.0
// Over the a.c channels of buffer z, a.cs elements apart, from element `at`.
float chan_max(int at)
{
    float mx = z[at];
    for (int k = 1; k < a.c; k++)
        mx = max(mx, z[at + k * a.cs]);
    return mx;
}

// sum_k exp(z_k - mx)
float chan_exp(int at, float mx)
{
    float sum = 0.0;
    for (int k = 0; k < a.c; k++)
        sum += exp(z[at + k * a.cs] - mx);
    return sum;
}
