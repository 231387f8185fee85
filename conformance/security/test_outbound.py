"""The vetted client: it goes nowhere private, whatever a name, a receiver or a resolver says."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agenthub.errors import Invalid
from agenthub.outbound import MOST_READ_BYTES, Outbound, Refused, networks

PUBLIC = "93.184.216.34"
LOOPBACK = networks(["127.0.0.0/8"])


def says(*addresses: str) -> Callable[[str, int], Awaitable[Sequence[str]]]:
    """A resolver that always gives the same answer."""

    async def resolve(_: str, __: int) -> Sequence[str]:
        return addresses

    return resolve


@dataclass(slots=True)
class Receiver:
    """An HTTP server that answers with `answer`, and keeps what it got."""

    answer: bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    hang: bool = False
    endless: bool = False
    port: int = 0
    got: list[bytes] = field(default_factory=list)
    sent: int = 0

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            self.got.append(head + await reader.readexactly(length))
            if self.hang:
                await reader.read()
            writer.write(self.answer)
            while self.endless:
                writer.write(b"x" * 8192)
                self.sent += 8192
                await writer.drain()
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def receiving(
    receiver: Receiver, tls: ssl.SSLContext | None = None
) -> AsyncGenerator[Receiver]:
    server = await asyncio.start_server(receiver.connected, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "a.localhost", "[::1]", "[::]", "0.0.0.0", "0", "127.1", "2130706433",
        "0x7f.1", "017700000001", "127\u30020\u30020\u30021", "10.1.2.3", "172.16.0.1", "192.168.1.1",
        "100.64.0.1", "192.0.0.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
        # the metadata services of clouds
        "169.254.169.254", "[fd00:ec2::254]", "100.100.100.200", "168.63.129.16",
        # IPv4 in IPv6: mapped, compatible, translated, 6to4, NAT64, Teredo
        "[::ffff:127.0.0.1]", "[::ffff:169.254.169.254]", "[::7f00:1]", "[::ffff:0:7f00:1]",
        "[2002:7f00:1::]", "[2002:a9fe:a9fe::]", "[64:ff9b::7f00:1]", "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::808:808]", "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
        "[fe80::1]", "[fe80::1%25eth0]", "[fec0::1]", "[fd00::1]", "[ff02::1]", "[2001:db8::1]",
    ],
)  # fmt: skip
def test_an_address_that_is_not_public_is_refused_in_every_spelling(host: str) -> None:
    with pytest.raises(Refused, match="not a public address"):
        Outbound().check(f"https://{host}/hook")


@pytest.mark.parametrize(
    "host", ["8.8.8.8", "[2606:4700::1111]", "[::ffff:8.8.8.8]", "[64:ff9b::808:808]", "hooks.test"]
)
def test_a_public_address_or_a_name_may_be_called(host: str) -> None:
    Outbound().check(f"http://{host}:8080/hook?x=1")


@pytest.mark.parametrize(
    "url",
    ["", "/hook", "//hooks.test/", "ftp://hooks.test/", "file:///etc/passwd", "gopher://hooks.test/",
     "http://", "http:///x", "http://[::1", "http://hooks.test:99999/", "http://hooks.test:0/",
     "http://\0/", "http://hooks.test/\r\nx: y", "javascript:alert(1)", "https://hooks.test/" + "x" * 5000,
     f"https://{'a' * 64}.test/", "https://a..test/"],
)  # fmt: skip
def test_what_is_no_address_to_call_is_refused(url: str) -> None:
    with pytest.raises(Refused):
        Outbound().check(url)


@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.1",),
        ("10.0.0.1",),
        (PUBLIC, "10.0.0.1"),
        ("::ffff:10.0.0.1",),
        ("fe80::1%eth0",),
        (),
    ],
)
async def test_a_name_with_any_private_address_is_not_called(addresses: tuple[str, ...]) -> None:
    outbound = Outbound(resolve=says(*addresses))
    with pytest.raises(Refused) as caught:
        await outbound.post("http://hooks.test/", b"{}", {})
    assert "10.0.0.1" not in str(caught.value)


async def test_the_address_that_was_vetted_is_the_one_that_is_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name that is public the first time and private the second is only ever asked for once."""
    asked: list[str] = []
    dialled: list[str] = []

    async def rebinding(host: str, _: int) -> Sequence[str]:
        asked.append(host)
        return [PUBLIC] if len(asked) == 1 else ["127.0.0.1"]

    async def connect(self: object, host: str, *_: object, **__: object) -> None:
        dialled.append(host)
        raise OSError("no network in a test")

    import httpcore

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect)
    outbound = Outbound(resolve=rebinding)
    with pytest.raises((OSError, httpx.HTTPError)):
        await outbound.post("http://hooks.test/", b"{}", {})
    assert (asked, dialled) == (["hooks.test"], [PUBLIC])
    with pytest.raises(Refused):
        await outbound.post("http://hooks.test/", b"{}", {})
    assert dialled == [PUBLIC]


async def test_an_allowed_network_is_called_with_the_name_in_its_headers() -> None:
    async with receiving(Receiver()) as receiver:
        outbound = Outbound(networks=LOOPBACK, resolve=says("127.0.0.1"))
        url = f"http://hooks.test:{receiver.port}/a/b?c=d"
        reply = await outbound.post(url, b'{"x":1}', {"webhook-id": "1"})
    assert (reply.status, reply.ok, reply.retry_after) == (200, True, None)
    (got,) = receiver.got
    assert got.startswith(b"POST /a/b?c=d HTTP/1.1\r\n")
    assert f"host: hooks.test:{receiver.port}\r\n".encode() in got.lower()
    assert b"webhook-id: 1\r\n" in got
    assert got.endswith(b'\r\n\r\n{"x":1}')


