"""Ports: taken ones are named, chosen ones stay, two starting stacks don't collide."""

import socket

from cli.ports import choose, remember, remembered
from cli.state import State
from tests.cli.conftest import free_port


def test_a_taken_port_is_named_and_another_is_used() -> None:
    said: list[str] = []
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        ports = choose({"api": taken}, said.append, {})
    ports.release()
    chosen = ports.numbers["api"]
    assert chosen > taken
    assert said == [f"port {taken} is taken, using {chosen} (api)"]


def test_the_last_choice_is_kept_while_it_is_free(state: State) -> None:
    said: list[str] = []
    kept = free_port()
    remember(state, {"api": kept, "gone": 1})
    ports = choose({"api": 1}, said.append, remembered(state))
    ports.release()
    assert ports.numbers == {"api": kept}
    assert said == []


def test_a_damaged_file_of_ports_is_forgotten(state: State) -> None:
    state.ports.write_text("{")
    assert remembered(state) == {}


def test_a_stack_that_is_still_starting_keeps_its_ports() -> None:
    wanted = {"api": free_port()}
    first = choose(wanted, lambda _: None, {})
    second = choose(wanted, lambda _: None, {})
    first.release()
    third = choose(wanted, lambda _: None, {})
    second.release()
    third.release()
    assert second.numbers["api"] > first.numbers["api"]
    assert third.numbers == first.numbers


def test_one_part_does_not_take_what_another_prefers() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        ports = choose({"api": taken, "api_tls": taken + 1}, lambda _: None, {})
    ports.release()
    assert ports.numbers["api"] > taken + 1
    assert len(set(ports.numbers.values())) == 2
