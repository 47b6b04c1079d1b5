/* SPDX-License-Identifier: Apache-2.0
 * The checker checks itself: an op of its own (plant.cl, plant.comp) with faults that are switched on one by one.
 *
 *     plants DEVICE [--class fat|simt] [--only NAME] [--run NAME]
 *
 * Without a fault the op must pass, with each it must fail, for the reason that the list gives. --only runs one
 * fault and fails unless it is caught; --run is the same for faults that another tool has to see, not the checker;
 * "none" is no fault.
 * PV_KERN_DIR must hold the kernels. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check/check.h"
#include "dev/dev_impl.h"
#include "ops/op.h"
#include "pv_config.h"

#include "plant.h"
#if PV_HAVE_VULKAN
#include "dev/vk/vk.h"
#endif

/* Faults outside the kernels. */
enum {
    FAULT_NO_GRADIENT = 100,    /* backward forgets the input */
    FAULT_NO_LAUNCH,            /* a launch is lost */
    FAULT_NO_CLEAR,             /* the pool hands out memory without clearing borders */
    FAULT_BARRIER_1,            /* a Vulkan barrier is lost: between an upload and a kernel */
    FAULT_BARRIER_2,            /* between two kernels */
    FAULT_REF_TAP,              /* the reference's gradient takes the wrong voxel */
    FAULT_REF_FACTOR,           /* the reference's gradient is a tenth of a percent too large */
};

enum where { ANYWHERE, OPENCL, VALIDATION, REFERENCE, TOOL };
static const struct plant { const char *name; int fault; enum where where; const char *text; } plants[] = {
    {"tap", FAULT_TAP, ANYWHERE, "result of 'y'"},
    {"border", FAULT_BORDER, ANYWHERE, "border or spare lanes of y"},
    {"lanes", FAULT_LANES, ANYWHERE, "border or spare lanes of y"},
    {"behind", FAULT_BEHIND, OPENCL, "wrote behind a buffer"},
    {"before", FAULT_BEFORE, OPENCL, "wrote in front of a buffer"},
    {"unwritten", FAULT_UNWRITTEN, ANYWHERE, "error inf"},
    {"input", FAULT_INPUT, ANYWHERE, "input 0 was changed"},
    {"accum", FAULT_ACCUM, ANYWHERE, "adding gradients, result of 'd(input 0)'"},
    {"add", FAULT_ADD, ANYWHERE, "result of 'd(input 0)': error inf"},
    {"gradient tap", FAULT_GRAD_TAP, ANYWHERE, "result of 'd(input 0)'"},
    {"no gradient", FAULT_NO_GRADIENT, ANYWHERE, "no gradient for input 0"},
    {"inexact", FAULT_INEXACT, ANYWHERE, "result of 'y'"},
    {"element", FAULT_ELEMENT, ANYWHERE, "result of 'y'"},
    {"bits", FAULT_BITS, ANYWHERE, "a second run gives other bits in 'y'"},
    {"launch", FAULT_NO_LAUNCH, ANYWHERE, "error inf"},
    {"clear", FAULT_NO_CLEAR, ANYWHERE, "border or spare lanes of"},
    {"barrier 1", FAULT_BARRIER_1, VALIDATION, "_AFTER_WRITE"},
    {"barrier 2", FAULT_BARRIER_2, VALIDATION, "_AFTER_WRITE"},
    {"reference tap", FAULT_REF_TAP, REFERENCE, "central difference"},
    {"reference factor", FAULT_REF_FACTOR, REFERENCE, "central difference"},
    {"race", FAULT_RACE, TOOL, ""},
    {"uninitialised", FAULT_UNINIT, TOOL, ""},
    {"bounds", FAULT_BOUNDS, TOOL, ""},
};

static int fault, runs, launches;

/* ---- the op ---- */

static const struct pv_kernel k_fwd = {"plant", "plant_fwd", "xx", sizeof(struct a_plant), {64, 1, 1}, NULL};
static const struct pv_kernel k_bwd = {"plant", "plant_bwd", "xx", sizeof(struct a_plant), {64, 1, 1}, NULL};
static const struct pv_kernel k_sum = {"plant", "plant_sum", "xx", sizeof(struct a_plant), {64, 1, 1}, NULL};

