"""
Which passwords are refused: too short, made of what everybody tries first, or of oneself.

What counts is what remains when well-known words, names, years, runs and repeats are taken away:
a long password of three well-known words is still tried early, four unusual ones are not.
"""

import re
from collections.abc import Iterable

from counterfoil.letters import with_umlauts_only
from counterfoil.people.names import squashed
from counterfoil.people.passwords import PASSWORD_CHARACTERS_MAX, PASSWORD_CHARACTERS_MIN
from counterfoil.people.spellings import has_spelling, is_spelling

REMAINING_MIN = 6
OWN_CHARACTERS_MIN = 4
OWN_WORD_CHARACTERS_MIN = 4  # A shorter word of a name stands in other words by chance.
DIFFERENT_MIN = 6

TOO_SHORT = (
    f"Choose {PASSWORD_CHARACTERS_MIN} to {PASSWORD_CHARACTERS_MAX} characters: "
    "four words that nobody puts together are easy to keep."
)
COMMON = "This one is tried early: it is made of well-known words, runs or repeats. Choose another."
OWN = "Leave your name, your address and your business out: they are tried first."
USED = "You have had this one before. Choose one that is new."

# What the published lists of stolen passwords are made of.
_PUBLISHED = """
password passwort passord motdepasse contrasena senha parola wachtwoord passphrase pass word pwd
qwertyuiop qwertzuiop azertyuiop qwerty qwertz azerty asdfghjkl asdfgh zxcvbnm yxcvbnm qazwsxedc
qazwsx wsxedc letmein welcome willkommen bienvenue admin administrator root login logon signin user
username account master secret default changeme change trustno guest test testing temp temporary
demo iloveyou loveyou love lovely sunshine princess football baseball basketball soccer hockey
dragon monkey tiger shadow superman batman spiderman pokemon starwars matrix mustang ferrari
porsche harley jordan michael jennifer jessica ashley charlie thomas daniel andrew joshua matthew
robert hunter killer ranger buster pepper ginger cookie cheese chocolate computer internet samsung
google facebook linkedin twitter microsoft windows apple android amazon whatever freedom flower
summer winter spring autumn monday friday january december money dollar business company merchant
payment payments gateway terminal receipt counterfoil customer shop store manager owner cashier
correct horse battery staple abc123 hello goodbye access network server system security secure
liverpool arsenal chelsea barcelona realmadrid yankees cowboys steelers lakers
"""
_WORD = re.compile("|".join(sorted(_PUBLISHED.split(), key=len, reverse=True)))
_YEAR = re.compile(r"(?:19|20)\d\d")
_REPEATED = re.compile(r"(.{1,8}?)\1{2,}|(.{4,})\2+")
_RUNS = ("abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm")
_RUN_MIN = 4
_LOOKALIKES = str.maketrans("@430$15!7", "aaeosisit")
_OWN_WORD = re.compile(r"[^\W_]+")
_LETTERS = re.compile(r"[^\W\d_]+")
_JOINING = frozenset(("and", "the", "und", "et", "y", "of"))  # "Stub & Leaf" is "Stub and Leaf".


def fault_of(password: str, own: Iterable[str]) -> str | None:
    """
    Return why *password* is refused, in words, if it is. *own*: what belongs to the person.
    """
    if not PASSWORD_CHARACTERS_MIN <= len(password) <= PASSWORD_CHARACTERS_MAX:
        return TOO_SHORT
    read = password.translate(_LOOKALIKES)
    names = {text for each in own for text in (each, each.partition("@")[0])}
    if any(
        _holds(written(text), written(name))
        for written in (str, with_umlauts_only)
        for text in (password, read)
        for name in names
    ):
        return OWN
    if len(set(password.lower())) < DIFFERENT_MIN:
        return COMMON
    plain = {password.lower(), squashed(password), squashed(read)}
    return COMMON if any(len(_remaining(each)) < REMAINING_MIN for each in plain) else None


def _holds(password: str, name: str) -> bool:
    """
    Return whether a password holds *name*: as a whole, or each of its words, in any order. A short
    word counts where it stands by itself.
    """
    whole, letters, folded = squashed(name), squashed(password), password.casefold()
    if len(whole) < OWN_CHARACTERS_MIN:
        return False
    alone = {*_OWN_WORD.findall(folded), *_LETTERS.findall(folded)}
    words = [each for each in _OWN_WORD.findall(name.casefold()) if each not in _JOINING]
    are_there = all(
        has_spelling(letters, each)
        if len(each) >= OWN_WORD_CHARACTERS_MIN
        else any(is_spelling(word, each) for word in alone)
        for each in words
    )
    is_whole = has_spelling(letters, whole)
    return is_whole or (sum(map(len, words)) >= OWN_CHARACTERS_MIN and are_there)


def _remaining(text: str) -> str:
    left = _REPEATED.sub(lambda found: found.group(1) or found.group(2), text)
    left = _YEAR.sub("", _WORD.sub("", left))
    for run in (*_RUNS, *(each[::-1] for each in _RUNS)):
        for length in range(len(run), _RUN_MIN - 1, -1):
            for start in range(len(run) - length + 1):
                left = left.replace(run[start : start + length], "")
    return re.sub(r"\d{1,4}$|^\d{1,4}", "", "".join(each for each in left if each.isalnum()))
