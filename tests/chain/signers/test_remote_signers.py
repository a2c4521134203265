"""Keys that other machines keep: what they sign, what is told when they do not, and that asking again changes nothing."""

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest
from solders.keypair import Keypair

from chain.keys import KeyFileRefused, KeypairSigner
from chain.signers.interface import SigningFailed, Why, signature_of
from chain.signers.opening import open_signer
from chain.signers.vault import VaultSigner

MESSAGE = b"a message of a transaction"


async def test_the_key_signs_what_it_is_given_and_nothing_else(service: Any) -> None:
    async with open_signer(service.place) as signer:
        assert signer.pubkey == service.key.pubkey()
        signature = await signature_of(signer, MESSAGE)
    assert signature == service.key.sign_message(MESSAGE)
    assert service.signed == [MESSAGE]


async def test_a_whole_transaction_fits(service: Any) -> None:
    message = hashlib.shake_256(b"largest").digest(1232)
    async with open_signer(service.place) as signer:
        assert (await signature_of(signer, message)).verify(service.key.pubkey(), message)


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        ("throttled", Why.THROTTLED),
        ("denied", Why.DENIED),
        ("expired token", Why.DENIED),
        ("disabled", Why.UNUSABLE),
        ("deleted", Why.UNUSABLE),
        ("down", Why.UNREACHABLE),
        ("busy", Why.UNREACHABLE),
        ("cut", Why.UNREACHABLE),
        ("garbage", Why.WRONG),
        ("short", Why.WRONG),
        ("other key", Why.WRONG),
    ],
)
async def test_what_keeps_it_from_signing_has_a_code_and_passes(service: Any, trouble: str, why: Why) -> None:
    async with open_signer(service.place) as signer:
        service.trouble = trouble
        with pytest.raises(SigningFailed) as failed:
            await signature_of(signer, MESSAGE)
        assert failed.value.code == why
        # One call for one question: repeating is for whoever asked, who then knows why it takes long.
        assert service.asked == 1
        service.trouble = ""
        assert await signature_of(signer, MESSAGE) == service.key.sign_message(MESSAGE)


async def test_silence_is_not_known_and_asking_again_gives_the_same_signature(service: Any) -> None:
    async with open_signer(service.place) as signer:
        service.trouble = "silent"
        with pytest.raises(SigningFailed) as failed:
            await signature_of(signer, MESSAGE, seconds=0.2)
        assert failed.value.code == Why.UNREACHABLE
        service.trouble = ""
        # The silent one signs too, after all, when it is let go: nobody hears of it, and it is the same signature.
        service.quiet.set()
        first = await signature_of(signer, MESSAGE)
        assert await signature_of(signer, MESSAGE) == first


@pytest.mark.parametrize("trouble", ["throttled", "denied", "deleted", "down", "garbage", "other kind"])
async def test_a_key_that_cannot_be_used_is_said_at_the_start(service: Any, trouble: str) -> None:
    service.trouble = trouble
    with pytest.raises(SigningFailed) as failed:
        async with open_signer(service.place):
            pass
    assert failed.value.code.startswith("signer_")
    assert str(failed.value)


