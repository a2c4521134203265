"""`python -m chain.localnet --port P --data DIR`: run the local chain until SIGTERM or Ctrl-C.

Says on stderr what it is, and on stdout one line, its URL, once it takes calls. Slots do not catch up: when the machine stalls, so
does the chain, and blockhashes live as many blocks as ever.
"""

import argparse
import asyncio
import signal
import socket
import sys
from pathlib import Path
from typing import NoReturn

import uvicorn

from chain.localnet import genesis
from chain.localnet.bank import Bank
from chain.localnet.history import DataRefused
from chain.localnet.server import RpcServer


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m chain.localnet", description="A local development chain."
    )
    parser.add_argument("--port", type=int, default=8899, help="TCP port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--data", type=Path, required=True, help="directory that keeps the chain")
    parser.add_argument("--slot-ms", type=int, default=400, help="milliseconds per slot (default: 400)")
    parser.add_argument("--finality-slots", type=int, default=32, help="slots until final (default: 32)")
    parser.add_argument("--program", type=Path, default=genesis.PROGRAM_FILE, help="the escrow program's .so")
    arguments = parser.parse_args()
    if arguments.slot_ms < 1 or arguments.finality_slots < 1:
        parser.error("--slot-ms and --finality-slots must be at least 1")
    return arguments


def _refuse(sentence: str) -> NoReturn:
    print(sentence, file=sys.stderr)
    raise SystemExit(2)


def _listen(port: int) -> socket.socket:
    # The protocol is named because asyncio turns Nagle's algorithm off only then; with it every answer takes 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        _refuse(f"The local chain cannot use port {port}: {error.strerror}.")
    # Clients that come before the server is up wait in this queue instead of being refused.
    listener.listen(1024)
    return listener


async def _advance(bank: Bank, slot_seconds: float) -> None:
    while True:
        await asyncio.sleep(slot_seconds)
        bank.advance()


async def _run(arguments: argparse.Namespace, bank: Bank, listener: socket.socket) -> bool:
    """Serve until told to stop; True when it ended as it should."""
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    rpc = RpcServer(bank, lambda: setattr(server, "should_exit", True))
    config = uvicorn.Config(rpc.app, log_level="warning", access_log=False, timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    print(f"perpdex local chain: for development only, its keys are public. {url}", file=sys.stderr)
    print(f"escrow program {genesis.PROGRAM_ID}, test USDC {genesis.USDC_MINT}", file=sys.stderr)
    print(url, flush=True)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    slots = asyncio.create_task(_advance(bank, arguments.slot_ms / 1000))
    await asyncio.wait((serving, slots), return_when=asyncio.FIRST_COMPLETED)
    rpc.stopping = server.should_exit = True
    slots.cancel()
    await serving
    if slots.done() and not slots.cancelled():
        slots.result()
    return not rpc.broken


def main() -> int:
    arguments = _arguments()
    # uvicorn stops at these signals and then raises them again: by then there is nothing left to do.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    if not arguments.program.is_file():
        _refuse(f"The escrow program is missing: {arguments.program}")
    listener = _listen(arguments.port)
    try:
        bank = Bank(arguments.data, finality=arguments.finality_slots, program=arguments.program)
    except DataRefused as error:
        _refuse(f"The local chain cannot start: {error}.")
    try:
        return 0 if asyncio.run(_run(arguments, bank, listener)) else 1
    finally:
        bank.close()


if __name__ == "__main__":
    sys.exit(main())
