"""What a reload changes, one line per setting, secrets masked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from pydantic import BaseModel, SecretStr

from watchdog.config.durations import spell
from watchdog.config.models import Config, NotifyTarget
from watchdog.config.policybook import policy_name
from watchdog.config.references import mask
from watchdog.config.sections import MatchSection, PolicySection, RecoveryOverride, ThresholdsOverride
from watchdog.core.deed_window import DeedWindow


def diff(old: Config, new: Config) -> list[str]:
    """One line per setting that changed, in the order of the file; empty when nothing did."""
    lines: list[str] = []
    for name in Config.model_fields:
        before, after = getattr(old, name), getattr(new, name)
        if name in ("gateways", "policies"):
            lines += _listed(name, _by_name(before), _by_name(after))
        else:
            lines += _changed(name, before, after)
    return lines


def _by_name(items: tuple[BaseModel, ...]) -> dict[str, BaseModel]:
    return {
        policy_name(item, position) if isinstance(item, PolicySection) else str(getattr(item, "name", position)): item
        for position, item in enumerate(items)
    }


def _listed(name: str, before: dict[str, BaseModel], after: dict[str, BaseModel]) -> Iterator[str]:
    for label, item in before.items():
        if label in after:
            yield from _changed(f"{name}[{label}]", item, after[label])
        else:
            yield f"{name}[{label}]: removed"
    yield from (f"{name}[{label}]: added" for label in after if label not in before)
    if [label for label in before if label in after] != [label for label in after if label in before]:
        yield f"{name}: order is now {', '.join(after)}"


def _changed(name: str, before: object, after: object) -> Iterator[str]:
    if before == after and _says_the_same(before, after):
        return
    if isinstance(before, BaseModel) and isinstance(after, BaseModel):
        has_inheritance = isinstance(before, ThresholdsOverride | RecoveryOverride)
        yield from _overrides(name, before, after) if has_inheritance else _fields(name, before, after)
        return
    one, other = setting_text(before), setting_text(after)
    yield f"{name}: {one} -> {other}" + (" (a different secret)" if one == other else "")


def _fields(name: str, before: BaseModel, after: BaseModel) -> Iterator[str]:
    for field in type(before).model_fields:
        yield from _changed(f"{name}.{field}", getattr(before, field), getattr(after, field))


def _overrides(name: str, before: BaseModel, after: BaseModel) -> Iterator[str]:
    """Of an override, only what the file says counts; the rest is whatever holds outside the policies."""
    one, other = before.model_fields_set, after.model_fields_set
    for field in type(before).model_fields:
        was, now = getattr(before, field), getattr(after, field)
        if field in one and field in other:
            if isinstance(was, BaseModel) and isinstance(now, BaseModel):
                yield from _overrides(f"{name}.{field}", was, now)
            else:
                yield from _changed(f"{name}.{field}", was, now)
        elif field in one:
            yield f"{name}.{field}: {setting_text(was)} -> as outside the policies"
        elif field in other:
            yield f"{name}.{field}: as outside the policies -> {setting_text(now)}"


def _says_the_same(before: object, after: object) -> bool:
    """Equal values can still differ in what they override."""
    if isinstance(before, PolicySection) and isinstance(after, PolicySection):
        pairs = ((before.thresholds, after.thresholds), (before.recovery, after.recovery))
        return all(one.model_dump(exclude_unset=True) == other.model_dump(exclude_unset=True) for one, other in pairs)
    if isinstance(before, BaseModel) and isinstance(after, BaseModel):
        return before.model_dump(exclude_unset=True) == after.model_dump(exclude_unset=True)
    return True


def setting_text(value: object) -> str:
    """A value as the file would say it, on one line; secrets masked."""
    match value:
        case SecretStr():
            return mask(value)
        case timedelta():
            return spell(value)
        case tuple() | list():
            return f"[{', '.join(map(setting_text, value))}]"
        case DeedWindow():
            return value.words
        case NotifyTarget():
            name = f"{value.name}: " if value.name is not None else ""
            is_said = "remind_every" in value.model_fields_set
            again = f", remind_every {setting_text(value.remind_every)}" if is_said else ""
            return f"{name}{mask(value.url)} on {setting_text(value.on)}{again}"
        case MatchSection():
            return _flow(value, frozenset(value.model_fields_set))
        case BaseModel():
            names = value.model_fields_set or type(value).model_fields.keys()
            return _flow(value, frozenset(names))
        case None:
            return "null"
        case bool():
            return str(value).lower()
    return str(value)


def _flow(section: BaseModel, names: frozenset[str]) -> str:
    inner = ", ".join(
        f"{name}: {setting_text(getattr(section, name))}" for name in type(section).model_fields if name in names
    )
    return f"{{{inner}}}"
