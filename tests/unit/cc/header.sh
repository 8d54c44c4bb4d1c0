#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The installed header compiles by itself as C99 and, where there is a compiler for it, as C++.
#   header.sh SRCROOT
set -eu
flags="-Wall -Wextra -Wpedantic -Werror -fsyntax-only -I$1/include"
# shellcheck disable=SC2086
printf '#include "flexins/cc.h"\nint main(void) { return sizeof(struct fns_cc_ops) == 0; }\n' | cc -std=c99 $flags -x c -
# shellcheck disable=SC2086
cc -std=c11 $flags "$1/examples/cc/aimd.c"
command -v c++ >/dev/null || { echo "no C++ compiler: C99 only"; exit 0; }
# shellcheck disable=SC2086
printf '#include "flexins/cc.h"\nint main() { return sizeof(struct fns_cc_ops) == 0; }\n' | c++ -std=c++11 $flags -x c++ -