/* dst (+)= src[z] + 2 src[z + dir] on dense arrays */
static void reference(const double *src, double *dst, const struct pv_shape *h, int dir, double factor, bool accum)
{
    const int Z = h->s[2];
    for (int64_t i = 0; i < pv_shape_count(h); i++) {
        int64_t z = i % Z + dir;
        double v = factor * (src[i] + (z >= 0 && z < Z ? 2 * src[i + dir] : 0));
        dst[i] = accum ? dst[i] + v : v;
    }
}

static void run(const struct pv_kernel *k, pv_tensor *src, pv_tensor *dst, bool accum)
{
    const struct pv_shape *h = &src->h;
    struct a_plant a = {.n = h->n, .blocks = pv_blocks(h->c), .c = h->c, .x = h->s[0], .y = h->s[1], .z = h->s[2],
                        .bx = h->b[0], .by = h->b[1], .bz = h->b[2], .count = (int)pv_shape_stored(h),
                        .accum = accum, .fault = fault, .run = runs};
    struct pv_launch l = {.k = k, .args = &a};
    if (!pv_tensor_pin(src))
        return;
    pv_bind(&l, 0, src);
    pv_bind(&l, 1, dst);
    pv_run_items(src->dev, &l, k == &k_sum ? 1 : (uint64_t)(a.n * a.blocks * a.x * a.y * a.z));
    pv_tensor_unpin(src);
}

static void backward(pv_tape *t, struct pv_node *n)
{
    bool accum;
    pv_tensor *dy = pv_out_grad(n, 0), *dx = fault == FAULT_NO_GRADIENT ? NULL : pv_grad_slot(t, n->in[0], &accum);
    if (dx && pv_is_ref(dx))
        reference(pv_ref_data(dy), pv_ref_data(dx), &dx->h, fault == FAULT_REF_TAP ? 1 : -1,
                  fault == FAULT_REF_FACTOR ? 1.001 : 1, accum);
    else if (dx)
        run(&k_bwd, dy, dx, accum);
}

static pv_tensor *planted(pv_tape *t, pv_tensor *x)
{
    if (!x)
        return NULL;
    pv_ops_init();
    pv_tensor *y = pv_tensor_new(t->dev, x->h, PV_F32);
    if (y && pv_is_ref(x))
        reference(pv_ref_data(x), pv_ref_data(y), &x->h, 1, 1, false);
    else if (y)
        run(&k_fwd, x, y, false);
    if (y && pv_tape_wants(t, 1, &x))
        pv_tape_record(t, "planted", backward, 1, &x, 1, &y, NULL, 0);
    return y;
}

static pv_tensor *sum_of(pv_tape *t, pv_tensor *x)
{
    pv_tensor *y = x ? pv_tensor_new(t->dev, pv_flat(1), PV_F32) : NULL;
    if (y && pv_is_ref(x)) {
        double sum = 0;
        for (int64_t i = 0; i < pv_shape_count(&x->h); i++)
            sum += pv_ref_data(x)[i];
        *pv_ref_data(y) = sum;
    } else if (y) {
        run(&k_sum, x, y, false);
    }
    return y;
}

/* Leaves ones in memory that the next tensors of this shape will get. */
static void leave_ones(pv_tape *t, const struct pv_shape *h)
{
    const int n = pv_dev_is_ref(t->dev) ? (int)pv_shape_count(h) : (int)pv_shape_stored(h);
    float *one = pv_array(float, n);
    for (int i = 0; i < n; i++)
        one[i] = 1;
    pv_tensor *a = pv_tensor_new(t->dev, pv_flat(n), PV_F32), *b = pv_tensor_new(t->dev, pv_flat(n), PV_F32);
    if (a && b) {
        pv_tensor_write(a, one);
        pv_tensor_write(b, one);
    }
    pv_tensor_put(&a);
    pv_tensor_put(&b);
    pv_free(one);
}

