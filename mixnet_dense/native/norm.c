/* Batch norm over batch statistics and the activation behind it, on float32 maps that lie in
   memory as rows of channels (channels_last): forward in two passes, backward in two. */

#include <stdlib.h>
#include <string.h>
#include <omp.h>

#include "activation.h"

typedef int64_t i64;

/* Rows worked on at a time, so that they stay in the first cache. */
static i64 block_of(i64 channels) { return channels >= 1024 ? 8 : 8192 / channels; }

static void share(i64 rows, i64 block, i64 *first, i64 *last)
{
    const i64 blocks = (rows + block - 1) / block;
    const i64 part = omp_get_thread_num(), parts = omp_get_num_threads();
    *first = blocks * part / parts * block;
    *last = blocks * (part + 1) / parts * block;
    if (*last > rows) *last = rows;
}

/* Mean and biased variance of each channel. Blocks are centred on their own mean and put
   together as by Chan, Golub and LeVeque, so that no sum of large squares is subtracted.
   Returns 0, or 1 without memory. */
static int statistics(const float *x, i64 rows, i64 channels, i64 threads, double *mean, double *variance)
{
    const i64 block = block_of(channels);
    double *all = calloc((size_t)threads * 2 * channels, sizeof(double));
    float *work = malloc((size_t)threads * 2 * channels * sizeof(float));
    i64 *counts = calloc(threads, sizeof(i64));
    if (!all || !work || !counts) { free(all); free(work); free(counts); return 1; }
#pragma omp parallel num_threads(threads)
    {
        const int me = omp_get_thread_num();
        double *restrict centre = all + 2 * channels * me, *restrict spread = centre + channels;
        float *restrict sum = work + 2 * channels * me, *restrict square = sum + channels;
        i64 first, last, seen = 0;
        share(rows, block, &first, &last);
        for (i64 start = first; start < last; start += block) {
            const i64 end = start + block < last ? start + block : last, count = end - start;
            const float part = 1.f / count;
            memset(sum, 0, 2 * channels * sizeof(float));
            for (i64 row = start; row < end; row++) {
                const float *restrict value = x + row * channels;
#pragma omp simd
                for (i64 c = 0; c < channels; c++) sum[c] += value[c];
            }
#pragma omp simd
            for (i64 c = 0; c < channels; c++) sum[c] *= part;
            for (i64 row = start; row < end; row++) {
                const float *restrict value = x + row * channels;
#pragma omp simd
                for (i64 c = 0; c < channels; c++) {
                    const float from = value[c] - sum[c];
                    square[c] += from * from;
                }
            }
            const double weight = (double)count / (seen + count), between_ = weight * seen;
#pragma omp simd
            for (i64 c = 0; c < channels; c++) {
                const double apart = sum[c] - centre[c];
                centre[c] += apart * weight;
                spread[c] += square[c] + apart * apart * between_;
            }
            seen += count;
        }
        counts[me] = seen;
    }
    i64 seen = 0;
    memset(mean, 0, channels * sizeof(double));
    memset(variance, 0, channels * sizeof(double));
    for (int t = 0; t < threads; t++) {
        const double *centre = all + 2 * channels * t, *spread = centre + channels;
        if (!counts[t]) continue;
        const double weight = (double)counts[t] / (seen + counts[t]);
#pragma omp simd
        for (i64 c = 0; c < channels; c++) {
            const double apart = centre[c] - mean[c];
            mean[c] += apart * weight;
            variance[c] += spread[c] + apart * apart * weight * seen;
        }
        seen += counts[t];
    }
#pragma omp simd
    for (i64 c = 0; c < channels; c++) variance[c] /= rows;
    free(all); free(work); free(counts);
    return 0;
}

