/* SPDX-License-Identifier: Apache-2.0
 *
 * build_id.h: what this program was built from. The texts are of a file that the build writes anew when they change
 * (engine/build/build_id.py), so that a commit recompiles one small object and nothing else.
 */
#ifndef VT_BIND_BUILD_ID_H
#define VT_BIND_BUILD_ID_H

extern const char vt_build_commit[]; /* git describe, "-dirty" where files differ from it; "unknown" outside git */
extern const char vt_build_engine[]; /* SHA-256 over names and contents of the sources of engine/ and include/ */

#endif
