// The general path: the primitives of fp4sim/kernels/interface.py for every format, rounding and policy, on panels of float32
// (rows, cols). One thread works alone on a short run, so that the same text runs on a CPU in tests. All arguments are
// pointers or 64-bit integers; formats and casts come as the numbers that kernels/cuda/arguments.py makes of them.
#include "codec.cuh"

using namespace fp4;

#define THREAD (blockIdx.x * (i64)blockDim.x + threadIdx.x)

namespace {

constexpr int RUN = 8;       // elements of a thread in elementwise work
constexpr int SEGMENT = 64;  // elements of a thread in block maxima
constexpr int MOST_ROWS = 128;


FP4_HD Format format_of(i64 exponent_bits, i64 mantissa_bits, i64 bias, i64 max_code, i64 nan_code, i64 flags) {
    return {(int)exponent_bits, (int)mantissa_bits, (int)bias, (int)max_code, (int)nan_code,
            (flags & 1) != 0, (flags & 2) != 0, (flags & 4) != 0};
}

FP4_HD Cast cast_of(i64 rounding, i64 random_bits, i64 policy) {
    return {(Rounding)rounding, (int)random_bits, (policy & 1) != 0, (NanPolicy)((policy >> 1) & 3),
            (ZeroPolicy)((policy >> 3) & 3)};
}

// fl(x * factor) or fl(x / factor) as bits. A NaN keeps the bits that the CPU's has, which two policies show: x's own first,
// quiet, then the factor's, then the default NaN of an invalid operation.
FP4_HD u32 scaled(u32 x, u32 factor, i64 policy) {
    const bool divides = policy & 32, flushes = policy & 64, payload = ((policy >> 1) & 3) == NAN_PAYLOAD;
    if (flushes && (x & MAGNITUDE) < 0x00800000u) x &= SIGN;
    const u32 bits = bits_of(divides ? div(float_of(x), float_of(factor)) : mul(float_of(x), float_of(factor)));
    if (!is_nan(bits)) return bits;
    if (payload && is_nan(factor)) return factor;
    if (is_nan(x)) return x | 0x400000u;
    return is_nan(factor) ? factor | 0x400000u : 0xFFC00000u;
}

// Walks a panel in row-major order and knows the block of each element.
struct Walk {
    i64 row, col, block, left, cols, tile_rows, tile_cols;

    FP4_HD Walk(i64 element, i64 cols_, i64 tile_rows_, i64 tile_cols_)
        : row(element / cols_), col(element - row * cols_), cols(cols_), tile_rows(tile_rows_), tile_cols(tile_cols_) {
        const i64 in_row = col / tile_cols;
        block = row / tile_rows * (cols / tile_cols) + in_row;
        left = tile_cols - (col - in_row * tile_cols);
    }

    FP4_HD void next() {
        ++col;
        if (--left == 0) {
            ++block;
            left = tile_cols;
        }
        if (col == cols) {
            col = 0;
            ++row;
            block = row / tile_rows * (cols / tile_cols);
        }
    }
};

// The random integers of elements in turn; neighbours share a call of Philox.
struct Draws {
    Stream stream;
    int bits;
    u64 counter = ~0ull;
    Words words = {{0, 0, 0, 0}};

    FP4_HD u32 at(u64 i) {
        const int per_call = bits == 8 ? 4 : 2;
        if (i >> per_call != counter) {
            counter = i >> per_call;
            words = philox(counter, stream);
        }
        if (bits == 8) return (words.w[(i >> 2) & 3] >> (8 * (i & 3))) & 0xFFu;
        return words.w[i & 3] >> (32 - bits);
    }
};

FP4_HD void raise_to(u32* target, u32 value) {
#if defined(__CUDA_ARCH__)
    atomicMax(target, value);
#else
    if (value > *target) *target = value;
#endif
}

}  // namespace

// out (blocks) is zero on entry; magnitudes compare as integers, so that NaN survives.
extern "C" __global__ void block_amax(const u32* x, u32* out, i64 rows, i64 cols, i64 tile_rows, i64 tile_cols) {
    const i64 per_block = (tile_cols + SEGMENT - 1) / SEGMENT, blocks = cols / tile_cols;
    const i64 row = THREAD / (blocks * per_block), rest = THREAD - row * blocks * per_block;
    if (row >= rows) return;
    const i64 block = rest / per_block, start = (rest - block * per_block) * SEGMENT;
    const i64 stop = start + SEGMENT < tile_cols ? start + SEGMENT : tile_cols;
    const u32* line = x + row * cols + block * tile_cols;
    u32 most = 0;
    for (i64 j = start; j < stop; ++j) {
        const u32 magnitude = line[j] & MAGNITUDE;
        most = magnitude > most ? magnitude : most;
    }
    raise_to(out + row / tile_rows * blocks + block, most);
}

