/* SPDX-License-Identifier: Apache-2.0
 *
 * kernels.cc: the kernels, compiled for this CPU.
 */
#include "kernels.h"
#include "cuda/kernels.cu"
#include <tuple>
#include <type_traits>
#include <utility>

namespace {

template <auto KERNEL_OF, typename... A> struct binder {
    template <size_t... I> static std::function<void()> bind(void **args, std::index_sequence<I...>)
    {
        const std::tuple<std::decay_t<A>...> values(*static_cast<std::decay_t<A> *>(args[I])...);
        return [values] { std::apply(KERNEL_OF, values); };
    }
};
template <auto KERNEL_OF, typename... A> std::function<void()> bind_to(void (*)(A...), void **args)
{
    return binder<KERNEL_OF, A...>::bind(args, std::index_sequence_for<A...>{});
}

#define EMULATED_BIND(name)                                                                                            \
    std::function<void()> bind_##name(void **args)                                                                     \
    {                                                                                                                  \
        return bind_to<vt_##name>(vt_##name, args);                                                                    \
    }
VT_CUDA_KERNEL_MAP(EMULATED_BIND)

const struct emulated_kernel kernels[] = {
#define EMULATED_ROW(name) {"vt_" #name, bind_##name},
    VT_CUDA_KERNEL_MAP(EMULATED_ROW)
};

} // namespace

const struct emulated_kernel *emulated_find(const char *name)
{
    for (const struct emulated_kernel &k : kernels)
        if (strcmp(k.name, name) == 0)
            return &k;
    return NULL;
}
