"""Rate limits: a bucket allows a burst, refills steadily, and the number of buckets is bounded."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable.limit import Rate
from triggers.http.rate_limit import RateLimiter, find_network


@dataclass
class Clock:
    """A clock that only the test moves."""

    now: float = 1_000.0

    def __call__(self) -> int:
        return round(self.now * 1e9)


def limiter(rate: str, clock: Clock, most: int = 100) -> RateLimiter:
    return RateLimiter(Rate.parse(rate), clock, most=most)


def test_requests_within_the_burst_pass_and_the_next_gets_its_retry_delay() -> None:
    clock = Clock()
    limited = limiter("3/30s", clock)
    assert [limited.take("a") for _ in range(5)] == [0, 0, 0, 10, 10]
    clock.now += 9.5
    assert limited.take("a") == 1
    clock.now += 0.5
    assert [limited.take("a") for _ in range(2)] == [0, 10]
    clock.now += 1_000
    assert [limited.take("a") for _ in range(4)] == [0, 0, 0, 10]


def test_each_client_has_its_own_bucket() -> None:
    limited = limiter("1/1m", Clock())
    assert [limited.take(name) for name in "aabb"] == [0, 60, 0, 60]


def test_the_least_recently_used_bucket_is_evicted_first_and_the_count_is_bounded() -> None:
    limited = limiter("1/1m", Clock(), most=3)
    assert [limited.take(name) for name in "abc"] == [0, 0, 0]
    assert limited.take("a") > 0
    assert limited.take("d") == 0  # b was evicted; a was used more recently
    assert [limited.take(name) > 0 for name in "acd"] == [True, True, True]
    for number in range(10_000):
        limited.take(str(number))
    assert len(limited) == 3


def test_all_requests_pass_without_a_rate() -> None:
    limited = RateLimiter(None, Clock())
    assert not any(limited.take("a") for _ in range(10_000))


@given(st.lists(st.floats(0, 5), max_size=60), st.integers(1, 20))
def test_no_window_passes_more_than_the_bucket_and_its_refill(pauses: list[float], number: int) -> None:
    clock = Clock()
    limited = RateLimiter(Rate(number, 10_000), clock)
    passed: list[float] = []
    for pause in pauses:
        clock.now += pause
        if limited.take("a") == 0:
            passed.append(clock.now)
    for index, since in enumerate(passed):
        for until in passed[index:]:
            count = sum(since <= at <= until for at in passed)
            assert count <= number + (until - since) * number / 10 + 1e-6


@given(st.floats(0, 1e9), st.integers(1, 100_000))
def test_a_full_bucket_passes_its_whole_burst(now: float, number: int) -> None:
    limited = RateLimiter(Rate(number, 60_000), Clock(now))
    assert not any(limited.take("a") for _ in range(min(number, 50)))


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::9", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
        ("testclient", "testclient"),
    ],
)
def test_all_addresses_of_one_ipv6_network_share_a_bucket(address: str, network: str) -> None:
    assert find_network(address) == network