// width: bytes a code takes in out; 0: two codes a byte, the even element low.
extern "C" __global__ void encode_panel(
    const u32* x, const u32* factor, u8* out, i64 elements, i64 cols, i64 tile_rows, i64 tile_cols, i64 width,
    i64 exponent_bits, i64 mantissa_bits, i64 bias, i64 max_code, i64 nan_code, i64 flags, i64 rounding, i64 random_bits,
    i64 policy, i64 key0, i64 key1, i64 name, i64 draw, i64 row0, i64 col0, i64 length, i64 inner) {
    const i64 first = THREAD * RUN;
    if (first >= elements) return;
    const int count = elements - first < RUN ? (int)(elements - first) : RUN;
    const Format format = format_of(exponent_bits, mantissa_bits, bias, max_code, nan_code, flags);
    const Cast cast = cast_of(rounding, random_bits, policy);
    Walk walk(first, cols, tile_rows, tile_cols);
    Draws draws{{(u32)key0, (u32)key1, (u32)name, (u32)draw}, (int)random_bits};
    for (int j = 0; j < count; ++j, walk.next()) {
        u32 random = 0;
        if (cast.rounding == SR) {
            const i64 row = row0 + walk.row, col = col0 + walk.col;
            random = draws.at(inner == 1 ? row * length + col : (row / inner * length + col) * inner + row % inner);
        }
        const u32 code = encode(scaled(x[first + j], factor[walk.block], policy), format, cast, random);
        const i64 place = first + j;
        if (width == 0) {  // a run starts at an even element
            if (j % 2 == 0) out[place / 2] = (u8)code;
            else out[place / 2] |= (u8)(code << 4);
        } else if (width == 1) {
            out[place] = (u8)code;
        } else if (width == 2) {
            ((u16*)out)[place] = (u16)code;
        } else {
            ((u32*)out)[place] = code;
        }
    }
}

// fl(x * factor) or fl(x / factor) alone.
extern "C" __global__ void scale_panel(
    const u32* x, const u32* factor, u32* out, i64 elements, i64 cols, i64 tile_rows, i64 tile_cols, i64 policy) {
    const i64 first = THREAD * RUN;
    if (first >= elements) return;
    const i64 stop = first + RUN < elements ? first + RUN : elements;
    Walk walk(first, cols, tile_rows, tile_cols);
    for (i64 i = first; i < stop; ++i, walk.next()) out[i] = scaled(x[i], factor[walk.block], policy);
}

// The default dialect's scale stage: codes of fmin(fl(a m), FLT_MAX), factors fmin(fl(1 / fl(s S_dec)), FLT_MAX).
// multiplier and decoder hold one entry per `per` blocks.
extern "C" __global__ void te_scales(
    const float* amax, const float* multiplier, const float* decoder, u8* codes, float* factors, i64 blocks, i64 per,
    i64 width, i64 exponent_bits, i64 mantissa_bits, i64 bias, i64 max_code, i64 nan_code, i64 flags, i64 rounding) {
    const i64 i = THREAD;
    if (i >= blocks) return;
    const Format format = format_of(exponent_bits, mantissa_bits, bias, max_code, nan_code, flags);
    const float wanted = fmin_num(mul(amax[i], multiplier[i / per]), FLT_MAX_);
    const u32 code = encode(bits_of(wanted), format, cast_of(rounding, 0, 0));
    if (width == 1) codes[i] = (u8)code;
    else if (width == 2) ((u16*)codes)[i] = (u16)code;
    else ((u32*)codes)[i] = code;
    factors[i] = fmin_num(div(1.0f, mul(decode(code, format), decoder[i / per])), FLT_MAX_);
}

// value(code) * decoder[block] in float64, rounded once to what `kind` says: 0 float32, 1 bfloat16, 2 float16, 3 float64.
// width as above.
extern "C" __global__ void dequantize_panel(
    const u8* codes, const double* decoder, void* out, i64 elements, i64 cols, i64 tile_rows, i64 tile_cols, i64 width,
    i64 kind, i64 exponent_bits, i64 mantissa_bits, i64 bias, i64 max_code, i64 nan_code, i64 flags) {
    const i64 first = THREAD * RUN;
    if (first >= elements) return;
    const int count = elements - first < RUN ? (int)(elements - first) : RUN;
    const Format format = format_of(exponent_bits, mantissa_bits, bias, max_code, nan_code, flags);
    Walk walk(first, cols, tile_rows, tile_cols);
    for (int j = 0; j < count; ++j, walk.next()) {
        const i64 place = first + j;
        u32 code;
        if (width == 0) code = (codes[place / 2] >> (place % 2 * 4)) & 15u;
        else if (width == 1) code = codes[place];
        else if (width == 2) code = ((const u16*)codes)[place];
        else code = ((const u32*)codes)[place];
        const double exact = (double)decode(code, format) * decoder[walk.block];
        if (kind == 0) ((float*)out)[place] = (float)exact;
        else if (kind == 1) ((u16*)out)[place] = (u16)narrow_bf16(float_to_odd(exact));
        else if (kind == 2) ((u16*)out)[place] = (u16)narrow_fp16(float_to_odd(exact));
        else ((double*)out)[place] = exact;
    }
}

