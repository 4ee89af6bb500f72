"""Acme's chat: some hundred messages of a working day, with what real ones bring along."""

import base64
import hashlib
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count

SOURCE = "acme-chat"
BEGIN = datetime(2026, 11, 23, 9, 15, 2, 123000, tzinfo=UTC)
NAMES = {
    "alice@acme.example": "Alice Ahlström",
    "bob@acme.example": "Bob O'Brien",
    "carol@acme.example": "Carol, Trading",
    "dave@acme.example": "Dave \N{CHART WITH UPWARDS TREND}",
    "erin@acme.example": "עֵרִין",
    "frank@acme.example": "Frank",
    "mallory@partner.example": "Mallory\r\nBcc: everybody@acme.example",
    "zoe@elsewhere.example": "Zoë",
}
ALICE, BOB, CAROL, DAVE, ERIN, FRANK, MALLORY, ZOE = NAMES
SMALL_TALK = (
    "Good morning!",
    "Lunch at twelve?",
    "\N{THUMBS UP SIGN}\N{EMOJI MODIFIER FITZPATRICK TYPE-4}",
    "The build is green again.",
    "שלום, מה שלומך?",
    "نلتقي بعد الظهر",
    "Grüße aus Zürich — 10 °C",
    "会議は三時からです",
    "From now on we begin lines like this one.",
    ".\n.. and lines that begin with a dot\n.",
    "=?utf-8?q?not_a_header?=",
    "tabs\tand  spaces   stay",
    "a line\r\nand another\nand\ranother",
    "x" * 3000,
    "\N{FAMILY}\N{ZERO WIDTH JOINER}\N{HEAVY BLACK HEART}\N{VARIATION SELECTOR-16} 👩‍👩‍👧‍👦 🇨🇭",
    "<script>alert('no markup here')</script> & done",
)


def person(address: str) -> dict:
    kind = "guest" if address == MALLORY else "user"
    return {"address": address, "name": NAMES[address], "type": kind}


def attached(name: str, media_type: str, content: bytes) -> dict:
    return {"name": name, "mediaType": media_type, "content": base64.b64encode(content).decode()}


class Chat:
    """Makes the messages, each with an id and a time of its own."""

    def __init__(self, prefix: str = "m"):
        self.numbers, self.prefix = count(1), prefix

    def event(self, kind: str, conversation: dict, sender: str, recipients: list[str], **more: object) -> dict:
        number = next(self.numbers)
        sent_at = BEGIN + timedelta(milliseconds=1711 * number)
        return {
            "source": SOURCE,
            "id": f"{self.prefix}-{number}",
            "kind": kind,
            "conversation": conversation,
            "sender": person(sender),
            "recipients": [person(address) for address in recipients],
            "sentAt": sent_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            **more,
        }

    def direct(self, sender: str, recipient: str, text: str, kind: str = "message", **more: object) -> dict:
        pair = "-".join(sorted(address.partition("@")[0] for address in (sender, recipient)))
        conversation = {"type": "direct", "id": f"d-{pair}"}
        return self.event(kind, conversation, sender, [recipient], text=text, **more)

    def trading_floor(self) -> Iterator[dict]:
        """A room that people come to and leave, with all kinds of events; `present` is who sees each."""
        floor = {"type": "room", "id": "r-4", "name": "Trading floor"}
        present: list[str] = [CAROL]

        def event(kind: str, sender: str, text: str | None = None, **more: object) -> dict:
            if text is not None:
                more["text"] = text
            return self.event(kind, floor, sender, [one for one in present if one != sender], **more)

        for newcomer in (ALICE, DAVE, MALLORY):
            present.append(newcomer)
            yield event("join", newcomer)
        offer = event("message", DAVE, "Selling 200 at 4.15", html="<p>Selling <b>200</b> at 4.15</p>", priority="high")
        yield offer
        yield event("message", CAROL, "Taken \N{HANDSHAKE}", refersTo=offer["id"])
        yield event("edit", DAVE, "Selling 200 at 4.25", refersTo=offer["id"])
        slip = event("message", MALLORY, "Do not tell anybody", reactions=[{"emoji": "👀", "by": [ALICE, CAROL]}])
        yield slip
        yield event("delete", MALLORY, refersTo=slip["id"])
        sheet = attached("Übersicht – Q3.csv", "text/csv", "Datum;Kurs\r\n23.11.;4,15\r\n".encode("utf-16"))
        scan = attached("transcript.json", "application/json", b'{"not": "the transcript"}\n')
        yield event("file", CAROL, "The sheet, and a file with an awkward name", attachments=[sheet, scan])
        elsewhere = {"name": "film.mp4", "mediaType": "video/mp4", "size": 7_000_000_000}
        yield event("message", ALICE, "This file stays where it is", attachments=[elsewhere])
        yield event("message", DAVE, "העסקה נסגרה ב־4.25 \N{PARTY POPPER}", refersTo=offer["id"])
        present.remove(MALLORY)
        yield event("leave", MALLORY)
        yield event("message", CAROL, "Now that we are among ourselves: thank you.")

    def working_day(self, exchanges: int) -> Iterator[dict]:
        """Direct chats and a second room, by people of both archives and from outside."""
        dice = random.Random(20261123)
        cooler = {"type": "room", "id": "r-7", "name": "Water cooler \N{HOT BEVERAGE}"}
        staff = [ALICE, BOB, CAROL, DAVE, ERIN, FRANK]
        for number in range(exchanges):
            text = SMALL_TALK[number % len(SMALL_TALK)]
            first, second = dice.sample([*staff, ZOE], 2)
            if number % 3:
                yield self.direct(first, second, text)
            else:
                sender = dice.choice(staff)
                yield self.event("message", cooler, sender, [one for one in staff if one != sender], text=text)

    def with_a_file(self) -> dict:
        """A binary file, of which every byte counts."""
        content = b"".join(hashlib.sha256(bytes([number % 256, number // 256])).digest() for number in range(6000))
        scan = attached("scan \N{PAPERCLIP}.pdf", "application/pdf", b"%PDF-1.7\n" + content)
        return self.direct(ALICE, CAROL, "The contract, signed", attachments=[scan])

    def outsiders(self) -> list[dict]:
        """Nobody here is archived."""
        return [
            self.direct(ZOE, MALLORY, "Nobody of Acme reads this"),
            self.direct(MALLORY, ZOE, "So nobody archives it", kind="message"),
        ]
