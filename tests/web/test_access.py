"""The rules of access to the page, each with what would go wrong without it."""

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from aioparcs.errors import SettingError
from aioparcs.web.http.listening import Listening, listen
from aioparcs.web.server import open_server
from tests.support.web import TOKEN, Page, control_socket, open_page, running, write_history

pytestmark = pytest.mark.one_loop

CLOSED = ["/api/jobs", "/api/jobs/render-1a2b3c", "/api/jobs/render-1a2b3c/workers/0", "/api/cluster",
          "/api/jobs/render-1a2b3c/workers/0/stack", "/api/none"]  # fmt: skip


async def status(page: Page, path: str, method: str = "GET", **options: Any) -> int:
    """Return the status of an answer, without reading all of it."""
    async with page.client.request(method, page.url + path, **options) as answer:
        return answer.status


def at_loopback(listening: Listening) -> Listening:
    """Return a socket with the address by which this test reaches it."""
    return listening._replace(url=f"http://127.0.0.1:{listening.socket.getsockname()[1]}/")


def test_it_listens_on_loopback_alone() -> None:
    listening = listen(port=0)
    with listening.socket as bound:
        assert bound.getsockname()[0] == "127.0.0.1"
        assert listening.url.startswith("http://127.0.0.1:")


def test_other_machines_need_tls_or_an_explicit_word() -> None:
    for host in ("0.0.0.0", "::", socket.gethostname()):
        if host == socket.gethostname() and socket.gethostbyname(host).startswith("127."):
            continue
        with pytest.raises(SettingError, match="add --tls-cert FILE and --tls-key FILE, or --insecure; or use ssh -L"):
            listen([host], 0)
    listening = listen(["0.0.0.0"], 0, insecure=True)
    listening.socket.close()
    assert listening.any_address


def test_the_next_free_port_is_taken_unless_one_is_given() -> None:
    first = listen(port=0)
    with first.socket:
        port = first.socket.getsockname()[1]
        with pytest.raises(SettingError, match=f"127.0.0.1:{port} can't be used: Address already in use; choose"):
            listen(port=port)
    usual = listen()
    with usual.socket, listen().socket as next_one:
        assert next_one.getsockname()[1] > usual.socket.getsockname()[1] >= 8787


async def test_nothing_of_jobs_is_shown_without_a_login() -> None:
    write_history("render-1a2b3c")
    async with open_page() as page:
        async with aiohttp.ClientSession() as anonymous:
            other = page._replace(client=anonymous)
            for path in CLOSED:
                code, answer = await other.get(path)
                assert (code, list(answer)) == (401, ["error"])
            for path in ("/", "/page/app.js"):
                assert await status(other, path) == 200
        assert await status(page, "/api/jobs") == 200


async def test_metrics_need_a_token_and_their_own_opens_nothing_else() -> None:
    async with open_page(metrics_token="of-metrics") as page, aiohttp.ClientSession() as collector:
        anonymous = page._replace(client=collector)
        for sent in ("", "Bearer wrong", f"Basic {TOKEN}", "Bearer"):
            assert await status(anonymous, "/metrics", headers={"Authorization": sent}) == 401
        for token in (TOKEN, "of-metrics"):
            async with collector.get(f"{page.url}/metrics", headers={"Authorization": f"Bearer {token}"}) as answer:
                assert answer.status == 200
                assert "aioparcs_build_info" in await answer.text()
        for path in CLOSED:
            assert await status(anonymous, path, headers={"Authorization": "Bearer of-metrics"}) == 401
        assert (await anonymous.post("/api/login", {"token": "of-metrics"}))[0] == 403


@pytest.mark.parametrize(
    "body", [{"token": ""}, {"token": TOKEN[:-1]}, {"token": f"{TOKEN} "}, {"token": "ü\ud800"}], ids=str
)
async def test_a_wrong_token_gets_no_session(body: Any) -> None:
    async with open_page() as page, aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as anonymous:
        other = page._replace(client=anonymous)
        code, answer = await other.post("/api/login", body)
        assert (code, list(answer)) == (403, ["error"])
        assert not list(anonymous.cookie_jar)
        assert (await other.get("/api/cluster"))[0] == 401


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"token": 1}', b"\xff\xfe", b"{" * 1000, b"[" * 16_000])
async def test_a_login_that_is_none_is_refused(body: bytes) -> None:
    async with open_page() as page:
        assert await status(page, "/api/login", "POST", data=body, headers={"Origin": page.url}) == 400


