//! Where the other end is: `vsock:CID:PORT`, `tcp:IP:PORT`, `unix:PATH`, `hybrid:PATH:PORT`.

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;
use std::path::{Path, PathBuf};

/// An address to connect to or to listen on.
///
/// Names are never resolved: an enclave has no resolver that it could trust.
///
/// ```
/// use narthex_channel::Address;
///
/// let address: Address = "vsock:16:5000".parse().unwrap();
/// assert_eq!(address, Address::Vsock { cid: 16, port: 5000 });
/// assert_eq!("tcp:[::1]:80".parse::<Address>().unwrap().to_string(), "tcp:[::1]:80");
/// assert!("tcp:localhost:80".parse::<Address>().is_err());
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Address {
    /// A vsock port. When listening, the CID is this machine's own, or [`Address::ANY_CID`].
    Vsock {
        /// Context id; 3 is the parent instance of an enclave.
        cid: u32,
        /// Port.
        port: u32,
    },
    /// A TCP port at an IP literal.
    Tcp(SocketAddr),
    /// A Unix stream socket.
    Unix(PathBuf),
    /// A vsock port behind a Unix socket, in the convention of Firecracker and
    /// vhost-device-vsock: connect to the path and say `CONNECT PORT\n`; listen on `PATH_PORT`.
    Hybrid {
        /// The Unix socket of the virtual machine monitor.
        path: PathBuf,
        /// The port behind it.
        port: u32,
    },
}

impl Address {
    /// The CID that stands for any (`VMADDR_CID_ANY`); written `any`.
    pub const ANY_CID: u32 = u32::MAX;

    /// The longest path of a Unix socket: `sun_path` of Linux has 108 bytes, the last one zero.
    pub const MAX_PATH_BYTES: usize = 107;

    /// Where the other side of a hybrid socket listens for connections to `port`: `PATH_PORT`.
    #[must_use]
    pub fn hybrid_listening_path(path: &Path, port: u32) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(format!("_{port}"));
        PathBuf::from(name)
    }
}

/// Why a text is not an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum AddressError {
    /// It begins with none of `vsock:`, `tcp:`, `unix:`, `hybrid:`.
    UnknownKind,
    /// The CID is not a number or `any`.
    Cid,
    /// The port is missing or not a number in range.
    Port,
    /// There is no IP literal.
    Ip,
    /// The path is empty, too long, or has a zero byte.
    Path,
}

impl AddressError {
    /// The stable id of the reason.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        match self {
            Self::UnknownKind => "address.unknown_kind",
            Self::Cid => "address.cid",
            Self::Port => "address.port",
            Self::Ip => "address.ip",
            Self::Path => "address.path",
        }
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::UnknownKind => {
                "not an address; write vsock:CID:PORT, tcp:IP:PORT, unix:PATH or hybrid:PATH:PORT"
            }
            Self::Cid => "the CID is neither a number nor `any`",
            Self::Port => "the port is missing or out of range",
            Self::Ip => "not an IP address (names are not resolved; put IPv6 in brackets)",
            Self::Path => "the path is empty, too long for a socket, or has a zero byte",
        })
    }
}

impl std::error::Error for AddressError {}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (kind, rest) = text.split_once(':').ok_or(AddressError::UnknownKind)?;
        match kind {
            "vsock" => {
                let (cid, port) = rest.split_once(':').ok_or(AddressError::Port)?;
                let cid = match cid {
                    "any" => Self::ANY_CID,
                    digits => number(digits).ok_or(AddressError::Cid)?,
                };
                Ok(Self::Vsock {
                    cid,
                    port: number(port).ok_or(AddressError::Port)?,
                })
            }
            "tcp" => {
                let (ip, port) = rest.rsplit_once(':').ok_or(AddressError::Port)?;
                let port = number::<u16>(port).ok_or(AddressError::Port)?;
                let ip = match ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')) {
                    Some(ip) => IpAddr::V6(ip.parse().map_err(|_| AddressError::Ip)?),
                    None => IpAddr::V4(ip.parse().map_err(|_| AddressError::Ip)?),
                };
                Ok(Self::Tcp(SocketAddr::new(ip, port)))
            }
            "unix" => Ok(Self::Unix(socket_path(rest)?)),
            "hybrid" => {
                let (path, port) = rest.rsplit_once(':').ok_or(AddressError::Port)?;
                let port = number(port).ok_or(AddressError::Port)?;
                let path = socket_path(path)?;
                let listening = Self::hybrid_listening_path(&path, port);
                if listening.as_os_str().len() > Self::MAX_PATH_BYTES {
                    return Err(AddressError::Path);
                }
                Ok(Self::Hybrid { path, port })
            }
            _ => Err(AddressError::UnknownKind),
        }
    }
}

/// A decimal number without sign or leading zeros.
fn number<T: FromStr>(text: &str) -> Option<T> {
    let canonical = text == "0" || !text.starts_with('0');
    (canonical && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

fn socket_path(text: &str) -> Result<PathBuf, AddressError> {
    if text.is_empty() || text.len() > Address::MAX_PATH_BYTES || text.contains('\0') {
        return Err(AddressError::Path);
    }
    Ok(PathBuf::from(text))
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vsock {
                cid: Self::ANY_CID,
                port,
            } => write!(formatter, "vsock:any:{port}"),
            Self::Vsock { cid, port } => write!(formatter, "vsock:{cid}:{port}"),
            Self::Tcp(address) => write!(formatter, "tcp:{address}"),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
            Self::Hybrid { path, port } => write!(formatter, "hybrid:{}:{port}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_read_and_written() {
        for text in [
            "vsock:3:9000",
            "vsock:any:5000",
            "tcp:127.0.0.1:8443",
            "tcp:[::1]:8443",
            "unix:/run/narthex/gate.sock",
            "unix:relative.sock",
            "hybrid:/run/vm.sock:5000",
            "hybrid:/run/a:b.sock:5000",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn each_defect_has_its_reason() {
        let long = "a".repeat(108);
        let at_limit = format!("unix:{}", "a".repeat(107));
        assert!(at_limit.parse::<Address>().is_ok());
        for (text, reason) in [
            ("", AddressError::UnknownKind),
            ("http://x", AddressError::UnknownKind),
            ("VSOCK:3:1", AddressError::UnknownKind),
            ("vsock:3", AddressError::Port),
            ("vsock:x:1", AddressError::Cid),
            ("vsock:4294967296:1", AddressError::Cid),
            ("vsock:3:x", AddressError::Port),
            ("vsock:3:+1", AddressError::Port),
            ("vsock:03:1", AddressError::Cid),
            ("tcp:localhost:1", AddressError::Ip),
            ("tcp:::1:1", AddressError::Ip),
            ("tcp:127.0.0.1:65536", AddressError::Port),
            ("tcp:127.0.0.1", AddressError::Port),
            ("unix:", AddressError::Path),
            ("unix:a\0b", AddressError::Path),
            (&format!("unix:{long}"), AddressError::Path),
            ("hybrid:/run/vm.sock", AddressError::Port),
            ("hybrid::1", AddressError::Path),
            (
                &format!("hybrid:{}:5000", "a".repeat(105)),
                AddressError::Path,
            ),
        ] {
            assert_eq!(text.parse::<Address>(), Err(reason), "{text}");
        }
    }
}
