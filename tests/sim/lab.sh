#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# flexins lab from the command line: the same figures each time, JSON that parses, a drawing, and refusals.
#   lab.sh FLEXINS [PLUGIN]...      of plug-ins the example in its forms, which do the same
set -eu
flexins=$1
shift
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

"$flexins" lab incast --cc=swift --cc=hpcc:eta_pm=900 --time=3ms --seed=5 --json >"$tmp/a"
"$flexins" lab incast --cc=swift --cc=hpcc:eta_pm=900 --time=3ms --seed=5 --json="$tmp/b" >"$tmp/table"
cmp "$tmp/a" "$tmp/b"
grep -q '^hpcc:eta_pm=900  *[0-9]' "$tmp/table"
"$flexins" lab incast --cc=swift --cc=hpcc:eta_pm=900 --time=3ms --seed=6 --json >"$tmp/b"
! cmp -s "$tmp/a" "$tmp/b"
python3 - "$tmp/a" <<'EOF'
import json, sys
d = json.load(open(sys.argv[1]))
assert d["simulated"] and d["scenario"] == "incast" and d["seed"] == 5, d
assert [r["asked"] for r in d["runs"]] == ["swift", "hpcc:eta_pm=900"]
for r in d["runs"]:
    assert len(r["goodput_bps_series"]) == len(r["queue_bytes_series"]) == 200
    assert 1e9 < r["goodput_bps"] < 100e9 and 0 < r["jain_mean"] <= 1
EOF

"$flexins" lab hadoop --cc=static_window --time=200us --transport=gbn --transport=irn >"$tmp/table"
grep -q '^static_window irn  *[0-9]' "$tmp/table"
grep -q 'up to 10 KB' "$tmp/table"
[ "$("$flexins" lab --list | grep -c '^[a-z]')" -ge 8 ]

for plugin in "$@"; do
	case $plugin in */aimd.*) ;; *) continue ;; esac
	"$flexins" lab lossy --cc="$plugin" --time=5ms --json | grep -v '"asked"' >"$tmp/now"
	[ -e "$tmp/first" ] || cp "$tmp/now" "$tmp/first"
	cmp "$tmp/first" "$tmp/now"
done

refuse() { # what is said, arguments
	want=$1
	shift
	rc=0
	"$flexins" lab "$@" >/dev/null 2>"$tmp/err" || rc=$?
	if [ $rc -ne 2 ] || ! grep -q -- "$want" "$tmp/err"; then
		echo "flexins lab $*: status $rc: $(cat "$tmp/err")"
		exit 1
	fi
}
refuse 'expected a scenario'
refuse "no scenario 'outcast'" outcast
refuse 'one scenario' incast long
refuse "no congestion control 'vegas'" incast --cc=vegas
refuse 'has no parameter' incast --cc=swift:x=1
refuse 'expected gbn or irn' incast --transport=tcp
refuse 'twice' incast --transport=irn --transport=irn
for t in 0ms 5 5m 101s 1us 99999999999999999999s; do
	refuse "--time='$t'" incast --time=$t
done
refuse "--seed='x'" incast --seed=x
refuse "no option" incast --sed=1

if command -v gnuplot >/dev/null; then
	"$flexins" lab incast --cc=swift --time=500us --svg="$tmp/a.svg" >/dev/null
	grep -q '</svg>' "$tmp/a.svg"
	"$flexins" lab hadoop --cc=swift --time=500us --svg="$tmp/a.svg" >/dev/null
	grep -q '</svg>' "$tmp/a.svg"
fi
