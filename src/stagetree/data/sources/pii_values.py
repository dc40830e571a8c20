"""Values that fill the placeholders of the PII templates, in the forms people write them."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from types import MappingProxyType

Identity = Mapping[str, str]
"""One invented person: a row of the identities file."""

_DIGIT = re.compile(r"\d")
_HOUSE_NUMBER = re.compile(r"\s*\b\d+\w?\b\s*,?")
_IBAN_LENGTHS = {"DE": 22, "GB": 22, "FR": 27, "ES": 24, "IT": 27, "NL": 18, "BE": 16, "AT": 20}
_UNITS = ("Apt. {}", "Apt {}", "Suite {}", "Unit {}", "Flat {}", "#{}", "Floor {}")
_DATES = ("{m}/{d}/{y}", "{d}.{m}.{y}", "{y}-{m:02}-{d:02}", "{B} {d}, {y}", "{d} {B} {y}")
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


@dataclass(frozen=True)
class Pools:
    """What one split draws its values from.

    Attributes:
        identities: Invented persons; no other split has them.
        companies: Company names; no other split has them.
        nations: Rows of country, nationality and names of its people; shared by all splits.
        licences: Driver licence numbers, of which only the pattern is used.
    """

    identities: Sequence[Identity]
    companies: Sequence[str]
    nations: Sequence[Mapping[str, str]]
    licences: Sequence[str]


Value = Callable[[Random, Identity, Pools], str]


def _full_name(rng: Random, who: Identity, _: Pools) -> str:
    given, middle, surname = who["GivenName"], who["MiddleInitial"], who["Surname"]
    forms = (
        f"{given} {surname}",
        f"{given} {middle}. {surname}",
        f"{given[0]}. {surname}",
        f"{surname}, {given}",
        f"{given} {surname}".upper(),
    )
    return rng.choices(forms, weights=(12, 3, 2, 1, 1))[0]


def _country(rng: Random, who: Identity, pools: Pools) -> str:
    if rng.random() < 0.5:
        return who["CountryFull"]
    return rng.choice(pools.nations)["country"].title()


def _nation(column: str) -> Value:
    return lambda rng, _, pools: rng.choice(pools.nations)[column].title()


def _field(column: str) -> Value:
    return lambda rng, who, pools: who[column]


def _of(*values: str) -> Value:
    return lambda rng, who, pools: rng.choice(values)


def _company(rng: Random, _: Identity, pools: Pools) -> str:
    return rng.choice(pools.companies)


def _street_name(rng: Random, who: Identity, _: Pools) -> str:
    return _HOUSE_NUMBER.sub(" ", who["StreetAddress"]).strip(" ,") or who["Surname"]


def _unit(rng: Random, who: Identity, _: Pools) -> str:
    return rng.choice(_UNITS).format(rng.randint(1, 950))


def _phone(rng: Random, who: Identity, _: Pools) -> str:
    number, code = who["TelephoneNumber"], who["TelephoneCountryCode"]
    forms = (number, f"+{code} {number}", f"(+{code}) {number}", f"00{code} {number}")
    return rng.choices(forms, weights=(4, 3, 1, 1))[0]


def luhn_digit(digits: str) -> str:
    """Return the digit that makes ``digits`` + digit pass the Luhn check (ISO/IEC 7812-1).

    >>> luhn_digit("7992739871")
    '3'
    """
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def card_number(rounded: str, rng: Random) -> str:
    """Return 16 digits that begin like a number kept as ``5.54563E+15`` and pass Luhn.

    The identities file lost the last ten digits of every number to a spreadsheet.
    """
    known = rounded.partition("E")[0].replace(".", "")[:6].ljust(6, "0")
    digits = known + "".join(rng.choices("0123456789", k=9))
    return digits + luhn_digit(digits)


def _card(rng: Random, who: Identity, _: Pools) -> str:
    digits = card_number(who["CCNumber"], rng)
    separator = rng.choice(("", "", " ", "-"))
    return separator.join(digits[at : at + 4] for at in range(0, 16, 4))


def _iban(rng: Random, who: Identity, _: Pools) -> str:
    country = who["Country"] if who["Country"] in _IBAN_LENGTHS else rng.choice(("DE", "GB", "FR"))
    account = "".join(rng.choices("0123456789", k=_IBAN_LENGTHS[country] - 4))
    # ISO 13616: letters count from A = 10, the check digits make the remainder by 97 one.
    numeric = account + "".join(str(ord(letter) - 55) for letter in country) + "00"
    iban = f"{country}{98 - int(numeric) % 97:02}{account}"
    return iban if rng.random() < 0.6 else " ".join(re.findall(".{1,4}", iban))


def _ssn(rng: Random, who: Identity, _: Pools) -> str:
    return f"{rng.randint(100, 899)}-{rng.randint(10, 99)}-{rng.randint(1000, 9999)}"


def _licence(rng: Random, _: Identity, pools: Pools) -> str:
    return _DIGIT.sub(lambda _: str(rng.randint(0, 9)), rng.choice(pools.licences))


def _ip(rng: Random, _: Identity, pools: Pools) -> str:
    if rng.random() < 0.15:
        return ":".join(f"{rng.randrange(65536):x}" for _ in range(8))
    return ".".join(str(rng.randint(1, 254)) for _ in range(4))


def _url(rng: Random, who: Identity, _: Pools) -> str:
    domain = who["Domain"]
    forms = (
        domain,
        f"www.{domain}",
        f"https://www.{domain}/",
        f"http://{domain}/{rng.randint(1, 99)}",
    )
    return rng.choice(forms).lower()


def _written(day: datetime.date, rng: Random) -> str:
    names = {"d": day.day, "m": day.month, "y": day.year, "B": _MONTHS[day.month - 1]}
    return rng.choice(_DATES).format(**names)


def _birthday(rng: Random, who: Identity, _: Pools) -> str:
    month, day, year = map(int, who["Birthday"].split("/"))
    return _written(datetime.date(year, month, day), rng)


def _date_time(rng: Random, _: Identity, pools: Pools) -> str:
    day = datetime.date(1990, 1, 1) + datetime.timedelta(days=rng.randrange(13_000))
    hour = f" {rng.randint(1, 12)}:{rng.randint(0, 59):02} {rng.choice(('am', 'pm'))}"
    return _written(day, rng) + (hour if rng.random() < 0.4 else "")


def _year(rng: Random, _: Identity, pools: Pools) -> str:
    return str(rng.randint(1900, 2025))


_given, _surname, _zip = _field("GivenName"), _field("Surname"), _field("ZipCode")

PERSON, GPE, STREET_ADDRESS, DATE_TIME = "PERSON", "GPE", "STREET_ADDRESS", "DATE_TIME"
NRP, ZIP_CODE, ONLINE_ID, ID_NUMBER = "NRP", "ZIP_CODE", "ONLINE_ID", "ID_NUMBER"

PLACEHOLDERS: Mapping[str, tuple[str | None, Value]] = MappingProxyType(
    {
        "person": (PERSON, _full_name),
        "name": (PERSON, _full_name),
        "name_male": (PERSON, _full_name),
        "name_female": (PERSON, _full_name),
        "first_name": (PERSON, _given),
        "first_name_male": (PERSON, _given),
        "first_name_female": (PERSON, _given),
        "first_name_nonbinary": (PERSON, _given),
        "last_name": (PERSON, _surname),
        "last_name_male": (PERSON, _surname),
        "last_name_female": (PERSON, _surname),
        "prefix": (None, _field("Title")),
        "prefix_male": (None, _of("Mr.", "Mr", "Dr.", "Prof.", "Sir")),
        "prefix_female": (None, _of("Mrs.", "Ms.", "Ms", "Dr.", "Prof.", "Miss")),
        "job": (None, _field("Occupation")),
        "organization": ("ORGANIZATION", _company),
        "street_address": (STREET_ADDRESS, _field("StreetAddress")),
        "street_name": (STREET_ADDRESS, _street_name),
        "secondary_address": (STREET_ADDRESS, _unit),
        "city": (GPE, _field("City")),
        "state_abbr": (GPE, _field("State")),
        "country": (GPE, _country),
        "postcode": (ZIP_CODE, _zip),
        "zipcode": (ZIP_CODE, _zip),
        "nationality": (NRP, _nation("nationality")),
        "nation_woman": (NRP, _nation("woman")),
        "nation_plural": (NRP, _nation("plural")),
        "date_of_birth": (DATE_TIME, _birthday),
        "date_time": (DATE_TIME, _date_time),
        "year": (DATE_TIME, _year),
        "day_of_week": (DATE_TIME, _of(*_WEEKDAYS)),
        "age": ("AGE", _field("Age")),
        "credit_card_number": ("CREDIT_CARD", _card),
        "phone_number": ("PHONE_NUMBER", _phone),
        "email": (ONLINE_ID, _field("EmailAddress")),
        "url": (ONLINE_ID, _url),
        "ip_address": (ONLINE_ID, _ip),
        "iban": (ID_NUMBER, _iban),
        "ssn": (ID_NUMBER, _ssn),
        "us_driver_license": (ID_NUMBER, _licence),
    }
)
"""For every placeholder: its entity type (``None``: plain words) and how a value is made."""
