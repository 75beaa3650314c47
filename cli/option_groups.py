"""Options in groups: a command takes dataclasses, its user sees each field as an option."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Result = TypeVar("Result")
EMPTY, BY_NAME = inspect.Parameter.empty, inspect.Parameter.KEYWORD_ONLY


class OptionGroup(Protocol):
    """Any dataclass whose fields are options."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


def grouped(command: Callable[..., Result]) -> Callable[..., Result]:
    """Return a command for Typer: its parameters that are dataclasses opened into their fields.

    The fields are declared as Typer wants its parameters, ``Annotated[type, typer.Option(...)]``;
    a field without a default is an option that must be given. Two fields of one name are refused
    when the command is defined.
    """
    hints = get_type_hints(command, include_extras=True)
    taken = inspect.signature(command).parameters

    def value_of(name: str, given: dict[str, Any]) -> Any:  # noqa: ANN401 - whatever it takes
        group: type = hints[name]
        if not is_dataclass(group):
            return given[name]
        return group(**{field.name: given[field.name] for field in fields(group)})

    @wraps(command)
    def flat(**given: Any) -> Result:  # noqa: ANN401 - whatever options hold
        return command(**{name: value_of(name, given) for name in taken})

    opened = [each for name in taken for each in options_of(taken[name], hints[name])]
    flat.__annotations__ = {each.name: each.annotation for each in opened}
    vars(flat)["__signature__"] = inspect.Signature(opened)  # what Typer looks at
    return flat


def options_of(taken: inspect.Parameter, hint: Any) -> Iterator[inspect.Parameter]:  # noqa: ANN401
    """Yield the parameters that stand for one: each field of a dataclass, or itself."""
    if not is_dataclass(hint):
        yield inspect.Parameter(taken.name, BY_NAME, default=taken.default, annotation=hint)
        return
    hints = get_type_hints(hint, include_extras=True)
    for field in fields(hint):
        default = EMPTY if field.default is MISSING else field.default
        yield inspect.Parameter(field.name, BY_NAME, default=default, annotation=hints[field.name])


def given_of(options: OptionGroup, *names: str) -> list[str]:
    """Return those of a group's options, or of some of them, that were given, as they are written.

    None, or False, is an option that was not given.
    """
    return [
        option
        for name, option in option_names(options).items()
        if is_given(getattr(options, name)) and (not names or name in names)
    ]


def is_given(value: object) -> bool:
    """Whether an option was given that is None, or False, where it was not: 0 was."""
    return value is not None and value is not False


def option_names(options: OptionGroup) -> dict[str, str]:
    """Return how the options of a group are written, by the names of their fields.

    That is as they were declared, ``--list`` of ``list_only: Annotated[bool, Option("--list")]``,
    else as Typer makes it, ``--sun-elevation`` of ``sun_elevation``.
    """
    hints = get_type_hints(type(options), include_extras=True)
    return {field.name: written(field.name, hints[field.name]) for field in fields(options)}


def written(name: str, hint: Any) -> str:  # noqa: ANN401 - an annotation
    """Return how an option is written, by the name and the annotation of its field."""
    for info in getattr(hint, "__metadata__", ()):
        for declared in (info.default, *(info.param_decls or ())):  # Typer's place for the first
            if isinstance(declared, str) and declared.startswith("--"):
                return declared
    return f"--{name.replace('_', '-')}"
