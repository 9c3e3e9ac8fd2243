//! Where logs and witnesses are: `http://HOST[:PORT][/PREFIX]` or `unix:PATH`; and where to listen.

use core::fmt;
use core::net::SocketAddr;
use core::str::FromStr;
use std::path::PathBuf;

/// Most bytes of an address.
const MAX_ADDRESS_BYTES: usize = 1024;
/// Most bytes of a Unix socket's path (the kernel's limit, its closing zero left out).
const MAX_UNIX_PATH_BYTES: usize = 107;
/// The port of `http` where none is written.
const HTTP_PORT: u16 = 80;

/// The address of an HTTP server that serves a log or is a witness.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct HttpAddress {
    kind: Kind,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum Kind {
    Tcp {
        /// A name, an IPv4 address, or an IPv6 address without brackets.
        host: String,
        port: u16,
        /// Empty, or begins with `/` and does not end with one.
        prefix: String,
    },
    Unix(PathBuf),
}

/// Why a text is not an address. [`fmt::Display`] says what to write instead.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum AddressError {
    /// `https` is not spoken here.
    Tls,
    /// Neither `http://` nor `unix:`.
    Scheme,
    /// The host is empty or holds what no host name has.
    Host,
    /// The port is not a number from 1 to 65535.
    Port,
    /// The path holds something else than letters, digits, `-`, `.`, `_`, `~` and single slashes, or a
    /// segment of dots.
    Path,
    /// A Unix socket's path is empty, relative or longer than 107 bytes.
    UnixPath,
    /// Longer than 1024 bytes.
    Length,
    /// An address to listen on is `tcp:IP:PORT` or `unix:PATH`.
    Listen,
}

impl fmt::Display for AddressError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Tls => {
                "https is not spoken here: put a TLS proxy before it, or use an SSH tunnel to a Unix socket \
                 (what a log or witness says is signed; TLS would only hide it)"
            }
            Self::Scheme => "an address is http://HOST[:PORT][/PREFIX] or unix:PATH",
            Self::Host => "the host in the address is not a host name or IP address",
            Self::Port => "the port in the address is not a number from 1 to 65535",
            Self::Path => {
                "the path in the address may hold letters, digits, - . _ ~ and single slashes only"
            }
            Self::UnixPath => "the path of a Unix socket is absolute and at most 107 bytes long",
            Self::Length => "the address is longer than 1024 bytes",
            Self::Listen => "an address to listen on is tcp:IP:PORT or unix:PATH",
        })
    }
}

impl std::error::Error for AddressError {}

impl HttpAddress {
    /// A Unix socket.
    #[must_use]
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self {
            kind: Kind::Unix(path.into()),
        }
    }

    /// A TCP socket, without a prefix.
    #[must_use]
    pub fn tcp(address: SocketAddr) -> Self {
        Self {
            kind: Kind::Tcp {
                host: address.ip().to_string(),
                port: address.port(),
                prefix: String::new(),
            },
        }
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The path on the server: its prefix, a slash, and `resource`.
    pub(super) fn path_of(&self, resource: &str) -> String {
        match &self.kind {
            Kind::Tcp { prefix, .. } => format!("{prefix}/{resource}"),
            Kind::Unix(_) => format!("/{resource}"),
        }
    }

    /// What belongs into the `Host` header.
    pub(super) fn host(&self) -> String {
        match &self.kind {
            Kind::Tcp { host, port, .. } if *port == HTTP_PORT => bracketed(host),
            Kind::Tcp { host, port, .. } => format!("{}:{port}", bracketed(host)),
            Kind::Unix(_) => "localhost".to_owned(),
        }
    }
}

impl fmt::Display for HttpAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Tcp { prefix, .. } => write!(formatter, "http://{}{prefix}", self.host()),
            Kind::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

impl FromStr for HttpAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.len() > MAX_ADDRESS_BYTES {
            return Err(AddressError::Length);
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return unix_path(path).map(Self::unix);
        }
        if text.starts_with("https://") {
            return Err(AddressError::Tls);
        }
        let rest = text.strip_prefix("http://").ok_or(AddressError::Scheme)?;
        let (authority, path) = match rest.split_once('/') {
            Some((authority, path)) => (authority, path),
            None => (rest, ""),
        };
        let (host, port) = host_and_port(authority)?;
        Ok(Self {
            kind: Kind::Tcp {
                host,
                port,
                prefix: prefix(path)?,
            },
        })
    }
}

/// An address to listen on.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum ListenAddress {
    /// `tcp:IP:PORT`; port 0 lets the system choose one.
    Tcp(SocketAddr),
    /// `unix:PATH`.
    Unix(PathBuf),
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(formatter, "tcp:{address}"),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

impl FromStr for ListenAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix_path(path).map(Self::Unix);
        }
        let address = text.strip_prefix("tcp:").ok_or(AddressError::Listen)?;
        let address = address.parse().map_err(|_| AddressError::Listen)?;
        Ok(Self::Tcp(address))
    }
}

impl ListenAddress {
    /// The address a client on this machine would use.
    #[must_use]
    pub fn as_client(&self) -> HttpAddress {
        match self {
            Self::Tcp(address) => HttpAddress::tcp(*address),
            Self::Unix(path) => HttpAddress::unix(path.clone()),
        }
    }
}

