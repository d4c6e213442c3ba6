"""Every profile has a bound for one try; the registry of search attributes names each once."""

from datetime import timedelta

from workflows.kit import attributes, policies
from workflows.kit.plugin import PASSED_THROUGH

PROFILES = {name: getattr(policies, name) for name in dir(policies) if name.isupper()}


def test_every_profile_bounds_a_try_and_says_how_often() -> None:
    found = {name: one for name, one in PROFILES.items() if isinstance(one, dict)}
    assert set(found) == {"ROW", "GATEWAY_ONCE", "GATEWAY", "PATIENT", "BULK"}
    for name, profile in found.items():
        bound = timedelta(minutes=5) if name == "BULK" else timedelta(seconds=20)
        assert timedelta() < profile["start_to_close_timeout"] <= bound, name
        assert "retry_policy" in profile, name


def test_a_local_retry_never_becomes_a_timer() -> None:
    longest = policies.ROW["retry_policy"].maximum_interval
    assert longest is not None
    assert longest < policies.ROW["local_retry_threshold"]


def test_one_quick_call_is_made_once() -> None:
    assert policies.GATEWAY_ONCE["retry_policy"].maximum_attempts == 1


def test_a_bounded_profile_is_the_same_but_for_its_end() -> None:
    bounded = policies.within(timedelta(minutes=15), policies.PATIENT)
    assert bounded["schedule_to_close_timeout"] == timedelta(minutes=15)
    assert bounded.items() > policies.PATIENT.items()
    assert "schedule_to_close_timeout" not in policies.PATIENT


def test_search_attributes_are_keywords_of_different_names() -> None:
    names = [key.name for key in attributes.ALL]
    assert names == ["OrderStatus", "Site", "Shop", "CloseReason"]
    assert {key.indexed_value_type.name for key in attributes.ALL} == {"KEYWORD"}


def test_workflows_themselves_are_never_passed_through() -> None:
    assert "workflows" not in PASSED_THROUGH
