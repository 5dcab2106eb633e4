/* SPDX-License-Identifier: Apache-2.0
 *
 * sink.cuh: what stands in for the arrays when a task's CUDA text is compiled over the value-and-error type: inputs are
 * floats that become exact values when read, outputs are places where a value is judged, or stored, instead of written.
 * So the truth of an elementwise task never exists as an array (it would be four times its output), and it is made
 * after the candidate has run. A text may write each element of an output once and not read it.
 *
 * Stored truths lie in the memory that candidates can read, so they lie there under a key that is not (XOR with a keyed
 * hash of the index).
 */
template <class T> struct vt_in {
    const T *p;
    template <class I> T operator[](I i) const
    {
        return p[(long long)i];
    }
};
template <> struct vt_in<vt_f32> {
    const vt_f32 *p;
    template <class I> vt_real operator[](I i) const
    {
        return vt_exact((double)p[(long long)i], 0); /* no constant */
    }
};

struct vt_real_slot {
    const struct vt_dev_sink *s;
    struct vt_stats *st;
    int array;
    long long i;
    void operator=(vt_real y)
    {
        const double limit = 0x1.ffffffp127;
        double v = y.v, size = v < 0 ? -v : v, bound = 0;
        unsigned long long *row_max = (unsigned long long *)s->row_max[array];
        if (size >= limit)
            v = vt_from_bits(v < 0 ? 0xfff0000000000000ull : 0x7ff0000000000000ull);
        if (s->mode == VT_SINK_ROW_MAX) {
            unsigned long long *to = row_max + i / s->row[array];
            if (size < limit && vt_bits(size) > *to)
                atomicMax(to, vt_bits(size));
            return;
        }
        if (!s->is_exact[array]) {
            if (y.r != 0)
                bound = s->k * 0x1p-24 * vt_sqrt(y.r);
            if (s->rtol != 0 && size < limit)
                bound += s->rtol * size;
            if (row_max)
                bound += s->atol * vt_from_bits(row_max[i / s->row[array]]);
        }
        if (s->mode == VT_SINK_STORE) {
            unsigned long long *to = (unsigned long long *)s->store[array] + 2 * i;
            to[0] = vt_bits(v) ^ vt_veil(s, array, i, 0);
            to[1] = vt_bits(bound) ^ vt_veil(s, array, i, 1);
            st->n_checked++;
            return;
        }
        vt_judge_float(s, st, array, i, v, bound);
    }
};
template <class T> struct vt_int_slot {
    const struct vt_dev_sink *s;
    struct vt_stats *st;
    int array;
    long long i;
    template <class V> void operator=(V value)
    {
        const long long v = (long long)value;
        if (s->mode == VT_SINK_ROW_MAX)
            return;
        if (s->mode == VT_SINK_STORE) {
            ((unsigned long long *)s->store[array])[2 * i] = (unsigned long long)v ^ vt_veil(s, array, i, 0);
            st->n_checked++;
            return;
        }
        vt_judge_int(s, st, array, i, v, (long long)((const T *)s->got[array])[i]);
    }
};

template <class T> struct vt_out {
    const struct vt_dev_sink *s;
    struct vt_stats *st;
    int array;
    template <class I> vt_int_slot<T> operator[](I i) const
    {
        vt_int_slot<T> x = {s, st, array, (long long)i};
        return x;
    }
};
template <> struct vt_out<vt_f32> {
    const struct vt_dev_sink *s;
    struct vt_stats *st;
    int array;
    template <class I> vt_real_slot operator[](I i) const
    {
        vt_real_slot x = {s, st, array, (long long)i};
        return x;
    }
};

/* Scratch: whatever pointer the text has for it. */
struct vt_any {
    void *p;
    template <class T> operator T *() const
    {
        return (T *)p;
    }
};
#ifdef __CUDACC_RTC__
#undef INFINITY
#undef NAN
#define INFINITY __builtin_inff()
#define NAN __builtin_nanf("")
#define FLT_MAX __FLT_MAX__
#define FLT_MIN __FLT_MIN__
#define FLT_EPSILON __FLT_EPSILON__
#define INT_MAX __INT_MAX__
#endif
