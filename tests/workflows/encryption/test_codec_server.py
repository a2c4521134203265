"""The codec server as Temporal's own tools and a browser use it."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf.json_format import MessageToDict
from temporalio.api.common.v1 import Payload, Payloads

from chain.keys import KeyFileRefused
from cli.codec import BODY_BYTES_MAX, serve_codec, ui_origins
from settings import Settings
from workflows.encryption import read_payload_keys
from workflows.sweep import SweepWorkflow

PLAIN = Payload(metadata={"encoding": b"json/plain"}, data=b'{"amount": 5123456}')


async def encrypted(path: Path) -> dict[str, Any]:
    answer: dict[str, Any] = MessageToDict(Payloads(payloads=await read_payload_keys(path).encode([PLAIN])))
    return answer


def data(answer: httpx.Response) -> bytes:
    return base64.b64decode(answer.json()["payloads"][0]["data"])


async def test_temporals_command_line_shows_what_was_encrypted(
    client_with, keys, codec_server, codec_token, temporal_command, temporal
):
    """`temporal workflow show`, by path and by header, over a rotation; without the codec server it shows ciphertext."""
    client = await client_with(keys("2026-a"))
    await client.start_workflow(
        SweepWorkflow.run, id="sweep", task_queue="nobody's", memo={"told": "Timbuktu"}
    )
    await client.get_workflow_handle("sweep").signal("noted", "Zanzibar")

    async def shown(*options: str) -> bytes:
        command = ("workflow", "show", "--workflow-id", "sweep", "--output", "json", "--address", temporal)
        process = await asyncio.create_subprocess_exec(
            temporal_command, *command, *options, stdout=asyncio.subprocess.PIPE
        )
        text, _ = await process.communicate()
        assert process.returncode == 0
        return text

    assert b"binary/encrypted" in base64.b64decode(
        json.loads(await shown())["events"][0]["workflowExecutionStartedEventAttributes"]["memo"]["fields"][
            "told"
        ]["metadata"]["encoding"]
    )
    async with codec_server(keys("2026-b", "2026-a")) as url:
        for options in (
            ("--codec-endpoint", f"{url}/{codec_token}"),
            ("--codec-endpoint", url, "--codec-auth", f"Bearer {codec_token}"),
        ):
            text = await shown(*options)
            assert base64.b64encode(b'"Timbuktu"') in text
            assert base64.b64encode(b'"Zanzibar"') in text


async def test_a_browser_lets_the_ui_read_and_nobody_else(keys, codec_server, codec_token, ui):
    path = keys("a")
    asking = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,x-namespace",
    }
    async with codec_server(path) as url, httpx.AsyncClient(base_url=f"{url}/{codec_token}") as http:
        allowed = await http.options("/decode", headers={"Origin": ui, **asking})
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == ui
        answer = await http.post(
            "/decode", json=await encrypted(path), headers={"Origin": ui, "X-Namespace": "default"}
        )
        assert answer.headers["access-control-allow-origin"] == ui
        assert data(answer) == PLAIN.data
        other = {"Origin": "https://elsewhere.example"}
        assert (await http.options("/decode", headers={**other, **asking})).status_code == 400
        answer = await http.post("/decode", json=await encrypted(path), headers=other)
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("path", "authorization"),
    [
        ("/decode", ""),
        ("/encode", ""),
        ("/decode", "Bearer another"),
        ("/decode", "Bearer"),
        ("/decode", "Basic {token}"),
        ("/another/decode", ""),
        ("/{token}x/decode", ""),
        ("/%C3%A9/decode", ""),
    ],
)
async def test_without_the_token_nothing_is_answered(keys, codec_server, codec_token, path, authorization):
    keyfile = keys("a")
    headers = {"Authorization": authorization.format(token=codec_token)} if authorization else {}
    async with codec_server(keyfile) as url, httpx.AsyncClient() as http:
        answer = await http.post(
            url + path.format(token=codec_token), json=await encrypted(keyfile), headers=headers
        )
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


async def test_what_it_encodes_it_decodes(keys, codec_server, codec_token):
    """The UI encodes what people type into it, such as a signal's argument."""
    async with codec_server(keys("a")) as url, httpx.AsyncClient(base_url=f"{url}/{codec_token}") as http:
        answer = await http.post("/encode", json=MessageToDict(Payloads(payloads=[PLAIN, PLAIN])))
        assert [base64.b64decode(one["metadata"]["encoding"]) for one in answer.json()["payloads"]] == [
            b"binary/encrypted"
        ] * 2
        again = await http.post("/decode", json=answer.json())
    assert again.json() == MessageToDict(Payloads(payloads=[PLAIN, PLAIN]))


async def test_what_cannot_be_decoded_has_a_code(keys, codec_server, codec_token):
    async with codec_server(keys("a")) as url, httpx.AsyncClient(base_url=f"{url}/{codec_token}") as http:
        answer = await http.post("/decode", json=await encrypted(keys("b")))
        assert (answer.status_code, answer.json()["code"]) == (400, "payload_unreadable")
        for body in (b"", b"\xff", b"nonsense", b'{"payloads": 5}', b'{"payloads": [{"data": 5}]}'):
            answer = await http.post("/decode", content=body)
            assert (answer.status_code, answer.json()["code"]) == (400, "malformed"), body
        answer = await http.post("/decode", content=b" " * (BODY_BYTES_MAX + 1))
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        assert (await http.get("/decode")).status_code == 405


def test_the_ui_is_the_one_that_is_started_here_unless_said():
    assert ui_origins(Settings(temporal_ui_port=9)) == ["http://127.0.0.1:9", "http://localhost:9"]
    assert ui_origins(Settings(temporal_ui_origin="https://ui.example/")) == ["https://ui.example"]


def test_without_keys_there_is_nothing_to_serve():
    with pytest.raises(KeyFileRefused, match="PAYLOAD_KEYS"):
        serve_codec(Settings())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a:",
        ":" + "A" * 43 + "=",
        "a:short",
        "a b:" + "A" * 43 + "=",
        "a:" + "A" * 43 + "=\na:" + "B" * 42 + "A=",
        "a:" + "A" * 43 + "=\nnonsense",
    ],
)
def test_a_file_of_other_things_is_refused_without_repeating_it(tmp_path, text):
    path = tmp_path / "payload.keys"
    path.touch(mode=0o600)
    path.write_text(text)
    with pytest.raises(KeyFileRefused, match="does not hold payload keys") as refused:
        read_payload_keys(path)
    assert "AAAA" not in str(refused.value)


def test_a_file_that_others_can_read_is_refused(keys):
    path = keys("a")
    path.chmod(0o640)
    with pytest.raises(KeyFileRefused, match="chmod 600"):
        read_payload_keys(path)
