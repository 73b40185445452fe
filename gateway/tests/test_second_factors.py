"""
Second factors: codes that count once, recovery codes, passkeys, and the half that opens nothing.
"""

import hashlib
import json
import re
from typing import Any
from uuid import uuid4

import pyotp
import pytest
from counterfoil.config import Web
from counterfoil.people import factors, limits
from counterfoil.people.roles import Role
from counterfoil.web.application import PAGES
from counterfoil.web.session import COOKIE, HALF_COOKIE
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from payment_stage import Stage
from test_signing_in import noted, step_up, try_it
from web_stage import ORIGIN, PASSWORD, Site, WindowlessBrowser, words
from webauthn.helpers import bytes_to_base64url, encode_cbor

SECRET = re.compile(r'<code class="secret"[^>]*>((?:<span>[A-Z2-7]{4}</span>){8})</code>')
CODE = re.compile(r"<li>([a-z2-9]{4}(?:-[a-z2-9]{4}){3})</li>")


@pytest.fixture
async def site(stage: Stage) -> Site:
    """The pages of the stage's merchant."""
    return await Site.of(stage)


def code_of(site: Site, secret: str) -> str:
    """Return what an app shows now."""
    return pyotp.TOTP(secret).at(site.stage.clock.now())


async def with_app(site: Site, browser: WindowlessBrowser) -> str:
    """Set an app up and return its secret."""
    await step_up(browser, "/me/authenticator")
    await browser.get("/me/authenticator")
    await browser.send("/me/authenticator", {})
    shown = await browser.get("/me/authenticator")
    found = SECRET.search(shown.text)
    assert found, shown.text
    secret = re.sub(r"</?span>", "", found.group(1))
    form = {"code": code_of(site, secret)}
    done = await browser.send("/me/authenticator/confirm", form)
    assert (done.status_code, done.headers["location"]) == (303, "/me/recovery")
    return secret


async def half_in(site: Site) -> WindowlessBrowser:
    """Return a browser in which the owner's password was right."""
    browser = site.browser()
    form = {"email": site.address_of(), "password": PASSWORD, "next": "/me"}
    answer = await browser.send("/sign-in", form)
    assert answer.headers["location"] == "/sign-in/second?next=/me"
    return browser


async def second(browser: WindowlessBrowser, code: str) -> Any:
    """Type a code."""
    return await browser.send("/sign-in/second", {"code": code, "next": "/me"})


async def test_after_the_password_the_code_is_asked_for(site: Site) -> None:
    """Both together sign in, with a cookie that was not there before."""
    secret = await with_app(site, await site.signed_in())
    site.stage.clock.move(30)
    browser = await half_in(site)
    half = browser.client.cookies[HALF_COOKIE]
    opened = await browser.get("/sign-in/second?next=/me")
    answer = await second(browser, f" {code_of(site, secret)[:3]} {code_of(site, secret)[3:]}")

    assert "a code of your authenticator app" in words(opened)
    assert (answer.status_code, answer.headers["location"]) == (303, "/me")
    assert browser.client.cookies[COOKIE] != half
    assert HALF_COOKIE not in browser.client.cookies
    assert (await browser.get("/me")).status_code == 200


async def test_half_a_sign_in_opens_nothing_else(site: Site) -> None:
    """Each page sends to sign in, whichever cookie its token is put into; it is used up once."""
    secret = await with_app(site, await site.signed_in())
    site.stage.clock.move(30)
    browser = await half_in(site)
    token = browser.client.cookies[HALF_COOKIE]
    for path in {each.path for each in PAGES if not each.open_to_all and each.method == "GET"}:
        plain = path.replace("{", "").replace("}", "")
        for answer in (
            await browser.get(plain),
            await site.browser().get(plain, Cookie=f"{COOKIE}={token}"),
        ):
            assert answer.status_code == 303, path
            assert answer.headers["location"].startswith("/sign-in?next="), path

    assert (await second(browser, code_of(site, secret))).headers["location"] == "/me"
    site.stage.clock.move(30)
    again = site.browser()
    again.client.cookies.set(HALF_COOKIE, token)
    answer = await second(again, code_of(site, secret))
    assert answer.headers["location"].startswith("/sign-in?next=")
    assert COOKIE not in again.client.cookies


async def test_half_a_sign_in_lapses(site: Site) -> None:
    """After ten minutes."""
    secret = await with_app(site, await site.signed_in())
    browser = await half_in(site)
    site.stage.clock.move(10 * 60)

    answer = await second(browser, code_of(site, secret))
    assert answer.headers["location"].startswith("/sign-in?next=")
    opened = await browser.get("/sign-in/second")
    assert opened.headers["location"].startswith("/sign-in?next=")


