/* SPDX-License-Identifier: Apache-2.0
 *
 * journal.h: what a run has already computed: key -> JSON value. This is what resuming reads.
 *
 * Open loads journal.jsonl into a hash map, put appends a line {"v","t","t_mono","key","value"} and then updates the
 * map, so a value that get returns is always in the file. The last line of a key wins. A corrupt line in the middle
 * refuses the journal with its number: guessing would recompute or, worse, reuse the wrong thing.
 * One writer process at a time (the run's lock sees to it), one thread.
 */
#ifndef VT_STORE_JOURNAL_H
#define VT_STORE_JOURNAL_H

#include "base/json.h"

typedef struct vt_journal vt_journal;

vt_status vt_journal_open(const char *path, vt_journal **out, vt_err *err) VT_MUST_USE;
void vt_journal_close(vt_journal *j);
const vt_json *vt_journal_get(const vt_journal *j,
                              const char *key); /* lent until the key is put again; NULL when absent */
/* Clones value; the caller keeps it. */
vt_status vt_journal_put(vt_journal *j, const char *key, const vt_json *value, vt_err *err) VT_MUST_USE;
vt_status vt_journal_sync(vt_journal *j, vt_err *err) VT_MUST_USE;

#endif
