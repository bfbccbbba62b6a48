/* Activations and their derivatives, by the names torch has for them. */

#include <math.h>
#include <stdint.h>

/* e^x for x in [-88, 88], to 2 units in the last place; NaN stays. */
static inline float exponential(float x)
{
    const float scaled = x * 1.44269504088896341f;
    const float whole = nearbyintf(scaled);
    const float rest = (x - whole * 0.693359375f) + whole * 2.12194440e-4f;
    float power = 1.f / 5040;
    power = power * rest + 1.f / 720;
    power = power * rest + 1.f / 120;
    power = power * rest + 1.f / 24;
    power = power * rest + 1.f / 6;
    power = power * rest + .5f;
    power = power * rest + 1.f;
    power = power * rest + 1.f;
    union { int32_t bits; float value; } two = {.bits = ((int32_t)whole + 127) << 23};
    return power * two.value;
}

static inline float between(float x, float low, float high)
{
    x = x < low ? low : x;
    return x > high ? high : x;
}

static inline float sigmoid(float x) { return 1.f / (1.f + exponential(-between(x, -88.f, 88.f))); }

static inline float Identity(float x) { return x; }
static inline float Identity_slope(float x) { (void)x; return 1.f; }
static inline float ReLU(float x) { return x < 0.f ? 0.f : x; }
static inline float ReLU_slope(float x) { return x <= 0.f ? 0.f : 1.f; }
static inline float ReLU6(float x) { return between(x, 0.f, 6.f); }
static inline float ReLU6_slope(float x) { return x <= 0.f || x >= 6.f ? 0.f : 1.f; }
static inline float Hardswish(float x) { return x * between(x + 3.f, 0.f, 6.f) * (1.f / 6); }
static inline float Hardswish_slope(float x)
{
    const float inside = x * (1.f / 3) + .5f;
    return x < -3.f ? 0.f : x <= 3.f ? inside : 1.f;
}
static inline float SiLU(float x) { return x * sigmoid(x); }
static inline float SiLU_slope(float x)
{
    const float gate = sigmoid(x);
    return gate * (1.f + x * (1.f - gate));
}

/* Functions of all activations, in the order in which callers count them. */
#define ALL(STEP) {Identity_##STEP, ReLU_##STEP, ReLU6_##STEP, Hardswish_##STEP, SiLU_##STEP}
