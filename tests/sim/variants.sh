#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the simulator with plain compilers, several ways, from the sources that it needs.
#   variants.sh SRCROOT     gcc and clang, -O0 and -O2: every run has the same trace hash in each
# Exit 77: skipped, for want of a compiler.
set -eu
root=$1
seeds=${SEEDS:-}
work=$(mktemp -d "${TMPDIR:-/tmp}/flexins-sim.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM

flags="-std=gnu17 -D_GNU_SOURCE -fno-strict-aliasing -w -I$root -I$root/src -I$root/include"

modules="src/base src/roce src/bpf src/mem src/cc src/offload src/transport src/engine sim"

build() { # name compiler flags...
	out=$work/$1
	cc=$2
	shift 2
	for m in $modules; do
		mkdir -p "$out/$m"
		# shellcheck disable=SC2086
		(cd "$out/$m" && printf '%s\n' "$root/$m"/*.c | xargs -P 2 -n 8 "$cc" $flags "$@" -c)
	done
	# shellcheck disable=SC2086
	"$cc" $flags "$@" -o "$out/flexins-sim" $(find "$out" -name '*.o') -lisal -lpthread
}

command -v clang >/dev/null || exit 77
build gcc-O2 gcc -O2
build gcc-O0 gcc -O0
build clang-O2 clang -O2
build clang-O0 clang -O0
"$work/gcc-O2/flexins-sim" --seeds "${seeds:-1..4}" --hash >"$work/want"
"$work/gcc-O2/flexins-sim" --lab >>"$work/want"
[ -s "$work/want" ]
for v in gcc-O2 gcc-O0 clang-O2 clang-O0; do
	"$work/$v/flexins-sim" --seeds "${seeds:-1..4}" --hash >"$work/got"
	"$work/$v/flexins-sim" --lab >>"$work/got"
	if ! cmp -s "$work/want" "$work/got"; then
		echo "$v differs from gcc-O2:"
		diff "$work/want" "$work/got" | head -20
		exit 1
	fi
done
echo "$(wc -l <"$work/want") runs are the same in all builds"