static void body(struct pv_check *k)
{
    int s[3], dims = pv_ck_case(k) % 2 ? 2 : 3, n = pv_ck_int(k, 1, 3), c = pv_ck_int(k, 1, 15);
    pv_ck_sides(k, dims, 6, s);
    if (s[2] < 2)
        s[2] = 2;
    pv_tape *t = pv_ck_tape(k);
    const struct pv_shape h = pv_blocked(dims, n, c, s);
    leave_ones(t, &h);
    if (!pv_dev_is_ref(t->dev))
        runs++;
    pv_tensor *x = pv_ck_input(k, h, 0, 1, PV_CK_GRAD), *mid = pv_ck_keep(k, planted(t, x));
    pv_ck_output(k, "y", planted(t, mid), 0);
    pv_ck_output(k, "sum", sum_of(t, mid), PV_CK_NO_DY);
}

static const struct pv_check_op op = {"planted", body, 0, 1e-6, 1e-6, NULL};
static const struct pv_check_op *const ops[] = {&op, NULL};
static const struct pv_check_family families[] = {{"planted", ops}, {NULL, NULL}};

/* ---- faults of what lies below ---- */

static const struct pv_backend *true_backend;

static void lose_a_launch(pv_dev *dev, const struct pv_resolved *r)
{
    if (++launches % 5)
        true_backend->run(dev, r);
}

static void clear_nothing(pv_dev *dev, struct pv_mem *m, uint64_t off, uint64_t bytes, uint32_t word)
{
    if (word)                   /* guards and poison */
        true_backend->fill(dev, m, off, bytes, word);
}

#if PV_HAVE_VULKAN
/* Barriers wait for the command that they stand before; one before a dispatch is lost. The first barrier of a batch
 * stays. */
static PFN_vkCmdPipelineBarrier true_barrier;
static PFN_vkCmdDispatch true_dispatch;
static PFN_vkCmdCopyBuffer true_copy;
static PFN_vkCmdFillBuffer true_fill;
static PFN_vkBeginCommandBuffer true_begin;
static int before_dispatch;
static bool at_start, waiting;
static VkPipelineStageFlags stages[2];
static VkMemoryBarrier kept;

static VKAPI_ATTR VkResult VKAPI_CALL begin(VkCommandBuffer b, const VkCommandBufferBeginInfo *info)
{
    at_start = true;
    waiting = false;
    return true_begin(b, info);
}

static VKAPI_ATTR void VKAPI_CALL barrier(VkCommandBuffer b, VkPipelineStageFlags from, VkPipelineStageFlags to,
    VkDependencyFlags how, uint32_t n, const VkMemoryBarrier *m, uint32_t nb, const VkBufferMemoryBarrier *mb,
    uint32_t ni, const VkImageMemoryBarrier *mi)
{
    if (at_start)
        true_barrier(b, from, to, how, n, m, nb, mb, ni, mi);
    waiting = !at_start;
    at_start = false;
    stages[0] = from;
    stages[1] = to;
    kept = *m;
}

static void let_go(VkCommandBuffer b)
{
    if (waiting)
        true_barrier(b, stages[0], stages[1], 0, 1, &kept, 0, NULL, 0, NULL);
    waiting = false;
}

static VKAPI_ATTR void VKAPI_CALL dispatch(VkCommandBuffer b, uint32_t x, uint32_t y, uint32_t z)
{
    if (waiting && ++before_dispatch == (fault == FAULT_BARRIER_1 ? 1 : 2))
        waiting = false;
    let_go(b);
    true_dispatch(b, x, y, z);
}

static VKAPI_ATTR void VKAPI_CALL copy(VkCommandBuffer b, VkBuffer s, VkBuffer d, uint32_t n, const VkBufferCopy *r)
{
    let_go(b);
    true_copy(b, s, d, n, r);
}

static VKAPI_ATTR void VKAPI_CALL fill(VkCommandBuffer b, VkBuffer d, VkDeviceSize at, VkDeviceSize n, uint32_t word)
{
    let_go(b);
    true_fill(b, d, at, n, word);
}

