# SPDX-License-Identifier: Apache-2.0
"""The cases: a row of values, one for each factor, the kernel's role among them. The default set covers every two values of
different factors that may occur together at least once (pairwise); the full set is the product."""
import itertools
import random

ROLES = ("serves", "is client")
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
    "ib_send_bw -c RC --use-srq": (SIZES, MTUS, (1, 16), (0,)),
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
# An emulated guest handles some thousand packets a second: so many are wanted of a case (with faults: so that there are some), and
# so many are the most.
PACKETS, PACKETS_FAULTS, PACKETS_MAX = 400, 1000, 16384
MIN_ITERATIONS = {"ib_": 5, "ibv": 2}  # perftest takes no fewer
RECEIVE_BUFFER = 16 << 20  # is asked for; the kernel doubles it


class Row:
    """role (of the kernel), tool, size, mtu (0: the tool has no choice), qps, both (ways at once), ip (4 or 6), fault (what FlexiNS
    injects, or "")"""

    def __init__(self, values):
        self.values = values
        self.role, self.tool, self.size, self.mtu, self.qps, self.both, self.ip, self.fault = values

    @property
    def reliable(self):
        return not any(w in self.tool for w in ("uc_", "ud_", "UC", "UD"))

    def packets(self):
        """Of one message."""
        return max(1, -(-self.size // (self.mtu or 4096)))

    def per_round(self):
        """Packets of one iteration on all queue pairs, of which ibv_srq_pingpong takes one after the other."""
        return (1 if "srq" in self.tool else self.qps) * (2 if self.both or "pingpong" in self.tool or "lat" in self.tool else 1) * self.packets()

    def burst(self):
        """Packets that the kernel may send before FlexiNS has taken a single one: of an unreliable service, all that the row does
        not make it wait for."""
        if self.reliable:
            return 0
        if "_bw" not in self.tool:
            return self.packets()
        return self.qps * self.iterations() * self.packets() if self.both or self.role == "is client" else 0

    def cost(self):
        """Bytes of a receive buffer that the operating system may charge for one of these packets."""
        return 1024 + 2 * min(self.size, self.mtu or 4096)

    def possible(self):
        sizes, mtus, qps, both = TOOLS[self.tool]
        if self.size not in sizes or self.mtu not in mtus or self.qps not in qps or self.both not in both:
            return False
        if ("UD" in self.tool or "ud_" in self.tool) and self.size > (self.mtu or 4096):
            return False
        if self.fault and not self.reliable:
            return False
        # Each fault has the rest of a message sent again, and the emulator is slow. The pingpong tools end without a goodbye: when
        # the last acknowledgement is lost, nobody is left to repeat it, and the kernel (retry_cnt 7) asks for it for ever.
        if self.fault and (self.tool.startswith("ibv_") or self.packets() > 200):
            return False
        if self.burst() * self.cost() > 2 * RECEIVE_BUFFER:
            return False
        return self.per_round() * self.min_iterations() <= PACKETS_MAX

    def min_iterations(self):
        return max(MIN_ITERATIONS[self.tool[:3]], self.qps if "srq" in self.tool else 0)

    def iterations(self):
        return max(self.min_iterations(), min(200, (PACKETS_FAULTS if self.fault else PACKETS) // self.per_round()))

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
        words = [f"kernel {self.role}: {self.tool}", f"{self.size} B"]
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
    factors = (ROLES, TOOLS, sorted({s for t in TOOLS.values() for s in t[0]}), sorted({m for t in TOOLS.values() for m in t[1]}),
               (1, 16), (0, 1), (4, 6), faults)
    return [r for r in map(Row, itertools.product(*factors)) if r.possible()]


def pairwise(faults):
    """A small choice of the rows that holds every pair of values which any row holds. Greedy: of
    the rows that bring most, one with few packets."""
    rows = product(faults)
    random.Random(4791).shuffle(rows)  # so that of equals not always the first values are taken
    # Role and fault count as one factor, so that each operation is seen in both directions with faults, and without.
    pairs_of = [frozenset(itertools.combinations(enumerate(((r.role, r.fault), *r.values[1:-1])), 2)) for r in rows]
    missing, chosen = set().union(*pairs_of), []
    while missing:
        best = max(range(len(rows)), key=lambda i: (len(pairs_of[i] & missing), -rows[i].per_round() * rows[i].iterations()))
        missing -= pairs_of[best]
        chosen.append(rows[best])
    order = list(TOOLS)
    return sorted(chosen, key=lambda r: (order.index(r.tool), r.values[2:]))
