// Places in shared memory as addresses of 32 bits, and copies to them that run while a thread goes on.
//
// A compiler short of registers derives an address again at every use, which in a loop bound by instructions is dear. What has
// gone through a shuffle it cannot derive, and so keeps.
#pragma once

#include "block16.cuh"

namespace fp4 {

// x, in a register. Every lane of a warp calls it.
__device__ __forceinline__ u32 kept(u32 x) {
#if defined(__CUDA_ARCH__)
    return __shfl_sync(~0u, x, threadIdx.x & 31);
#else
    return x;
#endif
}

#if defined(__CUDA_ARCH__)
struct Place {
    u32 at;

    __device__ __forceinline__ static Place of(const void* p) { return {kept((u32)__cvta_generic_to_shared(p))}; }
    __device__ __forceinline__ Place stay() const { return {kept(at)}; }
    __device__ __forceinline__ Place operator+(u32 bytes) const { return {at + bytes}; }
    __device__ __forceinline__ Place operator^(u32 bytes) const { return {at ^ bytes}; }

    __device__ __forceinline__ u32 byte() const {
        u32 x;
        asm("ld.shared.u8 %0, [%1];" : "=r"(x) : "r"(at));
        return x;
    }

    __device__ __forceinline__ u32 word() const {
        u32 x;
        asm("ld.shared.u32 %0, [%1];" : "=r"(x) : "r"(at));
        return x;
    }

    __device__ __forceinline__ double number() const {
        double x;
        asm("ld.shared.f64 %0, [%1];" : "=d"(x) : "r"(at));
        return x;
    }

    __device__ __forceinline__ double latest() const {  // of a number that other threads write
        double x;
        asm volatile("ld.shared.f64 %0, [%1];" : "=d"(x) : "r"(at));
        return x;
    }

    __device__ __forceinline__ void four(u32* out) const {
        asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
                     : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                     : "r"(at));
    }

    __device__ __forceinline__ void count_if(bool counted) const {  // by a predicate, of which NVRTC 13.5 makes a branch
        asm volatile("{\n.reg .pred p;\nsetp.ne.u32 p, %1, 0;\n@p red.shared.add.u32 [%0], 1;\n}" ::"r"(at), "r"((u32)counted)
                     : "memory");
    }

    __device__ __forceinline__ void copy_sixteen_bytes(const void* from) const {
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(at), "l"(from) : "memory");
    }

    // All copies before it are waited for together, by the thread that began them.
    __device__ __forceinline__ static void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
    __device__ __forceinline__ static void wait_for_copies() { asm volatile("cp.async.wait_group 0;" ::: "memory"); }
};
#else
struct Place {
    u8* at;

    static Place of(const void* p) { return {(u8*)p}; }
    Place stay() const { return *this; }
    Place operator+(u32 bytes) const { return {at + bytes}; }
    Place operator^(u32 bytes) const { return {(u8*)((u64)at ^ bytes)}; }
    u32 byte() const { return *at; }
    u32 word() const { return *(const u32*)at; }
    double number() const { return *(const double*)at; }
    double latest() const { return *(const volatile double*)at; }
    void four(u32* out) const { memcpy(out, at, 16); }
    void count_if(bool counted) const {
        if (counted) atomicAdd((u32*)at, 1u);
    }
    void copy_sixteen_bytes(const void* from) const { memcpy(at, from, 16); }
    static void commit_copies() {}
    static void wait_for_copies() {}
};
#endif

}  // namespace fp4