// Of two encodings of each block the one of less error, in the order of fp4sim/kernels/reference/choose.py; a thread a tile.
// metric: 0 mse, 1 mae, 2 absmax; order: 0 exact, 1 scaled, 2 product. group holds one entry per `per` tiles.
extern "C" __global__ void choose_blocks(
    const float* x, const u8* first, const u8* second, const float* scale1, const float* scale2, const float* group,
    u8* out, u8* other, i64 tiles, i64 cols, i64 tile_rows, i64 tile_cols, i64 per, i64 reach_bits, i64 metric, i64 order,
    i64 exponent_bits, i64 mantissa_bits, i64 bias, i64 max_code, i64 nan_code, i64 flags) {
    const i64 tile = THREAD;
    if (tile >= tiles) return;
    const Format format = format_of(exponent_bits, mantissa_bits, bias, max_code, nan_code, flags);
    const i64 blocks = cols / tile_cols;
    const i64 corner = tile / blocks * tile_rows * cols + tile % blocks * tile_cols;
    const float a = group[tile / per], reach = float_of((u32)reach_bits);
    float error[2];
    for (int which = 0; which < 2; ++which) {
        const u8* codes = which ? second : first;
        const float scale = which ? scale2[tile] : scale1[tile];
        float by_row[MOST_ROWS];
        int rows = 1;
        while (rows < tile_rows) rows *= 2;
        for (int r = 0; r < rows; ++r) {
            float sum = 0.0f;
            for (i64 j = 0; r < tile_rows && j < tile_cols; ++j) {
                const i64 place = corner + r * cols + j;
                const float value = decode(codes[place], format);
                float d;
                if (order == 0) d = add(div(mul(mul(value, scale), a), reach), -x[place]);
                else if (order == 1) d = add(mul(value, scale), -mul(x[place], a));
                else d = add(x[place], -mul(value, mul(scale, a)));
                d = float_of(bits_of(d) & MAGNITUDE);
                if (metric == 2) sum = is_nan(bits_of(sum)) || sum > d ? sum : d;  // keeps NaN, as np.max does
                else sum = add(sum, metric == 0 ? mul(d, d) : d);
            }
            by_row[r] = sum;
        }
        while (rows > 1) {
            rows /= 2;
            for (int r = 0; r < rows; ++r) {
                const float low = by_row[r], high = by_row[r + rows];
                if (metric == 2) by_row[r] = is_nan(bits_of(low)) || low > high ? low : high;
                else by_row[r] = add(low, high);
            }
        }
        error[which] = by_row[0];
    }
    const bool chosen = error[1] < error[0];
    other[tile] = chosen;
    for (i64 r = 0; r < tile_rows; ++r)
        for (i64 j = 0; j < tile_cols; ++j) {
            const i64 place = corner + r * cols + j;
            out[place] = chosen ? second[place] : first[place];
        }
}

// Floats of `kind` (as dequantize_panel's) as float32 or, if `doubles`, as float64. CuPy's own casts flush float32 subnormals.
extern "C" __global__ void widen_floats(const void* x, void* out, i64 elements, i64 kind, i64 doubles) {
    const i64 i = THREAD;
    if (i >= elements) return;
    if (kind == 3) {
        ((float*)out)[i] = (float)((const double*)x)[i];
        return;
    }
    const u32 bits = kind == 0 ? ((const u32*)x)[i] : kind == 1 ? widen_bf16(((const u16*)x)[i]) : widen_fp16(((const u16*)x)[i]);
    if (doubles) ((double*)out)[i] = (double)float_of(bits);
    else ((u32*)out)[i] = bits;
}

// How often each byte occurs, in counts[256], zero on entry.
extern "C" __global__ void histogram(const u8* codes, u64* counts, i64 n) {
    const i64 first = THREAD * SEGMENT;
    for (i64 i = first; i < first + SEGMENT && i < n; ++i) {
#if defined(__CUDA_ARCH__)
        atomicAdd(counts + codes[i], 1ull);
#else
        ++counts[codes[i]];
#endif
    }
}
