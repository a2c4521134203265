"""AWS KMS and Vault's transit engine as local HTTP servers: they speak the services' own protocols and hold real Ed25519 keys.

What reaches them is checked as the services check it: KMS verifies Signature Version 4 and its own rules for Ed25519, Vault its token.
"""

import asyncio
import base64
import hashlib
import hmac
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from solders.keypair import Keypair

from cli.ports import free_ports

ACCESS_KEY, SECRET_KEY, REGION = "AKIDEXAMPLE", "secret-of-the-tests", "eu-central-1"
ARN = f"arn:aws:kms:{REGION}:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
ALIAS = "alias/perpdex-operator"
TOKEN = "hvs.token-of-the-tests"
DER_HEAD = bytes.fromhex("302a300506032b6570032100")


class Service(ABC):
    """A signing service with one key. `trouble` is what goes wrong from now on, empty for nothing; `asked` counts signatures."""

    place = ""

    def __init__(self) -> None:
        self.key = Keypair()
        self.trouble = ""
        self.asked = 0
        self.signed: list[bytes] = []
        self.quiet = asyncio.Event()

    @abstractmethod
    async def handle(self, request: web.Request) -> web.StreamResponse:
        """The service's answer."""

    async def _strange(self, request: web.Request) -> web.StreamResponse | None:
        """The troubles that look the same on every service."""
        match self.trouble:
            case "garbage":
                return web.Response(text="<html>login</html>", content_type="text/html")
            case "cut":
                assert request.transport is not None
                request.transport.abort()
            case "silent":
                await self.quiet.wait()
        return None

    def _signature(self, message: bytes) -> bytes:
        self.signed.append(message)
        key = Keypair() if self.trouble == "other key" else self.key
        signature = bytes(key.sign_message(message))
        return signature[:63] if self.trouble == "short" else signature


class Kms(Service):
    """https://docs.aws.amazon.com/kms/latest/APIReference: JSON 1.1, the operation in a header, errors by `__type`."""

    place = f"awskms:{ALIAS}"
    REFUSALS: ClassVar = {
        "throttled": (400, "ThrottlingException"),
        "denied": (400, "AccessDeniedException"),
        "expired token": (400, "ExpiredTokenException"),
        "disabled": (400, "DisabledException"),
        "deleted": (400, "KMSInvalidStateException"),
        "down": (500, "KMSInternalException"),
        "busy": (503, "DependencyTimeoutException"),
    }

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        operation = request.headers["X-Amz-Target"]
        self.asked += operation.endswith(".Sign")
        if strange := await self._strange(request):
            return strange
        if self.trouble in self.REFUSALS:
            return _refused(*self.REFUSALS[self.trouble])
        if not _is_signed(request, body):
            return _refused(400, "InvalidSignatureException")
        asked = json.loads(body)
        if asked["KeyId"] not in (ALIAS, ARN):
            return _refused(400, "NotFoundException")
        match operation:
            case "TrentService.GetPublicKey":
                return _amz(self._public_key())
            case "TrentService.Sign":
                return self._sign(asked)
        return _refused(400, "UnknownOperationException")

    def _public_key(self) -> dict[str, Any]:
        answer = {
            "KeyId": ARN,
            "KeySpec": "ECC_NIST_EDWARDS25519",
            "KeyUsage": "SIGN_VERIFY",
            "SigningAlgorithms": ["ED25519_PH_SHA_512", "ED25519_SHA_512"],
            "PublicKey": base64.b64encode(DER_HEAD + bytes(self.key.pubkey())).decode(),
        }
        if self.trouble == "other kind":
            answer |= {"KeySpec": "ECC_SECG_P256K1", "SigningAlgorithms": ["ECDSA_SHA_256"]}
        return answer

    def _sign(self, asked: dict[str, str]) -> web.Response:
        message = base64.b64decode(asked["Message"], validate=True)
        fits = asked["SigningAlgorithm"] == "ED25519_SHA_512" and asked.get("MessageType", "RAW") == "RAW"
        if not fits or len(message) > 4096:
            return _refused(400, "ValidationException")
        signature = base64.b64encode(self._signature(message)).decode()
        return _amz({"KeyId": ARN, "Signature": signature, "SigningAlgorithm": "ED25519_SHA_512"})


