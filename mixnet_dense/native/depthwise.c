/* Depthwise convolutions of channel groups with a kernel size each, and their gradients, on
   float32 maps in channels_last. A task is an image, LANES channels and a strip of rows: the
   input it needs is copied, with the border of zeros, to where a pixel is one vector, and
   every tap is an offset from there. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LANES 16
#define SCRATCH (96 * 1024) /* vectors' floats of a strip: stays in the second cache */

typedef int64_t i64;
typedef float vec __attribute__((vector_size(4 * LANES), aligned(4)));

/* One group: channels first to first + width; symmetric or other borders. */
struct group {
    i64 first, width, kernel, dilation, top, left;
    float *weight; /* (width, kernel, kernel), values or gradient */
};

/* Sizes of input and output maps. */
struct maps {
    i64 images, channels, height, width, out_height, out_width, stride;
};

/* A window on one map: rows and columns from (top, left), which may be outside, for channels
   first to first + lanes. */
struct window {
    i64 top, left, height, width, first, lanes;
};

/* Copy a window of an image (height, width, channels) to vectors; zeros outside. */
static void load(const float *image, i64 height, i64 width, i64 channels,
                 const struct window *at, vec *to)
{
    for (i64 row = 0; row < at->height; row++, to += at->width) {
        const i64 y = at->top + row;
        if (y < 0 || y >= height) {
            memset(to, 0, at->width * sizeof(vec));
            continue;
        }
        const i64 before = at->left < 0 ? -at->left : 0;
        i64 end = width - at->left;
        if (end > at->width) end = at->width;
        if (end < before) end = before;
        memset(to, 0, before * sizeof(vec));
        const float *from = image + (y * width + at->left + before) * channels + at->first;
        if (at->lanes == LANES)
            for (i64 x = before; x < end; x++, from += channels) to[x] = *(const vec *)from;
        else
            for (i64 x = before; x < end; x++, from += channels) {
                to[x] = (vec){0};
                memcpy(&to[x], from, at->lanes * sizeof(float));
            }
        memset(to + end, 0, (at->width - end) * sizeof(vec));
    }
}

/* out[p] = sum over taps of in[p * step + offset[tap]] * weight[tap], for count pixels. */
static inline __attribute__((always_inline)) void
gather_some(const int count, const vec *in, i64 step, const i64 *offset, const vec *weight,
            i64 taps, float *out, i64 apart, i64 lanes)
{
    vec sum[8];
    for (int p = 0; p < count; p++) sum[p] = (vec){0};
    for (i64 tap = 0; tap < taps; tap++) {
        const vec w = weight[tap];
        const vec *from = in + offset[tap];
        for (int p = 0; p < count; p++) sum[p] += from[p * step] * w;
    }
    if (lanes == LANES)
        for (int p = 0; p < count; p++) *(vec *)(out + p * apart) = sum[p];
    else
        for (int p = 0; p < count; p++) memcpy(out + p * apart, &sum[p], lanes * sizeof(float));
}

static void gather(const vec *in, i64 step, const i64 *offset, const vec *weight, i64 taps,
                   float *out, i64 apart, i64 lanes, i64 pixels)
{
    i64 p = 0;
#define SOME(COUNT)                                                                              \
    for (; p + COUNT <= pixels; p += COUNT)                                                      \
        gather_some(COUNT, in + p * step, step, offset, weight, taps, out + p * apart, apart,    \
                    lanes);
    SOME(8) SOME(4) SOME(2) SOME(1)
#undef SOME
}

/* sum[tap] += sum over pixels of in[p * step + offset[tap]] * upper[p]. */
static inline __attribute__((always_inline)) void
correlate_some(const int taps, const vec *in, i64 step, const i64 *offset, const vec *upper,
               i64 rows, i64 pixels, i64 in_row, vec *sum)
{
    vec part[11];
    for (int tap = 0; tap < taps; tap++) part[tap] = (vec){0};
    for (i64 row = 0; row < rows; row++, in += in_row, upper += pixels)
        for (i64 p = 0; p < pixels; p++) {
            const vec above = upper[p];
            for (int tap = 0; tap < taps; tap++) part[tap] += in[p * step + offset[tap]] * above;
        }
    for (int tap = 0; tap < taps; tap++) sum[tap] += part[tap];
}

