#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A soak of two seconds ends well and says how much it did; one that finds something exits with 1.
#   soak.sh FLEXINS-SIM
set -eu
sim=$1
out=$("$sim" --soak 2 --seed 1 --jobs 2)
echo "$out"
echo "$out" | tail -1 | grep -Eq '^soak ok: [1-9][0-9]* seeds, [1-9][0-9]* packets, 0 failures'

# a scenario that must fail is not in the table: a worker that dies stands for it
"$sim" --soak 30 --seed 1 --jobs 1 --keep-going 1 >"${TMPDIR:-/tmp}/soak.$$" 2>&1 &
pid=$!
trap 'rm -f "${TMPDIR:-/tmp}/soak.$$"; kill "$pid" 2>/dev/null || true' EXIT
i=0
while ! child=$(ps -o pid= --ppid "$pid" | head -1) || [ -z "$child" ]; do
	i=$((i + 1))
	[ $i -lt 100 ]
	sleep 0.1
done
kill -ABRT "$((child))"
rc=0
wait "$pid" || rc=$?
cat "${TMPDIR:-/tmp}/soak.$$"
[ $rc -eq 1 ]
grep -q '^CRASH replay: flexins-sim --scenario' "${TMPDIR:-/tmp}/soak.$$"
grep -q '^soak FAILED: .* 1 failures' "${TMPDIR:-/tmp}/soak.$$"