class Vault(Service):
    """https://developer.hashicorp.com/vault/api-docs/secret/transit: the newest version signs unless another one is named."""

    place = "vault:secrets/transit/operator"
    REFUSALS: ClassVar = {
        "throttled": (429, 'request path "secrets/transit": rate limit quota exceeded'),
        "denied": (403, "permission denied"),
        "expired token": (403, "permission denied"),
        "disabled": (400, "signing key not found"),
        "deleted": (404, ""),
        "down": (500, "internal error"),
        "busy": (503, "Vault is sealed"),
    }

    def __init__(self) -> None:
        super().__init__()
        self.rotated = Keypair()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.asked += "/sign/" in request.path
        if strange := await self._strange(request):
            return strange
        if self.trouble in self.REFUSALS:
            status, why = self.REFUSALS[self.trouble]
            return web.json_response({"errors": [why] if why else []}, status=status)
        if request.headers.get("X-Vault-Token") != TOKEN or request.headers.get("X-Vault-Request") != "true":
            return web.json_response({"errors": ["permission denied"]}, status=403)
        match request.method, request.path:
            case "GET", "/v1/secrets/transit/keys/operator":
                return _vaulted(self._read())
            case (("POST" | "PUT"), "/v1/secrets/transit/sign/operator"):
                return _vaulted(self._sign(json.loads(body)))
        return web.json_response({"errors": []}, status=404)

    def _read(self) -> dict[str, Any]:
        keys = {
            str(number): {"name": "ed25519", "public_key": base64.b64encode(bytes(key.pubkey())).decode()}
            for number, key in enumerate((self.key, self.rotated), 1)
        }
        kind = "ecdsa-p256" if self.trouble == "other kind" else "ed25519"
        return {"type": kind, "derived": False, "exportable": False, "latest_version": 2, "keys": keys}

    def _sign(self, asked: dict[str, Any]) -> dict[str, Any]:
        version = asked.get("key_version", 2)
        message = base64.b64decode(asked["input"], validate=True)
        made = self._signature(message) if version == 1 else bytes(self.rotated.sign_message(message))
        return {"signature": f"vault:v{version}:{base64.b64encode(made).decode()}", "key_version": version}


def _amz(answer: dict[str, Any]) -> web.Response:
    return web.Response(text=json.dumps(answer), content_type="application/x-amz-json-1.1")


def _refused(status: int, kind: str) -> web.Response:
    text = json.dumps({"__type": kind, "message": f"{kind} says the service"})
    return web.Response(status=status, text=text, content_type="application/x-amz-json-1.1")


def _vaulted(data: dict[str, Any]) -> web.Response:
    answer = {"request_id": "8d1b2c46", "lease_id": "", "renewable": False, "lease_duration": 0, "data": data}
    return web.json_response({**answer, "wrap_info": None, "warnings": None, "auth": None})


def _is_signed(request: web.Request, body: bytes) -> bool:
    """Whether Signature Version 4 holds, worked out from what arrived and the secret that both sides know."""
    algorithm, _, rest = request.headers.get("Authorization", "").partition(" ")
    given = dict(part.strip().split("=", 1) for part in rest.split(",") if "=" in part)
    if algorithm != "AWS4-HMAC-SHA256" or "host" not in given["SignedHeaders"].split(";"):
        return False
    key_id, scope = given["Credential"].split("/", 1)
    names = given["SignedHeaders"].split(";")
    headers = "".join(f"{name}:{' '.join(request.headers[name].split())}\n" for name in names)
    canonical = "\n".join(
        (request.method, request.path, "", headers, given["SignedHeaders"], hashlib.sha256(body).hexdigest())
    )
    text = "\n".join(
        (algorithm, request.headers["X-Amz-Date"], scope, hashlib.sha256(canonical.encode()).hexdigest())
    )
    key = f"AWS4{SECRET_KEY}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    expected = hmac.digest(key, text.encode(), "sha256").hex()
    fits = scope.split("/")[1:] == [REGION, "kms", "aws4_request"]
    return key_id == ACCESS_KEY and fits and hmac.compare_digest(expected, given["Signature"])


@pytest.fixture
async def serve(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> AsyncIterator[Any]:
    """Starts a service and tells the environment where it is, as an operator would."""
    started: list[tuple[Service, TestServer]] = []

    async def start(service: Service) -> Service:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", service.handle)
        server = TestServer(app)
        await server.start_server()
        started.append((service, server))
        name = "AWS_ENDPOINT_URL_KMS" if isinstance(service, Kms) else "VAULT_ADDR"
        monkeypatch.setenv(name, str(server.make_url("/")).rstrip("/"))
        return service

    for name, value in (
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ("AWS_DEFAULT_REGION", REGION),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("VAULT_TOKEN", TOKEN),
        ("HOME", str(tmp_path)),
    ):
        monkeypatch.setenv(name, value)
    yield start
    for service, server in started:
        service.quiet.set()
        await server.close()


@pytest.fixture(params=[Kms, Vault], ids=["awskms", "vault"])
async def service(request: pytest.FixtureRequest, serve: Any) -> Service:
    started: Service = await serve(request.param())
    return started


@pytest.fixture
async def kms(serve: Any) -> Kms:
    started: Kms = await serve(Kms())
    return started


@pytest.fixture
async def vault(serve: Any) -> Vault:
    started: Vault = await serve(Vault())
    return started


@pytest.fixture
def unused_port() -> int:
    return free_ports(1)[0]