@pytest.mark.parametrize("path", ["/api/login", "/api/jobs/render-1a2b3c/pools/1/resize"])
@pytest.mark.parametrize(
    "body, headers",
    [
        (b"[" * 16_000, {}),
        (b"{}", {"Content-Type": "application/json; charset=nope"}),
        (b"xx", {"Content-Encoding": "gzip"}),
        (b"xx", {"Content-Encoding": "deflate"}),
    ],
    ids=["deep", "charset", "gzip", "deflate"],
)
async def test_a_body_that_cannot_be_read_is_refused(path: str, body: bytes, headers: dict[str, str]) -> None:
    write_history("render-1a2b3c")
    async with open_page(control=True) as page:
        sent = {"Origin": page.url, "Content-Type": "application/json"} | headers
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(page.url).port)
        sent |= {"Host": urlsplit(page.url).netloc, "Authorization": f"Bearer {TOKEN}", "Connection": "close"}
        lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        writer.write(f"POST {path} HTTP/1.1\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
        writer.close()


async def test_a_name_that_is_too_long_is_no_file() -> None:
    async with open_page() as page:
        assert await status(page, f"/page/{'a' * 300}") == 404


async def test_a_stream_has_no_head() -> None:
    write_history("render-1a2b3c")
    async with open_page() as page:
        for path in ("/api/jobs", "/api/jobs/render-1a2b3c"):
            assert await status(page, path, "HEAD") == 405


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites() -> None:
    async with open_page() as page:
        async with page.client.post(
            f"{page.url}/api/login", json={"token": TOKEN}, headers={"Origin": page.url}
        ) as answer:
            cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert TOKEN not in cookie
        assert str(urlsplit(page.url).port) in cookie.partition("=")[0]


async def test_a_token_in_a_header_is_as_good_for_programs() -> None:
    async with open_page() as page, aiohttp.ClientSession() as program:
        other = page._replace(client=program)
        assert await status(other, "/api/jobs", headers={"Authorization": f"Bearer {TOKEN}"}) == 200
        assert await status(other, "/api/jobs", headers={"Authorization": "Bearer no"}) == 401
        assert await status(other, "/api/jobs", headers={"Authorization": TOKEN}) == 401


@pytest.mark.parametrize(
    "host, code",
    [("evil.example", 421), ("127.0.0.1.evil.example", 421), ("", 421), ("localhost.", 421), ("10.0.0.1", 421),
     ("[::1", 421), ("localhost", 200), ("LOCALHOST:9000", 200), ("127.0.0.1:1", 200), ("[::1]:80", 200)],
)  # fmt: skip
async def test_a_name_that_has_come_to_resolve_here_is_refused(host: str, code: int) -> None:
    async with open_page() as page:
        for path in ("/", "/page/app.js", "/api/cluster", "/api/jobs"):
            assert await status(page, path, headers={"Host": host}) == code


async def test_names_that_were_given_are_known() -> None:
    listening = listen(["127.0.0.1", "jobs.example.org"], 0)
    async with open_page(listening=at_loopback(listening)) as page:
        assert await status(page, "/", headers={"Host": "jobs.example.org"}) == 200
        assert await status(page, "/", headers={"Host": "example.org"}) == 421


async def test_all_addresses_of_a_machine_are_its_own_but_not_all_names() -> None:
    listening = listen(["0.0.0.0"], 0, insecure=True)
    async with open_page(listening=at_loopback(listening)) as page:
        assert await status(page, "/", headers={"Host": "192.0.2.1"}) == 200
        assert await status(page, "/", headers={"Host": socket.gethostname()}) == 200
        assert await status(page, "/", headers={"Host": "evil.example"}) == 421


FOREIGN = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "{url}", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "{url}", "Sec-Fetch-Site": "same-site"},
    {"Origin": "{https}"},
    {"Sec-Fetch-Site": "same-origin"},
    {"Authorization": "Bearer {token}"},
    {},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
async def test_no_other_page_can_change_anything(headers: dict[str, str]) -> None:
    path = write_history("render-1a2b3c")
    with running(path):
        async with control_socket(path, {"ok": True, "text": "stopped"}) as requests, open_page(control=True) as page:
            https = page.url.replace("http:", "https:")
            sent = {name: text.format(url=page.url, https=https, token=TOKEN) for name, text in headers.items()}
            for target in ("/api/jobs/render-1a2b3c/stop", "/api/login"):
                assert await status(page, target, "POST", json={"token": TOKEN}, headers=sent) == 403
            assert not requests


