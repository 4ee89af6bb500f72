"""A bad request is refused as a whole: its problem has a type, a line and a field, and nothing of it is stored."""

import base64
import gzip
import json
import time

import pytest
from imarchive_e2e import node
from imarchive_e2e.chat import Chat
from imarchive_e2e.ingest import JSON, NDJSON, Answer
from imarchive_e2e.node import STATE, run
from imarchive_e2e.objects import archiver

CLIENTS = [{"serviceAccount": "chat", "sources": ["acme-chat"]}]
LARGEST = 1 << 20
POSTED = "/v1/messages"


@pytest.fixture(scope="module", autouse=True)
def story(organization):
    organization.begin(archiver(ingest={"clients": CLIENTS, "maxRequestBytes": "1Mi"}))


@pytest.fixture
def unchanged(client):
    """The books are after the test what they were before."""
    before = client.books()
    yield
    assert client.books() == before


def message(chat: Chat, **more: object) -> dict:
    return {**chat.direct("alice@acme.example", "bob@acme.example", "hello"), **more}


def without(thing: dict, field: str) -> dict:
    return {name: value for name, value in thing.items() if name != field}


def post(client, body: bytes, media_type: str = JSON, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.send("POST", POSTED, body, {"Content-Type": media_type, **named})


def lines(*things: dict | str) -> bytes:
    return "\n".join(thing if isinstance(thing, str) else json.dumps(thing) for thing in things).encode()


def first_error(answer: Answer) -> dict:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.body["errors"][0]


# What is in the request


def test_malformed_json_is_found_on_its_line(client, chat, unchanged):
    answer = post(client, lines(message(chat), '{"source": "acme-chat", ', message(chat)), NDJSON)
    assert (answer.status, answer.problem) == (400, "malformed-json")
    assert first_error(answer)["line"] == 2


def test_a_missing_field_is_named(client, chat, unchanged):
    answer = client.post([message(chat), without(message(chat), "sentAt")])
    assert (answer.status, answer.problem) == (400, "invalid-message")
    error = first_error(answer)
    assert error["index"] == 1
    assert "sentAt" in error["pointer"] + error["detail"]


def test_a_field_deep_inside_is_pointed_at(client, chat, unchanged):
    bad = message(chat)
    bad["recipients"][0]["address"] = "no address"
    answer = client.post(bad)
    assert (answer.status, answer.problem) == (400, "invalid-message")
    assert first_error(answer)["pointer"] == "/recipients/0/address"


def test_every_bad_message_of_a_request_is_listed(client, chat, unchanged):
    good, bad = message(chat), message(chat, kind="shout")
    answer = post(client, lines(good, bad, good, without(bad, "id")), NDJSON)
    assert [error["line"] for error in answer.body["errors"]] == [2, 4]


def test_a_direct_chat_has_two_people(client, chat, unchanged):
    bad = message(chat)
    bad["recipients"] *= 2
    bad["recipients"].append({"address": "carol@acme.example"})
    assert client.post(bad).problem == "invalid-message"


@pytest.mark.parametrize(
    "text",
    ['{"a": 1, "a": 2}', r'{"a": "\ud800"}', '{"a": 12345678901234567890123}', '{"a": 1e400}'],
    ids=["a repeated key", "half a character", "a number that is not exact", "a number beyond all"],
)
def test_json_that_readers_understand_differently_is_refused(client, chat, unchanged, text):
    body = json.dumps(message(chat, extra="EXTRA")).replace('"EXTRA"', text)
    answer = post(client, body.encode())
    assert answer.status == 400
    assert answer.problem in ("malformed-json", "invalid-message")


def test_bytes_that_are_no_utf_8_are_refused(client, chat, unchanged):
    answer = post(client, json.dumps(message(chat, text="TEXT")).encode().replace(b"TEXT", b"\xff\xfe"))
    assert (answer.status, answer.problem) == (400, "malformed-json")


def test_another_media_type_is_refused(client, chat, unchanged):
    answer = post(client, lines(message(chat)), "text/plain")
    assert (answer.status, answer.problem) == (415, "unsupported-media-type")


# How large it is


def test_an_oversized_body_is_refused(client, chat, unchanged):
    answer = client.post(message(chat, text="x" * (LARGEST + 1)))
    assert (answer.status, answer.problem) == (413, "too-large")


def test_a_compression_bomb_is_refused_before_it_unfolds(client, unchanged):
    bomb = gzip.compress(b" " * (512 << 20), 9)
    assert len(bomb) < LARGEST
    begun = time.monotonic()
    answer = post(client, bomb, NDJSON, Content_Encoding="gzip")
    assert (answer.status, answer.problem) == (413, "too-large")
    assert time.monotonic() - begun < 5


def test_a_damaged_compression_is_refused(client, chat, unchanged):
    whole = gzip.compress(lines(message(chat)))
    assert post(client, whole[:-9], NDJSON, Content_Encoding="gzip").status == 400


# Who sends it


def with_token(client, token: str | None, messages: list[dict]) -> Answer:
    headers = {"Content-Type": JSON} | ({"Authorization": f"Bearer {token}"} if token is not None else {})
    return client.once("POST", POSTED, json.dumps(messages).encode(), headers)


def test_without_a_token_nothing_is_taken(client, chat, unchanged):
    answer = with_token(client, None, [message(chat)])
    assert (answer.status, answer.problem) == (401, "token-missing")


def test_a_token_that_is_none_is_refused(client, chat, unchanged):
    answer = with_token(client, "abc.def.ghi", [message(chat)])
    assert (answer.status, answer.problem) == (401, "token-invalid")


def test_a_token_for_another_audience_is_refused(organization, client, chat, unchanged):
    elsewhere = node.token("chat", organization.name, "imarchive.dev/elsewhere")
    answer = with_token(client, elsewhere, [message(chat)])
    assert (answer.status, answer.problem) == (401, "token-invalid")


def test_a_token_with_a_changed_signature_is_refused(organization, client, chat, unchanged):
    head, claims, signature = node.token("chat", organization.name, f"imarchive.dev/{organization.name}").split(".")
    changed = ("B" if signature[0] == "A" else "A") + signature[1:]
    answer = with_token(client, f"{head}.{claims}.{changed}", [message(chat)])
    assert (answer.status, answer.problem) == (401, "token-invalid")


def test_an_expired_token_is_refused(organization, client, chat, unchanged):
    token = node.token("chat", organization.name, f"imarchive.dev/{organization.name}")
    answer = with_token(client, issued_earlier(token, 7200), [message(chat)])
    assert (answer.status, answer.problem) == (401, "token-expired")


def issued_earlier(token: str, seconds: int) -> str:
    """What the API server would have issued that long ago: signed with its key."""
    head, claims, _ = token.split(".")
    told = json.loads(base64.urlsafe_b64decode(claims + "=="))
    for name in ("iat", "nbf", "exp"):
        told[name] -= seconds
    claims = base64.urlsafe_b64encode(json.dumps(told).encode()).rstrip(b"=").decode()
    key = STATE / "pki/service-account.key"
    signed = 'printf %s "$0" | openssl dgst -sha256 -sign "$1" | base64 -w0 | tr +/ -_ | tr -d ='
    return f"{head}.{claims}.{run('sh', '-c', signed, f'{head}.{claims}', key)}"


def test_a_foreign_source_is_refused(client, chat, unchanged):
    answer = client.post([message(chat), message(chat, source="irc")])
    assert (answer.status, answer.problem) == (403, "source-forbidden")
    assert first_error(answer)["index"] == 1


def test_a_service_account_that_is_not_listed_is_refused(organization, client, chat, unchanged):
    stranger = node.token("default", organization.name, f"imarchive.dev/{organization.name}")
    assert with_token(client, stranger, [message(chat)]).status == 403


# What was said before


def test_the_same_message_again_is_repeated_and_other_content_is_a_conflict(client, chat):
    first = message(chat)
    assert [result["status"] for result in client.post(first).body["results"]] == ["stored"]
    before = client.books()
    assert [result["status"] for result in client.post(first).body["results"]] == ["repeated"]
    answer = client.post([message(chat), {**first, "text": "something else"}])
    assert (answer.status, answer.problem) == (409, "id-conflict")
    assert first_error(answer)["index"] == 1
    assert client.books() == before


def test_an_unknown_message_is_not_found(client):
    answer = client.get("/v1/messages/acme-chat/never-sent")
    assert (answer.status, answer.problem) == (404, "unknown-message")