static void correlate(const vec *in, i64 step, const i64 *offset, const vec *upper, i64 taps,
                      i64 rows, i64 pixels, i64 in_row, vec *sum)
{
    i64 tap = 0;
#define SOME(COUNT)                                                                              \
    for (; tap + COUNT <= taps; tap += COUNT)                                                    \
        correlate_some(COUNT, in, step, offset + tap, upper, rows, pixels, in_row, sum + tap);
    if (taps % 11 == 0) { SOME(11) }
    if (taps % 7 == 0) { SOME(7) }
    SOME(9) SOME(5) SOME(1)
#undef SOME
}

/* Lanes of a group's weights as (kernel * kernel) vectors. */
static void load_weight(const struct group *of, i64 first, i64 lanes, vec *to)
{
    const i64 taps = of->kernel * of->kernel;
    float *values = (float *)to;
    memset(to, 0, taps * sizeof(vec));
    for (i64 lane = 0; lane < lanes; lane++)
        for (i64 tap = 0; tap < taps; tap++)
            values[tap * LANES + lane] = of->weight[(first - of->first + lane) * taps + tap];
}

/* A task's channels: the last of a group may overlap those before, and computes them again. */
struct lanes { i64 group, first, lanes; };

static i64 split(const struct group *groups, i64 count, struct lanes *to)
{
    i64 found = 0;
    for (i64 g = 0; g < count; g++)
        for (i64 c = 0; c < groups[g].width; c += LANES, found++) {
            if (!to) continue;
            const i64 left = groups[g].width - c;
            const i64 back = left < LANES && groups[g].width >= LANES ? LANES - left : 0;
            to[found] = (struct lanes){g, groups[g].first + c - back,
                                       left < LANES && !back ? left : LANES};
        }
    return found;
}

static i64 largest(const struct group *groups, i64 count)
{
    i64 found = 0;
    for (i64 g = 0; g < count; g++)
        if (groups[g].kernel > found) found = groups[g].kernel;
    return found;
}

static i64 least(i64 a, i64 b) { return a < b ? a : b; }

/* Output rows of a strip whose input has row_vectors vectors a row and halo rows more. */
static i64 strip_rows(i64 rows, i64 row_vectors, i64 step, i64 halo)
{
    const i64 fit = (SCRATCH / LANES / row_vectors - halo) / step;
    return fit < 1 ? 1 : least(fit, rows);
}

static void *room(i64 vectors)
{
    void *found = NULL;
    return posix_memalign(&found, 64, vectors * sizeof(vec)) ? NULL : found;
}

/* What a thread works with. */
struct bench {
    vec *weight, *strip, *upper;
    i64 *offset, strip_room, upper_room;
};

static int set_up(struct bench *b, i64 kernel)
{
    *b = (struct bench){.weight = room(kernel * kernel),
                        .offset = malloc(kernel * kernel * sizeof(i64))};
    return !b->weight || !b->offset;
}

static void clear_up(struct bench *b)
{
    free(b->weight); free(b->offset); free(b->strip); free(b->upper);
}

static int make_room(vec **at, i64 *had, i64 needed)
{
    if (needed <= *had) return 0;
    free(*at);
    *at = room(*had = needed);
    return !*at;
}

/* Input columns or rows that count outputs are computed from. */
static i64 reach(i64 count, i64 stride, const struct group *g)
{
    return (count - 1) * stride + (g->kernel - 1) * g->dilation + 1;
}

static void input_offsets(const struct group *g, i64 across, i64 *offset)
{
    for (i64 t = 0; t < g->kernel * g->kernel; t++)
        offset[t] = (t / g->kernel * across + t % g->kernel) * g->dilation;
}

