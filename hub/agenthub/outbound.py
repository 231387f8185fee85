"""Calls to addresses that others chose: the one client for them, which goes nowhere private.

A name is resolved once; all its addresses must be public; the connection goes to one of these very
addresses, with the name in Host, SNI and the certificate's check. So a name that resolves differently
the next moment changes nothing. No redirects, no proxies, no pooled connections (two names may share an
address), limits for time and for what is read.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

import httpx

from agenthub.errors import Invalid

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network
Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]

LONGEST_URL: Final = 4096
MOST_READ_BYTES: Final = 16 * 1024
CONNECT_SECONDS: Final = 5.0
TRANSLATED: Final = (ip_network("64:ff9b::/96"), ip_network("::ffff:0:0:0/96"))
"""Where translators put IPv4 addresses."""
LOCAL_TRANSLATED: Final = ip_network("64:ff9b:1::/48")
"""For translators of a network's own; Python takes it for public before 3.12.4."""
COMPATIBLE: Final = ip_network("::/96")
LOCALHOST: Final = ip_address("127.0.0.1")
METADATA: Final = frozenset({ip_address("168.63.129.16")})
"""Services of clouds for their machines that have public addresses; the others have link-local ones."""


class Refused(Exception):
    """The call must not be made; what it says may be shown."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. `retry_after` is what the receiver asked for, if it did."""

    status: int
    retry_after: timedelta | None = None

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


async def resolve(host: str, port: int) -> Sequence[str]:
    """All addresses of a name, from the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class Outbound:
    """The client. `networks` are private networks that may be called all the same; `tls` has the authorities
    that are trusted, by default the usual ones."""

    def __init__(
        self,
        *,
        networks: Sequence[Network] = (),
        timeout_seconds: float = 15.0,
        resolve: Resolve = resolve,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.networks = networks
        self.timeout_seconds = timeout_seconds
        self.resolve = resolve
        # made once: reading all authorities takes longer than a call
        self.tls = tls or httpx.create_ssl_context(trust_env=False)

    def check(self, url: str) -> httpx.URL:
        """A URL that may be called, as far as one can tell without resolving it.

        Raises:
            Refused: it is no absolute http(s) URL, or its address is private.
        """
        if len(url) > LONGEST_URL:
            raise Refused(f"the URL is longer than {LONGEST_URL} characters")
        try:
            parsed = httpx.URL(url)
        except (httpx.InvalidURL, ValueError, TypeError) as error:
            raise Refused(f"the URL cannot be read: {error}") from None
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise Refused("the URL must begin with http:// or https:// and name a host")
        try:
            # what the resolver does with it
            parsed.host.encode("idna")
        except UnicodeError:
            raise Refused("the URL's host is no name that can be looked up") from None
        if parsed.port is not None and not 0 < parsed.port < 1 << 16:
            raise Refused(f"{parsed.port} is not a port")
        literal = _literal(parsed.host)
        if literal is not None and not self.may_call(literal):
            raise Refused(f"{parsed.host} is not a public address")
        return parsed

    def may_call(self, address: Address) -> bool:
        """Whether an address is public, or in one of the networks that are allowed."""
        seen = (address, *_inside(address))
        if any(a in network for a in seen for network in self.networks if _same(a, network)):
            return True
        return all(_is_public(a) for a in seen)

    async def vet(self, url: str) -> httpx.URL:
        """`check`, and a look at the addresses that its host has now. A name that cannot be resolved
        now passes: what counts is what it has when it is called.

        Raises:
            Refused: the URL or an address of its host must not be called.
        """
        parsed = self.check(url)
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._vetted(parsed)
        return parsed

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Send a body.

        Raises:
            Refused: the URL or an address of its host must not be called.
            httpx.HTTPError, OSError, TimeoutError: it could not be sent, or nothing came back in time.
        """
        parsed = self.check(url)
        async with asyncio.timeout(self.timeout_seconds):
            address = await self._vetted(parsed)
            return await self._send(parsed, address, body, headers)

    async def _vetted(self, url: httpx.URL) -> str:
        port = url.port or (443 if url.scheme == "https" else 80)
        literal = _literal(url.host)
        found = [str(literal)] if literal else await self.resolve(url.host, port)
        if not found:
            raise Refused(f"{url.host} has no address")
        for one in found:
            if not self.may_call(ip_address(one)):
                # which address it was is nothing for those who chose the name
                raise Refused(f"{url.host} does not resolve to public addresses only")
        return found[0]

    async def _send(
        self, url: httpx.URL, address: str, body: bytes, headers: Mapping[str, str]
    ) -> Reply:
        async with (
            httpx.AsyncClient(
                verify=self.tls,
                trust_env=False,
                follow_redirects=False,
                limits=httpx.Limits(max_keepalive_connections=0),
                timeout=httpx.Timeout(self.timeout_seconds, connect=CONNECT_SECONDS),
            ) as client,
            client.stream(
                "POST",
                url.copy_with(host=address),
                content=body,
                headers={
                    "host": url.netloc.decode("ascii"),
                    "user-agent": "agenthub",
                    # nothing that would have to be unpacked
                    "accept-encoding": "identity",
                    **headers,
                },
                extensions={"sni_hostname": url.raw_host.decode("ascii")},
            ) as response,
        ):
            read = 0
            async for chunk in response.aiter_raw():
                read += len(chunk)
                if read > MOST_READ_BYTES:
                    break
            return Reply(response.status_code, _retry_after(response))


def networks(texts: Sequence[str]) -> Sequence[Network]:
    """Networks as configured. Raises `Invalid`."""
    try:
        return [ip_network(text, strict=False) for text in texts]
    except ValueError as error:
        raise Invalid(f"{error}: give networks like 10.0.0.0/8, or single addresses") from None


def _literal(host: str) -> Address | None:
    """The address that a host is, in any spelling that a resolver would take without asking anyone."""
    try:
        if host == "localhost" or host.endswith(".localhost"):
            return LOCALHOST
        return ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        # 127.1, 0x7f.1, 2130706433 and the like
        return IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None


def _inside(address: Address) -> tuple[Address, ...]:
    """The IPv4 addresses that an IPv6 address stands for."""
    if isinstance(address, IPv4Address):
        return ()
    low = IPv4Address(int(address) & 0xFFFF_FFFF)
    if any(address in network for network in (*TRANSLATED, COMPATIBLE)) and int(address) > 1:
        return (low,)
    teredo = address.teredo or ()
    return tuple(a for a in (address.ipv4_mapped, address.sixtofour, *teredo) if a is not None)


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address):
        if address.scope_id is not None or address.is_site_local or address in LOCAL_TRANSLATED:
            return False
        if _inside(address) and address.teredo is None:
            # what counts is what is inside
            return True
    return address.is_global and not address.is_multicast and address not in METADATA


def _same(address: Address, network: Network) -> bool:
    return address.version == network.version


def _retry_after(response: httpx.Response) -> timedelta | None:
    """Seconds or a date; anything else is none."""
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return timedelta(seconds=int(text))
    try:
        at = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return max(at - datetime.now(UTC), timedelta())
