"""Reads invariants from ``nodewall.yaml`` or from a separate file; an invariant is a required verdict for some packets.

Input: a :class:`YamlDocument` (parsed YAML with positions), or :class:`InvariantEntry` values from the configuration.
Output: :class:`ParsedInvariant` values, whose packet expressions are parsed.

Raises :class:`Refused` with all faults of a document, including faults in the expressions.
"""

from collections.abc import Iterator, Sequence

from pydantic import ValidationError

from adapters.inputs.yaml_reader import YamlDocument
from engine.errors import Fault, Refused, WordsRefused
from engine.objects.config import GuardConfig, InvariantEntry
from engine.rulesets.model import Hook
from engine.validation_errors import faults_of, path_of
from simulator.analysis.invariants import InvariantKind, ParsedInvariant


def invariants_in(document: YamlDocument) -> tuple[ParsedInvariant, ...]:
    """Return the invariants that a document lists.

    Raises:
        Refused: with every fault of the document.
    """
    try:
        given = GuardConfig.model_validate({"invariants": document.value}).invariants
    except ValidationError as error:
        found = [(location[1:], fault) for location, fault in faults_of(error)]
    else:
        found = list(unsound(given))
        if not found:
            return invariants_of(given)
    raise Refused(tuple(document.fault(at, fault.problem, fault.expected) for at, fault in found))


def invariants_of(given: Sequence[InvariantEntry]) -> tuple[ParsedInvariant, ...]:
    """Parse invariants whose expressions were checked already.

    Raises:
        WordsRefused: an expression does not parse.
    """
    if not given:
        return ()
    from simulator.expression import parse  # noqa: PLC0415 - slow to import, and few configurations have invariants

    return tuple(
        ParsedInvariant(each.name, Hook(each.hook), parse(each.where), InvariantKind(each.must)) for each in given
    )


def unsound(given: Sequence[InvariantEntry]) -> Iterator[tuple[tuple[int | str, ...], Fault]]:
    """Yield the faults of the expressions, each with the index of its entry and the field."""
    if given:
        yield from _unsound(given)


def _unsound(given: Sequence[InvariantEntry]) -> Iterator[tuple[tuple[int | str, ...], Fault]]:
    from simulator.expression import parse  # noqa: PLC0415 - as above

    for index, entry in enumerate(given):
        try:
            parse(entry.where)
        except WordsRefused as error:
            for fault in error.faults:
                column = f" at column {fault.place.column}" if fault.place else ""
                yield (index, "where"), Fault("", f"{fault.problem}{column}", fault.expected)


def under(fault: Fault, location: Sequence[int | str]) -> Fault:
    """Return the fault with the path of its field."""
    return Fault(path_of(tuple(location)), fault.problem, fault.expected, fault.place)
