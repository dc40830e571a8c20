"""Names for interchangeable parts: one registry a kind of part, one file a part."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from stagetree.core.errors import ConfigError, Fault, unknown

T = TypeVar("T")


class Registry(Generic[T]):
    """Maps names to parts and finds them by importing every module of a package once.

    Dropping a module into the package (or naming another package in ``extend``) is all that a
    new part needs.

    >>> shapes: Registry[str] = Registry("shape")
    >>> shapes.register("round")("a circle")
    'a circle'
    >>> shapes["round"]
    'a circle'
    """

    def __init__(self, what: str, package: str | None = None) -> None:
        self.what = what
        self._package = package
        self._parts: dict[str, T] = {}
        self._discovered = package is None

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that files its argument under ``name``.

        Raises:
            ValueError: Another part already has that name.
        """

        def add(part: T) -> T:
            if name in self._parts and self._parts[name] is not part:
                raise ValueError(f"expected a new {self.what} name but {name!r} is taken")
            self._parts[name] = part
            return part

        return add

    def __getitem__(self, name: str) -> T:
        """Return the part called ``name``.

        Raises:
            ConfigError: No part has that name; the message gives the nearest one.
        """
        self._discover()
        if name not in self._parts:
            raise ConfigError([Fault(self.what, unknown(self.what, name, self._parts))])
        return self._parts[name]

    def __contains__(self, name: object) -> bool:
        self._discover()
        return name in self._parts

    def __iter__(self) -> Iterator[str]:
        self._discover()
        return iter(sorted(self._parts))

    def _discover(self) -> None:
        if self._discovered:
            return
        self._discovered = True
        package = importlib.import_module(str(self._package))
        for module in pkgutil.iter_modules(package.__path__, f"{self._package}."):
            importlib.import_module(module.name)
