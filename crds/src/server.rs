//! An endpoint's block, parsed: what is needed to speak to the archive.

use crate::{Address, Connection, Domain, EndpointType, FromHeader, GlobalRelayAccount, Tls};

/// The archive that a [`Connection`] describes, its defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// The name, which the certificate must bear.
    pub host: Domain,
    /// The port that mail goes to.
    pub port: u16,
    /// How the connection becomes encrypted.
    pub tls: Tls,
    /// With implicit TLS: where the support of STARTTLS is proved.
    pub start_tls_port: Option<u16>,
    /// The envelope sender.
    pub from: Address,
    /// Who stands in the From header.
    pub from_header: FromHeader,
    /// The envelope recipients; at least one.
    pub recipients: Vec<Address>,
    /// The Secret with the credentials.
    pub credentials: Option<String>,
    /// The value of X-GlobalRelay-MsgType.
    pub message_type: Option<String>,
}

/// Why a [`Connection`] describes no archive.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidServer {
    /// The block of the type is not set.
    #[error("the block of type {0:?} is missing")]
    BlockMissing(EndpointType),
    /// Account Custom without a host.
    #[error("globalRelay.host is needed for account Custom")]
    HostMissing,
    /// A port that is none.
    #[error("{0} is no port")]
    Port(i32),
    /// An envelope address that is no RFC 5321 mailbox.
    #[error("{0} cannot be used in an envelope: it is no RFC 5321 mailbox")]
    Mailbox(Address),
    /// Nobody to deliver to.
    #[error("recipients is empty")]
    NoRecipient,
}

impl TryFrom<&Connection> for Server {
    type Error = InvalidServer;

    fn try_from(connection: &Connection) -> Result<Self, InvalidServer> {
        let missing = || InvalidServer::BlockMissing(connection.type_);
        let server = match connection.type_ {
            EndpointType::SecureSMTP => {
                let block = connection.smtp.as_ref().ok_or_else(missing)?;
                let (port, start_tls_port) = ports(block.port, block.tls, block.start_tls_port)?;
                Self {
                    host: block.host.clone(),
                    port,
                    tls: block.tls,
                    start_tls_port,
                    from: block.from.clone(),
                    from_header: block.from_header,
                    recipients: block.recipients.clone(),
                    credentials: block.credentials_secret_ref.as_ref().map(|secret| secret.name.clone()),
                    message_type: None,
                }
            }
            EndpointType::GlobalRelay => {
                let block = connection.global_relay.as_ref().ok_or_else(missing)?;
                let known = |host: &str| Domain::parse(host).map_err(|_| InvalidServer::HostMissing);
                Self {
                    host: match block.account {
                        GlobalRelayAccount::A9 => known("mailarchivespool1.globalrelay.com")?,
                        GlobalRelayAccount::A10 => known("feeds.globalrelay.com")?,
                        GlobalRelayAccount::Custom => block.host.clone().ok_or(InvalidServer::HostMissing)?,
                    },
                    port: port(block.port.unwrap_or(25))?,
                    tls: Tls::StartTLS,
                    start_tls_port: None,
                    from: block.from.clone(),
                    from_header: FromHeader::Participant,
                    recipients: vec![block.recipient.clone()],
                    credentials: Some(block.credentials_secret_ref.name.clone()),
                    message_type: Some(block.message_type.clone()),
                }
            }
            EndpointType::AutonomyDRCCM => {
                let block = connection.autonomy_drc_cm.as_ref().ok_or_else(missing)?;
                let (port, start_tls_port) = ports(block.port, block.tls, block.start_tls_port)?;
                Self {
                    host: block.host.clone(),
                    port,
                    tls: block.tls,
                    start_tls_port,
                    from: block.from.clone(),
                    from_header: FromHeader::Participant,
                    recipients: vec![block.recipient.clone()],
                    credentials: block.credentials_secret_ref.as_ref().map(|secret| secret.name.clone()),
                    message_type: None,
                }
            }
        };
        if server.recipients.is_empty() {
            return Err(InvalidServer::NoRecipient);
        }
        if let Some(address) = server.recipients.iter().chain([&server.from]).find(|address| !address.is_mailbox()) {
            return Err(InvalidServer::Mailbox(address.clone()));
        }
        Ok(server)
    }
}

fn ports(given: Option<i32>, tls: Tls, start_tls: Option<i32>) -> Result<(u16, Option<u16>), InvalidServer> {
    Ok(match tls {
        Tls::StartTLS => (port(given.unwrap_or(25))?, None),
        Tls::Implicit => (port(given.unwrap_or(465))?, Some(port(start_tls.unwrap_or(587))?)),
    })
}

fn port(number: i32) -> Result<u16, InvalidServer> {
    u16::try_from(number).ok().filter(|port| *port > 0).ok_or(InvalidServer::Port(number))
}