fn unix_path(path: &str) -> Result<PathBuf, AddressError> {
    let sound = path.starts_with('/')
        && !path.ends_with('/')
        && path.len() <= MAX_UNIX_PATH_BYTES
        && !path.contains('\0');
    if sound {
        Ok(PathBuf::from(path))
    } else {
        Err(AddressError::UnixPath)
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

fn host_and_port(authority: &str) -> Result<(String, u16), AddressError> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or(AddressError::Host)?;
        let host: core::net::Ipv6Addr = host.parse().map_err(|_| AddressError::Host)?;
        let port = match rest.strip_prefix(':') {
            Some(port) => Some(port),
            None if rest.is_empty() => None,
            None => return Err(AddressError::Port),
        };
        (host.to_string(), port)
    } else {
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if host.is_empty() || host.len() > 253 || !host.bytes().all(plain) {
            return Err(AddressError::Host);
        }
        (host.to_owned(), port)
    };
    let port = match port {
        None => HTTP_PORT,
        Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            text.parse().map_err(|_| AddressError::Port)?
        }
        Some(_) => return Err(AddressError::Port),
    };
    if port == 0 {
        return Err(AddressError::Port);
    }
    Ok((host, port))
}

fn prefix(path: &str) -> Result<String, AddressError> {
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Ok(String::new());
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let sound = path.split('/').all(|segment| {
        !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(plain)
    });
    if sound {
        Ok(format!("/{path}"))
    } else {
        Err(AddressError::Path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_addresses_are_read_and_written_back() {
        for (text, shown, path) in [
            ("http://log.example", "http://log.example", "/checkpoint"),
            ("http://log.example/", "http://log.example", "/checkpoint"),
            (
                "http://log.example:80/a",
                "http://log.example/a",
                "/a/checkpoint",
            ),
            (
                "http://127.0.0.1:8080/a/b.c/",
                "http://127.0.0.1:8080/a/b.c",
                "/a/b.c/checkpoint",
            ),
            ("http://[::1]:81", "http://[::1]:81", "/checkpoint"),
            ("http://[::1]", "http://[::1]", "/checkpoint"),
            ("unix:/run/log.sock", "unix:/run/log.sock", "/checkpoint"),
        ] {
            let address: HttpAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), shown, "{text}");
            assert_eq!(address.path_of("checkpoint"), path, "{text}");
            assert_eq!(shown.parse::<HttpAddress>().unwrap(), address, "{text}");
        }
    }

    #[test]
    fn each_defect_has_its_reason() {
        let long = format!("http://a/{}", "a".repeat(2000));
        let long_socket = format!("unix:/{}", "a".repeat(107));
        for (text, reason) in [
            ("https://log.example", AddressError::Tls),
            ("log.example", AddressError::Scheme),
            ("", AddressError::Scheme),
            ("ftp://log.example", AddressError::Scheme),
            ("HTTP://log.example", AddressError::Scheme),
            ("http://", AddressError::Host),
            ("http:///checkpoint", AddressError::Host),
            ("http://user@log.example", AddressError::Host),
            ("http://log example", AddressError::Host),
            ("http://log.example?x", AddressError::Host),
            ("http://[::1", AddressError::Host),
            ("http://[127.0.0.1]", AddressError::Host),
            ("http://[::1]80", AddressError::Port),
            ("http://log.example:0", AddressError::Port),
            ("http://log.example:+80", AddressError::Port),
            ("http://log.example:65536", AddressError::Port),
            ("http://log.example:", AddressError::Port),
            ("http://log.example/a//b", AddressError::Path),
            ("http://log.example/../b", AddressError::Path),
            ("http://log.example/./b", AddressError::Path),
            ("http://log.example/%2e%2e", AddressError::Path),
            ("http://log.example/a?b", AddressError::Path),
            ("http://log.example/a\r\nb", AddressError::Path),
            ("http://log.example/a#b", AddressError::Path),
            ("unix:", AddressError::UnixPath),
            ("unix:log.sock", AddressError::UnixPath),
            ("unix:/run/", AddressError::UnixPath),
            ("unix:/a\0b", AddressError::UnixPath),
            (&long_socket, AddressError::UnixPath),
            (&long, AddressError::Length),
        ] {
            assert_eq!(text.parse::<HttpAddress>(), Err(reason), "{text}");
            assert!(reason.to_string().len() > 20);
        }
    }

    #[test]
    fn addresses_to_listen_on() {
        for text in ["tcp:127.0.0.1:0", "tcp:[::1]:8080", "unix:/run/log.sock"] {
            let address: ListenAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
        }
        for text in [
            "127.0.0.1:80",
            "tcp:localhost:80",
            "tcp:127.0.0.1",
            "unix",
            "",
        ] {
            assert_eq!(text.parse::<ListenAddress>(), Err(AddressError::Listen));
        }
        let client = "tcp:[::1]:81".parse::<ListenAddress>().unwrap().as_client();
        assert_eq!(client.to_string(), "http://[::1]:81");
    }
}
