"""Which addresses are out in the open, and which belong to this machine, its neighbours or its landlord."""

from __future__ import annotations

import ipaddress

# By the registries of special addresses. Written down here, as Python's own idea of them changes with its version.
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(block)
    for block in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        "168.63.129.16/32",  # looks public, and is the inner service of one provider's machines
        *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
    )
)
# All of IPv6 that is given out to the public lies here. Outside are this machine, neighbours, groups, and the forms
# that wrap an address of IPv4, which would hide it from the list above.
_PUBLIC_IPV6 = ipaddress.ip_network("2000::/3")


def is_public(address: str) -> bool:
    """Whether anybody on the internet could reach it: no private, loopback, link-local, shared or reserved one."""
    parsed = ipaddress.ip_address(address)
    if parsed.version == 6 and parsed not in _PUBLIC_IPV6:
        return False
    return not any(parsed in block for block in _NOT_PUBLIC if block.version == parsed.version)
