"""The ports of Postfix: archives as they should be, and archives with one thing wrong each."""

from dataclasses import dataclass

SRV = "/srv"  # where the servers see DIR
AT_ONCE = "smtpd_delay_reject=no"  # Postfix waits with refusals until RCPT unless told so


@dataclass(frozen=True)
class Service:
    """A port of Postfix. Its certificate carries the names; the issuer None means that it is its own."""

    port: int
    tls: str = "StartTLS"
    names: tuple[str, ...] = ("journal.archive.example",)
    issuer: str | None = "ca"
    expired: bool = False
    passwords: bool = True
    settings: tuple[str, ...] = ()  # what else is different, as Postfix writes it


SERVICES = {
    # vault is tested for STARTTLS on this port, hence its name.
    "submission": Service(587, names=("journal.archive.example", "vault.archive.example")),
    "smtps": Service(465, "Implicit", names=("vault.archive.example",)),
    "relay": Service(25, names=("relay.archive.example",), passwords=False),
    # By which the operator mails administrators: it goes on while archives are paused.
    "notices": Service(1587, names=("relay.archive.example",)),
    # What is wrong with its certificate:
    "selfsigned": Service(2587, names=("selfsigned.archive.example",), issuer=None),
    "untrusted": Service(3587, names=("untrusted.archive.example",), issuer="otherCa"),
    "expired": Service(4587, expired=True),
    # What it says, or does not:
    "broken": Service(5587, passwords=False, settings=(f"smtpd_tls_CAfile={SRV}/certificates/none.pem",)),
    "plain": Service(2525, "None", passwords=False, settings=("smtpd_tls_security_level=none",)),
    "silent": Service(2526, settings=(AT_ONCE, "smtpd_client_restrictions=sleep 45")),
    "closed": Service(2527, settings=(AT_ONCE, "smtpd_client_restrictions=reject")),
    "aloof": Service(2528, settings=(AT_ONCE, "smtpd_client_restrictions=", "smtpd_helo_restrictions=reject")),
    "choosy": Service(
        2529,
        settings=(
            AT_ONCE,
            "smtpd_client_restrictions=",
            f"smtpd_sender_restrictions=check_sender_access texthash:{SRV}/postfix/config/senders",
            "smtpd_end_of_data_restrictions=reject",
        ),
    ),
}


def options(name: str, service: Service) -> list[str]:
    """The `-o` of the service in master.cf; of two for one name the last one counts."""
    found = [f"syslog_name={name}"]
    if service.tls != "None":
        found.append(f"smtpd_tls_chain_files={SRV}/certificates/{name}.pem")
    if service.tls == "Implicit":
        found.append("smtpd_tls_wrappermode=yes")
    if service.passwords:
        found.append("smtpd_tls_security_level=encrypt")
        found.append("smtpd_sasl_auth_enable=yes")
        found.append("smtpd_client_restrictions=permit_sasl_authenticated,reject")
    return [*found, *service.settings]
