"""The compiled contracts in a real EVM in this process (revm), with a router, gold market, token, feed and vaults."""

import json
import re
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pyrevm
import pytest
from eth_hash.auto import keccak

from chain.evm import abi
from chain.evm.abi import BUILD, Contract, ContractError, Event, error_of, load
from chain.evm.batch import ANY_PRICE_TO_BUY, ANY_PRICE_TO_SELL, EVERYTHING, Batch, GoldOrder, Leg

NOW = 1_800_000_000
MAX_AGE = 90_000
ADMIN_DELAY = 86_400
GAS = 400_000
ADMIN, REGISTRAR, GUARDIAN, EXECUTOR, STRANGER = ("0x" + f"{n:02x}" * 20 for n in range(0xA1, 0xA6))
OWNERS = ["0x" + f"{n:02x}" * 20 for n in range(0xB1, 0xB5)]
USD = 10**6
OZ = 10**8
_OUTPUT = re.compile(r"Revert \{ gas_used: (\d+), output: 0x([0-9a-f]*) \}")


class Reverted(Exception):
    """A call was undone; `error` says why, `halt` is set when the machine gave up by itself."""

    def __init__(self, error: ContractError, data: bytes, halt: str = "") -> None:
        super().__init__(f"{error} {halt}")
        self.error = error
        self.data = data
        self.halt = halt


def hostile(name: str) -> Contract:
    built = json.loads((BUILD / "testing" / f"{name}.json").read_text())
    return Contract(built["abi"], bytes.fromhex(built["bytecode"][2:]))


def role(name: str) -> bytes:
    return keccak(name.encode()) if name else bytes(32)


class Machine:
    """An EVM whose every call is a transaction of its own."""

    def __init__(self) -> None:
        self.now = NOW
        self.number = 1
        self.evm = pyrevm.EVM(spec_id="CANCUN")
        self.interfaces: dict[str, Contract] = {}
        self.move(0)

    def move(self, seconds: int) -> None:
        """The next block, so many seconds later."""
        self.now += seconds
        self.number += 1
        self.evm.set_block_env(
            pyrevm.BlockEnv(number=self.number, timestamp=self.now, gas_limit=2**60, basefee=0)
        )

    def deploy(self, contract: Contract, *args: Any, sender: str = ADMIN) -> str:
        try:
            address: str = self.evm.deploy(sender, contract.deployment(*args))
        except RuntimeError as error:
            raise self.reverted(error) from None
        self.interfaces[address] = contract
        return address

    def send(self, sender: str, to: str, function: str, *args: Any, gas: int = 30_000_000) -> Any:
        """The answer of a transaction that changes what it changes; its events are in `events`.

        What earlier ones touched stays warm here, so gas is measured elsewhere.
        """
        contract = self.interfaces[to]
        try:
            output = self.evm.message_call(sender, to, calldata=contract.call(function, *args), gas=gas)
        except RuntimeError as error:
            raise self.reverted(error) from None
        finally:
            self.evm.reset_transient_storage()
        self.logs = self.evm.result.logs
        return contract.answer(function, output) if output else None

    @property
    def events(self) -> list[Event]:
        """What the last transaction told."""
        return [event for event in map(self._event, self.logs) if event]

    def ask(self, to: str, function: str, *args: Any) -> Any:
        """What a view answers."""
        contract = self.interfaces[to]
        call = contract.call(function, *args)
        return contract.answer(function, self.evm.message_call(STRANGER, to, calldata=call, is_static=True))

    def reverted(self, error: RuntimeError) -> Reverted:
        found = _OUTPUT.search(str(error))
        if found is None:
            return Reverted(ContractError(""), b"", halt=str(error))
        data = bytes.fromhex(found[2])
        return Reverted(error_of(data, self.interfaces.values()), data)

    def _event(self, log: Any) -> Event | None:
        topics = [bytes.fromhex(topic[2:]) for topic in log.topics]
        for contract in (self.interfaces.get(log.address), *self.interfaces.values()):
            event = contract and contract.event(log.address, topics, log.data[1])
            if event:
                return event
        return None


