from __future__ import annotations

import copy
import pickle
from dataclasses import asdict, dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchdog.service.secret import Secret

texts = st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=4, max_size=40).filter(
    lambda text: text not in "Secret('***')"
)


@given(texts)
def test_a_secret_shows_itself_only_when_asked(text: str) -> None:
    secret = Secret(text)
    shown = f"{secret} {secret!r} {secret:>20} {secret!s} {[secret]} { ({'token': secret}) }"
    assert shown == "*** Secret('***') *** *** [Secret('***')] {'token': Secret('***')}"
    assert secret.reveal() == text


def test_equality_and_hash_follow_the_value() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert Secret("schlüssel") == Secret("schlüssel")


def test_there_is_no_empty_secret() -> None:
    with pytest.raises(ValueError, match="never empty"):
        Secret("")
    assert Secret.of(None) is None
    assert Secret.of("  \n") is None
    assert Secret.of(" tok \n") == Secret("tok")


def test_it_is_not_pickled_but_may_sit_in_a_dataclass() -> None:
    @dataclass(frozen=True)
    class Holder:
        token: Secret

    secret = Secret("tok")
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(secret)
    assert copy.copy(secret) is secret
    assert asdict(Holder(secret)) == {"token": secret}
    assert "tok" not in repr(Holder(secret)).replace("token", "")
    assert not hasattr(secret, "__dict__")