async def test_a_code_counts_once(site: Site) -> None:
    """Nor does the one with which the app was set up, nor an older one after a newer."""
    secret = await with_app(site, await site.signed_in())
    replayed = await second(await half_in(site), code_of(site, secret))
    old = code_of(site, secret)
    site.stage.clock.move(30)
    code = code_of(site, secret)
    first = await second(await half_in(site), code)
    again = await second(await half_in(site), code)
    older = await second(await half_in(site), old)

    assert (replayed.status_code, first.status_code) == (401, 303)
    assert (again.status_code, older.status_code) == (401, 401)
    assert code not in again.text
    assert await noted(site, "second_factor_failed") == ["second_factor_failed"] * 3


async def test_wrong_codes_lock_though_the_password_is_right_each_time(site: Site) -> None:
    """A password does not buy new tries of the code."""
    secret = await with_app(site, await site.signed_in())
    for _ in range(10):
        assert (await second(await half_in(site), "000000")).status_code == 401
    assert (await try_it(site, PASSWORD)).status_code == 429
    site.stage.clock.move(30 * 60)
    assert (await second(await half_in(site), code_of(site, secret))).status_code == 303


async def test_a_recovery_code_signs_in_once(site: Site) -> None:
    """They are shown once; new ones end the old; only hashes are kept."""
    owner = await site.signed_in()
    await with_app(site, owner)
    await owner.get("/me/recovery")
    shown = await owner.send("/me/recovery", {})
    codes = CODE.findall(shown.text)
    assert len(set(codes)) == factors.RECOVERY_CODES
    assert not CODE.findall((await owner.get("/me/recovery")).text)

    once = await second(await half_in(site), codes[0].upper().replace("-", " "))
    twice = await second(await half_in(site), codes[0])
    assert (once.status_code, twice.status_code) == (303, 401)
    assert await noted(site, "recovery_code_used") == ["recovery_code_used"]
    assert "9 left" in words(await owner.get("/me"))

    await owner.send("/me/recovery", {})
    assert (await second(await half_in(site), codes[1])).status_code == 401


async def test_the_secret_is_sealed_and_goes_with_the_app(site: Site) -> None:
    """It stands in no row, in no form that is shown again, and not after the app was removed."""
    browser = await site.signed_in()
    await step_up(browser, "/me/authenticator")
    await browser.get("/me/authenticator")
    await browser.send("/me/authenticator", {})
    found = SECRET.search((await browser.get("/me/authenticator")).text)
    assert found
    secret = re.sub(r"</?span>", "", found.group(1))
    wrong = await browser.send("/me/authenticator/confirm", {"code": "000000"})
    rows = await site.stage.sql("SELECT ciphertext FROM authenticators")

    assert wrong.status_code == 422
    assert not any(each in wrong.text for each in (secret, found.group(1)))
    assert all(secret.encode() not in row["ciphertext"] for row in rows)
    form = {"code": code_of(site, secret)}
    await browser.send("/me/authenticator/confirm", form)
    removed = await browser.send("/me/authenticator/remove", {})
    assert removed.headers["location"].startswith("/me?done=authenticator-removed")
    assert (await try_it(site, PASSWORD)).headers["location"] == "/"
    assert await noted(site, "authenticator_added", "authenticator_removed") == [
        "authenticator_added",
        "authenticator_removed",
    ]


async def test_an_app_that_was_begun_lapses(site: Site) -> None:
    """A picture that was left open is worth nothing."""
    browser = await site.signed_in()
    await step_up(browser, "/me/authenticator")
    await browser.get("/me/authenticator")
    await browser.send("/me/authenticator", {})
    found = SECRET.search((await browser.get("/me/authenticator")).text)
    assert found
    secret = re.sub(r"</?span>", "", found.group(1))
    site.stage.clock.move(14 * 60)
    await step_up(browser, "/me/authenticator")
    site.stage.clock.move(61)
    await browser.get("/me/authenticator")
    form = {"code": code_of(site, secret)}
    await browser.send("/me/authenticator/confirm", form)
    assert (await try_it(site, PASSWORD)).headers["location"] == "/"


