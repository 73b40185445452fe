"""
What was changed about people, keys and settings, in words.
"""

from types import MappingProxyType

# What each kind of change is called, and what is said of it; {about}, {before} and {after} are its
# own. A kind that is not here is said by its name: a change is never left out.
KINDS = MappingProxyType(
    {
        "person_invited": ("Invitation made", "invited {about} as {after}"),
        "invitation_accepted": ("Invitation taken", "came by an invitation as {after}"),
        "invitation_ended": ("Invitation ended", "ended the invitation of {about} as {before}"),
        "role_changed": ("Role changed", "changed the role of {about} from {before} to {after}"),
        "member_ended": ("Person left", "ended the work of {about}, {before} until then"),
        "signed_in": ("Sign-in", "signed in from {about}"),
        "session_ended": ("Sign-out", "ended a session: {about}"),
        "sessions_ended": ("Sign-out elsewhere", "signed {about} other browsers of theirs out"),
        "sign_in_failed": ("Wrong password", "tried a wrong password of {about} from {after}"),
        "second_factor_failed": ("Wrong code", "tried a wrong code of {about} from {after}"),
        "passkey_failed": ("Wrong passkey", "showed no right passkey of {about} from {after}"),
        "step_up_failed": ("Wrong step-up", "gave a wrong proof of being {about}, from {after}"),
        "sign_in_locked": ("Sign-in locked", "tried too often: {about} is locked for half an hour"),
        "stepped_up": ("Step-up", "proved anew who they are"),
        "merchant_chosen": ("Business chosen", "went on for this business"),
        "name_changed": ("Name changed", "changed their name from {before} to {after}"),
        "password_changed": ("Password changed", "changed their password; {after}"),
        "authenticator_added": ("Authenticator app added", "set an authenticator app up"),
        "authenticator_removed": ("Authenticator app removed", "removed their authenticator app"),
        "passkey_added": ("Passkey added", "added the passkey {about}"),
        "passkey_removed": ("Passkey removed", "removed the passkey {about}"),
        "recovery_codes_made": ("Recovery codes made", "made new recovery codes"),
        "recovery_code_used": ("Recovery code used", "used a recovery code"),
        "sign_in_reset": (
            "Reset of a sign-in",
            "made a link for {about} and signed them out everywhere",
        ),
        "sign_in_reset_used": (
            "Reset of a sign-in used",
            "chose a new password by a link; factors ended",
        ),
        "setting_changed": ("Setting changed", "changed {about} from {before} to {after}"),
        "screening_changed": ("Screening changed", "changed the screening rules, {about}"),
        "blocked": ("Block list: blocked", "blocked {about}: {after}"),
        "unblocked": ("Block list: unblocked", "unblocked {about}"),
        "merchant_added": ("Business added", "added this business as {about}"),
        "terminal_added": ("Terminal added", "added the terminal {about} at {after}"),
        "bank_account_added": ("Bank account added", "added the bank account {about} for {after}"),
        "return_addresses_set": (
            "Addresses of return changed",
            "set the addresses of return to {after}",
        ),
        "key_made": ("API key made", "made the key {about} for {after}"),
        "key_revoked": ("API key revoked", "revoked the key {about} of {before}"),
        "payment_link_made": ("Payment link made", "made the payment link {about}"),
        "payment_link_ended": ("Payment link ended", "ended the payment link {about}"),
        "payments_exported": ("Payments exported", "took payments along as a file"),
        "receipt_sent": ("Receipt sent", "sent the receipt of {about} to {after}"),
        "approval_claimed": ("Approval claimed", "set out to claim {about}"),
        "approval_refused": ("Approval refused", "set out to refuse {about}"),
        "finding_resolved": ("Finding cleared up", "cleared {about} up: {after}"),
        "page_report_seen_to": ("Browser's report looked into", "looked into {about}: {after}"),
        "webhook_added": ("Webhook added", "added the endpoint {about}"),
        "webhook_changed": ("Webhook changed", "changed the endpoint {before}, now {after}"),
        "webhook_enabled": ("Webhook enabled", "enabled the endpoint {about}"),
        "webhook_disabled": ("Webhook disabled", "disabled the endpoint {about}"),
        "webhook_secret_rotated": ("Webhook's secret rotated", "rotated the secret of {about}"),
        "webhook_replayed": ("Webhook sent again", "had it sent to {about} again: {after}"),
        "webhook_deleted": ("Webhook deleted", "deleted the endpoint {about}"),
    }
)


def title(what: str) -> str:
    """
    Return what a kind of change is called.
    """
    known = KINDS.get(what)
    return known[0] if known else what.replace("_", " ").capitalize()


def sentence(what: str, about: str | None, before: str | None, after: str | None) -> str:
    """
    Return what somebody did, to stand behind their name.
    """
    known = KINDS.get(what)
    if known:
        said = {"about": about, "before": before, "after": after}
        return known[1].format(**{name: text or "nothing" for name, text in said.items()})
    words = what.replace("_", " ")
    words += f": {about}" if about else ""
    words += f", before {before}" if before else ""
    return words + (f", now {after}" if after else "")
