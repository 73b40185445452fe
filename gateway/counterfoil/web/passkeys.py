"""
Passkeys: what a browser is asked to sign, and whether it did. The challenge lies in the row of the
browser that asked, for a short while, and counts once.
"""

import json
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import webauthn
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from counterfoil.people.person import Who
from counterfoil.store.factors import NewPasskey
from counterfoil.web.proving import factor_store
from counterfoil.web.visit import Visit

CHALLENGE_FOR = timedelta(minutes=5)
OF_OURS = "Counterfoil"
UNREADABLE = (WebAuthnException, ValueError, KeyError, TypeError)


def name_of_site(visit: Visit) -> str:
    """
    Return the name to which passkeys belong.
    """
    return urlsplit(visit.desk.configuration.web_origin).hostname or "localhost"


def _origins(visit: Visit) -> list[str]:
    """
    Return where our pages are; the port of a local installation may be forwarded.
    """
    host, origins = visit.request.headers.get("host", ""), [visit.desk.configuration.web_origin]
    if urlsplit(f"//{host}").hostname == name_of_site(visit):
        origins.append(f"https://{host}")
    return origins


async def to_make(visit: Visit, who: Who) -> tuple[bytes, str]:
    """
    Return a challenge and what a browser needs to make a passkey.
    """
    known = await factor_store(visit).passkeys(who.user_id)
    options = webauthn.generate_registration_options(
        rp_id=name_of_site(visit),
        rp_name=OF_OURS,
        user_id=who.user_id.bytes,
        user_name=who.email,
        user_display_name=who.name,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.PREFERRED,
            user_verification=UserVerificationRequirement.PREFERRED,
        ),
        exclude_credentials=[
            PublicKeyCredentialDescriptor(id=row["credential_id"]) for row in known
        ],
    )
    return options.challenge, webauthn.options_to_json(options)


def made(visit: Visit, challenge: bytes, credential: str, name: str) -> NewPasskey | None:
    """
    Return the passkey that a browser has made, if it signed *challenge* for this site.
    """
    try:
        found = webauthn.verify_registration_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=name_of_site(visit),
            expected_origin=_origins(visit),
        )
    except UNREADABLE:
        return None
    return NewPasskey(
        credential_id=found.credential_id,
        public_key=found.credential_public_key,
        sign_count=found.sign_count,
        name=name,
    )


async def to_sign(visit: Visit, user_id: UUID) -> tuple[bytes, str]:
    """
    Return a challenge and what a browser needs to sign it with one of the person's passkeys.
    """
    known = await factor_store(visit).passkeys(user_id)
    options = webauthn.generate_authentication_options(
        rp_id=name_of_site(visit),
        allow_credentials=[PublicKeyCredentialDescriptor(id=row["credential_id"]) for row in known],
        user_verification=UserVerificationRequirement.PREFERRED,
    )
    return options.challenge, webauthn.options_to_json(options)


def to_sign_by_any(visit: Visit, challenge: bytes) -> str:
    """
    Return what a browser needs to sign *challenge* with whatever passkey of this site it has. It
    must know by finger, face or PIN who holds the device: no password was asked for.
    """
    options = webauthn.generate_authentication_options(
        rp_id=name_of_site(visit),
        challenge=challenge,
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return webauthn.options_to_json(options)


async def is_signed(visit: Visit, user_id: UUID, challenge: bytes | None, credential: str) -> bool:
    """
    Return whether one of the person's passkeys signed *challenge*, and note that it did.
    """
    row = await _named_in(visit, user_id, credential)
    return (
        row is not None
        and challenge is not None
        and await _is_signed(visit, row, challenge, credential, alone=False)
    )


async def is_signed_alone(visit: Visit, row: Any, challenge: bytes, credential: str) -> bool:
    """
    Return whether the passkey of *row* signed *challenge*, and its device knew who holds it.
    """
    return await _is_signed(visit, row, challenge, credential, alone=True)


async def _is_signed(
    visit: Visit, row: Any, challenge: bytes, credential: str, *, alone: bool
) -> bool:
    try:
        found = webauthn.verify_authentication_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=name_of_site(visit),
            expected_origin=_origins(visit),
            credential_public_key=row["public_key"],
            credential_current_sign_count=row["sign_count"],
            require_user_verification=alone,
        )
    except UNREADABLE:
        return False
    now = visit.desk.clock.now()
    return await factor_store(visit).use_passkey(row["passkey_id"], found.new_sign_count, now)


async def _named_in(visit: Visit, user_id: UUID, credential: str) -> Any:
    try:
        named = webauthn.base64url_to_bytes(json.loads(credential)["id"])
    except (*UNREADABLE, RecursionError):
        return None
    known = await factor_store(visit).passkeys(user_id)
    return next((row for row in known if row["credential_id"] == named), None)