static void hook_barriers(pv_dev *dev)
{
    struct vk_dev *d = dev->impl;
    true_barrier = d->vkCmdPipelineBarrier;
    true_dispatch = d->vkCmdDispatch;
    true_copy = d->vkCmdCopyBuffer;
    true_fill = d->vkCmdFillBuffer;
    true_begin = d->vkBeginCommandBuffer;
    d->vkCmdPipelineBarrier = barrier;
    d->vkCmdDispatch = dispatch;
    d->vkCmdCopyBuffer = copy;
    d->vkCmdFillBuffer = fill;
    d->vkBeginCommandBuffer = begin;
}
#else
static void hook_barriers(pv_dev *dev) { (void)dev; }
#endif

/* ---- running ---- */

struct options { const char *device, *cls, *only; bool tool; };

static struct pv_check_result check(const struct options *o, int with)
{
    static struct pv_backend hooked;
    /* guards and poison read back and so cut batches short: then few barriers are left to lose */
    const bool barriers_matter = with == FAULT_BARRIER_1 || with == FAULT_BARRIER_2;
    struct pv_dev_opts how = {.force_class = o->cls, .guard = !barriers_matter, .poison = !barriers_matter};
    pv_dev *dev = pv_dev_open(o->device, &how);
    if (!dev)
        exit(1);
    fault = with;
    runs = launches = 0;
    hooked = *(true_backend = dev->be);
    if (with == FAULT_NO_LAUNCH)
        hooked.run = lose_a_launch;
    if (with == FAULT_NO_CLEAR)
        hooked.fill = clear_nothing;
    if (barriers_matter)
        hook_barriers(dev);
    dev->be = &hooked;
    pv_fault_clear();
    const struct pv_check_opts how_many = {.families = families, .cases = 4, .only_case = -1, .seed = 5,
                                           .finite_differences = pv_dev_is_ref(dev)};
    struct pv_check_result r = pv_check_run(dev, &how_many);
    if (!pv_dev_finish(dev))
        r.failed += r.failed == 0;
    dev->be = true_backend;
    fault = FAULT_NONE;
    pv_dev_close(&dev);
    return r;
}

/* The log of the first failure of a run. */
static char first[1 << 16];

static void keep_errors(void *user, enum pv_log_level level, const char *line)
{
    if (level == PV_LOG_ERROR && strlen(first) + strlen(line) + 2 < sizeof first) {
        strcat(first, line);
        strcat(first, "\n");
    }
}

static bool applies(const struct options *o, const struct plant *p)
{
    if (o->only)
        return pv_streq(o->only, p->name);
    bool ref = pv_starts(o->device, "ref"), opencl = pv_starts(o->device, "opencl");
    return p->where == REFERENCE ? ref : !ref && (p->where == ANYWHERE || (p->where == OPENCL && opencl));
}

int main(int argc, char **argv)
{
    struct options o = {.device = argc > 1 ? argv[1] : NULL};
    for (int i = 2; i + 1 < argc; i += 2) {
        if (pv_streq(argv[i], "--class"))
            o.cls = argv[i + 1];
        if (pv_streq(argv[i], "--only") || pv_streq(argv[i], "--run"))
            o.only = argv[i + 1];
        o.tool = o.tool || pv_streq(argv[i], "--run");
    }
    if (!o.device)
        return 2;
    struct pv_check_result r = check(&o, FAULT_NONE);
    printf("%-18s %d passed, %d failed\n", "without a fault", r.passed, r.failed);
    int wrong = r.failed > 0 || r.passed != 4, tried = 0;
    pv_log_level_set(PV_LOG_ERROR);
    pv_log_sink(keep_errors, first);
    for (size_t i = 0; i < PV_COUNT(plants); i++) {
        const struct plant *p = &plants[i];
        if (!applies(&o, p))
            continue;
        first[0] = 0;
        r = check(&o, p->fault);
        bool caught = o.tool || (r.failed > 0 && strstr(first, p->text));
        printf("%-18s %s\n", p->name, o.tool ? "run" : caught ? "caught" : r.failed ? "caught for another reason" :
               "NOT CAUGHT");
        wrong += !caught;
        tried++;
    }
    pv_log_sink(NULL, first);
    if (tried == 0 && o.only && !pv_streq(o.only, "none"))
        printf("no fault is named '%s' here\n", o.only ? o.only : "");
    return wrong > 0 || (tried == 0 && !(o.only && pv_streq(o.only, "none")));
}
