import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioparcs import Address, SettingError
from tests.support.strategies import property_test

_fingerprints = st.just("") | st.binary(min_size=32, max_size=32).map(bytes.hex)
_names = st.text("abcdefghijklmnopqrstuvwxyz0123456789-._", min_size=1, max_size=40)
_tcp_hosts = (
    st.ip_addresses(v=4).map(str)
    | st.ip_addresses(v=6).map(str)
    | st.from_regex(r"[a-z][a-z0-9-]{0,20}(\.[a-z][a-z0-9-]{0,9}){0,2}", fullmatch=True)
)
_addresses = st.builds(
    Address, st.just("tcp"), _tcp_hosts, st.integers(0, 65535), st.integers(-1, 10_000), _fingerprints
) | st.builds(Address, st.just("unix"), _names.map("@{}".format), st.just(0), st.integers(-1, 10_000), _fingerprints)


@property_test
@given(_addresses)
def test_any_address_comes_back_from_its_text(address: Address) -> None:
    assert Address.parse(str(address)) == address


@property_test
@given(
    st.text(max_size=30) | st.text("tcpunix:/@[]?#%&=.1 ", max_size=30) | st.text(max_size=9).map("tcp://{}:1".format)
)
def test_any_text_is_an_address_or_a_setting_error(text: str) -> None:
    try:
        address = Address.parse(text)
    except SettingError:
        return
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    "address, text",
    [
        (Address("tcp", "10.0.1.7", 41234), "tcp://10.0.1.7:41234"),
        (Address("tcp", "::1", 4444, 3), "tcp://[::1]:4444?worker=3"),
        (Address("tcp", "node", 1, 0, "ab" * 32), f"tcp://node:1?worker=0&cert={'ab' * 32}"),
        (Address("unix", "@parcs-1"), "unix:@parcs-1"),
        (Address("unix", "@parcs-1", 0, 12), "unix:@parcs-1?worker=12"),
    ],
)
def test_the_text_is_a_url(address: Address, text: str) -> None:
    assert str(address) == text
    assert Address.parse(text) == address


@pytest.mark.parametrize(
    "text",
    ["", "tcp", "tcp://", "tcp://host", "tcp://host:", "tcp://:80", "tcp://host:port", "tcp://host:65536", "tcp://host:-1",
     "tcp://[::1", "tcp://[nonsense]:1", "http://host:80", "host:80", "unix:", "unix:/tmp/socket", "unix:name",
     "tcp://host:1?worker=first", "//host:1", "tcp://ho\u2100st:1"],
)  # fmt: skip
def test_an_invalid_address_is_quoted(text: str) -> None:
    with pytest.raises(SettingError) as caught:
        Address.parse(text)
    assert repr(text) in str(caught.value)