async def test_nobody_there_is_unreachable(
    service: Any, monkeypatch: pytest.MonkeyPatch, unused_port: int
) -> None:
    for name in ("AWS_ENDPOINT_URL_KMS", "VAULT_ADDR"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{unused_port}")
    with pytest.raises(SigningFailed) as failed:
        async with open_signer(service.place):
            pass
    assert failed.value.code == Why.UNREACHABLE


async def test_kms_takes_arns_with_their_region(kms: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    arn = kms._public_key()["KeyId"]
    async with open_signer(f"awskms:{arn}") as signer:
        assert (await signature_of(signer, MESSAGE)).verify(kms.key.pubkey(), MESSAGE)
    with pytest.raises(SigningFailed, match="AWS_DEFAULT_REGION"):
        async with open_signer(kms.place):
            pass


async def test_kms_with_the_wrong_secret_is_denied(kms: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The local server does verify what is signed for AWS."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another secret")
    with pytest.raises(SigningFailed) as failed:
        async with open_signer(kms.place):
            pass
    assert failed.value.code == Why.DENIED


async def test_kms_without_credentials_is_denied(kms: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(SigningFailed) as failed:
        async with open_signer(kms.place):
            pass
    assert failed.value.code == Why.DENIED
    assert kms.asked == 0


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("AWS_PROFILE", "opertor", Why.DENIED),
        ("AWS_CONFIG_FILE", "broken", Why.DENIED),
        ("AWS_DEFAULT_REGION", "eu central", Why.UNUSABLE),
        ("AWS_ENDPOINT_URL_KMS", "kms.example:443", Why.UNREACHABLE),
        ("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:99999999", Why.UNREACHABLE),
    ],
)
async def test_a_mistyped_environment_has_a_code_and_asks_nobody(
    kms: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, why: Why
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken").write_text("[profile")
    monkeypatch.setenv(name, value)
    with pytest.raises(SigningFailed, match="KMS") as failed:
        async with open_signer(kms.place):
            pass
    assert failed.value.code == why
    assert kms.asked == 0


async def test_a_file_of_vaults_that_cannot_be_read_has_a_code(
    vault: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Certificates that are not there, and a token that is no file, at the start and once it runs."""
    token = Path.home() / ".vault-token"
    token.write_text("hvs.token-of-the-tests")
    monkeypatch.delenv("VAULT_TOKEN")
    async with open_signer(vault.place) as signer:
        token.unlink()
        token.mkdir()
        with pytest.raises(SigningFailed, match="token for Vault") as failed:
            await signature_of(signer, MESSAGE)
        assert failed.value.code == Why.DENIED
        with pytest.raises(SigningFailed, match="token for Vault") as failed:
            await VaultSigner.open(vault.place.removeprefix("vault:"))
        assert failed.value.code == Why.DENIED
        token.rmdir()
        token.write_text("hvs.token-of-the-tests")
        # The library takes VAULT_CACERT up once, when it is imported; this one goes the same way for each call.
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
        monkeypatch.setenv("VAULT_ADDR", "https://127.0.0.1:9")
        with pytest.raises(SigningFailed, match="TLS CA certificate bundle") as failed:
            await signature_of(signer, MESSAGE)
        assert failed.value.code == Why.UNREACHABLE


async def test_a_version_of_a_vault_key_is_a_key_of_its_own(vault: Any) -> None:
    """The key was rotated in Vault: version 1 is still what signs, and the newer one only when it is asked for."""
    async with open_signer(vault.place) as first, open_signer(f"{vault.place}?version=2") as second:
        assert (first.pubkey, second.pubkey) == (vault.key.pubkey(), vault.rotated.pubkey())
        assert await signature_of(first, MESSAGE) == vault.key.sign_message(MESSAGE)
        assert await signature_of(second, MESSAGE) == vault.rotated.sign_message(MESSAGE)
    with pytest.raises(SigningFailed, match="no version 3"):
        async with open_signer(f"{vault.place}?version=3"):
            pass


async def test_a_new_vault_token_is_taken_up(vault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    token = Path.home() / ".vault-token"
    token.write_text("an old one")
    monkeypatch.delenv("VAULT_TOKEN")
    with pytest.raises(SigningFailed) as failed:
        async with open_signer(vault.place):
            pass
    assert failed.value.code == Why.DENIED
    token.write_text("hvs.token-of-the-tests")
    async with open_signer(vault.place) as signer:
        assert signer.pubkey == vault.key.pubkey()
        token.write_text("expired")
        with pytest.raises(SigningFailed):
            await signature_of(signer, MESSAGE)
        token.write_text("hvs.token-of-the-tests")
        assert await signature_of(signer, MESSAGE) == vault.key.sign_message(MESSAGE)


async def test_a_file_signs(tmp_path: Path) -> None:
    made = KeypairSigner.load_or_create(tmp_path / "operator.json")
    for place in (f"file:{tmp_path}/operator.json", f"file://{tmp_path}/operator.json"):
        async with open_signer(place) as signer:
            assert await signature_of(signer, MESSAGE) == await made.sign(MESSAGE)
    with pytest.raises(KeyFileRefused, match="is not there"):
        async with open_signer(f"file:{tmp_path}/oprator.json"):
            pass
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("place", ["vault:operator", "vault:transit/", "vault:transit/operator?version=last"])
async def test_a_place_in_vault_has_a_mount_and_a_key(place: str) -> None:
    with pytest.raises(KeyFileRefused, match="vault:MOUNT/KEY"):
        async with open_signer(place):
            pass


async def test_a_key_in_place_of_a_place_is_not_repeated() -> None:
    secret = base64.b64encode(bytes(Keypair())).decode()
    with pytest.raises(KeyFileRefused, match="begins with file:") as refused:
        async with open_signer(secret):
            pass
    assert secret not in str(refused.value)
