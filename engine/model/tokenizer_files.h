/* SPDX-License-Identifier: Apache-2.0
 *
 * tokenizer_files.h: the tokenizer of a Hugging Face folder, from all the files that have a say in it.
 */
#ifndef VT_MODEL_TOKENIZER_FILES_H
#define VT_MODEL_TOKENIZER_FILES_H

#include "model/tokenizer.h"

/* ends: the ids that end a sample by the model's own configuration; the tokenizer's eos_token goes before them.
 * *out stays NULL when the folder has no tokenizer.json; *chat_template (malloc'd) is "" when it has none. */
vt_status vt_tokenizer_open(const char *dir, const struct vt_ids *ends, vt_tokenizer **out, char **chat_template,
                            vt_err *err) VT_MUST_USE;

#endif
