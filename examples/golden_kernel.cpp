// A kernel for golden packs in C++: the NVFP4 of spec `nvfp4`, from raw files to raw files, with no library.
//
//   g++ -O2 -std=c++17 -ffp-contract=off examples/golden_kernel.cpp -o golden_kernel
//   fp4sim golden make pack --format nvfp4
//   fp4sim golden run pack -- ./golden_kernel {x} {dtype} {rows} {cols} {out}
//   fp4sim golden make --stream --format nvfp4 | ./golden_kernel | fp4sim golden check -
//
// Put a launch of your kernel in place of `quantize` below.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

using Bytes = std::vector<uint8_t>;

static const float FLT_LARGEST = std::numeric_limits<float>::max();

struct Output {
    Bytes codes, scales;
    float tensor_scale;
    size_t rows, packed_cols, blocks;
};

// E2M1, nearest even: the bounds between codes, ties to the even one; NaN gives 7, the sign of zero is kept.
static uint8_t e2m1(float x) {
    static const float bounds[7] = {0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5.0f};
    if (std::isnan(x)) return 7;
    uint8_t code = 0;
    for (int i = 0; i < 7; ++i) code += i % 2 ? std::fabs(x) >= bounds[i] : std::fabs(x) > bounds[i];
    return code | (std::signbit(x) ? 8 : 0);
}

// E4M3 of a value that is not negative: nearest even, saturating.
static uint8_t e4m3(float x) {
    if (std::isnan(x)) return 127;
    if (x >= 448.0f) return 126;
    int exponent;
    std::frexp(x, &exponent);
    int quantum = std::max(exponent - 1, -6) - 3;
    int units = static_cast<int>(std::nearbyint(std::ldexp(static_cast<double>(x), -quantum)));
    return static_cast<uint8_t>(units < 8 ? units : units + (quantum + 9) * 8);
}

static float e4m3_value(uint8_t code) {
    if (code == 127) return std::numeric_limits<float>::quiet_NaN();
    int exponent = code >> 3, mantissa = code & 7;
    return exponent ? std::ldexp(8.0f + mantissa, exponent - 10) : std::ldexp(static_cast<float>(mantissa), -9);
}

// A maximum in which NaN wins, as it does in the definition.
static float larger(float a, float b) { return std::isnan(a) || a >= b ? a : b; }

static Output quantize(const std::vector<float>& x, size_t rows, size_t cols) {
    size_t blocks = (cols + 15) / 16;
    Output out{Bytes(rows * blocks * 8), Bytes(rows * blocks), 1.0f, rows, blocks * 8, blocks};
    std::vector<float> amax(rows * blocks, 0.0f);
    float most = 0.0f;
    for (size_t r = 0; r < rows; ++r)
        for (size_t c = 0; c < cols; ++c) {
            float& block = amax[r * blocks + c / 16];
            block = larger(block, std::fabs(x[r * cols + c]));
            most = larger(most, block);
        }
    float encode = most == 0.0f ? 1.0f : std::fmin(2688.0f / most, FLT_LARGEST);
    if (encode == 0.0f) encode = 1.0f;
    float decode = 1.0f / encode, multiplier = encode * (1.0f / 6.0f);
    out.tensor_scale = most == 0.0f ? 1.0f : most / 2688.0f;
    for (size_t b = 0; b < amax.size(); ++b) {
        uint8_t scale = e4m3(std::fmin(amax[b] * multiplier, FLT_LARGEST));
        float factor = std::fmin(1.0f / (e4m3_value(scale) * decode), FLT_LARGEST);
        size_t row = b / blocks, first = b % blocks * 16;
        out.scales[b] = scale;
        for (size_t i = 0; i < 16 && first + i < cols; ++i)
            out.codes[b * 8 + i / 2] |= e2m1(x[row * cols + first + i] * factor) << (i % 2 ? 4 : 0);
    }
    return out;
}

static std::vector<float> widen(const Bytes& raw, const std::string& dtype) {
    bool narrow = dtype == "bfloat16";
    if (!narrow && dtype != "float32") throw std::runtime_error("cannot read " + dtype);
    std::vector<float> x(raw.size() / (narrow ? 2 : 4));
    for (size_t i = 0; i < x.size(); ++i) {
        uint32_t bits = 0;
        std::memcpy(reinterpret_cast<char*>(&bits) + (narrow ? 2 : 0), &raw[i * (narrow ? 2 : 4)], narrow ? 2 : 4);
        std::memcpy(&x[i], &bits, 4);
    }
    return x;
}

static void write_file(const std::string& path, const void* data, size_t size) {
    std::ofstream file(path, std::ios::binary);
    file.write(static_cast<const char*>(data), static_cast<std::streamsize>(size));
    if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

static int from_files(char** words) {
    std::ifstream file(words[1], std::ios::binary);
    if (!file) throw std::runtime_error(std::string("cannot read ") + words[1]);
    Bytes raw((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    Output out = quantize(widen(raw, words[2]), std::strtoull(words[3], nullptr, 10), std::strtoull(words[4], nullptr, 10));
    std::string folder = std::string(words[5]) + "/";
    write_file(folder + "codes.bin", out.codes.data(), out.codes.size());
    write_file(folder + "block_scale.bin", out.scales.data(), out.scales.size());
    write_file(folder + "tensor_scale.bin", &out.tensor_scale, 4);
    return 0;
}

static void put(const char* head, const void* data, size_t size) {
    std::cout << "array " << head << ' ' << size << '\n';
    std::cout.write(static_cast<const char*>(data), static_cast<std::streamsize>(size)) << '\n';
}

static int from_stream() {
    for (std::string line; std::getline(std::cin, line);) {
        std::cout << line << '\n';
        std::istringstream words(line);
        std::string word, name, dtype;
        words >> word;
        if (word != "array") continue;
        size_t axes, bytes, rows = 1, cols = 1;
        words >> name >> dtype >> axes;
        for (size_t i = 0; i < axes; ++i) {
            rows *= cols;
            words >> cols;
        }
        words >> bytes;
        Bytes raw(bytes);
        std::cin.read(reinterpret_cast<char*>(raw.data()), static_cast<std::streamsize>(bytes)).get();
        std::cout.write(reinterpret_cast<char*>(raw.data()), static_cast<std::streamsize>(bytes)) << '\n';
        if (!std::cin) return 1;
        if (name != "x") continue;
        Output out = quantize(widen(raw, dtype), rows, cols);
        std::string r = std::to_string(out.rows);
        put(("codes uint8 2 " + r + " " + std::to_string(out.packed_cols)).c_str(), out.codes.data(), out.codes.size());
        put(("block_scale uint8 2 " + r + " " + std::to_string(out.blocks)).c_str(), out.scales.data(), out.scales.size());
        put("tensor_scale float32 0", &out.tensor_scale, 4);
    }
    return std::cout.flush() ? 0 : 1;
}

int main(int count, char** words) {
    try {
        return count == 6 ? from_files(words) : from_stream();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "golden_kernel: %s\n", error.what());
        return 1;
    }
}