/* Put what output rows from start on need of an image into the bench's strip. */
static void load_input(const float *image, const struct maps *m, const struct group *g,
                       const struct lanes *on, i64 start, i64 rows, i64 across, vec *strip)
{
    const struct window at = {start * m->stride - g->top, -g->left, reach(rows, m->stride, g),
                              across, on->first, on->lanes};
    load(image, m->height, m->width, m->channels, &at, strip);
}

static int forward_task(const float *image, float *out, const struct maps *m,
                        const struct group *g, const struct lanes *on, struct bench *b)
{
    const i64 across = reach(m->out_width, m->stride, g);
    const i64 rows = strip_rows(m->out_height, across, m->stride, reach(1, 1, g));
    if (make_room(&b->strip, &b->strip_room, reach(rows, m->stride, g) * across)) return 1;
    load_weight(g, on->first, on->lanes, b->weight);
    input_offsets(g, across, b->offset);
    for (i64 y = 0; y < m->out_height; y++) {
        if (y % rows == 0)
            load_input(image, m, g, on, y, least(rows, m->out_height - y), across, b->strip);
        gather(b->strip + y % rows * m->stride * across, m->stride, b->offset, b->weight,
               g->kernel * g->kernel, out + y * m->out_width * m->channels + on->first,
               m->channels, on->lanes, m->out_width);
    }
    return 0;
}

