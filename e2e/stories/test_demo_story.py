"""The demo, as a person runs it, with a small corpus of people whose names are no mailboxes."""

import gzip
import json
import re
import subprocess

import pytest
from imarchive_e2e import archives, node
from imarchive_e2e.node import E2E, STATE

NICKNAMES = ["[[mandrix]]", r"\9", "aaaa`", "|trey|", "Matt|", "x..y", "^", "{}", "Grüße", '"quoted"']
LAST_LINE = r"acknowledged (\d+) = delivered (\d+) \+ waiting (\d+) \+ held (\d+) \+ excluded (\d+)"
LINES = 700


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    file = tmp_path_factory.mktemp("demo") / "corpus.ndjson.gz"
    with gzip.open(file, "wt") as lines:
        for number in range(LINES):
            lines.write(json.dumps(line(number), ensure_ascii=False) + "\n")
    return file


def line(number: int) -> dict:
    sender, recipient = (f"{NICKNAMES[(number + step) % len(NICKNAMES)]}@irc.example" for step in (0, 1))
    return {
        "source": "irc",
        "id": f"2004-11-15-{number}",
        "kind": "message",
        "conversation": {"type": "room", "id": "2004-11-15", "name": "#ubuntu 2004-11-15"},
        "sender": {"address": sender, "name": sender.partition("@")[0], "type": "user"},
        "recipients": [{"address": recipient}],
        "sentAt": f"2004-11-15T12:{number // 60:02}:{number % 60:02}.000Z",
        "text": f"line {number}",
    }


@pytest.fixture(scope="module")
def demo(cluster, corpus):
    done = subprocess.run([E2E / "demo", "--corpus", corpus], text=True, capture_output=True, timeout=600)
    yield done
    node.delete_namespace("acme", wait=False)


def test_the_demo_ends_with_books_that_balance(demo):
    assert demo.returncode == 0, demo.stdout + demo.stderr
    books = re.fullmatch(LAST_LINE, demo.stdout.splitlines()[-1])
    assert books, demo.stdout
    acknowledged, delivered, waiting, held, excluded = map(int, books.groups())
    assert acknowledged == delivered + waiting + held + excluded
    assert (waiting, held) == (0, 0)
    assert delivered > LINES


def test_the_demo_shows_why_an_endpoint_is_not_ready(demo):
    assert "CertificateSelfSigned" in demo.stdout


def test_the_mailboxes_stay_and_demo_json_says_how_to_read_them(demo):
    told = json.loads((STATE / "demo.json").read_text())
    boxes = {box["address"]: box for box in told["mailboxes"]}
    journal = boxes["acme-journal@journal.archive.example"]
    mail = {
        "imap": {"host": told["host"], "port": told["port"]},
        "ca": told["ca"],
        "mailboxes": [{"login": journal["user"], "password": journal["password"], "address": journal["address"]}],
    }
    found = [
        document["id"]
        for mail in archives.mailbox.each_mail(mail, journal["user"])
        for document in mail.transcript["messages"]
        if document["source"] == "irc"
    ]
    assert sorted(found) == sorted(line(number)["id"] for number in range(LINES))