async def test_where_a_second_factor_is_required_it_comes_before_anything_else(
    stage: Stage,
) -> None:
    """In live mode by itself; afterwards everything opens."""
    site = await Site.of(stage, web=Web(second_factor="required"))
    browser = await site.signed_in()
    for path in ("/", "/me", "/today", "/developers", "/me/password"):
        assert (await browser.get(path)).headers["location"] == "/me/second-factor", path
    opened = await browser.get("/me/second-factor")
    assert "First, a second factor" in words(opened)
    assert (await browser.send("/me/name", {"name": "x"})).headers["location"].endswith("factor")

    assert (await browser.get("/me/authenticator")).status_code == 200
    await browser.send("/me/authenticator", {})
    found = SECRET.search((await browser.get("/me/authenticator")).text)
    assert found
    secret = re.sub(r"</?span>", "", found.group(1))
    form = {"code": code_of(site, secret)}
    assert (await browser.send("/me/authenticator/confirm", form)).status_code == 303
    assert (await browser.get("/me")).status_code == 200


async def test_factors_take_a_step_up(site: Site) -> None:
    """A browser left open gives nobody a factor of their own."""
    browser = await site.signed_in()
    for path in ("/me/authenticator", "/me/passkeys/new", "/me/recovery", "/me/password"):
        answer = await browser.get(path)
        assert answer.headers["location"] == f"/step-up?next={path}"
        await browser.get("/me")
        sent = await browser.send(path, {})
        if "passkeys" in path:  # A script asks, which is led there by what it reads.
            assert (sent.status_code, sent.json()["at"]) == (401, "/step-up")
        else:
            assert sent.headers["location"].startswith(f"/step-up?next={path}")


class Authenticator:
    """
    A security key in software: one key pair, and a count of what it signed.
    """

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.id = b"a passkey of the tests" + uuid4().bytes
        self.count = 0

    def made(self, options: dict[str, Any], origin: str = ORIGIN) -> str:
        """Return what a browser sends when it has made this passkey."""
        numbers = self.key.public_key().public_numbers()
        public = encode_cbor(
            {
                1: 2,
                3: -7,
                -1: 1,
                -2: numbers.x.to_bytes(32, "big"),
                -3: numbers.y.to_bytes(32, "big"),
            }
        )
        attested = bytes(16) + len(self.id).to_bytes(2, "big") + self.id + public
        data = self._data(0x41) + attested
        attestation = encode_cbor({"fmt": "none", "attStmt": {}, "authData": data})
        client = self._client("webauthn.create", options, origin)
        return self._sent({"clientDataJSON": client, "attestationObject": attestation})

    def signed(
        self,
        options: dict[str, Any],
        origin: str = ORIGIN,
        *,
        flags: int = 0x01,
        handle: bytes = b"",
    ) -> str:
        """Return what a browser sends when this passkey has signed; flags 0x05: it knows who."""
        self.count += 1
        data, client = self._data(flags), self._client("webauthn.get", options, origin)
        to_sign = data + hashlib.sha256(client).digest()
        signature = self.key.sign(to_sign, ec.ECDSA(hashes.SHA256()))
        said = {"clientDataJSON": client, "authenticatorData": data, "signature": signature}
        return self._sent({**said, "userHandle": handle} if handle else said)

    def _data(self, flags: int) -> bytes:
        site = hashlib.sha256(b"localhost").digest()
        return site + bytes([flags]) + self.count.to_bytes(4, "big")

    def _client(self, kind: str, options: dict[str, Any], origin: str) -> bytes:
        said = {"type": kind, "challenge": options["challenge"], "origin": origin}
        return json.dumps(said).encode()

    def _sent(self, response: dict[str, bytes]) -> str:
        written = bytes_to_base64url(self.id)
        fields = {name: bytes_to_base64url(value) for name, value in response.items()}
        return json.dumps(
            {"id": written, "rawId": written, "type": "public-key", "response": fields}
        )


async def with_passkey(site: Site, browser: WindowlessBrowser) -> Authenticator:
    """Add a passkey to who is signed in."""
    key = Authenticator()
    await step_up(browser, "/me/passkeys/new")
    await browser.get("/me/passkeys/new")
    options = (await browser.send("/me/passkeys/options", {})).json()
    form = {"name": "laptop", "credential": key.made(options)}
    added = await browser.send("/me/passkeys/new", form)
    assert added.json() == {"next": "/me/recovery"}
    return key


async def by_passkey(browser: WindowlessBrowser, key: Authenticator, **said: str) -> Any:
    """Sign in by a passkey."""
    options = (await browser.send("/sign-in/passkey/options", {})).json()
    form = {"credential": key.signed(options, **said), "next": "/me"}
    return await browser.send("/sign-in/passkey", form)


