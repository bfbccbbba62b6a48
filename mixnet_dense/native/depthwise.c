/* Depthwise convolutions of channel groups with a kernel size each, and their gradients, on
   float32 maps in channels_last. A task is LANES channels of a strip of rows: the input it
   needs is copied, with the border of zeros, to where a pixel is one vector, and every tap is
   an offset from there. */

#include <stdlib.h>
#include <string.h>

#include "activation.h"

#define LANES 16
#define COPY (1 << 18) /* bytes of a task's copy, which the second cache has room for */

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

/* row[p] = sum over taps of in[p * step + offset[tap]] * weight[tap], for count pixels. */
static inline __attribute__((always_inline)) void
gather_some(const int count, const vec *in, i64 step, const i64 *offset, const vec *weight,
            i64 taps, vec *row)
{
    vec sum[8];
    for (int p = 0; p < count; p++) sum[p] = (vec){0};
    for (i64 tap = 0; tap < taps; tap++) {
        const vec w = weight[tap];
        const vec *from = in + offset[tap];
        for (int p = 0; p < count; p++) sum[p] += from[p * step] * w;
    }
    for (int p = 0; p < count; p++) row[p] = sum[p];
}

static void gather(const vec *in, i64 step, const i64 *offset, const vec *weight, i64 taps,
                   vec *row, i64 pixels)
{
    i64 p = 0;
#define SOME(COUNT)                                                                              \
    for (; p + COUNT <= pixels; p += COUNT)                                                      \
        gather_some(COUNT, in + p * step, step, offset, weight, taps, row + p);
    SOME(8) SOME(4) SOME(2) SOME(1)
#undef SOME
}

/* Put vectors where pixels are apart floats from each other. */
static void store(const vec *row, float *out, i64 apart, i64 lanes, i64 pixels)
{
    if (lanes == LANES)
        for (i64 p = 0; p < pixels; p++, out += apart) *(vec *)out = row[p];
    else
        for (i64 p = 0; p < pixels; p++, out += apart) memcpy(out, row + p, lanes * sizeof(float));
}

#define FINISH(NAME)                                                                             \
static void NAME##_finish(float *row, const float *bias, i64 pixels)                             \
{                                                                                                \
    for (i64 p = 0; p < pixels; p++, row += LANES)                                               \
        _Pragma("omp simd")                                                                      \
        for (int lane = 0; lane < LANES; lane++) row[lane] = NAME(row[lane] + bias[lane]);       \
}

FINISH(Identity)
FINISH(ReLU)
FINISH(ReLU6)
FINISH(Hardswish)
FINISH(SiLU)

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

/* Rows of a strip of so many rows at most, of which each advances step rows of the copy,
   across pixels wide, which has halo rows more. */
static i64 strip_rows(i64 rows, i64 step, i64 across, i64 halo)
{
    const i64 fit = (COPY / (i64)sizeof(vec) / across - halo) / step;
    return fit < 1 ? 1 : least(fit, rows);
}

static void *room(i64 vectors)
{
    void *found = NULL;
    return posix_memalign(&found, 64, vectors * sizeof(vec)) ? NULL : found;
}

/* What a thread works with. */
struct bench {
    vec *weight, *strip, *upper, *row;
    i64 *offset, strip_room, upper_room, row_room;
};

static int set_up(struct bench *b, i64 kernel)
{
    *b = (struct bench){.weight = room(kernel * kernel),
                        .offset = malloc(kernel * kernel * sizeof(i64))};
    return !b->weight || !b->offset;
}