@pytest.mark.parametrize("headers", FOREIGN[:-3], ids=str)
async def test_no_other_page_can_read_a_stream(headers: dict[str, str]) -> None:
    write_history("render-1a2b3c")
    async with open_page() as page:
        https = page.url.replace("http:", "https:")
        sent = {name: text.format(url=page.url, https=https) for name, text in headers.items()}
        for target in ("/api/jobs", "/api/jobs/render-1a2b3c", "/api/cluster"):
            assert await status(page, target, headers=sent) == 403


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "POST"])
async def test_other_methods_do_nothing(method: str) -> None:
    async with open_page(control=True) as page:
        for path in ("/", "/page/app.js", "/api/jobs", "/api/cluster"):
            assert await status(page, path, method, headers={"Origin": page.url}) == 405


@pytest.mark.parametrize("path", ["/", "/page/app.js", "/page/none", "/none", "/api/jobs", "/api/none", "/api/cluster"])
async def test_each_answer_has_the_headers_of_a_closed_page(path: str) -> None:
    async with open_page() as page, aiohttp.ClientSession() as anonymous:
        for client in (page.client, anonymous):
            async with client.get(page.url + path) as answer:
                policy = answer.headers["Content-Security-Policy"]
                assert "default-src 'self'" in policy
                assert "frame-ancestors 'none'" in policy
                assert "unsafe" not in policy
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers["Referrer-Policy"] == "no-referrer"
                assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
                assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
                assert "Access-Control-Allow-Origin" not in answer.headers
                assert "Server" not in answer.headers


@pytest.mark.parametrize(
    "path", ["/page/../server.py", "/page/%2e%2e/server.py", "/page/..%2fserver.py", "/page/%2fetc/passwd",
             "/page//etc", "/page/.", "/page/lib", "/page/app.js%00.css", "/page/..%5cserver.py"],
)  # fmt: skip
async def test_no_other_file_is_served(path: str) -> None:
    async with open_page() as page:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(page.url).port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        assert answer.split(b" ")[1] in (b"404", b"400")
        assert b"root:" not in answer
        assert b"import" not in answer


async def test_a_large_body_is_refused() -> None:
    async with open_page() as page:
        code = await status(page, "/api/login", "POST", data=b"x" * 100_000, headers={"Origin": page.url})
        assert code == 413


async def test_a_failure_of_the_server_itself_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("aioparcs.web.assets._TYPES", None)
    async with open_page() as page:
        assert await status(page, "/page/app.js") == 500
    assert [record for record in caplog.records if record.name.startswith("aiohttp")] == []


async def test_connections_are_bounded() -> None:
    async with open_page() as page:
        port = urlsplit(page.url).port
        opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(140)]
        refused = 0
        for reader, writer in opened:
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            try:
                refused += not await reader.read(10)
            except ConnectionError:
                refused += 1
        assert 10 <= refused <= 20
        for _, writer in opened:
            writer.close()


async def test_streams_are_bounded() -> None:
    write_history("render-1a2b3c")
    async with open_page() as page, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as many:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        answers = [await many.get(f"{page.url}/api/jobs/render-1a2b3c", headers=headers) for _ in range(34)]
        assert sorted(answer.status for answer in answers) == [200] * 32 + [503] * 2
        for answer in answers:
            answer.close()
        other = page._replace(client=many)
        async with asyncio.timeout(20):
            while await status(other, "/api/jobs", headers=headers) != 200:  # noqa: ASYNC110  # the server notices it
                await asyncio.sleep(0.05)


async def test_tls_is_spoken_and_the_cookie_is_for_it_alone(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    listening = listen(port=0, cert=cert, key=key)
    context = ssl.create_default_context(cafile=str(cert))
    async with open_server(listening, TOKEN, has_control=False), aiohttp.ClientSession() as client:
        url, body = listening.url.removesuffix("/"), {"token": TOKEN}
        async with client.post(f"{url}/api/login", json=body, headers={"Origin": url}, ssl=context) as answer:
            assert answer.status == 200
            assert "Secure" in answer.headers["Set-Cookie"]
        with pytest.raises(aiohttp.ClientError):
            await client.get(url.replace("https:", "http:"))


def certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate of 127.0.0.1, and its key."""
    from datetime import UTC, datetime, timedelta
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    now = datetime.now(UTC)
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    files = folder / "cert.pem", folder / "key.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    kind = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, *kind))
    return files