@pytest.mark.parametrize("name", ["", "x" * 65, "4242 4242 4242 4242"])
async def test_a_name_that_no_passkey_can_have_is_refused_at_its_field(
    site: Site, name: str
) -> None:
    """Before the browser is told what to make, and again with what it made."""
    owner = await site.signed_in()
    await step_up(owner, "/me/passkeys/new")
    await owner.get("/me/passkeys/new")

    for path in ("/me/passkeys/options", "/me/passkeys/new"):
        answer = await owner.send(path, {"name": name})

        assert answer.status_code == 422
        assert answer.json()["field"] == "name"


async def test_a_passkey_signs_in_after_the_password(site: Site) -> None:
    """And is named on the page about oneself; removed, it signs in no more."""
    owner = await site.signed_in()
    key = await with_passkey(site, owner)
    browser = await half_in(site)
    answer = await by_passkey(browser, key)

    assert answer.json() == {"next": "/me"}
    assert COOKIE in browser.client.cookies
    page = await owner.get("/me")
    assert "laptop" in words(page)
    found = re.search(r'href="(/me/passkeys/psk_[0-9a-f]{32}/remove)"', page.text)
    assert found
    stranger = await site.signed_in(Role.MANAGER)
    await step_up(stranger)
    assert (await stranger.get(found.group(1))).status_code == 404
    await owner.get(found.group(1))
    assert (await owner.send(found.group(1), {})).status_code == 303
    assert (await try_it(site, PASSWORD)).headers["location"] == "/"
    assert await noted(site, "passkey_added", "passkey_removed") == [
        "passkey_added",
        "passkey_removed",
    ]


async def test_what_a_passkey_signed_counts_once_and_for_this_site_only(site: Site) -> None:
    """Not sent twice, not of another site, not by a copy whose count went back, not another's."""
    key = await with_passkey(site, await site.signed_in())
    browser = await half_in(site)
    options = (await browser.send("/sign-in/passkey/options", {})).json()
    form = {"credential": key.signed(options)}
    taken = await browser.send("/sign-in/passkey", form)
    other = await half_in(site)
    await other.send("/sign-in/passkey/options", {})
    replayed = await other.send("/sign-in/passkey", form)
    false_page = await by_passkey(await half_in(site), key, origin="https://localhost.evil.example")
    key.count = 0
    copied = await by_passkey(await half_in(site), key)
    stranger = Authenticator()
    stranger.id = key.id
    forged = await by_passkey(await half_in(site), stranger)
    garbled = await (await half_in(site)).send("/sign-in/passkey", {"credential": "{["})

    assert taken.status_code == 200
    refused = (replayed, false_page, copied, forged, garbled)
    assert [each.status_code for each in refused] == [401] * 5


KNOWS_WHO = 0x05  # The device is there (1), and knows by finger, face or PIN who holds it (4).
ALONE = "/sign-in/passkey/alone"
GARBLED = ("{[", "", "[]", "1", '{"id": "%%"}', '{"id":1}', '{"id":"YQ","response":7}')


async def alone(browser: WindowlessBrowser, key: Authenticator, **said: Any) -> Any:
    """Sign in by a passkey, and by nothing else."""
    options = (await browser.send(f"{ALONE}/options", {})).json()
    assert options["userVerification"] == "required"
    assert not options.get("allowCredentials")
    form = {"credential": key.signed(options, **{"flags": KNOWS_WHO, **said}), "next": "/me"}
    return await browser.send(ALONE, form)


async def handle_of(site: Site) -> bytes:
    (row,) = await site.stage.sql("SELECT user_id FROM users WHERE email = $1", site.address_of())
    user: bytes = row["user_id"].bytes
    return user


async def test_a_passkey_signs_in_alone_as_both_factors(site: Site) -> None:
    """Also where a second one is required; nobody types a name, and the next page is the asked."""
    owner = await site.signed_in()
    key = await with_passkey(site, owner)
    shown = await site.browser().get("/sign-in?next=/payments")
    browser = site.browser()
    answer = await alone(browser, key, handle=await handle_of(site))
    nameless = await alone(site.browser(), key)

    assert 'data-options="/sign-in/passkey/alone/options"' in shown.text
    assert (answer.status_code, answer.json()) == (200, {"next": "/me"})
    assert nameless.status_code == 200
    assert f"owner at {site.stage.merchant.name}" in words(await browser.get("/me"))
    assert (await noted(site, "signed_in"))[-2:] == ["signed_in", "signed_in"]
    assert (await browser.get("/developers/keys/new")).status_code == 303  # It is no step-up.


