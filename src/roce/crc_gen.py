#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes crc_tables.h: constants of the CRC-32 polynomial 0xEDB88320 (reflected: bit 31 is x^0). Run by hand, once."""

POLY = 0xEDB88320
ORDER = 2**32 - 1  # of x: the polynomial is primitive


def mul(a, b):
    p = 0
    for i in range(31, -1, -1):
        if a >> i & 1:
            p ^= b
        b = b >> 1 ^ (POLY if b & 1 else 0)
    return p


def power(e):
    e %= ORDER
    r, b = 1 << 31, 1 << 30
    while e:
        if e & 1:
            r = mul(r, b)
        b = mul(b, b)
        e >>= 1
    return r


def rows(values, indent):
    out = []
    for i in range(0, len(values), 6):
        out.append(indent + " ".join(f"0x{v:08x}," for v in values[i : i + 6]))
    return "\n".join(out)


def main():
    print("/* SPDX-License-Identifier: Apache-2.0 */")
    print("/* Constants of CRC-32, written by crc_gen.py for crc32.c alone. Reflected: bit 31 is x^0. */")
    print("/* clang-format off */")
    # slice[k] bit i: the register after byte 1 << i and k zero bytes. All other entries are sums of these.
    print("#define CRC_SLICES(X) \\")
    lines = []
    for k in range(8):
        vals = [mul(1 << i, power(8 * (k + 1))) for i in range(8)]
        lines.append(f"\tX({k}, " + ", ".join(f"0x{v:08x}" for v in vals[:4]) + ", \\\n\t\t" + ", ".join(f"0x{v:08x}" for v in vals[4:]) + ")")
    print(" \\\n".join(lines))
    for name, sign, what in (("power_fwd", 1, "x^(8 * i * 16^d)"), ("power_inv", -1, "x^(-8 * i * 16^d)")):
        print(f"\n/* [d][i] = {what} */")
        print(f"static const uint32_t {name}[8][16] = {{")
        for d in range(8):
            print("\t{")
            print(rows([power(sign * 8 * i * 16**d) for i in range(16)], "\t\t"))
            print("\t},")
        print("};")
    print("/* clang-format on */")


main()