def test_an_allowed_network_allows_nothing_else() -> None:
    outbound = Outbound(networks=networks(["10.1.0.0/16", "fd00::/8"]))
    assert outbound.may_call(ip_address("10.1.2.3"))
    assert outbound.may_call(ip_address("fd00::1"))
    assert outbound.may_call(ip_address("::ffff:10.1.2.3"))
    assert not outbound.may_call(ip_address("10.2.0.1"))
    assert not outbound.may_call(ip_address("127.0.0.1"))
    assert not outbound.may_call(ip_address("169.254.169.254"))


def test_a_network_that_is_none_is_refused() -> None:
    with pytest.raises(Invalid, match="give networks like"):
        networks(["10.0.0.0/8", "intranet"])


async def test_redirects_are_not_followed() -> None:
    moved = b"HTTP/1.1 307 Moved\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n"
    async with receiving(Receiver(answer=moved)) as receiver:
        outbound = Outbound(networks=LOOPBACK)
        reply = await outbound.post(f"http://127.0.0.1:{receiver.port}/", b"{}", {})
    assert (reply.status, reply.ok) == (307, False)
    assert len(receiver.got) == 1


async def test_a_receiver_that_hangs_is_left_after_the_time_limit() -> None:
    async with receiving(Receiver(hang=True)) as receiver:
        outbound = Outbound(networks=LOOPBACK, timeout_seconds=0.2)
        with pytest.raises((TimeoutError, httpx.TimeoutException)):
            await outbound.post(f"http://127.0.0.1:{receiver.port}/", b"{}", {})


async def test_a_resolver_that_hangs_counts_towards_the_time_limit() -> None:
    async def never(_: str, __: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return ()

    with pytest.raises(TimeoutError):
        await Outbound(timeout_seconds=0.05, resolve=never).post("http://hooks.test/", b"{}", {})


async def test_an_answer_without_end_is_read_to_a_limit_only() -> None:
    endless = b"HTTP/1.1 200 OK\r\ncontent-length: 100000000000\r\n\r\n"
    async with receiving(Receiver(answer=endless, endless=True)) as receiver:
        outbound = Outbound(networks=LOOPBACK)
        reply = await outbound.post(f"http://127.0.0.1:{receiver.port}/", b"{}", {})
    assert reply.ok
    # what the sockets buffer, and no more
    assert receiver.sent < 1000 * MOST_READ_BYTES


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("120", 120), ("0", 0), ("-5", None), ("soon", None), ("", None), ("9" * 30, None)],
)
async def test_retry_after_is_read_as_seconds(header: str, seconds: int | None) -> None:
    answer = f"HTTP/1.1 503 No\r\nretry-after: {header}\r\ncontent-length: 0\r\n\r\n".encode()
    async with receiving(Receiver(answer=answer)) as receiver:
        url = f"http://127.0.0.1:{receiver.port}/"
        reply = await Outbound(networks=LOOPBACK).post(url, b"{}", {})
    assert reply.retry_after == (None if seconds is None else timedelta(seconds=seconds))


async def test_retry_after_is_read_as_a_date() -> None:
    at = (datetime.now(UTC) + timedelta(hours=1)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    answer = f"HTTP/1.1 503 No\r\nretry-after: {at}\r\ncontent-length: 0\r\n\r\n".encode()
    async with receiving(Receiver(answer=answer)) as receiver:
        url = f"http://127.0.0.1:{receiver.port}/"
        reply = await Outbound(networks=LOOPBACK).post(url, b"{}", {})
    assert reply.retry_after is not None
    assert timedelta(minutes=58) < reply.retry_after <= timedelta(hours=1)


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with receiving(Receiver()) as receiver:
        url = f"http://127.0.0.1:{receiver.port}/"
        assert (await Outbound(networks=LOOPBACK).post(url, b"{}", {})).ok


# --- TLS ----------------------------------------------------------------------------------------


def certified(name: str, folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The contexts of a server that is called `name`, and of a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "server.pem").write_bytes(pem + secret)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "server.pem")
    return server, ssl.create_default_context(cadata=pem.decode())


async def test_the_certificate_must_be_that_of_the_name_not_of_the_address(tmp_path: Path) -> None:
    server, client = certified("hooks.test", tmp_path)
    names: list[str] = []
    server.sni_callback = lambda _, name, __: names.append(name)
    outbound = Outbound(networks=LOOPBACK, resolve=says("127.0.0.1"), tls=client)
    async with receiving(Receiver(), server) as receiver:
        assert (await outbound.post(f"https://hooks.test:{receiver.port}/", b"{}", {})).ok
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await outbound.post(f"https://other.test:{receiver.port}/", b"{}", {})
    assert names == ["hooks.test", "other.test"]
    assert len(receiver.got) == 1


@pytest.mark.parametrize("address", ["10.0.0.1", "127.0.0.1", "169.254.169.254", "fd00::1"])
async def test_a_name_that_is_private_now_is_refused_when_it_is_vetted(address: str) -> None:
    with pytest.raises(Refused, match="public addresses only"):
        await Outbound(resolve=says(PUBLIC, address)).vet("https://hook.test/x")


async def test_a_name_that_has_no_address_yet_passes_until_it_is_called() -> None:
    async def unknown(_: str, __: int) -> Sequence[str]:
        raise OSError("no such name")

    outbound = Outbound(resolve=unknown)
    assert (await outbound.vet("https://hook.test/x")).host == "hook.test"
    with pytest.raises(OSError, match="no such name"):
        await outbound.post("https://hook.test/x", b"", {})
