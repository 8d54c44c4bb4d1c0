# SPDX-License-Identifier: Apache-2.0
"""The cases: a row of values, one for each factor. The default set covers every two values of different factors that may occur
together at least once (pairwise); the full set is the product."""
import itertools
import random

SIZES = (1, 257, 4096, 65536, 1 << 20)
MTUS = (256, 512, 1024, 2048, 4096)
# command, sizes that it takes, whether it takes a path MTU, numbers of queue pairs, both ways at once
TOOLS = {
    "ibv_rc_pingpong -c": (SIZES, MTUS, (1,), (0,)),
    "ibv_uc_pingpong -c": (SIZES, MTUS, (1,), (0,)),
    "ibv_ud_pingpong -c": ((1, 257, 4096), (0,), (1,), (0,)),
    "ibv_srq_pingpong -c": (SIZES, MTUS, (1, 16), (0,)),
    "ib_send_bw -c RC": (SIZES, MTUS, (1, 16), (0, 1)),
    "ib_send_bw -c UC": (SIZES, MTUS, (1, 16), (0, 1)),
    "ib_send_bw -c UD": ((1, 257, 4096), MTUS, (1, 16), (0, 1)),
    "ib_send_lat -c RC": (SIZES, MTUS, (1,), (0,)),
    "ib_send_lat -c UC": (SIZES, MTUS, (1,), (0,)),
    "ib_send_lat -c UD": ((1, 257, 4096), MTUS, (1,), (0,)),
    "ib_write_bw -c RC": (SIZES, MTUS, (1, 16), (0, 1)),
    "ib_write_bw -c UC": (SIZES, MTUS, (1, 16), (0, 1)),
    "ib_write_lat -c RC": (SIZES, MTUS, (1,), (0,)),
    "ib_write_lat -c UC": (SIZES, MTUS, (1,), (0,)),
    "ib_read_bw": (SIZES, MTUS, (1, 16), (0, 1)),
    "ib_read_lat": (SIZES, MTUS, (1,), (0,)),
    "ib_atomic_bw -A FETCH_AND_ADD": ((8,), (1024,), (1, 16), (0, 1)),
    "ib_atomic_bw -A CMP_AND_SWAP": ((8,), (1024,), (1, 16), (0, 1)),
    "ib_atomic_lat -A FETCH_AND_ADD": ((8,), (1024,), (1,), (0,)),
    "ib_atomic_lat -A CMP_AND_SWAP": ((8,), (1024,), (1,), (0,)),
}
# An emulated guest handles some thousand packets a second: so many are wanted of a case, and so many are the most.
PACKETS, PACKETS_MAX = 1000, 24000


class Row:
    """tool, size, mtu (0: the tool has no choice), qps, both (ways at once), ip (4 or 6), fault (what FlexiNS injects, or "")"""

    def __init__(self, values):
        self.values = values
        self.tool, self.size, self.mtu, self.qps, self.both, self.ip, self.fault = values

    @property
    def reliable(self):
        return not any(w in self.tool for w in ("uc_", "ud_", "UC", "UD"))

    def per_round(self):
        """Packets of one iteration on all queue pairs."""
        return self.qps * (1 + self.both) * max(1, -(-self.size // (self.mtu or 4096)))

    def possible(self):
        sizes, mtus, qps, both = TOOLS[self.tool]
        if self.size not in sizes or self.mtu not in mtus or self.qps not in qps or self.both not in both:
            return False
        if ("UD" in self.tool or "ud_" in self.tool) and self.size > (self.mtu or 4096):
            return False
        # Each fault has the rest of a message sent again, and the emulator is slow.
        if self.fault and (not self.reliable or self.size > 200 * (self.mtu or 4096)):
            return False
        return self.per_round() * 5 <= PACKETS_MAX

    def iterations(self):
        return max(5, min(200, PACKETS // self.per_round()))

    def command(self, gid):
        """For one side; gid is the index of its address."""
        words = [self.tool, f"-n {self.iterations()}"]
        if "atomic" not in self.tool:
            words.append(f"-s {self.size}")
        if self.mtu:
            words.append(f"-m {self.mtu}")
        if self.qps > 1 or "srq" in self.tool:
            words.append(f"-q {self.qps}")
        if self.both:
            words.append("-b")
        if self.tool.startswith("ib_") and not self.fault:
            words.append("-u 18")  # acknowledgement timeout, 1 s: the guest may be very slow, and then retries make it slower
        if "read" in self.tool or "atomic" in self.tool:
            words.append("-o 16")  # each side of these tools would take the other's limit for its own
        words.append(f"-{'g' if self.tool.startswith('ibv_') else 'x'} {gid}")
        return " ".join(words)

    def __str__(self):
        words = [self.tool, f"{self.size} B"]
        if self.mtu:
            words.append(f"PMTU {self.mtu}")
        if self.qps > 1:
            words.append(f"{self.qps} queue pairs")
        if self.both:
            words.append("both ways")
        words.append(f"IPv{self.ip}")
        if self.fault:
            words.append(f"faults {self.fault}")
        return ", ".join(words)


def product(faults):
    """All rows that are possible, in a fixed order."""
    factors = (TOOLS, sorted({s for t in TOOLS.values() for s in t[0]}), sorted({m for t in TOOLS.values() for m in t[1]}),
               (1, 16), (0, 1), (4, 6), faults)
    return [r for r in map(Row, itertools.product(*factors)) if r.possible()]


def pairwise(faults):
    """A small choice of the rows that holds every pair of values which any row holds. Greedy."""
    rows = product(faults)
    random.Random(4791).shuffle(rows)  # so that of equals not always the first values are taken
    pairs_of = [frozenset(itertools.combinations(enumerate(r.values), 2)) for r in rows]
    missing, chosen = set().union(*pairs_of), []
    while missing:
        best = max(range(len(rows)), key=lambda i: len(pairs_of[i] & missing))
        missing -= pairs_of[best]
        chosen.append(rows[best])
    order = list(TOOLS)
    return sorted(chosen, key=lambda r: (order.index(r.tool), r.values[1:]))