class World(Machine):
    """Everything deployed, roles granted, four vaults with 10,000 dollars each, all allowed to trade gold at 2,000 dollars."""

    def __init__(self, token: Contract | None = None, *, feed_decimals: int = 8, vaults: int = 4) -> None:
        super().__init__()
        self.orders = count(1)
        self.batches = count(1)
        self.rounds = count(1)
        self.token = self.deploy(token) if token else self.deploy(load("TestUsd"), ADMIN)
        self.feed = self.deploy(load("TestFeed"), ADMIN, feed_decimals)
        self.router = self.deploy(load("Router"), self.token, ADMIN, ADMIN_DELAY)
        self.gold = self.deploy(load("AdapterMockGold"), self.token, self.router, self.feed, MAX_AGE)
        for name, who in (("REGISTRAR", REGISTRAR), ("GUARDIAN", GUARDIAN), ("EXECUTOR", EXECUTOR)):
            self.send(ADMIN, self.router, "grantRole", role(name), who)
        self.send(REGISTRAR, self.router, "setAdapter", b"mock_gold".ljust(32, b"\0"), self.gold, GAS, 10**15)
        self.price(2_000 * OZ)
        self.vaults = [self.open_vault(owner) for owner in OWNERS[:vaults]]

    def open_vault(self, owner: str, cash: int = 10_000 * USD) -> str:
        vault = self.deploy(load("VaultAccount"), self.token, self.router, owner, EXECUTOR)
        self.send(owner, vault, "setAllowance", self.gold, 10**13)
        if cash:
            self.send(ADMIN, self.token, "mint", vault, cash)
        return vault

    def price(self, answer: int, **changes: int) -> None:
        """The feed's newest round."""
        number = next(self.rounds)
        given = {"roundId": number, "startedAt": self.now, "updatedAt": self.now, "answeredInRound": number}
        given |= changes
        values = (
            given["roundId"],
            answer,
            given["startedAt"],
            given["updatedAt"],
            given["answeredInRound"],
        )
        self.send(ADMIN, self.feed, "setRound", values)

    def leg(
        self,
        vault: int,
        size: int = 0,
        cash_in: int = 0,
        cash_out: int = 0,
        limit: int | None = None,
        adapter: str = "mock_gold",
        order: bytes | None = None,
        order_id: int | None = None,
    ) -> Leg:
        """An order of a vault, at any price unless told."""
        if limit is None:
            limit = ANY_PRICE_TO_BUY if size > 0 else ANY_PRICE_TO_SELL
        name = (next(self.orders) if order_id is None else order_id).to_bytes(32)
        given = GoldOrder(name, size, limit, cash_out).encoded() if order is None else order
        return Leg(adapter, self.vaults[vault], cash_in, given)

    def batch(self, *legs: Leg, atomic: bool = False, deadline: int | None = None) -> Batch:
        name = next(self.batches).to_bytes(32)
        return Batch(name, self.now + 60 if deadline is None else deadline, atomic, legs)

    def execute(self, *legs: Leg, atomic: bool = False, sender: str = EXECUTOR, **how: Any) -> list[Any]:
        """Send these legs as a batch; one `(done, cash out, answer)` for each."""
        self.last = self.batch(*legs, atomic=atomic)
        return list(self.send(sender, self.router, "executeMulti", self.last.encoded(), **how))

    def try_leg(self, leg: Leg) -> ContractError | None:
        """None when it was carried out, else why not."""
        ((done, _, answer),) = self.execute(leg)
        return None if done else error_of(answer, self.interfaces.values())

    def balance(self, address: str) -> int:
        return int(self.ask(self.token, "balanceOf", address))

    def position(self, vault: int) -> tuple[int, int]:
        return tuple(self.ask(self.gold, "positions", self.vaults[vault]))  # type: ignore[return-value]

    def register(self, name: str, adapter: str, limit: int = 10**15, gas: int = GAS) -> None:
        self.send(REGISTRAR, self.router, "setAdapter", name.encode().ljust(32, b"\0"), adapter, gas, limit)

    def state(self) -> list[Any]:
        """Everything that money depends on, for comparing before and after."""
        accounts = [*self.vaults, self.gold, self.router, ADMIN]
        return [
            [self.balance(account) for account in accounts],
            [self.position(index) for index in range(len(self.vaults))],
            self.ask(self.gold, "total"),
            [self.ask(vault, "allowances", self.gold) for vault in self.vaults],
            self.ask(self.router, "adapters", b"mock_gold".ljust(32, b"\0")),
        ]


@dataclass(frozen=True)
class Kit:
    """What tests need of this module, which they cannot import."""

    World = World
    Machine = Machine
    Reverted = Reverted
    ContractError = ContractError
    hostile = staticmethod(hostile)
    role = staticmethod(role)
    abi = abi
    EVERYTHING = EVERYTHING
    ADMIN, REGISTRAR, GUARDIAN, EXECUTOR, STRANGER = ADMIN, REGISTRAR, GUARDIAN, EXECUTOR, STRANGER
    OWNERS = OWNERS
    NOW = NOW
    MAX_AGE = MAX_AGE
    ADMIN_DELAY = ADMIN_DELAY
    recorded = Path(__file__).parents[3] / "shared" / "data" / "chainlink"


@pytest.fixture(scope="session")
def kit() -> type[Kit]:
    return Kit


@pytest.fixture
def world() -> World:
    return World()
