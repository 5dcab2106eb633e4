#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# headers.sh: each public header compiles alone and twice, as C and as C++, without a warning; so does every other header
# of engine/ as C, since a header that needs another one in front of it breaks whoever includes it first.
set -u
root=${VEGTTT_ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
cd "$root" || exit 1
passed=0 failed=0
flags="$(pkg-config --cflags lua5.4 libcjson libpcre2-8 2>/dev/null) -D_GNU_SOURCE -Iinclude -Iengine"

check() { # WHAT TEXT COMPILER…
    what=$1 text=$2
    shift 2
    if out=$(printf '%s\n' "$text" | "$@" - 2>&1) && [ -z "$out" ]; then
        passed=$((passed + 1))
    else
        echo "$what:"
        echo "$out" | head -n 10
        failed=$((failed + 1))
    fi
}

for header in include/vegttt/*.h; do
    name=vegttt/${header##*/}
    for standard in c11 c17 c++17; do
        case $standard in c++*) compiler=c++ language=c++ ;; *) compiler=cc language=c ;; esac
        check "$name in $standard" "#include <$name>
#include <$name>" $compiler -std=$standard -Wall -Wextra -pedantic -Werror -fsyntax-only -Iinclude -x $language
    done
done
# Files named *_impl.h are templates of kernels, which their includer configures; they and the machine's headers are left out.
for header in $(find engine -name '*.h' ! -name '*_impl.h' ! -path 'engine/cpu/*' ! -path 'engine/gpu/*' ! -path 'engine/cuda/*'); do
    # shellcheck disable=SC2086
    check "$header" "#include \"${header#engine/}\"" cc -std=c17 -Wall -Wextra -Werror -fsyntax-only $flags -x c
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
