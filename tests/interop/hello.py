# SPDX-License-Identifier: Apache-2.0
"""The message by which FlexiNS hosts recognise each other, sent to a kernel that knows nothing of it: it must not notice."""
import table

# What a reliable connection and datagrams carry, both families.
ROWS = (("ib_send_bw -c RC", 4096, 1024, 1, 0, 4, ""), ("ibv_rc_pingpong -c", 257, 1024, 1, 0, 6, ""),
        ("ib_send_bw -c UC", 4096, 1024, 1, 0, 4, ""), ("ib_send_bw -c UD", 257, 1024, 1, 0, 6, ""),
        ("ibv_ud_pingpong -c", 257, 0, 1, 0, 4, ""))
# What our probes of a slow guest may cause (duplicate requests, late acknowledgements) is not odd.
ODD = ("out_of_seq_request", "rcvd_rnr_err", "send_rnr_err", "rcvd_seq_err", "retry_exceeded_err", "retry_rnr_exceeded_err", "send_err", "bad_icrc")


# What the kernel says whenever a program of the guest opens the device, and while its link comes up, a moment after it has booted.
USUAL = ("speed is unknown", "link becomes ready", "set active")


def log(guest):
    """The kernel's messages, but for the usual ones."""
    return [x for x in guest.sh("dmesg")[1].splitlines() if not any(w in x for w in USUAL)]


class Hello:
    """Stands among the rows of table.py. role: of the kernel."""

    def __init__(self, role):
        self.role = role
        self.rows = [table.Row((role, *v)) for v in ROWS]

    def __str__(self):
        return f"kernel {self.role}: a standard peer does not notice that it is asked what it is"

    def burst(self):
        return max(row.burst() for row in self.rows)

    def cost(self):
        return max(row.cost() for row in self.rows)

    def check(self, bench):
        """Traffic while the guest is asked, and then its kernel's log and counters. A remark; raises Failed."""
        lab, guest = bench.lab, bench.guest
        dmesg, before = log(guest), guest.counters()
        for row in self.rows:
            bench.run(row)
        after = guest.counters()
        peers = {p["address"]: p for p in lab.status(bench.host)["peers"]}
        for addr in (guest.addr, guest.addr6):
            lab.expect(addr in peers, f"{addr} was not asked: {peers}")
            # Linux answers a Get that nobody handles with "not supported".
            lab.expect(peers[addr]["kind"] == "standard", f"{addr} is taken for {peers[addr]}")
        new = log(guest)[len(dmesg):]
        lab.expect(not new, f"the guest's kernel says {new[:10]}")
        odd = {k: after[k] - before[k] for k in ODD if after.get(k, 0) != before.get(k, 0)}
        lab.expect(not odd, f"the guest's device counts {odd}")
        # Every datagram was one that the device took.
        udp, rxe = (after[k] - before[k] for k in ("udp_in", "rcvd_pkts"))
        lab.expect(udp == rxe, f"{udp} datagrams reached the guest, of which its device took {rxe}")
        return f"asked at {len(peers)} addresses; {rxe} packets, all taken"
