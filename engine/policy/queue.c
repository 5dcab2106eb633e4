/* SPDX-License-Identifier: Apache-2.0
 *
 * queue.c: which language-model job runs next. One job is in flight at a time; the backend spreads it over the cores.
 * Sampling works in short bursts (sampling.c), and after each burst a waiting score or update gets its turn, so neither
 * starves the other. Everything runs under the policy's mutex.
 */
#include "policy/native.h"

void vt_native_pump(vt_policy *p)
{
    if (p->is_busy || p->is_closing)
        return;
    if (p->turn_is_scoring) {
        p->turn_is_scoring = false;
        if (vt_native_start_scoring(p) || vt_native_start_training(p) || vt_native_start_sampling(p))
            p->is_busy = true;
        return;
    }
    p->turn_is_scoring = true;
    if (vt_native_start_sampling(p) || vt_native_start_scoring(p) || vt_native_start_training(p))
        p->is_busy = true;
}

void vt_native_job_done(vt_policy *p)
{
    p->is_busy = false;
    if (p->is_closing)
        pthread_cond_broadcast(&p->idle);
    vt_native_pump(p);
}
