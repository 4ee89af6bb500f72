"""The peer: a Postfix of our own, with a queue on the same disk, which accepts mail and relays it over TLS."""

import os
import shutil
import smtplib
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from ..node import Failed, eventually
from ..operators.process import free_port

# Everything that would slow it down for the sake of others, or of a network that is not there, is off. Queue files are
# synced before the reply, as Postfix always does. What is accepted is held, so that nothing else runs meanwhile.
MAIN = """
compatibility_level = 3.6
queue_directory = {home}/queue
data_directory = {home}/data
maillog_file = {home}/log
maillog_file_prefixes = {home}
mail_owner = postfix
setgid_group = postdrop
myhostname = peer.archive.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
local_recipient_maps =
smtpd_peername_lookup = no
disable_dns_lookups = yes
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtpd_end_of_data_restrictions = check_client_access static:HOLD
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_client_message_rate_limit = 0
smtpd_client_recipient_rate_limit = 0
smtpd_client_event_limit_exceptions = 127.0.0.0/8
smtpd_error_sleep_time = 0
in_flow_delay = 0
default_process_limit = 100
message_size_limit = 262144000
relayhost = [localhost]:{sink}
smtp_tls_security_level = encrypt
smtp_tls_CAfile = {roots}
smtp_tls_connection_reuse = yes
smtp_tls_session_cache_database = btree:{home}/data/smtp_scache
initial_destination_concurrency = {connections}
default_destination_concurrency_limit = {connections}
smtp_tls_loglevel = 0
"""
MASTER = """
{port}     inet  n - n - - smtpd
pickup     unix  n - n 60 1 pickup
cleanup    unix  n - n - 0 cleanup
qmgr       unix  n - n 300 1 qmgr
tlsmgr     unix  - - n 1000? 1 tlsmgr
rewrite    unix  - - n - - trivial-rewrite
bounce     unix  - - n - 0 bounce
defer      unix  - - n - 0 bounce
trace      unix  - - n - 0 bounce
verify     unix  - - n - 1 verify
flush      unix  n - n 1000? 0 flush
proxymap   unix  - - n - - proxymap
smtp       unix  - - n - - smtp
error      unix  - - n - - error
retry      unix  - - n - - error
discard    unix  - - n - - discard
anvil      unix  - - n - 1 anvil
scache     unix  - - n - 1 scache
tlsproxy   unix  - - n - 0 tlsproxy
postlog    unix-dgram n - n - 1 postlogd
"""
SESSIONS = 50


class Postfix:
    """Runs until the block ends."""

    def __init__(self, home: Path, sink: int, roots: Path, connections: int):
        self.home, self.port = home, free_port()
        config = home / "config"
        config.mkdir(parents=True)
        for folder in ("queue", "data"):
            (home / folder).mkdir()
        shutil.chown(home / "data", "postfix")
        main = MAIN.format(home=home, sink=sink, roots=roots, connections=connections)
        (config / "main.cf").write_text(main)
        (config / "master.cf").write_text(MASTER.format(port=self.port))

    def run(self, program: str, *words: str) -> str:
        command = [f"/usr/sbin/{program}", "-c", str(self.home / "config"), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"{' '.join(command)}: {done.stderr.strip() or self.log()}")
        return done.stdout

    def log(self) -> str:
        log = self.home / "log"
        return log.read_text()[-2000:] if log.exists() else ""

    def settings(self) -> str:
        return self.run("postconf", "-n") + self.run("postconf", "-M")

    def answers(self) -> bool:
        try:
            smtplib.SMTP("127.0.0.1", self.port, timeout=5).quit()
        except OSError:
            return False
        return True

    def accept(self, mails: int, size: int) -> float:
        """Mails a second that it accepts from smtp-source, which speaks no TLS, so neither does it here."""
        words = ["-s", str(SESSIONS), "-m", str(mails), "-l", str(size), "-d", "-f", "a@acme.example"]
        words += ["-t", "b@archive.example", f"inet:127.0.0.1:{self.port}"]
        begun = time.monotonic()
        subprocess.run(["/usr/sbin/smtp-source", *words], check=True)
        rate = mails / (time.monotonic() - begun)
        self.empty()
        return rate

    def empty(self) -> None:
        self.run("postsuper", "-d", "ALL")

    def fill(self, mails: list[bytes]) -> None:
        """Queues mails, which are held."""

        def send(some: list[bytes]) -> None:
            with smtplib.SMTP("127.0.0.1", self.port, timeout=60) as session:
                for mail in some:
                    session.sendmail("archive@acme.example", ["acme@localhost"], mail)

        lanes = 8
        with ThreadPoolExecutor(lanes) as pool:
            list(pool.map(send, [mails[lane::lanes] for lane in range(lanes)]))

    def release(self) -> None:
        """Lets it deliver what it holds."""
        self.run("postsuper", "-H", "ALL")
        self.run("postqueue", "-f")


@contextmanager
def postfix(home: Path, sink: int = 9, roots: Path = Path("/dev/null"), connections: int = 20) -> Iterator[Postfix]:
    """In a folder that goes with it, which its user must be able to reach."""
    one = Postfix(home, sink, roots, connections)
    one.run("postfix", "start")
    try:
        eventually(one.answers, 20, "Postfix answers", pause=0.05)
        yield one
    finally:
        one.run("postfix", "stop")
        pid = home / "queue/pid/master.pid"
        eventually(lambda: not _runs(pid), 20, "Postfix has stopped", pause=0.05)
        shutil.rmtree(home)


def _runs(pid: Path) -> bool:
    try:
        os.kill(int(pid.read_text()), 0)
    except (OSError, ValueError):
        return False
    return True