async def test_what_signs_in_alone_counts_once_for_this_browser_and_knows_its_holder(
    site: Site,
) -> None:
    """Not without finger, face or PIN; not twice, elsewhere, too late, for another, or removed."""
    owner = await site.signed_in()
    key = await with_passkey(site, owner)
    browser, other = site.browser(), site.browser()
    touched = await alone(site.browser(), key, flags=0x01)
    options = (await browser.send(f"{ALONE}/options", {})).json()
    key.count = -1  # As one that is kept on several devices, which counts nothing.
    form = {"credential": key.signed(options, flags=KNOWS_WHO), "next": "/me"}
    kept = browser.client.cookies["__Host-counterfoil-asked"]
    without = await other.send(ALONE, form)
    await other.send(f"{ALONE}/options", {})
    elsewhere = await other.send(ALONE, form)
    taken = await browser.send(ALONE, form)
    copy = site.browser()
    copy.client.cookies.set("__Host-counterfoil-asked", kept)
    replayed = await copy.send(ALONE, form)
    anothers = await alone(site.browser(), key, handle=bytes(16))
    false_page = await alone(site.browser(), key, origin="https://localhost.evil.example")
    stranger = Authenticator()
    unknown = await alone(site.browser(), stranger)
    stranger.id = key.id
    forged = await alone(site.browser(), stranger)
    garbled = [await alone_garbled(site, each) for each in GARBLED]
    late = site.browser()
    options = (await late.send(f"{ALONE}/options", {})).json()
    site.stage.clock.move(5 * 60 + 1)
    too_late = await late.send(ALONE, {"credential": key.signed(options, flags=KNOWS_WHO)})
    await site.stage.sql("UPDATE passkeys SET ended_at = $1", site.stage.clock.now())
    removed = await alone(site.browser(), key)

    assert taken.status_code == 200
    refused = [touched, without, elsewhere, replayed, anothers, false_page, unknown, forged]
    refused += [*garbled, too_late, removed]
    assert [each.status_code for each in refused] == [401] * len(refused)
    assert "passkey_failed" in await noted(site, "passkey_failed")
    assert all(COOKIE not in str(each.headers) for each in refused)


async def alone_garbled(site: Site, credential: str) -> Any:
    """Send what no browser sends."""
    browser = site.browser()
    await browser.send(f"{ALONE}/options", {})
    return await browser.send(ALONE, {"credential": credential})


async def test_wrong_passkeys_lock_an_account_as_wrong_passwords_do(site: Site) -> None:
    """And a lock holds for the right one."""
    key = await with_passkey(site, await site.signed_in())
    forger = Authenticator()
    forger.id = key.id
    for _ in range(limits.ACCOUNT_TRIES_MAX):
        assert (await alone(site.browser(), forger)).status_code == 401

    locked = await alone(site.browser(), key)

    assert locked.status_code == 429
    assert "too many wrong tries" in locked.json()["words"]


async def test_a_passkey_steps_up(site: Site) -> None:
    """With a new cookie, as a password does; a code does too."""
    browser = await site.signed_in()
    key = await with_passkey(site, browser)
    site.stage.clock.move(5 * 60)
    before = browser.client.cookies[COOKIE]
    assert (await browser.get("/me/password")).status_code == 303
    await browser.get("/step-up?next=/me/password")
    options = (await browser.send("/step-up/passkey/options", {})).json()
    form = {"credential": key.signed(options), "next": "/me/password"}
    answer = await browser.send("/step-up/passkey", form)

    assert answer.json() == {"next": "/me/password"}
    assert browser.client.cookies[COOKIE] != before
    assert (await browser.get("/me/password")).status_code == 200


async def test_a_code_steps_up_once(site: Site) -> None:
    """The same code does not do it again."""
    browser = await site.signed_in()
    secret = await with_app(site, browser)
    site.stage.clock.move(10 * 60)
    await browser.get("/step-up")
    form = {"code": code_of(site, secret), "next": "/me/password"}
    first = await browser.send("/step-up", form)
    await browser.get("/me")
    again = await browser.send("/step-up", form)

    assert (first.status_code, again.status_code) == (303, 401)


def test_the_picture_is_made_here() -> None:
    """As a `data:` address: nothing is fetched, and no secret stands in an address of ours."""
    address = factors.address_of(factors.new_secret(), "ada@shop.example", "Counterfoil")
    assert address.startswith("otpauth://totp/Counterfoil:ada%40shop.example?secret=")
    assert factors.picture_of(address).startswith("data:image/svg+xml")