static void clear_up(struct bench *b)
{
    free(b->weight); free(b->offset); free(b->strip); free(b->upper); free(b->row);
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

/* Output rows from start on. */
static int forward_task(const float *image, float *out, const struct maps *m,
                        const struct group *g, const struct lanes *on, const float *bias, i64 act,
                        i64 start, i64 rows, struct bench *b)
{
    static void (*const finish[])(float *, const float *, i64) = ALL(finish);
    float own_bias[LANES] = {0};
    if (bias) memcpy(own_bias, bias + on->first, on->lanes * sizeof(float));
    const i64 across = reach(m->out_width, m->stride, g);
    if (make_room(&b->strip, &b->strip_room, reach(rows, m->stride, g) * across) ||
        make_room(&b->row, &b->row_room, m->out_width))
        return 1;
    load_weight(g, on->first, on->lanes, b->weight);
    input_offsets(g, across, b->offset);
    load_input(image, m, g, on, start, rows, across, b->strip);
    for (i64 row = 0; row < rows; row++) {
        gather(b->strip + row * m->stride * across, m->stride, b->offset, b->weight,
               g->kernel * g->kernel, b->row, m->out_width);
        if (bias || act) finish[act]((float *)b->row, own_bias, m->out_width);
        store(b->row, out + (start + row) * m->out_width * m->channels + on->first, m->channels,
              on->lanes, m->out_width);
    }
    return 0;
}

/* Division that rounds down, also below zero; by a positive number. */
static i64 floored(i64 a, i64 b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

/* Input rows from stride * start on. An input pixel s * i + phase gets taps k with
   (phase + border - k * dilation) divisible by the stride s, from output i + that / s: for
   each phase a convolution of its own. */
static int backward_task(const float *upper, float *out, const struct maps *m,
                         const struct group *g, const struct lanes *on, i64 start, i64 rows,
                         struct bench *b)
{
    const i64 s = m->stride, k = g->kernel, last = (k - 1) * g->dilation;
    const i64 above = floored(g->top - last, s), before = floored(g->left - last, s);
    const i64 halo = (s - 1 + g->top) / s - above;
    const i64 across = (m->width + s - 1) / s + (s - 1 + g->left) / s - before;
    if (make_room(&b->strip, &b->strip_room, (rows + halo) * across) ||
        make_room(&b->upper, &b->upper_room, k * k) || make_room(&b->row, &b->row_room, across))
        return 1;
    const struct window at = {start + above, before, rows + halo, across, on->first, on->lanes};
    load(upper, m->out_height, m->out_width, m->channels, &at, b->strip);
    load_weight(g, on->first, on->lanes, b->weight);
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
        for (i64 row = 0; row < rows; row++) {
            const i64 y = (start + row) * s + py;
            if (y >= m->height || px >= m->width) break;
            const i64 pixels = (m->width - px + s - 1) / s;
            gather(b->strip + row * across, 1, b->offset, b->upper, taps, b->row, pixels);
            store(b->row, out + (y * m->width + px) * m->channels + on->first, s * m->channels,
                  on->lanes, pixels);
        }
    }
    return 0;
}

/* Adds the part of output rows from start on to sum, (kernel * kernel) vectors. */
static int weight_task(const float *image, const float *upper, const struct maps *m,
                       const struct group *g, const struct lanes *on, i64 start, i64 rows,
                       struct bench *b, vec *sum)
{
    const i64 across = reach(m->out_width, m->stride, g);
    const struct window at = {start, 0, rows, m->out_width, on->first, on->lanes};
    if (make_room(&b->strip, &b->strip_room, reach(rows, m->stride, g) * across) ||
        make_room(&b->upper, &b->upper_room, rows * m->out_width))
        return 1;
    input_offsets(g, across, b->offset);
    load_input(image, m, g, on, start, rows, across, b->strip);
    load(upper, m->out_height, m->out_width, m->channels, &at, b->upper);
    correlate(b->strip, m->stride, b->offset, b->upper, g->kernel * g->kernel, rows, m->out_width,
              m->stride * across, sum);
    return 0;
}

/* The group of the largest reach, by which strips are measured. */
static const struct group *widest(const struct group *groups, i64 count)
{
    const struct group *found = groups;
    for (i64 g = 1; g < count; g++)
        if (reach(1, 1, groups + g) > reach(1, 1, found)) found = groups + g;
    return found;
}

static struct lanes *split_all(const struct group *groups, i64 count, i64 *parts)
{
    *parts = split(groups, count, NULL);
    struct lanes *found = malloc(*parts * sizeof *found);
    if (found) split(groups, count, found);
    return found;
}

/* out = act(convolutions of in + bias), without bias if it is NULL; or, if back, the gradient
   of their input, of size height x width, from that of the convolutions' output, without bias
   and act. Returns 0, or 1 without memory. */
int depthwise(i64 back, const float *in, float *out, const struct maps *m,
              const struct group *groups, i64 count, const float *bias, i64 act, i64 threads)
{
    const i64 from = m->height * m->width * m->channels;
    const i64 to = m->out_height * m->out_width * m->channels;
    const struct group *wide = widest(groups, count);
    const i64 all_rows = back ? (m->height + m->stride - 1) / m->stride : m->out_height;
    const i64 halo = reach(1, 1, wide);
    const i64 rows =
        back ? strip_rows(all_rows, 1, m->out_width + halo, halo)
             : strip_rows(all_rows, m->stride, reach(m->out_width, m->stride, wide), halo);
    const i64 strips = (all_rows + rows - 1) / rows;
    i64 parts;
    struct lanes *all = split_all(groups, count, &parts);
    if (!all) return 1;
    int failed = 0;
#pragma omp parallel num_threads(threads) reduction(| : failed)
    {
        struct bench b;
        failed = set_up(&b, largest(groups, count));
#pragma omp for schedule(dynamic)
        for (i64 task = 0; task < m->images * strips * parts; task++) {
            const struct lanes *on = all + task % parts;
            const struct group *g = groups + on->group;
            const i64 image = task / parts / strips, start = task / parts % strips * rows;
            const i64 high = least(rows, all_rows - start);
            if (failed) continue;
            failed = back ? backward_task(in + image * to, out + image * from, m, g, on, start,
                                          high, &b)
                          : forward_task(in + image * from, out + image * to, m, g, on, bias, act,
                                         start, high, &b);
        }
        clear_up(&b);
    }
    free(all);
    return failed;
}

/* Each group's weight = the gradient of its weights, from input and the output's gradient.
   Strips are summed in shares, as many as threads where there are so many, always in one
   order. Returns 0, or 1 without memory. */
int depthwise_weights(const float *in, const float *upper, const struct maps *m,
                      const struct group *groups, i64 count, i64 threads)
{
    const struct group *wide = widest(groups, count);
    const i64 rows = strip_rows(m->out_height, m->stride,
                                reach(m->out_width, m->stride, wide) + m->out_width,
                                reach(1, 1, wide));
    const i64 strips = (m->out_height + rows - 1) / rows, units = m->images * strips;
    const i64 shares = least(units, threads), slices = (threads + shares - 1) / shares;
    const i64 taps = largest(groups, count) * largest(groups, count);
    i64 parts;
    struct lanes *all = split_all(groups, count, &parts);
    vec *sums = room(parts * shares * taps);
    int failed = !sums || !all;
    if (failed) { free(all); free(sums); return 1; }
    memset(sums, 0, parts * shares * taps * sizeof(vec));
#pragma omp parallel num_threads(threads) reduction(| : failed)
    {
        struct bench b;
        failed = set_up(&b, largest(groups, count));
#pragma omp for schedule(static)
        for (i64 task = 0; task < shares * slices; task++) {
            const i64 share = task / slices, slice = task % slices;
            for (i64 unit = units * share / shares; unit < units * (share + 1) / shares; unit++) {
                const i64 image = unit / strips, start = unit % strips * rows;
                for (i64 part = parts * slice / slices;
                     part < parts * (slice + 1) / slices && !failed; part++)
                    failed = weight_task(
                        in + image * m->height * m->width * m->channels,
                        upper + image * m->out_height * m->out_width * m->channels, m,
                        groups + all[part].group, all + part, start,
                        least(rows, m->out_height - start), &b,
                        sums + (share * parts + part) * taps);
            }
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