/* Division that rounds down, also below zero; by a positive number. */
static i64 floored(i64 a, i64 b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

/* An input pixel s * i + phase gets taps k with (phase + border - k * dilation) divisible by
   the stride s, from output i + that / s: for each phase a convolution of its own. */
static i64 backward_task(const float *upper, float *out, const struct maps *m,
                         const struct group *g, const struct lanes *on, struct bench *b)
{
    const i64 s = m->stride, k = g->kernel, last = (k - 1) * g->dilation;
    const i64 above = floored(g->top - last, s), before = floored(g->left - last, s);
    const i64 halo = (s - 1 + g->top) / s - above;
    const i64 steps = (m->height + s - 1) / s;
    const i64 across = (m->width + s - 1) / s + (s - 1 + g->left) / s - before;
    const i64 rows = strip_rows(steps, across, 1, halo);
    if (make_room(&b->strip, &b->strip_room, (rows + halo) * across) ||
        make_room(&b->upper, &b->upper_room, k * k))
        return 1;
    load_weight(g, on->first, on->lanes, b->weight);
    for (i64 start = 0; start < steps; start += rows) {
        const i64 high = least(rows, steps - start);
        const struct window at = {start + above, before, high + halo, across, on->first,
                                  on->lanes};
        load(upper, m->out_height, m->out_width, m->channels, &at, b->strip);
        for (i64 phase = 0; phase < s * s; phase++) {
            const i64 py = phase / s, px = phase % s;
            i64 taps = 0;
            for (i64 t = 0; t < k * k; t++) {
                const i64 down = py + g->top - t / k * g->dilation;
                const i64 along = px + g->left - t % k * g->dilation;
                if (down % s || along % s) continue;
                b->offset[taps] = (floored(down, s) - above) * across + floored(along, s) - before;
                b->upper[taps++] = b->weight[t];
            }
            for (i64 row = 0; row < high; row++) {
                const i64 y = (start + row) * s + py;
                if (y >= m->height || px >= m->width) break;
                gather(b->strip + row * across, 1, b->offset, b->upper, taps,
                       out + (y * m->width + px) * m->channels + on->first, s * m->channels,
                       on->lanes, (m->width - px + s - 1) / s);
            }
        }
    }
    return 0;
}

/* Adds an image's part to sum, (kernel * kernel) vectors. */
static int weight_task(const float *image, const float *upper, const struct maps *m,
                       const struct group *g, const struct lanes *on, struct bench *b, vec *sum)
{
    const i64 across = reach(m->out_width, m->stride, g);
    const i64 rows = strip_rows(m->out_height, across + m->out_width, m->stride, reach(1, 1, g));
    if (make_room(&b->strip, &b->strip_room, reach(rows, m->stride, g) * across) ||
        make_room(&b->upper, &b->upper_room, rows * m->out_width))
        return 1;
    input_offsets(g, across, b->offset);
    for (i64 start = 0; start < m->out_height; start += rows) {
        const i64 high = least(rows, m->out_height - start);
        const struct window at = {start, 0, high, m->out_width, on->first, on->lanes};
        load_input(image, m, g, on, start, high, across, b->strip);
        load(upper, m->out_height, m->out_width, m->channels, &at, b->upper);
        correlate(b->strip, m->stride, b->offset, b->upper, g->kernel * g->kernel, high,
                  m->out_width, m->stride * across, sum);
    }
    return 0;
}

static struct lanes *split_all(const struct group *groups, i64 count, i64 *parts)
{
    *parts = split(groups, count, NULL);
    struct lanes *found = malloc(*parts * sizeof *found);
    if (found) split(groups, count, found);
    return found;
}

/* out = the convolutions of in; or, if back, the gradient of their input, of size height x
   width, from that of their output. Returns 0, or 1 without memory. */
int depthwise(i64 back, const float *in, float *out, const struct maps *m,
              const struct group *groups, i64 count, i64 threads)
{
    const i64 from = m->height * m->width * m->channels;
    const i64 to = m->out_height * m->out_width * m->channels;
    i64 parts;
    struct lanes *all = split_all(groups, count, &parts);
    if (!all) return 1;
    int failed = 0;
#pragma omp parallel num_threads(threads) reduction(| : failed)
    {
        struct bench b;
        failed = set_up(&b, largest(groups, count));
#pragma omp for schedule(dynamic)
        for (i64 task = 0; task < parts * m->images; task++) {
            const i64 image = task / parts;
            const struct lanes *on = all + task % parts;
            const struct group *g = groups + on->group;
            if (failed) continue;
            failed = back ? backward_task(in + image * to, out + image * from, m, g, on, &b)
                          : forward_task(in + image * from, out + image * to, m, g, on, &b);
        }
        clear_up(&b);
    }
    free(all);
    return failed;
}

/* Each group's weight = the gradient of its weights, from input and the output's gradient.
   Images are summed in parts, whose number depends on that of threads, always in one order.
   Returns 0, or 1 without memory. */
int depthwise_weights(const float *in, const float *upper, const struct maps *m,
                      const struct group *groups, i64 count, i64 threads)
{
    i64 parts;
    const i64 taps = largest(groups, count) * largest(groups, count);
    struct lanes *all = split_all(groups, count, &parts);
    if (!all) return 1;
    const i64 shares = least(m->images, (4 * threads + parts - 1) / parts);
    vec *sums = room(parts * shares * taps);
    int failed = !sums;
    if (sums) memset(sums, 0, parts * shares * taps * sizeof(vec));
#pragma omp parallel num_threads(threads) reduction(| : failed)
    {
        struct bench b;
        failed |= set_up(&b, largest(groups, count));
#pragma omp for schedule(dynamic)
        for (i64 task = 0; task < parts * shares; task++) {
            const struct lanes *on = all + task % parts;
            const i64 share = task / parts, end = m->images * (share + 1) / shares;
            for (i64 image = m->images * share / shares; image < end && !failed; image++)
                failed = weight_task(in + image * m->height * m->width * m->channels,
                                     upper + image * m->out_height * m->out_width * m->channels,
                                     m, groups + on->group, on, &b, sums + task * taps);
        }
        clear_up(&b);
    }
    for (i64 part = 0; part < parts && !failed; part++) {
        const struct group *g = groups + all[part].group;
        const i64 size = g->kernel * g->kernel;
        for (i64 share = 1; share < shares; share++)
            for (i64 t = 0; t < size; t++)
                sums[part * taps + t] += sums[(share * parts + part) * taps + t];
        const float *values = (const float *)(sums + part * taps);
        for (i64 lane = 0; lane < all[part].lanes; lane++)
            for (i64 t = 0; t < size; t++)
                g->weight[(all[part].first - g->first + lane) * size + t] = values[t * LANES + lane];
    }
    free(all); free(sums);
    return failed;
}
