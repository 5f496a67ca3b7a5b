"""How much a client gets, by a clock that the test moves."""

from edgecl.web.limits import CLIENTS, Rate, Turnstile, neighbourhood


def test_a_burst_then_a_rate() -> None:
    """So many at once, then one per interval; waiting fills the bucket up to the burst and no further."""
    now_s = 0.0
    turnstile = Turnstile({"look": Rate(burst=3, per_second=2.0)}, clock=lambda: now_s)
    assert [turnstile.wait_s("a", "look") for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    now_s = 0.5
    assert [turnstile.wait_s("a", "look") for _ in range(2)] == [0.0, 0.5]
    now_s = 1000.0
    assert [turnstile.wait_s("a", "look") for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]


def test_clients_and_kinds_do_not_share() -> None:
    """One client's haste costs no other one anything, nor its own other kinds of requests."""
    turnstile = Turnstile({"look": Rate(1, 1.0), "change": Rate(1, 1.0)}, clock=lambda: 0.0)
    waits = [turnstile.wait_s(client, kind) for client, kind in (("a", "look"), ("a", "look"), ("b", "look"), ("a", "change"))]
    assert waits == [0.0, 1.0, 0.0, 0.0]


def test_the_table_of_clients_is_bounded() -> None:
    """Ever new addresses do not fill the memory: the one that was quiet for longest is forgotten."""
    turnstile = Turnstile({"look": Rate(1, 0.001)}, clock=lambda: 0.0)
    for number in range(CLIENTS + 1):
        turnstile.wait_s(f"client {number}", "look")
    assert len(turnstile._buckets) == CLIENTS
    assert turnstile.wait_s("client 0", "look") == 0.0
    assert turnstile.wait_s(f"client {CLIENTS}", "look") > 0.0


def test_an_ipv6_network_is_one_client() -> None:
    """Addresses of one /64 belong together, IPv4 addresses do not; what is no address stands for itself."""
    assert neighbourhood("2001:db8::1") == neighbourhood("2001:db8::ffff:2") != neighbourhood("2001:db8:0:1::1")
    assert neighbourhood("fe80::1%eth0") == neighbourhood("fe80::2%eth0")
    assert neighbourhood("192.0.2.1") != neighbourhood("192.0.2.2")
    assert neighbourhood("testclient") == "testclient"