#define ACTIVATION(NAME)                                                                         \
static void NAME##_forward(const float *x, const float *scale, const float *shift, float *out,   \
                           i64 rows, i64 channels, i64 threads)                                  \
{                                                                                                \
    _Pragma("omp parallel for num_threads(threads) schedule(static)")                            \
    for (i64 row = 0; row < rows; row++) {                                                       \
        const float *restrict value = x + row * channels;                                        \
        float *restrict to = out + row * channels;                                               \
        _Pragma("omp simd")                                                                      \
        for (i64 c = 0; c < channels; c++) to[c] = NAME(value[c] * scale[c] + shift[c]);         \
    }                                                                                            \
}                                                                                                \
static void NAME##_sums(const float *x, const float *upper, const float *mean,                   \
                        const float *scale, const float *shift, double *total,                   \
                        float *work, i64 first, i64 last, i64 block, i64 channels)               \
{                                                                                                \
    float *restrict plain = work, *restrict product = work + channels;                           \
    for (i64 start = first; start < last; start += block) {                                      \
        const i64 end = start + block < last ? start + block : last;                             \
        memset(work, 0, 2 * channels * sizeof(float));                                           \
        for (i64 row = start; row < end; row++) {                                                \
            const float *restrict value = x + row * channels;                                    \
            const float *restrict above = upper + row * channels;                                \
            _Pragma("omp simd")                                                                  \
            for (i64 c = 0; c < channels; c++) {                                                 \
                const float g = above[c] * NAME##_slope(value[c] * scale[c] + shift[c]);         \
                plain[c] += g;                                                                   \
                product[c] += g * (value[c] - mean[c]);                                          \
            }                                                                                    \
        }                                                                                        \
        _Pragma("omp simd")                                                                      \
        for (i64 c = 0; c < 2 * channels; c++) total[c] += work[c];                              \
    }                                                                                            \
}                                                                                                \
static void NAME##_backward(const float *x, const float *upper, const float *mean,               \
                            const float *scale, const float *shift, const float *slope,          \
                            const float *level, float *out, i64 rows, i64 channels, i64 threads) \
{                                                                                                \
    _Pragma("omp parallel for num_threads(threads) schedule(static)")                            \
    for (i64 row = 0; row < rows; row++) {                                                       \
        const float *restrict value = x + row * channels;                                        \
        const float *restrict above = upper + row * channels;                                    \
        float *restrict to = out + row * channels;                                               \
        _Pragma("omp simd")                                                                      \
        for (i64 c = 0; c < channels; c++) {                                                     \
            const float g = above[c] * NAME##_slope(value[c] * scale[c] + shift[c]);             \
            to[c] = scale[c] * g + ((value[c] - mean[c]) * slope[c] + level[c]);                 \
        }                                                                                        \
    }                                                                                            \
}

ACTIVATION(Identity)
ACTIVATION(ReLU)
ACTIVATION(ReLU6)
ACTIVATION(Hardswish)
ACTIVATION(SiLU)

/* scale and shift such that norm(x) = x * scale + shift. */
static void affine(const float *weight, const float *bias, const double *mean,
                   const double *variance, double eps, i64 channels, float *scale, float *shift)
{
    for (i64 c = 0; c < channels; c++) {
        const double by = weight[c] / sqrt(variance[c] + eps);
        scale[c] = by;
        shift[c] = bias[c] - mean[c] * by;
    }
}

/* out = act(norm(x)); act counts as in ALL. Mean and biased variance are found on the way.
   Returns 0, or 1 without memory. */
int norm_forward(i64 act, const float *x, const float *weight, const float *bias, double eps,
                 float *out, double *mean, double *variance, i64 rows, i64 channels, i64 threads)
{
    static void (*const all[])(const float *, const float *, const float *, float *, i64, i64,
                               i64) = ALL(forward);
    float *scale = malloc(2 * channels * sizeof(float)), *shift = scale + channels;
    const int failed = !scale || statistics(x, rows, channels, threads, mean, variance);
    if (!failed) {
        affine(weight, bias, mean, variance, eps, channels, scale, shift);
        all[act](x, scale, shift, out, rows, channels, threads);
    }
    free(scale);
    return failed;
}

/* Gradients of x (unless of_x is NULL), weight and bias from that of the output.
   Returns 0, or 1 without memory. */
int norm_backward(i64 act, const float *x, const float *upper, const float *weight,
                  const float *bias, double eps, const double *mean, const double *variance,
                  float *of_x, float *of_weight, float *of_bias, i64 rows, i64 channels,
                  i64 threads)
{
    static void (*const sums[])(const float *, const float *, const float *, const float *,
                                const float *, double *, float *, i64, i64, i64, i64) = ALL(sums);
    static void (*const all[])(const float *, const float *, const float *, const float *,
                               const float *, const float *, const float *, float *, i64, i64,
                               i64) = ALL(backward);
    double *totals = calloc((size_t)threads * 2 * channels, sizeof(double));
    float *work = malloc(((size_t)threads * 2 + 5) * channels * sizeof(float));
    if (!totals || !work) { free(totals); free(work); return 1; }
    float *scale = work + 2 * threads * channels, *shift = scale + channels;
    float *centre = shift + channels, *slope = centre + channels, *level = slope + channels;
    affine(weight, bias, mean, variance, eps, channels, scale, shift);
    for (i64 c = 0; c < channels; c++) centre[c] = mean[c];
#pragma omp parallel num_threads(threads)
    {
        const i64 me = omp_get_thread_num(), block = block_of(channels);
        i64 first, last;
        share(rows, block, &first, &last);
        sums[act](x, upper, centre, scale, shift, totals + 2 * channels * me,
                  work + 2 * channels * me, first, last, block, channels);
    }
    for (i64 c = 0; c < channels; c++) {
        double plain = 0, product = 0;
        for (int t = 0; t < threads; t++) {
            plain += totals[2 * channels * t + c];
            product += totals[2 * channels * t + channels + c];
        }
        const double rate = 1 / sqrt(variance[c] + eps), by = weight[c] * rate / rows;
        of_bias[c] = plain;
        of_weight[c] = product * rate;
        slope[c] = -by * rate * rate * product;
        level[c] = -by * plain;
    }
    if (of_x) all[act](x, upper, centre, scale, shift, slope, level, of_x, rows, channels, threads);
    free(totals); free(work);
    return 0;
}
